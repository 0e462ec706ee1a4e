/* Once a disk works again, or a copy is whole again, nothing of the trouble is left: no lost copy, no lost space. */
#include "tests/lib/disk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dht/record.h"

#define SEGMENT "segment-00000001"
#define LEN	1000

/* The first read of just so many bytes waits at a gate; others pass it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool shut;
	unsigned int waiting;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

static const struct io *behind;	/* the gate */

static ssize_t gated_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	pthread_mutex_lock(&gate.lock);
	if (gate.shut && gate.waiting == 0 && len == LEN) {
		gate.waiting++;
		pthread_cond_broadcast(&gate.changed);
		while (gate.shut)
			pthread_cond_wait(&gate.changed, &gate.lock);
		gate.waiting--;
	}
	pthread_mutex_unlock(&gate.lock);
	return behind->pread(ctx, fd, buf, len, off);
}

static void gate_set(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_await(void)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.waiting == 0)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static size_t len_of(uint64_t seed)
{
	(void)seed;
	return LEN;
}

static void put_all(struct disk *d, uint64_t from, uint64_t to, size_t len)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(dhttest_put(&d->t, i, len), 0);
}

/* Where a chunk's record starts in the first segment. */
static size_t offset_of(struct disk *d, uint64_t seed)
{
	uint8_t *bytes = faultio_bytes(d->files, SEGMENT);
	size_t len = (size_t)faultio_size(d->files, SEGMENT);
	struct address a;

	dhttest_address(seed, LEN, &a);
	for (size_t at = 0; at + RECORD_HEADER <= len; at += RECORD_ALIGN)
		if (record_magic(bytes + at) && memcmp(bytes + at + 16, a.b, ADDRESS_LEN) == 0)
			return at;
	fail();
	return 0;
}

static void a_good_copy_outlives_a_crash_though_the_ledger_still_knows_the_rotten_one(void **state)
{
	struct disk *d = *state, next;

	dhttest_must_open(&d->t);
	put_all(d, 0, 3, LEN);
	dhttest_reopen(&d->t);
	faultio_bytes(d->files, SEGMENT)[offset_of(d, 1) + RECORD_HEADER] ^= 1;
	put_all(d, 1, 2, LEN);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	disk_crash(d, &next, true);
	dhttest_must_open(&next.t);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(dhttest_get(&next.t, i, LEN), 0);
	dhttest_reopen(&next.t);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(dhttest_get(&next.t, i, LEN), 0);
	disk_end(&next);
}

static void a_tail_that_lost_its_padding_is_counted_as_it_is(void **state)
{
	struct disk *d = *state, next;
	struct dht_space before, after;

	d->t.options.size_max = 64u << 20;
	dhttest_must_open(&d->t);
	put_all(d, 0, 2, LEN);
	dhttest_reopen(&d->t);
	put_all(d, 2, 3, LEN);
	dht_space(d->t.dht, &before);
	disk_kill_in_sync(d);
	disk_crash(d, &next, false);
	faultio_resize(next.files, SEGMENT, offset_of(&next, 2) + RECORD_HEADER + LEN);
	dhttest_must_open(&next.t);
	dht_space(next.t.dht, &after);
	assert_int_equal(after.used, before.used);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(dhttest_get(&next.t, i, LEN), 0);
	put_all(&next, 3, 5, LEN);
	disk_end(&next);
}

static void syncs_that_fail_for_long_do_not_fill_the_disk(void **state)
{
	struct disk *d = *state;
	struct dht_space space;

	dhttest_must_open(&d->t);
	put_all(d, 0, 10, 100000);
	faultio_fail(d->files, FAULT_SYNC, 0, 1000, -EIO);
	for (int i = 0; i < 50; i++)
		assert_int_equal(dht_sync_now(d->t.dht), -EIO);
	dht_space(d->t.dht, &space);
	assert_in_range(space.used, 0, 4 * 1000000);
	faultio_fail(d->files, FAULT_SYNC, 0, 0, 0);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	faultio_forget(d->files);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(dhttest_get(&d->t, i, 100000), 0);
}

static void a_reader_that_a_rescue_overtakes_starts_no_search(void **state)
{
	struct disk *d = *state, next;
	struct dhttest_burst b;
	static struct io io;

	/* What a crash left has to be read, before a sync and for one. */
	dhttest_must_open(&d->t);
	put_all(d, 0, 1, LEN);
	disk_kill_in_sync(d);
	disk_crash(d, &next, false);
	behind = next.t.options.io;
	io = *behind;
	io.pread = gated_pread;
	next.t.options.io = &io;
	dhttest_must_open(&next.t);
	gate_set(true);
	dhttest_lookups(&next.t, &b, 0, 1, len_of);
	gate_await();
	faultio_fail(next.files, FAULT_SYNC, 0, 1, -EIO);
	assert_int_equal(dht_sync_now(next.t.dht), 0);
	gate_set(false);
	dhttest_burst_end(&b);
	assert_int_equal(b.ops[0].result, 0);
	assert_null(strstr(next.t.log, "astray"));
	disk_end(&next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_good_copy_outlives_a_crash_though_the_ledger_still_knows_the_rotten_one),
		TEST(a_tail_that_lost_its_padding_is_counted_as_it_is),
		TEST(syncs_that_fail_for_long_do_not_fill_the_disk),
		TEST(a_reader_that_a_rescue_overtakes_starts_no_search),
	};

	return suite_run(tests);
}
