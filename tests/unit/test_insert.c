/* An insert: whom it asks, when it is answered and with what, and that it goes on to all R owners. */
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <string.h>

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];

/* So many other members; a chunk in a slot that is ours, or is not. */
static void begin(unsigned int members, unsigned int replicas, bool mine)
{
	k = kit_start(members, replicas);
	c = kit_find(k, mine, 1, &a);
	kit_owners(k, &a, owner);
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static uint64_t insert(unsigned int acks, uint64_t timeout)
{
	return kit_command(k, COMMAND_INSERT, &a, c, acks, timeout);
}

static void assert_replied(uint64_t ticket, int result)
{
	struct kit_reply *r = kit_reply(k, ticket);

	assert_non_null(r);
	assert_int_equal(r->result, result);
}

static unsigned int copies(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < KIT_PEERS; i++)
		count += kit_has(&k->peer[i], &a) != NULL;
	return count;
}

static void w_others_answer_it_and_all_owners_get_it(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, 3, false);
	owner[2]->latency = 300 * MS;
	t = insert(2, 10 * S);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	kit_run(k, 5 * MS);
	assert_null(kit_reply(k, t));
	kit_run(k, 5 * MS);
	assert_replied(t, 0);
	assert_int_equal(kit_reply(k, t)->count, 2);
	assert_null(kit_has(owner[2], &a));
	kit_run(k, 5 * S);
	assert_non_null(kit_has(owner[2], &a));
	assert_int_equal(copies(), 3);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void with_w_of_none_it_is_answered_once_it_is_stored(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, 3, false);
	k->hold_disk = true;
	t = insert(0, 10 * S);
	kit_run(k, 1 * S);
	assert_null(kit_reply(k, t));
	assert_int_equal(copies(), 0);
	k->hold_disk = false;
	kit_settle(k);
	assert_replied(t, 0);
	assert_int_equal(copies(), 0);
	kit_run(k, 10 * MS);
	assert_int_equal(copies(), 3);
	finish();
}

static void nothing_is_asked_before_it_is_stored_here(void **state)
{
	static const int fails[] = { -ENOSPC, -EIO, -EBADMSG };

	(void)state;
	begin(5, 3, false);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t t;

		k->disk_fails = fails[i];
		t = insert(2, 10 * S);
		assert_replied(t, fails[i]);
		kit_run(k, 1 * S);
		assert_int_equal(owner[0]->touches, 0);
	}
	finish();
}

static void owners_that_have_it_are_sent_no_bytes(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, 3, false);
	kit_give(owner[0], &a, c);
	kit_give(owner[1], &a, c);
	t = insert(2, 10 * S);
	kit_run(k, 5 * MS);		/* one trip */
	assert_replied(t, 0);
	kit_run(k, 1 * S);
	assert_int_equal(owner[0]->puts + owner[1]->puts, 0);
	assert_int_equal(owner[2]->puts, 1);
	finish();
}

static void acknowledgements_are_those_of_others(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, 3, true);
	assert_int_equal(kit_owners(k, &a, owner), 2);
	owner[1]->latency = 300 * MS;
	t = insert(2, 10 * S);
	assert_int_equal(kit_state(k, &a), STATE_OWNED | STATE_FOREIGN);
	assert_true(k->touches > 0);		/* ours must not go either */
	kit_run(k, 20 * MS);
	assert_null(kit_reply(k, t));
	kit_run(k, 600 * MS);
	assert_replied(t, 0);
	kit_run(k, 5 * S);
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	finish();
}

static void the_next_on_the_walk_stand_in_for_owners_that_are_down(void **state)
{
	for (unsigned int down = 1; down <= 3; down++) {
		uint64_t t;

		(void)state;
		begin(8, 3, false);
		for (unsigned int i = 0; i < down; i++)
			owner[i]->ways = KIT_DOWN;
		t = insert(2, 10 * S);
		kit_run(k, 10 * MS);
		assert_replied(t, 0);
		/* As many as are lacking, in the order of the walk, and they know that they are none. */
		for (unsigned int i = 0; i + 1 < down; i++) {
			assert_non_null(kit_has(kit_walk(k, &a, 3 + i), &a));
			assert_true(kit_has(kit_walk(k, &a, 3 + i), &a)->spare);
		}
		assert_int_equal(copies(), 2);
		kit_run(k, 2 * S);
		assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
		finish();
	}
}

static void an_owner_without_space_is_stood_in_for(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	owner[0]->ways = owner[1]->ways = KIT_FULL;
	t = insert(2, 10 * S);
	kit_run(k, 30 * MS);
	assert_replied(t, 0);
	assert_non_null(kit_has(kit_walk(k, &a, 3), &a));
	finish();
}

static void where_all_are_full_there_is_no_space(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].ways = KIT_FULL;
	t = insert(2, 10 * S);
	kit_run(k, 100 * MS);
	assert_replied(t, -ENOSPC);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	finish();
}

static void it_fails_at_once_when_w_is_known_to_be_impossible(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].ways = i == 3 ? 0 : KIT_DOWN;
	t = insert(2, 10 * S);
	assert_replied(t, -EHOSTUNREACH);
	/* One more than is enough. */
	k->peer[5].ways = 0;
	t = insert(2, 10 * S);
	assert_null(kit_reply(k, t));
	kit_run(k, 20 * MS);
	assert_replied(t, 0);
	finish();
}

static void it_goes_the_whole_walk_for_w(void **state)
{
	uint64_t t;

	(void)state;
	begin(KIT_PEERS, 3, false);
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].ways = KIT_DOWN;
	kit_walk(k, &a, KIT_PEERS - 1)->ways = 0;
	kit_walk(k, &a, KIT_PEERS - 7)->ways = 0;
	t = insert(2, 10 * S);
	kit_run(k, 10 * MS);
	assert_replied(t, 0);
	assert_int_equal(copies(), 2);
	finish();
}

static void where_there_are_fewer_others_all_of_them_are_enough(void **state)
{
	uint64_t t;

	(void)state;
	k = kit_start(1, 3);
	c = kit_find(k, true, 1, &a);
	t = insert(2, 10 * S);
	assert_null(kit_reply(k, t));
	kit_run(k, 10 * MS);
	assert_replied(t, 0);
	assert_int_equal(kit_reply(k, t)->count, 1);
	kit_table(k, 0, false);
	t = insert(2, 10 * S);
	assert_replied(t, 0);
	finish();
}

static void a_node_counts_once(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	owner[1]->ways = owner[2]->ways = KIT_SILENT;
	kit_give(owner[0], &a, c);
	t = insert(2, 30 * S);
	kit_run(k, 20 * MS);
	/* Asked again under other tables, it is still one. */
	for (unsigned int members = 9; members < 12; members++) {
		for (unsigned int i = 8; i < members; i++)
			k->peer[i].ways = KIT_SILENT;
		kit_table(k, members, false);
		kit_run(k, 20 * MS);
		assert_null(kit_reply(k, t));
	}
	assert_int_equal(owner[0]->touches, 1);
	finish();
}

static void its_time_is_kept_and_it_goes_on_behind(void **state)
{
	uint64_t t;

	(void)state;
	begin(3, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->latency = 1500 * MS;
	t = insert(2, 1 * S);
	kit_run(k, 1 * S - 1);
	assert_null(kit_reply(k, t));
	kit_run(k, 1);
	assert_replied(t, -ETIMEDOUT);
	kit_run(k, 2 * S);
	assert_int_equal(copies(), 3);
	finish();
}

static void a_slow_disk_does_not_keep_it_past_its_time(void **state)
{
	uint64_t t;

	(void)state;
	begin(5, 3, false);
	k->hold_disk = true;
	t = insert(2, 1 * S);
	kit_run(k, 1 * S);
	assert_replied(t, -ETIMEDOUT);
	k->hold_disk = false;
	kit_run(k, 1 * S);
	assert_int_equal(copies(), 3);
	finish();
}

static void a_disk_that_hangs_is_not_given_more_and_more(void **state)
{
	size_t bound;
	uint64_t t = 0;

	(void)state;
	begin(5, 3, false);
	k->hold_disk = true;
	insert(2, 1 * S);
	bound = INSERTS_MAX * insert_machine.memory(k->node);
	for (unsigned int i = 0; i < 2 * COMMANDS_MAX; i++) {
		t = insert(2, 100 * MS);
		kit_run(k, 1 * MS);
		assert_true(insert_machine.memory(k->node) <= bound);
	}
	assert_int_equal(insert_machine.memory(k->node), bound);
	assert_replied(t, -EBUSY);
	k->hold_disk = false;
	kit_run(k, 60 * S);
	assert_int_equal(insert_machine.memory(k->node), 0);
	t = insert(2, 1 * S);
	kit_run(k, 1 * S);
	assert_replied(t, 0);
	finish();
}

static void a_silent_owner_is_stood_in_for_after_the_time_of_a_touch(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	owner[0]->ways = owner[1]->ways = KIT_SILENT;
	t = insert(2, 30 * S);
	kit_run(k, CALL_QUICK - 1);
	assert_null(kit_reply(k, t));
	kit_run(k, 100 * MS);
	assert_replied(t, 0);
	finish();
}

static void who_can_be_reached_and_does_not_answer_is_late(void **state)
{
	uint64_t t;

	(void)state;
	begin(3, 3, false);
	owner[0]->ways = owner[1]->ways = KIT_SILENT;
	t = insert(2, 60 * S);
	kit_run(k, CALL_QUICK + CALL_TIMEOUT + 1 * S);
	assert_replied(t, -ETIMEDOUT);
	finish();
}

static void busy_ones_are_asked_again_with_growing_pauses(void **state)
{
	uint64_t t;

	(void)state;
	begin(3, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->status = WIRE_BUSY;
	t = insert(2, 60 * S);
	/* At 0, 1/4, 3/4, 7/4, 15/4 s, about. */
	kit_run(k, 3 * S);
	assert_null(kit_reply(k, t));
	assert_int_equal(owner[0]->touches, 4);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->status = WIRE_OK;
	kit_run(k, 3 * S);
	assert_replied(t, 0);
	finish();
}

static void those_that_stay_busy_are_stood_in_for(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->status = WIRE_BUSY;
	t = insert(2, 60 * S);
	/* At 0 and about 1/4 s. */
	kit_run(k, 600 * MS);
	assert_replied(t, 0);
	assert_int_equal(owner[0]->touches, 2);
	assert_non_null(kit_has(kit_walk(k, &a, 3), &a));
	assert_non_null(kit_has(kit_walk(k, &a, 4), &a));
	assert_int_equal(copies(), 2);
	finish();
}

static void one_that_is_busy_once_is_not_stood_in_for(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->status = WIRE_BUSY;
	t = insert(2, 60 * S);
	kit_run(k, 100 * MS);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->status = WIRE_OK;
	kit_run(k, 500 * MS);
	assert_replied(t, 0);
	assert_int_equal(copies(), 3);
	assert_null(kit_has(kit_walk(k, &a, 3), &a));
	finish();
}

static void that_all_are_busy_is_no_proof_that_w_is_impossible(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].status = WIRE_BUSY;
	t = insert(2, 60 * S);
	kit_run(k, 3 * S);
	assert_null(kit_reply(k, t));
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].status = WIRE_OK;
	kit_run(k, 3 * S);
	assert_replied(t, 0);
	finish();
}

/* Of those in whose place one stands only a few stand in turn: owners keep their places. */
static void however_many_are_busy_each_owner_is_asked(void **state)
{
	uint64_t t;

	(void)state;
	begin(24, RING_REPLICAS_MAX, false);
	for (unsigned int i = 0; i < 24; i++)
		k->peer[i].status = WIRE_BUSY;
	t = insert(RING_REPLICAS_MAX, 60 * S);
	kit_run(k, 3 * S);
	assert_null(kit_reply(k, t));
	for (unsigned int i = 0; i < 24; i++)
		k->peer[i].status = WIRE_OK;
	kit_run(k, 10 * S);
	assert_replied(t, 0);
	finish();
}

static void a_link_that_is_cut_is_no_proof_that_w_is_impossible(void **state)
{
	uint64_t t;

	(void)state;
	begin(3, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = KIT_CUT;
	t = insert(2, 60 * S);
	kit_run(k, 100 * MS);
	assert_null(kit_reply(k, t));
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = 0;
	kit_run(k, 1 * S);
	assert_replied(t, 0);
	finish();
}

static void a_peer_that_goes_while_it_is_asked_is_stood_in_for(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	t = insert(3, 60 * S);
	owner[0]->ways = KIT_UNREACHABLE;
	owner[1]->ways = KIT_DOWN;
	kit_run(k, 20 * MS);
	assert_replied(t, 0);
	assert_true(kit_has(kit_walk(k, &a, 3), &a)->spare);
	assert_true(kit_has(kit_walk(k, &a, 4), &a)->spare);
	finish();
}

static void another_table_has_other_owners(void **state)
{
	struct kit_peer *now[RING_REPLICAS_MAX];
	uint64_t t;

	(void)state;
	begin(3, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = KIT_DOWN;
	k->peer[3].ways = k->peer[4].ways = 0;
	/* Before there is one, it waits: our tables differ. */
	owner[0]->ways = 0;
	owner[0]->status = WIRE_OTHER_PLACEMENT;
	t = insert(1, 60 * S);
	kit_run(k, 100 * MS);
	assert_null(kit_reply(k, t));
	kit_table(k, 20, false);
	owner[0]->status = WIRE_OK;
	kit_run(k, 100 * MS);
	assert_replied(t, 0);
	assert_int_equal(kit_owners(k, &a, now), 3);
	kit_run(k, 1 * S);
	for (unsigned int i = 0; i < 3; i++)
		if (!(now[i]->ways & KIT_DOWN))
			assert_non_null(kit_has(now[i], &a));
	finish();
}

static void any_number_of_tables_can_follow_each_other(void **state)
{
	uint64_t t;

	(void)state;
	begin(20, RING_REPLICAS_MAX, false);
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].ways = KIT_SILENT;
	t = insert(RING_REPLICAS_MAX, 60 * S);
	for (unsigned int i = 0; i < 30; i++) {
		kit_table(k, 20 + (i * 37) % 70, false);
		kit_run(k, 300 * MS);
		/* Some fail under each. */
		kit_walk(k, &a, i % 9)->ways = i % 2 ? KIT_CUT | KIT_DOWN : KIT_SILENT;
	}
	/* All that were asked under two of them fail under the last. */
	kit_run(k, 5 * S);
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].ways = 0;
	kit_table(k, 25, false);
	kit_run(k, 30 * S);
	assert_replied(t, 0);
	finish();
}

static void those_that_failed_under_one_table_are_asked_under_the_next(void **state)
{
	uint64_t t;

	(void)state;
	begin(8, 3, false);
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].latency = 3 * S;
	owner[0]->ways = owner[1]->ways = KIT_DOWN;
	t = insert(2, 60 * S);
	kit_run(k, 100 * MS);
	owner[0]->latency = owner[1]->latency = 1 * MS;
	owner[0]->ways = owner[1]->ways = 0;
	kit_table(k, 8, false);
	kit_run(k, 100 * MS);
	assert_replied(t, 0);
	finish();
}

static void before_the_first_table_only_w_of_none_is_answered(void **state)
{
	uint64_t waits, none, late;

	(void)state;
	k = kit_start(3, 3);
	ring_free(k->ring);
	k->ring = NULL;
	c = kit_chunk(7, 100, &a);
	none = insert(0, 10 * S);
	waits = insert(2, 10 * S);
	late = insert(2, 1 * S);
	kit_run(k, 2 * S);
	assert_replied(none, 0);
	assert_replied(late, -ETIMEDOUT);
	assert_null(kit_reply(k, waits));
	kit_table(k, 3, false);
	kit_run(k, 100 * MS);
	assert_replied(waits, 0);
	finish();
}

static void those_that_are_answered_do_not_pile_up(void **state)
{
	size_t bound;
	struct address other;
	struct chunk *more;

	(void)state;
	begin(3, 3, false);
	k->peer[2].ways = KIT_SILENT;
	assert_int_equal(kit_owners(k, &a, owner), 3);
	insert(0, 10 * S);
	kit_run(k, 20 * MS);
	bound = INSERT_LINGER * insert_machine.memory(k->node);
	for (unsigned int i = 0; i < 200; i++) {
		more = kit_chunk(2000 + i, 100, &other);
		kit_command(k, COMMAND_INSERT, &other, more, i % 2, 10 * S);
		chunk_drop(more);
		kit_run(k, 2 * MS);
		/* Those that are not answered are bounded by COMMANDS_MAX. */
		assert_true(commands_count(k->node) <= 10);
	}
	kit_run(k, 20 * MS);
	/* What of it is for the touch they share. */
	assert_in_range(insert_machine.memory(k->node), 1, bound);
	assert_int_equal(commands_count(k->node), 0);
	/* All reach their owners all the same. */
	kit_back(k, &k->peer[2]);
	kit_run(k, 60 * S);
	for (unsigned int i = 0; i < 200; i++) {
		struct kit_peer *o[RING_REPLICAS_MAX];
		unsigned int owners;

		chunk_drop(kit_chunk(2000 + i, 100, &other));
		owners = kit_owners(k, &other, o);
		for (unsigned int j = 0; j < owners; j++)
			assert_non_null(kit_has(o[j], &other));
		assert_int_equal(kit_state(k, &other) & STATE_FOREIGN, 0);
	}
	assert_int_equal(insert_machine.memory(k->node), 0);
	finish();
}

static void insert_some(unsigned int from, unsigned int count)
{
	for (unsigned int i = from; i < from + count; i++) {
		struct address other;
		struct chunk *more = kit_chunk(3000 + i, 100, &other);

		kit_command(k, COMMAND_INSERT, &other, more, 2, 10 * S);
		chunk_drop(more);
	}
}

static void owners_are_asked_about_many_at_once(void **state)
{
	const unsigned int many = 2 * INSERT_TOUCHES;
	unsigned int asked = 0;

	(void)state;
	begin(3, 3, false);
	insert_some(0, many);
	kit_run(k, FOREIGN_GATHER / 4);
	for (unsigned int i = 0; i < 3; i++) {
		/* The first is asked about alone; then as many as there is room for, and the rest. */
		assert_in_range(k->peer[i].touches, 2, 3);
		asked += k->peer[i].touched;
	}
	for (unsigned int i = 0; i < many; i++) {
		struct kit_peer *o[RING_REPLICAS_MAX];
		struct address other;
		unsigned int owners;

		chunk_drop(kit_chunk(3000 + i, 100, &other));
		owners = kit_owners(k, &other, o);
		asked -= owners;
		for (unsigned int j = 0; j < owners; j++)
			assert_non_null(kit_has(o[j], &other));
	}
	assert_int_equal(asked, 0);
	finish();
}

static void who_does_not_answer_one_is_soon_asked_about_others(void **state)
{
	(void)state;
	begin(3, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		k->peer[i].latency = 1 * S;
	insert_some(0, 20);
	kit_run(k, INSERT_GATHER - 5 * MS);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(k->peer[i].touches, 1);
	kit_run(k, 30 * MS);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(k->peer[i].touches, 2);
		assert_true(k->peer[i].touched > 10);
	}
	kit_run(k, 20 * S);
	finish();
}

static void a_crowd_does_not_take_back_bytes_that_are_on_their_way(void **state)
{
	struct address other;
	struct chunk *more;
	unsigned int puts = 0;

	(void)state;
	/* The local disk is faster than the network: each is answered at once, and takes 400 ms to be placed. */
	begin(3, 3, false);
	for (unsigned int i = 0; i < 3; i++)
		k->peer[i].latency = 200 * MS;
	for (unsigned int i = 0; i < 300; i++) {
		more = kit_chunk(3000 + i, 100, &other);
		kit_command(k, COMMAND_INSERT, &other, more, 0, 10 * S);
		chunk_drop(more);
		kit_run(k, 5 * MS);
	}
	kit_run(k, 60 * S);
	for (unsigned int i = 0; i < 3; i++)
		puts += k->peer[i].puts;
	/* In a ring of four, three have each chunk: we and two, or three others. */
	for (unsigned int i = 0; i < 300; i++) {
		struct kit_peer *o[RING_REPLICAS_MAX];

		chunk_drop(kit_chunk(3000 + i, 100, &other));
		puts -= kit_owners(k, &other, o);
	}
	assert_int_equal(puts, 0);
	finish();
}

static void the_volume_is_named(void **state)
{
	(void)state;
	begin(5, 3, false);
	memset(&k->volume, 7, sizeof k->volume);
	insert(2, 10 * S);
	kit_run(k, 1 * S);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(address_equal(&kit_has(owner[i], &a)->volume, &k->volume));
	finish();
}

static void commands_that_make_no_sense_are_refused(void **state)
{
	struct command command = { .kind = COMMAND_INSERT, .timeout = 1 * S };

	(void)state;
	begin(5, 3, false);
	command.address = a;
	command.chunk_kind = KIND_DATA;
	command.ticket = 1001;
	commands_input(k->node, &command);
	command.chunk = c;
	command.ticket = 1002;
	command.chunk_kind = 99;
	commands_input(k->node, &command);
	command.chunk_kind = KIND_DATA;
	command.ticket = 1003;
	command.acks = RING_REPLICAS_MAX + 1;
	commands_input(k->node, &command);
	kit_settle(k);
	for (uint64_t t = 1001; t <= 1003; t++)
		assert_replied(t, -EINVAL);
	finish();
}

static void a_node_can_stop_at_any_moment(void **state)
{
	(void)state;
	for (unsigned int us = 0; us < 12; us++) {
		begin(8, 3, us % 2);
		owner[0]->ways = KIT_SILENT;
		owner[1]->status = WIRE_BUSY;
		k->hold_disk = us == 11;
		insert(us % 4, 60 * S);
		insert(2, 1 * MS);
		kit_run(k, us * MS);
		finish();		/* asserts that nothing is left */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(w_others_answer_it_and_all_owners_get_it),
		cmocka_unit_test(with_w_of_none_it_is_answered_once_it_is_stored),
		cmocka_unit_test(nothing_is_asked_before_it_is_stored_here),
		cmocka_unit_test(owners_that_have_it_are_sent_no_bytes),
		cmocka_unit_test(acknowledgements_are_those_of_others),
		cmocka_unit_test(the_next_on_the_walk_stand_in_for_owners_that_are_down),
		cmocka_unit_test(an_owner_without_space_is_stood_in_for),
		cmocka_unit_test(where_all_are_full_there_is_no_space),
		cmocka_unit_test(it_fails_at_once_when_w_is_known_to_be_impossible),
		cmocka_unit_test(it_goes_the_whole_walk_for_w),
		cmocka_unit_test(where_there_are_fewer_others_all_of_them_are_enough),
		cmocka_unit_test(a_node_counts_once),
		cmocka_unit_test(its_time_is_kept_and_it_goes_on_behind),
		cmocka_unit_test(a_slow_disk_does_not_keep_it_past_its_time),
		cmocka_unit_test(a_disk_that_hangs_is_not_given_more_and_more),
		cmocka_unit_test(a_silent_owner_is_stood_in_for_after_the_time_of_a_touch),
		cmocka_unit_test(who_can_be_reached_and_does_not_answer_is_late),
		cmocka_unit_test(busy_ones_are_asked_again_with_growing_pauses),
		cmocka_unit_test(those_that_stay_busy_are_stood_in_for),
		cmocka_unit_test(one_that_is_busy_once_is_not_stood_in_for),
		cmocka_unit_test(that_all_are_busy_is_no_proof_that_w_is_impossible),
		cmocka_unit_test(however_many_are_busy_each_owner_is_asked),
		cmocka_unit_test(a_link_that_is_cut_is_no_proof_that_w_is_impossible),
		cmocka_unit_test(a_peer_that_goes_while_it_is_asked_is_stood_in_for),
		cmocka_unit_test(another_table_has_other_owners),
		cmocka_unit_test(any_number_of_tables_can_follow_each_other),
		cmocka_unit_test(those_that_failed_under_one_table_are_asked_under_the_next),
		cmocka_unit_test(before_the_first_table_only_w_of_none_is_answered),
		cmocka_unit_test(those_that_are_answered_do_not_pile_up),
		cmocka_unit_test(owners_are_asked_about_many_at_once),
		cmocka_unit_test(who_does_not_answer_one_is_soon_asked_about_others),
		cmocka_unit_test(a_crowd_does_not_take_back_bytes_that_are_on_their_way),
		cmocka_unit_test(the_volume_is_named),
		cmocka_unit_test(commands_that_make_no_sense_are_refused),
		cmocka_unit_test(a_node_can_stop_at_any_moment),
	};

	return suite_run(tests);
}
