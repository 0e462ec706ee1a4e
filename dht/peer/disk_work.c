/*
 * Workers of the disk: they read, inflate and hash.
 *
 * Each takes some of what waits, and prepares all of it, so that it is hashed side by side (address_of_many()); then each is concluded.
 */
#include "dht/peer/disk_impl.h"

#include <errno.h>

#include "dht/peer/packed.h"

#define TOGETHER 16u	/* operations: address_of_many() gains three quarters of what it can */

/* An operation with a worker. */
struct task {
	struct op *op;
	int result;			/* so far */
	struct chunk *bytes;		/* that are hashed, held */
	struct address_job *own;	/* whether they are what has the operation's address; NULL: that is known, or nobody asks */
	struct address_job *proof;	/* EFFECT_PROVE: what is asked for */
};

/* What is to be hashed for all of them. */
struct hashing {
	struct address_job job[2 * TOGETHER];
	unsigned int jobs;
};

/* What the index has lost is looked for meanwhile, which takes long: to be asked for again. */
static int tried(int rc)
{
	return rc == -EINPROGRESS ? -EIO : rc;
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

static struct address_job *want(struct hashing *h, enum kind kind, const struct chunk *c, size_t from)
{
	struct address_job *j = &h->job[h->jobs++];

	*j = (struct address_job){ .kind = kind, .data = c->data + from, .len = c->len - from };
	return j;
}

/* ${packed} is opened, and is to be hashed as what the operation names. */
static void open_packed(struct task *t, struct codec *codec, enum kind kind, struct chunk *packed, struct hashing *h)
{
	t->result = kind_valid(kind) ? packed_open(codec, packed, &t->bytes) : -EBADMSG;
	if (t->result == 0)
		t->own = want(h, kind, t->bytes, 0);
}

static int challenge(struct disk *d, struct op *op, struct codec *codec, enum store_hashing how, bool *verified, struct chunk **out)
{
	return packed_challenge(d->o.store, how, codec, &op->effect.address, &op->effect.hash, &op->done.chunk_kind, verified, out);
}

static void prepare(struct disk *d, struct task *t, struct codec *codec, struct hashing *h)
{
	struct op *op = t->op;
	const struct effect *e = &op->effect;
	bool verified;

	switch (e->kind) {
	case EFFECT_READ:
		op->done.chunk_kind = KIND_ANY;
		t->result = packed_get(d->o.store, STORE_HASH_NONE, &op->done.chunk_kind, &e->address, &op->done.chunk);
		if (t->result == 0)
			open_packed(t, codec, op->done.chunk_kind, op->done.chunk, h);
		break;
	case EFFECT_PROVE:
		t->result = challenge(d, op, codec, STORE_HASH_NONE, &verified, &t->bytes);
		if (t->result < 0)
			break;
		t->proof = want(h, KIND_DATA, t->bytes, 0);
		if (!verified)
			t->own = want(h, op->done.chunk_kind, t->bytes, ADDRESS_LEN);
		break;
	case EFFECT_WRITE:
		/* Of what is there already no byte need be looked at. */
		op->checked = was_checked(d, e);
		if (op->checked || store_has(d->o.store, &e->address, NULL, NULL))
			break;
		/* fall through */
	default:
		open_packed(t, codec, e->chunk_kind, e->chunk, h);
	}
}

static void drop_read(struct op *op)
{
	chunk_drop(op->done.chunk);
	op->done.chunk = NULL;
}

/* The store finds out what is wrong with what it has of it: it may just have been moved. */
static void read_again(struct disk *d, struct op *op)
{
	op->done.chunk_kind = KIND_ANY;
	op->done.result = tried(packed_get(d->o.store, STORE_HASH, &op->done.chunk_kind, &op->effect.address, &op->done.chunk));
}

static void prove_again(struct disk *d, struct op *op, struct codec *codec)
{
	struct chunk *bytes;
	bool verified;

	op->done.result = tried(challenge(d, op, codec, STORE_HASH, &verified, &bytes));
	if (op->done.result < 0)
		return;
	address_of(KIND_DATA, bytes->data, bytes->len, &op->done.hash);
	chunk_drop(bytes);
}

/* True: it has ended; false: it is the committer's, or the keeper's. */
static bool conclude_write(struct disk *d, const struct task *t)
{
	struct op *op = t->op;
	const struct effect *e = &op->effect;
	int rc = t->result;

	if (rc == 0)
		rc = packed_put(d->o.store, e->chunk_kind, &e->address, e->chunk, op->checked || t->own, &op->bytes, &op->known);
	if (rc == 0) {
		pthread_mutex_lock(&d->lock);
		op_commit(d, op);
		pthread_mutex_unlock(&d->lock);
		return false;
	}
	op->done.result = rc;
	return rc != -ENOSPC || !keep_park(d, op);
}

static void conclude(struct disk *d, struct task *t, struct codec *codec)
{
	struct op *op = t->op;

	chunk_drop(t->bytes);
	if (t->own && !address_equal(&t->own->address, &op->effect.address))
		t->result = -EBADMSG;
	op->done.result = tried(t->result);
	switch (op->effect.kind) {
	case EFFECT_READ:
		if (t->result < 0)
			drop_read(op);
		if (t->result == -EBADMSG)
			read_again(d, op);
		if (op->done.result == 0)
			shelf_volume(d->o.shelf, &op->effect.address, &op->done.hash);
		break;
	case EFFECT_PROVE:
		if (t->proof)
			op->done.hash = t->proof->address;
		if (t->result == -EBADMSG)
			prove_again(d, op, codec);
		break;
	case EFFECT_CHECK:
		if (t->result == 0)
			remember_check(d, &op->effect);
		break;
	default:
		if (!conclude_write(d, t))
			return;
	}
	op_end(d, op);
}

static void work_some(struct disk *d, struct op *ops[], unsigned int n, struct codec *codec)
{
	struct task tasks[TOGETHER];
	struct hashing h = { .jobs = 0 };
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct task *t = &tasks[count];

		if (ops[i]->effect.kind == EFFECT_WRITE && keep_behind(d, ops[i]))
			continue;
		*t = (struct task){ .op = ops[i] };
		if (codec)
			prepare(d, t, codec, &h);
		else
			t->result = -ENOMEM;
		count++;
	}
	address_of_many(h.job, h.jobs);
	for (unsigned int i = 0; i < count; i++)
		conclude(d, &tasks[i], codec);
}

/* Under the lock: readers and writers take turns, so that neither waits for all of the others. */
static struct op *next(struct disk *d)
{
	struct list *q = &d->queue[d->turn++ % QUEUES];
	struct op *op;

	if (list_empty(q))
		q = &d->queue[d->turn++ % QUEUES];
	op = list_item(q->next, struct op, link);
	list_remove(&op->link);
	d->queued--;
	return op;
}

/* Under the lock: half of what there is, for other workers have hands too. */
static unsigned int take_some(struct disk *d, struct op *ops[TOGETHER])
{
	unsigned int n = 0, most = (d->queued + 1) / 2;

	while (n < most && n < TOGETHER)
		ops[n++] = next(d);
	return n;
}

static bool only_hash(struct op *const ops[], unsigned int n)
{
	while (n > 0)
		if (op_reads(ops[--n]))
			return false;
	return true;
}

void *disk_work_main(void *disk)
{
	struct codec *codec = NULL;
	struct op *ops[TOGETHER];
	struct disk *d = disk;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		unsigned int n;
		bool hash;

		while (d->queued == 0 && !d->stopping)
			pthread_cond_wait(&d->work_wanted, &d->lock);
		if (d->queued == 0)
			break;
		n = take_some(d, ops);
		hash = only_hash(ops, n);
		d->hashing += hash;
		pthread_mutex_unlock(&d->lock);
		/* Where there was no memory for it, there may be now. */
		if (!codec)
			codec = codec_new();
		work_some(d, ops, n, codec);
		pthread_mutex_lock(&d->lock);
		d->hashing -= hash;
	}
	pthread_mutex_unlock(&d->lock);
	codec_free(codec);
	return NULL;
}
