/* grown: rings that have been for long: their disks are written as their nodes would have written them by now. */
#ifndef TESTS_SIM_GROWN_H
#define TESTS_SIM_GROWN_H

#include "tests/sim/world.h"

/** grown_ring(w): all hosts of the options, none of which runs: each knows all members, and is complete. */
void grown_ring(struct world *w);

/** grown_chunks(w, n, len): ${n} chunks of ${len} bytes, all leased by one volume, all with their owners. */
void grown_chunks(struct world *w, unsigned int n, size_t len);

/** grown_start(w, us): all start within ${us}; until all know that all do, and at most ten minutes. */
bool grown_start(struct world *w, uint64_t us);

#endif
