/*
 * identity: who this node is: its key, which lies in its store's folder and makes its id, the number of the store, and one of
 * this start of the process.
 *
 * STORE/node.key, mode 0600: lines of text, as a ring file's, with the ring's id and an Ed25519 secret key.  Made at the first start, durably, before anybody hears of
 * it.  Secrets are in memory that is locked, and wiped.
 */
#ifndef DHT_PEER_IDENTITY_H
#define DHT_PEER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/member.h"
#include "dht/net/noise.h"

#define IDENTITY_FILE "node.key"

struct identity {
	struct address id;
	uint8_t key[MEMBER_KEY];
	uint64_t generation;		/* the store's id: a store that was made anew is known for it */
	uint64_t instance;		/* random */
	bool made;			/* its key was made just now: nobody has heard of it before */
	uint8_t secret[MEMBER_SECRET];
	uint8_t noise_secret[NOISE_KEY];	/* follows from the secret; the handshake ties it to the key */
};

/** identity_open(dir, ring, out, why, why_size): of the store in ${dir}.  -EACCES: others can read the key; -EINVAL: it is no key, or damaged,
 * or that of a node of another ring; or what the disk said. */
int identity_open(const char *dir, const struct address *ring, struct identity **out, char *why, size_t why_size);
void identity_free(struct identity *i);

#endif
