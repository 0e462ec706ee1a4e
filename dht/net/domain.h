/* domain: Ed25519 signatures that can't be taken for one another.  What is signed is the domain's name, padded with
 * zeros to DOMAIN_LEN bytes, and the body right behind it.  Pure. */
#ifndef DHT_NET_DOMAIN_H
#define DHT_NET_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_LEN	 16u
#define DOMAIN_BODY_MAX	 512u
#define DOMAIN_KEY	 32u	/* bytes of a public key */
#define DOMAIN_SECRET	 64u	/* of a secret key: the seed, then the public key */
#define DOMAIN_SIGNATURE 64u

/** domain_sign(domain, body, len, secret, out): deterministic (RFC 8032). */
void domain_sign(const char *domain, const uint8_t *body, size_t len, const uint8_t secret[DOMAIN_SECRET],
    uint8_t out[DOMAIN_SIGNATURE]);

/** domain_verify(domain, body, len, key, signature): false also for keys of small order and for a signature that is not
 * in the one form that it can have. */
bool domain_verify(const char *domain, const uint8_t *body, size_t len, const uint8_t key[DOMAIN_KEY],
    const uint8_t signature[DOMAIN_SIGNATURE]);

/** domain_id(name, key, out): BLAKE2b-256 of a public key, personalised with ${name}, of at most 16 bytes. */
struct address;
void domain_id(const char *name, const uint8_t key[DOMAIN_KEY], struct address *out);

#endif
