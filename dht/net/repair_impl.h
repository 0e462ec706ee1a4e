/*
 * repair_impl: what the files of repair share.  Part of node_impl.h's world.
 *
 *	repair.c	which pairs are reconciled, and when; which slots still lack what
 *	reconcile.c	one pair: who has what
 *	pull.c		getting what is lacked
 *	repair_serve.c	answering peers
 */
#ifndef DHT_NET_REPAIR_IMPL_H
#define DHT_NET_REPAIR_IMPL_H

#include "dht/net/node_impl.h"
#include "dht/net/trie.h"

struct pulls;
struct reconcile;
struct repair_serving;

/* A peer that shares a slot with us, or had one that is ours now. */
struct pair {
	struct address id;
	uint64_t due;			/* when it is to be compared again */
	struct trie_slots *duty;	/* incomplete slots of ours that wait for it; NULL: none */
	struct reconcile *reconcile;	/* under way; NULL: none */
};

struct repair {
	struct trie *trie;
	struct pair *pair;		/* in the order of ids */
	unsigned int pairs, running;
	struct timer timer;
	struct pulls *pulls;
	struct list serving;		/* peers' questions that wait for our trie */
	unsigned int serving_count;
	struct timer serve_timer;
};

struct pair *repair_pair(struct node *n, const struct address *id);	/* NULL: none */

/** repair_due(n, pair, at): compare it at ${at}, or sooner if that was to be. */
void repair_due(struct node *n, struct pair *pair, uint64_t at);

/** repair_shared(n, id, out): the slots that both we and ${id} own now.  False: none. */
bool repair_shared(struct node *n, const struct address *id, struct trie_slots *out);

/** repair_compared(n, id): ${id} has compared with us just now: we need not, for a while. */
void repair_compared(struct node *n, const struct address *id);

/** repair_done(n, pair, result, missed): the end of a reconcile; ${missed}: slots where something was not got. */
void repair_done(struct node *n, struct pair *pair, int result, const struct trie_slots *missed);

/* ---- reconcile.c ---- */

/** reconcile_start(n, pair, peer): -ENOMEM.  Ends by repair_done(), not from inside.  reconcile_stop(): without it. */
int reconcile_start(struct node *n, struct pair *pair, struct peer *peer);
void reconcile_stop(struct node *n, struct reconcile *r);
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
/** pulls_forget(n, r): ${r} goes away. */
void pulls_forget(struct node *n, const struct reconcile *r);
size_t pulls_memory(const struct node *n);

/* ---- repair_serve.c ---- */

bool repair_request(struct node *n, struct served *s, const struct message *m);
void repair_serve_due(struct node *n, struct timer *t);
void repair_serve_end(struct node *n);
size_t repair_serve_memory(const struct repair *r);

#endif
