/*
 * A run has phases: nodes are born, users and nemesis are at work, all is healed, all settles, all is read, what nobody leases goes.  Each ends
 * when it is over, or has a bound, and then fails; a checker that fails ends them all.
 */
#include "tests/sim/run.h"

#include <time.h>

#include "tests/sim/books.h"
#include "tests/sim/check.h"
#include "tests/sim/faults.h"
#include "tests/sim/host.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define BORN_US	 (900 * S)	/* from the first start until all have one table, and nothing is missing */
#define LOOK_US	 (5 * S)
#define FAULT_US (120 * S)	/* no fault lasts longer */
#define DRAIN_US (3600 * (uint64_t)S)	/* the longest that any command may take: then those that wait are late */

uint64_t cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec / 1000;
}

static void fire_first(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)w;
	(void)unused;
	host_start(h);
}

bool run_settled(struct world *w, uint64_t us)
{
	uint64_t until = w->now + us;
	char why[300] = "";

	while (w->now < until && !w->verdict.failed) {
		if (check_settled(w, why, sizeof(why)))
			return true;
		world_run(w, w->now + LOOK_US);
	}
	world_fail(w, "convergence", "after %llu s %s", (unsigned long long)(us / S), why);
	return false;
}

bool run_born(struct world *w)
{
	trace(w, NULL, TRACE_PHASE, 1, 0, "%u nodes start", w->options.nodes);
	for (unsigned int i = 0; i < w->options.nodes; i++) {
		struct host *h = host_new(w);

		h->member = true;
		world_plan(w, i == 0 ? 0 : dice_below(&w->dice, 3 * S), fire_first, h, 0);
	}
	books_changed(w);
	check_memory_always(w);
	return run_settled(w, BORN_US);
}

/* All that was asked for is answered; it fails where it is not (load.c looks). */
static bool answered(struct world *w)
{
	uint64_t until = w->now + DRAIN_US;

	while (load_waiting(w) > 0 && w->now < until && !w->verdict.failed)
		world_run(w, w->now + 1 * S);
	return !w->verdict.failed;
}

/* Those that stand still, or crawled, are through with what they had to do. */
static void awake(struct world *w)
{
	uint64_t until = w->now;

	for (unsigned int i = 0; i < w->hosts; i++)
		if (w->host[i]->node && host_ready(w->host[i]) > until)
			until = host_ready(w->host[i]);
	world_run(w, until);
}

/* Stores re-read all they have: what has rotted is read, found bad, and fetched again; or later, while others are thought to be down. */
static void scrub(struct world *w)
{
	for (unsigned int i = 0; i < w->hosts; i++) {
		struct host *h = w->host[i];
		const struct record *r = NULL;

		while (h->node && !h->gone && !h->liar && (r = disk_next_rotten(h->disk, r)))
			load_fetch(w, h, books_find(w, &r->address), false);
	}
}

/* All that volumes want now is leased, as far as that can be. */
static bool leased(struct world *w)
{
	if (w->options.parts & PART_LEASE)
		for (unsigned int i = 0; i < 60 && !load_lease_all(w) && answered(w); i++)
			world_run(w, w->now + 1 * S);
	return answered(w);
}

static bool healed(struct world *w)
{
	load_stop(w);
	faults_heal(w);
	plants_heal(w);
	if (!answered(w))
		return false;
	awake(w);
	check_traffic_start(w);
	scrub(w);
	return leased(w) && run_settled(w, w->options.settle_us);
}

/* A machine misses what is dropped meanwhile, and brings its copies and leases of before when it comes back. */
static bool away(struct world *w)
{
	struct host *h = w->host[0];

	if (w->options.away_us == 0 || !h->node)
		return true;
	/* A start of it may be planned yet, by what went wrong before. */
	if (!world_run(w, w->now + FAULT_US))
		return false;
	host_stop(h, true);
	load_drop_some(w);
	if (!leased(w) || !world_run(w, w->now + w->options.away_us))
		return false;
	host_power(h);
	host_start(h);
	/* Leases that had to wait for it. */
	return world_run(w, w->now + 60 * S) && leased(w);
}

static bool deleted(struct world *w)
{
	uint64_t until = w->now + w->options.delete_us;
	char why[300] = "";

	if (w->options.delete_us == 0)
		return true;
	trace(w, NULL, TRACE_PHASE, 4, 0, "what nobody leases is to go");
	if (!away(w))
		return false;
	while (w->now < until && !w->verdict.failed && !check_deleted(w, why, sizeof(why)))
		world_run(w, w->now + 600 * (uint64_t)S);
	if (!check_deleted(w, why, sizeof(why)))
		world_fail(w, "deletion", "after %llu h %s", (unsigned long long)(w->options.delete_us / S / 3600), why);
	if (!w->verdict.failed)
		plants_deleted(w);
	return !w->verdict.failed;
}

static void live(struct world *w, struct outcome *out)
{
	uint64_t healing;

	if (!run_born(w))
		return;
	trace(w, NULL, TRACE_PHASE, 2, 0, "users and nemesis are at work");
	load_start(w);
	faults_start(w);
	plants_load(w);
	if (!world_run(w, w->now + w->options.load_us))
		return;
	healing = w->now;
	if (!healed(w))
		return;
	out->settled_us = w->now - healing;
	check_traffic(w);
	check_loss(w);
	trace(w, NULL, TRACE_PHASE, 3, 0, "all is read");
	load_read_all(w);
	if (!answered(w) || !deleted(w))
		return;
	check_loss(w);
	check_memory(w);
}

void run(const struct options *o, struct outcome *out)
{
	uint64_t began = cpu_now();
	struct world *w;

	*out = (struct outcome){ 0 };
	world_new(o, &w);
	live(w, out);
	out->verdict = w->verdict;
	trace_hash(w, &out->hash);
	out->virtual_us = w->now;
	out->events = w->events;
	out->traffic_ideal = w->traffic_ideal;
	out->traffic_moved = w->traffic_moved;
	out->memory_max = w->memory_max;
	out->chunks = books_count(w);
	out->hosts = w->hosts;
	out->figures = *load_figures(w);
	out->figures.latency = NULL;
	world_free(w);
	out->cpu_us = cpu_now() - began;
}
