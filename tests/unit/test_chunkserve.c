/* What a node answers to those who touch, put, get and audit. */
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *from;

static void begin(bool mine)
{
	k = kit_start(8, 3);
	c = kit_find(k, mine, 1, &a);
	from = &k->peer[7];
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static void ask_touch(void)
{
	struct message m = { .type = WIRE_TOUCH, .addresses = &a, .address_count = 1 };

	kit_ask(k, from, &m, NULL);
}

static void ask_get(void)
{
	struct message m = { .type = WIRE_GET, .address = a };

	kit_ask(k, from, &m, NULL);
}

static void ask_audit(const struct address *nonce)
{
	struct message m = { .type = WIRE_AUDIT, .address = a, .nonce = *nonce };

	kit_ask(k, from, &m, NULL);
}

static void ask_put(struct chunk *bytes, bool spare, const struct address *volume)
{
	struct message m = { .type = WIRE_PUT, .address = a, .kind = KIND_DATA, .spare = spare };

	if (volume) {
		m.has = WIRE_HAS(FIELD_VOLUME);
		m.volume = *volume;
	}
	kit_ask(k, from, &m, bytes);
}

static bool says_yes(void)
{
	assert_int_equal(k->answer.status, WIRE_OK);
	assert_int_equal(k->answer.have.len, 1);
	return k->answer_have[0] & 1;
}

/* ---- touch ---- */

static void a_touch_says_yes_to_what_stays_and_keeps_it(void **state)
{
	static const struct {
		unsigned int states;
		bool yes;
	} is[] = { { 0, false }, { STATE_OWNED, true }, { STATE_FOREIGN, true }, { STATE_OWNED | STATE_FOREIGN, true },
		{ STATE_CACHED, false } };

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		begin(true);
		if (is[i].states)
			kit_keep(k, &a, c, is[i].states);
		ask_touch();
		assert_int_equal(says_yes(), is[i].yes);
		assert_int_equal(k->touches, is[i].yes);
		finish();
	}
}

static void what_is_being_deleted_is_not_there(void **state)
{
	struct address nonce = { { 1 } };

	(void)state;
	begin(true);
	kit_keep(k, &a, c, STATE_OWNED);
	k->deleting = true;
	ask_touch();
	assert_false(says_yes());
	assert_int_equal(k->touches, 0);
	ask_audit(&nonce);
	assert_int_equal(k->answer.status, WIRE_MISS);
	assert_false(k->answer.complete);
	finish();
}

static void many_are_answered_by_one_bit_each(void **state)
{
	static struct address many[WIRE_ADDRESSES_MAX];
	struct message m = { .type = WIRE_TOUCH, .addresses = many, .address_count = WIRE_ADDRESSES_MAX };

	(void)state;
	begin(true);
	for (unsigned int i = 0; i < WIRE_ADDRESSES_MAX; i++) {
		struct chunk *more = kit_chunk(10 + i, 50, &many[i]);

		if (i % 3 == 0)
			kit_keep(k, &many[i], more, STATE_OWNED);
		chunk_drop(more);
	}
	kit_ask(k, from, &m, NULL);
	assert_int_equal(k->answer.have.len, WIRE_ADDRESSES_MAX / 8);
	for (unsigned int i = 0; i < WIRE_ADDRESSES_MAX; i++)
		assert_int_equal(k->answer_have[i / 8] >> i % 8 & 1,
		    i % 3 == 0 && placement_mine(k->node, ring_slot(&many[i])));
	finish();
}

static void a_touch_of_what_is_not_ours_is_refused(void **state)
{
	(void)state;
	begin(false);
	kit_keep(k, &a, c, STATE_FOREIGN);
	ask_touch();
	assert_int_equal(k->answer.status, WIRE_NOT_OWNER);
	assert_int_equal(k->touches, 0);
	finish();
}

/* ---- get ---- */

static void whatever_is_here_is_read_to_whoever_asks(void **state)
{
	static const unsigned int states[] = { STATE_OWNED, STATE_FOREIGN, STATE_CACHED };

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		begin(i % 2);
		kit_keep(k, &a, c, states[i / 2]);
		ask_get();
		assert_int_equal(k->answer.status, WIRE_OK);
		assert_int_equal(k->answer.kind, KIND_DATA);
		assert_int_equal(k->answer_tail->len, c->len);
		assert_memory_equal(k->answer_tail->data, c->data, c->len);
		finish();
	}
}

static void a_miss_counts_where_our_slot_is_complete(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		bool mine = i & 1, complete = i & 2;
		struct address nonce = { { 1 } };

		begin(mine);
		k->incomplete = !complete;
		ask_get();
		assert_int_equal(k->answer.status, WIRE_MISS);
		assert_int_equal(k->answer.complete, mine && complete);
		ask_audit(&nonce);
		assert_int_equal(k->answer.status, WIRE_MISS);
		assert_int_equal(k->answer.complete, mine && complete);
		finish();
	}
}

static void what_goes_while_it_is_read_is_no_miss_that_counts(void **state)
{
	struct message m = { .type = WIRE_GET, .address = a };
	struct effect gone = { .kind = EFFECT_STATES };
	struct event done;

	(void)state;
	begin(true);
	kit_keep(k, &a, c, STATE_OWNED);
	k->hold_disk = true;
	m.address = gone.address = a;
	kit_ask(k, from, &m, NULL);
	assert_int_equal(k->answers, 0);
	memory_catalogue_apply(&k->disk, &gone, &done);
	k->hold_disk = false;
	kit_settle(k);
	assert_int_equal(k->answer.status, WIRE_MISS);
	assert_false(k->answer.complete);
	finish();
}

static void a_bad_copy_is_a_fault_and_is_healed(void **state)
{
	struct address nonce = { { 1 } };
	struct kit_peer *owner[RING_REPLICAS_MAX];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		begin(true);
		kit_owners(k, &a, owner);
		kit_give(owner[0], &a, c);
		kit_keep(k, &a, c, STATE_OWNED);
		memory_catalogue_rot(&k->disk, &a);
		if (i)
			ask_get();
		else
			ask_audit(&nonce);
		assert_int_equal(k->answer.status, WIRE_FAULT);
		assert_false(k->answer.complete);
		kit_run(k, 1 * S);
		ask_get();
		assert_int_equal(k->answer.status, WIRE_OK);
		finish();
	}
}

/* ---- audit ---- */

static void a_proof_is_of_the_nonce_and_the_bytes(void **state)
{
	struct address nonce, expected;
	crypto_generichash_state h;

	(void)state;
	begin(true);
	kit_keep(k, &a, c, STATE_OWNED);
	memset(&nonce, 0x55, sizeof nonce);
	ask_audit(&nonce);
	assert_int_equal(k->answer.status, WIRE_OK);
	crypto_generichash_init(&h, NULL, 0, 32);
	crypto_generichash_update(&h, nonce.b, 32);
	crypto_generichash_update(&h, c->data, c->len);
	crypto_generichash_final(&h, expected.b, 32);
	assert_true(k->answer.has & WIRE_HAS(FIELD_HASH));
	assert_true(address_equal(&k->answer.hash, &expected));
	finish();
}

static void what_may_go_at_any_time_is_not_proved(void **state)
{
	struct address nonce = { { 1 } };

	(void)state;
	begin(true);
	kit_keep(k, &a, c, STATE_CACHED);
	ask_audit(&nonce);
	assert_int_equal(k->answer.status, WIRE_MISS);
	assert_false(k->answer.complete);
	finish();
}

static void assert_audit_misses(bool complete)
{
	struct address nonce = { { 1 } };

	ask_audit(&nonce);
	assert_int_equal(k->answer.status, WIRE_MISS);
	assert_int_equal(k->answer.complete, complete);
}

/* A GET's miss still counts: who asks by it wants to know whether there is one at all. */
static void whose_disk_is_full_says_that_not_all_is_here(void **state)
{
	(void)state;
	begin(true);
	assert_audit_misses(true);
	k->disk.space = WIRE_BYTES_MAX - 1;
	assert_audit_misses(false);
	ask_get();
	assert_true(k->answer.complete);
	k->disk.space = WIRE_BYTES_MAX;
	assert_audit_misses(true);
	finish();
}

static void what_was_refused_may_be_lacking_until_repair_has_gone_round(void **state)
{
	static const struct address volume = { { 9 } };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t space;

		begin(true);
		space = k->disk.space;
		if (i == 0)
			k->disk.space = c->len - 1;
		else if (i == 1)
			k->disk_fails = -ENOSPC;	/* the catalogue does not know it */
		else
			k->node->options.volume_max = c->len - 1;
		ask_put(c, false, &volume);
		assert_int_equal(k->answer.status, WIRE_FULL);
		k->disk.space = space;
		assert_audit_misses(false);
		kit_run(k, REPAIR_EVERY - 1);
		assert_audit_misses(false);
		kit_run(k, 1);
		assert_audit_misses(true);
		finish();
	}
}

static void while_repair_fetches_what_is_lacking_it_says_so(void **state)
{
	(void)state;
	begin(true);
	k->pulling = true;
	assert_audit_misses(false);
	ask_get();
	assert_true(k->answer.complete);
	k->pulling = false;
	assert_audit_misses(true);
	finish();
}

/* ---- put ---- */

static void a_put_is_answered_when_it_is_durable(void **state)
{
	(void)state;
	begin(true);
	k->hold_disk = true;
	ask_put(c, false, NULL);
	assert_int_equal(k->answers, 0);
	assert_int_equal(k->touches, 1);	/* it must not go while it is on its way ... */
	k->hold_disk = false;
	kit_settle(k);
	assert_int_equal(k->answers, 1);
	assert_int_equal(k->answer.status, WIRE_OK);
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	assert_int_equal(k->touches, 2);	/* ... nor soon after */
	finish();
}

static void what_is_not_ours_is_taken_as_a_spare_only(void **state)
{
	(void)state;
	begin(false);
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_NOT_OWNER);
	assert_int_equal(kit_state(k, &a), 0);
	ask_put(c, true, NULL);
	assert_int_equal(k->answer.status, WIRE_OK);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	/* And goes to its owners. */
	kit_run(k, 5 * S);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void wrong_bytes_are_not_stored_and_cost_standing(void **state)
{
	struct chunk *bad = chunk_copy("other bytes", 11);

	(void)state;
	begin(true);
	ask_put(bad, false, NULL);
	assert_int_equal(k->answer.status, WIRE_BAD);
	assert_int_equal(kit_state(k, &a), 0);
	assert_int_equal(from->wrong, 1);
	chunk_drop(bad);
	finish();
}

static void a_kind_that_is_none_is_refused(void **state)
{
	struct message m = { .type = WIRE_PUT, .kind = 99 };

	(void)state;
	begin(true);
	m.address = a;
	kit_ask(k, from, &m, c);
	assert_int_equal(k->answer.status, WIRE_BAD);
	finish();
}

static void a_full_disk_is_said_to_be_full(void **state)
{
	(void)state;
	begin(true);
	k->disk.space = c->len - 1;
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_FULL);
	/* Also where the catalogue did not know it yet. */
	k->disk.space = 1000;
	k->disk_fails = -ENOSPC;
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_FULL);
	k->disk_fails = -EIO;
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_FAULT);
	finish();
}

static void what_is_on_its_way_to_the_disk_takes_space_too(void **state)
{
	struct chunk *first;

	(void)state;
	begin(true);
	k->disk.space = 2 * c->len - 1;
	k->hold_disk = true;
	ask_put(c, false, NULL);
	first = c;
	c = kit_find(k, true, 2, &a);
	ask_put(c, false, NULL);
	assert_int_equal(k->answers, 1);
	assert_int_equal(k->answer.status, WIRE_FULL);
	k->hold_disk = false;
	kit_settle(k);
	assert_int_equal(k->answer.status, WIRE_OK);
	chunk_drop(first);
	finish();
}

static void what_is_here_is_never_refused(void **state)
{
	(void)state;
	begin(true);
	kit_keep(k, &a, c, STATE_CACHED);
	memory_catalogue_rot(&k->disk, &a);
	k->disk.space = 0;
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_OK);
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	/* The bad copy is good now. */
	ask_get();
	assert_int_equal(k->answer.status, WIRE_OK);
	finish();
}

static void a_volume_has_its_limit(void **state)
{
	struct address volume = { { 9 } }, other = { { 8 } };
	struct chunk *first;

	(void)state;
	begin(true);
	k->node->options.volume_max = 250;		/* two chunks of 100 */
	for (unsigned int i = 0; i < 4; i++) {
		first = c;
		c = kit_find(k, true, 20 + i, &a);
		/* Two that are not on the disk yet count as well. */
		k->hold_disk = i < 3;
		kit_settle(k);
		ask_put(c, false, &volume);
		if (i >= 2)
			assert_int_equal(k->answer.status, WIRE_FULL);
		chunk_drop(first);
	}
	assert_int_equal(k->disk.catalogue.volume_bytes(&k->disk.catalogue, &volume), 200);
	ask_put(c, false, &other);
	assert_int_equal(k->answer.status, WIRE_OK);
	finish();
}

static void one_who_leaves_takes_nothing_new(void **state)
{
	struct member self = { .state = MEMBER_DRAINING };

	(void)state;
	begin(true);
	k->node->self = &self;
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_LEAVING);
	self.state = MEMBER_HERE;
	ask_put(c, false, NULL);
	assert_int_equal(k->answer.status, WIRE_OK);
	finish();
}

static void what_comes_while_its_slot_moves_away_is_foreign(void **state)
{
	bool moved = false;

	(void)state;
	for (uint64_t seed = 1; !moved; seed++) {
		k = kit_start(3, 3);
		c = kit_find(k, true, seed, &a);
		from = &k->peer[2];
		k->hold_disk = true;
		ask_put(c, false, NULL);
		kit_table(k, 60, true);
		k->hold_disk = false;
		kit_settle(k);
		assert_int_equal(k->answer.status, WIRE_OK);
		moved = !placement_mine(k->node, ring_slot(&a));
		if (!moved)
			finish();
	}
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	kit_run(k, 10 * S);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	assert_non_null(kit_has(kit_walk(k, &a, 0), &a));
	finish();
}

static void a_type_of_another_machine_is_left_to_it(void **state)
{
	struct message m = { .type = WIRE_TRIE };
	struct served s = { .body = NULL };

	(void)state;
	begin(true);
	assert_false(chunkserve_machine.request(k->node, &s, &m));
	finish();
}

static void a_node_can_stop_while_it_writes(void **state)
{
	(void)state;
	begin(true);
	k->hold_disk = true;
	ask_put(c, false, NULL);
	ask_put(c, false, NULL);
	assert_true(chunkserve_machine.memory(k->node) >= 2 * c->len);
	/* What is served belongs to the node's service, which frees it when all machines have ended. */
	kit_halt(k);
	kit_boot(k);
	assert_int_equal(k->answers, 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_touch_says_yes_to_what_stays_and_keeps_it),
		cmocka_unit_test(what_is_being_deleted_is_not_there),
		cmocka_unit_test(many_are_answered_by_one_bit_each),
		cmocka_unit_test(a_touch_of_what_is_not_ours_is_refused),
		cmocka_unit_test(whatever_is_here_is_read_to_whoever_asks),
		cmocka_unit_test(a_miss_counts_where_our_slot_is_complete),
		cmocka_unit_test(what_goes_while_it_is_read_is_no_miss_that_counts),
		cmocka_unit_test(a_bad_copy_is_a_fault_and_is_healed),
		cmocka_unit_test(a_proof_is_of_the_nonce_and_the_bytes),
		cmocka_unit_test(what_may_go_at_any_time_is_not_proved),
		cmocka_unit_test(whose_disk_is_full_says_that_not_all_is_here),
		cmocka_unit_test(what_was_refused_may_be_lacking_until_repair_has_gone_round),
		cmocka_unit_test(while_repair_fetches_what_is_lacking_it_says_so),
		cmocka_unit_test(a_put_is_answered_when_it_is_durable),
		cmocka_unit_test(what_is_not_ours_is_taken_as_a_spare_only),
		cmocka_unit_test(wrong_bytes_are_not_stored_and_cost_standing),
		cmocka_unit_test(a_kind_that_is_none_is_refused),
		cmocka_unit_test(a_full_disk_is_said_to_be_full),
		cmocka_unit_test(what_is_on_its_way_to_the_disk_takes_space_too),
		cmocka_unit_test(what_is_here_is_never_refused),
		cmocka_unit_test(a_volume_has_its_limit),
		cmocka_unit_test(one_who_leaves_takes_nothing_new),
		cmocka_unit_test(what_comes_while_its_slot_moves_away_is_foreign),
		cmocka_unit_test(a_type_of_another_machine_is_left_to_it),
		cmocka_unit_test(a_node_can_stop_while_it_writes),
	};

	return suite_run(tests);
}
