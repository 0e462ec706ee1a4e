/* A ledger that can't be read for a while: what it can't be asked for is not "not there", and nobody gives up anything for it. */
#include "tests/lib/shelfkit.h"

#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/disk.h"
#include "tests/lib/suite.h"

#define LEN   100
#define COUNT 3u

/* What LMDB says of the ledger while this is not 0, at most so many times. */
static atomic_int ledger_says;
static atomic_uint times;

static bool fails(MDB_txn *txn)
{
	const char *path = NULL, *name;
	unsigned int left = atomic_load(&times);

	if (!atomic_load(&ledger_says) || mdb_env_get_path(mdb_txn_env(txn), &path))
		return false;
	name = strrchr(path, '/');
	if (!name || strcmp(name, "/ledger") != 0)
		return false;
	while (left > 0 && !atomic_compare_exchange_weak(&times, &left, left - 1))
		;
	return left > 0;
}

int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value)
{
	union {
		void *symbol;
		int (*get)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);
	} real = { .symbol = dlsym(RTLD_NEXT, "mdb_get") };

	return fails(txn) ? atomic_load(&ledger_says) : real.get(txn, dbi, key, value);
}

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
	union {
		void *symbol;
		int (*get)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);
	} real = { .symbol = dlsym(RTLD_NEXT, "mdb_cursor_get") };

	return fails(mdb_cursor_txn(cursor)) ? atomic_load(&ledger_says) : real.get(cursor, key, value, op);
}

static void set_ledger(int says, unsigned int n)
{
	atomic_store(&times, n);
	atomic_store(&ledger_says, says);
}

struct kit {
	struct shelfkit s;
	struct address a[COUNT];	/* in order */
};

static int compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

/* Owned, and known to the ledger alone. */
static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	*state = k;
	shelfkit_begin(&k->s);
	for (unsigned int i = 0; i < COUNT; i++)
		shelfkit_put(&k->s, i, LEN, &k->a[i]);
	qsort(k->a, COUNT, sizeof(k->a[0]), compare);
	shelfkit_reopen(&k->s);
	for (unsigned int i = 0; i < COUNT; i++) {
		struct shelf_change c = { .kind = SHELF_STATES, .address = k->a[i], .states = STATE_OWNED };

		assert_int_equal(shelf_commit(k->s.shelf, &c, 1), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	set_ledger(0, 0);
	shelfkit_end(&k->s);
	free(k);
	return 0;
}

static void assert_all_owned(struct kit *k)
{
	struct address list[COUNT + 1];

	assert_int_equal(k->s.c->list(k->s.c, NULL, STATE_OWNED, COUNT + 1, list), COUNT);
	assert_memory_equal(list, k->a, sizeof(k->a));
	for (unsigned int i = 0; i < COUNT; i++)
		assert_int_equal(k->s.c->state(k->s.c, &k->a[i]), STATE_OWNED);
}

static void reopen(struct kit *k)
{
	shelf_close(k->s.shelf);
	assert_int_equal(store_close(k->s.store), 0);
	shelfkit_open(&k->s);
}

static void the_store_says_that_it_does_not_know(void **state)
{
	struct kit *k = *state;
	struct address list[COUNT];

	memcpy(list, k->a, sizeof(list));
	set_ledger(EIO, UINT32_MAX);
	assert_int_equal(store_here(k->s.store, &k->a[0], NULL, NULL), -EIO);
	assert_int_equal(store_here_durable(k->s.store, &k->a[0]), -EIO);
	assert_int_equal(store_filter(k->s.store, list, COUNT), -EIO);
	assert_int_equal(store_list(k->s.store, NULL, COUNT, list), -EIO);
	set_ledger(0, 0);
	assert_int_equal(store_here(k->s.store, &k->a[0], NULL, NULL), 0);
	assert_int_equal(store_list(k->s.store, NULL, COUNT, list), COUNT);
	assert_memory_equal(list, k->a, sizeof(list));
	assert_int_equal(store_filter(k->s.store, list, COUNT), COUNT);
}

/* The node asks the catalogue, is told that it must not go on, and what the shelf has stays. */
static void lists_and_states_end_the_node_and_no_row(void **state)
{
	struct shelf_change change = { .kind = SHELF_ROW, .row = { .table = ROW_HEAD } };
	struct kit *k = *state;
	struct address list[COUNT];

	for (unsigned int by_list = 0; by_list < 2; by_list++) {
		assert_int_equal(shelf_broken(k->s.shelf), 0);
		set_ledger(EIO, UINT32_MAX);
		if (by_list)
			assert_int_equal(k->s.c->list(k->s.c, NULL, STATE_OWNED, COUNT, list), 0);
		else
			assert_int_equal(k->s.c->state(k->s.c, &k->a[1]), 0);
		assert_int_equal(shelf_broken(k->s.shelf), -EIO);
		assert_int_equal(shelf_commit(k->s.shelf, &change, 1), 0);
		set_ledger(0, 0);
		assert_all_owned(k);
		reopen(k);
	}
	assert_all_owned(k);
}

static void a_change_that_needs_it_fails_alone(void **state)
{
	struct shelf_change changes[2] = { { .kind = SHELF_ROW, .row = { .table = ROW_HEAD } }, { .kind = SHELF_STATES } };
	struct kit *k = *state;

	changes[1].address = k->a[0];
	changes[1].states = STATE_CACHED;
	set_ledger(EIO, UINT32_MAX);
	assert_int_equal(shelf_commit(k->s.shelf, changes, 2), 0);
	set_ledger(0, 0);
	assert_int_equal(changes[0].result, 0);
	assert_int_equal(changes[1].result, -EIO);
	assert_all_owned(k);
}

static void a_comparison_takes_no_row_for_stale(void **state)
{
	struct kit *k = *state;

	shelf_behind(k->s.shelf);
	shelf_close(k->s.shelf);
	set_ledger(EIO, UINT32_MAX);
	assert_int_equal(shelfkit_open_shelf(&k->s), -EIO);
	set_ledger(0, 0);
	assert_int_equal(shelfkit_open_shelf(&k->s), 0);
	assert_all_owned(k);
}

/* Its file is made anew from the segments; the shelf's is nowhere else. */
static void damage_of_the_ledger_is_none_of_the_shelf(void **state)
{
	struct kit *k = *state;

	set_ledger(MDB_CORRUPTED, UINT32_MAX);
	assert_int_equal(k->s.c->state(k->s.c, &k->a[0]), 0);
	set_ledger(0, 0);
	assert_int_equal(shelf_broken(k->s.shelf), -EIO);
	reopen(k);
	assert_all_owned(k);
}

/* ---- removals ---- */

static void a_removal_that_can_t_be_judged_fails(void **state)
{
	struct kit *k = *state;

	set_ledger(EIO, 1);
	assert_int_equal(store_remove(k->s.store, k->a, COUNT, NULL), -EIO);
	assert_int_equal(atomic_load(&times), 0);
	set_ledger(0, 0);
	assert_all_owned(k);
	assert_int_equal(store_remove(k->s.store, k->a, COUNT, NULL), 0);
	assert_int_equal(store_here(k->s.store, &k->a[0], NULL, NULL), -ENOENT);
}

struct answer {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int result;			/* 1: none yet */
};

static void answered(void *arg, struct event *e)
{
	struct answer *a = arg;

	pthread_mutex_lock(&a->lock);
	a->result = e->result;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static void the_core_is_not_told_that_it_had_gone_before(void **state)
{
	struct answer a = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1 };
	struct kit *k = *state;
	const struct disk_options o = { .store = k->s.store, .shelf = k->s.shelf, .done = answered, .arg = &a, .workers = 1 };
	struct effect gone = { .kind = EFFECT_STATES, .ticket = 1, .address = k->a[2] };
	struct disk *d;

	assert_int_equal(disk_open(&o, &d), 0);
	set_ledger(EIO, UINT32_MAX);
	disk_start(d, &gone);
	pthread_mutex_lock(&a.lock);
	while (a.result == 1)
		pthread_cond_wait(&a.changed, &a.lock);
	pthread_mutex_unlock(&a.lock);
	set_ledger(0, 0);
	disk_close(d);
	assert_int_equal(a.result, -EIO);
	assert_all_owned(k);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_store_says_that_it_does_not_know),
		TEST(lists_and_states_end_the_node_and_no_row),
		TEST(a_change_that_needs_it_fails_alone),
		TEST(a_comparison_takes_no_row_for_stale),
		TEST(damage_of_the_ledger_is_none_of_the_shelf),
		TEST(a_removal_that_can_t_be_judged_fails),
		TEST(the_core_is_not_told_that_it_had_gone_before),
	};

	return suite_run(tests);
}
