/*
 * network_impl: what the files of the network share: network.c carries bytes, network_faults.c is the nemesis' hand on it.
 */
#ifndef TESTS_SIM_NETWORK_IMPL_H
#define TESTS_SIM_NETWORK_IMPL_H

#include "chunker/list.h"
#include "tests/sim/network.h"

/* SEGMENT_ANSWER: to a dial: it stands in the stream, so that what was written by who was called doesn't overtake it. */
enum segment_kind { SEGMENT_DATA, SEGMENT_ANSWER, SEGMENT_END, SEGMENT_RESET };

struct segment {
	struct segment *next;
	uint64_t arrival;
	uint32_t len;
	enum segment_kind kind;
	uint8_t bytes[];
};

/* One direction.  At most one delivery is planned: that of the first segment. */
struct pipe {
	struct segment *first, *last;
	uint64_t arrival;		/* of the last: nothing overtakes */
	uint64_t stall_until;
	size_t in_flight;		/* bytes written and not acknowledged ... */
	size_t held_back;		/* ... of these delivered, but no acknowledgement came through */
	uint64_t stuck;			/* which time the kernel's patience runs for; even: it does not */
	bool planned, wants_room, waiting;	/* waiting: for the network to let something through */
};

struct connection {
	struct list link;
	unsigned int events;		/* planned ones that name it */
	struct host *host[2];		/* 0 dialled */
	struct hostlink *end[2];	/* NULL: hung up, or gone with its process */
	struct pipe pipe[2];		/* [i]: from end i to the other */
	bool cut;			/* nothing that is written arrives: who writes is told so, some time later */
};

struct clog {
	int from, to;
	uint64_t delay;
};

struct net {
	struct list connections;	/* in the order in which they were dialled */
	unsigned int count;
	bool blocked[NETWORK_GROUPS][NETWORK_GROUPS];
	struct clog clog[NETWORK_CLOGS];
	struct dice dice;
	uint64_t patience;		/* us until a kernel gives a connection up */
};

/** connection_plan(w, c, at, fire, number): ${c} stays until then.  connection_break(w, c, side): one end is told that it is over. */
void connection_plan(struct world *w, struct connection *c, uint64_t at,
    void (*fire)(struct world *w, void *arg, uint64_t number), uint64_t number);
void connection_break(struct world *w, void *arg, uint64_t side);

/** pipe_deliver(w, c, side, at): its first segment arrives at ${at}, unless that is planned.  pipe_acknowledge(w, c, side, len): so many bytes
 * more have come through; the sender hears of them if it can.  pipe_clear(p): what is in it is lost. */
void pipe_deliver(struct world *w, struct connection *c, unsigned int side, uint64_t at);
void pipe_acknowledge(struct world *w, struct connection *c, unsigned int side, size_t len);
void pipe_clear(struct pipe *p);

#endif
