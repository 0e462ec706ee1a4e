/*
 * state	| event					| function		| next state
 * alive	| a doubt, ours or another's		| suspicion_heard()	| suspected
 * suspected	| another's doubt			| suspicion_heard()	| suspected, for a shorter time
 * suspected	| a frame from it, by any link		| suspicion_clear()	| cleared
 * suspected	| a newer record (it refuted), or it is gone | suspicion_forget()	| alive
 * suspected	| its time is over but for SUSPICION_ASK	| time_over()	| asked: a last ping of our own
 * asked	| another's doubt			| suspicion_heard()	| asked, for a shorter time
 * asked	| a frame from it, a newer record	| as suspected		| as suspected
 * asked	| its time is over			| time_over()		| down
 * suspected	| its time was over long ago		| time_over()		| suspected: we did not run, what was said waits
 * cleared	| a doubt: an echo, or not		| suspicion_heard()	| cleared; remembered, not told
 * cleared	| SUSPICION_ECHO; another frame came	| time_over()		| alive
 * cleared	| SUSPICION_ECHO; no other frame, no newer record | time_over()	| suspected: what was heard may have been old
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

static void tell_no_more(struct node *n, struct suspicion *s)
{
	for (unsigned int i = 0; i < s->count; i++)
		gossip_forget(n, &s->news[i]);
}

void suspicion_drop(struct node *n, struct view_entry *e)
{
	struct suspicion *s = e->suspicion;

	if (!s)
		return;
	timer_stop(n, &s->timer);
	tell_no_more(n, s);
	e->suspicion = NULL;
	free(s);
}

/* Whoever heard neither a refutation nor anything else asks once more himself: those who missed it are few, and the dead don't mind. */
static void set_time(struct node *n, struct suspicion *s)
{
	uint64_t end = s->started + suspicion_time(view_living(&n->membership->view), s->count - 1);

	if (!s->asked)
		end -= SUSPICION_ASK;
	else if (end < s->asked + SUSPICION_ASK)
		end = s->asked + SUSPICION_ASK;
	timer_set(n, &s->timer, end);
}

/* One frame, which may have been held up by a stall, proves that its sender lived when the stall began.  Who lives was
 * told of the doubts when it was heard, and has answered. */
static bool heard_something_old(const struct suspicion *s)
{
	return s->cleared && s->entry->heard <= s->started;
}

static void time_over(struct node *n, struct timer *t)
{
	struct suspicion *s = list_item(t, struct suspicion, timer);
	struct view_entry *e = s->entry;
	bool cleared = s->cleared;

	if (swim_slept(n, t)) {
		s->asked = 0;
		timer_set(n, t, n->now + SUSPICION_LEAST);
		return;
	}
	if (heard_something_old(s)) {
		s->cleared = false;
		s->started = n->now;
		s->asked = 0;
		set_time(n, s);
		return;
	}
	if (!cleared && !s->asked) {
		s->asked = n->now;
		set_time(n, s);
		swim_ask(n, e);
		return;
	}
	suspicion_drop(n, e);
	if (cleared)
		return;
	e->down_since = n->now;
	n->membership->view.down++;
	node_log(n, LOG_INFO, "%s does not answer: taken as down", membership_name(e));
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
	if (!s || s->count > SUSPICION_CONFIRMATIONS)
		return;
	for (unsigned int i = 0; i < s->count; i++)
		if (address_equal(&s->from[i], from))
			return;
	s->from[s->count++] = *from;
	if (s->cleared)
		return;
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
	s->started = n->now;
	tell_no_more(n, s);
	timer_set(n, &s->timer, n->now + SUSPICION_ECHO);
}

void suspicion_forget(struct node *n, struct view_entry *e)
{
	suspicion_drop(n, e);
	suspicion_clear(n, e);
}
