/* leasekit: leases of a netkit's nodes, in the slot that their volume says.  Whatever fails here ends the test. */
#ifndef TESTS_LEASEKIT_H
#define TESTS_LEASEKIT_H

#include "dht/net/lease.h"
#include "tests/lib/volumekit.h"

/** leasekit_start(k, at, v, seq, a, count, timeout): COMMAND_LEASE of ${a} at node ${at}; its ticket.  leasekit_start_some(): of
 * the made-up addresses from the first-th on (volumekit_addresses()). */
uint64_t leasekit_start(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, const struct address *a,
    unsigned int count, uint64_t timeout);
uint64_t leasekit_start_some(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count, uint64_t timeout);

/** leasekit_result(k, ticket, within): waiting for it, at most so long.  leasekit_make(): a command of made-up ones, and that. */
int leasekit_result(struct netkit *k, uint64_t ticket, uint64_t within);
int leasekit_make(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count);

/** leasekit_put(k, i, v, seq, a, count), leasekit_put_some(): straight to the disk of node ${i}. */
void leasekit_put(struct netkit *k, unsigned int i, const struct volumekit *v, uint64_t seq, const struct address *a,
    unsigned int count);
void leasekit_put_some(struct netkit *k, unsigned int i, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count);

/** leasekit_stored(k, i, v, first, count): what its disk has: the seq (0: none), and the number of the first address and their
 * count (each may be NULL), which agree with it.  leasekit_seq(k, i, v): the seq alone. */
uint64_t leasekit_stored(struct netkit *k, unsigned int i, const struct volumekit *v, unsigned int *first, unsigned int *count);
uint64_t leasekit_seq(struct netkit *k, unsigned int i, const struct volumekit *v);

/** leasekit_pull_start(k, at, from, slot, x): leases_pull() at node ${at}.  leasekit_pull_end(k, x): until it is over. */
struct leasekit_pull {
	struct lease_pull pull;
	bool over;
	int result;
};

void leasekit_pull_start(struct netkit *k, unsigned int at, unsigned int from, unsigned int slot, struct leasekit_pull *x);
void leasekit_pull_end(struct netkit *k, struct leasekit_pull *x);

#endif
