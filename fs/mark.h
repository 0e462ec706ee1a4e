/*
 * mark: everything that a ref needs, found by walking its trees of chunks.
 *
 * Each inner node is visited once, however many files and snapshots share it: those that were are
 * known by the first 128 bits of their addresses, exactly (a false "visited" would cost all that is
 * below).  That takes 21 to 43 bytes a node, and a node stands for some 32 MiB of a file or some hundred
 * names.  Data chunks are marked, never read.
 */
#ifndef FS_MARK_H
#define FS_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

struct marker;

struct mark_options {
	struct source *source;	/* may wait */
	void (*mark)(void *arg, const struct address *a);
	bool (*go_on)(void *arg);	/* false: stop */
	void *arg;
	const char *job;	/* what the log calls it; NULL: "collection" */
};

/** marker_new(o): NULL: no memory.  Copies ${o}.  marker_free(NULL) does nothing. */
struct marker *marker_new(const struct mark_options *o);
void marker_free(struct marker *m);

/**
 * marker_ref(m, ref, what, id): mark ${ref} and all below it; ${what} and ${id} name it in the log ("inode", 17).
 * A node that is gone (-ENOENT, -EBADMSG: nobody has it, or only damaged copies) is logged and
 * counted, and what only it led to is not marked: fs/DESIGN.md says why that is right.
 * -EIO, -ETIMEDOUT or whatever else the source says: it may be there, so nothing may be collected.
 * -ECANCELED, -ENOMEM.
 */
int marker_ref(struct marker *m, const struct ref *ref, const char *what, uint64_t id);

struct marked {
	uint64_t nodes, gone;	/* visited; those of them that were gone */
};
void marker_count(const struct marker *m, struct marked *out);

#endif
