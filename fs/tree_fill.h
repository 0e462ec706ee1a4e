/* tree_fill: a tree made from a snapshot, name by name: as they were there, and nothing of it counts as changed. */
#ifndef FS_TREE_FILL_H
#define FS_TREE_FILL_H

#include "fs/tree.h"

/* What ${entry} alone does not say. */
struct fill {
	const struct entry *entry;
	const uint8_t *xattrs;		/* encoded (chunker/xattrs.h), wherever they were kept */
	size_t xattrs_len;
	uint64_t data;			/* regular: bytes that are not in holes */
	uint64_t ino;			/* another name of this inode, which is there already; 0: it is a new one */
};

/** tree_fill_root(t, f): the root's attributes.  tree_fill_name(t, dir, f, ino): a name in ${dir}, where it is not yet; *${ino} is its inode.
 * tree_fill_count(t, dir, names, directories): ${dir} has so many, all told.  -ENOSPC, -EBADMSG, -EROFS, -EIO. */
int tree_fill_root(struct tree *t, const struct fill *f);
int tree_fill_name(struct tree *t, uint64_t dir, const struct fill *f, uint64_t *ino);
int tree_fill_count(struct tree *t, uint64_t dir, uint64_t names, uint64_t directories);

#endif
