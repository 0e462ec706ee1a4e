#include "tests/sim/faults.h"

#include <stdlib.h>

#include "tests/sim/books.h"
#include "tests/sim/host.h"
#include "tests/sim/liar.h"
#include "tests/sim/load.h"
#include "tests/sim/network.h"
#include "tests/sim/trace.h"

struct faults {
	struct dice dice;
	bool running, lying;
	unsigned int clogs;
};

void faults_open(struct world *w)
{
	w->faults = must(calloc(1, sizeof(*w->faults)));
	dice_seed(&w->faults->dice, w->options.seed, 3);
}

void faults_close(struct world *w)
{
	free(w->faults);
}

static struct host *any(struct world *w)
{
	struct host *h = w->host[dice_below(&w->faults->dice, w->hosts)];

	return h->member && !h->gone && !h->leaving ? h : NULL;
}

static uint64_t a_while(struct world *w, uint64_t from, uint64_t to)
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

static void restart(struct world *w, struct host *h)
{
	if (!h->node)
		return;
	host_stop(h, false);
	world_plan(w, a_while(w, 100 * MS, 20 * S), fire_start, h, 0);
}

static void fire_power(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)unused;
	if (!h->node || !w->faults->running)
		return;
	host_stop(h, true);
	world_plan(w, a_while(w, 5 * S, 60 * S), fire_start, h, 0);
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
	world_plan(w, a_while(w, 5 * S, 60 * S), fire_start, h, 0);
}

static void wipe(struct world *w, struct host *h)
{
	if (!h->node)
		return;
	host_stop(h, true);
	load_wiped(h);
	disk_wipe(h->disk);
	trace(w, h, TRACE_FAULT, 1, 0, "its disk is lost");
	world_plan(w, a_while(w, 5 * S, 60 * S), fire_start, h, 0);
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
	world_plan(w, a_while(w, 2 * S, 40 * S), fire_usual, h, 0);
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
	uint64_t until = a_while(w, 2 * S, 60 * S);
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
		world_plan(w, a_while(w, 2 * S, 30 * S), fire_unclog, NULL, place);
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
	world_plan(w, a_while(w, 2 * S, 30 * S), fire_unclog, NULL, place);
}

/* ---- members ---- */

static void fire_leave(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = arg;

	(void)unused;
	if (!h->node || h->leaving || h->liar)
		return;
	/* Should it give up, it goes on draining. */
	h->leaving = h->draining = true;
	books_changed(w);
	load_simple(w, h, COMMAND_LEAVE, 600 * S, 0, 0, NULL);
}

static void join(struct world *w)
{
	struct host *h = host_new(w);

	h->member = true;
	books_changed(w);
	host_start(h);
}

static void change_member(struct world *w, struct host *h)
{
	struct dice *d = &w->faults->dice;
	unsigned int what = (unsigned int)dice_below(d, 10), members = 0;

	for (unsigned int i = 0; i < w->hosts; i++)
		members += w->host[i]->member && !w->host[i]->draining && !w->host[i]->leaving;
	if (what < 3 && members < 3 * w->options.nodes / 2 + 2) {
		join(w);
	} else if (what < 5 && members > w->options.replicas + 2 && h->node) {
		fire_leave(w, h, 0);
	} else if (what < 6 && members > w->options.replicas + 2) {
		load_evict(w, h);
	} else if (h->node && what < 8) {
		h->draining = !h->draining && members > w->options.replicas + 2;	/* or back in */
		books_changed(w);
		load_simple(w, h, COMMAND_DRAIN, 60 * S, h->draining, 0, NULL);
	} else if (h->node) {
		h->weight = (uint8_t)dice_between(d, 1, 4);
		books_changed(w);
		load_simple(w, h, COMMAND_SET, 60 * S, 0, h->weight, h->zone);
	}
}

static void fire_restart(struct world *w, void *arg, uint64_t unused)
{
	struct host *h = any(w);

	(void)arg;
	(void)unused;
	if (h)
		restart(w, h);
}

static void fire_change(struct world *w, void *arg, uint64_t number)
{
	struct host *h = any(w);

	(void)arg;
	if (number % 3 == 0)
		join(w);
	else if (h && number % 3 == 1)
		fire_leave(w, h, 0);
	else if (h)
		load_evict(w, h);
}

void faults_churn(struct world *w, unsigned int restarts, unsigned int changes, uint64_t us)
{
	for (unsigned int i = 0; i < restarts; i++)
		world_plan(w, w->now + dice_below(&w->faults->dice, us), fire_restart, NULL, 0);
	for (unsigned int i = 0; i < changes; i++)
		world_plan(w, w->now + dice_below(&w->faults->dice, us), fire_change, NULL, i);
}

/* Somebody picks an id that makes him an owner of what others want, joins, and lies. */
static void fire_sybil(struct world *w, void *arg, uint64_t unused)
{
	struct dice *d = &w->faults->dice;
	struct host *h;

	(void)arg;
	(void)unused;
	if (!w->faults->lying || books_count(w) == 0)
		return;
	h = host_new(w);
	liar_key(h, &books_item(w, (unsigned int)dice_below(d, books_count(w)))->address);
	liar_begin(h, LIE_SYBIL | 1u << dice_below(d, 8));
	h->member = true;
	books_changed(w);
	host_start(h);
}

static void lie(struct world *w)
{
	struct dice *d = &w->faults->dice;

	for (unsigned int i = 0; i < w->options.liars && i < w->hosts; i++) {
		struct host *h = w->host[w->hosts - 1 - i];

		liar_begin(h, (1u << dice_below(d, 8)) | (unsigned int)(dice_next(d) & dice_next(d) & LIE_ALL & ~LIE_SYBIL));
	}
	w->faults->lying = true;
	world_plan(w, a_while(w, 0, w->options.load_us / 2), fire_sybil, NULL, 0);
}

/* ---- the schedule ---- */

static void strike(struct world *w, enum fault f, struct host *h)
{
	struct dice *d = &w->faults->dice;

	switch (f) {
	case FAULT_RESTART:
		restart(w, h);
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
		host_freeze(h, a_while(w, 100 * MS, 30 * S));
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
		network_stall(w, (unsigned int)dice_between(d, 10, 300), a_while(w, 1 * S, 30 * S));
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
		change_member(w, h);
		break;
	default:
		break;
	}
}

static void fire_fault(struct world *w, void *arg, uint64_t unused)
{
	struct faults *f = w->faults;
	enum fault what = 1u << dice_below(&f->dice, 15);
	struct host *h = any(w);

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
		lie(w);
	if (!(w->options.faults & ~(unsigned int)FAULT_LIARS))
		return;
	w->faults->running = true;
	world_plan(w, w->now + w->options.fault_every, fire_fault, NULL, 0);
}

/* What it was told while others killed it, it may not know.  Who is about to leave goes on. */
static void come_back(struct world *w, struct host *h)
{
	if (!h->node || !h->member || h->gone || h->liar || h->leaving)
		return;
	h->draining = false;
	load_simple(w, h, COMMAND_DRAIN, 60 * S, 0, 0, NULL);
	load_simple(w, h, COMMAND_SET, 60 * S, 0, h->weight, h->zone);
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
	for (unsigned int i = 0; i < w->hosts && (w->options.faults & FAULT_MEMBERS); i++)
		come_back(w, w->host[i]);
	books_changed(w);
}
