/*
 * Who may know what counted before of heads is asked (heads_slots.c): in rounds, HEAD_PULLS_MAX nodes at a time, each for
 * HEAD_WINDOW slots a message:
 *
 *	state	event						function	next state
 *	RESTS	some slots wait, it is time			heads_round	ASKS
 *	ASKS	a page of heads					answered	ASKS the next page; STORES
 *	ASKS	no answer, or a bad one				answered	the next node
 *	STORES	what was new is durable				stored		ASKS the next page or window; the next node
 *	ASKS	no node is left					ask_more	RESTS: slots_judge(), and again later
 */
#include "dht/net/heads_slots.h"

#include <string.h>
#include <syslog.h>

#include "chunker/bytes.h"

#define GATHER (50 * MS)	/* nodes that tell within this are judged together: a look at all slots */

static void ask_more(struct node *n);

/* ---- a round ---- */

static void round_over(struct node *n)
{
	struct heads_pull *p = n->heads->pull;

	p->round = false;
	slots_judge(n);
	if (p->waiting == 0) {
		slots_forget(p);
		return;
	}
	timer_set(n, &p->timer, n->now + (p->wide ? node_jitter(n, p->wait) : 0));
	p->wait = p->wait < HEADS_AGAIN_MAX / 2 ? 2 * p->wait : HEADS_AGAIN_MAX;
	p->wide = true;
	slots_again(n);
}

void heads_round(struct node *n, struct timer *t)
{
	struct heads_pull *p = list_item(t, struct heads_pull, timer);

	if (p->round || !placement(n))
		return;
	p->round = true;
	if (p->noted < 1u + p->wide) {
		slots_want(n);
		p->noted = 1u + p->wide;
	}
	p->next = 0;
	ask_more(n);
}

/* The first slot that ${a} is to be asked for: there is one. */
static unsigned int next_slot(const struct asked *a)
{
	unsigned int byte = 0;
	uint64_t word;

	/* Asked for each window of each peer: most of the set is empty, so by words. */
	while (memcpy(&word, a->want.bit + byte, sizeof(word)), word == 0)
		byte += sizeof(word);
	while (a->want.bit[byte] == 0)
		byte++;
	return 8 * byte + (unsigned int)__builtin_ctz(a->want.bit[byte]);
}

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body);

static void ask(struct node *n, struct pull *q)
{
	struct message m = { .type = WIRE_HEADS, .slot = (uint16_t)q->window };
	struct peer *peer = peer_find(n, &q->of->id);

	if (!peer || !peer_reachable(n, peer)) {
		q->of = NULL;
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

		while (!q->of && p->next < p->asked_count) {
			struct asked *a = p->asked[p->next++];

			if (a->wanted == 0)
				continue;
			q->of = a;
			ask_window(n, q, next_slot(a));
		}
		busy |= q->of != NULL;
	}
	if (!busy)
		round_over(n);
}

void heads_judge(struct node *n, struct timer *t)
{
	(void)t;
	if (placement(n) && n->heads->pull->waiting > 0)
		slots_judge(n);
}

/* A page is through, and what was new in it durable. */
static void page_over(struct node *n, struct pull *q)
{
	struct asked *a = q->of;

	if (q->failed) {
		q->of = NULL;
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
		if (a->wanted > 0) {
			ask_window(n, q, next_slot(a));
		} else {
			q->of = NULL;
			/* A round ends only when the slowest has answered, or has not. */
			if (!timer_busy(&n->heads->pull->judge_timer))
				timer_set(n, &n->heads->pull->judge_timer, n->now + GATHER);
		}
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
		q->of = NULL;
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
	bool any;

	memset(&at, 0, sizeof(at));
	put_be64(at.b, (uint64_t)m->slot << (64 - RING_SLOT_BITS));
	if (m->has & WIRE_HAS(FIELD_VOLUME))
		at = m->volume;
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
	/* Last: a row may have turned out to be damaged. */
	for (unsigned int i = 0; i < HEAD_WINDOW && m->slot + i < RING_SLOTS; i++)
		if (heads_complete(n, m->slot + i))
			have[i / 8] |= (uint8_t)(1u << i % 8);
	out.have = (struct wire_slice){ have, sizeof(have) };
	out.blobs = (struct wire_slice){ blobs, len };
	serve_answer(n, s, &out, NULL);
}
