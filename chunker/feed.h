/* feed: the pieces of a splice as runs of bytes in memory, or of zeros.  Private to splice.c. */
#ifndef CHUNKER_FEED_H
#define CHUNKER_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/index.h"
#include "chunker/splice.h"

/*
 * A piece is what remains of it: feed_take() moves its off and len.  The span is what
 * of the piece's beginning is at hand; span_len <= piece.len, 0 where nothing is.
 */
struct feed {
	struct piece piece;
	const uint8_t *span;	/* NULL: zeros */
	uint64_t span_len;
	/* private */
	struct pieces *pieces;
	struct source *source;
	struct piece next;	/* len 0: none */
	bool started;
	uint64_t total;		/* bytes of all pieces so far */
	uint64_t keep_end;	/* in piece.ref: where feed_keep() has to stop */
	struct index_cursor *cursor;
	struct ref cursor_ref;
	struct chunk *chunk;	/* the last that was loaded, since small pieces share one */
	struct address chunk_address;
};

void feed_init(struct feed *f, struct pieces *pieces, struct source *source);
void feed_free(struct feed *f);

/** feed_piece(f): when all of a piece is taken, the next one; pieces that continue each other are
 * one.  1, 0 at the end, or -errno. */
int feed_piece(struct feed *f);

/** feed_ended(f): is everything taken? */
bool feed_ended(const struct feed *f);

/** feed_load(f): get the next span of the piece (which has one).  0 or -errno. */
int feed_load(struct feed *f);

/** feed_take(f, n): the first ${n} bytes of the span are dealt with. */
void feed_take(struct feed *f, uint64_t n);

/**
 * feed_keep(f, back, out): can the entries be kept that begin ${back} bytes before the piece's
 * remaining part, in the same file, where a cut has fallen?  1 with the longest ITEM_KEEP (the
 * piece goes on behind it: what was taken beyond that is to be taken again), 0, or -errno.
 */
int feed_keep(struct feed *f, uint64_t back, struct item *out);

#endif
