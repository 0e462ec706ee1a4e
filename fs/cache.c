#include "fs/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/list.h"
#include "fs/lookups.h"

#define SHARDS_MAX	16u
#define SHARD_BYTES_MIN	(4u * 1024 * 1024)	/* so that a chunk is a small part of its shard */
#define BUCKETS_MIN	64u
/* A chunk read once in order is used by one to three requests: that must not make it kept. */
#define USES_TO_KEEP	4u

/* Where an entry stands: each place is a queue of its own, newest last. */
enum place {
	ON_TRIAL,
	KEPT,
	PLACES,
};

struct entry {
	struct entry *chain;	/* in its bucket */
	struct list link;	/* in its place's queue */
	struct address address;
	uint8_t kind;		/* enum kind */
	uint8_t place;		/* enum place */
	uint8_t uses;		/* while on trial */
	struct chunk *chunk;
};

struct queue {
	struct list entries;
	uint64_t bytes;
};

struct shard {
	pthread_mutex_t lock;	/* protects what follows */
	struct entry **buckets;
	size_t mask, count;
	struct queue queue[PLACES];
} __attribute__((aligned(64)));

struct cache {
	uint64_t bytes_max;
	unsigned int shards;	/* a power of two */
	struct lookups *lookups;
	struct shard shard[];
};

/* Addresses are hashes: any of their bits will do, but not the same ones twice. */
static struct shard *shard_of(struct cache *c, const struct address *a)
{
	return &c->shard[a->b[0] & (c->shards - 1)];
}

static size_t bucket_of(const struct shard *s, const struct address *a)
{
	size_t h;

	memcpy(&h, a->b + 8, sizeof(h));
	return h & s->mask;
}

static void enqueue(struct shard *s, struct entry *e, enum place place)
{
	e->place = (uint8_t)place;
	e->uses = 0;
	list_append(&s->queue[place].entries, &e->link);
	s->queue[place].bytes += e->chunk->len;
}

static void dequeue(struct shard *s, struct entry *e)
{
	list_remove(&e->link);
	s->queue[e->place].bytes -= e->chunk->len;
}

static struct entry *oldest(const struct shard *s, enum place place)
{
	const struct list *l = &s->queue[place].entries;

	return list_empty(l) ? NULL : list_item(l->next, struct entry, link);
}

static struct entry *find(const struct shard *s, enum kind kind, const struct address *a)
{
	struct entry *e = s->buckets[bucket_of(s, a)];

	while (e && (e->kind != kind || !address_equal(&e->address, a)))
		e = e->chain;
	return e;
}

static void forget(struct shard *s, struct entry *e)
{
	struct entry **p = &s->buckets[bucket_of(s, &e->address)];

	while (*p != e)
		p = &(*p)->chain;
	*p = e->chain;
	s->count--;
	dequeue(s, e);
	chunk_drop(e->chunk);
	free(e);
}

static void shrink(struct shard *s, uint64_t bytes)
{
	while (s->queue[ON_TRIAL].bytes + s->queue[KEPT].bytes > bytes) {
		struct entry *e = oldest(s, ON_TRIAL);

		forget(s, e ? e : oldest(s, KEPT));
	}
}

/* The table follows the number of entries; where there is no memory the chains get longer. */
static void grow(struct shard *s)
{
	struct entry **old = s->buckets;
	size_t n = s->mask + 1;
	struct entry **buckets = calloc(2 * n, sizeof(struct entry *));

	if (!buckets)
		return;
	s->buckets = buckets;
	s->mask = 2 * n - 1;
	for (size_t i = 0; i < n; i++) {
		for (struct entry *e = old[i], *next; e; e = next) {
			struct entry **b = &buckets[bucket_of(s, &e->address)];

			next = e->chain;
			e->chain = *b;
			*b = e;
		}
	}
	free(old);
}

static void count_use(struct cache *c, struct shard *s, struct entry *e)
{
	uint64_t share = c->bytes_max / c->shards / 4 * 3;

	if (e->place == ON_TRIAL && ++e->uses < USES_TO_KEEP)
		return;
	dequeue(s, e);
	enqueue(s, e, KEPT);
	while (s->queue[KEPT].bytes > share && oldest(s, KEPT) != e) {
		struct entry *unused = oldest(s, KEPT);

		dequeue(s, unused);
		enqueue(s, unused, ON_TRIAL);
	}
}

struct cache *cache_new(uint64_t bytes_max)
{
	unsigned int n = SHARDS_MAX;
	struct cache *c;

	while (n > 1 && bytes_max / n < SHARD_BYTES_MIN)
		n /= 2;
	c = aligned_alloc(64, sizeof(*c) + n * sizeof(c->shard[0]));
	if (!c)
		return NULL;
	*c = (struct cache){ .bytes_max = bytes_max };
	c->lookups = lookups_new();
	if (!c->lookups)
		goto err;
	for (; c->shards < n; c->shards++) {
		struct shard *s = &c->shard[c->shards];

		*s = (struct shard){ .mask = BUCKETS_MIN - 1 };
		list_init(&s->queue[ON_TRIAL].entries);
		list_init(&s->queue[KEPT].entries);
		s->buckets = calloc(BUCKETS_MIN, sizeof(struct entry *));
		if (!s->buckets)
			goto err;
		pthread_mutex_init(&s->lock, NULL);
	}
	return c;
err:
	cache_free(c);
	return NULL;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	lookups_free(c->lookups);
	for (unsigned int i = 0; i < c->shards; i++) {
		struct shard *s = &c->shard[i];

		shrink(s, 0);
		free(s->buckets);
		pthread_mutex_destroy(&s->lock);
	}
	free(c);
}

struct chunk *cache_get(struct cache *c, enum kind kind, const struct address *a)
{
	struct shard *s = shard_of(c, a);
	struct chunk *chunk = NULL;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = find(s, kind, a);
	if (e) {
		chunk = chunk_hold(e->chunk);
		count_use(c, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return chunk;
}

bool cache_has(struct cache *c, enum kind kind, const struct address *a)
{
	struct shard *s = shard_of(c, a);
	bool has;

	pthread_mutex_lock(&s->lock);
	has = find(s, kind, a);
	pthread_mutex_unlock(&s->lock);
	return has;
}

void cache_put(struct cache *c, enum kind kind, const struct address *a, struct chunk *chunk)
{
	uint64_t budget = c->bytes_max / c->shards;
	struct shard *s = shard_of(c, a);
	struct entry *e, **b;

	assert(kind_valid(kind));
	if (chunk->len == 0 || chunk->len > budget)
		return;
	pthread_mutex_lock(&s->lock);
	if (find(s, kind, a))
		goto out;
	e = malloc(sizeof(*e));
	if (!e)
		goto out;
	shrink(s, budget - chunk->len);
	*e = (struct entry){ .address = *a, .kind = (uint8_t)kind, .place = ON_TRIAL };
	e->chunk = chunk_hold(chunk);
	if (s->count > s->mask)
		grow(s);
	b = &s->buckets[bucket_of(s, a)];
	e->chain = *b;
	*b = e;
	s->count++;
	enqueue(s, e, ON_TRIAL);
out:
	pthread_mutex_unlock(&s->lock);
}

void cache_trim(struct cache *c, uint64_t bytes)
{
	for (unsigned int i = 0; i < c->shards; i++) {
		struct shard *s = &c->shard[i];

		pthread_mutex_lock(&s->lock);
		shrink(s, bytes / c->shards);
		pthread_mutex_unlock(&s->lock);
	}
}

uint64_t cache_bytes_max(const struct cache *c)
{
	return c->bytes_max;
}

struct lookups *cache_lookups(struct cache *c)
{
	return c->lookups;
}
