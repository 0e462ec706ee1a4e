/*
 * walks: who goes through directories of the view name by name (tar, cp -r, grep -r, find) has what comes next looked up ahead.
 *
 * A file that is shorter than a chunk is one request to the ring, and whoever reads one after the other waits for each.  So a directory whose
 * names are come to in order is looked ahead in, some names at a time and more each time: nodes of directories always,
 * the content of files only while files are read.  A directory that is entered on such a walk is looked ahead in at once.
 */
#ifndef FS_WALKS_H
#define FS_WALKS_H

#include "fs/cache.h"
#include "fs/view.h"

#define WALKS		16u	/* directories at a time: paths are rarely deeper, nor walkers more; the one of longest ago gives way */
#define WALK_NAMES_MIN	8u	/* names looked ahead in one step at first, doubled ... */
#define WALK_NAMES_MAX	64u	/* ... up to this: as many as a fetch has under way */
#define WALK_BYTES_MAX	(4u * 1024 * 1024)	/* of files in one step; or an eighth of the cache */
#define WALK_NEAR	8u	/* of two names that are read in order, the second is so far behind the first at most: others lie between */
#define WALK_UNREAD	8u	/* directories entered with no file read: so it is names that are looked for */

struct dht;
struct walks;

/** walks_new(dht, cache): NULL: no memory.  walks_free(ws): waits until nothing is under way; lookups ahead may be.  NULL: nothing. */
struct walks *walks_new(struct dht *dht, struct cache *cache);
void walks_free(struct walks *ws);

/** walks_file(ws, n): the content of ${n}, a file in a directory of the view, is asked for.  walks_directory(ws, n): ${n} is opened.  Both
 * may look ahead, and never wait.  ${n} is held by the caller. */
void walks_file(struct walks *ws, const struct view_node *n);
void walks_directory(struct walks *ws, const struct view_node *n);

#endif
