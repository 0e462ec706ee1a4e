#include "dht/net/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/ring.h"

#define LENGTH_MORE 0x80u		/* another byte of it follows */
#define HAVE_MAX    ((WIRE_ADDRESSES_MAX + 7) / 8)
#define PATH_DEPTH  16u

enum value {
	VALUE_NONE,		/* no such field */
	VALUE_NUMBER,		/* little-endian, of ${item} bytes, from ${min} to ${max} */
	VALUE_ADDRESS,
	VALUE_FLAG,		/* no bytes: it is there, or not */
	VALUE_BYTES,		/* from ${min} to ${max} bytes */
	VALUE_BLOBS,		/* a list of le16 length and bytes, ${max} bytes in all */
	VALUE_LIST,		/* from ${min} to ${max} items of ${item} bytes */
};

struct field {
	enum value value;
	uint32_t item, min, max;
	size_t at;		/* where it is in struct message: the value, the slice, or the pointer to the items */
	size_t count;		/* of a list: where their number is */
	bool (*good)(const uint8_t *item);
};

static bool suspicion_good(const uint8_t *item);
static bool path_good(const uint8_t *item);

#define AT(member) .at = offsetof(struct message, member)
#define NUMBER(member, lowest, highest) \
	{ VALUE_NUMBER, .item = sizeof(((struct message *)NULL)->member), .min = (lowest), .max = (highest), AT(member) }
#define ADDRESS(member) { VALUE_ADDRESS, AT(member) }
#define FLAG(member) { VALUE_FLAG, AT(member) }
#define BYTES(member, least, most) { VALUE_BYTES, .min = (least), .max = (most), AT(member) }
#define BLOBS(member) { VALUE_BLOBS, .max = WIRE_BLOBS_MAX, AT(member) }
#define LIST(member, number, size, least, most) \
	{ VALUE_LIST, (size), (least), (most), AT(member), offsetof(struct message, number), NULL }
#define LIST_CHECKED(member, number, size, least, most, check) \
	{ VALUE_LIST, (size), (least), (most), AT(member), offsetof(struct message, number), (check) }

static const struct field fields[FIELD_END] = {
	[FIELD_SEQ] = NUMBER(seq, 0, UINT32_MAX),	/* a number of 64 bits has no bounds */
	[FIELD_TARGET] = ADDRESS(target),
	[FIELD_RECORDS] = BLOBS(records),
	[FIELD_SUSPICIONS] = LIST_CHECKED(suspicions_bytes, suspicions, WIRE_SUSPICION_LEN, 0, WIRE_GOSSIP_MAX,
	    suspicion_good),
	[FIELD_HASH] = ADDRESS(hash),
	[FIELD_SUMMARY] = LIST(summary_bytes, summaries, WIRE_SUMMARY_LEN, 0, WIRE_SUMMARY_MAX),
	[FIELD_MORE] = FLAG(more),
	[FIELD_PLACEMENT] = ADDRESS(placement),
	[FIELD_ADDRESS] = ADDRESS(address),
	[FIELD_ADDRESSES] = LIST(addresses, address_count, ADDRESS_LEN, 0, WIRE_ADDRESSES_MAX),
	[FIELD_VOLUME] = ADDRESS(volume),
	[FIELD_KIND] = NUMBER(kind, KIND_DATA, KIND_SNAPSHOT),
	[FIELD_SPARE] = FLAG(spare),
	[FIELD_STATUS] = NUMBER(status, 0, UINT16_MAX),
	[FIELD_HAVE] = BYTES(have, 0, HAVE_MAX),
	[FIELD_COMPLETE] = FLAG(complete),
	[FIELD_NONCE] = ADDRESS(nonce),
	[FIELD_PATHS] = LIST_CHECKED(paths_bytes, path_count, WIRE_PATH_LEN, 1, WIRE_PATHS_MAX, path_good),
	[FIELD_HASHES] = LIST(hashes, hash_count, WIRE_HASH, 0, WIRE_HASHES_MAX),
	[FIELD_COUNTS] = LIST(counts_bytes, count_count, WIRE_COUNT_LEN, 0, WIRE_HASHES_MAX),
	[FIELD_LEASE] = BYTES(lease, 1, WIRE_BLOB_MAX),
	[FIELD_COUNT] = NUMBER(count, 0, UINT32_MAX),
	[FIELD_STATEMENT] = BYTES(statement, 1, WIRE_BLOB_MAX),
	[FIELD_SLOT] = NUMBER(slot, 0, RING_SLOTS - 1),
	[FIELD_HEAD] = BYTES(head, 1, WIRE_BLOB_MAX),
	[FIELD_EVIDENCE] = BYTES(evidence, 1, WIRE_BLOB_MAX),
	[FIELD_BLOBS] = BLOBS(blobs),
	[FIELD_SECONDS] = NUMBER(seconds, 0, UINT32_MAX),
	[FIELD_ROOTED] = FLAG(rooted),
	[FIELD_BYTES] = BYTES(bytes, 0, WIRE_BYTES_MAX),
};

#define FLAGS (F(MORE) | F(SPARE) | F(COMPLETE) | F(ROOTED))

struct shape {
	const char *name;	/* NULL: no such type */
	uint64_t must, may;
	bool request;		/* it is answered */
	bool numbered;		/* its request number is not 0 */
};

#define F(name) WIRE_HAS(FIELD_##name)
#define SAYS(name, must, may) [WIRE_##name] = { #name, must, may, false, false }
/* Every request says by which table it was sent. */
#define ASKS(name, must, may) [WIRE_##name] = { #name, F(PLACEMENT) | must, may, true, true }

static const struct shape shapes[WIRE_ANSWER + 1] = {
	SAYS(PING, F(SEQ), F(RECORDS) | F(SUSPICIONS)),
	SAYS(ACK, F(SEQ), F(RECORDS) | F(SUSPICIONS)),
	SAYS(PROBE, F(SEQ) | F(TARGET), 0),
	SAYS(NACK, F(SEQ), 0),
	SAYS(GOSSIP, 0, F(RECORDS) | F(SUSPICIONS)),
	SAYS(COMPARE, F(HASH), F(HASHES) | F(ROOTED)),
	SAYS(SUMMARY, F(SUMMARY), F(HAVE) | F(ROOTED)),
	SAYS(RECORDS, F(RECORDS), 0),
	SAYS(WANT, F(ADDRESSES), 0),
	SAYS(MAINTENANCE, F(TARGET) | F(SECONDS), 0),
	ASKS(TOUCH, F(ADDRESSES), F(VOLUME)),
	ASKS(PUT, F(ADDRESS) | F(KIND) | F(BYTES), F(VOLUME) | F(SPARE)),
	ASKS(GET, F(ADDRESS), 0),
	ASKS(AUDIT, F(NONCE) | F(ADDRESS), 0),
	ASKS(TRIE, 0, F(HASHES) | F(PATHS)),
	ASKS(LIST, F(PATHS), F(ADDRESS)),
	ASKS(OFFER, F(ADDRESSES), F(MORE)),
	ASKS(SLOTS, F(PATHS), 0),
	ASKS(LEASE, F(LEASE) | F(COUNT) | F(ADDRESSES), F(MORE)),
	ASKS(RETIRE, F(STATEMENT), 0),
	ASKS(LEASES, F(SLOT), F(VOLUME)),
	ASKS(LEASED, F(SLOT) | F(VOLUME), F(ADDRESS)),
	ASKS(HEAD, F(VOLUME), 0),
	ASKS(SWAP, F(VOLUME) | F(HASH) | F(HEAD), F(EVIDENCE) | F(BLOBS)),
	ASKS(HEADS, F(SLOT), F(VOLUME)),
	[WIRE_ANSWER] = { "ANSWER", F(STATUS),
		F(PLACEMENT) | F(HAVE) | F(KIND) | F(BYTES) | F(COMPLETE) | F(HASH) | F(HASHES) | F(COUNTS) | F(ADDRESSES) |
		F(LEASE) | F(BLOBS) | F(STATEMENT) | F(HEAD) | F(EVIDENCE) | F(MORE),
		false, true },
};

static const struct shape *shape_of(unsigned int type)
{
	return type <= WIRE_ANSWER && shapes[type].name ? &shapes[type] : NULL;
}

bool wire_known(unsigned int type)
{
	return shape_of(type);
}

bool wire_is_request(unsigned int type)
{
	const struct shape *s = shape_of(type);

	return s && s->request;
}

bool wire_takes(unsigned int type, enum wire_field field)
{
	const struct shape *s = shape_of(type);

	return s && (s->must | s->may) & WIRE_HAS(field);
}

const char *wire_type_name(unsigned int type)
{
	const struct shape *s = shape_of(type);

	return s ? s->name : "unknown";
}

const char *wire_status_name(unsigned int status)
{
	static const char *const names[] = {
		[WIRE_OK] = "ok", [WIRE_MISS] = "miss", [WIRE_OTHER_PLACEMENT] = "other placement", [WIRE_BUSY] = "busy",
		[WIRE_FULL] = "full", [WIRE_BAD] = "bad", [WIRE_FAULT] = "fault", [WIRE_NOT_OWNER] = "not owner",
		[WIRE_CONFLICT] = "conflict", [WIRE_OLD] = "old", [WIRE_LEAVING] = "leaving", [WIRE_ENDED] = "ended",
	};

	return status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}

/* ---- what is good ---- */

static bool suspicion_good(const uint8_t *item)
{
	return item[WIRE_SUSPICION_LEN - 1] <= 1;
}

static bool path_good(const uint8_t *item)
{
	unsigned int depth = item[0];

	/* The first step has two bits of an address: 16 bits tell a slot of 14. */
	if (depth > PATH_DEPTH || item[1] > 0x3f)
		return false;
	for (unsigned int i = depth; i < PATH_DEPTH; i++)
		if (item[1 + i / 2] & (i % 2 ? 0x0f : 0xf0))
			return false;
	return true;
}

static bool blobs_good(const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);

	while (r.left > 0) {
		uint16_t n = reader_le16(&r);

		if (n == 0 || n > WIRE_BLOB_MAX || !reader_take(&r, n))
			return false;
	}
	return true;
}

/* ---- one field ---- */

static const uint8_t *place(const struct message *m, size_t at)
{
	return (const uint8_t *)m + at;
}

static uint32_t number_at(const struct message *m, size_t at)
{
	uint32_t n;

	memcpy(&n, place(m, at), sizeof(n));
	return n;
}

static uint64_t number_of(const struct field *f, const struct message *m)
{
	const uint8_t *p = place(m, f->at);
	uint16_t u16;
	uint64_t u64;

	switch (f->item) {
	case 1:
		return *p;
	case 2:
		memcpy(&u16, p, sizeof(u16));
		return u16;
	case 4:
		return number_at(m, f->at);
	default:
		memcpy(&u64, p, sizeof(u64));
		return u64;
	}
}

static void number_set(const struct field *f, uint64_t n, struct message *m)
{
	uint8_t *p = (uint8_t *)m + f->at;
	uint16_t u16 = (uint16_t)n;
	uint32_t u32 = (uint32_t)n;

	switch (f->item) {
	case 1:
		*p = (uint8_t)n;
		break;
	case 2:
		memcpy(p, &u16, sizeof(u16));
		break;
	case 4:
		memcpy(p, &u32, sizeof(u32));
		break;
	default:
		memcpy(p, &n, sizeof(n));
	}
}

/* The value as it stands in the message: its bytes, but for numbers, which have none that are in order. */
static struct wire_slice value_of(const struct field *f, const struct message *m)
{
	struct wire_slice v = { NULL, 0 };

	switch (f->value) {
	case VALUE_NUMBER:
		v.len = f->item;
		break;
	case VALUE_ADDRESS:
		v = (struct wire_slice){ place(m, f->at), ADDRESS_LEN };
		break;
	case VALUE_BYTES:
	case VALUE_BLOBS:
		memcpy(&v, place(m, f->at), sizeof(v));
		break;
	case VALUE_LIST:
		memcpy(&v.data, place(m, f->at), sizeof(v.data));
		v.len = number_at(m, f->count) * f->item;
		break;
	default:
		break;
	}
	return v;
}

/* Is there anything that can't be said of it? */
static bool bounds_good(const struct field *f, const struct message *m)
{
	uint64_t n;

	switch (f->value) {
	case VALUE_NUMBER:
		n = number_of(f, m);
		return f->item == sizeof(n) || (n >= f->min && n <= f->max);
	case VALUE_BYTES:
	case VALUE_BLOBS:
		n = value_of(f, m).len;
		return n >= f->min && n <= f->max;
	case VALUE_LIST:
		n = number_at(m, f->count);
		return n >= f->min && n <= f->max;
	default:
		return true;
	}
}

/* ${v} into the message.  False: it is none of such a field. */
static bool value_take(const struct field *f, struct wire_slice v, struct message *m)
{
	uint8_t *p = (uint8_t *)m + f->at;
	uint64_t n = 0;

	switch (f->value) {
	case VALUE_NUMBER:
		if (v.len != f->item)
			return false;
		for (unsigned int i = 0; i < f->item; i++)
			n |= (uint64_t)v.data[i] << 8 * i;
		number_set(f, n, m);
		break;
	case VALUE_ADDRESS:
		if (v.len != ADDRESS_LEN)
			return false;
		memcpy(p, v.data, ADDRESS_LEN);
		break;
	case VALUE_FLAG:
		if (v.len != 0)
			return false;
		*(bool *)p = true;
		break;
	case VALUE_BYTES:
	case VALUE_BLOBS:
		memcpy(p, &v, sizeof(v));
		if (f->value == VALUE_BLOBS && v.len <= f->max && !blobs_good(v.data, v.len))
			return false;
		break;
	default:
		if (v.len % f->item != 0)
			return false;
		memcpy(p, &v.data, sizeof(v.data));
		memcpy((uint8_t *)m + f->count, &(uint32_t){ v.len / f->item }, sizeof(uint32_t));
		for (const uint8_t *i = v.data; f->good && i < v.data + v.len; i += f->item)
			if (!f->good(i))
				return false;
	}
	return bounds_good(f, m);
}

/* ---- whole messages ---- */

static unsigned int length_len(uint32_t len)
{
	return len < 1u << 7 ? 1 : len < 1u << 14 ? 2 : 3;
}

static uint8_t *length_put(uint8_t *p, uint32_t len)
{
	for (; len >= LENGTH_MORE; len >>= 7)
		*p++ = (uint8_t)(len | LENGTH_MORE);
	*p++ = (uint8_t)len;
	return p;
}

/* One way to say each length: no zeros on top. */
static uint32_t length_read(struct reader *r)
{
	uint32_t len = 0;
	uint8_t b = LENGTH_MORE;
	unsigned int shift;

	for (shift = 0; b & LENGTH_MORE && shift < 21; shift += 7) {
		b = reader_u8(r);
		len |= (uint32_t)(b & (LENGTH_MORE - 1)) << shift;
	}
	if (b & LENGTH_MORE || (b == 0 && shift > 7))
		r->bad = true;
	return len;
}

/* Which fields of ${m} go out. */
static uint64_t sent(const struct message *m)
{
	const struct shape *s = shape_of(m->type);
	uint64_t set = m->has & ~FLAGS;

	assert(s && (m->request != 0) == s->numbered);
	set |= s->must | (m->more ? F(MORE) : 0) | (m->spare ? F(SPARE) : 0) | (m->complete ? F(COMPLETE) : 0) |
	    (m->rooted ? F(ROOTED) : 0);
	assert((set & ~(s->must | s->may)) == 0);
	return set;
}

size_t wire_size(const struct message *m, bool split)
{
	size_t size = 0;

	for (uint64_t left = sent(m); left; left &= left - 1) {
		unsigned int number = (unsigned int)__builtin_ctzll(left);
		uint32_t len = value_of(&fields[number], m).len;

		size += 1 + length_len(len) + (split && number == FIELD_BYTES ? 0 : len);
	}
	return size;
}

int wire_encode(const struct message *m, bool split, uint8_t *out, size_t size)
{
	uint8_t *p = out;

	for (uint64_t left = sent(m); left; left &= left - 1) {
		unsigned int number = (unsigned int)__builtin_ctzll(left);
		const struct field *f = &fields[number];
		struct wire_slice v = value_of(f, m);
		bool here = !(split && number == FIELD_BYTES);

		if (!bounds_good(f, m) || size - (size_t)(p - out) < 1 + length_len(v.len) + (here ? v.len : 0))
			return -EMSGSIZE;
		*p++ = (uint8_t)number;
		p = length_put(p, v.len);
		if (!here || v.len == 0)
			continue;
		if (f->value != VALUE_NUMBER)
			memcpy(p, v.data, v.len);
		else
			for (unsigned int i = 0; i < f->item; i++)
				p[i] = (uint8_t)(number_of(f, m) >> 8 * i);
		p += v.len;
	}
	return (int)(p - out);
}

int wire_decode(unsigned int type, uint32_t request, const uint8_t *bytes, size_t len, struct message *out)
{
	const struct shape *s = shape_of(type);
	struct reader r = reader_of(bytes, len);
	unsigned int number, before = 0;

	memset(out, 0, sizeof(*out));
	if (!s)
		return -EPROTO;
	if (len > WIRE_MESSAGE_MAX || (request != 0) != s->numbered)
		return -EBADMSG;
	out->type = type;
	out->request = request;
	for (; r.left > 0; before = number) {
		struct wire_slice v;

		number = reader_u8(&r);
		v.len = length_read(&r);
		v.data = reader_take(&r, v.len);
		if (!v.data || number <= before)
			return -EBADMSG;
		if (number >= FIELD_END || !((s->must | s->may) & WIRE_HAS(number)))
			continue;
		if (!value_take(&fields[number], v, out))
			return -EBADMSG;
		out->has |= WIRE_HAS(number);
	}
	return (s->must & ~out->has) == 0 ? 0 : -EBADMSG;
}
