/*
 * repair_impl: what the files of repair share.  Part of node_impl.h's world.
 *
 *	repair.c		which pairs are reconciled, and when
 *	repair_slots.c		which slots still lack what
 *	reconcile.c		one pair: who has what ...
 *	reconcile_judge.c	... by what the peer answers
 *	pull.c			getting what is lacked
 *	spare.c			keeping what others should have, while they are away
 *	repair_serve.c		answering peers
 */
#ifndef DHT_NET_REPAIR_IMPL_H
#define DHT_NET_REPAIR_IMPL_H

#include <string.h>

#include "dht/net/node_impl.h"
#include "dht/net/trie.h"

struct pulls;
struct spares;
struct reconcile;
struct repair_serving;
struct repair_page;

/* A peer that shares a slot with us, or had one that is ours now. */
struct pair {
	struct address id;
	uint64_t due;			/* when it is to be compared again */
	unsigned int failures;		/* in a row */
	struct trie_slots *duty;	/* incomplete slots of ours that it may know more of; NULL: none */
	struct trie_slots *over;	/* of them, those that it was asked about, and all was got; NULL as ${duty} */
	bool holder;			/* it said that it holds slots of ours: nobody waits for it */
	struct reconcile *reconcile;	/* under way; NULL: none */
	uint64_t began;			/* that one */
};

struct repair {
	struct trie *trie;
	struct pair *pair;		/* in the order of ids */
	unsigned int pairs, running;
	struct timer timer;
	/* repair_slots.c */
	uint16_t *mine;			/* our slots, in order */
	unsigned int mine_count;
	struct trie_slots sourced;	/* compared with one who said that all is there */
	struct trie_slots headless;	/* all is here but the heads */
	struct timer heads_timer, source_timer;
	uint64_t since;			/* of the table */
	/* repair_serve.c */
	struct list serving;		/* peers' questions that wait for our trie */
	unsigned int serving_count;
	struct repair_page *page;	/* the answer that is being made; NULL: none */
	struct timer serve_timer;
	struct pulls *pulls;
	struct spares *spares;
};

/* An answer to WIRE_SLOTS about a quarter of all has a bit for each, 32 a count: of leases, then of what is complete. */
#define REPAIR_QUARTER	   (RING_SLOTS / 4)	/* below a path of depth 1 */
#define REPAIR_WORDS	   (REPAIR_QUARTER / 32)

extern const struct trie_slots repair_no_slots;

static inline bool trie_slots_empty(const struct trie_slots *s)
{
	return !memcmp(s, &repair_no_slots, sizeof(*s));
}

struct pair *repair_pair(struct node *n, const struct address *id);	/* NULL: none */

/** repair_due(n, pair, at): compare it at ${at}, or sooner if that was to be. */
void repair_due(struct node *n, struct pair *pair, uint64_t at);

/** repair_compared(n, id): ${id} has compared with us just now: we need not, for a while. */
void repair_compared(struct node *n, const struct address *id);

/* What came of the slots of a duty: about those in ${told} the peer was asked, for one may be added meanwhile; of them, in ${sources}
 * those that were complete there when it began, in ${missed} those where something was not got. */
struct repair_outcome {
	struct trie_slots told, sources, missed;
};

/** repair_done(n, pair, result, outcome): the end of a reconcile. */
void repair_done(struct node *n, struct pair *pair, int result, const struct repair_outcome *outcome);

/** repair_add(n, id): a pair with a member that is in no table that we know; NULL: no memory. */
struct pair *repair_add(struct node *n, const struct address *id);

/* ---- repair_slots.c ---- */

/** slots_table(n): a new table: which are ours now?  -ENOMEM.  slots_duties(n): whom do the incomplete ones wait for?  -ENOMEM. */
int slots_table(struct node *n);
int slots_duties(struct node *n);
/** slots_done(n, pair, outcome): as repair_done(); NULL: it is gone for ever, nobody waits for it.  slots_held(n, id, slot): ${id}, no
 * owner of it, says that it holds a slot of ours. */
void slots_done(struct node *n, struct pair *pair, const struct repair_outcome *outcome);
void slots_held(struct node *n, const struct address *id, unsigned int slot);
void slots_heads_due(struct node *n, struct timer *t);
void slots_source_due(struct node *n, struct timer *t);

/** repair_shared(n, id, out): the slots that both we and ${id} own now.  False: none. */
bool repair_shared(struct node *n, const struct address *id, struct trie_slots *out);

/* ---- reconcile.c ---- */

/** reconcile_start(n, pair, peer): -ENOMEM.  Ends by repair_done(), not from inside.  reconcile_stop(): without it. */
int reconcile_start(struct node *n, struct pair *pair, struct peer *peer);
void reconcile_stop(struct node *n, struct reconcile *r);
void reconcile_moved(struct reconcile *r, struct pair *pair);	/* its pair is elsewhere now */
size_t reconcile_memory(const struct reconcile *r);
/** reconcile_pulled(n, r, a, got): the end of a pull that it asked for.  reconcile_room(n, r): there is room for pulls again. */
void reconcile_pulled(struct node *n, struct reconcile *r, const struct address *a, bool got);
void reconcile_room(struct node *n, struct reconcile *r);

/* ---- pull.c ---- */

int pulls_start(struct node *n);	/* -ENOMEM */
void pulls_end(struct node *n);
/** pull_add(n, a, from, r): get ${a}, which ${from} has; tell ${r} (NULL: nobody) by reconcile_pulled().  1: it will be
 * told; 0: it waits for ${a} already; -ENOSPC: no room, reconcile_room() follows. */
int pull_add(struct node *n, const struct address *a, const struct address *from, struct reconcile *r);
/** pull_spare(n, a, from): likewise, whether a lease here has it or not.  0, -ENOSPC. */
int pull_spare(struct node *n, const struct address *a, const struct address *from);
/** pulls_forget(n, r): ${r} goes away. */
void pulls_forget(struct node *n, const struct reconcile *r);
size_t pulls_memory(const struct node *n);

/* ---- spare.c ---- */

int spares_start(struct node *n);	/* -ENOMEM */
void spares_end(struct node *n);
void spares_table(struct node *n);
size_t spares_memory(const struct node *n);

/* ---- repair_serve.c ---- */

bool repair_request(struct node *n, struct served *s, const struct message *m);
void repair_serve_due(struct node *n, struct timer *t);
void repair_serve_end(struct node *n);
size_t repair_serve_memory(const struct repair *r);

#endif
