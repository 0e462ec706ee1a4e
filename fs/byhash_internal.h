/* byhash_internal: what the files of byhash share.  Private to byhash*.c. */
#ifndef FS_BYHASH_INTERNAL_H
#define FS_BYHASH_INTERNAL_H

#include "fs/ops.h"
#include "fs/parked.h"
#include "fs/view.h"
#include "fs/walks.h"

struct byhash {
	struct fs *fs;
	struct view *view;
	struct walks *walks;
};

/** byhash_fill(n, e): the answer to a lookup that found ${n}. */
void byhash_fill(const struct view_node *n, struct fuse_entry_param *e);

/** byhash_target(e, target): a symlink's target as text. */
void byhash_target(const struct entry *e, char target[SYMLINK_LEN_MAX + 1]);

#endif
