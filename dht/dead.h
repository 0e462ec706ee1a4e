/*
 * dead: what no address leads to, in one sealed segment: how much it is, and how it is given back.
 *
 * Dead records and gaps that lie side by side, with nothing but zeros between them, are a run.  A run is
 * given back so: a gap at its start says how long it is; that is made durable; then the whole
 * blocks behind the gap's header are punched out of the file.  At any moment a scan finds either the
 * records, whole, or the gap: never half a record.
 *
 * The segment's `cleaning' is set meanwhile: what is dead stays so.
 */
#ifndef DHT_DEAD_H
#define DHT_DEAD_H

#include "dht/store_impl.h"

/** dead_is(s, r): does the address of ${r} lead elsewhere, or nowhere?  Where it is set aside, it is read
 * once more.  False also where nobody can tell. */
bool dead_is(struct store *s, const struct record *r);

struct dead_survey {
	uint32_t live;		/* bytes of records that are not dead */
	uint32_t punchable;	/* bytes that dead_punch() can give back */
	uint32_t unknown;	/* bytes that are no record, no gap and not zero: left alone */
};

/** dead_survey(s, g, out): read the headers of ${g}.  0 or -errno. */
int dead_survey(struct store *s, struct segment *g, struct dead_survey *out);

/** dead_punch(s, g): give back what dead_survey() calls punchable.  0, -EOPNOTSUPP, -EIO, ... */
int dead_punch(struct store *s, struct segment *g);

#endif
