/*
 * shares: who brought how much of what is bounded, so that one peer does not take it all: what is kept for ever can't be had back.
 * A peer may bring one more while it has brought fewer than are still free: alone it gets half of all, two a third each, and so
 * there is always room for one who has brought little.  Since this process began: nothing of it is on the disk.
 * Source: Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches (1998).
 */
#ifndef DHT_NET_SHARES_H
#define DHT_NET_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

struct share {
	struct address id;
	uint32_t key, count;
};

/* Zeros: nobody brought anything. */
struct shares {
	struct share *share;		/* by key, then id; at most SHARES_MAX: others are not counted */
	uint32_t count, size;
};

/** shares_may(s, id, key, left): may ${id} bring one more of ${key}, of which ${left} are free?  shares_took(s, id, key): it has. */
bool shares_may(const struct shares *s, const struct address *id, uint32_t key, uint32_t left);
void shares_took(struct shares *s, const struct address *id, uint32_t key);
void shares_free(struct shares *s);
size_t shares_memory(const struct shares *s);

#endif
