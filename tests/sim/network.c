#include "tests/sim/network.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/list.h"
#include "tests/sim/host.h"
#include "tests/sim/trace.h"

#define WINDOW	    (256u << 10)	/* bytes of one direction that are not acknowledged */
#define AHEAD	    (5 * MS)		/* of the uplink, that a socket takes: TCP_NOTSENT_LOWAT */
#define SYN_AGAIN   (1 * S)		/* doubled each time */
#define SYN_TRIES   4u

/* SEGMENT_ANSWER: to a dial: it stands in the stream, so that what was written by who was called doesn't overtake it. */
enum segment_kind { SEGMENT_DATA, SEGMENT_ANSWER, SEGMENT_END, SEGMENT_RESET };

struct segment {
	struct segment *next;
	uint64_t arrival;
	uint32_t len;
	enum segment_kind kind;
	uint8_t bytes[];
};

/* One direction.  At most one delivery is planned: that of the first segment. */
struct pipe {
	struct segment *first, *last;
	uint64_t arrival;		/* of the last: nothing overtakes */
	uint64_t stall_until;
	size_t in_flight;		/* bytes written and not acknowledged ... */
	size_t held_back;		/* ... of these delivered, but no acknowledgement came through */
	uint64_t stuck;			/* which time the kernel's patience runs for; even: it does not */
	bool planned, wants_room, waiting;	/* waiting: for the network to let something through */
};

struct connection {
	struct list link;
	unsigned int events;		/* planned ones that name it */
	struct host *host[2];		/* 0 dialled */
	struct hostlink *end[2];	/* NULL: hung up, or gone with its process */
	struct pipe pipe[2];		/* [i]: from end i to the other */
	bool cut;			/* nothing that is written arrives: who writes is told so, some time later */
};

struct clog {
	int from, to;
	uint64_t delay;
};

struct net {
	struct list connections;	/* in the order in which they were dialled */
	unsigned int count;
	bool blocked[NETWORK_GROUPS][NETWORK_GROUPS];
	struct clog clog[NETWORK_CLOGS];
	struct dice dice;
	uint64_t patience;		/* us until a kernel gives a connection up */
};

static void fire_delivery(struct world *w, void *arg, uint64_t side);

void network_open(struct world *w)
{
	struct net *n = must(calloc(1, sizeof(*n)));

	list_init(&n->connections);
	dice_seed(&n->dice, w->options.seed, 1);
	n->patience = dice_between(&n->dice, 15, 120) * S;
	w->net = n;
}

static void free_segments(struct pipe *p)
{
	for (struct segment *s = p->first, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	p->first = p->last = NULL;
}

static void free_connection(struct net *n, struct connection *c)
{
	free_segments(&c->pipe[0]);
	free_segments(&c->pipe[1]);
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

static void plan(struct world *w, struct connection *c, uint64_t at,
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

	us += dice_below(&w->net->dice, us / 8 + 1);
	for (unsigned int i = 0; i < NETWORK_CLOGS; i++) {
		const struct clog *c = &w->net->clog[i];

		if (c->delay > 0 && (c->from < 0 || (unsigned int)c->from == from->index) &&
		    (c->to < 0 || (unsigned int)c->to == to->index))
			us += dice_below(&w->net->dice, c->delay);
	}
	return us;
}

static void plan_delivery(struct world *w, struct connection *c, unsigned int side, uint64_t at)
{
	struct pipe *p = &c->pipe[side];

	if (p->planned || !p->first)
		return;
	p->planned = true;
	p->waiting = false;
	plan(w, c, at, fire_delivery, side);
}

static void fire_break(struct world *w, void *arg, uint64_t side)
{
	struct connection *c = arg;
	struct hostlink *end = c->end[side];

	c->events--;
	if (end && host_ready(c->host[side]) > w->now) {
		plan(w, c, host_ready(c->host[side]), fire_break, side);
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
			plan(w, c, at, fire_break, side);
		return;
	}
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
	plan_delivery(w, c, side, p->first->arrival);
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
		free_segments(p);
		host_broken(end, -ETIMEDOUT);
	}
	let_go(w, c);
}

static void lose_patience(struct world *w, struct connection *c, unsigned int side)
{
	struct pipe *p = &c->pipe[side];

	if (p->stuck % 2 == 1)
		return;
	p->stuck++;
	plan(w, c, w->now + w->net->patience, fire_patience, p->stuck << 1 | side);
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
		plan(w, c, host_ready(c->host[side]), fire_room, side);
		return;
	}
	if (c->end[side] && c->pipe[side].wants_room) {
		c->pipe[side].wants_room = false;
		host_room(c->end[side]);
	}
	let_go(w, c);
}

static void acknowledge(struct world *w, struct connection *c, unsigned int side, size_t len)
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
		plan(w, c, w->now + network_latency(w, c->host[!side], c->host[side]), fire_room, side);
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
	acknowledge(w, c, side, s->len);
	if (!end) {
		/* Nobody there any more: the kernel says so. */
		plan(w, c, w->now + network_latency(w, c->host[!side], c->host[side]), fire_break, side);
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
		plan_delivery(w, c, (unsigned int)side, at);
		return;
	}
	p->first = s->next;
	if (!p->first)
		p->last = NULL;
	c->events++;		/* stays while it is in use here */
	deliver(w, c, (unsigned int)side, s);
	free(s);
	if (p->first)
		plan_delivery(w, c, (unsigned int)side, p->first->arrival);
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
			plan(w, c, h->uplink_free, fire_room, side);
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
		free_segments(&c->pipe[side]);
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
			plan(w, c, w->now + (SYN_AGAIN << tries), fire_syn, tries + 1);
	} else if (!to->node) {
		plan(w, c, w->now + network_latency(w, to, from), fire_break, 0);
	} else if (host_ready(to) > w->now) {
		plan(w, c, host_ready(to), fire_syn, tries);
	} else {
		c->end[1] = host_accept(to, c);
		if (c->end[1])
			append(w, c, 1, SEGMENT_ANSWER, NULL, 0, w->now);
		else
			plan(w, c, w->now + network_latency(w, to, from), fire_break, 0);
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
	plan(w, c, w->now + network_latency(w, from, to), fire_syn, 0);
	return c;
}

unsigned int network_connections(const struct world *w)
{
	return w->net->count;
}

/* Something has changed: what waited tries again, some time later, as kernels do, whose tries get rarer. */
void network_changed(struct world *w)
{
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);

		for (unsigned int side = 0; side < 2; side++) {
			struct pipe *p = &c->pipe[side];
			uint64_t later = w->now + dice_below(&w->net->dice, 2 * S);

			if (p->waiting && !network_blocked(w, c->host[side], c->host[!side]))
				plan_delivery(w, c, side, later);
			if (p->held_back > 0 && !network_blocked(w, c->host[!side], c->host[side]))
				acknowledge(w, c, side, 0);
		}
	}
}

void network_group(struct world *w, const struct host *h, unsigned int group)
{
	assert(group < NETWORK_GROUPS);
	w->host[h->index]->group = (uint8_t)group;
}

void network_block(struct world *w, unsigned int from, unsigned int to, bool blocked)
{
	w->net->blocked[from][to] = blocked;
	if (!blocked)
		network_changed(w);
}

void network_clog(struct world *w, unsigned int place, int from, int to, uint64_t delay)
{
	assert(place < NETWORK_CLOGS);
	w->net->clog[place] = (struct clog){ from, to, delay };
}

void network_heal(struct world *w)
{
	memset(w->net->blocked, 0, sizeof(w->net->blocked));
	memset(w->net->clog, 0, sizeof(w->net->clog));
	for (unsigned int i = 0; i < w->hosts; i++)
		w->host[i]->group = 0;
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);

		c->pipe[0].stall_until = c->pipe[1].stall_until = 0;
	}
	network_changed(w);
}

void network_stall(struct world *w, unsigned int permille, uint64_t until)
{
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);

		if (dice_below(&w->net->dice, 1000) < permille)
			c->pipe[dice_below(&w->net->dice, 2)].stall_until = until;
	}
}

void network_reset(struct world *w, unsigned int permille, bool one_end)
{
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);
		unsigned int side = (unsigned int)dice_below(&w->net->dice, 2);

		if (dice_below(&w->net->dice, 1000) >= permille)
			continue;
		free_segments(&c->pipe[0]);
		free_segments(&c->pipe[1]);
		c->cut = true;
		plan(w, c, w->now, fire_break, side);
		if (!one_end)
			plan(w, c, w->now, fire_break, !side);
	}
}
