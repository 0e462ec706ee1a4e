#include "tests/lib/chunkkit.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KIT_LATENCY (5 * MS)

static struct kit *kit;		/* the only one: what is stood in for has no other way to it */

const struct machine *const machines[] = {
	&chunkserve_machine, &insert_machine, &fetch_machine, &foreign_machine, &audit_machine, NULL
};

struct disk_work {
	struct list link;
	struct effect effect;
};

static void *must(void *p)
{
	assert(p);
	return p;
}

/* ---- peers ---- */

static struct kit_peer *of(const struct peer *p)
{
	return (struct kit_peer *)(uintptr_t)p;
}

struct peer *peer_find(struct node *n, const struct address *id)
{
	(void)n;
	for (unsigned int i = 0; i < KIT_PEERS; i++)
		if (address_equal(&kit->peer[i].peer.id, id))
			return &kit->peer[i].peer;
	return NULL;
}

uint64_t peer_cost(struct node *n, const struct peer *p)
{
	uint64_t cost = of(p)->latency;

	if (of(p)->ways & (KIT_DOWN | KIT_UNREACHABLE))
		return UINT64_MAX;
	if (p->oldest != UINT64_MAX && n->now - p->oldest > cost)
		cost = n->now - p->oldest;
	return cost << (p->wrong < 8 ? p->wrong : 8);
}

bool peer_reachable(struct node *n, const struct peer *p)
{
	(void)n;
	return !(of(p)->ways & (KIT_DOWN | KIT_UNREACHABLE));
}

void peer_wrong(struct node *n, struct peer *p, const char *what)
{
	(void)what;
	p->wrong++;
	of(p)->wrong++;
	n->status.wrong_answers++;
}

enum health membership_health(struct node *n, const struct address *id)
{
	struct peer *p = peer_find(n, id);

	return !p || of(p)->ways & KIT_DOWN ? PEER_DOWN : PEER_ALIVE;
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
	p->copy[p->copies++] = (struct kit_copy){ *a, KIND_DATA, chunk_hold(c), false };
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
	struct kit_peer *p = of(c->peer);

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
	struct kit_peer *p = of(peer);
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
	p->audits += m->type == WIRE_AUDIT;
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
	out->have = (struct wire_slice){ have, (m->address_count + 7) / 8 };
	out->has |= WIRE_HAS(FIELD_HAVE);
}

static void answer_put(struct kit_peer *p, const struct message *m, struct chunk *bytes, struct message *out)
{
	struct address a;

	address_of(m->kind, bytes->data, bytes->len, &a);
	assert(address_equal(&a, &m->address));
	if (p->ways & KIT_FALSE_STORED)
		return;
	kit_give(p, &m->address, bytes);
	kit_has(p, &m->address)->spare = m->spare;
	p->ways &= ~(unsigned int)KIT_DELETED;
	out->status = WIRE_OK;
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
	*body = copy ? must(chunk_new(copy->chunk->len, &data)) : must(chunk_new(100, &data));
	if (copy)
		memcpy(data, copy->chunk->data, copy->chunk->len);
	if (!copy || p->ways & KIT_WRONG_BYTES)
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
		return;
	}
	if (copy)
		prove(&m->nonce, copy->chunk, &out->hash);
	if (p->ways & KIT_WRONG_PROOF)
		out->hash.b[0] ^= 1;
	out->has |= WIRE_HAS(FIELD_HASH);
}

static void deliver(struct node *n, struct flight *f)
{
	struct call *c = f->call;
	struct kit_peer *p = of(c->peer);
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
	if (!result && m.type == WIRE_GET) {
		p->peer.latency = p->peer.latency_p95 = p->latency;
	}
	landed(n, c);
	c->done(n, c, result, result ? NULL : &out, body);
	chunk_drop(body);
	chunk_drop(bytes);
}

/* ---- the table ---- */

const struct ring *placement(struct node *n)
{
	(void)n;
	return kit->ring;
}

const struct ring *placement_before(struct node *n)
{
	(void)n;
	return kit->earlier;
}

const struct ring *placement_earlier(struct node *n, unsigned int i)
{
	(void)n;
	return i == 0 ? kit->earlier : NULL;
}

const struct address *placement_hash(struct node *n)
{
	static const struct address none;

	(void)n;
	return kit->ring ? &kit->ring->placement : &none;
}

bool placement_mine(struct node *n, unsigned int slot)
{
	int me = kit->ring ? ring_find(kit->ring, &n->id) : -1;

	return me >= 0 && ring_owns(kit->ring, slot, (unsigned int)me);
}

bool placement_complete(struct node *n, unsigned int slot)
{
	(void)n;
	(void)slot;
	return !kit->incomplete;
}

unsigned int placement_walk(struct node *n, unsigned int slot, struct peer **out, unsigned int max)
{
	uint16_t walk[KIT_PEERS + 1];
	unsigned int count, others = 0;

	if (!kit->ring)
		return 0;
	count = ring_walk(kit->ring, slot, walk, KIT_PEERS + 1);
	for (unsigned int i = 0; i < count && others < max; i++) {
		struct peer *p = peer_find(n, &kit->ring->member[walk[i]].id);

		if (p)
			out[others++] = p;
	}
	return others;
}

unsigned int placement_owners(struct node *n, unsigned int slot, struct peer **out)
{
	if (!kit->ring)
		return 0;
	return placement_walk(n, slot, out, kit->ring->replicas - placement_mine(n, slot));
}

static struct ring *table_of(struct kit *k, unsigned int members)
{
	struct ring_member m[KIT_PEERS + 1] = { { .id = k->node->id, .weight = 1 } };
	struct ring *r;

	for (unsigned int i = 0; i < members; i++)
		m[i + 1] = (struct ring_member){ .id = k->peer[i].peer.id, .weight = 1 };
	assert(ring_build(m, members + 1, k->file.replicas, &r) == 0);
	return r;
}

void kit_table(struct kit *k, unsigned int members, bool moving)
{
	struct ring *before = k->ring;

	ring_free(k->earlier);
	k->earlier = NULL;
	k->members = members;
	k->ring = table_of(k, members);
	if (moving)
		k->earlier = before;
	else
		ring_free(before);
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->table)
			machines[i]->table(k->node);
}

/* ---- what else is stood in for ---- */

void touched(struct node *n, const struct address *a)
{
	(void)n;
	(void)a;
	kit->touches++;
}

bool deleting(struct node *n, const struct address *a)
{
	(void)n;
	(void)a;
	return kit->deleting;
}

void leases_changed(struct node *n, const struct address *addresses, uint32_t count)
{
	(void)n;
	(void)addresses;
	(void)count;
}

void lease_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void head_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void leave_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void membership_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void serve_answer(struct node *n, struct served *s, struct message *m, struct chunk *tail)
{
	(void)n;
	chunk_drop(kit->answer_tail);
	kit->answer = *m;
	kit->answer_tail = tail ? chunk_hold(tail) : NULL;
	if (m->have.len)
		memcpy(kit->answer_have, m->have.data, m->have.len);
	kit->answer.have.data = kit->answer_have;
	kit->answers++;
	chunk_drop(s->body);
	free(s);
}

void serve_status(struct node *n, struct served *s, enum wire_status status)
{
	struct message m = { .status = status };

	serve_answer(n, s, &m, NULL);
}

void kit_ask(struct kit *k, struct kit_peer *from, struct message *m, struct chunk *bytes)
{
	struct served *s = must(calloc(1, sizeof *s));

	s->peer = &from->peer;
	s->priority = LINK_WRITE;
	s->body = bytes ? chunk_hold(bytes) : must(chunk_copy("", 1));
	if (bytes)
		m->bytes = (struct wire_slice){ bytes->data, bytes->len };
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->request && machines[i]->request(k->node, s, m))
			break;
	kit_settle(k);
}

/* ---- what the node wants done ---- */

static void carry_out(struct kit *k, struct effect *e)
{
	struct event done = { .kind = EVENT_DONE, .ticket = e->ticket };

	if (k->disk_fails && e->kind == EFFECT_WRITE) {
		done.result = k->disk_fails;
	} else {
		memory_catalogue_apply(&k->disk, e, &done);
		done.kind = EVENT_DONE;
		done.ticket = e->ticket;
	}
	works_done(k->node, &done);
	chunk_drop(done.chunk);
}

static bool poll(struct kit *k)
{
	struct effect e;

	if (!effects_poll(k->node, &e))
		return false;
	if (e.kind == EFFECT_REPLY) {
		assert(!kit_reply(k, e.ticket) && k->replies < 4096);
		k->reply[k->replies++] = (struct kit_reply){ e.ticket, e.result, e.chunk ? chunk_hold(e.chunk) : NULL,
			e.chunk_kind, e.count };
	} else if (e.ticket) {
		struct disk_work *w = must(malloc(sizeof *w));

		w->effect = e;
		list_append(&k->works, &w->link);
		return true;
	}
	effect_done(&e);
	return true;
}

/* One thing that is due: an effect, the disk, an answer. */
static bool happen(struct kit *k)
{
	struct flight *f = list_empty(&k->calls) ? NULL : list_item(k->calls.next, struct flight, link);

	if (poll(k))
		return true;
	if (!k->hold_disk && !list_empty(&k->works)) {
		struct disk_work *w = list_item(k->works.next, struct disk_work, link);

		list_remove(&w->link);
		carry_out(k, &w->effect);
		effect_done(&w->effect);
		free(w);
		return true;
	}
	if (f && f->at <= k->node->now) {
		deliver(k->node, f);
		return true;
	}
	return false;
}

void kit_settle(struct kit *k)
{
	while (happen(k))
		;
}

void kit_run(struct kit *k, uint64_t us)
{
	uint64_t end = k->node->now + us;

	for (;;) {
		struct flight *f;
		uint64_t at;

		kit_settle(k);
		f = list_empty(&k->calls) ? NULL : list_item(k->calls.next, struct flight, link);
		at = timers_next(k->node);
		if (f && f->at < at)
			at = f->at;
		if (at > end)
			break;
		k->node->now = at > k->node->now ? at : k->node->now;
		while (happen(k))
			;
		timers_run(k->node);
	}
	k->node->now = end;
}

/* ---- its life ---- */

void kit_boot(struct kit *k)
{
	struct node *n = must(calloc(1, sizeof *n));

	kit = k;
	k->node = n;
	n->options.catalogue = &k->disk.catalogue;
	n->options.file = &k->file;
	memset(n->id.b, 0xee, sizeof n->id.b);
	n->now = 1 * S;
	n->running = true;
	random_seed(n, 1);
	assert(effects_new(n) == 0 && works_new(n) == 0 && commands_new(n) == 0);
	for (unsigned int i = 0; machines[i]; i++)
		machines[i]->start(n);
	if (k->members)
		kit_table(k, k->members, false);
	kit_settle(k);
}

void kit_halt(struct kit *k)
{
	struct node *n = k->node;

	n->stopped = true;
	commands_stop(n);
	for (unsigned int i = 0; machines[i]; i++)
		machines[i]->end(n);
	/* Whoever waited has stopped his calls, timers and work. */
	assert(list_empty(&k->calls) && timers_next(n) == UINT64_MAX);
	while (poll(k))
		;
	while (!list_empty(&k->works)) {
		struct disk_work *w = list_item(k->works.next, struct disk_work, link);

		list_remove(&w->link);
		effect_done(&w->effect);
		free(w);
	}
	commands_free(n);
	works_free(n);
	effects_free(n);
	free(n);
	k->node = NULL;
}

struct kit *kit_start(unsigned int members, unsigned int replicas)
{
	struct kit *k = must(calloc(1, sizeof *k));

	assert(!kit && members <= KIT_PEERS);
	k->file.replicas = (uint8_t)replicas;
	k->members = members;
	list_init(&k->calls);
	list_init(&k->works);
	memory_catalogue_init(&k->disk, 1u << 30);
	for (unsigned int i = 0; i < KIT_PEERS; i++) {
		struct kit_peer *p = &k->peer[i];

		memset(p->peer.id.b, (int)(16 * i + 1), sizeof p->peer.id.b);
		p->peer.oldest = UINT64_MAX;
		p->latency = KIT_LATENCY;
	}
	kit_boot(k);
	return k;
}

void kit_end(struct kit *k)
{
	if (k->node)
		kit_halt(k);
	for (unsigned int i = 0; i < KIT_PEERS; i++) {
		for (unsigned int c = 0; c < k->peer[i].copies; c++)
			chunk_drop(k->peer[i].copy[c].chunk);
		free(k->peer[i].copy);
	}
	for (unsigned int i = 0; i < k->replies; i++)
		chunk_drop(k->reply[i].chunk);
	chunk_drop(k->answer_tail);
	ring_free(k->ring);
	ring_free(k->earlier);
	memory_catalogue_free(&k->disk);
	free(k);
	kit = NULL;
}

/* ---- for the tests ---- */

struct chunk *kit_chunk(uint64_t seed, size_t len, struct address *out)
{
	uint8_t *data, key[randombytes_SEEDBYTES] = { 0 };
	struct chunk *c = must(chunk_new(len, &data));

	memcpy(key, &seed, sizeof seed);
	randombytes_buf_deterministic(data, len, key);
	address_of(KIND_DATA, data, len, out);
	return c;
}

struct chunk *kit_find(struct kit *k, bool mine, uint64_t seed, struct address *out)
{
	for (uint64_t i = 0;; i++) {
		struct chunk *c = kit_chunk(seed * 1000 + i, 100, out);

		if (placement_mine(k->node, ring_slot(out)) == mine)
			return c;
		chunk_drop(c);
	}
}

unsigned int kit_owners(struct kit *k, const struct address *a, struct kit_peer **out)
{
	return placement_owners(k->node, ring_slot(a), (struct peer **)(void *)out);
}

struct kit_peer *kit_walk(struct kit *k, const struct address *a, unsigned int i)
{
	struct peer *walk[KIT_PEERS + 1];
	unsigned int count = placement_walk(k->node, ring_slot(a), walk, KIT_PEERS);

	return i < count ? of(walk[i]) : NULL;
}

void kit_keep(struct kit *k, const struct address *a, struct chunk *c, unsigned int states)
{
	struct effect e = { .kind = EFFECT_WRITE, .address = *a, .chunk_kind = KIND_DATA, .chunk = c, .states = states };
	struct event done = { .kind = EVENT_DONE };

	memory_catalogue_apply(&k->disk, &e, &done);
	assert(!done.result);
}

void kit_lease(struct kit *k, const struct address *a)
{
	struct chunk *blob = must(chunk_copy("lease", 5));
	struct catalogue_lease lease = { .volume = *a, .slot = (uint16_t)ring_slot(a), .seq = 1, .blob = blob,
		.addresses = a, .count = 1 };
	struct effect e = { .kind = EFFECT_LEASE, .lease = &lease };
	struct event done = { .kind = EVENT_DONE };

	memory_catalogue_apply(&k->disk, &e, &done);
	chunk_drop(blob);
}

unsigned int kit_state(struct kit *k, const struct address *a)
{
	return k->disk.catalogue.state(&k->disk.catalogue, a) & STATE_ANY;
}

uint64_t kit_command(struct kit *k, enum command_kind kind, const struct address *a, struct chunk *c, unsigned int acks,
    uint64_t timeout)
{
	struct command command = { .kind = kind, .ticket = ++k->tickets, .timeout = timeout, .address = *a,
		.chunk_kind = KIND_DATA, .chunk = c, .acks = (uint8_t)acks };

	commands_input(k->node, &command);
	kit_settle(k);
	return command.ticket;
}

struct kit_reply *kit_reply(struct kit *k, uint64_t ticket)
{
	for (unsigned int i = 0; i < k->replies; i++)
		if (k->reply[i].ticket == ticket)
			return &k->reply[i];
	return NULL;
}
