/* packed: chunks in the form in which they travel and in which a node's effects have them (struct wire_chunk), to and from the
 * store.  Thread-safe, but for what takes a codec. */
#ifndef DHT_PEER_PACKED_H
#define DHT_PEER_PACKED_H

#include "chunker/codec.h"
#include "dht/store.h"

/** packed_get(s, kind, a, out): as store_get(), verified, neither inflated nor compressed for it. */
int packed_get(struct store *s, enum kind *kind, const struct address *a, struct chunk **out);

/** packed_get_as_is(s, kind, a, out): as store_get_as_is(): for those who hash it. */
int packed_get_as_is(struct store *s, enum kind *kind, const struct address *a, struct chunk **out);

/** packed_put(s, kind, a, c, verified, stored, known): as store_put_packed(); -EBADMSG also where ${c} has another form.  ${verified}: packed_raw() has
 * said 0 of it.  *${stored}: its bytes without the head. */
int packed_put(struct store *s, enum kind kind, const struct address *a, struct chunk *c, bool verified, uint32_t *stored, bool *known);

/** packed_prove(s, codec, a, nonce, out): BLAKE2b-256 over ${nonce} and the raw bytes that the store has of ${a}.  As store_get(). */
int packed_prove(struct store *s, struct codec *codec, const struct address *a, const struct address *nonce, struct address *out);

/** packed_raw(codec, kind, a, c, out): the chunk itself, verified: 0, -EBADMSG, -ENOMEM. */
int packed_raw(struct codec *codec, enum kind kind, const struct address *a, struct chunk *c, struct chunk **out);

/** packed_make(codec, raw): the form of ${raw}; compressed where ${codec} is not NULL and that saves something.  NULL: no memory. */
struct chunk *packed_make(struct codec *codec, const struct chunk *raw);

/** packed_head(p): what the store has handed out, with room for it, as one chunk that can travel; takes over its bytes. */
struct chunk *packed_head(struct store_packed *p);

#endif
