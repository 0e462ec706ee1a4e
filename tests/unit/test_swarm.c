/*
 * Membership of a hundred nodes (SOAK=1: a thousand) on a network that delays and stalls: what it costs, and how long it
 * takes until all know.  SEED=n replays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/lib/swarm.h"

#define FAILURES_MAX 64u

static unsigned int nodes = 100;
static uint64_t seed;

/* A node that was stopped, and who has it down. */
struct failure {
	unsigned int node, known;
	uint64_t at, all;
};

static struct failure failure[FAILURES_MAX];
static unsigned int failures, needed, alarms;

static double processor(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_log(struct swarm *s, unsigned int at, const char *text)
{
	unsigned int node;
	char end;

	if (getenv("SWARM_LOG"))
		printf("# %llu.%03llu %u: %s\n", (unsigned long long)(s->now / S), (unsigned long long)(s->now / MS % 1000), at, text);
	if (sscanf(text, "node:%u does not answer: taken as dow%c", &node, &end) != 2 || end != 'n')
		return;
	alarms += s->node[node].node != NULL;
	for (unsigned int i = 0; i < failures; i++)
		if (failure[i].node == node && ++failure[i].known == needed)
			failure[i].all = s->now;
}

/* A ring that has been running, as after a power cut: each knows all from its disk. */
static struct swarm *running(unsigned int count)
{
	struct swarm *s = swarm_new(count, seed);

	failures = alarms = 0;
	s->log = on_log;
	swarm_known(s, count);
	for (unsigned int i = 0; i < count; i++)
		swarm_start(s, i);
	return s;
}

static void all_agree_and_rest(struct swarm *s)
{
	for (unsigned int i = 0; i < 120 && swarm_agree(s) < swarm_running(s); i++)
		swarm_run(s, S);
	assert_int_equal(swarm_agree(s), swarm_running(s));
	swarm_run(s, 30 * S);
}

static void stalls_on(struct swarm *s)
{
	/* 1 of 100 at any time, each for seconds. */
	s->stall_for = 4 * S;
	s->stall_every = 99 * s->stall_for;
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void a_failure_is_detected_by_all(bool mute)
{
	struct swarm *s = running(nodes);
	uint64_t took[FAILURES_MAX];
	unsigned int count = nodes >= 1000 ? 40 : 20;
	double cpu;

	all_agree_and_rest(s);
	stalls_on(s);
	needed = nodes - 1;
	cpu = processor();
	for (unsigned int i = 0; i < count; i++) {
		unsigned int node = (unsigned int)swarm_random(s, nodes);

		while (!s->node[node].node)
			node = (node + 1) % nodes;
		failures = 1;
		failure[0] = (struct failure){ .node = node, .at = s->now };
		swarm_stop(s, node, mute);
		swarm_run(s, 30 * S);
		assert_true(failure[0].all > 0);
		took[i] = failure[0].all - failure[0].at;
		swarm_start(s, node);
		swarm_run(s, 30 * S);
	}
	qsort(took, count, sizeof(*took), by_time);
	print_message("# %u nodes, %u failures: median %.1f s, worst %.1f s; %llu stalls, %u false; %.0f us a node and second\n",
	    nodes, count, (double)took[count / 2] / S, (double)took[count - 1] / S, (unsigned long long)s->stalls, alarms,
	    (processor() - cpu) * 1e6 / nodes / count / 60);
	assert_true(took[count / 2] <= 15 * S);
	assert_true(took[count - 1] <= 25 * S);
	assert_int_equal(alarms, 0);
	swarm_free(s);
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

static void rest_is_cheap(void **state)
{
	struct swarm *s = running(nodes);
	uint64_t bytes, messages, dials;
	double cpu = processor();

	(void)state;
	all_agree_and_rest(s);
	print_message("# start: %.0f us a node and second, %llu s, %llu bytes a node\n", (processor() - cpu) * 1e6 / nodes / ((double)s->now / S),
	    (unsigned long long)(s->now / S), (unsigned long long)s->bytes / nodes);
	cpu = processor();
	bytes = s->bytes;
	messages = s->messages;
	dials = s->dials;
	swarm_run(s, 120 * S);
	cpu = (processor() - cpu) * 1e6 / nodes / 120;
	print_message("# %u nodes at rest, a node and second: %.1f messages, %.0f bytes, %.2f dials, %.0f us of processor\n", nodes,
	    (double)(s->messages - messages) / nodes / 120, (double)(s->bytes - bytes) / nodes / 120,
	    (double)(s->dials - dials) / nodes / 120, cpu);
	swarm_free(s);
}

static void a_member_that_joins_is_soon_known_to_all(void **state)
{
	struct swarm *s = swarm_new(nodes + 1, seed);
	uint64_t began;

	(void)state;
	failures = alarms = 0;
	s->log = on_log;
	swarm_known(s, nodes);
	for (unsigned int i = 0; i < nodes; i++)
		swarm_start(s, i);
	all_agree_and_rest(s);
	began = s->now;
	s->node[nodes].starts = 0;
	swarm_start(s, nodes);
	while (s->now < began + 60 * S) {
		unsigned int known = 0;

		swarm_run(s, 100 * MS);
		for (unsigned int i = 0; i <= nodes; i++)
			known += swarm_members(s, i) == nodes + 1;
		if (known == nodes + 1)
			break;
	}
	print_message("# %u nodes, one joins: all know after %.1f s\n", nodes, (double)(s->now - began) / S);
	assert_true(s->now < began + 15 * S);
	swarm_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rest_is_cheap),
		cmocka_unit_test(a_member_that_joins_is_soon_known_to_all),
		cmocka_unit_test(a_machine_that_loses_its_power_is_soon_known_to_all),
		cmocka_unit_test(a_process_that_dies_is_soon_known_to_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;
	if (getenv("SOAK"))
		nodes = 1000;
	if (getenv("NODES"))
		nodes = (unsigned int)atoi(getenv("NODES"));
	printf("# SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
