/*
 * Inserts of the same few chunks race with collections and cleans.  Whoever inserted one pins it,
 * and until it lets go must find it at every lookup; when all is over too, and after a restart.
 */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS	48
#define WRITERS 3
#define MINE	8	/* pins that a writer holds at once */

struct race {
	struct dhttest t;
	pthread_mutex_t lock;		/* covers pins and lost */
	unsigned int pins[CHUNKS];
	int lost;			/* a chunk that was pinned and not found, plus one */
	pthread_rwlock_t in_flight;	/* read: from an insert to its pin */
	bool over;			/* atomic */
};

struct writer {
	struct race *r;
	uint64_t random;
	size_t mine[MINE], count;
	uint64_t inserts;
};

static size_t len_of(uint64_t i)
{
	return 200 + i * 379 % 9000;
}

static void look(struct race *r, size_t i)
{
	struct dht_op op = { .kind = KIND_DATA };

	dhttest_address(i, len_of(i), &op.address);
	if (dht_lookup_now(r->t.dht, &op) == 0) {
		chunk_drop(op.chunk);
		return;
	}
	pthread_mutex_lock(&r->lock);
	r->lost = (int)i + 1;
	pthread_mutex_unlock(&r->lock);
}

static void pin(struct race *r, size_t i, int by)
{
	pthread_mutex_lock(&r->lock);
	r->pins[i] += (unsigned int)by;
	pthread_mutex_unlock(&r->lock);
}

static void step(struct writer *w)
{
	struct race *r = w->r;
	size_t i = dhttest_random(&w->random) % CHUNKS, at;
	int rc;

	if (w->count == MINE || (w->count > 0 && dhttest_random(&w->random) % 3 == 0)) {
		at = dhttest_random(&w->random) % w->count;
		look(r, w->mine[at]);
		pin(r, w->mine[at], -1);
		w->mine[at] = w->mine[--w->count];
		return;
	}
	pthread_rwlock_rdlock(&r->in_flight);
	rc = dhttest_put(&r->t, i, len_of(i));
	if (rc == 0)
		pin(r, i, 1);
	pthread_rwlock_unlock(&r->in_flight);
	if (rc < 0)
		return;
	w->mine[w->count++] = i;
	w->inserts++;
	look(r, i);
	if (dhttest_random(&w->random) % 64 == 0)
		dht_sync_now(r->t.dht);
}

static void *write_on(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(&w->r->over, __ATOMIC_RELAXED))
		step(w);
	return NULL;
}

static void collect(struct race *r, bool urgent)
{
	struct dht_gc_count count;
	struct address a;
	struct dht_gc *gc;

	assert_int_equal(dht_gc_begin(r->t.dht, &gc), 0);
	/* What was on its way when it began has a pin now. */
	pthread_rwlock_wrlock(&r->in_flight);
	pthread_rwlock_unlock(&r->in_flight);
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < CHUNKS; i++) {
		dhttest_address(i, len_of(i), &a);
		if (r->pins[i] > 0)
			dht_gc_mark(gc, &a);
	}
	pthread_mutex_unlock(&r->lock);
	dht_gc_condemn(gc);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	dht_gc_end(gc);
	assert_int_equal(dht_clean(r->t.dht, urgent, NULL, NULL, &count), 0);
}

static void what_is_pinned_is_found_whatever_is_collected(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 2000 : 60;
	static struct race r;
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	struct dht_progress progress;
	uint64_t seed = suite_seed(20240229), inserts = 0;

	(void)state;
	memset(&r, 0, sizeof(r));
	dhttest_begin(&r.t);
	r.t.options.ledger_batch = 7;
	assert_int_equal(dhttest_open(&r.t), 0);
	pthread_mutex_init(&r.lock, NULL);
	pthread_rwlock_init(&r.in_flight, NULL);
	for (size_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .r = &r, .random = dhttest_random(&seed) };
		assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
	}
	for (unsigned int i = 0; i < rounds; i++)
		collect(&r, i % 2);
	__atomic_store_n(&r.over, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		inserts += writers[i].inserts;
	}
	printf("# %" PRIu64 " inserts\n", inserts);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < CHUNKS; i++)
			if (r.pins[i] > 0)
				look(&r, i);
		if (r.lost)
			fail_msg("chunk %d\n%s", r.lost - 1, r.t.log);
		assert_int_equal(dht_check(r.t.dht, 0, NULL, NULL, &progress), 0);
		assert_int_equal(progress.bad, 0);
		dhttest_reopen(&r.t);
	}
	if (r.t.log_len > 0)
		fail_msg("%s", r.t.log);
	dhttest_end(&r.t);
	pthread_rwlock_destroy(&r.in_flight);
	pthread_mutex_destroy(&r.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_pinned_is_found_whatever_is_collected),
	};

	return suite_run(tests);
}
