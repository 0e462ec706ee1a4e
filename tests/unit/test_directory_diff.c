/* Where two directories differ: against a model, and no more is loaded than differs.  SEED=n replays. */
#include <stdlib.h>
#include <string.h>

#include "chunker/directory_diff.h"
#include "tests/lib/change_list.h"
#include "tests/lib/chunkset.h"
#include "tests/lib/suite.h"

static struct chunkset set;
static uint64_t seed;

/* splitmix64: Steele, Lea & Flood (2014). */
static uint64_t below(uint64_t n)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}

static int setup(void **state)
{
	(void)state;
	chunkset_init(&set);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	chunkset_free(&set);
	return 0;
}

static void name_of(unsigned int i, char out[8])
{
	for (int at = 7; at-- > 0; i /= 10)
		out[at] = (char)('0' + i % 10);
	out[7] = 0;
}

/* A directory of names 0 .. n - 1: of each its version, 0: it is not there. */
static struct ref build(const unsigned int *version, unsigned int n)
{
	struct change *v = calloc(n + 1, sizeof(*v));
	char *names = calloc(n + 1, 8);
	struct change_list list;
	unsigned int count = 0;
	struct ref ref;

	assert_true(v && names);
	for (unsigned int i = 0; i < n; i++) {
		if (version[i] == 0)
			continue;
		name_of(i, names + 8 * i);
		v[count++] = change_list_file(names + 8 * i, 7, version[i]);
	}
	change_list_init(&list, v, count);
	assert_int_equal(directory_update(&set.source, &set.sink, NULL, &list.changes, &ref), 0);
	free(names);
	free(v);
	return ref;
}

static void check(const unsigned int *a, const unsigned int *b, unsigned int n)
{
	const struct ref x = build(a, n), y = build(b, n);
	struct directory_diff *d = directory_diff_new(&set.source, &x, &y);
	const struct entry *p, *q;

	assert_non_null(d);
	for (unsigned int i = 0; i < n; i++) {
		char name[8];

		if (a[i] == b[i])
			continue;
		name_of(i, name);
		assert_int_equal(directory_diff_next(d, &p, &q), 1);
		assert_int_equal(p != NULL, a[i] != 0);
		assert_int_equal(q != NULL, b[i] != 0);
		if (p) {
			assert_memory_equal(p->name, name, 7);
			assert_int_equal(p->size, a[i]);
		}
		if (q) {
			assert_memory_equal(q->name, name, 7);
			assert_int_equal(q->size, b[i]);
		}
	}
	assert_int_equal(directory_diff_next(d, &p, &q), 0);
	assert_int_equal(directory_diff_next(d, &p, &q), 0);
	directory_diff_free(d);
}

#define N 30000u

static void any_two_directories(void **state)
{
	static unsigned int a[N], b[N];

	(void)state;
	seed = suite_seed(20261123);
	for (int round = 0; round < 150; round++) {
		unsigned int n = (unsigned int)below(round % 10 ? 500 : N);
		unsigned int there = (unsigned int)below(4), changed = (unsigned int)below(1000);

		for (unsigned int i = 0; i < n; i++) {
			a[i] = below(4) <= there ? 1 + (unsigned int)below(3) : 0;
			b[i] = below(1000) < changed ? (unsigned int)below(4) : a[i];
		}
		/* A run of names that only one has. */
		for (uint64_t i = n ? below(n) : 0, end = i + below(1000); i < end && i < n; i++)
			b[i] = 0;
		check(a, b, n);
	}
}

static void one_name_in_many_costs_the_path_to_it(void **state)
{
	static unsigned int a[N], b[N];
	struct ref x, y;
	struct directory_diff *d;
	const struct entry *p, *q;

	(void)state;
	for (unsigned int i = 0; i < N; i++)
		a[i] = b[i] = 1;
	b[N / 2] = 2;
	x = build(a, N);
	y = build(b, N);
	set.gets = 0;
	d = directory_diff_new(&set.source, &x, &y);
	assert_int_equal(directory_diff_next(d, &p, &q), 1);
	assert_int_equal(directory_diff_next(d, &p, &q), 0);
	assert_true(set.gets <= 8);
	directory_diff_free(d);
}

static void against_nothing_all_names_differ(void **state)
{
	const unsigned int a[] = { 1, 0, 2 };
	const struct ref x = build(a, 3);
	const struct entry *p, *q;

	(void)state;
	for (int side = 0; side < 2; side++) {
		struct directory_diff *d = directory_diff_new(&set.source, side ? NULL : &x,
		    side ? &x : NULL);

		for (int i = 0; i < 2; i++) {
			assert_int_equal(directory_diff_next(d, &p, &q), 1);
			assert_true(side ? q && !p : p && !q);
		}
		assert_int_equal(directory_diff_next(d, &p, &q), 0);
		directory_diff_free(d);
	}
}

static void what_is_no_directory_is_refused(void **state)
{
	struct ref ref;
	const struct entry *p, *q;
	struct directory_diff *d;

	(void)state;
	ref_empty(&ref);
	d = directory_diff_new(&set.source, &ref, NULL);
	assert_true(directory_diff_next(d, &p, &q) < 0);
	directory_diff_free(d);
	ref.kind = KIND_DIRECTORY;
	d = directory_diff_new(&set.source, NULL, &ref);
	assert_true(directory_diff_next(d, &p, &q) < 0);
	directory_diff_free(d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_two_directories),
		TEST(one_name_in_many_costs_the_path_to_it),
		TEST(against_nothing_all_names_differ),
		TEST(what_is_no_directory_is_refused),
	};

	return suite_run(tests);
}
