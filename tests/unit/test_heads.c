#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dht/net/heads.h"
#include "tests/lib/volumekit.h"

static struct netkit *ring_of(unsigned int count, uint64_t seed)
{
	struct netkit *k = netkit_new(count, seed);

	netkit_start_all(k);
	assert_true(netkit_settle(k));
	return k;
}

static int swap(struct netkit *k, unsigned int at, const struct volumekit *v, struct chunk *head, const struct chunk *previous)
{
	struct command c = { .kind = COMMAND_SWAP, .address = v->id, .blob = head };

	volumekit_hash(previous, &c.previous);
	return netkit_ask(k, at, &c)->result;
}

/* The head that ${at} is told, or why none. */
static int ask(struct netkit *k, unsigned int at, const struct volumekit *v, const struct chunk *expected)
{
	struct command c = { .kind = COMMAND_HEAD, .address = v->id };
	const struct effect *e = netkit_ask(k, at, &c);

	if (e->result == 0 && expected) {
		assert_int_equal(e->blob->len, expected->len);
		assert_memory_equal(e->blob->data, expected->data, expected->len);
	}
	return e->result;
}

static void a_chain_of_heads_is_written_and_read_by_anyone(void **state)
{
	struct netkit *k = ring_of(5, 1);
	struct chunk *head, *before = NULL;
	struct volumekit v;

	(void)state;
	volumekit_make(k, 1, &v);
	assert_int_equal(ask(k, 3, &v, NULL), -ENOENT);
	for (uint64_t seq = 1; seq <= 5; seq++) {
		head = volumekit_head(&v, seq, before, seq);
		assert_int_equal(swap(k, 1, &v, head, before), 0);
		for (unsigned int i = 0; i < 5; i++)
			assert_int_equal(ask(k, i, &v, head), 0);
		chunk_drop(before);
		before = head;
	}
	chunk_drop(before);
	netkit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_of_heads_is_written_and_read_by_anyone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
