/*
 * noise: the handshake, Noise_XX[psk...]_25519_ChaChaPoly_BLAKE2b, and the ciphers that it ends in.
 *
 * The Noise Protocol Framework, revision 34 (noiseprotocol.org), with the psk modifiers of its
 * section 9.  A state machine over buffers: three messages, of which the initiator writes the
 * first and the last:
 *
 *   -> [psk0] e [psk1]     <- e, ee, s, es [psk2]     -> s, se [psk3]
 *
 * A message that fails ends the handshake: nothing of it is believed, and all keys are wiped.
 * The cipher is aead.h's, which whoever starts a handshake brings along; all else is libsodium's.
 * No randomness of its own: the ephemeral secret comes from the caller, who never gives the
 * same one twice.
 */
#ifndef DHT_NET_NOISE_H
#define DHT_NET_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/net/aead.h"

#define NOISE_KEY	32u	/* bytes: secret, public and pre-shared keys */
#define NOISE_TAG	AEAD_TAG
#define NOISE_HASH	64u
#define NOISE_MESSAGE	65535u	/* bytes of a message at most */
#define NOISE_PSKS	4u	/* places for a psk: 0 to 3 */

/* The longest message of a handshake without its payload: e, s with its tag, the payload's tag. */
#define NOISE_OVERHEAD	(2 * NOISE_KEY + 2 * NOISE_TAG)

struct noise_cipher {
	struct aead *aead;	/* not its own: all of a thread share one */
	uint8_t key[NOISE_KEY];
	uint64_t n;		/* the next nonce */
	bool keyed;
};

struct noise_options {
	bool initiator;
	struct aead *aead;		/* outlives the handshake and the ciphers that it ends in */
	unsigned int psks;		/* bit i: the modifier "pski" */
	const uint8_t (*psk)[NOISE_KEY];	/* as many, in the order of their places */
	const void *prologue;		/* both sides must have the same */
	size_t prologue_len;
	const uint8_t *secret;		/* our static X25519 secret, NOISE_KEY bytes */
	const uint8_t *ephemeral;	/* random, used once */
};

/* Private, but for the size.  Holds secrets: noise_wipe() it. */
struct noise {
	struct noise_cipher cipher;
	uint8_t chaining[NOISE_HASH], hash[NOISE_HASH];
	uint8_t secret[NOISE_KEY], ephemeral[NOISE_KEY];
	uint8_t their_public[NOISE_KEY], their_ephemeral[NOISE_KEY];
	uint8_t psk[NOISE_PSKS][NOISE_KEY];
	unsigned int psks;
	unsigned int message;		/* the next one: 0 to 2; 3: done */
	bool initiator, failed;
};

/** noise_start(n, o): copies all of ${o} but the aead.  Computes nothing that is dear. */
void noise_start(struct noise *n, const struct noise_options *o);

/** noise_turn(n): is it ours to write the next message?  noise_done(n): all three are over. */
bool noise_turn(const struct noise *n);
bool noise_done(const struct noise *n);

/**
 * noise_write(n, payload, len, out, size): the next message, with ${payload} in it, encrypted as
 * far as keys are there already (with psk0: always).  Its length, or -EMSGSIZE: more than
 * ${size} or NOISE_MESSAGE; -EPROTO: not our turn, or failed; -EBADMSG: the other's key is
 * worthless.
 */
int noise_write(struct noise *n, const void *payload, size_t len, uint8_t *out, size_t size);

/**
 * noise_read(n, message, len, out, size): take the other's message; its payload goes to ${out},
 * whose length is returned.  -EBADMSG: forged, torn, of another secret, prologue or order;
 * -EMSGSIZE: the payload is longer than ${size}; -EPROTO: not their turn, or failed.  With psk0
 * a stranger's first message fails before any Diffie-Hellman.
 */
int noise_read(struct noise *n, const uint8_t *message, size_t len, void *out, size_t size);

/** noise_split(n, send, receive, hash): when done: the ciphers of the connection, and the hash that
 * names this handshake and nothing else.  Wipes ${n}. */
void noise_split(struct noise *n, struct noise_cipher *send, struct noise_cipher *receive,
    uint8_t hash[NOISE_HASH]);

void noise_wipe(struct noise *n);

/**
 * noise_seal(c, plain, len, out): encrypt into ${len} + NOISE_TAG bytes; may be in place.
 * noise_open(c, sealed, len, out): the reverse; ${len} with the tag.  -EBADMSG.
 * noise_rekey(c): a new key from the old one, which is gone (section 4.2).
 */
void noise_seal(struct noise_cipher *c, const void *plain, size_t len, void *out);
int noise_open(struct noise_cipher *c, const void *sealed, size_t len, void *out);
void noise_rekey(struct noise_cipher *c);

#endif
