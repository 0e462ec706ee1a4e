#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/mount/exercise/shrink.h"

struct shrink {
	struct plan *least;	/* that failed */
	bool (*fails)(const struct plan *plan, void *arg);
	void *arg;
	time_t until;
};

/* A copy without the operations [from, to), counted across rounds, or without those of a thread. */
static struct plan *without(const struct plan *plan, size_t from, size_t to, unsigned int thread)
{
	struct plan *less = plan_copy(plan);
	size_t at = 0;

	for (unsigned int r = 0; less && r < less->n_rounds; r++) {
		struct round *round = &less->rounds[r];
		size_t kept = 0;

		for (size_t i = 0; i < round->n_ops; i++, at++)
			if ((at < from || at >= to) && round->ops[i].thread != thread)
				round->ops[kept++] = round->ops[i];
		round->n_ops = kept;
	}
	return less;
}

static struct plan *without_round(const struct plan *plan, unsigned int r)
{
	struct plan *less = plan_copy(plan);

	if (!less)
		return NULL;
	free(less->rounds[r].ops);
	memmove(&less->rounds[r], &less->rounds[r + 1], (--less->n_rounds - r) * sizeof(less->rounds[0]));
	return less;
}

/* Takes ${less}, and keeps it if it fails. */
static bool try(struct shrink *s, struct plan *less)
{
	if (!less || time(NULL) > s->until || !s->fails(less, s->arg)) {
		plan_free(less);
		return false;
	}
	plan_free(s->least);
	s->least = less;
	return true;
}

static void fewer_operations(struct shrink *s)
{
	size_t step = plan_ops(s->least) / 2;

	for (; step > 0; step /= 2) {
		bool shrunk = true;

		while (shrunk && time(NULL) < s->until) {
			size_t from = 0;

			shrunk = false;
			while (from < plan_ops(s->least) && time(NULL) < s->until) {
				if (try(s, without(s->least, from, from + step, THREADS_MAX)))
					shrunk = true;
				else
					from += step;
			}
			/* Only single ones are worth a second pass. */
			shrunk = shrunk && step == 1;
		}
	}
}

static void simpler_ends(struct shrink *s)
{
	for (unsigned int r = 0; r < s->least->n_rounds; r++) {
		for (enum end end = END_CHECK; end < s->least->rounds[r].end; end++) {
			struct plan *less = plan_copy(s->least);

			if (less)
				less->rounds[r].end = end;
			if (try(s, less))
				break;
		}
	}
}

struct plan *shrink_plan(const struct plan *plan, bool (*fails)(const struct plan *plan, void *arg),
    void *arg, unsigned int seconds)
{
	struct shrink s = { plan_copy(plan), fails, arg, time(NULL) + seconds };

	if (!s.least)
		return NULL;
	/* The last rounds first: most often nothing came to them. */
	for (unsigned int r = s.least->n_rounds; r-- > 0 && s.least->n_rounds > 1;)
		try(&s, without_round(s.least, r));
	for (unsigned int t = 0; t < plan->workers * plan->threads; t++)
		try(&s, without(s.least, 0, 0, t));
	fewer_operations(&s);
	simpler_ends(&s);
	return s.least;
}
