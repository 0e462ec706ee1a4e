#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/touches.h"
#include "tests/lib/suite.h"

/* Any number's address: a hash, as all are. */
static struct address address_no(uint64_t i)
{
	struct address a;
	uint8_t bytes[8];

	put_le64(bytes, i);
	crypto_generichash(a.b, sizeof(a.b), bytes, sizeof(bytes), NULL, 0);
	return a;
}

static void add(struct touches *t, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		const struct address a = address_no(i);

		touches_add(t, &a);
	}
}

static unsigned int known(const struct touches *t, uint64_t from, uint64_t to)
{
	unsigned int count = 0;

	for (uint64_t i = from; i < to; i++) {
		const struct address a = address_no(i);

		count += touches_have(t, &a);
	}
	return count;
}

static void what_was_touched_is_known_for_so_long(void **state)
{
	struct touches t;

	(void)state;
	touches_init(&t);
	assert_int_equal(known(&t, 0, 100), 0);
	touches_turn(&t, 10 * DELETE_EPOCH - 1, 1);
	add(&t, 0, 20000);
	for (uint64_t at = 10 * DELETE_EPOCH; at <= 9 * DELETE_EPOCH + DELETE_EPOCHS * DELETE_EPOCH; at += DELETE_EPOCH / 4) {
		touches_turn(&t, at - 1, at);
		assert_int_equal(known(&t, 0, 20000), 20000);
	}
	assert_true(9 * DELETE_EPOCH + DELETE_EPOCHS * DELETE_EPOCH - 10 * DELETE_EPOCH >= TOUCHES_KEPT);
	assert_true(TOUCHES_KEPT >= DELETE_AFTER);
	touches_turn(&t, (9 + DELETE_EPOCHS) * DELETE_EPOCH, 7);
	assert_int_equal(known(&t, 0, 20000), 0);
	assert_int_equal(touches_memory(&t), 0);
	touches_free(&t);
}

static void a_touch_again_counts_from_then(void **state)
{
	struct touches t;

	(void)state;
	touches_init(&t);
	touches_turn(&t, 0, 1);
	add(&t, 0, 1000);
	for (uint64_t epoch = 1; epoch < 40; epoch++) {
		touches_turn(&t, epoch * DELETE_EPOCH, epoch);
		if (epoch % (DELETE_EPOCHS - 1) == 0)
			add(&t, 0, 1000);
		assert_int_equal(known(&t, 0, 1000), 1000);
	}
	touches_free(&t);
}

static void a_long_sleep_forgets_all(void **state)
{
	struct touches t;

	(void)state;
	touches_init(&t);
	add(&t, 0, 1000);
	touches_turn(&t, 1000000 * DELETE_EPOCH + 5, 1);
	assert_int_equal(known(&t, 0, 1000), 0);
	add(&t, 0, 1000);
	assert_int_equal(known(&t, 0, 1000), 1000);
	touches_free(&t);
}

static void it_errs_once_in_some_hundred_times(void **state)
{
	const uint64_t each = getenv("SOAK") ? 1000000 : 100000;
	unsigned int wrong;
	struct touches t;

	(void)state;
	touches_init(&t);
	for (uint64_t epoch = 0; epoch < DELETE_EPOCHS; epoch++) {
		touches_turn(&t, epoch * DELETE_EPOCH, epoch * 77);
		add(&t, epoch * each, (epoch + 1) * each);
	}
	assert_int_equal(known(&t, 0, DELETE_EPOCHS * each), DELETE_EPOCHS * each);
	wrong = known(&t, UINT64_C(1) << 40, (UINT64_C(1) << 40) + 50000);
	print_message("# %u of 50000, %zu bytes for %u touches\n", wrong, touches_memory(&t),
	    (unsigned int)(DELETE_EPOCHS * each));
	assert_true(wrong < 50000 / 50);
	/* What errs in one epoch does not in another: salts differ. */
	assert_true(touches_memory(&t) <= DELETE_EPOCHS * 6 * each);
	touches_free(&t);
}

static void its_memory_is_bounded_and_a_full_epoch_says_yes(void **state)
{
	struct touches t;
	struct address a;
	uint64_t i = 0;

	(void)state;
	touches_init(&t);
	while (!t.epoch[0].full && i < 20000000) {
		/* cheap addresses: only the bytes that are looked at */
		put_le64(a.b + 8, i * UINT64_C(0x9e3779b97f4a7c15));
		put_le64(a.b + 16, (i + 12345) * UINT64_C(0xbf58476d1ce4e5b9) ^ i >> 3);
		touches_add(&t, &a);
		i++;
		/* Nearly all the room is in the last one. */
		if (i == 3000000 && !getenv("SOAK"))
			t.epoch[0].count += 8300000;
	}
	assert_true(t.epoch[0].full);
	print_message("# full at %zu bytes\n", touches_memory(&t));
	assert_true(touches_memory(&t) <= TOUCHED_MAX);
	assert_int_equal(known(&t, 0, 100), 100);
	touches_turn(&t, TOUCHES_KEPT, 1);
	assert_int_equal(known(&t, 0, 100), 100);
	touches_turn(&t, DELETE_EPOCHS * DELETE_EPOCH, 1);
	assert_int_equal(known(&t, 0, 100), 0);
	touches_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_touched_is_known_for_so_long),
		cmocka_unit_test(a_touch_again_counts_from_then),
		cmocka_unit_test(a_long_sleep_forgets_all),
		cmocka_unit_test(it_errs_once_in_some_hundred_times),
		cmocka_unit_test(its_memory_is_bounded_and_a_full_epoch_says_yes),
	};

	if (sodium_init() < 0)
		return 1;
	return suite_run(tests);
}
