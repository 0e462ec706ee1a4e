/*
 * layers: a file's content as it lies in memory: what is being written, over what is being
 * flushed, over what is in the set.  Pure.
 */
#ifndef FS_LAYERS_H
#define FS_LAYERS_H

#include <stdint.h>

#include "chunker/address.h"
#include "chunker/splice.h"
#include "fs/extents.h"

struct layers {
	const struct extents *top, *under;	/* NULL: none */
	const struct ref *base;
	uint64_t size;
};

/** layers_at(l, off, out): what is at ${off} < size, up to where that ends (not held). */
void layers_at(const struct layers *l, uint64_t off, struct piece *out);

/* All of it, in order: for a splice. */
struct layers_pieces {
	struct pieces pieces;
	struct layers layers;
	uint64_t off;
};
void layers_pieces_init(struct layers_pieces *p, const struct layers *l);

#endif
