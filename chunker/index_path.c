#include "chunker/index_path.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/cut.h"

static size_t index_parent(unsigned int level, const uint8_t *first, size_t len, uint64_t total,
    const struct address *address, uint8_t *out)
{
	(void)level;
	(void)first;
	(void)len;
	index_entry_encode(total, false, address, out);
	return INDEX_ENTRY_LEN;
}

static void index_child(const uint8_t *entry, size_t len, struct address *out)
{
	(void)len;
	memcpy(out->b, entry + 8, ADDRESS_LEN);
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

void index_entry_encode(uint64_t len, bool hole, const struct address *address,
    uint8_t out[INDEX_ENTRY_LEN])
{
	put_le64(out, hole ? len | INDEX_HOLE_BIT : len);
	if (hole)
		memset(out + 8, 0, ADDRESS_LEN);
	else
		memcpy(out + 8, address->b, ADDRESS_LEN);
}

static uint64_t entry_len(const uint8_t *entry)
{
	return get_le64(entry) & ~INDEX_HOLE_BIT;
}

static bool entry_hole(const uint8_t *entry)
{
	return get_le64(entry) & INDEX_HOLE_BIT;
}

/* What index.h says of an entry by itself. */
static bool entry_valid(const uint8_t *entry, unsigned int level)
{
	static const uint8_t zeros[ADDRESS_LEN];
	uint64_t len = entry_len(entry);

	if (entry_hole(entry))
		return level == 0 && len >= CUT_HOLE_MIN &&
		       memcmp(entry + 8, zeros, ADDRESS_LEN) == 0;
	return len > 0 && (level > 0 || len <= CHUNK_MAX);
}

/* What it says of a node's entries together. */
static bool entries_valid(const struct node_header *h, const uint8_t *entries)
{
	uint64_t total = 0;
	bool hole = false;

	if (h->entries == 0 || h->entries_len != h->entries * INDEX_ENTRY_LEN)
		return false;
	for (uint32_t i = 0; i < h->entries; i++) {
		const uint8_t *entry = entries + i * INDEX_ENTRY_LEN;

		if (!entry_valid(entry, h->level) || (hole && entry_hole(entry)))
			return false;
		hole = entry_hole(entry);
		/* Both are below 2^63: this can't wrap. */
		total += entry_len(entry);
		if (total > INT64_MAX)
			return false;
	}
	return total == h->total;
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

/* Put the node at an address on top: it must cover [start, start + len) and, unless it is the
 * root, have this level. */
static int push_node(struct index_path *p, const struct address *a, uint64_t start, uint64_t len,
    int level)
{
	struct index_frame *f = &p->frames[p->depth];
	struct node_header h;
	struct chunk *chunk;
	const uint8_t *entries;
	int rc;

	assert(p->depth < NODE_LEVELS);
	rc = p->source->get(p->source, KIND_INDEX, a, &chunk);
	if (rc < 0)
		return rc;
	if (node_open(&index_node_type, chunk, &h, &entries) < 0 ||
	    (level >= 0 && h.level != level) || h.total != len || !entries_valid(&h, entries)) {
		chunk_drop(chunk);
		return -EBADMSG;
	}
	*f = (struct index_frame){
		.chunk = chunk,
		.entries = entries,
		.count = h.entries,
		.level = h.level,
		.start = start,
		.end = start + len,
		.at_off = start,
	};
	p->depth++;
	return 0;
}

/* A list of one entry that is no hole is a second form of what the entry itself is. */
static int push_root_node(struct index_path *p)
{
	int rc = push_node(p, &p->ref.address, 0, p->ref.size, -1);

	if (rc == 0 && top(p)->count == 1 && !entry_hole(top(p)->entries)) {
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
	index_entry_encode(r->size, false, &r->address, p->single);
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
	rc = push_node(p, &e.address, e.off, e.len, (int)index_path_level(p) - 1);
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
	out->off = f->at_off;
	out->len = entry_len(entry);
	out->hole = entry_hole(entry);
	memcpy(out->address.b, entry + 8, ADDRESS_LEN);
}
