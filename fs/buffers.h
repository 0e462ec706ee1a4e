/*
 * buffers: the receive buffers that large writes took over, kept for the next ones.
 *
 * A fresh MiB costs 256 page faults, as many pages to be cleared, and all that again when it
 * is given back: more than hashing it.  All buffers have the same size; the process has one
 * pool of them.
 */
#ifndef FS_BUFFERS_H
#define FS_BUFFERS_H

#include <stddef.h>

#define BUFFERS_MAX 128u	/* that are kept */

/** buffers_take(): one that was given; NULL: there is none, malloc() it. */
void *buffers_take(void);

/** buffers_give(mem): not needed now: kept, or freed. */
void buffers_give(void *mem);

/** buffers_trim(): free those that were not needed since the last call, and other memory that is not used.
 * Called about once a second while there are writes, and after the last. */
void buffers_trim(void);

/** buffers_cut(mem, used, size): only the first ${used} bytes of ${size} will be looked at from now on, perhaps for
 * long: the rest shall take no memory. */
void buffers_cut(void *mem, size_t used, size_t size);

#endif
