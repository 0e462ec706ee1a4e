#include "fs/now.h"

#include <time.h>

struct timestamp fs_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return (struct timestamp){ .sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec };
}
