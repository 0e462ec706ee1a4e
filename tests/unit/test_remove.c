/* Single chunks that go, and chunks as they lie: a store of its own, without the seam. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/codec.h"
#include "dht/store.h"
#include "tests/lib/suite.h"

#define CHUNKS	24
#define WRITERS 3

struct kit {
	struct dhttest t;
	struct io io;
	struct store *s;
	char why[512];
	/* of the race: atomic */
	unsigned int begun[CHUNKS], ended[CHUNKS];	/* removals */
	unsigned int found, lost, wrong;
	int clean_said;
	bool over;
	uint64_t seeds;			/* of the writers */
	/* With each sync another chunk is put, from the first one on, while the disk is busy: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int asked, put_begun, put_ended;	/* under lock */
	bool late_over;			/* under lock */
	unsigned int moves;		/* so often the chunk 1 moves on when it is read */
};

static void open_store(struct kit *k)
{
	assert_int_equal(store_open(&k->t.options, false, NULL, NULL, NULL, &k->s, k->why, sizeof(k->why)), 0);
}

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	dhttest_begin(&k->t);
	open_store(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	store_close(k->s);
	dhttest_end(&k->t);
	free(k);
	return 0;
}

static size_t len_of(uint64_t i)
{
	return 200 + i * 7919 % 90000;
}

static struct address put(struct kit *k, uint64_t i)
{
	struct chunk *c = dhttest_chunk(i, len_of(i));
	struct address a;

	dhttest_address(i, len_of(i), &a);
	assert_int_equal(store_put(k->s, KIND_DATA, &a, c, false), 0);
	chunk_drop(c);
	return a;
}

static int get(struct kit *k, const struct address *a)
{
	enum kind kind = KIND_ANY;
	struct chunk *c;
	int rc = store_get(k->s, &kind, a, &c);

	if (rc == 0)
		chunk_drop(c);
	return rc;
}

static void what_is_removed_stays_so_and_can_be_put_again(void **state)
{
	struct kit *k = *state;
	struct dht_status status;
	struct address a[CHUNKS], listed[CHUNKS];

	for (unsigned int i = 0; i < CHUNKS; i++)
		a[i] = put(k, i);
	/* Also what is not durable yet, and once more, and what never was. */
	assert_int_equal(store_remove(k->s, a, CHUNKS / 2, NULL), 0);
	assert_int_equal(store_remove(k->s, a, CHUNKS / 2, NULL), 0);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < CHUNKS; i++)
			assert_int_equal(get(k, &a[i]), i < CHUNKS / 2 ? -ENOENT : 0);
		assert_int_equal(store_list(k->s, NULL, CHUNKS, listed), CHUNKS / 2);
		store_status(k->s, &status);
		assert_int_equal(status.chunks, CHUNKS / 2);
		store_close(k->s);
		open_store(k);
	}
	memcpy(listed, a, sizeof(a));
	assert_int_equal(store_filter(k->s, listed, CHUNKS), CHUNKS / 2);
	assert_memory_equal(listed, a + CHUNKS / 2, sizeof(a) / 2);
	for (unsigned int i = 0; i < CHUNKS; i++)
		put(k, i);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(get(k, &a[i]), 0);
	store_status(k->s, &status);
	assert_int_equal(status.chunks, CHUNKS);
}

static void the_mark_tells_of_every_change_and_of_nothing_else(void **state)
{
	struct kit *k = *state;
	struct store_mark m[4];
	struct address a = put(k, 1);

	store_sync_wait(k->s, store_sync_start(k->s));
	store_mark(k->s, &m[0]);
	store_close(k->s);
	open_store(k);
	get(k, &a);
	store_mark(k->s, &m[1]);
	assert_memory_equal(&m[0], &m[1], sizeof(m[0]));
	put(k, 2);
	store_mark(k->s, &m[2]);
	assert_memory_not_equal(&m[1], &m[2], sizeof(m[0]));
	store_remove(k->s, &a, 1, NULL);
	put(k, 1);
	store_mark(k->s, &m[3]);
	assert_memory_not_equal(&m[2], &m[3], sizeof(m[0]));
}

/* Found, unless a removal of it may have come between. */
static void step(struct kit *k, unsigned int i)
{
	unsigned int before = __atomic_load_n(&k->ended[i], __ATOMIC_SEQ_CST), after;
	struct address a = put(k, i);
	int rc = get(k, &a);

	after = __atomic_load_n(&k->begun[i], __ATOMIC_SEQ_CST);
	if (rc == 0)
		__atomic_fetch_add(&k->found, 1, __ATOMIC_RELAXED);
	else if (rc != -ENOENT)
		__atomic_fetch_add(&k->wrong, 1, __ATOMIC_RELAXED);
	else if (before == after)
		__atomic_fetch_add(&k->lost, 1, __ATOMIC_RELAXED);
}

static void *write_on(void *arg)
{
	struct kit *k = arg;
	uint64_t random = __atomic_add_fetch(&k->seeds, 1, __ATOMIC_RELAXED);

	while (!__atomic_load_n(&k->over, __ATOMIC_RELAXED))
		step(k, (unsigned int)(dhttest_random(&random) % CHUNKS));
	return NULL;
}

/* What moves chunks stores them, too. */
static void *clean_on(void *arg)
{
	struct kit *k = arg;
	struct dht_gc_count count;
	int rc = 0;

	while (rc == 0 && !__atomic_load_n(&k->over, __ATOMIC_RELAXED))
		rc = store_clean(k->s, true, NULL, NULL, &count);
	__atomic_store_n(&k->clean_said, rc, __ATOMIC_RELAXED);
	return NULL;
}

static int remove_some(struct kit *k, unsigned int first, unsigned int n)
{
	struct address a[8];
	int rc;

	for (unsigned int i = 0; i < n; i++) {
		dhttest_address(first + i, len_of(first + i), &a[i]);
		__atomic_fetch_add(&k->begun[first + i], 1, __ATOMIC_SEQ_CST);
	}
	rc = store_remove(k->s, a, n, NULL);
	for (unsigned int i = 0; i < n; i++)
		__atomic_fetch_add(&k->ended[first + i], 1, __ATOMIC_SEQ_CST);
	return rc;
}

static void puts_race_with_removals_and_lose_nothing_that_came_later(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 3000 : 150;
	uint64_t random = suite_seed(20261123);
	struct kit *k = *state;
	pthread_t thread[WRITERS + 1];
	int rc = 0;

	k->seeds = random;
	for (unsigned int i = 0; i <= WRITERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i < WRITERS ? write_on : clean_on, k), 0);
	/* Nothing is asserted while they run: who fails closes the store. */
	for (unsigned int round = 0; rc == 0 && round < rounds; round++) {
		unsigned int n = 1 + (unsigned int)(dhttest_random(&random) % 6), first = (unsigned int)(dhttest_random(&random) % (CHUNKS - n));

		rc = remove_some(k, first, n);
	}
	__atomic_store_n(&k->over, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i <= WRITERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(k->clean_said, 0);
	assert_int_equal(k->lost, 0);
	assert_int_equal(k->wrong, 0);
	assert_true(k->found > 0);
	for (unsigned int i = 0; i < CHUNKS; i++)
		put(k, i);
	store_close(k->s);
	open_store(k);
	for (unsigned int i = 0; i < CHUNKS; i++) {
		struct address a;

		dhttest_address(i, len_of(i), &a);
		assert_int_equal(get(k, &a), 0);
	}
}

static int sync_late(void *ctx, int fd)
{
	struct kit *k = ctx;

	pthread_mutex_lock(&k->lock);
	/* While one waits for the removal, which waits for this sync, no other is asked for. */
	if (k->put_ended == k->asked && k->asked < CHUNKS && !k->late_over) {
		k->asked++;
		pthread_cond_broadcast(&k->changed);
		while (k->put_begun < k->asked)
			pthread_cond_wait(&k->changed, &k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return io_system.fdatasync(io_system.ctx, fd);
}

static void *put_late(void *arg)
{
	struct kit *k = arg;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		while (k->put_begun == k->asked && !k->late_over)
			pthread_cond_wait(&k->changed, &k->lock);
		if (k->put_begun == k->asked)
			break;
		k->put_begun++;
		pthread_cond_broadcast(&k->changed);
		pthread_mutex_unlock(&k->lock);
		put(k, k->put_begun - 1);
		pthread_mutex_lock(&k->lock);
		k->put_ended++;
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

static void open_with_late_puts(struct kit *k)
{
	store_close(k->s);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->changed, NULL);
	k->io = io_system;
	k->io.ctx = k;
	k->io.fdatasync = sync_late;
	k->t.options.io = &k->io;
	open_store(k);
}

static void who_stores_the_same_meanwhile_keeps_no_removal_from_its_end(void **state)
{
	struct kit *k = *state;
	struct address a[CHUNKS];
	struct dht_status status;
	pthread_t thread;
	int rc;

	open_with_late_puts(k);
	for (unsigned int i = 0; i < CHUNKS; i++)
		dhttest_address(i, len_of(i), &a[i]);
	put(k, CHUNKS - 1);
	assert_int_equal(pthread_create(&thread, NULL, put_late, k), 0);
	rc = store_remove(k->s, a, CHUNKS, NULL);
	pthread_mutex_lock(&k->lock);
	k->late_over = true;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	pthread_join(thread, NULL);
	assert_int_equal(rc, 0);
	/* They came later, and stay. */
	store_status(k->s, &status);
	assert_true(k->put_ended > 0);
	assert_int_equal(status.chunks, k->put_ended);
	for (unsigned int i = 0; i < CHUNKS; i++)
		assert_int_equal(get(k, &a[i]), i < k->put_ended ? 0 : -ENOENT);
}

static ssize_t read_too_late(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	struct kit *k = ctx;
	struct address a;

	if (len != len_of(1) || k->moves == 0)
		return io_system.pread(io_system.ctx, fd, buf, len, off);
	k->moves--;
	dhttest_address(1, len_of(1), &a);
	assert_int_equal(store_remove(k->s, &a, 1, NULL), 0);
	put(k, 1);
	assert_int_equal(store_sync_wait(k->s, store_sync_start(k->s)), 0);
	/* Where it was has been given back. */
	memset(buf, 0, len);
	return (ssize_t)len;
}

static void one_that_moves_on_whenever_it_is_read_is_found_all_the_same(void **state)
{
	struct kit *k = *state;
	struct address a = put(k, 1);

	store_close(k->s);
	k->io = io_system;
	k->io.ctx = k;
	k->io.pread = read_too_late;
	k->t.options.io = &k->io;
	open_store(k);
	k->moves = 20;
	assert_int_equal(get(k, &a), 0);
	assert_int_equal(k->moves, 0);
}

static void what_is_packed_goes_from_store_to_store_as_it_lies(void **state)
{
	struct kit *k = *state, other = { .s = NULL };
	static const size_t lens[] = { 0, 1, 300, 5000, 32768, 65536, CHUNK_MAX };

	dhttest_begin(&other.t);
	open_store(&other);
	for (unsigned int i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (unsigned int zeros = 0; zeros < 2; zeros++) {
			struct chunk *c = dhttest_chunk(i, lens[i]), *got;
			struct store_packed p;
			enum kind kind = KIND_ANY;
			struct address a;
			bool known;

			if (zeros)
				memset((uint8_t *)(uintptr_t)c->data, 0, c->len / 2);
			address_of(KIND_INDEX, c->data, c->len, &a);
			assert_int_equal(store_put(k->s, KIND_INDEX, &a, c, true), 0);
			store_sync_wait(k->s, store_sync_start(k->s));
			assert_int_equal(store_get_packed(k->s, STORE_HASH, &kind, &a, 0, &p), 0);
			assert_int_equal(kind, KIND_INDEX);
			assert_int_equal(p.raw_len, c->len);
			assert_true(p.codec == CODEC_RAW ? p.bytes->len == c->len : p.bytes->len < c->len);
			assert_true(lens[i] < 300 || (p.codec == CODEC_ZLIB) == zeros);
			assert_int_equal(store_put_packed(other.s, kind, &a, &p, &known), 0);
			assert_false(known && zeros == 0 && lens[i] > 1);
			chunk_drop(p.bytes);
			/* With room in front, which is ours. */
			assert_int_equal(store_get_packed(k->s, STORE_HASH, &kind, &a, 10, &p), 0);
			memset((uint8_t *)(uintptr_t)p.bytes->data, 0xee, 10);
			assert_int_equal(p.bytes->len - 10, p.codec == CODEC_RAW ? c->len : p.bytes->len - 10);
			chunk_drop(p.bytes);
			assert_int_equal(store_get(other.s, &kind, &a, &got), 0);
			assert_int_equal(got->len, c->len);
			assert_memory_equal(got->data, c->data, c->len);
			chunk_drop(got);
			chunk_drop(c);
		}
	}
	store_close(other.s);
	dhttest_end(&other.t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_removed_stays_so_and_can_be_put_again),
		TEST(the_mark_tells_of_every_change_and_of_nothing_else),
		TEST(puts_race_with_removals_and_lose_nothing_that_came_later),
		TEST(who_stores_the_same_meanwhile_keeps_no_removal_from_its_end),
		TEST(one_that_moves_on_whenever_it_is_read_is_found_all_the_same),
		TEST(what_is_packed_goes_from_store_to_store_as_it_lies),
	};

	return suite_run(tests);
}
