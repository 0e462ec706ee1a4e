/* Chunks as they travel, several at a time: what is handed out is what was asked for, or an error says why, each for itself. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/wire.h"
#include "dht/peer/packed.h"
#include "dht/record.h"
#include "tests/lib/faultio.h"
#include "tests/lib/suite.h"

#define SEGMENT "segment-00000001"
#define SHORT	2000u
#define LONG	90000u		/* such a record is read past the page cache */

struct kit {
	struct dhttest t;
	struct faultio *files;
	struct io io;			/* theirs, but for reads */
	struct store *s;
	struct codec *codec;
	char why[512];
	/* Called by the next read of chunks, before it reads. */
	void (*meanwhile)(struct kit *k);
	struct packed_item items[PACKED_SOME];
	unsigned int count;
};

static struct kit *kit;		/* of the test that runs */

static ssize_t pread_later(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	void (*meanwhile)(struct kit *k) = kit->meanwhile;

	kit->meanwhile = NULL;
	if (meanwhile)
		meanwhile(kit);
	return faultio_io(kit->files)->pread(ctx, fd, buf, len, off);
}

/* Where long records are read to: in place of the C library's own, which says the same where there is memory. */
static unsigned int short_of_memory;	/* so many times */

void *aligned_alloc(size_t alignment, size_t size)
{
	void *p;

	if (short_of_memory > 0) {
		short_of_memory--;
		return NULL;
	}
	return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

static void open_store(struct kit *k)
{
	assert_int_equal(store_open(&k->t.options, false, NULL, NULL, NULL, &k->s, k->why, sizeof(k->why)), 0);
}

/* From now on it is not what was stored some seconds ago. */
static void grow_old(struct kit *k)
{
	assert_int_equal(store_close(k->s), 0);
	open_store(k);
}

static int setup(void **state)
{
	kit = calloc(1, sizeof(*kit));
	dhttest_begin(&kit->t);
	kit->files = faultio_new();
	kit->io = *faultio_io(kit->files);
	kit->io.pread = pread_later;
	kit->t.options.io = &kit->io;
	kit->t.options.size_max = 64u << 20;
	kit->codec = codec_new();
	open_store(kit);
	*state = kit;
	return 0;
}

static void drop_items(struct kit *k)
{
	for (unsigned int i = 0; i < k->count; i++)
		chunk_drop(k->items[i].packed);
	k->count = 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	drop_items(k);
	store_close(k->s);
	codec_free(k->codec);
	dhttest_end(&k->t);
	faultio_free(k->files);
	free(k);
	return 0;
}

/* What ${seed} decides: it compresses where that is odd. */
static struct chunk *raw(uint64_t seed, size_t len)
{
	struct chunk *c = dhttest_chunk(seed, len);

	if (seed % 2)
		memset((uint8_t *)(uintptr_t)c->data + len / 4, 0, len - len / 4);
	return c;
}

static struct address address(enum kind kind, uint64_t seed, size_t len)
{
	struct chunk *c = raw(seed, len);
	struct address a;

	address_of(kind, c->data, c->len, &a);
	chunk_drop(c);
	return a;
}

static struct address put(struct kit *k, enum kind kind, uint64_t seed, size_t len)
{
	struct address a = address(kind, seed, len);
	struct chunk *c = raw(seed, len);

	assert_int_equal(store_put(k->s, kind, &a, c, true), 0);
	chunk_drop(c);
	return a;
}

static void ask_for(struct kit *k, enum kind kind, const struct address *a)
{
	k->items[k->count++] = (struct packed_item){ .kind = kind, .address = *a, .packed = (struct chunk *)k, .result = 1 };
}

static void get_all(struct kit *k)
{
	packed_get_some(k->s, k->codec, k->items, k->count);
}

static void assert_got(struct kit *k, unsigned int i, enum kind kind, uint64_t seed, size_t len)
{
	struct packed_item *item = &k->items[i];
	struct chunk *want = raw(seed, len), *is;

	assert_int_equal(item->result, 0);
	assert_int_equal(item->kind, kind);
	assert_int_equal(packed_raw(k->codec, kind, &item->address, item->packed, &is), 0);
	assert_int_equal(is->len, len);
	assert_memory_equal(is->data, want->data, len);
	chunk_drop(is);
	chunk_drop(want);
}

static void assert_not_got(struct kit *k, unsigned int i, int result)
{
	assert_int_equal(k->items[i].result, result);
	assert_null(k->items[i].packed);
}

/* Where the record of ${a} starts. */
static uint8_t *record_of(struct kit *k, const struct address *a)
{
	size_t len = (size_t)faultio_size(k->files, SEGMENT);
	uint8_t *bytes = faultio_bytes(k->files, SEGMENT);

	for (size_t at = 0; at + RECORD_HEADER <= len; at += RECORD_ALIGN)
		if (record_magic(bytes + at) && memcmp(bytes + at + 16, a->b, ADDRESS_LEN) == 0)
			return bytes + at;
	fail_msg("it has no record");
	return NULL;
}

static void rot(struct kit *k, const struct address *a)
{
	record_of(k, a)[RECORD_HEADER + 100] ^= 0x40;
}

static void some_of_all_kinds_and_lengths_come_at_once(void **state)
{
	struct kit *k = *state;
	struct address a[PACKED_SOME];

	for (unsigned int i = 0; i < PACKED_SOME; i++)
		a[i] = put(k, (enum kind)(KIND_DATA + i % 4), i, i < 8 ? SHORT + i : LONG + i);
	/* On their way to the disk, there since just now, and there for long. */
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < PACKED_SOME; i++)
			ask_for(k, i / 4 % 2 ? KIND_ANY : (enum kind)(KIND_DATA + i % 4), &a[i]);
		get_all(k);
		for (unsigned int i = 0; i < PACKED_SOME; i++) {
			struct wire_chunk w;

			assert_got(k, i, (enum kind)(KIND_DATA + i % 4), i, i < 8 ? SHORT + i : LONG + i);
			assert_int_equal(wire_chunk_read(k->items[i].packed->data, k->items[i].packed->len, &w), 0);
			assert_int_equal(w.codec, i % 2 && round > 0 ? CODEC_ZLIB : CODEC_RAW);
		}
		drop_items(k);
		if (round == 0)
			assert_int_equal(store_sync_wait(k->s, store_sync_start(k->s)), 0);
		else
			grow_old(k);
	}
}

static void one_may_be_asked_for_more_than_once_and_none_at_all(void **state)
{
	struct kit *k = *state;
	struct address a = put(k, KIND_DATA, 2, LONG);

	grow_old(k);
	get_all(k);
	for (unsigned int i = 0; i < 5; i++)
		ask_for(k, KIND_DATA, &a);
	get_all(k);
	for (unsigned int i = 0; i < 5; i++)
		assert_got(k, i, KIND_DATA, 2, LONG);
	/* Each has bytes of its own, whose room is its holder's to write. */
	for (unsigned int i = 1; i < 5; i++)
		assert_ptr_not_equal(k->items[i].packed->data, k->items[0].packed->data);
}

static void what_is_not_there_keeps_nobody_else_from_coming(void **state)
{
	struct kit *k = *state;
	struct address here = put(k, KIND_INDEX, 2, SHORT), far = address(KIND_INDEX, 3, SHORT);

	for (unsigned int round = 0; round < 2; round++) {
		ask_for(k, KIND_INDEX, &far);
		ask_for(k, KIND_INDEX, &here);
		ask_for(k, KIND_ANY, &far);
		ask_for(k, KIND_DATA, &here);
		get_all(k);
		assert_not_got(k, 0, -ENOENT);
		assert_got(k, 1, KIND_INDEX, 2, SHORT);
		assert_not_got(k, 2, -ENOENT);
		assert_not_got(k, 3, -ENOENT);
		drop_items(k);
		grow_old(k);
	}
}

/* Raw ones hash to something else; of those that are compressed some can't even be opened. */
static void what_has_rotted_is_set_aside_and_the_others_come(void **state)
{
	static const size_t lens[] = { SHORT, SHORT, LONG, LONG };
	struct kit *k = *state;
	struct address bad[4], good[4];

	for (unsigned int i = 0; i < 4; i++) {
		bad[i] = put(k, KIND_DATA, i, lens[i]);
		good[i] = put(k, KIND_DIRECTORY, i, lens[i]);
	}
	grow_old(k);
	for (unsigned int i = 0; i < 4; i++)
		rot(k, &bad[i]);
	for (unsigned int i = 0; i < 4; i++) {
		ask_for(k, KIND_DATA, &bad[i]);
		ask_for(k, KIND_ANY, &good[i]);
	}
	/* And once more, of which one finds that it is set aside already. */
	ask_for(k, KIND_ANY, &bad[0]);
	get_all(k);
	for (unsigned int i = 0; i < 4; i++) {
		assert_not_got(k, 2 * i, -EBADMSG);
		assert_got(k, 2 * i + 1, KIND_DIRECTORY, i, lens[i]);
		assert_false(store_has(k->s, &bad[i], NULL, NULL));
	}
	assert_not_got(k, 8, -EBADMSG);
}

/* The store hashed it when it came; a disk that changes bytes within seconds is found out by who receives them. */
static void what_was_stored_just_now_is_not_hashed_again(void **state)
{
	struct kit *k = *state;
	struct address a;
	bool recent = false;

	for (uint64_t seed = 0; !recent; seed += 2) {
		struct store_packed p;
		enum kind kind = KIND_DATA;
		struct chunk *is;

		assert_true(seed < 100);
		a = put(k, KIND_DATA, seed, SHORT);
		assert_int_equal(store_sync_wait(k->s, store_sync_start(k->s)), 0);
		rot(k, &a);
		ask_for(k, KIND_DATA, &a);
		get_all(k);
		/* The ledger may have been told of it meanwhile: then it is old. */
		assert_int_equal(store_get_packed(k->s, STORE_HASH_NONE, &kind, &a, 0, &p), k->items[0].result);
		recent = p.bytes && p.verified;
		chunk_drop(p.bytes);
		if (recent)
			assert_int_equal(packed_raw(k->codec, KIND_DATA, &a, k->items[0].packed, &is), -EBADMSG);
		drop_items(k);
	}
	/* So it is, once it is old. */
	grow_old(k);
	ask_for(k, KIND_DATA, &a);
	get_all(k);
	assert_not_got(k, 0, -EBADMSG);
}

/* The header is gone: the store looks for what else its ledger has lost, and then has no more to say. */
static void what_the_ledger_leads_astray_to_is_looked_for(void **state)
{
	struct kit *k = *state;
	struct address lost = put(k, KIND_DATA, 2, SHORT), here = put(k, KIND_DATA, 4, SHORT);

	grow_old(k);
	memset(record_of(k, &lost), 0, RECORD_HEADER + SHORT);
	ask_for(k, KIND_DATA, &lost);
	ask_for(k, KIND_DATA, &here);
	get_all(k);
	assert_not_got(k, 0, -EINPROGRESS);
	assert_got(k, 1, KIND_DATA, 4, SHORT);
	drop_items(k);
	store_mend_wait(k->s);
	ask_for(k, KIND_DATA, &lost);
	get_all(k);
	assert_not_got(k, 0, -EBADMSG);
}

/* Every entry of the ledger says that its chunk is of another kind. */
static void change_kinds(struct kit *k, uint8_t from, uint8_t to)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(store_close(k->s), 0);
	assert_int_equal(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 8);
	assert_int_equal(mdb_env_open(env, dhttest_path(&k->t, "ledger"), MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "chunks", 0, &dbi), 0);
	assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		uint8_t entry[64];

		memcpy(entry, value.mv_data, value.mv_size);
		assert_int_equal(entry[17], from);
		entry[17] = to;
		value.mv_data = entry;
		assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
	}
	mdb_cursor_close(cursor);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	open_store(k);
}

static void the_record_is_believed_not_the_ledger(void **state)
{
	struct kit *k = *state;
	struct address a[3];

	for (unsigned int i = 0; i < 3; i++)
		a[i] = put(k, KIND_DATA, i, i % 2 ? LONG : SHORT);
	change_kinds(k, KIND_DATA, KIND_DIRECTORY);
	ask_for(k, KIND_DATA, &a[0]);
	ask_for(k, KIND_ANY, &a[1]);
	ask_for(k, KIND_DIRECTORY, &a[2]);
	get_all(k);
	assert_got(k, 0, KIND_DATA, 0, SHORT);
	assert_got(k, 1, KIND_DATA, 1, LONG);
	assert_not_got(k, 2, -ENOENT);
}

#define MANY 40u

/* Most of the segment goes, so what stays is moved, and its old place is nobody's. */
static void move_all(struct kit *k)
{
	struct address gone[MANY];
	struct dht_gc_count given;

	for (unsigned int i = 0; i < MANY; i++)
		gone[i] = address(KIND_DATA, 100 + 2 * i, LONG);
	assert_int_equal(store_remove(k->s, gone, MANY, NULL), 0);
	assert_int_equal(store_clean(k->s, true, NULL, NULL, &given), 0);
	assert_true(given.bytes > 0);
}

static void what_is_moved_meanwhile_comes_from_where_it_is(void **state)
{
	struct kit *k = *state;
	struct address a[4];

	for (unsigned int i = 0; i < 4; i++)
		a[i] = put(k, KIND_DATA, i, i < 2 ? SHORT : LONG);
	for (unsigned int i = 0; i < MANY; i++)
		put(k, KIND_DATA, 100 + 2 * i, LONG);
	grow_old(k);
	k->meanwhile = move_all;
	for (unsigned int i = 0; i < 4; i++)
		ask_for(k, KIND_DATA, &a[i]);
	get_all(k);
	assert_null(k->meanwhile);
	assert_true(faultio_size(k->files, SEGMENT) < 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_got(k, i, KIND_DATA, i, i < 2 ? SHORT : LONG);
}

static void remove_one(struct kit *k)
{
	assert_int_equal(store_remove(k->s, &k->items[0].address, 1, NULL), 0);
}

static void what_is_removed_meanwhile_is_not_there(void **state)
{
	struct kit *k = *state;
	struct address gone = put(k, KIND_DATA, 2, LONG), here = put(k, KIND_DATA, 4, LONG);

	grow_old(k);
	k->meanwhile = remove_one;
	ask_for(k, KIND_DATA, &gone);
	ask_for(k, KIND_DATA, &here);
	get_all(k);
	assert_not_got(k, 0, -ENOENT);
	assert_got(k, 1, KIND_DATA, 4, LONG);
}

static void who_finds_no_memory_or_a_disk_that_fails_fails_alone(void **state)
{
	struct kit *k = *state;
	struct address a[3];

	for (unsigned int i = 0; i < 3; i++)
		a[i] = put(k, KIND_DATA, 2 * i, LONG);
	grow_old(k);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < 3; i++)
			ask_for(k, KIND_DATA, &a[i]);
		if (round == 0)
			short_of_memory = 1;
		else
			faultio_fail(k->files, FAULT_READ, 0, 1, -EIO);
		get_all(k);
		assert_not_got(k, 0, round == 0 ? -ENOMEM : -EIO);
		assert_got(k, 1, KIND_DATA, 2, LONG);
		assert_got(k, 2, KIND_DATA, 4, LONG);
		drop_items(k);
	}
	/* Nothing of that was held against them. */
	for (unsigned int i = 0; i < 3; i++)
		ask_for(k, KIND_DATA, &a[i]);
	get_all(k);
	for (unsigned int i = 0; i < 3; i++)
		assert_got(k, i, KIND_DATA, 2 * i, LONG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(some_of_all_kinds_and_lengths_come_at_once),
		TEST(one_may_be_asked_for_more_than_once_and_none_at_all),
		TEST(what_is_not_there_keeps_nobody_else_from_coming),
		TEST(what_has_rotted_is_set_aside_and_the_others_come),
		TEST(what_was_stored_just_now_is_not_hashed_again),
		TEST(what_the_ledger_leads_astray_to_is_looked_for),
		TEST(the_record_is_believed_not_the_ledger),
		TEST(what_is_moved_meanwhile_comes_from_where_it_is),
		TEST(what_is_removed_meanwhile_is_not_there),
		TEST(who_finds_no_memory_or_a_disk_that_fails_fails_alone),
	};

	return suite_run(tests);
}
