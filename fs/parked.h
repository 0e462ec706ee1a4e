/*
 * parked: a request that waits for a completion, and can be interrupted meanwhile.
 *
 *	parked_init(p, req, ...)	the handler
 *	start the operation		its completion calls parked_finish(), replies, parked_drop()
 *	parked_started(p)		the handler, last: p may be gone after it
 *
 * An interrupt (a signal to the process that waits, when it counts: signals.h) calls cancel() from
 * the parking's thread: it must make the completion come soon; if that has come already, or comes
 * just then, cancel() must do no harm.
 */
#ifndef FS_PARKED_H
#define FS_PARKED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "chunker/list.h"
#include "fs/signals.h"

struct fuse_req;

/* All requests of a mount that are parked. */
struct parking;

/** parking_new(): NULL: no memory or no thread. */
struct parking *parking_new(void);

/** parking_end(k): cancel all, and wait until they are answered.  What is parked later is cancelled at once. */
void parking_end(struct parking *k);

/** parking_free(k): parking_end(), for the last time.  NULL: nothing. */
void parking_free(struct parking *k);

struct parked {
	struct fuse_req *req;
	struct parking *parking;
	void (*cancel)(struct parked *p);
	void (*free)(struct parked *p);
	/* private */
	/* the parking's lock; in its list from parked_started() to parked_finish() */
	struct list link, interrupted;
	struct interruption signal;
	bool was_interrupted;
	pthread_mutex_t lock;	/* protects what follows; the parking's comes after it */
	bool finished, registered, counted;
	atomic_uint holds;
};

/** parked_init(p, req, parking, cancel, free): two holds: the completion's and the handler's. */
void parked_init(struct parked *p, struct fuse_req *req, struct parking *parking,
    void (*cancel)(struct parked *), void (*free)(struct parked *));

/** parked_started(p): the handler's part is done; interrupts count from now on. */
void parked_started(struct parked *p);

/** parked_finish(p): the completion's, once: no interrupt comes any more.  Returns the request, to be
 * replied to. */
struct fuse_req *parked_finish(struct parked *p);

void parked_hold(struct parked *p);
void parked_drop(struct parked *p);

#endif
