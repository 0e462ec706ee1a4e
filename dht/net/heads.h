/*
 * heads: which snapshot is a volume's newest.  Part of node_impl.h's world.
 *
 * A volume has one writer, and its heads are one chain: each names the hash of the one before.  The owners of the volume's
 * slot (that of its id) keep its newest heads, HEAD_HISTORY of them, in one row.
 *
 *   1. An owner takes a head when it goes on from its newest one, and stores it durably before it says WIRE_OK.  Of one seq it
 *      takes one, ever.  One that it has already is WIRE_OK again, also when others came after it.
 *   2. A head counts when floor(R'/2)+1 of the R' owners have it.  Two such majorities share an owner, so by rule 1 only one head
 *      of a seq ever counts, and the next one that counts goes on from it.
 *   3. Two valid heads of one seq prove that the volume has two writers.  Whoever sees both keeps both, durably, and from then on
 *      answers WIRE_CONFLICT with both: so neither writer goes on, and no one's snapshot is overwritten.  What shows
 *      it is told to all owners.  It does not end: such a volume can be read by its snapshots, and is published under another key.
 *   4. An owner who lacks heads in between answers WIRE_CONFLICT with the one that he has, and is sent what lies between.
 *      If that is more than is known he takes what he is given: he lacks heads, but contradicts none.
 *   5. The writer's node stores a head (ROW_HEAD_SEEN) before it sends it, and so does a reader's before it shows it.  A read asks
 *      all owners, needs a majority, takes the newest, what is stored here included, and writes it where it lacks until a
 *      majority has it: only then it is the answer.  So no reader goes back, whichever node he asks; and a write that was cut
 *      short is finished by the next read that meets it, or was never heard of.
 *   6. After anything but 0 from COMMAND_SWAP its head may come to count all the same.  So the writer sends the same bytes again,
 *      or reads first; it signs another head of that seq never.
 *   7. The heads of a volume that has ended (lease.h, rule 4) are refused.
 *
 * New owners (heads_slots.c).  When the owners of a slot change, none of them answers for it (WIRE_BUSY) until it knows all that
 * counted before.  It asks, under the new table only; who answers has done with the old one.  Let m be a majority of
 * the owners, and k = R' - m: of k other owners one has whatever counts already under the new table.  It knows enough when k
 * other owners of now have answered, and
 *	- one of them already answers for the slot: he knows all that counted before; or
 *	- it answered for the slot itself under a table before, and a majority of the owners of then, and of those of each table since, itself
 *	  among them, has told what it has.  Members that have left or were evicted are not waited for; or
 *	- everyone has told who can know: all owners of now and before, and HEAD_WALK members on the walk.
 * Who may have been an owner before and lost its disk (a new store, see ${fresh}) needs k + 1 others; whose key has just been made
 * has never been one.  So with R = 3 one owner may be down for good when another one comes in its place.
 *
 * Bounds: HEAD_VOLUMES_MAX rows a slot, of those who swap by shares.h, each HEAD_HISTORY heads.
 */
#ifndef DHT_NET_HEADS_H
#define DHT_NET_HEADS_H

#include "dht/net/node_impl.h"
#include "dht/net/shares.h"
#include "dht/net/signed.h"
#include "dht/net/trie.h"

struct heads {
	struct list changes;		/* of rows, oldest first (heads_store.c) */
	unsigned int change_count;
	uint32_t seen;			/* rows of ROW_HEAD_SEEN */
	struct shares brought;		/* volumes, by slot, of those who swap */
	struct list asks;		/* commands under way (heads.c) */
	unsigned int ask_count;
	struct heads_pull *pull;	/* (heads_pull.c) */
};

/* ---- heads_row.c: what one row says.  Pure ---- */

struct head_item {
	uint64_t seq;
	struct wire_slice blob;
};

/* Slices point into the row, or are the caller's. */
struct head_row {
	struct head_item item[HEAD_HISTORY];	/* each goes on from the one before; the last is the newest */
	unsigned int count;
	struct head_item fork[2];		/* two of one seq */
	bool forked;
};

/** head_row_read(row, out): NULL: an empty one.  -EBADMSG: it is damaged.  head_row_write(r): NULL: no memory. */
int head_row_read(const struct chunk *row, struct head_row *out);
struct chunk *head_row_write(const struct head_row *r);
const struct head_item *head_row_newest(const struct head_row *r);	/* NULL: none */

enum head_learned {
	HEAD_SAME,		/* known already */
	HEAD_NEWS,		/* added */
	HEAD_FORK,		/* another one of its seq is here, or there are two already: both are kept */
	HEAD_OLD,		/* so old that nothing is known of its time */
	HEAD_GAP,		/* heads between the newest and this one are not known */
	HEAD_OTHER,		/* it goes on from another one than the newest, which has that one's seq */
};

/** head_row_learn(r, h, blob, jump): ${h} is ${blob}, verified.  ${jump}: over a gap, too. */
enum head_learned head_row_learn(struct head_row *r, const struct head *h, const struct wire_slice *blob, bool jump);
/** head_row_fork(r, a, b, seq): two of one seq are known. */
void head_row_fork(struct head_row *r, const struct wire_slice *a, const struct wire_slice *b, uint64_t seq);
/** head_row_has(r, blob, seq): these very bytes. */
bool head_row_has(const struct head_row *r, const struct wire_slice *blob, uint64_t seq);
/** head_row_before(r, out): its heads but for the newest, as wire_blob(); returns how many bytes. */
uint32_t head_row_before(const struct head_row *r, uint8_t out[WIRE_BLOBS_MAX]);

/* ---- heads_store.c: rows on the disk, and what peers ask of them ---- */

/** heads_row(n, table, volume, row): held; NULL: none, or it is damaged (and said so in the log). */
struct chunk *heads_row(struct node *n, enum catalogue_table table, const struct address *volume, struct head_row *row);

/*
 * One change of one row: those of one row are carried out one after the other.  ${done} is called once, when the result is
 * durable, unless head_change_forget() comes first (it is carried out all the same).
 */
struct head_change {
	struct list link;
	enum catalogue_table table;	/* ROW_HEAD, ROW_HEAD_SEEN */
	struct address volume;
	struct wire_slice head;
	struct wire_slice evidence;	/* another one of the seq of ${head}; .len 0: none */
	struct wire_slice blobs;	/* heads before it, rising */
	struct chunk *hold[3];		/* what the slices point into; NULL: the caller keeps it until ${done} */
	struct address from;		/* the peer that brings it, which may bring a share of all volumes; zeros: it has no bound */
	bool jump;			/* over a gap */
	bool saved, added;		/* saved: the row was changed; added: it is a new one */
	void *user;
	uint64_t tag;			/* the user's */
	void (*done)(struct node *n, struct head_change *c);	/* NULL: nobody waits */
	/* result: WIRE_OK: ${head} is there.  WIRE_CONFLICT (also: two of one seq), WIRE_OLD, WIRE_BAD, WIRE_ENDED, WIRE_FULL, WIRE_FAULT,
	 * WIRE_BUSY; ${row} is what is there now, valid during the call back */
	enum wire_status status;
	struct head_row *row;
	/* private */
	struct work work;
	struct timer soon;
};

/** head_change_new(table, volume): NULL: no memory.  head_change_start(n, c): takes over what it holds. */
struct head_change *head_change_new(enum catalogue_table table, const struct address *volume);
void head_change_start(struct node *n, struct head_change *c);
void head_change_forget(struct head_change *c);
bool heads_serve(struct node *n, struct served *s, const struct message *m);
void heads_store_end(struct node *n);

/** heads_row_lost(n, volume): its row here is damaged: its slot counts no more, until all that counted before has come from the other
 * owners (heads_lost.c).  Where there are none it stays as it is. */
void heads_row_lost(struct node *n, const struct address *volume);

/* ---- heads_slots.c, heads_pull.c: slots that have become ours ---- */

int heads_pull_start(struct node *n);
void heads_pull_table(struct node *n);
/** heads_pull_peer(n, p): it came: ask it soon, if it is one that we have waited for. */
void heads_pull_peer(struct node *n, const struct peer *p);
void heads_pull_end(struct node *n);
size_t heads_pull_memory(struct node *n);
void heads_serve_pull(struct node *n, struct served *s, const struct message *m);

#endif
