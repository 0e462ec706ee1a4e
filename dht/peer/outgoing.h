/*
 * outgoing: what was inserted here, on its way to W other nodes.
 *
 * A chunk that the mount inserts lies in the store at once; outgoing has the ring keep it too (COMMAND_INSERT), a bounded window of chunks at a
 * time: small at first, larger as it is answered soon, and smaller when not, so that on a slow line the last of it is not given up.
 * What does not fit waits as an address, and is read from the store when its turn comes, or had of others where it is gone by then; what
 * could not go out stays FOREIGN there, which the core goes on with, also after a restart.  So nothing here is all that there is of a chunk.
 * What an earlier run left so goes out here once more, at the start.
 *
 * Whoever must know that chunks are safe takes a ticket after his last insert and is told when all of that, and before, is.
 */
#ifndef DHT_PEER_OUTGOING_H
#define DHT_PEER_OUTGOING_H

#include "chunker/address.h"
#include "chunker/chunk.h"
#include "dht/peer/peer.h"

#define OUTGOING_BYTES	(64u << 20)	/* of chunks with the ring: a second at 64 MB/s, 20 ms of the fastest */
#define OUTGOING_FIRST	(512u << 10)	/* ... but so many at first, and more as they are answered soon: of a slow line none is to wait too long */
#define OUTGOING_CHUNKS 768u		/* likewise, in number: of the core's COMMANDS_MAX, the rest is for reads */
#define OUTGOING_ENDED	UINT64_MAX	/* the ticket of who comes too late: nobody will be told of it */
#define OUTGOING_LATE	(1u << 20)	/* addresses that wait: 64 GiB of chunks, 48 MB of memory */

struct outgoing;

struct outgoing_options {
	struct peer *peer;
	struct store *store;
	struct address volume;		/* on whose behalf; zeros: nobody's */
	unsigned int acks;		/* W */
	unsigned int timeout_ms;	/* a chunk that is not safe by then is not */
	/* From any thread, must not block.  synced(): the ticket ${ticket}, and all before it, are decided: 0, or why some chunk of it is not
	 * safe.  room(): outgoing_add() has said -EINPROGRESS, and may be tried again. */
	void (*synced)(void *arg, uint64_t ticket, int result);
	void (*room)(void *arg);
	void *arg;
};

/** outgoing_open(o, out): copies ${o}.  0, -ENOMEM or what making its thread said. */
int outgoing_open(const struct outgoing_options *o, struct outgoing **out);

/** outgoing_stop(o): nothing new goes out, what is with the ring is cancelled, all tickets are decided.  outgoing_close(o): after that, frees. */
void outgoing_stop(struct outgoing *o);
void outgoing_close(struct outgoing *o);

/** outgoing_add(o, kind, a, packed): the store has it now; ${packed}: in the form in which it travels (wire.h), or NULL: it is read from
 * there.  0; -EINPROGRESS: too many wait, see room(). */
int outgoing_add(struct outgoing *o, enum kind kind, const struct address *a, struct chunk *packed);

/** outgoing_wait(o): for room, where outgoing_add() had none. */
void outgoing_wait(struct outgoing *o);

/**
 * outgoing_ticket(o): of all that was added before; rises by one each.  synced() of it comes when W others have each of these, or as soon as one
 * can't be had: -EHOSTUNREACH where W is known to be out of reach, -ETIMEDOUT, -ENOSPC, -EIO.  What an earlier ticket found not
 * to be safe is tried anew for this one: until it is out, each ticket fails.  What an earlier run left is part of the first one, and
 * so of all; who waits for that alone waits for ${timeout_ms}.  OUTGOING_ENDED: it was stopped, or there is no memory.
 */
uint64_t outgoing_ticket(struct outgoing *o);

struct outgoing_status {
	uint64_t waiting, sent;		/* chunks: late and under way */
	uint64_t unsafe;		/* that failed, and no ticket has asked for since */
	uint64_t forgotten;		/* more than OUTGOING_LATE failed: of these only the core knows, as FOREIGN */
	uint64_t safe;			/* since start */
	int error;			/* of the last one that failed */
};
void outgoing_status(struct outgoing *o, struct outgoing_status *out);

#endif
