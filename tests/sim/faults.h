/* faults: the nemesis: what goes wrong, and when, by seed. */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include "tests/sim/world.h"

void faults_open(struct world *w);
void faults_close(struct world *w);
void faults_start(struct world *w);

/** faults_heal(w): nothing is wrong any more: networks whole, machines on, processes running, disks with room, clocks and
 * speeds as usual; liars are evicted by the admin. */
void faults_heal(struct world *w);

#endif
