/* view: nodes live as long as the kernel, a child or a request knows them, and no longer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view.h"
#include "tests/lib/suite.h"

#define FIRST 100u

static struct view *v;

static int setup(void **state)
{
	const struct view_node root = { .type = VIEW_ROOT, .st = { .st_mode = S_IFDIR | 0500 } };

	(void)state;
	return view_new(FIRST, &root, &v);
}

static int teardown(void **state)
{
	(void)state;
	view_free(v);
	v = NULL;
	return 0;
}

static uint64_t add(uint64_t parent, const char *name)
{
	const struct view_node like = { .type = VIEW_ENTRY, .st = { .st_mode = S_IFDIR | 0755 } };
	struct view_node *p = view_hold(v, parent), *n;
	uint64_t ino;

	assert_non_null(p);
	n = view_add(v, p, name, strlen(name), &like);
	assert_non_null(n);
	ino = n->ino;
	assert_int_equal(n->st.st_ino, ino);
	view_drop(v, n);
	view_drop(v, p);
	return ino;
}

static bool is_there(uint64_t ino)
{
	struct view_node *n = view_hold(v, ino);

	if (n)
		view_drop(v, n);
	return n;
}

static void the_root_stays_whatever_is_forgotten(void **state)
{
	(void)state;
	view_forget(v, FIRST, 1000);
	assert_true(is_there(FIRST));
	assert_int_equal(view_count(v), 1);
}

static void a_node_lives_until_all_its_lookups_are_forgotten(void **state)
{
	uint64_t a = add(FIRST, "a");

	(void)state;
	assert_int_equal(add(FIRST, "a"), a);
	assert_int_equal(add(FIRST, "a"), a);
	view_forget(v, a, 2);
	assert_true(is_there(a));
	view_forget(v, a, 1);
	assert_false(is_there(a));
	view_forget(v, a, 1);
	/* A number is never used again. */
	assert_true(add(FIRST, "a") > a);
}

static void one_entry_in_two_places_is_two_nodes(void **state)
{
	uint64_t a = add(FIRST, "a"), b = add(FIRST, "b");

	(void)state;
	assert_int_not_equal(a, b);
	assert_int_not_equal(add(a, "same"), add(b, "same"));
	assert_int_not_equal(add(a, "same"), add(a, "sam"));
	assert_int_equal(view_count(v), 6);
}

static void parents_stay_for_their_children_and_go_with_the_last(void **state)
{
	uint64_t a = add(FIRST, "a"), b = add(a, "b"), c = add(b, "c");

	(void)state;
	view_forget(v, a, 1);
	view_forget(v, b, 1);
	assert_int_equal(view_count(v), 4);
	assert_true(is_there(a));
	view_forget(v, c, 1);
	assert_int_equal(view_count(v), 1);
}

static void who_holds_a_node_may_use_it_though_it_is_forgotten(void **state)
{
	uint64_t a = add(FIRST, "a");
	struct view_node *n = view_hold(v, a);

	(void)state;
	view_forget(v, a, 1);
	assert_true(S_ISDIR(n->st.st_mode));
	/* Found again before it is let go, it lives on. */
	assert_int_equal(add(FIRST, "a"), a);
	view_drop(v, n);
	assert_true(is_there(a));
	view_forget(v, a, 1);
	assert_false(is_there(a));
}

static void what_a_node_points_to_is_its_own(void **state)
{
	char target[] = "where", xattrs[] = "bytes";
	struct view_node like = {
		.type = VIEW_ENTRY, .target = target, .xattrs = (uint8_t *)xattrs, .xattrs_len = 5,
	};
	struct view_node *root = view_hold(v, FIRST), *n = view_add(v, root, "link", 4, &like);

	(void)state;
	memset(target, 'x', 5);
	memset(xattrs, 'x', 5);
	assert_string_equal(n->target, "where");
	assert_memory_equal(n->xattrs, "bytes", 5);
	view_drop(v, n);
	view_drop(v, root);
}

static void many_are_found_by_number_and_by_name(void **state)
{
	enum { MANY = 5000 };
	static uint64_t ino[MANY];
	char name[16];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ino[i] = add(i < 10 ? FIRST : ino[i % 10], name);
	}
	assert_int_equal(view_count(v), MANY + 1);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(add(i < 10 ? FIRST : ino[i % 10], name), ino[i]);
	}
	for (int i = 0; i < MANY; i++)
		view_forget(v, ino[i], 2);
	assert_int_equal(view_count(v), 1);
}

static void set_id_bits_and_device_numbers_are_not_shown(void **state)
{
	const struct entry e = {
		.mode = S_IFREG | 06755, .uid = 3, .mtime = { 5, 6 }, .size = 1024,
		.ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = 1024 },
	};
	const struct entry device = { .mode = S_IFBLK | 0600, .rdev = UINT64_C(8) << 32 };
	struct view_node n;

	(void)state;
	view_from_entry(&e, &n);
	assert_int_equal(n.st.st_mode, S_IFREG | 0755);
	assert_int_equal(n.st.st_uid, 3);
	assert_int_equal(n.st.st_size, 1024);
	assert_int_equal(n.st.st_mtim.tv_sec, 5);
	view_from_entry(&device, &n);
	assert_int_equal(n.st.st_mode, S_IFBLK | 0600);
	assert_int_equal(n.st.st_rdev, 0);
}

#define ROOT 1u

/* A root with the number ROOT, which says ${size}. */
static void show(off_t size)
{
	const struct view_node like = { .type = VIEW_ENTRY, .st = { .st_mode = S_IFDIR | 0755, .st_size = size } };

	assert_int_equal(view_set_root(v, ROOT, &like), 0);
}

/* A file of ${size} bytes in ${parent}, which is dropped; held. */
static struct view_node *file_in(struct view_node *parent, const char *name, off_t size)
{
	const struct view_node like = { .type = VIEW_ENTRY, .st = { .st_mode = S_IFREG | 0644, .st_size = size } };
	struct view_node *n = view_add(v, parent, name, strlen(name), &like);

	assert_non_null(n);
	view_drop(v, parent);
	return n;
}

static void what_is_the_same_under_a_new_root_keeps_its_node(void **state)
{
	struct view_node *same, *other, *again;

	(void)state;
	show(1);
	same = file_in(view_hold(v, ROOT), "same", 5);
	other = file_in(view_hold(v, ROOT), "other", 5);
	show(2);
	again = file_in(view_hold(v, ROOT), "same", 5);
	assert_ptr_equal(again, same);
	view_drop(v, again);
	again = file_in(view_hold(v, ROOT), "other", 6);
	assert_int_not_equal(again->ino, other->ino);
	assert_true(is_there(other->ino));
	assert_int_equal(other->st.st_size, 5);
	view_drop(v, same);
	view_drop(v, other);
	view_drop(v, again);
}

static void who_has_an_old_root_open_goes_on_in_that_and_disturbs_nobody(void **state)
{
	struct view_node *old, *newer, *n;

	(void)state;
	show(1);
	old = view_hold(v, ROOT);
	show(2);
	newer = file_in(view_hold(v, ROOT), "name", 6);
	view_hold_again(v, old);
	n = file_in(old, "name", 5);
	assert_int_equal(n->st.st_size, 5);
	assert_int_not_equal(n->ino, newer->ino);
	view_forget(v, n->ino, 1);
	view_drop(v, n);
	assert_int_equal(old->st.st_size, 1);
	view_drop(v, old);
	n = file_in(view_hold(v, ROOT), "name", 6);
	assert_ptr_equal(n, newer);
	view_drop(v, n);
	view_drop(v, newer);
	view_forget(v, newer->ino, 2);
	assert_int_equal(view_count(v), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_root_stays_whatever_is_forgotten),
		TEST(a_node_lives_until_all_its_lookups_are_forgotten),
		TEST(one_entry_in_two_places_is_two_nodes),
		TEST(parents_stay_for_their_children_and_go_with_the_last),
		TEST(who_holds_a_node_may_use_it_though_it_is_forgotten),
		TEST(what_a_node_points_to_is_its_own),
		TEST(many_are_found_by_number_and_by_name),
		TEST(what_is_the_same_under_a_new_root_keeps_its_node),
		TEST(who_has_an_old_root_open_goes_on_in_that_and_disturbs_nobody),
		TEST(set_id_bits_and_device_numbers_are_not_shown),
	};

	return suite_run(tests);
}
