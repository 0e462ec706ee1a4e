#include <errno.h>

#include "fs/file_impl.h"
#include "fs/roots.h"

/* A request of the kernel is never on its way for longer. */
#define LATE_S	30

/*
 * The kernel keeps a file's times, and sets them before it sends what changes the file.  If it has
 * sent them too by then it will not do so again, and they are the ones to have; else the present
 * will do until they come.
 */
static void set_now(struct file *f, const struct timestamp *now)
{
	if (!now)
		return;
	if (f->told_mtime.sec < now->sec - 1 || f->told_mtime.sec > now->sec + 1) {
		f->mtime = f->ctime = *now;
	} else if (!f->times) {
		f->mtime = f->told_mtime;
		f->ctime = f->told_ctime;
	}
	f->times = true;
}

static void tell_changed(struct files *fs, bool fresh)
{
	if (fresh && fs->o.changed)
		fs->o.changed(fs->o.arg);
}

int file_write(struct file *f, uint64_t off, struct chunk *data, const struct timestamp *now)
{
	struct files *fs = f->fs;
	struct file_cost before;
	bool fresh = false;
	int rc;

	if (off > FILE_SIZE_MAX || data->len > FILE_SIZE_MAX - off)
		return -EFBIG;
	if (data->len == 0)
		return 0;
	rc = files_have_room(fs, data->len);
	if (rc == 0)
		rc = dht_reserve(fs->o.dht, data->len);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&f->lock);
	before = file_cost(f);
	rc = extents_write(&f->top, off, data);
	file_account(f, before, data->len);
	if (rc == 0) {
		if (off + data->len > f->size)
			f->size = off + data->len;
		set_now(f, now);
		fresh = file_changed(f, false);
	}
	pthread_mutex_unlock(&f->lock);
	tell_changed(fs, fresh);
	return rc;
}

int file_truncate(struct file *f, uint64_t size, const struct timestamp *now)
{
	struct piece zeros = { .type = PIECE_ZEROS, .len = EXTENTS_END - size };
	struct file_cost before;
	bool fresh = false;
	int rc = 0;

	if (size > FILE_SIZE_MAX)
		return -EFBIG;
	pthread_mutex_lock(&f->lock);
	before = file_cost(f);
	/* All that is cut off is zeros, wherever the end will be. */
	if (size < f->size)
		rc = extents_put(&f->top, size, &zeros);
	file_account(f, before, 0);
	if (rc == 0) {
		bool emptied = size == 0 && f->size > 0;

		f->size = size;
		if (size < f->base_kept)
			f->base_kept = size;
		set_now(f, now);
		fresh = file_changed(f, emptied);
	}
	pthread_mutex_unlock(&f->lock);
	tell_changed(f->fs, fresh);
	return rc;
}

int file_zero(struct file *f, uint64_t off, uint64_t len, bool keep_size,
    const struct timestamp *now)
{
	struct piece zeros = { .type = PIECE_ZEROS };
	struct file_cost before;
	bool fresh = false;
	uint64_t end;
	int rc = 0;

	if (off > FILE_SIZE_MAX || len > FILE_SIZE_MAX - off)
		return -EFBIG;
	end = off + len;
	pthread_mutex_lock(&f->lock);
	before = file_cost(f);
	/* Beyond the size there are zeros already. */
	if (off < f->size && len > 0) {
		zeros.len = (end < f->size ? end : f->size) - off;
		rc = extents_put(&f->top, off, &zeros);
	}
	file_account(f, before, 0);
	if (rc == 0) {
		if (!keep_size && end > f->size)
			f->size = end;
		set_now(f, now);
		fresh = file_changed(f, false);
	}
	pthread_mutex_unlock(&f->lock);
	tell_changed(f->fs, fresh);
	return rc;
}

/*
 * The kernel writes back a file's times without a lock, so they can come after newer ones of a
 * truncation, and would stay.  (Much older ones are no race, but a clock that was set back.)
 */
static bool is_late(const struct file *f, const struct timestamp *ctime)
{
	const struct timestamp *told = &f->told_ctime;

	return f->told && ctime->sec + LATE_S > told->sec &&
	    (ctime->sec < told->sec || (ctime->sec == told->sec && ctime->nsec < told->nsec));
}

bool file_set_times(struct file *f, const struct timestamp *mtime, const struct timestamp *ctime)
{
	bool fresh = false, ahead = false;

	pthread_mutex_lock(&f->lock);
	if (mtime && ctime && is_late(f, ctime)) {
		pthread_mutex_unlock(&f->lock);
		return true;
	}
	if (mtime && ctime) {
		f->told_mtime = *mtime;
		f->told_ctime = *ctime;
		f->told = true;
	}
	/* Without a pair of its own it publishes none: what is in the row stays. */
	if (f->times || (mtime && ctime)) {
		ahead = f->dirty || f->flushing || f->unpublished;
		if (mtime)
			f->mtime = *mtime;
		if (ctime)
			f->ctime = *ctime;
		f->times = true;
		fresh = file_changed(f, false);
	}
	pthread_mutex_unlock(&f->lock);
	tell_changed(f->fs, fresh);
	return ahead;
}

/* One piece of the source becomes the target's.  The locks are held. */
static int clone_piece(struct file *to, uint64_t off, const struct piece *p)
{
	uint64_t reserved = p->type == PIECE_BYTES ? p->len : 0;
	struct file_cost before = file_cost(to);
	int rc = reserved > 0 ? dht_reserve(to->fs->o.dht, reserved) : 0;

	if (rc < 0)
		return rc;
	if (p->type == PIECE_REF)
		roots_add(to->fs->o.roots, &p->ref);
	rc = extents_put(&to->top, off, p);
	file_account(to, before, reserved);
	return rc;
}

int file_clone(struct file *from, uint64_t off, struct file *to, uint64_t to_off, uint64_t len,
    const struct timestamp *now, uint64_t *done)
{
	struct layers layers;
	bool fresh = false;
	struct piece p;
	int rc = 0;

	*done = 0;
	file_lock_both(from, to);
	len = off >= from->size ? 0 : len < from->size - off ? len : from->size - off;
	if (to_off > FILE_SIZE_MAX || len > FILE_SIZE_MAX - to_off)
		rc = -EFBIG;
	else if (from == to && off < to_off + len && to_off < off + len)
		rc = -EINVAL;
	while (rc == 0 && *done < len) {
		file_layers(from, &layers);
		layers_at(&layers, off + *done, &p);
		if (p.len > len - *done)
			p.len = len - *done;
		rc = clone_piece(to, to_off + *done, &p);
		if (rc == 0)
			*done += p.len;
	}
	if (*done > 0) {
		if (to_off + *done > to->size)
			to->size = to_off + *done;
		set_now(to, now);
		fresh = file_changed(to, false);
	}
	file_unlock_both(from, to);
	tell_changed(to->fs, fresh);
	/* What is done is done: the caller asks again for the rest. */
	return *done > 0 ? 0 : rc;
}
