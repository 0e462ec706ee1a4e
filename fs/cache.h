/*
 * cache: decoded chunks of late, found by address, within a budget of their bytes.
 *
 * A chunk is first on trial: a queue whose oldest goes first, so that a long read,
 * which uses each chunk only a few times, pushes out nothing but what was on trial.
 * What is used more often is kept, the least recently used of it going back on trial
 * when it takes more than its share.
 */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/chunk.h"

struct cache;
struct lookups;

/** cache_new(bytes_max): NULL: no memory.  Thread-safe; sharded, so that readers do not meet. */
struct cache *cache_new(uint64_t bytes_max);

/** cache_free(c): waits for the lookups that are on their way into it. */
void cache_free(struct cache *c);

/** cache_get(c, kind, a): held for the caller, or NULL. */
struct chunk *cache_get(struct cache *c, enum kind kind, const struct address *a);

/** cache_has(c, kind, a): is it there?  Does not count as a use. */
bool cache_has(struct cache *c, enum kind kind, const struct address *a);

/** cache_put(c, kind, a, chunk): the cache takes its own hold; ${chunk} was verified under ${kind}.
 * Where memory is short it is not kept.  A slice keeps its parent's bytes in memory
 * uncounted: put whole chunks. */
void cache_put(struct cache *c, enum kind kind, const struct address *a, struct chunk *chunk);

/** cache_trim(c, bytes): shrink to at most ${bytes}, when idle. */
void cache_trim(struct cache *c, uint64_t bytes);

/** cache_bytes_max(c): the budget. */
uint64_t cache_bytes_max(const struct cache *c);

/** cache_lookups(c): what is on its way into it, see lookups.h. */
struct lookups *cache_lookups(struct cache *c);

#endif
