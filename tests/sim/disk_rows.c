/* The rows and leases of a simulated disk, as its node saves them.  See disk_impl.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/disk_impl.h"
#include "tests/sim/host.h"
#include "tests/sim/plants.h"

void disk_release_row(void *item)
{
	struct row *r = item;

	chunk_drop(r->chunk);
	free(r);
}

void disk_release_lease(void *item)
{
	struct lease_row *l = item;

	chunk_drop(l->blob);
	free(l->addresses);
	free(l);
}

/* ---- what a node saves ---- */

/* The record of a member lies on all disks: the same bytes, once for all of them. */
struct shared_row {
	struct address id;		/* first: the key */
	struct chunk *chunk;
};

static struct chunk *share(struct world *w, const struct address *id, const uint8_t *bytes, size_t len)
{
	struct shared_row *s = sorted_find(&w->rows, id->b);

	if (s && s->chunk->len == len && memcmp(s->chunk->data, bytes, len) == 0)
		return chunk_hold(s->chunk);
	if (!s) {
		s = must(calloc(1, sizeof(*s)));
		s->id = *id;
		sorted_add(&w->rows, s);
	}
	chunk_drop(s->chunk);
	s->chunk = must(chunk_copy(bytes, len));
	return chunk_hold(s->chunk);
}

static void free_shared(void *row)
{
	chunk_drop(((struct shared_row *)row)->chunk);
	free(row);
}

void disks_open(struct world *w)
{
	sorted_init(&w->rows, ADDRESS_LEN);
}

void disks_close(struct world *w)
{
	sorted_free(&w->rows, free_shared);
}

void disk_row(struct disk *d, uint8_t table, const struct address *key, const uint8_t *bytes, size_t len)
{
	uint8_t k[ROW_KEY];
	struct row *r;

	catalogue_row_key(table, key, k);
	r = sorted_find(&d->rows, k);
	if (!r) {
		r = must(calloc(1, sizeof(*r)));
		memcpy(r->key, k, ROW_KEY);
		sorted_add(&d->rows, r);
	}
	chunk_drop(r->chunk);
	/* A copy: a row may be a slice of a large message. */
	r->chunk = table == ROW_MEMBER ? share(d->host->world, key, bytes, len) : must(chunk_copy(bytes, len));
	r->bad = false;
}

int disk_save(struct disk *d, const struct effect *e)
{
	uint8_t k[ROW_KEY];
	struct row *r;

	if (plant_save(d, e))
		return 0;
	if (e->chunk) {
		if (!disk_make_room(d, e->chunk->len))
			return -ENOSPC;
		disk_row(d, e->row.table, &e->row.key, e->chunk->data, e->chunk->len);
		return 0;
	}
	catalogue_row_key(e->row.table, &e->row.key, k);
	r = sorted_take(&d->rows, k);
	if (r)
		disk_release_row(r);
	return 0;
}

void disk_count_lease(struct disk *d, const struct lease_row *l, bool more)
{
	for (uint32_t i = 0; i < l->count; i++) {
		struct leased *a = sorted_find(&d->leased, l->addresses[i].b);

		if (!a) {
			assert(more);
			a = must(calloc(1, sizeof(*a)));
			a->address = l->addresses[i];
			sorted_add(&d->leased, a);
		}
		a->leases += more ? 1 : -1u;
		if (a->leases == 0)
			free(sorted_take(&d->leased, l->addresses[i].b));
	}
}

void disk_lease(struct disk *d, const struct catalogue_lease *new)
{
	uint8_t k[LEASE_KEY];
	struct lease_row *l, *old;

	catalogue_lease_key(new->slot, &new->volume, k);
	old = sorted_take(&d->leases, k);
	if (new->blob) {
		l = must(calloc(1, sizeof(*l)));
		memcpy(l->key, k, LEASE_KEY);
		l->blob = must(chunk_copy(new->blob->data, new->blob->len));
		l->count = new->count;
		l->addresses = must(malloc((new->count + 1) * sizeof(*l->addresses)));
		if (new->count > 0)
			memcpy(l->addresses, new->addresses, new->count * sizeof(*l->addresses));
		sorted_add(&d->leases, l);
		disk_count_lease(d, l, true);
	}
	if (old) {
		if (!old->bad)
			disk_count_lease(d, old, false);
		disk_release_lease(old);
	}
}

void disk_leases_lost(struct disk *d)
{
	struct sorted_place p;
	struct leased *l;

	sorted_from(&d->leased, NULL, &p);
	while ((l = sorted_next(&d->leased, &p)))
		books_lease_lost(d->host->world, d->host, &l->address);
}

void disk_forget_rows(struct disk *d, uint8_t table)
{
	for (size_t i = d->rows.count; i-- > 0;) {
		struct row *r = sorted_at(&d->rows, i);

		if (r->key[0] == table)
			disk_release_row(sorted_take(&d->rows, r->key));
	}
}

void disk_forget_leases(struct disk *d)
{
	sorted_free(&d->leases, disk_release_lease);
	sorted_free(&d->leased, free);
}
