/* timers against a model that looks at all of them each time.  SEED=n replays the random part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/node_core.h"
#include "tests/lib/suite.h"

#define MANY 300u

struct probe {
	struct timer timer;
	unsigned int name;
	bool again;			/* it sets itself once more */
	struct probe *stops, *sets;
};

static uint64_t seed;
static unsigned int order[1024], fired;

static void due(struct node *n, struct timer *t)
{
	struct probe *p = list_item(t, struct probe, timer);

	assert_false(timer_busy(t));
	assert_true(fired < sizeof(order) / sizeof(*order));
	order[fired++] = p->name;
	if (p->again) {
		p->again = false;
		timer_set(n, t, n->now);
	}
	if (p->stops)
		timer_stop(n, &p->stops->timer);
	if (p->sets)
		timer_set(n, &p->sets->timer, n->now - 5);
}

static struct probe probe(unsigned int name)
{
	return (struct probe){ .timer.due = due, .name = name };
}

static void run_until(struct node *n, uint64_t now)
{
	n->now = now;
	timers_run(n);
}

static void timers_are_due_in_the_order_of_their_times(void **state)
{
	struct node n = { .now = 100 };
	struct probe p[5];

	(void)state;
	fired = 0;
	for (unsigned int i = 0; i < 5; i++) {
		p[i] = probe(i);
		timer_set(&n, &p[i].timer, 200 - 10 * i);
	}
	assert_int_equal(n.timer_count, 5);
	assert_int_equal(timers_next(&n), 160);
	run_until(&n, 159);
	assert_int_equal(fired, 0);
	run_until(&n, 180);
	assert_int_equal(fired, 3);
	assert_int_equal(timers_next(&n), 190);
	run_until(&n, 1000);
	assert_int_equal(fired, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(order[i], 4 - i);
	assert_int_equal(timers_next(&n), UINT64_MAX);
	assert_int_equal(n.timer_count, 0);
}

static void equal_times_are_due_in_the_order_in_which_they_were_set(void **state)
{
	struct node n = { .now = 100 };
	struct probe p[64];

	(void)state;
	fired = 0;
	for (unsigned int i = 0; i < 64; i++) {
		p[i] = probe(i);
		timer_set(&n, &p[i].timer, 150);
	}
	/* Set anew, it is the last. */
	timer_set(&n, &p[10].timer, 150);
	run_until(&n, 150);
	assert_int_equal(fired, 64);
	for (unsigned int i = 0; i < 63; i++)
		assert_int_equal(order[i], i < 10 ? i : i + 1);
	assert_int_equal(order[63], 10);
}

static void what_is_not_in_the_future_is_due_a_microsecond_later(void **state)
{
	struct node n = { .now = 100 };
	struct probe p = probe(0);

	(void)state;
	fired = 0;
	timer_set(&n, &p.timer, 0);
	timers_run(&n);
	assert_int_equal(fired, 0);
	assert_int_equal(timers_next(&n), 101);
	p.again = true;
	run_until(&n, 101);
	assert_int_equal(fired, 1);
	assert_int_equal(timers_next(&n), 102);
	timer_stop(&n, &p.timer);
}

static void a_timer_that_is_moved_is_due_once(void **state)
{
	struct node n = { .now = 100 };
	struct probe p = probe(0);

	(void)state;
	fired = 0;
	timer_set(&n, &p.timer, 200);
	timer_set(&n, &p.timer, 150);
	timer_set(&n, &p.timer, 300);
	assert_int_equal(n.timer_count, 1);
	run_until(&n, 299);
	assert_int_equal(fired, 0);
	run_until(&n, 300);
	run_until(&n, 400);
	assert_int_equal(fired, 1);
}

static void one_that_is_stopped_by_another_of_the_same_time_is_not_due(void **state)
{
	struct node n = { .now = 100 };
	struct probe a = probe(0), b = probe(1), c = probe(2);

	(void)state;
	fired = 0;
	a.stops = &b;
	c.sets = &b;
	timer_set(&n, &a.timer, 150);
	timer_set(&n, &b.timer, 150);
	timer_set(&n, &c.timer, 150);
	run_until(&n, 150);
	assert_int_equal(fired, 2);
	assert_int_equal(order[1], 2);
	assert_true(timer_busy(&b.timer));
	run_until(&n, 151);
	assert_int_equal(fired, 3);
	/* Stopping what is not set does nothing. */
	timer_stop(&n, &b.timer);
	timer_stop(&n, &b.timer);
	assert_int_equal(n.timer_count, 0);
}

static uint64_t next_random(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* The first of those that the model knows of. */
static struct probe *earliest(struct probe *p)
{
	struct probe *best = NULL;

	for (unsigned int i = 0; i < MANY; i++)
		if (p[i].timer.set && (!best || p[i].timer.at < best->timer.at ||
		    (p[i].timer.at == best->timer.at && p[i].timer.order < best->timer.order)))
			best = &p[i];
	return best;
}

static void any_order_of_setting_moving_and_stopping_agrees_with_the_model(void **state)
{
	struct node n = { .now = 1000 };
	static struct probe p[MANY];
	uint64_t began = seed;

	(void)state;
	print_message("# SEED=%llu\n", (unsigned long long)began);
	for (unsigned int i = 0; i < MANY; i++)
		p[i] = probe(i);
	for (unsigned int step = 0; step < 20000; step++) {
		struct probe *any = &p[next_random() % MANY], *first;

		switch (next_random() % 8) {
		case 0:
			timer_stop(&n, &any->timer);
			break;
		case 1:
			first = earliest(p);
			if (!first)
				break;
			fired = 0;
			n.now = first->timer.at;
			for (struct probe *e; (e = earliest(p)) && e->timer.at <= n.now; e->timer.set = false)
				order[512 + fired++] = e->name;
			/* The model has marked them; they are set as they were. */
			for (unsigned int i = 0; i < fired; i++)
				p[order[512 + i]].timer.set = true;
			fired = 0;
			timers_run(&n);
			assert_true(fired > 0);
			assert_memory_equal(order, order + 512, fired * sizeof(*order));
			break;
		default:
			timer_set(&n, &any->timer, n.now + next_random() % 50);
		}
		assert_int_equal(timers_next(&n), earliest(p) ? earliest(p)->timer.at : UINT64_MAX);
	}
	for (unsigned int i = 0; i < MANY; i++)
		timer_stop(&n, &p[i].timer);
	assert_int_equal(n.timer_count, 0);
	assert_null(n.timers);
}

/* A heap that leans on recursion, or looks at all for one, would not end in time. */
static void a_million_timers_cost_no_stack_and_little_time(void **state)
{
	enum { MILLION = 1000000 };
	struct node n = { .now = 1 };
	struct probe *p = calloc(MILLION, sizeof(*p));
	uint64_t last = 0;

	(void)state;
	assert_non_null(p);
	for (unsigned int i = 0; i < MILLION; i++) {
		p[i] = probe(i);
		timer_set(&n, &p[i].timer, 10 + (i % 2 ? i : MILLION - i));
	}
	for (unsigned int i = 0; i < MILLION; i += 3)
		timer_stop(&n, &p[i].timer);
	for (unsigned int i = 0; i < 1000; i++) {
		struct timer *t = n.timers;

		assert_true(t->at >= last);
		last = t->at;
		timer_stop(&n, t);
	}
	for (unsigned int i = 0; i < MILLION; i++)
		timer_stop(&n, &p[i].timer);
	assert_int_equal(n.timer_count, 0);
	free(p);
}

static void random_numbers_follow_from_the_seed_and_are_even(void **state)
{
	struct node a = { .now = 0 }, b = a, c = a;
	unsigned int count[7] = { 0 }, same = 0;

	(void)state;
	random_seed(&a, 5);
	random_seed(&b, 5);
	random_seed(&c, 6);
	for (unsigned int i = 0; i < 70000; i++) {
		uint64_t v = node_random(&a, 7);

		assert_true(v < 7);
		assert_int_equal(node_random(&b, 7), v);
		same += node_random(&c, 7) == v;
		count[v]++;
	}
	for (unsigned int i = 0; i < 7; i++)
		assert_in_range(count[i], 9500, 10500);
	assert_in_range(same, 9500, 10500);
	/* A bound that a remainder would not be even below. */
	same = 0;
	for (unsigned int i = 0; i < 30000; i++)
		same += node_random(&a, UINT64_C(3) << 62) < UINT64_C(1) << 62;
	assert_in_range(same, 9500, 10500);
	for (unsigned int i = 0; i < 1000; i++)
		assert_in_range(node_jitter(&a, 800), 700, 900);
	assert_int_equal(node_jitter(&a, 0), 0);
	assert_int_equal(node_random(&a, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_are_due_in_the_order_of_their_times),
		cmocka_unit_test(equal_times_are_due_in_the_order_in_which_they_were_set),
		cmocka_unit_test(what_is_not_in_the_future_is_due_a_microsecond_later),
		cmocka_unit_test(a_timer_that_is_moved_is_due_once),
		cmocka_unit_test(one_that_is_stopped_by_another_of_the_same_time_is_not_due),
		cmocka_unit_test(any_order_of_setting_moving_and_stopping_agrees_with_the_model),
		cmocka_unit_test(a_million_timers_cost_no_stack_and_little_time),
		cmocka_unit_test(random_numbers_follow_from_the_seed_and_are_even),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
