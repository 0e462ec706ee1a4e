/* session: what kernels can do. */
#include "fs/session.h"
#include "tests/lib/suite.h"

static void write_back_is_waited_for_since_6_16(void **unused)
{
	(void)unused;
	assert_true(session_calls_in("6.16.0"));
	assert_true(session_calls_in("6.16-rc1+"));
	assert_true(session_calls_in("6.18.44-amd64"));
	assert_true(session_calls_in("7.0.3"));
	assert_true(session_calls_in("10.1"));
	assert_false(session_calls_in("6.15.11"));
	assert_false(session_calls_in("6.12.48+deb13-amd64"));
	assert_false(session_calls_in("6.1.0-40-amd64"));
	assert_false(session_calls_in("5.19"));
	assert_false(session_calls_in("2.6.78"));
	assert_false(session_calls_in("6"));
	assert_false(session_calls_in("unknown"));
	assert_false(session_calls_in(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(write_back_is_waited_for_since_6_16),
	};

	return suite_run(tests);
}
