/*
 * work: the threads that carry out operations, and where operations wait.
 *
 * Lookups and inserts take turns; lookups ahead of time come when there is nothing else.  Inserts are hashed
 * some at a time; one that must read what is there already does so alone, as a lookup does.  An operation that is
 * cancelled while it waits, and a lookup even while it runs, is given back at once by a thread that does nothing
 * else, so that a disk that hangs holds up nobody.
 */
#ifndef DHT_WORK_H
#define DHT_WORK_H

#include "dht/dht.h"

enum work_verb { WORK_INSERT, WORK_LOOKUP, WORK_SYNC, WORK_SAFE, WORK_PUBLISHED, WORK_REPLICAS };

/* What a worker carries out: a copy, since its operation may be given back meanwhile. */
struct work_job {
	enum work_verb verb;
	bool hurry;		/* inserts queue up: spend no time on compression */
	bool alone;		/* an insert that holds up no other: it may wait for the disk */
	enum kind kind;
	struct address address;	/* insert: that of its chunk */
	struct chunk *chunk;	/* insert: held for the job; lookup: the result, consumed */
	struct chunk *packed;	/* lookup: what work_returned() brought, held for the job */
	int returned;		/* or why it did not; 0: it was not away */
	int result;		/* -EINPROGRESS: it waits on, until work_resume(); -EREMOTE: a lookup goes away, see below;
				 * -EAGAIN: an insert is to be run once more, alone */
};

/*
 * Where operations go that need others: started and stopped under the work's lock, so they must not block, nor call back from
 * inside.  Whatever was started calls work_returned() once, stopped or not.
 */
struct away;
#define WORK_FAR_MAX 160u	/* at a time; the others wait: the ring takes so many commands beside those of outgoing.h and leasing.h */

struct work_far {
	struct away *(*start)(void *arg, enum work_verb verb, const struct dht_op *op);	/* NULL: no memory */
	void (*stop)(void *arg, struct away *a);
	void *arg;
};

struct work;

/** work_open(threads, run, arg, out): run(arg, job) is called by workers.  0 or -errno. */
int work_open(unsigned int threads, void (*run)(void *arg, struct work_job *job), void *arg,
    struct work **out);

/** work_drain(w): until every operation is done, and no worker runs what was cancelled.
 * work_close(w): end the threads; all are done. */
void work_drain(struct work *w);
void work_close(struct work *w);

/** work_add(w, op, verb): queue an insert or a lookup. */
void work_add(struct work *w, struct dht_op *op, enum work_verb verb);

/** work_far(w, far): before anything is added.  NULL: nothing goes away. */
void work_far(struct work *w, const struct work_far *far);

struct away_result {
	int result;
	enum kind kind;		/* of ${packed} */
	struct chunk *packed;	/* or NULL */
	uint32_t copies, owners;
};

/** work_returned(w, a, r): what was started as ${a} is over; takes over r->packed.  A lookup is run once more, with it;
 * WORK_REPLICAS is done. */
void work_returned(struct work *w, struct away *a, const struct away_result *r);

/** work_add_done(w, op): one that needs nothing: done() is called soon, with 0. */
void work_add_done(struct work *w, struct dht_op *op);

/** work_add_away(w, op): a WORK_REPLICAS, which only goes away. */
void work_add_away(struct work *w, struct dht_op *op);

/** work_add_sync(w, op, verb, ticket, arg): an operation (WORK_SYNC, WORK_SAFE, WORK_PUBLISHED) that waits for the ticket that
 * ticket(arg) gives, which work_synced() ends.  ticket() is called under the work's lock: it must not block, nor call back from inside.
 * UINT64_MAX: nobody would end it: it fails, soon, with -EIO. */
void work_add_sync(struct work *w, struct dht_op *op, enum work_verb verb, uint64_t (*ticket)(void *arg), void *arg);

/** work_synced(w, verb, ticket, result): ends those of ${verb} that wait for ${ticket} or an earlier one. */
void work_synced(struct work *w, enum work_verb verb, uint64_t ticket, int result);

/** work_resume(w): queue again those that said -EINPROGRESS. */
void work_resume(struct work *w);

/** work_cancel(w, op): as dht_cancel(). */
void work_cancel(struct work *w, struct dht_op *op);

/** work_hurry(w): do inserts queue up? */
bool work_hurry(struct work *w);

/** work_queued(w): operations that wait for a worker. */
unsigned int work_queued(struct work *w);

#endif
