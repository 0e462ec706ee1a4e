/* Several peers in one process: what a ring of them is for, and how their lives begin and end. */
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dht/net/limits.h"
#include "dht/net/report.h"
#include "dht/peer/packed.h"
#include "tests/lib/peerkit.h"

#define MANY 200u

static struct peerkit kit;

static int setup(void **state)
{
	(void)state;
	peerkit_begin(&kit);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peerkit_end(&kit);
	return 0;
}

static void fetch_and_compare(unsigned int i, const struct address *a, const struct chunk *want)
{
	struct chunk *got;

	assert_int_equal(peerkit_fetch(&kit, i, a, &got), 0);
	assert_int_equal(got->len, want->len);
	assert_memory_equal(got->data, want->data, want->len);
	chunk_drop(got);
}

static void insert_and_fetch(unsigned int from, unsigned int to, uint64_t seed)
{
	struct chunk *c = peerkit_chunk(seed, 20000);
	struct address a;

	assert_int_equal(peerkit_insert(&kit, from, c, 1, &a), 0);
	fetch_and_compare(to, &a, c);
	chunk_drop(c);
}

/* ---- sharing ---- */

static void one_alone_needs_nobody(void **state)
{
	struct chunk *c = peerkit_chunk(1, 4000);
	struct address a;

	(void)state;
	peerkit_must_open(&kit, 0);
	assert_true(peer_alone(kit.peer[0].peer));
	assert_false(peer_joined(kit.peer[0].peer, 1));
	assert_int_equal(peerkit_insert(&kit, 0, c, 2, &a), 0);
	fetch_and_compare(0, &a, c);
	chunk_drop(c);
}

static void two_meet_and_share(void **state)
{
	(void)state;
	peerkit_ring(&kit, 2);
	assert_true(peer_joined(kit.peer[0].peer, 20000));
	assert_true(peer_joined(kit.peer[1].peer, 20000));
	assert_false(peer_alone(kit.peer[0].peer));
	assert_false(peer_alone(kit.peer[1].peer));
	insert_and_fetch(0, 1, 2);
	insert_and_fetch(1, 0, 3);
}

static void what_three_have_survives_one(void **state)
{
	struct chunk *c[20];
	struct address a[20];

	(void)state;
	peerkit_ring(&kit, 4);
	for (unsigned int i = 0; i < 20; i++) {
		c[i] = peerkit_chunk(100 + i, 1000 + 5000 * i);
		assert_int_equal(peerkit_insert(&kit, 0, c[i], 2, &a[i]), 0);
	}
	peerkit_close(&kit, 0);
	for (unsigned int i = 0; i < 20; i++) {
		fetch_and_compare(1 + i % 3, &a[i], c[i]);
		chunk_drop(c[i]);
	}
}

static void what_nobody_has_is_nowhere(void **state)
{
	struct address a = { { 1, 2, 3 } };
	struct chunk *got;

	(void)state;
	peerkit_ring(&kit, 3);
	peerkit_complete(&kit, 3);
	assert_int_equal(peerkit_fetch(&kit, 1, &a, &got), -ENOENT);
}

/* ---- restarts ---- */

static void who_restarts_remembers_the_others(void **state)
{
	(void)state;
	peerkit_ring(&kit, 3);
	for (unsigned int i = 0; i < 3; i++)
		peerkit_stay(&kit, i);
	strcpy(kit.peer[1].join, "-");
	peerkit_close(&kit, 1);
	peerkit_must_open(&kit, 1);
	assert_false(peer_alone(kit.peer[1].peer));
	peerkit_settle(&kit, 3);
	insert_and_fetch(1, 2, 4);
}

static void all_restart_without_being_told_of_anybody(void **state)
{
	(void)state;
	peerkit_ring(&kit, 3);
	for (unsigned int i = 0; i < 3; i++) {
		peerkit_stay(&kit, i);
		strcpy(kit.peer[i].join, "-");
	}
	for (unsigned int i = 0; i < 3; i++)
		peerkit_close(&kit, i);
	for (unsigned int i = 0; i < 3; i++)
		peerkit_must_open(&kit, i);
	peerkit_settle(&kit, 3);
	insert_and_fetch(2, 0, 5);
}

struct elsewhere {
	struct address id;
	char address[64];
	bool known;
};

static void look_where(void *arg, struct node *n)
{
	struct elsewhere *e = arg;
	struct report_member m;

	e->known = report_member(n, &e->id, &m) && strcmp(m.address[0], e->address) == 0;
}

static bool is_known_there(void *arg)
{
	peer_look(kit.peer[0].peer, look_where, arg);
	return ((struct elsewhere *)arg)->known;
}

static void who_comes_back_elsewhere_is_found_there(void **state)
{
	struct elsewhere there = { .known = false };
	char before[64], after[64];
	struct address id;

	(void)state;
	peerkit_ring(&kit, 2);
	peerkit_stay(&kit, 0);
	peerkit_address(&kit, 1, before);
	id = *peer_id(kit.peer[1].peer);
	strcpy(kit.peer[1].join, "-");
	strcpy(kit.peer[1].listen, "127.0.0.77:0");
	peerkit_close(&kit, 1);
	peerkit_must_open(&kit, 1);
	peerkit_address(&kit, 1, after);
	assert_string_not_equal(before, after);
	assert_true(address_equal(&id, peer_id(kit.peer[1].peer)));
	peerkit_settle(&kit, 2);
	insert_and_fetch(0, 1, 6);
	/* They may have met before he has told. */
	there.id = id;
	strcpy(there.address, after);
	peerkit_until(is_known_there, &there, "the new address");
	/* And by one who remembers its new address alone. */
	peerkit_stay(&kit, 1);
	strcpy(kit.peer[0].join, "-");
	strcpy(kit.peer[0].listen, "-");
	peerkit_close(&kit, 0);
	peerkit_must_open(&kit, 0);
	peerkit_settle(&kit, 2);
	insert_and_fetch(0, 1, 7);
}

static bool owns_something(void *arg)
{
	return peerkit_status(&kit, *(unsigned int *)arg).shelf.owned > 0;
}

static bool mark_has_gone(void *arg)
{
	return access(arg, F_OK) < 0;
}

static void who_keeps_nothing_owns_nothing_and_may_change_his_mind(void **state)
{
	struct chunk *c = peerkit_chunk(8, 1000);
	struct address a;
	unsigned int one = 1;
	char mark[300];

	(void)state;
	kit.peer[1].keeps_nothing = true;
	peerkit_ring(&kit, 2);
	/* From the first word that anyone hears of it: it would be an owner for a moment else, and be asked long after it is gone. */
	assert_true(peerkit_said(&kit, "is a member, and keeps no copies"));
	assert_false(peerkit_said(&kit, "is draining"));
	peerkit_stay(&kit, 0);
	assert_int_equal(peerkit_insert(&kit, 0, c, 0, &a), 0);
	fetch_and_compare(1, &a, c);
	assert_int_equal(peerkit_status(&kit, 1).shelf.owned, 0);
	/* Said once, it is remembered; said no more, it is undone. */
	peerkit_close(&kit, 1);
	peerkit_must_open(&kit, 1);
	peerkit_settle(&kit, 2);
	assert_int_equal(peerkit_status(&kit, 1).shelf.owned, 0);
	peerkit_close(&kit, 1);
	kit.peer[1].keeps_nothing = false;
	peerkit_must_open(&kit, 1);
	peerkit_until(owns_something, &one, "a copy at one who keeps things again");
	/* So that who drains it by command finds it drained after a restart, too. */
	snprintf(mark, sizeof(mark), "%s/keeps-nothing", kit.peer[1].dir);
	peerkit_until(mark_has_gone, mark, "the end of the mark");
	chunk_drop(c);
}

static void who_can_neither_reach_anybody_nor_be_reached_says_so(void **state)
{
	static const char *const said = "nobody can join it";

	(void)state;
	peerkit_ring(&kit, 2);
	assert_false(peerkit_said(&kit, said));
	/* It knows a member. */
	peerkit_close(&kit, 1);
	strcpy(kit.peer[1].listen, "-");
	strcpy(kit.peer[1].join, "-");
	peerkit_must_open(&kit, 1);
	assert_false(peerkit_said(&kit, said));
	strcpy(kit.peer[2].listen, "-");
	strcpy(kit.peer[2].join, "-");
	peerkit_must_open(&kit, 2);
	assert_true(peerkit_said(&kit, said));
}

static bool is_alone(void *arg)
{
	(void)arg;
	return peer_alone(kit.peer[0].peer);
}

static int lose(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", kit.peer[0].dir, name);
	return unlink(path);
}

static void who_lost_its_shelf_is_no_ring_of_its_own(void **state)
{
	char mark[300];

	(void)state;
	snprintf(mark, sizeof(mark), "%s/shelf-lost", kit.peer[0].dir);
	peerkit_ring(&kit, 2);
	peerkit_stay(&kit, 0);
	peerkit_close(&kit, 0);
	assert_int_equal(lose("shelf"), 0);
	lose("shelf-lock");
	/* Over a restart, too: nobody has come yet. */
	for (unsigned int i = 0; i < 2; i++) {
		peerkit_close(&kit, i == 0 ? 1 : 0);
		peerkit_must_open(&kit, 0);
		assert_int_equal(access(mark, F_OK), 0);
	}
	assert_false(peer_joined(kit.peer[0].peer, 300));
	assert_false(is_alone(NULL));
	peerkit_must_open(&kit, 1);
	peerkit_settle(&kit, 2);
	peerkit_close(&kit, 0);
	peerkit_must_open(&kit, 0);
	assert_true(mark_has_gone(mark));
	peerkit_close(&kit, 0);
	peerkit_close(&kit, 1);
	/* With a new key, too, nobody is there who could know more. */
	assert_int_equal(lose("shelf"), 0);
	assert_int_equal(lose("node.key"), 0);
	peerkit_must_open(&kit, 0);
	peerkit_until(is_alone, NULL, "a new ring");
}

/* ---- asking ---- */

struct asking {
	struct peer_ask ask[MANY];
	struct chunk *chunk[MANY];
	unsigned int done[MANY];	/* atomic: how often it was answered */
};

static void count(struct peer_ask *a)
{
	__atomic_fetch_add((unsigned int *)a->user, 1, __ATOMIC_RELEASE);
}

static bool all_answered(void *arg)
{
	struct asking *s = arg;

	for (unsigned int i = 0; i < MANY; i++)
		if (__atomic_load_n(&s->done[i], __ATOMIC_ACQUIRE) == 0)
			return false;
	return true;
}

static void ask_many(struct asking *s, size_t len)
{
	struct chunk *raw;

	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < MANY; i++) {
		struct command *c = &s->ask[i].command;

		raw = peerkit_chunk(1000 + i, len);
		*c = (struct command){ .kind = i % 4 == 3 ? COMMAND_FETCH : COMMAND_INSERT, .chunk_kind = KIND_DATA, .acks = 1,
			.timeout = 20 * S };
		address_of(KIND_DATA, raw->data, raw->len, &c->address);
		s->chunk[i] = packed_make(NULL, raw);
		chunk_drop(raw);
		if (c->kind == COMMAND_INSERT)
			c->chunk = s->chunk[i];
		s->ask[i].done = count;
		s->ask[i].user = &s->done[i];
		peer_ask(kit.peer[0].peer, &s->ask[i]);
	}
}

static void forget_many(struct asking *s)
{
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(s->done[i], 1);
		chunk_drop(s->ask[i].chunk);
		chunk_drop(s->ask[i].blob);
		chunk_drop(s->chunk[i]);
	}
}

static void more_than_a_link_takes_is_taken_in_turn(void **state)
{
	static struct asking s;

	(void)state;
	peerkit_ring(&kit, 2);
	ask_many(&s, CHUNK_MAX);
	peerkit_until(all_answered, &s, "an answer to each");
	for (unsigned int i = 0; i < MANY; i++)
		if (s.ask[i].command.kind == COMMAND_INSERT)
			assert_int_equal(s.ask[i].result, 0);
	forget_many(&s);
}

static void what_is_cancelled_is_answered_once(void **state)
{
	static struct asking s;
	unsigned int cancelled = 0;

	(void)state;
	peerkit_ring(&kit, 2);
	ask_many(&s, 100000);
	for (unsigned int i = 0; i < MANY; i++) {
		peer_cancel(&s.ask[i]);
		peer_cancel(&s.ask[i]);
	}
	peerkit_until(all_answered, &s, "an answer to each");
	for (unsigned int i = 0; i < MANY; i++)
		cancelled += s.ask[i].result == -ECANCELED;
	assert_true(cancelled > 0);
	forget_many(&s);
	insert_and_fetch(0, 1, 9);
}

static void closing_answers_all_that_is_under_way(void **state)
{
	static struct asking s;

	(void)state;
	peerkit_ring(&kit, 3);
	ask_many(&s, 100000);
	peerkit_close(&kit, 0);
	assert_true(all_answered(&s));
	forget_many(&s);
	peerkit_close(&kit, 1);
}

static void an_answer_comes_in_time_when_nobody_answers(void **state)
{
	struct peer_ask a = { .command = { .kind = COMMAND_FETCH, .address = { { 9 } }, .timeout = 300 * MS } };

	(void)state;
	peerkit_ring(&kit, 3);
	peerkit_close(&kit, 1);
	peerkit_close(&kit, 2);
	assert_true(peer_ask_now(kit.peer[0].peer, &a) < 0);
	assert_true(a.result == -ETIMEDOUT || a.result == -EIO);
}

/* ---- opening ---- */

static void a_name_is_as_good_as_an_address(void **state)
{
	(void)state;
	strcpy(kit.peer[0].listen, "localhost:0");
	peerkit_must_open(&kit, 0);
	snprintf(kit.peer[1].join, sizeof(kit.peer[1].join), "localhost%s", strrchr(peer_address(kit.peer[0].peer, 0), ':'));
	peerkit_must_open(&kit, 1);
	peerkit_settle(&kit, 2);
}

static void a_port_that_is_taken_is_said(void **state)
{
	(void)state;
	peerkit_must_open(&kit, 0);
	peerkit_address(&kit, 0, kit.peer[1].listen);
	assert_int_equal(peerkit_open(&kit, 1), -EADDRINUSE);
	assert_non_null(strstr(kit.why, kit.peer[1].listen));
	strcpy(kit.peer[1].listen, "127.0.0.1:70000");
	assert_int_equal(peerkit_open(&kit, 1), -EINVAL);
	strcpy(kit.peer[1].listen, "192.0.2.1:0");
	assert_int_equal(peerkit_open(&kit, 1), -EADDRNOTAVAIL);
	assert_non_null(strstr(kit.why, "--advertise"));
}

static void a_wildcard_is_advertised_as_what_it_stands_for(void **state)
{
	(void)state;
	strcpy(kit.peer[0].listen, "0.0.0.0:0");
	peerkit_must_open(&kit, 0);
	assert_null(strstr(peer_address(kit.peer[0].peer, 0), "0.0.0.0"));
	insert_and_fetch(0, 0, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_alone_needs_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(two_meet_and_share, setup, teardown),
		cmocka_unit_test_setup_teardown(what_three_have_survives_one, setup, teardown),
		cmocka_unit_test_setup_teardown(what_nobody_has_is_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(who_restarts_remembers_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(all_restart_without_being_told_of_anybody, setup, teardown),
		cmocka_unit_test_setup_teardown(who_comes_back_elsewhere_is_found_there, setup, teardown),
		cmocka_unit_test_setup_teardown(who_keeps_nothing_owns_nothing_and_may_change_his_mind, setup, teardown),
		cmocka_unit_test_setup_teardown(who_can_neither_reach_anybody_nor_be_reached_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(who_lost_its_shelf_is_no_ring_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_a_link_takes_is_taken_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_cancelled_is_answered_once, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_answers_all_that_is_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_comes_in_time_when_nobody_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_is_as_good_as_an_address, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_that_is_taken_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wildcard_is_advertised_as_what_it_stands_for, setup, teardown),
	};

	return suite_run(tests);
}
