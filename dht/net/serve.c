/*
 * A request's states:
 *
 *   state    | event                                        | function        | next
 *   ---------+----------------------------------------------+-----------------+----------------------------
 *   -        | its peer has its share of places; no table;  | admit           | -: WIRE_BUSY
 *            | its peer has left, or was evicted            |                 |
 *   -        | another table                                | admit           | -: WIRE_OTHER_PLACEMENT
 *   -        | it can be worked on now                      | work_on, begin  | in work
 *   -        | its answer may be long, and its link is      | work_on         | in line
 *            | full, or has SERVED_WORK_MAX of these; or it |                 |
 *            | is a read for repair, and others read        |                 |
 *   in line  | its turn                                     | turn, begin     | in work
 *   in line  | its turn, but the table is another one now   | turn            | -: WIRE_OTHER_PLACEMENT
 *   in line  | its link is down                             | serve_lost      | -
 *   in work  | the machine has its answer                   | serve_answer    | -
 *
 * Answers are not held back: so what a peer that asks, and does not read, can make us queue is what is in work when
 * its link is full, and small answers up to UNREAD_MAX (of all peers: UNREAD_ALL_MAX); then it loses the link.  Requests
 * with bytes of their own never wait in line: two nodes that both push at each other would wait for each other's credit
 * for ever.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dht/net/node_core.h"

#define ANSWER_COST 128u	/* bytes that a queued answer costs besides its own */

/* The credit of those in line is never all that a link has. */
_Static_assert(SERVED_PEER_MAX * SERVED_LINE_BYTES < LINK_CREDIT_MIN, "others get through");

struct serve {
	struct list all, line;	/* in work; in line */
	unsigned int count;	/* of both */
	unsigned int reads;	/* in work, that somebody waits for */
	uint64_t calm;		/* none is: from when on it counts that no other followed the last one */
	size_t bytes;		/* of the requests' bodies */
	struct timer turn;
};

static void turn(struct node *n, struct timer *t);

int serve_new(struct node *n)
{
	n->serve = calloc(1, sizeof(*n->serve));
	if (!n->serve)
		return -ENOMEM;
	list_init(&n->serve->all);
	list_init(&n->serve->line);
	n->serve->turn.due = turn;
	return 0;
}

/* Not at once: an answer calls no machine from within. */
void serve_turn(struct node *n)
{
	if (!list_empty(&n->serve->line))
		timer_set(n, &n->serve->turn, n->now);
}

static bool is_read(const struct served *s, enum link_priority priority)
{
	return s->type == WIRE_GET && s->priority == priority;
}

/* Its peer and link may go now, as far as it is concerned. */
static void forget(struct node *n, struct served *s)
{
	struct peer_link *l = links_find(n, s->via);

	if (l) {
		l->served--;
		l->working -= s->working;
		link_used(n, l);
	}
	s->peer->served--;
	s->peer->used = n->now;
	n->serve->count--;
	n->serve->bytes -= s->body->len;
	if (s->working && is_read(s, LINK_READ)) {
		n->serve->reads--;
		n->serve->calm = n->now + SERVED_CALM;
	}
	list_remove(&s->link);
	chunk_drop(s->body);
	free(s);
	dials_turn(n);
	serve_turn(n);
}

void serve_free(struct node *n)
{
	if (!n->serve)
		return;
	while (!list_empty(&n->serve->all))
		forget(n, list_item(n->serve->all.next, struct served, link));
	while (!list_empty(&n->serve->line))
		forget(n, list_item(n->serve->line.next, struct served, link));
	timer_stop(n, &n->serve->turn);
	free(n->serve);
	n->serve = NULL;
}

size_t serve_memory(const struct node *n)
{
	return sizeof(*n->serve) + n->serve->count * sizeof(struct served) + n->serve->bytes;
}

/* The sender may send as much again.  Control messages have no credit. */
static void consumed(struct node *n, uint32_t link, enum link_priority priority, uint32_t len)
{
	struct effect e = { .kind = EFFECT_CONSUMED, .link = link, .count = len };

	if (priority != LINK_CONTROL)
		effects_put(n, &e);
}

static void answer(struct node *n, struct peer_link *l, uint32_t request, enum link_priority priority, struct message *m,
    struct chunk *tail)
{
	struct chunk *head;
	size_t bytes;

	m->type = WIRE_ANSWER;
	m->request = request;
	if (message_encode(n, m, tail, &head) != 0)
		return;
	bytes = ANSWER_COST + head->len + (tail ? tail->len : 0);
	message_send(n, l->number, WIRE_ANSWER, request, priority, head, tail);
	if (l->full)
		links_unread(n, l, bytes);
}

void serve_answer(struct node *n, struct served *s, struct message *m, struct chunk *tail)
{
	struct peer_link *l = links_find(n, s->via);

	/* Without the memory for it there is no answer: the other side waits no longer than its timeout. */
	if (l && !l->closing) {
		answer(n, l, s->request, s->priority, m, tail);
		consumed(n, s->via, s->priority, s->body->len);
	}
	forget(n, s);
}

void serve_status(struct node *n, struct served *s, enum wire_status status)
{
	struct message m = { .status = status };

	serve_answer(n, s, &m, NULL);
}

/* An answer to what is not worked on at all. */
static void refuse(struct node *n, struct peer_link *l, const struct link_message *m, struct message *a)
{
	answer(n, l, m->request, m->priority, a, NULL);
	consumed(n, l->number, m->priority, m->body->len);
}

static bool other_placement(struct node *n, struct peer_link *l, const struct message *m, struct message *out)
{
	if (!(m->has & WIRE_HAS(FIELD_PLACEMENT)) || address_equal(&m->placement, placement_hash(n)))
		return false;
	*out = (struct message){ .status = WIRE_OTHER_PLACEMENT, .has = WIRE_HAS(FIELD_PLACEMENT) };
	out->placement = *placement_hash(n);
	peer_differs(n, l->peer);
	return true;
}

/* May it wait in line?  Its answer may be long, and it is short itself. */
static bool long_answer(unsigned int type)
{
	return type == WIRE_GET || type == WIRE_TRIE || type == WIRE_LIST || type == WIRE_LEASES || type == WIRE_LEASED ||
	    type == WIRE_HEAD || type == WIRE_HEADS;
}

static bool room(const struct peer_link *l)
{
	return !l->full && l->working < SERVED_WORK_MAX;
}

/* Until when a read for repair gives way to others; 0: not now. */
static uint64_t yields_until(const struct node *n, const struct served *s)
{
	uint64_t until = s->came + SERVED_YIELD;

	if (n->serve->reads == 0 && n->serve->calm < until)
		until = n->serve->calm;
	return is_read(s, LINK_REPAIR) && n->now < until ? until : 0;
}

/* Of the free places each peer may have its share; so some always stay free for those who have none yet.
 * Source: Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches (1998). */
static bool place_for(const struct node *n, const struct peer *p)
{
	unsigned int left = SERVED_MAX - n->serve->count;

	return p->served ? p->served < SERVED_PEER_MAX && p->served < left / SERVED_SHARE : left > 0;
}

/* May the request be worked on, now or later?  Otherwise it is answered here. */
static bool admit(struct node *n, struct peer_link *l, const struct link_message *in, const struct message *m)
{
	struct message busy = { .status = WIRE_BUSY }, other;

	/* Who is gone is told so by membership; until it believes that, nothing is given to it or taken from it. */
	if (!place_for(n, l->peer) || !placement(n) || membership_gone(n, &l->peer->id) ||
	    (long_answer(in->type) && !room(l) && in->body->len > SERVED_LINE_BYTES)) {
		refuse(n, l, in, &busy);
		return false;
	}
	if (other_placement(n, l, m, &other)) {
		refuse(n, l, in, &other);
		return false;
	}
	return true;
}

static void begin(struct node *n, struct peer_link *l, struct served *s, const struct message *m)
{
	s->working = long_answer(s->type);
	l->working += s->working;
	n->serve->reads += is_read(s, LINK_READ);
	list_append(&n->serve->all, &s->link);
	if (!machines_request(n, s, m))
		serve_status(n, s, WIRE_BAD);
}

static void turn(struct node *n, struct timer *t)
{
	struct serve *serve = list_item(t, struct serve, turn);
	struct list *at = serve->line.next;
	uint64_t next = 0;

	/* Nothing joins or leaves the line meanwhile but what is taken out here: peers are heard between timers only. */
	while (at != &serve->line) {
		struct served *s = list_item(at, struct served, link);
		struct peer_link *l = links_find(n, s->via);
		struct message m, other;

		at = at->next;
		if (l->closing || !room(l))
			continue;
		if (yields_until(n, s)) {
			/* Who came first is first in line. */
			next = next ? next : yields_until(n, s);
			continue;
		}
		list_remove(&s->link);
		if (wire_decode(s->type, s->request, s->body->data, s->body->len, &m) != 0)
			assert(!"it was good when it came");
		if (other_placement(n, l, &m, &other))
			serve_answer(n, s, &other, NULL);
		else
			begin(n, l, s, &m);
	}
	/* An answer may have been given at once, and wants its own turn. */
	if (next && !timer_busy(t))
		timer_set(n, t, next);
}

void serve_lost(struct node *n, uint32_t via)
{
	struct list *at = n->serve->line.next;

	while (at != &n->serve->line) {
		struct served *s = list_item(at, struct served, link);

		at = at->next;
		if (s->via == via)
			forget(n, s);
	}
}

static void work_on(struct node *n, struct peer_link *l, struct link_message *in, const struct message *m)
{
	struct served *s = calloc(1, sizeof(*s));
	struct message busy = { .status = WIRE_BUSY };

	if (!s) {
		refuse(n, l, in, &busy);
		return;
	}
	*s = (struct served){
		.peer = l->peer, .type = in->type, .request = in->request, .via = l->number, .priority = in->priority,
		.came = n->now, .body = in->body,
	};
	in->body = NULL;
	list_init(&s->link);
	n->serve->count++;
	n->serve->bytes += s->body->len;
	l->peer->served++;
	l->served++;
	link_used(n, l);
	if (!long_answer(s->type) || (room(l) && !yields_until(n, s))) {
		begin(n, l, s, m);
		return;
	}
	list_append(&n->serve->line, &s->link);
	if (room(l) && !timer_busy(&n->serve->turn))
		timer_set(n, &n->serve->turn, yields_until(n, s));
}

static void broken(struct node *n, struct peer_link *l, const struct link_message *m, const char *what)
{
	char why[80];

	snprintf(why, sizeof(why), "broke the protocol: %s %s", what, wire_type_name(m->type));
	link_close(n, l, why);
}

void serve_message(struct node *n, struct peer_link *l, struct link_message *in)
{
	struct peer *p = l->peer;
	struct message m;
	int r;

	n->status.received[in->priority] += in->body->len;
	l->heard = p->heard = n->now;
	l->spoke = true;
	membership_heard(n, p);
	if (wire_known(in->type) && (in->priority == LINK_CONTROL) == (wire_is_request(in->type) || in->type == WIRE_ANSWER)) {
		broken(n, l, in, "the wrong priority of");
	} else if (in->type == WIRE_ANSWER) {
		if (calls_answer(n, p, in))
			consumed(n, l->number, in->priority, in->body->len);
		else
			broken(n, l, in, "malformed");
	} else {
		r = wire_decode(in->type, in->request, in->body->data, in->body->len, &m);
		if (r == -EBADMSG) {
			broken(n, l, in, "malformed");
		} else if (r == 0 && wire_is_request(in->type)) {
			if (admit(n, l, in, &m))
				work_on(n, l, in, &m);
		} else {
			/* A type of a later version is skipped. */
			if (r == 0)
				membership_message(n, p, &m);
			consumed(n, l->number, in->priority, in->body->len);
		}
	}
	chunk_drop(in->body);
	in->body = NULL;
}
