#include "tests/lib/fakedht.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u

enum verb {
	INSERT,
	LOOKUP,
	SYNC,
};

struct stored {
	struct stored *chain;
	bool marked, condemned;		/* by the collection */
	enum kind kind;
	struct address address;
	struct chunk *chunk;
};

struct dht {
	pthread_mutex_t lock;	/* protects all that follows */
	pthread_cond_t changed;
	struct stored *buckets[BUCKETS];
	struct list queue, aheads;
	unsigned int queued, now;	/* operations that wait; those of *_now calls */
	bool held, ending;
	unsigned int let;
	int fail_inserts, fail_lookups;
	unsigned int fail_after;
	uint64_t space;
	struct fakedht_counts counts;
	bool collecting;
	struct dht_gc *gc;
	unsigned int threads;
	pthread_t thread[8];
};

struct dht_gc {
	struct dht *dht;
};

static struct stored **place(struct dht *d, const struct address *a)
{
	struct stored **p = &d->buckets[(a->b[0] << 8 | a->b[1]) % BUCKETS];

	while (*p && !address_equal(&(*p)->address, a))
		p = &(*p)->chain;
	return p;
}

static void store(struct dht *d, enum kind kind, const struct address *a, struct chunk *chunk)
{
	struct stored **p = place(d, a), *s = *p;

	if (s) {
		s->marked |= d->collecting;
		/* As if it were stored anew. */
		s->condemned = false;
		return;
	}
	/* A test that makes one allocation fail does not mean these. */
	do {
		s = calloc(1, sizeof(*s));
	} while (!s);
	s->kind = kind;
	s->address = *a;
	s->marked = d->collecting;
	/* A copy: what the caller slices from may be much larger. */
	do {
		s->chunk = chunk_copy(chunk->data, chunk->len);
	} while (!s->chunk);
	*p = s;
}

static bool fails(struct dht *d, int rc)
{
	if (rc == 0)
		return false;
	if (d->fail_after == 0)
		return true;
	d->fail_after--;
	return false;
}

static int insert(struct dht *d, struct dht_op *op)
{
	d->counts.inserts++;
	d->counts.insert_bytes += op->chunk->len;
	assert(op->chunk->len <= CHUNK_MAX);
	if (fails(d, d->fail_inserts))
		return d->fail_inserts;
	store(d, op->kind, &op->address, op->chunk);
	return 0;
}

static int lookup(struct dht *d, struct dht_op *op)
{
	struct stored *s = *place(d, &op->address);

	d->counts.lookups += !op->ahead;
	if (fails(d, d->fail_lookups))
		return d->fail_lookups;
	if (!s || s->condemned || (op->kind != KIND_ANY && op->kind != s->kind))
		return -ENOENT;
	op->kind = s->kind;
	op->chunk = chunk_hold(s->chunk);
	return 0;
}

static void perform(struct dht *d, struct dht_op *op)
{
	switch ((enum verb)op->verb) {
	case INSERT:
		op->result = insert(d, op);
		break;
	case LOOKUP:
		op->result = lookup(d, op);
		break;
	case SYNC:
		d->counts.syncs++;
		op->result = 0;
		break;
	}
}

/* The next that may go on, out of its queue, or NULL. */
static struct dht_op *next(struct dht *d)
{
	struct list *l;

	for (l = d->queue.next; l != &d->queue; l = l->next) {
		if (list_item(l, struct dht_op, link)->state == -ECANCELED)
			goto found;
	}
	for (l = d->aheads.next; l != &d->aheads; l = l->next) {
		if (list_item(l, struct dht_op, link)->state == -ECANCELED)
			goto found;
	}
	if (d->held && d->let == 0)
		return NULL;
	l = !list_empty(&d->queue) ? d->queue.next : d->aheads.next;
	if (l == &d->aheads)
		return NULL;
	d->let -= d->held;
found:
	list_remove(l);
	d->queued--;
	return list_item(l, struct dht_op, link);
}

static void *work(void *arg)
{
	struct dht *d = arg;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct dht_op *op = next(d);
		struct address a;

		if (!op && d->ending)
			break;
		if (!op) {
			pthread_cond_wait(&d->changed, &d->lock);
			continue;
		}
		if (op->state == -ECANCELED) {
			op->result = -ECANCELED;
		} else {
			if (op->verb == INSERT) {
				pthread_mutex_unlock(&d->lock);
				address_of(op->kind, op->chunk->data, op->chunk->len, &a);
				pthread_mutex_lock(&d->lock);
				op->address = a;
			}
			perform(d, op);
		}
		if (op->verb == INSERT)
			chunk_drop(op->chunk);
		pthread_mutex_unlock(&d->lock);
		op->done(op);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void start(struct dht *d, struct dht_op *op, enum verb verb)
{
	pthread_mutex_lock(&d->lock);
	op->dht = d;
	op->verb = verb;
	op->state = 0;
	if (verb == INSERT)
		chunk_hold(op->chunk);
	else if (verb == LOOKUP)
		op->chunk = NULL;
	list_append(verb == LOOKUP && op->ahead ? &d->aheads : &d->queue, &op->link);
	d->queued++;
	d->counts.aheads += verb == LOOKUP && op->ahead;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static int now(struct dht *d, struct dht_op *op, enum verb verb)
{
	pthread_mutex_lock(&d->lock);
	op->verb = verb;
	d->now++;
	pthread_cond_broadcast(&d->changed);
	while (d->held && d->let == 0)
		pthread_cond_wait(&d->changed, &d->lock);
	d->now--;
	d->let -= d->held;
	perform(d, op);
	pthread_mutex_unlock(&d->lock);
	return op->result;
}

void dht_insert(struct dht *d, struct dht_op *op)
{
	start(d, op, INSERT);
}

int dht_insert_now(struct dht *d, struct dht_op *op, bool hashed)
{
	if (!hashed)
		address_of(op->kind, op->chunk->data, op->chunk->len, &op->address);
	return now(d, op, INSERT);
}

void dht_lookup(struct dht *d, struct dht_op *op)
{
	start(d, op, LOOKUP);
}

int dht_lookup_now(struct dht *d, struct dht_op *op)
{
	return now(d, op, LOOKUP);
}

void dht_sync(struct dht *d, struct dht_op *op)
{
	start(d, op, SYNC);
}

int dht_sync_now(struct dht *d)
{
	struct dht_op op = { .kind = KIND_ANY };

	return now(d, &op, SYNC);
}

/* One node, which is alone. */
int dht_publish(struct dht *d, const struct ref *snapshot)
{
	(void)d, (void)snapshot;
	return -ENOTCONN;
}

void dht_cancel(struct dht_op *op)
{
	struct dht *d = op->dht;

	pthread_mutex_lock(&d->lock);
	op->state = -ECANCELED;
	d->counts.cancels++;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

int dht_reserve(struct dht *d, uint64_t bytes)
{
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	if (bytes > d->space - d->counts.reserved)
		rc = -ENOSPC;
	else
		d->counts.reserved += bytes;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void dht_release(struct dht *d, uint64_t bytes)
{
	pthread_mutex_lock(&d->lock);
	assert(bytes <= d->counts.reserved);
	d->counts.reserved -= bytes;
	pthread_mutex_unlock(&d->lock);
}

bool dht_has(struct dht *d, const struct address *address, enum kind *kind, uint32_t *len)
{
	struct stored *s;

	pthread_mutex_lock(&d->lock);
	s = *place(d, address);
	if (s && s->condemned)
		s = NULL;
	if (s && kind)
		*kind = s->kind;
	if (s && len)
		*len = s->chunk->len;
	pthread_mutex_unlock(&d->lock);
	return s;
}

bool dht_gone(struct dht *d, const struct address *address)
{
	return !dht_has(d, address, NULL, NULL);
}

struct dht *fakedht_new(unsigned int threads)
{
	struct dht *d = calloc(1, sizeof(*d));

	assert(d && threads <= sizeof(d->thread) / sizeof(d->thread[0]));
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	list_init(&d->queue);
	list_init(&d->aheads);
	d->space = UINT64_MAX;
	for (; d->threads < threads; d->threads++) {
		int rc = pthread_create(&d->thread[d->threads], NULL, work, d);

		assert(rc == 0);
	}
	return d;
}

void fakedht_free(struct dht *d)
{
	fakedht_go(d);
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	for (unsigned int i = 0; i < d->threads; i++)
		pthread_join(d->thread[i], NULL);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct stored *s = d->buckets[i], *after; s; s = after) {
			after = s->chain;
			chunk_drop(s->chunk);
			free(s);
		}
	}
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void fakedht_put(struct dht *d, enum kind kind, const void *data, size_t len, struct address *out)
{
	struct chunk *c = chunk_copy(data, len);

	assert(c);
	address_of(kind, data, len, out);
	pthread_mutex_lock(&d->lock);
	store(d, kind, out, c);
	pthread_mutex_unlock(&d->lock);
	chunk_drop(c);
}

void fakedht_remove(struct dht *d, const struct address *a)
{
	struct stored **p, *s;

	pthread_mutex_lock(&d->lock);
	p = place(d, a);
	s = *p;
	if (s) {
		*p = s->chain;
		chunk_drop(s->chunk);
		free(s);
	}
	pthread_mutex_unlock(&d->lock);
}

void fakedht_hold(struct dht *d)
{
	pthread_mutex_lock(&d->lock);
	d->held = true;
	d->let = 0;
	pthread_mutex_unlock(&d->lock);
}

void fakedht_let(struct dht *d, unsigned int n)
{
	pthread_mutex_lock(&d->lock);
	d->let += n;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

void fakedht_go(struct dht *d)
{
	pthread_mutex_lock(&d->lock);
	d->held = false;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

void fakedht_await(struct dht *d, unsigned int n)
{
	pthread_mutex_lock(&d->lock);
	while (d->queued + d->now < n)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

void fakedht_fail(struct dht *d, int inserts, int lookups)
{
	pthread_mutex_lock(&d->lock);
	d->fail_inserts = inserts;
	d->fail_lookups = lookups;
	d->fail_after = 0;
	pthread_mutex_unlock(&d->lock);
}

void fakedht_fail_after(struct dht *d, unsigned int n)
{
	pthread_mutex_lock(&d->lock);
	d->fail_after = n;
	pthread_mutex_unlock(&d->lock);
}

void fakedht_space(struct dht *d, uint64_t bytes)
{
	pthread_mutex_lock(&d->lock);
	d->space = bytes;
	pthread_mutex_unlock(&d->lock);
}

void fakedht_count(struct dht *d, struct fakedht_counts *out)
{
	pthread_mutex_lock(&d->lock);
	*out = d->counts;
	d->counts = (struct fakedht_counts){ .reserved = out->reserved };
	pthread_mutex_unlock(&d->lock);
}

int dht_gc_begin(struct dht *d, struct dht_gc **out)
{
	struct dht_gc *gc;

	*out = NULL;
	pthread_mutex_lock(&d->lock);
	if (d->gc) {
		pthread_mutex_unlock(&d->lock);
		return -EBUSY;
	}
	gc = calloc(1, sizeof(*gc));
	assert(gc);
	gc->dht = d;
	d->gc = gc;
	d->collecting = true;
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct stored *s = d->buckets[i]; s; s = s->chain)
			s->marked = s->condemned = false;
	}
	pthread_mutex_unlock(&d->lock);
	*out = gc;
	return 0;
}

void dht_gc_mark(struct dht_gc *gc, const struct address *a)
{
	struct dht *d = gc->dht;
	struct stored *s;

	pthread_mutex_lock(&d->lock);
	s = *place(d, a);
	if (s && d->collecting)
		s->marked = true;
	pthread_mutex_unlock(&d->lock);
}

int dht_gc_unmarked(struct dht_gc *gc, struct dht_gc_count *out)
{
	struct dht *d = gc->dht;

	*out = (struct dht_gc_count){ 0 };
	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct stored *s = d->buckets[i]; s; s = s->chain) {
			out->chunks += !s->marked;
			out->bytes += s->marked ? 0 : s->chunk->len;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return 0;
}

void dht_gc_condemn(struct dht_gc *gc)
{
	struct dht *d = gc->dht;

	pthread_mutex_lock(&d->lock);
	d->collecting = false;
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct stored *s = d->buckets[i]; s; s = s->chain)
			s->condemned = !s->marked;
	}
	pthread_mutex_unlock(&d->lock);
}

int dht_gc_sweep(struct dht_gc *gc, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	const struct dht_progress none = { 0 };
	struct dht *d = gc->dht;

	*out = (struct dht_gc_count){ 0 };
	if (tell && !tell(arg, &none))
		return -ECANCELED;
	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		struct stored **p = &d->buckets[i], *s;

		while ((s = *p)) {
			if (!s->condemned) {
				p = &s->chain;
				continue;
			}
			out->chunks++;
			out->bytes += s->chunk->len;
			*p = s->chain;
			chunk_drop(s->chunk);
			free(s);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return 0;
}

void dht_gc_end(struct dht_gc *gc)
{
	struct dht *d = gc ? gc->dht : NULL;

	if (!gc)
		return;
	pthread_mutex_lock(&d->lock);
	d->collecting = false;
	d->gc = NULL;
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct stored *s = d->buckets[i]; s; s = s->chain)
			s->condemned = false;
	}
	pthread_mutex_unlock(&d->lock);
	free(gc);
}

int dht_make_room(struct dht *d, dht_tell *tell, void *arg)
{
	(void)d, (void)tell, (void)arg;
	return 0;
}

int dht_clean(struct dht *d, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	(void)d, (void)urgent, (void)tell, (void)arg;
	*out = (struct dht_gc_count){ 0 };
	return 0;
}

size_t fakedht_chunks(struct dht *d)
{
	size_t n = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (struct stored *s = d->buckets[i]; s; s = s->chain)
			n++;
	}
	pthread_mutex_unlock(&d->lock);
	return n;
}
