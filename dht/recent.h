/*
 * recent: the records that the ledger does not know yet, in memory.
 *
 * Not thread-safe: the store's lock covers all of it.  States of an entry, and who moves it:
 *
 *   APPENDED --fdatasync done--> DURABLE --the ledger's commit--> removed
 *    |    ^
 *    |    '-- written again elsewhere --.
 *    '-- its segment failed --> ASTRAY -'
 *
 * From APPENDED on it has a place in a segment; its bytes are on their way there, or there.
 * A record that is set aside (record.bad) enters as DURABLE.
 */
#ifndef DHT_RECENT_H
#define DHT_RECENT_H

#include <stdbool.h>
#include <stddef.h>

#include "chunker/chunk.h"
#include "chunker/list.h"
#include "dht/record.h"

enum recent_state {
	RECENT_APPENDED,
	RECENT_ASTRAY,
	RECENT_DURABLE,
};

struct recent {
	struct record record;
	enum recent_state state;
	bool counted;		/* the ledger has a good record of this chunk, of these lengths: */
	uint32_t counted_raw, counted_stored;
	struct chunk *chunk;	/* its bytes, held until durable; NULL: found after a crash */
	struct list place;	/* in the segment's unsynced, the astray or the durable list */
	struct recent *next;	/* in the table */
};

struct recents {
	struct recent **table;
	size_t size;		/* a power of two */
	size_t count;
	uint64_t held_bytes;	/* of the chunks held */
};

/** recents_init(t): 0 or -ENOMEM.  recents_free(t) drops all that is left. */
int recents_init(struct recents *t);
void recents_free(struct recents *t);

struct recent *recents_find(const struct recents *t, const struct address *a);

/** recents_add(t, r): enter ${r}, whose address is not there yet, in no list.  NULL: no memory. */
struct recent *recents_add(struct recents *t, const struct record *r);

/** recents_remove(t, e): out of its list and the table, and freed. */
void recents_remove(struct recents *t, struct recent *e);

/** recents_hold(t, e, c): keep the bytes, or with NULL let them go. */
void recents_hold(struct recents *t, struct recent *e, struct chunk *c);

#endif
