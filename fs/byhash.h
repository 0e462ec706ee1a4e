/*
 * byhash: the read-only tree at by-hash/: anything in the set, by its address.
 *
 * Its inodes are made as they are looked up, one for each (parent, entry), and die when
 * the kernel forgets them.  Their numbers have the top bit set, which no inode of the
 * tree has.  Requests are answered here; none waits in the caller's thread.
 *
 * The mount of a follower is the same, but for its root, which has the tree's number and is replaced from time to time.
 */
#ifndef FS_BYHASH_H
#define FS_BYHASH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct byhash;
struct entry;
struct fs;
struct fuse_req;
struct fuse_file_info;
struct stat;

#define BYHASH_BIT	(UINT64_C(1) << 63)
#define BYHASH_ROOT	(BYHASH_BIT | 1)	/* by-hash itself */
#define BYHASH_NAME	"by-hash"		/* in the root of the mount; no other name may be this */

static inline bool byhash_has(uint64_t ino)
{
	return ino & BYHASH_BIT;
}

/** byhash_new(fs, out): 0 or -errno.  byhash_free(NULL) does nothing. */
int byhash_new(struct fs *fs, struct byhash **out);
void byhash_free(struct byhash *b);

/** byhash_show(b, root): with --follow: the root of the mount is this directory from now on.  What was opened in an earlier one stays as it was;
 * names lead to what they stand for now within BYHASH_FRESH_S.  0 or -ENOMEM. */
#define BYHASH_FRESH_S 1.0
int byhash_show(struct byhash *b, const struct entry *root);

/** byhash_root_stat(b, st): attributes of by-hash itself. */
void byhash_root_stat(struct byhash *b, struct stat *st);

/* Each answers ${req}, now or later, as the fuse_lowlevel_ops member of the same name. */
void byhash_lookup(struct byhash *b, struct fuse_req *req, uint64_t parent, const char *name);
void byhash_getattr(struct byhash *b, struct fuse_req *req, uint64_t ino);
void byhash_readlink(struct byhash *b, struct fuse_req *req, uint64_t ino);
void byhash_opendir(struct byhash *b, struct fuse_req *req, uint64_t ino, struct fuse_file_info *fi);
void byhash_releasedir(struct byhash *b, struct fuse_req *req, struct fuse_file_info *fi);
void byhash_readdir(struct byhash *b, struct fuse_req *req, struct fuse_file_info *fi, size_t size, off_t off,
    bool plus);
void byhash_getxattr(struct byhash *b, struct fuse_req *req, uint64_t ino, const char *name,
    size_t size);
void byhash_listxattr(struct byhash *b, struct fuse_req *req, uint64_t ino, size_t size);

/** byhash_file(b, ino, out): the content of a regular file, to be read as any other's.  -EINVAL: it is no
 * file; -ESTALE. */
struct file;
int byhash_file(struct byhash *b, uint64_t ino, struct file **out);

/** byhash_reading(b, ino): a file's beginning is read: what follows it in its directory may be next. */
void byhash_reading(struct byhash *b, uint64_t ino);

/** byhash_forget(b, ino, lookups): the kernel drops so many references. */
void byhash_forget(struct byhash *b, uint64_t ino, uint64_t lookups);

#endif
