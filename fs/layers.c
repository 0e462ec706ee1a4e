#include "fs/layers.h"

#include <assert.h>

/* Keep of ${p}, which starts at ${start}, what lies in [off, end). */
static void clip(struct piece *p, uint64_t start, uint64_t off, uint64_t end)
{
	uint64_t stop = start + p->len < end ? start + p->len : end;

	if (p->type != PIECE_ZEROS)
		p->off += off - start;
	p->len = stop - off;
}

void layers_at(const struct layers *l, uint64_t off, struct piece *out)
{
	const struct extents *layer[] = { l->top, l->under };
	uint64_t end = l->size, start;

	assert(off < l->size);
	for (unsigned int i = 0; i < 2; i++) {
		if (!layer[i] || !extents_at(layer[i], off, &start, out))
			continue;
		if (start <= off) {
			clip(out, start, off, end);
			return;
		}
		/* A gap, in which the layer below is seen. */
		if (start < end)
			end = start;
	}
	if (off < l->base->size) {
		*out = (struct piece){ .type = PIECE_REF, .len = l->base->size, .ref = *l->base };
		clip(out, 0, off, end);
	} else {
		*out = (struct piece){ .type = PIECE_ZEROS, .len = end - off };
	}
}

/* Is ${b} what follows ${a} in the same place? */
static bool continues(const struct piece *a, const struct piece *b)
{
	if (a->type != b->type || a->type == PIECE_BYTES)
		return false;
	return a->type == PIECE_ZEROS || (a->off + a->len == b->off && ref_equal(&a->ref, &b->ref));
}

static int next(struct pieces *pieces, struct piece *out)
{
	struct layers_pieces *p = (struct layers_pieces *)pieces;
	struct piece more;

	if (p->off >= p->layers.size)
		return 0;
	layers_at(&p->layers, p->off, out);
	p->off += out->len;
	/* Joined, entries and subtrees that lie across the seam can be kept. */
	while (p->off < p->layers.size) {
		layers_at(&p->layers, p->off, &more);
		if (!continues(out, &more))
			break;
		out->len += more.len;
		p->off += more.len;
	}
	return 1;
}

void layers_pieces_init(struct layers_pieces *p, const struct layers *l)
{
	*p = (struct layers_pieces){ .pieces = { next }, .layers = *l };
}
