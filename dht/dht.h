/*
 * dht: the set.  insert(v), and lookup(h(v)): chunks that never change, found by
 * their address, verified before they are handed out.
 *
 * This is the header of dht/ that the mount knows.  Without a ring the set is the store of this one
 * node; with one it is what all its members keep, and the store is this node's part of it.
 *
 * Operations are asynchronous: the caller owns a struct dht_op, fills in the fields
 * that the call names, starts it and leaves it alone until done() is called, exactly
 * once, from a thread of the dht (never from inside the call that started it, except
 * where a *_now call says so).  done() must not block; it may start other operations
 * and may free the op.  All functions may be called from any thread.
 */
#ifndef DHT_DHT_H
#define DHT_DHT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "chunker/address.h"
#include "chunker/chunk.h"
#include "chunker/list.h"

struct dht;
struct io;
struct peer;
struct peer_options;
struct volume_key;

#define DHT_TIMEOUT_MS 30000u
#define DHT_ROOM_MS    10000u	/* to wait for room: half as long as who writes waits (fs/collector.c) */

struct dht_options {
	const char *dir;	/* the store's folder, made if missing (mode 0700) */
	uint64_t size_max;	/* bytes that its files may take; 0: no limit but the disk's */
	unsigned int workers;	/* threads that hash, compress, append and read; 0: three a core */
	unsigned int ledger_batch;	/* records that its index is told of at once; 0: as is best */
	unsigned int lock_wait_ms;	/* how long to wait for a process that still holds the store */
	bool read_only;		/* nothing is inserted; a store that needs recovery is still recovered */
	const struct io *io;	/* NULL: the system's files; tests pass one that fails */
	const struct peer_options *ring;	/* NULL: this node alone; its store, dir and log are set by dht_open() */
	unsigned int timeout_ms;	/* with a ring: a lookup that asks others, and a chunk on its way to them, fail after this; 0: DHT_TIMEOUT_MS */
	bool sync_local;	/* with a ring: dht_safe() waits for nobody */
	void (*log)(void *arg, int priority, const char *text);	/* syslog priorities; NULL: nowhere */
	void *log_arg;
};

/**
 * dht_open(options, out, why, why_size): open or make a store, take its lock, recover what a
 * crash left.  Copies ${options}.  On failure *${out} is NULL and ${why} says, for a person,
 * what is wrong and what to do.  -EBUSY (locked: says by which process), -EPROTO (another
 * format version), -EBADMSG, -ENOSPC, -EACCES, -EROFS, -ENOTDIR, -ENOMEM, ...
 * A missing or damaged index is rebuilt from the segments, with a line in the log.
 */
int dht_open(const struct dht_options *options, struct dht **out, char *why, size_t why_size);

/**
 * dht_ending(d): it will be closed soon: a lookup that asks others, also one that does already, fails with -ETIMEDOUT after 5 s; and when one has while the ring
 * answered nobody, so do all others, at once.  So what is still to be written can be, where the ring is there, and a dead one holds nobody up.
 */
void dht_ending(struct dht *d);

/** dht_close(d): finish what was started, make everything durable, close.  0, or what the
 * last sync said.  The caller starts nothing more.  Who waits for others waits no longer.  dht_close(NULL) does nothing. */
int dht_close(struct dht *d);

struct dht_op {
	void (*done)(struct dht_op *op);
	void *user;		/* the caller's */
	int result;		/* when done: 0 or -errno; -ECANCELED after dht_cancel() */
	enum kind kind;
	struct address address;
	struct chunk *chunk;
	bool ahead;		/* a lookup nobody waits for yet: after all others */
	bool hurry;		/* an insert whose caller is behind: there is no time to compress it */
	uint32_t copies, owners;	/* of dht_replicas() */
	/* private */
	struct away *away;
	struct chunk *packed;
	int returned;
	struct dht *dht;
	struct list link;
	int verb, state;
	bool alone;
	uint64_t ticket;
};

/**
 * dht_insert(d, op): insert op->chunk (at most CHUNK_MAX bytes; the caller holds it until done())
 * as op->kind.  When done, op->address is set and lookups find it; it survives a crash
 * only once a dht_sync() that was started later is done.  A chunk that is there already,
 * and can be read, is not stored again.  -ENOSPC, -EIO, -EROFS, -ENOMEM.
 */
void dht_insert(struct dht *d, struct dht_op *op);

/** dht_insert_now(d, op): the same in the calling thread; op->done is not called.  Returns op->result.
 * op->address may be given (hashed already): pass ${hashed}. */
int dht_insert_now(struct dht *d, struct dht_op *op, bool hashed);

/**
 * dht_lookup(d, op): fetch the chunk with op->address under op->kind (KIND_ANY: whatever kind
 * it is; op->kind then tells).  When done with 0, op->chunk is held for the caller.
 * -ENOENT: it is nowhere (all owners said so).  -EBADMSG: only copies that failed
 * verification.  -EIO, -ETIMEDOUT: could not be asked; try again.  -ENOMEM.
 */
void dht_lookup(struct dht *d, struct dht_op *op);

/** dht_lookup_now(d, op): the same, waited for; op->done is not called.  Returns op->result. */
int dht_lookup_now(struct dht *d, struct dht_op *op);

/**
 * dht_sync(d, op): make durable all inserts that were done when this was called.  Many waiters
 * share one fdatasync.  -EIO: some of them could not be; they have been written again
 * elsewhere where possible, so a later sync may succeed.
 */
void dht_sync(struct dht *d, struct dht_op *op);
int dht_sync_now(struct dht *d);

/**
 * dht_safe(d, op): all inserts that were done when this was called are safe: W other nodes have them on stable storage (as many as there are,
 * where there are fewer).  Where this node is alone, or with ${sync_local}: at once.  -EHOSTUNREACH at once where that is known to be
 * impossible, -ETIMEDOUT, -ENOSPC, -EIO: some are not, now; they are here, go out as soon as they can, and until they are
 * this goes on failing.
 */
void dht_safe(struct dht *d, struct dht_op *op);

/** dht_cancel(op): the caller lost interest: done() comes soon, with -ECANCELED unless the
 * result was there already.  An insert or sync that runs is finished all the same. */
void dht_cancel(struct dht_op *op);

/**
 * dht_reserve(d, bytes): set space aside for chunks that will be inserted, so that a write can
 * fail before it is accepted: -ENOSPC.  dht_release(d, bytes) gives it back, when they have
 * been inserted or dropped.
 */
int dht_reserve(struct dht *d, uint64_t bytes);
void dht_release(struct dht *d, uint64_t bytes);

/**
 * dht_replicas(d, op): op->copies: how many owners have op->address, and proved it just now, of op->owners: as many as the ring is to
 * have, also where it has fewer nodes.  Without a ring: 1 of 1, where it is here.
 * -ENODATA: no copy is here to compare with.
 */
void dht_replicas(struct dht *d, struct dht_op *op);

/** dht_has(d, address, kind, len): is it on this node?  Sets *${kind} and *${len} (bytes of the
 * chunk) where not NULL.  Asks the index only: nothing is read or verified. */
bool dht_has(struct dht *d, const struct address *address, enum kind *kind, uint32_t *len);

/** dht_gone(d, address): is it certain that it can't be looked up any more?  Where there is a ring it never is: others may have it. */
bool dht_gone(struct dht *d, const struct address *address);

/**
 * dht_list(d, after, n, out): up to ${n} addresses that this node holds, in order, behind
 * ${after} (NULL: from the first).  Returns how many, or -EIO, -ENOMEM, -EAGAIN.
 */
ssize_t dht_list(struct dht *d, const struct address *after, size_t n, struct address *out);

struct dht_space {
	uint64_t limit;		/* bytes: size_max, or what the disk could give us in all */
	uint64_t used;		/* bytes of our files on disk */
	uint64_t available;	/* bytes that can still be written; what is reserved is not, what is only cached is */
};

void dht_space(struct dht *d, struct dht_space *out);

struct dht_status {
	struct dht_space space;
	uint64_t chunks;	/* on this node */
	uint64_t raw_bytes;	/* of them, before compression */
	uint64_t stored_bytes;	/* of them, as they lie in segments */
	uint64_t segments;
	uint64_t dead_bytes;	/* in segments, and on the disk, that no chunk takes */
	uint64_t set_aside;	/* records that failed verification since the store was made */
	uint64_t inserts, inserts_known;	/* since start: asked for; there already */
	uint64_t lookups;	/* since start */
	unsigned int queued;	/* operations waiting for a worker */
};

void dht_status(struct dht *d, struct dht_status *out);

struct dht_progress {
	uint64_t done, total;	/* bytes */
	uint64_t chunks, bad;
};

/* tell(arg, p): called a few times a second; false stops the work (-ECANCELED). */
typedef bool dht_tell(void *arg, const struct dht_progress *p);

/*
 * Collection: chunks that nobody wants any more, and their space.  The set can't know what is
 * wanted; who does says so, between begin and condemn.  One collection at a time.
 *
 *   dht_gc_begin() -> dht_gc_mark() of all that is wanted -> dht_gc_condemn() -> dht_gc_sweep()
 *   -> dht_gc_end(); then dht_clean() gives the space back.
 *
 * Whatever is inserted after begin (also where it was there already) counts as marked.  What
 * was inserted before, and is in flight to where it will be marked from, is the caller's to
 * wait for, after begin and before he marks.  A crash, or an end, at any moment loses
 * nothing that was marked.
 */
struct dht_gc;

/** dht_gc_begin(d, out): -EBUSY (one is under way), -EROFS, -ENOMEM. */
int dht_gc_begin(struct dht *d, struct dht_gc **out);

/** dht_gc_mark(gc, a): ${a} stays, whether it is here or not.  Cheap, blocks nobody, any thread.  Marks
 * are kept in a filter of bounded memory: of the unmarked, one in a thousand may stay until
 * the next collection. */
void dht_gc_mark(struct dht_gc *gc, const struct address *a);

struct dht_gc_count {
	uint64_t chunks;
	uint64_t bytes;		/* that their records take on disk */
};

/** dht_gc_unmarked(gc, out): what is not marked so far: what a sweep would remove.  Reads the whole index;
 * blocks.  0 or -errno. */
int dht_gc_unmarked(struct dht_gc *gc, struct dht_gc_count *out);

/** dht_gc_condemn(gc): from this moment the unmarked are not there: lookups say -ENOENT, an insert stores
 * them anew.  A memory operation.  Later marks have no effect. */
void dht_gc_condemn(struct dht_gc *gc);

/** dht_gc_sweep(gc, tell, arg, out): make that durable.  Blocks.  -ECANCELED (by ${tell}: what was
 * not swept yet is there again after dht_gc_end()), -EIO, -ENOSPC.  ${out}: what was removed. */
int dht_gc_sweep(struct dht_gc *gc, dht_tell *tell, void *arg, struct dht_gc_count *out);

/** dht_gc_end(gc): at any point.  dht_gc_end(NULL) does nothing. */
void dht_gc_end(struct dht_gc *gc);

/**
 * dht_clean(d, urgent, tell, arg, out): give back to the disk what no chunk takes: segments with nothing
 * left are deleted, dead ranges are given back in place (a hole), and segments that are
 * mostly dead are rewritten, where chunks that were stored raw for lack of time are compressed.  In the
 * background (not ${urgent}) only what pays, and at a bounded rate.  Blocks.  0, -ECANCELED, -EIO,
 * -ENOSPC, -EROFS; ${out}->bytes: given back.
 */
int dht_clean(struct dht *d, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out);

/**
 * dht_make_room(d, tell, arg): dht_reserve() has said -ENOSPC: with a ring, copies that are only cached here go, and what is on its way to its
 * owners is waited for, DHT_ROOM_MS at most, since it is only cached then.  Blocks.  1: there is room now; 0: that made none, as always where
 * there is no ring; -ECANCELED.
 */
int dht_make_room(struct dht *d, dht_tell *tell, void *arg);

/**
 * dht_check(d, bytes_per_s, tell, arg, out): read and verify everything in the store, at most at
 * the given rate (0: as fast as it goes).  Bad records are set aside and logged.  Blocks
 * the calling thread.  0 (even where bad ones were found: see ${out}), -ECANCELED, -EIO.
 */
int dht_check(struct dht *d, uint64_t bytes_per_s, dht_tell *tell, void *arg,
    struct dht_progress *out);

/** dht_rebuild(options, tell, arg, out, why, why_size): make the index anew from the segments of a
 * store that no process has open.  As dht_open for errors. */
int dht_rebuild(const struct dht_options *options, dht_tell *tell, void *arg,
    struct dht_progress *out, char *why, size_t why_size);

/*
 * With a ring: what a volume is to others.  They fail with -ENOTCONN where there is no ring.
 *
 * dht_volume(d, key): from now on inserts are on its behalf, are leased, and its heads are published from here.  Once, before
 * anything is inserted.  ${key} is copied.
 *
 * dht_knows(d, key): the store has notes of the volume.  Of one that was written before, here or elsewhere, and is not known here (any more), dht_renumber(d) is
 * to be called before dht_volume(): its leases are numbered anew then, above all of before, once a head has been published from here.  And as the first of a
 * slot ends those of before, all that the tree needs is to be kept first (dht_hold_leases()).  Durable.
 *
 * dht_keep(d, addresses, n): the volume wants these too, though it did not insert them here: a tree that was restored, or written while there was no
 * ring.  Durable.  Those that are here go out, as what is inserted does.
 *
 * dht_hold_leases(d, yes): no lease is made meanwhile: in a store that has none of the volume's yet, the first of a slot ends those of the machine
 * before, so all that they held is to be kept before.
 *
 * dht_publish(d, snapshot): is the volume's newest.  Never blocks: it goes out in the background, newest first.
 * dht_published(d, op): what was published last counts at its owners.  -EUCLEAN: another machine publishes under the same key, and this one does no
 * longer; -EKEYREVOKED; -EHOSTUNREACH, -ETIMEDOUT: not yet.  At once, with 0, where this node is no writer, or with ${sync_local}.
 *
 * dht_newest(d, key, timeout_ms, seq, snapshot): the newest head of the volume with this public key (32 bytes).  Blocks; of one thread at a time.  -ENOENT: it
 * never had one; -EUCLEAN: two machines have written it; -EKEYREVOKED: it was retired; -EHOSTUNREACH, -ETIMEDOUT: not enough of its owners answer.
 * dht_newest_end(d): the one under way, and all later ones, end with -ECANCELED.
 */
int dht_volume(struct dht *d, const struct volume_key *key);
bool dht_knows(struct dht *d, const struct volume_key *key);
int dht_renumber(struct dht *d);
int dht_keep(struct dht *d, const struct address *addresses, size_t n);
void dht_hold_leases(struct dht *d, bool hold);
int dht_publish(struct dht *d, const struct ref *snapshot);
void dht_published(struct dht *d, struct dht_op *op);
int dht_newest(struct dht *d, const uint8_t *key, unsigned int timeout_ms, uint64_t *seq, struct ref *snapshot);
void dht_newest_end(struct dht *d);

/** dht_lease(d, tell, arg): have all that was inserted held by leases.  Blocks; else that is done in the background. */
int dht_lease(struct dht *d, dht_tell *tell, void *arg);

struct dht_waiting {
	uint64_t out;		/* chunks that are not safe yet */
	uint64_t foreign;	/* that not all owners have confirmed: those, and more */
	uint64_t foreign_bytes;
	uint64_t unleased;	/* that no lease holds yet */
	uint64_t head;		/* seq of the newest head that counts */
	bool head_waits;	/* a newer one does not count yet */
	bool alone;		/* there is no other node: nothing waits for any, and nothing is safe */
	int error, head_error;	/* why the last one did not get there; 0 */
};
/** dht_waiting(d, out): what would be lost with this node, now.  All zeros without a ring. */
void dht_waiting(struct dht *d, struct dht_waiting *out);

/** dht_peer(d): this node of the ring; NULL: there is none. */
struct peer *dht_peer(struct dht *d);

#endif
