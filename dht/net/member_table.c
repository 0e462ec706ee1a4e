/*
 * Records by their bytes, for processes with many nodes in them: the 1,000 nodes of a simulator hold each record a thousand times,
 * and would verify its signature as often.  A program with one node has none of it: all of it may be NULL.  It holds no reference:
 * who drops the last one takes it out.
 */
#include "dht/net/member_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define TABLE_FIRST 256u	/* buckets at first; a power of 2, as ever after */

struct member_table {
	struct member **bucket;
	size_t buckets, members;
};

struct member_table *member_table_new(void)
{
	struct member_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->bucket = calloc(TABLE_FIRST, sizeof(*t->bucket));
	t->buckets = TABLE_FIRST;
	if (!t->bucket) {
		free(t);
		return NULL;
	}
	return t;
}

void member_table_free(struct member_table *t)
{
	if (!t)
		return;
	assert(t->members == 0);
	free(t->bucket);
	free(t);
}

/* Signatures are as good as random.  (Whoever signs may choose; the table is of one process, which knows its members.) */
static struct member **bucket_of(const struct member_table *t, const uint8_t *bytes, size_t len)
{
	return &t->bucket[get_le64(bytes + len - MEMBER_SIGNATURE) & (t->buckets - 1)];
}

struct member *member_table_find(const struct member_table *t, const uint8_t *bytes, size_t len)
{
	struct member *m = *bucket_of(t, bytes, len);

	while (m && (m->len != len || memcmp(m->bytes, bytes, len) != 0))
		m = m->next;
	return m;
}

/* Twice the buckets.  Where there is no memory for them, the chains grow instead. */
static void grow(struct member_table *t)
{
	struct member_table larger = { .buckets = 2 * t->buckets, .members = t->members };

	larger.bucket = calloc(larger.buckets, sizeof(*larger.bucket));
	if (!larger.bucket)
		return;
	for (size_t i = 0; i < t->buckets; i++) {
		struct member *m, *next;

		for (m = t->bucket[i]; m; m = next) {
			struct member **b = bucket_of(&larger, m->bytes, m->len);

			next = m->next;
			m->next = *b;
			*b = m;
		}
	}
	free(t->bucket);
	*t = larger;
}

void member_table_add(struct member_table *t, struct member *m)
{
	struct member **b;

	assert(!m->table);
	if (t->members >= t->buckets)
		grow(t);
	b = bucket_of(t, m->bytes, m->len);
	m->table = t;
	m->next = *b;
	*b = m;
	t->members++;
}

void member_table_remove(struct member_table *t, struct member *m)
{
	struct member **b = bucket_of(t, m->bytes, m->len);

	while (*b != m) {
		assert(*b);
		b = &(*b)->next;
	}
	*b = m->next;
	t->members--;
}
