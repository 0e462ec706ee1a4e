/*
 * Runs that measure, each a world of its own that has been grown (grown.h), not born, so that what is measured is the ring at work.  A
 * row says what was measured and what it may be at most; the exit status says whether all are good.
 */
#include "tests/sim/scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/books.h"
#include "tests/sim/check.h"
#include "tests/sim/faults.h"
#include "tests/sim/grown.h"
#include "tests/sim/host.h"
#include "tests/sim/load.h"
#include "tests/sim/network.h"
#include "tests/sim/run.h"

static uint64_t wall_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec / 1000;
}

/* A row of the table: what was measured, and what it may be at most. */
static bool row(const char *what, double value, const char *unit, double most)
{
	bool good = value <= most;

	printf("| %-58s | %10.3g %-3s | %8.3g | %s |\n", what, value, unit, most, good ? "yes" : "NO");
	fflush(stdout);
	return good;
}

static bool judged(struct world *w, const char *name)
{
	if (w->verdict.failed)
		printf("%s, seed %llu: FAILED: %s: %s (at %.3f s)\n", name, (unsigned long long)w->options.seed, w->verdict.checker,
		    w->verdict.text, (double)w->verdict.at / S);
	return !w->verdict.failed;
}

/* A ring of machines in some places of one continent. */
static struct options options_of(uint64_t seed, unsigned int nodes)
{
	return (struct options){
		.seed = seed, .nodes = nodes, .replicas = 3, .acks = 2, .parts = PART_ALL, .chunks = 5000, .chunk_min = 200,
		.chunk_max = 2000, .volumes = 4, .latency_min = 500, .latency_max = 40 * MS, .bandwidth = 100000000,
		.load_every = 50 * MS, .settle_us = 3600 * (uint64_t)S,
	};
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t percentile(uint64_t *v, size_t n, unsigned int permille)
{
	if (n == 0)
		return 0;
	qsort(v, n, sizeof(*v), by_value);
	return v[(n - 1) * permille / 1000];
}

/* ---- 1,000 nodes for an hour ---- */

#define PROGRESS (60 * S)

/* For who waits: how far it is. */
static void fire_progress(struct world *w, void *arg, uint64_t unused)
{
	(void)arg;
	(void)unused;
	printf("# %llu s: %llu events, %u connections, %.1f s of processor time\n", (unsigned long long)(w->now / S),
	    (unsigned long long)w->events, network_connections(w), (double)cpu_now() / S);
	fflush(stdout);
	world_plan(w, w->now + PROGRESS, fire_progress, NULL, 0);
}

/* What happens ${an_hour} times an hour: how often in ${us}?  Once at least. */
static unsigned int share_of_hour(unsigned int an_hour, uint64_t us)
{
	uint64_t n = an_hour * us / (3600 * (uint64_t)S);

	return n > 0 ? (unsigned int)n : 1;
}

static bool hour(uint64_t seed, unsigned int nodes, uint64_t us)
{
	struct options o = options_of(seed, nodes);
	uint64_t cpu = cpu_now(), wall = wall_now();
	struct reads reads;
	struct world *w;
	char name[80];
	bool good;

	world_new(&o, &w);
	grown_ring(w);
	world_plan(w, PROGRESS / 6, fire_progress, NULL, 0);
	if (grown_start(w, 60 * S)) {
		printf("# all run after %llu s, %.1f s of processor time\n", (unsigned long long)(w->now / S),
		    (double)(cpu_now() - cpu) / S);
		fflush(stdout);
		check_memory_always(w);
		load_start(w);
		faults_churn(w, share_of_hour(nodes / 10, us), share_of_hour(nodes / 100, us), us);
		world_run(w, w->now + us);
		load_stop(w);
	}
	hosts_reads(w, &reads);
	good = judged(w, "hour");
	printf("# %llu events, %u connections, %zu MB, %zu KB in a node at most; %llu of %llu fetches failed, %llu of %llu inserts\n",
	    (unsigned long long)w->events, network_connections(w), heap_memory() >> 20, w->memory_max >> 10,
	    (unsigned long long)load_figures(w)->fetches_failed, (unsigned long long)load_figures(w)->fetches,
	    (unsigned long long)load_figures(w)->inserts_failed, (unsigned long long)load_figures(w)->inserts);
	snprintf(name, sizeof(name), "%u nodes for %llu s: processor time", nodes, (unsigned long long)(us / S));
	good &= row(name, (double)(cpu_now() - cpu) / S, "s", 600);
	row("the same: on the clock", (double)(wall_now() - wall) / S, "s", 600);
	/* The few at the start are as many in a minute as in an hour. */
	good &= row("lookups of more than one round trip, under that churn",
	    100.0 - 100.0 * (double)reads.one_trip / (double)(reads.all ? reads.all : 1), "%", us < 3600 * (uint64_t)S ? 2 : 1);
	good &= run_settled(w, 3600 * (uint64_t)S) && judged(w, "hour");
	world_free(w);
	return good;
}

/* ---- failure detection ---- */

#define DEATHS 15u
#define STALLED_PERMILLE 10u

/* How many think that anybody, and more than ${dead}, are down. */
static unsigned int believers(struct world *w, unsigned int dead, bool *wrongly)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < w->hosts; i++) {
		struct node_status s;

		if (!w->host[i]->node)
			continue;
		node_status(w->host[i]->node, &s);
		n += s.down >= dead && dead > 0;
		*wrongly |= s.down > dead;
	}
	return n;
}

/* Until ${many} of them believe it; at most a minute. */
static uint64_t detected(struct world *w, unsigned int dead, unsigned int many, bool *wrongly)
{
	uint64_t from = w->now;

	while (believers(w, dead, wrongly) < many && w->now < from + 60 * S && !w->verdict.failed) {
		if ((w->now - from) % (1 * S) == 0)
			network_stall(w, STALLED_PERMILLE, w->now + 1 * S);
		world_run(w, w->now + 100 * MS);
	}
	return w->now - from;
}

static bool detect(uint64_t seed, unsigned int nodes)
{
	struct options o = options_of(seed, nodes);
	uint64_t first[DEATHS], all[DEATHS];
	bool wrongly = false, good;
	struct world *w;
	char name[80];

	world_new(&o, &w);
	grown_ring(w);
	if (!grown_start(w, 60 * S))
		return judged(w, "detect");
	world_run(w, w->now + 60 * S);
	for (unsigned int i = 0; i < DEATHS; i++) {
		struct host *h = w->host[dice_below(&w->dice, w->hosts)];

		host_stop(h, true);
		first[i] = detected(w, 1, 1, &wrongly);
		all[i] = first[i] + detected(w, 1, w->hosts - 1, &wrongly);
		host_power(h);
		host_start(h);
		run_settled(w, 300 * S);
	}
	good = judged(w, "detect");
	snprintf(name, sizeof(name), "a failure known to all of %u nodes, median", nodes);
	good &= row(name, (double)percentile(all, DEATHS, 500) / S, "s", 15);
	good &= row("the same, worst", (double)percentile(all, DEATHS, 1000) / S, "s", 25);
	good &= row("taken as down and was not, 1 % of connections stalling", wrongly, "", 0);
	world_free(w);
	return good;
}

/* ---- a lost disk ---- */

#define RESTORE_NODES  6u
#define RESTORE_CHUNKS 200000u		/* of which each node has half */
#define RESTORE_LEN    8192u

static uint64_t all_bytes(const struct world *w)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < w->hosts; i++)
		for (unsigned int p = 0; p < LINK_PRIORITIES; p++)
			sum += w->host[i]->sent_bytes[p];
	return sum;
}

static bool restore(uint64_t seed, unsigned int chunks)
{
	struct options o = options_of(seed, RESTORE_NODES);
	uint64_t lost, before, from;
	struct world *w;
	bool good;

	o.volumes = 0;
	world_new(&o, &w);
	grown_ring(w);
	grown_chunks(w, chunks, RESTORE_LEN);
	if (!grown_start(w, 10 * S))
		return judged(w, "restore");
	world_run(w, w->now + 60 * S);
	lost = w->host[1]->disk->used;
	host_stop(w->host[1], true);
	disk_wipe(w->host[1]->disk);
	world_run(w, w->now + 30 * S);
	host_power(w->host[1]);
	before = all_bytes(w);
	from = w->now;
	host_start(w->host[1]);
	good = run_settled(w, 2 * 3600 * (uint64_t)S) && judged(w, "restore");
	judged(w, "restore");
	printf("# %llu chunks lost, %llu bytes; restored after %llu s\n", (unsigned long long)(lost / RESTORE_LEN),
	    (unsigned long long)lost, (unsigned long long)((w->now - from) / S));
	good &= row("all bytes sent until all copies are restored, to those lost", (double)(all_bytes(w) - before) / (double)lost, "x",
	    1.3);
	world_free(w);
	return good;
}

/* ---- a stalled owner ---- */

#define STALL_NODES  20u
#define STALL_CHUNKS 4000u
#define STALL_US     (300 * S)

/* Reads of what ${owner} has too, by those that have it not: 20 a second. */
static void read_for(struct world *w, const struct host *owner, uint64_t us)
{
	uint64_t until = w->now + us;

	while (w->now < until && !w->verdict.failed) {
		struct item *i = books_item(w, (unsigned int)dice_below(&w->dice, books_count(w)));
		struct host *h = host_any(w, &w->dice);

		if (h && h != owner && books_has(i, owner) && !books_has(i, h)) {
			load_fetch(w, h, i, true);
			world_run(w, w->now + 50 * MS);
		}
	}
	world_run(w, w->now + 20 * S);
}

static bool stalled(uint64_t seed)
{
	struct options o = options_of(seed, STALL_NODES);
	struct reads reads;
	uint64_t healthy, sick;
	struct world *w;
	bool good;

	o.volumes = 0;
	o.plant = PLANT_NONE;
	world_new(&o, &w);
	grown_ring(w);
	grown_chunks(w, STALL_CHUNKS, 1000);
	if (!grown_start(w, 10 * S))
		return judged(w, "stalled");
	/* No room to cache what was read: all reads go to the owners. */
	for (unsigned int i = 0; i < w->hosts; i++)
		w->host[i]->disk->capacity = w->host[i]->disk->used;
	/* Latencies are learned by reading. */
	read_for(w, w->host[1], STALL_US);
	load_forget_figures(w);
	read_for(w, w->host[1], STALL_US);
	healthy = percentile(load_figures(w)->latency, load_figures(w)->latencies, 990);
	load_forget_figures(w);
	w->host[1]->disk->slow = 100000;	/* its disk hangs; it still says that it lives */
	read_for(w, w->host[1], STALL_US);
	hosts_reads(w, &reads);
	sick = percentile(load_figures(w)->latency, load_figures(w)->latencies, 990);
	good = judged(w, "stalled");
	printf("# p99 %.1f ms healthy, %.1f ms with one of three owners stalled, of %zu reads\n", (double)healthy / MS, (double)sick / MS,
	    load_figures(w)->latencies);
	good &= row("p99 of reads with one of three owners stalled, to healthy", (double)sick / (double)(healthy ? healthy : 1), "x", 2);
	good &= row("reads with a second request, of all", 100.0 * (double)reads.hedged / (double)(reads.all ? reads.all : 1), "%", 5);
	world_free(w);
	return good;
}

/* ---- all ---- */

bool scenario_run(const char *name, uint64_t seed)
{
	if (strcmp(name, "hour") == 0)
		return hour(seed, 1000, 3600 * (uint64_t)S);
	if (strcmp(name, "minute") == 0)
		return hour(seed, 1000, 60 * S);
	if (strcmp(name, "small-hour") == 0)
		return hour(seed, 100, 3600 * (uint64_t)S);
	if (strcmp(name, "detect") == 0)
		return detect(seed, 1000);
	if (strcmp(name, "small-detect") == 0)
		return detect(seed, 100);
	if (strcmp(name, "restore") == 0)
		return restore(seed, RESTORE_CHUNKS);
	if (strcmp(name, "small-restore") == 0)
		return restore(seed, RESTORE_CHUNKS / 10);
	if (strcmp(name, "stalled") == 0)
		return stalled(seed);
	fprintf(stderr, "sim: no such scenario: %s; there are hour, detect, restore, stalled\n", name);
	return false;
}

bool scenarios_all(uint64_t seed)
{
	static const char *const name[] = { "stalled", "restore", "detect", "hour" };
	bool good = true;

	printf("| %-58s | %-14s | at most  | so  |\n|---|---|---|---|\n", "what", "measured");
	for (unsigned int i = 0; i < sizeof(name) / sizeof(*name); i++)
		good &= scenario_run(name[i], seed);
	return good;
}
