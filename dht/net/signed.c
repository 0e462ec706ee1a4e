#include "dht/net/signed.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/domain.h"

#define FORMAT	   1u
#define START	   (2u + ADDRESS_LEN + MEMBER_KEY)	/* kind, format, ring, key */
#define LEASE_BODY (START + 2u + 8u + 4u + ADDRESS_LEN)
#define RETIRE_BODY START
#define HEAD_BODY  (START + 8u + ADDRESS_LEN + 8u + REF_LEN)

static const char *const domains[] = {
	[SIGNED_LEASE] = "dhtfs lease",
	[SIGNED_RETIRE] = "dhtfs retire",
	[SIGNED_HEAD] = "dhtfs head",
};

void volume_id(const uint8_t key[MEMBER_KEY], struct address *out)
{
	domain_id("dhtfs volume", key, out);
}

int signed_volume(const uint8_t *bytes, size_t len, struct address *out)
{
	if (len < START)
		return -EBADMSG;
	volume_id(bytes + 2 + ADDRESS_LEN, out);
	return 0;
}

/* What all of them begin with.  Returns where the rest goes. */
static uint8_t *put_start(uint8_t *p, enum signed_kind kind, const struct address *ring,
    const uint8_t secret[MEMBER_SECRET])
{
	p[0] = kind;
	p[1] = FORMAT;
	memcpy(p + 2, ring->b, ADDRESS_LEN);
	memcpy(p + 2 + ADDRESS_LEN, secret + MEMBER_SECRET - MEMBER_KEY, MEMBER_KEY);
	return p + START;
}

static size_t sign(enum signed_kind kind, uint8_t *body, size_t len, const uint8_t secret[MEMBER_SECRET])
{
	assert(len + MEMBER_SIGNATURE <= SIGNED_MAX);
	domain_sign(domains[kind], body, len, secret, body + len);
	return len + MEMBER_SIGNATURE;
}

/* What all of them begin with.  NULL: bad; else the rest, of body - START bytes. */
static const uint8_t *decode_start(enum signed_kind kind, const uint8_t *bytes, size_t len, size_t body,
    const struct address *ring, uint8_t key[MEMBER_KEY], struct address *volume)
{
	if (len != body + MEMBER_SIGNATURE || bytes[0] != kind || bytes[1] != FORMAT ||
	    memcmp(bytes + 2, ring->b, ADDRESS_LEN) != 0)
		return NULL;
	memcpy(key, bytes + 2 + ADDRESS_LEN, MEMBER_KEY);
	volume_id(key, volume);
	return bytes + START;
}

/* And the signature. */
static const uint8_t *open_start(enum signed_kind kind, const uint8_t *bytes, size_t len, size_t body,
    const struct address *ring, uint8_t key[MEMBER_KEY], struct address *volume)
{
	const uint8_t *p = decode_start(kind, bytes, len, body, ring, key, volume);

	return p && domain_verify(domains[kind], bytes, body, key, bytes + body) ? p : NULL;
}

size_t lease_sign(const struct lease *l, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    uint8_t out[SIGNED_MAX])
{
	uint8_t *p = put_start(out, SIGNED_LEASE, ring, secret);

	assert(l->slot < RING_SLOTS);
	put_le16(p, l->slot);
	put_le64(p + 2, l->seq);
	put_le32(p + 10, l->count);
	memcpy(p + 14, l->root.b, ADDRESS_LEN);
	return sign(SIGNED_LEASE, out, LEASE_BODY, secret);
}

int lease_decode(const uint8_t *bytes, size_t len, const struct address *ring, struct lease *out)
{
	const uint8_t *p = decode_start(SIGNED_LEASE, bytes, len, LEASE_BODY, ring, out->key, &out->volume);

	if (!p)
		return -EBADMSG;
	out->slot = get_le16(p);
	out->seq = get_le64(p + 2);
	out->count = get_le32(p + 10);
	memcpy(out->root.b, p + 14, ADDRESS_LEN);
	return out->slot < RING_SLOTS ? 0 : -EBADMSG;
}

int lease_read(const uint8_t *bytes, size_t len, const struct address *ring, struct lease *out)
{
	if (!open_start(SIGNED_LEASE, bytes, len, LEASE_BODY, ring, out->key, &out->volume))
		return -EBADMSG;
	return lease_decode(bytes, len, ring, out);
}

size_t retire_sign(const struct retire *r, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    uint8_t out[SIGNED_MAX])
{
	(void)r;
	put_start(out, SIGNED_RETIRE, ring, secret);
	return sign(SIGNED_RETIRE, out, RETIRE_BODY, secret);
}

int retire_read(const uint8_t *bytes, size_t len, const struct address *ring, struct retire *out)
{
	return open_start(SIGNED_RETIRE, bytes, len, RETIRE_BODY, ring, out->key, &out->volume) ? 0 : -EBADMSG;
}

size_t head_sign(const struct head *h, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    uint8_t out[SIGNED_MAX])
{
	uint8_t *p = put_start(out, SIGNED_HEAD, ring, secret);

	assert(h->seq > 0 && h->snapshot.kind == KIND_SNAPSHOT);
	put_le64(p, h->seq);
	memcpy(p + 8, h->previous.b, ADDRESS_LEN);
	put_le64(p + 40, h->writer);
	ref_encode(&h->snapshot, p + 48);
	return sign(SIGNED_HEAD, out, HEAD_BODY, secret);
}

int head_read(const uint8_t *bytes, size_t len, const struct address *ring, struct head *out)
{
	const uint8_t *p = open_start(SIGNED_HEAD, bytes, len, HEAD_BODY, ring, out->key, &out->volume);

	if (!p)
		return -EBADMSG;
	out->seq = get_le64(p);
	memcpy(out->previous.b, p + 8, ADDRESS_LEN);
	out->writer = get_le64(p + 40);
	if (ref_decode(p + 48, &out->snapshot) < 0 || out->snapshot.kind != KIND_SNAPSHOT)
		return -EBADMSG;
	/* The first of a volume, and only that, has none before it. */
	return out->seq > 0 && (out->seq == 1) == sodium_is_zero(out->previous.b, ADDRESS_LEN) ? 0 : -EBADMSG;
}

void lease_root(const struct address *addresses, uint32_t count, struct address *out)
{
	crypto_generichash(out->b, ADDRESS_LEN, count ? addresses->b : NULL, (size_t)count * ADDRESS_LEN, NULL, 0);
}

void head_hash(const uint8_t *bytes, size_t len, struct address *out)
{
	crypto_generichash(out->b, ADDRESS_LEN, bytes, len, NULL, 0);
}
