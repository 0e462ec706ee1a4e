/*
 * parked: every request is answered once, whatever comes first: its completion, an interrupt
 * or the end of the mount.  The requests are fakes: of libfuse only the two functions
 * that parked.c calls are here, with their locking.
 */
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/parked.h"
#include "tests/lib/suite.h"

struct fuse_req {
	struct fuse_ctx ctx;
	pthread_mutex_t lock;
	void (*func)(struct fuse_req *req, void *data);
	void *data;
	bool interrupted;
};

/* What waits: its completion takes it out of here, whoever calls that. */
struct request {
	struct parked parked;
	struct fuse_req req;
	atomic_bool waiting;
	atomic_uint *answers, *frees;
};

const struct fuse_ctx *fuse_req_ctx(struct fuse_req *req)
{
	return &req->ctx;
}

void fuse_req_interrupt_func(struct fuse_req *req, void (*func)(struct fuse_req *req, void *data),
    void *data)
{
	pthread_mutex_lock(&req->lock);
	req->func = func;
	req->data = data;
	if (req->interrupted && func)
		func(req, data);
	pthread_mutex_unlock(&req->lock);
}

static void interrupt(struct request *r)
{
	pthread_mutex_lock(&r->req.lock);
	r->req.interrupted = true;
	if (r->req.func)
		r->req.func(&r->req, r->req.data);
	pthread_mutex_unlock(&r->req.lock);
}

static void complete(struct request *r)
{
	if (!atomic_exchange(&r->waiting, false))
		return;
	assert_ptr_equal(parked_finish(&r->parked), &r->req);
	atomic_fetch_add(r->answers, 1);
	parked_drop(&r->parked);
}

static void cancel(struct parked *p)
{
	complete((struct request *)p);
}

static void free_request(struct parked *p)
{
	struct request *r = (struct request *)p;

	atomic_fetch_add(r->frees, 1);
	pthread_mutex_destroy(&r->req.lock);
	free(r);
}

static atomic_uint answers, frees;

static struct request *begin(struct parking *k)
{
	struct request *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	pthread_mutex_init(&r->req.lock, NULL);
	atomic_init(&r->waiting, true);
	r->answers = &answers;
	r->frees = &frees;
	parked_init(&r->parked, &r->req, k, cancel, free_request);
	return r;
}

static void handle(int signal)
{
	(void)signal;
}

#define GROUPS_MAX 1000

/* A process that handles SIGUSR1, and has one and SIGSTOP waiting for it; in as many ${groups}, where that is not 0. */
static pid_t process(size_t groups)
{
	void (*old)(int) = signal(SIGUSR1, handle);
	gid_t group[GROUPS_MAX];
	int status;
	pid_t pid;

	for (size_t i = 0; i < groups; i++)
		group[i] = (gid_t)(100000 + i);
	pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (groups > 0 && setgroups(groups, group) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	signal(SIGUSR1, old);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGUSR1);
	return pid;
}

static void a_signal_that_ends_nothing_lets_the_wait_go_on(void **state)
{
	struct request *r = begin(*state);
	pid_t pid = process(0);

	r->parked.signal.pid = (uint32_t)pid;
	parked_started(&r->parked);
	interrupt(r);
	assert_false(signals_fatal((uint32_t)pid));
	assert_int_equal(atomic_load(&answers), 0);
	/* Only the first signal is told: that another one has come shows in the process. */
	kill(pid, SIGQUIT);
	assert_true(signals_fatal((uint32_t)pid));
	while (atomic_load(&frees) == 0)
		sched_yield();
	assert_int_equal(atomic_load(&answers), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(signals_fatal((uint32_t)pid));
	parking_free(*state);
}

/* Its groups stand in /proc before its signals, and may be 65,536. */
static void a_signal_is_seen_of_a_process_with_many_groups(void **state)
{
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = process(GROUPS_MAX);
	assert_false(signals_fatal((uint32_t)pid));
	kill(pid, SIGQUIT);
	assert_true(signals_fatal((uint32_t)pid));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void an_old_interrupt_counts(void **state)
{
	struct interruption i = { .pid = (uint32_t)getpid(), .since_ms = signals_now_ms() };

	(void)state;
	assert_false(signals_count(&i));
	i.since_ms -= SIGNALS_GRACE_MS;
	assert_true(signals_count(&i));
}

static int reset(void **state)
{
	*state = parking_new();
	atomic_store(&answers, 0);
	atomic_store(&frees, 0);
	return *state ? 0 : -1;
}

static void what_completes_inline_is_gone_when_it_has_started(void **state)
{
	struct request *r = begin(*state);

	complete(r);
	assert_int_equal(atomic_load(&frees), 0);
	parked_started(&r->parked);
	assert_int_equal(atomic_load(&answers), 1);
	assert_int_equal(atomic_load(&frees), 1);
	parking_free(*state);
}

static void an_interrupt_before_the_start_counts_after_it(void **state)
{
	struct request *r = begin(*state);

	interrupt(r);
	assert_int_equal(atomic_load(&answers), 0);
	parked_started(&r->parked);
	/* Waits for it, but has no need to cancel it any more, nor to do harm if it does. */
	parking_free(*state);
	assert_int_equal(atomic_load(&answers), 1);
	assert_int_equal(atomic_load(&frees), 1);
}

static void the_end_cancels_what_is_parked_and_what_comes_later(void **state)
{
	struct request *r;

	for (int i = 0; i < 100; i++)
		parked_started(&begin(*state)->parked);
	assert_int_equal(atomic_load(&answers), 0);
	parking_end(*state);
	assert_int_equal(atomic_load(&answers), 100);
	assert_int_equal(atomic_load(&frees), 100);
	r = begin(*state);
	parked_started(&r->parked);
	parking_free(*state);
	assert_int_equal(atomic_load(&answers), 101);
	assert_int_equal(atomic_load(&frees), 101);
}

/* A completion in another thread that the end must wait for, though it has finished. */
static void *complete_slowly(void *arg)
{
	struct request *r = arg;

	parked_finish(&r->parked);
	for (int i = 0; i < 100; i++)
		sched_yield();
	atomic_fetch_add(r->answers, 1);
	parked_drop(&r->parked);
	return NULL;
}

static void the_end_waits_for_completions_that_run(void **state)
{
	for (unsigned int i = 0; i < 200; i++) {
		struct request *r = begin(*state);
		pthread_t t;

		atomic_store(&r->waiting, false);
		assert_int_equal(pthread_create(&t, NULL, complete_slowly, r), 0);
		for (unsigned int n = 0; n < i % 50; n++)
			sched_yield();
		parked_started(&r->parked);
		parking_end(*state);
		assert_int_equal(atomic_load(&frees), i + 1);
		pthread_join(t, NULL);
	}
	parking_free(*state);
}

struct racer {
	struct request *r;
	void (*act)(struct request *r);
	atomic_bool *go;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	while (!atomic_load(racer->go))
		sched_yield();
	racer->act(racer->r);
	/* The test's own hold. */
	parked_drop(&racer->r->parked);
	return NULL;
}

static void completion_and_interrupt_race_and_one_wins(void **state)
{
	for (unsigned int i = 0; i < 500; i++) {
		struct request *r = begin(*state);
		atomic_bool go = false;
		struct racer racer[2] = { { r, complete, &go }, { r, interrupt, &go } };
		pthread_t t[2];

		parked_hold(&r->parked);
		parked_hold(&r->parked);
		for (int n = 0; n < 2; n++)
			assert_int_equal(pthread_create(&t[n], NULL, race, &racer[n]), 0);
		atomic_store(&go, true);
		parked_started(&r->parked);
		for (int n = 0; n < 2; n++)
			pthread_join(t[n], NULL);
	}
	parking_free(*state);
	assert_int_equal(atomic_load(&answers), 500);
	assert_int_equal(atomic_load(&frees), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_completes_inline_is_gone_when_it_has_started, reset),
		cmocka_unit_test_setup(an_interrupt_before_the_start_counts_after_it, reset),
		cmocka_unit_test_setup(the_end_cancels_what_is_parked_and_what_comes_later, reset),
		cmocka_unit_test_setup(the_end_waits_for_completions_that_run, reset),
		cmocka_unit_test_setup(completion_and_interrupt_race_and_one_wins, reset),
		cmocka_unit_test_setup(a_signal_that_ends_nothing_lets_the_wait_go_on, reset),
		cmocka_unit_test(a_signal_is_seen_of_a_process_with_many_groups),
		cmocka_unit_test(an_old_interrupt_counts),
	};

	return suite_run(tests);
}
