/*
 * posix: what POSIX and the Linux man pages say of a local filesystem, as tests that run in any directory.
 *
 *     posix DIRECTORY [WORD...]
 *
 * runs all tests, or those whose names have one of the words, each in a process and an empty directory of its own
 * below DIRECTORY, and prints TAP.  The filesystem that is tested and the machine's own must both pass: what differs
 * is named in limits.c alone.  As root it takes the part of other users in further processes.
 */
#ifndef POSIX_H
#define POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define KIB 1024L
#define MIB (1024L * KIB)
#define GIB (1024L * MIB)
#define TIB (1024L * GIB)

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct test {
	const char *name;	/* with _ for blanks: the sentence */
	void (*run)(void);
	bool root;		/* needs root */
};

#define T(function) { #function, function, false }
#define ROOT(function) { #function, function, true }

/* Each file's tests, ended by one without a name. */
extern const struct test names_tests[], links_tests[], nodes_tests[], rename_tests[], directories_tests[],
    attributes_tests[], times_tests[], permissions_tests[], setid_tests[], opening_tests[], io_tests[], sizes_tests[],
    holes_tests[], copies_tests[], mapping_tests[], locking_tests[], xattrs_tests[], acls_tests[],
    notify_tests[], threads_tests[], limits_tests[];

/* A check that fails says why and ends the test.  They may be used in a test's own children too. */
#define HERE __FILE__, __LINE__

/** OK(call): succeeds; its value. */
#define OK(call) check_ok((long)(call), #call, HERE)
/** FAILS(error, call): returns -1, with that errno. */
#define FAILS(error, call) check_fails((long)(call), error, #call, HERE)
/** SAME(got, wanted): numbers; TEXT: strings; BYTES: of that length; YES(condition). */
#define SAME(got, wanted) check_same((long long)(got), (long long)(wanted), #got, HERE)
#define TEXT(got, wanted) check_text(got, wanted, #got, HERE)
#define BYTES(got, wanted, len) check_bytes(got, wanted, len, #got, HERE)
#define YES(condition) check_yes(condition, #condition, HERE)
/** MOVES(path, which, statement): of path's times just those of ${which} ("a", "m", "c") become later; with "r" in it
 * the atime may, since path is read. */
#define MOVES(path, which, statement) \
	do { \
		check_times(path); \
		statement; \
		check_moved(path, which, #statement, HERE); \
	} while (0)
/** SKIP(why): this machine, or this user, can't do it. */
#define SKIP(why) check_skip(why)

long check_ok(long result, const char *what, const char *file, int line);
void check_fails(long result, int error, const char *what, const char *file, int line);
void check_same(long long got, long long wanted, const char *what, const char *file, int line);
void check_text(const char *got, const char *wanted, const char *what, const char *file, int line);
void check_bytes(const void *got, const void *wanted, size_t len, const char *what, const char *file, int line);
void check_yes(bool yes, const char *what, const char *file, int line);
void check_times(const char *path);
void check_moved(const char *path, const char *which, const char *what, const char *file, int line);
void check_skip(const char *why) __attribute__((noreturn));

/* Another user.  ${groups} are further ones. */
struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[4];
	size_t group_count;
};

#define ALICE .uid = 54321, .gid = 54321
#define BOB .uid = 54322, .gid = 54322
#define TEAM 54999	/* a group that nobody has for a first one */
#define ALICE_ID 54321
#define BOB_ID 54322

/** AS(user...) { ... }: the block as that user, in a process of its own: what it changes in memory is lost.
 * IN_CHILD { ... }: the same without another user.  A check that fails there fails the test. */
#define AS(...) for (pid_t as_ = as_begin(&(struct user){ __VA_ARGS__ }); as_ == 0; as_end())
#define IN_CHILD for (pid_t as_ = as_begin(NULL); as_ == 0; as_end())
pid_t as_begin(const struct user *u);
void as_end(void) __attribute__((noreturn));

/** reap(pid): wait for a child that the test forked by itself: it must end with 0. */
void reap(pid_t pid);

/** make(path, text): a file of mode 0644 with this content.  content(path, text): it has just that. */
void make(const char *path, const char *text);
void content(const char *path, const char *text);

/** fill(path, data, len); filled(path, data, len): the same with bytes. */
void fill(const char *path, const void *data, size_t len);
void filled(const char *path, const void *data, size_t len);

/** noise(len, seed): bytes that do not compress, in memory that is the test's. */
unsigned char *noise(size_t len, unsigned int seed);

/** zeros(len): zeros, in memory that is the test's. */
unsigned char *zeros(size_t len);

/** look(path): lstat.  mode_of(path): its permission and set-id bits. */
struct stat look(const char *path);
struct stat look_fd(int fd);
mode_t mode_of(const char *path);
bool there(const char *path);

/** age(path): atime and mtime are long ago. */
#define LONG_AGO 1000000000L
void age(const char *path);

/** tick(): from here on the times that the kernel gives are later. */
void tick(void);

/** forget(fd): what the kernel has of a file is written and dropped, to be read again. */
void forget(int fd);

/** on_fuse(): is it a FUSE filesystem? */
bool on_fuse(void);

/** pause_ms(n): for what has to be seen not to happen. */
void pause_ms(long n);

#endif
