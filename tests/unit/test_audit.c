/* Owners check each other: who lacks what he should have is found out, and given it. */
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

#include <errno.h>

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];

/* A leased record of ours, at its other owners too. */
static void begin(void)
{
	k = kit_start(8, 3);
	c = kit_find(k, true, 1, &a);
	assert_int_equal(kit_owners(k, &a, owner), 2);
	for (unsigned int i = 0; i < 2; i++)
		kit_give(owner[i], &a, c);
	kit_keep(k, &a, c, STATE_OWNED);
	kit_lease(k, &a);
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static unsigned int wrong(void)
{
	return (unsigned int)k->node->status.wrong_answers;
}

static unsigned int audits(void)
{
	return owner[0]->audits + owner[1]->audits;
}

static void it_is_slow_and_goes_on(void **state)
{
	(void)state;
	begin();
	kit_run(k, 100 * AUDIT_EVERY);
	assert_in_range(audits(), 85, 115);
	assert_true(owner[0]->audits > 20 && owner[1]->audits > 20);
	assert_int_equal(wrong(), 0);
	assert_int_equal(owner[0]->puts + owner[1]->puts, 0);
	finish();
}

static void one_that_should_have_it_and_has_not_is_found_out_and_given_it(void **state)
{
	(void)state;
	begin();
	kit_take(owner[0], &a);
	kit_run(k, 20 * AUDIT_EVERY);
	assert_int_equal(owner[0]->wrong, 1);
	assert_int_equal(owner[1]->wrong, 0);
	assert_non_null(kit_has(owner[0], &a));
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	finish();
}

static void one_that_says_that_it_has_it_does_not_get_away_with_it(void **state)
{
	(void)state;
	begin();
	kit_take(owner[0], &a);
	owner[0]->ways = KIT_DELETED;		/* yes to a touch; only a proof tells */
	kit_run(k, 20 * AUDIT_EVERY);
	assert_int_equal(owner[0]->wrong, 2);	/* by the audit, and when its word was not believed */
	assert_non_null(kit_has(owner[0], &a));
	finish();
}

static void one_that_is_being_filled_is_no_liar(void **state)
{
	(void)state;
	begin();
	kit_take(owner[0], &a);
	owner[0]->ways = KIT_INCOMPLETE;
	kit_run(k, 20 * AUDIT_EVERY);
	assert_int_equal(wrong(), 0);
	assert_int_equal(owner[0]->puts, 0);
	finish();
}

static void a_copy_that_cannot_be_read_is_pushed_anew(void **state)
{
	(void)state;
	begin();
	owner[0]->ways = KIT_NO_READ;
	kit_run(k, 20 * AUDIT_EVERY);
	assert_true(owner[0]->wrong > 0);
	assert_true(owner[0]->puts > 0);
	finish();
}

static void a_wrong_proof_costs_standing(void **state)
{
	(void)state;
	begin();
	owner[1]->ways = KIT_WRONG_PROOF;
	kit_run(k, 20 * AUDIT_EVERY);
	assert_true(owner[1]->wrong > 0);
	assert_int_equal(owner[0]->wrong, 0);
	assert_true(owner[1]->puts > 0);
	finish();
}

static void those_that_cannot_be_reached_are_neither_asked_nor_blamed(void **state)
{
	static const unsigned int ways[] = { KIT_DOWN, KIT_UNREACHABLE, KIT_SILENT, KIT_CUT };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		begin();
		owner[0]->ways = ways[i];
		kit_run(k, 30 * AUDIT_EVERY);
		assert_int_equal(wrong(), 0);
		if (i < 2)
			assert_int_equal(owner[0]->audits, 0);
		assert_true(owner[1]->audits > 5);
		finish();
	}
}

static void what_is_not_leased_is_not_asked_for(void **state)
{
	struct chunk *more;
	struct address other;

	(void)state;
	begin();
	kit_lease(k, &a);
	more = kit_find(k, true, 2, &other);
	kit_keep(k, &other, more, STATE_OWNED);
	chunk_drop(more);
	/* Nobody else has the other one: it would be missed. */
	kit_run(k, 50 * AUDIT_EVERY);
	assert_int_equal(wrong(), 0);
	finish();
}

static void a_bad_copy_of_ours_is_healed(void **state)
{
	(void)state;
	begin();
	memory_catalogue_rot(&k->disk, &a);
	kit_run(k, 3 * AUDIT_EVERY);
	assert_int_equal(owner[0]->gets + owner[1]->gets, 1);
	assert_int_equal(wrong(), 0);
	finish();
}

/* An owner has it, and no lease; we have the lease: comparing tells neither of us. */
static void what_a_lease_names_and_is_not_here_is_fetched(void **state)
{
	struct address other;

	(void)state;
	begin();
	chunk_drop(c);
	c = kit_find(k, true, 2, &other);
	assert_int_equal(kit_owners(k, &other, owner), 2);
	kit_give(owner[1], &other, c);
	kit_lease(k, &other);
	kit_run(k, 20 * AUDIT_EVERY);
	assert_int_equal(kit_state(k, &other), STATE_OWNED);
	finish();
}

static void what_is_others_or_not_complete_yet_is_not(void **state)
{
	struct address other;

	(void)state;
	begin();
	chunk_drop(c);
	c = kit_find(k, false, 3, &other);
	kit_owners(k, &other, owner);
	kit_give(owner[0], &other, c);
	kit_lease(k, &other);
	kit_run(k, 20 * AUDIT_EVERY);
	assert_int_equal(kit_state(k, &other), 0);
	chunk_drop(c);
	c = kit_find(k, true, 4, &other);
	kit_owners(k, &other, owner);
	kit_give(owner[0], &other, c);
	kit_lease(k, &other);
	k->incomplete = true;
	kit_run(k, 20 * AUDIT_EVERY);
	assert_int_equal(kit_state(k, &other), 0);
	finish();
}

static void a_node_can_stop_at_any_moment(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		begin();
		owner[0]->ways = owner[1]->ways = KIT_SILENT;
		k->hold_disk = i == 9;
		kit_run(k, AUDIT_EVERY - 1 * S + i * 500 * MS);
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_slow_and_goes_on),
		cmocka_unit_test(one_that_should_have_it_and_has_not_is_found_out_and_given_it),
		cmocka_unit_test(one_that_says_that_it_has_it_does_not_get_away_with_it),
		cmocka_unit_test(one_that_is_being_filled_is_no_liar),
		cmocka_unit_test(a_copy_that_cannot_be_read_is_pushed_anew),
		cmocka_unit_test(a_wrong_proof_costs_standing),
		cmocka_unit_test(those_that_cannot_be_reached_are_neither_asked_nor_blamed),
		cmocka_unit_test(what_is_not_leased_is_not_asked_for),
		cmocka_unit_test(a_bad_copy_of_ours_is_healed),
		cmocka_unit_test(what_a_lease_names_and_is_not_here_is_fetched),
		cmocka_unit_test(what_is_others_or_not_complete_yet_is_not),
		cmocka_unit_test(a_node_can_stop_at_any_moment),
	};

	return suite_run(tests);
}
