/* The volume that is written here: what no lease of it holds yet, and what its leases hold. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/limits.h"
#include "dht/net/ring.h"

#define OWN_KEY	  "own"		/* in SHELF_META */
#define BASE_KEY  "base"	/* likewise: 8 bytes */
#define STEP	  4096u		/* rows looked at in one go */

int shelf_load_own(struct shelf *s, MDB_txn *txn)
{
	MDB_val key = shelf_value(OWN_KEY, sizeof(OWN_KEY) - 1), value;
	int rc = mdb_get(txn, s->table[SHELF_META], &key, &value);

	if (rc == 0 && value.mv_size != ADDRESS_LEN)
		rc = MDB_CORRUPTED;
	if (rc == 0) {
		memcpy(&s->own, value.mv_data, ADDRESS_LEN);
		s->has_own = true;
	}
	return rc == MDB_NOTFOUND ? 0 : shelf_error(rc);
}

/* Records from ${cursor} on that are here on nobody's behalf, of ${STEP} that are looked at.  1: more; 0: that was all; -errno. */
static int nobodys(struct shelf *s, struct address *cursor, struct address *out, size_t *count)
{
	struct shelf_walk w;
	MDB_txn *txn;
	int rc = shelf_reader(s, &txn);
	bool more;

	*count = 0;
	if (rc < 0)
		return rc;
	rc = shelf_walk(&w, s, txn, STATE_ANY);
	if (rc == 0)
		rc = shelf_walk_to(&w, cursor);
	for (size_t i = 0; rc == 0 && i < STEP && shelf_walk_at(&w); i++) {
		MDB_val value;

		memcpy(&out[*count], shelf_walk_at(&w), ADDRESS_LEN);
		if (shelf_find(s, txn, &out[*count], &value) && get_le32(value.mv_data) == 0)
			++*count;
		rc = shelf_walk_next(&w);
	}
	more = shelf_walk_at(&w) != NULL;
	if (more)
		memcpy(cursor, shelf_walk_at(&w), sizeof(*cursor));
	shelf_walk_end(&w);
	shelf_reader_end(s, txn);
	return rc < 0 ? rc : more;
}

/* What was here before the volume was: a store that was used alone. */
static int adopt(struct shelf *s)
{
	struct address cursor = { .b = { 0 } }, *some = malloc(STEP * sizeof(*some));
	int rc = some ? 1 : -ENOMEM, kept;
	size_t n;

	while (rc > 0) {
		rc = nobodys(s, &cursor, some, &n);
		kept = rc < 0 ? rc : shelf_keep(s, some, n);
		if (kept < 0)
			rc = kept;
	}
	free(some);
	return rc;
}

static int put_meta(struct shelf *s, MDB_val key, MDB_val value)
{
	MDB_txn *txn;
	int rc;

	pthread_mutex_lock(&s->write_lock);
	rc = shelf_grow(s, 64);
	if (rc == 0)
		rc = shelf_error(mdb_txn_begin(s->env, NULL, 0, &txn));
	if (rc == 0) {
		rc = shelf_error(mdb_put(txn, s->table[SHELF_META], &key, &value, 0));
		if (rc == 0)
			rc = shelf_error(mdb_txn_commit(txn));
		else
			mdb_txn_abort(txn);
	}
	pthread_mutex_unlock(&s->write_lock);
	return rc;
}

bool shelf_owns(struct shelf *s, const struct address *volume)
{
	bool owns;

	pthread_mutex_lock(&s->write_lock);
	owns = s->has_own && address_equal(&s->own, volume);
	pthread_mutex_unlock(&s->write_lock);
	return owns;
}

int shelf_base(struct shelf *s, uint64_t *base)
{
	MDB_val key = shelf_value(BASE_KEY, sizeof(BASE_KEY) - 1), value;
	MDB_txn *txn;
	int rc = shelf_reader(s, &txn);

	if (rc < 0)
		return rc;
	rc = shelf_error(mdb_get(txn, s->table[SHELF_META], &key, &value));
	if (rc == 0 && value.mv_size != 8)
		rc = -EUCLEAN;
	if (rc == 0)
		*base = get_le64(value.mv_data);
	shelf_reader_end(s, txn);
	return rc;
}

int shelf_put_base(struct shelf *s, uint64_t base)
{
	uint8_t b[8];

	put_le64(b, base);
	return put_meta(s, shelf_value(BASE_KEY, sizeof(BASE_KEY) - 1), shelf_value(b, sizeof(b)));
}

int shelf_own(struct shelf *s, const struct address *volume)
{
	struct address before;
	bool had;
	int rc;

	pthread_mutex_lock(&s->write_lock);
	before = s->own;
	had = s->has_own;
	s->own = *volume;
	s->has_own = true;
	pthread_mutex_unlock(&s->write_lock);
	if (had && address_equal(&before, volume))
		return 0;
	/* In this order: who is killed in between does it once more, and so does who is told again of what failed. */
	rc = adopt(s);
	if (rc == 0)
		rc = put_meta(s, shelf_value(OWN_KEY, sizeof(OWN_KEY) - 1), shelf_value(volume->b, ADDRESS_LEN));
	if (rc < 0) {
		pthread_mutex_lock(&s->write_lock);
		s->own = before;
		s->has_own = had;
		pthread_mutex_unlock(&s->write_lock);
	}
	return rc;
}

void shelf_behind(struct shelf *s)
{
	pthread_mutex_lock(&s->write_lock);
	s->behind = true;
	pthread_mutex_unlock(&s->write_lock);
}

void shelf_collecting(struct shelf *s, bool collecting)
{
	pthread_mutex_lock(&s->write_lock);
	s->collecting = collecting;
	pthread_mutex_unlock(&s->write_lock);
}

/* Is it in the page of the lease in which it would be?  1, 0 or -errno. */
static int own_lease_has(struct shelf *s, MDB_txn *txn, const struct address *a)
{
	uint8_t at[SHELF_PAGE_KEY] = { 0 };
	MDB_val key = shelf_value(at, sizeof(at)), value;
	MDB_cursor *cursor;
	bool found = false;
	int rc = mdb_cursor_open(txn, s->table[SHELF_PAGES], &cursor);

	shelf_lease_key(ring_slot(a), &s->own, at);
	memcpy(at + SHELF_LEASE_KEY, a->b, ADDRESS_LEN);
	if (rc == 0) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		/* It begins with ${a}, or is the one before. */
		if (rc == MDB_NOTFOUND || (rc == 0 && !shelf_begins(key, at, sizeof(at))))
			rc = mdb_cursor_get(cursor, &key, &value, rc ? MDB_LAST : MDB_PREV);
		if (rc == 0 && shelf_begins(key, at, SHELF_LEASE_KEY))
			found = bsearch(a, value.mv_data, value.mv_size / ADDRESS_LEN, ADDRESS_LEN,
			    (int (*)(const void *, const void *))address_compare) != NULL;
		mdb_cursor_close(cursor);
	}
	return rc && rc != MDB_NOTFOUND ? shelf_error(rc) : found;
}

bool shelf_is_fresh(struct shelf *s, MDB_txn *txn, const struct address *a)
{
	MDB_val key = shelf_value(a->b, ADDRESS_LEN), value;
	int rc = shelf_error(mdb_get(txn, s->table[SHELF_FRESHS], &key, &value));

	shelf_read_failed(s, rc);
	return rc == 0;
}

int shelf_fresh_add(struct shelf *s, MDB_txn *txn, const struct address *a)
{
	MDB_val key = shelf_value(a->b, ADDRESS_LEN), value = shelf_value("", 0);

	/* What a lease holds now, a collection under way may be about to leave out. */
	if (!s->has_own || (!s->collecting && own_lease_has(s, txn, a) > 0))
		return 0;
	return shelf_error(mdb_put(txn, s->table[SHELF_FRESHS], &key, &value, 0));
}

int shelf_fresh_leased(struct shelf *s, MDB_txn *txn, const struct catalogue_lease *l)
{
	struct address first = { .b = { (uint8_t)(l->slot >> 6), (uint8_t)(l->slot << 2) } };
	MDB_val key = shelf_value(first.b, ADDRESS_LEN), value;
	MDB_cursor *cursor;
	int rc;

	if (!s->has_own || !l->blob || !address_equal(&l->volume, &s->own))
		return 0;
	rc = mdb_cursor_open(txn, s->table[SHELF_FRESHS], &cursor);
	if (rc)
		return shelf_error(rc);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && key.mv_size == ADDRESS_LEN && ring_slot(key.mv_data) == l->slot) {
		if (bsearch(key.mv_data, l->addresses, l->count, ADDRESS_LEN, (int (*)(const void *, const void *))address_compare))
			rc = mdb_cursor_del(cursor, 0);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : shelf_error(rc);
}

/* The last that was found; the cursor's place is behind it.  The end stays the end. */
static void move_behind(struct address *cursor, const struct address *last)
{
	if (!address_next(last, cursor))
		memset(cursor, 0xff, sizeof(*cursor));
}

int shelf_fresh(struct shelf *s, struct address *cursor, size_t n, struct address *out)
{
	MDB_val key = shelf_value(cursor->b, ADDRESS_LEN), value;
	MDB_cursor *at;
	MDB_txn *txn;
	size_t found = 0;
	int rc = shelf_reader(s, &txn);

	if (rc < 0)
		return rc;
	rc = mdb_cursor_open(txn, s->table[SHELF_FRESHS], &at);
	if (rc == 0) {
		rc = mdb_cursor_get(at, &key, &value, MDB_SET_RANGE);
		while (rc == 0 && found < n && key.mv_size == ADDRESS_LEN) {
			memcpy(&out[found++], key.mv_data, ADDRESS_LEN);
			rc = mdb_cursor_get(at, &key, &value, MDB_NEXT);
		}
		mdb_cursor_close(at);
	}
	shelf_reader_end(s, txn);
	if (rc && rc != MDB_NOTFOUND)
		return shelf_error(rc);
	if (found > 0)
		move_behind(cursor, &out[found - 1]);
	return (int)found;
}

/* Written for it first, or in a lease of it, or to be in one. */
static bool is_own(struct shelf *s, MDB_txn *txn, const struct address *a, MDB_val row, uint32_t number)
{
	int has;

	if ((number && get_le32(row.mv_data) == number) || shelf_is_fresh(s, txn, a))
		return true;
	has = own_lease_has(s, txn, a);
	shelf_read_failed(s, has);
	return has > 0;
}

/* Of ${STEP} rows at most.  Sets ${more}. */
static int look_unconfirmed(struct shelf *s, struct address *cursor, size_t n, struct address *out, bool *more)
{
	MDB_val key = shelf_value(s->own.b, ADDRESS_LEN), value;
	struct shelf_walk w = { .least = 0 };
	uint32_t number = 0;
	size_t found = 0;
	MDB_txn *txn;
	int rc = shelf_reader(s, &txn);

	if (rc < 0)
		return rc;
	rc = shelf_error(mdb_get(txn, s->table[SHELF_VOLUMES], &key, &value));
	if (rc == 0 && value.mv_size == SHELF_VOLUME_LEN)
		number = get_le32(value.mv_data);
	if (rc == 0 || rc == -ENOENT)
		rc = shelf_walk(&w, s, txn, STATE_FOREIGN);
	if (rc == 0)
		rc = shelf_walk_to(&w, cursor);
	for (size_t i = 0; rc == 0 && i < STEP && found < n && shelf_walk_at(&w); i++) {
		memcpy(&out[found], shelf_walk_at(&w), ADDRESS_LEN);
		if (shelf_find(s, txn, &out[found], &value) && is_own(s, txn, &out[found], value, number))
			found++;
		rc = shelf_walk_next(&w);
	}
	*more = shelf_walk_at(&w) != NULL;
	if (*more)
		memcpy(cursor, shelf_walk_at(&w), sizeof(*cursor));
	else
		memset(cursor, 0xff, sizeof(*cursor));
	shelf_walk_end(&w);
	shelf_reader_end(s, txn);
	return rc < 0 ? rc : (int)found;
}

int shelf_unconfirmed(struct shelf *s, struct address *cursor, size_t n, struct address *out)
{
	bool more = true;
	int rc = 0;

	while (rc == 0 && more)
		rc = look_unconfirmed(s, cursor, n, out, &more);
	/* What could not be read was passed over. */
	return shelf_broken(s) ? shelf_broken(s) : rc;
}

struct chunk *shelf_lease(struct shelf *s, const struct address *volume, unsigned int slot)
{
	return s->catalogue.lease(&s->catalogue, volume, slot);
}

static int read_pages(MDB_cursor *cursor, const uint8_t *lease, struct address *out, uint32_t room, uint32_t *count)
{
	uint8_t from[SHELF_PAGE_KEY] = { 0 };
	MDB_val key = shelf_value(from, sizeof(from)), value;
	int rc;

	memcpy(from, lease, SHELF_LEASE_KEY);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && shelf_begins(key, lease, SHELF_LEASE_KEY)) {
		uint32_t n = (uint32_t)(value.mv_size / ADDRESS_LEN);

		if (n > room - *count)
			return -EUCLEAN;
		memcpy(out + *count, value.mv_data, n * sizeof(*out));
		*count += n;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	return rc == MDB_NOTFOUND ? 0 : shelf_error(rc);
}

int shelf_lease_list(struct shelf *s, const struct address *volume, unsigned int slot, struct address **out, uint32_t *count)
{
	uint8_t at[SHELF_LEASE_KEY] = { 0 };
	MDB_val key = shelf_value(at, sizeof(at)), value;
	MDB_cursor *cursor;
	uint32_t room = 0;
	uint64_t sum = 0;
	MDB_txn *txn;
	int rc = shelf_reader(s, &txn);

	*out = NULL;
	*count = 0;
	if (rc < 0)
		return rc;
	shelf_lease_key(slot, volume, at);
	rc = shelf_error(mdb_get(txn, s->table[SHELF_LEASES], &key, &value));
	if (rc == 0)
		rc = shelf_unseal(s, SHELF_LEASES, key, &value);
	if (rc == 0) {
		room = get_le32(value.mv_data);
		sum = get_le64((const uint8_t *)value.mv_data + 4);
	}
	if (room > LEASE_ADDRESSES_MAX)
		rc = -EUCLEAN;
	if (rc == 0 && room > 0)
		rc = shelf_error(mdb_cursor_open(txn, s->table[SHELF_PAGES], &cursor));
	if (rc == 0 && room > 0) {
		*out = malloc(room * sizeof(**out));
		rc = *out ? read_pages(cursor, at, *out, room, count) : -ENOMEM;
		mdb_cursor_close(cursor);
	}
	/* A lease that is made of it is to leave nothing out that was not asked for. */
	if (rc == 0 && (*count != room || (room > 0 && sum != shelf_sum(s, SHELF_PAGES, key, *out, room * sizeof(**out)))))
		rc = -EUCLEAN;
	shelf_reader_end(s, txn);
	if (rc == -ENOENT)
		rc = 0;
	shelf_read_failed(s, rc);
	if (rc < 0) {
		free(*out);
		*out = NULL;
		*count = 0;
	}
	return rc;
}

int shelf_keep(struct shelf *s, const struct address *addresses, size_t n)
{
	struct shelf_change *changes = calloc(n, sizeof(*changes));
	int rc;

	if (!changes)
		return n > 0 ? -ENOMEM : 0;
	for (size_t i = 0; i < n; i++)
		changes[i] = (struct shelf_change){ .kind = SHELF_KEEP, .address = addresses[i] };
	rc = shelf_commit(s, changes, n);
	free(changes);
	return rc;
}
