/* Membership among those who lie, and at its limits.  SEED=n replays. */
#include "tests/unit/membership_test.h"

/* ---- who lies ---- */

static void an_old_record_changes_nothing(void **state)
{
	struct netkit *k = running(4);
	struct member *old = member_hold(entry(k, 0, 2)->member);

	(void)state;
	assert_int_equal(ask(k, 2, (struct command){ .kind = COMMAND_SET, .weight = 5 }), 0);
	netkit_run(k, 3 * S);
	for (unsigned int i = 0; i < 4; i++)
		if (i != 1)
			say_record(k, 1, i, old->bytes, old->len);
	netkit_run(k, 3 * S);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(entry(k, i, 2)->member->weight, 5);
	assert_false(k->node[2].stopped);
	assert_int_equal(node(k, 0)->status.wrong_answers, 0);
	member_drop(old);
	netkit_free(k);
}

static void a_forged_record_costs_the_liar_his_standing(void **state)
{
	struct netkit *k = running(4);
	struct member fields = *entry(k, 0, 2)->member, *m;
	uint8_t bytes[MEMBER_BLOB_MAX];
	struct peer *liar;

	(void)state;
	fields.incarnation += 5;
	fields.weight = 64;
	assert_int_equal(member_sign(&fields, &k->file.id, k->node[2].secret, &m), 0);
	memcpy(bytes, m->bytes, m->len);
	bytes[m->len - 1] ^= 1;
	say_record(k, 1, 0, bytes, m->len);
	assert_int_equal(entry(k, 0, 2)->member->weight, 1);
	liar = peer_find(node(k, 0), &k->node[1].id);
	assert_int_equal(liar->wrong, 1);
	assert_int_equal(liar->link, 0);
	/* Of another ring. */
	member_drop(m);
	fields.incarnation++;
	assert_int_equal(member_sign(&fields, &k->node[0].id, k->node[2].secret, &m), 0);
	say_record(k, 3, 0, m->bytes, m->len);
	assert_int_equal(entry(k, 0, 2)->member->weight, 1);
	assert_int_equal(peer_find(node(k, 0), &k->node[3].id)->wrong, 1);
	/* They are members all the same. */
	netkit_run(k, 10 * S);
	agree_on(k, 4, 4, S);
	member_drop(m);
	netkit_free(k);
}

static void a_flood_of_members_is_bounded(void **state)
{
	struct netkit *k = running(2);
	struct member fields = { .incarnation = 1, .state = MEMBER_HERE, .weight = 1 };
	struct node_status s;
	unsigned int made = 0;

	(void)state;
	while (made < MEMBERS_MAX + 100) {
		uint8_t *blobs = malloc(WIRE_BLOBS_MAX);
		struct message m = { .type = WIRE_RECORDS, .has = WIRE_HAS(FIELD_RECORDS), .records = { blobs, 0 } };

		assert_non_null(blobs);
		for (unsigned int i = 0; i < 200; i++, made++) {
			uint8_t of[32] = { 0 }, key[MEMBER_KEY], secret[MEMBER_SECRET];
			struct member *one;

			memcpy(of, &made, sizeof(made));
			of[31] = 1;
			crypto_sign_seed_keypair(key, secret, of);
			assert_int_equal(member_sign(&fields, &k->file.id, secret, &one), 0);
			m.records.len += (uint32_t)wire_blob_put(one->bytes, one->len, blobs + m.records.len,
			    WIRE_BLOBS_MAX - m.records.len);
			member_drop(one);
		}
		say(k, 1, 0, &m);
		free(blobs);
	}
	assert_int_equal(node(k, 0)->membership->view.count, MEMBERS_MAX);
	assert_true(membership_memory(node(k, 0)) < 4096 * 400);
	node_status(node(k, 0), &s);
	assert_true(s.members <= MEMBERS_MAX);
	netkit_free(k);
}

static void of_two_clones_one_stops(void **state)
{
	struct netkit *k = running(4);
	struct netkit_node *a = &k->node[2], *b = &k->node[3];
	struct address id = a->id;

	(void)state;
	/* The fourth is thrown away, and what was the third's disk and key starts there. */
	netkit_crash(k, 3);
	netkit_run(k, 30 * S);
	memcpy(b->key, a->key, sizeof(b->key));
	memcpy(b->secret, a->secret, sizeof(b->secret));
	b->id = id;
	memory_catalogue_free(&b->disk);
	memory_catalogue_init(&b->disk, 1 << 20);
	netkit_start(k, 3);
	netkit_run(k, 60 * S);
	assert_int_equal(a->stopped + b->stopped, 1);
	assert_non_null(strstr(a->stopped ? a->why : b->why, "cloned"));
	netkit_free(k);
}

static void who_lost_his_row_goes_on(void **state)
{
	struct netkit *k = running(4);
	struct member *former;
	uint64_t incarnation;

	(void)state;
	assert_int_equal(ask(k, 3, (struct command){ .kind = COMMAND_SET, .weight = 2 }), 0);
	netkit_run(k, 3 * S);
	incarnation = entry(k, 0, 3)->member->incarnation;
	former = member_hold(entry(k, 0, 3)->member);
	netkit_crash(k, 3);
	memory_catalogue_free(&k->node[3].disk);
	memory_catalogue_init(&k->node[3].disk, 1 << 20);
	k->node[3].generation++;
	k->disk_delay = 2 * S;		/* time to hear of it again before more can be said */
	netkit_start(k, 3);
	netkit_run(k, S);
	for (unsigned int i = 0; i < 3; i++)
		say_record(k, i, 3, former->bytes, former->len);
	netkit_run(k, 10 * S);
	assert_false(k->node[3].stopped);
	agree_on(k, 4, 4, S);
	assert_true(entry(k, 0, 3)->member->incarnation > incarnation);
	assert_int_equal(entry(k, 0, 3)->member->generation, k->node[3].generation);
	member_drop(former);
	netkit_free(k);
}

/* ---- limits ---- */

static uint64_t hangs;

static bool own_row_hangs(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	if (at != 1 || e->kind != EFFECT_SAVE || e->row.table != ROW_SELF)
		return true;
	hangs = e->ticket;
	return false;
}

static void commands_that_wait_for_the_disk_are_bounded(void **state)
{
	struct netkit *k = running(3);
	uint64_t ticket[SELF_WAITING_MAX + 1];

	(void)state;
	k->effect = own_row_hangs;
	for (unsigned int i = 0; i <= SELF_WAITING_MAX; i++) {
		struct command c = { .kind = COMMAND_SET, .weight = 2 };

		assert_true(i == 0 || !netkit_reply(k, ticket[i - 1]));
		ticket[i] = netkit_command(k, 1, &c);
		netkit_run(k, 10 * MS);
	}
	assert_int_equal(netkit_reply(k, ticket[SELF_WAITING_MAX])->result, -EBUSY);
	/* Nothing was said that the disk does not know. */
	assert_int_equal(entry(k, 0, 1)->member->weight, 1);
	k->effect = NULL;
	node_input(node(k, 1), &(struct event){ .kind = EVENT_DONE, .ticket = hangs }, k->now);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < SELF_WAITING_MAX; i++)
		assert_int_equal(netkit_reply(k, ticket[i])->result, 0);
	assert_int_equal(entry(k, 0, 1)->member->weight, 2);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_SET, .weight = 3 }), 0);
	netkit_free(k);
}

static void maintenance_is_bounded(void **state)
{
	struct netkit *k = running(3);
	struct message m = { .type = WIRE_MAINTENANCE, .seconds = UINT32_MAX };

	(void)state;
	for (unsigned int i = 0; i < MAINTENANCE_MAX + 10; i++) {
		memset(m.target.b, (int)i + 1, sizeof(m.target.b));
		say(k, 1, 0, &m);
	}
	assert_int_equal(node(k, 0)->membership->gossip.rests, MAINTENANCE_MAX);
	for (unsigned int i = 0; i < MAINTENANCE_MAX; i++)
		assert_true(node(k, 0)->membership->gossip.rest[i].until <= k->now + (uint64_t)MAINTENANCE_LONGEST * S);
	netkit_free(k);
}

static void pings_for_others_are_bounded(void **state)
{
	struct netkit *k = running(3);
	struct peer *p = peer_find(node(k, 0), &k->node[1].id);
	struct message m = { .type = WIRE_PROBE, .target = k->node[2].id };
	unsigned int busy = 0;

	(void)state;
	for (m.seq = 1; m.seq <= RELAYS_MAX + 8; m.seq++)
		swim_message(node(k, 0), p, &m);
	for (unsigned int i = 0; i < RELAYS_MAX; i++)
		busy += node(k, 0)->membership->swim.relay[i].seq != 0;
	assert_int_equal(busy, RELAYS_MAX);
	netkit_run(k, 2 * S);
	for (unsigned int i = 0; i < RELAYS_MAX; i++)
		assert_int_equal(node(k, 0)->membership->swim.relay[i].seq, 0);
	netkit_free(k);
}

static void nothing_is_said_beyond_what_the_row_reserves(void **state)
{
	struct netkit *k = running(3);
	uint64_t last;

	(void)state;
	for (unsigned int i = 0; i < 3 * INCARNATION_BLOCK; i++) {
		assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_SET, .weight = (uint8_t)(1 + i % 9) }), 0);
		assert_true(node(k, 1)->self->incarnation <= node(k, 1)->membership->own.reserved);
	}
	last = node(k, 1)->self->incarnation;
	netkit_run(k, 3 * S);
	netkit_crash(k, 1);
	netkit_start(k, 1);
	netkit_run(k, 2 * S);
	assert_true(node(k, 1)->self->incarnation > last);
	assert_true(node(k, 1)->self->incarnation < last + INCARNATION_LEAP);
	netkit_free(k);
}

static void who_doubts_an_old_record_is_told_the_new_one(void **state)
{
	struct netkit *k = running(4);
	struct view_entry *e = entry(k, 0, 3);
	struct member *old = member_hold(e->member), *now;

	(void)state;
	assert_int_equal(ask(k, 3, (struct command){ .kind = COMMAND_DRAIN }), 0);
	netkit_run(k, 3 * S);
	/* As if gossip had missed it. */
	now = e->member;
	e->member = old;
	assert_true(now->incarnation > old->incarnation);
	suspect(k, 0, 3, 3, old->incarnation);
	netkit_run(k, S);
	assert_int_equal(e->member->incarnation, now->incarnation);
	member_drop(now);
	netkit_free(k);
}

static void an_answer_for_another_is_none(void **state)
{
	struct netkit *k = running(3);
	struct swim *s = &node(k, 0)->membership->swim;

	(void)state;
	/* node 1 doubts nobody, and answers for node 2 */
	timer_stop(node(k, 1), &node(k, 1)->membership->swim.period);
	netkit_crash(k, 2);
	for (unsigned int i = 0; i < 300; i++) {
		struct message ack = { .type = WIRE_ACK };

		netkit_run(k, 100 * MS);
		ack.seq = s->seq;
		if (s->target == entry(k, 0, 2) && s->state == PROBE_DIRECT)
			say(k, 1, 0, &ack);
	}
	assert_int_equal(health(k, 0, 2), PEER_DOWN);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_old_record_changes_nothing),
		cmocka_unit_test(a_forged_record_costs_the_liar_his_standing),
		cmocka_unit_test(a_flood_of_members_is_bounded),
		cmocka_unit_test(of_two_clones_one_stops),
		cmocka_unit_test(who_lost_his_row_goes_on),
		cmocka_unit_test(commands_that_wait_for_the_disk_are_bounded),
		cmocka_unit_test(maintenance_is_bounded),
		cmocka_unit_test(pings_for_others_are_bounded),
		cmocka_unit_test(nothing_is_said_beyond_what_the_row_reserves),
		cmocka_unit_test(who_doubts_an_old_record_is_told_the_new_one),
		cmocka_unit_test(an_answer_for_another_is_none),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
