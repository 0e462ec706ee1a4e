#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/keep.h"

#define HOUR 3600
#define DAY  (24 * HOUR)

/* One snapshot every ${step} seconds for ${n} steps, the last one at ${end}. */
static struct kept *every(int64_t step, size_t n, int64_t end)
{
	struct kept *list = calloc(n, sizeof(*list));

	assert_non_null(list);
	for (size_t i = 0; i < n; i++)
		list[i].time.sec = end - step * (int64_t)(n - 1 - i);
	return list;
}

static size_t count(const struct kept *list, size_t n, int64_t from, int64_t to)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += list[i].time.sec >= from && list[i].time.sec < to;
	return found;
}

static void the_last_hour_stays_whole(void **state)
{
	const int64_t now = 1000 * DAY;
	struct kept *list = every(30, 120, now);

	(void)state;
	assert_int_equal(keep_thin(list, 120, (struct timestamp){ .sec = now }), 120);
	free(list);
}

static void an_hour_keeps_its_last_and_a_day_keeps_its_last(void **state)
{
	const int64_t now = 1000 * DAY + 1800;
	const size_t n = 60 * 24 * 60;	/* one a minute for 60 days */
	struct kept *list = every(60, n, now);
	size_t stay = keep_thin(list, n, (struct timestamp){ .sec = now });

	(void)state;
	assert_int_equal(count(list, stay, now - HOUR, now + 1), 61);
	for (int h = 2; h < 24; h++) {
		int64_t from = (now / HOUR - h) * HOUR;

		assert_int_equal(count(list, stay, from, from + HOUR), 1);
		assert_int_equal(count(list, stay, from + HOUR - 60, from + HOUR), 1);
	}
	for (int d = 2; d < 30; d++) {
		int64_t from = (now / DAY - d) * DAY;

		assert_int_equal(count(list, stay, from, from + DAY), 1);
	}
	assert_int_equal(count(list, stay, 0, now - 30 * DAY), 0);
	for (size_t i = 1; i < stay; i++)
		assert_true(list[i - 1].time.sec < list[i].time.sec);
	free(list);
}

static void thinning_again_changes_nothing(void **state)
{
	const int64_t now = 1000 * DAY + 1800;
	const size_t n = 10000;
	struct kept *list = every(300, n, now);
	size_t stay = keep_thin(list, n, (struct timestamp){ .sec = now });

	(void)state;
	assert_true(stay < 200);
	assert_int_equal(keep_thin(list, stay, (struct timestamp){ .sec = now }), stay);
	free(list);
}

static void a_clock_set_back_loses_none(void **state)
{
	struct kept *list = every(30, 50, 1000 * DAY);

	(void)state;
	assert_int_equal(keep_thin(list, 50, (struct timestamp){ .sec = 10 * DAY }), 50);
	assert_int_equal(keep_thin(list, 0, (struct timestamp){ .sec = 10 * DAY }), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_hour_stays_whole),
		cmocka_unit_test(an_hour_keeps_its_last_and_a_day_keeps_its_last),
		cmocka_unit_test(thinning_again_changes_nothing),
		cmocka_unit_test(a_clock_set_back_loses_none),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
