/* The peers that are made up, and calls to them. */
#include "tests/lib/chunkkit_impl.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct peer *peer_find(struct node *n, const struct address *id)
{
	(void)n;
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		if (!(kit->peer[i].ways & KIT_UNKNOWN) && address_equal(&kit->peer[i].peer.id, id))
			return &kit->peer[i].peer;
	return NULL;
}

uint64_t peer_cost(struct node *n, const struct peer *p)
{
	uint64_t cost = p->latency ? p->latency : kit_of(p)->latency;

	if (kit_of(p)->ways & (KIT_DOWN | KIT_UNREACHABLE))
		return UINT64_MAX;
	if (p->oldest != UINT64_MAX && n->now - p->oldest > cost)
		cost = n->now - p->oldest;
	return cost << (p->wrong < 8 ? p->wrong : 8);
}

bool peer_reachable(struct node *n, const struct peer *p)
{
	(void)n;
	return !(kit_of(p)->ways & (KIT_DOWN | KIT_UNREACHABLE));
}

void peer_lacked(struct node *n, const struct address *id, uint64_t us)
{
	struct peer *p = peer_find(n, id);

	p->latency = p->latency_p95 = us;
}

void peer_wrong(struct node *n, struct peer *p, const char *what)
{
	(void)what;
	p->wrong++;
	kit_of(p)->wrong++;
	n->status.wrong_answers++;
}

enum health membership_health(struct node *n, const struct address *id)
{
	struct peer *p = peer_find(n, id);

	return !p || kit_of(p)->ways & KIT_DOWN ? PEER_DOWN : PEER_ALIVE;
}

/* ---- what a peer has, and says ---- */

struct kit_copy *kit_has(struct kit_peer *p, const struct address *a)
{
	for (unsigned int i = 0; i < p->copies; i++)
		if (address_equal(&p->copy[i].address, a))
			return &p->copy[i];
	return NULL;
}

void kit_give(struct kit_peer *p, const struct address *a, struct chunk *c)
{
	if (kit_has(p, a))
		return;
	p->copy = must(realloc(p->copy, (p->copies + 1) * sizeof *p->copy));
	p->copy[p->copies++] = (struct kit_copy){ .address = *a, .kind = KIND_DATA, .chunk = chunk_hold(c) };
}

void kit_take(struct kit_peer *p, const struct address *a)
{
	struct kit_copy *copy = kit_has(p, a);

	if (!copy)
		return;
	chunk_drop(copy->chunk);
	*copy = p->copy[--p->copies];
}

/* A call under way: what was asked, and when the answer is there. */
struct flight {
	struct list link;
	struct call *call;
	struct message m;
	struct address *addresses;
	struct chunk *bytes;
	uint64_t at;
};

static void flight_free(struct flight *f)
{
	list_remove(&f->link);
	free(f->addresses);
	chunk_drop(f->bytes);
	free(f);
}

static struct flight *flight_of(struct call *c)
{
	for (struct list *l = kit->calls.next; l != &kit->calls; l = l->next)
		if (list_item(l, struct flight, link)->call == c)
			return list_item(l, struct flight, link);
	return NULL;
}

static void find_oldest(struct kit_peer *p)
{
	p->peer.oldest = UINT64_MAX;
	for (struct list *l = kit->calls.next; l != &kit->calls; l = l->next) {
		struct call *c = list_item(l, struct flight, link)->call;

		if (c->peer == &p->peer && c->sent < p->peer.oldest)
			p->peer.oldest = c->sent;
	}
}

static void landed(struct node *n, struct call *c)
{
	struct flight *f = flight_of(c);
	struct kit_peer *p = kit_of(c->peer);

	p->flying -= f->m.type == WIRE_PUT || f->m.type == WIRE_AUDIT;
	flight_free(f);
	find_oldest(p);
	timer_stop(n, &c->timer);
	c->busy = false;
}

static void call_due(struct node *n, struct timer *t)
{
	struct call *c = list_item(t, struct call, timer);

	landed(n, c);
	c->done(n, c, -ETIMEDOUT, NULL, NULL);
}

void call_start(struct node *n, struct call *c, struct peer *peer, struct message *m, struct chunk *tail,
    enum link_priority priority, uint64_t timeout)
{
	struct flight *f = must(calloc(1, sizeof *f));
	struct kit_peer *p = kit_of(peer);
	struct list *l = kit->calls.next;
	unsigned int flying = 0;

	assert(c->done && !c->busy && priority > LINK_CONTROL);
	*c = (struct call){ .peer = peer, .busy = true, .sent = n->now, .done = c->done, .timer.due = call_due };
	f->call = c;
	f->m = *m;
	f->bytes = tail ? chunk_hold(tail) : NULL;
	f->at = p->ways & KIT_SILENT ? UINT64_MAX : n->now + p->latency;
	f->m.placement = *placement_hash(n);
	if (m->address_count) {
		f->addresses = must(malloc(m->address_count * sizeof *f->addresses));
		memcpy(f->addresses, m->addresses, m->address_count * sizeof *f->addresses);
		f->m.addresses = f->addresses;
	}
	while (l != &kit->calls && list_item(l, struct flight, link)->at <= f->at)
		l = l->next;
	list_append(l, &f->link);
	find_oldest(p);
	timer_set(n, &c->timer, n->now + timeout);
	p->touches += m->type == WIRE_TOUCH;
	p->touched += m->type == WIRE_TOUCH ? m->address_count : 0;
	p->puts += m->type == WIRE_PUT;
	p->gets += m->type == WIRE_GET;
	if (m->type == WIRE_AUDIT)
		p->nonce[p->audits++ % 2] = m->nonce;
	p->flying += m->type == WIRE_PUT || m->type == WIRE_AUDIT;
	for (l = kit->calls.next; l != &kit->calls; l = l->next)
		flying += list_item(l, struct flight, link)->m.type == WIRE_PUT;
	kit->flying_max = flying > kit->flying_max ? flying : kit->flying_max;
}

void call_stop(struct node *n, struct call *c)
{
	if (c->busy)
		landed(n, c);
}

bool call_busy(const struct call *c)
{
	return c->busy;
}

static void answer_touch(struct kit_peer *p, const struct message *m, struct message *out, uint8_t *have)
{
	memset(have, 0, WIRE_ADDRESSES_MAX / 8);
	for (uint32_t i = 0; i < m->address_count; i++)
		if (kit_has(p, &m->addresses[i]) || p->ways & (KIT_FALSE_STORED | KIT_DELETED))
			have[i / 8] |= (uint8_t)(1u << i % 8);
	out->have = (struct wire_slice){ have, p->ways & KIT_FEW_BITS ? 1 : (m->address_count + 7) / 8 };
	out->has |= WIRE_HAS(FIELD_HAVE);
}

static void answer_put(struct kit_peer *p, const struct message *m, struct chunk *bytes, struct message *out)
{
	struct kit_copy *copy;
	struct address a;

	address_of(m->kind, bytes->data, bytes->len, &a);
	assert(address_equal(&a, &m->address));
	if (p->ways & KIT_FULL)
		out->status = WIRE_FULL;
	if (p->ways & (KIT_FULL | KIT_FALSE_STORED))
		return;
	kit_give(p, &m->address, bytes);
	copy = kit_has(p, &m->address);
	copy->spare = m->spare;
	if (m->has & WIRE_HAS(FIELD_VOLUME))
		copy->volume = m->volume;
	p->ways &= ~(unsigned int)KIT_DELETED;
}

static void prove(const struct address *nonce, const struct chunk *c, struct address *out)
{
	crypto_generichash_state h;

	crypto_generichash_init(&h, NULL, 0, sizeof out->b);
	crypto_generichash_update(&h, nonce->b, sizeof nonce->b);
	crypto_generichash_update(&h, c->data, c->len);
	crypto_generichash_final(&h, out->b, sizeof out->b);
}

static void answer_get(struct kit_peer *p, const struct message *m, struct message *out, struct chunk **body)
{
	struct kit_copy *copy = kit_has(p, &m->address);
	uint8_t *data;

	if (!copy && !(p->ways & KIT_WRONG_BYTES)) {
		out->status = WIRE_MISS;
		out->complete = !(p->ways & KIT_INCOMPLETE);
		return;
	}
	*body = must(chunk_new(copy ? copy->chunk->len : 100, &data));
	if (copy)
		memcpy(data, copy->chunk->data, copy->chunk->len);
	else
		memset(data, 'x', 100);
	if (p->ways & KIT_WRONG_BYTES)
		data[0] ^= 1;
	out->kind = KIND_DATA;
	out->bytes = (struct wire_slice){ data, (*body)->len };
	out->has |= WIRE_HAS(FIELD_BYTES) | WIRE_HAS(FIELD_KIND);
}

static void answer_audit(struct kit_peer *p, const struct message *m, struct message *out)
{
	struct kit_copy *copy = kit_has(p, &m->address);

	if (!copy && !(p->ways & KIT_WRONG_PROOF)) {
		out->status = WIRE_MISS;
		out->complete = !(p->ways & KIT_INCOMPLETE);
		return;
	}
	if (copy)
		prove(&m->nonce, copy->chunk, &out->hash);
	if (p->ways & KIT_WRONG_PROOF)
		out->hash.b[0] ^= 1;
	out->has |= WIRE_HAS(FIELD_HASH);
}

/* What the peer says now, at the end of the way back. */
static void deliver(struct node *n, struct flight *f)
{
	struct call *c = f->call;
	struct kit_peer *p = kit_of(c->peer);
	struct message out = { .type = WIRE_ANSWER, .status = WIRE_OK }, m = f->m;
	uint8_t have[WIRE_ADDRESSES_MAX / 8];
	struct chunk *body = NULL, *bytes = f->bytes ? chunk_hold(f->bytes) : NULL;
	int result = p->ways & (KIT_CUT | KIT_DOWN | KIT_UNREACHABLE) ? -EHOSTUNREACH : 0;

	if (result || p->ways & KIT_NO_FIELDS)
		;
	else if (p->status)
		out.status = (uint16_t)p->status;
	else if (!address_equal(&m.placement, placement_hash(n)))
		out.status = WIRE_OTHER_PLACEMENT;
	else if (m.type == WIRE_TOUCH)
		answer_touch(p, &m, &out, have);
	else if (m.type == WIRE_PUT)
		answer_put(p, &m, bytes, &out);
	else if (p->ways & KIT_NO_READ)
		out.status = WIRE_FAULT;
	else if (m.type == WIRE_GET)
		answer_get(p, &m, &out, &body);
	else
		answer_audit(p, &m, &out);
	if (!result && m.type == WIRE_GET && out.status == WIRE_OK)
		p->peer.latency = p->peer.latency_p95 = n->now - c->sent;
	landed(n, c);
	c->done(n, c, result, result ? NULL : &out, body);
	chunk_drop(body);
	chunk_drop(bytes);
}

uint64_t kit_answer_due(struct kit *k)
{
	return list_empty(&k->calls) ? UINT64_MAX : list_item(k->calls.next, struct flight, link)->at;
}

void kit_answer_next(struct kit *k)
{
	deliver(k->node, list_item(k->calls.next, struct flight, link));
}
