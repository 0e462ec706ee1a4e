/* xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64.  Not for secrets. */
#include <assert.h>

#include "dht/net/node_core.h"

static uint64_t rotate(uint64_t v, unsigned int by)
{
	return v << by | v >> (64 - by);
}

void random_seed(struct node *n, uint64_t seed)
{
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t v = seed += UINT64_C(0x9e3779b97f4a7c15);

		v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
		n->random[i] = v ^ v >> 31;
	}
}

static uint64_t next(uint64_t s[4])
{
	uint64_t out = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return out;
}

uint64_t node_random(struct node *n, uint64_t below)
{
	/* Those of the 2^64 values that don't fill a last round of ${below} would favour the small results. */
	uint64_t skip, v;

	assert(below > 0);
	skip = -below % below;
	do
		v = next(n->random);
	while (v < skip);
	return v % below;
}

/* An eighth more or less: enough that nodes which were started together do not stay in step, and little enough that bounds stay what they are. */
uint64_t node_jitter(struct node *n, uint64_t us)
{
	return us - us / 8 + node_random(n, us / 4 + 1);
}
