/* address_catalogue: a catalogue that holds a sorted array of addresses, all leased and owned, and counts what is read. */
#ifndef TESTS_ADDRESS_CATALOGUE_H
#define TESTS_ADDRESS_CATALOGUE_H

#include "dht/net/catalogue.h"

struct address_catalogue {
	struct catalogue catalogue;
	struct address *a;
	size_t n, room;
	uint64_t reads;			/* addresses given out, and calls */
};

void address_catalogue_init(struct address_catalogue *c);
void address_catalogue_free(struct address_catalogue *c);

/** address_catalogue_fill(c, n, seed): ${n} random addresses, sorted, instead of what was there. */
void address_catalogue_fill(struct address_catalogue *c, size_t n, uint64_t seed);

/** address_catalogue_add(), address_catalogue_remove(): false: it was there, or was not. */
bool address_catalogue_add(struct address_catalogue *c, const struct address *a);
bool address_catalogue_remove(struct address_catalogue *c, const struct address *a);

#endif
