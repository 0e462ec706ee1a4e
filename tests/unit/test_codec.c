/* The codec: each library against the other, hostile streams, and no time for what won't shrink. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "chunker/address.h"
#include "chunker/codec.h"
#include "chunker/codec_impl.h"
#include "tests/lib/suite.h"

#define GUARD 64	/* bytes behind what may be written */

static const struct codec_impl *const impls[] = {
	&codec_zlib,
#ifdef HAVE_LIBDEFLATE
	&codec_libdeflate,
#endif
};
#define IMPLS (sizeof(impls) / sizeof(impls[0]))

static struct codec *codecs[IMPLS];

static uint8_t raw[CHUNK_MAX], out[CHUNK_MAX], back[CHUNK_MAX + GUARD];

static uint64_t state;

static uint64_t next(void)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return state >> 33;
}

/* Bytes of ${symbols} values, with repeats of what was there before: from text to noise. */
static void make(uint8_t *p, size_t len, unsigned int symbols, unsigned int repeats)
{
	size_t i = 0;

	while (i < len) {
		bool repeat = i > 0 && next() % 100 < repeats;
		size_t n = 1 + next() % 40, from = repeat ? next() % i : 0;

		for (; n > 0 && i < len; n--, i++)
			p[i] = repeat ? p[from++] : (uint8_t)(next() % symbols);
	}
}

static void check_round_trip(size_t len)
{
	for (size_t w = 0; w < IMPLS; w++) {
		size_t n = codec_deflate(codecs[w], raw, len, out);

		assert_in_range(n, 1, len - (len + 15) / 16);
		for (size_t r = 0; r < IMPLS; r++) {
			memset(back, 0x5a, sizeof(back));
			assert_int_equal(codec_inflate(codecs[r], out, n, back, len), 0);
			assert_memory_equal(back, raw, len);
			for (size_t i = 0; i < GUARD; i++)
				assert_int_equal(back[len + i], 0x5a);
		}
	}
}

static void each_library_reads_what_the_other_wrote(void **unused)
{
	static const size_t lens[] = { 100, 1000, 16383, 16384, 65536, 100001, CHUNK_MAX };

	(void)unused;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		make(raw, lens[i], 4, 50);
		check_round_trip(lens[i]);
		make(raw, lens[i], 128, 60);
		check_round_trip(lens[i]);
		memset(raw, 'x', lens[i]);
		check_round_trip(lens[i]);
	}
	for (int i = 0; i < 200; i++) {
		size_t len = 200 + next() % (CHUNK_MAX - 200);

		make(raw, len, 1 + (unsigned int)next() % 64, (unsigned int)next() % 100);
		check_round_trip(len);
	}
}

static void what_saves_less_than_a_sixteenth_stays_raw(void **unused)
{
	(void)unused;
	for (size_t c = 0; c < IMPLS; c++) {
		size_t len = 65536, n;

		make(raw, len, 256, 0);
		assert_int_equal(codec_deflate(codecs[c], raw, len, out), 0);
		assert_int_equal(codec_deflate(codecs[c], raw, 100, out), 0);
		assert_int_equal(codec_deflate(codecs[c], raw, 1, out), 0);
		assert_int_equal(codec_deflate(codecs[c], raw, 0, out), 0);
		/* About 1/20 is zeros at the end: the whole saves something, but too little. */
		memset(raw + len - len / 20, 0, len / 20);
		assert_int_equal(codec_deflate(codecs[c], raw, len, out), 0);
		memset(raw + len - len / 12, 0, len / 12);
		n = codec_deflate(codecs[c], raw, len, out);
		assert_in_range(n, len - len / 10, len - len / 16);
	}
}

/* A library that counts what it is given. */
static size_t asked;

static void *count_new(void)
{
	return &asked;
}

static void count_free(void *unused)
{
	(void)unused;
}

static size_t count_deflate(void *unused, const void *p, size_t len, void *to, size_t room)
{
	(void)unused;
	(void)p;
	(void)to;
	assert_in_range(room, len / 2, len);
	asked += len;
	return 0;
}

static void what_does_not_compress_costs_a_sample_only(void **unused)
{
	static const struct codec_impl count = {
		.name = "count", .new = count_new, .free = count_free, .deflate = count_deflate
	};
	struct codec *c = codec_new_with(&count);

	(void)unused;
	assert_non_null(c);
	asked = 0;
	assert_int_equal(codec_deflate(c, raw, 65536, out), 0);
	assert_int_equal(asked, 8192);
	codec_free(c);
	codec_free(NULL);
}

/* Of a good stream: another length than it has, cut anywhere, bytes behind it, another preset. */
static void a_stream_that_is_not_exactly_right_is_refused(void **unused)
{
	size_t len = 5000, n;

	(void)unused;
	make(raw, len, 20, 50);
	n = codec_deflate(codecs[0], raw, len, out);
	assert_in_range(n, 1, len);
	for (size_t c = 0; c < IMPLS; c++) {
		static const size_t wrong[] = { 0, 1, 4999, 5001, 10000, CHUNK_MAX };

		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			memset(back, 0x5a, sizeof(back));
			assert_int_equal(codec_inflate(codecs[c], out, n, back, wrong[i]), -EBADMSG);
			for (size_t j = 0; j < GUARD; j++)
				assert_int_equal(back[wrong[i] + j], 0x5a);
		}
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(codec_inflate(codecs[c], out, cut, back, len), -EBADMSG);
		out[n] = 0;
		assert_int_equal(codec_inflate(codecs[c], out, n + 1, back, len), -EBADMSG);
		/* The flag of a preset dictionary, with the header's check made right again. */
		out[0] = 0x78;
		out[1] = 0x20;
		out[1] += (uint8_t)(31 - 0x7820 % 31);
		assert_int_equal(codec_inflate(codecs[c], out, n, back, len), -EBADMSG);
		n = codec_deflate(codecs[0], raw, len, out);
		assert_int_equal(codec_inflate(codecs[c], out, n, back, len), 0);
	}
}

/* Any byte changed: refused, or (header bits, stored-block padding) still exactly the same bytes. */
static void a_changed_byte_never_gives_other_bytes(void **unused)
{
	size_t len = 3000, n;

	(void)unused;
	make(raw, len, 30, 50);
	n = codec_deflate(codecs[0], raw, len, out);
	for (size_t at = 0; at < n; at++) {
		uint8_t was = out[at];

		out[at] ^= (uint8_t)(1 + next() % 255);
		for (size_t c = 0; c < IMPLS; c++) {
			int rc = codec_inflate(codecs[c], out, n, back, len);

			assert_true(rc == -EBADMSG || (rc == 0 && memcmp(back, raw, len) == 0));
		}
		out[at] = was;
	}
}

/* 256 KiB of zeros in a few hundred bytes, claimed to be less. */
static void a_bomb_does_not_go_off(void **unused)
{
	size_t n;

	(void)unused;
	memset(raw, 0, CHUNK_MAX);
	n = codec_deflate(codecs[0], raw, CHUNK_MAX, out);
	assert_in_range(n, 1, 2048);
	for (size_t c = 0; c < IMPLS; c++) {
		memset(back, 0x5a, sizeof(back));
		assert_int_equal(codec_inflate(codecs[c], out, n, back, 4096), -EBADMSG);
		assert_int_equal(back[4096], 0x5a);
	}
}

static void the_build_says_which_library_it_has(void **unused)
{
	struct codec *c = codec_new();

	(void)unused;
	assert_non_null(c);
	codec_free(c);
	assert_string_equal(codec_name(), impls[IMPLS - 1]->name);
}

static int set_up(void **unused)
{
	(void)unused;
	state = 1;
	for (size_t i = 0; i < IMPLS; i++) {
		codecs[i] = codec_new_with(impls[i]);
		if (!codecs[i])
			return -1;
	}
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < IMPLS; i++)
		codec_free(codecs[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_library_reads_what_the_other_wrote),
		cmocka_unit_test(what_saves_less_than_a_sixteenth_stays_raw),
		cmocka_unit_test(what_does_not_compress_costs_a_sample_only),
		cmocka_unit_test(a_stream_that_is_not_exactly_right_is_refused),
		cmocka_unit_test(a_changed_byte_never_gives_other_bytes),
		cmocka_unit_test(a_bomb_does_not_go_off),
		cmocka_unit_test(the_build_says_which_library_it_has),
	};

	return suite_run_with(tests, set_up, tear_down);
}
