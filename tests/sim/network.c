/*
 * Connections that carry bytes.
 *
 * A connection has two pipes, one a direction, each a queue of segments with the time of their arrival, which only grows: a stream has
 * no holes and nothing overtakes.  One delivery is planned a pipe, that of the first segment; where the network lets nothing through it
 * waits, and network_changed() wakes it.  A connection is freed when no end and no planned event knows it any more.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/host.h"
#include "tests/sim/network_impl.h"
#include "tests/sim/trace.h"

#define WINDOW	    (256u << 10)	/* bytes of one direction that are not acknowledged */
#define AHEAD	    (5 * MS)		/* of the uplink, that a socket takes: TCP_NOTSENT_LOWAT */
#define SYN_AGAIN   (1 * S)		/* doubled each time */
#define SYN_TRIES   4u

static void fire_delivery(struct world *w, void *arg, uint64_t side);

void network_open(struct world *w)
{
	struct net *n = must(calloc(1, sizeof(*n)));

	list_init(&n->connections);
	dice_seed(&n->dice, w->options.seed, 1);
	/* One for all machines of a run: the core must get along with any. */
	n->patience = dice_between(&n->dice, 15, 120) * S;
	w->net = n;
}

void pipe_clear(struct pipe *p)
{
	for (struct segment *s = p->first, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	p->first = p->last = NULL;
}

static void free_connection(struct net *n, struct connection *c)
{
	pipe_clear(&c->pipe[0]);
	pipe_clear(&c->pipe[1]);
	list_remove(&c->link);
	n->count--;
	free(c);
}

void network_close(struct world *w)
{
	while (!list_empty(&w->net->connections))
		free_connection(w->net, list_item(w->net->connections.next, struct connection, link));
	free(w->net);
}

void connection_plan(struct world *w, struct connection *c, uint64_t at,
    void (*fire)(struct world *w, void *arg, uint64_t number), uint64_t number)
{
	c->events++;
	world_plan(w, at, fire, c, number);
}

/* The end of an event, or of an end: does anybody still know the connection? */
static void let_go(struct world *w, struct connection *c)
{
	if (c->events == 0 && !c->end[0] && !c->end[1])
		free_connection(w->net, c);
}

bool network_blocked(const struct world *w, const struct host *from, const struct host *to)
{
	return from->off || to->off || w->net->blocked[from->group][to->group];
}

uint64_t network_latency(struct world *w, const struct host *from, const struct host *to)
{
	const struct options *o = &w->options;
	unsigned int distance = (unsigned int)(abs(from->x - to->x) + abs(from->y - to->y));
	uint64_t us = o->latency_min + (o->latency_max - o->latency_min) * distance / 2000;

	/* Machines stand in a square: two that are near to a third are near to each other. */
	us += dice_below(&w->net->dice, us / 8 + 1);
	for (unsigned int i = 0; i < NETWORK_CLOGS; i++) {
		const struct clog *c = &w->net->clog[i];

		if (c->delay > 0 && (c->from < 0 || (unsigned int)c->from == from->index) &&
		    (c->to < 0 || (unsigned int)c->to == to->index))
			us += dice_below(&w->net->dice, c->delay);
	}
	return us;
}

void pipe_deliver(struct world *w, struct connection *c, unsigned int side, uint64_t at)
{
	struct pipe *p = &c->pipe[side];

	if (p->planned || !p->first)
		return;
	p->planned = true;
	p->waiting = false;
	connection_plan(w, c, at, fire_delivery, side);
}

void connection_break(struct world *w, void *arg, uint64_t side)
{
	struct connection *c = arg;
	struct hostlink *end = c->end[side];

	c->events--;
	/* A process that stands still learns of it when it goes on. */
	if (end && host_ready(c->host[side]) > w->now) {
		connection_plan(w, c, host_ready(c->host[side]), connection_break, side);
		return;
	}
	c->end[side] = NULL;
	if (end)
		host_broken(end, -ECONNRESET);
	let_go(w, c);
}

static void append(struct world *w, struct connection *c, unsigned int side, enum segment_kind kind,
    const uint8_t *bytes, size_t len, uint64_t leaves)
{
	struct pipe *p = &c->pipe[side];
	uint64_t at = leaves + network_latency(w, c->host[side], c->host[!side]);
	struct segment *s;

	if (c->cut) {
		if (c->end[side])
			connection_plan(w, c, at, connection_break, side);
		return;
	}
	/* Latency is drawn for each: one that would overtake comes together with the one ahead of it. */
	s = must(malloc(sizeof(*s) + len));
	if (at < p->arrival)
		at = p->arrival;
	p->arrival = at;
	*s = (struct segment){ .arrival = at, .len = (uint32_t)len, .kind = kind };
	if (len > 0)
		memcpy(s->bytes, bytes, len);
	if (p->last)
		p->last->next = s;
	else
		p->first = s;
	p->last = s;
	pipe_deliver(w, c, side, p->first->arrival);
}

/* The kernel's patience: what was sent has not been acknowledged for too long. */
static void fire_patience(struct world *w, void *arg, uint64_t number)
{
	struct connection *c = arg;
	unsigned int side = number & 1;
	struct pipe *p = &c->pipe[side];
	struct hostlink *end = c->end[side];

	c->events--;
	if (end && p->stuck == number >> 1) {
		c->end[side] = NULL;
		pipe_clear(p);
		host_broken(end, -ETIMEDOUT);
	}
	let_go(w, c);
}

/* ${stuck} is odd while it runs, and counts: an event of an earlier patience finds another number. */
static void lose_patience(struct world *w, struct connection *c, unsigned int side)
{
	struct pipe *p = &c->pipe[side];

	if (p->stuck % 2 == 1)
		return;
	p->stuck++;
	connection_plan(w, c, w->now + w->net->patience, fire_patience, p->stuck << 1 | side);
}

static void calm(struct pipe *p)
{
	p->stuck += p->stuck % 2;
}

static void fire_room(struct world *w, void *arg, uint64_t side)
{
	struct connection *c = arg;

	c->events--;
	if (c->end[side] && host_ready(c->host[side]) > w->now) {
		connection_plan(w, c, host_ready(c->host[side]), fire_room, side);
		return;
	}
	if (c->end[side] && c->pipe[side].wants_room) {
		c->pipe[side].wants_room = false;
		host_room(c->end[side]);
	}
	let_go(w, c);
}

/* The acknowledgement needs the way back: where that is blocked the window fills up, and patience runs. */
void pipe_acknowledge(struct world *w, struct connection *c, unsigned int side, size_t len)
{
	struct pipe *p = &c->pipe[side];

	if (network_blocked(w, c->host[!side], c->host[side])) {
		p->held_back += len;
		lose_patience(w, c, side);
		return;
	}
	p->in_flight -= len + p->held_back;
	p->held_back = 0;
	calm(p);
	if (p->wants_room && c->end[side])
		connection_plan(w, c, w->now + network_latency(w, c->host[!side], c->host[side]), fire_room, side);
}

static void deliver(struct world *w, struct connection *c, unsigned int side, struct segment *s)
{
	struct hostlink *end = c->end[!side];
	size_t first = s->len;

	if (s->kind == SEGMENT_ANSWER) {
		if (end)
			host_connected(end);
		return;
	}
	if (s->kind != SEGMENT_DATA) {
		c->end[!side] = NULL;
		if (end)
			host_broken(end, s->kind == SEGMENT_END ? 0 : -ECONNRESET);
		return;
	}
	pipe_acknowledge(w, c, side, s->len);
	if (!end) {
		/* Nobody there any more: the kernel says so. */
		connection_plan(w, c, w->now + network_latency(w, c->host[!side], c->host[side]), connection_break, side);
		return;
	}
	/* A stream has no messages: now and then it comes in two pieces. */
	if (s->len > 1 && dice_below(&w->net->dice, 16) == 0)
		first = 1 + dice_below(&w->net->dice, s->len - 1);
	host_received(end, s->bytes, first);
	if (first < s->len && c->end[!side] == end)
		host_received(end, s->bytes + first, s->len - first);
}

static void fire_delivery(struct world *w, void *arg, uint64_t side)
{
	struct connection *c = arg;
	struct pipe *p = &c->pipe[side];
	struct segment *s = p->first;
	struct host *to = c->host[!side];
	uint64_t at;

	c->events--;
	p->planned = false;
	if (!s) {
		let_go(w, c);
		return;
	}
	if (network_blocked(w, c->host[side], to)) {
		p->waiting = true;
		lose_patience(w, c, (unsigned int)side);
		return;
	}
	at = s->arrival > p->stall_until ? s->arrival : p->stall_until;
	if (host_ready(to) > at)
		at = host_ready(to);
	if (at > w->now) {
		pipe_deliver(w, c, (unsigned int)side, at);
		return;
	}
	p->first = s->next;
	if (!p->first)
		p->last = NULL;
	c->events++;		/* stays while it is in use here */
	deliver(w, c, (unsigned int)side, s);
	free(s);
	if (p->first)
		pipe_deliver(w, c, (unsigned int)side, p->first->arrival);
	c->events--;
	let_go(w, c);
}

size_t network_write(struct connection *c, struct hostlink *end, const uint8_t *bytes, size_t len)
{
	unsigned int side = c->end[1] == end;
	struct host *h = c->host[side];
	struct world *w = h->world;
	struct pipe *p = &c->pipe[side];

	assert(c->end[side] == end);
	if (p->in_flight >= WINDOW) {
		p->wants_room = true;
		return 0;
	}
	if (h->uplink_free > w->now + AHEAD) {
		if (!p->wants_room) {
			p->wants_room = true;
			connection_plan(w, c, h->uplink_free, fire_room, side);
		}
		return 0;
	}
	if (h->uplink_free < w->now)
		h->uplink_free = w->now;
	h->uplink_free += len * S / h->bandwidth;
	p->in_flight += len;
	append(w, c, side, SEGMENT_DATA, bytes, len, h->uplink_free);
	return len;
}

void network_hang_up(struct connection *c, struct hostlink *end, enum hang_up how)
{
	unsigned int side = c->end[1] == end;
	struct world *w = c->host[side]->world;

	assert(c->end[side] == end);
	c->end[side] = NULL;
	/* What was on its way here meets a closed end, and is answered by a reset, unless the machine is off. */
	if (how == HANG_UP_SILENT)
		pipe_clear(&c->pipe[side]);
	else
		append(w, c, side, how == HANG_UP_CLOSE ? SEGMENT_END : SEGMENT_RESET, NULL, 0, w->now);
	let_go(w, c);
}

static void fire_syn(struct world *w, void *arg, uint64_t tries)
{
	struct connection *c = arg;
	struct host *from = c->host[0], *to = c->host[1];

	c->events--;
	if (!c->end[0]) {
		let_go(w, c);
	} else if (network_blocked(w, from, to) || network_blocked(w, to, from)) {
		/* Who dialled has a timeout of his own; the kernel's is longer. */
		if (tries < SYN_TRIES)
			connection_plan(w, c, w->now + (SYN_AGAIN << tries), fire_syn, tries + 1);
	} else if (!to->node) {
		connection_plan(w, c, w->now + network_latency(w, to, from), connection_break, 0);
	} else if (host_ready(to) > w->now) {
		connection_plan(w, c, host_ready(to), fire_syn, tries);
	} else {
		c->end[1] = host_accept(to, c);
		if (c->end[1])
			append(w, c, 1, SEGMENT_ANSWER, NULL, 0, w->now);
		else
			connection_plan(w, c, w->now + network_latency(w, to, from), connection_break, 0);
	}
}

struct connection *network_dial(struct world *w, struct host *from, struct host *to, struct hostlink *end)
{
	struct connection *c = must(calloc(1, sizeof(*c)));

	c->host[0] = from;
	c->host[1] = to;
	c->end[0] = end;
	list_append(&w->net->connections, &c->link);
	w->net->count++;
	connection_plan(w, c, w->now + network_latency(w, from, to), fire_syn, 0);
	return c;
}

unsigned int network_connections(const struct world *w)
{
	return w->net->count;
}
