/* Addresses: golden ones (by b2sum and by Python's hashlib), and against libsodium. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "chunker/address.h"
#include "chunker/alone.h"
#include "chunker/chunk.h"
#include "chunker/lanes.h"
#include "tests/lib/suite.h"

/* printf '' | b2sum -l 256 */
#define EMPTY "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"

static void check_address(enum kind kind, const char *data, const char *want)
{
	char text[ADDRESS_TEXT_LEN + 1];
	struct address a;

	address_of(kind, data, strlen(data), &a);
	address_format(&a, text);
	assert_string_equal(text, want);
}

static void a_data_chunk_has_the_address_that_b2sum_prints(void **unused)
{
	(void)unused;
	check_address(KIND_DATA, "", EMPTY);
	check_address(KIND_DATA, "abc",
	    "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void every_other_kind_has_a_personalisation_of_its_own(void **unused)
{
	(void)unused;
	check_address(KIND_INDEX, "abc",
	    "ee47889dbcb20c02bffda3c386644e15d2d021dc5ffd72ad07d5ee7606e81d6b");
	check_address(KIND_DIRECTORY, "abc",
	    "e930534485f862f3badd48d8fcca5c298bdd6a263fbfef375e6ba725553f81cc");
	check_address(KIND_SNAPSHOT, "abc",
	    "0799ae73572a53f88d4389199271cf7fd97954037922d2c9943d67c51e7643cc");
	check_address(KIND_INDEX, "",
	    "5b5a1e23be0696644cc5427c7159fc224e9e33b9877725da2ced868503c8591e");
	check_address(KIND_DIRECTORY, "",
	    "c64b7e4f38de30a965250fc11094fba0200326400b4397afc90d535a311f4efa");
	check_address(KIND_SNAPSHOT, "",
	    "c4bd577f469f57f62de5882501120e84dc96472d297edbbe605ad29248497420");
}

static void a_text_is_read_back_in_either_case(void **unused)
{
	char text[ADDRESS_TEXT_LEN + 1], upper[ADDRESS_TEXT_LEN + 1];
	struct address a, b;

	(void)unused;
	assert_int_equal(address_parse(EMPTY, &a), 0);
	address_format(&a, text);
	assert_string_equal(text, EMPTY);
	for (size_t i = 0; i <= ADDRESS_TEXT_LEN; i++)
		upper[i] = text[i] >= 'a' ? (char)(text[i] - 'a' + 'A') : text[i];
	assert_int_equal(address_parse(upper, &b), 0);
	assert_true(address_equal(&a, &b));
}

static void what_is_not_64_hex_digits_is_no_address(void **unused)
{
	char text[ADDRESS_TEXT_LEN + 2] = EMPTY;
	struct address a;

	(void)unused;
	assert_int_equal(address_parse("", &a), -EINVAL);
	for (size_t i = 0; i < ADDRESS_TEXT_LEN; i++) {
		static const char bad[] = { 'g', 'G', '/', ':', '@', '`', ' ', '-', (char)0xc3, '\0' };
		char was = text[i];

		for (size_t j = 0; j < sizeof(bad); j++) {
			text[i] = bad[j];
			assert_int_equal(address_parse(text, &a), -EINVAL);
		}
		text[i] = was;
	}
	assert_int_equal(address_parse(text, &a), 0);
	text[ADDRESS_TEXT_LEN] = '0';
	assert_int_equal(address_parse(text, &a), -EINVAL);
}

static void addresses_compare_as_unsigned_bytes(void **unused)
{
	struct address a = { { 0x7f } }, b = { { 0x80 } };

	(void)unused;
	assert_true(address_compare(&a, &b) < 0);
	assert_true(address_compare(&b, &a) > 0);
	assert_int_equal(address_compare(&a, &a), 0);
	assert_false(address_equal(&a, &b));
	b = a;
	b.b[ADDRESS_LEN - 1] = 1;
	assert_true(address_compare(&a, &b) < 0);
	assert_false(address_equal(&a, &b));
}

static void a_ref_has_one_encoding(void **unused)
{
	static const uint8_t head[16] = { 1, 2, 0, 0, 0, 0, 0, 0,
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01 };
	struct ref r = { .hash = HASH_BLAKE2B_256, .kind = KIND_INDEX, .size = 0x0123456789abcdef }, back;
	uint8_t bytes[REF_LEN];

	(void)unused;
	address_of(KIND_INDEX, "abc", 3, &r.address);
	ref_encode(&r, bytes);
	assert_memory_equal(bytes, head, 16);
	assert_memory_equal(bytes + 16, r.address.b, ADDRESS_LEN);
	assert_int_equal(ref_decode(bytes, &back), 0);
	assert_true(ref_equal(&r, &back));
	back.size++;
	assert_false(ref_equal(&r, &back));
}

static void a_ref_with_an_unknown_byte_is_refused(void **unused)
{
	struct ref r, back;
	uint8_t bytes[REF_LEN];

	(void)unused;
	ref_empty(&r);
	ref_encode(&r, bytes);
	assert_int_equal(ref_decode(bytes, &back), 0);
	for (size_t i = 0; i < 8; i++) {
		uint8_t was = bytes[i];

		for (unsigned int v = 0; v < 256; v++) {
			bool good = i == 0 ? v == HASH_BLAKE2B_256 : i == 1 ? v >= 1 && v <= 4 : v == 0;

			bytes[i] = (uint8_t)v;
			assert_int_equal(ref_decode(bytes, &back), good ? 0 : -EBADMSG);
		}
		bytes[i] = was;
	}
}

static void a_ref_of_a_size_that_its_kind_cannot_have_is_refused(void **unused)
{
	struct ref r, back;
	uint8_t bytes[REF_LEN];

	(void)unused;
	ref_empty(&r);
	for (unsigned int kind = KIND_DATA; kind <= KIND_SNAPSHOT; kind++) {
		bool one = kind == KIND_DATA || kind == KIND_SNAPSHOT;
		uint64_t most = one ? CHUNK_MAX : INT64_MAX;

		r.kind = (uint8_t)kind;
		r.size = most;
		ref_encode(&r, bytes);
		assert_int_equal(ref_decode(bytes, &back), 0);
		r.size = most + 1;
		ref_encode(&r, bytes);
		assert_int_equal(ref_decode(bytes, &back), -EBADMSG);
	}
}

static void kinds_have_names(void **unused)
{
	(void)unused;
	assert_string_equal(kind_name(KIND_ANY), "any");
	assert_string_equal(kind_name(KIND_DATA), "data");
	assert_string_equal(kind_name(KIND_SNAPSHOT), "snapshot");
	assert_string_equal(kind_name(5), "unknown");
	assert_false(kind_valid(KIND_ANY));
	assert_true(kind_valid(KIND_DATA));
	assert_true(kind_valid(KIND_SNAPSHOT));
	assert_false(kind_valid(5));
}

/* A leak or an early free is for the address sanitizer to see. */
static void slices_keep_the_bytes_alive(void **unused)
{
	uint8_t *bytes;
	struct chunk *c = chunk_new(100, &bytes), *slice, *inner;

	(void)unused;
	assert_non_null(c);
	for (size_t i = 0; i < 100; i++)
		bytes[i] = (uint8_t)i;
	slice = chunk_slice(c, 10, 90);
	chunk_drop(c);
	inner = chunk_slice(slice, 90, 0);
	chunk_drop(inner);
	inner = chunk_slice(slice, 5, 20);
	chunk_drop(slice);
	assert_int_equal(inner->len, 20);
	assert_memory_equal(inner->data, bytes + 15, 20);
	assert_ptr_equal(chunk_hold(inner), inner);
	chunk_drop(inner);
	assert_int_equal(inner->data[0], 15);
	chunk_drop(inner);
	chunk_drop(NULL);

	c = chunk_copy("abc", 3);
	assert_memory_equal(c->data, "abc", 3);
	chunk_drop(c);
	c = chunk_copy(NULL, 0);
	assert_int_equal(c->len, 0);
	chunk_drop(c);
}

#define JOBS 300u

/* Of lengths at and around the ends of blocks, and long ones among short ones, so that lanes end at different times. */
static void many_at_a_time_have_the_addresses_of_one_after_the_other(void **unused)
{
	static uint8_t bytes[8 * 1024 + JOBS];
	struct address_job jobs[JOBS];
	struct address want;

	(void)unused;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 151 + (i >> 8) * 7);
	for (size_t n = 0; n <= JOBS; n = n < 20 ? n + 1 : n + 140) {
		for (size_t i = 0; i < n; i++)
			jobs[i] = (struct address_job){ .kind = (enum kind)(KIND_DATA + i % 4), .data = bytes + i,
				.len = i % 7 == 3 ? 8 * 1024 - i : i % 11 == 5 ? 128 * (i % 5) : (i + n) % 300 };
		address_of_many(jobs, n);
		for (size_t i = 0; i < n; i++) {
			address_of(jobs[i].kind, jobs[i].data, jobs[i].len, &want);
			assert_memory_equal(&jobs[i].address, &want, sizeof(want));
		}
	}
}

/* Whichever of the two address_of() takes. */
static void one_alone_is_hashed_as_libsodium_does(void **unused)
{
	static const uint8_t personal[BLAKE2B_PERSONAL] = "dhtfs a to z 16";
	static uint8_t bytes[CHUNK_MAX];
	struct address want, got;

	(void)unused;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 151 + (i >> 8) * 7);
	for (size_t len = 0; len <= CHUNK_MAX; len = len < 1000 ? len + 1 : len * 2 + len % 3) {
		crypto_generichash_blake2b_salt_personal(want.b, ADDRESS_LEN, bytes, len, NULL, 0, NULL, personal);
		alone_hash(len ? bytes : NULL, len, personal, &got);
		assert_memory_equal(&got, &want, sizeof(want));
	}
}

static const uint8_t none[2][BLAKE2B_PERSONAL];

static void each_width_of_vectors_hashes_alike(void **unused)
{
	static uint8_t bytes[CHUNK_MAX];
	struct address_job jobs[20];
	struct address want;

	(void)unused;
	if (lanes_best() == LANES_NONE)
		skip();
	memset(bytes, 0xa5, sizeof(bytes));
	for (enum lanes with = LANES_NONE + 1; with <= lanes_best(); with++) {
		for (size_t i = 0; i < 20; i++)
			jobs[i] = (struct address_job){ .kind = KIND_DATA, .data = i == 4 ? NULL : bytes, .len = i == 4 ? 0 : CHUNK_MAX - 1000 * i };
		lanes_hash(with, jobs, 20, none);
		for (size_t i = 0; i < 20; i++) {
			address_of(KIND_DATA, jobs[i].data, jobs[i].len, &want);
			assert_memory_equal(&jobs[i].address, &want, sizeof(want));
		}
	}
}

/* As measured: side by side they take as long as the longest does, and that is longer than it takes alone. */
static void few_or_uneven_ones_are_hashed_one_after_the_other(void **state)
{
	struct address_job even[8], uneven[8];

	(void)state;
	if (lanes_best() == LANES_NONE)
		skip();
	for (size_t i = 0; i < 8; i++) {
		even[i] = (struct address_job){ .kind = KIND_DATA, .len = 65536 };
		uneven[i] = (struct address_job){ .kind = KIND_DATA, .len = i ? 1000 : CHUNK_MAX };
	}
	assert_false(lanes_pay(LANES_NONE, even, 8));
	for (enum lanes with = LANES_NONE + 1; with <= LANES_AVX512; with++) {
		assert_false(lanes_pay(with, even, 0));
		assert_false(lanes_pay(with, even, 1));
		assert_true(lanes_pay(with, even, 8));
		assert_false(lanes_pay(with, uneven, 8));
	}
	assert_false(lanes_pay(LANES_AVX2, even, 3));
	assert_true(lanes_pay(LANES_AVX512, even, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_data_chunk_has_the_address_that_b2sum_prints),
		cmocka_unit_test(every_other_kind_has_a_personalisation_of_its_own),
		cmocka_unit_test(many_at_a_time_have_the_addresses_of_one_after_the_other),
		cmocka_unit_test(one_alone_is_hashed_as_libsodium_does),
		cmocka_unit_test(each_width_of_vectors_hashes_alike),
		cmocka_unit_test(few_or_uneven_ones_are_hashed_one_after_the_other),
		cmocka_unit_test(a_text_is_read_back_in_either_case),
		cmocka_unit_test(what_is_not_64_hex_digits_is_no_address),
		cmocka_unit_test(addresses_compare_as_unsigned_bytes),
		cmocka_unit_test(a_ref_has_one_encoding),
		cmocka_unit_test(a_ref_with_an_unknown_byte_is_refused),
		cmocka_unit_test(a_ref_of_a_size_that_its_kind_cannot_have_is_refused),
		cmocka_unit_test(kinds_have_names),
		cmocka_unit_test(slices_keep_the_bytes_alive),
	};

	return suite_run(tests);
}
