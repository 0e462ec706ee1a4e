#include "dht/format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME	 "format"
#define CLEANS	 "cleaned"
#define TEXT_MAX 128

static int text_of(char *out, unsigned int version, uint64_t id)
{
	return snprintf(out, TEXT_MAX, "dhtfs store\nformat %u\nid %016" PRIx64 "\n", version, id);
}

int format_read(const struct io *io, int dirfd, unsigned int *version, uint64_t *id)
{
	char text[TEXT_MAX], again[TEXT_MAX];
	int fd = io->open(io->ctx, dirfd, NAME, O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = io->pread(io->ctx, fd, text, sizeof(text) - 1, 0);
	io->close(io->ctx, fd);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	if (sscanf(text, "dhtfs store\nformat %u\n", version) != 1)
		return -EBADMSG;
	/* What a later version wrote behind its number is not for us to read. */
	if (*version != FORMAT_VERSION)
		return -EPROTO;
	if (sscanf(text, "dhtfs store\nformat %u\nid %16" SCNx64 "\n", version, id) != 2)
		return -EBADMSG;
	text_of(again, *version, *id);
	return strcmp(text, again) == 0 ? 0 : -EBADMSG;
}

int format_write(const struct io *io, int dirfd, uint64_t id)
{
	char text[TEXT_MAX];
	struct iovec iov = { .iov_base = text };
	ssize_t n;
	int rc, fd = io->open(io->ctx, dirfd, NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		return fd;
	iov.iov_len = (size_t)text_of(text, FORMAT_VERSION, id);
	n = io->pwritev(io->ctx, fd, &iov, 1, 0);
	rc = n < 0 ? (int)n : io->fdatasync(io->ctx, fd);
	io->close(io->ctx, fd);
	return rc < 0 ? rc : io->fsync_dir(io->ctx, dirfd);
}

static int cleans_text(char *out, uint64_t cleans)
{
	return snprintf(out, TEXT_MAX, "cleans %020" PRIu64 "\n", cleans);
}

int cleans_read(const struct io *io, int dirfd, uint64_t *cleans)
{
	char text[TEXT_MAX], again[TEXT_MAX];
	int fd = io->open(io->ctx, dirfd, CLEANS, O_RDONLY, 0);
	ssize_t n;

	*cleans = 0;
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	n = io->pread(io->ctx, fd, text, sizeof(text) - 1, 0);
	io->close(io->ctx, fd);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	/* One that a crash kept from being written: nothing had been given back yet. */
	if (n == 0)
		return 0;
	if (sscanf(text, "cleans %20" SCNu64 "\n", cleans) == 1 && cleans_text(again, *cleans) == n &&
	    strcmp(text, again) == 0)
		return 0;
	*cleans = UINT64_MAX / 2;
	return 0;
}

/* Over the old text, and of its length: it fits in a sector, so that one or the other is there. */
int cleans_write(const struct io *io, int dirfd, uint64_t cleans)
{
	char text[TEXT_MAX];
	struct iovec iov = { .iov_base = text };
	ssize_t n;
	int rc, fd = io->open(io->ctx, dirfd, CLEANS, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return fd;
	iov.iov_len = (size_t)cleans_text(text, cleans);
	n = io->pwritev(io->ctx, fd, &iov, 1, 0);
	rc = n < 0 ? (int)n : io->fdatasync(io->ctx, fd);
	io->close(io->ctx, fd);
	return rc < 0 ? rc : io->fsync_dir(io->ctx, dirfd);
}
