/*
 * disk: what one machine keeps: records of chunks, rows, leases; the catalogue that its node asks.  What a node
 * writes takes its time, and is there, and durable, when it is answered; a crash before that loses it, tears
 * it, or keeps it all the same.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "dht/net/node.h"
#include "tests/sim/books.h"
#include "tests/sim/sorted.h"

struct host;

struct record {
	struct address address;		/* first: the key */
	struct chunk *chunk;
	struct address volume;
	uint8_t kind, states;
	bool rotten;			/* its bytes are not those any more; nobody knows before he reads */
};

struct disk {
	struct catalogue catalogue;	/* first */
	struct host *host;
	uint64_t generation;
	struct sorted records, rows, leases, leased;
	uint64_t used, capacity;
	uint64_t slow;			/* times the usual */
	struct list operations;		/* under way */
	unsigned int operation_count;
	bool spoilt;			/* there are rows or leases that are not what was saved: found when it is opened */
	bool doomed;			/* the power goes when it next writes a row or a lease */
	bool forgets;			/* a liar's: says that it stored, and did not */
	struct sorted forgotten;	/* what it says it has */
};

void disks_open(struct world *w);
void disks_close(struct world *w);
struct disk *disk_new(struct host *h);
void disk_free(struct disk *d);

/** disk_start(d, e): carry out one of the effects on the disk; its EVENT_DONE comes later. */
void disk_start(struct disk *d, struct effect *e);

/** disk_crash(d, power): the process has gone: of what is under way each is done, lost, or (${power}) torn. */
void disk_crash(struct disk *d, bool power);

/** disk_leases_lost(d): it is about to be lost, or not to be asked any more: the books are told of the leases on it. */
void disk_leases_lost(struct disk *d);

/** disk_forget_leases(d), disk_forget_rows(d, table): plants. */
void disk_forget_leases(struct disk *d);
void disk_forget_rows(struct disk *d, uint8_t table);

/** disk_open(d): before a process starts: rows and leases that are rotten or torn are found, and set aside; where there are any,
 * the store has a new generation. */
void disk_open(struct disk *d);

/** disk_wipe(d): a new disk.  disk_rot(d, n): bits flip in ${n} records; disk_rot_rows(d, n): in ${n} rows and leases, while no process
 * runs.  disk_honest(d): forgets no more. */
void disk_wipe(struct disk *d);
void disk_rot(struct disk *d, unsigned int n);
void disk_rot_rows(struct disk *d, unsigned int n);
void disk_honest(struct disk *d);

/** disk_drop(d, a, how): the copy is gone, and its node was not told. */
void disk_drop(struct disk *d, const struct address *a, enum loss how);

/** disk_next_rotten(d, after): what a scrub would find next; NULL: nothing. */
struct record *disk_next_rotten(const struct disk *d, const struct record *after);

struct record *disk_find(const struct disk *d, const struct address *a);
/** disk_row(d, table, key, bytes, len), disk_lease(d, l): as if its node had saved it. */
void disk_row(struct disk *d, uint8_t table, const struct address *key, const uint8_t *bytes, size_t len);
void disk_lease(struct disk *d, const struct catalogue_lease *l);
void disk_put(struct disk *d, const struct address *a, enum kind kind, struct chunk *c, unsigned int states);

#endif
