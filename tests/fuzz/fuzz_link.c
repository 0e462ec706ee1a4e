/*
 * Any bytes as what a peer sends.  The first byte says to whom: a plain or a secret link, of either end, before
 * or after the peer's hello; the second, in what pieces.  The same in one piece must give the same.
 */
#include <assert.h>
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/link_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECRET = 1, INITIATOR = 2, GREETED = 4, POOR = 8 };

struct outcome {
	int rc;
	unsigned int messages;
	uint64_t bytes;
};

static const uint8_t key[2][MEMBER_KEY] = { "one", "two" };

static struct link *open_link(unsigned int how, int end, struct link_pool *pool)
{
	static const struct ring_file file = { .replicas = 3 };
	static const uint8_t secret[MEMBER_SECRET];
	static struct aead *aead;
	struct link_options o = {
		.kind = how & SECRET ? LINK_NOISE : LINK_PLAIN, .initiator = (how & INITIATOR) ? end == 0 : end == 1, .file = &file,
		.key = key[end], .secret = secret, .noise_secret = key[end], .random = { 1, (uint8_t)end }, .pool = pool,
		.instance = (uint64_t)end,
	};
	struct link *l;
	int rc = aead ? 0 : aead_new(&aead);

	assert(rc == 0);
	o.aead = aead;
	rc = link_new(&o, &l);
	assert(rc == 0);
	return l;
}

/* A plain link knows its peer after one hello. */
static void greet(struct link *l)
{
	struct link_pool pool = { .max = LINK_POOL };
	struct link *peer = open_link(0, 1, &pool);
	struct wire_slice s;

	assert(link_output(peer, &s));
	assert(link_input(l, s.data, s.len) == 0 && link_peer(l));
	link_free(peer);
}

static void drain(struct link *l, const struct link_pool *pool, struct outcome *out)
{
	struct link_message m;
	struct wire_slice s;

	assert(pool->max == 0 || (uint64_t)l->granted + l->unread <= LINK_CREDIT);
	assert(l->pooled == pool->granted);
	while (link_receive(l, &m)) {
		out->messages++;
		for (uint32_t i = 0; i < m.body->len; i++)
			out->bytes = out->bytes * 31 + m.body->data[i];
		assert(m.body->len <= WIRE_MESSAGE_MAX);
		if (link_send(l, 64, m.request, m.priority, m.body, NULL) < 0)
			assert(m.body->len > LINK_CONTROL_MAX || l->failed);
		if (m.priority != LINK_CONTROL)
			link_consumed(l, m.body->len);
		chunk_drop(m.body);
	}
	while (link_output(l, &s))
		link_sent(l, s.len);
}

static void run(unsigned int how, const uint8_t *data, size_t size, size_t piece, struct outcome *out)
{
	struct link_pool pool = { .max = how & POOR ? 0 : LINK_POOL };
	struct link *l = open_link(how, 0, &pool);

	*out = (struct outcome){ 0 };
	drain(l, &pool, out);
	if (how & GREETED && !(how & SECRET))
		greet(l);
	while (size > 0 && out->rc == 0) {
		size_t n = size < piece ? size : piece;
		uint8_t *copy = malloc(n);

		assert(copy);
		memcpy(copy, data, n);
		out->rc = link_input(l, copy, n);
		free(copy);
		data += n;
		size -= n;
		assert(link_input(l, data, 0) == out->rc);
		/* Between frames only, or a grant would come earlier than in one piece. */
		if (size == 0 || out->rc)
			drain(l, &pool, out);
	}
	assert(!out->rc == !link_why(l)[0]);
	link_free(l);
	assert(pool.granted == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, pieces;

	if (size < 2)
		return 0;
	run(data[0], data + 2, size - 2, SIZE_MAX, &whole);
	run(data[0], data + 2, size - 2, 1u + data[1], &pieces);
	assert(whole.rc == pieces.rc && whole.messages == pieces.messages && whole.bytes == pieces.bytes);
	return 0;
}
