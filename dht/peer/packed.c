#include "dht/peer/packed.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/wire.h"

_Static_assert(WIRE_CHUNK_HEAD <= STORE_ROOM, "the head goes where the store leaves room");

struct chunk *packed_head(struct store_packed *p)
{
	struct wire_chunk w = { .codec = (uint8_t)p->codec, .raw_len = p->raw_len };

	/* The room is the holder's alone to write. */
	wire_chunk_head(&w, (uint8_t *)(uintptr_t)p->bytes->data);
	return p->bytes;
}

int packed_get(struct store *s, enum kind *kind, const struct address *a, struct chunk **out)
{
	struct store_packed p;
	int rc = store_get_packed(s, kind, a, WIRE_CHUNK_HEAD, &p);

	*out = rc == 0 ? packed_head(&p) : NULL;
	return rc;
}

int packed_get_as_is(struct store *s, enum kind *kind, const struct address *a, struct chunk **out)
{
	struct store_packed p;
	int rc = store_get_as_is(s, kind, a, WIRE_CHUNK_HEAD, &p);

	*out = rc == 0 ? packed_head(&p) : NULL;
	return rc;
}

int packed_put(struct store *s, enum kind kind, const struct address *a, struct chunk *c, bool verified, uint32_t *stored, bool *known)
{
	struct store_packed p;
	struct wire_chunk w;
	int rc = wire_chunk_read(c->data, c->len, &w);

	*known = false;
	if (rc < 0)
		return rc;
	*stored = w.stored.len;
	p = (struct store_packed){ (enum codec_id)w.codec, w.raw_len, chunk_slice(c, WIRE_CHUNK_HEAD, w.stored.len), verified };
	if (!p.bytes)
		return -ENOMEM;
	rc = store_put_packed(s, kind, a, &p, known);
	chunk_drop(p.bytes);
	return rc;
}

int packed_prove(struct store *s, struct codec *codec, const struct address *a, const struct address *nonce, struct address *out)
{
	crypto_generichash_state state;
	struct store_packed p;
	enum kind kind = KIND_ANY;
	uint8_t *raw = NULL;
	int rc = store_get_as_is(s, &kind, a, 0, &p);

	if (rc < 0)
		return rc;
	if (p.codec != CODEC_RAW) {
		raw = malloc(p.raw_len);
		rc = raw ? codec_inflate(codec, p.bytes->data, p.bytes->len, raw, p.raw_len) : -ENOMEM;
	}
	if (rc == 0) {
		crypto_generichash_init(&state, NULL, 0, ADDRESS_LEN);
		crypto_generichash_update(&state, nonce->b, ADDRESS_LEN);
		crypto_generichash_update(&state, raw ? raw : p.bytes->data, p.raw_len);
		crypto_generichash_final(&state, out->b, ADDRESS_LEN);
	}
	free(raw);
	chunk_drop(p.bytes);
	return rc;
}

int packed_raw(struct codec *codec, enum kind kind, const struct address *a, struct chunk *c, struct chunk **out)
{
	struct address is;
	struct chunk *raw;
	struct wire_chunk w;
	uint8_t *bytes;
	int rc = kind_valid(kind) ? wire_chunk_read(c->data, c->len, &w) : -EBADMSG;

	if (rc < 0)
		return rc;
	raw = w.codec == CODEC_RAW ? chunk_slice(c, WIRE_CHUNK_HEAD, w.stored.len) : chunk_new(w.raw_len, &bytes);
	if (!raw)
		return -ENOMEM;
	if (w.codec != CODEC_RAW)
		rc = codec_inflate(codec, w.stored.data, w.stored.len, bytes, w.raw_len);
	if (rc == 0) {
		address_of(kind, raw->data, raw->len, &is);
		rc = address_equal(&is, a) ? 0 : -EBADMSG;
	}
	if (rc < 0)
		chunk_drop(raw);
	else
		*out = raw;
	return rc;
}

struct chunk *packed_make(struct codec *codec, const struct chunk *raw)
{
	struct wire_chunk w = { .codec = CODEC_RAW, .raw_len = raw->len };
	struct chunk *c, *all;
	uint8_t *bytes;
	size_t len;

	assert(raw->len <= CHUNK_MAX);
	all = chunk_new(WIRE_CHUNK_HEAD + (size_t)raw->len, &bytes);
	if (!all)
		return NULL;
	len = codec ? codec_deflate(codec, raw->data, raw->len, bytes + WIRE_CHUNK_HEAD) : 0;
	if (len > 0)
		w.codec = CODEC_ZLIB;
	else
		memcpy(bytes + WIRE_CHUNK_HEAD, raw->data, raw->len);
	wire_chunk_head(&w, bytes);
	if (len == 0)
		return all;
	/* A copy of the right length: the rest would be held as long as it is. */
	c = chunk_copy(all->data, WIRE_CHUNK_HEAD + len);
	chunk_drop(all);
	return c;
}
