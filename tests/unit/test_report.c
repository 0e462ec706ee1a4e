/* report: what a running node says of its ring.  SEED=n replays. */
#include <string.h>

#include "dht/net/report.h"
#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

#define NODES 5u

static uint64_t seed;

static int begin(void **state)
{
	(void)state;
	seed = suite_seed(7);
	return 0;
}

static void a_ring_in_which_all_is_well_says_so(void **state)
{
	struct netkit *k = netkit_ring(NODES, seed);
	struct report_ring r;
	unsigned int mine = 0;

	(void)state;
	for (unsigned int i = 0; i < NODES; i++) {
		report_ring(k->node[i].node, &r);
		assert_true(address_equal(&r.id, &k->node[i].id));
		assert_int_equal(r.state, REPORT_HERE);
		assert_int_equal(r.members, NODES);
		assert_int_equal(r.down + r.suspects + r.draining + r.gone, 0);
		assert_int_equal(r.replicas, 3);
		assert_int_equal(r.owned[3], RING_SLOTS);
		assert_int_equal(r.cover[0], 3);
		assert_int_equal(r.incomplete, 0);
		assert_int_equal(r.foreign, 0);
		assert_false(r.rests);
		mine += r.mine;
	}
	assert_int_equal(mine, 3 * RING_SLOTS);
	netkit_free(k);
}

static void members_come_in_pages_with_all_that_is_known(void **state)
{
	struct netkit *k = netkit_ring(NODES, seed);
	struct report_member m[2];
	struct address last;
	unsigned int seen = 0, self = 0, slots = 0;
	size_t n;

	(void)state;
	while ((n = report_members(k->node[1].node, seen > 0 ? &last : NULL, m, 2)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (seen > 0)
				assert_true(address_compare(&last, &m[i].id) < 0);
			last = m[i].id;
			seen++;
			self += m[i].self;
			slots += m[i].slots;
			assert_int_equal(m[i].state, MEMBER_HERE);
			assert_int_equal(m[i].weight, 1);
			assert_memory_equal(m[i].address[0], "node:", 5);
			assert_true(m[i].self || (m[i].heard && !m[i].down && m[i].heard_us < 60 * S));
		}
	}
	assert_int_equal(seen, NODES);
	assert_int_equal(self, 1);
	assert_int_equal(slots, 3 * RING_SLOTS);
	netkit_free(k);
}

static void who_is_down_costs_copies_until_he_is_back(void **state)
{
	struct netkit *k = netkit_ring(NODES, seed);
	struct report_member m[NODES];
	struct report_ring r;
	unsigned int down = 0;

	(void)state;
	netkit_crash(k, 2);
	netkit_run(k, 60 * S);
	report_ring(k->node[0].node, &r);
	assert_int_equal(r.down, 1);
	assert_int_equal(r.owned[3] + r.owned[2], RING_SLOTS);
	assert_true(r.owned[2] > RING_SLOTS / 2);
	assert_int_equal(r.cover[5], 2);
	assert_int_equal(report_members(k->node[0].node, NULL, m, NODES), NODES);
	for (unsigned int i = 0; i < NODES; i++) {
		down += m[i].down;
		assert_int_equal(m[i].down, address_equal(&m[i].id, &k->node[2].id));
		assert_true(!m[i].down || (m[i].down_us > 30 * S && m[i].heard_us > m[i].down_us));
	}
	assert_int_equal(down, 1);
	netkit_start(k, 2);
	assert_true(netkit_settle(k));
	netkit_run(k, 10 * S);
	report_ring(k->node[0].node, &r);
	assert_int_equal(r.owned[3], RING_SLOTS);
	netkit_free(k);
}

static void drains_and_maintenance_are_told(void **state)
{
	struct command drain = { .kind = COMMAND_DRAIN, .count = 1 };
	struct command rest = { .kind = COMMAND_MAINTENANCE, .timeout = 600 * S };
	struct netkit *k = netkit_ring(NODES, seed);
	struct report_member m[NODES];
	struct report_ring r;

	(void)state;
	assert_int_equal(netkit_ask(k, 3, &drain)->result, 0);
	assert_int_equal(netkit_ask(k, 0, &rest)->result, 0);
	netkit_run(k, 20 * S);
	report_ring(k->node[3].node, &r);
	assert_int_equal(r.state, REPORT_DRAINS);
	assert_int_equal(r.mine, 0);
	assert_int_equal(r.draining, 1);
	report_ring(k->node[1].node, &r);
	assert_int_equal(r.draining, 1);
	assert_true(r.rests && r.rest_s > 500 && r.rest_s < 600);
	report_members(k->node[1].node, NULL, m, NODES);
	for (unsigned int i = 0; i < NODES; i++) {
		bool drained = address_equal(&m[i].id, &k->node[3].id);

		assert_int_equal(m[i].state, drained ? MEMBER_DRAINING : MEMBER_HERE);
		assert_true(drained ? m[i].slots == 0 : m[i].slots > m[i].slots_before);
	}
	netkit_free(k);
}

static void a_repair_that_is_asked_for_compares_with_all_at_once(void **state)
{
	struct command repair = { .kind = COMMAND_REPAIR };
	struct netkit *k = netkit_ring(NODES, seed);
	struct report_ring r;

	(void)state;
	netkit_run(k, 60 * S);
	report_ring(k->node[0].node, &r);
	assert_int_equal(r.pairs, NODES - 1);
	assert_int_equal(r.comparing + r.due, 0);
	netkit_command(k, 0, &repair);
	report_ring(k->node[0].node, &r);
	assert_int_equal(r.comparing + r.due, NODES - 1);
	netkit_run(k, 10 * S);
	report_ring(k->node[0].node, &r);
	assert_int_equal(r.comparing + r.due, 0);
	netkit_free(k);
}

static void who_owns_an_address_is_the_same_everywhere(void **state)
{
	struct netkit *k = netkit_ring(NODES, seed);
	struct address a = { { 0x5a } }, first[NODES], other[NODES];
	unsigned int replicas;

	(void)state;
	assert_int_equal(report_owners(k->node[0].node, &a, first, NODES, &replicas), NODES);
	assert_int_equal(replicas, 3);
	assert_int_equal(report_owners(k->node[4].node, &a, other, NODES, &replicas), NODES);
	assert_memory_equal(first, other, sizeof(first));
	for (unsigned int i = 0; i < NODES; i++) {
		bool owner = false;

		for (unsigned int j = 0; j < 3; j++)
			owner |= address_equal(&first[j], &k->node[i].id);
		assert_int_equal(owner, netkit_owns(k, i, ring_slot(&a)));
	}
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_in_which_all_is_well_says_so),
		cmocka_unit_test(members_come_in_pages_with_all_that_is_known),
		cmocka_unit_test(who_is_down_costs_copies_until_he_is_back),
		cmocka_unit_test(drains_and_maintenance_are_told),
		cmocka_unit_test(a_repair_that_is_asked_for_compares_with_all_at_once),
		cmocka_unit_test(who_owns_an_address_is_the_same_everywhere),
	};

	return suite_run_with(tests, begin, NULL);
}
