/*
 * A call's states:
 *
 *   state    | event                                     | function           | next, and what done() is told
 *   ---------+-------------------------------------------+--------------------+------------------------------
 *   -        | call_start; the peer can be asked         | call_start         | in line
 *   -        | call_start; it can't, or over CALLS_MAX   | call_start, due    | -: -EHOSTUNREACH, -EBUSY (a moment later)
 *   in line  | a link with room, and its turn            | calls_send         | sent
 *   in line  | no address answers                        | calls_unreachable  | -: -EHOSTUNREACH
 *   sent     | the answer                                | calls_answer       | -: 0, -EBADMSG
 *   sent     | its link is down                          | calls_lost         | -: -EHOSTUNREACH
 *   in line, sent | its time is up                       | due                | -: -ETIMEDOUT
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "dht/net/node_core.h"

#define PLACES	 CALLS_PEER_MAX	/* a request's number: its place there in the low bits, and a count */
#define ELDEST	 10u		/* each tenth that is sent is the one that has waited longest, whatever its priority */

_Static_assert((PLACES & (PLACES - 1)) == 0, "places are bits of a number");

struct calls {
	unsigned int count;
	uint32_t numbers;
	size_t bytes;
};

/* While a peer has any calls. */
struct peer_flight {
	struct list waiting[LINK_PRIORITIES];
	struct call *sent[PLACES];
	unsigned int count, repair;	/* sent, and of those: repair */
	unsigned int turns;
};

int calls_new(struct node *n)
{
	n->calls = calloc(1, sizeof(*n->calls));
	return n->calls ? 0 : -ENOMEM;
}

void calls_free(struct node *n)
{
	/* Whoever waited has stopped his calls. */
	assert(!n->calls || n->calls->count == 0);
	free(n->calls);
	n->calls = NULL;
}

size_t calls_memory(const struct node *n)
{
	return sizeof(*n->calls) + n->calls->bytes;
}

unsigned int calls_count(const struct node *n)
{
	return n->calls->count;
}

int message_encode(struct node *n, struct message *m, struct chunk *tail, struct chunk **out)
{
	size_t size;
	uint8_t *data;
	int r;

	if (wire_is_request(m->type)) {
		/* Its number is not known before it is sent, and no part of these bytes. */
		m->request = 1;
		if (wire_takes(m->type, FIELD_PLACEMENT)) {
			m->placement = *placement_hash(n);
			m->has |= WIRE_HAS(FIELD_PLACEMENT);
		}
	}
	if (tail) {
		m->bytes = (struct wire_slice){ tail->data, tail->len };
		m->has |= WIRE_HAS(FIELD_BYTES);
	}
	size = wire_size(m, tail != NULL);
	*out = chunk_new(size, &data);
	if (!*out)
		return -ENOMEM;
	r = wire_encode(m, tail != NULL, data, size);
	/* Too long: whoever made it broke a bound of his. */
	assert(r >= 0 && (size_t)r == size);
	return 0;
}

void message_send(struct node *n, uint32_t link, unsigned int type, uint32_t request, enum link_priority priority,
    struct chunk *head, struct chunk *tail)
{
	struct effect e = {
		.kind = EFFECT_SEND, .link = link, .type = type, .request = request, .priority = priority, .head = head,
		.tail = tail ? chunk_hold(tail) : NULL,
	};

	n->status.sent[priority] += head->len + (tail ? tail->len : 0);
	effects_put(n, &e);
}

static size_t call_bytes(const struct call *c)
{
	return (c->head ? c->head->len : 0) + (c->tail ? c->tail->len : 0);
}

/* The oldest of those that are sent. */
static void find_oldest(struct peer *p)
{
	p->oldest = UINT64_MAX;
	for (unsigned int i = 0; p->flight && i < PLACES; i++)
		if (p->flight->sent[i] && p->flight->sent[i]->sent < p->oldest)
			p->oldest = p->flight->sent[i]->sent;
}

/* It is over: out of the line or the window. */
static void take_out(struct node *n, struct call *c)
{
	struct peer *p = c->peer;
	struct peer_flight *f = p->flight;

	list_remove(&c->link);
	timer_stop(n, &c->timer);
	n->calls->bytes -= call_bytes(c);
	n->calls->count -= !c->refused;
	chunk_drop(c->head);
	chunk_drop(c->tail);
	c->head = c->tail = NULL;
	c->busy = false;
	p->calls--;
	if (c->via != 0) {
		struct peer_link *l = links_find(n, c->via);

		f->sent[c->request % PLACES] = NULL;
		f->count--;
		f->repair -= c->priority == LINK_REPAIR;
		if (l) {
			l->calls--;
			link_used(n, l);
		}
		if (c->sent == p->oldest)
			find_oldest(p);
		dials_turn(n);
	}
	if (p->calls == 0) {
		free(f);
		p->flight = NULL;
	}
	p->used = n->now;
}

static void finish(struct node *n, struct call *c, int result)
{
	take_out(n, c);
	c->done(n, c, result, NULL, NULL);
}

static void due(struct node *n, struct timer *t)
{
	struct call *c = list_item(t, struct call, timer);
	struct peer *p = c->peer;

	/* What it took to be given up is as good as an answer as long: or the worst would look like the best. */
	if (c->via != 0 && c->priority == LINK_READ)
		latency_sample(p, n->now - c->sent);
	finish(n, c, c->refused ? c->refused : -ETIMEDOUT);
	calls_send(n, p);
}

static struct peer_flight *flight(struct peer *p)
{
	if (!p->flight) {
		p->flight = calloc(1, sizeof(*p->flight));
		for (unsigned int i = 0; p->flight && i < LINK_PRIORITIES; i++)
			list_init(&p->flight->waiting[i]);
	}
	return p->flight;
}

void call_start(struct node *n, struct call *c, struct peer *peer, struct message *m, struct chunk *tail,
    enum link_priority priority, uint64_t timeout)
{
	struct peer_flight *f = flight(peer);

	assert(c->done && !c->busy && priority > LINK_CONTROL && priority < LINK_PRIORITIES);
	*c = (struct call){
		.peer = peer, .type = m->type, .priority = priority, .busy = true, .timer.due = due, .done = c->done,
	};
	list_init(&c->link);
	if (n->calls->count >= CALLS_MAX)
		c->refused = -EBUSY;
	else if (!f || message_encode(n, m, tail, &c->head) != 0)
		c->refused = -ENOMEM;
	else if (!dial_want(n, peer))
		c->refused = -EHOSTUNREACH;
	else
		c->tail = tail ? chunk_hold(tail) : NULL;
	n->calls->count += !c->refused;
	n->calls->bytes += call_bytes(c);
	peer->calls++;
	timer_set(n, &c->timer, c->refused ? n->now : n->now + timeout);
	if (c->refused)
		return;
	list_append(&f->waiting[priority], &c->link);
	calls_send(n, peer);
}

void call_stop(struct node *n, struct call *c)
{
	struct peer *p = c->peer;

	if (!c->busy)
		return;
	take_out(n, c);
	calls_send(n, p);
}

bool call_busy(const struct call *c)
{
	return c->busy;
}

/* The next one to go; NULL: none may. */
static struct call *next(struct peer_flight *f)
{
	struct call *best = NULL;

	for (unsigned int i = LINK_READ; i < LINK_PRIORITIES; i++) {
		struct call *c;

		if (list_empty(&f->waiting[i]) || (i == LINK_REPAIR && f->repair == CALLS_REPAIR_MAX))
			continue;
		c = list_item(f->waiting[i].next, struct call, link);
		if (!best || (f->turns % ELDEST == ELDEST - 1 && c->timer.order < best->timer.order))
			best = c;
	}
	return best;
}

void calls_send(struct node *n, struct peer *p)
{
	struct peer_link *l = p->link != 0 ? links_find(n, p->link) : NULL;
	struct peer_flight *f = p->flight;
	struct call *c;

	if (!l || l->full || !f)
		return;
	while (f->count < PLACES && (c = next(f))) {
		unsigned int place = 0;

		while (f->sent[place])
			place++;
		/* No number is 0, and none comes twice before 2^27 others. */
		if (++n->calls->numbers % (UINT32_MAX / PLACES + 1) == 0)
			n->calls->numbers = 1;
		c->request = n->calls->numbers * PLACES + place;
		c->via = l->number;
		c->sent = n->now;
		if (p->oldest == UINT64_MAX)
			p->oldest = n->now;
		list_remove(&c->link);
		f->sent[place] = c;
		f->count++;
		f->repair += c->priority == LINK_REPAIR;
		f->turns++;
		l->calls++;
		link_used(n, l);
		message_send(n, l->number, c->type, c->request, c->priority, chunk_hold(c->head), c->tail);
	}
}

bool calls_answer(struct node *n, struct peer *p, const struct link_message *m)
{
	struct call *c = p->flight ? p->flight->sent[m->request % PLACES] : NULL;
	struct message answer;

	/* One that was given up, or never made. */
	if (!c || c->request != m->request)
		return true;
	if (wire_decode(m->type, m->request, m->body->data, m->body->len, &answer) != 0) {
		finish(n, c, -EBADMSG);
		return false;
	}
	/* Who could not serve a chunk is judged by who asked for it: peer_lacked(). */
	if (c->priority == LINK_READ && (c->type != WIRE_GET || answer.status == WIRE_OK))
		latency_sample(p, n->now - c->sent);
	if (answer.status == WIRE_OTHER_PLACEMENT)
		peer_differs(n, p);
	take_out(n, c);
	c->done(n, c, 0, &answer, m->body);
	calls_send(n, p);
	return true;
}

void calls_lost(struct node *n, struct peer *p, uint32_t via)
{
	/* What is called back may start others, which go by another link. */
	for (unsigned int i = 0; i < PLACES && p->flight; i++)
		if (p->flight->sent[i] && p->flight->sent[i]->via == via)
			finish(n, p->flight->sent[i], -EHOSTUNREACH);
}

void calls_unreachable(struct node *n, struct peer *p)
{
	/* What is called back may start others, but none gets into line while the peer is in backoff. */
	for (unsigned int i = 0; i < LINK_PRIORITIES; i++)
		while (p->flight && !list_empty(&p->flight->waiting[i]))
			finish(n, list_item(p->flight->waiting[i].next, struct call, link), -EHOSTUNREACH);
}
