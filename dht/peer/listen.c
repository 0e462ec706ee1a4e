#include "dht/peer/listen.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/conn.h"
#include "dht/peer/resolve.h"
#include "dht/peer/peer_impl.h"

#define BACKLOG	     128	/* a door's worth of strangers */
#define REMARK_EVERY (10 * S)	/* in the log, that no connection can be taken */
#define AGAIN_MS     1000u	/* after memory was short */
#define ACCEPTS	     32u	/* in one go: libuv takes them as long as any come, and nobody else has a turn meanwhile */
#define HANDLES	     2u

struct listener {
	uv_tcp_t tcp;
	uv_timer_t again;
	unsigned int handles;
	unsigned int taken;	/* since others had a turn, or more */
	struct peer *peer;
	struct listener *next;
	struct sockaddr_storage address;	/* as bound, with its port */
};

static int say(int rc, char *why, size_t why_size, const char *format, ...) __attribute__((format(printf, 4, 5)));
static int say(int rc, char *why, size_t why_size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, why_size, format, ap);
	va_end(ap);
	return rc;
}

/* ---- who connects ---- */

static void remark(struct peer *p, const char *what)
{
	uint64_t now = peer_now();

	if (now < p->accept_next)
		return;
	p->accept_next = now + REMARK_EVERY;
	peer_log(p, LOG_ERR, "connections are turned away: %s", what);
}

static void again(uv_timer_t *t);

static void somebody(uv_stream_t *s, int status)
{
	struct listener *l = s->data;
	struct peer *p = l->peer;
	struct conn *c;

	if (status < 0) {
		remark(p, strerror(-status));
		return;
	}
	/* What libuv has taken waits, and it takes no other one before that is accepted. */
	if (++l->taken > ACCEPTS) {
		l->taken = 0;
		uv_timer_start(&l->again, again, 0, 0);
		return;
	}
	c = conn_new(p);
	if (!c) {
		remark(p, strerror(ENOMEM));
		uv_timer_start(&l->again, again, AGAIN_MS, 0);
		return;
	}
	if (uv_accept(s, (uv_stream_t *)conn_socket(c)) < 0) {
		conn_end(c, -ECONNABORTED);
		return;
	}
	/* (Where there is none at all, libuv takes its reserve to close whoever waits.) */
	if (!conn_affordable(c)) {
		remark(p, "there are no file descriptors left: raise the limit (ulimit -n, LimitNOFILE=)");
		conn_end(c, -EMFILE);
		return;
	}
	conn_begin(c, 0, false);
}

static void again(uv_timer_t *t)
{
	struct listener *l = t->data;

	somebody((uv_stream_t *)&l->tcp, 0);
}

/* ---- binding ---- */

static void freed(uv_handle_t *h)
{
	struct listener *l = h->data;

	if (--l->handles == 0)
		free(l);
}

static void release(struct listener *l)
{
	uv_close((uv_handle_t *)&l->tcp, freed);
	uv_close((uv_handle_t *)&l->again, freed);
}

static int bind_one(struct peer *p, const struct sockaddr *sa)
{
	struct listener *l = calloc(1, sizeof(*l)), **at = &p->listeners;
	int len = sizeof(l->address), rc;

	if (!l)
		return -ENOMEM;
	l->peer = p;
	l->handles = HANDLES;
	uv_tcp_init(&p->loop, &l->tcp);
	uv_timer_init(&p->loop, &l->again);
	l->tcp.data = l->again.data = l;
	/* Each family for itself: "::" beside "0.0.0.0", on one port. */
	rc = uv_tcp_bind(&l->tcp, sa, sa->sa_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, somebody);
	if (rc == 0)
		rc = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&l->address, &len);
	if (rc < 0) {
		release(l);
		return rc;
	}
	/* In the order in which they were named: the first is the one that others try first. */
	while (*at)
		at = &(*at)->next;
	*at = l;
	p->listening++;
	return 0;
}

static const char *advice(int rc)
{
	switch (rc) {
	case -EADDRINUSE:
		return ": another program listens there, or this one runs already";
	case -EADDRNOTAVAIL:
		return ": no interface of this machine has it; listen on one that it has, and name the other by --advertise";
	case -EACCES:
		return ": take a port of 1024 or more";
	default:
		return "";
	}
}

static int bind_name(struct peer *p, const char *name, char *why, size_t why_size)
{
	struct resolve_result found;
	unsigned int bound = 0;
	struct endpoint e;
	int rc = 0;

	if (endpoint_parse(name, PEER_PORT, &e) < 0)
		return say(-EINVAL, why, why_size, "--listen %s: write host, host:port or [v6]:port", name);
	resolve_now(&e, true, &found);
	if (found.error)
		return say(-EADDRNOTAVAIL, why, why_size, "--listen %s: there is no such host", name);
	for (unsigned int i = 0; i < found.count; i++) {
		rc = bind_one(p, (const struct sockaddr *)&found.address[i]);
		/* A name often has an address of a family that this machine does without. */
		if (rc != 0 && rc != -EADDRNOTAVAIL && rc != -EAFNOSUPPORT)
			break;
		bound += rc == 0;
	}
	if (bound == 0 || (rc != 0 && rc != -EADDRNOTAVAIL && rc != -EAFNOSUPPORT))
		return say(rc, why, why_size, "--listen %s: %s%s", name, strerror(-rc), advice(rc));
	return 0;
}

/* ---- what we say about it ---- */

static void add(struct advertised *out, const struct endpoint *e)
{
	char text[ENDPOINT_TEXT];

	if (endpoint_format(e, text) > MEMBER_ADDRESS_LEN)
		return;
	for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++) {
		if (!out->address[i][0])
			strcpy(out->address[i], text);
		if (strcmp(out->address[i], text) == 0)
			return;
	}
}

static bool wildcard(const struct sockaddr_storage *sa)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;

	return sa->ss_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) : v4->sin_addr.s_addr == INADDR_ANY;
}

/* Of no use to others: it means something on its own cable only. */
static bool link_local(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET6 &&
	    IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

static void add_interfaces(struct advertised *out, sa_family_t family, uint16_t port, bool internal)
{
	uv_interface_address_t *all;
	struct endpoint e;
	int n;

	if (uv_interface_addresses(&all, &n) < 0)
		return;
	for (int i = 0; i < n; i++) {
		const struct sockaddr *sa = (const struct sockaddr *)&all[i].address;

		if (sa->sa_family != family || !all[i].is_internal != !internal || link_local(sa))
			continue;
		endpoint_of(sa, &e);
		e.port = port;
		add(out, &e);
	}
	uv_free_interface_addresses(all, n);
}

static void add_bound(struct peer *p, struct advertised *out)
{
	struct endpoint e;

	/* Our own machine's loopback last, and only where there is nothing else: then this is a ring of one machine. */
	for (int internal = 0; internal < 2 && !out->address[0][0]; internal++)
		for (struct listener *l = p->listeners; l; l = l->next) {
			endpoint_of((const struct sockaddr *)&l->address, &e);
			if (wildcard(&l->address))
				add_interfaces(out, l->address.ss_family, e.port, internal);
			else if (!internal)
				add(out, &e);
		}
}

static int add_named(struct peer *p, const char *name, struct advertised *out, char *why, size_t why_size)
{
	struct endpoint e = { .port = PEER_PORT };
	char text[ENDPOINT_TEXT];
	uint16_t port = PEER_PORT;

	if (p->listeners) {
		endpoint_of((const struct sockaddr *)&p->listeners->address, &e);
		port = e.port;
	}
	if (endpoint_parse(name, port, &e) < 0 || e.port == 0)
		return say(-EINVAL, why, why_size, "--advertise %s: write host, host:port or [v6]:port", name);
	if (endpoint_format(&e, text) > MEMBER_ADDRESS_LEN)
		return say(-ENAMETOOLONG, why, why_size, "--advertise %s: %u characters at most", name, MEMBER_ADDRESS_LEN);
	add(out, &e);
	return 0;
}

int listen_open(struct peer *p, const char *const *names, const char *const *advertise, struct advertised *out,
    char *why, size_t why_size)
{
	int rc = 0;

	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; rc == 0 && names && names[i]; i++)
		rc = bind_name(p, names[i], why, why_size);
	for (unsigned int i = 0; rc == 0 && advertise && advertise[i]; i++)
		rc = i < MEMBER_ADDRESSES ? add_named(p, advertise[i], out, why, why_size) :
		    say(-EINVAL, why, why_size, "--advertise: %u addresses at most", MEMBER_ADDRESSES);
	if (rc == 0 && !out->address[0][0])
		add_bound(p, out);
	if (rc == 0 && p->listeners && !out->address[0][0])
		rc = say(-EADDRNOTAVAIL, why, why_size, "this machine has no address that others could reach: name one by --advertise");
	return rc;
}

void listen_close(struct peer *p)
{
	while (p->listeners) {
		struct listener *l = p->listeners;

		p->listeners = l->next;
		release(l);
	}
	p->listening = 0;
}
