#include "dht/peer/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "dht/peer/dial.h"
#include "dht/peer/endpoint.h"
#include "dht/peer/peer_impl.h"

#define PARTING_MS   1000u	/* a last word is read within this, or not at all */
#define KEEPALIVE_S  30u	/* SWIM finds the dead sooner; this is for links that nobody uses */
#define UNACKED_MS   30000u	/* what was sent is acknowledged within this, or the connection is given up */
#define UNSENT_BYTES (128 << 10)	/* in the kernel and not yet on the wire: all that something urgent waits behind */
#define HANDLES	     2u		/* that libuv has to let go of */

struct conn {
	struct list link, dirty;	/* dirty: a ring of its own when it is not */
	struct conn *next;		/* in its bucket */
	struct peer *peer;
	uint32_t number;
	uv_tcp_t tcp;
	uv_timer_t timer;		/* of the handshake, then of parting */
	uv_write_t write;		/* at most one */
	uv_shutdown_t shutdown;
	size_t write_len;
	struct link *core;		/* NULL until it has begun */
	struct sockaddr_storage address;	/* of the other side, also when it has gone; its family 0: unknown */
	uint64_t ticket;
	unsigned int handles;
	bool up, full, writing, parting, closing;
	bool older;			/* we came with the older secret */
};

static void set_dirty(struct conn *c)
{
	list_remove(&c->dirty);
	list_append(&c->peer->dirty, &c->dirty);
}

/* Links that waited for credit of the node's pool. */
static void share_credit(struct peer *p)
{
	struct conn *c;

	while ((c = link_pool_next(&p->pool)))
		set_dirty(c);
}

uv_tcp_t *conn_socket(struct conn *c)
{
	return &c->tcp;
}

struct conn *conn_new(struct peer *p)
{
	struct conn *c = calloc(1, sizeof(*c)), **bucket;

	if (!c)
		return NULL;
	c->peer = p;
	c->number = ++p->next_conn;
	c->handles = HANDLES;
	uv_tcp_init(&p->loop, &c->tcp);
	uv_timer_init(&p->loop, &c->timer);
	c->tcp.data = c->timer.data = c->write.data = c;
	list_init(&c->dirty);
	list_append(&p->conns, &c->link);
	bucket = &p->bucket[c->number % CONN_BUCKETS];
	c->next = *bucket;
	*bucket = c;
	p->sockets++;
	return c;
}

struct conn *conn_find(struct peer *p, uint32_t number)
{
	struct conn *c = p->bucket[number % CONN_BUCKETS];

	while (c && c->number != number)
		c = c->next;
	return c;
}

static void forget(struct conn *c)
{
	struct conn **at = &c->peer->bucket[c->number % CONN_BUCKETS];

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
}

/* Whom the log speaks of. */
static const char *name_of(struct conn *c, char text[ENDPOINT_TEXT])
{
	struct endpoint e;

	if (c->address.ss_family == AF_UNSPEC)
		return "somebody who has gone";
	endpoint_of((const struct sockaddr *)&c->address, &e);
	endpoint_format(&e, text);
	return text;
}

/* ---- its end ---- */

static void closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct peer *p = c->peer;

	if (--c->handles > 0)
		return;
	/* Only now: until then libuv may have been writing from the link's buffer. */
	link_free(c->core);
	share_credit(p);
	list_remove(&c->link);
	list_remove(&c->dirty);
	p->sockets--;
	free(c);
}

/* The node is told once; whatever dialled it is answered. */
static void tell(struct conn *c, int why)
{
	struct event down = { .kind = EVENT_LINK_DOWN, .link = c->number, .result = why };
	struct event failed = { .kind = EVENT_DONE, .ticket = c->ticket, .result = why ? why : -ECONNRESET };

	/* A clone of us is told of whether or not it got further than its hello. */
	if (c->up || (why == -EEXIST && c->ticket == 0))
		peer_input(c->peer, &down);
	else if (c->ticket != 0)
		peer_input(c->peer, &failed);
	c->up = false;
	c->ticket = 0;
}

/*
 * While a secret is replaced, a member that has not heard of the new one hangs up on who comes with it, as on any stranger.  It
 * is dialled once more, as one who has only the older one; so two members reach each other whichever of them is first.
 */
static void try_older(struct conn *c, int why)
{
	struct peer *p = c->peer;

	if (c->ticket == 0 || !p->has_older || c->older || (why != -ECONNRESET && why != -EPIPE) ||
	    c->address.ss_family == AF_UNSPEC)
		return;
	if (dial_older(p, (const struct sockaddr *)&c->address, c->ticket))
		c->ticket = 0;
}

void conn_end(struct conn *c, int why)
{
	if (c->closing)
		return;
	try_older(c, why);
	c->closing = true;
	forget(c);
	list_remove(&c->dirty);
	door_leave(&c->peer->door, c->number);
	uv_close((uv_handle_t *)&c->tcp, closed);
	uv_close((uv_handle_t *)&c->timer, closed);
	tell(c, why);
}

void conns_close(struct peer *p)
{
	struct list *next;

	for (struct list *l = p->conns.next; l != &p->conns; l = next) {
		next = l->next;
		conn_end(list_item(l, struct conn, link), -ECANCELED);
	}
}

static void late(uv_timer_t *t)
{
	struct conn *c = t->data;
	char text[ENDPOINT_TEXT];

	if (!c->parting && c->ticket == 0)
		peer_refuse(c->peer, name_of(c, text), "it did not say who it is in time");
	conn_end(c, -ETIMEDOUT);
}

void conn_give_way(struct peer *p, uint32_t number)
{
	struct conn *c;
	char text[ENDPOINT_TEXT];

	/* One that is parting is in no bucket. */
	for (struct list *l = p->conns.next; l != &p->conns; l = l->next) {
		c = list_item(l, struct conn, link);
		if (c->number != number)
			continue;
		if (!c->parting)
			peer_refuse(p, name_of(c, text), "too many say nothing");
		conn_end(c, -EBUSY);
		return;
	}
}

static void shut(uv_shutdown_t *r, int status)
{
	(void)r;
	(void)status;
}

/* A last word, and time to read it: closed at once, what the other side still sends would be answered with a reset, which overtakes it. */
static bool part(struct conn *c, int why)
{
	struct wire_slice last;
	uv_buf_t b;

	if (c->up || c->writing || !link_output(c->core, &last))
		return false;
	b = uv_buf_init((char *)(uintptr_t)last.data, (unsigned int)last.len);
	if (uv_try_write((uv_stream_t *)&c->tcp, &b, 1) != (int)last.len ||
	    uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, shut) < 0)
		return false;
	c->parting = true;
	forget(c);
	uv_timer_start(&c->timer, late, PARTING_MS, 0);
	tell(c, why);
	return true;
}

static void refuse(struct conn *c, int why)
{
	char text[ENDPOINT_TEXT];

	peer_refuse(c->peer, name_of(c, text), link_why(c->core));
	if (!part(c, why))
		conn_end(c, why);
}

/* ---- what comes ---- */

static void give_buffer(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
	struct conn *c = h->data;

	(void)wanted;
	*out = uv_buf_init((char *)c->peer->buffer, READ_BUFFER);
}

static void up(struct conn *c)
{
	struct event e = { .kind = EVENT_LINK_UP, .link = c->number, .ticket = c->ticket, .key = link_peer(c->core) };

	c->up = true;
	c->ticket = 0;
	uv_timer_stop(&c->timer);
	door_leave(&c->peer->door, c->number);
	peer_input(c->peer, &e);
}

static void received(uv_stream_t *s, ssize_t n, const uv_buf_t *buffer)
{
	struct conn *c = s->data;
	struct event e = { .kind = EVENT_MESSAGE, .link = c->number };
	int rc;

	if (n == 0)
		return;
	if (n < 0 || c->parting) {
		if (n < 0)
			conn_end(c, n == UV_EOF ? -ECONNRESET : (int)n);
		return;
	}
	c->peer->bytes_in += (uint64_t)n;
	rc = link_input(c->core, (const uint8_t *)buffer->base, (size_t)n);
	set_dirty(c);
	if (rc == 0 && !c->up && link_peer(c->core))
		up(c);
	while (rc == 0 && link_receive(c->core, &e.message))
		peer_input(c->peer, &e);
	if (rc < 0)
		refuse(c, rc);
	peer_turn(c->peer);
}

/* ---- what goes ---- */

static void written(uv_write_t *w, int status)
{
	struct conn *c = w->data;

	c->writing = false;
	if (c->closing)
		return;
	if (status < 0) {
		conn_end(c, status);
		return;
	}
	link_sent(c->core, c->write_len);
	c->peer->bytes_out += c->write_len;
	set_dirty(c);
}

/* What the kernel took of it, at once; or libuv tells when it has taken all.  0, or why the connection is broken. */
static int write_some(struct conn *c, const struct wire_slice *out)
{
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)out->data, (unsigned int)out->len);
	int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
	int rc;

	if (n < 0 && n != UV_EAGAIN)
		return n;
	if (n > 0) {
		b = uv_buf_init(b.base + n, (unsigned int)(b.len - (size_t)n));
		link_sent(c->core, (size_t)n);
		c->peer->bytes_out += (size_t)n;
	}
	if (b.len == 0)
		return 0;
	/* The link keeps these bytes where they are until it hears that they went. */
	c->write_len = b.len;
	rc = uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, written);
	c->writing = rc == 0;
	return rc;
}

void conn_pump(struct conn *c)
{
	struct event e = { .link = c->number };
	struct wire_slice out;
	int rc = 0;
	bool full;

	while (rc == 0 && !c->writing && link_output(c->core, &out))
		rc = write_some(c, &out);
	if (rc < 0) {
		conn_end(c, rc);
		return;
	}
	full = link_full(c->core);
	if (c->up && full != c->full) {
		c->full = full;
		e.kind = full ? EVENT_LINK_FULL : EVENT_LINK_ROOM;
		peer_input(c->peer, &e);
	}
}

bool conns_pump(struct peer *p)
{
	bool any = !list_empty(&p->dirty);

	while (!list_empty(&p->dirty)) {
		struct conn *c = list_item(p->dirty.next, struct conn, dirty);

		list_remove(&c->dirty);
		if (c->core && !c->closing && !c->parting)
			conn_pump(c);
	}
	return any;
}

void conn_send(struct conn *c, const struct effect *e)
{
	int rc;

	if (!c->core)
		return;
	rc = link_send(c->core, e->type, e->request, e->priority, e->head, e->tail);
	assert(rc != -EMSGSIZE);
	/* What was lost for want of memory would be waited for: let it be seen. */
	if (rc == -ENOMEM)
		conn_end(c, rc);
	else
		set_dirty(c);
}

void conn_consumed(struct conn *c, uint32_t count)
{
	if (!c->core)
		return;
	link_consumed(c->core, count);
	set_dirty(c);
	share_credit(c->peer);
}

/* ---- its beginning ---- */

bool conn_affordable(const struct conn *c)
{
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0 && fd < c->peer->files_max - (int)FILES_KEPT;
}

static void set_options(struct conn *c)
{
	const int unsent = UNSENT_BYTES, unacked = UNACKED_MS;
	uv_os_fd_t fd;

	/* None is vital: a system that lacks one has slower or later news. */
	uv_tcp_nodelay(&c->tcp, 1);
	uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
	if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof(unacked));
}

static void enter(struct conn *c)
{
	struct peer *p = c->peer;
	uint8_t source[DOOR_SOURCE] = { 0 };
	uint32_t other;

	if (c->address.ss_family != AF_UNSPEC)
		endpoint_source((const struct sockaddr *)&c->address, source);
	other = door_enter(&p->door, source, c->number);
	if (other != DOOR_NOBODY)
		conn_give_way(p, other);
}

void conn_begin(struct conn *c, uint64_t ticket, bool older)
{
	struct peer *p = c->peer;
	struct link_options o = {
		.kind = LINK_NOISE, .initiator = ticket != 0, .file = older ? &p->older : &p->file,
		.older = p->has_older && ticket == 0 ? &p->older : NULL,
		.key = p->identity->key, .secret = p->identity->secret, .noise_secret = p->identity->noise_secret,
		.pool = &p->pool, .aead = p->aead, .user = c, .instance = p->identity->instance, .now = peer_now(),
	};
	int rc, len = sizeof(c->address);

	c->ticket = ticket;
	c->older = older;
	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&c->address, &len) < 0)
		c->address.ss_family = AF_UNSPEC;
	set_options(c);
	randombytes_buf(o.random, sizeof(o.random));
	rc = link_new(&o, &c->core);
	sodium_memzero(o.random, sizeof(o.random));
	if (rc == 0)
		rc = uv_read_start((uv_stream_t *)&c->tcp, give_buffer, received);
	if (rc == 0)
		rc = uv_timer_start(&c->timer, late, LINK_HANDSHAKE_US / 1000, 0);
	if (rc < 0) {
		conn_end(c, rc);
		return;
	}
	if (ticket == 0)
		enter(c);
	set_dirty(c);
}
