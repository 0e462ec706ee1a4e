/* run: a plan from its first round to its last. */
#ifndef EXERCISE_RUN_H
#define EXERCISE_RUN_H

#include "tests/mount/exercise/plan.h"

#define FAILURE_LEN	4096

struct result {
	bool failed;
	char failure[FAILURE_LEN];
	uint64_t operations;
};

/**
 * run_plan(plan, base, controlled, result): in ${base}, which it makes.  If it is ${controlled}, what
 * mounts is asked to at the ends of rounds: a line "control WORD" on stdout, "ok" on stdin when
 * it is done; the words are remount, kill, start (after a kill).  If not, ends are only looked at.
 */
void run_plan(const struct plan *plan, const char *base, bool controlled, struct result *result);

#endif
