#include "chunker/splice.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/cut.h"
#include "chunker/feed.h"
#include "chunker/index.h"

/* While nothing is decided, less than a window, and then zeros enough to decide. */
#define CARRY_LEN (CUT_WINDOW + CUT_HOLE_MIN)

/* What a step has come to, or -errno. */
enum step {
	STEP_END = 0,
	STEP_ITEM = 1,
	STEP_ON = 2,	/* no item yet */
};

/*
 * All before the last cut is in items.  What lies between it and the feed's piece is the carry,
 * a copy; mostly there is none, and chunks are slices of the span.
 * Invariants:
 * 1. carried < CUT_WINDOW between steps.
 * 2. in_hole: the item before was a hole, and zeros that come now belong to it; carried == 0.
 * 3. same <= carried: of the carry, the last bytes, those that are of the feed's present piece.
 */
struct splice {
	struct feed feed;
	uint8_t *carry;
	size_t carried;
	size_t same;
	size_t tried;		/* so many bytes are known not to be enough for a decision */
	bool in_hole;
	bool at_cut;		/* the last cut has not been looked at for entries to keep */
};

struct splice *splice_new(struct pieces *pieces, struct source *source)
{
	struct splice *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->carry = malloc(CARRY_LEN);
	if (!s->carry) {
		free(s);
		return NULL;
	}
	feed_init(&s->feed, pieces, source);
	s->at_cut = true;
	return s;
}

void splice_free(struct splice *s)
{
	if (!s)
		return;
	feed_free(&s->feed);
	free(s->carry);
	free(s);
}

static int give_hole(uint64_t len, struct item *out)
{
	*out = (struct item){ .type = ITEM_HOLE, .len = len };
	return STEP_ITEM;
}

static int give_chunk(struct chunk *chunk, struct item *out)
{
	if (!chunk)
		return -ENOMEM;
	*out = (struct item){ .type = ITEM_CHUNK, .len = chunk->len, .chunk = chunk };
	return STEP_ITEM;
}

/* Copy the beginning of the span behind the carry. */
static void carry_copy(struct splice *s, size_t n)
{
	assert(s->carried + n <= CARRY_LEN);
	if (s->feed.span)
		memcpy(s->carry + s->carried, s->feed.span, n);
	else
		memset(s->carry + s->carried, 0, n);
}

/* What was copied belongs to the carry now. */
static void carry_grow(struct splice *s, size_t n)
{
	feed_take(&s->feed, n);
	s->carried += n;
	s->same += n;
}

/* The first ${n} bytes of the carry, and of the copy behind it, have been cut off. */
static void carry_cut(struct splice *s, size_t n)
{
	if (n >= s->carried) {
		feed_take(&s->feed, n - s->carried);
		s->carried = 0;
	} else {
		s->carried -= n;
		memmove(s->carry, s->carry + n, s->carried);
	}
	if (s->same > s->carried)
		s->same = s->carried;
	s->tried = 0;
	s->at_cut = true;
}

/*
 * Where a next try is worth it: each time with half as much more, so that many small
 * pieces don't mean that the same bytes are hashed over and over.
 */
static size_t carry_want(const struct splice *s)
{
	size_t more = s->tried / 2 > CUT_HOLE_MIN ? s->tried / 2 : CUT_HOLE_MIN;

	if (s->tried == 0)
		return CUT_MIN + CUT_HOLE_MIN;
	return s->tried + more < CUT_WINDOW ? s->tried + more : CUT_WINDOW;
}

/* Move on to a span.  STEP_ITEM: it turned out that entries can be kept; STEP_END; STEP_ON. */
static int next_span(struct splice *s, struct item *out)
{
	bool fresh = s->feed.piece.len == 0;
	int rc;

	rc = feed_piece(&s->feed);
	if (rc <= 0)
		return rc;
	if (fresh)
		s->same = 0;
	/* Asked here already, an entry that is kept need not be loaded. */
	if (s->carried == 0 && !s->in_hole) {
		s->at_cut = false;
		rc = feed_keep(&s->feed, 0, out);
		if (rc != 0)
			return rc;
	}
	rc = feed_load(&s->feed);
	return rc < 0 ? rc : STEP_ON;
}

/* In a hole: as long as zeros come, it goes on. */
static int hole_step(struct splice *s, struct item *out)
{
	struct feed *f = &s->feed;
	uint64_t zeros = f->span ? cut_zeros(f->span, (size_t)f->span_len) : f->span_len;

	if (zeros == 0) {
		s->in_hole = false;
		s->at_cut = true;
		return STEP_ON;
	}
	feed_take(f, zeros);
	return give_hole(zeros, out);
}

/* Cut the span where nothing is carried: no byte is copied unless it is undecided. */
static int span_step(struct splice *s, struct item *out)
{
	struct feed *f = &s->feed;
	bool end = f->span_len == f->piece.len && f->next.len == 0;
	enum cut_type type = CUT_UNDECIDED;
	size_t len = 0;
	int rc;

	if (f->span)
		type = cut(f->span, (size_t)f->span_len, end, &len);
	if (type == CUT_HOLE || (!f->span && f->span_len >= CUT_HOLE_MIN)) {
		s->in_hole = true;
		return hole_step(s, out);
	}
	if (type == CUT_DATA) {
		struct chunk *whole = f->piece.type == PIECE_BYTES ? f->piece.bytes : f->chunk;

		rc = give_chunk(chunk_slice(whole, (size_t)(f->span - whole->data), len), out);
		if (rc < 0)
			return rc;
		feed_take(f, len);
		s->at_cut = true;
		return rc;
	}
	carry_copy(s, (size_t)f->span_len);
	/* A cut was tried of bytes only. */
	s->tried = f->span ? (size_t)f->span_len : 0;
	carry_grow(s, (size_t)f->span_len);
	return STEP_ON;
}

/*
 * Cut the carry with as much of the span copied behind it as is wanted.  That much is
 * lent until the cut is known: it falls in there mostly, and what is behind it can
 * then be sliced again.
 */
static int carry_step(struct splice *s, struct item *out)
{
	struct feed *f = &s->feed;
	size_t want = carry_want(s), lent = 0, len;
	enum cut_type type;
	bool end;
	int rc;

	if (s->carried < want && !feed_ended(f)) {
		if (f->span_len == 0)
			return next_span(s, out);
		lent = want - s->carried;
		if (!f->span && f->span_len >= CUT_HOLE_MIN)
			lent = want = CUT_HOLE_MIN;
		if (lent > f->span_len)
			lent = (size_t)f->span_len;
		carry_copy(s, lent);
	}
	end = feed_ended(f) || (lent == f->piece.len && f->next.len == 0);
	if (s->carried + lent < want && !end) {
		carry_grow(s, lent);
		return STEP_ON;
	}
	type = cut(s->carry, s->carried + lent, end, &len);
	if (type == CUT_UNDECIDED) {
		carry_grow(s, lent);
		s->tried = s->carried;
		assert(s->tried < CUT_WINDOW);
		return STEP_ON;
	}
	if (type == CUT_HOLE) {
		s->in_hole = len == s->carried + lent;
		rc = give_hole(len, out);
	} else {
		rc = give_chunk(chunk_copy(s->carry, len), out);
	}
	if (rc > 0)
		carry_cut(s, len);
	return rc;
}

/* Is the last cut where an entry begins, from which on entries can be kept? */
static int keep_step(struct splice *s, struct item *out)
{
	int rc;

	s->at_cut = false;
	if (s->carried > s->same)
		return STEP_ON;
	rc = feed_keep(&s->feed, s->carried, out);
	if (rc == 0)
		return STEP_ON;
	s->carried = 0;
	s->same = 0;
	s->tried = 0;
	return rc;
}

int splice_next(struct splice *s, struct item *out)
{
	int rc;

	do {
		if (s->at_cut && !s->in_hole)
			rc = keep_step(s, out);
		else if (s->carried > 0)
			rc = carry_step(s, out);
		else if (s->feed.span_len == 0)
			rc = next_span(s, out);
		else if (s->in_hole)
			rc = hole_step(s, out);
		else
			rc = span_step(s, out);
	} while (rc == STEP_ON);
	return rc;
}

static int put_item(struct item *item, struct source *source, struct sink *sink,
    struct index_builder *b)
{
	struct address a;
	int rc;

	switch (item->type) {
	case ITEM_KEEP:
		return index_builder_keep(b, source, &item->ref, item->off, item->len);
	case ITEM_HOLE:
		return index_builder_hole(b, item->len);
	case ITEM_CHUNK:
		break;
	}
	address_of(KIND_DATA, item->chunk->data, item->chunk->len, &a);
	rc = sink->put(sink, KIND_DATA, &a, item->chunk);
	if (rc == 0)
		rc = index_builder_data(b, item->chunk->len, &a);
	chunk_drop(item->chunk);
	return rc;
}

int splice_all(struct pieces *pieces, struct source *source, struct sink *sink, struct ref *out)
{
	struct splice *s = splice_new(pieces, source);
	struct index_builder *b = index_builder_new(sink);
	struct item item;
	int rc = -ENOMEM;

	if (!s || !b)
		goto err;
	while ((rc = splice_next(s, &item)) > 0) {
		rc = put_item(&item, source, sink, b);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		rc = index_builder_finish(b, out);
err:
	index_builder_free(b);
	splice_free(s);
	return rc;
}
