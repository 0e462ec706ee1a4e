/*
 * books: what a just observer knows: each chunk, who really has it, who falsely says so, and what was promised of
 * it.  Told by disks and by users as it happens.
 */
#ifndef TESTS_SIM_BOOKS_H
#define TESTS_SIM_BOOKS_H

#include "chunker/chunk.h"
#include "dht/net/node.h"
#include "tests/sim/world.h"

enum loss {
	LOST_BY_FAULT,		/* of a disk: rot, a lost disk */
	LOST_BY_NODE,		/* the node deleted it */
	LOST_BY_SPACE,		/* evicted: it was only cached */
	LOST_BY_PLANT,		/* nobody knows how */
};

struct item {
	struct address address;		/* first: the key */
	struct chunk *chunk;
	unsigned int number, volume;	/* volume: which one wants it */
	uint16_t *holder;		/* hosts that have it, durable and whole */
	unsigned int holders, holders_size;
	unsigned int promised;		/* copies: W, or R when all had it; 0: nothing promised yet */
	unsigned int hits;		/* copies lost by faults since then */
	unsigned int losses;		/* copies lost by faults, ever */
	uint64_t acked;			/* when; 0: never */
	bool inserted;			/* somebody was asked to */
	bool wanted;			/* by its volume */
	uint64_t asked;			/* liars by index, who may have said that they have it because they were asked to */
	uint64_t leased;		/* since when a lease that holds it is acknowledged; 0: none is */
	unsigned int lease_hits;	/* disks with it that were lost and left no majority of owners with it, since all last had it */
	unsigned int lease_losses, lease_asked;	/* the same, ever; and when the lease under way was begun */
	uint64_t dropped;		/* since when no lease that was ever sent and not superseded holds it; 0: one may */
};

void books_open(struct world *w);
void books_close(struct world *w);

struct item *books_add(struct world *w, const void *bytes, size_t len);	/* or the one that is there */
struct item *books_find(struct world *w, const struct address *a);
struct item *books_item(struct world *w, unsigned int i);
unsigned int books_count(const struct world *w);

/* What disks and the nemesis tell. */
void books_stored(struct world *w, struct host *h, const struct address *a);
void books_kept(struct world *w, const struct address *a);	/* somebody has it who knows now that he is its owner */
/** books_lost(w, h, a, how, kept): ${kept}: it was not a copy that was only cached. */
void books_lost(struct world *w, struct host *h, const struct address *a, enum loss how, bool kept);
/** books_leased(w, i, by): a lease that holds it was acknowledged to the user of ${by}. */
void books_leased(struct world *w, struct item *i, struct host *by);
void books_lease_lost(struct world *w, const struct host *h, const struct address *a);	/* its disk, with a lease of ${a}, is about to be lost */
void books_gone(struct world *w, struct host *h, bool by_fault);	/* with all it has: left, or was evicted */

/** books_acked(w, i, by, acks, losses): an insert is answered with 0; when it began books_known() was ${losses}.  Judges.
 * books_known(w, i): losses that somebody has seen: a copy that rots may be believed in until it is read. */
unsigned int books_known(struct world *w, const struct item *i);

/** books_evicted(w, i): machines that the admin has given up, and that have it: they can prove it to who has not heard of that. */
unsigned int books_evicted(struct world *w, const struct item *i);
void books_acked(struct world *w, struct item *i, struct host *by, unsigned int acks, unsigned int losses);

bool books_has(const struct item *i, const struct host *h);
/** books_excused(w, i): as many copies were lost, or falsely acknowledged, as were promised. */
bool books_excused(struct world *w, const struct item *i);
/** books_asked(w, h, a): ${h}, who may say what is not, is asked to keep ${a}. */
void books_asked(struct world *w, const struct host *h, const struct address *a);
/** books_false(w, i): members who may have said that they have ${i}, because they were asked to, and have not. */
unsigned int books_false(struct world *w, const struct item *i);

/** books_changed(w): who is a member, or a weight or zone.  books_table(w): the table as it should be, of all that are members, with or without a process.  Shared; not to be freed. */
void books_changed(struct world *w);
const struct ring *books_table(struct world *w);
/** books_owner(w, r, a, rank): a host by its rank; NULL where it is not known. */
struct host *books_owner(struct world *w, const struct ring *r, const struct address *a, unsigned int rank);

#endif
