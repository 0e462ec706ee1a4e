#include "fs/replicas.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "chunker/deadline.h"
#include "chunker/index.h"

#define LOOK_MS 50	/* whether it is to stop */

struct counting;

/* One chunk: where no copy is here to compare with, one is fetched first. */
struct question {
	struct dht_op op;
	struct counting *c;
	bool used, fetched;
};

struct counting {
	struct dht *dht;
	const atomic_bool *stop;
	struct replicas *out;
	pthread_mutex_t lock;
	pthread_cond_t free;
	unsigned int under_way;
	int error;
	struct question question[REPLICAS_AT_ONCE];
};

static void answered(struct dht_op *op);

static void fetched(struct dht_op *op)
{
	struct question *q = op->user;

	if (op->result == 0)
		chunk_drop(op->chunk);
	if (op->result == 0 && atomic_load(q->c->stop))
		op->result = -EINTR;
	if (op->result == 0) {
		op->done = answered;
		dht_replicas(q->c->dht, op);
	} else {
		answered(op);
	}
}

static void answered(struct dht_op *op)
{
	struct question *q = op->user;
	struct counting *c = q->c;

	if (op->result == -ENODATA && !q->fetched && !atomic_load(c->stop)) {
		q->fetched = true;
		op->done = fetched;
		dht_lookup(c->dht, op);
		return;
	}
	pthread_mutex_lock(&c->lock);
	if (op->result < 0) {
		c->error = op->result == -ENODATA ? -EIO : op->result;
	} else if (op->copies < c->out->copies) {
		c->out->copies = op->copies;
	}
	if (op->result == 0)
		c->out->owners = op->owners;
	q->used = false;
	c->under_way--;
	pthread_cond_signal(&c->free);
	pthread_mutex_unlock(&c->lock);
}

/* With the lock: until a question is answered, or for a moment.  When it is to stop, who asks is called back. */
static void wait_answer(struct counting *c)
{
	struct timespec until = deadline_in(CLOCK_MONOTONIC, LOOK_MS);
	pthread_cond_timedwait(&c->free, &c->lock, &until);
	if (!atomic_load(c->stop))
		return;
	/* Again each time: one may have been between two operations. */
	for (unsigned int i = 0; i < REPLICAS_AT_ONCE; i++)
		if (c->question[i].used)
			dht_cancel(&c->question[i].op);
}

static int ask(struct counting *c, enum kind kind, const struct address *a)
{
	struct question *q = c->question;
	int rc;

	pthread_mutex_lock(&c->lock);
	while (c->under_way == REPLICAS_AT_ONCE)
		wait_answer(c);
	rc = c->error;
	if (rc == 0 && atomic_load(c->stop))
		rc = -EINTR;
	if (rc == 0) {
		while (q->used)
			q++;
		*q = (struct question){ .c = c, .used = true,
			.op = { .done = answered, .user = q, .kind = kind, .address = *a } };
		c->under_way++;
		c->out->chunks++;
	}
	pthread_mutex_unlock(&c->lock);
	if (rc == 0)
		dht_replicas(c->dht, &q->op);
	return rc;
}

static int settle(struct counting *c, int rc)
{
	pthread_mutex_lock(&c->lock);
	while (c->under_way > 0)
		wait_answer(c);
	pthread_mutex_unlock(&c->lock);
	if (rc == 0)
		rc = c->error;
	return rc == -ECANCELED || (rc == 0 && atomic_load(c->stop)) ? -EINTR : rc;
}

int replicas_count(struct dht *d, struct source *source, const struct ref *ref, const atomic_bool *stop, struct replicas *out)
{
	struct counting *c = calloc(1, sizeof(*c));
	bool file = ref->kind == KIND_DATA || ref->kind == KIND_INDEX;
	struct index_cursor *cursor = c && file ? index_cursor_new(source, ref) : NULL;
	pthread_condattr_t clock;
	struct extent e;
	int rc = c && (cursor || !file) ? 0 : -ENOMEM;

	*out = (struct replicas){ .copies = UINT32_MAX };
	if (c) {
		c->dht = d;
		c->stop = stop;
		c->out = out;
		pthread_mutex_init(&c->lock, NULL);
		pthread_condattr_init(&clock);
		pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
		pthread_cond_init(&c->free, &clock);
		pthread_condattr_destroy(&clock);
	}
	if (rc == 0)
		rc = ask(c, (enum kind)ref->kind, &ref->address);
	while (rc == 0 && file && (rc = index_cursor_next(cursor, &e)) == 1)
		rc = e.hole || address_compare(&e.address, &ref->address) == 0 ? 0 : ask(c, KIND_DATA, &e.address);
	index_cursor_free(cursor);
	if (c) {
		rc = settle(c, rc);
		pthread_cond_destroy(&c->free);
		pthread_mutex_destroy(&c->lock);
		free(c);
	}
	return rc;
}
