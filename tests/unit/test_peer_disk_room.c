/* The disk of a node when there is no more room: what is cached goes, what is owned stays, and nobody waits who need not. */
#include "tests/lib/diskkit.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "chunker/deadline.h"
#include "tests/lib/suite.h"

#define SMALL	(64u << 20)
#define BIG	(200u * 1024)
#define AT_ONCE	32u	/* cached copies: for each commit of nothing else the committer waits a while */

/* ${n} chunks; returns the seed of the next one. */
static uint64_t write_some(struct diskkit *k, uint64_t seed, unsigned int n, unsigned int states)
{
	uint64_t tickets[AT_ONCE];

	for (unsigned int left = n; left > 0;) {
		unsigned int some = left < AT_ONCE ? left : AT_ONCE;

		for (unsigned int i = 0; i < some; i++)
			tickets[i] = diskkit_start_write(k, 2 * seed++, BIG, states);
		for (unsigned int i = 0; i < some; i++)
			assert_int_equal(diskkit_await(k, tickets[i])->result, 0);
		left -= some;
	}
	return seed;
}

static void what_is_cached_makes_room_for_what_is_owned(void **state)
{
	struct diskkit *k = diskkit_new(SMALL, 1);
	struct shelf_totals t;
	uint64_t seed, tickets[900];
	unsigned int n = 0;

	*state = k;
	/* Twice as much as there is room for, cached: some of it goes. */
	seed = write_some(k, 0, 2 * (SMALL / BIG), STATE_CACHED);
	shelf_totals(k->shelf, &t);
	assert_true(t.cached_bytes < SMALL);
	assert_true(t.cached_bytes > SMALL / 3);
	assert_true(k->c->space(k->c) > SMALL / 2);
	/* And all of it for what is owned; then no more. */
	for (unsigned int i = 0; i < 2 * (SMALL / BIG); i++)
		tickets[n++] = diskkit_start_write(k, 2 * seed++, BIG, STATE_OWNED);
	for (unsigned int i = 0; i < n; i++)
		assert_true(diskkit_await(k, tickets[i])->result == 0 || diskkit_await(k, tickets[i])->result == -ENOSPC);
	assert_int_equal(k->done[tickets[100]].result, 0);
	assert_int_equal(k->done[tickets[n - 1]].result, -ENOSPC);
	shelf_totals(k->shelf, &t);
	assert_int_equal(t.cached, 0);
	assert_true(t.owned * BIG > SMALL / 10 * 7);
	for (unsigned int i = 0; i < 100; i++) {
		struct address a = diskkit_address(2 * (seed - n + i), BIG);

		assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	}
}

/* What the mount inserts past the disk. */
static void what_is_cached_makes_room_when_it_is_asked_for(void **state)
{
	struct diskkit *k = diskkit_new(SMALL, 1);
	struct shelf_totals t;
	uint64_t reserved = 0;

	*state = k;
	write_some(k, 0, SMALL / BIG, STATE_CACHED);
	while (store_reserve(k->store, BIG) == 0)
		reserved += BIG;
	assert_true(disk_make_room(k->disk));
	assert_int_equal(store_reserve(k->store, BIG), 0);
	reserved += BIG;
	/* Where nothing is cached any more, there is none. */
	do
		while (store_reserve(k->store, BIG) == 0)
			reserved += BIG;
	while (disk_make_room(k->disk));
	shelf_totals(k->shelf, &t);
	assert_int_equal(t.cached, 0);
	store_release(k->store, reserved);
}

/* The committer is kept from evicting anything: so all that look for room wait. */
static void who_waits_for_room_keeps_nobody_from_reading(void **state)
{
	struct diskkit *k = diskkit_new(SMALL, 1);
	uint64_t seed = 0, tickets[300];
	struct dht_space space;
	struct effect save = { .kind = EFFECT_SAVE, .row = { .table = 1 } };
	unsigned int n = 0;

	*state = k;
	assert_int_equal(diskkit_write(k, 2 * seed++, BIG, STATE_OWNED), 0);
	seed = write_some(k, seed, SMALL / BIG / 2 - 1, STATE_CACHED);
	k->held = k->next;
	diskkit_await(k, diskkit_start(k, save));
	while (n < 300)
		tickets[n++] = diskkit_start_write(k, 2 * seed++, BIG, STATE_OWNED);
	do
		store_space(k->store, &space);
	while (space.available >= BIG);
	for (unsigned int i = 0; i < 100; i++)
		diskkit_assert_read(k, 0, BIG);
	pthread_mutex_lock(&k->lock);
	assert_int_equal(k->done[tickets[n - 1]].kind, 0);
	k->held = 0;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
	for (unsigned int i = 0; i < n; i++)
		assert_true(diskkit_await(k, tickets[i])->result == 0 || diskkit_await(k, tickets[i])->result == -ENOSPC);
	assert_int_equal(k->done[tickets[200]].result, 0);
}

static unsigned int threads(void)
{
	DIR *all = opendir("/proc/self/task");
	unsigned int n = 0;

	assert_non_null(all);
	while (readdir(all))
		n++;
	closedir(all);
	return n - 2;
}

static void *close_disk(void *disk)
{
	disk_close(disk);
	return NULL;
}

/* All other threads have gone when the keeper comes to what may go. */
static void the_end_does_not_wait_for_room(void **state)
{
	struct diskkit *k = diskkit_new(SMALL, 600);
	struct timespec until;
	unsigned int before;
	pthread_t closer;
	uint64_t seed;

	*state = k;
	diskkit_set_gate(DISKKIT_WALKS);
	seed = write_some(k, 0, SMALL / BIG / 4 * 3, STATE_OWNED);
	while (diskkit_at_gate() == 0)
		seed = write_some(k, seed, 8, STATE_CACHED);
	before = threads();
	assert_int_equal(pthread_create(&closer, NULL, close_disk, k->disk), 0);
	while (threads() > before + 1 - DISKKIT_WORKERS - 1)
		sched_yield();
	diskkit_set_gate(DISKKIT_NONE);
	until = deadline_in(CLOCK_REALTIME, 20000);
	if (pthread_timedjoin_np(closer, NULL, &until) != 0) {
		print_error("the disk is not closed\n");
		abort();
	}
	k->disk = NULL;
}

static void what_is_deleted_gives_its_room_back(void **state)
{
	struct diskkit *k = diskkit_new(SMALL, 1);
	uint64_t seed = 0;

	*state = k;
	for (unsigned int round = 0; round < 3; round++) {
		uint64_t first = seed, tickets[300];
		unsigned int n = 0;

		for (unsigned int i = 0; i < 220; i++)
			tickets[n++] = diskkit_start_write(k, 2 * seed++, BIG, STATE_OWNED);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(diskkit_await(k, tickets[i])->result, 0);
		for (unsigned int i = 0; i < n; i++)
			tickets[i] = diskkit_start(k, (struct effect){ .kind = EFFECT_STATES, .address = diskkit_address(2 * (first + i), BIG) });
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(diskkit_await(k, tickets[i])->result, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, diskkit_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_cached_makes_room_for_what_is_owned),
		TEST(what_is_cached_makes_room_when_it_is_asked_for),
		TEST(who_waits_for_room_keeps_nobody_from_reading),
		TEST(the_end_does_not_wait_for_room),
		TEST(what_is_deleted_gives_its_room_back),
	};

	return suite_run(tests);
}
