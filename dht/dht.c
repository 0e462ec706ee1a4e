#include "dht/dht_impl.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dht/codecs.h"
#include "dht/net/wire.h"
#include "dht/peer/packed.h"

#define WORKERS_MAX 64
#define ROOM_LOOK_MS 250

/* Into the store, and on its way to the others. */
static int put(struct dht *d, enum kind kind, const struct address *a, struct chunk *c, unsigned int how)
{
	struct store_packed packed = { .bytes = NULL };
	struct chunk *travels = NULL;
	int rc;

	rc = store_put_share(d->store, kind, a, c, how, WIRE_CHUNK_HEAD, d->outgoing ? &packed : NULL);
	if (rc < 0 || !d->outgoing)
		return rc;
	dht_gc_insert(d, a);
	if (packed.bytes)
		travels = packed_head(&packed);
	rc = outgoing_add(d->outgoing, kind, a, travels);
	chunk_drop(travels);
	return rc;
}

/* What is not here, or here only in a state that can't be read, others may have. */
static bool may_be_elsewhere(const struct dht *d, int result)
{
	return d->peer && (result == -ENOENT || result == -EBADMSG || result == -EIO);
}

static void run(void *arg, struct work_job *job)
{
	struct dht *d = arg;

	if (job->verb == WORK_INSERT) {
		job->result = put(d, job->kind, &job->address, job->chunk, (job->hurry ? 0 : STORE_DEFLATE) | (job->alone ? 0 : STORE_QUICK));
	} else if (job->packed) {
		job->result = codecs_raw(d->codecs, job->packed, &job->chunk);
	} else if (job->returned < 0) {
		job->result = job->returned;
	} else {
		job->result = store_get(d->store, &job->kind, &job->address, &job->chunk);
		if (may_be_elsewhere(d, job->result))
			job->result = -EREMOTE;
	}
}

static void synced(void *arg, uint64_t ticket, int result)
{
	struct dht *d = arg;

	work_synced(d->work, WORK_SYNC, ticket, result);
}

void dht_tell_safe(void *arg, uint64_t ticket, int result)
{
	struct dht *d = arg;

	work_synced(d->work, WORK_SAFE, ticket, result);
}

void dht_tell_room(void *arg)
{
	struct dht *d = arg;

	work_resume(d->work);
}

static unsigned int workers_of(const struct dht_options *options)
{
	/* So that one reads while another hashes. */
	long n = options->workers ? (long)options->workers : 3 * sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 2 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned int)n;
}

static int open_store(struct dht *d, const struct dht_options *o, char *why, size_t why_size)
{
	struct store_listener listener = { .synced = synced, .mended = dht_tell_room, .arg = d };
	int rc = store_open(o, false, NULL, NULL, NULL, &d->store, why, why_size);

	if (rc == 0)
		store_listen(d->store, &listener);
	return rc;
}

static int open_ring(struct dht *d, const struct dht_options *o, char *why, size_t why_size)
{
	struct peer_options p = *o->ring;
	struct work_far far;
	int rc;

	p.store = d->store;
	p.dir = o->dir;
	rc = peer_open(&p, &d->peer, why, why_size);
	if (rc < 0)
		return rc;
	errand_init(&d->newest, d->peer);
	aways_init(&d->aways, d->peer, d->work, d->timeout_ms);
	far = away_far(&d->aways);
	work_far(d->work, &far);
	return 0;
}

int dht_open(const struct dht_options *options, struct dht **out, char *why, size_t why_size)
{
	struct dht *d = calloc(1, sizeof(*d));
	int rc;

	*out = NULL;
	rc = d && sodium_init() >= 0 ? work_open(workers_of(options), run, d, &d->work) : -ENOMEM;
	if (rc < 0) {
		snprintf(why, why_size, "%s: no memory or threads", options->dir);
		free(d);
		return rc;
	}
	pthread_mutex_init(&d->gc_lock, NULL);
	d->timeout_ms = options->timeout_ms ? options->timeout_ms : DHT_TIMEOUT_MS;
	d->sync_local = options->sync_local;
	d->log = options->log;
	d->log_arg = options->log_arg;
	d->codecs = codecs_new();
	rc = d->codecs ? open_store(d, options, why, why_size) : -ENOMEM;
	if (rc == 0 && options->ring)
		rc = open_ring(d, options, why, why_size);
	if (rc < 0) {
		dht_close(d);
		return rc;
	}
	*out = d;
	return 0;
}

void dht_ending(struct dht *d)
{
	if (d->peer)
		aways_ending(&d->aways);
}

int dht_close(struct dht *d)
{
	int rc = 0, left;

	if (!d)
		return 0;
	/* Who waits for the ring is told now that he waits in vain; the publisher may be one of them. */
	if (d->outgoing)
		outgoing_stop(d->outgoing);
	if (d->publisher)
		publisher_stop(d->publisher);
	if (d->leasing)
		leasing_stop(d->leasing);
	if (d->peer)
		aways_end(&d->aways);
	work_drain(d->work);
	if (d->peer) {
		rc = peer_close(d->peer);
		aways_free(&d->aways);
		errand_free(&d->newest);
	}
	if (d->publisher)
		publisher_close(d->publisher);
	if (d->leasing)
		leasing_close(d->leasing);
	if (d->outgoing)
		outgoing_close(d->outgoing);
	left = store_close(d->store);
	work_close(d->work);
	codecs_free(d->codecs);
	pthread_mutex_destroy(&d->gc_lock);
	free(d);
	return left < 0 ? left : rc;
}

void dht_insert(struct dht *d, struct dht_op *op)
{
	assert(op->done && kind_valid(op->kind) && op->chunk && op->chunk->len <= CHUNK_MAX);
	op->dht = d;
	work_add(d->work, op, WORK_INSERT);
}

int dht_insert_now(struct dht *d, struct dht_op *op, bool hashed)
{
	assert(kind_valid(op->kind) && op->chunk && op->chunk->len <= CHUNK_MAX);
	if (!hashed)
		address_of(op->kind, op->chunk->data, op->chunk->len, &op->address);
	while ((op->result = put(d, op->kind, &op->address, op->chunk, op->hurry || work_hurry(d->work) ? 0 : STORE_DEFLATE)) == -EINPROGRESS)
		outgoing_wait(d->outgoing);
	return op->result;
}

void dht_lookup(struct dht *d, struct dht_op *op)
{
	assert(op->done && (op->kind == KIND_ANY || kind_valid(op->kind)));
	op->dht = d;
	op->chunk = NULL;
	work_add(d->work, op, WORK_LOOKUP);
}

int dht_lookup_now(struct dht *d, struct dht_op *op)
{
	struct chunk *packed;

	assert(op->kind == KIND_ANY || kind_valid(op->kind));
	while ((op->result = store_get(d->store, &op->kind, &op->address, &op->chunk)) == -EINPROGRESS)
		store_mend_wait(d->store);
	if (may_be_elsewhere(d, op->result)) {
		op->result = away_fetch(&d->aways, op, &packed);
		if (op->result == 0)
			op->result = codecs_raw(d->codecs, packed, &op->chunk);
		chunk_drop(packed);
	}
	return op->result;
}

static uint64_t ticket(void *arg)
{
	struct dht *d = arg;

	return store_sync_start(d->store);
}

void dht_sync(struct dht *d, struct dht_op *op)
{
	assert(op->done);
	op->dht = d;
	work_add_sync(d->work, op, WORK_SYNC, ticket, d);
}

int dht_sync_now(struct dht *d)
{
	return store_sync_wait(d->store, store_sync_start(d->store));
}

static uint64_t safe_ticket(void *arg)
{
	struct dht *d = arg;

	return outgoing_ticket(d->outgoing);
}

void dht_safe_add(struct dht *d, struct dht_op *op)
{
	op->dht = d;
	work_add_sync(d->work, op, WORK_SAFE, safe_ticket, d);
}

void dht_safe(struct dht *d, struct dht_op *op)
{
	assert(op->done);
	op->dht = d;
	if (d->outgoing && !d->sync_local)
		dht_safe_add(d, op);
	else
		work_add_done(d->work, op);
}

void dht_replicas(struct dht *d, struct dht_op *op)
{
	assert(op->done);
	op->dht = d;
	if (d->peer) {
		work_add_away(d->work, op);
		return;
	}
	op->copies = store_has(d->store, &op->address, NULL, NULL);
	op->owners = 1;
	work_add_done(d->work, op);
}

void dht_cancel(struct dht_op *op)
{
	work_cancel(op->dht->work, op);
}

int dht_reserve(struct dht *d, uint64_t bytes)
{
	return store_reserve(d->store, bytes);
}

void dht_release(struct dht *d, uint64_t bytes)
{
	store_release(d->store, bytes);
}

bool dht_has(struct dht *d, const struct address *address, enum kind *kind, uint32_t *len)
{
	return store_has(d->store, address, kind, len);
}

bool dht_gone(struct dht *d, const struct address *address)
{
	return !d->peer && store_here(d->store, address, NULL, NULL) == -ENOENT;
}

ssize_t dht_list(struct dht *d, const struct address *after, size_t n, struct address *out)
{
	return store_list(d->store, after, n, out);
}

int dht_clean(struct dht *d, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	return store_clean(d->store, urgent, tell, arg, out);
}

/* Is something on its way, or with fewer than all its owners, that will be only cached when it is with them? */
static bool goes_out(struct dht *d)
{
	struct outgoing_status going = { .waiting = 0 };
	struct shelf_totals there;

	if (d->outgoing)
		outgoing_status(d->outgoing, &going);
	shelf_totals(peer_shelf(d->peer), &there);
	return going.waiting + going.sent + there.foreign > 0;
}

int dht_make_room(struct dht *d, dht_tell *tell, void *arg)
{
	const struct timespec pause = { .tv_nsec = ROOM_LOOK_MS * 1000000 };
	const struct dht_progress none = { .done = 0 };
	bool more = d->peer != NULL;

	for (unsigned int ms = 0; more && ms < DHT_ROOM_MS; ms += ROOM_LOOK_MS) {
		if (ms > 0)
			nanosleep(&pause, NULL);
		/* Asked before: what has gone out since is for the round that follows. */
		more = goes_out(d);
		if (peer_make_room(d->peer))
			return 1;
		if (!tell(arg, &none))
			return -ECANCELED;
	}
	return 0;
}

void dht_space(struct dht *d, struct dht_space *out)
{
	struct shelf_totals there;

	store_space(d->store, out);
	if (!d->peer)
		return;
	shelf_totals(peer_shelf(d->peer), &there);
	out->available += there.cached_bytes;
	if (out->available > out->limit)
		out->available = out->limit;
}

void dht_status(struct dht *d, struct dht_status *out)
{
	store_status(d->store, out);
	dht_space(d, &out->space);
	out->queued = work_queued(d->work);
}

struct peer *dht_peer(struct dht *d)
{
	return d->peer;
}

int dht_check(struct dht *d, uint64_t bytes_per_s, dht_tell *tell, void *arg,
    struct dht_progress *out)
{
	return store_check(d->store, bytes_per_s, tell, arg, out);
}

int dht_rebuild(const struct dht_options *options, dht_tell *tell, void *arg,
    struct dht_progress *out, char *why, size_t why_size)
{
	struct store *s;
	int rc = store_open(options, true, tell, arg, out, &s, why, why_size);

	if (rc < 0)
		return rc;
	rc = store_close(s);
	if (rc < 0)
		snprintf(why, why_size, "%s: the rebuilt ledger could not be made durable: %s",
		    options->dir, strerror(-rc));
	return rc;
}
