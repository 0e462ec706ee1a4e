/*
 * How long a peer takes to answer a read: an average that follows within some ten answers, for whom to ask; and what 95 of
 * the last hundred did not exceed, for when to ask somebody else as well.  Both are of answers, and of what was given
 * up: or whoever never answers would seem the fastest.
 */
#include <stdlib.h>
#include <string.h>

#include "dht/net/node_core.h"

#define SAMPLES 100u
#define SLOWEST 6u	/* the smallest of so many slowest of a hundred is the 95th */
#define WEIGHT	8u	/* a new sample counts 1/8 of the average */

struct latency {
	uint32_t us[SAMPLES];	/* a circle */
	unsigned int count, next;
};

/* The value that 95 of a hundred samples don't exceed; of fewer samples, the same share. */
static uint32_t p95(const struct latency *l)
{
	unsigned int rank = l->count - (95 * l->count + 99) / 100 + 1, have = 0;
	uint32_t slow[SLOWEST];

	for (unsigned int i = 0; i < l->count; i++) {
		unsigned int at = have;

		if (have == rank && l->us[i] <= slow[rank - 1])
			continue;
		if (have == rank)
			at--;
		else
			have++;
		for (; at > 0 && slow[at - 1] < l->us[i]; at--)
			slow[at] = slow[at - 1];
		slow[at] = l->us[i];
	}
	return slow[rank - 1];
}

void latency_sample(struct peer *p, uint64_t us)
{
	struct latency *l = p->samples;

	us = us < UINT32_MAX ? us : UINT32_MAX;
	p->latency = p->latency > 0 ? (p->latency * (WEIGHT - 1) + us) / WEIGHT : us;
	if (!l)
		l = p->samples = calloc(1, sizeof(*l));
	/* Without memory the average alone is kept: it is the better half. */
	if (!l)
		return;
	l->us[l->next] = (uint32_t)us;
	l->next = (l->next + 1) % SAMPLES;
	if (l->count < SAMPLES)
		l->count++;
	p->latency_p95 = p95(l);
}

void latency_free(struct peer *p)
{
	free(p->samples);
	p->samples = NULL;
}
