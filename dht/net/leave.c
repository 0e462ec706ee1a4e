/*
 * Leaving for ever: out of placement, hand over, then say so.
 *
 * state    | event                                    | function        | next
 * -        | COMMAND_LEAVE                            | leave_command() | DRAINING
 *          | there is nobody to leave it to           | leave_command() | -: -EHOSTUNREACH
 * DRAINING | the table is one without us, and all chunks and leases that are here are with their owners | look() | -: membership says it, and replies
 *          | the time is up                           | expired()       | -: -ETIMEDOUT; it goes on draining
 *          | COMMAND_LEAVE                            | leave_command() | DRAINING; the second one gets -EALREADY
 */
#include <errno.h>
#include <stdlib.h>

#include "dht/net/lease.h"
#include "dht/net/rebalance.h"

#define LOOK_EVERY (1 * S)

struct leave {
	struct pending pending;
	struct command command;
	struct timer timer;
	bool busy;
};

static bool anybody(struct node *n)
{
	const struct member *m = NULL;

	while ((m = membership_next(n, m ? &m->id : NULL)))
		if (m->state == MEMBER_HERE && !address_equal(&m->id, &n->id))
			return true;
	return false;
}

/* Leases that are not yet where they belong: those made here that some owner lacks, and those of slots that were ours. */
static bool leases_left(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	struct address volume, *after;

	if (c->rows(c, ROW_LEASING, NULL, &volume))
		return true;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		for (after = NULL; c->lease_next(c, slot, after, &volume); after = &volume)
			if (!lease_is_ours(n, &volume))
				return true;
	return false;
}

static void look(struct node *n, struct timer *t)
{
	struct leave *l = list_item(t, struct leave, timer);
	const struct ring *ring = placement(n);

	if (!ring || ring_find(ring, &n->id) >= 0 || !rebalance_over(n) || leases_left(n)) {
		timer_set(n, t, n->now + LOOK_EVERY);
		return;
	}
	l->busy = false;
	membership_command(n, &l->command);
}

static void expired(struct node *n, struct pending *p)
{
	struct leave *l = list_item(p, struct leave, pending);

	timer_stop(n, &l->timer);
	l->busy = false;
}

void leave_command(struct node *n, const struct command *c)
{
	struct leave *l = n->leave;
	struct command drain = *c;

	if (l->busy || !anybody(n)) {
		command_result(n, c->ticket, l->busy ? -EALREADY : -EHOSTUNREACH);
		return;
	}
	drain.kind = COMMAND_DRAIN;
	drain.ticket = 0;
	drain.count = 1;
	membership_command(n, &drain);
	l->command = (struct command){ .kind = COMMAND_LEAVE, .ticket = c->ticket, .timeout = c->timeout };
	l->pending.expired = expired;
	l->busy = true;
	command_start(n, &l->pending, c);
	timer_set(n, &l->timer, n->now + LOOK_EVERY);
}

void leave_start(struct node *n)
{
	n->leave = calloc(1, sizeof(*n->leave));
	if (n->leave)
		n->leave->timer.due = look;
	else
		node_stop(n, "no memory");
}

void leave_end(struct node *n)
{
	if (n->leave)
		timer_stop(n, &n->leave->timer);
	free(n->leave);
	n->leave = NULL;
}
