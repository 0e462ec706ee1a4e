/*
 * Entries are in an array in the order of their ids, since all that goes through them must do so in that order; they are found by
 * the first eight bytes of the id, which lie side by side in an array of their own (search.h): 1,000 members are 8 kB, and one
 * search is in the cache.
 *
 * The digest has two levels, so that a change costs the hash of one part of VIEW_PARTS and that of the parts, and two views that
 * differ in one record find it by the summaries of one part.  Hashes are made when they are asked for: what changes ten times
 * between two exchanges is hashed once.
 */
#include "dht/net/view.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/search.h"

#define PART_BITS 6

_Static_assert(sizeof(struct view_entry) <= 64, "an entry is 64 bytes at most");
_Static_assert(VIEW_PARTS == 1u << PART_BITS && VIEW_PARTS <= 64, "a bit of uint64_t each");

void view_start(struct view *v)
{
	*v = (struct view){ .stale = UINT64_MAX, .root_stale = true };
}

void view_end(struct view *v)
{
	/* Whoever hung something on an entry has taken it off: nobody else knows what it is. */
	for (unsigned int i = 0; i < v->count; i++) {
		assert(!v->entry[i]->suspicion && !v->entry[i]->news);
		member_drop(v->entry[i]->member);
		free(v->entry[i]);
	}
	free(v->entry);
	free(v->head);
	view_start(v);
}

unsigned int view_from(const struct view *v, const struct address *id)
{
	uint64_t head = search_head(id);
	unsigned int at = search_from(v->head, v->count, head);

	while (at < v->count && v->head[at] == head && address_compare(&v->entry[at]->member->id, id) < 0)
		at++;
	return at;
}

struct view_entry *view_find(const struct view *v, const struct address *id)
{
	unsigned int at = view_from(v, id);

	return at < v->count && v->head[at] == search_head(id) && address_equal(&v->entry[at]->member->id, id) ?
	    v->entry[at] : NULL;
}

static bool tombstone(const struct member *m)
{
	return m->state == MEMBER_LEFT || m->state == MEMBER_EVICTED;
}

bool view_gone(const struct view_entry *e)
{
	return tombstone(e->member);
}

unsigned int view_living(const struct view *v)
{
	return v->count - v->tombstones;
}

static int make_room(struct view *v)
{
	unsigned int size = v->size ? 2 * v->size : 16;
	struct view_entry **grown;
	uint64_t *heads;

	/* Tombstones count, and are never dropped for others: who has left would be back with his old record. */
	if (v->count == MEMBERS_MAX)
		return -ENOSPC;
	if (v->count < v->size)
		return 0;
	grown = realloc(v->entry, size * sizeof(struct view_entry *));
	if (!grown)
		return -ENOMEM;
	v->entry = grown;
	/* The array that has grown alone is good as it is: its size is noted with the other's. */
	heads = realloc(v->head, size * sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	v->head = heads;
	v->size = size;
	return 0;
}

static int make_entry(struct view *v, struct member *m, struct view_entry **out)
{
	unsigned int at = view_from(v, &m->id);
	struct view_entry *e;
	int rc = make_room(v);

	if (rc)
		return rc;
	/* By itself, not in the array: machines hold pointers to entries while others come. */
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	list_init(&e->unsaved);
	memmove(v->entry + at + 1, v->entry + at, (v->count - at) * sizeof(struct view_entry *));
	memmove(v->head + at + 1, v->head + at, (v->count - at) * sizeof(*v->head));
	v->entry[at] = e;
	v->head[at] = search_head(&m->id);
	v->count++;
	*out = e;
	return 0;
}

int view_put(struct view *v, struct member *m, struct view_entry **out)
{
	struct view_entry *e = view_find(v, &m->id);
	int rc;

	if (!e) {
		rc = make_entry(v, m, &e);
		if (rc)
			return rc;
	} else {
		v->tombstones -= view_gone(e);
		member_drop(e->member);
	}
	e->member = member_hold(m);
	v->tombstones += view_gone(e);
	v->stale |= UINT64_C(1) << view_part(&m->id);
	v->root_stale = true;
	*out = e;
	return 0;
}

unsigned int view_part(const struct address *id)
{
	return id->b[0] >> (8 - PART_BITS);
}

/* A tombstone wins over every incarnation, so it is told as the highest there is. */
void view_summary(const struct view_entry *e, struct wire_summary *out)
{
	*out = (struct wire_summary){
		.id = e->member->id,
		.incarnation = view_gone(e) ? VIEW_TOMBSTONE : e->member->incarnation,
	};
	memcpy(out->hash, e->member->hash.b, sizeof(out->hash));
}

static void hash_part(struct view *v, unsigned int part)
{
	struct address first = { .b = { (uint8_t)(part << (8 - PART_BITS)) } };
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, WIRE_HASH);
	for (unsigned int i = view_from(v, &first); i < v->count; i++) {
		uint8_t bytes[WIRE_SUMMARY_LEN];
		struct wire_summary s;

		if (view_part(&v->entry[i]->member->id) != part)
			break;
		view_summary(v->entry[i], &s);
		wire_summary_put(&s, bytes);
		crypto_generichash_update(&st, bytes, sizeof(bytes));
	}
	crypto_generichash_final(&st, v->part[part].b, WIRE_HASH);
}

const struct wire_hash *view_parts(struct view *v)
{
	for (unsigned int i = 0; i < VIEW_PARTS && v->stale; i++) {
		if (v->stale & UINT64_C(1) << i) {
			hash_part(v, i);
			v->stale &= ~(UINT64_C(1) << i);
		}
	}
	return v->part;
}

const struct address *view_digest(struct view *v)
{
	if (v->root_stale) {
		view_parts(v);
		crypto_generichash(v->root.b, ADDRESS_LEN, v->part[0].b, sizeof(v->part), NULL, 0);
		v->root_stale = false;
	}
	return &v->root;
}
