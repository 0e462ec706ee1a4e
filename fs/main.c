/* dhtfs: from the command line to a mount that serves, and back. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/log.h"
#include "fs/loop.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/place.h"
#include "fs/remount.h"
#include "fs/session.h"
#include "fs/watchdog.h"

#define THREADS		4	/* that read requests; none of them waits for anything */
#define WHY_SIZE	1024
#define MAPPED_MIN	(128 << 10)	/* bytes of memory that get a mapping of their own */
#define HEAP_KEPT	(64 << 20)	/* bytes of free memory at the end of the heap */

/* The end of the pipe on which the parent waits to hear that the mount works; -1: nobody waits. */
static int parent = -1;

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

static void log_fuse(enum fuse_log_level level, const char *format, va_list args)
{
	char text[2048], *line, *rest = text;

	vsnprintf(text, sizeof(text), format, args);
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			log_line((int)level, "%s", line);
	}
}

/* Or what is opened later would get a number that others take for a terminal. */
static void fill_standard_files(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd >= 0)
		close(fd);
}

/* A segment each, and the usual soft limit is 1024. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* In the parent: exit as the child says, or when it says nothing, as it ended. */
static int wait_for_word(int from, pid_t child)
{
	unsigned char status;
	int ended;

	if (read(from, &status, 1) == 1)
		return status;
	if (waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) != 0)
		return WEXITSTATUS(ended);
	if (WIFSIGNALED(ended))
		fprintf(stderr, "dhtfs: ended by %s\n", strsignal(WTERMSIG(ended)));
	return EXIT_FAILURE;
}

/*
 * Before any thread, for threads do not survive a fork.  Until the mount works the child
 * keeps the terminal for its messages, and ends with its parent (who types ^C means both).
 */
static void go_to_background(void)
{
	int ends[2];
	pid_t child, before = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		fprintf(stderr, "dhtfs: could not go to the background: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (child > 0) {
		close(ends[1]);
		exit(wait_for_word(ends[0], child));
	}
	close(ends[0]);
	parent = ends[1];
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != before)
		_exit(EXIT_FAILURE);
	setsid();
	if (chdir("/") < 0)
		_exit(EXIT_FAILURE);
}

/* The mount works: let the parent, and the terminal, go. */
static void leave_parent(const struct options *o)
{
	const unsigned char ok = EXIT_SUCCESS;
	int null;

	if (parent < 0)
		return;
	log_open(true, o->debug);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	prctl(PR_SET_PDEATHSIG, 0);
	if (write(parent, &ok, 1) < 0)
		log_line(LOG_WARNING, "who started the mount is gone; it stays");
	close(parent);
}

/*
 * A store that needs its index rebuilt can take minutes to open, with all ending signals
 * blocked for the sake of the threads that are made meanwhile.  Ending there is a crash, which
 * the store survives by design.
 */
static void *end_at_once(void *arg)
{
	sigset_t set;
	int sig, old;

	(void)arg;
	ending_signals(&set);
	if (sigwait(&set, &sig) != 0)
		return NULL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	log_line(LOG_NOTICE, "%s: not mounted", strsignal(sig));
	_exit(EXIT_FAILURE);
}

/*
 * By itself malloc takes to keeping chunks, which come and go in all lengths, in its heaps, and
 * what is free between them is kept: many times what is in use.
 */
static void bound_heaps(void)
{
	mallopt(M_MMAP_THRESHOLD, MAPPED_MIN);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
}

static struct fs *open_interruptibly(const struct options *o)
{
	char why[WHY_SIZE];
	pthread_t ender;
	bool can_end = pthread_create(&ender, NULL, end_at_once, NULL) == 0;
	struct fs *fs;

	if (fs_open(o, &fs, why, sizeof(why)) < 0)
		log_line(LOG_ERR, "%s", why);
	if (can_end) {
		pthread_cancel(ender);
		pthread_join(ender, NULL);
	}
	return fs;
}

/*
 * The mount is at its end, and late answers may still come, from threads that fs_close() ends.
 * fuse_session_unmount() would close the device under them, and the number of its descriptor
 * could be a segment's by the time they write.  So the number is kept until then, for a pipe
 * that nobody reads: what is written there fails, as does whatever the kernel still asks, so
 * that the unmount (of a mount that is in use yet) waits for nobody.  And polling it gives
 * POLLERR, by which libfuse knows later that there is nothing left to unmount.
 */
static void let_go(struct fuse_session *session, char *mountpoint)
{
	char *argv[] = { (char[]){ "fusermount3" }, (char[]){ "-uqz" }, (char[]){ "--" }, mountpoint,
		NULL };
	struct pollfd device = { .fd = fuse_session_fd(session) };
	bool unmounted = poll(&device, 1, 0) == 1 && device.revents & POLLERR;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_line(LOG_WARNING, "a pipe: %s", strerror(errno));
	} else {
		dup3(ends[1], device.fd, O_CLOEXEC);
		close(ends[0]);
		close(ends[1]);
	}
	if (unmounted || umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno != EPERM)
		return;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
}

static int serve(struct fs *fs)
{
	const struct options *o = fs->options;
	int r;

	/* libfuse, and fusermount3, say what is wrong themselves. */
	if (fuse_session_mount(fs->session, o->mountpoint) != 0)
		return -EIO;
	r = session_custom_io(fs->session);
	session_read_ahead(o->mountpoint);
	watchdog_watch(o->mountpoint);
	if (r < 0) {
		log_line(LOG_ERR, "could not take over the session: %s", strerror(-r));
	} else {
		leave_parent(o);
		log_line(LOG_INFO, "mounted %s with store %s", o->mountpoint, o->store);
		r = loop_run(fs->session, fs->gate, o->mountpoint, THREADS);
		if (r < 0)
			log_line(LOG_ERR, "could not serve: %s", strerror(-r));
	}
	let_go(fs->session, o->mountpoint);
	return r;
}

static int run(const struct options *o)
{
	struct fuse_args args = { .argc = o->fuse_argc, .argv = o->fuse_args };
	struct fs *fs = open_interruptibly(o);
	struct fuse_session *session;
	int r, closed;

	if (!fs)
		return EXIT_FAILURE;
	session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), fs);
	fuse_opt_free_args(&args);
	fs->session = session;
	r = session ? serve(fs) : -EINVAL;

	closed = fs_close(fs);
	if (closed < 0)
		log_line(LOG_CRIT, "%s: not everything that was written could be kept: %s",
		    o->mountpoint, strerror(-closed));
	else if (r == 0)
		log_line(LOG_INFO, "unmounted %s", o->mountpoint);
	/* Requests hold the session until their answer. */
	if (session) {
		fuse_session_unmount(session);
		fuse_session_destroy(session);
	}
	return r < 0 || closed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o;
	sigset_t set;
	int r;

	fill_standard_files();
	bound_heaps();
	r = options_parse(argc, argv, &o);
	if (r == 0 && o.remount) {
		r = remount(&o);
		options_free(&o);
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (r != 0 || place_check(&o) < 0) {
		options_free(&o);
		return r > 0 ? EXIT_SUCCESS : r < 0 ? 2 : EXIT_FAILURE;
	}
	/* Only the store's files are made by this process itself, and they are nobody else's. */
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	log_open(false, o.debug);
	fuse_set_log_func(log_fuse);
	raise_limits();
	if (!o.foreground)
		go_to_background();
	r = watchdog_start(o.mountpoint);
	if (r < 0)
		log_line(LOG_WARNING, "no watchdog for the mount: %s", strerror(-r));
	ending_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	r = run(&o);
	options_free(&o);
	return r;
}
