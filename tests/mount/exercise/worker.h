/*
 * worker: a process that carries out the part of a plan which is its threads'.
 *
 * It does one thing at a time, as the runner says, and keeps the models from one to the next.  What
 * the runner must know, whatever becomes of the worker, is in memory that all share.
 */
#ifndef EXERCISE_WORKER_H
#define EXERCISE_WORKER_H

#include "tests/mount/exercise/common.h"
#include "tests/mount/exercise/crash.h"

struct thread_state {
	_Atomic size_t begun;		/* operations of this round */
	_Atomic uint64_t operations;	/* of all rounds, that were not skipped */
	struct moment moments[MOMENTS];
	unsigned int n_moments;
};

struct shared {
	_Atomic int failed, dying;	/* dying: the mount is being killed, so anything may fail */
	char failure[2 * WHY_LEN];	/* of who set failed */
	uint64_t synced_ns;		/* the last begin of an acknowledged sync, in this round */
	bool crashes;			/* END_KILL is what it says */
	struct written written[THREADS_MAX];
	struct thread_state threads[THREADS_MAX];
	size_t done_max;
	struct done done[];		/* done_max of each thread */
};

enum command { DO_ROUND = 'r', DO_CHECK = 'c', DO_CHECK_CRASHED = 'k', DO_RENEW = 'n', DO_END = 'e' };

struct order {
	enum command command;
	unsigned int round;
};

/**
 * worker_run(plan, base, shared, worker, fd): does what is ordered on ${fd}, a struct order each, and
 * answers with a byte when it is done.  Does not return.
 */
void worker_run(const struct plan *plan, const char *base, struct shared *shared,
    unsigned int worker, int fd) __attribute__((noreturn));

/**
 * fail(shared, format...): says what is wrong, if nobody has yet.
 */
void fail(struct shared *shared, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint64_t now_ns(void);

#endif
