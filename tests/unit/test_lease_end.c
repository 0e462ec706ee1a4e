/* The end of a volume takes its leases away, for ever: rule 4 of lease.h. */
#include <errno.h>
#include <string.h>

#include "tests/lib/leasekit.h"
#include "tests/lib/suite.h"

static void insert(struct netkit *k, unsigned int at, const struct volumekit *v, const char *text, struct address *out)
{
	struct command c = { .kind = COMMAND_INSERT, .chunk_kind = KIND_DATA, .volume = v->id, .acks = 2 };

	address_of(KIND_DATA, text, strlen(text), out);
	c.address = *out;
	c.chunk = chunk_copy(text, strlen(text));
	assert_int_equal(netkit_ask(k, at, &c)->result, 0);
	chunk_drop(c.chunk);
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
	v.slot = ring_slot(&a);
	away = netkit_nth(k, v.slot, true, 1);
	writer = netkit_nth(k, v.slot, false, 0);
	assert_int_equal(leasekit_result(k, leasekit_start(k, writer, &v, 1, &a, 1, 10 * S), 11 * S), 0);
	netkit_run(k, 60 * S);
	assert_true(k->node[away].disk.catalogue.state(&k->node[away].disk.catalogue, &a) & STATE_LEASED);
	netkit_crash(k, away);
	assert_int_equal(volumekit_retire(k, netkit_nth(k, v.slot, true, 0), &v), 0);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 5; i++)
		if (i != away) {
			assert_int_equal(leasekit_seq(k, i, &v), 0);
			assert_int_equal(netkit_rows(k, i, ROW_RETIRED), 1);
		}
	assert_int_equal(leasekit_make(k, writer, &v, 2, 100, 3), -EKEYREVOKED);
	assert_int_equal(leasekit_seq(k, away, &v), 1);
	netkit_start(k, away);
	netkit_run(k, 900 * (uint64_t)S);
	assert_int_equal(leasekit_seq(k, away, &v), 0);
	assert_int_equal(netkit_rows(k, away, ROW_RETIRED), 1);
	for (unsigned int i = 0; i < 5; i++) {
		netkit_restart(k, i);
		assert_int_equal(leasekit_seq(k, i, &v), 0);
	}
	netkit_run(k, 60 * S);
	assert_int_equal(leasekit_make(k, away, &v, 3, 100, 3), -EKEYREVOKED);
	assert_int_equal(volumekit_retire(k, away, &v), 0);
	netkit_free(k);
}

static void whoever_missed_the_end_learns_it_when_he_sends_a_lease(void **state)
{
	struct netkit *k = netkit_ring(5, 6);
	struct volumekit v;
	unsigned int away = netkit_nth(k, VOLUMEKIT_SLOT, false, 0);

	(void)state;
	volumekit_make(k, 6, &v);
	netkit_crash(k, away);
	assert_int_equal(volumekit_retire(k, netkit_nth(k, v.slot, true, 0), &v), 0);
	netkit_start(k, away);
	netkit_run(k, 30 * S);
	assert_int_equal(netkit_rows(k, away, ROW_RETIRED), 0);
	assert_int_equal(leasekit_make(k, away, &v, 1, 100, 3), -EKEYREVOKED);
	netkit_run(k, 30 * S);
	assert_int_equal(netkit_rows(k, away, ROW_RETIRED), 1);
	assert_int_equal(leasekit_seq(k, away, &v), 0);
	netkit_free(k);
}

static void who_made_a_lease_learns_that_its_volume_has_ended(void **state)
{
	struct netkit *k = netkit_ring(6, 23);
	struct volumekit v;
	unsigned int maker;

	(void)state;
	volumekit_make(k, 43, &v);
	maker = netkit_nth(k, v.slot, false, 0);
	assert_int_equal(leasekit_make(k, maker, &v, 1, 100, 3), 0);
	netkit_run(k, 60 * S);
	netkit_crash(k, maker);
	assert_int_equal(volumekit_retire(k, netkit_nth(k, v.slot, true, 0), &v), 0);
	netkit_start(k, maker);
	netkit_run(k, 60 * S);
	assert_int_equal(leasekit_seq(k, maker, &v), 1);
	for (unsigned int i = 0; i < 7; i++) {
		k->now += DELETE_EPOCH / 6;
		netkit_run(k, 20 * S);
	}
	assert_int_equal(leasekit_seq(k, maker, &v), 0);
	assert_int_equal(netkit_rows(k, maker, ROW_RETIRED), 1);
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
	v.slot = ring_slot(&a);
	other = netkit_nth(k, v.slot, false, 0);
	for (unsigned int i = 0; i < 3; i++)
		owner[i] = netkit_nth(k, v.slot, true, i);
	assert_int_equal(leasekit_result(k, leasekit_start(k, netkit_nth(k, v.slot, false, 1), &v, 1, &a, 1, 10 * S), 11 * S), 0);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 3; i++)
		netkit_crash(k, owner[i]);
	assert_int_equal(volumekit_retire(k, other, &v), -EAGAIN);
	netkit_start(k, owner[0]);
	netkit_run(k, 60 * S);
	/* One of each slot's is enough: the others learn it from him. */
	assert_int_equal(volumekit_retire(k, other, &v), 0);
	for (unsigned int i = 1; i < 3; i++)
		netkit_start(k, owner[i]);
	netkit_run(k, 900 * (uint64_t)S);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(leasekit_seq(k, owner[i], &v), 0);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_for_ever_and_reaches_who_was_away),
		cmocka_unit_test(whoever_missed_the_end_learns_it_when_he_sends_a_lease),
		cmocka_unit_test(who_made_a_lease_learns_that_its_volume_has_ended),
		cmocka_unit_test(an_end_that_no_owner_knows_is_not_done),
	};

	return suite_run(tests);
}
