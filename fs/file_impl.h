/*
 * What the parts of file.h share: file.c (table, attributes), file_roots.c, write.c, read.c, seek.c, flush.c
 * (one file's bytes into the set), files.c (states and publication), flusher.c (threads, whose
 * turn it is, the bound).
 *
 * Locks, in this order: a file's lock (two files': the lower inode number first), the
 * files' lock, the shards', the dht's own.  None is held while load(), changed(), done() or
 * ready() is called, and none but the shards' while memory of a file is given back.
 */
#ifndef FS_FILE_IMPL_H
#define FS_FILE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "chunker/list.h"
#include "fs/extents.h"
#include "fs/file.h"
#include "fs/layers.h"

#define FILE_SHARDS	64u

/* What the files know each of theirs as; dirty ones that failed are not tried unasked. */
enum file_state {
	FILE_CLEAN,
	FILE_DIRTY,
	FILE_FAILED,
	FILE_FLUSHING,		/* and not dirty again yet */
	FILE_STATES,
};

/*
 * A file that is in memory.
 *
 * Its states, as far as flushing goes ("f", "fs": under these locks):
 *
 *	clean --file_changed()--> dirty --flush_begin()--> flushing --flush_end()--> clean
 *
 * A flushing file may become dirty again.  A flush that failed makes it dirty again.  Beside
 * that, from a flush that ended well until its publication, it is unpublished.
 *
 * Invariants:
 * 1. layers top, under, base compose to the content at all times; under is empty unless it is
 *    flushing or its last flush failed.
 * 2. kept == dirty || flushing || unpublished: then the files hold it.
 * 3. dirty, flushing, unpublished, discarded, frozen and the fields of published are written
 *    with both locks held, and may be read with either.
 */
struct file {
	uint64_t ino;
	struct files *fs;
	atomic_uint holders;
	/* its shard's lock */
	struct file *chain;
	bool loading;
	struct list in_loose;	/* of what is in no tree */

	/* f: */
	pthread_mutex_t lock;
	struct extents top, under;
	uint64_t size;
	uint64_t base_kept;	/* bytes of base that no truncation has cut off */
	struct timestamp mtime, ctime;
	bool times;		/* they count: set, and not published yet */
	struct timestamp told_mtime, told_ctime;	/* the newest pair that the kernel has sent; the row's first */
	bool told;		/* it has */
	uint64_t read_next, ahead_to;	/* where a sequential reader goes on; read ahead up to */
	uint64_t ahead;		/* how far, in bytes; 0: not sequential */

	/* both: */
	bool dirty, flushing, unpublished, discarded;
	uint64_t frozen;	/* flushes that have begun: each takes what was written before it */
	struct ref base;
	uint64_t base_data;	/* bytes of it that are not in holes */
	struct timestamp base_mtime, base_ctime;
	bool base_times;

	/* fs: */
	bool kept, queued;
	enum file_state state;
	struct list in_state, in_queue, in_publish, in_must;
	struct list waiters;	/* file_flush */
	uint64_t flushed;	/* the last flush that ended well */
	uint64_t collected;	/* the last one that was collected */
	uint64_t must_flush;	/* one that must be collected before any commit */
	uint64_t sweep_flush;	/* one that the checkpoint waits for; 0: none */
	int error;		/* of the last flush */
	unsigned int writers;
	uint64_t emptied_ms;	/* when it was cut to nothing; 0: it was not */
	uint64_t frozen_ms;	/* when the last flush began */
};

struct file_shard {
	pthread_mutex_t lock;	/* protects what follows, and its files' chain and loading */
	pthread_cond_t loaded;
	struct file **buckets;
	size_t mask, count;
	struct list loose;	/* files of file_of_ref(), not in buckets; in count all the same */
};

struct files {
	struct files_options o;
	uint64_t flush_bytes;	/* of one file: then a flush starts */
	uint64_t room_unit;	/* so much must be free before a writer is called */
	struct file_shard shard[FILE_SHARDS];
	atomic_uint_fast64_t in_memory;
	atomic_uint_fast64_t dirty_bytes;	/* memory of all extents */
	atomic_uint idle;	/* flushers that wait for work */

	pthread_mutex_t lock;	/* protects what follows, and what struct file says */
	pthread_cond_t work;	/* for flushers */
	pthread_cond_t swept;
	struct {
		struct list files;	/* oldest first; of FILE_CLEAN none are listed */
		unsigned int count;
	} in[FILE_STATES];
	struct list queue;	/* to be flushed next */
	struct list publish;	/* unpublished */
	struct list must;
	struct list told;	/* file_flush waiters whose result is known */
	struct list room;	/* writers that wait */
	unsigned int running;	/* flushes */
	unsigned int sweeping;	/* files that the checkpoint waits for */
	bool sweep_all;		/* also those that were emptied */
	bool sweep_left;	/* one of them was put off */
	int error;		/* of the last flush that failed */
	bool ending;
	struct publication *collected;
	size_t ncollected;
	unsigned int flushers;
	pthread_t *flusher;
};

/* One file's flush: what flush_begin() took, and what came of it. */
struct flush {
	struct file *file;
	struct ref base, result;
	uint64_t base_data, result_data;
	uint64_t size;
	struct timestamp mtime, ctime;
	bool times;
	int error;
};

/* file.c */

/** file_lock_both(a, b), file_unlock_both(a, b): may be one. */
void file_lock_both(struct file *a, struct file *b);
void file_unlock_both(struct file *a, struct file *b);

/** file_layers(f, out): with its lock held. */
void file_layers(struct file *f, struct layers *out);

/* What a change costs is what the extents cost after it, less what they did before. */
struct file_cost {
	uint64_t cost, bytes;
};
struct file_cost file_cost(const struct file *f);

/** file_account(f, before, reserved): after a change: count what it cost; of ${reserved} bytes
 * in the set give back what it did not need. */
void file_account(struct file *f, struct file_cost before, uint64_t reserved);

/* flush.c: what a flusher does to one file without any lock. */
void flush_run(struct flush *fl);

/* files.c */

/** file_changed(f, emptied): with its lock held, after file_account(): it is dirty.  True: call
 * changed() when the lock is no longer held. */
bool file_changed(struct file *f, bool emptied);

/** file_settle(f): after any change of dirty, flushing, unpublished or error, with both locks
 * held: list it where it belongs now.  True: the files no longer hold it, file_put() is the
 * caller's. */
bool file_settle(struct file *f);

/** flush_begin(f, fl): freeze what was written.  False: there is nothing to do.  Then
 * flush_run(fl) and flush_end(fl). */
bool flush_begin(struct file *f, struct flush *fl);
void flush_end(struct flush *fl);

/** file_enqueue(f), file_dequeue(f), file_deferred(f, now_ms): with the files' lock held: its
 * turn comes; it has come; it waits for what is written after it was emptied. */
void file_enqueue(struct file *f);
void file_dequeue(struct file *f);
bool file_deferred(const struct file *f, uint64_t now_ms);

/* flusher.c */

uint64_t files_now_ms(const struct files *fs);

/** files_pressed(fs): is so much dirty that flushing should begin? */
bool files_pressed(struct files *fs);

/** files_have_room(fs, bytes): 0, -EAGAIN, or why there will be none. */
int files_have_room(struct files *fs, uint64_t bytes);

int files_start(struct files *fs);
void files_stop(struct files *fs);

#endif
