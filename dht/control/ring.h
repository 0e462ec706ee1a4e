/* ring: what dhtctl can ask of a node of a ring, whichever program it is part of. */
#ifndef DHT_CONTROL_RING_H
#define DHT_CONTROL_RING_H

#include "dht/control/call.h"

struct peer;

/** Their argument is a struct ring_control. */
extern const struct call_command ring_commands[];

struct ring_control {
	struct peer *peer;		/* NULL: this program is no node of a ring: all but status say so */
};

/** ring_record(c, peer): what status tells of a node of a ring, into c->record. */
void ring_record(struct call *c, struct peer *peer);

/** ring_ask(c, peer, command, out): have it carried out, and wait.  Its result; -EPIPE, -ECANCELED: nobody waits any more, and nothing is held.
 * out->blob is the caller's to drop; NULL: no blob is wanted. */
struct command;
struct peer_ask;
int ring_ask(struct call *c, struct peer *peer, const struct command *command, struct peer_ask *out);

#endif
