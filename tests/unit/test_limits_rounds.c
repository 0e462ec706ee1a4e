/*
 * How often owners compare, ask each other and look, how long a slot waits for one who has all of it, and how much work on the
 * trie one event does.  SEED=n replays.
 */
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "dht/net/node_core.h"
#include "dht/net/reconcile_impl.h"
#include "tests/lib/repairkit.h"
#include "tests/lib/suite.h"

static uint64_t seed;

/* ${running} of ${nodes} run, and all is in its place. */
static struct repairkit *ring_of(unsigned int nodes, unsigned int running, unsigned int chunks)
{
	struct repairkit *k = repairkit_ring(nodes, running, chunks, 200, seed);

	netkit_run(k->net, 60 * S);
	return k;
}

static struct pair *pair_of(struct repairkit *k, unsigned int at, unsigned int with)
{
	return repair_pair(repairkit_node(k, at), &k->net->node[with].id);
}

static bool about(uint64_t us, uint64_t expected)
{
	return us + 20 * MS >= expected - expected / 8 && us <= expected + expected / 8;
}

/* Nobody's trie is told to node 3: so it is never complete. */
static bool deaf(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int question = repairkit_question(k, from, to, m);

	return to != 3 || m->type != WIRE_ANSWER || (question != WIRE_TRIE && question != WIRE_LIST && question != WIRE_SLOTS);
}

static bool has_table(struct netkit *k)
{
	const struct ring *r = placement(k->node[3].node);

	return r && r->members == 4;
}

/* ---- repair ---- */

static void what_failed_is_compared_again_ever_later_up_to_a_bound(void **state)
{
	struct repairkit *k = ring_of(4, 3, 20);
	uint64_t pause = REPAIR_AGAIN, due = 0;
	unsigned int rounds = 0;

	(void)state;
	k->meddle = deaf;
	netkit_start(k->net, 3);
	assert_true(netkit_until(k->net, has_table, 60 * S));
	for (unsigned int ms = 0; rounds < 6 && ms < 3600 * 1000; ms += 10) {
		const struct pair *p = pair_of(k, 3, 0);

		netkit_run(k->net, 10 * MS);
		if (p->reconcile || p->failures == 0 || p->due == due || p->due <= k->net->now)
			continue;
		due = p->due;
		assert_true(about(due - k->net->now, pause));
		pause = 2 * pause < REPAIR_AGAIN_MAX ? 2 * pause : REPAIR_AGAIN_MAX;
		rounds++;
	}
	assert_int_equal(rounds, 6);
	repairkit_free(k);
}

static size_t (*list)(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out);
static const struct netkit *clock_of;
static uint64_t read_at;
static size_t reads, reads_most, reads_all;

static size_t counts_reads(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out)
{
	size_t found = list(c, from, states, n, out);

	reads = read_at == clock_of->now ? reads + found : found;
	read_at = clock_of->now;
	reads_all += found;
	reads_most = reads > reads_most ? reads : reads_most;
	return found;
}

static void one_event_reads_so_much_for_the_trie(void **state)
{
	enum { CHUNKS = 2 * REPAIR_READS + 500 };
	struct repairkit *k = ring_of(2, 2, CHUNKS);
	struct catalogue *c = &k->net->node[0].disk.catalogue;

	(void)state;
	netkit_crash(k->net, 0);
	list = c->list;
	c->list = counts_reads;
	clock_of = k->net;
	reads_most = reads_all = 0;
	netkit_start(k->net, 0);
	netkit_run(k->net, 60 * S);
	assert_true(reads_all >= CHUNKS);
	/* As much as that, but for what one slot has more. */
	assert_in_range(reads_most, REPAIR_READS / 2, REPAIR_READS + 64);
	repairkit_free(k);
}

static void so_many_places_of_a_trie_are_still_to_be_looked_at(void **state)
{
	struct reconcile r = { .items = 0 };
	struct wire_path path = { .depth = 1 };

	(void)state;
	while (reconcile_push(&r, &path, false) == 0)
		assert_true(r.items <= REPAIR_STACK);
	/* All that 64 which were asked for can lead to. */
	assert_true(r.items >= 64 * 16 * 16);
	assert_int_equal(reconcile_push(&r, &path, false), -ENOMEM);
	r.items--;
	assert_int_equal(reconcile_push(&r, &path, true), 0);
	assert_true(r.item[r.items - 1].listed);
	free(r.item);
}

/* ---- who has all of a slot? ---- */

static unsigned int sourced(struct repairkit *k, unsigned int i, unsigned int *mine)
{
	const struct repair *r = repairkit_node(k, i)->repair;
	unsigned int count = 0;

	for (unsigned int j = 0; j < r->mine_count; j++)
		count += trie_slots_have(&r->sourced, r->mine[j]);
	*mine = r->mine_count;
	return count;
}

static void while_nobody_is_down_a_source_is_looked_for_so_long(void **state)
{
	struct repairkit *k = ring_of(4, 3, 20);
	unsigned int mine, have;
	uint64_t since;

	(void)state;
	k->meddle = deaf;
	netkit_start(k->net, 3);
	assert_true(netkit_until(k->net, has_table, 60 * S));
	since = repairkit_node(k, 3)->repair->since;
	netkit_run(k->net, since + SOURCE_LOOK - 1 - k->net->now);
	have = sourced(k, 3, &mine);
	assert_true(have < mine);
	netkit_run(k->net, 1);
	assert_int_equal(sourced(k, 3, &mine), mine);
	repairkit_free(k);
}

/* Three that are down owned what three new ones own now. */
static void while_some_are_down_a_source_is_looked_for_until_all_was_pushed(void **state)
{
	struct repairkit *k = ring_of(7, 4, 20);
	uint64_t since, longest = 0;
	unsigned int mine, have;

	(void)state;
	for (unsigned int i = 1; i < 4; i++)
		netkit_crash(k->net, i);
	for (unsigned int i = 4; i < 7; i++)
		netkit_start(k->net, i);
	netkit_run(k->net, 300 * S);
	since = repairkit_node(k, 4)->repair->since;
	have = sourced(k, 4, &mine);
	assert_true(have < mine);
	/* Meanwhile those who have not all either are asked again and again. */
	for (unsigned int ms = 0; ms < 120 * 1000; ms += 10) {
		const struct pair *p = pair_of(k, 4, 5);

		netkit_run(k->net, 10 * MS);
		if (!p->reconcile && p->due > k->net->now && p->due - k->net->now > longest)
			longest = p->due - k->net->now;
	}
	assert_in_range(longest, SOURCE_ASK - SOURCE_ASK / 8, SOURCE_ASK + SOURCE_ASK / 8);
	netkit_run(k->net, since + SOURCE_WAIT - 1 - k->net->now);
	have = sourced(k, 4, &mine);
	assert_true(have < mine);
	netkit_run(k->net, SOURCE_LOOK + 1);
	assert_int_equal(sourced(k, 4, &mine), mine);
	repairkit_free(k);
}

/* ---- handing over ---- */

static uint64_t polled_at[64];
static unsigned int polls;

static bool listens(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	if (from == 0 && to == 3 && m->type == WIRE_SLOTS && (polls == 0 || k->net->now - polled_at[polls - 1] > 100 * MS)) {
		assert_true(polls < 64);
		polled_at[polls++] = k->net->now;
	}
	return deaf(k, from, to, m);
}

static void new_owners_are_asked_often_at_first_whether_they_are_complete(void **state)
{
	struct repairkit *k = ring_of(4, 3, 20);
	uint64_t pause = HANDOVER_ASK;

	(void)state;
	k->meddle = listens;
	polls = 0;
	netkit_start(k->net, 3);
	netkit_run(k->net, 300 * S);
	assert_true(polls > 8);
	for (unsigned int i = 1; i < polls; i++) {
		uint64_t gap = polled_at[i] - polled_at[i - 1];

		if (i > 1)
			pause = 2 * pause < HANDOVER_POLL ? 2 * pause : HANDOVER_POLL;
		assert_in_range(gap, pause - pause / 8, pause + pause / 8 + 200 * MS);	/* and what the round itself takes */
	}
	assert_int_equal(pause, HANDOVER_POLL);
	repairkit_free(k);
}

/* ---- spares ---- */

static uint64_t listed_at;

static bool sees_lists(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)from;
	(void)to;
	if (m->type == WIRE_LIST && listed_at == 0)
		listed_at = k->net->now;
	return true;
}

static void who_is_down_for_long_is_seen_within_the_time_of_a_look(void **state)
{
	uint64_t longest = 0;

	(void)state;
	for (unsigned int round = 0; round < 6; round++, seed++) {
		struct repairkit *k = ring_of(6, 6, 1);
		unsigned int owner = 0, other = 0;
		uint64_t down, late;

		while (!repairkit_owner(k, owner, 0))
			owner++;
		while (other == owner)
			other++;
		netkit_crash(k->net, owner);
		while (!membership_down_since(repairkit_node(k, other), &k->net->node[owner].id))
			netkit_run(k->net, 100 * MS);
		down = membership_down_since(repairkit_node(k, other), &k->net->node[owner].id);
		netkit_run(k->net, down + SPARE_AFTER - 10 * S - k->net->now);
		listed_at = 0;
		k->meddle = sees_lists;
		netkit_run(k->net, 20 * S + 2 * SPARE_LOOK);
		/* Not all have seen it go down at once. */
		late = listed_at - (down + SPARE_AFTER - 10 * S);
		assert_in_range(late, 0, SPARE_LOOK + SPARE_LOOK / 8 + 20 * S);
		longest = late > longest ? late : longest;
		repairkit_free(k);
	}
	assert_true(longest > SPARE_LOOK / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_failed_is_compared_again_ever_later_up_to_a_bound),
		cmocka_unit_test(one_event_reads_so_much_for_the_trie),
		cmocka_unit_test(so_many_places_of_a_trie_are_still_to_be_looked_at),
		cmocka_unit_test(while_nobody_is_down_a_source_is_looked_for_so_long),
		cmocka_unit_test(while_some_are_down_a_source_is_looked_for_until_all_was_pushed),
		cmocka_unit_test(new_owners_are_asked_often_at_first_whether_they_are_complete),
		cmocka_unit_test(who_is_down_for_long_is_seen_within_the_time_of_a_look),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
