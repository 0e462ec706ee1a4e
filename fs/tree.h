/*
 * tree: the names, attributes and content refs of the mounted volume, in LMDB.
 *
 * All changes go into one long write transaction whose commit is the checkpoint.  Every
 * call locks the tree's mutex and is a memory operation of some microseconds; only the
 * commit holds it for longer.  A commit that fails loses nothing: its changes are kept and come
 * into the next one.  Only where they can't be (no memory for them) the tree is read-only: every
 * change fails with -EROFS, and reads answer with the last checkpoint.  Permissions are
 * checked by the kernel (default_permissions), names have been checked for length here
 * (-ENAMETOOLONG), and for what no name can be (-EINVAL).
 *
 * To be opened after the last fork(): LMDB does not survive one.
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "chunker/address.h"
#include "chunker/directory.h"

#define TREE_ROOT	1u		/* the root's inode number; numbers are never reused */
#define TREE_LINKS_MAX	65000u
#define TREE_XATTRS_MAX	(64u * 1024)	/* bytes of names and values of one inode */

struct tree;

struct inode {
	uint64_t ino;
	uint32_t mode, uid, gid;
	uint32_t nlink;		/* directories: 2 + subdirectories */
	uint64_t rdev;		/* major << 32 | minor */
	uint64_t size;		/* regular: bytes; symlink: length; directory: number of names */
	uint64_t data;		/* regular: bytes that are not in holes, for st_blocks */
	struct timestamp atime, mtime, ctime;
	struct ref ref;		/* regular: the content; directory: as of the last snapshot (may be none: hash 0) */
	uint64_t parent;	/* directory: its parent; else the directory of one of its names; 0: orphan */
	uint64_t cookie;	/* of that name in parent */
	uint64_t link_id;	/* random, once it has had two names; else 0 */
	uint64_t changed;	/* the tree's own: the checkpoint in which all its names were recorded */
	uint32_t flags;		/* INODE_* */
};

#define INODE_XATTRS	1u	/* has any xattr */
#define INODE_CAPS	2u	/* has security.capability */

/* What a new inode starts with.  Times are the caller's clock. */
struct new_inode {
	uint32_t mode, uid, gid;
	uint64_t rdev;
	const char *target;	/* symlinks */
	struct timestamp now;
};

/**
 * tree_open(dir, out, why, why_size): open or make the tree in the folder ${dir}; orphans of the last
 * run are deleted.  A new tree has a root of mode 0755 owned by the caller.  Errors as
 * dht_open(): ${why} is for a person.  -EPROTO: another format version.
 */
int tree_open(const char *dir, bool read_only, struct tree **out, char *why, size_t why_size);

/** tree_close(t): what was not committed is lost: tree_commit() first. */
void tree_close(struct tree *t);

int tree_get(struct tree *t, uint64_t ino, struct inode *out);	/* -ENOENT */
int tree_lookup(struct tree *t, uint64_t parent, const char *name, struct inode *out);

/** tree_create(t, parent, name, new, out): any type.  Sets the parent's mtime and ctime; a setgid
 * parent gives its group and, to directories, its bit; a default ACL of the parent is
 * inherited (acl.h says how; mode and umask then as POSIX.1e draft 17).  -EEXIST, -ENOENT
 * (the parent is gone), -ENOTDIR, -EMLINK, -ENAMETOOLONG, -EROFS, -ENOSPC. */
int tree_create(struct tree *t, uint64_t parent, const char *name, const struct new_inode *n,
    uint32_t umask, struct inode *out);

/** tree_link(t, ino, parent, name, now, out): -EEXIST, -EMLINK, -EPERM (a directory), -ENOENT (an orphan). */
int tree_link(struct tree *t, uint64_t ino, uint64_t parent, const char *name,
    struct timestamp now, struct inode *out);

/** tree_unlink(t, parent, name, now, gone): remove a name of anything but a directory.  *${gone} is the inode after
 * it: with nlink 0 it is an orphan until tree_forget().  -ENOENT, -EISDIR. */
int tree_unlink(struct tree *t, uint64_t parent, const char *name, struct timestamp now,
    struct inode *gone);
int tree_rmdir(struct tree *t, uint64_t parent, const char *name, struct timestamp now,
    struct inode *gone);	/* -ENOTEMPTY, -ENOTDIR, -ENOENT */

/** tree_rename(t, parent, name, new_parent, new_name, flags, now, moved, gone): flags: 0, RENAME_NOREPLACE,
 * RENAME_EXCHANGE; both together or others: -EINVAL.  *${gone}: what was replaced, ino 0 if nothing.
 * -EINVAL (a directory into itself), -ENOTEMPTY, -EISDIR, -ENOTDIR, -EEXIST, -EMLINK.
 * Two names of one inode: nothing happens (POSIX). */
int tree_rename(struct tree *t, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned int flags, struct timestamp now, struct inode *moved,
    struct inode *gone);

/** tree_rename_whiteout(t, parent, name, new_parent, new_name, flags, whiteout, moved, gone): the same, at
 * ${whiteout}->now, and that new inode has the old name then (renameat2's RENAME_WHITEOUT; it inherits no
 * ACL).  flags: 0 or RENAME_NOREPLACE. */
int tree_rename_whiteout(struct tree *t, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned int flags, const struct new_inode *whiteout,
    struct inode *moved, struct inode *gone);

/** tree_forget(t, ino): delete an orphan's row and xattrs.  No orphan: nothing happens. */
void tree_forget(struct tree *t, uint64_t ino);

/** tree_is_orphan(t, ino): cheap where there are few orphans. */
bool tree_is_orphan(struct tree *t, uint64_t ino);

int tree_readlink(struct tree *t, uint64_t ino, char target[SYMLINK_LEN_MAX + 1]);

/* Which fields tree_set_attr() takes from its inode. */
#define SET_MODE	1u
#define SET_UID		2u
#define SET_GID		4u
#define SET_ATIME	8u
#define SET_MTIME	16u
#define SET_CTIME	32u
#define SET_KILL_PRIV	64u	/* drop set-id bits as chown(2) and write(2) do, and security.capability */

/** tree_set_attr(t, ino, in, which, out): SET_MODE keeps the type, and the ACL's mask entry follows the
 * group bits.  *${out} is the inode after it. */
int tree_set_attr(struct tree *t, uint64_t ino, const struct inode *in, unsigned int which,
    struct inode *out);

struct tree_name {
	uint64_t ino, cookie;
	uint8_t type;		/* mode >> 12 */
	uint8_t name_len;
	char name[NAME_LEN_MAX + 1];
};

/** tree_readdir(t, dir, after, n, out, inodes): up to ${n} names with cookies > ${after}, in their order.
 * Cookies are never reused within a directory, and start at 3 ("." is 1 and ".." 2, the
 * caller's).  ${inodes} (NULL: not wanted) gets their inodes.  Returns how many, or -errno. */
int tree_readdir(struct tree *t, uint64_t dir, uint64_t after, unsigned int n,
    struct tree_name *out, struct inode *inodes);

/** Extended attributes; access and default ACLs are two of them, and are checked and applied to the mode
 * (setting an access ACL sets mode bits; sgid is the caller's to drop).  flags: XATTR_CREATE,
 * XATTR_REPLACE.  -ENODATA, -EEXIST, -ERANGE, -E2BIG, -ENOSPC (over TREE_XATTRS_MAX), -EINVAL.
 * get and list with size 0 return the length. */
int tree_set_xattr(struct tree *t, uint64_t ino, const char *name, const void *value, size_t len,
    int flags, struct timestamp now);
ssize_t tree_get_xattr(struct tree *t, uint64_t ino, const char *name, void *value, size_t size);
ssize_t tree_list_xattr(struct tree *t, uint64_t ino, char *names, size_t size);
int tree_remove_xattr(struct tree *t, uint64_t ino, const char *name, struct timestamp now);

/** Pins: addresses kept by dhtctl put until unpinned. */
int tree_pin(struct tree *t, const struct ref *ref, struct timestamp now);
int tree_unpin(struct tree *t, const struct address *a);	/* -ENOENT */
/** tree_pins(t, after, n, out): up to ${n} behind ${after} (NULL: from the first), by address. */
size_t tree_pins(struct tree *t, const struct address *after, unsigned int n, struct ref *out);

/*
 * The checkpoint.  One thread makes all checkpoints (LMDB wants one to begin and commit).
 */
struct publication {		/* a file's content, of one moment */
	uint64_t ino;
	struct ref ref;		/* its size is the file's */
	uint64_t data;		/* bytes of it that are not in holes */
	struct timestamp mtime, ctime;
	bool times;		/* else only the ref changes */
};

struct publications {
	struct publication *v;
	size_t n;
};

/** tree_begin(t): begin the write transaction; called once by the checkpoint thread, before any change. */
int tree_begin(struct tree *t);

/** tree_end(t): by the checkpoint thread, before it ends or the tree is closed: drop what was not
 * committed.  From then on changes fail with -EROFS and reads see the last checkpoint.
 * tree_close() does it too, but by then that thread must have called this, have ended, or be
 * the one that closes (LMDB's lock belongs to a thread). */
void tree_end(struct tree *t);

/**
 * tree_commit(t, publish, ready, arg): with the tree locked: ask ready(arg) (NULL: yes) whether the
 * changes may be committed as they are (false: nothing happens, -EAGAIN); write the
 * publications (as they are after ready(), which may have changed ${publish}; those of
 * inodes that are gone are skipped; NULL: none); commit; begin the next transaction.
 * -ENOSPC, -EIO: it could not be written: nothing is lost, try again.  -EROFS: the tree has
 * failed.
 */
int tree_commit(struct tree *t, const struct publications *publish, bool (*ready)(void *arg),
    void *arg);

/** tree_dirty(t): are there changes that are not committed?  About how many pages have changed
 * (at TREE_PAGES_MAX a commit is due at once; so many too after a change was refused with
 * -ENOSPC: a commit may make room). */
#define TREE_PAGES_MAX 7168u
#define TREE_PAGES_HOLD (4 * TREE_PAGES_MAX)	/* so many should not be had before one is made */
bool tree_dirty(struct tree *t, unsigned int *pages);	/* ${pages} may be NULL */

/** tree_failed(t): is it read-only for good, since its changes could not be kept?  Takes no lock. */
bool tree_failed(struct tree *t);

/**
 * A change that fails half-way (no memory) is undone by the committer: f(arg) is called, with the tree locked, when it
 * has to call tree_mend(); until then everybody waits.  NULL: no longer.
 */
void tree_on_spoiled(struct tree *t, void (*f)(void *arg), void *arg);
void tree_mend(struct tree *t);

/** tree_count(t, inodes): how many there are. */
void tree_count(struct tree *t, uint64_t *inodes);

/*
 * A reader sees the tree of the last checkpoint, unmoved by what happens since, and without
 * the mutex.  For snapshots, collection and listings.
 */
struct tree_reader;
int tree_reader_open(struct tree *t, struct tree_reader **out);
void tree_reader_close(struct tree_reader *r);
uint64_t tree_reader_epoch(const struct tree_reader *r);	/* the checkpoint's number */
int tree_reader_get(struct tree_reader *r, uint64_t ino, struct inode *out);
/** The name with that cookie in dir; -ENOENT. */
int tree_reader_name(struct tree_reader *r, uint64_t dir, uint64_t cookie, struct tree_name *out);
int tree_reader_lookup(struct tree_reader *r, uint64_t dir, const char *name, size_t name_len,
    struct inode *out);
int tree_reader_readlink(struct tree_reader *r, uint64_t ino, char target[SYMLINK_LEN_MAX + 1]);
/** All xattrs, encoded as chunker/xattrs.h says, in memory of the caller's to free(); *${len} 0: none. */
int tree_reader_xattrs(struct tree_reader *r, uint64_t ino, uint8_t **out, size_t *len);

/**
 * Names that changed since the directory's ref was made: in the order of (directory, name as
 * memcmp, shorter first).  tree_reader_changed(r, dir, name, name_len, out): the first behind
 * (dir, name), ${out}->ino is then the directory's number.  0, or -ENOENT at the end.
 * A change of an inode's attributes or content changes all its names; a change of a
 * directory does not change its name in its parent: the snapshot does that.
 */
int tree_reader_changed(struct tree_reader *r, uint64_t dir, const char *name, size_t name_len,
    struct tree_name *out);

/** tree_reader_next(r, dir, name, name_len, out): the same for all names that there are. */
int tree_reader_next(struct tree_reader *r, uint64_t dir, const char *name, size_t name_len,
    struct tree_name *out);

/** tree_reader_inode(r, after, out): the first inode behind ${after} (0: of all), orphans too.
 * tree_reader_head(r, snapshot, kept): as tree_get_head().  tree_reader_pin(r, after, out): the first pin behind
 * ${after} (NULL: of all).  0, -EIO, or at the end -ENOENT. */
int tree_reader_inode(struct tree_reader *r, uint64_t after, struct inode *out);
int tree_reader_head(struct tree_reader *r, struct ref *snapshot, struct ref *kept);
int tree_reader_pin(struct tree_reader *r, const struct address *after, struct ref *out);

/** tree_snapshot_done(t, epoch, dirs, refs, n): these directories have these refs as of checkpoint
 * ${epoch}; their change records up to it are deleted.  The chunks are on stable storage already. */
int tree_snapshot_done(struct tree *t, uint64_t epoch, const uint64_t *dirs,
    const struct ref *refs, size_t n);

/** The newest snapshot and the list of the kept ones (refs; hash 0: none yet). */
int tree_get_head(struct tree *t, struct ref *snapshot, uint64_t *epoch, struct ref *kept);
int tree_set_head(struct tree *t, const struct ref *snapshot, uint64_t epoch,
    const struct ref *kept);

#endif
