/* What the tests of membership share: a few nodes without their machines, and messages that are forged. */
#ifndef TESTS_MEMBERSHIP_TEST_H
#define TESTS_MEMBERSHIP_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "dht/net/membership.h"
#include "dht/net/node_core.h"
#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

static uint64_t seed;

/* A message that takes the place of the next one of membership between two nodes. */
static struct {
	unsigned int from, to;
	struct message m;
	bool armed;
	unsigned int lost;		/* a node whose messages are all lost, both ways; by number from 1 */
} forged;

static inline bool meddle(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	uint8_t *bytes;
	size_t size;

	(void)k;
	if (forged.lost == from + 1 || forged.lost == to + 1)
		return false;
	if (!forged.armed || from != forged.from || to != forged.to || m->priority != LINK_CONTROL)
		return true;
	forged.armed = false;
	chunk_drop(m->body);
	size = wire_size(&forged.m, false);
	m->body = chunk_new(size, &bytes);
	assert_int_equal(wire_encode(&forged.m, false, bytes, size), size);
	m->type = forged.m.type;
	return true;
}

static inline bool forged_is_out(struct netkit *k)
{
	(void)k;
	return !forged.armed;
}

static inline struct node *node(struct netkit *k, unsigned int i)
{
	assert_non_null(k->node[i].node);
	return k->node[i].node;
}

/* ${from} says ${m} to ${to}. */
static inline void say(struct netkit *k, unsigned int from, unsigned int to, const struct message *m)
{
	forged.from = from;
	forged.to = to;
	forged.m = *m;
	forged.armed = true;
	exchange_with(node(k, from), peer_find(node(k, from), &k->node[to].id));
	assert_true(netkit_until(k, forged_is_out, 60 * S));
	netkit_run(k, 2 * k->delay);
}

static inline void say_record(struct netkit *k, unsigned int from, unsigned int to, const uint8_t *bytes, uint32_t len)
{
	uint8_t blob[MEMBER_BLOB_MAX + 2];
	struct message m = { .type = WIRE_GOSSIP, .has = WIRE_HAS(FIELD_RECORDS) };

	m.records = (struct wire_slice){ blob, (uint32_t)wire_blob_put(bytes, len, blob, sizeof(blob)) };
	say(k, from, to, &m);
}

static inline struct netkit *ring_of(unsigned int count)
{
	struct netkit *k = netkit_new(count, seed);

	memset(&forged, 0, sizeof(forged));
	k->filter = meddle;
	return k;
}

static inline struct view_entry *entry(struct netkit *k, unsigned int at, unsigned int of)
{
	return view_find(&node(k, at)->membership->view, &k->node[of].id);
}

static inline enum health health(struct netkit *k, unsigned int at, unsigned int of)
{
	return membership_health(node(k, at), &k->node[of].id);
}

static inline bool runs(struct netkit *k, unsigned int i)
{
	return k->node[i].node && !k->node[i].stopped;
}

/* All that run have one view, of ${wanted} members, and one placement, of ${placed}. */
static unsigned int wanted, placed;

static inline bool agree(struct netkit *k)
{
	const struct address *first = NULL, *table = NULL;

	for (unsigned int i = 0; i < k->count; i++) {
		struct view *v;

		if (!runs(k, i))
			continue;
		v = &node(k, i)->membership->view;
		if (!first)
			first = view_digest(v);
		if (!table)
			table = placement_hash(node(k, i));
		if (view_living(v) != wanted || !address_equal(view_digest(v), first))
			return false;
		if (!placement(node(k, i)) || placement(node(k, i))->members != placed ||
		    !address_equal(placement_hash(node(k, i)), table))
			return false;
	}
	return true;
}

static inline void agree_on(struct netkit *k, unsigned int members, unsigned int in_table, uint64_t us)
{
	wanted = members;
	placed = in_table;
	if (!netkit_until(k, agree, us)) {
		for (unsigned int i = 0; i < k->count; i++)
			if (runs(k, i))
				print_message("# node %u: %u members, %u in its table\n", i, view_living(&node(k, i)->membership->view),
				    placement(node(k, i)) ? placement(node(k, i))->members : 0);
		fail_msg("not %u members, %u in the table", members, in_table);
	}
}

static inline struct netkit *running(unsigned int count)
{
	struct netkit *k = ring_of(count);

	netkit_start_all(k);
	agree_on(k, count, count, 20 * S);
	netkit_run(k, 5 * S);
	return k;
}

static inline int ask(struct netkit *k, unsigned int i, struct command c)
{
	const struct effect *e = netkit_ask(k, i, &c);

	return e ? e->result : -ETIMEDOUT;
}

static inline void suspect(struct netkit *k, unsigned int from, unsigned int to, unsigned int of, uint64_t incarnation)
{
	uint8_t bytes[WIRE_SUSPICION_LEN];
	struct wire_suspicion s = { .id = k->node[of].id, .from = k->node[from].id, .incarnation = incarnation };
	struct message m = { .type = WIRE_GOSSIP, .has = WIRE_HAS(FIELD_SUSPICIONS), .suspicions = 1, .suspicions_bytes = bytes };

	wire_suspicion_put(&s, bytes);
	say(k, from, to, &m);
}

#endif
