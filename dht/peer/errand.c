#include "dht/peer/errand.h"

#include <errno.h>
#include <string.h>

void errand_init(struct errand *e, struct peer *p)
{
	memset(e, 0, sizeof(*e));
	e->peer = p;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->over, NULL);
}

static void done(struct peer_ask *a)
{
	struct errand *e = a->user;

	pthread_mutex_lock(&e->lock);
	e->running = false;
	pthread_cond_broadcast(&e->over);
	pthread_mutex_unlock(&e->lock);
}

int errand_run(struct errand *e)
{
	int result;

	pthread_mutex_lock(&e->lock);
	e->ask.chunk = e->ask.blob = NULL;
	if (e->ended) {
		pthread_mutex_unlock(&e->lock);
		return -ECANCELED;
	}
	e->running = true;
	e->ask.done = done;
	e->ask.user = e;
	/* Under the lock, so that errand_end() never cancels what was not asked yet; done() is the loop's. */
	peer_ask(e->peer, &e->ask);
	while (e->running)
		pthread_cond_wait(&e->over, &e->lock);
	result = e->ask.result;
	pthread_mutex_unlock(&e->lock);
	return result;
}

void errand_end(struct errand *e)
{
	pthread_mutex_lock(&e->lock);
	e->ended = true;
	if (e->running)
		peer_cancel(&e->ask);
	pthread_mutex_unlock(&e->lock);
}

void errand_free(struct errand *e)
{
	pthread_cond_destroy(&e->over);
	pthread_mutex_destroy(&e->lock);
}
