/* codecs: working memory to unpack chunks with, as many as threads do so at a time.  Thread-safe. */
#ifndef DHT_CODECS_H
#define DHT_CODECS_H

#include "chunker/chunk.h"

struct codecs;

struct codecs *codecs_new(void);	/* NULL: no memory */
void codecs_free(struct codecs *s);

/** codecs_raw(s, packed, out): the raw bytes of a chunk in the form in which it travels (dht/net/wire.h), which was verified.  -EBADMSG: it was
 * not; -ENOMEM. */
int codecs_raw(struct codecs *s, struct chunk *packed, struct chunk **out);

#endif
