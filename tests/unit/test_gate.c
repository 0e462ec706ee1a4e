/*
 * gate: what comes while it is closed is kept and goes in later, or is taken back, once.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/gate.h"
#include "tests/lib/suite.h"

static int reset(void **state)
{
	*state = gate_new();
	return *state ? 0 : -1;
}

static int clear(void **state)
{
	gate_free(*state);
	return 0;
}

static void what_comes_to_a_closed_gate_goes_in_when_it_opens(void **state)
{
	struct gate *g = *state;
	struct gate_kept *k;
	bool refuse;

	assert_int_equal(gate_enter(g, 1, 0, "one", 4), 1);
	gate_leave(g);
	gate_close(g);
	assert_int_equal(gate_enter(g, 2, 0, "two", 4), 0);
	assert_int_equal(gate_enter(g, 3, 0, "three", 6), 0);
	gate_open(g);
	k = gate_next(g, &refuse);
	assert_false(refuse);
	assert_int_equal(k->unique, 2);
	assert_int_equal(k->len, 4);
	assert_string_equal((char *)k->bytes, "two");
	gate_leave(g);
	free(k);
	k = gate_next(g, &refuse);
	assert_false(refuse);
	assert_string_equal((char *)k->bytes, "three");
	gate_leave(g);
	free(k);
}

static void who_is_doomed_is_refused_and_others_wait(void **state)
{
	struct gate *g = *state;
	struct gate_kept *k;
	bool refuse;

	gate_close(g);
	/* A process of which nothing is known, and one that is well. */
	assert_int_equal(gate_enter(g, 2, (uint32_t)getpid(), "two", 4), 0);
	assert_int_equal(gate_enter(g, 3, 0, "three", 6), 0);
	assert_true(gate_interrupt(g, 2));
	assert_true(gate_interrupt(g, 3));
	assert_true(gate_interrupt(g, 3));
	assert_false(gate_interrupt(g, 4));
	k = gate_next(g, &refuse);
	assert_true(refuse);
	assert_int_equal(k->unique, 3);
	free(k);
	assert_false(gate_interrupt(g, 3));
	gate_open(g);
	k = gate_next(g, &refuse);
	assert_false(refuse);
	assert_int_equal(k->unique, 2);
	gate_leave(g);
	free(k);
}

static void an_interrupt_may_come_before_its_request(void **state)
{
	struct gate *g = *state;
	struct gate_kept *k;
	bool refuse;

	gate_close(g);
	assert_false(gate_interrupt(g, 7));
	assert_int_equal(gate_enter(g, 7, 0, "", 1), 0);
	k = gate_next(g, &refuse);
	assert_true(refuse);
	assert_int_equal(k->unique, 7);
	free(k);
	gate_open(g);
	assert_false(gate_interrupt(g, 8));
	gate_close(g);
	assert_int_equal(gate_enter(g, 8, 0, "", 1), 0);
	gate_open(g);
	k = gate_next(g, &refuse);
	assert_false(refuse);
	gate_leave(g);
	free(k);
}

static void what_is_promised_is_served_although_its_process_is_gone(void **state)
{
	struct gate *g = *state;
	struct gate_kept *k;
	bool refuse = true;

	gate_close(g);
	assert_int_equal(gate_enter(g, 1, 0, "", 1), 0);
	assert_int_equal(gate_enter(g, 2, 0, "", 1), 0);
	assert_true(gate_interrupt(g, 1));
	assert_true(gate_promise(g, 1));
	assert_true(gate_interrupt(g, 1));
	/* This one's process is no more either, and it goes first. */
	assert_true(gate_interrupt(g, 2));
	k = gate_next(g, &refuse);
	assert_true(refuse);
	assert_int_equal(k->unique, 2);
	free(k);
	gate_end(g);
	gate_open(g);
	k = gate_next(g, &refuse);
	assert_non_null(k);
	assert_false(refuse);
	assert_int_equal(k->unique, 1);
	assert_false(gate_promise(g, 1));
	gate_leave(g);
	free(k);
	assert_null(gate_next(g, &refuse));
}

static void what_comes_later_stays_behind_what_is_promised(void **state)
{
	struct gate *g = *state;
	struct gate_kept *k;
	bool refuse;

	gate_close(g);
	assert_int_equal(gate_enter(g, 1, 0, "", 1), 0);
	assert_false(gate_promised(g));
	assert_true(gate_promise(g, 1));
	assert_true(gate_promised(g));
	gate_open(g);
	assert_int_equal(gate_enter(g, 2, 0, "", 1), 0);
	k = gate_next(g, &refuse);
	assert_int_equal(k->unique, 1);
	assert_int_equal(gate_enter(g, 3, 0, "", 1), 0);
	gate_leave(g);
	free(k);
	k = gate_next(g, &refuse);
	assert_int_equal(k->unique, 2);
	assert_false(gate_promised(g));
	assert_int_equal(gate_enter(g, 4, 0, "", 1), 1);
	gate_leave(g);
	gate_leave(g);
	free(k);
	k = gate_next(g, &refuse);
	assert_int_equal(k->unique, 3);
	gate_leave(g);
	free(k);
}

/* Served by some threads, closed again and again: nobody is inside while it is closed. */
#define REQUESTS 20000u

static struct {
	struct gate *gate;
	atomic_bool closed, done;
	atomic_uint served, wrong, inside;
	atomic_uchar seen[2 * REQUESTS];
} busy;

static void serve(uint64_t unique)
{
	atomic_fetch_add(&busy.wrong, atomic_load(&busy.closed));
	atomic_fetch_add(&busy.wrong, atomic_fetch_add(&busy.seen[unique], 1) != 0);
	atomic_fetch_add(&busy.served, 1);
	gate_leave(busy.gate);
}

static void *enter(void *arg)
{
	uint64_t first = (uintptr_t)arg;

	for (uint64_t i = first; i < first + REQUESTS; i++) {
		int r = gate_enter(busy.gate, i, 0, &i, sizeof(i));

		if (r == 1)
			serve(i);
		else
			atomic_fetch_add(&busy.wrong, r != 0);
	}
	return NULL;
}

static void *keep(void *arg)
{
	struct gate_kept *k;
	bool refuse;

	(void)arg;
	while ((k = gate_next(busy.gate, &refuse))) {
		atomic_fetch_add(&busy.wrong, refuse);
		serve(k->bytes[0]);
		free(k);
	}
	return NULL;
}

static void *commit(void *arg)
{
	(void)arg;
	while (!atomic_load(&busy.done)) {
		gate_close(busy.gate);
		atomic_store(&busy.closed, true);
		sched_yield();
		atomic_store(&busy.closed, false);
		gate_open(busy.gate);
	}
	return NULL;
}

static void every_request_is_served_once_and_none_in_a_commit(void **state)
{
	pthread_t t[4];

	busy.gate = *state;
	assert_int_equal(pthread_create(&t[0], NULL, enter, (void *)0), 0);
	assert_int_equal(pthread_create(&t[1], NULL, enter, (void *)(uintptr_t)REQUESTS), 0);
	assert_int_equal(pthread_create(&t[2], NULL, commit, NULL), 0);
	assert_int_equal(pthread_create(&t[3], NULL, keep, NULL), 0);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	while (atomic_load(&busy.served) < 2 * REQUESTS)
		sched_yield();
	atomic_store(&busy.done, true);
	pthread_join(t[2], NULL);
	gate_end(busy.gate);
	pthread_join(t[3], NULL);
	assert_int_equal(atomic_load(&busy.wrong), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_comes_to_a_closed_gate_goes_in_when_it_opens, reset, clear),
		cmocka_unit_test_setup_teardown(who_is_doomed_is_refused_and_others_wait, reset, clear),
		cmocka_unit_test_setup_teardown(an_interrupt_may_come_before_its_request, reset, clear),
		cmocka_unit_test_setup_teardown(what_is_promised_is_served_although_its_process_is_gone, reset, clear),
		cmocka_unit_test_setup_teardown(what_comes_later_stays_behind_what_is_promised, reset, clear),
		cmocka_unit_test_setup_teardown(every_request_is_served_once_and_none_in_a_commit, reset, clear),
	};

	return suite_run(tests);
}
