/* The nemesis: who comes, who goes, who lies. */
#include "tests/sim/books.h"
#include "tests/sim/faults_impl.h"
#include "tests/sim/host.h"
#include "tests/sim/liar.h"
#include "tests/sim/load.h"

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

void fault_members(struct world *w, struct host *h)
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
	struct host *h = fault_host(w);

	(void)arg;
	(void)unused;
	if (h)
		fault_restart(w, h);
}

static void fire_change(struct world *w, void *arg, uint64_t number)
{
	struct host *h = fault_host(w);

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

void fault_lie(struct world *w)
{
	struct dice *d = &w->faults->dice;

	for (unsigned int i = 0; i < w->options.liars && i < w->hosts; i++) {
		struct host *h = w->host[w->hosts - 1 - i];

		liar_begin(h, (1u << dice_below(d, 8)) | (unsigned int)(dice_next(d) & dice_next(d) & LIE_ALL & ~LIE_SYBIL));
	}
	w->faults->lying = true;
	world_plan(w, fault_while(w, 0, w->options.load_us / 2), fire_sybil, NULL, 0);
}

/* What it was told while others killed it, it may not know.  Who is about to leave goes on. */
void fault_come_back(struct world *w, struct host *h)
{
	if (!h->node || !h->member || h->gone || h->liar || h->leaving)
		return;
	h->draining = false;
	load_simple(w, h, COMMAND_DRAIN, 60 * S, 0, 0, NULL);
	load_simple(w, h, COMMAND_SET, 60 * S, 0, h->weight, h->zone);
}
