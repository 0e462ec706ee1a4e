#include "chunker/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct chunk *chunk_new(size_t len, uint8_t **data)
{
	struct chunk *c;
	uint8_t *bytes;

	assert(len <= UINT32_MAX);
	c = malloc(sizeof(*c) + len);
	if (!c)
		return NULL;
	bytes = (uint8_t *)(c + 1);
	*c = (struct chunk){ .data = bytes, .len = (uint32_t)len, .holders = 1 };
	*data = bytes;
	return c;
}

struct chunk *chunk_copy(const void *data, size_t len)
{
	uint8_t *bytes;
	struct chunk *c = chunk_new(len, &bytes);

	if (c && len > 0)
		memcpy(bytes, data, len);
	return c;
}

struct chunk *chunk_slice(struct chunk *parent, size_t off, size_t len)
{
	struct chunk *c;

	assert(off <= parent->len && len <= parent->len - off);
	c = malloc(sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct chunk){ .data = parent->data + off, .len = (uint32_t)len, .holders = 1 };
	/* A slice of a slice holds the bytes' owner, so that no chain of slices grows. */
	c->parent = chunk_hold(parent->parent ? parent->parent : parent);
	return c;
}

struct chunk *chunk_adopt(void *mem, size_t len, void (*release)(void *mem))
{
	struct chunk *c;

	assert(len <= UINT32_MAX);
	c = malloc(sizeof(*c));
	if (c)
		*c = (struct chunk){
			.data = mem, .len = (uint32_t)len, .holders = 1, .adopted = mem,
			.release = release,
		};
	return c;
}

struct chunk *chunk_hold(struct chunk *c)
{
	uint32_t before = __atomic_fetch_add(&c->holders, 1, __ATOMIC_RELAXED);

	assert(before > 0 && before < UINT32_MAX);
	return c;
}

void chunk_drop(struct chunk *c)
{
	while (c) {
		struct chunk *parent = c->parent;
		/* What each holder did with the bytes happens before they are freed. */
		uint32_t before = __atomic_fetch_sub(&c->holders, 1, __ATOMIC_ACQ_REL);

		assert(before > 0);
		if (before > 1)
			return;
		if (c->adopted)
			c->release(c->adopted);
		free(c);
		c = parent;
	}
}
