#include "dht/control/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/control/call.h"

#define CONNECTIONS_MAX	16u
#define BACKLOG		16
#define NO_DESCRIPTOR_PAUSE_MS 200	/* accept() would fail again at once */

/* The listener's, but that a connection's thread sets ended, last. */
struct connection {
	struct server *server;
	pthread_t thread;
	int fd;
	bool used;
	atomic_bool ended;
};

struct server {
	const struct call_program *program;
	int listen_fd;
	int stop_fd;		/* an eventfd that is never read: once written, all waits end */
	int dir_fd;		/* the store */
	pthread_t listener;
	struct connection connections[CONNECTIONS_MAX];
};

static void *serve_connection(void *arg)
{
	struct connection *conn = arg;
	struct server *s = conn->server;

	call_run(s->program, (struct channel){ .fd = conn->fd, .stop_fd = s->stop_fd });
	close(conn->fd);
	atomic_store(&conn->ended, true);
	return NULL;
}

/* A place for one more; those whose command has ended are free. */
static struct connection *find_place(struct server *s)
{
	struct connection *found = NULL;

	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *conn = &s->connections[i];

		if (conn->used && atomic_load(&conn->ended)) {
			pthread_join(conn->thread, NULL);
			conn->used = false;
		}
		if (!conn->used)
			found = conn;
	}
	return found;
}

static void start_connection(struct server *s, int fd)
{
	struct channel channel = { .fd = fd, .stop_fd = s->stop_fd };
	struct connection *conn = find_place(s);

	if (conn) {
		conn->server = s;
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
	struct server *s = arg;
	struct pollfd fds[] = {
		{ .fd = s->stop_fd, .events = POLLIN },
		{ .fd = s->listen_fd, .events = POLLIN },
	};

	while (!fds[0].revents) {
		int fd;

		if (poll(fds, 2, -1) < 0 || !fds[1].revents)
			continue;
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			start_connection(s, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(fds, 1, NO_DESCRIPTOR_PAUSE_MS);
	}
	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->connections[i].used)
			pthread_join(s->connections[i].thread, NULL);
	}
	return NULL;
}

/* The store's lock is ours, so a socket that is there already has nobody behind it. */
static int open_socket(struct server *s, const char *store)
{
	struct sockaddr_un address;
	int r = channel_address(store, &s->dir_fd, &address);

	if (r < 0)
		return r;
	if (unlinkat(s->dir_fd, CONTROL_SOCKET, 0) < 0 && errno != ENOENT)
		return -errno;
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Before bind(), which gives the name the socket's mode: it is never open to others. */
	if (s->listen_fd < 0 || fchmod(s->listen_fd, 0600) < 0)
		return -errno;
	if (bind(s->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(s->listen_fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

static void free_server(struct server *s)
{
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s);
}

int server_start(const struct call_program *program, const char *store, struct server **out)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->program = program;
	s->listen_fd = s->dir_fd = -1;
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->stop_fd < 0 ? -errno : open_socket(s, store);
	if (r == 0)
		r = -pthread_create(&s->listener, NULL, listen_for_connections, s);
	if (r < 0) {
		free_server(s);
		return r;
	}
	*out = s;
	return 0;
}

void server_stop(struct server *s)
{
	/* Nobody connects any more to who would not answer. */
	unlinkat(s->dir_fd, CONTROL_SOCKET, 0);
	eventfd_write(s->stop_fd, 1);
	pthread_join(s->listener, NULL);
	free_server(s);
}
