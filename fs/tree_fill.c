#include "fs/tree_fill.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/tree_names.h"

/* What a row has of an entry.  There is no time of access in a snapshot. */
static void set_row(const struct fill *f, struct inode *i)
{
	const struct entry *e = f->entry;

	i->mode = e->mode;
	i->uid = e->uid;
	i->gid = e->gid;
	i->rdev = e->rdev;
	i->size = e->size;
	i->data = f->data;
	i->atime = i->mtime = e->mtime;
	i->ctime = e->ctime;
	i->ref = e->ref;
	i->link_id = e->link_id;
}

static int put_xattrs(struct tree *t, const struct fill *f, struct inode *i)
{
	const uint8_t *p = f->xattrs, *end = p + f->xattrs_len;
	char name[XATTR_NAME_MAX_LEN + 1];
	struct xattr x, last;
	const struct xattr *before = NULL;
	int rc = 0, more = 0;

	if (f->xattrs_len == 0)
		return 0;
	while (rc == 0 && (more = xattr_next(&p, end, before, &x)) == 1) {
		memcpy(name, x.name, x.name_len);
		name[x.name_len] = '\0';
		rc = xattr_put(t, i, name, x.value, x.value_len);
		last = x;
		before = &last;
	}
	return rc ? rc : more;
}

static int fill_root(struct tree *t, const struct fill *f)
{
	struct inode i;
	int rc = view_inode(t->view, TREE_ROOT, &i);

	if (rc == 0)
		rc = tree_reserve(t, true, 1);
	if (rc)
		return rc;
	set_row(f, &i);
	rc = put_xattrs(t, f, &i);
	return rc ? rc : tree_put_inode(t, &i);
}

static int new_inode(struct tree *t, uint64_t dir, const struct fill *f, struct inode *i)
{
	uint64_t number = t->next_number++;
	struct key key = key_of(number);
	int rc;

	*i = (struct inode){ .ino = number, .parent = dir, .cookie = number, .nlink = S_ISDIR(f->entry->mode) ? 2 : 1 };
	set_row(f, i);
	rc = put_xattrs(t, f, i);
	if (rc == 0 && S_ISLNK(i->mode))
		rc = tree_append(t, TARGETS, &key, f->entry->target, i->size);
	return rc;
}

static int fill_name(struct tree *t, uint64_t dir, const struct fill *f, uint64_t *ino)
{
	const struct entry *e = f->entry;
	const struct place p = { .dir = dir, .name = e->name, .len = e->name_len };
	struct name_value v = { .type = (uint8_t)(e->mode >> 12) };
	struct inode i;
	int rc = tree_reserve(t, true, 1);

	if (rc)
		return rc;
	if (f->ino) {
		rc = view_inode(t->view, f->ino, &i);
		i.nlink++;
		v.cookie = t->next_number++;
	} else {
		rc = new_inode(t, dir, f, &i);
		v.cookie = i.cookie;
	}
	v.ino = *ino = i.ino;
	if (rc == 0)
		rc = tree_put_inode(t, &i);
	if (rc == 0)
		rc = name_put(t, &p, &v);
	if (rc == 0 && e->link_id)
		rc = link_add(t, i.ino, dir, v.cookie);
	return rc;
}

static int fill_count(struct tree *t, uint64_t dir, uint64_t names, uint64_t directories)
{
	struct inode i;
	int rc = view_inode(t->view, dir, &i);

	if (rc == 0 && i.size != names)
		rc = -EBADMSG;
	if (rc == 0)
		rc = tree_reserve(t, false, 1);
	if (rc)
		return rc;
	i.nlink = 2 + (uint32_t)directories;
	return tree_put_inode(t, &i);
}

int tree_fill_root(struct tree *t, const struct fill *f)
{
	tree_start(t);
	return tree_finish(t, fill_root(t, f));
}

int tree_fill_name(struct tree *t, uint64_t dir, const struct fill *f, uint64_t *ino)
{
	tree_start(t);
	return tree_finish(t, fill_name(t, dir, f, ino));
}

int tree_fill_count(struct tree *t, uint64_t dir, uint64_t names, uint64_t directories)
{
	tree_start(t);
	return tree_finish(t, fill_count(t, dir, names, directories));
}
