#include "chunker/alone.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "chunker/bytes.h"

/* RFC 7693, 3.2.  ${count}: bytes so far, t0 of the RFC; no chunk reaches t1. */
static void compress(uint64_t h[8], const uint8_t *block, uint64_t count, bool last)
{
	uint64_t v[16], m[BLAKE2B_WORDS];

	for (unsigned int i = 0; i < BLAKE2B_WORDS; i++)
		m[i] = get_le64(block + 8 * i);
	for (int i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = blake2b_iv[i];
	}
	v[12] ^= count;
	v[14] ^= last ? UINT64_MAX : 0;
	BLAKE2B_ROUNDS();
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

void alone_hash(const void *data, size_t len, const uint8_t personal[BLAKE2B_PERSONAL], struct address *out)
{
	uint8_t padded[BLAKE2B_BLOCK] = { 0 };
	const uint8_t *p = data;
	uint64_t h[8];
	size_t at = 0;

	memcpy(h, blake2b_iv, sizeof(h));
	h[0] ^= BLAKE2B_PARAMETERS | ADDRESS_LEN;
	h[6] ^= get_le64(personal);
	h[7] ^= get_le64(personal + 8);
	/* The last block, whole or not, is the one that says that it is. */
	for (; len - at > BLAKE2B_BLOCK; at += BLAKE2B_BLOCK)
		compress(h, p + at, at + BLAKE2B_BLOCK, false);
	if (len > at)
		memcpy(padded, p + at, len - at);
	compress(h, padded, len, true);
	for (unsigned int i = 0; i < ADDRESS_LEN / 8; i++)
		put_le64(out->b + 8 * i, h[i]);
}

static bool pays;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Whoever is interrupted once is not in four runs. */
static void measure(void)
{
	static const uint8_t personal[BLAKE2B_PERSONAL];
	uint64_t ours = UINT64_MAX, theirs = UINT64_MAX;
	uint8_t bytes[16 * 1024] = { 0 };
	struct address a;

	for (int i = 0; i < 4; i++) {
		uint64_t start = now_ns(), middle, took;

		alone_hash(bytes, sizeof(bytes), personal, &a);
		middle = now_ns();
		crypto_generichash_blake2b_salt_personal(a.b, ADDRESS_LEN, bytes, sizeof(bytes), NULL, 0, NULL, personal);
		took = now_ns() - middle;
		ours = middle - start < ours ? middle - start : ours;
		theirs = took < theirs ? took : theirs;
	}
	pays = ours < theirs;
}

bool alone_pays(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, measure);
	return pays;
}
