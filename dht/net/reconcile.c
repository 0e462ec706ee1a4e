/*
 * One pair of nodes: who has what of the slots that it is about.  One function, step(), goes from state to state; whatever
 * comes in only leaves its result and wakes it.
 *
 * state   | step                                          | function       | next
 * SLOTS   | slots of its duty are left                    | step_slots()   | SLOTS, when the peer has said where it has leases
 *         | none                                          | step_slots()   | LEASES
 * LEASES  | slots are left whose leases may differ        | step_leases()  | LEASES, when leases_pull() is done
 *         | of some they came: a message full of slots    | step_leases()  | DESCEND, to these; the other leases come beside it
 *         | none is left                                  | step_leases()  | COMPARE, or back to DESCEND
 * COMPARE | what it asked for already is not all here     | step_compare() | COMPARE, when those pulls are over
 *         | our own hash of all that we share             | step_compare() | COMPARE, when the trie is read
 *         | theirs is the same                            | compared()     | DESCEND, only what was theirs before
 *         | another one                                   | compared()     | DESCEND, from the root
 * DESCEND | places are left to be asked for               | ask(), list()  | JUDGE, when the answer is here
 *         | none; leases come still, or seem to differ    | step_descend() | LEASES
 *         | none; COMPARE is still to come                | step_descend() | LEASES, and on to it
 *         | none                                          | step_descend() | OFFER
 * JUDGE   | an answer                                     | step_judge()   | JUDGE, when the trie is read, or pulls have room
 *         | all of it                                     | step_judge()   | DESCEND
 * OFFER   | they lack something                           | step_offer()   | WAIT, when they have answered
 * WAIT    | all pulls are over                            | step()         | over: repair_done()
 * DESCEND | too much was looked at for nothing; leases seem to differ | overspent() | LEASES, once
 * any     | the peer can't be reached, breaks the rules,  | step()         | over: repair_done()
 *         | or has us look at too much for nothing        |                |
 *
 * The chunks themselves are not waited for: they come in beside it (pull.c), until there are too many.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/lease.h"
#include "dht/net/reconcile_impl.h"

static void wake(struct node *n, struct reconcile *r)
{
	timer_set(n, &r->timer, n->now);
}

static void fail(struct node *n, struct reconcile *r, int result)
{
	if (!r->result)
		r->result = result;
	wake(n, r);
}

static void fail_wrong(struct node *n, struct reconcile *r, const char *what)
{
	struct peer *p = peer_find(n, &r->id);

	if (p)
		peer_wrong(n, p, what);
	fail(n, r, -EBADMSG);
}

static void drop_answer(struct reconcile *r)
{
	chunk_drop(r->body);
	r->body = NULL;
}

/* The lowest slot of a set, taken out of it; -1: it is empty. */
static int take_slot(struct trie_slots *s)
{
	unsigned int slot = trie_slots_next(s, 0);

	if (slot == RING_SLOTS)
		return -1;
	trie_slots_remove(s, slot);
	return (int)slot;
}

/* What an answer that is none means for us: 0 where it is one. */
static int refused(int result, const struct message *m)
{
	if (result)
		return result;
	if (m->status == WIRE_BUSY || m->status == WIRE_OTHER_PLACEMENT || m->status == WIRE_LEAVING)
		return -EAGAIN;
	return m->status == WIRE_OK || m->status == WIRE_MISS ? 0 : -EPROTO;
}

/* ---- leases: what is not leased here is not wanted here, so they come first ---- */

/* Most slots of a small ring have none at all.  Those need no more than the peer's word for it. */
static void slot_told(struct node *n, struct reconcile *r, unsigned int slot, bool any, bool complete)
{
	trie_slots_remove(&r->duty, slot);
	trie_slots_add(&r->outcome.told, slot);
	if (complete)
		trie_slots_add(&r->outcome.sources, slot);
	else if (r->pair->over && trie_slots_have(r->pair->over, slot))
		return;		/* it has told us what it had, and still waits for others itself */
	trie_slots_add(any || lease_any(n, slot) ? &r->leases : &r->agreed, slot);
}

static void slots_told(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct reconcile *r = list_item(c, struct reconcile, call);
	bool quarter = r->asked[0].depth == 1;

	(void)body;
	result = refused(result, m);
	if (!result && m->status != WIRE_OK)
		result = -EPROTO;
	if (result) {
		fail(n, r, result);
		return;
	}
	if (m->count_count != (quarter ? 2 * REPAIR_WORDS : r->asked_count) ||
	    (!quarter && m->have.len < (r->asked_count + 7) / 8)) {
		fail_wrong(n, r, "answered another question about slots");
		return;
	}
	for (unsigned int i = 0; quarter && i < REPAIR_QUARTER; i++) {
		unsigned int slot = ((unsigned int)r->asked[0].nibbles[0] << 8) + i;

		if (trie_slots_have(&r->duty, slot))
			slot_told(n, r, slot, wire_count(m, i / 32) >> i % 32 & 1,
			    wire_count(m, REPAIR_WORDS + i / 32) >> i % 32 & 1);
	}
	for (unsigned int i = 0; !quarter && i < r->asked_count; i++)
		slot_told(n, r, trie_slot(&r->asked[i]), wire_count(m, i) != 0,
		    m->have.data[i / 8] >> i % 8 & 1);
	wake(n, r);
}

/* One by one what a message takes; if there are more, a quarter of all at a time. */
static void step_slots(struct node *n, struct reconcile *r, struct peer *p)
{
	uint8_t paths[WIRE_PATHS_MAX * WIRE_PATH_LEN];
	struct message m = { .type = WIRE_SLOTS, .paths_bytes = paths };
	unsigned int slot = 0;

	r->asked_count = 0;
	while ((slot = trie_slots_next(&r->duty, slot)) < RING_SLOTS && r->asked_count < WIRE_PATHS_MAX)
		trie_path_slot(slot++, &r->asked[r->asked_count++]);
	if (!r->asked_count) {
		r->state = LEASES;
		wake(n, r);
		return;
	}
	if (slot < RING_SLOTS) {
		r->asked_count = 1;
		r->asked[0].depth = 1;
		r->asked[0].nibbles[0] &= 0xf0;
		memset(r->asked[0].nibbles + 1, 0, sizeof(r->asked[0].nibbles) - 1);
	}
	for (unsigned int i = 0; i < r->asked_count; i++)
		wire_path_put(&r->asked[i], paths + i * WIRE_PATH_LEN);
	m.path_count = r->asked_count;
	r->call.done = slots_told;
	call_start(n, &r->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

static void visit(struct reconcile *r, unsigned int slot)
{
	r->visits += !trie_slots_have(&r->visit, slot);
	trie_slots_add(&r->visit, slot);
}

static void leased(struct node *n, struct lease_pull *p, int result);

/* As many as may be under way; they come in beside what else is asked.  False: none is. */
static bool pull_leases(struct node *n, struct reconcile *r, struct peer *p)
{
	bool any = false;

	for (unsigned int i = 0; i < REPAIR_LEASES; i++) {
		struct leasing *l = &r->leasing[i];
		int slot = l->busy || trie_slots_empty(&r->leases) ? -1 : take_slot(&r->leases);

		if (slot >= 0) {
			l->pull = (struct lease_pull){ .peer = p, .slot = (uint16_t)slot, .done = leased };
			l->reconcile = r;
			l->busy = true;
			leases_pull(n, &l->pull);
		}
		any |= l->busy;
	}
	return any;
}

/* Where leases have come chunks will be lacking: these need not wait for the leases of all other slots, and for the one hash. */
static void leased(struct node *n, struct lease_pull *p, int result)
{
	struct leasing *l = list_item(p, struct leasing, pull);
	struct reconcile *r = l->reconcile;
	struct peer *peer = peer_find(n, &r->id);

	l->busy = false;
	if (result) {
		fail(n, r, result);
		return;
	}
	trie_slots_add(&r->agreed, p->slot);
	if (r->compared || !trie_slots_have(&r->shared, p->slot) || p->news)
		visit(r, p->slot);
	if (peer)
		pull_leases(n, r, peer);
	if (r->state == LEASES)
		wake(n, r);
}

static void step_leases(struct node *n, struct reconcile *r, struct peer *p)
{
	bool busy = pull_leases(n, r, p);

	if (r->visits >= WIRE_PATHS_MAX || (!busy && r->visits))
		r->state = DESCEND;
	else if (busy)
		return;
	else
		r->state = r->compared ? DESCEND : COMPARE;
	wake(n, r);
}

/* ---- the one hash ---- */

int reconcile_push(struct reconcile *r, const struct wire_path *path, bool listed)
{
	struct item *more;

	if (r->items == r->items_size) {
		unsigned int size = r->items_size ? 2 * r->items_size : 128;

		more = size <= REPAIR_STACK ? realloc(r->item, size * sizeof(*more)) : NULL;
		if (!more)
			return -ENOMEM;
		r->item = more;
		r->items_size = size;
	}
	r->item[r->items++] = (struct item){ *path, listed };
	return 0;
}

static void compared(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	static const struct wire_path root;
	struct reconcile *r = list_item(c, struct reconcile, call);

	(void)body;
	result = refused(result, m);
	if (!result && m->status == WIRE_MISS)
		result = reconcile_push(r, &root, false);
	if (result) {
		fail(n, r, result);
		return;
	}
	r->compared = true;
	r->state = DESCEND;
	wake(n, r);
}

static void step_compare(struct node *n, struct reconcile *r, struct peer *p)
{
	static const struct wire_path root;
	struct trie_part part;
	struct message m = { .type = WIRE_TRIE, .has = WIRE_HAS(FIELD_HASHES), .hashes = &part.hash, .hash_count = 1 };
	int result;

	if (r->pulls)
		return;				/* reconcile_pulled() wakes it */
	if (trie_slots_empty(&r->shared)) {
		r->compared = true;
		r->state = DESCEND;
		wake(n, r);
		return;
	}
	trie_allow(n->repair->trie, REPAIR_READS);
	result = trie_part(n->repair->trie, &root, &r->shared, &part);
	if (result == -EAGAIN) {
		wake(n, r);
	} else if (result) {
		fail(n, r, result);
	} else {
		r->call.done = compared;
		call_start(n, &r->call, p, &m, NULL, LINK_REPAIR, CALL_QUICK);
	}
}

/* ---- asking for places ---- */

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct reconcile *r = list_item(c, struct reconcile, call);

	result = refused(result, m);
	if (result || m->status != WIRE_OK) {
		fail(n, r, result ? result : -EPROTO);
		return;
	}
	if (r->listing ? m->more && !m->address_count : m->count_count != r->asked_count) {
		fail_wrong(n, r, "answered another question about a trie");
		return;
	}
	r->answer = *m;
	r->body = chunk_hold(body);
	r->at = r->hash_at = r->address_at = 0;
	r->state = JUDGE;
	wake(n, r);
}

/* The places on top of the stack, as many as a message takes. */
static void ask(struct node *n, struct reconcile *r, struct peer *p)
{
	uint8_t paths[WIRE_PATHS_MAX * WIRE_PATH_LEN];
	struct message m = { .type = WIRE_TRIE, .has = WIRE_HAS(FIELD_PATHS), .paths_bytes = paths };

	for (r->asked_count = 0; r->items && !r->item[r->items - 1].listed && r->asked_count < WIRE_PATHS_MAX; r->asked_count++) {
		r->asked[r->asked_count] = r->item[--r->items].path;
		wire_path_put(&r->asked[r->asked_count], paths + r->asked_count * WIRE_PATH_LEN);
	}
	m.path_count = r->asked_count;
	r->spent += r->asked_count;
	r->call.done = answered;
	call_start(n, &r->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

static void list(struct node *n, struct reconcile *r, struct peer *p)
{
	uint8_t path[WIRE_PATH_LEN];
	struct message m = { .type = WIRE_LIST, .paths_bytes = path, .path_count = 1, .address = r->after };

	if (!r->listing)
		r->asked[0] = r->item[--r->items].path;
	else
		m.has |= WIRE_HAS(FIELD_ADDRESS);
	r->listing = true;
	r->asked_count = 1;
	r->spent++;
	wire_path_put(&r->asked[0], path);
	r->call.done = answered;
	call_start(n, &r->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

/* Once, that may be because our leases are old. */
static void overspent(struct node *n, struct reconcile *r, struct peer *p)
{
	if (r->overspent || !pull_leases(n, r, p)) {
		fail_wrong(n, r, "says that much differs, and it does not");
		return;
	}
	r->overspent = true;
	r->spent = 0;
	r->items = 0;
	r->listing = r->more = false;
	r->state = LEASES;
	wake(n, r);
}

static void step_descend(struct node *n, struct reconcile *r, struct peer *p)
{
	struct wire_path path;
	int slot;

	while (!r->listing && r->items < WIRE_PATHS_MAX && (slot = take_slot(&r->visit)) >= 0) {
		r->visits--;
		trie_path_slot((unsigned int)slot, &path);
		if (reconcile_push(r, &path, false)) {
			fail(n, r, -ENOMEM);
			return;
		}
	}
	if (r->spent > r->budget) {
		overspent(n, r, p);
	} else if (r->listing || (r->items && r->item[r->items - 1].listed)) {
		list(n, r, p);
	} else if (r->items) {
		ask(n, r, p);
	} else {
		r->state = r->compared && !pull_leases(n, r, p) ? OFFER : LEASES;
		wake(n, r);
	}
}

/* ---- judging what came ---- */

static void step_judge(struct node *n, struct reconcile *r)
{
	int result = reconcile_judge(n, r);

	if (result == -ENOSPC)
		return;				/* reconcile_room() wakes it */
	if (result == -EBADMSG) {
		fail_wrong(n, r, "sent what can't be in its trie");
	} else if (result && result != -EAGAIN) {
		fail(n, r, result);
	} else {
		if (!result) {
			drop_answer(r);
			r->state = DESCEND;
		}
		wake(n, r);
	}
}

/* ---- what they lack ---- */

static void offered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct reconcile *r = list_item(c, struct reconcile, call);

	(void)body;
	(void)m;
	r->state = WAIT;
	if (result)
		fail(n, r, result);
	else
		wake(n, r);
}

static void step_offer(struct node *n, struct reconcile *r, struct peer *p)
{
	struct message m = { .type = WIRE_OFFER, .addresses = r->offer, .address_count = r->offers, .more = r->offer_more };

	if (!r->offers && !r->offer_more) {
		r->state = WAIT;
		wake(n, r);
		return;
	}
	r->call.done = offered;
	call_start(n, &r->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

/* ---- from beginning to end ---- */

static void over(struct node *n, struct reconcile *r)
{
	struct pair *pair = r->pair;
	struct repair_outcome outcome = r->outcome;
	int result = r->result;

	reconcile_stop(n, r);
	repair_done(n, pair, result, &outcome);
}

static void step(struct node *n, struct timer *t)
{
	struct reconcile *r = list_item(t, struct reconcile, timer);
	struct peer *p = peer_find(n, &r->id);

	if (!p && !r->result)
		r->result = -EHOSTUNREACH;
	if (r->result || (r->state == WAIT && !r->pulls)) {
		over(n, r);
		return;
	}
	if (call_busy(&r->call))
		return;
	switch (r->state) {
	case SLOTS:
		step_slots(n, r, p);
		break;
	case LEASES:
		step_leases(n, r, p);
		break;
	case COMPARE:
		step_compare(n, r, p);
		break;
	case DESCEND:
		step_descend(n, r, p);
		break;
	case JUDGE:
		step_judge(n, r);
		break;
	case OFFER:
		step_offer(n, r, p);
		break;
	case WAIT:
		break;
	}
}

void reconcile_pulled(struct node *n, struct reconcile *r, const struct address *a, bool got)
{
	assert(r->pulls);
	r->pulls--;
	if (!got)
		trie_slots_add(&r->outcome.missed, ring_slot(a));
	if (r->state == WAIT || (r->state == COMPARE && !r->pulls))
		wake(n, r);
}

void reconcile_room(struct node *n, struct reconcile *r)
{
	wake(n, r);
}

int reconcile_start(struct node *n, struct pair *pair, struct peer *peer)
{
	struct reconcile *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->pair = pair;
	r->id = peer->id;
	r->timer.due = step;
	repair_shared(n, &r->id, &r->shared);
	r->budget = REPAIR_FRUITLESS;
	if (pair->duty)
		r->duty = *pair->duty;
	pair->reconcile = r;
	wake(n, r);
	return 0;
}

void reconcile_stop(struct node *n, struct reconcile *r)
{
	timer_stop(n, &r->timer);
	call_stop(n, &r->call);
	for (unsigned int i = 0; i < REPAIR_LEASES; i++)
		if (r->leasing[i].busy)
			leases_pull_stop(n, &r->leasing[i].pull);
	pulls_forget(n, r);
	drop_answer(r);
	r->pair->reconcile = NULL;
	free(r->offer);
	free(r->item);
	free(r);
}

void reconcile_moved(struct reconcile *r, struct pair *pair)
{
	r->pair = pair;
}

size_t reconcile_memory(const struct reconcile *r)
{
	return sizeof(*r) + r->items_size * sizeof(*r->item) + (r->offer ? WIRE_ADDRESSES_MAX * sizeof(*r->offer) : 0) +
	    (r->body ? r->body->len : 0);
}
