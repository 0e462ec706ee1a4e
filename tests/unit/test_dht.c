#include "tests/lib/dhttest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int done;
};

static struct waiter waiter = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static void tell(struct dht_op *op)
{
	struct waiter *w = op->user;

	pthread_mutex_lock(&w->lock);
	w->done++;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void await(unsigned int done)
{
	pthread_mutex_lock(&waiter.lock);
	while (waiter.done < done)
		pthread_cond_wait(&waiter.changed, &waiter.lock);
	pthread_mutex_unlock(&waiter.lock);
}

static int begin(void **state)
{
	struct dhttest *t = malloc(sizeof(*t));

	dhttest_begin(t);
	waiter.done = 0;
	if (dhttest_open(t) < 0)
		fail_msg("%s", t->why);
	*state = t;
	return 0;
}

static int end(void **state)
{
	dhttest_end(*state);
	free(*state);
	return 0;
}

static void what_was_inserted_is_found_now_and_after_a_restart(void **state)
{
	static const size_t lens[] = { 0, 1, 63, 64, 65, 4096, 65537, CHUNK_MAX };
	struct dhttest *t = *state;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			assert_int_equal(dhttest_get(t, i, lens[i]), round ? 0 : -ENOENT);
			assert_int_equal(dhttest_put(t, i, lens[i]), 0);
			assert_int_equal(dhttest_get(t, i, lens[i]), 0);
		}
		dhttest_reopen(t);
	}
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		assert_int_equal(dhttest_get(t, i, lens[i]), 0);
}

static void operations_complete_from_other_threads(void **state)
{
	enum { N = 200 };
	struct dhttest *t = *state;
	struct dht_op ops[N], sync = { .done = tell, .user = &waiter };

	memset(ops, 0, sizeof(ops));
	for (unsigned int i = 0; i < N; i++) {
		ops[i] = (struct dht_op){ .kind = KIND_DATA, .done = tell, .user = &waiter,
			.chunk = dhttest_chunk(i, 1000 + i) };
		dht_insert(t->dht, &ops[i]);
	}
	await(N);
	dht_sync(t->dht, &sync);
	await(N + 1);
	assert_int_equal(sync.result, 0);
	for (unsigned int i = 0; i < N; i++) {
		struct address want;

		assert_int_equal(ops[i].result, 0);
		dhttest_address(i, 1000 + i, &want);
		assert_true(address_equal(&want, &ops[i].address));
		chunk_drop(ops[i].chunk);
		ops[i].kind = i % 2 ? KIND_ANY : KIND_DATA;
		ops[i].ahead = i % 3 == 0;
		dht_lookup(t->dht, &ops[i]);
	}
	await(2 * N + 1);
	for (unsigned int i = 0; i < N; i++) {
		struct chunk *want = dhttest_chunk(i, 1000 + i);

		assert_int_equal(ops[i].result, 0);
		assert_int_equal(ops[i].kind, KIND_DATA);
		assert_int_equal(ops[i].chunk->len, want->len);
		assert_memory_equal(ops[i].chunk->data, want->data, want->len);
		chunk_drop(want);
		chunk_drop(ops[i].chunk);
	}
}

static void a_chunk_is_stored_once(void **state)
{
	struct dhttest *t = *state;
	struct dht_status before, after;

	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	dht_status(t->dht, &before);
	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	dhttest_reopen(t);
	assert_int_equal(dhttest_put(t, 1, 50000), 0);
	dht_status(t->dht, &after);
	assert_int_equal(before.chunks, 1);
	assert_int_equal(after.chunks, 1);
	assert_int_equal(after.raw_bytes, 50000);
	assert_int_equal(after.inserts_known, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_inserted_is_found_now_and_after_a_restart,
		    begin, end),
		cmocka_unit_test_setup_teardown(operations_complete_from_other_threads, begin, end),
		cmocka_unit_test_setup_teardown(a_chunk_is_stored_once, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
