/* walks: what is looked up ahead of whom, and what is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fetch.h"
#include "fs/walks.h"
#include "tests/lib/change_list.h"
#include "tests/lib/fakedht.h"
#include "tests/lib/suite.h"

#define FIRST	100u	/* the view's own root, then ours, in which there are DIRS of FILES each */
#define DIRS	30u
#define FILES	60u
#define NAME	8u

static struct dht *dht;
static struct cache *cache;
static struct view *view;
static struct walks *walks;
static struct view_node *root, *dir[DIRS];
static bool hidden;	/* nodes of directories are in the set alone, not in the cache */

/* Contents are of the same kind, so what is in the cache says what was looked up ahead: no two are alike. */
static struct address content(unsigned int d, unsigned int f)
{
	struct address a;
	char text[32];

	snprintf(text, sizeof(text), "%u of %u", f, d);
	address_of(KIND_DATA, text, strlen(text) + 1, &a);
	return a;
}

static int keep(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	struct address out;

	(void)sink;
	(void)a;
	fakedht_put(dht, kind, c->data, c->len, &out);
	if (!hidden)
		cache_put(cache, kind, &out, c);
	return 0;
}

static struct ref make(const struct change *v, size_t n)
{
	struct sink sink = { keep };
	struct waiting_source source;
	struct change_list list;
	struct ref out;

	waiting_source_init(&source, dht, cache);
	change_list_init(&list, v, n);
	assert_int_equal(directory_update(&source.source, &sink, NULL, &list.changes, &out), 0);
	return out;
}

static struct ref make_files(unsigned int d)
{
	struct change v[FILES];
	char name[FILES][NAME];

	for (unsigned int f = 0; f < FILES; f++) {
		struct address a;
		char text[32];

		snprintf(name[f], NAME, "f%03u", f);
		snprintf(text, sizeof(text), "%u of %u", f, d);
		v[f] = change_list_file(name[f], strlen(name[f]), strlen(text) + 1);
		fakedht_put(dht, KIND_DATA, text, strlen(text) + 1, &a);
		v[f].entry.ref = (struct ref){ HASH_BLAKE2B_256, KIND_DATA, a, strlen(text) + 1 };
	}
	return make(v, FILES);
}

static struct view_node *node(struct view_node *parent, const char *name, mode_t mode, const struct ref *ref)
{
	struct view_node like = { .type = VIEW_ENTRY, .st.st_mode = mode, .ref = *ref }, *n;

	n = view_add(view, parent, name, strlen(name), &like);
	assert_non_null(n);
	return n;
}

static void make_all(void)
{
	const struct view_node top = { .type = VIEW_ROOT, .st = { .st_mode = S_IFDIR | 0500 } };
	struct view_node *first;
	struct change v[DIRS];
	char name[DIRS][NAME];
	struct ref ref;

	for (unsigned int d = 0; d < DIRS; d++) {
		snprintf(name[d], NAME, "d%03u", d);
		ref = make_files(d);
		v[d] = change_list_file(name[d], strlen(name[d]), ref.size);
		v[d].entry.mode = S_IFDIR | 0755;
		v[d].entry.ref = ref;
	}
	ref = make(v, DIRS);
	assert_int_equal(view_new(FIRST, &top, &view), 0);
	first = view_hold(view, FIRST);
	root = node(first, "root", S_IFDIR | 0755, &ref);
	view_drop(view, first);
	for (unsigned int d = 0; d < DIRS; d++)
		dir[d] = node(root, name[d], S_IFDIR | 0755, &v[d].entry.ref);
}

static int setup(void **state)
{
	(void)state;
	dht = fakedht_new(2);
	cache = cache_new(8 << 20);
	walks = walks_new(dht, cache);
	make_all();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fakedht_go(dht);
	walks_free(walks);
	for (unsigned int d = 0; d < DIRS; d++)
		view_drop(view, dir[d]);
	view_drop(view, root);
	view_free(view);
	cache_free(cache);
	fakedht_free(dht);
	hidden = false;
	return 0;
}

static int setup_hidden(void **state)
{
	hidden = true;
	return setup(state);
}

static void read_file(unsigned int d, unsigned int f)
{
	struct address a = content(d, f);
	struct ref ref = { HASH_BLAKE2B_256, KIND_DATA, a, 1 };
	struct view_node *n;
	char name[NAME];

	snprintf(name, sizeof(name), "f%03u", f);
	n = node(dir[d], name, S_IFREG | 0644, &ref);
	walks_file(walks, n);
	view_forget(view, n->ino, 1);
	view_drop(view, n);
}

/* Since the last call. */
static unsigned int looked_ahead(void)
{
	struct fakedht_counts counts;

	fakedht_count(dht, &counts);
	return counts.aheads;
}

static void files_in_order_are_looked_up_ahead(void **state)
{
	unsigned int all;

	(void)state;
	fakedht_hold(dht);
	read_file(3, 0);
	assert_int_equal(looked_ahead(), 0);
	read_file(3, 1);
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
	read_file(3, 2);
	assert_int_equal(looked_ahead(), 0);
	all = 2 + WALK_NAMES_MIN;
	for (unsigned int f = 3; f < FILES; f++) {
		all += looked_ahead();
		assert_true(all > f || all == FILES);
		read_file(3, f);
	}
	assert_int_equal(all + looked_ahead(), FILES);
}

static void in_the_middle_it_begins_there(void **state)
{
	(void)state;
	read_file(0, 40);
	read_file(0, 44);
	/* Those behind it, not before it. */
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
	read_file(0, 45);
	read_file(0, 49);
	assert_int_equal(looked_ahead(), FILES - 45 - WALK_NAMES_MIN);
}

static void who_jumps_about_has_nothing_looked_up(void **state)
{
	static const unsigned int order[] = { 50, 3, 20, 10, 40, 0, 59, 30, 45, 2, 12, 30, 48 };

	(void)state;
	for (unsigned int i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		read_file(1, order[i]);
	assert_int_equal(looked_ahead(), 0);
}

static void who_goes_back_begins_anew(void **state)
{
	(void)state;
	fakedht_hold(dht);
	for (unsigned int f = 20; f < 24; f++)
		read_file(1, f);
	assert_true(looked_ahead() > 0);
	read_file(1, 0);
	assert_int_equal(looked_ahead(), 0);
	read_file(1, 1);
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
}

static void a_directory_that_is_entered_on_a_walk_is_looked_ahead_in_at_once(void **state)
{
	(void)state;
	read_file(0, 0);
	walks_directory(walks, dir[0]);
	read_file(0, 0);
	assert_int_equal(looked_ahead(), 0);
	walks_directory(walks, dir[1]);
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
	walks_directory(walks, dir[2]);
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
}

static void who_reads_no_file_has_none_looked_up(void **state)
{
	(void)state;
	for (unsigned int d = 0; d < DIRS / 2; d++)
		walks_directory(walks, dir[d]);
	assert_int_equal(looked_ahead(), 0);
	read_file(DIRS / 2 - 1, 0);
	for (unsigned int d = DIRS / 2; d < DIRS / 2 + WALK_UNREAD - 1; d++)
		walks_directory(walks, dir[d]);
	assert_int_equal(looked_ahead(), (WALK_UNREAD - 1) * WALK_NAMES_MIN);
	for (unsigned int d = DIRS / 2 + WALK_UNREAD - 1; d < DIRS; d++)
		walks_directory(walks, dir[d]);
	assert_int_equal(looked_ahead(), 0);
}

static void directories_are_looked_up_ahead(void **state)
{
	(void)state;
	fakedht_hold(dht);
	walks_directory(walks, dir[0]);
	walks_directory(walks, dir[1]);
	/* The node in which the place of both is looked for, and that of the one that is entered. */
	fakedht_await(dht, 2);
	fakedht_let(dht, 2);
	fakedht_await(dht, WALK_NAMES_MIN);
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
}

static void more_walks_than_there_is_room_for_begin_anew(void **state)
{
	(void)state;
	fakedht_hold(dht);
	for (unsigned int d = 0; d < WALKS + 1; d++)
		read_file(d, 0);
	read_file(0, 1);
	assert_int_equal(looked_ahead(), 0);
	read_file(0, 2);
	assert_int_equal(looked_ahead(), WALK_NAMES_MIN);
	fakedht_go(dht);
}

static void its_end_waits_for_nobody(void **state)
{
	(void)state;
	fakedht_hold(dht);
	read_file(0, 0);
	read_file(0, 1);
	fakedht_await(dht, 1);
	walks_free(walks);
	walks = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_HIDDEN(name) cmocka_unit_test_setup_teardown(name, setup_hidden, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_in_order_are_looked_up_ahead),
		TEST(in_the_middle_it_begins_there),
		TEST(who_jumps_about_has_nothing_looked_up),
		TEST(who_goes_back_begins_anew),
		TEST(a_directory_that_is_entered_on_a_walk_is_looked_ahead_in_at_once),
		TEST(who_reads_no_file_has_none_looked_up),
		TEST_HIDDEN(directories_are_looked_up_ahead),
		TEST(more_walks_than_there_is_room_for_begin_anew),
		TEST_HIDDEN(its_end_waits_for_nobody),
	};

	return suite_run(tests);
}
