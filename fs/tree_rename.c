/* tree_rename: rename and exchange.  The order of the checks is that of Linux' own rename. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fs/tree_names.h"

/* One end of a rename: the place, what is there, and the inode of it. */
struct end {
	struct place place;
	struct inode dir;
	struct name_value value;	/* ino 0: nothing is there */
	struct inode inode;
};

static int end_find(struct tree *t, uint64_t dir, const char *name, struct end *e)
{
	int rc = place_find(t, dir, name, &e->place, &e->dir, &e->value);

	if (rc || !e->value.ino)
		return rc;
	rc = view_inode(t->view, e->value.ino, &e->inode);
	return rc == -ENOENT ? -EIO : rc;
}

/* Is ${i} a directory that ${dir} is, or lies below?  1, 0, or -EIO. */
static int holds(struct tree *t, const struct inode *i, const struct inode *dir)
{
	struct inode at = *dir;

	if (!S_ISDIR(i->mode))
		return 0;
	while (at.ino != i->ino) {
		int rc;

		if (at.ino == TREE_ROOT)
			return 0;
		rc = view_inode(t->view, at.parent, &at);
		if (rc)
			return -EIO;
	}
	return 1;
}

static int check(struct tree *t, const struct end *from, const struct end *to, unsigned int flags)
{
	int rc = 0;

	if (!from->value.ino)
		return -ENOENT;
	if ((flags & RENAME_NOREPLACE) && to->value.ino)
		return -EEXIST;
	if ((flags & RENAME_EXCHANGE) && !to->value.ino)
		return -ENOENT;
	if (from->place.dir != to->place.dir)
		rc = holds(t, &from->inode, &to->dir);
	if (rc)
		return rc < 0 ? rc : -EINVAL;
	if (!to->value.ino)
		return 0;
	if (from->place.dir != to->place.dir)
		rc = holds(t, &to->inode, &from->dir);
	if (rc)
		return rc < 0 ? rc : (flags & RENAME_EXCHANGE) ? -EINVAL : -ENOTEMPTY;
	if ((flags & RENAME_EXCHANGE) || from->value.ino == to->value.ino)
		return 0;
	if (S_ISDIR(from->inode.mode) && !S_ISDIR(to->inode.mode))
		return -ENOTDIR;
	if (!S_ISDIR(from->inode.mode) && S_ISDIR(to->inode.mode))
		return -EISDIR;
	return S_ISDIR(to->inode.mode) && to->inode.size > 0 ? -ENOTEMPTY : 0;
}

/* One end's inode is at the other end's place now: its name there, its row, its records. */
static int arrive(struct tree *t, struct end *e, const struct end *there, uint64_t cookie,
    struct timestamp now)
{
	struct name_value v = { e->value.ino, cookie, e->value.type };
	uint64_t new_dir = there->place.dir;
	int rc = name_add(t, &there->place, &v);

	if (rc == 0)
		rc = inode_moved(t, &e->inode, e->place.dir, e->value.cookie, new_dir, cookie);
	e->inode.ctime = now;
	return rc ? rc : tree_put_changed(t, &e->inode);
}

/* Both directories have changed: by so many names and subdirectories. */
static int leave_and_enter(struct tree *t, struct end *from, struct end *to, int left,
    int left_dirs, int entered, int entered_dirs, struct timestamp now)
{
	int rc;

	if (from->place.dir == to->place.dir) {
		entered -= left;
		return directory_count(t, &from->dir, entered, entered_dirs - left_dirs, now);
	}
	rc = directory_count(t, &from->dir, -left, -left_dirs, now);
	return rc ? rc : directory_count(t, &to->dir, entered, entered_dirs, now);
}

/*
 * The cookie stays with the place that had one: a replaced name keeps its own, and so does a
 * name that only changes within its directory, or a reader of it might meet it for ever.
 */
static int replace(struct tree *t, struct end *from, struct end *to, struct timestamp now,
    struct inode *gone)
{
	int one = to->value.ino ? 0 : 1, dir = S_ISDIR(from->inode.mode) ? 1 : 0;
	bool replaced = to->value.ino;
	uint64_t cookie = to->value.cookie;
	int rc = name_remove(t, &from->place, from->value.cookie);

	if (!replaced)
		cookie = from->place.dir == to->place.dir ? from->value.cookie : t->next_number++;
	if (rc == 0 && replaced) {
		rc = inode_unnamed(t, &to->inode, to->place.dir, cookie, now);
		*gone = to->inode;
	}
	if (rc == 0)
		rc = arrive(t, from, to, cookie, now);
	return rc ? rc : leave_and_enter(t, from, to, 1, dir, one, one * dir, now);
}

static int exchange(struct tree *t, struct end *from, struct end *to, struct timestamp now)
{
	bool a = S_ISDIR(from->inode.mode), b = S_ISDIR(to->inode.mode);
	int rc = arrive(t, from, to, to->value.cookie, now);

	if (rc == 0)
		rc = arrive(t, to, from, from->value.cookie, now);
	return rc ? rc : leave_and_enter(t, from, to, 0, a - b, 0, a - b, now);
}

/* What an overlay finds instead of a name of its lower layer that is gone: a device 0/0 where the name was. */
static int leave_whiteout(struct tree *t, struct end *from, const struct new_inode *whiteout)
{
	struct inode i;

	inode_new(t, &from->dir, whiteout, &i);
	return inode_add(t, &from->place, &from->dir, &i, NULL);
}

static int rename_locked(struct tree *t, struct end *from, struct end *to, unsigned int flags,
    const struct new_inode *whiteout, struct timestamp now, struct inode *gone)
{
	uint32_t names;
	int rc = check(t, from, to, flags);

	if (rc)
		return rc;
	if (from->value.ino == to->value.ino)
		return 0;
	names = from->inode.nlink + (to->value.ino ? to->inode.nlink : 0);
	rc = tree_reserve(t, true, names + 2 + (whiteout ? 1 : 0));
	if (rc)
		return rc;
	if (flags & RENAME_EXCHANGE)
		return exchange(t, from, to, now);
	rc = replace(t, from, to, now, gone);
	return rc || !whiteout ? rc : leave_whiteout(t, from, whiteout);
}

static int rename_any(struct tree *t, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned int flags, const struct new_inode *whiteout,
    struct timestamp now, struct inode *moved, struct inode *gone)
{
	struct end from, to;
	int rc;

	*gone = (struct inode){ 0 };
	tree_start(t);
	rc = end_find(t, parent, name, &from);
	if (rc == 0)
		rc = end_find(t, new_parent, new_name, &to);
	if (rc == 0)
		rc = rename_locked(t, &from, &to, flags, whiteout, now, gone);
	if (rc == 0)
		*moved = from.inode;
	return tree_finish(t, rc);
}

int tree_rename(struct tree *t, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned int flags, struct timestamp now, struct inode *moved,
    struct inode *gone)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	return rename_any(t, parent, name, new_parent, new_name, flags, NULL, now, moved, gone);
}

int tree_rename_whiteout(struct tree *t, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned int flags, const struct new_inode *whiteout,
    struct inode *moved, struct inode *gone)
{
	if (flags & ~RENAME_NOREPLACE)
		return -EINVAL;
	return rename_any(t, parent, name, new_parent, new_name, flags, whiteout, whiteout->now, moved,
	    gone);
}
