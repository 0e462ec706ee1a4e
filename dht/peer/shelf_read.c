/* What the node asks of the shelf. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"

#define BLOCK 256	/* addresses of a list that the store is asked about at a time */

static struct shelf *of(struct catalogue *c)
{
	return (struct shelf *)c;
}

void shelf_read_failed(struct shelf *s, int rc)
{
	int none = 0;

	if (rc == -EUCLEAN)
		shelf_condemn(s);
	if (rc < 0 && rc != -ENOENT)
		atomic_compare_exchange_strong(&s->broken, &none, rc);
}

int shelf_broken(struct shelf *s)
{
	return atomic_load(&s->broken);
}

void shelf_row_key(const struct catalogue_row_key *key, uint8_t out[SHELF_ROW_KEY])
{
	out[0] = key->table;
	memcpy(out + 1, key->key.b, ADDRESS_LEN);
}

void shelf_lease_key(unsigned int slot, const struct address *volume, uint8_t out[SHELF_LEASE_KEY])
{
	out[0] = (uint8_t)(slot >> 8);
	out[1] = (uint8_t)slot;
	memcpy(out + 2, volume->b, ADDRESS_LEN);
}

unsigned int shelf_find(struct shelf *s, MDB_txn *txn, const struct address *a, MDB_val *value)
{
	static const unsigned int order[] = { SHELF_OWNED, SHELF_CACHED, SHELF_BOTH, SHELF_FOREIGN };
	MDB_val key = shelf_value(a->b, ADDRESS_LEN);
	int rc;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		rc = shelf_error(mdb_get(txn, s->table[order[i]], &key, value));
		if (rc == 0 && value->mv_size == SHELF_RECORD_LEN)
			return order[i];
		shelf_read_failed(s, rc);
	}
	return 0;
}

static bool has_lease(struct shelf *s, MDB_txn *txn, const struct address *a)
{
	MDB_val key = shelf_value(a->b, ADDRESS_LEN), value;
	int rc = shelf_error(mdb_get(txn, s->table[SHELF_LEASED], &key, &value));

	shelf_read_failed(s, rc);
	return rc == 0;
}

static void note_stale(struct shelf *s, const struct address *a)
{
	pthread_mutex_lock(&s->lock);
	if (s->stale_count < SHELF_STALE)
		s->stale[s->stale_count++] = *a;
	pthread_mutex_unlock(&s->lock);
}

static unsigned int state(struct catalogue *c, const struct address *a)
{
	struct shelf *s = of(c);
	bool leased, wanted;
	unsigned int states;
	MDB_val value;
	MDB_txn *txn;
	int rc;

	if (shelf_reader(s, &txn) < 0)
		return 0;
	states = shelf_find(s, txn, a, &value);
	leased = has_lease(s, txn, a);
	wanted = !leased && shelf_is_fresh(s, txn, a);
	shelf_reader_end(s, txn);
	/* What is on its way to the disk is not there for others before it is durable. */
	rc = states ? store_here(s->store, a, NULL, NULL) : store_here_durable(s->store, a);
	shelf_read_failed(s, rc);
	if (states && rc == -ENOENT)
		note_stale(s, a);
	if (rc < 0)
		return 0;
	if (!states)
		states = STATE_FOREIGN;
	return states | (leased ? STATE_LEASED : wanted ? STATE_WANTED : 0);
}

static bool leased(struct catalogue *c, const struct address *a)
{
	struct shelf *s = of(c);
	MDB_txn *txn;
	bool yes;

	if (shelf_reader(s, &txn) < 0)
		return false;
	yes = has_lease(s, txn, a);
	shelf_reader_end(s, txn);
	return yes;
}

/* ---- walks: several tables as one ---- */

/* After a failure there is no next: some may not be where they belong. */
static int choose(struct shelf_walk *w, int rc)
{
	w->least = 0;
	if (rc < 0)
		return rc;
	for (unsigned int i = 1; i < SHELF_RECORDS; i++)
		if (w->at[i].cursor && (!w->least || memcmp(w->at[i].key.mv_data, w->at[w->least].key.mv_data, ADDRESS_LEN) < 0))
			w->least = i;
	return 0;
}

static int step(struct shelf_walk *w, unsigned int i, MDB_cursor_op op)
{
	MDB_val value;
	int rc = mdb_cursor_get(w->at[i].cursor, &w->at[i].key, &value, op);

	if (rc == 0 && w->at[i].key.mv_size != ADDRESS_LEN)
		rc = MDB_CORRUPTED;
	if (rc) {
		mdb_cursor_close(w->at[i].cursor);
		w->at[i].cursor = NULL;
	}
	return rc == MDB_NOTFOUND ? 0 : shelf_error(rc);
}

int shelf_walk(struct shelf_walk *w, const struct shelf *s, MDB_txn *txn, unsigned int states)
{
	int rc = 0;

	*w = (struct shelf_walk){ .least = 0 };
	for (unsigned int i = 1; i < SHELF_RECORDS && rc == 0; i++)
		if (i & states)
			rc = shelf_error(mdb_cursor_open(txn, s->table[i], &w->at[i].cursor));
	return rc;
}

int shelf_walk_to(struct shelf_walk *w, const struct address *from)
{
	int rc = 0;

	for (unsigned int i = 1; i < SHELF_RECORDS && rc == 0; i++) {
		if (!w->at[i].cursor || (w->least && from && memcmp(w->at[i].key.mv_data, from->b, ADDRESS_LEN) >= 0))
			continue;
		if (from)
			w->at[i].key = shelf_value(from->b, ADDRESS_LEN);
		rc = step(w, i, from ? MDB_SET_RANGE : MDB_FIRST);
	}
	return choose(w, rc);
}

int shelf_walk_next(struct shelf_walk *w)
{
	int rc = step(w, w->least, MDB_NEXT);

	return choose(w, rc);
}

void shelf_walk_end(struct shelf_walk *w)
{
	for (unsigned int i = 1; i < SHELF_RECORDS; i++)
		if (w->at[i].cursor)
			mdb_cursor_close(w->at[i].cursor);
}

const struct address *shelf_walk_at(const struct shelf_walk *w)
{
	return w->least ? w->at[w->least].key.mv_data : NULL;
}

/* ---- lists ---- */

/* A walk, or where ${leased} is not NULL, what it and that table have in common. */
struct both {
	struct shelf_walk walk;
	MDB_cursor *leased;
};

/* The one that is behind leaps to where the other is: no more leaps than the smaller of both has rows. */
static int agree(struct both *b, bool *found)
{
	MDB_val key, value;
	struct address a;
	int rc, order;

	*found = false;
	while (b->walk.least) {
		if (!b->leased) {
			*found = true;
			return 0;
		}
		memcpy(&a, shelf_walk_at(&b->walk), sizeof(a));
		key = shelf_value(a.b, ADDRESS_LEN);
		rc = mdb_cursor_get(b->leased, &key, &value, MDB_SET_RANGE);
		if (rc == MDB_NOTFOUND)
			return 0;
		if (rc || key.mv_size != ADDRESS_LEN)
			return rc ? shelf_error(rc) : -EUCLEAN;
		order = memcmp(key.mv_data, a.b, ADDRESS_LEN);
		*found = order == 0;
		if (*found)
			return 0;
		memcpy(&a, key.mv_data, sizeof(a));
		rc = shelf_walk_to(&b->walk, &a);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Up to ${n}; fewer: that was all. */
static int take(struct both *b, size_t n, struct address *out, size_t *count)
{
	bool found = true;
	int rc = 0;

	for (*count = 0; *count < n && found && rc == 0;) {
		rc = agree(b, &found);
		if (rc == 0 && found) {
			memcpy(&out[(*count)++], shelf_walk_at(&b->walk), ADDRESS_LEN);
			rc = shelf_walk_next(&b->walk);
		}
	}
	return rc;
}

/* Those that the store has not are not here, whatever the shelf says.  How many are left, or -errno. */
static ssize_t drop_stale(struct shelf *s, struct address *all, size_t n)
{
	struct address before[BLOCK];
	ssize_t kept, k = 0;

	memcpy(before, all, n * sizeof(*all));
	kept = store_filter(s->store, all, n);
	for (size_t i = 0; i < n && kept >= 0 && (size_t)kept < n; i++) {
		if (k < kept && address_equal(&before[i], &all[k]))
			k++;
		else
			note_stale(s, &before[i]);
	}
	return kept;
}

static int list_records(struct shelf *s, MDB_txn *txn, const struct address *from, unsigned int states, size_t n, struct address *out,
    size_t *count)
{
	struct both b = { .leased = NULL };
	int rc = shelf_walk(&b.walk, s, txn, states & STATE_ANY);

	if (rc == 0 && states & STATE_LEASED)
		rc = shelf_error(mdb_cursor_open(txn, s->table[SHELF_LEASED], &b.leased));
	if (rc == 0)
		rc = shelf_walk_to(&b.walk, from);
	while (rc == 0 && *count < n) {
		size_t want = n - *count < BLOCK ? n - *count : BLOCK, got;
		ssize_t kept;

		rc = take(&b, want, out + *count, &got);
		kept = drop_stale(s, out + *count, got);
		if (kept < 0)
			rc = (int)kept;
		else
			*count += (size_t)kept;
		if (got < want)
			break;
	}
	if (b.leased)
		mdb_cursor_close(b.leased);
	shelf_walk_end(&b.walk);
	return rc;
}

static int list_leased(struct shelf *s, MDB_txn *txn, const struct address *from, size_t n, struct address *out, size_t *count)
{
	MDB_val key = shelf_value(from ? from->b : NULL, ADDRESS_LEN), value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, s->table[SHELF_LEASED], &cursor);

	if (rc)
		return shelf_error(rc);
	rc = mdb_cursor_get(cursor, &key, &value, from ? MDB_SET_RANGE : MDB_FIRST);
	while (rc == 0 && *count < n && key.mv_size == ADDRESS_LEN) {
		memcpy(&out[(*count)++], key.mv_data, ADDRESS_LEN);
		rc = *count < n ? mdb_cursor_get(cursor, &key, &value, MDB_NEXT) : 0;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : shelf_error(rc);
}

static size_t list(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out)
{
	struct shelf *s = of(c);
	size_t count = 0;
	MDB_txn *txn;
	int rc;

	if (n == 0 || shelf_reader(s, &txn) < 0)
		return 0;
	rc = states & STATE_ANY ? list_records(s, txn, from, states, n, out, &count)
	     : states & STATE_LEASED ? list_leased(s, txn, from, n, out, &count) : 0;
	shelf_reader_end(s, txn);
	shelf_read_failed(s, rc);
	return count;
}

size_t shelf_evict(struct shelf *s, struct address *cursor, bool is_leased, size_t n, struct address *out)
{
	static const struct address zeros;
	struct shelf_walk w;
	size_t count = 0;
	MDB_txn *txn;
	int rc;

	if (shelf_reader(s, &txn) < 0)
		return 0;
	rc = shelf_walk(&w, s, txn, STATE_CACHED);
	if (rc == 0)
		rc = shelf_walk_to(&w, cursor);
	while (rc == 0 && count < n && w.least) {
		struct address a;

		memcpy(&a, shelf_walk_at(&w), sizeof(a));
		if (has_lease(s, txn, &a) == is_leased)
			out[count++] = a;
		rc = shelf_walk_next(&w);
	}
	if (w.least)
		memcpy(cursor, shelf_walk_at(&w), sizeof(*cursor));
	else
		*cursor = zeros;
	shelf_walk_end(&w);
	shelf_reader_end(s, txn);
	shelf_read_failed(s, rc);
	return count;
}

/* ---- rows, leases, volumes ---- */

/* Of a row or a lease: what lies behind ${head} bytes. */
static struct chunk *get_value(struct shelf *s, enum shelf_table table, const void *bytes, size_t len, size_t head)
{
	MDB_val key = shelf_value(bytes, len), value;
	struct chunk *c = NULL;
	MDB_txn *txn;
	int rc;

	if (shelf_reader(s, &txn) < 0)
		return NULL;
	rc = shelf_error(mdb_get(txn, s->table[table], &key, &value));
	if (rc == 0)
		rc = shelf_unseal(s, table, key, &value);
	if (rc == 0)
		c = chunk_copy((const uint8_t *)value.mv_data + head, value.mv_size - head);
	shelf_reader_end(s, txn);
	shelf_read_failed(s, rc);
	return c;
}

/* The next key behind ${bytes}, or at it where ${at}, that begins with the same ${prefix} bytes: what follows them. */
static bool next_key(struct shelf *s, enum shelf_table table, const uint8_t *bytes, size_t len, bool at, size_t prefix,
    struct address *out)
{
	MDB_val key = shelf_value(bytes, len), value;
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	bool found;
	int rc;

	if (shelf_reader(s, &txn) < 0)
		return false;
	rc = mdb_cursor_open(txn, s->table[table], &cursor);
	if (rc == 0)
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (rc == 0 && !at && key.mv_size == len && memcmp(key.mv_data, bytes, len) == 0)
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	found = rc == 0 && key.mv_size == prefix + ADDRESS_LEN && memcmp(key.mv_data, bytes, prefix) == 0;
	if (found)
		memcpy(out->b, (const uint8_t *)key.mv_data + prefix, ADDRESS_LEN);
	if (cursor)
		mdb_cursor_close(cursor);
	shelf_reader_end(s, txn);
	shelf_read_failed(s, shelf_error(rc));
	return found;
}

static struct chunk *row(struct catalogue *c, const struct catalogue_row_key *key)
{
	uint8_t k[SHELF_ROW_KEY];

	shelf_row_key(key, k);
	return get_value(of(c), SHELF_ROWS, k, sizeof(k), 0);
}

static bool rows(struct catalogue *c, uint8_t table, const struct address *after, struct address *out)
{
	struct catalogue_row_key key = { .table = table };
	uint8_t k[SHELF_ROW_KEY];

	if (after)
		key.key = *after;
	shelf_row_key(&key, k);
	return next_key(of(c), SHELF_ROWS, k, sizeof(k), !after, 1, out);
}

static struct chunk *lease(struct catalogue *c, const struct address *volume, unsigned int slot)
{
	uint8_t k[SHELF_LEASE_KEY];

	shelf_lease_key(slot, volume, k);
	return get_value(of(c), SHELF_LEASES, k, sizeof(k), SHELF_LEASE_HEAD);
}

static bool lease_next(struct catalogue *c, unsigned int slot, const struct address *after, struct address *volume)
{
	static const struct address zeros;
	uint8_t k[SHELF_LEASE_KEY];

	shelf_lease_key(slot, after ? after : &zeros, k);
	return next_key(of(c), SHELF_LEASES, k, sizeof(k), !after, 2, volume);
}

/* The page that ${from} would be in is the last that does not begin behind it. */
static int first_page(MDB_cursor *cursor, const uint8_t *lease_key, const struct address *from, MDB_val *key, MDB_val *value)
{
	uint8_t k[SHELF_PAGE_KEY] = { 0 };
	int rc;

	memcpy(k, lease_key, SHELF_LEASE_KEY);
	if (from)
		memcpy(k + SHELF_LEASE_KEY, from->b, ADDRESS_LEN);
	*key = shelf_value(k, sizeof(k));
	rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (!from || (rc == 0 && shelf_begins(*key, k, sizeof(k))))
		return rc;
	rc = mdb_cursor_get(cursor, key, value, rc == 0 ? MDB_PREV : MDB_LAST);
	if (rc == 0 && !shelf_begins(*key, k, SHELF_LEASE_KEY))
		rc = mdb_cursor_get(cursor, key, value, MDB_NEXT);
	else if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, key, value, MDB_FIRST);
	return rc;
}

static size_t lease_list(struct catalogue *c, const struct address *volume, unsigned int slot, const struct address *from,
    size_t n, struct address *out)
{
	struct shelf *s = of(c);
	uint8_t k[SHELF_LEASE_KEY];
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	size_t count = 0;
	MDB_txn *txn;
	int rc;

	if (n == 0 || shelf_reader(s, &txn) < 0)
		return 0;
	shelf_lease_key(slot, volume, k);
	rc = mdb_cursor_open(txn, s->table[SHELF_PAGES], &cursor);
	if (rc == 0)
		rc = first_page(cursor, k, from, &key, &value);
	while (rc == 0 && count < n && shelf_begins(key, k, sizeof(k))) {
		const struct address *page = value.mv_data;

		for (size_t i = 0; i < value.mv_size / ADDRESS_LEN && count < n; i++)
			if (!from || memcmp(&page[i], from, ADDRESS_LEN) >= 0)
				memcpy(&out[count++], &page[i], ADDRESS_LEN);
		rc = count < n ? mdb_cursor_get(cursor, &key, &value, MDB_NEXT) : 0;
	}
	if (cursor)
		mdb_cursor_close(cursor);
	shelf_reader_end(s, txn);
	shelf_read_failed(s, shelf_error(rc));
	return count;
}

/* What is cached may go to make room. */
static uint64_t space(struct catalogue *c)
{
	struct shelf_totals t;
	struct dht_space there;

	shelf_totals(of(c), &t);
	store_space(of(c)->store, &there);
	return there.available + t.cached_bytes;
}

static uint64_t volume_bytes(struct catalogue *c, const struct address *volume)
{
	struct shelf *s = of(c);
	MDB_val key = shelf_value(volume->b, ADDRESS_LEN), value;
	uint64_t bytes = 0;
	MDB_txn *txn;

	if (shelf_reader(s, &txn) < 0)
		return 0;
	if (mdb_get(txn, s->table[SHELF_VOLUMES], &key, &value) == 0 && value.mv_size == SHELF_VOLUME_LEN)
		bytes = get_le64((const uint8_t *)value.mv_data + 4);
	shelf_reader_end(s, txn);
	return bytes;
}

void shelf_volume(struct shelf *s, const struct address *a, struct address *out)
{
	MDB_val key, value;
	MDB_txn *txn;

	*out = (struct address){ { 0 } };
	if (shelf_reader(s, &txn) < 0)
		return;
	if (shelf_find(s, txn, a, &value)) {
		key = (MDB_val){ 4, value.mv_data };
		if (get_le32(value.mv_data) && mdb_get(txn, s->table[SHELF_NUMBERS], &key, &value) == 0 && value.mv_size == ADDRESS_LEN)
			memcpy(out, value.mv_data, ADDRESS_LEN);
	}
	shelf_reader_end(s, txn);
}

void shelf_totals(struct shelf *s, struct shelf_totals *out)
{
	static const enum shelf_table counted[] = { SHELF_OWNED, SHELF_FOREIGN, SHELF_BOTH, SHELF_CACHED, SHELF_LEASES, SHELF_LEASED, SHELF_FRESHS };
	uint64_t rows_of[SHELF_TABLES] = { 0 };
	MDB_stat st;
	MDB_txn *txn;

	*out = (struct shelf_totals){ .owned = 0 };
	if (shelf_reader(s, &txn) < 0)
		return;
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if (mdb_stat(txn, s->table[counted[i]], &st) == 0)
			rows_of[counted[i]] = st.ms_entries;
	shelf_reader_end(s, txn);
	pthread_mutex_lock(&s->lock);
	out->cached_bytes = s->meta.bytes[SHELF_CACHED];
	out->foreign_bytes = s->meta.bytes[SHELF_FOREIGN] + s->meta.bytes[SHELF_BOTH];
	pthread_mutex_unlock(&s->lock);
	out->records = rows_of[SHELF_OWNED] + rows_of[SHELF_FOREIGN] + rows_of[SHELF_BOTH] + rows_of[SHELF_CACHED];
	out->owned = rows_of[SHELF_OWNED] + rows_of[SHELF_BOTH];
	out->fresh = rows_of[SHELF_FRESHS];
	out->foreign = rows_of[SHELF_FOREIGN] + rows_of[SHELF_BOTH];
	out->cached = rows_of[SHELF_CACHED];
	out->leases = rows_of[SHELF_LEASES];
	out->leased = rows_of[SHELF_LEASED];
}

void shelf_catalogue_init(struct shelf *s)
{
	s->catalogue = (struct catalogue){ state, list, leased, row, rows, lease, lease_next, lease_list, space, volume_bytes };
}

struct catalogue *shelf_catalogue(struct shelf *s)
{
	return &s->catalogue;
}
