/* heads_ask: one COMMAND_HEAD or COMMAND_SWAP under way.  Private to heads.c, heads_read.c and heads_write.c. */
#ifndef DHT_NET_HEADS_ASK_H
#define DHT_NET_HEADS_ASK_H

#include <string.h>

#include "dht/net/heads.h"

enum ask_state { READING, KEEPING, WRITING, WAITING, WARNING };

struct lane {				/* to one owner */
	struct asking *of;
	struct call call;
	struct address id;
	bool told;			/* it answered what counts: READING: it has none, or ${head}; WRITING: it has it */
	bool full;
	bool chained;			/* it was sent what lies between */
	struct chunk *head;
	uint64_t seq;
};

struct asking {
	struct list link;
	struct pending pending;
	uint64_t ticket;		/* 0: answered */
	bool swap;
	enum ask_state state;
	struct address volume;
	struct lane lane[RING_REPLICAS_MAX];
	unsigned int lanes;
	bool self;			/* we are an owner, and know what counts: our own answer, as a lane's: */
	bool self_told, self_full;
	struct chunk *self_head;
	uint64_t self_seq;
	struct head_change *changing[2];	/* of ROW_HEAD_SEEN, of ROW_HEAD */
	struct chunk *head, *evidence;	/* what is kept and written; another one of its seq */
	struct head h;			/* ${head} */
	bool stale, ended;
	bool everywhere;		/* READING: all who answered have it */
	struct timer timer;
	uint64_t wait;
};

/* ---- heads.c ---- */

/** ask_over(n, a, result): reply, and free it.  ask_answer(): reply, if that was not done yet.  ask_free(). */
void ask_over(struct node *n, struct asking *a, int result);
void ask_answer(struct node *n, struct asking *a, int result);
void ask_free(struct node *n, struct asking *a);
/** ask_wait(n, a): once more in a while; over, if nobody waits. */
void ask_wait(struct node *n, struct asking *a);
/** ask_open(n, a): a lane to each owner of now; none has been asked.  ask_stop(n, a): nobody is waited for. */
void ask_open(struct node *n, struct asking *a);
void ask_stop(struct node *n, struct asking *a);
bool ask_busy(const struct asking *a);
bool ask_majority(struct node *n, unsigned int count);
/** ask_head(n, a, blob, out): is it a head of this volume?  ask_is_fork(n, a, m): does ${m} prove two of one seq?
 * ask_ended(n, a, m): take the end of the volume from it; false: it is none. */
bool ask_head(struct node *n, const struct asking *a, const struct wire_slice *blob, struct head *out);
bool ask_is_fork(struct node *n, const struct asking *a, const struct message *m);
bool ask_ended(struct node *n, struct asking *a, const struct message *m);
/** ask_forked(n, a, one, two): two of one seq: they are kept, and all are told.  ${a} may be gone. */
void ask_forked(struct node *n, struct asking *a, const struct wire_slice *one, const struct wire_slice *two);
void ask_distrust(struct node *n, const struct lane *l, const char *what);

/* ---- heads_read.c, heads_write.c: ${a} may be gone afterwards ---- */

void ask_read(struct node *n, struct asking *a);
void ask_keep(struct node *n, struct asking *a);
void ask_write(struct node *n, struct asking *a);
void ask_warn(struct node *n, struct asking *a);

static inline struct wire_slice head_slice(const struct chunk *c)
{
	return (struct wire_slice){ c->data, c->len };
}

static inline bool head_same(const struct chunk *c, const struct wire_slice *s)
{
	return c && c->len == s->len && !memcmp(c->data, s->data, s->len);
}

#endif
