/*
 * fetch_impl: what fetch.c (who wants a chunk, and how it ends) and fetch_ask.c (who is asked for it) share.
 */
#ifndef DHT_NET_FETCH_IMPL_H
#define DHT_NET_FETCH_IMPL_H

#include "dht/net/chunks.h"

#define FETCH_TRIED (3 * RING_REPLICAS_MAX)	/* nodes asked in one round: owners now and before, spares */

enum fetch_state { LOCAL, ASKING, PAUSED, OVER };
enum ask_state { FREE, ASKED, CHECKED };

/* What one node had to say in this round. */
enum outcome {
	OPEN,			/* not asked, or no answer yet */
	MISSED,			/* it has not, and that counts if it is an owner */
	NOTHING,		/* nothing that would be better in a moment */
	LATER,			/* it may be: busy, another table, a link that was cut */
};

struct tried {
	struct address id;
	enum outcome outcome;
	uint64_t sent, lacked;		/* it was asked, and said that it has not; 0: it did not */
};

struct ask {
	struct fetch *fetch;
	enum ask_state state;
	struct tried *tried;
	struct call call;
	struct work check;
	struct chunk *chunk;
	enum kind kind;
};

struct fetch {
	struct list link;		/* of its bucket; of those that linger once it is OVER */
	struct list waiters;
	enum fetch_state state;
	struct address address, placement;	/* the table of this round */
	bool heal;			/* for our own disk: nobody need wait */
	bool bad;			/* there is a copy here that can't be read */
	bool failed;			/* the first one asked did not do */
	bool missed;			/* an owner that should have it has not */
	bool counted;			/* as a read from the network */
	unsigned int rounds, tried_count;
	struct tried tried[FETCH_TRIED];
	struct ask ask[FETCH_ASKS];
	struct work work;		/* the local copy: reading, writing */
	struct timer hedge, pause, give_up;
};

/** fetch_advance(n, f): ask whoever is to be asked next; where nobody is left and nothing runs, fetch_round_over().
 * fetch_hedge(): f->hedge is due.  fetch_running(f): requests and checks.  fetch_tried(f, id): in this round, or NULL. */
void fetch_advance(struct node *n, struct fetch *f);
void fetch_hedge(struct node *n, struct timer *t);
unsigned int fetch_running(const struct fetch *f);
struct tried *fetch_tried(struct fetch *f, const struct address *id);

/** fetch_lacked(n, f, found): peer_lacked() of all who answered without the bytes; ${found}: another one has them. */
void fetch_lacked(struct node *n, struct fetch *f, bool found);

/** fetch_deliver(n, f, chunk, kind): these are its bytes.  fetch_settle(n, f): free it if it is OVER and nothing runs.
 * None of these leaves ${f} to the caller. */
void fetch_deliver(struct node *n, struct fetch *f, struct chunk *chunk, enum kind kind);
void fetch_settle(struct node *n, struct fetch *f);
void fetch_round_over(struct node *n, struct fetch *f);

#endif
