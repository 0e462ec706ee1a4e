/* Suspicion, gossip and the view of one node, whose 19 others are known and don't run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "dht/net/membership.h"
#include "tests/lib/suite.h"
#include "tests/lib/swarm.h"

#define NODES 20u

static struct swarm *swarm;
static struct node *n;
static struct view_entry *x;		/* whom it is about */

static int begin(void **state)
{
	(void)state;
	swarm = swarm_new(NODES, 1);
	swarm_known(swarm, NODES);
	swarm_start(swarm, 0);
	swarm_run(swarm, 100 * MS);
	n = swarm->node[0].node;
	x = view_find(&n->membership->view, &swarm->node[1].id);
	return 0;
}

static int end(void **state)
{
	(void)state;
	swarm_free(swarm);
	return 0;
}

static void doubt(unsigned int from)
{
	suspicion_heard(n, x, x->member->incarnation, &swarm->node[from].id, true);
}

/* How long it has from when it was first doubted. */
static uint64_t waits(void)
{
	return x->suspicion->timer.at + SUSPICION_ASK - x->suspicion->started;
}

static void the_time_is_4_log10_of_the_members(void **state)
{
	static const struct {
		unsigned int members;
		uint64_t most;
	} is[] = { { 1, 4 * S }, { 3, 4 * S }, { 10, 4 * S }, { 100, 8 * S }, { 1000, 12 * S }, { 4096, 14449 * MS } };

	(void)state;
	for (unsigned int i = 0; i < sizeof(is) / sizeof(*is); i++) {
		assert_true(suspicion_time(is[i].members, 0) <= is[i].most + MS);
		assert_true(suspicion_time(is[i].members, 0) + MS >= is[i].most);
		assert_int_equal(suspicion_time(is[i].members, 3), suspicion_time(is[i].members, 0) / 2);
		assert_int_equal(suspicion_time(is[i].members, 9), suspicion_time(is[i].members, 3));
		assert_true(suspicion_time(is[i].members, 3) >= SUSPICION_LEAST);
		for (unsigned int j = 0; j < 3; j++)
			assert_true(suspicion_time(is[i].members, j) > suspicion_time(is[i].members, j + 1));
	}
}

static void only_independent_doubts_shorten_it(void **state)
{
	uint64_t alone;

	(void)state;
	doubt(2);
	assert_int_equal(membership_health(n, &x->member->id), PEER_SUSPECT);
	alone = waits();
	assert_int_equal(alone, suspicion_time(NODES, 0));
	doubt(2);
	assert_int_equal(waits(), alone);
	doubt(3);
	assert_int_equal(waits(), suspicion_time(NODES, 1));
	doubt(4);
	doubt(5);
	assert_int_equal(waits(), suspicion_time(NODES, 3));
	doubt(6);
	assert_int_equal(waits(), suspicion_time(NODES, 3));
	assert_int_equal(x->suspicion->count, SUSPICION_CONFIRMATIONS + 1);
}

static void who_was_heard_is_alive_and_echoes_do_not_count(void **state)
{
	(void)state;
	doubt(2);
	suspicion_clear(n, x);
	assert_int_equal(membership_health(n, &x->member->id), PEER_ALIVE);
	doubt(3);
	doubt(4);
	assert_int_equal(membership_health(n, &x->member->id), PEER_ALIVE);
	x->heard = swarm->now + 1;
	swarm_run(swarm, SUSPICION_ECHO + 100 * MS);
	doubt(3);
	assert_int_equal(membership_health(n, &x->member->id), PEER_SUSPECT);
}

static void who_was_heard_by_an_old_frame_is_doubted_again(void **state)
{
	(void)state;
	doubt(2);
	x->heard = n->now;
	suspicion_clear(n, x);
	swarm_run(swarm, SUSPICION_ECHO - 100 * MS);
	assert_int_equal(membership_health(n, &x->member->id), PEER_ALIVE);
	swarm_run(swarm, 200 * MS);
	assert_int_equal(membership_health(n, &x->member->id), PEER_SUSPECT);
	/* Not where it went on talking. */
	suspicion_clear(n, x);
	swarm_run(swarm, S);
	doubt(4);
	x->heard = swarm->now;
	swarm_run(swarm, SUSPICION_ECHO);
	assert_int_equal(membership_health(n, &x->member->id), PEER_ALIVE);
}

static void its_time_over_it_is_down_but_a_member(void **state)
{
	unsigned int members = view_living(&n->membership->view);
	uint64_t began, asked = 0;
	unsigned int doubts = 0;

	(void)state;
	doubt(2);
	began = x->suspicion->started;
	while (membership_health(n, &x->member->id) == PEER_SUSPECT) {
		doubts = x->suspicion->count;
		asked = x->suspicion->asked;
		swarm_run(swarm, MS);
	}
	/* It may have been confirmed by a probe of our own; and was asked once more. */
	assert_true(swarm->now >= began + suspicion_time(NODES, doubts - 1));
	assert_in_range(swarm->now - asked, SUSPICION_ASK, SUSPICION_ASK + 2 * MS);
	assert_true(swarm->now <= began + suspicion_time(NODES, 0) + 2 * MS);
	assert_int_equal(membership_health(n, &x->member->id), PEER_DOWN);
	assert_true(membership_down_since(n, &x->member->id) != 0);
	assert_int_equal(view_living(&n->membership->view), members);
	suspicion_clear(n, x);
	assert_int_equal(membership_health(n, &x->member->id), PEER_ALIVE);
}

static void who_slept_over_it_waits_again(void **state)
{
	(void)state;
	doubt(2);
	swarm->node[0].paused = swarm->now + 60 * S;
	swarm_run(swarm, 60 * S + 100 * MS);
	assert_int_equal(membership_health(n, &x->member->id), PEER_SUSPECT);
	assert_int_equal(n->membership->view.down, 0);
	swarm_run(swarm, SUSPICION_LEAST + S);
	assert_int_equal(membership_health(n, &x->member->id), PEER_DOWN);
}

static void who_speaks_anew_while_he_is_probed_is_not_doubted(void **state)
{
	struct swim *s = &n->membership->swim;
	struct member fields, *m;
	struct view_entry *e;
	unsigned int of = 0;

	(void)state;
	while (s->state != PROBE_DETOUR || s->target->suspicion)
		swarm_run(swarm, 10 * MS);
	e = s->target;
	while (!address_equal(&swarm->node[of].id, &e->member->id))
		of++;
	fields = *e->member;
	fields.incarnation++;
	assert_int_equal(member_sign(&fields, &n->file.id, swarm->node[of].secret, &m), 0);
	assert_int_equal(membership_put(n, m, true), 0);
	member_drop(m);
	while (s->target == e)
		swarm_run(swarm, 10 * MS);
	assert_int_equal(membership_health(n, &e->member->id), PEER_ALIVE);
	/* Any other is. */
	e = s->target;
	while (s->target == e)
		swarm_run(swarm, 10 * MS);
	assert_int_equal(membership_health(n, &e->member->id), PEER_SUSPECT);
}

/* Record i of a signer of its own, its first bytes as given. */
static struct member *record(unsigned int i)
{
	struct member fields = { .incarnation = 1, .state = MEMBER_HERE, .weight = 1 }, *m;
	uint8_t of[32] = { 9 }, key[MEMBER_KEY], secret[MEMBER_SECRET];

	memcpy(of + 1, &i, sizeof(i));
	crypto_sign_seed_keypair(key, secret, of);
	assert_int_equal(member_sign(&fields, &n->file.id, secret, &m), 0);
	return m;
}

static void each_thing_is_told_so_often_and_the_newest_first(void **state)
{
	unsigned int times = 0, first = 0;
	struct view_entry *e;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		struct message m = { .type = WIRE_GOSSIP };
		struct gossip_text text;

		gossip_add(n, &m, &text, 1);
	}
	assert_int_equal(n->membership->gossip.count, 0);
	/* More than fits a message, and a doubt that came last. */
	for (unsigned int i = 0; i < 40; i++) {
		struct member *m = record(i);

		assert_int_equal(membership_put(n, m, true), 0);
		member_drop(m);
	}
	doubt(2);
	e = view_find(&n->membership->view, &x->member->id);
	assert_ptr_equal(e, x);
	while (n->membership->gossip.count > 0) {
		struct message m = { .type = WIRE_GOSSIP };
		struct gossip_text text;

		gossip_add(n, &m, &text, 1);
		assert_true(m.records.len <= GOSSIP_BYTES);
		first += times == 0 && m.suspicions == 1;
		times++;
		assert_true(times < 1000);
	}
	assert_int_equal(first, 1);
	/* Each of 41 things 8 times, of which about 20 fit. */
	assert_true(times >= GOSSIP_FACTOR * 2 && times < 40);
}

static void the_digest_follows_each_change_and_nothing_else(void **state)
{
	struct address before = *view_digest(&n->membership->view), after;
	struct member *m = record(7);

	(void)state;
	doubt(2);
	assert_true(address_equal(view_digest(&n->membership->view), &before));
	assert_int_equal(membership_put(n, m, false), 0);
	after = *view_digest(&n->membership->view);
	assert_false(address_equal(&after, &before));
	member_drop(m);
}

static void an_id_is_found_wherever_it_is(void **state)
{
	struct view v;
	struct view_entry *e;
	struct member *m[600];

	(void)state;
	view_start(&v);
	for (unsigned int i = 0; i < 600; i++) {
		m[i] = record(i);
		/* All in one place of the circle, as somebody who picks his ids would have it. */
		if (i % 2)
			memset(m[i]->id.b, i % 4 == 1 ? 0xff : 0, 7 + (i % 3));
		assert_int_equal(view_put(&v, m[i], &e), 0);
		for (unsigned int j = 0; j <= i; j += 1 + i / 20)
			assert_ptr_equal(view_find(&v, &m[j]->id)->member, m[j]);
	}
	for (unsigned int i = 0; i + 1 < v.count; i++)
		assert_true(address_compare(&v.entry[i]->member->id, &v.entry[i + 1]->member->id) < 0);
	for (unsigned int i = 600; i < 700; i++) {
		struct member *other = record(i);
		unsigned int at = view_from(&v, &other->id);

		assert_null(view_find(&v, &other->id));
		assert_true(at == v.count || address_compare(&v.entry[at]->member->id, &other->id) > 0);
		assert_true(at == 0 || address_compare(&v.entry[at - 1]->member->id, &other->id) < 0);
		member_drop(other);
	}
	view_end(&v);
	for (unsigned int i = 0; i < 600; i++)
		member_drop(m[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_time_is_4_log10_of_the_members),
		cmocka_unit_test_setup_teardown(only_independent_doubts_shorten_it, begin, end),
		cmocka_unit_test_setup_teardown(who_was_heard_is_alive_and_echoes_do_not_count, begin, end),
		cmocka_unit_test_setup_teardown(who_was_heard_by_an_old_frame_is_doubted_again, begin, end),
		cmocka_unit_test_setup_teardown(its_time_over_it_is_down_but_a_member, begin, end),
		cmocka_unit_test_setup_teardown(who_slept_over_it_waits_again, begin, end),
		cmocka_unit_test_setup_teardown(who_speaks_anew_while_he_is_probed_is_not_doubted, begin, end),
		cmocka_unit_test_setup_teardown(each_thing_is_told_so_often_and_the_newest_first, begin, end),
		cmocka_unit_test_setup_teardown(the_digest_follows_each_change_and_nothing_else, begin, end),
		cmocka_unit_test_setup_teardown(an_id_is_found_wherever_it_is, begin, end),
	};

	return suite_run(tests);
}
