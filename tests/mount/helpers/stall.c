/*
 * stall: for LD_PRELOAD: a disk that hangs when a test wants it to.
 *
 * A call of NAME (fdatasync, pread or pwritev) does not go on while the file STALL_DIR/NAME exists;
 * that there is one which waits shows in STALL_DIR/NAME.waits.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void stall(const char *name)
{
	static const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	const char *dir = getenv("STALL_DIR");
	char path[PATH_MAX], waits[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/nonexistent", name);
	snprintf(waits, sizeof(waits), "%s/%s.waits", dir ? dir : "/nonexistent", name);
	while (access(path, F_OK) == 0) {
		int fd = open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd >= 0)
			close(fd);
		nanosleep(&pause, NULL);
	}
}

int fdatasync(int fd)
{
	stall("fdatasync");
	return NEXT(fdatasync)(fd);
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t off)
{
	stall("pread");
	return NEXT(pread64)(fd, buf, len, off);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t off)
{
	stall("pwritev");
	return NEXT(pwritev64)(fd, iov, count, off);
}
