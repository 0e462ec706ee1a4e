/*
 * Hostile indexes.  The input is a sequence of nodes, each a le16 length and its bytes; the last
 * is the root, and the total in its header is what the ref claims.  Of the address of a child the
 * first byte picks one of the nodes.  Whatever can be walked must add up, and what is kept of it
 * must be a file of that size.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/cut.h"
#include "chunker/index.h"
#include "chunker/node.h"

#define NODES 32
#define WALK_MAX 4096	/* entries: a few nodes, listed often, have more than can be walked */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct hostile {
	struct source source;
	struct chunk *nodes[NODES];
	unsigned int n;
};

static int hostile_get(struct source *source, enum kind kind, const struct address *a,
    struct chunk **out)
{
	struct hostile *h = (struct hostile *)source;

	assert(kind == KIND_INDEX);
	if (a->b[0] >= h->n)
		return a->b[0] % 2 ? -ENOENT : -EAGAIN;
	*out = chunk_hold(h->nodes[a->b[0]]);
	return 0;
}

static int sink_put(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	(void)sink, (void)a;
	assert(kind == KIND_INDEX && c->len <= CHUNK_MAX);
	return 0;
}

/* Walk all entries: true where there is an end. */
static bool walk(struct hostile *h, const struct ref *ref)
{
	struct index_cursor *c = index_cursor_new(&h->source, ref);
	struct extent e, found;
	bool hole = false;
	uint64_t off = 0;
	int rc = 1;

	for (int i = 0; i < WALK_MAX && (rc = index_cursor_next(c, &e)) > 0; i++) {
		assert(e.off == off && e.len > 0 && !(hole && e.hole));
		assert(e.hole ? e.len >= CUT_HOLE_MIN : e.len <= CHUNK_MAX);
		assert(index_find(&h->source, ref, e.off + e.len / 2, &found) == 0);
		assert(found.off == e.off && found.len == e.len && found.hole == e.hole);
		hole = e.hole;
		off += e.len;
	}
	index_cursor_free(c);
	assert(rc != 0 || off == ref->size);
	return rc == 0;
}

static void keep(struct hostile *h, const struct ref *ref, uint64_t off, uint64_t len)
{
	struct sink sink = { .put = sink_put };
	struct index_builder *b = index_builder_new(&sink);
	struct ref out;

	if (index_builder_keep(b, &h->source, ref, off, len) == 0 &&
	    index_builder_finish(b, &out) == 0)
		assert(out.size == len);
	index_builder_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostile h = { .source.get = hostile_get };
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_INDEX };
	struct reader r = reader_of(data, size);
	struct extent e;

	while (h.n < NODES && r.left > 2) {
		size_t len = reader_le16(&r);
		const uint8_t *node = reader_take(&r, len < r.left ? len : r.left);

		h.nodes[h.n] = chunk_copy(node, (size_t)(r.p - node));
		h.n++;
	}
	if (h.n > 0 && h.nodes[h.n - 1]->len >= NODE_HEADER_LEN) {
		ref.address.b[0] = (uint8_t)(h.n - 1);
		ref.size = get_le64(h.nodes[h.n - 1]->data + 16);
		index_find(&h.source, &ref, 0, &e);
		index_find(&h.source, &ref, ref.size / 2, &e);
		index_find(&h.source, &ref, ref.size - 1, &e);
		if (walk(&h, &ref)) {
			keep(&h, &ref, 0, ref.size);
			keep(&h, &ref, ref.size / 3, ref.size / 3);
			if (ref.size > 0 && index_find(&h.source, &ref, ref.size / 3, &e) == 0)
				keep(&h, &ref, e.off, ref.size - e.off);
		}
	}
	while (h.n > 0)
		chunk_drop(h.nodes[--h.n]);
	return 0;
}
