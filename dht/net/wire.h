/*
 * wire: the one codec of what nodes say to each other (PROTOCOL.md, byte by byte).  Pure.
 *
 * A message is a type, the number of the request that it makes or answers, and fields.  A field is a number, a
 * length and a value.  A field's number means the same in every message, and so a message is one flat struct.
 * Fields come in the order of their numbers, none twice.  What a decoder does not know, or does not expect in
 * this message, it skips; what a message lacks, or has too much of, makes it bad as a whole.
 */
#ifndef DHT_NET_WIRE_H
#define DHT_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

#define WIRE_VERSION	   1u
#define WIRE_HASH	   20u		/* bytes of a hash of repair's tries: BLAKE2b-160 */
#define WIRE_CHUNK_HEAD	   6u		/* bytes before those of a chunk as it travels */
#define WIRE_BYTES_MAX	   (CHUNK_MAX + WIRE_CHUNK_HEAD)	/* of such a chunk */
#define WIRE_ADDRESSES_MAX 1024u	/* in one message */
#define WIRE_BLOB_MAX	   1024u	/* bytes of a signed record, head, lease or statement */
#define WIRE_BLOBS_MAX	   65536u	/* bytes of many of them */
#define WIRE_SUMMARY_MAX   4096u	/* members in one message */
#define WIRE_PATHS_MAX	   64u		/* places of a trie asked for in one message: 64 x 16 hashes, or addresses, come back */
#define WIRE_HASHES_MAX	   1024u	/* in one message */
#define WIRE_GOSSIP_MAX	   32u		/* suspicions in one message */
#define WIRE_MESSAGE_MAX   (512u * 1024)	/* bytes of a whole encoded message */

/* The numbers are part of the protocol. */
enum wire_type {
	/* membership: of priority control */
	WIRE_PING = 1,		/* are you there? with gossip.  seq [records] [suspicions] */
	WIRE_ACK = 2,		/* seq [records] [suspicions] */
	WIRE_PROBE = 3,		/* ping ${target} for me; answered by an ACK or NACK with my seq.  seq, target */
	WIRE_NACK = 4,		/* seq: ${target} did not answer me in time; I am well */
	WIRE_GOSSIP = 5,	/* [records] [suspicions] */
	WIRE_COMPARE = 6,	/* hash, [hashes], [rooted]: of all that I know of members; of each of its 64 parts (by the first 6
				 * bits of the id).  Same: nothing comes back */
	WIRE_SUMMARY = 7,	/* summary, [have], [rooted]: what I have; bit i: part i is told whole */
	WIRE_RECORDS = 8,	/* records */
	WIRE_WANT = 9,		/* ids: send me what you know of these.  addresses */
	WIRE_MAINTENANCE = 10,	/* target (zeros: anyone), seconds: make no spares for it so long, if it is down */
	/* requests; each is answered by WIRE_ANSWER of the same number */
	WIRE_TOUCH = 16,	/* placement, addresses, [volume]: have you? keep them.  -> status, have */
	WIRE_PUT = 17,		/* placement, address, kind, bytes, [volume], [spare].  -> status */
	WIRE_GET = 18,		/* placement, address.  -> status, [kind, bytes], [complete] */
	WIRE_AUDIT = 19,	/* placement, nonce, address.  -> status, [hash]: BLAKE2b-256(nonce || bytes),
				 * [complete] */
	/* Repair (trie.h).  Without paths: is this one hash yours, of all that we both own?  -> status: WIRE_OK: it is, WIRE_MISS:
	 * no.  In all at most 64 bytes of fields, so a field's number and length may take 3.  With paths: what have you
	 * there?  -> status, counts (a path each), and for each path in order, unless it is empty: its addresses where
	 * they are few, else the hashes of its 16 children. */
	WIRE_TRIE = 32,		/* placement, [hashes (one)] or [paths].  -> status, [counts], [hashes], [addresses] */
	WIRE_LIST = 33,		/* placement, paths (one), [address: after it].  -> status, addresses, [more] */
	/* placement, addresses, [more]: these you lack and I have (more: and others: compare with me).  -> status: WIRE_BUSY:
	 * not all were noted */
	WIRE_OFFER = 34,
	/* placement, paths (each a slot): which are complete at you?  -> status, have (a bit each), counts (each: 1 if any lease of it
	 * is here).  Or one path of depth 1: -> status, have (none), counts: 256 x 32 bits, lowest first: of each slot below it, is any
	 * lease here; then, is it complete */
	WIRE_SLOTS = 35,
	WIRE_LEASE = 40,	/* placement, lease, count (of addresses in the parts before), addresses, [more]: one part of a
				 * lease.  -> status, [complete: all of it is here]; WIRE_ENDED: statement */
	WIRE_RETIRE = 41,	/* placement, statement: signed by the volume.  -> status */
	/* placement, slot, [volume: after it].  -> status, blobs (leases), [more], [complete: the slot is, here] */
	WIRE_LEASES = 42,
	WIRE_LEASED = 43,	/* placement, slot, volume, [address: after it].  -> status, lease, addresses, [more] */
	WIRE_HEAD = 56,		/* placement, volume.  -> status, [head], [evidence]; WIRE_ENDED: statement */
	WIRE_SWAP = 57,		/* placement, volume, hash (of the head before; zeros: none), head, [evidence], [blobs: heads
				 * before it that you may lack, rising].  -> status, [head], [evidence]; WIRE_ENDED: statement */
	/* placement, slot (of volumes, and the next ones, HEAD_WINDOW in all), [volume: after it].  -> status, have (a bit a slot: all
	 * that counts is known), blobs (heads; two of one seq: both), [more] */
	WIRE_HEADS = 58,
	WIRE_ANSWER = 64,	/* status, and what the request asks for; with WIRE_PLACEMENT: placement */
};

/* Answers.  The numbers are part of the protocol. */
enum wire_status {
	WIRE_OK = 0,
	WIRE_MISS = 1,		/* not here; ${complete} tells whether that counts (see NETWORK, "a miss") */
	WIRE_OTHER_PLACEMENT = 2,	/* our tables differ: ${placement} is mine */
	WIRE_BUSY = 3,		/* over a limit: later */
	WIRE_FULL = 4,		/* no space, or the volume's share is used up */
	WIRE_BAD = 5,		/* the bytes are not those of the address; a signature is wrong */
	WIRE_FAULT = 6,		/* my disk failed */
	WIRE_NOT_OWNER = 7,	/* under this table that is not mine to say */
	WIRE_CONFLICT = 8,	/* a head: another came first; ${head} is it.  With ${evidence}: two of one seq */
	WIRE_OLD = 9,		/* a lease or head with a lower seq than what I have */
	WIRE_LEAVING = 10,	/* I take nothing new */
	WIRE_ENDED = 11,	/* the volume is retired: ${statement} */
};

struct wire_suspicion {
	struct address id;	/* of whom */
	uint64_t incarnation;	/* of the record that is doubted */
	struct address from;	/* who says so */
	bool dead;		/* not only suspect */
};

struct wire_summary {
	struct address id;
	uint64_t incarnation;
	uint8_t hash[8];	/* the first bytes of the BLAKE2b-256 of the signed record */
};

/* A place in the trie (trie.h): the first ${depth} steps of four bits, high half of a byte first; the first four are
 * the number of a slot. */
struct wire_path {
	uint8_t depth;		/* 0 to 16 */
	uint8_t nibbles[8];	/* two each; what is behind ${depth} is zero */
};

struct wire_hash {
	uint8_t b[WIRE_HASH];
};

struct wire_slice {
	const uint8_t *data;
	uint32_t len;
};

/* The numbers are part of the protocol.  FIELD_BYTES is the highest that there can be: the last of its message. */
enum wire_field {
	FIELD_SEQ = 1, FIELD_TARGET, FIELD_RECORDS, FIELD_SUSPICIONS, FIELD_HASH, FIELD_SUMMARY,
	FIELD_MORE, FIELD_PLACEMENT, FIELD_ADDRESS, FIELD_ADDRESSES, FIELD_VOLUME, FIELD_KIND, FIELD_SPARE,
	FIELD_STATUS, FIELD_HAVE, FIELD_COMPLETE, FIELD_NONCE, FIELD_PATHS, FIELD_HASHES, FIELD_COUNTS, FIELD_LEASE,
	FIELD_COUNT, FIELD_STATEMENT, FIELD_SLOT, FIELD_HEAD, FIELD_EVIDENCE, FIELD_BLOBS, FIELD_SECONDS, FIELD_ROOTED,
	FIELD_BYTES = 63,
	FIELD_END = 64,			/* one behind the last */
};
#define WIRE_HAS(field) (UINT64_C(1) << (field))

/*
 * Pointers are into the bytes that it was decoded from, or are the caller's.  What is not in ${has} is zero.
 * To encode: fields that the message must have go out in any case, the others as ${has} says; flags as they are.
 */
struct message {
	enum wire_type type;
	uint32_t request;		/* 0: membership, which has no requests */
	uint64_t has;			/* WIRE_HAS() of the fields that are there */
	uint64_t seq;
	struct address target, hash, placement, address, volume, nonce;
	struct wire_slice records;	/* wire_blob(); each one of member.h: records and evictions */
	struct wire_slice blobs;	/* likewise: leases or heads */
	struct wire_slice bytes, lease, statement, head, evidence;
	struct wire_slice have;		/* bit i (of byte i / 8, lowest first): the i-th address is there */
	const struct address *addresses;
	const struct wire_hash *hashes;
	const uint8_t *suspicions_bytes;	/* read it with wire_suspicion() */
	const uint8_t *summary_bytes;	/* wire_summary() */
	const uint8_t *paths_bytes;	/* wire_path() */
	const uint8_t *counts_bytes;	/* wire_count() */
	uint32_t suspicions, summaries, address_count, path_count, hash_count, count_count;	/* items of each */
	uint32_t count, seconds;
	uint16_t status, slot;
	uint8_t kind;
	bool more, spare, complete, rooted;	/* a flag that is false is not sent */
};

/**
 * wire_size(m), wire_encode(m, split, out, size): the bytes of a message, fields in the order of their numbers.
 * Where ${split}, both leave out the value of FIELD_BYTES: m->bytes.len counts, m->bytes.data is not read, and the caller
 * sends the bytes himself, right behind.  wire_encode() returns how many bytes were written, or -EMSGSIZE: more
 * than ${size}, or a field is longer than it may be.
 */
size_t wire_size(const struct message *m, bool split);
int wire_encode(const struct message *m, bool split, uint8_t *out, size_t size);

/**
 * wire_decode(type, request, bytes, len, out): -EBADMSG: a field that its message must have is not there, comes
 * twice or out of order, is too long or too short, or a number in it is out of range; a request without a
 * number, or membership with one; -EPROTO: a type that this version does not know (skip it).  Allocates nothing.
 */
int wire_decode(unsigned int type, uint32_t request, const uint8_t *bytes, size_t len, struct message *out);

/** wire_known(type): is it a type of this version?  wire_is_request(type): one that is answered by WIRE_ANSWER?
 * wire_takes(type, field): may, or must, such a message have ${field}? */
bool wire_known(unsigned int type);
bool wire_is_request(unsigned int type);
bool wire_takes(unsigned int type, enum wire_field field);

/* The i-th item of a decoded list; to encode: the reverse, item behind item, into the caller's buffer. */
void wire_suspicion(const struct message *m, unsigned int i, struct wire_suspicion *out);
void wire_summary(const struct message *m, unsigned int i, struct wire_summary *out);
void wire_path(const struct message *m, unsigned int i, struct wire_path *out);
uint32_t wire_count(const struct message *m, unsigned int i);
#define WIRE_SUSPICION_LEN 73u
#define WIRE_SUMMARY_LEN   48u
#define WIRE_PATH_LEN	   9u
#define WIRE_COUNT_LEN	   4u
void wire_suspicion_put(const struct wire_suspicion *s, uint8_t out[WIRE_SUSPICION_LEN]);
void wire_summary_put(const struct wire_summary *s, uint8_t out[WIRE_SUMMARY_LEN]);
void wire_path_put(const struct wire_path *p, uint8_t out[WIRE_PATH_LEN]);
void wire_count_put(uint32_t n, uint8_t out[WIRE_COUNT_LEN]);

/** wire_blob(list, at, out): the next of a list of blobs (records, blobs) from *${at}, which moves on.
 * False: no more.  wire_blob_put(): appends; its length, or -EMSGSIZE. */
bool wire_blob(const struct wire_slice *list, uint32_t *at, struct wire_slice *out);
int wire_blob_put(const void *blob, size_t len, uint8_t *out, size_t size);

/*
 * A chunk as it travels, in FIELD_BYTES, and as the effects of a node have it: hash id, codec, le32 raw length, and the
 * bytes that the codec made of it, fewer than the raw ones; or those.  Nothing here looks into it: who stores, checks
 * or reads it does (EFFECT_WRITE, EFFECT_CHECK).
 */
struct wire_chunk {
	uint8_t codec;		/* enum codec_id */
	uint32_t raw_len;
	struct wire_slice stored;
};

/** wire_chunk_read(bytes, len, out): -EBADMSG: another hash id or codec, or lengths that don't agree.  Only the address tells whether
 * these are its bytes.  wire_chunk_head(c, out): what goes before c->stored. */
int wire_chunk_read(const uint8_t *bytes, size_t len, struct wire_chunk *out);
void wire_chunk_head(const struct wire_chunk *c, uint8_t out[WIRE_CHUNK_HEAD]);

/** wire_type_name(), wire_status_name(): for the log and the trace. */
const char *wire_type_name(unsigned int type);
const char *wire_status_name(unsigned int status);

#endif
