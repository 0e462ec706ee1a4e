#define FUSE_USE_VERSION 314
#include "fs/parked.h"

#include <fuse_lowlevel.h>
#include <stddef.h>

static void cancel_job(struct job *j)
{
	struct parked *p = (struct parked *)((char *)j - offsetof(struct parked, job));
	bool finished;

	pthread_mutex_lock(&p->lock);
	finished = p->finished;
	pthread_mutex_unlock(&p->lock);
	if (!finished)
		p->cancel(p);
	parked_drop(p);
}

/*
 * libfuse holds the request's lock, and parked_started() may hold p's: so only post.  The
 * registration ends before the completion's hold does, so p is alive here.
 */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;

	(void)req;
	if (atomic_flag_test_and_set(&p->interrupted))
		return;
	atomic_fetch_add(&p->holds, 1);
	jobs_post(p->jobs, &p->job);
}

void parked_init(struct parked *p, struct fuse_req *req, struct jobs *jobs,
    void (*cancel)(struct parked *), void (*free_parked)(struct parked *))
{
	p->req = req;
	p->jobs = jobs;
	p->cancel = cancel;
	p->free = free_parked;
	p->job.run = cancel_job;
	p->finished = p->registered = false;
	pthread_mutex_init(&p->lock, NULL);
	atomic_init(&p->holds, 2);
	atomic_flag_clear(&p->interrupted);
}

void parked_started(struct parked *p)
{
	/* A request that was answered at once, the usual case, is never registered. */
	pthread_mutex_lock(&p->lock);
	if (!p->finished) {
		fuse_req_interrupt_func(p->req, on_interrupt, p);
		p->registered = true;
	}
	pthread_mutex_unlock(&p->lock);
	parked_drop(p);
}

struct fuse_req *parked_finish(struct parked *p)
{
	bool registered;

	pthread_mutex_lock(&p->lock);
	p->finished = true;
	registered = p->registered;
	pthread_mutex_unlock(&p->lock);
	if (registered)
		fuse_req_interrupt_func(p->req, NULL, NULL);
	return p->req;
}

void parked_drop(struct parked *p)
{
	if (atomic_fetch_sub(&p->holds, 1) != 1)
		return;
	pthread_mutex_destroy(&p->lock);
	p->free(p);
}
