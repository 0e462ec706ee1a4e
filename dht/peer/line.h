/* line: chunks of outgoing that wait, first in, first out. */
#ifndef DHT_PEER_LINE_H
#define DHT_PEER_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

struct epoch;

struct waiting {
	struct address address;
	struct epoch *epoch;		/* NULL: UNSAFE */
	uint8_t kind;
};

/* Zeros: empty.  Grows by doubling, as far as it is filled, and has no memory when it is empty. */
struct line {
	struct waiting *item;
	size_t first, count, size;
};

/** line_push(l, w): copies ${w}.  0 or -ENOMEM.  line_pop(l, out): false: there is none. */
int line_push(struct line *l, const struct waiting *w);
bool line_pop(struct line *l, struct waiting *out);

void line_free(struct line *l);

#endif
