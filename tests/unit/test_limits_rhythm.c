/*
 * How often the nodes of a ring speak, to how many at a time, and how long they wait: membership's times, to the very number.
 * SEED=n replays.
 */
#include "tests/unit/membership_test.h"

#define SAID_MAX 4096u

/* What ${from} says of ${type}; nothing of it arrives where it is ${lost}. */
static struct {
	unsigned int from;
	enum wire_type type;
	bool lost;
	unsigned int count, to[SAID_MAX];
	unsigned int addresses;		/* the most in one of them */
	uint64_t at[SAID_MAX];
} said;

static bool listen(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	if (from == said.from && m->type == said.type) {
		struct message said_now;

		assert_true(said.count < SAID_MAX);
		assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &said_now), 0);
		said.addresses = said_now.address_count > said.addresses ? said_now.address_count : said.addresses;
		said.to[said.count] = to;
		said.at[said.count++] = k->now;
		if (said.lost)
			return false;
	}
	return meddle(k, from, to, m);
}

static void listen_to(struct netkit *k, unsigned int from, enum wire_type type, bool lost)
{
	said.from = from;
	said.type = type;
	said.lost = lost;
	said.count = said.addresses = 0;
	k->filter = listen;
}

/* ---- the probe ---- */

static void one_member_is_probed_in_each_period(void **state)
{
	struct netkit *k = running(3);

	(void)state;
	listen_to(k, 0, WIRE_PING, false);
	netkit_run(k, 20 * S);
	assert_in_range(said.count, 19, 21);
	for (unsigned int i = 1; i < said.count; i++)
		assert_int_equal(said.at[i] - said.at[i - 1], PROBE_EVERY);
	netkit_free(k);
}

static void few_others_are_asked_for_one_that_does_not_answer_in_time(void **state)
{
	struct netkit *k = running(9);
	unsigned int most = 0;

	(void)state;
	for (unsigned int round = 0; round < 8; round++) {
		const struct swim *swim = &node(k, 0)->membership->swim;
		uint64_t sent = swim->sent;
		unsigned int slower;

		/* The one that is pinged next is deaf until it was seen. */
		listen_to(k, 0, WIRE_PING, true);
		while (said.count == 0)
			netkit_run(k, MS);
		assert_true(swim->sent > sent);
		sent = swim->sent;
		slower = swim->health;
		listen_to(k, 0, WIRE_PROBE, false);
		netkit_run(k, PROBE_EVERY * (1 + slower) - 10 * MS);
		assert_in_range(said.count, 1, PROBE_INDIRECT);
		for (unsigned int i = 0; i < said.count; i++)
			assert_int_equal(said.at[i], sent + PROBE_TIMEOUT * (1 + slower));
		most = said.count > most ? said.count : most;
		netkit_run(k, 30 * S);
	}
	assert_int_equal(most, PROBE_INDIRECT);
	netkit_free(k);
}

/* ---- gossip ---- */

/* A made-up member; no two calls' are the same. */
static struct member *stranger(const struct netkit *k)
{
	static unsigned int made;
	struct member fields = { .incarnation = 1, .state = MEMBER_HERE, .weight = 1 };
	uint8_t of[32] = { (uint8_t)made, (uint8_t)(made >> 8), [31] = 2 }, key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct member *one;

	made++;
	crypto_sign_seed_keypair(key, secret, of);
	assert_int_equal(member_sign(&fields, &k->file.id, secret, &one), 0);
	return one;
}

/* Node 0 hears of ${count} of them. */
static void news(struct netkit *k, unsigned int count)
{
	node(k, 0)->now = k->now;
	for (unsigned int i = 0; i < count; i++) {
		struct member *one = stranger(k);

		assert_int_equal(membership_adopt(node(k, 0), one->bytes, one->len, true), 0);
		member_drop(one);
	}
}

static void gossip_goes_to_few_at_a_time_and_not_all_the_time(void **state)
{
	struct netkit *k = running(12);
	unsigned int most = 0, at_once = 0;
	uint64_t shortest = UINT64_MAX;

	(void)state;
	listen_to(k, 0, WIRE_GOSSIP, false);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(ask(k, 0, (struct command){ .kind = COMMAND_SET, .weight = (uint8_t)(i % 2 + 1) }), 0);
		netkit_run(k, 2 * S);
	}
	assert_true(said.count > 10);
	for (unsigned int i = 0; i < said.count; i++) {
		if (i > 0 && said.at[i] != said.at[i - 1]) {
			shortest = said.at[i] - said.at[i - 1] < shortest ? said.at[i] - said.at[i - 1] : shortest;
			at_once = 0;
		}
		most = ++at_once > most ? at_once : most;
	}
	assert_int_equal(most, GOSSIP_FANOUT);
	assert_int_equal(shortest, GOSSIP_EVERY);
	/* When all was said it is quiet. */
	listen_to(k, 0, WIRE_GOSSIP, false);
	netkit_run(k, 20 * S);
	assert_int_equal(said.count, 0);
	netkit_free(k);
}

static void in_the_greatest_ring_one_thing_is_told_so_often(void **state)
{
	struct netkit *k = running(2);
	const struct gossip *g = &node(k, 0)->membership->gossip;
	unsigned int most = 0;

	(void)state;
	news(k, 1000);
	assert_true(g->count > 900);
	for (unsigned int ms = 0; g->count > 0 && ms < 1200 * 1000; ms += 20) {
		netkit_run(k, 20 * MS);
		for (unsigned int sent = 0; sent < GOSSIP_SENT_MAX; sent++)
			if (!list_empty(&g->told[GOSSIP_RECORD][sent]) && sent > most)
				most = sent;
	}
	assert_int_equal(most, GOSSIP_SENT_MAX - 1);
	assert_int_equal(g->count, 0);
	netkit_free(k);
}

/* ---- the exchange ---- */

static void views_are_compared_often_at_first_and_seldom_later(void **state)
{
	struct netkit *k = ring_of(2);
	const struct exchange *x;
	uint64_t turn = 0, last = 0;

	(void)state;
	netkit_start_all(k);
	x = &node(k, 0)->membership->exchange;
	while (x->turn < EXCHANGE_YOUNG + 5) {
		uint64_t every = x->turn < EXCHANGE_YOUNG ? EXCHANGE_EVERY / 6 : EXCHANGE_EVERY;

		netkit_run(k, MS);
		if (x->turn == turn)
			continue;
		assert_int_equal(x->turn, turn + 1);
		if (turn > 0)
			assert_in_range(k->now - last, every - every / 8, every + every / 8 + MS);
		turn = x->turn;
		last = k->now;
	}
	netkit_free(k);
}

/* Node 2 comes back, after so many came while it was away: how many records it asks for, and the most that it tells others of. */
static unsigned int come_back(unsigned int count, unsigned int *told)
{
	struct netkit *k = running(3);
	const struct membership *back = node(k, 2)->membership;

	netkit_cut_off(k, 2, true);
	news(k, count);
	netkit_run(k, 300 * S);
	netkit_cut_off(k, 2, false);
	listen_to(k, 2, WIRE_WANT, false);
	*told = 0;
	for (unsigned int ms = 0; ms < 120 * 1000; ms += 5) {
		unsigned int records = 0;

		netkit_run(k, 5 * MS);
		for (unsigned int i = 0; i < GOSSIP_SENT_MAX; i++)
			for (const struct list *l = back->gossip.told[GOSSIP_RECORD][i].next;
			     l != &back->gossip.told[GOSSIP_RECORD][i]; l = l->next)
				records++;
		*told = records > *told ? records : *told;
	}
	assert_int_equal(back->view.count, 3 + count);
	netkit_free(k);
	return said.addresses;
}

static void what_one_missed_alone_is_no_news_to_others(void **state)
{
	bool few = false, many = false;

	(void)state;
	/* Those who thought each other down have new records themselves: up to three more, as it happens. */
	for (unsigned int i = 0; !few || !many; i++, seed++) {
		unsigned int count = EXCHANGE_NEWS - 2 + i % 4, told, pulled = come_back(count, &told);

		assert_true(i < 100);
		if (pulled <= EXCHANGE_NEWS)
			assert_true(told >= count);
		else
			assert_true(told <= 3);
		few |= pulled == EXCHANGE_NEWS;
		many |= pulled == EXCHANGE_NEWS + 1;
	}
}

static void who_does_not_send_the_records_loses_his_turn(void **state)
{
	struct netkit *k = running(3);
	uint8_t bytes[WIRE_SUMMARY_LEN];
	struct wire_summary s = { .incarnation = 1 };
	struct message m = { .type = WIRE_SUMMARY, .summaries = 1, .summary_bytes = bytes };
	uint64_t asked;

	(void)state;
	memset(s.id.b, 9, sizeof(s.id.b));
	wire_summary_put(&s, bytes);
	listen_to(k, 0, WIRE_WANT, true);
	say(k, 1, 0, &m);
	assert_int_equal(said.count, 1);
	asked = said.at[0];
	/* Meanwhile nobody else is asked. */
	say(k, 2, 0, &m);
	assert_true(k->now < asked + EXCHANGE_PULL);
	assert_int_equal(said.count, 1);
	netkit_run(k, asked + EXCHANGE_PULL - 1 - k->now);
	assert_true(node(k, 0)->membership->exchange.wanted != NULL);
	netkit_run(k, 1);
	assert_false(node(k, 0)->membership->exchange.wanted != NULL);
	say(k, 2, 0, &m);
	assert_int_equal(said.count, 2);
	assert_int_equal(said.to[1], 2);
	netkit_free(k);
}

static uint64_t complaint[8];
static unsigned int complaints;

static bool count_complaints(struct netkit *k, unsigned int at, const struct effect *e)
{
	if (at == 1 && e->kind == EFFECT_LOG && strstr(e->text, "not in the ring yet")) {
		assert_true(complaints < 8);
		complaint[complaints++] = k->now;
	}
	return true;
}

static void who_can_not_join_says_so_now_and_then(void **state)
{
	struct netkit *k = ring_of(2);

	(void)state;
	k->effect = count_complaints;
	complaints = 0;
	forged.lost = 1;		/* nobody hears the first, nor does it hear anybody */
	netkit_start_all(k);
	netkit_run(k, 4 * JOIN_COMPLAIN + S);
	assert_int_equal(complaints, 4);
	for (unsigned int i = 1; i < complaints; i++)
		assert_int_equal(complaint[i] - complaint[i - 1], JOIN_COMPLAIN);
	forged.lost = 0;
	netkit_run(k, 2 * EXCHANGE_EVERY);
	complaints = 0;
	netkit_run(k, 4 * JOIN_COMPLAIN);
	assert_int_equal(complaints, 0);
	netkit_free(k);
}

/* ---- what follows from it ---- */

static unsigned int tables;
static uint64_t table_at;

static bool count_tables(struct netkit *k, unsigned int at, const struct effect *e)
{
	if (at == 0 && e->kind == EFFECT_TABLE) {
		tables++;
		table_at = k->now;
	}
	return true;
}

static void changes_that_come_together_make_one_table(void **state)
{
	struct netkit *k = running(2);
	uint64_t before = k->now;

	(void)state;
	k->effect = count_tables;
	tables = 0;
	for (unsigned int i = 0; i < 4; i++) {
		news(k, 1);
		netkit_run(k, PLACEMENT_GATHER / 4 - 1);
	}
	assert_int_equal(tables, 0);
	netkit_run(k, 10);
	assert_int_equal(tables, 1);
	assert_int_equal(table_at, before + PLACEMENT_GATHER);
	netkit_run(k, S);
	assert_int_equal(tables, 1);
	assert_int_equal(placement(node(k, 0))->members, 6);
	news(k, 1);
	netkit_run(k, S);
	assert_int_equal(tables, 2);
	netkit_free(k);
}

static void no_spares_are_made_while_too_many_are_down(void **state)
{
	enum { MANY = 2 * SPARE_DOWN_MAX };
	struct netkit *k = running(MANY);
	const struct view *v = &node(k, 0)->membership->view;

	(void)state;
	for (unsigned int down = 1; down <= MANY / SPARE_DOWN_MAX + 1; down++) {
		netkit_crash(k, MANY - down);
		netkit_run(k, 60 * S);
		assert_int_equal(v->down, down);
		assert_int_equal(membership_spares(node(k, 0), &k->node[MANY - 1].id), down <= MANY / SPARE_DOWN_MAX);
	}
	netkit_start(k, MANY - 2);
	netkit_run(k, 60 * S);
	assert_true(membership_spares(node(k, 0), &k->node[MANY - 1].id));
	netkit_free(k);
}

static void doubts_of_greater_rings_take_longer(void **state)
{
	(void)state;
	assert_in_range(suspicion_time(100, 0), 2 * SUSPICION_FACTOR * S - MS, 2 * SUSPICION_FACTOR * S + MS);
	assert_in_range(suspicion_time(1000, 0), 3 * SUSPICION_FACTOR * S - MS, 3 * SUSPICION_FACTOR * S + MS);
	assert_int_equal(suspicion_time(2, 0), 2 * SUSPICION_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_member_is_probed_in_each_period),
		cmocka_unit_test(few_others_are_asked_for_one_that_does_not_answer_in_time),
		cmocka_unit_test(gossip_goes_to_few_at_a_time_and_not_all_the_time),
		cmocka_unit_test(in_the_greatest_ring_one_thing_is_told_so_often),
		cmocka_unit_test(views_are_compared_often_at_first_and_seldom_later),
		cmocka_unit_test(what_one_missed_alone_is_no_news_to_others),
		cmocka_unit_test(who_does_not_send_the_records_loses_his_turn),
		cmocka_unit_test(who_can_not_join_says_so_now_and_then),
		cmocka_unit_test(changes_that_come_together_make_one_table),
		cmocka_unit_test(no_spares_are_made_while_too_many_are_down),
		cmocka_unit_test(doubts_of_greater_rings_take_longer),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
