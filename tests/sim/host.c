/*
 * A machine: its clock, and the processes on it, one at a time.
 *
 * Its clock is what its node is told: it starts anywhere and runs at a speed of its own.  What a process that ended had planned finds
 * by the number of the boot that it comes too late.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/books.h"
#include "tests/sim/host_impl.h"
#include "tests/sim/liar.h"
#include "tests/sim/load.h"
#include "tests/sim/plants.h"
#include "tests/sim/tables.h"
#include "tests/sim/trace.h"

#define SEEDS 3u	/* hosts whose addresses who starts is given: the first that are there for good */

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

uint64_t host_world_time(const struct host *h, uint64_t clock)
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
		host_finish(h);
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

/* ---- processes ---- */

/* Has it met others, or does it found the ring just now, or did it come so far with that that it goes on by itself? */
static bool knows_ring(const struct host *h)
{
	const struct catalogue_row_key complete = { .table = ROW_COMPLETE };
	struct catalogue *c = &h->disk->catalogue;
	struct address id;
	struct chunk *row;

	if (h->gone || !h->founds)
		return !h->gone && c->rows(c, ROW_MEMBER, NULL, &id);
	row = c->row(c, &complete);
	chunk_drop(row);
	return h->node || row || c->rows(c, ROW_MEMBER, NULL, &id);
}

/* Nobody does: then the admin does what the log asks for. */
static bool ring_lost(struct world *w)
{
	for (unsigned int i = 0; i < w->hosts; i++)
		if (knows_ring(w->host[i]))
			return false;
	return true;
}

/* Whom the admin names: those that were evicted, or leave, are no help to who comes.  Returns how many. */
static unsigned int seeds_now(const struct world *w, struct host **seed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < w->hosts && n < SEEDS; i++) {
		struct host *h = w->host[i];

		if (!h->gone && !h->leaving && !h->evicted && !h->liar)
			seed[n++] = h;
	}
	return n;
}

static bool is_seed(const struct host *h)
{
	struct host *seed[SEEDS];
	unsigned int n = seeds_now(h->world, seed);

	while (n > 0)
		if (seed[--n] == h)
			return true;
	return false;
}

/* One of those whose addresses all are given founds the ring anew: nobody would ask another. */
static void refound(struct world *w)
{
	struct host *seed[SEEDS];
	unsigned int n = seeds_now(w, seed);

	for (unsigned int i = 0; i < n; i++)
		if (seed[i]->node) {
			host_stop(seed[i], false);
			host_start(seed[i]);
			return;
		}
}

void host_start(struct host *h)
{
	struct world *w = h->world;
	const char *seeds[SEEDS + 1] = { NULL };
	struct host *seed[SEEDS];
	unsigned int n = seeds_now(w, seed);
	struct node_options o = {
		.file = &w->file, .weight = h->weight, .zone = h->zone, .address = { h->address }, .seeds = seeds,
		.catalogue = &h->disk->catalogue, .records = w->records,
	};
	struct event start = { .kind = EVENT_START };
	bool lost = ring_lost(w), founds = lost && is_seed(h);

	assert(!h->node && !h->off && !h->gone);
	disk_open(h->disk);
	/* Who founds the ring, the first one, has nobody to ask.  Later it is told of others, as a machine that lost its disk is. */
	h->founds |= founds;
	/* Of a ring that is founded anew it is the only member, until the others come. */
	if (founds && w->now > 0)
		books_changed(w);
	for (unsigned int i = 0; i < n && !founds && !plant_alone(h); i++)
		seeds[i] = seed[i]->address;
	h->told = n > 0 ? seed[n - 1]->index : 0;
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
	host_input(h, &start);
	host_finish(h);
	if (lost && !founds)
		refound(w);
}

void host_told(struct host *h)
{
	struct host *seed[SEEDS];

	if (!h->node || knows_ring(h) || seeds_now(h->world, seed) == 0 || seed[0]->index <= h->told)
		return;
	host_stop(h, false);
	host_start(h);
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
			hostlink_free(l);
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
