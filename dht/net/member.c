#include "dht/net/member.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/member_table.h"
#include "dht/net/ringfile.h"
#include "dht/net/wire.h"

#define FORMAT	     1u
#define DOMAIN_RECORD "dhtfs member"
#define DOMAIN_EVICT  "dhtfs evict"

/* The first byte of the bytes; signed.h goes on from here. */
enum statement { STATEMENT_RECORD = 1, STATEMENT_EVICT = 2 };

void member_id(const uint8_t key[MEMBER_KEY], struct address *out)
{
	domain_id("dhtfs node", key, out);
}

/* ---- what is text ---- */

/* Printable ASCII: these come into logs and terminals, and of a name in Unicode there are several spellings, which would
 * be as many zones. */
static bool is_text(const char *p, size_t len, char lowest)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < lowest || p[i] > '~')
			return false;
	return true;
}

bool member_zone_valid(const char *zone)
{
	size_t len = strlen(zone);

	return len <= RING_ZONE_LEN && is_text(zone, len, ' ');
}

bool member_address_valid(const char *address)
{
	size_t len = strlen(address);

	return len > 0 && len <= MEMBER_ADDRESS_LEN && is_text(address, len, '!');
}

/* u8 length and so many bytes, into a field of ${max} bytes and its NUL. */
static bool read_text(struct reader *r, size_t max, char lowest, char *out)
{
	size_t len = reader_u8(r);
	const char *p = (const char *)reader_take(r, len);

	if (!p || len > max || !is_text(p, len, lowest))
		return false;
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

static uint8_t *put_text(uint8_t *p, const char *text)
{
	size_t len = strlen(text);

	*p++ = (uint8_t)len;
	memcpy(p, text, len);
	return p + len;
}

static unsigned int address_count(const struct member *m)
{
	unsigned int n = 0;

	while (n < MEMBER_ADDRESSES && m->address[n][0])
		n++;
	return n;
}

/* ---- bytes ---- */

static uint8_t *put_start(uint8_t *p, enum statement kind, const struct address *ring)
{
	p[0] = kind;
	p[1] = FORMAT;
	memcpy(p + 2, ring->b, ADDRESS_LEN);
	return p + 2 + ADDRESS_LEN;
}

static size_t put_record(const struct member *m, const struct address *ring, uint8_t *out)
{
	unsigned int n = address_count(m);
	uint8_t *p = put_start(out, STATEMENT_RECORD, ring);

	memcpy(p, m->key, MEMBER_KEY);
	p += MEMBER_KEY;
	put_le64(p, m->incarnation);
	put_le64(p + 8, m->instance);
	put_le64(p + 16, m->generation);
	p += 24;
	*p++ = (uint8_t)m->state;
	*p++ = m->weight;
	*p++ = m->protocol;
	*p++ = m->placement;
	p = put_text(p, m->zone);
	*p++ = (uint8_t)n;
	for (unsigned int i = 0; i < n; i++)
		p = put_text(p, m->address[i]);
	return (size_t)(p - out);
}

static bool read_record(struct reader *r, struct member *m)
{
	const uint8_t *key = reader_take(r, MEMBER_KEY);
	unsigned int n;

	if (!key)
		return false;
	memcpy(m->key, key, MEMBER_KEY);
	m->incarnation = reader_le64(r);
	m->instance = reader_le64(r);
	m->generation = reader_le64(r);
	m->state = reader_u8(r);
	m->weight = reader_u8(r);
	m->protocol = reader_u8(r);
	m->placement = reader_u8(r);
	if (m->state < MEMBER_HERE || m->state > MEMBER_LEFT || m->weight < 1 || m->weight > RING_WEIGHT_MAX)
		return false;
	if (!read_text(r, RING_ZONE_LEN, ' ', m->zone))
		return false;
	n = reader_u8(r);
	if (n > MEMBER_ADDRESSES)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (!read_text(r, MEMBER_ADDRESS_LEN, '!', m->address[i]) || !m->address[i][0])
			return false;
	member_id(m->key, &m->id);
	return !r->bad;
}

static bool read_eviction(struct reader *r, struct member *m)
{
	const uint8_t *id = reader_take(r, ADDRESS_LEN);

	if (!id)
		return false;
	memcpy(m->id.b, id, ADDRESS_LEN);
	m->state = MEMBER_EVICTED;
	return true;
}

/* What is left behind the last field is of later versions: signed, kept and passed on, not looked at. */
static bool read_body(const uint8_t *bytes, size_t len, const struct address *ring, struct member *m)
{
	struct reader r = reader_of(bytes, len);
	uint8_t kind = reader_u8(&r), format = reader_u8(&r);
	const uint8_t *of = reader_take(&r, ADDRESS_LEN);

	if (format != FORMAT || !of || memcmp(of, ring->b, ADDRESS_LEN) != 0)
		return false;
	if (kind == STATEMENT_RECORD)
		return read_record(&r, m);
	return kind == STATEMENT_EVICT && read_eviction(&r, m);
}

int member_read(const uint8_t *bytes, size_t len, const struct address *ring, struct member_table *table,
    struct member **out)
{
	struct member *m = NULL;
	int rc;

	if (len < MEMBER_SIGNATURE || len > MEMBER_BLOB_MAX)
		return -EBADMSG;
	if (table && (m = member_table_find(table, bytes, len))) {
		/* Its bytes may be in the table as those of another ring. */
		if (memcmp(m->bytes + 2, ring->b, ADDRESS_LEN) != 0)
			return -EBADMSG;
		*out = member_hold(m);
		return 0;
	}
	m = calloc(1, sizeof(*m) + len);
	if (!m)
		return -ENOMEM;
	m->holders = 1;
	m->bytes = (uint8_t *)(m + 1);
	m->len = (uint32_t)len;
	memcpy(m->bytes, bytes, len);
	rc = -EBADMSG;
	if (!read_body(m->bytes, len - MEMBER_SIGNATURE, ring, m))
		goto err;
	crypto_generichash(m->hash.b, ADDRESS_LEN, bytes, len, NULL, 0);
	if (table)
		member_table_add(table, m);
	*out = m;
	return 0;
err:
	free(m);
	return rc;
}

/* ---- signatures ---- */

static int sign(const char *domain, uint8_t *body, size_t len, const struct address *ring,
    const uint8_t secret[MEMBER_SECRET], struct member **out)
{
	domain_sign(domain, body, len, secret, body + len);
	return member_read(body, len + MEMBER_SIGNATURE, ring, NULL, out);
}

int member_sign(const struct member *fields, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    struct member **out)
{
	uint8_t bytes[MEMBER_BLOB_MAX];
	struct member m = *fields;
	int rc;

	assert(memchr(m.zone, 0, sizeof(m.zone)));
	for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++)
		assert(memchr(m.address[i], 0, sizeof(m.address[i])));
	memcpy(m.key, secret + MEMBER_SECRET - MEMBER_KEY, MEMBER_KEY);
	m.protocol = WIRE_VERSION;
	m.placement = RING_PLACEMENT_VERSION;
	rc = sign(DOMAIN_RECORD, bytes, put_record(&m, ring, bytes), ring, secret, out);
	return rc == -EBADMSG ? -EINVAL : rc;
}

int member_evict(const struct address *ring, const struct address *id, const uint8_t secret[MEMBER_SECRET],
    struct member **out)
{
	uint8_t bytes[MEMBER_BLOB_MAX];
	uint8_t *p = put_start(bytes, STATEMENT_EVICT, ring);

	memcpy(p, id->b, ADDRESS_LEN);
	return sign(DOMAIN_EVICT, bytes, (size_t)(p + ADDRESS_LEN - bytes), ring, secret, out);
}

bool member_verify(struct member *m, const struct ring_file *file)
{
	size_t len = m->len - MEMBER_SIGNATURE;

	/* Whose key the admin's is depends on the file, not on the member: that is not kept. */
	if (m->state == MEMBER_EVICTED)
		return domain_verify(DOMAIN_EVICT, m->bytes, len, file->admin, m->bytes + len);
	if (!__atomic_load_n(&m->verified, __ATOMIC_RELAXED) &&
	    domain_verify(DOMAIN_RECORD, m->bytes, len, m->key, m->bytes + len))
		__atomic_store_n(&m->verified, true, __ATOMIC_RELAXED);
	return __atomic_load_n(&m->verified, __ATOMIC_RELAXED);
}

/* ---- holders, and order ---- */

struct member *member_hold(struct member *m)
{
	uint32_t before = __atomic_fetch_add(&m->holders, 1, __ATOMIC_RELAXED);

	assert(before > 0 && before < UINT32_MAX);
	return m;
}

void member_drop(struct member *m)
{
	uint32_t before;

	if (!m)
		return;
	before = __atomic_fetch_sub(&m->holders, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before > 1)
		return;
	if (m->table)
		member_table_remove(m->table, m);
	free(m);
}

/* How final a state is; of two equally final ones the incarnation decides. */
static int finality(const struct member *m)
{
	return m->state == MEMBER_EVICTED ? 2 : m->state == MEMBER_LEFT ? 1 : 0;
}

bool member_newer(const struct member *a, const struct member *b)
{
	int order;

	if (!b)
		return true;
	assert(address_equal(&a->id, &b->id));
	if (finality(a) != finality(b))
		return finality(a) > finality(b);
	if (a->incarnation != b->incarnation)
		return a->incarnation > b->incarnation;
	order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
	return order > 0 || (order == 0 && a->len > b->len);
}

void member_place(const struct member *m, struct ring_member *out)
{
	assert(m->state != MEMBER_EVICTED);
	*out = (struct ring_member){ .id = m->id, .weight = m->weight };
	memcpy(out->zone, m->zone, sizeof(out->zone));
}
