/* What follows from a seed.  The draws are in a fixed order: one that is put between others changes every run behind it. */
#include "tests/sim/options.h"

#include "tests/sim/world.h"

#define DELETE_SEEDS 20		/* one of so many waits for deletion */

const char *const fault_names[] = {
	"restart", "power", "rot", "wipe", "full", "slow-disk", "freeze", "crawl", "split", "clog", "stall", "reset", "skew",
	"members", "liars", NULL,
};

const char *const part_names[] = { "insert", "fetch", "lease", "head", "delete", NULL };

const char *const plant_names[PLANTS] = {
	"nothing", "lose-chunk", "false-ack", "wrong-byte", "delete-leased", "keep-unleased", "resurrect", "deaf-owner",
	"split-view", "waste", "head-back", "two-heads", "stall-command", "greedy", "nondeterminism",
	"lose-one-more", "false-proof", "delete-young", "forget-leases", "resurrect-one", "overwrite",
	"false-miss", "wrong-owner", "go-on", "small-ring", "slow-disk", "twice", "same-store", "forgery",
};

void options_of_seed(uint64_t seed, struct options *o)
{
	struct dice d;

	dice_seed(&d, seed, 7);
	*o = (struct options){
		.seed = seed,
		.nodes = (unsigned int)dice_between(&d, 3, dice_percent(&d, 30) ? 14 : 8),
		.replicas = (unsigned int)dice_between(&d, 2, 4),
		.parts = PART_ALL,
		.chunks = (unsigned int)dice_between(&d, 20, 200),
		.chunk_min = 64,
		.chunk_max = (unsigned int)dice_between(&d, 100, 4096),
		.volumes = (unsigned int)dice_between(&d, 1, 3),
		.zones = dice_percent(&d, 30) ? (unsigned int)dice_between(&d, 2, 4) : 0,
		.weights = dice_percent(&d, 30),
		.load_us = dice_between(&d, 40, 160) * S,
		.settle_us = 3600 * (uint64_t)S,
		.latency_min = dice_between(&d, 50, 1000),
		.latency_max = dice_between(&d, 2000, 120000),
		.bandwidth = dice_between(&d, 100, 10000) * 10000,
		.fault_every = dice_between(&d, 1 * S, 20 * S),
		.load_every = dice_between(&d, 100 * MS, 1 * S),
	};
	o->acks = (unsigned int)dice_between(&d, 1, o->replicas);
	/* A subset: a fault shows best where others do not drown it. */
	o->faults = (unsigned int)(dice_next(&d) & FAULT_ALL);
	if (dice_percent(&d, 50))
		o->faults &= (unsigned int)dice_next(&d);
	if (dice_percent(&d, 5))
		o->faults = 0;
	if (o->nodes < 5)
		o->faults &= ~(unsigned int)FAULT_LIARS;
	if (o->faults & FAULT_LIARS)
		o->liars = (unsigned int)dice_between(&d, 1, o->nodes / 3);
	/* Two days more, until what nobody leases must have gone: small rings only, for time's sake. */
	if (seed % DELETE_SEEDS == 0) {
		o->nodes = (unsigned int)dice_between(&d, 3, 4);
		o->faults &= ~(unsigned int)(FAULT_LIARS | FAULT_MEMBERS);
		o->liars = 0;
		o->delete_us = 50 * 3600 * (uint64_t)S;
		if (dice_percent(&d, 50)) {
			o->away_us = 40 * 3600 * (uint64_t)S;
			o->delete_us += o->away_us;
		}
	}
}
