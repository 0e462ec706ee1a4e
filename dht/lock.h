/*
 * lock: one process a store.  A file `lock` under flock(), with the holder's pid in it.
 *
 * The lock is the kernel's: it ends with the process, however that ends.
 */
#ifndef DHT_LOCK_H
#define DHT_LOCK_H

#include <sys/types.h>

/**
 * lock_take(dirfd, wait_ms, holder): a descriptor to close() when done; -EBUSY where another
 * process still has it after ${wait_ms}: *${holder} is its pid, 0 if unknown; or -errno.
 */
int lock_take(int dirfd, unsigned int wait_ms, pid_t *holder);

#endif
