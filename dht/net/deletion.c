/*
 * The walk over the records:
 *
 *	state	  event					function	next state
 *	RESTING	  up for DELETE_AFTER, or DELETE_REST over	due	WALKING, at the first address
 *	WALKING	  a step's time				walk		WALKING; RESTING behind the last record;
 *								ASKING at one that may go, if its slot is not cleared
 *	WALKING	  DELETES_MAX are under way		walk		WALKING, at the next step's time
 *	ASKING	  an owner told its leases		asked		ASKING; WALKING: enough did, the slot is cleared
 *	ASKING	  no owner is left to ask, or it is late	ask		WALKING, behind the slot
 *	any	  another table				table		WALKING, no slot is cleared
 */
#include "dht/net/deletion.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <syslog.h>

#include "chunker/bytes.h"

#define NO_SLOT RING_SLOTS

struct deletion {
	struct touches touches;
	struct timer timer;
	bool walking, asking;
	struct address cursor;		/* the next one to look at */
	struct list all;		/* deletions under way */
	unsigned int count;
	/* ASKING */
	unsigned int slot, place;	/* of which slot, and who of its owners is next */
	unsigned int agreed;
	uint64_t since;			/* when it began */
	struct lease_pull pull;
	/* what came of it */
	unsigned int cleared;		/* the slot whose leases are known, or NO_SLOT */
	uint64_t cleared_until;
};

struct delete {
	struct list link;
	struct work work;
	struct address address;
};

enum choice { KEEP, ASK, DELETE };

unsigned int deletion_agreements(unsigned int replicas, unsigned int wanted)
{
	unsigned int majority = replicas / 2 + 1;

	return replicas < wanted ? replicas - 1 : replicas - majority;
}

static bool agreed(struct node *n)
{
	return n->deletion->agreed >= deletion_agreements(placement(n)->replicas, n->file.replicas);
}

static uint64_t uptime(const struct node *n)
{
	return n->now - n->started;
}

static void turn(struct node *n)
{
	uint64_t epoch = n->deletion->touches.now;

	if (uptime(n) / DELETE_EPOCH != epoch)
		touches_turn(&n->deletion->touches, uptime(n), node_random(n, UINT64_MAX));
}

void touched(struct node *n, const struct address *a)
{
	turn(n);
	touches_add(&n->deletion->touches, a);
}

bool deleting(struct node *n, const struct address *a)
{
	struct list *all = &n->deletion->all;

	for (struct list *l = all->next; l != all; l = l->next)
		if (address_equal(&list_item(l, struct delete, link)->address, a))
			return true;
	return false;
}

static bool slot_cleared(const struct node *n, unsigned int slot)
{
	return n->deletion->cleared == slot && n->now < n->deletion->cleared_until;
}

static enum choice choose(struct node *n, const struct address *a)
{
	struct catalogue *c = n->options.catalogue;
	unsigned int states = c->state(c, a), slot = ring_slot(a);

	if (!(states & STATE_ANY) || states & (STATE_LEASED | STATE_WANTED | STATE_FOREIGN) || deleting(n, a))
		return KEEP;
	if (touches_have(&n->deletion->touches, a))
		return KEEP;
	if (states & STATE_OWNED) {
		/* What a new table takes from us is made FOREIGN by rebalance. */
		if (!placement_mine(n, slot) || !placement_complete(n, slot))
			return KEEP;
		return slot_cleared(n, slot) ? DELETE : ASK;
	}
	return placement_mine(n, slot) ? KEEP : DELETE;
}

static void deleted(struct node *n, struct work *w, const struct event *e)
{
	struct delete *d = list_item(w, struct delete, work);

	if (e->result)
		node_log(n, LOG_WARNING, "a record that nobody wants can't be deleted: error %d", -e->result);
	list_remove(&d->link);
	n->deletion->count--;
	free(d);
}

static bool delete(struct node *n, const struct address *a)
{
	struct delete *d = n->deletion->count < DELETES_MAX ? calloc(1, sizeof(*d)) : NULL;
	struct effect e = { .kind = EFFECT_STATES, .address = *a, .states = 0 };

	if (!d)
		return false;
	d->address = *a;
	d->work.done = deleted;
	list_append(&n->deletion->all, &d->link);
	n->deletion->count++;
	work_start(n, &d->work, &e);
	return true;
}

static void rest(struct node *n)
{
	n->deletion->walking = false;
	timer_set(n, &n->deletion->timer, n->now + DELETE_REST);
}

static void pass_slot(struct node *n, unsigned int slot)
{
	struct deletion *d = n->deletion;

	d->cursor = (struct address){ 0 };
	put_be64(d->cursor.b, (uint64_t)(slot + 1) << (64 - RING_SLOT_BITS));
	if (slot + 1 == RING_SLOTS)
		rest(n);
}

static void ask(struct node *n);

static void asked(struct node *n, struct lease_pull *p, int result)
{
	struct deletion *d = list_item(p, struct deletion, pull);

	d->agreed += result == 0 && p->complete;
	ask(n);
}

/* Pulls the leases of the slot from one owner after the other, until enough have told theirs.  What was told DELETE_FRESH ago
 * is worth nothing: to begin again at once would be for ever. */
static void ask(struct node *n)
{
	struct deletion *d = n->deletion;
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = placement_owners(n, d->slot, owner);
	bool late = n->now >= d->since + DELETE_FRESH;

	while (!late && d->place < owners && !agreed(n)) {
		struct peer *p = owner[d->place++];

		if (!peer_reachable(n, p))
			continue;
		d->pull = (struct lease_pull){ .peer = p, .slot = (uint16_t)d->slot, .timeout = DELETE_ASK, .done = asked };
		leases_pull(n, &d->pull);
		return;
	}
	d->asking = false;
	if (!late && agreed(n)) {
		d->cleared = d->slot;
		d->cleared_until = d->since + DELETE_FRESH;
	} else {
		pass_slot(n, d->slot);
	}
	if (d->walking)
		timer_set(n, &d->timer, n->now + 1);
}

static void ask_start(struct node *n, unsigned int slot)
{
	struct deletion *d = n->deletion;

	d->asking = true;
	d->slot = slot;
	d->place = d->agreed = 0;
	d->since = n->now;
	ask(n);
}

/* One step: as far as DELETE_WALK records, a slot that is not cleared, or no room for more deletions. */
static void walk(struct node *n)
{
	struct deletion *d = n->deletion;
	struct catalogue *c = n->options.catalogue;
	struct address *list = malloc(DELETE_WALK * sizeof(*list));
	size_t found = list ? c->list(c, &d->cursor, STATE_OWNED | STATE_CACHED, DELETE_WALK, list) : 0;
	bool more = !list || found == DELETE_WALK;

	timer_set(n, &d->timer, n->now + DELETE_EVERY);
	for (size_t i = 0; i < found; i++) {
		enum choice v = choose(n, &list[i]);

		d->cursor = list[i];
		if (v == ASK) {
			ask_start(n, ring_slot(&list[i]));
			goto out;
		}
		if (v == DELETE && !delete(n, &list[i]))
			goto out;
	}
	if (!more || (found > 0 && !address_next(&list[found - 1], &d->cursor)))
		rest(n);
out:
	free(list);
}

static void due(struct node *n, struct timer *t)
{
	struct deletion *d = list_item(t, struct deletion, timer);

	assert(uptime(n) >= DELETE_AFTER);
	turn(n);
	if (!placement(n) || d->asking) {
		timer_set(n, t, n->now + DELETE_EVERY);
		return;
	}
	if (!d->walking) {
		d->walking = true;
		d->cursor = (struct address){ 0 };
	}
	walk(n);
}

static void table(struct node *n)
{
	struct deletion *d = n->deletion;

	d->cleared = NO_SLOT;
	if (!d->asking)
		return;
	leases_pull_stop(n, &d->pull);
	d->asking = false;
}

static void start(struct node *n)
{
	struct deletion *d = calloc(1, sizeof(*d));

	if (!d) {
		node_stop(n, "no memory");
		return;
	}
	touches_init(&d->touches);
	list_init(&d->all);
	d->cleared = NO_SLOT;
	d->timer.due = due;
	n->deletion = d;
	timer_set(n, &d->timer, n->started + DELETE_AFTER + node_random(n, DELETE_REST));
}

static void end(struct node *n)
{
	struct deletion *d = n->deletion;

	if (!d)
		return;
	timer_stop(n, &d->timer);
	if (d->asking)
		leases_pull_stop(n, &d->pull);
	while (!list_empty(&d->all)) {
		struct delete *x = list_item(d->all.next, struct delete, link);

		work_stop(n, &x->work);
		list_remove(&x->link);
		free(x);
	}
	touches_free(&d->touches);
	free(d);
	n->deletion = NULL;
}

static size_t memory(struct node *n)
{
	struct deletion *d = n->deletion;

	return d ? sizeof(*d) + touches_memory(&d->touches) + d->count * sizeof(struct delete) : 0;
}

const struct machine deletion_machine = {
	.name = "deletion", .start = start, .table = table, .end = end, .memory = memory,
};
