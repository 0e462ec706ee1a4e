/*
 * powercut: what a disk may hold after the power failed at a moment of a powerlog.
 *
 * The model is weaker than any file system that we know of, in what it promises:
 *  - Bytes are there for sure once an fdatasync of their file that began after the write has
 *    ended well, or once a write through O_DSYNC has ended.  All others may be there, whole or by
 *    sectors of 512 bytes, in any order; where one made its file longer and is lost, there may be
 *    zeros or something else, or the file may be short.
 *  - Changes of size, holes and zeroed ranges likewise, each by itself.
 *  - A sync that failed made nothing durable of what it should have, and no later one does.
 *  - A name made, changed or removed is so for sure once its folder has been synced.  Before that
 *    it may or may not be, each by itself or all up to a moment; a rename is all or nothing.
 *    A sync of a file says nothing of its name.
 */
#ifndef TESTS_LIB_POWERCUT_H
#define TESTS_LIB_POWERCUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/powerlog.h"

struct powercut;

/** powercut_load(path, out): 0, or -errno; -EBADMSG: no whole log.  The log must not change any
 * more. */
int powercut_load(const char *path, struct powercut **out);
void powercut_free(struct powercut *p);

/* A record; moments are counted in records: the moment n is after n of them. */
size_t powercut_count(const struct powercut *p);
const struct powerlog_record *powercut_at(const struct powercut *p, size_t i, const void **payload);

/** powercut_offset(p, moment): bytes of the log before it. */
uint64_t powercut_offset(const struct powercut *p, size_t moment);

/* Faults of the disk that a test plants, to see that they are noticed. */
enum powercut_lie {
	POWERCUT_HONEST,
	POWERCUT_NO_SYNC,	/* fdatasync of files whose names begin so does nothing */
	POWERCUT_NO_DSYNC,	/* and O_DSYNC neither */
	POWERCUT_NO_NAMES,	/* fsync of folders does nothing */
};

enum powercut_how {
	POWERCUT_RANDOM,	/* each of the unsynced by itself */
	POWERCUT_LOST,		/* none of it */
	POWERCUT_KEPT,		/* all of it: as a crash of the process alone would leave it */
	POWERCUT_PREFIX,	/* all up to a moment, and nothing later */
	POWERCUT_HOWS
};

/**
 * powercut_image(p, moment, how, lie, prefix, seed, dir): make the folder ${dir}, which is not
 * there yet, with what the disk holds when the power fails at ${moment}.  0 or -errno.
 */
int powercut_image(const struct powercut *p, size_t moment, enum powercut_how how,
    enum powercut_lie lie, const char *prefix, uint64_t seed, const char *dir);

/** powercut_now(p, dir): does the log tell all that happened?  ${dir} is the recorded root,
 * untouched since the last record: 0, or -EILSEQ with a line on stderr that says where they
 * differ. */
int powercut_now(const struct powercut *p, const char *dir);

#endif
