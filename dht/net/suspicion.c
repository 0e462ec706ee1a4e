/*
 * state	| event					| function		| next state
 * alive	| a doubt, ours or another's		| suspicion_heard()	| suspected
 * suspected	| another's doubt			| suspicion_heard()	| suspected, for a shorter time
 * suspected	| a frame from it, by any link		| suspicion_clear()	| cleared
 * suspected	| a newer record (it refuted), or it is gone | suspicion_forget()	| alive
 * suspected	| its time is over			| time_over()		| down
 * suspected	| its time was over long ago		| time_over()		| suspected: we did not run, what was said waits
 * cleared	| a doubt: an echo			| suspicion_heard()	| cleared
 * cleared	| SUSPICION_ECHO			| time_over()		| alive
 * down		| a frame from it			| suspicion_clear()	| alive
 * down		| a newer record			| suspicion_forget()	| alive
 */
#include "dht/net/membership.h"

#include <stdlib.h>
#include <syslog.h>

/* log2(n) in 1/65536; by squaring, so that it is the same everywhere. */
static uint64_t log2_fixed(uint32_t n)
{
	unsigned int whole = 31 - (unsigned int)__builtin_clz(n);
	uint64_t x = (uint64_t)n << (31 - whole), result = whole;

	for (unsigned int i = 0; i < 16; i++) {
		x = x * x >> 31;
		result <<= 1;
		if (x >> 32) {
			x >>= 1;
			result |= 1;
		}
	}
	return result;
}

uint64_t suspicion_time(unsigned int members, unsigned int confirmations)
{
	/* SUSPICION_FACTOR x log10(members) seconds, at most; half of that at least. */
	uint64_t most = log2_fixed(members ? members : 1) * (SUSPICION_FACTOR * (uint64_t)S) / 65536 * 30103 / 100000;
	uint64_t least;

	if (most < 2 * SUSPICION_LEAST)
		most = 2 * SUSPICION_LEAST;
	least = most / 2;
	if (confirmations >= SUSPICION_CONFIRMATIONS)
		return least;
	return most - (most - least) * log2_fixed(confirmations + 1) / log2_fixed(SUSPICION_CONFIRMATIONS + 1);
}

void suspicion_drop(struct node *n, struct view_entry *e)
{
	struct suspicion *s = e->suspicion;

	if (!s)
		return;
	timer_stop(n, &s->timer);
	for (unsigned int i = 0; i < s->count; i++)
		gossip_forget(n, &s->news[i]);
	e->suspicion = NULL;
	free(s);
}

static void time_over(struct node *n, struct timer *t)
{
	struct suspicion *s = list_item(t, struct suspicion, timer);
	struct view_entry *e = s->entry;
	bool cleared = s->cleared;

	if (swim_slept(n, t)) {
		timer_set(n, t, n->now + SUSPICION_LEAST);
		return;
	}
	suspicion_drop(n, e);
	if (cleared)
		return;
	e->down_since = n->now;
	n->membership->view.down++;
	node_log(n, LOG_INFO, "%s does not answer: taken as down", membership_name(e));
}

static void set_time(struct node *n, struct suspicion *s)
{
	unsigned int members = view_living(&n->membership->view);

	timer_set(n, &s->timer, s->started + suspicion_time(members, s->count - 1));
}

static struct suspicion *make(struct node *n, struct view_entry *e, uint64_t incarnation)
{
	struct suspicion *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;	/* it will be doubted again */
	s->timer.due = time_over;
	s->entry = e;
	s->started = n->now;
	s->incarnation = incarnation;
	e->suspicion = s;
	return s;
}

void suspicion_heard(struct node *n, struct view_entry *e, uint64_t incarnation, const struct address *from, bool tell)
{
	struct suspicion *s = e->suspicion;

	if (e->down_since || view_gone(e))
		return;
	if (!s)
		s = make(n, e, incarnation);
	if (!s || s->cleared || s->count > SUSPICION_CONFIRMATIONS)
		return;
	for (unsigned int i = 0; i < s->count; i++)
		if (address_equal(&s->from[i], from))
			return;
	s->from[s->count++] = *from;
	if (tell)
		gossip_suspicion(n, e, incarnation, from, &s->news[s->count - 1]);
	set_time(n, s);
}

void suspicion_clear(struct node *n, struct view_entry *e)
{
	struct suspicion *s = e->suspicion;

	if (e->down_since) {
		e->down_since = 0;
		n->membership->view.down--;
		if (!view_gone(e))
			node_log(n, LOG_INFO, "%s is back", membership_name(e));
	}
	if (!s || s->cleared)
		return;
	s->cleared = true;
	timer_set(n, &s->timer, n->now + SUSPICION_ECHO);
}

void suspicion_forget(struct node *n, struct view_entry *e)
{
	suspicion_drop(n, e);
	suspicion_clear(n, e);
}
