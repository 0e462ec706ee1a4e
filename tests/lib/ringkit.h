/* ringkit: members to make tables of, and what is to be said about a table. */
#ifndef TESTS_LIB_RINGKIT_H
#define TESTS_LIB_RINGKIT_H

#include "dht/net/ring.h"

/** ringkit_members(m, first, n): members number ${first} to ${first} + ${n} - 1: weight 1, zone "", their id the hash of
 * "member ${number}". */
void ringkit_members(struct ring_member *m, unsigned int first, unsigned int n);

/** ringkit_build(m, n, replicas): the table; it can be made. */
struct ring *ringkit_build(const struct ring_member *m, unsigned int n, unsigned int replicas);

/** ringkit_shares(r, share): the slots that each member is due, by weight, none more than there are. */
void ringkit_shares(const struct ring *r, double *share);

/** ringkit_loads(r, load): the slots that each member has. */
void ringkit_loads(const struct ring *r, uint32_t *load);

/** ringkit_worst(r): the largest load / share. */
double ringkit_worst(const struct ring *r);

/** ringkit_moves(from, to): how many places of owners in ${to} somebody has who did not own the slot in ${from}. */
unsigned int ringkit_moves(const struct ring *from, const struct ring *to);

/** ringkit_crowded(r): slots whose owners share a zone though there are zones that none of them is in. */
unsigned int ringkit_crowded(const struct ring *r);

/** ringkit_neighbours(r): with how many others a member has a slot in common, on average. */
double ringkit_neighbours(const struct ring *r);

#endif
