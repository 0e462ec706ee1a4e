/* entry: one form each, and no other is taken. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/bytes.h"
#include "chunker/directory.h"
#include "chunker/xattrs.h"
#include "tests/lib/suite.h"

static uint8_t buf[ENTRY_LEN_MAX];
static char long_target[SYMLINK_LEN_MAX + 1];

static struct ref a_ref(enum kind kind, uint64_t size)
{
	struct ref r = { .hash = HASH_BLAKE2B_256, .kind = kind, .size = size };

	for (int i = 0; i < ADDRESS_LEN; i++)
		r.address.b[i] = (uint8_t)i;
	return r;
}

static struct entry a_file(void)
{
	return (struct entry){
		.name = "file", .name_len = 4, .mode = S_IFREG | 0644, .uid = 1000, .gid = 100,
		.mtime = { 1700000000, 999999999 }, .ctime = { -1, 1 },
		.size = 5, .ref = a_ref(KIND_DATA, 5),
	};
}

static struct entry of_type(mode_t type)
{
	struct entry e = a_file();

	e.mode = type | 07777;
	e.size = 0;
	e.ref = (struct ref){ 0 };
	if (type == S_IFREG)
		e.ref = a_ref(KIND_INDEX, e.size = INT64_MAX);
	if (type == S_IFDIR)
		e.ref = a_ref(KIND_DIRECTORY, e.size = 7);
	if (type == S_IFLNK) {
		e.target = "../x";
		e.size = 4;
	}
	if (type == S_IFCHR || type == S_IFBLK)
		e.rdev = 0xfedcba9876543210;
	return e;
}

static size_t encode(const struct entry *e)
{
	int len = entry_encode(e, buf, sizeof buf);

	assert_true(len > 0);
	return (size_t)len;
}

static void assert_same(const struct entry *a, const struct entry *b)
{
	assert_int_equal(a->name_len, b->name_len);
	assert_memory_equal(a->name, b->name, a->name_len);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_true(a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec);
	assert_true(a->ctime.sec == b->ctime.sec && a->ctime.nsec == b->ctime.nsec);
	assert_true(a->link_id == b->link_id && a->size == b->size && a->rdev == b->rdev);
	if (S_ISREG(a->mode) || S_ISDIR(a->mode))
		assert_true(ref_equal(&a->ref, &b->ref));
	if (S_ISLNK(a->mode))
		assert_memory_equal(a->target, b->target, a->size);
	assert_int_equal(a->xattrs_len, b->xattrs_len);
	if (a->xattrs_len)
		assert_memory_equal(a->xattrs, b->xattrs, a->xattrs_len);
	assert_int_equal(a->xattrs_apart, b->xattrs_apart);
	if (a->xattrs_apart)
		assert_true(ref_equal(&a->xattrs_ref, &b->xattrs_ref));
}

/* Encodes, decodes, compares; and nothing shorter or longer decodes. */
static void assert_comes_back(const struct entry *e)
{
	struct entry back;
	size_t len = encode(e);
	uint8_t *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, buf, len);
	copy[len] = 0;
	assert_int_equal(entry_decode(copy, len, &back), 0);
	assert_same(e, &back);
	assert_int_equal(entry_decode(copy, len + 1, &back), -EBADMSG);
	put_le16(copy, (uint16_t)(len + 1));
	assert_int_equal(entry_decode(copy, len + 1, &back), -EBADMSG);
	free(copy);
	for (size_t cut = 0; cut < len; cut++) {
		copy = malloc(cut + 1);
		assert_non_null(copy);
		memcpy(copy, buf, cut);
		if (cut >= 2)
			put_le16(copy, (uint16_t)cut);
		assert_int_equal(entry_decode(copy, cut, &back), -EBADMSG);
		free(copy);
	}
	assert_int_equal(entry_encode(e, buf, len - 1), -ENOSPC);
}

static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };

static size_t some_xattrs(uint8_t *out, size_t value_len)
{
	static const uint8_t value[XATTRS_INLINE_MAX];
	struct xattr x = { .name = "user.a", .name_len = 6, .value = value };

	x.value_len = (uint32_t)(value_len - 11);
	xattr_encode(&x, out);
	return xattr_encoded_len(&x);
}

static void every_type_comes_back(void **state)
{
	uint8_t xattrs[XATTRS_INLINE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct entry e = of_type(types[i]);

		assert_comes_back(&e);
		if (types[i] != S_IFDIR)
			e.link_id = UINT64_MAX;
		assert_comes_back(&e);
		e.xattrs_apart = true;
		e.xattrs_ref = a_ref(KIND_DATA, XATTRS_INLINE_MAX + 1);
		assert_comes_back(&e);
		e.xattrs_apart = false;
		e.xattrs = xattrs;
		e.xattrs_len = (uint32_t)some_xattrs(xattrs, XATTRS_INLINE_MAX);
		assert_int_equal(e.xattrs_len, XATTRS_INLINE_MAX);
		assert_comes_back(&e);
	}
}

static void the_longest_entry_fits(void **state)
{
	uint8_t xattrs[XATTRS_INLINE_MAX];
	char name[NAME_LEN_MAX];
	struct entry e = of_type(S_IFLNK);

	(void)state;
	memset(name, 0xff, sizeof name);
	e.name = name;
	e.name_len = sizeof name;
	e.link_id = 1;
	e.target = long_target;
	e.size = SYMLINK_LEN_MAX;
	e.xattrs = xattrs;
	e.xattrs_len = (uint32_t)some_xattrs(xattrs, XATTRS_INLINE_MAX);
	assert_comes_back(&e);
	e.size++;
	assert_int_equal(entry_encode(&e, buf, sizeof buf), -EINVAL);
}

static void every_byte_but_slash_and_nul_can_stand_in_a_name(void **state)
{
	struct entry e = a_file(), back;
	char name[3] = "a?b";

	(void)state;
	e.name = name;
	e.name_len = 3;
	for (int c = 0; c < 256; c++) {
		size_t len;

		name[1] = (char)c;
		if (c == 0 || c == '/') {
			assert_int_equal(entry_encode(&e, buf, sizeof buf), -EINVAL);
			name[1] = 'x';
			len = encode(&e);
			buf[ENTRY_NAME_AT + 1] = (uint8_t)c;
			assert_int_equal(entry_decode(buf, len, &back), -EBADMSG);
		} else {
			assert_comes_back(&e);
		}
	}
}

static void names_that_mean_something_else_are_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "/", "a/", "/a" };
	static const char *const good[] = { "...", "..a", ".a", "a.", " ", "\n" };
	struct entry e = a_file();
	char name[NAME_LEN_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e.name = bad[i];
		e.name_len = (uint16_t)strlen(bad[i]);
		assert_int_equal(entry_encode(&e, buf, sizeof buf), -EINVAL);
	}
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		e.name = good[i];
		e.name_len = (uint16_t)strlen(good[i]);
		assert_comes_back(&e);
	}
	memset(name, 'n', sizeof name);
	e.name = name;
	e.name_len = NAME_LEN_MAX;
	assert_comes_back(&e);
	e.name_len = NAME_LEN_MAX + 1;
	assert_int_equal(entry_encode(&e, buf, sizeof buf), -EINVAL);
}

static void dots_are_refused_in_bytes_too(void **state)
{
	struct entry e = a_file(), back;
	size_t len;

	(void)state;
	e.name = ".a";
	e.name_len = 2;
	len = encode(&e);
	buf[ENTRY_NAME_AT + 1] = '.';
	assert_int_equal(entry_decode(buf, len, &back), -EBADMSG);
	e.name = "a";
	e.name_len = 1;
	len = encode(&e);
	buf[ENTRY_NAME_AT] = '.';
	assert_int_equal(entry_decode(buf, len, &back), -EBADMSG);
}

#define REFUSED(base, change) do { \
	struct entry e_ = (base); \
	change; \
	assert_int_equal(entry_encode(&e_, buf, sizeof buf), -EINVAL); \
} while (0)

static void what_does_not_fit_the_type_is_refused(void **state)
{
	(void)state;
	REFUSED(a_file(), e_.mode = 0644);
	REFUSED(a_file(), e_.mode = S_IFMT | 0644);
	REFUSED(a_file(), e_.mode |= 0x10000);
	REFUSED(a_file(), e_.mtime.nsec = 1000000000);
	REFUSED(a_file(), e_.ctime.nsec = UINT32_MAX);
	REFUSED(a_file(), e_.size = 6);
	REFUSED(a_file(), e_.rdev = 1);
	REFUSED(a_file(), e_.ref.kind = KIND_DIRECTORY);
	REFUSED(a_file(), e_.ref.kind = KIND_SNAPSHOT);
	REFUSED(a_file(), e_.ref.kind = KIND_ANY);
	REFUSED(a_file(), e_.ref.hash = 2);
	REFUSED(a_file(), e_.size = e_.ref.size = CHUNK_MAX + 1);
	REFUSED(a_file(), e_.ref = a_ref(KIND_INDEX, e_.size = 0));
	REFUSED(a_file(), e_.ref = a_ref(KIND_INDEX, e_.size = (uint64_t)INT64_MAX + 1));
	REFUSED(of_type(S_IFDIR), e_.ref.kind = KIND_DATA);
	REFUSED(of_type(S_IFDIR), e_.size++);
	REFUSED(of_type(S_IFDIR), e_.link_id = 1);
	REFUSED(of_type(S_IFLNK), e_.size = 0);
	REFUSED(of_type(S_IFLNK), e_.target = "a\0b");
	REFUSED(of_type(S_IFLNK), e_.rdev = 1);
	REFUSED(of_type(S_IFIFO), e_.size = 1);
	REFUSED(of_type(S_IFSOCK), e_.rdev = 1);
	REFUSED(of_type(S_IFCHR), e_.size = 1);
}

static void xattrs_have_one_place_each(void **state)
{
	static const uint8_t bad[] = { 1, 1, 0, 0, 0, 'n' };
	uint8_t xattrs[2 * XATTRS_INLINE_MAX];

	(void)state;
	some_xattrs(xattrs, XATTRS_INLINE_MAX + 1);
	REFUSED(a_file(), (e_.xattrs = xattrs, e_.xattrs_len = XATTRS_INLINE_MAX + 1));
	REFUSED(a_file(), (e_.xattrs = bad, e_.xattrs_len = sizeof bad));
	REFUSED(a_file(), (e_.xattrs_apart = true,
	    e_.xattrs_ref = a_ref(KIND_DATA, XATTRS_INLINE_MAX)));
	REFUSED(a_file(), (e_.xattrs_apart = true,
	    e_.xattrs_ref = a_ref(KIND_DIRECTORY, XATTRS_INLINE_MAX + 1)));
	some_xattrs(xattrs, 20);
	REFUSED(a_file(), (e_.xattrs_apart = true, e_.xattrs = xattrs, e_.xattrs_len = 20,
	    e_.xattrs_ref = a_ref(KIND_DATA, XATTRS_INLINE_MAX + 1)));
}

static void flags_with_an_empty_part_and_unknown_flags_are_refused(void **state)
{
	struct entry e = a_file(), back;
	size_t len = encode(&e);

	(void)state;
	for (int bit = 0; bit < 8; bit++) {
		buf[2] = (uint8_t)(1 << bit);
		assert_int_equal(entry_decode(buf, len, &back), -EBADMSG);
	}
	buf[2] = 1;	/* a link id of 0 */
	memset(buf + len, 0, 8);
	put_le16(buf, (uint16_t)(len + 8));
	assert_int_equal(entry_decode(buf, len + 8, &back), -EBADMSG);
	buf[len] = 1;
	assert_int_equal(entry_decode(buf, len + 8, &back), 0);
	buf[2] = 2;	/* xattrs of no bytes */
	memset(buf + len, 0, 2);
	put_le16(buf, (uint16_t)(len + 2));
	assert_int_equal(entry_decode(buf, len + 2, &back), -EBADMSG);
}

/* Whatever bytes decode at all must be the ones that the encoder writes. */
static void no_changed_byte_gives_a_second_form(void **state)
{
	uint8_t xattrs[32], again[ENTRY_LEN_MAX];
	unsigned int taken = 0;

	(void)state;
	for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
		struct entry e = of_type(types[t]), back;
		size_t len;

		e.xattrs = xattrs;
		e.xattrs_len = (uint32_t)some_xattrs(xattrs, sizeof xattrs);
		e.link_id = types[t] == S_IFDIR ? 0 : 3;
		len = encode(&e);
		for (size_t i = 0; i < 256 * len; i++) {
			uint8_t was = buf[i / 256];

			buf[i / 256] = (uint8_t)i;
			if (entry_decode(buf, len, &back) == 0) {
				assert_int_equal(entry_encode(&back, again, sizeof again), len);
				assert_memory_equal(buf, again, len);
				taken++;
			}
			buf[i / 256] = was;
		}
	}
	assert_true(taken > 1000);
}

static void the_bytes_are_the_documented_ones(void **state)
{
	static const uint8_t golden[] = {
		0x73, 0x00, 0x03, 0x04, 0xa4, 0x81, 0x00, 0x00, 0xe8, 0x03, 0x00, 0x00,
		0x64, 0x00, 0x00, 0x00, 0x00, 0xf1, 0x53, 0x65, 0x00, 0x00, 0x00, 0x00,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x9a, 0x3b,
		0x01, 0x00, 0x00, 0x00, 'f', 'i', 'l', 'e',
		/* ref */
		0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
		0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
		0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
		/* link id; xattrs */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0x0d, 0x00, 0x06, 0x02, 0x00, 0x00, 0x00, 'u', 's', 'e', 'r', '.', 'a', 0, 0,
	};
	uint8_t xattrs[13];
	struct entry e = a_file();

	(void)state;
	e.link_id = 0x1122334455667788;
	e.xattrs = xattrs;
	e.xattrs_len = (uint32_t)some_xattrs(xattrs, sizeof xattrs);
	assert_int_equal(encode(&e), sizeof golden);
	assert_memory_equal(buf, golden, sizeof golden);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_comes_back),
		cmocka_unit_test(the_longest_entry_fits),
		cmocka_unit_test(every_byte_but_slash_and_nul_can_stand_in_a_name),
		cmocka_unit_test(names_that_mean_something_else_are_refused),
		cmocka_unit_test(dots_are_refused_in_bytes_too),
		cmocka_unit_test(what_does_not_fit_the_type_is_refused),
		cmocka_unit_test(xattrs_have_one_place_each),
		cmocka_unit_test(flags_with_an_empty_part_and_unknown_flags_are_refused),
		cmocka_unit_test(no_changed_byte_gives_a_second_form),
		cmocka_unit_test(the_bytes_are_the_documented_ones),
	};

	memset(long_target, 't', sizeof long_target);
	return suite_run(tests);
}
