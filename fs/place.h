/* place: where the store is, where the mount goes, and whether the two will do. */
#ifndef FS_PLACE_H
#define FS_PLACE_H

#include "fs/options.h"

/** place_default_store(): where the store is when nobody said: $XDG_DATA_HOME/dhtfs, else
 * ~/.local/share/dhtfs, with the home of the user database where HOME is missing (as in a
 * mount at boot).  Absolute; the caller frees it.  NULL: no memory, or no home at all. */
char *place_default_store(void);

/** place_make_store_parents(o): the folders above a default store, mode 0700.  0 or -errno. */
int place_make_store_parents(const struct options *o);

/**
 * place_check(o): is the mount point an empty directory (with nonempty: a directory) that is
 * neither the store's folder nor within it nor above it, and has this system what a mount needs?
 * Resolves the symlinks of o->mountpoint.  0, or -1 with a message that says what to do.
 */
int place_check(struct options *o);

#endif
