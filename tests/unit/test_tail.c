/*
 * Reads from a ring of whole nodes, measured: how long they take when all is well, and when one of the owners answers no
 * more; how many second requests that costs; how many need one trip.  Disks take times of a long tail.
 */
#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

#define NODES  7u
#define CHUNKS 300u
#define READS  4000u
#define EVERY  (2 * MS)		/* a read, on average, whether the ones before are answered or not */

enum stall { NONE, DISK, LINK };

static struct netkit *k;
static struct address address[CHUNKS];
static uint64_t began[3 * READS + 1], took[READS];
static unsigned int done, failed;
static uint64_t state_of_chance;
static enum stall stall;
static unsigned int stalled;

static uint64_t chance(uint64_t below)
{
	state_of_chance = state_of_chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (state_of_chance >> 32) * below >> 32;
}

/* Exponential, about: ${mean} x -ln(u), whose logarithm is straight between powers of two. */
static uint64_t some_time(uint64_t mean)
{
	uint64_t u = 1 + chance(UINT32_MAX), power = 63u - (unsigned int)__builtin_clzll(u);
	uint64_t log2 = (power << 32) + ((u << 32) >> power) - (UINT64_C(1) << 32);

	return mean * ((UINT64_C(32) << 32) - log2) / 6196328019u;	/* 2^32 / ln 2 */
}

static bool effect(struct netkit *kit, unsigned int at, const struct effect *e)
{
	if (e->kind == EFFECT_REPLY && at == 0) {
		failed += e->result != 0;
		took[done++ % READS] = kit->now - began[e->ticket];
		return false;
	}
	kit->disk_delay = 300;
	if (e->kind == EFFECT_READ)
		kit->disk_delay += some_time(3 * MS);
	return !(stall == DISK && at == stalled && e->kind == EFFECT_READ);
}

static bool filter(struct netkit *kit, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)kit;
	(void)m;
	return stall != LINK || (from != stalled && to != stalled);
}

/* Where all others have them, whoever owns their slots, and the reader does not. */
static void place_chunks(void)
{
	struct ring_member members[NODES] = { { .weight = 0 } };
	unsigned int placed = 0;
	struct ring *r;

	for (unsigned int i = 0; i < NODES; i++)
		members[i] = (struct ring_member){ .id = k->node[i].id, .weight = 1 };
	assert_int_equal(ring_build(members, NODES, 3, &r), 0);
	for (uint64_t i = 0; placed < CHUNKS; i++) {
		struct chunk *c = chunk_copy(&i, sizeof i);
		struct effect write = { .kind = EFFECT_WRITE, .chunk_kind = KIND_DATA, .chunk = c, .states = STATE_OWNED };
		struct event written;

		address_of(KIND_DATA, c->data, c->len, &write.address);
		if (!ring_owns(r, ring_slot(&write.address), (unsigned int)ring_find(r, &k->node[0].id))) {
			for (unsigned int n = 1; n < NODES; n++)
				memory_catalogue_apply(&k->node[n].disk, &write, &written);
			address[placed++] = write.address;
		}
		chunk_drop(c);
	}
	ring_free(r);
	k->node[0].disk.space = 0;		/* it keeps no copies */
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct figures {
	uint64_t p50, p95, p99, worst;
	double extra, one_trip;		/* of a hundred reads */
};

static struct figures measure(const char *what)
{
	struct node_status before, after;
	struct figures f;

	done = failed = 0;
	node_status(k->node[0].node, &before);
	for (unsigned int i = 0; i < READS; i++) {
		struct command c = { .kind = COMMAND_FETCH };

		netkit_run(k, some_time(EVERY));
		c.address = address[chance(CHUNKS)];
		began[k->tickets + 1] = k->now;
		netkit_command(k, 0, &c);
	}
	netkit_run(k, 40 * S);
	node_status(k->node[0].node, &after);
	assert_int_equal(done, READS);
	qsort(took, READS, sizeof *took, compare);
	f = (struct figures){ took[READS / 2], took[READS * 95 / 100], took[READS * 99 / 100], took[READS - 1],
		100.0 * (double)(after.reads_hedged - before.reads_hedged) / READS,
		100.0 * (double)(after.reads_one_trip - before.reads_one_trip) / (double)(after.reads - before.reads) };
	print_message("# %s: ms p50 %.1f, p95 %.1f, p99 %.1f, worst %.1f; second requests %.2f %%, one trip %.2f %%, failed %u\n",
	    what, (double)f.p50 / 1e3, (double)f.p95 / 1e3, (double)f.p99 / 1e3, (double)f.worst / 1e3, f.extra, f.one_trip,
	    failed);
	assert_int_equal(failed, 0);
	return f;
}

static void one_owner_that_stalls_costs_no_more_than_twice_the_tail(void **state)
{
	uint64_t seed = suite_seed(1);

	(void)state;
	for (enum stall how = DISK; how <= LINK; how++) {
		struct figures well, ill;
		struct node_status all;

		state_of_chance = seed;
		stall = NONE;
		k = netkit_new(NODES, seed);
		place_chunks();
		k->effect = effect;
		k->filter = filter;
		netkit_start_all(k);
		assert_true(netkit_settle(k));
		measure("warming up");
		well = measure("all is well");
		stalled = 1 + (unsigned int)(seed % (NODES - 1));
		stall = how;
		ill = measure(how == DISK ? "one reads no more" : "one is mute");
		assert_true(well.one_trip >= 99.0);
		assert_true(ill.p99 <= 2 * well.p99);
		/* Of all reads; what one stretch of them left over another may use. */
		node_status(k->node[0].node, &all);
		assert_true(all.reads_hedged * 100 <= all.reads * HEDGE_SHARE);
		assert_true(well.extra < 5.5 && ill.extra < 5.5);
		netkit_free(k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_owner_that_stalls_costs_no_more_than_twice_the_tail),
	};

	return suite_run(tests);
}
