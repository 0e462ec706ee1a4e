/*
 * lanes: BLAKE2b-256 of many chunks, eight at a time, each in a lane of the processor's widest vectors.
 *
 * One chunk alone can't fill them: its rounds wait for each other.  Eight side by side are independent: RFC 7693's compression
 * function is written once, over vectors of eight words, one of each chunk (the way of Neves and Aumasson, "Implementing
 * BLAKE with AVX, AVX2, and XOP", section 4, for trees; here for messages that have nothing to do with each other).  Pure.
 */
#ifndef CHUNKER_LANES_H
#define CHUNKER_LANES_H

#include "chunker/address.h"
#include "chunker/blake2b.h"

#define LANES 8u

/* What of the processor is used. */
enum lanes {
	LANES_NONE,	/* nothing is quicker than one after the other */
	LANES_AVX2,
	LANES_AVX512,
};

/** lanes_best(): the most that this processor has; it has all between LANES_NONE and that. */
enum lanes lanes_best(void);

/** lanes_pay(with, jobs, n): are these hashed sooner side by side than one after the other?  That takes as long as the longest alone, several times as
 * long as for it alone. */
bool lanes_pay(enum lanes with, const struct address_job *jobs, size_t n);

/** lanes_hash(with, jobs, n, personal): the address of each of ${n}; personal[kind] is that of its kind.  Not with LANES_NONE. */
void lanes_hash(enum lanes with, struct address_job *jobs, size_t n, const uint8_t personal[][BLAKE2B_PERSONAL]);

#endif
