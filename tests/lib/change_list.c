#include "tests/lib/change_list.h"

#include <sys/stat.h>

static int list_next(struct changes *changes, struct change *out)
{
	struct change_list *l = (struct change_list *)changes;

	if (l->at == l->n)
		return 0;
	*out = l->v[l->at++];
	return 1;
}

void change_list_init(struct change_list *l, const struct change *v, size_t n)
{
	*l = (struct change_list){ .changes.next = list_next, .v = v, .n = n };
}

struct change change_list_file(const char *name, size_t len, uint64_t size)
{
	return (struct change){ .entry = {
		.name = name, .name_len = (uint16_t)len, .mode = S_IFREG | 0644,
		.uid = 1000, .gid = 1000, .mtime = { 1700000000, 1 }, .ctime = { 1700000000, 2 },
		.size = size,
		.ref = {
			.hash = HASH_BLAKE2B_256,
			.kind = size <= CHUNK_MAX ? KIND_DATA : KIND_INDEX,
			.size = size,
		},
	} };
}
