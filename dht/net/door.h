/*
 * door: who is in a handshake with us, by where he comes from, and who must go when there are too many.  Pure.
 *
 * A handshake needs one round trip of a member, and whoever wants to hold places for as long as they may be held,
 * LINK_HANDSHAKE_US, sends nothing.  So it is the oldest that gives way: to one more of his own source, or, where all
 * places are taken, to anyone, if his source has the most.  What is refused so is a stranger, or a member who is slow
 * while we are flooded; a member dials again.
 */
#ifndef DHT_NET_DOOR_H
#define DHT_NET_DOOR_H

#include <stdint.h>

#define DOOR_SOURCE 16u		/* bytes of an IPv6 address, or of an IPv4 one mapped into it (::ffff:a.b.c.d) */
#define DOOR_MAX    128u	/* handshakes of others with us, in all: 200 kB, and 20 ms of processor if all are replays */
#define DOOR_SOURCE_MAX 16u	/* of one source: several members may be behind one address */
#define DOOR_NOBODY 0u		/* no link has this number */

struct door {			/* begins with zeros */
	unsigned int count;
	struct visitor {
		struct door_source {
			uint64_t prefix, rest;	/* rest: of a mapped IPv4 address; else 0 */
		} source;
		uint32_t link;
	} visitor[DOOR_MAX];	/* oldest first */
};

/**
 * door_enter(d, source, link): ${link}, accepted from ${source}, begins its handshake.  The number of the link that
 * must be closed for it, which is out of ${d} already; or DOOR_NOBODY.  Of an IPv6 address the first 64 bits are the
 * source: who has one of them has all.
 */
uint32_t door_enter(struct door *d, const uint8_t source[DOOR_SOURCE], uint32_t link);

/** door_leave(d, link): its handshake is over, or it is closed.  One that is not there is fine. */
void door_leave(struct door *d, uint32_t link);

#endif
