/*
 * ring: which members own which slot.  Pure: a table follows from the members and R alone, by integer
 * arithmetic, and is the same on every machine.
 *
 * The circle is the 2^64 first-8-bytes of addresses, cut into RING_SLOTS equal arcs, the slots.  A
 * member has RING_TOKENS x weight points on it, its tokens.  Its share is its weight's part of slots x R', where
 * R' = min(R, members); whose share exceeds all slots owns each, as its first owners in the order of ids, and the
 * rest is shared among the others.  For each slot in order, for each place that is left, the walk goes clockwise over
 * the tokens from the slot's start, inclusive, to the first member not yet chosen that is
 *
 *   1. in a zone that no owner of the slot is in, with less than its cap, 105 % of its share rounded up;
 *   2. if there is none: in such a zone, whatever it has;
 *   3. if there is none: below its cap;
 *   4. if there is none: the one with the least (slots it has + 1) / share; of several, the first on the walk.
 *
 * Source: consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam (2018).
 */
#ifndef DHT_NET_RING_H
#define DHT_NET_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

#define RING_SLOT_BITS	 14
#define RING_SLOTS	 (1u << RING_SLOT_BITS)
#define RING_TOKENS	 128u		/* of a member of weight 1 */
#define RING_WEIGHT_MAX	 64u
#define RING_REPLICAS_MAX 8u		/* R */
#define RING_MEMBERS_MAX 4096u
#define RING_ZONE_LEN	 31u		/* bytes of a zone's name */

struct ring_member {
	struct address id;
	uint8_t weight;			/* 1 to RING_WEIGHT_MAX */
	char zone[RING_ZONE_LEN + 1];	/* "" is a zone like any other */
};

/* Immutable once built; a member is its place in the order of ids. */
struct ring {
	unsigned int members;
	unsigned int replicas;		/* R' = min(R, members): owners a slot */
	struct ring_member *member;	/* in the order of ids */
	struct address placement;	/* hash of all that decides the table: R, and each id, weight and zone */
	uint16_t *owner;		/* RING_SLOTS x replicas; rank 0 first */
	uint32_t tokens;
	uint16_t *walk;			/* whose the tokens are, in the order of the circle */
	uint32_t *first;		/* of each slot, the first token at or behind its start; RING_SLOTS + 1 */
};

/**
 * ring_build(members, n, replicas, out): the table of ${n} members, in any order.  -EINVAL: none or too
 * many, an id twice, a weight, zone or ${replicas} out of range.  -ENOMEM.
 * ring_free(r): NULL is no ring.
 * ring_memory(r): the bytes that it takes.
 */
int ring_build(const struct ring_member *members, size_t n, unsigned int replicas, struct ring **out);
void ring_free(struct ring *r);
size_t ring_memory(const struct ring *r);

/** ring_placement(members, n, replicas, out): the hash that the table would have, without building it.
 * As ring_build() for errors. */
int ring_placement(const struct ring_member *members, size_t n, unsigned int replicas,
    struct address *out);

/** ring_token(id, i): where its token ${i} is: the first 8 bytes, big-endian, of BLAKE2b-256(${id}, le32 ${i}). */
uint64_t ring_token(const struct address *id, uint32_t i);

/** ring_slot(a): the slot of an address: its first RING_SLOT_BITS bits. */
unsigned int ring_slot(const struct address *a);

/** ring_owners(r, slot): its r->replicas owners, by rank. */
const uint16_t *ring_owners(const struct ring *r, unsigned int slot);

/** ring_owns(r, slot, member): is ${member} one of them? */
bool ring_owns(const struct ring *r, unsigned int slot, unsigned int member);

/** ring_find(r, id): the member's number, or -1. */
int ring_find(const struct ring *r, const struct address *id);

/**
 * ring_walk(r, slot, out, n): the first ${n} members in the order in which they are to keep what is in
 * ${slot}: its owners by rank, then each next one on the walk, whatever its load or zone.
 * Returns how many: fewer than ${n} where the ring has no more.
 */
unsigned int ring_walk(const struct ring *r, unsigned int slot, uint16_t *out, unsigned int n);

#endif
