/*
 * netkit: a handful of nodes in one process, with virtual time, disks in memory and links that deliver all in order after
 * one delay.  No model of a network: for that there is the simulator.  What it does follows from its seed alone.
 *
 * A node's address is "node:N", N from 0.  Links are only as real as the node sees them: no handshake, no credits.
 */
#ifndef TESTS_NETKIT_H
#define TESTS_NETKIT_H

#include <sodium.h>

#include "dht/net/limits.h"
#include "dht/net/node.h"
#include "tests/lib/memory_catalogue.h"

struct netkit_node {
	struct node *node;		/* NULL: it does not run */
	struct memory_catalogue disk;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct address id;
	char address[16];
	uint64_t generation;
	unsigned int starts;
	bool stopped;			/* EFFECT_STOP: ${why} */
	char why[sizeof(((struct effect *)0)->text)];
	/* for tests to set before netkit_start() */
	uint8_t weight;			/* 0: 1 */
	const char *zone;
	const char *seeds[4];		/* none: the first node, for all but the first */
	bool newborn;			/* its first start knows that it is the first */
	bool forgot;			/* it has no seeds, and founds nothing all the same */
};

struct netkit {
	uint64_t now, seed;
	uint64_t delay, disk_delay;	/* us; may be changed at any time */
	unsigned int count;
	struct netkit_node *node;
	struct ring_file file;
	uint8_t admin[MEMBER_SECRET];
	/** Sees each message before it is sent, and may change its bytes; false: it is lost (nothing else is). */
	bool (*filter)(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m);
	/** Sees each effect before it is carried out; false: it is not (a disk that hangs). */
	bool (*effect)(struct netkit *k, unsigned int at, const struct effect *e);
	void *user;			/* theirs */
	uint64_t messages, bytes, dials;
	crypto_generichash_state trace;	/* over all effects */
	/* private */
	struct netkit_event *events;
	struct netkit_link *links;
	struct netkit_reply *replies;
	struct netkit_table *tables;
	bool *cut;			/* count x count */
	uint32_t numbers;
	uint64_t order, tickets;
};

/** netkit_new(count, seed): R = min(3, count), W = min(2, R); no node runs yet.  Whatever fails here ends the test. */
struct netkit *netkit_new(unsigned int count, uint64_t seed);
void netkit_free(struct netkit *k);

/** netkit_start(k, i), netkit_start_all(k): each time a new process with the disk that is there.
 * netkit_crash(k, i): the process is gone, and its links; what was on its way to the disk is lost.
 * netkit_restart(k, i): both.
 * netkit_wipe(k, i): while it does not run: a new disk, of another generation; the key stays.
 * netkit_lose_disk(k): the first node starts again with a new disk, and finds the ring by the second.
 * netkit_rows(k, i, table): how many rows of it its disk has. */
void netkit_start(struct netkit *k, unsigned int i);
void netkit_start_all(struct netkit *k);
void netkit_crash(struct netkit *k, unsigned int i);
void netkit_restart(struct netkit *k, unsigned int i);
void netkit_wipe(struct netkit *k, unsigned int i);
void netkit_lose_disk(struct netkit *k);
unsigned int netkit_rows(const struct netkit *k, unsigned int i, enum catalogue_table table);

/** netkit_cut(k, a, b, cut): links between the two are reset, and dials fail, until it is false again. */
void netkit_cut(struct netkit *k, unsigned int a, unsigned int b, bool cut);

/** netkit_cut_off(k, i, cut): from all others. */
void netkit_cut_off(struct netkit *k, unsigned int i, bool cut);

/** netkit_run(k, us): so much time passes.  netkit_until(k, over, us): until over(k), at most so long; false: it is not. */
void netkit_run(struct netkit *k, uint64_t us);
bool netkit_until(struct netkit *k, bool (*over)(struct netkit *k), uint64_t us);

/** netkit_settle(k): until all that run have one placement, and are complete; false: not within 2 minutes. */
bool netkit_settle(struct netkit *k);

/** netkit_ring(count, seed): a new one, all nodes started and settled, and links between them. */
struct netkit *netkit_ring(unsigned int count, uint64_t seed);

/** netkit_owns(k, i, slot): it runs, and is an owner of it.  netkit_nth(k, slot, owner, rank): the rank-th that runs and is an
 * owner, or is none. */
bool netkit_owns(const struct netkit *k, unsigned int i, unsigned int slot);
unsigned int netkit_nth(const struct netkit *k, unsigned int slot, bool owner, unsigned int rank);

/** netkit_command(k, i, c): fills in the ticket (and 30 s where there is no timeout), returns it.
 * netkit_reply(k, ticket): NULL: none yet; more than one ends the test.  netkit_ask(): both, waiting. */
uint64_t netkit_command(struct netkit *k, unsigned int i, struct command *c);
const struct effect *netkit_reply(struct netkit *k, uint64_t ticket);
const struct effect *netkit_ask(struct netkit *k, unsigned int i, struct command *c);

/** netkit_trace(k, out): the hash over all effects so far. */
void netkit_trace(const struct netkit *k, struct address *out);

#endif
