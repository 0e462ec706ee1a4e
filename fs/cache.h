/* cache: decoded chunks of late, found by address; the least recently used go first. */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include <stdint.h>

#include "chunker/chunk.h"

struct cache;

/** cache_new(bytes_max): NULL: no memory.  Thread-safe; sharded, so that readers do not meet. */
struct cache *cache_new(uint64_t bytes_max);
void cache_free(struct cache *c);

/** cache_get(c, kind, a): held for the caller, or NULL. */
struct chunk *cache_get(struct cache *c, enum kind kind, const struct address *a);

/** cache_put(c, kind, a, chunk): the cache takes its own hold; ${chunk} was verified under ${kind}. */
void cache_put(struct cache *c, enum kind kind, const struct address *a, struct chunk *chunk);

/** cache_trim(c, bytes): shrink to at most ${bytes}, when idle. */
void cache_trim(struct cache *c, uint64_t bytes);

#endif
