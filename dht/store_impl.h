/*
 * store_impl: what the files of the store share: store.c (entries), put.c, get.c, listing.c,
 * append.c (segments, space), tail.c (what is not on disk yet), sync.c (fdatasync), commit.c (the
 * ledger), open.c, recover.c, check.c (check and mend), gc.c (collection), remove.c (single
 * chunks that go), clean.c (space given back).
 *
 * Lock order: clean_lock, ledger_lock, store.lock, then the locks inside segments, ledger and codecs.  No lock is held
 * across an fdatasync, a read or write of chunks, or a ledger commit, but for ledger_lock.
 */
#ifndef DHT_STORE_IMPL_H
#define DHT_STORE_IMPL_H

#include <pthread.h>
#include <syslog.h>

#include "dht/format.h"
#include "dht/io.h"
#include "dht/ledger.h"
#include "dht/recent.h"
#include "dht/segment.h"
#include "dht/store.h"
#include "dht/tail.h"

/* Bytes of chunks held until they are durable, so that no failing disk costs any of them; with
 * more, inserts wait.  At half of it a sync is started. */
#define HELD_MAX (64u << 20)
#define THREADS 3u
/* As many records, or bytes of them, or seconds: then the ledger is told of what is durable. */
#define COMMIT_RECORDS (16u * 1024)
#define COMMIT_BYTES   (1024ull << 20)
#define COMMIT_SECONDS 5
/* The limit is kept within one segment: of a small one, a segment takes this part, but no less than that. */
#define SEGMENT_PART  16
#define SEGMENT_LEAST (8u << 20)
/* So many times as many records may wait for it; then inserts do. */
#define RECENTS_FACTOR 8
/* Addresses verified in this run; one that is pushed out is verified again. */
#define VERIFIED_WORDS (1u << 20)

struct store {
	/* Set by open, then constant: */
	const struct io *io;
	char *dir;
	int dirfd, lock_fd;
	uint64_t id;
	uint64_t size_max;
	uint32_t segment_max;		/* no segment is made longer */
	size_t commit_records;		/* COMMIT_RECORDS, or fewer */
	size_t recents_max;		/* entries, RECENTS_FACTOR times as many */
	bool read_only;
	bool told_damage;		/* atomic: the log knows that the ledger is damaged */
	void (*log)(void *arg, int priority, const char *text);
	void *log_arg;
	struct store_listener listener;
	struct segments *segments;
	struct ledger *ledger;
	uint64_t *verified;		/* atomic words, see verified_*() */

	/* The ledger's writer: commits, a sweep, a clean. */
	pthread_mutex_t ledger_lock;
	pthread_mutex_t clean_lock;	/* one clean at a time */

	pthread_mutex_t lock;		/* covers all that follows */
	pthread_cond_t moved;		/* a sync or commit round ended, or a removal */
	struct recents recents;
	struct list astray;		/* entries whose segment failed */
	struct list durable;		/* entries that the ledger can take */
	size_t durable_count;
	uint64_t durable_bytes;		/* stored */
	size_t astray_count;
	struct segment *active;		/* NULL: the next append makes one */
	bool no_punch;			/* the file system can't make holes */
	struct dht_status counts;	/* inserts, inserts_known, lookups */
	int64_t more_chunks, more_raw, more_stored;	/* than the ledger counts */

	/* Space, append.c */
	uint64_t segment_bytes;		/* of all segments */
	uint64_t promised;		/* by store_reserve() */
	uint64_t disk_left;		/* bytes, as of the last look, less what was appended since */
	uint64_t disk_total;
	int64_t disk_looked_ms;

	bool no_allocate;		/* the file system can't set blocks aside */

	/* tail.c */
	struct tail tails[TAILS];
	struct tail *tail;		/* the open one, of the active segment, or NULL */
	uint64_t tail_turn;		/* of the last one opened */
	bool tail_runs;			/* the thread that writes out does */
	pthread_cond_t tail_moved;	/* a tail is free, or can be written out */

	/* sync.c */
	bool stopping;
	pthread_t thread[THREADS];	/* tail_main, sync_main, commit_main */
	pthread_cond_t sync_wanted, commit_wanted;
	uint64_t sync_asked, sync_begun, sync_done;	/* tickets */
	int sync_result;		/* of the last round */
	int commit_result;		/* of the last round */

	struct store_gc *gc;		/* the collection under way, or NULL */
	const struct address *removal;	/* what is being removed, in order: nobody stores it meanwhile; or NULL */
	size_t removal_count;
	bool removal_condemned;		/* and it is not there any more */
	uint64_t condemnations;		/* so far; atomic for who reads it without the lock */

	/* check.c */
	bool mending, mended;		/* the search runs; it was begun in this run */
	bool mend_stopping;		/* atomic */
	pthread_t mend_thread;
	pthread_cond_t mend_done;

	pthread_mutex_t scratch_lock;
	struct scratch *scratch;	/* that rest; under scratch_lock */
};

/* store.c */

/** store_say(s, priority, format, ...): a line for the log. */
void store_say(struct store *s, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What one thread needs to pack or unpack a chunk. */
struct scratch {
	struct scratch *next;
	struct codec *codec;
	uint8_t bytes[CHUNK_MAX];
};

/** scratch_borrow(s): NULL: no memory.  scratch_return(s, x): to the next borrower. */
struct scratch *scratch_borrow(struct store *s);
void scratch_return(struct store *s, struct scratch *x);

/** store_enter(s, r): the ledger is to say ${r} of this address from now on: a durable record,
 * or one set aside.  Under the lock.  0 or -ENOMEM. */
int store_enter(struct store *s, const struct record *r);

/** entry_for(s, r, in_ledger): the entry of ${r}'s address, now about ${r}, in no list; made where
 * there is none: ${in_ledger} is what the ledger has of it, or NULL.  Not for one that is
 * not durable yet.  Under the lock.  NULL: no memory. */
struct recent *entry_for(struct store *s, const struct record *r, const struct record *in_ledger);

/** entry_replace(s, e, r): ${e}, in no list, is about ${r} now.  Under the lock. */
void entry_replace(struct store *s, struct recent *e, const struct record *r);

/** entry_durable(s, e): ${e} can be told to the ledger.  Under the lock. */
void entry_durable(struct store *s, struct recent *e);

/** entry_astray(s, e): ${e} must be written again elsewhere.  Under the lock. */
void entry_astray(struct store *s, struct recent *e);

/** entry_count(s, e, sign): add it to, or take it from, what the ledger does not count yet. */
void entry_count(struct store *s, const struct recent *e, int sign);

/* get.c */

struct found {
	struct record record;
	bool recent;		/* written or verified in this run */
	bool astray;		/* its place is not to be trusted */
	struct chunk *held;	/* where it is not durable yet: its bytes, to be dropped, or NULL */
};

/** store_find(s, a, out): where ${a} lies now.
 * 0, -ENOENT, or from the ledger: -EBADMSG, -EUCLEAN, -EIO. */
int store_find(struct store *s, const struct address *a, struct found *out);

/** store_blind(s, rc): the ledger said ${rc} when it was read: where that is damage, the log is told, once.  What its reader is to be told: -EIO
 * then, else ${rc}. */
int store_blind(struct store *s, int rc);

/** store_look(s, a, out): what the ledger has of ${a}, unless it is condemned.  Where there is no entry.
 * Under the lock.  As ledger_get(). */
int store_look(struct store *s, const struct address *a, struct record *out);

/** store_leads(s, r): does the address of ${r} lead to its place?  Under the lock. */
bool store_leads(struct store *s, const struct record *r);

/**
 * store_read(s, r, kind, out): the chunk of ${r}, verified under ${kind}.  -EBADMSG: other bytes;
 * -ENXIO: there is no such place; -EIO, -ENOMEM.
 */
int store_read(struct store *s, const struct record *r, enum kind kind, struct chunk **out);

/** store_set_aside(s, r, why): never hand out ${r} again, if it is still where its address leads. */
void store_set_aside(struct store *s, const struct record *r, const char *why);

/** verified_has(s, a), verified_set(s, a, good): was it read and verified in this run? */
bool verified_has(struct store *s, const struct address *a);
void verified_set(struct store *s, const struct address *a, bool good);

/* put.c */

/**
 * put_moved(s, from, r, c, stored): keep ${c}, which lies at ${from}, at another place too, as ${r} and
 * ${stored} say; its address leads there then.  0; 1: it does not lead to ${from} any more; or as store_put().
 */
int put_moved(struct store *s, const struct record *from, struct record *r, struct chunk *c,
    const void *stored);

/* append.c */

/**
 * append_reserve(s, r, moves, p): a place for ${r} at the end of the active segment, which sets ${r}->segment and
 * ${r}->offset.  It ${moves} so that its segment can go: that may take of the reserve.  Under the lock, directly
 * after tail_await().  0, -ENOSPC, or what making a segment said.
 *
 * Then append_write(s, p, r, stored), without the lock, copies header and bytes there, and tail_done(s, p), under
 * it, ends that.  It will be written out without more being done; whether it was, a sync says.
 * append_undo(s, p, r) instead of both: it was not copied.  Under the lock.
 */
int append_reserve(struct store *s, struct record *r, bool moves, struct place *p);
void append_write(struct store *s, const struct place *p, const struct record *r,
    const void *stored);
void append_undo(struct store *s, const struct place *p, const struct record *r);

/** append_fits(s, end, span): can a segment that ends at ${end} take so much more? */
bool append_fits(const struct store *s, uint32_t end, uint32_t span);

/** append_count(s, bytes): segments have grown by so many.  Under the lock. */
void append_count(struct store *s, uint32_t bytes);

/** unsynced_add(s, g, link), unsynced_remove(s, g, link): into and out of the list of what is not
 * durable in ${g}, whose descriptor stays open while there is any.  Under the lock.  0 or -errno. */
int unsynced_add(struct store *s, struct segment *g, struct list *link);
void unsynced_remove(struct store *s, struct segment *g, struct list *link);

/** segment_wipe(s, g, r): where ${r} is in ${g}, no scan shall find it.  Under the lock. */
void segment_wipe(struct store *s, struct segment *g, const struct record *r);

/** segment_cut(s, g, end): ${g} ends at ${end}, behind which nothing is of use.  Under the lock. */
void segment_cut(struct store *s, struct segment *g, uint32_t end);

/** segment_measure(s, g): how much of ${g} are holes.  0 or -errno. */
int segment_measure(struct store *s, struct segment *g);

/** segment_seal(s, g): append nothing more to it.  Under the lock. */
void segment_seal(struct store *s, struct segment *g);

/** segment_trim(s, g): give back what was set aside on the disk behind its end. */
void segment_trim(struct store *s, struct segment *g);

/* sync.c */

/** sync_round(s): make durable what has been written.  One at a time.  0 or -errno. */
int sync_round(struct store *s);
void *sync_main(void *store);

/** sync_kick(s): a round soon, which nobody waits for.  Under the lock. */
void sync_kick(struct store *s);

/* commit.c */

/** commit_round(s): tell the ledger what is durable.  One at a time.  0 or -errno. */
int commit_round(struct store *s);
void *commit_main(void *store);

/* gc.c */

/** gc_condemns(s, a): is ${a}, whatever the ledger says of it, not there any more?  Under the lock. */
bool gc_condemns(struct store *s, const struct address *a);

/** gc_keep(s, a): it was inserted: a collection under way shall spare it.  Under the lock. */
void gc_keep(struct store *s, const struct address *a);

/* remove.c */

/** removal_condemns(s, a): is it being removed, and not there any more?  Under the lock; where it has no entry. */
bool removal_condemns(const struct store *s, const struct address *a);

/** removal_await(s, a): true: it is being removed, and the lock was given up to wait for that; ask again.  Under the lock. */
bool removal_await(struct store *s, const struct address *a);

/* clean.c */

/** segment_dead(s, g): bytes that take space in ${g} though no entry of the ledger leads to them.  Under
 * the lock. */
uint32_t segment_dead(struct store *s, const struct segment *g);

/** segment_delete(s, g): its file, durably, and from the set.  0 or -errno. */
int segment_delete(struct store *s, struct segment *g);

/* recover.c */

/** recover(s, from_nothing, tell, arg, progress): bring ledger and segments together before the
 * threads run.  ${from_nothing}: the ledger is new.  0, -ECANCELED or -errno. */
int recover(struct store *s, bool from_nothing, dht_tell *tell, void *arg,
    struct dht_progress *progress);

/* open.c */

/** store_free(s): no thread uses it any more. */
void store_free(struct store *s);

/* check.c */

/** mend_start(s): look for what the ledger has lost.  False where that was done before. */
bool mend_start(struct store *s);

/** mend_stop(s): end that search, if one runs. */
void mend_stop(struct store *s);

#endif
