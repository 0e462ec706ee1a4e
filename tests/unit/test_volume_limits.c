/* What bounds the work on leases, ends and heads: at the limit it goes, one above it is refused or waits, and it recovers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/heads_slots.h"
#include "dht/net/lease_send.h"
#include "tests/lib/leasekit.h"
#include "tests/lib/suite.h"

static int result_of(struct netkit *k, uint64_t ticket)
{
	const struct effect *e = netkit_reply(k, ticket);

	assert_non_null(e);
	return e->result;
}

/* ---- leases ---- */

/* A lease straight to the disk of the first node, as a peer's would go there. */
static int store(struct netkit *k, uint64_t number, const struct address *list, uint32_t count)
{
	struct address *own = malloc(count * sizeof(*own));
	struct volumekit v;
	struct chunk *blob;
	struct lease l;
	int result;

	memcpy(own, list, count * sizeof(*own));
	volumekit_make(k, number, &v);
	blob = volumekit_lease(&v, VOLUMEKIT_SLOT, 1, own, count);
	assert_int_equal(lease_read(blob->data, blob->len, &v.ring, &l), 0);
	k->node[0].node->now = k->now;
	result = lease_store(k->node[0].node, &l, &(struct wire_slice){ blob->data, blob->len }, &own, NULL, NULL, NULL);
	assert_int_equal(own == NULL, result == 0);
	free(own);
	chunk_drop(blob);
	return result;
}

/* Something for it to do, so that what it wants done is carried out. */
static void wake(struct netkit *k)
{
	netkit_command(k, 0, &(struct command){ .kind = COMMAND_HEAD, .timeout = 1 });
	netkit_run(k, S);
}

static void so_many_addresses_are_on_their_way_to_the_disk(void **state)
{
	enum { GREATEST = LEASES_HELD_MAX / LEASE_ADDRESSES_MAX };
	struct address *list = malloc(LEASE_ADDRESSES_MAX * sizeof(*list));
	struct netkit *k = netkit_ring(1, 1);
	struct leases *l = k->node[0].node->leases;

	(void)state;
	volumekit_addresses(VOLUMEKIT_SLOT, 0, LEASE_ADDRESSES_MAX, list);
	for (unsigned int i = 0; i < GREATEST; i++)
		assert_int_equal(store(k, 100 + i, list, LEASE_ADDRESSES_MAX), 0);
	assert_int_equal(l->held, LEASES_HELD_MAX);
	assert_int_equal(store(k, 99, list, 1), -EBUSY);
	wake(k);
	assert_int_equal(l->held, 0);
	assert_int_equal(store(k, 99, list, 1), 0);
	free(list);
	netkit_free(k);
}

static uint64_t start_lease(struct netkit *k, uint64_t number)
{
	struct volumekit v;

	volumekit_make(k, number, &v);
	return leasekit_start_some(k, 0, &v, 1, (unsigned int)number, 1, 0);
}

static void so_many_leases_are_on_their_way_to_owners(void **state)
{
	struct netkit *k = netkit_ring(1, 2);
	uint64_t ticket[LEASES_SENT_MAX + 1], late;

	(void)state;
	k->disk_delay = 3 * S;
	for (unsigned int i = 0; i <= LEASES_SENT_MAX; i++)
		ticket[i] = start_lease(k, 1 + i);
	netkit_run(k, S);
	assert_int_equal(k->node[0].node->leases->send->count, LEASES_SENT_MAX);
	assert_int_equal(result_of(k, ticket[LEASES_SENT_MAX]), -EBUSY);
	netkit_run(k, 20 * S);
	for (unsigned int i = 0; i < LEASES_SENT_MAX; i++)
		assert_int_equal(result_of(k, ticket[i]), 0);
	late = start_lease(k, 1 + LEASES_SENT_MAX);
	netkit_run(k, 20 * S);
	assert_int_equal(result_of(k, late), 0);
	netkit_free(k);
}

/* ---- ends ---- */

static int end_volume(struct netkit *k, unsigned int at, uint64_t number)
{
	struct volumekit v;

	volumekit_make(k, number, &v);
	return volumekit_retire(k, at, &v);
}

static void so_many_ends_are_kept(void **state)
{
	struct netkit *k = netkit_ring(3, 3);
	struct leases *l = k->node[0].node->leases;

	(void)state;
	l->retired = RETIRED_MAX - 1;
	assert_int_equal(end_volume(k, 0, 1), 0);
	assert_int_equal(l->retired, RETIRED_MAX);
	assert_int_equal(end_volume(k, 0, 2), -ENOSPC);
	assert_int_equal(l->retired, RETIRED_MAX);
	/* Of those that are kept it can still tell, and others have room. */
	assert_int_equal(end_volume(k, 0, 1), 0);
	assert_int_equal(end_volume(k, 1, 2), 0);
	netkit_free(k);
}

/* ---- shares ---- */

static bool has_end(struct netkit *k, unsigned int at, uint64_t number)
{
	struct volumekit v;
	struct chunk *end;

	volumekit_make(k, number, &v);
	end = lease_ended(k->node[at].node, &v.id);
	chunk_drop(end);
	return end != NULL;
}

static void one_peer_does_not_bring_all_ends(void **state)
{
	struct netkit *k = netkit_ring(3, 12);

	(void)state;
	k->node[0].node->leases->retired = RETIRED_MAX - 2;
	end_volume(k, 1, 1);
	end_volume(k, 1, 2);
	assert_true(has_end(k, 0, 1));
	assert_false(has_end(k, 0, 2));
	end_volume(k, 2, 3);
	assert_true(has_end(k, 0, 3));
	netkit_free(k);
}

static int lease_from(struct netkit *k, unsigned int at, uint64_t number)
{
	struct volumekit v;

	volumekit_make(k, number, &v);
	return leasekit_make(k, at, &v, 1, 0, 1);
}

static void one_peer_does_not_fill_a_slot(void **state)
{
	struct netkit *k = netkit_ring(5, 13);
	unsigned int greedy = netkit_nth(k, VOLUMEKIT_SLOT, false, 0), other = netkit_nth(k, VOLUMEKIT_SLOT, false, 1);
	uint64_t number = 1;

	(void)state;
	while (number <= LEASE_VOLUMES_MAX / 2)
		assert_int_equal(lease_from(k, greedy, number++), 0);
	assert_int_equal(lease_from(k, greedy, number++), -ENOSPC);
	/* What it brought may change. */
	assert_int_equal(lease_from(k, greedy, 1), 0);
	assert_int_equal(lease_from(k, other, number++), 0);
	assert_int_equal(lease_from(k, netkit_nth(k, VOLUMEKIT_SLOT, true, 0), number++), 0);
	netkit_free(k);
}

struct losses {
	enum wire_type type;
	unsigned int from, to;		/* from or to k->count: anyone */
	unsigned int sent;
	bool lost;
};

static bool loses(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct losses *l = k->user;

	if (m->type != l->type || (l->from != k->count && from != l->from) || (l->to != k->count && to != l->to))
		return true;
	l->sent++;
	return !l->lost;
}

static void so_many_members_are_told_of_an_end_at_a_time(void **state)
{
	struct netkit *k = netkit_ring(RETIRE_ASKS + 4, 4);
	struct losses l = { .type = WIRE_RETIRE, .to = k->count, .lost = true };
	struct command c = { .kind = COMMAND_RETIRE };
	struct volumekit v;
	uint64_t ticket;

	(void)state;
	volumekit_make(k, 4, &v);
	c.blob = volumekit_end(&v);
	k->user = &l;
	k->filter = loses;
	ticket = netkit_command(k, 0, &c);
	netkit_run(k, CALL_QUICK / 2);
	assert_int_equal(l.sent, RETIRE_ASKS);
	/* Nobody answers: then the others' turn comes. */
	netkit_run(k, 2 * CALL_QUICK);
	assert_int_equal(l.sent, k->count - 1);
	netkit_run(k, 2 * CALL_QUICK);
	assert_int_equal(result_of(k, ticket), -EHOSTUNREACH);
	l.lost = false;
	assert_int_equal(end_volume(k, 0, 4), 0);
	for (unsigned int i = 0; i < k->count; i++)
		assert_int_equal(k->node[i].node->leases->retired, 1);
	chunk_drop(c.blob);
	netkit_free(k);
}

static void so_many_who_have_not_heard_are_told_at_a_time(void **state)
{
	struct netkit *k = netkit_ring(2, 5);
	struct losses l = { .type = WIRE_RETIRE, .to = 1, .lost = true };
	struct node *n = k->node[0].node;
	struct peer *p = peer_find(n, &k->node[1].id);
	struct volumekit v;
	struct chunk *end;

	(void)state;
	volumekit_make(k, 5, &v);
	end = volumekit_end(&v);
	k->user = &l;
	k->filter = loses;
	n->now = k->now;
	for (unsigned int i = 0; i <= RETIRE_ASKS; i++)
		lease_end_tell(n, p, end);
	assert_int_equal(n->leases->tellings, RETIRE_ASKS);
	netkit_run(k, 3 * CALL_QUICK);
	assert_int_equal(l.sent, RETIRE_ASKS);
	assert_int_equal(n->leases->tellings, 0);
	l.lost = false;
	lease_end_tell(n, p, end);
	netkit_run(k, 3 * CALL_QUICK);
	assert_int_equal(k->node[1].node->leases->retired, 1);
	chunk_drop(end);
	netkit_free(k);
}

static void so_many_volumes_have_leases_in_a_slot(void **state)
{
	struct netkit *k = netkit_ring(1, 9);
	struct address a;

	(void)state;
	volumekit_addresses(VOLUMEKIT_SLOT, 0, 1, &a);
	for (unsigned int i = 1; i < LEASE_VOLUMES_MAX; i++)
		assert_int_equal(store(k, i, &a, 1), 0);
	/* Those on their way to the disk are counted, too. */
	assert_int_equal(store(k, LEASE_VOLUMES_MAX, &a, 1), 0);
	assert_int_equal(store(k, LEASE_VOLUMES_MAX + 1, &a, 1), -ENOSPC);
	wake(k);
	assert_int_equal(store(k, LEASE_VOLUMES_MAX + 1, &a, 1), -ENOSPC);
	/* The end of one makes room for another. */
	assert_int_equal(end_volume(k, 0, 7), 0);
	netkit_run(k, 60 * S);
	assert_int_equal(store(k, LEASE_VOLUMES_MAX + 1, &a, 1), 0);
	assert_int_equal(store(k, LEASE_VOLUMES_MAX + 2, &a, 1), -ENOSPC);
	netkit_free(k);
}

/* ---- heads ---- */

static uint64_t start_swap(struct netkit *k, uint64_t number)
{
	struct command c = { .kind = COMMAND_SWAP };
	struct volumekit v;
	uint64_t ticket;

	volumekit_make(k, number, &v);
	c.address = v.id;
	c.blob = volumekit_head(&v, 1, NULL, 1);
	ticket = netkit_command(k, 0, &c);
	chunk_drop(c.blob);
	return ticket;
}

/* So many rows of heads in the slot of ${like}, which are no volumes' own; ${there}: else they go. */
static void fill_slot(struct netkit *k, const struct address *like, unsigned int first, unsigned int count, bool there)
{
	struct chunk *junk = chunk_copy("junk", 4);

	for (unsigned int i = first; i < first + count; i++) {
		struct effect e = { .kind = EFFECT_SAVE, .chunk = there ? junk : NULL, .row = { .table = ROW_HEAD } };
		struct event done;

		volumekit_addresses(ring_slot(like), 1 + i, 1, &e.row.key);
		memory_catalogue_apply(&k->node[0].disk, &e, &done);
		assert_int_equal(done.result, 0);
	}
	chunk_drop(junk);
}

/* Two volumes of one slot: among some hundred there are two. */
static void find_two(struct netkit *k, uint64_t number[2], struct address *like)
{
	uint64_t seen[RING_SLOTS] = { 0 };

	for (uint64_t i = 1;; i++) {
		struct volumekit v;
		unsigned int slot;

		volumekit_make(k, i, &v);
		slot = ring_slot(&v.id);
		if (seen[slot] > 0) {
			number[0] = seen[slot];
			number[1] = i;
			*like = v.id;
			return;
		}
		seen[slot] = i;
	}
}

static void so_many_volumes_have_heads_in_a_slot(void **state)
{
	struct netkit *k = netkit_ring(1, 10);
	uint64_t number[2], ticket[2];
	struct address like;

	(void)state;
	find_two(k, number, &like);
	fill_slot(k, &like, 0, HEAD_VOLUMES_MAX - 1, true);
	/* Both come before either is on the disk, and there is room for one. */
	for (unsigned int i = 0; i < 2; i++)
		ticket[i] = start_swap(k, number[i]);
	netkit_run(k, 5 * S);
	assert_int_equal(result_of(k, ticket[0]), 0);
	assert_int_equal(result_of(k, ticket[1]), -ENOSPC);
	fill_slot(k, &like, 0, 1, false);
	ticket[1] = start_swap(k, number[1]);
	netkit_run(k, 5 * S);
	assert_int_equal(result_of(k, ticket[1]), 0);
	netkit_free(k);
}

static void so_many_volumes_heads_are_remembered(void **state)
{
	struct netkit *k = netkit_ring(1, 11);
	struct heads *h = k->node[0].node->heads;
	uint64_t ticket[2];

	(void)state;
	h->seen = HEAD_SEEN_MAX - 1;
	/* Again both come before either is on the disk. */
	ticket[0] = start_swap(k, 1);
	ticket[1] = start_swap(k, 2);
	netkit_run(k, 5 * S);
	assert_int_equal(result_of(k, ticket[0]), 0);
	assert_int_equal(result_of(k, ticket[1]), -ENOSPC);
	assert_int_equal(h->seen, HEAD_SEEN_MAX);
	h->seen--;
	ticket[1] = start_swap(k, 2);
	netkit_run(k, 5 * S);
	assert_int_equal(result_of(k, ticket[1]), 0);
	netkit_free(k);
}

static void so_many_answered_heads_wait_for_their_last_owner(void **state)
{
	struct netkit *k = netkit_ring(3, 6);
	struct losses l = { .type = WIRE_SWAP, .from = 0, .to = 2, .lost = true };
	const struct heads *h = k->node[0].node->heads;
	uint64_t ticket[HEAD_LINGER + 1];

	(void)state;
	k->user = &l;
	k->filter = loses;
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < HEAD_LINGER + round; i++)
			ticket[i] = start_swap(k, 1000 * round + i);
		netkit_run(k, CALL_QUICK / 2);
		for (unsigned int i = 0; i < HEAD_LINGER + round; i++)
			assert_int_equal(result_of(k, ticket[i]), 0);
		/* One more: it is answered, and no one is waited for. */
		assert_int_equal(h->ask_count, HEAD_LINGER);
		netkit_run(k, 5 * CALL_QUICK);
		assert_int_equal(h->ask_count, 0);
	}
	netkit_free(k);
}

static uint64_t *held;
static unsigned int held_count;

static bool holds_saves(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	(void)at;
	if (e->kind != EFFECT_SAVE)
		return true;
	assert_true(held_count < 2 * HEAD_CHANGES_MAX);
	held[held_count++] = e->ticket;
	return false;
}

static void so_many_rows_of_heads_wait_for_the_disk(void **state)
{
	struct netkit *k = netkit_ring(1, 12);
	struct node *n = k->node[0].node;
	uint64_t ticket;

	(void)state;
	held = calloc(2 * HEAD_CHANGES_MAX, sizeof(*held));
	held_count = 0;
	k->effect = holds_saves;
	/* Those who wanted them written give up. */
	for (unsigned int i = 0; i < HEAD_CHANGES_MAX; i++) {
		ticket = start_swap(k, 1 + i);
		if (i % 512 == 511)
			netkit_run(k, 40 * S);
	}
	assert_int_equal(n->heads->change_count, HEAD_CHANGES_MAX);
	ticket = start_swap(k, 1 + HEAD_CHANGES_MAX);
	netkit_run(k, S);
	assert_int_equal(result_of(k, ticket), -EBUSY);
	assert_int_equal(n->heads->change_count, HEAD_CHANGES_MAX);
	/* The disk goes on. */
	k->effect = NULL;
	for (unsigned int i = 0; i < held_count; i++)
		node_input(n, &(struct event){ .kind = EVENT_DONE, .ticket = held[i] }, k->now);
	netkit_run(k, 60 * S);
	assert_int_equal(n->heads->change_count, 0);
	ticket = start_swap(k, 1 + HEAD_CHANGES_MAX);
	netkit_run(k, S);
	assert_int_equal(result_of(k, ticket), 0);
	free(held);
	netkit_free(k);
}

static void so_many_are_asked_for_their_heads_at_a_time(void **state)
{
	struct netkit *k = netkit_ring(HEAD_PULLS_MAX + 6, 7);
	struct losses l = { .type = WIRE_HEADS, .to = k->count, .lost = true };
	const struct heads_pull *p;
	unsigned int most = 0;

	(void)state;
	k->user = &l;
	k->filter = loses;
	netkit_lose_disk(k);
	p = k->node[0].node->heads->pull;
	for (uint64_t ms = 0; ms < 60 * 1000; ms += 10) {
		unsigned int busy = 0;

		netkit_run(k, 10 * MS);
		for (unsigned int i = 0; i < HEAD_PULLS_MAX; i++)
			busy += call_busy(&p->pull[i].call);
		most = busy > most ? busy : most;
	}
	assert_int_equal(most, HEAD_PULLS_MAX);
	assert_true(p->asked_count > HEAD_PULLS_MAX);
	assert_true(p->waiting > 0);
	l.lost = false;
	netkit_run(k, 60 * S);
	assert_int_equal(p->waiting, 0);
	netkit_free(k);
}

static void rounds_of_questions_come_ever_less_often_but_come(void **state)
{
	struct netkit *k = netkit_ring(4, 8);
	struct losses l = { .type = WIRE_HEADS, .to = k->count, .lost = true };
	const struct heads_pull *p;
	uint64_t longest = 0, last;
	unsigned int sent = 0;

	(void)state;
	k->user = &l;
	k->filter = loses;
	netkit_lose_disk(k);
	p = k->node[0].node->heads->pull;
	last = k->now;
	for (unsigned int second = 0; second < 600; second++) {
		netkit_run(k, S);
		if (l.sent > sent) {
			longest = k->now - last > longest ? k->now - last : longest;
			last = k->now;
		}
		sent = l.sent;
	}
	assert_true(p->waiting > 0);
	assert_int_equal(p->wait, HEADS_AGAIN_MAX);
	/* With the jitter of an eighth, and the time of the question itself. */
	assert_in_range(longest, HEADS_AGAIN_MAX - HEADS_AGAIN_MAX / 8, HEADS_AGAIN_MAX + HEADS_AGAIN_MAX / 8 + CALL_QUICK + 2 * S);
	l.lost = false;
	netkit_run(k, HEADS_AGAIN_MAX + HEADS_AGAIN_MAX / 8 + 5 * S);
	assert_int_equal(p->waiting, 0);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_addresses_are_on_their_way_to_the_disk),
		cmocka_unit_test(so_many_leases_are_on_their_way_to_owners),
		cmocka_unit_test(so_many_ends_are_kept),
		cmocka_unit_test(so_many_members_are_told_of_an_end_at_a_time),
		cmocka_unit_test(so_many_who_have_not_heard_are_told_at_a_time),
		cmocka_unit_test(so_many_volumes_have_leases_in_a_slot),
		cmocka_unit_test(so_many_volumes_have_heads_in_a_slot),
		cmocka_unit_test(so_many_volumes_heads_are_remembered),
		cmocka_unit_test(so_many_answered_heads_wait_for_their_last_owner),
		cmocka_unit_test(so_many_rows_of_heads_wait_for_the_disk),
		cmocka_unit_test(so_many_are_asked_for_their_heads_at_a_time),
		cmocka_unit_test(rounds_of_questions_come_ever_less_often_but_come),
		cmocka_unit_test(one_peer_does_not_bring_all_ends),
		cmocka_unit_test(one_peer_does_not_fill_a_slot),
	};

	return suite_run(tests);
}
