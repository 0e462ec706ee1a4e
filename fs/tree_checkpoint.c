/* tree_checkpoint: the long write transaction from begin to commit; pins; the snapshots' side. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/tree_internal.h"

int tree_adopt(struct tree *t, MDB_txn *txn)
{
	int rc;

	t->live = (struct view){ .txn = txn };
	rc = view_open(&t->live, t->dbi) != 0 ? ENOMEM : -tree_account(t);
	if (rc) {
		view_close(&t->live);
		return rc;
	}
	view_hide(&t->last);
	t->view = &t->live;
	return 0;
}

int tree_begin(struct tree *t)
{
	unsigned int flags;
	MDB_txn *txn;
	int rc;

	mdb_env_get_flags(t->env, &flags);
	if (flags & MDB_RDONLY)
		return -EROFS;
	rc = mdb_txn_begin(t->env, NULL, 0, &txn);
	if (rc)
		return tree_errno(rc);
	pthread_mutex_lock(&t->lock);
	assert(!t->live.txn && !t->broken);
	t->committer = pthread_self();
	rc = tree_adopt(t, txn);
	pthread_mutex_unlock(&t->lock);
	return rc ? tree_errno(rc) : 0;
}

void tree_end(struct tree *t)
{
	pthread_mutex_lock(&t->lock);
	view_close(&t->live);
	redo_clear(&t->redo);
	tree_show_last(t);
	t->turning = t->hidden = t->spoiled = false;
	pthread_cond_broadcast(&t->turned);
	pthread_mutex_unlock(&t->lock);
}

/*
 * Commit, move the standing reader on, and begin anew.  LMDB's lock comes before ours, so ours is
 * given up for the beginning: meanwhile reads see what was committed, and changes wait.
 */
static int commit(struct tree *t)
{
	MDB_txn *txn = t->live.txn;
	int rc;

	t->live = (struct view){ 0 };	/* its cursors go with it */
	rc = mdb_txn_commit(txn);
	if (rc)
		return rc;
	t->epoch++;
	redo_clear(&t->redo);
	mdb_txn_reset(t->last.txn);
	rc = mdb_txn_renew(t->last.txn);
	if (rc) {
		tree_break(t, rc, "a reader");
		return rc;
	}
	t->hidden = !tree_show_last(t);
	t->turning = true;
	pthread_mutex_unlock(&t->lock);
	rc = mdb_txn_begin(t->env, NULL, 0, &txn);
	pthread_mutex_lock(&t->lock);
	t->turning = t->hidden = false;
	pthread_cond_broadcast(&t->turned);
	return rc ? rc : tree_adopt(t, txn);
}

static int put_state(struct tree *t)
{
	struct key key = key_text("state");
	uint8_t state[STATE_LEN] = { 0 };

	put_le32(state, TREE_FORMAT);
	put_le64(state + 8, t->next_number);
	put_le64(state + 16, t->epoch);
	return tree_put(t, META, &key, state, sizeof state);
}

static int publish_one(struct tree *t, const struct publication *p)
{
	struct inode i;
	int rc = view_inode(&t->live, p->ino, &i);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (!S_ISREG(i.mode))
		return 0;
	i.ref = p->ref;
	i.size = p->ref.size;
	i.data = p->data;
	if (p->times) {
		i.mtime = p->mtime;
		/* A name may have changed since the content did. */
		i.ctime = timestamp_later(i.ctime, p->ctime);
	}
	return tree_put_changed(t, &i);
}

/* Room for all of them before the first is written: -ENOSPC is then no harm done. */
static int reserve_all(struct tree *t, const struct publications *publish)
{
	uint64_t names = 0;
	struct inode i;

	for (size_t k = 0; k < publish->n; k++) {
		int rc = view_inode(&t->live, publish->v[k].ino, &i);

		if (rc == 0)
			names += i.nlink + 1;
		else if (rc != -ENOENT)
			return rc;
	}
	if (names == 0)
		return 0;
	return tree_reserve(t, false, names < UINT32_MAX ? (unsigned int)names : UINT32_MAX);
}

static int commit_locked(struct tree *t, const struct publications *publish)
{
	int rc = reserve_all(t, publish);

	for (size_t i = 0; i < publish->n && rc == 0; i++)
		rc = publish_one(t, &publish->v[i]);
	if (rc || t->changes == 0)
		return rc;
	rc = put_state(t);
	if (rc)
		return rc;
	rc = commit(t);
	t->commit_error = rc == 0 ? 0 : rc == ENOSPC || rc == EDQUOT ? -ENOSPC : -EIO;
	if (rc && !t->broken)
		tree_make_anew(t, rc, "commit");
	return t->commit_error;
}

int tree_commit(struct tree *t, const struct publications *publish, bool (*ready)(void *arg),
    void *arg)
{
	static const struct publications none;
	int rc;

	tree_start(t);
	assert(!t->live.txn || pthread_equal(t->committer, pthread_self()));
	if (t->broken || !t->live.txn) {
		view_close(&t->live);
		rc = -EROFS;
	} else if (ready && !ready(arg)) {
		rc = -EAGAIN;
	} else {
		rc = commit_locked(t, publish ? publish : &none);
	}
	return tree_finish(t, rc);
}

bool tree_dirty(struct tree *t, unsigned int *pages)
{
	bool dirty;

	pthread_mutex_lock(&t->lock);
	dirty = t->live.txn && !t->broken && t->changes > 0;
	if (dirty && t->changes - t->counted_at >= COUNT_EVERY)
		tree_count_pages(t);
	if (pages)
		*pages = dirty ? t->dirty : 0;
	/* The list of changes is longer than what they change, where that is the same again and again. */
	if (pages && dirty && t->redo.bytes / t->page_size > *pages)
		*pages = (unsigned int)(t->redo.bytes / t->page_size);
	/* A commit makes the pages free that the last one could not yet give up. */
	if (pages && dirty && t->tight && *pages < TREE_PAGES_MAX)
		*pages = TREE_PAGES_MAX;
	pthread_mutex_unlock(&t->lock);
	return dirty;
}

bool tree_failed(struct tree *t)
{
	return atomic_load(&t->broken);
}

static int set_directory_ref(struct tree *t, uint64_t ino, const struct ref *ref)
{
	struct inode i;
	int rc = view_inode(&t->live, ino, &i);

	if (rc == -ENOENT)
		return 0;
	if (rc || !S_ISDIR(i.mode) || ref_equal(&i.ref, ref))
		return rc;
	rc = tree_reserve(t, false, 1);
	if (rc)
		return rc;
	i.ref = *ref;
	return tree_put_inode(t, &i);
}

/*
 * First the ref, then its records: a checkpoint between the two leaves records too many,
 * which costs the next snapshot a look, and never one too few.
 */
int tree_snapshot_done(struct tree *t, uint64_t epoch, const uint64_t *dirs,
    const struct ref *refs, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		tree_start(t);
		rc = t->live.txn ? set_directory_ref(t, dirs[i], &refs[i]) : -EROFS;
		rc = tree_finish(t, rc);
		if (rc == 0)
			rc = tree_drop_changes(t, dirs[i], epoch);
	}
	return rc;
}

static void get_ref(const uint8_t *p, struct ref *out)
{
	if (!p[0] || ref_decode(p, out) != 0)
		*out = (struct ref){ 0 };
}

static void put_ref(uint8_t *p, const struct ref *ref)
{
	if (ref->hash)
		ref_encode(ref, p);
	else
		memset(p, 0, REF_LEN);
}

int tree_get_head(struct tree *t, struct ref *snapshot, uint64_t *epoch, struct ref *kept)
{
	struct key key = key_text("head");
	MDB_val v;
	int rc;

	*snapshot = *kept = (struct ref){ 0 };
	*epoch = 0;
	tree_lock(t);
	rc = view_get(t->view, META, &key, &v);
	if (rc == 0 && v.mv_size == HEAD_LEN) {
		const uint8_t *p = v.mv_data;

		get_ref(p, snapshot);
		*epoch = get_le64(p + REF_LEN);
		get_ref(p + REF_LEN + 8, kept);
	} else if (rc == 0) {
		rc = -EIO;
	}
	pthread_mutex_unlock(&t->lock);
	return rc == -ENOENT ? 0 : rc;
}

int tree_set_head(struct tree *t, const struct ref *snapshot, uint64_t epoch,
    const struct ref *kept)
{
	struct key key = key_text("head");
	uint8_t head[HEAD_LEN];
	int rc;

	put_ref(head, snapshot);
	put_le64(head + REF_LEN, epoch);
	put_ref(head + REF_LEN + 8, kept);
	tree_start(t);
	rc = tree_reserve(t, false, 1);
	if (rc == 0)
		rc = tree_put(t, META, &key, head, sizeof head);
	return tree_finish(t, rc);
}

static struct key key_pin(const struct address *a)
{
	struct key key;

	key.len = ADDRESS_LEN;
	memcpy(key.b, a->b, ADDRESS_LEN);
	return key;
}

int tree_pin(struct tree *t, const struct ref *ref, struct timestamp now)
{
	struct key key = key_pin(&ref->address);
	uint8_t pin[PIN_LEN] = { 0 };
	int rc;

	ref_encode(ref, pin);
	put_le64(pin + REF_LEN, (uint64_t)now.sec);
	put_le32(pin + REF_LEN + 8, now.nsec);
	tree_start(t);
	rc = tree_reserve(t, true, 1);
	if (rc == 0)
		rc = tree_put(t, PINS, &key, pin, sizeof pin);
	return tree_finish(t, rc);
}

int tree_unpin(struct tree *t, const struct address *a)
{
	struct key key = key_pin(a);
	MDB_val v;
	int rc;

	tree_start(t);
	rc = view_get(t->view, PINS, &key, &v);
	if (rc == 0)
		rc = tree_reserve(t, false, 1);
	if (rc == 0)
		rc = tree_delete(t, PINS, &key);
	return tree_finish(t, rc);
}

size_t tree_pins(struct tree *t, const struct address *after, unsigned int n, struct ref *out)
{
	struct key key = after ? key_pin(after) : key_of(0);
	size_t count = 0;
	MDB_val k, v;
	int rc;

	tree_lock(t);
	rc = view_seek(t->view, PINS, &key, &k, &v);
	if (rc == 0 && after && key_begins(&k, &key))
		rc = view_next(t->view, PINS, &k, &v);
	while (rc == 0 && count < n) {
		if (v.mv_size == PIN_LEN && ref_decode(v.mv_data, &out[count]) == 0)
			count++;
		rc = view_next(t->view, PINS, &k, &v);
	}
	pthread_mutex_unlock(&t->lock);
	return count;
}
