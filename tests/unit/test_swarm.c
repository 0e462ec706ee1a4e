/*
 * Membership of a hundred nodes (SOAK=1: a thousand; NODES=n) on a network that delays and stalls: what it costs, and how
 * long it takes until all know.  SEED=n replays; SWARM_LOG=1 shows what nodes log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/net/membership.h"
#include "tests/lib/suite.h"
#include "tests/lib/swarm.h"

#define FAILURES_MAX 40u
#define SMALL	     20u		/* nodes, where more make no difference */

static unsigned int nodes = 100;
static uint64_t seed;
static struct swarm *ring;		/* the large one, of all tests */

/* The node that was stopped last, and how many have it down. */
static struct {
	unsigned int node, known;
	uint64_t at, all;
} failure;

static unsigned int alarms;		/* nodes that run, and that somebody took as down */

/* Of processor, since the last time that it was asked, a node and second of virtual time. */
static double cost(const struct swarm *s)
{
	static double then;
	static uint64_t was;
	struct timespec t;
	double now, us;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	now = (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
	us = s && s->now > was ? (now - then) / s->count / ((double)(s->now - was) / S) : 0;
	then = now;
	was = s ? s->now : 0;
	return us;
}

static void on_log(struct swarm *s, unsigned int at, const char *text)
{
	unsigned int node;
	char end;

	if (getenv("SWARM_LOG"))
		printf("# %llu.%03llu %u: %s\n", (unsigned long long)(s->now / S), (unsigned long long)(s->now / MS % 1000), at, text);
	if (sscanf(text, "node:%u does not answer: taken as dow%c", &node, &end) != 2)
		return;
	alarms += s->node[node].node != NULL;
	if (node == failure.node && ++failure.known == swarm_running(s))
		failure.all = s->now;
}

static void all_agree_and_rest(struct swarm *s)
{
	for (unsigned int i = 0; i < 120 && swarm_agree(s) < swarm_running(s); i++)
		swarm_run(s, S);
	assert_int_equal(swarm_agree(s), swarm_running(s));
	swarm_run(s, 30 * S);
}

/* A ring that has been running, as after a power cut: ${count} know each other from their disks.  There may be ${more}. */
static struct swarm *running(unsigned int count, unsigned int more)
{
	struct swarm *s = swarm_new(count + more, seed);

	alarms = 0;
	s->log = on_log;
	swarm_known(s, count);
	for (unsigned int i = 0; i < count; i++)
		swarm_start(s, i);
	all_agree_and_rest(s);
	return s;
}

static void stalls_on(struct swarm *s)
{
	/* 1 of 100 at any time, each for up to 8 seconds. */
	s->stall_for = 4 * S;
	s->stall_every = 99 * s->stall_for;
}

static void a_whole_ring_starts_at_once(void **state)
{
	double us;

	(void)state;
	cost(NULL);
	ring = running(nodes, 1);
	us = cost(ring);
	print_message("# %u nodes start and agree: %llu s with 30 s of rest, %llu bytes a node, %.0f us of processor a node and second\n",
	    nodes, (unsigned long long)(ring->now / S), (unsigned long long)ring->bytes / nodes, us);
	assert_int_equal(alarms, 0);
}

static void rest_is_cheap(void **state)
{
	struct swarm was = *ring;
	double span = 60.0 * nodes, us;

	(void)state;
	cost(ring);
	swarm_run(ring, 60 * S);
	us = cost(ring);
	print_message("# %u nodes at rest, a node and second: %.1f messages, %.0f bytes, %.2f dials, %.0f us of processor\n", nodes,
	    (double)(ring->messages - was.messages) / span, (double)(ring->bytes - was.bytes) / span,
	    (double)(ring->dials - was.dials) / span, us);
	assert_true((double)(ring->messages - was.messages) / span < 3);
	assert_true((double)(ring->bytes - was.bytes) / span < 100);
}

static void who_joins_is_soon_known_to_all(void **state)
{
	uint64_t began = ring->now, bytes = ring->bytes;
	unsigned int known = 0;

	(void)state;
	swarm_start(ring, nodes);
	while (ring->now < began + 60 * S && known < nodes + 1) {
		swarm_run(ring, 100 * MS);
		known = 0;
		for (unsigned int i = 0; i <= nodes; i++)
			known += swarm_members(ring, i) == nodes + 1;
	}
	print_message("# %u nodes, one joins: all know after %.1f s and %llu bytes a node\n", nodes,
	    (double)(ring->now - began) / S, (unsigned long long)(ring->bytes - bytes) / nodes);
	assert_true(ring->now < began + 5 * S);
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void a_failure_is_detected_by_all(bool mute)
{
	uint64_t took[FAILURES_MAX], bytes = ring->bytes, stalls = ring->stalls, began = ring->now;
	double us;

	stalls_on(ring);
	alarms = 0;
	cost(ring);
	for (unsigned int i = 0; i < FAILURES_MAX; i++) {
		memset(&failure, 0, sizeof(failure));
		failure.node = (unsigned int)swarm_random(ring, nodes);
		failure.at = ring->now;
		swarm_stop(ring, failure.node, mute);
		while (failure.all == 0 && ring->now < failure.at + 60 * S)
			swarm_run(ring, 100 * MS);
		assert_true(failure.all > 0);
		took[i] = failure.all - failure.at;
		swarm_start(ring, failure.node);
		swarm_run(ring, 10 * S);
	}
	us = cost(ring);
	qsort(took, FAILURES_MAX, sizeof(*took), by_time);
	print_message("# %u nodes, %u %s: all know after %.1f s (median), %.1f s (worst); %llu stalls, %u false alarms; "
	    "a node and second: %.0f bytes, %.0f us of processor\n", nodes, FAILURES_MAX, mute ? "without power" : "without their process",
	    (double)took[FAILURES_MAX / 2] / S, (double)took[FAILURES_MAX - 1] / S, (unsigned long long)(ring->stalls - stalls), alarms,
	    (double)(ring->bytes - bytes) / nodes / ((double)(ring->now - began) / S), us);
	assert_true(took[FAILURES_MAX / 2] <= 15 * S);
	assert_true(took[FAILURES_MAX - 1] <= 25 * S);
	assert_int_equal(alarms, 0);
}

static void a_machine_that_loses_its_power_is_soon_known_to_all(void **state)
{
	(void)state;
	a_failure_is_detected_by_all(true);
}

static void a_process_that_dies_is_soon_known_to_all(void **state)
{
	(void)state;
	a_failure_is_detected_by_all(false);
}

static void many_at_once_are_soon_known_to_all(void **state)
{
	uint64_t began;
	unsigned int left = nodes / 10, wrong = 1;

	(void)state;
	memset(&failure, 0, sizeof(failure));
	for (unsigned int i = 0; i < left; i++)
		swarm_stop(ring, 1 + i * 10, i % 2);
	began = ring->now;
	while (wrong > 0 && ring->now < began + 60 * S) {
		swarm_run(ring, 500 * MS);
		wrong = 0;
		for (unsigned int i = 0; i < left; i++)
			wrong += swarm_down(ring, 1 + i * 10) < swarm_running(ring);
	}
	print_message("# %u nodes, a tenth of them at once: all know after %.1f s, %u false alarms\n", nodes,
	    (double)(ring->now - began) / S, alarms);
	assert_int_equal(wrong, 0);
	assert_true(ring->now <= began + 25 * S);
	/* Dials to fifty machines without power hold up that to a living one who was doubted: rare, and of one node's view. */
	assert_true(alarms <= nodes / 100);
	swarm_free(ring);
	ring = NULL;
}

/* ---- small rings ---- */

static uint64_t incarnations(struct swarm *s, unsigned int but)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < s->count; i++)
		if (i != but)
			sum += s->node[i].node->self->incarnation;
	return sum;
}

/* Its own slowness would make it doubt each of the others in turn. */
static void who_is_slow_condemns_nobody(void **state)
{
	struct swarm *s = running(SMALL, 0);
	uint64_t was;

	(void)state;
	s->node[3].slow = 700 * MS;	/* an answer takes longer than a probe */
	swarm_run(s, 60 * S);
	was = incarnations(s, 3);
	swarm_run(s, 300 * S);
	assert_int_equal(alarms, 0);
	/* Refutations: each is a doubt. */
	print_message("# %u nodes, one slow: %llu doubts in 300 s, health %u\n", SMALL, (unsigned long long)(incarnations(s, 3) - was),
	    s->node[3].node->membership->swim.health);
	assert_true(incarnations(s, 3) - was <= 30);
	swarm_free(s);
}

static void who_stands_still_now_and_then_condemns_nobody(void **state)
{
	struct swarm *s = running(SMALL, 0);
	uint64_t was = incarnations(s, 3);

	(void)state;
	for (unsigned int i = 0; i < 300; i++) {
		s->node[3].paused = s->now + 1500 * MS + swarm_random(s, S);
		swarm_run(s, 5 * S);
	}
	print_message("# %u nodes, one stands still 300 times: %llu doubts\n", SMALL, (unsigned long long)(incarnations(s, 3) - was));
	assert_int_equal(alarms, 0);
	assert_true(incarnations(s, 3) - was <= 10);
	swarm_free(s);
}

static void who_slept_for_long_condemns_nobody(void **state)
{
	struct swarm *s = running(SMALL, 0);

	(void)state;
	s->node[3].paused = s->now + 60 * S;
	swarm_run(s, 59 * S);
	assert_int_equal(swarm_down(s, 3), SMALL - 1);
	alarms = 0;
	swarm_run(s, 20 * S);
	assert_int_equal(alarms, 0);
	assert_int_equal(swarm_down(s, 3), 0);
	swarm_free(s);
}

static void two_halves_of_a_ring_heal(void **state)
{
	struct swarm *s = running(SMALL, 0);
	uint64_t began;
	unsigned int down = 1;

	(void)state;
	for (unsigned int i = 0; i < SMALL; i += 2)
		swarm_cut(s, i, 1);
	swarm_run(s, 60 * S);
	for (unsigned int i = 0; i < SMALL; i++)
		assert_int_equal(swarm_down(s, i), SMALL / 2);
	for (unsigned int i = 0; i < SMALL; i += 2)
		swarm_cut(s, i, 0);
	for (began = s->now; down > 0 && s->now < began + 120 * S; swarm_run(s, 100 * MS)) {
		down = 0;
		for (unsigned int i = 0; i < SMALL; i++)
			down += swarm_down(s, i);
	}
	print_message("# %u nodes, two halves: all know of all %.1f s after\n", SMALL, (double)(s->now - began) / S);
	assert_int_equal(down, 0);
	all_agree_and_rest(s);
	swarm_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_ring_starts_at_once),
		cmocka_unit_test(rest_is_cheap),
		cmocka_unit_test(who_joins_is_soon_known_to_all),
		cmocka_unit_test(a_machine_that_loses_its_power_is_soon_known_to_all),
		cmocka_unit_test(a_process_that_dies_is_soon_known_to_all),
		cmocka_unit_test(many_at_once_are_soon_known_to_all),
		cmocka_unit_test(who_is_slow_condemns_nobody),
		cmocka_unit_test(who_stands_still_now_and_then_condemns_nobody),
		cmocka_unit_test(who_slept_for_long_condemns_nobody),
		cmocka_unit_test(two_halves_of_a_ring_heal),
	};

	seed = suite_seed(1);
	if (getenv("SOAK"))
		nodes = 1000;
	if (getenv("NODES"))
		nodes = (unsigned int)atoi(getenv("NODES"));
	return suite_run(tests);
}
