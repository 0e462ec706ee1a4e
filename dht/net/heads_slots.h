/* heads_slots: which slots' heads count here, and who may know what counted before.  Private to heads_slots.c and heads_pull.c. */
#ifndef DHT_NET_HEADS_SLOTS_H
#define DHT_NET_HEADS_SLOTS_H

#include "dht/net/heads.h"

/* A node that may know something. */
struct asked {
	struct address id;
	struct trie_slots want, told, counts;	/* is to be asked for, has told all of, and they count there */
	unsigned int wanted;			/* slots in ${want} */
};

struct pull {
	struct call call;
	struct asked *of;		/* NULL: idle */
	unsigned int window;		/* its first slot */
	struct address after;
	bool paged;			/* ${after} is set */
	bool more, failed;
	unsigned int storing;
	struct trie_slots counts;
};

struct heads_pull {
	struct trie_slots count;	/* they count here */
	uint8_t since[RING_SLOTS];	/* they wait, and counted so many tables ago; 0: not that we know */
	unsigned int waiting;
	bool fresh;			/* our store may have been lost, and not all has come to count since */
	bool founder, first;		/* first: no table was seen yet */
	struct asked **asked;		/* in the order of ids */
	unsigned int asked_count, asked_size;
	unsigned int next;		/* of them, in this round: each has one turn */
	struct pull pull[HEAD_PULLS_MAX];
	bool wide, round;
	unsigned int noted;		/* slots_want() was called under this table: 1; with ${wide}: 2.  What it notes stays */
	uint64_t wait, number;		/* number: of tables; what was asked under an earlier one is void */
	struct timer timer, save_timer, judge_timer;
	struct work saving;
	bool unsaved;
	bool losing;			/* a row is lost, and is not yet removed (heads_lost.c): */
	struct address lost;		/* of this volume, */
	struct work wiping;		/* by this */
};

/* ---- heads_slots.c ---- */

/** slots_want(n): notes for each node that may know what it is still to be asked for.  slots_judge(n): some may be known well
 * enough now.  slots_again(n): who did not answer yet for a slot that waits is asked again.  slots_forget(p): all that was told is void.  slots_anew(n): and is asked anew.  slots_save(n, us): the row, by then. */
void slots_want(struct node *n);
void slots_judge(struct node *n);
void slots_again(struct node *n);
void slots_forget(struct heads_pull *p);
void slots_anew(struct node *n);
void slots_save(struct node *n, uint64_t us);

/* ---- heads_lost.c ---- */

/** heads_lost_saved(n): that the slot does not count is durable. */
void heads_lost_saved(struct node *n);

/* ---- heads_pull.c ---- */

void heads_round(struct node *n, struct timer *t);
void heads_judge(struct node *n, struct timer *t);

#endif
