#include "chunker/node.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_LEN_MAX (CHUNK_MAX - NODE_HEADER_LEN)

/* The node that is being filled on one level. */
struct level {
	uint8_t *buf;		/* entries, without the header */
	size_t cap;
	size_t len;
	size_t first_len;	/* length of the first entry */
	uint32_t entries;
	uint64_t total;
};

/*
 * Invariants:
 * 1. No level holds a node that has ended: it is emitted by the call that ends it, and the entry
 *    that lists it is on the level above.
 * 2. So where all levels above one are empty, that level has emitted nothing yet.
 */
struct builder {
	const struct node_type *type;
	struct sink *sink;
	struct level levels[NODE_LEVELS];
};

struct builder *builder_new(const struct node_type *type, struct sink *sink)
{
	struct builder *b = calloc(1, sizeof(*b));

	/* An ended node of one entry could be the only one of its level, and so no root. */
	assert(type->entries_min >= 2 && type->entries_max >= type->entries_min);
	if (!b)
		return NULL;
	b->type = type;
	b->sink = sink;
	return b;
}

void builder_free(struct builder *b)
{
	if (!b)
		return;
	for (unsigned int i = 0; i < NODE_LEVELS; i++)
		free(b->levels[i].buf);
	free(b);
}

static bool ended(const struct node_type *type, unsigned int level, const uint8_t *entry,
    size_t len, uint32_t entries, size_t entries_len)
{
	if (entries >= type->entries_max || entries_len >= type->bytes_max)
		return true;
	return entries >= type->entries_min && type->ends(level, entry, len);
}

bool builder_ended(const struct node_type *type, unsigned int level, const uint8_t *entry,
    size_t len, const struct node_header *header)
{
	return ended(type, level, entry, len, header->entries, header->entries_len);
}

bool builder_fresh(const struct builder *b, unsigned int level)
{
	for (unsigned int i = 0; i < level && i < NODE_LEVELS; i++)
		if (b->levels[i].entries > 0)
			return false;
	return true;
}

static int level_append(struct level *l, const uint8_t *entry, size_t len, uint64_t weight)
{
	if (len == 0 || len > ENTRIES_LEN_MAX - l->len)
		return -EINVAL;
	if (l->len + len > l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 4096;
		uint8_t *buf;

		while (cap < l->len + len)
			cap *= 2;
		buf = realloc(l->buf, cap);
		if (!buf)
			return -ENOMEM;
		l->buf = buf;
		l->cap = cap;
	}
	if (__builtin_add_overflow(l->total, weight, &l->total))
		return -EINVAL;
	memcpy(l->buf + l->len, entry, len);
	if (l->entries++ == 0)
		l->first_len = len;
	l->len += len;
	return 0;
}

static struct node_header level_header(const struct builder *b, unsigned int level)
{
	const struct level *l = &b->levels[level];

	return (struct node_header){
		.level = (uint8_t)level,
		.entries = l->entries,
		.entries_len = (uint32_t)l->len,
		.total = l->total,
	};
}

/* Make a chunk of what a level holds and give it to the sink. */
static int level_emit(struct builder *b, unsigned int level, struct address *address)
{
	const struct level *l = &b->levels[level];
	struct node_header header = level_header(b, level);
	struct chunk *chunk;
	uint8_t *data;
	int rc;

	chunk = chunk_new(NODE_HEADER_LEN + l->len, &data);
	if (!chunk)
		return -ENOMEM;
	node_header_encode(b->type, &header, data);
	if (l->len > 0)
		memcpy(data + NODE_HEADER_LEN, l->buf, l->len);
	address_of(b->type->kind, chunk->data, chunk->len, address);
	rc = b->sink->put(b->sink, b->type->kind, address, chunk);
	chunk_drop(chunk);
	return rc;
}

/* Emit the node of a level and make the entry that lists it, of *${len} bytes. */
static int level_close(struct builder *b, unsigned int level, uint8_t *parent, size_t *len,
    uint64_t *total)
{
	struct level *l = &b->levels[level];
	struct node_header header = level_header(b, level);
	struct address address;
	int rc;

	rc = level_emit(b, level, &address);
	if (rc < 0)
		return rc;
	*len = b->type->parent(&header, l->buf, l->first_len, &address, parent);
	assert(*len > 0 && *len <= NODE_PARENT_LEN_MAX);
	*total = l->total;
	l->len = 0;
	l->entries = 0;
	l->total = 0;
	return 0;
}

int builder_add(struct builder *b, unsigned int level, const uint8_t *entry, size_t len,
    uint64_t weight)
{
	uint8_t parent[NODE_PARENT_LEN_MAX];
	int rc;

	if (!builder_fresh(b, level))
		return -EINVAL;
	for (;; level++) {
		struct level *l;

		if (level >= NODE_LEVELS)
			return -EINVAL;
		l = &b->levels[level];
		rc = level_append(l, entry, len, weight);
		if (rc < 0)
			return rc;
		if (!ended(b->type, level, entry, len, l->entries, l->len))
			return 0;
		rc = level_close(b, level, parent, &len, &weight);
		if (rc < 0)
			return rc;
		entry = parent;
	}
}

/* The highest level that holds an entry; 0 where none does. */
static unsigned int builder_top(const struct builder *b)
{
	unsigned int top = NODE_LEVELS - 1;

	while (top > 0 && b->levels[top].entries == 0)
		top--;
	return top;
}

int builder_finish(struct builder *b, unsigned int *level, struct address *address,
    uint64_t *total)
{
	uint8_t parent[NODE_PARENT_LEN_MAX];
	uint64_t weight;
	size_t len;
	int rc;

	/* Closing a level adds to the one above, which may end and so raise the top. */
	for (unsigned int i = 0; i < builder_top(b); i++) {
		if (b->levels[i].entries == 0)
			continue;
		rc = level_close(b, i, parent, &len, &weight);
		if (rc < 0)
			return rc;
		rc = builder_add(b, i + 1, parent, len, weight);
		if (rc < 0)
			return rc;
	}

	*level = builder_top(b);
	*total = b->levels[*level].total;
	if (*level > 0 && b->levels[*level].entries == 1) {
		b->type->child(b->levels[*level].buf, b->levels[*level].len, address);
		--*level;
		return 0;
	}
	return level_emit(b, *level, address);
}
