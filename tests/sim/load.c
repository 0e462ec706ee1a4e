/*
 * Requests of users: given, answered, judged.
 *
 * A request has a place in a table, whose lowest free one is taken, since that order is part of the run.  Each is answered exactly once, or
 * goes with its process (load_gone()); fire_look() looks for those that wait too long, load_reply() judges those that come late.
 */
#include "tests/sim/load_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define REQUESTS 4096u		/* at a time */
#define LOOK	 (5 * S)	/* at those that wait */
#define SLACK	 (1 * S)	/* beyond its timeout: a timer, a turn of the loop */
#define SLACK_CRAWL (60 * S)	/* where each event takes long, those before it do, too */
#define EVICT_AGAIN (2 * S)
#define DROPS	 5u

static void fire_look(struct world *w, void *arg, uint64_t unused);
static void evict_again(struct world *w, struct host *whom);

void load_open(struct world *w)
{
	struct load *l = must(calloc(1, sizeof(*l)));

	w->load = l;
	dice_seed(&l->dice, w->options.seed, 2);
	l->request = must(calloc(REQUESTS, sizeof(*l->request)));
	l->requests = REQUESTS;
	l->volumes = w->options.volumes;
	l->volume = must(calloc(l->volumes + 1, sizeof(*l->volume)));
	for (unsigned int i = 0; i < l->volumes; i++) {
		struct volume *v = &l->volume[i];
		uint8_t seed[crypto_sign_SEEDBYTES];

		v->number = i;
		dice_fill(&l->dice, seed, sizeof(seed));
		crypto_sign_seed_keypair(v->key, v->secret, seed);
		volume_id(v->key, &v->id);
		leases_open(w, v);
		writers_open(w, v);
	}
	world_plan(w, LOOK, fire_look, NULL, 0);
}

void load_close(struct world *w)
{
	struct load *l = w->load;

	for (unsigned int i = 0; i < l->volumes; i++) {
		leases_close(&l->volume[i]);
		writers_close(&l->volume[i]);
	}
	for (unsigned int i = 0; i < l->requests; i++)
		free(l->request[i].items);
	free(l->volume);
	free(l->request);
	free(l->figures.latency);
	free(l);
}

struct request *request_new(struct world *w, struct host *h, enum command_kind kind, uint64_t timeout)
{
	struct load *l = w->load;
	struct request *r;
	unsigned int i = 0;

	assert(l->waiting < l->requests);
	/* The lowest place that is free: their order is part of the run. */
	while (l->request[i].ticket)
		i++;
	if (i >= l->places)
		l->places = i + 1;
	r = &l->request[i];
	*r = (struct request){
		.ticket = ++l->tickets << 16 | i, .host = h, .boot = h->boot, .kind = kind, .timeout = timeout,
		.started = w->now, .clock = host_clock(h),
	};
	l->waiting++;
	return r;
}

static void end_request(struct world *w, struct request *r)
{
	free(r->items);
	r->items = NULL;
	r->ticket = 0;
	w->load->waiting--;
}

void request_send(struct world *w, struct request *r, struct command *c)
{
	static const char *const name[] = {
		"insert", "fetch", "confirm", "lease", "retire", "head", "swap", "leave", "drain", "evict", "set", "maintenance",
	};

	c->kind = r->kind;
	c->ticket = r->ticket;
	c->timeout = r->timeout;
	trace(w, r->host, TRACE_USER, r->kind, r->ticket, "user: %s %s", name[r->kind], short_of(&c->address));
	host_command(r->host, c);
}

void load_reply(struct host *h, const struct effect *e)
{
	struct world *w = h->world;
	struct load *l = w->load;
	struct request *r = &l->request[e->ticket & 0xffff];

	trace(w, h, TRACE_USER, e->ticket, (uint64_t)(int64_t)e->result, "answer to %s: %s, %u",
	    r->ticket == e->ticket ? short_of(r->item ? &r->item->address : &h->id) : "?",
	    e->result ? strerror(-e->result) : "ok", e->count);
	if ((e->ticket & 0xffff) >= l->requests || r->ticket != e->ticket || r->host != h) {
		world_fail(w, "waiting", "%s answers a command twice, or one that was not given", h->name);
		return;
	}
	/* An answer that is lost below the checker: fire_look() is to find that it is missing. */
	if (planted(w, PLANT_SLOW_DISK) && h->disk->operation_count > 0)
		return;
	if (planted(w, PLANT_STALL_COMMAND) && l->tickets > 20 && r->kind == COMMAND_FETCH)
		return;
	/* By the machine's own clock; not where it stood still: a process that does not run can't answer. */
	if (host_clock(h) - r->clock > r->timeout + (h->crawls ? SLACK_CRAWL : SLACK) && w->now > h->thawed + SLACK)
		world_fail(w, "waiting", "%s answered a command (%d) after %llu ms; its bound was %llu ms", h->name,
		    (int)r->kind, (unsigned long long)((host_clock(h) - r->clock) / MS),
		    (unsigned long long)(r->timeout / MS));
	switch (r->kind) {
	case COMMAND_INSERT:
		insert_reply(w, r, e);
		break;
	case COMMAND_FETCH:
		fetch_reply(w, r, e);
		break;
	case COMMAND_CONFIRM:
		confirm_reply(w, r, e);
		break;
	case COMMAND_LEASE:
		lease_reply(w, r, e);
		break;
	case COMMAND_HEAD:
		head_reply(w, r, e);
		break;
	case COMMAND_SWAP:
		swap_reply(w, r, e);
		break;
	case COMMAND_LEAVE:
		/* Whether it went or gave up in time: it is out, and what only it had would be missed. */
		h->leaving = false;
		if (e->result == 0) {
			h->gone = true;
			books_gone(w, h, false);
		}
		break;
	case COMMAND_EVICT:
		if (e->result != 0)
			evict_again(w, r->whom);
		break;
	default:
		break;
	}
	end_request(w, r);
}

void load_gone(struct host *h)
{
	struct load *l = h->world->load;

	for (unsigned int i = 0; i < l->places; i++) {
		struct request *r = &l->request[i];

		if (!r->ticket || r->host != h)
			continue;
		if (r->kind == COMMAND_LEASE)
			lease_gone(r);
		if (r->kind == COMMAND_SWAP || r->kind == COMMAND_HEAD)
			writer_gone(r);
		if (r->kind == COMMAND_EVICT)
			evict_again(h->world, r->whom);
		end_request(h->world, r);
	}
	writers_stopped(h->world, h);
	h->leaving = false;
}

void load_wiped(struct host *h)
{
	writers_wiped(h->world, h);
	writers_lost(h->world, h);
}

void load_row_lost(struct host *h, uint8_t table, const struct address *key)
{
	writers_row_lost(h->world, h, table, key);
}

unsigned int load_waiting(const struct world *w)
{
	return w->load->waiting + w->load->evictions;
}

/* Nothing waits for ever: what should have been answered by now? */
static void fire_look(struct world *w, void *arg, uint64_t unused)
{
	struct load *l = w->load;

	(void)arg;
	(void)unused;
	for (unsigned int i = 0; i < l->places; i++) {
		struct request *r = &l->request[i];
		const struct host *h = r->host;

		if (!r->ticket || host_ready(h) > w->now || w->now <= h->thawed + SLACK)
			continue;
		if (host_clock(h) - r->clock > r->timeout + (h->crawls ? SLACK_CRAWL : 2 * SLACK))
			world_fail(w, "waiting", "a command (%d) of %s waits since %llu s; its bound was %llu s", (int)r->kind,
			    h->name, (unsigned long long)((host_clock(h) - r->clock) / S),
			    (unsigned long long)(r->timeout / S));
	}
	world_plan(w, w->now + LOOK, fire_look, NULL, 0);
}

/* ---- who does what, when ---- */

/* One dice decides, whatever parts there are: to leave out a part leaves the others as they were. */
static void something(struct world *w)
{
	struct load *l = w->load;
	unsigned int parts = w->options.parts, what = (unsigned int)dice_below(&l->dice, 100);
	struct volume *v = l->volumes ? &l->volume[dice_below(&l->dice, l->volumes)] : NULL;

	if (what < 35 && (parts & PART_INSERT))
		user_insert(w);
	else if (what < 65 && (parts & PART_FETCH))
		user_fetch(w);
	else if (what < 70 && (parts & PART_FETCH))
		user_confirm(w);
	else if (what < 85 && (parts & PART_LEASE) && v)
		lease_some(w, v);
	else if (what < 92 && (parts & PART_HEAD) && v)
		writer_swap(w, v);
	else if (what < 97 && (parts & PART_HEAD) && v)
		reader_head(w, v, false);
	else if ((parts & PART_DELETE) && v)
		lease_drop(w, v);
}

static void fire_load(struct world *w, void *arg, uint64_t unused)
{
	struct load *l = w->load;

	(void)arg;
	(void)unused;
	if (!l->running)
		return;
	/* Users whose requests are not answered wait: most places stay for what must be asked at the end. */
	if (l->waiting < l->requests / 4)
		something(w);
	world_plan(w, w->now + dice_below(&l->dice, 2 * w->options.load_every), fire_load, NULL, 0);
}

void load_start(struct world *w)
{
	w->load->running = true;
	world_plan(w, w->now, fire_load, NULL, 0);
}

void load_stop(struct world *w)
{
	w->load->running = false;
}

/* ---- what is asked for once ---- */

void load_evict(struct world *w, struct host *whom)
{
	struct host *by = host_any(w, &w->load->dice);
	struct request *r;
	struct member *m;
	struct command c = { 0 };

	/* Whom he evicted himself he does not ask: what it accepts it tells nobody any more. */
	if (!by || by == whom || !by->member) {
		evict_again(w, whom);
		return;
	}
	if (member_evict(&w->file.id, &whom->id, w->admin_secret, &m) != 0)
		must(NULL);
	c.blob = must(chunk_copy(m->bytes, m->len));
	c.address = whom->id;
	member_drop(m);
	r = request_new(w, by, COMMAND_EVICT, 30 * S);
	r->whom = whom;
	if (whom->member) {
		writers_lost(w, whom);
		books_gone(w, whom, true);
	}
	/* From the admin's word on: what lies there counts no more, whoever has heard of it. */
	whom->evicted = true;
	request_send(w, r, &c);
	chunk_drop(c.blob);
}

static void fire_evict(struct world *w, void *arg, uint64_t unused)
{
	(void)unused;
	w->load->evictions--;
	load_evict(w, arg);
}

/* The admin was told that it did not succeed, as by a node that has just started and knows nobody: so he asks another one. */
static void evict_again(struct world *w, struct host *whom)
{
	w->load->evictions++;
	world_plan(w, w->now + EVICT_AGAIN, fire_evict, whom, 0);
}

void load_simple(struct world *w, struct host *h, enum command_kind kind, uint64_t timeout, unsigned int count,
    unsigned int weight, const char *zone)
{
	struct command c = { .count = count, .weight = (uint8_t)weight, .zone = zone };

	request_send(w, request_new(w, h, kind, timeout), &c);
}

bool load_lease_all(struct world *w)
{
	bool done = true;

	for (unsigned int i = 0; i < w->load->volumes; i++)
		while (w->load->waiting < w->load->requests / 4 && lease_some(w, &w->load->volume[i]))
			done = false;
	return done && w->load->waiting == 0;
}

void load_drop_some(struct world *w)
{
	for (unsigned int i = 0; i < w->load->volumes; i++)
		for (unsigned int k = 0; k < DROPS; k++)
			lease_drop(w, &w->load->volume[i]);
}

void load_read_all(struct world *w)
{
	struct load *l = w->load;

	if (w->options.parts & PART_FETCH)
		for (unsigned int i = 0; i < books_count(w); i++) {
			struct item *item = books_item(w, i);
			struct host *h = host_any(w, &l->dice);

			/* What nobody leases may be gone, or be on its way out. */
			if (h && item->promised > 0 && item->holders > 0 &&
			    (item->leased || !(w->options.parts & PART_LEASE)) && l->waiting < l->requests / 2) {
				load_fetch(w, h, item, true);
				world_run(w, w->now + 5 * MS);
			}
		}
	if (w->options.parts & PART_HEAD)
		for (unsigned int i = 0; i < l->volumes; i++) {
			reader_head(w, &l->volume[i], true);
			writers_last(w, &l->volume[i]);
		}
}

const struct load_figures *load_figures(const struct world *w)
{
	return &w->load->figures;
}

void load_forget_figures(struct world *w)
{
	free(w->load->figures.latency);
	w->load->figures = (struct load_figures){ 0 };
	w->load->latency_size = 0;
}
