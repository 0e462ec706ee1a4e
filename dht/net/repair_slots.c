/*
 * Which of our slots are incomplete, until each peer that could know more has been reconciled with, and one of them had all.
 *
 * slot       | event                                       | function         | next
 * -          | it has become ours; our store is a new one  | slots_duties()   | lacking: in the duty of each pair whose peer owns it,
 *            |                                             |                  | or owned it in a table from which slots still move
 * lacking    | an owner of a table that we never knew says that it holds it | slots_held() | lacking: in the duty of that pair, too
 *            | all owners were reconciled with, all was got, and one was complete itself | slots_done() | headless
 *            | ... or we were, when we lost it, and held it since | slots_duties() | headless, likewise
 *            | ... and none was; SOURCE_LOOK is over and nobody is down, or SOURCE_WAIT | slots_source_due() | headless
 * headless   | heads_complete()                            | finish()         | complete
 * any        | a new table                                 | slots_table()    | -
 *
 * New owners who have compared with each other alone know nothing: all of them may be new.  The old one finds them, as it asks
 * whether they are complete (rebalance.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/rebalance.h"

const struct trie_slots repair_no_slots;

bool repair_shared(struct node *n, const struct address *id, struct trie_slots *out)
{
	const struct ring *ring = placement(n);
	int they = ring ? ring_find(ring, id) : -1;
	bool any = false;

	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; they >= 0 && i < n->repair->mine_count; i++)
		if (ring_owns(ring, n->repair->mine[i], (unsigned int)they)) {
			trie_slots_add(out, n->repair->mine[i]);
			any = true;
		}
	return any;
}

/* ---- what is complete ---- */

static bool has(const struct trie_slots *s, unsigned int slot)
{
	return s && trie_slots_have(s, slot);
}

static bool waits(const struct repair *r, unsigned int slot)
{
	for (unsigned int i = 0; i < r->pairs; i++) {
		const struct pair *p = &r->pair[i];

		if (!p->holder && has(p->duty, slot) && !has(p->over, slot))
			return true;
	}
	return false;
}

/* All chunks and leases are here.  Heads come by themselves, and nobody tells when: they are asked for again. */
static void finish(struct node *n, unsigned int slot)
{
	struct repair *r = n->repair;

	if (heads_complete(n, slot)) {
		trie_slots_remove(&r->headless, slot);
		placement_set_complete(n, slot);
		return;
	}
	trie_slots_add(&r->headless, slot);
	if (!timer_busy(&r->heads_timer))
		timer_set(n, &r->heads_timer, n->now + COMPLETE_GATHER);
}

void slots_heads_due(struct node *n, struct timer *t)
{
	struct repair *r = n->repair;

	(void)t;
	for (unsigned int i = 0; i < r->mine_count; i++)
		if (trie_slots_have(&r->headless, r->mine[i]))
			finish(n, r->mine[i]);
}

/* Nothing is asked of anyone any more. */
static void lift(struct repair *r, unsigned int slot)
{
	for (unsigned int i = 0; i < r->pairs; i++)
		if (r->pair[i].duty)
			trie_slots_remove(r->pair[i].duty, slot);
}

static void drop_empty(struct repair *r)
{
	for (unsigned int i = 0; i < r->pairs; i++) {
		struct pair *p = &r->pair[i];

		if (!p->duty || !trie_slots_empty(p->duty))
			continue;
		free(p->duty);
		free(p->over);
		p->duty = p->over = NULL;
	}
}

static void settle(struct node *n, unsigned int slot)
{
	struct repair *r = n->repair;

	if (!trie_slots_have(&r->sourced, slot) || waits(r, slot))
		return;
	lift(r, slot);
	finish(n, slot);
}

void slots_done(struct node *n, struct pair *pair, const struct repair_outcome *outcome)
{
	struct repair *r = n->repair;

	for (unsigned int i = 0; i < r->mine_count; i++) {
		unsigned int slot = r->mine[i];

		if (!trie_slots_have(pair->duty, slot))
			continue;
		if (outcome && (!trie_slots_have(&outcome->told, slot) || trie_slots_have(&outcome->missed, slot)))
			continue;
		trie_slots_add(pair->over, slot);
		if (outcome && trie_slots_have(&outcome->sources, slot))
			trie_slots_add(&r->sourced, slot);
		settle(n, slot);
	}
	drop_empty(r);
}

void slots_source_due(struct node *n, struct timer *t)
{
	struct repair *r = n->repair;
	struct node_status status;

	membership_status(n, &status);
	if (status.down && n->now - r->since < SOURCE_WAIT) {
		timer_set(n, t, n->now + SOURCE_LOOK);
		return;
	}
	for (unsigned int i = 0; i < r->mine_count; i++)
		trie_slots_add(&r->sourced, r->mine[i]);
	for (unsigned int i = 0; i < r->mine_count; i++)
		if (!placement_complete(n, r->mine[i]) && !trie_slots_have(&r->headless, r->mine[i]))
			settle(n, r->mine[i]);
	drop_empty(r);
}

/* ---- a new table ---- */

static int pair_duty(struct pair *p, unsigned int slot)
{
	if (!p->duty)
		p->duty = calloc(1, sizeof(*p->duty));
	if (!p->over)
		p->over = calloc(1, sizeof(*p->over));
	if (!p->duty || !p->over)
		return -ENOMEM;
	trie_slots_add(p->duty, slot);
	return 0;
}

static int add_duty(struct node *n, const struct ring *ring, unsigned int slot)
{
	int result = 0;

	for (unsigned int rank = 0; rank < ring->replicas && !result; rank++) {
		struct pair *p = repair_pair(n, &ring->member[ring_owners(ring, slot)[rank]].id);

		if (p)
			result = pair_duty(p, slot);
	}
	return result;
}

int slots_duties(struct node *n)
{
	struct repair *r = n->repair;
	const struct ring *before;
	bool any = false;
	int result = 0;

	for (unsigned int i = 0; i < r->mine_count && !result; i++) {
		if (placement_complete(n, r->mine[i]))
			continue;
		any = true;
		/* What came while others owned it, they have; all else never left. */
		if (placement_was_complete(n, r->mine[i]) && rebalance_kept(n, r->mine[i]))
			trie_slots_add(&r->sourced, r->mine[i]);
		result = add_duty(n, placement(n), r->mine[i]);
		for (unsigned int k = 0; !result && (before = placement_earlier(n, k)); k++)
			result = add_duty(n, before, r->mine[i]);
	}
	/* Who is alone has not yet met the ring that it was told of. */
	if (any && (placement(n)->members > 1 || placement_earlier(n, 0)))
		timer_set(n, &r->source_timer, n->now + SOURCE_LOOK);
	return result;
}

void slots_held(struct node *n, const struct address *id, unsigned int slot)
{
	struct repair *r = n->repair;
	const struct ring *ring = placement(n);
	const struct member *m = membership_find(n, id);
	int they = ring_find(ring, id);
	struct pair *pair;

	if (!placement_mine(n, slot) || placement_complete(n, slot) || trie_slots_have(&r->headless, slot) ||
	    (they >= 0 && ring_owns(ring, slot, (unsigned int)they)) ||
	    !m || (m->state != MEMBER_HERE && m->state != MEMBER_DRAINING))
		return;
	pair = repair_pair(n, id);
	if (!pair)
		pair = repair_add(n, id);
	if (!pair || (has(pair->duty, slot) && has(pair->over, slot)))
		return;
	if (!pair_duty(pair, slot))
		repair_due(n, pair, n->now + node_random(n, HANDOVER_ASK));
}

int slots_table(struct node *n)
{
	struct repair *r = n->repair;
	uint16_t *mine;
	unsigned int count = 0;

	r->headless = repair_no_slots;
	r->since = n->now;
	timer_stop(n, &r->source_timer);
	/* What one knew who had all is here still, where the slot is. */
	for (unsigned int i = 0; i < r->mine_count; i++)
		if (!placement_mine(n, r->mine[i])) {
			trie_forget(r->trie, r->mine[i]);
			trie_slots_remove(&r->sourced, r->mine[i]);
		}
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		count += placement_mine(n, slot);
	mine = malloc((count + 1) * sizeof(*mine));
	free(r->mine);
	r->mine = mine;
	r->mine_count = 0;
	if (!mine)
		return -ENOMEM;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		if (placement_mine(n, slot))
			mine[r->mine_count++] = (uint16_t)slot;
	return 0;
}
