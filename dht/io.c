#include "dht/io.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define IOV_FEW 8	/* no caller passes more */

static int sys_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	int fd;

	(void)ctx;
	do
		fd = openat(dirfd, name, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int sys_close(void *ctx, int fd)
{
	(void)ctx;
	/* Linux has closed it even where it says EINTR. */
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t sys_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	(void)ctx;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t sys_pwritev(void *ctx, int fd, const struct iovec *iov, int count, uint64_t off)
{
	struct iovec left[IOV_FEW], *v = left;
	ssize_t done = 0;

	(void)ctx;
	assert(count <= IOV_FEW);
	memcpy(left, iov, (size_t)count * sizeof(*iov));
	while (count > 0) {
		ssize_t n = pwritev(fd, v, count, (off_t)off + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 && v->iov_len > 0)
			return -EIO;
		done += n;
		while (count > 0 && (size_t)n >= v->iov_len) {
			n -= (ssize_t)v->iov_len;
			v++;
			count--;
		}
		if (count > 0) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= (size_t)n;
		}
	}
	return done;
}

static int sys_fdatasync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int sys_fsync_dir(void *ctx, int dirfd)
{
	(void)ctx;
	return fsync(dirfd) < 0 ? -errno : 0;
}

static int sys_truncate(void *ctx, int fd, uint64_t len)
{
	int rc;

	(void)ctx;
	do
		rc = ftruncate(fd, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int sys_allocate(void *ctx, int fd, uint64_t off, uint64_t len)
{
	int rc;

	(void)ctx;
	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int sys_punch(void *ctx, int fd, uint64_t off, uint64_t len)
{
	int rc;

	(void)ctx;
	do
		rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int sys_taken(void *ctx, int fd, uint64_t *bytes)
{
	struct stat st;

	(void)ctx;
	if (fstat(fd, &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

static int sys_unlink(void *ctx, int dirfd, const char *name)
{
	(void)ctx;
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

static int sys_list(void *ctx, int dirfd, int (*each)(void *arg, const char *name), void *arg)
{
	struct dirent *e;
	DIR *d;
	int rc = 0, fd;

	(void)ctx;
	/* A descriptor of its own: the position of a duplicate would be shared. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while (rc == 0) {
		errno = 0;
		e = readdir(d);
		if (!e) {
			rc = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = each(arg, e->d_name);
	}
	closedir(d);
	return rc;
}

static int sys_size(void *ctx, int fd, uint64_t *len)
{
	struct stat st;

	(void)ctx;
	if (fstat(fd, &st) < 0)
		return -errno;
	*len = (uint64_t)st.st_size;
	return 0;
}

static int sys_disk_space(void *ctx, int dirfd, uint64_t *available, uint64_t *total)
{
	struct statvfs st;

	(void)ctx;
	if (fstatvfs(dirfd, &st) < 0)
		return -errno;
	*available = (uint64_t)st.f_bavail * st.f_frsize;
	*total = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}

const struct io io_system = {
	.open = sys_open,
	.close = sys_close,
	.pread = sys_pread,
	.pwritev = sys_pwritev,
	.fdatasync = sys_fdatasync,
	.fsync_dir = sys_fsync_dir,
	.truncate = sys_truncate,
	.allocate = sys_allocate,
	.punch = sys_punch,
	.taken = sys_taken,
	.unlink = sys_unlink,
	.list = sys_list,
	.size = sys_size,
	.disk_space = sys_disk_space,
};
