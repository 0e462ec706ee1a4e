/*
 * node: the protocol of one node, as one state machine.  No I/O, no clock, no thread, no randomness of its own:
 * what happens comes in as events with their time, what is to be done comes out as effects.  The same
 * events give the same effects, byte for byte.
 *
 *	node_input(n, &event, now);
 *	while (node_poll(n, &effect))
 *		carry it out; later its result comes in as EVENT_DONE
 *	sleep until node_deadline(n), then node_input(n, &(struct event){ EVENT_TIME }, now)
 *
 * Connections are links (link.h), which the driver feeds: the node sees peers whose key is proved, and messages.
 * What lies on the disk it asks of the catalogue (catalogue.h), and changes by effects.
 * Times are microseconds of one monotonic clock; "uptime" is now less the time of EVENT_START.
 */
#ifndef DHT_NET_NODE_H
#define DHT_NET_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/chunk.h"
#include "dht/net/catalogue.h"
#include "dht/net/link.h"
#include "dht/net/member.h"
#include "dht/net/ring.h"
#include "dht/net/wire.h"

struct node;

struct node_options {
	const struct ring_file *file;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	uint8_t weight;
	const char *zone;
	const char *address[MEMBER_ADDRESSES];	/* where others reach us; NULL behind the last */
	/* Addresses of members to begin with; NULL behind the last.  None: this node founds a ring, and is one alone until others
	 * come.  With any, and no rows of members, it answers for nothing, and nothing is acknowledged to its user, before it has
	 * met one who knows the ring (membership.h, rooted); while it waits it says so in the log. */
	const char *const *seeds;
	uint64_t instance, generation;
	bool newborn;				/* its key was made just now: it has never been a member, so it has forgotten nothing */
	bool forgot;				/* its key is older than its catalogue: it founds nothing, even without seeds, but waits for one who knows the ring */
	uint64_t seed;				/* of its random choices: jitter, probe order */
	struct catalogue *catalogue;
	struct member_table *records;		/* shared by the nodes of one process, or NULL; must outlive them */
	uint64_t volume_max;			/* bytes that we keep for one volume; 0: no limit */
};

enum event_kind {
	EVENT_START,		/* the first: rows of the catalogue are read (members, our incarnation) */
	EVENT_TIME,		/* node_deadline() has come */
	EVENT_LINK_UP,		/* link, key, [dial: the ticket of the EFFECT_DIAL that made it; 0: they came to us] */
	EVENT_LINK_DOWN,	/* link, result: why; -EEXIST also of one that never came up */
	EVENT_LINK_FULL,	/* link: link_full() has become true: requests wait here, answers and control still go out ... */
	EVENT_LINK_ROOM,	/* link: ... and false again */
	EVENT_MESSAGE,		/* link, message */
	EVENT_DONE,		/* ticket, result, and what the effect names */
	EVENT_COMMAND,		/* command: what the node's own user wants */
	EVENT_LOST,		/* result: the catalogue can't be read any more, and what it said last may be wrong: EFFECT_STOP follows */
};

/* What the user of a node can ask.  Each is answered by EFFECT_REPLY, once, within its timeout. */
enum command_kind {
	/* Keep ${chunk} (its stored form) at ${address}; replies when ${acks} other nodes have it durably (0: at once,
	 * when it is in the local store; as many as there are where there are fewer others).  It goes on to all R. -ENOSPC,
	 * -EHOSTUNREACH (W is known to be impossible), -ETIMEDOUT: it is in the local store in any case. */
	COMMAND_INSERT,
	/* ${chunk} from anyone, verified.  -ENOENT: all owners said so, and it counts; -EIO, -ETIMEDOUT. */
	COMMAND_FETCH,
	/* Does the set have what is also here: reply's ${count}: owners that proved it just now (audit), this node among them
	 * where it is one.  -ENODATA: no copy here to compare with. */
	COMMAND_CONFIRM,
	/* Store a lease (lease.h) with all owners of its slot: ${blob}, ${addresses}, ${count}. */
	COMMAND_LEASE,
	/* ${blob}: a volume's signed end, to all members.  -EAGAIN, -EHOSTUNREACH: kept here, but of some slot no owner has it, or
	 * nobody has: say it again when they are back. */
	COMMAND_RETIRE,
	/* Newest head of ${address} (a volume): reply's ${blob}.  -ENOENT; -EUCLEAN: two of one seq, ${blob} and ${chunk};
	 * -EKEYREVOKED: it has ended. */
	COMMAND_HEAD,
	/* ${blob} in the place of the head whose hash is ${previous}.  -ESTALE, -EUCLEAN as above.  After anything but 0 it may
	 * come to count all the same: send the same again, or read first; never sign another one of its seq. */
	COMMAND_SWAP,
	COMMAND_LEAVE,		/* drain, then leave for ever; replies when all we keep is with its owners */
	COMMAND_DRAIN,		/* out of placement, still serving; ${count} 0: back in */
	/* ${blob}: the admin's statement.  Once more: 0.  -ENOENT: no such member is known here; it may be to others, if this
	 * node has just started and met nobody yet.  0: this node knows it, and begins to tell the others: one that was evicted itself and has
	 * not heard of it, or goes down at once, tells nobody. */
	COMMAND_EVICT,
	COMMAND_SET,		/* ${weight}, ${zone} */
	COMMAND_MAINTENANCE,	/* ${address}: a member (or zeros: anyone); for ${timeout}: no spares for those that are down.
				 * -EALREADY: for that long it is so already, and that is not made shorter; -ENOSPC: too many */
	/* Who of those that are to have ${address} has it, now.  Reply's ${blob}: a line (where.h) for each owner and for the next ones on
	 * the walk; ${count}: those that have it.  -EAGAIN: there is no table yet. */
	COMMAND_WHERE,
	COMMAND_REPAIR,		/* compare with all peers now, try again what waits; replies at once */
};

struct command {
	enum command_kind kind;
	uint64_t ticket;		/* the user's, not 0, of no other one that waits; comes back in the reply */
	uint64_t timeout;		/* us */
	struct address address, previous;
	struct address volume;		/* INSERT: on whose behalf; zeros: nobody's */
	enum kind chunk_kind;
	struct chunk *chunk, *blob;	/* the node takes its own holds */
	const struct address *addresses;	/* copied */
	uint32_t count;
	uint8_t acks, weight;
	const char *zone;
};

struct event {
	enum event_kind kind;
	uint32_t link;			/* the driver's number of a link; never used twice */
	uint64_t ticket;
	int result;
	const uint8_t *key;
	struct link_message message;	/* the node takes over the body */
	struct chunk *chunk;		/* of EVENT_DONE; the node takes its own hold */
	enum kind chunk_kind;
	struct address hash;
	struct ring *table;		/* of EFFECT_TABLE; the node takes it over: give back with EFFECT_TABLE_FREE */
	const struct command *command;
};

/* Those with a ticket are answered by EVENT_DONE, once, in any order, also after the link is gone.  What concerns one
 * address, or one row, is carried out in the order in which it came.  What concerns a link that is down, or was closed, does
 * nothing. */
enum effect_kind {
	/* ticket, text: "host:port".  Answered by EVENT_LINK_UP, or EVENT_DONE: it failed; link_input()'s reason where there
	 * is one: -ELOOP (that is ourselves), -EEXIST (a clone of us: then EFFECT_STOP), -EKEYREJECTED ... */
	EFFECT_DIAL,
	EFFECT_SEND,		/* link, type, request, priority, head, [tail] */
	EFFECT_CONSUMED,	/* link, count: bytes of messages that the node is done with */
	EFFECT_CLOSE,		/* link, text: why.  EVENT_LINK_DOWN still comes */
	EFFECT_READ,		/* ticket, address.  -> chunk (stored form), chunk_kind, hash (the volume for which it was first
				 * written; zeros: none), verified; -ENOENT, -EIO, -EBADMSG */
	EFFECT_WRITE,		/* ticket, address, chunk_kind, chunk, states, hash (the volume; zeros: none): verified, stored,
				 * durable when done; also where a copy is here that turns out to be bad.  The states are
				 * added to those that it has; OWNED and FOREIGN end CACHED.  -EBADMSG, -ENOSPC, -EIO */
	EFFECT_STATES,		/* ticket, address, states: of what is there; 0: delete it.  Durable when done */
	EFFECT_CHECK,		/* ticket, address, chunk_kind, chunk: are these its bytes?  0, -EBADMSG */
	EFFECT_PROVE,		/* ticket, address, hash (the nonce).  -> hash: BLAKE2b-256(nonce || stored raw bytes) */
	EFFECT_SAVE,		/* ticket, row key, chunk (NULL: remove): durable when done */
	EFFECT_LEASE,		/* ticket, lease: replace a volume's lease of a slot, with its addresses.  Durable when done */
	EFFECT_TABLE,		/* ticket, members, count: build their table with the R of the ring file, off the loop.  -> table */
	EFFECT_TABLE_FREE,	/* table */
	EFFECT_REPLY,		/* ticket of the command, result, chunk, chunk_kind, blob, count */
	EFFECT_LOG,		/* level (syslog), text */
	EFFECT_STOP,		/* text, result: this node must not go on.  0: it has left, as its user wanted; -EKEYREVOKED: it was evicted, or
				 * had left before; -EEXIST: another process has its identity; else what failed */
};

struct effect {
	enum effect_kind kind;
	uint64_t ticket;
	uint32_t link, request, count;
	unsigned int type;
	enum link_priority priority;
	int result, level;
	unsigned int states;		/* enum catalogue_state bits */
	struct address address, hash;
	enum kind chunk_kind;
	struct chunk *chunk, *head, *tail, *blob;	/* held for whoever polls: effect_done() drops them */
	const struct ring_member *members;		/* valid until the next call of this node */
	struct ring *table;
	struct catalogue_row_key row;
	const struct catalogue_lease *lease;		/* valid until EVENT_DONE */
	char text[160];
};

int node_new(const struct node_options *o, struct node **out);	/* 0, -EINVAL, -ENOMEM; copies all of ${o} */
void node_free(struct node *n);	/* tables that were not given back are the driver's to free */
void node_input(struct node *n, const struct event *e, uint64_t now);
bool node_poll(struct node *n, struct effect *out);
void effect_done(struct effect *e);

/** node_deadline(n): when EVENT_TIME is due; UINT64_MAX: never. */
uint64_t node_deadline(const struct node *n);

/** node_alone(n): it founded its ring, and knows no other member. */
bool node_alone(const struct node *n);

struct node_status {
	struct address placement;
	unsigned int members, down, links;
	unsigned int calls, commands, timers, foreign;	/* under way or waiting */
	size_t memory;			/* bytes that it holds, about; the bound of limits.h */
	uint64_t sent[LINK_PRIORITIES], received[LINK_PRIORITIES];
	uint64_t reads, reads_hedged, reads_one_trip, wrong_answers;
	bool complete;			/* all our slots have all that they should have */
};
void node_status(const struct node *n, struct node_status *out);

#endif
