/*
 * Users who insert, read, and ask for proofs.  See load.h.
 *
 * What an answer is judged by was noted when it was asked for: who had the chunk, and knew that he must, and how many copies had been lost:
 * what changes while it is under way excuses an answer that fits either moment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/load_impl.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define INSERT_US (20 * S)
#define FETCH_US  (20 * S)

void load_insert(struct world *w, struct host *h, struct item *i, unsigned int acks)
{
	struct request *r = request_new(w, h, COMMAND_INSERT, INSERT_US);
	struct command c = {
		.address = i->address, .chunk_kind = KIND_DATA, .chunk = i->chunk, .acks = (uint8_t)acks,
	};

	if (i->volume < w->load->volumes)
		c.volume = w->load->volume[i->volume].id;
	r->item = i;
	r->acks = acks;
	r->losses = books_known(w, i);
	i->inserted = true;
	request_send(w, r, &c);
}

void insert_reply(struct world *w, struct request *r, const struct effect *e)
{
	struct load_figures *f = &w->load->figures;

	f->inserts++;
	if (e->result == 0)
		books_acked(w, r->item, r->host, r->acks, r->losses);
	else
		f->inserts_failed++;
}

/* Honest hosts with a process that have it, and ought to. */
static unsigned int witnesses(struct world *w, const struct item *i, uint16_t *out)
{
	const struct ring *table = books_table(w);
	unsigned int n = 0;

	for (unsigned int k = 0; table && k < table->replicas && n < WITNESSES; k++) {
		struct host *h = books_owner(w, table, &i->address, k);

		if (h && h->node && !h->liar && books_has(i, h))
			out[n++] = (uint16_t)h->index;
	}
	return n;
}

static bool knows_owners(struct world *w, const struct host *h)
{
	const struct ring *table = books_table(w);
	struct node_status s;

	node_status(h->node, &s);
	return table && address_equal(&s.placement, &table->placement);
}

void load_fetch(struct world *w, struct host *h, struct item *i, bool final)
{
	struct request *r = request_new(w, h, COMMAND_FETCH, FETCH_US);
	struct command c = { .address = i->address, .chunk_kind = KIND_DATA };

	r->item = i;
	r->local = books_has(i, h);
	r->final = final;
	r->witnesses = witnesses(w, i, r->witness);
	r->agreed = knows_owners(w, h);
	request_send(w, r, &c);
}

static void note_latency(struct world *w, uint64_t us)
{
	struct load *l = w->load;

	if (l->figures.latencies == l->latency_size) {
		l->latency_size = l->latency_size ? 2 * l->latency_size : 1024;
		l->figures.latency = must(realloc(l->figures.latency, l->latency_size * sizeof(uint64_t)));
	}
	l->figures.latency[l->figures.latencies++] = us;
}

/* "Not there" is a thing that no owner who has it may have said. */
static void judge_miss(struct world *w, const struct request *r)
{
	uint16_t now[WITNESSES];
	/* Where too many were lost, he may have asked who had owned it before; not where he knows who owns it now, and knew it. */
	bool excused = books_excused(w, r->item) && !(r->agreed && knows_owners(w, r->host));
	unsigned int n = excused ? 0 : witnesses(w, r->item, now);

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int j = 0; j < r->witnesses; j++)
			if (now[i] == r->witness[j] && w->host[now[i]]->started < r->started)
				world_fail(w, "bytes", "%s is told that %s is nowhere; %s, its owner, has it", r->host->name,
				    short_of(&r->item->address), w->host[now[i]]->name);
}

void fetch_reply(struct world *w, struct request *r, const struct effect *e)
{
	struct load_figures *f = &w->load->figures;
	struct address is;

	f->fetches++;
	if (planted(w, PLANT_FALSE_MISS) && !r->local)
		judge_miss(w, r);
	if (e->result != 0) {
		f->fetches_failed++;
		if (e->result == -ENOENT)
			judge_miss(w, r);
		if (r->final && r->item->holders > 0 && !books_excused(w, r->item))
			world_fail(w, "loss", "%s is on %u nodes, and %s can't read it: %s", short_of(&r->item->address),
			    r->item->holders, r->host->name, strerror(-e->result));
		return;
	}
	address_of(KIND_DATA, e->chunk->data, e->chunk->len, &is);
	if (!address_equal(&is, &r->item->address))
		world_fail(w, "bytes", "%s was given wrong bytes for %s", r->host->name, short_of(&r->item->address));
	if (!r->local)
		note_latency(w, w->now - r->started);
}

void confirm_reply(struct world *w, struct request *r, const struct effect *e)
{
	/* A proof is of the bytes: a liar that has them not has none.  Who was evicted, where that is not known, has them still. */
	unsigned int can = r->item->holders + r->item->losses - r->losses + books_evicted(w, r->item);
	unsigned int proofs = planted(w, PLANT_FALSE_PROOF) ? can + 1 : e->count;

	if (e->result == 0 && proofs > can)
		world_fail(w, "loss", "%s has proofs of %u copies of %s; there are %u", r->host->name, proofs,
		    short_of(&r->item->address), can);
}

static struct item *new_item(struct world *w)
{
	struct dice *d = &w->load->dice;
	const struct options *o = &w->options;
	uint8_t bytes[CHUNK_MAX];
	size_t len = dice_between(d, o->chunk_min, o->chunk_max);
	struct item *i;

	dice_fill(d, bytes, len);
	i = books_add(w, bytes, len);
	if (w->load->volumes > 0) {
		i->volume = (unsigned int)dice_below(d, w->load->volumes);
		lease_want(&w->load->volume[i->volume], i);
	}
	return i;
}

void user_insert(struct world *w)
{
	struct dice *d = &w->load->dice;
	struct host *h = host_any(w, d);
	unsigned int acks = dice_percent(d, 80) ? w->options.acks : (unsigned int)dice_below(d, w->options.replicas + 1);

	if (!h)
		return;
	/* Most are new; some are inserted twice, by somebody else. */
	if (books_count(w) < w->options.chunks && dice_percent(d, 90))
		load_insert(w, h, new_item(w), acks);
	else if (books_count(w) > 0) {
		struct item *i = books_item(w, (unsigned int)dice_below(d, books_count(w)));

		if (i->wanted)
			load_insert(w, h, i, acks);
	}
}

void user_fetch(struct world *w)
{
	struct dice *d = &w->load->dice;
	struct host *h = host_any(w, d);

	if (h && books_count(w) > 0)
		load_fetch(w, h, books_item(w, (unsigned int)dice_below(d, books_count(w))), false);
}

void user_confirm(struct world *w)
{
	struct dice *d = &w->load->dice;
	struct host *h = host_any(w, d);
	struct request *r;
	struct command c = { .chunk_kind = KIND_DATA };

	if (!h || books_count(w) == 0)
		return;
	r = request_new(w, h, COMMAND_CONFIRM, FETCH_US);
	r->item = books_item(w, (unsigned int)dice_below(d, books_count(w)));
	r->losses = r->item->losses;
	c.address = r->item->address;
	request_send(w, r, &c);
}
