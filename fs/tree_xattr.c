/* tree_xattr: extended attributes, and the two that are ACLs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/acl.h"
#include "fs/tree_internal.h"

int xattr_get(struct view *v, uint64_t ino, const char *name, MDB_val *out)
{
	struct key key = key_named(ino, name, strlen(name));
	int rc = view_get(v, XATTRS, &key, out);

	return rc == -ENOENT ? -ENODATA : rc;
}

int xattr_put(struct tree *t, struct inode *i, const char *name, const void *value, size_t len)
{
	struct key key = key_named(i->ino, name, strlen(name));

	i->flags |= INODE_XATTRS;
	if (strcmp(name, XATTR_CAPS) == 0)
		i->flags |= INODE_CAPS;
	return tree_put(t, XATTRS, &key, value, len);
}

int xattr_drop(struct tree *t, struct inode *i, const char *name)
{
	struct key key = key_named(i->ino, name, strlen(name)), prefix = key_of(i->ino);
	MDB_val k, v;
	int rc = tree_delete(t, XATTRS, &key);

	if (rc)
		return rc;
	if (strcmp(name, XATTR_CAPS) == 0)
		i->flags &= ~INODE_CAPS;
	rc = view_seek(&t->live, XATTRS, &prefix, &k, &v);
	if (rc && rc != -ENOENT)
		return rc;
	if (rc || !key_begins(&k, &prefix))
		i->flags &= ~INODE_XATTRS;
	return 0;
}

static bool is_acl(const char *name)
{
	return strcmp(name, XATTR_ACCESS) == 0 || strcmp(name, XATTR_DEFAULT) == 0;
}

/* Linux' order: the name's length, then its namespace. */
static int name_allowed(const char *name)
{
	static const char *const spaces[] = { "user.", "trusted.", "security." };
	size_t len = strnlen(name, XATTR_NAME_MAX_LEN + 1);

	if (len == 0 || len > XATTR_NAME_MAX_LEN)
		return -ERANGE;
	if (is_acl(name))
		return 0;
	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
		if (strncmp(name, spaces[i], strlen(spaces[i])) == 0)
			return name[strlen(spaces[i])] ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

/* Bytes of all names and values of ${ino}, but for the one called ${but}. */
static int total_len(struct tree *t, uint64_t ino, const char *but, size_t *total)
{
	struct key prefix = key_of(ino), skip = key_named(ino, but, strlen(but));
	MDB_val k, v;
	int rc = view_seek(&t->live, XATTRS, &prefix, &k, &v);

	*total = 0;
	while (rc == 0 && key_begins(&k, &prefix)) {
		if (k.mv_size != skip.len || !key_begins(&k, &skip))
			*total += k.mv_size - prefix.len + v.mv_size;
		rc = view_next(&t->live, XATTRS, &k, &v);
	}
	return rc == -ENOENT ? 0 : rc;
}

/*
 * An access ACL sets the mode, and is not kept where it says no more than that.  *${drop}: the
 * xattr is to go (Linux takes an ACL without entries for that).
 */
static int check_acl(struct inode *i, const char *name, uint8_t *acl, size_t len, bool *drop)
{
	bool access = strcmp(name, XATTR_ACCESS) == 0;
	int rc;

	if (S_ISLNK(i->mode))
		return -EOPNOTSUPP;
	*drop = acl_empty(acl, len);
	rc = *drop ? 0 : acl_check(acl, len);
	if (rc)
		return rc;
	if (!access && !S_ISDIR(i->mode))
		return *drop ? 0 : -EACCES;
	if (*drop)
		return 0;
	acl_normalize(acl, len);
	if (access)
		*drop = !acl_to_mode(acl, len, &i->mode);
	return 0;
}

static int check_flags(struct tree *t, uint64_t ino, const char *name, int flags)
{
	MDB_val v;
	int rc;

	if (!(flags & (XATTR_CREATE | XATTR_REPLACE)))
		return 0;
	rc = xattr_get(t->view, ino, name, &v);
	if (rc == 0)
		return flags & XATTR_CREATE ? -EEXIST : 0;
	return rc == -ENODATA && (flags & XATTR_CREATE) ? 0 : rc;
}

static int set_xattr(struct tree *t, uint64_t ino, const char *name, const void *value, size_t len,
    int flags, struct timestamp now)
{
	struct inode i;
	bool drop = false;
	size_t total;
	int rc = view_inode(t->view, ino, &i);

	if (rc)
		return rc;
	rc = check_flags(t, ino, name, flags);
	if (rc)
		return rc;
	if (is_acl(name)) {
		if (len > TREE_XATTRS_MAX)
			return -ENOSPC;
		if (len > 0)
			memcpy(t->scratch, value, len);
		value = t->scratch;
		rc = check_acl(&i, name, t->scratch, len, &drop);
	}
	if (rc == 0)
		rc = tree_reserve(t, true, i.nlink + 4);
	if (rc == 0)
		rc = total_len(t, ino, name, &total);
	if (rc == 0 && !drop && total + strlen(name) + len > TREE_XATTRS_MAX)
		rc = -ENOSPC;
	if (rc)
		return rc;
	rc = drop ? xattr_drop(t, &i, name) : xattr_put(t, &i, name, value, len);
	i.ctime = now;
	return rc ? rc : tree_put_changed(t, &i);
}

int tree_set_xattr(struct tree *t, uint64_t ino, const char *name, const void *value, size_t len,
    int flags, struct timestamp now)
{
	int rc = name_allowed(name);

	if (rc == -ERANGE)
		return rc;
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (len > XATTR_VALUE_MAX_LEN)
		return -E2BIG;
	if (rc)
		return rc;
	tree_start(t);
	return tree_finish(t, set_xattr(t, ino, name, value, len, flags, now));
}

static ssize_t get_xattr(struct view *v, uint64_t ino, const char *name, void *value, size_t size)
{
	struct inode i;
	MDB_val val;
	int rc = view_inode(v, ino, &i);

	if (rc)
		return rc;
	rc = i.flags & INODE_XATTRS ? xattr_get(v, ino, name, &val) : -ENODATA;
	if (rc)
		return rc;
	if (size > 0 && val.mv_size > size)
		return -ERANGE;
	if (size > 0 && val.mv_size > 0)
		memcpy(value, val.mv_data, val.mv_size);
	return (ssize_t)val.mv_size;
}

ssize_t tree_get_xattr(struct tree *t, uint64_t ino, const char *name, void *value, size_t size)
{
	ssize_t n = name_allowed(name);

	if (n)
		return n;
	tree_lock(t);
	n = get_xattr(t->view, ino, name, value, size);
	pthread_mutex_unlock(&t->lock);
	return n;
}

static ssize_t list_xattr(struct view *v, uint64_t ino, char *names, size_t size)
{
	struct key prefix = key_of(ino);
	struct inode i;
	MDB_val k, val;
	size_t total = 0;
	int rc = view_inode(v, ino, &i);

	if (rc || !(i.flags & INODE_XATTRS))
		return rc;
	rc = view_seek(v, XATTRS, &prefix, &k, &val);
	while (rc == 0 && key_begins(&k, &prefix)) {
		size_t len = k.mv_size - prefix.len;

		if (size > 0 && total + len + 1 > size)
			return -ERANGE;
		if (size > 0) {
			memcpy(names + total, (const char *)k.mv_data + prefix.len, len);
			names[total + len] = '\0';
		}
		total += len + 1;
		rc = view_next(v, XATTRS, &k, &val);
	}
	return rc && rc != -ENOENT ? rc : (ssize_t)total;
}

ssize_t tree_list_xattr(struct tree *t, uint64_t ino, char *names, size_t size)
{
	ssize_t n;

	tree_lock(t);
	n = list_xattr(t->view, ino, names, size);
	pthread_mutex_unlock(&t->lock);
	return n;
}

static int remove_xattr(struct tree *t, uint64_t ino, const char *name, struct timestamp now)
{
	struct inode i;
	MDB_val v;
	int rc = view_inode(t->view, ino, &i);

	if (rc)
		return rc;
	rc = xattr_get(t->view, ino, name, &v);
	if (rc)
		/* Linux' own filesystems are content to remove an ACL that is not there. */
		return rc == -ENODATA && is_acl(name) && !S_ISLNK(i.mode) ? 0 : rc;
	rc = tree_reserve(t, false, i.nlink + 1);
	if (rc == 0)
		rc = xattr_drop(t, &i, name);
	i.ctime = now;
	return rc ? rc : tree_put_changed(t, &i);
}

int tree_remove_xattr(struct tree *t, uint64_t ino, const char *name, struct timestamp now)
{
	int rc = name_allowed(name);

	if (rc)
		return rc;
	tree_start(t);
	return tree_finish(t, remove_xattr(t, ino, name, now));
}
