/*
 * tree_change: puts and deletes in the long write transaction, the change records, and what
 * the transaction will cost.
 *
 * LMDB can't take one put back: an operation that fails half-way spoils the transaction, and
 * a full disk shows only when it is committed.  So everything is checked before the first
 * put, and room in the file is made before that too (tree_reserve); what fails all the same
 * costs a transaction made anew from what has been changed (tree_mend.c).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "dht/program/log.h"
#include "fs/tree_internal.h"

#define SPARE_PAGES	1024u	/* what COUNT_EVERY puts and the free list can take at most */
#define RESERVE_PAGES	2048u	/* kept for what frees space: unlink on a full disk */
#define STEP_PAGES	1024u	/* the file grows by so many */
#define NAME_PAGES	6u	/* that a change of one more name can touch */
#define DROP_BATCH	256u	/* change records deleted in one turn of the lock */

int tree_errno(int rc)
{
	switch (rc) {
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
		return -EBADMSG;
	case MDB_VERSION_MISMATCH:
		return -EPROTO;
	}
	return rc > 0 ? -rc : -EIO;
}

void tree_break(struct tree *t, int rc, const char *what)
{
	if (t->broken)
		return;
	t->broken = true;
	log_line(LOG_CRIT, "tree: %s: %s; the mount is read-only from now on, and shows its last "
	    "checkpoint", what, mdb_strerror(rc));
	tree_show_last(t);
}

/* Where there is no memory for its cursors, tree_lock() tries again. */
bool tree_show_last(struct tree *t)
{
	t->view = &t->last;
	if (t->last.txn && !t->last.cursor[TABLES - 1] && view_open(&t->last, t->dbi) != 0)
		view_hide(&t->last);
	return t->last.cursor[TABLES - 1];
}

void tree_start(struct tree *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->turning)
		tree_wait(t);
	t->puts = 0;
	t->start = redo_end(&t->redo);
}

int tree_finish(struct tree *t, int rc)
{
	if (rc < 0 && t->puts > 0)
		tree_spoil(t);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

/* Remember that the page at ${p}, of the map, will be copied by what is put there. */
static void touch(struct tree *t, const void *p)
{
	uint64_t page = ((uintptr_t)p - (uintptr_t)t->map) / t->page_size, bit = page % SEEN_BITS;

	if (page >= t->used || (t->seen[bit / 64] >> bit % 64 & 1))
		return;
	t->seen[bit / 64] |= UINT64_C(1) << bit % 64;
	t->touched++;
}

/* Pages of ${table}; adds its inner ones to *${branches}. */
static uint64_t table_pages(struct tree *t, int table, uint64_t *branches)
{
	MDB_stat s;

	if (mdb_stat(t->live.txn, t->dbi[table], &s) != 0)
		return 0;
	*branches += s.ms_branch_pages;
	return s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages;
}

/*
 * LMDB does not tell how many pages are dirty.  They are: those that the tables have more
 * than before, the leaves that were copied, which are those where a put found its
 * neighbour still in the map, and the inner pages above them.
 */
void tree_count_pages(struct tree *t)
{
	uint64_t grown = 0, branches = 0, inner = 2 * (uint64_t)t->touched;

	for (int i = 0; i < TABLES; i++) {
		uint64_t now = table_pages(t, i, &branches);

		grown += now > t->pages_before[i] ? now - t->pages_before[i] : 0;
	}
	t->dirty = (unsigned int)(t->touched + grown + (inner < branches ? inner : branches));
	t->counted_at = t->changes;
}

int tree_account(struct tree *t)
{
	uint64_t branches = 0;
	MDB_envinfo info;
	int rc = mdb_env_info(t->env, &info);

	if (rc)
		return tree_errno(rc);
	t->used = info.me_last_pgno + 1;
	for (int i = 0; i < TABLES; i++)
		t->pages_before[i] = table_pages(t, i, &branches);
	memset(t->seen, 0, SEEN_BITS / 8);
	t->touched = t->dirty = 0;
	t->changes = t->counted_at = 0;
	t->multi = 0;
	t->reusable = UINT64_MAX;
	t->tight = false;
	return 0;
}

/*
 * Pages that this transaction can use again: those that were freed by transactions which no
 * reader looks behind any more.  Table 0 is LMDB's own: transaction -> count, pages.
 */
static uint64_t count_reusable(struct tree *t)
{
	size_t oldest = mdb_txn_id(t->last.txn), id, n;
	MDB_cursor *cursor;
	uint64_t total = 0;
	MDB_val k, v;

	for (struct tree_reader *r = t->readers; r; r = r->next)
		if (mdb_txn_id(r->view.txn) < oldest)
			oldest = mdb_txn_id(r->view.txn);
	if (mdb_cursor_open(t->last.txn, 0, &cursor) != 0)
		return 0;
	while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
		if (k.mv_size != sizeof id || v.mv_size < sizeof n)
			break;
		memcpy(&id, k.mv_data, sizeof id);
		memcpy(&n, v.mv_data, sizeof n);
		if (id >= oldest)
			break;
		total += n;
	}
	mdb_cursor_close(cursor);
	return total;
}

static int fallocate_all(int fd, off_t from, off_t len)
{
	int rc;

	do
		rc = posix_fallocate(fd, from, len);
	while (rc == EINTR);
	return rc;
}

/* Make the file at least ${pages} long. */
static int allocate(struct tree *t, uint64_t pages)
{
	uint64_t step = pages + STEP_PAGES;
	mdb_filehandle_t fd;
	off_t from = (off_t)(t->allocated * t->page_size);
	int rc;

	if (pages > t->map_pages)
		return -ENOSPC;
	if (step > t->map_pages)
		step = t->map_pages;
	rc = mdb_env_get_fd(t->env, &fd);
	if (rc)
		return tree_errno(rc);
	rc = fallocate_all(fd, from, (off_t)(step * t->page_size) - from);
	if (rc && step > pages) {
		step = pages;
		rc = fallocate_all(fd, from, (off_t)(step * t->page_size) - from);
	}
	if (rc)
		return rc == EFBIG || rc == EDQUOT ? -ENOSPC : -rc;
	t->allocated = step;
	return 0;
}

int tree_reserve(struct tree *t, bool grows, unsigned int names)
{
	uint64_t need, at_end;
	int rc;

	if (t->broken || !t->live.txn)
		return -EROFS;
	if (t->changes - t->counted_at >= COUNT_EVERY)
		tree_count_pages(t);
	/* Where nothing can be committed memory is the bound. */
	if (grows && t->commit_error && t->dirty >= TREE_PAGES_MAX)
		return t->commit_error;
	need = t->dirty + t->dirty / 64 + SPARE_PAGES + (uint64_t)names * NAME_PAGES +
	    (grows ? RESERVE_PAGES : 0);
	at_end = t->allocated > t->used ? t->allocated - t->used : 0;
	if (need <= at_end)
		return 0;
	if (t->reusable == UINT64_MAX)
		t->reusable = count_reusable(t);
	/* Pages that are used again seldom lie in a row. */
	if (SPARE_PAGES + t->multi <= at_end && need <= at_end + t->reusable)
		return 0;
	rc = allocate(t, t->used + need);
	if (rc == -ENOSPC)
		t->tight = true;
	return rc;
}

/* The transaction is of no use any more, whatever the operation did before. */
static int failed(struct tree *t, int rc, const char *what)
{
	log_line(LOG_ERR, "tree: %s: %s", what, mdb_strerror(rc));
	t->puts++;
	return tree_errno(rc);
}

static void note(struct tree *t, enum table table, bool deletes, const MDB_val *key,
    const MDB_val *value)
{
	const struct redo_record r = {
		.table = (uint8_t)table, .deletes = deletes,
		.key_len = (uint16_t)key->mv_size, .key = key->mv_data,
		.value_len = (uint32_t)value->mv_size, .value = value->mv_data,
	};

	if (!t->replaying)
		redo_add(&t->redo, &r);
}

static MDB_val key_val(const struct key *key)
{
	return (MDB_val){ key->len, (void *)(uintptr_t)key->b };
}

static int put(struct tree *t, enum table table, const struct key *key, const void *value,
    size_t len, unsigned int flags)
{
	MDB_val k = key_val(key), v = { len, (void *)(uintptr_t)value };
	int rc;

	note(t, table, false, &k, &v);
	rc = mdb_cursor_put(t->live.cursor[table], &k, &v, flags);
	t->puts++;
	t->changes++;
	if (len > t->page_size / 2) {
		t->touched += (unsigned int)(len / t->page_size) + 1;
		t->multi += (unsigned int)(len / t->page_size) + 1;
	}
	return rc ? failed(t, rc, "put") : 0;
}

int tree_put(struct tree *t, enum table table, const struct key *key, const void *value, size_t len)
{
	MDB_val k = key_val(key), v;
	int rc;

	assert(t->live.txn && !t->broken);
	rc = mdb_cursor_get(t->live.cursor[table], &k, &v, MDB_SET_RANGE);
	if (rc == 0)
		touch(t, k.mv_data);
	else if (rc != MDB_NOTFOUND)
		return failed(t, rc, "put");
	return put(t, table, key, value, len, 0);
}

int tree_append(struct tree *t, enum table table, const struct key *key, const void *value,
    size_t len)
{
	assert(t->live.txn && !t->broken);
	return put(t, table, key, value, len, MDB_APPEND);
}

static int delete_found(struct tree *t, enum table table, const MDB_val *found)
{
	const MDB_val none = { 0, NULL };
	int rc;

	assert(t->live.txn && !t->broken);
	touch(t, found->mv_data);
	note(t, table, true, found, &none);
	rc = mdb_cursor_del(t->live.cursor[table], 0);
	t->puts++;
	t->changes++;
	return rc ? failed(t, rc, "delete") : 0;
}

int tree_delete(struct tree *t, enum table table, const struct key *key)
{
	MDB_val k = key_val(key), v;
	int rc = mdb_cursor_get(t->live.cursor[table], &k, &v, MDB_SET_KEY);

	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? failed(t, rc, "delete") : delete_found(t, table, &k);
}

int tree_delete_all(struct tree *t, enum table table, const struct key *prefix)
{
	MDB_val k, v;
	int rc;

	while ((rc = view_seek(&t->live, table, prefix, &k, &v)) == 0 && key_begins(&k, prefix)) {
		rc = delete_found(t, table, &k);
		if (rc)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

int tree_put_inode(struct tree *t, const struct inode *i)
{
	struct key key = key_of(i->ino);
	uint8_t row[ROW_LEN];

	row_encode(i, row);
	return tree_put(t, INODES, &key, row, ROW_LEN);
}

int tree_changed(struct tree *t, uint64_t dir, const char *name, size_t len)
{
	struct key key = key_named(dir, name, len);
	uint8_t epoch[8];
	MDB_val old;
	int rc = view_get(&t->live, CHANGES, &key, &old);

	put_le64(epoch, t->epoch);
	if (rc == 0 && old.mv_size == sizeof epoch && memcmp(old.mv_data, epoch, sizeof epoch) == 0)
		return 0;
	return rc && rc != -ENOENT ? rc : tree_put(t, CHANGES, &key, epoch, sizeof epoch);
}

static int changed_at(struct tree *t, uint64_t dir, uint64_t cookie)
{
	struct tree_name name;
	int rc = view_cookie(&t->live, dir, cookie, &name);

	if (rc)
		return rc == -ENOENT ? -EIO : rc;
	return tree_changed(t, dir, name.name, name.name_len);
}

static int changed_everywhere(struct tree *t, const struct inode *i)
{
	struct key prefix = key_of(i->ino);
	MDB_val k, v;
	int rc = view_seek(&t->live, LINKS, &prefix, &k, &v);

	while (rc == 0 && key_begins(&k, &prefix)) {
		const uint8_t *p = k.mv_data;

		rc = changed_at(t, get_be64(p + 8), get_be64(p + 16));
		if (rc == 0)
			rc = view_next(&t->live, LINKS, &k, &v);
	}
	return rc == -ENOENT ? 0 : rc;
}

/*
 * Once is enough in a checkpoint: a name that the inode gets later is recorded as it comes.
 * Else the thousandth link would look at a thousand names.
 */
int tree_put_changed(struct tree *t, struct inode *i)
{
	int rc = 0;

	if (i->changed != t->epoch && i->ino != TREE_ROOT && i->nlink > 0) {
		rc = i->link_id ? changed_everywhere(t, i) : changed_at(t, i->parent, i->cookie);
		i->changed = t->epoch;
	}
	return rc ? rc : tree_put_inode(t, i);
}

/*
 * One turn: look at up to DROP_BATCH records from ${at} on, and leave in ${at} the last one
 * that was kept.  1: there are more.
 */
static int drop_some(struct tree *t, const struct key *prefix, struct key *at, uint64_t epoch)
{
	MDB_val k, v;
	int rc = tree_reserve(t, false, DROP_BATCH / 16);

	if (rc == 0)
		rc = view_seek(&t->live, CHANGES, at, &k, &v);
	for (unsigned int i = 0; rc == 0 && i < DROP_BATCH; i++) {
		if (!key_begins(&k, prefix))
			return 0;
		if (v.mv_size == 8 && get_le64(v.mv_data) > epoch) {
			at->len = k.mv_size;
			memcpy(at->b, k.mv_data, k.mv_size);
			rc = view_next(&t->live, CHANGES, &k, &v);
			continue;
		}
		rc = delete_found(t, CHANGES, &k);
		if (rc == 0)
			rc = view_seek(&t->live, CHANGES, at, &k, &v);
	}
	return rc == -ENOENT ? 0 : rc ? rc : 1;
}

int tree_drop_changes(struct tree *t, uint64_t dir, uint64_t epoch)
{
	struct key prefix = key_of(dir), at = prefix;
	int rc;

	do {
		tree_start(t);
		rc = tree_finish(t, drop_some(t, &prefix, &at, epoch));
	} while (rc > 0);
	return rc;
}

int tree_delete_inode(struct tree *t, const struct inode *i)
{
	struct key key = key_of(i->ino);
	int rc = tree_delete(t, INODES, &key);

	if (rc == 0)
		rc = tree_delete(t, ORPHANS, &key);
	if (rc == 0 && S_ISLNK(i->mode))
		rc = tree_delete(t, TARGETS, &key);
	if (rc == 0 && (i->flags & INODE_XATTRS))
		rc = tree_delete_all(t, XATTRS, &key);
	return rc;
}
