/* collect_test: a volume over a set in memory, and what tests of collections do with it. */
#ifndef TESTS_UNIT_COLLECT_TEST_H
#define TESTS_UNIT_COLLECT_TEST_H

#include <sched.h>

#include "tests/unit/snapshots_test.h"

#include "fs/collect.h"
#include "fs/grace.h"
#include "fs/roots.h"
#include "fs/uploads.h"

#define LARGE (3u << 20)	/* bytes of a file that has an index */

static struct grace inserting, reading;
static struct roots roots;
static struct uploads uploads;
static struct collect_parts parts;
static uint64_t seed;

static int start(void)
{
	struct files_options fo = {
		.dirty_max = 1 << 28, .flushers = 2, .flushing = &inserting, .reading = &reading, .roots = &roots,
	};
	struct snapshots_options so = { .read_only = false };
	int rc = parts_start(fo, so, "all");

	parts = (struct collect_parts){ t, files, s, set, &inserting, &reading, &roots, &uploads };
	return rc;
}

static int setup(void **state)
{
	(void)state;
	seed = 1;
	grace_init(&inserting);
	grace_init(&reading);
	roots_init(&roots);
	uploads_init(&uploads);
	return parts_new() < 0 ? -1 : start();
}

static int teardown(void **state)
{
	int rc;

	stop();
	rc = parts_free(state);
	grace_destroy(&inserting);
	grace_destroy(&reading);
	roots_destroy(&roots);
	uploads_destroy(&uploads);
	return rc;
}

static bool go_on(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	(void)arg, (void)phase, (void)done, (void)total;
	return true;
}

static struct collect_result run(void)
{
	struct collect_result r;

	assert_int_equal(collect(&parts, false, 0, go_on, NULL, &r), 0);
	return r;
}

/* xorshift64: Marsaglia (2003). */
static void noise(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p[i] = (uint8_t)seed;
	}
}

static void write_noise(struct file *f, uint64_t off, size_t len)
{
	uint8_t *p;
	struct chunk *chunk = chunk_new(len, &p);

	assert_non_null(chunk);
	noise(p, len);
	assert_int_equal(file_write(f, off, chunk, NULL), 0);
	chunk_drop(chunk);
}

static void checkpoint(void)
{
	int unflushed;

	assert_int_equal(checkpoint_now(c, true, &unflushed), 0);
	assert_int_equal(unflushed, 0);
}

static struct file *hold(uint64_t ino)
{
	struct file *f;

	assert_int_equal(file_get(files, ino, &f), 0);
	return f;
}

/* A file of noise, in the tree. */
static uint64_t make_file(const char *name, size_t len)
{
	uint64_t ino = make(TREE_ROOT, name, FILE_MODE);
	struct file *f = hold(ino);

	write_noise(f, 0, len);
	file_put(f);
	checkpoint();
	return ino;
}

struct reading {
	struct file_read r;
	sem_t done;
	int result;
};

static void read_done(struct file_read *fr, int result)
{
	struct reading *r = (struct reading *)fr;

	r->result = result;
	sem_post(&r->done);
}

/* Read all of it, past the cache: 0 or what was said. */
static int read_all(struct file *f)
{
	struct file_attr a;
	struct ref ref;
	int rc = 0;

	file_attr(f, &a);
	file_ref(f, &ref);
	cache_trim(cache, 0);
	for (uint64_t off = 0, size = a.dirty ? a.size : ref.size; rc == 0 && off < size; off += 1 << 17) {
		struct reading r = { .result = 1 };

		sem_init(&r.done, 0, 0);
		r.r = (struct file_read){ .file = f, .off = off, .len = 1 << 17, .done = read_done };
		file_read(&r.r);
		sem_wait(&r.done);
		sem_destroy(&r.done);
		rc = r.result;
		file_read_clear(&r.r);
	}
	return rc;
}

static int read_ino(uint64_t ino)
{
	struct file *f = hold(ino);
	int rc = read_all(f);

	file_put(f);
	return rc;
}

static int read_ref(const struct ref *ref)
{
	struct file *f;
	int rc = file_of_ref(files, ref, &f);

	if (rc == 0) {
		rc = read_all(f);
		file_put(f);
	}
	return rc;
}

static void remove_file(const char *name)
{
	struct inode gone;
	struct file *f;

	assert_int_equal(tree_unlink(t, TREE_ROOT, name, at(200), &gone), 0);
	f = file_find(files, gone.ino);
	if (f) {
		file_discard(f);
		file_put(f);
	}
	tree_forget(t, gone.ino);
	checkpoint();
}

static struct ref snapshot(void)
{
	struct ref ref;

	assert_int_equal(take("", &ref), 0);
	return ref;
}

/* Chunks that nobody refers to. */
static void litter(unsigned int n)
{
	struct address a;
	uint8_t bytes[100];

	while (n-- > 0) {
		noise(bytes, sizeof(bytes));
		fakedht_put(set, KIND_DATA, bytes, sizeof(bytes), &a);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
