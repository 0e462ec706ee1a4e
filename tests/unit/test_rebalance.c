/*
 * Slots that move, among whole nodes.  SEED=n replays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/repairkit.h"
#include "tests/lib/suite.h"

#define CHUNKS 600u
#define LEN    1000u

static uint64_t seed;

/* ${running} of ${nodes} run, and all is in its place. */
static struct repairkit *ring_of(unsigned int nodes, unsigned int running)
{
	struct repairkit *k = repairkit_ring(nodes, running, CHUNKS, LEN, seed);

	netkit_run(k->net, 5 * S);
	repairkit_forget(k);
	return k;
}

static unsigned int fewest_copies(struct repairkit *k)
{
	unsigned int fewest = 99;

	for (unsigned int i = 0; i < k->chunks; i++)
		fewest = repairkit_copies(k, i) < fewest ? repairkit_copies(k, i) : fewest;
	return fewest;
}

static unsigned int number(struct repairkit *k, const struct address *a)
{
	for (unsigned int i = 0; i < k->chunks; i++)
		if (address_equal(a, &k->address[i]))
			return i;
	fail();
	return 0;
}

/* No copy is given up before all owners have one. */
static bool given_up(struct netkit *net, unsigned int at, const struct effect *e)
{
	struct repairkit *k = net->user;

	if (e->kind == EFFECT_STATES && !(e->states & (STATE_OWNED | STATE_FOREIGN))) {
		unsigned int i = number(k, &e->address);

		assert_int_equal(e->states, STATE_CACHED);
		for (unsigned int node = 0; node < net->count; node++)
			if (repairkit_owner(k, node, i))
				assert_true(node != at && repairkit_state(k, node, i) & STATE_OWNED);
	}
	return true;
}

static void slots_move_and_no_chunk_ever_has_fewer_copies(void **state)
{
	struct repairkit *k = ring_of(5, 3);
	uint64_t ideal;

	(void)state;
	k->net->effect = given_up;
	for (unsigned int joins = 3; joins < 5; joins++) {
		ideal = 0;
		repairkit_forget(k);
		netkit_start(k->net, joins);
		for (unsigned int i = 0; i < k->chunks; i++)
			ideal += repairkit_owner(k, joins, i) ? k->len : 0;
		for (unsigned int i = 0; i < 200; i++) {
			netkit_run(k->net, S / 5);
			assert_true(fewest_copies(k) >= 3);
		}
		assert_true(repairkit_place(k, 120 * S));
		printf("# join %u: %llu bytes of chunks, %llu in all\n", joins, (unsigned long long)ideal,
		    (unsigned long long)k->traffic.bytes);
		assert_true(k->traffic.requests[WIRE_AUDIT] > 0);
		assert_true(k->traffic.by_type[WIRE_GET] < ideal * 17 / 10);
	}
	repairkit_free(k);
}

/* The new node 3 learns nothing from anyone's trie, and so is never complete. */
static bool deaf(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int question = repairkit_question(k, from, to, m);

	(void)from;
	return to != 3 || m->type != WIRE_ANSWER || (question != WIRE_TRIE && question != WIRE_LIST);
}

static unsigned int owned_by_the_old(struct repairkit *k)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < k->chunks; i++)
		for (unsigned int node = 0; node < 3; node++)
			count += (repairkit_state(k, node, i) & STATE_OWNED) != 0;
	return count;
}

static void a_slot_is_held_until_its_new_owners_are_complete(void **state)
{
	struct repairkit *k = ring_of(4, 3);
	unsigned int i = 0;

	(void)state;
	k->meddle = deaf;
	netkit_start(k->net, 3);
	netkit_run(k->net, 600 * S);
	assert_int_equal(owned_by_the_old(k), 3 * CHUNKS);
	while (!repairkit_owner(k, 3, i) || repairkit_owner(k, 1, i))
		i++;
	/* one who asks for it gets it, whoever is asked: the new owner's miss does not count */
	for (unsigned int node = 0; node < 4; node++) {
		struct command c = { .kind = COMMAND_FETCH, .address = k->address[i], .chunk_kind = KIND_DATA };

		assert_int_equal(netkit_ask(k->net, node, &c)->result, 0);
	}
	k->meddle = NULL;
	assert_true(repairkit_place(k, 240 * S));
	repairkit_free(k);
}

static void what_new_owners_do_not_fetch_is_pushed_in_the_end(void **state)
{
	struct repairkit *k = ring_of(4, 3);

	(void)state;
	k->meddle = deaf;
	netkit_start(k->net, 3);
	netkit_run(k->net, HANDOVER_PUSH - 60 * S);
	assert_int_equal(owned_by_the_old(k), 3 * CHUNKS);
	k->net->effect = given_up;
	assert_true(repairkit_place(k, 180 * S));
	assert_true(k->traffic.requests[WIRE_PUT] > 0);
	repairkit_free(k);
}

static void a_restart_of_an_old_owner_amid_a_move_loses_nothing(void **state)
{
	struct repairkit *k = ring_of(4, 3);

	(void)state;
	k->net->effect = given_up;
	netkit_start(k->net, 3);
	for (unsigned int i = 0; i < 6; i++) {
		netkit_run(k->net, S);
		netkit_crash(k->net, i % 3);
		assert_true(fewest_copies(k) >= 2);
		netkit_run(k->net, S);
		netkit_start(k->net, i % 3);
	}
	assert_true(repairkit_place(k, 1200 * S));
	assert_true(netkit_settle(k->net));
	repairkit_free(k);
}

static void what_is_still_here_becomes_ours_again_without_a_byte(void **state)
{
	struct repairkit *k = ring_of(4, 4);
	struct command drain = { .kind = COMMAND_DRAIN, .count = 1 }, back = { .kind = COMMAND_DRAIN, .count = 0 };

	(void)state;
	assert_int_equal(netkit_ask(k->net, 3, &drain)->result, 0);
	k->out[3] = true;
	assert_true(repairkit_place(k, 240 * S));
	assert_true(fewest_copies(k) == 3);
	repairkit_forget(k);
	assert_int_equal(netkit_ask(k->net, 3, &back)->result, 0);
	k->out[3] = false;
	assert_true(repairkit_place(k, 240 * S));
	assert_int_equal(k->traffic.requests[WIRE_GET] + k->traffic.requests[WIRE_PUT], 0);
	repairkit_free(k);
}

/* While slots are labelled anew their records are confirmed, too, and a slow disk is told of both at once. */
static void what_becomes_ours_while_it_is_confirmed_does_not_stay_foreign(void **state)
{
	struct repairkit *k = repairkit_new(4, CHUNKS, LEN, seed);

	(void)state;
	for (unsigned int node = 0; node < 3; node++) {
		repairkit_put_all(k, node);
		repairkit_lease(k, node, 1, NULL);
		netkit_start(k->net, node);
	}
	assert_true(netkit_settle(k->net));
	for (unsigned int i = 0; i < CHUNKS; i++) {
		const struct effect e = { .kind = EFFECT_WRITE, .address = k->address[i], .chunk_kind = KIND_DATA,
			.chunk = k->chunk[i], .states = STATE_FOREIGN };
		struct event done;

		memory_catalogue_apply(&k->net->node[3].disk, &e, &done);
	}
	k->net->disk_delay = S;
	netkit_start(k->net, 3);
	assert_true(repairkit_place(k, 600 * S));
	repairkit_free(k);
}

/* ---- who may say that he has all ---- */

/* Does the disk of a node say that the slot of chunk ${i} is complete? */
static bool says_complete(struct repairkit *k, unsigned int node, unsigned int i)
{
	static const struct catalogue_row_key key = { .table = ROW_COMPLETE };
	struct catalogue *c = &k->net->node[node].disk.catalogue;
	struct chunk *row = c->row(c, &key);
	unsigned int slot = ring_slot(&k->address[i]);
	bool complete = row && row->data[row->len - RING_SLOTS / 8 + slot / 8] >> slot % 8 & 1;

	chunk_drop(row);
	return complete;
}

static void new_owners_do_not_take_each_others_word(void **state)
{
	(void)state;
	for (unsigned int nodes = 4; nodes < 8; nodes++) {
		struct repairkit *k = repairkit_new(nodes, 200, 200, seed);
		struct node_status status;

		repairkit_put_all(k, 0);
		repairkit_lease(k, 0, 1, NULL);
		netkit_start_all(k->net);
		for (unsigned int t = 0; t < 600; t++) {
			netkit_run(k->net, S / 10);
			for (unsigned int node = 0; node < nodes; node++)
				for (unsigned int i = 0; i < k->chunks; i++)
					assert_true(!says_complete(k, node, i) || repairkit_state(k, node, i));
		}
		/* and the old one is found at once, not waited for */
		for (unsigned int node = 0; node < nodes; node++) {
			node_status(k->net->node[node].node, &status);
			assert_true(status.complete);
		}
		repairkit_free(k);
	}
}

/* The one who holds all asks them while they are away; when they come, with new disks, they have to hear of it all the same: else they wait
 * for nobody, and call empty slots complete. */
static void who_was_away_in_the_first_round_is_told_who_holds_what(void **state)
{
	struct repairkit *k = ring_of(4, 4);
	struct command drain = { .kind = COMMAND_DRAIN, .count = 1 };
	bool held[CHUNKS];

	(void)state;
	for (unsigned int i = 0; i < k->chunks; i++)
		held[i] = repairkit_state(k, 3, i) & STATE_OWNED;
	for (unsigned int node = 0; node < 3; node++)
		netkit_crash(k->net, node);
	assert_int_equal(netkit_ask(k->net, 3, &drain)->result, 0);
	k->out[3] = true;
	netkit_run(k->net, 120 * S);
	for (unsigned int node = 0; node < 3; node++) {
		netkit_wipe(k->net, node);
		netkit_start(k->net, node);
	}
	/* before anybody would call a slot complete that nobody has */
	netkit_run(k->net, SOURCE_LOOK - 20 * S);
	for (unsigned int node = 0; node < 3; node++)
		for (unsigned int i = 0; i < k->chunks; i++)
			assert_true(!held[i] || (says_complete(k, node, i) && repairkit_state(k, node, i) & STATE_OWNED));
	repairkit_free(k);
}

/* Node 1 does not say what it has. */
static bool keeps_to_itself(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int question = repairkit_question(k, from, to, m);

	return from != 1 || m->type != WIRE_ANSWER || (question != WIRE_TRIE && question != WIRE_LIST);
}

static void one_who_says_that_he_has_all_is_not_enough(void **state)
{
	struct repairkit *k = ring_of(4, 3);
	unsigned int waited = 0;

	(void)state;
	for (unsigned int node = 0; node < 3; node++) {
		netkit_crash(k->net, node);
		for (unsigned int i = 0; i < k->chunks && node != 1; i++) {
			const struct effect e = { .kind = EFFECT_STATES, .address = k->address[i] };
			struct event done;

			memory_catalogue_apply(&k->net->node[node].disk, &e, &done);
		}
	}
	k->meddle = keeps_to_itself;
	netkit_start_all(k->net);
	netkit_run(k->net, 60 * S);
	for (unsigned int i = 0; i < k->chunks; i++)
		if (repairkit_owner(k, 3, i)) {
			assert_false(says_complete(k, 3, i) && !repairkit_state(k, 3, i));
			waited += !says_complete(k, 3, i);
		}
	assert_true(waited > 0);
	k->meddle = NULL;
	assert_true(repairkit_place(k, 600 * S));
	assert_true(netkit_settle(k->net));
	repairkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_move_and_no_chunk_ever_has_fewer_copies),
		cmocka_unit_test(a_slot_is_held_until_its_new_owners_are_complete),
		cmocka_unit_test(what_new_owners_do_not_fetch_is_pushed_in_the_end),
		cmocka_unit_test(a_restart_of_an_old_owner_amid_a_move_loses_nothing),
		cmocka_unit_test(what_is_still_here_becomes_ours_again_without_a_byte),
		cmocka_unit_test(what_becomes_ours_while_it_is_confirmed_does_not_stay_foreign),
		cmocka_unit_test(new_owners_do_not_take_each_others_word),
		cmocka_unit_test(one_who_says_that_he_has_all_is_not_enough),
		cmocka_unit_test(who_was_away_in_the_first_round_is_told_who_holds_what),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
