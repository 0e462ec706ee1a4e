/* sorted: pointers to things whose first bytes are their key, in the order of memcmp.  Blocks of a sorted array. */
#ifndef TESTS_SIM_SORTED_H
#define TESTS_SIM_SORTED_H

#include <stdbool.h>
#include <stddef.h>

struct sorted {
	size_t key_len;
	struct sorted_block **block;	/* none is empty */
	size_t blocks, size, count;
};

struct sorted_place {
	size_t block, item;
};

void sorted_init(struct sorted *s, size_t key_len);
void sorted_free(struct sorted *s, void (*release)(void *item));	/* release: NULL: the items are not owned */

void *sorted_find(const struct sorted *s, const void *key);
void sorted_add(struct sorted *s, void *item);		/* its key is not in it yet */
void *sorted_take(struct sorted *s, const void *key);	/* out of it; NULL: it was not in it */

/** sorted_from(s, key, p): the place of the first item >= ${key} (NULL: the first of all).
 * sorted_next(s, p): the item there, and on to the next; NULL: the end.  Valid while nothing changes. */
void sorted_from(const struct sorted *s, const void *key, struct sorted_place *p);
void *sorted_next(const struct sorted *s, struct sorted_place *p);

/** sorted_at(s, i): the ${i}th item in order. */
void *sorted_at(const struct sorted *s, size_t i);

#endif
