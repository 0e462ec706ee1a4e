/*
 * Hostile directories.  The input is a sequence of nodes, each a le16 length and its bytes, from
 * the leaves up; the last is the root.  In a node's place for a child's address stands whatever
 * the fuzzer put there; its first byte picks one of the nodes before.  The names in the root's
 * header are what the ref claims.  What decodes must encode to the same bytes.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/directory.h"
#include "chunker/node.h"

#define NODES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Hands out nodes by the first byte of their address; a loop of them must end by its levels. */
struct hostile {
	struct source source;
	struct chunk *nodes[NODES];
	unsigned int n;
};

static int hostile_get(struct source *source, enum kind kind, const struct address *a,
    struct chunk **out)
{
	struct hostile *h = (struct hostile *)source;

	assert(kind == KIND_DIRECTORY);
	if (a->b[0] >= h->n)
		return a->b[0] % 2 ? -ENOENT : -EAGAIN;
	*out = chunk_hold(h->nodes[a->b[0]]);
	return 0;
}

static int sink_put(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	(void)sink, (void)a;
	assert(kind == KIND_DIRECTORY && c->len <= CHUNK_MAX);
	return 0;
}

/* Two names that are there, if any are, and one that may be. */
struct two {
	struct changes changes;
	struct change v[2];
	int at, n;
};

static int two_next(struct changes *changes, struct change *out)
{
	struct two *t = (struct two *)changes;

	if (t->at == t->n)
		return 0;
	*out = t->v[t->at++];
	return 1;
}

static void one_entry(const uint8_t *data, size_t size)
{
	uint8_t again[ENTRY_LEN_MAX];
	struct entry e;

	if (entry_decode(data, size, &e) != 0)
		return;
	assert(entry_encode(&e, again, sizeof again) == (int)size);
	assert(memcmp(data, again, size) == 0);
}

static void update(struct hostile *h, const struct ref *ref, const struct entry *e)
{
	struct sink sink = { .put = sink_put };
	struct two t = { .changes.next = two_next, .n = 1 };
	struct ref out;
	int rc;

	t.v[0].entry = *e;
	rc = directory_update(&h->source, &sink, ref, &t.changes, &out);
	assert(rc <= 0);
	t.at = 0;
	t.n = 2;
	t.v[0].removed = true;
	t.v[1].entry = *e;
	t.v[1].entry.name = "\xff\xff\xff";
	t.v[1].entry.name_len = 3;
	rc = directory_update(&h->source, &sink, ref, &t.changes, &out);
	assert(rc <= 0);
}

static void read_and_update(struct hostile *h, const struct ref *ref)
{
	struct directory_cursor *c = directory_cursor_new(&h->source, ref);
	struct chunk *holder;
	struct entry e, found;
	uint64_t n = 0;
	int rc;

	assert(c);
	while (n < 100 && (rc = directory_cursor_next(c, &e)) == 1) {
		assert(n < ref->size);
		rc = directory_lookup(&h->source, ref, e.name, e.name_len, &found, &holder);
		assert(rc == 0 && found.name_len == e.name_len && found.mtime.sec == e.mtime.sec);
		chunk_drop(holder);
		if (n++ % 8 == 0)
			update(h, ref, &e);
	}
	directory_cursor_seek(c, ref->size / 2);
	if (directory_cursor_next(c, &e) == 1)
		update(h, ref, &e);
	directory_cursor_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostile h = { .source.get = hostile_get };
	struct reader r = reader_of(data, size);
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_DIRECTORY };
	struct chunk *root;

	one_entry(data, size);
	while (h.n < NODES && r.left > 2) {
		size_t len = reader_le16(&r);
		const uint8_t *p;

		if (len > r.left)
			len = r.left;
		p = reader_take(&r, len);
		h.nodes[h.n] = chunk_copy(p, len);
		assert(h.nodes[h.n]);
		h.n++;
	}
	if (h.n > 0) {
		root = h.nodes[h.n - 1];
		ref.address.b[0] = (uint8_t)(h.n - 1);
		ref.size = root->len >= NODE_HEADER_LEN ? get_le64(root->data + 16) : 0;
		read_and_update(&h, &ref);
	}
	for (unsigned int i = 0; i < h.n; i++)
		chunk_drop(h.nodes[i]);
	return 0;
}
