#include "dht/peer/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int say(const char *path, const char *what, int error, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s: %s: %s", path, what, strerror(error));
	return -error;
}

static long read_all(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, size - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (len == size)
			return -EFBIG;
	}
	text[len] = '\0';
	return (long)len;
}

long keyfile_read(const char *path, char *text, size_t size, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	long len;

	if (fd < 0)
		return say(path, "could not be opened", errno, why, why_size);
	if (fstat(fd, &st) < 0) {
		len = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		len = -EINVAL;
	} else if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		snprintf(why, why_size, "%s holds a secret and others can read or change it: chmod 600 %s", path, path);
		close(fd);
		return -EACCES;
	} else {
		len = read_all(fd, text, size);
	}
	close(fd);
	return len < 0 ? say(path, "could not be read", (int)-len, why, why_size) : len;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	int fd, rc;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* A name of its own first, then link(): what a crash leaves is a whole file or none, and none is replaced. */
int keyfile_write(const char *path, const char *text, size_t len, char *why, size_t why_size)
{
	char fresh[PATH_MAX];
	int fd, rc;

	if (snprintf(fresh, sizeof(fresh), "%s.XXXXXX", path) >= (int)sizeof(fresh))
		return say(path, "could not be made", ENAMETOOLONG, why, why_size);
	fd = mkostemp(fresh, O_CLOEXEC);
	if (fd < 0)
		return say(path, "could not be made", errno, why, why_size);
	rc = fchmod(fd, S_IRUSR | S_IWUSR) < 0 ? -errno : write_all(fd, text, len);
	close(fd);
	if (rc == 0 && link(fresh, path) < 0)
		rc = -errno;
	unlink(fresh);
	if (rc == 0)
		rc = sync_folder(path);
	return rc < 0 ? say(path, "could not be written", -rc, why, why_size) : 0;
}
