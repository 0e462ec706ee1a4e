/* What a volume is to the ring: on whose behalf chunks are inserted, what holds them, and which snapshot is its newest. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "dht/dht_impl.h"

static void published(void *arg, uint64_t ticket, int result)
{
	struct dht *d = arg;

	work_synced(d->work, WORK_PUBLISHED, ticket, result);
}

static void counts(void *arg, uint64_t seq)
{
	struct dht *d = arg;

	leasing_since(d->leasing, seq);
}

/* A thread that waits for one ticket. */
struct waiting {
	struct dht_op op;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
};

static void waited(struct dht_op *op)
{
	struct waiting *w = op->user;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->over);
	pthread_mutex_unlock(&w->lock);
}

static int all_safe(void *arg)
{
	struct waiting w = { .op.done = waited, .op.user = &w, .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER };
	struct dht *d = arg;

	dht_safe_add(d, &w.op);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.over, &w.lock);
	pthread_mutex_unlock(&w.lock);
	return w.op.result;
}

bool dht_knows(struct dht *d, const struct volume_key *key)
{
	return d->peer && shelf_owns(peer_shelf(d->peer), &key->id);
}

int dht_renumber(struct dht *d)
{
	return d->peer ? shelf_put_base(peer_shelf(d->peer), SHELF_BASE_UNKNOWN) : -ENOTCONN;
}

int dht_volume(struct dht *d, const struct volume_key *key)
{
	struct outgoing_options out = {
		.peer = d->peer, .store = d->store, .volume = key->id, .timeout_ms = d->timeout_ms,
		.synced = dht_tell_safe, .room = dht_tell_room, .arg = d,
	};
	struct publisher_options head = {
		.peer = d->peer, .volume = key, .taken_over = key->since, .timeout_ms = d->timeout_ms,
		.ready = all_safe, .told = published, .counts = counts, .set_arg = d, .log = d->log, .arg = d->log_arg,
	};
	struct store_mark here;
	int rc;

	if (!d->peer)
		return -ENOTCONN;
	out.acks = peer_ring(d->peer)->acks;
	store_mark(d->store, &here);
	head.writer = here.id;
	rc = shelf_own(peer_shelf(d->peer), &key->id);
	if (rc == 0)
		rc = outgoing_open(&out, &d->outgoing);
	if (rc == 0)
		rc = leasing_open(d->peer, d->store, key, d->log, d->log_arg, &d->leasing);
	if (rc == 0) {
		head.anew = leasing_unnumbered(d->leasing);
		rc = publisher_open(&head, &d->publisher);
	}
	return rc;
}

int dht_keep(struct dht *d, const struct address *addresses, size_t n)
{
	int rc = d->leasing ? shelf_keep(peer_shelf(d->peer), addresses, n) : -ENOTCONN;
	enum kind kind;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		while ((rc = store_here(d->store, &addresses[i], &kind, NULL)) == 0 &&
		    (rc = outgoing_add(d->outgoing, kind, &addresses[i], NULL)) == -EINPROGRESS)
			outgoing_wait(d->outgoing);
		if (rc == -ENOENT)
			rc = 0;
	}
	return rc;
}

void dht_hold_leases(struct dht *d, bool hold)
{
	if (d->leasing)
		leasing_hold(d->leasing, hold);
}

int dht_publish(struct dht *d, const struct ref *snapshot)
{
	if (!d->publisher)
		return -ENOTCONN;
	publisher_set(d->publisher, snapshot);
	return 0;
}

static uint64_t head_ticket(void *arg)
{
	struct dht *d = arg;

	return publisher_ticket(d->publisher);
}

void dht_published(struct dht *d, struct dht_op *op)
{
	assert(op->done);
	op->dht = d;
	if (d->publisher && !d->sync_local)
		work_add_sync(d->work, op, WORK_PUBLISHED, head_ticket, d);
	else
		work_add_done(d->work, op);
}

int dht_newest(struct dht *d, const uint8_t *key, unsigned int timeout_ms, uint64_t *seq, struct ref *snapshot)
{
	struct head h;
	int rc = d->peer ? head_newest(&d->newest, peer_ring(d->peer), key, timeout_ms, &h) : -ENOTCONN;

	if (rc == 0) {
		*seq = h.seq;
		*snapshot = h.snapshot;
	}
	return rc;
}

void dht_newest_end(struct dht *d)
{
	if (d->peer)
		errand_end(&d->newest);
}

int dht_lease(struct dht *d, dht_tell *tell, void *arg)
{
	return d->leasing ? leasing_now(d->leasing, tell, arg) : -ENOTCONN;
}

void dht_waiting(struct dht *d, struct dht_waiting *out)
{
	struct outgoing_status o = { .waiting = 0 };
	struct publisher_status p = { .seq = 0 };
	struct peer_status s;

	*out = (struct dht_waiting){ 0 };
	if (!d->peer)
		return;
	peer_status(d->peer, &s);
	if (d->outgoing)
		outgoing_status(d->outgoing, &o);
	if (d->publisher)
		publisher_status(d->publisher, &p);
	*out = (struct dht_waiting){
		.out = o.waiting + o.sent + o.unsafe + o.forgotten, .foreign = s.shelf.foreign, .foreign_bytes = s.shelf.foreign_bytes,
		.unleased = s.shelf.fresh, .head = p.seq, .head_waits = p.pending, .alone = peer_alone(d->peer), .error = o.error, .head_error = p.error,
	};
}
