#include "dht/net/door.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "chunker/bytes.h"

/* The loopback address shares its prefix with mapped ones, whose rest is never 0.  As numbers: in a flood all are compared with all. */
static struct door_source source_of(const uint8_t bytes[DOOR_SOURCE])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct door_source s = { .prefix = get_be64(bytes) };

	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		s.rest = get_be64(bytes + 8);
	return s;
}

static bool same(struct door_source a, struct door_source b)
{
	return a.prefix == b.prefix && a.rest == b.rest;
}

static unsigned int count_of(const struct door *d, struct door_source source)
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

static unsigned int oldest_of(const struct door *d, struct door_source source)
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
	struct door_source from = source_of(source);
	uint32_t out = DOOR_NOBODY;

	assert(link != DOOR_NOBODY);
	if (count_of(d, from) == DOOR_SOURCE_MAX)
		out = show_out(d, oldest_of(d, from));
	else if (d->count == DOOR_MAX)
		out = show_out(d, oldest_of_most(d));
	d->visitor[d->count++] = (struct visitor){ from, link };
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
