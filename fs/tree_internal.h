/* tree_internal: what the files of the tree share.  Not for others. */
#ifndef FS_TREE_INTERNAL_H
#define FS_TREE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "chunker/bytes.h"
#include "chunker/xattrs.h"
#include "fs/redo.h"
#include "fs/tree.h"

#define TREE_FORMAT	1u
#define TREE_NUMBER_FIRST 3u	/* of what comes after the root; cookies 1 and 2 are "." and ".." */
#define ROW_LEN		160		/* bytes of an inode's row */
#define NAME_VALUE_LEN	17		/* bytes of a name's value */
#define STATE_LEN	24
#define HEAD_LEN	(2 * REF_LEN + 8)
#define PIN_LEN		(REF_LEN + 16)
#define SEEN_BITS	(1u << 18)
#define COUNT_EVERY	32u		/* puts between two looks at what a transaction costs */
#define TREE_FILE	"tree"		/* in the store's folder; LMDB adds tree-lock */
#define TREE_NEW	"tree-new"	/* one that is being made */

/* The tables; fs/DESIGN.md has their bytes. */
enum table {
	INODES,
	NAMES,
	COOKIES,
	LINKS,
	TARGETS,
	XATTRS,
	ORPHANS,
	CHANGES,
	PINS,
	META,
	TABLES
};

/*
 * A transaction and one cursor a table.  All access goes through these: LMDB keeps a
 * cursor's page, so that the next key on the same page is found without a descent, and
 * need not adjust others when a page splits.
 */
struct view {
	MDB_txn *txn;
	MDB_cursor *cursor[TABLES];
};

/*
 * The fields below lock are protected by it.
 *
 * ${live} is the long write transaction.  ${last} is a read transaction on the last
 * checkpoint, renewed by each commit: what is read where there is no write transaction,
 * or once it has failed.  It keeps no page from being used again that LMDB would not keep
 * for its own sake.  ${view} points to the one that answers.
 */
struct tree {
	MDB_env *env;
	MDB_dbi dbi[TABLES];
	size_t page_size;
	uint64_t map_pages;
	pthread_t committer;	/* who called tree_begin(), while live.txn */

	pthread_mutex_t lock;	/* taken inside LMDB's lock of writers, which live.txn holds */
	pthread_cond_t turned;	/* not turning any more */
	bool turning;		/* one transaction has ended, the next has not begun */
	bool hidden;		/* and does not show yet what it should: readers wait too */
	bool spoiled;		/* a change failed half-way: the committer has to make it anew */
	bool replaying;		/* it does */
	void (*on_spoiled)(void *arg);
	void *on_spoiled_arg;
	struct redo redo;	/* what ${live} has changed */
	struct redo_mark start;	/* of the operation that runs, in it */
	int commit_error;	/* of the last one, if it failed: -errno */
	atomic_bool broken;	/* read without it too */
	struct view live, last, *view;
	uint64_t next_number;	/* of the next inode, or cookie */
	uint64_t epoch;		/* of the next checkpoint: the last one's + 1 */
	uint64_t changes;	/* puts and deletes since the last commit */
	unsigned int puts;	/* of the operation that runs */

	/* What the transaction will need of the disk, in pages. */
	const uint8_t *map;
	uint64_t used;		/* of the file, at the last commit */
	uint64_t allocated;	/* of the file */
	uint64_t counted_at;	/* changes, when dirty was last estimated */
	unsigned int dirty, touched;
	unsigned int multi;	/* pages of values that need several in a row */
	uint64_t reusable;	/* pages that commits have freed; UINT64_MAX: not counted yet */
	bool tight;		/* a change was refused for want of room */
	uint64_t pages_before[TABLES];
	uint64_t *seen;		/* a bitmap: pages of the map that were touched, by their number */

	struct tree_reader *readers;

	uint8_t *scratch;	/* TREE_XATTRS_MAX bytes */
};

struct key {
	size_t len;
	uint8_t b[16 + NAME_LEN_MAX + 1];
};

struct key key_of(uint64_t a);
struct key key_of2(uint64_t a, uint64_t b);
struct key key_of3(uint64_t a, uint64_t b, uint64_t c);
struct key key_named(uint64_t a, const char *name, size_t name_len);
struct key key_text(const char *text);

struct tree_reader {
	struct view view;
	uint64_t epoch;
	struct tree *tree;
	struct tree_reader *next, *prev;	/* protected by tree->lock */
};

/* What a name says. */
struct name_value {
	uint64_t ino, cookie;
	uint8_t type;		/* mode >> 12 */
};

/* tree_view.c: reading, of a transaction or of a reader. */

/** view_open(v, dbi): cursors for v->txn.  view_hide(v): close them, view_close(v): and abort the
 * transaction. */
int view_open(struct view *v, const MDB_dbi dbi[TABLES]);
void view_hide(struct view *v);
void view_close(struct view *v);

/** view_get(v, table, key, out): 0, -ENOENT, or -EIO.  *${out} lives until the next change. */
int view_get(struct view *v, enum table table, const struct key *key, MDB_val *out);

/** view_seek(v, table, key, found, out): the first at or behind ${key}; view_next(): the next. */
int view_seek(struct view *v, enum table table, const struct key *key, MDB_val *found,
    MDB_val *out);
int view_next(struct view *v, enum table table, MDB_val *found, MDB_val *out);

/** key_begins(found, key): is ${key} the beginning of the key ${found}? */
bool key_begins(const MDB_val *found, const struct key *key);

int view_inode(struct view *v, uint64_t ino, struct inode *out);
/** The row of a directory that still has a name (or is the root): -ENOENT, -ENOTDIR. */
int view_directory(struct view *v, uint64_t ino, struct inode *out);
int view_name(struct view *v, uint64_t dir, const char *name, size_t name_len,
    struct name_value *out);
int view_cookie(struct view *v, uint64_t dir, uint64_t cookie, struct tree_name *out);
int view_target(struct view *v, uint64_t ino, char target[SYMLINK_LEN_MAX + 1]);

/** name_check(name, len): -ENAMETOOLONG, -EINVAL (no name an entry can have); sets *${len}. */
int name_check(const char *name, size_t *len);

/** tree_name_of(key, value, out): a record of COOKIES. */
int tree_name_of(const MDB_val *key, const MDB_val *value, struct tree_name *out);

void row_encode(const struct inode *i, uint8_t out[ROW_LEN]);
int row_decode(uint64_t ino, const MDB_val *row, struct inode *out);

/* tree_change.c: writing.  The tree is locked.  These fail only where LMDB does. */

/* tree_mend.c */

/** tree_lock(t): lock, to read.  tree_wait(t): something is not as it should be (turning, hidden): wait, locked. */
void tree_lock(struct tree *t);
void tree_wait(struct tree *t);

/** tree_spoil(t): the operation that runs has failed half-way: none of it is to stay. */
void tree_spoil(struct tree *t);

/** tree_make_anew(t, why, what): by the committer: its transaction has failed (LMDB's ${why}): another one with
 * the same changes.  0, or -EIO: that failed too, and the tree is broken. */
int tree_make_anew(struct tree *t, int why, const char *what);

/** tree_adopt(t, txn): from now on ${txn} answers and takes changes.  LMDB's errors. */
int tree_adopt(struct tree *t, MDB_txn *txn);

/** tree_open_again(t): the same file in another environment, with a reader of the last checkpoint.  No reader
 * is left, and no transaction.  LMDB's errors. */
int tree_open_again(struct tree *t);

/**
 * tree_start(t): lock, for a change, when the next transaction has begun.  Where there will
 * be none, tree_reserve() says so.
 * tree_finish(t, rc): unlock and return ${rc}.  An operation that fails behind its first put
 * has left half of itself in the transaction: then that is made anew without it.
 */
void tree_start(struct tree *t);
int tree_finish(struct tree *t, int rc);

/**
 * tree_reserve(t, grows, names): to be called after all checks and before the first put of a change
 * that touches about ${names} names: -EROFS, or -ENOSPC where the disk can't take what the
 * transaction would have to write.  What does not grow the tree may use the last reserve.
 */
int tree_reserve(struct tree *t, bool grows, unsigned int names);

int tree_put(struct tree *t, enum table table, const struct key *key, const void *value,
    size_t len);
int tree_append(struct tree *t, enum table table, const struct key *key, const void *value,
    size_t len);	/* behind all other keys */
int tree_delete(struct tree *t, enum table table, const struct key *key);	/* no such key: 0 */
int tree_delete_all(struct tree *t, enum table table, const struct key *prefix);

int tree_put_inode(struct tree *t, const struct inode *i);

/** tree_changed(t, dir, name, len): a change record.
 * tree_put_changed(t, i): one for each name of the inode, and its row. */
int tree_changed(struct tree *t, uint64_t dir, const char *name, size_t len);
int tree_put_changed(struct tree *t, struct inode *i);

/** tree_drop_changes(t, dir, epoch): delete a directory's change records up to ${epoch}.  Takes the
 * lock itself, for a while at a time. */
int tree_drop_changes(struct tree *t, uint64_t dir, uint64_t epoch);

/** tree_delete_inode(t, i): its row, and all that hangs on it, but names and change records. */
int tree_delete_inode(struct tree *t, const struct inode *i);

/** tree_account(t): after a commit or at the start: begin to count anew. */
int tree_account(struct tree *t);
/** tree_count_pages(t): estimate t->dirty. */
void tree_count_pages(struct tree *t);
/** tree_break(t, rc, what): ${rc} is LMDB's or errno's; the tree is read-only from now on. */
void tree_break(struct tree *t, int rc, const char *what);
bool tree_show_last(struct tree *t);	/* read from the last checkpoint; false: it can't be read now */
int tree_errno(int rc);		/* LMDB's to -errno */

/* tree_xattr.c: with the tree locked. */

/** xattr_get(v, ino, name, out): 0, -ENODATA, -EIO. */
int xattr_get(struct view *v, uint64_t ino, const char *name, MDB_val *out);
int xattr_put(struct tree *t, struct inode *i, const char *name, const void *value, size_t len);
int xattr_drop(struct tree *t, struct inode *i, const char *name);

#define XATTR_ACCESS	"system.posix_acl_access"
#define XATTR_DEFAULT	"system.posix_acl_default"
#define XATTR_CAPS	"security.capability"

#endif
