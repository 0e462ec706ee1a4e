/*
 * What a person is told is counted when he asks: no machine keeps figures for it, so none can be forgotten where a state changes.
 * It costs a walk over members and slots, for something that is asked a few times a minute.
 */
#include "dht/net/report.h"

#include <stdlib.h>
#include <string.h>

#include "dht/net/membership.h"
#include "dht/net/repair_impl.h"

static enum report_state state_of(struct node *n)
{
	if (n->stopped || n->membership->own.state == SELF_ENDING)
		return REPORT_ENDS;
	if (n->membership->own.state == SELF_STARTING)
		return REPORT_BEGINS;
	if (n->membership->own.state == SELF_JOINING)
		return REPORT_JOINS;
	return n->self && n->self->state == MEMBER_DRAINING ? REPORT_DRAINS : REPORT_HERE;
}

static void count_members(struct node *n, struct report_ring *out)
{
	const struct view *v = &n->membership->view;

	for (unsigned int i = 0; i < v->count; i++) {
		const struct view_entry *e = v->entry[i];
		enum health health = membership_health(n, &e->member->id);

		if (view_gone(e)) {
			out->gone++;
			continue;
		}
		out->members++;
		out->draining += e->member->state == MEMBER_DRAINING;
		if (address_equal(&e->member->id, &n->id))
			continue;
		out->down += health == PEER_DOWN;
		out->suspects += health == PEER_SUSPECT;
	}
}

/* Which members of the table can't be reached now, one byte each; NULL: no memory. */
static uint8_t *who_is_down(struct node *n, const struct ring *r)
{
	uint8_t *down = calloc(r->members, 1);

	for (unsigned int i = 0; down && i < r->members; i++)
		down[i] = !address_equal(&r->member[i].id, &n->id) &&
		    membership_health(n, &r->member[i].id) == PEER_DOWN;
	return down;
}

static void count_slots(struct node *n, const struct ring *r, struct report_ring *out)
{
	uint8_t *down = who_is_down(n, r);

	memset(out->cover, (int)r->replicas, sizeof(out->cover));
	for (unsigned int slot = 0; down && slot < RING_SLOTS; slot++) {
		const uint16_t *owner = ring_owners(r, slot);
		uint8_t *cover = &out->cover[slot / (RING_SLOTS / REPORT_COVER)];
		unsigned int up = 0;

		for (unsigned int i = 0; i < r->replicas; i++)
			up += !down[owner[i]];
		out->owned[up]++;
		if (up < *cover)
			*cover = (uint8_t)up;
		out->mine += placement_mine(n, slot);
		out->incomplete += placement_mine(n, slot) && !placement_complete(n, slot);
		out->holds += !placement_mine(n, slot) && rebalance_holds(n, slot);
	}
	free(down);
}

static void count_rests(struct node *n, struct report_ring *out)
{
	static const struct address anyone;
	const struct gossip *g = &n->membership->gossip;

	for (unsigned int i = 0; i < g->rests; i++) {
		if (g->rest[i].until <= n->now || !address_equal(&g->rest[i].target, &anyone))
			continue;
		out->rests = true;
		out->rest_s = (g->rest[i].until - n->now) / S;
	}
}

void report_ring(struct node *n, struct report_ring *out)
{
	const struct ring *r = placement(n);

	*out = (struct report_ring){ .id = n->id, .state = state_of(n) };
	count_members(n, out);
	count_rests(n, out);
	out->foreign = foreign_count(n);
	if (n->repair) {
		out->pairs = n->repair->pairs;
		out->comparing = n->repair->running;
		for (unsigned int i = 0; i < n->repair->pairs; i++)
			out->due += !n->repair->pair[i].reconcile && n->repair->pair[i].due <= n->now;
	}
	if (!r)
		return;
	out->replicas = r->replicas;
	out->left_us = placement_left(n);
	count_slots(n, r, out);
}

/* Slots of each member of ${r}; NULL: no table, or no memory. */
static unsigned int *count_owned(const struct ring *r)
{
	unsigned int *slots = r ? calloc(r->members, sizeof(*slots)) : NULL;

	for (size_t i = 0; slots && i < (size_t)RING_SLOTS * r->replicas; i++)
		slots[r->owner[i]]++;
	return slots;
}

static unsigned int slots_of(const struct ring *r, const unsigned int *slots, const struct address *id)
{
	int member = slots ? ring_find(r, id) : -1;

	return member < 0 ? 0 : slots[member];
}

/* ${p}: what we have to do with it; NULL: nothing. */
static void fill_member(struct node *n, const struct view_entry *e, const struct peer *p, struct report_member *out)
{
	const struct member *m = e->member;
	uint64_t since = membership_down_since(n, &m->id);

	*out = (struct report_member){ .id = m->id, .state = m->state, .weight = m->weight };
	memcpy(out->zone, m->zone, sizeof(out->zone));
	memcpy(out->address, m->address, sizeof(out->address));
	out->self = address_equal(&m->id, &n->id);
	if (out->self || view_gone(e))
		return;
	out->down = membership_health(n, &m->id) == PEER_DOWN;
	out->suspect = membership_health(n, &m->id) == PEER_SUSPECT;
	out->rests = gossip_resting(n, &m->id);
	out->linked = e->linked;
	out->heard = e->heard > 0;
	out->heard_us = n->now - e->heard;
	out->down_us = since > 0 ? n->now - since : 0;
	if (!p)
		return;
	out->latency_us = p->latency;
	out->calls = p->calls;
	out->wrong = p->wrong;
}

bool report_member(struct node *n, const struct address *id, struct report_member *out)
{
	const struct view_entry *e = view_find(&n->membership->view, id);

	if (e)
		fill_member(n, e, address_equal(id, &n->id) ? NULL : peer_find(n, id), out);
	return e != NULL;
}

size_t report_members(struct node *n, const struct address *after, struct report_member *out, size_t max)
{
	const struct view *v = &n->membership->view;
	const struct ring *now = placement(n), *before = placement_earlier(n, 0);
	unsigned int *slots = count_owned(now), *slots_before = count_owned(before);
	unsigned int i = after ? view_from(v, after) : 0;
	const struct peer *p = peer_next(n, after);
	size_t count = 0;

	if (after && i < v->count && address_equal(&v->entry[i]->member->id, after))
		i++;
	for (; i < v->count && count < max; i++, count++) {
		struct report_member *m = &out[count];
		const struct address *id = &v->entry[i]->member->id;

		while (p && address_compare(&p->id, id) < 0)
			p = peer_next(n, &p->id);
		fill_member(n, v->entry[i], p && address_equal(&p->id, id) ? p : NULL, m);
		m->slots = slots_of(now, slots, &m->id);
		m->slots_before = before ? slots_of(before, slots_before, &m->id) : m->slots;
	}
	free(slots);
	free(slots_before);
	return count;
}

size_t report_owners(struct node *n, const struct address *a, struct address *out, size_t max, unsigned int *replicas)
{
	const struct ring *r = placement(n);
	uint16_t walk[PLACEMENT_WALK_MAX];
	unsigned int count;

	*replicas = 0;
	if (!r)
		return 0;
	count = ring_walk(r, ring_slot(a), walk, max < PLACEMENT_WALK_MAX ? (unsigned int)max : PLACEMENT_WALK_MAX);
	*replicas = r->replicas < count ? r->replicas : count;
	for (unsigned int i = 0; i < count; i++)
		out[i] = r->member[walk[i]].id;
	return count;
}
