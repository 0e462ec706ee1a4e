/*
 * files: whose flush ends when, and what a checkpoint collects.  Every order of events is forced by
 * holding the fake dht back.
 */
#include <unistd.h>

#include "tests/unit/files_test.h"

static void a_clean_file_is_flushed_at_once(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct flushing a;

	(void)unused;
	flush_start(&a, f);
	assert_true(flush_ended(&a));
	assert_int_equal(a.result, 0);
	assert_int_equal(atomic_load(&kit.changed), 0);
	file_put(f);
	assert_null(file_find(kit.files, 1));
}

static void a_flush_that_comes_during_one_waits_for_the_next(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct flushing a, same, b;

	(void)unused;
	fakedht_hold(kit.dht);
	assert_int_equal(put(f, 0, 100), 0);
	flush_start(&a, f);
	fakedht_await(kit.dht, 1);
	/* Nothing newer: the one that runs is good enough. */
	flush_start(&same, f);
	assert_int_equal(put(f, 100, 100), 0);
	flush_start(&b, f);
	fakedht_let(kit.dht, 1);
	assert_int_equal(flush_await(&a), 0);
	assert_int_equal(flush_await(&same), 0);
	fakedht_await(kit.dht, 1);
	assert_false(flush_ended(&b));
	fakedht_go(kit.dht);
	assert_int_equal(flush_await(&b), 0);
	file_put(f);
}

static void a_failure_is_told_to_all_who_waited_and_the_next_is_tried_again(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct files_status status = { .failed = 0 };
	struct flushing a, b;
	struct ref ref;

	(void)unused;
	fakedht_hold(kit.dht);
	fakedht_fail(kit.dht, -EIO, 0);
	assert_int_equal(put(f, 0, 100), 0);
	flush_start(&a, f);
	flush_start(&b, f);
	fakedht_go(kit.dht);
	assert_int_equal(flush_await(&a), -EIO);
	assert_int_equal(flush_await(&b), -EIO);
	assert_int_equal(file_error(f), -EIO);
	/* It is tried again and again, and not failed while it is. */
	for (int ms = 0; status.failed == 0 && ms < 10000; ms++) {
		usleep(1000);
		files_status(kit.files, &status);
	}
	assert_int_equal(status.failed, 1);
	assert_int_equal(status.dirty_files, 1);
	assert_false(file_ref(f, &ref));
	/* It goes on failing until it is out, and not longer. */
	assert_int_equal(kit_flush(f), -EIO);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 0);
	fakedht_fail(kit.dht, 0, 0);
	files_flush_all(kit.files, 0);
	assert_int_equal(file_error(f), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 100);
	file_put(f);
}

static void who_leaves_is_not_told(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct flushing a;

	(void)unused;
	fakedht_hold(kit.dht);
	assert_int_equal(put(f, 0, 100), 0);
	flush_start(&a, f);
	assert_true(file_flush_leave(&a.w));
	assert_false(file_flush_leave(&a.w));
	fakedht_go(kit.dht);
	assert_int_equal(kit_flush(f), 0);
	assert_false(flush_ended(&a));
	file_put(f);
}

static void what_is_flushed_after_collect_belongs_to_the_next(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct publication *p;
	struct file_attr attr;
	size_t n;

	(void)unused;
	assert_int_equal(put(f, 0, 100), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(p[0].ref.size, 100);
	assert_int_equal(put(f, 100, 100), 0);
	assert_int_equal(kit_flush(f), 0);
	/* It is as it was when it was collected. */
	assert_int_equal(p[0].ref.size, 100);
	assert_true(p[0].times);
	assert_int_equal(p[0].mtime.sec, 1000);
	files_published(kit.files, true);
	file_attr(f, &attr);
	assert_true(attr.dirty && attr.times);
	assert_int_equal(attr.mtime.sec, 1100);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 200);
	file_attr(f, &attr);
	assert_false(attr.dirty || attr.times);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(n, 0);
	files_published(kit.files, true);
	file_put(f);
}

static void content_size_and_times_are_of_one_moment(void **unused)
{
	const struct timestamp later = { 9999, 1 };
	struct file *f = kit_get(&kit, 1);
	struct flushing a;
	struct inode row;

	(void)unused;
	fakedht_hold(kit.dht);
	assert_int_equal(put(f, 0, 100), 0);
	flush_start(&a, f);
	fakedht_await(kit.dht, 1);
	file_set_times(f, &later, &later);
	assert_int_equal(file_truncate(f, 5, NULL), 0);
	fakedht_go(kit.dht);
	assert_int_equal(flush_await(&a), 0);
	assert_true(kit_publish(&kit));
	kit_row(&kit, 1, &row);
	assert_int_equal(row.size, 100);
	assert_int_equal(row.mtime.sec, 1000);
	assert_int_equal(kit_flush(f), 0);
	assert_true(kit_publish(&kit));
	kit_row(&kit, 1, &row);
	assert_int_equal(row.size, 5);
	assert_int_equal(row.mtime.sec, 9999);
	file_put(f);
}

static void times_alone_are_published_too(void **unused)
{
	const struct timestamp t = { 42, 1 };
	struct file *f = kit_get(&kit, 1);
	struct inode row;

	(void)unused;
	file_set_times(f, &t, &t);
	assert_int_equal(atomic_load(&kit.changed), 1);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	kit_row(&kit, 1, &row);
	assert_int_equal(row.mtime.sec, 42);
	assert_int_equal(row.size, 0);
	file_put(f);
}

static void times_that_come_late_are_nothing(void **unused)
{
	const struct timestamp late = { 1000, 5 }, t = { 1000, 6 }, set_back = { 100, 0 };
	struct file *f = kit_get(&kit, 1);
	struct file_attr attr;

	(void)unused;
	file_set_times(f, &t, &t);
	assert_true(file_set_times(f, &late, &late));
	file_attr(f, &attr);
	assert_int_equal(attr.mtime.nsec, 6);
	assert_int_equal(attr.ctime.nsec, 6);
	file_set_times(f, &set_back, &set_back);
	file_attr(f, &attr);
	assert_int_equal(attr.mtime.sec, 100);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	file_put(f);
}

static void times_that_came_before_their_write_stay(void **unused)
{
	const struct timestamp told = { 1000, 5 }, now = { 1000, 6 }, later = { 1002, 0 };
	struct file *f = kit_get(&kit, 1);
	struct file_attr attr;

	(void)unused;
	file_set_times(f, &told, &told);
	assert_int_equal(file_truncate(f, 10, &now), 0);
	file_attr(f, &attr);
	assert_int_equal(attr.mtime.nsec, 5);
	assert_int_equal(file_truncate(f, 11, &later), 0);
	file_attr(f, &attr);
	assert_int_equal(attr.mtime.sec, 1002);
	assert_int_equal(kit_flush(f), 0);
	assert_true(kit_publish(&kit));
	file_put(f);
}

static void times_of_the_row_came_before_the_first_write(void **unused)
{
	const struct timestamp told = { 1000, 5 }, now = { 1000, 6 }, earlier = { 1000, 4 };
	struct file *f;
	struct file_attr attr;

	(void)unused;
	pthread_mutex_lock(&kit.lock);
	kit.row[1].mtime = kit.row[1].ctime = told;
	pthread_mutex_unlock(&kit.lock);
	f = kit_get(&kit, 1);
	assert_int_equal(file_truncate(f, 10, &now), 0);
	file_attr(f, &attr);
	assert_int_equal(attr.mtime.nsec, 5);
	/* A row may be newer than what the kernel sends for good. */
	file_set_times(f, &earlier, &earlier);
	file_attr(f, &attr);
	assert_int_equal(attr.mtime.nsec, 4);
	assert_int_equal(kit_flush(f), 0);
	assert_true(kit_publish(&kit));
	file_put(f);
}

static void one_time_alone_leaves_the_other_to_the_row(void **unused)
{
	const struct timestamp t = { 42, 1 };
	struct file *f = kit_get(&kit, 1);
	struct file_attr attr;
	struct publication *p;
	size_t n;

	(void)unused;
	file_set_times(f, NULL, &t);
	file_attr(f, &attr);
	assert_false(attr.dirty || attr.times);
	/* The kernel keeps the times: there is content, but nobody knows its mtime here. */
	assert_int_equal(file_truncate(f, 1, NULL), 0);
	file_set_times(f, NULL, &t);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(n, 1);
	assert_false(p[0].times);
	files_published(kit.files, true);
	file_put(f);
}

/* The flusher that told who waited may still hold it for a moment. */
static void await_gone(uint64_t ino)
{
	struct file *f;

	for (int ms = 0; (f = file_find(kit.files, ino)) && ms < 10000; ms++) {
		file_put(f);
		usleep(1000);
	}
	assert_null(f);
}

static void a_commit_that_failed_publishes_all_again(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct publication *p;
	size_t n;

	(void)unused;
	assert_int_equal(put(f, 0, 100), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	files_published(kit.files, false);
	file_put(f);
	/* Nobody holds it, but what it has is nowhere else. */
	f = file_find(kit.files, 1);
	assert_non_null(f);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(n, 1);
	files_published(kit.files, true);
	file_put(f);
	await_gone(1);
}

static void no_commit_is_ready_without_what_must_be_in_it(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct publication *p;
	size_t n;

	(void)unused;
	/* Clean and published: there is nothing to wait for. */
	file_must_publish(f);
	assert_true(files_ready(kit.files));
	fakedht_hold(kit.dht);
	assert_int_equal(put(f, 0, 100), 0);
	file_must_publish(f);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_false(files_ready(kit.files));
	files_published(kit.files, false);
	fakedht_go(kit.dht);
	files_flush_must(kit.files);
	assert_false(files_ready(kit.files));
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(n, 1);
	/* What is written now is not of that moment. */
	assert_int_equal(put(f, 100, 100), 0);
	assert_true(files_ready(kit.files));
	files_published(kit.files, true);
	assert_true(files_ready(kit.files));
	file_put(f);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 200);
}

static void a_file_that_lost_its_base_keeps_no_other_from_a_commit(void **unused)
{
	struct file *f = kit_get(&kit, 1), *new = kit_get(&kit, 2);
	struct publication *p;
	size_t n;

	(void)unused;
	assert_int_equal(put(f, 0, 100000), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_true(kit_publish(&kit));
	/* A change that needs what was there before, which nobody can read. */
	fakedht_fail(kit.dht, 0, -EBADMSG);
	cache_trim(kit.cache, 0);
	assert_int_equal(put(f, 50000, 10), 0);
	file_must_publish(f);
	assert_true(files_flush_must(kit.files) < 0);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_true(files_ready(kit.files));
	files_published(kit.files, true);
	assert_int_equal(row_size(1), 100000);
	/* A new file that could not be stored would be empty. */
	fakedht_fail(kit.dht, -EIO, 0);
	assert_int_equal(put(new, 0, 10), 0);
	file_must_publish(new);
	assert_true(files_flush_must(kit.files) < 0);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_false(files_ready(kit.files));
	files_published(kit.files, false);
	fakedht_fail(kit.dht, 0, 0);
	assert_int_equal(files_flush_must(kit.files), 0);
	assert_true(kit_publish(&kit));
	file_put(new);
	file_put(f);
}

static void a_file_cut_to_nothing_waits_for_what_is_written_next(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct files_status status;

	(void)unused;
	assert_int_equal(put(f, 0, 100), 0);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	file_opened(f);
	assert_int_equal(file_truncate(f, 0, NULL), 0);
	atomic_store(&kit.changed, 0);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 100);
	/* The checkpoint is to come again for it. */
	assert_int_equal(atomic_load(&kit.changed), 1);
	files_status(kit.files, &status);
	assert_int_equal(status.failed, 0);
	atomic_fetch_add(&kit.now_ms, 5000);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 0);
	/* Closed, it waits no longer. */
	assert_int_equal(put(f, 0, 50), 0);
	assert_int_equal(file_truncate(f, 0, NULL), 0);
	assert_int_equal(put(f, 0, 60), 0);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 0);
	atomic_store(&kit.changed, 0);
	file_closed(f);
	assert_int_equal(atomic_load(&kit.changed), 1);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 60);
	file_put(f);
}

static void *flush_due(void *unused)
{
	(void)unused;
	files_flush_all(kit.files, false);
	return NULL;
}

static void a_file_cut_to_nothing_while_it_is_queued_waits_too(void **unused)
{
	struct file *f = kit_get(&kit, 1), *busy[2] = { kit_get(&kit, 2), kit_get(&kit, 3) };
	pthread_t sweep;

	(void)unused;
	assert_int_equal(put(f, 0, 100), 0);
	files_flush_all(kit.files, false);
	assert_true(kit_publish(&kit));
	fakedht_hold(kit.dht);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(put(busy[i], 0, 10), 0);
	file_opened(f);
	assert_int_equal(put(f, 0, 200), 0);
	assert_int_equal(pthread_create(&sweep, NULL, flush_due, NULL), 0);
	/* Both flushers have work, and this one waits for its turn. */
	fakedht_await(kit.dht, 2);
	assert_int_equal(file_truncate(f, 0, NULL), 0);
	atomic_store(&kit.changed, 0);
	fakedht_go(kit.dht);
	assert_int_equal(pthread_join(sweep, NULL), 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 100);
	assert_int_equal(atomic_load(&kit.changed), 1);
	assert_int_equal(put(f, 0, 300), 0);
	file_closed(f);
	files_flush_all(kit.files, false);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 300);
	file_put(f);
	for (unsigned int i = 0; i < 2; i++)
		file_put(busy[i]);
}

static void a_file_that_is_written_anew_all_the_time_is_flushed_when_it_is_closed(void **unused)
{
	struct file *f = kit_get(&kit, 1);

	(void)unused;
	assert_int_equal(put(f, 0, 100), 0);
	files_flush_all(kit.files, false);
	assert_true(kit_publish(&kit));
	for (unsigned int i = 1; i < 4; i++) {
		atomic_fetch_add(&kit.now_ms, 1000);
		file_opened(f);
		assert_int_equal(file_truncate(f, 0, NULL), 0);
		assert_int_equal(put(f, 0, 100 + i), 0);
		fakedht_hold(kit.dht);
		file_closed(f);
		fakedht_await(kit.dht, 1);
		/* As if whoever writes it had begun again. */
		file_opened(f);
		assert_int_equal(file_truncate(f, 0, NULL), 0);
		fakedht_go(kit.dht);
		files_flush_all(kit.files, false);
		while (!kit_publish(&kit) || row_size(1) != 100 + i)
			sched_yield();
		file_closed(f);
	}
	file_put(f);
}

static void a_flush_of_all_leaves_none_out_and_says_why_it_failed(void **unused)
{
	struct file *f = kit_get(&kit, 1), *g = kit_get(&kit, 2);

	(void)unused;
	assert_int_equal(put(f, 0, 100), 0);
	assert_int_equal(files_flush_all(kit.files, false), 0);
	assert_true(kit_publish(&kit));
	file_opened(f);
	assert_int_equal(file_truncate(f, 0, NULL), 0);
	assert_int_equal(put(f, 0, 7), 0);
	assert_int_equal(files_flush_all(kit.files, true), 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 7);
	fakedht_fail(kit.dht, -ENOSPC, 0);
	assert_int_equal(put(g, 0, 100), 0);
	assert_int_equal(files_flush_all(kit.files, true), -ENOSPC);
	file_must_publish(g);
	assert_int_equal(files_flush_must(kit.files), -ENOSPC);
	assert_false(files_ready(kit.files));
	fakedht_fail(kit.dht, 0, 0);
	assert_int_equal(files_flush_must(kit.files), 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(2), 100);
	file_closed(f);
	file_put(f);
	file_put(g);
}

static void what_is_discarded_is_not_published(void **unused)
{
	struct file *f = kit_get(&kit, 1), *g = kit_get(&kit, 2), *h = kit_get(&kit, 3);
	struct flushing a, b;
	struct publication *p;
	size_t n;

	(void)unused;
	fakedht_hold(kit.dht);
	assert_int_equal(put(f, 0, 100), 0);
	assert_int_equal(put(g, 0, 100), 0);
	flush_start(&a, g);
	fakedht_await(kit.dht, 1);
	assert_int_equal(put(g, 0, 100), 0);
	flush_start(&b, g);
	file_must_publish(f);
	file_discard(f);
	file_discard(g);
	assert_true(files_ready(kit.files));
	fakedht_go(kit.dht);
	assert_int_equal(flush_await(&a), 0);
	assert_int_equal(flush_await(&b), 0);
	assert_int_equal(put(h, 0, 10), 0);
	assert_int_equal(kit_flush(h), 0);
	file_discard(h);
	assert_int_equal(files_collect(kit.files, &p, &n), 0);
	assert_int_equal(n, 0);
	files_published(kit.files, true);
	file_put(f);
	file_put(g);
	file_put(h);
	for (uint64_t i = 1; i <= 3; i++) {
		/* A flusher may hold it for a moment more. */
		while ((f = file_find(kit.files, i))) {
			file_put(f);
			sched_yield();
		}
	}
}

static void small_files_are_inserted_in_one_call_each(void **unused)
{
	struct fakedht_counts counts;
	struct file *f;

	(void)unused;
	for (uint64_t i = 1; i < KIT_FILES; i++) {
		f = kit_get(&kit, i);
		assert_int_equal(put(f, 0, 4096), 0);
		file_put(f);
	}
	files_flush_all(kit.files, 0);
	fakedht_count(kit.dht, &counts);
	assert_int_equal(counts.inserts, KIT_FILES - 1);
	assert_int_equal(counts.lookups, 0);
	assert_true(kit_publish(&kit));
	for (uint64_t i = 1; i < KIT_FILES; i++)
		assert_int_equal(row_size(i), 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_clean_file_is_flushed_at_once),
		TEST(a_flush_that_comes_during_one_waits_for_the_next),
		TEST(a_failure_is_told_to_all_who_waited_and_the_next_is_tried_again),
		TEST(who_leaves_is_not_told),
		TEST(what_is_flushed_after_collect_belongs_to_the_next),
		TEST(content_size_and_times_are_of_one_moment),
		TEST(times_alone_are_published_too),
		TEST(times_that_come_late_are_nothing),
		TEST(times_that_came_before_their_write_stay),
		TEST(times_of_the_row_came_before_the_first_write),
		TEST(one_time_alone_leaves_the_other_to_the_row),
		TEST(a_commit_that_failed_publishes_all_again),
		TEST(no_commit_is_ready_without_what_must_be_in_it),
		TEST(a_file_that_lost_its_base_keeps_no_other_from_a_commit),
		TEST(a_file_cut_to_nothing_waits_for_what_is_written_next),
		TEST(a_file_cut_to_nothing_while_it_is_queued_waits_too),
		TEST(a_file_that_is_written_anew_all_the_time_is_flushed_when_it_is_closed),
		TEST(a_flush_of_all_leaves_none_out_and_says_why_it_failed),
		TEST(what_is_discarded_is_not_published),
		TEST(small_files_are_inserted_in_one_call_each),
	};

	return suite_run(tests);
}
