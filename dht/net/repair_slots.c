/*
 * Which of our slots are incomplete, until each peer that could know more has been reconciled with.
 *
 * slot       | event                                       | function         | next
 * -          | it has become ours; our store is a new one  | slots_duties()   | lacking: in the duty of each pair whose peer owns it,
 *            |                                             |                  | or owned it in a table from which slots still move
 *            | ... and there is no such peer               | slots_duties()   | headless
 * lacking    | all those were reconciled with, and all was got | slots_done() | headless
 * headless   | heads_complete()                            | finish()         | complete
 * any        | a new table                                 | slots_table()    | -
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/repair_impl.h"

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

static bool waits(const struct repair *r, unsigned int slot)
{
	for (unsigned int i = 0; i < r->pairs; i++)
		if (r->pair[i].duty && trie_slots_have(r->pair[i].duty, slot))
			return true;
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

void slots_done(struct node *n, struct pair *pair, const struct trie_slots *missed)
{
	struct repair *r = n->repair;

	for (unsigned int i = 0; i < r->mine_count; i++) {
		unsigned int slot = r->mine[i];

		if (!trie_slots_have(pair->duty, slot) || trie_slots_have(missed, slot))
			continue;
		trie_slots_remove(pair->duty, slot);
		if (!waits(r, slot))
			finish(n, slot);
	}
	if (trie_slots_empty(pair->duty)) {
		free(pair->duty);
		pair->duty = NULL;
	}
}

/* ---- a new table ---- */

static int add_duty(struct node *n, const struct ring *ring, unsigned int slot)
{
	for (unsigned int rank = 0; rank < ring->replicas; rank++) {
		struct pair *p = repair_pair(n, &ring->member[ring_owners(ring, slot)[rank]].id);

		if (!p)
			continue;
		if (!p->duty)
			p->duty = calloc(1, sizeof(*p->duty));
		if (!p->duty)
			return -ENOMEM;
		trie_slots_add(p->duty, slot);
	}
	return 0;
}

/* A node that has not yet met the ring that it was told of can't say that nobody has anything for it. */
static bool met_others(struct node *n)
{
	return placement(n)->members > 1 || placement_earlier(n, 0);
}

int slots_duties(struct node *n)
{
	struct repair *r = n->repair;
	const struct ring *before;
	int result = 0;

	for (unsigned int i = 0; i < r->mine_count && !result; i++) {
		unsigned int slot = r->mine[i];

		if (placement_complete(n, slot))
			continue;
		result = add_duty(n, placement(n), slot);
		for (unsigned int k = 0; !result && (before = placement_earlier(n, k)); k++)
			result = add_duty(n, before, slot);
		if (!result && !waits(r, slot) && met_others(n))
			finish(n, slot);
	}
	return result;
}

int slots_table(struct node *n)
{
	struct repair *r = n->repair;
	uint16_t *mine;
	unsigned int count = 0;

	r->headless = repair_no_slots;
	for (unsigned int i = 0; i < r->mine_count; i++)
		if (!placement_mine(n, r->mine[i]))
			trie_forget(r->trie, r->mine[i]);
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
