#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dht/program/log.h"
#include "fs/file_impl.h"

#define EMPTIED_MS 5000u
#define CLOSED_MS  1000u	/* between flushes of a file that is written anew all the time */

void file_enqueue(struct file *f)
{
	/* While it is flushing, the end of that sees to it. */
	if (f->queued || f->flushing)
		return;
	f->queued = true;
	list_append(&f->fs->queue, &f->in_queue);
	pthread_cond_signal(&f->fs->work);
}

void file_dequeue(struct file *f)
{
	f->queued = false;
	list_remove(&f->in_queue);
}

bool file_deferred(const struct file *f, uint64_t now_ms)
{
	return f->writers > 0 && f->emptied_ms > 0 && f->must_flush == 0 &&
	    now_ms - f->emptied_ms < EMPTIED_MS;
}

bool file_settle(struct file *f)
{
	struct files *fs = f->fs;
	enum file_state state = f->dirty ? (f->error < 0 ? FILE_FAILED : FILE_DIRTY)
					 : (f->flushing ? FILE_FLUSHING : FILE_CLEAN);
	bool keep = f->dirty || f->flushing || f->unpublished, put = f->kept && !keep;

	if (state != f->state) {
		list_remove(&f->in_state);
		fs->in[f->state].count -= f->state != FILE_CLEAN;
		f->state = state;
		if (state != FILE_CLEAN) {
			list_append(&fs->in[state].files, &f->in_state);
			fs->in[state].count++;
		}
	}
	if (keep && !f->kept)
		file_hold(f);
	f->kept = keep;
	return put;
}

bool file_changed(struct file *f, bool emptied)
{
	struct files *fs = f->fs;
	bool fresh = !f->dirty && !f->discarded;
	bool full = f->top.cost >= fs->flush_bytes && !f->flushing;

	if (!fresh && !full && !emptied && !(files_pressed(fs) && atomic_load(&fs->idle) > 0))
		return false;
	pthread_mutex_lock(&fs->lock);
	if (emptied)
		f->emptied_ms = files_now_ms(fs);
	if (fresh) {
		f->dirty = true;
		file_settle(f);
	}
	if (full && !f->discarded)
		file_enqueue(f);
	/* Or there is nothing to do for a flusher yet: files are dirty for a while. */
	if (files_pressed(fs) || !list_empty(&fs->room))
		pthread_cond_signal(&fs->work);
	pthread_mutex_unlock(&fs->lock);
	return fresh;
}

/* Those who wait for flush ${n}, or one before it, will hear of it from a flusher. */
static void tell(struct file *f, uint64_t n, int result)
{
	struct list *l, *next;

	for (l = f->waiters.next; l != &f->waiters; l = next) {
		struct file_flush *w = list_item(l, struct file_flush, link);

		next = l->next;
		if (w->generation > n)
			continue;
		list_remove(l);
		w->result = result;
		list_append(&f->fs->told, l);
	}
	if (!list_empty(&f->fs->told))
		pthread_cond_signal(&f->fs->work);
}

static void swept(struct file *f, uint64_t n)
{
	struct files *fs = f->fs;

	if (f->sweep_flush > 0 && f->sweep_flush <= n) {
		f->sweep_flush = 0;
		fs->sweeping--;
	}
	/* A sweep of its own hands must also hear of what has been queued again. */
	if (fs->sweeping == 0 || !list_empty(&fs->must))
		pthread_cond_signal(&fs->swept);
}

/*
 * It was queued, by a sweep or when it was closed, and then cut to nothing: it is left out, or a
 * crash would leave neither what was there nor what is about to be written.
 */
static bool put_off(struct file *f)
{
	struct files *fs = f->fs;

	if (!file_deferred(f, files_now_ms(fs)) || !list_empty(&f->waiters))
		return false;
	if (f->sweep_flush == 0)
		return f->top.cost < fs->flush_bytes && !files_pressed(fs) && list_empty(&fs->room);
	if (fs->sweep_all)
		return false;
	fs->sweep_left = true;
	swept(f, f->sweep_flush);
	return true;
}

bool flush_begin(struct file *f, struct flush *fl)
{
	struct files *fs = f->fs;
	struct file_cost before;
	bool go;

	pthread_mutex_lock(&f->lock);
	pthread_mutex_lock(&fs->lock);
	go = f->dirty && !f->flushing && !put_off(f);
	if (go) {
		f->dirty = false;
		f->flushing = true;
		f->frozen++;
		f->emptied_ms = 0;
		f->frozen_ms = files_now_ms(fs);
		fs->running++;
		file_settle(f);
	}
	pthread_mutex_unlock(&fs->lock);
	if (go) {
		*fl = (struct flush){
			.file = f,
			.base = f->base,
			.base_data = f->base_data,
			.size = f->size,
			.mtime = f->mtime,
			.ctime = f->ctime,
			.times = f->times,
		};
		before = file_cost(f);
		if (!f->under.root) {
			struct extents empty = f->under;

			f->under = f->top;
			f->top = empty;
		} else {
			/* What an earlier flush could not put into the set. */
			fl->error = extents_move(&f->under, &f->top);
		}
		file_account(f, before, 0);
	}
	pthread_mutex_unlock(&f->lock);
	return go;
}

/* What was in the old base and is not in the new one, about: ${written} bytes lie over it. */
static void tell_freed(const struct file *f, const struct flush *fl, uint64_t written)
{
	uint64_t had = fl->base_data + written;

	if (f->fs->o.freed && had > fl->result_data)
		f->fs->o.freed(f->fs->o.arg, had - fl->result_data);
}

/* The new base, unless all is given up.  What was frozen goes to ${drop}. */
static void take_result(struct file *f, const struct flush *fl, struct extents *drop)
{
	struct file_cost before = file_cost(f);

	*drop = f->under;
	extents_init(&f->under);
	file_account(f, before, 0);
	if (fl->error < 0)
		return;
	tell_freed(f, fl, drop->data);
	f->base = fl->result;
	f->base_data = fl->result_data;
	f->base_kept = fl->result.size;
	f->base_mtime = fl->mtime;
	f->base_ctime = fl->ctime;
	f->base_times = fl->times;
	f->flushed = f->frozen;
	f->error = 0;
	if (f->discarded || f->unpublished)
		return;
	f->unpublished = true;
	list_append(&f->fs->publish, &f->in_publish);
}

static void take_error(struct file *f, int error)
{
	/* One line for all: when a disk is full there would be one of every file, every second. */
	if (f->error == 0 && f->fs->in[FILE_FAILED].count == 0)
		log_line(LOG_ERR, "inode %" PRIu64 ": could not be stored: %s; it stays in memory "
		    "and is tried again", f->ino, strerror(-error));
	f->error = f->fs->error = error;
	f->dirty = true;
	if (error == -ENOSPC && f->fs->o.full)
		f->fs->o.full(f->fs->o.arg);
}

void flush_end(struct flush *fl)
{
	struct file *f = fl->file;
	struct files *fs = f->fs;
	struct extents drop;
	bool put;

	extents_init(&drop);
	pthread_mutex_lock(&f->lock);
	pthread_mutex_lock(&fs->lock);
	f->flushing = false;
	fs->running--;
	if (fl->error == 0 || f->discarded)
		take_result(f, fl, &drop);
	else
		take_error(f, fl->error);
	tell(f, f->frozen, f->discarded ? 0 : fl->error);
	swept(f, f->frozen);
	if (f->dirty && (!list_empty(&f->waiters) || f->sweep_flush > 0 ||
	    f->top.cost >= fs->flush_bytes))
		file_enqueue(f);
	/* This need not be a flusher, which would see for itself that there is room now. */
	if (!list_empty(&fs->room))
		pthread_cond_signal(&fs->work);
	put = file_settle(f);
	pthread_mutex_unlock(&fs->lock);
	pthread_mutex_unlock(&f->lock);
	extents_clear(&drop);
	if (put)
		file_put(f);
}

/* The flush that will have taken all that is there now; 0: it is all in the set. */
static uint64_t covering(const struct file *f)
{
	return f->dirty ? f->frozen + 1 : f->flushing ? f->frozen : 0;
}

void file_flush(struct file_flush *w)
{
	struct file *f = w->file;
	struct files *fs = f->fs;

	pthread_mutex_lock(&fs->lock);
	w->generation = covering(f);
	w->waiting = w->generation > 0;
	if (w->waiting) {
		list_append(&f->waiters, &w->link);
		if (f->dirty)
			file_enqueue(f);
	}
	pthread_mutex_unlock(&fs->lock);
	if (w->generation == 0)
		w->done(w, 0);
}

bool file_flush_leave(struct file_flush *w)
{
	struct files *fs = w->file->fs;
	bool waited;

	pthread_mutex_lock(&fs->lock);
	waited = w->waiting;
	if (waited)
		list_remove(&w->link);
	w->waiting = false;
	pthread_mutex_unlock(&fs->lock);
	return waited;
}

void file_discard(struct file *f)
{
	struct files *fs = f->fs;
	struct extents top, under;
	struct file_cost before;
	bool put;

	extents_init(&under);
	pthread_mutex_lock(&f->lock);
	pthread_mutex_lock(&fs->lock);
	before = file_cost(f);
	top = f->top;
	extents_init(&f->top);
	if (!f->flushing) {
		under = f->under;
		extents_init(&f->under);
	}
	file_account(f, before, 0);
	f->discarded = true;
	f->dirty = f->unpublished = false;
	f->error = 0;
	list_remove(&f->in_publish);
	list_remove(&f->in_must);
	f->must_flush = 0;
	if (f->queued)
		file_dequeue(f);
	/* While it is flushing, its end does this. */
	if (!f->flushing) {
		tell(f, UINT64_MAX, 0);
		swept(f, UINT64_MAX);
	} else {
		for (struct list *l = f->waiters.next; l != &f->waiters; l = l->next)
			list_item(l, struct file_flush, link)->generation = f->frozen;
		if (f->sweep_flush > 0)
			f->sweep_flush = f->frozen;
	}
	put = file_settle(f);
	pthread_mutex_unlock(&fs->lock);
	pthread_mutex_unlock(&f->lock);
	extents_clear(&top);
	extents_clear(&under);
	if (put)
		file_put(f);
}

int file_error(struct file *f)
{
	int error;

	pthread_mutex_lock(&f->fs->lock);
	error = f->error;
	pthread_mutex_unlock(&f->fs->lock);
	return error;
}

void file_opened(struct file *f)
{
	pthread_mutex_lock(&f->fs->lock);
	f->writers++;
	pthread_mutex_unlock(&f->fs->lock);
}

void file_closed(struct file *f)
{
	struct files *fs = f->fs;
	bool due;

	pthread_mutex_lock(&fs->lock);
	assert(f->writers > 0);
	f->writers--;
	due = f->writers == 0 && f->dirty && f->emptied_ms > 0;
	/*
	 * It was left out until now, and will be again when it is cut again before the next sweep:
	 * so it does not wait for that.
	 */
	if (due && files_now_ms(fs) - f->frozen_ms >= CLOSED_MS)
		file_enqueue(f);
	pthread_mutex_unlock(&fs->lock);
	if (due && fs->o.changed)
		fs->o.changed(fs->o.arg);
}

unsigned int file_writers(struct file *f)
{
	unsigned int n;

	pthread_mutex_lock(&f->fs->lock);
	n = f->writers;
	pthread_mutex_unlock(&f->fs->lock);
	return n;
}

void files_status(struct files *fs, struct files_status *out)
{
	pthread_mutex_lock(&fs->lock);
	*out = (struct files_status){
		.dirty_bytes = atomic_load(&fs->dirty_bytes),
		.dirty_files = fs->in[FILE_DIRTY].count + fs->in[FILE_FAILED].count,
		.in_memory = atomic_load(&fs->in_memory),
		.failed = fs->in[FILE_FAILED].count,
	};
	pthread_mutex_unlock(&fs->lock);
}
