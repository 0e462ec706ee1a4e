/*
 * Owners check each other: one of our leased records at one other owner, every AUDIT_EVERY.
 *
 * state   | event                            | function   | next
 * IDLE    | AUDIT_EVERY                      | due()      | PROVING: our own answer to a fresh nonce
 *         | ... and some leased one is not here | look_for_missing() | fetch_heal(), beside it
 * PROVING | there it is                      | own()      | ASKING
 *         | our copy is bad                  | own()      | IDLE, fetch_heal()
 * ASKING  | the same answer, or none         | answered() | IDLE
 *         | it lacks it, and it is repair's turn | answered() | IDLE
 *         | it should have it, and has not   | answered() | IDLE; its standing; foreign_add(): the copy is pushed
 *         | another answer                   | answered() | likewise
 */
#include "dht/net/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct audit {
	struct timer timer;
	struct work work;
	struct proof proof;
	struct address address, nonce, owner;
};

static void next(struct node *n)
{
	timer_set(n, &n->audit->timer, n->now + node_jitter(n, AUDIT_EVERY));
}

static void answered(struct node *n, struct proof *p, enum verdict verdict)
{
	struct audit *a = n->audit;
	struct peer *peer = peer_find(n, &p->id);

	if (verdict == PROOF_LACKS && !p->filling && peer)
		peer_wrong(n, peer, "lacks a chunk that it owns");
	if (verdict == PROOF_WRONG || (verdict == PROOF_LACKS && !p->filling))
		foreign_add(n, &a->address);
	next(n);
}

static void own(struct node *n, struct work *w, const struct event *e)
{
	struct audit *a = list_item(w, struct audit, work);
	struct peer *peer = peer_find(n, &a->owner);

	if (e->result && e->result != -ENOENT)
		fetch_heal(n, &a->address);
	if (e->result || !peer) {
		next(n);
		return;
	}
	a->proof.expected = e->hash;
	a->proof.done = answered;
	proof_start(n, &a->proof, peer, &a->address, &a->nonce, LINK_REPAIR);
}

/* The first record of ours behind a random place: close to even, as addresses are. */
static bool pick(struct node *n, unsigned int states, struct address *out)
{
	struct catalogue *c = n->options.catalogue;
	struct address from;

	proof_nonce(n, &from);
	return c->list(c, &from, states, 1, out) || c->list(c, NULL, states, 1, out);
}

/* Repair finds what some owner has together with its lease.  Where one is left who has the copy, and others who have the lease, each of them
 * finds nothing to compare: so a lease that names what is not here asks for it.  While a slot is being filled that is repair's. */
static void look_for_missing(struct node *n)
{
	struct address a;

	if (pick(n, STATE_LEASED, &a) && !(chunk_state(n, &a) & STATE_OWNED) && placement_mine(n, ring_slot(&a)) &&
	    placement_complete(n, ring_slot(&a)))
		fetch_heal(n, &a);
}

static void due(struct node *n, struct timer *t)
{
	struct audit *a = list_item(t, struct audit, timer);
	struct peer *owner[RING_REPLICAS_MAX], *peer;
	unsigned int owners;

	if (placement(n))
		look_for_missing(n);
	if (!pick(n, STATE_OWNED | STATE_LEASED, &a->address) ||
	    !(owners = placement_owners(n, ring_slot(&a->address), owner)) ||
	    !peer_reachable(n, peer = owner[node_random(n, owners)])) {
		next(n);
		return;
	}
	a->owner = peer->id;
	proof_nonce(n, &a->nonce);
	a->work.done = own;
	proof_local(n, &a->work, &a->address, &a->nonce);
}

static void start(struct node *n)
{
	n->audit = calloc(1, sizeof *n->audit);
	if (!n->audit) {
		node_stop(n, "no memory");
		return;
	}
	n->audit->timer.due = due;
	next(n);
}

static void end(struct node *n)
{
	struct audit *a = n->audit;

	if (!a)
		return;
	timer_stop(n, &a->timer);
	work_stop(n, &a->work);
	if (call_busy(&a->proof.call))
		proof_stop(n, &a->proof);
	free(a);
	n->audit = NULL;
}

static size_t memory(struct node *n)
{
	return n->audit ? sizeof *n->audit : 0;
}

const struct machine audit_machine = {
	.name = "audit",
	.start = start,
	.end = end,
	.memory = memory,
};
