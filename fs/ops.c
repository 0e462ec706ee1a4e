#include "fs/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "dht/program/log.h"

void ops_err(fuse_req_t req, int r)
{
	/* A chunk that nobody has, or whose copies are all bad, is trouble with the
	 * content of a file that exists. */
	if (r == -EBADMSG)
		r = -EIO;
	fuse_reply_err(req, -r);
}

void ops_changed(struct fs *fs)
{
	unsigned int pages;

	checkpoint_due(fs->checkpoint);
	if (!tree_dirty(fs->tree, &pages) || pages < TREE_PAGES_MAX)
		return;
	if (pages < TREE_PAGES_HOLD)
		checkpoint_hurry(fs->checkpoint);
	else
		checkpoint_hold(fs->checkpoint);
}

void ops_names_changed(struct fs *fs, fuse_ino_t dir)
{
	ops_changed(fs);
	told_changed(fs->told, fs->session, dir);
}

static struct timespec to_timespec(struct timestamp t)
{
	return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

/*
 * The row, with what the file in memory knows better.  The file is asked first and the row
 * read then: what was read before may be from before a checkpoint, and the file may have
 * left memory with that.  True: it is being written.
 */
static bool current(struct fs *fs, struct inode *inode)
{
	struct file *f = file_find(fs->files, inode->ino);
	struct file_attr attr = { .dirty = false };
	struct inode row;
	bool written = false;

	if (f) {
		file_attr(f, &attr);
		written = attr.dirty || file_writers(f) > 0;
		file_put(f);
	}
	if (tree_get(fs->tree, inode->ino, &row) == 0)
		*inode = row;
	if (attr.dirty) {
		inode->size = attr.size;
		inode->data = attr.data;
	}
	if (attr.dirty && attr.times) {
		inode->mtime = attr.mtime;
		inode->ctime = timestamp_later(inode->ctime, attr.ctime);
	}
	return written;
}

double ops_stat(struct fs *fs, const struct inode *row, struct stat *out)
{
	double timeout_s = TIMEOUT_S;
	struct inode inode = *row;
	uint64_t data;

	/* What was read before that would not be taken back; one that is removed is as it was. */
	told_soon(fs->told, row->ino);
	if (S_ISREG(row->mode)) {
		if (current(fs, &inode))
			timeout_s = WRITTEN_TIMEOUT_S;
		data = inode.data;
	} else {
		if (tree_get(fs->tree, row->ino, &inode) < 0)
			inode = *row;
		data = inode.size;
	}
	if (inode.link_id && told_subtracts(fs->told, inode.ino))
		timeout_s = 0;
	*out = (struct stat){
		.st_ino = inode.ino,
		.st_mode = inode.mode,
		.st_nlink = inode.nlink,
		.st_uid = inode.uid,
		.st_gid = inode.gid,
		.st_rdev = makedev((unsigned int)(inode.rdev >> 32),
		    (unsigned int)inode.rdev),
		.st_size = (off_t)inode.size,
		.st_blksize = 128 * 1024,
		.st_blocks = (blkcnt_t)((data + 511) / 512),
		.st_atim = to_timespec(inode.atime),
		.st_mtim = to_timespec(inode.mtime),
		.st_ctim = to_timespec(inode.ctime),
	};
	return timeout_s;
}

int ops_entry(struct fs *fs, const struct inode *inode, struct fuse_entry_param *out)
{
	if (known_add(fs->known, inode->ino) < 0)
		return -ENOMEM;
	*out = (struct fuse_entry_param){
		.ino = inode->ino,
		.generation = 1,
		.entry_timeout = TIMEOUT_S,
	};
	out->attr_timeout = ops_stat(fs, inode, &out->attr);
	/* Who comes by this name again, perhaps to link it, then has the attributes asked for anew. */
	if (out->attr_timeout == 0)
		out->entry_timeout = 0;
	return 0;
}

bool ops_writable(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = ops_fs(req);

	if (!byhash_has(ino) && !fs->options->read_only && !tree_failed(fs->tree))
		return true;
	fuse_reply_err(req, EROFS);
	return false;
}

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
	/* Not FUSE_CAP_ASYNC_DIO: with it nobody who reads or writes with O_DIRECT can be killed. */
	static const unsigned int wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC |
	    FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS |
	    FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE |
	    FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS;

	(void)userdata;
	conn->want = conn->capable & wanted;
	conn->max_write = 1024 * 1024;
	conn->max_readahead = 1024 * 1024;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = ops_init,
	.lookup = ops_lookup,
	.forget = ops_forget,
	.forget_multi = ops_forget_multi,
	.getattr = ops_getattr,
	.setattr = ops_setattr,
	.readlink = ops_readlink,
	.mknod = ops_mknod,
	.mkdir = ops_mkdir,
	.unlink = ops_unlink,
	.rmdir = ops_rmdir,
	.symlink = ops_symlink,
	.rename = ops_rename,
	.link = ops_link,
	.open = ops_open,
	.create = ops_create,
	.read = ops_read,
	.write = ops_write,
	.flush = ops_flush,
	.release = ops_release,
	.fsync = ops_fsync,
	.opendir = ops_opendir,
	.releasedir = ops_releasedir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.fsyncdir = ops_fsyncdir,
	.statfs = ops_statfs,
	.setxattr = ops_setxattr,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.removexattr = ops_removexattr,
	.fallocate = ops_fallocate,
	.copy_file_range = ops_copy_file_range,
	.lseek = ops_lseek,
};
