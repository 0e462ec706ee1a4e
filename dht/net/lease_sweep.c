/*
 * The walk over our slots, for leases that are to go: of volumes that have ended, and of slots that went to others.  And once
 * in an epoch (DELETE_EPOCH) for those that were made here, in slots of others: their volume may have gone to another node, and be
 * leased from there, or have ended.
 *
 *	state	  event					function	next state
 *	RESTING	  the start, an end, another table		lease_sweep_again	WALKING, at the first slot
 *	RESTING	  an epoch has passed				walk		WALKING, and RENEWING
 *	WALKING	  a lease of a volume that has ended		look		REMOVING
 *	WALKING	  one of a slot that others own, not ours	look		SENDING it to them
 *	WALKING	  one that was made here, of others' slot	renew		RENEWING, once a slot
 *	RENEWING  what is newer at an owner is here		renewed		WALKING, behind it
 *	WALKING	  behind the last slot				walk		RESTING
 *	SENDING	  all of them have it				sent		REMOVING
 *	SENDING	  not all					sent		WALKING, behind it; the walk is done again later
 *	REMOVING  done						removed		WALKING, behind it
 */
#include "dht/net/lease.h"

#include <errno.h>
#include <stdlib.h>

struct lease_sweep {
	struct timer timer;
	unsigned int slot;
	struct address volume;		/* walked over last in ${slot} */
	bool any;			/* ${volume} is one */
	bool walking, busy;		/* busy: SENDING, REMOVING or RENEWING */
	bool renew, renewed;		/* this walk does it; it did, in ${slot} */
	uint64_t renew_at;
	struct lease_pull pull;
	bool ended;			/* this walk looks for ends too, so at all slots */
	bool left;			/* it could not finish */
	uint64_t wait;			/* before the next one, then */
	uint8_t strange[RING_SLOTS / 8];	/* slots that may have leases though they are not ours */
};

static void go_on(struct node *n, struct lease_sweep *w)
{
	w->busy = false;
	timer_set(n, &w->timer, n->now + 1);
}

static void removed(struct node *n, void *user, int result)
{
	struct lease_sweep *w = user;

	w->left |= result != 0;
	if (result == 0)
		w->wait = LEASES_AGAIN_MIN;
	go_on(n, w);
}

static void remove_it(struct node *n, struct lease_sweep *w)
{
	int err = lease_remove(n, &w->volume, w->slot, removed, w, NULL);

	w->busy = true;
	if (err)
		removed(n, w, err);
}

static void sent(struct node *n, void *user, int result)
{
	struct lease_sweep *w = user;

	if (result == 0 && !placement_mine(n, w->slot)) {
		remove_it(n, w);
		return;
	}
	w->left = true;
	go_on(n, w);
}

static void renewed(struct node *n, struct lease_pull *p, int result)
{
	(void)result;	/* another epoch, another owner perhaps */
	go_on(n, list_item(p, struct lease_sweep, pull));
}

/* Any of the owners: the first may be one who never tells.  False: it takes time. */
static bool renew(struct node *n, struct lease_sweep *w)
{
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = placement_owners(n, w->slot, owner), first = owners > 0 ? (unsigned int)node_random(n, owners) : 0;

	w->renewed = true;
	for (unsigned int i = 0; i < owners; i++) {
		struct peer *p = owner[(first + i) % owners];

		if (!peer_reachable(n, p))
			continue;
		w->pull = (struct lease_pull){ .peer = p, .slot = (uint16_t)w->slot, .timeout = DELETE_ASK, .ours = true,
			.done = renewed };
		w->busy = true;
		leases_pull(n, &w->pull);
		return false;
	}
	return true;
}

/* What is to be done with the lease of w->volume?  True: nothing, or it can't be done now. */
static bool look(struct node *n, struct lease_sweep *w)
{
	struct chunk *end = lease_ended(n, &w->volume);

	chunk_drop(end);
	if (end) {
		remove_it(n, w);
		return false;
	}
	if (placement_mine(n, w->slot))
		return true;
	if (lease_is_ours(n, &w->volume))
		return !w->renew || w->renewed || renew(n, w);
	/* Until they are complete the new owners ask the old ones. */
	if (rebalance_holds(n, w->slot) || !lease_resend(n, &w->volume, w->slot, sent, w)) {
		w->left = true;
		return true;
	}
	w->busy = true;
	return false;
}

/* Nothing in a slot is to go: what could not be sent is looked at again in the next walk. */
static bool only_ours(struct node *n, unsigned int slot)
{
	struct catalogue *c = n->options.catalogue;
	struct address volume, last;
	bool any = false;

	while (c->lease_next(c, slot, any ? &last : NULL, &volume)) {
		if (!lease_is_ours(n, &volume))
			return false;
		last = volume;
		any = true;
	}
	return true;
}

static bool is_strange(const struct lease_sweep *w, unsigned int slot)
{
	return w->strange[slot / 8] >> slot % 8 & 1;
}

/* The leases of one slot.  False: one of them takes time. */
static bool walk_slot(struct node *n, struct lease_sweep *w)
{
	struct catalogue *c = n->options.catalogue;
	bool mine = placement_mine(n, w->slot), left = w->left;
	struct address next;

	if (!w->ended && (mine || !(w->renew || is_strange(w, w->slot))))
		return true;
	w->left = false;
	while (c->lease_next(c, w->slot, w->any ? &w->volume : NULL, &next)) {
		w->volume = next;
		w->any = true;
		if (!look(n, w)) {
			w->left |= left;
			return false;
		}
	}
	if (!mine && only_ours(n, w->slot))
		w->strange[w->slot / 8] &= (uint8_t)~(1u << w->slot % 8);
	w->left |= left;
	return true;
}

/* An owner that could not be told may have left since; one that is down stays so for long. */
static uint64_t next_walk(struct node *n, struct lease_sweep *w)
{
	uint64_t wait = w->wait;

	if (!w->left)
		return w->renew_at;
	w->wait = wait < LEASES_AGAIN_MAX / 2 ? 2 * wait : LEASES_AGAIN_MAX;
	return n->now + node_jitter(n, wait);
}

static void walk(struct node *n, struct timer *t)
{
	struct lease_sweep *w = list_item(t, struct lease_sweep, timer);

	if (w->busy)
		return;
	if (!placement(n)) {
		timer_set(n, t, n->now + LEASES_AGAIN_MIN);
		return;
	}
	if (!w->walking) {
		w->walking = true;
		w->slot = 0;
		w->any = w->left = w->renewed = false;
		w->renew = n->now >= w->renew_at;
	}
	for (unsigned int i = 0; i < LEASES_SWEPT; i++) {
		if (!walk_slot(n, w))
			return;
		w->any = w->renewed = false;
		if (++w->slot < RING_SLOTS)
			continue;
		w->walking = false;
		w->ended &= w->left;
		if (w->renew)
			w->renew_at = n->now + node_jitter(n, DELETE_EPOCH);
		timer_set(n, t, next_walk(n, w));
		return;
	}
	timer_set(n, t, n->now + 1 * MS);
}

void lease_sweep_again(struct node *n)
{
	struct lease_sweep *w = n->leases->sweep;

	if (placement(n))
		for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
			if (placement_mine(n, slot))
				w->strange[slot / 8] |= (uint8_t)(1u << slot % 8);
	w->ended |= n->leases->retired > 0;
	w->walking = false;
	w->wait = LEASES_AGAIN_MIN;
	if (!w->busy)
		timer_set(n, &w->timer, n->now + 1);
}

void lease_sweep_start(struct node *n)
{
	struct lease_sweep *w = calloc(1, sizeof(*w));

	if (!w) {
		node_stop(n, "no memory");
		return;
	}
	/* What lies here from before is not known. */
	for (unsigned int i = 0; i < sizeof(w->strange); i++)
		w->strange[i] = 0xff;
	w->timer.due = walk;
	w->renew_at = n->now + node_jitter(n, DELETE_EPOCH);
	n->leases->sweep = w;
	lease_sweep_again(n);
}

void lease_sweep_end(struct node *n)
{
	if (n->leases->sweep) {
		timer_stop(n, &n->leases->sweep->timer);
		leases_pull_stop(n, &n->leases->sweep->pull);
	}
	free(n->leases->sweep);
	n->leases->sweep = NULL;
}
