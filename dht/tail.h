/*
 * tail: the end of the active segment, in memory until it is written out.
 *
 *   FREE --opened--> OPEN --full, sealed or synced--> CLOSED --all copied--> LEAVING --> FREE
 *
 * A record is copied to its place in the OPEN tail, the last part of one that does not fit in to
 * the start of the next.  A tail that a sync closes is padded with zeros to a whole block,
 * and what comes next starts behind it: no block is written twice, or a power cut in
 * the second write could tear what the first one's sync has promised.
 *
 * Part of the store: its lock covers the fields, and is held for every call but tail_copy().
 */
#ifndef DHT_TAIL_H
#define DHT_TAIL_H

#include "dht/segment.h"

struct store;

#define TAIL_BYTES ((uint32_t)1 << 20)	/* more than the longest record */
#define TAILS	   4u

enum tail_state { TAIL_FREE, TAIL_OPEN, TAIL_CLOSED, TAIL_LEAVING };

struct tail {
	enum tail_state state;
	struct segment *segment;	/* held, unless FREE */
	uint32_t start, end;	/* what it has of the segment; end grows while OPEN */
	unsigned int copying;	/* records on their way into it */
	uint64_t turn;		/* the order in which they are opened, and written out */
	uint8_t *bytes;		/* TAIL_BYTES, aligned; NULL until it is first used.  Not under the lock:
				   each part belongs to who copies to it, then to who writes it out */
};

/* Where a record goes: one tail, or the end of one and the start of the next. */
struct place {
	struct tail *tail[2];
};

/**
 * tail_await(s, span): until there is memory for ${span} more bytes.  0; or -EAGAIN: the lock was given up
 * meanwhile, and all may have changed: ask again.
 */
int tail_await(struct store *s, uint32_t span);

/**
 * tail_reserve(s, g, span, p, off): a place of ${span} bytes at the end of ${g}, which is the active
 * segment.  Sets ${g}->end.  Directly after tail_await().  0, -ENOMEM, or what opening a file said.
 */
int tail_reserve(struct store *s, struct segment *g, uint32_t span, struct place *p, uint32_t *off);

/** tail_copy(p, off, bytes, len): to this place; ${off} counts from the start of the segment. */
void tail_copy(const struct place *p, uint32_t off, const void *bytes, uint32_t len);

/** tail_done(s, p): all is copied. */
void tail_done(struct store *s, const struct place *p);

/** tail_close(s): the open tail, if there is one, takes no more. */
void tail_close(struct store *s);

/**
 * tail_flush(s, g, end): write out all that ${g} has been given so far, which ends at *${end}.  Gives up the
 * lock meanwhile.  0, or why ${g} failed.
 */
int tail_flush(struct store *s, struct segment *g, uint32_t *end);

/** tail_settle(s, g): ${g} has failed: until nothing of it is being written out any more, nor will
 * be.  Gives up the lock meanwhile. */
void tail_settle(struct store *s, struct segment *g);

/** tail_main(store): a thread that writes out what is closed. */
void *tail_main(void *store);

/** tail_free_all(s): no thread uses the store any more. */
void tail_free_all(struct store *s);

#endif
