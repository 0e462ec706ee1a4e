/*
 * What is signed is a name of DOMAIN_LEN bytes, filled up with zeros, and the body behind it.  The length of the name is fixed, so
 * that no name with a body reads as another name with another body: a signature for one use is none for another.
 */
#include "dht/net/domain.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "chunker/address.h"

/* libsodium has no plain Ed25519 over parts, and what is signed here is short. */
static size_t message(uint8_t out[DOMAIN_LEN + DOMAIN_BODY_MAX], const char *domain, const uint8_t *body, size_t len)
{
	size_t name = strlen(domain);

	assert(name > 0 && name <= DOMAIN_LEN && len <= DOMAIN_BODY_MAX);
	memset(out, 0, DOMAIN_LEN);
	memcpy(out, domain, name);
	memcpy(out + DOMAIN_LEN, body, len);
	return DOMAIN_LEN + len;
}

void domain_sign(const char *domain, const uint8_t *body, size_t len, const uint8_t secret[DOMAIN_SECRET],
    uint8_t out[DOMAIN_SIGNATURE])
{
	uint8_t m[DOMAIN_LEN + DOMAIN_BODY_MAX];
	size_t n = message(m, domain, body, len);
	int rc = crypto_sign_detached(out, NULL, m, n, secret);

	assert(rc == 0);
}

bool domain_verify(const char *domain, const uint8_t *body, size_t len, const uint8_t key[DOMAIN_KEY],
    const uint8_t signature[DOMAIN_SIGNATURE])
{
	uint8_t m[DOMAIN_LEN + DOMAIN_BODY_MAX];
	size_t n = message(m, domain, body, len);

	return crypto_sign_verify_detached(signature, m, n, key) == 0;
}

void domain_id(const char *name, const uint8_t key[DOMAIN_KEY], struct address *out)
{
	uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = { 0 };
	size_t len = strlen(name);
	int rc;

	assert(len <= sizeof(personal));
	memcpy(personal, name, len);
	rc = crypto_generichash_blake2b_salt_personal(out->b, ADDRESS_LEN, key, DOMAIN_KEY, NULL, 0, NULL, personal);
	assert(rc == 0);
}
