/* volumekit: volumes, with their keys, and what they sign: heads, leases, their end.  Whatever fails here ends the test. */
#ifndef TESTS_VOLUMEKIT_H
#define TESTS_VOLUMEKIT_H

#include "dht/net/signed.h"
#include "tests/lib/netkit.h"

#define VOLUMEKIT_SLOT 4321u

struct volumekit {
	struct address ring, id;
	unsigned int slot;		/* of its leases (leasekit.h): VOLUMEKIT_SLOT, unless a test says otherwise */
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
};

/** volumekit_make(k, number, out): always the same one. */
void volumekit_make(const struct netkit *k, uint64_t number, struct volumekit *out);

/** volumekit_head(v, seq, previous, tag): ${previous}: the head before (NULL: none); heads of other tags differ. */
struct chunk *volumekit_head(const struct volumekit *v, uint64_t seq, const struct chunk *previous, uint64_t tag);

/** volumekit_hash(head, out): NULL: zeros. */
void volumekit_hash(const struct chunk *head, struct address *out);

/** volumekit_chain(v, out, count, before, tag): ${count} of them, each going on from the one before, of ${tag}.
 * volumekit_drop(chain, count).  volumekit_read(v, c): what one says, until ${c} goes. */
void volumekit_chain(const struct volumekit *v, struct chunk **out, unsigned int count, const struct chunk *before, uint64_t tag);
void volumekit_drop(struct chunk **chain, unsigned int count);
struct head volumekit_read(const struct volumekit *v, const struct chunk *c);

/** volumekit_lease(v, slot, seq, addresses, count): ${addresses} in order.  volumekit_end(v). */
struct chunk *volumekit_lease(const struct volumekit *v, unsigned int slot, uint64_t seq, const struct address *addresses,
    uint32_t count);
struct chunk *volumekit_end(const struct volumekit *v);

/** volumekit_swap(k, at, v, head, previous, timeout): COMMAND_SWAP at node ${at}, and its result.
 * volumekit_ask(k, at, v, expected): COMMAND_HEAD; 0: it is ${expected}.  -EUCLEAN: with two of one seq. */
int volumekit_swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head, const struct chunk *previous,
    uint64_t timeout);
int volumekit_ask(struct netkit *k, unsigned int at, const struct volumekit *v, const struct chunk *expected);

/** volumekit_retire(k, at, v): COMMAND_RETIRE, and its result. */
int volumekit_retire(struct netkit *k, unsigned int at, const struct volumekit *v);

/** volumekit_addresses(slot, first, count, out): the first-th and following of the made-up addresses in ${slot}, in order. */
void volumekit_addresses(unsigned int slot, unsigned int first, unsigned int count, struct address *out);

#endif
