/*
 * The catalogue of a simulated disk: what its node asks of it.
 *
 * It shows what the disk has now, at once, as an index in memory does: what is under way is not there yet, what a liar's disk
 * forgot is, so that its node believes what it says.  Rotten bytes of a chunk do not show here, only where they are read.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/disk_impl.h"

static struct disk *disk_of(struct catalogue *c)
{
	return (struct disk *)c;
}

struct record *disk_find(const struct disk *d, const struct address *a)
{
	return sorted_find(&d->records, a->b);
}

static bool has_lease(struct catalogue *c, const struct address *a)
{
	return sorted_find(&disk_of(c)->leased, a->b) != NULL;
}

static unsigned int state(struct catalogue *c, const struct address *a)
{
	struct disk *d = disk_of(c);
	struct record *r = disk_find(d, a);

	if (!r)
		r = sorted_find(&d->forgotten, a->b);
	return r ? r->states | (has_lease(c, a) ? STATE_LEASED : 0u) : 0;
}

static size_t list(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out)
{
	struct disk *d = disk_of(c);
	const struct sorted *s = states == STATE_LEASED ? &d->leased : &d->records;
	struct sorted_place p;
	struct record *r;
	size_t got = 0;

	sorted_from(s, from ? from->b : NULL, &p);
	while (got < n && (r = sorted_next(s, &p))) {
		if (states != STATE_LEASED) {
			if (!(r->states & states & STATE_ANY))
				continue;
			if ((states & STATE_LEASED) && !has_lease(c, &r->address))
				continue;
		}
		out[got++] = r->address;
	}
	return got;
}

void catalogue_row_key(uint8_t table, const struct address *key, uint8_t out[ROW_KEY])
{
	out[0] = table;
	memcpy(out + 1, key->b, ADDRESS_LEN);
}

static struct chunk *row(struct catalogue *c, const struct catalogue_row_key *key)
{
	uint8_t k[ROW_KEY];
	struct row *r;

	catalogue_row_key(key->table, &key->key, k);
	r = sorted_find(&disk_of(c)->rows, k);
	return r && !r->bad ? chunk_hold(r->chunk) : NULL;
}

static bool rows(struct catalogue *c, uint8_t table, const struct address *after, struct address *out)
{
	uint8_t k[ROW_KEY] = { table };
	struct sorted_place p;
	struct row *r;

	if (after)
		catalogue_row_key(table, after, k);
	sorted_from(&disk_of(c)->rows, k, &p);
	r = sorted_next(&disk_of(c)->rows, &p);
	if (r && after && memcmp(r->key, k, ROW_KEY) == 0)
		r = sorted_next(&disk_of(c)->rows, &p);
	if (!r || r->key[0] != table)
		return false;
	memcpy(out->b, r->key + 1, ADDRESS_LEN);
	return true;
}

void catalogue_lease_key(unsigned int slot, const struct address *volume, uint8_t out[LEASE_KEY])
{
	out[0] = (uint8_t)(slot >> 8);
	out[1] = (uint8_t)slot;
	if (volume)
		memcpy(out + 2, volume->b, ADDRESS_LEN);
	else
		memset(out + 2, 0, ADDRESS_LEN);
}

static struct lease_row *find_lease(struct disk *d, const struct address *volume, unsigned int slot)
{
	uint8_t k[LEASE_KEY];

	catalogue_lease_key(slot, volume, k);
	return sorted_find(&d->leases, k);
}

static struct chunk *lease(struct catalogue *c, const struct address *volume, unsigned int slot)
{
	struct lease_row *l = find_lease(disk_of(c), volume, slot);

	return l ? chunk_hold(l->blob) : NULL;
}

static bool lease_next(struct catalogue *c, unsigned int slot, const struct address *after, struct address *volume)
{
	uint8_t k[LEASE_KEY];
	struct sorted_place p;
	struct lease_row *l;

	catalogue_lease_key(slot, after, k);
	sorted_from(&disk_of(c)->leases, k, &p);
	l = sorted_next(&disk_of(c)->leases, &p);
	if (l && after && memcmp(l->key, k, LEASE_KEY) == 0)
		l = sorted_next(&disk_of(c)->leases, &p);
	if (!l || memcmp(l->key, k, 2) != 0)
		return false;
	memcpy(volume->b, l->key + 2, ADDRESS_LEN);
	return true;
}

static size_t lease_list(struct catalogue *c, const struct address *volume, unsigned int slot,
    const struct address *from, size_t n, struct address *out)
{
	struct lease_row *l = find_lease(disk_of(c), volume, slot);
	size_t got = 0;

	for (uint32_t i = 0; l && i < l->count && got < n; i++)
		if (!from || address_compare(&l->addresses[i], from) >= 0)
			out[got++] = l->addresses[i];
	return got;
}

static uint64_t space(struct catalogue *c)
{
	struct disk *d = disk_of(c);

	return d->used < d->capacity ? d->capacity - d->used : 0;
}

static uint64_t volume_bytes(struct catalogue *c, const struct address *volume)
{
	struct disk *d = disk_of(c);
	struct sorted_place p;
	struct record *r;
	uint64_t bytes = 0;

	sorted_from(&d->records, NULL, &p);
	while ((r = sorted_next(&d->records, &p)))
		if (address_equal(&r->volume, volume))
			bytes += r->chunk->len;
	return bytes;
}

void catalogue_init(struct catalogue *c)
{
	*c = (struct catalogue){
		.state = state, .list = list, .leased = has_lease, .row = row, .rows = rows, .lease = lease,
		.lease_next = lease_next, .lease_list = lease_list, .space = space, .volume_bytes = volume_bytes,
	};
}
