/*
 * membership: who is in the ring, and who of them can be reached.  Private to its files:
 *
 *	membership.c	the way in and out: start, messages, commands, what others ask; records adopted and kept
 *	view.c		the table, and the digest of it
 *	swim.c		probes: is it there?
 *	suspicion.c	it does not answer: how long we wait for it to say otherwise
 *	gossip.c	what is new, told to a few others until enough of them must know
 *	exchange.c	two views made the same, by what differs
 *	self.c		our own record: incarnations, refutation, join, leave, clones
 *
 * Who is a member is said by signed records, which decide placement.  Who can be reached is found here, unsigned and
 * local, and decides routing and spares only.  SWIM (Das, Gupta, Motivala 2002) with the three parts of Lifeguard (Dadgar,
 * Phillips, Currey 2018): local health, suspicion that shrinks with independent confirmations, and the buddy
 * (who is suspected hears of it first, in the ping).  Three things differ from SWIM.  A death is not
 * gossiped: each node that heard the suspicion lets its own clock run out, and asks once more itself before that, so no
 * single liar can take a member out of anyone's view, nor can a refutation that was missed.  Those that are down stay
 * members, and in the round of probes: so parts of a cut ring find each other again by themselves.  And one frame
 * ends a suspicion, but a frame that a stall held up is old: without another one it goes on.
 *
 * Who begins is *rooted*: the founder of a ring, who has no seeds and has forgotten nothing; whose disk has rows of members; and who has all that one has who
 * is.  Until then a node is no member and has no table: those who have met only others that begin, too, know nothing of the ring
 * that they are to join, and would acknowledge by one of themselves.
 *
 * How long until all know, at N = 1000 (periods of PROBE_EVERY = 1 s); tests/unit/test_swarm measures it:
 *	first probe of the dead	999 probers, each of whom picks it once in 999 periods: 1 a second.  Median
 *				ln 2 = 0.7 s; longer than 4.6 s in 1 of 100, than 7 s in 1 of 1000
 *	that probe fails	at the end of its period: 1 s
 *	all hear of it		3 others every 200 ms: x 4 a round, 5 rounds; the last are reached when
 *				e^(-3 x rounds) < 1/1000, 2.3 more: 7.3 rounds = 1.5 s and as many latencies, 2 s.
 *				16 tellings each leave one in e^-16 = 10^-7 without the news
 *	confirmations		1 a second, found by their own probes: the third comes 3 s after the first
 *	suspicion		at most 4 log10 N = 12 s, with 3 confirmations half of that: 6 s from when it is first
 *				heard, which is already 1.5 to 2 s later at the last one; the last second is for our own ping
 *	all have it down	0.7 + 1 + 2 + 6 = 9.7 s median; 4.6 + 1 + 2 + 7.3 (two confirmations) = 15 s in 1 of 100
 * A false one, while 1 % of connections stall: the direct ping and all three detours must stall, of two
 * connections each: 0.01 x (0.02)^3 = 8 x 10^-8 a probe, 0.3 an hour in the whole ring; that is a suspicion, which
 * the suspected hears 2 s later and has 10 s left to refute.
 *
 * Traffic at rest, a node: a ping and an ack a second, 34 bytes each with their frame; one digest in 30 s.
 * A new record of 173 bytes: 16 tellings a node, 2.8 kB.
 */
#ifndef DHT_NET_MEMBERSHIP_H
#define DHT_NET_MEMBERSHIP_H

#include "dht/net/node_impl.h"
#include "dht/net/view.h"

/* ---- what is new (gossip.c) ---- */

/* One thing to tell.  ${owner}: the only pointer to it, cleared when it has been told often enough. */
struct news {
	struct list link;		/* among those told as often */
	struct view_entry *entry;
	struct news **owner;
	struct address from;		/* of a suspicion: whose it is */
	uint64_t incarnation;		/* of a suspicion: zero: its record is the news */
	unsigned int sent;
};

struct rest {				/* maintenance: no spares for ${target}, or (zeros) for anyone, until then */
	struct address target;
	uint64_t until;
	unsigned int sent;
};

enum gossip_kind { GOSSIP_SUSPICION, GOSSIP_RECORD, GOSSIP_KINDS };

struct gossip {
	struct list told[GOSSIP_KINDS][GOSSIP_SENT_MAX];	/* by how often they were told */
	unsigned int count;
	struct timer timer;
	uint64_t last;
	struct rest rest[MAINTENANCE_MAX];
	unsigned int rests;
};

/* Room for what goes with a message; must live until it is encoded. */
struct gossip_text {
	uint8_t records[GOSSIP_BYTES];
	uint8_t suspicions[WIRE_GOSSIP_MAX * WIRE_SUSPICION_LEN];
};

void gossip_start(struct node *n);
void gossip_end(struct node *n);
void gossip_record(struct node *n, struct view_entry *e);
void gossip_suspicion(struct node *n, struct view_entry *e, uint64_t incarnation, const struct address *from,
    struct news **owner);
void gossip_forget(struct node *n, struct news **owner);	/* no longer news; NULL there is fine */
bool gossip_over(const struct node *n);

/** gossip_add(n, m, text, times): what was told least, as much as fits, into a message that is sent ${times} times. */
void gossip_add(struct node *n, struct message *m, struct gossip_text *text, unsigned int times);
/** gossip_first(n, m, text, e): before that: ${e} is not reached; into a message to itself. */
void gossip_first(struct node *n, struct message *m, struct gossip_text *text, const struct view_entry *e);
/** gossip_state(n, to): who is down here (GOSSIP_DOWN_MAX of them at most), and what is under maintenance. */
void gossip_state(struct node *n, struct peer *to);
/** gossip_heard(n, from, m): the records and suspicions of any message.  False: one of them is forged (membership_adopt_all()). */
bool gossip_heard(struct node *n, struct peer *from, const struct message *m);
/** gossip_rest(n, target, seconds): maintenance.  -EALREADY: it lasts for that long already; -ENOSPC. */
int gossip_rest(struct node *n, const struct address *target, uint32_t seconds);
bool gossip_resting(const struct node *n, const struct address *target);

/* ---- is it there? (swim.c) ---- */

enum probe_state { PROBE_NONE, PROBE_DIRECT, PROBE_DETOUR, PROBE_ANSWERED };

/* A ping on another's behalf. */
struct relay {
	struct timer timer;
	struct address for_whom, target;
	uint64_t their_seq, seq;	/* seq 0: free */
};

struct swim {
	struct view_entry **round;	/* those to probe, in a shuffled order */
	unsigned int count, size, at;
	enum probe_state state;
	struct view_entry *target;
	uint64_t seq, sent, seqs;
	uint64_t incarnation;		/* of the target's record when it was pinged */
	struct timer period, timeout;
	struct address detour[PROBE_INDIRECT];
	unsigned int detours, nacks;	/* asked, and those that said that they had no answer either */
	unsigned int health;		/* Lifeguard: 0 well, HEALTH_MAX: it is more likely us than them */
	struct relay relay[RELAYS_MAX];
};

void swim_start(struct node *n);
void swim_end(struct node *n);
void swim_add(struct node *n, struct view_entry *e);	/* a new member: into this round */
void swim_message(struct node *n, struct peer *from, const struct message *m);	/* PING, ACK, PROBE, NACK */
/** swim_slept(n, t): ${t}, which is due now, was due long ago: the process did not run.  What others said meanwhile waits. */
bool swim_slept(const struct node *n, const struct timer *t);
void swim_ask(struct node *n, struct view_entry *e);	/* a ping outside of the round: any frame in answer will do */
void swim_worse(struct node *n);			/* we had to refute: are we slow? */

/** swim_pick(n, not, which): a random member that is no tombstone, and is down, or not: then any, or rather one with a link; not
 * ourselves, not ${not}.  NULL: none was found. */
enum swim_pick { PICK_ANY, PICK_LINKED, PICK_DOWN };
struct view_entry *swim_pick(struct node *n, const struct view_entry *not, enum swim_pick which);

/* ---- it does not answer (suspicion.c) ---- */

struct suspicion {
	struct timer timer;
	struct view_entry *entry;
	uint64_t started, incarnation;	/* started: or cleared */
	uint64_t asked;			/* when we asked it ourselves, at the end; 0: not yet */
	struct address from[SUSPICION_CONFIRMATIONS + 1];
	struct news *news[SUSPICION_CONFIRMATIONS + 1];
	unsigned int count;		/* of them */
	bool cleared;			/* it was heard: kept for SUSPICION_ECHO, in which what still goes round does not count */
};

/** suspicion_heard(n, e, incarnation, from, tell): ${from} has no answer of it; ${tell}: others are to know. */
void suspicion_heard(struct node *n, struct view_entry *e, uint64_t incarnation, const struct address *from, bool tell);
void suspicion_clear(struct node *n, struct view_entry *e);	/* it lives */
void suspicion_forget(struct node *n, struct view_entry *e);	/* it is gone, or has a newer record */
void suspicion_drop(struct node *n, struct view_entry *e);	/* all doubts, but it stays down if it is */
/** suspicion_time(members, confirmations): us to wait. */
uint64_t suspicion_time(unsigned int members, unsigned int confirmations);

/* ---- two views made the same (exchange.c) ---- */

struct exchange {
	struct timer timer, pull_timer;
	struct address *wanted;		/* what we pull, from one peer at a time */
	unsigned int count, at;
	struct address from;
	bool rooted;			/* ${from} is */
	uint64_t turn;
	bool strangers;			/* there may be some */
};

void exchange_start(struct node *n);
void exchange_end(struct node *n);
void exchange_with(struct node *n, struct peer *p);
/** exchange_with_strangers(n): with those that are linked, and no members: gossip does not reach them.  False: there is none. */
bool exchange_with_strangers(struct node *n);
void exchange_message(struct node *n, struct peer *from, const struct message *m); /* COMPARE, SUMMARY, WANT, RECORDS */
void exchange_lost(struct node *n, const struct address *id);	/* its link is gone */

/* ---- our own record (self.c) ---- */

enum self_state { SELF_STARTING, SELF_JOINING, SELF_HERE, SELF_ENDING };

struct self {
	enum self_state state;
	struct member fields;		/* of the next record */
	uint64_t reserved;		/* incarnations up to this one are ours: the row says so */
	uint64_t saving;		/* what the row will say when it is written; 0: it is not being written */
	bool announce;			/* a new record is due as soon as the row allows it */
	bool again;			/* the row is to be written again */
	uint64_t announced;		/* when the last record was made */
	struct work save;
	struct timer timer;		/* joining: it has been quiet; here: a refutation is due; ending */
	uint64_t waiting[SELF_WAITING_MAX];	/* tickets of commands that wait for the row */
	unsigned int waits;
	uint64_t ending;		/* the ticket of COMMAND_LEAVE */
	bool left_before;		/* in a life before this one */
	const char *end;		/* the reason to stop */
	uint64_t leapt[SELF_LEAPS];	/* instances whose records we went beyond */
	unsigned int leaps;
};

void self_start(struct node *n);
void self_end(struct node *n);
void self_joined(struct node *n);	/* rooted: say that we are here */
bool self_doubted(struct node *n, uint64_t incarnation);	/* false: we have said since that we live */
void self_met(struct node *n, struct member *m);	/* a record or statement with our own id, that holds */
void self_evicted(struct node *n);	/* by our own user: say so, then stop */
void self_command(struct node *n, const struct command *c);	/* DRAIN, SET, LEAVE */

/* ---- all of it (membership.c) ---- */

struct saver {				/* of rows, a few at a time */
	struct work work;
	struct view_entry *entry;
};

struct membership {
	struct view view;
	struct view_entry *self;	/* NULL until announced */
	bool rooted;
	struct gossip gossip;
	struct swim swim;
	struct exchange exchange;
	struct self own;
	struct list unsaved;
	struct saver saver[SAVES_MAX];
	struct timer save_again;
	uint64_t complained;		/* when it was last logged that there is no room */
};

/** membership_root(n): an exchange has told all that one knows who is rooted.  From then on we are, say that we are here, make tables,
 * and keep rows of members: those on a disk root the next life. */
void membership_root(struct node *n);
/** membership_adopt(n, bytes, len, news): a record or statement that somebody sent: what is newer and holds goes into the
 * view, and is gossiped if it is ${news}.  -EBADMSG: malformed or forged; -ENOSPC, -ENOMEM; 0, also if it is old. */
int membership_adopt(struct node *n, const uint8_t *bytes, size_t len, bool news);
/** membership_adopt_all(n, from, records, news): each of them.  False: one is malformed or forged.  Nobody passes on what he has
 * not verified: so ${from} loses standing and its links, and each such record costs it a dial. */
bool membership_adopt_all(struct node *n, struct peer *from, const struct wire_slice *records, bool news);
void membership_tell_record(struct node *n, struct peer *to, const struct member *what);
/** membership_put(n, m, news): one whose signature was seen to hold. */
int membership_put(struct node *n, struct member *m, bool news);
struct view_entry *membership_entry(struct node *n, struct peer *p);	/* NULL: no member */
const char *membership_name(const struct view_entry *e);	/* for the log */

#endif
