/*
 * snapshots_impl: what the parts of snapshots.h share: snapshots.c (when, and for whom) and
 * snapshot_take.c (one snapshot, and which of them are kept).
 */
#ifndef FS_SNAPSHOTS_IMPL_H
#define FS_SNAPSHOTS_IMPL_H

#include <pthread.h>
#include <time.h>

#include "fs/fetch.h"
#include "fs/snapshots.h"

#define SNAPSHOT_EVERY_S 30	/* while changes go on */

struct snapshots {
	struct snapshots_options o;
	struct waiting_source source;
	struct dht_sink sink;
	pthread_t thread;

	/* Held while a snapshot is on its way from its reader to a checkpoint that has it as the newest. */
	pthread_mutex_t taking;

	pthread_mutex_t lock;	/* all below; comes after taking; only on_rest() is called with it */
	pthread_cond_t wake;
	struct list waiting;	/* snapshot_waiter: for the next one */
	struct list served;	/* for the one that is being taken */
	bool changed, stop;
	struct timespec first_change, last_change;	/* since the newest; CLOCK_MONOTONIC */
	struct kept *kept;	/* earlier ones and the newest, oldest first; changed with taking held */
	size_t nkept;
	void (*on_rest)(void *arg);
	void *on_rest_arg;
	/* the thread's */
	bool newest_stays;	/* somebody asked for it, or may have */
	int last_result;
};

/** snapshot_take(s, note, all, ref, unflushed): one snapshot, durable.  Without ${all}, files that were cut to
 * nothing and are about to be written are left as they were: nobody has asked for this moment.
 * *${unflushed}: why some file could not be flushed. */
int snapshot_take(struct snapshots *s, const char *note, bool all, struct ref *ref,
    int *unflushed);

/** snapshot_take_read_only(s, note, ref): the newest, if it is all of the volume. */
int snapshot_take_read_only(struct snapshots *s, const char *note, struct ref *ref);

/** snapshots_load(s): the list of the kept ones.  A damaged one costs the list, not the mount. */
int snapshots_load(struct snapshots *s);

#endif
