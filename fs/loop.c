#define FUSE_USE_VERSION 314
#include "fs/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chunker/deadline.h"
#include "dht/program/log.h"
#include "fs/buffers.h"
#include "fs/gate.h"

#define THREADS_MAX	16u
#define COPIED_MAX	(64u << 10)	/* a write's bytes for which no receive buffer is given up */
#define UNMOUNT_WAIT_S	10	/* for the kernel's dirty pages, after SIGTERM */

extern char **environ;

/* The request that this thread handles. */
static __thread struct {
	void *mem;
	size_t len;
	bool ours;		/* the buffer may be taken over */
	struct chunk *chunk;	/* it was: then it is the chunk's */
	bool kill_priv;
} current;

struct loop {
	struct fuse_session *se;
	struct gate *gate;
	char *mountpoint;
	pthread_t main;
	atomic_bool unmounted;
};

struct chunk *loop_write_data(const char *data, size_t len)
{
	if (!current.ours || len <= COPIED_MAX)
		return chunk_copy(data, len);
	if (!current.chunk)
		current.chunk = chunk_adopt(current.mem, current.len, buffers_give);
	if (!current.chunk)
		return NULL;
	return chunk_slice(current.chunk, (size_t)(data - (const char *)current.mem), len);
}

bool loop_kill_priv(void)
{
	return current.kill_priv;
}

static bool wants_kill_priv(const struct fuse_in_header *in, size_t len)
{
	const void *body = in + 1;

	if (in->opcode == FUSE_WRITE && len >= sizeof(*in) + sizeof(struct fuse_write_in))
		return ((const struct fuse_write_in *)body)->write_flags & FUSE_WRITE_KILL_SUIDGID;
	if (in->opcode == FUSE_OPEN && len >= sizeof(*in) + sizeof(struct fuse_open_in))
		return ((const struct fuse_open_in *)body)->open_flags & FUSE_OPEN_KILL_SUIDGID;
	if (in->opcode == FUSE_SETATTR && len >= sizeof(*in) + sizeof(struct fuse_setattr_in))
		return ((const struct fuse_setattr_in *)body)->valid & FATTR_KILL_SUIDGID;
	return false;
}

/* Those whose handlers never ask for the tree's lock go on while it is committed. */
static bool needs_tree(const struct fuse_in_header *in, size_t len)
{
	switch (in->opcode) {
	case FUSE_INIT:
	case FUSE_DESTROY:
	case FUSE_READ:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_OPENDIR:
	case FUSE_RELEASEDIR:
	case FUSE_LSEEK:
	case FUSE_INTERRUPT:
	case FUSE_NOTIFY_REPLY:
		return false;
	case FUSE_WRITE:
		return wants_kill_priv(in, len);
	}
	return true;
}

/* It covers what was answered before it, also where that is yet to be carried out. */
static bool syncs(const struct fuse_in_header *in)
{
	return in->opcode == FUSE_FSYNC || in->opcode == FUSE_FSYNCDIR;
}

/* An answer without libfuse, which has not seen the request. */
static void answer(struct loop *l, uint64_t unique, int error)
{
	struct fuse_out_header out = { .len = sizeof(out), .error = error, .unique = unique };

	/* It fails where nobody waits any more. */
	if (write(fuse_session_fd(l->se), &out, sizeof(out)) < 0 && errno != ENOENT)
		log_line(LOG_DEBUG, "an answer: %s", strerror(errno));
}

/*
 * The kernel's own writing back of a file's times: when a process that has written exits, it
 * waits for that, and then nothing can end it.  The kernel does not look at the answer, so
 * it may have it now, and what is kept is carried out later, before any other commit.
 */
static void answer_times(struct loop *l, const struct fuse_in_header *in, size_t len)
{
	const struct fuse_setattr_in *arg = (const void *)(in + 1);
	const uint32_t times = FATTR_MTIME | FATTR_CTIME;
	struct {
		struct fuse_out_header header;
		struct fuse_attr_out attr;
	} out = { .header = { .len = sizeof(out), .unique = in->unique } };

	if (in->opcode != FUSE_SETATTR || len < sizeof(*in) + sizeof(*arg) ||
	    (arg->valid & ~(uint32_t)FATTR_FH) != times || !signals_deaf(in->pid) ||
	    !gate_promise(l->gate, in->unique))
		return;
	if (write(fuse_session_fd(l->se), &out, sizeof(out)) < 0)
		log_line(LOG_DEBUG, "an answer: %s", strerror(errno));
}

static void process(struct loop *l, void *mem, size_t len, bool ours)
{
	struct fuse_buf buf = { .mem = mem, .size = len };

	current.mem = mem;
	current.len = len;
	current.ours = ours;
	current.kill_priv = wants_kill_priv(mem, len);
	fuse_session_process_buf(l->se, &buf);
}

static void handle(struct loop *l, void *mem, size_t len)
{
	const struct fuse_in_header *in = mem;
	const struct fuse_interrupt_in *interrupt = (const void *)(in + 1);
	bool gated;
	int r;

	if (in->opcode == FUSE_INTERRUPT && len >= sizeof(*in) + sizeof(*interrupt) &&
	    gate_interrupt(l->gate, interrupt->unique))
		return;
	gated = needs_tree(in, len) || (syncs(in) && gate_promised(l->gate));
	r = gated ? gate_enter(l->gate, in->unique, in->pid, mem, len) : 1;
	if (r > 0)
		process(l, mem, len, true);
	else if (r == 0)
		answer_times(l, in, len);
	else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET)
		answer(l, in->unique, r);
	if (r > 0 && gated)
		gate_leave(l->gate);
}

/*
 * A write's bytes may live on in the file that they were written to: then the receive
 * buffer is theirs, and the next request gets another.
 */
static void *serve(void *arg)
{
	struct loop *l = arg;
	struct fuse_buf buf = { .mem = NULL };

	while (!fuse_session_exited(l->se)) {
		int n;

		if (!buf.mem)
			buf.mem = buffers_take();
		n = fuse_session_receive_buf(l->se, &buf);
		if (n == -EINTR || n == -EAGAIN || n == -ENOMEM)
			continue;
		if (n <= 0)
			break;
		handle(l, buf.mem, (size_t)n);
		if (current.chunk) {
			buffers_cut(buf.mem, (size_t)n, malloc_usable_size(buf.mem));
			chunk_drop(current.chunk);
			current.chunk = NULL;
			buf.mem = NULL;
		}
	}
	buffers_give(buf.mem);
	fuse_session_exit(l->se);
	pthread_kill(l->main, SIGUSR1);
	return NULL;
}

/* A signal that did not count yet goes on with its request, which may have to wait again: libfuse hears of it
 * first, as it may from the kernel. */
static void pass_on_interrupt(struct loop *l, const struct gate_kept *k)
{
	struct {
		struct fuse_in_header header;
		struct fuse_interrupt_in body;
	} in = {
		.header = { .len = sizeof(in), .opcode = FUSE_INTERRUPT, .unique = k->unique | 1 },
		.body = { .unique = k->unique },
	};

	process(l, &in, sizeof(in), false);
}

/* What was kept while the tree was committed. */
static void *serve_kept(void *arg)
{
	struct loop *l = arg;
	struct gate_kept *k;
	bool refuse;

	while ((k = gate_next(l->gate, &refuse))) {
		if (refuse) {
			answer(l, k->unique, -EINTR);
		} else {
			if (k->interrupted)
				pass_on_interrupt(l, k);
			process(l, k->bytes, k->len, false);
			gate_leave(l->gate);
		}
		free(k);
	}
	return NULL;
}

/* The kernel writes its dirty pages back before an ordinary unmount is done, and our threads
 * serve that: so it must not be one of them that asks. */
static void *unmount(void *arg)
{
	struct loop *l = arg;
	char *argv[] = { (char[]){ "fusermount3" }, (char[]){ "-u" }, (char[]){ "--" },
		l->mountpoint, NULL };
	pid_t pid;
	int status = 1;

	if (umount2(l->mountpoint, UMOUNT_NOFOLLOW) == 0)
		status = 0;
	else if (errno == EPERM &&
	    posix_spawnp(&pid, "fusermount3", NULL, NULL, argv, environ) == 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	atomic_store(&l->unmounted, status == 0);
	return NULL;
}

/* Someone has files open: what the kernel holds of them is written back all the same. */
static void *write_back(void *arg)
{
	struct loop *l = arg;
	int fd = open(l->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		syncfs(fd);
		close(fd);
	}
	return NULL;
}

/* run(f, l): with a bound; false: it did not end in time. */
static bool run_bounded(void *(*f)(void *), struct loop *l)
{
	struct timespec until;
	pthread_t t;

	if (pthread_create(&t, NULL, f, l) != 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += UNMOUNT_WAIT_S;
	if (pthread_timedjoin_np(t, NULL, &until) == 0)
		return true;
	pthread_detach(t);
	return false;
}

static void end_of_read(int signal)
{
	(void)signal;	/* only so that read() returns EINTR */
}

/* The threads may be in read(): a signal gets them out, unless it comes just before. */
static void end_threads(struct loop *l, pthread_t *threads, unsigned int n)
{
	fuse_session_exit(l->se);
	for (unsigned int i = 0; i < n; i++) {
		for (;;) {
			struct timespec until;

			pthread_kill(threads[i], SIGUSR2);
			until = deadline_in(CLOCK_REALTIME, 10);
			if (pthread_timedjoin_np(threads[i], NULL, &until) == 0)
				break;
		}
	}
}

static void wait_for_end(struct loop *l)
{
	sigset_t set;
	int sig = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	while (sigwait(&set, &sig) != 0)
		;
	if (sig == SIGUSR1)
		return;
	log_line(LOG_INFO, "%s: unmounting", strsignal(sig));
	if (!run_bounded(unmount, l))
		log_line(LOG_WARNING, "unmounting took too long; going on");
	else if (!atomic_load(&l->unmounted) && !run_bounded(write_back, l))
		log_line(LOG_WARNING, "writing back open files took too long; going on");
}

int loop_run(struct fuse_session *se, struct gate *gate, const char *mountpoint,
    unsigned int threads)
{
	struct sigaction wake = { .sa_handler = end_of_read };
	/* Static, for a thread that run_bounded() gave up on may still look at it. */
	static struct loop l;
	pthread_t ids[THREADS_MAX], keeper;
	sigset_t usr1;
	unsigned int n;

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	l.se = se;
	l.gate = gate;
	l.main = pthread_self();
	l.mountpoint = strdup(mountpoint);
	if (!l.mountpoint)
		return -ENOMEM;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	sigaction(SIGUSR2, &wake, NULL);
	if (pthread_create(&keeper, NULL, serve_kept, &l) != 0)
		return -EAGAIN;
	for (n = 0; n < threads; n++)
		if (pthread_create(&ids[n], NULL, serve, &l) != 0)
			break;
	if (n > 0)
		wait_for_end(&l);
	end_threads(&l, ids, n);
	gate_end(gate);
	pthread_join(keeper, NULL);
	return n > 0 ? 0 : -EAGAIN;
}
