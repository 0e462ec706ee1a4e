/* Owners of one slot make their leases agree, and who made a lease of another slot follows: lease.h, agreement. */
#include "tests/lib/leasekit.h"
#include "tests/lib/suite.h"

static struct leasekit_pull pull(struct netkit *k, unsigned int at, unsigned int from)
{
	struct leasekit_pull x;

	leasekit_pull_start(k, at, from, VOLUMEKIT_SLOT, &x);
	leasekit_pull_end(k, &x);
	return x;
}

static void a_pull_makes_both_sides_agree(void **state)
{
	struct netkit *k = netkit_ring(3, 18);
	struct volumekit v[5];
	struct leasekit_pull x;
	unsigned int first, count;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		volumekit_make(k, 20 + i, &v[i]);
	leasekit_put_some(k, 0, &v[0], 3, 100, 3000);	/* only here */
	leasekit_put_some(k, 1, &v[1], 4, 200, 3000);	/* only there */
	leasekit_put_some(k, 0, &v[2], 5, 300, 3);	/* newer here */
	leasekit_put_some(k, 1, &v[2], 4, 400, 3);
	leasekit_put_some(k, 0, &v[3], 5, 500, 3);	/* newer there */
	leasekit_put_some(k, 1, &v[3], 6, 600, 3);
	leasekit_put_some(k, 0, &v[4], 7, 700, 3);	/* alike */
	leasekit_put_some(k, 1, &v[4], 7, 700, 3);
	x = pull(k, 0, 1);
	assert_int_equal(x.result, 0);
	assert_true(x.pull.complete);
	assert_false(x.pull.conflict);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(leasekit_stored(k, i, &v[0], &first, &count), 3);
		assert_int_equal(count, 3000);
		assert_int_equal(leasekit_stored(k, i, &v[1], &first, &count), 4);
		assert_int_equal(leasekit_stored(k, i, &v[2], &first, &count), 5);
		assert_int_equal(first, 300);
		assert_int_equal(leasekit_stored(k, i, &v[3], &first, &count), 6);
		assert_int_equal(first, 600);
		assert_int_equal(leasekit_stored(k, i, &v[4], &first, &count), 7);
	}
	netkit_free(k);
}

static void a_pull_tells_of_two_with_one_number(void **state)
{
	struct netkit *k = netkit_ring(3, 19);
	struct volumekit v;
	struct leasekit_pull x;
	unsigned int first;

	(void)state;
	volumekit_make(k, 30, &v);
	leasekit_put_some(k, 0, &v, 3, 100, 3);
	leasekit_put_some(k, 1, &v, 3, 200, 3);
	x = pull(k, 0, 1);
	assert_int_equal(x.result, 0);
	assert_true(x.pull.conflict);
	assert_int_equal(leasekit_stored(k, 0, &v, &first, NULL), 3);
	assert_int_equal(first, 100);
	assert_int_equal(leasekit_stored(k, 1, &v, &first, NULL), 3);
	assert_int_equal(first, 200);
	netkit_free(k);
}

/* A lost disk is filled from all other owners at once. */
static void two_pulls_of_one_slot_at_a_time_are_both_done(void **state)
{
	struct netkit *k = netkit_ring(3, 25);
	struct volumekit v[3];
	struct leasekit_pull x[2];
	unsigned int first;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		volumekit_make(k, 50 + i, &v[i]);
		for (unsigned int node = 1; node < 3; node++)
			leasekit_put_some(k, node, &v[i], 3, 100 * i, 3);
	}
	leasekit_put_some(k, 2, &v[1], 4, 900, 3);
	for (unsigned int i = 0; i < 2; i++)
		leasekit_pull_start(k, 0, 1 + i, VOLUMEKIT_SLOT, &x[i]);
	for (unsigned int i = 0; i < 2; i++) {
		leasekit_pull_end(k, &x[i]);
		assert_int_equal(x[i].result, 0);
	}
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(leasekit_stored(k, 0, &v[i], &first, NULL), i == 1 ? 4 : 3);
	netkit_free(k);
}

static void so_many_addresses_are_pulled_at_a_time(void **state)
{
	enum { PULLS = LEASES_PULLED_MAX / LEASE_ADDRESSES_MAX + 1 };
	struct netkit *k = netkit_ring(2, 27);
	const struct leases *l = k->node[0].node->leases;
	struct leasekit_pull x[PULLS];
	uint32_t most = 0;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 70, &v);
	for (unsigned int i = 0; i < PULLS; i++) {
		v.slot = VOLUMEKIT_SLOT + i;
		leasekit_put_some(k, 1, &v, 1, 0, LEASE_ADDRESSES_MAX);
		leasekit_pull_start(k, 0, 1, v.slot, &x[i]);
	}
	for (unsigned int i = 0; i < 100; i++) {
		netkit_run(k, 1 * MS);
		most = l->pulled > most ? l->pulled : most;
	}
	assert_int_equal(most, LEASES_PULLED_MAX);
	for (unsigned int i = 0; i < PULLS; i++) {
		leasekit_pull_end(k, &x[i]);
		assert_int_equal(x[i].result, 0);
		v.slot = VOLUMEKIT_SLOT + i;
		assert_int_equal(leasekit_seq(k, 0, &v), 1);
	}
	assert_int_equal(l->pulled, 0);
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
	leasekit_put_some(k, 1, &v[0], 1, 100, LEASE_ALONG);
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_int_equal(addresses_asked_for, 0);
	leasekit_put_some(k, 1, &v[0], 2, 200, LEASE_ALONG + 1);
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_int_equal(addresses_asked_for, 1);
	assert_int_equal(leasekit_stored(k, 0, &v[0], &first, &count), 2);
	assert_int_equal(first, 200);
	assert_int_equal(count, LEASE_ALONG + 1);
	/* Of two one could not tell whose they are. */
	leasekit_put_some(k, 1, &v[0], 3, 300, 1);
	leasekit_put_some(k, 1, &v[1], 3, 400, 1);
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_int_equal(addresses_asked_for, 3);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(leasekit_stored(k, 0, &v[i], &first, NULL), 3);
	netkit_free(k);
}

static struct volumekit *renewed;

/* The peer gets a newer lease just before its addresses are asked for. */
static bool renew(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)from;
	if (m->type == WIRE_LEASED && renewed) {
		leasekit_put_some(k, to, renewed, 4, 500, 5);
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
	leasekit_put_some(k, 1, &v, 3, 100, LEASE_ALONG + 1);
	renewed = &v;
	k->filter = renew;
	assert_int_equal(pull(k, 0, 1).result, 0);
	assert_null(renewed);
	assert_int_equal(leasekit_stored(k, 0, &v, &first, &count), 4);
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
		leasekit_put_some(k, i % 3 == 0, &v, 1, i, 1);
	}
	assert_int_equal(pull(k, 0, 1).result, 0);
	for (unsigned int i = 0; i < 700; i++) {
		volumekit_make(k, 2000 + i, &v);
		assert_int_equal(leasekit_seq(k, 0, &v), 1);
		assert_int_equal(leasekit_seq(k, 1, &v), 1);
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
	assert_int_equal(leasekit_make(k, 0, &v, 1, 100, 3), 0);
	for (unsigned int i = 3; i < 9; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	netkit_run(k, 3600 * (uint64_t)S);
	for (unsigned int i = 0; i < 9; i++) {
		/* The node at which it was made keeps it. */
		assert_int_equal(leasekit_seq(k, i, &v), i == 0 || netkit_owns(k, i, v.slot));
		owners += netkit_owns(k, i, v.slot);
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
	a = netkit_nth(k, v.slot, false, 0);
	b = netkit_nth(k, v.slot, false, 1);
	assert_int_equal(leasekit_make(k, a, &v, 1, 100, 3), 0);
	assert_int_equal(leasekit_make(k, b, &v, 2, 200, 3), 0);
	assert_int_equal(leasekit_make(k, b, &other, 1, 300, 3), 0);
	netkit_run(k, 60 * S);
	assert_int_equal(leasekit_seq(k, a, &v), 1);
	for (unsigned int i = 0; i < 7; i++) {
		k->now += DELETE_EPOCH / 6;
		netkit_run(k, 20 * S);
	}
	assert_int_equal(leasekit_stored(k, a, &v, &first, NULL), 2);
	assert_int_equal(first, 200);
	assert_int_equal(leasekit_seq(k, a, &other), 0);	/* no affair of ours */
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pull_makes_both_sides_agree),
		cmocka_unit_test(a_pull_tells_of_two_with_one_number),
		cmocka_unit_test(two_pulls_of_one_slot_at_a_time_are_both_done),
		cmocka_unit_test(so_many_addresses_are_pulled_at_a_time),
		cmocka_unit_test(few_addresses_go_along_with_the_list),
		cmocka_unit_test(a_lease_that_is_renewed_while_it_is_pulled_comes_all_the_same),
		cmocka_unit_test(a_pull_of_many_volumes_takes_several_pages),
		cmocka_unit_test(leases_follow_their_slots_and_leave_nothing_behind),
		cmocka_unit_test(who_made_a_lease_learns_of_a_newer_one_made_elsewhere),
	};

	return suite_run(tests);
}
