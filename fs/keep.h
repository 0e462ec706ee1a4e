/* keep: which of the earlier snapshots stay.  Pure. */
#ifndef FS_KEEP_H
#define FS_KEEP_H

#include <stddef.h>

#include "chunker/snapshot.h"

/**
 * keep_thin(list, n, now): all of the last hour, the last one of each hour for a day, the last one of each
 * day for 30 days.  ${list} is oldest first, and so is what stays at its front.  Returns how
 * many stay.  Those of the future (the clock was set back) stay.
 */
size_t keep_thin(struct kept *list, size_t n, struct timestamp now);

#endif
