/*
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): the timers are its nodes, so that setting one needs no
 * memory and can't fail.
 */
#include <assert.h>

#include "dht/net/node_core.h"

static bool earlier(const struct timer *a, const struct timer *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

/* Both are roots, or NULL. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *t;

	if (!a || !b)
		return a ? a : b;
	if (earlier(b, a)) {
		t = a;
		a = b;
		b = t;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	return a;
}

/* One heap of a row of siblings: first by pairs from the left, which go to a stack, then that from the right. */
static struct timer *meld_row(struct timer *row)
{
	struct timer *stack = NULL, *root = NULL;

	while (row) {
		struct timer *a = row, *b = row->next;

		row = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = stack;
		stack = a;
	}
	while (stack) {
		struct timer *a = stack;

		stack = a->next;
		a->next = NULL;
		root = meld(root, a);
	}
	return root;
}

/* What hangs below ${t} becomes one heap, which is joined with the rest: no order among equals is lost, ${order} keeps it. */
void timer_stop(struct node *n, struct timer *t)
{
	struct timer *below;

	if (!t->set)
		return;
	below = meld_row(t->child);
	if (n->timers == t) {
		n->timers = below;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		n->timers = meld(n->timers, below);
	}
	t->child = t->next = t->prev = NULL;
	t->set = false;
	n->timer_count--;
}

void timer_set(struct node *n, struct timer *t, uint64_t at)
{
	assert(t->due);
	timer_stop(n, t);
	t->at = at > n->now ? at : n->now + 1;
	t->order = n->timer_order++;
	t->child = t->next = t->prev = NULL;
	t->set = true;
	n->timer_count++;
	n->timers = meld(n->timers, t);
}

bool timer_busy(const struct timer *t)
{
	return t->set;
}

void timers_run(struct node *n)
{
	/* Ends: what a call back sets is later than now. */
	while (n->timers && n->timers->at <= n->now) {
		struct timer *t = n->timers;

		timer_stop(n, t);
		t->due(n, t);
	}
}

uint64_t timers_next(const struct node *n)
{
	return n->timers ? n->timers->at : UINT64_MAX;
}
