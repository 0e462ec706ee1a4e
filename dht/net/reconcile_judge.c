/*
 * What a peer's answer about its trie means: what it has and we lack is pulled, what we have and it lacks is offered, what
 * differs is looked at more closely.
 *
 * A liar could have us look for ever.  So what is looked at is counted (r->spent), and may be no more than what is
 * ours, or turns out to be of use, makes plausible (r->budget): FRUIT places for each such address, as no address that
 * differs needs more than one place a step on the way down, and nearly all are among few after two or three.  Addresses without a
 * lease here cost as much: their leases are fetched before more of them are listed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/reconcile_impl.h"

#define OWN_LISTED 256u
#define FRUIT	   4u
#define EMPTY	   64u			/* what a place costs that was said to differ, and has nothing */

/* They have ${a}: do we?  0, or -ENOSPC: later. */
static int want(struct node *n, struct reconcile *r, const struct address *a)
{
	struct catalogue *c = n->options.catalogue;
	unsigned int slot = ring_slot(a);
	int result;

	if (!placement_mine(n, slot)) {
		r->spent++;
		return 0;
	}
	if (!c->leased(c, a)) {		/* here or not: a lease is newer there, or here */
		if (!trie_slots_have(&r->agreed, slot))
			trie_slots_add(&r->leases, slot);
		r->spent++;
		return 0;
	}
	if (c->state(c, a) & (STATE_OWNED | STATE_FOREIGN))
		return 0;
	result = pull_add(n, a, &r->id, r);
	if (result > 0) {
		r->pulls++;
		r->budget += FRUIT;
	}
	return result < 0 ? result : 0;
}

static int offer(struct reconcile *r, const struct address *a)
{
	if (!trie_slots_have(&r->shared, ring_slot(a)))
		return 0;
	if (!r->offer)
		r->offer = malloc(WIRE_ADDRESSES_MAX * sizeof(*r->offer));
	if (!r->offer)
		return -ENOMEM;
	if (r->offers < WIRE_ADDRESSES_MAX)
		r->offer[r->offers++] = *a;
	else
		r->offer_more = true;
	return 0;
}

/* What we have below ${path} and they don't: all but ${few}, which are in order. */
static int offer_below(struct node *n, struct reconcile *r, const struct wire_path *path, const struct address *few,
    unsigned int count)
{
	struct address own[OWN_LISTED];
	size_t got;
	int result = 0;

	if (path->depth < TRIE_SLOT_DEPTH) {	/* they lack whole slots: they will know it by themselves */
		r->offer_more = true;
		return 0;
	}
	got = trie_list(n->repair->trie, path, NULL, OWN_LISTED, own);
	for (size_t i = 0; i < got && !result; i++) {
		while (count && address_compare(few, &own[i]) < 0)
			few++, count--;
		if (!count || !address_equal(few, &own[i]))
			result = offer(r, &own[i]);
	}
	if (got == OWN_LISTED)
		r->offer_more = true;
	return result;
}

/* Are these in order, below ${path}, and behind ${after}? */
static bool in_order(const struct wire_path *path, const struct address *a, unsigned int count, const struct address *after)
{
	for (unsigned int i = 0; i < count; after = &a[i++])
		if (!trie_path_has(path, &a[i]) || (after && address_compare(after, &a[i]) >= 0))
			return false;
	return true;
}

/* Few addresses lie below ${path} there: all of them are in the answer. */
static int judge_few(struct node *n, struct reconcile *r, const struct wire_path *path, unsigned int count)
{
	const struct address *few = r->answer.addresses + r->address_at;

	if (count > r->answer.address_count - r->address_at || !in_order(path, few, count, NULL))
		return -EBADMSG;
	for (unsigned int i = 0; i < count; i++)	/* again from the first one, after a pause: no harm */
		if (want(n, r, &few[i]))
			return -ENOSPC;
	r->address_at += count;
	return offer_below(n, r, path, few, count);
}

static int judge_many(struct node *n, struct reconcile *r, const struct wire_path *path)
{
	const struct wire_hash *theirs = r->answer.hashes + r->hash_at;
	static const struct wire_hash empty;
	struct trie_part own[TRIE_CHILDREN];
	struct wire_path child;
	int result;

	if (r->answer.hash_count - r->hash_at < TRIE_CHILDREN)
		return -EBADMSG;
	result = trie_parts(n->repair->trie, path, &r->shared, own);
	if (result)
		return result;
	for (unsigned int i = 0; i < TRIE_CHILDREN && !result; i++) {
		if (path->depth == TRIE_SLOT_DEPTH)	/* all that is ours may differ */
			r->budget += FRUIT * own[i].count;
		if (!memcmp(&theirs[i], &own[i].hash, sizeof(*theirs)))
			continue;
		trie_path_child(path, i, &child);
		if (!trie_path_valid(&child))
			return -EBADMSG;
		if (!memcmp(&theirs[i], &empty, sizeof(empty)))
			result = offer_below(n, r, &child, NULL, 0);
		else
			result = reconcile_push(r, &child, !own[i].count && child.depth < TRIE_SLOT_DEPTH);
	}
	r->hash_at += TRIE_CHILDREN;
	return result;
}

static int judge_place(struct node *n, struct reconcile *r, const struct wire_path *path, uint32_t count)
{
	if (!count)
		return offer_below(n, r, path, NULL, 0);
	if (path->depth >= TRIE_SLOT_DEPTH && count <= TRIE_LEAF)
		return judge_few(n, r, path, count);
	if (path->depth == TRIE_DEPTH)
		return reconcile_push(r, path, true);
	return judge_many(n, r, path);
}

static int judge_list(struct node *n, struct reconcile *r)
{
	const struct message *m = &r->answer;

	if (!in_order(&r->asked[0], m->addresses, m->address_count, r->more ? &r->after : NULL))
		return -EBADMSG;
	for (; r->address_at < m->address_count; r->address_at++)
		if (want(n, r, &m->addresses[r->address_at]))
			return -ENOSPC;
	if (!r->more && !m->address_count)
		r->spent += EMPTY;
	r->more = r->listing = m->more;
	if (m->more)
		r->after = m->addresses[m->address_count - 1];
	return 0;
}

int reconcile_judge(struct node *n, struct reconcile *r)
{
	int result = 0;

	trie_allow(n->repair->trie, REPAIR_READS);
	if (r->listing)
		return judge_list(n, r);
	for (; r->at < r->asked_count && !result; r->at += !result)
		result = judge_place(n, r, &r->asked[r->at], wire_count(&r->answer, r->at));
	return result;
}
