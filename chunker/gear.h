/* gear: the table of the rolling hash.  Part of the format. */
#ifndef CHUNKER_GEAR_H
#define CHUNKER_GEAR_H

#include <stdint.h>

/*
 * gear[b]: the first 8 bytes, little-endian, of BLAKE2b-256 of the one byte b under
 * the 16-byte personalisation "dhtfsgear", padded with zeros.  No b of this table
 * makes a long run of b hit the hash test at every byte: see DESIGN.md.
 */
extern const uint64_t gear[256];

#endif
