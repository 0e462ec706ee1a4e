/* cache: what it keeps, what goes first, and that its budget holds. */
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "fs/cache.h"
#include "tests/lib/suite.h"

#define LEN 4096u

static struct address address(uint32_t n)
{
	struct address a;
	uint8_t bytes[4];

	put_le32(bytes, n);
	address_of(KIND_DATA, bytes, sizeof(bytes), &a);
	return a;
}

static void put(struct cache *c, uint32_t n)
{
	struct address a = address(n);
	uint8_t *bytes;
	struct chunk *chunk = chunk_new(LEN, &bytes);

	assert_non_null(chunk);
	memset(bytes, 0, LEN);
	put_le32(bytes, n);
	cache_put(c, KIND_DATA, &a, chunk);
	chunk_drop(chunk);
}

static bool has(struct cache *c, uint32_t n)
{
	struct address a = address(n);

	return cache_has(c, KIND_DATA, &a);
}

static bool use(struct cache *c, uint32_t n)
{
	struct address a = address(n);
	struct chunk *chunk = cache_get(c, KIND_DATA, &a);

	if (!chunk)
		return false;
	assert_int_equal(get_le32(chunk->data), n);
	chunk_drop(chunk);
	return true;
}

static void what_was_put_is_found_under_its_kind_only(void **state)
{
	struct cache *c = cache_new(1 << 20);
	struct address a = address(7);

	(void)state;
	put(c, 7);
	assert_true(use(c, 7));
	assert_false(use(c, 8));
	assert_null(cache_get(c, KIND_INDEX, &a));
	assert_false(cache_has(c, KIND_INDEX, &a));
	cache_free(c);
}

static void the_budget_holds_and_the_oldest_go_first(void **state)
{
	uint32_t fit = (1 << 20) / LEN, n = 10 * fit, found = 0;
	struct cache *c = cache_new(1 << 20);

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		put(c, i);
	for (uint32_t i = 0; i < n; i++)
		found += has(c, i);
	assert_int_equal(found, fit);
	for (uint32_t i = n - fit; i < n; i++)
		assert_true(has(c, i));
	cache_free(c);
}

static void a_long_read_does_not_push_out_what_is_used_often(void **state)
{
	struct cache *c = cache_new(1 << 20);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		put(c, i);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 100; i++)
			assert_true(use(c, i));
	}
	/* Each chunk of it is used by three requests. */
	for (uint32_t i = 1000; i < 10000; i++) {
		put(c, i);
		for (uint32_t n = 0; n < 3; n++)
			assert_true(use(c, i));
	}
	for (uint32_t i = 0; i < 100; i++)
		assert_true(has(c, i));
	cache_free(c);
}

static void what_is_no_longer_used_gives_way_to_what_is(void **state)
{
	struct cache *c = cache_new(1 << 20);
	uint32_t found = 0;

	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		put(c, i);
		for (uint32_t n = 0; n < 5; n++)
			use(c, i);
	}
	for (uint32_t i = 0; i < 1000; i++)
		found += has(c, i);
	assert_int_equal(found, 0);
	assert_true(has(c, 1999));
	cache_free(c);
}

static void trimming_leaves_that_much(void **state)
{
	struct cache *c = cache_new(64 << 20);
	uint32_t found = 0;

	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		put(c, i);
	cache_trim(c, 1 << 20);
	for (uint32_t i = 0; i < 10000; i++)
		found += has(c, i);
	assert_in_range(found, 1, (1 << 20) / LEN);
	cache_trim(c, 0);
	for (uint32_t i = 0; i < 10000; i++)
		assert_false(has(c, i));
	cache_free(c);
}

static void a_chunk_over_the_budget_and_an_empty_one_are_not_kept(void **state)
{
	struct cache *c = cache_new(LEN - 1);
	struct chunk *empty = chunk_copy("", 0);
	struct address a = address(0);

	(void)state;
	put(c, 1);
	assert_false(has(c, 1));
	cache_put(c, KIND_DATA, &a, empty);
	assert_false(has(c, 0));
	chunk_drop(empty);
	cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found_under_its_kind_only),
		cmocka_unit_test(the_budget_holds_and_the_oldest_go_first),
		cmocka_unit_test(a_long_read_does_not_push_out_what_is_used_often),
		cmocka_unit_test(what_is_no_longer_used_gives_way_to_what_is),
		cmocka_unit_test(trimming_leaves_that_much),
		cmocka_unit_test(a_chunk_over_the_budget_and_an_empty_one_are_not_kept),
	};

	return suite_run(tests);
}
