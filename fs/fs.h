/* fs: one mounted volume; what its parts share. */
#ifndef FS_FS_H
#define FS_FS_H

#include "dht/dht.h"
#include "fs/cache.h"
#include "fs/checkpoint.h"
#include "fs/file.h"
#include "fs/jobs.h"
#include "fs/options.h"
#include "fs/snapshots.h"
#include "fs/tree.h"

struct byhash;
struct control;
struct fuse_session;

struct fs {
	const struct options *options;
	struct dht *dht;
	struct cache *cache;
	struct tree *tree;
	struct files *files;
	struct jobs *jobs;
	struct checkpoint *checkpoint;
	struct snapshots *snapshots;
	struct byhash *byhash;
	struct control *control;
	struct fuse_session *session;
	struct timestamp started;
};

/** fs_open(o, out, why, why_size): open the store and the tree, start all threads.  Called after the process has
 * gone to the background (threads do not survive a fork).  On failure ${why} is for a person. */
int fs_open(const struct options *o, struct fs **out, char *why, size_t why_size);

/** fs_close(fs): last snapshot and checkpoint, stop, close.  0, or the first error: what was not
 * acknowledged may be lost then. */
int fs_close(struct fs *fs);

/** fs_now(): the wall clock. */
struct timestamp fs_now(void);

#endif
