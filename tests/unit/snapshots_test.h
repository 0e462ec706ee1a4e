/* snapshots_test: the parts of a volume over a set in memory, and snapshots of it to wait for. */
#ifndef TESTS_UNIT_SNAPSHOTS_TEST_H
#define TESTS_UNIT_SNAPSHOTS_TEST_H

#include <semaphore.h>

#include "tests/unit/tree_test.h"

#include "fs/snapshots.h"
#include "tests/lib/fakedht.h"

static struct dht *set;
static struct cache *cache;
static struct files *files;
static struct checkpoint *c;
static struct snapshots *s;

static inline int load(void *arg, uint64_t ino, struct inode *out)
{
	(void)arg;
	return tree_get(t, ino, out);
}

/* What the parts are over; parts_free() after stop(). */
static inline int parts_new(void)
{
	set = fakedht_new(2);
	cache = cache_new(1 << 20);
	return tree_test_mkdir();
}

static inline int parts_free(void **state)
{
	fakedht_free(set);
	cache_free(cache);
	return tree_test_teardown(state);
}

/* Start the parts; ${fo} and ${so} leave out what all tests have the same.  Snapshots are kept by ${rule}. */
static inline int parts_start(struct files_options fo, struct snapshots_options so, const char *rule)
{
	char why[512];
	int rc = tree_open(tree_dir, so.read_only, &t, why, sizeof(why));

	fo.dht = so.dht = set;
	fo.cache = so.cache = cache;
	fo.load = load;
	if (rc == 0)
		rc = files_new(&fo, &files);
	if (rc == 0)
		rc = checkpoint_start(t, files, set, NULL, &c);
	so.tree = t;
	so.checkpoint = c;
	if (rc == 0)
		rc = keep_parse(rule, &so.keep, why, sizeof(why));
	if (rc == 0)
		rc = snapshots_start(&so, &s);
	return rc;
}

static inline int stop(void)
{
	int rc = snapshots_stop(s);

	checkpoint_stop(c);
	files_free(files);
	tree_close(t);
	t = NULL;
	return rc;
}

struct waiting {
	struct snapshot_waiter w;
	sem_t done;
	int result;
};

static inline void wait_done(struct snapshot_waiter *sw, int result)
{
	struct waiting *w = (struct waiting *)sw;

	w->result = result;
	sem_post(&w->done);
}

static inline void wait_start(struct waiting *w, const char *note)
{
	*w = (struct waiting){ .w = { .done = wait_done, .note = note }, .result = 1 };
	sem_init(&w->done, 0, 0);
	snapshots_wait(s, &w->w);
}

static inline int wait_end(struct waiting *w)
{
	sem_wait(&w->done);
	sem_destroy(&w->done);
	return w->result;
}

static inline int take(const char *note, struct ref *ref)
{
	struct waiting w;
	int rc;

	wait_start(&w, note);
	rc = wait_end(&w);
	*ref = w.w.ref;
	return rc;
}

static inline void count_one(void *arg, const struct timestamp *time, const struct ref *ref)
{
	(void)time, (void)ref;
	++*(unsigned int *)arg;
}

static inline unsigned int kept(void)
{
	unsigned int n = 0;

	assert_int_equal(snapshots_list(s, count_one, &n), 0);
	return n;
}

#endif
