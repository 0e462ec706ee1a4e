/*
 * extents and layers against a model of bytes.  SEED=n replays; SOAK=1 makes it longer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/extents.h"
#include "fs/layers.h"
#include "tests/lib/suite.h"

#define SPACE 20000u	/* offsets of the model */

static uint64_t seed;

/* splitmix64: Steele, Lea & Flood (2014). */
static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t n)
{
	return splitmix(state) % n;
}

/* What is at one offset: nothing, a byte, a zero, or a place in one of two refs. */
enum what {
	NOTHING,
	BYTE,
	ZERO,
	REF_A,
	REF_B,
};

struct cell {
	enum what what;
	uint64_t value;
};

static struct cell model[SPACE], lower[SPACE];

static struct ref ref_of(enum what what)
{
	struct ref r = { .hash = HASH_BLAKE2B_256, .kind = KIND_INDEX, .size = 1 << 30 };

	r.address.b[0] = (uint8_t)what;
	return r;
}

static void check_cell(const struct piece *p, uint64_t delta, const struct cell *c)
{
	struct ref r;

	switch (c->what) {
	case BYTE:
		assert_int_equal(p->type, PIECE_BYTES);
		assert_int_equal(p->bytes->data[p->off + delta], c->value);
		break;
	case ZERO:
		assert_int_equal(p->type, PIECE_ZEROS);
		break;
	case REF_A:
	case REF_B:
		r = ref_of(c->what);
		assert_int_equal(p->type, PIECE_REF);
		assert_true(ref_equal(&p->ref, &r));
		assert_int_equal(p->off + delta, c->value);
		break;
	case NOTHING:
		fail();
	}
}

static void check(const struct extents *x, const struct cell *cells)
{
	uint64_t off = 0, bytes = 0, data = 0, start;
	struct piece p;

	while (extents_at(x, off, &start, &p)) {
		assert_true(start >= off && p.len > 0);
		for (; off < start; off++)
			assert_int_equal(cells[off].what, NOTHING);
		for (; off < start + p.len; off++)
			check_cell(&p, off - start, &cells[off]);
		bytes += p.type == PIECE_BYTES ? p.len : 0;
		data += p.type != PIECE_ZEROS ? p.len : 0;
	}
	for (; off < SPACE; off++)
		assert_int_equal(cells[off].what, NOTHING);
	assert_int_equal(x->bytes, bytes);
	assert_int_equal(x->data, data);
}

static struct chunk *random_chunk(uint64_t *state, size_t len)
{
	struct chunk *c, *slice;
	uint8_t *p;
	size_t around = below(state, 3) == 0 ? (size_t)below(state, 20000) : 0;

	c = chunk_new(len + around, &p);
	assert_non_null(c);
	for (size_t i = 0; i < len + around; i++)
		p[i] = (uint8_t)splitmix(state);
	if (around == 0)
		return c;
	slice = chunk_slice(c, around / 2, len);
	chunk_drop(c);
	assert_non_null(slice);
	return slice;
}

static void write_random(struct extents *x, struct cell *cells, uint64_t *state, uint64_t off,
    uint64_t len)
{
	struct chunk *c = random_chunk(state, (size_t)len);

	assert_int_equal(extents_write(x, off, c), 0);
	for (uint64_t i = 0; i < len; i++)
		cells[off + i] = (struct cell){ BYTE, c->data[i] };
	chunk_drop(c);
}

static void put_random(struct extents *x, struct cell *cells, uint64_t *state, uint64_t off,
    uint64_t len)
{
	enum what what = ZERO + (enum what)below(state, 3);
	/* Often such that it continues what is before it. */
	uint64_t at = below(state, 2) ? off + 5000 : below(state, 50000);
	struct piece p = { .type = PIECE_ZEROS, .len = len };

	if (what != ZERO) {
		p.type = PIECE_REF;
		p.ref = ref_of(what);
		p.off = at;
	}
	assert_int_equal(extents_put(x, off, &p), 0);
	for (uint64_t i = 0; i < len; i++)
		cells[off + i] = (struct cell){ what, at + i };
}

static void change(struct extents *x, struct cell *cells, uint64_t *state, uint64_t *append)
{
	uint64_t most = below(state, 10) == 0 ? 8000 : 300;
	uint64_t len = 1 + below(state, most), off = below(state, SPACE - len);

	switch (below(state, 4)) {
	case 0:
		put_random(x, cells, state, off, len);
		/* Then go on where that cut another one off. */
		if (below(state, 2))
			*append = off;
		break;
	case 1:
		write_random(x, cells, state, off, len);
		break;
	default:
		/* Small writes in order, which are gathered. */
		len = 1 + below(state, 200);
		if (*append + len > SPACE)
			*append = below(state, SPACE - len);
		write_random(x, cells, state, *append, len);
		*append += len;
	}
}

static void random_changes_equal_those_of_the_model(void **unused)
{
	unsigned int rounds = getenv("SOAK") ? 200 : 20;
	uint64_t state = seed;

	(void)unused;
	for (unsigned int round = 0; round < rounds; round++) {
		uint64_t append = below(&state, SPACE / 2);
		struct extents x;

		extents_init(&x);
		memset(model, 0, sizeof(model));
		for (unsigned int i = 0; i < 300; i++) {
			change(&x, model, &state, &append);
			if (i % 10 == 0)
				check(&x, model);
		}
		check(&x, model);
		extents_clear(&x);
		assert_int_equal(x.cost, 0);
	}
}

static void laid_over_each_other_they_equal_the_models_laid_over_each_other(void **unused)
{
	uint64_t state = seed + 1, append = 0;

	(void)unused;
	for (unsigned int round = 0; round < 30; round++) {
		struct extents under, over;

		extents_init(&under);
		extents_init(&over);
		memset(model, 0, sizeof(model));
		memset(lower, 0, sizeof(lower));
		for (unsigned int i = 0; i < 60; i++) {
			change(&under, lower, &state, &append);
			change(&over, model, &state, &append);
		}
		assert_int_equal(extents_move(&under, &over), 0);
		assert_null(over.root);
		assert_int_equal(over.cost, 0);
		for (unsigned int i = 0; i < SPACE; i++) {
			if (model[i].what != NOTHING)
				lower[i] = model[i];
		}
		check(&under, lower);
		extents_clear(&under);
	}
}

static void layers_show_the_upper_one_then_the_lower_then_the_base(void **unused)
{
	uint64_t state = seed + 2, append = 0;
	struct ref base = ref_of(REF_A);

	(void)unused;
	for (unsigned int round = 0; round < 30; round++) {
		struct extents under, top;
		struct layers l = { &top, &under, &base, SPACE };
		struct layers_pieces all;
		uint64_t off = 0;
		struct piece p;
		int rc;

		base.size = below(&state, SPACE);
		extents_init(&under);
		extents_init(&top);
		memset(model, 0, sizeof(model));
		memset(lower, 0, sizeof(lower));
		for (unsigned int i = 0; i < 20; i++) {
			change(&under, lower, &state, &append);
			change(&top, model, &state, &append);
		}
		for (uint64_t i = 0; i < SPACE; i++) {
			struct cell below_it = { i < base.size ? REF_A : ZERO, i };

			if (model[i].what == NOTHING)
				model[i] = lower[i].what == NOTHING ? below_it : lower[i];
		}
		layers_pieces_init(&all, &l);
		while ((rc = all.pieces.next(&all.pieces, &p)) == 1) {
			if (p.type == PIECE_REF && p.ref.size == base.size)
				p.ref.size = 1 << 30;
			for (uint64_t i = 0; i < p.len; i++)
				check_cell(&p, i, &model[off + i]);
			off += p.len;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(off, SPACE);
		extents_clear(&under);
		extents_clear(&top);
	}
}

static void many_small_writes_in_order_are_gathered(void **unused)
{
	struct extents x;
	uint8_t bytes[100];
	unsigned int count = 0;
	uint64_t start, off = 0;
	struct piece p;

	(void)unused;
	extents_init(&x);
	for (unsigned int i = 0; i < 100000; i++) {
		struct chunk *c;

		memset(bytes, (int)i, sizeof(bytes));
		c = chunk_copy(bytes, sizeof(bytes));
		assert_non_null(c);
		assert_int_equal(extents_write(&x, i * 100, c), 0);
		chunk_drop(c);
	}
	for (; extents_at(&x, off, &start, &p); off = start + p.len)
		count++;
	assert_int_equal(off, 10000000);
	assert_in_range(count, 1, 50);
	assert_in_range(x.cost, 10000000, 11000000);
	extents_clear(&x);
}

static void what_is_left_of_a_large_buffer_does_not_keep_it(void **unused)
{
	struct piece zeros = { .type = PIECE_ZEROS, .len = (1 << 20) - 2000 };
	struct extents x;
	struct chunk *c;
	uint8_t *p;
	struct piece left;
	uint64_t start;

	(void)unused;
	c = chunk_new(1 << 20, &p);
	assert_non_null(c);
	memset(p, 7, 1 << 20);
	extents_init(&x);
	assert_int_equal(extents_write(&x, 0, c), 0);
	assert_int_equal(extents_put(&x, 1000, &zeros), 0);
	assert_true(extents_at(&x, 0, &start, &left) && left.bytes != c && left.len == 1000);
	assert_true(extents_at(&x, (1 << 20) - 1, &start, &left) && left.bytes != c);
	assert_int_equal(left.bytes->data[left.off], 7);
	assert_int_equal(c->holders, 1);
	chunk_drop(c);
	extents_clear(&x);
}

static void many_extents_in_any_order_are_no_trouble(void **unused)
{
	struct chunk *c = chunk_copy("x", 1);
	uint64_t state = seed + 3;
	struct extents x;

	(void)unused;
	extents_init(&x);
	for (unsigned int i = 0; i < 65536; i++)
		assert_int_equal(extents_write(&x, below(&state, 1 << 30) * 2, c), 0);
	extents_clear(&x);
	for (unsigned int i = 65536; i-- > 0;)
		assert_int_equal(extents_write(&x, i * 2, c), 0);
	extents_clear(&x);
	chunk_drop(c);
}

static void nobody_can_foresee_how_the_tree_is_balanced(void **unused)
{
	struct chunk *c = chunk_copy("x", 1);
	clock_t began = clock();
	uint32_t random = 2463534242u;
	struct extents x;

	(void)unused;
	extents_init(&x);
	/* The priorities of a fixed seed: the larger, the further behind. */
	for (unsigned int i = 0; i < 40000; i++) {
		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		assert_int_equal(extents_write(&x, (uint64_t)random * 2, c), 0);
	}
	extents_clear(&x);
	chunk_drop(c);
	assert_in_range((clock() - began) / CLOCKS_PER_SEC, 0, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_equal_those_of_the_model),
		cmocka_unit_test(laid_over_each_other_they_equal_the_models_laid_over_each_other),
		cmocka_unit_test(layers_show_the_upper_one_then_the_lower_then_the_base),
		cmocka_unit_test(many_small_writes_in_order_are_gathered),
		cmocka_unit_test(what_is_left_of_a_large_buffer_does_not_keep_it),
		cmocka_unit_test(many_extents_in_any_order_are_no_trouble),
		cmocka_unit_test(nobody_can_foresee_how_the_tree_is_balanced),
	};
	seed = suite_seed(20240611);
	return suite_run(tests);
}
