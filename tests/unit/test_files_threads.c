/*
 * files under many threads: writers, readers, flushes, clones and checkpoints at once.  Each writer owns the
 * stripes of its own number in every file, so that all can be verified in the end, and
 * each block says what it is, so that a reader sees at once what is torn.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "tests/lib/filekit.h"
#include "tests/lib/suite.h"

#define WRITERS	3u
#define FILES	3u
#define BLOCK	4096u
#define BLOCKS	96u		/* of a file */
#define SIZE	(BLOCK * BLOCKS)

static struct filekit kit;
static uint64_t seed;
static unsigned int steps;
static atomic_bool ending;
/* Of each block the number of its last write; by its writer only. */
static uint64_t last[FILES][BLOCKS];

static void fill(uint8_t *block, uint64_t file, uint64_t index, uint64_t n)
{
	for (size_t i = 0; i < BLOCK; i += 8)
		put_le64(block + i, n == 0 ? 0 : file << 56 | index << 40 | n);
}

/* One block as some write left it: whole, in its place. */
static uint64_t check_block(const uint8_t *block, uint64_t file, uint64_t index)
{
	uint64_t word = get_le64(block);

	for (size_t i = 8; i < BLOCK; i += 8)
		assert(get_le64(block + i) == word);
	assert(word == 0 || (word >> 56 == file && (word >> 40 & 0xffff) == index));
	return word & 0xffffffffff;
}

static void *write_all(void *arg)
{
	uint64_t me = (uintptr_t)arg, state = seed + me;
	uint8_t block[BLOCK];

	for (unsigned int i = 1; i <= steps; i++) {
		uint64_t file = kit_below(&state, FILES);
		uint64_t index = kit_below(&state, BLOCKS / WRITERS) * WRITERS + me;
		struct file *f = kit_get(&kit, file + 1);
		int rc;

		if (kit_below(&state, 10) == 0) {
			last[file][index] = 0;
			rc = file_zero(f, index * BLOCK, BLOCK, false, NULL);
			assert(rc == 0);
		} else {
			last[file][index] = i;
			fill(block, file, index, i);
			/* The error of those who could not be flushed, at the bound. */
			do {
				rc = kit_write(&kit, f, index * BLOCK, block, BLOCK);
				assert(rc == 0 || rc == -EIO);
			} while (rc < 0);
		}
		if (kit_below(&state, 50) == 0) {
			rc = kit_flush(f);
			assert(rc == 0 || rc == -EIO);
		}
		file_put(f);
	}
	return NULL;
}

static void *read_all(void *arg)
{
	uint64_t state = seed + 100 + (uintptr_t)arg;
	uint8_t *bytes = malloc(SIZE);

	assert(bytes);
	while (!atomic_load(&ending)) {
		uint64_t file = kit_below(&state, FILES), index = kit_below(&state, BLOCKS);
		struct file *f = kit_get(&kit, file + 1);
		int64_t got = kit_read(f, index * BLOCK, bytes, SIZE - index * BLOCK);
		struct file_attr attr;

		assert(got >= 0 && got % BLOCK == 0);
		for (int64_t i = 0; i < got / BLOCK; i++)
			check_block(bytes + i * BLOCK, file, index + (uint64_t)i);
		kit_seek(f, index * BLOCK, kit_below(&state, 2));
		file_attr(f, &attr);
		assert(attr.size <= SIZE);
		file_put(f);
	}
	free(bytes);
	return NULL;
}

/* Clones into a file of its own, and cuts that again. */
static void *clone_all(void *arg)
{
	uint64_t state = seed + 200;
	uint8_t block[BLOCK];

	(void)arg;
	while (!atomic_load(&ending)) {
		uint64_t file = kit_below(&state, FILES), index = kit_below(&state, BLOCKS), done;
		struct file *from = kit_get(&kit, file + 1), *to = kit_get(&kit, FILES + 1);

		if (file_clone(from, index * BLOCK, to, 0, BLOCK, NULL, &done) == 0 && done > 0) {
			int64_t got = kit_read(to, 0, block, BLOCK);

			assert(got == BLOCK);
			check_block(block, file, index);
		}
		file_truncate(to, kit_below(&state, 2) * BLOCK * 2, NULL);
		file_put(from);
		file_put(to);
	}
	return NULL;
}

static void *checkpoint_all(void *arg)
{
	uint64_t state = seed + 300;

	(void)arg;
	while (!atomic_load(&ending)) {
		/* Now and then the disk fails for a moment. */
		if (kit_below(&state, 4) == 0)
			fakedht_fail(kit.dht, -EIO, 0);
		files_flush_all(kit.files, 0);
		fakedht_fail(kit.dht, 0, 0);
		if (kit_below(&state, 2)) {
			struct file *f = kit_get(&kit, 1 + kit_below(&state, FILES));

			file_must_publish(f);
			file_put(f);
			files_flush_must(kit.files);
		}
		kit_publish(&kit);
		cache_trim(kit.cache, 0);
	}
	return NULL;
}

static void verify(void)
{
	uint8_t *bytes = malloc(SIZE);

	assert_non_null(bytes);
	for (uint64_t file = 0; file < FILES; file++) {
		struct file *f = kit_get(&kit, file + 1);
		struct inode row;
		struct ref expect;
		uint64_t data;
		int64_t got = kit_read(f, 0, bytes, SIZE);

		for (uint64_t i = 0; i < BLOCKS; i++) {
			uint64_t n = (int64_t)(i * BLOCK) < got ? check_block(bytes + i * BLOCK, file, i)
								: 0;

			assert_int_equal(n, last[file][i]);
		}
		kit_row(&kit, file + 1, &row);
		kit_ref(bytes, (size_t)got, &expect, &data);
		assert_true(ref_equal(&row.ref, &expect));
		assert_int_equal(row.data, data);
		file_put(f);
	}
	free(bytes);
}

static void all_at_once_leave_what_was_written(void **unused)
{
	void *(*const work[])(void *) = { read_all, read_all, clone_all, checkpoint_all };
	pthread_t writer[WRITERS], other[4];

	(void)unused;
	kit_open(&kit, 256 << 10, 2);
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, write_all, (void *)i), 0);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&other[i], NULL, work[i], (void *)i), 0);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	atomic_store(&ending, true);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(other[i], NULL);
	files_flush_all(kit.files, 0);
	assert_true(kit_publish(&kit));
	verify();
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_at_once_leave_what_was_written),
	};

	seed = suite_seed(20240611);
	steps = getenv("SOAK") ? 20000 : 1000;
	return suite_run(tests);
}
