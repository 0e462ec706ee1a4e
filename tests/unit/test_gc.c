/* Collection: what is marked stays, what is not goes, and its space comes back. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/io.h"
#include "dht/marks.h"
#include "dht/record.h"
#include "dht/store.h"

#define LEN 20000

static void put_range(struct dhttest *t, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(dhttest_put(t, i, LEN), 0);
}

static void expect(struct dhttest *t, uint64_t from, uint64_t to, int rc)
{
	struct address a;

	for (uint64_t i = from; i < to; i++) {
		int got = dhttest_get(t, i, LEN);

		if (got != rc)
			fail_msg("chunk %d: %s\n%s", (int)i, strerror(-got), t->log);
		dhttest_address(i, LEN, &a);
		assert_int_equal(dht_has(t->dht, &a, NULL, NULL), rc == 0);
	}
}

static void mark_range(struct dht_gc *gc, uint64_t from, uint64_t to)
{
	struct address a;

	for (uint64_t i = from; i < to; i++) {
		dhttest_address(i, LEN, &a);
		dht_gc_mark(gc, &a);
	}
}

static uint64_t chunks_of(struct dhttest *t)
{
	struct dht_status status;

	dht_status(t->dht, &status);
	return status.chunks;
}

static size_t listed(struct dhttest *t)
{
	static struct address all[4096];

	return dht_list(t->dht, NULL, 4096, all);
}

static struct dht_gc *begin_gc(struct dhttest *t)
{
	struct dht_gc *gc;

	assert_int_equal(dht_gc_begin(t->dht, &gc), 0);
	return gc;
}

/* All but those from ${from} to ${to} go. */
static void collect_but(struct dhttest *t, uint64_t from, uint64_t to)
{
	struct dht_gc *gc = begin_gc(t);
	struct dht_gc_count count;

	mark_range(gc, from, to);
	dht_gc_condemn(gc);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	dht_gc_end(gc);
}

static void a_mark_is_never_forgotten_and_few_others_are_taken_for_one(void **state)
{
	enum { N = 100000 };
	struct marks *m = marks_new(N);
	uint64_t seed = suite_seed(20240229), at = seed;
	unsigned int wrong = 0;
	struct address a;

	(void)state;
	assert_non_null(m);
	for (int round = 0; round < 3; round++) {
		at = seed;
		for (int i = 0; i < 2 * N; i++) {
			for (size_t j = 0; j < ADDRESS_LEN; j += 8) {
				uint64_t r = dhttest_random(&at);

				memcpy(a.b + j, &r, 8);
			}
			if (round == 0 && i < N)
				marks_add(m, &a);
			if (round > 0 && i < N)
				assert_true(marks_has(m, &a));
			if (round == 1 && i >= N)
				wrong += marks_has(m, &a);
		}
	}
	assert_true(wrong < N / 1000);
	marks_free(m);
}

static void what_is_marked_stays_and_the_rest_goes(void **state)
{
	struct dhttest *t = *state;
	struct dht_gc_count dry, count;
	struct dht_gc *gc;

	put_range(t, 0, 60);
	gc = begin_gc(t);
	mark_range(gc, 0, 20);
	/* Inserted since: known, and new. */
	put_range(t, 20, 25);
	put_range(t, 60, 65);
	assert_int_equal(dht_gc_unmarked(gc, &dry), 0);
	assert_int_equal(dry.chunks, 35);
	assert_int_equal(dry.bytes, 35 * record_span(LEN));
	expect(t, 0, 65, 0);
	dht_gc_condemn(gc);
	expect(t, 0, 25, 0);
	expect(t, 25, 60, -ENOENT);
	expect(t, 60, 65, 0);
	assert_int_equal(listed(t), 30);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	assert_int_equal(count.chunks, 35);
	assert_int_equal(count.bytes, dry.bytes);
	dht_gc_end(gc);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(chunks_of(t), 30);
		assert_int_equal(listed(t), 30);
		expect(t, 0, 25, 0);
		expect(t, 25, 60, -ENOENT);
		expect(t, 60, 65, 0);
		dhttest_reopen(t);
	}
}

static void one_at_a_time_and_an_end_at_any_point_costs_nothing(void **state)
{
	struct dhttest *t = *state;
	struct dht_gc *gc, *other;

	put_range(t, 0, 10);
	for (int i = 0; i < 2; i++) {
		gc = begin_gc(t);
		assert_int_equal(dht_gc_begin(t->dht, &other), -EBUSY);
		if (i == 1)
			dht_gc_condemn(gc);
		dht_gc_end(gc);
		expect(t, 0, 10, 0);
	}
	dht_gc_end(NULL);
	t->options.read_only = true;
	dhttest_reopen(t);
	assert_int_equal(dht_gc_begin(t->dht, &gc), -EROFS);
}

static void what_is_condemned_can_be_inserted_again_at_every_point(void **state)
{
	struct dhttest *t = *state;
	struct dht_gc_count count;
	struct dht_gc *gc;

	put_range(t, 0, 50);
	gc = begin_gc(t);
	dht_gc_condemn(gc);
	put_range(t, 0, 10);
	expect(t, 0, 10, 0);
	/* In the ledger, over its old entry, before the sweep comes. */
	assert_int_equal(dht_sync_now(t->dht), 0);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	assert_int_equal(count.chunks, 40);
	put_range(t, 10, 20);
	dht_gc_end(gc);
	put_range(t, 20, 30);
	for (int i = 0; i < 2; i++) {
		expect(t, 0, 30, 0);
		expect(t, 30, 50, -ENOENT);
		assert_int_equal(chunks_of(t), 30);
		dhttest_reopen(t);
	}
}

/* Holes not counted, nor what is set aside for more. */
static uint64_t taken_on_disk(struct dhttest *t)
{
	char name[32];
	uint64_t bytes = 0;
	struct stat st;

	for (unsigned int i = 1; i < 200; i++) {
		snprintf(name, sizeof(name), "segment-%08x", i);
		if (stat(dhttest_path(t, name), &st) < 0)
			continue;
		bytes += st.st_blocks * 512 < st.st_size ? (uint64_t)st.st_blocks * 512
							 : (uint64_t)st.st_size;
	}
	return bytes;
}

static void clean(struct dhttest *t, bool urgent)
{
	struct dht_gc_count count;
	int rc = dht_clean(t->dht, urgent, NULL, NULL, &count);

	if (rc < 0)
		fail_msg("%s\n%s", strerror(-rc), t->log);
}

static void no_alarms(struct dhttest *t)
{
	if (t->log_len > 0)
		fail_msg("%s", t->log);
}

static void a_segment_with_nothing_left_is_deleted(void **state)
{
	struct dhttest *t = *state;
	struct dht_space before, after;
	struct dht_status status;

	put_range(t, 0, 200);
	assert_int_equal(dht_sync_now(t->dht), 0);
	dht_space(t->dht, &before);
	collect_but(t, 0, 0);
	dht_status(t->dht, &status);
	assert_true(status.dead_bytes >= 200 * LEN);
	clean(t, false);
	dht_space(t->dht, &after);
	assert_true(after.used + 180 * LEN < before.used);
	assert_true(taken_on_disk(t) < LEN);
	assert_true(access(dhttest_path(t, "segment-00000001"), F_OK) < 0);
	dht_status(t->dht, &status);
	assert_int_equal(status.dead_bytes, 0);
	put_range(t, 0, 3);
	for (int i = 0; i < 2; i++) {
		expect(t, 0, 3, 0);
		expect(t, 3, 200, -ENOENT);
		/* Its number is not used again, even without the ledger. */
		assert_true(access(dhttest_path(t, "segment-00000001"), F_OK) < 0);
		unlink(dhttest_path(t, "ledger"));
		dhttest_reopen(t);
	}
	no_alarms(t);
}

static void dead_ranges_become_holes(void **state)
{
	struct dhttest *t = *state;
	struct dht_progress progress;
	struct dht_space before, after;

	put_range(t, 0, 300);
	assert_int_equal(dht_sync_now(t->dht), 0);
	dht_space(t->dht, &before);
	/* Half of it, in one piece and in pieces. */
	collect_but(t, 100, 300);
	clean(t, false);
	for (uint64_t i = 0; i < 2; i++) {
		struct dht_gc *gc = begin_gc(t);
		struct dht_gc_count count;

		for (uint64_t j = 100; j < 300; j += 3 - i)
			mark_range(gc, j, j + 1);
		mark_range(gc, 250, 300);
		dht_gc_condemn(gc);
		assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
		dht_gc_end(gc);
		clean(t, true);
	}
	dht_space(t->dht, &after);
	assert_true(before.used - after.used > 190 * LEN);
	/* 75 are left: each with less than a block on either side that can't be given back. */
	assert_true(taken_on_disk(t) >= 75 * LEN);
	assert_true(taken_on_disk(t) < 75 * LEN + 26 * 2 * 4096 + 8192);
	for (int i = 0; i < 3; i++) {
		for (uint64_t j = 100; j < 250; j++)
			expect(t, j, j + 1, (j - 100) % 6 ? -ENOENT : 0);
		expect(t, 250, 300, 0);
		assert_int_equal(dht_check(t->dht, 0, NULL, NULL, &progress), 0);
		assert_int_equal(progress.bad, 0);
		if (i == 1)
			unlink(dhttest_path(t, "ledger"));
		dhttest_reopen(t);
	}
	no_alarms(t);
}

/* Chunks that would compress, and are stored raw as if there were no time. */
static void put_texts(struct dhttest *t, size_t n, struct address *out)
{
	struct store *s;

	assert_int_equal(dht_close(t->dht), 0);
	assert_int_equal(store_open(&t->options, false, NULL, NULL, NULL, &s, t->why, sizeof(t->why)), 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t *data;
		struct chunk *c = chunk_new(LEN, &data);

		assert_non_null(c);
		for (size_t j = 0; j < LEN; j++)
			data[j] = (uint8_t)(i + j / 100);
		address_of(KIND_DATA, data, LEN, &out[i]);
		assert_int_equal(store_put(s, KIND_DATA, &out[i], c, false), 0);
		chunk_drop(c);
	}
	assert_int_equal(store_close(s), 0);
	assert_int_equal(dhttest_open(t), 0);
}

static void what_is_left_of_a_segment_moves_and_is_compressed(void **state)
{
	enum { TEXTS = 30 };
	struct dhttest *t = *state;
	struct address texts[TEXTS];
	struct dht_progress progress;
	struct dht_status status;
	struct dht_gc_count count;
	struct dht_gc *gc;

	put_range(t, 0, 300);
	put_texts(t, TEXTS, texts);
	gc = begin_gc(t);
	mark_range(gc, 100, 120);
	for (size_t i = 0; i < TEXTS; i++)
		dht_gc_mark(gc, &texts[i]);
	dht_gc_condemn(gc);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	dht_gc_end(gc);
	assert_int_equal(dht_clean(t->dht, false, NULL, NULL, &count), 0);
	assert_int_equal(count.chunks, 20 + TEXTS);
	assert_true(access(dhttest_path(t, "segment-00000001"), F_OK) < 0);
	assert_true(taken_on_disk(t) < 25 * LEN);
	dht_status(t->dht, &status);
	assert_true(status.stored_bytes < 22 * LEN);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(chunks_of(t), 20 + TEXTS);
		expect(t, 0, 100, -ENOENT);
		expect(t, 100, 120, 0);
		expect(t, 120, 300, -ENOENT);
		for (size_t j = 0; j < TEXTS; j++) {
			struct dht_op get = { .kind = KIND_DATA, .address = texts[j] };

			assert_int_equal(dht_lookup_now(t->dht, &get), 0);
			chunk_drop(get.chunk);
		}
		assert_int_equal(dht_check(t->dht, 0, NULL, NULL, &progress), 0);
		assert_int_equal(progress.bad, 0);
		if (i == 1)
			unlink(dhttest_path(t, "ledger"));
		dhttest_reopen(t);
	}
	no_alarms(t);
}

static int no_punch(void *ctx, int fd, uint64_t off, uint64_t len)
{
	(void)ctx;
	(void)fd;
	(void)off;
	(void)len;
	return -EOPNOTSUPP;
}

static void without_holes_more_is_moved(void **state)
{
	struct dhttest *t = *state;
	static struct io io;

	io = io_system;
	io.punch = no_punch;
	t->options.io = &io;
	dhttest_reopen(t);
	put_range(t, 0, 200);
	collect_but(t, 60, 145);
	clean(t, false);
	clean(t, false);
	assert_true(taken_on_disk(t) < 90 * LEN);
	for (int i = 0; i < 2; i++) {
		expect(t, 60, 145, 0);
		expect(t, 0, 60, -ENOENT);
		dhttest_reopen(t);
	}
	no_alarms(t);
}

/* What happens in the middle of the next read. */
static void (*meanwhile)(struct dhttest *t);
static struct dhttest *meanwhile_to;
static struct dht_gc *meanwhile_gc;

static ssize_t interrupted_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	void (*now)(struct dhttest *t) = meanwhile;

	meanwhile = NULL;
	if (now)
		now(meanwhile_to);
	return io_system.pread(ctx, fd, buf, len, off);
}

static void interrupt(struct dhttest *t)
{
	static struct io io;

	io = io_system;
	io.pread = interrupted_pread;
	t->options.io = &io;
	meanwhile_to = t;
	/* Nothing is verified, and so must be read. */
	dhttest_reopen(t);
}

static void condemn_and_sweep(struct dhttest *t)
{
	struct dht_gc_count count;

	(void)t;
	dht_gc_condemn(meanwhile_gc);
	assert_int_equal(dht_gc_sweep(meanwhile_gc, NULL, NULL, &count), 0);
	assert_int_equal(count.chunks, 10);
}

static void what_goes_while_an_insert_finds_it_known_is_stored_anew(void **state)
{
	struct dhttest *t = *state;

	put_range(t, 0, 10);
	interrupt(t);
	meanwhile_gc = begin_gc(t);
	meanwhile = condemn_and_sweep;
	put_range(t, 3, 4);
	assert_null(meanwhile);
	dht_gc_end(meanwhile_gc);
	for (int i = 0; i < 2; i++) {
		expect(t, 3, 4, 0);
		assert_int_equal(chunks_of(t), 1);
		dhttest_reopen(t);
	}
}

static void condemn_sweep_and_end(struct dhttest *t)
{
	condemn_and_sweep(t);
	dht_gc_end(meanwhile_gc);
}

static void condemn_sweep_end_and_begin(struct dhttest *t)
{
	condemn_sweep_and_end(t);
	meanwhile_gc = begin_gc(t);
}

static void so_it_is_where_the_collection_has_ended_by_then(void **state)
{
	struct dhttest *t = *state;

	for (int next = 0; next < 2; next++) {
		put_range(t, 0, 10);
		interrupt(t);
		meanwhile_gc = begin_gc(t);
		meanwhile = next ? condemn_sweep_end_and_begin : condemn_sweep_and_end;
		put_range(t, 3, 4);
		assert_null(meanwhile);
		if (next) {
			dht_gc_condemn(meanwhile_gc);
			dht_gc_end(meanwhile_gc);
		}
		for (int i = 0; i < 2; i++) {
			expect(t, 3, 4, 0);
			assert_int_equal(chunks_of(t), 1);
			dhttest_reopen(t);
		}
	}
}

static void forget_all_and_clean(struct dhttest *t)
{
	collect_but(t, 0, 0);
	clean(t, true);
}

static void keep_few_and_clean(struct dhttest *t)
{
	collect_but(t, 40, 43);
	clean(t, true);
	assert_true(access(dhttest_path(t, "segment-00000001"), F_OK) < 0);
}

static void keep_most_and_clean(struct dhttest *t)
{
	collect_but(t, 10, 50);
	clean(t, true);
}

static void a_lookup_of_a_place_that_is_given_back_is_no_alarm(void **state)
{
	struct dhttest *t = *state;

	put_range(t, 0, 60);
	interrupt(t);
	/* It reads a hole, and looks again. */
	meanwhile = keep_most_and_clean;
	assert_int_equal(dhttest_get(t, 5, LEN), -ENOENT);
	assert_null(meanwhile);
	/* It had the file open; the next one does not. */
	meanwhile = keep_few_and_clean;
	assert_int_equal(dhttest_get(t, 41, LEN), 0);
	assert_int_equal(dhttest_get(t, 41, LEN), 0);
	meanwhile = forget_all_and_clean;
	dhttest_get(t, 42, LEN);
	assert_int_equal(dhttest_get(t, 42, LEN), -ENOENT);
	no_alarms(t);
}

/* A few times in a row, as a store lives. */
static void a_full_store_goes_on_when_chunks_are_collected(void **state)
{
	enum { SIZE = 64 << 20, EACH = 128 };
	struct dhttest *t = *state;
	struct dht_space space;
	uint64_t n = 0, first = 0;

	t->options.size_max = SIZE;
	dhttest_reopen(t);
	for (int round = 0; round < 6; round++) {
		int rc;

		while ((rc = dhttest_put(t, n, LEN)) == 0)
			n++;
		assert_int_equal(rc, -ENOSPC);
		assert_true(n - first > 2500);
		/* The oldest go, and of the rest every fourth. */
		first += (n - first) / 4;
		for (;;) {
			struct dht_gc *gc = begin_gc(t);
			struct dht_gc_count count;

			mark_range(gc, first, n);
			dht_gc_condemn(gc);
			assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
			dht_gc_end(gc);
			break;
		}
		clean(t, true);
		dht_space(t->dht, &space);
		assert_true(space.available > SIZE / 8);
		assert_true(space.used <= SIZE);
		assert_true(taken_on_disk(t) <= SIZE);
	}
	for (uint64_t i = first; i < n; i += 37)
		expect(t, i, i + 1, 0);
	no_alarms(t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dhttest_setup_open, dhttest_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_is_never_forgotten_and_few_others_are_taken_for_one),
		TEST(what_is_marked_stays_and_the_rest_goes),
		TEST(one_at_a_time_and_an_end_at_any_point_costs_nothing),
		TEST(what_is_condemned_can_be_inserted_again_at_every_point),
		TEST(a_segment_with_nothing_left_is_deleted),
		TEST(dead_ranges_become_holes),
		TEST(what_is_left_of_a_segment_moves_and_is_compressed),
		TEST(without_holes_more_is_moved),
		TEST(what_goes_while_an_insert_finds_it_known_is_stored_anew),
		TEST(so_it_is_where_the_collection_has_ended_by_then),
		TEST(a_lookup_of_a_place_that_is_given_back_is_no_alarm),
		TEST(a_full_store_goes_on_when_chunks_are_collected),
	};

	return suite_run(tests);
}
