/*
 * record: one chunk as it lies in a segment: a header of 64 bytes, then its bytes.  A gap is a
 * header too, of what is no record any more.  Pure.
 */
#ifndef DHT_RECORD_H
#define DHT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/codec.h"

#define RECORD_HEADER	64u		/* bytes before the chunk's */
#define RECORD_ALIGN	64u		/* a record starts at a multiple of this */
#define SEGMENT_MAX	(256u << 20)	/* bytes; no segment is longer */

/*
 * Invariants of one that record_decode(), or the ledger, handed out:
 * 1. kind_valid(kind); codec is CODEC_RAW or CODEC_ZLIB; hash is HASH_BLAKE2B_256.
 * 2. raw_len <= CHUNK_MAX; stored_len == raw_len under CODEC_RAW, else 0 < stored_len < raw_len.
 * 3. offset is a multiple of RECORD_ALIGN, and the record ends at or before SEGMENT_MAX.
 */
struct record {
	struct address address;
	uint32_t segment;
	uint32_t offset;	/* of the header, in the segment */
	uint32_t raw_len;	/* bytes of the chunk */
	uint32_t stored_len;	/* bytes behind the header */
	uint8_t hash;		/* enum hash_id */
	uint8_t kind;		/* enum kind */
	uint8_t codec;		/* enum codec_id */
	bool bad;		/* its bytes failed their address: set aside, never handed out */
};

/** record_span(stored_len): bytes from one record's start to where the next can start. */
uint32_t record_span(uint32_t stored_len);

/** record_valid(r): do the invariants hold? */
bool record_valid(const struct record *r);

/** record_same_place(a, b): are they one record on disk? */
bool record_same_place(const struct record *a, const struct record *b);

/** record_encode(r, store_id, out): ${r} as a header of the store with ${store_id}. */
void record_encode(const struct record *r, uint64_t store_id, uint8_t out[RECORD_HEADER]);

/** record_magic(in): could this be a header?  For a quick search. */
bool record_magic(const uint8_t *in);

/**
 * record_decode(in, segment, offset, store_id, out): the header found at this place.  -EBADMSG
 * where it is none, is damaged, or was written for another place or store.
 */
int record_decode(const uint8_t in[RECORD_HEADER], uint32_t segment, uint32_t offset,
    uint64_t store_id, struct record *out);

/**
 * gap_encode(segment, offset, span, store_id, out): the header that says: ${span} bytes from here on,
 * it among them, are dead; most of them may be a hole.  gap_decode(): as record_decode(); *${span} is set
 * only where it returns 0.
 */
void gap_encode(uint32_t segment, uint32_t offset, uint32_t span, uint64_t store_id,
    uint8_t out[RECORD_HEADER]);
int gap_decode(const uint8_t in[RECORD_HEADER], uint32_t segment, uint32_t offset,
    uint64_t store_id, uint32_t *span);

/** record_store_id(in, segment, offset, store_id): which store wrote this header, or gap?
 * -EBADMSG where it is no intact one of this place. */
int record_store_id(const uint8_t in[RECORD_HEADER], uint32_t segment, uint32_t offset,
    uint64_t *store_id);

/**
 * record_verify(r, kind, stored, codec, raw): do the ${stored} bytes of ${r} have its address
 * under ${kind}?  ${raw} takes the inflated bytes (r->raw_len) where ${r} is compressed.
 * 0 or -EBADMSG.
 */
int record_verify(const struct record *r, enum kind kind, const uint8_t *stored,
    struct codec *codec, uint8_t *raw);

#endif
