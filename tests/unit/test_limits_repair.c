/*
 * What bounds repair, at the limit: the last that still goes, the first that waits or is refused, and that it goes again
 * when there is room.  SEED=n replays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "dht/net/node_core.h"
#include "dht/net/repair_impl.h"
#include "tests/lib/repairkit.h"
#include "tests/lib/suite.h"

static uint64_t seed;

/* A ring of nodes that run and are complete, each with its chunks and all leases. */
static struct repairkit *ring_of(unsigned int nodes, unsigned int chunks)
{
	struct repairkit *k = repairkit_ring(nodes, nodes, chunks, 200, seed);

	netkit_run(k->net, 5 * S);
	return k;
}

/* Nobody compares by himself from now on. */
static void no_rounds(struct repairkit *k)
{
	for (unsigned int i = 0; i < k->net->count; i++)
		timer_stop(repairkit_node(k, i), &repairkit_node(k, i)->repair->timer);
}

/* Messages of ${lost}, a type of request, are lost; the others are not. */
static unsigned int lost, lost_count;

static bool lose(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	lost_count += m->type == lost;
	return m->type != lost;
}

/* ---- questions of peers ---- */

static unsigned int answers, refusals;

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	(void)n;
	(void)c;
	(void)body;
	assert_int_equal(result, 0);
	answers += m->status == WIRE_OK || m->status == WIRE_MISS;
	refusals += m->status == WIRE_BUSY;
}

/* ${from} asks node 0 whether their tries are one. */
static void compare(struct repairkit *k, unsigned int from, struct call *c)
{
	static const struct wire_hash hash;
	struct message m = { .type = WIRE_TRIE, .has = WIRE_HAS(FIELD_HASHES), .hashes = &hash, .hash_count = 1 };

	*c = (struct call){ .done = answered };
	call_start(repairkit_node(k, from), c, peer_find(repairkit_node(k, from), &k->net->node[0].id), &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

static void not_now(struct node *n, struct timer *t)
{
	(void)n;
	(void)t;
}

static void questions_that_wait_for_the_trie_are_bounded(void **state)
{
	const unsigned int peers = REPAIR_SERVED / REPAIR_SERVED_PEER;
	struct repairkit *k = ring_of(peers + 2, 10);
	struct repair *repair = repairkit_node(k, 0)->repair;
	struct call *c = calloc((peers + 1) * REPAIR_SERVED_PEER + 1, sizeof(*c)), *next = c;

	(void)state;
	no_rounds(k);
	repair->serve_timer.due = not_now;
	answers = refusals = 0;
	for (unsigned int i = 0; i <= REPAIR_SERVED_PEER; i++)
		compare(k, 1, next++);
	netkit_run(k->net, 2 * S);
	assert_int_equal(repair->serving_count, REPAIR_SERVED_PEER);
	assert_int_equal(refusals, 1);
	for (unsigned int peer = 2; peer <= peers; peer++)
		for (unsigned int i = 0; i < REPAIR_SERVED_PEER; i++)
			compare(k, peer, next++);
	netkit_run(k->net, 2 * S);
	assert_int_equal(repair->serving_count, REPAIR_SERVED);
	assert_int_equal(refusals, 1);
	compare(k, peers + 1, next++);
	netkit_run(k->net, 2 * S);
	assert_int_equal(repair->serving_count, REPAIR_SERVED);
	assert_int_equal(refusals, 2);

	/* The trie is there: all that waited is answered, and there is room. */
	assert_int_equal(answers, 0);
	repair->serve_timer.due = repair_serve_due;
	timer_set(repairkit_node(k, 0), &repair->serve_timer, k->net->now);
	netkit_run(k->net, 2 * S);
	assert_int_equal(answers, REPAIR_SERVED);
	assert_int_equal(repair->serving_count, 0);
	compare(k, peers + 1, next++);
	netkit_run(k->net, 2 * S);
	assert_int_equal(answers, REPAIR_SERVED + 1);
	assert_int_equal(refusals, 2);
	repairkit_free(k);
	free(c);
}

/* ---- what is lacked ---- */

static void made_up(unsigned int i, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->b[0] = (uint8_t)i;
	memcpy(out->b + ADDRESS_LEN - sizeof(i), &i, sizeof(i));
}

static void chunks_that_we_lack_are_bounded_and_few_are_fetched_at_a_time(void **state)
{
	struct repairkit *k = ring_of(3, 10);
	struct node *n = repairkit_node(k, 1);
	const struct address *from = &k->net->node[0].id;
	size_t none = pulls_memory(n);
	unsigned int calls;
	struct address a;

	(void)state;
	no_rounds(k);
	netkit_run(k->net, 1 * S);
	lost = WIRE_GET;
	k->meddle = lose;
	calls = calls_count(n);
	for (unsigned int i = 0; i <= REPAIR_WANTS; i++) {
		made_up(i, &a);
		assert_int_equal(pull_spare(n, &a, from), i < REPAIR_WANTS ? 0 : -ENOSPC);
		/* They begin one after the other. */
		if (i + 1 == REPAIR_PULLS || i == REPAIR_PULLS) {
			netkit_run(k->net, 1 * MS);
			assert_int_equal(calls_count(n) - calls, REPAIR_PULLS);
		}
	}
	netkit_run(k->net, 1 * MS);
	assert_int_equal(calls_count(n) - calls, REPAIR_PULLS);
	/* One that waits already needs no room. */
	made_up(7, &a);
	assert_int_equal(pull_spare(n, &a, from), 0);

	k->meddle = NULL;
	netkit_run(k->net, 120 * S);
	assert_int_equal(pulls_memory(n), none);
	made_up(REPAIR_WANTS, &a);
	assert_int_equal(pull_spare(n, &a, from), 0);
	repairkit_free(k);
}

static uint64_t hangs[REPAIR_PULLS + 1];
static unsigned int hang_count;

/* Chunks that node 1 gets are not written: pulls hang there, and not in calls, which reconciling needs, too. */
static bool writes_hang(struct netkit *net, unsigned int at, const struct effect *e)
{
	(void)net;
	if (at != 1 || e->kind != EFFECT_WRITE)
		return true;
	if (hang_count <= REPAIR_PULLS)
		hangs[hang_count] = e->ticket;
	hang_count++;
	return false;
}

static void who_lacks_more_than_is_remembered_gets_all_in_the_end(void **state)
{
	struct repairkit *k = ring_of(2, REPAIR_WANTS + 300);
	size_t none = pulls_memory(repairkit_node(k, 1)), want;
	struct address a;

	(void)state;
	made_up(0, &a);
	assert_int_equal(pull_spare(repairkit_node(k, 1), &a, &k->net->node[0].id), 0);
	want = pulls_memory(repairkit_node(k, 1)) - none;
	netkit_crash(k->net, 1);
	netkit_wipe(k->net, 1);
	hang_count = 0;
	k->net->effect = writes_hang;
	netkit_start(k->net, 1);
	netkit_run(k->net, 60 * S);
	assert_int_equal(hang_count, REPAIR_PULLS);
	assert_int_equal(pulls_memory(repairkit_node(k, 1)) - none, REPAIR_WANTS * want);

	k->net->effect = NULL;
	for (unsigned int i = 0; i < REPAIR_PULLS; i++)
		node_input(repairkit_node(k, 1), &(struct event){ .kind = EVENT_DONE, .ticket = hangs[i], .result = -EIO }, k->net->now);
	assert_true(repairkit_place(k, 300 * S));
	netkit_run(k->net, 1 * S);
	assert_int_equal(pulls_memory(repairkit_node(k, 1)), none);
	repairkit_free(k);
}

/* ---- pairs ---- */

static void few_pairs_are_compared_at_a_time(void **state)
{
	struct repairkit *k = ring_of(REPAIRS_MAX + 3, 50);
	struct repair *repair = repairkit_node(k, 0)->repair;

	(void)state;
	assert_true(repair->pairs > REPAIRS_MAX);
	no_rounds(k);
	lost = WIRE_TRIE;
	lost_count = 0;
	k->meddle = lose;
	for (unsigned int i = 0; i < repair->pairs; i++)
		repair_due(repairkit_node(k, 0), &repair->pair[i], k->net->now);
	netkit_run(k->net, 200 * MS);
	assert_int_equal(repair->running, REPAIRS_MAX);
	assert_int_equal(lost_count, REPAIRS_MAX);
	/* What hangs ends, and the others have their turn. */
	k->meddle = NULL;
	repairkit_forget(k);
	netkit_run(k->net, CALL_TIMEOUT);
	assert_true(k->traffic.requests[WIRE_TRIE] >= repair->pairs - REPAIRS_MAX);
	assert_int_equal(repair->running, 0);
	repairkit_free(k);
}

static unsigned int asked[REPAIRS_MAX + 3];

static bool count_asked(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	asked[to] += from == 1 && m->type == WIRE_SLOTS;
	return true;
}

/* Those that go on for ever, here since nothing is written, don't keep the others waiting. */
static void a_pair_that_is_compared_for_long_gives_way(void **state)
{
	struct repairkit *k = ring_of(REPAIRS_MAX + 3, 50);
	unsigned int waiting = 0;

	(void)state;
	netkit_crash(k->net, 1);
	netkit_wipe(k->net, 1);
	hang_count = 0;
	k->net->effect = writes_hang;
	k->meddle = count_asked;
	netkit_start(k->net, 1);
	netkit_run(k->net, REPAIR_TURN - S);
	assert_int_equal(repairkit_node(k, 1)->repair->running, REPAIRS_MAX);
	for (unsigned int i = 0; i < REPAIRS_MAX + 3; i++)
		waiting += i != 1 && !asked[i];
	assert_int_equal(waiting, 2);
	netkit_run(k->net, 30 * S);
	for (unsigned int i = 0; i < REPAIRS_MAX + 3; i++)
		assert_true(i == 1 || asked[i]);
	assert_int_equal(repairkit_node(k, 1)->repair->running, REPAIRS_MAX);

	k->net->effect = NULL;
	for (unsigned int i = 0; i < hang_count && i < REPAIR_PULLS; i++)
		node_input(repairkit_node(k, 1), &(struct event){ .kind = EVENT_DONE, .ticket = hangs[i], .result = -EIO }, k->net->now);
	assert_true(repairkit_place(k, 900 * S));
	repairkit_free(k);
}

static void a_pair_is_compared_soon_after_a_cut(void **state)
{
	struct repairkit *k = ring_of(2, 50);

	(void)state;
	netkit_run(k->net, REPAIR_EVERY);
	netkit_cut(k->net, 0, 1, true);
	netkit_run(k->net, 2 * S);
	repairkit_forget(k);
	netkit_cut(k->net, 0, 1, false);
	while (!peer_find(repairkit_node(k, 0), &k->net->node[1].id)->link)
		netkit_run(k->net, 10 * MS);
	assert_int_equal(k->traffic.requests[WIRE_TRIE], 0);
	netkit_run(k->net, REPAIR_RECONNECT + 100 * MS);
	assert_in_range(k->traffic.requests[WIRE_TRIE], 1, 2);
	repairkit_free(k);
}

/* ---- leases ---- */

static void few_slots_leases_are_fetched_at_a_time(void **state)
{
	struct repairkit *k = ring_of(2, 400);

	(void)state;
	netkit_crash(k->net, 1);
	netkit_wipe(k->net, 1);
	lost = WIRE_LEASES;
	lost_count = 0;
	k->meddle = lose;
	netkit_start(k->net, 1);
	while (!lost_count)
		netkit_run(k->net, 1 * MS);
	netkit_run(k->net, 100 * MS);
	assert_int_equal(lost_count, CALLS_REPAIR_MAX);
	assert_int_equal(calls_count(repairkit_node(k, 1)), REPAIR_LEASES);
	k->meddle = NULL;
	assert_true(repairkit_place(k, 600 * S));
	repairkit_free(k);
}

/* ---- spares ---- */

/* Whoever lists a slot has no end of it, and none of that is of the slot. */
static bool lists_for_ever(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	static struct address made[WIRE_ADDRESSES_MAX];
	struct message message = { .type = WIRE_ANSWER, .request = m->request, .has = WIRE_HAS(FIELD_ADDRESSES),
		.addresses = made, .address_count = WIRE_ADDRESSES_MAX, .more = true };
	uint8_t *data;

	lost_count += m->type == WIRE_LIST;
	if (m->type != WIRE_ANSWER || repairkit_question(k, from, to, m) != WIRE_LIST)
		return true;
	for (unsigned int i = 0; i < WIRE_ADDRESSES_MAX; i++) {
		made_up(i, &made[i]);
		memset(made[i].b, ring_slot(&k->address[0]) < RING_SLOTS / 2 ? 0xff : 0, 8);
	}
	chunk_drop(m->body);
	m->body = chunk_new(wire_size(&message, false), &data);
	assert_true(wire_encode(&message, false, data, m->body->len) >= 0);
	return true;
}

static void what_an_owner_lists_for_a_spare_is_bounded(void **state)
{
	struct repairkit *k = ring_of(6, 1);
	unsigned int owner = 0;

	(void)state;
	while (!repairkit_owner(k, owner, 0))
		owner++;
	netkit_crash(k->net, owner);
	lost_count = 0;
	k->meddle = lists_for_ever;
	netkit_run(k->net, SPARE_AFTER + 300 * S);
	assert_int_equal(lost_count, SPARE_SLOT_MAX / WIRE_ADDRESSES_MAX);
	assert_int_equal(repairkit_copies(k, 0), 2);
	/* And the slot is not given up: an owner is asked anew after a while. */
	k->meddle = NULL;
	netkit_run(k->net, SPARE_AGAIN + 300 * S);
	assert_int_equal(repairkit_copies(k, 0), 3);
	repairkit_free(k);
}

/* ---- slots that have become ours ---- */

static uint64_t labels[RELABEL_BATCH + 1];
static unsigned int label_count;

/* Those of rebalance: what is on its way to its owners stays so, and is ours, too. */
static bool labels_hang(struct netkit *net, unsigned int at, const struct effect *e)
{
	(void)net;
	if (at != 1 || e->kind != EFFECT_STATES || e->states != (STATE_OWNED | STATE_FOREIGN))
		return true;
	if (label_count <= RELABEL_BATCH)
		labels[label_count] = e->ticket;
	label_count++;
	return false;
}

static void few_records_that_become_ours_are_changed_at_a_time(void **state)
{
	struct repairkit *k = repairkit_new(2, 3 * RELABEL_BATCH, 200, seed);

	(void)state;
	for (unsigned int node = 0; node < 2; node++) {
		repairkit_put_all(k, node);
		repairkit_lease(k, node, 1, NULL);
	}
	for (unsigned int i = 0; i < k->chunks; i++) {
		const struct effect e = { .kind = EFFECT_STATES, .address = k->address[i], .states = STATE_FOREIGN };
		struct event done;

		memory_catalogue_apply(&k->net->node[1].disk, &e, &done);
		assert_int_equal(done.result, 0);
	}
	label_count = 0;
	k->net->effect = labels_hang;
	netkit_start_all(k->net);
	netkit_run(k->net, 60 * S);
	assert_int_equal(label_count, RELABEL_BATCH);

	k->net->effect = NULL;
	/* The disk refuses: foreign.c, which came to the same records, has changed them meanwhile. */
	for (unsigned int i = 0; i < RELABEL_BATCH; i++)
		node_input(repairkit_node(k, 1), &(struct event){ .kind = EVENT_DONE, .ticket = labels[i], .result = -EIO }, k->net->now);
	netkit_run(k->net, 60 * S);
	assert_true(repairkit_place(k, 600 * S));
	repairkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_that_wait_for_the_trie_are_bounded),
		cmocka_unit_test(chunks_that_we_lack_are_bounded_and_few_are_fetched_at_a_time),
		cmocka_unit_test(who_lacks_more_than_is_remembered_gets_all_in_the_end),
		cmocka_unit_test(few_pairs_are_compared_at_a_time),
		cmocka_unit_test(a_pair_that_is_compared_for_long_gives_way),
		cmocka_unit_test(a_pair_is_compared_soon_after_a_cut),
		cmocka_unit_test(few_slots_leases_are_fetched_at_a_time),
		cmocka_unit_test(what_an_owner_lists_for_a_spare_is_bounded),
		cmocka_unit_test(few_records_that_become_ours_are_changed_at_a_time),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
