#include "tests/lib/diskkit.h"

#include <dlfcn.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/packed.h"
#include "dht/peer/shelf.h"
#include "dht/store.h"

static void done(void *arg, struct event *e)
{
	struct diskkit *k = arg;

	pthread_mutex_lock(&k->lock);
	assert_int_equal(k->done[e->ticket].kind, 0);
	k->done[e->ticket] = *e;
	k->order[e->ticket] = ++k->told_count;
	pthread_cond_broadcast(&k->told);
	while (k->held == e->ticket)
		pthread_cond_wait(&k->told, &k->lock);
	pthread_mutex_unlock(&k->lock);
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum diskkit_gate shut;
	unsigned int waiting;		/* since then */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void pass(enum diskkit_gate what)
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

	pass(DISKKIT_WALKS);
	return real.open(txn, dbi, cursor);
}

static ssize_t gated_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	pass(DISKKIT_READS);
	return io_system.pread(ctx, fd, buf, len, off);
}

void diskkit_set_gate(enum diskkit_gate what)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = what;
	gate.waiting = 0;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

unsigned int diskkit_at_gate(void)
{
	unsigned int n;

	pthread_mutex_lock(&gate.lock);
	n = gate.waiting;
	pthread_mutex_unlock(&gate.lock);
	return n;
}

void diskkit_open_disk(struct diskkit *k)
{
	struct disk_options o = { .store = k->store, .shelf = k->shelf, .done = done, .arg = k, .adopt_s = k->adopt_s, .workers = DISKKIT_WORKERS };

	assert_int_equal(disk_open(&o, &k->disk), 0);
}

void diskkit_open(struct diskkit *k)
{
	assert_int_equal(store_open(&k->files.options, false, NULL, NULL, NULL, &k->store, k->why, sizeof(k->why)), 0);
	assert_int_equal(shelf_open(k->files.dir, k->store, &k->shelf, k->why, sizeof(k->why)), 0);
	diskkit_open_disk(k);
	k->c = shelf_catalogue(k->shelf);
}

void diskkit_close(struct diskkit *k)
{
	disk_close(k->disk);
	shelf_close(k->shelf);
	store_close(k->store);
}

struct diskkit *diskkit_new(uint64_t size_max, unsigned int adopt_s)
{
	struct diskkit *k = calloc(1, sizeof(*k));

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
	diskkit_open(k);
	return k;
}

int diskkit_setup(void **state)
{
	*state = diskkit_new(0, 1);
	return 0;
}

int diskkit_teardown(void **state)
{
	struct diskkit *k = *state;

	diskkit_close(k);
	dhttest_end(&k->files);
	for (uint64_t t = 0; t < k->next; t++)
		chunk_drop(k->done[t].chunk);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->told);
	codec_free(k->codec);
	free(k);
	return 0;
}

uint64_t diskkit_start(struct diskkit *k, struct effect e)
{
	assert_true(k->next < DISKKIT_TICKETS);
	e.ticket = k->next++;
	disk_start(k->disk, &e);
	return e.ticket;
}

const struct event *diskkit_await(struct diskkit *k, uint64_t ticket)
{
	pthread_mutex_lock(&k->lock);
	while (!k->done[ticket].kind)
		pthread_cond_wait(&k->told, &k->lock);
	pthread_mutex_unlock(&k->lock);
	assert_int_equal(k->done[ticket].kind, EVENT_DONE);
	return &k->done[ticket];
}

int diskkit_run(struct diskkit *k, struct effect e)
{
	return diskkit_await(k, diskkit_start(k, e))->result;
}

struct chunk *diskkit_raw(uint64_t seed, size_t len, struct address *a)
{
	struct chunk *c = dhttest_chunk(seed, len);

	if (seed % 2)
		memset((uint8_t *)(uintptr_t)c->data + len / 4, 0, len - len / 4);
	address_of(KIND_DATA, c->data, c->len, a);
	return c;
}

struct effect diskkit_write_of(struct diskkit *k, uint64_t seed, size_t len, unsigned int states)
{
	struct effect e = { .kind = EFFECT_WRITE, .chunk_kind = KIND_DATA, .states = states };
	struct chunk *c = diskkit_raw(seed, len, &e.address);

	e.chunk = packed_make(k->codec, c);
	chunk_drop(c);
	return e;
}

uint64_t diskkit_start_write(struct diskkit *k, uint64_t seed, size_t len, unsigned int states)
{
	struct effect e = diskkit_write_of(k, seed, len, states);
	uint64_t ticket = diskkit_start(k, e);

	chunk_drop(e.chunk);
	return ticket;
}

int diskkit_write(struct diskkit *k, uint64_t seed, size_t len, unsigned int states)
{
	return diskkit_await(k, diskkit_start_write(k, seed, len, states))->result;
}

struct address diskkit_address(uint64_t seed, size_t len)
{
	struct address a;

	chunk_drop(diskkit_raw(seed, len, &a));
	return a;
}

void diskkit_assert_read(struct diskkit *k, uint64_t seed, size_t len)
{
	struct address a;
	struct chunk *is = diskkit_raw(seed, len, &a), *got;
	const struct event *e = diskkit_await(k, diskkit_start(k, (struct effect){ .kind = EFFECT_READ, .address = a }));

	assert_int_equal(e->result, 0);
	assert_int_equal(e->chunk_kind, KIND_DATA);
	assert_int_equal(packed_raw(k->codec, KIND_DATA, &a, e->chunk, &got), 0);
	assert_int_equal(got->len, len);
	assert_memory_equal(got->data, is->data, len);
	chunk_drop(got);
	chunk_drop(is);
}
