#include "fs/ops.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/loop.h"
#include "fs/parked.h"

static bool writes(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

void ops_opened(struct fuse_file_info *fi, struct file *f)
{
	fi->fh = (uintptr_t)f;
	fi->keep_cache = 1;
	if (writes(fi))
		file_opened(f);
}

void ops_closed(const struct fuse_file_info *fi)
{
	struct file *f = ops_file(fi);

	if (writes(fi))
		file_closed(f);
	file_put(f);
}

int ops_kill_priv(struct fs *fs, fuse_ino_t ino)
{
	struct inode in = { .ctime = fs_now() }, out;
	int r = tree_set_attr(fs->tree, ino, &in, SET_KILL_PRIV | SET_CTIME, &out);

	if (r == 0)
		ops_changed(fs);
	return r;
}

int ops_kill_priv_of(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = ops_fs(req);
	struct inode inode;

	/* Root keeps them, as with write(2), where the kernel asks for CAP_FSETID. */
	if (fuse_req_ctx(req)->uid == 0)
		return 0;
	if (tree_get(fs->tree, ino, &inode) == 0 &&
	    (inode.mode & (S_ISUID | S_ISGID) || inode.flags & INODE_CAPS))
		return ops_kill_priv(fs, ino);
	return 0;
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct timestamp now;
	struct file *f;
	int r;

	if ((writes(fi) || fi->flags & O_TRUNC) && !ops_writable(req, ino))
		return;
	if (ops_viewed(fs, ino))
		r = byhash_file(fs->byhash, ino, &f);
	else
		r = file_get(fs->files, ino, &f);
	if (r < 0) {
		ops_err(req, r);
		return;
	}
	ops_opened(fi, f);
	if (fi->flags & O_TRUNC) {
		now = fs_now();
		r = file_truncate(f, 0, &now);
		if (r == 0 && loop_kill_priv())
			r = ops_kill_priv(fs, ino);
		if (r < 0) {
			ops_closed(fi);
			ops_err(req, r);
			return;
		}
	}
	/* The open was interrupted: no release will come. */
	if (fuse_reply_open(req, fi) < 0)
		ops_closed(fi);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	ops_closed(fi);
	fuse_reply_err(req, 0);
}

/* close(2): the last chance to say that the content can't be kept. */
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	ops_err(req, file_error(ops_file(fi)));
}

static int allocate(struct fs *fs, struct file *f, int mode, uint64_t off, uint64_t len)
{
	const struct timestamp now = fs_now();
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int r;

	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		break;
	case FALLOC_FL_PUNCH_HOLE:
		return keep ? file_zero(f, off, len, true, &now) : -EOPNOTSUPP;
	case FALLOC_FL_ZERO_RANGE:
		return file_zero(f, off, len, keep, &now);
	default:
		return -EOPNOTSUPP;
	}
	/* Chunks can't be allocated before there are bytes: only see that there would be room. */
	r = dht_reserve(fs->dht, len);
	if (r < 0)
		return r;
	dht_release(fs->dht, len);
	/* Grown in one step: what the kernel writes back meanwhile may be beyond that already. */
	return keep ? 0 : file_zero(f, off + len, 0, false, &now);
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
    struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	int r;

	if (!ops_writable(req, ino))
		return;
	if (off < 0 || len <= 0)
		r = -EINVAL;
	else if ((uint64_t)off + (uint64_t)len > FILE_SIZE_MAX)
		r = -EFBIG;
	else
		r = allocate(fs, ops_file(fi), mode, (uint64_t)off, (uint64_t)len);
	if (r == 0)
		r = ops_kill_priv_of(req, ino);
	if (r == 0)
		ops_changed(fs);
	ops_err(req, r);
}

void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
    struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
    struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct fs *fs = ops_fs(req);
	const struct timestamp now = fs_now();
	uint64_t done = 0;
	int r;

	(void)ino_in;
	if (!ops_writable(req, ino_out))
		return;
	/* The answer has 32 bits. */
	if (len > UINT32_MAX)
		len = UINT32_MAX & ~(size_t)4095;
	if (flags != 0 || off_in < 0 || off_out < 0)
		r = -EINVAL;
	else
		r = file_clone(ops_file(fi_in), (uint64_t)off_in, ops_file(fi_out),
		    (uint64_t)off_out, len, &now, &done);
	if (r == 0)
		r = ops_kill_priv_of(req, ino_out);
	if (r < 0) {
		ops_err(req, r);
		return;
	}
	ops_changed(fs);
	fuse_reply_write(req, done);
}

/*
 * SEEK_DATA and SEEK_HOLE.  The kernel asks us without first writing its dirty pages back,
 * which would then seem to be a hole: so they are called in before the search.  Before Linux 6.16 what is on its way to us already
 * is not waited for by that, and would: such a kernel is told, once a file is searched that is open for writing, that
 * there is no search, and from then on takes each file of the mount for data up to its end.
 */
struct seek {
	struct parked parked;
	struct file_seek seek;
	struct job write_back;
	struct fs *fs;
	fuse_ino_t ino;
	/* An interrupt may come while the kernel writes back, which may take as long as the disk likes. */
	enum seek_state { SEEK_WAITS, SEEK_BEGINS, SEEK_RUNS, SEEK_CANCELLED } state;
	bool cancelled;
	pthread_mutex_t lock;	/* protects these two */
};

static void seek_free(struct parked *p)
{
	struct seek *s = (struct seek *)p;

	file_put(s->seek.file);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Returns the state before. */
static enum seek_state seek_set(struct seek *s, enum seek_state from, enum seek_state to)
{
	enum seek_state was;

	pthread_mutex_lock(&s->lock);
	was = s->state;
	if (was == from)
		s->state = to;
	s->cancelled |= to == SEEK_CANCELLED;
	pthread_mutex_unlock(&s->lock);
	return was;
}

static void seek_cancel(struct parked *p)
{
	struct seek *s = (struct seek *)p;
	enum seek_state was = seek_set(s, SEEK_WAITS, SEEK_CANCELLED);

	if (was == SEEK_WAITS) {
		ops_err(parked_finish(p), -EINTR);
		parked_drop(p);
	} else if (was == SEEK_RUNS) {
		fetch_cancel(&s->seek.fetch);
	}
}

static void seek_done(struct file_seek *fs, int result)
{
	struct seek *s = fs->user;
	fuse_req_t req = parked_finish(&s->parked);

	if (result < 0)
		ops_err(req, result == -ENOENT ? -EIO : result);
	else
		fuse_reply_lseek(req, (off_t)fs->off);
	parked_drop(&s->parked);
}

/* By who holds ${s}: an interrupt that came before there was a fetch to be cancelled is not lost. */
static void seek_begin(struct seek *s)
{
	bool cancelled;

	if (seek_set(s, SEEK_WAITS, SEEK_BEGINS) != SEEK_WAITS)
		return;
	file_seek(&s->seek);
	seek_set(s, SEEK_BEGINS, SEEK_RUNS);
	pthread_mutex_lock(&s->lock);
	cancelled = s->cancelled;
	pthread_mutex_unlock(&s->lock);
	if (cancelled)
		fetch_cancel(&s->seek.fetch);
}

static void seek_after_write_back(struct job *j)
{
	struct seek *s = (struct seek *)((char *)j - offsetof(struct seek, write_back));

	fuse_lowlevel_notify_inval_inode(s->fs->session, s->ino, 0, 0);
	seek_begin(s);
	parked_drop(&s->parked);
}

void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct seek *s;

	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		ops_err(req, -EINVAL);
		return;
	}
	if (off < 0) {
		ops_err(req, -ENXIO);
		return;
	}
	if (!fs->calls_in && file_writers(ops_file(fi)) > 0) {
		ops_err(req, -ENOSYS);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		ops_err(req, -ENOMEM);
		return;
	}
	parked_init(&s->parked, req, fs->parking, seek_cancel, seek_free);
	s->fs = fs;
	s->ino = ino;
	pthread_mutex_init(&s->lock, NULL);
	s->write_back.run = seek_after_write_back;
	s->seek = (struct file_seek){
		.file = file_hold(ops_file(fi)),
		.off = (uint64_t)off,
		.hole = whence == SEEK_HOLE,
		.done = seek_done,
		.user = s,
	};
	if (file_writers(s->seek.file) > 0) {
		parked_hold(&s->parked);
		jobs_post(fs->jobs, &s->write_back);
	} else {
		seek_begin(s);
	}
	parked_started(&s->parked);
}
