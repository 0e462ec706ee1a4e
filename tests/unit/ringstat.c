/*
 * ringstat: figures of the slot table, averaged over several rings: build/ringstat [rings].
 *
 *   max/mean  the largest load for its share: average, worst
 *   join      moves on a join, for those that the joining member's share makes necessary: average, worst
 *   leave     the same when one leaves
 *   crowded   slots whose owners share a zone though others are there
 *   near      members that a member has a slot in common with
 *   ms        of processor for a table
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/ringkit.h"

#define MEMBERS_MAX 1001

struct average {
	double sum, worst;
	unsigned int n;
};

static void add(struct average *a, double value)
{
	a->sum += value;
	a->worst = value > a->worst ? value : a->worst;
	a->n++;
}

static void show(const char *name, const struct average *a)
{
	printf("  %s %.3f (%.3f)", name, a->sum / a->n, a->worst);
}

/* ${zones} of about the same size, or none; weights 1 to ${weights} in turn. */
static void run(unsigned int n, unsigned int weights, unsigned int zones, unsigned int rings)
{
	static struct ring_member m[MEMBERS_MAX];
	static double share[MEMBERS_MAX];
	struct average worst = { 0 }, join = { 0 }, leave = { 0 }, near = { 0 }, ms = { 0 };
	unsigned int crowded = 0;

	for (unsigned int i = 0; i < rings; i++) {
		struct ring *before, *all, *after;
		clock_t begin;

		ringkit_members(m, i * MEMBERS_MAX, n + 1);
		for (unsigned int j = 0; j <= n; j++) {
			/* Who joins and leaves has another weight in each ring. */
			m[j].weight = (uint8_t)(1 + (j + i) % weights);
			if (zones)
				snprintf(m[j].zone, sizeof(m[j].zone), "zone %u", j % zones);
		}
		begin = clock();
		before = ringkit_build(m, n, 3);
		add(&ms, (double)(clock() - begin) * 1000 / CLOCKS_PER_SEC);
		all = ringkit_build(m, n + 1, 3);
		after = ringkit_build(m + 1, n, 3);
		ringkit_shares(all, share);
		add(&join, ringkit_moves(before, all) / share[ring_find(all, &m[n].id)]);
		add(&leave, ringkit_moves(all, after) / share[ring_find(all, &m[0].id)]);
		add(&worst, ringkit_worst(before));
		add(&near, ringkit_neighbours(before));
		crowded += ringkit_crowded(before);
		ring_free(before);
		ring_free(all);
		ring_free(after);
	}
	printf("%4u members, weights 1..%u, %2u zones:", n, weights, zones);
	show("max/mean", &worst);
	show("join", &join);
	show("leave", &leave);
	printf("  crowded %u  near %.1f  ms %.1f\n", crowded, near.sum / near.n, ms.sum / ms.n);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const unsigned int counts[] = { 3, 5, 20, 100, 1000 };
	unsigned int rings = argc > 1 ? (unsigned int)atoi(argv[1]) : 20;

	if (sodium_init() < 0 || rings == 0)
		return 1;
	for (unsigned int weights = 1; weights <= 4; weights += 3)
		for (int zoned = 0; zoned < 2; zoned++)
			for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
				run(counts[i], weights, !zoned ? 0 : counts[i] < 20 ? 3 : 10, rings);
	return 0;
}
