#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "chunker/bytes.h"
#include "chunker/directory_node.h"

#define UPPER_ITEM_FIXED (1 + 8 + ADDRESS_LEN)

int name_compare(struct name a, struct name b)
{
	int c = memcmp(a.s, b.s, a.len < b.len ? a.len : b.len);

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

static void upper_item_address(const uint8_t *item, size_t len, struct address *out)
{
	memcpy(out->b, item + len - ADDRESS_LEN, ADDRESS_LEN);
}

/* The item at ${p}, of which at most ${left} bytes are there.  -EBADMSG. */
static int item_parse(unsigned int level, const uint8_t *p, size_t left, struct item *out)
{
	if (level == 0) {
		if (left < ENTRY_NAME_AT)
			return -EBADMSG;
		out->len = get_le16(p);
		out->name = (struct name){ (const char *)p + ENTRY_NAME_AT, p[3] };
		out->names = 1;
		if (out->len > left || out->len < ENTRY_NAME_AT + out->name.len)
			return -EBADMSG;
	} else {
		size_t n = left > 0 ? p[0] : 0;

		out->len = UPPER_ITEM_FIXED + n;
		if (out->len > left)
			return -EBADMSG;
		out->name = (struct name){ (const char *)p + 1, n };
		out->names = get_le64(p + 1 + n);
		upper_item_address(p, out->len, &out->address);
	}
	out->bytes = p;
	return 0;
}

static size_t upper_item(const struct node_header *node, const uint8_t *entries, size_t first_len,
    const struct address *address, uint8_t *out)
{
	struct item item;
	size_t n;

	if (item_parse(node->level, entries, first_len, &item) != 0)
		assert(!"a node was made of what is no item");
	n = item.name.len;
	out[0] = (uint8_t)n;
	memcpy(out + 1, item.name.s, n);
	put_le64(out + 1 + n, node->total);
	memcpy(out + 1 + n + 8, address->b, ADDRESS_LEN);
	return UPPER_ITEM_FIXED + n;
}

/* Only the name decides, so that a file's new content moves no boundary. */
static bool item_ends_node(unsigned int level, const uint8_t *bytes, size_t len)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t hash[crypto_shorthash_BYTES];
	struct item item;

	if (item_parse(level, bytes, len, &item) != 0)
		assert(!"a node was made of what is no item");
	crypto_shorthash(hash, (const uint8_t *)item.name.s, item.name.len, key);
	return hash[0] == 0;
}

/* No entry has under 41 bytes, so bytes_max comes before entries_max, which only bounds readers. */
const struct node_type directory_type = {
	.kind = KIND_DIRECTORY,
	.magic = { 'd', 'h', 't', 'd' },
	.entries_min = 64,
	.entries_max = 4096,
	.bytes_max = 128 * 1024,
	.parent = upper_item,
	.child = upper_item_address,
	.ends = item_ends_node,
};

/* Each item has at least one name and no sum passes the total, so none can wrap. */
static int node_check(const struct directory_node *n, const struct expected *want)
{
	struct name last = { 0 };
	struct item item;
	uint64_t names = 0;
	uint32_t entries = 0;

	for (const uint8_t *p = n->p; p < n->end; p += item.len, entries++) {
		if (item_parse(n->level, p, (size_t)(n->end - p), &item) != 0 ||
		    !entry_name_valid(item.name.s, item.name.len))
			return -EBADMSG;
		if (last.s ? name_compare(last, item.name) >= 0 :
			     want->first.s && name_compare(want->first, item.name) != 0)
			return -EBADMSG;
		if (item.names == 0 || item.names > n->names - names)
			return -EBADMSG;
		names += item.names;
		last = item.name;
	}
	if (names != n->names || entries != n->entries)
		return -EBADMSG;
	if (last.s && want->bound.s && name_compare(last, want->bound) >= 0)
		return -EBADMSG;
	return 0;
}

int directory_node_load(struct source *source, const struct expected *want,
    struct directory_node *out)
{
	struct node_header header;
	struct chunk *chunk;
	int rc;

	rc = source->get(source, KIND_DIRECTORY, &want->address, &chunk);
	if (rc != 0)
		return rc;
	rc = node_open(&directory_type, chunk, &header, &out->p);
	if (rc != 0)
		goto err;
	out->chunk = chunk;
	out->level = header.level;
	out->entries = header.entries;
	out->names = header.total;
	out->end = out->p + header.entries_len;
	out->bound = want->bound;
	rc = -EBADMSG;
	if (out->names != want->names)
		goto err;
	/* A root with one child would be a second form of the tree below it. */
	if (want->level == LEVEL_ANY ? out->level > 0 && out->entries < 2 :
				       out->level != want->level)
		goto err;
	rc = node_check(out, want);
	if (rc != 0)
		goto err;
	return 0;
err:
	chunk_drop(chunk);
	*out = (struct directory_node){ 0 };
	return rc;
}

void directory_node_drop(struct directory_node *n)
{
	chunk_drop(n->chunk);
	*n = (struct directory_node){ 0 };
}

int directory_expect_root(const struct ref *ref, struct expected *out)
{
	if (ref->hash != HASH_BLAKE2B_256 || ref->kind != KIND_DIRECTORY || ref->size > INT64_MAX)
		return -EBADMSG;
	*out = (struct expected){
		.address = ref->address, .level = LEVEL_ANY, .names = ref->size,
	};
	return 0;
}

bool directory_node_next(const struct directory_node *n, const uint8_t **p, struct item *out)
{
	int rc;

	if (*p == n->end)
		return false;
	rc = item_parse(n->level, *p, (size_t)(n->end - *p), out);
	assert(rc == 0);
	(void)rc;
	*p += out->len;
	return true;
}

void directory_node_child(const struct directory_node *n, const struct item *item,
    const uint8_t *p, struct expected *out)
{
	struct item next;

	assert(n->level > 0);
	*out = (struct expected){
		.address = item->address, .level = n->level - 1, .names = item->names,
		.first = item->name, .bound = n->bound,
	};
	if (directory_node_next(n, &p, &next))
		out->bound = next.name;
}

int directory_size(const struct chunk *root, uint64_t *names)
{
	struct node_header h;
	const uint8_t *entries;

	if (node_open(&directory_type, root, &h, &entries) < 0)
		return -EBADMSG;
	*names = h.total;
	return 0;
}
