#include "dht/recent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 1024

int recents_init(struct recents *t)
{
	*t = (struct recents){ .size = SIZE_MIN };
	t->table = calloc(t->size, sizeof(struct recent *));
	return t->table ? 0 : -ENOMEM;
}

void recents_free(struct recents *t)
{
	for (size_t i = 0; t->table && i < t->size; i++)
		while (t->table[i])
			recents_remove(t, t->table[i]);
	free(t->table);
	t->table = NULL;
}

/* Addresses are hashes already; who chooses theirs could only slow down a store of his own. */
static struct recent **slot_of(struct recent **table, size_t size, const struct address *a)
{
	size_t hash;

	memcpy(&hash, a->b + 8, sizeof(hash));
	return &table[hash & (size - 1)];
}

struct recent *recents_find(const struct recents *t, const struct address *a)
{
	struct recent *e = *slot_of(t->table, t->size, a);

	while (e && !address_equal(&e->record.address, a))
		e = e->next;
	return e;
}

/* Without memory the table stays as it is, and its chains get longer. */
static void grow(struct recents *t)
{
	size_t size = 2 * t->size;
	struct recent **table = calloc(size, sizeof(struct recent *));

	if (!table)
		return;
	for (size_t i = 0; i < t->size; i++) {
		struct recent *e = t->table[i];

		while (e) {
			struct recent *next = e->next;
			struct recent **slot = slot_of(table, size, &e->record.address);

			e->next = *slot;
			*slot = e;
			e = next;
		}
	}
	free(t->table);
	t->table = table;
	t->size = size;
}

struct recent *recents_add(struct recents *t, const struct record *r)
{
	struct recent *e = calloc(1, sizeof(*e)), **slot;

	if (!e)
		return NULL;
	if (t->count >= t->size)
		grow(t);
	e->record = *r;
	list_init(&e->place);
	slot = slot_of(t->table, t->size, &r->address);
	e->next = *slot;
	*slot = e;
	t->count++;
	return e;
}

void recents_remove(struct recents *t, struct recent *e)
{
	struct recent **p = slot_of(t->table, t->size, &e->record.address);

	while (*p != e) {
		assert(*p);
		p = &(*p)->next;
	}
	*p = e->next;
	t->count--;
	recents_hold(t, e, NULL);
	list_remove(&e->place);
	free(e);
}

void recents_hold(struct recents *t, struct recent *e, struct chunk *c)
{
	struct chunk *old = e->chunk;

	e->chunk = c ? chunk_hold(c) : NULL;
	t->held_bytes += c ? c->len : 0;
	t->held_bytes -= old ? old->len : 0;
	chunk_drop(old);
}
