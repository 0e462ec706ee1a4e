/* replicas: how many have a file, and that whoever counts can be called back. */
#include "tests/lib/fakepeer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/packed.h"
#include "fs/fetch.h"
#include "fs/replicas.h"

#define LEN 600

struct kit {
	struct dhttest t;
	struct peer_options ring;
	struct waiting_source source;
	struct ref ref;
	atomic_bool stop;
	struct peer *peer;
};

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	dhttest_begin(&k->t);
	k->t.options.ring = &k->ring;
	dhttest_must_open(&k->t);
	k->peer = dht_peer(k->t.dht);
	waiting_source_init(&k->source, k->t.dht, NULL);
	k->ref = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = LEN };
	dhttest_address(1, LEN, &k->ref.address);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	dhttest_end(&k->t);
	free(k);
	return 0;
}

static int count(struct kit *k, struct replicas *n)
{
	return replicas_count(k->t.dht, &k->source.source, &k->ref, &k->stop, n);
}

static int two_have_it(struct peer_ask *a)
{
	a->count = 2;
	return 0;
}

static void the_ring_tells_how_many_have_it(void **state)
{
	struct kit *k = *state;
	struct replicas n;

	fakepeer_auto(k->peer, two_have_it);
	assert_int_equal(count(k, &n), 0);
	assert_int_equal(n.copies, 2);
	assert_int_equal(n.owners, 3);
	assert_int_equal(n.chunks, 1);
}

static bool fetched;

static int nothing_to_compare_with(struct peer_ask *a)
{
	struct chunk *raw = dhttest_chunk(1, LEN);

	if (a->command.kind == COMMAND_FETCH) {
		a->chunk = packed_make(NULL, raw);
		a->chunk_kind = KIND_DATA;
		fetched = true;
	}
	chunk_drop(raw);
	a->count = 3;
	return a->command.kind == COMMAND_CONFIRM && !fetched ? -ENODATA : 0;
}

static void what_is_not_here_is_fetched_first(void **state)
{
	struct kit *k = *state;
	struct replicas n;

	fetched = false;
	fakepeer_auto(k->peer, nothing_to_compare_with);
	assert_int_equal(count(k, &n), 0);
	assert_true(fetched);
	assert_int_equal(n.copies, 3);
}

static int nobody(struct peer_ask *a)
{
	(void)a;
	return -ETIMEDOUT;
}

static void that_it_cannot_be_told_is_an_error(void **state)
{
	struct kit *k = *state;
	struct replicas n;

	fakepeer_auto(k->peer, nobody);
	assert_int_equal(count(k, &n), -ETIMEDOUT);
}

static int never_kept(struct peer_ask *a)
{
	fetched = true;
	return a->command.kind == COMMAND_CONFIRM ? -ENODATA : nothing_to_compare_with(a);
}

/* To who reads an attribute ENODATA says that there is no such attribute. */
static void what_a_full_disk_does_not_keep_cannot_be_told(void **state)
{
	struct kit *k = *state;
	struct replicas n;

	fakepeer_auto(k->peer, never_kept);
	assert_int_equal(count(k, &n), -EIO);
}

static void *interrupt(void *arg)
{
	struct kit *k = arg;

	fakepeer_next(k->peer, COMMAND_CONFIRM);
	atomic_store(&k->stop, true);
	return NULL;
}

static void who_counts_is_called_back_though_nobody_answers(void **state)
{
	struct kit *k = *state;
	struct replicas n;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, interrupt, k), 0);
	assert_int_equal(count(k, &n), -EINTR);
	pthread_join(thread, NULL);
	assert_int_equal(fakepeer_cancelled(k->peer), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_ring_tells_how_many_have_it),
		TEST(what_is_not_here_is_fetched_first),
		TEST(that_it_cannot_be_told_is_an_error),
		TEST(what_a_full_disk_does_not_keep_cannot_be_told),
		TEST(who_counts_is_called_back_though_nobody_answers),
	};

	return suite_run(tests);
}
