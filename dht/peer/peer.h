/*
 * peer: one node of the ring at work: the protocol core (dht/net/node.h) under libuv.  One thread, the loop, feeds the core,
 * and owns all sockets; names are looked up, tables built and chunks stored elsewhere.
 *
 *	settings -> peer_open()
 *	FUSE, control, lease and head threads --peer_ask()--> bridge --> loop --> node core --> links, dials, disk
 *	                                     <--- done() ----
 */
#ifndef DHT_PEER_PEER_H
#define DHT_PEER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/list.h"
#include "dht/net/node.h"
#include "dht/peer/bridge.h"
#include "dht/peer/shelf.h"
#include "dht/store.h"

#define PEER_PORT 4377		/* TCP, where none is named */
#define PEER_WHY  160u		/* bytes of a reason, for a person */

struct peer;

struct peer_options {
	struct store *store;		/* outlives the peer */
	const char *dir;		/* the store's folder: node.key, shelf and the rest of what the peer keeps lie there */
	const struct ring_file *ring, *older;	/* ${older}: a second secret that is accepted, or NULL */
	const char *const *listen;	/* "host", "host:port", "[v6]:port"; NULL behind the last; none: we dial only */
	const char *const *advertise;	/* where others reach us; none: the addresses that we are bound to */
	const char *const *join;	/* members to begin with; none: the members that we remember, or we found the ring */
	const char *zone;
	unsigned int weight;		/* 1..64 */
	bool keeps_nothing;		/* takes no part in placement (as if drained), and serves what it has */
	uint64_t volume_max;		/* bytes that we keep for one volume; 0: no limit */
	void (*log)(void *arg, int priority, const char *text);
	/* The core must not go on; from the loop.  ${result}: that of EFFECT_STOP (node.h); peer_over() tells who need not be started again. */
	void (*stopped)(void *arg, int result, const char *why);
	void *arg;
};

/**
 * peer_open(o, out, why, why_size): read or make the node's key, open the shelf, bind, start the loop.  Copies ${o}.  On failure
 * ${why} says, for a person, what is wrong and what to do: -EADDRINUSE, -EACCES (a key that others can read), -EINVAL ...
 */
int peer_open(const struct peer_options *o, struct peer **out, char *why, size_t why_size);

/** peer_over(result): this identity's part in the ring is over, or another process plays it: to start it again would change nothing. */
bool peer_over(int result);

/** peer_close(p): what is asked is answered with -ECANCELED; all is made durable; the loop ends.  Waits for the disk, but for no peer and no
 * name server.  Not from the loop's thread.  What the shelf said. */
int peer_close(struct peer *p);

/*
 * A command on its way.  Its chunks are in the form of packed.h.  The caller owns it, fills in ${command} (its ticket is the peer's own) and ${done}, and leaves it alone until done() is
 * called, exactly once, from the loop's thread, which must not be held up.
 */
struct peer_ask {
	struct command command;		/* its chunk and blob are the caller's until done() */
	void (*done)(struct peer_ask *a);
	void *user;
	int result;
	struct chunk *chunk, *blob;	/* of the reply: held for the caller */
	enum kind chunk_kind;
	uint32_t count;
	/* private */
	struct bridge_job job;
	struct list link;
	struct peer *peer;
	void *waiter;
	int state;			/* under the peer's lock, as is: */
	bool cancelled;
};

/** peer_ask(p, a): any thread; never blocks; done() is not called from inside.  -EBUSY: COMMANDS_MAX wait already; -ESHUTDOWN: the core has
 * stopped; else as its command says. */
void peer_ask(struct peer *p, struct peer_ask *a);

/** peer_cancel(a): the caller lost interest: done() comes soon, with -ECANCELED unless the answer was there already.  Any thread, as
 * long as ${a} is there; more than once is fine.  What it began goes on, unanswered. */
void peer_cancel(struct peer_ask *a);

/** peer_ask_now(p, a): the same, waited for, in any thread but the loop's; ${done} is not used.  Returns a->result. */
int peer_ask_now(struct peer *p, struct peer_ask *a);

/** peer_look(p, look, arg): look(arg, node) is called in the loop's thread, between two events, and waited for: what status, metrics and
 * "where" read of the core.  Short. */
void peer_look(struct peer *p, void (*look)(void *arg, struct node *n), void *arg);


struct peer_status {
	struct node_status node;
	struct shelf_totals shelf;
	unsigned int sockets, handshakes;	/* open; not proved yet */
	uint64_t refused;			/* strangers and liars, since start */
	uint64_t bytes_in, bytes_out;
	bool keeps_nothing;			/* as its options said */
	char stopped[PEER_WHY];			/* why the core must not go on; "": it does */
};
void peer_status(struct peer *p, struct peer_status *out);

/** peer_id(p), peer_ring(p): constant. */
const struct address *peer_id(const struct peer *p);
const struct ring_file *peer_ring(const struct peer *p);

/** peer_shelf(p): for what its header says any thread may do; valid until peer_close(). */
struct shelf *peer_shelf(struct peer *p);

/** peer_make_room(p): disk_make_room().  Any thread but the loop's. */
bool peer_make_room(struct peer *p);

/** peer_address(p, i): where others reach us, as our record says it: "host:port"; NULL behind the last. */
const char *peer_address(const struct peer *p, unsigned int i);

/** peer_joined(p, ms): another member is known; waits for that, for ${ms} at most.  Any thread but the loop's. */
bool peer_joined(struct peer *p, unsigned int ms);

/** peer_alone(p): no other member is known, and none was named by --join (any thread): then writes need nobody. */
bool peer_alone(struct peer *p);

#endif
