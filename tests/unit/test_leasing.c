/* leasing: all that is fresh gets into leases, and only a collection takes anything out of them. */
#include "tests/lib/fakepeer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/limits.h"
#include "dht/net/ring.h"
#include "dht/net/signed.h"
#include "dht/peer/leasing.h"

struct kit {
	struct fakepeer fake;
	struct volume_key volume;
	struct leasing *l;
};

static int bad_slot;			/* of which leases fail; -1: none */

static bool dead_ring;

static int reply(struct peer_ask *a)
{
	struct address ring;
	struct lease l;

	memset(&ring, 7, sizeof(ring));
	assert_int_equal(lease_read(a->command.blob->data, a->command.blob->len, &ring, &l), 0);
	if (dead_ring)
		return FAKEPEER_LEAVE;
	return l.slot == bad_slot ? -EBUSY : 0;
}

static void start(struct kit *k)
{
	assert_int_equal(shelf_own(peer_shelf(k->fake.peer), &k->volume.id), 0);
	assert_int_equal(leasing_open(k->fake.peer, k->fake.store, &k->volume, NULL, NULL, &k->l), 0);
	fakepeer_auto(k->fake.peer, reply);
}

static void stop(struct kit *k)
{
	leasing_stop(k->l);
	leasing_close(k->l);
	k->l = NULL;
}

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	char why[256];

	bad_slot = -1;
	dead_ring = false;
	fakepeer_begin(&k->fake);
	assert_int_equal(volume_key_open(k->fake.files.dir, &k->volume, why, sizeof(why)), 0);
	start(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	if (k->l)
		stop(k);
	fakepeer_end(&k->fake);
	free(k);
	return 0;
}

/* The n-th address of a slot, in order. */
static struct address at(unsigned int slot, unsigned int n)
{
	struct address a = { .b = { (uint8_t)(slot >> 6), (uint8_t)(slot << 2), 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };

	assert_int_equal(ring_slot(&a), slot);
	return a;
}

static void add(struct kit *k, unsigned int slot, unsigned int first, unsigned int count)
{
	struct address *all = calloc(count, sizeof(*all));

	for (unsigned int i = 0; i < count; i++)
		all[i] = at(slot, first + i);
	assert_int_equal(shelf_keep(peer_shelf(k->fake.peer), all, count), 0);
	free(all);
}

/* What the slot's lease has is exactly these, in order, and its seq. */
static uint64_t expect(struct kit *k, unsigned int slot, unsigned int first, unsigned int count)
{
	struct shelf *s = peer_shelf(k->fake.peer);
	struct chunk *blob = shelf_lease(s, &k->volume.id, slot);
	struct address *all, want;
	struct lease l = { .seq = 0 };
	uint32_t n;

	assert_int_equal(shelf_lease_list(s, &k->volume.id, slot, &all, &n), 0);
	assert_int_equal(n, count);
	for (uint32_t i = 0; i < n; i++) {
		want = at(slot, first + i);
		assert_true(address_equal(&all[i], &want));
	}
	free(all);
	if (count > 0)
		assert_non_null(blob);
	if (blob)
		assert_int_equal(lease_read(blob->data, blob->len, &peer_ring(k->fake.peer)->id, &l), 0);
	chunk_drop(blob);
	return l.seq;
}

static uint64_t fresh(struct kit *k)
{
	struct leasing_status s;

	leasing_status(k->l, &s);
	return s.fresh;
}

static void what_is_fresh_is_leased_slot_by_slot(void **state)
{
	struct kit *k = *state;

	add(k, 0, 0, 3);
	add(k, 9, 0, 1);
	add(k, RING_SLOTS - 1, 5, 2);
	assert_int_equal(fresh(k), 6);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_int_equal(fresh(k), 0);
	assert_int_equal(expect(k, 0, 0, 3), 1);
	expect(k, 9, 0, 1);
	expect(k, RING_SLOTS - 1, 5, 2);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_LEASE), 3);
}

static void a_lease_grows(void **state)
{
	struct kit *k = *state;

	add(k, 7, 10, 5);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	add(k, 7, 5, 5);
	add(k, 7, 15, 5);
	add(k, 7, 12, 1);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_int_equal(expect(k, 7, 5, 15), 2);
}

static void a_slot_with_more_than_is_read_at_a_time_has_all_in_its_lease(void **state)
{
	struct kit *k = *state;

	add(k, 6, 0, 10);
	add(k, 7, 0, 9000);
	add(k, 8, 0, 10);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	expect(k, 6, 0, 10);
	expect(k, 7, 0, 9000);
	expect(k, 8, 0, 10);
	assert_int_equal(fresh(k), 0);
}

static void what_fails_stays_fresh_and_holds_up_no_other_slot(void **state)
{
	struct kit *k = *state;
	struct leasing_status s;

	bad_slot = 5;
	add(k, 4, 0, 2);
	add(k, 5, 0, 2);
	add(k, 6, 0, 2);
	assert_int_equal(leasing_now(k->l, NULL, NULL), -EBUSY);
	leasing_status(k->l, &s);
	assert_int_equal(s.error, -EBUSY);
	assert_int_equal(s.fresh, 2);
	expect(k, 4, 0, 2);
	expect(k, 6, 0, 2);
	bad_slot = -1;
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_int_equal(fresh(k), 0);
}

static bool three_times(void *arg, const struct dht_progress *p)
{
	unsigned int *times = arg;

	(void)p;
	return ++*times < 3;
}

static void whoever_waits_for_a_dead_ring_can_give_up(void **state)
{
	struct kit *k = *state;
	unsigned int times = 0;

	dead_ring = true;
	for (unsigned int slot = 0; slot < 2 * LEASING_AT_ONCE; slot++)
		add(k, slot, 0, 1);
	assert_int_equal(leasing_now(k->l, three_times, &times), -ECANCELED);
	assert_int_equal(times, 3);
	assert_int_equal(fakepeer_cancelled(k->fake.peer), LEASING_AT_ONCE);
	assert_int_equal(fresh(k), 2 * LEASING_AT_ONCE);
	dead_ring = false;
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_int_equal(fresh(k), 0);
}

static void one_slot_too_full_holds_up_no_other(void **state)
{
	struct kit *k = *state;

	add(k, 4, 0, LEASE_ADDRESSES_MAX + 1);
	add(k, 5, 0, 2);
	assert_int_equal(leasing_now(k->l, NULL, NULL), -EFBIG);
	expect(k, 5, 0, 2);
}

static void what_is_fresh_is_so_after_a_restart(void **state)
{
	struct kit *k = *state;

	add(k, 3, 0, 4);
	stop(k);
	fakepeer_reopen(&k->fake);
	start(k);
	assert_int_equal(fresh(k), 4);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	expect(k, 3, 0, 4);
}

static void leases_of_a_restored_volume_come_after_those_before(void **state)
{
	struct kit *k = *state;

	stop(k);
	k->volume.since = 12;
	start(k);
	add(k, 3, 0, 1);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_true(expect(k, 3, 0, 1) == ((uint64_t)13 << 32) + 1);
	add(k, 3, 1, 1);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_true(expect(k, 3, 0, 2) == ((uint64_t)13 << 32) + 2);
}

/* One of a part would end, at the owners, the one that held all of it, before a machine was lost and its volume restored. */
static void the_first_lease_of_a_slot_has_all_of_it(void **state)
{
	struct kit *k = *state;

	add(k, 2, 0, 2);
	add(k, 3, 0, 20000);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_LEASE), 2);
	expect(k, 3, 0, 20000);
}

/* How far it had come the owners know: what begins below that they refuse. */
static void who_has_forgotten_its_numbers_begins_at_its_next_head(void **state)
{
	struct kit *k = *state;

	stop(k);
	assert_int_equal(shelf_put_base(peer_shelf(k->fake.peer), SHELF_BASE_UNKNOWN), 0);
	start(k);
	add(k, 3, 0, 1);
	assert_int_equal(leasing_now(k->l, NULL, NULL), -EAGAIN);
	stop(k);
	fakepeer_reopen(&k->fake);
	start(k);
	assert_int_equal(leasing_now(k->l, NULL, NULL), -EAGAIN);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_LEASE), 0);
	leasing_since(k->l, 41);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_true(expect(k, 3, 0, 1) == ((uint64_t)41 << 32) + 1);
	/* Only once: later heads are its own. */
	leasing_since(k->l, 50);
	stop(k);
	fakepeer_reopen(&k->fake);
	start(k);
	add(k, 4, 0, 1);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_true(expect(k, 4, 0, 1) == ((uint64_t)41 << 32) + 1);
}

/* The first lease of a slot ends that of the machine before, which held all of them. */
static void no_lease_is_made_of_half_a_tree(void **state)
{
	struct kit *k = *state;

	leasing_hold(k->l, true);
	add(k, 3, 0, 2);
	assert_int_equal(leasing_now(k->l, NULL, NULL), -EAGAIN);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_LEASE), 0);
	add(k, 3, 2, 2);
	leasing_hold(k->l, false);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	expect(k, 3, 0, 4);
}

/* wanted(): below that number. */
static bool below(void *arg, const struct address *a)
{
	return (unsigned int)(a->b[3] << 16 | a->b[4] << 8 | a->b[5]) < *(unsigned int *)arg;
}

static void a_collection_leaves_out_what_is_not_wanted_and_nothing_else(void **state)
{
	struct kit *k = *state;
	unsigned int keep = 6;
	struct dht_gc_count n;

	add(k, 3, 0, 10);
	add(k, 4, 0, 6);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	assert_int_equal(leasing_keep(k->l, below, &keep, true, NULL, NULL, &n), 0);
	assert_int_equal(n.chunks, 4);
	expect(k, 3, 0, 10);
	assert_int_equal(leasing_keep(k->l, below, &keep, false, NULL, NULL, &n), 0);
	assert_int_equal(n.chunks, 4);
	assert_int_equal(expect(k, 3, 0, 6), 2);
	assert_int_equal(expect(k, 4, 0, 6), 1);
	/* All of them gone is a lease, too: it takes the place of the one before. */
	keep = 0;
	assert_int_equal(leasing_keep(k->l, below, &keep, false, NULL, NULL, &n), 0);
	assert_int_equal(n.chunks, 12);
	assert_int_equal(expect(k, 3, 0, 0), 3);
}

static void what_is_written_during_a_collection_is_leased_again(void **state)
{
	struct kit *k = *state;
	struct shelf *s = peer_shelf(k->fake.peer);
	struct shelf_change c = { .kind = SHELF_ADD, .address = at(3, 2), .volume = k->volume.id, .states = STATE_FOREIGN, .bytes = 9 };
	unsigned int keep = 0;
	struct dht_gc_count n;

	add(k, 3, 0, 4);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	shelf_collecting(s, true);
	/* The lease of now has it; the one that is about to be made has not. */
	assert_int_equal(shelf_commit(s, &c, 1), 0);
	assert_int_equal(leasing_keep(k->l, below, &keep, false, NULL, NULL, &n), 0);
	shelf_collecting(s, false);
	expect(k, 3, 0, 0);
	assert_int_equal(fresh(k), 1);
	assert_int_equal(leasing_now(k->l, NULL, NULL), 0);
	expect(k, 3, 2, 1);
	/* Else what a lease holds is not fresh. */
	assert_int_equal(shelf_commit(s, &c, 1), 0);
	assert_int_equal(fresh(k), 0);
}

struct round {
	struct kit *k;
	int result;
};

static void *run_round(void *arg)
{
	struct round *r = arg;

	r->result = leasing_now(r->k->l, NULL, NULL);
	return NULL;
}

static void the_end_waits_for_nobody(void **state)
{
	struct kit *k = *state;
	struct round r = { .k = k };
	pthread_t thread;

	fakepeer_auto(k->fake.peer, NULL);
	for (unsigned int i = 0; i < LEASING_AT_ONCE + 10; i++)
		add(k, i, 0, 1);
	assert_int_equal(pthread_create(&thread, NULL, run_round, &r), 0);
	for (unsigned int i = 0; i < LEASING_AT_ONCE; i++)
		fakepeer_next(k->fake.peer, COMMAND_LEASE);
	leasing_stop(k->l);
	pthread_join(thread, NULL);
	assert_int_equal(r.result, -ECANCELED);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_LEASE), LEASING_AT_ONCE);
	leasing_close(k->l);
	k->l = NULL;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_fresh_is_leased_slot_by_slot),
		TEST(a_lease_grows),
		TEST(a_slot_with_more_than_is_read_at_a_time_has_all_in_its_lease),
		TEST(what_fails_stays_fresh_and_holds_up_no_other_slot),
		TEST(whoever_waits_for_a_dead_ring_can_give_up),
		TEST(one_slot_too_full_holds_up_no_other),
		TEST(what_is_fresh_is_so_after_a_restart),
		TEST(leases_of_a_restored_volume_come_after_those_before),
		TEST(the_first_lease_of_a_slot_has_all_of_it),
		TEST(who_has_forgotten_its_numbers_begins_at_its_next_head),
		TEST(no_lease_is_made_of_half_a_tree),
		TEST(a_collection_leaves_out_what_is_not_wanted_and_nothing_else),
		TEST(what_is_written_during_a_collection_is_leased_again),
		TEST(the_end_waits_for_nobody),
	};

	return suite_run(tests);
}
