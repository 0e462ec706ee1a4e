/*
 * swarm: membership of many nodes in one process, with virtual time, and a network that delays and stalls.  A thousand of
 * them in a minute of processor time: tables of slots are left out, disks keep nothing but a node's own row, and
 * records are shared.  Link with no_machines.  What it does follows from its seed alone.
 *
 * Each pair of nodes has its own delay, one way from 1 to SWARM_DELAY_MAX.  Connections are streams: what is sent comes in
 * order, and what is sent while one stalls comes when it goes on.
 */
#ifndef TESTS_SWARM_H
#define TESTS_SWARM_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/net/limits.h"
#include "dht/net/node_impl.h"

#define SWARM_DELAY_MAX (50 * MS)

struct swarm_link;
struct swarm_event;

/* What the disk of a node that starts knows of another. */
struct swarm_row {
	struct address id;
	struct chunk *record;
};

struct swarm_node {
	struct catalogue catalogue;	/* the first */
	struct swarm *swarm;
	struct node *node;		/* NULL: it does not run */
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct address id;
	char address[16];
	unsigned int starts;
	struct chunk *row;		/* of its own, ROW_SELF */
	uint64_t wake;			/* when its deadline is planned */
	uint64_t paused;		/* until then nothing comes to it, and no time passes for it */
	uint64_t slow;			/* us more for all that comes to it or goes */
	bool mute;			/* the machine is gone: links to it stay, and nothing comes */
	unsigned int side;		/* nodes of two sides can't reach each other */
	bool stopped;
	char why[160];
};

struct swarm {
	uint64_t now, random;
	unsigned int count;
	struct swarm_node *node;
	struct ring_file file;
	uint8_t admin[MEMBER_SECRET];
	struct member_table *records;
	struct swarm_row *row;		/* in the order of ids */
	unsigned int rows;
	uint64_t stall_every, stall_for;	/* us, means: how long a link runs, and then stalls; 0: none does */
	uint64_t messages, bytes, dials, stalls;
	/** Told of each line that a node logs; NULL: nobody is. */
	void (*log)(struct swarm *s, unsigned int at, const char *text);
	/* private */
	struct swarm_event *event;	/* a heap */
	size_t events, event_size;
	struct swarm_link **link;	/* by number */
	uint32_t links, link_size;
	uint64_t order;
};

/** swarm_new(count, seed): none runs.  swarm_known(s, count): those that start from now on know the first ${count} from their disks.
 * Whatever fails in here ends the test. */
struct swarm *swarm_new(unsigned int count, uint64_t seed);
void swarm_free(struct swarm *s);
void swarm_known(struct swarm *s, unsigned int count);

/** swarm_start(s, i): with the first node as its seed.  swarm_stop(s, i, mute): its links are reset, or, as when a machine loses its power, go
 * mute.  swarm_run(s, us). */
void swarm_start(struct swarm *s, unsigned int i);
void swarm_stop(struct swarm *s, unsigned int i, bool mute);
void swarm_run(struct swarm *s, uint64_t us);

/** swarm_cut(s, i, side): node ${i} goes to a side; links between sides are reset, and dials get no answer. */
void swarm_cut(struct swarm *s, unsigned int i, unsigned int side);

void swarm_command(struct swarm *s, unsigned int i, struct command *c);

/** swarm_agree(s): nodes that run, and have the same view (by its digest) as the first that runs.
 * swarm_down(s, i): nodes that run and take ${i} as down.  swarm_members(s, i): that node ${i} knows. */
unsigned int swarm_agree(struct swarm *s);
unsigned int swarm_down(struct swarm *s, unsigned int i);
unsigned int swarm_members(struct swarm *s, unsigned int i);
unsigned int swarm_running(const struct swarm *s);

/** swarm_random(s, below). */
uint64_t swarm_random(struct swarm *s, uint64_t below);

#endif
