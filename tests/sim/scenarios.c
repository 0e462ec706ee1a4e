#include "tests/sim/scenarios.h"

#include <stdio.h>

bool scenario_run(const char *name, uint64_t seed)
{
	(void)seed;
	fprintf(stderr, "sim: no such scenario: %s\n", name);
	return false;
}

bool scenarios_all(uint64_t seed)
{
	(void)seed;
	return false;
}
