/* The disk of a node: effects are carried out as by a disk in memory, in the order of each thing; room is made; and what was said done
 * is there. */
#include "tests/lib/dhttest.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <sched.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

#include "chunker/codec.h"
#include "chunker/deadline.h"
#include "dht/net/wire.h"
#include "dht/peer/disk.h"
#include "dht/peer/packed.h"
#include "tests/lib/memory_catalogue.h"
#include "tests/lib/suite.h"

#define TICKETS 65536
#define WORKERS 2

struct kit {
	struct dhttest files;
	struct io io;
	struct store *store;
	struct shelf *shelf;
	struct disk *disk;
	struct catalogue *c;
	char why[512];
	struct codec *codec;

	pthread_mutex_t lock;
	pthread_cond_t told;
	struct event done[TICKETS];	/* under lock; kind 0: not told yet */
	uint64_t order[TICKETS], told_count;	/* in which they were told */
	uint64_t next;			/* ticket */
	uint64_t held;			/* under lock: who tells of this one is kept waiting */
	unsigned int adopt_s;
};

static void done(void *arg, struct event *e)
{
	struct kit *k = arg;

	pthread_mutex_lock(&k->lock);
	assert_int_equal(k->done[e->ticket].kind, 0);
	k->done[e->ticket] = *e;
	k->order[e->ticket] = ++k->told_count;
	pthread_cond_broadcast(&k->told);
	while (k->held == e->ticket)
		pthread_cond_wait(&k->told, &k->lock);
	pthread_mutex_unlock(&k->lock);
}

/* Who walks over the shelf, or reads chunks, waits at this gate, as on a disk that is slow. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum { AT_NONE, AT_WALKS, AT_READS } shut;
	unsigned int waiting;		/* since then */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void pass(unsigned int what)
{
	pthread_mutex_lock(&gate.lock);
	gate.waiting += gate.shut == what;
	while (gate.shut == what)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

/* In place of LMDB's own. */
int mdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor)
{
	union {
		void *symbol;
		int (*open)(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor);
	} real = { .symbol = dlsym(RTLD_NEXT, "mdb_cursor_open") };

	pass(AT_WALKS);
	return real.open(txn, dbi, cursor);
}

/* No memory to unpack with. */
static atomic_bool starved;

#ifdef HAVE_LIBDEFLATE
struct libdeflate_decompressor *libdeflate_alloc_decompressor(void)
{
	union {
		void *symbol;
		struct libdeflate_decompressor *(*alloc)(void);
	} real = { .symbol = dlsym(RTLD_NEXT, "libdeflate_alloc_decompressor") };

	return atomic_load(&starved) ? NULL : real.alloc();
}
#else
int inflateInit_(z_streamp z, const char *version, int size)
{
	union {
		void *symbol;
		int (*init)(z_streamp z, const char *version, int size);
	} real = { .symbol = dlsym(RTLD_NEXT, "inflateInit_") };

	return atomic_load(&starved) ? Z_MEM_ERROR : real.init(z, version, size);
}
#endif

static ssize_t gated_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	pass(AT_READS);
	return io_system.pread(ctx, fd, buf, len, off);
}

static void set_gate(unsigned int what)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = what;
	gate.waiting = 0;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static unsigned int at_the_gate(void)
{
	unsigned int n;

	pthread_mutex_lock(&gate.lock);
	n = gate.waiting;
	pthread_mutex_unlock(&gate.lock);
	return n;
}

static void open_disk(struct kit *k)
{
	struct disk_options o = { .store = k->store, .shelf = k->shelf, .done = done, .arg = k, .adopt_s = k->adopt_s, .workers = WORKERS };

	assert_int_equal(disk_open(&o, &k->disk), 0);
}

static void open_all(struct kit *k)
{
	assert_int_equal(store_open(&k->files.options, false, NULL, NULL, NULL, &k->store, k->why, sizeof(k->why)), 0);
	assert_int_equal(shelf_open(k->files.dir, k->store, &k->shelf, k->why, sizeof(k->why)), 0);
	open_disk(k);
	k->c = shelf_catalogue(k->shelf);
}

static void close_all(struct kit *k)
{
	disk_close(k->disk);
	shelf_close(k->shelf);
	store_close(k->store);
}

static struct kit *kit_with(uint64_t size_max, unsigned int adopt_s)
{
	struct kit *k = calloc(1, sizeof(*k));

	dhttest_begin(&k->files);
	k->files.options.size_max = size_max;
	k->io = io_system;
	k->io.pread = gated_pread;
	k->files.options.io = &k->io;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->told, NULL);
	k->codec = codec_new();
	k->next = 1;
	k->adopt_s = adopt_s;
	open_all(k);
	return k;
}

static struct kit *kit_new(uint64_t size_max)
{
	return kit_with(size_max, 1);
}

static int setup(void **state)
{
	*state = kit_new(0);
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	close_all(k);
	dhttest_end(&k->files);
	for (uint64_t t = 0; t < k->next; t++)
		chunk_drop(k->done[t].chunk);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->told);
	codec_free(k->codec);
	free(k);
	return 0;
}

static uint64_t start(struct kit *k, struct effect e)
{
	assert_true(k->next < TICKETS);
	e.ticket = k->next++;
	disk_start(k->disk, &e);
	return e.ticket;
}

static const struct event *await(struct kit *k, uint64_t ticket)
{
	pthread_mutex_lock(&k->lock);
	while (!k->done[ticket].kind)
		pthread_cond_wait(&k->told, &k->lock);
	pthread_mutex_unlock(&k->lock);
	assert_int_equal(k->done[ticket].kind, EVENT_DONE);
	return &k->done[ticket];
}

static int run(struct kit *k, struct effect e)
{
	return await(k, start(k, e))->result;
}

/* Bytes that compress well where ${seed} is odd. */
static struct chunk *raw(uint64_t seed, size_t len, struct address *a)
{
	struct chunk *c = dhttest_chunk(seed, len);

	if (seed % 2)
		memset((uint8_t *)(uintptr_t)c->data + len / 4, 0, len - len / 4);
	address_of(KIND_DATA, c->data, c->len, a);
	return c;
}

static struct effect write_of(struct kit *k, uint64_t seed, size_t len, unsigned int states)
{
	struct effect e = { .kind = EFFECT_WRITE, .chunk_kind = KIND_DATA, .states = states };
	struct chunk *c = raw(seed, len, &e.address);

	e.chunk = packed_make(k->codec, c);
	chunk_drop(c);
	return e;
}

static uint64_t start_write(struct kit *k, uint64_t seed, size_t len, unsigned int states)
{
	struct effect e = write_of(k, seed, len, states);
	uint64_t ticket = start(k, e);

	chunk_drop(e.chunk);
	return ticket;
}

static int write_one(struct kit *k, uint64_t seed, size_t len, unsigned int states)
{
	return await(k, start_write(k, seed, len, states))->result;
}

static struct address address(uint64_t seed, size_t len)
{
	struct address a;

	chunk_drop(raw(seed, len, &a));
	return a;
}

static void assert_read(struct kit *k, uint64_t seed, size_t len)
{
	struct address a;
	struct chunk *is = raw(seed, len, &a), *got;
	const struct event *e = await(k, start(k, (struct effect){ .kind = EFFECT_READ, .address = a }));

	assert_int_equal(e->result, 0);
	assert_int_equal(e->chunk_kind, KIND_DATA);
	assert_int_equal(packed_raw(k->codec, KIND_DATA, &a, e->chunk, &got), 0);
	assert_int_equal(got->len, len);
	assert_memory_equal(got->data, is->data, len);
	chunk_drop(got);
	chunk_drop(is);
}

static void what_is_written_is_read_and_travels_as_it_came(void **state)
{
	static const size_t lens[] = { 0, 1, 100, 4000, 40000, 70001, CHUNK_MAX };
	struct kit *k = *state;
	struct effect e;

	for (unsigned int i = 0; i < 14; i++) {
		e = write_of(k, i, lens[i / 2], STATE_OWNED);
		e.hash.b[0] = (uint8_t)i;
		assert_int_equal(run(k, e), 0);
		chunk_drop(e.chunk);
		assert_read(k, i, lens[i / 2]);
	}
	/* From the disk, and not from what waits to be durable. */
	close_all(k);
	open_all(k);
	for (unsigned int i = 0; i < 14; i++) {
		const struct event *read;

		assert_read(k, i, lens[i / 2]);
		e = write_of(k, i, lens[i / 2], STATE_OWNED);
		read = await(k, start(k, (struct effect){ .kind = EFFECT_READ, .address = e.address }));
		assert_int_equal(read->chunk->len, e.chunk->len);
		assert_memory_equal(read->chunk->data, e.chunk->data, e.chunk->len);
		if (lens[i / 2] > 0)
			assert_int_equal(read->hash.b[0], i);
		chunk_drop(e.chunk);
		assert_int_equal(k->c->state(k->c, &e.address), STATE_OWNED);
	}
}

static void a_worker_that_lacked_memory_works_when_there_is_some(void **state)
{
	struct kit *k = *state;
	struct effect read = { .kind = EFFECT_READ };

	assert_int_equal(write_one(k, 1, 5000, STATE_OWNED), 0);
	disk_close(k->disk);
	atomic_store(&starved, true);
	open_disk(k);
	read.address = address(1, 5000);
	for (unsigned int i = 0; i < 4 * WORKERS; i++)
		assert_int_equal(run(k, read), -ENOMEM);
	atomic_store(&starved, false);
	for (unsigned int i = 0; i < 4 * WORKERS; i++)
		assert_read(k, 1, 5000);
}

static void bytes_of_another_address_are_refused(void **state)
{
	struct kit *k = *state;

	for (uint64_t seed = 0; seed < 2; seed++) {
		struct effect e = write_of(k, seed, 50000, STATE_OWNED), check = e;
		struct chunk *right = e.chunk;

		check.kind = EFFECT_CHECK;
		assert_int_equal(run(k, check), 0);
		for (uint32_t at = 0; at < right->len; at += at < 8 ? 1 : right->len / 7) {
			e.chunk = chunk_copy(right->data, right->len);
			((uint8_t *)(uintptr_t)e.chunk->data)[at] ^= 0x41;
			check.chunk = e.chunk;
			assert_int_equal(run(k, e), -EBADMSG);
			assert_int_equal(run(k, check), -EBADMSG);
			chunk_drop(e.chunk);
		}
		e.chunk = right;
		e.chunk_kind = KIND_INDEX;
		assert_int_equal(run(k, e), -EBADMSG);
		e.chunk_kind = (enum kind)99;
		assert_int_equal(run(k, e), -EBADMSG);
		assert_int_equal(k->c->state(k->c, &e.address), 0);
		chunk_drop(right);
	}
}

static void what_is_there_already_is_neither_verified_nor_stored_again(void **state)
{
	struct kit *k = *state;
	struct dht_status before, after;
	struct effect e = write_of(k, 2, 50000, STATE_OWNED | STATE_FOREIGN);
	struct chunk *c = raw(2, 50000, &e.address), *right = e.chunk;

	/* As an insert of the mount comes: it has just been stored.  That its bytes are not looked at is seen by wrong ones. */
	assert_int_equal(store_put(k->store, KIND_DATA, &e.address, c, false), 0);
	store_status(k->store, &before);
	e.chunk = chunk_copy(right->data, right->len);
	((uint8_t *)(uintptr_t)e.chunk->data)[1000] ^= 1;
	assert_int_equal(run(k, e), 0);
	store_status(k->store, &after);
	assert_int_equal(before.stored_bytes, after.stored_bytes);
	assert_int_equal(k->c->state(k->c, &e.address), STATE_OWNED | STATE_FOREIGN);
	assert_read(k, 2, 50000);
	chunk_drop(e.chunk);
	chunk_drop(right);
	chunk_drop(c);
}

static void proofs_are_of_the_nonce_and_the_raw_bytes(void **state)
{
	struct kit *k = *state;
	struct effect e = { .kind = EFFECT_PROVE, .hash.b = "a nonce" };
	struct chunk *c = raw(3, 50000, &e.address);
	crypto_generichash_state s;
	const struct event *proof;
	struct address is;

	assert_int_equal(run(k, e), -ENOENT);
	assert_int_equal(write_one(k, 3, 50000, STATE_OWNED), 0);
	proof = await(k, start(k, e));
	assert_int_equal(proof->result, 0);
	crypto_generichash_init(&s, NULL, 0, ADDRESS_LEN);
	crypto_generichash_update(&s, e.hash.b, ADDRESS_LEN);
	crypto_generichash_update(&s, c->data, c->len);
	crypto_generichash_final(&s, is.b, ADDRESS_LEN);
	assert_true(address_equal(&is, &proof->hash));
	chunk_drop(c);
}

static void what_concerns_one_address_happens_in_the_order_in_which_it_came(void **state)
{
	struct kit *k = *state;
	uint64_t t[40][5];

	for (uint64_t i = 0; i < 40; i++) {
		struct effect read = { .kind = EFFECT_READ, .address = address(i, 3000) };
		struct effect states = { .kind = EFFECT_STATES, .address = read.address, .states = STATE_CACHED };

		t[i][0] = start_write(k, i, 3000, STATE_OWNED | STATE_FOREIGN);
		t[i][1] = start(k, read);
		t[i][2] = start(k, states);
		states.states = 0;
		t[i][3] = start(k, states);
		t[i][4] = start(k, read);
	}
	for (uint64_t i = 0; i < 40; i++) {
		for (unsigned int n = 0; n < 5; n++) {
			assert_int_equal(await(k, t[i][n])->result, n < 4 ? 0 : -ENOENT);
			assert_true(n == 0 || k->order[t[i][n - 1]] < k->order[t[i][n]]);
		}
	}
	/* So it is for one row. */
	for (unsigned int i = 0; i < 30; i++) {
		struct effect e = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } }, .chunk = dhttest_chunk(i, 20 + i) };

		start(k, e);
		chunk_drop(e.chunk);
	}
	{
		struct effect e = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } }, .chunk = dhttest_chunk(99, 99) };
		struct chunk *row;

		assert_int_equal(run(k, e), 0);
		row = k->c->row(k->c, &e.row);
		assert_int_equal(row->len, 99);
		chunk_drop(row);
		chunk_drop(e.chunk);
	}
}

static void a_copy_that_has_rotted_is_replaced(void **state)
{
	struct kit *k = *state;
	struct address a = address(2, 60000);
	char path[512];
	FILE *f;

	assert_int_equal(write_one(k, 2, 60000, STATE_OWNED), 0);
	close_all(k);
	snprintf(path, sizeof(path), "%s", dhttest_path(&k->files, "segment-00000001"));
	f = fopen(path, "r+");
	assert_int_equal(fseek(f, 30000, SEEK_SET), 0);
	fputs("rot", f);
	assert_int_equal(fclose(f), 0);
	open_all(k);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	assert_int_equal(write_one(k, 2, 60000, STATE_OWNED), 0);
	assert_read(k, 2, 60000);
}

static void what_reads_as_bad_is_not_there_any_more(void **state)
{
	struct kit *k = *state;
	struct address a = address(2, 60000), out[2];
	char path[512];
	int rc;
	FILE *f;

	assert_int_equal(write_one(k, 2, 60000, STATE_OWNED), 0);
	close_all(k);
	snprintf(path, sizeof(path), "%s", dhttest_path(&k->files, "segment-00000001"));
	f = fopen(path, "r+");
	assert_int_equal(fseek(f, 30000, SEEK_SET), 0);
	fputs("rot", f);
	assert_int_equal(fclose(f), 0);
	open_all(k);
	rc = run(k, (struct effect){ .kind = EFFECT_READ, .address = a });
	assert_int_equal(rc, -EBADMSG);
	assert_int_equal(k->c->state(k->c, &a), 0);
	assert_int_equal(k->c->list(k->c, NULL, STATE_OWNED, 2, out), 0);
	assert_int_equal(write_one(k, 2, 60000, STATE_OWNED), 0);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	assert_read(k, 2, 60000);
}

/* One worker stands before the disk, the other sleeps. */
static void who_only_hashes_does_not_wait_for_who_reads(void **state)
{
	struct kit *k = *state;
	struct effect check = write_of(k, 3, 5000, 0);
	uint64_t read, checked;

	check.kind = EFFECT_CHECK;
	assert_int_equal(write_one(k, 2, 5000, STATE_OWNED), 0);
	set_gate(AT_READS);
	read = start(k, (struct effect){ .kind = EFFECT_READ, .address = address(2, 5000) });
	while (at_the_gate() == 0)
		sched_yield();
	checked = start(k, check);
	assert_int_equal(await(k, checked)->result, 0);
	set_gate(AT_NONE);
	assert_int_equal(await(k, read)->result, 0);
	chunk_drop(check.chunk);
}

/* It is noted at once, without the rest at whose end it would have been synced, also where what was to be noted at once came before it. */
static void a_cached_copy_that_somebody_waits_behind_does_not_rest(void **state)
{
	struct effect save = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } } };
	struct kit *k = *state;
	bool rested = true;

	save.chunk = dhttest_chunk(1, 20);
	for (uint64_t seed = 0; seed < 2; seed++)
		assert_int_equal(write_one(k, seed, 5000, STATE_OWNED), 0);
	/* Now and then the store syncs by itself. */
	for (uint64_t seed = 10; rested && seed < 14; seed++) {
		struct address a = address(seed, 5000);
		uint64_t read[2], behind;

		set_gate(AT_READS);
		for (uint64_t i = 0; i < WORKERS; i++)
			read[i] = start(k, (struct effect){ .kind = EFFECT_READ, .address = address(i, 5000) });
		while (at_the_gate() < WORKERS)
			sched_yield();
		start_write(k, seed, 5000, STATE_CACHED);
		behind = start(k, (struct effect){ .kind = EFFECT_READ, .address = a });
		assert_int_equal(run(k, save), 0);
		set_gate(AT_NONE);
		assert_int_equal(await(k, behind)->result, 0);
		rested = store_here_durable(k->store, &a) == 0;
		await(k, read[0]);
		await(k, read[1]);
	}
	assert_false(rested);
	chunk_drop(save.chunk);
}

/* ---- room ---- */

#define SMALL	(64u << 20)
#define BIG	(200u * 1024)
#define AT_ONCE	32u	/* cached copies: for each commit of nothing else the committer waits a while */

/* ${n} chunks; returns the seed of the next one. */
static uint64_t write_some(struct kit *k, uint64_t seed, unsigned int n, unsigned int states)
{
	uint64_t tickets[AT_ONCE];

	for (unsigned int left = n; left > 0;) {
		unsigned int some = left < AT_ONCE ? left : AT_ONCE;

		for (unsigned int i = 0; i < some; i++)
			tickets[i] = start_write(k, 2 * seed++, BIG, states);
		for (unsigned int i = 0; i < some; i++)
			assert_int_equal(await(k, tickets[i])->result, 0);
		left -= some;
	}
	return seed;
}

static void what_is_cached_makes_room_for_what_is_owned(void **state)
{
	struct kit *k = kit_new(SMALL);
	struct shelf_totals t;
	uint64_t seed, tickets[900];
	unsigned int n = 0;

	*state = k;
	/* Twice as much as there is room for, cached: some of it goes. */
	seed = write_some(k, 0, 2 * (SMALL / BIG), STATE_CACHED);
	shelf_totals(k->shelf, &t);
	assert_true(t.cached_bytes < SMALL);
	assert_true(t.cached_bytes > SMALL / 3);
	assert_true(k->c->space(k->c) > SMALL / 2);
	/* And all of it for what is owned; then no more. */
	for (unsigned int i = 0; i < 2 * (SMALL / BIG); i++)
		tickets[n++] = start_write(k, 2 * seed++, BIG, STATE_OWNED);
	for (unsigned int i = 0; i < n; i++)
		assert_true(await(k, tickets[i])->result == 0 || await(k, tickets[i])->result == -ENOSPC);
	assert_int_equal(k->done[tickets[100]].result, 0);
	assert_int_equal(k->done[tickets[n - 1]].result, -ENOSPC);
	shelf_totals(k->shelf, &t);
	assert_int_equal(t.cached, 0);
	assert_true(t.owned * BIG > SMALL / 10 * 7);
	for (unsigned int i = 0; i < 100; i++) {
		struct address a = address(2 * (seed - n + i), BIG);

		assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	}
}

/* What the mount inserts past the disk. */
static void what_is_cached_makes_room_when_it_is_asked_for(void **state)
{
	struct kit *k = kit_new(SMALL);
	struct shelf_totals t;
	uint64_t reserved = 0;

	*state = k;
	write_some(k, 0, SMALL / BIG, STATE_CACHED);
	while (store_reserve(k->store, BIG) == 0)
		reserved += BIG;
	assert_true(disk_make_room(k->disk));
	assert_int_equal(store_reserve(k->store, BIG), 0);
	reserved += BIG;
	/* Where nothing is cached any more, there is none. */
	do
		while (store_reserve(k->store, BIG) == 0)
			reserved += BIG;
	while (disk_make_room(k->disk));
	shelf_totals(k->shelf, &t);
	assert_int_equal(t.cached, 0);
	store_release(k->store, reserved);
}

/* The committer is kept from evicting anything: so all that look for room wait. */
static void who_waits_for_room_keeps_nobody_from_reading(void **state)
{
	struct kit *k = kit_new(SMALL);
	uint64_t seed = 0, tickets[300];
	struct dht_space space;
	struct effect save = { .kind = EFFECT_SAVE, .row = { .table = 1 } };
	unsigned int n = 0;

	*state = k;
	assert_int_equal(write_one(k, 2 * seed++, BIG, STATE_OWNED), 0);
	seed = write_some(k, seed, SMALL / BIG / 2 - 1, STATE_CACHED);
	k->held = k->next;
	await(k, start(k, save));
	while (n < 300)
		tickets[n++] = start_write(k, 2 * seed++, BIG, STATE_OWNED);
	do
		store_space(k->store, &space);
	while (space.available >= BIG);
	for (unsigned int i = 0; i < 100; i++)
		assert_read(k, 0, BIG);
	pthread_mutex_lock(&k->lock);
	assert_int_equal(k->done[tickets[n - 1]].kind, 0);
	k->held = 0;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
	for (unsigned int i = 0; i < n; i++)
		assert_true(await(k, tickets[i])->result == 0 || await(k, tickets[i])->result == -ENOSPC);
	assert_int_equal(k->done[tickets[200]].result, 0);
}

static unsigned int threads(void)
{
	DIR *all = opendir("/proc/self/task");
	unsigned int n = 0;

	assert_non_null(all);
	while (readdir(all))
		n++;
	closedir(all);
	return n - 2;
}

static void *close_disk(void *disk)
{
	disk_close(disk);
	return NULL;
}

/* All other threads have gone when the keeper comes to what may go. */
static void the_end_does_not_wait_for_room(void **state)
{
	struct kit *k = kit_with(SMALL, 600);
	struct timespec until;
	unsigned int before;
	pthread_t closer;
	uint64_t seed;

	*state = k;
	set_gate(AT_WALKS);
	seed = write_some(k, 0, SMALL / BIG / 4 * 3, STATE_OWNED);
	while (at_the_gate() == 0)
		seed = write_some(k, seed, 8, STATE_CACHED);
	before = threads();
	assert_int_equal(pthread_create(&closer, NULL, close_disk, k->disk), 0);
	while (threads() > before + 1 - WORKERS - 1)
		sched_yield();
	set_gate(AT_NONE);
	until = deadline_in(CLOCK_REALTIME, 20000);
	if (pthread_timedjoin_np(closer, NULL, &until) != 0) {
		print_error("the disk is not closed\n");
		abort();
	}
	k->disk = NULL;
}

static void what_is_deleted_gives_its_room_back(void **state)
{
	struct kit *k = kit_new(SMALL);
	uint64_t seed = 0;

	*state = k;
	for (unsigned int round = 0; round < 3; round++) {
		uint64_t first = seed, tickets[300];
		unsigned int n = 0;

		for (unsigned int i = 0; i < 220; i++)
			tickets[n++] = start_write(k, 2 * seed++, BIG, STATE_OWNED);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(await(k, tickets[i])->result, 0);
		for (unsigned int i = 0; i < n; i++)
			tickets[i] = start(k, (struct effect){ .kind = EFFECT_STATES, .address = address(2 * (first + i), BIG) });
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(await(k, tickets[i])->result, 0);
	}
}

static void what_the_store_got_past_the_disk_is_found(void **state)
{
	struct kit *k = *state;
	struct address a, out[2];
	struct chunk *c = raw(2, 5000, &a);

	/* The clock is one of a second: some effects go by. */
	assert_int_equal(store_put(k->store, KIND_DATA, &a, c, false), 0);
	for (uint64_t seed = 10; k->c->list(k->c, NULL, STATE_FOREIGN, 2, out) == 0; seed++)
		assert_int_equal(write_one(k, seed % 100 + 10, 100, STATE_OWNED), 0);
	assert_true(address_equal(&out[0], &a));
	assert_int_equal(k->c->state(k->c, &a), STATE_FOREIGN);
	chunk_drop(c);
}

/* ---- the same as in memory ---- */

#define KEYS 120

static void random_effects_end_as_on_a_disk_in_memory(void **state)
{
	static const unsigned int all[] = { STATE_OWNED, STATE_FOREIGN, STATE_OWNED | STATE_FOREIGN, STATE_CACHED, 0 };
	struct kit *k = *state;
	struct memory_catalogue m;
	uint64_t random = suite_seed(20261123), tickets[256];
	struct address a[KEYS], out[KEYS], model[KEYS];
	int results[256];

	memory_catalogue_init(&m, UINT64_MAX / 4);
	for (unsigned int i = 0; i < KEYS; i++)
		a[i] = address(i, 500 + i);
	for (unsigned int round = 0; round < 12; round++) {
		unsigned int n = (unsigned int)(dhttest_random(&random) % 250);

		for (unsigned int i = 0; i < n; i++) {
			unsigned int key = (unsigned int)(dhttest_random(&random) % KEYS);
			struct effect e = { .kind = EFFECT_STATES, .address = a[key], .states = all[dhttest_random(&random) % 5] };
			struct event d;

			if (dhttest_random(&random) % 2) {
				struct chunk *packed;

				e = write_of(k, key, 500 + key, all[dhttest_random(&random) % 4]);
				e.hash.b[0] = (uint8_t)(dhttest_random(&random) % 3);
				tickets[i] = start(k, e);
				packed = e.chunk;
				e.chunk = raw(key, 500 + key, &e.address);
				memory_catalogue_apply(&m, &e, &d);
				chunk_drop(packed);
				chunk_drop(e.chunk);
			} else {
				tickets[i] = start(k, e);
				memory_catalogue_apply(&m, &e, &d);
			}
			results[i] = d.result;
		}
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(await(k, tickets[i])->result, results[i]);
		for (unsigned int states = 1; states <= STATE_ANY; states++) {
			size_t count = m.catalogue.list(&m.catalogue, NULL, states, KEYS, model);

			assert_int_equal(k->c->list(k->c, NULL, states, KEYS, out), count);
			assert_memory_equal(out, model, count * sizeof(*out));
		}
		for (unsigned int i = 0; i < KEYS; i++)
			assert_int_equal(k->c->state(k->c, &a[i]), m.catalogue.state(&m.catalogue, &a[i]));
		if (round % 4 == 3) {
			close_all(k);
			open_all(k);
		}
	}
	memory_catalogue_free(&m);
}

/* The committer stands still while they come, so that it meets all at once. */
static void many_leases_do_not_stand_before_all_others(void **state)
{
	struct effect save = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } } };
	struct catalogue_lease lease[200];
	struct kit *k = *state;
	uint64_t last = 0, first;

	save.chunk = dhttest_chunk(1, 20);
	pthread_mutex_lock(&k->lock);
	k->held = k->next;
	pthread_mutex_unlock(&k->lock);
	first = start(k, save);
	await(k, first);
	for (unsigned int i = 0; i < 200; i++) {
		lease[i] = (struct catalogue_lease){ .volume = { { (uint8_t)i } }, .slot = 1, .seq = 1, .blob = save.chunk };
		last = start(k, (struct effect){ .kind = EFFECT_LEASE, .lease = &lease[i] });
	}
	save.row.key.b[0] = 8;
	start(k, save);
	pthread_mutex_lock(&k->lock);
	k->held = 0;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
	await(k, last);
	assert_int_equal(await(k, last + 1)->result, 0);
	assert_true(k->order[last + 1] < k->order[last]);
	chunk_drop(save.chunk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read_and_travels_as_it_came),
		TEST(a_worker_that_lacked_memory_works_when_there_is_some),
		TEST(bytes_of_another_address_are_refused),
		TEST(what_is_there_already_is_neither_verified_nor_stored_again),
		TEST(proofs_are_of_the_nonce_and_the_raw_bytes),
		TEST(what_concerns_one_address_happens_in_the_order_in_which_it_came),
		TEST(a_copy_that_has_rotted_is_replaced),
		TEST(what_reads_as_bad_is_not_there_any_more),
		TEST(who_only_hashes_does_not_wait_for_who_reads),
		TEST(a_cached_copy_that_somebody_waits_behind_does_not_rest),
		TEST(what_the_store_got_past_the_disk_is_found),
		TEST(random_effects_end_as_on_a_disk_in_memory),
		TEST(many_leases_do_not_stand_before_all_others),
		cmocka_unit_test_teardown(what_is_cached_makes_room_for_what_is_owned, teardown),
		cmocka_unit_test_teardown(what_is_cached_makes_room_when_it_is_asked_for, teardown),
		cmocka_unit_test_teardown(who_waits_for_room_keeps_nobody_from_reading, teardown),
		cmocka_unit_test_teardown(the_end_does_not_wait_for_room, teardown),
		cmocka_unit_test_teardown(what_is_deleted_gives_its_room_back, teardown),
	};

	return suite_run(tests);
}
