/* The disk of a node: effects are carried out as by a disk in memory, in the order of each thing, and what was said done is there. */
#include "tests/lib/diskkit.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

#include "dht/net/wire.h"
#include "dht/peer/packed.h"
#include "tests/lib/memory_catalogue.h"
#include "tests/lib/suite.h"

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

static void what_is_written_is_read_and_travels_as_it_came(void **state)
{
	static const size_t lens[] = { 0, 1, 100, 4000, 40000, 70001, CHUNK_MAX };
	struct diskkit *k = *state;
	struct effect e;

	for (unsigned int i = 0; i < 14; i++) {
		e = diskkit_write_of(k, i, lens[i / 2], STATE_OWNED);
		e.hash.b[0] = (uint8_t)i;
		assert_int_equal(diskkit_run(k, e), 0);
		chunk_drop(e.chunk);
		diskkit_assert_read(k, i, lens[i / 2]);
	}
	/* From the disk, and not from what waits to be durable. */
	diskkit_close(k);
	diskkit_open(k);
	for (unsigned int i = 0; i < 14; i++) {
		const struct event *read;

		diskkit_assert_read(k, i, lens[i / 2]);
		e = diskkit_write_of(k, i, lens[i / 2], STATE_OWNED);
		read = diskkit_await(k, diskkit_start(k, (struct effect){ .kind = EFFECT_READ, .address = e.address }));
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
	struct diskkit *k = *state;
	struct effect read = { .kind = EFFECT_READ };

	assert_int_equal(diskkit_write(k, 1, 5000, STATE_OWNED), 0);
	disk_close(k->disk);
	atomic_store(&starved, true);
	diskkit_open_disk(k);
	read.address = diskkit_address(1, 5000);
	for (unsigned int i = 0; i < 4 * DISKKIT_WORKERS; i++)
		assert_int_equal(diskkit_run(k, read), -ENOMEM);
	atomic_store(&starved, false);
	for (unsigned int i = 0; i < 4 * DISKKIT_WORKERS; i++)
		diskkit_assert_read(k, 1, 5000);
}

static void bytes_of_another_address_are_refused(void **state)
{
	struct diskkit *k = *state;

	for (uint64_t seed = 0; seed < 2; seed++) {
		struct effect e = diskkit_write_of(k, seed, 50000, STATE_OWNED), check = e;
		struct chunk *right = e.chunk;

		check.kind = EFFECT_CHECK;
		assert_int_equal(diskkit_run(k, check), 0);
		for (uint32_t at = 0; at < right->len; at += at < 8 ? 1 : right->len / 7) {
			e.chunk = chunk_copy(right->data, right->len);
			((uint8_t *)(uintptr_t)e.chunk->data)[at] ^= 0x41;
			check.chunk = e.chunk;
			assert_int_equal(diskkit_run(k, e), -EBADMSG);
			assert_int_equal(diskkit_run(k, check), -EBADMSG);
			chunk_drop(e.chunk);
		}
		e.chunk = right;
		e.chunk_kind = KIND_INDEX;
		assert_int_equal(diskkit_run(k, e), -EBADMSG);
		e.chunk_kind = (enum kind)99;
		assert_int_equal(diskkit_run(k, e), -EBADMSG);
		assert_int_equal(k->c->state(k->c, &e.address), 0);
		chunk_drop(right);
	}
}

static void what_is_there_already_is_neither_verified_nor_stored_again(void **state)
{
	struct diskkit *k = *state;
	struct dht_status before, after;
	struct effect e = diskkit_write_of(k, 2, 50000, STATE_OWNED | STATE_FOREIGN);
	struct chunk *c = diskkit_raw(2, 50000, &e.address), *right = e.chunk;

	/* As an insert of the mount comes: it has just been stored.  That its bytes are not looked at is seen by wrong ones. */
	assert_int_equal(store_put(k->store, KIND_DATA, &e.address, c, false), 0);
	store_status(k->store, &before);
	e.chunk = chunk_copy(right->data, right->len);
	((uint8_t *)(uintptr_t)e.chunk->data)[1000] ^= 1;
	assert_int_equal(diskkit_run(k, e), 0);
	store_status(k->store, &after);
	assert_int_equal(before.stored_bytes, after.stored_bytes);
	assert_int_equal(k->c->state(k->c, &e.address), STATE_OWNED | STATE_FOREIGN);
	diskkit_assert_read(k, 2, 50000);
	chunk_drop(e.chunk);
	chunk_drop(right);
	chunk_drop(c);
}

static void proofs_are_of_the_nonce_and_the_raw_bytes(void **state)
{
	struct diskkit *k = *state;
	struct effect e = { .kind = EFFECT_PROVE, .hash.b = "a nonce" };
	struct chunk *c = diskkit_raw(3, 50000, &e.address);
	crypto_generichash_state s;
	const struct event *proof;
	struct address is;

	assert_int_equal(diskkit_run(k, e), -ENOENT);
	assert_int_equal(diskkit_write(k, 3, 50000, STATE_OWNED), 0);
	proof = diskkit_await(k, diskkit_start(k, e));
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
	struct diskkit *k = *state;
	uint64_t t[40][5];

	for (uint64_t i = 0; i < 40; i++) {
		struct effect read = { .kind = EFFECT_READ, .address = diskkit_address(i, 3000) };
		struct effect states = { .kind = EFFECT_STATES, .address = read.address, .states = STATE_CACHED };

		t[i][0] = diskkit_start_write(k, i, 3000, STATE_OWNED | STATE_FOREIGN);
		t[i][1] = diskkit_start(k, read);
		t[i][2] = diskkit_start(k, states);
		states.states = 0;
		t[i][3] = diskkit_start(k, states);
		t[i][4] = diskkit_start(k, read);
	}
	for (uint64_t i = 0; i < 40; i++) {
		for (unsigned int n = 0; n < 5; n++) {
			assert_int_equal(diskkit_await(k, t[i][n])->result, n < 4 ? 0 : -ENOENT);
			assert_true(n == 0 || k->order[t[i][n - 1]] < k->order[t[i][n]]);
		}
	}
	/* So it is for one row. */
	for (unsigned int i = 0; i < 30; i++) {
		struct effect e = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } }, .chunk = dhttest_chunk(i, 20 + i) };

		diskkit_start(k, e);
		chunk_drop(e.chunk);
	}
	{
		struct effect e = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } }, .chunk = dhttest_chunk(99, 99) };
		struct chunk *row;

		assert_int_equal(diskkit_run(k, e), 0);
		row = k->c->row(k->c, &e.row);
		assert_int_equal(row->len, 99);
		chunk_drop(row);
		chunk_drop(e.chunk);
	}
}

static void a_copy_that_has_rotted_is_replaced(void **state)
{
	struct diskkit *k = *state;
	struct address a = diskkit_address(2, 60000);
	char path[512];
	FILE *f;

	assert_int_equal(diskkit_write(k, 2, 60000, STATE_OWNED), 0);
	diskkit_close(k);
	snprintf(path, sizeof(path), "%s", dhttest_path(&k->files, "segment-00000001"));
	f = fopen(path, "r+");
	assert_int_equal(fseek(f, 30000, SEEK_SET), 0);
	fputs("rot", f);
	assert_int_equal(fclose(f), 0);
	diskkit_open(k);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	assert_int_equal(diskkit_write(k, 2, 60000, STATE_OWNED), 0);
	diskkit_assert_read(k, 2, 60000);
}

static void what_reads_as_bad_is_not_there_any_more(void **state)
{
	struct diskkit *k = *state;
	struct address a = diskkit_address(2, 60000), out[2];
	char path[512];
	int rc;
	FILE *f;

	assert_int_equal(diskkit_write(k, 2, 60000, STATE_OWNED), 0);
	diskkit_close(k);
	snprintf(path, sizeof(path), "%s", dhttest_path(&k->files, "segment-00000001"));
	f = fopen(path, "r+");
	assert_int_equal(fseek(f, 30000, SEEK_SET), 0);
	fputs("rot", f);
	assert_int_equal(fclose(f), 0);
	diskkit_open(k);
	rc = diskkit_run(k, (struct effect){ .kind = EFFECT_READ, .address = a });
	assert_int_equal(rc, -EBADMSG);
	assert_int_equal(k->c->state(k->c, &a), 0);
	assert_int_equal(k->c->list(k->c, NULL, STATE_OWNED, 2, out), 0);
	assert_int_equal(diskkit_write(k, 2, 60000, STATE_OWNED), 0);
	assert_int_equal(k->c->state(k->c, &a), STATE_OWNED);
	diskkit_assert_read(k, 2, 60000);
}

/* One worker stands before the disk, the other sleeps. */
static void who_only_hashes_does_not_wait_for_who_reads(void **state)
{
	struct diskkit *k = *state;
	struct effect check = diskkit_write_of(k, 3, 5000, 0);
	uint64_t read, checked;

	check.kind = EFFECT_CHECK;
	assert_int_equal(diskkit_write(k, 2, 5000, STATE_OWNED), 0);
	diskkit_set_gate(DISKKIT_READS);
	read = diskkit_start(k, (struct effect){ .kind = EFFECT_READ, .address = diskkit_address(2, 5000) });
	while (diskkit_at_gate() == 0)
		sched_yield();
	checked = diskkit_start(k, check);
	assert_int_equal(diskkit_await(k, checked)->result, 0);
	diskkit_set_gate(DISKKIT_NONE);
	assert_int_equal(diskkit_await(k, read)->result, 0);
	chunk_drop(check.chunk);
}

/* It is noted at once, without the rest at whose end it would have been synced, also where what was to be noted at once came before it. */
static void a_cached_copy_that_somebody_waits_behind_does_not_rest(void **state)
{
	struct effect save = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } } };
	struct diskkit *k = *state;
	bool rested = true;

	save.chunk = dhttest_chunk(1, 20);
	for (uint64_t seed = 0; seed < 2; seed++)
		assert_int_equal(diskkit_write(k, seed, 5000, STATE_OWNED), 0);
	/* Now and then the store syncs by itself. */
	for (uint64_t seed = 10; rested && seed < 14; seed++) {
		struct address a = diskkit_address(seed, 5000);
		uint64_t read[2], behind;

		diskkit_set_gate(DISKKIT_READS);
		for (uint64_t i = 0; i < DISKKIT_WORKERS; i++)
			read[i] = diskkit_start(k, (struct effect){ .kind = EFFECT_READ, .address = diskkit_address(i, 5000) });
		while (diskkit_at_gate() < DISKKIT_WORKERS)
			sched_yield();
		diskkit_start_write(k, seed, 5000, STATE_CACHED);
		behind = diskkit_start(k, (struct effect){ .kind = EFFECT_READ, .address = a });
		assert_int_equal(diskkit_run(k, save), 0);
		diskkit_set_gate(DISKKIT_NONE);
		assert_int_equal(diskkit_await(k, behind)->result, 0);
		rested = store_here_durable(k->store, &a) == 0;
		diskkit_await(k, read[0]);
		diskkit_await(k, read[1]);
	}
	assert_false(rested);
	chunk_drop(save.chunk);
}

static void what_the_store_got_past_the_disk_is_found(void **state)
{
	struct diskkit *k = *state;
	struct address a, out[2];
	struct chunk *c = diskkit_raw(2, 5000, &a);

	/* The clock is one of a second: some effects go by. */
	assert_int_equal(store_put(k->store, KIND_DATA, &a, c, false), 0);
	for (uint64_t seed = 10; k->c->list(k->c, NULL, STATE_FOREIGN, 2, out) == 0; seed++)
		assert_int_equal(diskkit_write(k, seed % 100 + 10, 100, STATE_OWNED), 0);
	assert_true(address_equal(&out[0], &a));
	assert_int_equal(k->c->state(k->c, &a), STATE_FOREIGN);
	chunk_drop(c);
}

/* ---- the same as in memory ---- */

#define KEYS 120

static void random_effects_end_as_on_a_disk_in_memory(void **state)
{
	static const unsigned int all[] = { STATE_OWNED, STATE_FOREIGN, STATE_OWNED | STATE_FOREIGN, STATE_CACHED, 0 };
	struct diskkit *k = *state;
	struct memory_catalogue m;
	uint64_t random = suite_seed(20261123), tickets[256];
	struct address a[KEYS], out[KEYS], model[KEYS];
	int results[256];

	memory_catalogue_init(&m, UINT64_MAX / 4);
	for (unsigned int i = 0; i < KEYS; i++)
		a[i] = diskkit_address(i, 500 + i);
	for (unsigned int round = 0; round < 12; round++) {
		unsigned int n = (unsigned int)(dhttest_random(&random) % 250);

		for (unsigned int i = 0; i < n; i++) {
			unsigned int key = (unsigned int)(dhttest_random(&random) % KEYS);
			struct effect e = { .kind = EFFECT_STATES, .address = a[key], .states = all[dhttest_random(&random) % 5] };
			struct event d;

			if (dhttest_random(&random) % 2) {
				struct chunk *packed;

				e = diskkit_write_of(k, key, 500 + key, all[dhttest_random(&random) % 4]);
				e.hash.b[0] = (uint8_t)(dhttest_random(&random) % 3);
				tickets[i] = diskkit_start(k, e);
				packed = e.chunk;
				e.chunk = diskkit_raw(key, 500 + key, &e.address);
				memory_catalogue_apply(&m, &e, &d);
				chunk_drop(packed);
				chunk_drop(e.chunk);
			} else {
				tickets[i] = diskkit_start(k, e);
				memory_catalogue_apply(&m, &e, &d);
			}
			results[i] = d.result;
		}
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(diskkit_await(k, tickets[i])->result, results[i]);
		for (unsigned int states = 1; states <= STATE_ANY; states++) {
			size_t count = m.catalogue.list(&m.catalogue, NULL, states, KEYS, model);

			assert_int_equal(k->c->list(k->c, NULL, states, KEYS, out), count);
			assert_memory_equal(out, model, count * sizeof(*out));
		}
		for (unsigned int i = 0; i < KEYS; i++)
			assert_int_equal(k->c->state(k->c, &a[i]), m.catalogue.state(&m.catalogue, &a[i]));
		if (round % 4 == 3) {
			diskkit_close(k);
			diskkit_open(k);
		}
	}
	memory_catalogue_free(&m);
}

/* The committer stands still while they come, so that it meets all at once. */
static void many_leases_do_not_stand_before_all_others(void **state)
{
	struct effect save = { .kind = EFFECT_SAVE, .row = { ROW_HEAD, { { 7 } } } };
	struct catalogue_lease lease[200];
	struct diskkit *k = *state;
	uint64_t last = 0, first;

	save.chunk = dhttest_chunk(1, 20);
	pthread_mutex_lock(&k->lock);
	k->held = k->next;
	pthread_mutex_unlock(&k->lock);
	first = diskkit_start(k, save);
	diskkit_await(k, first);
	for (unsigned int i = 0; i < 200; i++) {
		lease[i] = (struct catalogue_lease){ .volume = { { (uint8_t)i } }, .slot = 1, .seq = 1, .blob = save.chunk };
		last = diskkit_start(k, (struct effect){ .kind = EFFECT_LEASE, .lease = &lease[i] });
	}
	save.row.key.b[0] = 8;
	diskkit_start(k, save);
	pthread_mutex_lock(&k->lock);
	k->held = 0;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
	diskkit_await(k, last);
	assert_int_equal(diskkit_await(k, last + 1)->result, 0);
	assert_true(k->order[last + 1] < k->order[last]);
	chunk_drop(save.chunk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, diskkit_setup, diskkit_teardown)
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
	};

	return suite_run(tests);
}
