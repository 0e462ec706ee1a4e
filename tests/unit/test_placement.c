/* Which table: the present one, those before it, and which slots are complete; nodes without their machines.  SEED=n replays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/membership.h"
#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

static uint64_t seed;
static unsigned int tables;

static bool count_tables(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	(void)at;
	tables += e->kind == EFFECT_TABLE;
	return true;
}

static struct netkit *running(unsigned int count)
{
	struct netkit *k = netkit_new(count, seed);

	k->effect = count_tables;
	for (unsigned int i = 0; i < count; i++) {
		netkit_start(k, i);
		netkit_run(k, 3 * S);
	}
	return k;
}

static struct node *node(struct netkit *k, unsigned int i)
{
	assert_non_null(k->node[i].node);
	return k->node[i].node;
}

static unsigned int slots(struct netkit *k, unsigned int i, bool (*are)(struct node *n, unsigned int slot))
{
	unsigned int count = 0;

	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		count += are(node(k, i), slot);
	return count;
}

static unsigned int earlier(struct netkit *k, unsigned int i)
{
	unsigned int count = 0;

	while (placement_earlier(node(k, i), count))
		count++;
	return count;
}

/* As if repair had found all of its slots complete. */
static void complete(struct netkit *k, unsigned int i)
{
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		if (placement_mine(node(k, i), slot))
			placement_set_complete(node(k, i), slot);
}

static void set_weight(struct netkit *k, unsigned int i, uint8_t weight)
{
	struct command c = { .kind = COMMAND_SET, .weight = weight };

	assert_int_equal(netkit_ask(k, i, &c)->result, 0);
}

static void the_founder_has_all_and_who_joins_has_nothing(void **state)
{
	struct netkit *k = running(2);

	(void)state;
	assert_int_equal(slots(k, 0, placement_complete), RING_SLOTS);
	assert_int_equal(slots(k, 1, placement_mine), RING_SLOTS);
	assert_int_equal(slots(k, 1, placement_complete), 0);
	assert_false(placement_all_complete(node(k, 1)));
	netkit_free(k);
}

static void what_is_left_goes_by_the_pace_of_late(void **state)
{
	struct netkit *k = running(2);
	struct node *n = node(k, 1);
	uint64_t begun;

	(void)state;
	assert_int_equal(placement_left(n), 0);
	netkit_run(k, 10 * S);
	for (unsigned int slot = 0; slot < RING_SLOTS / 4; slot++)
		placement_set_complete(n, slot);
	/* A quarter was done since the table came. */
	begun = placement_left(n) / 3;
	assert_in_range(begun, 10 * S, 60 * S);
	/* Then there was nothing for an hour: what was fast before counts for less each time. */
	netkit_run(k, 3600 * S);
	for (unsigned int slot = 0; slot < 20; slot++)
		placement_set_complete(n, RING_SLOTS / 2 + slot);
	assert_true(placement_left(n) > 3600 * S);
	complete(k, 1);
	assert_int_equal(placement_left(n), 0);
	netkit_free(k);
}

static void who_was_told_of_others_is_no_ring_of_one(void **state)
{
	struct netkit *k = netkit_new(2, seed);

	(void)state;
	netkit_start(k, 1);
	netkit_run(k, 60 * S);
	assert_null(placement(node(k, 1)));
	netkit_start(k, 0);
	netkit_run(k, DIAL_AGAIN_MAX + 10 * S);
	assert_non_null(placement(node(k, 1)));
	assert_int_equal(placement(node(k, 1))->members, 2);
	/* Its disk knows the other now, who is away. */
	netkit_crash(k, 0);
	netkit_crash(k, 1);
	netkit_start(k, 1);
	netkit_run(k, 3 * S);
	assert_int_equal(placement(node(k, 1))->members, 2);
	netkit_free(k);
}

/* Those who are out of placement are others, too: there is a ring, and it has now us. */
static void one_who_drains_is_somebody(void **state)
{
	struct netkit *k = netkit_new(2, seed);
	struct command c = { .kind = COMMAND_DRAIN, .count = 1 };

	(void)state;
	netkit_start(k, 0);
	netkit_run(k, 3 * S);
	assert_int_equal(netkit_ask(k, 0, &c)->result, 0);
	netkit_start(k, 1);
	netkit_run(k, 10 * S);
	assert_non_null(placement(node(k, 1)));
	assert_int_equal(placement(node(k, 1))->members, 1);
	netkit_free(k);
}

static void what_is_complete_outlives_a_restart(void **state)
{
	struct netkit *k = running(4);
	unsigned int mine;

	(void)state;
	complete(k, 2);
	mine = slots(k, 2, placement_complete);
	assert_true(mine > 0 && mine < RING_SLOTS);
	netkit_run(k, COMPLETE_GATHER + S);
	netkit_crash(k, 2);
	netkit_start(k, 2);
	netkit_run(k, 3 * S);
	assert_int_equal(slots(k, 2, placement_complete), mine);
	/* The whole ring at once. */
	for (unsigned int i = 0; i < 4; i++)
		netkit_crash(k, i);
	netkit_start_all(k);
	netkit_run(k, 10 * S);
	assert_int_equal(slots(k, 2, placement_complete), mine);
	netkit_free(k);
}

static void evict(struct netkit *k, unsigned int by, unsigned int whom)
{
	struct command c = { .kind = COMMAND_EVICT };
	struct member *m;

	assert_int_equal(member_evict(&k->file.id, &k->node[whom].id, k->admin, &m), 0);
	c.blob = chunk_copy(m->bytes, m->len);
	assert_int_equal(netkit_ask(k, by, &c)->result, 0);
	chunk_drop(c.blob);
	member_drop(m);
}

static void what_others_may_have_owned_while_a_node_was_away_is_not_complete(void **state)
{
	struct netkit *k = netkit_new(6, seed);
	struct address before;
	bool had[RING_SLOTS];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		netkit_start(k, i);
		netkit_run(k, 3 * S);
	}
	complete(k, 2);
	netkit_run(k, COMPLETE_GATHER + S);
	before = *placement_hash(node(k, 2));
	netkit_crash(k, 2);
	/* one comes and is gone again: the table is the same */
	netkit_start(k, 4);
	netkit_run(k, 3 * S);
	assert_false(address_equal(&before, placement_hash(node(k, 0))));
	evict(k, 0, 4);
	netkit_run(k, 3 * S);
	assert_true(address_equal(&before, placement_hash(node(k, 0))));
	netkit_start(k, 2);
	netkit_run(k, 30 * S);
	assert_true(address_equal(&before, placement_hash(node(k, 2))));
	assert_int_equal(slots(k, 2, placement_complete), 0);
	/* what changes now it sees */
	complete(k, 2);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		had[slot] = placement_complete(node(k, 2), slot);
	netkit_start(k, 5);
	netkit_run(k, 3 * S);
	assert_int_equal(placement(node(k, 2))->members, 5);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		assert_int_equal(placement_complete(node(k, 2), slot), had[slot] && placement_mine(node(k, 2), slot));
	netkit_free(k);
}

static void another_store_is_not_complete(void **state)
{
	struct netkit *k = running(4);

	(void)state;
	complete(k, 2);
	netkit_run(k, COMPLETE_GATHER + S);
	netkit_crash(k, 2);
	k->node[2].generation++;
	netkit_start(k, 2);
	netkit_run(k, 3 * S);
	assert_true(slots(k, 2, placement_mine) > 0);
	assert_int_equal(slots(k, 2, placement_complete), 0);
	netkit_free(k);
}

static void a_founder_who_lost_his_store_is_none(void **state)
{
	struct netkit *k = running(3);

	(void)state;
	netkit_cut(k, 0, 1, true);
	netkit_cut(k, 0, 2, true);
	netkit_crash(k, 0);
	memory_catalogue_free(&k->node[0].disk);
	memory_catalogue_init(&k->node[0].disk, 1 << 20);
	k->node[0].generation++;
	netkit_start(k, 0);
	netkit_run(k, 3 * S);
	assert_int_equal(slots(k, 0, placement_complete), RING_SLOTS);
	netkit_cut(k, 0, 1, false);
	netkit_cut(k, 0, 2, false);
	netkit_run(k, 60 * S);
	assert_int_equal(placement(node(k, 0))->members, 3);
	assert_int_equal(slots(k, 0, placement_complete), 0);
	netkit_free(k);
}

static void the_table_before_stays_until_all_may_have_moved(void **state)
{
	struct netkit *k = running(4);
	struct address before = *placement_hash(node(k, 1));

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		complete(k, i);
	netkit_run(k, PLACEMENT_LINGER + S);
	assert_int_equal(earlier(k, 1), 0);
	set_weight(k, 0, 2);
	netkit_run(k, 3 * S);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(earlier(k, i), 1);
		assert_true(address_equal(&placement_earlier(node(k, i), 0)->placement, &before));
		if (!placement_all_complete(node(k, i)))
			assert_ptr_equal(placement_before(node(k, i)), placement_earlier(node(k, i), 0));
	}
	/* Complete here is not complete everywhere. */
	complete(k, 0);
	assert_null(placement_before(node(k, 0)));
	netkit_run(k, PLACEMENT_LINGER / 2);
	assert_int_equal(earlier(k, 0), 1);
	netkit_run(k, PLACEMENT_LINGER);
	assert_int_equal(earlier(k, 0), 0);
	/* The first, from which slots are still to come, stays at those that lack some. */
	for (unsigned int i = 1; i < 4; i++)
		if (!placement_all_complete(node(k, i)))
			assert_int_equal(earlier(k, i), 1);
	netkit_free(k);
}

static void a_second_change_ends_no_earlier_table(void **state)
{
	struct netkit *k = running(4);
	struct address first;

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		complete(k, i);
	netkit_run(k, PLACEMENT_LINGER + S);
	first = *placement_hash(node(k, 1));
	set_weight(k, 0, 2);
	netkit_run(k, 3 * S);
	complete(k, 1);
	set_weight(k, 0, 3);
	netkit_run(k, 3 * S);
	assert_int_equal(earlier(k, 1), 2);
	assert_true(address_equal(&placement_earlier(node(k, 1), 1)->placement, &first));
	/* Each has its own time. */
	complete(k, 1);
	netkit_run(k, PLACEMENT_LINGER / 2);
	set_weight(k, 0, 4);
	netkit_run(k, 3 * S);
	complete(k, 1);
	assert_int_equal(earlier(k, 1), 3);
	netkit_run(k, PLACEMENT_LINGER / 2 + 10 * S);
	assert_int_equal(earlier(k, 1), 1);
	netkit_free(k);
}

static void earlier_tables_are_bounded_and_the_first_stays(void **state)
{
	struct netkit *k = running(4);
	struct address first;

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		complete(k, i);
	netkit_run(k, PLACEMENT_LINGER + S);
	first = *placement_hash(node(k, 1));
	for (uint8_t weight = 2; weight < 10; weight++) {
		set_weight(k, 0, weight);
		netkit_run(k, 3 * S);
	}
	assert_int_equal(earlier(k, 1), PLACEMENTS_MAX);
	assert_true(address_equal(&placement_earlier(node(k, 1), PLACEMENTS_MAX - 1)->placement, &first));
	netkit_free(k);
}

static void a_slot_that_comes_back_is_not_complete(void **state)
{
	struct netkit *k = running(4);
	unsigned int lost = 0;
	bool had[RING_SLOTS];

	(void)state;
	complete(k, 1);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		had[slot] = placement_complete(node(k, 1), slot);
	set_weight(k, 0, 8);
	netkit_run(k, 3 * S);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		if (had[slot] && placement_mine(node(k, 1), slot))
			assert_true(placement_complete(node(k, 1), slot));
		had[slot] = had[slot] && !placement_mine(node(k, 1), slot);
		lost += had[slot];
	}
	assert_true(lost > 0);
	set_weight(k, 0, 1);
	netkit_run(k, 3 * S);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		if (had[slot])
			assert_false(placement_complete(node(k, 1), slot));
	netkit_free(k);
}

static void changes_that_come_together_make_one_table(void **state)
{
	struct netkit *k = running(5);

	(void)state;
	tables = 0;
	for (unsigned int i = 0; i < 5; i++) {
		struct command c = { .kind = COMMAND_SET, .weight = 4 };

		netkit_command(k, i, &c);
	}
	netkit_run(k, 5 * S);
	/* Gossip takes a round or two: not one for each of the five. */
	assert_true(tables >= 5 && tables <= 15);
	for (unsigned int i = 1; i < 5; i++)
		assert_true(address_equal(placement_hash(node(k, i)), placement_hash(node(k, 0))));
	netkit_free(k);
}

static void the_walk_begins_with_the_owners(void **state)
{
	struct netkit *k = running(6);

	(void)state;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot += 97) {
		struct peer *owner[RING_REPLICAS_MAX], *walk[8];
		unsigned int owners = placement_owners(node(k, 2), slot, owner), on_walk = placement_walk(node(k, 2), slot, walk, 8);

		assert_int_equal(owners, 3 - placement_mine(node(k, 2), slot));
		assert_int_equal(on_walk, 5);
		for (unsigned int i = 0; i < owners; i++)
			assert_ptr_equal(owner[i], walk[i]);
		for (unsigned int i = 0; i < on_walk; i++)
			for (unsigned int j = 0; j < i; j++)
				assert_ptr_not_equal(walk[i], walk[j]);
	}
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_founder_has_all_and_who_joins_has_nothing),
		cmocka_unit_test(what_is_left_goes_by_the_pace_of_late),
		cmocka_unit_test(who_was_told_of_others_is_no_ring_of_one),
		cmocka_unit_test(one_who_drains_is_somebody),
		cmocka_unit_test(what_is_complete_outlives_a_restart),
		cmocka_unit_test(what_others_may_have_owned_while_a_node_was_away_is_not_complete),
		cmocka_unit_test(another_store_is_not_complete),
		cmocka_unit_test(a_founder_who_lost_his_store_is_none),
		cmocka_unit_test(the_table_before_stays_until_all_may_have_moved),
		cmocka_unit_test(a_second_change_ends_no_earlier_table),
		cmocka_unit_test(earlier_tables_are_bounded_and_the_first_stays),
		cmocka_unit_test(a_slot_that_comes_back_is_not_complete),
		cmocka_unit_test(changes_that_come_together_make_one_table),
		cmocka_unit_test(the_walk_begins_with_the_owners),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
