/*
 * The numbered rules of deletion.h.  Days pass by leaps, as at a machine that is often suspended: three hours at once, then
 * some seconds in which all that is due is done.
 */
#include <stdio.h>
#include <string.h>

#include "dht/net/deletion.h"
#include "dht/net/lease.h"
#include "tests/lib/leasekit.h"
#include "tests/lib/suite.h"

#define HOUR (3600 * (uint64_t)S)
/* Of uptime, within which what nobody wants is gone: deletion.h, with few records. */
#define GONE (DELETE_EPOCHS * DELETE_EPOCH + DELETE_REST + HOUR)

static void pass(struct netkit *k, uint64_t us)
{
	for (uint64_t until = k->now + us; k->now < until;) {
		k->now += 3 * HOUR < until - k->now ? 3 * HOUR : until - k->now;
		netkit_run(k, 8 * S);
	}
}

static int insert(struct netkit *k, unsigned int at, const char *text, struct address *out)
{
	struct command c = { .kind = COMMAND_INSERT, .chunk_kind = KIND_DATA, .acks = (uint8_t)(k->count > 2 ? 2 : k->count - 1) };
	int result;

	address_of(KIND_DATA, text, strlen(text), out);
	c.address = *out;
	c.chunk = chunk_copy(text, strlen(text));
	result = netkit_ask(k, at, &c)->result;
	chunk_drop(c.chunk);
	return result;
}

/* Of ${a}, or of nothing. */
static int lease(struct netkit *k, unsigned int at, struct volumekit *v, uint64_t seq, const struct address *a, bool holds)
{
	v->slot = ring_slot(a);
	return leasekit_result(k, leasekit_start(k, at, v, seq, a, holds, 0), 31 * S);
}

static unsigned int states(struct netkit *k, unsigned int i, const struct address *a)
{
	struct catalogue *c = &k->node[i].disk.catalogue;

	return c->state(c, a) & STATE_ANY;
}

static bool owns(struct netkit *k, unsigned int i, const struct address *a)
{
	return netkit_owns(k, i, ring_slot(a));
}

/* Nodes that have it. */
static unsigned int copies(struct netkit *k, const struct address *a)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < k->count; i++)
		count += states(k, i, a) != 0;
	return count;
}

static unsigned int nth(struct netkit *k, const struct address *a, bool owner, unsigned int rank)
{
	return netkit_nth(k, ring_slot(a), owner, rank);
}

static void every_majority_has_one_who_told_or_ourselves(void **state)
{
	(void)state;
	for (unsigned int r = 1; r <= RING_REPLICAS_MAX; r++)
		for (unsigned int told = 0; told < 1u << (r - 1); told++) {
			unsigned int count = (unsigned int)__builtin_popcount(told), disjoint = r - 1 - count;

			/* We are the last.  Those who told nothing are no majority. */
			if (count >= deletion_agreements(r, r))
				assert_true(disjoint < r / 2 + 1);
		}
	assert_int_equal(deletion_agreements(1, 1), 0);
	assert_int_equal(deletion_agreements(2, 2), 0);
	assert_int_equal(deletion_agreements(3, 3), 1);
	assert_int_equal(deletion_agreements(5, 5), 2);
	assert_int_equal(deletion_agreements(1, 3), 0);
	assert_int_equal(deletion_agreements(2, 3), 1);
	assert_int_equal(deletion_agreements(4, 5), 3);
}

static bool counts_deletions(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)at;
	if (e->kind == EFFECT_STATES && e->states == 0)
		++*(unsigned int *)k->user;
	return true;
}

static void nothing_goes_in_the_first_day_of_uptime(void **state)
{
	struct netkit *k = netkit_new(1, 1);
	unsigned int deletions = 0;
	struct address a;

	(void)state;
	k->user = &deletions;
	k->effect = counts_deletions;
	netkit_start(k, 0);
	netkit_run(k, 5 * S);
	assert_int_equal(insert(k, 0, "garbage", &a), 0);
	/* Wall clocks and sleep count for nothing: each time a new process. */
	for (unsigned int i = 0; i < 5; i++) {
		pass(k, DELETE_AFTER - HOUR);
		netkit_crash(k, 0);
		netkit_start(k, 0);
	}
	pass(k, DELETE_AFTER - HOUR);
	assert_int_equal(deletions, 0);
	/* Nobody has touched it in this life: it may go as soon as that is a day old. */
	pass(k, HOUR + DELETE_REST + HOUR);
	assert_int_equal(deletions, 1);
	assert_int_equal(copies(k, &a), 0);
	netkit_free(k);
}

static void what_is_foreign_stays(void **state)
{
	struct netkit *k = netkit_ring(4, 2);
	struct address a;
	unsigned int i;

	(void)state;
	address_of(KIND_DATA, "not placed yet", 14, &a);
	i = nth(k, &a, false, 0);
	netkit_cut_off(k, i, true);
	insert(k, i, "not placed yet", &a);
	pass(k, GONE + 10 * HOUR);
	assert_true(states(k, i, &a) & STATE_FOREIGN);
	netkit_cut_off(k, i, false);
	netkit_run(k, 900 * (uint64_t)S);
	assert_int_equal(copies(k, &a), 4);
	assert_int_equal(states(k, i, &a), STATE_CACHED);
	/* And goes at both ends. */
	pass(k, GONE);
	assert_int_equal(copies(k, &a), 0);
	netkit_free(k);
}

static void what_another_owner_has_not_confirmed_stays(void **state)
{
	/* Nobody else keeps a copy in the place of the one that is away, and so touches ours. */
	struct netkit *k = netkit_ring(3, 7);
	struct address a;
	unsigned int writer, away;

	(void)state;
	address_of(KIND_DATA, "two of three", 12, &a);
	writer = nth(k, &a, true, 0);
	away = nth(k, &a, true, 1);
	netkit_crash(k, away);
	netkit_run(k, 30 * S);
	insert(k, writer, "two of three", &a);
	pass(k, GONE + HOUR);
	assert_int_equal(states(k, writer, &a), STATE_OWNED | STATE_FOREIGN);
	netkit_free(k);
}

/* Deletions of one address. */
struct deletions {
	struct address of;
	unsigned int count;
};

static bool counts_deletions_of(struct netkit *k, unsigned int at, const struct effect *e)
{
	struct deletions *d = k->user;

	(void)at;
	d->count += e->kind == EFFECT_STATES && e->states == 0 && address_equal(&e->address, &d->of);
	return true;
}

/* One long story: what is leased, and what is not any more. */
static void the_leased_stays_and_all_else_goes_for_ever(void **state)
{
	static const char *const text[] = { "leased", "never leased", "leased once", "of a volume that ends", "asked for" };
	enum { LEASED, NEVER, ONCE, ENDED, ASKED, KINDS };
	struct netkit *k = netkit_ring(5, 3);
	struct address a[KINDS];
	struct volumekit v, w;
	struct deletions asked = { .count = 0 };
	unsigned int writer;

	(void)state;
	volumekit_make(k, 1, &v);
	volumekit_make(k, 2, &w);
	for (unsigned int i = 0; i < KINDS; i++)
		address_of(KIND_DATA, text[i], strlen(text[i]), &a[i]);
	writer = nth(k, &a[LEASED], false, 0);
	for (unsigned int i = 0; i < KINDS; i++)
		assert_int_equal(insert(k, writer, text[i], &a[i]), 0);
	assert_int_equal(lease(k, writer, &v, 1, &a[LEASED], true), 0);
	assert_int_equal(lease(k, writer, &v, 1, &a[ONCE], true), 0);
	assert_int_equal(lease(k, writer, &w, 1, &a[ENDED], true), 0);
	netkit_run(k, 60 * S);
	pass(k, GONE);
	for (unsigned int i = 0; i < KINDS; i++)
		assert_true(i == NEVER || i == ASKED ? copies(k, &a[i]) == 0 : copies(k, &a[i]) >= 3);
	/* The writer's own copy is no garbage to it, whoever owns the slot. */
	assert_true(states(k, writer, &a[LEASED]));
	assert_int_equal(insert(k, writer, text[ASKED], &a[ASKED]), 0);
	asked.of = a[ASKED];
	k->user = &asked;
	k->effect = counts_deletions_of;
	assert_int_equal(lease(k, writer, &v, 2, &a[ONCE], false), 0);
	assert_int_equal(volumekit_retire(k, writer, &w), 0);
	netkit_run(k, 60 * S);
	netkit_crash(k, writer);		/* and stays away */
	for (unsigned int i = 0; i < 6; i++) {
		pass(k, 10 * HOUR);
		for (unsigned int j = 0; j < KINDS; j++)
			if (j == ASKED && i < 4)
				assert_int_equal(insert(k, writer == 0, text[j], &a[j]), 0);
	}
	assert_int_equal(asked.count, 0);
	for (unsigned int i = 0; i < 5; i++)
		if (i != writer) {
			assert_int_equal(states(k, i, &a[ONCE]), 0);
			assert_int_equal(states(k, i, &a[ENDED]), 0);
			assert_int_equal(states(k, i, &a[NEVER]), 0);
			assert_true(!owns(k, i, &a[ASKED]) || states(k, i, &a[ASKED]));
			assert_true(!owns(k, i, &a[LEASED]) || states(k, i, &a[LEASED]));
		}
	/* It comes home with copies of what is gone, after others have restarted: nothing comes back. */
	netkit_start(k, writer);
	netkit_run(k, 1200 * (uint64_t)S);
	for (unsigned int i = 0; i < 5; i++)
		if (i != writer) {
			assert_int_equal(states(k, i, &a[ONCE]), 0);
			assert_int_equal(states(k, i, &a[ENDED]), 0);
			assert_int_equal(states(k, i, &a[NEVER]), 0);
		}
	pass(k, GONE);
	for (unsigned int i = 0; i < KINDS; i++)
		assert_int_equal(copies(k, &a[i]) > 0, i == LEASED);
	netkit_free(k);
}

static struct address wanted;		/* by the volume that is written at any of them */
static unsigned int (*state_of)(struct catalogue *c, const struct address *a);

static unsigned int state_with_wanted(struct catalogue *c, const struct address *a)
{
	unsigned int states = state_of(c, a);

	return states & STATE_ANY && !(states & STATE_LEASED) && address_equal(a, &wanted) ? states | STATE_WANTED : states;
}

/* Leases may be refused for days, as long as the ring is out of reach or a slot is full. */
static void what_waits_for_its_lease_stays(void **state)
{
	struct netkit *k = netkit_ring(4, 13);
	struct address other;
	unsigned int was;

	(void)state;
	state_of = k->node[0].disk.catalogue.state;
	for (unsigned int i = 0; i < 4; i++)
		k->node[i].disk.catalogue.state = state_with_wanted;
	assert_int_equal(insert(k, 0, "wanted", &wanted), 0);
	assert_int_equal(insert(k, 0, "not wanted", &other), 0);
	netkit_run(k, 60 * S);
	was = copies(k, &wanted);
	assert_true(was >= 3);
	pass(k, 2 * GONE);
	assert_int_equal(copies(k, &wanted), was);
	assert_int_equal(copies(k, &other), 0);
	netkit_free(k);
	memset(&wanted, 0, sizeof(wanted));
}

static void an_owner_that_reaches_no_other_deletes_nothing_of_its_own(void **state)
{
	struct netkit *k = netkit_ring(4, 4);
	struct address a;
	unsigned int alone;

	(void)state;
	assert_int_equal(insert(k, 0, "garbage", &a), 0);
	netkit_run(k, 60 * S);
	alone = nth(k, &a, true, 0);
	netkit_cut_off(k, alone, true);
	pass(k, GONE);
	assert_int_equal(copies(k, &a), 1);
	assert_int_equal(states(k, alone, &a), STATE_OWNED);
	netkit_cut_off(k, alone, false);
	netkit_run(k, 60 * S);
	pass(k, 2 * DELETE_REST);
	assert_int_equal(copies(k, &a), 0);
	netkit_free(k);
}

/* Repair, which would tell of leases too, gets no answer. */
static bool no_repair(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	return m->type != WIRE_TRIE && m->type != WIRE_LIST && m->type != WIRE_SLOTS && m->type != WIRE_OFFER;
}

/* A lease that is on all owners' disks but ours, and of which nobody told us. */
static void an_owner_asks_before_it_deletes(void **state)
{
	struct netkit *k = netkit_ring(4, 5);
	struct address a;
	struct volumekit v;
	unsigned int without;

	(void)state;
	volumekit_make(k, 1, &v);
	assert_int_equal(insert(k, 0, "leased elsewhere", &a), 0);
	netkit_run(k, 60 * S);
	without = nth(k, &a, true, 0);
	k->filter = no_repair;
	v.slot = ring_slot(&a);
	for (unsigned int i = 0; i < 4; i++)
		if (i != without && owns(k, i, &a))
			leasekit_put(k, i, &v, 1, &a, 1);
	pass(k, GONE);
	assert_int_equal(states(k, without, &a), STATE_OWNED);
	assert_true(k->node[without].disk.catalogue.leased(&k->node[without].disk.catalogue, &a));
	netkit_free(k);
}

/* A majority of three had the lease; one of them is left, and out of reach. */
static void an_owner_that_fewer_others_are_left_to_asks_all_of_them(void **state)
{
	struct netkit *k = netkit_ring(3, 10);
	struct command drain = { .kind = COMMAND_DRAIN, .count = 1 };
	struct address a;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	assert_int_equal(insert(k, 0, "leased elsewhere", &a), 0);
	netkit_run(k, 60 * S);
	k->filter = no_repair;
	v.slot = ring_slot(&a);
	for (unsigned int i = 0; i < 2; i++)
		leasekit_put(k, i, &v, 1, &a, 1);
	assert_int_equal(netkit_ask(k, 1, &drain)->result, 0);
	netkit_run(k, 2 * S);
	assert_int_equal(placement(k->node[2].node)->replicas, 2);
	netkit_crash(k, 1);
	netkit_cut_off(k, 0, true);
	pass(k, GONE);
	assert_int_equal(states(k, 2, &a), STATE_OWNED);
	netkit_cut_off(k, 0, false);
	netkit_run(k, 60 * S);
	pass(k, 2 * DELETE_REST);
	assert_int_equal(states(k, 2, &a), STATE_OWNED);
	assert_true(k->node[2].disk.catalogue.leased(&k->node[2].disk.catalogue, &a));
	netkit_free(k);
}

/* Or whoever makes up leases could fill an epoch, and stop all deletion. */
static void a_lease_of_what_is_not_here_touches_nothing(void **state)
{
	struct netkit *k = netkit_ring(1, 9);
	size_t before = deletion_machine.memory(k->node[0].node);
	struct volumekit v;
	struct address a;

	(void)state;
	volumekit_make(k, 1, &v);
	assert_int_equal(leasekit_make(k, 0, &v, 1, 1, 1000), 0);
	assert_int_equal(deletion_machine.memory(k->node[0].node), before);
	assert_int_equal(insert(k, 0, "a chunk", &a), 0);
	assert_true(deletion_machine.memory(k->node[0].node) > before);
	netkit_free(k);
}

struct sluggish {
	unsigned int who;
	unsigned int pages;
};

/* One owner has many leases to tell of, one at a time, each as late as an answer may be. */
static bool tells_one_at_a_time(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct sluggish *s = k->user;
	struct wire_slice first;
	struct message a;
	uint32_t at = 0;
	uint8_t *bytes;
	struct chunk *body;

	(void)to;
	k->delay = 200;
	if (from != s->who || m->type != WIRE_ANSWER || m->priority != LINK_REPAIR ||
	    wire_decode(m->type, m->request, m->body->data, m->body->len, &a) || !wire_blob(&a.blobs, &at, &first))
		return true;
	a.more = at < a.blobs.len;
	a.blobs.len = at;
	body = chunk_new(wire_size(&a, false), &bytes);
	assert_true(wire_encode(&a, false, bytes, wire_size(&a, false)) > 0);
	chunk_drop(m->body);
	m->body = body;
	k->delay = CALL_TIMEOUT - 2 * S;
	s->pages++;
	return true;
}

static void one_owner_that_takes_his_time_stops_no_deletion(void **state)
{
	struct netkit *k = netkit_ring(4, 8);
	struct sluggish sluggish = { .pages = 0 };
	const struct ring *ring;
	struct address a;

	(void)state;
	assert_int_equal(insert(k, 0, "garbage", &a), 0);
	for (unsigned int i = 0; i < 10; i++) {
		struct volumekit v;

		volumekit_make(k, 10 + i, &v);
		assert_int_equal(lease(k, 0, &v, 1, &a, false), 0);
	}
	netkit_run(k, 60 * S);
	pass(k, DELETE_EPOCHS * DELETE_EPOCH - HOUR);
	assert_true(copies(k, &a) >= 3);
	/* He is the first to be asked. */
	ring = placement(k->node[0].node);
	while (!address_equal(&k->node[sluggish.who].id, &ring->member[ring_owners(ring, ring_slot(&a))[0]].id))
		sluggish.who++;
	k->user = &sluggish;
	k->filter = tells_one_at_a_time;
	netkit_run(k, 4 * HOUR);
	assert_true(sluggish.pages > 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(i == sluggish.who || !states(k, i, &a));
	netkit_free(k);
}

static void a_touch_that_meets_a_deletion_puts_it_again(void **state)
{
	struct netkit *k = netkit_ring(4, 6);
	struct address a;
	unsigned int writer, meeting = 0;

	(void)state;
	assert_int_equal(insert(k, 0, "wanted after all", &a), 0);
	writer = nth(k, &a, false, 0);
	netkit_run(k, 60 * S);
	pass(k, DELETE_EPOCHS * DELETE_EPOCH - HOUR);
	assert_true(copies(k, &a) >= 3);
	k->disk_delay = 2 * S;
	for (unsigned int second = 0; second < 3 * 3600 && !meeting; second++) {
		netkit_run(k, S);
		for (unsigned int i = 0; i < 4; i++)
			meeting += owns(k, i, &a) && deleting(k->node[i].node, &a);
	}
	assert_true(meeting > 0);
	assert_int_equal(insert(k, writer, "wanted after all", &a), 0);
	netkit_run(k, 300 * S);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(!owns(k, i, &a) || states(k, i, &a));
	netkit_free(k);
}

/* Of those that go at once so many are on their way to the disk; the others wait for a later step, and go too. */
static void so_many_are_deleted_at_a_time(void **state)
{
	struct netkit *k = netkit_ring(1, 12);
	struct address a[3 * DELETES_MAX + 1];
	unsigned int count = sizeof(a) / sizeof(a[0]), most = 0, left = 0;
	char text[32];

	(void)state;
	for (unsigned int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "garbage %u", i);
		assert_int_equal(insert(k, 0, text, &a[i]), 0);
	}
	pass(k, DELETE_EPOCHS * DELETE_EPOCH - HOUR);
	k->disk_delay = 3 * DELETE_EVERY;
	for (unsigned int step = 0; step < 3 * 3600; step++) {
		unsigned int now = 0;

		netkit_run(k, DELETE_EVERY);
		for (unsigned int i = 0; i < count; i++)
			now += deleting(k->node[0].node, &a[i]);
		assert_true(now <= DELETES_MAX);
		most = now > most ? now : most;
	}
	assert_int_equal(most, DELETES_MAX);
	/* But for the few for which touches.h errs. */
	for (unsigned int i = 0; i < count; i++)
		left += copies(k, &a[i]);
	assert_true(left <= count / 20);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_majority_has_one_who_told_or_ourselves),
		cmocka_unit_test(nothing_goes_in_the_first_day_of_uptime),
		cmocka_unit_test(what_is_foreign_stays),
		cmocka_unit_test(what_another_owner_has_not_confirmed_stays),
		cmocka_unit_test(the_leased_stays_and_all_else_goes_for_ever),
		cmocka_unit_test(what_waits_for_its_lease_stays),
		cmocka_unit_test(an_owner_that_reaches_no_other_deletes_nothing_of_its_own),
		cmocka_unit_test(an_owner_asks_before_it_deletes),
		cmocka_unit_test(an_owner_that_fewer_others_are_left_to_asks_all_of_them),
		cmocka_unit_test(a_lease_of_what_is_not_here_touches_nothing),
		cmocka_unit_test(one_owner_that_takes_his_time_stops_no_deletion),
		cmocka_unit_test(a_touch_that_meets_a_deletion_puts_it_again),
		cmocka_unit_test(so_many_are_deleted_at_a_time),
	};

	return suite_run(tests);
}
