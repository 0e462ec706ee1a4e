/*
 * host_impl: what the files of a host share: host.c has the machine, its clock and its processes, host_links.c its links, host_effects.c
 * what its node is told and what it asks for.
 */
#ifndef TESTS_SIM_HOST_IMPL_H
#define TESTS_SIM_HOST_IMPL_H

#include "tests/sim/host.h"

struct hostlink {
	struct list link, dirty;	/* dirty: a ring of its own when it is not */
	struct hostlink *next;		/* in its bucket */
	struct host *host;
	uint32_t number;
	struct link *core;		/* NULL until the connection is there */
	struct connection *connection;	/* NULL: broken */
	uint64_t ticket;		/* of the dial that waits for its answer; 0: none */
	bool up, full, closing;
};

struct timed {			/* what is planned for one process */
	struct list link;		/* of its host */
	struct host *host;
	uint64_t boot;
	struct event event;
};

/* ---- host.c ---- */

/** host_world_time(h, clock): when the host's clock will show ${clock}, or a little later. */
uint64_t host_world_time(const struct host *h, uint64_t clock);

/* ---- host_effects.c ---- */

struct timed *timed_new(struct host *h);
void timed_free(struct timed *t);

/** host_input(h, e): its node is told.  host_finish(h): after one or more of these: its node's effects, what its links have to write, and
 * when it wants to be woken. */
void host_input(struct host *h, const struct event *e);
void host_finish(struct host *h);

/* ---- host_links.c ---- */

struct hostlink *hostlink_new(struct host *h);
struct hostlink *hostlink_find(struct host *h, uint32_t number);
void hostlink_free(struct hostlink *l);

/** hostlink_dirty(l): it may have something to write.  hostlink_pump(l): it writes, as far as the connection takes it. */
void hostlink_dirty(struct hostlink *l);
void hostlink_pump(struct hostlink *l);

/** hostlink_deadline(l, in): it must be up by then.  hostlink_end(l, why, how): it is over: the node is told once, and whatever dialled it
 * is answered. */
void hostlink_deadline(struct hostlink *l, uint64_t in);
void hostlink_end(struct hostlink *l, int why, enum hang_up how);

#endif
