#include "dht/peer/leasing.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "dht/net/limits.h"
#include "dht/net/signed.h"

/* Addresses read from the shelf at a time: all that one slot can have, 2 MiB, for the first lease of a slot ends that of a machine before. */
#define FRESH_AT_ONCE	LEASE_ADDRESSES_MAX
#define SEQ_SHIFT	32u	/* a number: its base, then how many of this slot came since */

#define TELL_MS		200u

/* One lease on its way. */
struct making {
	struct list link;
	struct leasing *l;
	struct peer_ask ask;
	struct address *addresses;
	struct chunk *blob;
};

struct leasing {
	struct peer *peer;
	struct shelf *shelf;
	struct store *store;
	struct volume_key volume;
	void (*log)(void *arg, int priority, const char *text);
	void *log_arg;
	pthread_t thread;
	pthread_mutex_t lock;		/* covers all that follows */
	pthread_cond_t changed;
	bool in_round;			/* one round, or one leasing_keep(), at a time */
	dht_tell *tell;			/* whoever asked for it, or NULL, ... */
	void *tell_arg;
	struct dht_progress progress;
	uint64_t tell_at_ms;		/* ... and is asked then whether to go on */
	bool given_up;			/* no */
	struct list making;
	unsigned int count;
	unsigned int last_slot;		/* for which one was made in this round */
	int failed;			/* of this round */
	int error;			/* of the last one */
	bool stopping, held, told_full, told_refused;
	/* Of numbers: 0 where the volume was made here; else the first head that was published from here since this store has it, or has forgotten how far
	 * it had come. */
	uint64_t base;
	bool unnumbered;		/* it is not known */
};

static void say(struct leasing *l, int priority, const char *text)
{
	if (l->log)
		l->log(l->log_arg, priority, text);
}

static void making_free(struct making *m)
{
	chunk_drop(m->ask.chunk);
	chunk_drop(m->ask.blob);
	chunk_drop(m->blob);
	free(m->addresses);
	free(m);
}

/* The owners have newer ones: what is here, and not in those, is kept by nobody else for good. */
static void tell_refused(struct leasing *l)
{
	bool told;

	pthread_mutex_lock(&l->lock);
	told = l->told_refused;
	l->told_refused = true;
	pthread_mutex_unlock(&l->lock);
	if (!told)
		say(l, LOG_ERR, "the ring has newer leases of this volume than this machine makes: another one writes it");
}

static void made(struct peer_ask *a)
{
	struct making *m = a->user;
	struct leasing *l = m->l;

	if (a->result == -ESTALE)
		tell_refused(l);
	pthread_mutex_lock(&l->lock);
	/* What some owner lacks the core goes on to tell: it is here, and counts when a majority has it. */
	if (a->result < 0)
		l->failed = a->result;
	list_remove(&m->link);
	l->count--;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	making_free(m);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Under the lock.  What is under way is here already, and goes on after the next start. */
static void cancel_all(struct leasing *l)
{
	for (struct list *at = l->making.next; at != &l->making; at = at->next)
		peer_cancel(&list_item(at, struct making, link)->ask);
}

/* With the lock, which is given up for the call. */
static void ask_whether(struct leasing *l)
{
	struct dht_progress p = l->progress;
	bool go_on;

	if (!l->tell || l->given_up || now_ms() < l->tell_at_ms)
		return;
	pthread_mutex_unlock(&l->lock);
	go_on = l->tell(l->tell_arg, &p);
	pthread_mutex_lock(&l->lock);
	l->tell_at_ms = now_ms() + TELL_MS;
	if (go_on)
		return;
	l->given_up = true;
	cancel_all(l);
}

/* Under the lock. */
static void wait_a_while(struct leasing *l)
{
	uint64_t at = now_ms() + TELL_MS;
	struct timespec until = { .tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000 };

	pthread_cond_timedwait(&l->changed, &l->lock, &until);
}

/* With the lock. */
static void await_change(struct leasing *l)
{
	if (l->tell && !l->given_up)
		wait_a_while(l);
	else
		pthread_cond_wait(&l->changed, &l->lock);
	ask_whether(l);
}

/* False: whoever asks for it does not want to wait for the one before. */
static bool round_begin(struct leasing *l, dht_tell *tell, void *arg)
{
	const struct dht_progress none = { 0 };
	bool go_on = true;

	pthread_mutex_lock(&l->lock);
	while (l->in_round && go_on) {
		wait_a_while(l);
		pthread_mutex_unlock(&l->lock);
		go_on = !tell || tell(arg, &none);
		pthread_mutex_lock(&l->lock);
	}
	if (go_on) {
		l->in_round = true;
		l->tell = tell;
		l->tell_arg = arg;
		l->tell_at_ms = 0;
		l->progress = none;
		l->given_up = false;
	}
	pthread_mutex_unlock(&l->lock);
	return go_on;
}

/* Of the lease that is here; 0: none. */
static uint64_t seq_of(struct leasing *l, unsigned int slot)
{
	struct chunk *blob = shelf_lease(l->shelf, &l->volume.id, slot);
	struct lease old;
	uint64_t seq = 0;

	if (blob && lease_read(blob->data, blob->len, &peer_ring(l->peer)->id, &old) == 0)
		seq = old.seq;
	chunk_drop(blob);
	return seq;
}

/* Takes over ${addresses}, in order.  Waits for a place.  0 or -errno. */
static int make(struct leasing *l, unsigned int slot, struct address *addresses, uint32_t count)
{
	struct lease lease = { .slot = (uint16_t)slot, .seq = seq_of(l, slot) + 1, .count = count };
	struct making *m = calloc(1, sizeof(*m));
	uint8_t b[SIGNED_MAX];
	size_t len;
	int rc = 0;

	if (lease.seq <= l->base << SEQ_SHIFT)
		lease.seq = (l->base << SEQ_SHIFT) + 1;
	memcpy(lease.key, l->volume.key, sizeof(lease.key));
	lease_root(addresses, count, &lease.root);
	len = lease_sign(&lease, &peer_ring(l->peer)->id, l->volume.secret, b);
	if (m)
		m->blob = chunk_copy(b, len);
	if (!m || !m->blob) {
		free(addresses);
		free(m);
		return -ENOMEM;
	}
	m->l = l;
	m->addresses = addresses;
	m->ask.user = m;
	m->ask.done = made;
	m->ask.command = (struct command){
		.kind = COMMAND_LEASE, .timeout = LEASING_TIMEOUT_MS * UINT64_C(1000), .blob = m->blob,
		.addresses = addresses, .count = count,
	};
	list_init(&m->link);
	pthread_mutex_lock(&l->lock);
	ask_whether(l);
	while (l->count >= LEASING_AT_ONCE && !l->stopping && !l->given_up)
		await_change(l);
	if (l->stopping || l->given_up) {
		rc = -ECANCELED;
	} else {
		list_append(&l->making, &m->link);
		l->count++;
		peer_ask(l->peer, &m->ask);
	}
	pthread_mutex_unlock(&l->lock);
	if (rc < 0)
		making_free(m);
	return rc;
}

/* Until at most ${n} are under way. */
static void await(struct leasing *l, unsigned int n)
{
	pthread_mutex_lock(&l->lock);
	while (l->count > n)
		await_change(l);
	pthread_mutex_unlock(&l->lock);
}

/* What of the round failed. */
static int round_end(struct leasing *l, int rc)
{
	await(l, 0);
	pthread_mutex_lock(&l->lock);
	l->last_slot = RING_SLOTS;
	if (rc == 0)
		rc = l->given_up ? -ECANCELED : l->failed;
	l->failed = 0;
	l->in_round = false;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* Both in rising order; what is in both is there once. */
static uint32_t merge(const struct address *a, size_t na, const struct address *b, size_t nb, struct address *out)
{
	uint32_t n = 0;

	while (na > 0 || nb > 0) {
		int order = na == 0 ? 1 : nb == 0 ? -1 : address_compare(a, b);

		out[n++] = order <= 0 ? *a : *b;
		if (order <= 0)
			a++, na--;
		if (order >= 0)
			b++, nb--;
	}
	return n;
}

static void tell_full(struct leasing *l, unsigned int slot)
{
	char text[160];

	if (l->told_full)
		return;
	l->told_full = true;
	snprintf(text, sizeof(text), "slot %u: this volume has %u chunks there, as many as it can have: no more of them are kept for good",
	    slot, LEASE_ADDRESSES_MAX);
	say(l, LOG_ERR, text);
}

/* ${fresh}: of one slot.  Where that has more than can be in a lease, the one before is awaited: this one goes on from it, and finds that. */
static int add_to(struct leasing *l, unsigned int slot, const struct address *fresh, size_t n)
{
	struct address *old = NULL, *both;
	uint32_t count = 0, total;
	int rc;

	if (slot == l->last_slot)
		await(l, 0);
	l->last_slot = slot;
	rc = shelf_lease_list(l->shelf, &l->volume.id, slot, &old, &count);
	if (rc < 0)
		return rc;
	both = malloc((count + n) * sizeof(*both));
	if (!both) {
		free(old);
		return -ENOMEM;
	}
	total = merge(old, count, fresh, n, both);
	free(old);
	if (total > LEASE_ADDRESSES_MAX) {
		tell_full(l, slot);
		free(both);
		return -EFBIG;
	}
	return make(l, slot, both, total);
}

/* Under no lock: what failed of one slot leaves the others as they are; they go on. */
static void note_failure(struct leasing *l, int rc)
{
	pthread_mutex_lock(&l->lock);
	l->failed = rc;
	pthread_mutex_unlock(&l->lock);
}

/* One slot's at a time.  ${from} moves behind what was taken.  1: more; 0: that was all; -errno. */
static int step(struct leasing *l, struct address *from, struct address *fresh)
{
	int n = shelf_fresh(l->shelf, from, FRESH_AT_ONCE, fresh), end, rc;
	unsigned int slot;

	for (int at = 0; at < n; at = end) {
		slot = ring_slot(&fresh[at]);
		for (end = at; end < n && ring_slot(&fresh[end]) == slot; end++)
			continue;
		/* The last slot's may go on behind what was read: unless it fills all of it, it comes again. */
		if (end == n && n == (int)FRESH_AT_ONCE && at > 0) {
			*from = fresh[at];
			return 1;
		}
		rc = add_to(l, slot, &fresh[at], (size_t)(end - at));
		if (rc == -ECANCELED)
			return rc;
		if (rc < 0)
			note_failure(l, rc);
	}
	return n == (int)FRESH_AT_ONCE ? 1 : n < 0 ? n : 0;
}

static int do_round(struct leasing *l, dht_tell *tell, void *arg)
{
	struct address from = { .b = { 0 } }, *fresh;
	int rc;

	if (!round_begin(l, tell, arg))
		return -ECANCELED;
	fresh = malloc(FRESH_AT_ONCE * sizeof(*fresh));
	rc = fresh ? 1 : -ENOMEM;
	while (rc > 0)
		rc = step(l, &from, fresh);
	rc = round_end(l, rc);
	free(fresh);
	pthread_mutex_lock(&l->lock);
	l->error = rc;
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void leasing_hold(struct leasing *l, bool hold)
{
	pthread_mutex_lock(&l->lock);
	l->held = hold;
	pthread_mutex_unlock(&l->lock);
}

static bool is_held(struct leasing *l)
{
	bool held;

	pthread_mutex_lock(&l->lock);
	held = l->held || l->unnumbered;
	pthread_mutex_unlock(&l->lock);
	return held;
}

bool leasing_unnumbered(struct leasing *l)
{
	bool unnumbered;

	pthread_mutex_lock(&l->lock);
	unnumbered = l->unnumbered;
	pthread_mutex_unlock(&l->lock);
	return unnumbered;
}

void leasing_since(struct leasing *l, uint64_t seq)
{
	int rc;

	pthread_mutex_lock(&l->lock);
	if (l->unnumbered) {
		rc = shelf_put_base(l->shelf, seq);
		if (rc == 0) {
			l->base = seq;
			l->unnumbered = false;
		}
	}
	pthread_mutex_unlock(&l->lock);
}

int leasing_now(struct leasing *l, dht_tell *tell, void *arg)
{
	return is_held(l) ? -EAGAIN : do_round(l, tell, arg);
}

static void *leasing_main(void *arg)
{
	struct leasing *l = arg;
	struct timespec until;

	pthread_mutex_lock(&l->lock);
	while (!l->stopping) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LEASING_EVERY_S;
		while (!l->stopping && pthread_cond_timedwait(&l->changed, &l->lock, &until) != ETIMEDOUT)
			continue;
		if (l->stopping)
			break;
		pthread_mutex_unlock(&l->lock);
		leasing_now(l, NULL, NULL);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* What of one slot's lease is wanted.  0 or -errno. */
static int keep_slot(struct leasing *l, unsigned int slot, bool (*wanted)(void *arg, const struct address *a), void *arg,
    bool dry_run, struct dht_gc_count *out)
{
	struct address *all = NULL;
	uint32_t count = 0, kept = 0, len;
	int rc = shelf_lease_list(l->shelf, &l->volume.id, slot, &all, &count);

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		if (wanted(arg, &all[i])) {
			all[kept++] = all[i];
			continue;
		}
		out->chunks++;
		if (store_has(l->store, &all[i], NULL, &len))
			out->bytes += len;
	}
	if (rc == 0 && kept < count && !dry_run)
		return make(l, slot, all, kept);
	free(all);
	return rc;
}

int leasing_keep(struct leasing *l, bool (*wanted)(void *arg, const struct address *a), void *arg, bool dry_run,
    dht_tell *tell, void *tell_arg, struct dht_gc_count *out)
{
	int rc = 0;

	*out = (struct dht_gc_count){ 0 };
	if (is_held(l))
		return -EAGAIN;
	if (!round_begin(l, tell, tell_arg))
		return -ECANCELED;
	for (unsigned int slot = 0; rc == 0 && slot < RING_SLOTS; slot++) {
		rc = keep_slot(l, slot, wanted, arg, dry_run, out);
		pthread_mutex_lock(&l->lock);
		l->progress = (struct dht_progress){ .done = slot + 1, .total = RING_SLOTS };
		ask_whether(l);
		if (rc == 0 && l->given_up)
			rc = -ECANCELED;
		pthread_mutex_unlock(&l->lock);
	}
	return round_end(l, rc);
}

int leasing_open(struct peer *peer, struct store *store, const struct volume_key *volume, void (*log)(void *arg, int priority, const char *text),
    void *arg, struct leasing **out)
{
	struct leasing *l = calloc(1, sizeof(*l));
	pthread_condattr_t clock;
	uint64_t base;
	int rc;

	*out = NULL;
	if (!l)
		return -ENOMEM;
	l->peer = peer;
	l->shelf = peer_shelf(peer);
	l->store = store;
	l->volume = *volume;
	sodium_mlock(&l->volume, sizeof(l->volume));
	l->log = log;
	l->log_arg = arg;
	l->last_slot = RING_SLOTS;
	list_init(&l->making);
	rc = shelf_base(l->shelf, &base);
	if (rc < 0 && rc != -ENOENT) {
		sodium_munlock(&l->volume, sizeof(l->volume));
		free(l);
		return rc;
	}
	l->unnumbered = rc == 0 && base == SHELF_BASE_UNKNOWN;
	l->base = rc == 0 ? base : volume->since > 0 ? volume->since + 1 : 0;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &clock);
	pthread_condattr_destroy(&clock);
	rc = pthread_create(&l->thread, NULL, leasing_main, l);
	if (rc) {
		leasing_close(l);
		return -rc;
	}
	*out = l;
	return 0;
}

void leasing_stop(struct leasing *l)
{
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_broadcast(&l->changed);
	cancel_all(l);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
}

void leasing_close(struct leasing *l)
{
	assert(l->count == 0);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	sodium_munlock(&l->volume, sizeof(l->volume));
	free(l);
}

void leasing_status(struct leasing *l, struct leasing_status *out)
{
	struct shelf_totals t;

	shelf_totals(l->shelf, &t);
	pthread_mutex_lock(&l->lock);
	*out = (struct leasing_status){ .fresh = t.fresh, .error = l->error };
	pthread_mutex_unlock(&l->lock);
}
