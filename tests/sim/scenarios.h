/* scenarios: runs that measure: the figures of dht/DESIGN.md. */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include <stdbool.h>
#include <stdint.h>

/** scenario_run(name, seed): one of them; prints its rows; true: each row is as good as it must be.
 * scenarios_all(seed): all of them, as one table. */
bool scenario_run(const char *name, uint64_t seed);
bool scenarios_all(uint64_t seed);

#endif
