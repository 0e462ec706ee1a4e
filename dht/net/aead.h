/*
 * aead: ChaCha20-Poly1305 (RFC 8439), from OpenSSL's libcrypto.
 *
 * Of libcrypto, and not of libsodium, which does all else, because of its speed: on long messages it is about three
 * times as fast, and all that a link carries goes through here.  There is no second implementation to fall back to: where
 * libcrypto can't be had, aead_new() says so, and there are no links.
 *
 * It is libcrypto's alone: a library context of its own, so that neither the machine's openssl.cnf nor the
 * environment (OPENSSL_CONF, OPENSSL_MODULES) has a say, and nothing is begun before the first aead_new().
 *
 * Between calls it holds nobody's key.  They allocate nothing, so they can't fail for want of memory.  One thread at a time.
 */
#ifndef DHT_NET_AEAD_H
#define DHT_NET_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY   32u
#define AEAD_NONCE 12u
#define AEAD_TAG   16u
#define AEAD_MAX   65535u	/* bytes of a sealed message, and of what is authenticated with it */

struct aead;

/** aead_new(out): for a program's start: 1 ms, 200 kB.  0, -ENOMEM, or -ENOSYS: this machine's libcrypto has no such cipher,
 * or no memory to look for it: it does not say which. */
int aead_new(struct aead **out);
void aead_free(struct aead *a);		/* NULL is fine */

/** aead_seal(a, key, nonce, ad, ad_len, plain, len, out): ${len} bytes and their tag go to ${out}, which may be ${plain}. */
void aead_seal(struct aead *a, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_len,
    const void *plain, size_t len, void *out);

/**
 * aead_open(a, key, nonce, ad, ad_len, sealed, len, out): the reverse; ${len} is with the tag.  0, or -EBADMSG: not what
 * was sealed with these; ${out} has nothing of it then: nobody gets to see what nobody vouches for.
 */
int aead_open(struct aead *a, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *ad, size_t ad_len,
    const void *sealed, size_t len, void *out);

#endif
