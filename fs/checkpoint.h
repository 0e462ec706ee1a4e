/*
 * checkpoint: the thread that makes the tree durable.
 *
 * flush files -> collect what they flushed -> sync the set -> commit the tree with it.
 * At most 1 s after the first change, at once when somebody waits.
 */
#ifndef FS_CHECKPOINT_H
#define FS_CHECKPOINT_H

#include <stdbool.h>

#include "chunker/list.h"
#include "dht/dht.h"
#include "fs/file.h"
#include "fs/gate.h"
#include "fs/tree.h"

struct checkpoint;

/** checkpoint_start(tree, files, dht, gate, out): starts the thread, which begins the tree's transaction before
 * this returns; it closes ${gate} (NULL: none) for its commits.  0 or -errno. */
int checkpoint_start(struct tree *t, struct files *files, struct dht *dht, struct gate *gate,
    struct checkpoint **out);

/** checkpoint_stop(c): a last checkpoint of everything, then ends the thread.  What that checkpoint said, or
 * why some file could not be flushed. */
int checkpoint_stop(struct checkpoint *c);

/** checkpoint_on_commit(c, f, arg): f(arg) is called from the checkpoint's thread after each checkpoint that
 * had changes in it; NULL: no longer. */
void checkpoint_on_commit(struct checkpoint *c, void (*f)(void *arg), void *arg);

/** checkpoint_due(c): something changed.  Cheap; callable from anywhere, under any lock. */
void checkpoint_due(void *c);

/** checkpoint_hurry(c): make one now: the tree has changed much. */
void checkpoint_hurry(struct checkpoint *c);

/** checkpoint_hold(c): and nothing should change it any more before that: requests wait at the gate. */
void checkpoint_hold(struct checkpoint *c);

struct checkpoint_waiter {
	void (*done)(struct checkpoint_waiter *w, int result);	/* from the checkpoint's thread */
	bool all;		/* flush every file first (else: what has been flushed counts) */
	int unflushed;		/* when done, of ${all}: 0, or why some file could not be flushed */
	/* private; zero at first */
	struct list link;
	bool waiting;
};

/** checkpoint_wait(c, w): done when a checkpoint that started after this call is on stable storage: 0, or
 * why not.  checkpoint_leave(c, w): no longer interested, also while that checkpoint is being
 * made; true: done() will not be called. */
void checkpoint_wait(struct checkpoint *c, struct checkpoint_waiter *w);
bool checkpoint_leave(struct checkpoint *c, struct checkpoint_waiter *w);

/** checkpoint_now(c, all, unflushed): the same, waited for. */
int checkpoint_now(struct checkpoint *c, bool all, int *unflushed);

#endif
