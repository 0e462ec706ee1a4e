#include "fs/snapshot_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/splice.h"

/* A directory to be written. */
struct dir {
	uint64_t ino;
	struct inode inode;
	struct dir *parent;	/* NULL: the root */
	struct tree_name name;	/* in its parent */
	struct ref ref;		/* once it is written */
	unsigned int depth;
	struct dir *next;	/* in its bucket */
	struct dir **children;	/* those to be written, in the order of names */
	size_t nchildren, room;
};

struct writer {
	struct tree_reader *reader;
	bool all;
	struct source *source;
	struct sink *sink;
	struct dir **buckets;
	size_t nbuckets, ndirs;
	struct written *out;
	size_t out_room;
};

/* The order of names in a directory: memcmp, shorter first. */
static int compare(const struct tree_name *a, const struct tree_name *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, n);

	return order ? order : (int)a->name_len - (int)b->name_len;
}

static size_t bucket_of(const struct writer *w, uint64_t ino)
{
	return (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (w->nbuckets - 1);
}

static struct dir *find(const struct writer *w, uint64_t ino)
{
	struct dir *d = w->nbuckets ? w->buckets[bucket_of(w, ino)] : NULL;

	while (d && d->ino != ino)
		d = d->next;
	return d;
}

static int grow(struct writer *w)
{
	size_t old = w->nbuckets, n = old ? 2 * old : 64;
	struct dir **was = w->buckets;

	w->buckets = calloc(n, sizeof(*w->buckets));
	if (!w->buckets) {
		w->buckets = was;
		return -ENOMEM;
	}
	w->nbuckets = n;
	for (size_t i = 0; i < old; i++) {
		while (was[i]) {
			struct dir *d = was[i], **to;

			was[i] = d->next;
			to = &w->buckets[bucket_of(w, d->ino)];
			d->next = *to;
			*to = d;
		}
	}
	free(was);
	return 0;
}

/* Adds a directory and those above it.  -ENOENT: it, or one above it, is no longer in the tree. */
static int add_dir(struct writer *w, uint64_t ino, struct dir **out)
{
	struct dir *d = find(w, ino), *child = NULL, **to;
	int r = 0;

	*out = d;
	while (!d) {
		if (w->ndirs >= w->nbuckets && (r = grow(w)) < 0)
			return r;
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		d->ino = ino;
		r = tree_reader_get(w->reader, ino, &d->inode);
		if (r == 0 && ino != TREE_ROOT)
			r = d->inode.parent ? tree_reader_name(w->reader, d->inode.parent,
			    d->inode.cookie, &d->name) : -ENOENT;
		if (r < 0) {
			free(d);
			return r;
		}
		to = &w->buckets[bucket_of(w, ino)];
		d->next = *to;
		*to = d;
		w->ndirs++;
		if (child)
			child->parent = d;
		else
			*out = d;
		child = d;
		if (ino == TREE_ROOT)
			return 0;
		ino = d->inode.parent;
		d = find(w, ino);
	}
	if (child)
		child->parent = d;
	return 0;
}

/* The names to be written, in the order of directories. */
static int next_of(struct writer *w, uint64_t dir, const char *name, size_t name_len,
    struct tree_name *out)
{
	return w->all ? tree_reader_next(w->reader, dir, name, name_len, out) :
	    tree_reader_changed(w->reader, dir, name, name_len, out);
}

/* All directories with such names. */
static int collect(struct writer *w)
{
	static const char last[NAME_LEN_MAX] = { [0 ... NAME_LEN_MAX - 1] = (char)0xff };
	struct tree_name changed;
	struct dir *d;
	uint64_t ino = 0;
	int r;

	while ((r = next_of(w, ino, last, sizeof(last), &changed)) == 0) {
		ino = changed.ino;
		r = add_dir(w, ino, &d);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	if (r != -ENOENT)
		return r;
	return add_dir(w, TREE_ROOT, &d);
}

static int by_name(const void *a, const void *b)
{
	const struct dir *x = *(struct dir *const *)a, *y = *(struct dir *const *)b;

	return compare(&x->name, &y->name);
}

static int by_depth_falling(const void *a, const void *b)
{
	const struct dir *x = *(struct dir *const *)a, *y = *(struct dir *const *)b;

	return x->depth != y->depth ? (x->depth < y->depth ? 1 : -1) : x->ino < y->ino ? -1 : 1;
}

static int add_child(struct dir *parent, struct dir *child)
{
	if (parent->nchildren == parent->room) {
		size_t room = parent->room ? 2 * parent->room : 4;
		struct dir **more = realloc(parent->children, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		parent->children = more;
		parent->room = room;
	}
	parent->children[parent->nchildren++] = child;
	return 0;
}

/* The directories in the order in which they must be written; to be freed. */
static struct dir **in_order(struct writer *w)
{
	struct dir **all = calloc(w->ndirs + 1, sizeof(*all));
	size_t n = 0;

	if (!all)
		return NULL;
	for (size_t i = 0; i < w->nbuckets; i++)
		for (struct dir *d = w->buckets[i]; d; d = d->next)
			all[n++] = d;
	for (size_t i = 0; i < n; i++) {
		for (struct dir *d = all[i]->parent; d; d = d->parent)
			all[i]->depth++;
		if (all[i]->parent && add_child(all[i]->parent, all[i]) < 0) {
			free(all);
			return NULL;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (all[i]->nchildren > 0)
			qsort(all[i]->children, all[i]->nchildren, sizeof(struct dir *), by_name);
	qsort(all, n, sizeof(*all), by_depth_falling);
	return all;
}

/* Remembers a directory's new ref for the tree. */
static int written(struct writer *w, uint64_t ino, const struct ref *ref)
{
	struct written *o = w->out;

	if (o->n == w->out_room) {
		size_t room = w->out_room ? 2 * w->out_room : 16;
		uint64_t *dirs = realloc(o->dirs, room * sizeof(*dirs));
		struct ref *refs;

		if (!dirs)
			return -ENOMEM;
		o->dirs = dirs;
		refs = realloc(o->refs, room * sizeof(*refs));
		if (!refs)
			return -ENOMEM;
		o->refs = refs;
		w->out_room = room;
	}
	o->dirs[o->n] = ino;
	o->refs[o->n++] = *ref;
	return 0;
}

static int no_changes(struct changes *c, struct change *out)
{
	(void)c, (void)out;
	return 0;
}

/* A subdirectory's ref: as just written, as of an earlier snapshot, or, new and empty, the empty one's. */
static int directory_ref(struct writer *w, const struct inode *inode, struct ref *out)
{
	struct changes none = { .next = no_changes };
	const struct dir *d = find(w, inode->ino);
	int r;

	*out = d ? d->ref : inode->ref;
	if (out->hash != 0 && (d || !w->all))
		return 0;
	r = directory_update(w->source, w->sink, NULL, &none, out);
	return r < 0 ? r : written(w, inode->ino, out);
}

/* Extended attributes too long for the entry become a file of their own. */
struct one_piece {
	struct pieces pieces;
	struct chunk *bytes;
	bool given;
};

static int one_piece_next(struct pieces *p, struct piece *out)
{
	struct one_piece *o = (struct one_piece *)p;

	if (o->given)
		return 0;
	o->given = true;
	*out = (struct piece){ .type = PIECE_BYTES, .len = o->bytes->len, .bytes = o->bytes };
	return 1;
}

static int write_apart(struct writer *w, const uint8_t *data, size_t len, struct ref *out)
{
	struct one_piece o = {
		.pieces.next = one_piece_next, .bytes = chunk_copy(data, len)
	};
	int r = o.bytes ? splice_all(&o.pieces, w->source, w->sink, out) : -ENOMEM;

	chunk_drop(o.bytes);
	return r;
}

/* What an entry points into, besides its name. */
struct entry_memory {
	char target[SYMLINK_LEN_MAX + 1];
	uint8_t *xattrs;
};

static int make_entry(struct writer *w, const struct inode *inode, const char *name,
    size_t name_len, struct entry_memory *m, struct entry *out)
{
	size_t len = 0;
	int r = 0;

	*out = (struct entry){
		.name = name,
		.name_len = (uint16_t)name_len,
		.mode = inode->mode,
		.uid = inode->uid,
		.gid = inode->gid,
		.mtime = inode->mtime,
		.ctime = inode->ctime,
	};
	if (S_ISREG(inode->mode))
		out->ref = inode->ref;
	else if (S_ISDIR(inode->mode))
		r = directory_ref(w, inode, &out->ref);
	else if (S_ISLNK(inode->mode))
		r = tree_reader_readlink(w->reader, inode->ino, m->target);
	else if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		out->rdev = inode->rdev;
	if (r < 0)
		return r;
	if (S_ISREG(inode->mode) || S_ISDIR(inode->mode))
		out->size = out->ref.size;
	if (S_ISLNK(inode->mode)) {
		out->target = m->target;
		out->size = strlen(m->target);
	}
	if (!S_ISDIR(inode->mode) && inode->nlink > 1)
		out->link_id = inode->link_id;
	if (!(inode->flags & INODE_XATTRS))
		return 0;
	r = tree_reader_xattrs(w->reader, inode->ino, &m->xattrs, &len);
	if (r < 0 || len == 0)
		return r;
	if (len <= XATTRS_INLINE_MAX) {
		out->xattrs = m->xattrs;
		out->xattrs_len = (uint32_t)len;
		return 0;
	}
	out->xattrs_apart = true;
	return write_apart(w, m->xattrs, len, &out->xattrs_ref);
}

/* The changed names of one directory: change records and directories written, merged. */
struct dir_changes {
	struct changes changes;
	struct writer *w;
	const struct dir *dir;
	size_t child;		/* the next of its children */
	struct tree_name record;	/* the next change record */
	int record_result;	/* of asking for it: -ENOENT when there is none */
	struct tree_name name;	/* the one given out */
	struct entry_memory memory;
};

static void next_record(struct dir_changes *c, const char *name, size_t name_len)
{
	c->record_result = next_of(c->w, c->dir->ino, name, name_len, &c->record);
	if (c->record_result == 0 && c->record.ino != c->dir->ino)
		c->record_result = -ENOENT;
}

/* The lower of the two heads; both move on where they are the same name.  False: the end. */
static bool next_name(struct dir_changes *c)
{
	const struct dir *child = c->child < c->dir->nchildren ? c->dir->children[c->child] : NULL;
	int order;

	if (!child && c->record_result < 0)
		return false;
	order = !child ? 1 : c->record_result < 0 ? -1 : compare(&child->name, &c->record);
	c->name = order <= 0 ? child->name : c->record;
	if (order <= 0)
		c->child++;
	if (order >= 0)
		next_record(c, c->name.name, c->name.name_len);
	return true;
}

static int dir_changes_next(struct changes *changes, struct change *out)
{
	struct dir_changes *c = (struct dir_changes *)changes;
	struct inode inode;
	int r;

	free(c->memory.xattrs);
	c->memory.xattrs = NULL;
	if (!next_name(c))
		return c->record_result == -ENOENT ? 0 : c->record_result;
	r = tree_reader_lookup(c->w->reader, c->dir->ino, c->name.name, c->name.name_len, &inode);
	out->removed = r == -ENOENT;
	if (out->removed) {
		out->entry = (struct entry){
			.name = c->name.name, .name_len = c->name.name_len
		};
		return 1;
	}
	if (r == 0)
		r = make_entry(c->w, &inode, c->name.name, c->name.name_len, &c->memory,
		    &out->entry);
	return r < 0 ? r : 1;
}

static int write_dir(struct writer *w, struct dir *d)
{
	struct dir_changes *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->changes.next = dir_changes_next;
	c->w = w;
	c->dir = d;
	next_record(c, "", 0);
	r = directory_update(w->source, w->sink,
	    d->inode.ref.hash && !w->all ? &d->inode.ref : NULL, &c->changes, &d->ref);
	free(c->memory.xattrs);
	free(c);
	return r < 0 ? r : written(w, d->ino, &d->ref);
}

static int write_all(struct writer *w)
{
	struct entry_memory m = { .xattrs = NULL };
	struct dir **all, *root;
	int r = collect(w);

	if (r < 0)
		return r;
	all = in_order(w);
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < w->ndirs && r == 0; i++)
		r = write_dir(w, all[i]);
	free(all);
	if (r < 0)
		return r;
	root = find(w, TREE_ROOT);
	r = make_entry(w, &root->inode, "root", 4, &m, &w->out->root);
	w->out->root_xattrs = m.xattrs;
	return r;
}

int snapshot_write(struct tree_reader *reader, bool all, struct source *source,
    struct sink *sink, struct written *out)
{
	struct writer w = {
		.reader = reader, .all = all, .source = source, .sink = sink, .out = out
	};
	int r;

	*out = (struct written){ .n = 0 };
	r = write_all(&w);
	for (size_t i = 0; i < w.nbuckets; i++) {
		while (w.buckets[i]) {
			struct dir *d = w.buckets[i];

			w.buckets[i] = d->next;
			free(d->children);
			free(d);
		}
	}
	free(w.buckets);
	return r;
}

void snapshot_written_free(struct written *w)
{
	free(w->dirs);
	free(w->refs);
	free(w->root_xattrs);
}
