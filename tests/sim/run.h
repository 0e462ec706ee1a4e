/* run: the life of one world: it is born, works while things go wrong, is healed, and judged. */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "chunker/address.h"
#include "tests/sim/load.h"
#include "tests/sim/world.h"

struct outcome {
	struct verdict verdict;
	struct address hash;		/* of the trace */
	uint64_t virtual_us, settled_us, events;	/* settled: from the healing on */
	uint64_t cpu_us;
	uint64_t traffic_ideal, traffic_moved;
	size_t memory_max;
	unsigned int chunks, hosts;
	struct load_figures figures;	/* without latencies */
};

/** run(o, out): one world, from its beginning to its verdict. */
void run(const struct options *o, struct outcome *out);

/** run_born(w): all its nodes are members and see each other, within a bound: false: they do not. */
bool run_born(struct world *w);

/** run_settled(w, us): until all is where it belongs (check_settled()), at most so long; it fails otherwise. */
bool run_settled(struct world *w, uint64_t us);

/** processor time of this process, in us. */
uint64_t cpu_now(void);

#endif
