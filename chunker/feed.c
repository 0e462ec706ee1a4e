#include "chunker/feed.h"

#include <assert.h>
#include <errno.h>

#include "chunker/cut.h"

void feed_init(struct feed *f, struct pieces *pieces, struct source *source)
{
	*f = (struct feed){ .pieces = pieces, .source = source };
}

static void drop_piece(struct piece *p)
{
	if (p->len > 0 && p->type == PIECE_BYTES)
		chunk_drop(p->bytes);
	p->len = 0;
}

void feed_free(struct feed *f)
{
	drop_piece(&f->next);
	if (f->piece.type == PIECE_BYTES)
		chunk_drop(f->piece.bytes);
	chunk_drop(f->chunk);
	index_cursor_free(f->cursor);
}

static bool piece_valid(const struct piece *p)
{
	uint64_t room = UINT64_MAX;

	if (p->type == PIECE_REF)
		room = p->ref.size;
	else if (p->type == PIECE_BYTES)
		room = p->bytes->len;
	if (p->len == 0)
		return false;
	return p->type == PIECE_ZEROS || (p->off <= room && p->len <= room - p->off);
}

/* Fetch the piece after the current one; next.len stays 0 where there is none. */
static int fetch(struct feed *f)
{
	int rc = f->pieces->next(f->pieces, &f->next);

	if (rc <= 0) {
		f->next.len = 0;
		return rc;
	}
	if (!piece_valid(&f->next)) {
		f->next.len = 0;
		return -EINVAL;
	}
	if (f->next.type == PIECE_BYTES)
		chunk_hold(f->next.bytes);
	if (f->next.len > (uint64_t)INT64_MAX - f->total)
		return -EFBIG;
	f->total += f->next.len;
	return 1;
}

static bool continues(const struct piece *p, const struct piece *next)
{
	if (p->type != next->type || p->type == PIECE_BYTES)
		return false;
	return p->type == PIECE_ZEROS ||
	       (p->off + p->len == next->off && ref_equal(&p->ref, &next->ref));
}

/* The entry of the piece's file that covers ${off}. */
static int find(struct feed *f, uint64_t off, struct extent *out)
{
	int rc;

	if (!f->cursor || !ref_equal(&f->cursor_ref, &f->piece.ref)) {
		index_cursor_free(f->cursor);
		f->cursor = index_cursor_new(f->source, &f->piece.ref);
		if (!f->cursor)
			return -ENOMEM;
		f->cursor_ref = f->piece.ref;
	}
	rc = index_cursor_seek(f->cursor, off);
	if (rc < 0)
		return rc;
	rc = index_cursor_next(f->cursor, out);
	assert(rc != 0);
	return rc < 0 ? rc : 0;
}

/*
 * The last boundary that what follows the piece can't move: a cut depends on nothing
 * beyond CUT_HOLE_MIN bytes behind it.
 */
static int set_keep_end(struct feed *f)
{
	const struct piece *p = &f->piece;
	uint64_t end = p->off + p->len;
	struct extent e;
	int rc;

	f->keep_end = 0;
	if (p->type != PIECE_REF)
		return 0;
	if (f->next.len == 0 && end == p->ref.size) {
		f->keep_end = end;
		return 0;
	}
	if (p->len <= CUT_HOLE_MIN)
		return 0;
	rc = find(f, end - CUT_HOLE_MIN, &e);
	if (rc < 0)
		return rc;
	f->keep_end = e.off;
	return 0;
}

int feed_piece(struct feed *f)
{
	int rc;

	if (f->piece.len > 0)
		return 1;
	if (!f->started) {
		f->started = true;
		rc = fetch(f);
		if (rc < 0)
			return rc;
	}
	if (f->next.len == 0)
		return 0;
	if (f->piece.type == PIECE_BYTES)
		chunk_drop(f->piece.bytes);
	f->piece = f->next;
	f->next.len = 0;
	while ((rc = fetch(f)) > 0 && continues(&f->piece, &f->next)) {
		f->piece.len += f->next.len;
		f->next.len = 0;
	}
	if (rc >= 0)
		rc = set_keep_end(f);
	return rc < 0 ? rc : 1;
}

bool feed_ended(const struct feed *f)
{
	return f->started && f->piece.len == 0 && f->next.len == 0;
}

static int load_chunk(struct feed *f, const struct extent *e)
{
	int rc;

	if (f->chunk && address_equal(&f->chunk_address, &e->address))
		return f->chunk->len == e->len ? 0 : -EBADMSG;
	chunk_drop(f->chunk);
	f->chunk = NULL;
	rc = f->source->get(f->source, KIND_DATA, &e->address, &f->chunk);
	if (rc < 0)
		return rc;
	f->chunk_address = e->address;
	return f->chunk->len == e->len ? 0 : -EBADMSG;
}

int feed_load(struct feed *f)
{
	struct piece *p = &f->piece;
	struct extent e;
	uint64_t skip;
	int rc;

	assert(f->span_len == 0 && p->len > 0);
	f->span = NULL;
	f->span_len = p->len;
	if (p->type == PIECE_BYTES)
		f->span = p->bytes->data + p->off;
	if (p->type != PIECE_REF)
		return 0;

	f->span_len = 0;
	rc = find(f, p->off, &e);
	if (rc < 0)
		return rc;
	skip = p->off - e.off;
	if (!e.hole) {
		rc = load_chunk(f, &e);
		if (rc < 0)
			return rc;
		f->span = f->chunk->data + skip;
	}
	f->span_len = e.len - skip < p->len ? e.len - skip : p->len;
	return 0;
}

void feed_take(struct feed *f, uint64_t n)
{
	assert(n <= f->span_len && f->span_len <= f->piece.len);
	if (f->span)
		f->span += n;
	f->span_len -= n;
	f->piece.off += n;
	f->piece.len -= n;
}

int feed_keep(struct feed *f, uint64_t back, struct item *out)
{
	struct piece *p = &f->piece;
	uint64_t from = p->off - back, end = p->off + p->len;
	struct extent e;
	int rc;

	if (p->type != PIECE_REF || from >= f->keep_end)
		return 0;
	rc = find(f, from, &e);
	if (rc < 0)
		return rc;
	if (e.off != from)
		return 0;
	*out = (struct item){
		.type = ITEM_KEEP,
		.ref = p->ref,
		.off = from,
		.len = f->keep_end - from,
	};
	p->off = f->keep_end;
	p->len = end - p->off;
	f->span_len = 0;
	return 1;
}
