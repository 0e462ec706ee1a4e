/* tree_names: names come and go. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/acl.h"
#include "fs/tree_names.h"

int name_put(struct tree *t, const struct place *p, const struct name_value *v)
{
	struct key key = key_named(p->dir, p->name, p->len);
	uint8_t value[9 + NAME_LEN_MAX];
	int rc;

	put_le64(value, v->ino);
	put_le64(value + 8, v->cookie);
	value[16] = v->type;
	rc = tree_put(t, NAMES, &key, value, NAME_VALUE_LEN);
	if (rc)
		return rc;
	key = key_of2(p->dir, v->cookie);
	value[8] = v->type;
	memcpy(value + 9, p->name, p->len);
	return tree_put(t, COOKIES, &key, value, 9 + p->len);
}

int name_add(struct tree *t, const struct place *p, const struct name_value *v)
{
	int rc = name_put(t, p, v);

	return rc ? rc : tree_changed(t, p->dir, p->name, p->len);
}

int name_remove(struct tree *t, const struct place *p, uint64_t cookie)
{
	struct key key = key_named(p->dir, p->name, p->len);
	int rc = tree_delete(t, NAMES, &key);

	if (rc)
		return rc;
	key = key_of2(p->dir, cookie);
	rc = tree_delete(t, COOKIES, &key);
	return rc ? rc : tree_changed(t, p->dir, p->name, p->len);
}

int link_add(struct tree *t, uint64_t ino, uint64_t dir, uint64_t cookie)
{
	struct key key = key_of3(ino, dir, cookie);

	return tree_put(t, LINKS, &key, NULL, 0);
}

int inode_moved(struct tree *t, struct inode *i, uint64_t dir, uint64_t cookie, uint64_t new_dir,
    uint64_t new_cookie)
{
	struct key key = key_of3(i->ino, dir, cookie);
	int rc;

	if (i->parent == dir && i->cookie == cookie) {
		i->parent = new_dir;
		i->cookie = new_cookie;
	}
	if (!i->link_id)
		return 0;
	rc = tree_delete(t, LINKS, &key);
	return rc ? rc : link_add(t, i->ino, new_dir, new_cookie);
}

/* Some other name for the row to tell: the first in the table. */
static int find_other_name(struct tree *t, struct inode *i)
{
	struct key prefix = key_of(i->ino);
	MDB_val k, v;
	int rc = view_seek(&t->live, LINKS, &prefix, &k, &v);

	if (rc || !key_begins(&k, &prefix))
		return rc && rc != -ENOENT ? rc : -EIO;
	i->parent = get_be64((const uint8_t *)k.mv_data + 8);
	i->cookie = get_be64((const uint8_t *)k.mv_data + 16);
	return 0;
}

int inode_unnamed(struct tree *t, struct inode *i, uint64_t dir, uint64_t cookie,
    struct timestamp now)
{
	struct key key = key_of3(i->ino, dir, cookie);
	int rc = 0;

	i->nlink = S_ISDIR(i->mode) ? 0 : i->nlink - 1;
	i->ctime = now;
	if (i->link_id)
		rc = tree_delete(t, LINKS, &key);
	if (rc == 0 && i->nlink == 0) {
		i->parent = i->cookie = 0;
		key = key_of(i->ino);
		rc = tree_put(t, ORPHANS, &key, NULL, 0);
	} else if (rc == 0 && i->parent == dir && i->cookie == cookie) {
		rc = find_other_name(t, i);
	}
	return rc ? rc : tree_put_changed(t, i);
}

int directory_count(struct tree *t, struct inode *dir, int names, int directories,
    struct timestamp now)
{
	dir->size += (uint64_t)(int64_t)names;
	dir->nlink += (uint32_t)directories;
	dir->mtime = dir->ctime = now;
	return tree_put_inode(t, dir);
}

int place_find(struct tree *t, uint64_t dir, const char *name, struct place *p, struct inode *d,
    struct name_value *v)
{
	int rc = name_check(name, &p->len);

	p->dir = dir;
	p->name = name;
	if (rc == 0)
		rc = view_directory(t->view, dir, d);
	if (rc)
		return rc;
	rc = view_name(t->view, dir, name, p->len, v);
	if (rc == -ENOENT) {
		*v = (struct name_value){ 0 };
		return 0;
	}
	return rc;
}

void inode_new(struct tree *t, const struct inode *dir, const struct new_inode *n, struct inode *i)
{
	uint64_t number = t->next_number++;

	*i = (struct inode){
		.mode = n->mode & (S_IFMT | 07777), .uid = n->uid, .gid = n->gid,
		.nlink = S_ISDIR(n->mode) ? 2 : 1,
		.atime = n->now, .mtime = n->now, .ctime = n->now,
		.ino = number, .parent = dir->ino, .cookie = number, .changed = t->epoch,
	};
	if (S_ISREG(n->mode))
		ref_empty(&i->ref);
	else if (S_ISLNK(n->mode))
		i->size = strlen(n->target);
	else if (S_ISCHR(n->mode) || S_ISBLK(n->mode))
		i->rdev = n->rdev;
	if (!(dir->mode & S_ISGID))
		return;
	/* That a file which runs as a group is made by a member of it, Linux sees to (6.0 and later). */
	i->gid = dir->gid;
	if (S_ISDIR(n->mode))
		i->mode |= S_ISGID;
}

int inode_add(struct tree *t, const struct place *p, struct inode *dir, const struct inode *i,
    const char *target)
{
	const struct name_value v = { i->ino, i->cookie, (uint8_t)(i->mode >> 12) };
	struct key key = key_of(i->ino);
	uint8_t row[ROW_LEN];
	int rc;

	row_encode(i, row);
	rc = tree_append(t, INODES, &key, row, sizeof row);
	if (rc == 0 && S_ISLNK(i->mode))
		rc = tree_append(t, TARGETS, &key, target, i->size);
	if (rc == 0)
		rc = name_add(t, p, &v);
	return rc ? rc : directory_count(t, dir, 1, S_ISDIR(i->mode) ? 1 : 0, i->ctime);
}

/*
 * What a default ACL of the directory gives to ${i}: its mode, and in t->scratch the ACL that it
 * hands on, of *${len} bytes, 0 if there is none.  *${more}: it says more than the mode.
 */
static int inherit(struct tree *t, const struct inode *dir, uint32_t umask, struct inode *i,
    size_t *len, bool *more)
{
	MDB_val v;
	int rc = -ENODATA;

	*len = 0;
	*more = false;
	if (S_ISLNK(i->mode))
		return 0;
	if (dir->flags & INODE_XATTRS)
		rc = xattr_get(&t->live, dir->ino, XATTR_DEFAULT, &v);
	if (rc == -ENODATA) {
		i->mode &= ~(umask & 0777);
		return 0;
	}
	if (rc)
		return rc;
	if (v.mv_size > TREE_XATTRS_MAX || acl_check(v.mv_data, v.mv_size) != 0)
		return -EIO;
	memcpy(t->scratch, v.mv_data, v.mv_size);
	*len = v.mv_size;
	*more = acl_inherit(t->scratch, *len, &i->mode);
	if (*more && S_ISDIR(i->mode) && 2 * (*len + strlen(XATTR_DEFAULT)) > TREE_XATTRS_MAX)
		return -ENOSPC;
	return 0;
}

static int put_inherited(struct tree *t, uint64_t from, struct inode *i, size_t len, bool more)
{
	MDB_val v;
	int rc = 0;

	if (len > 0 && more)
		rc = xattr_put(t, i, XATTR_ACCESS, t->scratch, len);
	if (rc || len == 0 || !S_ISDIR(i->mode))
		return rc;
	rc = xattr_get(&t->live, from, XATTR_DEFAULT, &v);
	if (rc)
		return rc;
	memcpy(t->scratch, v.mv_data, len);
	return xattr_put(t, i, XATTR_DEFAULT, t->scratch, len);
}

static int create(struct tree *t, uint64_t parent, const char *name, const struct new_inode *n,
    uint32_t umask, struct inode *out)
{
	struct name_value v;
	struct inode dir;
	struct place p;
	size_t acl_len;
	bool more;
	int rc = place_find(t, parent, name, &p, &dir, &v);

	if (rc)
		return rc;
	if (v.ino)
		return -EEXIST;
	if (S_ISDIR(n->mode) && dir.nlink == UINT32_MAX)
		return -EMLINK;
	if (S_ISLNK(n->mode) && strlen(n->target) > SYMLINK_LEN_MAX)
		return -ENAMETOOLONG;
	if (S_ISLNK(n->mode) && !n->target[0])
		return -ENOENT;
	rc = tree_reserve(t, true, 1);
	if (rc)
		return rc;
	inode_new(t, &dir, n, out);
	rc = inherit(t, &dir, umask, out, &acl_len, &more);
	if (rc == 0)
		rc = put_inherited(t, dir.ino, out, acl_len, more);
	return rc ? rc : inode_add(t, &p, &dir, out, n->target);
}

int tree_create(struct tree *t, uint64_t parent, const char *name, const struct new_inode *n,
    uint32_t umask, struct inode *out)
{
	tree_start(t);
	return tree_finish(t, create(t, parent, name, n, umask, out));
}

static uint64_t random_id(void)
{
	uint64_t id = 0;

	while (id == 0)
		if (getrandom(&id, sizeof id, 0) != sizeof id)
			id = 0;
	return id;
}

static int link_to(struct tree *t, uint64_t ino, uint64_t parent, const char *name,
    struct timestamp now, struct inode *out)
{
	struct name_value v;
	struct inode dir;
	struct place p;
	int rc = place_find(t, parent, name, &p, &dir, &v);

	if (rc)
		return rc;
	if (v.ino)
		return -EEXIST;
	rc = view_inode(t->view, ino, out);
	if (rc)
		return rc;
	if (S_ISDIR(out->mode))
		return -EPERM;
	if (out->nlink == 0)
		return -ENOENT;
	if (out->nlink >= TREE_LINKS_MAX)
		return -EMLINK;
	rc = tree_reserve(t, true, out->nlink + 1);
	if (rc)
		return rc;
	if (!out->link_id) {
		out->link_id = random_id();
		rc = link_add(t, ino, out->parent, out->cookie);
		if (rc)
			return rc;
	}
	out->nlink++;
	out->ctime = now;
	v = (struct name_value){ ino, t->next_number++, (uint8_t)(out->mode >> 12) };
	rc = name_add(t, &p, &v);
	if (rc == 0)
		rc = link_add(t, ino, parent, v.cookie);
	if (rc == 0)
		rc = tree_put_changed(t, out);
	return rc ? rc : directory_count(t, &dir, 1, 0, now);
}

int tree_link(struct tree *t, uint64_t ino, uint64_t parent, const char *name,
    struct timestamp now, struct inode *out)
{
	tree_start(t);
	return tree_finish(t, link_to(t, ino, parent, name, now, out));
}

static int remove_name(struct tree *t, uint64_t parent, const char *name, bool directory,
    struct timestamp now, struct inode *gone)
{
	struct name_value v;
	struct inode dir;
	struct place p;
	int rc = place_find(t, parent, name, &p, &dir, &v);

	if (rc == 0 && !v.ino)
		rc = -ENOENT;
	if (rc)
		return rc;
	if (!directory && v.type == S_IFDIR >> 12)
		return -EISDIR;
	if (directory && v.type != S_IFDIR >> 12)
		return -ENOTDIR;
	rc = view_inode(t->view, v.ino, gone);
	if (rc)
		return rc == -ENOENT ? -EIO : rc;
	if (directory && gone->size > 0)
		return -ENOTEMPTY;
	rc = tree_reserve(t, false, gone->nlink + 1);
	if (rc == 0)
		rc = name_remove(t, &p, v.cookie);
	if (rc == 0)
		rc = inode_unnamed(t, gone, parent, v.cookie, now);
	return rc ? rc : directory_count(t, &dir, -1, directory ? -1 : 0, now);
}

int tree_unlink(struct tree *t, uint64_t parent, const char *name, struct timestamp now,
    struct inode *gone)
{
	tree_start(t);
	return tree_finish(t, remove_name(t, parent, name, false, now, gone));
}

int tree_rmdir(struct tree *t, uint64_t parent, const char *name, struct timestamp now,
    struct inode *gone)
{
	tree_start(t);
	return tree_finish(t, remove_name(t, parent, name, true, now, gone));
}

/* 1: it is a directory, whose change records are to go first. */
static int forget(struct tree *t, uint64_t ino, bool dropped)
{
	struct inode i;
	int rc = view_inode(t->view, ino, &i);

	if (rc || i.nlink > 0)
		return rc ? rc : -ENOENT;
	if (S_ISDIR(i.mode) && !dropped)
		return 1;
	rc = tree_reserve(t, false, 4);
	return rc ? rc : tree_delete_inode(t, &i);
}

void tree_forget(struct tree *t, uint64_t ino)
{
	int rc;

	tree_start(t);
	rc = tree_finish(t, forget(t, ino, false));
	if (rc <= 0 || tree_drop_changes(t, ino, UINT64_MAX) != 0)
		return;
	tree_start(t);
	tree_finish(t, forget(t, ino, true));
}
