/*
 * memory_catalogue: the disk of a node in memory: a catalogue (catalogue.h), and the effects that change it.  Chunks are
 * stored as they are: their stored form is their bytes.
 */
#ifndef TESTS_MEMORY_CATALOGUE_H
#define TESTS_MEMORY_CATALOGUE_H

#include "dht/net/node.h"

struct memory_array {			/* of pointers, in order */
	void **item;
	size_t count, room;
};

struct memory_catalogue {
	struct catalogue catalogue;	/* the first */
	struct memory_array records, leases, leased;
	size_t labelled[STATE_ANY + 1];	/* records that have just these states */
	struct memory_row *rows;
	uint64_t space;			/* bytes that can still be written */
	unsigned int written, deleted;	/* records, so far */
};

void memory_catalogue_init(struct memory_catalogue *c, uint64_t space);
void memory_catalogue_free(struct memory_catalogue *c);

/** memory_catalogue_apply(c, e, done): carry out an effect of the disk (EFFECT_READ to EFFECT_LEASE); fills in the event that
 * answers it, whose chunk is held for the caller. */
void memory_catalogue_apply(struct memory_catalogue *c, const struct effect *e, struct event *done);

/** memory_catalogue_rot(c, a): flips a bit of the record; it is found bad when it is next read. */
void memory_catalogue_rot(struct memory_catalogue *c, const struct address *a);

unsigned int memory_catalogue_count(const struct memory_catalogue *c);

#endif
