/* Operations on the disk, in their order; opening and closing. */
#include "dht/peer/disk_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chunker/bytes.h"

#define EACH 4u	/* operations that wait for each worker that only hashes, before another is woken */
#define ADOPT_SECONDS 600u	/* a second of work for 10,000,000 records */

enum { KEY_NONE, KEY_ADDRESS, KEY_ROW, KEY_LEASE };

uint64_t disk_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void op_key_address(struct op *op, const struct address *a)
{
	op->key[0] = KEY_ADDRESS;
	memcpy(op->key + 1, a->b, ADDRESS_LEN);
}

static void set_key(struct op *op)
{
	const struct effect *e = &op->effect;

	switch (e->kind) {
	case EFFECT_SAVE:
		op->key[0] = KEY_ROW;
		op->key[1] = e->row.table;
		memcpy(op->key + 2, e->row.key.b, ADDRESS_LEN);
		break;
	case EFFECT_LEASE:
		op->key[0] = KEY_LEASE;
		put_le16(op->key + 1, e->lease->slot);
		memcpy(op->key + 3, e->lease->volume.b, ADDRESS_LEN);
		break;
	case EFFECT_CHECK:	/* of bytes alone */
		op->key[0] = KEY_NONE;
		break;
	default:
		op_key_address(op, &e->address);
	}
}

static struct op **place(struct disk *d, const struct op *op)
{
	/* Slot and table, or the middle of an address: as good as random. */
	struct op **at = &d->table[(get_le32(op->key + 16) ^ get_le16(op->key + 1)) % DISK_TABLE];

	while (*at && memcmp((*at)->key, op->key, KEY_LEN) != 0)
		at = &(*at)->hash_next;
	return at;
}

bool op_busy(const struct disk *d, const struct op *op)
{
	return *place((struct disk *)(uintptr_t)d, op) != NULL;
}

bool op_cached(const struct op *op)
{
	return op->effect.kind == EFFECT_WRITE && op->effect.states == STATE_CACHED;
}

void op_commit(struct disk *d, struct op *op)
{
	bool cached = op_cached(op);

	/* Who came behind it before now was counted for a batch that it is not part of. */
	if (op->behind)
		d->commit_now = true;
	/* The first one of all, the first that is waited for, and enough of the others. */
	if (d->commit_count == 0 || op->behind || (!cached && d->commit_count == d->cached_count) || d->commit_count == DISK_CACHED - 1)
		pthread_cond_signal(&d->commit_wanted);
	list_append(&d->commits, &op->link);
	d->commit_count++;
	d->cached_count += cached;
}

bool op_reads(const struct op *op)
{
	return op->effect.kind == EFFECT_READ || op->effect.kind == EFFECT_PROVE;
}

void op_queue(struct disk *d, struct op *op, bool first)
{
	struct list *q = &d->queue[op_reads(op) ? QUEUE_READ : QUEUE_WRITE];

	list_append(first ? q->next : q, &op->link);
	d->queued++;
	/* Who reads may wait for the disk; the others only hash, and are quicker together, and waking costs. */
	if (op_reads(op) || d->queued > d->hashing * EACH)
		pthread_cond_signal(&d->work_wanted);
}

/* Under the lock: nothing of the same thing is before it. */
static void go(struct disk *d, struct op *op)
{
	if (op_reads(op) || op->effect.kind == EFFECT_WRITE || op->effect.kind == EFFECT_CHECK)
		op_queue(d, op, false);
	else
		op_commit(d, op);
}

void op_start(struct disk *d, struct op *op)
{
	struct op **at;

	d->under_way++;
	list_init(&op->link);
	op->last = op;
	if (op->key[0] == KEY_NONE) {
		go(d, op);
		return;
	}
	at = place(d, op);
	if (*at) {
		(*at)->last->behind = op;
		(*at)->last = op;
		d->commit_now = true;
		pthread_cond_signal(&d->commit_wanted);
		return;
	}
	*at = op;
	go(d, op);
}

static void tell(struct disk *d, struct op *op)
{
	if (op->evict)
		return;
	op->done.kind = EVENT_DONE;
	op->done.ticket = op->effect.ticket;
	d->o.done(d->o.arg, &op->done);
}

void op_end(struct disk *d, struct op *op)
{
	/* The next of the same thing begins when this one has been told. */
	tell(d, op);
	pthread_mutex_lock(&d->lock);
	if (op->key[0] != KEY_NONE) {
		struct op **at = place(d, op), *next = op->behind;

		assert(*at == op);
		if (next) {
			next->last = op->last == op ? next : op->last;
			next->hash_next = op->hash_next;
			*at = next;
			go(d, next);
		} else {
			*at = op->hash_next;
		}
	}
	if (op->evict)
		keep_ended(d);
	d->under_way--;
	if (d->under_way == 0)
		pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	chunk_drop(op->effect.chunk);
	free(op);
}

void disk_start(struct disk *d, const struct effect *e)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op) {
		struct event none = { .kind = EVENT_DONE, .ticket = e->ticket, .result = -ENOMEM };

		d->o.done(d->o.arg, &none);
		return;
	}
	assert((e->kind >= EFFECT_READ && e->kind <= EFFECT_LEASE));
	op->effect = *e;
	if (e->chunk)
		chunk_hold(e->chunk);
	set_key(op);
	pthread_mutex_lock(&d->lock);
	assert(!d->closing);
	op_start(d, op);
	pthread_mutex_unlock(&d->lock);
}

/* ---- opening and closing ---- */

/* The threads that there are; what was started has ended. */
static void stop(struct disk *d, unsigned int workers, bool committer, bool keeper)
{
	pthread_mutex_lock(&d->lock);
	d->closing = d->stopping = true;
	pthread_cond_broadcast(&d->work_wanted);
	pthread_cond_broadcast(&d->commit_wanted);
	pthread_cond_broadcast(&d->keep_wanted);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	for (unsigned int i = 0; i < workers; i++)
		pthread_join(d->worker[i], NULL);
	if (committer)
		pthread_join(d->committer, NULL);
	if (keeper)
		pthread_join(d->keeper, NULL);
}

static void destroy(struct disk *d)
{
	pthread_cond_destroy(&d->work_wanted);
	pthread_cond_destroy(&d->commit_wanted);
	pthread_cond_destroy(&d->keep_wanted);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	for (unsigned int i = 0; i < DISK_CHECKED; i++)
		chunk_drop(d->checked[i].chunk);
	free(d->batch);
	free(d);
}

static unsigned int workers_of(const struct disk_options *o)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int n = o->workers;

	if (n == 0)
		n = cores < 2 ? 2 : cores > (long)DISK_WORKERS ? DISK_WORKERS : (unsigned int)cores;
	return n < DISK_WORKERS ? n : DISK_WORKERS;
}

int disk_open(const struct disk_options *o, struct disk **out)
{
	struct disk *d = calloc(1, sizeof(*d));
	bool committer, keeper;
	pthread_condattr_t clock;
	unsigned int n = 0;

	*out = NULL;
	if (d)
		d->batch = batch_new(d);
	if (!d || !d->batch) {
		free(d);
		return -ENOMEM;
	}
	d->o = *o;
	d->workers = workers_of(o);
	if (d->o.adopt_s == 0)
		d->o.adopt_s = ADOPT_SECONDS;
	d->adopt_at_ms = disk_now_ms() + d->o.adopt_s * UINT64_C(1000);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work_wanted, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&d->commit_wanted, &clock);
	pthread_condattr_destroy(&clock);
	pthread_cond_init(&d->keep_wanted, NULL);
	pthread_cond_init(&d->changed, NULL);
	list_init(&d->queue[QUEUE_READ]);
	list_init(&d->queue[QUEUE_WRITE]);
	list_init(&d->commits);
	list_init(&d->parked);
	committer = pthread_create(&d->committer, NULL, disk_commit_main, d) == 0;
	keeper = pthread_create(&d->keeper, NULL, disk_keep_main, d) == 0;
	while (n < d->workers && pthread_create(&d->worker[n], NULL, disk_work_main, d) == 0)
		n++;
	if (n < d->workers || !committer || !keeper) {
		stop(d, n, committer, keeper);
		destroy(d);
		return -EAGAIN;
	}
	*out = d;
	return 0;
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->closing = true;
	pthread_cond_broadcast(&d->changed);
	pthread_cond_signal(&d->commit_wanted);
	while (d->under_way > 0)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	stop(d, d->workers, true, true);
	destroy(d);
}
