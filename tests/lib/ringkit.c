#include "tests/lib/ringkit.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ringkit_members(struct ring_member *m, unsigned int first, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "member %u", first + i);

		m[i] = (struct ring_member){ .weight = 1 };
		crypto_generichash(m[i].id.b, ADDRESS_LEN, (const uint8_t *)name, (size_t)len, NULL, 0);
	}
}

struct ring *ringkit_build(const struct ring_member *m, unsigned int n, unsigned int replicas)
{
	struct ring *r;
	int rc = ring_build(m, n, replicas, &r);

	assert(rc == 0);
	return r;
}

void ringkit_shares(const struct ring *r, double *share)
{
	double ranks = r->replicas, weights = 0;
	bool again = true;

	for (unsigned int i = 0; i < r->members; i++) {
		weights += r->member[i].weight;
		share[i] = 0;
	}
	while (again) {
		double all = weights, left = ranks;

		again = false;
		for (unsigned int i = 0; i < r->members; i++) {
			if (share[i] > 0 || r->member[i].weight * left <= all)
				continue;
			share[i] = RING_SLOTS;
			weights -= r->member[i].weight;
			ranks--;
			again = true;
		}
	}
	for (unsigned int i = 0; i < r->members; i++)
		if (share[i] == 0)
			share[i] = RING_SLOTS * ranks * r->member[i].weight / weights;
}

void ringkit_loads(const struct ring *r, uint32_t *load)
{
	memset(load, 0, r->members * sizeof(*load));
	for (size_t i = 0; i < (size_t)RING_SLOTS * r->replicas; i++)
		load[r->owner[i]]++;
}

double ringkit_worst(const struct ring *r)
{
	static double share[RING_MEMBERS_MAX];
	static uint32_t load[RING_MEMBERS_MAX];
	double worst = 0;

	ringkit_shares(r, share);
	ringkit_loads(r, load);
	for (unsigned int i = 0; i < r->members; i++)
		if (load[i] / share[i] > worst)
			worst = load[i] / share[i];
	return worst;
}

unsigned int ringkit_moves(const struct ring *from, const struct ring *to)
{
	static int before[RING_MEMBERS_MAX];
	unsigned int moves = 0;

	for (unsigned int i = 0; i < to->members; i++)
		before[i] = ring_find(from, &to->member[i].id);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		const uint16_t *owner = ring_owners(to, slot);

		for (unsigned int i = 0; i < to->replicas; i++)
			moves += before[owner[i]] < 0 || !ring_owns(from, slot, (unsigned int)before[owner[i]]);
	}
	return moves;
}

/* Of the first ${n} members of ${list}, or of the ring's where that is NULL. */
static unsigned int zones_of(const struct ring *r, const uint16_t *list, unsigned int n)
{
	unsigned int zones = 0;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int j = 0;

		while (j < i && strcmp(r->member[list ? list[i] : i].zone, r->member[list ? list[j] : j].zone) != 0)
			j++;
		zones += j == i;
	}
	return zones;
}

unsigned int ringkit_crowded(const struct ring *r)
{
	unsigned int can = zones_of(r, NULL, r->members), crowded = 0;

	if (can > r->replicas)
		can = r->replicas;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		crowded += zones_of(r, ring_owners(r, slot), r->replicas) < can;
	return crowded;
}

double ringkit_neighbours(const struct ring *r)
{
	unsigned int n = r->members, pairs = 0;
	bool *met = calloc((size_t)n * n, sizeof(*met));

	assert(met);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		const uint16_t *owner = ring_owners(r, slot);

		for (unsigned int i = 0; i < r->replicas; i++)
			for (unsigned int j = 0; j < r->replicas; j++)
				if (i != j && !met[(size_t)owner[i] * n + owner[j]]) {
					met[(size_t)owner[i] * n + owner[j]] = true;
					pairs++;
				}
	}
	free(met);
	return (double)pairs / n;
}
