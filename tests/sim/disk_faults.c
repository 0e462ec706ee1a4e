/*
 * What goes wrong with the bytes of a simulated disk: bits flip, and what was being written when the power went is there in part.
 *
 * The catalogue of a real disk has a sum of each row and lease: what does not fit it is set aside when the store is opened, and the
 * store counts as a new one from then on (catalogue.h).  Here a mark takes the place of the sum.
 */
#include <assert.h>
#include <string.h>

#include "tests/sim/disk_impl.h"
#include "tests/sim/host.h"
#include "tests/sim/load.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

/* ---- chunks ---- */

void disk_rot(struct disk *d, unsigned int n)
{
	while (n-- > 0 && d->records.count > 0) {
		struct record *r = sorted_at(&d->records, dice_below(&d->host->dice, d->records.count));
		struct world *w = d->host->world;
		uint8_t *bytes;
		struct chunk *bad;

		if (r->rotten || r->chunk->len == 0)
			continue;
		bad = must(chunk_new(r->chunk->len, &bytes));
		memcpy(bytes, r->chunk->data, r->chunk->len);
		bytes[dice_below(&d->host->dice, r->chunk->len)] ^= (uint8_t)(1u << dice_below(&d->host->dice, 8));
		chunk_drop(r->chunk);
		r->chunk = bad;
		r->rotten = true;
		books_lost(w, d->host, &r->address, LOST_BY_FAULT, disk_keeps(r));
		trace(w, d->host, TRACE_FAULT, 0, 0, "rot in %s", short_of(&r->address));
	}
}

struct record *disk_next_rotten(const struct disk *d, const struct record *after)
{
	struct sorted_place p;
	struct record *r;

	sorted_from(&d->records, after ? after->address.b : NULL, &p);
	while ((r = sorted_next(&d->records, &p)))
		if (r->rotten && r != after)
			return r;
	return NULL;
}

/* ---- rows and leases ---- */

/* Torn: the second half is what lay there before. */
static void spoil(struct disk *d, uint8_t *bytes, size_t len, bool torn)
{
	struct dice *dice = &d->host->dice;

	if (torn)
		dice_fill(dice, bytes + len / 2, len - len / 2);
	else
		bytes[dice_below(dice, len)] ^= (uint8_t)(1u << dice_below(dice, 8));
}

/* The books are told now, though nobody notices before the store is opened. */
static void spoil_row(struct disk *d, struct row *r, bool torn)
{
	struct host *h = d->host;
	struct address key;
	uint8_t *bytes;
	struct chunk *bad;
	size_t len = r->chunk->len;

	if (len == 0 || r->bad)
		return;
	memcpy(key.b, r->key + 1, ADDRESS_LEN);
	load_row_lost(h, r->key[0], &key);
	bad = must(chunk_new(len, &bytes));
	memcpy(bytes, r->chunk->data, len);
	spoil(d, bytes, len, torn);
	chunk_drop(r->chunk);
	r->chunk = bad;
	r->bad = true;
	d->spoilt = true;
	trace(h->world, h, TRACE_FAULT, r->key[0], torn, "a row of table %u is %s", r->key[0], torn ? "torn" : "rotten");
}

static void spoil_lease(struct disk *d, struct lease_row *l, bool torn)
{
	struct host *h = d->host;
	uint8_t *bytes;
	struct chunk *bad;

	if (l->bad)
		return;
	for (uint32_t i = 0; i < l->count; i++) {
		struct leased *a = sorted_find(&d->leased, l->addresses[i].b);

		if (a->leases == 1)
			books_lease_lost(h->world, h, &a->address);
	}
	disk_count_lease(d, l, false);
	l->bad = true;
	d->spoilt = true;
	if (l->count > 0 && dice_percent(&h->dice, 50)) {
		spoil(d, (uint8_t *)l->addresses, l->count * sizeof(*l->addresses), torn);
	} else {
		bad = must(chunk_new(l->blob->len, &bytes));
		memcpy(bytes, l->blob->data, l->blob->len);
		spoil(d, bytes, l->blob->len, torn);
		chunk_drop(l->blob);
		l->blob = bad;
	}
	trace(h->world, h, TRACE_FAULT, l->count, torn, "a lease of %u addresses is %s", l->count, torn ? "torn" : "rotten");
}

void disk_rot_rows(struct disk *d, unsigned int n)
{
	struct dice *dice = &d->host->dice;

	assert(!d->host->node);
	while (n-- > 0 && d->rows.count + d->leases.count > 0) {
		size_t i = dice_below(dice, d->rows.count + d->leases.count);

		if (i < d->rows.count)
			spoil_row(d, sorted_at(&d->rows, i), false);
		else
			spoil_lease(d, sorted_at(&d->leases, i - d->rows.count), false);
	}
}

void disk_tear(struct disk *d, const struct effect *e)
{
	uint8_t row[ROW_KEY], lease[LEASE_KEY];

	if (e->kind == EFFECT_SAVE && e->chunk) {
		catalogue_row_key(e->row.table, &e->row.key, row);
		spoil_row(d, sorted_find(&d->rows, row), true);
	} else if (e->kind == EFFECT_LEASE && e->lease->blob) {
		catalogue_lease_key(e->lease->slot, &e->lease->volume, lease);
		spoil_lease(d, sorted_find(&d->leases, lease), true);
	}
}

static bool row_bad(const void *item)
{
	return ((const struct row *)item)->bad;
}

static bool lease_bad(const void *item)
{
	return ((const struct lease_row *)item)->bad;
}

static bool set_aside(struct sorted *s, bool (*bad)(const void *item), void (*release)(void *item))
{
	size_t before = s->count;

	for (size_t i = s->count; i-- > 0;) {
		void *item = sorted_at(s, i);

		if (bad(item))
			release(sorted_take(s, item));
	}
	return s->count < before;
}

void disk_open(struct disk *d)
{
	bool any;

	if (!d->spoilt)
		return;
	d->spoilt = false;
	any = set_aside(&d->rows, row_bad, disk_release_row);
	any |= set_aside(&d->leases, lease_bad, disk_release_lease);
	if (any && !planted(d->host->world, PLANT_SAME_STORE))
		d->generation = dice_next(&d->host->dice);
}
