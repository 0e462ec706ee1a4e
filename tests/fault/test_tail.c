/* What has been appended and is not on the disk yet: where it is read, when it is written, and what
 * becomes of it on a bad disk. */
#include "tests/lib/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dht/record.h"
#include "dht/segment.h"

#define SEGMENT "segment-00000001"
#define LARGE	120000u		/* some of these fill a tail */
#define HELD	(64u << 20)	/* bytes that the store holds in memory at most */
#define ALWAYS	1000000u

static void put_all(struct disk *d, uint64_t from, uint64_t to, size_t len)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(dhttest_put(&d->t, i, len), 0);
}

static void get_all(struct disk *d, uint64_t from, uint64_t to, size_t len)
{
	for (uint64_t i = from; i < to; i++) {
		int rc = dhttest_get(&d->t, i, len);

		if (rc < 0)
			fail_msg("chunk %d: %s\n%s", (int)i, strerror(-rc), d->t.log);
	}
}

/* After a power cut, with the ledger and without it. */
static void survives(struct disk *d, uint64_t n, size_t len)
{
	assert_int_equal(dht_close(d->t.dht), 0);
	for (int i = 0; i < 2; i++) {
		faultio_power_cut(d->files, (uint64_t)i);
		dhttest_must_open(&d->t);
		get_all(d, 0, n, len);
		assert_int_equal(dht_close(d->t.dht), 0);
		unlink(dhttest_path(&d->t, "ledger"));
	}
	d->t.dht = NULL;
}

static void a_sync_pads_to_a_block_and_only_where_there_is_something(void **state)
{
	struct disk *d = *state;

	dhttest_must_open(&d->t);
	for (uint64_t i = 0; i < 20; i++) {
		put_all(d, i, i + 1, 100);
		for (int again = 0; again < 3; again++)
			assert_int_equal(dht_sync_now(d->t.dht), 0);
		assert_int_equal(faultio_size(d->files, SEGMENT), (i + 1) * SEGMENT_BLOCK);
	}
	/* What is appended between two syncs lies together. */
	put_all(d, 20, 40, 100);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	assert_int_equal(faultio_size(d->files, SEGMENT), 21 * SEGMENT_BLOCK);
	assert_null(strstr(d->t.log, "torn"));
	survives(d, 40, 100);
	assert_null(strstr(d->t.log, "torn"));
}

/* Every block of the first segment that has been written, past the page cache. */
static struct {
	const struct io *io;
	pthread_mutex_t lock;	/* covers all that follows */
	int fd;
	bool written[SEGMENT_MAX / SEGMENT_BLOCK];
	unsigned int again;
} watch = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int watch_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	int fd = watch.io->open(ctx, dirfd, name, flags, mode);

	pthread_mutex_lock(&watch.lock);
	if (strcmp(name, SEGMENT) == 0 && (flags & O_DIRECT))
		watch.fd = fd;
	pthread_mutex_unlock(&watch.lock);
	return fd;
}

static ssize_t watch_pwritev(void *ctx, int fd, const struct iovec *iov, int count, uint64_t off)
{
	pthread_mutex_lock(&watch.lock);
	for (uint64_t at = off; fd == watch.fd && at < off + iov->iov_len; at += SEGMENT_BLOCK) {
		watch.again += watch.written[at / SEGMENT_BLOCK];
		watch.written[at / SEGMENT_BLOCK] = true;
	}
	pthread_mutex_unlock(&watch.lock);
	return watch.io->pwritev(ctx, fd, iov, count, off);
}

static void no_block_is_written_twice(void **state)
{
	struct disk *d = *state;
	uint64_t random = suite_seed(20240229);
	struct io io = *d->t.options.io;
	struct dhttest_burst b;
	size_t len[BURST_MAX];

	watch.io = faultio_io(d->files);
	watch.fd = -1;
	io.open = watch_open;
	io.pwritev = watch_pwritev;
	d->t.options.io = &io;
	dhttest_must_open(&d->t);
	for (unsigned int round = 0; round < 40; round++) {
		for (size_t i = 0; i < BURST_MAX; i++)
			len[i] = dhttest_random(&random) % (round % 2 ? LARGE : 1000);
		dhttest_burst(&d->t, &b, round * BURST_MAX, BURST_MAX, len);
		assert_int_equal(dht_sync_now(d->t.dht), 0);
		dhttest_burst_end(&b);
		if (round % 10 == 9)
			dhttest_reopen(&d->t);
	}
	assert_true(watch.written[0] && watch.written[1000]);
	assert_int_equal(watch.again, 0);
	assert_int_equal(dht_close(d->t.dht), 0);
	d->t.dht = NULL;
}

static void without_direct_writes_it_goes_through_the_page_cache(void **state)
{
	static const enum fault_direct refused[] = { DIRECT_NO_OPEN, DIRECT_NO_WRITE };
	struct disk *d = *state;

	for (int i = 0; i < 2; i++) {
		faultio_direct(d->files, refused[i]);
		dhttest_must_open(&d->t);
		put_all(d, 0, 20 + (uint64_t)i, LARGE);
		assert_int_equal(dht_sync_now(d->t.dht), 0);
		get_all(d, 0, 20 + (uint64_t)i, LARGE);
		assert_true(d->t.log_len == 0);
		survives(d, 20 + (uint64_t)i, LARGE);
	}
}

static void the_disk_is_full_before_an_insert_is_acknowledged(void **state)
{
	struct disk *d = *state;
	struct dht_space before, after;

	dhttest_must_open(&d->t);
	put_all(d, 0, 3, LARGE);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	/* So little is left that it is set aside for each insert alone. */
	faultio_disk(d->files, 1000000);
	faultio_fail(d->files, FAULT_ALLOCATE, 0, ALWAYS, -ENOSPC);
	dhttest_reopen(&d->t);
	dht_space(d->t.dht, &before);
	assert_int_equal(dhttest_put(&d->t, 3, LARGE), -ENOSPC);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	dht_space(d->t.dht, &after);
	assert_int_equal(before.used, after.used);
	get_all(d, 0, 3, LARGE);
	/* More is asked for than is there; for what is needed it is enough. */
	faultio_disk(d->files, 100000000);
	dhttest_reopen(&d->t);
	faultio_fail(d->files, FAULT_ALLOCATE, 0, 1, -ENOSPC);
	put_all(d, 3, 4, LARGE);
	survives(d, 4, LARGE);
}

static void where_nothing_can_be_set_aside_a_sync_tells_that_the_disk_is_full(void **state)
{
	struct disk *d = *state;

	faultio_fail(d->files, FAULT_ALLOCATE, 0, 1, -EOPNOTSUPP);
	dhttest_must_open(&d->t);
	put_all(d, 0, 5, LARGE);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	put_all(d, 5, 8, LARGE);
	/* Somebody else took the rest of the disk. */
	faultio_disk(d->files, 5 * LARGE + 2 * SEGMENT_BLOCK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dht_sync_now(d->t.dht), -ENOSPC);
	get_all(d, 0, 8, LARGE);
	assert_int_equal(dhttest_put(&d->t, 8, LARGE), -ENOSPC);
	faultio_disk(d->files, (uint64_t)1 << 30);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	put_all(d, 8, 9, LARGE);
	survives(d, 9, LARGE);
}

static void a_disk_that_fails_takes_no_more_memory_than_the_bound(void **state)
{
	enum { N = HELD / CHUNK_MAX };
	struct disk *d = *state;
	uint64_t n;

	dhttest_must_open(&d->t);
	faultio_fail(d->files, FAULT_SYNC, 0, ALWAYS, -EIO);
	for (n = 0; dhttest_put(&d->t, n, CHUNK_MAX) == 0; n++)
		assert_true(n < N);
	assert_int_equal(n, N);
	assert_int_equal(dhttest_put(&d->t, n, CHUNK_MAX), -EIO);
	/* What is there is still served, and known. */
	assert_int_equal(dhttest_put(&d->t, 0, CHUNK_MAX), 0);
	assert_int_equal(dhttest_get(&d->t, N - 1, CHUNK_MAX), 0);
	faultio_fail(d->files, FAULT_SYNC, 0, 0, 0);
	put_all(d, N, N + 1, CHUNK_MAX);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	faultio_forget(d->files);
	for (uint64_t i = 0; i <= N; i += 16)
		assert_int_equal(dhttest_get(&d->t, i, CHUNK_MAX), 0);
}

static size_t large(uint64_t seed)
{
	return LARGE - seed % 7;
}

static void lookups_find_what_is_being_written_out(void **state)
{
	struct disk *d = *state;
	struct dhttest_burst put, get;
	size_t len[BURST_MAX];

	dhttest_must_open(&d->t);
	for (uint64_t first = 0; first < 20 * BURST_MAX; first += BURST_MAX) {
		for (size_t i = 0; i < BURST_MAX; i++)
			len[i] = large(first + i);
		dhttest_burst(&d->t, &put, first, BURST_MAX, len);
		if (first > 0)
			dhttest_lookups(&d->t, &get, first - BURST_MAX, BURST_MAX, large);
		if (first % (3 * BURST_MAX) == 0)
			assert_int_equal(dht_sync_now(d->t.dht), 0);
		dhttest_burst_end(&put);
		for (size_t i = 0; i < BURST_MAX; i++)
			assert_int_equal(dhttest_get(&d->t, first + i, large(first + i)), 0);
		if (first == 0)
			continue;
		dhttest_burst_end(&get);
		for (size_t i = 0; i < BURST_MAX; i++)
			assert_int_equal(get.ops[i].result, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_sync_pads_to_a_block_and_only_where_there_is_something),
		TEST(no_block_is_written_twice),
		TEST(without_direct_writes_it_goes_through_the_page_cache),
		TEST(the_disk_is_full_before_an_insert_is_acknowledged),
		TEST(where_nothing_can_be_set_aside_a_sync_tells_that_the_disk_is_full),
		TEST(a_disk_that_fails_takes_no_more_memory_than_the_bound),
		TEST(lookups_find_what_is_being_written_out),
	};

	return suite_run(tests);
}
