#include "dht/dht.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dht/store.h"
#include "dht/work.h"

#define WORKERS_MAX 64

struct dht {
	struct store *store;
	struct work *work;
};

static void run(void *arg, struct work_job *job)
{
	struct dht *d = arg;

	if (job->verb == WORK_INSERT) {
		address_of(job->kind, job->chunk->data, job->chunk->len, &job->address);
		job->result = store_put(d->store, job->kind, &job->address, job->chunk, !job->hurry);
	} else {
		job->result = store_get(d->store, &job->kind, &job->address, &job->chunk);
	}
}

static void synced(void *arg, uint64_t ticket, int result)
{
	struct dht *d = arg;

	work_synced(d->work, ticket, result);
}

static void mended(void *arg)
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

int dht_open(const struct dht_options *options, struct dht **out, char *why, size_t why_size)
{
	struct dht *d = calloc(1, sizeof(*d));
	struct store_listener listener = { .synced = synced, .mended = mended, .arg = d };
	int rc;

	*out = NULL;
	rc = d ? work_open(workers_of(options), run, d, &d->work) : -ENOMEM;
	if (rc < 0) {
		snprintf(why, why_size, "%s: no memory or threads", options->dir);
		free(d);
		return rc;
	}
	rc = store_open(options, false, NULL, NULL, NULL, &d->store, why, why_size);
	if (rc < 0) {
		work_close(d->work);
		free(d);
		return rc;
	}
	store_listen(d->store, &listener);
	*out = d;
	return 0;
}

int dht_close(struct dht *d)
{
	int rc;

	if (!d)
		return 0;
	work_drain(d->work);
	rc = store_close(d->store);
	work_close(d->work);
	free(d);
	return rc;
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
	op->result = store_put(d->store, op->kind, &op->address, op->chunk,
	    !op->hurry && !work_hurry(d->work));
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
	assert(op->kind == KIND_ANY || kind_valid(op->kind));
	while ((op->result = store_get(d->store, &op->kind, &op->address, &op->chunk)) == -EINPROGRESS)
		store_mend_wait(d->store);
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
	work_add_sync(d->work, op, ticket, d);
}

int dht_sync_now(struct dht *d)
{
	return store_sync_wait(d->store, store_sync_start(d->store));
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

size_t dht_list(struct dht *d, const struct address *after, size_t n, struct address *out)
{
	return store_list(d->store, after, n, out);
}

int dht_gc_begin(struct dht *d, struct dht_gc **out)
{
	return store_gc_begin(d->store, out);
}

void dht_gc_mark(struct dht_gc *gc, const struct address *a)
{
	store_gc_mark(gc, a);
}

int dht_gc_unmarked(struct dht_gc *gc, struct dht_gc_count *out)
{
	return store_gc_unmarked(gc, out);
}

void dht_gc_condemn(struct dht_gc *gc)
{
	store_gc_condemn(gc);
}

int dht_gc_sweep(struct dht_gc *gc, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	return store_gc_sweep(gc, tell, arg, out);
}

void dht_gc_end(struct dht_gc *gc)
{
	store_gc_end(gc);
}

int dht_clean(struct dht *d, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	return store_clean(d->store, urgent, tell, arg, out);
}

void dht_space(struct dht *d, struct dht_space *out)
{
	store_space(d->store, out);
}

void dht_status(struct dht *d, struct dht_status *out)
{
	store_status(d->store, out);
	out->queued = work_queued(d->work);
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
