#include "chunker/node.h"

#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"

#define NODE_FORMAT 1

void node_header_encode(const struct node_type *type, const struct node_header *header,
    uint8_t *out)
{
	memcpy(out, type->magic, 4);
	out[4] = NODE_FORMAT;
	out[5] = header->level;
	put_le16(out + 6, 0);
	put_le32(out + 8, header->entries);
	put_le32(out + 12, header->entries_len);
	put_le64(out + 16, header->total);
}

int node_open(const struct node_type *type, const struct chunk *chunk, struct node_header *out,
    const uint8_t **entries)
{
	const uint8_t *p = chunk->data;

	if (chunk->len < NODE_HEADER_LEN || chunk->len > CHUNK_MAX)
		return -EBADMSG;
	if (memcmp(p, type->magic, 4) != 0 || p[4] != NODE_FORMAT || get_le16(p + 6) != 0)
		return -EBADMSG;
	out->level = p[5];
	out->entries = get_le32(p + 8);
	out->entries_len = get_le32(p + 12);
	out->total = get_le64(p + 16);
	if (out->level >= NODE_LEVELS || out->entries > type->entries_max ||
	    out->entries_len != chunk->len - NODE_HEADER_LEN)
		return -EBADMSG;
	/* Only the empty tree has a node without entries; no entry is without bytes. */
	if (out->entries == 0 && (out->level > 0 || out->entries_len > 0 || out->total > 0))
		return -EBADMSG;
	if (out->entries > out->entries_len)
		return -EBADMSG;
	*entries = p + NODE_HEADER_LEN;
	return 0;
}
