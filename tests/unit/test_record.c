#include <errno.h>
#include <string.h>

#include <zlib.h>

#include "chunker/bytes.h"
#include "chunker/codec.h"
#include "dht/record.h"
#include "tests/lib/suite.h"

#define ID 0x0123456789abcdefu

static struct record example(void)
{
	struct record r = { .segment = 7, .offset = 4096, .raw_len = 3, .stored_len = 3,
		.hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .codec = CODEC_RAW };

	address_of(KIND_DATA, "abc", 3, &r.address);
	return r;
}

static void is_hex(const uint8_t *header, const char *golden)
{
	char text[2 * RECORD_HEADER + 1];

	for (size_t i = 0; i < RECORD_HEADER; i++) {
		text[2 * i] = "0123456789abcdef"[header[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[header[i] & 15];
	}
	text[2 * RECORD_HEADER] = '\0';
	assert_string_equal(text, golden);
}

static void the_header_is_the_documented_bytes(void **state)
{
	/* dht/DESIGN.md, "A record" */
	static const char golden[] =
	    "64687231" "01" "01" "00" "00" "03000000" "03000000"
	    "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
	    "efcdab8967452301" "07000000" "9539cbf3";
	struct record r = example();
	uint8_t header[RECORD_HEADER];

	(void)state;
	record_encode(&r, ID, header);
	is_hex(header, golden);
}

static void a_gap_is_the_documented_bytes_and_counts_only_where_it_was_written(void **state)
{
	/* dht/DESIGN.md, "A gap" */
	static const char golden[] =
	    "64686731" "00000000" "00200000"
	    "000000000000000000000000000000000000"
	    "000000000000000000000000000000000000"
	    "efcdab8967452301" "07000000" "326c0e9e";
	uint8_t header[RECORD_HEADER];
	struct record r;
	uint32_t span;
	uint64_t id;

	(void)state;
	gap_encode(7, 4096, 8192, ID, header);
	is_hex(header, golden);
	assert_int_equal(gap_decode(header, 7, 4096, ID, &span), 0);
	assert_int_equal(span, 8192);
	assert_int_equal(record_store_id(header, 7, 4096, &id), 0);
	assert_true(id == ID);
	assert_int_equal(record_decode(header, 7, 4096, ID, &r), -EBADMSG);
	assert_int_equal(gap_decode(header, 8, 4096, ID, &span), -EBADMSG);
	assert_int_equal(gap_decode(header, 7, 4160, ID, &span), -EBADMSG);
	assert_int_equal(gap_decode(header, 7, 4096, ID + 1, &span), -EBADMSG);
	for (size_t i = 0; i < 8 * RECORD_HEADER; i++) {
		header[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(gap_decode(header, 7, 4096, ID, &span), -EBADMSG);
		header[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

/* A scan would not come to an end, or leave out what is behind it. */
static void a_gap_that_is_too_short_or_too_long_is_none(void **state)
{
	static const uint32_t spans[] = { 0, 1, 63, 65, SEGMENT_MAX - 4096 + RECORD_ALIGN, SEGMENT_MAX, UINT32_MAX };
	uint8_t header[RECORD_HEADER], place[4];
	uint32_t span = 7;

	(void)state;
	put_le32(place, 4096);
	for (size_t i = 0; i < sizeof(spans) / sizeof(*spans); i++) {
		gap_encode(7, 4096, 8192, ID, header);
		put_le32(header + 8, spans[i]);
		put_le32(header + 60, (uint32_t)crc32(crc32(0, header, 60), place, 4));
		assert_int_equal(gap_decode(header, 7, 4096, ID, &span), -EBADMSG);
		assert_int_equal(span, 7);
	}
}

static void what_was_encoded_is_decoded(void **state)
{
	struct record r = example(), out;
	uint8_t header[RECORD_HEADER];
	uint64_t id;

	(void)state;
	record_encode(&r, ID, header);
	assert_true(record_magic(header));
	assert_int_equal(record_decode(header, 7, 4096, ID, &out), 0);
	assert_int_equal(record_store_id(header, 7, 4096, &id), 0);
	assert_true(id == ID);
	assert_true(record_same_place(&r, &out) && address_equal(&r.address, &out.address));
	assert_int_equal(out.raw_len, 3);
	assert_int_equal(out.stored_len, 3);
	assert_int_equal(out.kind, KIND_DATA);
	assert_int_equal(out.codec, CODEC_RAW);
	assert_false(out.bad);
}

static void no_changed_bit_goes_unnoticed(void **state)
{
	struct record r = example(), out;
	uint8_t header[RECORD_HEADER];

	(void)state;
	record_encode(&r, ID, header);
	for (size_t bit = 0; bit < 8 * RECORD_HEADER; bit++) {
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(record_decode(header, 7, 4096, ID, &out), -EBADMSG);
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void a_header_counts_only_where_it_was_written(void **state)
{
	struct record r = example(), out;
	uint8_t header[RECORD_HEADER];

	(void)state;
	record_encode(&r, ID, header);
	assert_int_equal(record_decode(header, 8, 4096, ID, &out), -EBADMSG);
	assert_int_equal(record_decode(header, 7, 4096 + 64, ID, &out), -EBADMSG);
	assert_int_equal(record_decode(header, 7, 4096, ID + 1, &out), -EBADMSG);
}

static void impossible_records_are_not_valid(void **state)
{
	struct record r;

	(void)state;
	r = example();
	assert_true(record_valid(&r));
	r.raw_len = r.stored_len = CHUNK_MAX + 1;
	assert_false(record_valid(&r));
	r = example();
	r.stored_len = 4;
	assert_false(record_valid(&r));
	r = example();
	r.codec = CODEC_ZLIB;
	assert_false(record_valid(&r));
	r.raw_len = 4;
	assert_true(record_valid(&r));
	r.stored_len = 0;
	assert_false(record_valid(&r));
	r = example();
	r.codec = 2;
	assert_false(record_valid(&r));
	r = example();
	r.kind = KIND_ANY;
	assert_false(record_valid(&r));
	r = example();
	r.hash = 2;
	assert_false(record_valid(&r));
	r = example();
	r.offset = 4097;
	assert_false(record_valid(&r));
	r.offset = SEGMENT_MAX - 64;
	assert_false(record_valid(&r));
	r.offset = SEGMENT_MAX - 128;
	assert_true(record_valid(&r));
	r.offset = UINT32_MAX - 63;
	assert_false(record_valid(&r));
}

static void a_span_is_a_multiple_of_the_alignment(void **state)
{
	(void)state;
	assert_int_equal(record_span(0), 64);
	assert_int_equal(record_span(1), 128);
	assert_int_equal(record_span(64), 128);
	assert_int_equal(record_span(65), 192);
	assert_int_equal(record_span(CHUNK_MAX), CHUNK_MAX + 64);
}

static void bytes_verify_under_their_kind_only(void **state)
{
	static uint8_t text[4096], packed[4096], raw[4096];
	struct codec *codec = codec_new();
	struct record r = { .raw_len = sizeof(text), .codec = CODEC_ZLIB, .hash = HASH_BLAKE2B_256,
		.kind = KIND_INDEX };

	(void)state;
	assert_non_null(codec);
	memset(text, 'x', sizeof(text));
	address_of(KIND_INDEX, text, sizeof(text), &r.address);
	r.stored_len = (uint32_t)codec_deflate(codec, text, sizeof(text), packed);
	assert_true(r.stored_len > 0);
	assert_int_equal(record_verify(&r, KIND_INDEX, packed, codec, raw), 0);
	assert_memory_equal(raw, text, sizeof(text));
	assert_int_equal(record_verify(&r, KIND_DATA, packed, codec, raw), -EBADMSG);
	packed[r.stored_len / 2] ^= 1;
	assert_int_equal(record_verify(&r, KIND_INDEX, packed, codec, raw), -EBADMSG);
	codec_free(codec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_the_documented_bytes),
		cmocka_unit_test(a_gap_is_the_documented_bytes_and_counts_only_where_it_was_written),
		cmocka_unit_test(a_gap_that_is_too_short_or_too_long_is_none),
		cmocka_unit_test(what_was_encoded_is_decoded),
		cmocka_unit_test(no_changed_bit_goes_unnoticed),
		cmocka_unit_test(a_header_counts_only_where_it_was_written),
		cmocka_unit_test(impossible_records_are_not_valid),
		cmocka_unit_test(a_span_is_a_multiple_of_the_alignment),
		cmocka_unit_test(bytes_verify_under_their_kind_only),
	};

	return suite_run(tests);
}
