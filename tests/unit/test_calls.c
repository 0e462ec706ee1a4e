/* Requests to peers, and theirs to us: each answered once, in order, within bounds. */
#include <string.h>

#include <errno.h>

#include "tests/lib/corekit.h"
#include "tests/lib/suite.h"

#define TIMEOUT (10 * S)

struct ask {
	struct call call;
	int result;
	unsigned int done, status;
	struct chunk *body;
	struct core *k;
	bool again;		/* from within done(): the same once more */
	struct ask *stops;
};

static struct message get_message(void)
{
	struct message m = { .type = WIRE_GET };

	memset(m.address.b, 5, ADDRESS_LEN);
	return m;
}

static void start(struct core *k, struct ask *a, struct peer *p, enum link_priority priority, uint64_t timeout);

static void done(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct ask *a = list_item(c, struct ask, call);

	assert_false(call_busy(c));
	assert_true(!answer == (result != 0) && !body == (result != 0));
	a->done++;
	a->result = result;
	a->status = answer ? answer->status : 0;
	if (a->stops)
		call_stop(n, &a->stops->call);
	if (a->again) {
		a->again = false;
		start(a->k, a, c->peer, LINK_READ, TIMEOUT);
	}
}

static void start(struct core *k, struct ask *a, struct peer *p, enum link_priority priority, uint64_t timeout)
{
	struct message m = get_message();
	unsigned int before = a->done;

	a->k = k;
	a->call.done = done;
	call_start(k->n, &a->call, p, &m, NULL, priority, timeout);
	assert_true(call_busy(&a->call));
	assert_int_equal(a->done, before);
}

static struct effect sent(struct core *k)
{
	struct effect e;

	assert_true(core_take(k, EFFECT_SEND, &e));
	return e;
}

/* A peer whose link is up, and its number. */
static struct peer *linked(struct core *k, unsigned int i, uint32_t *link)
{
	struct peer *p = core_member(k, i, 1);

	*link = core_up(k, i, 0);
	return p;
}

static void over(struct core *k)
{
	assert_int_equal(calls_count(k->n), 0);
	core_free(k);
}

static void an_answer_ends_its_call(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	struct message m;
	struct effect e;

	(void)state;
	start(k, &a, p, LINK_READ, TIMEOUT);
	e = sent(k);
	assert_int_equal(e.link, link);
	assert_int_equal(e.type, WIRE_GET);
	assert_int_equal(e.priority, LINK_READ);
	assert_int_not_equal(e.request, 0);
	assert_int_equal(wire_decode(e.type, e.request, e.head->data, e.head->len, &m), 0);
	assert_true(m.has & WIRE_HAS(FIELD_PLACEMENT));
	assert_true(address_equal(&m.placement, &k->placement));
	assert_int_equal(p->calls, 1);
	assert_int_equal(p->oldest, k->n->now);
	core_run(k, 30 * MS);
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.result, 0);
	assert_int_equal(a.status, WIRE_OK);
	assert_int_equal(p->latency, 30 * MS);
	assert_int_equal(p->oldest, UINT64_MAX);
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 1);
	effect_done(&e);
	over(k);
}

/* Who has nothing answers soonest. */
static void an_answer_without_a_chunk_is_no_measure_of_reads(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	struct effect e;

	(void)state;
	start(k, &a, p, LINK_READ, TIMEOUT);
	e = sent(k);
	core_run(k, 30 * MS);
	core_answer(k, &e, WIRE_MISS);
	assert_int_equal(a.status, WIRE_MISS);
	assert_int_equal(p->latency, 0);
	effect_done(&e);
	over(k);
}

static void an_answer_that_comes_twice_or_late_or_to_nothing_is_ignored(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 }, b = { .done = 0 };
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	struct message never = { .type = WIRE_ANSWER, .request = 77777 };
	struct effect e, f;

	(void)state;
	start(k, &a, p, LINK_READ, TIMEOUT);
	e = sent(k);
	core_answer(k, &e, WIRE_OK);
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(a.done, 1);
	start(k, &b, p, LINK_READ, S);
	f = sent(k);
	/* The first one's number again, while another call has its place. */
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(b.done, 0);
	core_run(k, S);
	assert_int_equal(b.result, -ETIMEDOUT);
	core_answer(k, &f, WIRE_OK);
	assert_int_equal(b.done, 1);
	core_message(k, link, &never, LINK_READ);
	assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
	/* All that came was consumed, whatever it was. */
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 5);
	effect_done(&e);
	effect_done(&f);
	over(k);
}

static void a_malformed_answer_ends_the_call_and_the_link(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 }, b = { .done = 0 };
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	struct effect e, f;

	(void)state;
	start(k, &a, p, LINK_READ, TIMEOUT);
	start(k, &b, p, LINK_READ, TIMEOUT);
	e = sent(k);
	core_bytes(k, link, WIRE_ANSWER, e.request, LINK_READ, "\x0e\xff", 2);
	assert_int_equal(a.result, -EBADMSG);
	assert_true(core_take(k, EFFECT_CLOSE, &f));
	assert_non_null(strstr(f.text, "broke the protocol"));
	assert_int_equal(p->link, 0);
	/* The other one knows when the link is down. */
	assert_int_equal(b.done, 0);
	core_down(k, link, -ECONNRESET);
	assert_int_equal(b.result, -EHOSTUNREACH);
	effect_done(&e);
	over(k);
}

static void the_wrong_priority_or_a_malformed_message_ends_the_link(void **state)
{
	static const uint8_t no_status[] = { 0 };

	(void)state;
	for (unsigned int way = 0; way < 4; way++) {
		struct core *k = core_new(NULL);
		uint32_t link;
		struct peer *p = linked(k, 3, &link);
		struct message get = get_message(), ping = { .type = WIRE_PING, .seq = 1 };

		get.request = 9;
		get.placement = k->placement;
		if (way == 0)
			core_message(k, link, &get, LINK_CONTROL);
		else if (way == 1)
			core_message(k, link, &ping, LINK_READ);
		else if (way == 2)
			core_bytes(k, link, WIRE_PUT, 5, LINK_WRITE, no_status, 1);
		else
			core_bytes(k, link, WIRE_GOSSIP, 5, LINK_CONTROL, NULL, 0);
		assert_int_equal(core_count(k, EFFECT_CLOSE), 1);
		assert_int_equal(p->link, 0);
		assert_int_equal(k->requests + k->messages, 0);
		/* What it still had on its way is not looked at. */
		get.type = WIRE_GET;
		core_message(k, link, &get, LINK_READ);
		assert_int_equal(k->requests, 0);
		core_down(k, link, 0);
		core_free(k);
	}
}

static void a_type_of_a_later_version_is_skipped_and_consumed(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;
	struct effect e;

	(void)state;
	linked(k, 3, &link);
	core_bytes(k, link, 200, 5, LINK_REPAIR, "what is this", 12);
	assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
	assert_true(core_take(k, EFFECT_CONSUMED, &e));
	assert_int_equal(e.count, 12);
	core_bytes(k, link, 201, 0, LINK_CONTROL, "nor this", 8);
	assert_false(core_take(k, EFFECT_CONSUMED, &e));
	core_free(k);
}

static void a_call_without_a_link_dials_and_is_sent_when_it_is_up(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	struct peer *p = core_member(k, 3, 1);
	struct effect e;
	uint32_t link;

	(void)state;
	start(k, &a, p, LINK_WRITE, TIMEOUT);
	core_run(k, 1);
	assert_false(core_take(k, EFFECT_SEND, &e));
	link = core_dialled(k, 3);
	e = sent(k);
	assert_int_equal(e.link, link);
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(a.done, 1);
	effect_done(&e);
	over(k);
}

static void a_call_to_whom_nobody_can_reach_ends_a_moment_later(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 }, b = { .done = 0 };
	struct peer *none = core_member(k, 3, 0), *p = core_member(k, 4, 1);
	struct effect e;

	(void)state;
	start(k, &a, none, LINK_READ, TIMEOUT);
	core_run(k, 1);
	assert_int_equal(a.result, -EHOSTUNREACH);
	start(k, &b, p, LINK_READ, TIMEOUT);
	core_run(k, 1);
	assert_true(core_take(k, EFFECT_DIAL, &e));
	core_done(k, e.ticket, -ECONNREFUSED);
	assert_int_equal(b.result, -EHOSTUNREACH);
	/* In backoff none is even tried. */
	start(k, &b, p, LINK_READ, TIMEOUT);
	core_run(k, 1);
	assert_int_equal(b.done, 2);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	over(k);
}

static void a_lost_link_ends_what_went_by_it_and_nothing_else(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 }, b = { .done = 0 }, c = { .done = 0 };
	uint32_t link, other;
	struct peer *p = linked(k, 3, &link), *q = linked(k, 4, &other);
	struct effect e;

	(void)state;
	start(k, &a, p, LINK_READ, TIMEOUT);
	start(k, &b, q, LINK_READ, TIMEOUT);
	core_forget(k);
	/* This one stands in line: it was not sent, another link will do. */
	core_full(k, link, true);
	start(k, &c, p, LINK_READ, TIMEOUT);
	core_run(k, LINK_FRESH);
	core_down(k, link, -ECONNRESET);
	assert_int_equal(a.result, -EHOSTUNREACH);
	assert_int_equal(b.done, 0);
	assert_int_equal(c.done, 0);
	core_run(k, 1);
	link = core_dialled(k, 3);
	e = sent(k);
	assert_int_equal(e.link, link);
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(c.result, 0);
	assert_int_equal(c.done, 1);
	call_stop(k->n, &b.call);
	assert_int_equal(b.done, 0);
	effect_done(&e);
	over(k);
}

static void the_time_in_line_counts(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	core_full(k, link, true);
	start(k, &a, p, LINK_READ, 2 * S);
	core_run(k, 2 * S - 1);
	assert_int_equal(a.done, 0);
	core_run(k, 1);
	assert_int_equal(a.result, -ETIMEDOUT);
	core_full(k, link, false);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	/* It was never sent, so it says nothing of the peer. */
	assert_int_equal(p->latency, 0);
	over(k);
}

static void what_was_given_up_counts_as_slow(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	start(k, &a, p, LINK_READ, 2 * S);
	core_run(k, S);
	assert_int_equal(p->oldest, k->n->now - S);
	core_run(k, S);
	assert_int_equal(a.result, -ETIMEDOUT);
	assert_int_equal(p->latency, 2 * S);
	assert_int_equal(p->oldest, UINT64_MAX);
	over(k);
}

static void the_oldest_one_under_way_is_known(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a[3] = { { .done = 0 } };
	struct effect e[3];
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	uint64_t began = k->n->now;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		start(k, &a[i], p, LINK_READ, TIMEOUT);
		e[i] = sent(k);
		core_run(k, MS);
	}
	core_answer(k, &e[1], WIRE_OK);
	assert_int_equal(p->oldest, began);
	core_answer(k, &e[0], WIRE_OK);
	assert_int_equal(p->oldest, began + 2 * MS);
	core_answer(k, &e[2], WIRE_OK);
	assert_int_equal(p->oldest, UINT64_MAX);
	for (unsigned int i = 0; i < 3; i++)
		effect_done(&e[i]);
	over(k);
}

static void the_line_goes_by_rank_but_the_eldest_gets_a_turn(void **state)
{
	enum { READS = 40 };
	struct core *k = core_new(NULL);
	struct ask w = { .done = 0 }, r[READS] = { { .done = 0 } };
	struct effect e;
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	unsigned int before = 0;

	(void)state;
	core_full(k, link, true);
	start(k, &w, p, LINK_REPAIR, TIMEOUT);
	for (unsigned int i = 0; i < READS; i++)
		start(k, &r[i], p, LINK_READ, TIMEOUT);
	core_full(k, link, false);
	for (;; before++) {
		enum link_priority priority;

		e = sent(k);
		priority = e.priority;
		core_answer(k, &e, WIRE_OK);
		effect_done(&e);
		if (priority == LINK_REPAIR)
			break;
	}
	assert_int_equal(before, 9);
	assert_int_equal(w.done, 1);
	while (core_take(k, EFFECT_SEND, &e)) {
		core_answer(k, &e, WIRE_OK);
		effect_done(&e);
	}
	for (unsigned int i = 0; i < READS; i++)
		assert_int_equal(r[i].done, 1);
	over(k);
}

static void done_may_start_its_call_again_and_stop_others(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0, .again = true }, b = { .done = 0 };
	struct effect e;
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	a.stops = &b;
	start(k, &a, p, LINK_READ, TIMEOUT);
	e = sent(k);
	start(k, &b, p, LINK_READ, TIMEOUT);
	core_answer(k, &e, WIRE_OK);
	effect_done(&e);
	assert_int_equal(a.done, 1);
	assert_true(call_busy(&a.call));
	assert_false(call_busy(&b.call));
	/* The link goes while one done() stops the call that is lost with it. */
	start(k, &b, p, LINK_READ, TIMEOUT);
	core_down(k, link, -ECONNRESET);
	assert_int_equal(a.done, 2);
	assert_int_equal(b.done, 0);
	assert_int_equal(p->calls, 0);
	over(k);
}

static void an_answer_of_another_placement_starts_one_exchange_a_second(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	struct effect e;
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		start(k, &a, p, LINK_READ, TIMEOUT);
		e = sent(k);
		core_answer(k, &e, WIRE_OTHER_PLACEMENT);
		effect_done(&e);
		assert_int_equal(a.status, WIRE_OTHER_PLACEMENT);
		assert_int_equal(k->differs, i < 2 ? 1 : 2);
		core_run(k, DIFFERS_EVERY / 2);
	}
	assert_ptr_equal(k->last, p);
	over(k);
}

static void two_peers_may_use_one_number(void **state)
{
	struct core *k = core_new(NULL);
	struct ask a = { .done = 0 };
	uint32_t link, other;
	struct peer *p = linked(k, 3, &link);
	struct message m = { .type = WIRE_ANSWER };
	struct effect e;

	(void)state;
	linked(k, 4, &other);
	start(k, &a, p, LINK_READ, TIMEOUT);
	e = sent(k);
	m.request = e.request;
	/* Somebody else's answer to it is none. */
	core_message(k, other, &m, LINK_READ);
	assert_int_equal(a.done, 0);
	core_answer(k, &e, WIRE_OK);
	assert_int_equal(a.done, 1);
	effect_done(&e);
	over(k);
}

/* ---- requests of peers ---- */

static void request(struct core *k, uint32_t link, uint32_t number)
{
	struct message m = get_message();

	m.request = number;
	m.placement = k->placement;
	core_message(k, link, &m, LINK_READ);
}

static unsigned int answered(struct core *k, uint32_t number)
{
	struct message m;
	struct effect e = sent(k);

	assert_int_equal(e.type, WIRE_ANSWER);
	assert_int_equal(e.request, number);
	assert_int_equal(e.priority, LINK_READ);
	assert_int_equal(wire_decode(e.type, e.request, e.head->data, e.head->len, &m), 0);
	effect_done(&e);
	return m.status;
}

static void a_request_is_answered_by_the_link_that_it_came_by(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;
	struct peer *p = linked(k, 3, &link);
	struct effect e;

	(void)state;
	request(k, link, 7);
	assert_int_equal(k->serving, 1);
	assert_int_equal(p->served, 1);
	/* Its credit is not given back before. */
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 0);
	serve_status(k->n, k->served[0], WIRE_MISS);
	assert_int_equal(answered(k, 7), WIRE_MISS);
	assert_true(core_take(k, EFFECT_CONSUMED, &e));
	assert_true(e.count > 0);
	assert_int_equal(p->served, 0);
	core_free(k);
}

static void an_answer_to_a_lost_link_goes_nowhere(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;

	(void)state;
	linked(k, 3, &link);
	request(k, link, 7);
	core_down(k, link, -ECONNRESET);
	/* Not by a new one either. */
	link = core_up(k, 3, 0);
	core_forget(k);
	serve_status(k->n, k->served[0], WIRE_OK);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	/* Nor to one that we closed. */
	request(k, link, 8);
	peer_hang_up(k->n, peer_find(k->n, &k->member[3].id), "mute");
	serve_status(k->n, k->served[1], WIRE_OK);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 0);
	core_free(k);
}

static void a_request_under_another_placement_is_refused_with_ours(void **state)
{
	struct core *k = core_new(NULL);
	struct message m = get_message(), a;
	struct effect e;
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	m.request = 7;
	memset(m.placement.b, 9, ADDRESS_LEN);
	core_message(k, link, &m, LINK_READ);
	assert_int_equal(k->requests, 0);
	e = sent(k);
	assert_int_equal(wire_decode(e.type, e.request, e.head->data, e.head->len, &a), 0);
	assert_int_equal(a.status, WIRE_OTHER_PLACEMENT);
	assert_true(address_equal(&a.placement, &k->placement));
	effect_done(&e);
	assert_int_equal(k->differs, 1);
	assert_ptr_equal(k->last, p);
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 1);
	core_free(k);
}

static void before_the_first_table_all_are_told_to_come_later(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;

	(void)state;
	linked(k, 3, &link);
	k->no_table = true;
	request(k, link, 7);
	assert_int_equal(answered(k, 7), WIRE_BUSY);
	k->no_table = false;
	k->unknown = true;
	/* A type that no machine takes. */
	request(k, link, 8);
	assert_int_equal(answered(k, 8), WIRE_BAD);
	core_free(k);
}

static void nothing_is_done_for_one_who_was_evicted(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;

	(void)state;
	linked(k, 3, &link);
	k->member[3].state = MEMBER_EVICTED;
	request(k, link, 7);
	assert_int_equal(answered(k, 7), WIRE_BUSY);
	assert_int_equal(k->requests, 0);
	core_free(k);
}

static void while_its_link_is_full_a_peers_requests_wait_and_keep_their_credit(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	k->answers = true;
	core_full(k, link, true);
	for (uint32_t i = 1; i <= 20; i++)
		request(k, link, i);
	core_run(k, S);
	assert_int_equal(k->requests, 0);
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 0);
	assert_int_equal(p->served, 20);
	core_full(k, link, false);
	core_run(k, 1);
	for (uint32_t i = 1; i <= 20; i++)
		assert_int_equal(answered(k, i), WIRE_OK);
	assert_int_equal(core_count(k, EFFECT_CONSUMED), 20);
	assert_int_equal(p->served, 0);
	core_free(k);
}

static void what_waits_in_line_goes_with_its_link(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;
	struct peer *p = linked(k, 3, &link);

	(void)state;
	core_full(k, link, true);
	for (uint32_t i = 1; i <= 5; i++)
		request(k, link, i);
	core_down(k, link, -ECONNRESET);
	assert_int_equal(p->served, 0);
	core_run(k, S);
	assert_int_equal(k->requests, 0);
	core_free(k);
}

static void what_waited_in_line_for_another_table_is_told_so(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t link;

	(void)state;
	linked(k, 3, &link);
	core_full(k, link, true);
	request(k, link, 1);
	memset(k->placement.b, 2, ADDRESS_LEN);
	core_full(k, link, false);
	core_run(k, 1);
	assert_int_equal(answered(k, 1), WIRE_OTHER_PLACEMENT);
	assert_int_equal(k->requests, 0);
	core_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_ends_its_call),
		cmocka_unit_test(an_answer_without_a_chunk_is_no_measure_of_reads),
		cmocka_unit_test(an_answer_that_comes_twice_or_late_or_to_nothing_is_ignored),
		cmocka_unit_test(a_malformed_answer_ends_the_call_and_the_link),
		cmocka_unit_test(the_wrong_priority_or_a_malformed_message_ends_the_link),
		cmocka_unit_test(a_type_of_a_later_version_is_skipped_and_consumed),
		cmocka_unit_test(a_call_without_a_link_dials_and_is_sent_when_it_is_up),
		cmocka_unit_test(a_call_to_whom_nobody_can_reach_ends_a_moment_later),
		cmocka_unit_test(a_lost_link_ends_what_went_by_it_and_nothing_else),
		cmocka_unit_test(the_time_in_line_counts),
		cmocka_unit_test(what_was_given_up_counts_as_slow),
		cmocka_unit_test(the_oldest_one_under_way_is_known),
		cmocka_unit_test(the_line_goes_by_rank_but_the_eldest_gets_a_turn),
		cmocka_unit_test(done_may_start_its_call_again_and_stop_others),
		cmocka_unit_test(an_answer_of_another_placement_starts_one_exchange_a_second),
		cmocka_unit_test(two_peers_may_use_one_number),
		cmocka_unit_test(a_request_is_answered_by_the_link_that_it_came_by),
		cmocka_unit_test(an_answer_to_a_lost_link_goes_nowhere),
		cmocka_unit_test(a_request_under_another_placement_is_refused_with_ours),
		cmocka_unit_test(before_the_first_table_all_are_told_to_come_later),
		cmocka_unit_test(nothing_is_done_for_one_who_was_evicted),
		cmocka_unit_test(while_its_link_is_full_a_peers_requests_wait_and_keep_their_credit),
		cmocka_unit_test(what_waits_in_line_goes_with_its_link),
		cmocka_unit_test(what_waited_in_line_for_another_table_is_told_so),
	};

	return suite_run(tests);
}
