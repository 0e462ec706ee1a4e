/*
 * The links of a simulated host: between its node and the network.
 *
 * A link is new (dialled, or accepted), then has a core (its connection is there: hello goes both ways), then is up (the node knows it),
 * and ends once, from any of these.  One that is not up in time ends by itself.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/host_impl.h"
#include "tests/sim/liar.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define READ_BUFFER 65536u	/* what a shell reads into */

struct hostlink *hostlink_find(struct host *h, uint32_t number)
{
	struct hostlink *l = h->bucket[number % HOST_BUCKETS];

	while (l && l->number != number)
		l = l->next;
	return l;
}

struct hostlink *hostlink_new(struct host *h)
{
	struct hostlink *l = must(calloc(1, sizeof(*l)));

	l->host = h;
	l->number = ++h->next_link;
	list_init(&l->dirty);
	list_append(&h->links, &l->link);
	l->next = h->bucket[l->number % HOST_BUCKETS];
	h->bucket[l->number % HOST_BUCKETS] = l;
	return l;
}

void hostlink_free(struct hostlink *l)
{
	struct hostlink **at = &l->host->bucket[l->number % HOST_BUCKETS];

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	list_remove(&l->link);
	list_remove(&l->dirty);
	link_free(l->core);
	free(l);
}

void hostlink_dirty(struct hostlink *l)
{
	list_remove(&l->dirty);
	list_append(&l->host->dirty, &l->dirty);
}

void hostlink_end(struct hostlink *l, int why, enum hang_up how)
{
	struct host *h = l->host;
	struct event down = { .kind = EVENT_LINK_DOWN, .link = l->number, .result = why };
	struct event failed = { .kind = EVENT_DONE, .ticket = l->ticket, .result = why ? why : -ECONNRESET };
	bool was_up = l->up, dialled = l->ticket != 0;

	/* A dial that fails is answered by its ticket, a link that was up by its number: the node knows each by one name only. */
	trace(h->world, h, TRACE_LINK, l->number, (uint64_t)(int64_t)why, "link %u down: %s %s", l->number,
	    why ? strerror(-why) : "closed", l->core ? link_why(l->core) : "");
	if (l->connection)
		network_hang_up(l->connection, l, how);
	hostlink_free(l);
	if (was_up)
		host_input(h, &down);
	else if (dialled)
		host_input(h, &failed);
}

static void fire_link_deadline(struct world *w, void *arg, uint64_t number)
{
	struct timed *t = arg;
	struct host *h = t->host;
	struct hostlink *l = h->boot == t->boot && h->node ? hostlink_find(h, (uint32_t)number) : NULL;

	if (l && !l->up && host_ready(h) > w->now) {
		world_plan(w, host_ready(h), fire_link_deadline, t, number);
		return;
	}
	if (l && !l->up) {
		hostlink_end(l, -ETIMEDOUT, HANG_UP_CLOSE);
		host_finish(h);
	}
	timed_free(t);
}

void hostlink_deadline(struct hostlink *l, uint64_t in)
{
	struct timed *t = timed_new(l->host);

	world_plan(l->host->world, l->host->world->now + in, fire_link_deadline, t, l->number);
}

static void open_core(struct hostlink *l, struct connection *c, bool initiator)
{
	static const uint8_t no_secret[NOISE_KEY];
	struct host *h = l->host;
	struct link_options o = {
		.kind = LINK_PLAIN, .initiator = initiator, .file = &h->world->file, .key = h->key, .secret = h->secret,
		.noise_secret = no_secret, .pool = &h->pool, .user = l, .instance = h->disk->generation + h->boot,
		.now = host_clock(h),
	};

	dice_fill(&h->dice, o.random, sizeof(o.random));
	l->connection = c;
	if (link_new(&o, &l->core) != 0)
		must(NULL);
	hostlink_dirty(l);
}

void hostlink_pump(struct hostlink *l)
{
	struct event e = { .link = l->number };
	struct wire_slice out;
	size_t taken;
	bool full;

	while (l->connection && link_output(l->core, &out)) {
		taken = network_write(l->connection, l, out.data, out.len);
		link_sent(l->core, taken);
		if (taken < out.len)
			break;
	}
	/* Told when it changes: the node stops asking between the two, and would be asked for nothing by a repetition. */
	full = link_full(l->core);
	if (l->up && full != l->full) {
		l->full = full;
		e.kind = full ? EVENT_LINK_FULL : EVENT_LINK_ROOM;
		host_input(l->host, &e);
	}
}

static void up(struct hostlink *l)
{
	struct event e = { .kind = EVENT_LINK_UP, .link = l->number, .ticket = l->ticket, .key = link_peer(l->core) };
	struct address id;

	l->up = true;
	l->ticket = 0;
	member_id(e.key, &id);
	trace(l->host->world, l->host, TRACE_LINK, l->number, 1, "link %u up: %s", l->number, short_of(&id));
	host_input(l->host, &e);
}

void host_received(struct hostlink *l, const uint8_t *bytes, size_t len)
{
	struct host *h = l->host;
	struct event e = { .kind = EVENT_MESSAGE, .link = l->number };
	uint32_t number = l->number;	/* of a link that may end under our hands: closing is an effect, carried out by host_finish() */
	struct wire_slice last;
	int rc = link_input(l->core, bytes, len);

	hostlink_dirty(l);
	if (rc == 0 && !l->up && link_peer(l->core))
		up(l);
	while (rc == 0 && link_receive(l->core, &e.message)) {
		trace(h->world, h, TRACE_RECEIVE, (uint64_t)e.message.type << 32 | e.message.request, e.message.body->len,
		    "<- link %u %s %u, %u bytes", number, wire_type_name(e.message.type), e.message.request,
		    e.message.body->len);
		h->messages++;
		if (h->lies)
			liar_sees(h, &e.message);
		if (plant_deaf(h, &e.message)) {
			chunk_drop(e.message.body);
			continue;
		}
		/* As if each message pinned the buffer that it came in. */
		if (planted(h->world, PLANT_GREEDY))
			h->hoard += READ_BUFFER;
		host_input(h, &e);
	}
	if (rc != 0) {
		/* It may have a last word to the other side. */
		if (link_output(l->core, &last))
			network_write(l->connection, l, last.data, last.len);
		hostlink_end(l, rc, HANG_UP_CLOSE);
	}
	host_finish(h);
}

void host_connected(struct hostlink *l)
{
	open_core(l, l->connection, true);
	hostlink_deadline(l, LINK_HANDSHAKE_US);
	host_finish(l->host);
}

struct hostlink *host_accept(struct host *h, struct connection *c)
{
	struct hostlink *l;

	if (h->gone)
		return NULL;
	l = hostlink_new(h);
	open_core(l, c, false);
	hostlink_deadline(l, LINK_HANDSHAKE_US);
	return l;
}

void host_room(struct hostlink *l)
{
	if (l->core)
		hostlink_dirty(l);
	host_finish(l->host);
}

void host_broken(struct hostlink *l, int why)
{
	struct host *h = l->host;

	l->connection = NULL;
	hostlink_end(l, why, HANG_UP_CLOSE);
	host_finish(h);
}
