/*
 * What bounds a step of those who walk over slots and records (heads, leases, deletion), how long they wait for one peer, and
 * whom they ask.  More of them are in test_volume_limits.
 */
#include <errno.h>
#include <string.h>

#include "dht/net/heads_slots.h"
#include "dht/net/lease_send.h"
#include "dht/net/membership.h"
#include "tests/lib/leasekit.h"
#include "tests/lib/suite.h"


/* What ${from} says of ${type}, and when; it is lost on its way to anyone, or to ${deaf} alone. */
struct said {
	unsigned int from;
	enum wire_type type;
	bool lost;
	unsigned int deaf;
	unsigned int count, to[256], slot[256];
	uint64_t at[256];
};

static bool listen(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct said *s = k->user;
	struct message read;

	if (from != s->from || m->type != s->type || (s->deaf && to != s->deaf))
		return true;
	assert_true(s->count < 256);
	assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &read), 0);
	s->to[s->count] = to;
	s->slot[s->count] = read.slot;
	s->at[s->count++] = k->now;
	return !s->lost;
}

/* ---- heads ---- */

static void a_question_for_heads_covers_so_many_slots(void **state)
{
	enum { QUESTIONS = RING_SLOTS / HEAD_WINDOW };
	struct netkit *k = netkit_ring(2, 1);	/* both own all slots */
	struct said s = { .from = 0, .type = WIRE_HEADS };

	(void)state;
	k->user = &s;
	k->filter = listen;
	netkit_lose_disk(k);
	netkit_run(k, 60 * S);
	assert_int_equal(k->node[0].node->heads->pull->waiting, 0);
	assert_int_equal(s.count, QUESTIONS);
	for (unsigned int i = 0; i < QUESTIONS; i++)
		assert_int_equal(s.slot[i], i * HEAD_WINDOW);
	netkit_free(k);
}

static bool nobody_tells(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	return m->type != WIRE_HEADS;
}

static bool asks_wide(struct netkit *k)
{
	const struct heads_pull *p = k->node[0].node->heads->pull;

	return p->wide && p->asked_count > HEAD_WALK;
}

static void so_many_on_the_walk_are_asked_for_the_heads_of_a_slot(void **state)
{
	struct netkit *k = netkit_ring(2 * HEAD_WALK, 2);
	const struct heads_pull *p;
	unsigned int looked = 0;

	(void)state;
	k->filter = nobody_tells;
	netkit_lose_disk(k);
	assert_true(netkit_settle(k) || true);	/* it can't be complete */
	assert_true(netkit_until(k, asks_wide, 300 * S));
	p = k->node[0].node->heads->pull;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		unsigned int asked = 0;

		if (!placement_mine(k->node[0].node, slot) || trie_slots_have(&p->count, slot))
			continue;
		for (unsigned int i = 0; i < p->asked_count; i++)
			asked += trie_slots_have(&p->asked[i]->want, slot);
		/* Itself is one of them. */
		assert_in_range(asked, HEAD_WALK - 1, HEAD_WALK - 1);
		looked++;
	}
	assert_true(looked > 100);
	netkit_free(k);
}

static void so_many_nodes_answers_on_heads_are_remembered(void **state)
{
	struct netkit *k = netkit_new(1, 3);
	struct member fields = { .incarnation = 1, .state = MEMBER_HERE, .weight = 1 };
	struct heads_pull *p;
	struct node *n;
	size_t before;

	(void)state;
	k->node[0].weight = RING_WEIGHT_MAX;	/* it stands near all others somewhere */
	netkit_start(k, 0);
	netkit_run(k, 5 * S);
	n = k->node[0].node;
	n->now = k->now;
	for (unsigned int i = 0; i < HEAD_PULLED_MAX + 50; i++) {
		uint8_t of[32] = { (uint8_t)i, (uint8_t)(i >> 8), [31] = 3 }, key[MEMBER_KEY], secret[MEMBER_SECRET];
		struct member *one;

		crypto_sign_seed_keypair(key, secret, of);
		assert_int_equal(member_sign(&fields, &k->file.id, secret, &one), 0);
		assert_int_equal(membership_adopt(n, one->bytes, one->len, false), 0);
		member_drop(one);
	}
	netkit_run(k, 2 * S);
	assert_int_equal(placement(n)->members, HEAD_PULLED_MAX + 51);
	p = n->heads->pull;
	slots_forget(p);
	before = heads_pull_memory(n);
	memset(&p->count, 0, sizeof(p->count));
	p->wide = true;
	slots_want(n);
	assert_int_equal(p->asked_count, HEAD_PULLED_MAX);
	assert_in_range(heads_pull_memory(n) - before, HEAD_PULLED_MAX * sizeof(struct asked),
	    HEAD_PULLED_MAX * (sizeof(struct asked) + 2 * sizeof(struct asked *)));
	netkit_free(k);
}

/* ---- leases ---- */

/* Each answer comes just in time, so that two of the greatest leases take longer than one peer may have. */
static void a_peer_has_so_long_for_the_leases_of_a_slot(void **state)
{
	struct netkit *k = netkit_ring(3, 4);
	struct leasekit_pull x;
	unsigned int got = 0;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct volumekit v;

		volumekit_make(k, 1 + i, &v);
		leasekit_put_some(k, 1, &v, 1, 0, LEASE_ADDRESSES_MAX);
	}
	k->delay = 900 * MS;
	leasekit_pull_start(k, 0, 1, VOLUMEKIT_SLOT, &x);
	netkit_run(k, LEASES_PULL_MAX - 1);
	assert_false(x.over);
	netkit_run(k, 1);
	assert_true(x.over);
	assert_int_equal(x.result, -ETIMEDOUT);
	k->delay = 200;
	netkit_run(k, 5 * S);
	/* What came by then stays. */
	for (unsigned int i = 0; i < 3; i++) {
		struct volumekit v;

		volumekit_make(k, 1 + i, &v);
		got += leasekit_seq(k, 0, &v) > 0;
	}
	assert_in_range(got, 1, 2);
	netkit_free(k);
}

static void what_an_owner_lacks_is_sent_again_soon_at_first(void **state)
{
	struct netkit *k = netkit_ring(3, 5);
	struct said s = { .from = 0, .type = WIRE_LEASE, .lost = true, .deaf = 2 };
	const struct lease_send *send = k->node[0].node->leases->send;
	uint64_t wait;
	unsigned int rounds = 0;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	k->user = &s;
	k->filter = listen;
	assert_int_equal(leasekit_result(k, leasekit_start_some(k, 0, &v, 1, 7, 1, 30 * S), 31 * S), 0);
	wait = send->wait;
	for (unsigned int second = 0; second < 1200; second++) {
		netkit_run(k, S);
		if (send->wait == wait)
			continue;
		assert_int_equal(send->wait, 2 * wait < LEASES_AGAIN_MAX ? 2 * wait : LEASES_AGAIN_MAX);
		wait = send->wait;
		rounds++;
	}
	assert_true(rounds >= 4);
	assert_true(s.count > rounds);
	/* Somebody comes: it is soon again. */
	netkit_crash(k, 2);
	netkit_run(k, 60 * S);
	netkit_start(k, 2);
	for (unsigned int ms = 0; send->wait == LEASES_AGAIN_MAX && ms < 60 * 1000; ms++)
		netkit_run(k, MS);
	assert_int_equal(send->wait, LEASES_AGAIN_MIN);
	netkit_free(k);
}

static bool (*lease_next)(struct catalogue *c, unsigned int slot, const struct address *after, struct address *volume);
static const uint64_t *looked_at;		/* the time */
static uint64_t looked_now;
static unsigned int looked, looked_most, looked_all;

static bool counts_slots(struct catalogue *c, unsigned int slot, const struct address *after, struct address *volume)
{
	if (looked_now != *looked_at)
		looked = 0;
	looked_now = *looked_at;
	looked++;
	looked_all++;
	looked_most = looked > looked_most ? looked : looked_most;
	return lease_next(c, slot, after, volume);
}

static void a_step_of_the_walk_over_leases_is_so_many_slots(void **state)
{
	struct netkit *k = netkit_ring(1, 6);
	struct catalogue *c = &k->node[0].disk.catalogue;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	lease_next = c->lease_next;
	c->lease_next = counts_slots;
	looked_at = &k->now;
	looked = looked_most = looked_all = 0;
	assert_int_equal(volumekit_retire(k, 0, &v), 0);
	netkit_run(k, RING_SLOTS / LEASES_SWEPT * MS + 10 * MS);
	assert_int_equal(looked_all, RING_SLOTS);
	assert_int_equal(looked_most, LEASES_SWEPT);
	netkit_free(k);
}

/* ---- deletion ---- */

/* Records straight to a node's disk; returns the slot of the last. */
static unsigned int put_records(struct netkit *k, unsigned int node, unsigned int count, unsigned int states)
{
	struct effect e = { .kind = EFFECT_WRITE, .chunk_kind = KIND_DATA, .states = states };

	for (unsigned int i = 0; i < count; i++) {
		struct event done;

		address_of(KIND_DATA, &i, sizeof(i), &e.address);
		e.chunk = chunk_copy(&i, sizeof(i));
		memory_catalogue_apply(&k->node[node].disk, &e, &done);
		assert_int_equal(done.result, 0);
		chunk_drop(e.chunk);
	}
	return ring_slot(&e.address);
}

static size_t (*list)(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out);
static unsigned int steps;
static size_t step_asked[4], step_found[4];
static uint64_t step_at[4];

static size_t counts_records(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out)
{
	size_t found = list(c, from, states, n, out);

	if (states == (STATE_OWNED | STATE_CACHED) && found > 0) {
		assert_true(steps < 4);
		step_asked[steps] = n;
		step_found[steps] = found;
		step_at[steps++] = *looked_at;
	}
	return found;
}

static void a_step_of_the_walk_over_records_is_so_many(void **state)
{
	struct netkit *k = netkit_ring(1, 7);
	struct catalogue *c = &k->node[0].disk.catalogue;

	(void)state;
	put_records(k, 0, DELETE_WALK + 10, STATE_CACHED);	/* in slots of its own: they are looked at, and stay */
	list = c->list;
	c->list = counts_records;
	looked_at = &k->now;
	steps = 0;
	k->now = k->node[0].node->started + DELETE_AFTER - S;
	netkit_run(k, DELETE_REST);
	assert_int_equal(steps, 2);
	assert_int_equal(step_asked[0], DELETE_WALK);
	assert_int_equal(step_found[0], DELETE_WALK);
	assert_int_equal(step_found[1], 10);
	assert_int_equal(step_at[1] - step_at[0], DELETE_EVERY);
	netkit_free(k);
}

static unsigned int record_slot;

/* Since the first of them is asked each other owner has a lease to tell of, and each answer takes long. */
static bool tell_slowly(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct said *s = k->user;
	bool result = listen(k, from, to, m);
	struct volumekit v;

	if (s->count != 1 || k->delay == 4 * S)
		return result;
	assert_int_equal(s->slot[0], record_slot);
	volumekit_make(k, 9, &v);
	v.slot = record_slot;
	for (unsigned int i = 1; i < k->count; i++)
		leasekit_put_some(k, i, &v, 1, 0, 0);
	k->delay = 4 * S;
	return result;
}

static void an_owner_has_so_long_to_tell_its_leases_and_all_together_have_too(void **state)
{
	struct netkit *k = netkit_new(RING_REPLICAS_MAX, 8);
	struct said s = { .from = 0, .type = WIRE_LEASES };
	unsigned int asked = 1;

	(void)state;
	k->file.replicas = RING_REPLICAS_MAX;
	netkit_start_all(k);
	assert_true(netkit_settle(k));
	netkit_run(k, 60 * S);
	record_slot = put_records(k, 0, 1, STATE_OWNED);
	k->user = &s;
	k->filter = tell_slowly;
	k->now = k->node[0].node->started + DELETE_AFTER - S;
	while (s.count == 0)
		netkit_run(k, S);
	netkit_run(k, 2 * DELETE_FRESH);
	/* One owner after the other; and none when what the first told is worth nothing any more. */
	for (unsigned int i = 1; i < s.count; i++) {
		if (s.slot[i] != record_slot || s.at[i] >= s.at[0] + DELETE_FRESH + DELETE_EVERY)
			continue;
		assert_int_not_equal(s.to[i], s.to[i - 1]);
		assert_int_equal(s.at[i] - s.at[0], asked++ * DELETE_ASK);
	}
	assert_int_equal(asked, DELETE_FRESH / DELETE_ASK);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_for_heads_covers_so_many_slots),
		cmocka_unit_test(so_many_on_the_walk_are_asked_for_the_heads_of_a_slot),
		cmocka_unit_test(so_many_nodes_answers_on_heads_are_remembered),
		cmocka_unit_test(a_peer_has_so_long_for_the_leases_of_a_slot),
		cmocka_unit_test(what_an_owner_lacks_is_sent_again_soon_at_first),
		cmocka_unit_test(a_step_of_the_walk_over_leases_is_so_many_slots),
		cmocka_unit_test(a_step_of_the_walk_over_records_is_so_many),
		cmocka_unit_test(an_owner_has_so_long_to_tell_its_leases_and_all_together_have_too),
	};

	return suite_run(tests);
}
