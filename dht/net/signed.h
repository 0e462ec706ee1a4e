/*
 * signed: what a volume's key signs: leases, their end, heads.  Each under a domain of its own, which names the ring.
 * A volume's id is the BLAKE2b-256 of its Ed25519 public key, personalised "dhtfs volume".  Pure.
 */
#ifndef DHT_NET_SIGNED_H
#define DHT_NET_SIGNED_H

#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/member.h"

#define SIGNED_MAX 512u			/* bytes of any of them */

/* The first byte of each; 1 and 2 are those of member.h, so that none is taken for another. */
enum signed_kind { SIGNED_LEASE = 3, SIGNED_RETIRE = 4, SIGNED_HEAD = 5 };

/* What a volume keeps alive in one slot: nothing ends it but a later one, or the volume's retirement. */
struct lease {
	uint8_t key[MEMBER_KEY];
	struct address volume;		/* follows from the key */
	uint16_t slot;
	uint64_t seq;
	uint32_t count;
	struct address root;		/* lease_root() of its addresses */
};

struct retire {
	uint8_t key[MEMBER_KEY];
	struct address volume;
};

struct head {
	uint8_t key[MEMBER_KEY];
	struct address volume;
	uint64_t seq;			/* from 1, one more each */
	struct address previous;	/* head_hash() of the one before; zeros: none */
	uint64_t writer;		/* random, of the writer's process */
	struct ref snapshot;
};

void volume_id(const uint8_t key[MEMBER_KEY], struct address *out);

/** signed_volume(bytes, len, out): whose it says it is: nothing is verified.  -EBADMSG: too short. */
int signed_volume(const uint8_t *bytes, size_t len, struct address *out);

/** *_sign(x, ring, secret, out): the signed bytes into ${out} (volume follows from the key; not read).  Their length. */
size_t lease_sign(const struct lease *l, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    uint8_t out[SIGNED_MAX]);
size_t retire_sign(const struct retire *r, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    uint8_t out[SIGNED_MAX]);
size_t head_sign(const struct head *h, const struct address *ring, const uint8_t secret[MEMBER_SECRET],
    uint8_t out[SIGNED_MAX]);

/** *_read(bytes, len, ring, out): decode and verify.  -EBADMSG: malformed, another ring or domain, a bad signature. */
int lease_read(const uint8_t *bytes, size_t len, const struct address *ring, struct lease *out);
int retire_read(const uint8_t *bytes, size_t len, const struct address *ring, struct retire *out);
int head_read(const uint8_t *bytes, size_t len, const struct address *ring, struct head *out);
/** lease_decode(bytes, len, ring, out): lease_read() without the signature: of what was verified when it came, and may have rotted since. */
int lease_decode(const uint8_t *bytes, size_t len, const struct address *ring, struct lease *out);

/** lease_root(addresses, count, out): BLAKE2b-256 over the addresses, which are in strictly rising order. */
void lease_root(const struct address *addresses, uint32_t count, struct address *out);

/** head_hash(bytes, len, out): BLAKE2b-256 of the signed bytes: what "previous" names. */
void head_hash(const uint8_t *bytes, size_t len, struct address *out);

#endif
