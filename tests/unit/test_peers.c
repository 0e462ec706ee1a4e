/* Peers, their links and dials: who is reached, by which link, at what cost, and when he is forgotten. */
#include <stdio.h>
#include <string.h>

#include <errno.h>

#include "tests/lib/corekit.h"
#include "tests/lib/suite.h"

static uint64_t dialled(struct core *k, const char *to)
{
	struct effect e;

	assert_true(core_take(k, EFFECT_DIAL, &e));
	assert_string_equal(e.text, to);
	return e.ticket;
}

static void closed(struct core *k, uint32_t link)
{
	struct effect e;

	assert_true(core_take(k, EFFECT_CLOSE, &e));
	assert_int_equal(e.link, link);
	assert_true(e.text[0]);
}

static void ping(struct core *k, uint32_t link)
{
	struct message m = { .type = WIRE_PING, .seq = 1 };

	core_message(k, link, &m, LINK_CONTROL);
}

static void nothing_done(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	(void)n;
	(void)m;
	(void)body;
	c->refused = result;	/* no longer the call's: it is over */
}

static void ask(struct core *k, struct call *c, struct peer *p)
{
	struct message m = { .type = WIRE_GET };

	*c = (struct call){ .done = nothing_done };
	call_start(k->n, c, p, &m, NULL, LINK_READ, 10 * S);
}

/* ---- dials ---- */

static void each_address_is_tried_before_the_peer_rests(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 3);

	(void)state;
	peer_dial(k->n, p);
	peer_dial(k->n, p);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_run(k, 1);
	core_done(k, dialled(k, "3:0"), -ECONNREFUSED);
	core_run(k, 1);
	core_done(k, dialled(k, "3:1"), -ECONNREFUSED);
	core_run(k, 1);
	assert_true(peer_reachable(k->n, p));
	core_done(k, dialled(k, "3:2"), -ECONNREFUSED);
	core_run(k, 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	assert_false(peer_reachable(k->n, p));
	assert_int_equal(peer_cost(k->n, p), UINT64_MAX);
	core_free(k);
}

static void a_peer_rests_twice_as_long_each_time_up_to_a_minute(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint64_t expected = DIAL_AGAIN_MIN;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		peer_dial(k->n, p);
		core_run(k, 1);
		core_done(k, dialled(k, "3:0"), -ECONNREFUSED);
		assert_in_range(p->again - k->n->now, expected - expected / 8, expected + expected / 8);
		core_run(k, p->again - k->n->now - 1);
		peer_dial(k->n, p);
		core_run(k, 0);
		assert_null(p->dial);
		core_run(k, 1);
		expected = 2 * expected < DIAL_AGAIN_MAX ? 2 * expected : DIAL_AGAIN_MAX;
	}
	/* A new record may have another address: it is tried at once, and the count begins anew. */
	peer_dial(k->n, p);
	core_run(k, 1);
	core_done(k, dialled(k, "3:0"), -ECONNREFUSED);
	peers_member(k->n, &k->member[3]);
	peer_dial(k->n, p);
	core_run(k, 1);
	core_done(k, dialled(k, "3:0"), -ECONNREFUSED);
	assert_in_range(p->again - k->n->now, DIAL_AGAIN_MIN * 7 / 8, DIAL_AGAIN_MIN * 9 / 8);
	core_free(k);
}

static void the_next_address_does_not_stand_in_line_again(void **state)
{
	struct core *k = core_new(NULL);
	uint64_t ticket;

	(void)state;
	peer_dial(k->n, core_member(k, 0, 2));
	for (unsigned int i = 1; i <= DIALS_MAX; i++)
		peer_dial(k->n, core_member(k, i, 1));
	core_run(k, 1);
	ticket = dialled(k, "0:0");
	core_forget(k);
	core_done(k, ticket, -ECONNREFUSED);
	core_run(k, 1);
	dialled(k, "0:1");
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_free(k);
}

static void a_dial_that_hangs_gives_way_to_the_next_address(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 2);
	uint64_t late;

	(void)state;
	peer_dial(k->n, p);
	core_run(k, 1);
	late = dialled(k, "3:0");
	core_run(k, DIAL_TIMEOUT - 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_run(k, 2);
	dialled(k, "3:1");
	/* It comes after all: a link is a link, and the other dial is not waited for. */
	core_up(k, 3, late);
	assert_int_not_equal(p->link, 0);
	assert_null(p->dial);
	core_free(k);
}

static void whoever_answers_at_anothers_address_is_taken_as_who_he_is(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 2), *q = core_member(k, 4, 1);

	(void)state;
	peer_dial(k->n, p);
	core_run(k, 1);
	core_up(k, 4, dialled(k, "3:0"));
	assert_int_not_equal(q->link, 0);
	assert_int_equal(p->link, 0);
	core_run(k, 1);
	core_up(k, 3, dialled(k, "3:1"));
	assert_int_not_equal(p->link, 0);
	core_free(k);
}

static void what_is_told_waits_for_the_link_and_goes_in_order(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	struct message m = { .type = WIRE_PING };
	struct effect e;
	uint32_t link;

	(void)state;
	for (m.seq = 1; m.seq <= 3; m.seq++)
		peer_tell(k->n, p, &m);
	core_run(k, 1);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	link = core_dialled(k, 3);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_true(core_take(k, EFFECT_SEND, &e));
		assert_int_equal(e.link, link);
		assert_int_equal(e.priority, LINK_CONTROL);
		assert_int_equal(e.request, 0);
		assert_int_equal(wire_decode(e.type, 0, e.head->data, e.head->len, &m), 0);
		assert_int_equal(m.seq, i);
		effect_done(&e);
	}
	/* With a link there is no wait, and without an answer no memory of it. */
	peer_tell(k->n, p, &m);
	assert_int_equal(core_count(k, EFFECT_SEND), 1);
	core_free(k);
}

static void what_is_told_to_whom_nobody_reaches_is_dropped(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	struct message m = { .type = WIRE_PING, .seq = 1 };

	(void)state;
	peer_tell(k->n, p, &m);
	core_run(k, 1);
	core_done(k, dialled(k, "3:0"), -ECONNREFUSED);
	/* He comes by himself later: old news is no news. */
	core_up(k, 3, 0);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	core_free(k);
}

static void one_who_dials_us_need_not_be_dialled(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	struct call c;
	struct effect e;
	uint32_t link;

	(void)state;
	ask(k, &c, p);
	core_run(k, 1);
	dialled(k, "3:0");
	link = core_up(k, 3, 0);
	assert_null(p->dial);
	assert_true(core_take(k, EFFECT_SEND, &e));
	assert_int_equal(e.link, link);
	effect_done(&e);
	call_stop(k->n, &c);
	core_free(k);
}

/* ---- links ---- */

static void coming_and_going_is_told_once_however_many_links(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint32_t a = core_up(k, 3, 0), b = core_up(k, 3, 0);

	(void)state;
	assert_int_equal(k->ups, 1);
	assert_int_equal(k->changes, 1);
	/* But each of them proves that it is alive. */
	assert_int_equal(k->heard, 2);
	assert_int_equal(p->link, b);
	core_down(k, a, 0);
	assert_int_equal(k->downs, 0);
	core_down(k, b, 0);
	assert_int_equal(k->downs, 1);
	assert_int_equal(p->link, 0);
	/* A link that nobody knows. */
	core_down(k, b, 0);
	core_down(k, 999, 0);
	assert_int_equal(k->downs, 1);
	core_free(k);
}

/* Both ends must keep the same one: the one that the smaller id dialled. */
static void of_two_dialled_at_once_the_smaller_ids_stays(void **state)
{
	(void)state;
	for (unsigned int way = 0; way < 4; way++) {
		bool smaller = way & 1, ours_first = way & 2;
		unsigned int i = smaller ? 3 : 20;	/* is the peer's id smaller than ours? */
		struct core *k = core_new(NULL);
		struct peer *p = core_member(k, i, 1);
		uint32_t theirs = 0, ours;

		assert_int_equal(address_compare(&p->id, &k->n->id) < 0, smaller);
		peer_dial(k->n, p);
		core_run(k, 1);
		if (!ours_first)
			theirs = core_up(k, i, 0);
		ours = core_dialled(k, i);
		if (ours_first)
			theirs = core_up(k, i, 0);
		assert_int_equal(p->link, smaller ? theirs : ours);
		/* The other one is closed when it was quiet long enough. */
		core_run(k, LINK_RETIRE - 1);
		assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
		core_run(k, 2 * LINK_RETIRE);
		closed(k, smaller ? ours : theirs);
		assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
		core_down(k, smaller ? ours : theirs, 0);
		assert_int_equal(k->downs, 0);
		core_free(k);
	}
}

static void an_older_link_is_dead_when_its_peer_comes_anew(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 20, 1);
	uint32_t ours, theirs;

	(void)state;
	peer_dial(k->n, p);
	core_run(k, 1);
	ours = core_dialled(k, 20);
	core_run(k, LINK_FRESH);
	/* Within LINK_FRESH ours would have stayed. */
	theirs = core_up(k, 20, 0);
	assert_int_equal(p->link, theirs);
	core_run(k, 3 * LINK_RETIRE);
	closed(k, ours);
	core_free(k);
}

static void what_is_under_way_by_an_emptied_link_is_still_answered(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint32_t a = core_up(k, 3, 0), b;
	struct call c, d;
	struct effect e, f;

	(void)state;
	ask(k, &c, p);
	assert_true(core_take(k, EFFECT_SEND, &e));
	b = core_up(k, 3, 0);
	ask(k, &d, p);
	assert_true(core_take(k, EFFECT_SEND, &f));
	assert_int_equal(e.link, a);
	assert_int_equal(f.link, b);
	core_run(k, 3 * LINK_RETIRE);
	/* Not idle: not closed. */
	assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(c.refused, 0);
	assert_false(call_busy(&c));
	core_run(k, 2 * LINK_RETIRE);
	closed(k, a);
	call_stop(k->n, &d);
	effect_done(&e);
	effect_done(&f);
	core_free(k);
}

static void an_emptied_link_is_used_again_when_the_other_one_goes(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint32_t a = core_up(k, 3, 0), b = core_up(k, 3, 0);

	(void)state;
	core_down(k, b, -ECONNRESET);
	assert_int_equal(p->link, a);
	assert_int_equal(k->downs, 0);
	core_run(k, 10 * LINK_RETIRE);
	assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
	core_free(k);
}

static void hanging_up_closes_all_and_calls_end_when_they_are_down(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 0);
	uint32_t a = core_up(k, 3, 0), b = core_up(k, 3, 0);
	struct call c;

	(void)state;
	ask(k, &c, p);
	peer_hang_up(k->n, p, "mute");
	peer_hang_up(k->n, p, "mute");
	assert_int_equal(core_count(k, EFFECT_CLOSE), 2);
	assert_int_equal(p->link, 0);
	assert_int_equal(links_count(k->n), 0);
	assert_true(call_busy(&c));
	core_down(k, a, 0);
	assert_true(call_busy(&c));
	core_down(k, b, 0);
	assert_false(call_busy(&c));
	assert_int_equal(c.refused, -EHOSTUNREACH);
	assert_int_equal(k->downs, 1);
	core_free(k);
}

static void whoever_leaves_the_ring_is_hung_up_on(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1), *q = core_member(k, 4, 1);
	uint32_t a = core_up(k, 3, 0);
	struct call c;

	(void)state;
	k->member[3].state = MEMBER_LEFT;
	peers_member(k->n, &k->member[3]);
	closed(k, a);
	assert_int_equal(p->link, 0);
	ask(k, &c, q);
	core_run(k, 1);
	dialled(k, "4:0");
	k->member[4].state = MEMBER_EVICTED;
	peers_member(k->n, &k->member[4]);
	assert_false(call_busy(&c));
	assert_int_equal(c.refused, -EHOSTUNREACH);
	assert_null(q->dial);
	/* Nor are they dialled again. */
	peer_dial(k->n, p);
	peer_dial(k->n, q);
	core_run(k, S);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_free(k);
}

static unsigned int tries;

static void ask_the_same(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct message get = { .type = WIRE_GET };

	(void)result;
	(void)m;
	(void)body;
	if (++tries < 100)
		call_start(n, c, c->peer, &get, NULL, LINK_READ, 10 * S);
}

static void who_asks_again_at_once_of_one_that_left_is_told_once_more(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint32_t link = core_up(k, 3, 0);
	struct message get = { .type = WIRE_GET };
	struct call c = { .done = ask_the_same };

	(void)state;
	tries = 0;
	core_full(k, link, true);
	call_start(k->n, &c, p, &get, NULL, LINK_READ, 10 * S);
	k->member[3].state = MEMBER_LEFT;
	peers_member(k->n, &k->member[3]);
	/* The second one is refused, from outside the call back. */
	assert_int_equal(tries, 1);
	call_stop(k->n, &c);
	core_free(k);
}

static void a_link_of_no_use_counts_as_a_failed_dial(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint32_t link;

	(void)state;
	peer_dial(k->n, p);
	core_run(k, 1);
	link = core_dialled(k, 3);
	core_down(k, link, -ECONNRESET);
	assert_true(p->again > k->n->now);
	assert_int_equal(p->failures, 1);
	core_run(k, DIAL_AGAIN_MAX);
	peer_dial(k->n, p);
	core_run(k, 1);
	link = core_dialled(k, 3);
	ping(k, link);
	core_down(k, link, -ECONNRESET);
	assert_int_equal(p->failures, 0);
	peer_dial(k->n, p);
	core_run(k, 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), 1);
	core_free(k);
}

static void a_link_to_ourselves_is_closed(void **state)
{
	struct core *k = core_new(NULL);
	uint8_t key[MEMBER_KEY];

	(void)state;
	core_key(5, key);
	member_id(key, &k->n->id);
	core_key_up(k, key, 0);
	closed(k, 1);
	assert_null(peer_next(k->n, NULL));
	assert_int_equal(links_count(k->n), 0);
	core_down(k, 1, 0);
	core_free(k);
}

static void another_process_with_our_key_stops_the_node(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	struct effect e;

	(void)state;
	core_down(k, 17, -EEXIST);
	assert_int_equal(k->cloned, 1);
	assert_true(core_take(k, EFFECT_STOP, &e));
	core_free(k);
	k = core_new(NULL);
	p = core_member(k, 3, 1);
	peer_dial(k->n, p);
	core_run(k, 1);
	core_done(k, dialled(k, "3:0"), -EEXIST);
	assert_int_equal(k->cloned, 1);
	core_free(k);
}

/* ---- who is known ---- */

static void peers_are_known_in_the_order_of_their_ids(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p;
	unsigned int i = 0;

	(void)state;
	for (unsigned int j = 0; j < CORE_MEMBERS; j++)
		core_member(k, j * 7 % CORE_MEMBERS, 1);
	for (p = peer_next(k->n, NULL); p; p = peer_next(k->n, &p->id))
		assert_true(address_equal(&p->id, &k->member[i++].id));
	assert_int_equal(i, CORE_MEMBERS);
	assert_ptr_equal(peer_next(k->n, &k->n->id), peer_find(k->n, &k->member[CORE_MEMBERS / 2].id));
	assert_null(peer_find(k->n, &k->n->id));
	core_free(k);
}

static void strangers_are_peers_only_by_their_link(void **state)
{
	struct core *k = core_new(NULL);
	struct address id;
	uint8_t key[MEMBER_KEY];

	(void)state;
	core_key(1, key);
	member_id(key, &id);
	assert_null(peer_find(k->n, &id));
	core_key_up(k, key, 0);
	assert_non_null(peer_find(k->n, &id));
	assert_int_equal(membership_health(k->n, &id), PEER_DOWN);
	core_free(k);
}

static void a_peer_with_whom_we_have_nothing_to_do_is_forgotten(void **state)
{
	struct core *k = core_new(NULL);
	struct address idle = core_member(k, 1, 1)->id, linked = core_member(k, 2, 1)->id;
	struct address wrong = core_member(k, 3, 1)->id, used = core_member(k, 4, 1)->id;

	(void)state;
	core_up(k, 2, 0);
	for (unsigned int i = 0; i < 3; i++)
		peer_wrong(k->n, peer_find(k->n, &wrong), "a test");
	for (unsigned int i = 0; i < 8; i++) {
		core_run(k, PEER_KEEP / 8 - 1);
		/* Not before, whoever holds a pointer to it. */
		assert_ptr_equal(peer_next(k->n, NULL), peers_make(k->n, &idle));
		peer_find(k->n, &used);
	}
	core_run(k, PEER_KEEP / 8 + 16);
	assert_true(address_equal(&peer_next(k->n, NULL)->id, &linked));
	assert_true(address_equal(&peer_next(k->n, &linked)->id, &wrong));
	assert_true(address_equal(&peer_next(k->n, &wrong)->id, &used));
	core_run(k, 4 * PEER_KEEP);
	assert_true(address_equal(&peer_next(k->n, NULL)->id, &linked));
	assert_null(peer_next(k->n, &linked));
	core_free(k);
}

/* ---- cost ---- */

static void the_cost_of_a_peer_is_its_latency_and_what_is_known_against_it(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint64_t unknown, latency = 8 * MS;
	struct call c;

	(void)state;
	unknown = peer_cost(k->n, p);
	assert_true(unknown > 0 && unknown < S);
	core_up(k, 3, 0);
	assert_true(peer_cost(k->n, p) < unknown);
	for (unsigned int i = 0; i < 200; i++)
		latency_sample(p, latency);
	assert_int_equal(peer_cost(k->n, p), latency);
	ask(k, &c, p);
	core_run(k, latency / 2);
	assert_int_equal(peer_cost(k->n, p), latency);
	core_run(k, 100 * MS);
	assert_int_equal(peer_cost(k->n, p), latency / 2 + 100 * MS);
	call_stop(k->n, &c);
	assert_int_equal(peer_cost(k->n, p), latency);
	k->health[3] = PEER_SUSPECT;
	assert_true(peer_cost(k->n, p) >= S);
	assert_true(peer_reachable(k->n, p));
	k->health[3] = PEER_DOWN;
	assert_int_equal(peer_cost(k->n, p), UINT64_MAX);
	assert_false(peer_reachable(k->n, p));
	core_free(k);
}

static void wrong_answers_double_the_cost_and_are_forgiven_by_halves(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);
	uint64_t plain;
	struct effect e;

	(void)state;
	core_up(k, 3, 0);
	plain = peer_cost(k->n, p);
	for (unsigned int i = 1; i <= 20; i++) {
		peer_wrong(k->n, p, "the bytes of another chunk");
		assert_int_equal(peer_cost(k->n, p), plain << (i < 8 ? i : 8));
		/* Said once for each doubling, or a liar could fill the log. */
		assert_true(core_take(k, EFFECT_LOG, &e) == ((i & (i - 1)) == 0));
		if ((i & (i - 1)) == 0)
			assert_non_null(strstr(e.text, "the bytes of another chunk"));
	}
	assert_int_equal(k->n->status.wrong_answers, 20);
	core_run(k, WRONG_FORGIVE + PEER_KEEP / 8);
	assert_int_equal(p->wrong, 10);
	for (unsigned int i = 0; i < 5; i++)
		core_run(k, WRONG_FORGIVE + PEER_KEEP / 8);
	assert_int_equal(p->wrong, 0);
	core_free(k);
}

static void the_95th_of_a_hundred_answers_is_known(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 3, 1);

	(void)state;
	latency_sample(p, 7);
	assert_int_equal(p->latency_p95, 7);
	for (unsigned int i = 1; i <= 100; i++)
		latency_sample(p, i * 37 % 101);
	assert_int_equal(p->latency_p95, 95);
	/* The hundred before are forgotten. */
	for (unsigned int i = 1; i <= 100; i++)
		latency_sample(p, 1000 + i);
	assert_int_equal(p->latency_p95, 1095);
	for (unsigned int i = 0; i < 95; i++)
		latency_sample(p, 3);
	assert_int_equal(p->latency_p95, 3);
	latency_sample(p, UINT64_MAX);
	assert_int_equal(p->latency_p95, 3);
	core_free(k);
}

/* ---- seeds ---- */

static const char *const seeds[] = { "first:1", "second:2", NULL };

static void seeds_are_dialled_until_they_were_met(void **state)
{
	struct core *k = core_new(seeds);
	uint64_t first, second;

	(void)state;
	core_run(k, 2);
	first = dialled(k, "first:1");
	second = dialled(k, "second:2");
	core_done(k, first, -ECONNREFUSED);
	core_up(k, 3, second);
	core_member(k, 3, 1);
	core_run(k, DIAL_AGAIN_MIN * 9 / 8 + 2);
	core_done(k, dialled(k, "first:1"), -ECONNREFUSED);
	core_run(k, DIAL_AGAIN_MIN * 9 / 4 + 2);
	core_up(k, 4, dialled(k, "first:1"));
	core_member(k, 4, 1);
	core_run(k, 10 * DIAL_AGAIN_MAX);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_free(k);
}

static void a_seed_without_a_record_is_dialled_again(void **state)
{
	static const char *const one[] = { "first:1", NULL };
	struct core *k = core_new(one);

	(void)state;
	core_run(k, 2);
	core_up(k, 3, dialled(k, "first:1"));
	core_run(k, DIAL_AGAIN_MAX - 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_run(k, 3);
	dialled(k, "first:1");
	core_free(k);
}

static void a_seed_that_is_ourselves_is_left_alone(void **state)
{
	static const char *const one[] = { "us:1", NULL };
	struct core *k = core_new(one);

	(void)state;
	core_run(k, 2);
	core_done(k, dialled(k, "us:1"), -ELOOP);
	core_down(k, core_up(k, 3, 0), 0);
	core_run(k, 10 * DIAL_AGAIN_MAX);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_free(k);
}

static void alone_a_node_turns_to_its_seeds_again(void **state)
{
	static const char *const one[] = { "first:1", NULL };
	struct core *k = core_new(one);
	uint32_t a, b;

	(void)state;
	core_run(k, 2);
	core_member(k, 3, 1);
	a = core_up(k, 3, dialled(k, "first:1"));
	b = core_up(k, 4, 0);
	core_run(k, 3 * DIAL_AGAIN_MAX);
	core_down(k, a, 0);
	core_run(k, 3 * DIAL_AGAIN_MAX);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	core_down(k, b, 0);
	core_run(k, DIAL_AGAIN_MIN * 9 / 8 + 2);
	dialled(k, "first:1");
	core_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_address_is_tried_before_the_peer_rests),
		cmocka_unit_test(a_peer_rests_twice_as_long_each_time_up_to_a_minute),
		cmocka_unit_test(the_next_address_does_not_stand_in_line_again),
		cmocka_unit_test(a_dial_that_hangs_gives_way_to_the_next_address),
		cmocka_unit_test(whoever_answers_at_anothers_address_is_taken_as_who_he_is),
		cmocka_unit_test(what_is_told_waits_for_the_link_and_goes_in_order),
		cmocka_unit_test(what_is_told_to_whom_nobody_reaches_is_dropped),
		cmocka_unit_test(one_who_dials_us_need_not_be_dialled),
		cmocka_unit_test(coming_and_going_is_told_once_however_many_links),
		cmocka_unit_test(of_two_dialled_at_once_the_smaller_ids_stays),
		cmocka_unit_test(an_older_link_is_dead_when_its_peer_comes_anew),
		cmocka_unit_test(what_is_under_way_by_an_emptied_link_is_still_answered),
		cmocka_unit_test(an_emptied_link_is_used_again_when_the_other_one_goes),
		cmocka_unit_test(hanging_up_closes_all_and_calls_end_when_they_are_down),
		cmocka_unit_test(whoever_leaves_the_ring_is_hung_up_on),
		cmocka_unit_test(who_asks_again_at_once_of_one_that_left_is_told_once_more),
		cmocka_unit_test(a_link_of_no_use_counts_as_a_failed_dial),
		cmocka_unit_test(a_link_to_ourselves_is_closed),
		cmocka_unit_test(another_process_with_our_key_stops_the_node),
		cmocka_unit_test(peers_are_known_in_the_order_of_their_ids),
		cmocka_unit_test(strangers_are_peers_only_by_their_link),
		cmocka_unit_test(a_peer_with_whom_we_have_nothing_to_do_is_forgotten),
		cmocka_unit_test(the_cost_of_a_peer_is_its_latency_and_what_is_known_against_it),
		cmocka_unit_test(wrong_answers_double_the_cost_and_are_forgiven_by_halves),
		cmocka_unit_test(the_95th_of_a_hundred_answers_is_known),
		cmocka_unit_test(seeds_are_dialled_until_they_were_met),
		cmocka_unit_test(a_seed_without_a_record_is_dialled_again),
		cmocka_unit_test(a_seed_that_is_ourselves_is_left_alone),
		cmocka_unit_test(alone_a_node_turns_to_its_seeds_again),
	};

	return suite_run(tests);
}
