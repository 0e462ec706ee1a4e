/* Workers of the disk: they read, inflate and hash. */
#include "dht/peer/disk_impl.h"

#include <errno.h>
#include <sodium.h>

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

static int do_prove(struct disk *d, struct op *op)
{
	crypto_generichash_state s;
	enum kind kind = KIND_ANY;
	struct chunk *c;
	int rc = store_get(d->o.store, &kind, &op->effect.address, &c);

	if (rc < 0)
		return tried(rc);
	crypto_generichash_init(&s, NULL, 0, ADDRESS_LEN);
	crypto_generichash_update(&s, op->effect.hash.b, ADDRESS_LEN);
	crypto_generichash_update(&s, c->data, c->len);
	crypto_generichash_final(&s, op->done.hash.b, ADDRESS_LEN);
	chunk_drop(c);
	return 0;
}

static int do_check(struct op *op, struct codec *codec)
{
	struct chunk *raw;
	int rc = packed_raw(codec, op->effect.chunk_kind, &op->effect.address, op->effect.chunk, &raw);

	if (rc == 0)
		chunk_drop(raw);
	return rc;
}

/* 0: it is in the store, and the committer's. */
static int do_write(struct disk *d, struct op *op)
{
	const struct effect *e = &op->effect;
	int rc = -ENOSPC;

	/* The round that ends may have looked too early, and what it found be another's by then. */
	for (int i = 0; rc == -ENOSPC && i < 3; i++) {
		if (i > 0 && !keep_room(d))
			break;
		rc = packed_put(d->o.store, e->chunk_kind, &e->address, e->chunk, &op->bytes, &op->known);
	}
	return rc;
}

static void work_one(struct disk *d, struct op *op, struct codec *codec)
{
	int rc;

	switch (op->effect.kind) {
	case EFFECT_READ:
		rc = do_read(d, op);
		break;
	case EFFECT_PROVE:
		rc = do_prove(d, op);
		break;
	case EFFECT_CHECK:
		rc = codec ? do_check(op, codec) : -ENOMEM;
		break;
	default:
		rc = do_write(d, op);
		if (rc == 0) {
			pthread_mutex_lock(&d->lock);
			op_commit(d, op);
			pthread_mutex_unlock(&d->lock);
			return;
		}
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
