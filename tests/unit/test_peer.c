#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/peerkit.h"

static struct peerkit kit;

static int setup(void **state)
{
	(void)state;
	peerkit_begin(&kit);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peerkit_end(&kit);
	return 0;
}

static void fetch_and_compare(unsigned int i, const struct address *a, const struct chunk *want)
{
	struct chunk *got;

	assert_int_equal(peerkit_fetch(&kit, i, a, &got), 0);
	assert_int_equal(got->len, want->len);
	assert_memory_equal(got->data, want->data, want->len);
	chunk_drop(got);
}

static void one_alone_needs_nobody(void **state)
{
	struct chunk *c = peerkit_chunk(1, 4000);
	struct address a;

	(void)state;
	peerkit_must_open(&kit, 0);
	assert_true(peer_alone(kit.peer[0].peer));
	assert_int_equal(peerkit_insert(&kit, 0, c, 2, &a), 0);
	fetch_and_compare(0, &a, c);
	chunk_drop(c);
}

static void two_meet_and_share(void **state)
{
	struct chunk *c = peerkit_chunk(2, 65536);
	struct address a;

	(void)state;
	peerkit_ring(&kit, 2);
	assert_false(peer_alone(kit.peer[0].peer));
	assert_int_equal(peerkit_insert(&kit, 0, c, 1, &a), 0);
	fetch_and_compare(1, &a, c);
	chunk_drop(c);
}

static void what_three_have_survives_one(void **state)
{
	struct chunk *c[20];
	struct address a[20];

	(void)state;
	peerkit_ring(&kit, 4);
	for (unsigned int i = 0; i < 20; i++) {
		c[i] = peerkit_chunk(100 + i, 1000 + 5000 * i);
		assert_int_equal(peerkit_insert(&kit, 0, c[i], 2, &a[i]), 0);
	}
	peerkit_close(&kit, 0);
	for (unsigned int i = 0; i < 20; i++) {
		fetch_and_compare(1 + i % 3, &a[i], c[i]);
		chunk_drop(c[i]);
	}
}

static void what_nobody_has_is_nowhere(void **state)
{
	struct address a = { { 1, 2, 3 } };
	struct chunk *got;

	(void)state;
	peerkit_ring(&kit, 3);
	assert_int_equal(peerkit_fetch(&kit, 1, &a, &got), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_alone_needs_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(two_meet_and_share, setup, teardown),
		cmocka_unit_test_setup_teardown(what_three_have_survives_one, setup, teardown),
		cmocka_unit_test_setup_teardown(what_nobody_has_is_nowhere, setup, teardown),
	};

	return suite_run(tests);
}
