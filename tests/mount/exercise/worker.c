#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/exercise/worker.h"

struct thread {
	unsigned int number;
	struct worker *w;
	struct model *model, *base;	/* base: as it was before the round, if that ends in a crash */
	struct real real;
	struct common common;
	const struct op **ops;		/* of the round */
	size_t n_ops;
	pthread_t thread;
};

struct worker {
	const struct plan *plan;
	struct shared *shared;
	struct thread threads[THREADS_MAX];
	unsigned int round;
};

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void fail(struct shared *shared, const char *format, ...)
{
	va_list args;
	int nobody = 0;

	if (!atomic_compare_exchange_strong(&shared->failed, &nobody, 1))
		return;
	va_start(args, format);
	vsnprintf(shared->failure, sizeof(shared->failure), format, args);
	va_end(args);
}

static bool is_sync(const struct op *op, const struct outcome *out)
{
	return op->kind == OP_RECORD_SYNC || (out->result >= 0 && (op->kind == OP_SYNCDIR ||
	    op->kind == OP_FSYNC || op->kind == OP_FORGET || out->synced));
}

/* 0, 1 for what is skipped, or -EIO. */
static int one_op(struct thread *t, const struct op *op, struct outcome *out)
{
	*out = (struct outcome){ 0 };
	if (op->kind >= OP_RECORD)
		return common_apply(&t->common, op);
	model_apply(t->model, op, out);
	return out->result == SKIPPED ? 1 : real_apply(&t->real, t->model, op, out);
}

static struct done *done_of(struct shared *shared, unsigned int thread)
{
	return shared->done + thread * shared->done_max;
}

static void *run_ops(void *arg)
{
	struct thread *t = arg;
	struct shared *shared = t->w->shared;
	struct thread_state *state = &shared->threads[t->number];
	struct done *done = done_of(shared, t->number);
	struct outcome out;
	char text[512];
	int err = 0;

	for (size_t i = 0; i < t->n_ops && !shared->failed; i++) {
		done[i] = (struct done){ .begin_ns = now_ns() };
		state->begun = i + 1;
		err = one_op(t, t->ops[i], &out);
		if (err < 0)
			break;
		done[i].synced = err == 0 && is_sync(t->ops[i], &out);
		done[i].end_ns = now_ns();
		state->operations += err == 0;
	}
	if (err < 0 && !shared->dying)
		fail(shared, "round %u, thread %u, operation %zu: %s\n%s", t->w->round, t->number,
		    state->begun - 1, op_text(t->ops[state->begun - 1], text, sizeof(text)),
		    t->real.why);
	return NULL;
}

static void choose_ops(struct thread *t, const struct round *round)
{
	free(t->ops);
	t->ops = calloc(round->n_ops + 1, sizeof(struct op *));
	t->n_ops = 0;
	if (!t->ops)
		abort();
	for (size_t i = 0; i < round->n_ops; i++)
		if (round->ops[i].thread == t->number)
			t->ops[t->n_ops++] = &round->ops[i];
}

static void run_round(struct worker *w)
{
	const struct round *round = &w->plan->rounds[w->round];
	bool crash = w->shared->crashes && round->end == END_KILL;

	for (unsigned int i = 0; i < w->plan->threads; i++) {
		struct thread *t = &w->threads[i];

		choose_ops(t, round);
		model_free(t->base);
		t->base = crash ? model_clone(t->model) : NULL;
		if ((crash && !t->base) || (common_open(&t->common) != 0 && !w->shared->dying))
			fail(w->shared, "thread %u can't begin: %s", t->number, t->real.why);
	}
	for (unsigned int i = 0; i < w->plan->threads; i++)
		if (pthread_create(&w->threads[i].thread, NULL, run_ops, &w->threads[i]) != 0)
			abort();
	for (unsigned int i = 0; i < w->plan->threads; i++)
		pthread_join(w->threads[i].thread, NULL);
	for (unsigned int i = 0; i < w->plan->threads; i++) {
		struct thread *t = &w->threads[i];

		if (real_close(&t->real, t->model, !crash && !w->shared->failed) != 0)
			fail(w->shared, "thread %u can't end: %s", t->number, t->real.why);
		common_close(&t->common);
	}
}

/* What was found is the model from here on: it knows more, as inode numbers and times. */
static void check(struct worker *w, struct thread *t, bool crashed)
{
	struct thread_state *state = &w->shared->threads[t->number];
	struct model *found = NULL;
	int err = real_scan(&t->real, &found);

	if (!err && !crashed)
		err = model_diff(t->model, found, true, t->real.why, sizeof(t->real.why));
	if (!err && crashed)
		err = crash_check(&t->real, t->base, t->ops, done_of(w->shared, t->number),
		    state->begun, found, w->shared->synced_ns, state->moments, &state->n_moments);
	if (!err)
		err = common_check(&t->common, crashed);
	if (err) {
		fail(w->shared, "%s after round %u, thread %u: %s", crashed ? "the crash" : "the end",
		    w->round, t->number, t->real.why);
		model_free(found);
		return;
	}
	model_free(t->model);
	t->model = found;
}

static void renew(struct worker *w, struct thread *t)
{
	if (common_renew(&t->common) != 0)
		fail(w->shared, "after the crash of round %u, thread %u: %s", w->round, t->number,
		    t->real.why);
}

static void worker_init(struct worker *w, const char *base, unsigned int number)
{
	for (unsigned int i = 0; i < w->plan->threads; i++) {
		struct thread *t = &w->threads[i];

		t->number = number * w->plan->threads + i;
		t->w = w;
		t->model = model_new();
		if (!t->model || real_init(&t->real, base, t->number) != 0)
			abort();
		t->common = (struct common){ .r = &t->real, .all = w->shared->written,
		    .n_threads = w->plan->workers * w->plan->threads };
	}
}

void worker_run(const struct plan *plan, const char *base, struct shared *shared,
    unsigned int worker, int fd)
{
	static struct worker w;
	struct order order;

	w = (struct worker){ .plan = plan, .shared = shared };
	guard_start();
	worker_init(&w, base, worker);
	while (read(fd, &order, sizeof(order)) == sizeof(order) && order.command != DO_END) {
		w.round = order.round;
		if (order.command == DO_ROUND)
			run_round(&w);
		for (unsigned int i = 0; i < plan->threads && order.command != DO_ROUND; i++) {
			if (order.command == DO_RENEW)
				renew(&w, &w.threads[i]);
			else
				check(&w, &w.threads[i], order.command == DO_CHECK_CRASHED);
		}
		if (write(fd, "d", 1) != 1)
			break;
	}
	for (unsigned int i = 0; i < plan->threads; i++) {
		model_free(w.threads[i].model);
		model_free(w.threads[i].base);
		real_free(&w.threads[i].real);
		free(w.threads[i].ops);
	}
	_exit(0);
}
