/* packed: chunks in the form in which they travel and in which a node's effects have them (struct wire_chunk), to and from the
 * store.  Thread-safe, but for what takes a codec.  What fails sets *${out} to NULL. */
#ifndef DHT_PEER_PACKED_H
#define DHT_PEER_PACKED_H

#include "chunker/codec.h"
#include "dht/store.h"

/** packed_get(s, how, kind, a, out): as store_get_packed(): neither inflated nor compressed for it. */
int packed_get(struct store *s, enum store_hashing how, enum kind *kind, const struct address *a, struct chunk **out);

struct packed_item {
	enum kind kind;
	struct address address;
	struct chunk *packed;		/* the result */
	int result;
};
#define PACKED_SOME 16u

/** packed_get_some(s, codec, items, n): as packed_get() with STORE_HASH_OLD, of up to PACKED_SOME, hashed side by side. */
void packed_get_some(struct store *s, struct codec *codec, struct packed_item *items, unsigned int n);

/** packed_put(s, kind, a, c, verified, stored, known): as store_put_packed(); -EBADMSG also where ${c} has another form.  ${verified}: the caller has
 * hashed it.  *${stored}: its bytes without the head. */
int packed_put(struct store *s, enum kind kind, const struct address *a, struct chunk *c, bool verified, uint32_t *stored, bool *known);

/** packed_open(codec, c, out): the chunk itself, not verified: 0, -EBADMSG, -ENOMEM. */
int packed_open(struct codec *codec, struct chunk *c, struct chunk **out);

/** packed_raw(codec, kind, a, c, out): likewise, verified. */
int packed_raw(struct codec *codec, enum kind kind, const struct address *a, struct chunk *c, struct chunk **out);

/** packed_challenge(s, how, codec, kind, a, nonce, verified, out): ${nonce} and the raw bytes that the store has of ${a}, in one piece, of which
 * address_of(KIND_DATA) is the proof that it has them.  *${kind}, *${verified}: of the bytes.  As store_get_packed(). */
int packed_challenge(struct store *s, enum store_hashing how, struct codec *codec, const struct address *a, const struct address *nonce,
    enum kind *kind, bool *verified, struct chunk **out);

/** packed_make(codec, raw): the form of ${raw}; compressed where ${codec} is not NULL and that saves something.  NULL: no memory. */
struct chunk *packed_make(struct codec *codec, const struct chunk *raw);

/** packed_head(p): what the store has handed out, with room for it, as one chunk that can travel; takes over its bytes. */
struct chunk *packed_head(struct store_packed *p);

#endif
