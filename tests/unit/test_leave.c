/*
 * Leaving for ever.  SEED=n replays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "tests/lib/repairkit.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

#define CHUNKS 500u

static uint64_t seed;

static bool odd(unsigned int i)
{
	return i % 2;
}

static struct repairkit *ring_of(unsigned int nodes)
{
	struct repairkit *k = repairkit_ring(nodes, nodes, CHUNKS, 500, seed);

	repairkit_forget(k);
	return k;
}

/* That each chunk is leased, and at all its owners, without node ${gone}. */
static void all_is_with_the_others(struct repairkit *k, unsigned int gone)
{
	for (unsigned int i = 0; i < k->chunks; i++)
		for (unsigned int node = 0; node < k->net->count; node++) {
			if (node == gone || !repairkit_owner(k, node, i))
				continue;
			assert_true(repairkit_state(k, node, i) & STATE_OWNED);
			assert_true(repairkit_state(k, node, i) & STATE_LEASED);
		}
}

static void who_leaves_hands_over_all_it_has_first(void **state)
{
	(void)state;
	uint64_t started;

	for (unsigned int nodes = 2; nodes < 6; nodes++) {
		struct repairkit *k = ring_of(nodes);
		struct command leave = { .kind = COMMAND_LEAVE, .timeout = 1800 * S };
		unsigned int copies = nodes < 4 ? nodes - 1 : 3;

		started = k->net->now;
		assert_int_equal(netkit_ask(k->net, 1, &leave)->result, 0);
		/* As long as it takes, not as long as some timer has. */
		printf("# of %u: %.0f s\n", nodes, (double)(k->net->now - started) / S);
		assert_true(k->net->now - started < 90 * S);
		k->out[1] = true;
		all_is_with_the_others(k, 1);
		netkit_run(k->net, 30 * S);
		assert_true(k->net->node[1].stopped);
		netkit_crash(k->net, 1);
		for (unsigned int i = 0; i < k->chunks; i++)
			assert_true(repairkit_copies(k, i) >= copies);
		assert_true(repairkit_place(k, 600 * S));
		assert_true(netkit_settle(k->net));
		repairkit_free(k);
	}
}

static bool first_lease_is_lost(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int *lost = k->user;

	(void)to;
	return from != 1 || m->type != WIRE_LEASE || (*lost)++ > 0;
}

/* As where he to whom it was to go left at the same time. */
static void a_lease_that_did_not_arrive_is_sent_again_soon(void **state)
{
	struct repairkit *k = ring_of(4);
	struct command leave = { .kind = COMMAND_LEAVE, .timeout = 1800 * S };
	uint64_t started = k->net->now;
	unsigned int lost = 0;

	(void)state;
	k->user = &lost;
	k->meddle = first_lease_is_lost;
	assert_int_equal(netkit_ask(k->net, 1, &leave)->result, 0);
	assert_true(lost > 1);
	assert_true(k->net->now - started < 90 * S);
	k->out[1] = true;
	all_is_with_the_others(k, 1);
	repairkit_free(k);
}

static bool knows_as_owner(struct node *n, const struct address *id)
{
	const struct ring *before;
	bool knows = ring_find(placement(n), id) >= 0;

	for (unsigned int i = 0; (before = placement_earlier(n, i)); i++)
		knows |= ring_find(before, id) >= 0;
	return knows;
}

static void who_keeps_nothing_and_died_as_it_came_holds_nobody_up(void **state)
{
	(void)state;
	for (unsigned int after = 0; after < 3; after++) {
		struct repairkit *k = repairkit_ring(5, 4, CHUNKS, 500, seed);
		struct command leave = { .kind = COMMAND_LEAVE, .timeout = 1800 * S }, nothing = { .kind = COMMAND_DRAIN, .count = 1 };
		uint64_t started;

		netkit_start(k->net, 4);
		netkit_command(k->net, 4, &nothing);
		while (!membership_find(repairkit_node(k, 0), &k->net->node[4].id))
			netkit_run(k->net, 10 * MS);
		netkit_run(k->net, 500 * MS);
		netkit_crash(k->net, 4);
		k->out[4] = true;
		/* In doubt, or down. */
		netkit_run(k->net, after * 10 * S);
		for (unsigned int i = 0; i < 4; i++)
			assert_false(knows_as_owner(repairkit_node(k, i), &k->net->node[4].id));
		started = k->net->now;
		assert_int_equal(netkit_ask(k->net, 0, &leave)->result, 0);
		assert_true(k->net->now - started < 90 * S);
		k->out[0] = true;
		all_is_with_the_others(k, 0);
		repairkit_free(k);
	}
}

/* What was put, and has no lease yet, nobody fetches: it is pushed, and waited for. */
static void what_has_no_lease_yet_is_handed_over_too(void **state)
{
	struct repairkit *k = repairkit_new(4, CHUNKS, 500, seed);
	struct command leave = { .kind = COMMAND_LEAVE, .timeout = 1800 * S };

	(void)state;
	repairkit_put_all(k, 0);
	repairkit_lease(k, 0, 1, odd);
	netkit_start_all(k->net);
	assert_true(netkit_settle(k->net));
	netkit_run(k->net, 60 * S);
	assert_int_equal(netkit_ask(k->net, 0, &leave)->result, 0);
	k->out[0] = true;
	for (unsigned int i = 0; i < k->chunks; i++)
		for (unsigned int node = 1; node < 4; node++)
			assert_true(!repairkit_owner(k, node, i) || repairkit_state(k, node, i) & STATE_OWNED);
	repairkit_free(k);
}

static void who_is_alone_can_not_leave(void **state)
{
	struct repairkit *k = ring_of(1);
	struct command leave = { .kind = COMMAND_LEAVE };

	(void)state;
	assert_int_equal(netkit_ask(k->net, 0, &leave)->result, -EHOSTUNREACH);
	repairkit_free(k);
}

/* What is sent to others than node 1 is lost, where it is a trie or a chunk: nobody becomes complete, and nothing can be pushed. */
static bool nothing_moves(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int question = repairkit_question(k, from, to, m);

	return question != WIRE_TRIE && question != WIRE_LIST && question != WIRE_PUT && question != WIRE_GET;
}

static void where_time_is_up_it_goes_on_draining_and_leaves_another_time(void **state)
{
	struct repairkit *k = ring_of(4);
	struct command leave = { .kind = COMMAND_LEAVE, .timeout = 300 * S };
	uint64_t first, second;

	(void)state;
	k->meddle = nothing_moves;
	first = netkit_command(k->net, 2, &leave);
	netkit_run(k->net, 10 * S);
	second = netkit_command(k->net, 2, &leave);
	netkit_run(k->net, S);
	assert_int_equal(netkit_reply(k->net, second)->result, -EALREADY);
	assert_null(netkit_reply(k->net, first));
	netkit_run(k->net, 300 * S);
	assert_int_equal(netkit_reply(k->net, first)->result, -ETIMEDOUT);
	assert_false(k->net->node[2].stopped);
	for (unsigned int i = 0; i < k->chunks; i++)
		assert_true(repairkit_copies(k, i) >= 3);
	k->meddle = NULL;
	leave.timeout = 1800 * S;
	assert_int_equal(netkit_ask(k->net, 2, &leave)->result, 0);
	k->out[2] = true;
	all_is_with_the_others(k, 2);
	repairkit_free(k);
}

static void a_restart_while_it_drains_loses_nothing(void **state)
{
	struct repairkit *k = ring_of(4);
	struct command leave = { .kind = COMMAND_LEAVE, .timeout = 1800 * S };

	(void)state;
	netkit_command(k->net, 2, &leave);
	netkit_run(k->net, 3 * S);
	netkit_crash(k->net, 2);
	netkit_run(k->net, S);
	netkit_start(k->net, 2);
	netkit_run(k->net, 5 * S);
	assert_int_equal(netkit_ask(k->net, 2, &leave)->result, 0);
	k->out[2] = true;
	all_is_with_the_others(k, 2);
	repairkit_free(k);
}

/* New owners hear of no lease by themselves. */
static bool nobody_fetches_leases(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	return m->type != WIRE_LEASES;
}

static bool has_lease(struct netkit *k, unsigned int i, const struct volumekit *v, unsigned int slot)
{
	struct catalogue *c = &k->node[i].disk.catalogue;
	struct chunk *blob = c->lease(c, &v->id, slot);

	chunk_drop(blob);
	return blob;
}

/* All owners had them when they were made; others came to own their slots, and it waited for these in vain until its time was up. */
static void leases_that_were_made_here_are_with_their_owners_first(void **state)
{
	struct netkit *k = netkit_ring(4, seed);
	struct command leave = { .kind = COMMAND_LEAVE, .timeout = 3000 * S };
	struct volumekit v;
	struct address a[3];

	(void)state;
	volumekit_make(k, 1, &v);
	for (unsigned int slot = 0; slot < 64; slot++) {
		struct command c = { .kind = COMMAND_LEASE, .addresses = a, .count = 3 };

		volumekit_addresses(slot, 0, 3, a);
		c.blob = volumekit_lease(&v, slot, 1, a, 3);
		assert_int_equal(netkit_ask(k, 3, &c)->result, 0);
		chunk_drop(c.blob);
	}
	netkit_run(k, 10 * S);
	k->filter = nobody_fetches_leases;
	assert_int_equal(netkit_ask(k, 3, &leave)->result, 0);
	for (unsigned int slot = 0; slot < 64; slot++)
		for (unsigned int i = 0; i < 3; i++)
			assert_true(has_lease(k, i, &v, slot));
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_leaves_hands_over_all_it_has_first),
		cmocka_unit_test(a_lease_that_did_not_arrive_is_sent_again_soon),
		cmocka_unit_test(who_keeps_nothing_and_died_as_it_came_holds_nobody_up),
		cmocka_unit_test(what_has_no_lease_yet_is_handed_over_too),
		cmocka_unit_test(who_is_alone_can_not_leave),
		cmocka_unit_test(where_time_is_up_it_goes_on_draining_and_leaves_another_time),
		cmocka_unit_test(a_restart_while_it_drains_loses_nothing),
		cmocka_unit_test(leases_that_were_made_here_are_with_their_owners_first),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
