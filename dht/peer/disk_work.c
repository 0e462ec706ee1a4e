/* Workers of the disk: they read, inflate and hash. */
#include "dht/peer/disk_impl.h"

#include <errno.h>

#include "dht/peer/packed.h"

/* What the index has lost is looked for meanwhile, which takes long: to be asked for again. */
static int tried(int rc)
{
	return rc == -EINPROGRESS ? -EIO : rc;
}

static int do_read(struct disk *d, struct op *op)
{
	int rc;

	op->done.chunk_kind = KIND_ANY;
	rc = packed_get(d->o.store, &op->done.chunk_kind, &op->effect.address, &op->done.chunk);
	if (rc == 0)
		shelf_volume(d->o.shelf, &op->effect.address, &op->done.hash);
	return tried(rc);
}

/* A chunk that was checked is often written next, as it is. */
static void remember_check(struct disk *d, const struct effect *e)
{
	struct checked *c;

	pthread_mutex_lock(&d->lock);
	c = &d->checked[d->checked_next++ % DISK_CHECKED];
	chunk_drop(c->chunk);
	*c = (struct checked){ chunk_hold(e->chunk), e->address, e->chunk_kind };
	pthread_mutex_unlock(&d->lock);
}

static bool was_checked(struct disk *d, const struct effect *e)
{
	bool found = false;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < DISK_CHECKED && !found; i++) {
		struct checked *c = &d->checked[i];

		if (c->chunk != e->chunk || c->kind != e->chunk_kind || !address_equal(&c->address, &e->address))
			continue;
		chunk_drop(c->chunk);
		c->chunk = NULL;
		found = true;
	}
	pthread_mutex_unlock(&d->lock);
	return found;
}

static int do_check(struct disk *d, struct op *op, struct codec *codec)
{
	struct chunk *raw;
	int rc = packed_raw(codec, op->effect.chunk_kind, &op->effect.address, op->effect.chunk, &raw);

	if (rc == 0) {
		chunk_drop(raw);
		remember_check(d, &op->effect);
	}
	return rc;
}

/* 0: it is in the store, and the committer's. */
static int do_write(struct disk *d, struct op *op)
{
	const struct effect *e = &op->effect;

	return packed_put(d->o.store, e->chunk_kind, &e->address, e->chunk, was_checked(d, e), &op->bytes, &op->known);
}

static void work_one(struct disk *d, struct op *op, struct codec *codec)
{
	int rc;

	switch (op->effect.kind) {
	case EFFECT_READ:
		rc = do_read(d, op);
		break;
	case EFFECT_PROVE:
		rc = codec ? tried(packed_prove(d->o.store, codec, &op->effect.address, &op->effect.hash, &op->done.hash)) : -ENOMEM;
		break;
	case EFFECT_CHECK:
		rc = codec ? do_check(d, op, codec) : -ENOMEM;
		break;
	default:
		if (keep_behind(d, op))
			return;
		rc = do_write(d, op);
		if (rc == 0) {
			pthread_mutex_lock(&d->lock);
			op_commit(d, op);
			pthread_mutex_unlock(&d->lock);
			return;
		}
		if (rc == -ENOSPC && keep_park(d, op))
			return;
	}
	op->done.result = rc;
	op_end(d, op);
}

/* Under the lock: readers and writers take turns, so that neither waits for all of the others. */
static struct op *next(struct disk *d)
{
	for (unsigned int i = 0; i < QUEUES; i++) {
		struct list *q = &d->queue[d->turn++ % QUEUES];

		if (!list_empty(q)) {
			struct op *op = list_item(q->next, struct op, link);

			list_remove(&op->link);
			return op;
		}
	}
	return NULL;
}

void *disk_work_main(void *disk)
{
	struct codec *codec = codec_new();
	struct disk *d = disk;
	struct op *op;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		while (!(op = next(d)) && !d->stopping)
			pthread_cond_wait(&d->work_wanted, &d->lock);
		if (!op)
			break;
		pthread_mutex_unlock(&d->lock);
		work_one(d, op, codec);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	codec_free(codec);
	return NULL;
}
