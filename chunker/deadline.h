/* deadline: when a wait ends. */
#ifndef CHUNKER_DEADLINE_H
#define CHUNKER_DEADLINE_H

#include <time.h>

/** deadline_in(clock, ms): ${ms} milliseconds from now, by ${clock}, as pthread_cond_timedwait() takes it. */
static inline struct timespec deadline_in(clockid_t clock, unsigned int ms)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

#endif
