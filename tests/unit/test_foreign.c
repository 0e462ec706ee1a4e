/* Foreign records: they go to their owners, are believed there when they are proved, and not before, also after a restart. */
#include "dht/net/foreign_impl.h"
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];

/* A record that lies here, FOREIGN, and OWNED where it is ours. */
static void begin(unsigned int members, bool mine)
{
	k = kit_start(members, 3);
	c = kit_find(k, mine, 1, &a);
	kit_owners(k, &a, owner);
	kit_keep(k, &a, c, mine ? STATE_FOREIGN | STATE_OWNED : STATE_FOREIGN);
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static void add(void)
{
	foreign_add(k->node, &a);
}

static unsigned int sent(void)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < KIT_PEERS; i++)
		sum += k->peer[i].puts;
	return sum;
}

/* ---- one record ---- */

static void it_goes_to_its_owners_who_prove_it(void **state)
{
	(void)state;
	for (unsigned int mine = 0; mine < 2; mine++) {
		unsigned int owners = mine ? 2 : 3;

		begin(8, mine);
		add();
		assert_true(foreign_count(k->node) > 0);
		kit_run(k, 2 * S);
		for (unsigned int i = 0; i < owners; i++) {
			assert_non_null(kit_has(owner[i], &a));
			assert_false(kit_has(owner[i], &a)->spare);
			assert_int_equal(owner[i]->touches, 1);
			assert_int_equal(owner[i]->puts, 1);
			assert_int_equal(owner[i]->audits, 1);
		}
		assert_int_equal(kit_state(k, &a), mine ? STATE_OWNED : STATE_CACHED);
		assert_int_equal(foreign_count(k->node), 0);
		finish();
	}
}

static void owners_that_have_it_are_sent_no_bytes(void **state)
{
	(void)state;
	begin(8, false);
	kit_give(owner[0], &a, c);
	kit_give(owner[2], &a, c);
	add();
	kit_run(k, 2 * S);
	assert_int_equal(sent(), 1);
	assert_int_equal(owner[0]->audits + owner[1]->audits + owner[2]->audits, 3);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void alone_in_the_ring_we_are_all_its_owners(void **state)
{
	(void)state;
	k = kit_start(0, 3);
	kit_table(k, 0, false);
	c = kit_chunk(1, 100, &a);
	kit_keep(k, &a, c, STATE_FOREIGN | STATE_OWNED);
	add();
	kit_run(k, 2 * S);
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	finish();
}

static void one_owner_that_is_away_keeps_it_foreign(void **state)
{
	static const unsigned int ways[] = { KIT_DOWN, KIT_UNREACHABLE, KIT_SILENT, KIT_CUT, KIT_FULL };

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		begin(8, false);
		owner[1]->ways = ways[i];
		add();
		kit_run(k, 60 * S);
		assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
		assert_non_null(kit_has(owner[0], &a));
		assert_non_null(kit_has(owner[2], &a));
		assert_int_equal(owner[0]->puts, 1);
		assert_true(foreign_count(k->node) > 0);
		/* Back again, it is given it at once. */
		kit_back(k, owner[1]);
		kit_run(k, ways[i] == KIT_FULL ? FOREIGN_AGAIN_MAX * 2 : 2 * S);
		assert_non_null(kit_has(owner[1], &a));
		assert_int_equal(kit_state(k, &a), STATE_CACHED);
		finish();
	}
}

/* One is silent, and for so long nothing is sent to the others: one of these has it from repair meanwhile. */
static void who_lacked_it_long_ago_is_asked_again_before_it_is_sent(void **state)
{
	(void)state;
	begin(8, false);
	owner[1]->ways = KIT_SILENT;
	add();
	kit_run(k, 2 * S);
	assert_int_equal(owner[0]->touches, 1);
	kit_give(owner[0], &a, c);
	kit_run(k, CALL_TIMEOUT);
	assert_int_equal(owner[0]->touches, 2);
	assert_int_equal(owner[0]->puts, 0);
	assert_int_equal(owner[2]->puts, 1);
	assert_int_equal(owner[1]->touches, 1);
	finish();
}

static void who_answers_late_is_asked_twice_and_not_for_ever(void **state)
{
	(void)state;
	begin(8, false);
	owner[1]->latency = 2 * FOREIGN_FRESH;
	add();
	kit_run(k, 20 * S);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(owner[i]->touches, 2);
		assert_int_equal(owner[i]->puts, 1);
	}
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void a_false_stored_is_found_out_and_it_stays_foreign(void **state)
{
	(void)state;
	begin(8, false);
	owner[1]->ways = KIT_FALSE_STORED;
	add();
	kit_run(k, 3 * S);
	assert_true(owner[1]->wrong >= 2);	/* at first, and after the bytes were sent */
	assert_int_equal(owner[1]->puts, 1);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	assert_int_equal(owner[0]->wrong + owner[2]->wrong, 0);
	/* It is not sent the bytes again and again. */
	kit_run(k, 3600 * S);
	assert_in_range(owner[1]->puts, 2, 20);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	owner[1]->ways = 0;
	kit_run(k, 2 * FOREIGN_AGAIN_MAX);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void one_that_lost_its_copy_is_given_another(void **state)
{
	(void)state;
	begin(8, false);
	for (unsigned int i = 0; i < 3; i++)
		kit_give(owner[i], &a, c);
	kit_take(owner[1], &a);
	owner[1]->ways = KIT_DELETED;		/* and does not know */
	add();
	kit_run(k, 2 * S);
	assert_int_equal(owner[1]->wrong, 1);
	assert_int_equal(owner[1]->puts, 1);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void a_wrong_proof_is_not_believed(void **state)
{
	(void)state;
	begin(8, false);
	owner[2]->ways = KIT_WRONG_PROOF;
	add();
	kit_run(k, 3 * S);
	assert_true(owner[2]->wrong > 0);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	finish();
}

static void an_answer_without_bits_tells_nothing(void **state)
{
	(void)state;
	begin(8, false);
	owner[0]->ways = KIT_NO_FIELDS;
	add();
	kit_run(k, 3 * S);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	assert_int_equal(owner[0]->puts, 0);
	finish();
}

static void an_answer_with_too_few_bits_tells_nothing(void **state)
{
	(void)state;
	begin(3, false);
	for (unsigned int i = 0; i < 40; i++) {
		struct address other;
		struct chunk *more = kit_chunk(500 + i, 60, &other);

		kit_keep(k, &other, more, STATE_FOREIGN);
		foreign_add(k->node, &other);
		chunk_drop(more);
	}
	owner[0]->ways = KIT_FEW_BITS;
	kit_run(k, 3 * S);
	assert_int_equal(owner[0]->puts, 0);
	assert_true(owner[1]->puts > 9);
	finish();
}

static void one_that_goes_while_it_is_given_it_is_known_when_it_is_back(void **state)
{
	(void)state;
	for (unsigned int late = 0; late < 2; late++) {
		begin(8, false);
		add();
		while (!(late ? owner[1]->audits : owner[1]->puts))
			kit_run(k, 1 * MS);
		owner[1]->ways = KIT_CUT;
		kit_run(k, 200 * MS);
		assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
		kit_back(k, owner[1]);
		kit_run(k, 1500 * MS);
		assert_int_equal(kit_state(k, &a), STATE_CACHED);
		finish();
	}
}

static void what_is_told_twice_is_done_once(void **state)
{
	(void)state;
	begin(8, false);
	add();
	add();
	kit_run(k, 505 * MS);
	add();
	kit_run(k, 2 * S);
	assert_int_equal(owner[0]->puts, 1);
	assert_int_equal(owner[0]->touches, 1);
	finish();
}

static void a_bad_copy_of_ours_is_not_pushed_but_healed(void **state)
{
	(void)state;
	begin(8, false);
	memory_catalogue_rot(&k->disk, &a);
	kit_give(owner[2], &a, c);
	add();
	kit_run(k, 1 * S);
	assert_int_equal(sent(), 0);
	assert_int_equal(owner[2]->gets, 1);
	kit_run(k, 30 * S);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	assert_int_equal(sent(), 2);
	finish();
}

static void what_has_gone_meanwhile_is_over(void **state)
{
	struct effect gone = { .kind = EFFECT_STATES };
	struct event done;

	(void)state;
	begin(8, false);
	gone.address = a;
	add();
	memory_catalogue_apply(&k->disk, &gone, &done);
	kit_run(k, 30 * S);
	assert_int_equal(sent(), 0);
	assert_int_equal(foreign_count(k->node), 0);
	/* Between the touch and the read. */
	kit_keep(k, &a, c, STATE_FOREIGN);
	add();
	k->hold_disk = true;
	kit_run(k, 2 * S);
	memory_catalogue_apply(&k->disk, &gone, &done);
	k->hold_disk = false;
	kit_run(k, 30 * S);
	assert_int_equal(sent(), 0);
	assert_int_equal(foreign_count(k->node), 0);
	finish();
}

static void its_volume_goes_with_it(void **state)
{
	struct effect write = { .kind = EFFECT_WRITE, .chunk_kind = KIND_DATA, .states = STATE_FOREIGN };
	struct event done;

	(void)state;
	k = kit_start(8, 3);
	c = kit_find(k, false, 1, &a);
	kit_owners(k, &a, owner);
	write.address = a;
	write.chunk = c;
	memset(&write.hash, 5, sizeof write.hash);
	memory_catalogue_apply(&k->disk, &write, &done);
	add();
	kit_run(k, 2 * S);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(address_equal(&kit_has(owner[i], &a)->volume, &write.hash));
	finish();
}

static void what_is_owned_and_not_foreign_is_pushed_once_and_forgotten(void **state)
{
	struct chunk *mine;

	(void)state;
	begin(8, true);
	mine = kit_find(k, true, 2, &a);
	kit_owners(k, &a, owner);
	kit_keep(k, &a, mine, STATE_OWNED);
	owner[0]->ways = KIT_DOWN;
	add();
	kit_run(k, 2 * S);
	assert_non_null(kit_has(owner[1], &a));
	assert_int_equal(kit_state(k, &a), STATE_OWNED);
	owner[0]->ways = 0;
	k->settled = 0;
	add();
	kit_run(k, 2 * S);
	assert_non_null(kit_has(owner[0], &a));
	assert_int_equal(k->settled, 0);
	chunk_drop(mine);
	finish();
}

/* ---- when ---- */

static void it_is_found_again_after_a_restart(void **state)
{
	(void)state;
	begin(8, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = KIT_DOWN;
	add();
	kit_run(k, 2 * S);
	kit_halt(k);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = 0;
	kit_boot(k);
	assert_true(foreign_count(k->node) > 0);
	kit_run(k, 2 * S);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	assert_non_null(kit_has(owner[0], &a));
	finish();
}

static void nothing_is_asked_before_the_first_table(void **state)
{
	struct ring *r;

	(void)state;
	begin(8, false);
	r = k->ring;
	k->ring = NULL;
	add();
	kit_run(k, 10 * S);
	assert_int_equal(owner[0]->touches, 0);
	k->ring = r;
	kit_table(k, 8, false);
	kit_run(k, 2 * S);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void another_table_has_other_owners(void **state)
{
	struct kit_peer *now[RING_REPLICAS_MAX];

	(void)state;
	begin(4, false);
	for (unsigned int i = 0; i < 3; i++)
		owner[i]->ways = KIT_DOWN;
	add();
	kit_run(k, 10 * S);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	for (unsigned int members = 60;; members++) {
		bool free = !placement_mine(k->node, ring_slot(&a));

		kit_table(k, members, false);
		for (unsigned int i = kit_owners(k, &a, now); i-- > 0;)
			free = free && !now[i]->ways;
		if (free)
			break;
	}
	kit_run(k, 2 * S);
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	assert_non_null(kit_has(now[0], &a));
	finish();
}

/* Whatever the moment at which the table changes, it ends with its present owners, and is FOREIGN until then. */
static void a_table_that_changes_meanwhile_settles_nothing(void **state)
{
	unsigned int moments = 0;

	(void)state;
	for (unsigned int ms = 0; ms < 40; ms++) {
		struct kit_peer *now[RING_REPLICAS_MAX];
		unsigned int owners;

		begin(4, false);
		add();
		k->hold_disk = ms % 2;
		kit_run(k, 400 * MS + ms * 4 * MS);
		if (!(kit_state(k, &a) & STATE_FOREIGN)) {
			finish();		/* it was over: what moves now is rebalance's */
			continue;
		}
		moments++;
		kit_table(k, 60, true);
		k->hold_disk = false;
		for (unsigned int i = 0; i < 1000; i++) {
			bool settled;

			kit_run(k, 5 * MS);
			owners = kit_owners(k, &a, now);
			settled = !(kit_state(k, &a) & STATE_FOREIGN);
			if (!settled)
				continue;
			for (unsigned int j = 0; j < owners; j++)
				assert_non_null(kit_has(now[j], &a));
		}
		assert_int_equal(kit_state(k, &a), placement_mine(k->node, ring_slot(&a)) ? STATE_OWNED : STATE_CACHED);
		finish();
	}
	assert_true(moments > 20);
}

static void without_the_memory_to_ask_an_owner_nothing_is_settled(void **state)
{
	(void)state;
	begin(8, false);
	owner[1]->ways = KIT_UNKNOWN;
	add();
	kit_run(k, 3 * S);
	assert_non_null(kit_has(owner[0], &a));
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	owner[1]->ways = 0;
	kit_run(k, 60 * S);
	assert_non_null(kit_has(owner[1], &a));
	assert_int_equal(kit_state(k, &a), STATE_CACHED);
	finish();
}

static void what_was_settled_under_the_table_before_is_foreign_again(void **state)
{
	(void)state;
	begin(4, false);
	add();
	while (!owner[0]->audits)
		kit_run(k, 1 * MS);
	/* All prove it; the disk is slow to note that, and the table changes. */
	k->hold_disk = true;
	kit_run(k, 100 * MS);
	kit_table(k, 60, true);
	k->hold_disk = false;
	kit_settle(k);
	assert_int_equal(kit_state(k, &a) & ~STATE_OWNED, STATE_FOREIGN);
	finish();
}

static void what_was_proved_under_the_table_before_is_not_settled(void **state)
{
	(void)state;
	begin(4, false);
	add();
	while (!owner[0]->audits)
		kit_run(k, 1 * MS);
	assert_int_equal(k->settled, 0);
	kit_table(k, 60, true);
	kit_run(k, 100 * MS);
	assert_int_equal(k->settled, 0);
	assert_int_equal(kit_state(k, &a), STATE_FOREIGN);
	finish();
}

static void the_pause_between_two_tries_grows(void **state)
{
	unsigned int first, later;

	(void)state;
	begin(8, false);
	owner[1]->ways = KIT_UNREACHABLE;
	add();
	kit_run(k, 60 * S);
	first = owner[0]->touches;
	kit_run(k, 24u * 3600u * S - 60 * S);
	later = owner[0]->touches - first;
	assert_in_range(first, 3, 6);
	/* In a day, one each FOREIGN_AGAIN_MAX or so. */
	assert_in_range(later, 130, 180);
	finish();
}

/* ---- many ---- */

static void keep_many(unsigned int count, size_t len)
{
	for (unsigned int i = 0; i < count; i++) {
		struct address other;
		struct chunk *more = kit_chunk(100000 + i, len, &other);

		kit_keep(k, &other, more, STATE_FOREIGN);
		chunk_drop(more);
	}
}

static unsigned int count_foreign(void)
{
	static struct address found[8192];

	return (unsigned int)k->disk.catalogue.list(&k->disk.catalogue, NULL, STATE_FOREIGN, 8192, found);
}

static void many_are_handed_over_with_few_questions_and_bounded_memory(void **state)
{
	size_t most = 0;
	unsigned int touches = 0;

	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(4000, 100);
	kit_boot(k);
	for (unsigned int i = 0; i < 10000 && foreign_count(k->node); i++) {
		kit_run(k, 5 * MS);
		most = foreign_machine.memory(k->node) > most ? foreign_machine.memory(k->node) : most;
		assert_true(k->flying_max <= MOVES_MAX * 3);
	}
	assert_int_equal(count_foreign(), 0);
	for (unsigned int i = 0; i < 8; i++)
		touches += k->peer[i].touches;
	/* Half a window at a time at least, each with one message for each of eight. */
	assert_in_range(touches, 8 * 4, 8 * 2 * 4000 / FOREIGN_WINDOW + 24);
	assert_true(most < 2 << 20);
	finish();
}

static void so_many_peers_are_asked_at_a_time(void **state)
{
	unsigned int touches = 0;

	(void)state;
	k = kit_start(80, 3);
	c = kit_find(k, false, 1, &a);
	kit_halt(k);
	keep_many(500, 60);
	for (unsigned int i = 0; i < 80; i++)
		k->peer[i].latency = 1 * S;
	kit_boot(k);
	kit_run(k, 900 * MS);
	for (unsigned int i = 0; i < 80; i++)
		touches += k->peer[i].touches;
	assert_int_equal(touches, FOREIGN_TOUCHES);
	kit_run(k, 60 * S);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void bytes_in_memory_are_bounded(void **state)
{
	size_t most = 0, waiting = 0;

	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(200, 256 << 10);
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].latency = 300 * MS;
	kit_boot(k);
	for (unsigned int i = 0; i < 10000 && foreign_count(k->node); i++) {
		kit_run(k, 50 * MS);
		most = foreign_machine.memory(k->node) > most ? foreign_machine.memory(k->node) : most;
		waiting = k->node->foreign->bytes > waiting ? k->node->foreign->bytes : waiting;
	}
	assert_int_equal(count_foreign(), 0);
	assert_in_range(most, MOVES_BYTES / 2, MOVES_BYTES + (1 << 20));
	/* Up to the bound others are begun: the last one may go beyond it. */
	assert_in_range(waiting, MOVES_BYTES, MOVES_BYTES + (257 << 10));
	finish();
}

/* What a disk that hangs has not read yet is reserved, and in nobody's memory. */
static void what_is_being_read_is_not_held(void **state)
{
	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(200, 100);
	kit_boot(k);
	k->hold_disk = true;
	kit_run(k, 5 * S);
	assert_in_range(k->node->foreign->bytes, MOVES_BYTES, MOVES_BYTES + WIRE_BYTES_MAX);
	assert_true(foreign_machine.memory(k->node) < 1 << 20);
	k->hold_disk = false;
	kit_run(k, 60 * S);
	assert_int_equal(count_foreign(), 0);
	assert_int_equal(k->node->foreign->held, 0);
	finish();
}

static void so_many_records_move_at_a_time(void **state)
{
	unsigned int most = 0;

	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(3 * MOVES_MAX, 60);
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].latency = 300 * MS;
	kit_boot(k);
	for (unsigned int i = 0; i < 10000 && foreign_count(k->node); i++) {
		kit_run(k, 10 * MS);
		most = k->node->foreign->moving_count > most ? k->node->foreign->moving_count : most;
	}
	assert_int_equal(most, MOVES_MAX);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void what_stood_in_line_is_asked_about_again_when_its_turn_comes(void **state)
{
	unsigned int puts = 0, most = 0;

	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(4 * MOVES_MAX, 60);
	for (unsigned int i = 0; i < 8; i++)
		k->peer[i].latency = 2 * FOREIGN_FRESH;
	kit_boot(k);
	while (puts == 0) {
		kit_run(k, 10 * MS);
		puts = sent();
	}
	/* Repair brings all of them to all. */
	for (unsigned int p = 0; p < 3; p++)
		if (!kit_has(owner[p], &a))
			kit_give(owner[p], &a, c);
	for (unsigned int i = 0; i < 4 * MOVES_MAX; i++) {
		struct address other;
		struct chunk *more = kit_chunk(100000 + i, 60, &other);

		for (unsigned int p = 0; p < 8; p++)
			if (!kit_has(&k->peer[p], &other))
				kit_give(&k->peer[p], &other, more);
		chunk_drop(more);
	}
	for (unsigned int i = 0; i < 10000 && foreign_count(k->node); i++) {
		kit_run(k, 10 * MS);
		most = k->node->foreign->moving_count > most ? k->node->foreign->moving_count : most;
	}
	assert_int_equal(sent(), puts);
	assert_int_equal(most, MOVES_MAX);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void more_than_can_be_remembered_are_found_by_a_sweep(void **state)
{
	struct address other;
	unsigned int most = 0;

	(void)state;
	begin(8, false);
	keep_many(3 * FOREIGN_WINDOW, 60);
	for (unsigned int i = 0; i < 3 * FOREIGN_WINDOW; i++) {
		chunk_drop(kit_chunk(100000 + i, 60, &other));
		foreign_add(k->node, &other);
	}
	for (unsigned int i = 0; i < 6000; i++) {
		kit_run(k, 10 * MS);
		most = k->node->foreign->count > most ? k->node->foreign->count : most;
	}
	assert_int_equal(most, FOREIGN_WINDOW);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void a_sweep_that_was_due_before_the_first_table_is_made_after_it(void **state)
{
	struct ring *r;

	(void)state;
	begin(8, false);
	r = k->ring;
	k->ring = NULL;
	/* More than can be remembered: a sweep is due. */
	keep_many(FOREIGN_WINDOW + 1, 60);
	for (unsigned int i = 0; i < FOREIGN_WINDOW + 1; i++) {
		struct address other;

		chunk_drop(kit_chunk(100000 + i, 60, &other));
		foreign_add(k->node, &other);
	}
	kit_run(k, 10 * S);
	k->ring = r;
	kit_table(k, 8, false);
	kit_run(k, 60 * S);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void records_of_one_that_is_away_do_not_hold_up_the_others(void **state)
{
	unsigned int left;

	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(3000, 60);
	k->peer[3].ways = KIT_SILENT;
	kit_boot(k);
	kit_run(k, 120 * S);
	/* Left are those of the one that is silent: R of 9 slots are its own. */
	left = count_foreign();
	assert_in_range(left, 700, 1400);
	kit_back(k, &k->peer[3]);
	kit_run(k, 60 * S);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void new_ones_do_not_make_all_others_be_asked_about_again(void **state)
{
	struct address other;

	(void)state;
	begin(8, false);
	kit_halt(k);
	keep_many(600, 60);
	k->peer[3].ways = KIT_DOWN;
	kit_boot(k);
	kit_run(k, 10 * S);
	k->peer[0].touched = 0;
	for (unsigned int i = 0; i < 3600; i++) {
		struct chunk *more = kit_chunk(200000 + i, 60, &other);

		kit_keep(k, &other, more, STATE_FOREIGN);
		if (i % 10)
			foreign_add(k->node, &other);
		chunk_drop(more);
		kit_run(k, 1 * S);
	}
	/* Those of the one that is away, of which there are 1400 in the end, some twenty times; not each five seconds. */
	assert_in_range(k->peer[0].touched, 1000, 15000);
	finish();
}

static void those_blocked_by_more_than_can_be_named_are_tried_when_any_comes(void **state)
{
	struct kit_peer *unnamed;

	(void)state;
	k = kit_start(80, 3);
	unnamed = k->peer;
	c = kit_find(k, false, 1, &a);
	kit_halt(k);
	keep_many(1000, 60);
	for (unsigned int i = 0; i < 80; i++)
		k->peer[i].ways = KIT_DOWN;
	kit_boot(k);
	kit_run(k, 1000 * S);		/* the pauses are long by now */
	assert_int_equal(k->node->foreign->blocked_count, FOREIGN_BLOCKED);
	/* One that is not named. */
	for (unsigned int i = 0; i < FOREIGN_BLOCKED; i++)
		while (address_equal(&k->node->foreign->blocked[i], &unnamed->peer.id)) {
			unnamed++;
			i = 0;
		}
	kit_back(k, unnamed);
	kit_run(k, 5 * S);
	assert_true(unnamed->touches > 0);
	for (unsigned int i = 0; i < 80; i++)
		kit_back(k, &k->peer[i]);
	kit_run(k, 30 * S);
	assert_int_equal(count_foreign(), 0);
	finish();
}

static void a_node_can_stop_at_any_moment(void **state)
{
	(void)state;
	for (unsigned int ms = 400; ms < 700; ms += 4) {
		begin(8, ms % 8 == 0);
		owner[0]->ways = KIT_FALSE_STORED;
		k->hold_disk = ms % 12 == 0;
		add();
		kit_run(k, ms * MS);
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_to_its_owners_who_prove_it),
		cmocka_unit_test(owners_that_have_it_are_sent_no_bytes),
		cmocka_unit_test(alone_in_the_ring_we_are_all_its_owners),
		cmocka_unit_test(one_owner_that_is_away_keeps_it_foreign),
		cmocka_unit_test(who_lacked_it_long_ago_is_asked_again_before_it_is_sent),
		cmocka_unit_test(who_answers_late_is_asked_twice_and_not_for_ever),
		cmocka_unit_test(a_false_stored_is_found_out_and_it_stays_foreign),
		cmocka_unit_test(one_that_lost_its_copy_is_given_another),
		cmocka_unit_test(a_wrong_proof_is_not_believed),
		cmocka_unit_test(an_answer_without_bits_tells_nothing),
		cmocka_unit_test(an_answer_with_too_few_bits_tells_nothing),
		cmocka_unit_test(one_that_goes_while_it_is_given_it_is_known_when_it_is_back),
		cmocka_unit_test(what_is_told_twice_is_done_once),
		cmocka_unit_test(a_bad_copy_of_ours_is_not_pushed_but_healed),
		cmocka_unit_test(what_has_gone_meanwhile_is_over),
		cmocka_unit_test(its_volume_goes_with_it),
		cmocka_unit_test(what_is_owned_and_not_foreign_is_pushed_once_and_forgotten),
		cmocka_unit_test(it_is_found_again_after_a_restart),
		cmocka_unit_test(nothing_is_asked_before_the_first_table),
		cmocka_unit_test(another_table_has_other_owners),
		cmocka_unit_test(a_table_that_changes_meanwhile_settles_nothing),
		cmocka_unit_test(without_the_memory_to_ask_an_owner_nothing_is_settled),
		cmocka_unit_test(what_was_settled_under_the_table_before_is_foreign_again),
		cmocka_unit_test(what_was_proved_under_the_table_before_is_not_settled),
		cmocka_unit_test(the_pause_between_two_tries_grows),
		cmocka_unit_test(many_are_handed_over_with_few_questions_and_bounded_memory),
		cmocka_unit_test(so_many_peers_are_asked_at_a_time),
		cmocka_unit_test(bytes_in_memory_are_bounded),
		cmocka_unit_test(what_is_being_read_is_not_held),
		cmocka_unit_test(so_many_records_move_at_a_time),
		cmocka_unit_test(what_stood_in_line_is_asked_about_again_when_its_turn_comes),
		cmocka_unit_test(more_than_can_be_remembered_are_found_by_a_sweep),
		cmocka_unit_test(a_sweep_that_was_due_before_the_first_table_is_made_after_it),
		cmocka_unit_test(records_of_one_that_is_away_do_not_hold_up_the_others),
		cmocka_unit_test(new_ones_do_not_make_all_others_be_asked_about_again),
		cmocka_unit_test(those_blocked_by_more_than_can_be_named_are_tried_when_any_comes),
		cmocka_unit_test(a_node_can_stop_at_any_moment),
	};

	return suite_run(tests);
}
