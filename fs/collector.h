/*
 * collector: when a collection runs, and for whom.
 *
 * By itself when changes have rested and enough has been freed since the last one; at once when the limit is
 * near, or a writer waits for room: then old snapshots go too, oldest first, until there is some.
 *
 * All functions take NULL, as a volume that is read-only has it: nothing happens, there is never room.
 */
#ifndef FS_COLLECTOR_H
#define FS_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/list.h"
#include "fs/collect.h"

struct collector;

/** collector_start(p, out): copies ${p}.  collector_stop(c): what runs is stopped, who waits gets -ENOSPC; from
 * then on nothing runs.  collector_free(c): after that. */
int collector_start(const struct collect_parts *p, struct collector **out);
void collector_stop(struct collector *c);
void collector_free(struct collector *c);

/** collector_freed(c, bytes): so much content was removed or replaced.  Cheap, any thread, under any lock. */
void collector_freed(struct collector *c, uint64_t bytes);

/** collector_rested(c): changes have rested, or have gone on for a while, or found no room: is it time?  Does not
 * block. */
void collector_rested(void *c);

struct space_waiter {
	/* ready(w, result): from the collector's thread.  0: try again; -ENOSPC: there will be none. */
	void (*ready)(struct space_waiter *w, int result);
	/* private; zero at first */
	struct list link;
	bool waiting;
	unsigned int rounds;		/* it has waited for */
	uint64_t until_ms;		/* it waits */
};

/** collector_wait(c, w): the set has no room: wait until a collection has made some, for a bounded time also if
 * called again.  0: ready() will be called, perhaps before this returns; -ENOSPC: it is of no use.
 * collector_leave(c, w): no longer; true: ready() will not be called. */
int collector_wait(struct collector *c, struct space_waiter *w);
bool collector_leave(struct collector *c, struct space_waiter *w);

/** collector_run(c, dry_run, tell, arg, out, cleaned): a collection that somebody asked for, in the calling thread: a
 * snapshot, so that what was removed is not in the newest one; collect(); unless ${dry_run} the
 * cleaning; *${cleaned}: bytes given back.  Waits for one that is under way.  As collect(). */
int collector_run(struct collector *c, bool dry_run, collect_tell *tell, void *arg,
    struct collect_result *out, uint64_t *cleaned);

struct collector_status {
	int64_t time;			/* of the last collection, seconds; 0: none yet */
	uint64_t removed_bytes;		/* by it */
	uint64_t old_bytes;		/* held by kept snapshots but the newest, as of then */
};
void collector_status(struct collector *c, struct collector_status *out);

#endif
