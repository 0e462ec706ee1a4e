/*
 * segment: the append-only files that hold the records, and a bounded set of open descriptors.
 *
 * They are written past the page cache (O_DIRECT), in whole blocks: for bytes that are written
 * once and seldom read soon, pages cost more than the disk does.  So are long records read; short
 * ones are read through it, since those beside them come along.
 *
 * Thread-safe, but for segments_add() and the fields of struct segment that say otherwise.
 */
#ifndef DHT_SEGMENT_H
#define DHT_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/list.h"
#include "dht/io.h"
#include "dht/record.h"

#define SEGMENT_BLOCK 4096u	/* bytes: what is written starts and ends at a multiple of this */

struct segment {
	uint32_t number;
	/* Under the store's lock: */
	uint32_t end;		/* bytes: where the next record goes; the file ends here or before */
	uint32_t keep_end;	/* what lies before was written out, and an fdatasync followed: never cut */
	uint32_t ledger_end;	/* what the ledger's row says */
	bool scanned;		/* what lies behind ledger_end is known: the row may move on */
	bool sealed;		/* nothing more is appended */
	int failed;		/* 0, or what a write or fdatasync said: then nothing that is not
				   durable yet is trusted, nor written out */
	bool named;		/* the folder's entry is durable */
	uint64_t allocated;	/* bytes set aside on the disk, 0 or >= end */
	uint32_t holes;		/* bytes before end that take nothing on the disk */
	bool cleaning;		/* no record that is dead now may be led to any more */
	uint32_t clean_live;	/* live bytes when it was cleaned last; 0: it was not, in this run */
	struct list unsynced;	/* its records that are not durable yet */
	/* Under the set's lock: */
	int fd;			/* -1: closed for now */
	int direct_fd;		/* the same file, past the page cache; or -1 */
	unsigned int users;	/* who work with them */
	struct list idle;	/* in the set's list of those nobody works with */
	bool removed;		/* from the set */
	struct segment *next_removed;
};

struct segments;

/** segments_new(io, dirfd): the set of ${dirfd}'s segments, empty.  NULL: no memory. */
struct segments *segments_new(const struct io *io, int dirfd);
void segments_free(struct segments *s);

/**
 * segments_find(s, number): NULL where there is none.
 * segments_add(s, number): enter one that exists, ${s} being ours alone.  NULL: no memory.
 * segments_create(s, out): make the next file.  Numbers are never used twice.  0 or -errno.
 */
struct segment *segments_find(struct segments *s, uint32_t number);
struct segment *segments_add(struct segments *s, uint32_t number);
int segments_create(struct segments *s, struct segment **out);

/** segments_remove(s, g): it is not found any more.  Who has ${g} may go on with it, to no effect. */
void segments_remove(struct segments *s, struct segment *g);

/** segments_count(s), segments_at(s, i): in the order of their numbers. */
size_t segments_count(struct segments *s);
struct segment *segments_at(struct segments *s, size_t i);

/** segments_next(s, number): the first of a higher number, or NULL: where others may be removed meanwhile. */
struct segment *segments_next(struct segments *s, uint32_t number);

/** segment_hold(s, g): a descriptor of ${g} to work with until segment_drop(s, g), or -errno. */
int segment_hold(struct segments *s, struct segment *g);
void segment_drop(struct segments *s, struct segment *g);

/**
 * segment_write(s, g, bytes, len, off): write whole blocks, from memory that is aligned to one; ${g}
 * is held.  Past the page cache, or through it where the file system refuses that.  0 or -errno.
 */
int segment_write(struct segments *s, struct segment *g, const void *bytes, size_t len,
    uint32_t off);

/** segment_read(s, g, bytes, len, off): read whole blocks likewise.  Their bytes, fewer at the end of the
 * file; or -errno. */
ssize_t segment_read(struct segments *s, struct segment *g, void *bytes, size_t len, uint32_t off);

/** segment_block_up(off): the next start of a block. */
static inline uint32_t segment_block_up(uint32_t off)
{
	return (off + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
}

/** segment_name(number, name): "segment-00000001".  segment_parse(name): its number, or 0. */
#define SEGMENT_NAME_LEN 16
void segment_name(uint32_t number, char name[SEGMENT_NAME_LEN + 1]);
uint32_t segment_parse(const char *name);

#endif
