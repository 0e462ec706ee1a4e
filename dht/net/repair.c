/*
 * Which pairs are reconciled, and when.
 *
 * pair    | event                                  | function      | next
 * resting | REPAIR_EVERY is over; its link is new  | due()         | running, or waiting while REPAIRS_MAX are
 *         | a new table gives it a duty            | table()       | running soon
 *         | the peer has compared with us          | repair_compared() | resting, REPAIR_EVERY from now
 *         | it offers what we can't place          | repair_due()  | running soon
 *         | it says that it holds a slot of ours   | slots_held()  | running soon
 * running | over, and all was got                  | repair_done() | resting; its duty is done
 *         | ... but nobody yet has all of some slot | repair_done() | resting, REPAIR_RECONNECT and longer each time
 *         | it began REPAIR_TURN ago, and another one is due that finds no place | give_way() | resting, as what was lost
 *         | over, something is missed; the peer was lost | repair_done() | resting, REPAIR_AGAIN and longer each time
 *         | the peer broke the rules               | repair_done() | resting, REPAIR_EVERY
 *         | a new table                            | table()       | resting: it begins anew
 * resting | due, but the peer has left, or was evicted | gone()    | resting for ever; its duty is done
 *
 * Its duty (repair_slots.c): incomplete slots of ours that its peer may know more of.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/repair_impl.h"

struct pair *repair_pair(struct node *n, const struct address *id)
{
	struct repair *r = n->repair;
	unsigned int low = 0, high = r->pairs;

	while (low < high) {
		unsigned int middle = (low + high) / 2;
		int order = address_compare(&r->pair[middle].id, id);

		if (order == 0)
			return &r->pair[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- when ---- */

/* Of those that run the one that began first; NULL: none does. */
static struct pair *longest_running(struct repair *r)
{
	struct pair *first = NULL;

	for (unsigned int i = 0; i < r->pairs; i++)
		if (r->pair[i].reconcile && (!first || r->pair[i].began < first->began))
			first = &r->pair[i];
	return first;
}

static void arm(struct node *n)
{
	struct repair *r = n->repair;
	uint64_t next = UINT64_MAX, room = 0;

	timer_stop(n, &r->timer);
	for (unsigned int i = 0; i < r->pairs; i++)
		if (!r->pair[i].reconcile && r->pair[i].due < next)
			next = r->pair[i].due;
	if (r->running == REPAIRS_MAX)
		room = longest_running(r)->began + REPAIR_TURN;
	if (next != UINT64_MAX)
		timer_set(n, &r->timer, next > room ? next : room);
}

/* The one that waits for the longest time; of equal ones the first. */
static struct pair *longest_due(struct node *n)
{
	struct repair *r = n->repair;
	struct pair *best = NULL;

	for (unsigned int i = 0; i < r->pairs; i++) {
		struct pair *p = &r->pair[i];

		if (!p->reconcile && p->due <= n->now && (!best || p->due < best->due))
			best = p;
	}
	return best;
}

/* One that was out of placement already when it went: no table comes of that, and nobody waits for it any more. */
static bool gone(struct node *n, struct pair *pair)
{
	const struct member *m = membership_find(n, &pair->id);

	if (m && (m->state == MEMBER_HERE || m->state == MEMBER_DRAINING))
		return false;
	if (pair->duty)
		slots_done(n, pair, NULL);
	pair->due = UINT64_MAX;
	return true;
}

/* A place for another one: a liar that answers each question just in time has one no longer than that.  False: all are taken. */
static bool give_way(struct node *n)
{
	static const struct repair_outcome nothing;
	struct repair *r = n->repair;
	struct pair *first = longest_running(r);

	if (r->running < REPAIRS_MAX)
		return true;
	if (n->now - first->began < REPAIR_TURN)
		return false;
	reconcile_stop(n, first->reconcile);
	repair_done(n, first, -ETIMEDOUT, &nothing);
	return true;
}

static void due(struct node *n, struct timer *t)
{
	struct repair *r = n->repair;
	struct pair *pair;

	(void)t;
	while ((pair = longest_due(n))) {
		struct peer *p = peer_find(n, &pair->id);

		if (gone(n, pair))
			continue;
		if (!p || !peer_reachable(n, p)) {
			pair->due = n->now + node_jitter(n, REPAIR_AGAIN);
		} else if (!give_way(n)) {
			break;
		} else if (reconcile_start(n, pair, p)) {
			pair->due = n->now + node_jitter(n, REPAIR_AGAIN);
		} else {
			pair->began = n->now;
			r->running++;
		}
	}
	arm(n);
}

void repair_due(struct node *n, struct pair *pair, uint64_t at)
{
	if (at < pair->due)
		pair->due = at;
	arm(n);
}

void repair_command(struct node *n, const struct command *c)
{
	struct repair *r = n->repair;

	for (unsigned int i = 0; i < r->pairs; i++) {
		if (r->pair[i].due > n->now && r->pair[i].due != UINT64_MAX)
			r->pair[i].due = n->now;
	}
	arm(n);
	foreign_again(n);
	command_result(n, c->ticket, 0);
}

void repair_lacks(struct node *n, unsigned int slot)
{
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = n->repair && placement_mine(n, slot) ? placement_owners(n, slot, owner) : 0;
	uint64_t at = n->now + node_jitter(n, REPAIR_AGAIN);

	for (unsigned int i = 0; i < owners; i++) {
		struct pair *pair = repair_pair(n, &owner[i]->id);

		if (pair && pair->due > at && pair->due != UINT64_MAX)
			repair_due(n, pair, at);
	}
}

void repair_compared(struct node *n, const struct address *id)
{
	struct pair *pair = repair_pair(n, id);

	if (pair && !pair->duty && !pair->reconcile) {
		pair->due = n->now + node_jitter(n, REPAIR_EVERY);
		arm(n);
	}
}

/* Busy peers are asked again soon, the others later each time; those who know no more than we do may know it soon. */
static uint64_t pause_after(struct pair *pair, int result, const struct trie_slots *missed)
{
	bool unsourced = !result && trie_slots_empty(missed);
	uint64_t longest = unsourced ? SOURCE_ASK : pair->duty ? REPAIR_AGAIN_MAX : REPAIR_EVERY;
	uint64_t pause = (unsourced ? REPAIR_RECONNECT : REPAIR_AGAIN) << pair->failures;

	if (result == -EAGAIN)
		return REPAIR_RECONNECT;
	if (result == -EBADMSG)
		return REPAIR_EVERY;
	if (pause >= longest)
		return longest;
	pair->failures++;
	return pause;
}

void repair_done(struct node *n, struct pair *pair, int result, const struct repair_outcome *outcome)
{
	const struct trie_slots *missed = &outcome->missed;

	assert(n->repair->running);
	n->repair->running--;
	if (!result && pair->duty)
		slots_done(n, pair, outcome);
	if (!result && trie_slots_empty(missed) && !pair->duty) {
		pair->failures = 0;
		pair->due = n->now + node_jitter(n, REPAIR_EVERY);
	} else {
		pair->due = n->now + node_jitter(n, pause_after(pair, result, missed));
	}
	arm(n);
}

/* ---- a new table ---- */

static int pair_compare(const void *a, const void *b)
{
	return address_compare(&((const struct pair *)a)->id, &((const struct pair *)b)->id);
}

/* The members who own, in ${ring}, one of the slots that are ours now. */
static int add_owners(struct node *n, const struct ring *ring, struct pair **pair, unsigned int *pairs)
{
	bool *owner = calloc(ring->members, sizeof(*owner));
	struct pair *more;

	if (!owner)
		return -ENOMEM;
	for (unsigned int i = 0; i < n->repair->mine_count; i++)
		for (unsigned int rank = 0; rank < ring->replicas; rank++)
			owner[ring_owners(ring, n->repair->mine[i])[rank]] = true;
	more = realloc(*pair, (*pairs + ring->members) * sizeof(*more));
	if (!more) {
		free(owner);
		return -ENOMEM;
	}
	*pair = more;
	for (unsigned int i = 0; i < ring->members; i++) {
		const struct member *m = membership_find(n, &ring->member[i].id);

		if (owner[i] && m && (m->state == MEMBER_HERE || m->state == MEMBER_DRAINING) && !address_equal(&m->id, &n->id))
			more[(*pairs)++] = (struct pair){ .id = m->id, .due = UINT64_MAX };
	}
	free(owner);
	return 0;
}

static void drop_pairs(struct node *n, struct pair *pair, unsigned int pairs)
{
	for (unsigned int i = 0; i < pairs; i++) {
		if (pair[i].reconcile)
			reconcile_stop(n, pair[i].reconcile);
		free(pair[i].duty);
		free(pair[i].over);
	}
	free(pair);
}

/* A link that came up before there was a table was not noted: soon, as if it came up now. */
static uint64_t first_due(struct node *n, const struct address *id)
{
	struct peer *p = peer_find(n, id);

	return n->now + node_random(n, p && p->link ? REPAIR_RECONNECT : REPAIR_EVERY);
}

/* All whom we may have to reconcile with, in order, each once; those that were known keep their time. */
static int new_pairs(struct node *n)
{
	struct repair *r = n->repair;
	struct pair *pair = NULL;
	const struct ring *before;
	unsigned int pairs = 0, kept = 0;
	int result = add_owners(n, placement(n), &pair, &pairs);

	for (unsigned int i = 0; !result && (before = placement_earlier(n, i)); i++)
		result = add_owners(n, before, &pair, &pairs);
	if (result) {
		free(pair);
		return result;
	}
	if (pairs)
		qsort(pair, pairs, sizeof(*pair), pair_compare);
	for (unsigned int i = 0; i < pairs; i++) {
		const struct pair *old = repair_pair(n, &pair[i].id);

		if (kept && address_equal(&pair[kept - 1].id, &pair[i].id))
			continue;
		pair[kept] = pair[i];
		pair[kept++].due = old ? old->due : first_due(n, &pair[i].id);
	}
	drop_pairs(n, r->pair, r->pairs);
	r->running = 0;
	r->pair = pair;
	r->pairs = kept;
	return 0;
}

struct pair *repair_add(struct node *n, const struct address *id)
{
	struct repair *r = n->repair;
	struct pair *more = realloc(r->pair, (r->pairs + 1) * sizeof(*more));
	unsigned int at = r->pairs;

	if (!more)
		return NULL;
	r->pair = more;
	for (; at > 0 && address_compare(&more[at - 1].id, id) > 0; at--)
		more[at] = more[at - 1];
	more[at] = (struct pair){ .id = *id, .due = UINT64_MAX, .holder = true };
	r->pairs++;
	for (unsigned int i = 0; i < r->pairs; i++)
		if (more[i].reconcile)
			reconcile_moved(more[i].reconcile, &more[i]);
	return &more[at];
}

static void table(struct node *n)
{
	struct repair *r = n->repair;
	int result = slots_table(n);

	if (!result)
		result = new_pairs(n);
	if (!result)
		result = slots_duties(n);
	for (unsigned int i = 0; i < r->pairs; i++)
		if (r->pair[i].duty)
			r->pair[i].due = n->now + node_random(n, S);
	if (result)
		node_log(n, 3, "repair: no memory for a new table; not all is repaired until the next one");
	spares_table(n);
	arm(n);
}

/* ---- what comes in ---- */

void leases_changed(struct node *n, const struct address *addresses, uint32_t count)
{
	for (uint32_t i = 0; n->repair && i < count; i++)
		trie_changed(n->repair->trie, &addresses[i]);
}

static void peer(struct node *n, struct peer *p, bool up)
{
	struct pair *pair = repair_pair(n, &p->id);

	if (!up || !pair)
		return;
	pair->failures = 0;
	repair_due(n, pair, n->now + node_random(n, REPAIR_RECONNECT));
}

static void start(struct node *n)
{
	struct repair *r = calloc(1, sizeof(*r));

	n->repair = r;
	if (!r) {
		node_stop(n, "no memory");
		return;
	}
	list_init(&r->serving);
	r->timer.due = due;
	r->serve_timer.due = repair_serve_due;
	r->heads_timer.due = slots_heads_due;
	r->source_timer.due = slots_source_due;
	if (trie_new(n->options.catalogue, &r->trie) || pulls_start(n) || spares_start(n))
		node_stop(n, "no memory");
}

static void end(struct node *n)
{
	struct repair *r = n->repair;

	if (!r)
		return;
	timer_stop(n, &r->timer);
	timer_stop(n, &r->heads_timer);
	timer_stop(n, &r->source_timer);
	drop_pairs(n, r->pair, r->pairs);
	repair_serve_end(n);
	spares_end(n);
	pulls_end(n);
	trie_free(r->trie);
	free(r->mine);
	free(r);
	n->repair = NULL;
}

static size_t memory(struct node *n)
{
	const struct repair *r = n->repair;
	size_t sum = sizeof(*r) + r->pairs * sizeof(*r->pair) + r->mine_count * sizeof(*r->mine) + trie_memory(r->trie) +
	    pulls_memory(n) + spares_memory(n) + repair_serve_memory(r);

	for (unsigned int i = 0; i < r->pairs; i++) {
		if (r->pair[i].duty)
			sum += 2 * sizeof(*r->pair[i].duty);
		if (r->pair[i].reconcile)
			sum += reconcile_memory(r->pair[i].reconcile);
	}
	return sum;
}

const struct machine repair_machine = {
	.name = "repair",
	.start = start,
	.table = table,
	.peer = peer,
	.request = repair_request,
	.end = end,
	.memory = memory,
};
