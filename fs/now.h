/* now: the time, for the attributes of files. */
#ifndef FS_NOW_H
#define FS_NOW_H

#include "chunker/directory.h"

/** fs_now(): the wall clock, never finer than the kernel's own times of files: were it so, a file
 * would seem older after a write than before. */
struct timestamp fs_now(void);

#endif
