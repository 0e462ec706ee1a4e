/* disk_impl: what the two files of a disk share: disk.c changes it, catalogue.c answers questions about it. */
#ifndef TESTS_SIM_DISK_IMPL_H
#define TESTS_SIM_DISK_IMPL_H

#include "tests/sim/disk.h"

#define ROW_KEY	 (1 + ADDRESS_LEN)
#define LEASE_KEY (2 + ADDRESS_LEN)

struct row {
	uint8_t key[ROW_KEY];		/* table, key */
	struct chunk *chunk;
};

struct lease_row {
	uint8_t key[LEASE_KEY];		/* slot big-endian, volume */
	struct chunk *blob;
	struct address *addresses;
	uint32_t count;
};

/* An address that some lease has. */
struct leased {
	struct address address;
	unsigned int leases;
};

void catalogue_init(struct catalogue *c);
void catalogue_row_key(uint8_t table, const struct address *key, uint8_t out[ROW_KEY]);
void catalogue_lease_key(unsigned int slot, const struct address *volume, uint8_t out[LEASE_KEY]);

#endif
