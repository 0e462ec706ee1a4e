/* Operations: who completes them, in which order, and what cancelling does. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define OPS 200

struct fixture {
	struct dhttest t;
	struct io io;		/* the system's, with a gate */
	pthread_mutex_t lock;	/* covers all that follows */
	pthread_cond_t changed;
	bool shut;		/* reads wait at the gate ... */
	unsigned int admitted;	/* ... but for so many */
	unsigned int waiting;	/* reads that do */
	bool shut_sync;		/* the same for fdatasync */
	unsigned int waiting_sync;
	unsigned int done;
	struct dht_op *order[2 * OPS];	/* as they were done */
	pthread_t starter;
};

static void pass(struct fixture *f, const bool *shut, unsigned int *waiting, unsigned int *admitted)
{
	pthread_mutex_lock(&f->lock);
	++*waiting;
	pthread_cond_broadcast(&f->changed);
	while (*shut && *admitted == 0)
		pthread_cond_wait(&f->changed, &f->lock);
	*admitted -= *admitted > 0;
	--*waiting;
	pthread_mutex_unlock(&f->lock);
}

static ssize_t gated_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	struct fixture *f = ctx;

	pass(f, &f->shut, &f->waiting, &f->admitted);
	return io_system.pread(NULL, fd, buf, len, off);
}

static int gated_fdatasync(void *ctx, int fd)
{
	struct fixture *f = ctx;

	unsigned int none = 0;

	pass(f, &f->shut_sync, &f->waiting_sync, &none);
	return io_system.fdatasync(NULL, fd);
}

static void set_gate(struct fixture *f, bool *gate, bool shut)
{
	pthread_mutex_lock(&f->lock);
	*gate = shut;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void await(struct fixture *f, const unsigned int *count, unsigned int n)
{
	pthread_mutex_lock(&f->lock);
	while (*count < n)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void tell(struct dht_op *op)
{
	struct fixture *f = op->user;

	assert_false(pthread_equal(pthread_self(), f->starter));
	pthread_mutex_lock(&f->lock);
	f->order[f->done++] = op;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	dhttest_begin(&f->t);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	f->starter = pthread_self();
	f->io = io_system;
	f->io.ctx = f;
	f->io.pread = gated_pread;
	f->io.fdatasync = gated_fdatasync;
	f->t.options.io = &f->io;
	if (dhttest_open(&f->t) < 0)
		fail_msg("%s", f->t.why);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	dhttest_end(&f->t);
	free(f);
	return 0;
}

static struct dht_op lookup_op(struct fixture *f, uint64_t seed, size_t len)
{
	struct dht_op op = { .kind = KIND_DATA, .done = tell, .user = f };

	dhttest_address(seed, len, &op.address);
	return op;
}

static struct dht_op insert_op(struct fixture *f, uint64_t seed, size_t len)
{
	return (struct dht_op){ .kind = KIND_DATA, .done = tell, .user = f,
		.chunk = dhttest_chunk(seed, len) };
}

static void operations_complete_from_other_threads(void **state)
{
	struct fixture *f = *state;
	struct dht_op ops[OPS], sync = { .done = tell, .user = f };

	for (unsigned int i = 0; i < OPS; i++) {
		ops[i] = insert_op(f, i, 1000 + i);
		dht_insert(f->t.dht, &ops[i]);
	}
	await(f, &f->done, OPS);
	dht_sync(f->t.dht, &sync);
	await(f, &f->done, OPS + 1);
	assert_int_equal(sync.result, 0);
	for (unsigned int i = 0; i < OPS; i++) {
		struct address want;

		assert_int_equal(ops[i].result, 0);
		dhttest_address(i, 1000 + i, &want);
		assert_true(address_equal(&want, &ops[i].address));
		chunk_drop(ops[i].chunk);
		ops[i].kind = i % 2 ? KIND_ANY : KIND_DATA;
		ops[i].ahead = i % 3 == 0;
	}
	f->done = 0;
	for (unsigned int i = 0; i < OPS; i++)
		dht_lookup(f->t.dht, &ops[i]);
	await(f, &f->done, OPS);
	for (unsigned int i = 0; i < OPS; i++) {
		struct chunk *want = dhttest_chunk(i, 1000 + i);

		assert_int_equal(ops[i].result, 0);
		assert_int_equal(ops[i].kind, KIND_DATA);
		assert_int_equal(ops[i].chunk->len, want->len);
		assert_memory_equal(ops[i].chunk->data, want->data, want->len);
		chunk_drop(want);
		chunk_drop(ops[i].chunk);
	}
}

/* So that a lookup must read it: what no sync has made durable is answered from memory. */
static void put_durably(struct fixture *f, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(dhttest_put(&f->t, i, 1000), 0);
	assert_int_equal(dht_sync_now(f->t.dht), 0);
}

static void lookups_ahead_of_time_come_after_all_others(void **state)
{
	struct fixture *f = *state;
	struct dht_op hold[2], ahead[3], asked[3], insert[3];

	put_durably(f, 8);
	/* Both workers stand at the gate while the others queue up. */
	set_gate(f, &f->shut, true);
	for (uint64_t i = 0; i < 2; i++) {
		hold[i] = lookup_op(f, i, 1000);
		dht_lookup(f->t.dht, &hold[i]);
	}
	await(f, &f->waiting, 2);
	for (uint64_t i = 0; i < 3; i++) {
		ahead[i] = lookup_op(f, 2 + i, 1000);
		ahead[i].ahead = true;
		dht_lookup(f->t.dht, &ahead[i]);
	}
	for (uint64_t i = 0; i < 3; i++) {
		asked[i] = lookup_op(f, 5 + i, 1000);
		dht_lookup(f->t.dht, &asked[i]);
		insert[i] = insert_op(f, 100 + i, 1000);
		dht_insert(f->t.dht, &insert[i]);
	}
	set_gate(f, &f->shut, false);
	await(f, &f->done, 11);
	/* Two workers: the last of the asked ones may finish beside the first ahead of time. */
	for (unsigned int i = 0; i < 7; i++)
		assert_false(f->order[i]->ahead);
	for (unsigned int i = 0; i < 11; i++) {
		assert_int_equal(f->order[i]->result, 0);
		chunk_drop(f->order[i]->chunk);
	}
}

static void lookups_and_inserts_take_turns(void **state)
{
	enum { N = 20 };
	struct fixture *f = *state;
	struct dht_op hold[2], get[N], insert[N];
	unsigned int inserts = 0;

	put_durably(f, 2 + N);
	set_gate(f, &f->shut, true);
	for (uint64_t i = 0; i < 2; i++) {
		hold[i] = lookup_op(f, i, 1000);
		dht_lookup(f->t.dht, &hold[i]);
	}
	await(f, &f->waiting, 2);
	for (uint64_t i = 0; i < N; i++) {
		get[i] = lookup_op(f, 2 + i, 1000);
		dht_lookup(f->t.dht, &get[i]);
	}
	for (uint64_t i = 0; i < N; i++) {
		insert[i] = insert_op(f, 100 + i, 1000);
		dht_insert(f->t.dht, &insert[i]);
	}
	set_gate(f, &f->shut, false);
	await(f, &f->done, 2 + 2 * N);
	for (unsigned int i = 0; i < 2 + N; i++)
		inserts += f->order[i] >= insert && f->order[i] < insert + N;
	/* About half, and not none or all. */
	assert_in_range(inserts, N / 4, 3 * N / 4);
	for (unsigned int i = 0; i < 2 + 2 * N; i++)
		chunk_drop(f->order[i]->chunk);
}

static void a_cancelled_lookup_is_given_back_though_the_disk_hangs(void **state)
{
	struct fixture *f = *state;
	struct dht_op ops[6];

	put_durably(f, 6);
	set_gate(f, &f->shut, true);
	for (uint64_t i = 0; i < 6; i++) {
		ops[i] = lookup_op(f, i, 1000);
		dht_lookup(f->t.dht, &ops[i]);
	}
	await(f, &f->waiting, 2);
	/* Some of them run, the others are queued. */
	for (uint64_t i = 0; i < 6; i++)
		dht_cancel(&ops[i]);
	await(f, &f->done, 6);
	for (uint64_t i = 0; i < 6; i++) {
		assert_int_equal(ops[i].result, -ECANCELED);
		assert_null(ops[i].chunk);
	}
	/* Their memory is the caller's again, whatever the workers still do. */
	memset(ops, 0xee, sizeof(ops));
	set_gate(f, &f->shut, false);
	assert_int_equal(dhttest_get(&f->t, 3, 1000), 0);
}

/* Of a chunk of another kind nothing is handed out: not to who waits, and not to the worker that goes on for nobody. */
static void a_lookup_of_another_kind_leaves_nothing_behind(void **state)
{
	struct fixture *f = *state;
	struct dht_op stays, goes;

	put_durably(f, 2);
	stays = lookup_op(f, 0, 1000);
	goes = lookup_op(f, 1, 1000);
	stays.kind = goes.kind = KIND_INDEX;
	set_gate(f, &f->shut, true);
	dht_lookup(f->t.dht, &stays);
	dht_lookup(f->t.dht, &goes);
	await(f, &f->waiting, 2);
	dht_cancel(&goes);
	await(f, &f->done, 1);
	assert_int_equal(goes.result, -ECANCELED);
	set_gate(f, &f->shut, false);
	await(f, &f->done, 2);
	assert_int_equal(stays.result, -ENOENT);
	assert_null(stays.chunk);
	/* The worker that was left alone ends, too, before this does. */
	assert_int_equal(dht_close(f->t.dht), 0);
	f->t.dht = NULL;
}

static void an_insert_does_not_wait_for_a_read_that_hangs(void **state)
{
	struct fixture *f = *state;
	struct dht_op lookup, insert = insert_op(f, 100, 1000);

	put_durably(f, 1);
	lookup = lookup_op(f, 0, 1000);
	set_gate(f, &f->shut, true);
	dht_lookup(f->t.dht, &lookup);
	await(f, &f->waiting, 1);
	/* The other worker sleeps. */
	dht_insert(f->t.dht, &insert);
	await(f, &f->done, 1);
	assert_ptr_equal(f->order[0], &insert);
	set_gate(f, &f->shut, false);
	await(f, &f->done, 2);
	chunk_drop(lookup.chunk);
	chunk_drop(insert.chunk);
}

/* What is there already, and was not read in this run, is read before it is said to be there. */
static void one_that_must_be_read_holds_up_no_other_insert(void **state)
{
	enum { WORKERS = 2, N = 24 };
	struct fixture *f = *state;
	struct dht_op hold[WORKERS], insert[N];
	struct address known;

	put_durably(f, WORKERS + 1);
	dhttest_reopen(&f->t);
	set_gate(f, &f->shut, true);
	for (uint64_t i = 0; i < WORKERS; i++) {
		hold[i] = lookup_op(f, i, 1000);
		dht_lookup(f->t.dht, &hold[i]);
	}
	await(f, &f->waiting, WORKERS);
	/* Those behind it are taken together with it. */
	for (uint64_t i = 0; i < N; i++) {
		insert[i] = insert_op(f, i == 0 ? WORKERS : 100 + i, 1000);
		dht_insert(f->t.dht, &insert[i]);
	}
	pthread_mutex_lock(&f->lock);
	f->admitted = WORKERS;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	await(f, &f->done, WORKERS + N - 1);
	for (unsigned int i = 0; i < WORKERS + N - 1; i++)
		assert_ptr_not_equal(f->order[i], &insert[0]);
	set_gate(f, &f->shut, false);
	await(f, &f->done, WORKERS + N);
	for (unsigned int i = 0; i < WORKERS + N; i++) {
		assert_int_equal(f->order[i]->result, 0);
		chunk_drop(f->order[i]->chunk);
	}
	dhttest_address(WORKERS, 1000, &known);
	assert_true(address_equal(&insert[0].address, &known));
}

static void a_cancelled_insert_is_done_or_not_but_never_half(void **state)
{
	struct fixture *f = *state;
	struct dht_op ops[OPS];

	for (unsigned int i = 0; i < OPS; i++) {
		ops[i] = insert_op(f, i, 500 + i);
		dht_insert(f->t.dht, &ops[i]);
	}
	for (unsigned int i = 0; i < OPS; i += 2)
		dht_cancel(&ops[i]);
	await(f, &f->done, OPS);
	for (unsigned int i = 0; i < OPS; i++) {
		int rc = dhttest_get(&f->t, i, 500 + i);

		assert_true(ops[i].result == 0 || (i % 2 == 0 && ops[i].result == -ECANCELED));
		assert_int_equal(rc, ops[i].result == 0 ? 0 : -ENOENT);
		chunk_drop(ops[i].chunk);
	}
}

static void syncs_share_an_fdatasync_and_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct dht_op first = { .done = tell, .user = f }, more[OPS], cancelled = first;

	assert_int_equal(dhttest_put(&f->t, 1, 1000), 0);
	set_gate(f, &f->shut_sync, true);
	dht_sync(f->t.dht, &first);
	await(f, &f->waiting_sync, 1);
	assert_int_equal(dhttest_put(&f->t, 2, 1000), 0);
	for (unsigned int i = 0; i < OPS; i++) {
		more[i] = (struct dht_op){ .done = tell, .user = f };
		dht_sync(f->t.dht, &more[i]);
	}
	dht_sync(f->t.dht, &cancelled);
	dht_cancel(&cancelled);
	await(f, &f->done, 1);
	assert_ptr_equal(f->order[0], &cancelled);
	assert_int_equal(cancelled.result, -ECANCELED);
	set_gate(f, &f->shut_sync, false);
	await(f, &f->done, OPS + 2);
	assert_ptr_equal(f->order[1], &first);
	for (unsigned int i = 0; i < OPS; i++)
		assert_int_equal(more[i].result, 0);
}

static void an_insert_does_not_wait_for_an_fdatasync(void **state)
{
	struct fixture *f = *state;
	struct dht_op sync = { .done = tell, .user = f };

	assert_int_equal(dhttest_put(&f->t, 1, 1000), 0);
	set_gate(f, &f->shut_sync, true);
	dht_sync(f->t.dht, &sync);
	await(f, &f->waiting_sync, 1);
	for (uint64_t i = 2; i < 50; i++) {
		assert_int_equal(dhttest_put(&f->t, i, 1000), 0);
		assert_int_equal(dhttest_get(&f->t, i, 1000), 0);
	}
	set_gate(f, &f->shut_sync, false);
	await(f, &f->done, 1);
}

static void closing_finishes_what_was_started(void **state)
{
	struct fixture *f = *state;
	struct dht_op ops[OPS];

	for (unsigned int i = 0; i < OPS; i++) {
		ops[i] = insert_op(f, i, 2000);
		dht_insert(f->t.dht, &ops[i]);
	}
	dhttest_reopen(&f->t);
	assert_int_equal(f->done, OPS);
	for (unsigned int i = 0; i < OPS; i++) {
		assert_int_equal(ops[i].result, 0);
		assert_int_equal(dhttest_get(&f->t, i, 2000), 0);
		chunk_drop(ops[i].chunk);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(operations_complete_from_other_threads),
		TEST(lookups_ahead_of_time_come_after_all_others),
		TEST(lookups_and_inserts_take_turns),
		TEST(a_cancelled_lookup_is_given_back_though_the_disk_hangs),
		TEST(a_lookup_of_another_kind_leaves_nothing_behind),
		TEST(an_insert_does_not_wait_for_a_read_that_hangs),
		TEST(one_that_must_be_read_holds_up_no_other_insert),
		TEST(a_cancelled_insert_is_done_or_not_but_never_half),
		TEST(syncs_share_an_fdatasync_and_can_be_cancelled),
		TEST(an_insert_does_not_wait_for_an_fdatasync),
		TEST(closing_finishes_what_was_started),
	};

	return suite_run(tests);
}
