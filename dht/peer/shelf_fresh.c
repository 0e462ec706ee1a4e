/* The volume that is written here: what no lease of it holds yet, and what its leases hold. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/ring.h"

void shelf_own(struct shelf *s, const struct address *volume)
{
	pthread_mutex_lock(&s->write_lock);
	s->own = *volume;
	s->has_own = true;
	pthread_mutex_unlock(&s->write_lock);
}

void shelf_collecting(struct shelf *s, bool collecting)
{
	pthread_mutex_lock(&s->write_lock);
	s->collecting = collecting;
	pthread_mutex_unlock(&s->write_lock);
}

/* The page of the lease in which ${a} would be. */
static bool own_lease_has(struct shelf *s, MDB_txn *txn, const struct address *a)
{
	uint8_t at[SHELF_PAGE_KEY];
	MDB_val key = shelf_value(at, sizeof(at)), value;
	MDB_cursor *cursor;
	bool found = false;
	int rc;

	shelf_lease_key(ring_slot(a), &s->own, at);
	memcpy(at + SHELF_LEASE_KEY, a->b, ADDRESS_LEN);
	if (mdb_cursor_open(txn, s->table[SHELF_PAGES], &cursor))
		return false;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	/* It begins with ${a}, or is the one before. */
	if (rc || memcmp(key.mv_data, at, sizeof(at)) != 0)
		rc = mdb_cursor_get(cursor, &key, &value, rc ? MDB_LAST : MDB_PREV);
	if (rc == 0 && memcmp(key.mv_data, at, SHELF_LEASE_KEY) == 0)
		found = bsearch(a, value.mv_data, value.mv_size / ADDRESS_LEN, ADDRESS_LEN,
		    (int (*)(const void *, const void *))address_compare) != NULL;
	mdb_cursor_close(cursor);
	return found;
}

int shelf_fresh_add(struct shelf *s, MDB_txn *txn, const struct address *a)
{
	MDB_val key = shelf_value(a->b, ADDRESS_LEN), value = shelf_value("", 0);

	/* What a lease holds now, a collection under way may be about to leave out. */
	if (!s->has_own || (!s->collecting && own_lease_has(s, txn, a)))
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

size_t shelf_fresh(struct shelf *s, const struct address *from, size_t n, struct address *out)
{
	MDB_val key = from ? shelf_value(from->b, ADDRESS_LEN) : shelf_value(NULL, 0), value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	size_t found = 0;
	int rc;

	if (shelf_reader(s, &txn) < 0)
		return 0;
	rc = mdb_cursor_open(txn, s->table[SHELF_FRESHS], &cursor);
	if (rc == 0) {
		rc = mdb_cursor_get(cursor, &key, &value, from ? MDB_SET_RANGE : MDB_FIRST);
		while (rc == 0 && found < n) {
			memcpy(&out[found++], key.mv_data, ADDRESS_LEN);
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		}
		mdb_cursor_close(cursor);
	}
	shelf_reader_end(s, txn);
	return found;
}

struct chunk *shelf_lease(struct shelf *s, const struct address *volume, unsigned int slot)
{
	uint8_t at[SHELF_LEASE_KEY] = { 0 };
	MDB_val key = shelf_value(at, sizeof(at)), value;
	struct chunk *blob = NULL;
	MDB_txn *txn;

	shelf_lease_key(slot, volume, at);
	if (shelf_reader(s, &txn) < 0)
		return NULL;
	if (mdb_get(txn, s->table[SHELF_LEASES], &key, &value) == 0 && value.mv_size > SHELF_LEASE_HEAD)
		blob = chunk_copy((const uint8_t *)value.mv_data + SHELF_LEASE_HEAD, value.mv_size - SHELF_LEASE_HEAD);
	shelf_reader_end(s, txn);
	return blob;
}

static int read_pages(MDB_cursor *cursor, const uint8_t *lease, struct address *out, uint32_t room, uint32_t *count)
{
	uint8_t from[SHELF_PAGE_KEY] = { 0 };
	MDB_val key = shelf_value(from, sizeof(from)), value;
	int rc;

	memcpy(from, lease, SHELF_LEASE_KEY);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && memcmp(key.mv_data, lease, SHELF_LEASE_KEY) == 0) {
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
	MDB_txn *txn;
	int rc = shelf_reader(s, &txn);

	*out = NULL;
	*count = 0;
	if (rc < 0)
		return rc;
	shelf_lease_key(slot, volume, at);
	if (mdb_get(txn, s->table[SHELF_LEASES], &key, &value) == 0 && value.mv_size >= SHELF_LEASE_HEAD)
		room = get_le32(value.mv_data);
	rc = room > 0 ? shelf_error(mdb_cursor_open(txn, s->table[SHELF_PAGES], &cursor)) : 0;
	if (rc == 0 && room > 0) {
		*out = malloc(room * sizeof(**out));
		rc = *out ? read_pages(cursor, at, *out, room, count) : -ENOMEM;
		mdb_cursor_close(cursor);
	}
	shelf_reader_end(s, txn);
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
