#include "chunker/index_path.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/cut.h"

#define ADDRESS_AT 16	/* in an entry */

static uint64_t entry_len(const uint8_t *entry)
{
	return get_le64(entry);
}

static uint64_t entry_data(const uint8_t *entry)
{
	return get_le64(entry + 8);
}

static size_t index_parent(const struct node_header *node, const uint8_t *entries,
    size_t first_len, const struct address *address, uint8_t *out)
{
	uint64_t data = 0;

	for (uint32_t i = 0; i < node->entries; i++)
		data += entry_data(entries + i * first_len);
	index_entry_encode(node->total, data, address, out);
	return INDEX_ENTRY_LEN;
}

static void index_child(const uint8_t *entry, size_t len, struct address *out)
{
	(void)len;
	memcpy(out->b, entry + ADDRESS_AT, ADDRESS_LEN);
}

static bool index_ends(unsigned int level, const uint8_t *entry, size_t len)
{
	(void)level;
	return entry[len - 1] == 0;
}

const struct node_type index_node_type = {
	.kind = KIND_INDEX,
	.magic = { 'd', 'h', 't', 'i' },
	.entries_min = INDEX_ENTRIES_MIN,
	.entries_max = INDEX_ENTRIES_MAX,
	.bytes_max = INDEX_ENTRIES_MAX * INDEX_ENTRY_LEN,
	.parent = index_parent,
	.child = index_child,
	.ends = index_ends,
};

void index_entry_encode(uint64_t len, uint64_t data, const struct address *address,
    uint8_t out[INDEX_ENTRY_LEN])
{
	put_le64(out, len);
	put_le64(out + 8, data);
	if (address)
		memcpy(out + ADDRESS_AT, address->b, ADDRESS_LEN);
	else
		memset(out + ADDRESS_AT, 0, ADDRESS_LEN);
}

void index_entry_decode(const uint8_t in[INDEX_ENTRY_LEN], unsigned int level, struct extent *out)
{
	*out = (struct extent){ .len = entry_len(in), .data = entry_data(in) };
	out->hole = level == 0 && out->data == 0;
	index_child(in, INDEX_ENTRY_LEN, &out->address);
}

/* What index.h says of an entry by itself. */
static bool entry_valid(const uint8_t *entry, unsigned int level)
{
	static const uint8_t zeros[ADDRESS_LEN];
	uint64_t len = entry_len(entry), data = entry_data(entry);

	if (len == 0 || len > INT64_MAX || data > len)
		return false;
	if (level > 0)
		return true;
	if (data == 0)
		return len >= CUT_HOLE_MIN && memcmp(entry + ADDRESS_AT, zeros, ADDRESS_LEN) == 0;
	return data == len && len <= CHUNK_MAX;
}

/* What it says of a node's entries together; *${data}: their sum. */
static bool entries_valid(const struct node_header *h, const uint8_t *entries, uint64_t *data)
{
	uint64_t total = 0;
	bool hole = false;

	*data = 0;
	if (h->entries == 0 || h->entries_len != h->entries * INDEX_ENTRY_LEN)
		return false;
	for (uint32_t i = 0; i < h->entries; i++) {
		const uint8_t *entry = entries + i * INDEX_ENTRY_LEN;
		bool is_hole = h->level == 0 && entry_data(entry) == 0;

		if (!entry_valid(entry, h->level) || (hole && is_hole))
			return false;
		hole = is_hole;
		/* Both are below 2^63: this can't wrap. */
		total += entry_len(entry);
		if (total > INT64_MAX)
			return false;
		*data += entry_data(entry);
	}
	return total == h->total;
}

int index_size(const struct chunk *root, uint64_t *size, uint64_t *data)
{
	struct node_header h;
	const uint8_t *entries;

	if (node_open(&index_node_type, root, &h, &entries) < 0 ||
	    !entries_valid(&h, entries, data))
		return -EBADMSG;
	*size = h.total;
	return 0;
}

static struct index_frame *top(struct index_path *p)
{
	assert(p->depth > 0);
	return &p->frames[p->depth - 1];
}

static void pop(struct index_path *p)
{
	chunk_drop(top(p)->chunk);
	p->depth--;
}

static void frame_seek(struct index_frame *f, uint64_t off)
{
	assert(off >= f->start && off < f->end);
	if (off < f->at_off) {
		f->at = 0;
		f->at_off = f->start;
	}
	for (;;) {
		uint64_t len = entry_len(f->entries + f->at * INDEX_ENTRY_LEN);

		if (off - f->at_off < len)
			return;
		f->at_off += len;
		f->at++;
	}
}

/* Put the node that an entry lists on top: it must cover the same and, unless it is the root (level
 * < 0), have this level and as many bytes outside of holes. */
static int push_node(struct index_path *p, const struct extent *e, int level)
{
	struct index_frame *f = &p->frames[p->depth];
	struct node_header h;
	struct chunk *chunk;
	const uint8_t *entries;
	uint64_t data;
	int rc;

	assert(p->depth < NODE_LEVELS);
	rc = p->source->get(p->source, KIND_INDEX, &e->address, &chunk);
	if (rc < 0)
		return rc;
	if (node_open(&index_node_type, chunk, &h, &entries) < 0 ||
	    (level >= 0 && h.level != level) || h.total != e->len ||
	    !entries_valid(&h, entries, &data) || (level >= 0 && data != e->data)) {
		chunk_drop(chunk);
		return -EBADMSG;
	}
	*f = (struct index_frame){
		.chunk = chunk,
		.entries = entries,
		.count = h.entries,
		.level = h.level,
		.start = e->off,
		.end = e->off + e->len,
		.at_off = e->off,
	};
	p->depth++;
	return 0;
}

/* A list of one entry that is no hole is a second form of what the entry itself is. */
static int push_root_node(struct index_path *p)
{
	struct extent all = { .len = p->ref.size, .address = p->ref.address };
	int rc = push_node(p, &all, -1);

	if (rc == 0 && top(p)->count == 1 &&
	    (top(p)->level > 0 || entry_data(top(p)->entries) > 0)) {
		pop(p);
		return -EBADMSG;
	}
	return rc;
}

static int push_root(struct index_path *p)
{
	const struct ref *r = &p->ref;

	if (r->hash != HASH_BLAKE2B_256 || r->size > INT64_MAX)
		return -EBADMSG;
	if (r->kind == KIND_INDEX)
		return push_root_node(p);
	if (r->kind != KIND_DATA || r->size > CHUNK_MAX)
		return -EBADMSG;
	index_entry_encode(r->size, r->size, &r->address, p->single);
	p->frames[0] = (struct index_frame){ .entries = p->single, .count = 1, .end = r->size };
	p->depth = 1;
	return 0;
}

void index_path_init(struct index_path *p, struct source *source, const struct ref *ref)
{
	p->source = source;
	p->ref = *ref;
	p->depth = 0;
}

void index_path_free(struct index_path *p)
{
	while (p->depth > 0)
		pop(p);
}

int index_path_at(struct index_path *p, uint64_t off)
{
	int rc;

	if (off >= p->ref.size)
		return -ENXIO;
	while (p->depth > 1 && (off < top(p)->start || off >= top(p)->end))
		pop(p);
	if (p->depth == 0) {
		rc = push_root(p);
		if (rc < 0)
			return rc;
	}
	frame_seek(top(p), off);
	return 0;
}

int index_path_down(struct index_path *p, uint64_t off)
{
	struct extent e;
	int rc;

	assert(index_path_level(p) > 0);
	index_path_entry(p, &e);
	rc = push_node(p, &e, (int)index_path_level(p) - 1);
	if (rc < 0)
		return rc;
	frame_seek(top(p), off);
	return 0;
}

unsigned int index_path_level(const struct index_path *p)
{
	assert(p->depth > 0);
	return p->frames[p->depth - 1].level;
}

void index_path_entry(const struct index_path *p, struct extent *out)
{
	const struct index_frame *f = &p->frames[p->depth - 1];
	const uint8_t *entry = f->entries + f->at * INDEX_ENTRY_LEN;

	assert(p->depth > 0);
	index_entry_decode(entry, f->level, out);
	out->off = f->at_off;
}
