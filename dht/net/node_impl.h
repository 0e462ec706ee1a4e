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

/* Zeros but for ${due}: not set. */
struct timer {
	uint64_t at, order;
	void (*due)(struct node *n, struct timer *t);
	/* timers.c's own: a pairing heap, which allocates nothing.  ${prev}: the elder sibling, or the parent */
	struct timer *child, *next, *prev;
	bool set;
};

/** timer_set(n, t, at): due once, at ${at} or at the first event after it; moves one that is set.  What is not in the future is
 * due at the next microsecond, so that time goes on whatever is set from within a call back.  An event comes before
 * the timers that are due at its time.  timer_busy(t): set, and not due yet. */
void timer_set(struct node *n, struct timer *t, uint64_t at);
void timer_stop(struct node *n, struct timer *t);
bool timer_busy(const struct timer *t);

/* ---- randomness: one seeded generator a node ---- */

/** node_founds(n): it has nobody to ask: while it knows no member it is the ring. */
bool node_founds(const struct node *n);

/** node_random(n, below): evenly in 0 to ${below} - 1.  node_jitter(n, us): ${us}, less or more by up to an eighth. */
uint64_t node_random(struct node *n, uint64_t below);
uint64_t node_jitter(struct node *n, uint64_t us);

/* ---- peers (peers.c): links, dials, latencies, standing.  There is one for each node that we have to do with ---- */

struct peer_link;
struct peer_dial;
struct peer_flight;
struct latency;

/*
 * One without a link, a call, a request being served, or a peer_find() for PEER_KEEP is dropped.  So whoever waits longer
 * than a call can take keeps the id, and finds the peer anew.
 */
struct peer {
	struct address id;
	uint32_t link;			/* the one that we send by; 0: none */
	uint64_t latency, latency_p95;	/* us, of answered reads: average, and 95th of a hundred */
	uint64_t oldest;		/* when the oldest request under way was sent; UINT64_MAX: none */
	uint64_t heard;			/* when a frame last came; 0: never */
	unsigned int wrong;		/* answers that failed verification: local standing, never placement */
	unsigned int calls, served;	/* under way: ours there (sent or in line), theirs here */
	struct view_entry *entry;	/* membership's: who it is in the view; NULL: not looked up */
	/* the rest is private to peers.c and calls.c */
	struct peer_link *links;		/* those that are closing among them: ask ${link} */
	bool up;				/* and who wanted to know was told */
	struct peer_dial *dial;
	struct peer_flight *flight;
	struct latency *samples;
	uint64_t used, again, differs, forgive;	/* last use; when to dial, exchange records, forgive next */
	unsigned int failures;			/* dials in a row */
};

struct peer *peer_find(struct node *n, const struct address *id);	/* NULL: neither a member nor linked; or ourselves */
/** peer_next(n, id): the first peer behind ${id} (NULL: of all) in the order of ids; NULL: no more.  Members that we have
 * nothing to do with are not among them. */
struct peer *peer_next(struct node *n, const struct address *id);
/** peer_cost(n, p): us to expect of a read: the larger of its average and its oldest outstanding request; worse by its
 * standing; UINT64_MAX: it can't be asked (down, no link and in backoff). */
uint64_t peer_cost(struct node *n, const struct peer *p);
/** peer_reachable(n, p): a link is up, or may be tried now, and the view does not say that it is down. */
bool peer_reachable(struct node *n, const struct peer *p);
void peer_wrong(struct node *n, struct peer *p, const char *what);

/** peer_lacked(n, id, us): it did not have what it was asked to read; ${us} after it was asked another one's answer was here, or, where there was none,
 * its own.  So long it seems to take: or who has nothing would be asked first, since he answers soonest. */
void peer_lacked(struct node *n, const struct address *id, uint64_t us);

/* For membership, which has no calls: */
/** peer_tell(n, p, m): a control message that nobody answers by number.  Without a link it dials, and the message waits for
 * that: the oldest goes when more than HELD_MAX wait, all when no address answers. */
void peer_tell(struct node *n, struct peer *p, const struct message *m);
/** peer_dial(n, p): see that a link is there soon.  peers_dial_seeds(n): to those of the seeds that have none; each that comes
 * up is told by membership_peer(), as all are.  Backoff holds for both.  Nobody needs to ask for the first time: a
 * seed is dialled until it was met once, and again whenever no link at all is up. */
void peer_dial(struct node *n, struct peer *p);
void peers_dial_seeds(struct node *n);
/** peer_hang_up(n, p, why): close its links, if there are any (mute though others reach the peer; evicted; it broke the
 * protocol).  Their calls end with -EHOSTUNREACH. */
void peer_hang_up(struct node *n, struct peer *p, const char *why);
/** peers_member(n, m): the view has a new record: a member that came, has other addresses, or is gone (a tombstone). */
void peers_member(struct node *n, const struct member *m);

/* ---- calls (calls.c): requests to peers and their answers ---- */

struct call {
	struct list link;
	struct peer *peer;
	uint32_t request, via;		/* via: the link that it went by; 0: in line still */
	uint64_t sent;
	bool busy;
	int refused;			/* it was never in line */
	struct timer timer;
	struct chunk *head, *tail;
	unsigned int type;
	enum link_priority priority;
	/* result: 0: ${answer} is there, whatever its status, valid during the call back, its pointers into ${body} (hold it to
	 * keep them).  Otherwise both are NULL: -ETIMEDOUT; -EHOSTUNREACH: no link, or it was lost; -EBUSY: over
	 * CALLS_MAX; -EBADMSG: not an answer; -ENOMEM.  The call is over: it may be started again, or freed. */
	void (*done)(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body);
};

/** call_start(n, c, peer, m, tail, priority, timeout): dials where there is no link.  c->done is set by the caller, the rest
 * need not be; ${tail} is what FIELD_BYTES carries, held here (m->bytes is set from it).  ${priority}: not LINK_CONTROL.
 * ${timeout}: from now, standing in line included.  The placement is filled in where the message takes one.
 * An answer WIRE_OTHER_PLACEMENT starts the exchange of records by itself, before the call back. */
void call_start(struct node *n, struct call *c, struct peer *peer, struct message *m, struct chunk *tail,
    enum link_priority priority, uint64_t timeout);
void call_stop(struct node *n, struct call *c);
bool call_busy(const struct call *c);

/* ---- the disk and other effects with a ticket (work.c) ---- */

struct work {
	uint64_t ticket;		/* 0: none */
	void (*done)(struct node *n, struct work *w, const struct event *e);
	struct list refused;		/* work.c's own, and ${refusal}: why */
	int refusal;
};

/** work_start(n, w, effect): gives the effect a ticket and queues it.  ${effect}: its chunks are taken over.  More than
 * DISK_MAX at a time wait in line, in order; beyond DISK_LINE_MAX, as when the disk hangs, or where there is no memory, it is not
 * carried out at all, and done() is told -EBUSY or -ENOMEM by and by.  w->done is set by the caller; it may start ${w} again, or
 * free it.  work_stop(n, w): what was asked for is carried out all the same.  Not for EFFECT_LEASE: its lease must stay until it
 * is done.  work_busy(w). */
void work_start(struct node *n, struct work *w, struct effect *effect);
void work_stop(struct node *n, struct work *w);
bool work_busy(const struct work *w);

void node_log(struct node *n, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void node_effect(struct node *n, struct effect *e);	/* without a ticket; its chunks are taken over */
/* EFFECT_STOP: this node must not go on: for want of memory, or for the reason ${result} (node.h). */
void node_stop(struct node *n, const char *why);
void node_stop_for(struct node *n, int result, const char *why);

/* ---- commands (commands.c): what our user waits for is answered once, and within its timeout ---- */

/* Part of whoever carries out a command. */
struct pending {
	uint64_t ticket;		/* the user's; 0: answered */
	/* The time is up, and -ETIMEDOUT has been replied (-ESHUTDOWN when the node stops).  Stop what waits for the answer alone;
	 * what the ring needs may go on, an insert to its R owners for instance. */
	void (*expired)(struct node *n, struct pending *p);
};

/** command_start(n, p, c): tell ${p} when the time of ${c} is up; p->expired is set by the caller.  ${p} must live until the
 * reply.  Who doesn't wait at all need not call this.
 * command_reply(n, ticket, reply): its result, chunk, chunk_kind, blob and count; the chunks are taken over.  The first one
 * of a ticket goes out, all later ones are dropped; node_effect(EFFECT_REPLY) is the same.
 * command_result(n, ticket, result): nothing but a result. */
void command_start(struct node *n, struct pending *p, const struct command *c);
void command_reply(struct node *n, uint64_t ticket, struct effect *reply);
void command_result(struct node *n, uint64_t ticket, int result);

/* ---- who is there (membership.c) ---- */

enum health { PEER_ALIVE, PEER_SUSPECT, PEER_DOWN };

struct membership;
enum health membership_health(struct node *n, const struct address *id);	/* not a member: PEER_DOWN */
uint64_t membership_down_since(struct node *n, const struct address *id);	/* 0: it is not */
const struct member *membership_find(struct node *n, const struct address *id);	/* NULL: none, or it is gone */
bool membership_gone(struct node *n, const struct address *id);		/* it has left, or was evicted */
/** membership_spares(n): may spares be made now (a partition? maintenance?) for what ${id} should have? */
bool membership_spares(struct node *n, const struct address *id);
void membership_start(struct node *n);
void membership_message(struct node *n, struct peer *from, const struct message *m);
void membership_heard(struct node *n, struct peer *from);		/* any frame: it is alive (called for each: be quick) */
void membership_peer(struct node *n, struct peer *p, bool up);	/* its first link came up, or its last one went (up: after membership_heard) */
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
/** placement_complete(n, slot): has it all that it should have, since this store's generation?  placement_all_complete(n): have
 * all of ours? */
bool placement_complete(struct node *n, unsigned int slot);
bool placement_all_complete(struct node *n);
/** placement_was_complete(n, slot): it was complete when we lost it (since the start of this process), and was not given up
 * since.  placement_given_up(n, slot): what lies here of it need not stay. */
bool placement_was_complete(struct node *n, unsigned int slot);
void placement_given_up(struct node *n, unsigned int slot);
/** placement_set_complete(n, slot): repair found it so.  Durable in time; when all are, there is no table before. */
void placement_set_complete(struct node *n, unsigned int slot);
/** pulls_full(n): a write found the disk full: that is said now and then, and nothing is pulled for a moment. */
void pulls_full(struct node *n);
/** pulls_busy(n): repair found that something is lacking here, and is fetching it. */
bool pulls_busy(const struct node *n);
/** placement_left(n): microseconds until all are, by the pace of the last minute or two; 0: there is none yet. */
uint64_t placement_left(struct node *n);
/** placement_owners(n, slot, out): the other owners, as peers, by rank; their number (at most RING_REPLICAS_MAX). */
unsigned int placement_owners(struct node *n, unsigned int slot, struct peer **out);
/** placement_walk(n, slot, out, max): the other members in the order of the walk. */
unsigned int placement_walk(struct node *n, unsigned int slot, struct peer **out, unsigned int max);
/** placement_hash(n): of the present table; zeros before the first.  placement_earlier(n, i): the tables since the one in
 * which all was in its place, newest first; NULL: no more.  placement_before() is the last of them. */
const struct address *placement_hash(struct node *n);
const struct ring *placement_earlier(struct node *n, unsigned int i);
/** placement_keep_earlier(n, keep): they are needed for longer, since who owned a slot before must still be asked (heads_slots.c); or no
 * more.  Until a slot is complete they are kept in any case. */
void placement_keep_earlier(struct node *n, bool keep);
/** placement_was_alone(n): before the first table: a life before this one had all slots complete.  Where its disk has no rows of
 * members, it founded the ring, and nobody came. */
bool placement_was_alone(struct node *n);
void placement_changed(struct node *n);		/* called by membership: build the table anew */
/** placement_missed(n): a record has come that may have moved slots; it counts where it came about while we were not there, that is
 * before placement_met(n): our view is that of most others. */
void placement_missed(struct node *n);
void placement_met(struct node *n);
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
void repair_command(struct node *n, const struct command *c);		/* repair.c: REPAIR */
/** repair_lacks(n, slot): a lease holds what should be here and is not: its other owners are compared with soon (REPAIR_AGAIN). */
void repair_lacks(struct node *n, unsigned int slot);
void leave_command(struct node *n, const struct command *c);		/* rebalance.c: LEAVE; DRAIN by membership */
/** rebalance_holds(n, slot): not ours any more, but its new owners may not have all of it yet: we go on answering for it
 * (rebalance.c). */
bool rebalance_holds(struct node *n, unsigned int slot);
/** foreign_add(n, a): ${a} lies here: see that its other owners have it, and have proved it.  What is FOREIGN becomes
 * OWNED or CACHED then; set that state first, or the wish is lost in a crash.
 * foreign_count(n): records on their way or waiting, about; 0 only where none here is FOREIGN. */
void foreign_add(struct node *n, const struct address *a);
unsigned int foreign_count(struct node *n);
void foreign_again(struct node *n);		/* what waits is tried now */

/* Make the leases of ${slot} here and at ${peer} agree: what is newer there comes here, what is newer here, or lacks
 * there, goes there (lease.h). */
struct lease_pull {
	struct peer *peer;
	uint16_t slot;
	uint64_t timeout;		/* 0: LEASES_PULL_MAX */
	bool ours;			/* only of the leases here that were made here: what is newer there, or lacks there */
	void (*done)(struct node *n, struct lease_pull *p, int result);	/* 0, -ETIMEDOUT, -EHOSTUNREACH, -EIO */
	bool conflict;			/* result: two leases of one number (lease.h, rule 2), here and there */
	bool complete;			/* result: the slot is complete there: these are all that count */
	bool news;			/* result: one came here from there, or meanwhile from elsewhere */
	struct lease_pull_private *private;	/* lease.c's own; NULL: not under way */
};
void leases_pull(struct node *n, struct lease_pull *p);		/* ${peer}, ${slot} and ${done} are set by the caller */
void leases_pull_stop(struct node *n, struct lease_pull *p);
/** heads_complete(n, slot): what a majority of the owners before knew of heads is here: part of a slot's being complete. */
bool heads_complete(struct node *n, unsigned int slot);

/* Those that live as long as the node: each is told of the start, of a new table, of a peer that comes (its link is up) or goes. */
struct served;
struct machine {
	const char *name;
	void (*start)(struct node *n);
	void (*table)(struct node *n);
	void (*peer)(struct node *n, struct peer *p, bool up);
	/* a request of a peer, of one of the types of this machine: answer it with serve_answer(), now or later.  ${m} itself
	 * is valid during this call, what it points to until the answer.  Its placement is ours, checked already. */
	bool (*request)(struct node *n, struct served *s, const struct message *m);	/* false: not my type */
	void (*end)(struct node *n);
	size_t (*memory)(struct node *n);
};
extern const struct machine chunkserve_machine, foreign_machine, fetch_machine, insert_machine, audit_machine, repair_machine,
    rebalance_machine, lease_machine, heads_machine, deletion_machine;

/** machines_table(n): placement calls table() of each. */
void machines_table(struct node *n);

/* ---- requests of peers (serve.c) ---- */

/* A request that we work on.  ${body} holds the bytes that the message points into.  It is the machine's until it answers, also
 * when its link or peer has gone meanwhile; what it waits for is bounded by the machine.  At the end of the node
 * what is left is freed here, after the machines have ended. */
struct served {
	struct list link;
	struct peer *peer;
	unsigned int type;
	uint32_t request, via;		/* via: the link that it came by; the answer goes the same way, or nowhere */
	enum link_priority priority;
	uint64_t came;
	bool working;			/* counted with its link's */
	struct chunk *body;
	void *user;			/* the machine's */
};

/** serve_answer(n, s, m, tail): send and free it; m->type and the number are filled in, ${tail} as in call_start().
 * serve_status(n, s, status): an answer with nothing else. */
void serve_answer(struct node *n, struct served *s, struct message *m, struct chunk *tail);
void serve_status(struct node *n, struct served *s, enum wire_status status);

/** touched(n, a): somebody wants it: not to be deleted for DELETE_AFTER (deletion.c).  leases_changed(): whether these are
 * leased, or whether they are here, is no longer what it was: repair's trie (repair.c).  work.c tells it of the disk. */
void touched(struct node *n, const struct address *a);
/** deleting(n, a): its deletion is under way: the catalogue still has it, but "yes, I have it" would be a lie. */
bool deleting(struct node *n, const struct address *a);
void leases_changed(struct node *n, const struct address *addresses, uint32_t count);

struct node {
	struct node_options options;	/* what it points to is the node's own */
	struct ring_file file;
	uint64_t now, started;
	bool running, stopped;		/* since EVENT_START; since EFFECT_STOP */
	uint64_t random[4];
	struct timer *timers;		/* the first one due */
	uint64_t timer_order;
	unsigned int timer_count;
	struct address id;
	struct member *self;		/* our own record, as last signed */
	struct membership *membership;
	struct placement *placement;
	struct peers *peers;
	struct calls *calls;
	struct links *links;
	struct dials *dials;
	struct works *works;
	struct serve *serve;
	struct effects *effects;
	struct commands *commands;
	/* by machine */
	struct chunkserve *chunkserve;
	struct foreign *foreign;
	struct fetches *fetches;
	struct inserts *inserts;
	struct audit *audit;
	struct repair *repair;
	struct rebalance *rebalance;
	struct leave *leave;
	struct leases *leases;
	struct heads *heads;
	struct deletion *deletion;
	struct node_status status;	/* counters; node_status() fills in the rest */
};

#endif
