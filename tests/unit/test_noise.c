/*
 * noise against public vectors, and against whoever tears, forges, replays or reorders.  The vectors are read from the
 * file that NOISE_VECTORS names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/net/noise.h"
#include "tests/lib/suite.h"
#include "tests/unit/curve_test.h"

#define TEXT_MAX     65536
#define MESSAGES_MAX 8
#define BYTES_MAX    512
#define MESSAGE_SIZE 256

/* Two sides of a handshake. */

struct side {
	struct noise noise;
	struct noise_cipher send, receive;
	uint8_t hash[NOISE_HASH];
};

static struct aead *aead;

static const uint8_t secrets[2][NOISE_KEY] = { { 1, 2, 3 }, { 4, 5, 6 } };
static const uint8_t ephemerals[2][NOISE_KEY] = { { 7, 8, 9 }, { 10, 11, 12 } };
static const uint8_t psk[NOISE_PSKS][NOISE_KEY] = { "one", "two", "three", "four" };

static void start_with(struct side s[2], unsigned int psks, const char *prologue, const uint8_t (*second_psk)[NOISE_KEY])
{
	for (int i = 0; i < 2; i++) {
		const struct noise_options o = {
			.initiator = i == 0, .aead = aead, .psks = psks, .psk = i == 0 ? psk : second_psk,
			.prologue = i == 0 ? "prologue" : prologue, .prologue_len = strlen(i == 0 ? "prologue" : prologue),
			.secret = secrets[i], .ephemeral = ephemerals[i],
		};

		memset(&s[i], 0, sizeof(s[i]));
		noise_start(&s[i].noise, &o);
	}
}

static void start(struct side s[2], unsigned int psks)
{
	start_with(s, psks, "prologue", psk);
}

/* Message ${i}, with its number as payload, as it is when those before it went well.  Its length. */
static int message(struct side s[2], int i, uint8_t out[MESSAGE_SIZE])
{
	uint8_t payload = (uint8_t)i;

	return noise_write(&s[i % 2].noise, &payload, 1, out, MESSAGE_SIZE);
}

static void advance(struct side s[2], int upto)
{
	uint8_t m[MESSAGE_SIZE], payload[8];

	for (int i = 0; i < upto; i++) {
		int n = message(s, i, m);

		assert_true(n > 0);
		assert_int_equal(noise_read(&s[1 - i % 2].noise, m, (size_t)n, payload, sizeof(payload)), 1);
		assert_int_equal(payload[0], i);
	}
}

static void finish(struct side s[2])
{
	for (int i = 0; i < 2; i++) {
		assert_true(noise_done(&s[i].noise));
		noise_split(&s[i].noise, &s[i].send, &s[i].receive, s[i].hash);
	}
	assert_memory_equal(s[0].hash, s[1].hash, NOISE_HASH);
}

static bool holds(const void *memory, size_t size, const void *what, size_t len)
{
	return memmem(memory, size, what, len) != NULL;
}

/* Not a byte of a key is left. */
static void assert_wiped(const struct noise *n)
{
	struct noise zero = { .failed = true };

	assert_true(n->failed);
	assert_memory_equal(n->chaining, zero.chaining, NOISE_HASH);
	assert_memory_equal(&n->cipher, &zero.cipher, sizeof(zero.cipher));
	for (int i = 0; i < 2; i++) {
		assert_false(holds(n, sizeof(*n), secrets[i], 3));
		assert_false(holds(n, sizeof(*n), ephemerals[i], 3));
	}
	for (unsigned int i = 0; i < NOISE_PSKS; i++)
		assert_false(holds(n, sizeof(*n), psk[i], 3));
}

/* The public vectors: a scanner that knows strings, of which one before a colon is a name, and no more of JSON. */

struct bytes {
	size_t len;
	uint8_t b[BYTES_MAX];
};

struct vector {
	char name[64];
	struct bytes prologue, secret[2], ephemeral[2], hash, payload[MESSAGES_MAX], sealed[MESSAGES_MAX];
	uint8_t psk[NOISE_PSKS][NOISE_KEY];
	unsigned int psks, messages;
};

static void unhex(const char *text, struct bytes *out)
{
	assert_int_equal(sodium_hex2bin(out->b, BYTES_MAX, text, strlen(text), NULL, &out->len, NULL), 0);
}

static void set(struct vector *v, const char *key, const char *value)
{
	struct bytes b;

	if (strcmp(key, "init_prologue") == 0)
		unhex(value, &v->prologue);
	else if (strcmp(key, "init_static") == 0)
		unhex(value, &v->secret[0]);
	else if (strcmp(key, "resp_static") == 0)
		unhex(value, &v->secret[1]);
	else if (strcmp(key, "init_ephemeral") == 0)
		unhex(value, &v->ephemeral[0]);
	else if (strcmp(key, "resp_ephemeral") == 0)
		unhex(value, &v->ephemeral[1]);
	else if (strcmp(key, "handshake_hash") == 0)
		unhex(value, &v->hash);
	else if (strcmp(key, "payload") == 0)
		unhex(value, &v->payload[v->messages]);
	else if (strcmp(key, "ciphertext") == 0)
		unhex(value, &v->sealed[v->messages++]);
	else if (strcmp(key, "init_psks") == 0) {
		unhex(value, &b);
		assert_int_equal(b.len, NOISE_KEY);
		memcpy(v->psk[v->psks++], b.b, NOISE_KEY);
	}
	assert_true(v->messages < MESSAGES_MAX);
}

static unsigned int mask_of(const char *name)
{
	unsigned int mask = 0;

	for (const char *at = name; (at = strstr(at, "psk")); at += 3)
		mask |= 1u << (at[3] - '0');
	return mask;
}

static void run_message(const struct vector *v, struct side s[2], unsigned int i)
{
	struct side *from = &s[i % 2], *to = &s[1 - i % 2];
	uint8_t out[2 * BYTES_MAX], back[2 * BYTES_MAX];
	int n;

	if (i < 3) {
		n = noise_write(&from->noise, v->payload[i].b, v->payload[i].len, out, sizeof(out));
		assert_int_equal(noise_read(&to->noise, out, (size_t)n, back, sizeof(back)), v->payload[i].len);
	} else {
		n = (int)v->payload[i].len + (int)NOISE_TAG;
		noise_seal(&from->send, v->payload[i].b, v->payload[i].len, out);
		assert_int_equal(noise_open(&to->receive, out, (size_t)n, back), 0);
	}
	assert_int_equal(n, v->sealed[i].len);
	assert_memory_equal(out, v->sealed[i].b, n);
	assert_memory_equal(back, v->payload[i].b, v->payload[i].len);
}

static void run_vector(const struct vector *v)
{
	struct side s[2];

	for (int i = 0; i < 2; i++) {
		const struct noise_options o = {
			.initiator = i == 0, .aead = aead, .psks = mask_of(v->name), .psk = v->psk, .prologue = v->prologue.b,
			.prologue_len = v->prologue.len, .secret = v->secret[i].b, .ephemeral = v->ephemeral[i].b,
		};

		noise_start(&s[i].noise, &o);
	}
	assert_true(v->messages > 3);
	for (unsigned int i = 0; i < v->messages; i++) {
		if (i == 3)
			finish(s);
		run_message(v, s, i);
	}
	if (v->hash.len > 0)
		assert_memory_equal(s[0].hash, v->hash.b, NOISE_HASH);
	print_message("# %s\n", v->name);
}

static FILE *open_vectors(void)
{
	static const char *const places[] = { "../shared/vectors/noise.json", "shared/vectors/noise.json" };
	const char *named = getenv("NOISE_VECTORS");
	FILE *f = named ? fopen(named, "r") : NULL;

	if (named)
		assert_non_null(f);
	for (size_t i = 0; !f && i < sizeof(places) / sizeof(*places); i++)
		f = fopen(places[i], "r");
	return f;
}

static void the_public_vectors_pass(void **state)
{
	static char text[TEXT_MAX];
	static struct vector v;
	char key[64] = "", *at = text, *end;
	unsigned int vectors = 0;
	FILE *f = open_vectors();

	(void)state;
	if (!f) {
		fprintf(stderr, "test_noise: NOT RUN: the public vectors; let NOISE_VECTORS name their file, noise.json\n");
		skip();
	}
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	while ((at = strchr(at, '"')) && (end = strchr(at + 1, '"'))) {
		bool is_key = end[1] == ':';

		*end = 0;
		if (is_key) {
			snprintf(key, sizeof(key), "%s", at + 1);
		} else if (strcmp(key, "protocol_name") == 0) {
			if (vectors++)
				run_vector(&v);
			memset(&v, 0, sizeof(v));
			snprintf(v.name, sizeof(v.name), "%s", at + 1);
		} else if (vectors) {
			set(&v, key, at + 1);
		}
		at = end + 1;
	}
	assert_true(vectors >= 5);
	run_vector(&v);
}

static void every_choice_of_psks_ends_in_keys_of_its_own(void **state)
{
	uint8_t hash[1 << NOISE_PSKS][NOISE_HASH];

	(void)state;
	for (unsigned int psks = 0; psks < 1u << NOISE_PSKS; psks++) {
		struct side s[2];

		start(s, psks);
		assert_true(noise_turn(&s[0].noise) && !noise_turn(&s[1].noise));
		advance(s, 3);
		finish(s);
		assert_memory_equal(&s[0].send, &s[1].receive, sizeof(s[0].send));
		assert_memory_equal(&s[0].receive, &s[1].send, sizeof(s[0].send));
		assert_memory_not_equal(s[0].send.key, s[0].receive.key, NOISE_KEY);
		memcpy(hash[psks], s[0].hash, NOISE_HASH);
		for (unsigned int i = 0; i < psks; i++)
			assert_memory_not_equal(hash[i], hash[psks], NOISE_HASH);
	}
}

/* Whoever reads ${m} in the place of message ${i} must fail, and forget all. */
static void assert_refused(unsigned int psks, int i, const uint8_t *m, size_t len)
{
	struct side s[2];
	uint8_t payload[MESSAGE_SIZE];

	start(s, psks);
	advance(s, i);
	assert_int_equal(noise_read(&s[1 - i % 2].noise, m, len, payload, sizeof(payload)), -EBADMSG);
	assert_wiped(&s[1 - i % 2].noise);
	assert_int_equal(noise_read(&s[1 - i % 2].noise, m, len, payload, sizeof(payload)), -EPROTO);
	assert_int_equal(noise_write(&s[1 - i % 2].noise, NULL, 0, payload, sizeof(payload)), -EPROTO);
}

static void a_message_torn_at_any_byte_is_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		uint8_t m[MESSAGE_SIZE];
		struct side s[2];
		int n;

		start(s, 1);
		advance(s, i);
		n = message(s, i, m);
		for (int len = 0; len < n; len++)
			assert_refused(1, i, m, (size_t)len);
		assert_refused(1, i, m, (size_t)n + 1);
	}
}

static void a_message_with_any_bit_changed_is_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		uint8_t m[MESSAGE_SIZE];
		struct side s[2];
		int n;

		start(s, 1);
		advance(s, i);
		n = message(s, i, m);
		for (int bit = 0; bit < 8 * n; bit += 5) {
			m[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_refused(1, i, m, (size_t)n);
			m[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void messages_of_another_handshake_or_place_are_refused(void **state)
{
	uint8_t m[3][MESSAGE_SIZE], payload[8];
	const uint8_t other[NOISE_KEY] = { 99 };
	struct side s[2];
	int n[3];

	(void)state;
	start(s, 1);
	for (int i = 0; i < 3; i++) {
		n[i] = message(s, i, m[i]);
		assert_int_equal(noise_read(&s[1 - i % 2].noise, m[i], (size_t)n[i], payload, sizeof(payload)), 1);
	}
	/* Reordered: each in the place of each other. */
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			if (i != j)
				assert_refused(1, i, m[j], (size_t)n[j]);
	/* Replayed: the first is taken, since nothing is known yet; then the responder's new key decides. */
	start(s, 1);
	memcpy(s[1].noise.ephemeral, other, NOISE_KEY);
	assert_int_equal(noise_read(&s[1].noise, m[0], (size_t)n[0], payload, sizeof(payload)), 1);
	assert_true(noise_write(&s[1].noise, NULL, 0, m[1], MESSAGE_SIZE) > 0);
	assert_int_equal(noise_read(&s[1].noise, m[2], (size_t)n[2], payload, sizeof(payload)), -EBADMSG);
	assert_wiped(&s[1].noise);
}

static void nobody_reads_or_writes_out_of_turn(void **state)
{
	uint8_t m[MESSAGE_SIZE], payload[8];
	struct side s[2];

	(void)state;
	start(s, 1);
	assert_int_equal(noise_write(&s[1].noise, NULL, 0, m, sizeof(m)), -EPROTO);
	assert_int_equal(noise_read(&s[0].noise, m, 48, payload, sizeof(payload)), -EPROTO);
	advance(s, 3);
	assert_int_equal(noise_write(&s[0].noise, NULL, 0, m, sizeof(m)), -EPROTO);
	assert_int_equal(noise_write(&s[1].noise, NULL, 0, m, sizeof(m)), -EPROTO);
	assert_int_equal(noise_read(&s[1].noise, m, 48, payload, sizeof(payload)), -EPROTO);
	finish(s);
}

static void lengths_are_bounded_on_both_sides(void **state)
{
	static uint8_t m[NOISE_MESSAGE + 1], payload[NOISE_MESSAGE];
	struct side s[2];
	int n;

	(void)state;
	start(s, 1);
	assert_int_equal(noise_write(&s[0].noise, payload, NOISE_MESSAGE - NOISE_OVERHEAD + 1, m, sizeof(m)), -EMSGSIZE);
	assert_int_equal(noise_write(&s[0].noise, payload, 100, m, 100 + NOISE_OVERHEAD - 1), -EMSGSIZE);
	n = noise_write(&s[0].noise, payload, NOISE_MESSAGE - NOISE_OVERHEAD, m, NOISE_MESSAGE);
	assert_true(n > 0);
	assert_int_equal(noise_read(&s[1].noise, m, (size_t)n, payload, sizeof(payload)), NOISE_MESSAGE - NOISE_OVERHEAD);
	start(s, 1);
	assert_int_equal(noise_read(&s[1].noise, m, (size_t)n, payload, 10), -EMSGSIZE);
	assert_wiped(&s[1].noise);
	start(s, 1);
	assert_int_equal(noise_read(&s[1].noise, m, sizeof(m), payload, sizeof(payload)), -EMSGSIZE);
}

static void another_secret_or_prologue_fails_at_the_first_message(void **state)
{
	static const uint8_t wrong[NOISE_PSKS][NOISE_KEY] = { "other" };
	uint8_t m[MESSAGE_SIZE], payload[8];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct side s[2];
		int n;

		start_with(s, 1, i == 0 ? "prologue" : "prolog", i == 0 ? wrong : psk);
		n = message(s, 0, m);
		multiplications = 0;
		assert_int_equal(noise_read(&s[1].noise, m, (size_t)n, payload, sizeof(payload)), -EBADMSG);
		assert_int_equal(multiplications, 0);
		assert_wiped(&s[1].noise);
	}
}

/* What a stranger costs a responder: his first message, of random bytes. */
static void a_stranger_costs_no_multiplication(void **state)
{
	enum { STRANGERS = 20000 };
	uint8_t m[NOISE_KEY + NOISE_TAG], payload[8];
	clock_t begin;

	(void)state;
	randombytes_buf(m, sizeof(m));
	multiplications = 0;
	begin = clock();
	for (int i = 0; i < STRANGERS; i++) {
		struct side s[2];

		start(s, 1);
		assert_int_equal(noise_read(&s[1].noise, m, sizeof(m), payload, sizeof(payload)), -EBADMSG);
	}
	print_message("# %.1f us of processor a stranger (and the start of the initiator)\n",
	    (double)(clock() - begin) * 1e6 / CLOCKS_PER_SEC / STRANGERS);
	assert_int_equal(multiplications, 0);
}

static void a_member_costs_five_multiplications_a_side(void **state)
{
	struct side s[2];

	(void)state;
	multiplications = 0;
	start(s, 1);
	advance(s, 3);
	/* Each side: two public keys; ee, es, se. */
	assert_int_equal(multiplications, 10);
}

static void a_key_without_worth_is_refused(void **state)
{
	uint8_t m[MESSAGE_SIZE] = { 0 }, payload[8];
	struct side s[2];

	(void)state;
	start(s, 0);
	assert_int_equal(noise_read(&s[1].noise, m, NOISE_KEY, payload, sizeof(payload)), 0);
	assert_int_equal(noise_write(&s[1].noise, NULL, 0, m, sizeof(m)), -EBADMSG);
	assert_wiped(&s[1].noise);
}

static void a_split_leaves_no_key_behind(void **state)
{
	struct side s[2];

	(void)state;
	start(s, 15);
	assert_true(holds(&s[0].noise, sizeof(s[0].noise), psk[2], 3));
	advance(s, 3);
	assert_true(holds(&s[0].noise, sizeof(s[0].noise), secrets[0], 3));
	finish(s);
	assert_wiped(&s[0].noise);
	assert_wiped(&s[1].noise);
	assert_false(holds(&s[0].noise, sizeof(s[0].noise), s[0].send.key, NOISE_KEY));
}

static void a_cipher_opens_each_message_once_and_in_order(void **state)
{
	uint8_t sealed[3][20 + NOISE_TAG], plain[20];
	struct side s[2];

	(void)state;
	start(s, 1);
	advance(s, 3);
	finish(s);
	for (int i = 0; i < 3; i++)
		noise_seal(&s[0].send, "twenty bytes of text", 20, sealed[i]);
	assert_int_equal(noise_open(&s[1].receive, sealed[1], sizeof(sealed[1]), plain), -EBADMSG);
	assert_int_equal(noise_open(&s[1].receive, sealed[0], sizeof(sealed[0]), plain), 0);
	assert_memory_equal(plain, "twenty bytes of text", 20);
	assert_int_equal(noise_open(&s[1].receive, sealed[0], sizeof(sealed[0]), plain), -EBADMSG);
	for (size_t len = 0; len < sizeof(sealed[1]); len++)
		assert_int_equal(noise_open(&s[1].receive, sealed[1], len, plain), -EBADMSG);
	sealed[1][3] ^= 1;
	assert_int_equal(noise_open(&s[1].receive, sealed[1], sizeof(sealed[1]), plain), -EBADMSG);
	sealed[1][3] ^= 1;
	assert_int_equal(noise_open(&s[1].receive, sealed[1], sizeof(sealed[1]), plain), 0);
}

static void a_rekey_is_the_same_on_both_sides_and_forgets_the_old_key(void **state)
{
	uint8_t sealed[4 + NOISE_TAG], plain[4], old[NOISE_KEY];
	struct side s[2];

	(void)state;
	start(s, 1);
	advance(s, 3);
	finish(s);
	memcpy(old, s[0].send.key, NOISE_KEY);
	noise_rekey(&s[0].send);
	noise_seal(&s[0].send, "text", 4, sealed);
	assert_int_equal(noise_open(&s[1].receive, sealed, sizeof(sealed), plain), -EBADMSG);
	noise_rekey(&s[1].receive);
	assert_int_equal(noise_open(&s[1].receive, sealed, sizeof(sealed), plain), 0);
	assert_false(holds(&s[0].send, sizeof(s[0].send), old, 8));
}

/* Nonce 2^64 - 1 makes new keys: no message has it (section 5.1). */
static void the_last_nonce_opens_nothing(void **state)
{
	uint8_t sealed[4 + NOISE_TAG], plain[4], nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = { 0 };
	struct noise_cipher c = { .aead = aead, .key = "a key", .keyed = true };

	(void)state;
	for (uint64_t n = UINT64_MAX; n >= UINT64_MAX - 1; n--) {
		int rc;

		c.n = n;
		for (int i = 0; i < 8; i++)
			nonce[4 + i] = (uint8_t)(n >> 8 * i);
		crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, (const uint8_t *)"text", 4, NULL, 0, NULL, nonce, c.key);
		rc = noise_open(&c, sealed, sizeof(sealed), plain);
		assert_int_equal(rc, n == UINT64_MAX ? -EBADMSG : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_public_vectors_pass),
		cmocka_unit_test(every_choice_of_psks_ends_in_keys_of_its_own),
		cmocka_unit_test(a_message_torn_at_any_byte_is_refused),
		cmocka_unit_test(a_message_with_any_bit_changed_is_refused),
		cmocka_unit_test(messages_of_another_handshake_or_place_are_refused),
		cmocka_unit_test(nobody_reads_or_writes_out_of_turn),
		cmocka_unit_test(lengths_are_bounded_on_both_sides),
		cmocka_unit_test(another_secret_or_prologue_fails_at_the_first_message),
		cmocka_unit_test(a_stranger_costs_no_multiplication),
		cmocka_unit_test(a_member_costs_five_multiplications_a_side),
		cmocka_unit_test(a_key_without_worth_is_refused),
		cmocka_unit_test(a_split_leaves_no_key_behind),
		cmocka_unit_test(a_cipher_opens_each_message_once_and_in_order),
		cmocka_unit_test(the_last_nonce_opens_nothing),
		cmocka_unit_test(a_rekey_is_the_same_on_both_sides_and_forgets_the_old_key),
	};
	int failed;

	if (sodium_init() < 0 || aead_new(&aead) < 0)
		return 1;
	failed = suite_run(tests);
	aead_free(aead);
	return failed;
}
