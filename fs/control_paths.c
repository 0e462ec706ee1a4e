/* paths: which files and directories of the mount an address belongs to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/directory_diff.h"
#include "chunker/index.h"
#include "chunker/snapshot.h"
#include "fs/control.h"
#include "fs/fs.h"

#define PATH_LEN_MAX	(RECORD_MAX - 256u)	/* bytes of a path that fit a record */
#define TELL_EVERY	1024u			/* names between two words on progress */

/* A directory that is being gone through, below that of ${parent}. */
struct level {
	struct level *parent;
	struct directory_diff *names;
	size_t path_len;	/* of its own path, with the slash behind it */
};

struct search {
	struct call *call;
	struct call_source source;
	struct address wanted;
	struct level *top;
	uint64_t looked;	/* names */
	char path[PATH_LEN_MAX + 1];
};

static int push(struct search *s, const struct ref *dir, size_t path_len)
{
	struct level *l = calloc(1, sizeof(*l));

	if (l)
		l->names = directory_diff_new(&s->source.source, NULL, dir);
	if (!l || !l->names) {
		free(l);
		return -ENOMEM;
	}
	l->path_len = path_len;
	l->parent = s->top;
	s->top = l;
	return 0;
}

static void pop(struct search *s)
{
	struct level *l = s->top;

	s->top = l->parent;
	directory_diff_free(l->names);
	free(l);
}

/* Is it one of the chunks of the file ${ref}?  1, 0 or -errno. */
static int is_chunk_of(struct search *s, const struct ref *ref)
{
	struct index_cursor *cursor = index_cursor_new(&s->source.source, ref);
	struct extent e;
	bool found = false;
	int r = cursor ? 1 : -ENOMEM;

	while (!found && r > 0 && (r = index_cursor_next(cursor, &e)) > 0)
		found = !e.hole && address_equal(&e.address, &s->wanted);
	index_cursor_free(cursor);
	return r < 0 ? r : found;
}

static int is_part_of(struct search *s, const struct entry *e)
{
	if (!S_ISREG(e->mode) && !S_ISDIR(e->mode))
		return 0;
	if (address_equal(&e->ref.address, &s->wanted))
		return 1;
	return S_ISREG(e->mode) && e->ref.kind == KIND_INDEX ? is_chunk_of(s, &e->ref) : 0;
}

static int tell_path(struct search *s, bool directory)
{
	record_text(&s->call->record, "type", directory ? "directory" : "file");
	record_text(&s->call->record, "path", s->path);
	return call_answer(s->call, FRAME_RECORD);
}

static int tell_progress(struct search *s)
{
	uint64_t inodes = 0;

	if (++s->looked % TELL_EVERY)
		return channel_gone(&s->call->channel);
	tree_count(call_fs(s->call)->tree, &inodes);
	record_text(&s->call->record, "phase", "searched");
	record_number(&s->call->record, "done", s->looked);
	record_number(&s->call->record, "total", inodes > s->looked ? inodes : s->looked);
	return call_answer(s->call, FRAME_PROGRESS);
}

static int look_at(struct search *s, const struct entry *e)
{
	size_t len = s->top->path_len + e->name_len;
	bool directory = S_ISDIR(e->mode);
	int r;

	if (len + 1 > PATH_LEN_MAX)
		return call_fail(s->call, -ENAMETOOLONG, "a path is too long");
	memcpy(s->path + s->top->path_len, e->name, e->name_len);
	s->path[len] = '\0';
	r = tell_progress(s);
	if (r == 0)
		r = is_part_of(s, e);
	if (r > 0)
		r = tell_path(s, directory);
	if (r < 0 || !directory)
		return r;
	s->path[len] = '/';
	return push(s, &e->ref, len + 1);
}

static int search(struct search *s)
{
	const struct entry *none, *e;
	int r = 0;

	while (r == 0 && s->top) {
		r = directory_diff_next(s->top->names, &none, &e);
		if (r == 1)
			r = look_at(s, e);
		else if (r == 0)
			pop(s);
	}
	while (s->top)
		pop(s);
	return r;
}

/* The root of the tree as it is now, and of whatever else a snapshot begins with. */
static int find_root(struct call *c, struct ref *out)
{
	struct waited_lookup w;
	struct snapshot snapshot;
	int r = call_shown(c, out);

	if (r < 0)
		return r;
	waited_lookup_start(&w, c, KIND_SNAPSHOT, &out->address);
	r = waited_lookup_end(&w);
	if (r < 0)
		return call_lookup_failed(c, r, &out->address);
	r = snapshot_decode(w.op.chunk, &snapshot);
	chunk_drop(w.op.chunk);
	*out = snapshot.root.ref;
	return r;
}

int command_paths(struct call *c)
{
	struct search *s = calloc(1, sizeof(*s));
	struct ref root;
	int r = s ? call_address(c, "address", &s->wanted) : -ENOMEM;

	if (r == 0)
		r = find_root(c, &root);
	if (r == 0) {
		s->call = c;
		call_source_init(&s->source, c);
		strcpy(s->path, ".");
		if (address_equal(&root.address, &s->wanted))
			r = tell_path(s, true);
	}
	if (r == 0)
		r = push(s, &root, 0);
	if (r == 0)
		r = search(s);
	free(s);
	return r;
}
