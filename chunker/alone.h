/*
 * alone: BLAKE2b-256 of one chunk in plain C, for processors on which that is the quickest.
 *
 * libsodium takes its AVX2 code wherever there is AVX2; on AMD's Zen 5 that does half of what its own plain code does, which it
 * has no way to be asked for.  Pure, but for the clock.
 */
#ifndef CHUNKER_ALONE_H
#define CHUNKER_ALONE_H

#include <stdbool.h>

#include "chunker/address.h"
#include "chunker/blake2b.h"

/** alone_hash(data, len, personal, out): the address of ${len} bytes. */
void alone_hash(const void *data, size_t len, const uint8_t personal[BLAKE2B_PERSONAL], struct address *out);

/** alone_pays(): is it quicker than libsodium in this process?  Measured when it is first asked, in 0.2 ms. */
bool alone_pays(void);

#endif
