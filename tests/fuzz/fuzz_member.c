/*
 * Any bytes as what is signed, or as a ring file.  The first byte says as what; bit 7, that they get the right ring and key
 * and a good signature first: so that what lies behind these is reached.  What is taken must be said again in the same bytes.
 */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/ringfile.h"
#include "dht/net/signed.h"
#include "dht/net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum what { RECORD, EVICTION, LEASE, RETIRE, HEAD, RING_FILE, ADMIN_KEY, ORDER, WHATS };
#define SIGNED 0x80u
#define START  (2u + ADDRESS_LEN + MEMBER_KEY)

static struct ring_file file;
static uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET], admin[MEMBER_SECRET];

static void setup(void)
{
	struct ring_file_random random;
	uint8_t node[crypto_sign_SEEDBYTES];
	int rc;

	if (file.replicas)
		return;
	memset(&random, 2, sizeof(random));
	memset(random.id, 0xaa, sizeof(random.id));
	memset(node, 1, sizeof(node));
	rc = ring_file_create(&random, false, 3, 2, &file, admin);
	assert(rc == 0);
	crypto_sign_seed_keypair(key, secret, node);
}

/* A block that ends where the bytes end, signed if that is wanted. */
static uint8_t *block(enum what what, bool sign, const uint8_t *data, size_t *size)
{
	static const char *const domains[] = {
		[RECORD] = "dhtfs member", [EVICTION] = "dhtfs evict", [LEASE] = "dhtfs lease", [RETIRE] = "dhtfs retire",
		[HEAD] = "dhtfs head",
	};
	bool fits = sign && *size >= START && *size <= DOMAIN_BODY_MAX;
	uint8_t *b = malloc(*size + (fits ? MEMBER_SIGNATURE : 1));

	assert(b);
	memcpy(b, data, *size);
	if (!fits)
		return b;
	b[0] = (uint8_t)(what + 1);
	b[1] = 1;
	memcpy(b + 2, file.id.b, ADDRESS_LEN);
	if (what != EVICTION)
		memcpy(b + 2 + ADDRESS_LEN, key, MEMBER_KEY);
	domain_sign(domains[what], b, *size, what == EVICTION ? admin : secret, b + *size);
	*size += MEMBER_SIGNATURE;
	return b;
}

static void text_is_printable(const char *text)
{
	for (; *text; text++)
		assert(*text >= ' ' && *text <= '~');
}

/* What later versions have behind the last field is not said again. */
static void record_comes_back(const struct member *m)
{
	struct member *again;
	size_t body;
	int rc = member_sign(m, &file.id, secret, &again);

	assert(rc == 0);
	body = again->len - MEMBER_SIGNATURE;
	assert(again->len <= m->len);
	again->bytes[92] = m->protocol;
	again->bytes[93] = m->placement;
	assert(memcmp(again->bytes, m->bytes, body) == 0);
	assert(address_equal(&again->id, &m->id));
	member_drop(again);
}

static void read_member(const uint8_t *b, size_t size, bool sign)
{
	struct ring_member place;
	struct member *m;
	int rc = member_read(b, size, &file.id, NULL, &m);
	bool good;

	assert(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return;
	assert(size <= MEMBER_BLOB_MAX && m->len == size && memcmp(m->bytes, b, size) == 0);
	good = member_verify(m, &file);
	/* Of a signature that was made here; the fuzzer makes none. */
	assert(!sign || good);
	assert(!member_newer(m, m));
	if (m->state != MEMBER_EVICTED) {
		assert(m->weight >= 1 && m->weight <= RING_WEIGHT_MAX);
		text_is_printable(m->zone);
		for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++)
			text_is_printable(m->address[i]);
		member_place(m, &place);
		if (good && memcmp(m->key, key, MEMBER_KEY) == 0)
			record_comes_back(m);
	}
	member_drop(m);
}

static void read_signed(const uint8_t *b, size_t size)
{
	uint8_t again[SIGNED_MAX];
	struct address volume, zeros = { { 0 } };
	unsigned int taken = 0;
	struct lease l;
	struct retire r;
	struct head h;

	if (signed_volume(b, size, &volume) < 0)
		volume = zeros;
	if (lease_read(b, size, &file.id, &l) == 0) {
		taken++;
		assert(l.slot < RING_SLOTS && address_equal(&l.volume, &volume));
		if (memcmp(l.key, key, sizeof(key)) == 0)
			assert(lease_sign(&l, &file.id, secret, again) == size && memcmp(again, b, size) == 0);
	}
	if (retire_read(b, size, &file.id, &r) == 0) {
		taken++;
		if (memcmp(r.key, key, sizeof(key)) == 0)
			assert(retire_sign(&r, &file.id, secret, again) == size && memcmp(again, b, size) == 0);
	}
	if (head_read(b, size, &file.id, &h) == 0) {
		taken++;
		assert(h.seq > 0 && (h.seq == 1) == address_equal(&h.previous, &zeros));
		if (memcmp(h.key, key, sizeof(key)) == 0)
			assert(head_sign(&h, &file.id, secret, again) == size && memcmp(again, b, size) == 0);
	}
	assert(taken <= 1);
}

static void read_ring_file(const char *text, size_t size)
{
	char why[RING_FILE_WHY] = "", again[RING_FILE_MAX];
	struct ring_file f, back;
	int rc = ring_file_parse(text, size, &f, why);

	assert(rc == 0 || ((rc == -EINVAL || rc == -ENOTSUP) && why[0] && memchr(why, 0, sizeof(why))));
	if (rc < 0)
		return;
	assert(f.acks >= 1 && f.acks <= f.replicas && f.replicas <= RING_REPLICAS_MAX);
	rc = ring_file_parse(again, ring_file_format(&f, again), &back, why);
	assert(rc == 0 && memcmp(&f, &back, sizeof(f)) == 0);
}

static void read_admin_key(const char *text, size_t size)
{
	char why[RING_FILE_WHY] = "";
	uint8_t out[MEMBER_SECRET];
	int rc = admin_key_parse(text, size, &file, out, why);

	assert(rc == 0 || ((rc == -EINVAL || rc == -ENOTSUP) && why[0]));
	assert(rc < 0 || memcmp(out, admin, sizeof(out)) == 0);
}

/* Of any three records of one node, one order. */
static void are_in_order(const uint8_t *data, size_t size)
{
	struct member *m[3] = { NULL };

	for (unsigned int i = 0; i < 3; i++) {
		size_t n = size / 3;
		uint8_t *b = block(data[i * n] & 1 ? EVICTION : RECORD, true, data + i * n, &n);

		/* An eviction says whose it is where a record has its key. */
		if (b[0] == 2 && n > START) {
			struct address id;

			member_id(key, &id);
			memcpy(b + 2 + ADDRESS_LEN, id.b, ADDRESS_LEN);
		}
		if (member_read(b, n, &file.id, NULL, &m[i]) < 0)
			m[i] = NULL;
		free(b);
	}
	for (unsigned int i = 0; m[0] && m[1] && m[2] && i < 3; i++) {
		const struct member *a = m[i], *b = m[(i + 1) % 3], *c = m[(i + 2) % 3];

		assert(!(member_newer(a, b) && member_newer(b, a)));
		assert(member_newer(a, b) || member_newer(b, a) || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0));
		assert(!(member_newer(a, b) && member_newer(b, c)) || member_newer(a, c));
	}
	for (unsigned int i = 0; i < 3; i++)
		member_drop(m[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum what what;
	uint8_t *b;
	bool sign;

	if (size < 4)
		return 0;
	setup();
	what = (data[0] & ~SIGNED) % WHATS;
	sign = data[0] & SIGNED;
	data++;
	size--;
	if (what == ORDER) {
		are_in_order(data, size);
		return 0;
	}
	sign = sign && what <= HEAD && size >= START && size <= DOMAIN_BODY_MAX;
	b = block(what, sign, data, &size);
	if (what == RECORD || what == EVICTION)
		read_member(b, size, sign);
	else if (what == RING_FILE)
		read_ring_file((const char *)b, size);
	else if (what == ADMIN_KEY)
		read_admin_key((const char *)b, size);
	else
		read_signed(b, size);
	free(b);
	return 0;
}
