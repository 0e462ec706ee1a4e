#include "tests/lib/memory_catalogue.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Lists in the order of addresses; tests have few of each. */
struct memory_record {
	struct memory_record *next;
	struct address address, volume;
	enum kind kind;
	struct chunk *chunk;
	unsigned int states;
};

struct memory_row {
	struct memory_row *next;
	struct catalogue_row_key key;
	struct chunk *chunk;
};

struct memory_lease {
	struct memory_lease *next;
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

/* The place of the first that is not below ${a}. */
static struct memory_record **record_at(struct memory_catalogue *c, const struct address *a)
{
	struct memory_record **r = &c->records;

	while (*r && address_compare(&(*r)->address, a) < 0)
		r = &(*r)->next;
	return r;
}

static struct memory_record *record_find(struct memory_catalogue *c, const struct address *a)
{
	struct memory_record *r = *record_at(c, a);

	return r && address_equal(&r->address, a) ? r : NULL;
}

static bool leased(struct catalogue *catalogue, const struct address *a)
{
	for (struct memory_lease *l = of(catalogue)->leases; l; l = l->next)
		for (uint32_t i = 0; i < l->lease.count; i++)
			if (address_equal(&l->addresses[i], a))
				return true;
	return false;
}

static unsigned int state(struct catalogue *catalogue, const struct address *a)
{
	struct memory_record *r = record_find(of(catalogue), a);

	return r ? r->states | (leased(catalogue, a) ? STATE_LEASED : 0) : 0;
}

static size_t list_leased(struct memory_catalogue *c, const struct address *from, size_t n, struct address *out)
{
	size_t count = 0;

	/* Each time the smallest that is not below ${from}, and greater than the last. */
	while (count < n) {
		const struct address *best = NULL;

		for (struct memory_lease *l = c->leases; l; l = l->next)
			for (uint32_t i = 0; i < l->lease.count; i++) {
				const struct address *a = &l->addresses[i];

				if ((from && address_compare(a, from) < 0) ||
				    (count > 0 && address_compare(a, &out[count - 1]) <= 0))
					continue;
				if (!best || address_compare(a, best) < 0)
					best = a;
			}
		if (!best)
			break;
		out[count++] = *best;
	}
	return count;
}

static size_t list(struct catalogue *catalogue, const struct address *from, unsigned int states, size_t n,
    struct address *out)
{
	struct memory_catalogue *c = of(catalogue);
	unsigned int others = states & STATE_ANY;
	size_t count = 0;

	if (!others)
		return list_leased(c, from, n, out);
	for (struct memory_record *r = from ? *record_at(c, from) : c->records; r && count < n; r = r->next)
		if ((r->states & others) && (!(states & STATE_LEASED) || leased(catalogue, &r->address)))
			out[count++] = r->address;
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

static struct memory_lease **lease_at(struct memory_catalogue *c, unsigned int slot, const struct address *volume)
{
	struct memory_lease **l = &c->leases;

	while (*l && ((*l)->lease.slot < slot ||
	    ((*l)->lease.slot == slot && address_compare(&(*l)->lease.volume, volume) < 0)))
		l = &(*l)->next;
	return l;
}

static struct memory_lease *lease_find(struct memory_catalogue *c, unsigned int slot, const struct address *volume)
{
	struct memory_lease *l = *lease_at(c, slot, volume);

	return l && l->lease.slot == slot && address_equal(&l->lease.volume, volume) ? l : NULL;
}

static struct chunk *lease(struct catalogue *catalogue, const struct address *volume, unsigned int slot)
{
	struct memory_lease *l = lease_find(of(catalogue), slot, volume);

	return l ? chunk_hold(l->lease.blob) : NULL;
}

static bool lease_next(struct catalogue *catalogue, unsigned int slot, const struct address *after,
    struct address *volume)
{
	for (struct memory_lease *l = of(catalogue)->leases; l; l = l->next)
		if (l->lease.slot == slot && (!after || address_compare(&l->lease.volume, after) > 0)) {
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

	for (struct memory_record *r = of(catalogue)->records; r; r = r->next)
		if (address_equal(&r->volume, volume))
			sum += r->chunk->len;
	return sum;
}

void memory_catalogue_init(struct memory_catalogue *c, uint64_t bytes)
{
	*c = (struct memory_catalogue){
		.catalogue = { state, list, leased, row, rows, lease, lease_next, lease_list, space, volume_bytes },
		.space = bytes,
	};
}

static void lease_free(struct memory_lease *l)
{
	chunk_drop(l->lease.blob);
	free(l->addresses);
	free(l);
}

void memory_catalogue_free(struct memory_catalogue *c)
{
	while (c->records) {
		struct memory_record *r = c->records;

		c->records = r->next;
		chunk_drop(r->chunk);
		free(r);
	}
	while (c->rows) {
		struct memory_row *r = c->rows;

		c->rows = r->next;
		chunk_drop(r->chunk);
		free(r);
	}
	while (c->leases) {
		struct memory_lease *l = c->leases;

		c->leases = l->next;
		lease_free(l);
	}
}

static int check(const struct address *a, enum kind kind, const struct chunk *bytes)
{
	struct address is;

	address_of(kind, bytes->data, bytes->len, &is);
	return address_equal(&is, a) ? 0 : -EBADMSG;
}

static int write_record(struct memory_catalogue *c, const struct effect *e)
{
	struct memory_record **at = record_at(c, &e->address), *r = *at;

	if (check(&e->address, e->chunk_kind, e->chunk) != 0)
		return -EBADMSG;
	if (!r || !address_equal(&r->address, &e->address)) {
		if (e->chunk->len > c->space)
			return -ENOSPC;
		c->space -= e->chunk->len;
		r = must(calloc(1, sizeof(*r)));
		*r = (struct memory_record){ *at, e->address, e->hash, e->chunk_kind, chunk_hold(e->chunk), 0 };
		*at = r;
		c->written++;
	} else if (check(&r->address, r->kind, r->chunk) != 0) {
		chunk_drop(r->chunk);
		r->chunk = chunk_hold(e->chunk);
	}
	r->states |= e->states & STATE_ANY;
	if (r->states & (STATE_OWNED | STATE_FOREIGN))
		r->states &= ~(unsigned int)STATE_CACHED;
	return 0;
}

static int set_states(struct memory_catalogue *c, const struct effect *e)
{
	struct memory_record **at = record_at(c, &e->address), *r = *at;

	if (!r || !address_equal(&r->address, &e->address))
		return -ENOENT;
	r->states = e->states & STATE_ANY;
	if (r->states == 0) {
		*at = r->next;
		c->space += r->chunk->len;
		chunk_drop(r->chunk);
		free(r);
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
	struct memory_lease **at = lease_at(c, from->slot, &from->volume), *l = *at;

	if (l && l->lease.slot == from->slot && address_equal(&l->lease.volume, &from->volume)) {
		*at = l->next;
		lease_free(l);
	}
	if (!from->blob)
		return;
	l = must(calloc(1, sizeof(*l)));
	*l = (struct memory_lease){ *at, *from, must(calloc(from->count + 1, sizeof(struct address))) };
	if (from->count > 0)
		memcpy(l->addresses, from->addresses, from->count * sizeof(struct address));
	chunk_hold(l->lease.blob);
	l->lease.addresses = l->addresses;
	*at = l;
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
	unsigned int count = 0;

	for (struct memory_record *r = c->records; r; r = r->next)
		count++;
	return count;
}
