/* keep: which of the earlier snapshots stay.  Pure. */
#ifndef FS_KEEP_H
#define FS_KEEP_H

#include <stddef.h>

#include "chunker/snapshot.h"

#define KEEP_STEPS_MAX	8u
#define KEEP_DEFAULT	"all:1h,hour:1d,day:30d"

/*
 * Up to an age of span_s, and over that of the step before, the last snapshot of each period stays
 * (period_s 0: all do).  Both rise from step to step.  What is older than all of them goes.
 */
struct keep_rule {
	unsigned int n;
	struct keep_step {
		int64_t period_s, span_s;
	} step[KEEP_STEPS_MAX];
};

/**
 * keep_parse(text, out, why, why_size): PERIOD[:SPAN],...: PERIOD is all, minute, hour, day or week; SPAN a
 * number and one of m, h, d, w, y, or nothing: for ever, which only the last may be.  Or "none".
 * -EINVAL: ${why} says to a person what is wrong.
 */
int keep_parse(const char *text, struct keep_rule *out, char *why, size_t why_size);

/**
 * keep_thin(rule, list, n, now): ${list} is oldest first, and so is what stays at its front.  Returns how
 * many stay.  Those of the future (the clock was set back) stay, unless the rule keeps none.
 */
size_t keep_thin(const struct keep_rule *rule, struct kept *list, size_t n, struct timestamp now);

#endif
