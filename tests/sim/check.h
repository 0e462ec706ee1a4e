/* check: whether a world keeps its promises: seven checkers; those not named here stand where they are told (below). */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "tests/sim/world.h"

/*
 * 1 loss		books_acked(), confirm_reply(), fetch_reply() as it happens; check_loss() at the end
 * 2 bytes		fetch_reply()
 * 3 deletion		books_lost(), books_stored() as it happens; check_deleted() at the end
 * 4 convergence	check_settled() until it is true, within its bound; check_traffic()
 * 5 heads		writers.c
 * 6 waiting, memory	load_reply(), load.c's look at those that wait; check_memory(), all the time
 * 7 determinism	run_twice()
 */

/** check_settled(w, why, size): all views are one, every slot has exactly its owners, complete, nothing is on its way to its
 * owners, and each leased chunk that can be had lies with all R of them.  False: ${why} says what is missing. */
bool check_settled(struct world *w, char *why, size_t size);

/** check_loss(w): what was promised is there. */
void check_loss(struct world *w);

/** check_deleted(w, why, size): what no lease holds is gone from every member. */
bool check_deleted(struct world *w, char *why, size_t size);

/** check_traffic_start(w): from now on; it notes what must be moved.  check_traffic(w): bytes of chunks moved since then are
 * at most 1.7 times that, and a few chunks. */
void check_traffic_start(struct world *w);
void check_traffic(struct world *w);

/** check_memory(w): each node is within its bounds now.  check_memory_always(w): again and again. */
void check_memory(struct world *w);
void check_memory_always(struct world *w);

#endif
