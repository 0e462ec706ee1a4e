/*
 * collect: one collection: find all that is wanted, and have the set forget the rest.
 *
 * What is wanted: the tree of the last checkpoint, files in memory, pins, the newest snapshot, the kept ones,
 * and what comes up meanwhile.  fs/DESIGN.md, "Collection", says why nothing else is needed.
 */
#ifndef FS_COLLECT_H
#define FS_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/dht.h"

struct checkpoint;
struct files;
struct grace;
struct roots;
struct snapshots;
struct tree;
struct uploads;

/* What a collection needs to know of the mount. */
struct collect_parts {
	struct tree *tree;
	struct files *files;
	struct snapshots *snapshots;
	struct dht *dht;
	struct grace *inserting;	/* who inserts what is not to be found yet */
	struct grace *reading;		/* who reads what may be replaced meanwhile */
	struct roots *roots;
	struct uploads *uploads;
};

enum collect_phase {
	COLLECT_WAIT,	/* for flushes or reads to end */
	COLLECT_MARK,	/* inodes */
	COLLECT_REMOVE,	/* bytes */
	COLLECT_CLEAN,	/* bytes; told by the collector */
};

/* tell(arg, phase, done, total): called some times a second; false stops the collection. */
typedef bool collect_tell(void *arg, enum collect_phase phase, uint64_t done, uint64_t total);

struct collect_result {
	struct dht_gc_count garbage;	/* removed, or would be */
	struct dht_gc_count old;	/* what only kept snapshots but the newest hold, of those that stay */
	unsigned int dropped;		/* kept snapshots that went */
	uint64_t gone;			/* nodes that could not be had, see mark.h */
};

/**
 * collect(p, dry_run, need, tell, arg, out): one collection.  With ${dry_run} nothing is removed.  Where the
 * garbage is less than ${need} bytes, the oldest kept snapshots go, at least one, and as few as can be told by
 * halves: what that frees may still be less.  Waits; one at a time.  0; -EBUSY, -EROFS, -ECANCELED (by ${tell}), -ENOMEM, or what
 * could not be read or written: then nothing was removed, or not all.
 */
int collect(const struct collect_parts *p, bool dry_run, uint64_t need, collect_tell *tell,
    void *arg, struct collect_result *out);

#endif
