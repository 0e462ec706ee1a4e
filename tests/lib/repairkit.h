/*
 * repairkit: nodes of a netkit whose disks have chunks, and the leases of one volume that keep them.  Chunks are known by
 * their numbers, in the order of their addresses.
 */
#ifndef TESTS_REPAIRKIT_H
#define TESTS_REPAIRKIT_H

#include "dht/net/node_impl.h"
#include "tests/lib/netkit.h"

/* What went over the links, but for what is of membership. */
struct repairkit_traffic {
	uint64_t messages, bytes;
	uint64_t requests[WIRE_ANSWER];
	uint64_t by_type[WIRE_ANSWER];	/* bytes, those of its answers among them */
};

#define REPAIRKIT_ASKED 4096u

struct repairkit_asked {
	unsigned int from, to;
	uint32_t request;
	unsigned int type;
};

struct repairkit {
	struct netkit *net;
	unsigned int chunks;
	uint32_t len;
	struct address *address;
	struct chunk **chunk;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct address volume;
	bool *out;			/* nodes that have left the table: for tests to set */
	struct ring *table;
	struct repairkit_traffic traffic;
	struct repairkit_asked *asked;	/* the last requests, in a circle */
	unsigned int asked_at;
	/** Sees each message that is not of membership; false: it is lost. */
	bool (*meddle)(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m);
	void *user;
};

/** repairkit_new(nodes, chunks, len, seed): nothing runs, the disks are empty.  repairkit_free(k). */
struct repairkit *repairkit_new(unsigned int nodes, unsigned int chunks, uint32_t len, uint64_t seed);
void repairkit_free(struct repairkit *k);

/** repairkit_put(k, node, i): on its disk, OWNED.  repairkit_put_all(): all chunks.  While it does not run. */
void repairkit_put(struct repairkit *k, unsigned int node, unsigned int i);
void repairkit_put_all(struct repairkit *k, unsigned int node);

/** repairkit_lease(k, node, seq, kept): a lease of number ${seq} for each slot of a chunk, of those chunks that ${kept} says
 * (NULL: all), to its disk. */
void repairkit_lease(struct repairkit *k, unsigned int node, uint64_t seq, bool (*kept)(unsigned int i));

/** repairkit_ring(nodes, running, chunks, len, seed): a new one: of ${nodes} so many run, the first has put and leased all chunks, and all
 * are in their place, complete. */
struct repairkit *repairkit_ring(unsigned int nodes, unsigned int running, unsigned int chunks, uint32_t len, uint64_t seed);

/** repairkit_node(k, i): one that runs. */
struct node *repairkit_node(struct repairkit *k, unsigned int i);

unsigned int repairkit_state(struct repairkit *k, unsigned int node, unsigned int i);
/** repairkit_owner(k, node, i): by the table of all that have ever run, but for those that are out. */
bool repairkit_owner(struct repairkit *k, unsigned int node, unsigned int i);
/** repairkit_copies(k, i): nodes that run and have it, other than cached. */
unsigned int repairkit_copies(struct repairkit *k, unsigned int i);
/** repairkit_astray(k): how often a chunk is not OWNED at an owner that runs, or is other than CACHED at another node. */
unsigned int repairkit_astray(struct repairkit *k);
/** repairkit_place(k, us): until none is astray; false: not within ${us}. */
bool repairkit_place(struct repairkit *k, uint64_t us);

/** repairkit_question(k, from, to, m): which type of request does answer ${m} answer?  Of a request: its own. */
unsigned int repairkit_question(struct repairkit *k, unsigned int from, unsigned int to, const struct link_message *m);

/** repairkit_repair(k): bytes of what repair says, but for chunks.  repairkit_forget(k): all traffic so far. */
uint64_t repairkit_repair(const struct repairkit *k);
void repairkit_forget(struct repairkit *k);

#endif
