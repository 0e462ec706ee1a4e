/* place: where the store is, where the mount goes, and whether the two will do. */
#ifndef FS_PLACE_H
#define FS_PLACE_H

#include "fs/options.h"

/**
 * place_check(o): is the mount point an empty directory (with nonempty: a directory) that is
 * neither the store's folder nor within it nor above it, and has this system what a mount needs?
 * Resolves the symlinks of o->mountpoint.  0, or -1 with a message that says what to do.
 */
int place_check(struct options *o);

#endif
