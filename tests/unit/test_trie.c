/*
 * trie against a reference that follows the table of trie.h word for word, and the figures that its header promises.
 * SEED=n replays the random part.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/trie.h"
#include "tests/lib/address_catalogue.h"
#include "tests/lib/suite.h"

#define ALL ((size_t)-1)

static uint64_t seed;
static struct trie_slots all_slots;

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* The i-th step of an address, read bit by bit. */
static unsigned int reference_step(const struct address *a, unsigned int i)
{
	unsigned int v = 0;

	for (unsigned int bit = 4 * i; bit < 4 * i + 4; bit++) {
		unsigned int at = bit - 2;

		v = v << 1 | (bit < 2 ? 0 : a->b[at / 8] >> (7 - at % 8) & 1);
	}
	return v;
}

static void reference_hash(const void *bytes, size_t len, const char *personal, uint8_t out[WIRE_HASH])
{
	uint8_t padded[16] = { 0 };

	memcpy(padded, personal, strlen(personal));
	assert_int_equal(crypto_generichash_blake2b_salt_personal(out, WIRE_HASH, bytes, len, NULL, 0, NULL, padded), 0);
}

static void reference(const struct address *a, size_t n, unsigned int depth, uint8_t out[WIRE_HASH])
{
	uint8_t children[16 * WIRE_HASH];
	size_t from = 0, to = 0;

	memset(out, 0, WIRE_HASH);
	if (!n)
		return;
	if (depth == 16 || (depth >= 4 && n <= 16)) {
		reference_hash(a, n * sizeof(*a), "dhtfs leaf", out);
		return;
	}
	for (unsigned int i = 0; i < 16; i++, from = to) {
		while (to < n && reference_step(&a[to], depth) == i)
			to++;
		reference(a + from, to - from, depth + 1, children + i * WIRE_HASH);
	}
	reference_hash(children, sizeof(children), "dhtfs trie", out);
}

static void root_of(struct trie *t, const struct trie_slots *slots, struct trie_part *out)
{
	static const struct wire_path root;

	trie_allow(t, ALL);
	assert_int_equal(trie_part(t, &root, slots, out), 0);
}

static void check_root(struct trie *t, const struct address_catalogue *c)
{
	struct trie_part part;
	uint8_t wanted[WIRE_HASH];

	root_of(t, &all_slots, &part);
	reference(c->a, c->n, 0, wanted);
	assert_int_equal(part.count, c->n);
	assert_memory_equal(part.hash.b, wanted, WIRE_HASH);
}

static struct trie *trie_over(struct address_catalogue *c)
{
	struct trie *t;

	assert_int_equal(trie_new(&c->catalogue, &t), 0);
	return t;
}

/* Addresses that crowd: a common prefix of some length, so that every depth and every threshold is met. */
static void crowded(uint64_t *random, struct address *out)
{
	unsigned int keep = (unsigned int)(splitmix(random) % 10);

	memset(out, 0, sizeof(*out));
	for (unsigned int i = keep; i < 12; i++)
		out->b[i] = (uint8_t)splitmix(random);
	if (splitmix(random) % 2)
		out->b[0] |= 0x80;
}

static void the_hash_is_that_of_the_set_whatever_its_history(void **state)
{
	struct address_catalogue c;
	struct trie *t;
	uint64_t random = seed;

	(void)state;
	address_catalogue_init(&c);
	t = trie_over(&c);
	check_root(t, &c);
	for (unsigned int round = 0; round < 60; round++) {
		bool shrink = round % 15 > 10;

		for (unsigned int i = 0; i < 400; i++) {
			struct address a;

			crowded(&random, &a);
			if (shrink && c.n) {
				a = c.a[splitmix(&random) % c.n];
				address_catalogue_remove(&c, &a);
			} else
				address_catalogue_add(&c, &a);
			trie_changed(t, &a);
		}
		check_root(t, &c);
	}
	while (c.n) {
		struct address a = c.a[splitmix(&random) % c.n];

		address_catalogue_remove(&c, &a);
		trie_changed(t, &a);
		if (c.n % 500 == 17)
			check_root(t, &c);
	}
	check_root(t, &c);
	trie_free(t);
	address_catalogue_free(&c);
}

/* Down from the root: each part is the reference's, and a list is all that lies below. */
static void check_below(struct trie *t, const struct wire_path *path, const struct address *a, size_t n, unsigned int *seen)
{
	struct trie_part part[TRIE_CHILDREN], own;
	struct address *listed = malloc((n + 1) * sizeof(*listed));
	uint8_t wanted[WIRE_HASH];
	size_t from = 0, to = 0;

	++*seen;
	assert_non_null(listed);
	assert_int_equal(trie_part(t, path, &all_slots, &own), 0);
	reference(a, n, path->depth, wanted);
	assert_int_equal(own.count, n);
	assert_memory_equal(own.hash.b, wanted, WIRE_HASH);
	if (path->depth >= TRIE_SLOT_DEPTH) {
		assert_int_equal(trie_list(t, path, NULL, n + 1, listed), n);
		assert_memory_equal(listed, a, n * sizeof(*a));
		if (n > 1)
			assert_int_equal(trie_list(t, path, &a[n / 2], n, listed), n - n / 2 - 1);
	}
	free(listed);
	if (n <= 1 || path->depth == TRIE_DEPTH)
		return;
	assert_int_equal(trie_parts(t, path, &all_slots, part), 0);
	for (unsigned int i = 0; i < TRIE_CHILDREN; i++, from = to) {
		struct wire_path child;

		if (path->depth == 0 && i > 3)
			continue;
		trie_path_child(path, i, &child);
		assert_true(trie_path_valid(&child));
		while (to < n && trie_path_has(&child, &a[to]))
			to++;
		reference(a + from, to - from, child.depth, wanted);
		assert_memory_equal(part[i].hash.b, wanted, WIRE_HASH);
		assert_int_equal(part[i].count, to - from);
		if (to > from)
			check_below(t, &child, a + from, to - from, seen);
	}
	assert_int_equal(to, n);
}

static void every_place_is_that_of_the_reference(void **state)
{
	struct address_catalogue c;
	struct wire_path root = { .depth = 0 };
	struct trie *t;
	uint64_t random = seed;
	unsigned int seen = 0;

	(void)state;
	address_catalogue_init(&c);
	for (unsigned int i = 0; i < 6000; i++) {
		struct address a;

		crowded(&random, &a);
		address_catalogue_add(&c, &a);
	}
	t = trie_over(&c);
	trie_allow(t, ALL);
	check_below(t, &root, c.a, c.n, &seen);
	assert_true(seen > 4000);
	trie_free(t);
	address_catalogue_free(&c);
}

static void what_lies_behind_the_last_step_is_one_leaf(void **state)
{
	struct address_catalogue c;
	struct trie *t;
	struct address a = { { 0 } };

	(void)state;
	address_catalogue_init(&c);
	t = trie_over(&c);
	for (unsigned int i = 0; i < 2000; i++) {
		put_be64(a.b + 24, i);
		address_catalogue_add(&c, &a);
		trie_changed(t, &a);
		if (i == 16 || i == 512 || i == 513 || i == 1999)
			check_root(t, &c);
	}
	trie_free(t);
	address_catalogue_free(&c);
}

static void slots_that_a_pair_does_not_share_count_as_empty(void **state)
{
	struct address_catalogue c, half;
	struct trie *t, *u;
	struct trie_slots even = { { 0 } };
	struct trie_part a, b;

	(void)state;
	address_catalogue_init(&c);
	address_catalogue_init(&half);
	address_catalogue_fill(&c, 3000, seed);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot += 2)
		trie_slots_add(&even, slot);
	for (size_t i = 0; i < c.n; i++)
		if (ring_slot(&c.a[i]) % 2 == 0)
			address_catalogue_add(&half, &c.a[i]);
	t = trie_over(&c);
	u = trie_over(&half);
	root_of(t, &even, &a);
	root_of(u, &all_slots, &b);
	assert_int_equal(a.count, half.n);
	assert_memory_equal(&a.hash, &b.hash, sizeof(a.hash));
	trie_free(t);
	trie_free(u);
	address_catalogue_free(&c);
	address_catalogue_free(&half);
}

static void work_is_done_in_pieces(void **state)
{
	struct address_catalogue c;
	struct trie *t;
	struct wire_path root = { .depth = 0 };
	struct trie_part part;
	unsigned int pieces = 0;
	uint64_t before = 0;
	int r;

	(void)state;
	address_catalogue_init(&c);
	address_catalogue_fill(&c, 100000, seed);
	t = trie_over(&c);
	do {
		trie_allow(t, 2000);
		r = trie_part(t, &root, &all_slots, &part);
		assert_true(c.reads - before <= 2000 + 2 * TRIE_READ);
		before = c.reads;
		pieces++;
	} while (r == -EAGAIN);
	assert_int_equal(r, 0);
	assert_true(pieces > 50 && pieces < 1000);
	check_root(t, &c);
	trie_free(t);
	address_catalogue_free(&c);
}

static void nothing_is_read_where_nothing_changed(void **state)
{
	struct address_catalogue c;
	struct trie *t;
	struct trie_part part;
	struct address a;

	(void)state;
	address_catalogue_init(&c);
	address_catalogue_fill(&c, 1000000, seed);
	t = trie_over(&c);
	root_of(t, &all_slots, &part);
	print_message("# 1,000,000 addresses: %zu bytes, %llu reads\n", trie_memory(t), (unsigned long long)c.reads);
	assert_true(trie_memory(t) < 2 * c.n);
	assert_true(c.reads < 4 * c.n);

	c.reads = 0;
	root_of(t, &all_slots, &part);
	assert_int_equal(c.reads, 0);

	a = c.a[500000];
	address_catalogue_remove(&c, &a);
	trie_changed(t, &a);
	root_of(t, &all_slots, &part);
	print_message("# one change: %llu reads\n", (unsigned long long)c.reads);
	assert_true(c.reads < 2 * TRIE_READ);
	check_root(t, &c);
	trie_free(t);
	address_catalogue_free(&c);
}

/* However many a slot holds: 600 is just over what is not divided. */
static void memory_stays_under_two_bytes_an_address(void **state)
{
	static const size_t per_slot[] = { 32, 500, 600, 5000, 9000, 30000 };

	(void)state;
	for (size_t i = 0; i < sizeof(per_slot) / sizeof(*per_slot); i++) {
		struct address_catalogue c;
		struct trie *t;
		struct trie_part part;
		struct trie_slots first = { { 0 } };
		size_t slots = 400000 / per_slot[i], kept;
		uint8_t *top;

		address_catalogue_init(&c);
		address_catalogue_fill(&c, 400000, seed);
		slots = slots < RING_SLOTS ? slots : RING_SLOTS;
		for (size_t k = 0; k < c.n; k++) {	/* all into the first slots, in order still */
			size_t slot = k * slots / c.n;

			top = c.a[k].b;
			put_be64(top, (uint64_t)slot << 50 | (get_be64(top) & UINT64_MAX >> 14));
		}
		qsort(c.a, c.n, sizeof(*c.a), (int (*)(const void *, const void *))address_compare);
		for (unsigned int slot = 0; slot < slots; slot++)
			trie_slots_add(&first, slot);
		t = trie_over(&c);
		root_of(t, &first, &part);
		print_message("# %zu a slot: %.2f bytes an address\n", per_slot[i], (double)trie_memory(t) / (double)c.n);
		assert_true(trie_memory(t) < 2 * c.n);

		/* what has gone is given back: 20 or so are left in each slot */
		kept = 0;
		for (size_t k = 0; k < c.n; k++) {
			if (k % (1 + per_slot[i] / 20) == 0)
				c.a[kept++] = c.a[k];
			else
				trie_changed(t, &c.a[k]);
		}
		c.n = kept;
		root_of(t, &first, &part);
		assert_int_equal(part.count, kept);
		assert_true(trie_memory(t) < 40 * slots + 4096);
		trie_free(t);
		address_catalogue_free(&c);
	}
}

static void what_is_forgotten_is_read_again(void **state)
{
	struct address_catalogue c;
	struct trie *t;

	(void)state;
	address_catalogue_init(&c);
	address_catalogue_fill(&c, 2000, seed);
	t = trie_over(&c);
	check_root(t, &c);
	trie_forget(t, ring_slot(&c.a[1000]));
	address_catalogue_remove(&c, &c.a[1000]);
	check_root(t, &c);
	trie_free(t);
	address_catalogue_free(&c);
}

static void paths_that_no_address_has_are_not_valid(void **state)
{
	struct wire_path p = { .depth = 0 };
	struct address a;

	(void)state;
	assert_true(trie_path_valid(&p));
	p.nibbles[7] = 1;
	assert_false(trie_path_valid(&p));
	p.depth = 16;
	assert_true(trie_path_valid(&p));
	p.depth = 17;
	assert_false(trie_path_valid(&p));
	p = (struct wire_path){ .depth = 1, .nibbles = { 0x40 } };
	assert_false(trie_path_valid(&p));
	p.nibbles[0] = 0x30;
	assert_true(trie_path_valid(&p));
	p.nibbles[0] = 0x31;
	assert_false(trie_path_valid(&p));
	memset(&a, 0xff, sizeof(a));
	trie_path_of(&a, 4, &p);
	assert_int_equal(trie_slot(&p), RING_SLOTS - 1);
	assert_int_equal(p.nibbles[0], 0x3f);
	trie_path_slot(RING_SLOTS - 1, &p);
	assert_true(trie_path_has(&p, &a));
	a.b[1] = 0xfb;
	assert_false(trie_path_has(&p, &a));
}

static void the_hashes_are_those_of_the_protocol(void **state)
{
	struct address_catalogue c;
	struct trie *t;
	struct trie_part part;
	char hex[2 * WIRE_HASH + 1];

	(void)state;
	address_catalogue_init(&c);
	for (unsigned int i = 0; i < 40; i++) {
		struct address a;
		uint8_t byte = (uint8_t)i;

		address_of(KIND_DATA, &byte, 1, &a);
		a.b[0] = 0;		/* all in the first four slots */
		address_catalogue_add(&c, &a);
	}
	t = trie_over(&c);
	root_of(t, &all_slots, &part);
	sodium_bin2hex(hex, sizeof(hex), part.hash.b, WIRE_HASH);
	assert_string_equal(hex, "ef7d7cc3f8db55579fc4d26e5860d5757662ae0c");
	trie_free(t);
	address_catalogue_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_is_that_of_the_set_whatever_its_history),
		cmocka_unit_test(every_place_is_that_of_the_reference),
		cmocka_unit_test(what_lies_behind_the_last_step_is_one_leaf),
		cmocka_unit_test(slots_that_a_pair_does_not_share_count_as_empty),
		cmocka_unit_test(work_is_done_in_pieces),
		cmocka_unit_test(nothing_is_read_where_nothing_changed),
		cmocka_unit_test(memory_stays_under_two_bytes_an_address),
		cmocka_unit_test(what_is_forgotten_is_read_again),
		cmocka_unit_test(paths_that_no_address_has_are_not_valid),
		cmocka_unit_test(the_hashes_are_those_of_the_protocol),
	};
	seed = suite_seed(6);
	print_message("# SEED=%llu\n", (unsigned long long)seed);
	memset(&all_slots, 0xff, sizeof(all_slots));
	return suite_run(tests);
}
