/* A node whose disk hangs: it refuses what needs it, lives, and goes on when the disk does. */
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "dht/net/node_core.h"
#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

#define CHUNKS 64u
#define SICK   1u
#define ROUNDS 1100u		/* of CHUNKS fetches: more than there are places for works */

/* Effects that the sick disk owes an end, and what commands were answered. */
static struct effect *owed;
static unsigned int owed_count, owed_size, replies, timeouts, refusals, good;
static bool count_replies;

static void keep(const struct effect *e)
{
	if (owed_count == owed_size) {
		owed_size = owed_size ? 2 * owed_size : 1024;
		owed = realloc(owed, owed_size * sizeof(*owed));
		assert_non_null(owed);
	}
	owed[owed_count] = *e;
	if (e->chunk)
		chunk_hold(e->chunk);
	owed_count++;
}

static bool hangs(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	if (at != SICK)
		return true;
	if (e->kind == EFFECT_REPLY && count_replies) {
		replies++;
		timeouts += e->result == -ETIMEDOUT;
		refusals += e->result == -EBUSY;
		good += e->result == 0;
		return false;
	}
	/* What is worked out without the disk goes on. */
	if (e->kind < EFFECT_READ || e->kind > EFFECT_LEASE || e->kind == EFFECT_CHECK)
		return true;
	keep(e);
	return false;
}

/* The disk goes on, in its order; what it owes by then it owes no more. */
static void recover(struct netkit *k)
{
	for (unsigned int i = 0; i < owed_count; i++) {
		struct effect e = owed[i];
		struct event done;

		memory_catalogue_apply(&k->node[SICK].disk, &e, &done);
		node_input(k->node[SICK].node, &done, k->now);
		chunk_drop(e.chunk);
		chunk_drop(done.chunk);
		netkit_run(k, 1);
	}
	free(owed);
	owed = NULL;
	owed_count = owed_size = 0;
}

static struct chunk *make_chunk(unsigned int i, struct address *a)
{
	uint8_t *bytes;
	struct chunk *c = chunk_new(100, &bytes);

	assert_non_null(c);
	memset(bytes, (int)i, 100);
	address_of(KIND_DATA, bytes, 100, a);
	return c;
}

static int insert(struct netkit *k, unsigned int at, unsigned int i, uint8_t acks)
{
	struct command c = { .kind = COMMAND_INSERT, .acks = acks, .timeout = 8 * S, .chunk_kind = KIND_DATA };
	int r;

	c.chunk = make_chunk(i, &c.address);
	r = netkit_ask(k, at, &c)->result;
	chunk_drop(c.chunk);
	return r;
}

static int fetch(struct netkit *k, unsigned int at, unsigned int i)
{
	struct command c = { .kind = COMMAND_FETCH, .timeout = 8 * S, .chunk_kind = KIND_DATA };

	chunk_drop(make_chunk(i, &c.address));
	return netkit_ask(k, at, &c)->result;
}

static void ask_for_all(struct netkit *k)
{
	for (unsigned int i = 0; i < CHUNKS; i++) {
		struct command c = { .kind = COMMAND_FETCH, .timeout = 10 * MS, .chunk_kind = KIND_DATA };

		chunk_drop(make_chunk(i, &c.address));
		netkit_command(k, SICK, &c);
	}
	netkit_run(k, 20 * MS);
}

static void a_node_whose_disk_hangs_refuses_lives_and_goes_on(void **state)
{
	struct netkit *k = netkit_ring(3, 1);
	struct node_status s;

	(void)state;
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(insert(k, 0, i, 2), 0);
	netkit_run(k, 5 * S);
	k->effect = hangs;
	count_replies = true;
	for (unsigned int round = 0; round < ROUNDS; round++)
		ask_for_all(k);
	assert_false(k->node[SICK].stopped);
	assert_int_equal(replies, ROUNDS * CHUNKS);
	assert_true(timeouts > 0);
	/* Nothing more is asked of the disk, and in the end chunks come from the others. */
	assert_in_range(owed_count, 1, DISK_MAX);
	assert_true(good + timeouts == replies);
	count_replies = false;
	assert_int_equal(fetch(k, SICK, 1), 0);
	assert_int_equal(insert(k, SICK, CHUNKS, 2), -EBUSY);
	/* To the others it is a member that does not keep anything. */
	assert_int_equal(membership_health(k->node[0].node, &k->node[SICK].id), PEER_ALIVE);
	assert_int_equal(insert(k, 0, CHUNKS + 1, 1), 0);
	assert_int_equal(insert(k, 0, CHUNKS + 2, 2), -ETIMEDOUT);
	assert_int_equal(fetch(k, 2, CHUNKS + 1), 0);
	node_status(k->node[SICK].node, &s);
	assert_true(s.memory < 8u << 20);

	k->effect = NULL;
	recover(k);
	netkit_run(k, 60 * S);
	assert_false(k->node[SICK].stopped);
	assert_true(netkit_settle(k));
	assert_int_equal(insert(k, SICK, CHUNKS, 2), 0);
	assert_int_equal(insert(k, 0, CHUNKS + 3, 2), 0);
	for (unsigned int i = 0; i < CHUNKS + 4; i++)
		assert_int_equal(fetch(k, SICK, i), 0);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_whose_disk_hangs_refuses_lives_and_goes_on),
	};

	return suite_run(tests);
}
