/*
 * snapshots: whom one serves, which are kept, and what failures do, over a real tree and a set
 * whose operations the test holds back and makes fail.
 */
#include "tests/unit/snapshots_test.h"

#include "fs/tree_internal.h"

static const char *rule = KEEP_DEFAULT;

static int start(bool read_only)
{
	struct files_options fo = { .dirty_max = 1 << 24, .flushers = 1 };
	struct snapshots_options so = { .read_only = read_only };

	return parts_start(fo, so, rule);
}

static int setup(void **state)
{
	(void)state;
	return parts_new() < 0 ? -1 : start(false);
}

static int teardown(void **state)
{
	stop();
	return parts_free(state);
}

static bool same(const struct ref *a, const struct ref *b)
{
	return address_equal(&a->address, &b->address);
}

static void an_unchanged_tree_gets_one_only_for_a_note(void **state)
{
	struct ref a, b;

	(void)state;
	assert_int_equal(take(NULL, &a), 0);
	assert_int_equal(take(NULL, &b), 0);
	assert_true(same(&a, &b));
	assert_int_equal(take("", &b), 0);
	assert_true(same(&a, &b));
	assert_int_equal(take("before the upgrade", &b), 0);
	assert_false(same(&a, &b));
	make(TREE_ROOT, "a", DIR_MODE);
	assert_int_equal(take(NULL, &a), 0);
	assert_false(same(&a, &b));
}

static void of_those_that_are_but_syncs_one_stays_for_a_while(void **state)
{
	char name[8];
	struct ref ref;

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make(TREE_ROOT, name, DIR_MODE);
		assert_int_equal(take(NULL, &ref), 0);
	}
	assert_int_equal(kept(), 2);
	/* Somebody asked for this one, though nothing had changed. */
	assert_int_equal(take("", &ref), 0);
	for (int i = 20; i < 30; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make(TREE_ROOT, name, DIR_MODE);
		assert_int_equal(take(i % 2 ? NULL : "", &ref), 0);
	}
	/* The first, those asked for, and the newest. */
	assert_int_equal(kept(), 1 + 1 + 5 + 1);
	/* The next run finds them. */
	assert_int_equal(stop(), 0);
	assert_int_equal(start(false), 0);
	assert_int_equal(kept(), 8);
}

static void one_serves_all_who_wait_for_none_in_particular(void **state)
{
	struct waiting first, next[5], noted;
	struct fakedht_counts counts;

	(void)state;
	make(TREE_ROOT, "a", DIR_MODE);
	fakedht_hold(set);
	wait_start(&first, NULL);
	fakedht_await(set, 1);
	make(TREE_ROOT, "b", DIR_MODE);
	for (int i = 0; i < 5; i++)
		wait_start(&next[i], NULL);
	wait_start(&noted, "note");
	fakedht_go(set);
	assert_int_equal(wait_end(&first), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(wait_end(&next[i]), 0);
		assert_true(same(&next[i].w.ref, &next[0].w.ref));
	}
	assert_int_equal(wait_end(&noted), 0);
	assert_false(same(&noted.w.ref, &next[0].w.ref));
	fakedht_count(set, &counts);
	assert_in_range(counts.syncs, 3, 12);
}

static void who_waits_may_leave_before_it_and_while_it_is_taken(void **state)
{
	struct waiting first, second;
	char *note = strdup("a note that its owner takes along");
	struct ref ref;

	(void)state;
	make(TREE_ROOT, "a", DIR_MODE);
	fakedht_hold(set);
	wait_start(&first, note);
	fakedht_await(set, 1);
	wait_start(&second, NULL);
	assert_true(snapshots_leave(s, &second.w));
	assert_true(snapshots_leave(s, &first.w));
	assert_false(snapshots_leave(s, &first.w));
	free(note);
	fakedht_go(set);
	assert_int_equal(take(NULL, &ref), 0);
	assert_int_equal(first.result, 1);
	assert_int_equal(second.result, 1);
	assert_int_equal(kept(), 1);
}

static void one_that_fails_loses_nothing(void **state)
{
	uint64_t dir = make(TREE_ROOT, "a", DIR_MODE);
	struct inode i;
	struct ref ref;

	(void)state;
	fakedht_fail(set, -ENOSPC, 0);
	assert_int_equal(take(NULL, &ref), -ENOSPC);
	assert_int_equal(kept(), 0);
	assert_int_equal(snapshots_directory(s, dir, &ref), -ENOENT);
	fakedht_fail(set, 0, 0);
	assert_int_equal(take(NULL, &ref), 0);
	assert_int_equal(snapshots_directory(s, dir, &ref), 0);
	assert_int_equal(ref.size, 0);
	make(dir, "b", FILE_MODE);
	assert_int_equal(take(NULL, &ref), 0);
	assert_int_equal(snapshots_directory(s, dir, &ref), 0);
	assert_int_equal(ref.size, 1);
	i = get(dir);
	assert_memory_equal(&i.ref.address, &ref.address, sizeof(ref.address));
}

static void a_file_that_can_not_be_flushed_is_an_error_to_who_waits(void **state)
{
	uint64_t ino = make(TREE_ROOT, "a", FILE_MODE);
	struct chunk *chunk = chunk_copy("text", 4);
	struct file *f;
	struct ref ref;

	(void)state;
	assert_int_equal(take(NULL, &ref), 0);
	assert_int_equal(file_get(files, ino, &f), 0);
	assert_int_equal(file_write(f, 0, chunk, NULL), 0);
	fakedht_fail(set, -EIO, 0);
	assert_int_equal(take(NULL, &ref), -EIO);
	fakedht_fail(set, 0, 0);
	assert_int_equal(take(NULL, &ref), 0);
	assert_int_equal(get(ino).size, 4);
	chunk_drop(chunk);
	file_put(f);
}

static void the_end_takes_a_last_one(void **state)
{
	struct ref head, kept_list;
	uint64_t epoch;

	(void)state;
	make(TREE_ROOT, "a", DIR_MODE);
	assert_int_equal(stop(), 0);
	assert_int_equal(start(false), 0);
	assert_int_equal(tree_get_head(t, &head, &epoch, &kept_list), 0);
	assert_int_equal(head.kind, KIND_SNAPSHOT);
	assert_int_equal(kept(), 1);
}

static void a_read_only_volume_takes_none(void **state)
{
	struct fakedht_counts counts;
	struct ref ref, head;

	(void)state;
	make(TREE_ROOT, "a", DIR_MODE);
	assert_int_equal(take(NULL, &head), 0);
	assert_int_equal(stop(), 0);
	fakedht_count(set, &counts);
	assert_int_equal(start(true), 0);
	assert_int_equal(take(NULL, &ref), 0);
	assert_true(same(&ref, &head));
	assert_int_equal(take("note", &ref), -EROFS);
	stop();
	fakedht_count(set, &counts);
	assert_int_equal(counts.inserts, 0);
	/* Something changed, and the end could take no snapshot of it. */
	assert_int_equal(start(false), 0);
	make(TREE_ROOT, "b", DIR_MODE);
	fakedht_fail(set, -ENOSPC, 0);
	assert_int_equal(stop(), -ENOSPC);
	fakedht_fail(set, 0, 0);
	assert_int_equal(start(true), 0);
	assert_int_equal(take(NULL, &ref), -EROFS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A tree that has to be opened anew waits for its readers: a snapshot that waits for the checkpoint must not be one. */
static atomic_uint commits, commits_read;

static void look_for_readers(void *arg)
{
	(void)arg;
	atomic_fetch_add(&commits, 1);
	pthread_mutex_lock(&t->lock);
	atomic_fetch_add(&commits_read, t->readers != NULL);
	pthread_mutex_unlock(&t->lock);
}

static void no_reader_is_left_when_a_snapshot_waits_for_its_checkpoint(void **state)
{
	struct ref ref;

	(void)state;
	make(TREE_ROOT, "a", FILE_MODE);
	atomic_store(&commits, 0);
	atomic_store(&commits_read, 0);
	checkpoint_on_commit(c, look_for_readers, NULL);
	assert_int_equal(take("", &ref), 0);
	checkpoint_on_commit(c, NULL, NULL);
	/* That of the file, and that of the snapshot. */
	assert_int_equal(atomic_load(&commits), 2);
	assert_int_equal(atomic_load(&commits_read), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unchanged_tree_gets_one_only_for_a_note),
		TEST(of_those_that_are_but_syncs_one_stays_for_a_while),
		TEST(one_serves_all_who_wait_for_none_in_particular),
		TEST(who_waits_may_leave_before_it_and_while_it_is_taken),
		TEST(no_reader_is_left_when_a_snapshot_waits_for_its_checkpoint),
		TEST(one_that_fails_loses_nothing),
		TEST(a_file_that_can_not_be_flushed_is_an_error_to_who_waits),
		TEST(the_end_takes_a_last_one),
		TEST(a_read_only_volume_takes_none),
	};

	return suite_run(tests);
}
