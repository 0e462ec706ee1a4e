#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/exercise/run.h"
#include "tests/mount/exercise/worker.h"

/* Nothing that is asked of the mount takes as long. */
#define HANG_MS	300000

struct run {
	const struct plan *plan;
	const char *base;
	bool controlled, dead;		/* dead: the mount was killed, and nobody has mounted again */
	struct shared *shared;
	size_t shared_len;
	pid_t pids[THREADS_MAX];
	struct pollfd workers[THREADS_MAX];
};

static void control(struct run *run, const char *word)
{
	char answer[16];

	printf("control %s\n", word);
	fflush(stdout);
	if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "ok\n") != 0)
		fail(run->shared, "control: %s failed", word);
}

static int begin(struct run *run)
{
	unsigned int n_threads = run->plan->workers * run->plan->threads;
	size_t done_max = 1;
	int err;

	for (unsigned int r = 0; r < run->plan->n_rounds; r++)
		if (run->plan->rounds[r].n_ops > done_max)
			done_max = run->plan->rounds[r].n_ops;
	run->shared_len = sizeof(*run->shared) + n_threads * done_max * sizeof(struct done);
	run->shared = mmap(NULL, run->shared_len, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->shared == MAP_FAILED)
		return -errno;
	run->shared->done_max = done_max;
	run->shared->crashes = run->controlled;
	err = real_setup(run->base, n_threads);
	if (!err)
		err = common_create(run->base, n_threads);
	if (err)
		fail(run->shared, "to begin in %s: %s", run->base, strerror(-err));
	return 0;
}

static void start_worker(struct run *run, unsigned int i)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	fflush(stdout);
	run->pids[i] = fork();
	if (run->pids[i] < 0)
		abort();
	if (run->pids[i] == 0) {
		for (unsigned int j = 0; j < i; j++)
			close(run->workers[j].fd);
		close(fds[0]);
		worker_run(run->plan, run->base, run->shared, i, fds[1]);
	}
	close(fds[1]);
	run->workers[i] = (struct pollfd){ .fd = fds[0], .events = POLLIN };
}

static void order(struct run *run, enum command command, unsigned int round)
{
	struct order o = { command, round };

	for (unsigned int i = 0; i < run->plan->workers; i++)
		if (send(run->workers[i].fd, &o, sizeof(o), MSG_NOSIGNAL) != sizeof(o))
			fail(run->shared, "worker %u has gone", i);
}

static void say_what_hangs(struct run *run, unsigned int round)
{
	const struct round *r = &run->plan->rounds[round];
	char text[1024] = "", line[512];

	for (unsigned int t = 0; t < run->plan->workers * run->plan->threads; t++) {
		size_t begun = run->shared->threads[t].begun, at = 0;

		for (size_t i = 0; i < r->n_ops; i++)
			if (r->ops[i].thread == t && ++at == begun &&
			    run->shared->done[t * run->shared->done_max + at - 1].end_ns == 0)
				snprintf(text + strlen(text), sizeof(text) - strlen(text), "\n%s",
				    op_text(&r->ops[i], line, sizeof(line)));
	}
	fail(run->shared, "round %u: nothing for %d s, in:%s", round, HANG_MS / 1000, text);
}

/* Until all workers have answered, or for so long.  True: they have. */
static bool answered(struct run *run, unsigned int *left, int for_ms)
{
	uint64_t until = now_ns() + (uint64_t)for_ms * 1000000;
	char byte;

	while (*left > 0) {
		uint64_t now = now_ns();

		if (now >= until || poll(run->workers, run->plan->workers,
		    (int)((until - now) / 1000000) + 1) == 0)
			return false;
		for (unsigned int i = 0; i < run->plan->workers; i++) {
			if (run->workers[i].revents == 0)
				continue;
			if (read(run->workers[i].fd, &byte, 1) != 1) {
				fail(run->shared, "worker %u died", i);
				run->workers[i].events = 0;
				run->workers[i].fd = ~run->workers[i].fd;
			}
			(*left)--;
		}
	}
	return true;
}

static void do_all(struct run *run, enum command command, unsigned int round)
{
	unsigned int left = run->plan->workers;

	if (run->shared->failed)
		return;
	order(run, command, round);
	if (!answered(run, &left, HANG_MS))
		say_what_hangs(run, round);
}

/* A moment that every thread's names allow, and no later sync than that. */
static void check_moments(struct run *run, unsigned int round)
{
	unsigned int n = run->plan->workers * run->plan->threads;

	for (unsigned int t = 0; t <= n; t++) {
		for (unsigned int i = 0; i < (t < n ? run->shared->threads[t].n_moments : 1); i++) {
			uint64_t at = t < n ? run->shared->threads[t].moments[i].from_ns :
			    run->shared->synced_ns;
			bool good = at >= run->shared->synced_ns;

			for (unsigned int u = 0; u < n && good; u++) {
				const struct thread_state *state = &run->shared->threads[u];

				good = false;
				for (unsigned int j = 0; j < state->n_moments; j++)
					good = good || (state->moments[j].from_ns <= at &&
					    at <= state->moments[j].to_ns);
			}
			if (good)
				return;
		}
	}
	fail(run->shared, "the crash of round %u: each thread's names are of a moment, but there is "
	    "none that is all threads' (not before the last sync)", round);
}

static void find_synced(struct run *run)
{
	struct shared *shared = run->shared;

	shared->synced_ns = 0;
	for (unsigned int t = 0; t < run->plan->workers * run->plan->threads; t++) {
		const struct done *done = shared->done + t * shared->done_max;

		for (size_t i = 0; i < shared->threads[t].begun; i++)
			if (done[i].synced && done[i].begin_ns > shared->synced_ns)
				shared->synced_ns = done[i].begin_ns;
	}
}

/* What went before is not what the crash is about. */
static void sync_all(struct run *run)
{
	int fd = open(run->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		fail(run->shared, "sync of %s: %s", run->base, strerror(errno));
	close(fd);
}

static void crash_round(struct run *run, unsigned int r)
{
	unsigned int left = run->plan->workers;

	sync_all(run);
	run->shared->dying = 0;
	order(run, DO_ROUND, r);
	answered(run, &left, (int)run->plan->rounds[r].after_ms);
	if (run->shared->failed && !answered(run, &left, HANG_MS))
		say_what_hangs(run, r);
	if (run->shared->failed)
		return;
	run->shared->dying = 1;
	run->dead = true;
	control(run, "kill");
	if (!answered(run, &left, HANG_MS))
		say_what_hangs(run, r);
	find_synced(run);
	control(run, "start");
	run->dead = false;
	do_all(run, DO_CHECK_CRASHED, r);
	if (!run->shared->failed)
		check_moments(run, r);
	do_all(run, DO_RENEW, r);
}

static void round_of(struct run *run, unsigned int r)
{
	const struct round *round = &run->plan->rounds[r];

	for (unsigned int t = 0; t < THREADS_MAX; t++)
		run->shared->threads[t].begun = 0;
	if (run->controlled && round->end == END_KILL) {
		crash_round(run, r);
		return;
	}
	do_all(run, DO_ROUND, r);
	if (run->controlled && round->end == END_REMOUNT && !run->shared->failed)
		control(run, "remount");
	do_all(run, DO_CHECK, r);
}

static void end(struct run *run)
{
	order(run, DO_END, 0);
	for (unsigned int i = 0; i < run->plan->workers; i++) {
		/* One that hangs would never end. */
		if (run->shared->failed)
			kill(run->pids[i], SIGKILL);
		waitpid(run->pids[i], NULL, 0);
		close(run->workers[i].fd < 0 ? ~run->workers[i].fd : run->workers[i].fd);
	}
	if (run->dead)
		control(run, "start");
}

void run_plan(const struct plan *plan, const char *base, bool controlled, struct result *result)
{
	struct run run = { .plan = plan, .base = base, .controlled = controlled };

	*result = (struct result){ .failed = true };
	if (begin(&run) != 0) {
		snprintf(result->failure, sizeof(result->failure), "no memory");
		return;
	}
	for (unsigned int i = 0; i < plan->workers; i++)
		start_worker(&run, i);
	for (unsigned int r = 0; r < plan->n_rounds && !run.shared->failed; r++)
		round_of(&run, r);
	end(&run);
	result->failed = run.shared->failed;
	snprintf(result->failure, sizeof(result->failure), "%s", run.shared->failure);
	for (unsigned int t = 0; t < THREADS_MAX; t++)
		result->operations += run.shared->threads[t].operations;
	munmap(run.shared, run.shared_len);
}
