/*
 * tree: a full disk, a commit that fails, and what a transaction costs.  The disk is full where
 * RLIMIT_FSIZE says.
 */
#include "tree_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "fs/tree_internal.h"

static void limit_file(uint64_t size)
{
	struct rlimit l;

	getrlimit(RLIMIT_FSIZE, &l);
	l.rlim_cur = size ? size : l.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static uint64_t file_size(void)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof path, "%s/" TREE_FILE, tree_dir);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static int create_numbered(unsigned int k, struct inode *i)
{
	struct new_inode n = { .mode = FILE_MODE, .now = at(100) };
	char name[32];

	snprintf(name, sizeof name, "file-%08x", k * 2654435761u);
	return tree_create(t, TREE_ROOT, name, &n, 0, i);
}

static int unlink_numbered(unsigned int k)
{
	struct inode i;
	char name[32];
	int rc;

	snprintf(name, sizeof name, "file-%08x", k * 2654435761u);
	rc = tree_unlink(t, TREE_ROOT, name, at(5), &i);
	if (rc == 0)
		tree_forget(t, i.ino);
	return rc;
}

static void a_full_disk_is_told_before_anything_changes(void **state)
{
	unsigned int n = 0, pages;
	struct inode i;
	int rc;

	(void)state;
	make(TREE_ROOT, "first", FILE_MODE);
	limit_file(file_size() + (8 << 20));
	while ((rc = create_numbered(n, &i)) == 0)
		n++;
	assert_int_equal(rc, -ENOSPC);
	assert_true(n > 1000);
	assert_int_equal(create_numbered(n, &i), -ENOSPC);
	tree_dirty(t, &pages);
	assert_true(pages >= TREE_PAGES_MAX);
	/* It can be committed, and what frees space goes on. */
	tree_test_commit();
	for (unsigned int k = 0; k < n; k++) {
		assert_int_equal(unlink_numbered(k), 0);
		if (k % 200 == 0)
			tree_test_commit();
	}
	/* What was freed by one commit can be used after the next. */
	for (unsigned int k = 0; k < 3; k++) {
		tree_test_commit();
		assert_int_equal(tree_set_xattr(t, TREE_ROOT, "user.x", &k, 1, 0, at(5)), 0);
	}
	assert_int_equal(create_numbered(n, &i), 0);
	tree_test_commit();
	limit_file(0);
	tree_test_reopen();
	assert_int_equal(get(TREE_ROOT).size, 2);
}

static void a_full_disk_is_opened_with_its_orphans(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), size;
	char path[96];
	struct inode i;

	(void)state;
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(5), &i), 0);
	tree_test_commit();
	size = t->used * t->page_size;
	tree_close(t);
	snprintf(path, sizeof path, "%s/" TREE_FILE, tree_dir);
	assert_int_equal(truncate(path, (off_t)size), 0);
	limit_file(size);
	tree_test_open();
	assert_true(tree_is_orphan(t, a));
	limit_file(0);
	tree_test_reopen();
	assert_false(tree_is_orphan(t, a));
}

static void assert_has_both(uint64_t a, uint64_t b)
{
	struct tree_name names[3];

	assert_false(tree_failed(t));
	assert_int_equal(find(TREE_ROOT, "a"), a);
	assert_int_equal(find(TREE_ROOT, "b"), b);
	assert_int_equal(tree_readdir(t, TREE_ROOT, 0, 3, names, NULL), 2);
	assert_int_equal(get(TREE_ROOT).size, 2);
}

static void a_commit_that_fails_loses_nothing(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), b, gone = make(TREE_ROOT, "gone", FILE_MODE);
	struct inode i;

	(void)state;
	tree_test_commit();
	b = make(TREE_ROOT, "b", FILE_MODE);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "gone", at(5), &i), 0);
	limit_file(4096);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(tree_commit(t, NULL, NULL, NULL), -EIO);
		assert_has_both(a, b);
		assert_true(tree_dirty(t, NULL));
		assert_true(tree_is_orphan(t, gone));
		tree_set_attr(t, b, &(struct inode){ .mode = 0600 + (uint32_t)k }, SET_MODE, &i);
	}
	limit_file(0);
	tree_test_commit();
	assert_false(tree_dirty(t, NULL));
	tree_test_reopen();
	assert_has_both(a, b);
	assert_int_equal(get(b).mode & 07777, 0602);
	assert_int_equal(tree_get(t, gone, &i), -ENOENT);
}

/* While nothing can be committed, memory has a bound, and what is refused is told why. */
static void commits_that_go_on_failing_bound_what_is_changed(void **state)
{
	unsigned int n = 0, pages;
	struct inode i;
	int rc;

	(void)state;
	assert_int_equal(create_numbered(n++, &i), 0);
	limit_file(4096);
	assert_int_equal(tree_commit(t, NULL, NULL, NULL), -EIO);
	limit_file(1 << 30);
	while ((rc = create_numbered(n, &i)) == 0)
		n++;
	assert_int_equal(rc, -EIO);
	tree_dirty(t, &pages);
	assert_in_range(pages, TREE_PAGES_MAX, TREE_PAGES_MAX + TREE_PAGES_MAX / 2);
	for (unsigned int k = 0; k < 10; k++)
		assert_int_equal(unlink_numbered(k), 0);
	limit_file(0);
	tree_test_commit();
	assert_int_equal(create_numbered(n, &i), 0);
	tree_test_reopen();
	assert_int_equal(get(TREE_ROOT).size, n - 10);
}

/* The descriptor through which LMDB writes its meta pages. */
static int meta_fd(void)
{
	char path[96], link[64], target[128];

	snprintf(path, sizeof path, "%s/" TREE_FILE, tree_dir);
	for (int fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof target - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, path) == 0 && (fcntl(fd, F_GETFL) & O_DSYNC))
			return fd;
	}
	return -1;
}

/* After that LMDB begins no transaction any more, not even one that reads. */
static void one_that_fails_at_its_very_end_loses_nothing_either(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), b;
	int fd, null;

	(void)state;
	tree_test_commit();
	b = make(TREE_ROOT, "b", FILE_MODE);
	fd = meta_fd();
	assert_true(fd >= 0);
	null = open("/dev/null", O_RDONLY);
	assert_int_equal(dup2(null, fd), fd);
	close(null);
	assert_int_equal(tree_commit(t, NULL, NULL, NULL), -EIO);
	assert_has_both(a, b);
	tree_test_commit();
	tree_test_reopen();
	assert_has_both(a, b);
}

/* A record that is not there where another says so: only damage can do that. */
static void an_operation_that_fails_half_way_is_undone(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), b;
	struct key key = key_of2(TREE_ROOT, a);
	struct inode i;

	(void)state;
	tree_test_commit();
	tree_start(t);
	assert_int_equal(tree_delete(t, COOKIES, &key), 0);
	assert_int_equal(tree_finish(t, 0), 0);
	b = make(TREE_ROOT, "b", FILE_MODE);
	assert_int_equal(tree_link(t, a, TREE_ROOT, "c", at(5), &i), -EIO);
	assert_int_equal(find(TREE_ROOT, "c"), 0);
	assert_int_equal(get(TREE_ROOT).size, 2);
	assert_int_equal(get(a).nlink, 1);
	tree_test_commit();
	tree_test_reopen();
	assert_int_equal(find(TREE_ROOT, "b"), b);
	assert_int_equal(find(TREE_ROOT, "c"), 0);
}

static long rss_anon_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static void a_transaction_takes_the_memory_it_says(void **state)
{
	long before = rss_anon_kib(), grown;
	unsigned int pages = 0, n = 0, commits = 0;
	struct inode i;

	(void)state;
	while (commits < 2) {
		assert_int_equal(create_numbered(n++, &i), 0);
		if (n % 64)
			continue;
		tree_dirty(t, &pages);
		if (pages >= TREE_PAGES_MAX) {
			tree_test_commit();
			commits++;
		}
	}
	grown = rss_anon_kib() - before;
	print_message("%u creates, %ld KiB\n", n, grown);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(grown > (long)TREE_PAGES_MAX * 4 / 2 && grown < 40 * 1024);
#endif
}

static void coming_and_going_costs_no_pages(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct inode i;

	(void)state;
	for (unsigned int k = 0; k < 2000; k++) {
		make(TREE_ROOT, "l", S_IFLNK | 0777);
		assert_int_equal(tree_unlink(t, TREE_ROOT, "l", at(5), &i), 0);
		tree_forget(t, i.ino);
		assert_int_equal(tree_set_xattr(t, a, "user.x", "y", 1, 0, at(5)), 0);
		assert_int_equal(tree_remove_xattr(t, a, "user.x", at(5)), 0);
	}
	tree_test_commit();
	assert_true(t->used < 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_test_setup, tree_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_disk_is_told_before_anything_changes),
		TEST(a_full_disk_is_opened_with_its_orphans),
		TEST(a_commit_that_fails_loses_nothing),
		TEST(commits_that_go_on_failing_bound_what_is_changed),
		TEST(one_that_fails_at_its_very_end_loses_nothing_either),
		TEST(an_operation_that_fails_half_way_is_undone),
		TEST(a_transaction_takes_the_memory_it_says),
		TEST(coming_and_going_costs_no_pages),
	};

	signal(SIGXFSZ, SIG_IGN);
	return suite_run(tests);
}
