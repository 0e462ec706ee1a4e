/*
 * extents: what has been written over a range of offsets: an ordered map from places
 * to pieces of bytes, zeros, or other files.  Pure; not thread-safe.
 */
#ifndef FS_EXTENTS_H
#define FS_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/chunk.h"
#include "chunker/splice.h"

#define EXTENTS_END	((uint64_t)INT64_MAX)	/* no extent reaches further */
#define EXTENT_COST	160u	/* bytes of memory that one takes besides its data, at most */

/*
 * Invariants:
 * 1. Extents do not overlap, and none is empty.
 * 2. The memory that an extent of bytes keeps from being freed is at most twice its length and
 *    some KiB, unless there was no memory to copy it: many may share one buffer, and
 *    each of them accounts for its part.
 */
struct extents {
	struct extents_node *root;
	uint64_t cost;		/* bytes of memory, about */
	uint64_t bytes;		/* of which are data */
	uint64_t data;		/* bytes covered by pieces that are not zeros */
	uint32_t random;
};

/** extents_init(x): none.  extents_clear(x): none again. */
void extents_init(struct extents *x);
void extents_clear(struct extents *x);

/** extents_put(x, off, piece): [off, off + piece->len) is now this piece; takes its own hold.
 * Joined with the piece before it where it continues that one.  0, or -ENOMEM (nothing has
 * changed). */
int extents_put(struct extents *x, uint64_t off, const struct piece *piece);

/** extents_write(x, off, data): the same for bytes: many small writes in order are gathered in one
 * buffer, others are held. */
int extents_write(struct extents *x, uint64_t off, struct chunk *data);

/** extents_at(x, off, start, out): the first extent that ends behind ${off}: where it starts,
 * and what it is (not held).  False: there is none. */
bool extents_at(const struct extents *x, uint64_t off, uint64_t *start, struct piece *out);

/** extents_move(under, over): lay ${over} over ${under}.  -ENOMEM: what was laid is no longer in
 * ${over}, the rest still is, so that both together are what they were. */
int extents_move(struct extents *under, struct extents *over);

#endif
