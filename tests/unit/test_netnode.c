/* Whole nodes: what node.h promises to whoever drives one, and to its user. */
#include <string.h>

#include <errno.h>

#include "tests/lib/netkit.h"
#include "tests/lib/suite.h"

#define BYTES 3000u

static struct chunk *make_chunk(uint64_t seed, struct address *a)
{
	uint8_t *bytes;
	struct chunk *c = chunk_new(BYTES, &bytes);

	assert_non_null(c);
	for (unsigned int i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)((seed + i) * 2654435761u >> 13);
	memcpy(bytes, &seed, sizeof(seed));
	address_of(KIND_DATA, c->data, c->len, a);
	return c;
}

static int insert(struct netkit *k, unsigned int at, uint64_t seed, unsigned int acks, uint64_t timeout)
{
	struct command c = { .kind = COMMAND_INSERT, .acks = (uint8_t)acks, .timeout = timeout, .chunk_kind = KIND_DATA };
	int r;

	c.chunk = make_chunk(seed, &c.address);
	r = netkit_ask(k, at, &c)->result;
	chunk_drop(c.chunk);
	return r;
}

static int fetch(struct netkit *k, unsigned int at, uint64_t seed, uint64_t timeout)
{
	struct command c = { .kind = COMMAND_FETCH, .timeout = timeout, .chunk_kind = KIND_DATA };
	struct chunk *expected = make_chunk(seed, &c.address);
	const struct effect *e = netkit_ask(k, at, &c);

	assert_true(!e->chunk == (e->result != 0));
	if (e->chunk) {
		assert_int_equal(e->chunk->len, expected->len);
		assert_memory_equal(e->chunk->data, expected->data, expected->len);
		assert_int_equal(e->chunk_kind, KIND_DATA);
	}
	chunk_drop(expected);
	return e->result;
}

static unsigned int copies(struct netkit *k, uint64_t seed)
{
	struct address a;
	unsigned int count = 0;

	chunk_drop(make_chunk(seed, &a));
	for (unsigned int i = 0; i < k->count; i++)
		count += k->node[i].disk.catalogue.state(&k->node[i].disk.catalogue, &a) != 0;
	return count;
}

static struct netkit *settled(unsigned int count, uint64_t seed)
{
	struct netkit *k = netkit_new(count, seed);

	netkit_start_all(k);
	assert_true(netkit_settle(k));
	return k;
}

static struct node_status status(struct netkit *k, unsigned int i)
{
	struct node_status s;

	node_status(k->node[i].node, &s);
	return s;
}

/* ---- what a user is promised ---- */

static void a_node_alone_keeps_and_gives(void **state)
{
	struct netkit *k = settled(1, 1);
	struct command c = { .kind = COMMAND_CONFIRM, .chunk_kind = KIND_DATA };

	(void)state;
	assert_int_equal(insert(k, 0, 1, 0, 0), 0);
	/* There are no others to wait for. */
	assert_int_equal(insert(k, 0, 2, 5, 0), 0);
	assert_int_equal(fetch(k, 0, 1, 0), 0);
	assert_int_equal(fetch(k, 0, 2, 0), 0);
	assert_int_equal(fetch(k, 0, 3, 0), -ENOENT);
	chunk_drop(make_chunk(2, &c.address));
	assert_int_equal(netkit_ask(k, 0, &c)->count, 1);
	netkit_crash(k, 0);
	netkit_start(k, 0);
	assert_true(netkit_settle(k));
	assert_int_equal(fetch(k, 0, 1, 0), 0);
	assert_true(status(k, 0).complete);
	assert_int_equal(k->messages, 0);
	netkit_free(k);
}

static void what_one_node_inserts_another_one_fetches(void **state)
{
	(void)state;
	for (unsigned int count = 2; count <= 5; count++) {
		struct netkit *k = settled(count, count);

		for (uint64_t i = 0; i < 20; i++) {
			assert_int_equal(insert(k, i % count, i, k->file.acks, 0), 0);
			assert_true(copies(k, i) > k->file.acks || copies(k, i) == count);
			assert_int_equal(fetch(k, (i + 1) % count, i, 0), 0);
		}
		netkit_run(k, 30 * S);
		for (unsigned int i = 0; i < count; i++) {
			assert_int_equal(status(k, i).foreign, 0);
			assert_int_equal(status(k, i).members, count);
			assert_int_equal(status(k, i).calls, 0);
			assert_int_equal(status(k, i).commands, 0);
			assert_int_equal(status(k, i).wrong_answers, 0);
		}
		netkit_free(k);
	}
}

static void the_loss_of_a_node_is_no_loss(void **state)
{
	struct netkit *k = settled(4, 9);

	(void)state;
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(insert(k, 0, i, 2, 0), 0);
	netkit_crash(k, 0);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(fetch(k, 1 + i % 3, i, 0), 0);
	for (uint64_t i = 20; i < 40; i++)
		assert_int_equal(insert(k, 1 + i % 3, i, 2, 0), 0);
	netkit_start(k, 0);
	assert_true(netkit_settle(k));
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(fetch(k, 0, i, 0), 0);
	netkit_free(k);
}

static void not_there_is_said_only_when_all_owners_said_so(void **state)
{
	struct netkit *k = settled(3, 4);
	int r;

	(void)state;
	assert_int_equal(fetch(k, 0, 1, 0), -ENOENT);
	netkit_crash(k, 2);
	/* Before anyone knows that it is down, and after. */
	for (unsigned int i = 0; i < 3; i++) {
		r = fetch(k, 0, 1, 3 * S);
		assert_true(r == -EIO || r == -ETIMEDOUT);
		netkit_run(k, 20 * S);
	}
	assert_int_equal(status(k, 0).down, 1);
	netkit_start(k, 2);
	assert_true(netkit_settle(k));
	assert_int_equal(fetch(k, 0, 1, 0), -ENOENT);
	/* One that hangs has not said so either. */
	netkit_cut(k, 0, 1, true);
	r = fetch(k, 0, 1, 3 * S);
	assert_true(r == -EIO || r == -ETIMEDOUT);
	netkit_free(k);
}

/* Node 0 is heard of, but nobody gets anything from it. */
static bool first_is_mute(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	return (from != 0 && to != 0) || m->priority == LINK_CONTROL;
}

static void a_miss_of_a_new_disk_does_not_count(void **state)
{
	struct netkit *k = settled(3, 4);

	(void)state;
	assert_int_equal(insert(k, 0, 1, 2, 0), 0);
	netkit_run(k, 10 * S);
	assert_int_equal(copies(k, 1), 3);
	for (unsigned int i = 1; i < 3; i++) {
		netkit_crash(k, i);
		memory_catalogue_free(&k->node[i].disk);
		memory_catalogue_init(&k->node[i].disk, UINT64_C(1) << 40);
		k->node[i].generation += 1000;
	}
	k->filter = first_is_mute;
	netkit_start(k, 1);
	netkit_start(k, 2);
	netkit_run(k, 5 * S);
	for (unsigned int i = 0; i < 5; i++) {
		int r = fetch(k, 1 + i % 2, 1, 3 * S);

		assert_true(r == -EIO || r == -ETIMEDOUT);
		assert_false(status(k, 1).complete);
		netkit_run(k, 20 * S);
	}
	k->filter = NULL;
	/* Whoever asked in vain so often asks less often. */
	netkit_run(k, 180 * S);
	assert_true(netkit_settle(k));
	assert_int_equal(fetch(k, 1, 1, 0), 0);
	assert_int_equal(fetch(k, 2, 1, 0), 0);
	netkit_free(k);
}

static void an_insert_that_cant_be_safe_says_so_and_is_kept_here(void **state)
{
	struct netkit *k = settled(3, 6);
	uint64_t began;

	(void)state;
	netkit_crash(k, 1);
	netkit_crash(k, 2);
	netkit_run(k, 30 * S);
	began = k->now;
	assert_int_equal(insert(k, 0, 1, 2, 20 * S), -EHOSTUNREACH);
	/* At once, not when its time is up. */
	assert_true(k->now - began < 5 * S);
	assert_int_equal(insert(k, 0, 2, 0, 0), 0);
	assert_int_equal(fetch(k, 0, 1, 0), 0);
	assert_true(status(k, 0).foreign > 0);
	netkit_start(k, 1);
	netkit_start(k, 2);
	assert_true(netkit_settle(k));
	netkit_run(k, 60 * S);
	assert_int_equal(copies(k, 1), 3);
	assert_int_equal(copies(k, 2), 3);
	assert_int_equal(status(k, 0).foreign, 0);
	netkit_free(k);
}

static void a_rotten_copy_is_never_given_and_is_healed(void **state)
{
	struct netkit *k = settled(3, 8);
	struct address a;

	(void)state;
	assert_int_equal(insert(k, 0, 1, 2, 0), 0);
	netkit_run(k, 10 * S);
	chunk_drop(make_chunk(1, &a));
	for (unsigned int i = 0; i < 2; i++)
		memory_catalogue_rot(&k->node[i].disk, &a);
	/* fetch() compares the bytes. */
	assert_int_equal(fetch(k, 0, 1, 0), 0);
	netkit_run(k, 60 * S);
	netkit_crash(k, 2);
	assert_int_equal(fetch(k, 0, 1, 0), 0);
	netkit_free(k);
}

/* ---- each command is answered, once, in time ---- */

static bool no_disk(struct netkit *k, unsigned int at, const struct effect *e)
{
	(void)k;
	(void)at;
	return e->kind < EFFECT_READ || e->kind > EFFECT_LEASE;
}

static bool no_messages(struct netkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	(void)k;
	(void)from;
	(void)to;
	(void)m;
	return false;
}

/* Commands as a user may make them, right or wrong. */
static struct command any_command(enum command_kind kind, struct chunk *chunk, const struct address *a)
{
	return (struct command){
		.kind = kind, .timeout = 4 * S, .address = *a, .chunk = chunk, .blob = chunk, .addresses = a, .count = 1,
		.acks = 2, .weight = 2, .zone = "z", .chunk_kind = KIND_DATA,
	};
}

static void every_command_is_answered_once_within_its_timeout(void **state)
{
	static const struct {
		bool disk, messages;
	} ways[] = { { true, true }, { false, true }, { true, false }, { false, false } };

	(void)state;
	for (unsigned int way = 0; way < 4; way++)
		for (enum command_kind kind = COMMAND_INSERT; kind <= COMMAND_MAINTENANCE; kind++) {
			struct netkit *k = settled(3, 10 + way);
			struct address a;
			struct chunk *chunk = make_chunk(1, &a);
			struct command c = any_command(kind, chunk, &a);
			uint64_t began = k->now;
			const struct effect *e;

			k->effect = ways[way].disk ? NULL : no_disk;
			k->filter = ways[way].messages ? NULL : no_messages;
			/* netkit ends the test where there are two. */
			e = netkit_ask(k, 1, &c);
			assert_true(k->now - began <= c.timeout);
			assert_true(e->result <= 0);
			netkit_run(k, 60 * S);
			if (!k->node[1].stopped)
				assert_int_equal(status(k, 1).commands, 0);
			chunk_drop(chunk);
			netkit_free(k);
		}
}

static void no_timeout_at_all_is_answered_at_once(void **state)
{
	struct netkit *k = settled(3, 3);
	struct address a;
	struct chunk *chunk = make_chunk(1, &a);

	(void)state;
	for (enum command_kind kind = COMMAND_INSERT; kind <= COMMAND_MAINTENANCE; kind++) {
		struct command c = any_command(kind, chunk, &a);
		uint64_t began = k->now;

		if (kind == COMMAND_LEAVE)
			continue;
		c.timeout = 1;
		netkit_ask(k, 1, &c);
		assert_true(k->now - began <= 1);
	}
	netkit_run(k, 60 * S);
	assert_int_equal(status(k, 1).commands, 0);
	chunk_drop(chunk);
	netkit_free(k);
}

/* ---- the end ---- */

static void a_node_that_has_left_answers_and_stops(void **state)
{
	struct netkit *k = settled(4, 5);
	struct command leave = { .kind = COMMAND_LEAVE, .timeout = 600 * S };

	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(insert(k, 3, i, 2, 0), 0);
	assert_int_equal(netkit_ask(k, 3, &leave)->result, 0);
	netkit_run(k, 20 * S);
	assert_true(k->node[3].stopped);
	assert_int_equal(node_deadline(k->node[3].node), UINT64_MAX);
	/* It is no use any more, and says so. */
	assert_int_equal(insert(k, 3, 100, 0, 0), -ESHUTDOWN);
	netkit_crash(k, 3);
	netkit_run(k, 20 * S);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(fetch(k, i % 3, i, 0), 0);
	assert_int_equal(status(k, 0).down, 0);
	netkit_free(k);
}

static void a_cloned_identity_stops_with_all_its_commands_answered(void **state)
{
	struct netkit *k = settled(3, 5);
	struct command c = { .kind = COMMAND_FETCH, .chunk_kind = KIND_DATA };
	struct event clone = { .kind = EVENT_LINK_DOWN, .link = 4711, .result = -EEXIST };
	struct event up = { .kind = EVENT_LINK_UP, .link = 4712, .key = k->node[2].key };
	struct effect e;
	uint64_t ticket;
	unsigned int stops = 0;

	(void)state;
	k->filter = no_messages;
	ticket = netkit_command(k, 1, &c);
	assert_null(netkit_reply(k, ticket));
	node_input(k->node[1].node, &clone, k->now);
	for (bool answered = false; node_poll(k->node[1].node, &e);) {
		if (e.kind == EFFECT_REPLY) {
			assert_false(answered);
			assert_int_equal(e.ticket, ticket);
			assert_int_equal(e.result, -ESHUTDOWN);
			answered = true;
		}
		stops += e.kind == EFFECT_STOP;
		if (e.kind == EFFECT_STOP)
			assert_true(answered && e.text[0]);
		effect_done(&e);
	}
	assert_int_equal(stops, 1);
	/* Whoever comes now is sent away, and that is all. */
	node_input(k->node[1].node, &up, k->now);
	assert_true(node_poll(k->node[1].node, &e));
	assert_true(e.kind == EFFECT_CLOSE && e.link == 4712);
	assert_false(node_poll(k->node[1].node, &e));
	/* What comes later does nothing, and leaks nothing. */
	netkit_run(k, 20 * S);
	assert_false(k->node[1].stopped);
	netkit_free(k);
}

static void an_evicted_node_stops_and_its_chunks_find_other_owners(void **state)
{
	struct netkit *k = settled(4, 5);
	struct command evict = { .kind = COMMAND_EVICT };
	struct member *m;

	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(insert(k, i % 4, i, 2, 0), 0);
	assert_int_equal(member_evict(&k->file.id, &k->node[2].id, k->admin, &m), 0);
	evict.blob = chunk_copy(m->bytes, m->len);
	assert_int_equal(netkit_ask(k, 0, &evict)->result, 0);
	chunk_drop(evict.blob);
	member_drop(m);
	netkit_run(k, 20 * S);
	assert_true(k->node[2].stopped);
	netkit_crash(k, 2);
	memory_catalogue_free(&k->node[2].disk);
	memory_catalogue_init(&k->node[2].disk, 0);
	assert_true(netkit_settle(k));
	netkit_run(k, 60 * S);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(fetch(k, i % 2, i, 0), 0);
	netkit_free(k);
}

static void a_node_may_be_freed_at_any_time(void **state)
{
	(void)state;
	for (uint64_t us = 0; us < 3 * S; us = us * 2 + 97) {
		struct netkit *k = netkit_new(3, us);
		struct address a;
		struct chunk *chunk = make_chunk(us, &a);

		netkit_start_all(k);
		netkit_run(k, us);
		for (enum command_kind kind = COMMAND_INSERT; kind <= COMMAND_MAINTENANCE; kind++) {
			struct command c = any_command(kind, chunk, &a);

			netkit_command(k, kind % 3, &c);
			netkit_run(k, us % 311);
		}
		chunk_drop(chunk);
		/* With all that is under way: a leak would show. */
		netkit_free(k);
	}
}

/* ---- what the driver is promised ---- */

static void one_run(unsigned int count, uint64_t seed, struct address *trace)
{
	struct netkit *k = settled(count, seed);

	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(insert(k, i % count, i, 2, 0), 0);
	netkit_crash(k, 1);
	netkit_run(k, 10 * S);
	netkit_start(k, 1);
	assert_true(netkit_settle(k));
	netkit_trace(k, trace);
	netkit_free(k);
}

static void the_same_events_give_the_same_effects(void **state)
{
	struct address a, b, other;

	(void)state;
	one_run(5, 77, &a);
	/* Memory lies elsewhere now, should it matter. */
	void *shift = test_malloc(12345);
	one_run(5, 77, &b);
	test_free(shift);
	one_run(5, 78, &other);
	assert_true(address_equal(&a, &b));
	assert_false(address_equal(&a, &other));
}

static void a_clock_that_steps_back_stands_still(void **state)
{
	struct netkit *k = settled(3, 2);
	struct command c = { .kind = COMMAND_INSERT, .chunk_kind = KIND_DATA, .timeout = 4 * S };
	struct effect e;
	uint64_t now, ticket;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t due = node_deadline(k->node[i].node);

		assert_true(due > k->now);
		node_input(k->node[i].node, &(struct event){ .kind = EVENT_TIME }, 5);
		assert_false(node_poll(k->node[i].node, &e));
		assert_int_equal(node_deadline(k->node[i].node), due);
	}
	assert_int_equal(insert(k, 0, 1, 2, 0), 0);
	/* A command that comes with an old time has its own time from the last event on. */
	netkit_run(k, 30 * S);
	k->effect = no_disk;
	now = k->now;
	k->now = 5;
	c.chunk = make_chunk(2, &c.address);
	ticket = netkit_command(k, 0, &c);
	chunk_drop(c.chunk);
	k->now = now;
	netkit_run(k, 2 * S);
	assert_null(netkit_reply(k, ticket));
	netkit_run(k, 2 * S);
	assert_int_equal(netkit_reply(k, ticket)->result, -ETIMEDOUT);
	netkit_free(k);
}

static void options_out_of_range_are_refused(void **state)
{
	struct netkit *k = netkit_new(1, 1);
	char zone[RING_ZONE_LEN + 2], address[MEMBER_ADDRESS_LEN + 2];
	struct node_options good = {
		.file = &k->file, .weight = 1, .zone = "", .address = { "a:1" }, .catalogue = &k->node[0].disk.catalogue,
	}, bad;
	struct node *n;

	(void)state;
	memset(zone, 'z', sizeof(zone));
	memset(address, 'a', sizeof(address));
	zone[sizeof(zone) - 1] = address[sizeof(address) - 1] = '\0';
	assert_int_equal(node_new(&good, &n), 0);
	node_free(n);
	node_free(NULL);
	bad = good;
	bad.weight = 0;
	assert_int_equal(node_new(&bad, &n), -EINVAL);
	bad.weight = RING_WEIGHT_MAX + 1;
	assert_int_equal(node_new(&bad, &n), -EINVAL);
	bad = good;
	bad.zone = zone;
	assert_int_equal(node_new(&bad, &n), -EINVAL);
	bad = good;
	bad.address[1] = address;
	assert_int_equal(node_new(&bad, &n), -EINVAL);
	bad = good;
	bad.file = NULL;
	assert_int_equal(node_new(&bad, &n), -EINVAL);
	bad = good;
	bad.catalogue = NULL;
	assert_int_equal(node_new(&bad, &n), -EINVAL);
	netkit_free(k);
}

static void memory_returns_to_its_base_after_load(void **state)
{
	enum { ROUNDS = 3, COMMANDS = 300 };
	struct netkit *k = settled(4, 12);
	size_t base[4], loaded = 0;
	uint64_t ticket[COMMANDS];

	(void)state;
	netkit_run(k, 30 * S);
	for (unsigned int i = 0; i < 4; i++)
		base[i] = status(k, i).memory;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < COMMANDS; i++) {
			struct command c = { .kind = i % 3 ? COMMAND_INSERT : COMMAND_FETCH, .acks = 2, .chunk_kind = KIND_DATA };
			struct chunk *chunk = make_chunk(round * 1000 + i, &c.address);

			c.chunk = i % 3 ? chunk : NULL;
			ticket[i] = netkit_command(k, i % 4, &c);
			chunk_drop(chunk);
		}
		assert_true(status(k, 1).commands > 0);
		loaded = status(k, 1).memory;
		assert_true(loaded > base[1] + COMMANDS / 6 * BYTES);
		netkit_run(k, 31 * S);
		for (unsigned int i = 0; i < COMMANDS; i++)
			assert_int_equal(netkit_reply(k, ticket[i])->result, i % 3 ? 0 : -ENOENT);
	}
	netkit_run(k, 1200 * S);
	for (unsigned int i = 0; i < 4; i++) {
		struct node_status s = status(k, i);

		print_message("# node %u: %zu bytes before, %zu after; loaded: %zu\n", i, base[i], s.memory, loaded);
		assert_int_equal(s.calls + s.commands + s.foreign, 0);
		/* What grew is tables that double, and what repair and deletion remember of 800 more records. */
		assert_true(s.memory < base[i] + 300 * 1024);
	}
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_alone_keeps_and_gives),
		cmocka_unit_test(what_one_node_inserts_another_one_fetches),
		cmocka_unit_test(the_loss_of_a_node_is_no_loss),
		cmocka_unit_test(not_there_is_said_only_when_all_owners_said_so),
		cmocka_unit_test(a_miss_of_a_new_disk_does_not_count),
		cmocka_unit_test(an_insert_that_cant_be_safe_says_so_and_is_kept_here),
		cmocka_unit_test(a_rotten_copy_is_never_given_and_is_healed),
		cmocka_unit_test(every_command_is_answered_once_within_its_timeout),
		cmocka_unit_test(no_timeout_at_all_is_answered_at_once),
		cmocka_unit_test(a_node_that_has_left_answers_and_stops),
		cmocka_unit_test(a_cloned_identity_stops_with_all_its_commands_answered),
		cmocka_unit_test(an_evicted_node_stops_and_its_chunks_find_other_owners),
		cmocka_unit_test(a_node_may_be_freed_at_any_time),
		cmocka_unit_test(the_same_events_give_the_same_effects),
		cmocka_unit_test(a_clock_that_steps_back_stands_still),
		cmocka_unit_test(options_out_of_range_are_refused),
		cmocka_unit_test(memory_returns_to_its_base_after_load),
	};

	return suite_run(tests);
}
