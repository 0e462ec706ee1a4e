/* files_test: a kit of files for each test, and flushes to wait for: what the tests of files share. */
#ifndef TESTS_UNIT_FILES_TEST_H
#define TESTS_UNIT_FILES_TEST_H

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file_impl.h"
#include "tests/lib/filekit.h"
#include "tests/lib/suite.h"

static struct filekit kit;
static uint64_t state;

static inline int setup(void **unused)
{
	(void)unused;
	state = 1;
	kit_open(&kit, 1 << 20, 2);
	return 0;
}

static inline int teardown(void **unused)
{
	(void)unused;
	kit_close(&kit);
	return 0;
}

static inline struct chunk *noise(size_t len)
{
	uint8_t *p;
	struct chunk *c = chunk_new(len, &p);

	assert_non_null(c);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)kit_random(&state);
	return c;
}

/* Write ${len} bytes of noise without waiting. */
static inline int put(struct file *f, uint64_t off, size_t len)
{
	struct chunk *c = noise(len);
	const struct timestamp now = { 1000 + (int64_t)off, 7 };
	int rc = file_write(f, off, c, &now);

	chunk_drop(c);
	return rc;
}

static inline uint64_t row_size(uint64_t ino)
{
	struct inode row;

	kit_row(&kit, ino, &row);
	assert_int_equal(row.size, row.ref.size);
	return row.size;
}

struct flushing {
	struct file_flush w;
	int result;
	sem_t done;
};

static inline void flush_done(struct file_flush *w, int result)
{
	struct flushing *f = (struct flushing *)w;

	f->result = result;
	sem_post(&f->done);
}

static inline void flush_start(struct flushing *f, struct file *file)
{
	*f = (struct flushing){ .w = { .file = file, .done = flush_done }, .result = 1 };
	sem_init(&f->done, 0, 0);
	file_flush(&f->w);
}

static inline int flush_await(struct flushing *f)
{
	sem_wait(&f->done);
	return f->result;
}

static inline bool flush_ended(struct flushing *f)
{
	int value;

	sem_getvalue(&f->done, &value);
	return value > 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
