#define FUSE_USE_VERSION 314
#include "fs/parked.h"

#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "chunker/deadline.h"

struct parking {
	pthread_t thread;		/* carries out interrupts */
	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t empty, wake;
	struct list list;		/* not answered yet */
	struct list interrupted;	/* of these, and held; the thread looks at them */
	unsigned int count;		/* not freed yet */
	bool ending, stop;
};

static void cancel_it(struct parked *p)
{
	bool finished;

	pthread_mutex_lock(&p->lock);
	finished = p->finished;
	pthread_mutex_unlock(&p->lock);
	if (!finished)
		p->cancel(p);
	parked_drop(p);
}

static struct parked *next_to_cancel(struct parking *k)
{
	for (struct list *l = k->interrupted.next; l != &k->interrupted; l = l->next) {
		struct parked *p = list_item(l, struct parked, interrupted);

		if (k->ending || signals_count(&p->signal))
			return p;
	}
	return NULL;
}

/* What was interrupted is looked at again and again: only its first signal is told. */
static void wait_for_news(struct parking *k)
{
	struct timespec until;

	if (list_empty(&k->interrupted)) {
		pthread_cond_wait(&k->wake, &k->lock);
		return;
	}
	until = deadline_in(CLOCK_MONOTONIC, SIGNALS_LOOK_MS);
	pthread_cond_timedwait(&k->wake, &k->lock, &until);
}

static void *carry_out(void *arg)
{
	struct parking *k = arg;

	pthread_mutex_lock(&k->lock);
	while (!k->stop) {
		struct parked *p = next_to_cancel(k);

		if (!p) {
			wait_for_news(k);
			continue;
		}
		list_remove(&p->interrupted);
		pthread_mutex_unlock(&k->lock);
		cancel_it(p);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

/* By who knows that ${p} is alive and has not been finished, with the parking's lock. */
static void interrupt(struct parked *p)
{
	if (p->was_interrupted)
		return;
	p->was_interrupted = true;
	p->signal.since_ms = signals_now_ms();
	parked_hold(p);
	list_append(&p->parking->interrupted, &p->interrupted);
	pthread_cond_signal(&p->parking->wake);
}

/*
 * libfuse holds the request's lock, and parked_started() may hold p's.  The registration
 * ends before the completion's hold does, so p is alive here.
 */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;

	(void)req;
	pthread_mutex_lock(&p->parking->lock);
	interrupt(p);
	pthread_mutex_unlock(&p->parking->lock);
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
	p->signal.pid = (uint32_t)fuse_req_ctx(req)->pid;
	p->finished = p->registered = p->counted = p->was_interrupted = false;
	list_init(&p->interrupted);
	pthread_mutex_init(&p->lock, NULL);
	atomic_init(&p->holds, 2);
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
	bool registered, interrupted;

	pthread_mutex_lock(&p->lock);
	p->finished = true;
	registered = p->registered;
	pthread_mutex_unlock(&p->lock);
	if (registered) {
		fuse_req_interrupt_func(p->req, NULL, NULL);
		pthread_mutex_lock(&p->parking->lock);
		list_remove(&p->link);
		interrupted = !list_empty(&p->interrupted);
		list_remove(&p->interrupted);
		pthread_mutex_unlock(&p->parking->lock);
		if (interrupted)
			parked_drop(p);
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
	pthread_condattr_t attr;

	if (!k)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->empty, NULL);
	pthread_cond_init(&k->wake, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&k->list);
	list_init(&k->interrupted);
	if (pthread_create(&k->thread, NULL, carry_out, k) == 0)
		return k;
	pthread_cond_destroy(&k->empty);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return NULL;
}

void parking_end(struct parking *k)
{
	pthread_mutex_lock(&k->lock);
	k->ending = true;
	for (struct list *l = k->list.next; l != &k->list; l = l->next)
		interrupt(list_item(l, struct parked, link));
	pthread_cond_signal(&k->wake);
	while (k->count > 0)
		pthread_cond_wait(&k->empty, &k->lock);
	pthread_mutex_unlock(&k->lock);
}

void parking_free(struct parking *k)
{
	if (!k)
		return;
	parking_end(k);
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->empty);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
