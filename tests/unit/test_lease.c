/* The numbered rules of lease.h but that of ends, when a lease counts, and bounds. */
#include <errno.h>
#include <string.h>

#include "dht/net/lease_send.h"
#include "tests/lib/leasekit.h"
#include "tests/lib/suite.h"

/* The ${rank}-th node that is an owner of the slot, or that is none. */
static unsigned int nth(struct netkit *k, bool owner, unsigned int rank)
{
	return netkit_nth(k, VOLUMEKIT_SLOT, owner, rank);
}

/* ---- what a lease is ---- */

static void the_addresses_must_be_those_that_were_signed(void **state)
{
	struct netkit *k = netkit_new(1, 1);
	struct address a[4], moved[4], other;
	struct lease l = { .slot = VOLUMEKIT_SLOT, .count = 4 };

	(void)state;
	volumekit_addresses(VOLUMEKIT_SLOT, 10, 4, a);
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
	volumekit_addresses(VOLUMEKIT_SLOT + 1, 0, 1, &other);
	moved[2] = a[2];
	moved[3] = other;
	lease_root(moved, 4, &l.root);
	assert_int_equal(lease_check(&l, moved, 4), -EBADMSG);
	l.count = LEASE_ADDRESSES_MAX + 1;
	assert_int_equal(lease_check(&l, a, 4), -E2BIG);
	netkit_free(k);
}

static void one_that_was_verified_lately_is_refused_when_a_byte_differs(void **state)
{
	struct netkit *k = netkit_ring(3, 1);
	struct node *n = k->node[0].node;
	struct volumekit v;
	struct chunk *blob;
	struct address a[2];
	uint8_t bytes[SIGNED_MAX];
	struct lease l;

	(void)state;
	volumekit_make(k, 2, &v);
	volumekit_addresses(v.slot, 10, 2, a);
	blob = volumekit_lease(&v, v.slot, 5, a, 2);
	for (size_t i = 0; i < blob->len; i++) {
		assert_int_equal(lease_open(n, blob->data, blob->len, &l), 0);
		assert_int_equal(l.seq, 5);
		memcpy(bytes, blob->data, blob->len);
		bytes[i] ^= 1;
		assert_int_equal(lease_open(n, bytes, blob->len, &l), -EBADMSG);
	}
	chunk_drop(blob);
	netkit_free(k);
}

/* Its number says that it is newer than all others. */
static void one_that_rotted_on_the_disk_rules_nothing(void **state)
{
	struct netkit *k = netkit_ring(1, 1);
	struct catalogue_lease row = { .slot = VOLUMEKIT_SLOT, .seq = 99 };
	struct effect e = { .kind = EFFECT_LEASE, .lease = &row };
	struct event done;
	struct volumekit v;
	uint8_t *bytes;

	(void)state;
	volumekit_make(k, 2, &v);
	row.volume = v.id;
	row.blob = volumekit_lease(&v, v.slot, row.seq, NULL, 0);
	bytes = (uint8_t *)(uintptr_t)row.blob->data;
	bytes[row.blob->len - 1] ^= 1;
	memory_catalogue_apply(&k->node[0].disk, &e, &done);
	assert_int_equal(done.result, 0);
	chunk_drop(row.blob);
	assert_int_equal(leasekit_make(k, 0, &v, 5, 100, 3), 0);
	assert_int_equal(leasekit_seq(k, 0, &v), 5);
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
	assert_int_equal(leasekit_make(k, 0, &v, 5, 100, 3), 0);
	assert_int_equal(leasekit_make(k, 0, &v, 5, 100, 3), 0);
	assert_int_equal(leasekit_make(k, 1, &v, 4, 200, 9), -ESTALE);
	assert_int_equal(leasekit_make(k, 0, &v, 7, 300, 2), 0);
	netkit_run(k, S);
	for (unsigned int i = 0; i < 5; i++)
		if (netkit_owns(k, i, v.slot)) {
			assert_int_equal(leasekit_stored(k, i, &v, &first, &count), 7);
			assert_int_equal(first, 300);
			assert_int_equal(count, 2);
		}
	/* Nothing is a lease, too. */
	assert_int_equal(leasekit_make(k, 0, &v, 8, 0, 0), 0);
	netkit_run(k, S);
	assert_int_equal(leasekit_stored(k, nth(k, true, 0), &v, NULL, &count), 8);
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
	assert_int_equal(leasekit_make(k, nth(k, true, 0), &v, 5, 100, 3), 0);
	assert_int_equal(leasekit_make(k, nth(k, false, 0), &v, 5, 200, 3), -EUCLEAN);
	netkit_run(k, S);
	for (unsigned int i = 0; i < 5; i++)
		if (netkit_owns(k, i, v.slot)) {
			assert_int_equal(leasekit_stored(k, i, &v, &first, NULL), 5);
			assert_int_equal(first, 100);
			assert_true(said[i] > 0);
			said[i] = 0;
		}
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(leasekit_make(k, nth(k, false, i % 2), &v, 5, 200, 3), -EUCLEAN);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(!netkit_owns(k, i, v.slot) || said[i] == 0);
	netkit_run(k, LEASE_WARN_EVERY);
	assert_int_equal(leasekit_make(k, nth(k, false, 0), &v, 5, 200, 3), -EUCLEAN);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(!netkit_owns(k, i, v.slot) || said[i] == 1);
	assert_int_equal(leasekit_make(k, nth(k, false, 0), &v, 6, 400, 3), 0);
	netkit_run(k, S);
	assert_int_equal(leasekit_stored(k, nth(k, true, 1), &v, &first, NULL), 6);
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
	assert_int_equal(leasekit_make(k, writer, &v, 1, 100, 3), 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, writer);
	netkit_run(k, 3600 * (uint64_t)S);
	for (unsigned int i = 0; i < 5; i++)
		if (i != writer)
			netkit_restart(k, i);
	netkit_run(k, 3600 * (uint64_t)S);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(leasekit_seq(k, i, &v), i == writer || netkit_owns(k, i, v.slot));
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
		uint64_t ticket;

		volumekit_make(k, 7, &v);
		for (unsigned int j = 0; j < hang; j++)
			hangs[nth(k, true, j)] = true;
		k->user = hangs;
		k->effect = no_lease_is_stored;
		ticket = leasekit_start_some(k, nth(k, false, 0), &v, 1, 100, 3, 25 * S);
		assert_int_equal(leasekit_result(k, ticket, 30 * S), hang == 1 ? 0 : -ETIMEDOUT);
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
	assert_int_equal(leasekit_make(k, writer, &v, 1, 100, 3), 0);
	netkit_run(k, 5 * S);
	assert_int_equal(netkit_rows(k, writer, ROW_LEASING), 1);
	netkit_restart(k, writer);
	netkit_run(k, 60 * S);
	assert_int_equal(netkit_rows(k, writer, ROW_LEASING), 1);
	assert_int_equal(leasekit_seq(k, away, &v), 0);
	netkit_start(k, away);
	netkit_run(k, 60 * S);
	assert_int_equal(leasekit_seq(k, away, &v), 1);
	assert_int_equal(netkit_rows(k, writer, ROW_LEASING), 0);
	assert_int_equal(leasekit_seq(k, writer, &v), 1);
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
	leasekit_start_some(k, writer, &v, 1, 100, 3, S);
	netkit_run(k, 3 * S);
	assert_int_equal(leasekit_seq(k, writer, &v), 1);
	netkit_crash(k, writer);
	netkit_cut_off(k, writer, false);
	netkit_start(k, writer);
	netkit_run(k, 120 * S);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(leasekit_seq(k, i, &v), i == writer || netkit_owns(k, i, v.slot));
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
		assert_int_equal(leasekit_make(k, r.from, &v, 1, i, 1), 0);
	}
	netkit_run(k, 5 * S);
	assert_int_equal(netkit_rows(k, r.from, ROW_LEASING), 3 * LEASES_RESENT_MAX);
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
	assert_int_equal(netkit_rows(k, r.from, ROW_LEASING), 0);
	for (unsigned int i = 0; i < 3 * LEASES_RESENT_MAX; i++) {
		volumekit_make(k, 300 + i, &v);
		assert_int_equal(leasekit_seq(k, r.to, &v), 1);
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
	assert_int_equal(leasekit_make(k, 0, &v, 1, 0, LEASE_ADDRESSES_MAX + 1), -E2BIG);
	assert_int_equal(leasekit_make(k, 0, &v, 1, 0, LEASE_ADDRESSES_MAX), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(leasekit_stored(k, i, &v, NULL, &count), 1);
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
		ticket[i] = leasekit_start_some(k, i % 9, &v, 1, 0, 5 * WIRE_ADDRESSES_MAX, 60 * S);
	}
	for (unsigned int i = 0; i < 27; i++)
		assert_int_equal(leasekit_result(k, ticket[i], 61 * S), 0);
	assert_int_equal(most, LEASES_COLLECTED_MAX);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(k->node[i].node->leases->collected, 0);
	netkit_free(k);
}

static void a_slot_has_room_for_so_many_volumes(void **state)
{
	struct netkit *k = netkit_ring(3, 17);
	struct volumekit v;

	(void)state;
	for (unsigned int i = 0; i < LEASE_VOLUMES_MAX; i++) {
		volumekit_make(k, 1000 + i, &v);
		leasekit_put_some(k, 0, &v, 1, 0, 0);
	}
	assert_int_equal(leasekit_make(k, 0, &v, 2, 0, 1), 0);	/* one that is there already */
	volumekit_make(k, 1, &v);
	assert_int_equal(leasekit_make(k, 0, &v, 1, 0, 1), -ENOSPC);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_addresses_must_be_those_that_were_signed),
		cmocka_unit_test(one_that_was_verified_lately_is_refused_when_a_byte_differs),
		cmocka_unit_test(one_that_rotted_on_the_disk_rules_nothing),
		cmocka_unit_test(a_higher_number_supersedes_and_a_lower_is_old),
		cmocka_unit_test(of_two_with_one_number_the_first_stays_until_a_higher_one),
		cmocka_unit_test(no_absence_takes_a_lease_away),
		cmocka_unit_test(a_majority_must_have_it_durably),
		cmocka_unit_test(the_note_outlives_a_restart_and_goes_when_all_have_it),
		cmocka_unit_test(what_was_stored_here_alone_is_sent_after_a_restart),
		cmocka_unit_test(what_an_owner_lacks_is_sent_few_at_a_time_and_ever_less_often),
		cmocka_unit_test(the_greatest_lease_arrives_whole),
		cmocka_unit_test(leases_by_parts_are_bounded_and_all_arrive),
		cmocka_unit_test(a_slot_has_room_for_so_many_volumes),
	};

	return suite_run(tests);
}
