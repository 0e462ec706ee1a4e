/*
 * plants: faults planted for the checkers, in what a driver does, or in the disk below it: each must be caught.
 *
 * plant		what goes wrong						who must catch it
 * lose-chunk		copies vanish from all disks, for no reason		loss
 * false-ack		disks say that they wrote, and did not			loss
 * wrong-byte		disks give wrong bytes, and say that they are verified	bytes
 * delete-leased	a node deletes what is leased				deletion
 * keep-unleased	a node never deletes					deletion
 * resurrect		a copy comes back when all had gone			deletion
 * deaf-owner		a node's disk takes no chunks				convergence
 * split-view		a node never hears of others				convergence
 * waste		most chunks are sent several times			convergence
 * head-back		disks forget the newest heads				heads
 * two-heads		who may not replace a head is told that he has		heads
 * stall-command	answers to users are lost				waiting
 * greedy		a process never frees what it read into		memory
 * nondeterminism	a node's choices depend on more than the seed		determinism
 *
 * and those that lie just beyond what a checker excuses (books.h):
 *
 * lose-one-more	faults take all copies but one, which vanishes			loss
 * false-proof		who is asked for proofs is told of one more than there are	loss
 * delete-young		a node that was just started deletes a copy of many		deletion
 * forget-leases	the owners forget a lease; no disk was lost			convergence
 * resurrect-one	a copy comes back while another is still to go			deletion
 * overwrite		of a head that replaces another than the newest: it is accepted	heads
 * false-miss		who reads what owners have is told that it is nowhere		bytes
 * wrong-owner		a node keeps as an owner's what is not for it, and never looks	convergence
 * go-on		a writer goes on when there is evidence				heads
 * small-ring		who knew all acknowledges by a ring of himself alone		loss
 * slow-disk		who has a slow disk answers when that has nothing to do		waiting
 * twice		each chunk that is to be moved is moved twice			convergence
 * same-store		a store in which rows were bad does not count as a new one	heads
 * forgery		others believe that a member was evicted by who may not		convergence
 */
#ifndef TESTS_SIM_PLANTS_H
#define TESTS_SIM_PLANTS_H

#include "dht/net/node.h"
#include "tests/sim/world.h"

struct disk;

static inline bool planted(const struct world *w, enum plant p)
{
	return w->options.plant == p;
}

/** plants_load(w), plants_heal(w), plants_deleted(w): what goes wrong while users are at work, when all else is well again, or when
 * what nobody leases has gone. */
void plants_load(struct world *w);
void plants_heal(struct world *w);
void plants_deleted(struct world *w);

/** plant_write(d, result): how a write of a chunk ends that was to end with ${result}; *${skip}: it is not carried out. */
int plant_write(const struct disk *d, bool *skip);

/** plant_read(d, c): what is read instead of ${c}: a new hold, or NULL. */
struct chunk *plant_read(const struct disk *d, const struct chunk *c);

/** plant_save(d, e): a row is not written though it is said to be. */
bool plant_save(const struct disk *d, const struct effect *e);

/** plant_alone(h): ${h} knows nobody to ask when it starts. */
bool plant_alone(const struct host *h);

/** plant_deaf(h, m): what was sent to ${h} is lost within it. */
bool plant_deaf(const struct host *h, const struct link_message *m);

#endif
