/* options: all that a run depends on.  What is not given follows from the seed. */
#ifndef TESTS_SIM_OPTIONS_H
#define TESTS_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* What users do.  A part can be left out, to look at the others. */
enum part {
	PART_INSERT = 1, PART_FETCH = 2, PART_LEASE = 4, PART_HEAD = 8, PART_DELETE = 16,
	PART_ALL = 31,
};

/* What the nemesis does.  Each seed has a subset of its own ("swarm testing", Groce et al. 2012). */
enum fault {
	FAULT_RESTART = 1 << 0,		/* a process ends and starts; its disk is as it was synced */
	FAULT_POWER = 1 << 1,		/* a machine dies: what was not synced is lost or torn, rows and leases too */
	FAULT_ROT = 1 << 2,		/* bits flip on a disk: in chunks, or in rows and leases */
	FAULT_WIPE = 1 << 3,		/* a disk is lost: a new, empty one */
	FAULT_FULL = 1 << 4,		/* a disk is full for a while: nor can rows and leases be written */
	FAULT_DISK_SLOW = 1 << 5,
	FAULT_FREEZE = 1 << 6,		/* a process stands still for seconds, and goes on */
	FAULT_CRAWL = 1 << 7,		/* each of its events takes long */
	FAULT_SPLIT = 1 << 8,		/* the network falls into parts, both ways or one way */
	FAULT_CLOG = 1 << 9,		/* single links, and whole groups, take seconds */
	FAULT_STALL = 1 << 10,		/* connections stand still */
	FAULT_RESET = 1 << 11,		/* connections are cut: both sides are told, or one */
	FAULT_SKEW = 1 << 12,		/* clocks run at different speeds */
	FAULT_MEMBERS = 1 << 13,	/* nodes join, leave, drain, change weight and zone */
	FAULT_LIARS = 1 << 14,
	FAULT_ALL = (1 << 15) - 1,
};

/* See plants.h. */
enum plant {
	PLANT_NONE, PLANT_LOSE_CHUNK, PLANT_FALSE_ACK, PLANT_WRONG_BYTE, PLANT_DELETE_LEASED, PLANT_KEEP_UNLEASED,
	PLANT_RESURRECT, PLANT_DEAF_OWNER, PLANT_SPLIT_VIEW, PLANT_WASTE, PLANT_HEAD_BACK, PLANT_TWO_HEADS,
	PLANT_STALL_COMMAND, PLANT_GREEDY, PLANT_NONDETERMINISM,
	PLANT_LOSE_ONE_MORE, PLANT_FALSE_PROOF, PLANT_DELETE_YOUNG, PLANT_FORGET_LEASES, PLANT_RESURRECT_ONE, PLANT_OVERWRITE,
	PLANT_FALSE_MISS, PLANT_WRONG_OWNER, PLANT_GO_ON, PLANT_SMALL_RING, PLANT_SLOW_DISK, PLANT_TWICE, PLANT_SAME_STORE,
	PLANT_FORGERY, PLANTS,
};

struct options {
	uint64_t seed;
	unsigned int nodes, replicas, acks;
	unsigned int parts;		/* enum part */
	unsigned int faults;		/* enum fault */
	unsigned int liars;		/* of the nodes */
	unsigned int chunks, chunk_min, chunk_max;	/* how many, and bytes */
	unsigned int volumes, zones;
	bool weights;			/* unequal ones */
	uint64_t load_us;		/* how long users and nemesis are at work */
	uint64_t settle_us;		/* how long the ring may take to heal */
	uint64_t delete_us;		/* then: how long until what is not leased must have gone; 0: not looked at */
	uint64_t away_us;		/* in this time one machine is away at first, with all that it has; 0: none is */
	uint64_t latency_min, latency_max;	/* us, one way */
	uint64_t bandwidth;		/* bytes a second of a node's uplink */
	uint64_t fault_every;		/* us, on average */
	uint64_t load_every;		/* us between two things that users do */
	enum plant plant;
	bool trace, quiet;
};

/** options_of_seed(seed, o): a short run, all its parameters drawn from ${seed}. */
void options_of_seed(uint64_t seed, struct options *o);

extern const char *const fault_names[], *const part_names[], *const plant_names[PLANTS];

#endif
