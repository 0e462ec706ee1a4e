/*
 * A work's states:
 *
 *   state     | event                                      | function     | next, and who is told
 *   ----------+--------------------------------------------+--------------+----------------------------------
 *   -         | work_start; a dial, a table; disk has room | work_start   | under way
 *   -         | work_start; DISK_MAX are under way         | hold         | in line
 *   -         | ... and DISK_LINE_MAX in line; no memory   | refuse       | refused
 *   refused   | WORK_REFUSED later                         | tell_refused | -: done(), of -EBUSY or -ENOMEM
 *   in line   | one of the disk is done                    | next_in_line | under way
 *   under way | EVENT_DONE                                 | works_done   | -: done()
 *   under way | a dial became a link                       | works_take   | -: nobody, the link is the answer
 *   refused   | nobody waits any more                      | work_stop    | -
 *   any other | nobody waits any more                      | work_stop    | the same, but nobody will be told
 *
 * What is stopped is carried out all the same: a write that another one counts on can't be taken back.  So those who give up
 * waiting for a disk that hangs leave their places taken until it goes on.
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
	struct list line, refused;
	struct timer tell;		/* those that were refused */
};

/* Beside those of the disk there are dials, chunks that are checked, and one table. */
_Static_assert(2 * (DISK_MAX + DISK_LINE_MAX) <= 1u << PLACE_BITS, "a ticket has room for the places");

#define REFUSED UINT64_MAX	/* a ticket of none: its place does not exist */

static void tell_refused(struct node *n, struct timer *t);

int works_new(struct node *n)
{
	n->works = calloc(1, sizeof(*n->works));
	if (!n->works)
		return -ENOMEM;
	n->works->free = NONE;
	list_init(&n->works->line);
	list_init(&n->works->refused);
	n->works->tell.due = tell_refused;
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
	timer_stop(n, &w->tell);
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
	return kind != EFFECT_DIAL && kind != EFFECT_TABLE && kind != EFFECT_CHECK;
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

static void refuse(struct node *n, struct work *w, struct effect *e, int why)
{
	effect_done(e);
	w->ticket = REFUSED;
	w->refusal = why;
	list_append(&n->works->refused, &w->refused);
	if (!timer_busy(&n->works->tell))
		timer_set(n, &n->works->tell, n->now + WORK_REFUSED);
}

static void tell_refused(struct node *n, struct timer *t)
{
	struct list *refused = &n->works->refused, told;

	/* Those that are refused meanwhile come later. */
	list_init(&told);
	list_append(refused, &told);
	while (refused->next != &told) {
		struct work *w = list_item(refused->next, struct work, refused);
		struct event e = { .kind = EVENT_DONE, .result = w->refusal };

		list_remove(&w->refused);
		w->ticket = 0;
		w->done(n, w, &e);
	}
	list_remove(&told);
	if (!list_empty(refused) && !timer_busy(t))
		timer_set(n, t, n->now + WORK_REFUSED);
}

static struct held *hold(struct node *n)
{
	struct held *h = malloc(sizeof(*h));

	if (h) {
		list_append(&n->works->line, &h->link);
		n->works->waiting++;
	}
	return h;
}

void work_start(struct node *n, struct work *w, struct effect *effect)
{
	struct works *works = n->works;
	bool waits = on_disk(effect->kind) && works->disk == DISK_MAX;
	struct held *h = NULL;
	struct place *p;

	assert(w->ticket == 0 && w->done);
	if (waits && works->waiting == DISK_LINE_MAX) {
		refuse(n, w, effect, -EBUSY);
		return;
	}
	if ((works->free == NONE && grow(works)) || (waits && !(h = hold(n)))) {
		refuse(n, w, effect, -ENOMEM);
		return;
	}
	p = &works->place[works->free];
	works->free = p->next_free;
	*p = (struct place){
		.ticket = ++works->tickets << PLACE_BITS | (uint64_t)(p - works->place), .work = w, .kind = effect->kind,
		.address = effect->address,
	};
	w->ticket = effect->ticket = p->ticket;
	if (waits) {
		h->effect = *effect;
		return;
	}
	works->disk += on_disk(effect->kind);
	effects_put(n, effect);
}

void work_stop(struct node *n, struct work *w)
{
	struct place *p = find(n->works, w->ticket);

	if (w->ticket == REFUSED)
		list_remove(&w->refused);
	if (w->ticket == 0 || w->ticket == REFUSED) {
		w->ticket = 0;
		return;
	}
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
