/*
 * Faults that are planted for the checkers; see plants.h.  All of them are below what they are planted for, in drivers and disks: no
 * line of the core knows of them.
 */
#include "tests/sim/plants.h"

#include <errno.h>
#include <string.h>

#include "tests/sim/books.h"
#include "tests/sim/host.h"
#include "tests/sim/liar.h"
#include "tests/sim/trace.h"

#define SICK 1u		/* the host that is told apart from the others */
#define SLOW 10000u	/* times the usual */

/* One that users want, and that was promised to them. */
static struct item *somebodys(struct world *w, bool leased)
{
	for (unsigned int n = 0; n < books_count(w); n++) {
		struct item *i = books_item(w, n);

		if (i->wanted && i->promised > 0 && i->holders > 0 && (i->leased || !leased))
			return i;
	}
	return NULL;
}

static void lose(struct world *w, struct item *i)
{
	while (i->holders > 0)
		disk_drop(w->host[i->holder[0]]->disk, &i->address, LOST_BY_PLANT);
}

void plants_load(struct world *w)
{
	struct host *sick = w->host[SICK];

	if (planted(w, PLANT_SMALL_RING)) {
		host_stop(sick, false);
		disk_forget_rows(sick->disk, ROW_MEMBER);
		sick->founds = true;
		host_start(sick);
	}
	if (planted(w, PLANT_FORGERY))
		liar_begin(sick, LIE_MEMBERS);
	if (planted(w, PLANT_SLOW_DISK))
		sick->disk->slow = SLOW;
}

/* Most owners forget their heads, and count as those who know. */
static void forget_heads(struct world *w)
{
	for (unsigned int k = 1; k < w->hosts; k++) {
		host_stop(w->host[k], false);
		disk_forget_rows(w->host[k]->disk, ROW_HEAD);
		disk_forget_rows(w->host[k]->disk, ROW_HEAD_SEEN);
		host_start(w->host[k]);
	}
}

void plants_heal(struct world *w)
{
	struct item *i = somebodys(w, planted(w, PLANT_DELETE_LEASED));

	w->healing = true;
	if (planted(w, PLANT_LOSE_CHUNK) && i)
		lose(w, i);
	while (planted(w, PLANT_DELETE_LEASED) && i && i->leased && i->holders > 0)
		disk_drop(w->host[i->holder[0]]->disk, &i->address, LOST_BY_NODE);
	if (planted(w, PLANT_LOSE_ONE_MORE) && i) {
		while (i->holders > 1)
			disk_drop(w->host[i->holder[0]]->disk, &i->address, LOST_BY_FAULT);
		lose(w, i);
	}
	if (planted(w, PLANT_DELETE_YOUNG) && i && i->holders > 0)
		disk_drop(w->host[i->holder[0]]->disk, &i->address, LOST_BY_NODE);
	for (unsigned int k = 0; planted(w, PLANT_WRONG_OWNER) && i && k < w->hosts; k++)
		disk_put(w->host[k]->disk, &i->address, KIND_DATA, i->chunk, STATE_OWNED);
	for (unsigned int k = 0; planted(w, PLANT_FORGET_LEASES) && k < w->hosts; k++)
		disk_forget_leases(w->host[k]->disk);
	if (planted(w, PLANT_SAME_STORE))
		forget_heads(w);
	/* Many bytes are to be moved, so that it shows when they are moved for nothing. */
	for (unsigned int n = 0; (planted(w, PLANT_WASTE) || planted(w, PLANT_TWICE)) && n < books_count(w); n++) {
		i = books_item(w, n);
		if (i->wanted && i->holders > 1)
			disk_drop(w->host[i->holder[0]]->disk, &i->address, LOST_BY_FAULT);
	}
}

void plants_deleted(struct world *w)
{
	for (unsigned int n = 0; planted(w, PLANT_RESURRECT_ONE) && n < books_count(w); n++) {
		struct item *i = books_item(w, n);

		if (i->dropped && !i->wanted && i->holders == 0) {
			i->holders = 1;		/* as if the last one had not let go of it yet */
			disk_put(w->host[i->holder[0] == 0]->disk, &i->address, KIND_DATA, i->chunk, STATE_OWNED);
			return;
		}
	}
	for (unsigned int n = 0; planted(w, PLANT_RESURRECT) && n < books_count(w); n++) {
		struct item *i = books_item(w, n);

		if (i->dropped && !i->wanted && i->holders == 0) {
			disk_put(w->host[0]->disk, &i->address, KIND_DATA, i->chunk, STATE_OWNED);
			return;
		}
	}
}

int plant_write(const struct disk *d, bool *skip)
{
	struct world *w = d->host->world;

	*skip = true;
	if (planted(w, PLANT_FALSE_ACK) && d->host->index > 0)
		return 0;
	if (planted(w, PLANT_DEAF_OWNER) && d->host->index == SICK)
		return -EIO;
	if (planted(w, PLANT_WASTE) && w->healing && dice_percent(&d->host->dice, 75))
		return -EIO;
	if (planted(w, PLANT_TWICE) && w->healing && dice_percent(&d->host->dice, 50))
		return -EIO;
	*skip = false;
	return 0;
}

struct chunk *plant_read(const struct disk *d, const struct chunk *c)
{
	struct chunk *bad;
	uint8_t *bytes;

	if (!planted(d->host->world, PLANT_WRONG_BYTE) || c->len == 0)
		return NULL;
	bad = must(chunk_new(c->len, &bytes));
	memcpy(bytes, c->data, c->len);
	bytes[c->len / 2] ^= 1;
	return bad;
}

bool plant_save(const struct disk *d, const struct effect *e)
{
	struct world *w = d->host->world;

	return planted(w, PLANT_HEAD_BACK) && (e->row.table == ROW_HEAD || e->row.table == ROW_HEAD_SEEN) &&
	    d->catalogue.row((struct catalogue *)(uintptr_t)&d->catalogue, &e->row);
}

bool plant_alone(const struct host *h)
{
	return planted(h->world, PLANT_SMALL_RING) && h->index == SICK && h->founds;
}

bool plant_deaf(const struct host *h, const struct link_message *m)
{
	return (planted(h->world, PLANT_SPLIT_VIEW) || plant_alone(h)) && h->index == SICK &&
	    (m->type == WIRE_RECORDS || m->type == WIRE_GOSSIP || m->type == WIRE_PING || m->type == WIRE_ACK);
}
