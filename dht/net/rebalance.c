/*
 * When slots move: what lies here is labelled anew, and what we no longer own is given up only when its new owners have it.
 * (They fetch it: repair.c.  What they still lack then goes to them one by one: foreign.c.)
 *
 * Two walks over the records, each in pieces, after each new table; one runs at a time.
 *
 * walk   | a record                              | function    | becomes
 * GAINED | FOREIGN or CACHED, in a slot of ours  | gained()    | OWNED (and FOREIGN still, if it was, and foreign_add())
 * LOST   | OWNED, in another's slot, released    | lost()      | FOREIGN, and foreign_add()
 *        | OWNED, in another's slot, held        | lost()      | as it is: we go on serving it
 *
 * slot     | event                               | function    | next
 * -        | it was ours, and no longer is       | table()     | held: leases and heads may lie here, though no record does
 * -        | the walk met a record of it (of before a restart) | lost() | held
 * held     | all its owners say that it is complete at them | polled() | released
 *          | HANDOVER_PUSH is over               | poll()      | released
 * released | the walk has passed                 | walk_over() | -
 *          | a record could not be labelled      | relabelled() | held, and released by the next poll()
 * any      | it is ours again                    | table()     | -
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/lease.h"
#include "dht/net/rebalance.h"

enum walk { GAINED, LOST, OVER };

struct relabel {
	struct work work;		/* not busy: free */
	struct address address;
	unsigned int states;		/* what it becomes */
};

struct rebalance {
	enum walk walk;
	struct address at;		/* where the walk goes on */
	struct relabel relabel[RELABEL_BATCH];
	unsigned int busy;
	struct timer timer;		/* of the walk */
	struct trie_slots mine;		/* in the table */
	struct trie_slots held, released;
	struct trie_slots later;	/* released while a walk ran: the next one's */
	struct owner_bits *owners;	/* by slot; NULL: nobody was asked yet */
	uint64_t since;			/* of the table */
	uint64_t pause;			/* before the owners are asked again */
	struct timer poll_timer;
	struct call poll;
	struct wire_path asked[WIRE_PATHS_MAX];
	unsigned int asked_count;
	uint64_t *life;			/* of each member of the table: the instance that bits of told speak of */
	unsigned int member, slot;	/* who was asked; where the round of questions goes on */
};

/* Bit i: the owner of rank i ... */
struct owner_bits {
	uint8_t complete;		/* has said that it is complete */
	uint8_t asked;			/* was asked in this round, or can't be reached */
	uint8_t told;			/* knows that we hold it: answered when asked about just this slot, in this life */
};

_Static_assert(RING_REPLICAS_MAX <= 8, "a bit each");

/* ---- the walks ---- */

static void walk_on(struct node *n)
{
	timer_set(n, &n->rebalance->timer, n->now);
}

static void walk_from(struct node *n, enum walk walk)
{
	n->rebalance->walk = walk;
	memset(&n->rebalance->at, 0, sizeof(n->rebalance->at));
	walk_on(n);
}

static void forget_owners(struct rebalance *r)
{
	free(r->owners);
	free(r->life);
	r->owners = NULL;
	r->life = NULL;
}

static void poll_later(struct node *n)
{
	struct rebalance *r = n->rebalance;

	if (!trie_slots_empty(&r->held)) {
		if (!r->pause)
			r->pause = r->owners ? HANDOVER_ASK : HANDOVER_ASK / 2;
		else
			r->pause = 2 * r->pause < HANDOVER_POLL ? 2 * r->pause : HANDOVER_POLL;
		timer_set(n, &r->poll_timer, n->now + node_jitter(n, r->pause));
		return;
	}
	forget_owners(r);
}

static void walk_over(struct node *n)
{
	struct rebalance *r = n->rebalance;

	if (r->walk == GAINED) {
		walk_from(n, LOST);
		return;
	}
	r->walk = OVER;
	r->released = r->later;
	r->later = repair_no_slots;
	if (!trie_slots_empty(&r->released)) {
		walk_from(n, LOST);
		return;
	}
	/* No slot waits for its new owners: leases may go to them. */
	if (trie_slots_empty(&r->held))
		lease_sweep_again(n);
	if (!timer_busy(&r->poll_timer) && !call_busy(&r->poll))
		poll_later(n);
}

static void relabelled(struct node *n, struct work *w, const struct event *e)
{
	struct relabel *l = list_item(w, struct relabel, work);

	n->rebalance->busy--;
	/* Also of a gained one: it may have been confirmed, and was FOREIGN no more, between our look at it and the disk's turn. */
	if (!e->result && l->states & STATE_FOREIGN)
		foreign_add(n, &l->address);
	else if (e->result && e->result != -ENOENT && l->states == STATE_FOREIGN)
		trie_slots_add(&n->rebalance->held, ring_slot(&l->address));
	if (!n->rebalance->busy)
		walk_on(n);
}

static void relabel(struct node *n, const struct address *a, unsigned int states)
{
	struct effect e = { .kind = EFFECT_STATES, .address = *a, .states = states };
	struct relabel *l = &n->rebalance->relabel[n->rebalance->busy++];

	l->address = *a;
	l->states = states;
	l->work.done = relabelled;
	work_start(n, &l->work, &e);
}

static void slot_start(unsigned int slot, struct address *out)
{
	memset(out, 0, sizeof(*out));
	put_be64(out->b, (uint64_t)slot << (64 - RING_SLOT_BITS));
}

/* Go on at the first slot from ${slot} that concerns this walk.  False: there is none. */
static bool skip_to(struct node *n, unsigned int slot)
{
	struct rebalance *r = n->rebalance;
	struct address start;

	while (slot < RING_SLOTS && placement_mine(n, slot) != (r->walk == GAINED))
		slot++;
	if (slot == RING_SLOTS)
		return false;
	slot_start(slot, &start);
	if (address_compare(&r->at, &start) < 0)
		r->at = start;
	return true;
}

static void gained(struct node *n, const struct address *a)
{
	unsigned int states = n->options.catalogue->state(n->options.catalogue, a);

	if (!(states & STATE_OWNED))
		relabel(n, a, STATE_OWNED | (states & STATE_FOREIGN));
}

/* False: this slot is held, go on behind it. */
static bool lost(struct node *n, const struct address *a)
{
	struct rebalance *r = n->rebalance;
	unsigned int slot = ring_slot(a);

	if (trie_slots_have(&r->released, slot)) {
		relabel(n, a, STATE_FOREIGN);
		return true;
	}
	if (!trie_slots_have(&r->later, slot))
		trie_slots_add(&r->held, slot);
	return false;
}

/* One look at the catalogue.  False: the walk is over. */
static bool walk_some(struct node *n)
{
	struct rebalance *r = n->rebalance;
	struct catalogue *c = n->options.catalogue;
	unsigned int states = r->walk == GAINED ? STATE_FOREIGN | STATE_CACHED : STATE_OWNED;
	struct address some[RELABEL_BATCH];
	size_t got, want = RELABEL_BATCH;

	if (!skip_to(n, ring_slot(&r->at)))
		return false;
	if (r->walk == LOST && !trie_slots_have(&r->released, ring_slot(&r->at)))
		want = 1;		/* one is enough to see that a slot is held */
	got = c->list(c, &r->at, states, want, some);
	for (size_t i = 0; i < got; i++) {
		unsigned int slot = ring_slot(&some[i]);

		if (placement_mine(n, slot) != (r->walk == GAINED)) {
			r->at = some[i];	/* skip_to() finds the next slot from here */
			return true;
		}
		if (r->walk == GAINED) {
			gained(n, &some[i]);
		} else if (!lost(n, &some[i])) {
			r->at = some[i];
			return skip_to(n, slot + 1);
		}
	}
	return got == want && trie_after(&some[got - 1], &r->at);
}

static void walk(struct node *n, struct timer *t)
{
	struct rebalance *r = list_item(t, struct rebalance, timer);

	if (r->walk == OVER) {		/* slots were released, all those of one answer */
		walk_from(n, LOST);
		return;
	}
	for (unsigned int reads = 0; reads < REPAIR_READS && !r->busy; reads += RELABEL_BATCH)
		if (!walk_some(n)) {
			/* the last ones of it may be under way still: the walk after it must find them done */
			if (!r->busy)
				walk_over(n);
			else
				memset(&r->at, 0xff, sizeof(r->at));
			return;
		}
	if (!r->busy)
		walk_on(n);
}

/* ---- are the new owners complete? ---- */

static void release(struct node *n, unsigned int slot)
{
	struct rebalance *r = n->rebalance;

	r->pause = 0;			/* others will follow */
	trie_slots_remove(&r->held, slot);
	placement_given_up(n, slot);
	trie_slots_add(r->walk == OVER ? &r->released : &r->later, slot);
	if (r->walk == OVER && !timer_busy(&r->timer))
		walk_on(n);
}

/* Ranks of a held slot's owners who are to be asked still. */
static unsigned int open_ranks(const struct rebalance *r, const struct ring *ring, unsigned int slot)
{
	return ((1u << ring->replicas) - 1) & ~(unsigned int)(r->owners[slot].complete | r->owners[slot].asked);
}

/* Of a held slot r->member is to be asked, by what rank?  -1: it is not. */
static int open_rank(struct node *n, unsigned int slot)
{
	const struct ring *ring = placement(n);

	for (unsigned int rank = 0; rank < ring->replicas; rank++)
		if (ring_owners(ring, slot)[rank] == n->rebalance->member &&
		    open_ranks(n->rebalance, ring, slot) >> rank & 1)
			return (int)rank;
	return -1;
}

static void note_asked(struct node *n, unsigned int slot, unsigned int end)
{
	struct rebalance *r = n->rebalance;

	for (; slot < end; slot = trie_slots_next(&r->held, slot + 1)) {
		int rank = open_rank(n, slot);

		if (rank >= 0)
			r->owners[slot].asked |= (uint8_t)(1u << rank);
	}
}

/* Does r->member know that we hold all that it is to be asked, from ${slot} on? */
static bool knows(struct node *n, unsigned int slot, unsigned int end)
{
	struct rebalance *r = n->rebalance;

	for (; slot < end; slot = trie_slots_next(&r->held, slot + 1)) {
		int rank = open_rank(n, slot);

		if (rank >= 0 && !(r->owners[slot].told >> rank & 1))
			return false;
	}
	return true;
}

/* What r->member is to be asked, from ${slot} on: slot by slot until it has been told so what we hold; then a quarter of all slots at a
 * time, if there are many. */
static void gather(struct node *n, unsigned int slot)
{
	struct rebalance *r = n->rebalance;
	unsigned int first = slot, quarter_end = slot - slot % REPAIR_QUARTER + REPAIR_QUARTER;

	for (r->asked_count = 0; slot < RING_SLOTS && r->asked_count < WIRE_PATHS_MAX; slot = trie_slots_next(&r->held, slot + 1))
		if (open_rank(n, slot) >= 0)
			trie_path_slot(slot, &r->asked[r->asked_count++]);
	if (slot < quarter_end && knows(n, first, quarter_end)) {
		r->asked_count = 1;
		r->asked[0] = (struct wire_path){ .depth = 1, .nibbles = { (uint8_t)((quarter_end - REPAIR_QUARTER) >> 8) } };
		slot = quarter_end;
	}
	note_asked(n, first, slot);
}

/* The next owner in this round who has not yet said of some held slots that they are complete; NULL: the round is over. */
static struct peer *next_asked(struct node *n)
{
	struct rebalance *r = n->rebalance;
	const struct ring *ring = placement(n);

	for (r->slot = trie_slots_next(&r->held, r->slot); r->slot < RING_SLOTS; r->slot = trie_slots_next(&r->held, r->slot + 1))
		for (unsigned int open; (open = open_ranks(r, ring, r->slot));) {
			unsigned int rank = (unsigned int)__builtin_ctz(open);
			struct peer *p;

			r->member = ring_owners(ring, r->slot)[rank];
			p = peer_find(n, &ring->member[r->member].id);
			if (p && peer_reachable(n, p)) {
				gather(n, r->slot);
				return p;
			}
			r->owners[r->slot].asked |= (uint8_t)(1u << rank);
		}
	return NULL;
}

static void ask(struct node *n);

/* The bit of r->member's rank in a slot; 0: it does not own it. */
static uint8_t rank_bit(struct node *n, unsigned int slot)
{
	const struct ring *ring = placement(n);

	for (unsigned int rank = 0; rank < ring->replicas; rank++)
		if (ring_owners(ring, slot)[rank] == n->rebalance->member)
			return (uint8_t)(1u << rank);
	return 0;
}

static void note_complete(struct node *n, unsigned int slot)
{
	struct rebalance *r = n->rebalance;
	const struct ring *ring = placement(n);

	r->owners[slot].complete |= rank_bit(n, slot);
	if (r->owners[slot].complete == (1u << ring->replicas) - 1)
		release(n, slot);
}

static void quarter_told(struct node *n, const struct message *m)
{
	struct rebalance *r = n->rebalance;
	unsigned int first = (unsigned int)r->asked[0].nibbles[0] << 8;

	for (unsigned int i = 0; i < REPAIR_QUARTER && m->count_count == 2 * REPAIR_WORDS; i++)
		if (trie_slots_have(&r->held, first + i) && wire_count(m, REPAIR_WORDS + i / 32) >> i % 32 & 1)
			note_complete(n, first + i);
}

static void polled(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct rebalance *r = list_item(c, struct rebalance, poll);

	(void)body;
	if (!result && m->status == WIRE_OK && r->asked[0].depth == 1)
		quarter_told(n, m);
	else
		for (unsigned int i = 0; !result && m->status == WIRE_OK && i < r->asked_count && i / 8 < m->have.len; i++) {
			unsigned int slot = trie_slot(&r->asked[i]);

			r->owners[slot].told |= rank_bit(n, slot);
			if (m->have.data[i / 8] >> i % 8 & 1)
				note_complete(n, slot);
		}
	ask(n);
}

static void ask(struct node *n)
{
	struct rebalance *r = n->rebalance;
	uint8_t paths[WIRE_PATHS_MAX * WIRE_PATH_LEN];
	struct message m = { .type = WIRE_SLOTS, .paths_bytes = paths };
	struct peer *p = next_asked(n);

	if (!p) {
		poll_later(n);
		return;
	}
	for (unsigned int i = 0; i < r->asked_count; i++)
		wire_path_put(&r->asked[i], paths + i * WIRE_PATH_LEN);
	m.path_count = r->asked_count;
	r->poll.done = polled;
	call_start(n, &r->poll, p, &m, NULL, LINK_REPAIR, CALL_QUICK);
}

/* Who has been started again has forgotten what it was told. */
static void look_for_new_lives(struct node *n)
{
	struct rebalance *r = n->rebalance;
	const struct ring *ring = placement(n);

	for (r->member = 0; r->member < ring->members; r->member++) {
		const struct member *m = membership_find(n, &ring->member[r->member].id);

		if (!m || m->instance == r->life[r->member])
			continue;
		r->life[r->member] = m->instance;
		for (unsigned int slot = trie_slots_next(&r->held, 0); slot < RING_SLOTS; slot = trie_slots_next(&r->held, slot + 1))
			r->owners[slot].told &= (uint8_t)~rank_bit(n, slot);
	}
}

static void poll(struct node *n, struct timer *t)
{
	struct rebalance *r = list_item(t, struct rebalance, poll_timer);
	const struct ring *ring = placement(n);
	bool late = n->now - r->since >= HANDOVER_PUSH;

	if (!r->owners) {
		r->owners = calloc(RING_SLOTS, sizeof(*r->owners));
		r->life = calloc(ring->members, sizeof(*r->life));
		if (!r->life)
			forget_owners(r);
	}
	if (r->owners)
		look_for_new_lives(n);
	for (unsigned int slot = trie_slots_next(&r->held, 0); slot < RING_SLOTS; slot = trie_slots_next(&r->held, slot + 1)) {
		if (late || !r->owners || r->owners[slot].complete == (1u << ring->replicas) - 1)
			release(n, slot);
		else
			r->owners[slot].asked = 0;
	}
	r->slot = 0;
	ask(n);
}

/* ---- from table to table ---- */

static void table(struct node *n)
{
	struct rebalance *r = n->rebalance;

	call_stop(n, &r->poll);
	timer_stop(n, &r->poll_timer);
	forget_owners(r);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		if (placement_mine(n, slot)) {
			trie_slots_add(&r->mine, slot);
			trie_slots_remove(&r->held, slot);
		} else if (trie_slots_have(&r->mine, slot)) {
			trie_slots_remove(&r->mine, slot);
			trie_slots_add(&r->held, slot);
		}
	}
	r->released = r->later = repair_no_slots;
	r->pause = 0;
	r->since = n->now;
	walk_from(n, GAINED);
}

bool rebalance_holds(struct node *n, unsigned int slot)
{
	const struct rebalance *r = n->rebalance;

	return r && !placement_mine(n, slot) && (r->walk != OVER || trie_slots_have(&r->held, slot));
}

bool rebalance_kept(struct node *n, unsigned int slot)
{
	return n->rebalance && trie_slots_have(&n->rebalance->held, slot);
}

bool rebalance_over(struct node *n)
{
	const struct rebalance *r = n->rebalance;
	struct catalogue *c = n->options.catalogue;
	struct address any;

	return r->walk == OVER && !r->busy && trie_slots_empty(&r->held) && trie_slots_empty(&r->released) && !foreign_count(n) &&
	    !c->list(c, NULL, STATE_OWNED | STATE_FOREIGN, 1, &any);
}

static void start(struct node *n)
{
	struct rebalance *r = calloc(1, sizeof(*r));

	n->rebalance = r;
	if (!r) {
		node_stop(n, "no memory");
		return;
	}
	r->walk = OVER;
	r->timer.due = walk;
	r->poll_timer.due = poll;
	leave_start(n);
}

static void end(struct node *n)
{
	struct rebalance *r = n->rebalance;

	if (!r)
		return;
	leave_end(n);
	timer_stop(n, &r->timer);
	timer_stop(n, &r->poll_timer);
	call_stop(n, &r->poll);
	for (unsigned int i = 0; i < RELABEL_BATCH; i++)
		work_stop(n, &r->relabel[i].work);
	forget_owners(r);
	free(r);
	n->rebalance = NULL;
}

static size_t memory(struct node *n)
{
	const struct rebalance *r = n->rebalance;

	return sizeof(*r) + (r->owners ? RING_SLOTS * sizeof(*r->owners) + placement(n)->members * sizeof(*r->life) : 0);
}

const struct machine rebalance_machine = {
	.name = "rebalance",
	.start = start,
	.table = table,
	.end = end,
	.memory = memory,
};
