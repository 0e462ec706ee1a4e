/* fetch and lookups: runs, parallel lookups, cancelling, joining, failing. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "fs/fetch.h"
#include "fs/lookups.h"
#include "tests/lib/fakedht.h"
#include "tests/lib/suite.h"

#define CHUNKS 100u

static struct dht *dht;
static struct cache *cache;
static struct address address[CHUNKS];

/* Work that wants chunks [from, to): all at once, or each only when the one before is there. */
struct work {
	struct fetch fetch;
	unsigned int from, to;
	bool one_by_one, enough;
	unsigned int runs;
	int result;
	sem_t done;
};

static int run(struct fetch *f)
{
	struct work *w = (struct work *)f;
	int rc = 0;

	w->runs++;
	for (unsigned int i = w->from; i < w->to && !(rc && w->one_by_one); i++) {
		struct chunk *c;
		int r = w->one_by_one ? f->source.get(&f->source, KIND_DATA, &address[i], &c)
				      : fetch_want(f, KIND_DATA, &address[i], &c);

		if (r < 0) {
			rc = r;
			continue;
		}
		assert_int_equal(get_le32(c->data), i);
		if (w->one_by_one)
			chunk_drop(c);
	}
	return w->enough ? 0 : rc;
}

static void done(struct fetch *f, int result)
{
	struct work *w = (struct work *)f;

	w->result = result;
	sem_post(&w->done);
}

static void work_start(struct work *w, unsigned int from, unsigned int to)
{
	w->from = from;
	w->to = to;
	w->runs = 0;
	w->result = 1;
	sem_init(&w->done, 0, 0);
	w->fetch.run = run;
	w->fetch.done = done;
	fetch_init(&w->fetch, dht, cache);
	fetch_start(&w->fetch);
}

static int work_end(struct work *w)
{
	sem_wait(&w->done);
	fetch_clear(&w->fetch);
	sem_destroy(&w->done);
	return w->result;
}

static int setup(void **state)
{
	(void)state;
	dht = fakedht_new(2);
	cache = cache_new(4 << 20);
	for (unsigned int i = 0; i < CHUNKS; i++) {
		uint8_t bytes[64] = { 0 };

		put_le32(bytes, i);
		fakedht_put(dht, KIND_DATA, bytes, sizeof(bytes), &address[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fakedht_go(dht);
	cache_free(cache);
	fakedht_free(dht);
	return 0;
}

static void what_is_at_hand_is_done_before_start_returns(void **state)
{
	struct work w = { .enough = false };
	struct chunk *c = chunk_copy("\0\0\0\0", 4);

	(void)state;
	cache_put(cache, KIND_DATA, &address[0], c);
	chunk_drop(c);
	work_start(&w, 0, 1);
	assert_int_equal(w.result, 0);
	assert_int_equal(w.runs, 1);
	assert_int_equal(work_end(&w), 0);
}

static void all_that_is_wanted_is_looked_up_at_once(void **state)
{
	struct fakedht_counts counts;
	struct work w = { .enough = false };

	(void)state;
	fakedht_hold(dht);
	work_start(&w, 0, 20);
	fakedht_await(dht, 20);
	fakedht_go(dht);
	assert_int_equal(work_end(&w), 0);
	assert_int_equal(w.runs, 2);
	fakedht_count(dht, &counts);
	assert_int_equal(counts.lookups, 20);
}

static void more_than_the_most_comes_in_turns(void **state)
{
	struct work w = { .enough = false };

	(void)state;
	work_start(&w, 0, CHUNKS);
	assert_int_equal(work_end(&w), 0);
	assert_int_equal(w.runs, 3);
}

static void chains_are_followed_and_held(void **state)
{
	struct work w = { .one_by_one = true };

	(void)state;
	work_start(&w, 0, 10);
	assert_int_equal(work_end(&w), 0);
	assert_int_equal(w.runs, 11);
}

static void what_was_fetched_is_in_the_cache(void **state)
{
	struct fakedht_counts counts;
	struct work w = { .enough = false };

	(void)state;
	work_start(&w, 0, 10);
	assert_int_equal(work_end(&w), 0);
	fakedht_count(dht, &counts);
	work_start(&w, 0, 10);
	assert_int_equal(work_end(&w), 0);
	fakedht_count(dht, &counts);
	assert_int_equal(counts.lookups, 0);
}

static void a_failed_lookup_is_the_result(void **state)
{
	struct work w = { .enough = false };

	(void)state;
	fakedht_fail(dht, 0, -ETIMEDOUT);
	work_start(&w, 0, 10);
	assert_int_equal(work_end(&w), -ETIMEDOUT);
	fakedht_fail(dht, 0, 0);
	fakedht_remove(dht, &address[3]);
	work_start(&w, 0, 10);
	assert_int_equal(work_end(&w), -ENOENT);
}

static void a_cancelled_fetch_is_done_soon(void **state)
{
	struct work w = { .enough = false };

	(void)state;
	fakedht_hold(dht);
	work_start(&w, 0, 10);
	fakedht_await(dht, 10);
	fetch_cancel(&w.fetch);
	assert_int_equal(work_end(&w), -EINTR);
}

static void two_that_want_the_same_look_it_up_once(void **state)
{
	struct fakedht_counts counts;
	struct work a = { .enough = false }, b = { .enough = false };

	(void)state;
	fakedht_hold(dht);
	work_start(&a, 0, 10);
	work_start(&b, 5, 15);
	fakedht_await(dht, 15);
	fakedht_go(dht);
	assert_int_equal(work_end(&a), 0);
	assert_int_equal(work_end(&b), 0);
	fakedht_count(dht, &counts);
	assert_int_equal(counts.lookups, 15);
}

static void one_that_gives_up_does_not_disturb_the_other(void **state)
{
	struct work a = { .enough = false }, b = { .enough = false };

	(void)state;
	fakedht_hold(dht);
	work_start(&a, 0, 10);
	work_start(&b, 0, 10);
	fakedht_await(dht, 10);
	fetch_cancel(&a.fetch);
	assert_int_equal(work_end(&a), -EINTR);
	assert_int_equal(b.result, 1);
	fakedht_await(dht, 10);
	fakedht_go(dht);
	assert_int_equal(work_end(&b), 0);
}

static void who_waits_for_what_was_looked_up_ahead_hurries_it(void **state)
{
	struct fakedht_counts counts;
	struct work w = { .enough = false };

	(void)state;
	fakedht_hold(dht);
	for (unsigned int i = 0; i < 10; i++)
		fetch_ahead(dht, cache, KIND_DATA, &address[i]);
	fetch_ahead(dht, cache, KIND_DATA, &address[0]);
	fakedht_await(dht, 10);
	work_start(&w, 9, 10);
	fakedht_await(dht, 10);
	/* The first to go on is the one that is waited for. */
	fakedht_let(dht, 1);
	assert_int_equal(work_end(&w), 0);
	fakedht_go(dht);
	cache_free(cache);
	fakedht_count(dht, &counts);
	assert_int_equal(counts.lookups, 1);
	assert_int_equal(counts.aheads, 10);
	cache = cache_new(1 << 20);
}

static void what_a_run_could_do_without_is_looked_up_ahead(void **state)
{
	struct fakedht_counts counts;
	struct work w = { .enough = true };

	(void)state;
	work_start(&w, 0, 10);
	assert_int_equal(w.result, 0);
	assert_int_equal(work_end(&w), 0);
	cache_free(cache);
	fakedht_count(dht, &counts);
	assert_int_equal(counts.aheads, 10);
	assert_int_equal(counts.lookups, 0);
	cache = cache_new(1 << 20);
}

static void a_waiting_source_gets_through_the_cache(void **state)
{
	struct fakedht_counts counts;
	struct waiting_source w;
	struct chunk *c;

	(void)state;
	waiting_source_init(&w, dht, cache);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w.source.get(&w.source, KIND_DATA, &address[1], &c), 0);
		assert_int_equal(get_le32(c->data), 1);
		chunk_drop(c);
	}
	fakedht_count(dht, &counts);
	assert_int_equal(counts.lookups, 1);
	assert_int_equal(w.source.get(&w.source, KIND_INDEX, &address[1], &c), -ENOENT);
	waiting_source_init(&w, dht, NULL);
	assert_int_equal(w.source.get(&w.source, KIND_DATA, &address[1], &c), 0);
	chunk_drop(c);
}

static void a_sink_inserts(void **state)
{
	struct chunk *c = chunk_copy("abc", 3);
	struct address a;
	struct dht_sink s;

	(void)state;
	dht_sink_init(&s, dht);
	address_of(KIND_INDEX, "abc", 3, &a);
	assert_int_equal(s.sink.put(&s.sink, KIND_INDEX, &a, c), 0);
	assert_true(dht_has(dht, &a, NULL, NULL));
	fakedht_fail(dht, -ENOSPC, 0);
	assert_int_equal(s.sink.put(&s.sink, KIND_INDEX, &a, c), -ENOSPC);
	chunk_drop(c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_at_hand_is_done_before_start_returns),
		TEST(all_that_is_wanted_is_looked_up_at_once),
		TEST(more_than_the_most_comes_in_turns),
		TEST(chains_are_followed_and_held),
		TEST(what_was_fetched_is_in_the_cache),
		TEST(a_failed_lookup_is_the_result),
		TEST(a_cancelled_fetch_is_done_soon),
		TEST(two_that_want_the_same_look_it_up_once),
		TEST(one_that_gives_up_does_not_disturb_the_other),
		TEST(who_waits_for_what_was_looked_up_ahead_hurries_it),
		TEST(what_a_run_could_do_without_is_looked_up_ahead),
		TEST(a_waiting_source_gets_through_the_cache),
		TEST(a_sink_inserts),
	};

	return suite_run(tests);
}
