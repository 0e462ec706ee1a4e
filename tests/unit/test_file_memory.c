/*
 * file: whichever allocation fails, a change is made or is not, nothing that was written is lost, and
 * what failed works when there is memory again.  Every allocation in turn is made to fail.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/filekit.h"
#include "tests/lib/suite.h"

#define SIZE 400000u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INTERPOSED 0	/* they have allocators of their own */
#else
#define INTERPOSED 1
#endif

/* How many allocations are still to succeed; negative: all. */
static atomic_int countdown = -1;
static atomic_bool failed;

#if INTERPOSED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);

static bool fails(void)
{
	int n = atomic_load(&countdown);

	while (n >= 0) {
		if (!atomic_compare_exchange_weak(&countdown, &n, n - 1))
			continue;
		if (n == 0)
			atomic_store(&failed, true);
		return n == 0;
	}
	return false;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
	return fails() ? NULL : __libc_calloc(n, each);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
#endif

static struct filekit kit;
static struct file *file, *other;
static uint8_t bytes[SIZE], others[SIZE], got[SIZE];
static size_t size, other_size;
static struct chunk *large, *small;

static void one_flush(void)
{
	int rc = kit_flush(file);

	assert_true(rc == 0 || rc == -ENOMEM);
	assert_int_equal(file_error(file), rc);
}

static void one_write(struct chunk *c, size_t off)
{
	int rc = file_write(file, off, c, NULL);

	assert_true(rc == 0 || rc == -ENOMEM);
	if (rc < 0)
		return;
	memcpy(bytes + off, c->data, c->len);
	size = off + c->len > size ? off + c->len : size;
}

static void one_zero(size_t off, size_t len)
{
	int rc = file_zero(file, off, len, true, NULL);

	assert_true(rc == 0 || rc == -ENOMEM);
	if (rc == 0)
		memset(bytes + off, 0, len);
}

static void one_truncate(size_t to)
{
	int rc = file_truncate(file, to, NULL);

	assert_true(rc == 0 || rc == -ENOMEM);
	if (rc < 0)
		return;
	memset(bytes + to, 0, SIZE - to);
	size = to;
}

static void one_clone(size_t off, size_t len)
{
	uint64_t done;
	int rc = file_clone(file, off, other, off, len, NULL, &done);

	assert_true(rc == 0 || rc == -ENOMEM);
	memcpy(others + off, bytes + off, done);
	if (done > 0 && off + done > other_size)
		other_size = off + done;
}

static void one_read(struct file *f, const uint8_t *expect, size_t len)
{
	int64_t n = kit_read(f, 0, got, SIZE);

	assert_true(n == -ENOMEM || n == (int64_t)len);
	if (n >= 0)
		assert_memory_equal(got, expect, len);
}

static void changes(void)
{
	struct publication *p;
	size_t n;
	int rc;

	one_write(large, 0);
	one_write(small, 150000);
	one_write(small, 150000 + small->len);
	one_flush();
	one_zero(50000, 70000);
	one_write(small, 60000);
	one_flush();
	one_clone(10000, 200000);
	one_truncate(130000);
	one_write(large, 200000);
	one_read(file, bytes, size);
	one_flush();
	cache_trim(kit.cache, 0);
	one_read(file, bytes, size);
	one_read(other, others, other_size);
	rc = files_collect(kit.files, &p, &n);
	assert_true(rc == 0 || rc == -ENOMEM);
	files_published(kit.files, false);
}

static void check(void)
{
	struct ref ref, expect;
	uint64_t data;

	assert_int_equal(kit_flush(file), 0);
	assert_int_equal(kit_flush(other), 0);
	cache_trim(kit.cache, 0);
	assert_int_equal(kit_read(file, 0, got, SIZE), size);
	assert_memory_equal(got, bytes, size);
	assert_int_equal(kit_read(other, 0, got, SIZE), other_size);
	assert_memory_equal(got, others, other_size);
	kit_ref(bytes, size, &expect, &data);
	assert_true(file_ref(file, &ref) && ref_equal(&ref, &expect));
	assert_true(kit_publish(&kit));
}

static void any_allocation_may_fail(void **unused)
{
	uint64_t state = 5;
	uint8_t *p;

	(void)unused;
	large = chunk_new(170000, &p);
	assert_non_null(large);
	for (size_t i = 0; i < large->len; i++)
		p[i] = (uint8_t)kit_random(&state);
	small = chunk_new(3000, &p);
	assert_non_null(small);
	for (size_t i = 0; i < small->len; i++)
		p[i] = (uint8_t)kit_random(&state);
	for (int i = 0; INTERPOSED && i < 100000; i++) {
		kit_open(&kit, 64 << 20, 2);
		file = kit_get(&kit, 1);
		other = kit_get(&kit, 2);
		memset(bytes, 0, SIZE);
		memset(others, 0, SIZE);
		size = other_size = 0;
		atomic_store(&failed, false);
		atomic_store(&countdown, i);
		changes();
		atomic_store(&countdown, -1);
		check();
		file_put(file);
		file_put(other);
		kit_close(&kit);
		if (!atomic_load(&failed)) {
			/* Or nothing was tried at all. */
			assert_in_range(i, 50, 10000);
			break;
		}
	}
	chunk_drop(large);
	chunk_drop(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_allocation_may_fail),
	};

	return suite_run(tests);
}
