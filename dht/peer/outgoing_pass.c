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
	o->first_pass = first;
	o->pass_at = (struct address){ .b = { 0 } };
	o->pass_epoch = e;
	e->undecided++;
}

void pass_end(struct outgoing *o, int result)
{
	if (result < 0) {
		outgoing_fail(o, o->pass_epoch, result);
		o->forgotten++;
	}
	o->pass_epoch->undecided--;
	o->pass = PASS_NONE;
}

/* Under the lock. */
static void pass_take(struct outgoing *o, const struct address *a)
{
	struct waiting w = { .address = *a, .epoch = o->pass_epoch };
	struct catalogue *c = shelf_catalogue(peer_shelf(o->o.peer));
	enum kind kind;

	if (!store_has(o->o.store, a, &kind, NULL) || (o->pass == PASS_FRESH && c->state(c, a) & STATE_FOREIGN))
		return;
	w.kind = (uint8_t)kind;
	if (line_push(&o->late, &w) < 0) {
		outgoing_fail(o, w.epoch, -ENOMEM);
		o->forgotten++;
		return;
	}
	w.epoch->undecided++;
}

void pass_step(struct outgoing *o)
{
	struct shelf *shelf = peer_shelf(o->o.peer);
	struct address some[PASS_STEP], at = o->pass_at;
	enum pass pass = o->pass;
	int n;

	pthread_mutex_unlock(&o->lock);
	n = pass == PASS_FOREIGN ? shelf_unconfirmed(shelf, &at, PASS_STEP, some) : shelf_fresh(shelf, &at, PASS_STEP, some);
	pthread_mutex_lock(&o->lock);
	for (int i = 0; i < n; i++)
		pass_take(o, &some[i]);
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
