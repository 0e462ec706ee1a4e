/*
 * The nemesis: processes and machines, disks, the network; and when what strikes.
 *
 * A fault is struck at a time at random, on a host at random, and plans its own end.  Faults overlap: a disk that is full may be lost, a
 * machine that has crashed may be cut off when it comes back.
 */
#include <stdlib.h>

#include "tests/sim/books.h"
#include "tests/sim/faults_impl.h"
#include "tests/sim/host.h"
#include "tests/sim/liar.h"
#include "tests/sim/load.h"
#include "tests/sim/network.h"
#include "tests/sim/trace.h"

void faults_open(struct world *w)
{
	w->faults = must(calloc(1, sizeof(*w->faults)));
	dice_seed(&w->faults->dice, w->options.seed, 3);
}

void faults_close(struct world *w)
{
	free(w->faults);
}

struct host *fault_host(struct world *w)
{
	struct host *h = w->host[dice_below(&w->faults->dice, w->hosts)];

	return h->member && !h->gone && !h->leaving ? h : NULL;
}

uint64_t fault_while(struct world *w, uint64_t from, uint64_t to)
{
	return w->now + dice_between(&w->faults->dice, from, to);
}

/* ---- processes and machines ---- */

static void fire_start(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)w;
	(void)unused;
	if (h->off)
		host_power(h);
	if (!h->node && !h->gone)
		host_start(h);
}

void fault_restart(struct world *w, struct host *h)
{
	if (!h->node)
		return;
	host_stop(h, false);
	world_plan(w, fault_while(w, 100 * MS, 20 * S), fire_start, h, 0);
}

static void fire_power(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)unused;
	if (!h->node || !w->faults->running)
		return;
	host_stop(h, true);
	world_plan(w, fault_while(w, 5 * S, 60 * S), fire_start, h, 0);
}

void faults_power(struct host *h, uint64_t at)
{
	world_plan(h->world, at, fire_power, h, 0);
}

/* At any time; or in the middle of a write, which at any time is rare. */
static void power(struct world *w, struct host *h)
{
	if (dice_percent(&w->faults->dice, 50))
		h->disk->doomed = true;
	else
		fire_power(w, h, 0);
}

/* They are read when the store is opened: so it is shut first. */
static void rot_rows(struct world *w, struct host *h)
{
	if (!h->node)
		return;
	host_stop(h, true);
	disk_rot_rows(h->disk, (unsigned int)dice_between(&w->faults->dice, 1, 3));
	world_plan(w, fault_while(w, 5 * S, 60 * S), fire_start, h, 0);
}

static void wipe(struct world *w, struct host *h)
{
	if (!h->node)
		return;
	host_stop(h, true);
	load_wiped(h);
	disk_wipe(h->disk);
	trace(w, h, TRACE_FAULT, 1, 0, "its disk is lost");
	world_plan(w, fault_while(w, 5 * S, 60 * S), fire_start, h, 0);
}

/* ---- disks and speed ---- */

static void fire_usual(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)w;
	(void)unused;
	h->disk->capacity = UINT64_MAX / 4;
	h->disk->slow = 1;
	h->disk->doomed = h->disk->doomed && w->faults->running;
	h->cost = 0;
	h->thawed = host_ready(h);
	h->crawls = false;
}

static void slow_down(struct world *w, struct host *h, enum fault how)
{
	struct dice *d = &w->faults->dice;

	if (how == FAULT_FULL)
		h->disk->capacity = h->disk->used + dice_below(d, 2048);
	else if (how == FAULT_DISK_SLOW)
		h->disk->slow = dice_between(d, 10, 1000);
	else
		h->cost = dice_between(d, 1 * MS, 100 * MS);
	h->crawls = how == FAULT_CRAWL;
	trace(w, h, TRACE_FAULT, how, 0, "%s", how == FAULT_FULL ? "disk full" : how == FAULT_CRAWL ? "crawls" : "slow disk");
	world_plan(w, fault_while(w, 2 * S, 40 * S), fire_usual, h, 0);
}

/* ---- the network ---- */

static void fire_unsplit(struct world *w, void *arg, uint64_t pair)
{
	(void)arg;
	network_block(w, (unsigned int)pair >> 8, pair & 0xff, false);
	trace(w, NULL, TRACE_FAULT, pair, 0, "part %u reaches part %u again", (unsigned int)pair >> 8,
	    (unsigned int)pair & 0xff);
}

static void block(struct world *w, unsigned int from, unsigned int to, uint64_t until)
{
	network_block(w, from, to, true);
	trace(w, NULL, TRACE_FAULT, from, to, "part %u does not reach part %u", from, to);
	world_plan(w, until, fire_unsplit, NULL, from << 8 | to);
}

static void split(struct world *w)
{
	struct dice *d = &w->faults->dice;
	unsigned int parts = (unsigned int)dice_between(d, 2, 3), share = (unsigned int)dice_between(d, 10, 50);
	uint64_t until = fault_while(w, 2 * S, 60 * S);
	bool one_way = dice_percent(d, 30);

	for (unsigned int i = 0; i < w->hosts; i++)
		network_group(w, w->host[i], dice_percent(d, share) ? (unsigned int)dice_between(d, 1, parts - 1) : 0);
	for (unsigned int a = 0; a < parts; a++)
		for (unsigned int b = 0; b < parts; b++)
			if (a != b && (!one_way || a < b))
				block(w, a, b, until + (dice_percent(d, 50) ? dice_below(d, 5 * S) : 0));
}

static void fire_unclog(struct world *w, void *arg, uint64_t place)
{
	(void)arg;
	network_clog(w, (unsigned int)place, -1, -1, 0);
}

/* All that some hosts send, or all that they are sent, each for a time of its own: so they get well in another order. */
static void slow_group(struct world *w)
{
	struct dice *d = &w->faults->dice;
	unsigned int share = (unsigned int)dice_between(d, 10, 60);
	uint64_t delay = dice_between(d, 50 * MS, 5 * S);
	bool sent = dice_percent(d, 50);

	for (unsigned int i = 0; i < w->hosts; i++) {
		unsigned int place = w->faults->clogs % NETWORK_CLOGS;

		if (!dice_percent(d, share))
			continue;
		w->faults->clogs++;
		network_clog(w, place, sent ? (int)i : -1, sent ? -1 : (int)i, delay);
		trace(w, w->host[i], TRACE_FAULT, sent, delay, "all that it %s takes up to %llu ms", sent ? "sends" : "is sent",
		    (unsigned long long)(delay / MS));
		world_plan(w, fault_while(w, 2 * S, 30 * S), fire_unclog, NULL, place);
	}
}

static void slow_links(struct world *w)
{
	struct dice *d = &w->faults->dice;
	unsigned int place = w->faults->clogs++ % NETWORK_CLOGS;
	int from = dice_percent(d, 80) ? (int)dice_below(d, w->hosts) : -1;
	int to = dice_percent(d, 60) ? (int)dice_below(d, w->hosts) : -1;
	uint64_t delay = dice_between(d, 50 * MS, 5 * S);

	network_clog(w, place, from, to, delay);
	trace(w, NULL, TRACE_FAULT, (uint64_t)from, (uint64_t)to, "from %d to %d takes up to %llu ms", from, to,
	    (unsigned long long)(delay / MS));
	world_plan(w, fault_while(w, 2 * S, 30 * S), fire_unclog, NULL, place);
}

/* ---- the schedule ---- */

static void strike(struct world *w, enum fault f, struct host *h)
{
	struct dice *d = &w->faults->dice;

	switch (f) {
	case FAULT_RESTART:
		fault_restart(w, h);
		break;
	case FAULT_POWER:
		power(w, h);
		break;
	case FAULT_ROT:
		if (dice_percent(d, 70))
			disk_rot(h->disk, (unsigned int)dice_between(d, 1, 3));
		else
			rot_rows(w, h);
		break;
	case FAULT_WIPE:
		wipe(w, h);
		break;
	case FAULT_FULL:
	case FAULT_DISK_SLOW:
	case FAULT_CRAWL:
		slow_down(w, h, f);
		break;
	case FAULT_FREEZE:
		host_freeze(h, fault_while(w, 100 * MS, 30 * S));
		trace(w, h, TRACE_FAULT, f, h->busy_until, "stands still");
		break;
	case FAULT_SPLIT:
		split(w);
		break;
	case FAULT_CLOG:
		if (dice_percent(d, 30))
			slow_group(w);
		else
			slow_links(w);
		break;
	case FAULT_STALL:
		network_stall(w, (unsigned int)dice_between(d, 10, 300), fault_while(w, 1 * S, 30 * S));
		trace(w, NULL, TRACE_FAULT, f, 0, "connections stall");
		break;
	case FAULT_RESET:
		network_reset(w, (unsigned int)dice_between(d, 50, 500), dice_percent(d, 50));
		trace(w, NULL, TRACE_FAULT, f, 0, "connections are cut");
		break;
	case FAULT_SKEW:
		host_set_skew(h, (int64_t)dice_between(d, 0, 20000) - 10000);
		break;
	case FAULT_MEMBERS:
		fault_members(w, h);
		break;
	default:
		break;
	}
}

static void fire_fault(struct world *w, void *arg, uint64_t unused)
{
	struct faults *f = w->faults;
	enum fault what = 1u << dice_below(&f->dice, 15);
	struct host *h = fault_host(w);

	(void)arg;
	(void)unused;
	if (!f->running)
		return;
	/* Those that this seed does not have are drawn again, at once. */
	if (!(w->options.faults & what) || !h)
		world_plan(w, w->now + 10 * MS, fire_fault, NULL, 0);
	else
		strike(w, what, h);
	if ((w->options.faults & what) && h)
		world_plan(w, w->now + dice_below(&f->dice, 2 * w->options.fault_every), fire_fault, NULL, 0);
}

void faults_start(struct world *w)
{
	if (w->options.faults & FAULT_LIARS)
		fault_lie(w);
	if (!(w->options.faults & ~(unsigned int)FAULT_LIARS))
		return;
	w->faults->running = true;
	world_plan(w, w->now + w->options.fault_every, fire_fault, NULL, 0);
}

void faults_heal(struct world *w)
{
	w->faults->running = w->faults->lying = false;
	trace(w, NULL, TRACE_PHASE, 0, 0, "all is well again");
	network_heal(w);
	for (unsigned int i = 0; i < w->hosts; i++) {
		struct host *h = w->host[i];

		fire_usual(w, h, 0);
		if (h->skew_ppm)
			host_set_skew(h, 0);
		if (h->member)
			fire_start(w, h, 0);
	}
	for (unsigned int i = 0; i < w->hosts; i++)
		if ((w->host[i]->liar && w->host[i]->member) || w->host[i]->evicted)
			load_evict(w, w->host[i]);
	for (unsigned int i = 0; i < w->hosts && (w->options.faults & FAULT_MEMBERS); i++) {
		host_told(w->host[i]);
		fault_come_back(w, w->host[i]);
	}
	books_changed(w);
}
