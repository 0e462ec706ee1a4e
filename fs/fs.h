/* fs: one mounted volume; what its parts share. */
#ifndef FS_FS_H
#define FS_FS_H

#include "dht/control/call.h"
#include "dht/control/ring.h"
#include "dht/dht.h"
#include "fs/cache.h"
#include "fs/checkpoint.h"
#include "fs/collector.h"
#include "fs/file.h"
#include "fs/gate.h"
#include "fs/grace.h"
#include "fs/jobs.h"
#include "fs/known.h"
#include "fs/now.h"
#include "fs/options.h"
#include "fs/parked.h"
#include "fs/roots.h"
#include "fs/snapshots.h"
#include "fs/told.h"
#include "fs/tree.h"
#include "fs/uploads.h"

#define FS_LOCK_WAIT_MS	30000u	/* for a process that is unmounted and still closes the store */

struct byhash;
struct follow;
struct fuse_session;
struct server;

/* Set by fs_open() in this order, and not changed until fs_close(). */
struct fs {
	const struct options *options;
	struct timestamp started;
	struct dht *dht;
	struct cache *cache;
	struct tree *tree;
	struct files *files;
	struct gate *gate;		/* closed while the tree is committed */
	struct checkpoint *checkpoint;
	struct snapshots *snapshots;
	/* For the collection: who inserts, who reads, and what moves meanwhile. */
	struct grace inserting, reading;
	struct roots roots;
	struct uploads uploads;
	struct collector *collector;	/* NULL: read-only */
	struct jobs *jobs;		/* what may take long */
	struct jobs *counts;		/* ... and what others are not to wait behind: as long as a file is large */
	struct parking *parking;
	struct known *known;
	struct told *told;
	bool calls_in;			/* session_calls_in(): of this kernel */
	struct byhash *byhash;
	uint8_t volume[MEMBER_KEY];	/* the public key, if ${writes} */
	bool writes;			/* the tree is a volume of a ring */
	struct follow *follow;		/* NULL: what is mounted is the tree */
	struct ring_control ring;	/* its node; no peer: it is in no ring */
	struct call_table tables[3];	/* what dhtctl can ask: of the mount, of its node */
	struct call_program program;
	struct server *server;
	struct metrics *metrics;	/* NULL: not wanted */
	struct fuse_session *session;	/* main's */
};

/**
 * fs_open(o, out, why, why_size): open the store and the tree, start all threads.  Called after
 * the process has gone to the background (threads do not survive a fork).  Keeps ${o}.  On failure ${why} is
 * for a person.
 */
int fs_open(const struct options *o, struct fs **out, char *why, size_t why_size);

/**
 * fs_close(fs): last snapshot and checkpoint, stop, close.  No request is being served any more.
 * 0, or the first error: what was not acknowledged may be lost then.
 */
int fs_close(struct fs *fs);

#endif
