/* tree_names: what renaming shares with making and removing names.  The tree is locked. */
#ifndef FS_TREE_NAMES_H
#define FS_TREE_NAMES_H

#include "fs/tree_internal.h"

/* Where a name is, or could be. */
struct place {
	uint64_t dir;
	const char *name;
	size_t len;
};

/** place_find(t, dir, name, p, d, v): the directory's row into ${d}, what the name says into ${v}
 * (ino 0: it is free).  -ENAMETOOLONG, -EINVAL, -ENOENT or -ENOTDIR of the directory. */
int place_find(struct tree *t, uint64_t dir, const char *name, struct place *p, struct inode *d,
    struct name_value *v);

/** name_add(t, p, v), name_remove(t, p, cookie): both tables of names, and the change record.  name_put(t, p, v): without that.
 * link_add(t, ino, dir, cookie): one of the names of an inode with a link id. */
int name_put(struct tree *t, const struct place *p, const struct name_value *v);
int link_add(struct tree *t, uint64_t ino, uint64_t dir, uint64_t cookie);
int name_add(struct tree *t, const struct place *p, const struct name_value *v);
int name_remove(struct tree *t, const struct place *p, uint64_t cookie);

/** inode_moved(t, i, dir, cookie, new_dir, new_cookie): one of its names is elsewhere now.
 * Changes ${i}, puts no row. */
int inode_moved(struct tree *t, struct inode *i, uint64_t dir, uint64_t cookie, uint64_t new_dir,
    uint64_t new_cookie);

/** inode_unnamed(t, i, dir, cookie, now): it has lost that name.  Changes ${i} and puts its row and
 * its other names' records; if it was the last one, it is an orphan. */
int inode_unnamed(struct tree *t, struct inode *i, uint64_t dir, uint64_t cookie,
    struct timestamp now);

/** inode_new(t, dir, n, i): numbered, and as its directory and its maker want it; its ACLs are yet to come.
 * inode_add(t, p, dir, i, target): puts its row and its name, and counts it in ${dir}, whose row it puts. */
void inode_new(struct tree *t, const struct inode *dir, const struct new_inode *n, struct inode *i);
int inode_add(struct tree *t, const struct place *p, struct inode *dir, const struct inode *i,
    const char *target);

/** directory_count(t, dir, names, directories, now): so many more (or fewer); and its row. */
int directory_count(struct tree *t, struct inode *dir, int names, int directories,
    struct timestamp now);

#endif
