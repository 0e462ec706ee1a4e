#include "fs/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fs/loop.h"

/* The name by-hash in the root is taken, for everything. */
static bool reserved(fuse_ino_t parent, const char *name)
{
	return parent == TREE_ROOT && strcmp(name, BYHASH_NAME) == 0;
}

static void reply_entry(fuse_req_t req, const struct inode *inode)
{
	struct fs *fs = ops_fs(req);
	struct fuse_entry_param e;
	int r = ops_entry(fs, inode, &e);

	if (r < 0)
		ops_err(req, r);
	else if (fuse_reply_entry(req, &e) < 0)
		ops_forgotten(fs, inode->ino, 1);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = ops_fs(req);
	struct fuse_entry_param none = { .ino = 0, .entry_timeout = TIMEOUT_S };
	struct inode inode;
	int r;

	if (reserved(parent, name)) {
		struct fuse_entry_param e = {
			.ino = BYHASH_ROOT, .generation = 1, .entry_timeout = TIMEOUT_S
		};

		byhash_root_stat(fs->byhash, &e.attr);
		fuse_reply_entry(req, &e);
		return;
	}
	if (ops_viewed(fs, parent)) {
		byhash_lookup(fs->byhash, req, parent, name);
		return;
	}
	/* "." and "..": asked for by inode number, from NFS handles. */
	if (strcmp(name, ".") == 0) {
		r = tree_get(fs->tree, parent, &inode);
	} else if (strcmp(name, "..") == 0) {
		r = tree_get(fs->tree, parent, &inode);
		if (r == 0)
			r = tree_get(fs->tree, inode.parent ? inode.parent : TREE_ROOT, &inode);
	} else {
		r = tree_lookup(fs->tree, parent, name, &inode);
	}
	if (r == 0)
		reply_entry(req, &inode);
	else if (r == -ENOENT)
		fuse_reply_entry(req, &none);
	else
		ops_err(req, r);
}

/* Makes an inode; 0, or answered with the error. */
static int create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
    const char *target, struct inode *out)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct fs *fs = ops_fs(req);
	struct new_inode n = {
		.mode = mode,
		.uid = ctx->uid,
		.gid = ctx->gid,
		.target = target,
		.now = fs_now(),
	};
	int r;

	if (!ops_writable(req, parent))
		return -EROFS;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		n.rdev = (uint64_t)major(rdev) << 32 | minor(rdev);
	r = reserved(parent, name) ? -EEXIST :
	    tree_create(fs->tree, parent, name, &n, ctx->umask, out);
	if (r < 0)
		ops_err(req, r);
	else
		ops_names_changed(fs, parent);
	return r;
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct inode inode;

	if (create(req, parent, name, mode, rdev, NULL, &inode) == 0)
		reply_entry(req, &inode);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct inode inode;

	if (create(req, parent, name, (mode & ~(mode_t)S_IFMT) | S_IFDIR, 0, NULL, &inode) == 0)
		reply_entry(req, &inode);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct inode inode;

	if (create(req, parent, name, S_IFLNK | 0777, 0, target, &inode) == 0)
		reply_entry(req, &inode);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
    struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct fuse_entry_param e;
	struct inode inode;
	struct file *f;
	int r;

	if (create(req, parent, name, (mode & ~(mode_t)S_IFMT) | S_IFREG, 0, NULL, &inode) < 0)
		return;
	r = file_get(fs->files, inode.ino, &f);
	if (r < 0) {
		ops_err(req, r);
		return;
	}
	r = ops_entry(fs, &inode, &e);
	if (r < 0) {
		file_put(f);
		ops_err(req, r);
		return;
	}
	e.attr_timeout = WRITTEN_TIMEOUT_S;
	ops_opened(fi, f);
	if (fuse_reply_create(req, &e, fi) < 0) {
		ops_closed(fi);
		ops_forgotten(fs, inode.ino, 1);
	}
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fs *fs = ops_fs(req);
	struct inode inode;
	int r;

	if (!ops_writable(req, parent))
		return;
	if (ops_viewed(fs, ino))
		r = -EXDEV;
	else if (reserved(parent, name))
		r = -EEXIST;
	else
		r = tree_link(fs->tree, ino, parent, name, fs_now(), &inode);
	if (r < 0) {
		ops_err(req, r);
		return;
	}
	ops_names_changed(fs, parent);
	reply_entry(req, &inode);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name,
    int (*remove)(struct tree *, uint64_t, const char *, struct timestamp, struct inode *))
{
	struct fs *fs = ops_fs(req);
	struct inode gone;
	int r;

	if (!ops_writable(req, parent))
		return;
	told_removing(fs->told);
	r = reserved(parent, name) ? -EBUSY : remove(fs->tree, parent, name, fs_now(), &gone);
	told_removed(fs->told, r == 0 && gone.nlink > 0 ? gone.ino : 0);
	if (r == 0)
		ops_names_changed(fs, parent);
	ops_err(req, r);
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, tree_unlink);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, tree_rmdir);
}

/*
 * A file that takes another's name must be in the checkpoint that has the rename, with what
 * was written to it: marked before the rename, for a checkpoint may come just after.
 */
static void keep_whole(struct fs *fs, fuse_ino_t parent, const char *name,
    fuse_ino_t new_parent, const char *new_name)
{
	struct inode moved, replaced;
	struct file *f;

	if (tree_lookup(fs->tree, parent, name, &moved) < 0 || !S_ISREG(moved.mode) ||
	    tree_lookup(fs->tree, new_parent, new_name, &replaced) < 0)
		return;
	f = file_find(fs->files, moved.ino);
	if (!f)
		return;
	file_must_publish(f);
	file_put(f);
}

static int rename_it(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned int flags)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct new_inode whiteout = {
		.mode = S_IFCHR, .uid = ctx->uid, .gid = ctx->gid, .now = fs_now(),
	};
	struct fs *fs = ops_fs(req);
	struct inode moved, gone;
	int r;

	told_removing(fs->told);
	if (flags & RENAME_WHITEOUT)
		r = tree_rename_whiteout(fs->tree, parent, name, new_parent, new_name,
		    flags & ~RENAME_WHITEOUT, &whiteout, &moved, &gone);
	else
		r = tree_rename(fs->tree, parent, name, new_parent, new_name, flags, whiteout.now, &moved, &gone);
	told_removed(fs->told, r == 0 && gone.nlink > 0 ? gone.ino : 0);
	return r;
}

/* Its own time of change is another now, which the kernel keeps of regular files only. */
static void moved_to(struct fs *fs, fuse_ino_t parent, const char *name)
{
	struct inode inode;

	if (tree_lookup(fs->tree, parent, name, &inode) == 0 && !S_ISREG(inode.mode))
		told_changed(fs->told, fs->session, inode.ino);
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned int flags)
{
	struct fs *fs = ops_fs(req);
	int r;

	if (!ops_writable(req, parent) || !ops_writable(req, new_parent))
		return;
	if (reserved(parent, name) || reserved(new_parent, new_name)) {
		ops_err(req, -EBUSY);
		return;
	}
	keep_whole(fs, parent, name, new_parent, new_name);
	if (flags & RENAME_EXCHANGE)
		keep_whole(fs, new_parent, new_name, parent, name);
	r = rename_it(req, parent, name, new_parent, new_name, flags);
	if (r == 0) {
		ops_names_changed(fs, parent);
		ops_names_changed(fs, new_parent);
		moved_to(fs, new_parent, new_name);
		if (flags & RENAME_EXCHANGE)
			moved_to(fs, parent, name);
	}
	ops_err(req, r);
}
