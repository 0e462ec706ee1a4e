/* address: what a chunk is called.  Pure. */
#ifndef CHUNKER_ADDRESS_H
#define CHUNKER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_LEN	32			/* bytes: BLAKE2b-256 */
#define ADDRESS_TEXT_LEN (2 * ADDRESS_LEN)	/* hex digits, without the NUL */
#define REF_LEN		48			/* bytes of an encoded ref */
#define CHUNK_MAX	(256u * 1024)		/* bytes; no chunk of any kind is longer */

/* The hash that made an address.  Stands in every ref and every record header. */
enum hash_id {
	HASH_BLAKE2B_256 = 1,
};

/*
 * What a chunk holds.  Each kind but data is hashed under a personalisation of
 * its own, so that a file whose bytes imitate a directory never becomes one.
 * The numbers are part of the formats.
 */
enum kind {
	KIND_ANY = 0,		/* in a lookup only: whatever has this address */
	KIND_DATA = 1,		/* bytes of a file: the address is what b2sum -l 256 prints */
	KIND_INDEX = 2,		/* a file's chunks, see index.h */
	KIND_DIRECTORY = 3,	/* names, see directory.h */
	KIND_SNAPSHOT = 4,	/* a whole tree at a moment, see snapshot.h */
};

struct address {
	uint8_t b[ADDRESS_LEN];
};

/*
 * Enough to read a whole file or directory.  kind is that of the chunk at the
 * address: KIND_DATA for a file of one chunk (the empty file too), KIND_INDEX
 * for any other file, KIND_DIRECTORY, KIND_SNAPSHOT.  size: bytes of the file;
 * for a directory the number of its names; for a snapshot the chunk's length.
 */
struct ref {
	uint8_t hash;		/* enum hash_id */
	uint8_t kind;		/* enum kind, never KIND_ANY */
	struct address address;
	uint64_t size;
};

/** kind_valid(kind): is ${kind} one that a chunk can have?  (KIND_ANY is not.) */
bool kind_valid(unsigned int kind);

/** kind_name(kind): "data", "index", ...; "any" and "unknown" for the others. */
const char *kind_name(unsigned int kind);

/**
 * address_of(kind, data, len, out): hash ${len} bytes as a chunk of ${kind}.
 * BLAKE2b-256 (RFC 7693), for all but KIND_DATA with the 16-byte personalisation
 * "dhtfs" followed by the kind's name, padded with zeros.
 */
void address_of(enum kind kind, const void *data, size_t len, struct address *out);

struct address_job {
	enum kind kind;
	const void *data;
	size_t len;
	struct address address;	/* the result */
};

/** address_of_many(jobs, n): address_of() each; side by side where the processor has wide vectors and that is sooner: 8 of about one length take a third
 * of the time or less with AVX-512, two thirds with AVX2. */
void address_of_many(struct address_job *jobs, size_t n);

bool address_equal(const struct address *a, const struct address *b);

/** address_compare(a, b): order of the ring, as memcmp. */
int address_compare(const struct address *a, const struct address *b);

/** address_next(a, out): the one behind ${a}.  False: ${a} is the last. */
bool address_next(const struct address *a, struct address *out);

/** address_format(a, text): 64 lower-case hex digits and a NUL into ${text}. */
void address_format(const struct address *a, char text[ADDRESS_TEXT_LEN + 1]);

/** address_parse(text, out): exactly 64 hex digits of either case.  0 or -EINVAL. */
int address_parse(const char *text, struct address *out);

bool ref_equal(const struct ref *a, const struct ref *b);

/** ref_is_file(r): can ${r} be a file's content: one chunk of data, or an index of something? */
bool ref_is_file(const struct ref *r);

/** ref_empty(out): the ref of the empty file. */
void ref_empty(struct ref *out);

/**
 * ref_encode(r, out), ref_decode(in, out): the stored form of a ref, REF_LEN bytes:
 * hash id, kind, 6 zero bytes, le64 size, address.  ref_decode refuses with -EBADMSG
 * another hash id, an unknown kind, bytes that must be zero and are not, and a size over
 * CHUNK_MAX of what is one chunk (data, snapshot) or over INT64_MAX.
 */
void ref_encode(const struct ref *r, uint8_t out[REF_LEN]);
int ref_decode(const uint8_t in[REF_LEN], struct ref *out);

#endif
