#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dht/peer/endpoint.h"

static void is(const char *text, const char *host, unsigned int port, const char *again)
{
	char formatted[ENDPOINT_TEXT];
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, 4377, &e), 0);
	assert_string_equal(e.host, host);
	assert_int_equal(e.port, port);
	assert_int_equal(endpoint_format(&e, formatted), strlen(again));
	assert_string_equal(formatted, again);
}

static void hosts_and_ports_are_told_apart(void **state)
{
	(void)state;
	is("example.org", "example.org", 4377, "example.org:4377");
	is("example.org:80", "example.org", 80, "example.org:80");
	is("10.0.0.1:0", "10.0.0.1", 0, "10.0.0.1:0");
	is("[::1]", "::1", 4377, "[::1]:4377");
	is("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535, "[fe80::1%eth0]:65535");
	is("2001:db8::7", "2001:db8::7", 4377, "[2001:db8::7]:4377");
	is("::", "::", 4377, "[::]:4377");
}

static void what_is_neither_is_refused(void **state)
{
	static const char *const bad[] = {
		"", ":80", "host:", "host:65536", "host:99999999999", "host:-1", "host:8o", "host: 80", "[::1", "[::1]80", "[]:80",
		"[::1]:", "a b", "tab\t:1",
	};
	char longest[ENDPOINT_HOST + 1];
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(endpoint_parse(bad[i], 1, &e), -EINVAL);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(endpoint_parse(longest, 1, &e), -EINVAL);
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(endpoint_parse(longest, 1, &e), 0);
}

static void addresses_need_nobody_to_be_asked(void **state)
{
	static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 127, 0, 0, 9 };
	struct sockaddr_storage sa;
	struct endpoint e, again;
	uint8_t source[16];

	(void)state;
	assert_int_equal(endpoint_parse("127.0.0.9:77", 1, &e), 0);
	assert_true(endpoint_numeric(&e, &sa));
	endpoint_of((const struct sockaddr *)&sa, &again);
	assert_string_equal(again.host, "127.0.0.9");
	assert_int_equal(again.port, 77);
	endpoint_source((const struct sockaddr *)&sa, source);
	assert_memory_equal(source, mapped, sizeof(mapped));
	assert_int_equal(endpoint_parse("[::1]:78", 1, &e), 0);
	assert_true(endpoint_numeric(&e, &sa));
	endpoint_of((const struct sockaddr *)&sa, &again);
	assert_string_equal(again.host, "::1");
	assert_int_equal(again.port, 78);
	assert_int_equal(endpoint_parse("localhost", 1, &e), 0);
	assert_false(endpoint_numeric(&e, &sa));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_and_ports_are_told_apart),
		cmocka_unit_test(what_is_neither_is_refused),
		cmocka_unit_test(addresses_need_nobody_to_be_asked),
	};

	return suite_run(tests);
}
