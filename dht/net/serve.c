#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dht/net/node_core.h"

struct serve {
	struct list all;
	unsigned int count;
	size_t bytes;		/* of the requests' bodies */
};

int serve_new(struct node *n)
{
	n->serve = calloc(1, sizeof(*n->serve));
	if (!n->serve)
		return -ENOMEM;
	list_init(&n->serve->all);
	return 0;
}

/* Its peer and link may go now, as far as it is concerned. */
static void forget(struct node *n, struct served *s)
{
	struct peer_link *l = links_find(n, s->via);

	if (l) {
		l->served--;
		l->used = n->now;
	}
	s->peer->served--;
	s->peer->used = n->now;
	n->serve->count--;
	n->serve->bytes -= s->body->len;
	list_remove(&s->link);
	chunk_drop(s->body);
	free(s);
	dials_turn(n);
}

void serve_free(struct node *n)
{
	if (!n->serve)
		return;
	while (!list_empty(&n->serve->all))
		forget(n, list_item(n->serve->all.next, struct served, link));
	free(n->serve);
	n->serve = NULL;
}

size_t serve_memory(const struct node *n)
{
	return sizeof(*n->serve) + n->serve->count * sizeof(struct served) + n->serve->bytes;
}

/* The sender may send as much again.  Control messages have no credit. */
static void consumed(struct node *n, uint32_t link, enum link_priority priority, uint32_t len)
{
	struct effect e = { .kind = EFFECT_CONSUMED, .link = link, .count = len };

	if (priority != LINK_CONTROL)
		effects_put(n, &e);
}

static void answer(struct node *n, uint32_t via, uint32_t request, enum link_priority priority, struct message *m,
    struct chunk *tail)
{
	struct chunk *head;

	m->type = WIRE_ANSWER;
	m->request = request;
	if (message_encode(n, m, tail, &head) == 0)
		message_send(n, via, WIRE_ANSWER, request, priority, head, tail);
}

void serve_answer(struct node *n, struct served *s, struct message *m, struct chunk *tail)
{
	struct peer_link *l = links_find(n, s->via);

	/* Without the memory for it there is no answer: the other side waits no longer than its timeout. */
	if (l && !l->closing) {
		answer(n, s->via, s->request, s->priority, m, tail);
		consumed(n, s->via, s->priority, s->body->len);
	}
	forget(n, s);
}

void serve_status(struct node *n, struct served *s, enum wire_status status)
{
	struct message m = { .status = status };

	serve_answer(n, s, &m, NULL);
}

/* An answer to what is not worked on at all. */
static void refuse(struct node *n, struct peer_link *l, const struct link_message *m, struct message *a)
{
	answer(n, l->number, m->request, m->priority, a, NULL);
	consumed(n, l->number, m->priority, m->body->len);
}

/* May the request be worked on?  Otherwise it is answered here. */
static bool admit(struct node *n, struct peer_link *l, const struct link_message *in, const struct message *m)
{
	struct message busy = { .status = WIRE_BUSY };
	struct message other = { .status = WIRE_OTHER_PLACEMENT, .has = WIRE_HAS(FIELD_PLACEMENT) };

	if (l->peer->served >= SERVED_PEER_MAX || n->serve->count >= SERVED_MAX || !placement(n)) {
		refuse(n, l, in, &busy);
		return false;
	}
	if ((m->has & WIRE_HAS(FIELD_PLACEMENT)) && !address_equal(&m->placement, placement_hash(n))) {
		other.placement = *placement_hash(n);
		refuse(n, l, in, &other);
		peer_differs(n, l->peer);
		return false;
	}
	return true;
}

static void work_on(struct node *n, struct peer_link *l, struct link_message *in, const struct message *m)
{
	struct served *s = calloc(1, sizeof(*s));
	struct message busy = { .status = WIRE_BUSY };

	if (!s) {
		refuse(n, l, in, &busy);
		return;
	}
	*s = (struct served){
		.peer = l->peer, .request = in->request, .via = l->number, .priority = in->priority, .body = in->body,
	};
	in->body = NULL;
	list_append(&n->serve->all, &s->link);
	n->serve->count++;
	n->serve->bytes += s->body->len;
	l->peer->served++;
	l->served++;
	l->used = n->now;
	if (!machines_request(n, s, m))
		serve_status(n, s, WIRE_BAD);
}

static void broken(struct node *n, struct peer_link *l, const struct link_message *m, const char *what)
{
	char why[80];

	snprintf(why, sizeof(why), "broke the protocol: %s %s", what, wire_type_name(m->type));
	link_close(n, l, why);
}

void serve_message(struct node *n, struct peer_link *l, struct link_message *in)
{
	struct peer *p = l->peer;
	struct message m;
	int r;

	n->status.received[in->priority] += in->body->len;
	l->heard = p->heard = n->now;
	l->spoke = true;
	membership_heard(n, p);
	if (wire_known(in->type) && (in->priority == LINK_CONTROL) == (wire_is_request(in->type) || in->type == WIRE_ANSWER)) {
		broken(n, l, in, "the wrong priority of");
	} else if (in->type == WIRE_ANSWER) {
		if (!calls_answer(n, p, in))
			broken(n, l, in, "malformed");
		consumed(n, l->number, in->priority, in->body->len);
	} else {
		r = wire_decode(in->type, in->request, in->body->data, in->body->len, &m);
		if (r == -EBADMSG) {
			broken(n, l, in, "malformed");
		} else if (r == 0 && wire_is_request(in->type)) {
			if (admit(n, l, in, &m))
				work_on(n, l, in, &m);
		} else {
			/* A type of a later version is skipped. */
			if (r == 0)
				membership_message(n, p, &m);
			consumed(n, l->number, in->priority, in->body->len);
		}
	}
	chunk_drop(in->body);
	in->body = NULL;
}
