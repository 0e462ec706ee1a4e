/*
 * The keeper: what is cached goes when space is wanted, and what was removed is given back to the disk.
 *
 * Some space is kept free, for what the mount and other nodes write: when less is left, a round begins, which drops cached records
 * until twice that is, or none is left: those that no lease here has first; then the others, which are with all their owners.
 */
#include "dht/peer/disk_impl.h"

#include <errno.h>
#include <stdlib.h>

#define KEEP_PART  16			/* of all space, this part is kept free ... */
#define KEEP_MAX   ((uint64_t)1 << 30)	/* ... but no more than that */
#define EVICT_STEP 256u			/* evictions under way: a quarter of a batch */
#define CLEAN_BYTES ((uint64_t)64 << 20)	/* removed, so many are worth a look at the segments */
#define VAIN_MS	   10000		/* after a round that found nothing */
#define PARKED_MAX KEEP_PART		/* times: each round finds twice the KEEP_PARTth part, which may be others' by then */

/* Bytes that are missing to ${times} what is to be kept free. */
static uint64_t missing(struct disk *d, unsigned int times)
{
	struct dht_space space;
	uint64_t keep;

	store_space(d->o.store, &space);
	keep = space.limit / KEEP_PART < KEEP_MAX ? space.limit / KEEP_PART : KEEP_MAX;
	keep *= times;
	return space.available < keep ? keep - space.available : 0;
}

void keep_look(struct disk *d, uint64_t removed)
{
	bool wanted = missing(d, 1) > 0;

	pthread_mutex_lock(&d->lock);
	d->removed_bytes += removed;
	d->removed_ever += removed;
	if (wanted && disk_now_ms() >= d->vain_until_ms)
		d->short_of = true;
	if (d->short_of || d->removed_bytes >= CLEAN_BYTES)
		pthread_cond_signal(&d->keep_wanted);
	pthread_mutex_unlock(&d->lock);
}

bool keep_park(struct disk *d, struct op *op)
{
	bool parked;

	pthread_mutex_lock(&d->lock);
	parked = !d->closing && op->parked < PARKED_MAX && !(d->vain && disk_now_ms() < d->vain_until_ms);
	if (parked) {
		op->parked++;
		list_append(&d->parked, &op->link);
		d->short_of = true;
		pthread_cond_signal(&d->keep_wanted);
	}
	pthread_mutex_unlock(&d->lock);
	return parked;
}

bool keep_behind(struct disk *d, struct op *op)
{
	bool parked;

	pthread_mutex_lock(&d->lock);
	parked = !d->closing && !list_empty(&d->parked);
	if (parked)
		list_append(&d->parked, &op->link);
	pthread_mutex_unlock(&d->lock);
	return parked;
}

/* Under the lock: a round is over.  They go before who came later.  Where it was in vain they find the same, and may not wait again. */
static void unpark(struct disk *d)
{
	while (!list_empty(&d->parked)) {
		struct list *l = d->parked.prev;

		list_remove(l);
		op_queue(d, list_item(l, struct op, link), true);
	}
}

void keep_ended(struct disk *d)
{
	if (--d->evictions == 0)
		pthread_cond_broadcast(&d->changed);
}

/* Under the lock: an operation as those of the core are, unless one is under way. */
static int evict(struct disk *d, const struct address *a)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		return -ENOMEM;
	op->effect = (struct effect){ .kind = EFFECT_STATES, .address = *a };
	op->evict = true;
	op_key_address(op, a);
	if (op_busy(d, op)) {
		free(op);
		return 0;
	}
	d->evictions++;
	op_start(d, op);
	return 0;
}

/* Until so many bytes have gone, or no record is left. */
static void evict_some(struct disk *d, bool leased, uint64_t from, uint64_t bytes)
{
	struct address cursor = { { 0 } }, some[EVICT_STEP];
	bool more = true;

	pthread_mutex_lock(&d->lock);
	while (more && !d->closing && d->removed_ever - from < bytes) {
		size_t n;

		pthread_mutex_unlock(&d->lock);
		n = shelf_evict(d->o.shelf, &cursor, leased, EVICT_STEP, some);
		pthread_mutex_lock(&d->lock);
		more = n == EVICT_STEP;
		/* After the end has begun, who carries it out may have gone. */
		for (size_t i = 0; i < n && !d->closing; i++)
			if (evict(d, &some[i]) < 0)
				more = false;
		while (d->evictions > 0)
			pthread_cond_wait(&d->changed, &d->lock);
	}
	pthread_mutex_unlock(&d->lock);
}

/* One that is under way may have looked before there was what can go now. */
bool disk_make_room(struct disk *d)
{
	uint64_t rounds;

	if (missing(d, 2) == 0)
		return true;
	pthread_mutex_lock(&d->lock);
	rounds = d->rounds + d->in_round + 1;
	while (d->rounds < rounds && !d->closing) {
		d->short_of = true;
		pthread_cond_signal(&d->keep_wanted);
		pthread_cond_wait(&d->changed, &d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return missing(d, 1) == 0;
}

static bool go_on(void *disk, const struct dht_progress *p)
{
	struct disk *d = disk;
	bool closing;

	(void)p;
	pthread_mutex_lock(&d->lock);
	closing = d->closing;
	pthread_mutex_unlock(&d->lock);
	return !closing;
}

static void round_for_space(struct disk *d)
{
	uint64_t from, wanted = missing(d, 2);
	struct dht_gc_count given;
	bool vain;

	pthread_mutex_lock(&d->lock);
	from = d->removed_ever;
	pthread_mutex_unlock(&d->lock);
	evict_some(d, false, from, wanted);
	evict_some(d, true, from, wanted);
	if (store_clean(d->o.store, true, go_on, d, &given) < 0)
		given.bytes = 0;
	vain = given.bytes == 0 && missing(d, 1) > 0;
	pthread_mutex_lock(&d->lock);
	d->vain = vain;
	d->vain_until_ms = vain ? disk_now_ms() + VAIN_MS : 0;
	d->removed_bytes = 0;
	pthread_mutex_unlock(&d->lock);
}

void *disk_keep_main(void *disk)
{
	struct disk *d = disk;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct dht_gc_count given;
		bool wanted;

		while (!d->short_of && d->removed_bytes < CLEAN_BYTES && !d->stopping)
			pthread_cond_wait(&d->keep_wanted, &d->lock);
		if (d->stopping)
			break;
		wanted = d->in_round = d->short_of;
		if (!wanted)
			d->removed_bytes = 0;
		pthread_mutex_unlock(&d->lock);
		if (wanted)
			round_for_space(d);
		else
			store_clean(d->o.store, false, go_on, d, &given);
		pthread_mutex_lock(&d->lock);
		if (wanted) {
			d->short_of = d->in_round = false;
			d->rounds++;
			pthread_cond_broadcast(&d->changed);
			unpark(d);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}
