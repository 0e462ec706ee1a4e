/* chunkset: a set of chunks in memory, a source and a sink that count, for tests. */
#ifndef TESTS_LIB_CHUNKSET_H
#define TESTS_LIB_CHUNKSET_H

#include <stdbool.h>
#include <stddef.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

struct chunkset_slot;

struct chunkset {
	struct source source;
	struct sink sink;
	unsigned int gets;	/* since the test last set it to 0 */
	unsigned int puts;
	bool shy;		/* every first get of a chunk says -EAGAIN */
	/* private */
	struct chunkset_slot *slots;
	size_t count;
	size_t cap;
};

/** chunkset_init(s): an empty set.  Running out of memory ends the test. */
void chunkset_init(struct chunkset *s);
void chunkset_free(struct chunkset *s);

/** chunkset_add(s, kind, data, len, out): put a copy of these bytes; their address to *${out}. */
void chunkset_add(struct chunkset *s, enum kind kind, const void *data, size_t len,
    struct address *out);

/** chunkset_get(s, kind, a): the chunk, not held for the caller, or NULL. */
struct chunk *chunkset_get(struct chunkset *s, enum kind kind, const struct address *a);

#endif
