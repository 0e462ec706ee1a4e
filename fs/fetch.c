#include "fs/fetch.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "fs/lookups.h"

#define SLOTS_MIN 8u

/*
 * A slot is WANTED from run() on, then COMING from the end of that run until the lookup
 * is done, then HELD until the fetch is cleared.  Slots move in memory only while
 * run() runs, when none is COMING.
 */
enum slot_state {
	WANTED,
	COMING,
	HELD,
};

struct fetch_slot {
	struct lookup_waiter waiter;
	struct fetch *fetch;
	struct address address;
	enum kind kind;
	enum slot_state state;
	struct chunk *chunk;
};

static struct fetch_slot *slot_find(struct fetch *f, enum kind kind, const struct address *a)
{
	/* Newest first: a run that goes on asks for what came last. */
	for (unsigned int i = f->count; i-- > 0;) {
		struct fetch_slot *s = &f->slots[i];

		if (s->kind == kind && address_equal(&s->address, a))
			return s;
	}
	return NULL;
}

static struct fetch_slot *slot_add(struct fetch *f, enum kind kind, const struct address *a)
{
	struct fetch_slot *s;

	if (f->count == f->room) {
		unsigned int room = f->room ? 2 * f->room : SLOTS_MIN;

		s = realloc(f->slots, room * sizeof(*s));
		if (!s)
			return NULL;
		f->slots = s;
		f->room = room;
	}
	s = &f->slots[f->count++];
	*s = (struct fetch_slot){ .fetch = f, .kind = kind, .address = *a };
	return s;
}

int fetch_want(struct fetch *f, enum kind kind, const struct address *a, struct chunk **out)
{
	struct fetch_slot *s = slot_find(f, kind, a);
	struct chunk *chunk;

	assert(kind_valid(kind));
	if (!s) {
		chunk = cache_get(f->cache, kind, a);
		if (!chunk && f->wanted >= FETCH_WANTED_MAX)
			return -EAGAIN;
		s = slot_add(f, kind, a);
		if (!s) {
			chunk_drop(chunk);
			return -ENOMEM;
		}
		s->chunk = chunk;
		s->state = chunk ? HELD : WANTED;
		f->wanted += !chunk;
	}
	if (s->state != HELD)
		return -EAGAIN;
	*out = s->chunk;
	return 0;
}

static int fetch_get(struct source *source, enum kind kind, const struct address *a,
    struct chunk **out)
{
	struct fetch *f = (struct fetch *)((char *)source - offsetof(struct fetch, source));
	int rc = fetch_want(f, kind, a, out);

	if (rc == 0)
		chunk_hold(*out);
	return rc;
}

void fetch_init(struct fetch *f, struct dht *dht, struct cache *cache)
{
	f->source.get = fetch_get;
	f->dht = dht;
	f->cache = cache;
	f->slots = NULL;
	f->count = f->room = f->wanted = 0;
	pthread_mutex_init(&f->lock, NULL);
	f->pending = 0;
	f->cancelled = false;
	f->error = 0;
}

void fetch_forget(struct fetch *f)
{
	for (unsigned int i = 0; i < f->count; i++)
		chunk_drop(f->slots[i].chunk);
	f->count = f->wanted = 0;
}

void fetch_clear(struct fetch *f)
{
	assert(f->pending == 0);
	fetch_forget(f);
	free(f->slots);
	f->slots = NULL;
	f->room = 0;
	/* The lock stays as it is: fetch_cancel() may still come. */
}

static void slot_done(struct lookup_waiter *w, int result, struct chunk *chunk);

/*
 * Look up all that is wanted.  True: it is there, run again; else the last lookup to be
 * done goes on, not before the lock is left here.
 */
static bool look_up(struct fetch *f)
{
	bool ready;

	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < f->count && !f->cancelled && f->error == 0; i++) {
		struct fetch_slot *s = &f->slots[i];
		int rc;

		if (s->state != WANTED)
			continue;
		s->waiter.done = slot_done;
		s->state = COMING;
		rc = lookup_start(f->dht, f->cache, s->kind, &s->address, &s->waiter, &s->chunk);
		if (rc == -EINPROGRESS)
			f->pending++;
		else if (rc == 0)
			s->state = HELD;
		else
			f->error = rc;
	}
	f->wanted = 0;
	ready = f->pending == 0;
	pthread_mutex_unlock(&f->lock);
	return ready;
}

/* What run() asked for but could do without. */
static void look_ahead(struct fetch *f)
{
	for (unsigned int i = 0; i < f->count && f->wanted > 0; i++) {
		if (f->slots[i].state != WANTED)
			continue;
		fetch_ahead(f->dht, f->cache, f->slots[i].kind, &f->slots[i].address);
		f->wanted--;
	}
}

static void go_on(struct fetch *f)
{
	int rc;

	do {
		pthread_mutex_lock(&f->lock);
		rc = f->cancelled ? -EINTR : f->error;
		pthread_mutex_unlock(&f->lock);
		if (rc == 0)
			rc = f->run(f);
		if (rc != -EAGAIN) {
			if (rc == 0)
				look_ahead(f);
			f->done(f, rc);
			return;
		}
		/* Or nothing would ever wake it. */
		assert(f->wanted > 0);
	} while (look_up(f));
}

static void slot_done(struct lookup_waiter *w, int result, struct chunk *chunk)
{
	struct fetch_slot *s = (struct fetch_slot *)((char *)w - offsetof(struct fetch_slot, waiter));
	struct fetch *f = s->fetch;
	bool last;

	pthread_mutex_lock(&f->lock);
	if (result == 0)
		s->chunk = chunk_hold(chunk);
	else if (f->error == 0)
		f->error = result;
	s->state = HELD;
	last = --f->pending == 0;
	pthread_mutex_unlock(&f->lock);
	if (last)
		go_on(f);
}

void fetch_start(struct fetch *f)
{
	go_on(f);
}

void fetch_cancel(struct fetch *f)
{
	pthread_mutex_lock(&f->lock);
	f->cancelled = true;
	/* While run() runs it may move the slots; it will see the flag. */
	for (unsigned int i = 0; f->pending > 0 && i < f->count; i++) {
		if (f->slots[i].state == COMING)
			lookup_cancel(f->cache, &f->slots[i].waiter);
	}
	pthread_mutex_unlock(&f->lock);
}

void fetch_ahead(struct dht *dht, struct cache *cache, enum kind kind, const struct address *a)
{
	struct chunk *none;

	/* Where there is no memory for it, there is none for what it would bring. */
	lookup_start(dht, cache, kind, a, NULL, &none);
}

struct waiting {
	struct lookup_waiter waiter;
	struct chunk *chunk;
	int result;
	sem_t done;
};

static void waiting_done(struct lookup_waiter *waiter, int result, struct chunk *chunk)
{
	struct waiting *w = (struct waiting *)waiter;

	w->result = result;
	w->chunk = result == 0 ? chunk_hold(chunk) : NULL;
	sem_post(&w->done);
}

/* Wait for it if it is on its way; else it is best looked up in this thread: -ENOENT. */
static int wait_for(struct cache *cache, enum kind kind, const struct address *a,
    struct waiting *w)
{
	int rc;

	w->waiter.done = waiting_done;
	sem_init(&w->done, 0, 0);
	rc = lookup_join(cache, kind, a, &w->waiter);
	while (rc == -EINPROGRESS && sem_wait(&w->done) < 0)
		;
	sem_destroy(&w->done);
	return rc;
}

static int waiting_get(struct source *source, enum kind kind, const struct address *a,
    struct chunk **out)
{
	struct waiting_source *w = (struct waiting_source *)source;
	struct dht_op op = { .kind = kind, .address = *a };
	struct waiting waiting;
	int rc;

	*out = w->cache ? cache_get(w->cache, kind, a) : NULL;
	if (*out)
		return 0;
	if (w->cache && wait_for(w->cache, kind, a, &waiting) == -EINPROGRESS) {
		*out = waiting.chunk;
		return waiting.result;
	}
	rc = dht_lookup_now(w->dht, &op);
	if (rc < 0)
		return rc;
	/* Who waits for directories goes through a tree once, and would push out what others read. */
	if (w->cache && kind != KIND_DIRECTORY)
		cache_put(w->cache, kind, a, op.chunk);
	*out = op.chunk;
	return 0;
}

void waiting_source_init(struct waiting_source *w, struct dht *dht, struct cache *cache)
{
	*w = (struct waiting_source){ .source = { waiting_get }, .dht = dht, .cache = cache };
}

static int dht_put(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	struct dht_sink *s = (struct dht_sink *)sink;
	struct dht_op op = { .kind = kind, .address = *a, .chunk = c };

	return dht_insert_now(s->dht, &op, true);
}

void dht_sink_init(struct dht_sink *s, struct dht *dht)
{
	*s = (struct dht_sink){ .sink = { dht_put }, .dht = dht };
}
