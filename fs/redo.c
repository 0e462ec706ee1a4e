#include "fs/redo.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK	(256u << 10)	/* bytes */

struct redo_block {
	struct redo_block *next;
	size_t size, used;
	uint8_t bytes[];
};

struct header {
	uint8_t table, deletes;
	uint16_t key_len;
	uint32_t value_len;
};

static struct redo_block *add_block(struct redo *r, size_t least)
{
	size_t size = least > BLOCK - sizeof(struct redo_block) ? least :
	    BLOCK - sizeof(struct redo_block);
	/* A mapping: what one commit needed is not kept for the rest of the day. */
	struct redo_block *b = mmap(NULL, sizeof(*b) + size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		return NULL;
	*b = (struct redo_block){ .size = size };
	if (r->last)
		r->last->next = b;
	else
		r->first = b;
	r->last = b;
	return b;
}

void redo_add(struct redo *r, const struct redo_record *record)
{
	struct header h = {
		.table = record->table,
		.deletes = record->deletes,
		.key_len = record->key_len,
		.value_len = record->value_len,
	};
	size_t len = sizeof(h) + h.key_len + h.value_len;
	struct redo_block *b = r->last;
	uint8_t *p;

	if (r->lost)
		return;
	if (!b || b->size - b->used < len)
		b = add_block(r, len);
	if (!b) {
		r->lost = true;
		return;
	}
	p = b->bytes + b->used;
	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), record->key, h.key_len);
	if (h.value_len > 0)
		memcpy(p + sizeof(h) + h.key_len, record->value, h.value_len);
	b->used += len;
	r->bytes += len;
}

struct redo_mark redo_end(const struct redo *r)
{
	return (struct redo_mark){ r->last, r->last ? r->last->used : 0, r->bytes };
}

static void free_blocks(struct redo_block *b)
{
	while (b) {
		struct redo_block *next = b->next;

		munmap(b, sizeof(*b) + b->size);
		b = next;
	}
}

void redo_cut(struct redo *r, struct redo_mark m)
{
	if (!m.block) {
		redo_clear(r);
		return;
	}
	free_blocks(m.block->next);
	m.block->next = NULL;
	m.block->used = m.used;
	r->last = m.block;
	r->bytes = m.bytes;
}

bool redo_next(const struct redo *r, struct redo_mark *at, struct redo_record *out)
{
	struct header h;
	const uint8_t *p;

	if (!at->block)
		*at = (struct redo_mark){ .block = r->first };
	while (at->block && at->used == at->block->used)
		*at = (struct redo_mark){ .block = at->block->next, .bytes = at->bytes };
	if (!at->block)
		return false;
	p = at->block->bytes + at->used;
	memcpy(&h, p, sizeof(h));
	p += sizeof(h);
	*out = (struct redo_record){
		.table = h.table, .deletes = h.deletes, .key_len = h.key_len, .value_len = h.value_len,
		.key = p, .value = p + h.key_len,
	};
	at->used += sizeof(h) + h.key_len + h.value_len;
	at->bytes += sizeof(h) + h.key_len + h.value_len;
	assert(at->used <= at->block->used);
	return true;
}

void redo_clear(struct redo *r)
{
	struct redo_block *keep = r->first;

	if (keep) {
		free_blocks(keep->next);
		keep->next = NULL;
		keep->used = 0;
	}
	*r = (struct redo){ .first = keep, .last = keep };
}

void redo_free(struct redo *r)
{
	free_blocks(r->first);
	*r = (struct redo){ 0 };
}
