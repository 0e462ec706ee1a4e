/* The ledger's commits, by one thread at a time. */
#include "dht/ledger_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chunker/bytes.h"

#define GROW	    ((uint64_t)64 << 10)	/* bytes that the file grows by at least */

static void entry_encode(const struct record *r, uint8_t out[ENTRY_LEN])
{
	put_le32(out, r->segment);
	put_le32(out + 4, r->offset);
	put_le32(out + 8, r->raw_len);
	put_le32(out + 12, r->stored_len);
	out[16] = r->hash;
	out[17] = r->kind;
	out[18] = r->codec;
	out[19] = r->bad ? STATE_SET_ASIDE : STATE_KEPT;
}

int ledger_put_meta(struct ledger *l, MDB_txn *txn, const struct ledger_totals *t)
{
	uint8_t meta[META_LEN] = { 0 };
	MDB_val key = ledger_value(LEDGER_META_KEY, sizeof(LEDGER_META_KEY) - 1), value = ledger_value(meta, META_LEN);

	put_le32(meta, FORMAT);
	put_le64(meta + 8, l->store_id);
	put_le64(meta + 16, t->chunks);
	put_le64(meta + 24, t->raw_bytes);
	put_le64(meta + 32, t->stored_bytes);
	put_le64(meta + 40, t->set_aside);
	return ledger_error(mdb_put(txn, l->table[TABLE_META], &key, &value, 0));
}

/*
 * Make room in the file for a commit before it is begun: a full disk is then found here,
 * and not as a transaction that fails when it is nearly done.
 */
static int grow(struct ledger *l, size_t n)
{
	MDB_envinfo info;
	MDB_stat env, chunks;
	MDB_txn *txn;
	uint64_t pages, want;
	int fd, rc = ledger_reader(l, &txn);

	if (rc < 0)
		return rc;
	rc = ledger_error(mdb_stat(txn, l->table[TABLE_CHUNKS], &chunks));
	ledger_reader_end(l, txn);
	if (rc < 0 || mdb_env_info(l->env, &info) || mdb_env_stat(l->env, &env) ||
	    mdb_env_get_fd(l->env, &fd))
		return rc < 0 ? rc : -EIO;
	/* Each record may touch a leaf and the branch above it; new ones fill leaves half. */
	pages = n < chunks.ms_leaf_pages ? n : chunks.ms_leaf_pages;
	pages += n < chunks.ms_branch_pages ? n : chunks.ms_branch_pages;
	pages += n * (ADDRESS_LEN + ENTRY_LEN + 16) / (env.ms_psize / 2) + 32;
	want = (info.me_last_pgno + 1 + pages) * env.ms_psize;
	if (want <= l->size_bytes)
		return 0;
	want = (want + GROW - 1) / GROW * GROW;
	if (fallocate(fd, 0, (off_t)l->size_bytes, (off_t)(want - l->size_bytes)) < 0) {
		if (errno != EOPNOTSUPP)
			return -errno;
		if (ftruncate(fd, (off_t)want) < 0)
			return -errno;
	}
	pthread_mutex_lock(&l->lock);
	l->size_bytes = want;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static void count(struct ledger_totals *t, const struct record *r, int sign)
{
	if (r->bad)
		return;
	t->chunks += (uint64_t)sign;
	t->raw_bytes += (uint64_t)(sign * (int64_t)r->raw_len);
	t->stored_bytes += (uint64_t)(sign * (int64_t)r->stored_len);
}

static int put_record(struct ledger *l, MDB_txn *txn, const struct record *r,
    struct ledger_totals *t)
{
	MDB_val key = ledger_value(r->address.b, ADDRESS_LEN), value;
	uint8_t entry[ENTRY_LEN];
	struct record old;
	int rc = ledger_error(mdb_get(txn, l->table[TABLE_CHUNKS], &key, &value));

	if (rc == 0) {
		/* One that can't be read was counted as the same chunk that replaces it now. */
		if (ledger_entry(&key, &value, &old) < 0) {
			old = *r;
			old.bad = false;
		}
		if (r->bad && !old.bad && !record_same_place(r, &old))
			return 0;
		count(t, &old, -1);
	} else if (rc != -ENOENT) {
		return rc;
	}
	if (r->bad)
		t->set_aside++;
	count(t, r, 1);
	entry_encode(r, entry);
	value = ledger_value(entry, ENTRY_LEN);
	return ledger_error(mdb_put(txn, l->table[TABLE_CHUNKS], &key, &value, 0));
}

/* A row that ends at 0 is none. */
static int put_row(struct ledger *l, MDB_txn *txn, const struct ledger_segment *row)
{
	uint8_t number[4], end[ROW_LEN];
	MDB_val key, value;
	int rc;

	/* Big-endian, so that rows come in the order of their numbers. */
	for (int i = 0; i < 4; i++)
		number[i] = (uint8_t)(row->number >> (24 - 8 * i));
	put_le32(end, row->end);
	key = ledger_value(number, sizeof(number));
	value = ledger_value(end, sizeof(end));
	if (row->end > 0)
		return ledger_error(mdb_put(txn, l->table[TABLE_SEGMENTS], &key, &value, 0));
	rc = mdb_del(txn, l->table[TABLE_SEGMENTS], &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : ledger_error(rc);
}

/* Ends the transaction, whatever ${rc} says of it so far. */
static int finish(struct ledger *l, MDB_txn *txn, int rc, const struct ledger_totals *t)
{
	if (rc == 0)
		rc = ledger_put_meta(l, txn, t);
	if (rc == -EUCLEAN)
		ledger_condemn(l);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	rc = ledger_error(mdb_txn_commit(txn));
	if (rc == 0) {
		pthread_mutex_lock(&l->lock);
		l->totals = *t;
		pthread_mutex_unlock(&l->lock);
	}
	return rc;
}

int ledger_commit(struct ledger *l, const struct record *records, size_t n,
    const struct ledger_segment *segments, size_t m)
{
	struct ledger_totals t = l->totals;
	MDB_txn *txn;
	int rc = grow(l, n);

	if (rc < 0)
		return rc;
	rc = ledger_error(mdb_txn_begin(l->env, NULL, 0, &txn));
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = put_record(l, txn, &records[i], &t);
	for (size_t i = 0; i < m && rc == 0; i++)
		rc = put_row(l, txn, &segments[i]);
	return finish(l, txn, rc, &t);
}

static int64_t forget_records(MDB_cursor *cursor, uint32_t segment, uint32_t from,
    struct ledger_totals *t)
{
	MDB_val key, value;
	struct record r;
	int64_t gone = 0;
	int rc;

	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		if (ledger_entry(&key, &value, &r) < 0 || r.segment != segment ||
		    r.offset + RECORD_HEADER + r.stored_len <= from)
			continue;
		count(t, &r, -1);
		rc = mdb_cursor_del(cursor, 0);
		if (rc)
			break;
		gone++;
	}
	return rc == MDB_NOTFOUND ? gone : ledger_error(rc);
}

int64_t ledger_forget(struct ledger *l, uint32_t segment, uint32_t from)
{
	struct ledger_segment row = { .number = segment, .end = from };
	struct ledger_totals t = l->totals;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int64_t gone;
	int rc = ledger_error(mdb_txn_begin(l->env, NULL, 0, &txn));

	if (rc < 0)
		return rc;
	rc = ledger_error(mdb_cursor_open(txn, l->table[TABLE_CHUNKS], &cursor));
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	gone = forget_records(cursor, segment, from, &t);
	mdb_cursor_close(cursor);
	rc = gone < 0 ? (int)gone : put_row(l, txn, &row);
	rc = finish(l, txn, rc, &t);
	return rc < 0 ? rc : gone;
}
