/* Xattrs: there and back, the golden bytes, and every way to be malformed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/xattrs.h"
#include "tests/lib/suite.h"

/* "user.a" = "xy", "user.ab" = "" */
static const uint8_t golden[] = {
	6, 2, 0, 0, 0, 'u', 's', 'e', 'r', '.', 'a', 'x', 'y',
	7, 0, 0, 0, 0, 'u', 's', 'e', 'r', '.', 'a', 'b',
};

static struct xattr xattr_of(const char *name, const void *value, uint32_t len)
{
	return (struct xattr){
		.name = name, .name_len = (uint8_t)strlen(name), .value = value, .value_len = len,
	};
}

/* Decode all ${len} bytes, in a place of exactly that size: how many there are, or the error. */
static int count(const void *bytes, size_t len)
{
	uint8_t *copy = test_malloc(len + 1);
	const uint8_t *p = copy + 1;
	struct xattr x;
	int n = 0, rc;

	if (len > 0)
		memcpy(copy + 1, bytes, len);
	while ((rc = xattr_next(&p, copy + 1 + len, n > 0 ? &x : NULL, &x)) > 0)
		n++;
	test_free(copy);
	return rc < 0 ? rc : n;
}

static void the_bytes_are_the_golden_ones(void **unused)
{
	struct xattr a = xattr_of("user.a", "xy", 2), b = xattr_of("user.ab", NULL, 0);
	uint8_t bytes[sizeof(golden)];

	(void)unused;
	assert_int_equal(xattr_encoded_len(&a), 13);
	assert_int_equal(xattr_encoded_len(&b), 12);
	xattr_encode(&a, bytes);
	xattr_encode(&b, bytes + 13);
	assert_memory_equal(bytes, golden, sizeof(golden));
}

static void what_was_encoded_is_decoded(void **unused)
{
	const uint8_t *p = golden, *end = golden + sizeof(golden);
	struct xattr a, b;

	(void)unused;
	assert_int_equal(xattr_next(&p, end, NULL, &a), 1);
	assert_int_equal(a.name_len, 6);
	assert_memory_equal(a.name, "user.a", 6);
	assert_int_equal(a.value_len, 2);
	assert_memory_equal(a.value, "xy", 2);
	assert_int_equal(xattr_next(&p, end, &a, &b), 1);
	assert_memory_equal(b.name, "user.ab", 7);
	assert_int_equal(b.value_len, 0);
	assert_int_equal(xattr_next(&p, end, &b, &a), 0);
	assert_ptr_equal(p, end);
	assert_int_equal(count(NULL, 0), 0);
}

static void the_longest_name_and_value_fit_and_no_longer_value_does(void **unused)
{
	char name[XATTR_NAME_MAX_LEN + 1];
	uint8_t *value = test_calloc(1, XATTR_VALUE_MAX_LEN), *bytes;
	struct xattr x;
	size_t len;

	(void)unused;
	memset(name, 'n', XATTR_NAME_MAX_LEN);
	name[XATTR_NAME_MAX_LEN] = '\0';
	x = xattr_of(name, value, XATTR_VALUE_MAX_LEN);
	len = xattr_encoded_len(&x);
	assert_int_equal(len, 5 + 255 + 65536);
	bytes = test_calloc(1, len + 1);
	xattr_encode(&x, bytes);
	assert_int_equal(count(bytes, len), 1);
	bytes[1] = 1;
	assert_int_equal(count(bytes, len + 1), -EBADMSG);
	test_free(bytes);
	test_free(value);
}

static void names_rise_strictly(void **unused)
{
	static const struct {
		const char *first, *second;
		int want;
	} cases[] = {
		{ "a", "b", 2 },	      { "a", "aa", 2 },		    { "B", "a", 2 },
		{ "a", "\xc3", 2 },	      { "b", "a", -EBADMSG },	    { "a", "a", -EBADMSG },
		{ "aa", "a", -EBADMSG },      { "\xc3", "a", -EBADMSG },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xattr a = xattr_of(cases[i].first, "v", 1), b = xattr_of(cases[i].second, "v", 1);
		uint8_t bytes[64];

		xattr_encode(&a, bytes);
		xattr_encode(&b, bytes + xattr_encoded_len(&a));
		assert_int_equal(count(bytes, xattr_encoded_len(&a) + xattr_encoded_len(&b)), cases[i].want);
	}
}

static void bytes_that_end_too_early_are_refused(void **unused)
{
	(void)unused;
	for (size_t len = 0; len <= sizeof(golden); len++)
		assert_int_equal(count(golden, len), len == 0 ? 0 : len == 13 ? 1 : len == 25 ? 2 : -EBADMSG);
}

static void an_empty_name_and_a_nul_in_one_are_refused(void **unused)
{
	static const uint8_t empty[] = { 0, 1, 0, 0, 0, 'v' };
	uint8_t bytes[sizeof(golden)];

	(void)unused;
	assert_int_equal(count(empty, sizeof(empty)), -EBADMSG);
	for (size_t i = 5; i < 11; i++) {
		memcpy(bytes, golden, sizeof(golden));
		bytes[i] = 0;
		assert_int_equal(count(bytes, sizeof(bytes)), -EBADMSG);
	}
}

static void a_refusal_leaves_everything_as_it_was(void **unused)
{
	static const uint8_t bytes[] = { 3, 0, 0, 0, 0, 'a', 0, 'b' };
	struct xattr x = xattr_of("kept", "v", 1);
	const uint8_t *p = bytes;

	(void)unused;
	assert_int_equal(xattr_next(&p, bytes + sizeof(bytes), NULL, &x), -EBADMSG);
	assert_ptr_equal(p, bytes);
	assert_string_equal(x.name, "kept");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_are_the_golden_ones),
		cmocka_unit_test(what_was_encoded_is_decoded),
		cmocka_unit_test(the_longest_name_and_value_fit_and_no_longer_value_does),
		cmocka_unit_test(names_rise_strictly),
		cmocka_unit_test(bytes_that_end_too_early_are_refused),
		cmocka_unit_test(an_empty_name_and_a_nul_in_one_are_refused),
		cmocka_unit_test(a_refusal_leaves_everything_as_it_was),
	};

	return suite_run(tests);
}
