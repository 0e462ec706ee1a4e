/* A disk that fails, fills up or rots: nothing wrong is read, what can be kept is kept, and who asked is told. */
#include "tests/lib/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dht/record.h"

#define SEGMENT "segment-00000001"

static int setup(void **state)
{
	struct disk *d;

	disk_setup(state);
	d = *state;
	dhttest_must_open(&d->t);
	return 0;
}

static size_t len_of(uint64_t seed)
{
	return 100 + seed * 37 % 5000;
}

static void put_all(struct disk *d, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(dhttest_put(&d->t, i, len_of(i)), 0);
}

static void get_all(struct disk *d, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		int rc = dhttest_get(&d->t, i, len_of(i));

		if (rc < 0)
			fail_msg("chunk %d: %s\n%s", (int)i, strerror(-rc), d->t.log);
	}
}

/* Where a chunk's record starts in the first segment. */
static size_t offset_of(struct disk *d, uint64_t seed)
{
	uint8_t *bytes = faultio_bytes(d->files, SEGMENT);
	size_t len = (size_t)faultio_size(d->files, SEGMENT);
	struct address a;

	dhttest_address(seed, len_of(seed), &a);
	for (size_t at = 0; at + RECORD_HEADER <= len; at += RECORD_ALIGN)
		if (record_magic(bytes + at) && memcmp(bytes + at + 16, a.b, ADDRESS_LEN) == 0)
			return at;
	fail();
	return 0;
}

static void a_failed_fdatasync_costs_nothing_that_memory_still_holds(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 10);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	put_all(d, 10, 20);
	faultio_fail(d->files, FAULT_SYNC, 0, 1, -EIO);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	/* What the kernel had promised to write is gone; a copy elsewhere must have been made. */
	faultio_forget(d->files);
	get_all(d, 0, 20);
	dhttest_close(&d->t);
	faultio_power_cut(d->files, 1);
	dhttest_must_open(&d->t);
	get_all(d, 0, 20);
	assert_non_null(strstr(d->t.log, "could not be made durable"));
}

static void a_sync_fails_as_long_as_the_disk_does_and_then_succeeds(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 10);
	faultio_fail(d->files, FAULT_SYNC, 0, 1000, -EIO);
	for (int i = 0; i < 5; i++)
		assert_int_equal(dht_sync_now(d->t.dht), -EIO);
	get_all(d, 0, 10);
	faultio_fail(d->files, FAULT_SYNC, 0, 0, 0);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	faultio_forget(d->files);
	get_all(d, 0, 10);
	dhttest_close(&d->t);
	faultio_power_cut(d->files, 2);
	dhttest_must_open(&d->t);
	get_all(d, 0, 10);
}

static void a_restart_does_not_believe_what_a_failed_fdatasync_left_in_memory(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 10);
	faultio_fail(d->files, FAULT_SYNC, 0, 1000, -EIO);
	assert_int_equal(dht_close(d->t.dht), -EIO);
	d->t.dht = NULL;
	faultio_fail(d->files, FAULT_SYNC, 0, 0, 0);
	dhttest_must_open(&d->t);
	put_all(d, 0, 10);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	dhttest_close(&d->t);
	faultio_forget(d->files);
	faultio_power_cut(d->files, 3);
	dhttest_must_open(&d->t);
	get_all(d, 0, 10);
}

static void kill_and_open(struct disk *d, struct disk *next)
{
	disk_kill_in_sync(d);
	disk_crash(d, next, false);
	dhttest_must_open(&next->t);
}

static void a_failed_fdatasync_after_a_crash_is_healed_from_the_page_cache(void **state)
{
	struct disk *d = *state, next;

	put_all(d, 0, 5);
	dhttest_reopen(&d->t);
	put_all(d, 5, 10);
	kill_and_open(d, &next);
	faultio_fail(next.files, FAULT_SYNC, 0, 1, -EIO);
	assert_int_equal(dht_sync_now(next.t.dht), 0);
	get_all(&next, 0, 10);
	dhttest_close(&next.t);
	faultio_power_cut(next.files, 7);
	dhttest_must_open(&next.t);
	get_all(&next, 0, 10);
	disk_end(&next);
}

static void what_can_not_be_rescued_is_not_called_durable_until_it_is_there_again(void **state)
{
	struct disk *d = *state, next;

	put_all(d, 0, 5);
	dhttest_reopen(&d->t);
	put_all(d, 5, 10);
	kill_and_open(d, &next);
	faultio_bytes(next.files, SEGMENT)[offset_of(&next, 7) + RECORD_HEADER] ^= 1;
	faultio_fail(next.files, FAULT_SYNC, 0, 1, -EIO);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dht_sync_now(next.t.dht), -EIO);
	assert_int_equal(dhttest_get(&next.t, 7, len_of(7)), -EBADMSG);
	get_all(&next, 8, 10);
	put_all(&next, 7, 8);
	assert_int_equal(dht_sync_now(next.t.dht), 0);
	dhttest_close(&next.t);
	faultio_power_cut(next.files, 8);
	dhttest_must_open(&next.t);
	get_all(&next, 0, 10);
	disk_end(&next);
}

static void a_folder_that_can_not_be_synced_counts_as_a_failed_sync(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 3);
	faultio_fail(d->files, FAULT_SYNC_DIR, 0, 2, -EIO);
	assert_int_equal(dht_sync_now(d->t.dht), -EIO);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	dhttest_close(&d->t);
	faultio_power_cut(d->files, 4);
	dhttest_must_open(&d->t);
	get_all(d, 0, 3);
}

static void no_failing_write_loses_a_chunk(void **state)
{
	static const int errors[] = { -ENOSPC, -EIO };
	struct disk *d = *state;
	uint64_t seed = 0;

	for (unsigned int after = 0; after < 12; after++) {
		int error = errors[after % 2];

		/* What fails once is written elsewhere at once, what fails twice with the next sync. */
		faultio_fail(d->files, FAULT_WRITE, after, 1 + after % 3, error);
		for (uint64_t i = 0; i < 12; i++) {
			int rc;

			put_all(d, seed + i, seed + i + 1);
			rc = dht_sync_now(d->t.dht);
			assert_int_equal(rc, i == after && after % 3 > 0 ? error : 0);
			get_all(d, seed, seed + i + 1);
		}
		faultio_fail(d->files, FAULT_WRITE, 0, 0, 0);
		seed += 12;
	}
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	/* Also without the ledger, over what the failed writes left. */
	dhttest_close(&d->t);
	unlink(dhttest_path(&d->t, "ledger"));
	faultio_power_cut(d->files, 5);
	dhttest_must_open(&d->t);
	get_all(d, 0, seed);
}

static void writes_that_fail_among_others_cost_nothing(void **state)
{
	enum { ROUNDS = 8, LEN = 120000 };	/* so that each round fills several tails */
	struct dhttest_burst b;
	struct disk *d = *state;
	size_t len[BURST_MAX];

	for (size_t i = 0; i < BURST_MAX; i++)
		len[i] = LEN;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		faultio_fail(d->files, FAULT_WRITE, round % 4, 1 + round % 2, -EIO);
		dhttest_burst(&d->t, &b, round * BURST_MAX, BURST_MAX, len);
		if (round % 2)
			dht_sync_now(d->t.dht);
		dhttest_burst_end(&b);
		for (size_t i = 0; i < BURST_MAX; i++)
			assert_int_equal(dhttest_get(&d->t, round * BURST_MAX + i, LEN), 0);
	}
	faultio_fail(d->files, FAULT_WRITE, 0, 0, 0);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t i = 0; i < ROUNDS * BURST_MAX; i++)
			assert_int_equal(dhttest_get(&d->t, i, LEN), 0);
		dhttest_close(&d->t);
		faultio_power_cut(d->files, 9);
		unlink(dhttest_path(&d->t, "ledger"));
		dhttest_must_open(&d->t);
	}
}

static void a_full_disk_is_told_and_passes(void **state)
{
	struct disk *d = *state;
	struct dht_space space;
	uint64_t i, full;

	faultio_disk(d->files, 300000);
	for (i = 0; dhttest_put(&d->t, i, len_of(i)) == 0; i++)
		assert_true(i < 1000);
	full = i;
	assert_true(full > 20);
	assert_int_equal(dhttest_put(&d->t, full, len_of(full)), -ENOSPC);
	assert_int_equal(dht_reserve(d->t.dht, 1 << 20), -ENOSPC);
	dht_space(d->t.dht, &space);
	assert_true(space.available < 10000);
	get_all(d, 0, full);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	/* What is there already needs no space. */
	put_all(d, 0, full);
	dhttest_close(&d->t);
	dhttest_must_open(&d->t);
	get_all(d, 0, full);
	assert_int_equal(dhttest_put(&d->t, full, len_of(full)), -ENOSPC);
	faultio_disk(d->files, 3000000);
	put_all(d, full, full + 20);
	get_all(d, 0, full + 20);
}

static void no_failing_read_gives_wrong_bytes_or_loses_a_chunk(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 20);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	for (unsigned int after = 0; after < 20; after++) {
		faultio_fail(d->files, FAULT_READ, after, 1, -EIO);
		for (uint64_t i = 0; i < 20; i++)
			assert_int_equal(dhttest_get(&d->t, i, len_of(i)), i == after ? -EIO : 0);
	}
	get_all(d, 0, 20);
	dhttest_close(&d->t);
	/* Whichever read of an open fails: it says so, or goes without, and the next finds all. */
	for (unsigned int after = 0; after < 12; after++) {
		if (after % 2)
			unlink(dhttest_path(&d->t, "ledger"));
		faultio_fail(d->files, FAULT_READ, after, 1, -EIO);
		if (dhttest_open(&d->t) == 0)
			dhttest_close(&d->t);
		else
			assert_true(strlen(d->t.why) > 0);
		faultio_fail(d->files, FAULT_READ, 0, 0, 0);
		unlink(dhttest_path(&d->t, "ledger"));
		dhttest_must_open(&d->t);
		get_all(d, 0, 20);
		dhttest_close(&d->t);
	}
	dhttest_must_open(&d->t);
}

static void a_copy_that_can_not_be_read_is_no_reason_not_to_store_it(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 2);
	dhttest_close(&d->t);
	dhttest_must_open(&d->t);
	faultio_fail(d->files, FAULT_READ, 0, 1, -EIO);
	put_all(d, 0, 1);
	memset(faultio_bytes(d->files, SEGMENT) + offset_of(d, 0) + RECORD_HEADER, 0, 10);
	get_all(d, 0, 2);
}

/* One bit at a time, in the header and in the bytes. */
static void a_flipped_bit_is_noticed_set_aside_and_healed(void **state)
{
	struct disk *d = *state;
	struct dht_status status;
	struct address a;
	char text[ADDRESS_TEXT_LEN + 1], line[256];
	size_t at;

	put_all(d, 0, 5);
	dhttest_close(&d->t);
	dhttest_must_open(&d->t);
	at = offset_of(d, 2);
	faultio_bytes(d->files, SEGMENT)[at + RECORD_HEADER + 7] ^= 0x10;
	for (int i = 0; i < 3; i++)
		assert_int_equal(dhttest_get(&d->t, 2, len_of(2)), -EBADMSG);
	dhttest_address(2, len_of(2), &a);
	assert_false(dht_has(d->t.dht, &a, NULL, NULL));
	address_format(&a, text);
	snprintf(line, sizeof(line), "chunk %s in segment 00000001 at %zu", text, at);
	assert_non_null(strstr(d->t.log, line));
	assert_null(strstr(strstr(d->t.log, line) + 1, line));
	dht_status(d->t.dht, &status);
	assert_int_equal(status.set_aside, 1);
	assert_int_equal(status.chunks, 4);
	dhttest_reopen(&d->t);
	assert_int_equal(dhttest_get(&d->t, 2, len_of(2)), -EBADMSG);
	assert_int_equal(dhttest_get(&d->t, 3, len_of(3)), 0);
	put_all(d, 2, 3);
	get_all(d, 0, 5);
	dhttest_reopen(&d->t);
	get_all(d, 0, 5);
	dht_status(d->t.dht, &status);
	assert_int_equal(status.chunks, 5);
	assert_int_equal(status.set_aside, 1);
}

static void an_insert_does_not_trust_a_rotten_copy(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 3);
	dhttest_close(&d->t);
	dhttest_must_open(&d->t);
	faultio_bytes(d->files, SEGMENT)[offset_of(d, 1) + RECORD_HEADER] ^= 1;
	put_all(d, 1, 2);
	get_all(d, 0, 3);
}

static void rot_of_what_a_crash_left_is_noticed_and_healed(void **state)
{
	struct disk *d = *state, next;

	put_all(d, 0, 3);
	kill_and_open(d, &next);
	faultio_bytes(next.files, SEGMENT)[offset_of(&next, 1) + RECORD_HEADER] ^= 1;
	assert_int_equal(dhttest_get(&next.t, 1, len_of(1)), -EBADMSG);
	put_all(&next, 1, 2);
	get_all(&next, 0, 3);
	assert_int_equal(dht_sync_now(next.t.dht), 0);
	dhttest_close(&next.t);
	faultio_power_cut(next.files, 6);
	dhttest_must_open(&next.t);
	get_all(&next, 0, 3);
	disk_end(&next);
}

static void what_is_not_on_the_disk_yet_is_read_from_memory(void **state)
{
	struct disk *d = *state;
	unsigned int reads = faultio_calls(d->files, FAULT_READ);

	put_all(d, 0, 10);
	assert_int_equal(faultio_size(d->files, SEGMENT), 0);
	get_all(d, 0, 10);
	assert_int_equal(faultio_calls(d->files, FAULT_READ), reads);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	assert_true(faultio_size(d->files, SEGMENT) > 0);
	get_all(d, 0, 10);
	assert_true(faultio_calls(d->files, FAULT_READ) > reads);
}

static void a_rotten_header_hides_no_other_chunk_from_a_rebuild(void **state)
{
	struct disk *d = *state;

	for (size_t byte = 0; byte < RECORD_HEADER; byte += 3) {
		size_t at;

		put_all(d, 0, 6);
		assert_int_equal(dht_sync_now(d->t.dht), 0);
		at = offset_of(d, 3);
		dhttest_close(&d->t);
		faultio_bytes(d->files, SEGMENT)[at + byte] ^= 0x40;
		unlink(dhttest_path(&d->t, "ledger"));
		dhttest_must_open(&d->t);
		get_all(d, 0, 3);
		get_all(d, 4, 6);
		assert_int_equal(dhttest_get(&d->t, 3, len_of(3)), -ENOENT);
		dhttest_close(&d->t);
		faultio_bytes(d->files, SEGMENT)[at + byte] ^= 0x40;
		unlink(dhttest_path(&d->t, "ledger"));
		dhttest_must_open(&d->t);
		get_all(d, 0, 6);
	}
}

static void a_rotten_header_is_no_loss_while_the_ledger_knows(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 4);
	dhttest_close(&d->t);
	faultio_bytes(d->files, SEGMENT)[offset_of(d, 1) + 5] ^= 2;
	dhttest_must_open(&d->t);
	get_all(d, 0, 4);
}

static void a_segment_cut_in_the_middle_costs_only_what_was_cut(void **state)
{
	struct disk *d = *state;
	struct dht_status status;
	size_t at;

	put_all(d, 0, 20);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	at = offset_of(d, 10);
	dhttest_close(&d->t);
	faultio_resize(d->files, SEGMENT, at + 100);
	dhttest_must_open(&d->t);
	get_all(d, 0, 10);
	for (uint64_t i = 10; i < 20; i++)
		assert_int_equal(dhttest_get(&d->t, i, len_of(i)), -ENOENT);
	dht_status(d->t.dht, &status);
	assert_int_equal(status.chunks, 10);
	put_all(d, 0, 20);
	dhttest_reopen(&d->t);
	get_all(d, 0, 20);
}

static void a_segment_that_is_gone_costs_only_what_it_held(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 5);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	put_all(d, 5, 10);
	/* Its second half goes to another segment. */
	faultio_fail(d->files, FAULT_SYNC, 0, 1, -EIO);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	dhttest_close(&d->t);
	faultio_remove(d->files, SEGMENT);
	dhttest_must_open(&d->t);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(dhttest_get(&d->t, i, len_of(i)), -ENOENT);
	get_all(d, 5, 10);
	put_all(d, 0, 10);
	dhttest_reopen(&d->t);
	get_all(d, 0, 10);
}

static void a_segment_cut_while_the_store_is_open_costs_only_what_was_cut(void **state)
{
	struct disk *d = *state;

	put_all(d, 0, 10);
	dhttest_reopen(&d->t);
	faultio_resize(d->files, SEGMENT, offset_of(d, 5));
	get_all(d, 0, 5);
	for (uint64_t i = 5; i < 10; i++)
		assert_int_equal(dhttest_get(&d->t, i, len_of(i)), -EBADMSG);
	put_all(d, 5, 10);
	get_all(d, 0, 10);
}

static bool count(void *arg, const struct dht_progress *p)
{
	(void)p;
	(*(unsigned int *)arg)++;
	return true;
}

static void a_check_finds_all_that_is_rotten_or_missing(void **state)
{
	struct disk *d = *state;
	struct dht_progress p;
	unsigned int told = 0;

	put_all(d, 0, 20);
	dhttest_reopen(&d->t);
	assert_int_equal(dht_check(d->t.dht, 0, count, &told, &p), 0);
	assert_int_equal(p.chunks, 20);
	assert_int_equal(p.bad, 0);
	assert_int_equal(p.done, p.total);
	assert_true(told > 0);
	faultio_bytes(d->files, SEGMENT)[offset_of(d, 4) + RECORD_HEADER] ^= 1;
	memset(faultio_bytes(d->files, SEGMENT) + offset_of(d, 9), 0, RECORD_HEADER + len_of(9));
	assert_int_equal(dht_check(d->t.dht, 0, NULL, NULL, &p), 0);
	assert_int_equal(p.bad, 2);
	assert_int_equal(dhttest_get(&d->t, 4, len_of(4)), -EBADMSG);
	assert_int_equal(dhttest_get(&d->t, 9, len_of(9)), -EBADMSG);
	put_all(d, 0, 20);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	assert_int_equal(dht_check(d->t.dht, 0, NULL, NULL, &p), 0);
	assert_int_equal(p.bad, 0);
	assert_int_equal(p.chunks, 20);
	get_all(d, 0, 20);
}

static bool stop(void *arg, const struct dht_progress *p)
{
	(void)arg;
	(void)p;
	return false;
}

static void a_check_keeps_to_its_rate_and_can_be_stopped(void **state)
{
	struct disk *d = *state;
	struct dht_progress p;

	put_all(d, 0, 20);
	assert_int_equal(dht_sync_now(d->t.dht), 0);
	/* At a byte a second it would take a day: it has to ask, and hear the answer, before. */
	assert_int_equal(dht_check(d->t.dht, 1, stop, NULL, &p), -ECANCELED);
	assert_true(p.done < p.total);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, disk_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_failed_fdatasync_costs_nothing_that_memory_still_holds),
		TEST(a_sync_fails_as_long_as_the_disk_does_and_then_succeeds),
		TEST(a_restart_does_not_believe_what_a_failed_fdatasync_left_in_memory),
		TEST(a_failed_fdatasync_after_a_crash_is_healed_from_the_page_cache),
		TEST(what_can_not_be_rescued_is_not_called_durable_until_it_is_there_again),
		TEST(a_folder_that_can_not_be_synced_counts_as_a_failed_sync),
		TEST(no_failing_write_loses_a_chunk),
		TEST(writes_that_fail_among_others_cost_nothing),
		TEST(a_full_disk_is_told_and_passes),
		TEST(no_failing_read_gives_wrong_bytes_or_loses_a_chunk),
		TEST(a_copy_that_can_not_be_read_is_no_reason_not_to_store_it),
		TEST(a_flipped_bit_is_noticed_set_aside_and_healed),
		TEST(an_insert_does_not_trust_a_rotten_copy),
		TEST(rot_of_what_a_crash_left_is_noticed_and_healed),
		TEST(what_is_not_on_the_disk_yet_is_read_from_memory),
		TEST(a_rotten_header_hides_no_other_chunk_from_a_rebuild),
		TEST(a_rotten_header_is_no_loss_while_the_ledger_knows),
		TEST(a_segment_cut_in_the_middle_costs_only_what_was_cut),
		TEST(a_segment_that_is_gone_costs_only_what_it_held),
		TEST(a_segment_cut_while_the_store_is_open_costs_only_what_was_cut),
		TEST(a_check_finds_all_that_is_rotten_or_missing),
		TEST(a_check_keeps_to_its_rate_and_can_be_stopped),
	};

	return suite_run(tests);
}
