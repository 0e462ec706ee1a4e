/*
 * crash: a real mount under the recorder (powerlog), somebody who uses it, a model of what he
 * did, and the check of what a disk may hold after a power cut (powercut) against that model.
 *
 * The model is a sequence of states of the tree (names, inode numbers, modes, links, targets, one
 * xattr) and, for each regular file, a sequence of versions of its content.  Each has the moments
 * at which it was begun, had ended, and was acknowledged by a sync.  After a cut the tree must be
 * one state, not older than the last acknowledged and begun before the cut; each file one of the
 * versions in the same bounds.
 */
#ifndef TESTS_LIB_CRASH_H
#define TESTS_LIB_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chunker/address.h"
#include "tests/lib/powercut.h"

#define CRASH_NODES	160
#define CRASH_STATES	4096
#define CRASH_OBJECTS	1024
#define CRASH_PINS	16
#define CRASH_PATH	256
#define CRASH_TEXT	64

struct crash_when {
	uint64_t begun, ended, acked;	/* bytes of the log; UINT64_MAX: never */
};

struct crash_version {
	uint8_t *data;
	size_t size;
	struct crash_when when;
	bool loose; /* it may be there in part: page by page this one, an older one, or zeros */
	bool direct;		/* written past the kernel's cache, so with its time */
	int64_t from_ns, to_ns;	/* when that was */
};

struct crash_object {
	uint64_t ino;
	struct crash_version *versions;	/* the first one is empty */
	size_t count;
};

struct crash_node {
	char path[CRASH_PATH];		/* from the mount point, without a slash in front */
	uint64_t ino;
	unsigned int mode;
	char target[CRASH_TEXT], xattr[CRASH_TEXT];
};

/* What must be in a version of a file where a state is seen: it replaced something. */
struct crash_need {
	uint64_t ino;
	size_t version;
};

struct crash_state {
	struct crash_when when;
	uint64_t hash;		/* of all nodes */
	uint64_t names_hash;	/* of what a snapshot has of them */
	uint64_t snapshot_acked;	/* a sync of a folder that followed it; UINT64_MAX: none */
	struct crash_need needs[2];	/* of this state and all later ones; ino 0: none */
};

struct crash_pin {
	struct address address;
	uint64_t acked;
};

struct crash {
	char top[512];			/* a folder of its own, removed at the end */
	char disk[600], store[600], mnt[600], log[600];
	char build[512];		/* where the programs are */
	pid_t pid;
	int status;			/* of the process that has ended */
	uint64_t seed, random;
	struct crash_node nodes[CRASH_NODES];
	size_t node_count;
	struct crash_object objects[CRASH_OBJECTS];
	size_t object_count;
	struct crash_state states[CRASH_STATES];	/* the first: a new volume */
	size_t state_count;
	struct crash_pin pins[CRASH_PINS];
	size_t pin_count;
	struct powercut *cut;
	/* the check's */
	size_t images;
	char problem[1024];
};

/** crash_possible(why): can there be a mount, and be recorded? */
bool crash_possible(const char **why);

/** crash_begin(c, seed): an empty disk and its mount.  crash_end(c): gone, with all files. */
void crash_begin(struct crash *c, uint64_t seed);
void crash_end(struct crash *c);

/** crash_remount(c): unmount, wait for the process, mount again: in the same log. */
void crash_remount(struct crash *c);

/** crash_off(c): unmount for good, load the log, see that it tells all that happened. */
void crash_off(struct crash *c);

/*
 * What somebody does.  Paths are relative to the mount.  A failure fails the test, unless
 * the name of the call ends in try: then it is 0 or -errno.
 */
void crash_create(struct crash *c, const char *path, unsigned int mode);
void crash_mkdir(struct crash *c, const char *path);
void crash_rmdir(struct crash *c, const char *path);
void crash_unlink(struct crash *c, const char *path);
void crash_link(struct crash *c, const char *from, const char *to);
void crash_symlink(struct crash *c, const char *target, const char *path);
void crash_rename(struct crash *c, const char *from, const char *to);
void crash_chmod(struct crash *c, const char *path, unsigned int mode);
void crash_xattr(struct crash *c, const char *path, const char *value);

enum crash_way {
	CRASH_REPLACE,		/* O_TRUNC, write, close */
	CRASH_APPEND,
	CRASH_OVERWRITE,	/* of a range within it */
	CRASH_DIRECT,		/* the same through O_DIRECT, whole pages */
};

/** crash_write(c, path, way, size): new random bytes, and close. */
void crash_write(struct crash *c, const char *path, enum crash_way way, size_t size);

/** crash_fsync(c, path), of a file or a folder; crash_sync(c): dhtctl sync. */
void crash_fsync(struct crash *c, const char *path);
int crash_fsync_try(struct crash *c, const char *path);
void crash_sync(struct crash *c);

/** crash_put(c, size): dhtctl put of random bytes, which pins them. */
void crash_put(struct crash *c, size_t size);

/** crash_dhtctl(c, command): its exit status; for what changes no name and no content. */
int crash_dhtctl(struct crash *c, const char *command);

/** crash_settle(c): wait until a checkpoint that began after this call is on the disk. */
void crash_settle(struct crash *c);

/** crash_fail_sync(c, prefix): the next sync of a file of the store whose name begins so fails. */
void crash_fail_sync(struct crash *c, const char *prefix);
bool crash_sync_failed(struct crash *c);

uint64_t crash_random(struct crash *c, uint64_t below);

/** crash_has(c, path): is it there?  crash_same(c, a, b): is ${a} what ${b} is, or another name
 * of it? */
bool crash_has(struct crash *c, const char *path);
bool crash_same(struct crash *c, const char *a, const char *b);

/** crash_object(c, ino): or NULL.  crash_hash(...): one node of a state's hash, to be summed. */
struct crash_object *crash_object(struct crash *c, uint64_t ino);
uint64_t crash_hash(const struct crash_node *n, unsigned int nlink, bool whole);

/** crash_check(c, moment, how, lie, prefix, seed): make the image and check it: 0, or -1 and
 * c->problem.  (crash_check.c) */
int crash_check(struct crash *c, size_t moment, enum powercut_how how, enum powercut_lie lie,
    const char *prefix, uint64_t seed);

/** crash_check_many(c, n, lie, prefix): at ${n} random moments, most of them beside a sync.  How
 * many of them fail; an honest disk on which one fails fails the test. */
size_t crash_check_many(struct crash *c, size_t n, enum powercut_lie lie, const char *prefix);

#endif
