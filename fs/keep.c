#include "fs/keep.h"

#include <stdbool.h>

#define HOUR 3600
#define DAY  (24 * HOUR)
#define DAYS 30

/* Is the later of two neighbours in another period than the earlier, so that the earlier is the last of its? */
static bool last_of(const struct kept *k, const struct kept *next, int64_t period)
{
	return k->time.sec / period != next->time.sec / period;
}

size_t keep_thin(struct kept *list, size_t n, struct timestamp now)
{
	size_t stay = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t age = now.sec - list[i].time.sec;
		bool keep;

		if (age <= HOUR || i + 1 == n)
			keep = age <= (int64_t)DAYS * DAY;
		else if (age <= DAY)
			keep = last_of(&list[i], &list[i + 1], HOUR);
		else
			keep = age <= (int64_t)DAYS * DAY && last_of(&list[i], &list[i + 1], DAY);
		if (keep)
			list[stay++] = list[i];
	}
	return stay;
}
