/*
 * sim: the protocol core under a nemesis, in virtual time.
 *
 *	sim --seed N [--trace] [--nodes N] [--faults a,b] [--parts a,b] [--plant NAME]	one run; without its parameters: of the seed
 *	sim --seeds A-B		many; one line each
 *	sim --twice		the same seed twice: the same trace?
 *	sim --scenario NAME, sim --figures	runs that measure
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/run.h"
#include "tests/sim/scenarios.h"

extern const char sim_commit[];

enum option_key {
	OPT_SEED = 1, OPT_SEEDS, OPT_TRACE, OPT_QUIET, OPT_NODES, OPT_FAULTS, OPT_PARTS, OPT_PLANT, OPT_TWICE, OPT_SCENARIO,
	OPT_FIGURES, OPT_LOAD, OPT_SETTLE, OPT_DELETE, OPT_REPLICAS, OPT_ACKS, OPT_CHUNKS, OPT_AWAY, OPT_COUNT,
};

static const struct option long_options[] = {
	{ "seed", required_argument, NULL, OPT_SEED }, { "seeds", required_argument, NULL, OPT_SEEDS },
	{ "trace", no_argument, NULL, OPT_TRACE }, { "quiet", no_argument, NULL, OPT_QUIET },
	{ "nodes", required_argument, NULL, OPT_NODES }, { "faults", required_argument, NULL, OPT_FAULTS },
	{ "parts", required_argument, NULL, OPT_PARTS }, { "plant", required_argument, NULL, OPT_PLANT },
	{ "twice", no_argument, NULL, OPT_TWICE }, { "scenario", required_argument, NULL, OPT_SCENARIO },
	{ "figures", no_argument, NULL, OPT_FIGURES }, { "load", required_argument, NULL, OPT_LOAD },
	{ "settle", required_argument, NULL, OPT_SETTLE }, { "delete", required_argument, NULL, OPT_DELETE },
	{ "replicas", required_argument, NULL, OPT_REPLICAS }, { "acks", required_argument, NULL, OPT_ACKS },
	{ "chunks", required_argument, NULL, OPT_CHUNKS }, { "away", required_argument, NULL, OPT_AWAY }, { NULL, 0, NULL, 0 },
};

struct arguments {
	uint64_t from, to;
	bool twice, quiet, figures;
	const char *scenario;
	const char *given[OPT_COUNT];	/* those that take the place of what the seed says */
};

static _Noreturn void usage(const char *what, const char *name)
{
	fprintf(stderr, "sim: %s: %s\n", what, name);
	exit(2);
}

/* "a,b": a bit each, by its place in ${names}; "all", "none". */
static unsigned int names_read(const char *text, const char *const *names, unsigned int all, const char *what)
{
	char *copy = strdup(text), *rest = copy, *name;
	unsigned int bits = 0, i;

	while ((name = strsep(&rest, ","))) {
		for (i = 0; names[i] && strcmp(names[i], name) != 0; i++)
			;
		if (names[i])
			bits |= 1u << i;
		else if (strcmp(name, "all") == 0)
			bits |= all;
		else if (strcmp(name, "none") != 0)
			usage(what, name);
	}
	free(copy);
	return bits;
}

static void names_print(const char *what, unsigned int bits, const char *const *names)
{
	printf(" %s", what);
	if (bits == 0)
		printf("none");
	for (unsigned int i = 0, first = 1; names[i]; i++)
		if (bits & 1u << i) {
			printf("%s%s", first ? "" : ",", names[i]);
			first = 0;
		}
}

static enum plant plant_read(const char *name)
{
	for (unsigned int i = 0; i < PLANTS; i++)
		if (strcmp(name, plant_names[i]) == 0)
			return (enum plant)i;
	usage("no such plant", name);
}

static void options_given(const struct arguments *a, struct options *o)
{
	const char *const *g = a->given;

	if (g[OPT_NODES])
		o->nodes = (unsigned int)atoi(g[OPT_NODES]);
	if (g[OPT_REPLICAS])
		o->replicas = (unsigned int)atoi(g[OPT_REPLICAS]);
	if (g[OPT_ACKS])
		o->acks = (unsigned int)atoi(g[OPT_ACKS]);
	if (g[OPT_CHUNKS])
		o->chunks = (unsigned int)atoi(g[OPT_CHUNKS]);
	if (g[OPT_LOAD])
		o->load_us = strtoull(g[OPT_LOAD], NULL, 10) * S;
	if (g[OPT_SETTLE])
		o->settle_us = strtoull(g[OPT_SETTLE], NULL, 10) * S;
	if (g[OPT_DELETE])
		o->delete_us = strtoull(g[OPT_DELETE], NULL, 10) * S;
	if (g[OPT_AWAY])
		o->away_us = strtoull(g[OPT_AWAY], NULL, 10) * S;
	if (g[OPT_FAULTS])
		o->faults = names_read(g[OPT_FAULTS], fault_names, FAULT_ALL, "no such fault");
	if ((o->faults & FAULT_LIARS) && o->liars == 0)
		o->liars = o->nodes / 3;
	if (g[OPT_PARTS])
		o->parts = names_read(g[OPT_PARTS], part_names, PART_ALL, "no such part");
	if (g[OPT_PLANT])
		o->plant = plant_read(g[OPT_PLANT]);
	o->trace = g[OPT_TRACE];
}

static void options_print(const struct options *o)
{
	printf("seed %llu, commit %s\n  %u nodes, R %u, W %u, %u zones%s, %u liars,", (unsigned long long)o->seed, sim_commit,
	    o->nodes, o->replicas, o->acks, o->zones, o->weights ? ", unequal" : "", o->liars);
	names_print("faults ", o->faults, fault_names);
	names_print("parts ", o->parts, part_names);
	printf("\n  %u chunks of %u to %u bytes, %llu s of load, a fault each %.1f s, latency %.1f to %.1f ms, %.1f MB/s\n",
	    o->chunks, o->chunk_min, o->chunk_max, (unsigned long long)(o->load_us / S), (double)o->fault_every / S,
	    (double)o->latency_min / MS, (double)o->latency_max / MS, (double)o->bandwidth / 1e6);
}

static void outcome_print(const struct outcome *out)
{
	const struct load_figures *f = &out->figures;
	char hash[ADDRESS_TEXT_LEN + 1];

	address_format(&out->hash, hash);
	printf("  %u hosts, %u chunks; failed: %llu of %llu inserts, %llu of %llu fetches, %llu of %llu leases, %llu of %llu "
	    "swaps, %llu of %llu heads\n", out->hosts, out->chunks, (unsigned long long)f->inserts_failed,
	    (unsigned long long)f->inserts, (unsigned long long)f->fetches_failed, (unsigned long long)f->fetches,
	    (unsigned long long)f->leases_failed, (unsigned long long)f->leases, (unsigned long long)f->swaps_failed,
	    (unsigned long long)f->swaps, (unsigned long long)f->heads_failed, (unsigned long long)f->heads);
	printf("  settled %llu s after all was well; %llu bytes moved where %llu lacked; %zu bytes in a node at most\n",
	    (unsigned long long)(out->settled_us / S), (unsigned long long)out->traffic_moved,
	    (unsigned long long)out->traffic_ideal, out->memory_max);
	printf("  %llu s of virtual time, %llu events, %.2f s of processor time\n  trace %s\n",
	    (unsigned long long)(out->virtual_us / S), (unsigned long long)out->events, (double)out->cpu_us / 1e6, hash);
}

static void outcome_line(const struct options *o, const struct outcome *out)
{
	char hash[ADDRESS_TEXT_LEN + 1];

	address_format(&out->hash, hash);
	if (out->verdict.failed)
		printf("seed %llu, commit %s: FAILED: %s: %s (at %.6f s)\n", (unsigned long long)o->seed, sim_commit,
		    out->verdict.checker, out->verdict.text, (double)out->verdict.at / S);
	else
		printf("seed %llu: ok, %.16s, %.2f s\n", (unsigned long long)o->seed, hash, (double)out->cpu_us / 1e6);
	fflush(stdout);
}

/* An assertion in the core ends the process: who reads that must know which seed it was. */
static char running[200];

static void aborted(int signal)
{
	/* By the one thread, and not from within stdio: what is buffered of the trace is wanted, too. */
	(void)signal;
	fputs(running, stdout);
	fflush(stdout);
}

static void note_running(const struct options *o)
{
	snprintf(running, sizeof(running), "seed %llu, commit %s: FAILED: aborted: an assertion does not hold\n",
	    (unsigned long long)o->seed, sim_commit);
	signal(SIGABRT, aborted);
}

/* 7: determinism. */
static bool run_again(const struct options *o, struct outcome *first)
{
	struct outcome second;

	run(o, &second);
	if (address_equal(&first->hash, &second.hash))
		return true;
	first->verdict = (struct verdict){ .failed = true, .checker = "determinism", .text = "the same seed gave another trace" };
	return false;
}

static unsigned int run_seeds(const struct arguments *a)
{
	unsigned int failed = 0;

	for (uint64_t seed = a->from; seed <= a->to; seed++) {
		struct options o;
		struct outcome out;

		options_of_seed(seed, &o);
		options_given(a, &o);
		if (!a->quiet)
			options_print(&o);
		fflush(stdout);
		note_running(&o);
		run(&o, &out);
		if (a->twice)
			run_again(&o, &out);
		if (!a->quiet)
			outcome_print(&out);
		outcome_line(&o, &out);
		failed += out.verdict.failed;
	}
	return failed;
}

int main(int argc, char **argv)
{
	struct arguments a = { .from = 1, .to = 1 };
	unsigned long long from, to;
	int key;

	while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (key) {
		case OPT_SEED:
			a.from = a.to = strtoull(optarg, NULL, 10);
			break;
		case OPT_SEEDS:
			if (sscanf(optarg, "%llu-%llu", &from, &to) != 2)
				usage("not A-B", optarg);
			a.from = from;
			a.to = to;
			a.quiet = true;
			break;
		case OPT_TWICE:
			a.twice = true;
			break;
		case OPT_QUIET:
			a.quiet = true;
			break;
		case OPT_FIGURES:
			a.figures = true;
			break;
		case OPT_SCENARIO:
			a.scenario = optarg;
			break;
		case '?':
			return 2;
		default:
			a.given[key] = optarg ? optarg : "";
		}
	if (optind < argc)
		usage("what is this", argv[optind]);
	if (sodium_init() < 0)
		return 3;
	if (a.figures)
		return scenarios_all(a.from) ? 0 : 1;
	if (a.scenario)
		return scenario_run(a.scenario, a.from) ? 0 : 1;
	return run_seeds(&a) > 0;
}
