#include "fs/grace.h"

#include <errno.h>
#include <time.h>

#include "chunker/deadline.h"

#define ASK_MS 100

void grace_init(struct grace *g)
{
	pthread_condattr_t attr;

	atomic_init(&g->parity, 0);
	atomic_init(&g->inside[0], 0);
	atomic_init(&g->inside[1], 0);
	atomic_init(&g->waiting, false);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->left, &attr);
	pthread_condattr_destroy(&attr);
}

void grace_destroy(struct grace *g)
{
	pthread_cond_destroy(&g->left);
	pthread_mutex_destroy(&g->lock);
}

unsigned int grace_enter(struct grace *g)
{
	unsigned int parity;

	if (!g)
		return 0;
	parity = atomic_load(&g->parity);
	atomic_fetch_add(&g->inside[parity], 1);
	return parity;
}

void grace_leave(struct grace *g, unsigned int parity)
{
	if (!g || atomic_fetch_sub(&g->inside[parity], 1) > 1 || !atomic_load(&g->waiting))
		return;
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->left);
	pthread_mutex_unlock(&g->lock);
}

/* Under the lock: until nobody is inside with this parity. */
static int wait_for(struct grace *g, unsigned int parity, bool (*go_on)(void *arg), void *arg)
{
	while (atomic_load(&g->inside[parity]) > 0) {
		struct timespec until;

		if (!go_on(arg))
			return -ECANCELED;
		until = deadline_in(CLOCK_MONOTONIC, ASK_MS);
		pthread_cond_timedwait(&g->left, &g->lock, &until);
	}
	return 0;
}

/*
 * Who is inside is counted in one of the two; both are seen empty once.  The parity changes before
 * each is waited for, so that those who come later are counted in the other one.
 */
int grace_wait(struct grace *g, bool (*go_on)(void *arg), void *arg)
{
	int r = 0;

	pthread_mutex_lock(&g->lock);
	atomic_store(&g->waiting, true);
	for (int i = 0; i < 2 && r == 0; i++) {
		unsigned int old = atomic_load(&g->parity);

		atomic_store(&g->parity, 1 - old);
		r = wait_for(g, old, go_on, arg);
	}
	atomic_store(&g->waiting, false);
	pthread_mutex_unlock(&g->lock);
	return r;
}
