/*
 * parked: a request that waits for a completion, and can be interrupted meanwhile.
 *
 *	parked_init(p, req, ...)	the handler
 *	start the operation		its completion calls parked_finish(), replies, parked_drop()
 *	parked_started(p)		the handler, last: p may be gone after it
 *
 * An interrupt (a signal to the process that waits) calls cancel() from a thread of
 * fs->jobs: it must make the completion come soon; if that has come already, or comes
 * just then, cancel() must do no harm.
 */
#ifndef FS_PARKED_H
#define FS_PARKED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fs/jobs.h"

struct fuse_req;

struct parked {
	struct fuse_req *req;
	struct jobs *jobs;
	void (*cancel)(struct parked *p);
	void (*free)(struct parked *p);
	/* private */
	struct job job;
	pthread_mutex_t lock;	/* finished, registered */
	bool finished, registered;
	atomic_uint holds;
	atomic_flag interrupted;
};

/** parked_init(p, req, jobs, cancel, free): two holds: the completion's and the handler's. */
void parked_init(struct parked *p, struct fuse_req *req, struct jobs *jobs,
    void (*cancel)(struct parked *), void (*free)(struct parked *));

/** parked_started(p): the handler's part is done; interrupts count from now on. */
void parked_started(struct parked *p);

/** parked_finish(p): the completion's, once: no interrupt comes any more.  Returns the request, to be
 * replied to. */
struct fuse_req *parked_finish(struct parked *p);
void parked_drop(struct parked *p);

#endif
