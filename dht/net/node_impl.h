/*
 * node_impl: what the files of one node share.  The node is driven by one thread; nothing here is locked.
 *
 * Who waits is a struct of his own, which embeds what he waits with: a timer, a call, a disk operation.  Each calls
 * back exactly once (a timer: each time it is set), never from inside the function that started it; a waiter
 * that goes away stops them first (the *_stop functions: then no call back comes).
 */
#ifndef DHT_NET_NODE_IMPL_H
#define DHT_NET_NODE_IMPL_H

#include "chunker/list.h"
#include "dht/net/limits.h"
#include "dht/net/node.h"

/* ---- time (timers.c): a heap; equal times in the order in which they were set ---- */

struct timer {
	uint64_t at, order;
	unsigned int place;		/* in the heap, from 1; 0: not set */
	void (*due)(struct node *n, struct timer *t);
};

/** timer_set(n, t, at): due once, at ${at} or at the first event after it; moves one that is set. */
void timer_set(struct node *n, struct timer *t, uint64_t at);
void timer_stop(struct node *n, struct timer *t);

/* ---- randomness: one seeded generator a node ---- */

/** node_random(n, below): evenly in 0 to ${below} - 1.  node_jitter(n, us): ${us}, less or more by up to an eighth. */
uint64_t node_random(struct node *n, uint64_t below);
uint64_t node_jitter(struct node *n, uint64_t us);

/* ---- peers (peers.c): links, dials, latencies, standing; one per member and per unknown seed ---- */

struct peer {
	struct list all;		/* in the order of ids */
	struct address id;
	uint32_t link;			/* 0: none */
	uint64_t latency, latency_p95;	/* us, of answered reads: average, and 95th of a hundred */
	uint64_t oldest;		/* when the oldest request under way was sent; UINT64_MAX: none */
	uint64_t heard;			/* when a frame last came */
	unsigned int wrong;		/* answers that failed verification: local standing, never placement */
	unsigned int calls, served;	/* under way: ours there, theirs here */
	struct list waiting;		/* calls in line, by priority, then age */
	/* the rest is peers.c's own */
	struct peer_private *private;
};

struct peer *peer_find(struct node *n, const struct address *id);	/* NULL: not a member */
/** peer_cost(n, p): us to expect of a read: the larger of its average and its oldest outstanding request; worse by its
 * standing; UINT64_MAX: it can't be asked (down, no link and in backoff). */
uint64_t peer_cost(struct node *n, const struct peer *p);
/** peer_reachable(n, p): a link is up, or may be tried now, and the view does not say that it is down. */
bool peer_reachable(struct node *n, const struct peer *p);
void peer_wrong(struct node *n, struct peer *p, const char *what);

/* For membership, which has no calls: */
/** peer_tell(n, p, m): a control message that nobody answers by number.  Without a link it dials and sends it then, or, when
 * that fails or too much waits, drops it. */
void peer_tell(struct node *n, struct peer *p, const struct message *m);
/** peer_dial(n, p): see that a link is there soon.  peers_dial_seeds(n): to those of the seeds that have none; each that comes
 * up is told by membership_peer(), as all are.  Backoff holds for both. */
void peer_dial(struct node *n, struct peer *p);
void peers_dial_seeds(struct node *n);
/** peer_hang_up(n, p, why): close its link, if there is one (it is mute though others reach the peer; it was evicted). */
void peer_hang_up(struct node *n, struct peer *p, const char *why);
/** peers_member(n, m): the view has a new record: a member that came, has other addresses, or is gone (a tombstone). */
void peers_member(struct node *n, const struct member *m);

/* ---- calls (calls.c): requests to peers and their answers ---- */

struct call {
	struct list link;
	struct peer *peer;
	uint32_t request;
	uint64_t sent;			/* 0: in line still */
	struct timer timer;
	struct chunk *head, *tail;
	unsigned int type;
	enum link_priority priority;
	/* result: 0: ${answer} is there, whatever its status, valid during the call back, its pointers into ${body};
	 * -ETIMEDOUT; -EHOSTUNREACH: no link, or it was lost; -EBUSY: over CALLS_MAX; -EBADMSG: not an answer. */
	void (*done)(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body);
};

/** call_start(n, c, peer, m, tail, priority, timeout): dials where there is no link.  c->done is set by the caller; ${tail}
 * is what FIELD_BYTES carries, held here.  The placement is filled in where the message has one.
 * An answer WIRE_OTHER_PLACEMENT starts the exchange of records by itself, before the call back. */
void call_start(struct node *n, struct call *c, struct peer *peer, struct message *m, struct chunk *tail,
    enum link_priority priority, uint64_t timeout);
void call_stop(struct node *n, struct call *c);
bool call_busy(const struct call *c);

/* ---- the disk and other effects with a ticket (work.c) ---- */

struct work {
	uint64_t ticket;		/* 0: none */
	void (*done)(struct node *n, struct work *w, const struct event *e);
};

/** work_start(n, w, effect): gives the effect a ticket and queues it.  ${effect}: its chunks are taken over. */
void work_start(struct node *n, struct work *w, struct effect *effect);
void work_stop(struct node *n, struct work *w);

void node_log(struct node *n, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void node_effect(struct node *n, struct effect *e);	/* without a ticket */

/* ---- who is there (membership.c) ---- */

enum health { PEER_ALIVE, PEER_SUSPECT, PEER_DOWN };

struct membership;
enum health membership_health(struct node *n, const struct address *id);	/* not a member: PEER_DOWN */
uint64_t membership_down_since(struct node *n, const struct address *id);	/* 0: it is not */
const struct member *membership_find(struct node *n, const struct address *id);
/** membership_spares(n): may spares be made now (a partition? maintenance?) for what ${id} should have? */
bool membership_spares(struct node *n, const struct address *id);
void membership_start(struct node *n);
void membership_message(struct node *n, struct peer *from, const struct message *m);
void membership_heard(struct node *n, struct peer *from);		/* any frame: it is alive */
void membership_peer(struct node *n, struct peer *p, bool up);	/* its link came up, or went (up: after membership_heard) */
/** membership_cloned(n): a link found another living process with our key (link: -EEXIST): this node stops. */
void membership_cloned(struct node *n, const char *where);
void membership_differs(struct node *n, struct peer *from);		/* its placement is another one: exchange now */
/** membership_command(n, c): LEAVE's end (all is with its owners: say that we are gone, reply, stop), DRAIN, EVICT, SET,
 * MAINTENANCE.  A ticket of 0: no reply is wanted. */
void membership_command(struct node *n, const struct command *c);
/** membership_next(n, after): the members in the order of their ids, ourselves and tombstones among them; NULL: no more. */
const struct member *membership_next(struct node *n, const struct address *after);
void membership_status(struct node *n, struct node_status *out);	/* members, down */
size_t membership_memory(struct node *n);
void membership_end(struct node *n);

/* ---- which table (placement.c): the present one, and the one before while slots move ---- */

/** placement(n): NULL until the first table is built.  placement_before(n): NULL when nothing moves. */
const struct ring *placement(struct node *n);
const struct ring *placement_before(struct node *n);
bool placement_mine(struct node *n, unsigned int slot);
/** placement_complete(n, slot): has it all that it should have, since this store's generation? */
bool placement_complete(struct node *n, unsigned int slot);
/** placement_set_complete(n, slot): repair found it so.  Durable in time; when all are, there is no table before. */
void placement_set_complete(struct node *n, unsigned int slot);
/** placement_owners(n, slot, out): the other owners, as peers, by rank; their number (at most RING_REPLICAS_MAX). */
unsigned int placement_owners(struct node *n, unsigned int slot, struct peer **out);
/** placement_walk(n, slot, out, max): the other members in the order of the walk. */
unsigned int placement_walk(struct node *n, unsigned int slot, struct peer **out, unsigned int max);
/** placement_hash(n): of the present table; zeros before the first.  placement_earlier(n, i): the tables since the one in
 * which all was in its place, newest first; NULL: no more.  placement_before() is the last of them. */
const struct address *placement_hash(struct node *n);
const struct ring *placement_earlier(struct node *n, unsigned int i);
void placement_changed(struct node *n);		/* called by membership: build the table anew */
/** placement_store_lost(n): our own record of another store was met: nothing is complete. */
void placement_store_lost(struct node *n);
size_t placement_memory(struct node *n);
void placement_start(struct node *n);
void placement_end(struct node *n);

/* ---- the state machines; each file has the table of its states at its head ---- */

void insert_command(struct node *n, const struct command *c);		/* insert.c: COMMAND_INSERT */
void fetch_command(struct node *n, const struct command *c);		/* fetch.c: FETCH, CONFIRM */
void lease_command(struct node *n, const struct command *c);		/* lease.c: LEASE, RETIRE */
void head_command(struct node *n, const struct command *c);		/* heads.c: HEAD, SWAP */
void leave_command(struct node *n, const struct command *c);		/* rebalance.c: LEAVE; DRAIN by membership */
/** foreign_add(n, a): ${a} lies here: see that its other owners have it, and have proved it.  What is FOREIGN becomes
 * OWNED or CACHED then; set that state first, or the wish is lost in a crash.
 * foreign_count(n): records on their way or waiting, about; 0 only where none here is FOREIGN. */
void foreign_add(struct node *n, const struct address *a);
unsigned int foreign_count(struct node *n);

/* Make the leases of ${slot} here and at ${peer} agree: what is newer there comes here, what is newer here, or lacks
 * there, goes there (lease.c). */
struct lease_pull {
	struct peer *peer;
	uint16_t slot;
	void (*done)(struct node *n, struct lease_pull *p, int result);	/* 0, -ETIMEDOUT, -EHOSTUNREACH, -EIO */
	struct lease_pull_private *private;	/* lease.c's own; NULL: not under way */
};
void leases_pull(struct node *n, struct lease_pull *p);		/* ${peer}, ${slot} and ${done} are set by the caller */
void leases_pull_stop(struct node *n, struct lease_pull *p);

/* Those that live as long as the node: each is told of the start, of a new table, of a peer that comes (its link is up) or goes. */
struct served;
struct machine {
	const char *name;
	void (*start)(struct node *n);
	void (*table)(struct node *n);
	void (*peer)(struct node *n, struct peer *p, bool up);
	/* a request of a peer, of one of the types of this machine: answer it with serve_answer(), now or later */
	bool (*request)(struct node *n, struct served *s, const struct message *m);	/* false: not my type */
	void (*end)(struct node *n);
	size_t (*memory)(struct node *n);
};
extern const struct machine chunkserve_machine, foreign_machine, fetch_machine, insert_machine, audit_machine, repair_machine,
    rebalance_machine, lease_machine, heads_machine, deletion_machine;

/** machines_table(n): placement calls table() of each. */
void machines_table(struct node *n);

/* ---- requests of peers (serve.c) ---- */

/* A request that we work on.  ${body} holds the bytes that the message points into. */
struct served {
	struct list link;
	struct peer *peer;
	uint32_t request, via;		/* via: the link that it came by; the answer goes the same way, or nowhere */
	enum link_priority priority;
	struct chunk *body;
	void *user;			/* the machine's */
};

/** serve_answer(n, s, m, tail): send and forget it.  serve_status(n, s, status): an answer with nothing else. */
void serve_answer(struct node *n, struct served *s, struct message *m, struct chunk *tail);
void serve_status(struct node *n, struct served *s, enum wire_status status);

/** touched(n, a): somebody wants it: not to be deleted for DELETE_AFTER (deletion.c).  leases_changed(): whether these are
 * leased, or whether they are here, is no longer what it was: repair's trie (repair.c).  work.c tells it of the disk. */
void touched(struct node *n, const struct address *a);
void leases_changed(struct node *n, const struct address *addresses, uint32_t count);

struct node {
	struct node_options options;
	struct ring_file file;
	uint64_t now, started;
	uint64_t random[4];
	struct timer **timer;		/* the heap, from 1 */
	unsigned int timers, timers_size;
	uint64_t timer_order, tickets;
	struct address id;
	struct member *self;		/* our own record, as last signed */
	struct membership *membership;
	struct placement *placement;
	struct peers *peers;
	struct calls *calls;
	struct works *works;
	struct serve *serve;
	struct effects *effects;
	/* by machine */
	struct chunkserve *chunkserve;
	struct foreign *foreign;
	struct fetches *fetches;
	struct inserts *inserts;
	struct audit *audit;
	struct repair *repair;
	struct rebalance *rebalance;
	struct leases *leases;
	struct heads *heads;
	struct deletion *deletion;
	struct node_status status;
	bool stopped;
};

#endif
