/* COMMAND_CONFIRM: who can prove that he has it, now. */
#include "dht/net/chunks.h"
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

#include <errno.h>

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];
static unsigned int owners;

/* It is here, and with all its owners. */
static void begin(bool mine)
{
	k = kit_start(8, 3);
	c = kit_find(k, mine, 1, &a);
	owners = kit_owners(k, &a, owner);
	for (unsigned int i = 0; i < owners; i++)
		kit_give(owner[i], &a, c);
	kit_keep(k, &a, c, mine ? STATE_OWNED : STATE_FOREIGN);
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static uint64_t confirm(uint64_t timeout)
{
	return kit_command(k, COMMAND_CONFIRM, &a, NULL, 0, timeout);
}

static void assert_count(uint64_t ticket, unsigned int count)
{
	struct kit_reply *r = kit_reply(k, ticket);

	assert_non_null(r);
	assert_int_equal(r->result, 0);
	assert_int_equal(r->count, count);
}

static void all_owners_that_prove_it_count_ourselves_too(void **state)
{
	(void)state;
	for (unsigned int mine = 0; mine < 2; mine++) {
		uint64_t t;

		begin(mine);
		t = confirm(5 * S);
		kit_run(k, 5 * MS);		/* one trip, all at once */
		assert_count(t, 3);
		finish();
	}
}

static void a_copy_of_ours_that_may_go_does_not_count(void **state)
{
	uint64_t t;

	(void)state;
	k = kit_start(8, 3);
	c = kit_find(k, true, 1, &a);
	owners = kit_owners(k, &a, owner);
	for (unsigned int i = 0; i < owners; i++)
		kit_give(owner[i], &a, c);
	kit_keep(k, &a, c, STATE_CACHED);
	t = confirm(5 * S);
	kit_run(k, 10 * MS);
	assert_count(t, 2);
	finish();
}

static void those_that_cannot_prove_it_do_not_count(void **state)
{
	static const unsigned int ways[] = { KIT_DOWN, KIT_UNREACHABLE, KIT_CUT, KIT_NO_READ, KIT_NO_FIELDS, KIT_WRONG_PROOF,
		KIT_SILENT };

	(void)state;
	for (unsigned int i = 0; i < sizeof ways / sizeof *ways; i++) {
		uint64_t t;

		begin(false);
		owner[1]->ways = ways[i];
		t = confirm(30 * S);
		kit_run(k, 15 * S);
		assert_count(t, 2);
		assert_int_equal(owner[1]->wrong, ways[i] == KIT_WRONG_PROOF || ways[i] == KIT_NO_FIELDS);
		finish();
	}
}

static void one_that_says_it_has_it_and_has_not_does_not_count(void **state)
{
	uint64_t t;

	(void)state;
	begin(false);
	kit_take(owner[2], &a);
	owner[2]->ways = KIT_FALSE_STORED;
	t = confirm(5 * S);
	kit_run(k, 5 * MS);
	assert_count(t, 2);
	finish();
}

static void no_answer_of_before_is_of_use(void **state)
{
	uint64_t t;

	(void)state;
	begin(false);
	t = confirm(5 * S);
	kit_run(k, 5 * MS);
	assert_count(t, 3);
	/* The peers were asked, and will be each time. */
	t = confirm(5 * S);
	kit_run(k, 5 * MS);
	assert_count(t, 3);
	assert_int_equal(owner[0]->audits, 2);
	assert_false(address_equal(&owner[0]->nonce[0], &owner[0]->nonce[1]));
	finish();
}

static void what_is_asked_can_only_be_told_with_our_secret(void **state)
{
	struct address ours, theirs;
	struct node other;

	(void)state;
	begin(true);
	other = *k->node;
	other.options.secret[0] ^= 1;
	proof_nonce(k->node, &ours);
	proof_nonce(&other, &theirs);
	assert_memory_equal(k->node->random, other.random, sizeof other.random);
	assert_memory_not_equal(ours.b, theirs.b, sizeof ours.b);
	finish();
}

static void without_a_copy_here_there_is_nothing_to_compare(void **state)
{
	struct address other;
	struct kit_reply *r;

	(void)state;
	begin(false);
	chunk_drop(kit_chunk(99, 100, &other));
	r = kit_reply(k, kit_command(k, COMMAND_CONFIRM, &other, NULL, 0, 5 * S));
	assert_non_null(r);
	assert_int_equal(r->result, -ENODATA);
	finish();
}

/* What was fetched is noted when the disk has rested: until then the catalogue does not know it. */
static void what_was_fetched_is_compared_with_once_it_is_noted(void **state)
{
	uint64_t t;

	(void)state;
	k = kit_start(8, 3);
	c = kit_find(k, false, 1, &a);
	owners = kit_owners(k, &a, owner);
	for (unsigned int i = 0; i < owners; i++)
		kit_give(owner[i], &a, c);
	k->hold_writes = true;
	t = kit_command(k, COMMAND_FETCH, &a, NULL, 0, 5 * S);
	kit_run(k, 10 * MS);
	assert_non_null(kit_reply(k, t));
	assert_int_equal(kit_reply(k, t)->result, 0);
	assert_int_equal(kit_state(k, &a), 0);
	t = confirm(5 * S);
	kit_run(k, 10 * MS);
	assert_null(kit_reply(k, t));
	k->hold_writes = false;
	kit_run(k, 10 * MS);
	assert_count(t, 3);
	finish();
}

static void a_bad_copy_here_is_an_error_and_is_healed(void **state)
{
	uint64_t t;

	(void)state;
	begin(false);
	memory_catalogue_rot(&k->disk, &a);
	t = confirm(5 * S);
	assert_non_null(kit_reply(k, t));
	assert_int_equal(kit_reply(k, t)->result, -EIO);
	kit_run(k, 1 * S);
	t = confirm(5 * S);
	kit_run(k, 5 * MS);
	assert_count(t, 3);
	finish();
}

static void its_time_is_kept(void **state)
{
	uint64_t t;

	(void)state;
	begin(false);
	owner[0]->ways = KIT_SILENT;
	t = confirm(3 * S);
	kit_run(k, 3 * S - 1);
	assert_null(kit_reply(k, t));
	kit_run(k, 1);
	assert_int_equal(kit_reply(k, t)->result, -ETIMEDOUT);
	assert_true(list_empty(&k->calls));
	finish();
}

static void alone_we_count_ourselves(void **state)
{
	uint64_t t;

	(void)state;
	k = kit_start(0, 3);
	ring_free(k->ring);
	k->ring = NULL;
	c = kit_chunk(1, 100, &a);
	kit_keep(k, &a, c, STATE_FOREIGN);
	t = confirm(5 * S);
	assert_count(t, 0);		/* no table yet: nobody is an owner */
	kit_table(k, 0, false);
	t = confirm(5 * S);
	assert_count(t, 1);
	finish();
}

static void a_node_can_stop_at_any_moment(void **state)
{
	(void)state;
	for (unsigned int ms = 0; ms < 8; ms++) {
		begin(ms % 2);
		owner[0]->ways = KIT_SILENT;
		k->hold_disk = ms == 7;
		confirm(5 * S);
		kit_run(k, ms * MS);
		assert_true(fetch_machine.memory(k->node) > 0);
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_owners_that_prove_it_count_ourselves_too),
		cmocka_unit_test(a_copy_of_ours_that_may_go_does_not_count),
		cmocka_unit_test(those_that_cannot_prove_it_do_not_count),
		cmocka_unit_test(one_that_says_it_has_it_and_has_not_does_not_count),
		cmocka_unit_test(no_answer_of_before_is_of_use),
		cmocka_unit_test(what_is_asked_can_only_be_told_with_our_secret),
		cmocka_unit_test(without_a_copy_here_there_is_nothing_to_compare),
		cmocka_unit_test(what_was_fetched_is_compared_with_once_it_is_noted),
		cmocka_unit_test(a_bad_copy_here_is_an_error_and_is_healed),
		cmocka_unit_test(its_time_is_kept),
		cmocka_unit_test(alone_we_count_ourselves),
		cmocka_unit_test(a_node_can_stop_at_any_moment),
	};

	return suite_run(tests);
}
