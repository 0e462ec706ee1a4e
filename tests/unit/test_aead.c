/*
 * aead against libsodium's, which is another's work, and against whoever forges; and that it minds neither the machine's
 * configuration nor keeps a key.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "dht/net/aead.h"
#include "tests/lib/suite.h"

#define BLOCKS	 65536
#define TEXT_MAX (AEAD_MAX - AEAD_TAG)

/*
 * libcrypto's memory: each block that it has, to look for keys in it.
 */

static struct {
	void *p;
	size_t size;
} block[BLOCKS];
static size_t blocks, allocated, allowed = SIZE_MAX;

static void *take(size_t size, const char *file, int line)
{
	void *p;

	(void)file, (void)line;
	p = allocated++ < allowed ? malloc(size) : NULL;
	if (p) {
		assert_true(blocks < BLOCKS);
		block[blocks].p = p;
		block[blocks++].size = size;
	}
	return p;
}

static void give(void *p, const char *file, int line)
{
	(void)file, (void)line;
	for (size_t i = blocks; p && i-- > 0;) {
		if (block[i].p != p)
			continue;
		block[i] = block[--blocks];
		break;
	}
	free(p);
}

static void *resize(void *p, size_t size, const char *file, int line)
{
	void *q = take(size, file, line);

	for (size_t i = 0; q && p && i < blocks; i++)
		if (block[i].p == p)
			memcpy(q, p, block[i].size < size ? block[i].size : size);
	if (q)
		give(p, file, line);
	return q;
}

static bool held(const void *what, size_t len)
{
	for (size_t i = 0; i < blocks; i++)
		if (memmem(block[i].p, block[i].size, what, len))
			return true;
	return false;
}

static struct aead *a;
static uint8_t key[AEAD_KEY], nonce[AEAD_NONCE], text[TEXT_MAX + 1], sealed[AEAD_MAX], theirs[AEAD_MAX + 1], back[AEAD_MAX];

static int setup(void **state)
{
	(void)state;
	randombytes_buf_deterministic(text, sizeof(text), (const uint8_t[randombytes_SEEDBYTES]){ 1 });
	memcpy(key, "thirty-two bytes that are a key.", sizeof(key));
	memcpy(nonce, "twelve bytes", sizeof(nonce));
	return aead_new(&a);
}

static int teardown(void **state)
{
	(void)state;
	aead_free(a);
	a = NULL;
	return 0;
}

/* All short ones, then each about twice the last. */
static size_t next_length(size_t len)
{
	if (len < 600)
		return len + 1;
	return 2 * len < TEXT_MAX || len == TEXT_MAX ? 2 * len + 1 : TEXT_MAX;
}

static void it_seals_and_opens_what_libsodium_does(void **state)
{
	static const size_t ad_len[] = { 0, 1, 16, 64, 1000 };

	(void)state;
	for (size_t len = 0; len <= TEXT_MAX; len = next_length(len)) {
		const uint8_t *ad = text + len % 77;
		size_t n = ad_len[len % 5];

		nonce[len % AEAD_NONCE]++;
		key[len % AEAD_KEY]++;
		crypto_aead_chacha20poly1305_ietf_encrypt(theirs, NULL, text, len, ad, n, NULL, nonce, key);
		aead_seal(a, key, nonce, ad, n, text, len, sealed);
		assert_memory_equal(sealed, theirs, len + AEAD_TAG);
		assert_int_equal(aead_open(a, key, nonce, ad, n, sealed, len + AEAD_TAG, back), 0);
		assert_memory_equal(back, text, len);
		/* And in place. */
		memcpy(back, text, len);
		aead_seal(a, key, nonce, ad, n, back, len, back);
		assert_memory_equal(back, theirs, len + AEAD_TAG);
		assert_int_equal(aead_open(a, key, nonce, ad, n, back, len + AEAD_TAG, back), 0);
		assert_memory_equal(back, text, len);
	}
}

/* What is refused leaves nothing of what it would have been. */
static void assert_refused(const uint8_t *with, const uint8_t *at, const void *ad, size_t ad_len, size_t len)
{
	memset(back, 'x', sizeof(back));
	assert_int_equal(aead_open(a, with, at, ad, ad_len, sealed, len, back), -EBADMSG);
	for (size_t i = 0; len >= AEAD_TAG && i < len - AEAD_TAG; i++)
		assert_int_equal(back[i], 0);
}

static void what_was_not_sealed_so_is_refused_and_leaves_nothing(void **state)
{
	enum { LEN = 100, ALL = LEN + AEAD_TAG };
	uint8_t other[AEAD_KEY];

	(void)state;
	aead_seal(a, key, nonce, "with", 4, text, LEN, sealed);
	for (unsigned int bit = 0; bit < 8 * ALL; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_refused(key, nonce, "with", 4, ALL);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < ALL; len++)
		assert_refused(key, nonce, "with", 4, len);
	assert_refused(key, nonce, "with", 4, ALL + 1);
	assert_refused(key, nonce, "wits", 4, ALL);
	assert_refused(key, nonce, "with", 3, ALL);
	assert_refused(key, nonce, NULL, 0, ALL);
	memcpy(other, key, sizeof(other));
	other[AEAD_KEY - 1] ^= 1;
	assert_refused(other, nonce, "with", 4, ALL);
	memcpy(other, nonce, AEAD_NONCE);
	other[0] ^= 1;
	assert_refused(key, other, "with", 4, ALL);
	crypto_aead_chacha20poly1305_ietf_encrypt(theirs, NULL, text, TEXT_MAX + 1, NULL, 0, NULL, nonce, key);
	assert_int_equal(aead_open(a, key, nonce, NULL, 0, theirs, AEAD_MAX + 1, back), -EBADMSG);
	assert_int_equal(aead_open(a, key, nonce, "with", 4, sealed, ALL, back), 0);
}

static void between_calls_it_holds_no_key(void **state)
{
	(void)state;
	assert_true(blocks > 0);
	for (size_t len = 0; len <= 1000; len += 100) {
		aead_seal(a, key, nonce, NULL, 0, text, len, sealed);
		assert_false(held(key, 8) || held(key + AEAD_KEY - 8, 8));
		assert_int_equal(aead_open(a, key, nonce, NULL, 0, sealed, len + AEAD_TAG, back), 0);
		assert_false(held(key, 8) || held(key + AEAD_KEY - 8, 8));
		sealed[0] ^= 1;
		assert_int_equal(aead_open(a, key, nonce, NULL, 0, sealed, len + AEAD_TAG, back), -EBADMSG);
		assert_false(held(key, 8) || held(key + AEAD_KEY - 8, 8));
	}
}

static void sealing_and_opening_need_no_memory(void **state)
{
	size_t before = allocated;

	(void)state;
	aead_seal(a, key, nonce, "with", 4, text, 1000, sealed);
	assert_int_equal(aead_open(a, key, nonce, "with", 4, sealed, 1000 + AEAD_TAG, back), 0);
	assert_int_equal(allocated, before);
	allowed = 0;
	sealed[0] ^= 1;
	assert_int_equal(aead_open(a, key, nonce, "with", 4, sealed, 1000 + AEAD_TAG, back), -EBADMSG);
	sealed[0] ^= 1;
	assert_int_equal(aead_open(a, key, nonce, "with", 4, sealed, 1000 + AEAD_TAG, back), 0);
	allowed = SIZE_MAX;
}

static void without_memory_there_is_none(void **state)
{
	struct aead *other;
	int rc;

	(void)state;
	for (size_t n = 0, step = 1;; n += step++) {
		allowed = allocated + n;
		rc = aead_new(&other);
		allowed = SIZE_MAX;
		if (rc == 0)
			break;
		assert_true(rc == -ENOMEM || rc == -ENOSYS);
	}
	aead_free(other);
}

static void it_leaves_nothing_behind(void **state)
{
	size_t before = blocks, bytes = 0;
	struct aead *other;

	(void)state;
	assert_int_equal(aead_new(&other), 0);
	for (size_t i = before; i < blocks; i++)
		bytes += block[i].size;
	print_message("# one takes %zu bytes in %zu blocks\n", bytes, blocks - before);
	aead_free(other);
	assert_int_equal(blocks, before);
}

/* One that allows nothing but what FIPS allows, which this cipher is not. */
static const char hostile[] = "openssl_conf = all\n[all]\nalg_section = evp\n[evp]\ndefault_properties = fips=yes\n";

static void the_machines_configuration_has_no_say(void **state)
{
	OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
	EVP_CIPHER *cipher;

	(void)state;
	/* All tests run with it; here is one who heeds it. */
	assert_int_equal(OSSL_LIB_CTX_load_config(library, getenv("OPENSSL_CONF")), 1);
	cipher = EVP_CIPHER_fetch(library, "ChaCha20-Poly1305", NULL);
	assert_null(cipher);
	OSSL_LIB_CTX_free(library);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_seals_and_opens_what_libsodium_does),
		cmocka_unit_test(what_was_not_sealed_so_is_refused_and_leaves_nothing),
		cmocka_unit_test(between_calls_it_holds_no_key),
		cmocka_unit_test(sealing_and_opening_need_no_memory),
		cmocka_unit_test(without_memory_there_is_none),
		cmocka_unit_test(it_leaves_nothing_behind),
		cmocka_unit_test(the_machines_configuration_has_no_say),
	};
	char path[] = "/tmp/test_aead.XXXXXX";
	int failed, fd = mkstemp(path);

	if (fd < 0 || write(fd, hostile, sizeof(hostile) - 1) != sizeof(hostile) - 1 || setenv("OPENSSL_CONF", path, 1) < 0 ||
	    CRYPTO_set_mem_functions(take, resize, give) != 1 || sodium_init() < 0)
		return 1;
	failed = suite_run_with(tests, setup, teardown);
	close(fd);
	unlink(path);
	return failed;
}
