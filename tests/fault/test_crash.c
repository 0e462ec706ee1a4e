/*
 * A mount as users have it loses power, at many moments of what somebody does with it: on the
 * disk is then what tests/lib/powercut.h allows.  It opens, its tree is one whole moment, with
 * all that a sync acknowledged, every chunk it refers to can be read, and it goes on working.
 * ONLY=pattern runs the tests whose names match it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/crash.h"
#include "tests/lib/dhttest.h"
#include "tests/lib/suite.h"

#define CUTS 25u	/* of each test; SOAK has 40 times as many */
#define LIE_CUTS 12u

static uint64_t seed;

static size_t cuts(size_t n)
{
	return getenv("SOAK") ? n * 40 : n;
}

static size_t count(struct crash *c, enum powerlog_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < powercut_count(c->cut); i++)
		n += powercut_at(c->cut, i, NULL)->type == type;
	return n;
}

static void cut(struct crash *c)
{
	crash_off(c);
	printf("# %zu records, %zu writes, %zu syncs, %zu ranges given back\n",
	    powercut_count(c->cut), count(c, POWERLOG_WRITE), count(c, POWERLOG_SYNC),
	    count(c, POWERLOG_ZERO));
	crash_check_many(c, cuts(CUTS), POWERCUT_HONEST, "");
	crash_end(c);
}

static struct crash *begin(void)
{
	static struct crash c;

	crash_begin(&c, dhttest_random(&seed));
	return &c;
}

static void a_new_volume_is_empty_or_not_there_yet(void **state)
{
	struct crash *c = begin();

	(void)state;
	crash_settle(c);
	cut(c);
}

static void write_new_rename_over_crash(void **state)
{
	struct crash *c = begin();

	(void)state;
	crash_create(c, "file", 0644);
	crash_write(c, "file", CRASH_REPLACE, 30000);
	crash_fsync(c, "file");
	for (int i = 0; i < 6; i++) {
		crash_create(c, "new", 0644);
		crash_write(c, "new", CRASH_REPLACE, 100 + crash_random(c, 200000));
		crash_rename(c, "new", "file");
		if (i == 2)
			crash_settle(c);
		if (i == 4) {
			crash_create(c, "other", 0644);
			crash_fsync(c, "other");
		}
	}
	cut(c);
}

static void truncate_write_close_crash(void **state)
{
	struct crash *c = begin();

	(void)state;
	crash_create(c, "file", 0644);
	crash_create(c, "other", 0644);
	crash_write(c, "file", CRASH_REPLACE, 150000);
	crash_fsync(c, "file");
	for (int i = 0; i < 12; i++) {
		crash_write(c, "file", CRASH_REPLACE, 1 + crash_random(c, i % 2 ? 300000 : 5000));
		crash_write(c, "other", CRASH_APPEND, 100);
		/* A checkpoint between the cut and the close, or behind both. */
		if (i % 3 == 0)
			crash_fsync(c, "other");
	}
	crash_settle(c);
	cut(c);
}

static void append_fsync_crash(void **state)
{
	struct crash *c = begin();

	(void)state;
	crash_create(c, "log", 0644);
	crash_create(c, "direct", 0644);
	for (int i = 0; i < 12; i++) {
		crash_write(c, "log", CRASH_APPEND, 1 + crash_random(c, 40000));
		if (i % 3 != 1)
			crash_fsync(c, "log");
		crash_write(c, "direct", CRASH_DIRECT, 1 + crash_random(c, 100000));
		if (i % 3 == 1)
			crash_fsync(c, "direct");
	}
	crash_write(c, "log", CRASH_OVERWRITE, 50000);
	crash_fsync(c, "log");
	cut(c);
}

static void rename_of_a_directory_crash(void **state)
{
	struct crash *c = begin();

	(void)state;
	crash_mkdir(c, "a");
	crash_mkdir(c, "a/b");
	crash_mkdir(c, "z");
	crash_create(c, "a/b/file", 0600);
	crash_write(c, "a/b/file", CRASH_REPLACE, 1000);
	crash_fsync(c, "a/b");
	for (int i = 0; i < 4; i++) {
		crash_rename(c, "a/b", "z/b");
		crash_write(c, "z/b/file", CRASH_APPEND, 5000);
		crash_fsync(c, i % 2 ? "z/b/file" : "z");
		crash_rename(c, "z/b", "a/b");
		crash_rename(c, "a", "moved");
		if (i == 1)
			crash_fsync(c, "moved/b/file");
		crash_rename(c, "moved", "a");
	}
	/* Over an empty one. */
	crash_mkdir(c, "empty");
	crash_rename(c, "a", "empty");
	crash_fsync(c, "empty/b/file");
	cut(c);
}

static void what_an_fsync_of_a_file_acknowledged_has_its_names_and_attributes(void **state)
{
	struct crash *c = begin();

	(void)state;
	crash_create(c, "file", 0644);
	crash_fsync(c, "file");
	crash_link(c, "file", "second");
	crash_fsync(c, "file");
	crash_xattr(c, "file", "some text");
	crash_chmod(c, "second", 0600);
	crash_fsync(c, "second");
	crash_symlink(c, "second", "pointer");
	crash_write(c, "second", CRASH_APPEND, 70000);
	crash_unlink(c, "file");
	crash_fsync(c, "second");
	crash_link(c, "second", "third");
	crash_unlink(c, "second");
	crash_create(c, "file", 0640);
	crash_rename(c, "third", "file");
	crash_settle(c);
	crash_unlink(c, "file");
	crash_unlink(c, "pointer");
	crash_create(c, "last", 0644);
	crash_fsync(c, "last");
	cut(c);
}

static void snapshot_crash(void **state)
{
	struct crash *c = begin();
	char path[64];

	(void)state;
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "d%d", i);
		crash_mkdir(c, path);
		crash_fsync(c, path);
		snprintf(path, sizeof(path), "d%d/file", i);
		crash_create(c, path, 0644);
		crash_write(c, path, CRASH_REPLACE, 1 + crash_random(c, 90000));
		if (i % 2)
			crash_sync(c);
	}
	assert_int_equal(crash_dhtctl(c, "snapshot"), 0);
	crash_unlink(c, "d0/file");
	crash_rmdir(c, "d0");
	crash_fsync(c, "d1");
	cut(c);
}

static void put_and_pin_crash(void **state)
{
	struct crash *c = begin();

	(void)state;
	for (int i = 0; i < 5; i++) {
		crash_create(c, i % 2 ? "odd" : "even", 0644);
		crash_put(c, 1 + crash_random(c, 30000));
		crash_unlink(c, i % 2 ? "odd" : "even");
	}
	cut(c);
}

/* Which fail once, while a file is written; what was acknowledged stays, whatever happens then. */
static void fail_once(const char *prefix)
{
	struct crash *c = begin();
	int rc = 0;

	crash_create(c, "file", 0644);
	for (int i = 0; i < 8 && rc == 0; i++) {
		crash_write(c, "file", i % 2 ? CRASH_APPEND : CRASH_REPLACE,
		    1000 + crash_random(c, 150000));
		if (i == 3)
			crash_fail_sync(c, prefix);
		rc = crash_fsync_try(c, "file");
		/* The chunks are written again elsewhere, when it is asked once more. */
		if (rc == -EIO)
			rc = crash_fsync_try(c, "file");
	}
	assert_true(crash_sync_failed(c));
	cut(c);
}

static void fdatasync_of_a_segment_that_fails_once(void **state)
{
	(void)state;
	fail_once("segment");
}

static void fdatasync_of_the_tree_that_fails_once(void **state)
{
	(void)state;
	fail_once("tree");
}

/* One of all that there is to do, to one of a few names. */
static void act(struct crash *c)
{
	static const enum crash_way ways[] = { CRASH_REPLACE, CRASH_APPEND, CRASH_OVERWRITE,
		CRASH_DIRECT };
	char a[64], b[64];
	bool dir_a = crash_random(c, 2), dir_b = crash_random(c, 2), there_a, there_b;

	snprintf(a, sizeof(a), "%sf%d", dir_a ? "dir/" : "", (int)crash_random(c, 4));
	snprintf(b, sizeof(b), "%sf%d", dir_b ? "dir/" : "", (int)crash_random(c, 4));
	there_a = crash_has(c, a);
	there_b = crash_has(c, b);
	switch (there_a ? crash_random(c, 16) : 16) {
	case 0:
		crash_unlink(c, a);
		break;
	case 1:
		if (!there_b)
			crash_link(c, a, b);
		break;
	case 2:
	case 3:
		if (!crash_same(c, a, b))
			crash_rename(c, a, b);
		break;
	case 4:
		crash_chmod(c, a, (unsigned int)crash_random(c, 0777) | 0400);
		break;
	case 5:
		snprintf(b, sizeof(b), "text %d", (int)crash_random(c, 1000));
		crash_xattr(c, a, b);
		break;
	case 6:
	case 7:
		crash_fsync(c, a);
		break;
	case 8:
		crash_fsync(c, "dir");
		break;
	case 16:
		crash_create(c, a, 0644);
		break;
	default:
		crash_write(c, a, ways[crash_random(c, 4)],
		    1 + crash_random(c, crash_random(c, 3) ? 20000 : 400000));
	}
}

static struct crash *mixed(int actions)
{
	struct crash *c = begin();

	crash_mkdir(c, "dir");
	for (int i = 0; i < actions; i++) {
		act(c);
		if (i == actions / 2)
			crash_remount(c);
	}
	return c;
}

static void all_that_there_is_to_do(void **state)
{
	int rounds = getenv("SOAK") ? 20 : 1;

	(void)state;
	for (int i = 0; i < rounds; i++) {
		struct crash *c = mixed(150);

		crash_off(c);
		crash_check_many(c, cuts(4 * CUTS) / (size_t)rounds, POWERCUT_HONEST, "");
		crash_end(c);
	}
}

/* What is collected, and cleaned away, is what nobody can ever want again. */
static void collection_crash(void **state)
{
	struct crash *c = begin();
	char path[64];

	(void)state;
	crash_create(c, "stays", 0644);
	crash_write(c, "stays", CRASH_REPLACE, 200000);
	crash_fsync(c, "stays");
	crash_put(c, 20000);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 6; i++) {
			snprintf(path, sizeof(path), "f%d", i);
			crash_create(c, path, 0644);
			crash_write(c, path, CRASH_REPLACE, 1 + crash_random(c, 300000));
			if (i % 2)
				crash_fsync(c, path);
		}
		crash_write(c, "stays", CRASH_OVERWRITE, 1 + crash_random(c, 50000));
		for (int i = 0; i < 6; i++) {
			snprintf(path, sizeof(path), "f%d", i);
			if (i != round)
				crash_unlink(c, path);
			else
				crash_rename(c, path, "stays too");
		}
		if (round == 1)
			crash_fsync(c, "stays");
		assert_int_equal(crash_dhtctl(c, "gc"), 0);
		if (round == 1)
			crash_sync(c);
	}
	cut(c);
}

/* That these tests can fail: a disk that lies, or LMDB without one of its syncs. */
static void a_disk_that_lies_is_noticed(void **state)
{
	static const struct {
		enum powercut_lie lie;
		const char *prefix, *what;
	} lies[] = {
		{ POWERCUT_NO_SYNC, "tree", "the tree without fdatasync (MDB_NOSYNC)" },
		{ POWERCUT_NO_DSYNC, "tree", "the tree without O_DSYNC (MDB_NOMETASYNC)" },
		{ POWERCUT_NO_SYNC, "segment", "segments without fdatasync" },
		{ POWERCUT_NO_SYNC, "ledger", "the ledger without fdatasync" },
		{ POWERCUT_NO_NAMES, "", "folders without fsync" },
	};
	struct crash *c = mixed(60);

	(void)state;
	crash_off(c);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		size_t n = crash_check_many(c, LIE_CUTS, lies[i].lie, lies[i].prefix);

		printf("# %s: %zu of %u cuts: %s\n", lies[i].what, n, LIE_CUTS, c->problem);
		assert_true(n > 0);
	}
	crash_end(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_volume_is_empty_or_not_there_yet),
		cmocka_unit_test(write_new_rename_over_crash),
		cmocka_unit_test(truncate_write_close_crash),
		cmocka_unit_test(append_fsync_crash),
		cmocka_unit_test(rename_of_a_directory_crash),
		cmocka_unit_test(what_an_fsync_of_a_file_acknowledged_has_its_names_and_attributes),
		cmocka_unit_test(snapshot_crash),
		cmocka_unit_test(put_and_pin_crash),
		cmocka_unit_test(fdatasync_of_a_segment_that_fails_once),
		cmocka_unit_test(fdatasync_of_the_tree_that_fails_once),
		cmocka_unit_test(collection_crash),
		cmocka_unit_test(all_that_there_is_to_do),
		cmocka_unit_test(a_disk_that_lies_is_noticed),
	};
	const char *why;

	seed = suite_seed(20240229);
	if (!crash_possible(&why)) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	return suite_run(tests);
}
