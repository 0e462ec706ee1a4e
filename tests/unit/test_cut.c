/*
 * cut() against a cutter that follows the rule of cut.h word for word, with the
 * whole file in memory.  SEED=n replays the random part; SOAK=1 makes it longer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "chunker/cut.h"
#include "chunker/gear.h"
#include "tests/lib/suite.h"

#define FILE_MAX   (1536u * 1024)
#define PIECES_MAX 4096

struct piece {
	size_t len;
	bool hole;
};

struct pieces {
	size_t n;
	struct piece piece[PIECES_MAX];
};

static uint64_t seed;

/* splitmix64: Steele, Lea & Flood (2014). */
static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t n)
{
	return (size_t)(splitmix(state) % n);
}

static void fill(uint64_t *state, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint8_t word[8];

		put_le64(word, splitmix(state));
		memcpy(p + i, word, n - i < 8 ? n - i : 8);
	}
}

static void add(struct pieces *out, size_t len, bool hole)
{
	assert_true(out->n < PIECES_MAX && len > 0);
	out->piece[out->n++] = (struct piece){ .len = len, .hole = hole };
}

/* The rule, naively. */

static size_t zeros_at(const uint8_t *p, size_t n, size_t at)
{
	size_t i = at;

	while (i < n && p[i] == 0)
		i++;
	return i - at;
}

/* The first hole at or behind ${at}, which is outside any: its place, or ${n}. */
static size_t next_hole(const uint8_t *p, size_t n, size_t at)
{
	while (at < n) {
		size_t zeros = zeros_at(p, n, at);

		if (zeros >= CUT_HOLE_MIN)
			return at;
		at += zeros + 1;
	}
	return n;
}

static size_t naive_chunk(const uint8_t *p, size_t n)
{
	uint64_t hash = 0;

	for (size_t i = CUT_MIN; i < n && i < CUT_MAX; i++) {
		hash = hash * 2 + gear[p[i]];
		if (hash >> 49 == 0)
			return i + 1;
	}
	return n < CUT_MAX ? n : CUT_MAX;
}

static void naive(const uint8_t *p, size_t n, struct pieces *out)
{
	size_t at = 0, hole = next_hole(p, n, 0);

	out->n = 0;
	while (at < n) {
		size_t len = at == hole ? zeros_at(p, n, at) : naive_chunk(p + at, hole - at);

		add(out, len, at == hole);
		at += len;
		if (at > hole)
			hole = next_hole(p, n, at);
	}
}

/*
 * cut() as a stream drives it: at first ${window} bytes are there to look at, more only
 * where it asks.  ${late}: that the file has ended is known only when asked again.
 */
static void streamed(const uint8_t *p, size_t n, size_t window, bool late, struct pieces *out)
{
	size_t at = 0, w = window;
	bool asked = false;

	out->n = 0;
	while (at < n) {
		size_t there = n - at < w ? n - at : w, len;
		bool end = there == n - at && (!late || asked);
		enum cut_type type = cut(p + at, there, end, &len);

		if (type == CUT_UNDECIDED) {
			assert_true(len == 0 && !end && there < CUT_WINDOW);
			asked = there == n - at;
			w += window;
			continue;
		}
		assert_in_range(len, 1, there);
		if (type == CUT_HOLE && len == there)
			len += cut_zeros(p + at + len, n - at - len);
		add(out, len, type == CUT_HOLE);
		at += len;
		w = window;
		asked = false;
	}
}

static void check_same(const struct pieces *want, const struct pieces *got)
{
	for (size_t i = 0; i < want->n && i < got->n; i++) {
		if (want->piece[i].len != got->piece[i].len || want->piece[i].hole != got->piece[i].hole)
			fail_msg("piece %zu: %s of %zu bytes, not %s of %zu", i,
			    got->piece[i].hole ? "hole" : "data", got->piece[i].len,
			    want->piece[i].hole ? "hole" : "data", want->piece[i].len);
	}
	assert_int_equal(got->n, want->n);
}

/*
 * 64 bytes after which ${zeros} zeros make the hash hit: the rarest thing in random
 * input, a hit within a run of zeros, made common.
 */
static void make_bait(uint64_t *state, uint8_t bait[64], size_t zeros)
{
	uint64_t hash;

	do {
		hash = 0;
		fill(state, bait, 64);
		for (size_t i = 0; i < 64; i++)
			hash = hash * 2 + gear[bait[i]];
		for (size_t i = 0; i < zeros; i++)
			hash = hash * 2 + gear[0];
	} while (hash >> 49 != 0 || bait[63] == 0);
}

#define BAITS 8
static uint8_t pool[2 * FILE_MAX];
static uint8_t bait[BAITS][64];

static size_t random_run_len(uint64_t *state)
{
	switch (below(state, 6)) {
	case 0:
		return 1 + below(state, 16);
	case 1:
		return CUT_HOLE_MIN - 2 + below(state, 5);
	case 2:
		return CUT_MAX - CUT_HOLE_MIN + below(state, 2 * CUT_HOLE_MIN);
	default:
		return 1 + below(state, 100u * 1024);
	}
}

/* Random bytes, runs of zeros of every length, runs of another byte, baits before either. */
static size_t random_file(uint64_t *state, uint8_t *p)
{
	size_t n = 0, want = below(state, 4) ? below(state, FILE_MAX) : below(state, CUT_WINDOW);

	while (n < want) {
		size_t len = random_run_len(state);

		if (len > want - n)
			len = want - n;
		switch (below(state, 6)) {
		case 0:
			memset(p + n, (int)below(state, 256), len);
			break;
		case 1:
		case 2:
			memset(p + n, 0, len);
			break;
		case 3:
			len = len < 64 ? len : 64;
			memcpy(p + n, bait[below(state, BAITS)] + 64 - len, len);
			break;
		default:
			memcpy(p + n, pool + below(state, FILE_MAX), len);
			break;
		}
		n += len;
	}
	return n;
}

static void random_files_are_cut_as_the_rule_says_in_windows_of_every_size(void **unused)
{
	static const size_t windows[] = { 1, 4096, 100, CUT_HOLE_MIN, CUT_MIN - 1, CUT_MAX, CUT_WINDOW };
	static struct pieces want, got;
	uint8_t *file = test_malloc(FILE_MAX);
	int rounds = getenv("SOAK") ? 40000 : 2000;

	(void)unused;
	fill(&seed, pool, sizeof(pool));
	for (size_t i = 0; i < BAITS; i++)
		make_bait(&seed, bait[i], 1 + 5 * i);
	for (int round = 0; round < rounds; round++) {
		uint64_t state = splitmix(&seed);
		size_t n = random_file(&state, file);
		size_t window = 1 + below(&state, 2 * CUT_WINDOW);

		/* Windows that begin tiny cost a call a step: for small files only. */
		if (below(&state, 2))
			window = windows[below(&state, sizeof(windows) / sizeof(windows[0]))];
		if (n > 8192 && window < 4096)
			window += 4096;
		naive(file, n, &want);
		streamed(file, n, window, below(&state, 2), &got);
		check_same(&want, &got);
		streamed(file, n, SIZE_MAX / 2, false, &got);
		check_same(&want, &got);
	}
	test_free(file);
}

/* One run of zeros of each length around the limit, at each place that could matter. */
static void a_run_of_zeros_is_a_hole_from_its_limit_on_wherever_it_lies(void **unused)
{
	static const size_t places[] = { 0, 1, 63, CUT_MIN - 1, CUT_MIN, CUT_MIN + 1, CUT_HOLE_MIN * 2 - 1,
		CUT_MAX - CUT_HOLE_MIN, CUT_MAX - CUT_HOLE_MIN + 1, CUT_MAX - 1, CUT_MAX, CUT_MAX + 1 };
	static struct pieces want, got;
	size_t size = CUT_MAX + 3 * CUT_HOLE_MIN;
	uint8_t *file = test_malloc(size);

	(void)unused;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (size_t len = CUT_HOLE_MIN - 1; len <= CUT_HOLE_MIN + 1; len++) {
			/* 'a' never makes the hash hit: nothing but the zeros and the limits cuts. */
			memset(file, 'a', size);
			memset(file + places[i], 0, len);
			naive(file, size, &want);
			for (size_t w = CUT_HOLE_MIN - 1; w <= CUT_WINDOW; w += CUT_HOLE_MIN / 2) {
				streamed(file, size, w, false, &got);
				check_same(&want, &got);
			}
			/* And where the file ends with it. */
			naive(file, places[i] + len, &want);
			streamed(file, places[i] + len, CUT_MIN, true, &got);
			check_same(&want, &got);
			assert_int_equal(want.piece[want.n - 1].hole, len >= CUT_HOLE_MIN);
		}
	}
	test_free(file);
}

static void a_hit_inside_a_hole_is_no_cut_and_one_in_a_short_run_is(void **unused)
{
	size_t at = CUT_MIN + 1000, size = at + 2 * CUT_HOLE_MIN, len;
	uint8_t *file = test_malloc(size);
	uint64_t state = 5;

	(void)unused;
	memset(file, 0, size);
	memset(file, 'a', at);
	make_bait(&state, file + at - 64, 7);
	assert_int_equal(cut(file, at + CUT_HOLE_MIN - 1, false, &len), CUT_UNDECIDED);
	assert_int_equal(cut(file, at + CUT_HOLE_MIN, false, &len), CUT_DATA);
	assert_int_equal(len, at);
	assert_int_equal(cut(file, at + CUT_HOLE_MIN - 1, true, &len), CUT_DATA);
	assert_int_equal(len, at + 7);
	file[at + CUT_HOLE_MIN - 1] = 1;
	assert_int_equal(cut(file, size, true, &len), CUT_DATA);
	assert_int_equal(len, at + 7);
	test_free(file);
}

static void the_shortest_files_are_one_chunk(void **unused)
{
	static const uint8_t bytes[] = { 0, 0, 7 };
	size_t len;

	(void)unused;
	for (size_t n = 1; n <= sizeof(bytes); n++) {
		assert_int_equal(cut(bytes, n, true, &len), CUT_DATA);
		assert_int_equal(len, n);
		assert_int_equal(cut(bytes, n, false, &len), CUT_UNDECIDED);
		assert_int_equal(len, 0);
	}
	assert_int_equal(cut(bytes, 0, true, &len), CUT_UNDECIDED);
}

static void zeros_are_counted_exactly(void **unused)
{
	uint8_t bytes[200];

	(void)unused;
	for (size_t start = 0; start < 16; start++) {
		for (size_t n = 0; n < 128; n++) {
			memset(bytes, 0xff, sizeof(bytes));
			memset(bytes + start, 0, n);
			assert_int_equal(cut_zeros(bytes + start, 150), n);
			assert_int_equal(cut_zeros(bytes + start, n), n);
		}
	}
}

static void the_table_follows_its_rule(void **unused)
{
	static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "dhtfsgear";

	(void)unused;
	for (unsigned int b = 0; b < 256; b++) {
		uint8_t byte = (uint8_t)b, hash[32];

		crypto_generichash_blake2b_salt_personal(hash, sizeof(hash), &byte, 1, NULL, 0, NULL, personal);
		assert_int_equal(gear[b], get_le64(hash));
		/* What the hash comes to in a long run of b, modulo 2^64. */
		assert_int_not_equal(-gear[b] >> 49, 0);
	}
	assert_int_equal(gear[0], UINT64_C(0x58cb57d8a9e464de));
	assert_int_equal(gear[255], UINT64_C(0xa9083038bf5facad));
}

/* 16 MiB of splitmix64 from seed 1, as little-endian words. */
static void golden_cut_points_have_not_moved(void **unused)
{
	static const uint32_t first[] = { 51839, 72353, 134382, 64934, 82735, 61963, 117416, 94169 };
	size_t size = 16u << 20, at = 0, count = 0, len, longest = 0;
	uint8_t *file = test_malloc(size);
	uint64_t state = 1, sum = 0;

	(void)unused;
	fill(&state, file, size);
	while (at < size) {
		assert_int_equal(cut(file + at, size - at, true, &len), CUT_DATA);
		if (count < sizeof(first) / sizeof(first[0]))
			assert_int_equal(len, first[count]);
		sum = (sum + len) * UINT64_C(0x100000001b3);
		longest = len > longest ? len : longest;
		count++;
		at += len;
	}
	assert_int_equal(count, 256);
	assert_int_equal(longest, 168245);
	assert_int_equal(sum, UINT64_C(0xb0b0b9f2c95b0894));
	test_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_files_are_cut_as_the_rule_says_in_windows_of_every_size),
		cmocka_unit_test(a_run_of_zeros_is_a_hole_from_its_limit_on_wherever_it_lies),
		cmocka_unit_test(a_hit_inside_a_hole_is_no_cut_and_one_in_a_short_run_is),
		cmocka_unit_test(the_shortest_files_are_one_chunk),
		cmocka_unit_test(zeros_are_counted_exactly),
		cmocka_unit_test(the_table_follows_its_rule),
		cmocka_unit_test(golden_cut_points_have_not_moved),
	};
	seed = suite_seed(20240611);
	return suite_run(tests);
}
