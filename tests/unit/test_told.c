/* told: what is invalidated, and when links are being subtracted. */
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/told.h"
#include "tests/lib/suite.h"

#define INODES 20000u	/* more than there are slots */

static uint64_t invalidated;	/* the last one */
static unsigned int count;

int fuse_lowlevel_notify_inval_inode(struct fuse_session *session, fuse_ino_t ino, off_t off, off_t len)
{
	(void)session;
	assert_int_equal(off, -1);
	assert_int_equal(len, 0);
	invalidated = ino;
	count++;
	return 0;
}

static unsigned int sent_by_a_change(struct told *t, uint64_t ino)
{
	unsigned int before = count;

	told_changed(t, NULL, ino);
	if (count > before)
		assert_int_equal(invalidated, ino);
	return count - before;
}

static void a_change_is_invalidated_once_after_what_was_told(void **unused)
{
	struct told *t = told_new();

	(void)unused;
	assert_non_null(t);
	told_soon(t, 7);
	assert_int_equal(sent_by_a_change(t, 7), 1);
	assert_int_equal(sent_by_a_change(t, 7), 0);
	told_soon(t, 8);
	assert_int_equal(sent_by_a_change(t, 7), 0);
	told_soon(t, 7);
	assert_int_equal(sent_by_a_change(t, 7), 1);
	assert_int_equal(sent_by_a_change(t, 8), 1);
	told_free(t);
}

static void what_was_told_is_invalidated_whatever_else_was(void **unused)
{
	struct told *t = told_new();

	(void)unused;
	assert_non_null(t);
	told_soon(t, 7);
	for (uint64_t ino = 8; ino < INODES; ino++)
		sent_by_a_change(t, ino);
	assert_int_equal(sent_by_a_change(t, 7), 1);
	told_free(t);
	told_free(NULL);
}

static void links_are_being_subtracted_while_a_name_goes_and_after_that(void **unused)
{
	struct told *t = told_new();

	(void)unused;
	assert_non_null(t);
	assert_false(told_subtracts(t, 7));
	told_removing(t);
	assert_true(told_subtracts(t, 7));
	told_removing(t);
	told_removed(t, 8);
	assert_true(told_subtracts(t, 7));
	told_removed(t, 0);
	assert_false(told_subtracts(t, 7));
	assert_true(told_subtracts(t, 8));
	told_removing(t);
	told_removed(t, 7);
	assert_true(told_subtracts(t, 7));
	assert_true(told_subtracts(t, 8));
	told_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_is_invalidated_once_after_what_was_told),
		cmocka_unit_test(what_was_told_is_invalidated_whatever_else_was),
		cmocka_unit_test(links_are_being_subtracted_while_a_name_goes_and_after_that),
	};

	return suite_run(tests);
}
