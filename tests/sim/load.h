/*
 * load: the users.  Each host has one, who inserts, reads, leases, publishes heads and drops what he no longer wants;
 * all of it recorded, so that what comes back can be judged.
 */
#ifndef TESTS_SIM_LOAD_H
#define TESTS_SIM_LOAD_H

#include "dht/net/node.h"
#include "tests/sim/world.h"

struct item;

void load_open(struct world *w);
void load_close(struct world *w);

/** load_start(w), load_stop(w): users are at work, at random, as the options say. */
void load_start(struct world *w);
void load_stop(struct world *w);

/** load_reply(h, e): an EFFECT_REPLY.  load_gone(h): its process has: what it was asked is not answered. */
void load_reply(struct host *h, const struct effect *e);
void load_gone(struct host *h);
/** load_wiped(h): its disk is about to be lost: who read there forgets what he saw. */
void load_wiped(struct host *h);
/** load_row_lost(h, table, key): a row of its disk is. */
void load_row_lost(struct host *h, uint8_t table, const struct address *key);

/** load_waiting(w): commands that were not answered yet, and evictions that nobody has accepted. */
unsigned int load_waiting(const struct world *w);

/* One command of each kind; answers are judged as always. */
void load_insert(struct world *w, struct host *h, struct item *i, unsigned int acks);
void load_fetch(struct world *w, struct host *h, struct item *i, bool final);	/* final: it must succeed where somebody has it */
void load_evict(struct world *w, struct host *whom);
void load_simple(struct world *w, struct host *h, enum command_kind kind, uint64_t timeout, unsigned int count,
    unsigned int weight, const char *zone);

/** load_lease_all(w): each volume leases what it wants now, in every slot where that is not what its acknowledged lease
 * says.  True: nothing is left to do. */
bool load_lease_all(struct world *w);

/** load_drop_some(w): volumes want less than they did. */
void load_drop_some(struct world *w);

/** load_read_all(w): each item that should be there is fetched once, by somebody; and each volume's head. */
void load_read_all(struct world *w);

struct load_figures {
	uint64_t inserts, inserts_failed, fetches, fetches_failed, leases, leases_failed, heads, heads_failed, swaps,
	    swaps_failed;
	uint64_t *latency;		/* us of fetches that were not local */
	size_t latencies;
};
const struct load_figures *load_figures(const struct world *w);
void load_forget_figures(struct world *w);

#endif
