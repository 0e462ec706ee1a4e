/*
 * common: the files that all threads write at once, each its own records.
 *
 * Records of different threads lie beside each other, without regard to pages in the first file, in
 * whole blocks in the second, which is only used with O_DIRECT.  Behind the records a file has a
 * tail, which one of the threads cuts and extends.  To the log everybody appends lines.
 */
#ifndef EXERCISE_COMMON_H
#define EXERCISE_COMMON_H

#include <stdatomic.h>

#include "tests/mount/exercise/real.h"

#define LOG_FILE	SHARED_FILES	/* number of the log among the common files */

/* How often one record was begun to be written, was written, and was synced by anyone. */
struct record {
	_Atomic uint32_t begun, done, synced;
};

/* In memory that all workers share: what one thread has written. */
struct written {
	struct record records[SHARED_FILES][RECORDS];
	struct record lines;		/* how many, of the log */
	size_t tail;			/* of its file, if it has one */
	unsigned int tail_salt;		/* 0: zeros */
};

struct common {
	struct real *r;
	struct written *all;		/* of n_threads */
	unsigned int n_threads;
	int fds[SHARED_FILES + 1];
};

/**
 * common_create(base, n_threads): the files, with nothing in them.  0 or -errno.
 */
int common_create(const char *base, unsigned int n_threads);

int common_open(struct common *c);
void common_close(struct common *c);

/**
 * common_apply(c, op): 0, 1: skipped, or -EIO and c->r->why.
 */
int common_apply(struct common *c, const struct op *op);

/**
 * common_check(c, crashed): one thread's records are what it has written; the first thread looks at
 * the log as well.  After a crash, that they are what some of the writes since the last sync that
 * was acknowledged has left; then common_renew() makes them whole again.
 */
int common_check(struct common *c, bool crashed);
int common_renew(struct common *c);

#endif
