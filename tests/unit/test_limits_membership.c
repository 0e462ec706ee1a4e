/*
 * What bounds membership, at the limit: the last that still goes, the first that does not, and that it goes again.  More of
 * them are in test_membership_lies.  SEED=n replays.
 */
#include "tests/unit/membership_test.h"

/* Records of ${count} members that nobody can reach, said by node 1 to node 0. */
static void strangers(struct netkit *k, unsigned int count)
{
	struct member fields = { .incarnation = 1, .state = MEMBER_HERE, .weight = 1 };
	uint8_t *blobs = malloc(WIRE_BLOBS_MAX);
	struct message m = { .type = WIRE_RECORDS, .has = WIRE_HAS(FIELD_RECORDS), .records = { blobs, 0 } };

	assert_non_null(blobs);
	for (unsigned int i = 0; i < count; i++) {
		uint8_t of[32] = { (uint8_t)i, (uint8_t)(i >> 8), [31] = 1 }, key[MEMBER_KEY], secret[MEMBER_SECRET];
		struct member *one;

		crypto_sign_seed_keypair(key, secret, of);
		assert_int_equal(member_sign(&fields, &k->file.id, secret, &one), 0);
		m.records.len += (uint32_t)wire_blob_put(one->bytes, one->len, blobs + m.records.len,
		    WIRE_BLOBS_MAX - m.records.len);
		member_drop(one);
	}
	say(k, 1, 0, &m);
	free(blobs);
}

/* ---- rows ---- */

static uint64_t hangs[2 * SAVES_MAX];
static unsigned int hang_count;

static bool rows_hang(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	if (at != 0 || e->kind != EFFECT_SAVE || e->row.table != ROW_MEMBER)
		return true;
	assert_true(hang_count < 2 * SAVES_MAX);
	hangs[hang_count++] = e->ticket;
	return false;
}

static void few_rows_are_written_at_a_time(void **state)
{
	struct netkit *k = running(2);
	unsigned int before = netkit_rows(k, 0, ROW_MEMBER);

	(void)state;
	hang_count = 0;
	k->effect = rows_hang;
	strangers(k, SAVES_MAX + 5);
	assert_int_equal(hang_count, SAVES_MAX);
	/* The disk is full for a while. */
	k->effect = NULL;
	for (unsigned int i = 0; i < SAVES_MAX; i++)
		node_input(node(k, 0), &(struct event){ .kind = EVENT_DONE, .ticket = hangs[i], .result = -ENOSPC }, k->now);
	netkit_run(k, SAVE_AGAIN - S);
	assert_int_equal(netkit_rows(k, 0, ROW_MEMBER), before);
	netkit_run(k, 2 * S);
	assert_int_equal(netkit_rows(k, 0, ROW_MEMBER), before + SAVES_MAX + 5);
	netkit_free(k);
}

/* ---- the exchange ---- */

static unsigned int wants, want_most, want_sum;

static bool count_wants(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct message want;

	if (m->type == WIRE_WANT && from == 2) {
		assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &want), 0);
		wants++;
		want_sum += want.address_count;
		want_most = want.address_count > want_most ? want.address_count : want_most;
	}
	return meddle(k, from, to, m);
}

static void who_joins_asks_for_records_by_the_batch(void **state)
{
	struct netkit *k = ring_of(3);

	(void)state;
	netkit_start(k, 0);
	netkit_start(k, 1);
	agree_on(k, 2, 2, 20 * S);
	strangers(k, EXCHANGE_BATCH - 1);
	wants = want_most = want_sum = 0;
	k->filter = count_wants;
	netkit_start(k, 2);
	netkit_run(k, 3 * S);
	/* All that node 0 knows, itself among them, but for those that came with the first words. */
	assert_int_equal(node(k, 2)->membership->view.count, EXCHANGE_BATCH + 2);
	assert_in_range(want_sum, EXCHANGE_BATCH / 2, EXCHANGE_BATCH + 1);
	netkit_crash(k, 2);
	memory_catalogue_free(&k->node[2].disk);
	memory_catalogue_init(&k->node[2].disk, 1 << 20);
	strangers(k, 2 * EXCHANGE_BATCH);
	wants = want_most = want_sum = 0;
	netkit_start(k, 2);
	netkit_run(k, 3 * S);
	assert_int_equal(node(k, 2)->membership->view.count, 2 * EXCHANGE_BATCH + 3);
	assert_int_equal(want_most, EXCHANGE_BATCH);
	assert_true(wants >= 2);
	netkit_free(k);
}

static unsigned int told_down(struct netkit *k)
{
	struct node *n = node(k, 0);
	unsigned int count = 0;
	struct effect e;

	gossip_state(n, peer_find(n, &k->node[1].id));
	while (node_poll(n, &e)) {
		struct message m;

		if (e.kind == EFFECT_SEND && e.type == WIRE_GOSSIP) {
			assert_int_equal(wire_decode(e.type, e.request, e.head->data, e.head->len, &m), 0);
			count += m.suspicions;
		}
		effect_done(&e);
	}
	return count;
}

static void members_that_are_down_are_told_up_to_a_number(void **state)
{
	struct netkit *k = running(2);
	const struct view *v = &node(k, 0)->membership->view;

	(void)state;
	strangers(k, GOSSIP_DOWN_MAX);
	netkit_run(k, 1200 * S);	/* it takes its time: so many that don't answer may be its own fault */
	assert_int_equal(v->down, GOSSIP_DOWN_MAX);
	assert_int_equal(told_down(k), GOSSIP_DOWN_MAX);
	strangers(k, GOSSIP_DOWN_MAX + 1);
	netkit_run(k, 1200 * S);
	assert_int_equal(v->down, GOSSIP_DOWN_MAX + 1);
	assert_int_equal(told_down(k), GOSSIP_DOWN_MAX);
	netkit_free(k);
}

/* ---- one node ---- */

static void a_node_that_is_slow_itself_is_patient_up_to_a_bound(void **state)
{
	struct netkit *k = running(3);
	struct swim *swim = &node(k, 0)->membership->swim;

	(void)state;
	for (unsigned int i = 1; i <= HEALTH_MAX + 5; i++) {
		swim_worse(node(k, 0));
		assert_int_equal(swim->health, i < HEALTH_MAX ? i : HEALTH_MAX);
	}
	netkit_run(k, 200 * S);
	assert_int_equal(swim->health, 0);
	netkit_free(k);
}

static void maintenance_has_room_again_when_one_is_over(void **state)
{
	struct netkit *k = running(2);
	struct message m = { .type = WIRE_MAINTENANCE, .seconds = 3600 };
	struct gossip *gossip = &node(k, 0)->membership->gossip;

	(void)state;
	for (unsigned int i = 0; i <= MAINTENANCE_MAX; i++) {
		memset(m.target.b, (int)i + 1, sizeof(m.target.b));
		m.seconds = i ? 3600 : 60;
		say(k, 1, 0, &m);
	}
	assert_int_equal(gossip->rests, MAINTENANCE_MAX);
	assert_false(gossip_resting(node(k, 0), &m.target));
	netkit_run(k, 120 * S);
	say(k, 1, 0, &m);
	assert_true(gossip_resting(node(k, 0), &m.target));
	assert_int_equal(gossip->rests, MAINTENANCE_MAX);
	netkit_free(k);
}

/* Somebody who has our key says that we said it. */
static void forge_self(struct netkit *k, uint64_t instance)
{
	struct member fields = { .incarnation = node(k, 1)->self->incarnation + 5, .instance = instance,
		.generation = k->node[1].generation, .state = MEMBER_HERE, .weight = 1 };
	struct member *m;

	strcpy(fields.address[0], k->node[1].address);
	assert_int_equal(member_sign(&fields, &k->file.id, k->node[1].secret, &m), 0);
	say_record(k, 0, 1, m->bytes, m->len);
	member_drop(m);
	netkit_run(k, 3 * S);
}

static void lives_that_a_lost_row_may_have_hidden_are_bounded(void **state)
{
	struct netkit *k = running(3);

	(void)state;
	for (unsigned int i = 0; i < SELF_LEAPS; i++) {
		forge_self(k, 1000 + i);
		assert_false(k->node[1].stopped);
		assert_true(entry(k, 2, 1)->member->incarnation > (i + 1) * INCARNATION_LEAP);
	}
	forge_self(k, 2000);
	assert_true(k->node[1].stopped);
	netkit_crash(k, 1);
	k->node[1].stopped = false;
	netkit_start(k, 1);
	agree_on(k, 3, 3, 60 * S);
	netkit_free(k);
}

/* ---- the walk ---- */

static void a_walk_has_as_many_others_as_are_asked_for(void **state)
{
	struct netkit *k = running(2);
	struct peer *walk[PLACEMENT_WALK_MAX];
	unsigned int with_us = 0;

	(void)state;
	strangers(k, PLACEMENT_WALK_MAX + 5);
	netkit_run(k, 3 * S);
	assert_int_equal(placement(node(k, 0))->members, PLACEMENT_WALK_MAX + 7);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot += 97) {
		uint16_t all[PLACEMENT_WALK_MAX + 1];
		const struct ring *r = placement(node(k, 0));

		assert_int_equal(placement_walk(node(k, 0), slot, walk, PLACEMENT_WALK_MAX), PLACEMENT_WALK_MAX);
		for (unsigned int i = 0; i < PLACEMENT_WALK_MAX; i++) {
			assert_false(address_equal(&walk[i]->id, &node(k, 0)->id));
			for (unsigned int j = 0; j < i; j++)
				assert_ptr_not_equal(walk[i], walk[j]);
		}
		assert_int_equal(ring_walk(r, slot, all, PLACEMENT_WALK_MAX), PLACEMENT_WALK_MAX);
		for (unsigned int i = 0; i < PLACEMENT_WALK_MAX; i++)
			with_us += address_equal(&r->member[all[i]].id, &node(k, 0)->id);
	}
	/* We stand on most of them ourselves: then one more is looked at. */
	assert_true(with_us > 0);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_rows_are_written_at_a_time),
		cmocka_unit_test(who_joins_asks_for_records_by_the_batch),
		cmocka_unit_test(members_that_are_down_are_told_up_to_a_number),
		cmocka_unit_test(a_node_that_is_slow_itself_is_patient_up_to_a_bound),
		cmocka_unit_test(maintenance_has_room_again_when_one_is_over),
		cmocka_unit_test(lives_that_a_lost_row_may_have_hidden_are_bounded),
		cmocka_unit_test(a_walk_has_as_many_others_as_are_asked_for),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
