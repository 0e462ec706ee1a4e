/*
 * chunkkit: one node's machines for chunks (insert, fetch, confirm, foreign, audit, chunkserve) among peers that are
 * made up.  Timers, disk work and commands are the node's own; calls, peers, placement and membership are stood in for: each peer
 * answers after its latency as its ways say.  The disk is a memory_catalogue.
 */
#ifndef TESTS_CHUNKKIT_H
#define TESTS_CHUNKKIT_H

#include "dht/net/node_core.h"
#include "tests/lib/memory_catalogue.h"

#define KIT_PEERS 90u		/* more than anyone looks at in one go */

/* How a peer behaves. */
enum kit_way {
	KIT_DOWN = 1,		/* the view says so, and it can't be reached */
	KIT_UNREACHABLE = 2,	/* in backoff, but the view does not say that it is down */
	KIT_SILENT = 4,
	KIT_CUT = 8,		/* the link is lost while the call is under way */
	KIT_WRONG_BYTES = 16,
	KIT_FALSE_STORED = 32,	/* says yes to touch and put, and keeps nothing */
	KIT_WRONG_PROOF = 64,
	KIT_INCOMPLETE = 128,	/* its misses don't count */
	KIT_NO_FIELDS = 256,	/* WIRE_OK, and nothing else */
	KIT_NO_READ = 512,	/* WIRE_FAULT for all that reads */
	KIT_DELETED = 1024,	/* says yes to touch, and a put stays: once its copy was lost */
	KIT_FULL = 2048,	/* takes no put */
	KIT_FEW_BITS = 4096,	/* answers a touch with one byte, however many were asked for */
	KIT_UNKNOWN = 8192,	/* there is no memory to know it */
};

struct kit_copy {
	struct address address;
	enum kind kind;
	struct chunk *chunk;
	bool spare;
	struct address volume;		/* of the put; zeros: none was named */
};

struct kit_peer {
	struct peer peer;
	unsigned int ways, status;	/* status: not WIRE_OK: its answer to everything */
	uint64_t latency;		/* what it takes; what we remember is in ${peer} */
	struct kit_copy *copy;
	unsigned int copies;
	/* what it was asked */
	unsigned int touches, touched, puts, gets, audits, wrong;
	struct address nonce[2];	/* of the last audits, by turns */
	unsigned int flying;		/* puts and audits that it has not answered */
};

struct kit_reply {
	uint64_t ticket;
	int result;
	struct chunk *chunk;
	enum kind kind;
	uint32_t count;
	struct chunk *blob;
};

struct kit {
	struct node *node;
	struct ring_file file;
	struct memory_catalogue disk;
	struct kit_peer peer[KIT_PEERS];
	unsigned int members;		/* peers of the table, besides us */
	struct ring *ring, *earlier[2];	/* newest first */
	bool incomplete;		/* what placement_complete() does not say */
	bool pulling;			/* what pulls_busy() says */
	bool deleting;
	struct list calls;		/* under way, in the order of their answers */
	struct list works;		/* effects of the disk, not carried out yet */
	bool hold_disk;			/* they stay so ... */
	bool hold_writes;		/* ... from the first write on */
	int disk_fails;			/* the result of every write, if not 0 */
	struct kit_reply reply[4096];
	unsigned int replies;
	uint64_t tickets;
	struct address volume;		/* of the commands to come */
	unsigned int touches;		/* touched() */
	unsigned int settled;		/* EFFECT_STATES */
	unsigned int flying_max;	/* puts on their way at a time, at most */
	struct list served;		/* requests of peers that are not answered yet */
	/* the answer to the last one */
	struct message answer;
	struct chunk *answer_tail;
	uint8_t answer_have[WIRE_ADDRESSES_MAX / 8];
	unsigned int answers;
};

/** kit_start(members, replicas): a node that has just started, its table built, with so many others.  kit_end().
 * kit_boot(k), kit_halt(k): the process starts, or ends (its disk stays). */
struct kit *kit_start(unsigned int members, unsigned int replicas);
void kit_end(struct kit *k);
void kit_boot(struct kit *k);
void kit_halt(struct kit *k);

/** kit_table(k, members, moving): another table: that many others; the one before, and the one before that, stay
 * placement_earlier() where ${moving}. */
void kit_table(struct kit *k, unsigned int members, bool moving);

/** kit_back(k, p): it behaves from now on, and its link is up. */
void kit_back(struct kit *k, struct kit_peer *p);

/** kit_run(k, us): so much time passes; all that is due in it happens.  kit_settle(k): what is due now. */
void kit_run(struct kit *k, uint64_t us);
void kit_settle(struct kit *k);

/** kit_chunk(seed, len, out): made-up bytes and their address, as data.  kit_find(k, mine, seed, a): such a chunk in a slot
 * that is ours, or is not; held for the caller. */
struct chunk *kit_chunk(uint64_t seed, size_t len, struct address *out);
struct chunk *kit_find(struct kit *k, bool mine, uint64_t seed, struct address *out);

/** kit_owners(k, a, out): its other owners by rank.  kit_walk(k, a, i): the i-th other on its walk. */
unsigned int kit_owners(struct kit *k, const struct address *a, struct kit_peer **out);
struct kit_peer *kit_walk(struct kit *k, const struct address *a, unsigned int i);

void kit_give(struct kit_peer *p, const struct address *a, struct chunk *c);	/* it has a copy */
void kit_take(struct kit_peer *p, const struct address *a);	/* it has none any more */
struct kit_copy *kit_has(struct kit_peer *p, const struct address *a);

/** kit_keep(k, a, chunk, states): on our disk.  kit_lease(k, a): a lease has it, and it alone of its slot. */
void kit_keep(struct kit *k, const struct address *a, struct chunk *c, unsigned int states);
void kit_lease(struct kit *k, const struct address *a);
unsigned int kit_state(struct kit *k, const struct address *a);

/** kit_command(k, kind, a, chunk, acks, timeout): its ticket.  kit_reply(k, ticket): NULL: none yet; never two. */
uint64_t kit_command(struct kit *k, enum command_kind kind, const struct address *a, struct chunk *c, unsigned int acks,
    uint64_t timeout);
struct kit_reply *kit_reply(struct kit *k, uint64_t ticket);

/** kit_ask(k, from, m, bytes): a peer's request; k->answer is what it gets (k->answers counts). */
void kit_ask(struct kit *k, struct kit_peer *from, struct message *m, struct chunk *bytes);

#endif
