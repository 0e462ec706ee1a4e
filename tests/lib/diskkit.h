/*
 * diskkit: the disk of a node (dht/peer/disk.h) over a store and a shelf in a folder of their own, for its tests: effects are started, and
 * what it tells is awaited.  Only one kit at a time.
 */
#ifndef TESTS_LIB_DISKKIT_H
#define TESTS_LIB_DISKKIT_H

#include <pthread.h>

#include "chunker/codec.h"
#include "dht/peer/disk.h"
#include "tests/lib/dhttest.h"

#define DISKKIT_TICKETS 65536
#define DISKKIT_WORKERS 2

struct diskkit {
	struct dhttest files;
	struct io io;
	struct store *store;
	struct shelf *shelf;
	struct disk *disk;		/* NULL: a test has closed it */
	struct catalogue *c;
	char why[512];
	struct codec *codec;

	pthread_mutex_t lock;
	pthread_cond_t told;
	struct event done[DISKKIT_TICKETS];	/* under lock; kind 0: not told yet */
	uint64_t order[DISKKIT_TICKETS], told_count;	/* in which they were told */
	uint64_t next;			/* ticket */
	uint64_t held;			/* under lock: who tells of this one is kept waiting */
	unsigned int adopt_s;
};

/** diskkit_new(size_max, adopt_s): all open; ${size_max} is the store's, ${adopt_s} the disk's.  diskkit_setup(state), diskkit_teardown(state): for
 * cmocka, without a limit. */
struct diskkit *diskkit_new(uint64_t size_max, unsigned int adopt_s);
int diskkit_setup(void **state);
int diskkit_teardown(void **state);

/** diskkit_open(k), diskkit_close(k): store, shelf and disk.  diskkit_open_disk(k): it alone. */
void diskkit_open(struct diskkit *k);
void diskkit_close(struct diskkit *k);
void diskkit_open_disk(struct diskkit *k);

/** diskkit_start(k, e): its ticket.  diskkit_await(k, ticket): what the disk said.  diskkit_run(k, e): both; the result. */
uint64_t diskkit_start(struct diskkit *k, struct effect e);
const struct event *diskkit_await(struct diskkit *k, uint64_t ticket);
int diskkit_run(struct diskkit *k, struct effect e);

/** diskkit_raw(seed, len, a): bytes that compress well where ${seed} is odd.  diskkit_address(seed, len): theirs. */
struct chunk *diskkit_raw(uint64_t seed, size_t len, struct address *a);
struct address diskkit_address(uint64_t seed, size_t len);

/** diskkit_write_of(k, seed, len, states): the write of these bytes; its chunk is the caller's.  diskkit_start_write(): it is started.
 * diskkit_write(): and awaited.  diskkit_assert_read(k, seed, len): they are read. */
struct effect diskkit_write_of(struct diskkit *k, uint64_t seed, size_t len, unsigned int states);
uint64_t diskkit_start_write(struct diskkit *k, uint64_t seed, size_t len, unsigned int states);
int diskkit_write(struct diskkit *k, uint64_t seed, size_t len, unsigned int states);
void diskkit_assert_read(struct diskkit *k, uint64_t seed, size_t len);

/* Who walks over the shelf, or reads chunks, waits at this gate, as on a disk that is slow. */
enum diskkit_gate { DISKKIT_NONE, DISKKIT_WALKS, DISKKIT_READS };

/** diskkit_set_gate(what): it is shut for these.  diskkit_at_gate(): how many have come to it since then. */
void diskkit_set_gate(enum diskkit_gate what);
unsigned int diskkit_at_gate(void);

#endif
