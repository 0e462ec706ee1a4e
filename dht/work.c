#include "dht/work.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define WORK_BATCH 16u	/* inserts that a worker takes at a time: address_of_many() gains three quarters of what it can */
#define WORK_EACH  4u	/* inserts that wait for each worker that has some, before another is woken: together they are quicker, and waking costs */

enum queue { QUEUE_LOOKUP, QUEUE_INSERT, QUEUE_ALONE, QUEUE_AHEAD, QUEUES };

/* op->state */
enum op_state {
	OP_QUEUED = 1,		/* in a queue */
	OP_WAITING,		/* in the waiting list: for a sync, or to be resumed */
	OP_RUNNING,		/* with a worker */
	OP_FAR,			/* others are to be asked, when fewer are; in the line */
	OP_AWAY,		/* others are asked; in the away list */
	OP_CANCELLED,		/* in the cancelled list */
	OP_DONE,		/* done() has been, or is being, called */
};

struct worker {
	struct work *work;
	pthread_t thread;
	struct dht_op *op;	/* the lookup, or first insert, that it runs; under the work's lock; NULL too where it was given back */
};

struct work {
	void (*run)(void *arg, struct work_job *job);
	void *arg;
	pthread_mutex_t lock;	/* covers all that follows, and the ops in the lists */
	pthread_cond_t wanted, cancelled_some, drained;
	struct list queue[QUEUES], waiting, line, away, cancelled;
	struct work_far far;
	unsigned int asked;	/* away, those that were cancelled since among them */
	unsigned int queued[QUEUES];
	unsigned int pending;	/* operations that are not done */
	unsigned int inserting;	/* workers that run quick inserts: one that runs another may wait for the disk for long */
	unsigned int running;	/* ... that run one, or what is left of one given back */
	enum queue turn;	/* lookups or inserts: whose turn it is */
	uint64_t resumed;	/* calls of work_resume() */
	bool stopping;
	unsigned int count;
	pthread_t canceller;
	struct worker workers[];
};

static struct dht_op *op_of(struct list *l)
{
	return list_item(l, struct dht_op, link);
}

/* Does it wait for no read of the disk? */
static bool is_quick(const struct dht_op *op)
{
	return op->verb == WORK_INSERT && !op->alone;
}

static enum queue queue_of(const struct dht_op *op)
{
	if (op->verb == WORK_INSERT)
		return is_quick(op) ? QUEUE_INSERT : QUEUE_ALONE;
	return op->ahead ? QUEUE_AHEAD : QUEUE_LOOKUP;
}

/* Under the lock. */
static void enqueue(struct work *w, struct dht_op *op)
{
	enum queue q = queue_of(op);

	op->state = OP_QUEUED;
	list_append(&w->queue[q], &op->link);
	w->queued[q]++;
	if (q != QUEUE_INSERT || w->queued[q] > w->inserting * WORK_EACH)
		pthread_cond_signal(&w->wanted);
}

/* Under the lock. */
static struct dht_op *dequeue(struct work *w, enum queue q)
{
	struct dht_op *op = op_of(w->queue[q].next);

	list_remove(&op->link);
	w->queued[q]--;
	op->state = OP_RUNNING;
	return op;
}

/* Under the lock: the next to run, or NULL. */
static struct dht_op *take(struct work *w)
{
	/* Those alone have been here longer. */
	enum queue insert = w->queued[QUEUE_ALONE] > 0 ? QUEUE_ALONE : QUEUE_INSERT;
	enum queue q = w->turn == QUEUE_LOOKUP ? QUEUE_LOOKUP : insert;

	if (w->queued[q] == 0)
		q = q == QUEUE_LOOKUP ? insert : QUEUE_LOOKUP;
	if (w->queued[q] == 0)
		q = QUEUE_AHEAD;
	if (w->queued[q] == 0)
		return NULL;
	if (q != QUEUE_AHEAD)
		w->turn = q == QUEUE_LOOKUP ? QUEUE_INSERT : QUEUE_LOOKUP;
	return dequeue(w, q);
}

/* Under the lock. */
static void tell_drained(struct work *w)
{
	if (w->pending == 0 && w->running == 0)
		pthread_cond_broadcast(&w->drained);
}

/* With the lock, which is given up for the call. */
static void give_back(struct work *w, struct dht_op *op)
{
	op->state = OP_DONE;
	pthread_mutex_unlock(&w->lock);
	op->done(op);
	pthread_mutex_lock(&w->lock);
	w->pending--;
	tell_drained(w);
}

/* Under the lock: the canceller gives it back, and does nothing else. */
static void give_back_soon(struct work *w, struct dht_op *op, enum op_state state, int result)
{
	op->state = (int)state;
	op->result = result;
	list_append(&w->cancelled, &op->link);
	pthread_cond_signal(&w->cancelled_some);
}

/* Under the lock: others are to be asked for it. */
static void send_away(struct work *w, struct dht_op *op)
{
	op->away = NULL;
	if (w->asked >= WORK_FAR_MAX) {
		op->state = OP_FAR;
		list_append(&w->line, &op->link);
		return;
	}
	op->away = w->far.start(w->far.arg, (enum work_verb)op->verb, op);
	if (!op->away) {
		give_back_soon(w, op, OP_DONE, -ENOMEM);
		return;
	}
	w->asked++;
	op->state = OP_AWAY;
	list_append(&w->away, &op->link);
}

/* Under the lock: one less is away. */
static void send_next(struct work *w)
{
	w->asked--;
	while (!list_empty(&w->line) && w->asked < WORK_FAR_MAX) {
		struct dht_op *op = op_of(w->line.next);

		list_remove(&op->link);
		send_away(w, op);
	}
}

/* With the lock: ${job} has been run; ${op} is NULL where its caller has lost interest. */
static void finish(struct work *w, struct dht_op *op, struct work_job *job, uint64_t resumed)
{
	if (job->verb == WORK_INSERT) {
		chunk_drop(job->chunk);
		job->chunk = NULL;
	}
	chunk_drop(job->packed);
	if (!op) {
		chunk_drop(job->chunk);
		return;
	}
	if (job->result == -EINPROGRESS) {
		/* Where what it waits for has come in between, it is tried again at once. */
		if (w->resumed != resumed) {
			enqueue(w, op);
			return;
		}
		op->state = OP_WAITING;
		list_append(&w->waiting, &op->link);
		return;
	}
	if (job->result == -EREMOTE) {
		send_away(w, op);
		return;
	}
	if (job->result == -EAGAIN && is_quick(op)) {
		op->alone = true;
		op->address = job->address;
		enqueue(w, op);
		return;
	}
	op->result = job->result;
	if (op->verb == WORK_LOOKUP)
		op->chunk = job->chunk;
	op->kind = job->kind;
	op->address = job->address;
	give_back(w, op);
}

/* Under the lock: the next ones to run.  Inserts together, to be hashed side by side: half of them, for other workers have hands too; but
 * one where lookups wait for their turn. */
static unsigned int take_some(struct work *w, struct dht_op *ops[WORK_BATCH])
{
	unsigned int n = 1, more = 0;

	ops[0] = take(w);
	if (!ops[0])
		return 0;
	if (is_quick(ops[0]) && w->queued[QUEUE_LOOKUP] == 0)
		more = w->queued[QUEUE_INSERT] / 2;
	while (n <= more && n < WORK_BATCH)
		ops[n++] = dequeue(w, QUEUE_INSERT);
	return n;
}

/* Under the lock. */
static void job_init(struct work_job *job, struct dht_op *op, bool hurry)
{
	*job = (struct work_job){ .verb = (enum work_verb)op->verb, .kind = op->kind, .address = op->address, .hurry = op->hurry || hurry,
		.alone = op->alone };
	if (op->verb == WORK_INSERT)
		job->chunk = chunk_hold(op->chunk);
	/* What it brought from others is the job's, whatever becomes of it. */
	job->returned = op->returned;
	job->packed = op->packed;
	op->returned = 0;
	op->packed = NULL;
}

static void hash(struct work_job *job, unsigned int n)
{
	struct address_job a[WORK_BATCH];

	if (job->verb != WORK_INSERT || job->alone)
		return;
	for (unsigned int i = 0; i < n; i++)
		a[i] = (struct address_job){ .kind = job[i].kind, .data = job[i].chunk->data, .len = job[i].chunk->len };
	address_of_many(a, n);
	for (unsigned int i = 0; i < n; i++)
		job[i].address = a[i].address;
}

/* With the lock, which is given up for the work. */
static void carry_out(struct worker *me, struct dht_op *ops[], unsigned int n, bool hurry)
{
	struct work *w = me->work;
	struct work_job job[WORK_BATCH];
	bool inserts = is_quick(ops[0]);
	uint64_t resumed = w->resumed;

	for (unsigned int i = 0; i < n; i++)
		job_init(&job[i], ops[i], hurry);
	me->op = ops[0];
	w->running++;
	w->inserting += inserts;
	pthread_mutex_unlock(&w->lock);
	hash(job, n);
	for (unsigned int i = 0; i < n; i++) {
		w->run(w->arg, &job[i]);
		pthread_mutex_lock(&w->lock);
		/* Only lookups are given back meanwhile, and they come alone. */
		if (i == 0)
			ops[0] = me->op;
		me->op = NULL;
		finish(w, ops[i], &job[i], resumed);
		if (i + 1 < n)
			pthread_mutex_unlock(&w->lock);
	}
	w->running--;
	w->inserting -= inserts;
	tell_drained(w);
}

static void *worker_main(void *arg)
{
	struct dht_op *ops[WORK_BATCH];
	struct worker *me = arg;
	struct work *w = me->work;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		bool hurry = w->queued[QUEUE_INSERT] > w->count;
		unsigned int n = take_some(w, ops);

		if (n > 0)
			carry_out(me, ops, n, hurry);
		else if (w->stopping)
			break;
		else
			pthread_cond_wait(&w->wanted, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void *canceller_main(void *arg)
{
	struct work *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct dht_op *op;

		if (list_empty(&w->cancelled)) {
			if (w->stopping)
				break;
			pthread_cond_wait(&w->cancelled_some, &w->lock);
			continue;
		}
		op = op_of(w->cancelled.next);
		list_remove(&op->link);
		give_back(w, op);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Ends the first ${n} workers and, if it runs, the canceller. */
static void join(struct work *w, unsigned int n, bool canceller)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->wanted);
	pthread_cond_broadcast(&w->cancelled_some);
	pthread_mutex_unlock(&w->lock);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(w->workers[i].thread, NULL);
	if (canceller)
		pthread_join(w->canceller, NULL);
	pthread_cond_destroy(&w->wanted);
	pthread_cond_destroy(&w->cancelled_some);
	pthread_cond_destroy(&w->drained);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int work_open(unsigned int threads, void (*run)(void *arg, struct work_job *job), void *arg,
    struct work **out)
{
	struct work *w = calloc(1, sizeof(*w) + threads * sizeof(w->workers[0]));
	int rc;

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->run = run;
	w->arg = arg;
	w->count = threads;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wanted, NULL);
	pthread_cond_init(&w->cancelled_some, NULL);
	pthread_cond_init(&w->drained, NULL);
	for (int i = 0; i < QUEUES; i++)
		list_init(&w->queue[i]);
	list_init(&w->waiting);
	list_init(&w->line);
	list_init(&w->away);
	list_init(&w->cancelled);
	rc = pthread_create(&w->canceller, NULL, canceller_main, w);
	if (rc) {
		join(w, 0, false);
		return -rc;
	}
	for (unsigned int i = 0; i < threads; i++) {
		w->workers[i].work = w;
		rc = pthread_create(&w->workers[i].thread, NULL, worker_main, &w->workers[i]);
		if (rc) {
			join(w, i, true);
			return -rc;
		}
	}
	*out = w;
	return 0;
}

void work_drain(struct work *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->pending > 0 || w->running > 0)
		pthread_cond_wait(&w->drained, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void work_close(struct work *w)
{
	assert(w->pending == 0);
	join(w, w->count, true);
}

void work_add(struct work *w, struct dht_op *op, enum work_verb verb)
{
	assert(verb == WORK_INSERT || verb == WORK_LOOKUP);
	op->verb = verb;
	op->alone = false;
	op->returned = 0;
	op->packed = NULL;
	pthread_mutex_lock(&w->lock);
	w->pending++;
	enqueue(w, op);
	pthread_mutex_unlock(&w->lock);
}

void work_far(struct work *w, const struct work_far *far)
{
	w->far = *far;
}

void work_add_away(struct work *w, struct dht_op *op)
{
	op->verb = WORK_REPLICAS;
	pthread_mutex_lock(&w->lock);
	w->pending++;
	send_away(w, op);
	pthread_mutex_unlock(&w->lock);
}

void work_add_done(struct work *w, struct dht_op *op)
{
	op->verb = WORK_SAFE;
	pthread_mutex_lock(&w->lock);
	w->pending++;
	give_back_soon(w, op, OP_DONE, 0);
	pthread_mutex_unlock(&w->lock);
}

void work_returned(struct work *w, struct away *a, const struct away_result *r)
{
	struct dht_op *op = NULL;

	pthread_mutex_lock(&w->lock);
	send_next(w);
	for (struct list *l = w->away.next; l != &w->away && !op; l = l->next)
		if (op_of(l)->away == a)
			op = op_of(l);
	if (!op) {
		chunk_drop(r->packed);
	} else if (op->verb == WORK_REPLICAS) {
		list_remove(&op->link);
		op->result = r->result;
		op->copies = r->copies;
		op->owners = r->owners;
		chunk_drop(r->packed);
		give_back(w, op);
	} else {
		list_remove(&op->link);
		op->returned = r->result;
		op->packed = r->packed;
		if (r->packed)
			op->kind = r->kind;
		enqueue(w, op);
	}
	pthread_mutex_unlock(&w->lock);
}

void work_add_sync(struct work *w, struct dht_op *op, enum work_verb verb, uint64_t (*ticket)(void *arg), void *arg)
{
	op->verb = verb;
	pthread_mutex_lock(&w->lock);
	w->pending++;
	/* Under the lock, so that work_synced() of this ticket finds it in the list. */
	op->ticket = ticket(arg);
	if (op->ticket == UINT64_MAX) {
		give_back_soon(w, op, OP_DONE, -EIO);
	} else {
		op->state = OP_WAITING;
		list_append(&w->waiting, &op->link);
	}
	pthread_mutex_unlock(&w->lock);
}

void work_synced(struct work *w, enum work_verb verb, uint64_t ticket, int result)
{
	struct list due, *next;

	list_init(&due);
	pthread_mutex_lock(&w->lock);
	for (struct list *l = w->waiting.next; l != &w->waiting; l = next) {
		struct dht_op *op = op_of(l);

		next = l->next;
		if (op->verb != (int)verb || op->ticket > ticket)
			continue;
		list_remove(l);
		list_append(&due, l);
		/* From here on it is too late to cancel it. */
		op->state = OP_DONE;
	}
	while (!list_empty(&due)) {
		struct dht_op *op = op_of(due.next);

		list_remove(&op->link);
		op->result = result;
		give_back(w, op);
	}
	pthread_mutex_unlock(&w->lock);
}

void work_resume(struct work *w)
{
	struct list *next;

	pthread_mutex_lock(&w->lock);
	w->resumed++;
	for (struct list *l = w->waiting.next; l != &w->waiting; l = next) {
		next = l->next;
		if (op_of(l)->verb != WORK_INSERT && op_of(l)->verb != WORK_LOOKUP)
			continue;
		list_remove(l);
		enqueue(w, op_of(l));
	}
	pthread_mutex_unlock(&w->lock);
}

/* Under the lock: the worker that runs a lookup goes on without it. */
static void detach(struct work *w, const struct dht_op *op)
{
	for (unsigned int i = 0; i < w->count; i++)
		if (w->workers[i].op == op)
			w->workers[i].op = NULL;
}

void work_cancel(struct work *w, struct dht_op *op)
{
	pthread_mutex_lock(&w->lock);
	if (op->state == OP_QUEUED) {
		w->queued[queue_of(op)]--;
		list_remove(&op->link);
		chunk_drop(op->packed);
	} else if (op->state == OP_AWAY) {
		list_remove(&op->link);
		w->far.stop(w->far.arg, op->away);
	} else if (op->state == OP_WAITING || op->state == OP_FAR) {
		list_remove(&op->link);
	} else if (op->state == OP_RUNNING && op->verb == WORK_LOOKUP) {
		detach(w, op);
	} else {
		pthread_mutex_unlock(&w->lock);
		return;
	}
	give_back_soon(w, op, OP_CANCELLED, -ECANCELED);
	pthread_mutex_unlock(&w->lock);
}

bool work_hurry(struct work *w)
{
	bool hurry;

	pthread_mutex_lock(&w->lock);
	hurry = w->queued[QUEUE_INSERT] > w->count;
	pthread_mutex_unlock(&w->lock);
	return hurry;
}

unsigned int work_queued(struct work *w)
{
	unsigned int n = 0;

	pthread_mutex_lock(&w->lock);
	for (int i = 0; i < QUEUES; i++)
		n += w->queued[i];
	pthread_mutex_unlock(&w->lock);
	return n;
}
