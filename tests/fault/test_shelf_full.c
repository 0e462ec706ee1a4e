/* A disk that fills, or fails, under the shelf's own commit: none of it was made, all of it is as before, and goes on when it can. */
#include "tests/lib/shelfkit.h"

#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dht/net/ringfile.h"
#include "dht/peer/disk.h"
#include "dht/peer/peer.h"
#include "tests/lib/suite.h"

#define LEN	 100
#define META_LEN 512u	/* LMDB writes its meta pages alone, and less than a page of them */

/* What LMDB calls, which knows the short names only; the store's own files go by those for 64 bits, and are spared. */
static atomic_int page_error, meta_error;

ssize_t lmdb_pwrite(int fd, const void *bytes, size_t len, off_t at) __asm__("pwrite");
ssize_t lmdb_writev(int fd, const struct iovec *v, int n) __asm__("writev");

ssize_t lmdb_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	int error = len < META_LEN ? atomic_load(&meta_error) : atomic_load(&page_error);

	if (!error)
		return syscall(SYS_pwrite64, fd, bytes, len, at);
	errno = error;
	return -1;
}

ssize_t lmdb_writev(int fd, const struct iovec *v, int n)
{
	if (!atomic_load(&page_error))
		return syscall(SYS_writev, fd, v, n);
	errno = atomic_load(&page_error);
	return -1;
}

/* Of this row no memory is left for. */
#define STARVED 0xee

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned int flags)
{
	static int (*put)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned int);
	const uint8_t *k = key->mv_data;

	if (!put)
		*(void **)&put = dlsym(RTLD_NEXT, "mdb_put");
	return key->mv_size == 1 + ADDRESS_LEN && k[1] == STARVED ? ENOMEM : put(txn, dbi, key, value, flags);
}

/* 1: it can't be told how long the file is to be, from the next but one look on, which comes behind the next commit; 2: from the next. */
static atomic_int info_fails;

int mdb_env_info(MDB_env *env, MDB_envinfo *info)
{
	static int (*real)(MDB_env *, MDB_envinfo *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "mdb_env_info");
	if (atomic_load(&info_fails) == 2)
		return EIO;
	if (atomic_load(&info_fails) == 1)
		atomic_store(&info_fails, 2);
	return real(env, info);
}

struct kit {
	struct shelfkit s;
	struct address a, b;
	struct catalogue_lease lease;
	struct chunk *blob;
};

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	struct shelf_change c = { .kind = SHELF_ADD, .states = STATE_OWNED, .bytes = LEN };

	*state = k;
	shelfkit_begin(&k->s);
	shelfkit_put(&k->s, 1, LEN, &k->a);
	shelfkit_put(&k->s, 2, LEN, &k->b);
	assert_int_equal(store_sync_wait(k->s.store, store_sync_start(k->s.store)), 0);
	c.address = k->a;
	assert_int_equal(shelf_commit(k->s.shelf, &c, 1), 0);
	k->blob = dhttest_chunk(3, 200);
	k->lease = (struct catalogue_lease){ .slot = 1, .seq = 1, .blob = k->blob, .addresses = &k->a, .count = 1 };
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	shelfkit_end(&k->s);
	chunk_drop(k->blob);
	free(k);
	return 0;
}

enum { CHANGES = 4 };

static int change(struct kit *k, struct shelf_change changes[CHANGES])
{
	changes[0] = (struct shelf_change){ .kind = SHELF_STATES, .address = k->a, .states = STATE_CACHED };
	changes[1] = (struct shelf_change){ .kind = SHELF_ADD, .address = k->b, .states = STATE_OWNED, .bytes = LEN };
	changes[2] = (struct shelf_change){ .kind = SHELF_ROW, .row = { .table = ROW_HEAD }, .chunk = k->blob };
	changes[3] = (struct shelf_change){ .kind = SHELF_LEASE, .lease = &k->lease };
	return shelf_commit(k->s.shelf, changes, CHANGES);
}

static void assert_before(struct kit *k)
{
	struct shelf_totals t;

	assert_int_equal(k->s.c->state(k->s.c, &k->a), STATE_OWNED);
	assert_int_equal(k->s.c->state(k->s.c, &k->b), STATE_FOREIGN);
	assert_null(k->s.c->row(k->s.c, &(struct catalogue_row_key){ .table = ROW_HEAD }));
	shelf_totals(k->s.shelf, &t);
	assert_int_equal(t.owned, 1);
	assert_int_equal(t.cached_bytes, 0);
	assert_int_equal(t.leased, 0);
}

static void assert_after(struct kit *k, unsigned int of_b)
{
	struct shelf_totals t;

	assert_int_equal(k->s.c->state(k->s.c, &k->a), STATE_CACHED | STATE_LEASED);
	assert_int_equal(k->s.c->state(k->s.c, &k->b), of_b);
	shelf_totals(k->s.shelf, &t);
	assert_int_equal(t.cached_bytes, LEN);
	assert_int_equal(t.leased, 1);
}

static void a_full_disk_changes_nothing_and_is_got_over(void **state)
{
	struct shelf_change changes[CHANGES];
	struct kit *k = *state;

	for (unsigned int i = 0; i < 3; i++) {
		atomic_store(&page_error, ENOSPC);
		assert_int_equal(change(k, changes), -ENOSPC);
		atomic_store(&page_error, 0);
		for (unsigned int n = 0; n < CHANGES; n++)
			assert_int_equal(changes[n].result, -ENOSPC);
		assert_before(k);
	}
	assert_int_equal(shelf_broken(k->s.shelf), 0);
	assert_int_equal(change(k, changes), 0);
	assert_after(k, STATE_OWNED);
	shelfkit_reopen(&k->s);
	assert_after(k, STATE_OWNED);
}

static void what_fails_behind_a_commit_does_not_unsay_it(void **state)
{
	struct shelf_change changes[CHANGES];
	struct kit *k = *state;

	atomic_store(&info_fails, 1);
	assert_int_equal(change(k, changes), 0);
	assert_int_equal(atomic_load(&info_fails), 2);
	assert_after(k, STATE_OWNED);
	/* It is the next one's failure, of which nothing is made. */
	assert_int_equal(change(k, changes), -EIO);
	atomic_store(&info_fails, 0);
	assert_after(k, STATE_OWNED);
	assert_int_equal(change(k, changes), 0);
}

static void a_volume_that_could_not_be_noted_is_noted_when_it_is_told_again(void **state)
{
	struct kit *k = *state;
	struct address volume = { .b = { 7 } }, fresh, cursor = { .b = { 0 } };

	atomic_store(&page_error, ENOSPC);
	assert_int_equal(shelf_own(k->s.shelf, &volume), -ENOSPC);
	assert_false(shelf_owns(k->s.shelf, &volume));
	atomic_store(&page_error, 0);
	assert_int_equal(shelf_own(k->s.shelf, &volume), 0);
	assert_int_equal(shelf_own(k->s.shelf, &volume), 0);
	shelfkit_reopen(&k->s);
	assert_true(shelf_owns(k->s.shelf, &volume));
	/* What was here on nobody's behalf is its. */
	assert_int_equal(shelf_fresh(k->s.shelf, &cursor, 1, &fresh), 1);
}

/* LMDB goes on no more then; but the shelf is as it was before, and not damaged. */
static void a_last_page_that_fails_is_no_damage(void **state)
{
	struct shelf_change changes[CHANGES];
	struct kit *k = *state;

	assert_int_equal(shelf_broken(k->s.shelf), 0);
	atomic_store(&meta_error, EIO);
	assert_int_equal(change(k, changes), -EIO);
	atomic_store(&meta_error, 0);
	assert_int_equal(shelf_broken(k->s.shelf), -EIO);
	assert_int_equal(change(k, changes), -EIO);
	assert_int_equal(shelf_close(k->s.shelf), -EIO);
	assert_int_equal(store_close(k->s.store), 0);
	shelfkit_open(&k->s);
	assert_int_equal(k->s.c->state(k->s.c, &k->a), STATE_OWNED);
	assert_int_equal(change(k, changes), 0);
	/* Meanwhile it was found without a row. */
	assert_after(k, STATE_OWNED | STATE_FOREIGN);
}

/* ---- a disk ---- */

#define OPS 40u

struct answers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int count;
	int result[OPS];
};

static void answered(void *arg, struct event *e)
{
	struct answers *a = arg;

	pthread_mutex_lock(&a->lock);
	a->result[e->ticket] = e->result;
	a->count++;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static void one_that_lacks_memory_fails_alone(void **state)
{
	struct answers a = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, { 0 } };
	struct kit *k = *state;
	const struct disk_options o = { .store = k->s.store, .shelf = k->s.shelf, .done = answered, .arg = &a };
	struct disk *d;

	assert_int_equal(disk_open(&o, &d), 0);
	for (unsigned int i = 0; i < OPS; i++) {
		struct effect e = { .kind = EFFECT_SAVE, .ticket = i, .row = { .table = ROW_HEAD }, .chunk = k->blob };

		memset(&e.row.key, i == OPS / 3 ? STARVED : (int)i, sizeof(e.row.key));
		disk_start(d, &e);
	}
	pthread_mutex_lock(&a.lock);
	while (a.count < OPS)
		pthread_cond_wait(&a.changed, &a.lock);
	pthread_mutex_unlock(&a.lock);
	for (unsigned int i = 0; i < OPS; i++)
		assert_int_equal(a.result[i], i == OPS / 3 ? -ENOMEM : 0);
	disk_close(d);
}

/* ---- a whole node ---- */

struct ending {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int result;
	char why[200];
};

static void ended(void *arg, int result, const char *why)
{
	struct ending *e = arg;

	pthread_mutex_lock(&e->lock);
	e->result = result;
	snprintf(e->why, sizeof(e->why), "%s", why);
	pthread_cond_signal(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static int ask(struct peer *p, struct command c)
{
	struct peer_ask a = { .command = c };
	int rc;

	a.command.timeout = 20 * UINT64_C(1000000);
	rc = peer_ask_now(p, &a);
	chunk_drop(a.chunk);
	chunk_drop(a.blob);
	return rc;
}

/* What can't be read is not "not there": it would be told to others, and be deleted for it. */
static void a_node_whose_shelf_fails_says_so_and_stops(void **state)
{
	struct ending e = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1, "" };
	struct kit *k = *state;
	struct ring_file ring;
	struct ring_file_random random;
	uint8_t admin[MEMBER_SECRET];
	struct peer_options o = { .store = k->s.store, .dir = k->s.files.dir, .ring = &ring, .weight = 1, .stopped = ended, .arg = &e };
	struct command fetch = { .kind = COMMAND_FETCH, .address = k->a };
	struct peer *p;

	assert_int_equal(shelf_close(k->s.shelf), 0);
	memset(&random, 7, sizeof(random));
	assert_int_equal(ring_file_create(&random, false, 3, 2, &ring, admin), 0);
	assert_int_equal(peer_open(&o, &p, k->s.why, sizeof(k->s.why)), 0);
	assert_int_equal(ask(p, fetch), 0);
	atomic_store(&meta_error, EIO);
	assert_true(ask(p, (struct command){ .kind = COMMAND_SET, .weight = 2 }) < 0);
	pthread_mutex_lock(&e.lock);
	while (e.result == 1)
		pthread_cond_wait(&e.changed, &e.lock);
	pthread_mutex_unlock(&e.lock);
	atomic_store(&meta_error, 0);
	assert_int_equal(e.result, -EIO);
	assert_non_null(strstr(e.why, "shelf"));
	assert_false(peer_over(e.result));
	assert_int_equal(ask(p, fetch), -ESHUTDOWN);
	memset(&fetch.address, 9, sizeof(fetch.address));
	assert_int_equal(ask(p, fetch), -ESHUTDOWN);
	assert_int_equal(peer_close(p), -EIO);
	assert_int_equal(shelfkit_open_shelf(&k->s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_full_disk_changes_nothing_and_is_got_over, setup, teardown),
		cmocka_unit_test_setup_teardown(what_fails_behind_a_commit_does_not_unsay_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_volume_that_could_not_be_noted_is_noted_when_it_is_told_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_last_page_that_fails_is_no_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_lacks_memory_fails_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_node_whose_shelf_fails_says_so_and_stops, setup, teardown),
	};

	return suite_run(tests);
}
