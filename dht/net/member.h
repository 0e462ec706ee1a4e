/*
 * member: what a node says about itself, signed by it, and what the holder of the ring's admin key says
 * about a node.  Immutable, counted, shared by all views of one process.  Pure.
 *
 * The highest incarnation wins; of equal ones the larger bytes.  A tombstone (left, evicted) wins over
 * every record of its id, whatever the incarnation, and stays.
 */
#ifndef DHT_NET_MEMBER_H
#define DHT_NET_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/ring.h"

#define MEMBER_KEY	    32u		/* bytes of an Ed25519 public key */
#define MEMBER_SECRET	    64u
#define MEMBER_SIGNATURE    64u
#define MEMBER_ADDRESSES    4u		/* host:port texts in a record */
#define MEMBER_ADDRESS_LEN  63u
#define MEMBER_BLOB_MAX	    512u	/* bytes of an encoded record or statement */

enum member_state {
	MEMBER_HERE = 1,	/* takes part in placement */
	MEMBER_DRAINING = 2,	/* out of placement, still serves what it has */
	MEMBER_LEFT = 3,	/* for ever; said by itself */
	MEMBER_EVICTED = 4,	/* for ever; said by the admin */
};

/* What every member of a ring must agree on; all but the secret goes into the handshake's prologue. */
struct ring_file {
	struct address id;		/* random */
	uint8_t secret[32];		/* zeros: an open ring */
	uint8_t admin[MEMBER_KEY];
	uint8_t replicas, acks;		/* R, W */
	uint8_t placement_version;
};

/* All of a record, or of an eviction (then only ring, id and state mean something). */
struct member {
	/* private: holders, the signed bytes */
	uint32_t holders, len;
	uint8_t *bytes;
	/* for all to read */
	struct address id;
	uint8_t key[MEMBER_KEY];
	uint64_t incarnation;
	uint64_t instance;		/* random, of this start of the process */
	uint64_t generation;		/* random, of this store */
	enum member_state state;
	uint8_t weight;
	char zone[RING_ZONE_LEN + 1];
	char address[MEMBER_ADDRESSES][MEMBER_ADDRESS_LEN + 1];	/* "" behind the last */
	struct address hash;		/* BLAKE2b-256 of the signed bytes */
};

/** member_id(key, out): the id that belongs to a public key: BLAKE2b-256 of it, personalised "dhtfs node". */
void member_id(const uint8_t key[MEMBER_KEY], struct address *out);

/**
 * member_sign(fields, ring, secret, out): a record with the ${fields} that are for all to read (id, key and hash
 * are computed).  member_evict(ring, id, admin_secret, out): the admin's statement.  -EINVAL, -ENOMEM.
 */
int member_sign(const struct member *fields, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    struct member **out);
int member_evict(const struct address *ring, const struct address *id, const uint8_t secret[MEMBER_SECRET],
    struct member **out);

/**
 * member_read(bytes, len, ring, out): decode a record or statement without looking at its signature, which costs a
 * thousand times more.  member_verify(m, file): does its signature hold (by its own key, or by the
 * admin's for an eviction)?  -EBADMSG: malformed; another ring; an id that is not its key's.
 */
int member_read(const uint8_t *bytes, size_t len, const struct address *ring, struct member **out);
bool member_verify(const struct member *m, const struct ring_file *file);

struct member *member_hold(struct member *m);
void member_drop(struct member *m);

/** member_newer(a, b): does ${a} win over ${b} (of the same id)?  b may be NULL. */
bool member_newer(const struct member *a, const struct member *b);

/** member_place(m, out): as the ring's table wants it. */
void member_place(const struct member *m, struct ring_member *out);

#endif
