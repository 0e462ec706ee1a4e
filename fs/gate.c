#include "fs/gate.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/deadline.h"

#define EARLY 64u

struct gate {
	pthread_mutex_t lock;	/* protects what follows */
	pthread_cond_t empty;	/* inside == 0; nothing kept; stirred */
	pthread_cond_t wake;	/* something for gate_next() */
	struct list kept;
	unsigned int inside;
	unsigned int interrupted;	/* of the kept */
	unsigned int promised;	/* not served yet */
	bool serving_promised;	/* one of these is inside */
	bool closed, held, ending, stirred;
	/* Interrupts that came while it was closed, and before their request: another thread has
	 * read that, and not got here yet. */
	uint64_t early[EARLY];
	unsigned int early_at;
};

struct gate *gate_new(void)
{
	struct gate *g = calloc(1, sizeof(*g));
	pthread_condattr_t attr;

	if (!g)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->empty, NULL);
	pthread_cond_init(&g->wake, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&g->kept);
	return g;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	while (!list_empty(&g->kept)) {
		struct gate_kept *k = list_item(g->kept.next, struct gate_kept, link);

		list_remove(&k->link);
		free(k);
	}
	pthread_cond_destroy(&g->empty);
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static void mark(struct gate *g, struct gate_kept *k)
{
	if (k->interrupted || k->promised)
		return;
	k->interrupted = true;
	k->signal.since_ms = signals_now_ms();
	g->interrupted++;
	pthread_cond_signal(&g->wake);
}

static int keep(struct gate *g, uint64_t unique, uint32_t pid, const void *mem, size_t len)
{
	struct gate_kept *k = malloc(sizeof(*k) + len);

	if (!k)
		return -ENOMEM;
	*k = (struct gate_kept){ .unique = unique, .signal.pid = pid, .len = len };
	memcpy(k->bytes, mem, len);
	list_append(&g->kept, &k->link);
	for (unsigned int i = 0; i < EARLY; i++)
		if (g->early[i] == unique)
			mark(g, k);
	return 0;
}

int gate_enter(struct gate *g, uint64_t unique, uint32_t pid, const void *mem, size_t len)
{
	int r = 1;

	pthread_mutex_lock(&g->lock);
	if (g->closed || g->held || g->promised > 0)
		r = keep(g, unique, pid, mem, len);
	else
		g->inside++;
	pthread_mutex_unlock(&g->lock);
	return r;
}

void gate_leave(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	assert(g->inside > 0);
	if (--g->inside == 0 && g->closed)
		pthread_cond_signal(&g->empty);
	pthread_mutex_unlock(&g->lock);
}

static struct gate_kept *find(struct gate *g, uint64_t unique)
{
	for (struct list *l = g->kept.next; l != &g->kept; l = l->next) {
		struct gate_kept *k = list_item(l, struct gate_kept, link);

		if (k->unique == unique)
			return k;
	}
	return NULL;
}

bool gate_interrupt(struct gate *g, uint64_t unique)
{
	struct gate_kept *k;

	pthread_mutex_lock(&g->lock);
	k = find(g, unique);
	if (k)
		mark(g, k);
	else if (g->closed || g->held || g->promised > 0)
		g->early[g->early_at++ % EARLY] = unique;
	pthread_mutex_unlock(&g->lock);
	return k;
}

bool gate_promise(struct gate *g, uint64_t unique)
{
	struct gate_kept *k;

	pthread_mutex_lock(&g->lock);
	k = find(g, unique);
	if (k) {
		g->interrupted -= k->interrupted;
		k->interrupted = false;
		g->promised += !k->promised;
		k->promised = true;
	}
	pthread_mutex_unlock(&g->lock);
	return k;
}

bool gate_promised(struct gate *g)
{
	bool promised;

	pthread_mutex_lock(&g->lock);
	promised = g->promised > 0;
	pthread_mutex_unlock(&g->lock);
	return promised;
}

/* One whose process is to wait no longer; NULL: none. */
static struct gate_kept *refused(struct gate *g)
{
	for (struct list *l = g->kept.next; g->interrupted > 0 && l != &g->kept; l = l->next) {
		struct gate_kept *k = list_item(l, struct gate_kept, link);

		if (k->interrupted && signals_count(&k->signal))
			return k;
	}
	return NULL;
}

/* What was interrupted is looked at again and again: only its first signal is told. */
static void wait_for_news(struct gate *g)
{
	struct timespec until;

	if (g->interrupted == 0) {
		pthread_cond_wait(&g->wake, &g->lock);
		return;
	}
	until = deadline_in(CLOCK_MONOTONIC, SIGNALS_LOOK_MS);
	pthread_cond_timedwait(&g->wake, &g->lock, &until);
}

/* Will gate_next() go on? */
static bool goes_on(const struct gate *g)
{
	return !g->ending || g->promised > 0;
}

struct gate_kept *gate_next(struct gate *g, bool *refuse)
{
	struct gate_kept *k = NULL;

	pthread_mutex_lock(&g->lock);
	/* The last one has been served. */
	g->promised -= g->serving_promised;
	g->serving_promised = false;
	while (goes_on(g)) {
		*refuse = g->closed || g->held;
		if (*refuse)
			k = refused(g);
		else if (!list_empty(&g->kept))
			k = list_item(g->kept.next, struct gate_kept, link);
		if (k)
			break;
		wait_for_news(g);
	}
	if (k) {
		list_remove(&k->link);
		g->interrupted -= k->interrupted;
		g->inside += !*refuse;
		g->serving_promised = k->promised;
	}
	if (!k || list_empty(&g->kept))
		pthread_cond_signal(&g->empty);
	pthread_mutex_unlock(&g->lock);
	return k;
}

void gate_end(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->ending = true;
	pthread_cond_broadcast(&g->wake);
	pthread_cond_broadcast(&g->empty);
	pthread_mutex_unlock(&g->lock);
}

bool gate_close(struct gate *g)
{
	bool closed;

	if (!g)
		return true;
	pthread_mutex_lock(&g->lock);
	assert(!g->closed);
	while (!list_empty(&g->kept) && !g->held && goes_on(g) && !g->stirred)
		pthread_cond_wait(&g->empty, &g->lock);
	g->closed = true;
	while (g->inside > 0 && !g->stirred)
		pthread_cond_wait(&g->empty, &g->lock);
	g->closed = closed = !g->stirred;
	g->stirred = false;
	if (!closed)
		pthread_cond_broadcast(&g->wake);
	pthread_mutex_unlock(&g->lock);
	return closed;
}

void gate_stir(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->stirred = true;
	pthread_cond_signal(&g->empty);
	pthread_mutex_unlock(&g->lock);
}

void gate_hold(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->held = true;
	if (g->closed || !list_empty(&g->kept))
		pthread_cond_signal(&g->empty);
	pthread_mutex_unlock(&g->lock);
}

void gate_open(struct gate *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->closed = g->held = false;
	memset(g->early, 0, sizeof(g->early));
	g->early_at = 0;
	if (!list_empty(&g->kept))
		pthread_cond_broadcast(&g->wake);
	pthread_mutex_unlock(&g->lock);
}
