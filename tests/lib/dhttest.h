/* dhttest: a store in a folder of its own, for the tests of dht. */
#ifndef TESTS_LIB_DHTTEST_H
#define TESTS_LIB_DHTTEST_H

#include <pthread.h>

#include "dht/dht.h"
#include "dht/io.h"
#include "tests/lib/suite.h"

struct dhttest {
	char dir[256];		/* removed at the end */
	struct dht_options options;
	struct dht *dht;	/* NULL: closed */
	char why[512];		/* what the last open said */
	char log[8192];		/* every line of the store's log */
	size_t log_len;
};

/** dhttest_begin(t): a fresh folder, nothing open.  dhttest_end(t) closes and removes. */
void dhttest_begin(struct dhttest *t);
void dhttest_end(struct dhttest *t);

/** dhttest_setup(state), dhttest_teardown(state): the same for cmocka, of a struct dhttest at *${state};
 * dhttest_setup_open(state) opens it too. */
int dhttest_setup(void **state);
int dhttest_setup_open(void **state);
int dhttest_teardown(void **state);

/** dhttest_open(t): as dht_open().  dhttest_must_open(t), dhttest_close(t): which must succeed.
 * dhttest_reopen(t): close and open, which must succeed. */
int dhttest_open(struct dhttest *t);
void dhttest_must_open(struct dhttest *t);
void dhttest_close(struct dhttest *t);
void dhttest_reopen(struct dhttest *t);

/** dhttest_path(t, name): the path of a file of the store; valid until the next call. */
const char *dhttest_path(struct dhttest *t, const char *name);

/** dhttest_copy(from, to): a file.  dhttest_copy_ledger(from, to): one that is being written to, as of
 * its last commit. */
void dhttest_copy(const char *from, const char *to);
void dhttest_copy_ledger(const char *from, const char *to);

/** dhttest_chunk(seed, len): bytes that only ${seed} decides and that do not compress. */
struct chunk *dhttest_chunk(uint64_t seed, size_t len);

/** dhttest_put(t, seed, len): insert dhttest_chunk(${seed}, ${len}) as data; what that said. */
int dhttest_put(struct dhttest *t, uint64_t seed, size_t len);

#define BURST_MAX 32

/* Inserts that run at once. */
struct dhttest_burst {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t n, left;		/* left: under lock */
	struct dht_op ops[BURST_MAX];
	bool done[BURST_MAX];	/* under lock */
};

/** dhttest_burst(t, b, first, n, len): insert seeds ${first}..., of the lengths ${len}.
 * dhttest_lookups(t, b, first, n, len_of): look them up instead.
 * dhttest_burst_done(b, done): which are done by now; dhttest_burst_end(b): wait for all. */
void dhttest_burst(struct dhttest *t, struct dhttest_burst *b, uint64_t first, size_t n,
    const size_t *len);
void dhttest_lookups(struct dhttest *t, struct dhttest_burst *b, uint64_t first, size_t n,
    size_t (*len_of)(uint64_t seed));
void dhttest_burst_done(struct dhttest_burst *b, bool *done);
void dhttest_burst_end(struct dhttest_burst *b);

/** dhttest_get(t, seed, len): look it up.  0 only with the right bytes; wrong ones fail the test. */
int dhttest_get(struct dhttest *t, uint64_t seed, size_t len);

/** dhttest_address(seed, len, out): its address. */
void dhttest_address(uint64_t seed, size_t len, struct address *out);

/** dhttest_random(state): the next of a sequence (splitmix64). */
uint64_t dhttest_random(uint64_t *state);

#endif
