/*
 * One pair of nodes: who has what of the slots that it is about.  One function, step(), goes from state to state; whatever
 * comes in only leaves its result and wakes it.
 *
 * state   | step                                          | function       | next
 * LEASES  | slots are left whose leases may differ        | step_leases()  | LEASES, when leases_pull() is done
 *         | none                                          | step_leases()  | COMPARE, or back to DESCEND
 * COMPARE | our own hash of all that we share             | step_compare() | COMPARE, when the trie is read
 *         | theirs is the same                            | compared()     | DESCEND, only what was theirs before
 *         | another one                                   | compared()     | DESCEND, from the root
 * DESCEND | places are left to be asked for               | ask(), list()  | JUDGE, when the answer is here
 *         | none; leases seem to differ                   | step_descend() | LEASES
 *         | none                                          | step_descend() | OFFER
 * JUDGE   | an answer                                     | step_judge()   | JUDGE, when the trie is read, or pulls have room
 *         | all of it                                     | step_judge()   | DESCEND
 * OFFER   | they lack something                           | step_offer()   | WAIT, when they have answered
 * WAIT    | all pulls are over                            | step()         | over: repair_done()
 * any     | the peer can't be reached, or breaks the rules | step()        | over: repair_done()
 *
 * The chunks themselves are not waited for: they come in beside it (pull.c), until there are too many.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/repair_impl.h"

#define OWN_LISTED 256u

enum state { LEASES, COMPARE, DESCEND, JUDGE, OFFER, WAIT };

/* A place that is still to be looked at; listed: we have nothing there, so that hashes would be of no use. */
struct item {
	struct wire_path path;
	bool listed;
};

struct leasing {
	struct lease_pull pull;
	struct reconcile *reconcile;
	bool busy;
};

struct reconcile {
	struct pair *pair;
	struct address id;
	enum state state;
	int result;
	bool compared;			/* COMPARE is behind us */
	struct timer timer;
	struct call call;
	struct trie_slots shared;	/* both own them now */
	struct trie_slots leases;	/* slots whose leases are to be made to agree */
	struct trie_slots agreed;	/* and those where that was done */
	struct trie_slots visit;	/* slots to descend into that the root does not lead to */
	struct trie_slots missed;	/* where something was not got */
	struct leasing leasing[REPAIR_LEASES];
	struct item *item;		/* a stack: depth first needs the least room */
	unsigned int items, items_size;
	struct wire_path asked[WIRE_PATHS_MAX];
	unsigned int asked_count;
	bool listing;			/* asked[0] is being listed, behind ${after} if ${more} */
	bool more;
	struct address after;
	struct message answer;		/* its pointers into ${body}; NULL: none */
	struct chunk *body;
	unsigned int at, hash_at, address_at;	/* how much of it was judged */
	struct address offer[WIRE_ADDRESSES_MAX];
	unsigned int offers;
	bool offer_more;
	unsigned int pulls;
};

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
	for (unsigned int i = 0; i < sizeof(s->bit); i++)
		if (s->bit[i]) {
			unsigned int slot = 8 * i + (unsigned int)__builtin_ctz(s->bit[i]);

			trie_slots_remove(s, slot);
			return (int)slot;
		}
	return -1;
}

/* ---- leases: what is not leased here is not wanted here, so they come first ---- */

static void leased(struct node *n, struct lease_pull *p, int result)
{
	struct leasing *l = list_item(p, struct leasing, pull);
	struct reconcile *r = l->reconcile;

	l->busy = false;
	if (result) {
		fail(n, r, result);
		return;
	}
	trie_slots_add(&r->agreed, p->slot);
	if (r->compared || !trie_slots_have(&r->shared, p->slot))
		trie_slots_add(&r->visit, p->slot);
	wake(n, r);
}

static void step_leases(struct node *n, struct reconcile *r, struct peer *p)
{
	unsigned int busy = 0;

	for (unsigned int i = 0; i < REPAIR_LEASES; i++) {
		struct leasing *l = &r->leasing[i];
		int slot = l->busy ? -1 : take_slot(&r->leases);

		if (slot >= 0) {
			l->pull = (struct lease_pull){ .peer = p, .slot = (uint16_t)slot, .done = leased };
			l->reconcile = r;
			l->busy = true;
			leases_pull(n, &l->pull);
		}
		busy += l->busy;
	}
	if (busy)
		return;
	r->state = r->compared ? DESCEND : COMPARE;
	wake(n, r);
}

/* ---- the one hash ---- */

static int push(struct reconcile *r, const struct wire_path *path, bool listed)
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

/* What an answer that is none means for us: 0 where it is one. */
static int refused(int result, const struct message *m)
{
	if (result)
		return result;
	if (m->status == WIRE_BUSY || m->status == WIRE_OTHER_PLACEMENT || m->status == WIRE_LEAVING)
		return -EAGAIN;
	return m->status == WIRE_OK || m->status == WIRE_MISS ? 0 : -EPROTO;
}

static void compared(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	static const struct wire_path root;
	struct reconcile *r = list_item(c, struct reconcile, call);

	(void)body;
	result = refused(result, m);
	if (!result && m->status == WIRE_MISS)
		result = push(r, &root, false);
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
	static const struct trie_slots none;
	struct trie_part part;
	struct message m = { .type = WIRE_TRIE, .has = WIRE_HAS(FIELD_HASHES), .hashes = &part.hash, .hash_count = 1 };
	int result;

	if (!memcmp(&r->shared, &none, sizeof(none))) {
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
	wire_path_put(&r->asked[0], path);
	r->call.done = answered;
	call_start(n, &r->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

static void step_descend(struct node *n, struct reconcile *r, struct peer *p)
{
	static const struct trie_slots none;
	struct wire_path path;
	int slot;

	while (!r->listing && r->items < WIRE_PATHS_MAX && (slot = take_slot(&r->visit)) >= 0) {
		trie_path_slot((unsigned int)slot, &path);
		if (push(r, &path, false)) {
			fail(n, r, -ENOMEM);
			return;
		}
	}
	if (r->listing || (r->items && r->item[r->items - 1].listed)) {
		list(n, r, p);
	} else if (r->items) {
		ask(n, r, p);
	} else {
		r->state = memcmp(&r->leases, &none, sizeof(none)) ? LEASES : OFFER;
		wake(n, r);
	}
}

/* ---- judging what came ---- */

/* They have ${a}: do we?  0, or -ENOSPC: later. */
static int want(struct node *n, struct reconcile *r, const struct address *a)
{
	struct catalogue *c = n->options.catalogue;
	unsigned int slot = ring_slot(a);
	int result;

	if (!placement_mine(n, slot) || c->state(c, a) & (STATE_OWNED | STATE_FOREIGN))
		return 0;
	if (!c->leased(c, a)) {
		if (!trie_slots_have(&r->agreed, slot))
			trie_slots_add(&r->leases, slot);
		return 0;
	}
	result = pull_add(n, a, &r->id, r);
	if (result > 0)
		r->pulls++;
	return result < 0 ? result : 0;
}

static void offer(struct reconcile *r, const struct address *a)
{
	if (!trie_slots_have(&r->shared, ring_slot(a)))
		return;
	if (r->offers < WIRE_ADDRESSES_MAX)
		r->offer[r->offers++] = *a;
	else
		r->offer_more = true;
}

/* What we have below ${path} and they don't: all but ${few}, which are in order. */
static void offer_below(struct node *n, struct reconcile *r, const struct wire_path *path, const struct address *few,
    unsigned int count)
{
	struct address own[OWN_LISTED];
	size_t got;

	if (path->depth < TRIE_SLOT_DEPTH) {	/* they lack whole slots: they will know it by themselves */
		r->offer_more = true;
		return;
	}
	got = trie_list(n->repair->trie, path, NULL, OWN_LISTED, own);
	for (size_t i = 0; i < got; i++) {
		while (count && address_compare(few, &own[i]) < 0)
			few++, count--;
		if (!count || !address_equal(few, &own[i]))
			offer(r, &own[i]);
	}
	if (got == OWN_LISTED)
		r->offer_more = true;
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
	offer_below(n, r, path, few, count);
	r->address_at += count;
	return 0;
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
		if (!memcmp(&theirs[i], &own[i].hash, sizeof(*theirs)))
			continue;
		trie_path_child(path, i, &child);
		if (!trie_path_valid(&child))
			return -EBADMSG;
		if (!memcmp(&theirs[i], &empty, sizeof(empty)))
			offer_below(n, r, &child, NULL, 0);
		else
			result = push(r, &child, !own[i].count);
	}
	r->hash_at += TRIE_CHILDREN;
	return result;
}

static int judge_place(struct node *n, struct reconcile *r, const struct wire_path *path, uint32_t count)
{
	if (!count) {
		offer_below(n, r, path, NULL, 0);
		return 0;
	}
	if (path->depth >= TRIE_SLOT_DEPTH && count <= TRIE_LEAF)
		return judge_few(n, r, path, count);
	if (path->depth == TRIE_DEPTH)
		return push(r, path, true);
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
	r->more = r->listing = m->more;
	if (m->more)
		r->after = m->addresses[m->address_count - 1];
	return 0;
}

static void step_judge(struct node *n, struct reconcile *r)
{
	int result = 0;

	trie_allow(n->repair->trie, REPAIR_READS);
	if (r->listing)
		result = judge_list(n, r);
	else
		for (; r->at < r->asked_count && !result; r->at += !result)
			result = judge_place(n, r, &r->asked[r->at], wire_count(&r->answer, r->at));
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
	struct trie_slots missed = r->missed;
	int result = r->result;

	reconcile_stop(n, r);
	repair_done(n, pair, result, &missed);
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
		trie_slots_add(&r->missed, ring_slot(a));
	if (r->state == WAIT)
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
	if (pair->duty)
		r->leases = *pair->duty;
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
	free(r->item);
	free(r);
}

size_t reconcile_memory(const struct reconcile *r)
{
	return sizeof(*r) + r->items_size * sizeof(*r->item);
}
