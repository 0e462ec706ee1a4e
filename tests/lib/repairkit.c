#include "tests/lib/repairkit.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/signed.h"

static void *must(void *p)
{
	assert(p);
	return p;
}

unsigned int repairkit_question(struct repairkit *k, unsigned int from, unsigned int to, const struct link_message *m)
{
	if (m->type != WIRE_ANSWER)
		return m->type;
	for (unsigned int i = 1; i <= REPAIRKIT_ASKED; i++) {
		const struct repairkit_asked *a = &k->asked[(k->asked_at - i) % REPAIRKIT_ASKED];

		if (a->from == to && a->to == from && a->request == m->request)
			return a->type;
	}
	return 0;
}

static bool filter(struct netkit *net, unsigned int from, unsigned int to, struct link_message *m)
{
	struct repairkit *k = net->user;
	struct repairkit_traffic *t = &k->traffic;
	unsigned int question;

	if (m->priority == LINK_CONTROL)
		return true;
	if (m->type < WIRE_ANSWER)
		k->asked[k->asked_at++ % REPAIRKIT_ASKED] = (struct repairkit_asked){ from, to, m->request, m->type };
	question = repairkit_question(k, from, to, m);
	if (k->meddle && !k->meddle(k, from, to, m))
		return false;
	t->messages++;
	t->bytes += m->body->len;
	t->requests[question] += m->type != WIRE_ANSWER;
	t->by_type[question] += m->body->len;
	return true;
}

uint64_t repairkit_repair(const struct repairkit *k)
{
	uint64_t sum = 0;

	for (unsigned int type = WIRE_TRIE; type <= WIRE_LEASED; type++)
		sum += k->traffic.by_type[type];
	return sum;
}

struct made {
	struct address address;
	struct chunk *chunk;
};

static int by_address(const void *a, const void *b)
{
	return address_compare(&((const struct made *)a)->address, &((const struct made *)b)->address);
}

struct repairkit *repairkit_new(unsigned int nodes, unsigned int chunks, uint32_t len, uint64_t seed)
{
	struct repairkit *k = must(calloc(1, sizeof(*k)));
	struct made *made = must(calloc(chunks + 1, sizeof(*made)));
	uint8_t bytes[32] = { 0 }, *data;

	k->net = netkit_new(nodes, seed);
	k->net->filter = filter;
	k->net->user = k;
	k->asked = must(calloc(REPAIRKIT_ASKED, sizeof(*k->asked)));
	k->out = must(calloc(nodes, sizeof(*k->out)));
	k->chunks = chunks;
	k->len = len;
	k->address = must(calloc(chunks + 1, sizeof(*k->address)));
	k->chunk = must(calloc(chunks + 1, sizeof(*k->chunk)));
	put_le64(bytes, seed);
	crypto_sign_seed_keypair(k->key, k->secret, bytes);
	volume_id(k->key, &k->volume);
	for (unsigned int i = 0; i < chunks; i++) {
		put_le64(bytes + 8, i + 1);
		made[i].chunk = must(chunk_new(len, &data));
		randombytes_buf_deterministic(data, len, bytes);
		address_of(KIND_DATA, data, len, &made[i].address);
	}
	qsort(made, chunks, sizeof(*made), by_address);
	for (unsigned int i = 0; i < chunks; i++) {
		k->address[i] = made[i].address;
		k->chunk[i] = made[i].chunk;
	}
	free(made);
	return k;
}

void repairkit_free(struct repairkit *k)
{
	netkit_free(k->net);
	for (unsigned int i = 0; i < k->chunks; i++)
		chunk_drop(k->chunk[i]);
	ring_free(k->table);
	free(k->asked);
	free(k->out);
	free(k->chunk);
	free(k->address);
	free(k);
}

void repairkit_put(struct repairkit *k, unsigned int node, unsigned int i)
{
	const struct effect e = { .kind = EFFECT_WRITE, .address = k->address[i], .chunk_kind = KIND_DATA,
		.chunk = k->chunk[i], .states = STATE_OWNED };
	struct event done;

	assert(!k->net->node[node].node);
	memory_catalogue_apply(&k->net->node[node].disk, &e, &done);
	assert(done.result == 0);
}

void repairkit_put_all(struct repairkit *k, unsigned int node)
{
	for (unsigned int i = 0; i < k->chunks; i++)
		repairkit_put(k, node, i);
}

static void lease_slot(struct repairkit *k, unsigned int node, uint64_t seq, unsigned int slot, const struct address *a,
    uint32_t count)
{
	struct lease l = { .slot = (uint16_t)slot, .seq = seq, .count = count };
	struct catalogue_lease row = { .volume = k->volume, .slot = l.slot, .seq = seq, .addresses = a, .count = count };
	const struct effect e = { .kind = EFFECT_LEASE, .lease = &row };
	uint8_t blob[SIGNED_MAX];
	struct event done;

	memcpy(l.key, k->key, sizeof(l.key));
	lease_root(a, count, &l.root);
	row.blob = must(chunk_copy(blob, lease_sign(&l, &k->net->file.id, k->secret, blob)));
	memory_catalogue_apply(&k->net->node[node].disk, &e, &done);
	assert(done.result == 0);
	chunk_drop(row.blob);
}

void repairkit_lease(struct repairkit *k, unsigned int node, uint64_t seq, bool (*kept)(unsigned int i))
{
	struct address *some = must(calloc(k->chunks + 1, sizeof(*some)));

	assert(!k->net->node[node].node);
	for (unsigned int i = 0, to; i < k->chunks; i = to) {
		uint32_t count = 0;

		for (to = i; to < k->chunks && ring_slot(&k->address[to]) == ring_slot(&k->address[i]); to++)
			if (!kept || kept(to))
				some[count++] = k->address[to];
		lease_slot(k, node, seq, ring_slot(&k->address[i]), some, count);
	}
	free(some);
}

unsigned int repairkit_state(struct repairkit *k, unsigned int node, unsigned int i)
{
	struct catalogue *c = &k->net->node[node].disk.catalogue;

	return c->state(c, &k->address[i]);
}

static const struct ring *table(struct repairkit *k)
{
	struct ring_member *m = must(calloc(k->net->count, sizeof(*m)));
	struct address hash;
	size_t count = 0;

	for (unsigned int i = 0; i < k->net->count; i++) {
		const struct netkit_node *n = &k->net->node[i];

		if (!n->starts || k->out[i])
			continue;
		m[count] = (struct ring_member){ .id = n->id, .weight = n->weight ? n->weight : 1 };
		if (n->zone)
			strcpy(m[count].zone, n->zone);
		count++;
	}
	assert(ring_placement(m, count, k->net->file.replicas, &hash) == 0);
	if (!k->table || !address_equal(&hash, &k->table->placement)) {
		ring_free(k->table);
		assert(ring_build(m, count, k->net->file.replicas, &k->table) == 0);
	}
	free(m);
	return k->table;
}

static bool owner_in(struct repairkit *k, const struct ring *r, unsigned int node, unsigned int i)
{
	int member = ring_find(r, &k->net->node[node].id);

	return member >= 0 && ring_owns(r, ring_slot(&k->address[i]), (unsigned int)member);
}

bool repairkit_owner(struct repairkit *k, unsigned int node, unsigned int i)
{
	return owner_in(k, table(k), node, i);
}

unsigned int repairkit_copies(struct repairkit *k, unsigned int i)
{
	unsigned int count = 0;

	for (unsigned int node = 0; node < k->net->count; node++)
		count += k->net->node[node].node && repairkit_state(k, node, i) & (STATE_OWNED | STATE_FOREIGN);
	return count;
}

unsigned int repairkit_astray(struct repairkit *k)
{
	const struct ring *r = table(k);
	unsigned int count = 0;

	for (unsigned int node = 0; node < k->net->count; node++)
		for (unsigned int i = 0; k->net->node[node].node && !k->net->node[node].stopped && i < k->chunks; i++) {
			unsigned int state = repairkit_state(k, node, i) & STATE_ANY;

			count += owner_in(k, r, node, i) ? state != STATE_OWNED : state != 0 && state != STATE_CACHED;
		}
	return count;
}

bool repairkit_place(struct repairkit *k, uint64_t us)
{
	uint64_t until = k->net->now + us;

	while (repairkit_astray(k)) {
		if (k->net->now >= until)
			return false;
		netkit_run(k->net, S / 2);
	}
	return true;
}

void repairkit_forget(struct repairkit *k)
{
	memset(&k->traffic, 0, sizeof(k->traffic));
}

struct repairkit *repairkit_ring(unsigned int nodes, unsigned int running, unsigned int chunks, uint32_t len, uint64_t seed)
{
	struct repairkit *k = repairkit_new(nodes, chunks, len, seed);

	repairkit_put_all(k, 0);
	repairkit_lease(k, 0, 1, NULL);
	for (unsigned int i = 0; i < running; i++)
		netkit_start(k->net, i);
	if (!netkit_settle(k->net) || !repairkit_place(k, 3600 * (uint64_t)S))
		assert(!"in its place");
	return k;
}

struct node *repairkit_node(struct repairkit *k, unsigned int i)
{
	assert(k->net->node[i].node);
	return k->net->node[i].node;
}
