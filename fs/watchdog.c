#include "fs/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/program/log.h"

#define END_MS 2000	/* for a process that was killed and can end */
#define DEATH SIGUSR1	/* of the parent; what others are sent, to end them, is not meant */

static int to_watchdog = -1;

static void end_connection(unsigned int device, const char *mountpoint)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", device);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) < 0)
		umount2(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW);
}

static void watch(int from, int parent, const char *mountpoint)
{
	struct pollfd ended = { .fd = parent, .events = POLLIN };
	unsigned int device;
	sigset_t set;
	int sig;

	if (read(from, &device, sizeof(device)) != (ssize_t)sizeof(device))
		return;
	sigemptyset(&set);
	sigaddset(&set, DEATH);
	sigwait(&set, &sig);
	if (poll(&ended, 1, END_MS) == 0)
		end_connection(device, mountpoint);
}

/* Nothing is kept open but what is needed: others may wait for the ends of pipes. */
static void run(int from, int parent, const char *mountpoint)
{
	int null = open("/dev/null", O_RDWR);
	const int keep[2] = { from < parent ? from : parent, from < parent ? parent : from };

	for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close_range(STDERR_FILENO + 1, (unsigned int)keep[0] - 1, 0);
	close_range((unsigned int)keep[0] + 1, (unsigned int)keep[1] - 1, 0);
	close_range((unsigned int)keep[1] + 1, ~0u, 0);
	setsid();
	/* Its name is another, so that who ends all of that name leaves it its work. */
	prctl(PR_SET_NAME, "mount-watchdog");
	watch(from, parent, mountpoint);
	_exit(0);
}

int watchdog_start(const char *mountpoint)
{
	sigset_t set, before;
	int ends[2], self, rc = 0;
	pid_t child;

	self = pidfd_open(getpid(), 0);
	if (self < 0)
		return -errno;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		rc = -errno;
		close(self);
		return rc;
	}
	/* Its parent's end alone wakes it. */
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &before);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, DEATH);
		close(ends[1]);
		run(ends[0], self, mountpoint);
	}
	if (child < 0)
		rc = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(self);
	close(ends[0]);
	if (rc < 0)
		close(ends[1]);
	else
		to_watchdog = ends[1];
	return rc;
}

void watchdog_watch(const char *mountpoint)
{
	struct statx st;

	if (to_watchdog < 0)
		return;
	/* What the kernel has of the root is enough: nobody would answer yet. */
	if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st) == 0) {
		unsigned int device = st.stx_dev_minor;

		if (write(to_watchdog, &device, sizeof(device)) < 0)
			log_line(LOG_WARNING, "the mount's watchdog is gone: %s", strerror(errno));
	}
	close(to_watchdog);
	to_watchdog = -1;
}
