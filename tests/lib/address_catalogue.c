#include "tests/lib/address_catalogue.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, ADDRESS_LEN);
}

/* The place of the first that is not less. */
static size_t find(const struct address_catalogue *c, const struct address *a)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare(&c->a[middle], a) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t list(struct catalogue *catalogue, const struct address *from, unsigned int states, size_t n,
    struct address *out)
{
	struct address_catalogue *c = (struct address_catalogue *)catalogue;
	size_t at = from ? find(c, from) : 0, got = c->n - at < n ? c->n - at : n;

	(void)states;
	if (got)
	memcpy(out, c->a + at, got * sizeof(*out));
	c->reads += got + 1;
	return got;
}

void address_catalogue_init(struct address_catalogue *c)
{
	memset(c, 0, sizeof(*c));
	c->catalogue.list = list;
}

void address_catalogue_free(struct address_catalogue *c)
{
	free(c->a);
	c->a = NULL;
}

void address_catalogue_fill(struct address_catalogue *c, size_t n, uint64_t seed)
{
	uint8_t key[randombytes_SEEDBYTES] = { 0 };

	memcpy(key, &seed, sizeof(seed));
	free(c->a);
	c->n = n;
	c->room = n + 1;
	c->a = malloc(c->room * sizeof(*c->a));
	if (!c->a)
		abort();
	randombytes_buf_deterministic(c->a, n * sizeof(*c->a), key);
	qsort(c->a, n, sizeof(*c->a), compare);
}

bool address_catalogue_add(struct address_catalogue *c, const struct address *a)
{
	size_t at = find(c, a);

	if (at < c->n && !compare(&c->a[at], a))
		return false;
	if (c->n == c->room) {
		c->room = c->room ? 2 * c->room : 16;
		c->a = realloc(c->a, c->room * sizeof(*c->a));
		if (!c->a)
			abort();
	}
	memmove(c->a + at + 1, c->a + at, (c->n - at) * sizeof(*c->a));
	c->a[at] = *a;
	c->n++;
	return true;
}

bool address_catalogue_remove(struct address_catalogue *c, const struct address *a)
{
	size_t at = find(c, a);

	if (at == c->n || compare(&c->a[at], a))
		return false;
	memmove(c->a + at, c->a + at + 1, (c->n - at - 1) * sizeof(*c->a));
	c->n--;
	return true;
}
