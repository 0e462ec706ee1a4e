/*
 * Whole nodes whose disks differ.  SEED=n replays; SOAK=1 makes them large.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/trie.h"
#include "tests/lib/address_catalogue.h"
#include "tests/lib/repairkit.h"
#include "tests/lib/suite.h"
#include "tests/lib/volumekit.h"

static uint64_t seed;

/* A ring of nodes that run and are complete, each with its chunks and all leases. */
static struct repairkit *ring_of(unsigned int nodes, unsigned int chunks, uint32_t len)
{
	struct repairkit *k = repairkit_ring(nodes, nodes, chunks, len, seed);

	netkit_run(k->net, 5 * S);	/* and that they are complete is on their disks */
	return k;
}

static void gone(struct repairkit *k, unsigned int node, unsigned int i)
{
	const struct effect e = { .kind = EFFECT_STATES, .address = k->address[i] };
	struct event done;

	memory_catalogue_apply(&k->net->node[node].disk, &e, &done);
	assert_int_equal(done.result, 0);
}

/* ---- a pair ---- */

static void where_nothing_is_missing_a_pair_spends_one_round_of_64_bytes(void **state)
{
	struct repairkit *k = ring_of(2, 300, 200);
	uint64_t compared;

	(void)state;
	netkit_run(k->net, REPAIR_EVERY);
	repairkit_forget(k);
	netkit_run(k->net, 6 * REPAIR_EVERY);
	compared = k->traffic.requests[WIRE_TRIE];
	printf("# an hour: %llu comparisons, %llu bytes\n", (unsigned long long)compared,
	    (unsigned long long)repairkit_repair(k));
	assert_in_range(compared, 5, 8);	/* of both sides together */
	assert_true(repairkit_repair(k) <= 64 * compared);
	assert_int_equal(k->traffic.by_type[WIRE_TRIE], repairkit_repair(k));
	repairkit_free(k);
}

static void what_each_of_two_lacks_comes_from_the_other(void **state)
{
	struct repairkit *k = ring_of(2, 2000, 200);

	(void)state;
	netkit_crash(k->net, 0);
	netkit_crash(k->net, 1);
	for (unsigned int i = 0; i < k->chunks; i += 50)
		gone(k, i / 50 % 2, i);
	repairkit_forget(k);
	netkit_start_all(k->net);
	assert_true(repairkit_place(k, 60 * S));
	printf("# 40 of 2000 missing: %llu bytes of repair\n", (unsigned long long)repairkit_repair(k));
	for (unsigned int type = 0; type < WIRE_ANSWER; type++)
		if (k->traffic.by_type[type])
			printf("#   %s: %llu, %llu bytes\n", wire_type_name(type), (unsigned long long)k->traffic.requests[type],
			    (unsigned long long)k->traffic.by_type[type]);
	assert_int_equal(k->traffic.requests[WIRE_GET], 40);
	repairkit_free(k);
}

/* Its slots are complete, by what its disk says; what was written since did not fit. */
static void an_owner_whose_disk_is_full_is_not_blamed_and_filled_when_there_is_room(void **state)
{
	struct repairkit *k = ring_of(3, 60, 200);
	struct memory_catalogue *disk = &k->net->node[2].disk;
	uint64_t room = disk->catalogue.space(&disk->catalogue);
	unsigned int lacks = 0;

	(void)state;
	netkit_crash(k->net, 2);
	for (unsigned int i = 0; i < k->chunks; i += 2)
		gone(k, 2, i);
	disk->space = 0;
	netkit_start(k->net, 2);
	netkit_run(k->net, 60 * AUDIT_EVERY);
	for (unsigned int i = 0; i < k->chunks; i++)
		lacks += !repairkit_state(k, 2, i);
	assert_int_equal(lacks, 30);
	for (unsigned int node = 0; node < 3; node++)
		assert_int_equal(repairkit_node(k, node)->status.wrong_answers, 0);
	disk->space = room;
	assert_true(repairkit_place(k, 2 * REPAIR_EVERY));
	repairkit_free(k);
}

/* It was away while they were written, and catches up from slow disks. */
static void an_owner_that_catches_up_is_not_blamed(void **state)
{
	struct repairkit *k = ring_of(3, 3000, 200);
	uint64_t delay = k->net->disk_delay, began;

	(void)state;
	netkit_crash(k->net, 2);
	for (unsigned int i = 0; i < k->chunks; i += 2)
		gone(k, 2, i);
	k->net->disk_delay = 2 * S;
	began = k->net->now;
	netkit_start(k->net, 2);
	assert_true(repairkit_place(k, 60 * AUDIT_EVERY));
	printf("# 1500 chunks fetched in %llu s\n", (unsigned long long)((k->net->now - began) / S));
	assert_true(k->net->now - began > 3 * AUDIT_EVERY);
	k->net->disk_delay = delay;
	for (unsigned int node = 0; node < 3; node++)
		assert_int_equal(repairkit_node(k, node)->status.wrong_answers, 0);
	repairkit_free(k);
}

static bool odd(unsigned int i)
{
	return i % 2;
}

static void what_no_lease_has_is_not_copied(void **state)
{
	struct repairkit *k = repairkit_new(2, 400, 200, seed);
	unsigned int copied = 0;

	(void)state;
	repairkit_put_all(k, 0);
	repairkit_lease(k, 0, 1, odd);
	netkit_start_all(k->net);
	assert_true(netkit_settle(k->net));
	netkit_run(k->net, 20 * S);
	for (unsigned int i = 0; i < k->chunks; i++) {
		assert_int_equal((repairkit_state(k, 1, i) & STATE_OWNED) != 0, odd(i));
		copied += repairkit_copies(k, i) == 2;
	}
	assert_int_equal(copied, 200);
	repairkit_free(k);
}

/* Its writer inserted it, and an owner lost its disk before any lease was made.  LEASE_LOOK bounds how many are looked at. */
static void what_a_new_lease_holds_and_its_owner_lacks_is_looked_for_soon(void **state)
{
	struct repairkit *k = repairkit_new(2, 60, 200, seed);
	struct volumekit v;
	unsigned int copied = 0;

	(void)state;
	repairkit_put_all(k, 0);
	netkit_start_all(k->net);
	assert_true(netkit_settle(k->net));
	/* Long after one comparison, long before the next. */
	netkit_run(k->net, 2 * REPAIR_EVERY + REPAIR_EVERY / 2);
	volumekit_make(k->net, 1, &v);
	for (unsigned int i = 0; i < k->chunks; i++) {
		struct command c = { .kind = COMMAND_LEASE, .addresses = &k->address[i], .count = 1 };

		assert_int_equal(repairkit_copies(k, i), 1);
		c.blob = volumekit_lease(&v, ring_slot(&k->address[i]), 1, &k->address[i], 1);
		netkit_command(k->net, 0, &c);
		chunk_drop(c.blob);
	}
	netkit_run(k->net, REPAIR_AGAIN * 3 / 2);
	for (unsigned int i = 0; i < k->chunks; i++)
		copied += repairkit_copies(k, i) == 2;
	/* An audit finds one in ten seconds; two may share a slot, of which one lease counts. */
	assert_true(copied > k->chunks - 4);
	repairkit_free(k);
}

static bool all_leased(struct repairkit *k, unsigned int node, bool (*kept)(unsigned int i))
{
	struct catalogue *c = &k->net->node[node].disk.catalogue;

	for (unsigned int i = 0; i < k->chunks; i++)
		if (c->leased(c, &k->address[i]) != (!kept || kept(i)))
			return false;
	return true;
}

/* The newer lease holds less, so neither lacks a chunk, and still they differ. */
static void the_newer_lease_comes_to_who_has_an_older_one(void **state)
{
	(void)state;
	for (unsigned int newer = 0; newer < 2; newer++) {
		struct repairkit *k = ring_of(2, 100, 200);

		netkit_crash(k->net, 0);
		netkit_crash(k->net, 1);
		repairkit_lease(k, newer, 2, odd);
		netkit_start_all(k->net);
		netkit_run(k->net, REPAIR_EVERY / 4);
		assert_true(all_leased(k, 0, odd));
		assert_true(all_leased(k, 1, odd));
		repairkit_free(k);
	}
}

/* ---- many addresses ---- */

/* Two disks that have, besides what is really there, so many addresses that only the trie ever looks at. */
static struct bulk {
	struct catalogue real;
	struct address_catalogue here;
	struct memory_catalogue *disk;
} bulk[2];

static struct bulk *bulk_of(struct catalogue *c)
{
	return &bulk[(struct memory_catalogue *)c == bulk[1].disk];
}

static bool bulk_has(struct bulk *b, const struct address *a)
{
	struct address first;

	return b->here.catalogue.list(&b->here.catalogue, a, 0, 1, &first) && address_equal(&first, a);
}

static unsigned int bulk_state(struct catalogue *c, const struct address *a)
{
	struct bulk *b = bulk_of(c);
	unsigned int real = b->real.state(c, a);

	return bulk_has(b, a) ? STATE_OWNED | STATE_LEASED : real ? real | STATE_LEASED : 0;
}

static bool bulk_leased(struct catalogue *c, const struct address *a)
{
	(void)c;
	(void)a;
	return true;
}

static size_t bulk_list(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out)
{
	struct bulk *b = bulk_of(c);
	struct address real[128];
	size_t got, reals, all = 0, i = 0, k = 0, want = n < 128 ? n : 128;
	struct address *many;

	if (!(states & STATE_OWNED) || !(states & STATE_LEASED))
		return b->real.list(c, from, states, n, out);
	reals = b->real.list(c, from, states & ~(unsigned int)STATE_LEASED, want, real);
	many = malloc((n + 1) * sizeof(*many));
	assert_non_null(many);
	got = b->here.catalogue.list(&b->here.catalogue, from, states, n, many);
	while (all < n && (i < got || k < reals))
		out[all++] = k == reals || (i < got && address_compare(&many[i], &real[k]) < 0) ? many[i++] : real[k++];
	free(many);
	return all;
}

static void bulk_fill(struct repairkit *k, size_t addresses)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct catalogue *c = &k->net->node[i].disk.catalogue;

		bulk[i].real = *c;
		bulk[i].disk = &k->net->node[i].disk;
		address_catalogue_init(&bulk[i].here);
		address_catalogue_fill(&bulk[i].here, addresses, seed);
		c->state = bulk_state;
		c->list = bulk_list;
		c->leased = bulk_leased;
	}
}

static void of_many_addresses_a_hundred_are_found_in_few_bytes(void **state)
{
	size_t addresses = getenv("SOAK") ? 1000000 : 100000;
	struct repairkit *k = repairkit_new(2, 100, 200, seed);
	struct node_status status;
	uint64_t reads;

	(void)state;
	bulk_fill(k, addresses);
	netkit_start_all(k->net);
	assert_true(netkit_settle(k->net));
	netkit_run(k->net, REPAIR_EVERY);
	repairkit_forget(k);
	reads = bulk[0].here.reads;
	netkit_run(k->net, 3 * REPAIR_EVERY);
	printf("# %zu addresses, none missing: %llu bytes in %llu rounds, %llu addresses read\n", addresses,
	    (unsigned long long)repairkit_repair(k), (unsigned long long)k->traffic.requests[WIRE_TRIE],
	    (unsigned long long)(bulk[0].here.reads - reads));
	assert_true(repairkit_repair(k) <= 64 * k->traffic.requests[WIRE_TRIE]);
	assert_in_range(bulk[0].here.reads - reads, 0, 2000);	/* audit's */
	node_status(k->net->node[0].node, &status);
	printf("# memory of the node: %zu\n", status.memory);
	assert_true(status.memory < 2 * addresses + (2u << 20));

	netkit_crash(k->net, 0);
	netkit_crash(k->net, 1);
	for (unsigned int i = 0; i < k->chunks; i++)
		repairkit_put(k, i % 2, i);
	repairkit_forget(k);
	netkit_start_all(k->net);
	assert_true(repairkit_place(k, 120 * S));
	netkit_run(k->net, 10 * S);
	printf("# 100 missing: %llu bytes in %llu rounds\n", (unsigned long long)repairkit_repair(k),
	    (unsigned long long)k->traffic.requests[WIRE_TRIE]);
	assert_int_equal(k->traffic.requests[WIRE_GET], 100);
	assert_true(repairkit_repair(k) <= 130000);
	repairkit_free(k);
	address_catalogue_free(&bulk[0].here);
	address_catalogue_free(&bulk[1].here);
}

/* ---- a lost disk ---- */

static void a_lost_disk_is_filled_again_for_hardly_more_than_was_lost(void **state)
{
	unsigned int chunks = getenv("SOAK") ? 100000 : 1000;
	struct repairkit *k = ring_of(4, chunks, getenv("SOAK") ? 2048 : 8192);
	uint64_t lost = 0;

	(void)state;
	for (unsigned int i = 0; i < k->chunks; i++)
		lost += repairkit_owner(k, 2, i) ? k->len : 0;
	netkit_crash(k->net, 2);
	netkit_wipe(k->net, 2);
	repairkit_forget(k);
	netkit_start(k->net, 2);
	assert_true(repairkit_place(k, 3600 * S));
	assert_true(netkit_settle(k->net));
	printf("# %u chunks, %llu bytes lost: %llu bytes of traffic, %.3f\n", chunks, (unsigned long long)lost,
	    (unsigned long long)k->traffic.bytes, (double)k->traffic.bytes / (double)lost);
	for (unsigned int type = 0; type < WIRE_ANSWER; type++)
		if (k->traffic.by_type[type])
			printf("#   %s: %llu, %llu bytes\n", wire_type_name(type), (unsigned long long)k->traffic.requests[type],
			    (unsigned long long)k->traffic.by_type[type]);
	assert_true(k->traffic.bytes <= lost + lost * 3 / 10);
	repairkit_free(k);
}

/* Nobody tells of the leases of the upper half of all slots. */
static bool lower_half_only(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	struct message question;

	(void)k;
	(void)from;
	(void)to;
	if (m->type != WIRE_LEASES)
		return true;
	assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &question), 0);
	return question.slot < RING_SLOTS / 2;
}

static void chunks_do_not_wait_for_the_leases_of_all_slots(void **state)
{
	struct repairkit *k = ring_of(2, 400, 200);
	unsigned int below = 0, came = 0;

	(void)state;
	netkit_crash(k->net, 1);
	netkit_wipe(k->net, 1);
	k->meddle = lower_half_only;
	netkit_start(k->net, 1);
	netkit_run(k->net, 5 * S);
	for (unsigned int i = 0; i < k->chunks; i++) {
		below += ring_slot(&k->address[i]) < RING_SLOTS / 2;
		came += (repairkit_state(k, 1, i) & STATE_OWNED) != 0;
	}
	assert_in_range(below, 150, 250);
	assert_in_range(came, below / 2, below);	/* then the calls that are not answered take all places */
	k->meddle = NULL;
	assert_true(repairkit_place(k, 300 * S));
	assert_true(netkit_settle(k->net));
	repairkit_free(k);
}

/* Chunks that come, by whatever way: k->user counts them. */
static bool count_chunks(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	*(unsigned int *)k->user += repairkit_question(k, from, to, m) == WIRE_GET && m->type == WIRE_ANSWER && m->body->len > k->len;
	return true;
}

static void a_restart_amid_repair_loses_nothing_and_asks_for_nothing_twice(void **state)
{
	struct repairkit *k = ring_of(3, 800, 200);
	unsigned int restarts = 0, chunks = 0;

	(void)state;
	netkit_crash(k->net, 1);
	netkit_wipe(k->net, 1);
	k->user = &chunks;
	k->meddle = count_chunks;
	for (netkit_start(k->net, 1); restarts < 8; restarts++) {
		netkit_run(k->net, 1100 * MS + restarts * 50 * MS);
		netkit_crash(k->net, restarts % 2);
		netkit_run(k->net, 100 * MS);
		netkit_start(k->net, restarts % 2);
	}
	assert_true(repairkit_place(k, 300 * S));
	assert_true(netkit_settle(k->net));
	assert_in_range(chunks, 800, 800 + 8 * REPAIR_PULLS);
	repairkit_free(k);
}

/* ---- spares ---- */

static unsigned int fewest_copies(struct repairkit *k)
{
	unsigned int fewest = 99;

	for (unsigned int i = 0; i < k->chunks; i++)
		fewest = repairkit_copies(k, i) < fewest ? repairkit_copies(k, i) : fewest;
	return fewest;
}

static unsigned int count_foreign(struct repairkit *k)
{
	unsigned int count = 0;

	for (unsigned int node = 0; node < k->net->count; node++)
		for (unsigned int i = 0; k->net->node[node].node && i < k->chunks; i++)
			count += (repairkit_state(k, node, i) & STATE_FOREIGN) != 0;
	return count;
}

static void while_an_owner_is_down_for_long_the_next_on_the_walk_has_a_spare(void **state)
{
	struct repairkit *k = ring_of(6, 400, 500);
	unsigned int lost = 0;
	uint64_t got;

	(void)state;
	for (unsigned int i = 0; i < k->chunks; i++)
		lost += repairkit_owner(k, 3, i);
	netkit_crash(k->net, 3);
	netkit_run(k->net, SPARE_AFTER - 30 * S);
	assert_int_equal(count_foreign(k), 0);
	assert_int_equal(fewest_copies(k), 2);
	repairkit_forget(k);
	netkit_run(k->net, 200 * S);
	assert_int_equal(fewest_copies(k), 3);
	assert_int_equal(count_foreign(k), lost);	/* one each, no more */
	got = k->traffic.requests[WIRE_GET];
	assert_in_range(got, 1, lost);		/* some were there, cached */
	netkit_run(k->net, SPARE_AGAIN + 600 * S);
	assert_int_equal(k->traffic.requests[WIRE_GET], got);
	netkit_start(k->net, 3);
	assert_true(repairkit_place(k, 300 * S));	/* the spares are only cached now */
	repairkit_free(k);
}

static void two_owners_that_are_down_have_two_spares(void **state)
{
	struct repairkit *k = ring_of(9, 300, 300);

	(void)state;
	netkit_crash(k->net, 3);
	netkit_crash(k->net, 5);
	netkit_run(k->net, SPARE_AFTER + 200 * S);
	assert_int_equal(fewest_copies(k), 3);
	for (unsigned int i = 0; i < k->chunks; i++)
		assert_int_equal(repairkit_copies(k, i), 3);
	repairkit_free(k);
}

static void where_more_than_a_quarter_is_down_no_spare_is_made(void **state)
{
	struct repairkit *k = ring_of(6, 100, 300);

	(void)state;
	netkit_crash(k->net, 3);
	netkit_crash(k->net, 4);
	netkit_run(k->net, 2 * SPARE_AFTER);
	assert_int_equal(count_foreign(k), 0);
	repairkit_free(k);
}

/* ---- liars ---- */

/* What node 1 says of its trie is made up: hashes of anything, many below each place. */
static bool lies_about_hashes(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	static bool root;		/* the last question began at the root, of which 12 of 16 children can't be */
	struct message answer;
	struct wire_hash hash[WIRE_HASHES_MAX];
	uint8_t count[WIRE_PATHS_MAX * WIRE_COUNT_LEN], *data;

	if (to == 1 && m->type == WIRE_TRIE) {
		struct wire_path path = { .depth = 1 };

		assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &answer), 0);
		if (answer.path_count)
			wire_path(&answer, 0, &path);
		root = path.depth == 0;
	}
	if (from != 1 || repairkit_question(k, from, to, m) != WIRE_TRIE || m->type != WIRE_ANSWER)
		return true;
	assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &answer), 0);
	if (!(answer.has & WIRE_HAS(FIELD_COUNTS))) {
		answer.status = WIRE_MISS;
	} else {
		for (unsigned int i = 0; i < answer.count_count * 16; i++)
			memset(&hash[i], root && i > 3 ? 0 : (int)(1 + (k->traffic.messages + i) % 255), sizeof(hash[i]));
		for (unsigned int i = 0; i < answer.count_count; i++)
			wire_count_put(1000000, count + i * WIRE_COUNT_LEN);
		answer.hashes = hash;
		answer.hash_count = answer.count_count * 16;
		answer.counts_bytes = count;
		answer.address_count = 0;
		answer.has = (answer.has | WIRE_HAS(FIELD_HASHES)) & ~WIRE_HAS(FIELD_ADDRESSES);
	}
	chunk_drop(m->body);
	m->body = chunk_new(wire_size(&answer, false), &data);
	assert_true(wire_encode(&answer, false, data, m->body->len) >= 0);
	return true;
}

/* And its lists never end: made-up addresses, each behind the last. */
static bool lists_for_ever(struct repairkit *k, unsigned int from, unsigned int to, struct link_message *m)
{
	static struct address next, made[WIRE_ADDRESSES_MAX];
	struct message message;
	uint8_t *data;

	if (m->type == WIRE_LIST && to == 1) {
		struct wire_path path;

		assert_int_equal(wire_decode(m->type, m->request, m->body->data, m->body->len, &message), 0);
		wire_path(&message, 0, &path);
		memset(&next, 0, sizeof(next));
		for (unsigned int i = 0; i < 8; i++)	/* two zero bits in front */
			next.b[i] = (uint8_t)(path.nibbles[i] << 2 | (i < 7 ? path.nibbles[i + 1] >> 6 : 0));
		if (message.has & WIRE_HAS(FIELD_ADDRESS))
			next = message.address;
	}
	if (!lies_about_hashes(k, from, to, m) || from != 1 || m->type != WIRE_ANSWER ||
	    repairkit_question(k, from, to, m) != WIRE_LIST)
		return true;
	for (unsigned int i = 0; i < WIRE_ADDRESSES_MAX; i++) {
		assert_true(trie_after(&next, &next));
		made[i] = next;
	}
	message = (struct message){ .type = WIRE_ANSWER, .request = m->request, .has = WIRE_HAS(FIELD_ADDRESSES),
		.addresses = made, .address_count = WIRE_ADDRESSES_MAX, .more = true };
	chunk_drop(m->body);
	m->body = chunk_new(wire_size(&message, false), &data);
	assert_true(wire_encode(&message, false, data, m->body->len) >= 0);
	return true;
}

static void a_liar_costs_bounded_work_and_keeps_nobody_from_being_repaired(void **state)
{
	bool (*const lies[])(struct repairkit *, unsigned int, unsigned int, struct link_message *) = {
		lies_about_hashes, lists_for_ever,
	};

	(void)state;
	for (unsigned int kind = 0; kind < 2; kind++) {
		struct repairkit *k = ring_of(3, 1000, 200);

		netkit_crash(k->net, 0);
		for (unsigned int i = 0; i < k->chunks; i += 100)
			gone(k, 0, i);
		k->meddle = lies[kind];
		repairkit_forget(k);
		netkit_start(k->net, 0);
		netkit_run(k->net, 30 * S);
		for (unsigned int i = 0; i < k->chunks; i++)
			assert_true(repairkit_state(k, 0, i) & STATE_OWNED);
		netkit_run(k->net, REPAIR_EVERY * 4 / 5);
		printf("# %llu questions and %llu lists in ten minutes\n", (unsigned long long)k->traffic.requests[WIRE_TRIE],
		    (unsigned long long)k->traffic.requests[WIRE_LIST]);
		/* two of them compare with the liar, once each */
		assert_true(k->traffic.requests[WIRE_TRIE] <= 2 * REPAIR_FRUITLESS / 64 + 100);
		assert_true(k->traffic.requests[WIRE_LIST] <= 2 * REPAIR_FRUITLESS / 64 + 100);
		repairkit_free(k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_nothing_is_missing_a_pair_spends_one_round_of_64_bytes),
		cmocka_unit_test(what_each_of_two_lacks_comes_from_the_other),
		cmocka_unit_test(an_owner_whose_disk_is_full_is_not_blamed_and_filled_when_there_is_room),
		cmocka_unit_test(an_owner_that_catches_up_is_not_blamed),
		cmocka_unit_test(what_no_lease_has_is_not_copied),
		cmocka_unit_test(what_a_new_lease_holds_and_its_owner_lacks_is_looked_for_soon),
		cmocka_unit_test(the_newer_lease_comes_to_who_has_an_older_one),
		cmocka_unit_test(of_many_addresses_a_hundred_are_found_in_few_bytes),
		cmocka_unit_test(a_lost_disk_is_filled_again_for_hardly_more_than_was_lost),
		cmocka_unit_test(chunks_do_not_wait_for_the_leases_of_all_slots),
		cmocka_unit_test(a_restart_amid_repair_loses_nothing_and_asks_for_nothing_twice),
		cmocka_unit_test(while_an_owner_is_down_for_long_the_next_on_the_walk_has_a_spare),
		cmocka_unit_test(two_owners_that_are_down_have_two_spares),
		cmocka_unit_test(where_more_than_a_quarter_is_down_no_spare_is_made),
		cmocka_unit_test(a_liar_costs_bounded_work_and_keeps_nobody_from_being_repaired),
	};

	seed = suite_seed(1);
	return suite_run(tests);
}
