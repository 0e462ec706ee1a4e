#include "dht/pace.h"

#include <errno.h>
#include <time.h>

#define TELL_MS 200

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void pace_begin(struct pace *p)
{
	p->began_ms = p->told_ms = now_ms();
}

int pace_step(struct pace *p, uint64_t bytes, uint64_t slowed)
{
	p->progress.done += bytes;
	p->slowed += slowed;
	for (;;) {
		int64_t at_ms = now_ms(), due_ms = at_ms;
		struct timespec nap;

		if (p->tell && at_ms - p->told_ms >= TELL_MS) {
			p->told_ms = at_ms;
			if (!p->tell(p->arg, &p->progress))
				return -ECANCELED;
		}
		if (p->bytes_per_s > 0)
			due_ms = p->began_ms + (int64_t)((double)p->slowed * 1000 / (double)p->bytes_per_s);
		if (due_ms <= at_ms)
			return 0;
		nap.tv_nsec = (due_ms - at_ms < TELL_MS ? due_ms - at_ms : TELL_MS) * 1000000;
		nap.tv_sec = 0;
		nanosleep(&nap, NULL);
	}
}
