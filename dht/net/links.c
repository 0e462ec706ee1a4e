/*
 * A link's states:
 *
 *   state    | event                                   | function           | next
 *   ---------+-----------------------------------------+--------------------+----------
 *   -        | up; its peer has none                   | links_up           | in use
 *   -        | up; its peer has one: see stays()       | links_up, retire   | in use, and the other is emptied
 *   in use   | another one of its peer takes its place | retire             | emptied
 *   in use   | it broke the protocol, room is wanted   | link_close         | closing
 *   emptied  | quiet for LINK_RETIRE, nothing is open  | retired            | closing
 *   emptied  | the one in use is closing or down       | choose             | in use
 *   emptied  | one more of its peer is up              | retire             | closing
 *   any      | down                                    | links_down         | -
 *
 * What is emptied gets no new requests, but those under way are answered by it: so none is lost when both sides
 * dial at once, even where they don't agree on which link stays.  Whoever waits for something is told when the link
 * is down, not when it is closed: so closing one calls nobody back.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/node_core.h"

/* In the order of their numbers. */
struct links {
	struct peer_link **link;
	uint32_t *number;	/* of each: it is asked for with every message */
	unsigned int count, size;
	struct list used[2];	/* those that are not closing, of oldest use first; [1]: dialled by us */
	unsigned int open[2];	/* so many */
	uint64_t unread;	/* by all of them */
};

int links_new(struct node *n)
{
	n->links = calloc(1, sizeof(*n->links));
	if (!n->links)
		return -ENOMEM;
	list_init(&n->links->used[0]);
	list_init(&n->links->used[1]);
	return 0;
}

void links_free(struct node *n)
{
	struct links *s = n->links;

	if (!s)
		return;
	for (unsigned int i = 0; i < s->count; i++) {
		timer_stop(n, &s->link[i]->timer);
		free(s->link[i]);
	}
	free(s->link);
	free(s->number);
	free(s);
	n->links = NULL;
}

size_t links_memory(const struct node *n)
{
	const struct links *s = n->links;

	return sizeof(*s) + s->size * (sizeof(*s->link) + sizeof(*s->number)) + s->count * sizeof(struct peer_link);
}

unsigned int links_count(const struct node *n)
{
	return n->links->open[0] + n->links->open[1];
}

unsigned int links_dialled(const struct node *n)
{
	return n->links->open[1];
}

static unsigned int place(const struct links *s, uint32_t number)
{
	unsigned int low = 0, high = s->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (s->number[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct peer_link *links_find(struct node *n, uint32_t number)
{
	unsigned int i = place(n->links, number);

	return i < n->links->count && n->links->number[i] == number ? n->links->link[i] : NULL;
}

bool link_idle(const struct peer_link *l)
{
	return l->calls == 0 && l->served == 0;
}

bool links_give_way(struct node *n, bool ours)
{
	struct list *all = &n->links->used[ours];

	for (struct list *at = all->next; at != all; at = at->next) {
		struct peer_link *l = list_item(at, struct peer_link, by_use);

		if (!link_idle(l) || l->peer->calls > 0)
			continue;
		link_close(n, l, "idle, and there is a limit to connections");
		return true;
	}
	return false;
}

void link_used(struct node *n, struct peer_link *l)
{
	l->used = n->now;
	if (l->closing)
		return;
	list_remove(&l->by_use);
	list_append(&n->links->used[l->ours], &l->by_use);
}

/* What waited has gone out, or goes with the link. */
static void read_all(struct node *n, struct peer_link *l)
{
	n->links->unread -= l->unread;
	l->unread = 0;
}

/* The one that new requests go by. */
static struct peer_link *in_use(const struct peer *p)
{
	struct peer_link *l = p->links;

	while (l && (l->retiring || l->closing))
		l = l->next;
	return l;
}

/* Which one that is, now that it may be another. */
static void choose(struct node *n, struct peer *p)
{
	struct peer_link *l = in_use(p);

	for (struct peer_link *i = p->links; !l && i; i = i->next)
		if (!i->closing)
			l = i;
	if (l && l->retiring) {
		l->retiring = false;
		timer_stop(n, &l->timer);
	}
	p->link = l ? l->number : 0;
	p->used = n->now;
}

static void close_effect(struct node *n, uint32_t number, const char *why)
{
	struct effect e = { .kind = EFFECT_CLOSE, .link = number };

	strncpy(e.text, why, sizeof(e.text) - 1);
	effects_put(n, &e);
}

void link_close(struct node *n, struct peer_link *l, const char *why)
{
	if (l->closing)
		return;
	close_effect(n, l->number, why);
	read_all(n, l);
	l->closing = true;
	n->links->open[l->ours]--;
	list_remove(&l->by_use);
	timer_stop(n, &l->timer);
	choose(n, l->peer);
}

/* Out of all that knows it, but for the calls that went by it. */
static void detach(struct node *n, struct peer_link *l)
{
	struct links *s = n->links;
	struct peer_link **at = &l->peer->links;
	unsigned int i = place(s, l->number);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	assert(s->link[i] == l);
	read_all(n, l);
	memmove(&s->link[i], &s->link[i + 1], (--s->count - i) * sizeof(struct peer_link *));
	memmove(&s->number[i], &s->number[i + 1], (s->count - i) * sizeof(*s->number));
	if (!l->closing)
		s->open[l->ours]--;
	list_remove(&l->by_use);
	timer_stop(n, &l->timer);
	choose(n, l->peer);
}

void links_down(struct node *n, const struct event *e)
{
	struct peer_link *l = links_find(n, e->link);
	struct peer *p;
	bool of_use;

	if (e->result == -EEXIST)
		membership_cloned(n, "somebody who connected to us");
	if (!l)
		return;
	p = l->peer;
	of_use = l->spoke || n->now - l->since >= LINK_FRESH;
	detach(n, l);
	free(l);
	dial_lost(n, p, of_use);
	serve_lost(n, e->link);
	calls_lost(n, p, e->link);
	if (p->link == 0 && p->up) {
		p->up = false;
		membership_peer(n, p, false);
		machines_peer(n, p, false);
	}
	/* Those in line were not sent: another link will do. */
	if (p->link != 0)
		calls_send(n, p);
	else if (p->calls > 0 && !dial_want(n, p))
		calls_unreachable(n, p);
	if (n->links->count == 0)
		dials_alone(n);
	dials_turn(n);
}

static void retired(struct node *n, struct timer *t)
{
	struct peer_link *l = list_item(t, struct peer_link, timer);
	uint64_t last = l->heard > l->used ? l->heard : l->used;

	if (link_idle(l) && n->now - last >= LINK_RETIRE)
		link_close(n, l, "another connection took its place");
	else
		timer_set(n, t, n->now + LINK_RETIRE);
}

/* ${l} is emptied; one that is emptied already is closed. */
static void retire(struct node *n, struct peer_link *l)
{
	struct peer_link *older = NULL;
	unsigned int open = 0;

	for (struct peer_link *i = l->peer->links; i; i = i->next) {
		open += !i->closing;
		if (i->retiring && !i->closing)
			older = i;
	}
	if (older && open > LINKS_PEER_MAX)
		link_close(n, older, "too many connections of one node");
	l->retiring = true;
	timer_set(n, &l->timer, n->now + LINK_RETIRE);
}

/*
 * Does the older link stay the one in use?  Where both sides dialled at once, the one that the smaller id dialled stays:
 * so both keep the same one.  Otherwise whoever dialled anew knows that the older one is dead.
 */
static bool stays(const struct node *n, const struct peer_link *older, const struct peer_link *newer)
{
	if (older->ours == newer->ours || newer->since - older->since >= LINK_FRESH)
		return false;
	return older->ours == (address_compare(&n->id, &older->peer->id) < 0);
}

static struct peer_link *attach(struct node *n, struct peer *p, uint32_t number, bool ours)
{
	struct links *s = n->links;
	unsigned int i = place(s, number);
	struct peer_link *l, **at = &p->links;

	assert(i == s->count || s->number[i] != number);
	if (s->count == s->size) {
		unsigned int size = s->size > 0 ? 2 * s->size : 4;
		struct peer_link **more = realloc(s->link, size * sizeof(struct peer_link *));
		uint32_t *numbers;

		if (!more)
			return NULL;
		s->link = more;
		numbers = realloc(s->number, size * sizeof(*numbers));
		if (!numbers)
			return NULL;
		s->number = numbers;
		s->size = size;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	*l = (struct peer_link){
		.peer = p, .number = number, .ours = ours, .since = n->now, .used = n->now, .heard = n->now,
		.timer.due = retired,
	};
	memmove(&s->link[i + 1], &s->link[i], (s->count - i) * sizeof(struct peer_link *));
	memmove(&s->number[i + 1], &s->number[i], (s->count++ - i) * sizeof(*s->number));
	s->link[i] = l;
	s->number[i] = number;
	list_append(&s->used[ours], &l->by_use);
	s->open[ours]++;
	while (*at)
		at = &(*at)->next;
	*at = l;
	return l;
}

/* A link to ${p}, or why it is not taken. */
static const char *take(struct node *n, struct peer *p, const struct event *e)
{
	bool ours = e->ticket != 0;
	struct peer_link *older, *l;

	if (!p)
		return "a connection to ourselves, or no room for one more node";
	if (!ours && n->links->open[false] >= LINKS_ACCEPTED_MAX && !links_give_way(n, false))
		return "too many connections";
	older = in_use(p);
	l = attach(n, p, e->link, ours);
	if (!l)
		return "no memory";
	p->heard = n->now;
	if (older)
		retire(n, stays(n, older, l) ? l : older);
	choose(n, p);
	return NULL;
}

void links_up(struct node *n, const struct event *e)
{
	struct work *dial = e->ticket != 0 ? works_take(n, e->ticket) : NULL;
	const char *why;
	struct address id;
	struct peer *p;

	member_id(e->key, &id);
	p = address_equal(&id, &n->id) ? NULL : peers_make(n, &id);
	if (dial)
		dial_up(n, dial, &id);
	why = take(n, p, e);
	if (why) {
		close_effect(n, e->link, why);
		return;
	}
	membership_heard(n, p);
	if (!p->up) {
		p->up = true;
		membership_peer(n, p, true);
		machines_peer(n, p, true);
	}
	/* Any of these may have closed it. */
	if (p->link != 0) {
		dial_over(n, p);
		calls_send(n, p);
	}
}

void links_room(struct node *n, uint32_t number, bool full)
{
	struct peer_link *l = links_find(n, number);

	if (!l)
		return;
	l->full = full;
	if (full)
		return;
	read_all(n, l);
	calls_send(n, l->peer);
	serve_turn(n);
}

void links_unread(struct node *n, struct peer_link *l, size_t bytes)
{
	struct links *s = n->links;
	struct peer_link *most = l;

	if (l->closing)
		return;
	l->unread += bytes;
	s->unread += bytes;
	if (l->unread > UNREAD_MAX) {
		link_close(n, l, "it asks on, and does not read the answers");
	} else if (s->unread > UNREAD_ALL_MAX) {
		for (unsigned int i = 0; i < s->count; i++)
			if (s->link[i]->unread > most->unread)
				most = s->link[i];
		link_close(n, most, "too much waits in all, and most of it for this one, which does not read");
	}
}

void peer_hang_up(struct node *n, struct peer *p, const char *why)
{
	for (struct peer_link *l = p->links; l; l = l->next)
		if (!l->closing)
			link_close(n, l, why);
}
