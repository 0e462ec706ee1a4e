/*
 * world: virtual time.  One process, one queue of what happens, in the order of (time, order of being planned); one
 * seed, from which each part has a generator of its own.  What a run does follows from its options alone.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/limits.h"
#include "dht/net/member.h"
#include "tests/sim/options.h"
#include "tests/sim/sorted.h"

struct host;
struct world;

/* xoshiro256**, seeded by splitmix64 (Blackman, Vigna 2018). */
struct dice {
	uint64_t s[4];
};

void dice_seed(struct dice *d, uint64_t seed, uint64_t stream);
uint64_t dice_next(struct dice *d);
/** dice_below(d, n): evenly in 0 to ${n} - 1; 0 for 0.  dice_between(d, a, b): both included. */
uint64_t dice_below(struct dice *d, uint64_t n);
uint64_t dice_between(struct dice *d, uint64_t from, uint64_t to);
bool dice_percent(struct dice *d, unsigned int percent);
void dice_fill(struct dice *d, void *out, size_t len);

struct happening {
	uint64_t at, order;
	void (*fire)(struct world *w, void *arg, uint64_t number);
	void *arg;
	uint64_t number;
};

/* What a checker found: the first one is kept, and ends the run. */
struct verdict {
	bool failed;
	char checker[32], text[400];
	uint64_t at;
};

struct world {
	uint64_t now, order;		/* us */
	struct happening *heap;		/* from 1 */
	size_t happenings, heap_size;
	struct options options;
	struct dice dice;		/* of the world itself: who does what, when */
	struct trace *trace;
	struct ring_file file;
	struct member_table *records;	/* one object a record, whoever holds it */
	uint8_t admin_secret[MEMBER_SECRET];
	struct sorted rows;		/* disk.c's: what lies on many disks */
	struct host **host;
	unsigned int hosts, hosts_size;
	struct sorted by_id;		/* of hosts */
	struct net *net;
	struct tables *tables;
	struct books *books;
	struct load *load;
	struct faults *faults;
	struct verdict verdict;
	uint64_t events;		/* that happened */
	uint64_t traffic_before, traffic_ideal, traffic_moved;	/* check.c's: bytes of chunks */
	bool healing;			/* nothing goes wrong any more */
	size_t memory_max;		/* that any node held */
};

void world_new(const struct options *o, struct world **out);
void world_free(struct world *w);

/** world_plan(w, at, fire, arg, number): fire(w, arg, number) at ${at}, or now if that is over. */
void world_plan(struct world *w, uint64_t at, void (*fire)(struct world *w, void *arg, uint64_t number), void *arg,
    uint64_t number);

/** world_run(w, until): all that happens up to ${until}; false: a checker has failed. */
bool world_run(struct world *w, uint64_t until);

/** world_fail(w, checker, ...): a promise is broken.  The first one stands. */
void world_fail(struct world *w, const char *checker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** must(p): ${p}, or the end: a simulation does not test memory that runs out. */
void *must(void *p);

/** heap_memory(): bytes of all that is allocated. */
size_t heap_memory(void);

#endif
