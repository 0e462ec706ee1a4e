#include "dht/control/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "chunker/bytes.h"

/* poll() for ${events} on the socket, and for ${event_fd} (-1: none).  0 when one of these came. */
static int wait_for(struct channel *c, short events, int event_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = c->fd, .events = (short)(events | POLLRDHUP) },
		{ .fd = c->stop_fd, .events = POLLIN },
		{ .fd = event_fd, .events = POLLIN },
	};
	int n;

	do
		n = poll(fds, 3, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* What has come already counts more than that no more will. */
	if (fds[2].revents || (fds[0].revents & events))
		return 0;
	if (fds[1].revents)
		return -ECANCELED;
	if (fds[0].revents)
		return -EPIPE;
	return -ETIMEDOUT;
}

static int send_error(int error)
{
	return error == ECONNRESET ? -EPIPE : -error;
}

int channel_send(struct channel *c, enum frame_type type, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_LEN];
	struct iovec iov[2] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_len = len },
	};
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t left = sizeof(header) + len;
	int r;

	/* An iovec has no const; and none is moved on from NULL. */
	if (len > 0)
		memcpy(&iov[1].iov_base, &payload, sizeof(payload));
	else
		iov[1].iov_base = header;
	frame_header_encode(type, (uint32_t)len, header);
	while (left > 0) {
		ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return send_error(errno);
		if (n < 0) {
			r = wait_for(c, POLLOUT, -1, CHANNEL_FOREVER);
			if (r < 0)
				return r;
			continue;
		}
		left -= (size_t)n;
		for (int i = 0; i < 2; i++) {
			size_t gone = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (char *)iov[i].iov_base + gone;
			iov[i].iov_len -= gone;
			n -= (ssize_t)gone;
		}
	}
	return 0;
}

int channel_send_error(struct channel *c, int error, const char *text)
{
	uint8_t payload[1024];
	size_t len = strnlen(text, sizeof(payload) - 4);

	put_le32(payload, (uint32_t)error);
	memcpy(payload + 4, text, len);
	return channel_send(c, FRAME_ERROR, payload, 4 + len);
}

int channel_payload(struct channel *c, int timeout_ms, void *out, uint32_t len)
{
	uint8_t *p = out;
	int r;

	while (len > 0) {
		ssize_t n = recv(c->fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return send_error(errno);
		if (n == 0)
			return -EPIPE;
		if (n < 0) {
			r = wait_for(c, POLLIN, -1, timeout_ms);
			if (r < 0)
				return r;
			continue;
		}
		p += n;
		len -= (uint32_t)n;
	}
	return 0;
}

int channel_header(struct channel *c, int timeout_ms, enum frame_type *type, uint32_t *len)
{
	uint8_t header[FRAME_HEADER_LEN];
	int r = channel_payload(c, timeout_ms, header, sizeof(header));

	return r < 0 ? r : frame_header_decode(header, type, len);
}

int channel_wait(struct channel *c, int event_fd, int timeout_ms)
{
	return wait_for(c, 0, event_fd, timeout_ms);
}

int channel_gone(struct channel *c)
{
	int r = wait_for(c, 0, -1, 0);

	return r == -ETIMEDOUT ? 0 : r;
}

int channel_address(const char *store, int *dir_fd, struct sockaddr_un *out)
{
	int fd = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", fd, CONTROL_SOCKET);
	*dir_fd = fd;
	return 0;
}

int channel_connect(const char *store)
{
	struct sockaddr_un address;
	int dir_fd, fd, rc = channel_address(store, &dir_fd, &address);

	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		rc = -errno;
	close(dir_fd);
	if (rc == 0) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return rc == -ENOENT ? -ECONNREFUSED : rc;
}
