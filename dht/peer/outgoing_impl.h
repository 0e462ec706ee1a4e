/*
 * outgoing_impl: what outgoing.c (chunks, epochs, tickets) and outgoing_pass.c (what is found on the shelf) share.
 *
 * An epoch is what was added between two tickets.  Its ticket is good when it, and all before it, have nothing LATE or SENT; it has failed
 * as soon as one of these is UNSAFE, though others go on.
 */
#ifndef DHT_PEER_OUTGOING_IMPL_H
#define DHT_PEER_OUTGOING_IMPL_H

#include <pthread.h>

#include "chunker/codec.h"
#include "chunker/list.h"
#include "dht/peer/line.h"
#include "dht/peer/outgoing.h"

struct epoch {
	struct list link;
	uint64_t ticket;
	uint64_t undecided;		/* LATE or SENT; and the pass, while it goes on */
	uint64_t until_ms;		/* who waits for the pass waits until then */
	int result;
	bool told;
};

enum pass { PASS_NONE, PASS_FOREIGN, PASS_FRESH };

struct sent {
	struct list link;
	struct outgoing *o;
	struct peer_ask ask;
	struct waiting what;
	uint64_t at_ms;
};

struct outgoing {
	struct outgoing_options o;
	struct codec *codec;		/* the thread's */
	pthread_t thread;
	pthread_mutex_t lock;		/* covers all that follows */
	pthread_cond_t wanted;
	struct line late, unsafe;
	struct list sent;
	unsigned int chunks;		/* sent, or about to be */
	size_t bytes, window;		/* no more go out while there are so many */
	uint64_t narrowed_ms;		/* when the window was made smaller: what was sent before tells no more of it */
	struct list epochs;		/* oldest first; the last is open */
	struct epoch *untold;		/* the oldest that was not told */
	enum pass pass;
	bool first_pass;		/* that of the start, which has not come to its end yet */
	struct address pass_at;
	struct epoch *pass_epoch;
	uint64_t tickets;
	uint64_t safe, forgotten;
	int error;
	bool starved;			/* room() is owed */
	bool busy;			/* the core refused one just now */
	bool telling;			/* a thread does, and will see what has changed */
	bool stopping;
};

static inline struct epoch *next_epoch(struct epoch *e)
{
	return list_item(e->link.next, struct epoch, link);
}

/** outgoing_fail(o, e, result): who was not told yet, and took a ticket behind ${e}, is not safe either.  Under the lock. */
void outgoing_fail(struct outgoing *o, struct epoch *e, int result);

/* outgoing_pass.c; all under the lock. */

/** pass_start(o, e, first): ${e} waits for it.  ${first}: what no lease holds is looked at, too. */
void pass_start(struct outgoing *o, struct epoch *e, bool first);

/** pass_step(o): the next addresses, to the late ones; the lock is given up for the reading. */
void pass_step(struct outgoing *o);

/** pass_end(o, result): ${result}: of the reading. */
void pass_end(struct outgoing *o, int result);

/** pass_expire(o): what it has to do may take hours; who waits for it need not. */
void pass_expire(struct outgoing *o);

/** outgoing_now_ms(): of a monotonic clock. */
uint64_t outgoing_now_ms(void);

#endif
