/*
 * snapshots: whole trees, written into the set.
 *
 * Taken on a thread of their own from a tree_reader, so nothing waits for them who did not
 * ask.  Only directories with changes below them are written anew (directory_update).
 */
#ifndef FS_SNAPSHOTS_H
#define FS_SNAPSHOTS_H

#include <stdbool.h>

#include "chunker/snapshot.h"
#include "dht/dht.h"
#include "fs/cache.h"
#include "fs/checkpoint.h"
#include "fs/keep.h"
#include "fs/tree.h"

struct snapshots;

struct snapshots_options {
	struct tree *tree;
	struct checkpoint *checkpoint;
	struct dht *dht;
	struct cache *cache;
	bool read_only;
	struct keep_rule keep;	/* which of the earlier ones stay */
};

/** snapshots_start(o, out): the thread takes one when changes have rested for 5 s, and at most every 30 s
 * while they go on; of a read-only volume only when it is asked to.  Copies ${o}. */
int snapshots_start(const struct snapshots_options *o, struct snapshots **out);

/** snapshots_on_rest(s, f, arg): f(arg) is called from the thread each time it has taken one, or tried to; it
 * must not block.  NULL: no longer. */
void snapshots_on_rest(struct snapshots *s, void (*f)(void *arg), void *arg);

/** snapshots_changed(s): a checkpoint had changes in it (the checkpoint's thread says so). */
void snapshots_changed(void *s);

/** snapshots_stop(s): one last snapshot if anything changed since the newest, then ends the thread.
 * What became of that one (the log has it too): without it nothing is lost here. */
int snapshots_stop(struct snapshots *s);

struct snapshot_waiter {
	void (*done)(struct snapshot_waiter *w, int result);	/* from the snapshots' thread */
	const char *note;	/* "": none; NULL: nobody cares for the snapshot but as a sync */
	struct ref ref;		/* when done: the newest snapshot */
	/* private; zero at first */
	struct list link;
	bool waiting;
};

/**
 * snapshots_wait(s, w): checkpoint everything, take a snapshot of it (if anything changed since the
 * newest, or there is a note), make it durable, record it as the newest in the tree and make that
 * durable too.  Where some file could not be flushed, that error: what there is of it is in the
 * snapshot.  -EROFS: the volume is read-only, and its newest snapshot is not all of it.
 * Of snapshots that were but syncs only one in half a minute is kept.
 * snapshots_leave(s, w): no longer interested, also while the snapshot is being taken; true:
 * done() will not be called.
 */
void snapshots_wait(struct snapshots *s, struct snapshot_waiter *w);
bool snapshots_leave(struct snapshots *s, struct snapshot_waiter *w);

/** snapshots_list(s, tell, arg): the kept ones and the newest, oldest first.  0 or -errno. */
int snapshots_list(struct snapshots *s,
    void (*tell)(void *arg, const struct timestamp *time, const struct ref *ref), void *arg);

/** snapshots_reader(s, out): checkpoint what there is, and open a reader while no snapshot is on its way: all that
 * earlier ones have written is in it, and later ones read no older checkpoint.  May wait for one. */
int snapshots_reader(struct snapshots *s, struct tree_reader **out);

/** snapshots_drop(s, drop, n): these are not kept any more, durably; the newest always is. */
int snapshots_drop(struct snapshots *s, const struct ref *drop, size_t n);

/** snapshots_directory(s, ino, out): the ref of a directory as of the newest snapshot; take one first. */
int snapshots_directory(struct snapshots *s, uint64_t ino, struct ref *out);

#endif
