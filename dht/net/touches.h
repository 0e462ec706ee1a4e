/*
 * touches: which addresses somebody asked for of late, in little memory, with errors to one side only: what was touched less than
 * TOUCHES_KEPT ago is always known; what was touched more than DELETE_EPOCHS x DELETE_EPOCH ago is taken for
 * touched once in some hundred times, until the epoch whose fault that is has passed too.  Pure.
 *
 * Time is cut into epochs of DELETE_EPOCH.  Each of the last DELETE_EPOCHS has filters (Bloom 1970) of its own, the first of 1 KiB,
 * each further one four times as large, up to TOUCHED_MAX bytes in all; 16 bits an address, 11 of them set: a full one errs once in
 * 2,200 times, and at a million touches an epoch there are 42 of them: once in 55.  An epoch that is full, or for which
 * there was no memory, says yes to everything.
 */
#ifndef DHT_NET_TOUCHES_H
#define DHT_NET_TOUCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/limits.h"

#define TOUCHES_KEPT   ((DELETE_EPOCHS - 1) * DELETE_EPOCH)
#define TOUCHES_LAYERS 8u		/* 1 KiB to 16 MiB; the next one would pass TOUCHED_MAX */

struct touches {
	/* private */
	uint64_t now;			/* the number of the present epoch */
	struct touches_epoch {
		uint64_t salt;
		uint32_t count;		/* addresses in the last layer */
		unsigned int layers;
		bool full;
		uint8_t *layer[TOUCHES_LAYERS];
	} epoch[DELETE_EPOCHS];
};

/** touches_init(t): nothing was touched.  touches_free(t): its memory. */
void touches_init(struct touches *t);
void touches_free(struct touches *t);

/** touches_turn(t, uptime, salt): it is ${uptime} us now, which never falls; a new epoch is salted with ${salt}. */
void touches_turn(struct touches *t, uint64_t uptime, uint64_t salt);

void touches_add(struct touches *t, const struct address *a);
bool touches_have(const struct touches *t, const struct address *a);
size_t touches_memory(const struct touches *t);

#endif
