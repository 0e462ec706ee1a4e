/* The ledger's commits, by one thread at a time. */
#include "dht/ledger_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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
	put_le64(meta + 48, t->cleans);
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

/* What a transaction changes beside the entries; the ledger's own when it is committed. */
struct change {
	struct ledger *l;
	MDB_txn *txn;
	struct ledger_totals totals;
	struct rows rows;
};

static int begin(struct ledger *l, struct change *c)
{
	int rc;

	*c = (struct change){ .l = l, .totals = l->totals };
	rc = rows_copy(&c->rows, &l->rows);
	return rc < 0 ? rc : ledger_error(mdb_txn_begin(l->env, NULL, 0, &c->txn));
}

/* Ends the transaction, whatever ${rc} says of it so far. */
static int finish(struct change *c, int rc)
{
	struct ledger *l = c->l;
	struct rows old = c->rows;

	if (rc == 0)
		rc = rows_store(l, c->txn, &c->rows);
	if (rc == 0)
		rc = ledger_put_meta(l, c->txn, &c->totals);
	if (rc == -EUCLEAN)
		ledger_condemn(l);
	if (rc == 0)
		rc = ledger_error(mdb_txn_commit(c->txn));
	else if (c->txn)
		mdb_txn_abort(c->txn);
	if (rc == 0) {
		pthread_mutex_lock(&l->lock);
		old = l->rows;
		l->rows = c->rows;
		l->totals = c->totals;
		pthread_mutex_unlock(&l->lock);
	}
	free(old.all);
	return rc;
}

/* ${r} is entered, or with ${sign} -1 goes. */
static int count(struct change *c, const struct record *r, int sign)
{
	struct ledger_totals *t = &c->totals;
	struct ledger_segment *row;

	if (r->bad)
		return 0;
	row = rows_at(&c->rows, r->segment);
	if (!row)
		return -ENOMEM;
	row->live += (uint32_t)sign * record_span(r->stored_len);
	t->chunks += (uint64_t)sign;
	t->raw_bytes += (uint64_t)(sign * (int64_t)r->raw_len);
	t->stored_bytes += (uint64_t)(sign * (int64_t)r->stored_len);
	return 0;
}

static int put_record(struct change *c, const struct record *r)
{
	struct ledger *l = c->l;
	MDB_val key = ledger_value(r->address.b, ADDRESS_LEN), value;
	uint8_t entry[ENTRY_LEN];
	struct record old;
	int rc = ledger_error(mdb_get(c->txn, l->table[TABLE_CHUNKS], &key, &value));

	if (rc == 0) {
		/* One that can't be read was counted as the same chunk that replaces it now. */
		if (ledger_entry(&key, &value, &old) < 0) {
			old = *r;
			old.bad = false;
		}
		if (r->bad && !old.bad && !record_same_place(r, &old))
			return 0;
		rc = count(c, &old, -1);
	}
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (r->bad)
		c->totals.set_aside++;
	rc = count(c, r, 1);
	if (rc < 0)
		return rc;
	entry_encode(r, entry);
	value = ledger_value(entry, ENTRY_LEN);
	return ledger_error(mdb_put(c->txn, l->table[TABLE_CHUNKS], &key, &value, 0));
}

int ledger_commit(struct ledger *l, const struct record *records, size_t n,
    const struct ledger_segment *segments, size_t m)
{
	struct change c;
	int rc = grow(l, n);

	if (rc < 0)
		return rc;
	rc = begin(l, &c);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = put_record(&c, &records[i]);
	for (size_t i = 0; i < m && rc == 0; i++) {
		struct ledger_segment *row = rows_at(&c.rows, segments[i].number);

		rc = row ? 0 : -ENOMEM;
		if (row)
			row->end = segments[i].end;
	}
	return finish(&c, rc);
}

static int delete_entry(struct change *c, const struct address *a, uint64_t *records,
    uint64_t *bytes)
{
	MDB_val key = ledger_value(a->b, ADDRESS_LEN), value;
	struct record r;
	int rc = ledger_error(mdb_get(c->txn, c->l->table[TABLE_CHUNKS], &key, &value));

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (ledger_entry(&key, &value, &r) == 0) {
		rc = count(c, &r, -1);
		*bytes += record_span(r.stored_len);
	} else {
		/* As an entry of no length was counted, at best: the next rebuild counts anew. */
		c->totals.chunks--;
	}
	(*records)++;
	return rc < 0 ? rc : ledger_error(mdb_del(c->txn, c->l->table[TABLE_CHUNKS], &key, NULL));
}

int ledger_delete(struct ledger *l, const struct address *addresses, size_t n, uint64_t *records,
    uint64_t *bytes)
{
	uint64_t gone = 0, took = 0;
	struct change c;
	int rc = grow(l, n);

	if (rc < 0)
		return rc;
	rc = begin(l, &c);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = delete_entry(&c, &addresses[i], &gone, &took);
	rc = finish(&c, rc);
	if (rc == 0) {
		*records = gone;
		*bytes = took;
	}
	return rc;
}

int ledger_clean(struct ledger *l, uint64_t *cleans)
{
	struct change c;
	int rc = grow(l, 0);

	if (rc < 0)
		return rc;
	rc = begin(l, &c);
	if (rc == 0)
		*cleans = ++c.totals.cleans;
	return finish(&c, rc);
}

static int64_t forget_records(struct change *c, MDB_cursor *cursor, uint32_t segment, uint32_t from)
{
	MDB_val key, value;
	struct record r;
	int64_t gone = 0;
	int rc;

	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		if (ledger_entry(&key, &value, &r) < 0 || r.segment != segment ||
		    r.offset + RECORD_HEADER + r.stored_len <= from)
			continue;
		if (count(c, &r, -1) < 0)
			return -ENOMEM;
		rc = mdb_cursor_del(cursor, 0);
		if (rc)
			break;
		gone++;
	}
	return rc == MDB_NOTFOUND ? gone : ledger_error(rc);
}

int64_t ledger_forget(struct ledger *l, uint32_t segment, uint32_t from)
{
	struct ledger_segment *row;
	struct change c;
	MDB_cursor *cursor;
	int64_t gone = 0;
	int rc = begin(l, &c);

	if (rc == 0)
		rc = ledger_error(mdb_cursor_open(c.txn, l->table[TABLE_CHUNKS], &cursor));
	if (rc == 0) {
		gone = forget_records(&c, cursor, segment, from);
		mdb_cursor_close(cursor);
		rc = gone < 0 ? (int)gone : 0;
	}
	row = rc == 0 ? rows_at(&c.rows, segment) : NULL;
	if (rc == 0 && !row)
		rc = -ENOMEM;
	if (row)
		row->end = from;
	rc = finish(&c, rc);
	return rc < 0 ? rc : gone;
}
