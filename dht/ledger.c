#include "dht/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/bytes.h"

#define FORMAT	    1
#define MAP_SIZE    ((size_t)256 << 30)	/* address space only: 3e9 chunks */
#define READERS_MAX 512
#define IDLE_MAX    64			/* read transactions kept for the next reader */
#define GROW	    ((uint64_t)1 << 20)	/* bytes that the file grows by at least */

enum { TABLE_META, TABLE_CHUNKS, TABLE_SEGMENTS, TABLES };
static const char *const table_names[TABLES] = { "meta", "chunks", "segments" };

enum state { STATE_KEPT = 1, STATE_SET_ASIDE = 2 };

enum { ENTRY_LEN = 20, ROW_LEN = 4, META_LEN = 48 };
static const char meta_key[] = "ledger";

struct ledger {
	char *mark;			/* path of the file that says: not to be used again */
	MDB_env *env;
	MDB_dbi table[TABLES];
	uint64_t store_id;
	struct ledger_totals totals;	/* writer's copy, under lock */
	uint64_t size_bytes;		/* of the file; under lock */
	pthread_mutex_t lock;
	MDB_txn *idle[IDLE_MAX];	/* reset read transactions; under lock */
	unsigned int idle_count;	/* under lock */
};

static int error_of(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_VALSIZE:
		return -EUCLEAN;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

static void path_of(char *out, size_t size, const char *dir, const char *suffix)
{
	snprintf(out, size, "%s/ledger%s", dir, suffix);
}

/* A word to whoever opens it next, perhaps because LMDB is about to abort this process. */
static void condemn(const struct ledger *l)
{
	int fd = open(l->mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static void condemn_on_assert(MDB_env *env, const char *text)
{
	(void)text;
	condemn(mdb_env_get_userctx(env));
}

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

static int entry_decode(const MDB_val *key, const MDB_val *value, struct record *out)
{
	const uint8_t *in = value->mv_data;

	if (key->mv_size != ADDRESS_LEN || value->mv_size != ENTRY_LEN)
		return -EBADMSG;
	*out = (struct record){
		.segment = get_le32(in),
		.offset = get_le32(in + 4),
		.raw_len = get_le32(in + 8),
		.stored_len = get_le32(in + 12),
		.hash = in[16],
		.kind = in[17],
		.codec = in[18],
		.bad = in[19] == STATE_SET_ASIDE,
	};
	memcpy(out->address.b, key->mv_data, ADDRESS_LEN);
	if (in[19] != STATE_KEPT && in[19] != STATE_SET_ASIDE)
		return -EBADMSG;
	return record_valid(out) ? 0 : -EBADMSG;
}

static MDB_val value_of(const void *data, size_t len)
{
	union {
		const void *in;
		void *out;	/* LMDB writes to no key or value that is passed in */
	} u = { .in = data };

	return (MDB_val){ .mv_size = len, .mv_data = u.out };
}

static int meta_put(struct ledger *l, MDB_txn *txn, const struct ledger_totals *t)
{
	uint8_t meta[META_LEN] = { 0 };
	MDB_val key = value_of(meta_key, sizeof(meta_key) - 1), value = value_of(meta, META_LEN);

	put_le32(meta, FORMAT);
	put_le64(meta + 8, l->store_id);
	put_le64(meta + 16, t->chunks);
	put_le64(meta + 24, t->raw_bytes);
	put_le64(meta + 32, t->stored_bytes);
	put_le64(meta + 40, t->set_aside);
	return error_of(mdb_put(txn, l->table[TABLE_META], &key, &value, 0));
}

/* The row that says whose ledger this is; made where the tables are new. */
static int meta_load(struct ledger *l, MDB_txn *txn)
{
	MDB_val key = value_of(meta_key, sizeof(meta_key) - 1), value;
	const uint8_t *in;
	int rc = mdb_get(txn, l->table[TABLE_META], &key, &value);

	if (rc == MDB_NOTFOUND) {
		MDB_stat st;

		rc = mdb_stat(txn, l->table[TABLE_CHUNKS], &st);
		if (rc == 0 && st.ms_entries > 0)
			return -EUCLEAN;
		return rc ? error_of(rc) : meta_put(l, txn, &l->totals);
	}
	if (rc)
		return error_of(rc);
	in = value.mv_data;
	if (value.mv_size != META_LEN || get_le32(in) != FORMAT || get_le64(in + 8) != l->store_id)
		return -EUCLEAN;
	l->totals = (struct ledger_totals){ .chunks = get_le64(in + 16),
		.raw_bytes = get_le64(in + 24), .stored_bytes = get_le64(in + 32),
		.set_aside = get_le64(in + 40) };
	return 0;
}

/*
 * LMDB maps its file, and touching a page behind the file's end kills the process: so a
 * file shorter than its own meta page says is not used.  ledger_commit() grows the file before
 * LMDB needs it, so only damage makes it shorter.
 */
static int check_size(struct ledger *l)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat file;
	int fd;

	if (mdb_env_info(l->env, &info) || mdb_env_stat(l->env, &st) ||
	    mdb_env_get_fd(l->env, &fd) || fstat(fd, &file) < 0)
		return -EIO;
	l->size_bytes = (uint64_t)file.st_size;
	if (info.me_last_pgno >= l->size_bytes / st.ms_psize)
		return -EUCLEAN;
	return 0;
}

static int open_tables(struct ledger *l)
{
	MDB_txn *txn;
	int rc = error_of(mdb_txn_begin(l->env, NULL, 0, &txn));

	if (rc < 0)
		return rc;
	for (int i = 0; i < TABLES && rc == 0; i++)
		rc = error_of(mdb_dbi_open(txn, table_names[i], MDB_CREATE, &l->table[i]));
	if (rc == 0)
		rc = meta_load(l, txn);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return error_of(mdb_txn_commit(txn));
}

/* Even the two meta pages are read through the map: a stub of a file is not tried. */
static int check_stub(const char *path)
{
	struct stat file;

	if (stat(path, &file) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(file.st_mode))
		return -EUCLEAN;
	return file.st_size == 0 || file.st_size >= 2 * sysconf(_SC_PAGESIZE) ? 0 : -EUCLEAN;
}

int ledger_open(const char *dir, uint64_t store_id, struct ledger **out)
{
	char path[4096];
	struct ledger *l;
	int rc, dead;

	*out = NULL;
	path_of(path, sizeof(path), dir, "-damaged");
	if (access(path, F_OK) == 0)
		return -EUCLEAN;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->store_id = store_id;
	pthread_mutex_init(&l->lock, NULL);
	l->mark = strdup(path);
	path_of(path, sizeof(path), dir, "");
	rc = l->mark ? check_stub(path) : -ENOMEM;
	if (rc == 0)
		rc = error_of(mdb_env_create(&l->env));
	if (rc < 0)
		goto err;
	mdb_env_set_userctx(l->env, l);
	mdb_env_set_assert(l->env, condemn_on_assert);
	mdb_env_set_mapsize(l->env, MAP_SIZE);
	mdb_env_set_maxdbs(l->env, TABLES);
	mdb_env_set_maxreaders(l->env, READERS_MAX);
	rc = error_of(mdb_env_open(l->env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600));
	if (rc < 0)
		goto err;
	rc = check_size(l);
	if (rc < 0)
		goto err;
	/* What a killed process was reading must not keep pages from being used again. */
	mdb_reader_check(l->env, &dead);
	rc = open_tables(l);
	if (rc < 0)
		goto err;
	*out = l;
	return 0;
err:
	ledger_close(l);
	return rc;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	for (unsigned int i = 0; i < l->idle_count; i++)
		mdb_txn_abort(l->idle[i]);
	if (l->env)
		mdb_env_close(l->env);
	pthread_mutex_destroy(&l->lock);
	free(l->mark);
	free(l);
}

int ledger_remove(const char *dir)
{
	static const char *const suffixes[] = { "", "-lock", "-damaged" };
	char path[4096];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		path_of(path, sizeof(path), dir, suffixes[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

/* A read transaction at the newest commit, from those that rest. */
static int reader_begin(struct ledger *l, MDB_txn **out)
{
	MDB_txn *txn = NULL;
	int rc;

	pthread_mutex_lock(&l->lock);
	if (l->idle_count > 0)
		txn = l->idle[--l->idle_count];
	pthread_mutex_unlock(&l->lock);
	if (!txn)
		return error_of(mdb_txn_begin(l->env, NULL, MDB_RDONLY, out));
	rc = mdb_txn_renew(txn);
	if (rc) {
		mdb_txn_abort(txn);
		return error_of(rc);
	}
	*out = txn;
	return 0;
}

static void reader_end(struct ledger *l, MDB_txn *txn)
{
	mdb_txn_reset(txn);
	pthread_mutex_lock(&l->lock);
	if (l->idle_count < IDLE_MAX) {
		l->idle[l->idle_count++] = txn;
		txn = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	if (txn)
		mdb_txn_abort(txn);
}

int ledger_get(struct ledger *l, const struct address *a, struct record *out)
{
	MDB_val key = value_of(a->b, ADDRESS_LEN), value;
	MDB_txn *txn;
	int rc = reader_begin(l, &txn);

	if (rc < 0)
		return rc;
	rc = error_of(mdb_get(txn, l->table[TABLE_CHUNKS], &key, &value));
	if (rc == 0)
		rc = entry_decode(&key, &value, out);
	reader_end(l, txn);
	if (rc == -EUCLEAN)
		condemn(l);
	return rc;
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
	int fd, rc = reader_begin(l, &txn);

	if (rc < 0)
		return rc;
	rc = error_of(mdb_stat(txn, l->table[TABLE_CHUNKS], &chunks));
	reader_end(l, txn);
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
	MDB_val key = value_of(r->address.b, ADDRESS_LEN), value;
	uint8_t entry[ENTRY_LEN];
	struct record old;
	int rc = error_of(mdb_get(txn, l->table[TABLE_CHUNKS], &key, &value));

	if (rc == 0) {
		/* One that can't be read was counted as the same chunk that replaces it now. */
		if (entry_decode(&key, &value, &old) < 0) {
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
	value = value_of(entry, ENTRY_LEN);
	return error_of(mdb_put(txn, l->table[TABLE_CHUNKS], &key, &value, 0));
}

/* A row that ends at 0 is none. */
static int put_row(struct ledger *l, MDB_txn *txn, const struct ledger_segment *row)
{
	uint8_t number[4], end[ROW_LEN];
	MDB_val key = value_of(number, sizeof(number)), value = value_of(end, sizeof(end));
	int rc;

	/* Big-endian, so that rows come in the order of their numbers. */
	for (int i = 0; i < 4; i++)
		number[i] = (uint8_t)(row->number >> (24 - 8 * i));
	put_le32(end, row->end);
	if (row->end > 0)
		return error_of(mdb_put(txn, l->table[TABLE_SEGMENTS], &key, &value, 0));
	rc = mdb_del(txn, l->table[TABLE_SEGMENTS], &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : error_of(rc);
}

/* Ends the transaction, whatever ${rc} says of it so far. */
static int finish(struct ledger *l, MDB_txn *txn, int rc, const struct ledger_totals *t)
{
	if (rc == 0)
		rc = meta_put(l, txn, t);
	if (rc == -EUCLEAN)
		condemn(l);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	rc = error_of(mdb_txn_commit(txn));
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
	rc = error_of(mdb_txn_begin(l->env, NULL, 0, &txn));
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = put_record(l, txn, &records[i], &t);
	for (size_t i = 0; i < m && rc == 0; i++)
		rc = put_row(l, txn, &segments[i]);
	return finish(l, txn, rc, &t);
}

int ledger_each(struct ledger *l, const struct address *after,
    int (*each)(void *arg, const struct record *r), void *arg)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	struct record r;
	int rc = reader_begin(l, &txn);

	if (rc < 0)
		return rc;
	rc = error_of(mdb_cursor_open(txn, l->table[TABLE_CHUNKS], &cursor));
	if (rc < 0)
		goto out;
	if (after) {
		key = value_of(after->b, ADDRESS_LEN);
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (rc == 0 && key.mv_size == ADDRESS_LEN &&
		    memcmp(key.mv_data, after->b, ADDRESS_LEN) == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	} else {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	}
	for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		int stop;

		if (entry_decode(&key, &value, &r) < 0)
			continue;
		stop = each(arg, &r);
		if (stop) {
			mdb_cursor_close(cursor);
			reader_end(l, txn);
			return stop;
		}
	}
	rc = rc == MDB_NOTFOUND ? 0 : error_of(rc);
	mdb_cursor_close(cursor);
out:
	reader_end(l, txn);
	return rc;
}

int ledger_segments(struct ledger *l,
    int (*each)(void *arg, const struct ledger_segment *row), void *arg)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int rc = reader_begin(l, &txn), stop = 0;

	if (rc < 0)
		return rc;
	rc = error_of(mdb_cursor_open(txn, l->table[TABLE_SEGMENTS], &cursor));
	if (rc < 0) {
		reader_end(l, txn);
		return rc;
	}
	while (!stop && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		const uint8_t *k = key.mv_data;
		struct ledger_segment row;

		if (key.mv_size != 4 || value.mv_size != ROW_LEN)
			continue;
		row.number = (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 | (uint32_t)k[2] << 8 | k[3];
		row.end = get_le32(value.mv_data);
		stop = each(arg, &row);
	}
	mdb_cursor_close(cursor);
	reader_end(l, txn);
	return stop ? stop : rc == MDB_NOTFOUND ? 0 : error_of(rc);
}

static int64_t forget_records(MDB_cursor *cursor, uint32_t segment, uint32_t from,
    struct ledger_totals *t)
{
	MDB_val key, value;
	struct record r;
	int64_t gone = 0;
	int rc;

	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		if (entry_decode(&key, &value, &r) < 0 || r.segment != segment ||
		    r.offset + RECORD_HEADER + r.stored_len <= from)
			continue;
		count(t, &r, -1);
		rc = mdb_cursor_del(cursor, 0);
		if (rc)
			break;
		gone++;
	}
	return rc == MDB_NOTFOUND ? gone : error_of(rc);
}

int64_t ledger_forget(struct ledger *l, uint32_t segment, uint32_t from)
{
	struct ledger_segment row = { .number = segment, .end = from };
	struct ledger_totals t = l->totals;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int64_t gone;
	int rc = error_of(mdb_txn_begin(l->env, NULL, 0, &txn));

	if (rc < 0)
		return rc;
	rc = error_of(mdb_cursor_open(txn, l->table[TABLE_CHUNKS], &cursor));
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

void ledger_totals(struct ledger *l, struct ledger_totals *out)
{
	pthread_mutex_lock(&l->lock);
	*out = l->totals;
	pthread_mutex_unlock(&l->lock);
}

uint64_t ledger_size(struct ledger *l)
{
	uint64_t size;

	pthread_mutex_lock(&l->lock);
	size = l->size_bytes;
	pthread_mutex_unlock(&l->lock);
	return size;
}
