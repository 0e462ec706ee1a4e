/*
 * checkpoint: what it commits and when, over a real tree and a set whose operations the test
 * holds back, lets go and makes fail.
 */
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/tree_test.h"

#include "fs/checkpoint.h"
#include "fs/tree_internal.h"
#include "tests/lib/fakedht.h"

static struct dht *set;
static struct cache *cache;
static struct files *files;
static struct checkpoint *c;

static int load(void *arg, uint64_t ino, struct inode *out)
{
	(void)arg;
	return tree_get(t, ino, out);
}

static void changed(void *arg)
{
	(void)arg;
	checkpoint_due(c);
}

static int setup(void **state)
{
	struct files_options o = {
		.dirty_max = 1 << 24, .flushers = 2, .load = load, .changed = changed,
	};
	char why[512];

	(void)state;
	if (tree_test_mkdir() < 0 || tree_open(tree_dir, false, &t, why, sizeof(why)) != 0)
		return -1;
	set = fakedht_new(2);
	cache = cache_new(1 << 20);
	o.dht = set;
	o.cache = cache;
	if (!set || !cache || files_new(&o, &files) != 0)
		return -1;
	return checkpoint_start(t, files, set, NULL, &c);
}

static int teardown(void **state)
{
	if (c)
		checkpoint_stop(c);
	c = NULL;
	files_free(files);
	fakedht_free(set);
	cache_free(cache);
	return tree_test_teardown(state);
}

struct waiting {
	struct checkpoint_waiter w;
	sem_t done;
	int result;
};

static void done(struct checkpoint_waiter *cw, int result)
{
	struct waiting *w = (struct waiting *)cw;

	w->result = result;
	sem_post(&w->done);
}

static void start(struct waiting *w, bool all)
{
	*w = (struct waiting){ .w = { .done = done, .all = all }, .result = 1 };
	sem_init(&w->done, 0, 0);
	checkpoint_wait(c, &w->w);
}

static int finish(struct waiting *w)
{
	sem_wait(&w->done);
	sem_destroy(&w->done);
	return w->result;
}

static int wait_for(bool all)
{
	struct waiting w;

	start(&w, all);
	return finish(&w);
}

static struct file *new_file(const char *name)
{
	struct file *f;

	assert_int_equal(file_get(files, make(TREE_ROOT, name, FILE_MODE), &f), 0);
	return f;
}

static void put(struct file *f, const char *text)
{
	const struct timestamp now = at(200);
	struct chunk *chunk = chunk_copy(text, strlen(text));

	assert_non_null(chunk);
	assert_int_equal(file_write(f, 0, chunk, &now), 0);
	chunk_drop(chunk);
}

struct flushing {
	struct file_flush w;
	sem_t done;
	int result;
};

static void flush_done(struct file_flush *fw, int result)
{
	struct flushing *w = fw->user;

	w->result = result;
	sem_post(&w->done);
}

static int flush(struct file *f)
{
	struct flushing w = { .w = { .file = f, .done = flush_done, .user = &w } };

	sem_init(&w.done, 0, 0);
	file_flush(&w.w);
	sem_wait(&w.done);
	sem_destroy(&w.done);
	return w.result;
}

/* The inode of that name in the last checkpoint; ino 0: there is none. */
static struct inode committed(const char *name)
{
	struct inode i = { .ino = 0 };
	struct tree_reader *r;
	int rc = tree_reader_open(t, &r);

	assert_int_equal(rc, 0);
	rc = tree_reader_lookup(r, TREE_ROOT, name, strlen(name), &i);
	assert_true(rc == 0 || rc == -ENOENT);
	tree_reader_close(r);
	return i;
}

static void a_row_refers_only_to_what_is_on_stable_storage(void **state)
{
	struct file *f = new_file("a");
	struct fakedht_counts counts;
	struct waiting w;

	(void)state;
	put(f, "twelve bytes");
	assert_int_equal(flush(f), 0);
	fakedht_count(set, &counts);
	fakedht_hold(set);
	start(&w, false);
	fakedht_await(set, 1);
	assert_int_equal(committed("a").ino, 0);
	fakedht_go(set);
	assert_int_equal(finish(&w), 0);
	fakedht_count(set, &counts);
	assert_int_equal(counts.syncs, 1);
	assert_int_equal(committed("a").size, 12);
	assert_int_equal(committed("a").mtime.sec, 200);
	file_put(f);
}

static void who_comes_while_one_is_made_waits_for_the_next(void **state)
{
	struct waiting first, second;

	(void)state;
	make(TREE_ROOT, "a", DIR_MODE);
	fakedht_hold(set);
	start(&first, false);
	fakedht_await(set, 1);
	start(&second, false);
	fakedht_let(set, 1);
	assert_int_equal(finish(&first), 0);
	assert_int_not_equal(committed("a").ino, 0);
	make(TREE_ROOT, "b", DIR_MODE);
	fakedht_go(set);
	assert_int_equal(finish(&second), 0);
	assert_int_equal(wait_for(false), 0);
	assert_int_not_equal(committed("b").ino, 0);
}

static void who_waits_may_leave_before_it_and_while_it_is_made(void **state)
{
	struct waiting first, second;

	(void)state;
	make(TREE_ROOT, "a", DIR_MODE);
	fakedht_hold(set);
	start(&first, false);
	fakedht_await(set, 1);
	start(&second, true);
	assert_true(checkpoint_leave(c, &second.w));
	assert_false(checkpoint_leave(c, &second.w));
	assert_true(checkpoint_leave(c, &first.w));
	fakedht_go(set);
	assert_int_equal(wait_for(false), 0);
	assert_int_equal(first.result, 1);
	assert_int_equal(second.result, 1);
	assert_false(checkpoint_leave(c, &first.w));
}

static void a_rename_over_a_file_is_committed_with_the_content_or_not_at_all(void **state)
{
	struct file *old = new_file("a"), *new = new_file("a.new");
	struct inode moved, gone;
	uint64_t ino;

	(void)state;
	put(old, "old");
	assert_int_equal(wait_for(true), 0);
	ino = committed("a").ino;
	put(new, "new content");
	fakedht_fail(set, -ENOSPC, 0);
	file_must_publish(new);
	assert_int_equal(tree_rename(t, TREE_ROOT, "a.new", TREE_ROOT, "a", 0, at(300), &moved,
	    &gone), 0);
	assert_int_equal(wait_for(false), -ENOSPC);
	assert_int_equal(committed("a").ino, ino);
	assert_int_equal(committed("a").size, 3);
	fakedht_fail(set, 0, 0);
	assert_int_equal(wait_for(false), 0);
	assert_int_equal(committed("a").ino, moved.ino);
	assert_int_equal(committed("a").size, 11);
	file_put(old);
	file_put(new);
}

static void what_can_not_be_flushed_is_told_to_who_asked_for_all(void **state)
{
	struct file *f = new_file("a");
	int unflushed;

	(void)state;
	put(f, "text");
	fakedht_fail(set, -EIO, 0);
	assert_int_equal(checkpoint_now(c, true, &unflushed), 0);
	assert_int_equal(unflushed, -EIO);
	/* Its name is there all the same. */
	assert_int_not_equal(committed("a").ino, 0);
	assert_int_equal(committed("a").size, 0);
	assert_int_equal(wait_for(false), 0);
	fakedht_fail(set, 0, 0);
	assert_int_equal(checkpoint_now(c, true, &unflushed), 0);
	assert_int_equal(unflushed, 0);
	assert_int_equal(committed("a").size, 4);
	file_put(f);
}

static void the_last_one_has_what_others_hold_back(void **state)
{
	struct file *f = new_file("a");
	const struct timestamp now = at(300);
	struct inode i;
	char why[512];

	(void)state;
	put(f, "first");
	assert_int_equal(wait_for(true), 0);
	/* Cut to nothing and still open: left out for some seconds. */
	file_opened(f);
	assert_int_equal(file_truncate(f, 0, &now), 0);
	put(f, "second one");
	assert_int_equal(checkpoint_stop(c), 0);
	c = NULL;
	tree_close(t);
	assert_int_equal(tree_open(tree_dir, true, &t, why, sizeof(why)), 0);
	assert_int_equal(tree_lookup(t, TREE_ROOT, "a", &i), 0);
	assert_int_equal(i.size, 10);
	file_closed(f);
	file_put(f);
}

static void the_end_says_what_could_not_be_flushed(void **state)
{
	struct file *f = new_file("a");

	(void)state;
	put(f, "text");
	fakedht_fail(set, -ENOSPC, 0);
	assert_int_equal(checkpoint_stop(c), -ENOSPC);
	c = NULL;
	file_discard(f);
	file_put(f);
}

/* A commit writes behind the first page, and the system refuses that. */
static void after_a_commit_that_failed_the_next_one_has_it_all(void **state)
{
	struct rlimit was, none;
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE);

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(wait_for(false), -EIO);
	make(a, "b", DIR_MODE);
	assert_int_equal(wait_for(true), -EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(wait_for(false), 0);
	assert_int_equal(checkpoint_stop(c), 0);
	c = NULL;
	tree_test_reopen();
	assert_int_equal(find(TREE_ROOT, "a"), a);
	assert_true(find(a, "b") > 0);
}

/* Damage: a record that is not there where another one says so. */
static void a_change_that_fails_half_way_leaves_the_others(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct key key = key_of2(TREE_ROOT, a);
	struct inode i;

	(void)state;
	tree_start(t);
	assert_int_equal(tree_delete(t, COOKIES, &key), 0);
	assert_int_equal(tree_finish(t, 0), 0);
	assert_int_equal(wait_for(false), 0);
	make(TREE_ROOT, "b", FILE_MODE);
	assert_int_equal(tree_link(t, a, TREE_ROOT, "c", at(5), &i), -EIO);
	assert_int_equal(find(TREE_ROOT, "c"), 0);
	make(TREE_ROOT, "d", FILE_MODE);
	assert_int_equal(checkpoint_stop(c), 0);
	c = NULL;
	tree_test_reopen();
	assert_true(find(TREE_ROOT, "b") > 0);
	assert_int_equal(find(TREE_ROOT, "c"), 0);
	assert_true(find(TREE_ROOT, "d") > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/*
 * A change that fails half-way is mended by the checkpoint's thread alone: it must not wait at the gate for a
 * request that waits for that.
 */
static void *make_inside(void *gate)
{
	make(TREE_ROOT, "inside", FILE_MODE);
	gate_leave(gate);
	return NULL;
}

static void who_is_inside_when_a_change_fails_half_way_gets_out(void **state)
{
	struct gate *gate = gate_new();
	struct waiting w;
	pthread_t inside;
	bool refuse;

	(void)state;
	assert_non_null(gate);
	assert_int_equal(checkpoint_stop(c), 0);
	assert_int_equal(checkpoint_start(t, files, set, gate, &c), 0);
	assert_int_equal(gate_enter(gate, 1, 0, "", 1), 1);
	make(TREE_ROOT, "before", FILE_MODE);
	start(&w, false);
	while (gate_enter(gate, 2, 0, "", 1) == 1) {
		gate_leave(gate);
		sched_yield();
	}
	tree_start(t);
	t->puts++;
	assert_int_equal(tree_finish(t, -EIO), -EIO);
	assert_int_equal(pthread_create(&inside, NULL, make_inside, gate), 0);
	/* It may close a second time only when what was kept is in. */
	free(gate_next(gate, &refuse));
	assert_false(refuse);
	gate_leave(gate);
	pthread_join(inside, NULL);
	assert_int_equal(finish(&w), 0);
	assert_int_equal(checkpoint_stop(c), 0);
	c = NULL;
	gate_free(gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_row_refers_only_to_what_is_on_stable_storage),
		TEST(who_comes_while_one_is_made_waits_for_the_next),
		TEST(who_waits_may_leave_before_it_and_while_it_is_made),
		TEST(a_rename_over_a_file_is_committed_with_the_content_or_not_at_all),
		TEST(what_can_not_be_flushed_is_told_to_who_asked_for_all),
		TEST(the_last_one_has_what_others_hold_back),
		TEST(the_end_says_what_could_not_be_flushed),
		TEST(after_a_commit_that_failed_the_next_one_has_it_all),
		TEST(a_change_that_fails_half_way_leaves_the_others),
		TEST(who_is_inside_when_a_change_fails_half_way_gets_out),
	};

	return suite_run(tests);
}
