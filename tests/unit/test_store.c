/* What the set keeps, counts, lists and refuses. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "dht/store.h"

static void what_was_inserted_is_found_now_and_after_a_restart(void **state)
{
	static const size_t lens[] = { 0, 1, 63, 64, 65, 4096, 65537, CHUNK_MAX };
	struct dhttest *t = *state;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			assert_int_equal(dhttest_get(t, i, lens[i]), round ? 0 : -ENOENT);
			assert_int_equal(dhttest_put(t, i, lens[i]), 0);
			assert_int_equal(dhttest_get(t, i, lens[i]), 0);
		}
		dhttest_reopen(t);
	}
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		assert_int_equal(dhttest_get(t, i, lens[i]), 0);
}

static void a_chunk_is_stored_once(void **state)
{
	struct dhttest *t = *state;
	struct dht_status before, after;

	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	dht_status(t->dht, &before);
	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	dhttest_reopen(t);
	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	dht_status(t->dht, &after);
	assert_int_equal(before.chunks, 1);
	assert_int_equal(after.chunks, 1);
	assert_int_equal(after.raw_bytes, 50000);
	assert_int_equal(after.inserts, 2);
	assert_int_equal(after.inserts_known, 2);
	assert_true(after.stored_bytes == before.stored_bytes);
}

static void a_chunk_inserted_many_times_at_once_is_stored_once(void **state)
{
	struct dhttest *t = *state;
	struct dhttest_burst b;
	struct dht_status status;
	size_t len[BURST_MAX];

	for (size_t i = 0; i < BURST_MAX; i++)
		len[i] = 3000;
	/* The same seeds again while the first still run. */
	for (int round = 0; round < 20; round++) {
		struct dhttest_burst again;

		dhttest_burst(t, &b, 0, BURST_MAX, len);
		dhttest_burst(t, &again, 0, BURST_MAX, len);
		dhttest_burst_end(&b);
		dhttest_burst_end(&again);
	}
	dht_status(t->dht, &status);
	assert_int_equal(status.chunks, BURST_MAX);
	assert_int_equal(status.inserts, 40 * BURST_MAX);
	assert_int_equal(status.inserts_known, 39 * BURST_MAX);
}

static void a_chunk_is_found_under_its_own_kind_only(void **state)
{
	struct dhttest *t = *state;
	struct dht_op op = { .kind = KIND_INDEX, .chunk = dhttest_chunk(5, 5000) }, get;
	enum kind kind;
	uint32_t len;

	assert_int_equal(dht_insert_now(t->dht, &op, false), 0);
	chunk_drop(op.chunk);
	for (int i = 0; i < 2; i++) {
		get = (struct dht_op){ .kind = KIND_DATA, .address = op.address };
		assert_int_equal(dht_lookup_now(t->dht, &get), -ENOENT);
		get = (struct dht_op){ .kind = KIND_ANY, .address = op.address };
		assert_int_equal(dht_lookup_now(t->dht, &get), 0);
		assert_int_equal(get.kind, KIND_INDEX);
		chunk_drop(get.chunk);
		assert_true(dht_has(t->dht, &op.address, &kind, &len));
		assert_int_equal(kind, KIND_INDEX);
		assert_int_equal(len, 5000);
		dhttest_reopen(t);
	}
	dhttest_address(5, 5000, &op.address);
	assert_false(dht_has(t->dht, &op.address, NULL, NULL));
}

static void what_compresses_takes_less_and_comes_back(void **state)
{
	struct dhttest *t = *state;
	struct dht_op op = { .kind = KIND_DATA };
	struct dht_status status;
	uint8_t *data;

	op.chunk = chunk_new(100000, &data);
	assert_non_null(op.chunk);
	for (size_t i = 0; i < 100000; i++)
		data[i] = (uint8_t)(i / 1000);
	assert_int_equal(dht_insert_now(t->dht, &op, false), 0);
	dhttest_reopen(t);
	dht_status(t->dht, &status);
	assert_int_equal(status.raw_bytes, 100000);
	assert_true(status.stored_bytes < 10000);
	for (int i = 0; i < 2; i++) {
		struct dht_op get = { .kind = KIND_DATA, .address = op.address };

		assert_int_equal(dht_lookup_now(t->dht, &get), 0);
		assert_int_equal(get.chunk->len, 100000);
		assert_memory_equal(get.chunk->data, data, 100000);
		chunk_drop(get.chunk);
	}
	chunk_drop(op.chunk);
}

static int compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

static void a_list_is_complete_and_in_order(void **state)
{
	enum { N = 300 };
	struct dhttest *t = *state;
	struct address want[N], got[N + 1];
	static const size_t steps[] = { 1, 7, 299, 300, 301 };

	/* Some that the ledger knows, some that it does not know yet. */
	for (uint64_t i = 0; i < N; i++) {
		if (i == N / 2)
			dhttest_reopen(t);
		assert_int_equal(dhttest_put(t, i, 100), 0);
		dhttest_address(i, 100, &want[i]);
	}
	qsort(want, N, sizeof(want[0]), compare);
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		size_t n = 0, more;

		while ((more = dht_list(t->dht, n ? &got[n - 1] : NULL,
		    steps[s] < N + 1 - n ? steps[s] : N + 1 - n, got + n)) > 0)
			n += more;
		assert_int_equal(n, N);
		assert_memory_equal(got, want, sizeof(want));
	}
	assert_int_equal(dht_list(t->dht, NULL, 0, got), 0);
}

static void what_is_reserved_is_not_available_to_others(void **state)
{
	struct dhttest *t = *state;
	struct dht_space before, after;
	enum { BYTES = 2 << 20 };

	assert_int_equal(dht_close(t->dht), 0);
	t->options.size_max = 8 << 20;
	assert_int_equal(dhttest_open(t), 0);
	dht_space(t->dht, &before);
	assert_true(before.limit == 8 << 20);
	assert_true(before.available + before.used <= before.limit);
	assert_int_equal(dht_reserve(t->dht, BYTES), 0);
	dht_space(t->dht, &after);
	assert_true(before.available - after.available >= BYTES);
	assert_int_equal(dht_reserve(t->dht, after.available), -ENOSPC);
	assert_int_equal(dht_reserve(t->dht, UINT64_MAX), -ENOSPC);
	dht_release(t->dht, BYTES);
	dht_space(t->dht, &after);
	assert_true(before.available == after.available);
}

static void the_size_limit_holds(void **state)
{
	struct dhttest *t = *state;
	struct dht_space space;
	uint64_t i;

	assert_int_equal(dht_close(t->dht), 0);
	t->options.size_max = 4 << 20;
	assert_int_equal(dhttest_open(t), 0);
	for (i = 0; dhttest_put(t, i, 100000) == 0; i++)
		assert_true(i < 100);
	assert_int_equal(dhttest_put(t, i, 100000), -ENOSPC);
	assert_true(i > 10);
	dhttest_reopen(t);
	dht_space(t->dht, &space);
	assert_true(space.used <= 4 << 20);
	while (i-- > 0)
		assert_int_equal(dhttest_get(t, i, 100000), 0);
}

static void a_read_only_store_gives_but_does_not_take(void **state)
{
	struct dhttest *t = *state;

	assert_int_equal(dhttest_put(t, 1, 1000), 0);
	t->options.read_only = true;
	dhttest_reopen(t);
	assert_int_equal(dhttest_get(t, 1, 1000), 0);
	assert_int_equal(dhttest_put(t, 2, 1000), -EROFS);
	assert_int_equal(dht_sync_now(t->dht), 0);
}

static void a_store_grows_over_several_segments(void **state)
{
	struct dhttest *t = *state;
	enum { N = 1100 };	/* of 256 KiB: a little more than one segment */
	struct dht_status status;
	struct stat st;

	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(dhttest_put(t, i, CHUNK_MAX), 0);
	assert_int_equal(dht_sync_now(t->dht), 0);
	dht_status(t->dht, &status);
	assert_int_equal(status.segments, 2);
	dhttest_reopen(t);
	dht_status(t->dht, &status);
	assert_int_equal(status.segments, 2);
	assert_int_equal(status.chunks, N);
	for (uint64_t i = 0; i < N; i += 97)
		assert_int_equal(dhttest_get(t, i, CHUNK_MAX), 0);
	assert_int_equal(dhttest_put(t, N, CHUNK_MAX), 0);
	dhttest_reopen(t);
	assert_int_equal(dhttest_get(t, N, CHUNK_MAX), 0);
	/* What was set aside on the disk for more has been given back. */
	assert_int_equal(stat(dhttest_path(t, "segment-00000002"), &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size + (1 << 20));
}

static void put_all(struct store *s, uint64_t first, unsigned int n)
{
	for (uint64_t i = first; i < first + n; i++) {
		struct chunk *c = dhttest_chunk(i, 16);
		struct address a;

		dhttest_address(i, 16, &a);
		assert_int_equal(store_put(s, KIND_DATA, &a, c, false), 0);
		chunk_drop(c);
	}
	assert_int_equal(store_sync_wait(s, store_sync_start(s)), 0);
}

/* They are in the ledger when this returns: a removal waits for that. */
static void put_many(struct store *s, uint64_t first, unsigned int n)
{
	struct address a;

	put_all(s, first, n);
	dhttest_address(first, 16, &a);
	assert_int_equal(store_remove(s, &a, 1, NULL), 0);
}

/* 200,000 chunks fill 4,000 pages of the ledger, nearly all of which a batch changes. */
static void many_chunks_cost_little_memory(void **state)
{
	const unsigned int batch = 16384, batches = 12;
	struct dhttest *t = *state;
	struct store *s;
	size_t before;

	dhttest_close(t);
	assert_int_equal(store_open(&t->options, false, NULL, NULL, NULL, &s, t->why, sizeof(t->why)), 0);
	put_many(s, 0, 1000);
	before = mallinfo2().uordblks;
	for (unsigned int i = 0; i < batches; i++)
		put_many(s, 1000 + i * batch, batch);
	print_message("# %zu KiB more\n", (mallinfo2().uordblks - before) >> 10);
	assert_true(mallinfo2().uordblks < before + (12 << 20));
	assert_int_equal(store_close(s), 0);
}

static void a_mark_counts_once_what_is_on_its_way_into_the_ledger(void **state)
{
	const unsigned int batch = 16384;
	struct dhttest *t = *state;
	struct store_mark mark;
	struct store *s;

	dhttest_close(t);
	assert_int_equal(store_open(&t->options, false, NULL, NULL, NULL, &s, t->why, sizeof(t->why)), 0);
	put_all(s, 0, batch);
	for (unsigned int i = 0; i < 500000; i++) {
		store_mark(s, &mark);
		assert_int_equal(mark.chunks, batch);
	}
	assert_int_equal(store_close(s), 0);
}

static long waits(void)
{
	struct rusage used;

	assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
	return used.ru_nvcsw;
}

/* The ledger is slower than who inserts, who then sleeps until it has taken some. */
static void who_waits_for_the_ledger_sleeps(void **state)
{
	const unsigned int n = 50000;
	struct dhttest *t = *state;
	struct store *s;
	long before;

	dhttest_close(t);
	t->options.ledger_batch = 256;
	assert_int_equal(store_open(&t->options, false, NULL, NULL, NULL, &s, t->why, sizeof(t->why)), 0);
	before = waits();
	put_many(s, 0, n);
	print_message("# %ld waits for %u chunks\n", waits() - before, n);
	assert_true(waits() - before < n / 2);
	assert_int_equal(store_close(s), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dhttest_setup_open, dhttest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_inserted_is_found_now_and_after_a_restart),
		TEST(a_chunk_is_stored_once),
		TEST(a_chunk_inserted_many_times_at_once_is_stored_once),
		TEST(a_chunk_is_found_under_its_own_kind_only),
		TEST(what_compresses_takes_less_and_comes_back),
		TEST(a_list_is_complete_and_in_order),
		TEST(what_is_reserved_is_not_available_to_others),
		TEST(the_size_limit_holds),
		TEST(a_read_only_store_gives_but_does_not_take),
		TEST(a_store_grows_over_several_segments),
		TEST(many_chunks_cost_little_memory),
		TEST(a_mark_counts_once_what_is_on_its_way_into_the_ledger),
		TEST(who_waits_for_the_ledger_sleeps),
	};

	return suite_run(tests);
}
