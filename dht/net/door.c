#include "dht/net/door.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define PREFIX 8u	/* of an IPv6 address: what is given out to one */

static bool is_mapped(const uint8_t source[DOOR_SOURCE])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(source, mapped, sizeof(mapped)) == 0;
}

/* The loopback address shares its prefix with mapped ones, which are never compared by it alone. */
static bool same(const uint8_t a[DOOR_SOURCE], const uint8_t b[DOOR_SOURCE])
{
	return memcmp(a, b, is_mapped(a) || is_mapped(b) ? DOOR_SOURCE : PREFIX) == 0;
}

static unsigned int count_of(const struct door *d, const uint8_t source[DOOR_SOURCE])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < d->count; i++)
		n += same(d->visitor[i].source, source);
	return n;
}

static uint32_t show_out(struct door *d, unsigned int i)
{
	uint32_t link = d->visitor[i].link;

	assert(i < d->count);
	memmove(&d->visitor[i], &d->visitor[i + 1], (--d->count - i) * sizeof(d->visitor[0]));
	return link;
}

static unsigned int oldest_of(const struct door *d, const uint8_t source[DOOR_SOURCE])
{
	unsigned int i = 0;

	while (!same(d->visitor[i].source, source))
		i++;
	return i;
}

/* The oldest of the source that has the most; of sources that have as many, the oldest of all. */
static unsigned int oldest_of_most(const struct door *d)
{
	unsigned int most = 0, best = 0;

	for (unsigned int i = 0; i < d->count; i++) {
		unsigned int n = count_of(d, d->visitor[i].source);

		if (n > most) {
			most = n;
			best = i;
		}
	}
	return best;
}

uint32_t door_enter(struct door *d, const uint8_t source[DOOR_SOURCE], uint32_t link)
{
	uint32_t out = DOOR_NOBODY;

	assert(link != DOOR_NOBODY);
	if (count_of(d, source) == DOOR_SOURCE_MAX)
		out = show_out(d, oldest_of(d, source));
	else if (d->count == DOOR_MAX)
		out = show_out(d, oldest_of_most(d));
	memcpy(d->visitor[d->count].source, source, DOOR_SOURCE);
	d->visitor[d->count++].link = link;
	return out;
}

void door_leave(struct door *d, uint32_t link)
{
	for (unsigned int i = 0; i < d->count; i++) {
		if (d->visitor[i].link == link) {
			show_out(d, i);
			return;
		}
	}
}
