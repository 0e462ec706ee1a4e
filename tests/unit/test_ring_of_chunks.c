/* Chunks in a ring of whole nodes: written while owners are away, read from anywhere, handed over, proved, made good. */
#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <string.h>

#define NODES  7u
#define CHUNKS 60u

static struct netkit *k;
static struct address address[CHUNKS];
static struct chunk *chunk[CHUNKS];
static struct ring *ring;

static void begin(uint64_t seed)
{
	struct ring_member members[NODES];

	k = netkit_new(NODES, seed);
	netkit_start_all(k);
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < NODES; i++)
		members[i] = (struct ring_member){ .id = k->node[i].id, .weight = 1 };
	assert_int_equal(ring_build(members, NODES, 3, &ring), 0);
	for (uint64_t i = 0; i < CHUNKS; i++) {
		chunk[i] = chunk_copy((uint64_t[]){ seed, i }, 16);
		address_of(KIND_DATA, chunk[i]->data, chunk[i]->len, &address[i]);
	}
}

static void finish(void)
{
	for (unsigned int i = 0; i < CHUNKS; i++)
		chunk_drop(chunk[i]);
	ring_free(ring);
	netkit_free(k);
}

static int insert(unsigned int at, unsigned int i, unsigned int acks)
{
	struct command c = { .kind = COMMAND_INSERT, .address = address[i], .chunk_kind = KIND_DATA, .chunk = chunk[i],
		.acks = (uint8_t)acks, .timeout = 10 * S };

	return netkit_ask(k, at, &c)->result;
}

static int fetch(unsigned int at, unsigned int i)
{
	struct command c = { .kind = COMMAND_FETCH, .address = address[i], .timeout = 10 * S };
	const struct effect *e = netkit_ask(k, at, &c);

	if (!e->result) {
		assert_int_equal(e->chunk->len, 16);
		assert_memory_equal(e->chunk->data, chunk[i]->data, 16);
	}
	return e->result;
}

static bool owns(unsigned int node, unsigned int i)
{
	return ring_owns(ring, ring_slot(&address[i]), (unsigned int)ring_find(ring, &k->node[node].id));
}

static unsigned int state_at(unsigned int node, unsigned int i)
{
	struct catalogue *c = &k->node[node].disk.catalogue;

	return c->state(c, &address[i]) & STATE_ANY;
}

/* Each is with its owners, as theirs, and FOREIGN nowhere. */
static bool in_place(struct netkit *kit)
{
	(void)kit;
	for (unsigned int i = 0; i < CHUNKS; i++)
		for (unsigned int n = 0; n < NODES; n++) {
			unsigned int is = state_at(n, i);

			if (is & STATE_FOREIGN || (owns(n, i) && is != STATE_OWNED) || (!owns(n, i) && is == STATE_OWNED))
				return false;
		}
	return true;
}

static void what_one_writes_all_can_read(void **state)
{
	(void)state;
	begin(1);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(insert(i % NODES, i, 2), 0);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(fetch((i + 3) % NODES, i), 0);
	assert_true(netkit_until(k, in_place, 60 * S));
	finish();
}

static void what_nobody_wrote_is_not_there(void **state)
{
	(void)state;
	begin(2);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(fetch(i % NODES, i), -ENOENT);
	/* With an owner away nobody knows. */
	netkit_crash(k, 3);
	for (unsigned int i = 0; i < CHUNKS; i++)
		if (owns(3, i))
			assert_in_set((uintmax_t)-fetch(0, i), ((uintmax_t[]){ EIO, ETIMEDOUT }), 2);
		else
			assert_int_equal(fetch(0, i), -ENOENT);
	finish();
}

static void what_is_written_while_owners_are_away_is_theirs_when_they_are_back(void **state)
{
	(void)state;
	begin(3);
	netkit_crash(k, 2);
	netkit_crash(k, 5);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(insert(0, i, 2), 0);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(fetch(1, i), 0);
	netkit_run(k, 60 * S);
	assert_false(in_place(k));
	netkit_start(k, 2);
	netkit_start(k, 5);
	assert_true(netkit_until(k, in_place, 900 * S));
	finish();
}

static void a_writer_that_starts_again_goes_on(void **state)
{
	(void)state;
	begin(4);
	netkit_crash(k, 2);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(insert(0, i, 1), 0);
	netkit_crash(k, 0);
	netkit_run(k, 20 * S);
	netkit_start(k, 2);
	netkit_start(k, 0);
	assert_true(netkit_until(k, in_place, 900 * S));
	finish();
}

static void one_that_is_cut_off_fails_and_does_not_wait(void **state)
{
	(void)state;
	begin(5);
	for (unsigned int n = 1; n < NODES; n++)
		netkit_cut(k, 0, n, true);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 10; i++) {
		uint64_t now = k->now;

		assert_int_equal(insert(0, i, 2), -EHOSTUNREACH);
		assert_int_equal(insert(0, i, 0), 0);
		assert_true(k->now - now < 1 * S);
		now = k->now;
		assert_in_set((uintmax_t)-fetch(0, i + 20), ((uintmax_t[]){ EIO, ETIMEDOUT }), 2);
		assert_true(k->now - now <= 10 * S);
	}
	for (unsigned int n = 1; n < NODES; n++)
		netkit_cut(k, 0, n, false);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(fetch(1, i), 0);
	finish();
}

static void bad_copies_are_not_delivered_and_made_good(void **state)
{
	(void)state;
	begin(6);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(insert(0, i, 3), 0);
	assert_true(netkit_until(k, in_place, 60 * S));
	for (unsigned int i = 0; i < CHUNKS; i++)
		for (unsigned int n = 0, bad = 0; n < NODES && bad < 2; n++)
			if (owns(n, i)) {
				memory_catalogue_rot(&k->node[n].disk, &address[i]);
				bad++;
			}
	for (unsigned int i = 0; i < CHUNKS; i++)
		for (unsigned int n = 0; n < NODES; n++)
			assert_int_equal(fetch(n, i), 0);
	finish();
}

static void confirm_counts_those_that_prove_it(void **state)
{
	struct command c = { .kind = COMMAND_CONFIRM };

	(void)state;
	begin(7);
	assert_int_equal(insert(0, 0, 3), 0);
	assert_true(state_at(0, 0));
	c.address = address[0];
	assert_int_equal(netkit_ask(k, 0, &c)->count, 3);
	for (unsigned int n = 1; n < NODES; n++)
		if (owns(n, 0)) {
			struct effect gone = { .kind = EFFECT_STATES, .address = address[0] };
			struct event done;

			memory_catalogue_apply(&k->node[n].disk, &gone, &done);
			break;
		}
	assert_int_equal(netkit_ask(k, 0, &c)->count, 2);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_writes_all_can_read),
		cmocka_unit_test(what_nobody_wrote_is_not_there),
		cmocka_unit_test(what_is_written_while_owners_are_away_is_theirs_when_they_are_back),
		cmocka_unit_test(a_writer_that_starts_again_goes_on),
		cmocka_unit_test(one_that_is_cut_off_fails_and_does_not_wait),
		cmocka_unit_test(bad_copies_are_not_delivered_and_made_good),
		cmocka_unit_test(confirm_counts_those_that_prove_it),
	};

	return suite_run(tests);
}
