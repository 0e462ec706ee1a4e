/*
 * network: connections as they are: two in-order streams each, with latency, a bandwidth, a window, and what can go
 * wrong with them: they stand still, are reset at both ends or at one, and the network between two hosts lets
 * nothing through, in both directions or in one.  What is lost in a stream is not lost: it waits, until the
 * sender's kernel gives up.
 */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "tests/sim/world.h"

#define NETWORK_GROUPS 8u
#define NETWORK_CLOGS  64u

struct connection;
struct hostlink;

void network_open(struct world *w);
void network_close(struct world *w);

/** network_dial(w, from, to, end): host_connected(end), or host_broken(end, why).  The connection has ${end} until
 * network_hang_up(). */
struct connection *network_dial(struct world *w, struct host *from, struct host *to, struct hostlink *end);

/** network_write(c, end, bytes, len): how many were taken; where not all: host_room(end) later. */
size_t network_write(struct connection *c, struct hostlink *end, const uint8_t *bytes, size_t len);

enum hang_up {
	HANG_UP_CLOSE,		/* what was written still arrives, then the end */
	HANG_UP_RESET,		/* the process has died: the other end is told, what was written may be lost */
	HANG_UP_SILENT,		/* the machine has: nobody says anything */
};
void network_hang_up(struct connection *c, struct hostlink *end, enum hang_up how);

/* What the nemesis does. */
void network_group(struct world *w, const struct host *h, unsigned int group);
void network_block(struct world *w, unsigned int from, unsigned int to, bool blocked);	/* groups, one way */
void network_clog(struct world *w, unsigned int place, int from, int to, uint64_t delay);	/* hosts; -1: any; 0 us: none */
void network_heal(struct world *w);		/* no groups, no clogs, no stalls */
void network_stall(struct world *w, unsigned int permille, uint64_t until);	/* of all connections */
void network_reset(struct world *w, unsigned int permille, bool one_end);

/** network_changed(w): a host is off, or on again. */
void network_changed(struct world *w);

bool network_blocked(const struct world *w, const struct host *from, const struct host *to);
uint64_t network_latency(struct world *w, const struct host *from, const struct host *to);
unsigned int network_connections(const struct world *w);

#endif
