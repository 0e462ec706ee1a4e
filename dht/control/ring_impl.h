/* ring_impl: what the files of the ring's commands share. */
#ifndef DHT_CONTROL_RING_IMPL_H
#define DHT_CONTROL_RING_IMPL_H

#include "dht/control/ring.h"
#include "dht/net/report.h"
#include "dht/net/ringfile.h"
#include "dht/peer/peer.h"

/** ring_peer(c): the node; NULL: there is none, and why is set. */
struct peer *ring_peer(struct call *c);

void ring_look(struct peer *p, struct report_ring *out);

/** ring_each_member(p, each, arg): all members, in the order of ids, until ${each} gives something else than 0; that, or -ENOMEM. */
int ring_each_member(struct peer *p, int (*each)(void *arg, const struct report_member *m), void *arg);

int command_peers(struct call *c);
int command_ring(struct call *c);

#endif
