/*
 * One array in the order of (key, id), found by halves: a few hundred peers and slots at most times, and SHARES_MAX at worst.  Where
 * it is full, or there is no memory, who comes new is not counted, that is, let in: the bound of the whole still holds, and a flood
 * must not shut honest peers out.
 */
#include "dht/net/shares.h"

#include <stdlib.h>
#include <string.h>

#include "dht/net/limits.h"

/* Where it is, or would be. */
static uint32_t place(const struct shares *s, const struct address *id, uint32_t key)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct share *at = &s->share[middle];

		if (at->key < key || (at->key == key && address_compare(&at->id, id) < 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct shares *s, uint32_t i, const struct address *id, uint32_t key)
{
	return i < s->count && s->share[i].key == key && address_equal(&s->share[i].id, id);
}

bool shares_may(const struct shares *s, const struct address *id, uint32_t key, uint32_t left)
{
	uint32_t i = place(s, id, key);

	return (is_at(s, i, id, key) ? s->share[i].count : 0) < left;
}

void shares_took(struct shares *s, const struct address *id, uint32_t key)
{
	uint32_t i = place(s, id, key);

	if (is_at(s, i, id, key)) {
		s->share[i].count++;
		return;
	}
	if (s->count == SHARES_MAX)
		return;
	if (s->count == s->size) {
		uint32_t size = s->size ? 2 * s->size : 16;
		struct share *more = realloc(s->share, size * sizeof(*more));

		/* Without the memory it is not counted. */
		if (!more)
			return;
		s->share = more;
		s->size = size;
	}
	memmove(&s->share[i + 1], &s->share[i], (s->count++ - i) * sizeof(*s->share));
	s->share[i] = (struct share){ *id, key, 1 };
}

void shares_free(struct shares *s)
{
	free(s->share);
	*s = (struct shares){ .count = 0 };
}

size_t shares_memory(const struct shares *s)
{
	return s->size * sizeof(*s->share);
}
