/*
 * work: the threads that carry out operations, and where operations wait.
 *
 * Lookups and inserts take turns; lookups ahead of time come when there is nothing else.  An
 * operation that is cancelled while it waits, and a lookup even while it runs, is given back
 * at once by a thread that does nothing else, so that a disk that hangs holds up nobody.
 */
#ifndef DHT_WORK_H
#define DHT_WORK_H

#include "dht/dht.h"

enum work_verb { WORK_INSERT, WORK_LOOKUP, WORK_SYNC };

/* What a worker carries out: a copy, since its operation may be given back meanwhile. */
struct work_job {
	enum work_verb verb;
	bool hurry;		/* inserts queue up: spend no time on compression */
	enum kind kind;
	struct address address;
	struct chunk *chunk;	/* insert: held for the job; lookup: the result, consumed */
	int result;		/* -EINPROGRESS: it waits on, until work_resume() */
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

/** work_add_sync(w, op, ticket, arg): an operation that waits for the ticket that
 * ticket(arg) gives, which work_synced() ends. */
void work_add_sync(struct work *w, struct dht_op *op, uint64_t (*ticket)(void *arg), void *arg);

/** work_synced(w, ticket, result): ends those that wait for ${ticket} or an earlier one. */
void work_synced(struct work *w, uint64_t ticket, int result);

/** work_resume(w): queue again those that said -EINPROGRESS. */
void work_resume(struct work *w);

/** work_cancel(w, op): as dht_cancel(). */
void work_cancel(struct work *w, struct dht_op *op);

/** work_hurry(w): do inserts queue up? */
bool work_hurry(struct work *w);

/** work_queued(w): operations that wait for a worker. */
unsigned int work_queued(struct work *w);

#endif
