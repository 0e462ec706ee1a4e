#include "fs/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/index.h"
#include "chunker/splice.h"

#define LIST_MAX (UINT64_C(1) << 30)	/* bytes: all snapshots of 17 years, one each half minute */

struct list_piece {
	struct pieces pieces;
	struct chunk *bytes;
};

static int next(struct pieces *p, struct piece *out)
{
	struct list_piece *l = (struct list_piece *)p;

	if (!l->bytes || l->bytes->len == 0)
		return 0;
	*out = (struct piece){ .type = PIECE_BYTES, .len = l->bytes->len, .bytes = l->bytes };
	l->bytes = NULL;
	return 1;
}

int kept_write(struct source *source, struct sink *sink, const struct kept *list, size_t n,
    struct ref *out)
{
	struct list_piece l = { .pieces.next = next };
	struct chunk *bytes;
	uint8_t *p;
	int r;

	bytes = chunk_new(n * KEPT_LEN, &p);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		kept_encode(&list[i], p + i * KEPT_LEN);
	l.bytes = bytes;
	r = splice_all(&l.pieces, source, sink, out);
	chunk_drop(bytes);
	return r;
}

int kept_read(struct source *source, const struct ref *ref, struct kept **out, size_t *n)
{
	uint8_t *bytes;
	int r;

	*out = NULL;
	*n = 0;
	if (ref->size % KEPT_LEN != 0 || ref->size > LIST_MAX)
		return -EBADMSG;
	if (ref->size == 0)
		return 0;
	bytes = calloc(1, ref->size);
	*out = calloc(ref->size / KEPT_LEN, sizeof(**out));
	/* Records may lie across the ends of chunks: so these are put together first. */
	r = bytes && *out ? index_read(source, ref, bytes) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ref->size / KEPT_LEN; i++) {
		r = kept_decode(bytes + i * KEPT_LEN, &(*out)[i]);
		*n = i + 1;
	}
	free(bytes);
	return r;
}
