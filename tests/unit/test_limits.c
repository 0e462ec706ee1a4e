/*
 * What bounds a node's core, at the limit: the last that still goes, the first that does not, and that it goes again when
 * there is room.  Those of one machine are tested with it.
 */
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "tests/lib/corekit.h"
#include "tests/lib/suite.h"

static unsigned int ended;
static int last_result;

static void call_over(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	(void)n;
	(void)c;
	(void)m;
	(void)body;
	ended++;
	last_result = result;
}

static void ask(struct core *k, struct call *c, struct peer *p, enum link_priority priority)
{
	struct message m = { .type = WIRE_GET };

	*c = (struct call){ .done = call_over };
	call_start(k->n, c, p, &m, NULL, priority, 10 * S);
}

/* ---- calls ---- */

static void calls_under_way_at_one_peer(void **state)
{
	struct core *k = core_new(NULL);
	struct call c[CALLS_PEER_MAX + 1];
	struct peer *p = core_member(k, 1, 1);
	struct effect e;

	(void)state;
	core_up(k, 1, 0);
	for (unsigned int i = 0; i <= CALLS_PEER_MAX; i++) {
		ask(k, &c[i], p, LINK_READ);
		assert_int_equal(core_count(k, EFFECT_SEND), i < CALLS_PEER_MAX ? i + 1 : i);
	}
	assert_true(core_take(k, EFFECT_SEND, &e));
	core_answer(k, &e, WIRE_OK);
	effect_done(&e);
	/* There is room for the one that waited. */
	assert_int_equal(core_count(k, EFFECT_SEND), CALLS_PEER_MAX);
	for (unsigned int i = 0; i <= CALLS_PEER_MAX; i++)
		call_stop(k->n, &c[i]);
	core_free(k);
}

static void repair_under_way_at_one_peer(void **state)
{
	struct core *k = core_new(NULL);
	struct call c[CALLS_REPAIR_MAX + 1], read;
	struct peer *p = core_member(k, 1, 1);
	struct effect e;

	(void)state;
	core_up(k, 1, 0);
	for (unsigned int i = 0; i <= CALLS_REPAIR_MAX; i++)
		ask(k, &c[i], p, LINK_REPAIR);
	assert_int_equal(core_count(k, EFFECT_SEND), CALLS_REPAIR_MAX);
	/* Reads are not held up by it. */
	ask(k, &read, p, LINK_READ);
	assert_int_equal(core_count(k, EFFECT_SEND), CALLS_REPAIR_MAX + 1);
	assert_true(core_take(k, EFFECT_SEND, &e));
	core_answer(k, &e, WIRE_OK);
	effect_done(&e);
	assert_int_equal(core_count(k, EFFECT_SEND), CALLS_REPAIR_MAX + 1);
	for (unsigned int i = 0; i <= CALLS_REPAIR_MAX; i++)
		call_stop(k->n, &c[i]);
	call_stop(k->n, &read);
	core_free(k);
}

static void calls_in_all(void **state)
{
	struct core *k = core_new(NULL);
	struct call *c = calloc(CALLS_MAX + 1, sizeof(*c));
	struct peer *p[CORE_MEMBERS];

	(void)state;
	for (unsigned int i = 0; i < CORE_MEMBERS; i++) {
		p[i] = core_member(k, i, 1);
		core_up(k, i, 0);
	}
	ended = 0;
	for (unsigned int i = 0; i <= CALLS_MAX; i++)
		ask(k, &c[i], p[i % CORE_MEMBERS], LINK_WRITE);
	core_run(k, 1);
	assert_int_equal(ended, 1);
	assert_int_equal(last_result, -EBUSY);
	assert_false(call_busy(&c[CALLS_MAX]));
	assert_int_equal(calls_count(k->n), CALLS_MAX);
	call_stop(k->n, &c[7]);
	ask(k, &c[CALLS_MAX], p[0], LINK_WRITE);
	core_run(k, 1);
	assert_int_equal(ended, 1);
	for (unsigned int i = 0; i <= CALLS_MAX; i++)
		call_stop(k->n, &c[i]);
	assert_int_equal(calls_count(k->n), 0);
	core_free(k);
	free(c);
}

/* ---- requests of peers ---- */

static void get(struct core *k, uint32_t link, uint32_t number, enum link_priority priority)
{
	struct message m = { .type = WIRE_GET, .request = number, .placement = k->placement };

	core_message(k, link, &m, priority);
}

static void request(struct core *k, uint32_t link, uint32_t number)
{
	get(k, link, number, LINK_READ);
}

static void finish(struct core *k, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		serve_status(k->n, k->served[i], WIRE_OK);
	core_run(k, 1);
}

/* The status of the last answer that went out; all before are forgotten. */
static unsigned int last_status(struct core *k)
{
	struct message m = { .status = 999 };
	struct effect e;

	while (core_take(k, EFFECT_SEND, &e)) {
		assert_int_equal(wire_decode(e.type, e.request, e.head->data, e.head->len, &m), 0);
		effect_done(&e);
	}
	return m.status;
}

static void requests_in_work_of_one_link(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t a, b;

	(void)state;
	core_member(k, 1, 1);
	core_member(k, 2, 1);
	a = core_up(k, 1, 0);
	b = core_up(k, 2, 0);
	for (unsigned int i = 1; i <= SERVED_WORK_MAX + 3; i++)
		request(k, a, i);
	core_run(k, S);
	assert_int_equal(k->serving, SERVED_WORK_MAX);
	/* Others are not held up by it. */
	request(k, b, 1);
	assert_int_equal(k->serving, SERVED_WORK_MAX + 1);
	finish(k, 0, 2);
	assert_int_equal(k->serving, SERVED_WORK_MAX + 3);
	core_free(k);
}

static void reads_for_repair_while_others_read(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t a, b;

	(void)state;
	core_member(k, 1, 1);
	core_member(k, 2, 1);
	a = core_up(k, 1, 0);
	b = core_up(k, 2, 0);
	/* Nobody else reads. */
	get(k, a, 1, LINK_REPAIR);
	assert_int_equal(k->serving, 1);
	request(k, b, 1);
	assert_int_equal(k->serving, 2);
	/* They wait until nobody does any more, for a little while ... */
	get(k, a, 2, LINK_REPAIR);
	core_run(k, SERVED_YIELD / 2);
	assert_int_equal(k->serving, 2);
	finish(k, 1, 2);
	core_run(k, SERVED_CALM - 2);
	assert_int_equal(k->serving, 2);
	core_run(k, 1);
	assert_int_equal(k->serving, 3);
	/* ... or for so long, each. */
	request(k, b, 2);
	get(k, a, 3, LINK_REPAIR);
	core_run(k, SERVED_YIELD / 2);
	get(k, a, 4, LINK_REPAIR);
	core_run(k, SERVED_YIELD / 2);
	assert_int_equal(k->serving, 5);
	core_run(k, SERVED_YIELD / 2);
	assert_int_equal(k->serving, 6);
	core_free(k);
}

static void requests_of_one_peer(void **state)
{
	struct core *k = core_new(NULL);
	uint32_t a, b;

	(void)state;
	core_member(k, 1, 1);
	core_member(k, 2, 1);
	a = core_up(k, 1, 0);
	b = core_up(k, 2, 0);
	for (unsigned int i = 1; i <= SERVED_PEER_MAX; i++)
		request(k, a, i);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	request(k, a, 100);
	assert_int_equal(last_status(k), WIRE_BUSY);
	/* By another link he is still the same. */
	request(k, core_up(k, 1, 0), 101);
	assert_int_equal(last_status(k), WIRE_BUSY);
	request(k, b, 1);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	finish(k, 0, 1);
	request(k, a, 102);
	assert_int_equal(last_status(k), WIRE_OK);
	assert_int_equal(core_count(k, EFFECT_CLOSE), 0);
	core_free(k);
}

static void requests_of_a_peer_that_reads_nothing(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 1, 1);
	uint32_t a = core_up(k, 1, 0), asked = 0;
	struct effect e;
	uint64_t queued = 0;

	(void)state;
	core_full(k, a, true);
	for (unsigned int i = 1; i <= SERVED_PEER_MAX; i++)
		request(k, a, i);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	/* The others are told to come later, but not for ever. */
	while (core_count(k, EFFECT_CLOSE) == 0) {
		request(k, a, 100 + asked++);
		while (core_take(k, EFFECT_SEND, &e)) {
			queued += e.head->len;
			effect_done(&e);
		}
		while (core_take(k, EFFECT_CONSUMED, &e))
			;
		assert_true(asked < 200000);
	}
	assert_true(queued < UNREAD_MAX);
	assert_true(asked > 10000);
	core_forget(k);
	core_down(k, a, 0);
	assert_int_equal(p->served, 0);
	assert_int_equal(k->serving, 0);
	/* He may come again. */
	a = core_up(k, 1, 0);
	request(k, a, 1);
	assert_int_equal(k->serving, 1);
	core_free(k);
}

static void answers_to_a_full_link(void **state)
{
	enum { LONG = 256 << 10, MANY = UNREAD_MAX / LONG };
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 1, 1);
	uint32_t a = core_up(k, 1, 0);
	uint8_t *bytes;
	struct chunk *c = chunk_new(LONG, &bytes);

	(void)state;
	assert_non_null(c);
	memset(bytes, 1, LONG);
	/* While there is room nothing counts. */
	for (unsigned int i = 0; i < MANY + 2; i++) {
		struct message m = { .status = WIRE_OK };

		request(k, a, 1000 + i);
		serve_answer(k->n, k->served[i], &m, c);
		core_forget(k);
	}
	for (unsigned int round = 0; round < 2; round++) {
		/* Requests that do not wait, and whose answers are long all the same. */
		for (unsigned int i = 0; i < MANY; i++) {
			struct message m = { .type = WIRE_AUDIT, .request = 1 + i, .placement = k->placement };

			core_message(k, a, &m, LINK_READ);
		}
		core_full(k, a, true);
		for (unsigned int i = 0; i < MANY; i++) {
			struct message m = { .status = WIRE_OK };

			assert_int_not_equal(p->link, 0);
			serve_answer(k->n, k->served[k->serving - MANY + i], &m, c);
			core_forget(k);
			/* Had there been room meanwhile, all would count anew. */
			if (round == 0 && i == MANY / 2) {
				core_full(k, a, false);
				core_full(k, a, true);
			}
		}
		assert_int_equal(p->link == 0, round == 1);
		core_full(k, a, false);
	}
	chunk_drop(c);
	core_free(k);
}

/* Each is within its own limit. */
static void answers_to_all_full_links(void **state)
{
	enum { LONG = 256 << 10, PEERS = 20, GREEDY = 7, EACH = UNREAD_ALL_MAX / PEERS / (LONG + 512) };
	struct core *k = core_new(NULL);
	struct peer *p[PEERS];
	uint32_t link[PEERS], asked = 0;
	uint8_t *bytes;
	struct chunk *c = chunk_new(LONG, &bytes);
	unsigned int i;

	(void)state;
	assert_non_null(c);
	memset(bytes, 1, LONG);
	for (i = 0; i < PEERS; i++) {
		p[i] = core_member(k, 1 + i, 1);
		link[i] = core_up(k, 1 + i, 0);
		core_full(k, link[i], true);
	}
	/* One has three more than the others; then all have the same and more. */
	for (unsigned int round = 0; round < EACH + 4; round++)
		for (i = 0; i < PEERS; i++) {
			struct message ask = { .type = WIRE_AUDIT, .request = ++asked, .placement = k->placement };
			struct message m = { .status = WIRE_OK };

			if ((round < 3 && i != GREEDY) || p[GREEDY]->link == 0)
				continue;
			core_message(k, link[i], &ask, LINK_READ);
			serve_answer(k->n, k->served[k->serving - 1], &m, c);
			core_forget(k);
		}
	for (i = 0; i < PEERS; i++)
		assert_int_equal(p[i]->link == 0, i == GREEDY);
	/* What waited for it does not count any more, nor what has been read. */
	core_full(k, link[0], false);
	core_full(k, link[0], true);
	for (i = 0; i < 3; i++) {
		struct message ask = { .type = WIRE_AUDIT, .request = ++asked, .placement = k->placement };
		struct message m = { .status = WIRE_OK };

		core_message(k, link[0], &ask, LINK_READ);
		serve_answer(k->n, k->served[k->serving - 1], &m, c);
		core_forget(k);
	}
	for (i = 0; i < PEERS; i++)
		assert_int_equal(p[i]->link == 0, i == GREEDY);
	chunk_drop(c);
	core_free(k);
}

/* Or two nodes that push at each other would wait for each other's credit. */
static void requests_with_bytes_do_not_wait_in_line(void **state)
{
	struct core *k = core_new(NULL);
	struct message m = { .type = WIRE_PUT, .kind = KIND_DATA };
	uint32_t a;

	(void)state;
	core_member(k, 1, 1);
	a = core_up(k, 1, 0);
	core_full(k, a, true);
	m.placement = k->placement;
	m.bytes = (struct wire_slice){ (const uint8_t *)"chunk", 5 };
	for (m.request = 1; m.request <= SERVED_WORK_MAX + 5; m.request++)
		core_message(k, a, &m, LINK_WRITE);
	assert_int_equal(k->serving, SERVED_WORK_MAX + 5);
	/* Nor do they take the places of those that do. */
	core_full(k, a, false);
	request(k, a, 1000);
	assert_int_equal(k->serving, SERVED_WORK_MAX + 6);
	core_free(k);
}

static void a_request_that_waits_in_line_is_short(void **state)
{
	struct core *k = core_new(NULL);
	uint8_t bytes[SERVED_LINE_BYTES + 1] = { 0 };
	struct message m = { .type = WIRE_GET, .request = 1, .placement = k->placement };
	size_t len = wire_size(&m, false);
	uint32_t a;

	(void)state;
	core_member(k, 1, 1);
	a = core_up(k, 1, 0);
	assert_int_equal(wire_encode(&m, false, bytes, sizeof(bytes)), len);
	/* A field that nobody knows yet: its number, its length in two bytes, and what it is worth. */
	for (unsigned int beyond = 0; beyond < 2; beyond++) {
		size_t field = SERVED_LINE_BYTES + beyond - len - 3;

		bytes[len] = FIELD_BYTES - 1;
		bytes[len + 1] = (uint8_t)(field & 0x7f) | 0x80;
		bytes[len + 2] = (uint8_t)(field >> 7);
		core_full(k, a, true);
		core_bytes(k, a, WIRE_GET, 1, LINK_READ, bytes, SERVED_LINE_BYTES + beyond);
		assert_int_equal(core_count(k, EFFECT_SEND), beyond);
		core_full(k, a, false);
		core_run(k, 1);
		assert_int_equal(k->serving, 1);
	}
	assert_int_equal(last_status(k), WIRE_BUSY);
	core_free(k);
}

static void requests_of_all_peers(void **state)
{
	struct core *k = core_new(NULL);
	uint8_t key[MEMBER_KEY];
	uint32_t last;

	(void)state;
	for (unsigned int i = 0; i < SERVED_MAX; i++) {
		core_key(i, key);
		request(k, core_key_up(k, key, 0), 1);
	}
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	peer_dial(k->n, core_member(k, 1, 1));
	core_run(k, 1);
	last = core_dialled(k, 1);
	request(k, last, 1000);
	assert_int_equal(last_status(k), WIRE_BUSY);
	finish(k, 0, 1);
	core_forget(k);
	request(k, last, 1001);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	core_free(k);
}

/* The more they take, the less each of them may have: who asks for little is served. */
static void some_peers_do_not_take_the_places_of_all(void **state)
{
	struct core *k = core_new(NULL);
	unsigned int greedy = CORE_MEMBERS - 4, taken = 0;
	uint32_t link[CORE_MEMBERS];

	(void)state;
	for (unsigned int i = 0; i < CORE_MEMBERS; i++) {
		core_member(k, i, 1);
		link[i] = core_up(k, i, 0);
	}
	for (unsigned int r = 1; r <= SERVED_PEER_MAX; r++)
		for (unsigned int i = 0; i < greedy; i++)
			request(k, link[i], r);
	for (unsigned int i = 0; i < greedy; i++)
		taken += links_find(k->n, link[i])->served;
	assert_int_equal(taken, greedy * (SERVED_MAX / (greedy + SERVED_SHARE)));
	core_forget(k);
	for (unsigned int r = 1; r <= 8; r++)
		for (unsigned int i = greedy; i < CORE_MEMBERS; i++)
			request(k, link[i], r);
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	for (unsigned int i = greedy; i < CORE_MEMBERS; i++)
		assert_int_equal(links_find(k->n, link[i])->served, 8);
	core_free(k);
}

/* ---- commands, the disk ---- */

static int reply(struct core *k, uint64_t ticket)
{
	struct effect e;

	assert_true(core_take(k, EFFECT_REPLY, &e));
	assert_int_equal(e.ticket, ticket);
	return e.result;
}

static void commands_that_wait(void **state)
{
	struct core *k = core_new(NULL);
	struct command c = { .kind = COMMAND_FETCH, .timeout = 10 * S };

	(void)state;
	/* In no order: they are found by their tickets. */
	for (unsigned int i = 0; i < COMMANDS_MAX; i++) {
		c.ticket = 1 + i * 7 % COMMANDS_MAX;
		commands_input(k->n, &c);
	}
	assert_int_equal(k->commands, COMMANDS_MAX);
	c.ticket = 5000;
	commands_input(k->n, &c);
	assert_int_equal(reply(k, 5000), -EBUSY);
	assert_int_equal(k->commands, COMMANDS_MAX);
	command_result(k->n, 77, -ENOENT);
	assert_int_equal(reply(k, 77), -ENOENT);
	/* A second answer is none. */
	command_result(k->n, 77, 0);
	assert_int_equal(core_count(k, EFFECT_REPLY), 0);
	commands_input(k->n, &c);
	assert_int_equal(k->commands, COMMANDS_MAX + 1);
	core_run(k, 10 * S);
	assert_int_equal(core_count(k, EFFECT_REPLY), COMMANDS_MAX);
	assert_int_equal(commands_count(k->n), 0);
	core_free(k);
}

static void the_time_that_a_command_may_take(void **state)
{
	struct core *k = core_new(NULL);
	struct command c = { .kind = COMMAND_FETCH, .ticket = 1, .timeout = UINT64_MAX };

	(void)state;
	commands_input(k->n, &c);
	core_run(k, COMMAND_TIMEOUT_MAX - 1);
	assert_int_equal(core_count(k, EFFECT_REPLY), 0);
	core_run(k, 1);
	assert_int_equal(reply(k, 1), -ETIMEDOUT);
	core_free(k);
}

static unsigned int worked;

static void work_over(struct node *n, struct work *w, const struct event *e)
{
	(void)n;
	(void)w;
	(void)e;
	worked++;
}

static void effects_on_the_disk(void **state)
{
	enum { MORE = 3 };
	struct core *k = core_new(NULL);
	struct work *w = calloc(DISK_MAX + MORE, sizeof(*w));
	struct effect e;
	uint64_t first;

	(void)state;
	worked = 0;
	for (unsigned int i = 0; i < DISK_MAX + MORE; i++) {
		struct effect read = { .kind = EFFECT_READ, .count = i };

		w[i].done = work_over;
		work_start(k->n, &w[i], &read);
	}
	assert_int_equal(core_count(k, EFFECT_READ), DISK_MAX);
	/* Dials and tables are no disk. */
	work_stop(k->n, &w[DISK_MAX]);
	assert_true(core_take(k, EFFECT_READ, &e));
	first = e.ticket;
	core_done(k, first, 0);
	core_done(k, first, 0);
	assert_int_equal(worked, 1);
	/* In line stands what was stopped, too: it is carried out all the same, in order. */
	assert_int_equal(core_count(k, EFFECT_READ), DISK_MAX);
	for (unsigned int i = 1; core_take(k, EFFECT_READ, &e); i++) {
		assert_int_equal(e.count, i);
		core_done(k, e.ticket, 0);
	}
	assert_int_equal(worked, DISK_MAX + MORE - 1);
	for (unsigned int i = 0; i < DISK_MAX + MORE; i++)
		assert_false(work_busy(&w[i]));
	core_free(k);
	free(w);
}

static void work_on(struct core *k, struct work *w, enum effect_kind kind, int result)
{
	struct effect e = { .kind = kind }, out;

	w->done = work_over;
	work_start(k->n, w, &e);
	assert_true(core_take(k, kind, &out));
	core_done(k, out.ticket, result);
}

static int refusal;

static void work_refused(struct node *n, struct work *w, const struct event *e)
{
	struct effect read = { .kind = EFFECT_READ };

	worked++;
	refusal = e->result;
	/* Who asks again at once is told later again. */
	work_start(n, w, &read);
}

static void effects_that_stand_in_line_for_the_disk(void **state)
{
	struct core *k = core_new(NULL);
	struct work *w = calloc(DISK_MAX + DISK_LINE_MAX, sizeof(*w)), more[3] = { { .done = work_refused } };
	struct effect e;

	(void)state;
	worked = 0;
	for (unsigned int i = 0; i < DISK_MAX + DISK_LINE_MAX; i++) {
		struct effect read = { .kind = EFFECT_READ, .count = i };

		w[i].done = work_over;
		work_start(k->n, &w[i], &read);
	}
	for (unsigned int i = 0; i < 3; i++) {
		struct effect read = { .kind = EFFECT_READ, .chunk = chunk_copy("x", 1) };

		more[i].done = work_refused;
		work_start(k->n, &more[i], &read);
		assert_true(work_busy(&more[i]));
	}
	work_stop(k->n, &more[1]);
	assert_false(work_busy(&more[1]));
	assert_int_equal(worked, 0);
	core_run(k, WORK_REFUSED);
	assert_int_equal(worked, 2);
	assert_int_equal(refusal, -EBUSY);
	core_run(k, 10 * WORK_REFUSED);
	assert_int_equal(worked, 22);
	/* There is room again. */
	assert_true(core_take(k, EFFECT_READ, &e));
	core_done(k, e.ticket, 0);
	core_run(k, 10 * WORK_REFUSED);
	assert_int_equal(worked, 22 + 1 + 2 + 9);
	work_stop(k->n, &more[0]);
	work_stop(k->n, &more[2]);
	core_free(k);
	free(w);
}

static void places_of_work_are_used_again(void **state)
{
	struct core *k = core_new(NULL);
	struct work w = { .ticket = 0 };
	size_t memory;

	(void)state;
	work_on(k, &w, EFFECT_READ, 0);
	memory = works_memory(k->n);
	for (unsigned int i = 0; i < 100; i++)
		work_on(k, &w, EFFECT_READ, 0);
	assert_int_equal(works_memory(k->n), memory);
	/* What changed on the disk is told; what did not is not. */
	assert_int_equal(k->stored, 0);
	work_on(k, &w, EFFECT_WRITE, -ENOSPC);
	assert_int_equal(k->stored, 0);
	work_on(k, &w, EFFECT_WRITE, 0);
	assert_int_equal(k->stored, 1);
	work_on(k, &w, EFFECT_STATES, 0);
	assert_int_equal(k->stored, 2);
	core_free(k);
}

static void effects_come_out_in_their_order_however_many(void **state)
{
	struct core *k = core_new(NULL);
	unsigned int put = 0, polled = 0;
	struct effect e;

	(void)state;
	core_forget(k);
	/* Always more put than polled: it grows wherever in its circle it begins. */
	for (unsigned int round = 1; round < 60; round++) {
		for (unsigned int i = 0; i < round; i++)
			effects_put(k->n, &(struct effect){ .kind = EFFECT_LOG, .count = put++ });
		for (unsigned int i = 0; i < round * 2 / 3; i++) {
			assert_true(effects_poll(k->n, &e));
			assert_int_equal(e.count, polled++);
		}
	}
	while (effects_poll(k->n, &e))
		assert_int_equal(e.count, polled++);
	assert_int_equal(polled, put);
	core_free(k);
}

static void memory_is_counted_and_given_back(void **state)
{
	struct core *k = core_new(NULL);
	struct node *n = k->n;
	struct call c[100];
	struct peer *p = core_member(k, 1, 1);
	size_t calls = calls_memory(n), served = serve_memory(n), dials = dials_memory(n);
	struct message ping = { .type = WIRE_PING, .seq = 1 };
	uint32_t link;

	(void)state;
	for (unsigned int i = 0; i <= HELD_MAX; i++)
		peer_tell(n, p, &ping);
	assert_true(dials_memory(n) > dials + HELD_MAX * wire_size(&ping, false));
	link = core_up(k, 1, 0);
	assert_int_equal(dials_memory(n), dials);
	for (unsigned int i = 0; i < 100; i++)
		ask(k, &c[i], p, LINK_READ);
	for (unsigned int i = 1; i <= SERVED_PEER_MAX; i++)
		request(k, link, i);
	assert_true(calls_memory(n) >= calls + 100 * ADDRESS_LEN);
	assert_true(serve_memory(n) >= served + SERVED_PEER_MAX * ADDRESS_LEN);
	for (unsigned int i = 0; i < 100; i++)
		call_stop(n, &c[i]);
	k->answers = true;
	finish(k, 0, k->serving);
	core_run(k, S);
	assert_int_equal(calls_memory(n), calls);
	assert_int_equal(serve_memory(n), served);
	/* An effect queue that was long is short again when it is empty. */
	core_forget(k);
	assert_true(effects_memory(n) < 32 * sizeof(struct effect) + 1024);
	core_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_under_way_at_one_peer),
		cmocka_unit_test(repair_under_way_at_one_peer),
		cmocka_unit_test(calls_in_all),
		cmocka_unit_test(requests_in_work_of_one_link),
		cmocka_unit_test(reads_for_repair_while_others_read),
		cmocka_unit_test(requests_of_one_peer),
		cmocka_unit_test(requests_of_a_peer_that_reads_nothing),
		cmocka_unit_test(answers_to_a_full_link),
		cmocka_unit_test(answers_to_all_full_links),
		cmocka_unit_test(requests_with_bytes_do_not_wait_in_line),
		cmocka_unit_test(a_request_that_waits_in_line_is_short),
		cmocka_unit_test(requests_of_all_peers),
		cmocka_unit_test(some_peers_do_not_take_the_places_of_all),
		cmocka_unit_test(commands_that_wait),
		cmocka_unit_test(the_time_that_a_command_may_take),
		cmocka_unit_test(effects_on_the_disk),
		cmocka_unit_test(effects_that_stand_in_line_for_the_disk),
		cmocka_unit_test(places_of_work_are_used_again),
		cmocka_unit_test(effects_come_out_in_their_order_however_many),
		cmocka_unit_test(memory_is_counted_and_given_back),
	};

	return suite_run(tests);
}
