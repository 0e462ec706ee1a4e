/* index: the chunks of a file, in order.  Pure. */
#ifndef CHUNKER_INDEX_H
#define CHUNKER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

/*
 * Node: the header of node.h, then entries of 48 bytes: le64 length, le64 how many of
 * these bytes are not in holes, address.  In a leaf the second is the length, at most
 * CHUNK_MAX, or 0: a hole, whose address is 32 zero bytes and whose length is at least
 * CUT_HOLE_MIN.  Above, it is the sum of those below.  Lengths are at least 1; two
 * holes never touch; the sum of the lengths is the header's total, at most INT64_MAX.
 * A node ends behind an entry whose address has its last 8 bits zero once it has 256
 * entries (mean 512), and at 2048.  A root has at least two, or one hole.
 */
#define INDEX_ENTRY_LEN		48
#define INDEX_ENTRIES_MIN	256
#define INDEX_ENTRIES_MAX	2048

/* One entry of the list, with its place in the file. */
struct extent {
	uint64_t off;		/* bytes from the start of the file */
	uint64_t len;
	uint64_t data;		/* bytes of it that are not in a hole: len, or 0 */
	bool hole;
	struct address address;	/* of the data chunk; zeros for a hole */
};

/**
 * index_find(source, ref, off, out): the entry that covers byte ${off} of the file ${ref}
 * (KIND_DATA: the one chunk; KIND_INDEX: loads one node a level).  -ENXIO past the end,
 * -EBADMSG where a node is malformed or does not add up with its parent, or what the
 * source said (-EAGAIN).
 */
int index_find(struct source *source, const struct ref *ref, uint64_t off, struct extent *out);

/** index_size(root, size, data): of the file whose index has this root: bytes, and how many of them are not
 * in holes.  0 or -EBADMSG. */
int index_size(const struct chunk *root, uint64_t *size, uint64_t *data);

/*
 * A cursor walks the entries in order and keeps one path of nodes.
 */
struct index_cursor;

/** index_cursor_new(source, ref): NULL: no memory.  Copies ${ref}, keeps ${source}. */
struct index_cursor *index_cursor_new(struct source *source, const struct ref *ref);
void index_cursor_free(struct index_cursor *c);

/** index_cursor_seek(c, off): the next entry is the one that covers ${off} (at the size: the end).
 *  index_cursor_next(c, out): 1 with an entry, 0 at the end, or -errno (as index_find; after
 *  -EAGAIN the call may be made again). */
int index_cursor_seek(struct index_cursor *c, uint64_t off);
int index_cursor_next(struct index_cursor *c, struct extent *out);

/** index_read(source, ref, out): the whole of a file that is small, ref->size bytes; those of holes stay as they are.  0, -EBADMSG, or
 * what the source said. */
int index_read(struct source *source, const struct ref *ref, uint8_t *out);

/*
 * index_builder: entries in, a ref out.
 */
struct index_builder;

/** index_builder_new(sink): nodes go to ${sink}, which it keeps.  NULL: no memory. */
struct index_builder *index_builder_new(struct sink *sink);
void index_builder_free(struct index_builder *b);

/** index_builder_data(b, len, address), index_builder_hole(b, len): the next entry.  Holes that
 * touch are merged.  0 or -errno. */
int index_builder_data(struct index_builder *b, uint32_t len, const struct address *address);
int index_builder_hole(struct index_builder *b, uint64_t len);

/** index_builder_keep(b, source, ref, off, len): take over the entries of ${ref} that cover [off,
 * off + len), whole subtrees where possible; both ends must be entry boundaries (-EINVAL;
 * inside a hole they may be anywhere).  O(depth) nodes are loaded, and only these are checked.
 * After an error the builder can only be freed; so ${source} must not say -EAGAIN.  0 or -errno. */
int index_builder_keep(struct index_builder *b, struct source *source, const struct ref *ref,
    uint64_t off, uint64_t len);

/** index_builder_data_bytes(b): how many bytes of what was given are not in holes. */
uint64_t index_builder_data_bytes(const struct index_builder *b);

/** index_builder_finish(b, out): the file's ref: its one chunk, or the root of its index. */
int index_builder_finish(struct index_builder *b, struct ref *out);

#endif
