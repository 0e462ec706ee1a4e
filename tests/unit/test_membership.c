/*
 * The rules of membership, each by a few nodes (netkit), without their machines (no_machines).  SEED=n replays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "dht/net/membership.h"
#include "dht/net/node_core.h"
#include "tests/lib/netkit.h"

static uint64_t seed;

/* A message that takes the place of the next one of membership between two nodes. */
static struct {
	unsigned int from, to;
	struct message m;
	bool armed;
	unsigned int lost;		/* a node whose messages are all lost, both ways; by number from 1 */
} forged;

static bool meddle(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	uint8_t *bytes;
	size_t size;

	(void)k;
	if (forged.lost == from + 1 || forged.lost == to + 1)
		return false;
	if (!forged.armed || from != forged.from || to != forged.to || m->priority != LINK_CONTROL)
		return true;
	forged.armed = false;
	chunk_drop(m->body);
	size = wire_size(&forged.m, false);
	m->body = chunk_new(size, &bytes);
	assert_int_equal(wire_encode(&forged.m, false, bytes, size), size);
	m->type = forged.m.type;
	return true;
}

static bool forged_is_out(struct netkit *k)
{
	(void)k;
	return !forged.armed;
}

static struct node *node(struct netkit *k, unsigned int i)
{
	assert_non_null(k->node[i].node);
	return k->node[i].node;
}

/* ${from} says ${m} to ${to}. */
static void say(struct netkit *k, unsigned int from, unsigned int to, const struct message *m)
{
	forged.from = from;
	forged.to = to;
	forged.m = *m;
	forged.armed = true;
	exchange_with(node(k, from), peer_find(node(k, from), &k->node[to].id));
	assert_true(netkit_until(k, forged_is_out, 60 * S));
	netkit_run(k, 2 * k->delay);
}

static void say_record(struct netkit *k, unsigned int from, unsigned int to, const uint8_t *bytes, uint32_t len)
{
	uint8_t blob[MEMBER_BLOB_MAX + 2];
	struct message m = { .type = WIRE_GOSSIP, .has = WIRE_HAS(FIELD_RECORDS) };

	m.records = (struct wire_slice){ blob, (uint32_t)wire_blob_put(bytes, len, blob, sizeof(blob)) };
	say(k, from, to, &m);
}

static struct netkit *ring_of(unsigned int count)
{
	struct netkit *k = netkit_new(count, seed);

	memset(&forged, 0, sizeof(forged));
	k->filter = meddle;
	return k;
}

static struct view_entry *entry(struct netkit *k, unsigned int at, unsigned int of)
{
	return view_find(&node(k, at)->membership->view, &k->node[of].id);
}

static enum health health(struct netkit *k, unsigned int at, unsigned int of)
{
	return membership_health(node(k, at), &k->node[of].id);
}

static bool runs(struct netkit *k, unsigned int i)
{
	return k->node[i].node && !k->node[i].stopped;
}

/* All that run have one view, of ${wanted} members, and one placement, of ${placed}. */
static unsigned int wanted, placed;

static bool agree(struct netkit *k)
{
	const struct address *first = NULL, *table = NULL;

	for (unsigned int i = 0; i < k->count; i++) {
		struct view *v;

		if (!runs(k, i))
			continue;
		v = &node(k, i)->membership->view;
		if (!first)
			first = view_digest(v);
		if (!table)
			table = placement_hash(node(k, i));
		if (view_living(v) != wanted || !address_equal(view_digest(v), first))
			return false;
		if (!placement(node(k, i)) || placement(node(k, i))->members != placed ||
		    !address_equal(placement_hash(node(k, i)), table))
			return false;
	}
	return true;
}

static void agree_on(struct netkit *k, unsigned int members, unsigned int in_table, uint64_t us)
{
	wanted = members;
	placed = in_table;
	if (!netkit_until(k, agree, us)) {
		for (unsigned int i = 0; i < k->count; i++)
			if (runs(k, i))
				print_message("# node %u: %u members, %u in its table\n", i, view_living(&node(k, i)->membership->view),
				    placement(node(k, i)) ? placement(node(k, i))->members : 0);
		fail_msg("not %u members, %u in the table", members, in_table);
	}
}

static struct netkit *running(unsigned int count)
{
	struct netkit *k = ring_of(count);

	netkit_start_all(k);
	agree_on(k, count, count, 20 * S);
	netkit_run(k, 5 * S);
	return k;
}

static int ask(struct netkit *k, unsigned int i, struct command c)
{
	const struct effect *e = netkit_ask(k, i, &c);

	return e ? e->result : -ETIMEDOUT;
}

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
	for (unsigned int i = 0; i < 4; i++)
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

static void suspect(struct netkit *k, unsigned int from, unsigned int to, unsigned int of, uint64_t incarnation)
{
	uint8_t bytes[WIRE_SUSPICION_LEN];
	struct wire_suspicion s = { .id = k->node[of].id, .from = k->node[from].id, .incarnation = incarnation };
	struct message m = { .type = WIRE_GOSSIP, .has = WIRE_HAS(FIELD_SUSPICIONS), .suspicions = 1, .suspicions_bytes = bytes };

	wire_suspicion_put(&s, bytes);
	say(k, from, to, &m);
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
	/* Who was away hears of it with the first exchange. */
	netkit_crash(k, 5);
	netkit_start(k, 5);
	netkit_run(k, 35 * S);
	assert_false(membership_spares(node(k, 5), &k->node[6].id));
	netkit_free(k);
}

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

static bool own_row_hangs(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	return at != 1 || e->kind != EFFECT_SAVE || e->row.table != ROW_SELF;
}

static void commands_that_wait_for_the_disk_are_bounded(void **state)
{
	struct netkit *k = running(3);
	uint64_t ticket = 0;

	(void)state;
	k->effect = own_row_hangs;
	for (unsigned int i = 0; i <= SELF_WAITING_MAX; i++) {
		struct command c = { .kind = COMMAND_SET, .weight = 2 };

		assert_true(ticket == 0 || !netkit_reply(k, ticket));
		ticket = netkit_command(k, 1, &c);
		netkit_run(k, 10 * MS);
	}
	assert_int_equal(netkit_reply(k, ticket)->result, -EBUSY);
	/* Nothing was said that the disk does not know. */
	assert_int_equal(entry(k, 0, 1)->member->weight, 1);
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
		cmocka_unit_test(all_views_converge),
		cmocka_unit_test(who_leaves_is_gone_for_ever),
		cmocka_unit_test(who_drains_is_out_of_the_table_and_comes_back),
		cmocka_unit_test(only_the_admin_evicts),
		cmocka_unit_test(who_evicts_himself_says_so_and_stops),
		cmocka_unit_test(one_who_is_down_is_evicted),
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
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
