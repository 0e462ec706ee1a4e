#define FUSE_USE_VERSION 314
#include "fs/parked.h"

#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdlib.h>

struct parking {
	struct jobs *interrupts;	/* one thread */
	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t empty;
	struct list list;		/* not answered yet */
	unsigned int count;		/* not freed yet */
	bool ending;
};

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

/* By who knows that ${p} is alive, and may hold any lock: so only post. */
static void interrupt(struct parked *p)
{
	if (atomic_flag_test_and_set(&p->interrupted))
		return;
	parked_hold(p);
	jobs_post(p->parking->interrupts, &p->job);
}

/*
 * libfuse holds the request's lock, and parked_started() may hold p's.  The registration
 * ends before the completion's hold does, so p is alive here.
 */
static void on_interrupt(fuse_req_t req, void *data)
{
	(void)req;
	interrupt(data);
}

/* Under its lock. */
static void enter(struct parked *p)
{
	struct parking *k = p->parking;

	pthread_mutex_lock(&k->lock);
	p->counted = true;
	k->count++;
	if (!p->finished) {
		p->registered = true;
		list_append(&k->list, &p->link);
	}
	if (!p->finished && k->ending)
		interrupt(p);
	pthread_mutex_unlock(&k->lock);
	if (p->registered)
		fuse_req_interrupt_func(p->req, on_interrupt, p);
}

void parked_init(struct parked *p, struct fuse_req *req, struct parking *parking,
    void (*cancel)(struct parked *), void (*free_parked)(struct parked *))
{
	p->req = req;
	p->parking = parking;
	p->cancel = cancel;
	p->free = free_parked;
	p->job.run = cancel_job;
	p->finished = p->registered = p->counted = false;
	pthread_mutex_init(&p->lock, NULL);
	atomic_init(&p->holds, 2);
	atomic_flag_clear(&p->interrupted);
}

void parked_started(struct parked *p)
{
	/* A request that was answered at once, the usual case, is gone with this. */
	pthread_mutex_lock(&p->lock);
	if (atomic_load(&p->holds) > 1)
		enter(p);
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
	if (registered) {
		fuse_req_interrupt_func(p->req, NULL, NULL);
		pthread_mutex_lock(&p->parking->lock);
		list_remove(&p->link);
		pthread_mutex_unlock(&p->parking->lock);
	}
	return p->req;
}

void parked_hold(struct parked *p)
{
	atomic_fetch_add(&p->holds, 1);
}

void parked_drop(struct parked *p)
{
	struct parking *k = p->parking;
	bool counted;

	if (atomic_fetch_sub(&p->holds, 1) != 1)
		return;
	counted = p->counted;
	pthread_mutex_destroy(&p->lock);
	p->free(p);
	if (!counted)
		return;
	pthread_mutex_lock(&k->lock);
	if (--k->count == 0)
		pthread_cond_broadcast(&k->empty);
	pthread_mutex_unlock(&k->lock);
}

struct parking *parking_new(void)
{
	struct parking *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->interrupts = jobs_new(1);
	if (!k->interrupts) {
		free(k);
		return NULL;
	}
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->empty, NULL);
	list_init(&k->list);
	return k;
}

void parking_end(struct parking *k)
{
	pthread_mutex_lock(&k->lock);
	k->ending = true;
	for (struct list *l = k->list.next; l != &k->list; l = l->next)
		interrupt(list_item(l, struct parked, link));
	while (k->count > 0)
		pthread_cond_wait(&k->empty, &k->lock);
	pthread_mutex_unlock(&k->lock);
}

void parking_free(struct parking *k)
{
	if (!k)
		return;
	parking_end(k);
	jobs_free(k->interrupts);
	pthread_cond_destroy(&k->empty);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
