/* blake2b: the hash of addresses (RFC 7693, and the personalisation of the BLAKE2 paper). */
#ifndef CHUNKER_BLAKE2B_H
#define CHUNKER_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_PERSONAL_LEN 16

/**
 * blake2b_256(personal, data, len, out): BLAKE2b with a digest of 32 bytes, no key, no salt.
 * With a ${personal} of zeros it is plain BLAKE2b-256.  ${data} may be NULL if ${len} is 0.
 *
 * libsodium has the same function, which the tests hold this one against.  But once
 * sodium_init() has run it hashes with AVX2 code that is half as fast as plain C on
 * recent AMD (0.68 against 1.3 GB/s): see DESIGN.md.
 */
void blake2b_256(const uint8_t personal[BLAKE2B_PERSONAL_LEN], const void *data, size_t len,
    uint8_t out[32]);

#endif
