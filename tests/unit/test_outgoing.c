/* outgoing: what was inserted here is with W others, or whoever asks hears that it is not. */
#include "tests/lib/fakepeer.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chunker/cut.h"
#include "dht/io.h"
#include "dht/net/wire.h"
#include "dht/peer/outgoing.h"
#include "dht/peer/packed.h"

#define LEN	500
#define TICKETS 16
#define PATIENCE_S 200
#define LONG_MS 600000u		/* no test waits so long */

struct kit {
	struct fakepeer fake;
	struct outgoing *o;
	struct outgoing_options options;
	pthread_mutex_t lock;
	pthread_cond_t told;
	int result[TICKETS];		/* 1: not told */
	unsigned int calls, rooms;
	uint64_t upto;
};

/* Who reads more than a record of ours, as who searches the segments does, waits here while it is shut. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool shut;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static ssize_t gated_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.shut && len > LEN)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	return io_system.pread(ctx, fd, buf, len, off);
}

/* What LMDB says when the store's ledger is asked for a chunk; 1: who asks waits. */
static atomic_int ledger_says;
static atomic_uint ledger_asked;
static atomic_int shelf_says;	/* likewise */

int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value)
{
	union {
		void *symbol;
		int (*get)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);
	} real = { .symbol = dlsym(RTLD_NEXT, "mdb_get") };
	const char *path = NULL;

	if (atomic_load(&shelf_says) && mdb_env_get_path(mdb_txn_env(txn), &path) == 0 && strstr(path, "/shelf"))
		return atomic_load(&shelf_says);
	if (atomic_load(&ledger_says) && mdb_env_get_path(mdb_txn_env(txn), &path) == 0 && strstr(path, "/ledger")) {
		atomic_fetch_add(&ledger_asked, 1);
		while (atomic_load(&ledger_says) == 1)
			sched_yield();
		if (atomic_load(&ledger_says))
			return atomic_load(&ledger_says);
	}
	return real.get(txn, dbi, key, value);
}

static void set_gate(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void synced(void *arg, uint64_t ticket, int result)
{
	struct kit *k = arg;

	pthread_mutex_lock(&k->lock);
	assert_true(ticket > 0 && ticket < TICKETS);
	/* As work.c has it: it ends all up to it. */
	for (uint64_t i = 1; i <= ticket; i++)
		if (k->result[i] == 1)
			k->result[i] = result;
	assert_true(ticket > k->upto);
	k->upto = ticket;
	k->calls++;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
}

static void room(void *arg)
{
	struct kit *k = arg;

	pthread_mutex_lock(&k->lock);
	k->rooms++;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
}

/* Hundreds of chunks are each noted durably first, on a disk that others may keep busy. */
static int result_of(struct kit *k, uint64_t ticket)
{
	struct timespec until;
	int r, rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&k->lock);
	while (k->result[ticket] == 1 && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&k->told, &k->lock, &until);
	r = k->result[ticket];
	pthread_mutex_unlock(&k->lock);
	if (r == 1)
		fail_msg("the ticket %u was never decided", (unsigned int)ticket);
	return r;
}

static bool is_told(struct kit *k, uint64_t ticket)
{
	bool told;

	pthread_mutex_lock(&k->lock);
	told = k->result[ticket] != 1;
	pthread_mutex_unlock(&k->lock);
	return told;
}

static void start(struct kit *k, uint64_t volume)
{
	memset(&k->options, 0, sizeof(k->options));
	k->options = (struct outgoing_options){ .peer = k->fake.peer, .store = k->fake.store, .acks = 2, .timeout_ms = LONG_MS,
		.synced = synced, .room = room, .arg = k };
	memset(&k->options.volume, (int)volume, sizeof(k->options.volume));
	for (int i = 0; i < TICKETS; i++)
		k->result[i] = 1;
	k->upto = 0;
	assert_int_equal(shelf_own(peer_shelf(k->fake.peer), &k->options.volume), 0);
	assert_int_equal(outgoing_open(&k->options, &k->o), 0);
}

static void stop(struct kit *k)
{
	if (k->o) {
		outgoing_stop(k->o);
		outgoing_close(k->o);
	}
	k->o = NULL;
}

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->told, NULL);
	fakepeer_begin(&k->fake);
	start(k, 1);
	/* It has seen that nothing was left. */
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	set_gate(false);
	stop(k);
	fakepeer_end(&k->fake);
	pthread_cond_destroy(&k->told);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return 0;
}

/* In the store, and on its way: as bytes, or as an address. */
static struct address put(struct kit *k, uint64_t seed, bool bytes)
{
	struct chunk *c = dhttest_chunk(seed, LEN), *packed = NULL;
	enum kind kind = KIND_DATA;
	struct address a;

	address_of(KIND_DATA, c->data, c->len, &a);
	assert_int_equal(store_put(k->fake.store, KIND_DATA, &a, c, false), 0);
	if (bytes)
		assert_int_equal(packed_get(k->fake.store, STORE_HASH, &kind, &a, &packed), 0);
	if (k->o)
		assert_int_equal(outgoing_add(k->o, KIND_DATA, &a, packed), 0);
	chunk_drop(packed);
	chunk_drop(c);
	return a;
}

static void answer_next(struct kit *k, int result)
{
	fakepeer_answer(k->fake.peer, fakepeer_next(k->fake.peer, COMMAND_INSERT), result, NULL);
}

static int yes(struct peer_ask *a)
{
	(void)a;
	return 0;
}

static void a_ticket_with_nothing_before_it_is_decided_at_once(void **state)
{
	struct kit *k = *state;

	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
}

static void a_ticket_waits_for_all_that_was_added_before_it(void **state)
{
	struct kit *k = *state;
	struct peer_ask *a, *b;
	uint64_t t;

	put(k, 1, true);
	put(k, 2, true);
	t = outgoing_ticket(k->o);
	a = fakepeer_next(k->fake.peer, COMMAND_INSERT);
	b = fakepeer_next(k->fake.peer, COMMAND_INSERT);
	assert_int_equal(a->command.acks, 2);
	fakepeer_answer(k->fake.peer, b, 0, NULL);
	assert_false(is_told(k, t));
	fakepeer_answer(k->fake.peer, a, 0, NULL);
	assert_int_equal(result_of(k, t), 0);
}

static void what_comes_later_is_not_waited_for(void **state)
{
	struct kit *k = *state;
	uint64_t t;

	put(k, 1, true);
	t = outgoing_ticket(k->o);
	put(k, 2, true);
	answer_next(k, 0);
	assert_int_equal(result_of(k, t), 0);
	answer_next(k, 0);
}

static void an_address_alone_is_read_from_the_store(void **state)
{
	struct kit *k = *state;
	struct address a = put(k, 3, false);
	struct peer_ask *ask = fakepeer_next(k->fake.peer, COMMAND_INSERT);
	struct wire_chunk w;

	assert_true(address_equal(&ask->command.address, &a));
	assert_int_equal(wire_chunk_read(ask->command.chunk->data, ask->command.chunk->len, &w), 0);
	assert_int_equal(w.raw_len, LEN);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
}

static void one_that_fails_fails_its_ticket_at_once_and_those_behind_it(void **state)
{
	struct kit *k = *state;
	struct peer_ask *a;
	uint64_t t, later;

	put(k, 1, true);
	put(k, 2, true);
	t = outgoing_ticket(k->o);
	put(k, 3, true);
	later = outgoing_ticket(k->o);
	a = fakepeer_next(k->fake.peer, COMMAND_INSERT);
	fakepeer_answer(k->fake.peer, a, -EHOSTUNREACH, NULL);
	/* The two others were not answered. */
	assert_int_equal(result_of(k, t), -EHOSTUNREACH);
	assert_int_equal(result_of(k, later), -EHOSTUNREACH);
	fakepeer_auto(k->fake.peer, yes);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
}

static void until_it_is_out_each_ticket_fails(void **state)
{
	struct kit *k = *state;
	struct outgoing_status s;
	uint64_t t;

	put(k, 1, true);
	for (int i = 0; i < 4; i++) {
		t = outgoing_ticket(k->o);
		answer_next(k, i % 2 ? -ETIMEDOUT : -ENOSPC);
		assert_int_equal(result_of(k, t), i % 2 ? -ETIMEDOUT : -ENOSPC);
		outgoing_status(k->o, &s);
		assert_int_equal(s.unsafe, 1);
	}
	t = outgoing_ticket(k->o);
	answer_next(k, 0);
	assert_int_equal(result_of(k, t), 0);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
	outgoing_status(k->o, &s);
	assert_int_equal(s.unsafe + s.waiting + s.sent, 0);
}

/* Nobody hears that all is safe while a chunk of an earlier epoch, whose own ticket has failed, is under way. */
static void a_ticket_behind_one_that_failed_waits_for_its_chunks(void **state)
{
	struct kit *k = *state;
	struct peer_ask *slow;
	uint64_t t, later;

	put(k, 1, true);
	put(k, 2, true);
	t = outgoing_ticket(k->o);
	slow = fakepeer_next(k->fake.peer, COMMAND_INSERT);
	answer_next(k, -EHOSTUNREACH);
	assert_int_equal(result_of(k, t), -EHOSTUNREACH);
	later = outgoing_ticket(k->o);
	answer_next(k, 0);
	assert_false(is_told(k, later));
	fakepeer_answer(k->fake.peer, slow, 0, NULL);
	assert_int_equal(result_of(k, later), 0);
}

static void what_the_ring_has_no_room_for_is_tried_again(void **state)
{
	struct kit *k = *state;
	uint64_t t;

	put(k, 1, true);
	t = outgoing_ticket(k->o);
	answer_next(k, -EBUSY);
	answer_next(k, 0);
	assert_int_equal(result_of(k, t), 0);
}

/* What was cached when it was inserted once more may have made room for others before its turn came. */
static void what_is_not_here_any_more_is_fetched_from_others(void **state)
{
	struct kit *k = *state;
	struct chunk *raw = dhttest_chunk(1, LEN);
	struct address a;
	struct peer_ask *ask;
	uint64_t t;

	address_of(KIND_DATA, raw->data, raw->len, &a);
	assert_int_equal(outgoing_add(k->o, KIND_DATA, &a, NULL), 0);
	t = outgoing_ticket(k->o);
	ask = fakepeer_next(k->fake.peer, COMMAND_FETCH);
	assert_true(address_equal(&ask->command.address, &a));
	assert_false(is_told(k, t));
	ask->chunk = packed_make(NULL, raw);
	ask->chunk_kind = KIND_DATA;
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	ask = fakepeer_next(k->fake.peer, COMMAND_INSERT);
	assert_true(address_equal(&ask->command.address, &a));
	assert_int_equal(ask->command.chunk_kind, KIND_DATA);
	assert_false(is_told(k, t));
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	assert_int_equal(result_of(k, t), 0);
	chunk_drop(raw);
}

static int nobody_has_it(struct peer_ask *a)
{
	return a->command.kind == COMMAND_FETCH ? -ENOENT : 0;
}

static int something_else(struct peer_ask *a)
{
	struct chunk *raw = dhttest_chunk(1, LEN);

	if (a->command.kind == COMMAND_FETCH) {
		a->chunk = packed_make(NULL, raw);
		a->chunk_kind = KIND_INDEX;
	}
	chunk_drop(raw);
	return 0;
}

static void what_nobody_has_is_not_safe(void **state)
{
	struct kit *k = *state;
	struct outgoing_status s;
	struct address a;
	uint64_t t;

	memset(&a, 0xab, sizeof(a));
	fakepeer_auto(k->fake.peer, nobody_has_it);
	assert_int_equal(outgoing_add(k->o, KIND_DATA, &a, NULL), 0);
	t = outgoing_ticket(k->o);
	assert_int_equal(result_of(k, t), -EIO);
	fakepeer_auto(k->fake.peer, something_else);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), -EIO);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_INSERT), 0);
	outgoing_status(k->o, &s);
	assert_int_equal(s.sent, 0);
	assert_int_equal(s.unsafe, 1);
}

static void the_end_waits_for_what_is_fetched(void **state)
{
	struct kit *k = *state;
	struct address a;
	uint64_t t;

	memset(&a, 0xab, sizeof(a));
	assert_int_equal(outgoing_add(k->o, KIND_DATA, &a, NULL), 0);
	t = outgoing_ticket(k->o);
	fakepeer_next(k->fake.peer, COMMAND_FETCH);
	outgoing_stop(k->o);
	assert_int_equal(result_of(k, t), -ECANCELED);
}

/* The ledger leads astray, and the search for what it has lost takes as long as reading the whole disk. */
static void what_is_searched_for_holds_nobody_up(void **state)
{
	static const uint8_t zeros[64 + LEN];
	static struct io io;
	struct kit *k = *state;
	uint64_t t;
	int fd;

	stop(k);
	io = io_system;
	io.pread = gated_pread;
	k->fake.files.options.io = &io;
	put(k, 1, false);
	put(k, 2, false);
	fakepeer_reopen(&k->fake);
	fd = open(dhttest_path(&k->fake.files, "segment-00000001"), O_WRONLY);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
	close(fd);
	set_gate(true);
	fakepeer_auto(k->fake.peer, nobody_has_it);
	start(k, 1);
	t = outgoing_ticket(k->o);
	assert_int_equal(result_of(k, t), -EIO);
	assert_true(store_mending(k->fake.store));
	/* The other one is out, and so is what comes later. */
	while (fakepeer_asked(k->fake.peer, COMMAND_INSERT) < 1)
		sched_yield();
	put(k, 3, false);
	while (fakepeer_asked(k->fake.peer, COMMAND_INSERT) < 2)
		sched_yield();
	stop(k);
	set_gate(false);
	store_mend_wait(k->fake.store);
	/* Inserted once more it is there, and goes out. */
	put(k, 1, false);
	start(k, 1);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
}

static void no_more_are_asked_at_a_time_than_the_window_has(void **state)
{
	struct kit *k = *state;
	struct outgoing_status s;
	uint64_t t;

	for (unsigned int i = 0; i < OUTGOING_CHUNKS + 50; i++)
		put(k, 100 + i, true);
	t = outgoing_ticket(k->o);
	outgoing_status(k->o, &s);
	assert_true(s.sent <= OUTGOING_CHUNKS);
	assert_true(s.waiting >= 50);
	assert_true(fakepeer_asked(k->fake.peer, COMMAND_INSERT) <= OUTGOING_CHUNKS);
	fakepeer_auto(k->fake.peer, yes);
	assert_int_equal(result_of(k, t), 0);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_INSERT), OUTGOING_CHUNKS + 50);
}

/* Of chunks of LEN as many go out as of any; so these are longer. */
static void a_line_that_nobody_knows_is_given_little_at_first(void **state)
{
	struct kit *k = *state;
	unsigned int first = OUTGOING_FIRST / CUT_MEAN, count = 10 * first;
	uint64_t t;

	for (unsigned int i = 0; i < count; i++) {
		struct chunk *c = dhttest_chunk(i, CUT_MEAN);
		struct address a;

		address_of(KIND_DATA, c->data, c->len, &a);
		assert_int_equal(store_put(k->fake.store, KIND_DATA, &a, c, false), 0);
		chunk_drop(c);
		assert_int_equal(outgoing_add(k->o, KIND_DATA, &a, NULL), 0);
	}
	t = outgoing_ticket(k->o);
	while (fakepeer_asked(k->fake.peer, COMMAND_INSERT) < first)
		sched_yield();
	for (unsigned int i = 0; i < 1000; i++)
		sched_yield();
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_INSERT), first);
	for (unsigned int i = 0; i < count; i++)
		answer_next(k, 0);
	assert_int_equal(result_of(k, t), 0);
}

static void the_end_decides_all_tickets(void **state)
{
	struct kit *k = *state;
	uint64_t t, later;

	put(k, 1, true);
	t = outgoing_ticket(k->o);
	for (unsigned int i = 0; i < OUTGOING_CHUNKS + 10; i++)
		put(k, 100 + i, true);
	later = outgoing_ticket(k->o);
	outgoing_stop(k->o);
	assert_int_equal(result_of(k, t), -ECANCELED);
	assert_int_equal(result_of(k, later), -ECANCELED);
	/* Who comes later is not left waiting. */
	assert_true(outgoing_ticket(k->o) == OUTGOING_ENDED);
	put(k, 2, true);
	outgoing_wait(k->o);
	outgoing_close(k->o);
	k->o = NULL;
}

/* Since the peer was opened: the first may have been asked before this is called. */
static int count_asked(struct kit *k)
{
	uint64_t t;

	fakepeer_auto(k->fake.peer, yes);
	t = outgoing_ticket(k->o);
	assert_int_equal(result_of(k, t), 0);
	return (int)fakepeer_asked(k->fake.peer, COMMAND_INSERT);
}

static void restart(struct kit *k)
{
	stop(k);
	fakepeer_reopen(&k->fake);
	start(k, 1);
}

/* Stopped in time, or added behind the end: the ring and the shelf have heard nothing of these. */
static void what_waited_at_the_end_goes_out_after_the_next_start(void **state)
{
	struct kit *k = *state;
	struct shelf_totals totals;

	for (unsigned int i = 0; i < 20; i++)
		put(k, i, i % 2);
	outgoing_stop(k->o);
	put(k, 20, true);
	outgoing_close(k->o);
	k->o = NULL;
	fakepeer_reopen(&k->fake);
	start(k, 1);
	shelf_totals(peer_shelf(k->fake.peer), &totals);
	assert_int_equal(totals.foreign, 21);
	/* No lease will leave them out. */
	assert_int_equal(totals.fresh, 21);
	assert_int_equal(count_asked(k), 21);
}

static void what_failed_goes_out_after_the_next_start_though_it_is_leased(void **state)
{
	struct kit *k = *state;
	struct address a = put(k, 1, true);
	struct catalogue_lease lease = { .volume = k->options.volume, .seq = 1, .addresses = &a, .count = 1 };
	struct shelf_change c = { .kind = SHELF_LEASE, .lease = &lease };
	uint64_t t = outgoing_ticket(k->o);

	answer_next(k, -EHOSTUNREACH);
	assert_int_equal(result_of(k, t), -EHOSTUNREACH);
	lease.slot = (uint16_t)(a.b[0] << 6 | a.b[1] >> 2);
	lease.blob = chunk_copy("lease", 5);
	assert_int_equal(shelf_commit(peer_shelf(k->fake.peer), &c, 1), 0);
	chunk_drop(lease.blob);
	stop(k);
	fakepeer_reopen(&k->fake);
	start(k, 1);
	t = outgoing_ticket(k->o);
	answer_next(k, -EHOSTUNREACH);
	assert_int_equal(result_of(k, t), -EHOSTUNREACH);
	/* And now again. */
	assert_int_equal(count_asked(k), 2);
}

static void what_all_owners_have_and_a_lease_holds_is_left_alone(void **state)
{
	struct kit *k = *state;
	struct address a;
	struct shelf_change c = { .kind = SHELF_STATES, .states = STATE_CACHED };

	a = put(k, 1, true);
	answer_next(k, 0);
	c.address = a;
	assert_int_equal(shelf_commit(peer_shelf(k->fake.peer), &c, 1), 0);
	restart(k);
	/* No lease has it yet: its owners are shown that it is wanted. */
	assert_int_equal(count_asked(k), 1);
}

static void what_can_t_be_looked_up_is_not_taken_for_safe(void **state)
{
	struct kit *k = *state;
	struct shelf_change c = { .kind = SHELF_STATES, .states = STATE_CACHED };
	unsigned int before;

	/* One that waits for owners, and one that all owners have and no lease. */
	put(k, 1, true);
	answer_next(k, 0);
	c.address = put(k, 2, true);
	answer_next(k, 0);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
	assert_int_equal(shelf_commit(peer_shelf(k->fake.peer), &c, 1), 0);
	stop(k);
	fakepeer_reopen(&k->fake);
	atomic_store(&ledger_says, EIO);
	start(k, 1);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), -EIO);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), -EIO);
	atomic_store(&ledger_says, 0);
	before = fakepeer_asked(k->fake.peer, COMMAND_INSERT);
	fakepeer_auto(k->fake.peer, yes);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_INSERT) - before, 2);
}

static void nor_is_what_the_shelf_can_t_say(void **state)
{
	struct kit *k = *state;

	put(k, 1, true);
	answer_next(k, 0);
	stop(k);
	fakepeer_reopen(&k->fake);
	atomic_store(&shelf_says, EIO);
	start(k, 1);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), -EIO);
	atomic_store(&shelf_says, 0);
}

/* The loop, which waits for the same lock when it tells of an answer, must not wait for the disk. */
static void nobody_waits_for_the_disk_behind_the_pass(void **state)
{
	struct kit *k = *state;
	struct outgoing_status s;

	put(k, 1, true);
	answer_next(k, 0);
	stop(k);
	fakepeer_reopen(&k->fake);
	fakepeer_auto(k->fake.peer, yes);
	atomic_store(&ledger_asked, 0);
	atomic_store(&ledger_says, 1);
	start(k, 1);
	while (atomic_load(&ledger_asked) == 0)
		sched_yield();
	outgoing_status(k->o, &s);
	assert_int_equal(s.waiting + s.sent, 0);
	atomic_store(&ledger_says, 0);
	assert_int_equal(result_of(k, outgoing_ticket(k->o)), 0);
}

/* What this node keeps for others, as a spare, is no business of its volume's. */
static void chunks_of_others_are_left_alone(void **state)
{
	struct kit *k = *state;
	struct chunk *chunk = dhttest_chunk(77, LEN);
	struct shelf_change c = { .kind = SHELF_ADD, .states = STATE_FOREIGN, .bytes = LEN };

	address_of(KIND_DATA, chunk->data, chunk->len, &c.address);
	memset(&c.volume, 9, sizeof(c.volume));
	assert_int_equal(store_put(k->fake.store, KIND_DATA, &c.address, chunk, false), 0);
	assert_int_equal(shelf_commit(peer_shelf(k->fake.peer), &c, 1), 0);
	memset(&c.volume, 0, sizeof(c.volume));
	chunk_drop(chunk);
	restart(k);
	assert_int_equal(count_asked(k), 0);
}

static void a_store_that_was_used_alone_goes_out_and_is_to_be_leased(void **state)
{
	struct kit *k = *state;
	struct shelf_totals totals;

	stop(k);
	for (unsigned int i = 0; i < 300; i++)
		put(k, i, false);
	/* The shelf is new. */
	assert_int_equal(fakepeer_close(k->fake.peer), 0);
	unlink(dhttest_path(&k->fake.files, "shelf"));
	unlink(dhttest_path(&k->fake.files, "shelf-lock"));
	k->fake.peer = fakepeer_open(k->fake.files.dir, k->fake.store);
	start(k, 1);
	shelf_totals(peer_shelf(k->fake.peer), &totals);
	assert_int_equal(totals.fresh, 300);
	assert_int_equal(count_asked(k), 300);
}

/* Hours, perhaps: who waits for that alone is not held up so long, and is not told that all is well. */
static void who_waits_for_what_an_earlier_run_left_waits_no_longer_than_the_bound(void **state)
{
	struct kit *k = *state;
	uint64_t t;

	stop(k);
	for (unsigned int i = 0; i < OUTGOING_CHUNKS + 300; i++)
		put(k, i, false);
	fakepeer_reopen(&k->fake);
	k->options.peer = k->fake.peer;
	k->options.store = k->fake.store;
	k->options.timeout_ms = 1;
	k->upto = 0;
	assert_int_equal(shelf_own(peer_shelf(k->fake.peer), &k->options.volume), 0);
	assert_int_equal(outgoing_open(&k->options, &k->o), 0);
	for (int i = 0; i < TICKETS; i++)
		k->result[i] = 1;
	t = outgoing_ticket(k->o);
	assert_int_equal(result_of(k, t), -ETIMEDOUT);
	fakepeer_auto(k->fake.peer, yes);
	while (fakepeer_asked(k->fake.peer, COMMAND_INSERT) < OUTGOING_CHUNKS + 300)
		sched_yield();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_ticket_with_nothing_before_it_is_decided_at_once),
		TEST(a_ticket_waits_for_all_that_was_added_before_it),
		TEST(what_comes_later_is_not_waited_for),
		TEST(an_address_alone_is_read_from_the_store),
		TEST(one_that_fails_fails_its_ticket_at_once_and_those_behind_it),
		TEST(until_it_is_out_each_ticket_fails),
		TEST(a_ticket_behind_one_that_failed_waits_for_its_chunks),
		TEST(what_the_ring_has_no_room_for_is_tried_again),
		TEST(what_is_not_here_any_more_is_fetched_from_others),
		TEST(what_nobody_has_is_not_safe),
		TEST(the_end_waits_for_what_is_fetched),
		TEST(what_is_searched_for_holds_nobody_up),
		TEST(no_more_are_asked_at_a_time_than_the_window_has),
		TEST(a_line_that_nobody_knows_is_given_little_at_first),
		TEST(the_end_decides_all_tickets),
		TEST(what_waited_at_the_end_goes_out_after_the_next_start),
		TEST(what_failed_goes_out_after_the_next_start_though_it_is_leased),
		TEST(what_all_owners_have_and_a_lease_holds_is_left_alone),
		TEST(what_can_t_be_looked_up_is_not_taken_for_safe),
		TEST(nor_is_what_the_shelf_can_t_say),
		TEST(nobody_waits_for_the_disk_behind_the_pass),
		TEST(chunks_of_others_are_left_alone),
		TEST(a_store_that_was_used_alone_goes_out_and_is_to_be_leased),
		TEST(who_waits_for_what_an_earlier_run_left_waits_no_longer_than_the_bound),
	};

	return suite_run(tests);
}
