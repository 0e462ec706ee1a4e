/* link_impl: what the files of a link share.  One thread drives a link; nothing here is locked. */
#ifndef DHT_NET_LINK_IMPL_H
#define DHT_NET_LINK_IMPL_H

#include "dht/net/link.h"

#define LINK_AHEAD	 (16u << 10)	/* frames are put together up to here; the last may exceed it */
#define LINK_GRANT_MIN	 4096u		/* less is not worth a frame */
#define LINK_CREDIT_PART 16u		/* a link takes this part of what the pool has left, so that the next finds some */
#define LINK_CREDIT_SANE (1u << 30)	/* a peer that grants more breaks the protocol */
#define LINK_HELLO_MAX	 1024u		/* plaintext of a hello: it may have fields that we don't know */
#define LINK_BRIEF	 4096u		/* a frame that is shorter is copied: the memory that it came in is not worth keeping */
#define LINK_READY_KEEP	 8u		/* places for received messages that stay allocated */

#define LINK_PROOF	 16u
#define LINK_FIRST_NOISE (NOISE_KEY + NOISE_TAG)
#define LINK_FIRST	 (LINK_FIRST_NOISE + LINK_PROOF)
#define LINK_SECOND	 (2 * NOISE_KEY + 2 * NOISE_TAG)
#define LINK_THIRD	 (NOISE_KEY + 2 * NOISE_TAG)
#define LINK_REFUSAL	 (ADDRESS_LEN + LINK_PROOF)

/* A message on its way out. */
struct outgoing {
	struct list link;
	struct chunk *head, *tail;
	uint32_t len, sent, request;
	uint8_t type;
};

/* A message of which some frames have come. */
struct partial {
	uint8_t *bytes;
	uint32_t from;			/* where it begins in ${bytes}: behind the head of the frame that these were */
	uint32_t len, size, request;
	uint8_t type;
	bool open;
};

/* What a link needs until it knows its peer, and then never again: wiped and freed. */
struct handshake {
	struct noise noise;
	struct aead *aead;
	bool ready;			/* the ciphers are there: hellos may go */
	bool answered;			/* the responder took the first message */
	bool sent, seen;		/* our hello, theirs */
	unsigned int secrets;		/* of psk */
	uint8_t psk[2][NOISE_KEY], noise_secret[NOISE_KEY], random[32];
	uint8_t first[LINK_FIRST_NOISE];	/* of the initiator: what a refusal is about */
	struct address ring, file;	/* its id; the hash of its file without the secret */
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	uint64_t instance;
	uint8_t hash[NOISE_HASH];	/* names this handshake */
	uint8_t out[2 + LINK_SECOND];	/* the message to send */
	unsigned int out_len;
};

struct link {
	struct handshake *handshake;	/* NULL: over */
	enum link_kind kind;
	bool initiator, full;
	int failed;			/* 0, or what link_input() says from now on */
	const char *why;
	uint64_t deadline, features;
	uint8_t peer[MEMBER_KEY];
	struct noise_cipher send, receive;
	uint32_t rekey_frames;		/* LINK_REKEY_FRAMES; a test may lower it on both sides */

	/* A frame that has not come as a whole: its length, then its bytes. */
	uint8_t in_head[2];
	uint32_t in_have;		/* of both */
	uint8_t *in;

	/* Bytes to send.  Nothing is added while some are left: the driver has a pointer to them. */
	uint8_t *out;
	uint32_t out_at, out_len, out_size;

	struct list queue[LINK_PRIORITIES];
	size_t queued, queued_control;	/* body bytes not sent yet */
	uint64_t owed;			/* to repair: percent-bytes */

	struct partial partial[LINK_PRIORITIES];
	struct link_message *ready;	/* whole: ready_at to ready_len - 1 */
	uint32_t ready_at, ready_len, ready_size;

	/* Credit.  1. came + unread <= LINK_CREDIT, but for overdrafts.  2. pooled is what of it the pool has counted. */
	struct link_pool *pool;
	void *user;
	struct list waiting;		/* in the pool's list, or alone */
	uint32_t credit;		/* we may send */
	uint32_t granted;		/* they may send */
	uint32_t unread;		/* came, not consumed */
	uint32_t window;		/* granted, when it was last raised */
	uint32_t grant;			/* to be told */
	uint64_t pooled;
};

/* Our own hello may still have to go; it will, before all else. */
static inline bool link_known(const struct link *l)
{
	return !l->handshake || l->handshake->seen;
}

/* link.c */
int link_fail(struct link *l, int rc, const char *why);
/** link_room(l, n): ${n} bytes behind what is to be sent; the caller adds to out_len what he used.  NULL: no memory. */
uint8_t *link_room(struct link *l, size_t n);
/** link_wipe(l): all of link_free() but the memory of ${l} itself. */
void link_wipe(struct link *l);

/* link_hello.c: the handshake and the hello.  link_handshake_*: ${len} is the whole of one message. */
int link_handshake_start(struct link *l, const struct link_options *o);
bool link_handshake_length(const struct link *l, size_t len);
int link_handshake_read(struct link *l, const uint8_t *message, size_t len);
int link_hello_write(struct link *l);
int link_hello_read(struct link *l, const uint8_t *plain, size_t len);
void link_handshake_end(struct link *l);

/* link_frames.c */
/** link_frame_write(l): cut and encrypt the next frame; false: none may go, or no memory. */
bool link_frame_write(struct link *l);
/** link_frame_read(l, plain, len, own): ${*own}: ${plain}, if it is malloc'ed; NULL afterwards: it was taken over. */
int link_frame_read(struct link *l, const uint8_t *plain, size_t len, uint8_t **own);
/** link_seal(l, frame, len): in place: ${len} bytes of plaintext at ${frame} + 2 become a frame.  Its length. */
size_t link_seal(struct link *l, uint8_t *frame, size_t len);
/** link_open(l, sealed, len, plain): may be in place; the length of the plaintext; -EBADMSG. */
int link_open(struct link *l, const uint8_t *sealed, size_t len, uint8_t *plain);
void link_frame_head(uint8_t *out, unsigned int type, enum link_priority priority, bool more, uint32_t request);

/* link_credit.c */
void link_credit_start(struct link *l, const struct link_options *o);
uint32_t link_credit_first(struct link *l);	/* for the hello */
bool link_credit_came(struct link *l, size_t bytes);	/* false: more than was granted */
/** link_credit_raise(l): grant what the pool allows, where it is time.  True: a grant is to be told. */
bool link_credit_raise(struct link *l);
void link_credit_end(struct link *l);

#endif
