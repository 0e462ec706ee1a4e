/*
 * snapshot_write: the directories that changed, written into the set anew.
 *
 * Bottom up: the directories with change records, and all above them.  Each is the old
 * directory with its changed names replaced (directory_update), so what is loaded and
 * written is the changed paths and no more.
 */
#ifndef FS_SNAPSHOT_WRITE_H
#define FS_SNAPSHOT_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/chunk.h"
#include "chunker/directory.h"
#include "fs/tree.h"

struct written {
	uint64_t *dirs;		/* these directories of the tree */
	struct ref *refs;	/* have these refs now */
	size_t n;
	/* The root as an entry, named "root"; its xattrs are in memory of this struct. */
	struct entry root;
	uint8_t *root_xattrs;
};

/** snapshot_write(reader, all, source, sink, out): 0, -ENOMEM, or what source or sink said.  With ${all}
 * every directory is written, and none is read: for where an old one is lost.  ${source} must not say
 * -EAGAIN.  snapshot_written_free(): of whatever it returned. */
int snapshot_write(struct tree_reader *reader, bool all, struct source *source,
    struct sink *sink, struct written *out);
void snapshot_written_free(struct written *w);

#endif
