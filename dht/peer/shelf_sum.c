/* Sums behind rows and leases: LMDB's pages have none, and what is given to the node is as it was saved, or not given. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"

/* The store and the table are its key, and the row's key is part of it: what lies in a wrong place is wrong, too. */
uint64_t shelf_sum(const struct shelf *s, enum shelf_table table, MDB_val key, const void *bytes, size_t len)
{
	uint8_t k[crypto_shorthash_KEYBYTES] = { 0 }, both[SHELF_SUM + SHELF_PAGE_KEY], sum[SHELF_SUM];

	_Static_assert(SHELF_SUM == crypto_shorthash_BYTES && sizeof(k) == 16, "as SipHash-2-4 has it");
	put_le64(k, s->store_id);
	put_le32(k + 8, table);
	crypto_shorthash(both, bytes, len, k);
	memcpy(both + SHELF_SUM, key.mv_data, key.mv_size);
	crypto_shorthash(sum, both, SHELF_SUM + key.mv_size, k);
	return get_le64(sum);
}

int shelf_unseal(const struct shelf *s, enum shelf_table table, MDB_val key, MDB_val *value)
{
	size_t head = table == SHELF_LEASES ? SHELF_LEASE_HEAD : 0, len;

	if (key.mv_size > SHELF_PAGE_KEY || value->mv_size < head + SHELF_SUM)
		return -EUCLEAN;
	len = value->mv_size - SHELF_SUM;
	if (get_le64((const uint8_t *)value->mv_data + len) != shelf_sum(s, table, key, value->mv_data, len))
		return -EUCLEAN;
	value->mv_size = len;
	return 0;
}

static int check_table(const struct shelf *s, MDB_txn *txn, enum shelf_table table)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	int rc = shelf_error(mdb_cursor_open(txn, s->table[table], &cursor));

	if (rc < 0)
		return rc;
	rc = shelf_error(mdb_cursor_get(cursor, &key, &value, MDB_FIRST));
	while (rc == 0) {
		rc = shelf_unseal(s, table, key, &value);
		if (rc == 0)
			rc = shelf_error(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
	}
	mdb_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

int shelf_check_sums(const struct shelf *s, MDB_txn *txn)
{
	int rc = check_table(s, txn, SHELF_ROWS);

	return rc < 0 ? rc : check_table(s, txn, SHELF_LEASES);
}
