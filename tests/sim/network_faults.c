/*
 * What the nemesis does to the network: parts that do not reach each other, slow links, streams that stand still or are cut.
 *
 * No byte is lost within a stream, and none overtakes another: that is TCP's promise, and a core that could not rely on it would be
 * another one.  What a fault takes away is time, and in the end the connection.
 */
#include <assert.h>
#include <string.h>

#include "tests/sim/host.h"
#include "tests/sim/network_impl.h"

/* Something has changed: what waited tries again, some time later, as kernels do, whose tries get rarer. */
void network_changed(struct world *w)
{
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);

		for (unsigned int side = 0; side < 2; side++) {
			struct pipe *p = &c->pipe[side];
			uint64_t later = w->now + dice_below(&w->net->dice, 2 * S);

			if (p->waiting && !network_blocked(w, c->host[side], c->host[!side]))
				pipe_deliver(w, c, side, later);
			if (p->held_back > 0 && !network_blocked(w, c->host[!side], c->host[side]))
				pipe_acknowledge(w, c, side, 0);
		}
	}
}

void network_group(struct world *w, const struct host *h, unsigned int group)
{
	assert(group < NETWORK_GROUPS);
	w->host[h->index]->group = (uint8_t)group;
}

void network_block(struct world *w, unsigned int from, unsigned int to, bool blocked)
{
	w->net->blocked[from][to] = blocked;
	if (!blocked)
		network_changed(w);
}

void network_clog(struct world *w, unsigned int place, int from, int to, uint64_t delay)
{
	assert(place < NETWORK_CLOGS);
	/* For what is sent from now on: it still comes behind what is on its way. */
	w->net->clog[place] = (struct clog){ from, to, delay };
}

void network_heal(struct world *w)
{
	memset(w->net->blocked, 0, sizeof(w->net->blocked));
	memset(w->net->clog, 0, sizeof(w->net->clog));
	for (unsigned int i = 0; i < w->hosts; i++)
		w->host[i]->group = 0;
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);

		c->pipe[0].stall_until = c->pipe[1].stall_until = 0;
	}
	network_changed(w);
}

void network_stall(struct world *w, unsigned int permille, uint64_t until)
{
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);

		if (dice_below(&w->net->dice, 1000) < permille)
			/* One way only: who is heard, and can't be told, is the harder case. */
			c->pipe[dice_below(&w->net->dice, 2)].stall_until = until;
	}
}

void network_reset(struct world *w, unsigned int permille, bool one_end)
{
	for (struct list *l = w->net->connections.next; l != &w->net->connections; l = l->next) {
		struct connection *c = list_item(l, struct connection, link);
		unsigned int side = (unsigned int)dice_below(&w->net->dice, 2);

		if (dice_below(&w->net->dice, 1000) >= permille)
			continue;
		/* What was under way is lost at both ends, also where only one is told: the other finds out by silence. */
		pipe_clear(&c->pipe[0]);
		pipe_clear(&c->pipe[1]);
		c->cut = true;
		connection_plan(w, c, w->now, connection_break, side);
		if (!one_end)
			connection_plan(w, c, w->now, connection_break, !side);
	}
}
