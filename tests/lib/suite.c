#include "tests/lib/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t suite_seed(uint64_t usual)
{
	const char *text = getenv("SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : usual;

	printf("# SEED=%" PRIu64 "\n", seed);
	return seed;
}

void suite_begin(void)
{
	const char *only = getenv("ONLY");

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (only && *only)
		cmocka_set_test_filter(only);
	cmocka_set_message_output(CM_OUTPUT_TAP);
}
