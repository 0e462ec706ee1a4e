/* tree_attr: attributes as chmod, chown, utimensat and writes set them. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/acl.h"
#include "fs/tree_internal.h"

/*
 * As chown(2) and write(2) do it: set-uid goes, and set-gid where it means what set-uid does;
 * without the group's x it once stood for mandatory locks, and is left alone.
 */
static void kill_set_id(struct inode *i)
{
	if (S_ISDIR(i->mode))
		return;
	i->mode &= ~(uint32_t)S_ISUID;
	if (i->mode & S_IXGRP)
		i->mode &= ~(uint32_t)S_ISGID;
}

/* The access ACL follows the mode. */
static int chmod_acl(struct tree *t, struct inode *i)
{
	MDB_val v;
	int rc;

	if (!(i->flags & INODE_XATTRS) || S_ISLNK(i->mode))
		return 0;
	rc = xattr_get(&t->live, i->ino, XATTR_ACCESS, &v);
	if (rc)
		return rc == -ENODATA ? 0 : rc;
	if (v.mv_size > TREE_XATTRS_MAX || acl_check(v.mv_data, v.mv_size) != 0)
		return -EIO;
	memcpy(t->scratch, v.mv_data, v.mv_size);
	acl_chmod(t->scratch, v.mv_size, i->mode);
	if (memcmp(t->scratch, v.mv_data, v.mv_size) == 0)
		return 0;
	return xattr_put(t, i, XATTR_ACCESS, t->scratch, v.mv_size);
}

static void apply(const struct inode *in, unsigned int which, struct inode *i)
{
	if (which & SET_MODE)
		i->mode = (i->mode & S_IFMT) | (in->mode & 07777);
	if (which & SET_UID)
		i->uid = in->uid;
	if (which & SET_GID)
		i->gid = in->gid;
	if (which & SET_ATIME)
		i->atime = in->atime;
	if (which & SET_MTIME)
		i->mtime = in->mtime;
	if (which & SET_CTIME)
		i->ctime = in->ctime;
	if (which & SET_KILL_PRIV)
		kill_set_id(i);
}

static int set_attr(struct tree *t, uint64_t ino, const struct inode *in, unsigned int which,
    struct inode *out)
{
	uint8_t before[ROW_LEN], after[ROW_LEN];
	struct inode i;		/* ${out} may be ${in} */
	bool caps;
	int rc = view_inode(t->view, ino, &i);

	if (rc)
		return rc;
	row_encode(&i, before);
	apply(in, which, &i);
	row_encode(&i, after);
	*out = i;
	caps = (which & SET_KILL_PRIV) && (i.flags & INODE_CAPS) && !S_ISDIR(i.mode);
	if (!caps && memcmp(before, after, ROW_LEN) == 0)
		return 0;
	rc = tree_reserve(t, false, i.nlink + 1);
	if (rc == 0 && caps)
		rc = xattr_drop(t, &i, XATTR_CAPS);
	if (rc == 0 && (which & SET_MODE))
		rc = chmod_acl(t, &i);
	if (rc)
		return rc;
	/* A snapshot keeps no atime. */
	rc = which & ~SET_ATIME ? tree_put_changed(t, &i) : tree_put_inode(t, &i);
	*out = i;
	return rc;
}

int tree_set_attr(struct tree *t, uint64_t ino, const struct inode *in, unsigned int which,
    struct inode *out)
{
	tree_start(t);
	return tree_finish(t, set_attr(t, ino, in, which, out));
}
