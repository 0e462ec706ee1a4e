/*
 * The pass goes over what an earlier run left, or what was forgotten: what the shelf has as FOREIGN, and at the start what no lease holds.
 * It holds the epoch that it began in open, and is fed in when nothing newer waits.
 */
#include "dht/peer/outgoing_impl.h"

#include <errno.h>
#include <time.h>

#include "dht/store.h"

#define PASS_STEP 256u	/* addresses that it reads at a time */

uint64_t outgoing_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void pass_start(struct outgoing *o, struct epoch *e, bool first)
{
	o->pass = PASS_FOREIGN;
	o->first_pass |= first;
	o->pass_at = (struct address){ .b = { 0 } };
	o->pass_epoch = e;
	e->undecided++;
}

void pass_end(struct outgoing *o, int result)
{
	if (result < 0) {
		outgoing_fail(o, o->pass_epoch, result);
		o->forgotten++;
	} else {
		o->first_pass = false;
	}
	o->pass_epoch->undecided--;
	o->pass = PASS_NONE;
}

/* Without the lock, for which the node's loop may wait: is it to go out?  -ENOENT: no, or it has gone; another error: nobody knows. */
static int look_at(struct outgoing *o, enum pass pass, const struct address *a, struct waiting *out)
{
	struct catalogue *c = shelf_catalogue(peer_shelf(o->o.peer));
	enum kind kind;
	int rc = store_here(o->o.store, a, &kind, NULL);

	if (rc == 0 && pass == PASS_FRESH && c->state(c, a) & STATE_FOREIGN)
		rc = -ENOENT;
	if (rc == 0)
		*out = (struct waiting){ .address = *a, .kind = (uint8_t)kind };
	return rc;
}

/* The next of them, from *${at} on, which moves behind them.  Sets ${count} to how many are to go out.  0: no more; or -errno. */
static int look_on(struct outgoing *o, enum pass pass, struct address *at, struct waiting *out, unsigned int *count)
{
	struct shelf *shelf = peer_shelf(o->o.peer);
	struct address some[PASS_STEP];
	int n = pass == PASS_FOREIGN ? shelf_unconfirmed(shelf, at, PASS_STEP, some) : shelf_fresh(shelf, at, PASS_STEP, some);

	*count = 0;
	for (int i = 0; i < n; i++) {
		int rc = look_at(o, pass, &some[i], &out[*count]);

		/* One that it fails for is another pass's, of all. */
		if (rc < 0 && rc != -ENOENT)
			return rc;
		*count += rc == 0;
	}
	return n;
}

void pass_step(struct outgoing *o)
{
	struct waiting some[PASS_STEP];
	struct address at = o->pass_at;
	enum pass pass = o->pass;
	unsigned int count;
	int n, rc = 0;

	pthread_mutex_unlock(&o->lock);
	n = look_on(o, pass, &at, some, &count);
	pthread_mutex_lock(&o->lock);
	for (unsigned int i = 0; i < count && rc == 0; i++) {
		some[i].epoch = o->pass_epoch;
		rc = line_push(&o->late, &some[i]);
		some[i].epoch->undecided += rc == 0;
	}
	if (rc < 0)
		n = rc;
	o->pass_at = at;
	if (n == 0 && pass == PASS_FOREIGN && o->first_pass) {
		o->pass = PASS_FRESH;
		o->pass_at = (struct address){ .b = { 0 } };
	} else if (n <= 0) {
		pass_end(o, n);
	}
}

void pass_expire(struct outgoing *o)
{
	uint64_t now = outgoing_now_ms();

	for (struct epoch *e = o->untold; e->ticket > 0 && e->until_ms <= now; e = next_epoch(e))
		if (e->result == 0)
			e->result = -ETIMEDOUT;
}
