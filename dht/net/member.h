/*
 * member: what a node says about itself, signed by it, and what the holder of the ring's admin key says
 * about a node.  Immutable, counted, shared by all views of one process.  Pure.
 *
 * The highest incarnation wins; of equal ones the larger bytes.  A tombstone (left, evicted) wins over
 * every other record of its id, whatever the incarnation, and stays; of two, the eviction wins.
 */
#ifndef DHT_NET_MEMBER_H
#define DHT_NET_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/domain.h"
#include "dht/net/ring.h"

#define MEMBER_KEY	    DOMAIN_KEY
#define MEMBER_SECRET	    DOMAIN_SECRET
#define MEMBER_SIGNATURE    DOMAIN_SIGNATURE
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
	/* private */
	uint32_t holders;		/* atomic */
	bool verified;			/* atomic: its signature was found good; never that of an eviction */
	struct member_table *table;	/* that it is in */
	struct member *next;		/* there */
	/* for all to read */
	uint8_t *bytes;			/* as signed, with the signature */
	uint32_t len;
	struct address id;
	uint8_t key[MEMBER_KEY];
	uint64_t incarnation;
	uint64_t instance;		/* random, of this start of the process */
	uint64_t generation;		/* random, of this store */
	enum member_state state;
	uint8_t protocol, placement;	/* versions: WIRE_VERSION, RING_PLACEMENT_VERSION of its program */
	uint8_t weight;
	char zone[RING_ZONE_LEN + 1];
	char address[MEMBER_ADDRESSES][MEMBER_ADDRESS_LEN + 1];	/* "" behind the last */
	struct address hash;		/* BLAKE2b-256 of the signed bytes */
};

/** member_zone_valid(zone), member_address_valid(address): can they stand in a record: at most RING_ZONE_LEN characters of printable
 * ASCII; 1 to MEMBER_ADDRESS_LEN, and no space among them? */
bool member_zone_valid(const char *zone);
bool member_address_valid(const char *address);

/** member_id(key, out): the id that belongs to a public key: BLAKE2b-256 of it, personalised "dhtfs node". */
void member_id(const uint8_t key[MEMBER_KEY], struct address *out);

/**
 * member_sign(fields, ring, secret, out): a record with these ${fields}: incarnation, instance, generation, state, weight,
 * zone, addresses; the others follow from the key and the program.  -EINVAL: one of them is out of range, or is
 * not printable ASCII (an address: without spaces); -ENOMEM.
 * member_evict(ring, id, secret, out): the admin's statement.  -ENOMEM.
 */
int member_sign(const struct member *fields, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    struct member **out);
int member_evict(const struct address *ring, const struct address *id, const uint8_t secret[MEMBER_SECRET],
    struct member **out);

/**
 * Where a process holds the views of many nodes (the simulator): equal bytes read through one table are one object,
 * which is verified once.  Not locked: for one thread.  A member leaves it with its last holder;
 * member_table_free(): when all have.
 */
struct member_table;
struct member_table *member_table_new(void);		/* NULL: no memory */
void member_table_free(struct member_table *t);

/**
 * member_read(bytes, len, ring, table, out): decode a record or statement without looking at its signature, which costs
 * a hundred times more.  ${table}: NULL: none.  -EBADMSG: malformed; of another ring.  -ENOMEM.
 * member_verify(m, file): does its signature hold: by its own key, or by the admin's for an eviction?
 */
int member_read(const uint8_t *bytes, size_t len, const struct address *ring, struct member_table *table,
    struct member **out);
bool member_verify(struct member *m, const struct ring_file *file);

struct member *member_hold(struct member *m);
void member_drop(struct member *m);

/** member_newer(a, b): does ${a} win over ${b} (of the same id)?  ${b} may be NULL.  Of equal ones, neither. */
bool member_newer(const struct member *a, const struct member *b);

/** member_place(m, out): as the ring's table wants it; not of an eviction. */
void member_place(const struct member *m, struct ring_member *out);

#endif
