/*
 * tree_mend: a transaction that has failed is made anew: the changes that were in it are put into
 * another one, from the list of them in memory.
 *
 * A commit that fails aborts its transaction, and so does a change that fails half-way, since LMDB takes
 * nothing back.  What the disk holds is the last checkpoint, as ever; what was changed since is in the
 * list.  So an EIO that passes costs nobody anything, but who waited for that commit and is told.
 * While the new transaction is made, nobody reads: what was changed would seem to be gone.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "dht/program/log.h"
#include "fs/tree_internal.h"

#define TRIES		500u	/* ten seconds */
#define READERS_WAIT_S	5	/* for those who read the last checkpoint, where it has to be opened anew */

static int replay(struct tree *t)
{
	struct redo_mark at = { 0 };
	struct redo_record r;
	int rc = 0;

	t->replaying = true;
	while (rc == 0 && redo_next(&t->redo, &at, &r)) {
		struct key key = { .len = r.key_len };

		memcpy(key.b, r.key, r.key_len);
		rc = r.deletes ? tree_delete(t, r.table, &key) :
		    tree_put(t, r.table, &key, r.value, r.value_len);
	}
	t->replaying = false;
	return rc;
}

/* After a meta page could not be written LMDB begins nothing any more, until it is opened anew. */
static int reopen(struct tree *t)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += READERS_WAIT_S;
	pthread_mutex_lock(&t->lock);
	while (t->readers && rc == 0)
		rc = pthread_cond_timedwait(&t->turned, &t->lock, &until);
	pthread_mutex_unlock(&t->lock);
	return rc ? rc : tree_open_again(t);
}

static int begin_anew(struct tree *t)
{
	MDB_txn *txn;
	int rc;

	pthread_mutex_unlock(&t->lock);
	/* It was opened anew, and that failed. */
	rc = !t->env ? EIO : mdb_txn_begin(t->env, NULL, 0, &txn);
	if (rc == MDB_PANIC) {
		rc = reopen(t);
		if (rc == 0)
			rc = mdb_txn_begin(t->env, NULL, 0, &txn);
	}
	pthread_mutex_lock(&t->lock);
	return rc ? rc : tree_adopt(t, txn);
}

static int try_anew(struct tree *t)
{
	int rc = begin_anew(t);

	if (rc == 0)
		rc = -replay(t);
	if (rc)
		view_close(&t->live);
	return rc;
}

void tree_lock(struct tree *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->hidden)
		tree_wait(t);
	if (t->view == &t->last && !t->last.cursor[TABLES - 1])
		tree_show_last(t);
}

void tree_wait(struct tree *t)
{
	if (t->spoiled && pthread_equal(t->committer, pthread_self()))
		tree_make_anew(t, EIO, "a change failed half-way");
	else
		pthread_cond_wait(&t->turned, &t->lock);
}

void tree_spoil(struct tree *t)
{
	if (t->broken)
		return;
	redo_cut(&t->redo, t->start);
	if (!t->live.txn || (!t->on_spoiled && !pthread_equal(t->committer, pthread_self()))) {
		tree_break(t, EIO, "a change failed half-way");
		return;
	}
	t->spoiled = t->turning = t->hidden = true;
	if (pthread_equal(t->committer, pthread_self()))
		tree_wait(t);
	else
		t->on_spoiled(t->on_spoiled_arg);
}

int tree_make_anew(struct tree *t, int why, const char *what)
{
	static const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int rc;

	assert(!t->broken);
	view_close(&t->live);
	if (t->redo.lost) {
		tree_break(t, why, what);
		return -EIO;
	}
	t->turning = t->hidden = true;
	rc = try_anew(t);
	/* Memory that is short may be there the next moment. */
	for (unsigned int n = 0; rc == ENOMEM && n < TRIES; n++) {
		pthread_mutex_unlock(&t->lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&t->lock);
		rc = try_anew(t);
	}
	if (rc)
		tree_break(t, rc, what);
	t->turning = t->hidden = t->spoiled = false;
	pthread_cond_broadcast(&t->turned);
	t->puts = 0;	/* no part of an operation is there to be taken back */
	return rc ? -EIO : 0;
}

void tree_mend(struct tree *t)
{
	pthread_mutex_lock(&t->lock);
	if (t->spoiled && !t->broken)
		tree_make_anew(t, EIO, "a change failed half-way");
	pthread_mutex_unlock(&t->lock);
}

void tree_on_spoiled(struct tree *t, void (*f)(void *arg), void *arg)
{
	pthread_mutex_lock(&t->lock);
	t->on_spoiled = f;
	t->on_spoiled_arg = arg;
	pthread_mutex_unlock(&t->lock);
}
