#include "dht/peer/packed.h"

#include <assert.h>
#include <errno.h>
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

int packed_get(struct store *s, enum store_hashing how, enum kind *kind, const struct address *a, struct chunk **out)
{
	struct store_packed p;
	int rc = store_get_packed(s, how, kind, a, WIRE_CHUNK_HEAD, &p);

	*out = rc == 0 ? packed_head(&p) : NULL;
	return rc;
}

/* The store finds out what is wrong: it may just have been moved. */
static void get_again(struct store *s, enum kind asked, struct packed_item *item)
{
	chunk_drop(item->packed);
	item->kind = asked;
	item->result = packed_get(s, STORE_HASH, &item->kind, &item->address, &item->packed);
}

/* To be hashed: false where it can't be opened. */
static bool want(struct codec *codec, struct packed_item *item, struct chunk **raw, struct address_job *job)
{
	if (packed_open(codec, item->packed, raw) < 0)
		return false;
	*job = (struct address_job){ .kind = item->kind, .data = (*raw)->data, .len = (*raw)->len };
	return true;
}

void packed_get_some(struct store *s, struct codec *codec, struct packed_item *items, unsigned int n)
{
	struct address_job job[PACKED_SOME];
	struct packed_item *of[PACKED_SOME];
	enum kind asked[PACKED_SOME];
	struct chunk *raw[PACKED_SOME];
	unsigned int jobs = 0;

	assert(n <= PACKED_SOME);
	for (unsigned int i = 0; i < n; i++) {
		struct packed_item *item = &items[i];
		struct store_packed p;

		asked[jobs] = item->kind;
		item->result = store_get_packed(s, STORE_HASH_NONE, &item->kind, &item->address, WIRE_CHUNK_HEAD, &p);
		item->packed = item->result == 0 ? packed_head(&p) : NULL;
		if (item->result < 0 || p.verified)
			continue;
		of[jobs] = item;
		if (want(codec, item, &raw[jobs], &job[jobs]))
			jobs++;
		else
			get_again(s, asked[jobs], item);
	}
	address_of_many(job, jobs);
	for (unsigned int j = 0; j < jobs; j++) {
		chunk_drop(raw[j]);
		if (!address_equal(&job[j].address, &of[j]->address))
			get_again(s, asked[j], of[j]);
	}
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

int packed_challenge(struct store *s, enum store_hashing how, struct codec *codec, const struct address *a, const struct address *nonce,
    enum kind *kind, bool *verified, struct chunk **out)
{
	struct store_packed p;
	uint8_t *bytes;
	int rc;

	*out = NULL;
	*kind = KIND_ANY;
	rc = store_get_packed(s, how, kind, a, ADDRESS_LEN, &p);
	if (rc < 0)
		return rc;
	*verified = p.verified;
	*out = p.bytes;
	if (p.codec != CODEC_RAW) {
		*out = chunk_new(ADDRESS_LEN + (size_t)p.raw_len, &bytes);
		rc = *out ? codec_inflate(codec, p.bytes->data + ADDRESS_LEN, p.bytes->len - ADDRESS_LEN, bytes + ADDRESS_LEN, p.raw_len) : -ENOMEM;
		chunk_drop(p.bytes);
	}
	if (rc < 0) {
		chunk_drop(*out);
		*out = NULL;
		return rc;
	}
	/* The room is the holder's alone to write. */
	memcpy((uint8_t *)(uintptr_t)(*out)->data, nonce->b, ADDRESS_LEN);
	return 0;
}

int packed_open(struct codec *codec, struct chunk *c, struct chunk **out)
{
	struct wire_chunk w;
	uint8_t *bytes;
	int rc = wire_chunk_read(c->data, c->len, &w);

	*out = NULL;
	if (rc < 0)
		return rc;
	*out = w.codec == CODEC_RAW ? chunk_slice(c, WIRE_CHUNK_HEAD, w.stored.len) : chunk_new(w.raw_len, &bytes);
	if (!*out)
		return -ENOMEM;
	if (w.codec != CODEC_RAW)
		rc = codec_inflate(codec, w.stored.data, w.stored.len, bytes, w.raw_len);
	if (rc < 0) {
		chunk_drop(*out);
		*out = NULL;
	}
	return rc;
}

int packed_raw(struct codec *codec, enum kind kind, const struct address *a, struct chunk *c, struct chunk **out)
{
	struct address is;
	int rc = kind_valid(kind) ? packed_open(codec, c, out) : -EBADMSG;

	if (rc < 0)
		return rc;
	address_of(kind, (*out)->data, (*out)->len, &is);
	if (address_equal(&is, a))
		return 0;
	chunk_drop(*out);
	*out = NULL;
	return -EBADMSG;
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
