#include "tests/lib/memory_catalogue.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* An array in the order of addresses, as tests may have many; lists of what they have few of. */
struct memory_record {
	struct address address, volume;
	enum kind kind;
	struct chunk *chunk;
	unsigned int states;
};

/* By how many leases it is held.  Likewise an array. */
struct memory_leased {
	struct address address;
	uint32_t leases;
};

struct memory_row {
	struct memory_row *next;
	struct catalogue_row_key key;
	struct chunk *chunk;
};

struct memory_lease {
	struct catalogue_lease lease;
	struct address *addresses;
};

static struct memory_catalogue *of(struct catalogue *c)
{
	return (struct memory_catalogue *)c;
}

static void *must(void *p)
{
	assert(p);
	return p;
}

/* ---- arrays: pointers to what begins with its key ---- */

/* The place of the first that is not below ${key}. */
static size_t place(const struct memory_array *a, const void *key, int (*compare)(const void *item, const void *key))
{
	size_t low = 0, high = a->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare(a->item[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *add(struct memory_array *a, size_t at, size_t size)
{
	if (a->count == a->room) {
		a->room = a->room ? 2 * a->room : 16;
		a->item = must(realloc(a->item, a->room * sizeof(*a->item)));
	}
	memmove(a->item + at + 1, a->item + at, (a->count - at) * sizeof(*a->item));
	a->count++;
	return a->item[at] = must(calloc(1, size));
}

static void take(struct memory_array *a, size_t at)
{
	free(a->item[at]);
	a->count--;
	memmove(a->item + at, a->item + at + 1, (a->count - at) * sizeof(*a->item));
}

static int by_address(const void *item, const void *key)
{
	return memcmp(item, key, ADDRESS_LEN);
}

static struct memory_record *record_find(struct memory_catalogue *c, const struct address *a)
{
	size_t at = place(&c->records, a, by_address);
	struct memory_record *r = at < c->records.count ? c->records.item[at] : NULL;

	return r && address_equal(&r->address, a) ? r : NULL;
}

static struct memory_leased *leased_find(struct memory_catalogue *c, const struct address *a)
{
	size_t at = place(&c->leased, a, by_address);
	struct memory_leased *l = at < c->leased.count ? c->leased.item[at] : NULL;

	return l && address_equal(&l->address, a) ? l : NULL;
}

static bool leased(struct catalogue *catalogue, const struct address *a)
{
	return leased_find(of(catalogue), a) != NULL;
}

static unsigned int state(struct catalogue *catalogue, const struct address *a)
{
	struct memory_record *r = record_find(of(catalogue), a);

	return r ? r->states | (leased(catalogue, a) ? STATE_LEASED : 0) : 0;
}

static size_t list(struct catalogue *catalogue, const struct address *from, unsigned int states, size_t n,
    struct address *out)
{
	struct memory_catalogue *c = of(catalogue);
	const struct memory_array *all = states & STATE_ANY ? &c->records : &c->leased;
	size_t count = 0, any = 0;

	for (unsigned int i = 1; i <= STATE_ANY; i++)
		any += i & states ? c->labelled[i] : 0;
	if (states & STATE_ANY && !any)
		return 0;
	for (size_t i = from ? place(all, from, by_address) : 0; i < all->count && count < n; i++) {
		const struct memory_record *r = all->item[i];

		if (all == &c->records && (!(r->states & states & STATE_ANY) || (states & STATE_LEASED && !leased(catalogue, &r->address))))
			continue;
		memcpy(&out[count++], all->item[i], ADDRESS_LEN);
	}
	return count;
}

static int row_compare(const struct catalogue_row_key *a, const struct catalogue_row_key *b)
{
	return a->table != b->table ? a->table - b->table : address_compare(&a->key, &b->key);
}

static struct memory_row **row_at(struct memory_catalogue *c, const struct catalogue_row_key *key)
{
	struct memory_row **r = &c->rows;

	while (*r && row_compare(&(*r)->key, key) < 0)
		r = &(*r)->next;
	return r;
}

static struct chunk *row(struct catalogue *catalogue, const struct catalogue_row_key *key)
{
	struct memory_row *r = *row_at(of(catalogue), key);

	return r && row_compare(&r->key, key) == 0 ? chunk_hold(r->chunk) : NULL;
}

static bool rows(struct catalogue *catalogue, uint8_t table, const struct address *after, struct address *out)
{
	for (struct memory_row *r = of(catalogue)->rows; r; r = r->next)
		if (r->key.table == table && (!after || address_compare(&r->key.key, after) > 0)) {
			*out = r->key.key;
			return true;
		}
	return false;
}

/* By slot, then by volume. */
static int by_lease(const void *item, const void *key)
{
	const struct catalogue_lease *a = item, *b = key;

	return a->slot != b->slot ? a->slot - b->slot : address_compare(&a->volume, &b->volume);
}

static struct memory_lease *lease_find(struct memory_catalogue *c, unsigned int slot, const struct address *volume)
{
	const struct catalogue_lease key = { .slot = (uint16_t)slot, .volume = *volume };
	size_t at = place(&c->leases, &key, by_lease);

	return at < c->leases.count && by_lease(c->leases.item[at], &key) == 0 ? c->leases.item[at] : NULL;
}

static struct chunk *lease(struct catalogue *catalogue, const struct address *volume, unsigned int slot)
{
	struct memory_lease *l = lease_find(of(catalogue), slot, volume);

	return l ? chunk_hold(l->lease.blob) : NULL;
}

static bool lease_next(struct catalogue *catalogue, unsigned int slot, const struct address *after,
    struct address *volume)
{
	static const struct address zeros;
	const struct memory_array *leases = &of(catalogue)->leases;
	const struct catalogue_lease key = { .slot = (uint16_t)slot, .volume = after ? *after : zeros };

	for (size_t i = place(leases, &key, by_lease); i < leases->count; i++) {
		const struct memory_lease *l = leases->item[i];

		if (l->lease.slot != slot)
			break;
		if (after && address_compare(&l->lease.volume, after) <= 0)
			continue;
		*volume = l->lease.volume;
		return true;
	}
	return false;
}

static size_t lease_list(struct catalogue *catalogue, const struct address *volume, unsigned int slot,
    const struct address *from, size_t n, struct address *out)
{
	struct memory_lease *l = lease_find(of(catalogue), slot, volume);
	size_t count = 0;

	for (uint32_t i = 0; l && i < l->lease.count && count < n; i++)
		if (!from || address_compare(&l->addresses[i], from) >= 0)
			out[count++] = l->addresses[i];
	return count;
}

static uint64_t space(struct catalogue *catalogue)
{
	return of(catalogue)->space;
}

static uint64_t volume_bytes(struct catalogue *catalogue, const struct address *volume)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < of(catalogue)->records.count; i++) {
		const struct memory_record *r = of(catalogue)->records.item[i];

		if (address_equal(&r->volume, volume))
			sum += r->chunk->len;
	}
	return sum;
}

void memory_catalogue_init(struct memory_catalogue *c, uint64_t bytes)
{
	*c = (struct memory_catalogue){
		.catalogue = { state, list, leased, row, rows, lease, lease_next, lease_list, space, volume_bytes },
		.space = bytes,
	};
}

/* The record at a place, with its bytes. */
static void record_take(struct memory_catalogue *c, size_t at)
{
	struct memory_record *r = c->records.item[at];

	chunk_drop(r->chunk);
	c->labelled[r->states & STATE_ANY]--;
	take(&c->records, at);
}

static void lease_take(struct memory_catalogue *c, size_t at)
{
	struct memory_lease *l = c->leases.item[at];

	for (uint32_t i = 0; i < l->lease.count; i++) {
		struct memory_leased *a = must(leased_find(c, &l->addresses[i]));

		if (--a->leases == 0)
			take(&c->leased, place(&c->leased, &l->addresses[i], by_address));
	}
	chunk_drop(l->lease.blob);
	free(l->addresses);
	take(&c->leases, at);
}

void memory_catalogue_free(struct memory_catalogue *c)
{
	while (c->records.count > 0)
		record_take(c, c->records.count - 1);
	while (c->leases.count > 0)
		lease_take(c, c->leases.count - 1);
	free(c->records.item);
	free(c->leases.item);
	free(c->leased.item);
	while (c->rows) {
		struct memory_row *r = c->rows;

		c->rows = r->next;
		chunk_drop(r->chunk);
		free(r);
	}
}

static int check(const struct address *a, enum kind kind, const struct chunk *bytes)
{
	struct address is;

	address_of(kind, bytes->data, bytes->len, &is);
	return address_equal(&is, a) ? 0 : -EBADMSG;
}

static void label(struct memory_catalogue *c, struct memory_record *r, unsigned int states)
{
	c->labelled[r->states]--;
	r->states = states;
	c->labelled[r->states]++;
}

static int write_record(struct memory_catalogue *c, const struct effect *e)
{
	struct memory_record *r = record_find(c, &e->address);
	unsigned int states;

	if (check(&e->address, e->chunk_kind, e->chunk) != 0)
		return -EBADMSG;
	if (!r) {
		if (e->chunk->len > c->space)
			return -ENOSPC;
		c->space -= e->chunk->len;
		r = add(&c->records, place(&c->records, &e->address, by_address), sizeof(*r));
		*r = (struct memory_record){ e->address, e->hash, e->chunk_kind, chunk_hold(e->chunk), 0 };
		c->written++;
		c->labelled[0]++;
	} else if (check(&r->address, r->kind, r->chunk) != 0) {
		chunk_drop(r->chunk);
		r->chunk = chunk_hold(e->chunk);
	}
	states = r->states | (e->states & STATE_ANY);
	label(c, r, states & (STATE_OWNED | STATE_FOREIGN) ? states & ~(unsigned int)STATE_CACHED : states);
	return 0;
}

static int set_states(struct memory_catalogue *c, const struct effect *e)
{
	struct memory_record *r = record_find(c, &e->address);

	if (!r)
		return -ENOENT;
	label(c, r, e->states & STATE_ANY);
	if (r->states == 0) {
		c->space += r->chunk->len;
		record_take(c, place(&c->records, &e->address, by_address));
		c->deleted++;
	}
	return 0;
}

static int prove(struct memory_catalogue *c, const struct effect *e, struct address *out)
{
	struct memory_record *r = record_find(c, &e->address);
	crypto_generichash_state s;

	if (!r)
		return -ENOENT;
	if (check(&r->address, r->kind, r->chunk) != 0)
		return -EBADMSG;
	crypto_generichash_init(&s, NULL, 0, ADDRESS_LEN);
	crypto_generichash_update(&s, e->hash.b, ADDRESS_LEN);
	crypto_generichash_update(&s, r->chunk->data, r->chunk->len);
	crypto_generichash_final(&s, out->b, ADDRESS_LEN);
	return 0;
}

static int read_record(struct memory_catalogue *c, const struct effect *e, struct event *done)
{
	struct memory_record *r = record_find(c, &e->address);

	if (!r)
		return -ENOENT;
	if (check(&r->address, r->kind, r->chunk) != 0)
		return -EBADMSG;
	done->chunk = chunk_hold(r->chunk);
	done->chunk_kind = r->kind;
	done->hash = r->volume;
	return 0;
}

static void save(struct memory_catalogue *c, const struct effect *e)
{
	struct memory_row **at = row_at(c, &e->row), *r = *at;

	if (r && row_compare(&r->key, &e->row) == 0) {
		*at = r->next;
		chunk_drop(r->chunk);
		free(r);
	}
	if (!e->chunk)
		return;
	r = must(calloc(1, sizeof(*r)));
	*r = (struct memory_row){ *at, e->row, chunk_hold(e->chunk) };
	*at = r;
}

static void set_lease(struct memory_catalogue *c, const struct catalogue_lease *from)
{
	size_t at = place(&c->leases, from, by_lease);
	struct memory_lease *l;

	if (at < c->leases.count && by_lease(c->leases.item[at], from) == 0)
		lease_take(c, at);
	if (!from->blob)
		return;
	l = add(&c->leases, at, sizeof(*l));
	*l = (struct memory_lease){ *from, must(calloc(from->count + 1, sizeof(struct address))) };
	for (uint32_t i = 0; i < from->count; i++) {
		struct memory_leased *a = leased_find(c, &from->addresses[i]);

		l->addresses[i] = from->addresses[i];
		if (!a) {
			a = add(&c->leased, place(&c->leased, &from->addresses[i], by_address), sizeof(*a));
			a->address = from->addresses[i];
		}
		a->leases++;
	}
	chunk_hold(l->lease.blob);
	l->lease.addresses = l->addresses;
}

void memory_catalogue_apply(struct memory_catalogue *c, const struct effect *e, struct event *done)
{
	*done = (struct event){ .kind = EVENT_DONE, .ticket = e->ticket };
	switch (e->kind) {
	case EFFECT_READ:
		done->result = read_record(c, e, done);
		break;
	case EFFECT_WRITE:
		done->result = write_record(c, e);
		break;
	case EFFECT_STATES:
		done->result = set_states(c, e);
		break;
	case EFFECT_CHECK:
		done->result = check(&e->address, e->chunk_kind, e->chunk);
		break;
	case EFFECT_PROVE:
		done->result = prove(c, e, &done->hash);
		break;
	case EFFECT_SAVE:
		save(c, e);
		break;
	case EFFECT_LEASE:
		set_lease(c, e->lease);
		break;
	default:
		assert(!"an effect of the disk");
	}
}

void memory_catalogue_rot(struct memory_catalogue *c, const struct address *a)
{
	struct memory_record *r = must(record_find(c, a));
	struct chunk *bad = must(chunk_copy(r->chunk->data, r->chunk->len));

	((uint8_t *)(uintptr_t)bad->data)[0] ^= 1;
	chunk_drop(r->chunk);
	r->chunk = bad;
}

unsigned int memory_catalogue_count(const struct memory_catalogue *c)
{
	return (unsigned int)c->records.count;
}
