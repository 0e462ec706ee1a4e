/* The ledger's rows of segments, which are kept in memory too. */
#include "dht/ledger_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

/* The first that is not below ${number}. */
static size_t row_place(const struct rows *t, uint32_t number)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->all[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct ledger_segment *rows_find(const struct rows *t, uint32_t number)
{
	size_t i = row_place(t, number);

	return i < t->count && t->all[i].number == number ? &t->all[i] : NULL;
}

struct ledger_segment *rows_at(struct rows *t, uint32_t number)
{
	struct ledger_segment *row = rows_find(t, number);
	size_t i = row_place(t, number);

	if (row)
		return row;
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct ledger_segment *all = realloc(t->all, room * sizeof(*all));

		if (!all)
			return NULL;
		t->all = all;
		t->room = room;
	}
	memmove(&t->all[i + 1], &t->all[i], (t->count - i) * sizeof(*t->all));
	t->all[i] = (struct ledger_segment){ .number = number };
	t->count++;
	return &t->all[i];
}

int rows_copy(struct rows *to, const struct rows *from)
{
	*to = (struct rows){ .count = from->count, .room = from->count + 64 };
	to->all = malloc(to->room * sizeof(*to->all));
	if (!to->all)
		return -ENOMEM;
	if (from->count > 0)
		memcpy(to->all, from->all, from->count * sizeof(*to->all));
	return 0;
}

static int load(struct ledger *l, const MDB_val *key, const MDB_val *value)
{
	const uint8_t *k = key->mv_data, *v = value->mv_data;
	struct ledger_segment *row;

	if (key->mv_size != 4 || value->mv_size != ROW_LEN)
		return -EUCLEAN;
	row = rows_at(&l->rows, (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 | (uint32_t)k[2] << 8 | k[3]);
	if (!row)
		return -ENOMEM;
	row->end = get_le32(v);
	row->live = get_le32(v + 4);
	return 0;
}

int rows_load(struct ledger *l, MDB_txn *txn)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	int rc = ledger_error(mdb_cursor_open(txn, l->table[TABLE_SEGMENTS], &cursor));

	if (rc < 0)
		return rc;
	while (rc == 0 && (rc = ledger_error(mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) == 0)
		rc = load(l, &key, &value);
	mdb_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

/* A row that says nothing is none. */
static int store(struct ledger *l, MDB_txn *txn, const struct ledger_segment *row)
{
	uint8_t number[4], is[ROW_LEN];
	MDB_val key, value;
	int rc;

	/* Big-endian, so that rows come in the order of their numbers. */
	for (int i = 0; i < 4; i++)
		number[i] = (uint8_t)(row->number >> (24 - 8 * i));
	put_le32(is, row->end);
	put_le32(is + 4, row->live);
	key = ledger_value(number, sizeof(number));
	value = ledger_value(is, sizeof(is));
	if (row->end > 0 || row->live > 0)
		return ledger_error(mdb_put(txn, l->table[TABLE_SEGMENTS], &key, &value, 0));
	rc = mdb_del(txn, l->table[TABLE_SEGMENTS], &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : ledger_error(rc);
}

int rows_store(struct ledger *l, MDB_txn *txn, struct rows *t)
{
	size_t kept = 0;
	int rc = 0;

	for (size_t i = 0; i < t->count && rc == 0; i++) {
		struct ledger_segment now = t->all[i];
		const struct ledger_segment *was = rows_find(&l->rows, now.number);

		if (!was || was->end != now.end || was->live != now.live)
			rc = store(l, txn, &now);
		if (now.end > 0 || now.live > 0)
			t->all[kept++] = now;
	}
	t->count = kept;
	return rc;
}

int ledger_segments(struct ledger *l,
    int (*each)(void *arg, const struct ledger_segment *row), void *arg)
{
	int stop = 0;

	for (size_t i = 0; i < l->rows.count && !stop; i++)
		stop = each(arg, &l->rows.all[i]);
	return stop;
}

uint32_t ledger_live(struct ledger *l, uint32_t segment)
{
	const struct ledger_segment *row;
	uint32_t live;

	pthread_mutex_lock(&l->lock);
	row = rows_find(&l->rows, segment);
	live = row ? row->live : 0;
	pthread_mutex_unlock(&l->lock);
	return live;
}
