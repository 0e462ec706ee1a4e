#include "dht/marks.h"

#include <sodium.h>
#include <stdlib.h>

#include "chunker/bytes.h"

#define BITS_EACH 20u
#define BYTES_MIN ((uint64_t)64 << 10)
#define BYTES_MAX ((uint64_t)64 << 20)
#define PROBES	  10u	/* the best at 15 bits an address */

struct marks {
	uint64_t seed[2];
	uint64_t bits;
	uint64_t words[];
};

struct marks *marks_new(uint64_t addresses)
{
	uint64_t bytes = addresses < BYTES_MAX ? addresses * BITS_EACH / 8 : BYTES_MAX;
	struct marks *m;

	if (bytes < BYTES_MIN)
		bytes = BYTES_MIN;
	if (bytes > BYTES_MAX)
		bytes = BYTES_MAX;
	bytes = (bytes + 7) / 8 * 8;
	m = calloc(1, sizeof(*m) + bytes);
	if (!m)
		return NULL;
	m->bits = bytes * 8;
	randombytes_buf(m->seed, sizeof(m->seed));
	return m;
}

void marks_free(struct marks *m)
{
	free(m);
}

/* An address is random already: with the seed it starts a sequence of bits that only it has. */
struct probe {
	uint64_t at, step;
};

static struct probe probe_of(const struct marks *m, const struct address *a)
{
	return (struct probe){
		.at = (get_le64(a->b) ^ m->seed[0]) * 0x9e3779b97f4a7c15u,
		.step = ((get_le64(a->b + 16) ^ m->seed[1]) * 0xbf58476d1ce4e5b9u) | 1,
	};
}

static uint64_t probe_next(const struct marks *m, struct probe *p)
{
	uint64_t bit = (uint64_t)((unsigned __int128)p->at * m->bits >> 64);

	p->at += p->step;
	return bit;
}

void marks_add(struct marks *m, const struct address *a)
{
	struct probe p = probe_of(m, a);

	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t bit = probe_next(m, &p), one = (uint64_t)1 << bit % 64;

		/* Most marks are met again and again: those write nothing. */
		if (!(__atomic_load_n(&m->words[bit / 64], __ATOMIC_RELAXED) & one))
			__atomic_fetch_or(&m->words[bit / 64], one, __ATOMIC_RELAXED);
	}
}

bool marks_has(const struct marks *m, const struct address *a)
{
	struct probe p = probe_of(m, a);

	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t bit = probe_next(m, &p);

		if (!(__atomic_load_n(&m->words[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1))
			return false;
	}
	return true;
}
