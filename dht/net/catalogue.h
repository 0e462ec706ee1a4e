/*
 * catalogue: what a node knows of its own disk, answered at once: an index, in memory or mapped.  The node reads
 * it here, and changes it by effects (node.h); a change is visible when its EVENT_DONE has come in.
 *
 * Rows and leases are given as they were saved, or not at all: each has a sum.  Where one does not fit it when the store is opened (bits
 * flipped, a write that was torn), all of them are given up, by a person, and with them what they said of this node's knowledge: which
 * slots are complete, which heads count.  Whoever has forgotten a row must not count as one who knows.  One that is found bad
 * later is not given, and none of them after the next start.
 */
#ifndef DHT_NET_CATALOGUE_H
#define DHT_NET_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

/* Of a record; 0: not here.  OWNED and FOREIGN together: ours, and the other owners have not all confirmed yet (we
 * wrote it); CACHED stands alone. */
enum catalogue_state {
	STATE_OWNED = 1,	/* its slot is ours */
	STATE_FOREIGN = 2,	/* not all R owners have confirmed: never evicted */
	STATE_CACHED = 4,	/* not ours, confirmed: may go when space is wanted */
	STATE_LEASED = 8,	/* kept by the catalogue itself: some volume's current lease here has it */
	STATE_WANTED = 16,	/* likewise, told by state() only: the volume that is written here wants it, and no lease of it has it yet */
};
#define STATE_ANY (STATE_OWNED | STATE_FOREIGN | STATE_CACHED)

/* Small durable things: members, our incarnation, heads, the tables of slots that are complete. */
struct catalogue_row_key {
	uint8_t table;			/* enum catalogue_table */
	struct address key;
};

enum catalogue_table {
	ROW_SELF = 1,		/* key zeros: our incarnation */
	ROW_MEMBER = 2,		/* by id: the signed record or statement */
	ROW_HEAD = 3,		/* by volume */
	ROW_HEAD_SEEN = 4,	/* by volume: the highest that we as a reader saw */
	ROW_COMPLETE = 5,	/* key zeros: which slots are complete since when */
	ROW_RETIRED = 6,	/* by volume: its signed end */
	ROW_VOLUME = 7,		/* by volume: its leases were made here, so they stay here too, whoever owns their slots */
	ROW_LEASING = 8,	/* by volume, the slot xored into its end: a lease that not all its owners have yet (lease.c) */
	ROW_HEADS = 9,		/* key zeros: the slots whose heads count here, under which table (heads_slots.c) */
};

struct catalogue_lease {
	struct address volume;
	uint16_t slot;
	uint64_t seq;
	struct chunk *blob;		/* the signed lease (lease.h); NULL: remove it (retired) */
	const struct address *addresses;	/* in order */
	uint32_t count;
};

struct catalogue {
	/** state(c, a): enum catalogue_state bits; 0: not here. */
	unsigned int (*state)(struct catalogue *c, const struct address *a);

	/** list(c, from, states, n, out): up to ${n} addresses >= ${from} (NULL: the first), in order, that are here with any of
	 * the bits of ${states}.  With STATE_LEASED alone: those that are leased, here or not.  With STATE_LEASED and others:
	 * those that are leased, and here with any of the others. */
	size_t (*list)(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out);

	/** leased(c, a): does any volume's lease have it? */
	bool (*leased)(struct catalogue *c, const struct address *a);

	/** row(c, key): held for the caller; NULL: none.  rows(c, table, after, out): the next key behind ${after}
	 * (NULL: the first); false: no more. */
	struct chunk *(*row)(struct catalogue *c, const struct catalogue_row_key *key);
	bool (*rows)(struct catalogue *c, uint8_t table, const struct address *after, struct address *out);

	/** lease(c, volume, slot): its signed bytes, held; NULL: none.  lease_next(): the next volume with a lease in ${slot}
	 * behind ${after} (NULL: the first).  lease_list(): up to ${n} of its addresses >= ${from}. */
	struct chunk *(*lease)(struct catalogue *c, const struct address *volume, unsigned int slot);
	bool (*lease_next)(struct catalogue *c, unsigned int slot, const struct address *after, struct address *volume);
	size_t (*lease_list)(struct catalogue *c, const struct address *volume, unsigned int slot,
	    const struct address *from, size_t n, struct address *out);

	/** space(c): bytes that can still be written.  volume_bytes(c, volume): stored bytes of what is here and was first
	 * written (EFFECT_WRITE) on its behalf. */
	uint64_t (*space)(struct catalogue *c);
	uint64_t (*volume_bytes)(struct catalogue *c, const struct address *volume);
};

#endif
