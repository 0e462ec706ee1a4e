/* The shelf: the same changes give the same answers as a catalogue in memory; and what a crash may leave. */
#include "tests/lib/shelfkit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/memory_catalogue.h"
#include "tests/lib/suite.h"

#define LEN 100			/* bytes of a record */
#define KEYS 400		/* records that come and go */
#define VOLUMES 3

static int setup(void **state)
{
	struct shelfkit *k = calloc(1, sizeof(*k));

	shelfkit_begin(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	shelfkit_end(*state);
	free(*state);
	return 0;
}

static void sync_store(struct shelfkit *k)
{
	assert_int_equal(store_sync_wait(k->store, store_sync_start(k->store)), 0);
}

static int one(struct shelfkit *k, struct shelf_change *c)
{
	assert_int_equal(shelf_commit(k->shelf, c, 1), 0);
	return c->result;
}

static int add(struct shelfkit *k, const struct address *a, unsigned int states)
{
	return one(k, &(struct shelf_change){ .kind = SHELF_ADD, .address = *a, .states = states, .bytes = LEN });
}

static int set_states(struct shelfkit *k, const struct address *a, unsigned int states)
{
	return one(k, &(struct shelf_change){ .kind = SHELF_STATES, .address = *a, .states = states });
}

static void a_record_without_a_row_is_foreign(void **state)
{
	struct shelfkit *k = *state;
	struct address a, b;

	shelfkit_put(k, 1, LEN, &a);
	assert_int_equal(k->c->state(k->c, &a), 0);
	sync_store(k);
	assert_int_equal(k->c->state(k->c, &a), STATE_FOREIGN);
	assert_int_equal(set_states(k, &a, STATE_OWNED), 0);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	shelfkit_put(k, 2, LEN, &b);
	sync_store(k);
	assert_int_equal(one(k, &(struct shelf_change){ .kind = SHELF_ADD, .address = b, .states = STATE_OWNED, .bytes = LEN, .known = true }), 0);
	assert_int_equal(k->c->state(k->c, &b), STATE_OWNED | STATE_FOREIGN);
}

static void a_row_without_a_record_is_not_seen_and_goes(void **state)
{
	struct shelfkit *k = *state;
	struct shelf_totals t;
	struct address a, b, out[4];

	shelfkit_put(k, 1, LEN, &a);
	shelfkit_put(k, 2, LEN, &b);
	assert_int_equal(add(k, &a, STATE_OWNED), 0);
	assert_int_equal(add(k, &b, STATE_OWNED), 0);
	assert_int_equal(store_remove(k->store, &a, 1, NULL), 0);
	assert_int_equal(k->c->list(k->c, NULL, STATE_OWNED, 4, out), 1);
	assert_true(address_equal(&out[0], &b));
	assert_int_equal(k->c->state(k->c, &a), 0);
	assert_int_equal(set_states(k, &a, STATE_CACHED), -ENOENT);
	assert_int_equal(set_states(k, &b, STATE_CACHED), 0);
	shelf_totals(k->shelf, &t);
	assert_int_equal(t.owned, 0);
	assert_int_equal(t.cached, 1);
	assert_int_equal(t.cached_bytes, LEN);
}

static void what_is_cached_and_not_leased_is_evicted_first(void **state)
{
	struct shelfkit *k = *state;
	struct address a[8], cursor = { { 0 } }, out[8];
	struct catalogue_lease l = { .slot = 1, .seq = 1, .blob = dhttest_chunk(1, 10), .addresses = a, .count = 1 };

	for (unsigned int i = 0; i < 8; i++) {
		shelfkit_put(k, i, LEN, &a[i]);
		assert_int_equal(add(k, &a[i], i < 6 ? STATE_CACHED : STATE_OWNED), 0);
	}
	assert_int_equal(one(k, &(struct shelf_change){ .kind = SHELF_LEASE, .lease = &l }), 0);
	assert_int_equal(shelf_evict(k->shelf, &cursor, false, 3, out), 3);
	assert_int_equal(shelf_evict(k->shelf, &cursor, false, 3, out + 3), 2);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(k->c->state(k->c, &out[i]), STATE_CACHED);
		assert_true(i == 0 || address_compare(&out[i - 1], &out[i]) < 0);
	}
	assert_int_equal(shelf_evict(k->shelf, &cursor, true, 3, out), 1);
	assert_true(address_equal(&out[0], &a[0]));
	chunk_drop(l.blob);
}

/* ---- the same as in memory ---- */

struct model {
	struct shelfkit *k;
	struct memory_catalogue m;
	uint64_t random;
	struct address key[KEYS], volume[VOLUMES];
	struct address sorted[KEYS];
};

static int compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

static uint64_t below(struct model *m, uint64_t n)
{
	return dhttest_random(&m->random) % n;
}

static void model_begin(struct model *m, struct shelfkit *k)
{
	m->k = k;
	m->random = suite_seed(20261123);
	memory_catalogue_init(&m->m, UINT64_MAX / 4);
	for (unsigned int i = 0; i < KEYS; i++)
		dhttest_address(i, LEN, &m->key[i]);
	memcpy(m->sorted, m->key, sizeof(m->key));
	qsort(m->sorted, KEYS, sizeof(m->sorted[0]), compare);
	for (unsigned int i = 0; i < VOLUMES; i++)
		m->volume[i].b[0] = (uint8_t)(i * 80);
}

static void model_apply(struct model *m, const struct effect *e, int result)
{
	struct event done;

	memory_catalogue_apply(&m->m, e, &done);
	assert_int_equal(done.result, result);
	chunk_drop(done.chunk);
}

static void change_record(struct model *m)
{
	static const unsigned int states[] = { STATE_OWNED, STATE_FOREIGN, STATE_OWNED | STATE_FOREIGN, STATE_CACHED };
	unsigned int i = (unsigned int)below(m, KEYS);
	struct shelf_change c = { .address = m->key[i], .states = states[below(m, 4)], .bytes = LEN };
	struct effect e = { .address = m->key[i], .states = c.states, .chunk_kind = KIND_DATA };
	bool here = m->m.catalogue.state(&m->m.catalogue, &m->key[i]) & STATE_ANY;

	switch (below(m, 4)) {
	case 0:
	case 1:
		c.kind = SHELF_ADD;
		c.known = here;
		e.kind = EFFECT_WRITE;
		e.hash = c.volume = m->volume[below(m, VOLUMES)];
		e.chunk = dhttest_chunk(i, LEN);
		assert_int_equal(store_put(m->k->store, KIND_DATA, &m->key[i], e.chunk, false), 0);
		break;
	case 2:
		c.kind = SHELF_STATES;
		e.kind = EFFECT_STATES;
		break;
	default:
		c.kind = SHELF_FORGET;
		e.kind = EFFECT_STATES;
		e.states = 0;
		assert_int_equal(store_remove(m->k->store, &m->key[i], 1, NULL), 0);
	}
	model_apply(m, &e, one(m->k, &c));
	chunk_drop(e.chunk);
}

static void change_row(struct model *m)
{
	struct shelf_change c = { .kind = SHELF_ROW };
	struct effect e = { .kind = EFFECT_SAVE };

	c.row.table = (uint8_t)(1 + below(m, 3));
	c.row.key = m->key[below(m, 8)];
	c.chunk = below(m, 3) ? dhttest_chunk(below(m, 1000), 1 + (size_t)below(m, below(m, 4) ? 200 : 20000)) : NULL;
	e.row = c.row;
	e.chunk = c.chunk;
	model_apply(m, &e, one(m->k, &c));
	chunk_drop(c.chunk);
}

/* Addresses of one lease: a part of all keys, and in it some. */
static void change_lease(struct model *m)
{
	struct address *a = malloc(KEYS * sizeof(*a));
	unsigned int from = (unsigned int)below(m, KEYS), part = (unsigned int)below(m, KEYS - from) + 1;
	unsigned int share = (unsigned int)below(m, 10) + 1;
	struct catalogue_lease l = { .slot = (uint16_t)(below(m, 3) * 300), .seq = 1, .volume = m->volume[below(m, VOLUMES)], .addresses = a };
	struct shelf_change c = { .kind = SHELF_LEASE, .lease = &l };
	struct effect e = { .kind = EFFECT_LEASE, .lease = &l };

	for (unsigned int i = from; i < from + part; i++)
		if (below(m, 10) < share)
			a[l.count++] = m->sorted[i];
	l.blob = below(m, 5) ? dhttest_chunk(below(m, 1000), 150) : NULL;
	model_apply(m, &e, one(m->k, &c));
	chunk_drop(l.blob);
	free(a);
}

static void same_chunk(struct chunk *a, struct chunk *b)
{
	assert_true(!a == !b);
	if (a) {
		assert_int_equal(a->len, b->len);
		assert_memory_equal(a->data, b->data, a->len);
	}
	chunk_drop(a);
	chunk_drop(b);
}

static void what_our_volume_wants_is_told_until_a_lease_has_it(void **state)
{
	struct shelfkit *k = *state;
	const struct address volume = { .b = { 9 } };
	struct address a, b;

	assert_int_equal(shelf_own(k->shelf, &volume), 0);
	shelfkit_put(k, 1, LEN, &a);
	shelfkit_put(k, 2, LEN, &b);
	sync_store(k);
	assert_int_equal(add(k, &a, STATE_OWNED), 0);
	assert_int_equal(add(k, &b, STATE_OWNED), 0);
	assert_int_equal(shelf_keep(k->shelf, &a, 1), 0);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED | STATE_WANTED);
	assert_int_equal(k->c->state(k->c, &b), STATE_OWNED);
	/* Also where the volume is not written just now. */
	assert_int_equal(shelf_close(k->shelf), 0);
	assert_int_equal(shelfkit_open_shelf(k), 0);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED | STATE_WANTED);
}

static void same_lists(struct model *m, const struct address *from, size_t n)
{
	struct catalogue *real = m->k->c, *model = &m->m.catalogue;
	struct address a[KEYS], b[KEYS];

	for (unsigned int states = 1; states <= (STATE_ANY | STATE_LEASED); states++) {
		size_t count = model->list(model, from, states, n, b);

		assert_int_equal(real->list(real, from, states, n, a), count);
		assert_memory_equal(a, b, count * sizeof(*a));
	}
}

static void same_leases(struct model *m, const struct address *from, size_t n)
{
	struct catalogue *real = m->k->c, *model = &m->m.catalogue;
	struct address a[KEYS], b[KEYS];

	for (unsigned int slot = 0; slot <= 900; slot += 300) {
		struct address after, next;
		bool more = real->lease_next(real, slot, NULL, &after);

		assert_int_equal(model->lease_next(model, slot, NULL, &next), more);
		while (more) {
			size_t count = model->lease_list(model, &after, slot, from, n, b);

			assert_true(address_equal(&after, &next));
			same_chunk(real->lease(real, &after, slot), model->lease(model, &after, slot));
			assert_int_equal(real->lease_list(real, &after, slot, from, n, a), count);
			assert_memory_equal(a, b, count * sizeof(*a));
			assert_int_equal(model->lease_next(model, slot, &after, &next), more = real->lease_next(real, slot, &after, &a[0]));
			after = a[0];
		}
	}
}

static void same_rows(struct model *m)
{
	struct catalogue *real = m->k->c, *model = &m->m.catalogue;

	for (uint8_t table = 0; table < 5; table++) {
		struct address a, b;
		bool more = model->rows(model, table, NULL, &b);

		assert_int_equal(real->rows(real, table, NULL, &a), more);
		while (more) {
			struct catalogue_row_key key = { table, a };

			assert_true(address_equal(&a, &b));
			same_chunk(real->row(real, &key), model->row(model, &key));
			assert_int_equal(real->rows(real, table, &key.key, &a), more = model->rows(model, table, &b, &b));
		}
	}
}

static void same_answers(struct model *m)
{
	struct catalogue *real = m->k->c, *model = &m->m.catalogue;
	struct address from = m->key[below(m, KEYS)];

	from.b[ADDRESS_LEN - 1] = (uint8_t)(from.b[ADDRESS_LEN - 1] + below(m, 3) - 1);
	for (unsigned int i = 0; i < KEYS; i++) {
		assert_int_equal(real->state(real, &m->key[i]), model->state(model, &m->key[i]));
		assert_int_equal(real->leased(real, &m->key[i]), model->leased(model, &m->key[i]));
	}
	same_lists(m, NULL, KEYS);
	same_lists(m, &from, 1 + (size_t)below(m, 50));
	same_leases(m, NULL, KEYS);
	same_leases(m, &from, 1 + (size_t)below(m, 200));
	same_rows(m);
	for (unsigned int i = 1; i < VOLUMES; i++)
		assert_int_equal(real->volume_bytes(real, &m->volume[i]), model->volume_bytes(model, &m->volume[i]));
}

static void random_changes_give_the_answers_of_a_catalogue_in_memory(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 300 : 17;
	struct model m;

	model_begin(&m, *state);
	for (unsigned int round = 0; round < rounds; round++) {
		for (unsigned int i = (unsigned int)below(&m, 60); i > 0; i--) {
			unsigned int what = (unsigned int)below(&m, 10);

			if (what < 8)
				change_record(&m);
			else if (what < 9)
				change_row(&m);
			else
				change_lease(&m);
		}
		same_answers(&m);
		if (round % 8 == 7) {
			shelfkit_reopen(m.k);
			assert_string_equal(m.k->why, "");
			same_answers(&m);
		}
	}
	memory_catalogue_free(&m.m);
}

/* ---- opening ---- */

static void what_the_store_got_without_the_shelf_is_foreign_from_the_next_open_on(void **state)
{
	struct shelfkit *k = *state;
	struct address a[50], gone, out[60];
	size_t n;

	for (unsigned int i = 0; i < 50; i++)
		shelfkit_put(k, i, LEN, &a[i]);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(add(k, &a[i], STATE_OWNED), 0);
	shelfkit_close(k);
	shelfkit_open_store(k);
	assert_int_equal(store_remove(k->store, a, 5, NULL), 0);
	shelfkit_put(k, 99, LEN, &gone);
	assert_int_equal(shelfkit_open_shelf(k), 0);
	n = k->c->list(k->c, NULL, STATE_FOREIGN, 60, out);
	assert_int_equal(n, 31);
	assert_int_equal(k->c->list(k->c, NULL, STATE_OWNED, 60, out), 15);
	shelfkit_reopen(k);
	assert_int_equal(k->c->list(k->c, NULL, STATE_FOREIGN, 60, out), 31);
}

static void a_shelf_that_is_damaged_or_of_another_store_says_so(void **state)
{
	struct shelfkit *k = *state;
	char path[512];

	shelfkit_close(k);
	snprintf(path, sizeof(path), "%s", dhttest_path(&k->files, "shelf"));
	shelfkit_open_store(k);
	assert_int_equal(truncate(path, 5000), 0);
	assert_int_equal(shelfkit_open_shelf(k), -EUCLEAN);
	assert_non_null(strstr(k->why, "damaged"));
	/* It stays so: half of it may be wrong. */
	assert_int_equal(shelfkit_open_shelf(k), -EUCLEAN);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(dhttest_path(&k->files, "shelf-damaged")), 0);
	assert_int_equal(shelfkit_open_shelf(k), 0);
}

/* One bit, wherever the file has these bytes: pages that are free now may have them, too. */
static void flip(struct shelfkit *k, const void *bytes, size_t len)
{
	FILE *f = fopen(dhttest_path(&k->files, "shelf"), "r+b");
	unsigned int found = 0;
	size_t size;
	char *all;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = (size_t)ftell(f);
	all = malloc(size);
	rewind(f);
	assert_int_equal(fread(all, 1, size, f), size);
	for (char *at = all; (at = memmem(at, size - (size_t)(at - all), bytes, len)); at++) {
		at[len / 2] ^= 4;
		found++;
	}
	assert_true(found > 0);
	rewind(f);
	assert_int_equal(fwrite(all, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	free(all);
}

static const char head_bytes[] = "a head that was acknowledged", lease_bytes[] = "a lease, as it was signed";

static void save_row_and_lease(struct shelfkit *k, struct address *addresses, size_t n)
{
	struct catalogue_lease lease = { .slot = 0, .seq = 1, .addresses = addresses, .count = (uint32_t)n,
		.blob = chunk_copy(lease_bytes, sizeof(lease_bytes)) };
	struct shelf_change c[] = {
		{ .kind = SHELF_ROW, .row.table = ROW_HEAD, .chunk = chunk_copy(head_bytes, sizeof(head_bytes)) },
		{ .kind = SHELF_LEASE, .lease = &lease },
	};

	memset(&lease.volume, 5, sizeof(lease.volume));
	memset(addresses, 0, n * sizeof(*addresses));
	for (size_t i = 0; i < n; i++) {
		addresses[i].b[2] = (uint8_t)(i + 1);
		memset(addresses[i].b + 3, 0x5a, ADDRESS_LEN - 3);
	}
	assert_int_equal(shelf_commit(k->shelf, c, 2), 0);
	chunk_drop(c[0].chunk);
	chunk_drop(lease.blob);
}

static void damage(struct shelfkit *k, const void *bytes, size_t len)
{
	struct address addresses[3];

	save_row_and_lease(k, addresses, 3);
	shelfkit_close(k);
	shelfkit_open_store(k);
	flip(k, bytes, len);
	assert_int_equal(shelfkit_open_shelf(k), -EUCLEAN);
	assert_non_null(strstr(k->why, "damaged"));
}

static void a_row_with_a_flipped_bit_is_found_when_it_is_opened(void **state)
{
	damage(*state, head_bytes, sizeof(head_bytes));
}

static void a_lease_with_a_flipped_bit_is_found_when_it_is_opened(void **state)
{
	damage(*state, lease_bytes, sizeof(lease_bytes));
}

/* From these the next lease would be made. */
static void an_address_of_a_lease_with_a_flipped_bit_is_found_when_it_is_read(void **state)
{
	struct shelfkit *k = *state;
	struct address addresses[3], volume, *all;
	uint32_t n;

	memset(&volume, 5, sizeof(volume));
	save_row_and_lease(k, addresses, 3);
	assert_int_equal(shelf_lease_list(k->shelf, &volume, 0, &all, &n), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(all, addresses, sizeof(addresses));
	free(all);
	shelfkit_close(k);
	shelfkit_open_store(k);
	flip(k, addresses, sizeof(addresses));
	assert_int_equal(shelfkit_open_shelf(k), 0);
	assert_int_equal(shelf_lease_list(k->shelf, &volume, 0, &all, &n), -EUCLEAN);
	assert_null(all);
	shelfkit_close(k);
	shelfkit_open_store(k);
	assert_int_equal(shelfkit_open_shelf(k), -EUCLEAN);
}

/* What is written behind the shelf's back is told of at the next open, also after an orderly close. */
static void what_the_shelf_has_not_heard_of_is_compared(void **state)
{
	struct shelfkit *k = *state;
	struct address a, out[4];

	shelfkit_put(k, 1, LEN, &a);
	shelfkit_reopen(k);
	assert_int_equal(k->c->list(k->c, NULL, STATE_FOREIGN, 4, out), 1);
	assert_true(address_equal(&out[0], &a));
}

struct saver {
	struct shelfkit *kit;
	atomic_bool ended;
};

static void *save(void *arg)
{
	struct saver *s = arg;
	struct address addresses[3];

	for (unsigned int i = 0; i < 50; i++)
		save_row_and_lease(s->kit, addresses, 3);
	s->ended = true;
	return NULL;
}

/* As the loop reads while the disk's thread saves: for ThreadSanitizer, above all. */
static void what_is_read_while_it_is_saved_is_whole(void **state)
{
	struct shelfkit *k = *state;
	struct saver s = { .kit = k };
	struct catalogue_row_key key = { .table = ROW_HEAD };
	struct address addresses[3], volume;
	struct shelf_totals totals;
	pthread_t thread;

	memset(&volume, 5, sizeof(volume));
	save_row_and_lease(k, addresses, 3);
	assert_int_equal(pthread_create(&thread, NULL, save, &s), 0);
	while (!s.ended) {
		struct chunk *head = k->c->row(k->c, &key), *lease = k->c->lease(k->c, &volume, 0);

		assert_true(head && head->len == sizeof(head_bytes));
		assert_true(lease && lease->len == sizeof(lease_bytes));
		shelf_totals(k->shelf, &totals);
		assert_int_equal(totals.leased, 3);
		chunk_drop(head);
		chunk_drop(lease);
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_record_without_a_row_is_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(what_our_volume_wants_is_told_until_a_lease_has_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_row_without_a_record_is_not_seen_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_cached_and_not_leased_is_evicted_first, setup, teardown),
		cmocka_unit_test_setup_teardown(random_changes_give_the_answers_of_a_catalogue_in_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_store_got_without_the_shelf_is_foreign_from_the_next_open_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_shelf_that_is_damaged_or_of_another_store_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_read_while_it_is_saved_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_row_with_a_flipped_bit_is_found_when_it_is_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lease_with_a_flipped_bit_is_found_when_it_is_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_of_a_lease_with_a_flipped_bit_is_found_when_it_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_shelf_has_not_heard_of_is_compared, setup, teardown),
	};

	return suite_run(tests);
}
