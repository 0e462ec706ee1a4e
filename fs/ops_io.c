#include "fs/ops.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/loop.h"
#include "fs/parked.h"

/*
 * read: answered at once from the cache, else when the chunks have come.
 */
struct reading {
	struct parked parked;
	struct file_read read;
};

static void reading_free(struct parked *p)
{
	struct reading *r = (struct reading *)p;

	file_read_clear(&r->read);
	file_put(r->read.file);
	free(r);
}

static void reading_cancel(struct parked *p)
{
	fetch_cancel(&((struct reading *)p)->read.fetch);
}

static void reading_done(struct file_read *fr, int result)
{
	struct reading *r = fr->user;
	fuse_req_t req = parked_finish(&r->parked);

	/* A chunk that is nowhere: the file is there all the same, its content is not. */
	if (result < 0)
		ops_err(req, result == -ENOENT ? -EIO : result);
	else
		fuse_reply_iov(req, fr->iov, fr->count);
	parked_drop(&r->parked);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct reading *r;

	r = calloc(1, sizeof(*r));
	if (!r) {
		ops_err(req, -ENOMEM);
		return;
	}
	parked_init(&r->parked, req, fs->parking, reading_cancel, reading_free);
	r->read.file = file_hold(ops_file(fi));
	r->read.off = (uint64_t)off;
	r->read.len = (uint32_t)size;
	r->read.done = reading_done;
	r->read.user = r;
	file_read(&r->read);
	parked_started(&r->parked);
	if (off == 0 && ops_viewed(fs, ino))
		byhash_reading(fs->byhash, ino);
}

/*
 * write: into memory, or, at the bound or in a full store, when there is room.
 */
struct writing {
	struct parked parked;
	struct room_waiter room;
	struct space_waiter space;
	struct fs *fs;
	struct file *file;
	struct chunk *data;
	uint64_t off;
	struct timestamp now;
	bool times;
	atomic_bool cancelled;	/* perhaps just between two waits */
};

static void writing_free(struct parked *p)
{
	struct writing *w = (struct writing *)p;

	chunk_drop(w->data);
	file_put(w->file);
	free(w);
}

static void writing_reply(struct writing *w, int r)
{
	fuse_req_t req = parked_finish(&w->parked);

	if (r < 0)
		ops_err(req, r);
	else
		fuse_reply_write(req, w->data->len);
	parked_drop(&w->parked);
}

static void writing_cancel(struct parked *p)
{
	struct writing *w = (struct writing *)p;

	atomic_store(&w->cancelled, true);
	if (files_leave_room(w->fs->files, &w->room) ||
	    collector_leave(w->fs->collector, &w->space))
		writing_reply(w, -EINTR);
}

static int try_write(struct writing *w)
{
	return file_write(w->file, w->off, w->data, w->times ? &w->now : NULL);
}

/* Wait for what it lacked, room in memory or in the set; where that is of no use, or it is done, reply. */
static void writing_go_on(struct writing *w, int r)
{
	parked_hold(&w->parked);
	if (r == -ENOSPC)
		r = collector_wait(w->fs->collector, &w->space) < 0 ? -ENOSPC : -EAGAIN;
	else if (r == -EAGAIN)
		files_wait_room(w->fs->files, &w->room);
	if (r != -EAGAIN)
		writing_reply(w, r);
	else if (atomic_load(&w->cancelled))
		writing_cancel(&w->parked);
	parked_drop(&w->parked);
}

static void room_ready(struct room_waiter *rw)
{
	struct writing *w = (struct writing *)((char *)rw - offsetof(struct writing, room));

	writing_go_on(w, try_write(w));
}

static void space_ready(struct space_waiter *sw, int result)
{
	struct writing *w = (struct writing *)((char *)sw - offsetof(struct writing, space));

	if (result < 0)
		writing_reply(w, result);
	else
		writing_go_on(w, try_write(w));
}

static void park_write(fuse_req_t req, const struct writing *from, int r)
{
	struct writing *w = malloc(sizeof(*w));

	if (!w) {
		ops_err(req, -ENOMEM);
		return;
	}
	*w = *from;
	file_hold(w->file);
	chunk_hold(w->data);
	w->room = (struct room_waiter){ .ready = room_ready };
	w->space = (struct space_waiter){ .ready = space_ready };
	atomic_init(&w->cancelled, false);
	parked_init(&w->parked, req, w->fs->parking, writing_cancel, writing_free);
	writing_go_on(w, r);
	parked_started(&w->parked);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct writing w = {
		.fs = ops_fs(req),
		.off = (uint64_t)off,
		.now = fs_now(),
		.times = !fi->writepage,	/* else the kernel keeps them */
	};
	int r;

	if (!ops_writable(req, ino))
		return;
	w.file = ops_file(fi);
	w.data = loop_write_data(buf, size);
	r = w.data ? 0 : -ENOMEM;
	if (r == 0 && loop_kill_priv())
		r = ops_kill_priv(w.fs, ino);
	if (r == 0)
		r = try_write(&w);
	if (r == -EAGAIN || r == -ENOSPC)
		park_write(req, &w, r);
	else if (r < 0)
		ops_err(req, r);
	else
		fuse_reply_write(req, size);
	chunk_drop(w.data);
}

/*
 * fsync: flush the file, then a checkpoint, then, with a ring, until others have it too.
 */
struct syncing {
	struct parked parked;
	struct file_flush flush;
	struct checkpoint_waiter checkpoint;
	struct dht_op safe;
	struct fs *fs;
	fuse_ino_t ino;
	atomic_bool asked;	/* safe has been started */
	atomic_bool cancelled;	/* perhaps just between two of them */
};

static void syncing_free(struct parked *p)
{
	struct syncing *s = (struct syncing *)p;

	file_put(s->flush.file);
	free(s);
}

static void syncing_reply(struct syncing *s, int r)
{
	/* The kernel remembers st_blocks as of before the flush. */
	if (r == 0)
		fuse_lowlevel_notify_inval_inode(s->fs->session, s->ino, -1, 0);
	ops_err(parked_finish(&s->parked), r);
	parked_drop(&s->parked);
}

static void syncing_cancel(struct parked *p)
{
	struct syncing *s = (struct syncing *)p;

	atomic_store(&s->cancelled, true);
	if (file_flush_leave(&s->flush) ||
	    checkpoint_leave(s->fs->checkpoint, &s->checkpoint))
		syncing_reply(s, -EINTR);
	else if (atomic_load(&s->asked))
		dht_cancel(&s->safe);
}

static void safe_done(struct dht_op *op)
{
	syncing_reply(op->user, op->result == -ECANCELED ? -EINTR : op->result);
}

static void checkpoint_done(struct checkpoint_waiter *w, int result)
{
	struct syncing *s = (struct syncing *)((char *)w - offsetof(struct syncing, checkpoint));

	if (result < 0) {
		syncing_reply(s, result);
		return;
	}
	parked_hold(&s->parked);
	s->safe.done = safe_done;
	s->safe.user = s;
	dht_safe(s->fs->dht, &s->safe);
	atomic_store(&s->asked, true);
	if (atomic_load(&s->cancelled))
		dht_cancel(&s->safe);
	parked_drop(&s->parked);
}

static void flush_done(struct file_flush *w, int result)
{
	struct syncing *s = (struct syncing *)((char *)w - offsetof(struct syncing, flush));

	if (result < 0) {
		syncing_reply(s, result);
		return;
	}
	parked_hold(&s->parked);
	checkpoint_wait(s->fs->checkpoint, &s->checkpoint);
	if (atomic_load(&s->cancelled))
		syncing_cancel(&s->parked);
	parked_drop(&s->parked);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct syncing *s;

	(void)datasync;
	if (ops_viewed(fs, ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		ops_err(req, -ENOMEM);
		return;
	}
	parked_init(&s->parked, req, fs->parking, syncing_cancel, syncing_free);
	s->fs = fs;
	s->ino = ino;
	s->checkpoint.done = checkpoint_done;
	s->flush.file = file_hold(ops_file(fi));
	s->flush.done = flush_done;
	file_flush(&s->flush);
	parked_started(&s->parked);
}
