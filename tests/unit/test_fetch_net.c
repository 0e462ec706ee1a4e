/* A fetch from the ring: what it answers, who waits for it, what it keeps.  Whom it asks: test_fetch_ask. */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/fetch_test.h"

/* ---- wrong answers ---- */

static void wrong_bytes_are_never_delivered_and_the_next_is_asked(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->ways = KIT_WRONG_BYTES;
	owner[1]->ways = KIT_NO_FIELDS;
	t = fetch(1 * S);
	kit_run(k, 30 * MS);
	assert_bytes(t, c);
	assert_int_equal(owner[0]->wrong, 1);
	assert_int_equal(owner[1]->wrong, 1);
	assert_int_equal(owner[2]->wrong, 0);
	finish();
}

static void one_that_lied_is_asked_last(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->peer.wrong = 1;		/* 5 ms is worth 10 */
	t = fetch(1 * S);
	kit_run(k, 7 * MS);
	assert_bytes(t, c);
	assert_int_equal(owner[0]->gets, 0);
	finish();
}

static void where_all_lie_it_fails(void **state)
{
	uint64_t t;

	(void)state;
	begin(12, false);
	for (unsigned int i = 0; i < 12; i++)
		k->peer[i].ways = KIT_WRONG_BYTES;
	t = fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_replied(t, -EIO);
	finish();
}

/* ---- not there, or not known ---- */

static void it_is_not_there_when_every_owner_says_so(void **state)
{
	uint64_t t;

	(void)state;
	begin(24, false);
	t = fetch(5 * S);
	kit_run(k, 100 * MS);
	assert_replied(t, -ENOENT);
	/* The owners, and those behind them. */
	assert_int_equal(gets(), 3 + FETCH_SPARES);
	finish();
}

static void anything_less_is_an_error(void **state)
{
	static const struct {
		unsigned int ways, status;
		int result;
	} one[] = {
		{ KIT_INCOMPLETE, 0, -EIO },
		{ KIT_DOWN, 0, -EIO },
		{ KIT_NO_READ, 0, -EIO },
		{ KIT_WRONG_BYTES, 0, -EIO },
		{ KIT_NO_FIELDS, 0, -EIO },
		{ 0, WIRE_NOT_OWNER, -EIO },
		{ 0, WIRE_FAULT, -EIO },
		{ KIT_SILENT, 0, -ETIMEDOUT },
		{ KIT_CUT, 0, -ETIMEDOUT },
		{ KIT_UNREACHABLE, 0, -ETIMEDOUT },
		{ 0, WIRE_BUSY, -ETIMEDOUT },
		{ 0, WIRE_OTHER_PLACEMENT, -ETIMEDOUT },
	};

	(void)state;
	for (unsigned int rank = 0; rank < 3; rank++)
		for (unsigned int i = 0; i < sizeof one / sizeof *one; i++) {
			uint64_t t;

			begin(12, false);
			owner[rank]->ways = one[i].ways;
			owner[rank]->status = one[i].status;
			t = fetch(5 * S);
			kit_run(k, 5 * S - 1);
			if (one[i].result == -ETIMEDOUT)
				assert_null(kit_reply(k, t));
			kit_run(k, 1);
			assert_replied(t, one[i].result);
			finish();
		}
}

static void a_spare_that_may_have_it_is_asked_again(void **state)
{
	struct kit_peer *spare;
	uint64_t t;

	(void)state;
	begin(12, false);
	spare = kit_walk(k, &a, 4);
	kit_give(spare, &a, c);
	spare->status = WIRE_BUSY;
	owner[0]->ways = KIT_INCOMPLETE;
	t = fetch(5 * S);
	kit_run(k, 1 * S);
	assert_null(kit_reply(k, t));
	spare->status = WIRE_OK;
	kit_run(k, 3 * S);
	assert_bytes(t, c);
	finish();
}

/* An owner that missed it has it by the time that somebody else wants it, who joins. */
static void a_miss_of_before_one_asked_is_none_for_him(void **state)
{
	uint64_t first, second;

	(void)state;
	begin(12, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->latency = owner[i]->peer.latency = i == 0 ? 1 * MS : 300 * MS;
	first = fetch(5 * S);
	kit_run(k, 10 * MS);
	assert_int_equal(owner[0]->gets, 1);
	kit_give(owner[0], &a, c);
	second = fetch(5 * S);
	kit_run(k, 3 * S);
	assert_replied(first, -ENOENT);
	assert_bytes(second, c);
	finish();
}

static void our_own_miss_counts_when_our_slot_is_complete(void **state)
{
	uint64_t t;

	(void)state;
	begin(12, true);
	k->incomplete = true;
	t = fetch(5 * S);
	kit_run(k, 100 * MS);
	assert_replied(t, -EIO);
	k->incomplete = false;
	t = fetch(5 * S);
	kit_run(k, 100 * MS);
	assert_replied(t, -ENOENT);
	/* Alone we know it at once. */
	kit_table(k, 0, false);
	t = fetch(5 * S);
	assert_replied(t, -ENOENT);
	finish();
}

static void misses_under_another_table_do_not_count(void **state)
{
	uint64_t t;

	(void)state;
	begin(12, false);
	t = fetch(5 * S);
	kit_run(k, 12 * MS);		/* two of them have answered */
	kit_table(k, 40, false);
	kit_give(kit_walk(k, &a, 0), &a, c);
	kit_run(k, 2 * S);
	assert_bytes(t, c);
	finish();
}

static void it_is_asked_again_until_its_time_is_up(void **state)
{
	uint64_t t;

	(void)state;
	begin(12, false);
	for (unsigned int i = 0; i < 12; i++)
		k->peer[i].ways = KIT_CUT;
	kit_give(owner[1], &a, c);
	t = fetch(60 * S);
	kit_run(k, 20 * S);
	assert_null(kit_reply(k, t));
	/* Each round asks all; there is a pause of AGAIN_MAX between them in the end. */
	assert_in_range(owner[1]->gets, 8, 14);
	owner[1]->ways = 0;
	kit_run(k, 3 * S);
	assert_bytes(t, c);
	finish();
}

static void before_the_first_table_it_waits(void **state)
{
	uint64_t waits, late;

	(void)state;
	begin(5, false);
	all_have_it();
	ring_free(k->ring);
	k->ring = NULL;
	waits = fetch(5 * S);
	late = fetch(1 * S);
	kit_run(k, 2 * S);
	assert_null(kit_reply(k, waits));
	assert_replied(late, -ETIMEDOUT);
	kit_table(k, 5, false);
	kit_run(k, 100 * MS);
	assert_bytes(waits, c);
	finish();
}

/* ---- who waits ---- */

static void a_bad_copy_found_before_the_first_table_waits_for_it(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	kit_keep(k, &a, c, STATE_CACHED);
	memory_catalogue_rot(&k->disk, &a);
	ring_free(k->ring);
	k->ring = NULL;
	t = fetch(5 * S);
	kit_run(k, 1 * S);
	assert_null(kit_reply(k, t));
	kit_table(k, 5, false);
	kit_run(k, 100 * MS);
	assert_bytes(t, c);
	finish();
}

static void who_wants_the_same_waits_for_the_same_request(void **state)
{
	uint64_t t[10], early;

	(void)state;
	begin(5, false);
	all_have_it();
	owner[0]->latency = owner[0]->peer.latency_p95 = 50 * MS;
	for (unsigned int i = 0; i < 10; i++)
		t[i] = fetch(1 * S);
	early = fetch(20 * MS);
	kit_run(k, 60 * MS);
	assert_int_equal(gets(), 1);
	for (unsigned int i = 0; i < 10; i++)
		assert_bytes(t[i], c);
	assert_replied(early, -ETIMEDOUT);
	finish();
}

static void a_time_that_is_up_is_answered_in_time(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	for (unsigned int i = 0; i < 5; i++)
		k->peer[i].ways = KIT_SILENT;
	t = fetch(3 * S);
	kit_run(k, 3 * S - 1);
	assert_null(kit_reply(k, t));
	kit_run(k, 1);
	assert_replied(t, -ETIMEDOUT);
	/* When the last request has timed out, nothing is left of it. */
	kit_run(k, 15 * S);
	assert_true(list_empty(&k->calls));
	finish();
}

/* A fetch that the second owner answers, while the first one never does. */
static void linger(uint64_t seed)
{
	another(false, seed);
	all_have_it();
	owner[0]->peer.latency = 1 * MS;
	owner[0]->latency = UINT32_MAX;	/* never */
	for (unsigned int j = 0; j < 5; j++)
		k->peer[j].peer.oldest = UINT64_MAX;
	fetch(5 * S);
	owner[0]->latency = 5 * MS;
}

static void those_that_linger_are_bounded(void **state)
{
	size_t none, one = 0;

	(void)state;
	begin(5, false);
	k->node->status.reads = 1000 * 1000;	/* any number of second requests */
	none = fetch_machine.memory(k->node);
	for (unsigned int round = 0; round < 3; round++)
		for (unsigned int i = 0; i < FETCH_LINGER / 2; i++) {
			unsigned int count = round * FETCH_LINGER / 2 + i + 1;

			linger(5000 + 1000 * round + i);
			kit_run(k, 20 * MS);
			one = count == 1 ? fetch_machine.memory(k->node) - none : one;
			assert_int_equal(fetch_machine.memory(k->node) - none, (count < FETCH_LINGER ? count : FETCH_LINGER) * one);
		}
	/* They end by themselves, too. */
	kit_run(k, 60 * S);
	assert_int_equal(fetch_machine.memory(k->node), none);
	finish();
}

/* ---- copies ---- */

static void a_copy_is_cached(void **state)
{
	(void)state;
	begin(5, false);
	all_have_it();
	fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void a_full_disk_caches_nothing(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, false);
	all_have_it();
	k->disk.space = c->len - 1;
	t = fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_bytes(t, c);
	assert_int_equal(kit_state(k, &a), 0);
	finish();
}

static void in_our_slot_only_what_is_leased_is_kept(void **state)
{
	(void)state;
	begin(5, true);
	kit_give(owner[1], &a, c);
	fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_int_equal(kit_state(k, &a), 0);
	assert_null(kit_has(owner[0], &a));
	/* Leased, it is pushed to the other owner too, who lacks it as we did. */
	kit_lease(k, &a);
	fetch(1 * S);
	kit_run(k, 10 * MS);
	kit_run(k, 5 * S);
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	assert_non_null(kit_has(owner[0], &a));
	finish();
}

static void what_an_owner_missed_is_pushed_back_if_it_is_leased(void **state)
{
	(void)state;
	for (unsigned int leased = 0; leased < 2; leased++) {
		begin(5, false);
		all_have_it();
		kit_take(owner[0], &a);
		if (leased)
			kit_lease(k, &a);
		fetch(1 * S);
		kit_run(k, 5 * S);
		assert_int_equal(kit_has(owner[0], &a) != NULL, leased);
		assert_int_equal(kit_state(k, &a), STATE_CACHED);
		finish();
	}
}

static void a_bad_copy_of_ours_is_fetched_anew(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, true);
	kit_keep(k, &a, c, STATE_OWNED);
	memory_catalogue_rot(&k->disk, &a);
	kit_give(owner[1], &a, c);
	t = fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_bytes(t, c);
	owner[1]->ways = KIT_DOWN;
	t = fetch(1 * S);
	assert_bytes(t, c);		/* from here again */
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	finish();
}

static void a_bad_copy_of_ours_alone_is_an_error_and_no_miss(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, true);
	kit_keep(k, &a, c, STATE_OWNED);
	memory_catalogue_rot(&k->disk, &a);
	t = fetch(1 * S);
	kit_run(k, 100 * MS);
	assert_replied(t, -EIO);
	finish();
}

static void healing_is_bounded_and_ends(void **state)
{
	struct address other;
	size_t before;

	(void)state;
	begin(5, true);
	for (unsigned int i = 0; i < 5; i++)
		k->peer[i].ways = KIT_SILENT;
	before = fetch_machine.memory(k->node);
	for (unsigned int i = 0; i < 3 * HEALS_MAX; i++) {
		chunk_drop(kit_chunk(100 + i, 100, &other));
		heal(&other);
	}
	assert_int_equal(gets(), HEALS_MAX);
	kit_run(k, 90 * S);
	assert_int_equal(fetch_machine.memory(k->node), before);
	finish();
}

static void the_end_of_healing_is_not_the_end_of_who_waits(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, true);
	kit_keep(k, &a, c, STATE_OWNED);
	memory_catalogue_rot(&k->disk, &a);
	for (unsigned int i = 0; i < 5; i++)
		k->peer[i].ways = KIT_CUT;
	kit_give(owner[0], &a, c);
	heal(&a);
	t = fetch(200 * S);
	kit_run(k, 100 * S);
	assert_null(kit_reply(k, t));
	owner[0]->ways = 0;
	kit_run(k, 10 * S);
	assert_bytes(t, c);
	finish();
}

/* ---- anything ---- */

/* Does all that we know allow to say that it is not there? */
static bool known_absent(void)
{
	unsigned int owners = kit_owners(k, &a, owner);

	for (unsigned int i = 0; i < owners; i++)
		if (owner[i]->ways || kit_has(owner[i], &a))
			return false;
	return !kit_state(k, &a);
}

/* Peers of all sorts, changing; whatever happens, an answer is in time, and right, or an error that is true. */
static void no_wrong_byte_whoever_lies(void **state)
{
	static const unsigned int sorts[] = { 0, 0, 0, KIT_DOWN, KIT_UNREACHABLE, KIT_SILENT, KIT_CUT, KIT_WRONG_BYTES,
		KIT_INCOMPLETE, KIT_NO_FIELDS, KIT_NO_READ };
	uint64_t seed = suite_seed(1);
	unsigned int delivered = 0, absent = 0;

	(void)state;
	begin(20, false);
	random_seed(k->node, seed);
	for (unsigned int round = 0; round < 1000; round++) {
		uint64_t t;

		another(round % 4 == 0, 5 + round % 300);
		for (unsigned int i = 0; i < 20; i++) {
			k->peer[i].ways = node_random(k->node, 2) ? sorts[node_random(k->node, sizeof sorts / sizeof *sorts)] : 0;
			k->peer[i].latency = 1 + node_random(k->node, 100 * MS);
			if (!node_random(k->node, 30))
				kit_give(&k->peer[i], &a, c);
		}
		if (!node_random(k->node, 20))
			kit_table(k, 15 + (unsigned int)node_random(k->node, 6), round % 3);
		t = fetch(2 * S);
		kit_run(k, 2 * S);
		assert_non_null(kit_reply(k, t));
		if (!kit_reply(k, t)->result) {
			assert_bytes(t, c);
			delivered++;
		} else if (kit_reply(k, t)->result == -ENOENT) {
			assert_true(known_absent());
			absent++;
		}
	}
	print_message("# %u delivered, %u absent\n", delivered, absent);
	assert_true(delivered > 100 && absent > 10);
	finish();
}

static void a_node_can_stop_at_any_moment(void **state)
{
	(void)state;
	for (unsigned int ms = 0; ms < 120; ms += 5) {
		begin(8, ms % 2);
		owner[0]->ways = KIT_SILENT;
		kit_give(owner[1], &a, c);
		k->hold_disk = ms > 100;
		fetch(60 * S);
		fetch(1 * MS);
		kit_run(k, ms * MS);
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_bytes_are_never_delivered_and_the_next_is_asked),
		cmocka_unit_test(one_that_lied_is_asked_last),
		cmocka_unit_test(where_all_lie_it_fails),
		cmocka_unit_test(it_is_not_there_when_every_owner_says_so),
		cmocka_unit_test(anything_less_is_an_error),
		cmocka_unit_test(a_spare_that_may_have_it_is_asked_again),
		cmocka_unit_test(a_miss_of_before_one_asked_is_none_for_him),
		cmocka_unit_test(our_own_miss_counts_when_our_slot_is_complete),
		cmocka_unit_test(misses_under_another_table_do_not_count),
		cmocka_unit_test(it_is_asked_again_until_its_time_is_up),
		cmocka_unit_test(before_the_first_table_it_waits),
		cmocka_unit_test(a_bad_copy_found_before_the_first_table_waits_for_it),
		cmocka_unit_test(who_wants_the_same_waits_for_the_same_request),
		cmocka_unit_test(a_time_that_is_up_is_answered_in_time),
		cmocka_unit_test(those_that_linger_are_bounded),
		cmocka_unit_test(a_copy_is_cached),
		cmocka_unit_test(a_full_disk_caches_nothing),
		cmocka_unit_test(in_our_slot_only_what_is_leased_is_kept),
		cmocka_unit_test(what_an_owner_missed_is_pushed_back_if_it_is_leased),
		cmocka_unit_test(a_bad_copy_of_ours_is_fetched_anew),
		cmocka_unit_test(a_bad_copy_of_ours_alone_is_an_error_and_no_miss),
		cmocka_unit_test(healing_is_bounded_and_ends),
		cmocka_unit_test(the_end_of_healing_is_not_the_end_of_who_waits),
		cmocka_unit_test(no_wrong_byte_whoever_lies),
		cmocka_unit_test(a_node_can_stop_at_any_moment),
	};

	return suite_run(tests);
}
