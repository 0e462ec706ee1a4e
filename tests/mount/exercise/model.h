/*
 * model: what one thread's part of the tree must be, in memory.
 *
 * The part has three directories at its top: `own`, which is the thread's alone, and `d0` and `d1`,
 * which are shared by all threads, each with names of its own.  The model knows the outcome of
 * every operation in every state, errors among them, so operations need no care to succeed.
 */
#ifndef EXERCISE_MODEL_H
#define EXERCISE_MODEL_H

#include <sys/stat.h>
#include <time.h>

#include "tests/mount/exercise/plan.h"

#define FILE_MAX	((size_t)6 << 20)
#define MODEL_MAX	((size_t)20 << 20)	/* all files of a thread */
#define DIRECT_MAX	((size_t)1 << 20)	/* one request */
#define SKIPPED		INT64_MIN

enum mtime {
	MTIME_ANY,	/* a mapping may set it at any time, or nothing is known */
	MTIME_NOW,	/* it was set by a change, to a time of this test */
	MTIME_KNOWN
};

struct xattr {
	unsigned char *value;	/* NULL: not there */
	size_t len;
};

struct entry {
	char name[PATH_LEN];
	struct node *node;
};

struct node {
	uint64_t id, ino;	/* ino: 0 while nobody has looked */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	unsigned int names;	/* a directory has one */
	unsigned int handles, maps;
	enum mtime mtime_is;
	struct timespec mtime;
	struct xattr xattrs[XATTRS];
	char target[PATH_LEN];
	unsigned char *data;	/* zeros from size to capacity */
	size_t size, capacity;
	struct entry *entries;	/* by name */
	size_t n_entries;
	bool common;		/* a directory of all threads */
	bool loose;		/* was not only written in requests of which each is the whole change */
	bool pushed;		/* the kernel holds nothing back that was written */
	uint64_t walk, order;	/* the last walk that came here, and when */
	const struct node *twin;
};

struct handle {
	struct node *node;	/* NULL: closed */
	unsigned int flags;
	size_t pos;
};

struct mapping {
	struct node *node;	/* NULL: none */
	size_t off, len;
};

struct model {
	struct node *root;
	struct handle handles[SLOTS];
	struct mapping maps[SLOTS];
	uint64_t version;	/* of names and attributes */
	uint64_t next_id;
	size_t bytes, bytes_max;	/* of all files */
};

/* What an operation does, and to what. */
struct outcome {
	int64_t result;		/* as the system call's, or -errno, or SKIPPED: not done */
	struct node *node;	/* that it is about, if it is there afterwards */
	size_t off, len;	/* the bytes of node that are written, or must be read */
	struct node *changed;	/* its bytes in [from, to) may be others now, and its size */
	size_t from, to;
	bool synced;		/* a success means that node is on stable storage */
	bool replaced;		/* node took the place of another file */
	bool created;
};

/**
 * model_new(): with the three directories, empty.  model_clone(m): without handles and mappings; m
 * has none.  NULL: no memory.
 */
struct model *model_new(void);
struct model *model_clone(const struct model *m);
void model_free(struct model *m);

/**
 * model_apply(m, op, out): what ${op} does to ${m}, and its outcome.  An operation of shared files
 * (OP_RECORD and later) is none of the model's.
 */
void model_apply(struct model *m, const struct op *op, struct outcome *out);

/**
 * model_close(m): closes all handles and mappings.
 */
void model_close(struct model *m);

/**
 * model_digest(m): of names, types, attributes and links, not of what is in files, nor times.
 */
uint64_t model_digest(struct model *m);

/**
 * model_diff(want, got, contents, out, size): 0 when they are the same, else -EIO and the first
 * difference as text.  Without ${contents}: as far as model_digest() goes.
 */
int model_diff(struct model *want, struct model *got, bool contents, char *out, size_t size);

/**
 * model_find(m, path): NULL: not there.
 */
struct node *model_find(struct model *m, const char *path);

/* For those that build a model from what they find, and for the parts of this one. */
struct node *node_new(struct model *m, mode_t mode);
void node_release(struct model *m, struct node *node);	/* frees it when nothing holds it */
bool node_resize(struct model *m, struct node *node, size_t size);
bool node_enter(struct node *dir, const char *name, struct node *node);
struct entry *node_entry(struct node *dir, const char *name);
void node_modified(struct node *node, enum mtime how);
bool node_set_xattr(struct node *node, unsigned int i, const unsigned char *value, size_t len);
void model_apply_data(struct model *m, const struct op *op, struct outcome *out);

#endif
