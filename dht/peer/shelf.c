/* Opening the shelf, closing it, and what its files share. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chunker/bytes.h"

#define FORMAT	    2
#define MAP_SIZE    ((size_t)128 << 30)	/* address space only: 6e8 records */
#define READERS_MAX 128
#define GROW	    ((uint64_t)1 << 20)	/* bytes that the file grows by at least; they take nothing on the disk */
#define LONG_MS	    1000		/* a comparison that takes longer is told of */
#define META_KEY    "shelf"

enum { AT_FORMAT = 0, AT_CLOSED = 4, AT_ID = 8, AT_MARK = 16, AT_BYTES = 40, AT_NUMBERS = 72, META_LEN = 80 };

static const char *const names[SHELF_TABLES] = { "meta", "owned", "foreign", "owned+foreign", "cached", "rows", "leases",
	"pages", "leased", "volumes", "numbers", "fresh" };

int shelf_error(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_PANIC:		/* a write failed that can't be repeated; what is on the disk is whole */
		return -EIO;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_VALSIZE:
		return -EUCLEAN;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

MDB_val shelf_value(const void *data, size_t len)
{
	/* LMDB writes to no key or value that is passed in. */
	return (MDB_val){ .mv_size = len, .mv_data = (void *)(uintptr_t)data };
}

bool shelf_begins(MDB_val key, const void *bytes, size_t len)
{
	return key.mv_size >= len && memcmp(key.mv_data, bytes, len) == 0;
}

/* A word to whoever opens it next, perhaps because LMDB is about to abort this process. */
void shelf_condemn(const struct shelf *s)
{
	int fd = open(s->mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static void condemn_on_assert(MDB_env *env, const char *text)
{
	(void)text;
	shelf_condemn(mdb_env_get_userctx(env));
}

int shelf_reader(struct shelf *s, MDB_txn **out)
{
	MDB_txn *txn = NULL;
	int rc;

	pthread_mutex_lock(&s->lock);
	if (s->idle_count > 0)
		txn = s->idle[--s->idle_count];
	pthread_mutex_unlock(&s->lock);
	rc = txn ? mdb_txn_renew(txn) : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc) {
		mdb_txn_abort(txn);
		shelf_read_failed(s, shelf_error(rc));
		return shelf_error(rc);
	}
	*out = txn;
	return 0;
}

void shelf_reader_end(struct shelf *s, MDB_txn *txn)
{
	mdb_txn_reset(txn);
	pthread_mutex_lock(&s->lock);
	if (s->idle_count < SHELF_IDLE) {
		s->idle[s->idle_count++] = txn;
		txn = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (txn)
		mdb_txn_abort(txn);
}

int shelf_grow(struct shelf *s, uint64_t pages)
{
	MDB_envinfo info;
	MDB_stat st;
	uint64_t want;
	int fd;

	if (mdb_env_info(s->env, &info) || mdb_env_stat(s->env, &st) || mdb_env_get_fd(s->env, &fd))
		return -EIO;
	want = (info.me_last_pgno + 1 + pages) * st.ms_psize;
	if (want <= s->file_bytes)
		return 0;
	want = (want + GROW - 1) / GROW * GROW;
	if (ftruncate(fd, (off_t)want) < 0)
		return -errno;
	s->file_bytes = want;
	return 0;
}

int shelf_put_meta(struct shelf *s, MDB_txn *txn, const struct shelf_meta *m)
{
	uint8_t out[META_LEN] = { 0 };
	MDB_val key = shelf_value(META_KEY, sizeof(META_KEY) - 1), value = shelf_value(out, META_LEN);

	put_le32(out + AT_FORMAT, FORMAT);
	put_le32(out + AT_CLOSED, m->closed);
	put_le64(out + AT_ID, m->mark.id);
	put_le64(out + AT_MARK, m->mark.chunks);
	put_le64(out + AT_MARK + 8, m->mark.stored_bytes);
	put_le64(out + AT_MARK + 16, m->mark.end);
	for (unsigned int i = 1; i < SHELF_RECORDS; i++)
		put_le64(out + AT_BYTES + 8 * (i - 1), m->bytes[i]);
	put_le32(out + AT_NUMBERS, m->numbers);
	return shelf_error(mdb_put(txn, s->table[SHELF_META], &key, &value, 0));
}

/* ---- opening ---- */

struct opening {
	struct shelf *s;
	char path[4096];
	char *why;
	size_t why_size;
};

static int explain(struct opening *o, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int explain(struct opening *o, int rc, const char *format, ...)
{
	int len = snprintf(o->why, o->why_size, "%s: ", o->path);
	va_list args;

	va_start(args, format);
	if (len >= 0 && (size_t)len < o->why_size)
		vsnprintf(o->why + len, o->why_size - (size_t)len, format, args);
	va_end(args);
	return rc;
}

static int explain_errno(struct opening *o, int rc)
{
	if (rc == -EUCLEAN)
		return explain(o, rc, "damaged. It has what this node noted for the ring: leases and heads, and which chunks "
		    "still wait for owners. Move it and its neighbours `shelf-*' away, and start again: no chunk is touched, all of "
		    "them are shown to their owners once more, and leases and heads come from other nodes, where any has them");
	if (rc == -ENOMEM)
		return explain(o, rc, "no memory");
	return explain(o, rc, "can't be opened: %s", strerror(-rc));
}

static int load_meta(struct opening *o, MDB_txn *txn)
{
	struct shelf *s = o->s;
	MDB_val key = shelf_value(META_KEY, sizeof(META_KEY) - 1), value;
	const uint8_t *in;
	int rc = mdb_get(txn, s->table[SHELF_META], &key, &value);

	if (rc == MDB_NOTFOUND) {
		s->meta = (struct shelf_meta){ .mark.id = s->store_id };
		return shelf_put_meta(s, txn, &s->meta);
	}
	if (rc)
		return shelf_error(rc);
	in = value.mv_data;
	if (value.mv_size < 16)
		return -EUCLEAN;
	if (get_le32(in + AT_FORMAT) != FORMAT)
		return explain(o, -EPROTO, "of format %u, and this version reads %d; use the one that made it", get_le32(in + AT_FORMAT), FORMAT);
	if (value.mv_size != META_LEN)
		return -EUCLEAN;
	if (get_le64(in + AT_ID) != s->store_id)
		return explain(o, -EPROTO, "it belongs to another store; bring back the one that was here, or move it away");
	s->meta.closed = get_le32(in + AT_CLOSED) == 1;
	s->meta.mark = (struct store_mark){ s->store_id, get_le64(in + AT_MARK), get_le64(in + AT_MARK + 8), get_le64(in + AT_MARK + 16) };
	for (unsigned int i = 1; i < SHELF_RECORDS; i++)
		s->meta.bytes[i] = get_le64(in + AT_BYTES + 8 * (i - 1));
	s->meta.numbers = get_le32(in + AT_NUMBERS);
	return 0;
}

/* What LMDB maps must be in the file: only damage makes it shorter. */
static int check_size(struct shelf *s)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat file;
	int fd;

	if (mdb_env_info(s->env, &info) || mdb_env_stat(s->env, &st) || mdb_env_get_fd(s->env, &fd) || fstat(fd, &file) < 0)
		return -EIO;
	s->file_bytes = (uint64_t)file.st_size;
	return info.me_last_pgno >= s->file_bytes / st.ms_psize ? -EUCLEAN : 0;
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

static int open_env(struct opening *o)
{
	struct shelf *s = o->s;
	int rc, dead;

	if (access(s->mark, F_OK) == 0)
		return -EUCLEAN;
	rc = check_stub(o->path);
	if (rc == 0)
		rc = shelf_error(mdb_env_create(&s->env));
	if (rc < 0)
		return rc;
	mdb_env_set_userctx(s->env, s);
	mdb_env_set_assert(s->env, condemn_on_assert);
	mdb_env_set_mapsize(s->env, MAP_SIZE);
	mdb_env_set_maxdbs(s->env, SHELF_TABLES);
	mdb_env_set_maxreaders(s->env, READERS_MAX);
	/* No read-ahead: what is read next lies anywhere. */
	rc = shelf_error(mdb_env_open(s->env, o->path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600));
	if (rc == 0)
		rc = check_size(s);
	/* What a killed process was reading must not keep pages from being used again. */
	if (rc == 0)
		mdb_reader_check(s->env, &dead);
	return rc;
}

/* Whatever happens from here on, only an orderly close says that all is as it was. */
static int open_tables(struct opening *o, struct store_mark *then, bool *closed)
{
	struct shelf *s = o->s;
	struct store_mark now;
	MDB_txn *txn;
	int rc;

	store_mark(s->store, &now);
	s->store_id = now.id;
	rc = shelf_grow(s, 64);
	if (rc == 0)
		rc = shelf_error(mdb_txn_begin(s->env, NULL, 0, &txn));
	if (rc < 0)
		return rc;
	for (int i = 0; i < SHELF_TABLES && rc == 0; i++)
		rc = shelf_error(mdb_dbi_open(txn, names[i], MDB_CREATE, &s->table[i]));
	if (rc == 0)
		rc = load_meta(o, txn);
	if (rc == 0)
		rc = shelf_load_own(s, txn);
	if (rc == 0)
		rc = shelf_check_sums(s, txn);
	*then = s->meta.mark;
	*closed = s->meta.closed;
	s->meta.closed = false;
	if (rc == 0)
		rc = shelf_put_meta(s, txn, &s->meta);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return shelf_error(mdb_txn_commit(txn));
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool same_mark(const struct store_mark *a, const struct store_mark *b)
{
	return a->id == b->id && a->chunks == b->chunks && a->stored_bytes == b->stored_bytes && a->end == b->end;
}

static int compare(struct opening *o)
{
	uint64_t start = now_ms(), records = 0, took;
	int rc = shelf_compare(o->s, &records);

	took = now_ms() - start;
	if (rc == 0 && took >= LONG_MS)
		explain(o, 0, "compared with the %llu records of the store, in %llu.%llu s", (unsigned long long)records,
		    (unsigned long long)(took / 1000), (unsigned long long)(took % 1000 / 100));
	return rc;
}

int shelf_open(const char *dir, struct store *store, struct shelf **out, char *why, size_t why_size)
{
	struct opening o = { .why = why, .why_size = why_size };
	struct store_mark then, now;
	bool closed;
	int rc;

	*out = NULL;
	if (why_size > 0)
		*why = '\0';
	snprintf(o.path, sizeof(o.path), "%s/" SHELF_FILE, dir);
	o.s = calloc(1, sizeof(*o.s));
	if (!o.s)
		return explain_errno(&o, -ENOMEM);
	pthread_mutex_init(&o.s->lock, NULL);
	pthread_mutex_init(&o.s->write_lock, NULL);
	o.s->store = store;
	shelf_catalogue_init(o.s);
	rc = asprintf(&o.s->mark, "%s-damaged", o.path) < 0 ? -ENOMEM : open_env(&o);
	if (rc == 0)
		rc = open_tables(&o, &then, &closed);
	if (rc == 0) {
		store_mark(store, &now);
		rc = closed && same_mark(&then, &now) ? 0 : compare(&o);
	}
	if (rc < 0)
		goto err;
	*out = o.s;
	return 0;
err:
	if (rc == -EUCLEAN && o.s->mark)
		shelf_condemn(o.s);
	if (!*why)
		explain_errno(&o, rc);
	o.s->failed = rc;
	shelf_close(o.s);
	return rc;
}

/* The next who opens it need not compare, unless the store has changed by then. */
static int put_closed(struct shelf *s)
{
	struct shelf_meta m = s->meta;
	struct shelf_totals t;
	MDB_txn *txn;
	int rc = shelf_grow(s, 16);

	store_mark(s->store, &m.mark);
	shelf_totals(s, &t);
	/* Whoever put something there without a word here, or took it away. */
	m.closed = !s->behind && t.records == m.mark.chunks;
	if (rc == 0)
		rc = shelf_error(mdb_txn_begin(s->env, NULL, 0, &txn));
	if (rc < 0)
		return rc;
	rc = shelf_put_meta(s, txn, &m);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return shelf_error(mdb_txn_commit(txn));
}

int shelf_close(struct shelf *s)
{
	int rc;

	if (!s)
		return 0;
	rc = s->failed;
	if (s->env && rc == 0) {
		/* Where its end is that of a block, and stays so. */
		rc = store_sync_wait(s->store, store_sync_start(s->store));
		rc = rc == 0 ? put_closed(s) : rc;
	}
	for (unsigned int i = 0; i < s->idle_count; i++)
		mdb_txn_abort(s->idle[i]);
	if (s->env)
		mdb_env_close(s->env);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->write_lock);
	free(s->mark);
	free(s);
	return rc;
}
