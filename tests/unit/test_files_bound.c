/*
 * files: the bound and its queue.  Every order of events is forced by holding the fake dht back.
 */
#include "tests/unit/files_test.h"

#include <sched.h>

/* A writer that waits in line, and notes when it is called. */
struct waiter {
	struct room_waiter w;
	struct file *file;
	struct chunk *data;
	int result;
	unsigned int turn;
	sem_t done;
};

static atomic_uint turns;

static void waiter_ready(struct room_waiter *rw)
{
	struct waiter *w = (struct waiter *)rw;

	w->result = file_write(w->file, 0, w->data, NULL);
	if (w->result == -EAGAIN) {
		files_wait_room(kit.files, &w->w);
		return;
	}
	w->turn = atomic_fetch_add(&turns, 1);
	sem_post(&w->done);
}

static void waiter_start(struct waiter *w, struct file *f, size_t len)
{
	*w = (struct waiter){ .w = { .ready = waiter_ready }, .file = f, .data = noise(len) };
	sem_init(&w->done, 0, 0);
	files_wait_room(kit.files, &w->w);
}

static void at_the_bound_writers_wait_in_line_and_are_called_in_order(void **unused)
{
	struct file *f[5];
	struct waiter w[4];
	struct files_status status;
	uint64_t off = 0;
	int rc;

	(void)unused;
	/* One flusher, so that the order is that of the calls. */
	kit_close(&kit);
	kit_open(&kit, 1 << 20, 1);
	atomic_store(&turns, 0);
	fakedht_hold(kit.dht);
	for (unsigned int i = 0; i < 5; i++)
		f[i] = kit_get(&kit, i + 1);
	while ((rc = put(f[0], off, 64 << 10)) == 0)
		off += 64 << 10;
	assert_int_equal(rc, -EAGAIN);
	files_status(kit.files, &status);
	assert_in_range(status.dirty_bytes, (1 << 20) - (65 << 10), 1 << 20);
	for (unsigned int i = 0; i < 4; i++)
		waiter_start(&w[i], f[i + 1], 64 << 10);
	assert_true(files_leave_room(kit.files, &w[2].w));
	assert_false(files_leave_room(kit.files, &w[2].w));
	fakedht_go(kit.dht);
	for (unsigned int i = 0; i < 4; i++) {
		if (i == 2)
			continue;
		sem_wait(&w[i].done);
		assert_int_equal(w[i].result, 0);
		assert_int_equal(w[i].turn, i < 2 ? i : 2);
	}
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), off);
	assert_int_equal(row_size(2), 64 << 10);
	for (unsigned int i = 0; i < 4; i++)
		chunk_drop(w[i].data);
	for (unsigned int i = 0; i < 5; i++)
		file_put(f[i]);
}

static void at_the_bound_writers_get_the_error_when_nothing_can_be_flushed(void **unused)
{
	struct file *f = kit_get(&kit, 1), *g = kit_get(&kit, 2);
	struct waiter w;
	uint64_t off = 0;
	int rc;

	(void)unused;
	fakedht_hold(kit.dht);
	fakedht_fail(kit.dht, -ENOSPC, 0);
	while ((rc = put(f, off, 64 << 10)) == 0)
		off += 64 << 10;
	assert_int_equal(rc, -EAGAIN);
	waiter_start(&w, g, 64 << 10);
	fakedht_go(kit.dht);
	sem_wait(&w.done);
	assert_int_equal(w.result, -ENOSPC);
	/* And again can write when there is room again. */
	fakedht_fail(kit.dht, 0, 0);
	files_flush_all(kit.files, 0);
	assert_int_equal(put(g, 0, 64 << 10), 0);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), off);
	chunk_drop(w.data);
	file_put(f);
	file_put(g);
}

static void a_write_that_the_set_has_no_space_for_fails_at_once(void **unused)
{
	struct file *f = kit_get(&kit, 1);
	struct fakedht_counts counts;

	(void)unused;
	fakedht_hold(kit.dht);
	fakedht_space(kit.dht, 100000);
	assert_int_equal(put(f, 0, 60000), 0);
	assert_int_equal(put(f, 60000, 60000), -ENOSPC);
	/* Written over, it takes no more; but both may be needed for a moment. */
	assert_int_equal(put(f, 0, 30000), 0);
	fakedht_count(kit.dht, &counts);
	assert_int_equal(counts.reserved, 60000);
	assert_int_equal(file_truncate(f, 1000, NULL), 0);
	fakedht_count(kit.dht, &counts);
	assert_int_equal(counts.reserved, 1000);
	fakedht_go(kit.dht);
	assert_int_equal(kit_flush(f), 0);
	fakedht_count(kit.dht, &counts);
	assert_int_equal(counts.reserved, 0);
	file_put(f);
}

static void a_write_larger_than_the_bound_gets_in_where_nothing_is_dirty(void **unused)
{
	struct file *f = kit_get(&kit, 1);

	(void)unused;
	fakedht_hold(kit.dht);
	assert_int_equal(put(f, 0, 2 << 20), 0);
	assert_int_equal(put(f, 2 << 20, 1), -EAGAIN);
	fakedht_go(kit.dht);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(kit_write(&kit, f, 2 << 20, "x", 1), 0);
	file_put(f);
}

static sem_t entered, leave;

static void blocking_done(struct file_flush *w, int result)
{
	(void)w;
	(void)result;
	sem_post(&entered);
	sem_wait(&leave);
}

static void what_must_be_in_it_is_flushed_though_all_flushers_wait(void **unused)
{
	struct file_flush w[2] = { { .done = blocking_done }, { .done = blocking_done } };
	struct file *f = kit_get(&kit, 1), *g[2];

	(void)unused;
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	for (unsigned int i = 0; i < 2; i++) {
		g[i] = kit_get(&kit, i + 2);
		assert_int_equal(put(g[i], 0, 10), 0);
		w[i].file = g[i];
		file_flush(&w[i]);
		sem_wait(&entered);
	}
	assert_int_equal(put(f, 0, 100), 0);
	file_must_publish(f);
	files_flush_must(kit.files);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), 100);
	sem_post(&leave);
	sem_post(&leave);
	for (unsigned int i = 0; i < 2; i++)
		file_put(g[i]);
	file_put(f);
}

static void *flush_must(void *unused)
{
	(void)unused;
	files_flush_must(kit.files);
	return NULL;
}

static void a_writer_is_called_though_no_flusher_made_the_room(void **unused)
{
	struct file_flush block = { .done = blocking_done };
	struct timespec limit;
	struct file *f, *g;
	struct waiter w;
	pthread_t thread;
	uint64_t off = 10;

	(void)unused;
	kit_close(&kit);
	kit_open(&kit, 1 << 20, 1);
	f = kit_get(&kit, 1);
	g = kit_get(&kit, 2);
	assert_int_equal(put(f, 0, 10), 0);
	assert_int_equal(kit_flush(f), 0);
	file_must_publish(f);
	/* The one flusher is kept from it. */
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	assert_int_equal(put(g, 0, 10), 0);
	block.file = g;
	file_flush(&block);
	sem_wait(&entered);
	while (put(f, off, 64 << 10) == 0)
		off += 64 << 10;
	fakedht_hold(kit.dht);
	assert_int_equal(pthread_create(&thread, NULL, flush_must, NULL), 0);
	fakedht_await(kit.dht, 1);
	waiter_start(&w, g, 64 << 10);
	sem_post(&leave);
	while (atomic_load(&kit.files->idle) == 0)
		sched_yield();
	fakedht_go(kit.dht);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 10;
	assert_int_equal(sem_timedwait(&w.done, &limit), 0);
	assert_int_equal(w.result, 0);
	pthread_join(thread, NULL);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	assert_int_equal(row_size(1), off);
	chunk_drop(w.data);
	file_put(f);
	file_put(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(at_the_bound_writers_wait_in_line_and_are_called_in_order),
		TEST(at_the_bound_writers_get_the_error_when_nothing_can_be_flushed),
		TEST(a_write_that_the_set_has_no_space_for_fails_at_once),
		TEST(a_write_larger_than_the_bound_gets_in_where_nothing_is_dirty),
		TEST(what_must_be_in_it_is_flushed_though_all_flushers_wait),
		TEST(a_writer_is_called_though_no_flusher_made_the_room),
	};

	return suite_run(tests);
}
