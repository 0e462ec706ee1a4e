/*
 * foreign_impl: what foreign.c (which records, whose turn, who has them) and move.c (one record on its way)
 * share.
 */
#ifndef DHT_NET_FOREIGN_IMPL_H
#define DHT_NET_FOREIGN_IMPL_H

#include "dht/net/chunks.h"

#define FOREIGN_BUCKETS 256u

/* What we know of one owner's copy. */
enum copy_state {
	COPY_ASKED,		/* a touch is under way, or in line */
	COPY_LACKS,
	COPY_SAYS,		/* it says that it has one: hearsay */
	COPY_PROVED,
	COPY_OUT,		/* nothing to be had from it this time */
};

struct copy {
	struct address id;
	enum copy_state state;
	bool queued;		/* in a touch */
	bool pushed;		/* it failed a proof, and was sent the bytes */
};

/* A record whose owners are asked (foreign.c), then one that is being moved (move.c). */
struct move {
	struct list link;	/* taken, asked, ready or moving */
	struct list hash;
	struct address address;
	uint64_t tables;	/* foreign.tables when its owners were looked up */
	bool swept, moving;	/* found by a sweep, not told; it has a place among those that move */
	bool again;		/* who lacked it was asked a second time */
	uint64_t lacked;	/* since when, by the first who said so; 0: nobody has */
	unsigned int owners, waiting;
	struct shipment *shipment;	/* move.c's; NULL: not its turn */
	struct copy copy[RING_REPLICAS_MAX];
};

struct foreign {
	struct list bucket[FOREIGN_BUCKETS];
	struct list taken, asked, ready, moving;
	struct list touches;		/* in line */
	struct list touching;		/* under way */
	unsigned int count;		/* moves in all lists */
	unsigned int touching_count, moving_count;
	size_t bytes;			/* of chunks in memory, and of those being read at most: what is reserved */
	size_t held;			/* by shipments and the chunks that they have: what is in memory */
	size_t touch_bytes;
	struct address queue[FOREIGN_WINDOW];	/* told by foreign_add(), not yet taken */
	unsigned int queue_first, queued;
	struct timer gather, again;
	uint64_t yielding;		/* since when inserts go first; 0: they don't */
	/* A sweep goes through all that the catalogue has as FOREIGN. */
	bool sweeping, sweep_again;
	struct address cursor;
	uint64_t pause;
	uint64_t tables;		/* counts them */
	unsigned int left, done;	/* since the last sweep began: not placed; found by it and placed */
	struct address blocked[FOREIGN_BLOCKED];	/* peers that some of them wait for */
	unsigned int blocked_count;
	bool blocked_more, pumping;
};

/** foreign_ready(n, m): its owners have been asked: it stands in line.  foreign_over(n, m, left): free it; ${left}:
 * it must be tried again.  foreign_blocked(n, id): a record waits for that peer.  foreign_pump(n): whose turn is it? */
void foreign_ready(struct node *n, struct move *m);
void foreign_over(struct node *n, struct move *m, bool left);
void foreign_blocked(struct node *n, const struct address *id);
void foreign_pump(struct node *n);

/** move_has(m, state): in how many of its copies?  move_start(n, m): may be over before it returns.  move_stop(n, m): frees
 * its shipment. */
unsigned int move_has(const struct move *m, enum copy_state state);
void move_start(struct node *n, struct move *m);
void move_stop(struct node *n, struct move *m);

/** touch_queue(n): ask the owners of all that were taken, each with one message for all that it should have.
 * touch_again(n, m): is it too long ago that some lacked it?  Then it is taken once more, for these.
 * touch_next(n): as many as may be under way.  touch_end(n): before the moves. */
void touch_queue(struct node *n);
bool touch_again(struct node *n, struct move *m);
void touch_next(struct node *n);
void touch_end(struct node *n);

#endif
