#include "fs/byhash.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/directory.h"
#include "chunker/index.h"
#include "chunker/snapshot.h"
#include "fs/byhash_internal.h"

int byhash_new(struct fs *fs, struct byhash **out)
{
	struct byhash *b = calloc(1, sizeof(*b));
	struct view_node root = {
		.type = VIEW_ROOT,
		.st = {
			.st_mode = S_IFDIR | fs->options->by_hash_mode,
			.st_nlink = 2 + 256,
			.st_uid = getuid(),
			.st_gid = getgid(),
			.st_mtim = { .tv_sec = fs->started.sec },
			.st_ctim = { .tv_sec = fs->started.sec },
			.st_atim = { .tv_sec = fs->started.sec },
		},
	};
	int r;

	*out = NULL;
	if (!b)
		return -ENOMEM;
	b->fs = fs;
	r = view_new(BYHASH_ROOT, &root, &b->view);
	if (r == 0)
		b->walks = walks_new(fs->dht, fs->cache);
	if (!b->walks) {
		byhash_free(b);
		return -ENOMEM;
	}
	*out = b;
	return 0;
}

void byhash_free(struct byhash *b)
{
	if (!b)
		return;
	walks_free(b->walks);
	view_free(b->view);
	free(b);
}

void byhash_root_stat(struct byhash *b, struct stat *st)
{
	struct view_node *root = view_hold(b->view, BYHASH_ROOT);

	*st = root->st;
	view_drop(b->view, root);
}

void byhash_forget(struct byhash *b, uint64_t ino, uint64_t lookups)
{
	view_forget(b->view, ino, lookups);
}

void byhash_fill(const struct view_node *n, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = n->ino,
		.generation = 1,
		.attr = n->st,
		.attr_timeout = TIMEOUT_S,
		/* Asked again rather than told: to be told, the kernel locks the root, for which it may have to wait for a lookup
		 * in it that waits for the ring, and then all others wait behind that. */
		.entry_timeout = n->parent && n->parent->ino == TREE_ROOT ? BYHASH_FRESH_S : TIMEOUT_S,
	};
}

int byhash_show(struct byhash *b, const struct entry *root)
{
	struct view_node like;

	view_from_entry(root, &like);
	return view_set_root(b->view, TREE_ROOT, &like);
}

/* Answers a lookup with a node for ${like} in ${parent}. */
static void reply_node(struct byhash *b, fuse_req_t req, struct view_node *parent,
    const char *name, size_t len, const struct view_node *like)
{
	struct view_node *n = view_add(b->view, parent, name, len, like);
	struct fuse_entry_param e;

	if (!n) {
		ops_err(req, -ENOMEM);
		return;
	}
	byhash_fill(n, &e);
	/* Interrupted: the kernel does not know of it. */
	if (fuse_reply_entry(req, &e) < 0)
		view_forget(b->view, n->ino, 1);
	view_drop(b->view, n);
}

/*
 * What a bare address names: a file, a directory, or a snapshot's root.  It has no owner,
 * times or mode of its own; by-hash's own mode guards it.
 */
static int describe(enum kind kind, const struct address *a, struct chunk *c,
    struct view_node *out)
{
	struct snapshot snap;
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = (uint8_t)kind, .address = *a };
	uint64_t data = 0;
	int r = 0;

	switch (kind) {
	case KIND_DATA:
		ref.size = data = c->len;
		break;
	case KIND_INDEX:
		r = index_size(c, &ref.size, &data);
		break;
	case KIND_DIRECTORY:
		r = directory_size(c, &ref.size);
		break;
	case KIND_SNAPSHOT:
		r = snapshot_decode(c, &snap);
		if (r == 0)
			view_from_entry(&snap.root, out);
		return r;
	default:
		return -EBADMSG;
	}
	if (r < 0)
		return r;
	*out = (struct view_node){
		.type = VIEW_ENTRY,
		.ref = ref,
		.st = {
			.st_mode = kind == KIND_DIRECTORY ? S_IFDIR | 0555 : S_IFREG | 0444,
			.st_nlink = kind == KIND_DIRECTORY ? 2 : 1,
			.st_uid = getuid(),
			.st_gid = getgid(),
			.st_size = (off_t)ref.size,
			.st_blksize = 128 * 1024,
			.st_blocks = (blkcnt_t)((data + 511) / 512),
		},
	};
	return 0;
}

/*
 * A lookup of an address: one chunk of whatever kind it is.
 */
struct by_address {
	struct parked parked;
	struct dht_op op;
	struct byhash *b;
	struct view_node *parent;
	char name[ADDRESS_TEXT_LEN + 1];
};

static void by_address_free(struct parked *p)
{
	struct by_address *a = (struct by_address *)p;

	view_drop(a->b->view, a->parent);
	free(a);
}

static void by_address_cancel(struct parked *p)
{
	dht_cancel(&((struct by_address *)p)->op);
}

static void by_address_done(struct dht_op *op)
{
	struct by_address *a = op->user;
	fuse_req_t req = parked_finish(&a->parked);
	struct view_node like;
	int r = op->result;

	if (r == 0) {
		cache_put(a->b->fs->cache, op->kind, &op->address, op->chunk);
		r = describe(op->kind, &op->address, op->chunk, &like);
	}
	if (r == 0)
		reply_node(a->b, req, a->parent, a->name, ADDRESS_TEXT_LEN, &like);
	else
		ops_err(req, r == -ECANCELED ? -EINTR : r);
	chunk_drop(op->chunk);
	parked_drop(&a->parked);
}

/* ${parent} is held for us. */
static void lookup_address(struct byhash *b, fuse_req_t req, struct view_node *parent,
    const struct address *address)
{
	struct by_address *a = calloc(1, sizeof(*a));

	if (!a) {
		view_drop(b->view, parent);
		ops_err(req, -ENOMEM);
		return;
	}
	parked_init(&a->parked, req, b->fs->parking, by_address_cancel, by_address_free);
	a->b = b;
	a->parent = parent;
	address_format(address, a->name);
	a->op.kind = KIND_ANY;
	a->op.address = *address;
	a->op.done = by_address_done;
	a->op.user = a;
	dht_lookup(b->fs->dht, &a->op);
	parked_started(&a->parked);
}

/*
 * A lookup of a name in a directory from the set.
 */
struct by_name {
	struct parked parked;
	struct fetch fetch;
	struct byhash *b;
	struct view_node *parent;
	struct entry entry;
	struct chunk *holder;	/* of what entry points to */
	bool missing;		/* there is no such name */
	size_t name_len;
	char name[NAME_LEN_MAX + 1];
};

static void by_name_free(struct parked *p)
{
	struct by_name *n = (struct by_name *)p;

	view_drop(n->b->view, n->parent);
	chunk_drop(n->holder);
	fetch_clear(&n->fetch);
	free(n);
}

static void by_name_cancel(struct parked *p)
{
	fetch_cancel(&((struct by_name *)p)->fetch);
}

static int by_name_run(struct fetch *f)
{
	struct by_name *n = (struct by_name *)((char *)f - offsetof(struct by_name, fetch));
	int r = directory_lookup(&f->source, &n->parent->ref, n->name, n->name_len, &n->entry,
	    &n->holder);

	/* A chunk that nobody has is -ENOENT too, but the fetch knows of that by itself. */
	n->missing = r == -ENOENT;
	return n->missing ? 0 : r;
}

void byhash_target(const struct entry *e, char target[SYMLINK_LEN_MAX + 1])
{
	memcpy(target, e->target, e->size);
	target[e->size] = 0;
}

static void by_name_done(struct fetch *f, int result)
{
	struct by_name *n = (struct by_name *)((char *)f - offsetof(struct by_name, fetch));
	fuse_req_t req = parked_finish(&n->parked);
	char target[SYMLINK_LEN_MAX + 1];
	struct view_node like;

	if (result < 0) {
		ops_err(req, result == -ENOENT ? -EIO : result);
	} else if (n->missing) {
		ops_err(req, -ENOENT);
	} else {
		view_from_entry(&n->entry, &like);
		if (n->entry.target) {
			byhash_target(&n->entry, target);
			like.target = target;
		}
		reply_node(n->b, req, n->parent, n->name, n->name_len, &like);
	}
	parked_drop(&n->parked);
}

static void lookup_name(struct byhash *b, fuse_req_t req, struct view_node *parent,
    const char *name)
{
	struct by_name *n = calloc(1, sizeof(*n));

	if (!n) {
		view_drop(b->view, parent);
		ops_err(req, -ENOMEM);
		return;
	}
	parked_init(&n->parked, req, b->fs->parking, by_name_cancel, by_name_free);
	n->b = b;
	n->parent = parent;
	n->name_len = strlen(name);
	memcpy(n->name, name, n->name_len + 1);
	n->fetch.run = by_name_run;
	n->fetch.done = by_name_done;
	fetch_init(&n->fetch, b->fs->dht, b->fs->cache);
	fetch_start(&n->fetch);
	parked_started(&n->parked);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool prefix_parse(const char *name, uint8_t *prefix)
{
	int high = hex_digit(name[0]), low = high < 0 ? -1 : hex_digit(name[1]);

	if (low < 0 || name[2] != 0)
		return false;
	*prefix = (uint8_t)(high << 4 | low);
	return true;
}

static struct view_node prefix_node(const struct view_node *root, uint8_t prefix)
{
	struct view_node n = { .type = VIEW_PREFIX, .prefix = prefix, .st = root->st };

	n.st.st_nlink = 2;
	return n;
}

void byhash_lookup(struct byhash *b, fuse_req_t req, uint64_t parent_ino, const char *name)
{
	struct view_node *parent = view_hold(b->view, parent_ino);
	struct address a;
	uint8_t prefix;

	if (!parent) {
		ops_err(req, -ESTALE);
		return;
	}
	if (parent->type == VIEW_ENTRY && S_ISDIR(parent->st.st_mode)) {
		if (strlen(name) <= NAME_LEN_MAX) {
			lookup_name(b, req, parent, name);
			return;
		}
		ops_err(req, -ENAMETOOLONG);
	} else if (parent->type != VIEW_ENTRY && address_parse(name, &a) == 0 &&
	    (parent->type == VIEW_ROOT || a.b[0] == parent->prefix)) {
		lookup_address(b, req, parent, &a);
		return;
	} else if (parent->type == VIEW_ROOT && prefix_parse(name, &prefix)) {
		struct view_node like = prefix_node(parent, prefix);

		reply_node(b, req, parent, name, 2, &like);
	} else {
		/* No address: nobody will ever have it, but an address may come any time. */
		ops_err(req, parent->type == VIEW_ENTRY ? -ENOTDIR : -ENOENT);
	}
	view_drop(b->view, parent);
}

void byhash_getattr(struct byhash *b, fuse_req_t req, uint64_t ino)
{
	struct view_node *n = view_hold(b->view, ino);

	if (!n) {
		ops_err(req, -ESTALE);
		return;
	}
	fuse_reply_attr(req, &n->st, ino == TREE_ROOT ? BYHASH_FRESH_S : TIMEOUT_S);
	view_drop(b->view, n);
}

void byhash_readlink(struct byhash *b, fuse_req_t req, uint64_t ino)
{
	struct view_node *n = view_hold(b->view, ino);

	if (n && n->target)
		fuse_reply_readlink(req, n->target);
	else
		ops_err(req, n ? -EINVAL : -ESTALE);
	if (n)
		view_drop(b->view, n);
}

void byhash_reading(struct byhash *b, uint64_t ino)
{
	struct view_node *n = view_hold(b->view, ino);

	if (!n)
		return;
	walks_file(b->walks, n);
	view_drop(b->view, n);
}

int byhash_file(struct byhash *b, uint64_t ino, struct file **out)
{
	struct view_node *n = view_hold(b->view, ino);
	int r;

	if (!n)
		return -ESTALE;
	r = S_ISREG(n->st.st_mode) ? file_of_ref(b->fs->files, &n->ref, out) : -EINVAL;
	view_drop(b->view, n);
	return r;
}
