/*
 * claim: all that a tree needs, told to the ring as wanted by this store's volume (dht_keep()), so that leases hold it.
 *
 * What is inserted on the volume's behalf is noted by itself.  Two trees are not: one that was restored, and one that was written
 * while its store was in no ring.  Whether there may be such is a file in the store, STORE/alone: it is there before anything
 * is written without a ring, and goes when all has been claimed.
 */
#ifndef FS_CLAIM_H
#define FS_CLAIM_H

#include "chunker/chunk.h"
#include "dht/dht.h"
#include "fs/tree.h"

struct claim {
	struct dht *dht;
	struct source *source;		/* may wait */
	void (*tell)(void *arg, uint64_t addresses);
	void *arg;
};

/** claim_snapshot(c, snapshot, kept): the snapshot, and those of the list ${kept}.  Nodes that nobody has are logged and passed over.
 * claim_tree(c, t): all that the tree needs: its files, its snapshots, pins.  0, or what the source or the set said. */
int claim_snapshot(const struct claim *c, const struct ref *snapshot, const struct ref *kept);
int claim_tree(const struct claim *c, struct tree *t);

/** claim_alone(store): it is written without a ring from now on.  claim_is_due(store): it may have been.  claim_done(store).  Durable; 0 or -errno. */
int claim_alone(const char *store);
bool claim_is_due(const char *store);
int claim_done(const char *store);

/** claim_has_key(store): has it a volume?  One that has none may have been written without a ring, too, by an earlier dhtfs. */
bool claim_has_key(const char *store);

#endif
