/* known: random lookups and forgets, against an array of counts. */
#include <stdlib.h>

#include "fs/known.h"
#include "tests/lib/suite.h"

#define INODES 3000u

static uint64_t state;

static uint64_t pick(uint64_t n)
{
	/* splitmix64: Steele, Lea & Flood (2014). */
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % n;
}

static void only_the_last_forget_leaves_none(void **unused)
{
	struct known *k = known_new();

	(void)unused;
	assert_non_null(k);
	assert_int_equal(known_add(k, 7), 0);
	assert_int_equal(known_add(k, 7), 0);
	assert_int_equal(known_add(k, 7), 0);
	assert_false(known_forget(k, 7, 2));
	assert_int_equal(known_add(k, 7), 0);
	assert_false(known_forget(k, 7, 1));
	assert_true(known_forget(k, 7, 1));
	known_free(k);
}

static void what_was_never_looked_up_is_forgotten_at_once(void **unused)
{
	struct known *k = known_new();

	(void)unused;
	assert_non_null(k);
	assert_true(known_forget(k, 7, 1));
	assert_int_equal(known_add(k, 7), 0);
	assert_true(known_forget(k, 7, 100));
	assert_true(known_forget(k, 7, 1));
	known_free(k);
	known_free(NULL);
}

static void there_is_no_most_for_lookups(void **unused)
{
	struct known *k = known_new();

	(void)unused;
	assert_non_null(k);
	/* A neighbour has the same. */
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(known_add(k, 8), 0);
		assert_int_equal(known_add(k, 9), 0);
	}
	assert_false(known_forget(k, 8, 999));
	assert_int_equal(known_add(k, 8), 0);
	assert_false(known_forget(k, 8, 1));
	assert_true(known_forget(k, 8, 1));
	assert_false(known_forget(k, 9, 700));
	assert_false(known_forget(k, 9, 299));
	assert_true(known_forget(k, 9, 1));
	known_free(k);
}

/* Phases in which most come and most go, so that it grows and shrinks. */
static void counts_are_those_of_a_model(void **unused)
{
	static uint64_t model[INODES];
	struct known *k = known_new();

	(void)unused;
	assert_non_null(k);
	state = suite_seed(20240611);
	for (unsigned int i = 0; i < 400000; i++) {
		/* Numbers that lie close and far, as inodes do. */
		uint64_t n = pick(INODES), ino = n % 3 ? n + 1 : (n + 1) << 30;

		if (n % 100 == 0)	/* some have many lookups */
			for (unsigned int j = pick(300); j > 0; j--, model[n]++)
				assert_int_equal(known_add(k, ino), 0);
		if (pick(10) < (i / 40000 % 2 ? 2 : 8)) {
			assert_int_equal(known_add(k, ino), 0);
			model[n]++;
		} else {
			uint64_t less = model[n] > 0 ? 1 + pick(model[n]) : 1;

			assert_int_equal(known_forget(k, ino, less), less >= model[n]);
			model[n] -= less < model[n] ? less : model[n];
		}
	}
	known_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_last_forget_leaves_none),
		cmocka_unit_test(what_was_never_looked_up_is_forgotten_at_once),
		cmocka_unit_test(there_is_no_most_for_lookups),
		cmocka_unit_test(counts_are_those_of_a_model),
	};

	return suite_run(tests);
}
