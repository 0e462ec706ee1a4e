#include "dht/net/aead.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct aead {
	OSSL_LIB_CTX *library;
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *context;
};

static const uint8_t no_key[AEAD_KEY];

int aead_new(struct aead **out)
{
	struct aead *a = calloc(1, sizeof(*a));
	int rc = -ENOMEM;

	if (!a)
		return -ENOMEM;
	/* A process may end by exit() while a thread still seals: then libcrypto must not tidy up under it. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		goto err;
	a->library = OSSL_LIB_CTX_new();
	if (!a->library)
		goto err;
	/* Once, by hand: a cipher that is named in each call is looked up in each call. */
	a->cipher = EVP_CIPHER_fetch(a->library, "ChaCha20-Poly1305", NULL);
	if (!a->cipher) {
		rc = -ENOSYS;
		goto err;
	}
	a->context = EVP_CIPHER_CTX_new();
	if (!a->context || !EVP_EncryptInit_ex2(a->context, a->cipher, no_key, NULL, NULL))
		goto err;
	*out = a;
	return 0;
err:
	aead_free(a);
	return rc;
}

void aead_free(struct aead *a)
{
	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->context);
	EVP_CIPHER_free(a->cipher);
	OSSL_LIB_CTX_free(a->library);
	free(a);
}

/* Each message is keyed anew, which is a copy of 32 bytes: so one context serves all connections and keeps the key of none. */
static void forget_key(struct aead *a)
{
	int ok = EVP_EncryptInit_ex2(a->context, NULL, no_key, no_key, NULL);

	assert(ok == 1);
}

void aead_seal(struct aead *a, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_len,
    const void *plain, size_t len, void *out)
{
	EVP_CIPHER_CTX *c = a->context;
	uint8_t *tag = (uint8_t *)out + len;
	bool ok;
	int n;

	assert(ad_len <= AEAD_MAX && len <= AEAD_MAX - AEAD_TAG);
	ok = EVP_EncryptInit_ex2(c, NULL, key, nonce, NULL) == 1 &&
	    (ad_len == 0 || EVP_EncryptUpdate(c, NULL, &n, ad, (int)ad_len) == 1) &&
	    (len == 0 || EVP_EncryptUpdate(c, out, &n, plain, (int)len) == 1) &&
	    EVP_EncryptFinal_ex(c, tag, &n) == 1 && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, tag) == 1;
	assert(ok);	/* nothing is asked of memory or of anybody else */
	forget_key(a);
}

int aead_open(struct aead *a, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_len,
    const void *sealed, size_t len, void *out)
{
	EVP_CIPHER_CTX *c = a->context;
	uint8_t tag[AEAD_TAG];
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, AEAD_TAG), OSSL_PARAM_END,
	};
	bool ok;
	int n;

	assert(ad_len <= AEAD_MAX);
	if (len < AEAD_TAG || len > AEAD_MAX)
		return -EBADMSG;
	len -= AEAD_TAG;
	memcpy(tag, (const uint8_t *)sealed + len, AEAD_TAG);
	ok = EVP_DecryptInit_ex2(c, NULL, key, nonce, params) == 1 &&
	    (ad_len == 0 || EVP_DecryptUpdate(c, NULL, &n, ad, (int)ad_len) == 1) &&
	    (len == 0 || EVP_DecryptUpdate(c, out, &n, sealed, (int)len) == 1) &&
	    EVP_DecryptFinal_ex(c, (uint8_t *)out + len, &n) == 1;
	forget_key(a);
	if (ok)
		return 0;
	/* libcrypto decrypts before it compares. */
	if (len > 0)
		sodium_memzero(out, len);
	return -EBADMSG;
}
