#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/heads.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

static uint64_t start_swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head,
    const struct chunk *previous, uint64_t timeout)
{
	struct command c = { .kind = COMMAND_SWAP, .address = v->id, .blob = head, .timeout = timeout };

	volumekit_hash(previous, &c.previous);
	return netkit_command(k, at, &c);
}

static int swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head, const struct chunk *previous)
{
	return volumekit_swap(k, at, v, head, previous, 10 * S);
}

/* The ${rank}-th node that is an owner, or that is none. */
static unsigned int nth(struct netkit *k, const struct volumekit *v, bool owner, unsigned int rank)
{
	return netkit_nth(k, ring_slot(&v->id), owner, rank);
}

/* What its disk says: the seq of its newest; 0: none. */
static uint64_t stored_seq(struct netkit *k, unsigned int i, const struct volumekit *v, enum catalogue_table table)
{
	struct catalogue *c = &k->node[i].disk.catalogue;
	struct chunk *row = c->row(c, &(struct catalogue_row_key){ .table = (uint8_t)table, .key = v->id });
	struct head_row r;
	uint64_t seq;

	assert_int_equal(head_row_read(row, &r), 0);
	seq = r.count > 0 ? head_row_newest(&r)->seq : 0;
	chunk_drop(row);
	return seq;
}

static void a_chain_of_heads_is_written_and_read_by_anyone(void **state)
{
	struct netkit *k = netkit_ring(5, 1);
	struct chunk *a[5];
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	volumekit_chain(&v, a, 5, NULL, 1);
	assert_int_equal(volumekit_ask(k, 3, &v, NULL), -ENOENT);
	for (unsigned int j = 0; j < 5; j++) {
		assert_int_equal(swap(k, 1, &v, a[j], j > 0 ? a[j - 1] : NULL), 0);
		assert_int_equal(swap(k, 1, &v, a[j], j > 0 ? a[j - 1] : NULL), 0);	/* again: the same */
		for (unsigned int i = 0; i < 5; i++)
			assert_int_equal(volumekit_ask(k, i, &v, a[j]), 0);
	}
	volumekit_drop(a, 5);
	netkit_free(k);
}

static void two_writers_are_both_stopped_and_nothing_is_overwritten(void **state)
{
	struct netkit *k = netkit_ring(5, 2);
	struct chunk *a[4], *b[2];
	struct volumekit v;

	(void)state;
	volumekit_make(k, 2, &v);
	volumekit_chain(&v, a, 4, NULL, 1);
	volumekit_chain(&v, b, 2, a[1], 2);
	for (unsigned int j = 0; j < 3; j++)
		assert_int_equal(swap(k, 0, &v, a[j], j > 0 ? a[j - 1] : NULL), 0);
	assert_int_equal(swap(k, 4, &v, b[0], a[1]), -EUCLEAN);
	assert_int_equal(swap(k, 0, &v, a[3], a[2]), -EUCLEAN);
	assert_int_equal(swap(k, 4, &v, b[1], b[0]), -EUCLEAN);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(volumekit_ask(k, i, &v, NULL), -EUCLEAN);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 5; i++) {
		netkit_crash(k, i);
		netkit_start(k, i);
	}
	assert_true(netkit_settle(k));
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(volumekit_ask(k, i, &v, NULL), -EUCLEAN);
	volumekit_drop(a, 4);
	volumekit_drop(b, 2);
	netkit_free(k);
}

static void of_two_at_the_same_time_at_most_one_counts(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct netkit *k = netkit_ring(5, seed);
		struct chunk *first, *x, *y, *next;
		struct volumekit v;
		uint64_t one, two;
		int result[2];

		volumekit_make(k, seed, &v);
		first = volumekit_head(&v, 1, NULL, 1);
		x = volumekit_head(&v, 2, first, 1);
		y = volumekit_head(&v, 2, first, 2);
		next = volumekit_head(&v, 3, x, 1);
		assert_int_equal(swap(k, 0, &v, first, NULL), 0);
		one = start_swap(k, (unsigned int)seed % 5, &v, x, first, 10 * S);
		netkit_run(k, seed * 150);
		two = start_swap(k, (unsigned int)(seed + 2) % 5, &v, y, first, 10 * S);
		netkit_run(k, 15 * S);
		result[0] = netkit_reply(k, one)->result;
		result[1] = netkit_reply(k, two)->result;
		assert_true(result[0] == -EUCLEAN || result[1] == -EUCLEAN);
		assert_true(result[0] == 0 || result[0] == -EUCLEAN);
		assert_true(result[1] == 0 || result[1] == -EUCLEAN);
		assert_int_equal(swap(k, (unsigned int)seed % 5, &v, next, x), -EUCLEAN);
		assert_int_equal(volumekit_ask(k, 0, &v, NULL), -EUCLEAN);
		chunk_drop(first);
		chunk_drop(x);
		chunk_drop(y);
		chunk_drop(next);
		netkit_free(k);
	}
}

static void a_head_that_goes_on_from_elsewhere_is_stale(void **state)
{
	struct netkit *k = netkit_ring(4, 3);
	struct chunk *a[HEAD_HISTORY + 4], *b[2];
	struct volumekit v;

	(void)state;
	volumekit_make(k, 3, &v);
	volumekit_chain(&v, a, HEAD_HISTORY + 4, NULL, 1);
	volumekit_chain(&v, b, 2, a[0], 2);		/* 2 and 3 */
	for (unsigned int j = 0; j < 2; j++)
		assert_int_equal(swap(k, 0, &v, a[j], j > 0 ? a[j - 1] : NULL), 0);
	/* Nobody has seen the one before it: it proves nothing. */
	assert_int_equal(swap(k, 1, &v, b[1], b[0]), -ESTALE);
	assert_int_equal(volumekit_ask(k, 0, &v, a[1]), 0);
	for (unsigned int j = 2; j < HEAD_HISTORY + 4; j++)
		assert_int_equal(swap(k, 0, &v, a[j], a[j - 1]), 0);
	/* So old that nothing is known of its time. */
	assert_int_equal(swap(k, 2, &v, b[0], a[0]), -ESTALE);
	assert_int_equal(volumekit_ask(k, 3, &v, a[HEAD_HISTORY + 3]), 0);
	volumekit_drop(a, HEAD_HISTORY + 4);
	volumekit_drop(b, 2);
	netkit_free(k);
}

static void what_is_not_a_head_of_the_volume_is_refused(void **state)
{
	struct netkit *k = netkit_ring(3, 4);
	struct volumekit v, other;
	struct chunk *mine, *its, *bad;
	struct command c = { .kind = COMMAND_SWAP };

	(void)state;
	volumekit_make(k, 1, &v);
	volumekit_make(k, 2, &other);
	mine = volumekit_head(&v, 1, NULL, 1);
	its = volumekit_head(&other, 1, NULL, 1);
	bad = chunk_copy(mine->data, mine->len - 1);
	assert_int_equal(swap(k, 0, &v, its, NULL), -EINVAL);
	assert_int_equal(swap(k, 0, &v, bad, NULL), -EINVAL);
	assert_int_equal(swap(k, 0, &v, mine, its), -EINVAL);
	c.address = v.id;
	assert_int_equal(netkit_ask(k, 0, &c)->result, -EINVAL);
	assert_int_equal(volumekit_ask(k, 1, &v, NULL), -ENOENT);
	chunk_drop(mine);
	chunk_drop(its);
	chunk_drop(bad);
	netkit_free(k);
}

static void a_minority_gives_an_error_not_an_old_head(void **state)
{
	struct netkit *k = netkit_ring(5, 5);
	struct volumekit v;
	struct chunk *a[3];
	unsigned int alone;

	(void)state;
	volumekit_make(k, 5, &v);
	volumekit_chain(&v, a, 3, NULL, 1);
	assert_int_equal(swap(k, 0, &v, a[0], NULL), 0);
	alone = nth(k, &v, true, 0);
	assert_int_equal(volumekit_ask(k, alone, &v, a[0]), 0);
	netkit_cut_off(k, alone, true);
	assert_int_equal(swap(k, nth(k, &v, true, 1), &v, a[1], a[0]), 0);
	assert_int_equal(volumekit_ask(k, alone, &v, NULL), -ETIMEDOUT);
	assert_int_equal(swap(k, alone, &v, a[1], a[0]), -ETIMEDOUT);
	netkit_run(k, 60 * S);
	assert_int_equal(volumekit_ask(k, alone, &v, NULL), -ETIMEDOUT);
	netkit_cut_off(k, alone, false);
	netkit_run(k, 60 * S);
	assert_int_equal(volumekit_ask(k, alone, &v, a[1]), 0);
	assert_int_equal(swap(k, alone, &v, a[2], a[1]), 0);
	volumekit_drop(a, 3);
	netkit_free(k);
}

/* Its writer is an owner, or none: then no owner has it. */
static void a_write_that_was_cut_short_is_finished_by_a_read_and_never_goes_back(void **state)
{
	(void)state;
	for (unsigned int owner = 0; owner < 2; owner++) {
		struct netkit *k = netkit_ring(5, 6 + owner);
		struct volumekit v;
		struct chunk *a[3];
		unsigned int writer;

		volumekit_make(k, 6, &v);
		volumekit_chain(&v, a, 3, NULL, 1);
		writer = nth(k, &v, owner, 0);
		assert_int_equal(swap(k, writer, &v, a[0], NULL), 0);
		netkit_cut_off(k, writer, true);
		assert_int_equal(swap(k, writer, &v, a[1], a[0]), -ETIMEDOUT);
		for (unsigned int i = 0; i < 5; i++)
			if (i != writer)
				assert_int_equal(volumekit_ask(k, i, &v, a[0]), 0);
		netkit_crash(k, writer);
		netkit_cut_off(k, writer, false);
		netkit_start(k, writer);
		netkit_run(k, 60 * S);
		assert_true(netkit_settle(k));
		assert_int_equal(volumekit_ask(k, writer, &v, a[1]), 0);
		netkit_cut_off(k, writer, true);
		for (unsigned int i = 0; i < 5; i++)
			if (i != writer)
				assert_int_equal(volumekit_ask(k, i, &v, a[1]), 0);
		volumekit_drop(a, 3);
		netkit_free(k);
	}
}

/* Notes that somebody writes a head. */
static bool a_swap_goes_out(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	bool *out = k->user;

	(void)from;
	(void)to;
	*out |= m->type == WIRE_SWAP;
	return true;
}

static bool is_out(struct netkit *k)
{
	return *(bool *)k->user;
}

/* Two commands of one reader at the same time: the slower one of them writes the older head while the other is answered. */
static void a_reader_who_asks_twice_at_once_does_not_go_back(void **state)
{
	struct netkit *k = netkit_ring(5, 21);
	struct command c = { .kind = COMMAND_HEAD };
	struct effect save = { .kind = EFFECT_SAVE, .row = { .table = ROW_HEAD_SEEN } };
	struct head_row seen = { .count = 0 };
	struct event done = { 0 };
	struct volumekit v;
	struct chunk *a[3];
	unsigned int writer, reader;
	const struct effect *reply;
	bool out = false;
	uint64_t ticket;

	(void)state;
	volumekit_make(k, 21, &v);
	volumekit_chain(&v, a, 3, NULL, 1);
	writer = nth(k, &v, false, 0);
	reader = nth(k, &v, false, 1);
	assert_int_equal(swap(k, writer, &v, a[0], NULL), 0);
	for (unsigned int rank = 1; rank < 3; rank++)
		netkit_cut(k, writer, nth(k, &v, true, rank), true);
	assert_int_equal(volumekit_swap(k, writer, &v, a[1], a[0], 3 * S), -ETIMEDOUT);
	k->filter = a_swap_goes_out;
	k->user = &out;
	c.address = v.id;
	ticket = netkit_command(k, reader, &c);
	assert_true(netkit_until(k, is_out, 5 * S));
	/* The other command has been shown the third. */
	for (unsigned int i = 1; i < 3; i++) {
		struct head h = volumekit_read(&v, a[i]);
		struct wire_slice blob = { a[i]->data, (uint32_t)a[i]->len };

		assert_int_equal(head_row_learn(&seen, &h, &blob, true), HEAD_NEWS);
	}
	save.row.key = v.id;
	save.chunk = head_row_write(&seen);
	memory_catalogue_apply(&k->node[reader].disk, &save, &done);
	chunk_drop(save.chunk);
	netkit_run(k, 10 * S);
	reply = netkit_reply(k, ticket);
	assert_non_null(reply);
	assert_int_equal(reply->result, 0);
	assert_int_equal(volumekit_read(&v, reply->blob).seq, 3);
	volumekit_drop(a, 3);
	netkit_free(k);
}

/* Saves of ROW_HEAD never come to an end on the owners in ${user}. */
static bool no_head_is_saved(struct netkit *k, unsigned int at, const struct effect *e)
{
	const bool *hangs = k->user;

	return !(hangs[at] && e->kind == EFFECT_SAVE && e->row.table == ROW_HEAD);
}

static void an_owner_answers_when_it_is_durable(void **state)
{
	struct netkit *k = netkit_ring(5, 7);
	bool hangs[5] = { false };
	struct volumekit v;
	struct chunk *a;

	(void)state;
	volumekit_make(k, 7, &v);
	a = volumekit_head(&v, 1, NULL, 1);
	hangs[nth(k, &v, true, 0)] = hangs[nth(k, &v, true, 1)] = true;
	k->user = hangs;
	k->effect = no_head_is_saved;
	assert_int_equal(swap(k, nth(k, &v, false, 0), &v, a, NULL), -ETIMEDOUT);
	chunk_drop(a);
	netkit_free(k);
}

/* As a_minority..., of the writer's own row. */
static bool nothing_is_sent_before_it_is_kept(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	const struct volumekit *v = k->user;

	(void)to;
	if (m->type == WIRE_SWAP)
		assert_true(stored_seq(k, from, v, ROW_HEAD_SEEN) > 0);
	return true;
}

static void the_writer_keeps_it_before_anyone_else(void **state)
{
	struct netkit *k = netkit_ring(5, 8);
	struct volumekit v;
	struct chunk *a;

	(void)state;
	volumekit_make(k, 8, &v);
	a = volumekit_head(&v, 1, NULL, 1);
	k->user = &v;
	k->filter = nothing_is_sent_before_it_is_kept;
	assert_int_equal(swap(k, nth(k, &v, false, 0), &v, a, NULL), 0);
	chunk_drop(a);
	netkit_free(k);
}

static void an_owner_that_was_away_is_sent_what_it_lacks(void **state)
{
	struct netkit *k = netkit_ring(5, 9);
	struct volumekit v;
	struct chunk *a[8];
	unsigned int away, writer;

	(void)state;
	volumekit_make(k, 9, &v);
	volumekit_chain(&v, a, 8, NULL, 1);
	away = nth(k, &v, true, 0);
	writer = nth(k, &v, false, 0);
	assert_int_equal(swap(k, writer, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, away);
	for (unsigned int j = 1; j < 7; j++)
		assert_int_equal(swap(k, writer, &v, a[j], a[j - 1]), 0);
	netkit_start(k, away);
	assert_true(netkit_settle(k));
	netkit_run(k, 30 * S);
	assert_int_equal(stored_seq(k, away, &v, ROW_HEAD), 1);
	assert_int_equal(swap(k, writer, &v, a[7], a[6]), 0);
	netkit_run(k, 5 * S);
	assert_int_equal(stored_seq(k, away, &v, ROW_HEAD), 8);
	volumekit_drop(a, 8);
	netkit_free(k);
}

static void heads_outlive_a_restart_of_all(void **state)
{
	struct netkit *k = netkit_ring(4, 10);
	struct volumekit v;
	struct chunk *a[2], *other;

	(void)state;
	volumekit_make(k, 10, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	other = volumekit_head(&v, 1, NULL, 2);
	assert_int_equal(swap(k, 0, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 4; i++)
		netkit_crash(k, i);
	netkit_start_all(k);
	assert_true(netkit_settle(k));
	assert_int_equal(volumekit_ask(k, 2, &v, a[0]), 0);
	assert_int_equal(swap(k, 1, &v, a[1], a[0]), 0);
	assert_int_equal(swap(k, 3, &v, other, NULL), -EUCLEAN);
	volumekit_drop(a, 2);
	chunk_drop(other);
	netkit_free(k);
}

static void an_ended_volume_has_no_heads(void **state)
{
	struct netkit *k = netkit_ring(4, 15);
	struct volumekit v;
	struct chunk *a[2];

	(void)state;
	volumekit_make(k, 15, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	assert_int_equal(swap(k, 0, &v, a[0], NULL), 0);
	assert_int_equal(volumekit_retire(k, 1, &v), 0);
	assert_int_equal(swap(k, 0, &v, a[1], a[0]), -EKEYREVOKED);
	assert_int_equal(volumekit_ask(k, 2, &v, NULL), -EKEYREVOKED);
	volumekit_drop(a, 2);
	netkit_free(k);
}

static void a_slot_has_room_for_so_many_volumes(void **state)
{
	struct netkit *k = netkit_ring(3, 16);
	struct volumekit v;
	struct chunk *a, *junk = chunk_copy("junk", 4);

	(void)state;
	volumekit_make(k, 16, &v);
	a = volumekit_head(&v, 1, NULL, 1);
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 0; j < HEAD_VOLUMES_MAX; j++) {
			struct effect e = { .kind = EFFECT_SAVE, .chunk = junk, .row = { .table = ROW_HEAD } };
			struct event done;

			volumekit_addresses(ring_slot(&v.id), 1 + j, 1, &e.row.key);
			memory_catalogue_apply(&k->node[i].disk, &e, &done);
		}
	assert_int_equal(swap(k, 0, &v, a, NULL), -ENOSPC);
	chunk_drop(junk);
	chunk_drop(a);
	netkit_free(k);
}

static void a_node_remembers_so_many_volumes(void **state)
{
	struct netkit *k = netkit_ring(3, 17);
	struct volumekit v, w;
	struct chunk *a, *b;

	(void)state;
	volumekit_make(k, 17, &v);
	volumekit_make(k, 18, &w);
	a = volumekit_head(&v, 1, NULL, 1);
	b = volumekit_head(&w, 1, NULL, 1);
	k->node[1].node->heads->seen = HEAD_SEEN_MAX - 1;
	assert_int_equal(swap(k, 0, &v, a, NULL), 0);
	assert_int_equal(swap(k, 0, &w, b, NULL), 0);
	assert_int_equal(volumekit_ask(k, 1, &v, a), 0);
	assert_int_equal(volumekit_ask(k, 1, &w, NULL), -ENOSPC);
	assert_int_equal(volumekit_ask(k, 1, &v, a), 0);
	chunk_drop(a);
	chunk_drop(b);
	netkit_free(k);
}

/* One that never saw the volume's heads can't say what lies between. */
static void a_reader_without_history_brings_an_owner_up_to_date(void **state)
{
	struct netkit *k = netkit_ring(5, 18);
	struct volumekit v;
	struct chunk *a[4];
	unsigned int away, other, writer, reader;

	(void)state;
	volumekit_make(k, 19, &v);
	volumekit_chain(&v, a, 4, NULL, 1);
	away = nth(k, &v, true, 0);
	other = nth(k, &v, true, 1);
	writer = nth(k, &v, false, 0);
	reader = nth(k, &v, false, 1);
	assert_int_equal(swap(k, writer, &v, a[0], NULL), 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, away);
	for (unsigned int j = 1; j < 4; j++)
		assert_int_equal(swap(k, writer, &v, a[j], a[j - 1]), 0);
	netkit_start(k, away);
	assert_true(netkit_settle(k));
	netkit_run(k, 30 * S);
	assert_int_equal(stored_seq(k, away, &v, ROW_HEAD), 1);
	netkit_crash(k, other);
	assert_int_equal(volumekit_ask(k, reader, &v, a[3]), 0);
	assert_int_equal(stored_seq(k, away, &v, ROW_HEAD), 4);
	volumekit_drop(a, 4);
	netkit_free(k);
}

/* What it signed came to nobody, and the other writer is further than that by one. */
static void a_writer_that_was_cut_off_learns_that_there_are_two(void **state)
{
	struct netkit *k = netkit_ring(5, 20);
	struct volumekit v;
	struct chunk *a[2], *b[2];
	unsigned int alone, other;

	(void)state;
	volumekit_make(k, 21, &v);
	volumekit_chain(&v, a, 2, NULL, 1);
	volumekit_chain(&v, b, 2, a[0], 2);
	alone = nth(k, &v, false, 0);
	other = nth(k, &v, false, 1);
	assert_int_equal(swap(k, alone, &v, a[0], NULL), 0);
	netkit_cut_off(k, alone, true);
	assert_int_equal(swap(k, alone, &v, a[1], a[0]), -ETIMEDOUT);
	assert_int_equal(volumekit_ask(k, other, &v, a[0]), 0);
	assert_int_equal(swap(k, other, &v, b[0], a[0]), 0);
	assert_int_equal(swap(k, other, &v, b[1], b[0]), 0);
	netkit_cut_off(k, alone, false);
	netkit_run(k, 60 * S);
	assert_int_equal(volumekit_ask(k, alone, &v, NULL), -EUCLEAN);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(volumekit_ask(k, i, &v, NULL), -EUCLEAN);
	volumekit_drop(a, 2);
	volumekit_drop(b, 2);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_of_heads_is_written_and_read_by_anyone),
		cmocka_unit_test(two_writers_are_both_stopped_and_nothing_is_overwritten),
		cmocka_unit_test(of_two_at_the_same_time_at_most_one_counts),
		cmocka_unit_test(a_head_that_goes_on_from_elsewhere_is_stale),
		cmocka_unit_test(what_is_not_a_head_of_the_volume_is_refused),
		cmocka_unit_test(a_minority_gives_an_error_not_an_old_head),
		cmocka_unit_test(a_write_that_was_cut_short_is_finished_by_a_read_and_never_goes_back),
		cmocka_unit_test(a_reader_who_asks_twice_at_once_does_not_go_back),
		cmocka_unit_test(an_owner_answers_when_it_is_durable),
		cmocka_unit_test(the_writer_keeps_it_before_anyone_else),
		cmocka_unit_test(an_owner_that_was_away_is_sent_what_it_lacks),
		cmocka_unit_test(a_reader_without_history_brings_an_owner_up_to_date),
		cmocka_unit_test(a_writer_that_was_cut_off_learns_that_there_are_two),
		cmocka_unit_test(heads_outlive_a_restart_of_all),
		cmocka_unit_test(an_ended_volume_has_no_heads),
		cmocka_unit_test(a_slot_has_room_for_so_many_volumes),
		cmocka_unit_test(a_node_remembers_so_many_volumes),
	};

	return suite_run(tests);
}
