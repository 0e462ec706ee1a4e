/*
 * The committer: what has been written is made durable, and then noted, for all at once who have come meanwhile.
 *
 * The order is that of DESIGN.md, section 18: records first, then the shelf; so a crash leaves records of which it knows too
 * little, and never one that it knows and that is not there.  What is removed leaves the store first, too.
 */
#include "dht/peer/disk_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "chunker/deadline.h"

struct batch {
	struct disk *d;
	struct op *ops[DISK_BATCH];
	struct shelf_change changes[DISK_BATCH];
	struct op *of[DISK_BATCH];	/* of each change */
	struct address removed[DISK_BATCH];
	size_t count, change_count, removed_count;
	uint64_t removed_bytes;
};

static bool writes(const struct op *op)
{
	return op->effect.kind == EFFECT_WRITE;
}

static bool removes(const struct op *op)
{
	return op->effect.kind == EFFECT_STATES && !(op->effect.states & STATE_ANY);
}

/* Does ${op} say that a record is durable?  A cached copy need not be, as long as it is no more than that. */
static bool relies(const struct disk *d, const struct op *op)
{
	if (writes(op))
		return !op_cached(op);
	return d->unsynced > 0 && op->effect.kind == EFFECT_STATES && !removes(op);
}

/* Must what has been written be durable before this batch is noted? */
static bool must_sync(struct batch *b)
{
	struct disk *d = b->d;
	bool must = false;

	for (size_t i = 0; i < b->count; i++) {
		if (op_cached(b->ops[i]))
			d->unsynced += b->ops[i]->bytes;
		must |= relies(d, b->ops[i]);
	}
	return must || d->unsynced > DISK_UNSYNCED || (d->rests && d->unsynced > 0);
}

/* A sync that fails has written again elsewhere what it could: the next may succeed. */
static void sync_writes(struct batch *b)
{
	struct store *s = b->d->o.store;
	int rc;

	if (!must_sync(b))
		return;
	rc = store_sync_wait(s, store_sync_start(s));
	if (rc < 0)
		rc = store_sync_wait(s, store_sync_start(s));
	if (rc == 0)
		b->d->unsynced = 0;
	for (size_t i = 0; i < b->count && rc < 0; i++)
		if (writes(b->ops[i]) || relies(b->d, b->ops[i]))
			b->ops[i]->done.result = rc;
}

/* What became something else before its turn stays. */
static bool may_go(struct batch *b, struct op *op)
{
	struct catalogue *c = shelf_catalogue(b->d->o.shelf);

	return !op->evict || (c->state(c, &op->effect.address) & STATE_ANY) == STATE_CACHED;
}

static void remove_records(struct batch *b)
{
	struct store *s = b->d->o.store;
	int rc;

	for (size_t i = 0; i < b->count; i++) {
		struct op *op = b->ops[i];

		if (!removes(op))
			continue;
		op->done.result = store_here(s, &op->effect.address, NULL, NULL);
		if (op->done.result == 0 && !may_go(b, op))
			op->done.result = -ENOENT;
		if (op->done.result == 0)
			b->removed[b->removed_count++] = op->effect.address;
	}
	rc = store_remove(s, b->removed, b->removed_count, &b->removed_bytes);
	for (size_t i = 0; i < b->count && rc < 0; i++)
		if (removes(b->ops[i]) && b->ops[i]->done.result == 0)
			b->ops[i]->done.result = rc;
}

static void note(struct batch *b, struct op *op)
{
	struct shelf_change *c = &b->changes[b->change_count];
	const struct effect *e = &op->effect;

	if (op->done.result < 0)
		return;
	*c = (struct shelf_change){ .address = e->address, .states = e->states & STATE_ANY };
	switch (e->kind) {
	case EFFECT_WRITE:
		c->kind = SHELF_ADD;
		c->volume = e->hash;
		c->bytes = op->bytes;
		c->known = op->known;
		break;
	case EFFECT_SAVE:
		c->kind = SHELF_ROW;
		c->row = e->row;
		c->chunk = e->chunk;
		break;
	case EFFECT_LEASE:
		c->kind = SHELF_LEASE;
		c->lease = e->lease;
		break;
	default:
		c->kind = removes(op) ? SHELF_FORGET : SHELF_STATES;
	}
	b->of[b->change_count++] = op;
}

/* What wants more memory than there is fails alone: a lease of a million addresses is not everybody's end. */
static void commit_changes(struct shelf *s, struct shelf_change *changes, size_t n)
{
	if (shelf_commit(s, changes, n) != -ENOMEM || n == 1)
		return;
	commit_changes(s, changes, n / 2);
	commit_changes(s, changes + n / 2, n - n / 2);
}

static void commit(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		note(b, b->ops[i]);
	if (b->change_count > 0)
		commit_changes(b->d->o.shelf, b->changes, b->change_count);
	for (size_t i = 0; i < b->change_count; i++) {
		/* A record without a row is removed all the same. */
		if (b->changes[i].kind == SHELF_FORGET && b->changes[i].result == -ENOENT)
			continue;
		b->of[i]->done.result = b->changes[i].result;
	}
}

static void commit_batch(struct batch *b)
{
	struct disk *d = b->d;

	sync_writes(b);
	remove_records(b);
	commit(b);
	/* Before who waits for an eviction goes on. */
	keep_look(d, b->removed_bytes);
	for (size_t i = 0; i < b->count; i++)
		op_end(d, b->ops[i]);
}

static bool busy(void *disk, const struct address *a)
{
	struct disk *d = disk;
	struct op op = { .evict = false };
	bool yes;

	op_key_address(&op, a);
	pthread_mutex_lock(&d->lock);
	yes = op_busy(d, &op);
	pthread_mutex_unlock(&d->lock);
	return yes;
}

/*
 * The mount inserts into the store, and then tells the core, which writes.  Where it was told nothing, or took nothing, the
 * record has no row, and no list has it: it is found here, now and then, in steps between batches.
 */
static void adopt(struct disk *d)
{
	struct store_mark mark;

	if (!d->adoption.begun) {
		if (disk_now_ms() < d->adopt_at_ms)
			return;
		d->adopt_at_ms = disk_now_ms() + d->o.adopt_s * UINT64_C(1000);
		store_mark(d->o.store, &mark);
		if (mark.end == d->adopted_end)
			return;
		d->adopted_end = mark.end;
	}
	/* After a failure, or where some could not be adopted yet, all is looked at again when its time comes. */
	if (shelf_adopt(d->o.shelf, &d->adoption, busy, d) < 0 || (!d->adoption.begun && d->adoption.left_out))
		d->adopted_end = UINT64_MAX;
}

struct batch *batch_new(struct disk *d)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (b)
		b->d = d;
	return b;
}

/* What a batch can take of leases, of which whoever has the ring's secret may send many: chunks do not wait behind them all. */
static bool takes(const struct op *op, unsigned int *leases)
{
	if (op->effect.kind != EFFECT_LEASE)
		return true;
	if (*leases >= DISK_LEASES)
		return false;
	*leases += 1 + op->effect.lease->count / 64;
	return true;
}

/* Under the lock: nobody waits for what has come, and more may come. */
static bool may_wait(const struct disk *d)
{
	return d->commit_count == d->cached_count && d->commit_count < DISK_CACHED && !d->commit_now && !d->stopping && !d->closing;
}

/* Under the lock: until there is something to do. */
static void await_some(struct disk *d)
{
	struct timespec until;

	d->rests = false;
	while (list_empty(&d->commits) && !d->stopping && !d->adoption.begun)
		pthread_cond_wait(&d->commit_wanted, &d->lock);
	until = deadline_in(CLOCK_MONOTONIC, DISK_CACHED_MS);
	while (!d->rests && !list_empty(&d->commits) && may_wait(d))
		d->rests = pthread_cond_timedwait(&d->commit_wanted, &d->lock, &until) == ETIMEDOUT;
	d->commit_now = false;
}

/* Under the lock: all that have come, up to as many as fit; none where an adoption is to go on.  False: none, and none will come. */
static bool gather(struct batch *b)
{
	struct disk *d = b->d;
	unsigned int leases = 0;
	struct list *next;

	await_some(d);
	b->count = b->change_count = b->removed_count = 0;
	b->removed_bytes = 0;
	for (struct list *l = d->commits.next; l != &d->commits && b->count < DISK_BATCH; l = next) {
		struct op *op = list_item(l, struct op, link);

		next = l->next;
		if (!takes(op, &leases))
			continue;
		list_remove(l);
		b->ops[b->count++] = op;
		d->commit_count--;
		d->cached_count -= op_cached(op);
	}
	return b->count > 0 || !d->stopping;
}

void *disk_commit_main(void *disk)
{
	struct disk *d = disk;
	struct batch *b = d->batch;

	pthread_mutex_lock(&d->lock);
	while (gather(b)) {
		pthread_mutex_unlock(&d->lock);
		if (b->count > 0)
			commit_batch(b);
		adopt(d);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}
