/* ops: the FUSE operations on the mounted tree.  One file for each family. */
#ifndef FS_OPS_H
#define FS_OPS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#include "fs/byhash.h"
#include "fs/fs.h"

/* This mount is the only writer of its tree: the kernel may remember for ever. */
#define TIMEOUT_S 1e6

extern const struct fuse_lowlevel_ops fs_ops;

static inline struct fs *ops_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/** ops_viewed(fs, ino): it is no inode of the tree, but of the view: of by-hash, or of the volume that is followed. */
static inline bool ops_viewed(const struct fs *fs, fuse_ino_t ino)
{
	return fs->follow || byhash_has(ino);
}

/** ops_err(req, r): answer with 0 or -errno; what means trouble only inside is EIO outside. */
void ops_err(fuse_req_t req, int r);

/** ops_changed(fs): the tree was changed: a checkpoint is due.  ops_names_changed(fs, dir): ... names in ${dir}; before the answer. */
void ops_changed(struct fs *fs);
void ops_names_changed(struct fs *fs, fuse_ino_t dir);

/* Of a file that is being written the kernel keeps size and times itself, but not the blocks. */
#define WRITTEN_TIMEOUT_S 1.0

/** ops_stat(fs, row, out): what the kernel is told for stat(2): the row, which may be old by now, and over it what the file in
 * memory knows.  Returns for how many seconds the kernel may remember it; 0: it should not. */
double ops_stat(struct fs *fs, const struct inode *row, struct stat *out);

/** ops_entry(fs, inode, out): the answer to a lookup, which is counted: 0 or -ENOMEM.  ops_forgotten(fs, ino, n):
 * the kernel forgets so many, or was never told. */
int ops_entry(struct fs *fs, const struct inode *inode, struct fuse_entry_param *out);
void ops_forgotten(struct fs *fs, fuse_ino_t ino, uint64_t n);

/** ops_untold(fs, listing, len): a plus listing did not reach the kernel. */
void ops_untold(struct fs *fs, const char *listing, size_t len);

/** ops_writable(req, ino): false, and answered with EROFS, where ino is in by-hash, or nothing can be written any
 * more. */
bool ops_writable(fuse_req_t req, fuse_ino_t ino);

/* ops_name.c */
void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned int flags);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
    struct fuse_file_info *fi);

/* ops_attr.c */
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
    struct fuse_file_info *fi);
void ops_readlink(fuse_req_t req, fuse_ino_t ino);
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
    size_t size, int flags);
void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_dir.c */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops_file.c */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
    struct fuse_file_info *fi);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
    struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
    struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
    struct fuse_file_info *fi_out, size_t len, int flags);

/* ops_io.c */
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
    struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/** ops_opened(fi, f): ${f} is what ${fi} opens from now on, which takes over the hold on it. */
void ops_opened(struct fuse_file_info *fi, struct file *f);
/** ops_closed(fi): the end of that; flags are those of the open, as the kernel repeats them. */
void ops_closed(const struct fuse_file_info *fi);

/** ops_kill_priv(fs, ino): set-id bits and capabilities go with a change of the content. */
int ops_kill_priv(struct fs *fs, fuse_ino_t ino);

/** ops_kill_priv_of(req, ino): the same after what the kernel sends without a word of set-id bits. */
int ops_kill_priv_of(fuse_req_t req, fuse_ino_t ino);

static inline struct file *ops_file(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

#endif
