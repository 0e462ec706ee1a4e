/*
 * Which slots may be called complete, among whole nodes: those where all is that should be.  SEED=n replays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/repair_impl.h"
#include "tests/lib/repairkit.h"
#include "tests/lib/suite.h"

#define CHUNKS WIRE_PATHS_MAX

static uint64_t seed;

static struct repairkit *ring_of(unsigned int nodes, unsigned int running)
{
	struct repairkit *k = repairkit_ring(nodes, running, CHUNKS, 200, seed);

	netkit_run(k->net, 60 * S);
	return k;
}

static void drain(struct repairkit *k, unsigned int i, bool out)
{
	struct command c = { .kind = COMMAND_DRAIN, .count = out };

	assert_int_equal(netkit_ask(k->net, i, &c)->result, 0);
	k->out[i] = out;
}

/* ---- what a node answers ---- */

struct asking {
	struct call call;
	bool over;
	unsigned int complete;		/* of the slots of all chunks */
};

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct asking *a = (struct asking *)c;

	(void)n;
	(void)body;
	a->over = true;
	for (unsigned int i = 0; !result && m->status == WIRE_OK && i < CHUNKS; i++)
		a->complete += m->have.data[i / 8] >> i % 8 & 1;
}

/* Of how many chunks' slots ${to} says to ${from} that they are complete there. */
static unsigned int said_complete(struct repairkit *k, unsigned int from, unsigned int to)
{
	uint8_t paths[CHUNKS * WIRE_PATH_LEN];
	struct message m = { .type = WIRE_SLOTS, .paths_bytes = paths, .path_count = CHUNKS };
	struct asking a = { .call.done = answered };

	for (unsigned int i = 0; i < CHUNKS; i++) {
		struct wire_path path;

		trie_path_slot(ring_slot(&k->address[i]), &path);
		wire_path_put(&path, paths + i * WIRE_PATH_LEN);
	}
	call_start(repairkit_node(k, from), &a.call, peer_find(repairkit_node(k, from), &k->net->node[to].id), &m, NULL, LINK_REPAIR, CALL_QUICK);
	while (!a.over)
		netkit_run(k->net, 10 * MS);
	return a.complete;
}

/* Node 3 learns nothing from anyone's trie, and so is never complete. */
static bool deaf(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int question = repairkit_question(k, from, to, m);

	(void)from;
	return to != 3 || m->type != WIRE_ANSWER || (question != WIRE_TRIE && question != WIRE_LIST && question != WIRE_SLOTS);
}

static void who_has_given_a_slot_up_does_not_say_that_he_has_all_of_it(void **state)
{
	struct repairkit *k = ring_of(4, 4);

	(void)state;
	assert_true(said_complete(k, 0, 3) > CHUNKS / 2);
	drain(k, 3, true);
	assert_true(repairkit_place(k, 240 * S));
	netkit_run(k->net, 60 * S);
	assert_int_equal(said_complete(k, 0, 3), 0);
	/* room was wanted */
	for (unsigned int i = 0; i < CHUNKS; i++) {
		const struct effect e = { .kind = EFFECT_STATES, .address = k->address[i] };
		struct event done;

		memory_catalogue_apply(&k->net->node[3].disk, &e, &done);
	}
	k->meddle = deaf;
	drain(k, 3, false);
	netkit_run(k->net, 5 * S);
	drain(k, 3, true);
	for (unsigned int t = 0; t < 100; t++)
		assert_int_equal(said_complete(k, 0, 3), 0);
	repairkit_free(k);
}

/* ---- who was asked ---- */

/* What nodes 0 and 1 know of slots does not reach node 3, and node 2 does not say that it holds any: for that there is the test. */
static bool says_nothing_of_slots(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	return to != 3 || repairkit_question(k, from, to, m) != WIRE_SLOTS || (from == 2 && m->type == WIRE_ANSWER);
}

static struct pair *pair_of(struct repairkit *k, unsigned int at, unsigned int with)
{
	return repair_pair(repairkit_node(k, at), &k->net->node[with].id);
}

static void who_was_not_asked_about_a_slot_has_told_nothing(void **state)
{
	struct repairkit *k = ring_of(4, 3);
	unsigned int i = 0, slot;

	(void)state;
	k->meddle = says_nothing_of_slots;
	netkit_start(k->net, 3);
	for (unsigned int t = 0; t < 10000 && !(pair_of(k, 3, 2) && pair_of(k, 3, 2)->reconcile); t++)
		netkit_run(k->net, MS);
	assert_non_null(pair_of(k, 3, 2)->reconcile);
	while (!repairkit_owner(k, 3, i) || repairkit_owner(k, 2, i))
		i++;
	slot = ring_slot(&k->address[i]);
	slots_held(repairkit_node(k, 3), &k->net->node[2].id, slot);
	while (pair_of(k, 3, 2)->reconcile)
		netkit_run(k->net, MS);
	assert_true(trie_slots_have(pair_of(k, 3, 2)->duty, slot));
	assert_false(trie_slots_have(pair_of(k, 3, 2)->over, slot));
	/* but the next time it is asked */
	netkit_run(k->net, 10 * S);
	assert_true(trie_slots_have(pair_of(k, 3, 2)->over, slot));
	repairkit_free(k);
}

/* ---- nobody has all ---- */

/* Are the owners of ${slot} exactly the three nodes from ${first} on? */
static bool owned_by(struct repairkit *k, const struct ring *ring, unsigned int slot, unsigned int first)
{
	for (unsigned int i = first; i < first + 3; i++) {
		int member = ring_find(ring, &k->net->node[i].id);

		if (member < 0 || !ring_owns(ring, slot, (unsigned int)member))
			return false;
	}
	return true;
}

/* Of the slots that went from nodes 1, 2 and 3 to nodes 4, 5 and 6, how many are complete there? */
static unsigned int complete_at_the_new(struct repairkit *k, const bool *moved)
{
	unsigned int complete = 0;

	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		for (unsigned int i = 4; i < 7 && moved[slot]; i++)
			complete += placement_complete(repairkit_node(k, i), slot);
	return complete;
}

static void owners_of_before_who_are_down_for_long_may_have_what_nobody_else_has(void **state)
{
	struct repairkit *k = ring_of(7, 4);
	static bool moved[RING_SLOTS];
	unsigned int count = 0;

	(void)state;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		moved[slot] = owned_by(k, placement(repairkit_node(k, 0)), slot, 1);
	for (unsigned int i = 1; i < 4; i++)
		netkit_crash(k->net, i);
	for (unsigned int i = 4; i < 7; i++)
		netkit_start(k->net, i);
	netkit_run(k->net, 10 * S);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		moved[slot] = moved[slot] && owned_by(k, placement(repairkit_node(k, 4)), slot, 4);
		count += moved[slot];
	}
	assert_true(count > 10);
	netkit_run(k->net, 3600 * S);
	assert_int_equal(complete_at_the_new(k, moved), 0);
	for (unsigned int i = 1; i < 4; i++)
		netkit_start(k->net, i);
	assert_true(netkit_settle(k->net));
	assert_int_equal(complete_at_the_new(k, moved), 3 * count);
	repairkit_free(k);
}

/* A majority of a slot's owners before is what new owners ask for heads, whenever these come back. */
static void earlier_tables_stay_while_heads_wait_for_their_owners(void **state)
{
	struct repairkit *k = ring_of(4, 3);
	unsigned int waiting = 0;

	(void)state;
	netkit_crash(k->net, 1);
	netkit_crash(k->net, 2);
	netkit_start(k->net, 3);
	netkit_run(k->net, PLACEMENT_LINGER + 120 * S);
	assert_true(placement_all_complete(repairkit_node(k, 0)));
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		waiting += placement_mine(repairkit_node(k, 0), slot) && !heads_complete(repairkit_node(k, 0), slot);
	assert_true(waiting > 0);
	assert_non_null(placement_earlier(repairkit_node(k, 0), 0));
	netkit_start(k->net, 1);
	netkit_start(k->net, 2);
	netkit_run(k->net, 120 * S);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		assert_true(!placement_mine(repairkit_node(k, 0), slot) || heads_complete(repairkit_node(k, 0), slot));
	assert_null(placement_earlier(repairkit_node(k, 0), 0));
	repairkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_given_a_slot_up_does_not_say_that_he_has_all_of_it),
		cmocka_unit_test(who_was_not_asked_about_a_slot_has_told_nothing),
		cmocka_unit_test(owners_of_before_who_are_down_for_long_may_have_what_nobody_else_has),
		cmocka_unit_test(earlier_tables_stay_while_heads_wait_for_their_owners),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
