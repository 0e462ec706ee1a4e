/*
 * marks: which addresses are wanted: a Bloom filter.  What was marked is always found again; of what
 * was not, a few are taken for marked, others each time.
 *
 * Thread-safe: all words are atomic.
 */
#ifndef DHT_MARKS_H
#define DHT_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/address.h"

struct marks;

/**
 * marks_new(addresses): a filter for about so many.  NULL: no memory.
 *
 * It takes 20 bits an address, from 64 KiB to 64 MiB.  Up to 36 million marks (2.2 TiB in chunks of
 * 64 KiB) at most one unmarked address in a thousand is taken for marked.  Behind that the
 * filter gets no larger and the part grows: 0.7 % at 50 million, 6 % at 75, 25 % at 110.  It is
 * another part each time: they go later.
 */
struct marks *marks_new(uint64_t addresses);
void marks_free(struct marks *m);

void marks_add(struct marks *m, const struct address *a);
bool marks_has(const struct marks *m, const struct address *a);

#endif
