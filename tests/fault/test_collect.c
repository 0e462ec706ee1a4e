/*
 * Collection on a disk that fails: the power is cut at every change that a sweep and a clean
 * make, and every call fails once.  What was wanted and synced is there, and what nobody wants
 * raises no alarm; with the ledger as of its last commit, with an older one, and with none.
 */
#include "tests/lib/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 60

struct life {
	struct disk d;
	size_t len[CHUNKS];
	bool wanted[CHUNKS];	/* inserted, and not condemned since */
	bool acked[CHUNKS];	/* and synced since */
	bool again[CHUNKS];	/* inserted in the second session, so that the cut may have torn it */
};

static void begin(struct life *l, uint64_t *random)
{
	memset(l, 0, sizeof(*l));
	disk_begin(&l->d);
	for (size_t i = 0; i < CHUNKS; i++)
		l->len[i] = dhttest_random(random) % 3 ? dhttest_random(random) % 20000
						       : dhttest_random(random) % 500;
}

static void sync_and_note(struct life *l)
{
	if (dht_sync_now(l->d.t.dht) == 0)
		memcpy(l->acked, l->wanted, sizeof(l->acked));
}

/* Some seeds from ${from}, one in ${part}. */
static void put_some(struct life *l, size_t from, unsigned int part, uint64_t *random)
{
	for (size_t i = from; i < CHUNKS; i++)
		if (dhttest_random(random) % part == 0) {
			l->again[i] = true;
			l->wanted[i] |= dhttest_put(&l->d.t, i, l->len[i]) == 0;
		}
}

/* One in ${part} of what is wanted is not any more. */
static void collect(struct life *l, unsigned int part, uint64_t *random)
{
	struct dht_gc_count count;
	struct address a;
	struct dht_gc *gc;

	assert_int_equal(dht_gc_begin(l->d.t.dht, &gc), 0);
	for (size_t i = 0; i < CHUNKS; i++) {
		bool stays = dhttest_random(random) % part != 0;

		l->wanted[i] &= stays;
		l->acked[i] &= stays;
		dhttest_address(i, l->len[i], &a);
		if (l->wanted[i])
			dht_gc_mark(gc, &a);
	}
	dht_gc_condemn(gc);
	/* Again, while it is swept. */
	put_some(l, CHUNKS - 4, 2, random);
	dht_gc_sweep(gc, NULL, NULL, &count);
	dht_gc_end(gc);
	dht_clean(l->d.t.dht, true, NULL, NULL, &count);
}

/* A second session: some goes, some comes again, most goes. */
static void work(struct life *l, uint64_t *random)
{
	collect(l, 3, random);
	sync_and_note(l);
	put_some(l, 0, 6, random);
	sync_and_note(l);
	collect(l, 2, random);
	put_some(l, 0, 10, random);
	collect(l, 2, random);
	sync_and_note(l);
}

static const char *text_of(size_t i, size_t len)
{
	static char text[ADDRESS_TEXT_LEN + 1];
	struct address a;

	dhttest_address(i, len, &a);
	address_format(&a, text);
	return text;
}

static void check(struct life *l)
{
	for (size_t i = 0; i < CHUNKS; i++) {
		int rc = dhttest_get(&l->d.t, i, l->len[i]);

		if (rc != 0 && (l->acked[i] || (!l->wanted[i] && !l->again[i] && rc != -ENOENT)))
			fail_msg("chunk %zu (%.8s), %s: %s\n%s", i, text_of(i, l->len[i]),
			    l->acked[i] ? "synced" : "not wanted", strerror(-rc), l->d.t.log);
		assert_true(rc == 0 || rc == -ENOENT || rc == -EBADMSG);
	}
}

/* Everything, once more; and a collection that keeps it. */
static void live_on(struct life *l)
{
	struct dht_gc_count count;
	struct dht_gc *gc;

	for (size_t i = 0; i < CHUNKS; i++) {
		assert_int_equal(dhttest_put(&l->d.t, i, l->len[i]), 0);
		l->wanted[i] = true;
	}
	sync_and_note(l);
	assert_int_equal(dht_gc_begin(l->d.t.dht, &gc), 0);
	for (size_t i = 0; i < CHUNKS; i++)
		assert_int_equal(dhttest_put(&l->d.t, i, l->len[i]), 0);
	dht_gc_condemn(gc);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	dht_gc_end(gc);
	assert_int_equal(dht_clean(l->d.t.dht, true, NULL, NULL, &count), 0);
	check(l);
	dhttest_reopen(&l->d.t);
	check(l);
}

static void fill(struct life *l, uint64_t *random)
{
	dhttest_must_open(&l->d.t);
	for (size_t i = 0; i < CHUNKS; i++) {
		/* Each sync that fails seals a segment, so that there are several. */
		if (i % (CHUNKS / 3) == CHUNKS / 3 - 1) {
			faultio_fail(l->d.files, FAULT_SYNC, 0, 1, -EIO);
			dht_sync_now(l->d.t.dht);
		}
		if (dhttest_random(random) % 5 == 0)
			dht_sync_now(l->d.t.dht);
		assert_int_equal(dhttest_put(&l->d.t, i, l->len[i]), 0);
		l->wanted[i] = true;
	}
	sync_and_note(l);
	dhttest_close(&l->d.t);
	disk_keep_ledger(&l->d);
}

/* How many changes the second session made; the power fails with number ${off_at} of them, unless 0. */
static unsigned int live(uint64_t seed, unsigned int off_at, enum disk_ledger ledger)
{
	uint64_t random = seed;
	unsigned int changes;
	struct life l;

	begin(&l, &random);
	fill(&l, &random);
	changes = faultio_changes(l.d.files);
	if (off_at > 0)
		disk_off_at(&l.d, changes + off_at);
	dhttest_must_open(&l.d.t);
	work(&l, &random);
	dht_close(l.d.t.dht);
	l.d.t.dht = NULL;
	changes = faultio_changes(l.d.files) - changes;

	disk_power_cut(&l.d, seed + off_at, ledger);
	dhttest_must_open(&l.d.t);
	check(&l);
	live_on(&l);
	disk_end(&l.d);
	return changes;
}

static void cut_everywhere(enum disk_ledger ledger)
{
	disk_cut_everywhere(live, ledger, getenv("SOAK") ? 30 : 1);
}

static void a_power_cut_in_a_collection_loses_nothing_that_is_wanted(void **state)
{
	(void)state;
	cut_everywhere(LEDGER_LAST);
}

static void nor_with_an_older_ledger(void **state)
{
	(void)state;
	cut_everywhere(LEDGER_OLDER);
}

static void nor_with_no_ledger(void **state)
{
	(void)state;
	cut_everywhere(LEDGER_MISSING);
}

/* Calls of ${op} that a life makes; number ${at} of them fails ${times}, unless 0. */
static unsigned int fail_at(uint64_t seed, enum fault_op op, unsigned int at, unsigned int times,
    int error)
{
	uint64_t random = seed;
	unsigned int calls;
	struct life l;

	begin(&l, &random);
	fill(&l, &random);
	dhttest_must_open(&l.d.t);
	calls = faultio_calls(l.d.files, op);
	if (at > 0)
		faultio_fail(l.d.files, op, at - 1, times, error);
	work(&l, &random);
	calls = faultio_calls(l.d.files, op) - calls;
	faultio_fail(l.d.files, op, 0, 0, 0);
	check(&l);
	sync_and_note(&l);
	live_on(&l);
	disk_end(&l.d);
	return calls;
}

static void no_failing_call_of_a_collection_loses_a_chunk(void **state)
{
	static const struct { enum fault_op op; int error; } faults[] = {
		{ FAULT_OPEN, -EMFILE }, { FAULT_READ, -EIO }, { FAULT_WRITE, -EIO },
		{ FAULT_WRITE, -ENOSPC }, { FAULT_SYNC, -EIO }, { FAULT_SYNC_DIR, -EIO },
		{ FAULT_TRUNCATE, -EIO }, { FAULT_ALLOCATE, -ENOSPC }, { FAULT_PUNCH, -EIO },
		{ FAULT_PUNCH, -EOPNOTSUPP }, { FAULT_UNLINK, -EIO },
	};
	uint64_t seed = suite_seed(20240229);

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		unsigned int calls = fail_at(seed, faults[i].op, 0, 0, 0), step = calls / 8 + 1;

		if (getenv("SOAK"))
			step = 1;
		for (unsigned int at = 1; at <= calls; at += step)
			fail_at(seed, faults[i].op, at, at % 2 ? 1 : 20, faults[i].error);
		printf("# fault %d: %u calls\n", (int)faults[i].op, calls);
	}
}

/* Whatever is unsynced when the disk is full: cleaning needs none of it. */
static void a_full_disk_is_emptied_again_and_again(void **state)
{
	enum { LEN = 30000, DISK = 4 << 20 };
	struct dht_gc_count count;
	struct address a;
	struct dht_gc *gc;
	uint64_t n = 0, random = 5;
	struct life l;

	(void)state;
	begin(&l, &random);
	faultio_disk(l.d.files, DISK);
	dhttest_must_open(&l.d.t);
	for (int round = 0; round < 5; round++) {
		uint64_t first = n;

		while (dhttest_put(&l.d.t, n, LEN) == 0)
			n++;
		assert_true(n - first > DISK / LEN / 2);
		if (round % 2)
			dht_sync_now(l.d.t.dht);
		assert_int_equal(dht_gc_begin(l.d.t.dht, &gc), 0);
		for (uint64_t i = n - 5; i < n; i++) {
			dhttest_address(i, LEN, &a);
			dht_gc_mark(gc, &a);
		}
		dht_gc_condemn(gc);
		assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
		dht_gc_end(gc);
		assert_int_equal(dht_clean(l.d.t.dht, true, NULL, NULL, &count), 0);
		for (uint64_t i = n - 5; i < n; i++)
			assert_int_equal(dhttest_get(&l.d.t, i, LEN), 0);
	}
	assert_int_equal(dht_sync_now(l.d.t.dht), 0);
	disk_end(&l.d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_power_cut_in_a_collection_loses_nothing_that_is_wanted),
		cmocka_unit_test(nor_with_an_older_ledger),
		cmocka_unit_test(nor_with_no_ledger),
		cmocka_unit_test(a_full_disk_is_emptied_again_and_again),
		cmocka_unit_test(no_failing_call_of_a_collection_loses_a_chunk),
	};

	return suite_run(tests);
}
