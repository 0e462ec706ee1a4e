/* What a volume signs: golden bytes, and forgeries. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/signed.h"
#include "dht/net/wire.h"
#include "tests/lib/golden.h"
#include "tests/lib/suite.h"

#define START 66u	/* kind, format, ring, key */

static const char golden_lease[] =
	"0301aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaed4928c628d1c2c6eae90338905995612959"
	"273a5c63f93636c14614ac8737d14404070000000000000002000000428d37d6b34f605a8ff32b6a04c95d9c7d2aead9ecde193b"
	"2f5019b7f13ced23732c6b792f625e720c9dc4c5a90aa7d1e33347297d61e9cbcee89255c955cc862a7d67a30cd005e0ac09ad53"
	"8b4bac36ee5eceae5b0847963cac98ba39deb508";
static const char golden_retire[] =
	"0401aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaed4928c628d1c2c6eae90338905995612959"
	"273a5c63f93636c14614ac8737d15c57573b67501faa5b6504869e1d0d144e88ef4ed66f6766af164e9089ebae02adf3dd2d3e64"
	"0e4354fcaa513d2a281666bc8d4d6bdf17ad02ed1b8b6721030f";
static const char golden_head[] =
	"0501aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaed4928c628d1c2c6eae90338905995612959"
	"273a5c63f93636c14614ac8737d10100000000000000000000000000000000000000000000000000000000000000000000000000"
	"000099000000000000000104000000000000c8000000000000003333333333333333333333333333333333333333333333333333"
	"333333333333a669e1ebe7fa0437e15ef3110f4ea313a251f407e1dd338f06487ae34aba3dc5f4ac665ac3f091d791e2a0ca000d"
	"9d7aaa9b5faf5bc829dc5265dec4c9604905";
static const char golden_second[] =
	"0501aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaed4928c628d1c2c6eae90338905995612959"
	"273a5c63f93636c14614ac8737d102000000000000006b07904a794b04739f52ea0085cd2661bef818fca8e0011943eaff019060"
	"c44299000000000000000104000000000000d2000000000000004444444444444444444444444444444444444444444444444444"
	"4444444444443adff3ea8928d377972c04a9ba7996fe949597cf5d0bc66b5ed8e4cd9c5af81c7afd86c2d10e5ccabeb5cff0ed2b"
	"7af0c720d84e11e5c02403b661c18e65f101";
static const char *const goldens[] = { golden_lease, golden_retire, golden_head, golden_second };

static struct address ring;
static uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];

/* The ring and the key of PROTOCOL.md. */
static int setup(void **state)
{
	uint8_t volume[32];

	(void)state;
	memset(ring.b, 0xaa, sizeof(ring.b));
	memset(volume, 3, sizeof(volume));
	return crypto_sign_seed_keypair(key, secret, volume);
}

/* By which of the three is it taken?  From a block that ends where it ends. */
static unsigned int taken_as(const uint8_t *bytes, size_t len, const struct address *of)
{
	uint8_t *alone = malloc(len ? len : 1);
	struct lease l;
	struct retire r;
	struct head h;
	unsigned int set;

	assert_non_null(alone);
	memcpy(alone, bytes, len);
	set = (lease_read(alone, len, of, &l) == 0 ? 1u << SIGNED_LEASE : 0) |
	    (retire_read(alone, len, of, &r) == 0 ? 1u << SIGNED_RETIRE : 0) |
	    (head_read(alone, len, of, &h) == 0 ? 1u << SIGNED_HEAD : 0);
	free(alone);
	return set;
}

static struct head head_of_golden(void)
{
	struct head h = { .seq = 1, .writer = 0x99, .snapshot = { HASH_BLAKE2B_256, KIND_SNAPSHOT, { { 0 } }, 200 } };

	memset(h.snapshot.address.b, 0x33, ADDRESS_LEN);
	return h;
}

static void leases_ends_and_heads_have_golden_bytes(void **state)
{
	struct address addresses[2], hash, id;
	struct lease lease = { .slot = 0x0444, .seq = 7, .count = 2 };
	struct head head = head_of_golden();
	uint8_t bytes[SIGNED_MAX];
	size_t n;

	(void)state;
	volume_id(key, &id);
	golden_is("a volume's id", id.b, ADDRESS_LEN, "89294478e8c787c2f7a3b00d74f41acf46553ccb31682272c72298469e18d5ec");
	memset(addresses[0].b, 0x11, ADDRESS_LEN);
	memset(addresses[1].b, 0x22, ADDRESS_LEN);
	lease_root(addresses, 2, &lease.root);
	golden_is("a lease's root", lease.root.b, ADDRESS_LEN, "428d37d6b34f605a8ff32b6a04c95d9c7d2aead9ecde193b2f5019b7f13ced23");
	n = lease_sign(&lease, &ring, secret, bytes);
	golden_is("a lease", bytes, n, golden_lease);
	n = retire_sign(&(struct retire){ { 0 }, { { 0 } } }, &ring, secret, bytes);
	golden_is("an end", bytes, n, golden_retire);
	n = head_sign(&head, &ring, secret, bytes);
	golden_is("a head", bytes, n, golden_head);
	head_hash(bytes, n, &hash);
	golden_is("its hash", hash.b, ADDRESS_LEN, "6b07904a794b04739f52ea0085cd2661bef818fca8e0011943eaff019060c442");
	head.seq = 2;
	head.previous = hash;
	memset(head.snapshot.address.b, 0x44, ADDRESS_LEN);
	head.snapshot.size = 210;
	n = head_sign(&head, &ring, secret, bytes);
	golden_is("the next head", bytes, n, golden_second);
	assert_true(n <= SIGNED_MAX && SIGNED_MAX <= WIRE_BLOB_MAX);
}

static void they_say_what_was_signed(void **state)
{
	uint8_t bytes[SIGNED_MAX];
	struct address id, root;
	struct lease l;
	struct retire r;
	struct head h;
	size_t n;

	(void)state;
	volume_id(key, &id);
	n = golden_bytes(golden_lease, bytes, sizeof(bytes));
	assert_int_equal(lease_read(bytes, n, &ring, &l), 0);
	assert_true(address_equal(&l.volume, &id));
	assert_memory_equal(l.key, key, sizeof(key));
	assert_int_equal(l.slot, 0x0444);
	assert_int_equal(l.seq, 7);
	assert_int_equal(l.count, 2);
	golden_bytes("428d37d6b34f605a8ff32b6a04c95d9c7d2aead9ecde193b2f5019b7f13ced23", root.b, sizeof(root.b));
	assert_true(address_equal(&l.root, &root));
	n = golden_bytes(golden_retire, bytes, sizeof(bytes));
	assert_int_equal(retire_read(bytes, n, &ring, &r), 0);
	assert_true(address_equal(&r.volume, &id));
	assert_memory_equal(r.key, key, sizeof(key));
	n = golden_bytes(golden_second, bytes, sizeof(bytes));
	assert_int_equal(head_read(bytes, n, &ring, &h), 0);
	assert_true(address_equal(&h.volume, &id));
	assert_memory_equal(h.key, key, sizeof(key));
	assert_int_equal(h.seq, 2);
	assert_int_equal(h.writer, 0x99);
	assert_int_equal(h.snapshot.kind, KIND_SNAPSHOT);
	assert_int_equal(h.snapshot.size, 210);
	assert_int_equal(h.snapshot.address.b[31], 0x44);
	golden_bytes("6b07904a794b04739f52ea0085cd2661bef818fca8e0011943eaff019060c442", root.b, sizeof(root.b));
	assert_true(address_equal(&h.previous, &root));
}

static void each_is_taken_only_for_what_it_is(void **state)
{
	static const enum signed_kind kinds[] = { SIGNED_LEASE, SIGNED_RETIRE, SIGNED_HEAD, SIGNED_HEAD };
	struct address other = ring;

	(void)state;
	other.b[31] ^= 1;
	for (unsigned int i = 0; i < 4; i++) {
		uint8_t bytes[SIGNED_MAX];
		size_t n = golden_bytes(goldens[i], bytes, sizeof(bytes));

		assert_int_equal(taken_as(bytes, n, &ring), 1u << kinds[i]);
		assert_int_equal(taken_as(bytes, n, &other), 0);
		memcpy(bytes + 2, other.b, ADDRESS_LEN);
		assert_int_equal(taken_as(bytes, n, &other), 0);
	}
}

static void no_bit_of_them_can_be_changed(void **state)
{
	(void)state;
	for (unsigned int g = 0; g < 3; g++) {
		uint8_t bytes[SIGNED_MAX + 1];
		size_t n = golden_bytes(goldens[g], bytes, sizeof(bytes));

		for (size_t i = 0; i < 8 * n; i++) {
			bytes[i / 8] ^= (uint8_t)(1u << i % 8);
			assert_int_equal(taken_as(bytes, n, &ring), 0);
			bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		}
		for (size_t i = 0; i < n; i++)
			assert_int_equal(taken_as(bytes, i, &ring), 0);
		bytes[n] = 0;
		assert_int_equal(taken_as(bytes, n + 1, &ring), 0);
	}
}

/* With the bytes at ${at} changed and signed again, under the domain given: is it taken? */
static bool resigned(const char *golden, const char *domain, size_t at, const void *change, size_t len)
{
	uint8_t bytes[SIGNED_MAX];
	size_t n = golden_bytes(golden, bytes, sizeof(bytes)), body = n - MEMBER_SIGNATURE;

	memcpy(bytes + at, change, len);
	domain_sign(domain, bytes, body, secret, bytes + body);
	return taken_as(bytes, n, &ring);
}

static void what_makes_no_sense_is_refused_though_it_is_signed(void **state)
{
	uint8_t zeros[ADDRESS_LEN] = { 0 }, ones[8] = { 1 }, twos[8] = { 2 };
	const char *head = "dhtfs head";

	(void)state;
	assert_true(resigned(golden_lease, "dhtfs lease", START, "\xff\x3f", 2));
	assert_false(resigned(golden_lease, "dhtfs lease", START, "\x00\x40", 2));	/* slot 16,384 */
	assert_false(resigned(golden_lease, "dhtfs lease", 1, "\x02", 1));		/* another format */
	assert_false(resigned(golden_lease, "dhtfs lease", 0, "\x05", 1));
	assert_false(resigned(golden_lease, "dhtfs leasf", 0, "", 0));
	assert_true(resigned(golden_head, head, START, ones, 8));
	assert_false(resigned(golden_head, head, START, zeros, 8));	/* seq 0 */
	assert_false(resigned(golden_second, head, START, zeros, 8));
	assert_false(resigned(golden_head, head, START, twos, 8));	/* the second, with none before it */
	assert_false(resigned(golden_second, head, START, ones, 8));	/* the first, with one before it */
	assert_false(resigned(golden_second, head, START + 8, zeros, ADDRESS_LEN));
	assert_true(resigned(golden_second, head, START + 8, ones, 8));
	assert_false(resigned(golden_head, head, START + 49, "\x01", 1));	/* a file's ref */
	assert_false(resigned(golden_head, head, START + 48, "\x02", 1));	/* another hash */
	assert_false(resigned(golden_head, head, START + 50, "\x01", 1));	/* what must be zero */
	assert_false(resigned(golden_head, head, START + 63, "\x01", 1));	/* longer than a chunk */
}

static void whose_it_says_it_is_can_be_told_of_each(void **state)
{
	struct address volume, id;

	(void)state;
	volume_id(key, &id);
	for (unsigned int i = 0; i < 4; i++) {
		uint8_t bytes[SIGNED_MAX];
		size_t n = golden_bytes(goldens[i], bytes, sizeof(bytes));

		assert_int_equal(signed_volume(bytes, n, &volume), 0);
		assert_true(address_equal(&volume, &id));
		assert_int_equal(signed_volume(bytes, START, &volume), 0);
		assert_int_equal(signed_volume(bytes, START - 1, &volume), -EBADMSG);
	}
}

static void a_root_depends_on_each_address(void **state)
{
	struct address a[3] = { { { 1 } }, { { 2 } }, { { 3 } } }, roots[4];

	(void)state;
	for (uint32_t i = 0; i <= 3; i++)
		lease_root(a, i, &roots[i]);
	for (unsigned int i = 0; i < 4; i++)
		for (unsigned int j = 0; j < i; j++)
			assert_false(address_equal(&roots[i], &roots[j]));
	lease_root(NULL, 0, &roots[1]);
	assert_true(address_equal(&roots[0], &roots[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leases_ends_and_heads_have_golden_bytes),
		cmocka_unit_test(they_say_what_was_signed),
		cmocka_unit_test(each_is_taken_only_for_what_it_is),
		cmocka_unit_test(no_bit_of_them_can_be_changed),
		cmocka_unit_test(what_makes_no_sense_is_refused_though_it_is_signed),
		cmocka_unit_test(whose_it_says_it_is_can_be_told_of_each),
		cmocka_unit_test(a_root_depends_on_each_address),
	};

	return suite_run_with(tests, setup, NULL);
}
