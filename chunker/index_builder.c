#include "chunker/index.h"

#include <errno.h>
#include <stdlib.h>

#include "chunker/cut.h"
#include "chunker/index_path.h"

struct index_builder {
	struct builder *nodes;
	uint64_t total;		/* bytes of the file so far, with the hole below */
	uint64_t data;		/* of them, those not in holes */
	uint64_t hole;		/* zeros at the end, held back since more may follow */
	uint64_t entries;	/* given to the nodes; a subtree is never the only one */
	struct extent first;	/* the first of them */
};

struct index_builder *index_builder_new(struct sink *sink)
{
	struct index_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->nodes = builder_new(&index_node_type, sink);
	if (!b->nodes) {
		free(b);
		return NULL;
	}
	return b;
}

void index_builder_free(struct index_builder *b)
{
	if (!b)
		return;
	builder_free(b->nodes);
	free(b);
}

static int grow(struct index_builder *b, uint64_t len)
{
	if (len > (uint64_t)INT64_MAX - b->total)
		return -EFBIG;
	b->total += len;
	return 0;
}

static int add(struct index_builder *b, unsigned int level, const struct extent *e)
{
	uint8_t entry[INDEX_ENTRY_LEN];

	if (b->entries++ == 0)
		b->first = *e;
	b->data += e->data;
	index_entry_encode(e->len, e->data, e->hole ? NULL : &e->address, entry);
	return builder_add(b->nodes, level, entry, sizeof(entry), e->len);
}

static int flush_hole(struct index_builder *b)
{
	struct extent e = { .len = b->hole, .hole = true };

	if (b->hole == 0)
		return 0;
	if (b->hole < CUT_HOLE_MIN)
		return -EINVAL;
	b->hole = 0;
	return add(b, 0, &e);
}

int index_builder_data(struct index_builder *b, uint32_t len, const struct address *address)
{
	struct extent e = { .len = len, .data = len, .address = *address };
	int rc;

	if (len == 0 || len > CHUNK_MAX)
		return -EINVAL;
	rc = flush_hole(b);
	if (rc == 0)
		rc = grow(b, len);
	if (rc == 0)
		rc = add(b, 0, &e);
	return rc;
}

int index_builder_hole(struct index_builder *b, uint64_t len)
{
	int rc = grow(b, len);

	if (rc == 0)
		b->hole += len;
	return rc;
}

/* Go down to the highest entry at ${off} that may be taken over as it is. */
static int keep_find(struct index_builder *b, struct index_path *path, uint64_t off, uint64_t end,
    struct extent *e)
{
	int rc = index_path_at(path, off);

	while (rc == 0) {
		unsigned int level = index_path_level(path);

		index_path_entry(path, e);
		/*
		 * A subtree that ends before ${end} is not the last of its level: so it ended by
		 * content, and what it ends with has no hole to merge with behind it.  The one
		 * that has the end is taken apart, and the one after a hole, which may begin
		 * with one.
		 */
		if (level == 0 || (e->off == off && e->off + e->len < end && b->hole == 0 &&
		    builder_fresh(b->nodes, level)))
			return (int)level;
		rc = index_path_down(path, off);
	}
	return rc;
}

/* Take over the entry at ${off}, of a chunk, a hole or a subtree; *${len}: what it covers. */
static int keep_one(struct index_builder *b, struct index_path *path, uint64_t off, uint64_t end,
    uint64_t *len)
{
	struct extent e;
	int rc;

	rc = keep_find(b, path, off, end, &e);
	if (rc < 0)
		return rc;
	*len = e.len;
	if (rc > 0) {
		int level = rc;

		rc = grow(b, e.len);
		return rc < 0 ? rc : add(b, (unsigned int)level, &e);
	}
	if (e.hole) {
		uint64_t hole_end = e.off + e.len < end ? e.off + e.len : end;

		*len = hole_end - off;
		return index_builder_hole(b, *len);
	}
	if (e.off != off || e.len > end - off)
		return -EINVAL;
	return index_builder_data(b, (uint32_t)e.len, &e.address);
}

int index_builder_keep(struct index_builder *b, struct source *source, const struct ref *ref,
    uint64_t off, uint64_t len)
{
	struct index_path path;
	uint64_t step;
	int rc = 0;

	if (off > ref->size || len > ref->size - off)
		return -EINVAL;
	index_path_init(&path, source, ref);
	for (uint64_t at = off; rc == 0 && at < off + len; at += step)
		rc = keep_one(b, &path, at, off + len, &step);
	index_path_free(&path);
	return rc;
}

uint64_t index_builder_data_bytes(const struct index_builder *b)
{
	return b->data;
}

int index_builder_finish(struct index_builder *b, struct ref *out)
{
	unsigned int level;
	int rc;

	if (b->total == 0) {
		ref_empty(out);
		return 0;
	}
	rc = flush_hole(b);
	if (rc < 0)
		return rc;
	out->hash = HASH_BLAKE2B_256;
	out->size = b->total;
	if (b->entries == 1 && !b->first.hole) {
		out->kind = KIND_DATA;
		out->address = b->first.address;
		return 0;
	}
	out->kind = KIND_INDEX;
	return builder_finish(b->nodes, &level, &out->address, &out->size);
}
