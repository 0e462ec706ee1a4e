/*
 * Any keys and values in the tables of the shelf, as a disk that lies may have them: first rows for the tables, each a table, two
 * lengths and bytes, with its sum or without; then all that the node asks, and changes of what is there.  LMDB's own pages are whole.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/bytes.h"
#include "dht/net/ring.h"
#include "dht/peer/shelf_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define LIST 64u
#define VALUE_MAX 8192u
#define SUMMED	 0x80u

static char dir[] = "/tmp/fuzz_shelf.XXXXXX";
static struct store *store;
static struct shelf *shelf;

static void remove_all(void)
{
	static const char *const names[] = { "format", "ledger", "ledger-lock", "lock", "shelf", "shelf-lock", "shelf-damaged" };
	char path[128];

	shelf_close(shelf);
	store_close(store);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct dht_options o = { .dir = dir };
	char why[512];

	(void)argc, (void)argv;
	if (!mkdtemp(dir) || store_open(&o, false, NULL, NULL, NULL, &store, why, sizeof(why)) < 0 ||
	    shelf_open(dir, store, &shelf, why, sizeof(why)) < 0)
		abort();
	mdb_env_set_flags(shelf->env, MDB_NOSYNC, 1);
	atexit(remove_all);
	return 0;
}

/* Keys are as long as LMDB's own, mostly: what is of another length is seen by its length. */
static size_t fill(MDB_txn *txn, const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (size - at > 4 && (data[at] & ~SUMMED) < SHELF_TABLES) {
		unsigned int table = data[at] & ~SUMMED;
		bool summed = data[at] & SUMMED && data[at + 1] <= SHELF_PAGE_KEY;
		size_t key_len = data[at + 1], value_len = (size_t)data[at + 2] | (size_t)data[at + 3] << 8;
		uint8_t key_bytes[256] = { 0 }, value_bytes[VALUE_MAX + SHELF_SUM] = { 0 };
		MDB_val key = { key_len, key_bytes }, value = { value_len % VALUE_MAX, value_bytes };
		size_t left = size - (at += 4), n = key_len < left ? key_len : left;

		memcpy(key_bytes, data + at, n);
		at += n;
		left -= n;
		n = value.mv_size < left ? value.mv_size : left;
		memcpy(value_bytes, data + at, n);
		at += n;
		if (summed) {
			put_le64(value_bytes + value.mv_size, shelf_sum(shelf, (enum shelf_table)table, key, value_bytes, value.mv_size));
			value.mv_size += SHELF_SUM;
		}
		if (table != SHELF_META && key_len > 0)
			mdb_put(txn, shelf->table[table], &key, &value, 0);
	}
	return at;
}

static void ask(const struct address *a)
{
	struct catalogue *c = shelf_catalogue(shelf);
	struct address out[LIST], cursor = *a, *all, volume;
	struct catalogue_row_key row = { ROW_HEAD, *a };
	struct shelf_totals t;
	uint32_t count;

	c->state(c, a);
	c->leased(c, a);
	c->volume_bytes(c, a);
	shelf_volume(shelf, a, &volume);
	for (unsigned int states = 0; states < 16; states++)
		assert(c->list(c, states % 2 ? a : NULL, states, LIST, out) <= LIST);
	chunk_drop(c->row(c, &row));
	c->rows(c, ROW_HEAD, a, out);
	c->rows(c, ROW_HEAD, NULL, out);
	chunk_drop(c->lease(c, a, ring_slot(a)));
	c->lease_next(c, ring_slot(a), a, out);
	assert(c->lease_list(c, a, ring_slot(a), a, LIST, out) <= LIST);
	assert(c->lease_list(c, a, ring_slot(a), NULL, LIST, out) <= LIST);
	shelf_evict(shelf, &cursor, true, LIST, out);
	cursor = *a;
	shelf_fresh(shelf, &cursor, LIST, out);
	chunk_drop(shelf_lease(shelf, a, ring_slot(a)));
	if (shelf_lease_list(shelf, a, ring_slot(a), &all, &count) == 0)
		free(all);
	shelf_totals(shelf, &t);
}

static void change(const struct address *a)
{
	struct chunk *blob = chunk_copy("blob", 4);
	const struct catalogue_lease lease = { .volume = *a, .slot = (uint16_t)ring_slot(a), .blob = blob, .addresses = a, .count = 1 };
	struct shelf_change changes[] = {
		{ .kind = SHELF_ADD, .address = *a, .states = STATE_CACHED, .volume = *a, .bytes = 1 },
		{ .kind = SHELF_STATES, .address = *a, .states = STATE_OWNED },
		{ .kind = SHELF_LEASE, .lease = &lease },
		{ .kind = SHELF_KEEP, .address = *a },
		{ .kind = SHELF_FORGET, .address = *a },
	};

	shelf_own(shelf, a);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
		shelf_commit(shelf, &changes[i], 1);
	chunk_drop(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address a = { { 0 } };
	MDB_txn *txn;
	size_t at;

	if (mdb_txn_begin(shelf->env, NULL, 0, &txn))
		abort();
	for (unsigned int i = 1; i < SHELF_TABLES; i++)
		if (mdb_drop(txn, shelf->table[i], 0))
			abort();
	at = fill(txn, data, size);
	if (shelf_grow(shelf, size / 64 + 512) < 0 || mdb_txn_commit(txn) || shelf_grow(shelf, 0) < 0)
		abort();
	size -= at;
	memcpy(a.b, data + at, size < ADDRESS_LEN ? size : ADDRESS_LEN);
	ask(&a);
	change(&a);
	ask(&a);
	return 0;
}
