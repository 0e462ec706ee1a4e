/*
 * shelf_impl: what the files of the shelf share: shelf.c (open, close), shelf_read.c (the catalogue), shelf_write.c (commits),
 * shelf_lease.c (leases), shelf_fresh.c (our own volume), shelf_compare.c (after a crash).
 *
 * A record's states are the table that its row is in: each combination has its own, so that all those of some states are
 * found in order without a look at others.
 */
#ifndef DHT_PEER_SHELF_IMPL_H
#define DHT_PEER_SHELF_IMPL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "dht/peer/shelf.h"
#include "dht/store.h"

/* The four that a record can be in, by their bits; then the others. */
enum shelf_table {
	SHELF_META,
	SHELF_OWNED = STATE_OWNED,
	SHELF_FOREIGN = STATE_FOREIGN,
	SHELF_BOTH = STATE_OWNED | STATE_FOREIGN,
	SHELF_CACHED = STATE_CACHED,
	SHELF_ROWS,		/* table, key -> bytes, sum */
	SHELF_LEASES,		/* slot, volume -> count, sum of the addresses, blob, sum */
	SHELF_PAGES,		/* slot, volume, first address -> addresses */
	SHELF_LEASED,		/* address -> how many leases have it */
	SHELF_VOLUMES,		/* volume -> number, bytes, records */
	SHELF_NUMBERS,		/* number -> volume */
	SHELF_FRESHS,		/* address -> nothing */
	SHELF_TABLES
};
#define SHELF_RECORDS (SHELF_CACHED + 1)		/* tables below this, but for the first, have records */

enum {
	SHELF_RECORD_LEN = 8,	/* le32 number of the volume, or 0; le32 stored bytes */
	SHELF_VOLUME_LEN = 20,	/* le32 number, le64 bytes, le64 records */
	SHELF_ROW_KEY = 1 + ADDRESS_LEN,
	SHELF_LEASE_KEY = 2 + ADDRESS_LEN,	/* be16 slot, volume */
	SHELF_PAGE_KEY = SHELF_LEASE_KEY + ADDRESS_LEN,
	SHELF_LEASE_HEAD = 12,	/* le32: addresses; le64: their sum */
	SHELF_SUM = 8,		/* LMDB has no sums of its own */
	SHELF_PAGE = 127,	/* addresses; with their head they fill a page of LMDB */
	SHELF_IDLE = 8,		/* read transactions kept for the next reader */
	SHELF_STALE = 1024,	/* rows without a record that await their removal; others are seen again */
};

/* The one row of SHELF_META, in memory. */
struct shelf_meta {
	struct store_mark mark;		/* where closed: of the store then */
	bool closed;
	uint64_t bytes[SHELF_RECORDS];	/* stored, of the records of a table */
	uint32_t numbers;		/* of volumes, so far */
};

struct shelf {
	struct catalogue catalogue;	/* first */
	struct store *store;
	uint64_t store_id;		/* its mark's; it never changes */
	MDB_env *env;
	MDB_dbi table[SHELF_TABLES];
	char *mark;			/* path of the file that says: not to be used again */
	struct shelf_meta meta;		/* as committed; the writer's, and under the lock for others */
	uint64_t file_bytes;		/* the writer's */
	int failed;			/* the writer's: what the last commit said */
	atomic_int broken;		/* the first read that failed said this */
	pthread_mutex_t write_lock;	/* held by who commits; covers these: */
	struct address own;
	bool has_own, collecting;
	bool behind;			/* the store has more */
	pthread_mutex_t lock;		/* covers what follows */
	MDB_txn *idle[SHELF_IDLE];
	unsigned int idle_count;
	struct address stale[SHELF_STALE];
	size_t stale_count;
};

/* shelf.c */

/** shelf_error(rc): what LMDB said, as -errno. */
int shelf_error(int rc);
MDB_val shelf_value(const void *data, size_t len);

/** shelf_begins(key, bytes, len): with these; a disk that lies may have shorter keys than are ever put. */
bool shelf_begins(MDB_val key, const void *bytes, size_t len);

/** shelf_reader(s, out): a read transaction at the newest commit: 0 or -errno.  shelf_reader_end(s, txn). */
int shelf_reader(struct shelf *s, MDB_txn **out);
void shelf_reader_end(struct shelf *s, MDB_txn *txn);

/** shelf_condemn(s): who opens it next shall not use it. */
void shelf_condemn(const struct shelf *s);

/** shelf_grow(s, pages): the file is long enough for so many more: LMDB may leave out to write the last ones, and
 * a map that is longer than its file kills the process. */
int shelf_grow(struct shelf *s, uint64_t pages);

/** shelf_put_meta(s, txn, m): 0 or -errno. */
int shelf_put_meta(struct shelf *s, MDB_txn *txn, const struct shelf_meta *m);

/* shelf_read.c */

/** shelf_catalogue_init(s): what the node asks. */
void shelf_catalogue_init(struct shelf *s);

/** shelf_find(s, txn, a, value): the table that has ${a}, 0: none; *${value} is valid as long as ${txn}. */
unsigned int shelf_find(struct shelf *s, MDB_txn *txn, const struct address *a, MDB_val *value);

/** shelf_read_failed(s, rc): a read said ${rc}: unless that is 0 or -ENOENT it is broken; where that is damage, the next who opens it is told, too. */
void shelf_read_failed(struct shelf *s, int rc);

void shelf_row_key(const struct catalogue_row_key *key, uint8_t out[SHELF_ROW_KEY]);
void shelf_lease_key(unsigned int slot, const struct address *volume, uint8_t out[SHELF_LEASE_KEY]);

/* The rows of records of some tables, in the order of addresses. */
struct shelf_walk {
	struct {
		MDB_cursor *cursor;	/* NULL: this table is not wanted, or at its end */
		MDB_val key;
	} at[SHELF_RECORDS];
	unsigned int least;		/* the table whose row is the next; 0: none */
};

/** shelf_walk(w, s, txn, states): of the tables with any of ${states}.  Then shelf_walk_to(w, from) moves to the first that is not below (NULL:
 * the first), shelf_walk_next(w) to the next; 0, also at the end, or -errno.  shelf_walk_end(w). */
int shelf_walk(struct shelf_walk *w, const struct shelf *s, MDB_txn *txn, unsigned int states);
int shelf_walk_to(struct shelf_walk *w, const struct address *from);
int shelf_walk_next(struct shelf_walk *w);
void shelf_walk_end(struct shelf_walk *w);

/** shelf_walk_at(w): NULL at the end; not aligned for more than bytes. */
const struct address *shelf_walk_at(const struct shelf_walk *w);

/* shelf_lease.c */

/** shelf_set_lease(s, txn, l): 0 or -errno; -EINVAL: its addresses do not rise. */
int shelf_set_lease(struct shelf *s, MDB_txn *txn, const struct catalogue_lease *l);

/** shelf_lease_count(s, txn, l): of the addresses that the lease of this volume and slot has now. */
uint32_t shelf_lease_count(struct shelf *s, MDB_txn *txn, const struct catalogue_lease *l);

/* shelf_sum.c */

/** shelf_sum(s, table, key, bytes, len): of what ${table} has, or shall have, at ${key}. */
uint64_t shelf_sum(const struct shelf *s, enum shelf_table table, MDB_val key, const void *bytes, size_t len);

/** shelf_unseal(s, table, key, value): *${value}, of a row or a lease, without its sum: 0, or -EUCLEAN: it is not what was saved. */
int shelf_unseal(const struct shelf *s, enum shelf_table table, MDB_val key, MDB_val *value);

/** shelf_check_sums(s, txn): all rows and leases, but for the addresses of these: 0 or -errno. */
int shelf_check_sums(const struct shelf *s, MDB_txn *txn);

/* shelf_fresh.c */

/** shelf_load_own(s, txn): the volume of earlier runs.  0, also where there is none, or -errno. */
int shelf_load_own(struct shelf *s, MDB_txn *txn);

/** shelf_fresh_add(s, txn, a): it was added for our own volume.  shelf_fresh_leased(s, txn, l): this lease has been made.  0 or -errno. */
int shelf_fresh_add(struct shelf *s, MDB_txn *txn, const struct address *a);
int shelf_fresh_leased(struct shelf *s, MDB_txn *txn, const struct catalogue_lease *l);
/** shelf_is_fresh(s, txn, a): our own volume wants it, and no lease has it yet. */
bool shelf_is_fresh(struct shelf *s, MDB_txn *txn, const struct address *a);

/* shelf_compare.c */

/** shelf_compare(s, records): what the store has is on the shelf, and nothing else.  0 or -errno. */
int shelf_compare(struct shelf *s, uint64_t *records);

#endif
