#include "fs/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/channel.h"
#include "fs/control_call.h"
#include "fs/fs.h"
#include "fs/log.h"

#define CONNECTIONS_MAX	16u
#define BACKLOG		16
#define NO_DESCRIPTOR_PAUSE_MS 200	/* accept() would fail again at once */

/* The listener's, but that a connection's thread sets ended, last. */
struct connection {
	struct control *control;
	pthread_t thread;
	int fd;
	bool used;
	atomic_bool ended;
};

struct control {
	struct fs *fs;
	int listen_fd;
	int stop_fd;		/* an eventfd that is never read: once written, all waits end */
	int dir_fd;		/* the store */
	pthread_t listener;
	struct connection connections[CONNECTIONS_MAX];
};

static void *serve_connection(void *arg)
{
	struct connection *conn = arg;
	struct control *c = conn->control;

	call_run(c->fs, (struct channel){ .fd = conn->fd, .stop_fd = c->stop_fd });
	close(conn->fd);
	atomic_store(&conn->ended, true);
	return NULL;
}

/* A place for one more; those whose command has ended are free. */
static struct connection *find_place(struct control *c)
{
	struct connection *found = NULL;

	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *conn = &c->connections[i];

		if (conn->used && atomic_load(&conn->ended)) {
			pthread_join(conn->thread, NULL);
			conn->used = false;
		}
		if (!conn->used)
			found = conn;
	}
	return found;
}

static void start_connection(struct control *c, int fd)
{
	struct channel channel = { .fd = fd, .stop_fd = c->stop_fd };
	struct connection *conn = find_place(c);

	if (conn) {
		conn->control = c;
		conn->fd = fd;
		atomic_init(&conn->ended, false);
		conn->used = pthread_create(&conn->thread, NULL, serve_connection, conn) == 0;
	}
	if (conn && conn->used)
		return;
	/* So short a frame fits an empty socket: this does not wait. */
	channel_send_error(&channel, EBUSY, "it is busy with other commands: try again later");
	close(fd);
}

static void *listen_for_connections(void *arg)
{
	struct control *c = arg;
	struct pollfd fds[] = {
		{ .fd = c->stop_fd, .events = POLLIN },
		{ .fd = c->listen_fd, .events = POLLIN },
	};

	while (!fds[0].revents) {
		int fd;

		if (poll(fds, 2, -1) < 0 || !fds[1].revents)
			continue;
		fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			start_connection(c, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(fds, 1, NO_DESCRIPTOR_PAUSE_MS);
	}
	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		if (c->connections[i].used)
			pthread_join(c->connections[i].thread, NULL);
	}
	return NULL;
}

/* The store's lock is ours, so a socket that is there already has nobody behind it. */
static int open_socket(struct control *c)
{
	struct sockaddr_un address;
	int r = channel_address(c->fs->options->store, &c->dir_fd, &address);

	if (r < 0)
		return r;
	if (unlinkat(c->dir_fd, CONTROL_SOCKET, 0) < 0 && errno != ENOENT)
		return -errno;
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Before bind(), which gives the name the socket's mode: it is never open to others. */
	if (c->listen_fd < 0 || fchmod(c->listen_fd, 0600) < 0)
		return -errno;
	if (bind(c->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(c->listen_fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

static void free_control(struct control *c)
{
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	free(c);
}

int control_start(struct fs *fs, struct control **out)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fs = fs;
	c->listen_fd = c->dir_fd = -1;
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->stop_fd < 0 ? -errno : open_socket(c);
	if (r == 0)
		r = -pthread_create(&c->listener, NULL, listen_for_connections, c);
	if (r < 0) {
		free_control(c);
		return r;
	}
	*out = c;
	return 0;
}

void control_stop(struct control *c)
{
	/* Nobody connects any more to who would not answer. */
	unlinkat(c->dir_fd, CONTROL_SOCKET, 0);
	eventfd_write(c->stop_fd, 1);
	pthread_join(c->listener, NULL);
	free_control(c);
}
