/* diff: what is different in two trees. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/directory_diff.h"
#include "chunker/snapshot.h"
#include "fs/control.h"
#include "fs/fs.h"

#define PATH_LEN_MAX (RECORD_MAX - 256u)	/* bytes of a path that fit a record */

/* A directory that is being gone through, below that of ${parent}. */
struct level {
	struct level *parent;
	struct directory_diff *diff;
	size_t path_len;	/* of its own path, with the slash behind it */
};

struct walk {
	struct call *call;
	struct call_source source;
	struct level *top;
	char path[PATH_LEN_MAX + 1];
};

/* The directory that an argument means: of a snapshot, itself, or of now. */
static int resolve(struct call *c, const char *text, struct ref *out)
{
	struct waited_lookup w;
	struct snapshot snap;
	struct address a;
	int r = 0;

	*out = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_DIRECTORY };
	if (text && strcmp(text, "now") == 0) {
		r = call_shown(c, out);
		a = out->address;
	} else if (!text || address_parse(text, &a) < 0) {
		r = call_fail(c, -EINVAL, "'%s' is no address, nor 'now'", text ? text : "");
	}
	if (r < 0)
		return r;
	waited_lookup_start(&w, c, KIND_ANY, &a);
	r = waited_lookup_end(&w);
	if (r < 0)
		return call_lookup_failed(c, r, &a);
	if (w.op.kind == KIND_SNAPSHOT) {
		r = snapshot_decode(w.op.chunk, &snap);
		*out = snap.root.ref;
	} else if (w.op.kind == KIND_DIRECTORY) {
		out->address = a;
		r = directory_size(w.op.chunk, &out->size);
	} else {
		r = call_fail(c, -ENOTDIR, "%s is a file: give snapshots or directories", text);
	}
	chunk_drop(w.op.chunk);
	return r;
}

static bool same_xattrs(const struct entry *a, const struct entry *b)
{
	if (a->xattrs_apart || b->xattrs_apart)
		return a->xattrs_apart && b->xattrs_apart &&
		    ref_equal(&a->xattrs_ref, &b->xattrs_ref);
	return a->xattrs_len == b->xattrs_len &&
	    (a->xattrs_len == 0 || memcmp(a->xattrs, b->xattrs, a->xattrs_len) == 0);
}

static bool same_content(const struct entry *a, const struct entry *b)
{
	if (S_ISREG(a->mode) || S_ISDIR(a->mode))
		return ref_equal(&a->ref, &b->ref);
	if (S_ISLNK(a->mode))
		return a->size == b->size && memcmp(a->target, b->target, a->size) == 0;
	return a->rdev == b->rdev;
}

/*
 * What to call it: + - M (content), A (only attributes), T (type); NULL: nothing to tell.  A directory's
 * content is its names, which are told one by one, and its times change with them.
 */
static const char *change_of(const struct entry *a, const struct entry *b)
{
	bool content, times;

	if (!a || !b)
		return a ? "-" : "+";
	if ((a->mode ^ b->mode) & S_IFMT)
		return "T";
	content = !same_content(a, b);
	if (content && !S_ISDIR(a->mode))
		return "M";
	times = a->mtime.sec != b->mtime.sec || a->mtime.nsec != b->mtime.nsec;
	if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || !same_xattrs(a, b) ||
	    (times && !content))
		return "A";
	return NULL;
}

static const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
	case S_IFBLK:
		return "device";
	case S_IFIFO:
		return "fifo";
	default:
		return "socket";
	}
}

static int push(struct walk *w, const struct ref *a, const struct ref *b, size_t path_len)
{
	struct level *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->diff = directory_diff_new(&w->source.source, a, b);
	if (!l->diff) {
		free(l);
		return -ENOMEM;
	}
	l->path_len = path_len;
	l->parent = w->top;
	w->top = l;
	return 0;
}

static void pop(struct walk *w)
{
	struct level *l = w->top;

	w->top = l->parent;
	directory_diff_free(l->diff);
	free(l);
}

/* One name, and then, if it is or was a directory, what is below it. */
static int tell(struct walk *w, const struct entry *a, const struct entry *b)
{
	const struct entry *any = b ? b : a;
	const struct ref *from = a && S_ISDIR(a->mode) ? &a->ref : NULL;
	const struct ref *to = b && S_ISDIR(b->mode) ? &b->ref : NULL;
	const char *change = change_of(a, b);
	size_t len = w->top->path_len + any->name_len;
	int r = 0;

	if (len + 1 > PATH_LEN_MAX)
		return call_fail(w->call, -ENAMETOOLONG, "a path is too long");
	memcpy(w->path + w->top->path_len, any->name, any->name_len);
	w->path[len] = '\0';
	if (change) {
		record_text(&w->call->record, "change", change);
		record_text(&w->call->record, "type", type_name(any->mode));
		record_text(&w->call->record, "path", w->path);
		r = call_answer(w->call, FRAME_RECORD);
	}
	if (r < 0 || (!from && !to) || (from && to && ref_equal(from, to)))
		return r;
	w->path[len] = '/';
	return push(w, from, to, len + 1);
}

static int walk(struct walk *w)
{
	const struct entry *a, *b;
	int r = 0;

	while (r == 0 && w->top) {
		r = channel_gone(&w->call->channel);
		if (r == 0)
			r = directory_diff_next(w->top->diff, &a, &b);
		if (r == 1)
			r = tell(w, a, b);
		else if (r == 0)
			pop(w);
	}
	while (w->top)
		pop(w);
	if (r == -ENOENT && !w->call->why[0])
		call_fail(w->call, r, "a directory of one of them is in nobody's set any more");
	return r;
}

int command_diff(struct call *c)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct ref a, b;
	int r = -ENOMEM;

	if (w) {
		w->call = c;
		call_source_init(&w->source, c);
		r = resolve(c, call_text(c, "a"), &a);
	}
	if (r == 0)
		r = resolve(c, call_text(c, "b"), &b);
	if (r == 0 && !ref_equal(&a, &b))
		r = push(w, &a, &b, 0);
	if (r == 0)
		r = walk(w);
	free(w);
	return r;
}
