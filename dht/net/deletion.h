/*
 * deletion: what no volume's lease holds goes, after a day of nobody asking for it.  Part of node_impl.h's world.
 *
 * A record goes when all of this holds:
 *   1. this process is up for DELETE_AFTER, and by its memory (touches.h) nobody touched or put the chunk for TOUCHES_KEPT of its
 *      uptime.  Wall clocks decide nothing.
 *   2. no lease that is stored here has it, and it is not FOREIGN: what its owners have not confirmed stays, whoever wants it;
 *   3. OWNED: the slot is complete here, and so many other owners at whom it is complete told us all their leases of it, less than
 *      DELETE_FRESH ago, that every majority of the owners has one who told us, or ourselves; all of them,
 *      where there are fewer than R: the others of the majority that a lease had may have left.  A lease counts when a majority
 *      has it (lease.h), so it is one of those that we were told.  One that came to count since then holds chunks that its
 *      volume has touched; where the touch did not reach us, our copy is put here again: its writer goes on until all
 *      owners have confirmed.
 *      CACHED, and the slot is not ours: no more is needed.  (What a volume of our own leases is held by that lease, see lease.h.)
 *
 * When it is gone.  With n records here, and the other owners within reach, one that nobody leases or touches is gone from this
 * node after at most DELETE_EPOCHS x DELETE_EPOCH (36 h) + DELETE_REST (1 h) + 2 x n / DELETE_WALK x DELETE_EVERY of its uptime, since
 * it was last touched or put here; but for one in about a hundred, for which touches.h errs: that one goes up to as long again
 * later, and one in ten thousand after the third time.  What is FOREIGN is put to its owners once, is CACHED here from
 * then on, and goes at both ends that time after.  Nothing brings it back: repair, spares and pushes copy what is
 * leased, and a put of the chunk is somebody's wish to have it again.
 *
 * A touch that meets a deletion.  Whether it came first is decided by this one thread: before the effect is queued, the touch is
 * remembered and the record stays; after it, deleting() is true, and whoever answers for what is here must say no.
 * A put is then carried out after the deletion, because the disk keeps the order of what concerns one address.
 */
#ifndef DHT_NET_DELETION_H
#define DHT_NET_DELETION_H

#include "dht/net/node_impl.h"
#include "dht/net/touches.h"

/** deletion_agreements(replicas, wanted): how many other owners must have told their leases (rule 3); ${wanted}: the ring's R. */
unsigned int deletion_agreements(unsigned int replicas, unsigned int wanted);

#endif
