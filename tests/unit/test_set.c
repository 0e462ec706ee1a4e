/* dht.h with a ring: what is inserted goes out, what is not here comes from others, and what is told of it is true. */
#include "tests/lib/fakepeer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/away.h"
#include "dht/net/signed.h"
#include "dht/peer/packed.h"
#include "dht/peer/volume.h"

#define LEN 600

struct kit {
	struct dhttest t;
	struct peer_options ring;
	struct volume_key volume;
	struct peer *peer;
};

struct waited {
	struct dht_op op;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
};

static void done(struct dht_op *op)
{
	struct waited *w = op->user;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->over);
	pthread_mutex_unlock(&w->lock);
}

static void init(struct waited *w)
{
	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->over, NULL);
	w->op.done = done;
	w->op.user = w;
}

static int result(struct waited *w)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&w->lock);
	while (!w->done)
		if (pthread_cond_timedwait(&w->over, &w->lock, &until) == ETIMEDOUT)
			fail_msg("it was never done");
	pthread_mutex_unlock(&w->lock);
	return w->op.result;
}

static int safe(struct kit *k)
{
	struct waited w;

	init(&w);
	dht_safe(k->t.dht, &w.op);
	return result(&w);
}

static int yes(struct peer_ask *a)
{
	return a->command.kind == COMMAND_HEAD ? -ENOENT : 0;
}

static int nobody(struct peer_ask *a)
{
	(void)a;
	return -EHOSTUNREACH;
}

static void begin(struct kit *k)
{
	char why[256];

	dhttest_must_open(&k->t);
	k->peer = dht_peer(k->t.dht);
	assert_int_equal(volume_key_open(k->t.dir, &k->volume, why, sizeof(why)), 0);
	assert_int_equal(dht_volume(k->t.dht, &k->volume), 0);
}

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	dhttest_begin(&k->t);
	k->t.options.ring = &k->ring;
	begin(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	dhttest_end(&k->t);
	free(k);
	return 0;
}

static void fsync_waits_for_the_ring_and_goes_on_failing(void **state)
{
	struct kit *k = *state;

	fakepeer_auto(k->peer, nobody);
	assert_int_equal(dhttest_put(&k->t, 1, LEN), 0);
	assert_int_equal(safe(k), -EHOSTUNREACH);
	assert_int_equal(safe(k), -EHOSTUNREACH);
	/* What is here can be read and made durable all the same. */
	assert_int_equal(dht_sync_now(k->t.dht), 0);
	assert_int_equal(dhttest_get(&k->t, 1, LEN), 0);
	fakepeer_auto(k->peer, yes);
	assert_int_equal(safe(k), 0);
}

static void a_restart_does_not_make_it_true(void **state)
{
	struct kit *k = *state;
	struct dht_waiting w;

	fakepeer_auto(k->peer, nobody);
	assert_int_equal(dhttest_put(&k->t, 1, LEN), 0);
	assert_int_equal(safe(k), -EHOSTUNREACH);
	dhttest_close(&k->t);
	begin(k);
	fakepeer_auto(k->peer, nobody);
	assert_int_equal(safe(k), -EHOSTUNREACH);
	dht_waiting(k->t.dht, &w);
	assert_int_equal(w.out, 1);
	assert_int_equal(w.foreign, 1);
	assert_int_equal(w.error, -EHOSTUNREACH);
	fakepeer_auto(k->peer, yes);
	assert_int_equal(safe(k), 0);
}

static void a_store_that_was_used_alone_goes_to_the_ring(void **state)
{
	struct kit *k = *state;
	struct dht_waiting w;

	dhttest_close(&k->t);
	k->t.options.ring = NULL;
	dhttest_must_open(&k->t);
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(dhttest_put(&k->t, 100 + i, LEN), 0);
	dhttest_close(&k->t);
	k->t.options.ring = &k->ring;
	begin(k);
	dht_waiting(k->t.dht, &w);
	assert_int_equal(w.unleased, 40);
	fakepeer_auto(k->peer, yes);
	assert_int_equal(safe(k), 0);
	assert_int_equal(fakepeer_asked(k->peer, COMMAND_INSERT), 40);
	assert_int_equal(dht_lease(k->t.dht, NULL, NULL), 0);
	dht_waiting(k->t.dht, &w);
	assert_int_equal(w.unleased, 0);
}

static void the_end_comes_though_nobody_answers(void **state)
{
	struct kit *k = *state;
	struct ref snapshot = { .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = 3 };
	struct waited s, p, l;

	/* Nothing is answered. */
	assert_int_equal(dhttest_put(&k->t, 1, LEN), 0);
	assert_int_equal(dht_publish(k->t.dht, &snapshot), 0);
	init(&s);
	init(&p);
	init(&l);
	l.op.kind = KIND_DATA;
	memset(&l.op.address, 3, sizeof(l.op.address));
	dht_safe(k->t.dht, &s.op);
	dht_published(k->t.dht, &p.op);
	dht_lookup(k->t.dht, &l.op);
	fakepeer_next(k->peer, COMMAND_FETCH);
	fakepeer_next(k->peer, COMMAND_HEAD);
	dht_cancel(&l.op);
	assert_int_equal(result(&l), -ECANCELED);
	dhttest_close(&k->t);
	assert_int_equal(result(&s), -ECANCELED);
	assert_int_equal(result(&p), -ECANCELED);
}

/* A ring that is dead: the core's own clock ends what it is asked for a moment. */
static int in_vain(struct peer_ask *a)
{
	return a->command.timeout <= AWAY_NONE_MS * UINT64_C(1000) ? -ETIMEDOUT : FAKEPEER_LEAVE;
}

static void a_lookup_that_nobody_cancels_does_not_hold_up_the_end(void **state)
{
	struct kit *k = *state;
	struct waited l, r;

	fakepeer_auto(k->peer, in_vain);
	init(&l);
	init(&r);
	l.op.kind = KIND_DATA;
	dht_lookup(k->t.dht, &l.op);
	dht_replicas(k->t.dht, &r.op);
	fakepeer_next(k->peer, COMMAND_FETCH);
	fakepeer_next(k->peer, COMMAND_CONFIRM);
	dht_ending(k->t.dht);
	fakepeer_next(k->peer, COMMAND_FETCH);
	dhttest_close(&k->t);
	assert_int_equal(result(&l), -ETIMEDOUT);
	assert_int_equal(result(&r), -ETIMEDOUT);
}

/* The publisher asks whether all is safe just when the end has come. */
static void the_end_comes_whatever_the_publisher_is_at(void **state)
{
	struct kit *k = *state;

	for (unsigned int i = 0; i < 20; i++) {
		struct ref snapshot = { .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = i };

		fakepeer_auto(k->peer, yes);
		assert_int_equal(dhttest_put(&k->t, i, LEN), 0);
		assert_int_equal(dht_publish(k->t.dht, &snapshot), 0);
		dhttest_close(&k->t);
		begin(k);
	}
}

static void a_head_counts_when_its_owners_say_so(void **state)
{
	struct kit *k = *state;
	struct ref snapshot = { .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = 3 };
	struct dht_waiting dw;
	struct waited w;

	fakepeer_auto(k->peer, yes);
	assert_int_equal(dht_publish(k->t.dht, &snapshot), 0);
	init(&w);
	dht_published(k->t.dht, &w.op);
	assert_int_equal(result(&w), 0);
	dht_waiting(k->t.dht, &dw);
	assert_int_equal(dw.head, 1);
	assert_false(dw.head_waits);
}

static int has_it(struct peer_ask *a)
{
	struct chunk *raw = dhttest_chunk(9, LEN);

	if (a->command.kind == COMMAND_FETCH) {
		a->chunk = packed_make(NULL, raw);
		a->chunk_kind = KIND_DATA;
	}
	a->count = 1;
	chunk_drop(raw);
	return 0;
}

static void lookups_ask_the_ring_for_what_is_not_here(void **state)
{
	struct kit *k = *state;
	struct dht_op op = { .kind = KIND_ANY };

	dhttest_address(9, LEN, &op.address);
	fakepeer_auto(k->peer, has_it);
	assert_int_equal(dhttest_get(&k->t, 9, LEN), 0);
	assert_int_equal(dht_lookup_now(k->t.dht, &op), 0);
	assert_int_equal(op.kind, KIND_DATA);
	chunk_drop(op.chunk);
	fakepeer_auto(k->peer, nobody);
	assert_int_equal(dht_lookup_now(k->t.dht, &op), -EIO);
}

static void replicas_are_those_of_the_ring(void **state)
{
	struct kit *k = *state;
	struct waited w;

	fakepeer_auto(k->peer, has_it);
	init(&w);
	dht_replicas(k->t.dht, &w.op);
	assert_int_equal(result(&w), 0);
	assert_int_equal(w.op.copies, 1);
	assert_int_equal(w.op.owners, 3);
}

static unsigned int collect(struct kit *k, const uint64_t *wanted, size_t n, uint64_t inserted)
{
	struct dht_gc_count count;
	struct address a;
	struct dht_gc *gc, *second;

	assert_int_equal(dht_gc_begin(k->t.dht, &gc), 0);
	assert_int_equal(dht_gc_begin(k->t.dht, &second), -EBUSY);
	for (size_t i = 0; i < n; i++) {
		dhttest_address(wanted[i], LEN, &a);
		dht_gc_mark(gc, &a);
	}
	/* It is there, and in a lease: what is inserted now stays. */
	if (inserted)
		assert_int_equal(dhttest_put(&k->t, inserted, LEN), 0);
	dht_gc_condemn(gc);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), 0);
	dht_gc_end(gc);
	return (unsigned int)count.chunks;
}

static bool is_leased(struct kit *k, uint64_t seed)
{
	struct catalogue *c = shelf_catalogue(peer_shelf(k->peer));
	struct address a;

	dhttest_address(seed, LEN, &a);
	return c->leased(c, &a);
}

static void a_collection_with_a_ring_leaves_what_is_wanted_in_its_leases(void **state)
{
	struct kit *k = *state;
	const uint64_t wanted[] = { 1, 3 };

	fakepeer_auto(k->peer, yes);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(dhttest_put(&k->t, i, LEN), 0);
	assert_int_equal(safe(k), 0);
	assert_int_equal(dht_lease(k->t.dht, NULL, NULL), 0);
	assert_int_equal(collect(k, wanted, 2, 4), 2);
	assert_int_equal(safe(k), 0);
	assert_int_equal(dht_lease(k->t.dht, NULL, NULL), 0);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(is_leased(k, i), i == 1 || i == 3 || i == 4);
	/* Nothing went from here: owners delete in their time. */
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(dhttest_get(&k->t, i, LEN), 0);
}

/* Leases that nobody stores for now, as on a disk that hangs: what they were to be. */
#define HUNG_MAX 8u

static struct hung {
	struct catalogue_lease row;
	struct address *addresses;
} hung[HUNG_MAX];
static unsigned int hung_count;

static int leases_hang(struct peer_ask *a)
{
	struct hung *h = &hung[hung_count];
	struct lease l;

	if (a->command.kind != COMMAND_LEASE)
		return yes(a);
	assert_true(hung_count++ < HUNG_MAX);
	assert_int_equal(lease_read(a->command.blob->data, a->command.blob->len, &peer_ring(a->peer)->id, &l), 0);
	h->addresses = calloc(l.count + 1, sizeof(*h->addresses));
	if (l.count > 0)
		memcpy(h->addresses, a->command.addresses, l.count * sizeof(*h->addresses));
	h->row = (struct catalogue_lease){ .volume = l.volume, .slot = l.slot, .seq = l.seq, .count = l.count, .addresses = h->addresses,
		.blob = chunk_hold(a->command.blob) };
	return -EBUSY;
}

static void hung_leases_are_stored(struct kit *k)
{
	for (unsigned int i = 0; i < hung_count; i++) {
		struct shelf_change c = { .kind = SHELF_LEASE, .lease = &hung[i].row };

		assert_int_equal(shelf_commit(peer_shelf(k->peer), &c, 1), 0);
		chunk_drop(hung[i].row.blob);
		free(hung[i].addresses);
	}
	hung_count = 0;
}

/* The lease of before still has it when it is inserted, and the one that hangs does not. */
static void what_is_inserted_while_a_shorter_lease_hangs_is_leased_anew(void **state)
{
	struct kit *k = *state;
	struct dht_gc_count count;
	struct dht_gc *gc;

	fakepeer_auto(k->peer, yes);
	assert_int_equal(dhttest_put(&k->t, 4, LEN), 0);
	assert_int_equal(safe(k), 0);
	assert_int_equal(dht_lease(k->t.dht, NULL, NULL), 0);
	assert_true(is_leased(k, 4));
	fakepeer_auto(k->peer, leases_hang);
	assert_int_equal(dht_gc_begin(k->t.dht, &gc), 0);
	dht_gc_condemn(gc);
	assert_int_equal(dht_gc_sweep(gc, NULL, NULL, &count), -EBUSY);
	dht_gc_end(gc);
	assert_int_equal(hung_count, 1);
	fakepeer_auto(k->peer, yes);
	assert_int_equal(dhttest_put(&k->t, 4, LEN), 0);
	assert_int_equal(safe(k), 0);
	hung_leases_are_stored(k);
	assert_int_equal(dht_lease(k->t.dht, NULL, NULL), 0);
	assert_true(is_leased(k, 4));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(fsync_waits_for_the_ring_and_goes_on_failing),
		TEST(a_restart_does_not_make_it_true),
		TEST(a_store_that_was_used_alone_goes_to_the_ring),
		TEST(the_end_comes_though_nobody_answers),
		TEST(a_lookup_that_nobody_cancels_does_not_hold_up_the_end),
		TEST(the_end_comes_whatever_the_publisher_is_at),
		TEST(a_head_counts_when_its_owners_say_so),
		TEST(lookups_ask_the_ring_for_what_is_not_here),
		TEST(replicas_are_those_of_the_ring),
		TEST(what_is_inserted_while_a_shorter_lease_hangs_is_leased_anew),
		TEST(a_collection_with_a_ring_leaves_what_is_wanted_in_its_leases),
	};

	return suite_run(tests);
}
