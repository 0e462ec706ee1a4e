/* Leases on the shelf: their addresses in pages, and of each address how many of them have it. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/limits.h"

struct lease_change {
	struct shelf *s;
	MDB_txn *txn;
	uint8_t key[SHELF_LEASE_KEY];
	struct address *old;
	uint32_t old_count;
};

static void begin(struct lease_change *l, struct shelf *s, MDB_txn *txn, const struct catalogue_lease *of)
{
	*l = (struct lease_change){ .s = s, .txn = txn };
	shelf_lease_key(of->slot, &of->volume, l->key);
}

/* As it says, but for a number that no lease can have: then its pages have more, which is found. */
static uint32_t count_of(struct lease_change *l)
{
	MDB_val key = shelf_value(l->key, sizeof(l->key)), value;
	uint32_t n;

	if (mdb_get(l->txn, l->s->table[SHELF_LEASES], &key, &value) || value.mv_size < SHELF_LEASE_HEAD)
		return 0;
	n = get_le32(value.mv_data);
	return n < LEASE_ADDRESSES_MAX ? n : LEASE_ADDRESSES_MAX;
}

uint32_t shelf_lease_count(struct shelf *s, MDB_txn *txn, const struct catalogue_lease *of)
{
	struct lease_change l;

	begin(&l, s, txn, of);
	return count_of(&l);
}

/* Out of their pages, which go. */
static int take_old(struct lease_change *l)
{
	uint8_t from[SHELF_PAGE_KEY] = { 0 };
	MDB_val key = shelf_value(from, sizeof(from)), value;
	uint32_t room = count_of(l);
	MDB_cursor *cursor;
	int rc;

	memcpy(from, l->key, sizeof(l->key));
	l->old = malloc((room + 1) * sizeof(*l->old));
	if (!l->old)
		return -ENOMEM;
	rc = mdb_cursor_open(l->txn, l->s->table[SHELF_PAGES], &cursor);
	if (rc)
		return shelf_error(rc);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && shelf_begins(key, l->key, sizeof(l->key))) {
		uint32_t n = (uint32_t)(value.mv_size / ADDRESS_LEN);

		if (n > room - l->old_count) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(l->old + l->old_count, value.mv_data, n * sizeof(*l->old));
		l->old_count += n;
		rc = mdb_cursor_del(cursor, 0);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : shelf_error(rc);
}

static int count_leased(MDB_cursor *cursor, const struct address *a, bool more)
{
	MDB_val key = shelf_value(a->b, ADDRESS_LEN), value;
	uint8_t leases[4];
	uint32_t n = 0;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET);

	if (rc && rc != MDB_NOTFOUND)
		return shelf_error(rc);
	if (rc == 0 && value.mv_size == sizeof(leases))
		n = get_le32(value.mv_data);
	if (!more && n <= 1)
		return rc == 0 ? shelf_error(mdb_cursor_del(cursor, 0)) : 0;
	put_le32(leases, more ? n + 1 : n - 1);
	key = shelf_value(a->b, ADDRESS_LEN);
	value = shelf_value(leases, sizeof(leases));
	return shelf_error(mdb_cursor_put(cursor, &key, &value, 0));
}

/* Only those that are in one of both change their counts: mostly a lease follows one that was nearly the same. */
static int count_all(struct lease_change *l, const struct address *new, uint32_t n)
{
	MDB_cursor *cursor;
	uint32_t i = 0, k = 0;
	int rc = shelf_error(mdb_cursor_open(l->txn, l->s->table[SHELF_LEASED], &cursor));

	if (rc < 0)
		return rc;
	while (rc == 0 && (i < l->old_count || k < n)) {
		int order = i == l->old_count ? 1 : k == n ? -1 : address_compare(&l->old[i], &new[k]);

		if (order < 0)
			rc = count_leased(cursor, &l->old[i], false);
		else if (order > 0)
			rc = count_leased(cursor, &new[k], true);
		i += order <= 0;
		k += order >= 0;
	}
	mdb_cursor_close(cursor);
	return rc;
}

static int put_pages(struct lease_change *l, const struct address *all, uint32_t n)
{
	uint8_t k[SHELF_PAGE_KEY];
	int rc = 0;

	memcpy(k, l->key, sizeof(l->key));
	for (uint32_t i = 0, part; i < n && rc == 0; i += part) {
		MDB_val key = shelf_value(k, sizeof(k)), value;

		part = n - i < SHELF_PAGE ? n - i : SHELF_PAGE;
		memcpy(k + SHELF_LEASE_KEY, all[i].b, ADDRESS_LEN);
		value = shelf_value(all + i, part * sizeof(*all));
		rc = shelf_error(mdb_put(l->txn, l->s->table[SHELF_PAGES], &key, &value, 0));
	}
	return rc;
}

static int put_blob(struct lease_change *l, const struct catalogue_lease *new)
{
	size_t len = SHELF_LEASE_HEAD + (size_t)new->blob->len;
	MDB_val key = shelf_value(l->key, sizeof(l->key)), value = { len + SHELF_SUM, NULL };
	int rc = shelf_error(mdb_put(l->txn, l->s->table[SHELF_LEASES], &key, &value, MDB_RESERVE));
	uint8_t *out = value.mv_data;

	if (rc < 0)
		return rc;
	put_le32(out, new->count);
	put_le64(out + 4, shelf_sum(l->s, SHELF_PAGES, key, new->addresses, new->count * sizeof(*new->addresses)));
	memcpy(out + SHELF_LEASE_HEAD, new->blob->data, new->blob->len);
	put_le64(out + len, shelf_sum(l->s, SHELF_LEASES, key, out, len));
	return 0;
}

int shelf_set_lease(struct shelf *s, MDB_txn *txn, const struct catalogue_lease *new)
{
	uint32_t count = new->blob ? new->count : 0;
	struct lease_change l;
	MDB_val key;
	int rc;

	for (uint32_t i = 1; i < count; i++)
		if (address_compare(&new->addresses[i - 1], &new->addresses[i]) >= 0)
			return -EINVAL;
	begin(&l, s, txn, new);
	key = shelf_value(l.key, sizeof(l.key));
	rc = take_old(&l);
	if (rc == 0)
		rc = count_all(&l, new->addresses, count);
	if (rc == 0)
		rc = put_pages(&l, new->addresses, count);
	if (rc == 0)
		rc = new->blob ? put_blob(&l, new) : shelf_error(mdb_del(txn, s->table[SHELF_LEASES], &key, NULL));
	free(l.old);
	return rc == -ENOENT ? 0 : rc;
}
