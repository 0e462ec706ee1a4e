/*
 * shelf: what this node notes about its records beside where they lie: their states, its rows, its leases.  The
 * catalogue (dht/net/catalogue.h) of a real node, in one LMDB environment STORE/shelf.
 *
 * The store says what is here, the shelf what it is to the ring.  So a record that the shelf knows nothing of is FOREIGN, which
 * is never evicted and goes to its owners: a store that was filled before it joined a ring, a shelf that was lost, and
 * what a crash left behind are all that; lists have it once it was adopted.  What the shelf notes of records that are not in
 * the store is not seen, and removed.
 *
 * Its catalogue is read by the loop's thread, and now and then by others; changes come from these, one at a time, nearly all from the disk's, each
 * batch one transaction, durable when shelf_commit() returns, and seen by the reader from then on.
 */
#ifndef DHT_PEER_SHELF_H
#define DHT_PEER_SHELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/net/catalogue.h"

#define SHELF_FILE "shelf"

struct shelf;
struct store;

/**
 * shelf_open(dir, store, out, why, why_size): open ${dir}/shelf, or make it, for the records of ${store}, which outlives it.  After anything
 * but an orderly close, and where the store has been changed without it, it is compared with the store, record by record: some seconds
 * for 10,000,000; then ${why} says so where it took a second or more, or is "".
 * -EUCLEAN: damaged (${why} says what to do: its rows - heads, leases - are nowhere else on this node), -EPROTO, -ENOSPC, -ENOMEM, ...
 */
int shelf_open(const char *dir, struct store *store, struct shelf **out, char *why, size_t why_size);

/** shelf_close(s): 0 or what the last commit said. */
int shelf_close(struct shelf *s);

/** shelf_catalogue(s): to be asked by any thread; valid until shelf_close(). */
struct catalogue *shelf_catalogue(struct shelf *s);

/* One change of a batch. */
struct shelf_change {
	enum { SHELF_STATES, SHELF_ADD, SHELF_FORGET, SHELF_ROW, SHELF_LEASE, SHELF_KEEP } kind;
	struct address address;		/* STATES: set; ADD: add ${states}, OWNED and FOREIGN end CACHED; FORGET: the record goes;
					 * KEEP: it is fresh, here or not */
	unsigned int states;
	struct address volume;		/* ADD: on whose behalf, counted at the first one; zeros: nobody's */
	uint32_t bytes;			/* ADD: stored ones */
	bool known;			/* ADD: the record was here before: FOREIGN where the shelf has nothing of it */
	struct catalogue_row_key row;	/* ROW */
	struct chunk *chunk;		/* ROW: NULL removes; held by the caller until the commit returns */
	const struct catalogue_lease *lease;	/* LEASE; likewise */
	int result;			/* out: 0 or -errno of this one; -ENOENT: STATES, FORGET of what is not here */
};

/** shelf_commit(s, changes, n): all of them, durably, in order.  0, or -errno: then none was made (and each says so). */
int shelf_commit(struct shelf *s, struct shelf_change *changes, size_t n);

/* How far the shelf has been compared with the store; zeros: not begun. */
struct shelf_adoption {
	struct address after, from;
	bool begun;
	bool left_out;			/* out, at its end: some were busy, or not durable yet */
};

/**
 * shelf_adopt(s, at, busy, arg): what is in the store, durably, and not on the shelf gets its row, FOREIGN, unless it is ${busy}: about to get one;
 * rows without a record go.  Some thousand records at a time, until at->begun is false again.  By the thread that commits.  0 or -errno.
 */
int shelf_adopt(struct shelf *s, struct shelf_adoption *at, bool (*busy)(void *arg, const struct address *a), void *arg);

/** shelf_broken(s): 0, or why something of it, or of the store's ledger, could not be read since it was opened: what it said then, and says from now on, may lack something.  The node
 * must not go on.  Any thread. */
int shelf_broken(struct shelf *s);

struct shelf_totals {
	uint64_t records;
	uint64_t owned, foreign, cached;	/* of these */
	uint64_t cached_bytes, foreign_bytes;	/* stored, about */
	uint64_t leases, leased;		/* leases here; addresses in them */
	uint64_t fresh;				/* of the volume that is written here, and in no lease of it yet */
};
/** shelf_totals(s, out): any thread. */
void shelf_totals(struct shelf *s, struct shelf_totals *out);

/** shelf_evict(s, cursor, leased, n, out): up to ${n} addresses of records that are CACHED, and ${leased} or not, from *${cursor} on,
 * which moves behind them; 0: no more before the end, where it is the first again.  Any thread. */
size_t shelf_evict(struct shelf *s, struct address *cursor, bool leased, size_t n, struct address *out);

/** shelf_volume(s, a, out): on whose behalf ${a} was written first; zeros: nobody's.  Any thread. */
void shelf_volume(struct shelf *s, const struct address *a, struct address *out);

#define SHELF_BASE_UNKNOWN UINT64_MAX

/*
 * The volume that is written here.  What is added on its behalf is fresh until a lease of it holds it.  All of these: any thread.
 *
 * shelf_own(s, volume): that is it; before anything is added for it.  Durable: from the next open on, records that the shelf has not heard of are
 * the volume's, until a collection says otherwise; and when it is told for the first time, so are those that are here on nobody's behalf.
 * shelf_owns(s, volume): it was told so, in this run or before.
 * shelf_put_base(s, base): where numbers of its leases begin (leasing.c), if not where its key says; SHELF_BASE_UNKNOWN: above all that the ring has, and
 * what these are is not known here any more.  Durable.  shelf_base(s, base): what was put; -ENOENT: nothing.
 * shelf_collecting(s, yes): its leases are being made shorter: what is added meanwhile is fresh also where a lease holds it.
 * shelf_keep(s, addresses, n): these are fresh too, here or not; durable.
 *
 * shelf_fresh(s, cursor, n, out): up to ${n} fresh addresses from *${cursor} on, in order; it moves behind them.  Their number; 0: no more; -errno.
 * shelf_unconfirmed(s, cursor, n, out): likewise, those of its records that are FOREIGN.
 *
 * shelf_behind(s): the store has records that the shelf was not told of: they are compared when it is opened again.
 *
 * shelf_lease(s, volume, slot): as catalogue.lease().  shelf_lease_list(s, volume, slot, out, count): all its addresses, in order, malloc'ed; NULL
 * where there are none.
 */
int shelf_own(struct shelf *s, const struct address *volume);
bool shelf_owns(struct shelf *s, const struct address *volume);
int shelf_base(struct shelf *s, uint64_t *base);
int shelf_put_base(struct shelf *s, uint64_t base);
void shelf_collecting(struct shelf *s, bool collecting);
int shelf_fresh(struct shelf *s, struct address *cursor, size_t n, struct address *out);
int shelf_unconfirmed(struct shelf *s, struct address *cursor, size_t n, struct address *out);
void shelf_behind(struct shelf *s);
int shelf_keep(struct shelf *s, const struct address *addresses, size_t n);
struct chunk *shelf_lease(struct shelf *s, const struct address *volume, unsigned int slot);
int shelf_lease_list(struct shelf *s, const struct address *volume, unsigned int slot, struct address **out, uint32_t *count);

#endif
