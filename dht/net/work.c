/*
 * A work's states:
 *
 *   state     | event                                      | function     | next, and who is told
 *   ----------+--------------------------------------------+--------------+----------------------------------
 *   -         | work_start; a dial, a table; disk has room | work_start   | under way
 *   -         | work_start; DISK_MAX are under way         | hold         | in line
 *   in line   | one of the disk is done                    | next_in_line | under way
 *   under way | EVENT_DONE                                 | works_done   | -: done()
 *   under way | a dial became a link                       | works_take   | -: nobody, the link is the answer
 *   any but - | nobody waits any more                      | work_stop    | the same, but nobody will be told
 *
 * What is stopped is carried out all the same: a write that another one counts on can't be taken back.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "dht/net/node_core.h"

#define PLACE_BITS 16u		/* of a ticket: its place in the table; the rest counts, so that none comes twice */
#define NONE	   UINT32_MAX

struct place {
	uint64_t ticket;	/* 0: free */
	struct work *work;	/* NULL: nobody waits any more */
	enum effect_kind kind;
	uint32_t next_free;
	struct address address;
};

/* An effect for which there is no room among DISK_MAX. */
struct held {
	struct list link;
	struct effect effect;
};

struct works {
	struct place *place;
	uint32_t size, free;
	uint64_t tickets;
	unsigned int disk, waiting;	/* on the disk; in line */
	struct list line;
};

_Static_assert(4 * DISK_MAX <= 1u << PLACE_BITS, "a ticket has room for the places");

int works_new(struct node *n)
{
	n->works = calloc(1, sizeof(*n->works));
	if (!n->works)
		return -ENOMEM;
	n->works->free = NONE;
	list_init(&n->works->line);
	return 0;
}

void works_free(struct node *n)
{
	struct works *w = n->works;

	if (!w)
		return;
	while (!list_empty(&w->line)) {
		struct held *h = list_item(w->line.next, struct held, link);

		list_remove(&h->link);
		effect_done(&h->effect);
		free(h);
	}
	free(w->place);
	free(w);
	n->works = NULL;
}

size_t works_memory(const struct node *n)
{
	return sizeof(*n->works) + n->works->size * sizeof(struct place) + n->works->waiting * sizeof(struct held);
}

static bool on_disk(enum effect_kind kind)
{
	return kind != EFFECT_DIAL && kind != EFFECT_TABLE;
}

static int grow(struct works *w)
{
	uint32_t size = w->size > 0 ? 2 * w->size : 8;
	struct place *place;

	if (size > 1u << PLACE_BITS)
		return -ENOSPC;
	place = realloc(w->place, size * sizeof(*place));
	if (!place)
		return -ENOMEM;
	/* The lowest is the next to be used. */
	for (uint32_t i = size; i-- > w->size;) {
		place[i] = (struct place){ .next_free = w->free };
		w->free = i;
	}
	w->place = place;
	w->size = size;
	return 0;
}

static struct place *find(struct works *w, uint64_t ticket)
{
	uint32_t i = ticket & ((1u << PLACE_BITS) - 1);

	return ticket != 0 && i < w->size && w->place[i].ticket == ticket ? &w->place[i] : NULL;
}

static void hold(struct node *n, struct effect *e)
{
	struct held *h = malloc(sizeof(*h));

	if (!h) {
		effect_done(e);
		node_stop(n, "out of memory");
		return;
	}
	h->effect = *e;
	list_append(&n->works->line, &h->link);
	n->works->waiting++;
}

void work_start(struct node *n, struct work *w, struct effect *effect)
{
	struct works *works = n->works;
	struct place *p;

	assert(w->ticket == 0 && w->done);
	if (works->free == NONE && grow(works)) {
		effect_done(effect);
		node_stop(n, "out of memory");
		return;
	}
	p = &works->place[works->free];
	works->free = p->next_free;
	*p = (struct place){
		.ticket = ++works->tickets << PLACE_BITS | (uint64_t)(p - works->place), .work = w, .kind = effect->kind,
		.address = effect->address,
	};
	w->ticket = effect->ticket = p->ticket;
	if (!on_disk(effect->kind)) {
		effects_put(n, effect);
	} else if (works->disk < DISK_MAX) {
		works->disk++;
		effects_put(n, effect);
	} else {
		hold(n, effect);
	}
}

void work_stop(struct node *n, struct work *w)
{
	struct place *p = find(n->works, w->ticket);

	if (w->ticket == 0)
		return;
	assert(p && p->work == w && p->kind != EFFECT_LEASE);
	p->work = NULL;
	w->ticket = 0;
}

bool work_busy(const struct work *w)
{
	return w->ticket != 0;
}

/* The place is free again; who waited is returned. */
static struct work *release(struct works *works, struct place *p)
{
	struct work *w = p->work;

	if (w)
		w->ticket = 0;
	p->ticket = 0;
	p->work = NULL;
	p->next_free = works->free;
	works->free = (uint32_t)(p - works->place);
	return w;
}

struct work *works_take(struct node *n, uint64_t ticket)
{
	struct place *p = find(n->works, ticket);

	return p && p->kind == EFFECT_DIAL ? release(n->works, p) : NULL;
}

static void next_in_line(struct node *n)
{
	struct works *works = n->works;

	while (works->disk < DISK_MAX && !list_empty(&works->line)) {
		struct held *h = list_item(works->line.next, struct held, link);

		list_remove(&h->link);
		works->waiting--;
		works->disk++;
		effects_put(n, &h->effect);
		free(h);
	}
}

void works_done(struct node *n, const struct event *e)
{
	struct place *p = find(n->works, e->ticket), was;
	struct work *w = NULL;

	if (p) {
		was = *p;
		w = release(n->works, p);
		if (on_disk(was.kind)) {
			n->works->disk--;
			next_in_line(n);
		}
		/* The catalogue says otherwise from now on: repair must know before anyone acts on it. */
		if (!n->stopped && e->result == 0 && (was.kind == EFFECT_WRITE || was.kind == EFFECT_STATES))
			leases_changed(n, &was.address, 1);
	}
	if (w && !n->stopped) {
		w->done(n, w, e);
	} else if (e->table) {
		struct effect give_back = { .kind = EFFECT_TABLE_FREE, .table = e->table };

		effects_put(n, &give_back);
	}
}
