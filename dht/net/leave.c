/*
 * Leaving for ever: out of placement, hand over, then say so.
 *
 * state    | event                                    | function        | next
 * -        | COMMAND_LEAVE                            | leave_command() | DRAINING
 *          | there is nobody to leave it to           | leave_command() | -: -EHOSTUNREACH
 * DRAINING | the table is one without us, and all chunks and leases that we owned are with their owners | look() | TELLING them the leases that were made here
 * TELLING  | all owners have all of them               | look()          | -: membership says it, and replies
 *          | another table                            | look()          | DRAINING
 *          | not all                                  | told_one()      | TELLING, all of them again a while later
 * both     | the time is up                           | expired()       | -: -ETIMEDOUT; it goes on draining
 *          | COMMAND_LEAVE                            | leave_command() | as it was; the second one gets -EALREADY
 *
 * All owners had the leases that were made here, when they were made.  Since then slots have gone to others, who may be without them still
 * where this node has given up waiting for them (HANDOVER_PUSH); and when it is gone, nobody may be left to ask.
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
	/* TELLING */
	bool telling, told, failed;	/* told: all, unless ${failed} */
	struct address table;		/* whose owners are told */
	unsigned int slot, sending;	/* sending: leases under way, also where the time was up meanwhile */
	struct address volume;		/* the last one in ${slot} that was looked at, ... */
	bool any;			/* ... if there is one */
	uint64_t wait;
};

static bool anybody(struct node *n)
{
	const struct member *m = NULL;

	while ((m = membership_next(n, m ? &m->id : NULL)))
		if (m->state == MEMBER_HERE && !address_equal(&m->id, &n->id))
			return true;
	return false;
}

/* Leases that are not yet where they belong: those made here that some owner is known to lack, and those of slots that were ours. */
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

/* ---- TELLING ---- */

/* The next lease that was made here. */
static bool next_of_ours(struct node *n, struct leave *l)
{
	struct catalogue *c = n->options.catalogue;
	struct address next;

	for (; l->slot < RING_SLOTS; l->slot++, l->any = false)
		while (c->lease_next(c, l->slot, l->any ? &l->volume : NULL, &next)) {
			l->volume = next;
			l->any = true;
			if (lease_is_ours(n, &next))
				return true;
		}
	return false;
}

static void tell(struct node *n, struct leave *l);

static void told_one(struct node *n, void *user, int result)
{
	struct leave *l = user;

	l->sending--;
	l->failed |= result != 0;
	if (l->busy && l->telling)
		tell(n, l);
}

static void tell(struct node *n, struct leave *l)
{
	while (l->sending < LEASES_RESENT_MAX && next_of_ours(n, l)) {
		if (lease_resend(n, &l->volume, l->slot, told_one, l))
			l->sending++;
		else
			l->failed = true;	/* it is on its way, or others fill the line */
	}
	if (l->sending > 0)
		return;
	l->telling = false;
	l->told = !l->failed;
	timer_set(n, &l->timer, n->now + (l->failed ? node_jitter(n, l->wait) : 0));
	l->wait = l->wait < LEASES_AGAIN_MAX / 2 ? 2 * l->wait : LEASES_AGAIN_MAX;
}

static void tell_start(struct node *n, struct leave *l)
{
	l->telling = true;
	l->told = l->failed = l->any = false;
	l->slot = 0;
	l->table = *placement_hash(n);
	tell(n, l);
}

/* ---- DRAINING ---- */

static void look(struct node *n, struct timer *t)
{
	struct leave *l = list_item(t, struct leave, timer);
	const struct ring *ring = placement(n);

	if (!ring || ring_find(ring, &n->id) >= 0 || !rebalance_over(n) || leases_left(n)) {
		timer_set(n, t, n->now + LOOK_EVERY);
	} else if (!l->told || !address_equal(&l->table, placement_hash(n))) {
		tell_start(n, l);
	} else {
		l->busy = false;
		membership_command(n, &l->command);
	}
}

static void expired(struct node *n, struct pending *p)
{
	struct leave *l = list_item(p, struct leave, pending);

	timer_stop(n, &l->timer);
	l->busy = l->telling = false;
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
	l->told = false;
	l->wait = LEASES_AGAIN_MIN;
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
