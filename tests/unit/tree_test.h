/* tree_test: a tree in a folder of its own, for the tests of the tree. */
#ifndef TESTS_TREE_TEST_H
#define TESTS_TREE_TEST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/tree.h"
#include "tests/lib/suite.h"

static char tree_dir[64];
static struct tree *t;

static inline struct timestamp at(int64_t sec)
{
	return (struct timestamp){ .sec = sec, .nsec = 7 };
}

static inline void tree_test_open(void)
{
	char why[512] = "";
	int rc = tree_open(tree_dir, false, &t, why, sizeof why);

	if (rc)
		fail_msg("tree_open: %d %s", rc, why);
	assert_int_equal(tree_begin(t), 0);
}

static inline void tree_test_commit(void)
{
	assert_int_equal(tree_commit(t, NULL, NULL, NULL), 0);
}

/* What was not committed is gone, as after a crash. */
static inline void tree_test_reopen(void)
{
	tree_close(t);
	tree_test_open();
}

/* A fresh folder. */
static inline int tree_test_mkdir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(tree_dir, sizeof tree_dir, "%.40s/tree-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(tree_dir) ? 0 : -1;
}

static inline int tree_test_setup(void **state)
{
	(void)state;
	if (tree_test_mkdir() < 0)
		return -1;
	tree_test_open();
	return 0;
}

static inline int tree_test_teardown(void **state)
{
	char path[96];

	(void)state;
	tree_close(t);
	t = NULL;
	snprintf(path, sizeof path, "%s/tree", tree_dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/tree-lock", tree_dir);
	unlink(path);
	return rmdir(tree_dir);
}

/* Make something; the inode's number. */
static inline uint64_t make(uint64_t dir, const char *name, uint32_t mode)
{
	struct new_inode n = {
		.mode = mode, .uid = 1, .gid = 2, .rdev = 5, .target = "to/where", .now = at(100),
	};
	struct inode i;

	assert_int_equal(tree_create(t, dir, name, &n, 0, &i), 0);
	return i.ino;
}

static inline struct inode get(uint64_t ino)
{
	struct inode i;

	assert_int_equal(tree_get(t, ino, &i), 0);
	return i;
}

static inline uint64_t find(uint64_t dir, const char *name)
{
	struct inode i;
	int rc = tree_lookup(t, dir, name, &i);

	if (rc == -ENOENT)
		return 0;
	assert_int_equal(rc, 0);
	return i.ino;
}

#define FILE_MODE (S_IFREG | 0644)
#define DIR_MODE  (S_IFDIR | 0755)

#endif
