#include "fs/lookups.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256u

struct lookup {
	struct dht_op op;	/* the dht's while it is under way */
	enum kind kind;
	struct address address;
	struct dht *dht;
	struct cache *cache;
	bool hurried;		/* cancelled, to be started again before others */
	struct lookup *chain;
	struct lookup_waiter *waiters;
};

/*
 * The lock is held while the dht is called, so that an operation in the table has been
 * started and is not done yet: it may be cancelled.  The dht never calls back from there.
 */
struct lookups {
	pthread_mutex_t lock;	/* protects what follows, and all lookups in it */
	pthread_cond_t none;
	unsigned int count;
	struct lookup *buckets[BUCKETS];
};

static struct lookup **place(struct lookups *ls, enum kind kind, const struct address *a)
{
	struct lookup **p = &ls->buckets[a->b[0]];

	while (*p && ((*p)->kind != kind || !address_equal(&(*p)->address, a)))
		p = &(*p)->chain;
	return p;
}

static void tell(struct lookup_waiter *w, int result, struct chunk *chunk)
{
	struct lookup_waiter *next;

	for (; w; w = next) {
		next = w->next;
		w->done(w, result, chunk);
	}
}

/* Of ${l}'s waiters those that were cancelled; the others stay. */
static struct lookup_waiter *take_cancelled(struct lookup *l)
{
	struct lookup_waiter *out = NULL, **p = &l->waiters, *w;

	while ((w = *p)) {
		if (!w->cancelled) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->lookup = NULL;
		w->next = out;
		out = w;
	}
	return out;
}

static void lookup_done(struct dht_op *op)
{
	struct lookup *l = op->user;
	struct lookups *ls = cache_lookups(l->cache);
	struct lookup_waiter *told;
	struct chunk *chunk = NULL;
	int result = op->result;

	pthread_mutex_lock(&ls->lock);
	if (result == -ECANCELED) {
		told = take_cancelled(l);
		if (l->waiters) {
			/* One reader gave up, or all are in a hurry: the others still want it. */
			op->ahead = false;
			op->chunk = NULL;
			dht_lookup(l->dht, op);
			pthread_mutex_unlock(&ls->lock);
			tell(told, result, NULL);
			return;
		}
	} else {
		told = l->waiters;
		for (struct lookup_waiter *w = told; w; w = w->next)
			w->lookup = NULL;
	}
	if (result == 0) {
		chunk = op->chunk;
		cache_put(l->cache, l->kind, &l->address, chunk);
	}
	*place(ls, l->kind, &l->address) = l->chain;
	free(l);
	pthread_mutex_unlock(&ls->lock);
	tell(told, result, chunk);
	chunk_drop(chunk);
	pthread_mutex_lock(&ls->lock);
	if (--ls->count == 0)
		pthread_cond_signal(&ls->none);
	pthread_mutex_unlock(&ls->lock);
}

/* One more waits for it. */
static void join(struct lookup *l, struct lookup_waiter *w)
{
	if (l->op.ahead && !l->hurried) {
		/* Done with -ECANCELED it is started again, no longer behind all others. */
		l->hurried = true;
		dht_cancel(&l->op);
	}
	w->lookup = l;
	w->cancelled = false;
	w->next = l->waiters;
	l->waiters = w;
}

int lookup_join(struct cache *cache, enum kind kind, const struct address *a,
    struct lookup_waiter *w)
{
	struct lookups *ls = cache_lookups(cache);
	struct lookup *l;

	pthread_mutex_lock(&ls->lock);
	l = *place(ls, kind, a);
	if (l)
		join(l, w);
	pthread_mutex_unlock(&ls->lock);
	return l ? -EINPROGRESS : -ENOENT;
}

int lookup_start(struct dht *dht, struct cache *cache, enum kind kind, const struct address *a,
    struct lookup_waiter *w, struct chunk **out)
{
	struct lookups *ls = cache_lookups(cache);
	struct lookup **p, *l;
	int rc = -EINPROGRESS;

	assert(kind_valid(kind));
	*out = NULL;
	pthread_mutex_lock(&ls->lock);
	p = place(ls, kind, a);
	l = *p;
	/* It may have come since the caller looked: it is put there before it leaves the table. */
	if (!l && (w ? (*out = cache_get(cache, kind, a)) != NULL : cache_has(cache, kind, a))) {
		rc = 0;
		goto out;
	}
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l) {
			rc = -ENOMEM;
			goto out;
		}
		l->dht = dht;
		l->cache = cache;
		l->op.done = lookup_done;
		l->op.user = l;
		l->kind = l->op.kind = kind;
		l->address = l->op.address = *a;
		l->op.ahead = !w;
		*p = l;
		ls->count++;
		dht_lookup(dht, &l->op);
	}
	if (w)
		join(l, w);
out:
	pthread_mutex_unlock(&ls->lock);
	return rc;
}

void lookup_cancel(struct cache *cache, struct lookup_waiter *w)
{
	struct lookups *ls = cache_lookups(cache);

	pthread_mutex_lock(&ls->lock);
	if (w->lookup && !w->cancelled) {
		w->cancelled = true;
		dht_cancel(&w->lookup->op);
	}
	pthread_mutex_unlock(&ls->lock);
}

struct lookups *lookups_new(void)
{
	struct lookups *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return NULL;
	pthread_mutex_init(&ls->lock, NULL);
	pthread_cond_init(&ls->none, NULL);
	return ls;
}

void lookups_free(struct lookups *ls)
{
	if (!ls)
		return;
	pthread_mutex_lock(&ls->lock);
	while (ls->count > 0)
		pthread_cond_wait(&ls->none, &ls->lock);
	pthread_mutex_unlock(&ls->lock);
	pthread_cond_destroy(&ls->none);
	pthread_mutex_destroy(&ls->lock);
	free(ls);
}
