#include "fs/checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/deadline.h"
#include "dht/program/log.h"
#include "fs/buffers.h"

#define DELAY_MS	900	/* from the first change to its checkpoint; the promise is 1 s */
#define RETRY_MS	1000	/* after a failure */

struct checkpoint {
	struct tree *tree;
	struct files *files;
	struct dht *dht;
	struct gate *gate;
	pthread_t thread;
	atomic_bool due;

	pthread_mutex_t lock;	/* all below; only on_commit() is called with it held */
	pthread_cond_t wake;
	struct timespec due_at;	/* CLOCK_MONOTONIC, while due */
	struct list waiting;	/* checkpoint_waiter: for the next one */
	struct list served;	/* for the one that is being made */
	bool hurry, begun, stop;
	int begin_result;
	int last_result;
	void (*on_commit)(void *arg);
	void *on_commit_arg;
};

static bool reached(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

static int sync_set(struct checkpoint *c)
{
	int r = dht_sync_now(c->dht);

	/* After a failure the set has written the chunks again elsewhere: ask once more. */
	return r == -EIO ? dht_sync_now(c->dht) : r;
}

/*
 * A commit in which a file that replaced another has to be there with its present content.
 * Where renames come faster than the set can be synced, the second try flushes and
 * syncs them with the tree locked: then no further one can come.
 */
struct attempt {
	struct checkpoint *c;
	struct publications what;
	bool forced;
	int result;
};

static bool attempt_ready(void *arg)
{
	struct attempt *a = arg;
	int unflushed;

	if (!a->forced)
		return files_ready(a->c->files);
	unflushed = files_flush_must(a->c->files);
	a->result = files_collect(a->c->files, &a->what.v, &a->what.n);
	if (a->result == 0)
		a->result = sync_set(a->c);
	if (a->result == 0 && !files_ready(a->c->files))
		a->result = unflushed < 0 ? unflushed : -EIO;
	return a->result == 0;
}

/* Requests wait outside meanwhile, where they can be taken back. */
static int try_commit(struct checkpoint *c, struct attempt *a)
{
	int r;

	/* Who is inside may wait for a change that failed half-way: only this thread mends that. */
	while (!gate_close(c->gate))
		tree_mend(c->tree);
	r = tree_commit(c->tree, &a->what, attempt_ready, a);
	gate_open(c->gate);
	files_published(c->files, r == 0);
	return r;
}

/*
 * *${changes}: was there anything to commit?  A tree that has failed has lost some, and nobody
 * is told otherwise, be there nothing new.
 */
static int commit(struct checkpoint *c, bool *changes)
{
	struct attempt a = { .c = c };
	int r;

	r = files_collect(c->files, &a.what.v, &a.what.n);
	if (r < 0)
		return r;
	if (a.what.n == 0 && !tree_dirty(c->tree, NULL)) {
		files_published(c->files, true);
		*changes = false;
		return tree_failed(c->tree) ? -EROFS : 0;
	}
	*changes = true;
	r = sync_set(c);
	if (r < 0) {
		files_published(c->files, false);
		return r;
	}
	r = try_commit(c, &a);
	if (r != -EAGAIN)
		return r;

	a.forced = true;
	a.what.n = 0;
	r = try_commit(c, &a);
	return r == -EAGAIN ? a.result : r;
}

static void tell_commit(struct checkpoint *c)
{
	/* Under the lock, so that checkpoint_on_commit(c, NULL, NULL) ends it for good. */
	pthread_mutex_lock(&c->lock);
	if (c->on_commit)
		c->on_commit(c->on_commit_arg);
	pthread_mutex_unlock(&c->lock);
}

void checkpoint_on_commit(struct checkpoint *c, void (*f)(void *arg), void *arg)
{
	pthread_mutex_lock(&c->lock);
	c->on_commit = f;
	c->on_commit_arg = arg;
	pthread_mutex_unlock(&c->lock);
}

static void answer(struct checkpoint *c, struct list *list, int result, int unflushed)
{
	pthread_mutex_lock(&c->lock);
	while (!list_empty(list)) {
		struct checkpoint_waiter *w =
		    list_item(list->next, struct checkpoint_waiter, link);

		list_remove(&w->link);
		w->waiting = false;
		pthread_mutex_unlock(&c->lock);
		w->unflushed = w->all ? unflushed : 0;
		w->done(w, result);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Which files are to be flushed for a checkpoint. */
enum flush {
	FLUSH_NONE,
	FLUSH_DUE,		/* all but those that wait for what is written next */
	FLUSH_ALL,
};

/* Waits until a checkpoint is wanted, and takes those who wait for it.  False: the end. */
static bool next_checkpoint(struct checkpoint *c, enum flush *flush)
{
	bool due;
	bool stop;

	pthread_mutex_lock(&c->lock);
	while (list_empty(&c->waiting) && !c->stop && !c->hurry) {
		if (!atomic_load(&c->due)) {
			pthread_cond_wait(&c->wake, &c->lock);
		} else {
			if (reached(&c->due_at))
				break;
			pthread_cond_timedwait(&c->wake, &c->lock, &c->due_at);
		}
	}
	stop = c->stop;
	due = c->hurry || (atomic_load(&c->due) && reached(&c->due_at));
	*flush = stop ? FLUSH_ALL : due ? FLUSH_DUE : FLUSH_NONE;
	while (!list_empty(&c->waiting)) {
		struct checkpoint_waiter *w =
		    list_item(c->waiting.next, struct checkpoint_waiter, link);

		if (w->all)
			*flush = FLUSH_ALL;
		list_remove(&w->link);
		list_append(&c->served, &w->link);
	}
	c->hurry = false;
	/* What changes from here on is due anew. */
	if (*flush != FLUSH_NONE)
		atomic_store(&c->due, false);
	pthread_mutex_unlock(&c->lock);
	return !stop;
}

/* A tree that has failed takes no checkpoint any more: it is not tried again unasked. */
static void take_result(struct checkpoint *c, int r)
{
	int last;

	pthread_mutex_lock(&c->lock);
	last = c->last_result;
	c->last_result = r;
	pthread_mutex_unlock(&c->lock);
	if (r < 0 && r != last)
		log_line(LOG_ERR, "checkpoint failed: %s", strerror(-r));
	if (r == 0 && last < 0)
		log_line(LOG_NOTICE, "checkpoints work again");
	if (r < 0 && !tree_failed(c->tree))
		checkpoint_due(c);
}

static void *checkpoint_thread(void *arg)
{
	struct checkpoint *c = arg;
	enum flush flush;
	bool more, changes;
	int r, unflushed;

	r = tree_begin(c->tree);
	/* Opened read-only it never has anything to commit, and who waits is told so. */
	if (r == -EROFS)
		r = 0;
	pthread_mutex_lock(&c->lock);
	c->begin_result = r;
	c->begun = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return NULL;
	do {
		more = next_checkpoint(c, &flush);
		tree_mend(c->tree);
		unflushed = 0;
		if (flush != FLUSH_NONE)
			unflushed = files_flush_all(c->files, flush == FLUSH_ALL);
		r = commit(c, &changes);
		/* Whatever came of it: who was held has been so for long enough. */
		gate_open(c->gate);
		if (r == 0 && changes)
			tell_commit(c);
		take_result(c, r);
		answer(c, &c->served, r, unflushed);
		/* It may take some time, which nobody waits for. */
		if (flush != FLUSH_NONE)
			buffers_trim();
	} while (more);
	if (r == 0)
		c->last_result = unflushed;
	tree_end(c->tree);
	return NULL;
}

/* Under the tree's lock. */
static void tree_spoiled(void *arg)
{
	struct checkpoint *c = arg;

	if (c->gate)
		gate_stir(c->gate);
	checkpoint_hurry(c);
}

int checkpoint_start(struct tree *t, struct files *files, struct dht *dht, struct gate *gate,
    struct checkpoint **out)
{
	struct checkpoint *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;
	int r;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->tree = t;
	c->files = files;
	c->dht = dht;
	c->gate = gate;
	list_init(&c->waiting);
	list_init(&c->served);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = -pthread_create(&c->thread, NULL, checkpoint_thread, c);
	if (r < 0)
		goto err;
	pthread_mutex_lock(&c->lock);
	while (!c->begun)
		pthread_cond_wait(&c->wake, &c->lock);
	r = c->begin_result;
	pthread_mutex_unlock(&c->lock);
	if (r < 0) {
		pthread_join(c->thread, NULL);
		goto err;
	}
	tree_on_spoiled(t, tree_spoiled, c);
	*out = c;
	return 0;
err:
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return r;
}

int checkpoint_stop(struct checkpoint *c)
{
	int r;

	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	tree_on_spoiled(c->tree, NULL, NULL);
	pthread_join(c->thread, NULL);
	r = c->last_result;
	answer(c, &c->waiting, r < 0 ? r : -ESHUTDOWN, 0);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return r;
}

void checkpoint_due(void *arg)
{
	struct checkpoint *c = arg;

	if (atomic_load(&c->due))
		return;
	pthread_mutex_lock(&c->lock);
	if (!atomic_load(&c->due)) {
		c->due_at = deadline_in(CLOCK_MONOTONIC, c->last_result < 0 ? RETRY_MS : DELAY_MS);
		atomic_store(&c->due, true);
		pthread_cond_broadcast(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
}

void checkpoint_hurry(struct checkpoint *c)
{
	pthread_mutex_lock(&c->lock);
	c->hurry = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

void checkpoint_hold(struct checkpoint *c)
{
	if (c->gate)
		gate_hold(c->gate);
	checkpoint_hurry(c);
}

void checkpoint_wait(struct checkpoint *c, struct checkpoint_waiter *w)
{
	pthread_mutex_lock(&c->lock);
	list_append(&c->waiting, &w->link);
	w->waiting = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

bool checkpoint_leave(struct checkpoint *c, struct checkpoint_waiter *w)
{
	bool was;

	pthread_mutex_lock(&c->lock);
	was = w->waiting;
	if (was) {
		list_remove(&w->link);
		w->waiting = false;
	}
	pthread_mutex_unlock(&c->lock);
	return was;
}

struct waited {
	struct checkpoint_waiter w;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done;
	int result;
};

static void waited_done(struct checkpoint_waiter *cw, int result)
{
	struct waited *w = (struct waited *)cw;

	pthread_mutex_lock(&w->lock);
	w->result = result;
	w->is_done = true;
	pthread_cond_signal(&w->done);
	pthread_mutex_unlock(&w->lock);
}

int checkpoint_now(struct checkpoint *c, bool all, int *unflushed)
{
	struct waited w = {
		.w = { .done = waited_done, .all = all },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER,
	};

	checkpoint_wait(c, &w.w);
	pthread_mutex_lock(&w.lock);
	while (!w.is_done)
		pthread_cond_wait(&w.done, &w.lock);
	pthread_mutex_unlock(&w.lock);
	*unflushed = w.w.unflushed;
	return w.result;
}
