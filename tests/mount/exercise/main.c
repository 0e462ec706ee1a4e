/*
 * exercise [OPTION...] DIRECTORY: random operations by several processes and threads, each held against
 * a model in memory.
 *
 *   --seed N         of the first plan (the next ones follow it); SEED in the environment is as good
 *   --seconds N      plan after plan for so long; else one
 *   --workers N --threads N --rounds N --ops N   what a plan is like (ops: of a thread in a round)
 *   --control        remounts and kills are asked for on stdout (run.h)
 *   --plan FILE      this plan, not one from a seed
 *   --shrink N       what fails is cut down, for N seconds, and printed
 *   --tries N        so many runs of a plan before it counts as good, while it is cut down (3)
 *   --print          only prints the plan
 */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/exercise/run.h"
#include "tests/mount/exercise/shrink.h"

/* A longer plan says nothing to a reader: most likely it fails too rarely to be cut down. */
#define PRINTED_MAX	100

struct settings {
	struct plan_shape shape;
	uint64_t seed;
	unsigned int seconds, shrink_s, tries;
	bool controlled, print;
	const char *plan, *directory;
	unsigned int runs;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* In a directory of its own, of which nothing stays if it was good. */
static bool run(struct settings *s, const struct plan *plan, struct result *result)
{
	char base[PATH_MAX / 2];

	snprintf(base, sizeof(base), "%s/run%u", s->directory, s->runs++);
	run_plan(plan, base, s->controlled, result);
	if (!result->failed && nftw(base, remove_one, 32, FTW_DEPTH | FTW_PHYS) != 0) {
		result->failed = true;
		snprintf(result->failure, sizeof(result->failure), "to remove %s: %s", base,
		    strerror(errno));
	}
	return !result->failed;
}

static bool still_fails(const struct plan *plan, void *arg)
{
	struct settings *s = arg;
	struct result result;

	for (unsigned int i = 0; i < s->tries; i++)
		if (!run(s, plan, &result))
			return true;
	return false;
}

static void report(struct settings *s, const struct plan *plan, const struct result *result)
{
	struct plan *least;

	printf("FAILED: %s\n", result->failure);
	if (s->plan)
		printf("replay: exercise --plan %s\n", s->plan);
	else
		printf("replay: exercise --seed %" PRIu64 " --workers %u --threads %u --rounds %u "
		    "--ops %u\n", plan->seed, s->shape.workers, s->shape.threads, s->shape.rounds,
		    s->shape.ops);
	if (s->shrink_s == 0)
		return;
	fflush(stdout);
	least = shrink_plan(plan, still_fails, s, s->shrink_s);
	if (!least)
		return;
	printf("of the plan's %zu operations it needs %zu%s\n", plan_ops(plan), plan_ops(least),
	    plan_ops(least) > PRINTED_MAX ? ", too many to print" : ":");
	if (plan_ops(least) <= PRINTED_MAX)
		plan_print(least, stdout);
	plan_free(least);
}

static struct plan *next_plan(const struct settings *s, unsigned int i)
{
	struct plan *plan = NULL;
	FILE *file;

	if (!s->plan)
		return plan_make(&s->shape, s->seed + i);
	file = fopen(s->plan, "r");
	if (!file) {
		fprintf(stderr, "exercise: %s: %s\n", s->plan, strerror(errno));
		return NULL;
	}
	plan = plan_read(file);
	fclose(file);
	return plan;
}

static int run_all(struct settings *s)
{
	time_t until = time(NULL) + s->seconds;
	uint64_t operations = 0;
	unsigned int plans = 0;
	struct result result = { 0 };

	do {
		struct plan *plan = next_plan(s, plans++);

		if (!plan)
			return 2;
		if (run(s, plan, &result))
			operations += result.operations;
		else
			report(s, plan, &result);
		plan_free(plan);
	} while (!result.failed && time(NULL) < until);
	printf("%" PRIu64 " operations of %u plans, seeds from %" PRIu64 "\n", operations, plans, s->seed);
	return result.failed;
}

static int print(const struct settings *s)
{
	struct plan *plan = next_plan(s, 0);

	if (!plan)
		return 2;
	plan_print(plan, stdout);
	plan_free(plan);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: exercise [--seed N] [--seconds N] [--workers N] [--threads N] "
	    "[--rounds N] [--ops N]\n    [--control] [--plan FILE] [--shrink N] [--tries N] "
	    "DIRECTORY\n       exercise --print [...]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, 's' }, { "seconds", 1, NULL, 't' }, { "workers", 1, NULL, 'w' },
		{ "threads", 1, NULL, 'j' }, { "rounds", 1, NULL, 'r' }, { "ops", 1, NULL, 'o' },
		{ "control", 0, NULL, 'c' }, { "plan", 1, NULL, 'p' }, { "shrink", 1, NULL, 'k' },
		{ "tries", 1, NULL, 'y' }, { "print", 0, NULL, 'x' }, { NULL, 0, NULL, 0 }
	};
	const char *seed = getenv("SEED");
	struct settings s = { .shape = { 3, 2, 4, 200 }, .tries = 3 };
	int c;

	s.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		unsigned int n = optarg ? (unsigned int)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 's': s.seed = strtoull(optarg, NULL, 10); break;
		case 't': s.seconds = n; break;
		case 'w': s.shape.workers = n; break;
		case 'j': s.shape.threads = n; break;
		case 'r': s.shape.rounds = n; break;
		case 'o': s.shape.ops = n; break;
		case 'c': s.controlled = true; break;
		case 'p': s.plan = optarg; break;
		case 'k': s.shrink_s = n; break;
		case 'y': s.tries = n; break;
		case 'x': s.print = true; break;
		default: return usage();
		}
	}
	if (s.shape.workers < 1 || s.shape.threads < 1 || s.shape.workers > THREADS_MAX ||
	    s.shape.threads > THREADS_MAX / s.shape.workers || optind + !s.print != argc)
		return usage();
	/* Modes are as they were asked for. */
	umask(0);
	s.directory = argv[optind];
	return s.print ? print(&s) : run_all(&s);
}
