/* loop: the threads that read requests from the kernel. */
#ifndef FS_LOOP_H
#define FS_LOOP_H

#include <stdbool.h>

#include "chunker/chunk.h"

struct fuse_session;
struct gate;

/**
 * loop_run(se, gate, mountpoint, threads): serve, what needs the tree through ${gate}, until the session ends: the mount point was unmounted, or
 * SIGTERM, SIGINT or SIGHUP came (they must be blocked in all threads): then it unmounts,
 * serving meanwhile what the kernel writes back, with a bound.  0, or -errno where it could
 * not start.
 */
int loop_run(struct fuse_session *se, struct gate *gate, const char *mountpoint,
    unsigned int threads);

/** loop_write_data(data, len): from a write handler, in the thread that was called: the request's bytes as a
 * chunk, which shares the receive buffer where they are many (NULL: no memory). */
struct chunk *loop_write_data(const char *data, size_t len);

/** loop_kill_priv(): the request being handled by this thread asks for set-id bits to be dropped (the kernel's
 * FUSE_WRITE_KILL_SUIDGID and FUSE_OPEN_KILL_SUIDGID, which libfuse 3.14 does not hand on). */
bool loop_kill_priv(void);

#endif
