/* The numbered rules of lease.h, and its bounds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/lease_send.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

#define SLOT 4321u

static unsigned int slot = SLOT;	/* of all that is leased */

/* The ${rank}-th node that is an owner of ${slot}, or that is none. */
static unsigned int nth(struct netkit *k, bool owner, unsigned int rank)
{
	return netkit_nth(k, slot, owner, rank);
}

static uint64_t start_lease_of(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq,
    const struct address *a, unsigned int count, uint64_t timeout)
{
	struct command c = { .kind = COMMAND_LEASE, .addresses = a, .count = count, .timeout = timeout };
	uint64_t ticket;

	c.blob = volumekit_lease(v, slot, seq, a, count);
	ticket = netkit_command(k, at, &c);
	chunk_drop(c.blob);
	return ticket;
}

/* Addresses ${first} to ${first} + ${count} of ${slot}. */
static uint64_t start_lease(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count, uint64_t timeout)
{
	struct address *a = malloc((count + 1) * sizeof(*a));
	uint64_t ticket;

	volumekit_addresses(slot, first, count, a);
	ticket = start_lease_of(k, at, v, seq, a, count, timeout);
	free(a);
	return ticket;
}

static int result_of(struct netkit *k, uint64_t ticket, uint64_t timeout)
{
	for (uint64_t waited = 0; !netkit_reply(k, ticket) && waited <= timeout; waited += 10 * MS)
		netkit_run(k, 10 * MS);
	assert_non_null(netkit_reply(k, ticket));
	return netkit_reply(k, ticket)->result;
}

static int lease(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count)
{
	return result_of(k, start_lease(k, at, v, seq, first, count, 10 * S), 11 * S);
}

static void insert(struct netkit *k, unsigned int at, const struct volumekit *v, const char *text, struct address *out)
{
	struct command c = { .kind = COMMAND_INSERT, .chunk_kind = KIND_DATA, .volume = v->id, .acks = 2 };

	address_of(KIND_DATA, text, strlen(text), out);
	c.address = *out;
	c.chunk = chunk_copy(text, strlen(text));
	assert_int_equal(netkit_ask(k, at, &c)->result, 0);
	chunk_drop(c.chunk);
}

static int end_volume(struct netkit *k, unsigned int at, const struct volumekit *v)
{
	struct command c = { .kind = COMMAND_RETIRE, .blob = volumekit_end(v) };
	int result = netkit_ask(k, at, &c)->result;

	chunk_drop(c.blob);
	return result;
}

/* What its disk has: the seq, and its first address's number and their count, which agree with it; 0: none. */
static uint64_t stored(struct netkit *k, unsigned int i, const struct volumekit *v, unsigned int *first, unsigned int *count)
{
	struct catalogue *c = &k->node[i].disk.catalogue;
	struct chunk *blob = c->lease(c, &v->id, slot);
	static const struct address zeros;
	struct address *a = malloc((LEASE_ADDRESSES_MAX + 1) * sizeof(*a));
	struct lease l = { .seq = 0 };
	size_t got = c->lease_list(c, &v->id, slot, &zeros, LEASE_ADDRESSES_MAX + 1, a);

	if (blob) {
		assert_int_equal(lease_read(blob->data, blob->len, &v->ring, &l), 0);
		assert_int_equal(lease_check(&l, a, (uint32_t)got), 0);
	}
	if (first)
		*first = got > 0 ? (unsigned int)a[0].b[7] | (unsigned int)a[0].b[6] << 8 : 0;
	if (count)
		*count = (unsigned int)got;
	chunk_drop(blob);
	free(a);
	return l.seq;
}

static uint64_t seq_at(struct netkit *k, unsigned int i, const struct volumekit *v)
{
	return stored(k, i, v, NULL, NULL);
}

static unsigned int rows(struct netkit *k, unsigned int i, enum catalogue_table table)
{
	struct catalogue *c = &k->node[i].disk.catalogue;
	struct address at;
	unsigned int count = 0;
	bool more;

	for (more = c->rows(c, (uint8_t)table, NULL, &at); more; more = c->rows(c, (uint8_t)table, &at, &at))
		count++;
	return count;
}

static void restart(struct netkit *k, unsigned int i)
{
	netkit_crash(k, i);
	netkit_start(k, i);
}

/* ---- what a lease is ---- */

static void the_addresses_must_be_those_that_were_signed(void **state)
{
	struct netkit *k = netkit_new(1, 1);
	struct address a[4], moved[4], other;
	struct lease l = { .slot = SLOT, .count = 4 };

	(void)state;
	volumekit_addresses(SLOT, 10, 4, a);
	lease_root(a, 4, &l.root);
	assert_int_equal(lease_check(&l, a, 4), 0);
	assert_int_equal(lease_check(&l, a, 3), -EBADMSG);
	memcpy(moved, a, sizeof(a));
	moved[1] = a[2];
	moved[2] = a[1];
	lease_root(moved, 4, &l.root);
	assert_int_equal(lease_check(&l, moved, 4), -EBADMSG);
	moved[1] = a[1];
	moved[2] = a[1];
	lease_root(moved, 4, &l.root);
	assert_int_equal(lease_check(&l, moved, 4), -EBADMSG);
	volumekit_addresses(SLOT + 1, 0, 1, &other);
	moved[2] = a[2];
	moved[3] = other;
	lease_root(moved, 4, &l.root);
	assert_int_equal(lease_check(&l, moved, 4), -EBADMSG);
	l.count = LEASE_ADDRESSES_MAX + 1;
	assert_int_equal(lease_check(&l, a, 4), -E2BIG);
	netkit_free(k);
}

/* ---- rules 1 to 4 ---- */

static void a_higher_number_supersedes_and_a_lower_is_old(void **state)
{
	struct netkit *k = netkit_ring(5, 2);
	struct volumekit v;
	unsigned int first, count;

	(void)state;
	volumekit_make(k, 2, &v);
	assert_int_equal(lease(k, 0, &v, 5, 100, 3), 0);
	assert_int_equal(lease(k, 0, &v, 5, 100, 3), 0);
	assert_int_equal(lease(k, 1, &v, 4, 200, 9), -ESTALE);
	assert_int_equal(lease(k, 0, &v, 7, 300, 2), 0);
	netkit_run(k, S);
	for (unsigned int i = 0; i < 5; i++)
		if (netkit_owns(k, i, slot)) {
			assert_int_equal(stored(k, i, &v, &first, &count), 7);
			assert_int_equal(first, 300);
			assert_int_equal(count, 2);
		}
	/* Nothing is a lease, too. */
	assert_int_equal(lease(k, 0, &v, 8, 0, 0), 0);
	netkit_run(k, S);
	assert_int_equal(stored(k, nth(k, true, 0), &v, NULL, &count), 8);
	assert_int_equal(count, 0);
	netkit_free(k);
}

static bool counts_conflicts(struct netkit *k, unsigned int at, const struct effect *e)
{
	unsigned int *said = k->user;

	if (e->kind == EFFECT_LOG && strstr(e->text, "two leases of volume"))
		said[at]++;
	return true;
}

static void of_two_with_one_number_the_first_stays_until_a_higher_one(void **state)
{
	struct netkit *k = netkit_ring(5, 3);
	unsigned int said[5] = { 0 }, first;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 3, &v);
	k->user = said;
	k->effect = counts_conflicts;
	assert_int_equal(lease(k, nth(k, true, 0), &v, 5, 100, 3), 0);
	assert_int_equal(lease(k, nth(k, false, 0), &v, 5, 200, 3), -EUCLEAN);
	netkit_run(k, S);
	for (unsigned int i = 0; i < 5; i++)
		if (netkit_owns(k, i, slot)) {
			assert_int_equal(stored(k, i, &v, &first, NULL), 5);
			assert_int_equal(first, 100);
			assert_true(said[i] > 0);
			said[i] = 0;
		}
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(lease(k, nth(k, false, i % 2), &v, 5, 200, 3), -EUCLEAN);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(!netkit_owns(k, i, slot) || said[i] == 0);
	netkit_run(k, LEASE_WARN_EVERY);
	assert_int_equal(lease(k, nth(k, false, 0), &v, 5, 200, 3), -EUCLEAN);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(!netkit_owns(k, i, slot) || said[i] == 1);
	assert_int_equal(lease(k, nth(k, false, 0), &v, 6, 400, 3), 0);
	netkit_run(k, S);
	assert_int_equal(stored(k, nth(k, true, 1), &v, &first, NULL), 6);
	assert_int_equal(first, 400);
	netkit_free(k);
}

static void no_absence_takes_a_lease_away(void **state)
{
	struct netkit *k = netkit_ring(5, 4);
	struct volumekit v;
	unsigned int writer = nth(k, false, 0);

	(void)state;
	volumekit_make(k, 4, &v);
	assert_int_equal(lease(k, writer, &v, 1, 100, 3), 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, writer);
	netkit_run(k, 3600 * (uint64_t)S);
	for (unsigned int i = 0; i < 5; i++)
		if (i != writer)
			restart(k, i);
	netkit_run(k, 3600 * (uint64_t)S);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(seq_at(k, i, &v), i == writer || netkit_owns(k, i, slot));
	netkit_free(k);
}

static void an_end_is_for_ever_and_reaches_who_was_away(void **state)
{
	struct netkit *k = netkit_ring(5, 5);
	struct volumekit v;
	struct address a;
	unsigned int away, writer;

	(void)state;
	volumekit_make(k, 5, &v);
	insert(k, 0, &v, "some chunk", &a);
	slot = ring_slot(&a);
	away = nth(k, true, 1);
	writer = nth(k, false, 0);
	assert_int_equal(result_of(k, start_lease_of(k, writer, &v, 1, &a, 1, 10 * S), 11 * S), 0);
	netkit_run(k, 60 * S);
	assert_true(k->node[away].disk.catalogue.state(&k->node[away].disk.catalogue, &a) & STATE_LEASED);
	netkit_crash(k, away);
	assert_int_equal(end_volume(k, nth(k, true, 0), &v), 0);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 5; i++)
		if (i != away) {
			assert_int_equal(seq_at(k, i, &v), 0);
			assert_int_equal(rows(k, i, ROW_RETIRED), 1);
		}
	assert_int_equal(lease(k, writer, &v, 2, 100, 3), -EKEYREVOKED);
	assert_int_equal(seq_at(k, away, &v), 1);
	netkit_start(k, away);
	netkit_run(k, 900 * (uint64_t)S);
	assert_int_equal(seq_at(k, away, &v), 0);
	assert_int_equal(rows(k, away, ROW_RETIRED), 1);
	for (unsigned int i = 0; i < 5; i++) {
		restart(k, i);
		assert_int_equal(seq_at(k, i, &v), 0);
	}
	netkit_run(k, 60 * S);
	assert_int_equal(lease(k, away, &v, 3, 100, 3), -EKEYREVOKED);
	assert_int_equal(end_volume(k, away, &v), 0);
	slot = SLOT;
	netkit_free(k);
}

static void whoever_missed_the_end_learns_it_when_he_sends_a_lease(void **state)
{
	struct netkit *k = netkit_ring(5, 6);
	struct volumekit v;
	unsigned int away = nth(k, false, 0);

	(void)state;
	volumekit_make(k, 6, &v);
	netkit_crash(k, away);
	assert_int_equal(end_volume(k, nth(k, true, 0), &v), 0);
	netkit_start(k, away);
	netkit_run(k, 30 * S);
	assert_int_equal(rows(k, away, ROW_RETIRED), 0);
	assert_int_equal(lease(k, away, &v, 1, 100, 3), -EKEYREVOKED);
	netkit_run(k, 30 * S);
	assert_int_equal(rows(k, away, ROW_RETIRED), 1);
	assert_int_equal(seq_at(k, away, &v), 0);
	netkit_free(k);
}

/* ---- when it counts ---- */

/* Leases never get to the disk of the nodes in ${user}. */
static bool no_lease_is_stored(struct netkit *k, unsigned int at, const struct effect *e)
{
	const bool *hangs = k->user;

	return !(hangs[at] && e->kind == EFFECT_LEASE);
}

static void a_majority_must_have_it_durably(void **state)
{
	(void)state;
	for (unsigned int hang = 1; hang <= 2; hang++) {
		struct netkit *k = netkit_ring(5, 10 + hang);
		bool hangs[5] = { false };
		struct volumekit v;

		volumekit_make(k, 7, &v);
		for (unsigned int j = 0; j < hang; j++)
			hangs[nth(k, true, j)] = true;
		k->user = hangs;
		k->effect = no_lease_is_stored;
		assert_int_equal(result_of(k, start_lease(k, nth(k, false, 0), &v, 1, 100, 3, 25 * S), 30 * S), hang == 1 ? 0 : -ETIMEDOUT);
		netkit_free(k);
	}
}

static void the_note_outlives_a_restart_and_goes_when_all_have_it(void **state)
{
	struct netkit *k = netkit_ring(5, 13);
	struct volumekit v;
	unsigned int away = nth(k, true, 0), writer = nth(k, false, 0);

	(void)state;
	volumekit_make(k, 8, &v);
	netkit_crash(k, away);
	netkit_run(k, 30 * S);
	assert_int_equal(lease(k, writer, &v, 1, 100, 3), 0);
	netkit_run(k, 5 * S);
	assert_int_equal(rows(k, writer, ROW_LEASING), 1);
	restart(k, writer);
	netkit_run(k, 60 * S);
	assert_int_equal(rows(k, writer, ROW_LEASING), 1);
	assert_int_equal(seq_at(k, away, &v), 0);
	netkit_start(k, away);
	netkit_run(k, 60 * S);
	assert_int_equal(seq_at(k, away, &v), 1);
	assert_int_equal(rows(k, writer, ROW_LEASING), 0);
	assert_int_equal(seq_at(k, writer, &v), 1);
	netkit_free(k);
}

/* The writer dies the moment its note is durable: others never hear of the lease but from its disk. */
static void what_was_stored_here_alone_is_sent_after_a_restart(void **state)
{
	struct netkit *k = netkit_ring(5, 14);
	struct volumekit v;
	unsigned int writer = nth(k, false, 0);

	(void)state;
	volumekit_make(k, 9, &v);
	netkit_cut_off(k, writer, true);
	start_lease(k, writer, &v, 1, 100, 3, S);
	netkit_run(k, 3 * S);
	assert_int_equal(seq_at(k, writer, &v), 1);
	netkit_crash(k, writer);
	netkit_cut_off(k, writer, false);
	netkit_start(k, writer);
	netkit_run(k, 120 * S);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(seq_at(k, i, &v), i == writer || netkit_owns(k, i, slot));
	netkit_free(k);
}

/* The most leases that are sent again at a time, and how many messages that takes. */
struct resends {
	unsigned int from, to, most, messages;
	bool lost;
};

static bool counts_resends(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct resends *r = k->user;

	if (m->type != WIRE_LEASE || from != r->from || to != r->to)
		return true;
	r->messages++;
	if (k->node[from].node->leases->send->resent > r->most)
		r->most = k->node[from].node->leases->send->resent;
	return !r->lost;
}

static void what_an_owner_lacks_is_sent_few_at_a_time_and_ever_less_often(void **state)
{
	struct netkit *k = netkit_ring(5, 23);
	struct resends r = { .to = nth(k, true, 0), .from = nth(k, false, 0), .lost = true };
	struct volumekit v;
	unsigned int first_hour;

	(void)state;
	netkit_crash(k, r.to);
	netkit_run(k, 30 * S);
	for (unsigned int i = 0; i < 3 * LEASES_RESENT_MAX; i++) {
		volumekit_make(k, 300 + i, &v);
		assert_int_equal(lease(k, r.from, &v, 1, i, 1), 0);
	}
	netkit_run(k, 5 * S);
	assert_int_equal(rows(k, r.from, ROW_LEASING), 3 * LEASES_RESENT_MAX);
	k->user = &r;
	k->filter = counts_resends;
	netkit_start(k, r.to);
	netkit_run(k, 3600 * (uint64_t)S);
	first_hour = r.messages;
	r.messages = 0;
	netkit_run(k, 3600 * (uint64_t)S);
	assert_int_equal(r.most, LEASES_RESENT_MAX);
	/* Each note once in LEASES_AGAIN_MAX, less an eighth. */
	assert_in_range(r.messages, 1, 3 * LEASES_RESENT_MAX * (3600 * (uint64_t)S / (LEASES_AGAIN_MAX / 8 * 7) + 1));
	assert_true(first_hour > r.messages);
	r.lost = false;
	netkit_run(k, 1200 * (uint64_t)S);
	assert_int_equal(rows(k, r.from, ROW_LEASING), 0);
	for (unsigned int i = 0; i < 3 * LEASES_RESENT_MAX; i++) {
		volumekit_make(k, 300 + i, &v);
		assert_int_equal(seq_at(k, r.to, &v), 1);
	}
	netkit_free(k);
}

/* ---- parts, and bounds ---- */

static void the_greatest_lease_arrives_whole(void **state)
{
	struct netkit *k = netkit_ring(3, 15);
	struct volumekit v;
	unsigned int count;

	(void)state;
	volumekit_make(k, 10, &v);
	assert_int_equal(lease(k, 0, &v, 1, 0, LEASE_ADDRESSES_MAX + 1), -E2BIG);
	assert_int_equal(lease(k, 0, &v, 1, 0, LEASE_ADDRESSES_MAX), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(stored(k, i, &v, NULL, &count), 1);
		assert_int_equal(count, LEASE_ADDRESSES_MAX);
	}
	netkit_free(k);
}

/* The most leases that come in by parts at one node. */
static bool counts_collected(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	unsigned int *most = k->user;

	(void)from;
	(void)m;
	if (k->node[to].node->leases->collected > *most)
		*most = k->node[to].node->leases->collected;
	return true;
}

static void leases_by_parts_are_bounded_and_all_arrive(void **state)
{
	struct netkit *k = netkit_ring(9, 16);
	uint64_t ticket[27];
	unsigned int most = 0;
	struct volumekit v;

	(void)state;
	k->user = &most;
	k->filter = counts_collected;
	for (unsigned int i = 0; i < 27; i++) {
		volumekit_make(k, 100 + i, &v);
		ticket[i] = start_lease(k, i % 9, &v, 1, 0, 5 * WIRE_ADDRESSES_MAX, 60 * S);
	}
	for (unsigned int i = 0; i < 27; i++)
		assert_int_equal(result_of(k, ticket[i], 61 * S), 0);
	assert_int_equal(most, LEASES_COLLECTED_MAX);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(k->node[i].node->leases->collected, 0);
	netkit_free(k);
}

static void put_lease(struct netkit *k, unsigned int i, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count)
{
	struct address *a = malloc((count + 1) * sizeof(*a));
	struct catalogue_lease l = { .volume = v->id, .slot = (uint16_t)slot, .seq = seq, .addresses = a, .count = count };
	struct effect e = { .kind = EFFECT_LEASE, .lease = &l };
	struct event done;

	volumekit_addresses(slot, first, count, a);
	l.blob = volumekit_lease(v, slot, seq, a, count);
	memory_catalogue_apply(&k->node[i].disk, &e, &done);
	assert_int_equal(done.result, 0);
	chunk_drop(l.blob);
	free(a);
}

static void a_slot_has_room_for_so_many_volumes(void **state)
{
	struct netkit *k = netkit_ring(3, 17);
	struct volumekit v;

	(void)state;
	for (unsigned int i = 0; i < LEASE_VOLUMES_MAX; i++) {
		volumekit_make(k, 1000 + i, &v);
		put_lease(k, 0, &v, 1, 0, 0);
	}
	assert_int_equal(lease(k, 0, &v, 2, 0, 1), 0);	/* one that is there already */
	volumekit_make(k, 1, &v);
	assert_int_equal(lease(k, 0, &v, 1, 0, 1), -ENOSPC);
	netkit_free(k);
}

/* ---- agreement ---- */

struct pulled {
	struct lease_pull pull;
	bool over;
	int result;
};

static void pulled(struct node *n, struct lease_pull *p, int result)
{
	struct pulled *x = (struct pulled *)p;

	(void)n;
	x->over = true;
	x->result = result;
}

static void pull_start(struct netkit *k, unsigned int at, unsigned int from, struct pulled *x)
{
	struct node *n = k->node[at].node;

	x->pull = (struct lease_pull){ .peer = peer_find(n, &k->node[from].id), .slot = (uint16_t)slot, .done = pulled };
	x->over = false;
	n->now = k->now;
	leases_pull(n, &x->pull);
	/* Something for it to do, so that what it wants done is carried out. */
	netkit_command(k, at, &(struct command){ .kind = COMMAND_HEAD, .timeout = 1 });
}

static void pull_end(struct netkit *k, struct pulled *x)
{
	for (unsigned int i = 0; i < 1000 && !x->over; i++)
		netkit_run(k, 10 * MS);
	assert_true(x->over);
}

static struct pulled pull(struct netkit *k, unsigned int at, unsigned int from)
{
	struct pulled x;

	pull_start(k, at, from, &x);
	pull_end(k, &x);
	return x;
}

static void a_pull_makes_both_sides_agree(void **state)
{
	struct netkit *k = netkit_ring(3, 18);
	struct volumekit v[5];
	struct pulled x;
	unsigned int first, count;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		volumekit_make(k, 20 + i, &v[i]);
	put_lease(k, 0, &v[0], 3, 100, 3000);	/* only here */
	put_lease(k, 1, &v[1], 4, 200, 3000);	/* only there */
	put_lease(k, 0, &v[2], 5, 300, 3);	/* newer here */
	put_lease(k, 1, &v[2], 4, 400, 3);
	put_lease(k, 0, &v[3], 5, 500, 3);	/* newer there */
	put_lease(k, 1, &v[3], 6, 600, 3);
	put_lease(k, 0, &v[4], 7, 700, 3);	/* alike */
	put_lease(k, 1, &v[4], 7, 700, 3);
	x = pull(k, 0, 1);
	assert_int_equal(x.result, 0);
	assert_true(x.pull.complete);
	assert_false(x.pull.conflict);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(stored(k, i, &v[0], &first, &count), 3);
		assert_int_equal(count, 3000);
		assert_int_equal(stored(k, i, &v[1], &first, &count), 4);
		assert_int_equal(stored(k, i, &v[2], &first, &count), 5);
		assert_int_equal(first, 300);
		assert_int_equal(stored(k, i, &v[3], &first, &count), 6);
		assert_int_equal(first, 600);
		assert_int_equal(stored(k, i, &v[4], &first, &count), 7);
	}
	netkit_free(k);
}

static void a_pull_tells_of_two_with_one_number(void **state)
{
	struct netkit *k = netkit_ring(3, 19);
	struct volumekit v;
	struct pulled x;
	unsigned int first;

	(void)state;
	volumekit_make(k, 30, &v);
	put_lease(k, 0, &v, 3, 100, 3);
	put_lease(k, 1, &v, 3, 200, 3);
	x = pull(k, 0, 1);
	assert_int_equal(x.result, 0);
	assert_true(x.pull.conflict);
	assert_int_equal(stored(k, 0, &v, &first, NULL), 3);
	assert_int_equal(first, 100);
	assert_int_equal(stored(k, 1, &v, &first, NULL), 3);
	assert_int_equal(first, 200);
	netkit_free(k);
}

/* A lost disk is filled from all other owners at once. */
static void two_pulls_of_one_slot_at_a_time_are_both_done(void **state)
{
	struct netkit *k = netkit_ring(3, 25);
	struct volumekit v[3];
	struct pulled x[2];
	unsigned int first;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		volumekit_make(k, 50 + i, &v[i]);
		for (unsigned int node = 1; node < 3; node++)
			put_lease(k, node, &v[i], 3, 100 * i, 3);
	}
	put_lease(k, 2, &v[1], 4, 900, 3);
	for (unsigned int i = 0; i < 2; i++)
		pull_start(k, 0, 1 + i, &x[i]);
	for (unsigned int i = 0; i < 2; i++) {
		pull_end(k, &x[i]);
		assert_int_equal(x[i].result, 0);
	}
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(stored(k, 0, &v[i], &first, NULL), i == 1 ? 4 : 3);
	netkit_free(k);
}

static void so_many_addresses_are_pulled_at_a_time(void **state)
{
	enum { PULLS = LEASES_PULLED_MAX / LEASE_ADDRESSES_MAX + 1 };
	struct netkit *k = netkit_ring(2, 27);
	const struct leases *l = k->node[0].node->leases;
	struct pulled x[PULLS];
	uint32_t most = 0;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 70, &v);
	for (unsigned int i = 0; i < PULLS; i++) {
		slot = SLOT + i;
		put_lease(k, 1, &v, 1, 0, LEASE_ADDRESSES_MAX);
		pull_start(k, 0, 1, &x[i]);
	}
	for (unsigned int i = 0; i < 100; i++) {
		netkit_run(k, 1 * MS);
		most = l->pulled > most ? l->pulled : most;
	}
	assert_int_equal(most, LEASES_PULLED_MAX);
	for (unsigned int i = 0; i < PULLS; i++) {
		pull_end(k, &x[i]);
		assert_int_equal(x[i].result, 0);
		slot = SLOT + i;
		assert_int_equal(seq_at(k, 0, &v), 1);
	}
	assert_int_equal(l->pulled, 0);
	slot = SLOT;
	netkit_free(k);
}

static unsigned int addresses_asked_for;

static bool count_questions(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	addresses_asked_for += m->type == WIRE_LEASED;
	return true;
}

static void few_addresses_go_along_with_the_list(void **state)
{
	struct netkit *k = netkit_ring(3, 28);
	unsigned int first, count;
	struct volumekit v[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		volumekit_make(k, 80 + i, &v[i]);
	k->filter = count_questions;
	addresses_asked_for = 0;
	put_lease(k, 1, &v[0], 1, 100, LEASE_ALONG);
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_int_equal(addresses_asked_for, 0);
	put_lease(k, 1, &v[0], 2, 200, LEASE_ALONG + 1);
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_int_equal(addresses_asked_for, 1);
	assert_int_equal(stored(k, 0, &v[0], &first, &count), 2);
	assert_int_equal(first, 200);
	assert_int_equal(count, LEASE_ALONG + 1);
	/* Of two one could not tell whose they are. */
	put_lease(k, 1, &v[0], 3, 300, 1);
	put_lease(k, 1, &v[1], 3, 400, 1);
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_int_equal(addresses_asked_for, 3);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(stored(k, 0, &v[i], &first, NULL), 3);
	netkit_free(k);
}

static struct volumekit *renewed;

/* The peer gets a newer lease just before its addresses are asked for. */
static bool renew(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)from;
	if (m->type == WIRE_LEASED && renewed) {
		put_lease(k, to, renewed, 4, 500, 5);
		renewed = NULL;
	}
	return true;
}

static void a_lease_that_is_renewed_while_it_is_pulled_comes_all_the_same(void **state)
{
	struct netkit *k = netkit_ring(3, 26);
	unsigned int first, count;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 60, &v);
	put_lease(k, 1, &v, 3, 100, LEASE_ALONG + 1);
	renewed = &v;
	k->filter = renew;
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_null(renewed);
	assert_int_equal(stored(k, 0, &v, &first, &count), 4);
	assert_int_equal(first, 500);
	assert_int_equal(count, 5);
	netkit_free(k);
}

static void a_pull_of_many_volumes_takes_several_pages(void **state)
{
	struct netkit *k = netkit_ring(3, 20);
	struct volumekit v;

	(void)state;
	for (unsigned int i = 0; i < 700; i++) {
		volumekit_make(k, 2000 + i, &v);
		put_lease(k, i % 3 == 0, &v, 1, i, 1);
	}
	assert_int_equal(pull(k, 0, 1).result, 0);
	for (unsigned int i = 0; i < 700; i++) {
		volumekit_make(k, 2000 + i, &v);
		assert_int_equal(seq_at(k, 0, &v), 1);
		assert_int_equal(seq_at(k, 1, &v), 1);
	}
	netkit_free(k);
}

static void leases_follow_their_slots_and_leave_nothing_behind(void **state)
{
	struct netkit *k = netkit_new(9, 21);
	struct volumekit v;
	unsigned int owners = 0;

	(void)state;
	volumekit_make(k, 40, &v);
	for (unsigned int i = 0; i < 3; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	assert_int_equal(lease(k, 0, &v, 1, 100, 3), 0);
	for (unsigned int i = 3; i < 9; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	netkit_run(k, 3600 * (uint64_t)S);
	for (unsigned int i = 0; i < 9; i++) {
		/* The node at which it was made keeps it. */
		assert_int_equal(seq_at(k, i, &v), i == 0 || netkit_owns(k, i, slot));
		owners += netkit_owns(k, i, slot);
	}
	assert_int_equal(owners, 3);
	netkit_free(k);
}

static void who_made_a_lease_learns_of_a_newer_one_made_elsewhere(void **state)
{
	struct netkit *k = netkit_ring(6, 22);
	struct volumekit v, other;
	unsigned int a, b, first;

	(void)state;
	volumekit_make(k, 41, &v);
	volumekit_make(k, 42, &other);
	a = nth(k, false, 0);
	b = nth(k, false, 1);
	assert_int_equal(lease(k, a, &v, 1, 100, 3), 0);
	assert_int_equal(lease(k, b, &v, 2, 200, 3), 0);
	assert_int_equal(lease(k, b, &other, 1, 300, 3), 0);
	netkit_run(k, 60 * S);
	assert_int_equal(seq_at(k, a, &v), 1);
	for (unsigned int i = 0; i < 7; i++) {
		k->now += DELETE_EPOCH / 6;
		netkit_run(k, 20 * S);
	}
	assert_int_equal(stored(k, a, &v, &first, NULL), 2);
	assert_int_equal(first, 200);
	assert_int_equal(seq_at(k, a, &other), 0);	/* no affair of ours */
	netkit_free(k);
}

static void who_made_a_lease_learns_that_its_volume_has_ended(void **state)
{
	struct netkit *k = netkit_ring(6, 23);
	struct volumekit v;
	unsigned int maker;

	(void)state;
	volumekit_make(k, 43, &v);
	maker = nth(k, false, 0);
	assert_int_equal(lease(k, maker, &v, 1, 100, 3), 0);
	netkit_run(k, 60 * S);
	netkit_crash(k, maker);
	assert_int_equal(end_volume(k, nth(k, true, 0), &v), 0);
	netkit_start(k, maker);
	netkit_run(k, 60 * S);
	assert_int_equal(seq_at(k, maker, &v), 1);
	for (unsigned int i = 0; i < 7; i++) {
		k->now += DELETE_EPOCH / 6;
		netkit_run(k, 20 * S);
	}
	assert_int_equal(seq_at(k, maker, &v), 0);
	assert_int_equal(rows(k, maker, ROW_RETIRED), 1);
	netkit_free(k);
}

/* All owners of the slot are away, and everyone else is told. */
static void an_end_that_no_owner_knows_is_not_done(void **state)
{
	struct netkit *k = netkit_ring(7, 24);
	struct volumekit v;
	struct address a;
	unsigned int owner[3], other;

	(void)state;
	volumekit_make(k, 44, &v);
	insert(k, 0, &v, "some chunk", &a);
	slot = ring_slot(&a);
	other = nth(k, false, 0);
	for (unsigned int i = 0; i < 3; i++)
		owner[i] = nth(k, true, i);
	assert_int_equal(result_of(k, start_lease_of(k, nth(k, false, 1), &v, 1, &a, 1, 10 * S), 11 * S), 0);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 3; i++)
		netkit_crash(k, owner[i]);
	assert_int_equal(end_volume(k, other, &v), -EAGAIN);
	netkit_start(k, owner[0]);
	netkit_run(k, 60 * S);
	/* One of each slot's is enough: the others learn it from him. */
	assert_int_equal(end_volume(k, other, &v), 0);
	for (unsigned int i = 1; i < 3; i++)
		netkit_start(k, owner[i]);
	netkit_run(k, 900 * (uint64_t)S);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(seq_at(k, owner[i], &v), 0);
	slot = SLOT;
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_addresses_must_be_those_that_were_signed),
		cmocka_unit_test(a_higher_number_supersedes_and_a_lower_is_old),
		cmocka_unit_test(of_two_with_one_number_the_first_stays_until_a_higher_one),
		cmocka_unit_test(no_absence_takes_a_lease_away),
		cmocka_unit_test(an_end_is_for_ever_and_reaches_who_was_away),
		cmocka_unit_test(whoever_missed_the_end_learns_it_when_he_sends_a_lease),
		cmocka_unit_test(a_majority_must_have_it_durably),
		cmocka_unit_test(the_note_outlives_a_restart_and_goes_when_all_have_it),
		cmocka_unit_test(what_was_stored_here_alone_is_sent_after_a_restart),
		cmocka_unit_test(what_an_owner_lacks_is_sent_few_at_a_time_and_ever_less_often),
		cmocka_unit_test(the_greatest_lease_arrives_whole),
		cmocka_unit_test(leases_by_parts_are_bounded_and_all_arrive),
		cmocka_unit_test(a_slot_has_room_for_so_many_volumes),
		cmocka_unit_test(a_pull_makes_both_sides_agree),
		cmocka_unit_test(a_pull_tells_of_two_with_one_number),
		cmocka_unit_test(two_pulls_of_one_slot_at_a_time_are_both_done),
		cmocka_unit_test(so_many_addresses_are_pulled_at_a_time),
		cmocka_unit_test(few_addresses_go_along_with_the_list),
		cmocka_unit_test(a_lease_that_is_renewed_while_it_is_pulled_comes_all_the_same),
		cmocka_unit_test(a_pull_of_many_volumes_takes_several_pages),
		cmocka_unit_test(leases_follow_their_slots_and_leave_nothing_behind),
		cmocka_unit_test(who_made_a_lease_learns_of_a_newer_one_made_elsewhere),
		cmocka_unit_test(who_made_a_lease_learns_that_its_volume_has_ended),
		cmocka_unit_test(an_end_that_no_owner_knows_is_not_done),
	};

	return suite_run(tests);
}
