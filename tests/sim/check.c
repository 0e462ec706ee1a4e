#include "tests/sim/check.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/books.h"
#include "tests/sim/host.h"
#include "tests/sim/load.h"
#include "tests/sim/trace.h"

/* What one node may hold: the bound that limits.h comes to, less what chunks under way weigh here, which are small. */
#define MEMORY_BASE	 (8u << 20)
#define MEMORY_MEMBER	 4096u		/* a record, its place in the view, tokens in PLACEMENTS_MAX + 1 tables */
#define MEMORY_EVERY	 (5 * S)

#define TRAFFIC_PERCENT	 170u
#define TRAFFIC_CHUNKS	 8u		/* and so many of the longest: asked of two at once, or sent to an owner of before */

/* ---- 4: convergence ---- */

static bool missing(char *why, size_t size, const struct host *h, const char *what)
{
	snprintf(why, size, "%s %s", h->name, what);
	return false;
}

static unsigned int living(const struct world *w)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < w->hosts; i++)
		n += w->host[i]->member;
	return n;
}

static bool settled_host(struct world *w, const struct host *h, unsigned int members, const struct ring *r, char *why,
    size_t size)
{
	struct node_status s;

	if (!h->node)
		return missing(why, size, h, h->gone ? h->stopped : "has no process");
	node_status(h->node, &s);
	if (s.members != members) {
		snprintf(why, size, "%s knows %u members of %u", h->name, s.members, members);
		return false;
	}
	if (s.down > 0)
		return missing(why, size, h, "thinks that somebody is down");
	if (r && !address_equal(&s.placement, &r->placement))
		return missing(why, size, h, "has another table");
	if (!h->draining && !s.complete)
		return missing(why, size, h, "is not complete");
	if (s.foreign > 0) {
		snprintf(why, size, "%s has %u records for others", h->name, s.foreign);
		return false;
	}
	(void)w;
	return true;
}

/* Does anybody have it who knows that he must keep it?  A copy that was only cached need not be found, when more were lost than
 * was promised. */
static bool is_kept(struct world *w, const struct item *i)
{
	for (unsigned int k = 0; k < i->holders; k++) {
		const struct host *h = w->host[i->holder[k]];
		const struct record *record = disk_find(h->disk, &i->address);

		if (!h->liar && h->member && record && (record->states & (STATE_OWNED | STATE_FOREIGN)))
			return true;
	}
	return !books_excused(w, i);
}

static bool is_owned(const struct item *i, const struct host *h)
{
	const struct record *r = disk_find(h->disk, &i->address);

	return r && !r->rotten && (r->states & STATE_OWNED);
}

static unsigned int leased_at(struct world *w, const struct ring *r, const struct item *i)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < r->replicas; k++) {
		struct host *h = books_owner(w, r, &i->address, k);

		n += h && h->disk->catalogue.leased(&h->disk->catalogue, &i->address);
	}
	return n;
}

/* Nobody keeps it as an owner who is none. */
static bool owners_only(struct world *w, const struct ring *r, const struct item *i, char *why, size_t size)
{
	for (unsigned int k = 0; k < i->holders; k++) {
		const struct host *h = w->host[i->holder[k]];
		const struct record *record = disk_find(h->disk, &i->address);
		int at = ring_find(r, &h->id);

		if (!h->member || h->liar || !record || !(record->states & STATE_OWNED))
			continue;
		if (at < 0 || !ring_owns(r, ring_slot(&i->address), (unsigned int)at)) {
			snprintf(why, size, "%s keeps %s as its owner, and is none", h->name, short_of(&i->address));
			return false;
		}
	}
	return true;
}

/* Each leased chunk that can still be had lies with all of its owners, who keep it as theirs and have the lease. */
static bool settled_item(struct world *w, const struct ring *r, const struct item *i, char *why, size_t size)
{
	if (!owners_only(w, r, i, why, size))
		return false;
	if (!i->leased || i->holders == 0 || !is_kept(w, i))
		return true;
	for (unsigned int k = 0; k < r->replicas; k++) {
		struct host *h = books_owner(w, r, &i->address, k);

		if (h && !h->liar && (!is_owned(i, h) || !h->disk->catalogue.leased(&h->disk->catalogue, &i->address))) {
			snprintf(why, size, "%s lacks %s, or its lease; it is leased at %u of %u owners and on %u nodes", h->name,
			    short_of(&i->address), leased_at(w, r, i), r->replicas, i->holders);
			return false;
		}
	}
	return true;
}

bool check_settled(struct world *w, char *why, size_t size)
{
	const struct ring *r = books_table(w);
	unsigned int members = living(w);

	for (unsigned int i = 0; i < w->hosts; i++)
		if (w->host[i]->member && !settled_host(w, w->host[i], members, r, why, size))
			return false;
	for (unsigned int i = 0; r && i < books_count(w); i++)
		if (!settled_item(w, r, books_item(w, i), why, size))
			return false;
	return true;
}

/* ---- 4: traffic ---- */

static uint64_t chunk_bytes_sent(const struct world *w)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < w->hosts; i++)
		sum += w->host[i]->chunk_bytes[LINK_REPAIR] + w->host[i]->chunk_bytes[LINK_WRITE];
	return sum;
}

/* What no lease holds moves only where somebody keeps it for its owners; what is only cached does not. */
static bool moves(struct world *w, const struct item *i)
{
	for (unsigned int k = 0; k < i->holders; k++) {
		const struct record *r = disk_find(w->host[i->holder[k]]->disk, &i->address);

		if (!i->dropped || (r && (r->states & (STATE_OWNED | STATE_FOREIGN))))
			return true;
	}
	return false;
}

void check_traffic_start(struct world *w)
{
	const struct ring *r = books_table(w);

	w->traffic_ideal = 0;
	w->traffic_before = chunk_bytes_sent(w);
	for (unsigned int i = 0; r && i < books_count(w); i++) {
		const struct item *item = books_item(w, i);

		for (unsigned int k = 0; moves(w, item) && k < r->replicas; k++) {
			struct host *h = books_owner(w, r, &item->address, k);

			if (h && !books_has(item, h))
				w->traffic_ideal += item->chunk->len;
		}
	}
}

void check_traffic(struct world *w)
{
	uint64_t moved = chunk_bytes_sent(w) - w->traffic_before;
	uint64_t most = w->traffic_ideal * TRAFFIC_PERCENT / 100 + TRAFFIC_CHUNKS * w->options.chunk_max;

	w->traffic_moved = moved;
	if (moved > most)
		world_fail(w, "convergence", "%llu bytes of chunks were moved where %llu were lacking",
		    (unsigned long long)moved, (unsigned long long)w->traffic_ideal);
}

/* ---- 1: loss ---- */

/* What no lease holds is kept for as long as it takes to lease it; a lease may be lost with most disks that had it. */
static bool may_go(const struct world *w, const struct item *i)
{
	return !i->leased && (!i->wanted || w->now > i->acked + DELETE_AFTER);
}

void check_loss(struct world *w)
{
	for (unsigned int n = 0; n < books_count(w); n++) {
		struct item *i = books_item(w, n);

		/* What was never acknowledged was never promised. */
		if (i->promised == 0 || i->holders > 0 || books_excused(w, i) || may_go(w, i))
			continue;
		world_fail(w, "loss", "%s was on %u nodes; %u copies were lost, %u may be false, and none is left",
		    short_of(&i->address), i->promised, i->hits, books_false(w, i));
		return;
	}
}

/* ---- 3: deletion ---- */

bool check_deleted(struct world *w, char *why, size_t size)
{
	for (unsigned int n = 0; n < books_count(w); n++) {
		struct item *i = books_item(w, n);

		if (!i->dropped || i->leased || i->wanted)
			continue;
		for (unsigned int k = 0; k < i->holders; k++) {
			struct host *h = w->host[i->holder[k]];

			if (!h->member || h->liar)
				continue;
			snprintf(why, size, "%s still has %s, which no lease holds since %llu s", h->name,
			    short_of(&i->address), (unsigned long long)((w->now - i->dropped) / S));
			return false;
		}
	}
	return true;
}

/* ---- 6: memory ---- */

static void check_host(struct world *w, struct host *h, unsigned int members)
{
	struct node_status s;
	size_t most = MEMORY_BASE + (size_t)MEMORY_MEMBER * members;

	node_status(h->node, &s);
	s.memory += h->hoard;
	if (s.memory > most)
		world_fail(w, "memory", "%s holds %zu bytes; its bound is %zu", h->name, s.memory, most);
	else if (s.links > LINKS_MAX + LINKS_ACCEPTED_MAX)
		world_fail(w, "memory", "%s has %u links", h->name, s.links);
	else if (s.calls > CALLS_MAX || s.commands > COMMANDS_MAX)
		world_fail(w, "memory", "%s has %u calls and %u commands under way", h->name, s.calls, s.commands);
	else if (h->disk->operation_count > DISK_MAX + 1024)
		world_fail(w, "memory", "%s has %u operations on its disk", h->name, h->disk->operation_count);
	if (s.memory > w->memory_max)
		w->memory_max = s.memory;
}

void check_memory(struct world *w)
{
	unsigned int members = w->hosts;

	for (unsigned int i = 0; i < w->hosts; i++)
		if (w->host[i]->node && !w->host[i]->liar)
			check_host(w, w->host[i], members);
}

static void fire_memory(struct world *w, void *arg, uint64_t unused)
{
	(void)arg;
	(void)unused;
	check_memory(w);
	world_plan(w, w->now + MEMORY_EVERY, fire_memory, NULL, 0);
}

void check_memory_always(struct world *w)
{
	world_plan(w, w->now + MEMORY_EVERY, fire_memory, NULL, 0);
}
