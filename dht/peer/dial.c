#include "dht/peer/dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/conn.h"
#include "dht/peer/resolve.h"
#include "dht/peer/peer_impl.h"

struct dial {
	struct list link;
	struct peer *peer;
	uint64_t ticket, until_ms;
	uv_timer_t timer;
	struct resolve *lookup;		/* NULL: over */
	struct resolve_result found;
	unsigned int next;		/* address to be tried */
	int error;			/* of the last one */
	bool older;			/* secret */
	struct attempt *attempt;	/* NULL: none under way */
};

/* Libuv reports it in any case, maybe after the dial has gone. */
struct attempt {
	uv_connect_t request;
	struct dial *dial;		/* NULL: nobody waits for it */
	struct conn *conn;
};

static void try_next(struct dial *d);

static void freed(uv_handle_t *h)
{
	free(h->data);
}

static void give_up_attempt(struct dial *d)
{
	if (!d->attempt)
		return;
	d->attempt->dial = NULL;
	conn_end(d->attempt->conn, -ECANCELED);
	d->attempt = NULL;
}

static void release(struct dial *d)
{
	if (d->lookup)
		resolve_cancel(d->lookup);
	d->lookup = NULL;
	give_up_attempt(d);
	list_remove(&d->link);
	uv_close((uv_handle_t *)&d->timer, freed);
}

static void end(struct dial *d, int why)
{
	struct event failed = { .kind = EVENT_DONE, .ticket = d->ticket, .result = why };
	struct peer *p = d->peer;

	release(d);
	peer_input(p, &failed);
}

static void late(uv_timer_t *t)
{
	struct dial *d = t->data;

	d->error = -ETIMEDOUT;
	give_up_attempt(d);
	if (d->lookup)
		end(d, -ETIMEDOUT);
	else
		try_next(d);
}

static void connected(uv_connect_t *request, int status)
{
	struct attempt *a = (struct attempt *)request;
	struct dial *d = a->dial;
	struct conn *c = a->conn;

	free(a);
	if (!d)
		return;
	d->attempt = NULL;
	if (status == 0 && !conn_affordable(c))
		status = -EMFILE;
	if (status < 0) {
		d->error = status;
		conn_end(c, status);
		try_next(d);
		return;
	}
	conn_begin(c, d->ticket, d->older);
	release(d);
}

static int attempt(struct dial *d, const struct sockaddr *sa)
{
	struct attempt *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return -ENOMEM;
	a->dial = d;
	a->conn = conn_new(d->peer);
	if (!a->conn) {
		free(a);
		return -ENOMEM;
	}
	rc = uv_tcp_connect(&a->request, conn_socket(a->conn), sa, connected);
	if (rc < 0) {
		conn_end(a->conn, rc);
		free(a);
		return rc;
	}
	d->attempt = a;
	return 0;
}

static void try_next(struct dial *d)
{
	uint64_t now, left;

	uv_update_time(&d->peer->loop);
	now = uv_now(&d->peer->loop);
	while (d->next < d->found.count && now < d->until_ms) {
		left = (d->until_ms - now) / (d->found.count - d->next);
		d->error = attempt(d, (const struct sockaddr *)&d->found.address[d->next++]);
		if (d->error == 0) {
			uv_timer_start(&d->timer, late, left + 1, 0);
			return;
		}
	}
	end(d, d->error ? d->error : -ETIMEDOUT);
}

static void found(void *arg, const struct resolve_result *r)
{
	struct dial *d = arg;

	d->lookup = NULL;
	d->found = *r;
	if (r->error)
		end(d, r->error);
	else
		try_next(d);
}

static struct dial *dial_new(struct peer *p)
{
	return p->closing || p->halted ? NULL : calloc(1, sizeof(struct dial));
}

static void begin(struct dial *d, struct peer *p, uint64_t ticket)
{
	d->peer = p;
	d->ticket = ticket;
	uv_timer_init(&p->loop, &d->timer);
	d->timer.data = d;
	list_append(&p->dials, &d->link);
	uv_update_time(&p->loop);
	d->until_ms = uv_now(&p->loop) + DIAL_TIMEOUT / MS;
}

void dial_start(struct peer *p, const struct effect *e)
{
	struct event failed = { .kind = EVENT_DONE, .ticket = e->ticket };
	struct dial *d = dial_new(p);
	struct endpoint to;

	failed.result = d ? endpoint_parse(e->text, PEER_PORT, &to) : -ENOMEM;
	if (failed.result == 0)
		failed.result = resolve_start(&p->bridge, &to, found, d, &d->lookup);
	if (failed.result < 0) {
		free(d);
		peer_input(p, &failed);
		return;
	}
	begin(d, p, e->ticket);
	uv_timer_start(&d->timer, late, DIAL_TIMEOUT / MS, 0);
}

bool dial_older(struct peer *p, const struct sockaddr *sa, uint64_t ticket)
{
	struct dial *d = dial_new(p);

	if (!d)
		return false;
	begin(d, p, ticket);
	d->older = true;
	d->found.count = 1;
	memcpy(&d->found.address[0], sa, sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	try_next(d);
	return true;
}

void dials_close(struct peer *p)
{
	while (!list_empty(&p->dials))
		release(list_item(p->dials.next, struct dial, link));
}
