/*
 * lookups: chunks on their way from the set into the cache, each looked up once however
 * many want it: a reader that catches up with its own read-ahead joins that lookup.
 */
#ifndef FS_LOOKUPS_H
#define FS_LOOKUPS_H

#include "chunker/chunk.h"
#include "dht/dht.h"
#include "fs/cache.h"

struct lookups;
struct lookup;

/* Embedded by who waits. */
struct lookup_waiter {
	/* done(w, result, chunk): exactly once, from a thread of the dht; the chunk (NULL on an
	 * error) is held only during the call. */
	void (*done)(struct lookup_waiter *w, int result, struct chunk *chunk);
	/* private */
	struct lookup *lookup;
	struct lookup_waiter *next;
	bool cancelled;
};

/** lookups_new(): one for each cache, whose it is.  lookups_free(): waits until none is under
 * way. */
struct lookups *lookups_new(void);
void lookups_free(struct lookups *ls);

/**
 * lookup_start(dht, cache, kind, a, w, out): with ${w} NULL nobody waits, and it comes after all
 * others.  0: it was in the cache, *${out} is held for the caller (NULL where nobody waits),
 * ${w} is not called.  -EINPROGRESS: ${w} will be called.  -ENOMEM.
 */
int lookup_start(struct dht *dht, struct cache *cache, enum kind kind, const struct address *a,
    struct lookup_waiter *w, struct chunk **out);

/** lookup_join(cache, kind, a, w): -EINPROGRESS as lookup_start(), but only if it is on its way
 * already, else -ENOENT. */
int lookup_join(struct cache *cache, enum kind kind, const struct address *a,
    struct lookup_waiter *w);

/** lookup_cancel(cache, w): done() comes soon, from another thread, with -ECANCELED unless the
 * result was there.  Nothing happens where it is being called. */
void lookup_cancel(struct cache *cache, struct lookup_waiter *w);

#endif
