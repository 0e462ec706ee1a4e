/* publisher: which head goes out, when, and what whoever waits for it is told. */
#include "tests/lib/fakepeer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/net/signed.h"
#include "dht/peer/errand.h"
#include "dht/peer/publisher.h"

#define OURS   77u
#define OTHERS 78u
#define TICKETS 32

struct kit {
	struct fakepeer fake;
	struct volume_key volume;
	struct publisher *p;
	pthread_mutex_t lock;
	pthread_cond_t told;
	int result[TICKETS];		/* of tickets; 1: not told */
	int ready;			/* what it says; 1: it waits */
	unsigned int readies;
	bool ended;
	uint64_t counts;		/* 0: not told */
	bool anew;
	char log[512];
};

static struct ref snapshot(uint8_t n)
{
	struct ref r = { .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = n };

	memset(&r.address, n, sizeof(r.address));
	return r;
}

static void told(void *arg, uint64_t ticket, int result)
{
	struct kit *k = arg;

	pthread_mutex_lock(&k->lock);
	for (uint64_t i = 0; i < TICKETS && i <= ticket; i++)
		if (k->result[i] == 1)
			k->result[i] = result;
	k->ended |= ticket == UINT64_MAX;
	pthread_cond_broadcast(&k->told);
	pthread_mutex_unlock(&k->lock);
}

static int ready(void *arg)
{
	struct kit *k = arg;
	int r;

	pthread_mutex_lock(&k->lock);
	k->readies++;
	r = k->ready;
	pthread_mutex_unlock(&k->lock);
	return r;
}

static void log_line(void *arg, int priority, const char *text)
{
	struct kit *k = arg;

	(void)priority;
	snprintf(k->log, sizeof(k->log), "%s", text);
}

static void set_ready(struct kit *k, int r)
{
	pthread_mutex_lock(&k->lock);
	k->ready = r;
	pthread_mutex_unlock(&k->lock);
}

/* Takes one, and what it comes to. */
static int wait_ticket(struct kit *k, uint64_t ticket)
{
	struct timespec until;
	int r;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&k->lock);
	while (k->result[ticket] == 1)
		if (pthread_cond_timedwait(&k->told, &k->lock, &until) == ETIMEDOUT)
			fail_msg("the ticket %u was never decided", (unsigned int)ticket);
	r = k->result[ticket];
	/* The same one may be taken again. */
	k->result[ticket] = 1;
	pthread_mutex_unlock(&k->lock);
	return r;
}

static void counts(void *arg, uint64_t seq)
{
	struct kit *k = arg;

	k->counts = seq;
}

static void start(struct kit *k, uint64_t taken_over)
{
	struct publisher_options o = { .peer = k->fake.peer, .volume = &k->volume, .writer = OURS, .taken_over = taken_over,
		.timeout_ms = 1000, .ready = ready, .told = told, .counts = counts, .anew = k->anew, .set_arg = k, .log = log_line, .arg = k };

	for (int i = 0; i < TICKETS; i++)
		k->result[i] = 1;
	k->ended = false;
	k->counts = 0;
	assert_int_equal(publisher_open(&o, &k->p), 0);
}

static void stop(struct kit *k)
{
	publisher_stop(k->p);
	assert_true(k->ended);
	publisher_close(k->p);
	k->p = NULL;
}

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	char why[256];

	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->told, NULL);
	fakepeer_begin(&k->fake);
	assert_int_equal(volume_key_open(k->fake.files.dir, &k->volume, why, sizeof(why)), 0);
	start(k, 0);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	if (k->p)
		stop(k);
	fakepeer_end(&k->fake);
	pthread_cond_destroy(&k->told);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return 0;
}

static void set(struct kit *k, uint8_t n)
{
	struct ref r = snapshot(n);

	publisher_set(k->p, &r);
}

static struct chunk *head(struct kit *k, uint64_t seq, uint64_t writer, uint8_t n)
{
	struct head h = { .seq = seq, .writer = writer, .snapshot = snapshot(n) };
	uint8_t b[SIGNED_MAX];

	memcpy(h.key, k->volume.key, sizeof(h.key));
	if (seq > 1)
		memset(&h.previous, 4, sizeof(h.previous));
	return chunk_copy(b, head_sign(&h, &peer_ring(k->fake.peer)->id, k->volume.secret, b));
}

static void answer(struct kit *k, enum command_kind kind, int result)
{
	fakepeer_answer(k->fake.peer, fakepeer_next(k->fake.peer, kind), result, NULL);
}

static void answer_head(struct kit *k, struct chunk *blob)
{
	fakepeer_answer(k->fake.peer, fakepeer_next(k->fake.peer, COMMAND_HEAD), 0, blob);
	chunk_drop(blob);
}

static struct head swapped(struct kit *k, struct peer_ask **ask)
{
	struct head h;

	*ask = fakepeer_next(k->fake.peer, COMMAND_SWAP);
	assert_int_equal(head_read((*ask)->command.blob->data, (*ask)->command.blob->len, &peer_ring(k->fake.peer)->id, &h), 0);
	return h;
}

static void where_nothing_was_set_nothing_is_waited_for(void **state)
{
	struct kit *k = *state;

	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), 0);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_HEAD), 0);
}

static void heads_follow_one_another(void **state)
{
	struct kit *k = *state;
	struct address hash;
	struct peer_ask *ask;
	struct head h;

	set(k, 1);
	answer(k, COMMAND_HEAD, -ENOENT);
	h = swapped(k, &ask);
	assert_int_equal(h.seq, 1);
	assert_int_equal(h.writer, OURS);
	assert_int_equal(k->counts, 0);
	head_hash(ask->command.blob->data, ask->command.blob->len, &hash);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), 0);
	set(k, 2);
	h = swapped(k, &ask);
	assert_int_equal(h.seq, 2);
	assert_true(address_equal(&h.previous, &hash) && address_equal(&ask->command.previous, &hash));
	assert_int_equal(h.snapshot.size, 2);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), 0);
}

static void no_head_goes_out_before_its_chunks_are_safe(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask;

	set_ready(k, -EHOSTUNREACH);
	set(k, 1);
	answer(k, COMMAND_HEAD, -ENOENT);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), -EHOSTUNREACH);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), -EHOSTUNREACH);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_SWAP), 0);
	set_ready(k, 0);
	publisher_ticket(k->p);
	swapped(k, &ask);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
}

static void a_head_that_was_signed_is_sent_again_and_no_other_in_its_place(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask;
	struct address hash, again;
	struct head h;

	set(k, 1);
	answer(k, COMMAND_HEAD, -ENOENT);
	swapped(k, &ask);
	head_hash(ask->command.blob->data, ask->command.blob->len, &hash);
	set(k, 2);
	fakepeer_answer(k->fake.peer, ask, -ETIMEDOUT, NULL);
	publisher_ticket(k->p);
	h = swapped(k, &ask);
	head_hash(ask->command.blob->data, ask->command.blob->len, &again);
	assert_true(address_equal(&hash, &again));
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	h = swapped(k, &ask);
	assert_int_equal(h.seq, 2);
	assert_int_equal(h.snapshot.size, 2);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
}

static void who_waits_hears_of_a_try_that_failed(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask;
	uint64_t t;

	set(k, 1);
	t = publisher_ticket(k->p);
	answer(k, COMMAND_HEAD, -ETIMEDOUT);
	assert_int_equal(wait_ticket(k, t), -ETIMEDOUT);
	publisher_ticket(k->p);
	answer(k, COMMAND_HEAD, -ENOENT);
	swapped(k, &ask);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), 0);
}

static void what_counts_is_not_held_up_by_what_does_not_yet(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask, *second;
	uint64_t t;

	set(k, 1);
	answer(k, COMMAND_HEAD, -ENOENT);
	swapped(k, &ask);
	t = publisher_ticket(k->p);
	set(k, 2);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	swapped(k, &second);
	assert_int_equal(wait_ticket(k, t), 0);
	fakepeer_answer(k->fake.peer, second, 0, NULL);
}

static void another_writer_ends_it(void **state)
{
	struct kit *k = *state;

	set(k, 1);
	answer_head(k, head(k, 9, OTHERS, 5));
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), -EUCLEAN);
	set(k, 2);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), -EUCLEAN);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_HEAD), 1);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_SWAP), 0);
	assert_non_null(strstr(k->log, "another machine"));
}

static void the_head_that_it_was_restored_from_is_gone_on_from(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask;

	stop(k);
	start(k, 9);
	set(k, 6);
	answer_head(k, head(k, 9, OTHERS, 5));
	assert_int_equal(swapped(k, &ask).seq, 10);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
}

static void ends_with(struct kit *k, enum command_kind at, int error)
{
	unsigned int heads;

	set(k, 1);
	if (at == COMMAND_SWAP)
		answer(k, COMMAND_HEAD, -ENOENT);
	answer(k, at, error);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), error);
	heads = fakepeer_asked(k->fake.peer, COMMAND_HEAD) + fakepeer_asked(k->fake.peer, COMMAND_SWAP);
	set(k, 2);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), error);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), error);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_HEAD) + fakepeer_asked(k->fake.peer, COMMAND_SWAP), heads);
}

static void a_retired_volume_is_not_asked_for_again(void **state)
{
	ends_with(*state, COMMAND_HEAD, -EKEYREVOKED);
}

static void a_volume_that_was_retired_meanwhile_is_published_no_more(void **state)
{
	ends_with(*state, COMMAND_SWAP, -EKEYREVOKED);
}

static void two_heads_of_one_number_stop_it(void **state)
{
	ends_with(*state, COMMAND_SWAP, -EUCLEAN);
}

static void who_was_overtaken_looks_again(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask;

	set(k, 1);
	answer(k, COMMAND_HEAD, -ENOENT);
	answer(k, COMMAND_SWAP, -ESTALE);
	answer_head(k, head(k, 4, OURS, 3));
	assert_int_equal(swapped(k, &ask).seq, 5);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
}

static void what_an_earlier_run_published_counts(void **state)
{
	struct kit *k = *state;
	uint64_t t;

	set(k, 3);
	t = publisher_ticket(k->p);
	answer_head(k, head(k, 4, OURS, 3));
	assert_int_equal(wait_ticket(k, t), 0);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_SWAP), 0);
}

/* A number that nobody has begun anything with. */
static void who_begins_anew_publishes_a_head_of_its_own_first(void **state)
{
	struct kit *k = *state;
	struct peer_ask *ask;
	uint64_t t;

	stop(k);
	k->anew = true;
	start(k, 0);
	set(k, 3);
	t = publisher_ticket(k->p);
	answer_head(k, head(k, 4, OURS, 3));
	assert_int_equal(swapped(k, &ask).seq, 5);
	assert_int_equal(k->counts, 0);
	fakepeer_answer(k->fake.peer, ask, 0, NULL);
	assert_int_equal(wait_ticket(k, t), 0);
	assert_int_equal(k->counts, 5);
	/* Once. */
	set(k, 3);
	assert_int_equal(wait_ticket(k, publisher_ticket(k->p)), 0);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_SWAP), 1);
}

static void the_end_leaves_nobody_waiting(void **state)
{
	struct kit *k = *state;
	uint64_t t;

	set(k, 1);
	t = publisher_ticket(k->p);
	fakepeer_next(k->fake.peer, COMMAND_HEAD);
	publisher_stop(k->p);
	assert_int_equal(wait_ticket(k, t), -ECANCELED);
	assert_true(publisher_ticket(k->p) == UINT64_MAX);
	publisher_close(k->p);
	k->p = NULL;
}

static int with_blob(struct peer_ask *a)
{
	a->blob = chunk_copy("blob", 4);
	return 0;
}

static void an_errand_that_was_ended_brings_nothing(void **state)
{
	struct kit *k = *state;
	struct errand e;

	fakepeer_auto(k->fake.peer, with_blob);
	errand_init(&e, k->fake.peer);
	e.ask.command = (struct command){ .kind = COMMAND_HEAD };
	assert_int_equal(errand_run(&e), 0);
	chunk_drop(e.ask.blob);
	errand_end(&e);
	assert_int_equal(errand_run(&e), -ECANCELED);
	assert_null(e.ask.blob);
	errand_free(&e);
}

static void a_reader_is_told_why(void **state)
{
	struct kit *k = *state;
	struct errand e;
	struct head h;

	fakepeer_auto(k->fake.peer, with_blob);
	errand_init(&e, k->fake.peer);
	assert_int_equal(head_newest(&e, peer_ring(k->fake.peer), k->volume.key, 100, &h), -EIO);
	errand_free(&e);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(where_nothing_was_set_nothing_is_waited_for),
		TEST(heads_follow_one_another),
		TEST(no_head_goes_out_before_its_chunks_are_safe),
		TEST(a_head_that_was_signed_is_sent_again_and_no_other_in_its_place),
		TEST(who_waits_hears_of_a_try_that_failed),
		TEST(what_counts_is_not_held_up_by_what_does_not_yet),
		TEST(another_writer_ends_it),
		TEST(the_head_that_it_was_restored_from_is_gone_on_from),
		TEST(a_retired_volume_is_not_asked_for_again),
		TEST(a_volume_that_was_retired_meanwhile_is_published_no_more),
		TEST(two_heads_of_one_number_stop_it),
		TEST(who_was_overtaken_looks_again),
		TEST(what_an_earlier_run_published_counts),
		TEST(who_begins_anew_publishes_a_head_of_its_own_first),
		TEST(the_end_leaves_nobody_waiting),
		TEST(an_errand_that_was_ended_brings_nothing),
		TEST(a_reader_is_told_why),
	};

	return suite_run(tests);
}
