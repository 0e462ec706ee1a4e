/*
 * What counted before of heads, for slots whose owners have changed (heads.h: new owners).
 *
 * A slot of ours:
 *
 *	state	event						function	next state
 *	-	a table makes it ours				heads_pull_table WAITS
 *	COUNTS	a table with the same owners			heads_pull_table COUNTS
 *	COUNTS	a table with others, we among them		heads_pull_table WAITS, ${since} one table
 *	WAITS	any other table, we among them			heads_pull_table WAITS, ${since} one more, as far as all between are known
 *	WAITS	enough nodes have told what they have		slots_judge	COUNTS
 *	COUNTS	a row of it is damaged				heads_row_lost	WAITS
 *	any	a table takes it away				heads_pull_table -
 */
#include "dht/net/heads_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define ROW_FORMAT 1u
#define ROW_LEN	   (1u + 8u + 1u + ADDRESS_LEN + RING_SLOTS / 8)	/* format, generation, fresh, table, slots */

#define SINCE_MAX  (PLACEMENTS_MAX - 1u)	/* earlier tables that are known without a gap (placement.c: the oldest always stays) */

static const struct catalogue_row_key row_key = { .table = ROW_HEADS };

/* ---- the row ---- */

void slots_save(struct node *n, uint64_t us)
{
	struct heads_pull *p = n->heads->pull;

	p->unsaved = true;
	if (!work_busy(&p->saving) && !timer_busy(&p->save_timer))
		timer_set(n, &p->save_timer, n->now + us);
}

static void save(struct node *n, struct timer *t)
{
	struct heads_pull *p = list_item(t, struct heads_pull, save_timer);
	struct effect e = { .kind = EFFECT_SAVE, .row = row_key };
	uint8_t *b;

	e.chunk = chunk_new(ROW_LEN, &b);
	if (!e.chunk) {
		slots_save(n, SAVE_AGAIN);
		return;
	}
	b[0] = ROW_FORMAT;
	put_le64(b + 1, n->options.generation);
	b[9] = p->fresh;
	memcpy(b + 10, placement_hash(n)->b, ADDRESS_LEN);
	memcpy(b + 10 + ADDRESS_LEN, p->count.bit, sizeof(p->count.bit));
	p->unsaved = false;
	work_start(n, &p->saving, &e);
}

static void saved(struct node *n, struct work *w, const struct event *e)
{
	struct heads_pull *p = list_item(w, struct heads_pull, saving);

	if (e->result || p->unsaved)
		slots_save(n, e->result ? SAVE_AGAIN : COMPLETE_GATHER);
	else if (p->losing)
		heads_lost_saved(n);
}

/* What counted when the row was written, if that was under the table of now. */
static void read_row(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	struct catalogue *c = n->options.catalogue;
	struct chunk *row = c->row(c, &row_key);
	bool good = row && row->len == ROW_LEN && row->data[0] == ROW_FORMAT && get_le64(row->data + 1) == n->options.generation;

	p->fresh = !good || row->data[9];
	p->founder = !row;
	if (good && !memcmp(row->data + 10, placement_hash(n)->b, ADDRESS_LEN))
		memcpy(p->count.bit, row->data + 10 + ADDRESS_LEN, sizeof(p->count.bit));
	chunk_drop(row);
}

/* ---- whom to ask ---- */

/* Where ${id} is, or would be. */
static unsigned int place(const struct heads_pull *p, const struct address *id)
{
	unsigned int low = 0, high = p->asked_count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (address_compare(&p->asked[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct asked *find(const struct heads_pull *p, const struct address *id)
{
	unsigned int i = place(p, id);

	return i < p->asked_count && address_equal(&p->asked[i]->id, id) ? p->asked[i] : NULL;
}

/* NULL: no room, or no memory: then it is as if it did not answer. */
static struct asked *make(struct heads_pull *p, const struct address *id)
{
	unsigned int i = place(p, id);
	struct asked *a = find(p, id);

	if (a || p->asked_count == HEAD_PULLED_MAX)
		return a;
	if (p->asked_count == p->asked_size) {
		unsigned int size = p->asked_size > 0 ? 2 * p->asked_size : 8;
		struct asked **more = realloc(p->asked, size * sizeof(*more));

		if (!more)
			return NULL;
		p->asked = more;
		p->asked_size = size;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->id = *id;
	memmove(&p->asked[i + 1], &p->asked[i], (p->asked_count++ - i) * sizeof(struct asked *));
	p->asked[i] = a;
	return a;
}

/* Left, or evicted: its answer will never come. */
static bool gone(struct node *n, const struct address *id)
{
	const struct member *m = membership_find(n, id);

	return !m || m->state == MEMBER_LEFT || m->state == MEMBER_EVICTED;
}

static bool waits(struct node *n, unsigned int slot)
{
	return !trie_slots_have(&n->heads->pull->count, slot) && placement_mine(n, slot);
}

/* A member of a table, looked up when it is first wanted: NULL: nobody to ask. */
struct whom {
	bool looked;
	struct asked *asked;
};

static void want(struct node *n, const struct ring *r, struct whom *whom, unsigned int member, unsigned int slot)
{
	const struct address *id = &r->member[member].id;
	struct asked *a;

	if (!whom[member].looked) {
		whom[member].looked = true;
		if (!address_equal(id, &n->id) && !gone(n, id))
			whom[member].asked = make(n->heads->pull, id);
	}
	a = whom[member].asked;
	if (!a || trie_slots_have(&a->told, slot) || trie_slots_have(&a->want, slot))
		return;
	trie_slots_add(&a->want, slot);
	a->wanted++;
}

/* The first HEAD_WALK members on the walk; in a small ring that is everyone. */
static unsigned int walk_of(const struct ring *r, unsigned int slot, uint16_t out[HEAD_WALK])
{
	if (r->members > HEAD_WALK)
		return ring_walk(r, slot, out, HEAD_WALK);
	for (unsigned int i = 0; i < r->members; i++)
		out[i] = (uint16_t)i;
	return r->members;
}

/* ${wide}: those on the walk, too. */
static void want_of(struct node *n, const struct ring *r, bool wide)
{
	struct whom *whom = calloc(r->members, sizeof(*whom));
	uint16_t walk[HEAD_WALK];

	/* Without the memory nobody is asked in this round. */
	for (unsigned int slot = 0; whom && slot < RING_SLOTS; slot++) {
		const uint16_t *owner = ring_owners(r, slot);
		unsigned int count;

		if (!waits(n, slot))
			continue;
		for (unsigned int rank = 0; rank < r->replicas; rank++)
			want(n, r, whom, owner[rank], slot);
		count = wide ? walk_of(r, slot, walk) : 0;
		for (unsigned int i = 0; i < count; i++)
			want(n, r, whom, walk[i], slot);
	}
	free(whom);
}

void slots_want(struct node *n)
{
	const struct ring *before;

	want_of(n, placement(n), n->heads->pull->wide);
	for (unsigned int i = 0; (before = placement_earlier(n, i)); i++)
		want_of(n, before, false);
}

/* Who has told what it has may know only now that this is all that counted. */
void slots_again(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	const struct ring *r = placement(n);

	for (unsigned int i = 0; i < p->asked_count; i++) {
		struct asked *a = p->asked[i];
		int member = ring_find(r, &a->id);

		for (unsigned int slot = 0; member >= 0 && slot < RING_SLOTS; slot++) {
			if (!trie_slots_have(&a->told, slot) || trie_slots_have(&a->counts, slot) || trie_slots_have(&a->want, slot) ||
			    !waits(n, slot) || !ring_owns(r, slot, (unsigned int)member))
				continue;
			trie_slots_add(&a->want, slot);
			a->wanted++;
		}
	}
}

void slots_forget(struct heads_pull *p)
{
	for (unsigned int i = 0; i < p->asked_count; i++)
		free(p->asked[i]);
	free(p->asked);
	p->asked = NULL;
	p->asked_count = p->asked_size = p->next = 0;
}

/* ---- is it enough? ---- */

static bool told(struct node *n, const struct address *id, unsigned int slot)
{
	const struct asked *a = find(n->heads->pull, id);

	return a && trie_slots_have(&a->told, slot);
}

/* A majority of the owners before, those that are gone for ever not awaited; ourselves among them. */
static bool majority_before(struct node *n, const struct ring *r, unsigned int slot)
{
	unsigned int have = 0, there = 0, majority = r->replicas / 2 + 1;

	for (unsigned int rank = 0; rank < r->replicas; rank++) {
		const struct address *id = &r->member[ring_owners(r, slot)[rank]].id;
		bool self = address_equal(id, &n->id);

		there += self || !gone(n, id);
		have += self || told(n, id, slot);
	}
	return have >= (there < majority ? there : majority);
}

/* Of each table since the one under which it counted here: what counted under one of them lies at a majority of its owners. */
static bool majorities_since(struct node *n, unsigned int slot)
{
	unsigned int since = n->heads->pull->since[slot];
	const struct ring *before;

	for (unsigned int i = 0; i < since; i++) {
		before = placement_earlier(n, i);
		if (!before || !majority_before(n, before, slot))
			return false;
	}
	return since > 0;
}

static bool all_told(struct node *n, const struct ring *r, const uint16_t *member, unsigned int count, unsigned int slot)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct address *id = &r->member[member[i]].id;

		if (!address_equal(id, &n->id) && !gone(n, id) && !told(n, id, slot))
			return false;
	}
	return true;
}

static bool everyone(struct node *n, const struct ring *r, unsigned int slot)
{
	const struct ring *before;
	uint16_t walk[HEAD_WALK];
	unsigned int count;

	/* Who has met nobody yet can't say that nobody knows anything. */
	if (!n->heads->pull->wide || (r->members == 1 && !placement_earlier(n, 0)))
		return false;
	for (unsigned int i = 0; (before = placement_earlier(n, i)); i++)
		if (!all_told(n, before, ring_owners(before, slot), before->replicas, slot))
			return false;
	count = walk_of(r, slot, walk);
	return all_told(n, r, walk, count, slot);
}

/* ${asked}: by member of the table. */
static bool enough(struct node *n, struct asked *const *asked, unsigned int slot)
{
	const struct heads_pull *p = n->heads->pull;
	const struct ring *r = placement(n);
	unsigned int others = 0, k = r->replicas - (r->replicas / 2 + 1);
	bool counts = false;

	for (unsigned int rank = 0; rank < r->replicas; rank++) {
		const struct asked *a = asked[ring_owners(r, slot)[rank]];

		if (a && trie_slots_have(&a->told, slot)) {
			others++;
			counts |= trie_slots_have(&a->counts, slot);
		}
	}
	if (!p->since[slot] && p->fresh && r->replicas > 1)
		k++;
	if (others < k)
		return false;
	return counts || majorities_since(n, slot) || everyone(n, r, slot);
}

void slots_judge(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	const struct ring *r = placement(n);
	struct asked **asked = calloc(r->members, sizeof(*asked));
	bool news = false;

	p->waiting = !asked;	/* without the memory the next round looks again */
	for (unsigned int i = 0; asked && i < p->asked_count; i++) {
		int member = ring_find(r, &p->asked[i]->id);

		if (member >= 0)
			asked[member] = p->asked[i];
	}
	for (unsigned int slot = 0; asked && slot < RING_SLOTS; slot++) {
		if (!waits(n, slot))
			continue;
		/* What was told while a row was damaged may not have been taken. */
		if ((p->losing && slot == ring_slot(&p->lost)) || !enough(n, asked, slot)) {
			p->waiting++;
			continue;
		}
		trie_slots_add(&p->count, slot);
		p->since[slot] = 0;
		news = true;
	}
	free(asked);
	placement_keep_earlier(n, p->waiting > 0);
	if (p->waiting == 0 && p->fresh && placement(n)->members > 1) {
		p->fresh = false;
		news = true;
	}
	if (news)
		slots_save(n, COMPLETE_GATHER);
}

bool heads_complete(struct node *n, unsigned int slot)
{
	return n->heads && n->heads->pull && placement_mine(n, slot) && trie_slots_have(&n->heads->pull->count, slot);
}

/* ---- from table to table ---- */

static bool same_owners(const struct ring *a, const struct ring *b, unsigned int slot)
{
	for (unsigned int i = 0; i < a->replicas; i++) {
		const struct address *id = &a->member[ring_owners(a, slot)[i]].id;
		bool there = false;

		for (unsigned int j = 0; j < b->replicas && !there; j++)
			there = address_equal(id, &b->member[ring_owners(b, slot)[j]].id);
		if (!there)
			return false;
	}
	return a->replicas == b->replicas;
}

static void first_table(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	read_row(n);
	p->first = false;
	p->founder = p->founder && placement(n)->members == 1 && placement_complete(n, 0);
	if (p->founder)
		memset(&p->count, 0xff, sizeof(p->count));
	p->fresh = p->fresh && !p->founder && !n->options.newborn;
	if (p->founder || n->options.newborn)
		slots_save(n, 0);
}

static void next_table(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	const struct ring *now = placement(n), *before = placement_earlier(n, 0);

	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		/* A founder whose store turns out to be a new one knows nothing at all. */
		bool counted = trie_slots_have(&p->count, slot) && !(p->founder && !placement_complete(n, slot));
		unsigned int since = counted ? 1 : p->since[slot] ? p->since[slot] + 1u : 0;

		trie_slots_remove(&p->count, slot);
		p->since[slot] = 0;
		if (!placement_mine(n, slot))
			continue;
		if (counted && before && same_owners(now, before, slot))
			trie_slots_add(&p->count, slot);
		else if (since <= SINCE_MAX)
			p->since[slot] = (uint8_t)since;
	}
	p->founder = false;
	slots_save(n, COMPLETE_GATHER);
}

void slots_anew(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	for (unsigned int i = 0; i < HEAD_PULLS_MAX; i++) {
		if (call_busy(&p->pull[i].call))
			call_stop(n, &p->pull[i].call);
		p->pull[i].of = NULL;
	}
	p->number++;
	slots_forget(p);
	p->round = p->wide = false;
	p->noted = 0;
	p->wait = AGAIN_MIN;
	slots_judge(n);
	if (p->waiting > 0)
		timer_set(n, &p->timer, n->now);
}

void heads_pull_table(struct node *n)
{
	if (n->heads->pull->first)
		first_table(n);
	else
		next_table(n);
	slots_anew(n);
}

void heads_pull_peer(struct node *n, const struct peer *peer)
{
	struct heads_pull *p = n->heads->pull;
	const struct asked *a;

	if (p->round || (timer_busy(&p->timer) && p->timer.at <= n->now + AGAIN_MIN))
		return;
	a = find(p, &peer->id);
	if (a && a->wanted > 0)
		timer_set(n, &p->timer, n->now + node_jitter(n, AGAIN_MIN));
}

int heads_pull_start(struct node *n)
{
	struct heads_pull *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	n->heads->pull = p;
	p->first = true;
	p->wait = AGAIN_MIN;
	p->timer.due = heads_round;
	p->save_timer.due = save;
	p->judge_timer.due = heads_judge;
	p->saving.done = saved;
	/* By that the next start knows it, should this one end before it has met anybody. */
	if (n->options.newborn && n->options.seeds && n->options.seeds[0])
		slots_save(n, 0);
	return 0;
}

void heads_pull_end(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	if (!p)
		return;
	for (unsigned int i = 0; i < HEAD_PULLS_MAX; i++)
		if (call_busy(&p->pull[i].call))
			call_stop(n, &p->pull[i].call);
	timer_stop(n, &p->timer);
	timer_stop(n, &p->save_timer);
	timer_stop(n, &p->judge_timer);
	work_stop(n, &p->saving);
	work_stop(n, &p->wiping);
	slots_forget(p);
	free(p);
	n->heads->pull = NULL;
}

size_t heads_pull_memory(struct node *n)
{
	const struct heads_pull *p = n->heads->pull;

	return sizeof(*p) + p->asked_size * sizeof(struct asked *) + p->asked_count * sizeof(struct asked);
}
