/* The row of a volume's heads: what it takes, how much of it, and that it can be read again. */
#include <stdlib.h>

#include "dht/net/heads.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

static enum head_learned learn(struct head_row *r, const struct volumekit *v, const struct chunk *c, bool jump)
{
	const struct head h = volumekit_read(v, c);

	return head_row_learn(r, &h, &(struct wire_slice){ c->data, c->len }, jump);
}

static void a_row_takes_what_goes_on_from_its_newest(void **state)
{
	struct netkit *k = netkit_new(1, 1);
	struct head_row *r = calloc(1, sizeof(*r)), *again = calloc(1, sizeof(*again));
	struct chunk *a[5], *b[3], *row;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	volumekit_chain(&v, a, 5, NULL, 1);
	volumekit_chain(&v, b, 3, a[0], 2);		/* 2, 3, 4 of another writer */
	assert_int_equal(learn(r, &v, a[1], false), HEAD_GAP);
	assert_int_equal(learn(r, &v, a[0], false), HEAD_NEWS);
	assert_int_equal(learn(r, &v, a[0], false), HEAD_SAME);
	assert_int_equal(learn(r, &v, a[1], false), HEAD_NEWS);
	assert_int_equal(learn(r, &v, a[0], false), HEAD_SAME);
	assert_int_equal(learn(r, &v, b[1], false), HEAD_OTHER);
	assert_int_equal(learn(r, &v, a[3], false), HEAD_GAP);
	row = head_row_write(r);
	assert_int_equal(head_row_read(row, again), 0);
	assert_int_equal(again->count, 2);
	assert_false(again->forked);
	assert_int_equal(learn(again, &v, a[4], true), HEAD_NEWS);
	assert_int_equal(again->count, 1);
	assert_int_equal(learn(again, &v, a[0], false), HEAD_OLD);
	assert_int_equal(learn(r, &v, b[0], false), HEAD_FORK);
	assert_true(r->forked);
	assert_int_equal(learn(r, &v, a[2], false), HEAD_FORK);
	chunk_drop(row);
	row = head_row_write(r);
	assert_int_equal(head_row_read(row, again), 0);
	assert_true(again->forked && again->fork[0].seq == 2 && again->fork[1].seq == 2);
	for (uint32_t len = 0; len < row->len; len++) {
		struct chunk *part = chunk_copy(row->data, len);

		/* it ends behind the two, or behind a head */
		if (head_row_read(part, again) == 0)
			assert_true(len == row->len - a[1]->len - 10 || len == row->len - a[0]->len - a[1]->len - 20);
		chunk_drop(part);
	}
	chunk_drop(row);
	volumekit_drop(a, 5);
	volumekit_drop(b, 3);
	free(r);
	free(again);
	netkit_free(k);
}

static void a_row_keeps_a_bounded_history(void **state)
{
	struct netkit *k = netkit_new(1, 1);
	struct head_row *r = calloc(1, sizeof(*r));
	struct chunk *a[HEAD_HISTORY + 6], *row;
	uint8_t *blobs = malloc(WIRE_BLOBS_MAX);
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	volumekit_chain(&v, a, HEAD_HISTORY + 6, NULL, 1);
	for (unsigned int i = 0; i < HEAD_HISTORY + 6; i++)
		assert_int_equal(learn(r, &v, a[i], false), HEAD_NEWS);
	assert_int_equal(r->count, HEAD_HISTORY);
	assert_int_equal(head_row_newest(r)->seq, HEAD_HISTORY + 6);
	assert_int_equal(learn(r, &v, a[5], false), HEAD_OLD);
	assert_int_equal(learn(r, &v, a[6], false), HEAD_SAME);
	assert_int_equal(head_row_before(r, blobs), (HEAD_HISTORY - 1) * (a[0]->len + 2));
	row = head_row_write(r);
	assert_true(row->len < HEAD_HISTORY * (SIGNED_MAX + 10));
	chunk_drop(row);
	volumekit_drop(a, HEAD_HISTORY + 6);
	free(blobs);
	free(r);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_takes_what_goes_on_from_its_newest),
		cmocka_unit_test(a_row_keeps_a_bounded_history),
	};

	return suite_run(tests);
}
