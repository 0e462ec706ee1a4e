/* chunk: an immutable run of bytes with a count of its holders.  Thread-safe counts. */
#ifndef CHUNKER_CHUNK_H
#define CHUNKER_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

/*
 * Bytes are written only by whoever made the chunk, before anyone else holds it.
 * A slice shares its parent's bytes and holds the parent.
 */
struct chunk {
	const uint8_t *data;
	uint32_t len;
	/* private */
	uint32_t holders;	/* atomic */
	struct chunk *parent;
	void *adopted;
	void (*release)(void *adopted);
};

/** chunk_new(len, data): ${len} fresh bytes, writable through *${data}.  NULL: no memory. */
struct chunk *chunk_new(size_t len, uint8_t **data);

/** chunk_copy(data, len): a chunk that holds a copy.  NULL: no memory. */
struct chunk *chunk_copy(const void *data, size_t len);

/** chunk_slice(parent, off, len): part of ${parent}, which it holds.  NULL: no memory. */
struct chunk *chunk_slice(struct chunk *parent, size_t off, size_t len);

/** chunk_adopt(mem, len, release): the ${len} bytes at ${mem}; release(mem) is called when the last holder has
 * gone, from any thread.  NULL: no memory; then ${mem} is still the caller's. */
struct chunk *chunk_adopt(void *mem, size_t len, void (*release)(void *mem));

/** chunk_hold(c): one more holder; returns ${c}. */
struct chunk *chunk_hold(struct chunk *c);

/** chunk_drop(c): one holder less; the last one frees it.  chunk_drop(NULL) does nothing. */
void chunk_drop(struct chunk *c);

/*
 * Where the readers of trees (index.h, directory.h, view of snapshots) get their
 * chunks.  get() hands out a held chunk whose bytes have been verified against
 * ${a} under ${kind}.  It may
 *   return 0            and set *${out};
 *   return -EAGAIN      where it does not block and the chunk is not at hand: the
 *                       caller gives the same up, its state unchanged, and the
 *                       whole call is made again once the chunk has been fetched;
 *   return -errno       -ENOENT nobody has it, -EBADMSG, -EIO, -ETIMEDOUT ...
 * Implementations embed this struct.
 */
struct source {
	int (*get)(struct source *s, enum kind kind, const struct address *a, struct chunk **out);
};

/*
 * Where the writers of trees leave the nodes that they make.  put() takes its own
 * hold on ${c} if it keeps it; ${a} is the address, already computed.  0 or -errno.
 */
struct sink {
	int (*put)(struct sink *s, enum kind kind, const struct address *a, struct chunk *c);
};

#endif
