/* unpack: directories of the set become rows of a tree. */
#ifndef FS_UNPACK_H
#define FS_UNPACK_H

#include "chunker/chunk.h"
#include "fs/tree.h"

struct unpack_watch {
	void (*tell)(void *arg, uint64_t done, uint64_t total);	/* names, as far as they are known of */
	void (*ahead)(void *arg, const struct address *directory);	/* will be wanted soon; NULL: nobody cares */
	void *arg;
};

/**
 * unpack_tree(t, source, root, watch): ${t}, which is new and has been begun (tree_begin(), by this thread), gets all that is below ${root},
 * and is committed as it grows; the last changes are not.  Of files' content only the roots of indexes are
 * read.  0, -ENOENT (nobody has some node), -EBADMSG, or what the source or the tree said.
 */
int unpack_tree(struct tree *t, struct source *source, const struct entry *root, const struct unpack_watch *watch);

#endif
