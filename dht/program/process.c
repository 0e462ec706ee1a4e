#include "dht/program/process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dht/program/log.h"

#define MAPPED_MIN	(128 << 10)	/* bytes of memory that get a mapping of their own */
#define HEAP_KEPT	(64 << 20)	/* bytes of free memory at the end of the heap */
#define FILES_FEW	4096u		/* open files: a segment of 256 MiB each, and 128 links */

/* The end of the pipe on which the parent waits to hear that all works; -1: nobody waits. */
static int parent = -1;

static pthread_t ender;
static bool ending;

/* Or what is opened later would get a number that others take for a terminal. */
static void fill_standard_files(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd >= 0)
		close(fd);
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

/* The usual soft limit is 1024. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < FILES_FEW)
		log_line(LOG_WARNING, "only %llu files may be open at once, which a large store exceeds: "
		    "raise the hard limit (ulimit -Hn, or LimitNOFILE= of systemd)",
		    (unsigned long long)files.rlim_max);
}

void process_begin(void)
{
	fill_standard_files();
	bound_heaps();
}

void process_serve(void)
{
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
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
		fprintf(stderr, "%s: ended by %s\n", log_name(), strsignal(WTERMSIG(ended)));
	return EXIT_FAILURE;
}

void process_background(void)
{
	int ends[2];
	pid_t child, before = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		fprintf(stderr, "%s: could not go to the background: %s\n", log_name(), strerror(errno));
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

static void leave_parent(void)
{
	const unsigned char ok = EXIT_SUCCESS;
	int null;

	log_background();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	prctl(PR_SET_PDEATHSIG, 0);
	if (write(parent, &ok, 1) < 0)
		log_line(LOG_WARNING, "who started this is gone; it stays");
	close(parent);
	parent = -1;
}

/* sd_notify(3): one datagram to a Unix socket; a name that begins with '@' is an abstract one. */
static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(address.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_line(LOG_WARNING, "%s, to which NOTIFY_SOCKET points: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void process_ready(void)
{
	char text[64];

	if (parent >= 0)
		leave_parent();
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int)getpid());
	notify(text);
}

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void process_block_signals(sigset_t *set)
{
	ending_signals(set);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void *end_at_once(void *arg)
{
	const char *what = arg;
	sigset_t set;
	int sig, old;

	ending_signals(&set);
	if (sigwait(&set, &sig) != 0)
		return NULL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	log_line(LOG_NOTICE, "%s: %s", strsignal(sig), what);
	_exit(EXIT_FAILURE);
}

void process_end_at_once(const char *what)
{
	char *text;

	memcpy(&text, &what, sizeof(text));	/* a thread's argument has no const */
	ending = pthread_create(&ender, NULL, end_at_once, text) == 0;
}

void process_end_orderly(void)
{
	if (!ending)
		return;
	pthread_cancel(ender);
	pthread_join(ender, NULL);
	ending = false;
}
