/*
 * One event goes through in this order:
 *
 *	a socket, a timer, the bridge ...	peer_input(): the node hears of it
 *	then, or before the loop sleeps		peer_turn(): what the node wants done is carried out, which may be events again
 *	before the loop sleeps			links that are dirty write; the timer is set to the node's deadline
 *
 * so all that one round of the loop brought is written together.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/conn.h"
#include "dht/peer/dial.h"
#include "dht/peer/listen.h"
#include "dht/peer/peer_impl.h"

uint64_t peer_now(void)
{
	return uv_hrtime() / 1000;
}

void peer_log(struct peer *p, int priority, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (!p->log)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	p->log(p->arg, priority, text);
}

void peer_refuse(struct peer *p, const char *who, const char *why)
{
	uint64_t now = peer_now();

	p->refused++;
	if (p->closing || now < p->refused_next)
		return;
	if (p->refused - p->refused_told > 1)
		peer_log(p, LOG_WARNING, "%s: %s (and %llu others sent away before it)", who, why,
		    (unsigned long long)(p->refused - p->refused_told - 1));
	else
		peer_log(p, LOG_WARNING, "%s: %s", who, why);
	p->refused_told = p->refused;
	p->refused_next = now + REFUSED_EVERY;
}

/* Before anything is carried out that follows from what could not be read. */
static void look_at_shelf(struct peer *p)
{
	struct event lost = { .kind = EVENT_LOST, .result = shelf_broken(p->shelf) };

	if (lost.result == 0 || p->lost)
		return;
	p->lost = true;
	node_input(p->node, &lost, peer_now());
}

void peer_input(struct peer *p, const struct event *e)
{
	node_input(p->node, e, peer_now());
	look_at_shelf(p);
}

/* ---- the disk ---- */

/* One answer of the disk.  It is made when the disk is asked, so that the answer needs no memory. */
struct disk_job {
	struct bridge_job job;
	struct event event;
};

static void disk_answered(void *arg, struct bridge_job *job)
{
	struct disk_job *j = list_item(job, struct disk_job, job);
	struct peer *p = arg;

	/* Behind the end of the loop only what it holds matters. */
	if (!p->ended) {
		peer_input(p, &j->event);
		peer_turn(p);
	}
	chunk_drop(j->event.chunk);
	free(j);
}

static struct disk_job *spare_take(struct peer *p)
{
	struct list *l;

	pthread_mutex_lock(&p->spare_lock);
	assert(!list_empty(&p->spare_jobs));
	l = p->spare_jobs.next;
	list_remove(l);
	pthread_mutex_unlock(&p->spare_lock);
	return list_item(l, struct disk_job, job.link);
}

void loop_disk_done(void *arg, struct event *e)
{
	struct peer *p = arg;
	struct disk_job *j = spare_take(p);

	j->job.run = disk_answered;
	j->event = *e;
	bridge_send(&p->bridge, &j->job);
}

static void ask_disk(struct peer *p, const struct effect *e)
{
	struct event failed = { .kind = EVENT_DONE, .ticket = e->ticket, .result = -ENOMEM };
	struct disk_job *j = malloc(sizeof(*j));

	if (!j) {
		peer_input(p, &failed);
		return;
	}
	pthread_mutex_lock(&p->spare_lock);
	list_append(&p->spare_jobs, &j->job.link);
	pthread_mutex_unlock(&p->spare_lock);
	disk_start(p->disk, e);
}

/* ---- effects ---- */

static void stop(struct peer *p, int result, const char *why)
{
	if (p->halted)
		return;
	p->halted = true;
	snprintf(p->stop_text, sizeof(p->stop_text), "%s", why);
	/* Nobody is to find it any more; whoever has it is told by the core's closing. */
	listen_close(p);
	dials_close(p);
	conns_close(p);
	if (p->stopped)
		p->stopped(p->arg, result, p->stop_text);
}

static void carry_out(struct peer *p, const struct effect *e)
{
	struct conn *c;

	switch (e->kind) {
	case EFFECT_DIAL:
		dial_start(p, e);
		break;
	case EFFECT_SEND:
		c = conn_find(p, e->link);
		if (c)
			conn_send(c, e);
		break;
	case EFFECT_CONSUMED:
		c = conn_find(p, e->link);
		if (c)
			conn_consumed(c, e->count);
		break;
	case EFFECT_CLOSE:
		c = conn_find(p, e->link);
		if (c)
			conn_end(c, -ECONNABORTED);
		break;
	case EFFECT_TABLE:
		if (!p->closing)
			tables_build(p, e);
		break;
	case EFFECT_TABLE_FREE:
		tables_back(p, e->table);
		break;
	case EFFECT_REPLY:
		if (e->ticket == p->part_ticket && e->result == 0)
			part_taken(p);
		else
			asks_reply(p, e);
		break;
	case EFFECT_LOG:
		peer_log(p, e->level, "%s", e->text);
		break;
	case EFFECT_STOP:
		stop(p, e->result, e->text);
		break;
	default:
		ask_disk(p, e);
	}
}

/* What is left to do where the shelf could not be read: nobody is told that something is not here, and nothing goes for it. */
static bool holds(struct effect *e)
{
	switch (e->kind) {
	case EFFECT_REPLY:
		if (e->result != -ESHUTDOWN)
			e->result = -EIO;
		return true;
	case EFFECT_CLOSE:
	case EFFECT_TABLE_FREE:
	case EFFECT_LOG:
	case EFFECT_STOP:
		return true;
	default:
		return false;
	}
}

void peer_turn(struct peer *p)
{
	struct effect e;

	while (node_poll(p->node, &e)) {
		if (!p->lost || holds(&e))
			carry_out(p, &e);
		effect_done(&e);
	}
}

/* ---- time ---- */

static void due(uv_timer_t *t)
{
	struct peer *p = t->data;
	struct event e = { .kind = EVENT_TIME };

	p->wake_ms = UINT64_MAX;
	if (node_deadline(p->node) > peer_now())
		return;
	peer_input(p, &e);
	peer_turn(p);
}

/*
 * Libuv counts whole milliseconds from a time that it looked at earlier.  Both are of the clock that the node has, so
 * with the deadline rounded up to a whole one it never fires too early; it is a millisecond late at most.
 */
static void set_timer(struct peer *p)
{
	uint64_t deadline = node_deadline(p->node), at, now;

	at = deadline == UINT64_MAX ? UINT64_MAX : (deadline + 999) / 1000;
	if (at == p->wake_ms)
		return;
	p->wake_ms = at;
	if (at == UINT64_MAX) {
		uv_timer_stop(&p->timer);
		return;
	}
	uv_update_time(&p->loop);
	now = uv_now(&p->loop);
	uv_timer_start(&p->timer, due, at > now ? at - now : 0, 0);
}

static void tell_joined(struct peer *p)
{
	struct node_status s;

	if (p->told_joined)
		return;
	node_status(p->node, &s);
	if (s.members <= 1)
		return;
	p->told_joined = true;
	pthread_mutex_lock(&p->joined_lock);
	p->joined = true;
	pthread_cond_broadcast(&p->joined_cond);
	pthread_mutex_unlock(&p->joined_lock);
}

static void before_sleep(uv_prepare_t *h)
{
	struct peer *p = h->data;

	/* A link that has become full, or is broken, is an event, too. */
	do
		peer_turn(p);
	while (conns_pump(p));
	set_timer(p);
	atomic_store_explicit(&p->alone, node_alone(p->node), memory_order_relaxed);
	tell_joined(p);
}

/* ---- its life ---- */

static void close_handles(struct peer *p)
{
	listen_close(p);
	uv_close((uv_handle_t *)&p->timer, NULL);
	uv_close((uv_handle_t *)&p->prepare, NULL);
	bridge_shut(&p->bridge);
}

static void close_all(void *arg, struct bridge_job *j)
{
	struct peer *p = arg;

	(void)j;
	p->closing = true;
	asks_end(p);
	dials_close(p);
	conns_close(p);
	/* What the node wants written is begun, and finished behind the loop's end. */
	peer_turn(p);
	close_handles(p);
}

int loop_init(struct peer *p)
{
	int rc = uv_loop_init(&p->loop);

	if (rc < 0)
		return rc;
	rc = bridge_open(&p->bridge, &p->loop, p);
	if (rc < 0) {
		uv_loop_close(&p->loop);
		return rc;
	}
	p->closing_job.run = close_all;
	uv_prepare_init(&p->loop, &p->prepare);
	uv_timer_init(&p->loop, &p->timer);
	p->prepare.data = p->timer.data = p;
	p->wake_ms = UINT64_MAX;
	list_init(&p->conns);
	list_init(&p->dirty);
	list_init(&p->dials);
	list_init(&p->spare_jobs);
	pthread_mutex_init(&p->spare_lock, NULL);
	asks_init(p);
	return 0;
}

/* A peer that keeps nothing is drained from its first word on; one that did keep nothing when it last ran takes its part again. */
static void set_part(struct peer *p)
{
	struct command c = { .kind = COMMAND_DRAIN, .count = p->keeps_nothing, .timeout = COMMAND_TIMEOUT_MAX };
	struct event e = { .kind = EVENT_COMMAND, .command = &c };

	if (!p->keeps_nothing && !p->kept_nothing)
		return;
	c.ticket = ++p->next_ticket;
	if (!p->keeps_nothing)
		p->part_ticket = c.ticket;
	peer_input(p, &e);
}

void *loop_main(void *arg)
{
	struct event start = { .kind = EVENT_START };
	struct peer *p = arg;

	pthread_setname_np(pthread_self(), "peer loop");
	peer_input(p, &start);
	set_part(p);
	uv_prepare_start(&p->prepare, before_sleep);
	before_sleep(&p->prepare);
	uv_sem_post(&p->started);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	return NULL;
}

void loop_end(struct peer *p)
{
	int rc;

	if (!p->closing)
		close_handles(p);
	/* The last of them are let go of. */
	uv_run(&p->loop, UV_RUN_DEFAULT);
	rc = uv_loop_close(&p->loop);
	assert(rc == 0);
}
