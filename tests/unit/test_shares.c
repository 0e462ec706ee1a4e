/* shares: who brought how much, up to so many. */
#include <string.h>

#include "dht/net/limits.h"
#include "dht/net/shares.h"
#include "tests/lib/suite.h"

static void beyond_so_many_shares_nothing_more_is_counted(void **state)
{
	struct shares s = { .count = 0 };
	struct address id;

	(void)state;
	memset(&id, 1, sizeof(id));
	/* In falling order, which moves all that is there: few enough for that. */
	for (uint32_t key = SHARES_MAX; key > 0; key--)
		shares_took(&s, &id, key);
	assert_int_equal(s.count, SHARES_MAX);
	assert_int_equal(shares_memory(&s), SHARES_MAX * sizeof(struct share));
	/* One more is let in uncounted; those that are counted stay so, and go on. */
	shares_took(&s, &id, SHARES_MAX + 1);
	assert_int_equal(s.count, SHARES_MAX);
	assert_true(shares_may(&s, &id, SHARES_MAX + 1, 1));
	assert_false(shares_may(&s, &id, 5, 1));
	shares_took(&s, &id, 5);
	assert_true(shares_may(&s, &id, 5, 3));
	assert_false(shares_may(&s, &id, 5, 2));
	shares_free(&s);
	shares_took(&s, &id, SHARES_MAX + 1);
	assert_int_equal(s.count, 1);
	shares_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beyond_so_many_shares_nothing_more_is_counted),
	};

	return suite_run(tests);
}
