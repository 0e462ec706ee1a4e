/*
 * The power fails at every change that a node's disk makes to its segments, while effects are under way.  After that, what was
 * done is there: records with their states and bytes, rows, and what was deleted is not.  What was never more than cached may be lost.
 */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dht/peer/disk.h"
#include "dht/peer/packed.h"
#include "tests/lib/faultio.h"
#include "tests/lib/suite.h"

#define KEYS	30
#define EFFECTS 60
#define LEN	3000

/* What is known of one address, or of one row. */
struct known {
	struct address address;
	unsigned int states;		/* as of what was done before the cut */
	unsigned int under_way;		/* at the cut: nothing is known of the states then ... */
	bool going;			/* ... and not whether it is here: a delete was among them */
	bool counts;			/* since it was written it was more than cached */
};

struct life {
	struct dhttest t;
	struct faultio *files;
	struct store *store;
	struct shelf *shelf;
	struct disk *disk;
	char why[512], ledger[512], kept_ledger[512], rows[512], kept_rows[512];

	pthread_mutex_t lock;		/* covers what follows */
	pthread_cond_t told;
	bool off;
	unsigned int left;
	struct known known[KEYS];
	struct effect effects[EFFECTS + 1];	/* by ticket */
	unsigned int of[EFFECTS + 1];		/* whose */
	int results[EFFECTS + 1];
};

static void done(void *arg, struct event *e)
{
	struct life *l = arg;
	struct effect *was = &l->effects[e->ticket];
	struct known *k = &l->known[l->of[e->ticket]];

	chunk_drop(e->chunk);
	pthread_mutex_lock(&l->lock);
	l->results[e->ticket] = e->result;
	if (!l->off) {
		k->under_way--;
		if (e->result == 0 && was->kind == EFFECT_WRITE) {
			k->states |= was->states;
			if (k->states & (STATE_OWNED | STATE_FOREIGN))
				k->states &= ~(unsigned int)STATE_CACHED;
		} else if (e->result == 0)
			k->states = was->states;
		k->counts = k->states && (k->counts || k->states != STATE_CACHED);
	}
	l->left--;
	pthread_cond_broadcast(&l->told);
	pthread_mutex_unlock(&l->lock);
}

/* What is told from now on, nobody heard. */
static void gone(void *arg)
{
	struct life *l = arg;

	pthread_mutex_lock(&l->lock);
	l->off = true;
	pthread_mutex_unlock(&l->lock);
	dhttest_copy_ledger(l->rows, l->kept_rows);
	dhttest_copy_ledger(l->ledger, l->kept_ledger);
}

static void open_all(struct life *l)
{
	struct disk_options o = { .done = done, .arg = l, .workers = 3 };

	assert_int_equal(store_open(&l->t.options, false, NULL, NULL, NULL, &l->store, l->why, sizeof(l->why)), 0);
	assert_int_equal(shelf_open(l->t.dir, l->store, &l->shelf, l->why, sizeof(l->why)), 0);
	o.store = l->store;
	o.shelf = l->shelf;
	assert_int_equal(disk_open(&o, &l->disk), 0);
}

static void close_all(struct life *l)
{
	disk_close(l->disk);
	shelf_close(l->shelf);
	store_close(l->store);
}

static void begin(struct life *l)
{
	memset(l, 0, sizeof(*l));
	dhttest_begin(&l->t);
	l->files = faultio_new();
	l->t.options.io = faultio_io(l->files);
	snprintf(l->ledger, sizeof(l->ledger), "%s/ledger", l->t.dir);
	snprintf(l->rows, sizeof(l->rows), "%s/shelf", l->t.dir);
	snprintf(l->kept_ledger, sizeof(l->kept_ledger), "%s.ledger", l->t.dir);
	snprintf(l->kept_rows, sizeof(l->kept_rows), "%s.shelf", l->t.dir);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->told, NULL);
	for (unsigned int i = 0; i < KEYS; i++)
		dhttest_address(i, LEN, &l->known[i].address);
}

static void end(struct life *l)
{
	dhttest_end(&l->t);
	faultio_free(l->files);
	unlink(l->kept_ledger);
	unlink(l->kept_rows);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->told);
}

static void start(struct life *l, uint64_t ticket, uint64_t *random)
{
	static const unsigned int states[] = { STATE_OWNED, STATE_FOREIGN, STATE_OWNED | STATE_FOREIGN, STATE_CACHED };
	unsigned int key = (unsigned int)(dhttest_random(random) % KEYS), what = (unsigned int)(dhttest_random(random) % 4);
	struct effect *e = &l->effects[ticket];
	struct known *k = &l->known[key];

	*e = (struct effect){ .kind = EFFECT_STATES, .ticket = ticket, .address = k->address, .chunk_kind = KIND_DATA };
	e->states = what == 0 ? 0 : states[dhttest_random(random) % 4];
	if (what > 1) {
		struct chunk *raw = dhttest_chunk(key, LEN);

		e->kind = EFFECT_WRITE;
		e->chunk = packed_make(NULL, raw);
		chunk_drop(raw);
	}
	pthread_mutex_lock(&l->lock);
	l->of[ticket] = key;
	k->under_way += !l->off;
	k->going |= what == 0 && !l->off;
	l->left++;
	/* Of one address one at a time, mostly: then what it is, is known. */
	while (l->left > 6)
		pthread_cond_wait(&l->told, &l->lock);
	pthread_mutex_unlock(&l->lock);
	disk_start(l->disk, e);
	chunk_drop(e->chunk);
}

static void check(struct life *l)
{
	struct catalogue *c = shelf_catalogue(l->shelf);

	for (unsigned int i = 0; i < KEYS; i++) {
		struct known *k = &l->known[i];
		unsigned int states = c->state(c, &k->address);
		enum kind kind = KIND_DATA;
		struct chunk *chunk;

		if (!states && !k->counts)
			continue;
		if (k->under_way == 0 && states != k->states)
			fail_msg("record %u: %u, not %u", i, states, k->states);
		if (k->states && !states && !k->going)
			fail_msg("record %u is lost", i);
		if (!states)
			continue;
		assert_int_equal(store_get(l->store, &kind, &k->address, &chunk), 0);
		chunk_drop(chunk);
	}
}

static unsigned int live(uint64_t seed, unsigned int off_at)
{
	uint64_t random = seed;
	unsigned int changes;
	struct life l;

	begin(&l);
	l.t.options.ledger_batch = (unsigned int)(dhttest_random(&random) % 3 * 5);
	open_all(&l);
	changes = faultio_changes(l.files);
	if (off_at > 0)
		faultio_off_at(l.files, changes + off_at, gone, &l);
	for (uint64_t i = 1; i <= EFFECTS; i++)
		start(&l, i, &random);
	close_all(&l);
	changes = faultio_changes(l.files) - changes;
	faultio_power_cut(l.files, seed + off_at);
	if (access(l.kept_ledger, F_OK) == 0) {
		dhttest_copy(l.kept_ledger, l.ledger);
		dhttest_copy(l.kept_rows, l.rows);
	}
	open_all(&l);
	check(&l);
	close_all(&l);
	/* And the same once more after an orderly end. */
	open_all(&l);
	check(&l);
	close_all(&l);
	end(&l);
	return changes;
}

/* Of known[0]; ${ticket} rises. */
static void start_one(struct life *l, uint64_t ticket, enum effect_kind kind, unsigned int states)
{
	struct effect *e = &l->effects[ticket];
	struct chunk *raw = dhttest_chunk(0, LEN);

	*e = (struct effect){ .kind = kind, .ticket = ticket, .address = l->known[0].address, .chunk_kind = KIND_DATA, .states = states };
	if (kind == EFFECT_WRITE)
		e->chunk = packed_make(NULL, raw);
	chunk_drop(raw);
	pthread_mutex_lock(&l->lock);
	l->known[0].under_way++;
	l->left++;
	pthread_mutex_unlock(&l->lock);
	disk_start(l->disk, e);
	chunk_drop(e->chunk);
}

static int await(struct life *l, uint64_t ticket)
{
	int result;

	pthread_mutex_lock(&l->lock);
	while (l->left > 0)
		pthread_cond_wait(&l->told, &l->lock);
	result = l->results[ticket];
	pthread_mutex_unlock(&l->lock);
	return result;
}

/* Since a cached copy is not waited for, it is not durable when it becomes more than that. */
static void what_can_not_be_made_durable_stays_cached(void **state)
{
	struct catalogue *c;
	struct life l;

	(void)state;
	begin(&l);
	open_all(&l);
	c = shelf_catalogue(l.shelf);
	faultio_fail(l.files, FAULT_SYNC, 0, 1000000, -EIO);
	start_one(&l, 1, EFFECT_WRITE, STATE_CACHED);
	/* Who waits behind it has it noted at once. */
	start_one(&l, 2, EFFECT_READ, 0);
	assert_int_equal(await(&l, 2), 0);
	assert_int_equal(l.results[1], 0);
	start_one(&l, 3, EFFECT_STATES, STATE_OWNED);
	assert_int_equal(await(&l, 3), -EIO);
	/* As long as it is not durable, nobody hears that it is owned. */
	start_one(&l, 4, EFFECT_STATES, STATE_OWNED);
	assert_int_equal(await(&l, 4), -EIO);
	assert_int_equal(c->state(c, &l.known[0].address), STATE_CACHED);
	faultio_fail(l.files, FAULT_SYNC, 0, 0, 0);
	start_one(&l, 5, EFFECT_STATES, STATE_OWNED);
	assert_int_equal(await(&l, 5), 0);
	assert_int_equal(store_here_durable(l.store, &l.known[0].address), 0);
	close_all(&l);
	end(&l);
}

static void after_a_power_cut_what_was_done_is_there(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 40 : 3;
	uint64_t seed = suite_seed(20261123);

	(void)state;
	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int changes = live(seed, 0);

		for (unsigned int off_at = 1; off_at <= changes; off_at += 1 + changes / 12)
			live(seed, off_at);
		seed = dhttest_random(&seed);
		printf("# %u changes, next SEED=%" PRIu64 "\n", changes, seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_not_be_made_durable_stays_cached),
		cmocka_unit_test(after_a_power_cut_what_was_done_is_there),
	};

	return suite_run(tests);
}
