/*
 * What counted before of heads, for slots whose owners have changed (heads.h: new owners).
 *
 * A slot of ours:
 *
 *	state	event						function	next state
 *	-	a table makes it ours				heads_pull_table WAITS
 *	COUNTS	a table with the same owners			heads_pull_table COUNTS
 *	COUNTS	a table with others, we among them		heads_pull_table WAITS, ${before}
 *	WAITS	any other table					heads_pull_table WAITS
 *	WAITS	enough nodes have told what they have		judge		COUNTS
 *	any	a table takes it away				heads_pull_table -
 *
 * Nodes are asked in rounds, HEAD_PULLS_MAX of them at a time, each for HEAD_WINDOW slots a message:
 *
 *	state	event						function	next state
 *	RESTS	some slots wait, it is time			round		ASKS
 *	ASKS	a page of heads					answered	ASKS the next page; STORES
 *	ASKS	no answer, or a bad one				answered	the next node
 *	STORES	what was new is durable				stored		ASKS the next page or window; the next node
 *	ASKS	no node is left					ask_more	RESTS: judge(), and again later
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "chunker/bytes.h"
#include "dht/net/heads.h"

#define ROW_FORMAT 1u
#define ROW_LEN	   (1u + 8u + 1u + ADDRESS_LEN + RING_SLOTS / 8)	/* format, generation, fresh, table, slots */

/* A node that may know something. */
struct asked {
	struct address id;
	struct trie_slots want, told, counts;	/* is to be asked for, has told all of, and they count there */
	unsigned int wanted;			/* slots in ${want} */
	bool out;				/* of this round: it did not answer */
};

struct pull {
	struct call call;
	struct asked *of;		/* NULL: idle */
	unsigned int window;		/* its first slot */
	struct address after;
	bool paged;			/* ${after} is set */
	bool more, failed;
	unsigned int storing;
	struct trie_slots counts;
};

struct heads_pull {
	struct trie_slots count;	/* they count here */
	struct trie_slots before;	/* they wait, and counted under the table before this one */
	unsigned int waiting;
	bool fresh;			/* our store may have been lost, and not all has come to count since */
	bool founder, first;		/* first: no table was seen yet */
	struct asked **asked;		/* in the order of ids */
	unsigned int asked_count, asked_size;
	struct pull pull[HEAD_PULLS_MAX];
	bool wide, round;
	uint64_t wait, number;		/* number: of tables; what was asked under an earlier one is void */
	struct timer timer, save_timer;
	struct work saving;
	bool unsaved;
};

static const struct catalogue_row_key row_key = { .table = ROW_HEADS };

static void ask_more(struct node *n);

/* ---- the row ---- */

static void save_later(struct node *n, uint64_t us)
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
		save_later(n, SAVE_AGAIN);
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
		save_later(n, e->result ? SAVE_AGAIN : COMPLETE_GATHER);
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

static void want(struct node *n, const struct address *id, unsigned int slot)
{
	struct asked *a;

	if (address_equal(id, &n->id) || gone(n, id))
		return;
	a = make(n->heads->pull, id);
	if (!a || trie_slots_have(&a->told, slot) || trie_slots_have(&a->want, slot))
		return;
	trie_slots_add(&a->want, slot);
	a->wanted++;
}

static void want_owners(struct node *n, const struct ring *r, unsigned int slot)
{
	for (unsigned int rank = 0; rank < r->replicas; rank++)
		want(n, &r->member[ring_owners(r, slot)[rank]].id, slot);
}

static void want_all(struct node *n, unsigned int slot)
{
	const struct ring *r = placement(n), *before;
	uint16_t walk[HEAD_WALK];
	unsigned int count;

	want_owners(n, r, slot);
	for (unsigned int i = 0; (before = placement_earlier(n, i)); i++)
		want_owners(n, before, slot);
	if (!n->heads->pull->wide)
		return;
	count = ring_walk(r, slot, walk, HEAD_WALK);
	for (unsigned int i = 0; i < count; i++)
		want(n, &r->member[walk[i]].id, slot);
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
	count = ring_walk(r, slot, walk, HEAD_WALK);
	return all_told(n, r, walk, count, slot);
}

static bool enough(struct node *n, unsigned int slot)
{
	const struct heads_pull *p = n->heads->pull;
	const struct ring *r = placement(n), *before = placement_earlier(n, 0);
	unsigned int others = 0, k = r->replicas - (r->replicas / 2 + 1);
	bool was = trie_slots_have(&p->before, slot), counts = false;

	for (unsigned int rank = 0; rank < r->replicas; rank++) {
		const struct asked *a = find(p, &r->member[ring_owners(r, slot)[rank]].id);

		if (a && trie_slots_have(&a->told, slot)) {
			others++;
			counts |= trie_slots_have(&a->counts, slot);
		}
	}
	if (!was && p->fresh && r->replicas > 1)
		k++;
	if (others < k)
		return false;
	return counts || (was && before && majority_before(n, before, slot)) || everyone(n, r, slot);
}

static bool waits(struct node *n, unsigned int slot)
{
	return placement_mine(n, slot) && !trie_slots_have(&n->heads->pull->count, slot);
}

static void judge(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	bool news = false;

	p->waiting = 0;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		if (!waits(n, slot))
			continue;
		if (!enough(n, slot)) {
			p->waiting++;
			continue;
		}
		trie_slots_add(&p->count, slot);
		trie_slots_remove(&p->before, slot);
		news = true;
	}
	if (p->waiting == 0 && p->fresh && placement(n)->members > 1) {
		p->fresh = false;
		news = true;
	}
	if (news)
		save_later(n, COMPLETE_GATHER);
}

/* ---- a round ---- */

static void forget_asked(struct heads_pull *p)
{
	for (unsigned int i = 0; i < p->asked_count; i++)
		free(p->asked[i]);
	free(p->asked);
	p->asked = NULL;
	p->asked_count = p->asked_size = 0;
}

static void round_over(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	p->round = false;
	judge(n);
	if (p->waiting == 0) {
		forget_asked(p);
		return;
	}
	timer_set(n, &p->timer, n->now + (p->wide ? node_jitter(n, p->wait) : 0));
	p->wait = p->wait < HEADS_AGAIN_MAX / 2 ? 2 * p->wait : HEADS_AGAIN_MAX;
	p->wide = true;
}

static void round_start(struct node *n, struct timer *t)
{
	struct heads_pull *p = list_item(t, struct heads_pull, timer);

	if (p->round || !placement(n))
		return;
	p->round = true;
	for (unsigned int i = 0; i < p->asked_count; i++)
		p->asked[i]->out = false;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		if (waits(n, slot))
			want_all(n, slot);
	ask_more(n);
}

/* The first slot that ${a} is to be asked for: there is one. */
static unsigned int next_slot(const struct asked *a)
{
	unsigned int slot = 0;

	while (!trie_slots_have(&a->want, slot))
		slot += a->want.bit[slot / 8] ? 1 : 8;
	return slot;
}

static void give_up(struct pull *q)
{
	q->of->out = true;
	q->of = NULL;
}

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body);

static void ask(struct node *n, struct pull *q)
{
	struct message m = { .type = WIRE_HEADS, .slot = (uint16_t)q->window };
	struct peer *peer = peer_find(n, &q->of->id);

	if (!peer || !peer_reachable(n, peer)) {
		give_up(q);
		return;
	}
	if (q->paged) {
		m.volume = q->after;
		m.has = WIRE_HAS(FIELD_VOLUME);
	}
	q->call.done = answered;
	call_start(n, &q->call, peer, &m, NULL, LINK_READ, CALL_QUICK);
}

static void ask_window(struct node *n, struct pull *q, unsigned int window)
{
	q->window = window;
	q->paged = q->failed = false;
	ask(n, q);
}

static void ask_more(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	bool busy = false;

	for (unsigned int i = 0; i < HEAD_PULLS_MAX; i++) {
		struct pull *q = &p->pull[i];

		for (unsigned int j = 0; !q->of && j < p->asked_count; j++) {
			struct asked *a = p->asked[j];
			bool taken = a->out || a->wanted == 0;

			for (unsigned int other = 0; !taken && other < HEAD_PULLS_MAX; other++)
				taken = p->pull[other].of == a;
			if (taken)
				continue;
			q->of = a;
			ask_window(n, q, next_slot(a));
		}
		busy |= q->of != NULL;
	}
	if (!busy)
		round_over(n);
}

/* A page is through, and what was new in it durable. */
static void page_over(struct node *n, struct pull *q)
{
	struct asked *a = q->of;

	if (q->failed) {
		give_up(q);
	} else if (q->more) {
		ask(n, q);
	} else {
		for (unsigned int slot = q->window; slot < RING_SLOTS && slot < q->window + HEAD_WINDOW; slot++) {
			if (!trie_slots_have(&a->want, slot))
				continue;
			trie_slots_remove(&a->want, slot);
			a->wanted--;
			trie_slots_add(&a->told, slot);
			if (trie_slots_have(&q->counts, slot))
				trie_slots_add(&a->counts, slot);
		}
		if (a->wanted > 0)
			ask_window(n, q, next_slot(a));
		else
			q->of = NULL;
	}
	if (!q->of)
		ask_more(n);
}

static void stored(struct node *n, struct head_change *c)
{
	struct heads_pull *p = n->heads->pull;
	struct pull *q = c->user;

	/* Of an earlier table: it is of no consequence any more. */
	if (c->tag != p->number || !q->of)
		return;
	if (c->status != WIRE_OK && c->status != WIRE_CONFLICT && c->status != WIRE_OLD && c->status != WIRE_ENDED) {
		node_log(n, LOG_WARNING, "another owner's head can't be kept: %s", wire_status_name(c->status));
		q->failed = true;
	}
	if (--q->storing == 0)
		page_over(n, q);
}

/* One volume: its newest head, or two of one seq. */
static void take(struct node *n, struct pull *q, const struct address *volume, const struct wire_slice *head,
    const struct wire_slice *evidence, struct chunk *body)
{
	struct head_row row;
	struct chunk *here;
	struct head_change *c;
	bool same;

	if (!placement_mine(n, ring_slot(volume)))
		return;
	here = heads_row(n, ROW_HEAD, volume, &row);
	same = row.forked || (!evidence->len && row.count > 0 && head_row_newest(&row)->blob.len == head->len &&
	    !memcmp(head_row_newest(&row)->blob.data, head->data, head->len));
	chunk_drop(here);
	if (same)
		return;
	c = head_change_new(ROW_HEAD, volume);
	if (!c) {
		q->failed = true;
		return;
	}
	c->head = *head;
	c->evidence = *evidence;
	c->hold[0] = chunk_hold(body);
	c->jump = true;
	c->user = q;
	c->tag = n->heads->pull->number;
	c->done = stored;
	q->storing++;
	head_change_start(n, c);
}

/* All of a page; false: it breaks the order. */
static bool take_page(struct node *n, struct pull *q, const struct message *m, struct chunk *body)
{
	struct wire_slice head, next, evidence;
	struct address volume, of_next;
	uint32_t at = 0;
	bool any = wire_blob(&m->blobs, &at, &head), more;

	while (any) {
		if (signed_volume(head.data, head.len, &volume) || ring_slot(&volume) < q->window ||
		    ring_slot(&volume) >= q->window + HEAD_WINDOW || (q->paged && address_compare(&volume, &q->after) <= 0))
			return false;
		evidence = (struct wire_slice){ NULL, 0 };
		more = wire_blob(&m->blobs, &at, &next);
		if (more && !signed_volume(next.data, next.len, &of_next) && address_equal(&volume, &of_next)) {
			evidence = next;
			more = wire_blob(&m->blobs, &at, &next);
		}
		take(n, q, &volume, &head, &evidence, body);
		q->after = volume;
		q->paged = true;
		head = next;
		any = more;
	}
	return !m->more || m->blobs.len > 0;
}

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct pull *q = list_item(c, struct pull, call);
	struct peer *peer;

	if (result || m->status != WIRE_OK) {
		give_up(q);
		ask_more(n);
		return;
	}
	if (!q->paged)
		memset(&q->counts, 0, sizeof(q->counts));
	q->more = m->more;
	for (unsigned int i = 0; i < HEAD_WINDOW && i / 8 < m->have.len && q->window + i < RING_SLOTS; i++)
		if (m->have.data[i / 8] >> i % 8 & 1)
			trie_slots_add(&q->counts, q->window + i);
	/* One more, so that none of those that are stored ends the page before it was read. */
	q->storing = 1;
	if (!take_page(n, q, m, body)) {
		peer = peer_find(n, &q->of->id);
		if (peer)
			peer_wrong(n, peer, "a bad list of heads");
		q->failed = true;
	}
	if (--q->storing == 0)
		page_over(n, q);
}

/* ---- what peers ask ---- */

void heads_serve_pull(struct node *n, struct served *s, const struct message *m)
{
	struct catalogue *c = n->options.catalogue;
	struct message out = { .status = WIRE_OK, .has = WIRE_HAS(FIELD_BLOBS) | WIRE_HAS(FIELD_HAVE) };
	uint8_t have[HEAD_WINDOW / 8] = { 0 }, blobs[WIRE_BLOBS_MAX];
	struct address at;
	uint32_t len = 0;
	bool first = !(m->has & WIRE_HAS(FIELD_VOLUME)), any;

	memset(&at, 0, sizeof(at));
	put_be64(at.b, (uint64_t)m->slot << (64 - RING_SLOT_BITS));
	if (!first)
		at = m->volume;
	for (unsigned int i = 0; i < HEAD_WINDOW && m->slot + i < RING_SLOTS; i++)
		if (heads_complete(n, m->slot + i))
			have[i / 8] |= (uint8_t)(1u << i % 8);
	out.have = (struct wire_slice){ have, sizeof(have) };
	for (any = c->rows(c, ROW_HEAD, &at, &at); any && ring_slot(&at) < m->slot + HEAD_WINDOW; any = c->rows(c, ROW_HEAD, &at, &at)) {
		struct head_row row;
		struct chunk *bytes = heads_row(n, ROW_HEAD, &at, &row);
		const struct head_item *item = row.forked ? row.fork : head_row_newest(&row);
		unsigned int items = row.forked ? 2 : item != NULL;
		uint32_t was = len;
		int put = 0;

		for (unsigned int i = 0; i < items && put >= 0; i++) {
			put = item[i].blob.len ? wire_blob_put(item[i].blob.data, item[i].blob.len, blobs + len, WIRE_BLOBS_MAX - len) : 0;
			len += put > 0 ? (uint32_t)put : 0;
		}
		chunk_drop(bytes);
		if (put < 0) {
			len = was;
			out.more = true;
			break;
		}
	}
	out.blobs = (struct wire_slice){ blobs, len };
	serve_answer(n, s, &out, NULL);
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
	p->fresh = p->fresh && !p->founder;
	if (p->founder)
		save_later(n, 0);
}

static void next_table(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	const struct ring *now = placement(n), *before = placement_earlier(n, 0);

	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		/* A founder whose store turns out to be a new one knows nothing at all. */
		bool counted = trie_slots_have(&p->count, slot) && !(p->founder && !placement_complete(n, slot));

		trie_slots_remove(&p->before, slot);
		trie_slots_remove(&p->count, slot);
		if (!counted || !placement_mine(n, slot))
			continue;
		if (before && same_owners(now, before, slot))
			trie_slots_add(&p->count, slot);
		else
			trie_slots_add(&p->before, slot);
	}
	p->founder = false;
	save_later(n, COMPLETE_GATHER);
}

void heads_pull_table(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	for (unsigned int i = 0; i < HEAD_PULLS_MAX; i++) {
		if (call_busy(&p->pull[i].call))
			call_stop(n, &p->pull[i].call);
		p->pull[i].of = NULL;
	}
	p->number++;
	forget_asked(p);
	if (p->first)
		first_table(n);
	else
		next_table(n);
	p->round = p->wide = false;
	p->wait = AGAIN_MIN;
	judge(n);
	if (p->waiting > 0)
		timer_set(n, &p->timer, n->now);
}

void heads_pull_peer(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	p->wait = AGAIN_MIN;
	if (p->waiting > 0 && !p->round && (!timer_busy(&p->timer) || p->timer.at > n->now + AGAIN_MIN))
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
	p->timer.due = round_start;
	p->save_timer.due = save;
	p->saving.done = saved;
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
	work_stop(n, &p->saving);
	forget_asked(p);
	free(p);
	n->heads->pull = NULL;
}

size_t heads_pull_memory(struct node *n)
{
	const struct heads_pull *p = n->heads->pull;

	return sizeof(*p) + p->asked_size * sizeof(struct asked *) + p->asked_count * sizeof(struct asked);
}
