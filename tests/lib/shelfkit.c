#include "tests/lib/shelfkit.h"

void shelfkit_open_store(struct shelfkit *k)
{
	assert_int_equal(store_open(&k->files.options, false, NULL, NULL, NULL, &k->store, k->why, sizeof(k->why)), 0);
}

int shelfkit_open_shelf(struct shelfkit *k)
{
	int rc = shelf_open(k->files.dir, k->store, &k->shelf, k->why, sizeof(k->why));

	k->c = rc == 0 ? shelf_catalogue(k->shelf) : NULL;
	return rc;
}

void shelfkit_open(struct shelfkit *k)
{
	shelfkit_open_store(k);
	assert_int_equal(shelfkit_open_shelf(k), 0);
}

void shelfkit_close(struct shelfkit *k)
{
	assert_int_equal(shelf_close(k->shelf), 0);
	assert_int_equal(store_close(k->store), 0);
	k->shelf = NULL;
	k->store = NULL;
}

void shelfkit_reopen(struct shelfkit *k)
{
	shelfkit_close(k);
	shelfkit_open(k);
}

void shelfkit_begin(struct shelfkit *k)
{
	dhttest_begin(&k->files);
	shelfkit_open(k);
}

void shelfkit_end(struct shelfkit *k)
{
	shelf_close(k->shelf);
	store_close(k->store);
	dhttest_end(&k->files);
}

void shelfkit_put(struct shelfkit *k, uint64_t seed, size_t len, struct address *a)
{
	struct chunk *c = dhttest_chunk(seed, len);

	dhttest_address(seed, len, a);
	assert_int_equal(store_put(k->store, KIND_DATA, a, c, false), 0);
	chunk_drop(c);
}
