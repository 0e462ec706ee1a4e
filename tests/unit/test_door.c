/* door: each limit at its edge, and what a flood can't do.  SEED=n replays the random part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/door.h"
#include "tests/lib/suite.h"

static uint64_t seed;

/* splitmix64: Steele, Lea & Flood (2014). */
static uint32_t below(uint64_t *state, uint32_t n)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) % n);
}

static uint32_t enter4(struct door *d, uint32_t ip, uint32_t link)
{
	uint8_t source[DOOR_SOURCE] = { [10] = 0xff, [11] = 0xff };

	put_le32(source + 12, ip);
	return door_enter(d, source, link);
}

static uint32_t enter6(struct door *d, uint64_t prefix, uint64_t rest, uint32_t link)
{
	uint8_t source[DOOR_SOURCE];

	put_be64(source, prefix);
	put_be64(source + 8, rest);
	return door_enter(d, source, link);
}

static void one_source_has_a_number_of_places_and_its_oldest_gives_way(void **state)
{
	struct door d = { 0 };

	(void)state;
	assert_int_equal(enter4(&d, 99, 1000), DOOR_NOBODY);
	for (uint32_t i = 1; i <= DOOR_SOURCE_MAX; i++)
		assert_int_equal(enter4(&d, 7, i), DOOR_NOBODY);
	for (uint32_t i = 1; i <= 50; i++)
		assert_int_equal(enter4(&d, 7, DOOR_SOURCE_MAX + i), i);
	assert_int_equal(d.count, 1 + DOOR_SOURCE_MAX);
	/* Whoever is done makes room, wherever he stands. */
	door_leave(&d, 53);
	door_leave(&d, 53);
	door_leave(&d, 12345);
	assert_int_equal(enter4(&d, 7, 500), DOOR_NOBODY);
	assert_int_equal(enter4(&d, 7, 501), 51);
	assert_int_equal(enter4(&d, 7, 502), 52);
	assert_int_equal(enter4(&d, 7, 503), 54);
}

static void all_places_are_bounded_and_the_busiest_source_gives_way(void **state)
{
	struct door d = { 0 };
	uint32_t link = 1;

	(void)state;
	/* Three, four and two places of three sources, then each of its own. */
	for (uint32_t i = 0; i < 9; i++)
		assert_int_equal(enter4(&d, i < 3 ? 1 : i < 7 ? 2 : 3, link++), DOOR_NOBODY);
	for (; d.count < DOOR_MAX; link++)
		assert_int_equal(enter4(&d, 100 + link, link), DOOR_NOBODY);
	assert_int_equal(enter4(&d, 50, 1000), 4);
	assert_int_equal(enter4(&d, 51, 1001), 1);	/* three each: the oldest */
	assert_int_equal(enter4(&d, 52, 1002), 5);
	assert_int_equal(enter4(&d, 53, 1003), 2);	/* two each */
	assert_int_equal(enter4(&d, 54, 1004), 6);
	assert_int_equal(enter4(&d, 55, 1005), 8);
	assert_int_equal(enter4(&d, 56, 1006), 3);	/* one each */
	assert_int_equal(d.count, DOOR_MAX);
}

static void a_source_is_a_prefix_of_64_bits_or_a_whole_ipv4_address(void **state)
{
	struct door d = { 0 };

	(void)state;
	for (uint32_t i = 1; i <= DOOR_SOURCE_MAX; i++) {
		assert_int_equal(enter6(&d, 0x20010db8, i, i), DOOR_NOBODY);
		assert_int_equal(enter6(&d, 0, i, 100 + i), DOOR_NOBODY);	/* ::1 and so on */
		assert_int_equal(enter4(&d, 1, 200 + i), DOOR_NOBODY);
		assert_int_equal(enter4(&d, 2, 300 + i), DOOR_NOBODY);
	}
	assert_int_equal(enter6(&d, 0x20010db8, 12345, 1000), 1);
	assert_int_equal(enter6(&d, 0x20010db9, 12345, 1001), DOOR_NOBODY);
	assert_int_equal(enter6(&d, 0, 12345, 1002), 101);
	assert_int_equal(enter4(&d, 1, 1003), 201);
	assert_int_equal(enter4(&d, 3, 1004), DOOR_NOBODY);
}

/* One who connects from a few places all the time keeps nobody out who needs a round trip. */
static void a_flood_of_few_sources_does_not_keep_others_out(void **state)
{
	struct door d = { 0 };
	uint64_t random = seed;
	uint32_t link = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		uint32_t member = link++, out = enter4(&d, 1000 + (uint32_t)round, member);

		assert_int_not_equal(out, member);
		for (int i = 0; i < 1000; i++) {
			assert_int_not_equal(enter4(&d, below(&random, 20), link++), member);
			assert_true(d.count <= DOOR_MAX);
		}
		door_leave(&d, member);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_source_has_a_number_of_places_and_its_oldest_gives_way),
		cmocka_unit_test(all_places_are_bounded_and_the_busiest_source_gives_way),
		cmocka_unit_test(a_source_is_a_prefix_of_64_bits_or_a_whole_ipv4_address),
		cmocka_unit_test(a_flood_of_few_sources_does_not_keep_others_out),
	};
	seed = suite_seed(20240611);
	return suite_run(tests);
}
