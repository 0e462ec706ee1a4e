/* A fetch from the ring: whom it asks, and when it asks a second one. */
#include "tests/unit/fetch_test.h"

/* ---- whom it asks ---- */

static void what_is_here_is_asked_of_nobody(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	kit_keep(k, &a, c, STATE_CACHED);
	t = fetch(1 * S);
	assert_bytes(t, c);
	assert_int_equal(gets(), 0);
	finish();
}

static void the_cheapest_owner_is_asked_and_no_other(void **state)
{
	(void)state;
	for (unsigned int cheapest = 0; cheapest < 3; cheapest++) {
		uint64_t t;

		begin(5, false);
		all_have_it();
		owner[cheapest]->latency = owner[cheapest]->peer.latency = 2 * MS;
		t = fetch(1 * S);
		kit_run(k, 2 * MS);
		assert_bytes(t, c);
		assert_int_equal(owner[cheapest]->gets, 1);
		assert_int_equal(gets(), 1);
		assert_int_equal(k->node->status.reads_one_trip, 1);
		assert_int_equal(k->node->status.reads, 1);
		finish();
	}
}

static void one_whose_oldest_request_is_old_is_dear(void **state)
{
	struct address other;
	struct chunk *first;
	uint64_t t;

	(void)state;
	begin(3, false);		/* with three others each owns nearly all */
	all_have_it();
	owner[0]->ways = KIT_SILENT;
	first = kit_find(k, false, 2, &other);
	kit_command(k, COMMAND_FETCH, &other, NULL, 0, 1 * S);
	chunk_drop(first);
	assert_int_equal(owner[0]->gets, 1);
	kit_run(k, 8 * MS);		/* longer than the second one takes */
	t = fetch(1 * S);
	assert_int_equal(owner[0]->gets, 1);
	kit_run(k, 20 * MS);
	assert_bytes(t, c);
	finish();
}

static void owners_that_are_down_are_not_asked(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->ways = KIT_DOWN;
	owner[1]->ways = KIT_UNREACHABLE;
	t = fetch(1 * S);
	kit_run(k, 9 * MS);
	assert_bytes(t, c);
	assert_int_equal(gets(), 1);
	finish();
}

static void after_a_miss_the_next_owner_is_asked(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	kit_take(owner[0], &a);
	kit_take(owner[1], &a);
	t = fetch(1 * S);
	kit_run(k, 21 * MS);
	assert_bytes(t, c);
	assert_int_equal(k->node->status.reads_one_trip, 0);
	finish();
}

/* It would seem the fastest of all: it need not read anything. */
static void one_that_has_nothing_is_not_asked_first_again(void **state)
{
	struct kit_peer *fast;
	uint64_t t;

	(void)state;
	begin(3, false);		/* with three others each owns nearly all */
	all_have_it();
	fast = owner[0];
	fast->latency = fast->peer.latency = 100;
	kit_take(fast, &a);
	t = fetch(1 * S);
	kit_run(k, 50 * MS);
	assert_bytes(t, c);
	assert_int_equal(fast->gets, 1);
	assert_int_equal(fast->peer.latency, 100 + 7 * MS);
	another(false, 2);
	for (unsigned int i = 0; i < 3; i++)
		kit_give(owner[i], &a, c);
	t = fetch(1 * S);
	kit_run(k, 50 * MS);
	assert_bytes(t, c);
	assert_int_equal(fast->gets, 1);
	assert_int_equal(gets(), 3);
	finish();
}

static void those_behind_the_owners_are_asked_when_no_owner_has_it(void **state)
{
	(void)state;
	for (unsigned int i = 3; i < 3 + FETCH_SPARES; i++) {
		uint64_t t;

		begin(24, false);
		kit_give(kit_walk(k, &a, i), &a, c);
		t = fetch(1 * S);
		kit_run(k, 100 * MS);
		assert_bytes(t, c);
		finish();
	}
}

static void so_many_of_them_are_asked_at_a_time(void **state)
{
	(void)state;
	begin(24, false);
	for (unsigned int i = 0; i < 24; i++)
		k->peer[i].peer.latency_p95 = 1 * S;
	kit_walk(k, &a, 3)->latency = 50 * MS;
	kit_walk(k, &a, 4)->latency = 20 * MS;
	kit_walk(k, &a, 5)->latency = 50 * MS;
	fetch(1 * S);
	kit_run(k, 15 * MS);		/* the owners, one after the other */
	assert_int_equal(gets(), 3 + FETCH_ASKS);
	kit_run(k, 20 * MS - 1);
	assert_int_equal(gets(), 3 + FETCH_ASKS);
	kit_run(k, 1);
	assert_int_equal(gets(), 3 + FETCH_ASKS + 1);
	finish();
}

static void while_slots_move_the_owners_before_are_asked(void **state)
{
	bool apart = false;
	uint64_t t;

	(void)state;
	/* A chunk that has quite other owners now, and none of those before is near on the walk. */
	for (uint64_t seed = 1; !apart; seed++) {
		k = kit_start(5, 3);
		c = kit_find(k, false, seed, &a);
		kit_owners(k, &a, owner);
		for (unsigned int i = 0; i < 3; i++)
			kit_give(owner[i], &a, c);
		kit_table(k, 80, true);
		apart = !placement_mine(k->node, ring_slot(&a));
		for (unsigned int i = 0; i < 3 + FETCH_SPARES; i++)
			apart = apart && !kit_has(kit_walk(k, &a, i), &a);
		if (!apart)
			finish();
	}
	t = fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_bytes(t, c);
	finish();
}

/* ---- the second request ---- */

/* A chunk of a ring of R = 8 that has quite other owners now than under either of the two tables before.  Returns who is asked
 * first of those. */
static struct kit_peer *begin_thrice(void)
{
	struct peer *seen[3 * RING_REPLICAS_MAX];
	unsigned int count = 0;

	k = kit_start(10, RING_REPLICAS_MAX);
	kit_table(k, 30, true);
	kit_table(k, 90, true);
	for (uint64_t seed = 1; count < 3 * RING_REPLICAS_MAX; seed++) {
		const struct ring *rings[] = { k->ring, k->earlier[0], k->earlier[1] };

		chunk_drop(c);
		c = kit_chunk(seed, 100, &a);
		count = 0;
		for (unsigned int i = 0; i < 3 * RING_REPLICAS_MAX; i++) {
			const struct ring *r = rings[i / RING_REPLICAS_MAX];
			unsigned int m = ring_owners(r, ring_slot(&a))[i % RING_REPLICAS_MAX];
			bool fresh = (seen[count] = peer_find(k->node, &r->member[m].id)) != NULL;

			for (unsigned int s = 0; s < count; s++)
				fresh = fresh && seen[s] != seen[count];
			count += fresh;
		}
	}
	kit_owners(k, &a, owner);
	return (struct kit_peer *)(void *)seen[RING_REPLICAS_MAX];
}

static void so_many_are_asked_in_one_round_and_no_more(void **state)
{
	struct kit_peer *late;

	(void)state;
	c = NULL;
	late = begin_thrice();
	late->latency = 9 * S;
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].ways = KIT_INCOMPLETE;
	owner[0]->ways = KIT_UNREACHABLE;
	fetch(60 * S);
	while (gets() < 3 * RING_REPLICAS_MAX)
		kit_run(k, 1 * MS);
	/* When it is noticed that one is late, an owner is back. */
	owner[0]->ways = KIT_INCOMPLETE;
	kit_run(k, 1 * S);
	assert_int_equal(gets(), 3 * RING_REPLICAS_MAX);
	assert_int_equal(owner[0]->gets, 0);
	/* In the next one it is. */
	kit_run(k, 12 * S);
	assert_true(owner[0]->gets > 0);
	finish();
}

static void a_second_owner_is_asked_when_the_first_is_late(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->peer.latency_p95 = 12 * MS;
	owner[0]->latency = 500 * MS;
	t = fetch(1 * S);
	kit_run(k, 12 * MS - 1);
	assert_int_equal(gets(), 1);
	kit_run(k, 1);
	assert_int_equal(gets(), 2);
	assert_int_equal(owner[1]->gets, 1);
	kit_run(k, 7 * MS);
	assert_bytes(t, c);
	assert_int_equal(k->node->status.reads_hedged, 1);
	/* No third one, and the late answer changes nothing. */
	kit_run(k, 600 * MS);
	assert_int_equal(gets(), 2);
	finish();
}

static void a_peer_that_never_answered_is_given_a_usual_time(void **state)
{
	(void)state;
	begin(5, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = KIT_SILENT;
	fetch(1 * S);
	kit_run(k, HEDGE_UNKNOWN - 1);
	assert_int_equal(gets(), 1);
	kit_run(k, 1);
	assert_int_equal(gets(), 2);
	finish();
}

static void no_second_request_comes_sooner_than_timers_are_fine(void **state)
{
	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->peer.latency_p95 = 10;
	fetch(1 * S);
	kit_run(k, HEDGE_MIN - 1);
	assert_int_equal(gets(), 1);
	kit_run(k, 1);
	assert_int_equal(gets(), 2);
	finish();
}

/* Whatever the peers do, the extra requests are few. */
static void second_requests_are_at_most_five_of_a_hundred(void **state)
{
	(void)state;
	begin(5, false);
	for (unsigned int i = 0; i < 3000; i++) {
		another(false, 10 + i);
		all_have_it();
		for (unsigned int j = 0; j < 5; j++) {
			k->peer[j].latency = 30 * MS;
			k->peer[j].peer.latency = k->peer[j].peer.latency_p95 = 3 * MS;
		}
		fetch(10 * S);
		kit_run(k, 40 * MS);
		if (i == 9)
			assert_int_equal(k->node->status.reads_hedged, HEDGE_FREE);
	}
	assert_int_equal(k->node->status.reads, 3000);
	assert_in_range(k->node->status.reads_hedged, 100, 3000 * HEDGE_SHARE / 100);
	assert_int_equal(gets(), 3000 + k->node->status.reads_hedged);
	finish();
}

static void one_that_had_no_right_to_a_second_request_may_earn_it(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->ways = KIT_SILENT;
	k->node->status.reads = 1000;
	k->node->status.reads_hedged = 50;
	t = fetch(10 * S);
	kit_run(k, 100 * MS);
	assert_int_equal(gets(), 1);
	k->node->status.reads += 40;		/* others */
	kit_run(k, 100 * MS);
	assert_bytes(t, c);
	finish();
}

static void a_late_one_is_not_waited_for_when_the_second_has_none(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	kit_give(owner[2], &a, c);
	owner[0]->ways = KIT_SILENT;
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->peer.latency = owner[i]->peer.latency_p95 = (5 + i) * MS;
	t = fetch(5 * S);
	kit_run(k, 50 * MS);
	assert_bytes(t, c);
	finish();
}

static void the_last_owner_is_not_waited_for_when_it_is_late(void **state)
{
	uint64_t t;

	(void)state;
	begin(24, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->peer.latency = owner[i]->peer.latency_p95 = (5 + i) * MS;
	owner[2]->ways = KIT_SILENT;
	kit_give(kit_walk(k, &a, 4), &a, c);
	t = fetch(5 * S);
	kit_run(k, 50 * MS);
	assert_bytes(t, c);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_here_is_asked_of_nobody),
		cmocka_unit_test(the_cheapest_owner_is_asked_and_no_other),
		cmocka_unit_test(one_whose_oldest_request_is_old_is_dear),
		cmocka_unit_test(owners_that_are_down_are_not_asked),
		cmocka_unit_test(after_a_miss_the_next_owner_is_asked),
		cmocka_unit_test(one_that_has_nothing_is_not_asked_first_again),
		cmocka_unit_test(those_behind_the_owners_are_asked_when_no_owner_has_it),
		cmocka_unit_test(so_many_of_them_are_asked_at_a_time),
		cmocka_unit_test(while_slots_move_the_owners_before_are_asked),
		cmocka_unit_test(so_many_are_asked_in_one_round_and_no_more),
		cmocka_unit_test(a_second_owner_is_asked_when_the_first_is_late),
		cmocka_unit_test(a_peer_that_never_answered_is_given_a_usual_time),
		cmocka_unit_test(no_second_request_comes_sooner_than_timers_are_fine),
		cmocka_unit_test(second_requests_are_at_most_five_of_a_hundred),
		cmocka_unit_test(one_that_had_no_right_to_a_second_request_may_earn_it),
		cmocka_unit_test(a_late_one_is_not_waited_for_when_the_second_has_none),
		cmocka_unit_test(the_last_owner_is_not_waited_for_when_it_is_late),
	};

	return suite_run(tests);
}
