#include "fs/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/directory.h"
#include "chunker/index.h"
#include "fs/tree_fill.h"

#define LINKS_MIN	1024u	/* places; a power of two */
#define AHEAD		64u	/* of each directory's directories, asked for before their turn */

/* A directory whose names are still to come. */
struct step {
	uint64_t ino;
	struct ref ref;
};

/* An inode of several names: open addressing; id 0: a free place. */
struct linked {
	uint64_t id, ino;
};

struct unpack {
	struct tree *tree;
	struct source *source;
	struct step *stack;
	size_t depth, room;
	struct linked *links;
	size_t nlinks, mask;
	uint64_t done, total;
	const struct unpack_watch *watch;
};

static int push(struct unpack *u, uint64_t ino, const struct ref *ref)
{
	if (u->depth == u->room) {
		size_t room = u->room ? 2 * u->room : 64;
		struct step *more = realloc(u->stack, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		u->stack = more;
		u->room = room;
	}
	u->stack[u->depth++] = (struct step){ ino, *ref };
	return 0;
}

/* Where it is, or would be.  The ids are random. */
static struct linked *place(const struct linked *links, size_t mask, uint64_t id)
{
	size_t i = (size_t)id & mask;

	while (links[i].id && links[i].id != id)
		i = (i + 1) & mask;
	return (struct linked *)(uintptr_t)&links[i];
}

static int link_room(struct unpack *u)
{
	size_t n = u->links ? u->mask + 1 : 0, more = n ? 2 * n : LINKS_MIN;
	struct linked *links;

	if (u->nlinks + 1 <= n / 4 * 3)
		return 0;
	links = calloc(more, sizeof(*links));
	if (!links)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (u->links[i].id)
			*place(links, more - 1, u->links[i].id) = u->links[i];
	}
	free(u->links);
	u->links = links;
	u->mask = more - 1;
	return 0;
}

/* The whole of a file of xattrs: *${out} is malloc'ed. */
static int read_file(struct source *source, const struct ref *ref, uint8_t **out)
{
	*out = NULL;
	if (ref->size > 2 * TREE_XATTRS_MAX)
		return -EBADMSG;
	*out = calloc(1, ref->size + 1);
	return *out ? index_read(source, ref, *out) : -ENOMEM;
}

/* Xattrs that are kept apart: then *${apart} is to be freed. */
static int find_xattrs(struct unpack *u, const struct entry *e, struct fill *f, uint8_t **apart)
{
	int r;

	*apart = NULL;
	f->xattrs = e->xattrs;
	f->xattrs_len = e->xattrs_len;
	if (!e->xattrs_apart)
		return 0;
	f->xattrs_len = e->xattrs_ref.size;
	f->xattrs = NULL;
	r = read_file(u->source, &e->xattrs_ref, apart);
	f->xattrs = *apart;
	return r;
}

/* How many of its bytes are not in holes: its index knows. */
static int find_data(struct unpack *u, const struct entry *e, uint64_t *data)
{
	struct chunk *root = NULL;
	uint64_t size;
	int r;

	*data = S_ISREG(e->mode) ? e->size : 0;
	if (!S_ISREG(e->mode) || e->ref.kind != KIND_INDEX)
		return 0;
	r = u->source->get(u->source, KIND_INDEX, &e->ref.address, &root);
	if (r == 0)
		r = index_size(root, &size, data);
	chunk_drop(root);
	/* Its content is lost; the file is there all the same, as it would be here. */
	if (r == -ENOENT || r == -EBADMSG) {
		*data = e->size;
		r = 0;
	}
	return r;
}

static int unpack_entry(struct unpack *u, uint64_t dir, const struct entry *e)
{
	struct fill f = { .entry = e };
	struct linked *known = NULL;
	uint8_t *apart = NULL;
	uint64_t ino;
	int r = e->link_id ? link_room(u) : 0;

	if (r == 0 && e->link_id) {
		known = place(u->links, u->mask, e->link_id);
		f.ino = known->ino;
	}
	if (r == 0 && !f.ino)
		r = find_data(u, e, &f.data);
	if (r == 0 && !f.ino)
		r = find_xattrs(u, e, &f, &apart);
	if (r == 0)
		r = tree_fill_name(u->tree, dir, &f, &ino);
	free(apart);
	if (r == 0 && known && !known->id) {
		*known = (struct linked){ e->link_id, ino };
		u->nlinks++;
	}
	if (r == 0 && S_ISDIR(e->mode)) {
		u->total += e->size;
		r = push(u, ino, &e->ref);
	}
	return r;
}

/* A commit has a bound on what it changes. */
static int commit_at_times(struct unpack *u)
{
	unsigned int pages;

	if (!tree_dirty(u->tree, &pages) || pages < TREE_PAGES_MAX)
		return 0;
	return tree_commit(u->tree, NULL, NULL, NULL);
}

static int unpack_directory(struct unpack *u)
{
	const struct step s = u->stack[--u->depth];
	struct directory_cursor *c = directory_cursor_new(u->source, &s.ref);
	uint64_t names = 0, directories = 0;
	struct entry e;
	int r = c ? 0 : -ENOMEM;

	while (r == 0 && (r = directory_cursor_next(c, &e)) == 1) {
		r = unpack_entry(u, s.ino, &e);
		if (r == 0)
			r = commit_at_times(u);
		names++;
		directories += S_ISDIR(e.mode);
		if (r == 0 && S_ISDIR(e.mode) && directories <= AHEAD && u->watch->ahead)
			u->watch->ahead(u->watch->arg, &e.ref.address);
		u->watch->tell(u->watch->arg, ++u->done, u->total);
	}
	directory_cursor_free(c);
	return r < 0 ? r : tree_fill_count(u->tree, s.ino, names, directories);
}

int unpack_tree(struct tree *t, struct source *source, const struct entry *root, const struct unpack_watch *watch)
{
	struct unpack u = { .tree = t, .source = source, .total = root->size, .watch = watch };
	struct fill f = { .entry = root };
	uint8_t *apart;
	int r = find_xattrs(&u, root, &f, &apart);

	if (r == 0)
		r = tree_fill_root(t, &f);
	free(apart);
	if (r == 0)
		r = push(&u, TREE_ROOT, &root->ref);
	while (r == 0 && u.depth > 0)
		r = unpack_directory(&u);
	free(u.stack);
	free(u.links);
	return r;
}
