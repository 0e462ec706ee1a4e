/* Who becomes an owner knows all heads that counted before, or says nothing. */
#include <errno.h>

#include "dht/net/heads.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

static int swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head, const struct chunk *previous)
{
	return volumekit_swap(k, at, v, head, previous, 10 * S);
}

/* The ${rank}-th node that is an owner, or that is none. */
static unsigned int nth(struct netkit *k, const struct volumekit *v, bool owner, unsigned int rank)
{
	return netkit_nth(k, ring_slot(&v->id), owner, rank);
}

static int set_drain(struct netkit *k, unsigned int i, bool drain)
{
	struct command c = { .kind = COMMAND_DRAIN, .count = drain };

	return netkit_ask(k, i, &c)->result;
}

#define VOLUMES 12u

/* Of all volumes the same is read at each node, and each goes on. */
static void all_go_on(struct netkit *k, const struct volumekit *v, struct chunk **newest, uint64_t *seq)
{
	for (unsigned int i = 0; i < VOLUMES; i++) {
		unsigned int at = 0;
		struct chunk *next;

		while (!k->node[at].node)
			at++;
		for (unsigned int j = 0; j < k->count; j++)
			if (k->node[j].node)
				assert_int_equal(volumekit_ask(k, j, &v[i], newest[i]), 0);
		seq[i]++;
		next = volumekit_head(&v[i], seq[i], newest[i], seq[i]);
		assert_int_equal(swap(k, at, &v[i], next, newest[i]), 0);
		chunk_drop(newest[i]);
		newest[i] = next;
	}
}

static void heads_survive_a_change_of_all_their_owners(void **state)
{
	struct netkit *k = netkit_new(8, 11);
	struct chunk *newest[VOLUMES] = { NULL };
	struct volumekit v[VOLUMES];
	uint64_t seq[VOLUMES] = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < VOLUMES; i++) {
		volumekit_make(k, 100 + i, &v[i]);
		newest[i] = volumekit_head(&v[i], ++seq[i], NULL, 1);
		assert_int_equal(swap(k, 0, &v[i], newest[i], NULL), 0);
	}
	for (unsigned int i = 4; i < 8; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	all_go_on(k, v, newest, seq);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(set_drain(k, i, true), 0);
		netkit_run(k, 5 * S);
		assert_true(netkit_settle(k));
	}
	all_go_on(k, v, newest, seq);
	for (unsigned int i = 0; i < 4; i++)
		netkit_crash(k, i);
	netkit_run(k, 30 * S);
	all_go_on(k, v, newest, seq);
	volumekit_drop(newest, VOLUMES);
	netkit_free(k);
}

static bool knows(struct netkit *k, unsigned int i, const struct volumekit *v)
{
	return heads_complete(k->node[i].node, ring_slot(&v->id));
}

/* No answer to WIRE_HEADS, which new owners ask with. */
static bool nobody_tells(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	return m->type != WIRE_HEADS;
}

static void a_new_owner_says_nothing_before_it_knows(void **state)
{
	struct netkit *k = netkit_new(6, 12);
	struct chunk *newest[VOLUMES];
	struct volumekit v[VOLUMES];
	unsigned int moved = 0;

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < VOLUMES; i++) {
		volumekit_make(k, 200 + i, &v[i]);
		newest[i] = volumekit_head(&v[i], 1, NULL, 1);
		assert_int_equal(swap(k, 0, &v[i], newest[i], NULL), 0);
	}
	k->filter = nobody_tells;
	netkit_start(k, 4);
	netkit_start(k, 5);
	netkit_run(k, 20 * S);
	for (unsigned int i = 0; i < VOLUMES; i++) {
		if (!netkit_owns(k, 4, ring_slot(&v[i].id)) && !netkit_owns(k, 5, ring_slot(&v[i].id))) {
			assert_int_equal(volumekit_ask(k, 4, &v[i], newest[i]), 0);
			continue;
		}
		moved++;
		for (unsigned int j = 0; j < 6; j++)
			assert_false(netkit_owns(k, j, ring_slot(&v[i].id)) && knows(k, j, &v[i]));
		/* An error, but never "there is none". */
		assert_int_equal(volumekit_ask(k, 0, &v[i], NULL), -ETIMEDOUT);
	}
	assert_true(moved > 0);
	k->filter = NULL;
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < VOLUMES; i++)
		assert_int_equal(volumekit_ask(k, 5, &v[i], newest[i]), 0);
	volumekit_drop(newest, VOLUMES);
	netkit_free(k);
}

static void an_owner_that_lost_its_disk_asks_all_others(void **state)
{
	struct netkit *k = netkit_ring(5, 13);
	struct volumekit v;
	struct chunk *a[2];
	unsigned int lost, behind, third;

	(void)state;
	volumekit_make(k, 13, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	lost = nth(k, &v, true, 0);
	behind = nth(k, &v, true, 1);
	third = nth(k, &v, true, 2);
	assert_int_equal(swap(k, third, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	netkit_cut_off(k, behind, true);
	netkit_run(k, 30 * S);
	assert_int_equal(swap(k, third, &v, a[1], a[0]), 0);
	netkit_run(k, 5 * S);
	/* Now only one of those who took the second is left with it. */
	netkit_crash(k, lost);
	netkit_crash(k, third);
	memory_catalogue_free(&k->node[lost].disk);
	memory_catalogue_init(&k->node[lost].disk, UINT64_C(1) << 40);
	k->node[lost].generation += 1000;
	if (lost == 0)
		k->node[lost].seeds[0] = k->node[behind].address;
	netkit_cut_off(k, behind, false);
	netkit_start(k, lost);
	netkit_run(k, 60 * S);
	assert_false(knows(k, lost, &v));
	assert_int_equal(volumekit_ask(k, behind, &v, NULL), -ETIMEDOUT);
	netkit_start(k, third);
	netkit_run(k, 60 * S);
	assert_true(knows(k, lost, &v));
	assert_int_equal(volumekit_ask(k, lost, &v, a[1]), 0);
	volumekit_drop(a, 2);
	netkit_free(k);
}

static void who_is_new_comes_in_the_place_of_one_who_is_lost(void **state)
{
	struct netkit *k = netkit_new(4, 16);
	struct volumekit v[8];
	struct chunk *newest[8];
	unsigned int shared = 0;

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < 8; i++) {
		volumekit_make(k, 160 + i, &v[i]);
		newest[i] = volumekit_head(&v[i], 1, NULL, 1);
		assert_int_equal(swap(k, 2, &v[i], newest[i], NULL), 0);
	}
	netkit_crash(k, 2);
	netkit_run(k, 30 * S);
	/* Its first start met nobody. */
	k->node[3].newborn = true;
	netkit_cut_off(k, 3, true);
	netkit_start(k, 3);
	netkit_run(k, 5 * S);
	netkit_crash(k, 3);
	netkit_cut_off(k, 3, false);
	netkit_start(k, 3);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 8; i++) {
		shared += netkit_owns(k, 3, ring_slot(&v[i].id)) &&
		    !(netkit_owns(k, 0, ring_slot(&v[i].id)) && netkit_owns(k, 1, ring_slot(&v[i].id)));
		assert_int_equal(volumekit_ask(k, 3, &v[i], newest[i]), 0);
	}
	/* Of these one other owner is left, and he is enough. */
	assert_true(shared > 0);
	volumekit_drop(newest, 8);
	netkit_free(k);
}

static void who_has_met_nobody_decides_nothing(void **state)
{
	struct netkit *k = netkit_new(2, 14);
	struct volumekit v;
	struct chunk *a;

	(void)state;
	volumekit_make(k, 14, &v);
	a = volumekit_head(&v, 1, NULL, 1);
	netkit_start(k, 1);
	netkit_run(k, 10 * S);
	assert_int_equal(volumekit_ask(k, 1, &v, NULL), -ETIMEDOUT);
	assert_int_equal(swap(k, 1, &v, a, NULL), -ETIMEDOUT);
	chunk_drop(a);
	netkit_free(k);
}

/* Its store is the same, and what it noted of the ring is gone: it would be a founder that knows all. */
static void who_forgot_all_decides_nothing_until_it_is_met(void **state)
{
	struct netkit *k = netkit_ring(3, 15);
	uint64_t generation = k->node[0].generation;
	struct volumekit v;
	struct chunk *a;

	(void)state;
	volumekit_make(k, 15, &v);
	a = volumekit_head(&v, 1, NULL, 1);
	assert_int_equal(swap(k, 0, &v, a, NULL), 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, 0);
	netkit_wipe(k, 0);
	k->node[0].generation = generation;
	k->node[0].forgot = true;
	netkit_cut_off(k, 0, true);
	netkit_start(k, 0);
	netkit_run(k, 30 * S);
	assert_int_equal(volumekit_ask(k, 0, &v, NULL), -ETIMEDOUT);
	netkit_restart(k, 0);
	netkit_run(k, 30 * S);
	assert_int_equal(volumekit_ask(k, 0, &v, NULL), -ETIMEDOUT);
	netkit_cut_off(k, 0, false);
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(volumekit_ask(k, i, &v, a), 0);
	chunk_drop(a);
	netkit_free(k);
}

/* What comes from ${silent}, or goes to it, is lost, with no word of that; while ${nobody_counts}, nobody but the new ask what others have. */
struct silence {
	unsigned int silent, first_new;
	bool nobody_counts;
};

static bool silent(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	const struct silence *s = k->user;

	if (from == s->silent || to == s->silent)
		return false;
	return !s->nobody_counts || m->type != WIRE_HEADS || from >= s->first_new;
}

#define LOST 8u

/* Three, of which one is lost now, with LOST volumes, and ${joins} that are new. */
static struct netkit *lost_one(unsigned int joins, uint64_t seed, struct silence *s, struct volumekit *v, struct chunk **newest)
{
	struct netkit *k = netkit_new(3 + joins, seed);

	for (unsigned int i = 0; i < 3; i++)
		netkit_start(k, i);
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < LOST; i++) {
		volumekit_make(k, 100 * seed + i, &v[i]);
		newest[i] = volumekit_head(&v[i], 1, NULL, 1);
		assert_int_equal(swap(k, 2, &v[i], newest[i], NULL), 0);
	}
	*s = (struct silence){ .silent = 2, .first_new = 3 };
	k->user = s;
	k->filter = silent;
	for (unsigned int i = 0; i < joins; i++)
		k->node[3 + i].newborn = true;
	return k;
}

/* Is the lost one an owner, and ${new} too: so that of the others only one is left? */
static bool one_is_left(struct netkit *k, unsigned int new, const struct volumekit *v)
{
	unsigned int slot = ring_slot(&v->id);

	return netkit_owns(k, new, slot) && netkit_owns(k, 2, slot);
}

static void who_comes_at_once_in_the_place_of_a_silent_one_knows_soon(void **state)
{
	struct silence s;
	struct volumekit v[LOST];
	struct chunk *newest[LOST];
	struct netkit *k = lost_one(1, 21, &s, v, newest);
	unsigned int left = 0;

	(void)state;
	netkit_start(k, 3);
	netkit_run(k, 20 * S);
	for (unsigned int i = 0; i < LOST; i++) {
		left += one_is_left(k, 3, &v[i]);
		assert_int_equal(volumekit_ask(k, 3, &v[i], newest[i]), 0);
	}
	assert_true(left > 0);
	volumekit_drop(newest, LOST);
	netkit_free(k);
}

static void who_has_told_before_it_knew_is_asked_again(void **state)
{
	struct silence s;
	struct volumekit v[LOST];
	struct chunk *newest[LOST];
	struct netkit *k = lost_one(1, 22, &s, v, newest);
	unsigned int left = 0;

	(void)state;
	s.nobody_counts = true;
	netkit_start(k, 3);
	netkit_run(k, 10 * S);
	s.nobody_counts = false;
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < LOST; i++) {
		left += one_is_left(k, 3, &v[i]);
		assert_int_equal(volumekit_ask(k, 3, &v[i], newest[i]), 0);
	}
	assert_true(left > 0);
	volumekit_drop(newest, LOST);
	netkit_free(k);
}

/* They know what counted two tables ago, and one of them may have known what counted in between. */
static void a_second_table_before_they_know_all_leaves_owners_what_they_knew(void **state)
{
	struct silence s;
	struct volumekit v[LOST];
	struct chunk *newest[LOST];
	struct netkit *k = lost_one(2, 23, &s, v, newest);
	unsigned int left = 0;

	(void)state;
	s.nobody_counts = true;
	netkit_start(k, 3);
	netkit_run(k, 5 * S);
	netkit_start(k, 4);
	netkit_run(k, 5 * S);
	s.nobody_counts = false;
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < LOST; i++) {
		left += one_is_left(k, 3, &v[i]) || one_is_left(k, 4, &v[i]);
		assert_int_equal(volumekit_ask(k, 4, &v[i], newest[i]), 0);
	}
	assert_true(left > 0);
	volumekit_drop(newest, LOST);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_survive_a_change_of_all_their_owners),
		cmocka_unit_test(a_new_owner_says_nothing_before_it_knows),
		cmocka_unit_test(an_owner_that_lost_its_disk_asks_all_others),
		cmocka_unit_test(who_is_new_comes_in_the_place_of_one_who_is_lost),
		cmocka_unit_test(who_has_met_nobody_decides_nothing),
		cmocka_unit_test(who_forgot_all_decides_nothing_until_it_is_met),
		cmocka_unit_test(who_comes_at_once_in_the_place_of_a_silent_one_knows_soon),
		cmocka_unit_test(who_has_told_before_it_knew_is_asked_again),
		cmocka_unit_test(a_second_table_before_they_know_all_leaves_owners_what_they_knew),
	};

	return suite_run(tests);
}
