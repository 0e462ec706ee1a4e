/*
 * Blocks of pointers, each sorted, none empty: a search by halves over the blocks, then within one.  An insert moves at most a block, and
 * what is in order can be walked: catalogues list by address, and no order of a hash table can leak into a run.
 */
#include "tests/sim/sorted.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

#define BLOCK 128u	/* items: what is moved by an insert stays within a few lines of cache */

struct sorted_block {
	size_t count;
	void *item[BLOCK];
};

void sorted_init(struct sorted *s, size_t key_len)
{
	*s = (struct sorted){ .key_len = key_len };
}

void sorted_free(struct sorted *s, void (*release)(void *item))
{
	for (size_t b = 0; b < s->blocks; b++) {
		for (size_t i = 0; release && i < s->block[b]->count; i++)
			release(s->block[b]->item[i]);
		free(s->block[b]);
	}
	free(s->block);
	*s = (struct sorted){ .key_len = s->key_len };
}

/* The first place whose item is >= key: by halves over the blocks' last items, then within the block. */
void sorted_from(const struct sorted *s, const void *key, struct sorted_place *p)
{
	size_t low = 0, high = s->blocks;

	*p = (struct sorted_place){ 0, 0 };
	if (!key)
		return;
	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct sorted_block *b = s->block[mid];

		if (memcmp(b->item[b->count - 1], key, s->key_len) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	p->block = low;
	if (low == s->blocks)
		return;
	high = s->block[low]->count;
	for (low = 0; low < high;) {
		size_t mid = (low + high) / 2;

		if (memcmp(s->block[p->block]->item[mid], key, s->key_len) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	p->item = low;
}

void *sorted_next(const struct sorted *s, struct sorted_place *p)
{
	void *item;

	if (p->block >= s->blocks)
		return NULL;
	item = s->block[p->block]->item[p->item];
	if (++p->item == s->block[p->block]->count)
		*p = (struct sorted_place){ p->block + 1, 0 };
	return item;
}

void *sorted_find(const struct sorted *s, const void *key)
{
	struct sorted_place p;
	void *item;

	sorted_from(s, key, &p);
	item = sorted_next(s, &p);
	return item && memcmp(item, key, s->key_len) == 0 ? item : NULL;
}

static struct sorted_block *new_block(struct sorted *s, size_t at)
{
	if (s->blocks == s->size) {
		s->size = s->size ? 2 * s->size : 4;
		s->block = must(realloc(s->block, s->size * sizeof(struct sorted_block *)));
	}
	memmove(&s->block[at + 1], &s->block[at], (s->blocks - at) * sizeof(struct sorted_block *));
	s->blocks++;
	s->block[at] = must(malloc(sizeof(struct sorted_block)));
	s->block[at]->count = 0;
	return s->block[at];
}

void sorted_add(struct sorted *s, void *item)
{
	struct sorted_place p;
	struct sorted_block *b, *half;

	sorted_from(s, item, &p);
	if (s->blocks == 0)
		new_block(s, 0);
	else if (p.block == s->blocks)
		p = (struct sorted_place){ s->blocks - 1, s->block[s->blocks - 1]->count };
	b = s->block[p.block];
	assert(p.item == b->count || memcmp(b->item[p.item], item, s->key_len) != 0);
	if (b->count == BLOCK) {
		half = new_block(s, p.block + 1);
		half->count = BLOCK / 2;
		b->count = BLOCK / 2;
		memcpy(half->item, b->item + BLOCK / 2, BLOCK / 2 * sizeof(void *));
		if (p.item > BLOCK / 2) {
			b = half;
			p.item -= BLOCK / 2;
		}
	}
	memmove(&b->item[p.item + 1], &b->item[p.item], (b->count - p.item) * sizeof(void *));
	b->item[p.item] = item;
	b->count++;
	s->count++;
}

void *sorted_take(struct sorted *s, const void *key)
{
	struct sorted_place p;
	struct sorted_block *b;
	void *item;

	sorted_from(s, key, &p);
	if (p.block == s->blocks)
		return NULL;
	b = s->block[p.block];
	item = b->item[p.item];
	if (memcmp(item, key, s->key_len) != 0)
		return NULL;
	memmove(&b->item[p.item], &b->item[p.item + 1], (b->count - p.item - 1) * sizeof(void *));
	if (--b->count == 0) {
		free(b);
		memmove(&s->block[p.block], &s->block[p.block + 1],
		    (s->blocks - p.block - 1) * sizeof(struct sorted_block *));
		s->blocks--;
	}
	s->count--;
	return item;
}

void *sorted_at(const struct sorted *s, size_t i)
{
	for (size_t b = 0; b < s->blocks; b++) {
		if (i < s->block[b]->count)
			return s->block[b]->item[i];
		i -= s->block[b]->count;
	}
	return NULL;
}
