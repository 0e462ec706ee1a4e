/*
 * file: the content of the regular files that are open or changed, in memory.
 *
 * A file is a base (a ref: what is in the set) and over it what has been written since:
 * extents of bytes, of zeros, or of ranges of other files in the set (clones), under a
 * size.  A flush turns them into a new base: it freezes the extents, lets writers go on
 * above them, splices (chunker/splice.h), inserts the chunks and then drops them.  What
 * could not be flushed stays, is tried again, and is an error to every fsync until out.
 *
 * A flushed base is *published* (written to the tree) by the next checkpoint, once its
 * chunks are on stable storage: until then the file stays in memory.
 *
 * All functions are thread-safe; none waits for anything but short locks unless it says so.
 * Nothing here knows FUSE.
 */
#ifndef FS_FILE_H
#define FS_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "chunker/address.h"
#include "chunker/chunk.h"
#include "chunker/directory.h"
#include "chunker/list.h"
#include "dht/dht.h"
#include "fs/cache.h"
#include "fs/fetch.h"
#include "fs/tree.h"

#define FILE_SIZE_MAX ((uint64_t)INT64_MAX)	/* bytes, as the kernel has it; beyond: -EFBIG */

struct files;
struct file;
struct grace;
struct roots;

struct files_options {
	struct dht *dht;
	struct cache *cache;
	uint64_t dirty_max;		/* bytes of extents in memory, in all files together */
	unsigned int flushers;		/* threads */
	/* load(arg, ino, out): the inode's row; called when a file comes into memory, without a
	 * lock of ours, from file_get() */
	int (*load)(void *arg, uint64_t ino, struct inode *out);
	/* changed(arg): something is dirty that was not: a checkpoint is due within 1 s */
	void (*changed)(void *arg);
	/* freed(arg, bytes): so many bytes of content were replaced or cut off; full(arg): a flush found no
	 * room in the set.  Both under locks of ours.  NULL: nobody asks */
	void (*freed)(void *arg, uint64_t bytes);
	void (*full)(void *arg);
	void *arg;
	/* For the collection, NULL where there is none: flushes on their way and reads on their way are
	 * inside of these, and refs that move from file to file are told. */
	struct grace *flushing, *reading;
	struct roots *roots;
	/* now_ms(arg): a clock that never goes back; NULL: the system's */
	uint64_t (*now_ms)(void *arg);
};

int files_new(const struct files_options *o, struct files **out);

/** files_free(fs): stops the flushers.  What is dirty is lost: flush and publish first. */
void files_free(struct files *fs);

/** file_get(fs, ino, out): hold the file, bringing it into memory.  What load() said. */
int file_get(struct files *fs, uint64_t ino, struct file **out);

/** file_find(fs, ino): hold it only if it is in memory, else NULL. */
struct file *file_find(struct files *fs, uint64_t ino);
struct file *file_hold(struct file *f);

/** file_of_ref(fs, ref, out): a file that is in no tree, with this content, only to be read
 * from: for file_read(), file_seek() and as the source of file_clone().  It keeps its content from being
 * collected.  -ESTALE: it has been already. */
int file_of_ref(struct files *fs, const struct ref *ref, struct file **out);

/** file_put(f): clean and published files leave memory with their last holder. */
void file_put(struct file *f);

/** file_discard(f): its inode is gone for good: what is dirty is dropped, nothing is published. */
void file_discard(struct file *f);

/*
 * What the file in memory knows better than the tree's row.  Ask for this first and for
 * the row then: the other way round a checkpoint in between makes both old.
 */
struct file_attr {
	bool dirty;		/* else the tree's row is right */
	uint64_t size;
	uint64_t data;		/* bytes that are not in holes, about, while dirty */
	bool times;		/* mtime and ctime below count */
	struct timestamp mtime, ctime;
};

void file_attr(struct file *f, struct file_attr *out);
uint64_t file_ino(const struct file *f);

/**
 * file_write(f, off, data, now): ${data} becomes the file's bytes at ${off}; a hold is taken, or
 * small data copied.  ${now} (NULL: the kernel keeps the times) sets mtime and ctime.  -EAGAIN: at the
 * bound: call again when files_wait_room() says so.  -ENOSPC, -EFBIG, -ENOMEM.
 */
int file_write(struct file *f, uint64_t off, struct chunk *data, const struct timestamp *now);

struct room_waiter {
	void (*ready)(struct room_waiter *w);	/* from a flusher's thread: there is room, try again */
	/* private; zero at first */
	struct list link;
	bool waiting, called;
};
/** files_wait_room(fs, w): first come, first served; who waits again after ready() comes before
 * others. files_leave_room(fs, w): no longer; true: ready() will not be called. */
void files_wait_room(struct files *fs, struct room_waiter *w);
bool files_leave_room(struct files *fs, struct room_waiter *w);

/** file_truncate(f, size, now): both ways; what is cut off reads as zeros if the file grows
 * again. */
int file_truncate(struct file *f, uint64_t size, const struct timestamp *now);

/** file_zero(f, off, len, keep_size, now): [off, off + len) reads as zeros.  Unless
 * ${keep_size}, a size below off + len becomes that, also where ${len} is 0. */
int file_zero(struct file *f, uint64_t off, uint64_t len, bool keep_size,
    const struct timestamp *now);

/** file_set_times(f, mtime, ctime): they are published with the content of this moment (NULL: as
 * it is; where the file has no times that are yet to be published, one alone is left to the
 * row).  A pair that is some seconds older than the last one came late, and is nothing.  True: that
 * content is not in the tree yet, so the row must wait for both together. */
bool file_set_times(struct file *f, const struct timestamp *mtime, const struct timestamp *ctime);

/** file_clone(from, off, to, to_off, len, now, done): what [off, off + len) of ${from} holds at
 * this moment becomes ${to}'s at ${to_off}: no data moves.  *${done}: how many bytes (fewer at
 * the end of ${from}).  May be one file where the ranges do not overlap (else -EINVAL).
 * -EFBIG, -ENOMEM, -ENOSPC. Not held back at the bound, since it copies nothing. */
int file_clone(struct file *from, uint64_t off, struct file *to, uint64_t to_off, uint64_t len,
    const struct timestamp *now, uint64_t *done);

/*
 * A read.  The caller sets file, off, len and done; then iov[0..count) is the data, in memory that
 * stays until file_read_clear(): fewer bytes than len only at the end of the file.
 */
struct file_read {
	struct fetch fetch;
	struct file *file;
	uint64_t off;
	uint32_t len;
	void (*done)(struct file_read *r, int result);
	void *user;
	struct iovec *iov;
	int count;		/* at most 1000 */
	uint32_t got;		/* bytes */
	/* private */
	unsigned int parity;
	struct piece *spans;	/* what is there, as of the call */
	unsigned int nspans, room;
	unsigned int iov_room;
	bool has_entries, looked_ahead;
	struct chunk *flat;	/* a copy, where there were more than 1000 pieces */
};

/** file_read(r): done() may be called before it returns.  -EBADMSG, -EIO, -ENOENT (a chunk is
 * nowhere: for the reader EIO), -ETIMEDOUT, -ENOMEM.  Cancel with fetch_cancel(&r->fetch).
 * Sequential readers are read ahead for, into the cache. */
void file_read(struct file_read *r);
void file_read_clear(struct file_read *r);

/* A look for data or a hole, in blocks of 4 KiB: off in, off out; -ENXIO past the end. */
struct file_seek {
	struct fetch fetch;
	struct file *file;
	uint64_t off;
	bool hole;		/* else data */
	void (*done)(struct file_seek *s, int result);
	void *user;
	/* private */
	uint64_t from, data_end;	/* where it began; where what is known to be data ended last */
	unsigned int parity;
};
/** file_seek(s): done() may be called before it returns.  Errors as file_read(). */
void file_seek(struct file_seek *s);

/*
 * A flush: done when everything that was written to the file before it was started is in the set
 * (not yet on stable storage, not yet published), or could not be put there: then the errno.
 */
struct file_flush {
	struct file *file;
	void (*done)(struct file_flush *w, int result);
	void *user;
	/* private; zero at first */
	struct list link;
	uint64_t generation;
	int result;
	bool waiting;
};
/** file_flush(w): done() may be called before it returns, else from a flusher's thread.
 * file_flush_leave(w): no longer interested; true: done() will not be called. */
void file_flush(struct file_flush *w);
bool file_flush_leave(struct file_flush *w);

/** file_ref(f, out): its base, the content as of the last flush; false: there is something
 * newer. */
bool file_ref(struct file *f, struct ref *out);

/** file_error(f): why its content could not be flushed the last time, 0 if it could: for
 * close(2). */
int file_error(struct file *f);

/** file_opened(f), file_closed(f): one writer more, one less; file_writers(f): how many.  A file
 * that was cut to nothing and is still open for writing is left out of files_flush_all() for a
 * while (5 s), so that a crash between the cut and the write leaves the old content and not an
 * empty file. */
void file_opened(struct file *f);
void file_closed(struct file *f);
unsigned int file_writers(struct file *f);

/** file_must_publish(f): it has just replaced another file's name: no checkpoint from now on may
 * be made without its present content. */
void file_must_publish(struct file *f);

/*
 * For the checkpoint thread only.
 *
 * files_flush_all(fs, all): flush every file, with ${all} also those of file_opened() that wait
 *   for what is written next; returns when all are flushed or have failed: 0, or why some of
 *   them could not be.  What is left dirty makes it call changed() again.
 * files_flush_must(fs): the same for the files of file_must_publish() only.  The calling thread
 *   does it, so that it needs no flusher, which may be waiting for a lock of the caller's.
 * files_collect(fs, out, n): what is flushed and not published: *${out} is the files' until
 *   files_published().
 *   Called again before files_published(), it gives the whole set anew.
 *   After that call dht_sync(), then tree_commit() with it, with files_ready() as its question.
 * files_ready(fs): is the present content of every file that must be published among what was
 *   collected?  A file whose older content is in the tree, and whose change can't be put into the
 *   set because of chunks that can't be read, is left as it is there.
 * files_published(fs, ok): the outcome of the commit.
 */
int files_flush_all(struct files *fs, bool all);
int files_flush_must(struct files *fs);
int files_collect(struct files *fs, struct publication **out, size_t *n);
bool files_ready(void *fs);
void files_published(struct files *fs, bool ok);

/** files_roots(fs): add all refs that files in memory have to the roots: of each file those of one moment.
 * For the collection.  0 or -ENOMEM. */
int files_roots(struct files *fs);

struct files_status {
	uint64_t dirty_bytes, dirty_files, in_memory, failed;	/* failed: files with an error */
};
void files_status(struct files *fs, struct files_status *out);

#endif
