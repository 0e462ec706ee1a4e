/* What bounds the work on chunks, and when it is done again; more of it is in test_insert, test_fetch_net and test_foreign. */
#include <errno.h>
#include <stdlib.h>

#include "dht/net/chunks.h"
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];

static void begin(unsigned int members, unsigned int replicas)
{
	k = kit_start(members, replicas);
	c = kit_find(k, false, 1, &a);
	kit_owners(k, &a, owner);
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

/* Of those that are asked whether they have it, and those that are sent it, how many have not answered? */
static unsigned int silent(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < KIT_PEERS; i++)
		count += k->peer[i].touches + k->peer[i].puts > 0;
	return count;
}

static void an_insert_asks_so_many_nodes_at_a_time(void **state)
{
	uint64_t t;

	(void)state;
	begin(60, RING_REPLICAS_MAX);
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].ways = KIT_SILENT;
	t = kit_command(k, COMMAND_INSERT, &a, c, RING_REPLICAS_MAX, 600 * S);
	kit_run(k, CALL_QUICK - 1);
	assert_int_equal(silent(), RING_REPLICAS_MAX);
	kit_run(k, 2);
	/* As many in the place of the owners, and no more while they may answer. */
	assert_int_equal(silent(), INSERT_ASKS);
	kit_run(k, CALL_QUICK);
	assert_int_equal(silent(), INSERT_ASKS);
	/* Then others' turn comes. */
	kit_run(k, CALL_TIMEOUT);
	assert_true(silent() > INSERT_ASKS);
	assert_int_equal(k->flying_max, INSERT_ASKS);
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		k->peer[i].ways = 0;
	kit_run(k, 60 * S);
	assert_non_null(kit_reply(k, t));
	assert_int_equal(kit_reply(k, t)->result, 0);
	finish();
}

/* When the next request of ${kind} comes to anyone. */
static uint64_t next_gets(void)
{
	unsigned int before = 0, now = 0;

	for (unsigned int i = 0; i < KIT_PEERS; i++)
		before += k->peer[i].gets;
	for (unsigned int ms = 0; now <= before && ms < 60 * 1000; ms++) {
		kit_run(k, MS);
		now = 0;
		for (unsigned int i = 0; i < KIT_PEERS; i++)
			now += k->peer[i].gets;
	}
	return k->node->now;
}

static void busy_peers_are_asked_again_soon_at_first_and_then_later(void **state)
{
	uint64_t pause = AGAIN_MIN;

	(void)state;
	begin(3, 3);		/* two others beside us and one owner more: nobody stands behind them */
	for (unsigned int i = 0; i < KIT_PEERS; i++) {
		k->peer[i].status = WIRE_BUSY;
		k->peer[i].latency = MS / 2;
	}
	kit_command(k, COMMAND_FETCH, &a, NULL, 0, 60 * S);
	kit_run(k, 20 * MS);		/* all were asked once */
	for (unsigned int round = 0; round < 6; round++) {
		uint64_t over = k->node->now;

		assert_in_range(next_gets() - over, pause - pause / 8 - 25 * MS, pause + pause / 8 + 5 * MS);
		kit_run(k, 20 * MS);
		pause = 2 * pause < AGAIN_MAX ? 2 * pause : AGAIN_MAX;
	}
	finish();
}

static void new_foreign_records_are_gathered(void **state)
{
	struct kit_peer *first;
	struct address other;

	(void)state;
	k = kit_start(2, 3);		/* all are owners of all */
	first = &k->peer[0];
	c = kit_chunk(1, 100, &a);
	kit_keep(k, &a, c, STATE_FOREIGN | STATE_OWNED);
	foreign_add(k->node, &a);
	kit_run(k, FOREIGN_GATHER - FOREIGN_GATHER / 8 - 1);
	assert_int_equal(first->touches, 0);
	chunk_drop(c);
	c = kit_chunk(2, 100, &other);
	kit_keep(k, &other, c, STATE_FOREIGN | STATE_OWNED);
	foreign_add(k->node, &other);
	kit_run(k, FOREIGN_GATHER / 4 + 50 * MS);
	assert_int_equal(first->touches, 1);
	assert_int_equal(first->touched, 2);
	finish();
}

static void what_could_not_be_placed_is_tried_again_soon_at_first(void **state)
{
	uint64_t pause = FOREIGN_AGAIN_MIN, last;
	unsigned int seen;

	(void)state;
	begin(8, 3);
	kit_keep(k, &a, c, STATE_FOREIGN);
	owner[1]->ways = KIT_UNREACHABLE;
	foreign_add(k->node, &a);
	kit_run(k, FOREIGN_GATHER * 9 / 8);
	seen = owner[0]->touches;
	assert_int_equal(seen, 1);
	last = k->node->now;
	for (unsigned int round = 0; round < 4; round++) {
		while (owner[0]->touches == seen)
			kit_run(k, 10 * MS);
		assert_int_equal(owner[0]->touches, ++seen);
		assert_in_range(k->node->now - last, pause - pause / 8 - FOREIGN_GATHER, pause + pause / 8 + FOREIGN_GATHER);
		last = k->node->now;
		pause *= 2;
	}
	finish();
}

/* One foreign record, and ${count} inserts that our disk has not stored yet. */
static void insert_some(unsigned int count)
{
	begin(8, 3);
	kit_keep(k, &a, c, STATE_FOREIGN);
	k->hold_disk = true;
	for (unsigned int i = 0; i < count; i++) {
		struct address other;
		struct chunk *more = kit_chunk(500 + i, 1000, &other);

		kit_command(k, COMMAND_INSERT, &other, more, 2, 3 * FOREIGN_PATIENCE);
		chunk_drop(more);
	}
	foreign_add(k->node, &a);
}

static void our_users_inserts_go_before_proofs_for_a_while(void **state)
{
	(void)state;
	insert_some(FOREIGN_YIELD);
	kit_run(k, FOREIGN_PATIENCE - 1 * S);
	assert_int_equal(owner[0]->touches + owner[1]->touches + owner[2]->touches, 0);
	kit_run(k, 3 * S);
	assert_true(owner[0]->touches > 0);
	finish();
}

static void a_few_inserts_put_no_proofs_off(void **state)
{
	(void)state;
	insert_some(FOREIGN_YIELD - 1);
	kit_run(k, 2 * S);
	assert_true(owner[0]->touches > 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_insert_asks_so_many_nodes_at_a_time),
		cmocka_unit_test(busy_peers_are_asked_again_soon_at_first_and_then_later),
		cmocka_unit_test(new_foreign_records_are_gathered),
		cmocka_unit_test(what_could_not_be_placed_is_tried_again_soon_at_first),
		cmocka_unit_test(our_users_inserts_go_before_proofs_for_a_while),
		cmocka_unit_test(a_few_inserts_put_no_proofs_off),
	};

	return suite_run(tests);
}
