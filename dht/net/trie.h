/*
 * trie: the leased addresses that are here, and not only cached, as a Merkle trie, so that two nodes find in few
 * bytes what one of them lacks.  It holds hashes, no addresses: those it reads from the catalogue.  Pure.
 *
 * Steps.  Put two zero bits before an address and read it in steps of four bits.  The first four steps are its slot
 * (0000 to 3fff), each further one divides what is below into 16.  A path is the first steps of an address;
 * its depth is their number; depth 4 is a slot.
 *
 * Hashes (BLAKE2b-160, personalised, zero-padded).  They follow from the set of addresses alone, whatever its history:
 *	no address below a path					20 zero bytes
 *	depth >= 4, at most TRIE_LEAF addresses below it	"dhtfs leaf": of these addresses, in order
 *	depth TRIE_DEPTH, however many				likewise
 *	all others						"dhtfs trie": of the hashes of its 16 children
 * Above depth 4 the hash is for a pair of nodes: slots that they don't share count as empty.
 *
 * Memory.  A place is remembered (hash, count) for each slot that was asked for, and for the 16 parts of what holds more
 * than TRIE_READ addresses: about one byte an address, and 0.5 MiB for a table of all slots.  What is smaller is
 * computed from the catalogue, at most TRIE_READ addresses at a time.
 */
#ifndef DHT_NET_TRIE_H
#define DHT_NET_TRIE_H

#include <string.h>

#include "dht/net/catalogue.h"
#include "dht/net/ring.h"
#include "dht/net/wire.h"

#define TRIE_CHILDREN	16u
#define TRIE_SLOT_DEPTH 4u		/* of a slot */
#define TRIE_DEPTH	16u		/* no path is longer: who wants more than TRIE_LEAF addresses there tries 2^62 hashes for each */
#define TRIE_LEAF	16u		/* a list of 10 addresses costs what 16 hashes cost; more make fewer rounds */
#define TRIE_READ	512u		/* addresses that are read, and hashed, at a time */

struct trie;

struct trie_slots {			/* a set of slots */
	uint8_t bit[RING_SLOTS / 8];
};

struct trie_part {
	struct wire_hash hash;
	uint32_t count;			/* of addresses below it */
};

/** trie_new(c, out): over catalogue ${c}, which outlives it.  -ENOMEM.  trie_free(NULL) does nothing. */
int trie_new(struct catalogue *c, struct trie **out);
void trie_free(struct trie *t);

/** trie_changed(t, a): ${a} has come, has gone, or may have.  trie_forget(t, slot): all that is remembered of a slot. */
void trie_changed(struct trie *t, const struct address *a);
void trie_forget(struct trie *t, unsigned int slot);

/** trie_allow(t, reads): of the catalogue until it is said again; the next functions pass it by TRIE_READ at most. */
void trie_allow(struct trie *t, size_t reads);

/**
 * trie_part(t, path, slots, out): the hash and count of one place.  trie_parts(): of its 16 children.  ${slots} are those
 * that the pair shares; below depth 4 it is not asked.
 * -EAGAIN: no reads are left; what was read is remembered, so the same call goes on where it was.  -ENOMEM.
 */
int trie_part(struct trie *t, const struct wire_path *path, const struct trie_slots *slots, struct trie_part *out);
int trie_parts(struct trie *t, const struct wire_path *path, const struct trie_slots *slots,
    struct trie_part out[TRIE_CHILDREN]);

/** trie_list(t, path, after, n, out): up to ${n} of the addresses below ${path}, of depth 4 or more, that are greater than ${after}
 * (NULL: all).  Reads about twice as many at most, allowed or not. */
size_t trie_list(struct trie *t, const struct wire_path *path, const struct address *after, size_t n, struct address *out);

size_t trie_memory(const struct trie *t);

/** trie_after(a, out): the least address that is greater.  False: there is none. */
bool trie_after(const struct address *a, struct address *out);

/* Paths.  trie_path_of(a, depth, out); trie_path_slot(slot, out); trie_path_child(path, i, out); trie_path_valid(path): can an
 * address have it?  trie_path_has(path, a): does ${a} lie below?  trie_slot(path): the slot that it is in (of depth 4 or more). */
void trie_path_of(const struct address *a, unsigned int depth, struct wire_path *out);
void trie_path_slot(unsigned int slot, struct wire_path *out);
void trie_path_child(const struct wire_path *path, unsigned int i, struct wire_path *out);
bool trie_path_valid(const struct wire_path *path);
bool trie_path_has(const struct wire_path *path, const struct address *a);
unsigned int trie_slot(const struct wire_path *path);

static inline bool trie_slots_have(const struct trie_slots *s, unsigned int slot)
{
	return s->bit[slot / 8] >> slot % 8 & 1;
}

static inline void trie_slots_add(struct trie_slots *s, unsigned int slot)
{
	s->bit[slot / 8] |= (uint8_t)(1u << slot % 8);
}

static inline void trie_slots_remove(struct trie_slots *s, unsigned int slot)
{
	s->bit[slot / 8] &= (uint8_t)~(1u << slot % 8);
}

/** trie_slots_next(s, slot): the first of ${s} from ${slot} on; RING_SLOTS: none. */
static inline unsigned int trie_slots_next(const struct trie_slots *s, unsigned int slot)
{
	static const uint8_t none[16];

	while (slot < RING_SLOTS && !trie_slots_have(s, slot)) {
		if (slot % 128 == 0 && !memcmp(s->bit + slot / 8, none, sizeof(none)))
			slot += 128;
		else
			slot = s->bit[slot / 8] >> slot % 8 ? slot + 1 : (slot / 8 + 1) * 8;
	}
	return slot;
}

#endif
