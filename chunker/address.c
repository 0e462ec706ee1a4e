#include "chunker/address.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "chunker/alone.h"
#include "chunker/bytes.h"
#include "chunker/lanes.h"

static const char *const kind_names[] = {
	[KIND_ANY] = "any",
	[KIND_DATA] = "data",
	[KIND_INDEX] = "index",
	[KIND_DIRECTORY] = "directory",
	[KIND_SNAPSHOT] = "snapshot",
};
#define KINDS (sizeof(kind_names) / sizeof(kind_names[0]))

/* "dhtfs" and the kind's name; zeros for data, as in what b2sum computes. */
static const uint8_t personal[KINDS][BLAKE2B_PERSONAL] = {
	[KIND_INDEX] = "dhtfsindex",
	[KIND_DIRECTORY] = "dhtfsdirectory",
	[KIND_SNAPSHOT] = "dhtfssnapshot",
};

bool kind_valid(unsigned int kind)
{
	return kind > KIND_ANY && kind < KINDS;
}

const char *kind_name(unsigned int kind)
{
	return kind < KINDS ? kind_names[kind] : "unknown";
}

void address_of(enum kind kind, const void *data, size_t len, struct address *out)
{
	assert(kind_valid(kind));
	if (alone_pays())
		alone_hash(data, len, personal[kind], out);
	else
		crypto_generichash_blake2b_salt_personal(out->b, ADDRESS_LEN, data, len, NULL, 0, NULL, personal[kind]);
}

void address_of_many(struct address_job *jobs, size_t n)
{
	enum lanes best = lanes_best();

	for (size_t i = 0; i < n; i++)
		assert(kind_valid(jobs[i].kind));
	if (lanes_pay(best, jobs, n)) {
		lanes_hash(best, jobs, n, personal);
		return;
	}
	for (size_t i = 0; i < n; i++)
		address_of(jobs[i].kind, jobs[i].data, jobs[i].len, &jobs[i].address);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a->b, b->b, ADDRESS_LEN) == 0;
}

int address_compare(const struct address *a, const struct address *b)
{
	return memcmp(a->b, b->b, ADDRESS_LEN);
}

bool address_next(const struct address *a, struct address *out)
{
	*out = *a;
	for (unsigned int i = ADDRESS_LEN; i-- > 0;)
		if (++out->b[i] != 0)
			return true;
	return false;
}

void address_format(const struct address *a, char text[ADDRESS_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < ADDRESS_LEN; i++) {
		text[2 * i] = digits[a->b[i] >> 4];
		text[2 * i + 1] = digits[a->b[i] & 15];
	}
	text[ADDRESS_TEXT_LEN] = '\0';
}

/* Not isxdigit(): that one asks the locale. */
static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int address_parse(const char *text, struct address *out)
{
	struct address a;

	for (size_t i = 0; i < ADDRESS_LEN; i++) {
		int high = digit_value(text[2 * i]);
		int low = high < 0 ? -1 : digit_value(text[2 * i + 1]);

		if (low < 0)
			return -EINVAL;
		a.b[i] = (uint8_t)(high << 4 | low);
	}
	if (text[ADDRESS_TEXT_LEN] != '\0')
		return -EINVAL;
	*out = a;
	return 0;
}

bool ref_equal(const struct ref *a, const struct ref *b)
{
	return a->hash == b->hash && a->kind == b->kind && a->size == b->size &&
	    address_equal(&a->address, &b->address);
}

/* The largest size that a ref of ${kind} can have. */
static uint64_t size_max(unsigned int kind)
{
	return kind == KIND_DATA || kind == KIND_SNAPSHOT ? CHUNK_MAX : INT64_MAX;
}

bool ref_is_file(const struct ref *r)
{
	return r->hash == HASH_BLAKE2B_256 && r->size <= size_max(r->kind) &&
	    (r->kind == KIND_DATA || (r->kind == KIND_INDEX && r->size > 0));
}

void ref_empty(struct ref *out)
{
	*out = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_DATA };
	address_of(KIND_DATA, NULL, 0, &out->address);
}

void ref_encode(const struct ref *r, uint8_t out[REF_LEN])
{
	memset(out, 0, REF_LEN);
	out[0] = r->hash;
	out[1] = r->kind;
	put_le64(out + 8, r->size);
	memcpy(out + 16, r->address.b, ADDRESS_LEN);
}

int ref_decode(const uint8_t in[REF_LEN], struct ref *out)
{
	static const uint8_t zeros[6];
	struct ref r = { .hash = in[0], .kind = in[1], .size = get_le64(in + 8) };

	if (r.hash != HASH_BLAKE2B_256 || !kind_valid(r.kind) || memcmp(in + 2, zeros, 6) != 0 ||
	    r.size > size_max(r.kind))
		return -EBADMSG;
	memcpy(r.address.b, in + 16, ADDRESS_LEN);
	*out = r;
	return 0;
}
