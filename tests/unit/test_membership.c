/*
 * The rules of membership, each by a few nodes (netkit), without their machines (no_machines).  SEED=n replays.
 */
#include "tests/unit/membership_test.h"

/* ---- who is a member ---- */

static void a_third_node_joins_and_all_know(void **state)
{
	struct netkit *k = ring_of(3);

	(void)state;
	netkit_start(k, 0);
	agree_on(k, 1, 1, 5 * S);
	netkit_start(k, 1);
	agree_on(k, 2, 2, 5 * S);
	netkit_start(k, 2);
	agree_on(k, 3, 3, 5 * S);
	/* Its record came by the link itself. */
	assert_true(entry(k, 2, 0)->linked);
	netkit_free(k);
}

static void a_node_without_an_answer_founds_no_ring(void **state)
{
	struct netkit *k = ring_of(2);

	(void)state;
	netkit_start(k, 1);
	netkit_run(k, 60 * S);
	assert_null(placement(node(k, 1)));
	netkit_start(k, 0);
	agree_on(k, 2, 2, 120 * S);
	netkit_free(k);
}

static void who_begin_together_find_each_other(void **state)
{
	struct netkit *k = ring_of(4);

	(void)state;
	for (unsigned int i = 1; i < 4; i++)
		for (unsigned int j = 0, at = 0; j < 4; j++)
			if (i != j)
				k->node[i].seeds[at++] = k->node[j].address;
	/* All are connected before any of them may say anything. */
	k->disk_delay = 3 * S;
	netkit_start_all(k);
	netkit_run(k, 2 * S);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(links_count(node(k, i)) >= 3);
	agree_on(k, 4, 4, 10 * S);
	netkit_free(k);
}

/* ---- who knows the ring ---- */

static unsigned int complaints;

static bool hear(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	(void)at;
	complaints += e->kind == EFFECT_LOG && strstr(e->text, "not in the ring yet");
	return true;
}

static void new_disk(struct netkit *k, unsigned int i)
{
	netkit_crash(k, i);
	memory_catalogue_free(&k->node[i].disk);
	memory_catalogue_init(&k->node[i].disk, UINT64_C(1) << 40);
	k->node[i].generation += 1000;
}

static bool has_rows(struct netkit *k, unsigned int i)
{
	struct catalogue *c = &k->node[i].disk.catalogue;
	struct address id;

	return c->rows(c, ROW_MEMBER, NULL, &id);
}

/* Nodes 1 and 2, told of each other and of the first. */
static void two_begin(struct netkit *k)
{
	for (unsigned int i = 1; i < 3; i++) {
		k->node[i].seeds[0] = k->node[3 - i].address;
		k->node[i].seeds[1] = k->node[0].address;
		netkit_start(k, i);
	}
	netkit_run(k, 20 * S);
	assert_true(links_count(node(k, 1)) > 0);
}

static void two_who_begin_make_no_ring_of_themselves(void **state)
{
	struct netkit *k = ring_of(3);

	(void)state;
	complaints = 0;
	k->effect = hear;
	two_begin(k);
	netkit_run(k, 2 * JOIN_COMPLAIN);
	for (unsigned int i = 1; i < 3; i++) {
		assert_null(placement(node(k, i)));
		assert_int_equal(view_living(&node(k, i)->membership->view), 0);
	}
	/* Nobody waits without a word. */
	assert_in_range(complaints, 4, 6);
	netkit_start(k, 0);
	agree_on(k, 3, 3, DIAL_AGAIN_MAX + 5 * S);
	assert_true(has_rows(k, 1) && has_rows(k, 2));
	complaints = 0;
	netkit_run(k, 2 * JOIN_COMPLAIN);
	assert_int_equal(complaints, 0);
	netkit_free(k);
}

/* One that is let in tells the others, who do not reach the founder. */
static void one_who_is_rooted_roots_the_next(void **state)
{
	struct netkit *k = ring_of(3);

	(void)state;
	netkit_cut(k, 0, 2, true);
	two_begin(k);
	netkit_start(k, 0);
	agree_on(k, 3, 3, DIAL_AGAIN_MAX + 5 * S);
	netkit_free(k);
}

static void what_is_known_of_the_ring_by_chance_is_not_the_ring(void **state)
{
	struct netkit *k = running(3);
	struct member *first = member_hold(entry(k, 1, 0)->member);

	(void)state;
	netkit_crash(k, 0);
	new_disk(k, 1);
	new_disk(k, 2);
	two_begin(k);
	say_record(k, 2, 1, first->bytes, first->len);
	netkit_run(k, 60 * S);
	for (unsigned int life = 0; life < 2; life++) {
		for (unsigned int i = 1; i < 3; i++) {
			assert_null(placement(node(k, i)));
			assert_false(has_rows(k, i));
		}
		assert_non_null(entry(k, 2, 0));
		assert_true(address_equal(view_digest(&node(k, 1)->membership->view), view_digest(&node(k, 2)->membership->view)));
		netkit_crash(k, 1);
		netkit_start(k, 1);
		netkit_run(k, 20 * S);
	}
	member_drop(first);
	netkit_start(k, 0);
	agree_on(k, 3, 3, DIAL_AGAIN_MAX + 5 * S);
	netkit_free(k);
}

/* The first records that node 0 sends to node 1 are of itself alone. */
static bool say_something_else(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	const struct member *first = node(k, 0)->self;
	struct message other = { .type = WIRE_RECORDS };
	uint8_t blob[MEMBER_BLOB_MAX + 2], *bytes;
	bool *said = k->user;
	size_t size;

	if (from != 0 || to != 1 || m->type != WIRE_RECORDS || *said)
		return true;
	*said = true;
	other.records = (struct wire_slice){ blob, (uint32_t)wire_blob_put(first->bytes, first->len, blob, sizeof(blob)) };
	size = wire_size(&other, false);
	chunk_drop(m->body);
	m->body = chunk_new(size, &bytes);
	assert_int_equal(wire_encode(&other, false, bytes, size), size);
	return true;
}

static bool one_has_a_table(struct netkit *k)
{
	return placement(node(k, 1)) != NULL;
}

static void what_came_unasked_is_no_answer(void **state)
{
	struct netkit *k = running(3);
	bool said = false;

	(void)state;
	new_disk(k, 1);
	k->filter = say_something_else;
	k->user = &said;
	netkit_cut(k, 1, 2, true);
	netkit_start(k, 1);
	assert_true(netkit_until(k, one_has_a_table, 60 * S));
	assert_true(said);
	assert_int_equal(placement(node(k, 1))->members, 3);
	netkit_free(k);
}

static void who_lacks_nothing_needs_no_records(void **state)
{
	struct netkit *k = ring_of(2);
	const struct member *first;

	(void)state;
	netkit_start(k, 0);
	netkit_run(k, 5 * S);
	first = node(k, 0)->self;
	netkit_start(k, 1);
	assert_int_equal(membership_adopt(node(k, 1), first->bytes, first->len, false), 0);
	agree_on(k, 2, 2, 5 * S);
	netkit_free(k);
}

static void who_founded_a_ring_alone_may_be_told_of_others_later(void **state)
{
	struct netkit *k = ring_of(2);

	(void)state;
	netkit_start(k, 0);
	netkit_run(k, 5 * S);
	netkit_crash(k, 0);
	k->node[0].seeds[0] = k->node[1].address;
	netkit_start(k, 0);
	netkit_run(k, 60 * S);
	assert_null(placement(node(k, 0)));
	netkit_start(k, 1);
	agree_on(k, 2, 2, DIAL_AGAIN_MAX + 5 * S);
	netkit_free(k);
}

static void a_ring_that_is_lost_is_founded_anew_by_one_without_seeds(void **state)
{
	struct netkit *k = running(3);

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		new_disk(k, i);
	k->node[0].seeds[0] = k->node[1].address;
	netkit_start(k, 0);
	two_begin(k);
	netkit_run(k, 120 * S);
	for (unsigned int i = 0; i < 3; i++)
		assert_null(placement(node(k, i)));
	netkit_crash(k, 0);
	k->node[0].seeds[0] = NULL;
	netkit_start(k, 0);
	agree_on(k, 3, 3, DIAL_AGAIN_MAX + 5 * S);
	netkit_free(k);
}

static void all_views_converge(void **state)
{
	struct netkit *k = running(12);

	(void)state;
	netkit_free(k);
}

static void who_leaves_is_gone_for_ever(void **state)
{
	struct netkit *k = running(4);

	(void)state;
	assert_int_equal(ask(k, 3, (struct command){ .kind = COMMAND_LEAVE }), 0);
	netkit_run(k, S);
	assert_true(k->node[3].stopped);
	agree_on(k, 3, 3, 5 * S);
	netkit_crash(k, 3);
	netkit_start(k, 3);
	netkit_run(k, 5 * S);
	assert_true(k->node[3].stopped);
	assert_non_null(strstr(k->node[3].why, "left the ring"));
	/* With another disk it does not know it, until others say so. */
	netkit_crash(k, 3);
	memory_catalogue_free(&k->node[3].disk);
	memory_catalogue_init(&k->node[3].disk, 1 << 20);
	netkit_start(k, 3);
	netkit_run(k, 5 * S);
	assert_true(k->node[3].stopped);
	assert_non_null(strstr(k->node[3].why, "left the ring"));
	agree_on(k, 3, 3, 5 * S);
	netkit_free(k);
}

/* Its row says that it has left, and it said so to nobody: the others wait for it, until it is started again. */
static void who_has_left_says_so_again_after_a_crash(void **state)
{
	static const struct catalogue_row_key key = { .table = ROW_SELF };
	struct netkit *k = running(4);
	struct catalogue *c = &k->node[3].disk.catalogue;
	struct chunk *before = c->row(c, &key), *row;

	(void)state;
	netkit_command(k, 3, &(struct command){ .kind = COMMAND_LEAVE });
	for (;; chunk_drop(row)) {
		row = c->row(c, &key);
		if (row->len != before->len || memcmp(row->data, before->data, row->len))
			break;
		assert_true(k->now < 3600 * S);
		netkit_run(k, 1);
	}
	chunk_drop(row);
	chunk_drop(before);
	netkit_crash(k, 3);
	netkit_run(k, 60 * S);
	agree_on(k, 4, 4, 5 * S);
	netkit_start(k, 3);
	assert_false(k->node[3].stopped);
	netkit_run(k, 10 * S);
	assert_true(k->node[3].stopped);
	agree_on(k, 3, 3, 5 * S);
	/* Where nobody can be told it does not wait for ever. */
	netkit_crash(k, 3);
	for (unsigned int i = 0; i < 3; i++)
		netkit_crash(k, i);
	netkit_start(k, 3);
	netkit_run(k, SELF_FAREWELL + SELF_ENDING_MAX + S);
	assert_true(k->node[3].stopped);
	netkit_free(k);
}

static void who_drains_is_out_of_the_table_and_comes_back(void **state)
{
	struct netkit *k = running(4);

	(void)state;
	assert_int_equal(ask(k, 2, (struct command){ .kind = COMMAND_DRAIN, .count = 1 }), 0);
	agree_on(k, 4, 3, 5 * S);
	/* Also after a restart. */
	netkit_crash(k, 2);
	netkit_run(k, S);
	netkit_start(k, 2);
	netkit_run(k, 10 * S);
	agree_on(k, 4, 3, 5 * S);
	assert_int_equal(ask(k, 2, (struct command){ .kind = COMMAND_DRAIN }), 0);
	agree_on(k, 4, 4, 5 * S);
	netkit_free(k);
}

static struct chunk *eviction(struct netkit *k, unsigned int of, const uint8_t *secret)
{
	struct member *m;
	struct chunk *c;

	assert_int_equal(member_evict(&k->file.id, &k->node[of].id, secret, &m), 0);
	c = chunk_copy(m->bytes, m->len);
	member_drop(m);
	return c;
}

static void only_the_admin_evicts(void **state)
{
	struct netkit *k = running(4);
	struct chunk *good = eviction(k, 3, k->admin), *bad = eviction(k, 3, k->node[0].secret);

	(void)state;
	assert_int_equal(ask(k, 0, (struct command){ .kind = COMMAND_EVICT, .blob = bad }), -EBADMSG);
	say_record(k, 1, 0, bad->data, bad->len);
	netkit_run(k, 3 * S);
	assert_false(k->node[3].stopped);
	agree_on(k, 4, 4, 5 * S);
	assert_int_equal(ask(k, 0, (struct command){ .kind = COMMAND_EVICT, .blob = good }), 0);
	agree_on(k, 3, 3, 5 * S);
	assert_true(k->node[3].stopped);
	assert_non_null(strstr(k->node[3].why, "evicted"));
	assert_true(membership_gone(node(k, 0), &k->node[3].id));
	assert_false(membership_gone(node(k, 0), &k->node[1].id));
	assert_null(membership_find(node(k, 0), &k->node[3].id));
	/* It may try again: it is told again, and is no member. */
	netkit_crash(k, 3);
	netkit_start(k, 3);
	netkit_run(k, 10 * S);
	assert_true(k->node[3].stopped);
	agree_on(k, 3, 3, 5 * S);
	chunk_drop(good);
	chunk_drop(bad);
	netkit_free(k);
}

static void who_evicts_himself_says_so_and_stops(void **state)
{
	struct netkit *k = running(3);
	struct chunk *good = eviction(k, 2, k->admin);

	(void)state;
	assert_int_equal(ask(k, 2, (struct command){ .kind = COMMAND_EVICT, .blob = good }), 0);
	agree_on(k, 2, 2, 10 * S);
	netkit_run(k, SELF_ENDING_MAX);
	assert_true(k->node[2].stopped);
	chunk_drop(good);
	netkit_free(k);
}

static void one_who_is_down_is_evicted(void **state)
{
	struct netkit *k = running(4);
	struct chunk *good = eviction(k, 3, k->admin);

	(void)state;
	netkit_crash(k, 3);
	netkit_run(k, 20 * S);
	assert_int_equal(node(k, 0)->membership->view.down, 1);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_EVICT, .blob = good }), 0);
	agree_on(k, 3, 3, 5 * S);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(node(k, i)->membership->view.down, 0);
	chunk_drop(good);
	netkit_free(k);
}

static void an_eviction_said_again_is_done_and_of_nobody_is_refused(void **state)
{
	struct netkit *k = running(4);
	struct chunk *good = eviction(k, 3, k->admin), *nobody;
	struct member *m;
	struct address id = { .b = { 1 } };

	(void)state;
	assert_int_equal(member_evict(&k->file.id, &id, k->admin, &m), 0);
	nobody = chunk_copy(m->bytes, m->len);
	member_drop(m);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_EVICT, .blob = good }), 0);
	agree_on(k, 3, 3, 5 * S);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_EVICT, .blob = good }), 0);
	assert_int_equal(ask(k, 2, (struct command){ .kind = COMMAND_EVICT, .blob = good }), 0);
	assert_int_equal(ask(k, 0, (struct command){ .kind = COMMAND_EVICT, .blob = nobody }), -ENOENT);
	agree_on(k, 3, 3, 5 * S);
	chunk_drop(good);
	chunk_drop(nobody);
	netkit_free(k);
}

static void a_weight_or_zone_moves_the_table(void **state)
{
	struct netkit *k = running(4);
	struct address before = *placement_hash(node(k, 0)), weight;

	(void)state;
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_SET, .weight = 3 }), 0);
	netkit_run(k, 3 * S);
	agree_on(k, 4, 4, 5 * S);
	weight = *placement_hash(node(k, 0));
	assert_false(address_equal(&weight, &before));
	assert_int_equal(entry(k, 3, 1)->member->weight, 3);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_SET, .zone = "attic" }), 0);
	netkit_run(k, 3 * S);
	agree_on(k, 4, 4, 5 * S);
	assert_false(address_equal(placement_hash(node(k, 0)), &weight));
	assert_string_equal(entry(k, 3, 1)->member->zone, "attic");
	assert_int_equal(entry(k, 3, 1)->member->weight, 3);
	/* What was set outlives a restart. */
	netkit_crash(k, 1);
	netkit_start(k, 1);
	netkit_run(k, 5 * S);
	assert_string_equal(entry(k, 3, 1)->member->zone, "attic");
	assert_int_equal(entry(k, 3, 1)->member->weight, 3);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_SET, .weight = RING_WEIGHT_MAX + 1 }), -EINVAL);
	assert_int_equal(ask(k, 1, (struct command){ .kind = COMMAND_SET, .zone = "a\nb" }), -EINVAL);
	netkit_free(k);
}

static void a_restart_moves_nothing(void **state)
{
	struct netkit *k = running(4);
	struct address before = *placement_hash(node(k, 0));
	uint64_t incarnation = entry(k, 0, 2)->member->incarnation;

	(void)state;
	netkit_crash(k, 2);
	netkit_run(k, 30 * S);
	assert_true(address_equal(placement_hash(node(k, 0)), &before));
	netkit_start(k, 2);
	netkit_run(k, 5 * S);
	agree_on(k, 4, 4, S);
	assert_true(address_equal(placement_hash(node(k, 0)), &before));
	assert_true(entry(k, 0, 2)->member->incarnation > incarnation);
	assert_true(entry(k, 0, 2)->member->incarnation < incarnation + INCARNATION_LEAP);
	netkit_free(k);
}

static void members_are_known_after_a_restart_alone(void **state)
{
	struct netkit *k = running(4);
	struct address before = *placement_hash(node(k, 0));

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		netkit_crash(k, i);
	netkit_start(k, 2);
	agree_on(k, 4, 4, S);
	assert_true(address_equal(placement_hash(node(k, 2)), &before));
	netkit_free(k);
}

/* ---- who can be reached ---- */

static void who_is_silent_is_suspected_then_down_then_back(void **state)
{
	struct netkit *k = running(5);
	bool suspected = false;

	(void)state;
	forged.lost = 4 + 1;
	for (unsigned int i = 0; i < 200 && health(k, 0, 4) != PEER_DOWN; i++) {
		netkit_run(k, 100 * MS);
		suspected |= health(k, 0, 4) == PEER_SUSPECT;
	}
	assert_true(suspected);
	assert_int_equal(health(k, 0, 4), PEER_DOWN);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(health(k, i, 4), PEER_DOWN);
	/* It is a member all the same. */
	agree_on(k, 5, 5, 1);
	forged.lost = 0;
	netkit_run(k, 15 * S);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(health(k, i, 4), PEER_ALIVE);
	netkit_free(k);
}

static void a_false_suspicion_is_refuted(void **state)
{
	struct netkit *k = running(5);
	uint64_t incarnation = entry(k, 0, 4)->member->incarnation;

	(void)state;
	suspect(k, 1, 0, 4, incarnation);
	assert_int_equal(health(k, 0, 4), PEER_SUSPECT);
	netkit_run(k, 3 * S);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(health(k, i, 4), PEER_ALIVE);
		assert_int_equal(entry(k, i, 4)->member->incarnation, incarnation + 1);
	}
	netkit_free(k);
}

static void who_is_doubted_hears_it_from_whom_he_speaks_to(void **state)
{
	struct netkit *k = running(5);
	uint64_t incarnation = entry(k, 0, 4)->member->incarnation;
	struct message m = { .type = WIRE_NACK, .seq = 1 };

	(void)state;
	suspicion_heard(node(k, 0), entry(k, 0, 4), incarnation, &k->node[1].id, false);
	say(k, 4, 0, &m);
	netkit_run(k, 10 * MS);
	assert_int_equal(node(k, 4)->self->incarnation, incarnation + 1);
	netkit_free(k);
}

static void a_doubt_about_an_older_record_is_none(void **state)
{
	struct netkit *k = running(5);
	uint64_t incarnation = entry(k, 0, 4)->member->incarnation;

	(void)state;
	suspect(k, 1, 0, 4, incarnation - 1);
	assert_int_equal(health(k, 0, 4), PEER_ALIVE);
	suspect(k, 1, 0, 4, incarnation + 1);
	assert_int_equal(health(k, 0, 4), PEER_ALIVE);
	/* Nor one about us. */
	suspect(k, 1, 4, 4, incarnation - 1);
	netkit_run(k, 2 * S);
	assert_int_equal(entry(k, 0, 4)->member->incarnation, incarnation);
	netkit_free(k);
}

static void a_lone_liar_downs_nobody(void **state)
{
	struct netkit *k = running(5);

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		suspect(k, 1, 0, 4, entry(k, 0, 4)->member->incarnation);
		netkit_run(k, 300 * MS);
		assert_int_not_equal(health(k, 0, 4), PEER_DOWN);
	}
	/* At most a record each REFUTE_EVERY. */
	assert_true(entry(k, 0, 4)->member->incarnation < 140);
	netkit_free(k);
}

static void parts_of_a_ring_heal(void **state)
{
	struct netkit *k = running(6);

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 3; j < 6; j++)
			netkit_cut(k, i, j, true);
	netkit_run(k, 30 * S);
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 3; j < 6; j++) {
			assert_int_equal(health(k, i, j), PEER_DOWN);
			assert_int_equal(health(k, j, i), PEER_DOWN);
			/* More than a quarter is down: a partition, not a death. */
			assert_false(membership_spares(node(k, i), &k->node[j].id));
		}
	assert_int_equal(ask(k, 0, (struct command){ .kind = COMMAND_SET, .weight = 2 }), 0);
	assert_int_equal(ask(k, 5, (struct command){ .kind = COMMAND_DRAIN, .count = 1 }), 0);
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 3; j < 6; j++)
			netkit_cut(k, i, j, false);
	netkit_run(k, 90 * S);
	agree_on(k, 6, 5, S);
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(node(k, i)->membership->view.down, 0);
		assert_int_equal(entry(k, i, 0)->member->weight, 2);
	}
	netkit_free(k);
}

static void a_quarter_may_be_down_and_no_more(void **state)
{
	struct netkit *k = running(8);

	(void)state;
	netkit_crash(k, 7);
	netkit_crash(k, 6);
	netkit_run(k, 30 * S);
	assert_true(membership_spares(node(k, 0), &k->node[7].id));
	netkit_crash(k, 5);
	netkit_run(k, 30 * S);
	assert_false(membership_spares(node(k, 0), &k->node[7].id));
	netkit_start(k, 5);
	netkit_run(k, 30 * S);
	assert_true(membership_spares(node(k, 0), &k->node[7].id));
	netkit_free(k);
}

static void under_maintenance_there_are_no_spares(void **state)
{
	struct netkit *k = running(8);
	struct command c = { .kind = COMMAND_MAINTENANCE, .address = k->node[7].id, .timeout = 60 * S };

	(void)state;
	assert_int_equal(ask(k, 0, c), 0);
	netkit_run(k, 3 * S);
	for (unsigned int i = 0; i < 7; i++) {
		assert_false(membership_spares(node(k, i), &k->node[7].id));
		assert_true(membership_spares(node(k, i), &k->node[6].id));
	}
	netkit_run(k, 60 * S);
	for (unsigned int i = 0; i < 7; i++)
		assert_true(membership_spares(node(k, i), &k->node[7].id));
	memset(&c.address, 0, sizeof(c.address));
	assert_int_equal(ask(k, 3, c), 0);
	netkit_run(k, 3 * S);
	for (unsigned int i = 0; i < 8; i++)
		assert_false(membership_spares(node(k, i), &k->node[6].id));
	/* It is not made shorter, by anyone who knows of it. */
	c.timeout = 10 * S;
	assert_int_equal(ask(k, 4, c), -EALREADY);
	/* Who was away hears of it with the first exchange. */
	netkit_crash(k, 5);
	netkit_start(k, 5);
	netkit_run(k, 35 * S);
	assert_false(membership_spares(node(k, 5), &k->node[6].id));
	netkit_free(k);
}

static void the_same_seed_gives_the_same_run(void **state)
{
	struct address trace[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct netkit *k = running(5);

		netkit_crash(k, 4);
		netkit_run(k, 30 * S);
		netkit_trace(k, &trace[i]);
		netkit_free(k);
	}
	assert_true(address_equal(&trace[0], &trace[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_third_node_joins_and_all_know),
		cmocka_unit_test(a_node_without_an_answer_founds_no_ring),
		cmocka_unit_test(who_begin_together_find_each_other),
		cmocka_unit_test(two_who_begin_make_no_ring_of_themselves),
		cmocka_unit_test(one_who_is_rooted_roots_the_next),
		cmocka_unit_test(what_is_known_of_the_ring_by_chance_is_not_the_ring),
		cmocka_unit_test(what_came_unasked_is_no_answer),
		cmocka_unit_test(who_lacks_nothing_needs_no_records),
		cmocka_unit_test(who_founded_a_ring_alone_may_be_told_of_others_later),
		cmocka_unit_test(a_ring_that_is_lost_is_founded_anew_by_one_without_seeds),
		cmocka_unit_test(all_views_converge),
		cmocka_unit_test(who_leaves_is_gone_for_ever),
		cmocka_unit_test(who_has_left_says_so_again_after_a_crash),
		cmocka_unit_test(who_drains_is_out_of_the_table_and_comes_back),
		cmocka_unit_test(only_the_admin_evicts),
		cmocka_unit_test(who_evicts_himself_says_so_and_stops),
		cmocka_unit_test(one_who_is_down_is_evicted),
		cmocka_unit_test(an_eviction_said_again_is_done_and_of_nobody_is_refused),
		cmocka_unit_test(a_weight_or_zone_moves_the_table),
		cmocka_unit_test(a_restart_moves_nothing),
		cmocka_unit_test(members_are_known_after_a_restart_alone),
		cmocka_unit_test(who_is_silent_is_suspected_then_down_then_back),
		cmocka_unit_test(a_false_suspicion_is_refuted),
		cmocka_unit_test(who_is_doubted_hears_it_from_whom_he_speaks_to),
		cmocka_unit_test(a_doubt_about_an_older_record_is_none),
		cmocka_unit_test(a_lone_liar_downs_nobody),
		cmocka_unit_test(parts_of_a_ring_heal),
		cmocka_unit_test(a_quarter_may_be_down_and_no_more),
		cmocka_unit_test(under_maintenance_there_are_no_spares),
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
