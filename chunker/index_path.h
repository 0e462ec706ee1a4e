/* index_path: the way from an index's root down to one entry.  Private to the chunker. */
#ifndef CHUNKER_INDEX_PATH_H
#define CHUNKER_INDEX_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/index.h"
#include "chunker/node.h"

extern const struct node_type index_node_type;

/** index_entry_encode(len, data, address, out): ${address} is not looked at where it is a hole (NULL). */
void index_entry_encode(uint64_t len, uint64_t data, const struct address *address,
    uint8_t out[INDEX_ENTRY_LEN]);

/** index_entry_decode(in, level, out): all but where it lies, unchecked. */
void index_entry_decode(const uint8_t in[INDEX_ENTRY_LEN], unsigned int level, struct extent *out);

/* A node on the path, checked against the entry that lists it, and one place in it. */
struct index_frame {
	struct chunk *chunk;
	const uint8_t *entries;	/* into the chunk */
	uint32_t count;
	uint8_t level;
	uint64_t start;		/* place of the first entry in the file */
	uint64_t end;		/* and of the end of the last */
	uint32_t at;		/* the current entry */
	uint64_t at_off;	/* its place in the file */
};

/*
 * frames[0] is the root, frames[depth - 1] the top, whose current entry is where the
 * path has come to.  A file of one chunk has one frame that no chunk is behind.
 */
struct index_path {
	struct source *source;
	struct ref ref;
	unsigned int depth;
	struct index_frame frames[NODE_LEVELS];
	uint8_t single[INDEX_ENTRY_LEN];
};

/** index_path_init(p, source, ref): copies ${ref}, keeps ${source}, loads nothing. */
void index_path_init(struct index_path *p, struct source *source, const struct ref *ref);
void index_path_free(struct index_path *p);

/** index_path_at(p, off): leave the nodes that do not cover ${off}, and find its entry in the
 *  lowest that does (the root is loaded where there is none).  -ENXIO past the end.
 *  index_path_down(p): load the node that the current entry lists (level > 0) and find the same
 *  offset in it.  Both: 0 or -errno as index_find, after which they may be tried again. */
int index_path_at(struct index_path *p, uint64_t off);
int index_path_down(struct index_path *p, uint64_t off);

/** index_path_level(p), index_path_entry(p, out): of the current entry; above level 0 it stands
 * for all that is below it. */
unsigned int index_path_level(const struct index_path *p);
void index_path_entry(const struct index_path *p, struct extent *out);

#endif
