#include "tests/lib/wire_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STORE	 (WIRE_BYTES_MAX + 1024u)
#define BLOB_LEN 128u	/* of one in a list of many, with its length */
#define SLOTS	 16384u

static uint8_t store[FIELD_END][STORE];

uint64_t wire_random(uint64_t *seed, uint64_t below)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

static struct address *address_of_field(struct message *m, unsigned int field)
{
	switch (field) {
	case FIELD_TARGET:
		return &m->target;
	case FIELD_HASH:
		return &m->hash;
	case FIELD_PLACEMENT:
		return &m->placement;
	case FIELD_ADDRESS:
		return &m->address;
	case FIELD_VOLUME:
		return &m->volume;
	case FIELD_NONCE:
		return &m->nonce;
	}
	return NULL;
}

static struct wire_slice *slice_of_field(struct message *m, unsigned int field)
{
	switch (field) {
	case FIELD_RECORDS:
		return &m->records;
	case FIELD_BLOBS:
		return &m->blobs;
	case FIELD_BYTES:
		return &m->bytes;
	case FIELD_LEASE:
		return &m->lease;
	case FIELD_STATEMENT:
		return &m->statement;
	case FIELD_HEAD:
		return &m->head;
	case FIELD_EVIDENCE:
		return &m->evidence;
	case FIELD_HAVE:
		return &m->have;
	}
	return NULL;
}

static bool is_blobs(unsigned int field)
{
	return field == FIELD_RECORDS || field == FIELD_BLOBS;
}

static bool is_number(unsigned int field)
{
	return field == FIELD_SEQ || field == FIELD_KIND || field == FIELD_STATUS || field == FIELD_SLOT ||
	    field == FIELD_COUNT || field == FIELD_SECONDS;
}

static bool *flag_of_field(struct message *m, unsigned int field)
{
	switch (field) {
	case FIELD_MORE:
		return &m->more;
	case FIELD_SPARE:
		return &m->spare;
	case FIELD_COMPLETE:
		return &m->complete;
	case FIELD_ROOTED:
		return &m->rooted;
	}
	return NULL;
}

/* The items' place, their number and the length of one. */
static uint32_t *list_of_field(struct message *m, unsigned int field, uint32_t *item, uint32_t *max)
{
	const uint8_t *p = store[field];

	*item = 0;
	switch (field) {
	case FIELD_SUSPICIONS:
		m->suspicions_bytes = p;
		*item = WIRE_SUSPICION_LEN;
		*max = WIRE_GOSSIP_MAX;
		return &m->suspicions;
	case FIELD_SUMMARY:
		m->summary_bytes = p;
		*item = WIRE_SUMMARY_LEN;
		*max = WIRE_SUMMARY_MAX;
		return &m->summaries;
	case FIELD_PATHS:
		m->paths_bytes = p;
		*item = WIRE_PATH_LEN;
		*max = WIRE_PATHS_MAX;
		return &m->path_count;
	case FIELD_COUNTS:
		m->counts_bytes = p;
		*item = WIRE_COUNT_LEN;
		*max = WIRE_HASHES_MAX;
		return &m->count_count;
	case FIELD_ADDRESSES:
		m->addresses = (const struct address *)p;
		*item = ADDRESS_LEN;
		*max = WIRE_ADDRESSES_MAX;
		return &m->address_count;
	case FIELD_HASHES:
		m->hashes = (const struct wire_hash *)p;
		*item = WIRE_HASH;
		*max = WIRE_HASHES_MAX;
		return &m->hash_count;
	}
	return NULL;
}

/* Blobs that fill ${len} bytes, of any content. */
static void fill_blobs(uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t n = len < 2 * BLOB_LEN ? len : BLOB_LEN;

		p[0] = (uint8_t)(n - 2);
		p[1] = (uint8_t)((n - 2) >> 8);
		p += n;
		len -= n;
	}
}

void wire_sample_length(struct message *m, unsigned int field, uint32_t n)
{
	struct wire_slice *s = slice_of_field(m, field);
	uint32_t item, max;

	m->has |= WIRE_HAS(field);
	memset(store[field], 0, STORE);
	if (s) {
		*s = (struct wire_slice){ store[field], n };
		if (is_blobs(field))
			fill_blobs(store[field], n);
	} else {
		*list_of_field(m, field, &item, &max) = n;
	}
}

/* ---- golden values ---- */

static void set_slice(struct message *m, unsigned int field, const char *bytes, uint32_t len)
{
	wire_sample_length(m, field, len);
	memcpy(store[field], bytes, len);
}

static void sample_list(struct message *m, unsigned int field)
{
	static const struct wire_path paths[2] = { { 4, { 0x3f, 0xff } }, { 7, { 0x01, 0x23, 0x45, 0x60 } } };
	struct wire_suspicion suspicion = { .incarnation = 0x0102030405060708, .dead = true };
	struct wire_summary summary = { .incarnation = 9, .hash = { 1, 2, 3, 4, 5, 6, 7, 8 } };

	wire_sample_length(m, field, field == FIELD_SUSPICIONS || field == FIELD_SUMMARY ? 1 : 2);
	switch (field) {
	case FIELD_SUSPICIONS:
		memset(&suspicion.id, 0xa1, sizeof(suspicion.id));
		memset(&suspicion.from, 0xa2, sizeof(suspicion.from));
		wire_suspicion_put(&suspicion, store[field]);
		break;
	case FIELD_SUMMARY:
		memset(&summary.id, 0xa3, sizeof(summary.id));
		wire_summary_put(&summary, store[field]);
		break;
	case FIELD_PATHS:
		wire_path_put(&paths[0], store[field]);
		wire_path_put(&paths[1], store[field] + WIRE_PATH_LEN);
		break;
	case FIELD_COUNTS:
		wire_count_put(3, store[field]);
		wire_count_put(70000, store[field] + WIRE_COUNT_LEN);
		break;
	case FIELD_ADDRESSES:
		memset(store[field], 0xb1, ADDRESS_LEN);
		memset(store[field] + ADDRESS_LEN, 0xb2, ADDRESS_LEN);
		break;
	case FIELD_HASHES:
		memset(store[field], 0xc1, WIRE_HASH);
		memset(store[field] + WIRE_HASH, 0xc2, WIRE_HASH);
		break;
	}
}

void wire_sample(struct message *m, unsigned int field)
{
	struct address *a = address_of_field(m, field);
	bool *flag = flag_of_field(m, field);

	m->has |= WIRE_HAS(field);
	m->seq = field == FIELD_SEQ ? 0x1112131415161718 : m->seq;
	m->kind = field == FIELD_KIND ? KIND_INDEX : m->kind;
	m->status = field == FIELD_STATUS ? WIRE_OTHER_PLACEMENT : m->status;
	m->slot = field == FIELD_SLOT ? 0x2122 : m->slot;
	m->count = field == FIELD_COUNT ? 1024 : m->count;
	m->seconds = field == FIELD_SECONDS ? 3600 : m->seconds;
	if (a)
		memset(a, (int)field, sizeof(*a));
	else if (flag)
		*flag = true;
	else if (is_blobs(field))
		set_slice(m, field, "\x03\x00" "abc" "\x01\x00" "d", 8);
	else if (field == FIELD_HAVE)
		set_slice(m, field, "\x02", 1);
	else if (field == FIELD_BYTES)
		set_slice(m, field, "\x01\x00\x07\x00\x00\x00" "a chunk", 13);
	else if (slice_of_field(m, field))
		set_slice(m, field, "signed", 6);
	else if (!is_number(field))
		sample_list(m, field);
}

/* ---- random values ---- */

static void random_bytes(uint8_t *p, size_t len, uint64_t *seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)wire_random(seed, 256);
}

/* Mostly few, so that a test is quick; sometimes as many as there may be. */
static uint32_t random_length(uint32_t least, uint32_t most, uint64_t *seed)
{
	if (wire_random(seed, 64) == 0)
		return most;
	return least + (uint32_t)wire_random(seed, most - least < 5 ? most - least + 1 : 5);
}

static void random_path(uint8_t *p, uint64_t *seed)
{
	struct wire_path path = { .depth = (uint8_t)wire_random(seed, 17) };

	for (unsigned int i = 0; i < path.depth; i++)
		path.nibbles[i / 2] |= (uint8_t)(wire_random(seed, i ? 16 : 4) << (i % 2 ? 0 : 4));
	wire_path_put(&path, p);
}

static void random_list(struct message *m, unsigned int field, uint64_t *seed)
{
	uint32_t item, max, n;

	list_of_field(m, field, &item, &max);
	n = random_length(field == FIELD_PATHS, max, seed);
	wire_sample_length(m, field, n);
	random_bytes(store[field], (size_t)n * item, seed);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = store[field] + (size_t)i * item;

		if (field == FIELD_PATHS)
			random_path(p, seed);
		if (field == FIELD_SUSPICIONS)
			p[item - 1] &= 1;
	}
}

void wire_sample_random(struct message *m, unsigned int field, uint64_t *seed)
{
	struct address *a = address_of_field(m, field);
	bool *flag = flag_of_field(m, field);
	uint32_t n;

	m->has |= WIRE_HAS(field);
	m->seq = field == FIELD_SEQ ? wire_random(seed, UINT64_MAX) : m->seq;
	m->kind = field == FIELD_KIND ? (uint8_t)(1 + wire_random(seed, KIND_SNAPSHOT)) : m->kind;
	m->status = field == FIELD_STATUS ? (uint16_t)wire_random(seed, UINT16_MAX + 1) : m->status;
	m->slot = field == FIELD_SLOT ? (uint16_t)wire_random(seed, SLOTS) : m->slot;
	m->count = field == FIELD_COUNT ? (uint32_t)wire_random(seed, UINT32_MAX) : m->count;
	m->seconds = field == FIELD_SECONDS ? (uint32_t)wire_random(seed, UINT32_MAX) : m->seconds;
	if (a) {
		random_bytes(a->b, sizeof(a->b), seed);
	} else if (flag) {
		*flag = true;
	} else if (is_blobs(field)) {
		n = random_length(0, WIRE_BLOBS_MAX / BLOB_LEN, seed) * BLOB_LEN;
		wire_sample_length(m, field, n);
	} else if (field == FIELD_HAVE || field == FIELD_BYTES) {
		n = random_length(0, field == FIELD_HAVE ? WIRE_ADDRESSES_MAX / 8 : WIRE_BYTES_MAX, seed);
		wire_sample_length(m, field, n);
		random_bytes(store[field], n < 64 ? n : 64, seed);
	} else if (slice_of_field(m, field)) {
		n = random_length(1, WIRE_BLOB_MAX, seed);
		wire_sample_length(m, field, n);
		random_bytes(store[field], n, seed);
	} else if (!is_number(field)) {
		random_list(m, field, seed);
	}
}

/* ---- knives ---- */

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool lists_equal(const struct message *a, const struct message *b)
{
	return same_bytes(a->suspicions_bytes, a->suspicions * WIRE_SUSPICION_LEN, b->suspicions_bytes,
		   b->suspicions * WIRE_SUSPICION_LEN) &&
	    same_bytes(a->summary_bytes, a->summaries * WIRE_SUMMARY_LEN, b->summary_bytes, b->summaries * WIRE_SUMMARY_LEN) &&
	    same_bytes(a->paths_bytes, a->path_count * WIRE_PATH_LEN, b->paths_bytes, b->path_count * WIRE_PATH_LEN) &&
	    same_bytes(a->counts_bytes, a->count_count * WIRE_COUNT_LEN, b->counts_bytes, b->count_count * WIRE_COUNT_LEN) &&
	    same_bytes(a->addresses, a->address_count * ADDRESS_LEN, b->addresses, b->address_count * ADDRESS_LEN) &&
	    same_bytes(a->hashes, a->hash_count * WIRE_HASH, b->hashes, b->hash_count * WIRE_HASH);
}

bool wire_equal(const struct message *a, const struct message *b)
{
	struct message x = *a, y = *b;

	for (unsigned int f = 1; f < FIELD_END; f++) {
		const struct wire_slice *p = slice_of_field(&x, f), *q = slice_of_field(&y, f);

		if (p && !same_bytes(p->data, p->len, q->data, q->len))
			return false;
		if (address_of_field(&x, f) && !address_equal(address_of_field(&x, f), address_of_field(&y, f)))
			return false;
		if (flag_of_field(&x, f) && *flag_of_field(&x, f) != *flag_of_field(&y, f))
			return false;
	}
	return lists_equal(a, b) && a->type == b->type && a->request == b->request && a->seq == b->seq && a->kind == b->kind &&
	    a->status == b->status && a->slot == b->slot && a->count == b->count && a->seconds == b->seconds;
}

void wire_find(const uint8_t *bytes, size_t len, unsigned int field, size_t *at, size_t *n)
{
	size_t i = 0;

	while (i < len) {
		size_t head = 1, value = 0;
		unsigned int shift = 0;

		do
			value |= (size_t)(bytes[i + head] & 0x7f) << shift;
		while (shift += 7, bytes[i + head++] & 0x80);
		if (bytes[i] == field) {
			*at = i;
			*n = head + value;
			return;
		}
		i += head + value;
	}
	fail_msg("no field %u", field);
}

size_t wire_beyond(struct message *m, unsigned int field, size_t len, uint8_t *out)
{
	static uint8_t good[16 * 1024];
	size_t at, n, all = len, rest;
	uint8_t *p = out;

	wire_sample(m, field);
	n = (size_t)wire_encode(m, false, good, sizeof(good));
	rest = n;
	wire_find(good, rest, field, &at, &n);
	memcpy(p, good, at);
	p += at;
	*p++ = (uint8_t)field;
	for (; all > 0x7f; all >>= 7)
		*p++ = (uint8_t)(all | 0x80);
	*p++ = (uint8_t)all;
	memset(p, 0, len);
	if (is_blobs(field))
		fill_blobs(p, len);
	p += len;
	memcpy(p, good + at + n, rest - at - n);
	return (size_t)(p - out) + rest - at - n;
}
