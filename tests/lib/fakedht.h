/*
 * fakedht: the functions of dht.h over a table in memory, for tests of what stands on it.
 *
 * Completions come from threads of its own, as in the real one.  A test can hold them back
 * and let them go one by one, make operations fail, and count them, so that any order of
 * events can be had without waiting for it.
 */
#ifndef TESTS_LIB_FAKEDHT_H
#define TESTS_LIB_FAKEDHT_H

#include <stdbool.h>

#include "dht/dht.h"

/** fakedht_new(threads): an empty set; out of memory ends the test.  fakedht_free(d): nothing
 * may be under way. */
struct dht *fakedht_new(unsigned int threads);
void fakedht_free(struct dht *d);

/** fakedht_put(d, kind, data, len, out): it is there, uncounted. */
void fakedht_put(struct dht *d, enum kind kind, const void *data, size_t len, struct address *out);

/** fakedht_remove(d, a): it is nowhere any more. */
void fakedht_remove(struct dht *d, const struct address *a);

/** fakedht_chunks(d): how many there are.  Collections mark exactly, and forget the rest at once. */
size_t fakedht_chunks(struct dht *d);

/** fakedht_hold(d): operations wait, also those of *_now calls, fakedht_let(d, n): ${n} of them
 * go on, oldest first, ahead ones last; fakedht_go(d): all, from now on.  fakedht_await(d, n):
 * until ${n} are held back. */
void fakedht_hold(struct dht *d);
void fakedht_let(struct dht *d, unsigned int n);
void fakedht_go(struct dht *d);
void fakedht_await(struct dht *d, unsigned int n);

/** fakedht_fail(d, inserts, lookups): from now on they fail with these (0: they do not).
 * fakedht_fail_after(d, n): but only after ${n} more have succeeded. */
void fakedht_fail(struct dht *d, int inserts, int lookups);
void fakedht_fail_after(struct dht *d, unsigned int n);

/** fakedht_space(d, bytes): what may be reserved in all; at first there is no limit. */
void fakedht_space(struct dht *d, uint64_t bytes);

struct fakedht_counts {
	unsigned int inserts, lookups, syncs;	/* done; lookups that somebody waited for */
	unsigned int aheads, cancels;		/* asked for */
	uint64_t insert_bytes;
	uint64_t reserved;	/* now */
};

/** fakedht_count(d, out): since the last call, which sets all but reserved to 0. */
void fakedht_count(struct dht *d, struct fakedht_counts *out);

#endif
