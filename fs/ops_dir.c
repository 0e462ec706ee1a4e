#include "fs/ops.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fs/parked.h"

/*
 * Offsets: 1 is behind ".", 2 behind "..", then the names' cookies; by-hash comes last in
 * the root, behind all cookies that there can be.
 */
#define OFF_DOT		1
#define OFF_DOTDOT	2
#define OFF_BYHASH	INT64_MAX

#define BATCH 64u	/* names that are asked of the tree at a time */

struct listing {
	fuse_req_t req;
	struct fs *fs;
	char *buf;
	size_t size, used;
	bool plus;
};

/*
 * One name into the buffer; false: it is full.  In a plus listing the kernel counts a lookup
 * for each name but "." and "..".
 */
static bool add(struct listing *l, const char *name, const struct fuse_entry_param *e, off_t off)
{
	char *at = l->buf + l->used;
	size_t left = l->size - l->used, n;

	if (l->plus)
		n = fuse_add_direntry_plus(l->req, at, left, name, e, off);
	else
		n = fuse_add_direntry(l->req, at, left, name, &e->attr, off);
	if (n > left)
		return false;
	l->used += n;
	return true;
}

/* "." and "..", by-hash: the inode number and the type are all that counts. */
static bool add_plain(struct listing *l, const char *name, uint64_t ino, mode_t type, off_t off)
{
	struct fuse_entry_param e = { .attr = { .st_ino = ino, .st_mode = type } };

	return add(l, name, &e, off);
}

static bool add_name(struct listing *l, const struct tree_name *n, const struct inode *inode)
{
	struct fuse_entry_param e = { .ino = 0 };
	bool counted = l->plus && ops_entry(l->fs, inode, &e) == 0, fits;

	/* It would take them all the same. */
	if (counted && e.attr_timeout == 0) {
		ops_forgotten(l->fs, n->ino, 1);
		e = (struct fuse_entry_param){ .ino = 0 };
		counted = false;
	}
	/* Else the kernel is told the type alone, and looks it up if it cares. */
	e.attr.st_ino = n->ino;
	e.attr.st_mode = counted ? inode->mode : (mode_t)n->type << 12;
	fits = add(l, n->name, &e, (off_t)n->cookie);
	if (counted && !fits)
		ops_forgotten(l->fs, n->ino, 1);
	return fits;
}

void ops_untold(struct fs *fs, const char *listing, size_t len)
{
	for (size_t at = 0; at < len;) {
		struct fuse_direntplus d;

		memcpy(&d, listing + at, sizeof(d));
		if (d.entry_out.nodeid != 0)
			ops_forgotten(fs, d.entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(&d);
	}
}

/* 1: all are in; 0: the buffer is full; -errno. */
static int add_names(struct listing *l, fuse_ino_t dir, uint64_t after)
{
	struct tree_name *names = malloc(BATCH * sizeof(*names));
	struct inode *inodes = l->plus ? malloc(BATCH * sizeof(*inodes)) : NULL;
	bool full = false;
	int n = names && (inodes || !l->plus) ? (int)BATCH : -ENOMEM;

	while (n == (int)BATCH && !full) {
		n = tree_readdir(l->fs->tree, dir, after, BATCH, names, inodes);
		for (int i = 0; i < n && !full; i++) {
			after = names[i].cookie;
			full = !add_name(l, &names[i], l->plus ? &inodes[i] : NULL);
		}
	}
	free(names);
	free(inodes);
	return n < 0 ? n : !full;
}

static int list(struct listing *l, const struct inode *dir, off_t off)
{
	uint64_t parent = dir->parent ? dir->parent : TREE_ROOT;
	int r;

	if (off < OFF_DOT && !add_plain(l, ".", dir->ino, S_IFDIR, OFF_DOT))
		return 0;
	if (off < OFF_DOTDOT && !add_plain(l, "..", parent, S_IFDIR, OFF_DOTDOT))
		return 0;
	if (off == OFF_BYHASH)
		return 0;
	r = add_names(l, dir->ino, off < OFF_DOTDOT ? OFF_DOTDOT : (uint64_t)off);
	if (r == 1 && dir->ino == TREE_ROOT && l->fs->options->by_hash != BY_HASH_HIDDEN)
		add_plain(l, BYHASH_NAME, BYHASH_ROOT, S_IFDIR, OFF_BYHASH);
	return r < 0 ? r : 0;
}

static void readdir_any(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct listing l = { .req = req, .fs = ops_fs(req), .size = size, .plus = plus };
	struct inode dir;
	int r;

	if (ops_viewed(l.fs, ino)) {
		byhash_readdir(l.fs->byhash, req, fi, size, off, plus);
		return;
	}
	l.buf = malloc(size);
	r = l.buf ? tree_get(l.fs->tree, ino, &dir) : -ENOMEM;
	if (r == 0)
		r = list(&l, &dir, off);
	/* What is there is handed out, and the error comes with the next call. */
	if (r < 0 && l.used == 0)
		ops_err(req, r);
	else if (fuse_reply_buf(req, l.buf, l.used) < 0 && plus)
		ops_untold(l.fs, l.buf, l.used);
	free(l.buf);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	readdir_any(req, ino, size, off, fi, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	readdir_any(req, ino, size, off, fi, true);
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);

	if (ops_viewed(fs, ino))
		byhash_opendir(fs->byhash, req, ino, fi);
	else
		fuse_reply_open(req, fi);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);

	if (ops_viewed(fs, ino))
		byhash_releasedir(fs->byhash, req, fi);
	else
		fuse_reply_err(req, 0);
}

/*
 * fsync of a directory: done when a snapshot of the whole tree is durable, and, with a ring, when others have all of it and its head.
 */
struct dir_sync {
	struct parked parked;
	struct snapshot_waiter waiter;
	struct dht_op shared;
	struct fs *fs;
	atomic_bool asked;	/* shared has been started */
	atomic_bool cancelled;	/* perhaps just between two of them */
};

static void dir_sync_free(struct parked *p)
{
	free(p);
}

static void dir_sync_reply(struct dir_sync *s, int r)
{
	ops_err(parked_finish(&s->parked), r);
	parked_drop(&s->parked);
}

static void dir_sync_cancel(struct parked *p)
{
	struct dir_sync *s = (struct dir_sync *)p;

	atomic_store(&s->cancelled, true);
	if (snapshots_leave(s->fs->snapshots, &s->waiter))
		dir_sync_reply(s, -EINTR);
	else if (atomic_load(&s->asked))
		dht_cancel(&s->shared);
}

static void dir_sync_shared(struct dht_op *op)
{
	dir_sync_reply(op->user, op->result == -ECANCELED ? -EINTR : op->result);
}

static void dir_sync_done(struct snapshot_waiter *w, int result)
{
	struct dir_sync *s = (struct dir_sync *)((char *)w - offsetof(struct dir_sync, waiter));

	if (result < 0) {
		dir_sync_reply(s, result);
		return;
	}
	parked_hold(&s->parked);
	s->shared.done = dir_sync_shared;
	s->shared.user = s;
	dht_published(s->fs->dht, &s->shared);
	atomic_store(&s->asked, true);
	if (atomic_load(&s->cancelled))
		dht_cancel(&s->shared);
	parked_drop(&s->parked);
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct dir_sync *s;

	(void)datasync, (void)fi;
	if (ops_viewed(fs, ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		ops_err(req, -ENOMEM);
		return;
	}
	parked_init(&s->parked, req, fs->parking, dir_sync_cancel, dir_sync_free);
	s->fs = fs;
	s->waiter.done = dir_sync_done;
	snapshots_wait(fs->snapshots, &s->waiter);
	parked_started(&s->parked);
}
