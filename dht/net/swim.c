/*
 * The probe of each period:
 *
 * state		| event				| function		| next state
 * PROBE_NONE		| a period begins		| begin()		| PROBE_DIRECT: a ping, and a dial to the next one
 * PROBE_DIRECT		| its ack			| answered()		| PROBE_ANSWERED
 * PROBE_DIRECT		| PROBE_TIMEOUT			| ask_others()		| PROBE_DETOUR: some others ping it for us
 * PROBE_DETOUR		| an ack, its own or by another	| answered()		| PROBE_ANSWERED
 * PROBE_DETOUR		| a nack			| swim_message()	| PROBE_DETOUR
 * PROBE_DIRECT, _DETOUR	| the period ends		| conclude(): suspected	| PROBE_NONE
 * PROBE_ANSWERED	| the period ends		| conclude()		| PROBE_NONE
 * any			| it ends long after its time	| period_due()		| PROBE_NONE: we did not run, nothing is concluded
 *
 * A relay (another's probe): free, relay_start(): busy, an ack or NACK_AFTER: free.
 *
 * All times of the probe are stretched by our own health (Lifeguard): who misses the answers of many is probably slow himself.
 */
#include "dht/net/membership.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NACK_AFTER  (PROBE_TIMEOUT * 4 / 5)	/* so that the nack is there before the asker's period ends */
#define PICK_TRIES  8u				/* for one with a link: in a ring of 1000 a quarter have one */

static struct swim *of(const struct node *n)
{
	return &n->membership->swim;
}

static uint64_t stretched(const struct node *n, uint64_t us)
{
	return us * (1 + of(n)->health);
}

static void better(struct node *n)
{
	if (of(n)->health > 0)
		of(n)->health--;
}

static void worse(struct node *n, unsigned int by)
{
	of(n)->health = of(n)->health + by < HEALTH_MAX ? of(n)->health + by : HEALTH_MAX;
}

void swim_worse(struct node *n)
{
	worse(n, 1);
}

struct view_entry *swim_pick(struct node *n, const struct view_entry *not, enum swim_pick which)
{
	bool down = which == PICK_DOWN;
	const struct membership *ms = n->membership;
	struct view_entry *found = NULL;

	for (unsigned int i = 0; i < PICK_TRIES && ms->view.count > 0; i++) {
		struct view_entry *e = ms->view.entry[node_random(n, ms->view.count)];

		if (e == ms->self || e == not || view_gone(e) || (e->down_since != 0) != down)
			continue;
		found = e;
		if (e->linked || which != PICK_LINKED)
			break;
	}
	return found;
}

/* ---- the round ---- */

static bool round_room(struct swim *s)
{
	unsigned int size = s->size ? 2 * s->size : 16;
	struct view_entry **grown;

	if (s->count < s->size)
		return true;
	grown = realloc(s->round, size * sizeof(struct view_entry *));
	if (!grown)
		return false;
	s->round = grown;
	s->size = size;
	return true;
}

void swim_add(struct node *n, struct view_entry *e)
{
	struct swim *s = of(n);
	unsigned int place;

	if (!round_room(s))
		return;		/* it comes with the next round */
	place = s->at + (unsigned int)node_random(n, s->count - s->at + 1);
	s->round[s->count++] = s->round[place];
	s->round[place] = e;
}

static void new_round(struct node *n)
{
	const struct membership *ms = n->membership;
	struct swim *s = of(n);

	s->count = s->at = 0;
	for (unsigned int i = 0; i < ms->view.count; i++)
		if (ms->view.entry[i] != ms->self && !view_gone(ms->view.entry[i]))
			swim_add(n, ms->view.entry[i]);
}

static struct view_entry *next_target(struct node *n)
{
	struct swim *s = of(n);

	for (unsigned int rounds = 0; rounds < 2; rounds++) {
		for (; s->at < s->count; s->at++)
			if (!view_gone(s->round[s->at]))
				return s->round[s->at];
		new_round(n);
	}
	return NULL;
}

/* ---- our own probe ---- */

static void ping(struct node *n, struct view_entry *e, uint64_t seq)
{
	struct peer *p = peer_find(n, &e->member->id);
	struct message m = { .type = WIRE_PING, .seq = seq };
	struct gossip_text text;

	if (!p)
		return;
	gossip_first(n, &m, &text, e);
	gossip_add(n, &m, &text, 1);
	peer_tell(n, p, &m);
}

void swim_ask(struct node *n, struct view_entry *e)
{
	ping(n, e, ++of(n)->seqs);
}

static void begin(struct node *n)
{
	struct view_entry *e = next_target(n);
	struct swim *s = of(n);
	struct peer *p;

	s->state = PROBE_NONE;
	if (!e)
		return;
	s->at++;
	s->state = PROBE_DIRECT;
	s->target = e;
	s->incarnation = e->member->incarnation;
	s->seq = ++s->seqs;
	s->sent = n->now;
	s->detours = s->nacks = 0;
	ping(n, e, s->seq);
	timer_set(n, &s->timeout, n->now + stretched(n, PROBE_TIMEOUT));
	/* The next one's link is made meanwhile: then its half second is for the ping alone. */
	e = next_target(n);
	if (e && !e->linked && !e->down_since) {
		p = peer_find(n, &e->member->id);
		if (p)
			peer_dial(n, p);
	}
}

static void ask_others(struct node *n, struct timer *t)
{
	struct swim *s = of(n);
	struct view_entry *last = NULL;

	(void)t;
	assert(s->state == PROBE_DIRECT);
	s->state = PROBE_DETOUR;
	if (s->target->down_since)
		return;
	for (unsigned int i = 0; i < PROBE_INDIRECT; i++) {
		struct message m = { .type = WIRE_PROBE, .seq = s->seq, .target = s->target->member->id };
		struct view_entry *e = swim_pick(n, s->target, PICK_LINKED);
		struct peer *p = e && e != last ? peer_find(n, &e->member->id) : NULL;

		last = e;
		if (!p)
			continue;
		peer_tell(n, p, &m);
		s->detour[s->detours++] = p->id;
	}
}

static void answered(struct node *n)
{
	struct swim *s = of(n);

	if (s->state != PROBE_DIRECT && s->state != PROBE_DETOUR)
		return;
	s->state = PROBE_ANSWERED;
	timer_stop(n, &s->timeout);
	better(n);
}

static void conclude(struct node *n)
{
	struct swim *s = of(n);
	struct view_entry *e = s->target;
	struct peer *p;

	timer_stop(n, &s->timeout);
	if (s->state == PROBE_NONE || view_gone(e))
		return;
	if (s->state == PROBE_ANSWERED) {
		/* Others reached it and we did not: a connection that stalls, or is dead at one end. */
		p = e->linked && e->heard < s->sent ? peer_find(n, &e->member->id) : NULL;
		if (p)
			peer_hang_up(n, p, "mute, though others reach it");
		return;
	}
	/* A new record since the ping: it began to live meanwhile. */
	if (e->down_since || e->member->incarnation != s->incarnation)
		return;
	/* Those whom we asked are well and say that they have no answer either: then it is not us. */
	worse(n, s->detours > 0 ? s->detours - s->nacks : 1);
	suspicion_heard(n, e, e->member->incarnation, &n->id, true);
}

bool swim_slept(const struct node *n, const struct timer *t)
{
	return n->now - t->at > PROBE_TIMEOUT;
}

static void period_due(struct node *n, struct timer *t)
{
	if (swim_slept(n, t)) {
		/* Answers may have come meanwhile, and wait to be read. */
		timer_stop(n, &of(n)->timeout);
		worse(n, 1);
	} else {
		conclude(n);
	}
	begin(n);
	timer_set(n, t, n->now + stretched(n, PROBE_EVERY));
}

/* ---- others' probes ---- */

static void relay_due(struct node *n, struct timer *t)
{
	struct relay *r = list_item(t, struct relay, timer);
	struct message m = { .type = WIRE_NACK, .seq = r->their_seq };
	struct peer *p = peer_find(n, &r->for_whom);

	r->seq = 0;
	if (p)
		peer_tell(n, p, &m);
}

static void relay_start(struct node *n, struct peer *from, const struct message *m)
{
	struct view_entry *e = view_find(&n->membership->view, &m->target);
	struct swim *s = of(n);

	if (!e || view_gone(e) || e == n->membership->self)
		return;
	for (unsigned int i = 0; i < RELAYS_MAX; i++) {
		struct relay *r = &s->relay[i];

		if (r->seq)
			continue;
		r->for_whom = from->id;
		r->target = m->target;
		r->their_seq = m->seq;
		r->seq = ++s->seqs;
		timer_set(n, &r->timer, n->now + NACK_AFTER);
		ping(n, e, r->seq);
		return;
	}
}

static void ack(struct node *n, struct peer *to, uint64_t seq)
{
	struct message m = { .type = WIRE_ACK, .seq = seq };
	struct gossip_text text;

	gossip_add(n, &m, &text, 1);
	peer_tell(n, to, &m);
}

/* Of the target itself, or of one who was asked to ping it.  Numbers are easily guessed: anyone else could keep the dead alive. */
static bool may_answer(const struct swim *s, const struct address *id)
{
	if (address_equal(id, &s->target->member->id))
		return true;
	for (unsigned int i = 0; i < s->detours; i++)
		if (address_equal(id, &s->detour[i]))
			return true;
	return false;
}

static void acked(struct node *n, const struct peer *from, uint64_t seq)
{
	struct swim *s = of(n);

	if (seq == s->seq) {
		if (s->state != PROBE_NONE && may_answer(s, &from->id))
			answered(n);
		return;
	}
	for (unsigned int i = 0; i < RELAYS_MAX && seq > 0; i++) {
		struct relay *r = &s->relay[i];
		struct peer *p;

		if (r->seq != seq)
			continue;
		if (!address_equal(&r->target, &from->id))
			return;
		r->seq = 0;
		timer_stop(n, &r->timer);
		p = peer_find(n, &r->for_whom);
		if (p)
			ack(n, p, r->their_seq);
		return;
	}
}

void swim_message(struct node *n, struct peer *from, const struct message *m)
{
	struct swim *s = of(n);

	switch (m->type) {
	case WIRE_PING:
		ack(n, from, m->seq);
		break;
	case WIRE_ACK:
		acked(n, from, m->seq);
		break;
	case WIRE_PROBE:
		relay_start(n, from, m);
		break;
	default:
		assert(m->type == WIRE_NACK);
		if (m->seq == s->seq && s->state == PROBE_DETOUR && s->nacks < s->detours)
			s->nacks++;
	}
}

void swim_start(struct node *n)
{
	struct swim *s = of(n);

	s->period.due = period_due;
	s->timeout.due = ask_others;
	for (unsigned int i = 0; i < RELAYS_MAX; i++)
		s->relay[i].timer.due = relay_due;
	/* A number that a life of ours before this one waited for must not be taken for one of this life. */
	s->seqs = node_random(n, UINT64_C(1) << 62);
	timer_set(n, &s->period, n->now + node_random(n, PROBE_EVERY));
}

void swim_end(struct node *n)
{
	struct swim *s = of(n);

	timer_stop(n, &s->period);
	timer_stop(n, &s->timeout);
	for (unsigned int i = 0; i < RELAYS_MAX; i++)
		timer_stop(n, &s->relay[i].timer);
	free(s->round);
	s->round = NULL;
	s->count = s->size = s->at = 0;
}
