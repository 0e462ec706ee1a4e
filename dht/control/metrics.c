#include "dht/control/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dht/control/channel.h"

#define ANSWER_MS   5000	/* for the status of a busy node */
#define BACKLOG	    1024	/* connections that come in one burst, so that a scraper among them need not try again */
#define CONTENT	    "text/plain; version=0.0.4; charset=utf-8"
#define UNIX_PREFIX "unix:"

struct metrics {
	struct MHD_Daemon *daemon;
	char *store;
	char *path;		/* of a Unix socket; NULL: none */
	/* By order of coming, the oldest first.  Its thread's own. */
	struct MHD_Connection *open[METRICS_AT_ONCE];
	unsigned int count;
};

/* Those that only rise while the program runs; the others go up and down. */
static bool is_counter(const char *name)
{
	static const char *const counters[] = { "inserts", "inserts_known", "lookups", "set_aside", "received_bytes", "sent_bytes",
		"refused", "wrong_answers" };

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (strcmp(name, counters[i]) == 0)
			return true;
	return false;
}

long metrics_text(const uint8_t *record, size_t len, char *out, size_t size)
{
	const uint8_t *p = record, *end = record + len;
	struct field f;
	size_t at = 0;
	int rc, n;

	while ((rc = record_next(&p, end, &f)) == 1) {
		if (f.type == FIELD_TEXT && strcmp(f.name, "version") == 0)
			n = snprintf(out + at, size - at, "# TYPE dhtfs_build_info gauge\ndhtfs_build_info{version=\"%s\"} 1\n", f.value);
		else if (f.type != FIELD_TEXT)
			n = snprintf(out + at, size - at, "# TYPE dhtfs_%s%s %s\ndhtfs_%s%s %" PRIu64 "\n", f.name,
			    is_counter(f.name) ? "_total" : "", is_counter(f.name) ? "counter" : "gauge", f.name,
			    is_counter(f.name) ? "_total" : "", f.number);
		else
			continue;
		if (n < 0 || (size_t)n >= size - at)
			return -ENOSPC;
		at += (size_t)n;
	}
	return rc < 0 ? rc : (long)at;
}

/* The status record; its length or -errno. */
static long ask_status(const struct metrics *m, uint8_t record[RECORD_MAX])
{
	struct record question = { .len = 0 };
	struct channel c = { .stop_fd = -1 };
	enum frame_type type;
	uint32_t len = 0;
	int rc;

	c.fd = channel_connect(m->store);
	if (c.fd < 0)
		return c.fd;
	record_text(&question, "command", "status");
	rc = channel_send(&c, FRAME_COMMAND, question.b, question.len);
	do {
		if (rc == 0)
			rc = channel_header(&c, ANSWER_MS, &type, &len);
		if (rc == 0 && len > RECORD_MAX)
			rc = -EBADMSG;
		if (rc == 0)
			rc = channel_payload(&c, ANSWER_MS, record, len);
	} while (rc == 0 && type == FRAME_PROGRESS);
	close(c.fd);
	if (rc == 0 && type != FRAME_RECORD)
		rc = -EIO;
	return rc < 0 ? rc : (long)len;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, char *text, size_t len,
    enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
	enum MHD_Result queued;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, CONTENT);
	queued = MHD_queue_response(connection, status, r);
	MHD_destroy_response(r);
	return queued;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned int status, const char *text)
{
	return answer(connection, status, (char *)(uintptr_t)text, strlen(text), MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state)
{
	const size_t size = 8 * RECORD_MAX;
	uint8_t record[RECORD_MAX];
	char *text;
	long len;

	(void)version, (void)upload, (void)state;
	if (*upload_size > 0 || strcmp(method, MHD_HTTP_METHOD_GET) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
	if (strcmp(url, "/metrics") != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND, "see /metrics\n");
	len = ask_status(arg, record);
	text = len < 0 ? NULL : malloc(size);
	if (text)
		len = metrics_text(record, (size_t)len, text, size);
	if (len >= 0 && text)
		return answer(connection, MHD_HTTP_OK, text, (size_t)len, MHD_RESPMEM_MUST_FREE);
	free(text);
	return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the status can't be had\n");
}

/* ---- who may stay ---- */

static void forget(struct metrics *m, const struct MHD_Connection *connection)
{
	for (unsigned int i = 0; i < m->count; i++) {
		if (m->open[i] != connection)
			continue;
		m->count--;
		memmove(m->open + i, m->open + i + 1, (m->count - i) * sizeof(*m->open));
		return;
	}
}

/* A scraper asks as soon as it is connected, and is answered at once: so the oldest is one that is not asking.  It is closed
 * when its end is read. */
static void end_oldest(struct metrics *m)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(m->open[0], MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info)
		shutdown(info->connect_fd, SHUT_RDWR);
	forget(m, m->open[0]);
}

static void come_or_gone(void *arg, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode what)
{
	struct metrics *m = arg;

	(void)state;
	if (what != MHD_CONNECTION_NOTIFY_STARTED) {
		forget(m, connection);
		return;
	}
	if (m->count == METRICS_AT_ONCE)
		end_oldest(m);
	m->open[m->count++] = connection;
}

/* ---- where ---- */

static int say(const char *where, int error, char *why, size_t why_size)
{
	snprintf(why, why_size, "--metrics %s: %s", where, strerror(error));
	return -error;
}

static int listen_at(int family, const struct sockaddr *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, rc;

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, address, len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* A socket that a killed program has left answers nobody; anything else there is somebody's. */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	bool stale = fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t before;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (is_stale(&address))
		unlink(path);
	before = umask(077);
	fd = listen_at(AF_UNIX, (struct sockaddr *)&address, sizeof(address));
	umask(before);
	return fd;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int listen_tcp(const char *where)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found = NULL;
	const char *colon = strrchr(where, ':');
	char host[256];
	size_t len = colon ? (size_t)(colon - where) : 0;
	int fd;

	if (!colon || len == 0 || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, where, len);
	host[len] = '\0';
	/* "[::1]:9000" */
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	}
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return -EINVAL;
	fd = is_loopback(found->ai_addr) ? listen_at(found->ai_family, found->ai_addr, found->ai_addrlen) : -EPERM;
	freeaddrinfo(found);
	return fd;
}

int metrics_start(const char *where, const char *store, struct metrics **out, char *why, size_t why_size)
{
	const bool local = strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
	struct metrics *m = calloc(1, sizeof(*m));
	int fd;

	*out = NULL;
	if (m)
		m->store = strdup(store);
	if (m && local)
		m->path = strdup(where + strlen(UNIX_PREFIX));
	if (!m || !m->store || (local && !m->path)) {
		metrics_stop(m);
		return say(where, ENOMEM, why, why_size);
	}
	fd = local ? listen_unix(m->path) : listen_tcp(where);
	if (fd < 0) {
		free(m->path);
		m->path = NULL;
		metrics_stop(m);
		if (fd == -EPERM) {
			snprintf(why, why_size, "--metrics %s: only a loopback address, 127.0.0.1:PORT or [::1]:PORT, or unix:PATH", where);
			return -EINVAL;
		}
		return say(where, -fd, why, why_size);
	}
	m->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, handle, m,
	    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, 2 * METRICS_AT_ONCE,
	    MHD_OPTION_NOTIFY_CONNECTION, come_or_gone, m, MHD_OPTION_CONNECTION_TIMEOUT, METRICS_TIMEOUT_S, MHD_OPTION_END);
	if (!m->daemon) {
		close(fd);
		metrics_stop(m);
		return say(where, ENOMEM, why, why_size);
	}
	*out = m;
	return 0;
}

void metrics_stop(struct metrics *m)
{
	if (!m)
		return;
	if (m->daemon)
		MHD_stop_daemon(m->daemon);
	if (m->path)
		unlink(m->path);
	free(m->path);
	free(m->store);
	free(m);
}
