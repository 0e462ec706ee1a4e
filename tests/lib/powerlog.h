/*
 * powerlog: what a process did to the files below one folder, in one timeline.
 *
 * The recorder (tests/mount/helpers/powerlog.c, for LD_PRELOAD) appends one record for each
 * change and each sync that the process makes below POWERLOG_ROOT, from its own code and from its
 * libraries alike, to the file POWERLOG_FILE.  Each record is one append of one write, so that
 * those of many threads never mix.  The length of the log is a clock: whoever drives the process
 * reads it to know what came before what.
 *
 * A change is recorded when it has been made, a sync when it begins and when it has ended: a
 * change that lies before a sync's begin was made durable by it, of any other nobody knows.
 */
#ifndef TESTS_LIB_POWERLOG_H
#define TESTS_LIB_POWERLOG_H

#include <stdint.h>

#define POWERLOG_MAGIC 0x676f6c70u

enum powerlog_type {
	POWERLOG_CREATE, /* file; payload: name */
	POWERLOG_MKDIR, /* file; payload: name */
	POWERLOG_LINK, /* file; payload: new name */
	POWERLOG_UNLINK, /* file; payload: name (also of folders) */
	POWERLOG_RENAME, /* file; payload: old name, NUL, new name */
	POWERLOG_WRITE, /* file, off, a: durable by itself (O_DSYNC); payload: bytes */
	POWERLOG_SIZE, /* file, a: new size */
	POWERLOG_GROW, /* file, a: new size, if that is more */
	POWERLOG_ZERO, /* file, off, a: length, b: the least size that the file has after it */
	POWERLOG_SYNC, /* file, a: id; a sync begins */
	POWERLOG_SYNCED, /* file, a: id, b: 0 or errno */
	POWERLOG_SYNC_DIR, /* a: id; payload: name of the folder, "" the root */
	POWERLOG_SYNCED_DIR, /* a: id, b: 0 or errno; payload: name */
	POWERLOG_MAP, /* mapped to be written, which nobody can record; payload: name */
};

/* Names are relative to the root, without a slash in front. */
struct powerlog_record {
	uint32_t magic, type;
	uint64_t file;		/* inode number; one that was created is a new file */
	uint64_t off, a, b;
	uint64_t len;		/* bytes of payload that follow, and then zeros to a multiple of 8 */
};

/** powerlog_span(r): bytes from this record to the next. */
static inline uint64_t powerlog_span(const struct powerlog_record *r)
{
	return sizeof(*r) + (r->len + 7) / 8 * 8;
}

#endif
