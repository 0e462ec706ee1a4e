/*
 * plan: what an exercise does, written down before it begins.
 *
 * A plan is made from a seed alone and can be printed, read back, and cut down; any part of a plan
 * is a plan, since what an operation must do is known whatever went before it (model.h).  Every
 * thread has operations of its own, in their order; threads run at the same time.  Rounds follow
 * each other; at the end of each everything is compared, after what the round's end says.
 */
#ifndef EXERCISE_PLAN_H
#define EXERCISE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PATH_LEN	32
#define SLOTS		4u		/* open files of a thread, and as many mappings */
#define THREADS_MAX	16u		/* of all workers together */
#define BLOCK		((size_t)4096)	/* O_DIRECT goes by it */
#define XATTRS		3u		/* names of extended attributes that are used */
#define RECORDS		48u		/* of a thread in each shared file */
#define SHARED_FILES	2u		/* the second one is only used with O_DIRECT */

enum kind {
	OP_OPEN, OP_CLOSE, OP_READ, OP_PREAD, OP_PREADV, OP_WRITE, OP_PWRITE, OP_PWRITEV, OP_LSEEK,
	OP_FTRUNCATE, OP_FALLOCATE, OP_COPY, OP_HOLES, OP_FSYNC, OP_PUSH, OP_FORGET,
	OP_MAP, OP_STORE, OP_LOAD, OP_MSYNC, OP_UNMAP, OP_PRIVATE,
	OP_MKDIR, OP_RMDIR, OP_UNLINK, OP_RENAME, OP_LINK, OP_SYMLINK, OP_READLINK,
	OP_CHMOD, OP_CHOWN, OP_UTIMENS, OP_SETXATTR, OP_GETXATTR, OP_REMOVEXATTR,
	OP_TRUNCATE, OP_LIST, OP_STAT, OP_SYNCDIR, OP_ADDRESS,
	OP_RECORD, OP_RECORD_MAP, OP_RECORD_READ, OP_RECORD_SYNC, OP_TAIL, OP_APPEND,
	OP_KINDS
};

/* Which fields a kind uses is in plan.c, as letters. */
struct op {
	enum kind kind;
	unsigned int thread;
	unsigned int slot, slot2;
	char path[PATH_LEN], path2[PATH_LEN];
	uint64_t off, off2, len;
	unsigned int flags, fill, salt;
};

enum end { END_CHECK, END_REMOUNT, END_KILL };

struct round {
	struct op *ops;
	size_t n_ops;
	enum end end;
	unsigned int after_ms;	/* of its start: END_KILL */
};

struct plan {
	uint64_t seed;
	unsigned int workers, threads;	/* processes; threads of each */
	unsigned int n_rounds;
	struct round *rounds;
};

struct plan_shape {
	unsigned int workers, threads, rounds, ops;	/* ops: of each thread in a round */
};

enum fill { FILL_NOISE, FILL_ZERO, FILL_BYTE, FILL_TEXT, FILL_AGAIN, FILLS };

/**
 * plan_make(shape, seed), plan_read(file), plan_copy(plan): NULL: no memory, or no plan (said on stderr).
 */
struct plan *plan_make(const struct plan_shape *shape, uint64_t seed);
struct plan *plan_read(FILE *file);
struct plan *plan_copy(const struct plan *plan);
void plan_free(struct plan *plan);
void plan_print(const struct plan *plan, FILE *out);
size_t plan_ops(const struct plan *plan);

/**
 * op_text(op, out, size): ${op} in a line without an end, as plan_print() does.  Returns ${out}.
 */
const char *op_text(const struct op *op, char *out, size_t size);

/**
 * op_fields(kind): the letters of the fields that it uses.  s, S: slot, slot2; p, P: path, path2;
 * o, O: off, off2; l: len; f: flags; c: fill and salt; n: salt.
 */
const char *op_fields(enum kind kind);

/**
 * fill_bytes(at, len, fill, salt): content that depends on ${fill} and ${salt} alone.  FILL_AGAIN is
 * one of a few, so that the same bytes come at many places.
 */
void fill_bytes(unsigned char *at, size_t len, unsigned int fill, unsigned int salt);

uint64_t rng_next(uint64_t *state);
uint64_t rng_below(uint64_t *state, uint64_t n);

#endif
