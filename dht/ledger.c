#include "dht/ledger_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/bytes.h"

#define MAP_SIZE    ((size_t)256 << 30)	/* address space only: 3e9 chunks */
#define READERS_MAX 512

static const char *const table_names[TABLES] = { "meta", "chunks", "segments" };

int ledger_error(int rc)
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
void ledger_condemn(const struct ledger *l)
{
	int fd = open(l->mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static void condemn_on_assert(MDB_env *env, const char *text)
{
	(void)text;
	ledger_condemn(mdb_env_get_userctx(env));
}

int ledger_entry(const MDB_val *key, const MDB_val *value, struct record *out)
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

MDB_val ledger_value(const void *data, size_t len)
{
	union {
		const void *in;
		void *out;	/* LMDB writes to no key or value that is passed in */
	} u = { .in = data };

	return (MDB_val){ .mv_size = len, .mv_data = u.out };
}

/* The row that says whose ledger this is; made where the tables are new. */
static int meta_load(struct ledger *l, MDB_txn *txn, uint64_t cleans)
{
	MDB_val key = ledger_value(LEDGER_META_KEY, sizeof(LEDGER_META_KEY) - 1), value;
	const uint8_t *in;
	int rc = mdb_get(txn, l->table[TABLE_META], &key, &value);

	if (rc == MDB_NOTFOUND) {
		MDB_stat st;

		rc = mdb_stat(txn, l->table[TABLE_CHUNKS], &st);
		if (rc == 0 && st.ms_entries > 0)
			return -EUCLEAN;
		l->totals.cleans = cleans;
		return rc ? ledger_error(rc) : ledger_put_meta(l, txn, &l->totals);
	}
	if (rc)
		return ledger_error(rc);
	in = value.mv_data;
	if (value.mv_size < 16 || get_le64(in + 8) != l->store_id)
		return -EUCLEAN;
	if (get_le32(in) != FORMAT)
		return -EPROTO;
	if (value.mv_size != META_LEN)
		return -EUCLEAN;
	l->totals = (struct ledger_totals){ .chunks = get_le64(in + 16),
		.raw_bytes = get_le64(in + 24), .stored_bytes = get_le64(in + 32),
		.set_aside = get_le64(in + 40), .cleans = get_le64(in + 48) };
	return l->totals.cleans < cleans ? -ESTALE : 0;
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

static int open_tables(struct ledger *l, uint64_t cleans)
{
	MDB_txn *txn;
	int rc = ledger_error(mdb_txn_begin(l->env, NULL, 0, &txn));

	if (rc < 0)
		return rc;
	for (int i = 0; i < TABLES && rc == 0; i++)
		rc = ledger_error(mdb_dbi_open(txn, table_names[i], MDB_CREATE, &l->table[i]));
	if (rc == 0)
		rc = meta_load(l, txn, cleans);
	if (rc == 0)
		rc = rows_load(l, txn);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return ledger_error(mdb_txn_commit(txn));
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

int ledger_open(const char *dir, uint64_t store_id, uint64_t cleans, struct ledger **out)
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
		rc = ledger_error(mdb_env_create(&l->env));
	if (rc < 0)
		goto err;
	mdb_env_set_userctx(l->env, l);
	mdb_env_set_assert(l->env, condemn_on_assert);
	mdb_env_set_mapsize(l->env, MAP_SIZE);
	mdb_env_set_maxdbs(l->env, TABLES);
	mdb_env_set_maxreaders(l->env, READERS_MAX);
	rc = ledger_error(mdb_env_open(l->env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600));
	if (rc < 0)
		goto err;
	rc = check_size(l);
	if (rc < 0)
		goto err;
	/* What a killed process was reading must not keep pages from being used again. */
	mdb_reader_check(l->env, &dead);
	rc = open_tables(l, cleans);
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
	free(l->rows.all);
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
int ledger_reader(struct ledger *l, MDB_txn **out)
{
	MDB_txn *txn = NULL;
	int rc;

	pthread_mutex_lock(&l->lock);
	if (l->idle_count > 0)
		txn = l->idle[--l->idle_count];
	pthread_mutex_unlock(&l->lock);
	if (!txn)
		return ledger_error(mdb_txn_begin(l->env, NULL, MDB_RDONLY, out));
	rc = mdb_txn_renew(txn);
	if (rc) {
		mdb_txn_abort(txn);
		return ledger_error(rc);
	}
	*out = txn;
	return 0;
}

void ledger_reader_end(struct ledger *l, MDB_txn *txn)
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
	MDB_val key = ledger_value(a->b, ADDRESS_LEN), value;
	MDB_txn *txn;
	int rc = ledger_reader(l, &txn);

	if (rc < 0)
		return rc;
	rc = ledger_error(mdb_get(txn, l->table[TABLE_CHUNKS], &key, &value));
	if (rc == 0)
		rc = ledger_entry(&key, &value, out);
	ledger_reader_end(l, txn);
	if (rc == -EUCLEAN)
		ledger_condemn(l);
	return rc;
}

int ledger_has(struct ledger *l, const struct address *addresses, size_t n, bool *has)
{
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	MDB_txn *txn;
	struct record r;
	int rc = ledger_reader(l, &txn);

	if (rc < 0)
		return rc;
	rc = mdb_cursor_open(txn, l->table[TABLE_CHUNKS], &cursor);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (has[i])
			continue;
		key = ledger_value(addresses[i].b, ADDRESS_LEN);
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY);
		has[i] = rc == 0 && ledger_entry(&key, &value, &r) == 0 && !r.bad;
		rc = rc == MDB_NOTFOUND ? 0 : rc;
	}
	if (cursor)
		mdb_cursor_close(cursor);
	ledger_reader_end(l, txn);
	if (ledger_error(rc) == -EUCLEAN)
		ledger_condemn(l);
	return ledger_error(rc);
}

int ledger_each(struct ledger *l, const struct address *after,
    int (*each)(void *arg, const struct record *r), void *arg)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	struct record r;
	int rc = ledger_reader(l, &txn);

	if (rc < 0)
		return rc;
	rc = ledger_error(mdb_cursor_open(txn, l->table[TABLE_CHUNKS], &cursor));
	if (rc < 0)
		goto out;
	if (after) {
		key = ledger_value(after->b, ADDRESS_LEN);
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (rc == 0 && key.mv_size == ADDRESS_LEN &&
		    memcmp(key.mv_data, after->b, ADDRESS_LEN) == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	} else {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	}
	for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		int stop;

		if (ledger_entry(&key, &value, &r) < 0)
			continue;
		stop = each(arg, &r);
		if (stop) {
			mdb_cursor_close(cursor);
			ledger_reader_end(l, txn);
			return stop;
		}
	}
	rc = rc == MDB_NOTFOUND ? 0 : ledger_error(rc);
	mdb_cursor_close(cursor);
out:
	ledger_reader_end(l, txn);
	if (rc == -EUCLEAN)
		ledger_condemn(l);
	return rc;
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
