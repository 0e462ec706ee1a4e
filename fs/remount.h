/* remount: the flags of a mount that is there already, for mount(8)'s -o remount. */
#ifndef FS_REMOUNT_H
#define FS_REMOUNT_H

#include "fs/options.h"

/**
 * remount(o): the flags that ${o} names are set or cleared at ${o}->mountpoint, the others stay; the process that
 * serves the mount goes on.  0, or -1 with a message that says what to do.
 */
int remount(const struct options *o);

#endif
