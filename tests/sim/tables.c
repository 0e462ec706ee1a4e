/*
 * Tables by their placement hash, one for all hosts that want it.  A table of a thousand nodes is large,
 * and slow to build: a thousand hosts with the same view share one.
 */
#include "tests/sim/tables.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One that nobody holds stays among the last few: nodes come to the same view one after the other. */
#define TABLES_IDLE 8u

struct table {
	struct ring *ring;
	unsigned int holders;
	uint64_t used;
};

struct tables {
	struct table *table;
	unsigned int count, size;
	uint64_t uses;
};

void tables_open(struct world *w)
{
	w->tables = must(calloc(1, sizeof(*w->tables)));
}

void tables_close(struct world *w)
{
	for (unsigned int i = 0; i < w->tables->count; i++)
		ring_free(w->tables->table[i].ring);
	free(w->tables->table);
	free(w->tables);
}

static struct table *find(struct tables *t, const struct address *placement)
{
	for (unsigned int i = 0; i < t->count; i++)
		if (address_equal(&t->table[i].ring->placement, placement))
			return &t->table[i];
	return NULL;
}

/* Frees the idle table that was used longest ago, where there are too many of them. */
static void forget_oldest(struct tables *t)
{
	struct table *oldest = NULL;
	unsigned int idle = 0;

	for (unsigned int i = 0; i < t->count; i++) {
		struct table *x = &t->table[i];

		if (x->holders > 0)
			continue;
		idle++;
		if (!oldest || x->used < oldest->used)
			oldest = x;
	}
	if (idle <= TABLES_IDLE)
		return;
	ring_free(oldest->ring);
	*oldest = t->table[--t->count];
}

struct ring *tables_get(struct world *w, const struct ring_member *members, size_t n, unsigned int replicas)
{
	struct tables *t = w->tables;
	struct address placement;
	struct table *x;
	struct ring *ring;

	if (ring_placement(members, n, replicas, &placement) != 0)
		return NULL;
	x = find(t, &placement);
	if (!x) {
		if (ring_build(members, n, replicas, &ring) != 0)
			return NULL;
		forget_oldest(t);
		if (t->count == t->size) {
			t->size = t->size ? 2 * t->size : 16;
			t->table = must(realloc(t->table, t->size * sizeof(*t->table)));
		}
		x = &t->table[t->count++];
		*x = (struct table){ .ring = ring };
	}
	x->holders++;
	x->used = ++t->uses;
	return x->ring;
}

void tables_put(struct world *w, struct ring *r)
{
	struct table *x = find(w->tables, &r->placement);

	assert(x && x->ring == r && x->holders > 0);
	x->holders--;
}

struct ring *tables_find(struct world *w, const struct address *placement)
{
	struct table *x = find(w->tables, placement);

	return x ? x->ring : NULL;
}
