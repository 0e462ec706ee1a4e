/* splice: from pieces of old and new content to the chunks of the new file.  Pure. */
#ifndef CHUNKER_SPLICE_H
#define CHUNKER_SPLICE_H

#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

/* The new content is the concatenation of pieces, in order. */
enum piece_type {
	PIECE_REF,	/* [off, off + len) of a file that is in the set */
	PIECE_BYTES,	/* bytes in memory */
	PIECE_ZEROS,
};

struct piece {
	enum piece_type type;
	uint64_t len;
	struct ref ref;		/* PIECE_REF */
	uint64_t off;		/* in ref or in bytes */
	struct chunk *bytes;	/* PIECE_BYTES: the splice takes a hold of its own */
};

/* next(p, out): 1 with a piece (len > 0), 0 at the end, or -errno. */
struct pieces {
	int (*next)(struct pieces *p, struct piece *out);
};

/* What the new file is made of, in order. */
enum item_type {
	ITEM_KEEP,	/* the entries of ref that cover [off, off + len), both ends boundaries */
	ITEM_CHUNK,	/* a chunk to be inserted; the receiver drops it */
	ITEM_HOLE,	/* len zeros */
};

struct item {
	enum item_type type;
	uint64_t len;
	struct ref ref;
	uint64_t off;
	struct chunk *chunk;	/* one contiguous chunk, len <= CUT_MAX */
};

/*
 * A splice cuts only what may have changed: it takes over an old file's entries from
 * a boundary that the new cutting has reached too, up to the last boundary that
 * what follows can't move (CUT_HOLE_MIN before the end of the piece, or its very end
 * where that is the end of both files), and cuts everything else again.  The result
 * is the one that cutting the whole new content would give: a property, tested.
 * New bytes are sliced, not copied, where a chunk lies within one piece.
 */
struct splice;

/** splice_new(pieces, source): keeps both; ${source} must not say -EAGAIN.  NULL: no memory. */
struct splice *splice_new(struct pieces *pieces, struct source *source);
void splice_free(struct splice *s);

/** splice_next(s, out): 1 with an item, 0 at the end, or -errno (then it can only be freed):
 * -EINVAL for a piece that is empty or runs over what it is part of, -EFBIG past INT64_MAX bytes,
 * -EBADMSG, -ENOMEM, or what pieces or source said. */
int splice_next(struct splice *s, struct item *out);

/** splice_all(pieces, source, sink, out): run a splice to its end, hash every chunk and put it and
 * the index nodes to ${sink}; *${out} is the new file's ref.  For tools and tests; the mount
 * does the same with many chunks on their way at once. */
int splice_all(struct pieces *pieces, struct source *source, struct sink *sink, struct ref *out);

#endif
