/*
 * view: the table of members as one node knows them.  Private to membership.
 *
 * One entry a member, tombstones too; an entry is made once and lives as long as the node, so others may point
 * to it.  Order is that of ids.  The digest tells two views apart: of each of VIEW_PARTS parts of the ids
 * (by their first bits) a hash over what is there, and one over these.  A change makes one part stale, which
 * is hashed anew when it is asked for: of 1000 members 16 x 48 bytes.
 */
#ifndef DHT_NET_VIEW_H
#define DHT_NET_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/list.h"
#include "dht/net/limits.h"
#include "dht/net/member.h"
#include "dht/net/wire.h"

#define VIEW_PARTS	64u
#define VIEW_TOMBSTONE	UINT64_MAX	/* the incarnation of a tombstone in summaries: above all */

struct suspicion;
struct news;

/* 64 bytes: 1000 views of 1000 members lie in one simulation. */
struct view_entry {
	struct member *member;		/* held; its id never changes */
	struct suspicion *suspicion;	/* NULL: nobody doubts it */
	struct news *news;		/* its record is being gossiped; NULL: it is not */
	struct list unsaved;		/* its row is to be written, in this order */
	uint64_t down_since;		/* 0: it is not down */
	uint64_t heard;			/* when a frame of it last came; 0: never */
	bool linked;			/* a link is up */
};

struct view {
	struct view_entry **entry;	/* in the order of ids */
	uint64_t *head;			/* the first 8 bytes of each one's id, big-endian */
	unsigned int count, size;
	unsigned int tombstones, down;
	uint64_t stale;			/* parts whose hash is old: a bit each */
	struct wire_hash part[VIEW_PARTS];
	bool root_stale;
	struct address root;
};

void view_start(struct view *v);
void view_end(struct view *v);		/* its entries too */

struct view_entry *view_find(const struct view *v, const struct address *id);	/* NULL */

/** view_from(v, id): the place of the first entry whose id is >= ${id}; v->count: there is none. */
unsigned int view_from(const struct view *v, const struct address *id);

/**
 * view_put(v, m, out): the entry with ${m}'s id gets ${m} (its own hold), or is made.  The caller has seen that ${m}
 * is newer and that its signature holds.  -ENOSPC: MEMBERS_MAX; -ENOMEM.
 */
int view_put(struct view *v, struct member *m, struct view_entry **out);

bool view_gone(const struct view_entry *e);	/* a tombstone */

/** view_living(v): members that are no tombstones. */
unsigned int view_living(const struct view *v);

/** view_part(id): which part an id belongs to.  view_digest(v): the hash of all; view_parts(v): of each part. */
unsigned int view_part(const struct address *id);
const struct address *view_digest(struct view *v);
const struct wire_hash *view_parts(struct view *v);

void view_summary(const struct view_entry *e, struct wire_summary *out);

#endif
