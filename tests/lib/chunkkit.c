/* The node, its disk, and what else is stood in for. */
#include "tests/lib/chunkkit_impl.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KIT_LATENCY (5 * MS)

struct kit *kit;

const struct machine *const machines[] = {
	&chunkserve_machine, &insert_machine, &fetch_machine, &foreign_machine, &audit_machine, NULL
};

struct disk_work {
	struct list link;
	struct effect effect;
};

/* ---- the table ---- */

const struct ring *placement(struct node *n)
{
	(void)n;
	return kit->ring;
}

const struct ring *placement_before(struct node *n)
{
	(void)n;
	return kit->earlier[0];
}

const struct ring *placement_earlier(struct node *n, unsigned int i)
{
	(void)n;
	return i < 2 ? kit->earlier[i] : NULL;
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
	unsigned int count = 0;

	for (unsigned int i = 0; kit->ring && i < kit->ring->replicas; i++) {
		struct peer *p = peer_find(n, &kit->ring->member[ring_owners(kit->ring, slot)[i]].id);

		if (p)
			out[count++] = p;
	}
	return count;
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

static void drop_earlier(struct kit *k)
{
	for (unsigned int i = 0; i < 2; i++) {
		ring_free(k->earlier[i]);
		k->earlier[i] = NULL;
	}
}

void kit_table(struct kit *k, unsigned int members, bool moving)
{
	struct ring *before = k->ring;

	ring_free(k->earlier[1]);
	k->earlier[1] = k->earlier[0];
	k->earlier[0] = before;
	if (!moving)
		drop_earlier(k);
	k->members = members;
	k->ring = table_of(k, members);
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->table)
			machines[i]->table(k->node);
}

void kit_back(struct kit *k, struct kit_peer *p)
{
	p->ways = p->status = 0;
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->peer)
			machines[i]->peer(k->node, &p->peer, true);
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

bool pulls_busy(const struct node *n)
{
	(void)n;
	return kit->pulling;
}

void pulls_full(struct node *n)
{
	(void)n;
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

void repair_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void membership_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

static void served_free(struct served *s)
{
	list_remove(&s->link);
	chunk_drop(s->body);
	free(s);
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
	served_free(s);
}

void serve_status(struct node *n, struct served *s, enum wire_status status)
{
	struct message m = { .status = status };

	serve_answer(n, s, &m, NULL);
}

void kit_ask(struct kit *k, struct kit_peer *from, struct message *m, struct chunk *bytes)
{
	struct served *s = must(calloc(1, sizeof *s));

	list_append(&k->served, &s->link);
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

	k->settled += e->kind == EFFECT_STATES;
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
			e.chunk_kind, e.count, e.blob ? chunk_hold(e.blob) : NULL };
	} else if (e.ticket) {
		struct disk_work *w = must(malloc(sizeof *w));

		w->effect = e;
		list_append(&k->works, &w->link);
		return true;
	}
	effect_done(&e);
	return true;
}

static struct disk_work *next_work(struct kit *k)
{
	struct disk_work *w;

	if (k->hold_disk || list_empty(&k->works))
		return NULL;
	w = list_item(k->works.next, struct disk_work, link);
	return k->hold_writes && w->effect.kind == EFFECT_WRITE ? NULL : w;
}

/* One thing that is due: an effect, the disk, an answer. */
static bool happen(struct kit *k)
{
	struct disk_work *w;

	if (poll(k))
		return true;
	w = next_work(k);
	if (w) {
		list_remove(&w->link);
		carry_out(k, &w->effect);
		effect_done(&w->effect);
		free(w);
		return true;
	}
	if (kit_answer_due(k) > k->node->now)
		return false;
	kit_answer_next(k);
	return true;
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
		uint64_t at;

		kit_settle(k);
		at = timers_next(k->node);
		at = kit_answer_due(k) < at ? kit_answer_due(k) : at;
		if (at > end)
			break;
		k->node->now = at > k->node->now ? at : k->node->now;
		kit_settle(k);
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
	while (!list_empty(&k->served))
		served_free(list_item(k->served.next, struct served, link));
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
	list_init(&k->served);
	memory_catalogue_init(&k->disk, 1u << 30);
	for (unsigned int i = 0; i < KIT_PEERS; i++) {
		struct kit_peer *p = &k->peer[i];

		memset(p->peer.id.b, (int)(2 * i + 1), sizeof p->peer.id.b);
		p->peer.oldest = UINT64_MAX;
		p->latency = KIT_LATENCY;
	}
	kit_boot(k);
	kit_run(k, 1 * S);		/* the first sweep over what is FOREIGN finds nothing */
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
	for (unsigned int i = 0; i < k->replies; i++) {
		chunk_drop(k->reply[i].chunk);
		chunk_drop(k->reply[i].blob);
	}
	chunk_drop(k->answer_tail);
	ring_free(k->ring);
	drop_earlier(k);
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

	return i < count ? kit_of(walk[i]) : NULL;
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
		.chunk_kind = KIND_DATA, .chunk = c, .acks = (uint8_t)acks, .volume = k->volume };

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
