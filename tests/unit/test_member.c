/* Members: golden bytes, who wins over whom, forgeries, and the ring file.  SEED=n replays the random part. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "dht/net/ringfile.h"
#include "dht/net/wire.h"
#include "tests/lib/golden.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_sample.h"

static const char golden_record[] =
	"0101aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa8a88e3dd7409f195fd52db2d3cba5d72ca67"
	"09bf1d94121bf3748801b40f6f5c05000000000000004444333322221111888877776666555501030101067261636b2d3702116e"
	"6f64652e6578616d706c653a34323432125b323030313a6462383a3a315d3a34323432bc9aed8125c809ae5b3bf593fbbdf81c5c"
	"bba214999237b553f43faad23a3c1b430af8b0f1487fbac3599b521d3a79de61dba2f18596ab1cb042ef5e1699d20d";
static const char golden_eviction[] =
	"0201aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac3ab9d81148689b4a2bce3df87b6891a58f2"
	"ad4ac09fbfbf3be70ac9199f0e815c53ef6bf55326e06f631046ed274a5d936879625f783264cd52eb7cb2ff39e7f9235cbdda50"
	"214a7350bbc508757c2b8d5bd1c1c52b8e7594a0fa795e583100";

static uint64_t seed;
static struct ring_file file;
static uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET], admin[MEMBER_SECRET];

/* The ring and the keys of PROTOCOL.md: seeds of one byte, over and over. */
static int setup(void **state)
{
	struct ring_file_random random;
	uint8_t node[32];

	(void)state;
	memset(random.id, 0xaa, sizeof(random.id));
	memset(random.secret, 0xbb, sizeof(random.secret));
	memset(random.admin, 2, sizeof(random.admin));
	memset(node, 1, sizeof(node));
	crypto_sign_seed_keypair(key, secret, node);
	return ring_file_create(&random, false, 3, 2, &file, admin);
}

static struct member fields_of_golden(void)
{
	return (struct member){
		.incarnation = 5, .instance = 0x1111222233334444, .generation = 0x5555666677778888,
		.state = MEMBER_HERE, .weight = 3, .zone = "rack-7",
		.address = { "node.example:4242", "[2001:db8::1]:4242" },
	};
}

static struct member *signed_member(const struct member *fields)
{
	struct member *m;

	assert_int_equal(member_sign(fields, &file.id, secret, &m), 0);
	return m;
}

static int read_of(const uint8_t *bytes, size_t len, struct member **out)
{
	uint8_t *alone = malloc(len ? len : 1);
	int rc;

	assert_non_null(alone);
	memcpy(alone, bytes, len);
	rc = member_read(alone, len, &file.id, NULL, out);
	free(alone);
	return rc;
}

/* Refused at once, or by the signature. */
static bool is_believed(const uint8_t *bytes, size_t len)
{
	struct member *m;
	bool good;
	int rc = read_of(bytes, len, &m);

	assert_true(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return false;
	good = member_verify(m, &file);
	member_drop(m);
	return good;
}

/* ---- golden bytes ---- */

static void records_and_evictions_have_golden_bytes(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields), *e;
	struct address id;

	(void)state;
	golden_is("a record", m->bytes, m->len, golden_record);
	golden_is("its hash", m->hash.b, ADDRESS_LEN, "d3fc24704e8b11529d5b98fe1e3635002d087ae44f46260bdae258f78133f7b4");
	member_id(key, &id);
	golden_is("a node's id", id.b, ADDRESS_LEN, "c3ab9d81148689b4a2bce3df87b6891a58f2ad4ac09fbfbf3be70ac9199f0e81");
	assert_int_equal(member_evict(&file.id, &id, admin, &e), 0);
	golden_is("an eviction", e->bytes, e->len, golden_eviction);
	member_drop(m);
	member_drop(e);
}

static void a_record_says_all_that_was_signed(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields), *back;
	struct ring_member place;
	struct address id;

	(void)state;
	assert_int_equal(read_of(m->bytes, m->len, &back), 0);
	member_drop(m);
	member_id(key, &id);
	assert_true(address_equal(&back->id, &id));
	assert_memory_equal(back->key, key, sizeof(key));
	assert_int_equal(back->incarnation, 5);
	assert_int_equal(back->instance, 0x1111222233334444);
	assert_int_equal(back->generation, 0x5555666677778888);
	assert_int_equal(back->state, MEMBER_HERE);
	assert_int_equal(back->protocol, WIRE_VERSION);
	assert_int_equal(back->placement, RING_PLACEMENT_VERSION);
	assert_string_equal(back->address[0], "node.example:4242");
	assert_string_equal(back->address[1], "[2001:db8::1]:4242");
	assert_string_equal(back->address[2], "");
	assert_true(member_verify(back, &file));
	member_place(back, &place);
	assert_true(address_equal(&place.id, &id));
	assert_int_equal(place.weight, 3);
	assert_string_equal(place.zone, "rack-7");
	member_drop(back);
}

static void the_largest_record_fits_and_the_smallest_is_taken(void **state)
{
	struct member fields = { .state = MEMBER_LEFT, .weight = 1, .incarnation = UINT64_MAX }, *m = signed_member(&fields);

	(void)state;
	assert_string_equal(m->zone, "");
	assert_string_equal(m->address[0], "");
	assert_int_equal(m->incarnation, UINT64_MAX);
	member_drop(m);
	memset(fields.zone, 'z', RING_ZONE_LEN);
	for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++)
		memset(fields.address[i], 'a', MEMBER_ADDRESS_LEN);
	fields.weight = RING_WEIGHT_MAX;
	m = signed_member(&fields);
	assert_true(m->len <= MEMBER_BLOB_MAX && MEMBER_BLOB_MAX <= WIRE_BLOB_MAX);
	assert_int_equal(strlen(m->address[MEMBER_ADDRESSES - 1]), MEMBER_ADDRESS_LEN);
	member_drop(m);
}

static void what_no_record_can_say_is_not_signed(void **state)
{
	struct member good = fields_of_golden(), bad, *m;

	(void)state;
#define REFUSED(change) do { bad = good; change; \
	assert_int_equal(member_sign(&bad, &file.id, secret, &m), -EINVAL); } while (0)
	REFUSED(bad.weight = 0);
	REFUSED(bad.weight = RING_WEIGHT_MAX + 1);
	REFUSED(bad.state = 0);
	REFUSED(bad.state = MEMBER_EVICTED);
	REFUSED(strcpy(bad.zone, "a\nb"));
	REFUSED(strcpy(bad.zone, "\x1b[2J"));
	REFUSED(strcpy(bad.zone, "\xc2\x9b" "2J"));	/* the same in one character of Unicode */
	REFUSED(strcpy(bad.zone, "M\xc3\xbcnchen"));
	REFUSED(strcpy(bad.address[0], "a b:1"));
	REFUSED(strcpy(bad.address[1], "a\x7f:1"));
	REFUSED(strcpy(bad.address[1], "a\x80:1"));
#undef REFUSED
	strcpy(good.zone, "Munich, cellar 2 ~");
	m = signed_member(&good);
	assert_string_equal(m->zone, good.zone);
	member_drop(m);
}

static void a_zone_or_address_is_valid_where_it_can_be_signed(void **state)
{
	(void)state;
	assert_true(member_zone_valid(""));
	assert_true(member_zone_valid("rack 7 ~"));
	assert_true(member_zone_valid("1234567890123456789012345678901"));
	assert_false(member_zone_valid("12345678901234567890123456789012"));
	assert_false(member_zone_valid("a\tb"));
	assert_false(member_zone_valid("\xc3\xbc"));
	assert_true(member_address_valid("[::1]:1"));
	assert_true(member_address_valid("123456789012345678901234567890123456789012345678901234567890123"));
	assert_false(member_address_valid("1234567890123456789012345678901234567890123456789012345678901234"));
	assert_false(member_address_valid(""));
	assert_false(member_address_valid("a b"));
	assert_false(member_address_valid("\xc3\xbc"));
}

/* ---- who wins ---- */

static struct member *of(uint64_t incarnation, enum member_state state, uint64_t instance)
{
	struct member fields = { .state = state, .weight = 1, .incarnation = incarnation, .instance = instance };
	struct member *m;

	if (state != MEMBER_EVICTED)
		return signed_member(&fields);
	member_id(key, &fields.id);
	assert_int_equal(member_evict(&file.id, &fields.id, admin, &m), 0);
	return m;
}

static void the_order_of_records_is_the_documented_one(void **state)
{
	/* Each wins over all before it. */
	struct member *m[] = {
		of(1, MEMBER_HERE, 1), of(2, MEMBER_DRAINING, 1), of(UINT64_MAX, MEMBER_HERE, 1),
		of(1, MEMBER_LEFT, 1), of(2, MEMBER_LEFT, 1), of(0, MEMBER_EVICTED, 0),
	};
	size_t n = sizeof(m) / sizeof(m[0]);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_true(member_newer(m[i], NULL));
		for (size_t j = 0; j < n; j++)
			assert_int_equal(member_newer(m[i], m[j]), i > j);
	}
	for (size_t i = 0; i < n; i++)
		member_drop(m[i]);
}

static void of_one_incarnation_the_larger_bytes_win(void **state)
{
	struct member *a = of(4, MEMBER_HERE, 1), *b = of(4, MEMBER_HERE, 2), *longer;
	struct member fields = { .state = MEMBER_HERE, .weight = 1, .incarnation = 4, .instance = 1 };
	uint8_t bytes[MEMBER_BLOB_MAX] = { 0 };

	(void)state;
	assert_true(member_newer(b, a));
	assert_false(member_newer(a, b));
	assert_false(member_newer(a, a));
	strcpy(fields.zone, "z");
	longer = signed_member(&fields);
	assert_int_not_equal(member_newer(a, longer), member_newer(longer, a));
	member_drop(longer);
	/* Nobody finds a signature that makes one begin with the other; but the order does not look at signatures. */
	memcpy(bytes, a->bytes, a->len);
	assert_int_equal(read_of(bytes, a->len + 1, &longer), 0);
	assert_true(member_newer(longer, a));
	assert_false(member_newer(a, longer));
	member_drop(a);
	member_drop(b);
	member_drop(longer);
}

/* ---- forgeries ---- */

static void no_bit_of_a_record_or_eviction_can_be_changed(void **state)
{
	const char *const goldens[] = { golden_record, golden_eviction };
	uint8_t bytes[MEMBER_BLOB_MAX];

	(void)state;
	for (unsigned int g = 0; g < 2; g++) {
		size_t len = golden_bytes(goldens[g], bytes, sizeof(bytes));

		assert_true(is_believed(bytes, len));
		for (size_t i = 0; i < 8 * len; i++) {
			bytes[i / 8] ^= (uint8_t)(1u << i % 8);
			assert_false(is_believed(bytes, len));
			bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		}
		for (size_t n = 0; n < len; n++)
			assert_false(is_believed(bytes, n));
		bytes[len] = 0;
		assert_false(is_believed(bytes, len + 1));
	}
}

/* S + L verifies wherever nobody looks: the same record in other bytes. */
static void a_signature_has_one_form(void **state)
{
	static const uint8_t order[32] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		[31] = 0x10,
	};
	uint8_t bytes[MEMBER_BLOB_MAX];
	size_t len = golden_bytes(golden_record, bytes, sizeof(bytes));
	unsigned int carry = 0;

	(void)state;
	for (unsigned int i = 0; i < 32; i++) {
		carry += (unsigned int)bytes[len - 32 + i] + order[i];
		bytes[len - 32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_int_equal(carry, 0);
	assert_false(is_believed(bytes, len));
}

static void a_key_of_small_order_signs_nothing(void **state)
{
	uint8_t bytes[MEMBER_BLOB_MAX];
	size_t len = golden_bytes(golden_record, bytes, sizeof(bytes));

	(void)state;
	/* The neutral element, and a signature that holds for it whatever is signed. */
	memset(bytes + 34, 0, MEMBER_KEY);
	bytes[34] = 1;
	memset(bytes + len - MEMBER_SIGNATURE, 0, MEMBER_SIGNATURE);
	bytes[len - MEMBER_SIGNATURE] = 1;
	assert_false(is_believed(bytes, len));
}

static void what_was_signed_for_one_thing_is_nothing_else(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields), *e, *read;
	struct ring_file other = file;
	uint8_t bytes[MEMBER_BLOB_MAX];

	(void)state;
	/* Another ring: refused without a look at the signature; and with its id put in, by that. */
	other.id.b[0] ^= 1;
	assert_int_equal(member_read(m->bytes, m->len, &other.id, NULL, &read), -EBADMSG);
	memcpy(bytes, m->bytes, m->len);
	memcpy(bytes + 2, other.id.b, ADDRESS_LEN);
	assert_int_equal(member_read(bytes, m->len, &other.id, NULL, &read), 0);
	assert_false(member_verify(read, &other));
	member_drop(read);
	/* A node evicts nobody, not itself either. */
	assert_int_equal(member_evict(&file.id, &m->id, secret, &e), 0);
	assert_false(member_verify(e, &file));
	member_drop(e);
	/* The admin's signature under the record's domain is no eviction. */
	golden_bytes(golden_eviction, bytes, sizeof(bytes));
	domain_sign("dhtfs member", bytes, 2 + 2 * ADDRESS_LEN, admin, bytes + 2 + 2 * ADDRESS_LEN);
	assert_false(is_believed(bytes, 2 + 2 * ADDRESS_LEN + MEMBER_SIGNATURE));
	domain_sign("dhtfs evict", bytes, 2 + 2 * ADDRESS_LEN, admin, bytes + 2 + 2 * ADDRESS_LEN);
	assert_true(is_believed(bytes, 2 + 2 * ADDRESS_LEN + MEMBER_SIGNATURE));
	member_drop(m);
}

static void what_is_not_a_record_is_refused_though_it_is_signed(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields);
	static const struct {
		size_t at;
		uint8_t value;
		bool good;
	} changes[] = {
		{ 0, 0, false }, { 0, 3, false }, { 1, 2, false },
		{ 90, 0, false }, { 90, MEMBER_LEFT, true }, { 90, MEMBER_EVICTED, false },
		{ 91, 0, false }, { 91, 64, true }, { 91, 65, false },
		{ 92, 77, true }, { 93, 77, true },		/* versions: whatever they are */
		{ 94, 32, false }, { 94, 255, false },		/* the zone's length */
		{ 95, 0, false }, { 95, '\n', false }, { 95, ' ', true },
		{ 101, 0, true }, { 101, 1, true }, { 101, 5, false },	/* addresses; what is behind is of later versions */
		{ 102, 0, false }, { 102, 64, false }, { 103, ' ', false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uint8_t bytes[MEMBER_BLOB_MAX];
		size_t body = m->len - MEMBER_SIGNATURE;

		memcpy(bytes, m->bytes, body);
		bytes[changes[i].at] = changes[i].value;
		domain_sign("dhtfs member", bytes, body, secret, bytes + body);
		assert_int_equal(is_believed(bytes, m->len), changes[i].good);
	}
	member_drop(m);
}

/* A record's fields as they stand, whatever they are, signed. */
static bool is_signed_and_believed(uint8_t bytes[MEMBER_BLOB_MAX + 1], size_t body)
{
	domain_sign("dhtfs member", bytes, body, secret, bytes + body);
	return is_believed(bytes, body + MEMBER_SIGNATURE);
}

static void texts_have_bounds_though_they_are_signed(void **state)
{
	static const struct {
		unsigned int zone, addresses, address;	/* how long, how many, how long each */
		bool good;
	} cases[] = {
		{ 31, 4, 63, true }, { 32, 0, 0, false }, { 0, 1, 64, false }, { 0, 1, 0, false }, { 0, 5, 1, false },
		{ 0, 4, 1, true }, { 255, 0, 0, false },
	};
	struct member fields = fields_of_golden(), *m = signed_member(&fields);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[MEMBER_BLOB_MAX + 1], *p = bytes + 94;

		memcpy(bytes, m->bytes, 94);
		*p++ = (uint8_t)cases[i].zone;
		memset(p, 'z', cases[i].zone);
		p += cases[i].zone;
		*p++ = (uint8_t)cases[i].addresses;
		for (unsigned int j = 0; j < cases[i].addresses; j++) {
			*p++ = (uint8_t)cases[i].address;
			memset(p, 'a', cases[i].address);
			p += cases[i].address;
		}
		assert_int_equal(is_signed_and_believed(bytes, (size_t)(p - bytes)), cases[i].good);
	}
	member_drop(m);
}

static void what_ends_early_is_refused_though_it_is_signed(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields);
	size_t whole = m->len - MEMBER_SIGNATURE;
	uint8_t eviction[MEMBER_BLOB_MAX];

	(void)state;
	for (size_t body = 0; body <= whole; body++) {
		uint8_t bytes[MEMBER_BLOB_MAX + 1];

		memcpy(bytes, m->bytes, body);
		assert_int_equal(is_signed_and_believed(bytes, body), body == whole);
	}
	golden_bytes(golden_eviction, eviction, sizeof(eviction));
	for (size_t body = 0; body <= 66; body++) {
		uint8_t bytes[MEMBER_BLOB_MAX];

		memcpy(bytes, eviction, body);
		domain_sign("dhtfs evict", bytes, body, admin, bytes + body);
		assert_int_equal(is_believed(bytes, body + MEMBER_SIGNATURE), body == 66);
	}
	member_drop(m);
}

static void a_record_has_a_longest_length(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields);
	uint8_t bytes[MEMBER_BLOB_MAX + 1] = { 0 };

	(void)state;
	memcpy(bytes, m->bytes, m->len);
	assert_true(is_signed_and_believed(bytes, MEMBER_BLOB_MAX - MEMBER_SIGNATURE));
	assert_false(is_signed_and_believed(bytes, MEMBER_BLOB_MAX - MEMBER_SIGNATURE + 1));
	member_drop(m);
}

static void what_later_versions_add_is_kept_and_believed(void **state)
{
	struct member fields = fields_of_golden(), *m = signed_member(&fields), *back;
	uint8_t bytes[MEMBER_BLOB_MAX];
	size_t body = m->len - MEMBER_SIGNATURE;

	(void)state;
	memcpy(bytes, m->bytes, body);
	memcpy(bytes + body, "new", 3);
	domain_sign("dhtfs member", bytes, body + 3, secret, bytes + body + 3);
	assert_int_equal(read_of(bytes, m->len + 3, &back), 0);
	assert_true(member_verify(back, &file));
	assert_int_equal(back->len, m->len + 3);
	assert_memory_equal(back->bytes, bytes, back->len);
	assert_string_equal(back->address[1], m->address[1]);
	member_drop(back);
	member_drop(m);
}

static void any_bytes_at_all_are_refused(void **state)
{
	uint8_t good[MEMBER_BLOB_MAX], bytes[MEMBER_BLOB_MAX + 1];
	size_t len = golden_bytes(golden_record, good, sizeof(good));

	(void)state;
	for (unsigned int i = 0; i < 20000; i++) {
		struct member *m;
		size_t n = 34 + wire_random(&seed, sizeof(bytes) - 34);

		for (size_t j = 34; j < n; j++)
			bytes[j] = (uint8_t)wire_random(&seed, 256);
		/* Behind a good beginning, mostly, or it would never get far. */
		memcpy(bytes, good, wire_random(&seed, 4) ? (n < len ? n : len) - wire_random(&seed, n < len ? n : len) : 34);
		if (read_of(bytes, n, &m) == 0)
			member_drop(m);
	}
}

/* ---- sharing ---- */

static void equal_bytes_of_one_table_are_one_member(void **state)
{
	struct member_table *t = member_table_new();
	struct member fields = fields_of_golden(), *m = signed_member(&fields), *a, *b, *c;
	struct address other = file.id;

	(void)state;
	assert_int_equal(member_read(m->bytes, m->len, &file.id, t, &a), 0);
	assert_int_equal(member_read(m->bytes, m->len, &file.id, t, &b), 0);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, m);
	/* What holds for one ring is refused in another all the same. */
	other.b[0] ^= 1;
	assert_int_equal(member_read(m->bytes, m->len, &other, t, &c), -EBADMSG);
	member_drop(b);
	assert_int_equal(member_read(m->bytes, m->len, &file.id, t, &b), 0);
	assert_ptr_equal(a, b);
	member_drop(a);
	member_drop(b);
	member_table_free(t);
	member_drop(m);
}

static void a_member_is_verified_once_and_an_eviction_each_time(void **state)
{
	struct member *m = of(1, MEMBER_HERE, 1), *e = of(0, MEMBER_EVICTED, 0);
	struct ring_file other = file;

	(void)state;
	assert_true(member_verify(m, &file));
	m->bytes[m->len - 1] ^= 1;		/* nobody does; but it shows who looks */
	assert_true(member_verify(m, &file));
	assert_true(member_verify(e, &file));
	memcpy(other.admin, key, MEMBER_KEY);
	assert_false(member_verify(e, &other));
	assert_true(member_verify(e, &file));
	member_drop(m);
	member_drop(e);
}

static void a_forged_member_stays_forged_when_it_is_shared(void **state)
{
	struct member_table *t = member_table_new();
	uint8_t bytes[MEMBER_BLOB_MAX];
	size_t len = golden_bytes(golden_record, bytes, sizeof(bytes));
	struct member *good, *forged;

	(void)state;
	assert_int_equal(member_read(bytes, len, &file.id, t, &good), 0);
	assert_true(member_verify(good, &file));
	bytes[40] ^= 1;			/* the signature, by which the table finds it, is the same */
	assert_int_equal(member_read(bytes, len, &file.id, t, &forged), 0);
	assert_ptr_not_equal(good, forged);
	assert_false(member_verify(forged, &file));
	member_drop(forged);
	assert_int_equal(member_read(bytes, len, &file.id, t, &forged), 0);
	assert_false(member_verify(forged, &file));
	member_drop(forged);
	member_drop(good);
	member_table_free(t);
}

static void a_table_finds_each_of_many(void **state)
{
	enum { MANY = 2000 };
	struct member_table *t = member_table_new();
	static struct member *m[MANY];

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		struct member *one = of(i, MEMBER_HERE, i);

		assert_int_equal(member_read(one->bytes, one->len, &file.id, t, &m[i]), 0);
		member_drop(one);
	}
	for (unsigned int i = 0; i < MANY; i += 2)
		member_drop(m[i]);
	for (unsigned int i = 1; i < MANY; i += 2) {
		struct member *again;

		assert_int_equal(member_read(m[i]->bytes, m[i]->len, &file.id, t, &again), 0);
		assert_ptr_equal(again, m[i]);
		member_drop(again);
		member_drop(m[i]);
	}
	member_table_free(t);
	member_drop(NULL);
	member_table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_and_evictions_have_golden_bytes),
		cmocka_unit_test(a_record_says_all_that_was_signed),
		cmocka_unit_test(the_largest_record_fits_and_the_smallest_is_taken),
		cmocka_unit_test(what_no_record_can_say_is_not_signed),
		cmocka_unit_test(a_zone_or_address_is_valid_where_it_can_be_signed),
		cmocka_unit_test(the_order_of_records_is_the_documented_one),
		cmocka_unit_test(of_one_incarnation_the_larger_bytes_win),
		cmocka_unit_test(no_bit_of_a_record_or_eviction_can_be_changed),
		cmocka_unit_test(a_signature_has_one_form),
		cmocka_unit_test(a_key_of_small_order_signs_nothing),
		cmocka_unit_test(what_was_signed_for_one_thing_is_nothing_else),
		cmocka_unit_test(what_is_not_a_record_is_refused_though_it_is_signed),
		cmocka_unit_test(texts_have_bounds_though_they_are_signed),
		cmocka_unit_test(what_ends_early_is_refused_though_it_is_signed),
		cmocka_unit_test(a_record_has_a_longest_length),
		cmocka_unit_test(what_later_versions_add_is_kept_and_believed),
		cmocka_unit_test(any_bytes_at_all_are_refused),
		cmocka_unit_test(equal_bytes_of_one_table_are_one_member),
		cmocka_unit_test(a_member_is_verified_once_and_an_eviction_each_time),
		cmocka_unit_test(a_forged_member_stays_forged_when_it_is_shared),
		cmocka_unit_test(a_table_finds_each_of_many),
	};
	seed = suite_seed(1);
	return suite_run_with(tests, setup, NULL);
}
