/*
 * node: chunks that list entries, and the trees made of them.  Pure.
 *
 * An index (index.h) and a directory (directory.h) are the same kind of tree: sorted
 * entries in leaves, leaves listed by nodes, up to one root.  A leaf or node ends
 * where an entry's own content says so, so the shape depends on the entries alone
 * and an edit rewrites one path.  This module knows when a node ends, writes and
 * reads its header, and lets whole subtrees be taken over; its users know the entries.
 * After: Merkle search trees cut by content ("prolly trees", Noms, 2015).
 */
#ifndef CHUNKER_NODE_H
#define CHUNKER_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

#define NODE_HEADER_LEN	24
#define NODE_LEVELS	12	/* more than any file or directory can need */
#define NODE_PARENT_LEN_MAX 512	/* bytes of an entry above level 0 */

/*
 * Header, little-endian:
 *   0  4  magic ("dhti" index, "dhtd" directory)
 *   4  1  format, 1
 *   5  1  level, 0 for a leaf
 *   6  2  zero
 *   8  4  number of entries, at least 1 (an empty directory: 0)
 *  12  4  length of all entries in bytes
 *  16  8  total: bytes of the file, or names, below this node
 */
struct node_header {
	uint8_t level;
	uint32_t entries;
	uint32_t entries_len;
	uint64_t total;
};

/* A tree's type: what differs between an index and a directory. */
struct node_type {
	enum kind kind;
	char magic[4];
	uint32_t entries_min;	/* >= 2: a node does not end by content before it has so many */
	uint32_t entries_max;	/* and always ends with this many */
	uint32_t bytes_max;	/* or with this many bytes of entries (the entry that reaches it is
				 * in); more than any one entry has, and all fits CHUNK_MAX */
	/*
	 * parent(node, entries, first_len, address, out): the entry that lists a finished node
	 * in the level above.  The first of its entries has ${first_len} bytes.  Returns the
	 * length of what it wrote, at most NODE_PARENT_LEN_MAX.
	 */
	size_t (*parent)(const struct node_header *node, const uint8_t *entries,
	    size_t first_len, const struct address *address, uint8_t *out);
	/* child(entry, len, out): the address in an entry that parent() made. */
	void (*child)(const uint8_t *entry, size_t len, struct address *out);
	/* ends(level, entry, len): does a node of ${level} end behind this entry? */
	bool (*ends)(unsigned int level, const uint8_t *entry, size_t len);
};

/** node_open(type, chunk, out, entries): check a chunk's header and bounds; *${entries} points
 * into the chunk.  0 or -EBADMSG.  The entries themselves are the caller's to check. */
int node_open(const struct node_type *type, const struct chunk *chunk, struct node_header *out,
    const uint8_t **entries);

/** node_header_encode(type, header, out): the NODE_HEADER_LEN bytes that node_open() reads. */
void node_header_encode(const struct node_type *type, const struct node_header *header,
    uint8_t *out);

/*
 * builder: entries in, nodes out.  Nodes go to the sink as they are finished, lowest
 * first.  Not thread-safe.
 */
struct builder;

/** builder_new(type, sink): NULL where there is no memory.  Keeps ${sink}.
 *  builder_free(NULL) does nothing. */
struct builder *builder_new(const struct node_type *type, struct sink *sink);
void builder_free(struct builder *b);

/** builder_add(b, level, entry, len, weight): one entry of ${level}: at 0 a leaf's entry; above,
 * one that lists a whole node of an older tree, allowed only where builder_fresh(b, level)
 * and only if that node ended by content or at its limits.  ${weight}: what it adds to the
 * total.  0, -ENOMEM, -EINVAL (not fresh, too high a level or total, too long an entry), or what
 * the sink said; after an error the builder can only be freed. */
int builder_add(struct builder *b, unsigned int level, const uint8_t *entry, size_t len,
    uint64_t weight);

/** builder_fresh(b, level): are all levels below ${level} empty? */
bool builder_fresh(const struct builder *b, unsigned int level);

/** builder_ended(type, level, entry, len, header): did the node with this header, whose last
 * entry is ${entry}, end by content or at its limits (rather than because nothing came after)? */
bool builder_ended(const struct node_type *type, unsigned int level, const uint8_t *entry,
    size_t len, const struct node_header *header);

/** builder_finish(b, level, address, total): close all levels up to one root and return its
 * address, level and total; a level of one node has nothing above it.  No entry at all makes an
 * empty leaf.  Afterwards the builder can only be freed.  0 or -errno as builder_add. */
int builder_finish(struct builder *b, unsigned int *level, struct address *address,
    uint64_t *total);

#endif
