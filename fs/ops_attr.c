#include "fs/ops.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/loop.h"
#include "fs/people.h"
#include "fs/session.h"

static struct timestamp to_timestamp(struct timespec t)
{
	return (struct timestamp){ .sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec };
}

static void reply_attr(fuse_req_t req, const struct inode *inode)
{
	struct stat st;
	double timeout_s = ops_stat(ops_fs(req), inode, &st);

	fuse_reply_attr(req, &st, timeout_s);
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct inode inode;
	struct stat st;
	double timeout_s;
	int r;

	(void)fi;
	if (ops_viewed(fs, ino)) {
		byhash_getattr(fs->byhash, req, ino);
		return;
	}
	r = tree_get(fs->tree, ino, &inode);
	if (r < 0) {
		ops_err(req, r);
		return;
	}
	timeout_s = ops_stat(fs, &inode, &st);
	/* So that only who asked takes it. */
	if (timeout_s == 0)
		fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
	fuse_reply_attr(req, &st, timeout_s);
}

/*
 * The fields of struct stat that setattr(2) and friends asked for, as the tree's.  A time that is to
 * be now comes with the kernel's value of that, which is better: others of the same call have it too.
 */
static unsigned int wanted(const struct stat *attr, int to_set, bool kill_priv,
    struct timestamp now, struct inode *in)
{
	unsigned int which = 0;

	if (to_set & FUSE_SET_ATTR_MODE) {
		in->mode = attr->st_mode;
		which |= SET_MODE;
	}
	if (to_set & FUSE_SET_ATTR_UID) {
		in->uid = attr->st_uid;
		which |= SET_UID;
	}
	if (to_set & FUSE_SET_ATTR_GID) {
		in->gid = attr->st_gid;
		which |= SET_GID;
	}
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) {
		in->atime = to_timestamp(attr->st_atim);
		which |= SET_ATIME;
	}
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
		in->mtime = to_timestamp(attr->st_mtim);
		which |= SET_MTIME;
	}
	in->ctime = to_set & FUSE_SET_ATTR_CTIME ? to_timestamp(attr->st_ctim) : now;
	which |= SET_CTIME;
	/* The kernel does not say it of a chown() that names neither owner nor group. */
	if (kill_priv || !(to_set & ~FUSE_SET_ATTR_CTIME))
		which |= SET_KILL_PRIV;
	return which;
}

/*
 * The content in memory goes with times of its own: they must not be older than the row's, nor be
 * in the row before that content is (*${which} is then without them).
 */
static int set_file(struct fs *fs, fuse_ino_t ino, const struct stat *attr, int to_set,
    const struct inode *in, unsigned int *which)
{
	const unsigned int times = SET_MTIME | SET_CTIME;
	struct file *f;
	int r = 0;

	if (to_set & FUSE_SET_ATTR_SIZE) {
		struct timestamp now = in->ctime;

		if (attr->st_size < 0)
			return -EINVAL;
		r = file_get(fs->files, ino, &f);
		if (r < 0)
			return r;
		r = file_truncate(f, (uint64_t)attr->st_size, &now);
	} else {
		f = file_find(fs->files, ino);
	}
	if (!f)
		return 0;
	/* The ctime of a change to the row itself stays with that. */
	if (r == 0 && file_set_times(f, *which & SET_MTIME ? &in->mtime : NULL, &in->ctime))
		*which &= *which & ~times ? ~(unsigned int)SET_MTIME : ~times;
	file_put(f);
	return r;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
    struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct inode in = { .ino = ino }, inode;
	unsigned int which;
	int r;

	(void)fi;
	if (!ops_writable(req, ino))
		return;
	which = wanted(attr, to_set, loop_kill_priv(), fs_now(), &in);
	r = set_file(fs, ino, attr, to_set, &in, &which);
	if (r == 0)
		r = tree_set_attr(fs->tree, ino, &in, which, &inode);
	if (r < 0) {
		ops_err(req, r);
		return;
	}
	ops_changed(fs);
	reply_attr(req, &inode);
}

void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = ops_fs(req);
	char target[SYMLINK_LEN_MAX + 1];
	int r;

	if (ops_viewed(fs, ino)) {
		byhash_readlink(fs->byhash, req, ino);
		return;
	}
	r = tree_readlink(fs->tree, ino, target);
	if (r < 0)
		ops_err(req, r);
	else
		fuse_reply_readlink(req, target);
}

/* An access ACL changes the mode, as chmod(2) does: not everybody may keep set-gid in it. */
static int kill_sgid(struct fs *fs, fuse_ino_t ino)
{
	struct inode inode;
	int r = tree_get(fs->tree, ino, &inode);

	if (r < 0 || !(inode.mode & S_ISGID))
		return r;
	inode.mode &= ~(uint32_t)S_ISGID;
	return tree_set_attr(fs->tree, ino, &inode, SET_MODE, &inode);
}

static void xattr_changed(struct fs *fs, fuse_ino_t ino, const char *name)
{
	static const char acl[] = "system.posix_acl_";
	struct inode inode;

	ops_changed(fs);
	if (strncmp(name, acl, sizeof(acl) - 1) == 0 || (tree_get(fs->tree, ino, &inode) == 0 && !S_ISREG(inode.mode)))
		told_changed(fs->told, fs->session, ino);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
    size_t size, int flags)
{
	struct fs *fs = ops_fs(req);
	int r;

	if (!ops_writable(req, ino))
		return;
	r = people_has(name) ? -EPERM :
	    tree_set_xattr(fs->tree, ino, name, value, size, flags & ~SESSION_KILL_SGID, fs_now());
	if (r == 0) {
		if (flags & SESSION_KILL_SGID)
			r = kill_sgid(fs, ino);
		xattr_changed(fs, ino, name);
	}
	ops_err(req, r);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fs *fs = ops_fs(req);
	int r;

	if (!ops_writable(req, ino))
		return;
	r = people_has(name) ? -EPERM : tree_remove_xattr(fs->tree, ino, name, fs_now());
	if (r == 0)
		xattr_changed(fs, ino, name);
	ops_err(req, r);
}

/* Answers with a length where size is 0, else with that many bytes of what get() wrote. */
static void reply_xattr(fuse_req_t req, size_t size, char *buf, ssize_t n)
{
	if (n < 0)
		ops_err(req, (int)n);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = ops_fs(req);
	char *buf = NULL;

	if (ops_viewed(fs, ino)) {
		byhash_getxattr(fs->byhash, req, ino, name, size);
		return;
	}
	if (people_has(name)) {
		people_getxattr(fs, req, ino, name, size);
		return;
	}
	if (size > XATTR_SIZE_MAX)
		size = XATTR_SIZE_MAX;
	if (size > 0) {
		buf = malloc(size);
		if (!buf) {
			ops_err(req, -ENOMEM);
			return;
		}
	}
	reply_xattr(req, size, buf, tree_get_xattr(fs->tree, ino, name, buf, size));
	free(buf);
}

/* What is for root is not told to others: the kernel leaves that to the filesystem. */
static ssize_t without_trusted(char *names, ssize_t len)
{
	static const char trusted[] = "trusted.";
	ssize_t kept = 0;

	for (ssize_t at = 0; at < len; ) {
		ssize_t n = (ssize_t)strlen(names + at) + 1;

		if (strncmp(names + at, trusted, sizeof(trusted) - 1) != 0) {
			memmove(names + kept, names + at, (size_t)n);
			kept += n;
		}
		at += n;
	}
	return kept;
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fs *fs = ops_fs(req);
	char *buf;
	ssize_t n;

	if (ops_viewed(fs, ino)) {
		byhash_listxattr(fs->byhash, req, ino, size);
		return;
	}
	buf = malloc(XATTR_LIST_MAX);
	if (!buf) {
		ops_err(req, -ENOMEM);
		return;
	}
	n = tree_list_xattr(fs->tree, ino, buf, XATTR_LIST_MAX);
	if (n > 0 && fuse_req_ctx(req)->uid != 0)
		n = without_trusted(buf, n);
	if (size > 0 && n > (ssize_t)size)
		n = -ERANGE;
	reply_xattr(req, size, buf, n);
	free(buf);
}

/*
 * The kernel looks away from an inode.  Only orphans care: their last user is gone.  (No
 * name leads to an orphan, so no lookup can come in between.)
 */
void ops_forgotten(struct fs *fs, fuse_ino_t ino, uint64_t n)
{
	struct inode inode;
	struct file *f;
	uint64_t freed = 0;

	if (ops_viewed(fs, ino)) {
		byhash_forget(fs->byhash, ino, n);
		return;
	}
	if (!known_forget(fs->known, ino, n) || ino == TREE_ROOT ||
	    !tree_is_orphan(fs->tree, ino))
		return;
	if (tree_get(fs->tree, ino, &inode) == 0 && S_ISREG(inode.mode)) {
		freed = inode.data;
		f = file_find(fs->files, ino);
		if (f) {
			file_discard(f);
			file_put(f);
		}
	}
	tree_forget(fs->tree, ino);
	collector_freed(fs->collector, freed);
	ops_changed(fs);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	ops_forgotten(ops_fs(req), ino, lookups);
	fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		ops_forgotten(ops_fs(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	enum { BLOCK = 4096 };
	struct fs *fs = ops_fs(req);
	struct collector_status collected;
	struct dht_space space;
	struct statvfs st = { .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = NAME_LEN_MAX };
	uint64_t inodes;

	(void)ino;
	dht_space(fs->dht, &space);
	tree_count(fs->tree, &inodes);
	/* What only old snapshots hold is there for who needs it. */
	collector_status(fs->collector, &collected);
	space.available += collected.old_bytes;
	if (space.available > space.limit)
		space.available = space.limit;
	st.f_blocks = space.limit / BLOCK;
	st.f_bfree = st.f_bavail = space.available / BLOCK;
	/* An inode costs some hundred bytes of the disk that the chunks are on. */
	st.f_ffree = st.f_favail = space.available / 512;
	st.f_files = inodes + st.f_ffree;
	fuse_reply_statfs(req, &st);
}
