/* shelfkit: a store and the shelf over it, in a folder of their own, for the tests of the shelf. */
#ifndef TESTS_LIB_SHELFKIT_H
#define TESTS_LIB_SHELFKIT_H

#include "dht/peer/shelf.h"
#include "dht/store.h"
#include "tests/lib/dhttest.h"

struct shelfkit {
	struct dhttest files;
	struct store *store;	/* NULL: closed */
	struct shelf *shelf;
	struct catalogue *c;	/* the shelf's */
	char why[512];		/* what the last open said */
};

/** shelfkit_begin(k): a fresh folder, both open.  shelfkit_end(k) closes and removes. */
void shelfkit_begin(struct shelfkit *k);
void shelfkit_end(struct shelfkit *k);

/** shelfkit_open_store(k); shelfkit_open(k), shelfkit_close(k), shelfkit_reopen(k), of both: these must succeed.
 * shelfkit_open_shelf(k): as shelf_open(). */
void shelfkit_open_store(struct shelfkit *k);
void shelfkit_open(struct shelfkit *k);
int shelfkit_open_shelf(struct shelfkit *k);
void shelfkit_close(struct shelfkit *k);
void shelfkit_reopen(struct shelfkit *k);

/** shelfkit_put(k, seed, len, a): dhttest_chunk(${seed}, ${len}) into the store; sets *${a}. */
void shelfkit_put(struct shelfkit *k, uint64_t seed, size_t len, struct address *a);

#endif
