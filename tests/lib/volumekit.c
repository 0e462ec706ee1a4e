#include "tests/lib/volumekit.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"

void volumekit_make(const struct netkit *k, uint64_t number, struct volumekit *out)
{
	uint8_t seed[32] = "volume";

	put_le64(seed + 8, number);
	crypto_sign_seed_keypair(out->key, out->secret, seed);
	volume_id(out->key, &out->id);
	out->ring = k->file.id;
	out->slot = VOLUMEKIT_SLOT;
}

static struct chunk *chunk_of(const uint8_t *blob, size_t len)
{
	struct chunk *c = chunk_copy(blob, len);

	assert(c);
	return c;
}

void volumekit_hash(const struct chunk *head, struct address *out)
{
	memset(out, 0, sizeof(*out));
	if (head)
		head_hash(head->data, head->len, out);
}

struct chunk *volumekit_head(const struct volumekit *v, uint64_t seq, const struct chunk *previous, uint64_t tag)
{
	struct head h = { .seq = seq, .writer = tag };
	uint8_t blob[SIGNED_MAX];

	memcpy(h.key, v->key, sizeof(h.key));
	volumekit_hash(previous, &h.previous);
	h.snapshot = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = 100 };
	put_le64(h.snapshot.address.b, tag);
	return chunk_of(blob, head_sign(&h, &v->ring, v->secret, blob));
}

struct head volumekit_read(const struct volumekit *v, const struct chunk *c)
{
	struct head h;

	assert(head_read(c->data, c->len, &v->ring, &h) == 0);
	return h;
}

void volumekit_chain(const struct volumekit *v, struct chunk **out, unsigned int count, const struct chunk *before, uint64_t tag)
{
	uint64_t seq = before ? volumekit_read(v, before).seq : 0;

	for (unsigned int i = 0; i < count; i++)
		before = out[i] = volumekit_head(v, ++seq, before, tag);
}

void volumekit_drop(struct chunk **chain, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		chunk_drop(chain[i]);
}

struct chunk *volumekit_lease(const struct volumekit *v, unsigned int slot, uint64_t seq, const struct address *addresses,
    uint32_t count)
{
	struct lease l = { .slot = (uint16_t)slot, .seq = seq, .count = count };
	uint8_t blob[SIGNED_MAX];

	memcpy(l.key, v->key, sizeof(l.key));
	lease_root(addresses, count, &l.root);
	return chunk_of(blob, lease_sign(&l, &v->ring, v->secret, blob));
}

struct chunk *volumekit_end(const struct volumekit *v)
{
	struct retire r;
	uint8_t blob[SIGNED_MAX];

	memcpy(r.key, v->key, sizeof(r.key));
	return chunk_of(blob, retire_sign(&r, &v->ring, v->secret, blob));
}

void volumekit_addresses(unsigned int slot, unsigned int first, unsigned int count, struct address *out)
{
	for (unsigned int i = 0; i < count; i++) {
		memset(&out[i], 0, sizeof(out[i]));
		put_be64(out[i].b, (uint64_t)slot << (64 - RING_SLOT_BITS) | (first + i));
	}
}

int volumekit_swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head,
    const struct chunk *previous, uint64_t timeout)
{
	struct command c = { .kind = COMMAND_SWAP, .address = v->id, .blob = head, .timeout = timeout };

	volumekit_hash(previous, &c.previous);
	return netkit_ask(k, at, &c)->result;
}

int volumekit_ask(struct netkit *k, unsigned int at, const struct volumekit *v, const struct chunk *expected)
{
	struct command c = { .kind = COMMAND_HEAD, .address = v->id, .timeout = 10 * S };
	const struct effect *e = netkit_ask(k, at, &c);

	if (e->result == 0) {
		assert(expected && e->blob->len == expected->len);
		assert(!memcmp(e->blob->data, expected->data, expected->len));
	}
	if (e->result == -EUCLEAN) {
		assert(e->blob && e->chunk);
		assert(volumekit_read(v, e->blob).seq == volumekit_read(v, e->chunk).seq);
		assert(e->blob->len != e->chunk->len || memcmp(e->blob->data, e->chunk->data, e->blob->len) != 0);
	}
	return e->result;
}

int volumekit_retire(struct netkit *k, unsigned int at, const struct volumekit *v)
{
	struct command c = { .kind = COMMAND_RETIRE, .blob = volumekit_end(v) };
	int result = netkit_ask(k, at, &c)->result;

	chunk_drop(c.blob);
	return result;
}
