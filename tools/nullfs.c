/*
 * nullfs: what a FUSE mount costs when the filesystem behind it costs nothing.  A whole tree in memory,
 * xattrs too, but what is written to a file is thrown away, and reads give a fixed pattern.  It is mounted
 * with the settings of dhtfs, and answers the same requests (flush, open and release too, which a
 * filesystem without promises could do without), so that the ratio of the two is dhtfs's own cost.
 * With -o keep it keeps what is written, in memory, for programs that read their files back.
 */
#define FUSE_USE_VERSION 314
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/session.h"
#include "tools/nulltree.h"

#define TIMEOUT_S 86400.0
#define IO_MAX (1 << 20)
#define THREADS_IDLE_MAX 10
#define BLOCKS_FREE (1ull << 30)

/* Over all of the tree.  Held for the memory operation only, never while the kernel is answered. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct inode *root;
static int keep;			/* contents too */
static char pattern[2 * IO_MAX];	/* the same twice: one piece of it serves any offset */

static struct inode *inode_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? root : (struct inode *)(uintptr_t)ino;
}

/* Counts the lookup that the kernel will count. */
static struct fuse_entry_param entry_param(struct inode *inode)
{
	inode->lookups++;
	return (struct fuse_entry_param){
		.ino = inode == root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)inode,
		.attr = inode->attr,
		.attr_timeout = TIMEOUT_S,
		.entry_timeout = TIMEOUT_S,
	};
}

static void null_init(void *userdata, struct fuse_conn_info *conn)
{
	static const unsigned int wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC |
	    FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
	    FUSE_CAP_ASYNC_DIO | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_PARALLEL_DIROPS |
	    FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS;

	(void)userdata;
	conn->want = conn->capable & wanted;
	conn->max_write = IO_MAX;
	conn->max_readahead = IO_MAX;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	/* Without an inode it says, for as long, that there is no such name. */
	struct fuse_entry_param e = { .entry_timeout = TIMEOUT_S };
	struct inode *inode;

	pthread_mutex_lock(&lock);
	inode = tree_find(inode_of(parent), name);
	if (inode)
		e = entry_param(inode);
	pthread_mutex_unlock(&lock);
	fuse_reply_entry(req, &e);
}

static void forget(fuse_ino_t ino, uint64_t count)
{
	if (ino != FUSE_ROOT_ID)
		tree_forget(inode_of(ino), count);
}

static void null_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	pthread_mutex_lock(&lock);
	forget(ino, count);
	pthread_mutex_unlock(&lock);
	fuse_reply_none(req);
}

static void null_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++)
		forget(forgets[i].ino, forgets[i].nlookup);
	pthread_mutex_unlock(&lock);
	fuse_reply_none(req);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;

	(void)fi;
	pthread_mutex_lock(&lock);
	attr = inode_of(ino)->attr;
	pthread_mutex_unlock(&lock);
	fuse_reply_attr(req, &attr, TIMEOUT_S);
}

static void set_times(struct inode *inode, const struct stat *attr, int to_set)
{
	struct timespec now = inode->attr.st_ctim;

	if (to_set & FUSE_SET_ATTR_ATIME)
		inode->attr.st_atim = to_set & FUSE_SET_ATTR_ATIME_NOW ? now : attr->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME)
		inode->attr.st_mtim = to_set & FUSE_SET_ATTR_MTIME_NOW ? now : attr->st_mtim;
	if (to_set & FUSE_SET_ATTR_CTIME)
		inode->attr.st_ctim = attr->st_ctim;
}

static void drop_set_id(struct inode *inode)
{
	inode->attr.st_mode &= ~S_ISUID;
	if (inode->attr.st_mode & S_IXGRP)
		inode->attr.st_mode &= ~S_ISGID;
}

static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	struct stat after;

	(void)fi;
	pthread_mutex_lock(&lock);
	tree_change(inode);
	if (to_set & FUSE_SET_ATTR_UID)
		inode->attr.st_uid = attr->st_uid;
	if (to_set & FUSE_SET_ATTR_GID)
		inode->attr.st_gid = attr->st_gid;
	if ((to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) && !S_ISDIR(inode->attr.st_mode))
		drop_set_id(inode);
	if (to_set & FUSE_SET_ATTR_MODE)
		inode->attr.st_mode = (inode->attr.st_mode & S_IFMT) | (attr->st_mode & ~S_IFMT);
	if (to_set & FUSE_SET_ATTR_SIZE) {
		tree_resize(inode, attr->st_size);
		inode->attr.st_mtim = inode->attr.st_ctim;
	}
	set_times(inode, attr, to_set);
	after = inode->attr;
	pthread_mutex_unlock(&lock);
	fuse_reply_attr(req, &after, TIMEOUT_S);
}

static void null_readlink(fuse_req_t req, fuse_ino_t ino)
{
	fuse_reply_readlink(req, inode_of(ino)->target);	/* never changes */
}

/* Under the lock.  The group comes from a set-group-id directory, and so does that bit for directories. */
static int make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
		struct fuse_entry_param *e)
{
	const struct fuse_ctx *who = fuse_req_ctx(req);
	struct inode *dir = inode_of(parent), *inode;
	int rc = tree_make(dir, name, mode & ~who->umask, &inode);

	if (rc < 0)
		return rc;
	inode->attr.st_rdev = rdev;
	inode->attr.st_uid = who->uid;
	inode->attr.st_gid = who->gid;
	if (dir->attr.st_mode & S_ISGID) {
		inode->attr.st_gid = dir->attr.st_gid;
		if (S_ISDIR(mode))
			inode->attr.st_mode |= S_ISGID;
	}
	*e = entry_param(inode);
	return 0;
}

static void reply_entry(fuse_req_t req, int rc, const struct fuse_entry_param *e)
{
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_entry(req, e);
}

static void null_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct fuse_entry_param e;
	int rc;

	pthread_mutex_lock(&lock);
	rc = make(req, parent, name, mode, rdev, &e);
	pthread_mutex_unlock(&lock);
	reply_entry(req, rc, &e);
}

static void null_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	null_mknod(req, parent, name, S_IFDIR | mode, 0);
}

static void null_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	int rc;

	pthread_mutex_lock(&lock);
	rc = make(req, parent, name, S_IFREG | mode, 0, &e);
	pthread_mutex_unlock(&lock);
	fi->keep_cache = 1;
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_create(req, &e, fi);
}

static void null_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	char *copy = strdup(target);
	int rc = -ENOMEM;

	pthread_mutex_lock(&lock);
	if (copy)
		rc = make(req, parent, name, S_IFLNK | 0777, 0, &e);
	if (rc == 0) {
		inode_of(e.ino)->target = copy;
		inode_of(e.ino)->attr.st_size = e.attr.st_size = strlen(copy);
		copy = NULL;
	}
	pthread_mutex_unlock(&lock);
	free(copy);
	reply_entry(req, rc, &e);
}

static void null_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int rc;

	pthread_mutex_lock(&lock);
	rc = tree_link(inode_of(ino), inode_of(parent), name);
	if (rc == 0)
		e = entry_param(inode_of(ino));
	pthread_mutex_unlock(&lock);
	reply_entry(req, rc, &e);
}

static void null_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int rc;

	pthread_mutex_lock(&lock);
	rc = tree_unlink(inode_of(parent), name, false);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, -rc);
}

static void null_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int rc;

	pthread_mutex_lock(&lock);
	rc = tree_unlink(inode_of(parent), name, true);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, -rc);
}

static void null_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		const char *new_name, unsigned int flags)
{
	int rc;

	pthread_mutex_lock(&lock);
	rc = tree_rename(inode_of(parent), name, inode_of(new_parent), new_name, flags);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, -rc);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->flags & O_TRUNC) {
		pthread_mutex_lock(&lock);
		tree_resize(inode_of(ino), 0);
		tree_touch(inode_of(ino));
		pthread_mutex_unlock(&lock);
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void reply_kept(fuse_req_t req, struct inode *inode, size_t size, off_t offset)
{
	char *copy = malloc(size + 1);

	if (!copy) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&lock);
	tree_load(inode, copy, size, offset);
	pthread_mutex_unlock(&lock);
	fuse_reply_buf(req, copy, size);
	free(copy);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	off_t end;

	(void)fi;
	pthread_mutex_lock(&lock);
	end = inode_of(ino)->attr.st_size;
	pthread_mutex_unlock(&lock);
	if (offset >= end)
		size = 0;
	else if ((off_t)size > end - offset)
		size = end - offset;
	if (size > IO_MAX)
		size = IO_MAX;
	if (keep)
		reply_kept(req, inode_of(ino), size, offset);
	else
		fuse_reply_buf(req, pattern + offset % IO_MAX, size);
}

/* Under the lock. */
static void wrote(struct inode *inode, off_t end)
{
	if (end > inode->attr.st_size)
		tree_resize(inode, end);
	tree_touch(inode);
}

static void null_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	int rc = 0;

	(void)fi;
	pthread_mutex_lock(&lock);
	if (keep)
		rc = tree_store(inode_of(ino), data, size, offset);
	if (rc == 0)
		wrote(inode_of(ino), offset + size);
	pthread_mutex_unlock(&lock);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_write(req, size);
}

static void null_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t offset_in,
		struct fuse_file_info *fi_in, fuse_ino_t to, off_t offset_out,
		struct fuse_file_info *fi_out, size_t size, int flags)
{
	off_t end;

	(void)fi_in;
	(void)fi_out;
	(void)flags;
	if (keep) {	/* the kernel then reads and writes */
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	pthread_mutex_lock(&lock);
	end = inode_of(from)->attr.st_size;
	if (offset_in >= end)
		size = 0;
	else if ((off_t)size > end - offset_in)
		size = end - offset_in;
	if (size > 0)
		wrote(inode_of(to), offset_out + size);
	pthread_mutex_unlock(&lock);
	fuse_reply_write(req, size);
}

static void null_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		struct fuse_file_info *fi)
{
	(void)fi;
	/* What is kept is not given up here: a hole would still read as before. */
	if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) ||
	    (keep && (mode & ~FALLOC_FL_KEEP_SIZE))) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	pthread_mutex_lock(&lock);
	wrote(inode_of(ino), mode & FALLOC_FL_KEEP_SIZE ? 0 : offset + length);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, 0);
}

/* A file is data from end to end. */
static void null_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		struct fuse_file_info *fi)
{
	off_t end;

	(void)fi;
	pthread_mutex_lock(&lock);
	end = inode_of(ino)->attr.st_size;
	pthread_mutex_unlock(&lock);
	if (offset < 0 || offset >= end)
		fuse_reply_err(req, ENXIO);
	else
		fuse_reply_lseek(req, whence == SEEK_HOLE ? end : offset);
}

static void null_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void null_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void null_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

/* The entry's size in the buffer, or more than ${size}, and then the lookup is not counted. */
static size_t add_entry(fuse_req_t req, char *out, size_t size, const char *name, struct inode *inode,
		off_t cookie, bool plus)
{
	struct fuse_entry_param e;
	size_t len;

	if (!plus)
		return fuse_add_direntry(req, out, size, name, &inode->attr, cookie);
	e = entry_param(inode);
	len = fuse_add_direntry_plus(req, out, size, name, &e, cookie);
	if (len > size || cookie <= COOKIE_DOTS)
		inode->lookups--;	/* the kernel counts none for "." and ".." */
	return len;
}

static size_t fill(fuse_req_t req, struct inode *dir, char *out, size_t size, uint64_t cookie, bool plus)
{
	size_t used = 0, len;
	struct entry *e;

	if (cookie < 1) {
		len = add_entry(req, out, size, ".", dir, 1, plus);
		if (len > size)
			return 0;
		used = len;
	}
	if (cookie < COOKIE_DOTS) {
		len = add_entry(req, out + used, size - used, "..", dir->parent, COOKIE_DOTS, plus);
		if (len > size - used)
			return used;
		used += len;
		cookie = COOKIE_DOTS;
	}
	while ((e = tree_next(dir, cookie)) != NULL) {
		len = add_entry(req, out + used, size - used, e->name, e->inode, e->cookie, plus);
		if (len > size - used)
			break;
		used += len;
		cookie = e->cookie;
	}
	return used;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie, bool plus)
{
	char *out = malloc(size);
	size_t used;

	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&lock);
	used = fill(req, inode_of(ino), out, size, cookie, plus);
	pthread_mutex_unlock(&lock);
	fuse_reply_buf(req, out, used);
	free(out);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
		struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, cookie, false);
}

static void null_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
		struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, cookie, true);
}

static void null_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	fuse_reply_statfs(req, &(struct statvfs){
		.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255,
		.f_blocks = BLOCKS_FREE, .f_bfree = BLOCKS_FREE, .f_bavail = BLOCKS_FREE,
		.f_files = BLOCKS_FREE, .f_ffree = BLOCKS_FREE, .f_favail = BLOCKS_FREE,
	});
}

/* An access list is the mode too.  One with no more in it than the mode (cp -a sets those) is not kept:
 * 1; else 0, or -EINVAL. */
static int set_mode_from_acl(struct inode *inode, const char *value, size_t size)
{
	const size_t header = sizeof(struct posix_acl_xattr_header);
	struct posix_acl_xattr_entry entry;
	mode_t mode = 0, bits;
	bool has_mask = false;

	if (size < header || (size - header) % sizeof(entry) != 0)
		return -EINVAL;
	for (size_t at = header; at < size; at += sizeof(entry)) {
		memcpy(&entry, value + at, sizeof(entry));
		bits = le16toh(entry.e_perm) & 7;
		switch (le16toh(entry.e_tag)) {
		case ACL_USER_OBJ:
			mode |= bits << 6;
			break;
		case ACL_GROUP_OBJ:
			mode |= bits << 3;
			break;
		case ACL_MASK:	/* comes after the group's entry, and stands in its place */
			mode = (mode & ~S_IRWXG) | bits << 3;
			has_mask = true;
			break;
		case ACL_OTHER:
			mode |= bits;
			break;
		}
	}
	inode->attr.st_mode = (inode->attr.st_mode & ~0777) | mode;
	tree_change(inode);
	return !has_mask;
}

static void null_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		size_t size, int flags)
{
	struct inode *inode = inode_of(ino);
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0)
		rc = set_mode_from_acl(inode, value, size);
	if (rc == 0)
		rc = xattr_set(inode, name, value, size, flags);
	else if (rc == 1) {
		xattr_remove(inode, name);
		rc = 0;
	}
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, -rc);
}

static void reply_xattr(fuse_req_t req, ssize_t len, const char *copy, size_t size)
{
	if (len < 0)
		fuse_reply_err(req, -len);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else if ((size_t)len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, copy, len);
}

static void null_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char copy[size + 1];	/* at most XATTR_SIZE_MAX: the kernel sees to that */
	const char *value;
	ssize_t len;

	pthread_mutex_lock(&lock);
	len = xattr_get(inode_of(ino), name, &value);
	if (len >= 0 && (size_t)len <= size)
		memcpy(copy, value, len);
	pthread_mutex_unlock(&lock);
	reply_xattr(req, len, copy, size);
}

static void null_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char copy[size + 1];
	size_t len;

	pthread_mutex_lock(&lock);
	len = xattr_list(inode_of(ino), copy, size);
	pthread_mutex_unlock(&lock);
	reply_xattr(req, len, copy, size);
}

static void null_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	int rc;

	pthread_mutex_lock(&lock);
	rc = xattr_remove(inode_of(ino), name);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, -rc);
}

static const struct fuse_lowlevel_ops operations = {
	.init = null_init,
	.lookup = null_lookup,
	.forget = null_forget,
	.forget_multi = null_forget_multi,
	.getattr = null_getattr,
	.setattr = null_setattr,
	.readlink = null_readlink,
	.mknod = null_mknod,
	.mkdir = null_mkdir,
	.unlink = null_unlink,
	.rmdir = null_rmdir,
	.symlink = null_symlink,
	.rename = null_rename,
	.link = null_link,
	.open = null_open,
	.read = null_read,
	.write = null_write,
	.flush = null_flush,
	.release = null_flush,
	.fsync = null_fsync,
	.opendir = null_opendir,
	.releasedir = null_flush,
	.readdir = null_readdir,
	.readdirplus = null_readdirplus,
	.fsyncdir = null_fsync,
	.statfs = null_statfs,
	.setxattr = null_setxattr,
	.getxattr = null_getxattr,
	.listxattr = null_listxattr,
	.removexattr = null_removexattr,
	.create = null_create,
	.fallocate = null_fallocate,
	.copy_file_range = null_copy_file_range,
	.lseek = null_lseek,
};

/* Incompressible, and the same in every run (xorshift64*, Vigna 2016). */
static void make_pattern(void)
{
	uint64_t x = 1, word;

	for (size_t i = 0; i < IO_MAX; i += sizeof(word)) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		word = x * 0x2545f4914f6cdd1d;
		memcpy(pattern + i, &word, sizeof(word));
	}
	memcpy(pattern + IO_MAX, pattern, IO_MAX);
}

static int serve(struct fuse_session *se, const struct fuse_cmdline_opts *opts)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc = -1;

	if (!config)
		return -1;
	fuse_loop_cfg_set_idle_threads(config, THREADS_IDLE_MAX);
	if (fuse_set_signal_handlers(se) != 0)
		goto err_config;
	if (fuse_session_mount(se, opts->mountpoint) != 0)
		goto err_signals;
	rc = session_custom_io(se);
	session_read_ahead(opts->mountpoint);
	if (rc < 0)
		fprintf(stderr, "nullfs: %s\n", strerror(-rc));
	if (rc == 0 && fuse_daemonize(opts->foreground) == 0)
		rc = fuse_session_loop_mt(se, config);
	fuse_session_unmount(se);
err_signals:
	fuse_remove_signal_handlers(se);
err_config:
	fuse_loop_cfg_destroy(config);
	/* A signal is a proper end. */
	return rc == SIGINT || rc == SIGTERM || rc == SIGHUP ? 0 : rc;
}

static const struct fuse_opt options[] = {
	{ "keep", 0, 1 },
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts = { 0 };
	struct fuse_session *se = NULL;
	int rc = -1;

	if (fuse_opt_parse(&args, &keep, options, NULL) != 0 || fuse_parse_cmdline(&args, &opts) != 0)
		return 2;
	if (opts.show_help || !opts.mountpoint) {
		puts("usage: nullfs [-f] [-d] [-o OPTIONS] MOUNTPOINT");
		rc = opts.show_help ? 0 : 2;
		goto err;
	}
	if (fuse_opt_add_arg(&args, "-odefault_permissions,fsname=nullfs,subtype=nullfs") != 0)
		goto err;
	make_pattern();
	root = tree_init();
	if (!root)
		goto err;
	root->attr.st_uid = getuid();
	root->attr.st_gid = getgid();
	se = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (se)
		rc = serve(se, &opts);
err:
	if (se)
		fuse_session_destroy(se);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return rc == 0 ? 0 : rc == 2 ? 2 : 1;
}
