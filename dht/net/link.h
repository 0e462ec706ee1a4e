/*
 * link: one connection of two nodes, from its first byte to its last: the handshake (noise.h), the frames,
 * the order of what is sent, and credits.  Pure: bytes in, bytes out, messages in, messages out.
 *
 * A handshake message, too, goes as le16 length and bytes.  The first, 64 bytes: Noise's 48, then a proof of 16 that
 * its sender knows a secret of the ring (BLAKE2b-128 of the 48, keyed by the secret): without it nothing more is
 * computed.  The second: Noise's 96, or, where the proof holds but the prologues differ, a refusal of 48: the hash
 * of the refuser's ring file, and a proof over the first message and that hash; so that both can say why.  The
 * third: Noise's 64.  The prologue is "dhtfs 1" and the hash of the ring file without its secret.
 *
 * A frame is le16 length and that many bytes of ciphertext; its plaintext: u8 type, u8 flags (bit 0: the
 * message goes on in the next frame of its priority; priority in bits 4 and 5), le32 request, then a part
 * of the message's body.  The first frame each way is a LINK_HELLO: fields of u8 number, le16 length and value
 * (link_hello.c), among them a signature that ties the node's key to this connection.  Messages of different
 * priorities are cut into frames and interleaved: control first, then read, write, repair; repair has at least
 * LINK_REPAIR_SHARE of what is sent while it waits.
 *
 * Credits: body bytes of all but control are sent only as far as the other side granted them, in its hello and by
 * LINK_GRANT frames (le32 bytes more).  It grants as frames come and are consumed: what it granted and has not
 * seen, and what came and is not consumed, is at most LINK_CREDIT a link; of that LINK_CREDIT_MIN is the link's
 * own, the rest comes from a pool that all links of a node share.  When that is empty, one link at a time may
 * overdraw it, so that a message that has begun always ends.  Control messages are no part of it; one over
 * LINK_CONTROL_MAX breaks the protocol.
 *
 * The seam of the simulator: LINK_PLAIN has no handshake but the hello and no ciphers; all the rest is the same.
 */
#ifndef DHT_NET_LINK_H
#define DHT_NET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/chunk.h"
#include "chunker/list.h"
#include "dht/net/member.h"
#include "dht/net/noise.h"
#include "dht/net/wire.h"

#define LINK_FRAME_PLAIN   65519u	/* plaintext of a frame at most: 65535 less the tag */
#define LINK_FRAME_HEAD	   6u
#define LINK_CREDIT	   (2u << 20)	/* bytes of messages that a link may have in flight or unread at most: 100 MB/s at 20 ms */
#define LINK_CREDIT_FIRST  (320u << 10)	/* granted in the hello, pool allowing: an answer with the longest chunk */
#define LINK_CREDIT_MIN	   (64u << 10)	/* of each link, whatever the pool has: 72 MiB for 1152 links */
#define LINK_POOL	   (64u << 20)	/* beyond that, of all links of a node */
#define LINK_QUEUE_FULL	   (1u << 20)	/* bytes queued: link_full() from here ... */
#define LINK_QUEUE_ROOM	   (256u << 10)	/* ... until down to this */
#define LINK_REKEY_FRAMES  (1u << 20)
#define LINK_REPAIR_SHARE  10u		/* per cent */
#define LINK_HANDSHAKE_US  5000000u	/* a handshake may take this long in all */
#define LINK_CONTROL_MAX   (256u * 1024)	/* bytes of control messages queued by us; beyond: dropped, oldest first */

enum link_priority { LINK_CONTROL, LINK_READ, LINK_WRITE, LINK_REPAIR, LINK_PRIORITIES };

#define LINK_HELLO 0u		/* types of frames that are the link's own; the others are messages (wire.h) */
#define LINK_GRANT 255u

struct link_pool {		/* credit that the node has granted and not got back; begins with zeros and ${max} */
	uint64_t granted, max;
	struct list waiting;	/* private: links that it had nothing for */
};

enum link_kind { LINK_NOISE, LINK_PLAIN };

struct link_options {
	enum link_kind kind;
	bool initiator;
	const struct ring_file *file;
	const struct ring_file *older;		/* a second secret that is accepted (its other parts are equal), or NULL */
	const uint8_t *key;			/* our Ed25519 public key */
	const uint8_t *secret;			/* and secret, MEMBER_SECRET bytes: signs the handshake's hash */
	const uint8_t *noise_secret;		/* our static X25519 secret */
	uint8_t random[32];			/* fresh: the ephemeral secret */
	struct link_pool *pool;			/* outlives the link */
	struct aead *aead;			/* of its thread, outlives the link; NULL will do for LINK_PLAIN */
	void *user;				/* the driver's: see link_pool_next() */
	uint64_t instance;			/* of this process: a peer with our own key and another one is a clone */
	uint64_t now;				/* us */
};

struct link;

/** link_new(o, out): copies what it needs of ${o}.  0, -ENOMEM. */
int link_new(const struct link_options *o, struct link **out);
void link_free(struct link *l);		/* wipes its keys, gives back its credit; NULL is fine */

/**
 * link_input(l, bytes, len): what came from the socket, in any pieces.  0, or the reason to close it:
 * -EBADMSG (forged, torn, another secret), -EPROTO (breaks the protocol), -EKEYREJECTED (another
 * ring file), -EEXIST (our own id with another instance: a cloned machine), -ELOOP (our very own process), -ENOMEM.
 * link_why(l): the reason, for the log; "" before.  link_output() may then have a last word to the other side.
 */
int link_input(struct link *l, const uint8_t *bytes, size_t len);
const char *link_why(const struct link *l);

/** link_output(l, out): bytes to send now, valid until link_sent(l, n) says that the first ${n} of them were taken.
 * False: nothing to send.  At most about LINK_FRAME_PLAIN bytes are encrypted ahead of time, so that
 * what is urgent never waits behind much. */
bool link_output(struct link *l, struct wire_slice *out);
void link_sent(struct link *l, size_t n);

/** link_peer(l): once the handshake is over and the hello was believed: the peer's public key; NULL before. */
const uint8_t *link_peer(const struct link *l);

/** link_deadline(l): when to give up on the handshake (us); UINT64_MAX when it is over. */
uint64_t link_deadline(const struct link *l);

struct link_message {
	unsigned int type;		/* enum wire_type, or one that we don't know */
	uint32_t request;
	enum link_priority priority;
	struct chunk *body;		/* held for the receiver: the encoded fields */
};

/** link_features(l): feature bits that both sides have; 0 before link_peer(). */
uint64_t link_features(const struct link *l);

/** link_send(l, type, request, priority, head, tail): queue a message whose body is ${head}, then ${tail} (or NULL);
 * takes its own holds.  -EMSGSIZE, -ENOMEM, -ENOTCONN (no peer yet). */
int link_send(struct link *l, unsigned int type, uint32_t request, enum link_priority priority,
    struct chunk *head, struct chunk *tail);

/** link_receive(l, out): the next whole message; false: none.  link_consumed(l, bytes): the node is done with that many
 * body bytes that were not control: the other side may send more. */
bool link_receive(struct link *l, struct link_message *out);
void link_consumed(struct link *l, size_t bytes);

/** link_pool_next(p): the ${user} of a link that waited for the pool and has something to send now; NULL: none.  To be
 * asked, until NULL, when a link of this pool was told of consumed bytes or freed. */
void *link_pool_next(struct link_pool *p);

/** link_queued(l): body bytes not sent yet.  link_full(l): with the hysteresis of LINK_QUEUE_*. */
size_t link_queued(const struct link *l);
bool link_full(const struct link *l);

#endif
