#include "tests/sim/host.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/books.h"
#include "tests/sim/liar.h"
#include "tests/sim/load.h"
#include "tests/sim/plants.h"
#include "tests/sim/tables.h"
#include "tests/sim/trace.h"

#define TABLE_US (50 * MS)	/* to build a table, off the loop */
#define READ_BUFFER 65536u	/* what a shell reads into */
#define SEEDS	 3u		/* hosts whose addresses all are given */

struct hostlink {
	struct list link, dirty;	/* dirty: a ring of its own when it is not */
	struct hostlink *next;		/* in its bucket */
	struct host *host;
	uint32_t number;
	struct link *core;		/* NULL until the connection is there */
	struct connection *connection;	/* NULL: broken */
	uint64_t ticket;		/* of the dial that waits for its answer; 0: none */
	bool up, full, closing;
};

struct timed {			/* what is planned for one process */
	struct list link;		/* of its host */
	struct host *host;
	uint64_t boot;
	struct event event;
};

static void finish(struct host *h);

static struct timed *timed_new(struct host *h)
{
	struct timed *t = must(calloc(1, sizeof(*t)));

	t->host = h;
	t->boot = h->boot;
	list_append(&h->timed, &t->link);
	return t;
}

static void timed_free(struct timed *t)
{
	list_remove(&t->link);
	free(t);
}

void hosts_open(struct world *w)
{
	w->hosts_size = w->options.nodes + 64;
	w->host = must(calloc(w->hosts_size, sizeof(struct host *)));
	sorted_init(&w->by_id, ADDRESS_LEN);
}

static void draw_machine(struct world *w, struct host *h)
{
	const struct options *o = &w->options;
	uint8_t seed[crypto_sign_SEEDBYTES];

	dice_fill(&h->dice, seed, sizeof(seed));
	crypto_sign_seed_keypair(h->key, h->secret, seed);
	member_id(h->key, &h->id);
	h->weight = o->weights ? (uint8_t)dice_between(&h->dice, 1, 4) : 1;
	if (o->zones > 1)
		snprintf(h->zone, sizeof(h->zone), "zone-%u", (unsigned int)dice_below(&h->dice, o->zones));
	h->x = (int)dice_below(&h->dice, 1001);
	h->y = (int)dice_below(&h->dice, 1001);
	h->bandwidth = o->bandwidth;
	h->clock_base = dice_below(&h->dice, (uint64_t)1 << 40);
}

struct host *host_new(struct world *w)
{
	struct host *h = must(calloc(1, sizeof(*h)));

	if (w->hosts == w->hosts_size) {
		w->hosts_size *= 2;
		w->host = must(realloc(w->host, w->hosts_size * sizeof(struct host *)));
	}
	h->world = w;
	h->index = w->hosts++;
	w->host[h->index] = h;
	snprintf(h->name, sizeof(h->name), "n%u", h->index);
	snprintf(h->address, sizeof(h->address), "n%u:1", h->index);
	dice_seed(&h->dice, w->options.seed, 1000 + h->index);
	list_init(&h->links);
	list_init(&h->timed);
	list_init(&h->dirty);
	h->wake = UINT64_MAX;
	draw_machine(w, h);
	h->disk = disk_new(h);
	sorted_add(&w->by_id, h);
	return h;
}

struct host *host_by_id(struct world *w, const struct address *id)
{
	return sorted_find(&w->by_id, id->b);
}

struct host *host_any(struct world *w, struct dice *d)
{
	for (unsigned int tries = 0; tries < 4 * w->hosts; tries++) {
		struct host *h = w->host[dice_below(d, w->hosts)];

		/* Users of a machine that stands still do, too. */
		if (h->node && !h->liar && !h->gone && !h->leaving && (h->crawls || h->busy_until <= w->now))
			return h;
	}
	return NULL;
}

/* ---- its clock and its time ---- */

uint64_t host_clock(const struct host *h)
{
	int64_t dt = (int64_t)(h->world->now - h->clock_origin);

	return h->clock_base + (uint64_t)(dt + dt / 1000000 * h->skew_ppm + dt % 1000000 * h->skew_ppm / 1000000);
}

/* When the host's clock will show ${clock}, or a little later. */
static uint64_t world_time(const struct host *h, uint64_t clock)
{
	uint64_t local = host_clock(h), dt;

	if (clock <= local)
		return h->world->now;
	dt = clock - local;
	return h->world->now + (uint64_t)((unsigned __int128)dt * 1000000 / (uint64_t)(1000000 + h->skew_ppm)) + 1;
}

void host_set_skew(struct host *h, int64_t ppm)
{
	h->clock_base = host_clock(h);
	h->clock_origin = h->world->now;
	h->skew_ppm = ppm;
	if (h->node)
		finish(h);
}

uint64_t host_ready(const struct host *h)
{
	return h->busy_until > h->world->now ? h->busy_until : h->world->now;
}

void host_freeze(struct host *h, uint64_t until)
{
	if (until > h->busy_until)
		h->busy_until = until;
	h->thawed = h->busy_until;
}

/* ---- links ---- */

static struct hostlink *find_link(struct host *h, uint32_t number)
{
	struct hostlink *l = h->bucket[number % HOST_BUCKETS];

	while (l && l->number != number)
		l = l->next;
	return l;
}

static struct hostlink *new_link(struct host *h)
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

static void free_link(struct hostlink *l)
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

static void set_dirty(struct hostlink *l)
{
	list_remove(&l->dirty);
	list_append(&l->host->dirty, &l->dirty);
}

static void input(struct host *h, const struct event *e)
{
	assert(h->node);
	h->busy_until = host_ready(h) + h->cost;
	node_input(h->node, e, host_clock(h));
}

/* The link is over: the node is told once, and whatever dialled it is answered. */
static void end_link(struct hostlink *l, int why, enum hang_up how)
{
	struct host *h = l->host;
	struct event down = { .kind = EVENT_LINK_DOWN, .link = l->number, .result = why };
	struct event failed = { .kind = EVENT_DONE, .ticket = l->ticket, .result = why ? why : -ECONNRESET };
	bool was_up = l->up, dialled = l->ticket != 0;

	trace(h->world, h, TRACE_LINK, l->number, (uint64_t)(int64_t)why, "link %u down: %s %s", l->number,
	    why ? strerror(-why) : "closed", l->core ? link_why(l->core) : "");
	if (l->connection)
		network_hang_up(l->connection, l, how);
	free_link(l);
	if (was_up)
		input(h, &down);
	else if (dialled)
		input(h, &failed);
}

static void fire_link_deadline(struct world *w, void *arg, uint64_t number)
{
	struct timed *t = arg;
	struct host *h = t->host;
	struct hostlink *l = h->boot == t->boot && h->node ? find_link(h, (uint32_t)number) : NULL;

	if (l && !l->up && host_ready(h) > w->now) {
		world_plan(w, host_ready(h), fire_link_deadline, t, number);
		return;
	}
	if (l && !l->up) {
		end_link(l, -ETIMEDOUT, HANG_UP_CLOSE);
		finish(h);
	}
	timed_free(t);
}

static void plan_deadline(struct hostlink *l, uint64_t in)
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
	set_dirty(l);
}

static void pump(struct hostlink *l)
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
	full = link_full(l->core);
	if (l->up && full != l->full) {
		l->full = full;
		e.kind = full ? EVENT_LINK_FULL : EVENT_LINK_ROOM;
		input(l->host, &e);
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
	input(l->host, &e);
}

void host_received(struct hostlink *l, const uint8_t *bytes, size_t len)
{
	struct host *h = l->host;
	struct event e = { .kind = EVENT_MESSAGE, .link = l->number };
	uint32_t number = l->number;
	struct wire_slice last;
	int rc = link_input(l->core, bytes, len);

	set_dirty(l);
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
		if (planted(h->world, PLANT_GREEDY))
			h->hoard += READ_BUFFER;
		input(h, &e);
	}
	if (rc != 0) {
		/* It may have a last word to the other side. */
		if (link_output(l->core, &last))
			network_write(l->connection, l, last.data, last.len);
		end_link(l, rc, HANG_UP_CLOSE);
	}
	finish(h);
}

void host_connected(struct hostlink *l)
{
	open_core(l, l->connection, true);
	plan_deadline(l, LINK_HANDSHAKE_US);
	finish(l->host);
}

struct hostlink *host_accept(struct host *h, struct connection *c)
{
	struct hostlink *l;

	if (h->gone)
		return NULL;
	l = new_link(h);
	open_core(l, c, false);
	plan_deadline(l, LINK_HANDSHAKE_US);
	return l;
}

void host_room(struct hostlink *l)
{
	if (l->core)
		set_dirty(l);
	finish(l->host);
}

void host_broken(struct hostlink *l, int why)
{
	struct host *h = l->host;

	l->connection = NULL;
	end_link(l, why, HANG_UP_CLOSE);
	finish(h);
}

/* ---- effects ---- */

static void fire_timed(struct world *w, void *arg, uint64_t unused)
{
	struct timed *t = arg;
	struct host *h = t->host;

	(void)unused;
	if (h->node && h->boot == t->boot && host_ready(h) > w->now) {
		world_plan(w, host_ready(h), fire_timed, t, 0);
		return;
	}
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

	if (sscanf(e->text, "n%u:1", &to) != 1 || to >= h->world->hosts) {
		plan_done(h, 10 * MS, &failed);
		return;
	}
	l = new_link(h);
	l->ticket = e->ticket;
	trace(h->world, h, TRACE_LINK, l->number, to, "link %u dials n%u", l->number, to);
	plan_deadline(l, DIAL_TIMEOUT);
	l->connection = network_dial(h->world, h, h->world->host[to], l);
}

static void build_table(struct host *h, const struct effect *e)
{
	struct event done = { .kind = EVENT_DONE, .ticket = e->ticket };

	done.table = tables_get(h->world, e->members, e->count, h->world->file.replicas);
	done.result = done.table ? 0 : -EINVAL;
	plan_done(h, TABLE_US, &done);
}

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
	struct hostlink *l = find_link(h, e->link);

	if (!l || !l->core)
		return;
	trace(h->world, h, TRACE_SEND, (uint64_t)e->type << 32 | e->request,
	    (e->head ? e->head->len : 0) + (e->tail ? e->tail->len : 0), "-> link %u %s %u", e->link,
	    wire_type_name(e->type), e->request);
	h->sent_bytes[e->priority] += (e->head ? e->head->len : 0) + (e->tail ? e->tail->len : 0) + LINK_FRAME_HEAD + 2;
	if (e->tail)
		h->chunk_bytes[e->priority] += e->tail->len;
	link_send(l->core, e->type, e->request, e->priority, e->head, e->tail);
	set_dirty(l);
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
		l = find_link(h, e->link);
		if (l && l->core) {
			link_consumed(l->core, e->count);
			set_dirty(l);
			while ((l = link_pool_next(&h->pool)))
				set_dirty(l);
		}
		break;
	case EFFECT_CLOSE:
		l = find_link(h, e->link);
		if (l)
			end_link(l, -ECONNABORTED, HANG_UP_CLOSE);
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
		h->gone = true;
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
	if (node_deadline(h->node) <= host_clock(h))
		input(h, &e);
	finish(h);
}

static void fire_stopped(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)w;
	(void)unused;
	if (h->node && h->gone)
		host_stop(h, false);
}

/* After each event: its effects, what its links have to write, and when it wants to be woken. */
static void finish(struct host *h)
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
				pump(l);
		}
		/* A link that has become full was an event, too. */
	} while (node_poll(h->node, &e) ? (carry_out(h, &e), effect_done(&e), true) : !list_empty(&h->dirty));
	if (h->gone) {
		world_plan(w, w->now, fire_stopped, h, 0);
		return;
	}
	if (node_deadline(h->node) == UINT64_MAX)
		return;
	at = world_time(h, node_deadline(h->node));
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
	input(h, e);
	finish(h);
	return true;
}

void host_command(struct host *h, const struct command *c)
{
	struct event e = { .kind = EVENT_COMMAND, .command = c };

	input(h, &e);
	finish(h);
}

/* ---- processes ---- */

/* Nobody has a disk that knows the ring, nor founds it just now: then the admin does what the log asks for. */
static bool ring_lost(struct world *w)
{
	for (unsigned int i = 0; i < w->hosts; i++) {
		struct host *h = w->host[i];
		struct catalogue *c = &h->disk->catalogue;
		struct address id;

		if (!h->gone && (h->founds || c->rows(c, ROW_MEMBER, NULL, &id)))
			return false;
	}
	return true;
}

void host_start(struct host *h)
{
	struct world *w = h->world;
	const char *seeds[SEEDS + 1] = { NULL };
	struct node_options o = {
		.file = &w->file, .weight = h->weight, .zone = h->zone, .address = { h->address }, .seeds = seeds,
		.catalogue = &h->disk->catalogue, .records = w->records,
	};
	struct event start = { .kind = EVENT_START };
	bool founds = ring_lost(w);

	assert(!h->node && !h->off && !h->gone);
	disk_open(h->disk);
	/* Who founds the ring, the first one, has nobody to ask.  Later it is told of others, as a machine that lost its disk is. */
	h->founds |= founds;
	/* Of a ring that is founded anew it is the only member, until the others come. */
	if (founds && w->now > 0)
		books_changed(w);
	for (unsigned int i = 0; i < SEEDS && i < w->hosts && !founds && !plant_alone(h); i++)
		seeds[i] = w->host[i]->address;
	memcpy(o.key, h->key, sizeof(o.key));
	memcpy(o.secret, h->secret, sizeof(o.secret));
	h->boot++;
	o.instance = h->disk->generation + h->boot;
	o.generation = h->disk->generation;
	o.seed = dice_next(&h->dice);
	if (planted(w, PLANT_NONDETERMINISM) && h->index == 0)
		randombytes_buf(&o.seed, sizeof(o.seed));
	h->pool = (struct link_pool){ .max = LINK_POOL };
	h->started = w->now;
	h->busy_until = w->now;
	if (node_new(&o, &h->node) != 0)
		must(NULL);
	trace(w, h, TRACE_HOST, 1, h->boot, "starts, id %s", short_of(&h->id));
	input(h, &start);
	finish(h);
}

static void count_reads(struct host *h)
{
	struct node_status s;

	node_status(h->node, &s);
	h->reads += s.reads;
	h->reads_hedged += s.reads_hedged;
	h->reads_one_trip += s.reads_one_trip;
}

void hosts_reads(const struct world *w, struct reads *out)
{
	*out = (struct reads){ 0 };
	for (unsigned int i = 0; i < w->hosts; i++) {
		const struct host *h = w->host[i];
		struct node_status s = { 0 };

		if (h->node)
			node_status(h->node, &s);
		out->all += h->reads + s.reads;
		out->hedged += h->reads_hedged + s.reads_hedged;
		out->one_trip += h->reads_one_trip + s.reads_one_trip;
	}
}

void host_stop(struct host *h, bool power)
{
	if (h->node) {
		trace(h->world, h, TRACE_HOST, power ? 3 : 2, 0, "%s", power ? "loses power" : "is killed");
		count_reads(h);
		disk_crash(h->disk, power);
		load_gone(h);
		while (!list_empty(&h->links)) {
			struct hostlink *l = list_item(h->links.next, struct hostlink, link);

			if (l->connection)
				network_hang_up(l->connection, l, power ? HANG_UP_SILENT : HANG_UP_RESET);
			free_link(l);
		}
		node_free(h->node);
		h->node = NULL;
		/* Tables are the world's: what this one had goes back. */
		while (h->tables > 0)
			tables_put(h->world, h->table[--h->tables]);
	}
	h->wake = UINT64_MAX;
	if (power) {
		h->off = true;
		network_changed(h->world);
	}
}

void host_power(struct host *h)
{
	h->off = false;
	network_changed(h->world);
}

void hosts_close(struct world *w)
{
	/* All first: a connection that ends looks at both of its hosts. */
	for (unsigned int i = 0; i < w->hosts; i++)
		host_stop(w->host[i], false);
	for (unsigned int i = 0; i < w->hosts; i++) {
		struct host *h = w->host[i];

		/* What would have come yet. */
		while (!list_empty(&h->timed)) {
			struct timed *t = list_item(h->timed.next, struct timed, link);

			if (t->event.table)
				tables_put(w, t->event.table);
			timed_free(t);
		}
		disk_free(h->disk);
		liar_free(h);
		free(h->table);
		free(h);
	}
	sorted_free(&w->by_id, NULL);
	free(w->host);
}
