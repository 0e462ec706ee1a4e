/* shrink: the least of a plan that still fails. */
#ifndef EXERCISE_SHRINK_H
#define EXERCISE_SHRINK_H

#include "tests/mount/exercise/plan.h"

/**
 * shrink_plan(plan, fails, arg, seconds): leaves out what ${fails} can do without, in about so much
 * time.  ${fails} runs a plan, and says whether it still fails.  NULL: no memory.
 */
struct plan *shrink_plan(const struct plan *plan, bool (*fails)(const struct plan *plan, void *arg),
    void *arg, unsigned int seconds);

#endif
