/*
 * chunks: what insert, fetch, foreign, audit and confirm share.  Part of node_impl.h's world.
 */
#ifndef DHT_NET_CHUNKS_H
#define DHT_NET_CHUNKS_H

#include "dht/net/node_impl.h"

/* ---- proof.c: does a peer really hold a chunk? ---- */

enum verdict {
	PROOF_GOOD,
	PROOF_WRONG,		/* another hash than ours; its standing has suffered already */
	PROOF_LACKS,		/* it says that it has none, or can't read it */
	PROOF_NONE,		/* nothing is known: not reached, too late, busy */
	PROOF_SAYS,		/* a hash, of which we can't know whether it is right: there is no copy here */
};

struct proof {
	struct address id;	/* the peer asked */
	struct address expected;
	bool unknown;		/* there is no ${expected} */
	bool filling;		/* PROOF_LACKS, and by its own word not all is there yet, or there was no room: repair's turn */
	struct call call;
	void (*done)(struct node *n, struct proof *p, enum verdict verdict);
};

/** proof_nonce(n, out): a fresh one: no answer of before fits it, and nobody else can tell which comes next. */
void proof_nonce(struct node *n, struct address *out);

/** proof_local(n, w, a, nonce): our own answer, from our own copy, as w->done's hash; w->done is set by the caller. */
void proof_local(struct node *n, struct work *w, const struct address *a, const struct address *nonce);

/** proof_start(n, p, peer, a, nonce, priority): ask; p->expected (what proof_local() gave) and p->done are set. */
void proof_start(struct node *n, struct proof *p, struct peer *peer, const struct address *a,
    const struct address *nonce, enum link_priority priority);
void proof_stop(struct node *n, struct proof *p);

/* ---- insert_touch.c: owners are asked about many inserts at once ---- */

#define INSERT_TOUCH_BUCKETS 64u

struct insert_touches {
	struct list bucket[INSERT_TOUCH_BUCKETS];	/* by the peer's id */
	size_t bytes;
};

/* Part of what asks. */
struct insert_touch {
	struct touch_batch *batch;	/* NULL: not under way */
	uint32_t place;
	/* ${result} and ${answer}: as of a call; ${has}: it says that it has this one. */
	void (*done)(struct node *n, struct insert_touch *t, struct peer *p, int result, const struct message *answer, bool has);
};

void insert_touches_init(struct insert_touches *all);
void insert_touches_free(struct node *n, struct insert_touches *all);

/** insert_touch_start(n, all, t, p, a, volume): has ${p} got ${a}, and will it keep it?  At once where it is asked about no other one,
 * else with those that come meanwhile.  t->done is set.  0 or -ENOMEM.  insert_touch_stop(n, t): done() does not come. */
int insert_touch_start(struct node *n, struct insert_touches *all, struct insert_touch *t, struct peer *p,
    const struct address *a, const struct address *volume);
void insert_touch_stop(struct node *n, struct insert_touch *t);

/* ---- between the machines ---- */

/** chunk_state(n, a): enum catalogue_state. */
static inline unsigned int chunk_state(struct node *n, const struct address *a)
{
	return n->options.catalogue->state(n->options.catalogue, a);
}

/** insert_waiting(n): inserts whose user has no answer yet. */
unsigned int insert_waiting(const struct node *n);

/** fetch_heal(n, a): our copy of ${a} can't be read: get it from the others again, in the background.  Forgotten where
 * HEALS_MAX are under way: what is bad is found again. */
void fetch_heal(struct node *n, const struct address *a);

void confirm_command(struct node *n, const struct command *c);		/* confirm.c */
void confirm_end(struct node *n);
size_t confirm_memory(struct node *n);
struct list *fetch_confirms(struct node *n);				/* those under way */

void where_command(struct node *n, const struct command *c);		/* where.c */
void where_end(struct node *n);
size_t where_memory(struct node *n);
struct list *fetch_wheres(struct node *n);

#endif
