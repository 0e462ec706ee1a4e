/*
 * disk_impl: what the files of the disk share: disk.c (operations, their order), disk_work.c (workers), disk_commit.c (the
 * committer), disk_keep.c (eviction, space given back).
 *
 * An operation's states, and who moves it:
 *
 *	state   | what                                        | function       | next
 *	WAITS   | another of the same thing is before it      | op_end()       | WORK or COMMIT, when that has ended
 *	WORK    | in a queue of the workers, or with one      | work_some()    | ended; COMMIT: a write that is in the store; PARKED:
 *	        |                                             |                | one that found no room
 *	PARKED  | until a round of the keeper is over         | unpark()       | WORK
 *	COMMIT  | in the committer's queue, or in its batch   | commit_batch() | ended
 */
#ifndef DHT_PEER_DISK_IMPL_H
#define DHT_PEER_DISK_IMPL_H

#include <pthread.h>

#include "chunker/codec.h"
#include "chunker/list.h"
#include "dht/peer/disk.h"

#define DISK_TABLE   4096u	/* places of the table of operations: as many as the core has under way */
#define DISK_BATCH   1024u	/* operations of one commit: beyond, waiting costs more than is saved */
#define DISK_CACHED  256u	/* cached records, for which nobody waits: so many make a commit of their own, or fewer after ... */
#define DISK_CACHED_MS 100	/* ... that long */
#define DISK_UNSYNCED ((uint64_t)8 << 20)	/* bytes of them that may not be durable yet, and are in memory: what a crash loses is fetched again */
#define DISK_LEASES  64u	/* of them leases, of up to 64 addresses each, or fewer longer ones: some ms, for which chunks wait */
#define DISK_WORKERS 64u
#define DISK_CHECKED 64u		/* chunks that were checked, held until they are written: 16 MiB */

enum { KEY_LEN = 36 };

struct op {
	struct list link;		/* in a queue */
	struct op *hash_next;
	struct op *behind, *last;	/* the next of the same thing; of the first, the last one */
	uint8_t key[KEY_LEN];		/* what it concerns; the first byte 0: nothing that others do */
	struct effect effect;
	struct event done;
	bool evict;			/* ours: told to the keeper, not to the core */
	bool checked;			/* of a write: its bytes were hashed, as those of its address */
	bool known;			/* ... it was in the store */
	unsigned int parked;		/* ... so often */
	uint32_t bytes;			/* ... stored ones */
};

struct checked {
	struct chunk *chunk;		/* NULL: none */
	struct address address;
	enum kind kind;
};

enum { QUEUE_READ, QUEUE_WRITE, QUEUES };

struct batch;

struct disk {
	struct disk_options o;		/* constant */
	struct batch *batch;		/* the committer's */
	struct shelf_adoption adoption;	/* likewise, under way where it has begun ... */
	uint64_t unsynced;		/* likewise: see DISK_UNSYNCED ... */
	bool rests;			/* ... and no more of them came in time */
	uint64_t adopt_at_ms, adopted_end;	/* ... the next, and the store's end at the last one */
	unsigned int workers;
	pthread_t worker[DISK_WORKERS], committer, keeper;

	pthread_mutex_t lock;		/* covers what follows */
	pthread_cond_t work_wanted, commit_wanted, keep_wanted;
	pthread_cond_t changed;		/* all operations, all evictions, or a round of the keeper have ended */
	struct list queue[QUEUES];
	unsigned int queued;		/* in both */
	unsigned int hashing;		/* workers that have some of them, and none of which the disk is asked */
	unsigned int turn;
	struct list commits;
	unsigned int commit_count, cached_count;	/* in it, and of these: cached records */
	bool commit_now;		/* somebody does wait, for one of these */
	struct op *table[DISK_TABLE];
	unsigned int under_way;
	struct checked checked[DISK_CHECKED];
	unsigned int checked_next;
	bool closing;			/* no more is started; long work is given up */
	bool stopping;			/* nothing is under way: the threads end */

	/* The keeper's: */
	bool short_of;			/* space is wanted */
	struct list parked;		/* writes that wait for it */
	bool vain;			/* the last round found none ... */
	uint64_t vain_until_ms;		/* ... and there is no other before */
	uint64_t removed_bytes;		/* in the store, whose space was not given back yet ... */
	uint64_t removed_ever;		/* ... and all so far */
	unsigned int evictions;		/* under way */
	uint64_t rounds;		/* for space, that are over ... */
	bool in_round;			/* ... and one that is not */
};

/* disk.c */

/** op_start(d, op): under the lock: it goes on when all of the same thing that are before it have ended. */
void op_start(struct disk *d, struct op *op);

/** op_queue(d, op, first): to the workers, before or behind the others.  Under the lock. */
void op_queue(struct disk *d, struct op *op, bool first);

/** op_commit(d, op): to the committer.  Under the lock. */
void op_commit(struct disk *d, struct op *op);

/** op_cached(op): it writes a copy that may go at any time: nobody relies on it. */
bool op_cached(const struct op *op);

/** op_reads(op): it may wait for the disk; the other operations of workers only hash. */
bool op_reads(const struct op *op);

/** op_end(d, op): its result is told, and it is gone. */
void op_end(struct disk *d, struct op *op);

/** op_key_address(op, a): it concerns this address.  op_busy(d, op): does another one concern the same?  Under the lock. */
void op_key_address(struct op *op, const struct address *a);
bool op_busy(const struct disk *d, const struct op *op);

/** disk_now_ms(): of a monotonic clock, about. */
uint64_t disk_now_ms(void);

/* disk_work.c */
void *disk_work_main(void *disk);

/* disk_commit.c */

/** batch_new(d): NULL: no memory.  free() it. */
struct batch *batch_new(struct disk *d);
void *disk_commit_main(void *disk);

/* disk_keep.c */
void *disk_keep_main(void *disk);

/** keep_park(d, op): after -ENOSPC: it goes on when the keeper has looked for room, and no thread waits for that.  False: that would be vain. */
bool keep_park(struct disk *d, struct op *op);

/** keep_behind(d, op): where others are parked, it is, too: the room that is found is theirs first. */
bool keep_behind(struct disk *d, struct op *op);

/** keep_look(d, removed): after a commit that removed so many bytes: is there work for the keeper? */
void keep_look(struct disk *d, uint64_t removed);

/** keep_ended(d): an eviction has ended.  Under the lock. */
void keep_ended(struct disk *d);

#endif
