/*
 * disk_impl: what the files of a disk share: disk.c has its chunks and what is under way, disk_rows.c rows and leases, disk_faults.c
 * what goes wrong with it; catalogue.c answers questions about it.
 */
#ifndef TESTS_SIM_DISK_IMPL_H
#define TESTS_SIM_DISK_IMPL_H

#include "tests/sim/disk.h"

#define ROW_KEY	 (1 + ADDRESS_LEN)
#define LEASE_KEY (2 + ADDRESS_LEN)

struct row {
	uint8_t key[ROW_KEY];		/* table, key */
	struct chunk *chunk;
	bool bad;			/* rotten, or torn */
};

struct lease_row {
	uint8_t key[LEASE_KEY];		/* slot big-endian, volume */
	struct chunk *blob;
	struct address *addresses;
	uint32_t count;
	bool bad;			/* its addresses count as leased no more */
};

/* An address that some lease has. */
struct leased {
	struct address address;
	unsigned int leases;
};

/** disk_save(d, e): an EFFECT_SAVE.  disk_tear(d, e): what ${e} has just saved was written in part. */
int disk_save(struct disk *d, const struct effect *e);
void disk_tear(struct disk *d, const struct effect *e);
void disk_release_row(void *item);
void disk_release_lease(void *item);

/** disk_count_lease(d, l, more): its addresses are leased once more, or once less. */
void disk_count_lease(struct disk *d, const struct lease_row *l, bool more);

/** disk_keeps(r): not only as a cached copy. */
bool disk_keeps(const struct record *r);
/** disk_make_room(d, len): lets go of what is only cached; false: there is too little of it. */
bool disk_make_room(struct disk *d, size_t len);
/** disk_forget(d, r, how): ${r} is gone. */
void disk_forget(struct disk *d, struct record *r, enum loss how);

void catalogue_init(struct catalogue *c);
void catalogue_row_key(uint8_t table, const struct address *key, uint8_t out[ROW_KEY]);
void catalogue_lease_key(unsigned int slot, const struct address *volume, uint8_t out[LEASE_KEY]);

#endif
