/* fetch_test: fetches of one chunk at a time, on a chunkkit; what the programs share that test them. */
#ifndef TESTS_FETCH_TEST_H
#define TESTS_FETCH_TEST_H

#include <errno.h>
#include <string.h>

#include "dht/net/chunks.h"
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];	/* the others, by rank */

static inline void begin(unsigned int members, bool mine)
{
	k = kit_start(members, 3);
	c = kit_find(k, mine, 1, &a);
	kit_owners(k, &a, owner);
}

/* Another chunk from now on. */
static inline void another(bool mine, uint64_t seed)
{
	chunk_drop(c);
	c = kit_find(k, mine, seed, &a);
	kit_owners(k, &a, owner);
}

static inline void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static inline uint64_t fetch(uint64_t timeout)
{
	return kit_command(k, COMMAND_FETCH, &a, NULL, 0, timeout);
}

static inline void heal(const struct address *bad)
{
	fetch_heal(k->node, bad);
	kit_settle(k);
}

static inline void assert_replied(uint64_t ticket, int result)
{
	struct kit_reply *r = kit_reply(k, ticket);

	assert_non_null(r);
	assert_int_equal(r->result, result);
	if (result)
		assert_null(r->chunk);
}

static inline void assert_bytes(uint64_t ticket, const struct chunk *bytes)
{
	struct kit_reply *r = kit_reply(k, ticket);

	assert_replied(ticket, 0);
	assert_int_equal(r->kind, KIND_DATA);
	assert_int_equal(r->chunk->len, bytes->len);
	assert_memory_equal(r->chunk->data, bytes->data, bytes->len);
}

static inline unsigned int gets(void)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < KIT_PEERS; i++)
		sum += k->peer[i].gets;
	return sum;
}

/* All owners have it, and answer ${i}-th fastest by rank; we know that. */
static inline void all_have_it(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		kit_give(owner[i], &a, c);
		owner[i]->latency = (5 + 2 * i) * MS;
		owner[i]->peer.latency = owner[i]->peer.latency_p95 = owner[i]->latency;
	}
}

#endif
