/* faults_impl: what the files of the nemesis share: faults.c has machines, disks, the network and the schedule, faults_members.c who comes,
 * goes and lies. */
#ifndef TESTS_SIM_FAULTS_IMPL_H
#define TESTS_SIM_FAULTS_IMPL_H

#include "tests/sim/faults.h"

struct faults {
	struct dice dice;
	bool running, lying;
	unsigned int clogs;
};

/** fault_host(w): one at random; NULL: it is no member, or about to be none.  fault_while(w, from, to): the time in that while. */
struct host *fault_host(struct world *w);
uint64_t fault_while(struct world *w, uint64_t from, uint64_t to);
void fault_restart(struct world *w, struct host *h);

/* ---- faults_members.c ---- */

/** fault_members(w, h): somebody joins, or ${h} leaves, is evicted, drains, or is given another weight.  fault_come_back(w, h): it is as it
 * was before, and is told so.  fault_lie(w): those that lie begin. */
void fault_members(struct world *w, struct host *h);
void fault_come_back(struct world *w, struct host *h);
void fault_lie(struct world *w);

#endif
