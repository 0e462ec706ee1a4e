/* wire_sample: values for the fields of messages, golden ones and random ones, and knives to cut encoded messages with. */
#ifndef TESTS_LIB_WIRE_SAMPLE_H
#define TESTS_LIB_WIRE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/net/wire.h"

/** wire_sample(m, field): the standard value of ${field}, as PROTOCOL.md tells it; in static memory, and named in m->has.
 * wire_sample_random(): any value that it may have.  wire_sample_length(m, field, n): a good value of ${n} items, or
 * bytes of a slice, or more than there may be. */
void wire_sample(struct message *m, unsigned int field);
void wire_sample_random(struct message *m, unsigned int field, uint64_t *seed);
void wire_sample_length(struct message *m, unsigned int field, uint32_t n);

/** wire_equal(a, b): have they the same values, whatever they say that they have? */
bool wire_equal(const struct message *a, const struct message *b);

/** wire_find(bytes, len, field, at, n): where the field stands, and its bytes in all.  It is there, or the test ends. */
void wire_find(const uint8_t *bytes, size_t len, unsigned int field, size_t *at, size_t *n);

/** wire_beyond(m, field, len, out): ${m} encoded with a value of ${len} bytes, good or not; the length of all. */
size_t wire_beyond(struct message *m, unsigned int field, size_t len, uint8_t *out);

/** wire_random(seed, below): 0 to ${below} - 1. */
uint64_t wire_random(uint64_t *seed, uint64_t below);

struct wire_golden {
	unsigned int type;
	const char *fields;
	const char *hex;	/* NULL behind the last */
};
extern const struct wire_golden wire_goldens[];

#endif
