/*
 * Commands from other threads, and looks into the node.
 *
 *	state    | event                    | function    | next
 *	---------+--------------------------+-------------+-------------------------------
 *	-        | peer_ask()               | peer_ask    | sent
 *	sent     | the loop comes to it     | take        | in the core
 *	sent     | peer_cancel()            | peer_cancel | sent, cancelled
 *	sent, cancelled | the loop comes to it | take     | answered: -ECANCELED
 *	in the core | EFFECT_REPLY          | asks_reply  | answered: that
 *	in the core | peer_cancel()         | peer_cancel | in the core, cancelled (sent once more)
 *	in the core, cancelled | the loop comes to it | take | answered: -ECANCELED; the reply finds nobody
 *	sent, in the core | peer_close()    | take, asks_end | answered: -ECANCELED
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dht/peer/peer_impl.h"

enum ask_state { ASK_SENT = 1, ASK_IN_CORE, ASK_ANSWERED };

void asks_init(struct peer *p)
{
	for (unsigned int i = 0; i < ASK_BUCKETS; i++)
		list_init(&p->asked[i]);
	pthread_mutex_init(&p->ask_lock, NULL);
}

/* The last that is known of it here. */
static void answer(struct peer *p, struct peer_ask *a, int result)
{
	pthread_mutex_lock(&p->ask_lock);
	a->state = ASK_ANSWERED;
	pthread_mutex_unlock(&p->ask_lock);
	/* A cancel may stand in line yet; no other one comes. */
	bridge_take(&p->bridge, &a->job);
	list_remove(&a->link);
	a->result = result;
	a->done(a);
}

static void take(void *arg, struct bridge_job *j)
{
	struct peer *p = arg;
	struct peer_ask *a = list_item(j, struct peer_ask, job);
	struct event e = { .kind = EVENT_COMMAND, .command = &a->command };
	bool cancelled;

	pthread_mutex_lock(&p->ask_lock);
	cancelled = a->cancelled || p->closing;
	if (!cancelled)
		a->state = ASK_IN_CORE;
	pthread_mutex_unlock(&p->ask_lock);
	if (cancelled) {
		answer(p, a, -ECANCELED);
		return;
	}
	a->command.ticket = ++p->next_ticket;
	list_append(&p->asked[a->command.ticket % ASK_BUCKETS], &a->link);
	peer_input(p, &e);
	peer_turn(p);
}

void peer_ask(struct peer *p, struct peer_ask *a)
{
	a->peer = p;
	a->job.run = take;
	a->state = ASK_SENT;
	a->cancelled = false;
	a->result = 0;
	a->chunk = a->blob = NULL;
	list_init(&a->link);
	bridge_send(&p->bridge, &a->job);
}

void peer_cancel(struct peer_ask *a)
{
	struct peer *p = a->peer;

	pthread_mutex_lock(&p->ask_lock);
	/* Only the first one, and only while there is something to cancel. */
	if (!a->cancelled && a->state == ASK_IN_CORE)
		bridge_send(&p->bridge, &a->job);
	a->cancelled = true;
	pthread_mutex_unlock(&p->ask_lock);
}

void asks_reply(struct peer *p, const struct effect *e)
{
	struct list *bucket = &p->asked[e->ticket % ASK_BUCKETS];

	for (struct list *l = bucket->next; l != bucket; l = l->next) {
		struct peer_ask *a = list_item(l, struct peer_ask, link);

		if (a->command.ticket != e->ticket)
			continue;
		a->chunk = e->chunk ? chunk_hold(e->chunk) : NULL;
		a->blob = e->blob ? chunk_hold(e->blob) : NULL;
		a->chunk_kind = e->chunk_kind;
		a->count = e->count;
		answer(p, a, e->result);
		return;
	}
}

void asks_end(struct peer *p)
{
	for (unsigned int i = 0; i < ASK_BUCKETS; i++)
		while (!list_empty(&p->asked[i]))
			answer(p, list_item(p->asked[i].next, struct peer_ask, link), -ECANCELED);
}

/* ---- waited for ---- */

static void answered(struct peer_ask *a)
{
	uv_sem_post(a->waiter);
}

static bool in_loop(struct peer *p)
{
	return pthread_equal(pthread_self(), p->thread);
}

int peer_ask_now(struct peer *p, struct peer_ask *a)
{
	uv_sem_t sem;

	/* The loop would wait for itself. */
	assert(!in_loop(p));
	uv_sem_init(&sem, 0);
	a->waiter = &sem;
	a->done = answered;
	peer_ask(p, a);
	uv_sem_wait(&sem);
	uv_sem_destroy(&sem);
	return a->result;
}

struct look {
	struct bridge_job job;
	void (*look)(void *arg, struct node *n);
	void *arg;
	uv_sem_t seen;
};

static void look_now(void *arg, struct bridge_job *j)
{
	struct look *l = list_item(j, struct look, job);
	struct peer *p = arg;

	l->look(l->arg, p->node);
	uv_sem_post(&l->seen);
}

void peer_look(struct peer *p, void (*look)(void *arg, struct node *n), void *arg)
{
	struct look l = { .job.run = look_now, .look = look, .arg = arg };

	if (in_loop(p)) {
		look(arg, p->node);
		return;
	}
	uv_sem_init(&l.seen, 0);
	bridge_send(&p->bridge, &l.job);
	uv_sem_wait(&l.seen);
	uv_sem_destroy(&l.seen);
}

struct status_look {
	struct peer *peer;
	struct peer_status *out;
};

static void look_status(void *arg, struct node *n)
{
	struct status_look *s = arg;
	struct peer *p = s->peer;

	node_status(n, &s->out->node);
	s->out->sockets = p->sockets;
	s->out->handshakes = p->door.count;
	s->out->refused = p->refused;
	s->out->bytes_in = p->bytes_in;
	s->out->bytes_out = p->bytes_out;
	s->out->keeps_nothing = p->keeps_nothing;
	memcpy(s->out->stopped, p->stop_text, sizeof(s->out->stopped));
}

void peer_status(struct peer *p, struct peer_status *out)
{
	struct status_look s = { p, out };

	*out = (struct peer_status){ .sockets = 0 };
	peer_look(p, look_status, &s);
	shelf_totals(p->shelf, &out->shelf);
}
