#define FUSE_USE_VERSION 314
#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * A process serves one session, and FUSE_INIT is its first request, read and answered
 * before any other: so these are written by one thread, once.
 */
static atomic_bool answered;
static uint64_t init_unique;
static uint32_t offered;

#define READ_AHEAD_KIB	1024u	/* as large as a request may be */

#define WANTED	(FUSE_HANDLE_KILLPRIV_V2 | FUSE_PARALLEL_DIROPS | FUSE_SETXATTR_EXT)

/*
 * libfuse 3.14 knows only the short form of a setxattr request: the long one is made short, and
 * what it says more goes into the flags, where no one else uses that bit.
 */
static ssize_t shorten_setxattr(struct fuse_in_header *in, ssize_t n)
{
	struct fuse_setxattr_in *arg = (void *)(in + 1);
	const size_t extra = sizeof(*arg) - FUSE_COMPAT_SETXATTR_IN_SIZE;

	if (!(offered & FUSE_SETXATTR_EXT) || n < (ssize_t)(sizeof(*in) + sizeof(*arg)))
		return n;
	if (arg->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
		arg->flags |= SESSION_KILL_SGID;
	memmove((char *)arg + FUSE_COMPAT_SETXATTR_IN_SIZE, arg + 1,
	    (size_t)n - sizeof(*in) - sizeof(*arg));
	in->len -= (uint32_t)extra;
	return n - (ssize_t)extra;
}

static ssize_t session_read(int fd, void *buf, size_t len, void *userdata)
{
	struct fuse_in_header *in = buf;
	ssize_t n = read(fd, buf, len);

	(void)userdata;
	if (!atomic_load_explicit(&answered, memory_order_relaxed) &&
	    n >= (ssize_t)(sizeof(*in) + 16) && in->opcode == FUSE_INIT) {
		const struct fuse_init_in *init = (const void *)(in + 1);

		init_unique = in->unique;
		offered = init->flags;
	}
	return n > 0 && in->opcode == FUSE_SETXATTR ? shorten_setxattr(in, n) : n;
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *out = iov[0].iov_base;

	(void)userdata;
	if (!atomic_load_explicit(&answered, memory_order_relaxed) && count == 2 &&
	    init_unique && out->unique == init_unique && !out->error &&
	    iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
		struct fuse_init_out *init = iov[1].iov_base;

		init->flags |= offered & WANTED;
		atomic_store(&answered, true);
	}
	return writev(fd, iov, count);
}

void session_read_ahead(const char *mountpoint)
{
	char path[64];
	struct statx st;
	FILE *file;

	/* What the kernel has of the root is enough: nobody would answer yet. */
	if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st) < 0)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major,
	    st.stx_dev_minor);
	file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%u\n", READ_AHEAD_KIB);
	fclose(file);
}

int session_custom_io(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {
		.read = session_read,
		.writev = session_writev,
	};

	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

bool session_calls_in(const char *release)
{
	unsigned int major, minor;

	return sscanf(release, "%u.%u", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 16));
}
