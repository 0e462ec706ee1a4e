#include "dht/net/noise.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "chunker/bytes.h"

#define BLOCK 128	/* of BLAKE2b, for HMAC */
#define MESSAGES 3u

_Static_assert(NOISE_KEY == crypto_scalarmult_BYTES && NOISE_KEY == AEAD_KEY, "X25519 and ChaCha20 keys");
_Static_assert(NOISE_MESSAGE <= AEAD_MAX, "whatever is a message can be sealed");

/*
 * The symmetric half: sections 4 and 5.1 and 5.2 of the framework.
 */

static void hash2(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t out[NOISE_HASH])
{
	crypto_generichash_blake2b_state st;

	crypto_generichash_blake2b_init(&st, NULL, 0, NOISE_HASH);
	crypto_generichash_blake2b_update(&st, a, a_len);
	crypto_generichash_blake2b_update(&st, b, b_len);
	crypto_generichash_blake2b_final(&st, out, NOISE_HASH);
	sodium_memzero(&st, sizeof(st));
}

/* HMAC (RFC 2104); keys here are never longer than a block. */
static void hmac(const uint8_t *key, size_t key_len, const void *data, size_t len, uint8_t out[NOISE_HASH])
{
	uint8_t pad[BLOCK] = { 0 }, inner[NOISE_HASH];

	memcpy(pad, key, key_len);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	hash2(pad, BLOCK, data, len, inner);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash2(pad, BLOCK, inner, NOISE_HASH, out);
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

/* HKDF of section 4.3: ${count} outputs of NOISE_HASH bytes. */
static void hkdf(const uint8_t chaining[NOISE_HASH], const void *input, size_t len, int count,
    uint8_t out[][NOISE_HASH])
{
	uint8_t temp[NOISE_HASH], data[NOISE_HASH + 1];
	size_t n = 0;

	hmac(chaining, NOISE_HASH, input, len, temp);
	for (int i = 0; i < count; i++) {
		data[n] = (uint8_t)(i + 1);
		hmac(temp, NOISE_HASH, data, n + 1, out[i]);
		memcpy(data, out[i], NOISE_HASH);
		n = NOISE_HASH;
	}
	sodium_memzero(temp, sizeof(temp));
	sodium_memzero(data, sizeof(data));
}

static void set_key(struct noise_cipher *c, const uint8_t key[NOISE_KEY])
{
	memcpy(c->key, key, NOISE_KEY);
	c->n = 0;
	c->keyed = true;
}

static void mix_hash(struct noise *n, const void *data, size_t len)
{
	hash2(n->hash, NOISE_HASH, data, len, n->hash);
}

static void mix_key(struct noise *n, const uint8_t key[NOISE_KEY])
{
	uint8_t out[2][NOISE_HASH];

	hkdf(n->chaining, key, NOISE_KEY, 2, out);
	memcpy(n->chaining, out[0], NOISE_HASH);
	set_key(&n->cipher, out[1]);
	sodium_memzero(out, sizeof(out));
}

static void mix_psk(struct noise *n, unsigned int place)
{
	uint8_t out[3][NOISE_HASH];

	if (!(n->psks >> place & 1))
		return;
	hkdf(n->chaining, n->psk[place], NOISE_KEY, 3, out);
	memcpy(n->chaining, out[0], NOISE_HASH);
	mix_hash(n, out[1], NOISE_HASH);
	set_key(&n->cipher, out[2]);
	sodium_memzero(out, sizeof(out));
}

static void seal(struct noise_cipher *c, const void *ad, size_t ad_len, const void *plain, size_t len,
    void *out)
{
	uint8_t nonce[AEAD_NONCE] = { 0 };

	assert(c->n < UINT64_MAX);
	put_le64(nonce + 4, c->n++);
	aead_seal(c->aead, c->key, nonce, ad, ad_len, plain, len, out);
}

static int open_sealed(struct noise_cipher *c, const void *ad, size_t ad_len, const void *sealed,
    size_t len, void *out)
{
	uint8_t nonce[AEAD_NONCE] = { 0 };
	int rc;

	if (c->n == UINT64_MAX)
		return -EBADMSG;
	put_le64(nonce + 4, c->n);
	rc = aead_open(c->aead, c->key, nonce, ad, ad_len, sealed, len, out);
	if (rc == 0)
		c->n++;
	return rc;
}

void noise_seal(struct noise_cipher *c, const void *plain, size_t len, void *out)
{
	seal(c, NULL, 0, plain, len, out);
}

int noise_open(struct noise_cipher *c, const void *sealed, size_t len, void *out)
{
	return open_sealed(c, NULL, 0, sealed, len, out);
}

void noise_rekey(struct noise_cipher *c)
{
	static const uint8_t zeros[NOISE_KEY];
	uint8_t nonce[AEAD_NONCE] = { 0 };
	uint8_t out[NOISE_KEY + NOISE_TAG];

	put_le64(nonce + 4, UINT64_MAX);
	aead_seal(c->aead, c->key, nonce, NULL, 0, zeros, sizeof(zeros), out);
	memcpy(c->key, out, NOISE_KEY);
	sodium_memzero(out, sizeof(out));
}

/*
 * The handshake: sections 5.3 and 7 to 9.
 */

static int diffie_hellman(struct noise *n, const uint8_t secret[NOISE_KEY], const uint8_t public[NOISE_KEY])
{
	uint8_t shared[NOISE_KEY];
	int rc = crypto_scalarmult(shared, secret, public) < 0 ? -EBADMSG : 0;

	if (rc == 0)
		mix_key(n, shared);
	sodium_memzero(shared, sizeof(shared));
	return rc;
}

/* e and s of the initiator with e and s of the responder: "ee", "es" and "se" read the same on both sides. */
static int mix_es(struct noise *n)
{
	return n->initiator ? diffie_hellman(n, n->ephemeral, n->their_public)
			    : diffie_hellman(n, n->secret, n->their_ephemeral);
}

static int mix_se(struct noise *n)
{
	return n->initiator ? diffie_hellman(n, n->secret, n->their_ephemeral)
			    : diffie_hellman(n, n->ephemeral, n->their_public);
}

static void write_sealed(struct noise *n, const void *plain, size_t len, uint8_t **out)
{
	size_t sealed = len + (n->cipher.keyed ? NOISE_TAG : 0);

	if (n->cipher.keyed)
		seal(&n->cipher, n->hash, NOISE_HASH, plain, len, *out);
	else if (len > 0)
		memcpy(*out, plain, len);
	mix_hash(n, *out, sealed);
	*out += sealed;
}

static int read_sealed(struct noise *n, const uint8_t **in, size_t *left, void *out, size_t len)
{
	size_t sealed = len + (n->cipher.keyed ? NOISE_TAG : 0);
	int rc = 0;

	if (*left < sealed)
		return -EBADMSG;
	if (n->cipher.keyed)
		rc = open_sealed(&n->cipher, n->hash, NOISE_HASH, *in, sealed, out);
	else if (len > 0)
		memcpy(out, *in, len);
	mix_hash(n, *in, sealed);
	*in += sealed;
	*left -= sealed;
	return rc;
}

/* Computed when it is sent, and not before: a stranger's first message is to cost no multiplication. */
static void public_of(const uint8_t secret[NOISE_KEY], uint8_t public[NOISE_KEY])
{
	int rc = crypto_scalarmult_base(public, secret);

	assert(rc == 0);	/* a secret is clamped, so it is never a multiple of the order */
}

static void write_static(struct noise *n, uint8_t **out)
{
	uint8_t public[NOISE_KEY];

	public_of(n->secret, public);
	write_sealed(n, public, NOISE_KEY, out);
}

static void mix_ephemeral(struct noise *n, const uint8_t public[NOISE_KEY])
{
	mix_hash(n, public, NOISE_KEY);
	if (n->psks)
		mix_key(n, public);
}

static void write_ephemeral(struct noise *n, uint8_t **out)
{
	public_of(n->ephemeral, *out);
	mix_ephemeral(n, *out);
	*out += NOISE_KEY;
}

static int read_ephemeral(struct noise *n, const uint8_t **in, size_t *left)
{
	if (*left < NOISE_KEY)
		return -EBADMSG;
	memcpy(n->their_ephemeral, *in, NOISE_KEY);
	*in += NOISE_KEY;
	*left -= NOISE_KEY;
	mix_ephemeral(n, n->their_ephemeral);
	return 0;
}

/* What comes before the payload of message ${n}->message, written or read. */
static int write_tokens(struct noise *n, uint8_t **out)
{
	int rc = 0;

	if (n->message == 0) {
		mix_psk(n, 0);
		write_ephemeral(n, out);
		mix_psk(n, 1);
	} else if (n->message == 1) {
		write_ephemeral(n, out);
		rc = diffie_hellman(n, n->ephemeral, n->their_ephemeral);
		if (rc < 0)
			return rc;
		write_static(n, out);
		rc = mix_es(n);
		mix_psk(n, 2);
	} else {
		write_static(n, out);
		rc = mix_se(n);
		mix_psk(n, 3);
	}
	return rc;
}

static int read_tokens(struct noise *n, const uint8_t **in, size_t *left)
{
	int rc;

	if (n->message == 0) {
		mix_psk(n, 0);
		rc = read_ephemeral(n, in, left);
		mix_psk(n, 1);
	} else if (n->message == 1) {
		rc = read_ephemeral(n, in, left);
		if (rc == 0)
			rc = diffie_hellman(n, n->ephemeral, n->their_ephemeral);
		if (rc == 0)
			rc = read_sealed(n, in, left, n->their_public, NOISE_KEY);
		if (rc == 0)
			rc = mix_es(n);
		mix_psk(n, 2);
	} else {
		rc = read_sealed(n, in, left, n->their_public, NOISE_KEY);
		if (rc == 0)
			rc = mix_se(n);
		mix_psk(n, 3);
	}
	return rc;
}

static int fail(struct noise *n, int rc)
{
	noise_wipe(n);
	n->failed = true;
	return rc;
}

/* "Noise_XXpsk0+psk2_25519_ChaChaPoly_BLAKE2b", without a NUL: its length. */
static size_t protocol_name(unsigned int psks, char name[NOISE_HASH])
{
	static const char suffix[] = "_25519_ChaChaPoly_BLAKE2b";
	size_t len = 8;

	memcpy(name, "Noise_XX", len);
	for (unsigned int i = 0; i < NOISE_PSKS; i++) {
		if (!(psks >> i & 1))
			continue;
		if (len > 8)
			name[len++] = '+';
		memcpy(name + len, "psk", 3);
		name[len + 3] = (char)('0' + i);
		len += 4;
	}
	memcpy(name + len, suffix, sizeof(suffix) - 1);
	return len + sizeof(suffix) - 1;
}

void noise_start(struct noise *n, const struct noise_options *o)
{
	char name[NOISE_HASH] = { 0 };
	size_t len = protocol_name(o->psks, name), given = 0;

	assert(o->psks < 1u << NOISE_PSKS && len <= NOISE_HASH);
	memset(n, 0, sizeof(*n));
	n->initiator = o->initiator;
	n->cipher.aead = o->aead;
	n->psks = o->psks;
	for (unsigned int i = 0; i < NOISE_PSKS; i++)
		if (o->psks >> i & 1)
			memcpy(n->psk[i], o->psk[given++], NOISE_KEY);
	memcpy(n->secret, o->secret, NOISE_KEY);
	memcpy(n->ephemeral, o->ephemeral, NOISE_KEY);
	/* A name of up to a hash's length stands for its own hash, padded with zeros. */
	memcpy(n->hash, name, NOISE_HASH);
	memcpy(n->chaining, n->hash, NOISE_HASH);
	mix_hash(n, o->prologue, o->prologue_len);
}

bool noise_done(const struct noise *n)
{
	return !n->failed && n->message == MESSAGES;
}

bool noise_turn(const struct noise *n)
{
	return !n->failed && n->message < MESSAGES && n->initiator == (n->message % 2 == 0);
}

int noise_write(struct noise *n, const void *payload, size_t len, uint8_t *out, size_t size)
{
	uint8_t *at = out;
	int rc;

	if (!noise_turn(n))
		return -EPROTO;
	if (len > NOISE_MESSAGE - NOISE_OVERHEAD || len + NOISE_OVERHEAD > size)
		return -EMSGSIZE;
	rc = write_tokens(n, &at);
	if (rc < 0)
		return fail(n, rc);
	write_sealed(n, payload, len, &at);
	n->message++;
	return (int)(at - out);
}

int noise_read(struct noise *n, const uint8_t *message, size_t len, void *out, size_t size)
{
	size_t left = len, tag;
	int rc;

	if (n->failed || noise_done(n) || noise_turn(n))
		return -EPROTO;
	if (len > NOISE_MESSAGE)
		return fail(n, -EMSGSIZE);
	rc = read_tokens(n, &message, &left);
	if (rc < 0)
		return fail(n, rc);
	tag = n->cipher.keyed ? NOISE_TAG : 0;
	if (left < tag)
		return fail(n, -EBADMSG);
	left -= tag;
	if (left > size)
		return fail(n, -EMSGSIZE);
	len = left;
	left += tag;
	rc = read_sealed(n, &message, &left, out, len);
	if (rc < 0)
		return fail(n, rc);
	n->message++;
	return (int)len;
}

void noise_split(struct noise *n, struct noise_cipher *send, struct noise_cipher *receive,
    uint8_t hash[NOISE_HASH])
{
	uint8_t out[2][NOISE_HASH];

	assert(noise_done(n));
	hkdf(n->chaining, NULL, 0, 2, out);
	send->aead = receive->aead = n->cipher.aead;
	set_key(n->initiator ? send : receive, out[0]);
	set_key(n->initiator ? receive : send, out[1]);
	memcpy(hash, n->hash, NOISE_HASH);
	sodium_memzero(out, sizeof(out));
	noise_wipe(n);
}

void noise_wipe(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
	n->failed = true;	/* of no use any more */
}
