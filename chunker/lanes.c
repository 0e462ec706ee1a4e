#include "chunker/lanes.h"

#include <assert.h>
#include <string.h>

#include "chunker/blake2b.h"
#include "chunker/bytes.h"

#if defined(__x86_64__)

/* Word i of each lane's state, h[i], and of its counters, side by side: vectors, in memory. */
struct state {
	uint64_t h[8][LANES];
	uint64_t count[LANES];		/* bytes so far: t0 of the RFC; no chunk reaches t1 */
	uint64_t last[LANES];		/* all ones in the last block: f0 */
	uint64_t m[BLAKE2B_WORDS][LANES];	/* the block */
};

typedef uint64_t vector __attribute__((vector_size(8 * LANES)));

/* RFC 7693, 3.2, of all lanes.  Compiled into each function below for the processor that this one is for. */
static inline __attribute__((always_inline)) void compress(struct state *s)
{
	vector *h = (vector *)s->h;
	const vector *m = (const vector *)s->m;
	vector v[16];

	for (int i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = (vector){ 0 } + blake2b_iv[i];
	}
	v[12] ^= *(const vector *)s->count;
	v[14] ^= *(const vector *)s->last;
	BLAKE2B_ROUNDS();
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

/* In quarters: so many chunks of one length are hashed one after the other while the lanes hash one to eight of them. */
static const unsigned int worth[] = {
	[LANES_AVX2] = 20,
	[LANES_AVX512] = 7,
};

bool lanes_pay(enum lanes with, const struct address_job *jobs, size_t n)
{
	size_t all = 0, longest = 0;

	if (with == LANES_NONE)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t len = jobs[i].len + BLAKE2B_BLOCK;

		all += len;
		if (len > longest)
			longest = len;
	}
	return all * 4 > longest * worth[with];
}

static void begin(struct state *s, unsigned int lane, const uint8_t personal[BLAKE2B_PERSONAL])
{
	for (int i = 0; i < 8; i++)
		s->h[i][lane] = blake2b_iv[i];
	s->h[0][lane] ^= BLAKE2B_PARAMETERS | ADDRESS_LEN;
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
	uint8_t padded[BLAKE2B_BLOCK];

	if (left <= BLAKE2B_BLOCK)
		s->last[lane] = UINT64_MAX;
	if (left < BLAKE2B_BLOCK) {
		memset(padded, 0, BLAKE2B_BLOCK);
		if (left > 0)
			memcpy(padded, block, left);
		block = padded;
	}
	s->count[lane] += left < BLAKE2B_BLOCK ? left : BLAKE2B_BLOCK;
	for (unsigned int i = 0; i < BLAKE2B_WORDS; i++)
		s->m[i][lane] = get_le64(block + 8 * i);
}

static void take(const struct state *s, unsigned int lane, struct address *out)
{
	for (unsigned int i = 0; i < ADDRESS_LEN / 8; i++)
		put_le64(out->b + 8 * i, s->h[i][lane]);
}

void lanes_hash(enum lanes with, struct address_job *jobs, size_t n, const uint8_t personal[][BLAKE2B_PERSONAL])
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

void lanes_hash(enum lanes with, struct address_job *jobs, size_t n, const uint8_t personal[][BLAKE2B_PERSONAL])
{
	(void)with, (void)jobs, (void)n, (void)personal;
	assert(!"lanes_best() was LANES_NONE");
}

#endif
