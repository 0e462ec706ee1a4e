/*
 * BLAKE2b-256 (RFC 7693) of 36 bytes, as far as its first 8 bytes need it: one block, known but for five words.  A
 * table takes hundreds of thousands of them, and they were most of its time: libsodium's function takes 2.5 times as
 * long for such a short message.
 */
#include "chunker/bytes.h"
#include "dht/net/ring.h"

#define MESSAGE_LEN (ADDRESS_LEN + 4)

/* The first word of the parameters: 32 bytes of hash, no key, fanout 1, depth 1. */
#define PARAMETERS UINT64_C(0x01010020)

static const uint64_t iv[8] = {
	UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b),
	UINT64_C(0xa54ff53a5f1d36f1), UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
	UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179),
};

static const uint8_t sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint64_t rotate(uint64_t x, int n)
{
	return x >> n | x << (64 - n);
}

/* Macros, so that every index is a constant and the words that are zero are never added. */
#define MIX(a, b, c, d, x, y) do {						\
	v[a] += v[b] + (x);	v[d] = rotate(v[d] ^ v[a], 32);			\
	v[c] += v[d];		v[b] = rotate(v[b] ^ v[c], 24);			\
	v[a] += v[b] + (y);	v[d] = rotate(v[d] ^ v[a], 16);			\
	v[c] += v[d];		v[b] = rotate(v[b] ^ v[c], 63);			\
} while (0)

#define ROUND(r) do {								\
	MIX(0, 4,  8, 12, m[sigma[r][0]],  m[sigma[r][1]]);			\
	MIX(1, 5,  9, 13, m[sigma[r][2]],  m[sigma[r][3]]);			\
	MIX(2, 6, 10, 14, m[sigma[r][4]],  m[sigma[r][5]]);			\
	MIX(3, 7, 11, 15, m[sigma[r][6]],  m[sigma[r][7]]);			\
	MIX(0, 5, 10, 15, m[sigma[r][8]],  m[sigma[r][9]]);			\
	MIX(1, 6, 11, 12, m[sigma[r][10]], m[sigma[r][11]]);			\
	MIX(2, 7,  8, 13, m[sigma[r][12]], m[sigma[r][13]]);			\
	MIX(3, 4,  9, 14, m[sigma[r][14]], m[sigma[r][15]]);			\
} while (0)

uint64_t ring_token(const struct address *id, uint32_t i)
{
	const uint64_t m[16] = {
		get_le64(id->b), get_le64(id->b + 8), get_le64(id->b + 16), get_le64(id->b + 24), i,
	};
	const uint64_t first = iv[0] ^ PARAMETERS;
	uint64_t v[16] = {
		first, iv[1], iv[2], iv[3], iv[4], iv[5], iv[6], iv[7],
		iv[0], iv[1], iv[2], iv[3], iv[4] ^ MESSAGE_LEN, iv[5], ~iv[6], iv[7],
	};
	uint8_t hash[8];

	ROUND(0); ROUND(1); ROUND(2); ROUND(3); ROUND(4); ROUND(5);
	ROUND(6); ROUND(7); ROUND(8); ROUND(9); ROUND(0); ROUND(1);
	put_le64(hash, first ^ v[0] ^ v[8]);
	return get_be64(hash);
}
