#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "fs/keep.h"
#include "tests/lib/suite.h"

#define HOUR 3600
#define DAY  (24 * HOUR)

static struct keep_rule rule;

static int setup(void **state)
{
	char why[256];

	(void)state;
	return keep_parse(KEEP_DEFAULT, &rule, why, sizeof(why));
}

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
	assert_int_equal(keep_thin(&rule, list, 120, (struct timestamp){ .sec = now }), 120);
	free(list);
}

static void an_hour_keeps_its_last_and_a_day_keeps_its_last(void **state)
{
	const int64_t now = 1000 * DAY + 1800;
	const size_t n = 60 * 24 * 60;	/* one a minute for 60 days */
	struct kept *list = every(60, n, now);
	size_t stay = keep_thin(&rule, list, n, (struct timestamp){ .sec = now });

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
	size_t stay = keep_thin(&rule, list, n, (struct timestamp){ .sec = now });

	(void)state;
	assert_true(stay < 200);
	assert_int_equal(keep_thin(&rule, list, stay, (struct timestamp){ .sec = now }), stay);
	free(list);
}

static void a_clock_set_back_loses_none(void **state)
{
	struct kept *list = every(30, 50, 1000 * DAY);

	(void)state;
	assert_int_equal(keep_thin(&rule, list, 50, (struct timestamp){ .sec = 10 * DAY }), 50);
	assert_int_equal(keep_thin(&rule, list, 0, (struct timestamp){ .sec = 10 * DAY }), 0);
	free(list);
}

static void use(const char *text)
{
	char why[256];

	assert_int_equal(keep_parse(text, &rule, why, sizeof(why)), 0);
}

static void a_rule_for_ever_loses_none(void **state)
{
	struct kept *list = every(DAY, 100, 1000 * DAY);

	(void)state;
	use("all");
	assert_int_equal(keep_thin(&rule, list, 100, (struct timestamp){ .sec = 5000 * DAY }), 100);
	free(list);
}

static void none_stay_where_the_rule_says_so(void **state)
{
	struct kept *list = every(1, 10, 1000 * DAY);

	(void)state;
	use("none");
	assert_int_equal(keep_thin(&rule, list, 10, (struct timestamp){ .sec = 1000 * DAY }), 0);
	free(list);
}

static void a_rule_of_one_step_keeps_one_a_period(void **state)
{
	const int64_t now = 1000 * DAY;
	struct kept *list = every(60, 600, now);
	size_t stay;

	(void)state;
	use("hour:5h");
	stay = keep_thin(&rule, list, 600, (struct timestamp){ .sec = now });
	/* Those of the hours, and the newest. */
	assert_in_range(stay, 5, 7);
	for (size_t i = 1; i < stay; i++)
		assert_true(list[i].time.sec / HOUR > list[i - 1].time.sec / HOUR);
	assert_int_equal(list[stay - 1].time.sec, now);
	free(list);
}

static void the_periods_and_spans_are_those_of_the_manual(void **state)
{
	(void)state;
	use("all:90m,minute:2h,hour:3d,day:4w,week:2y");
	assert_int_equal(rule.n, 5);
	assert_int_equal(rule.step[0].span_s, 90 * 60);
	assert_int_equal(rule.step[1].period_s, 60);
	assert_int_equal(rule.step[2].span_s, 3 * DAY);
	assert_int_equal(rule.step[3].span_s, 28 * DAY);
	assert_int_equal(rule.step[4].period_s, 7 * DAY);
	assert_int_equal(rule.step[4].span_s, 730 * (int64_t)DAY);
	use("all:1h,day");
	assert_int_equal(rule.step[1].span_s, INT64_MAX);
}

static void a_rule_that_makes_no_sense_is_refused_with_its_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{ "", "'' is no period" }, { "all:", "'all:' has no time" },
		{ "all:1", "has no time" }, { "all:h", "has no time" },
		{ "all:1hour", "has no time" }, { "all:0h", "has no time" },
		{ "all:-1h", "has no time" }, { "all:9999999y", "has no time" },
		{ "all:99999999999999999999h", "has no time" },
		{ "year:1y", "'year:1y' is no period" }, { "all:1h,,day", "'' is no period" },
		{ "all:1h,hour:1h", "further back" }, { "all,hour:1d", "further back" },
		{ "hour:1d,all:2d", "fewer" }, { "hour:1d,hour:2d", "fewer" }, { "none,all", "no period" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char why[256] = "";

		assert_int_equal(keep_parse(wrong[i].text, &rule, why, sizeof(why)), -EINVAL);
		if (!strstr(why, wrong[i].why))
			fail_msg("%s: %s", wrong[i].text, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_last_hour_stays_whole, setup),
		cmocka_unit_test_setup(an_hour_keeps_its_last_and_a_day_keeps_its_last, setup),
		cmocka_unit_test_setup(thinning_again_changes_nothing, setup),
		cmocka_unit_test_setup(a_clock_set_back_loses_none, setup),
		cmocka_unit_test_setup(a_rule_for_ever_loses_none, setup),
		cmocka_unit_test_setup(none_stay_where_the_rule_says_so, setup),
		cmocka_unit_test_setup(a_rule_of_one_step_keeps_one_a_period, setup),
		cmocka_unit_test_setup(the_periods_and_spans_are_those_of_the_manual, setup),
		cmocka_unit_test_setup(a_rule_that_makes_no_sense_is_refused_with_its_reason, setup),
	};

	return suite_run(tests);
}
