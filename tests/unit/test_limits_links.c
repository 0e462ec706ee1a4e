/* What bounds the links and dials of a node's core, and the peers that it knows, at the limit. */
#include <errno.h>

#include "tests/lib/corekit.h"
#include "tests/lib/suite.h"

static void call_over(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	(void)n;
	(void)c;
	(void)result;
	(void)m;
	(void)body;
}

static unsigned int close_effects(struct core *k)
{
	unsigned int count = core_count(k, EFFECT_CLOSE);

	core_forget(k);
	return count;
}

static void dials_at_a_time(void **state)
{
	struct core *k = core_new(NULL);
	struct effect e;

	(void)state;
	for (unsigned int i = 0; i < DIALS_MAX + 1; i++)
		peer_dial(k->n, core_member(k, i, 1));
	core_run(k, S);
	peer_dial(k->n, core_member(k, DIALS_MAX + 1, 1));
	core_run(k, 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), DIALS_MAX);
	assert_true(core_take(k, EFFECT_DIAL, &e));
	core_done(k, e.ticket, -ECONNREFUSED);
	core_run(k, 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), DIALS_MAX);
	/* One that hangs makes room too. */
	core_run(k, DIAL_TIMEOUT - S + 2);
	assert_int_equal(core_count(k, EFFECT_DIAL), DIALS_MAX + 1);
	core_free(k);
}

/* LINKS_MAX links that we dialled, ${key}s from 0; those of DIALS_MAX at a time. */
static void dial_many(struct core *k, unsigned int count)
{
	uint8_t key[MEMBER_KEY];
	struct effect e;

	for (unsigned int i = 0; i < count; i++) {
		struct peer *p = core_member(k, 0, 1);

		/* Somebody else answers at its address, always another one. */
		p->again = 0;
		peer_dial(k->n, p);
		core_run(k, 1);
		assert_true(core_take(k, EFFECT_DIAL, &e));
		core_key(i, key);
		core_key_up(k, key, e.ticket);
		core_run(k, MS);
	}
}

static void links_that_we_dialled(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 1, 1);
	struct peer_link *l;
	struct effect e;

	(void)state;
	dial_many(k, LINKS_MAX);
	assert_int_equal(links_dialled(k->n), LINKS_MAX);
	assert_int_equal(close_effects(k), 0);
	/* All but one are busy: that one goes, though it is not the oldest. */
	for (uint32_t i = 1; i <= k->links; i++)
		links_find(k->n, i)->served += i != 5;
	peer_dial(k->n, p);
	core_run(k, 1);
	assert_true(core_take(k, EFFECT_CLOSE, &e));
	assert_int_equal(e.link, 5);
	core_dialled(k, 1);
	/* None is idle: it waits in line, until one is, and gets its turn at once then. */
	l = links_find(k->n, k->links);
	l->served++;
	peer_dial(k->n, core_member(k, 2, 1));
	core_run(k, S);
	assert_int_equal(core_count(k, EFFECT_DIAL), 0);
	l->served--;
	dials_turn(k->n);
	core_run(k, 1);
	assert_int_equal(core_count(k, EFFECT_DIAL), 1);
	assert_int_equal(close_effects(k), 1);
	assert_true(links_dialled(k->n) < LINKS_MAX);
	for (uint32_t i = 1; i <= k->links; i++)
		links_find(k->n, i)->served = 0;
	core_free(k);
}

static void a_link_that_somebody_stands_in_line_for_does_not_give_way(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 1, 1);
	struct call c = { .done = call_over };
	struct effect e;
	uint32_t link;

	(void)state;
	peer_dial(k->n, p);
	core_run(k, 1);
	link = core_dialled(k, 1);
	core_full(k, link, true);
	call_start(k->n, &c, p, &(struct message){ .type = WIRE_GET }, NULL, LINK_READ, 10 * S);
	dial_many(k, LINKS_MAX - 1);
	core_run(k, 1);
	peer_dial(k->n, core_member(k, 2, 1));
	core_run(k, 1);
	assert_true(core_take(k, EFFECT_CLOSE, &e));
	assert_int_equal(e.link, link + 1);
	call_stop(k->n, &c);
	core_free(k);
}

static void links_that_came_to_us(void **state)
{
	struct core *k = core_new(NULL);
	uint8_t key[MEMBER_KEY];
	struct effect e;

	(void)state;
	for (unsigned int i = 0; i < LINKS_ACCEPTED_MAX; i++) {
		core_key(i, key);
		core_key_up(k, key, 0);
		core_run(k, 1);
	}
	assert_int_equal(links_count(k->n), LINKS_ACCEPTED_MAX);
	assert_int_equal(close_effects(k), 0);
	/* The idle one of oldest use gives way. */
	links_find(k->n, 1)->served++;
	core_key(LINKS_ACCEPTED_MAX, key);
	core_key_up(k, key, 0);
	assert_true(core_take(k, EFFECT_CLOSE, &e));
	assert_int_equal(e.link, 2);
	assert_int_equal(links_count(k->n), LINKS_ACCEPTED_MAX);
	/* Where all are busy, the new one does. */
	for (uint32_t i = 1; i <= k->links; i++)
		links_find(k->n, i)->served = 1;
	core_key(LINKS_ACCEPTED_MAX + 1, key);
	core_key_up(k, key, 0);
	assert_true(core_take(k, EFFECT_CLOSE, &e));
	assert_int_equal(e.link, LINKS_ACCEPTED_MAX + 2);
	/* But those that we dial have a limit of their own. */
	peer_dial(k->n, core_member(k, 1, 1));
	core_run(k, 1);
	core_dialled(k, 1);
	assert_int_equal(links_count(k->n), LINKS_ACCEPTED_MAX + 1);
	core_free(k);
}

static void links_of_one_peer(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 1, 1);
	struct effect e;

	(void)state;
	for (unsigned int i = 1; i <= 20; i++) {
		assert_int_equal(core_up(k, 1, 0), i);
		assert_int_equal(p->link, i);
		assert_int_equal(links_count(k->n), i < LINKS_PEER_MAX ? i : LINKS_PEER_MAX);
		if (i > LINKS_PEER_MAX) {
			assert_true(core_take(k, EFFECT_CLOSE, &e));
			assert_int_equal(e.link, i - LINKS_PEER_MAX);
		}
	}
	core_free(k);
}

static void messages_that_wait_for_a_link(void **state)
{
	struct core *k = core_new(NULL);
	struct peer *p = core_member(k, 1, 1);
	struct message m = { .type = WIRE_PING };
	struct effect e;

	(void)state;
	for (m.seq = 1; m.seq <= HELD_MAX + 3; m.seq++)
		peer_tell(k->n, p, &m);
	core_run(k, 1);
	core_dialled(k, 1);
	/* The oldest have gone. */
	for (uint64_t i = 4; i <= HELD_MAX + 3; i++) {
		assert_true(core_take(k, EFFECT_SEND, &e));
		assert_int_equal(wire_decode(e.type, 0, e.head->data, e.head->len, &m), 0);
		assert_int_equal(m.seq, i);
		effect_done(&e);
	}
	assert_int_equal(core_count(k, EFFECT_SEND), 0);
	core_free(k);
}

static void peers_that_are_known(void **state)
{
	struct core *k = core_new(NULL);
	uint8_t key[MEMBER_KEY];
	unsigned int count = 0;

	(void)state;
	/* They come and go: more than there are links at a time. */
	for (unsigned int i = 0; i < PEERS_MAX + 50; i++) {
		uint32_t link;

		core_key(i, key);
		link = core_key_up(k, key, 0);
		core_down(k, link, 0);
		assert_int_equal(close_effects(k), i < PEERS_MAX ? 0 : 1);
	}
	for (struct peer *p = NULL; (p = peer_next(k->n, p ? &p->id : NULL));)
		count++;
	assert_int_equal(count, PEERS_MAX);
	/* Those that are there, and members, are welcome all the same. */
	core_key(3, key);
	core_key_up(k, key, 0);
	assert_non_null(core_member(k, 1, 1));
	core_up(k, 1, 0);
	assert_int_equal(close_effects(k), 0);
	core_run(k, PEER_KEEP * 9 / 8 + 2);
	core_key(PEERS_MAX + 7, key);
	core_key_up(k, key, 0);
	assert_int_equal(close_effects(k), 0);
	core_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dials_at_a_time),
		cmocka_unit_test(links_that_we_dialled),
		cmocka_unit_test(a_link_that_somebody_stands_in_line_for_does_not_give_way),
		cmocka_unit_test(links_that_came_to_us),
		cmocka_unit_test(links_of_one_peer),
		cmocka_unit_test(messages_that_wait_for_a_link),
		cmocka_unit_test(peers_that_are_known),
	};

	return suite_run(tests);
}
