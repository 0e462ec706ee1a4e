#include "tests/sim/plants.h"

#include <errno.h>
#include <string.h>

#include "tests/sim/books.h"
#include "tests/sim/host.h"
#include "tests/sim/trace.h"

#define SICK 1u		/* the host that is told apart from the others */

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
	/* Many bytes are to be moved, so that it shows when they are moved for nothing. */
	for (unsigned int n = 0; planted(w, PLANT_WASTE) && n < books_count(w); n++) {
		i = books_item(w, n);
		if (i->leased && i->holders > 1)
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

bool plant_deaf(const struct host *h, const struct link_message *m)
{
	return planted(h->world, PLANT_SPLIT_VIEW) && h->index == SICK &&
	    (m->type == WIRE_RECORDS || m->type == WIRE_GOSSIP || m->type == WIRE_PING || m->type == WIRE_ACK);
}
