/*
 * One event goes through in this order:
 *
 *	input()		the service that it concerns: links, serve (a message), work (EVENT_DONE), commands
 *	timers_run()	all that is due by now: an answer that came in time is never beaten by its own time-out
 *	commands_stop()	where the node has stopped meanwhile: whoever waits is told
 *
 * and what it brought about lies in the queue of effects.  Services call machines back (a call's done(), a work's, a
 * timer's due()), machines ask services; nobody else calls anybody, and there is no other thread and no other stack.
 *
 *   state    | event                       | function      | next
 *   ---------+-----------------------------+---------------+--------
 *   new      | EVENT_START                 | start         | running
 *   running  | node_stop(), by anyone      | commands_stop | stopped
 *   stopped  | any                         | input_stopped | stopped
 *   any      |                             | node_free     | -
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/node_core.h"

/* ---- its options, copied ---- */

static void options_free(struct node_options *o)
{
	for (unsigned int i = 0; o->seeds && o->seeds[i]; i++)
		free((void *)(uintptr_t)o->seeds[i]);
	free((void *)(uintptr_t)o->seeds);
	for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++)
		free((void *)(uintptr_t)o->address[i]);
	free((void *)(uintptr_t)o->zone);
	explicit_bzero(o->secret, sizeof(o->secret));
}

static bool options_valid(const struct node_options *o)
{
	if (!o->file || !o->catalogue || o->weight < 1 || o->weight > RING_WEIGHT_MAX)
		return false;
	if (o->zone && !member_zone_valid(o->zone))
		return false;
	for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++)
		if (o->address[i] && !member_address_valid(o->address[i]))
			return false;
	for (unsigned int i = 0; o->seeds && o->seeds[i]; i++)
		if (strlen(o->seeds[i]) >= sizeof(((struct effect *)0)->text))
			return false;
	return true;
}

static int options_copy(struct node *n, const struct node_options *o)
{
	struct node_options *to = &n->options;
	const char **seeds;
	size_t count = 0;

	*to = *o;
	n->file = *o->file;
	to->file = &n->file;
	memset(to->address, 0, sizeof(to->address));
	to->seeds = NULL;
	to->zone = strdup(o->zone ? o->zone : "");
	if (!to->zone)
		return -ENOMEM;
	for (unsigned int i = 0; i < MEMBER_ADDRESSES && o->address[i]; i++) {
		to->address[i] = strdup(o->address[i]);
		if (!to->address[i])
			return -ENOMEM;
	}
	while (o->seeds && o->seeds[count])
		count++;
	seeds = calloc(count + 1, sizeof(*seeds));
	to->seeds = seeds;
	if (!seeds)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		seeds[i] = strdup(o->seeds[i]);
		if (!seeds[i])
			return -ENOMEM;
	}
	return 0;
}

/* ---- its life ---- */

int node_new(const struct node_options *o, struct node **out)
{
	/* Timers and randomness need nothing; membership, placement and machines begin with EVENT_START. */
	int (*const parts[])(struct node *) = {
		effects_new, works_new, commands_new, peers_new, links_new, dials_new, calls_new, serve_new,
	};
	struct node *n;
	int r;

	if (!options_valid(o))
		return -EINVAL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	r = options_copy(n, o);
	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(*parts); i++)
		r = parts[i](n);
	if (r != 0) {
		node_free(n);
		return r;
	}
	member_id(o->key, &n->id);
	random_seed(n, o->seed);
	*out = n;
	return 0;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	/* Whoever waits goes before those that he waits with. */
	if (n->running) {
		n->stopped = true;
		commands_stop(n);
		machines_end(n);
		placement_end(n);
		membership_end(n);
	}
	serve_free(n);
	calls_free(n);
	peers_free(n);
	links_free(n);
	dials_free(n);
	commands_free(n);
	works_free(n);
	effects_free(n);
	options_free(&n->options);
	free(n);
}

static void start(struct node *n)
{
	assert(!n->running);
	n->running = true;
	n->started = n->now;
	/* Machines look at the view and the table; the first dial goes out when all can hear of it. */
	peers_start(n);
	membership_start(n);
	placement_start(n);
	machines_start(n);
	dials_start(n);
}

static void message(struct node *n, const struct event *e)
{
	struct link_message m = e->message;
	struct peer_link *l = links_find(n, e->link);

	/* What still comes by one that we closed. */
	if (!l || l->closing)
		chunk_drop(m.body);
	else
		serve_message(n, l, &m);
}

/* A node that has stopped only gives back what it is given. */
static void input_stopped(struct node *n, const struct event *e)
{
	struct effect close = { .kind = EFFECT_CLOSE, .link = e->link, .text = "stopped" };

	switch (e->kind) {
	case EVENT_MESSAGE:
		chunk_drop(e->message.body);
		break;
	case EVENT_LINK_UP:
		effects_put(n, &close);
		break;
	case EVENT_DONE:
		works_done(n, e);
		break;
	case EVENT_COMMAND:
		commands_input(n, e->command);
		break;
	default:
		break;
	}
}

static void input(struct node *n, const struct event *e)
{
	switch (e->kind) {
	case EVENT_START:
		start(n);
		break;
	case EVENT_TIME:
		break;
	case EVENT_LINK_UP:
		links_up(n, e);
		break;
	case EVENT_LINK_DOWN:
		links_down(n, e);
		break;
	case EVENT_LINK_FULL:
	case EVENT_LINK_ROOM:
		links_room(n, e->link, e->kind == EVENT_LINK_FULL);
		break;
	case EVENT_MESSAGE:
		message(n, e);
		break;
	case EVENT_DONE:
		works_done(n, e);
		break;
	case EVENT_COMMAND:
		commands_input(n, e->command);
		break;
	case EVENT_LOST:
		node_stop_for(n, e->result, "what it noted for the ring, its file `shelf', or what it has, its `ledger', can't be read any more; "
		    "if the disk is well, start it again");
		break;
	}
}

void node_input(struct node *n, const struct event *e, uint64_t now)
{
	assert(n->running || e->kind == EVENT_START);
	/* A clock that steps back stands still here. */
	if (now > n->now)
		n->now = now;
	if (n->stopped) {
		input_stopped(n, e);
		return;
	}
	input(n, e);
	if (!n->stopped)
		timers_run(n);
	if (n->stopped)
		commands_stop(n);
}

bool node_poll(struct node *n, struct effect *out)
{
	return effects_poll(n, out);
}

uint64_t node_deadline(const struct node *n)
{
	return n->stopped ? UINT64_MAX : timers_next(n);
}

bool node_founds(const struct node *n)
{
	return !n->options.seeds[0] && !n->options.forgot;
}

bool node_alone(const struct node *n)
{
	struct node_status s = { .members = 0 };

	if (n->running)
		membership_status((struct node *)(uintptr_t)n, &s);
	return node_founds(n) && s.members <= 1;
}

static size_t memory(struct node *n)
{
	return sizeof(*n) + effects_memory(n) + works_memory(n) + commands_memory(n) + peers_memory(n) +
	    links_memory(n) + dials_memory(n) + calls_memory(n) + serve_memory(n) + membership_memory(n) +
	    placement_memory(n) + machines_memory(n);
}

void node_status(const struct node *n, struct node_status *out)
{
	/* Those who are asked take a node that they may change, but don't. */
	struct node *asked = (struct node *)(uintptr_t)n;
	const struct address *hash = n->running ? placement_hash(asked) : NULL;

	*out = n->status;
	out->links = links_count(n);
	out->calls = calls_count(n);
	out->commands = commands_count(n);
	out->timers = n->timer_count;
	if (!n->running)
		return;
	if (hash)
		out->placement = *hash;
	membership_status(asked, out);
	out->foreign = foreign_count(asked);
	out->memory = memory(asked);
	out->complete = placement_all_complete(asked);
}
