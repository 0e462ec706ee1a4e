/*
 * crash: whether what is found after a crash is what promise 3 allows.
 *
 * - Names and attributes of the whole tree are those of one moment: there is a time at which each
 *   thread's part was what is found.  That moment is not before a sync that was acknowledged.
 * - The content of a file is one that it had since it was last synced; or since it was renamed over
 *   another, if that is seen.  What was written in whole requests (O_DIRECT) is exactly that; of
 *   others the kernel writes back pages when it likes, so that each byte is one that was there.
 */
#ifndef EXERCISE_CRASH_H
#define EXERCISE_CRASH_H

#include <stdatomic.h>

#include "tests/mount/exercise/real.h"

#define MOMENTS	64u

/* One operation of a thread, as it went.  In memory that outlives the thread. */
struct done {
	uint64_t begin_ns, end_ns;	/* 0: not yet */
	bool synced;			/* it has acknowledged that something is on stable storage */
};

struct moment {
	uint64_t from_ns, to_ns;
};

/**
 * crash_check(r, base, ops, done, n, found, synced_ns, moments, n_moments): ${base} is the thread's model
 * before the first of the ${n} operations that were begun, ${found} what is there; ${synced_ns} the
 * begin of the last sync of any thread that was acknowledged.  Gives the times at which the
 * names could have been those found, MOMENTS at most.  0, or -EIO and r->why.
 */
int crash_check(struct real *r, const struct model *base, const struct op *const *ops,
    const struct done *done, size_t n, struct model *found, uint64_t synced_ns,
    struct moment *moments, unsigned int *n_moments);

#endif
