/*
 * stall: for LD_PRELOAD: a disk that hangs, or fails, when a test wants it to.
 *
 * A call of NAME (fdatasync, pread, pwrite: in whatever form) does not go on while the file STALL_DIR/NAME
 * exists; that there is one which waits shows in STALL_DIR/NAME.waits.  It fails while
 * STALL_DIR/NAME.fails exists, which has the errno's number in it (EIO if it is empty), and an N behind
 * that makes it fail the N-th time only, counted in this process.  tree.NAME is the same for the file of
 * the tree alone, and segment.NAME for the others.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void stall(const char *path)
{
	static const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	char waits[PATH_MAX + 8];

	snprintf(waits, sizeof(waits), "%s.waits", path);
	while (access(path, F_OK) == 0) {
		int fd = open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd >= 0)
			close(fd);
		nanosleep(&pause, NULL);
	}
}

/* The errno to fail with; 0: none. */
static int fault(const char *path)
{
	static atomic_int calls;
	char fails[PATH_MAX + 8];
	int error = EIO, nth = 0;
	FILE *f;

	snprintf(fails, sizeof(fails), "%s.fails", path);
	f = fopen(fails, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d %d", &error, &nth) == 2 && atomic_fetch_add(&calls, 1) + 1 != nth)
		error = 0;
	fclose(f);
	return error;
}

/* Is it a file of the store, and the tree's? */
static int is_store(int fd, int *tree)
{
	char link[32], path[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || path[0] != '/')
		return 0;
	path[n] = '\0';
	name = strrchr(path, '/') + 1;
	*tree = strcmp(name, "tree") == 0;
	return strncmp(path, "/dev/", 5) != 0;
}

/* 0: the call goes on. */
static int meddle(int fd, const char *name)
{
	const char *dir = getenv("STALL_DIR");
	int tree, error, saved = errno;
	char path[PATH_MAX];

	if (!dir || !is_store(fd, &tree)) {
		errno = saved;
		return 0;
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	stall(path);
	error = fault(path);
	snprintf(path, sizeof(path), "%s/%s.%s", dir, tree ? "tree" : "segment", name);
	stall(path);
	error = error ? error : fault(path);
	errno = error ? error : saved;
	return error ? -1 : 0;
}

int fdatasync(int fd)
{
	return meddle(fd, "fdatasync") < 0 ? -1 : NEXT(fdatasync)(fd);
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t off)
{
	return meddle(fd, "pread") < 0 ? -1 : NEXT(pread64)(fd, buf, len, off);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return meddle(fd, "pwrite") < 0 ? -1 : NEXT(pwrite)(fd, buf, len, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	return meddle(fd, "pwrite") < 0 ? -1 : NEXT(pwrite64)(fd, buf, len, off);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return meddle(fd, "pwrite") < 0 ? -1 : NEXT(writev)(fd, iov, count);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t off)
{
	return meddle(fd, "pwrite") < 0 ? -1 : NEXT(pwritev64)(fd, iov, count, off);
}
