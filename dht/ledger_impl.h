/* ledger_impl: what ledger.c (open, read) and ledger_write.c share. */
#ifndef DHT_LEDGER_IMPL_H
#define DHT_LEDGER_IMPL_H

#include <lmdb.h>
#include <pthread.h>

#include "dht/ledger.h"

#define IDLE_MAX    64			/* read transactions kept for the next reader */

enum { TABLE_META, TABLE_CHUNKS, TABLE_SEGMENTS, TABLES };

enum state { STATE_KEPT = 1, STATE_SET_ASIDE = 2 };

enum { ENTRY_LEN = 20, ROW_LEN = 8, META_LEN = 56 };
#define FORMAT	    2
#define LEDGER_META_KEY "ledger"

/* The rows of segments, by number: in memory, since every entry that changes changes one. */
struct rows {
	struct ledger_segment *all;
	size_t count, room;
};

struct ledger {
	char *mark;			/* path of the file that says: not to be used again */
	MDB_env *env;
	MDB_dbi table[TABLES];
	uint64_t store_id;
	struct ledger_totals totals;	/* writer's copy, under lock */
	struct rows rows;		/* as committed; changed by the writer, under lock */
	uint64_t size_bytes;		/* of the file; under lock */
	pthread_mutex_t lock;
	MDB_txn *idle[IDLE_MAX];	/* reset read transactions; under lock */
	unsigned int idle_count;	/* under lock */
};

/** ledger_error(rc): what LMDB said, as -errno. */
int ledger_error(int rc);

/** ledger_condemn(l): who opens it next shall not use it.  Also called when LMDB is about to abort. */
void ledger_condemn(const struct ledger *l);

MDB_val ledger_value(const void *data, size_t len);

/** ledger_entry(key, value, out): 0 or -EBADMSG. */
int ledger_entry(const MDB_val *key, const MDB_val *value, struct record *out);

/** ledger_put_meta(l, txn, t): the row that says whose ledger this is, and its totals. */
int ledger_put_meta(struct ledger *l, MDB_txn *txn, const struct ledger_totals *t);

/** rows_at(t, number): its row, made where there is none.  NULL: no memory.  rows_find(t, number):
 * NULL where there is none. */
struct ledger_segment *rows_at(struct rows *t, uint32_t number);
struct ledger_segment *rows_find(const struct rows *t, uint32_t number);

/** rows_copy(to, from): 0 or -ENOMEM.  rows_load(l, txn): all of the table into l->rows. */
int rows_copy(struct rows *to, const struct rows *from);
int rows_load(struct ledger *l, MDB_txn *txn);

/** rows_store(l, txn, t): into the table what ${t} says otherwise than l->rows.  ${t} loses rows that say
 * nothing. */
int rows_store(struct ledger *l, MDB_txn *txn, struct rows *t);

/** ledger_reader(l, out): a read transaction at the newest commit.  ledger_reader_end(l, txn). */
int ledger_reader(struct ledger *l, MDB_txn **out);
void ledger_reader_end(struct ledger *l, MDB_txn *txn);

#endif
