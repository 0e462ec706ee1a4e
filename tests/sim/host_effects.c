/*
 * What the node of a simulated host is told, and what it asks for: a shell's loop, with the world in the place of the machine.
 *
 * An effect is never carried out from within node_input(), nor is its answer given then: answers come as happenings of their own, of
 * which each carries the boot that it is for.  So a process that was killed is told nothing of what it began, and the next one
 * nothing of the last.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/host_impl.h"
#include "tests/sim/liar.h"
#include "tests/sim/load.h"
#include "tests/sim/tables.h"
#include "tests/sim/trace.h"

#define TABLE_US (50 * MS)	/* to build a table, off the loop */

struct timed *timed_new(struct host *h)
{
	struct timed *t = must(calloc(1, sizeof(*t)));

	t->host = h;
	t->boot = h->boot;
	list_append(&h->timed, &t->link);
	return t;
}

void timed_free(struct timed *t)
{
	list_remove(&t->link);
	free(t);
}

void host_input(struct host *h, const struct event *e)
{
	assert(h->node);
	/* Events stand in line where each takes time: the next one is not before this one is through. */
	h->busy_until = host_ready(h) + h->cost;
	node_input(h->node, e, host_clock(h));
}

static void fire_timed(struct world *w, void *arg, uint64_t unused)
{
	struct timed *t = arg;
	struct host *h = t->host;

	(void)unused;
	if (h->node && h->boot == t->boot && host_ready(h) > w->now) {
		world_plan(w, host_ready(h), fire_timed, t, 0);
		return;
	}
	/* A table that nobody takes any more goes back: it is the world's. */
	if (!host_done(h, t->boot, &t->event) && t->event.table)
		tables_put(w, t->event.table);
	timed_free(t);
}

static void plan_done(struct host *h, uint64_t in, const struct event *e)
{
	struct timed *t = timed_new(h);

	t->event = *e;
	world_plan(h->world, h->world->now + in, fire_timed, t, 0);
}

static void dial(struct host *h, const struct effect *e)
{
	struct event failed = { .kind = EVENT_DONE, .ticket = e->ticket, .result = -EHOSTUNREACH };
	struct hostlink *l;
	unsigned int to;

	/* Liars forge addresses: what is none of a host fails, as a name does that nobody resolves. */
	if (sscanf(e->text, "n%u:1", &to) != 1 || to >= h->world->hosts) {
		plan_done(h, 10 * MS, &failed);
		return;
	}
	l = hostlink_new(h);
	l->ticket = e->ticket;
	trace(h->world, h, TRACE_LINK, l->number, to, "link %u dials n%u", l->number, to);
	hostlink_deadline(l, DIAL_TIMEOUT);
	l->connection = network_dial(h->world, h, h->world->host[to], l);
}

static void build_table(struct host *h, const struct effect *e)
{
	struct event done = { .kind = EVENT_DONE, .ticket = e->ticket };

	done.table = tables_get(h->world, e->members, e->count, h->world->file.replicas);
	done.result = done.table ? 0 : -EINVAL;
	plan_done(h, TABLE_US, &done);
}

/* What was given to the node, to see that it gives back just that: a table kept for ever would be memory that its status does not show. */
static void keep_table(struct host *h, struct ring *r)
{
	if (h->tables == h->tables_size) {
		h->tables_size = h->tables_size ? 2 * h->tables_size : 4;
		h->table = must(realloc(h->table, h->tables_size * sizeof(struct ring *)));
	}
	h->table[h->tables++] = r;
}

static void give_back(struct host *h, struct ring *r)
{
	for (unsigned int i = 0; i < h->tables; i++)
		if (h->table[i] == r) {
			h->table[i] = h->table[--h->tables];
			tables_put(h->world, r);
			return;
		}
	world_fail(h->world, "memory", "%s gives back a table that it does not have", h->name);
}

void host_send(struct host *h, const struct effect *e)
{
	struct hostlink *l = hostlink_find(h, e->link);

	if (!l || !l->core)
		return;
	trace(h->world, h, TRACE_SEND, (uint64_t)e->type << 32 | e->request,
	    (e->head ? e->head->len : 0) + (e->tail ? e->tail->len : 0), "-> link %u %s %u", e->link,
	    wire_type_name(e->type), e->request);
	h->sent_bytes[e->priority] += (e->head ? e->head->len : 0) + (e->tail ? e->tail->len : 0) + LINK_FRAME_HEAD + 2;
	if (e->tail)
		h->chunk_bytes[e->priority] += e->tail->len;
	link_send(l->core, e->type, e->request, e->priority, e->head, e->tail);
	hostlink_dirty(l);
}

static void carry_out(struct host *h, struct effect *e)
{
	struct world *w = h->world;
	struct hostlink *l;

	switch (e->kind) {
	case EFFECT_DIAL:
		dial(h, e);
		break;
	case EFFECT_SEND:
		if (h->lies)
			liar_send(h, e);
		else
			host_send(h, e);
		break;
	case EFFECT_CONSUMED:
		l = hostlink_find(h, e->link);
		if (l && l->core) {
			link_consumed(l->core, e->count);
			hostlink_dirty(l);
			/* What went back to the pool may be what other links wait for. */
			while ((l = link_pool_next(&h->pool)))
				hostlink_dirty(l);
		}
		break;
	case EFFECT_CLOSE:
		l = hostlink_find(h, e->link);
		if (l)
			hostlink_end(l, -ECONNABORTED, HANG_UP_CLOSE);
		break;
	case EFFECT_TABLE:
		build_table(h, e);
		break;
	case EFFECT_TABLE_FREE:
		give_back(h, e->table);
		break;
	case EFFECT_REPLY:
		load_reply(h, e);
		break;
	case EFFECT_LOG:
		trace(w, h, TRACE_LOG, (uint64_t)e->level, 0, "log %d: %s", e->level, e->text);
		break;
	case EFFECT_STOP:
		trace(w, h, TRACE_HOST, 9, 0, "stops: %s", e->text);
		snprintf(h->stopped, sizeof(h->stopped), "%s", e->text);
		h->gone = true;		/* its process ends in a moment: we are within its effects */
		break;
	default:
		disk_start(h->disk, e);
	}
}

static void fire_wake(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;
	struct event e = { .kind = EVENT_TIME };

	(void)unused;
	if (h->wake != w->now)
		return;		/* there is an earlier one now, or no process */
	h->wake = UINT64_MAX;
	if (!h->node)
		return;
	if (host_ready(h) > w->now) {
		h->wake = host_ready(h);
		world_plan(w, h->wake, fire_wake, h, 0);
		return;
	}
	/* It may have been put off since: then only the next one is planned. */
	if (node_deadline(h->node) <= host_clock(h))
		host_input(h, &e);
	host_finish(h);
}

static void fire_stopped(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)w;
	(void)unused;
	if (h->node && h->gone)
		host_stop(h, false);
}

void host_finish(struct host *h)
{
	struct world *w = h->world;
	struct hostlink *l;
	struct effect e;
	uint64_t at;

	do {
		while (node_poll(h->node, &e)) {
			carry_out(h, &e);
			effect_done(&e);
		}
		while (!list_empty(&h->dirty)) {
			l = list_item(h->dirty.next, struct hostlink, dirty);
			list_remove(&l->dirty);
			if (l->core)
				hostlink_pump(l);
		}
		/* A link that has become full was an event, too. */
	} while (node_poll(h->node, &e) ? (carry_out(h, &e), effect_done(&e), true) : !list_empty(&h->dirty));
	if (h->gone) {
		world_plan(w, w->now, fire_stopped, h, 0);
		return;
	}
	if (node_deadline(h->node) == UINT64_MAX)
		return;
	at = host_world_time(h, node_deadline(h->node));
	if (at < h->wake) {
		h->wake = at;
		world_plan(w, at, fire_wake, h, 0);
	}
}

bool host_done(struct host *h, uint64_t boot, struct event *e)
{
	if (!h->node || h->boot != boot)
		return false;
	if (e->table)
		keep_table(h, e->table);
	host_input(h, e);
	host_finish(h);
	return true;
}

void host_command(struct host *h, const struct command *c)
{
	struct event e = { .kind = EVENT_COMMAND, .command = c };

	host_input(h, &e);
	host_finish(h);
}
