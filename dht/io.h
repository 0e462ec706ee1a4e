/* io: every call that dht/ makes on files of its own, so that tests can lose, tear and fail them. */
#ifndef DHT_IO_H
#define DHT_IO_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * As the system calls of the same names, but results are >= 0 or -errno, EINTR is retried
 * and short counts are only returned at the end of a file.  ctx is passed as it is.
 */
struct io {
	void *ctx;
	int (*open)(void *ctx, int dirfd, const char *name, int flags, mode_t mode);
	int (*close)(void *ctx, int fd);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t len, uint64_t off);
	ssize_t (*pwritev)(void *ctx, int fd, const struct iovec *iov, int count, uint64_t off);
	int (*fdatasync)(void *ctx, int fd);
	int (*fsync_dir)(void *ctx, int dirfd);
	int (*truncate)(void *ctx, int fd, uint64_t len);
	int (*allocate)(void *ctx, int fd, uint64_t off, uint64_t len);	/* FALLOC_FL_KEEP_SIZE */
	int (*punch)(void *ctx, int fd, uint64_t off, uint64_t len);	/* FALLOC_FL_PUNCH_HOLE */
	int (*taken)(void *ctx, int fd, uint64_t *bytes);	/* on the disk, holes not counted */
	int (*unlink)(void *ctx, int dirfd, const char *name);
	/* each(arg, name) for every entry of dirfd but "." and "..", until one returns not 0 */
	int (*list)(void *ctx, int dirfd, int (*each)(void *arg, const char *name), void *arg);
	int (*size)(void *ctx, int fd, uint64_t *len);
	/* bytes that an ordinary user can still write on the file system of dirfd, and its size */
	int (*disk_space)(void *ctx, int dirfd, uint64_t *available, uint64_t *total);
};

/** io_system: the system's files. */
extern const struct io io_system;

#endif
