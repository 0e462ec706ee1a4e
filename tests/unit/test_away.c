/* work and away: lookups that the ring answers, tickets of it, and what becomes of those who lose interest or come too late. */
#include "tests/lib/fakepeer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/away.h"
#include "dht/codecs.h"
#include "dht/peer/packed.h"
#include "dht/work.h"

#define LEN 700
#define TIMEOUT_MS 30000u

struct kit {
	struct fakepeer fake;
	struct work *work;
	struct codecs *codecs;
	struct aways aways;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int runs;
};

/* As dht.c has it, with nothing here. */
static void run(void *arg, struct work_job *job)
{
	struct kit *k = arg;

	pthread_mutex_lock(&k->lock);
	k->runs++;
	pthread_mutex_unlock(&k->lock);
	if (job->packed)
		job->result = codecs_raw(k->codecs, job->packed, &job->chunk);
	else
		job->result = job->returned < 0 ? job->returned : -EREMOTE;
}

struct waited {
	struct dht_op op;
	struct kit *k;
	unsigned int done;
};

static void done(struct dht_op *op)
{
	struct waited *w = op->user;

	pthread_mutex_lock(&w->k->lock);
	w->done++;
	pthread_cond_broadcast(&w->k->changed);
	pthread_mutex_unlock(&w->k->lock);
}

static void init(struct kit *k, struct waited *w)
{
	memset(w, 0, sizeof(*w));
	w->k = k;
	w->op.done = done;
	w->op.user = w;
	w->op.kind = KIND_DATA;
}

static int result(struct waited *w)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&w->k->lock);
	while (!w->done)
		if (pthread_cond_timedwait(&w->k->changed, &w->k->lock, &until) == ETIMEDOUT)
			fail_msg("it was never done");
	assert_int_equal(w->done, 1);
	pthread_mutex_unlock(&w->k->lock);
	return w->op.result;
}

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	struct work_far far;

	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->changed, NULL);
	fakepeer_begin(&k->fake);
	k->codecs = codecs_new();
	assert_int_equal(work_open(2, run, k, &k->work), 0);
	aways_init(&k->aways, k->fake.peer, k->work, TIMEOUT_MS);
	far = away_far(&k->aways);
	work_far(k->work, &far);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	work_drain(k->work);
	fakepeer_end(&k->fake);
	aways_free(&k->aways);
	work_close(k->work);
	codecs_free(k->codecs);
	pthread_cond_destroy(&k->changed);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return 0;
}

static struct chunk *packed(uint64_t seed)
{
	struct chunk *raw = dhttest_chunk(seed, LEN), *p = packed_make(NULL, raw);

	chunk_drop(raw);
	return p;
}

static void answer_with(struct kit *k, struct peer_ask *a, uint64_t seed, enum kind kind)
{
	a->chunk = packed(seed);
	a->chunk_kind = kind;
	fakepeer_answer(k->fake.peer, a, 0, NULL);
}

static void what_is_not_here_comes_from_others(void **state)
{
	struct kit *k = *state;
	struct chunk *want = dhttest_chunk(5, LEN);
	struct waited w;

	init(k, &w);
	w.op.kind = KIND_ANY;
	work_add(k->work, &w.op, WORK_LOOKUP);
	answer_with(k, fakepeer_next(k->fake.peer, COMMAND_FETCH), 5, KIND_DATA);
	assert_int_equal(result(&w), 0);
	assert_int_equal(w.op.kind, KIND_DATA);
	assert_int_equal(w.op.chunk->len, LEN);
	assert_memory_equal(w.op.chunk->data, want->data, LEN);
	chunk_drop(w.op.chunk);
	chunk_drop(want);
}

static void another_kind_than_was_asked_for_is_not_there(void **state)
{
	struct kit *k = *state;
	struct waited w;

	init(k, &w);
	w.op.kind = KIND_INDEX;
	work_add(k->work, &w.op, WORK_LOOKUP);
	answer_with(k, fakepeer_next(k->fake.peer, COMMAND_FETCH), 5, KIND_DATA);
	assert_int_equal(result(&w), -ENOENT);
}

static void that_it_is_nowhere_and_that_none_could_be_asked_are_two_things(void **state)
{
	static const int said[][2] = { { -ENOENT, -ENOENT }, { -ETIMEDOUT, -ETIMEDOUT }, { -EHOSTUNREACH, -EIO }, { -EBUSY, -EIO },
		{ -ESHUTDOWN, -EIO }, { -EIO, -EIO }, { -EBADMSG, -EBADMSG } };
	struct kit *k = *state;
	struct waited w;

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		init(k, &w);
		work_add(k->work, &w.op, WORK_LOOKUP);
		fakepeer_answer(k->fake.peer, fakepeer_next(k->fake.peer, COMMAND_FETCH), said[i][0], NULL);
		assert_int_equal(result(&w), said[i][1]);
	}
}

static void bytes_that_are_no_chunk_are_no_answer(void **state)
{
	struct kit *k = *state;
	struct peer_ask *a;
	struct waited w;

	init(k, &w);
	work_add(k->work, &w.op, WORK_LOOKUP);
	a = fakepeer_next(k->fake.peer, COMMAND_FETCH);
	a->chunk = chunk_copy("x", 1);
	a->chunk_kind = KIND_DATA;
	fakepeer_answer(k->fake.peer, a, 0, NULL);
	assert_int_equal(result(&w), -EBADMSG);
}

static void who_loses_interest_is_given_back_at_once(void **state)
{
	struct kit *k = *state;
	struct peer_ask *a;
	struct waited w;

	init(k, &w);
	work_add(k->work, &w.op, WORK_LOOKUP);
	a = fakepeer_next(k->fake.peer, COMMAND_FETCH);
	(void)a;
	work_cancel(k->work, &w.op);
	assert_int_equal(result(&w), -ECANCELED);
	assert_int_equal(fakepeer_cancelled(k->fake.peer), 1);
	/* More than once is fine. */
	work_cancel(k->work, &w.op);
}

static int own_chunk(struct peer_ask *a)
{
	a->chunk = packed(1);
	a->chunk_kind = KIND_DATA;
	return 0;
}

#define RACES 400

static void answers_and_cancels_may_cross(void **state)
{
	struct kit *k = *state;
	struct waited *w = calloc(RACES, sizeof(*w));
	unsigned int cancelled = 0;

	fakepeer_auto(k->fake.peer, own_chunk);
	for (unsigned int i = 0; i < RACES; i++) {
		init(k, &w[i]);
		work_add(k->work, &w[i].op, WORK_LOOKUP);
		if (i >= 3)
			work_cancel(k->work, &w[i - 3].op);
	}
	for (unsigned int i = 0; i < RACES; i++) {
		int r = result(&w[i]);

		assert_true(r == 0 || r == -ECANCELED);
		if (r == 0)
			chunk_drop(w[i].op.chunk);
		cancelled += r != 0;
	}
	assert_true(cancelled <= RACES - 3);
	work_drain(k->work);
	free(w);
}

#define MANY (WORK_FAR_MAX + 100)

static void no_more_are_away_than_the_ring_takes_and_the_others_wait(void **state)
{
	struct kit *k = *state;
	struct waited *w = calloc(MANY, sizeof(*w));
	struct peer_ask *first;

	for (unsigned int i = 0; i < MANY; i++) {
		init(k, &w[i]);
		work_add(k->work, &w[i].op, WORK_LOOKUP);
	}
	first = fakepeer_next(k->fake.peer, COMMAND_FETCH);
	/* All have been looked at: what is not away waits. */
	while (true) {
		bool all;

		pthread_mutex_lock(&k->lock);
		all = k->runs == MANY;
		pthread_mutex_unlock(&k->lock);
		if (all && work_queued(k->work) == 0)
			break;
		sched_yield();
	}
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_FETCH), WORK_FAR_MAX);
	/* One that waits, and one that is away, lose interest. */
	work_cancel(k->work, &w[MANY - 1].op);
	assert_int_equal(result(&w[MANY - 1]), -ECANCELED);
	answer_with(k, first, 1, KIND_DATA);
	fakepeer_auto(k->fake.peer, own_chunk);
	for (unsigned int i = 0; i < MANY - 1; i++) {
		assert_int_equal(result(&w[i]), 0);
		chunk_drop(w[i].op.chunk);
	}
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_FETCH), MANY - 1);
	free(w);
}

static void replicas_are_counted_by_the_ring(void **state)
{
	struct kit *k = *state;
	struct peer_ask *a;
	struct waited w;

	init(k, &w);
	work_add_away(k->work, &w.op);
	a = fakepeer_next(k->fake.peer, COMMAND_CONFIRM);
	a->count = 2;
	fakepeer_answer(k->fake.peer, a, 0, NULL);
	assert_int_equal(result(&w), 0);
	assert_int_equal(w.op.copies, 2);
	assert_int_equal(w.op.owners, 3);
}

static uint64_t five(void *arg)
{
	(void)arg;
	return 5;
}

static uint64_t never(void *arg)
{
	(void)arg;
	return UINT64_MAX;
}

static void a_ticket_ends_those_of_its_own_verb_up_to_it(void **state)
{
	struct kit *k = *state;
	struct waited safe, published;

	init(k, &safe);
	init(k, &published);
	work_add_sync(k->work, &safe.op, WORK_SAFE, five, NULL);
	work_add_sync(k->work, &published.op, WORK_PUBLISHED, five, NULL);
	work_synced(k->work, WORK_SAFE, 4, 0);
	assert_int_equal(safe.done, 0);
	work_synced(k->work, WORK_SAFE, 6, -ENOSPC);
	assert_int_equal(result(&safe), -ENOSPC);
	assert_int_equal(published.done, 0);
	work_cancel(k->work, &published.op);
	assert_int_equal(result(&published), -ECANCELED);
	work_synced(k->work, WORK_PUBLISHED, 5, 0);
}

static void who_waits_for_a_ticket_is_not_woken_by_room(void **state)
{
	struct kit *k = *state;
	struct waited w;

	init(k, &w);
	work_add_sync(k->work, &w.op, WORK_SAFE, five, NULL);
	work_resume(k->work);
	assert_int_equal(w.done, 0);
	work_synced(k->work, WORK_SAFE, 5, 0);
	assert_int_equal(result(&w), 0);
}

static void a_ticket_that_nobody_would_end_fails(void **state)
{
	struct kit *k = *state;
	struct waited w;

	init(k, &w);
	work_add_sync(k->work, &w.op, WORK_SAFE, never, NULL);
	assert_int_equal(result(&w), -EIO);
	work_cancel(k->work, &w.op);
}

static void what_needs_nothing_is_done_soon(void **state)
{
	struct kit *k = *state;
	struct waited w;

	init(k, &w);
	work_add_done(k->work, &w.op);
	assert_int_equal(result(&w), 0);
}

static void a_lookup_in_the_calling_thread(void **state)
{
	struct kit *k = *state;
	struct dht_op op = { .kind = KIND_ANY };
	struct chunk *p;

	fakepeer_auto(k->fake.peer, own_chunk);
	assert_int_equal(away_fetch(&k->aways, &op, &p), 0);
	assert_int_equal(op.kind, KIND_DATA);
	chunk_drop(p);
	op.kind = KIND_INDEX;
	assert_int_equal(away_fetch(&k->aways, &op, &p), -ENOENT);
	assert_null(p);
}

/* ---- the end ---- */

static void lookup(struct kit *k, struct waited *w, uint8_t byte)
{
	init(k, w);
	memset(&w->op.address, byte, sizeof(w->op.address));
	work_add(k->work, &w->op, WORK_LOOKUP);
}

static struct peer_ask *next_with(struct kit *k, unsigned int timeout_ms)
{
	struct peer_ask *a = fakepeer_next(k->fake.peer, COMMAND_FETCH);

	assert_int_equal(a->command.timeout, timeout_ms * UINT64_C(1000));
	return a;
}

static void answer(struct kit *k, struct peer_ask *a, int result)
{
	fakepeer_answer(k->fake.peer, a, result, NULL);
}

static void at_the_end_nobody_waits_for_long(void **state)
{
	struct kit *k = *state;
	struct waited early, late;

	lookup(k, &early, 1);
	next_with(k, TIMEOUT_MS);
	aways_ending(&k->aways);
	aways_ending(&k->aways);
	answer(k, next_with(k, AWAY_LAST_MS), -ENOENT);
	assert_int_equal(result(&early), -ENOENT);
	lookup(k, &late, 2);
	answer(k, next_with(k, AWAY_LAST_MS), -EIO);
	assert_int_equal(result(&late), -EIO);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_FETCH), 3);
}

static void who_waits_in_vain_at_the_end_waits_for_all(void **state)
{
	struct waited first, second, third;
	struct kit *k = *state;
	struct peer_ask *a;

	aways_ending(&k->aways);
	lookup(k, &first, 1);
	a = next_with(k, AWAY_LAST_MS);
	lookup(k, &second, 2);
	next_with(k, AWAY_LAST_MS);
	answer(k, a, -ETIMEDOUT);
	assert_int_equal(result(&first), -ETIMEDOUT);
	answer(k, next_with(k, AWAY_NONE_MS), -ETIMEDOUT);
	assert_int_equal(result(&second), -ETIMEDOUT);
	lookup(k, &third, 3);
	answer(k, next_with(k, AWAY_NONE_MS), -ETIMEDOUT);
	assert_int_equal(result(&third), -ETIMEDOUT);
}

static void a_ring_that_answers_somebody_is_not_given_up(void **state)
{
	struct waited first, second, third;
	struct kit *k = *state;
	struct peer_ask *a, *b;

	/* Nor is it before the end. */
	lookup(k, &first, 1);
	answer(k, next_with(k, TIMEOUT_MS), -ETIMEDOUT);
	assert_int_equal(result(&first), -ETIMEDOUT);
	aways_ending(&k->aways);
	lookup(k, &first, 1);
	a = next_with(k, AWAY_LAST_MS);
	lookup(k, &second, 2);
	b = next_with(k, AWAY_LAST_MS);
	answer_with(k, b, 5, KIND_DATA);
	assert_int_equal(result(&second), 0);
	chunk_drop(second.op.chunk);
	answer(k, a, -ETIMEDOUT);
	assert_int_equal(result(&first), -ETIMEDOUT);
	lookup(k, &third, 3);
	answer(k, next_with(k, AWAY_LAST_MS), -ENOENT);
	assert_int_equal(result(&third), -ENOENT);
}

static void who_loses_interest_is_not_asked_for_anew(void **state)
{
	struct kit *k = *state;
	struct waited w;

	for (unsigned int i = 0; i < 50; i++) {
		lookup(k, &w, (uint8_t)i);
		fakepeer_next(k->fake.peer, COMMAND_FETCH);
		work_cancel(k->work, &w.op);
		aways_ending(&k->aways);
		assert_int_equal(result(&w), -ECANCELED);
		pthread_mutex_lock(&k->aways.lock);
		k->aways.ending = false;
		pthread_mutex_unlock(&k->aways.lock);
	}
	work_drain(k->work);
	assert_int_equal(fakepeer_asked(k->fake.peer, COMMAND_FETCH), 50);
}

static void *look_up_now(void *arg)
{
	struct kit *k = arg;
	struct dht_op op = { .kind = KIND_ANY };
	struct chunk *p;

	assert_int_equal(away_fetch(&k->aways, &op, &p), -ETIMEDOUT);
	assert_null(p);
	return NULL;
}

static void a_thread_that_waits_is_told_of_the_end(void **state)
{
	struct kit *k = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, look_up_now, k), 0);
	next_with(k, TIMEOUT_MS);
	aways_ending(&k->aways);
	next_with(k, AWAY_LAST_MS);
	aways_end(&k->aways);
	answer(k, next_with(k, AWAY_NONE_MS), -ETIMEDOUT);
	pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_here_comes_from_others),
		TEST(another_kind_than_was_asked_for_is_not_there),
		TEST(that_it_is_nowhere_and_that_none_could_be_asked_are_two_things),
		TEST(bytes_that_are_no_chunk_are_no_answer),
		TEST(who_loses_interest_is_given_back_at_once),
		TEST(answers_and_cancels_may_cross),
		TEST(no_more_are_away_than_the_ring_takes_and_the_others_wait),
		TEST(replicas_are_counted_by_the_ring),
		TEST(a_ticket_ends_those_of_its_own_verb_up_to_it),
		TEST(who_waits_for_a_ticket_is_not_woken_by_room),
		TEST(a_ticket_that_nobody_would_end_fails),
		TEST(what_needs_nothing_is_done_soon),
		TEST(a_lookup_in_the_calling_thread),
		TEST(at_the_end_nobody_waits_for_long),
		TEST(who_waits_in_vain_at_the_end_waits_for_all),
		TEST(a_ring_that_answers_somebody_is_not_given_up),
		TEST(who_loses_interest_is_not_asked_for_anew),
		TEST(a_thread_that_waits_is_told_of_the_end),
	};

	return suite_run(tests);
}
