/*
 * state		| event				| function		| next state
 * nothing to say	| a record or doubt is new	| gossip_record(), _suspicion() | saying
 * saying		| GOSSIP_EVERY			| tell_some()		| saying, until all was told often enough
 * saying		| a ping or an ack goes out	| gossip_add()		| saying
 * saying		| it is no longer so		| gossip_forget()	| saying, of what is left
 */
#include "dht/net/membership.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GATHER	  (10 * MS)	/* what becomes known together is told together */
#define REST_SAME (30u * S)	/* ends of one maintenance differ by what its messages took */

static struct gossip *of(const struct node *n)
{
	return &n->membership->gossip;
}

static unsigned int times_to_tell(const struct node *n)
{
	unsigned int digits = 2;

	for (unsigned int members = view_living(&n->membership->view); members >= 100; members /= 10)
		digits++;
	return GOSSIP_FACTOR * digits;
}

bool gossip_over(const struct node *n)
{
	return of(n)->count == 0;
}

static void wake(struct node *n)
{
	struct gossip *g = of(n);
	uint64_t next = g->last + GOSSIP_EVERY;

	if (!timer_busy(&g->timer))
		timer_set(n, &g->timer, next > n->now + GATHER ? next : n->now + GATHER);
}

void gossip_forget(struct node *n, struct news **owner)
{
	struct news *news = *owner;

	if (!news)
		return;
	assert(news->owner == owner);
	list_remove(&news->link);
	of(n)->count--;
	free(news);
	*owner = NULL;
}

static enum gossip_kind kind_of(const struct news *news)
{
	return news->incarnation ? GOSSIP_SUSPICION : GOSSIP_RECORD;
}

static void make(struct node *n, struct view_entry *e, uint64_t incarnation, const struct address *from, struct news **owner)
{
	struct news *news;

	gossip_forget(n, owner);
	news = calloc(1, sizeof(*news));
	if (!news)
		return;		/* the exchange will tell it */
	news->entry = e;
	news->owner = owner;
	if (from)
		news->from = *from;
	news->incarnation = incarnation;
	*owner = news;
	list_append(&of(n)->told[kind_of(news)][0], &news->link);
	of(n)->count++;
	wake(n);
}

void gossip_record(struct node *n, struct view_entry *e)
{
	make(n, e, 0, NULL, &e->news);
}

void gossip_suspicion(struct node *n, struct view_entry *e, uint64_t incarnation, const struct address *from,
    struct news **owner)
{
	if (incarnation != 0)		/* no record of ours has that one */
		make(n, e, incarnation, from, owner);
}

/* ---- into a message ---- */

static void put_suspicion(struct message *m, struct gossip_text *text, const struct wire_suspicion *s)
{
	assert(m->suspicions < WIRE_GOSSIP_MAX);
	if (m->suspicions == 0) {
		m->suspicions_bytes = text->suspicions;
		m->has |= WIRE_HAS(FIELD_SUSPICIONS);
	}
	wire_suspicion_put(s, text->suspicions + m->suspicions * WIRE_SUSPICION_LEN);
	m->suspicions++;
}

static bool put_record(struct message *m, struct gossip_text *text, const struct member *member)
{
	int len = wire_blob_put(member->bytes, member->len, text->records + m->records.len,
	    sizeof(text->records) - m->records.len);

	if (len < 0)
		return false;
	m->records.data = text->records;
	m->records.len += (uint32_t)len;
	m->has |= WIRE_HAS(FIELD_RECORDS);
	return true;
}

static bool put_news(struct message *m, struct gossip_text *text, const struct news *news)
{
	struct wire_suspicion s;

	if (news->incarnation == 0)
		return put_record(m, text, news->entry->member);
	if (m->suspicions == WIRE_GOSSIP_MAX)
		return false;
	s = (struct wire_suspicion){ .id = news->entry->member->id, .incarnation = news->incarnation, .from = news->from };
	put_suspicion(m, text, &s);
	return true;
}

void gossip_first(struct node *n, struct message *m, struct gossip_text *text, const struct view_entry *e)
{
	struct wire_suspicion s = { .id = e->member->id, .incarnation = e->member->incarnation, .from = n->id };

	if (!e->down_since && (!e->suspicion || e->suspicion->cleared))
		return;
	s.dead = e->down_since != 0;
	put_suspicion(m, text, &s);
}

/* Until one does not fit: there may be thousands. */
static void pick(struct list *told, struct message *m, struct gossip_text *text, struct list *picked)
{
	for (unsigned int i = 0; i < GOSSIP_SENT_MAX; i++) {
		while (!list_empty(&told[i])) {
			struct list *l = told[i].next;

			if (!put_news(m, text, list_item(l, struct news, link)))
				return;
			list_remove(l);
			list_append(picked, l);
		}
	}
}

void gossip_add(struct node *n, struct message *m, struct gossip_text *text, unsigned int times)
{
	struct gossip *g = of(n);
	unsigned int enough = times_to_tell(n);
	struct list picked;

	list_init(&picked);
	for (unsigned int kind = 0; kind < GOSSIP_KINDS; kind++)
		pick(g->told[kind], m, text, &picked);
	while (!list_empty(&picked)) {
		struct news *news = list_item(picked.next, struct news, link);

		news->sent += times;
		if (news->sent >= enough) {
			gossip_forget(n, news->owner);
		} else {
			list_remove(&news->link);
			list_append(&g->told[kind_of(news)][news->sent], &news->link);
		}
	}
}

/* ---- maintenance: few, long, and told in a message of its own ---- */

int gossip_rest(struct node *n, const struct address *target, uint32_t seconds)
{
	struct gossip *g = of(n);
	uint64_t until = n->now + (uint64_t)(seconds < MAINTENANCE_LONGEST ? seconds : MAINTENANCE_LONGEST) * S;
	unsigned int i, kept = 0;

	for (i = 0; i < g->rests; i++)
		if (g->rest[i].until > n->now)
			g->rest[kept++] = g->rest[i];
	g->rests = kept;
	for (i = 0; i < g->rests && !address_equal(&g->rest[i].target, target); i++)
		;
	if (i < g->rests && g->rest[i].until + REST_SAME >= until)
		return -EALREADY;
	if (i == MAINTENANCE_MAX)
		return -ENOSPC;
	g->rest[i] = (struct rest){ .target = *target, .until = until };
	if (i == g->rests)
		g->rests++;
	wake(n);
	return 0;
}

bool gossip_resting(const struct node *n, const struct address *target)
{
	static const struct address anyone;
	const struct gossip *g = of(n);

	for (unsigned int i = 0; i < g->rests; i++)
		if (g->rest[i].until > n->now &&
		    (address_equal(&g->rest[i].target, target) || address_equal(&g->rest[i].target, &anyone)))
			return true;
	return false;
}

static void tell_rest(struct node *n, struct peer *to, const struct rest *r)
{
	struct message m = { .type = WIRE_MAINTENANCE, .target = r->target };

	if (r->until < n->now + S)
		return;
	m.seconds = (uint32_t)((r->until - n->now) / S);
	peer_tell(n, to, &m);
}

static bool tell_rests(struct node *n, struct peer *const *to, unsigned int count)
{
	struct gossip *g = of(n);
	unsigned int enough = times_to_tell(n);
	bool more = false;

	for (unsigned int i = 0; i < g->rests; i++) {
		struct rest *r = &g->rest[i];

		if (r->sent >= enough)
			continue;
		for (unsigned int j = 0; j < count; j++)
			tell_rest(n, to[j], r);
		r->sent += GOSSIP_FANOUT;
		more |= r->sent < enough;
	}
	return more;
}

/* ---- what records do not say, to one who may have been away ---- */

static void tell_down(struct node *n, struct peer *to)
{
	const struct view *v = &n->membership->view;
	unsigned int left = v->down < GOSSIP_DOWN_MAX ? v->down : GOSSIP_DOWN_MAX;
	unsigned int at = v->count ? (unsigned int)node_random(n, v->count) : 0;

	for (unsigned int i = 0; left > 0; ) {
		struct message m = { .type = WIRE_GOSSIP };
		struct gossip_text text;

		for (; i < v->count && left > 0 && m.suspicions < WIRE_GOSSIP_MAX; i++) {
			const struct view_entry *e = v->entry[(at + i) % v->count];

			if (e->down_since) {
				gossip_first(n, &m, &text, e);
				left--;
			}
		}
		assert(m.suspicions > 0);
		peer_tell(n, to, &m);
	}
}

void gossip_state(struct node *n, struct peer *to)
{
	struct gossip *g = of(n);

	tell_down(n, to);
	for (unsigned int i = 0; i < g->rests; i++)
		tell_rest(n, to, &g->rest[i]);
}

/* ---- the round ---- */

static void tell_some(struct node *n, struct timer *t)
{
	struct gossip *g = of(n);
	struct message m = { .type = WIRE_GOSSIP };
	struct view_entry *last = NULL;
	struct peer *to[GOSSIP_FANOUT];
	struct gossip_text text;
	unsigned int count = 0;
	bool more;

	for (unsigned int i = 0; i < GOSSIP_FANOUT; i++) {
		/* One of them in any case from all: a node that has just started has few links, and would hear last. */
		struct view_entry *e = swim_pick(n, last, i == 0 ? PICK_ANY : PICK_LINKED);
		struct peer *p = e ? peer_find(n, &e->member->id) : NULL;

		last = e;
		if (p)
			to[count++] = p;
	}
	g->last = n->now;
	if (g->count > 0) {
		/* Alone, there is nobody to tell: what is said to nobody is said. */
		gossip_add(n, &m, &text, count > 0 ? count : GOSSIP_FANOUT);
		for (unsigned int i = 0; i < count; i++)
			peer_tell(n, to[i], &m);
	}
	more = tell_rests(n, to, count);
	if (more || g->count > 0)
		timer_set(n, t, n->now + GOSSIP_EVERY);
}

bool gossip_heard(struct node *n, struct peer *from, const struct message *m)
{
	struct membership *ms = n->membership;

	if (!membership_adopt_all(n, from, &m->records, true))
		return false;
	for (unsigned int i = 0; i < m->suspicions; i++) {
		struct wire_suspicion s;
		struct view_entry *e;

		wire_suspicion(m, i, &s);
		if (address_equal(&s.id, &n->id)) {
			if (!self_doubted(n, s.incarnation))
				membership_tell_record(n, from, n->self);
			continue;
		}
		/* What we said ourselves comes back, maybe after we heard the doubted. */
		if (address_equal(&s.from, &n->id) || !membership_find(n, &s.from))
			continue;
		e = view_find(&ms->view, &s.id);
		if (e && s.incarnation == e->member->incarnation)
			suspicion_heard(n, e, s.incarnation, &s.from, !s.dead);
	}
	return true;
}

void gossip_start(struct node *n)
{
	struct gossip *g = of(n);

	for (unsigned int i = 0; i < GOSSIP_KINDS * GOSSIP_SENT_MAX; i++)
		list_init(&g->told[0][0] + i);
	g->timer.due = tell_some;
}

void gossip_end(struct node *n)
{
	struct gossip *g = of(n);

	for (unsigned int i = 0; i < GOSSIP_KINDS * GOSSIP_SENT_MAX; i++) {
		struct list *told = &g->told[0][0] + i;

		while (!list_empty(told))
			gossip_forget(n, list_item(told->next, struct news, link)->owner);
	}
	timer_stop(n, &g->timer);
}
