/* COMMAND_WHERE: who is to have an address, and who has it, now. */
#include "dht/net/chunks.h"
#include "dht/net/where.h"
#include "tests/lib/chunkkit.h"
#include "tests/lib/suite.h"

#include <errno.h>

static struct kit *k;
static struct chunk *c;
static struct address a;
static struct kit_peer *owner[RING_REPLICAS_MAX];
static unsigned int owners;

/* All owners have it, and we, where ${states} say so. */
static void begin(bool mine, unsigned int states)
{
	k = kit_start(40, 3);
	c = kit_find(k, mine, 1, &a);
	owners = kit_owners(k, &a, owner);
	for (unsigned int i = 0; i < owners; i++)
		kit_give(owner[i], &a, c);
	if (states)
		kit_keep(k, &a, c, states);
}

static void finish(void)
{
	chunk_drop(c);
	kit_end(k);
}

static struct kit_reply *ask(void)
{
	uint64_t t = kit_command(k, COMMAND_WHERE, &a, NULL, 0, 30 * S);
	struct kit_reply *r;

	kit_run(k, 15 * S);
	r = kit_reply(k, t);
	assert_non_null(r);
	assert_int_equal(r->result, 0);
	assert_non_null(r->blob);
	return r;
}

/* Of ${id}; 0: there is no line of it. */
static enum where_state state_of(const struct kit_reply *r, const struct address *id)
{
	struct where_line l;

	for (unsigned int i = 0; where_read(r->blob, i, &l); i++)
		if (address_equal(&l.id, id))
			return l.state;
	return 0;
}

static unsigned int lines(const struct kit_reply *r, bool owning)
{
	struct where_line l;
	unsigned int count = 0;

	for (unsigned int i = 0; where_read(r->blob, i, &l); i++)
		count += l.owner == owning;
	return count;
}

static void owners_come_first_and_prove_what_we_have_too(void **state)
{
	struct kit_reply *r;
	struct where_line l;

	(void)state;
	begin(false, STATE_FOREIGN);
	r = ask();
	assert_int_equal(lines(r, true), 3);
	assert_true(lines(r, false) == FETCH_SPARES || lines(r, false) == FETCH_SPARES + 1);	/* us, from further away */
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(where_read(r->blob, i, &l));
		assert_true(l.owner);
		assert_true(address_equal(&l.id, &owner[i]->peer.id));
		assert_int_equal(l.state, WHERE_PROVED);
	}
	assert_int_equal(state_of(r, &kit_walk(k, &a, 3)->peer.id), WHERE_LACKS);
	finish();
}

static void without_a_copy_here_it_is_their_word(void **state)
{
	struct kit_reply *r;

	(void)state;
	begin(false, 0);
	owner[1]->ways = KIT_WRONG_PROOF;
	kit_take(owner[2], &a);
	r = ask();
	assert_int_equal(state_of(r, &owner[0]->peer.id), WHERE_SAYS);
	assert_int_equal(state_of(r, &owner[1]->peer.id), WHERE_SAYS);
	assert_int_equal(owner[1]->wrong, 0);
	assert_int_equal(state_of(r, &owner[2]->peer.id), WHERE_LACKS);
	assert_int_equal(r->count, 2);
	finish();
}

static void each_way_to_have_nothing_has_its_name(void **state)
{
	static const struct {
		unsigned int ways;
		enum where_state state;
	} cases[] = {
		{ KIT_DOWN, WHERE_DOWN }, { KIT_UNREACHABLE, WHERE_DOWN }, { KIT_SILENT, WHERE_SILENT },
		{ KIT_CUT, WHERE_SILENT }, { KIT_WRONG_PROOF, WHERE_WRONG }, { KIT_NO_READ, WHERE_LACKS },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kit_reply *r;

		begin(false, STATE_FOREIGN);
		owner[1]->ways = cases[i].ways;
		r = ask();
		assert_int_equal(state_of(r, &owner[1]->peer.id), cases[i].state);
		assert_int_equal(state_of(r, &owner[2]->peer.id), WHERE_PROVED);
		finish();
	}
}

static void our_own_copy_counts_when_it_stays(void **state)
{
	struct kit_reply *r;

	(void)state;
	begin(true, STATE_OWNED);
	r = ask();
	assert_int_equal(state_of(r, &k->node->id), WHERE_PROVED);
	assert_int_equal(r->count, 3);
	finish();
	begin(true, STATE_CACHED);
	r = ask();
	assert_int_equal(state_of(r, &k->node->id), WHERE_CACHED);
	assert_int_equal(r->count, 2);
	finish();
	begin(true, 0);
	r = ask();
	assert_int_equal(state_of(r, &k->node->id), WHERE_LACKS);
	finish();
}

static void it_ends_in_time_and_with_the_node(void **state)
{
	uint64_t t;

	(void)state;
	begin(false, STATE_FOREIGN);
	owner[0]->ways = KIT_SILENT;
	t = kit_command(k, COMMAND_WHERE, &a, NULL, 0, 1 * S);
	kit_run(k, 2 * S);
	assert_int_equal(kit_reply(k, t)->result, -ETIMEDOUT);
	kit_command(k, COMMAND_WHERE, &a, NULL, 0, 5 * S);
	assert_true(where_memory(k->node) > 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owners_come_first_and_prove_what_we_have_too),
		cmocka_unit_test(without_a_copy_here_it_is_their_word),
		cmocka_unit_test(each_way_to_have_nothing_has_its_name),
		cmocka_unit_test(our_own_copy_counts_when_it_stays),
		cmocka_unit_test(it_ends_in_time_and_with_the_node),
	};

	return suite_run(tests);
}
