/*
 * real: operations carried out in a directory, each held against what the model says.
 */
#ifndef EXERCISE_REAL_H
#define EXERCISE_REAL_H

#include <setjmp.h>

#include "tests/mount/exercise/model.h"

#define BASE_LEN	3072
#define WHY_LEN		1024
#define REAL_PATH	(BASE_LEN + 3 * PATH_LEN)

/* One thread's. */
struct real {
	const char *base;	/* the directory of the exercise */
	unsigned int thread;
	int fds[SLOTS];		/* -1: closed */
	unsigned char *maps[SLOTS];
	size_t map_lens[SLOTS];
	unsigned char *scratch;	/* FILE_MAX and some, on a block's boundary */
	char why[WHY_LEN];	/* what was wrong */
};

/**
 * real_setup(base, threads): the directories that all threads share, and each one's own.
 * 0 or -errno.
 */
int real_setup(const char *base, unsigned int threads);

int real_init(struct real *r, const char *base, unsigned int thread);
void real_free(struct real *r);

/**
 * real_apply(r, m, op, out): do ${op}, of which ${m}, after it, and ${out} tell the outcome.
 * 0, or -EIO: something else came of it, see r->why.
 */
int real_apply(struct real *r, struct model *m, const struct op *op, const struct outcome *out);
int real_apply_data(struct real *r, struct model *m, const struct op *op, const struct outcome *out);

/**
 * real_close(r, m): closes and unmaps everything, here and in ${m}, and with ${settle} has the kernel
 * write back what it holds of any file in ${m}.
 */
int real_close(struct real *r, struct model *m, bool settle);

/**
 * real_scan(r, out): the thread's part of the tree as it is.  0 or -EIO, see r->why.
 */
int real_scan(struct real *r, struct model **out);

/**
 * real_path(r, path, out): where a path of the model is; ${out} holds REAL_PATH.
 */
const char *real_path(const struct real *r, const char *path, char *out);

/* wrong(r, format...): says it in r->why; -EIO.  expect(): result as the system call gave it. */
int wrong(struct real *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int expect(struct real *r, int64_t result, int64_t wanted);
int expect_bytes(struct real *r, const unsigned char *got, const unsigned char *want, size_t off,
    size_t len);
int look(struct real *r, struct node *node, const struct stat *st);

/* xattr_name(i): of the attribute with that number in the model. */
const char *xattr_name(unsigned int i);

/**
 * guarded_copy(to, from, len), guarded_differ(a, b, len): memcpy() and memcmp(), of which one side is
 * a mapping: -EFAULT for a SIGBUS, as when the filesystem is gone.  guard_start() once a process.
 */
int guarded_copy(unsigned char *to, const unsigned char *from, size_t len);
int guarded_differ(const unsigned char *a, const unsigned char *b, size_t len);
void guard_start(void);

#endif
