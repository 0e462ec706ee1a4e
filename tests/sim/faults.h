/* faults: the nemesis: what goes wrong, and when, by seed. */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include "tests/sim/world.h"

void faults_open(struct world *w);
void faults_close(struct world *w);
void faults_start(struct world *w);

/** faults_power(h, at): the power of ${h} goes at ${at}, and comes back later. */
void faults_power(struct host *h, uint64_t at);

/** faults_churn(w, restarts, changes, us): so many restarts, and so many that join, leave or are evicted, within ${us}. */
void faults_churn(struct world *w, unsigned int restarts, unsigned int changes, uint64_t us);

/** faults_heal(w): nothing is wrong any more: networks whole, machines on, processes running, disks with room, clocks and
 * speeds as usual; liars are evicted by the admin. */
void faults_heal(struct world *w);

#endif
