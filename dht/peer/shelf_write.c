/* Changes of the shelf: one thread, one transaction a batch. */
#include "dht/peer/shelf_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define PAGES_CHANGE 30u	/* of LMDB, that a change may make at most: five tables, each a path to a leaf that splits */
#define PAGE_BYTES   2048u	/* longer values have pages of their own */

struct batch {
	struct shelf *s;
	MDB_txn *txn;
	struct shelf_meta meta;
};

static int get(const struct batch *b, enum shelf_table table, MDB_val key, MDB_val *value)
{
	return shelf_error(mdb_get(b->txn, b->s->table[table], &key, value));
}

static int put(const struct batch *b, enum shelf_table table, MDB_val key, MDB_val value)
{
	return shelf_error(mdb_put(b->txn, b->s->table[table], &key, &value, 0));
}

static int del(const struct batch *b, enum shelf_table table, MDB_val key)
{
	int rc = shelf_error(mdb_del(b->txn, b->s->table[table], &key, NULL));

	return rc == -ENOENT ? 0 : rc;
}

/* ---- volumes ---- */

/* The volume has ${records} more, of ${bytes} together; *${number} is its own.  With none left it is forgotten, so that strangers' volumes
 * leave nothing behind. */
static int count_volume(struct batch *b, const struct address *volume, int64_t bytes, int records, uint32_t *number)
{
	MDB_val key = shelf_value(volume->b, ADDRESS_LEN), value, number_key;
	uint8_t row[SHELF_VOLUME_LEN] = { 0 };
	int rc = get(b, SHELF_VOLUMES, key, &value);

	if (rc == 0 && value.mv_size != SHELF_VOLUME_LEN)
		return -EUCLEAN;
	if (rc == 0) {
		memcpy(row, value.mv_data, SHELF_VOLUME_LEN);
	} else if (rc == -ENOENT && records > 0) {
		put_le32(row, ++b->meta.numbers);
		rc = put(b, SHELF_NUMBERS, shelf_value(row, 4), key);
	}
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	*number = get_le32(row);
	put_le64(row + 4, get_le64(row + 4) + (uint64_t)bytes);
	put_le64(row + 12, get_le64(row + 12) + (uint64_t)(int64_t)records);
	if (get_le64(row + 12) > 0)
		return put(b, SHELF_VOLUMES, key, shelf_value(row, SHELF_VOLUME_LEN));
	number_key = shelf_value(row, 4);
	rc = del(b, SHELF_NUMBERS, number_key);
	return rc < 0 ? rc : del(b, SHELF_VOLUMES, key);
}

/* ---- records ---- */

/* A row, and in which table it is; 0: there is none. */
struct row {
	unsigned int states;
	uint32_t number, bytes;
};

static struct row find(const struct batch *b, const struct address *a)
{
	struct row r = { 0 };
	MDB_val value;

	r.states = shelf_find(b->s, b->txn, a, &value);
	if (r.states) {
		r.number = get_le32(value.mv_data);
		r.bytes = get_le32((const uint8_t *)value.mv_data + 4);
	}
	return r;
}

static unsigned int standing(unsigned int states)
{
	states &= STATE_ANY;
	return states & (STATE_OWNED | STATE_FOREIGN) ? states & ~(unsigned int)STATE_CACHED : states;
}

static int set(struct batch *b, const struct address *a, const struct row *old, unsigned int states, struct row new)
{
	MDB_val key = shelf_value(a->b, ADDRESS_LEN);
	uint8_t value[SHELF_RECORD_LEN];
	int rc = 0;

	if (old->states == states)
		return 0;
	if (old->states) {
		b->meta.bytes[old->states] -= old->bytes;
		rc = del(b, (enum shelf_table)old->states, key);
	}
	if (rc < 0 || !states)
		return rc;
	b->meta.bytes[states] += new.bytes;
	put_le32(value, new.number);
	put_le32(value + 4, new.bytes);
	return put(b, (enum shelf_table)states, key, shelf_value(value, sizeof(value)));
}

static int forget(struct batch *b, const struct address *a, const struct row *old)
{
	uint8_t number[4];
	struct address volume;
	uint32_t unused;
	MDB_val value;
	int rc = set(b, a, old, 0, *old);

	if (rc < 0 || !old->number)
		return rc;
	put_le32(number, old->number);
	rc = get(b, SHELF_NUMBERS, shelf_value(number, 4), &value);
	if (rc < 0 || value.mv_size != ADDRESS_LEN)
		return rc == -ENOENT ? 0 : rc < 0 ? rc : -EUCLEAN;
	memcpy(&volume, value.mv_data, ADDRESS_LEN);
	return count_volume(b, &volume, -(int64_t)old->bytes, -1, &unused);
}

static int add(struct batch *b, const struct shelf_change *c)
{
	static const struct address nobody;
	struct row old = find(b, &c->address), new = old;
	unsigned int had = old.states ? old.states : c->known ? STATE_FOREIGN : 0;
	int rc = 0;

	assert(c->states & STATE_ANY);
	if (!old.states) {
		new.bytes = c->bytes;
		if (!address_equal(&c->volume, &nobody))
			rc = count_volume(b, &c->volume, c->bytes, 1, &new.number);
	}
	if (rc == 0 && b->s->has_own && address_equal(&c->volume, &b->s->own))
		rc = shelf_fresh_add(b->s, b->txn, &c->address);
	return rc < 0 ? rc : set(b, &c->address, &old, standing(had | c->states), new);
}

static int set_states(struct batch *b, struct shelf_change *c)
{
	struct row old = find(b, &c->address), new = old;
	uint32_t len;

	assert(c->states & STATE_ANY);
	c->result = store_here(b->s->store, &c->address, NULL, &len);
	if (c->result < 0)
		return c->result == -ENOENT && old.states ? forget(b, &c->address, &old) : 0;
	if (!old.states)
		new.bytes = len;
	return set(b, &c->address, &old, standing(c->states), new);
}

static int set_row(struct batch *b, const struct shelf_change *c)
{
	uint8_t k[SHELF_ROW_KEY];
	MDB_val key = shelf_value(k, sizeof(k)), value;
	int rc;

	shelf_row_key(&c->row, k);
	if (!c->chunk)
		return del(b, SHELF_ROWS, key);
	value = (MDB_val){ (size_t)c->chunk->len + SHELF_SUM, NULL };
	rc = shelf_error(mdb_put(b->txn, b->s->table[SHELF_ROWS], &key, &value, MDB_RESERVE));
	if (rc < 0)
		return rc;
	memcpy(value.mv_data, c->chunk->data, c->chunk->len);
	put_le64((uint8_t *)value.mv_data + c->chunk->len, shelf_sum(b->s, SHELF_ROWS, key, c->chunk->data, c->chunk->len));
	return 0;
}

static int apply(struct batch *b, struct shelf_change *c)
{
	struct row old;
	int rc = 0;

	c->result = 0;
	switch (c->kind) {
	case SHELF_ADD:
		return add(b, c);
	case SHELF_STATES:
		return set_states(b, c);
	case SHELF_FORGET:
		old = find(b, &c->address);
		if (!old.states)
			c->result = -ENOENT;
		return old.states ? forget(b, &c->address, &old) : 0;
	case SHELF_ROW:
		return set_row(b, c);
	case SHELF_LEASE:
		rc = shelf_set_lease(b->s, b->txn, c->lease);
		if (rc == -EINVAL)
			c->result = rc;
		else if (rc == 0)
			rc = shelf_fresh_leased(b->s, b->txn, c->lease);
		return rc == -EINVAL ? 0 : rc;
	case SHELF_KEEP:
		return shelf_fresh_add(b->s, b->txn, &c->address);
	}
	return rc;
}

static size_t stale_now(struct shelf *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->stale_count;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Up to ${n} rows that were found without their record; unless it has come since. */
static int drop_stale(struct batch *b, size_t n)
{
	struct shelf *s = b->s;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	for (; n > 0 && s->stale_count > 0 && rc == 0; n--) {
		struct address a = s->stale[--s->stale_count];
		struct row old;

		pthread_mutex_unlock(&s->lock);
		old = find(b, &a);
		if (old.states && store_here(s->store, &a, NULL, NULL) == -ENOENT)
			rc = forget(b, &a, &old);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Of LMDB, at most. */
static uint64_t pages_of(const struct batch *b, size_t stale, const struct shelf_change *changes, size_t n)
{
	uint64_t pages = (stale + n) * PAGES_CHANGE + 64;

	for (size_t i = 0; i < n; i++) {
		const struct shelf_change *c = &changes[i];

		if (c->kind == SHELF_ROW && c->chunk)
			pages += c->chunk->len / PAGE_BYTES;
		if (c->kind == SHELF_LEASE) {
			uint64_t addresses = shelf_lease_count(b->s, b->txn, c->lease) + (uint64_t)c->lease->count;

			pages += addresses + addresses / SHELF_PAGE * 2 + (c->lease->blob ? c->lease->blob->len / PAGE_BYTES : 0);
		}
	}
	return pages;
}

static int commit(struct batch *b, struct shelf_change *changes, size_t n)
{
	struct shelf *s = b->s;
	size_t stale = stale_now(s);
	int rc = shelf_error(mdb_txn_begin(s->env, NULL, 0, &b->txn));

	if (rc < 0)
		return rc;
	rc = shelf_grow(s, pages_of(b, stale, changes, n));
	if (rc == 0)
		rc = drop_stale(b, stale);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = apply(b, &changes[i]);
	if (rc == 0)
		rc = shelf_put_meta(s, b->txn, &b->meta);
	if (rc < 0) {
		mdb_txn_abort(b->txn);
		return rc;
	}
	rc = shelf_error(mdb_txn_commit(b->txn));
	/* The changes are made whatever this says; the next commit begins with the same. */
	if (rc == 0)
		shelf_grow(s, 0);
	return rc;
}

/* After a commit that failed: a full disk is got over; but where LMDB goes on no more, its readers find nothing, either. */
static void look_again(struct shelf *s, int rc)
{
	MDB_txn *txn;

	if (rc == -EUCLEAN)
		shelf_read_failed(s, rc);
	if (shelf_reader(s, &txn) == 0)
		shelf_reader_end(s, txn);
}

int shelf_commit(struct shelf *s, struct shelf_change *changes, size_t n)
{
	struct batch b = { .s = s };
	int rc;

	pthread_mutex_lock(&s->write_lock);
	b.meta = s->meta;
	rc = commit(&b, changes, n);
	if (rc < 0)
		look_again(s, rc);
	s->failed = rc;
	if (rc == 0) {
		pthread_mutex_lock(&s->lock);
		s->meta = b.meta;
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->write_lock);
	for (size_t i = 0; i < n && rc < 0; i++)
		changes[i].result = rc;
	return rc;
}
