/* directory: names and what they stand for, as a tree of chunks.  Pure. */
#ifndef CHUNKER_DIRECTORY_H
#define CHUNKER_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

#define NAME_LEN_MAX	255	/* bytes */
#define SYMLINK_LEN_MAX	4095	/* bytes */
#define XATTRS_INLINE_MAX 1024	/* bytes of encoded xattrs; more go into a file of their own */

struct timestamp {
	int64_t sec;
	uint32_t nsec;		/* < 1,000,000,000 */
};

static inline struct timestamp timestamp_later(struct timestamp a, struct timestamp b)
{
	return a.sec > b.sec || (a.sec == b.sec && a.nsec > b.nsec) ? a : b;
}

/*
 * One name.  Pointers point into memory of whoever filled the entry in: a decoded
 * entry's into the chunk it came from.
 */
struct entry {
	const char *name;	/* not NUL-terminated */
	uint16_t name_len;	/* 1..255; no '/', no NUL, not "." or ".." */
	uint32_t mode;		/* type and 07777, as st_mode */
	uint32_t uid, gid;
	struct timestamp mtime, ctime;
	uint64_t link_id;	/* 0: this is its only name; else the same in all its names */
	uint64_t size;		/* regular: bytes; directory: number of names; symlink: its length */
	uint64_t rdev;		/* devices only: major << 32 | minor */
	struct ref ref;		/* regular files and directories only */
	const char *target;	/* symlinks only: size bytes, at least 1 */
	const uint8_t *xattrs;	/* encoded (xattrs.h), xattrs_len <= XATTRS_INLINE_MAX, or none */
	uint32_t xattrs_len;
	bool xattrs_apart;	/* xattrs_ref, instead, is a file that holds them */
	struct ref xattrs_ref;
};

/*
 * An entry's bytes, little-endian.  Each entry has exactly one form.
 *    0  2  length of the whole entry
 *    2  1  flags: 1 link id, 2 xattrs, 4 xattrs apart (not both of these); others are refused
 *    3  1  name length
 *    4  4  mode
 *    8  8  uid, gid
 *   16 16  seconds of mtime, of ctime, signed
 *   32  8  nanoseconds of mtime, of ctime
 *   40     name
 * then, by type: regular (KIND_DATA or KIND_INDEX) or directory (KIND_DIRECTORY): ref, whose size
 * is the entry's; symlink: le16 length, target without a NUL; device: le64 rdev; others: nothing;
 * then, by flags: le64 link id (not 0, not of a directory); le16 length, xattrs (not none);
 * ref of a file of more than XATTRS_INLINE_MAX bytes with the xattrs.
 * size and rdev are 0 in types that have none.
 */

/** entry_name_valid(name, len): can this be the name of an entry? */
bool entry_name_valid(const char *name, size_t len);

/** entry_encode(e, out, cap): -EINVAL where it breaks a rule above, -ENOSPC where ${cap} is too
 * small (ENTRY_LEN_MAX never is), else the length. */
#define ENTRY_LEN_MAX	6144
#define ENTRY_NAME_AT	40	/* length and name can be read without the rest */
int entry_encode(const struct entry *e, uint8_t *out, size_t cap);

/** entry_decode(in, len, out): one entry that takes all of ${len} bytes.  0 or -EBADMSG. */
int entry_decode(const uint8_t *in, size_t len, struct entry *out);

/** directory_size(root, names): how many names a directory with this root says that it has.  0 or -EBADMSG. */
int directory_size(const struct chunk *root, uint64_t *names);

/** directory_lookup(source, ref, name, name_len, out, holder): the entry of that name; *${holder} is
 * the chunk it points into, to be dropped.  -ENOENT, -EBADMSG, or what the source said. */
int directory_lookup(struct source *source, const struct ref *ref, const char *name,
    size_t name_len, struct entry *out, struct chunk **holder);

/*
 * A cursor walks the names in order (memcmp, shorter first).
 */
struct directory_cursor;
struct directory_cursor *directory_cursor_new(struct source *source, const struct ref *ref);
void directory_cursor_free(struct directory_cursor *c);

/** directory_cursor_seek(c, n): the next is the ${n}th name, from 0; at or past the end: the end.
 *  directory_cursor_next(c, out): 1 with an entry (valid until the next call), 0 at the end,
 *  or -errno; after -EAGAIN the call may be made again. */
int directory_cursor_seek(struct directory_cursor *c, uint64_t n);
int directory_cursor_next(struct directory_cursor *c, struct entry *out);

/*
 * What has changed since ${old}, in the order of names, each at most once.
 * next(): 1 with a change, 0 at the end, or -errno.  The entry must stay valid until
 * the next call; only its name is looked at where it is removed.
 */
struct change {
	bool removed;		/* else: this is the entry now, whether or not it was there */
	struct entry entry;
};

struct changes {
	int (*next)(struct changes *c, struct change *out);
};

/** directory_update(source, sink, old, changes, out): the directory ${old} (NULL: the empty one) with
 * ${changes} made.  Loads and writes only the paths to what changed; the result is the one that
 * writing all names anew would give.  Removing a name that is not there is no error.
 * 0, -EINVAL (changes out of order, a bad entry), -EBADMSG, or what source or sink said. */
int directory_update(struct source *source, struct sink *sink, const struct ref *old,
    struct changes *changes, struct ref *out);

#endif
