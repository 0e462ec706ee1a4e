/* acl: which bytes are an ACL, and what ACLs and modes do to each other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "fs/acl.h"
#include "tests/lib/suite.h"

struct acl {
	uint8_t b[256];
	size_t len;
};

/* "u7 U5:1000 g5 G4:7 m6 o0": tags and permissions in their order. */
static struct acl parse(const char *text)
{
	static const char tags[] = "uUgGmo";
	struct acl a = { .len = 4 };

	put_le32(a.b, 2);
	while (*text) {
		const char *tag = strchr(tags, text[0]);
		uint32_t id = UINT32_MAX;
		char *end;

		put_le16(a.b + a.len, (uint16_t)(1u << (tag - tags)));
		put_le16(a.b + a.len + 2, (uint16_t)strtoul(text + 1, &end, 10));
		if (*end == ':')
			id = (uint32_t)strtoul(end + 1, &end, 10);
		put_le32(a.b + a.len + 4, id);
		a.len += 8;
		text = *end ? end + 1 : end;
	}
	return a;
}

static void check_text(const char *text, int expected)
{
	struct acl a = parse(text);

	if (acl_check(a.b, a.len) != expected)
		fail_msg("%s: %d", text, acl_check(a.b, a.len));
}

static void only_whole_and_ordered_acls_pass(void **state)
{
	struct acl a = parse("u7 g5 o0");

	(void)state;
	check_text("u7 g5 o0", 0);
	check_text("u7 U5:1 U6:2 g5 G4:7 m6 o0", 0);
	check_text("u7 g5 m5 o0", 0);
	check_text("", -EINVAL);
	check_text("u7", -EINVAL);
	check_text("u7 g5", -EINVAL);
	check_text("g5 o0", -EINVAL);
	check_text("u7 o0", -EINVAL);
	check_text("u7 u7 g5 o0", -EINVAL);
	check_text("u7 g5 g5 o0", -EINVAL);
	check_text("u7 g5 o0 o0", -EINVAL);
	check_text("u7 U5:1 g5 o0", -EINVAL);
	check_text("u7 g5 G5:1 o0", -EINVAL);
	check_text("u7 g5 U5:1 m7 o0", -EINVAL);
	check_text("u7 g5 m5 G4:7 o0", -EINVAL);
	check_text("u7 g5 m5 m5 o0", -EINVAL);
	check_text("u8 g5 o0", -EINVAL);
	check_text("u7 U5 g5 m5 o0", -EINVAL);
	check_text("u7 g5 o0 m5", -EINVAL);
	assert_int_equal(acl_check(a.b, a.len - 1), -EINVAL);
	assert_int_equal(acl_check(a.b, 3), -EINVAL);
	a.b[4] = 3;
	assert_int_equal(acl_check(a.b, a.len), -EINVAL);
	a = parse("u7 g5 o0");
	a.b[0] = 1;
	assert_int_equal(acl_check(a.b, a.len), -EOPNOTSUPP);
	a = parse("");
	assert_true(acl_empty(a.b, a.len));
	a = parse("u7 g5 o0");
	assert_false(acl_empty(a.b, a.len));
}

static void an_acl_sets_the_mode(void **state)
{
	struct acl plain = parse("u7 g5 o1"), masked = parse("u6 U7:1 g5 m2 o4");
	uint32_t mode = 0106000;

	(void)state;
	assert_false(acl_to_mode(plain.b, plain.len, &mode));
	assert_int_equal(mode, 0106751);
	assert_true(acl_to_mode(masked.b, masked.len, &mode));
	assert_int_equal(mode, 0106624);
	masked = parse("u6 g5 m2 o4");
	assert_true(acl_to_mode(masked.b, masked.len, &mode));
	assert_int_equal(mode, 0106624);
}

static void chmod_sets_the_mask_where_there_is_one(void **state)
{
	struct acl a = parse("u6 U7:1 g5 m2 o4"), b = parse("u7 U7:1 g5 m1 o0");

	(void)state;
	acl_chmod(a.b, a.len, 0100710);
	assert_memory_equal(a.b, b.b, b.len);
	a = parse("u6 g5 o4");
	b = parse("u7 g1 o0");
	acl_chmod(a.b, a.len, 0100710);
	assert_memory_equal(a.b, b.b, b.len);
}

/* Each worked out by hand from draft 17, 23.1.4 */
static void what_is_inherited_is_what_both_allow(void **state)
{
	static const struct {
		const char *acl;
		uint32_t mode;
		const char *acl_after;
		uint32_t mode_after;
		bool more;
	} cases[] = {
		{ "u7 g5 o5", 0100666, "u6 g4 o4", 0100644, false },
		{ "u7 U7:9 g5 m7 o0", 0100666, "u6 U7:9 g5 m6 o0", 0100660, true },
		{ "u7 U7:9 g7 m5 o5", 0040777, "u7 U7:9 g7 m5 o5", 0040755, true },
		{ "u4 g7 G7:3 m7 o7", 0106700, "u4 g7 G7:3 m0 o0", 0106400, true },
		{ "u0 g0 o0", 0100777, "u0 g0 o0", 0100000, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct acl a = parse(cases[i].acl), after = parse(cases[i].acl_after);
		uint32_t mode = cases[i].mode;

		assert_int_equal(acl_inherit(a.b, a.len, &mode), cases[i].more);
		assert_int_equal(mode, cases[i].mode_after);
		assert_memory_equal(a.b, after.b, after.len);
	}
}

static void an_id_that_means_nothing_becomes_the_usual_one(void **state)
{
	struct acl a = parse("u7:5 U7:9 g5:6 m7:7 o0:8"), b = parse("u7 U7:9 g5 m7 o0");

	(void)state;
	assert_int_equal(acl_check(a.b, a.len), 0);
	acl_normalize(a.b, a.len);
	assert_memory_equal(a.b, b.b, b.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_and_ordered_acls_pass),
		cmocka_unit_test(an_acl_sets_the_mode),
		cmocka_unit_test(chmod_sets_the_mask_where_there_is_one),
		cmocka_unit_test(what_is_inherited_is_what_both_allow),
		cmocka_unit_test(an_id_that_means_nothing_becomes_the_usual_one),
	};

	return suite_run(tests);
}
