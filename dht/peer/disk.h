/*
 * disk: carries out a node's effects on its disk (node.h): chunks in the store, notes on the shelf.  Threads of its own.
 *
 * Reads, checks and proofs go to worker threads.  Writes are verified by workers, appended, and gathered: one sync of the segments
 * and one commit of the shelf serve all that have come meanwhile.  What concerns one address, or one row, is carried out in
 * the order in which it came.
 *
 * When less than a sixteenth of the space is free, cached records are dropped, first those that no lease here has, and what was removed
 * is given back to the disk; so writes, and what the mount inserts past the disk, find room as long as there is any such.
 */
#ifndef DHT_PEER_DISK_H
#define DHT_PEER_DISK_H

#include "dht/net/node.h"
#include "dht/peer/shelf.h"
#include "dht/store.h"

struct disk;

struct disk_options {
	struct store *store;
	struct shelf *shelf;
	unsigned int workers;	/* threads that hash, inflate and read; 0: one a core, 2 at least */
	unsigned int adopt_s;	/* what the store got past the disk is looked for so long after the last time; 0: 600 */
	/* done(arg, e): ${e} is EVENT_DONE of an effect; e->chunk is held for whoever is told.  From any thread of the disk; must not
	 * block, nor call disk_start(). */
	void (*done)(void *arg, struct event *e);
	void *arg;
};

int disk_open(const struct disk_options *o, struct disk **out);

/** disk_close(d): carries out what it has, tells done() of all of it, ends its threads. */
void disk_close(struct disk *d);

/** disk_start(d, e): one of EFFECT_READ, _WRITE, _STATES, _CHECK, _PROVE, _SAVE, _LEASE; takes its own holds.  Never blocks;
 * done() is called exactly once, later; or from inside, with -ENOMEM. */
void disk_start(struct disk *d, const struct effect *e);

/** disk_make_room(d): unless an eighth of the space is free, drop cached records until it is, or none is left.  Blocks.  Is there some now, a
 * sixteenth at least? */
bool disk_make_room(struct disk *d);

#endif
