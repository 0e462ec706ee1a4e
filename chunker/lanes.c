#include "chunker/lanes.h"

#include <assert.h>
#include <string.h>

#include "chunker/bytes.h"

#if defined(__x86_64__)

#define BLOCK 128u	/* bytes that the compression function takes at a time */
#define WORDS 16u	/* of 64 bits, in a block */
#define PARAMETERS 0x01010000u	/* no key, no tree: RFC 7693, 2.5 */

/* Word i of each lane's state, h[i], and of its counters, side by side: vectors, in memory. */
struct state {
	uint64_t h[8][LANES];
	uint64_t count[LANES];		/* bytes so far: t0 of the RFC; no chunk reaches t1 */
	uint64_t last[LANES];		/* all ones in the last block: f0 */
	uint64_t m[WORDS][LANES];	/* the block */
};

typedef uint64_t vector __attribute__((vector_size(8 * LANES)));

static const uint64_t iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))

#define MIX(a, b, c, d, x, y) do { \
	v[a] += v[b] + m[x]; \
	v[d] = ROTATE(v[d] ^ v[a], 32); \
	v[c] += v[d]; \
	v[b] = ROTATE(v[b] ^ v[c], 24); \
	v[a] += v[b] + m[y]; \
	v[d] = ROTATE(v[d] ^ v[a], 16); \
	v[c] += v[d]; \
	v[b] = ROTATE(v[b] ^ v[c], 63); \
} while (0)

/* A macro, so that the words of a block are chosen when it is compiled. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) do { \
	MIX(0, 4, 8, 12, s0, s1); \
	MIX(1, 5, 9, 13, s2, s3); \
	MIX(2, 6, 10, 14, s4, s5); \
	MIX(3, 7, 11, 15, s6, s7); \
	MIX(0, 5, 10, 15, s8, s9); \
	MIX(1, 6, 11, 12, s10, s11); \
	MIX(2, 7, 8, 13, s12, s13); \
	MIX(3, 4, 9, 14, s14, s15); \
} while (0)

/* RFC 7693, 3.2, of all lanes.  Compiled into each function below for the processor that this one is for. */
static inline __attribute__((always_inline)) void compress(struct state *s)
{
	vector *h = (vector *)s->h;
	const vector *m = (const vector *)s->m;
	vector v[16];

	for (int i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = (vector){ 0 } + iv[i];
	}
	v[12] ^= *(const vector *)s->count;
	v[14] ^= *(const vector *)s->last;
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
	ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
	ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
	ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
	ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
	ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
	ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
	ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

__attribute__((target("avx512f"))) static void compress_avx512(struct state *s)
{
	compress(s);
}

__attribute__((target("avx2"))) static void compress_avx2(struct state *s)
{
	compress(s);
}

static void (*const steps[])(struct state *) = {
	[LANES_AVX2] = compress_avx2,
	[LANES_AVX512] = compress_avx512,
};

enum lanes lanes_best(void)
{
	if (!__builtin_cpu_supports("avx2"))
		return LANES_NONE;
	return __builtin_cpu_supports("avx512f") ? LANES_AVX512 : LANES_AVX2;
}

/*
 * In quarters: so many chunks of one length are hashed one after the other while the lanes hash one to eight of them.  In a process that has
 * called sodium_init() they are fewer, since libsodium then picks code that is slower here: 11 and 4; else 20 and 7.
 */
static const unsigned int worth[] = {
	[LANES_AVX2] = 15,
	[LANES_AVX512] = 5,
};

bool lanes_pay(enum lanes with, const struct address_job *jobs, size_t n)
{
	size_t all = 0, longest = 0;

	if (with == LANES_NONE)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t len = jobs[i].len + BLOCK;

		all += len;
		if (len > longest)
			longest = len;
	}
	return all * 4 > longest * worth[with];
}

static void begin(struct state *s, unsigned int lane, const uint8_t personal[LANES_PERSONAL])
{
	for (int i = 0; i < 8; i++)
		s->h[i][lane] = iv[i];
	s->h[0][lane] ^= PARAMETERS | ADDRESS_LEN;
	s->h[6][lane] ^= get_le64(personal);
	s->h[7][lane] ^= get_le64(personal + 8);
	s->count[lane] = 0;
	s->last[lane] = 0;
}

/* The next block of ${job} into its lane. */
static void load(struct state *s, unsigned int lane, const struct address_job *job)
{
	const uint8_t *block = job->len > 0 ? (const uint8_t *)job->data + s->count[lane] : NULL;
	size_t left = job->len - s->count[lane];
	uint8_t padded[BLOCK];

	if (left <= BLOCK)
		s->last[lane] = UINT64_MAX;
	if (left < BLOCK) {
		memset(padded, 0, BLOCK);
		if (left > 0)
			memcpy(padded, block, left);
		block = padded;
	}
	s->count[lane] += left < BLOCK ? left : BLOCK;
	for (unsigned int i = 0; i < WORDS; i++)
		s->m[i][lane] = get_le64(block + 8 * i);
}

static void take(const struct state *s, unsigned int lane, struct address *out)
{
	for (unsigned int i = 0; i < ADDRESS_LEN / 8; i++)
		put_le64(out->b + 8 * i, s->h[i][lane]);
}

void lanes_hash(enum lanes with, struct address_job *jobs, size_t n, const uint8_t personal[][LANES_PERSONAL])
{
	_Alignas(8 * LANES) struct state s = { .last = { 0 } };
	struct address_job *in[LANES] = { NULL };
	size_t next = 0, done = 0;

	assert(with != LANES_NONE);
	while (done < n) {
		/* A lane whose chunk has ended takes the next one; where there is none it works in vain, on what it had. */
		for (unsigned int lane = 0; lane < LANES; lane++) {
			if (!in[lane] && next < n) {
				in[lane] = &jobs[next++];
				begin(&s, lane, personal[in[lane]->kind]);
			}
			if (in[lane])
				load(&s, lane, in[lane]);
		}
		steps[with](&s);
		for (unsigned int lane = 0; lane < LANES; lane++)
			if (in[lane] && s.last[lane]) {
				take(&s, lane, &in[lane]->address);
				in[lane] = NULL;
				done++;
			}
	}
}

#else

enum lanes lanes_best(void)
{
	return LANES_NONE;
}

bool lanes_pay(enum lanes with, const struct address_job *jobs, size_t n)
{
	(void)with, (void)jobs, (void)n;
	return false;
}

void lanes_hash(enum lanes with, struct address_job *jobs, size_t n, const uint8_t personal[][LANES_PERSONAL])
{
	(void)with, (void)jobs, (void)n, (void)personal;
	assert(!"lanes_best() was LANES_NONE");
}

#endif
