/* What an owner lacks comes to him later: a row of heads that is damaged, the proof of two of one number. */
#include <string.h>

#include <errno.h>

#include "dht/net/heads.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

static int swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head, const struct chunk *previous)
{
	struct command c = { .kind = COMMAND_SWAP, .address = v->id, .blob = head, .timeout = 10 * S };

	volumekit_hash(previous, &c.previous);
	return netkit_ask(k, at, &c)->result;
}

static int ask(struct netkit *k, unsigned int at, const struct volumekit *v, const struct chunk *expected)
{
	struct command c = { .kind = COMMAND_HEAD, .address = v->id, .timeout = 10 * S };
	const struct effect *e = netkit_ask(k, at, &c);

	if (e->result == 0) {
		assert_int_equal(e->blob->len, expected->len);
		assert_memory_equal(e->blob->data, expected->data, expected->len);
	}
	return e->result;
}

static struct catalogue_row_key row_key(const struct volumekit *v)
{
	return (struct catalogue_row_key){ .table = ROW_HEAD, .key = v->id };
}

static void damage(struct netkit *k, unsigned int at, const struct volumekit *v)
{
	struct effect e = { .kind = EFFECT_SAVE, .row = row_key(v), .chunk = chunk_copy("rot", 3) };
	struct event done;

	memory_catalogue_apply(&k->node[at].disk, &e, &done);
	chunk_drop(e.chunk);
}

/* The seq of the newest in the row; 0: none; UINT64_MAX: it can't be read. */
static uint64_t stored(struct netkit *k, unsigned int at, const struct volumekit *v)
{
	struct catalogue *c = &k->node[at].disk.catalogue;
	struct catalogue_row_key key = row_key(v);
	struct chunk *row = c->row(c, &key);
	struct head_row r;
	uint64_t seq = UINT64_MAX;

	if (head_row_read(row, &r) == 0)
		seq = r.count ? head_row_newest(&r)->seq : 0;
	chunk_drop(row);
	return seq;
}

static void a_damaged_row_is_taken_anew_from_the_other_owners(void **state)
{
	struct netkit *k = netkit_ring(5, 1);
	unsigned int sick, other;
	struct volumekit v;
	struct chunk *a[4];

	(void)state;
	volumekit_make(k, 1, &v);
	volumekit_chain(&v, a, 4, NULL, 1);
	sick = netkit_nth(k, ring_slot(&v.id), true, 1);
	other = netkit_nth(k, ring_slot(&v.id), true, 2);
	for (unsigned int j = 0; j < 3; j++)
		assert_int_equal(swap(k, 0, &v, a[j], j ? a[j - 1] : NULL), 0);
	netkit_run(k, 5 * S);
	damage(k, sick, &v);
	/* Nobody is told of an older one, nor that there is none. */
	assert_int_equal(ask(k, netkit_nth(k, ring_slot(&v.id), false, 0), &v, a[2]), 0);
	netkit_run(k, 30 * S);
	assert_int_equal(stored(k, sick, &v), 3);
	netkit_cut_off(k, other, true);
	netkit_run(k, 5 * S);
	assert_int_equal(swap(k, sick, &v, a[3], a[2]), 0);
	assert_int_equal(stored(k, sick, &v), 4);
	volumekit_drop(a, 4);
	netkit_free(k);
}

static void a_damaged_row_counts_for_nothing_until_the_others_have_told(void **state)
{
	struct netkit *k = netkit_ring(5, 2);
	unsigned int sick, other, reader;
	struct volumekit v;
	struct chunk *a[2];

	(void)state;
	volumekit_make(k, 2, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	sick = netkit_nth(k, ring_slot(&v.id), true, 0);
	other = netkit_nth(k, ring_slot(&v.id), true, 1);
	reader = netkit_nth(k, ring_slot(&v.id), false, 0);
	assert_int_equal(swap(k, sick, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	netkit_cut_off(k, other, true);
	damage(k, sick, &v);
	/* One owner is left who knows. */
	assert_int_equal(ask(k, reader, &v, NULL), -ETIMEDOUT);
	/* Also after a restart. */
	netkit_crash(k, sick);
	netkit_start(k, sick);
	netkit_run(k, 30 * S);
	assert_int_equal(ask(k, sick, &v, NULL), -ETIMEDOUT);
	netkit_cut_off(k, other, false);
	netkit_run(k, 60 * S);
	assert_int_equal(stored(k, sick, &v), 1);
	assert_int_equal(swap(k, sick, &v, a[1], a[0]), 0);
	volumekit_drop(a, 2);
	netkit_free(k);
}

static void a_row_that_is_nobody_elses_goes(void **state)
{
	struct netkit *k = netkit_ring(5, 3);
	struct volumekit v;
	struct chunk *a;
	unsigned int sick;

	(void)state;
	volumekit_make(k, 3, &v);
	a = volumekit_head(&v, 1, NULL, 1);
	sick = netkit_nth(k, ring_slot(&v.id), true, 0);
	damage(k, sick, &v);
	assert_int_equal(ask(k, 0, &v, NULL), -ENOENT);
	netkit_run(k, 30 * S);
	assert_int_equal(stored(k, sick, &v), 0);
	assert_int_equal(swap(k, 1, &v, a, NULL), 0);
	netkit_run(k, 5 * S);
	assert_int_equal(stored(k, sick, &v), 1);
	chunk_drop(a);
	netkit_free(k);
}

static bool has_proof(struct netkit *k, unsigned int at, const struct volumekit *v)
{
	struct catalogue *c = &k->node[at].disk.catalogue;
	struct catalogue_row_key key = row_key(v);
	struct chunk *row = c->row(c, &key);
	struct head_row r;
	bool forked = head_row_read(row, &r) == 0 && r.forked;

	chunk_drop(row);
	return forked;
}

static void an_owner_that_was_away_is_told_of_two_writers_later(void **state)
{
	struct netkit *k = netkit_ring(5, 4);
	unsigned int away, writer;
	struct volumekit v;
	struct chunk *a[2], *b;

	(void)state;
	volumekit_make(k, 4, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	b = volumekit_head(&v, 2, a[0], 2);
	away = netkit_nth(k, ring_slot(&v.id), true, 1);
	writer = netkit_nth(k, ring_slot(&v.id), false, 0);
	assert_int_equal(swap(k, writer, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	netkit_cut_off(k, away, true);
	netkit_run(k, 30 * S);
	assert_int_equal(swap(k, writer, &v, a[1], a[0]), 0);
	assert_int_equal(swap(k, netkit_nth(k, ring_slot(&v.id), false, 1), &v, b, a[0]), -EUCLEAN);
	/* Those who ask meanwhile don't all go on telling. */
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(ask(k, writer, &v, NULL), -EUCLEAN);
	assert_true(k->node[writer].node->heads->ask_count <= 1);
	assert_false(has_proof(k, away, &v));
	netkit_cut_off(k, away, false);
	netkit_run(k, 90 * S);
	assert_true(has_proof(k, away, &v));
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(k->node[i].node->heads->ask_count, 0);
	volumekit_drop(a, 2);
	chunk_drop(b);
	netkit_free(k);
}

/* With a new disk he does not know what counted, and can't ask: the others are away.  The proof needs nothing beside it. */
static void an_owner_that_knows_nothing_yet_takes_the_proof(void **state)
{
	struct netkit *k = netkit_ring(5, 5);
	unsigned int owner[3], writer;
	struct volumekit v;
	struct chunk *a[2], *b;

	(void)state;
	volumekit_make(k, 5, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	b = volumekit_head(&v, 2, a[0], 2);
	for (unsigned int i = 0; i < 3; i++)
		owner[i] = netkit_nth(k, ring_slot(&v.id), true, i);
	writer = netkit_nth(k, ring_slot(&v.id), false, 0);
	assert_int_equal(swap(k, writer, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, owner[0]);
	assert_int_equal(swap(k, writer, &v, a[1], a[0]), 0);
	assert_int_equal(swap(k, netkit_nth(k, ring_slot(&v.id), false, 1), &v, b, a[0]), -EUCLEAN);
	netkit_crash(k, owner[1]);
	netkit_crash(k, owner[2]);
	netkit_wipe(k, owner[0]);
	netkit_start(k, owner[0]);
	netkit_run(k, 90 * S);
	assert_false(heads_complete(k->node[owner[0]].node, ring_slot(&v.id)));
	assert_true(has_proof(k, owner[0], &v));
	/* He says so when the others are back, and nothing more is to be known. */
	netkit_start(k, owner[1]);
	netkit_start(k, owner[2]);
	netkit_run(k, 90 * S);
	assert_true(heads_complete(k->node[owner[0]].node, ring_slot(&v.id)));
	assert_int_equal(ask(k, owner[0], &v, NULL), -EUCLEAN);
	volumekit_drop(a, 2);
	chunk_drop(b);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_row_is_taken_anew_from_the_other_owners),
		cmocka_unit_test(a_damaged_row_counts_for_nothing_until_the_others_have_told),
		cmocka_unit_test(a_row_that_is_nobody_elses_goes),
		cmocka_unit_test(an_owner_that_was_away_is_told_of_two_writers_later),
		cmocka_unit_test(an_owner_that_knows_nothing_yet_takes_the_proof),
	};

	return suite_run(tests);
}
