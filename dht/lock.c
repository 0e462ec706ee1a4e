#include "dht/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 50	/* flock() has no time limit of its own */

static pid_t read_pid(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}

/* Whoever waits reads this; a lock without it is as good. */
static void write_pid(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len)
		return;
}

int lock_take(int dirfd, unsigned int wait_ms, pid_t *holder)
{
	struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	int rc, fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	*holder = 0;
	if (fd < 0)
		return -errno;
	for (unsigned int waited_ms = 0;; waited_ms += STEP_MS) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			write_pid(fd);
			return fd;
		}
		rc = -errno;
		if (rc != -EWOULDBLOCK || waited_ms >= wait_ms)
			break;
		nanosleep(&step, NULL);
	}
	if (rc == -EWOULDBLOCK) {
		*holder = read_pid(fd);
		rc = -EBUSY;
	}
	close(fd);
	return rc;
}
