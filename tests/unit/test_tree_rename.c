/* tree_rename: what may be renamed to what, in the order of Linux' errors, and what it leaves. */
#include "tree_test.h"

static struct inode moved, gone;

static int mv(uint64_t d1, const char *n1, uint64_t d2, const char *n2)
{
	return tree_rename(t, d1, n1, d2, n2, 0, at(900), &moved, &gone);
}

static int swap(uint64_t d1, const char *n1, uint64_t d2, const char *n2)
{
	return tree_rename(t, d1, n1, d2, n2, RENAME_EXCHANGE, at(900), &moved, &gone);
}

static void a_file_moves_with_its_number_and_all_clocks_tick(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE), b = make(TREE_ROOT, "b", DIR_MODE);
	uint64_t f = make(a, "f", FILE_MODE);

	(void)state;
	assert_int_equal(mv(a, "f", b, "g"), 0);
	assert_int_equal(moved.ino, f);
	assert_int_equal(gone.ino, 0);
	assert_int_equal(find(a, "f"), 0);
	assert_int_equal(find(b, "g"), f);
	assert_int_equal(get(f).parent, b);
	assert_int_equal(get(f).ctime.sec, 900);
	assert_int_equal(get(f).mtime.sec, 100);
	assert_int_equal(get(a).mtime.sec, 900);
	assert_int_equal(get(b).ctime.sec, 900);
	assert_int_equal(get(a).size, 0);
	assert_int_equal(get(b).size, 1);
}

static void what_is_replaced_is_an_orphan(void **state)
{
	uint64_t f = make(TREE_ROOT, "f", FILE_MODE), g = make(TREE_ROOT, "g", FILE_MODE);
	struct tree_name before, after;

	(void)state;
	assert_int_equal(tree_readdir(t, TREE_ROOT, g - 1, 1, &before, NULL), 1);
	assert_int_equal(mv(TREE_ROOT, "f", TREE_ROOT, "g"), 0);
	assert_int_equal(gone.ino, g);
	assert_int_equal(gone.nlink, 0);
	assert_true(tree_is_orphan(t, g));
	assert_int_equal(find(TREE_ROOT, "g"), f);
	assert_int_equal(get(TREE_ROOT).size, 1);
	/* The name that was there keeps its place in a listing. */
	assert_int_equal(tree_readdir(t, TREE_ROOT, 0, 1, &after, NULL), 1);
	assert_int_equal(after.cookie, before.cookie);
	assert_int_equal(after.ino, f);
}

static void a_replaced_file_with_other_names_lives_on(void **state)
{
	uint64_t f = make(TREE_ROOT, "f", FILE_MODE), g = make(TREE_ROOT, "g", FILE_MODE);
	struct inode i;

	(void)state;
	assert_int_equal(tree_link(t, g, TREE_ROOT, "h", at(5), &i), 0);
	assert_int_equal(mv(TREE_ROOT, "f", TREE_ROOT, "g"), 0);
	assert_int_equal(gone.nlink, 1);
	assert_false(tree_is_orphan(t, g));
	assert_int_equal(get(g).ctime.sec, 900);
	assert_int_equal(find(TREE_ROOT, "g"), f);
	assert_int_equal(find(TREE_ROOT, "h"), g);
}

static void two_names_of_one_inode_stay(void **state)
{
	uint64_t f = make(TREE_ROOT, "f", FILE_MODE);
	struct inode i;

	(void)state;
	assert_int_equal(tree_link(t, f, TREE_ROOT, "g", at(5), &i), 0);
	assert_int_equal(mv(TREE_ROOT, "f", TREE_ROOT, "g"), 0);
	assert_int_equal(moved.ino, f);
	assert_int_equal(gone.ino, 0);
	assert_int_equal(find(TREE_ROOT, "f"), f);
	assert_int_equal(find(TREE_ROOT, "g"), f);
	assert_int_equal(get(f).ctime.sec, 5);
	assert_int_equal(swap(TREE_ROOT, "f", TREE_ROOT, "g"), 0);
	assert_int_equal(mv(TREE_ROOT, "f", TREE_ROOT, "f"), 0);
	assert_int_equal(get(f).nlink, 2);
	assert_int_equal(tree_rename(t, TREE_ROOT, "f", TREE_ROOT, "g", RENAME_NOREPLACE, at(9),
	    &moved, &gone), -EEXIST);
}

static void only_like_replaces_like(void **state)
{
	uint64_t dir = make(TREE_ROOT, "dir", DIR_MODE);

	(void)state;
	make(TREE_ROOT, "empty", DIR_MODE);
	make(TREE_ROOT, "file", FILE_MODE);
	make(dir, "x", FILE_MODE);
	assert_int_equal(mv(TREE_ROOT, "dir", TREE_ROOT, "file"), -ENOTDIR);
	assert_int_equal(mv(TREE_ROOT, "file", TREE_ROOT, "dir"), -EISDIR);
	assert_int_equal(mv(TREE_ROOT, "empty", TREE_ROOT, "dir"), -ENOTEMPTY);
	assert_int_equal(mv(TREE_ROOT, "none", TREE_ROOT, "dir"), -ENOENT);
	assert_int_equal(mv(TREE_ROOT, "file", 12345, "dir"), -ENOENT);
	assert_int_equal(mv(TREE_ROOT, "file", find(TREE_ROOT, "file"), "dir"), -ENOTDIR);
	assert_int_equal(mv(TREE_ROOT, "dir", TREE_ROOT, "empty"), 0);
	assert_int_equal(get(TREE_ROOT).nlink, 3);
	assert_int_equal(get(TREE_ROOT).size, 2);
	assert_int_equal(gone.nlink, 0);
	assert_int_equal(find(TREE_ROOT, "empty"), dir);
}

static void no_directory_goes_into_itself(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE), b = make(a, "b", DIR_MODE), c = make(b, "c", DIR_MODE);

	(void)state;
	make(c, "file", FILE_MODE);
	assert_int_equal(mv(TREE_ROOT, "a", a, "x"), -EINVAL);
	assert_int_equal(mv(TREE_ROOT, "a", c, "x"), -EINVAL);
	assert_int_equal(mv(TREE_ROOT, "a", c, "file"), -EINVAL);
	assert_int_equal(swap(TREE_ROOT, "a", b, "c"), -EINVAL);
	assert_int_equal(swap(b, "c", TREE_ROOT, "a"), -EINVAL);
	/* Linux looks whether the target holds the source before it looks at types. */
	assert_int_equal(mv(b, "c", TREE_ROOT, "a"), -ENOTEMPTY);
	assert_int_equal(mv(c, "file", a, "b"), -ENOTEMPTY);
	assert_int_equal(swap(c, "file", a, "b"), -EINVAL);
	assert_int_equal(find(b, "c"), c);
}

static void directories_move_between_parents(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE), b = make(TREE_ROOT, "b", DIR_MODE);
	uint64_t d = make(a, "d", DIR_MODE), e = make(b, "e", DIR_MODE);

	(void)state;
	assert_int_equal(mv(a, "d", b, "d"), 0);
	assert_int_equal(get(d).parent, b);
	assert_int_equal(get(a).nlink, 2);
	assert_int_equal(get(b).nlink, 4);
	/* Over an empty one: one comes, one goes. */
	assert_int_equal(mv(b, "d", a, "d"), 0);
	make(a, "free", DIR_MODE);
	assert_int_equal(mv(b, "e", a, "free"), 0);
	assert_int_equal(get(e).parent, a);
	assert_int_equal(get(a).nlink, 4);
	assert_int_equal(get(a).size, 2);
	assert_int_equal(get(b).nlink, 2);
	assert_int_equal(get(b).size, 0);
}

static void an_exchange_swaps_everything(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE), b = make(TREE_ROOT, "b", DIR_MODE);
	uint64_t d = make(a, "d", DIR_MODE), f = make(b, "f", FILE_MODE);
	struct inode i;

	(void)state;
	assert_int_equal(tree_link(t, f, TREE_ROOT, "other", at(5), &i), 0);
	assert_int_equal(swap(a, "d", b, "f"), 0);
	assert_int_equal(find(a, "d"), f);
	assert_int_equal(find(b, "f"), d);
	assert_int_equal(get(d).parent, b);
	assert_int_equal(get(a).nlink, 2);
	assert_int_equal(get(b).nlink, 3);
	assert_int_equal(get(a).size, 1);
	assert_int_equal(get(d).ctime.sec, 900);
	assert_int_equal(get(f).ctime.sec, 900);
	assert_int_equal(get(a).mtime.sec, 900);
	assert_int_equal(get(b).mtime.sec, 900);
	assert_int_equal(swap(a, "d", b, "none"), -ENOENT);
	assert_int_equal(swap(a, "none", b, "f"), -ENOENT);
	/* Within one directory; and the link that moved is still found by its inode. */
	assert_int_equal(swap(TREE_ROOT, "a", TREE_ROOT, "b"), 0);
	assert_int_equal(find(TREE_ROOT, "a"), b);
	assert_int_equal(get(TREE_ROOT).nlink, 4);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "other", at(6), &i), 0);
	assert_int_equal(i.parent, a);
}

static void a_whiteout_is_left_where_the_name_was(void **state)
{
	const struct new_inode whiteout = { .mode = S_IFCHR, .uid = 5, .gid = 6, .now = at(900) };
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE), f = make(a, "f", FILE_MODE), left;

	(void)state;
	make(TREE_ROOT, "g", FILE_MODE);
	assert_int_equal(tree_rename_whiteout(t, a, "f", TREE_ROOT, "g", RENAME_NOREPLACE, &whiteout,
	    &moved, &gone), -EEXIST);
	assert_int_equal(tree_rename_whiteout(t, a, "f", TREE_ROOT, "g", RENAME_EXCHANGE, &whiteout,
	    &moved, &gone), -EINVAL);
	assert_int_equal(tree_rename_whiteout(t, a, "f", TREE_ROOT, "g", 0, &whiteout, &moved, &gone), 0);
	assert_int_equal(find(TREE_ROOT, "g"), f);
	left = find(a, "f");
	assert_int_equal(get(left).mode, S_IFCHR);
	assert_int_equal(get(left).uid, 5);
	assert_int_equal(get(left).rdev, 0);
	assert_int_equal(get(left).parent, a);
	assert_int_equal(get(a).size, 1);
	/* Within one directory. */
	assert_int_equal(tree_rename_whiteout(t, TREE_ROOT, "a", TREE_ROOT, "b", 0, &whiteout, &moved,
	    &gone), 0);
	assert_int_equal(find(TREE_ROOT, "b"), a);
	assert_int_equal(get(TREE_ROOT).size, 3);
	assert_int_equal(get(TREE_ROOT).nlink, 3);
	assert_int_equal(get(find(TREE_ROOT, "a")).nlink, 1);
}

static void unknown_flags_are_refused(void **state)
{
	(void)state;
	make(TREE_ROOT, "a", FILE_MODE);
	assert_int_equal(tree_rename(t, TREE_ROOT, "a", TREE_ROOT, "b", RENAME_WHITEOUT, at(9), &moved,
	    &gone), -EINVAL);
	assert_int_equal(tree_rename(t, TREE_ROOT, "a", TREE_ROOT, "b",
	    RENAME_EXCHANGE | RENAME_NOREPLACE, at(9), &moved, &gone), -EINVAL);
	assert_int_equal(tree_rename(t, TREE_ROOT, "a", TREE_ROOT, "b", RENAME_NOREPLACE, at(9),
	    &moved, &gone), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_test_setup, tree_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_moves_with_its_number_and_all_clocks_tick),
		TEST(what_is_replaced_is_an_orphan),
		TEST(a_replaced_file_with_other_names_lives_on),
		TEST(two_names_of_one_inode_stay),
		TEST(only_like_replaces_like),
		TEST(no_directory_goes_into_itself),
		TEST(directories_move_between_parents),
		TEST(an_exchange_swaps_everything),
		TEST(a_whiteout_is_left_where_the_name_was),
		TEST(unknown_flags_are_refused),
	};

	return suite_run(tests);
}
