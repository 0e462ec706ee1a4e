/* channel: frames (wire.h) over a socket, where no wait outlives the other side. */
#ifndef DHT_CONTROL_CHANNEL_H
#define DHT_CONTROL_CHANNEL_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dht/control/wire.h"

/* Fields are the caller's to set, and the descriptors the caller's to close. */
struct channel {
	int fd;		/* a connected socket, non-blocking */
	int stop_fd;	/* when this can be read, waits end; -1: never */
};

#define CHANNEL_FOREVER (-1)

/*
 * All return -EPIPE when the other side has gone, -ECANCELED when stop_fd says so, and
 * -ETIMEDOUT after ${timeout_ms}.
 */

/** channel_send(c, type, payload, len): one whole frame. */
int channel_send(struct channel *c, enum frame_type type, const void *payload, size_t len);

/** channel_send_error(c, error, text): an ERROR frame; ${error} is a positive errno. */
int channel_send_error(struct channel *c, int error, const char *text);

/** channel_header(c, timeout_ms, type, len): the next frame's header; then channel_payload() for
 * all of its ${len} bytes.  -EBADMSG: not a frame. */
int channel_header(struct channel *c, int timeout_ms, enum frame_type *type, uint32_t *len);
int channel_payload(struct channel *c, int timeout_ms, void *out, uint32_t len);

/** channel_wait(c, event_fd, timeout_ms): until ${event_fd} (-1: none) can be read: 0. */
int channel_wait(struct channel *c, int event_fd, int timeout_ms);

/** channel_gone(c): is there nobody to answer any more?  0 if there is.  Does not wait. */
int channel_gone(struct channel *c);

/** channel_address(store, dir_fd, out): the address of the socket in ${store}, however long its
 * path: valid while *${dir_fd} is open, which the caller closes.  0 or -errno. */
int channel_address(const char *store, int *dir_fd, struct sockaddr_un *out);

/** channel_connect(store): a socket for a channel, to whatever runs on ${store}.  -ENOENT: there is no such store; -ECONNREFUSED: nothing runs on it. */
int channel_connect(const char *store);

#endif
