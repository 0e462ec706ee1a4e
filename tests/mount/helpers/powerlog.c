/*
 * powerlog: for LD_PRELOAD: records every change below POWERLOG_ROOT (tests/lib/powerlog.h), and
 * fails syncs when told to.
 *
 * While the file POWERLOG_FILE.fail exists, the next fdatasync, fsync or durable write of a file
 * whose name begins with that file's first line fails with EIO instead, once.  All calls are
 * plain system calls, so that nothing stands between the record and the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../lib/powerlog.h"

#define FDS_MAX 65536

static const char *root, *log_path;
static size_t root_len;
static int log_fd = -1;
static atomic_uchar tracked[FDS_MAX];	/* by descriptor: open below the root */
static atomic_ullong sync_id;

__attribute__((constructor)) static void start(void)
{
	root = getenv("POWERLOG_ROOT");
	log_path = getenv("POWERLOG_FILE");
	if (!root || !log_path)
		return;
	root_len = strlen(root);
	log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	/* Out of the way of what the program counts on. */
	if (log_fd >= 0) {
		int high = (int)syscall(SYS_fcntl, log_fd, F_DUPFD_CLOEXEC, 900);

		if (high >= 0) {
			syscall(SYS_close, log_fd);
			log_fd = high;
		}
	}
}

static void record(struct powerlog_record r, const struct iovec *payload, int count)
{
	static char zeros[8];
	struct iovec iov[17] = { { .iov_base = &r, .iov_len = sizeof(r) } };
	size_t total = sizeof(r);
	int saved = errno;

	r.magic = POWERLOG_MAGIC;
	for (int i = 0; i < count; i++) {
		iov[i + 1] = payload[i];
		total += payload[i].iov_len;
	}
	r.len = total - sizeof(r);
	iov[count + 1] = (struct iovec){ .iov_base = zeros, .iov_len = -total % 8 };
	total += iov[count + 1].iov_len;
	/* A record that is cut short would make all others unreadable. */
	if (syscall(SYS_writev, log_fd, iov, count + 2) != (long)total)
		abort();
	errno = saved;
}

static void record_name(struct powerlog_record r, const char *name)
{
	char copy[PATH_MAX];
	struct iovec iov = { .iov_base = copy };

	iov.iov_len = (size_t)snprintf(copy, sizeof(copy), "%s", name);
	record(r, &iov, 1);
}

/* The name of an open file relative to the root, or NULL: it is elsewhere. */
static const char *name_of(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	if (log_fd < 0 || fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	if (n < (ssize_t)root_len)
		return NULL;
	path[n] = '\0';
	if (strncmp(path, root, root_len) != 0)
		return NULL;
	if (path[root_len] == '\0')
		return path + root_len;
	return path[root_len] == '/' ? path + root_len + 1 : NULL;
}

static uint64_t number_of(int fd, bool *dir)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 0;
	if (dir)
		*dir = S_ISDIR(st.st_mode);
	return st.st_ino;
}

static bool is_tracked(int fd)
{
	return log_fd >= 0 && fd >= 0 && fd < FDS_MAX && tracked[fd];
}

/* A name that is about to be removed or has just been made: its file. */
static uint64_t look(int dirfd, const char *path, char buf[PATH_MAX], const char **name)
{
	uint64_t number = 0;
	int saved = errno;
	int fd = log_fd < 0
	    ? -1
	    : (int)syscall(SYS_openat, dirfd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	*name = NULL;
	if (fd >= 0) {
		*name = name_of(fd, buf);
		number = number_of(fd, NULL);
		syscall(SYS_close, fd);
	}
	errno = saved;
	return number;
}

static int opened(int fd, bool made, int flags)
{
	char path[PATH_MAX];
	const char *name;
	int saved = errno;
	bool dir = false;
	uint64_t number;

	if (fd < 0 || fd >= FDS_MAX)
		return fd;
	name = name_of(fd, path);
	tracked[fd] = 0;
	if (name) {
		number = number_of(fd, &dir);
		tracked[fd] = !dir && !(flags & O_PATH);
		if (made)
			record_name(
			    (struct powerlog_record){ .type = POWERLOG_CREATE, .file = number },
			    name);
		else if (flags & O_TRUNC)
			record((struct powerlog_record){ .type = POWERLOG_SIZE, .file = number },
			    NULL, 0);
	}
	errno = saved;
	return fd;
}

/* Who makes a file has to know that it was not there. */
static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (!(flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		return opened((int)syscall(SYS_openat, dirfd, path, flags, mode), false, flags);
	for (;;) {
		fd = (int)syscall(SYS_openat, dirfd, path, flags | O_EXCL, mode);
		if (fd >= 0 || errno != EEXIST || flags & O_EXCL)
			return opened(fd, fd >= 0, flags);
		fd = (int)syscall(SYS_openat, dirfd, path, flags & ~O_CREAT, mode);
		if (fd >= 0 || errno != ENOENT)
			return opened(fd, false, flags);
	}
}

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return do_open(dirfd, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return do_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *, int) __attribute__((alias("__open_2")));

int __openat_2(int dirfd, const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}
int __openat64_2(int, const char *, int) __attribute__((alias("__openat_2")));

int creat(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *, mode_t) __attribute__((alias("creat")));

int close(int fd)
{
	if (fd >= 0 && fd < FDS_MAX)
		tracked[fd] = 0;
	return (int)syscall(SYS_close, fd);
}

/* Is the next sync of this file the one that is to fail? */
static bool fails(int fd)
{
	char control[PATH_MAX], prefix[64] = "", path[PATH_MAX];
	const char *name = name_of(fd, path), *base;
	ssize_t n;
	int c;

	snprintf(control, sizeof(control), "%s.fail", log_path);
	c = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
	if (c < 0)
		return false;
	n = syscall(SYS_read, c, prefix, sizeof(prefix) - 1);
	syscall(SYS_close, c);
	prefix[n > 0 ? n : 0] = '\0';
	prefix[strcspn(prefix, "\n")] = '\0';
	if (!name || !prefix[0])
		return false;
	base = strrchr(name, '/');
	base = base ? base + 1 : name;
	/* Whoever takes the file away is the one that fails. */
	return strncmp(base, prefix, strlen(prefix)) == 0 &&
	    syscall(SYS_unlinkat, AT_FDCWD, control, 0) == 0;
}

static int do_sync(int fd, long call)
{
	struct powerlog_record r = { .a = atomic_fetch_add(&sync_id, 1) };
	bool dir = false, file = is_tracked(fd);
	char path[PATH_MAX];
	const char *name = NULL;
	int rc;

	if (log_fd < 0)
		return (int)syscall(call, fd);
	r.file = number_of(fd, &dir);
	if (dir)
		name = name_of(fd, path);
	if (!file && !name)
		return (int)syscall(call, fd);
	r.type = name ? POWERLOG_SYNC_DIR : POWERLOG_SYNC;
	record_name(r, name ? name : "");
	if (fails(fd)) {
		errno = EIO;
		rc = -1;
	} else {
		rc = (int)syscall(call, fd);
	}
	r.type = name ? POWERLOG_SYNCED_DIR : POWERLOG_SYNCED;
	r.b = rc < 0 ? (uint64_t)errno : 0;
	record_name(r, name ? name : "");
	return rc;
}

int fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync);
}

int fsync(int fd)
{
	return do_sync(fd, SYS_fsync);
}

/* How many bytes were written, as the first iovecs of a record. */
static void wrote(int fd, uint64_t off, const struct iovec *iov, int count, ssize_t n)
{
	struct powerlog_record r = {
		.type = POWERLOG_WRITE, .file = number_of(fd, NULL), .off = off
	};
	struct iovec part[15];
	int used = 0;

	r.a = (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0;
	for (int i = 0; i < count && n > 0; i++) {
		if (used == 15) {
			record(r, part, used);
			r.off = off;
			used = 0;
		}
		part[used] = iov[i];
		if (part[used].iov_len > (size_t)n)
			part[used].iov_len = (size_t)n;
		n -= (ssize_t)part[used].iov_len;
		off += part[used++].iov_len;
	}
	if (used > 0)
		record(r, part, used);
}

static ssize_t do_writev(int fd, const struct iovec *iov, int count, off_t off, bool at)
{
	ssize_t n;

	if (!is_tracked(fd))
		return at ? syscall(SYS_pwritev, fd, iov, count, off, 0)
			  : syscall(SYS_writev, fd, iov, count);
	if (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC && fails(fd)) {
		errno = EIO;
		return -1;
	}
	if (!at)
		off = syscall(SYS_lseek, fd, 0, SEEK_CUR);
	n = at ? syscall(SYS_pwritev, fd, iov, count, off, 0) : syscall(SYS_writev, fd, iov, count);
	if (n > 0)
		wrote(fd, (uint64_t)off, iov, count, n);
	return n;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return do_writev(fd, iov, count, 0, false);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
	return do_writev(fd, iov, count, off, true);
}
ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));

static struct iovec vec(const void *buf, size_t len)
{
	union {
		const void *in;
		void *out;	/* only read from */
	} u = { .in = buf };

	return (struct iovec){ .iov_base = u.out, .iov_len = len };
}

ssize_t write(int fd, const void *buf, size_t len)
{
	struct iovec iov = vec(buf, len);

	return is_tracked(fd) ? do_writev(fd, &iov, 1, 0, false) : syscall(SYS_write, fd, buf, len);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct iovec iov = vec(buf, len);

	return is_tracked(fd) ? do_writev(fd, &iov, 1, off, true)
			      : syscall(SYS_pwrite64, fd, buf, len, off);
}
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

int ftruncate(int fd, off_t size)
{
	int rc = (int)syscall(SYS_ftruncate, fd, size);

	if (rc == 0 && is_tracked(fd))
		record((struct powerlog_record){ .type = POWERLOG_SIZE, .file = number_of(fd, NULL),
		    .a = (uint64_t)size }, NULL, 0);
	return rc;
}
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

int fallocate(int fd, int mode, off_t off, off_t len)
{
	int rc = (int)syscall(SYS_fallocate, fd, mode, off, len);
	struct powerlog_record r = { .off = (uint64_t)off, .a = (uint64_t)len };

	if (rc < 0 || !is_tracked(fd))
		return rc;
	r.file = number_of(fd, NULL);
	r.type = POWERLOG_ZERO;
	r.b = mode & FALLOC_FL_KEEP_SIZE ? 0 : (uint64_t)(off + len);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		record(r, NULL, 0);
	if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
		abort();
	r.type = POWERLOG_GROW;
	r.a = r.b;
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		record(r, NULL, 0);
	return rc;
}
int fallocate64(int, int, off_t, off_t) __attribute__((alias("fallocate")));

/* The C library's falls back to writes where the file system can't: not here. */
int posix_fallocate(int fd, off_t off, off_t len)
{
	int saved = errno;
	int rc = fallocate(fd, 0, off, len) < 0 ? errno : 0;

	errno = saved;
	return rc;
}
int posix_fallocate64(int, off_t, off_t) __attribute__((alias("posix_fallocate")));

int unlinkat(int dirfd, const char *path, int flags)
{
	char buf[PATH_MAX];
	const char *name;
	uint64_t number = look(dirfd, path, buf, &name);
	int rc = (int)syscall(SYS_unlinkat, dirfd, path, flags);

	if (rc == 0 && name)
		record_name(
		    (struct powerlog_record){ .type = POWERLOG_UNLINK, .file = number }, name);
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
	char buf[PATH_MAX];
	const char *name;
	uint64_t number;
	int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);

	if (rc < 0)
		return rc;
	number = look(AT_FDCWD, path, buf, &name);
	if (name)
		record_name(
		    (struct powerlog_record){ .type = POWERLOG_MKDIR, .file = number }, name);
	return rc;
}

int renameat2(int olddir, const char *old, int newdir, const char *new, unsigned int flags)
{
	char from[PATH_MAX], to[PATH_MAX], both[2 * PATH_MAX];
	const char *old_name, *new_name;
	struct iovec iov = { .iov_base = both };
	uint64_t number = look(olddir, old, from, &old_name);
	int rc = (int)syscall(SYS_renameat2, olddir, old, newdir, new, flags);

	if (rc < 0 || !old_name)
		return rc;
	look(newdir, new, to, &new_name);
	if (!new_name || flags != 0)
		abort();
	iov.iov_len = (size_t)snprintf(both, sizeof(both), "%s%c%s", old_name, '\0', new_name);
	record((struct powerlog_record){ .type = POWERLOG_RENAME, .file = number }, &iov, 1);
	return rc;
}

int renameat(int olddir, const char *old, int newdir, const char *new)
{
	return renameat2(olddir, old, newdir, new, 0);
}

int rename(const char *old, const char *new)
{
	return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int linkat(int olddir, const char *old, int newdir, const char *new, int flags)
{
	char buf[PATH_MAX];
	const char *name;
	uint64_t number;
	int rc = (int)syscall(SYS_linkat, olddir, old, newdir, new, flags);

	if (rc < 0)
		return rc;
	number = look(newdir, new, buf, &name);
	if (name)
		record_name(
		    (struct powerlog_record){ .type = POWERLOG_LINK, .file = number }, name);
	return rc;
}

int link(const char *old, const char *new)
{
	return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
	char path[PATH_MAX];
	const char *name;

	if (p != MAP_FAILED && prot & PROT_WRITE && flags & MAP_SHARED && is_tracked(fd) &&
	    (name = name_of(fd, path)))
		record_name((struct powerlog_record){ .type = POWERLOG_MAP,
		    .file = number_of(fd, NULL) }, name);
	return p;
}
void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
