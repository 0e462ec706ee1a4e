#include "dht/net/search.h"

#include "chunker/bytes.h"

#define STEP 8u		/* places: a line of cache */

uint64_t search_head(const struct address *id)
{
	return get_be64(id->b);
}

/*
 * Ids are hashes, so one is about as far in the table as on the circle: within 16 places in most cases, of 1000.  It is asked
 * for with every message, and most of what a search of the whole table touched would be in no cache.
 */
static void near(const uint64_t *heads, unsigned int count, uint64_t head, unsigned int *low, unsigned int *high)
{
	unsigned int guess = (unsigned int)((unsigned __int128)head * count >> 64), step;

	if (guess < count && heads[guess] < head) {
		*low = guess + 1;
		for (step = STEP; count - *low > step && heads[*low + step] < head; step *= 2)
			*low += step + 1;
		*high = count - *low > step ? *low + step : count;
	} else {
		*high = guess;
		for (step = STEP; *high > step && heads[*high - step] >= head; step *= 2)
			*high -= step;
		*low = *high > step ? *high - step : 0;
	}
}

unsigned int search_from(const uint64_t *heads, unsigned int count, uint64_t head)
{
	unsigned int low, high;

	near(heads, count, head, &low, &high);
	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (heads[middle] < head)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
