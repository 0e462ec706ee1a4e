#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fs/file_impl.h"
#include "fs/grace.h"

#define FLUSH_BYTES_MAX (16u * 1024 * 1024)
#define ROOM_UNIT_MAX	(1024u * 1024)	/* what the kernel writes at most at a time */

uint64_t files_now_ms(const struct files *fs)
{
	struct timespec t;

	if (fs->o.now_ms)
		return fs->o.now_ms(fs->o.arg);
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool files_pressed(struct files *fs)
{
	return atomic_load(&fs->dirty_bytes) >= fs->o.dirty_max / 4;
}

static bool has_room(struct files *fs, uint64_t bytes)
{
	uint64_t dirty = atomic_load(&fs->dirty_bytes);

	/* Where nothing is dirty even what is over the bound gets in, or it never would. */
	return dirty == 0 || dirty + bytes <= fs->o.dirty_max;
}

/* All that is dirty has failed, and only a sweep tries that again: nobody makes room. */
static bool stuck(const struct files *fs)
{
	return fs->in[FILE_FAILED].count > 0 && fs->in[FILE_DIRTY].count == 0 &&
	    fs->running == 0 && list_empty(&fs->queue);
}

int files_have_room(struct files *fs, uint64_t bytes)
{
	int rc;

	if (has_room(fs, bytes))
		return 0;
	pthread_mutex_lock(&fs->lock);
	rc = stuck(fs) ? fs->error : -EAGAIN;
	pthread_mutex_unlock(&fs->lock);
	return rc;
}

void files_wait_room(struct files *fs, struct room_waiter *w)
{
	pthread_mutex_lock(&fs->lock);
	/* Called before, but another was faster: its place is still before all others. */
	list_append(w->called ? fs->room.next : &fs->room, &w->link);
	w->waiting = true;
	pthread_cond_signal(&fs->work);
	pthread_mutex_unlock(&fs->lock);
}

bool files_leave_room(struct files *fs, struct room_waiter *w)
{
	bool waited;

	pthread_mutex_lock(&fs->lock);
	waited = w->waiting;
	if (waited)
		list_remove(&w->link);
	w->waiting = false;
	pthread_mutex_unlock(&fs->lock);
	return waited;
}

/*
 * The next to be flushed: who was asked for, or, where much is dirty, what has been for longest.
 * One that waits for what is written after it was emptied only if nothing else makes room.
 */
static struct file *next_file(struct files *fs)
{
	struct file *deferred = NULL;
	uint64_t now;

	if (!list_empty(&fs->queue))
		return list_item(fs->queue.next, struct file, in_queue);
	if (!files_pressed(fs) && list_empty(&fs->room))
		return NULL;
	now = files_now_ms(fs);
	for (struct list *l = fs->in[FILE_DIRTY].files.next; l != &fs->in[FILE_DIRTY].files;
	     l = l->next) {
		struct file *f = list_item(l, struct file, in_state);

		if (f->flushing)
			continue;
		if (!file_deferred(f, now))
			return f;
		if (!deferred)
			deferred = f;
	}
	return fs->running == 0 ? deferred : NULL;
}

/* The lock is let go meanwhile. */
static void flush_file(struct files *fs, struct file *f)
{
	struct flush fl;
	unsigned int parity;

	file_hold(f);
	if (f->queued)
		file_dequeue(f);
	pthread_mutex_unlock(&fs->lock);
	/* Until the end the chunks that it inserts are found nowhere. */
	parity = grace_enter(fs->o.flushing);
	if (flush_begin(f, &fl)) {
		if (fl.error == 0)
			flush_run(&fl);
		flush_end(&fl);
	}
	grace_leave(fs->o.flushing, parity);
	file_put(f);
	pthread_mutex_lock(&fs->lock);
}

static bool tell_one(struct files *fs)
{
	struct file_flush *w;

	if (list_empty(&fs->told))
		return false;
	w = list_item(fs->told.next, struct file_flush, link);
	list_remove(&w->link);
	w->waiting = false;
	pthread_mutex_unlock(&fs->lock);
	w->done(w, w->result);
	pthread_mutex_lock(&fs->lock);
	return true;
}

static bool call_one(struct files *fs)
{
	struct room_waiter *w;

	if (list_empty(&fs->room) || !(has_room(fs, fs->room_unit) || stuck(fs)))
		return false;
	w = list_item(fs->room.next, struct room_waiter, link);
	list_remove(&w->link);
	w->waiting = false;
	w->called = true;
	pthread_mutex_unlock(&fs->lock);
	w->ready(w);
	pthread_mutex_lock(&fs->lock);
	return true;
}

static void *flusher(void *arg)
{
	struct files *fs = arg;

	pthread_mutex_lock(&fs->lock);
	for (;;) {
		struct file *f;

		if (tell_one(fs))
			continue;
		if (fs->ending)
			break;
		if (call_one(fs))
			continue;
		f = next_file(fs);
		if (f) {
			flush_file(fs, f);
			continue;
		}
		atomic_fetch_add(&fs->idle, 1);
		pthread_cond_wait(&fs->work, &fs->lock);
		atomic_fetch_sub(&fs->idle, 1);
	}
	pthread_mutex_unlock(&fs->lock);
	return NULL;
}

/* The checkpoint will wait until flush ${n} of ${f} has ended. */
static void sweep_file(struct file *f, uint64_t n)
{
	if (f->sweep_flush == 0)
		f->fs->sweeping++;
	f->sweep_flush = n;
	if (f->dirty)
		file_enqueue(f);
}

/* Queue all files of a state.  True: some are held back. */
static bool sweep_state(struct files *fs, enum file_state state, bool all)
{
	struct list *files = &fs->in[state].files;
	uint64_t now = files_now_ms(fs);
	bool left = false;

	for (struct list *l = files->next; l != files; l = l->next) {
		struct file *f = list_item(l, struct file, in_state);

		if (f->dirty && !all && file_deferred(f, now))
			left = true;
		else
			sweep_file(f, f->frozen + f->dirty);
	}
	return left;
}

int files_flush_all(struct files *fs, bool all)
{
	bool left = false;
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	fs->sweep_all = all;
	fs->sweep_left = false;
	for (enum file_state s = FILE_DIRTY; s < FILE_STATES; s++)
		left |= sweep_state(fs, s, all);
	while (fs->sweeping > 0)
		pthread_cond_wait(&fs->swept, &fs->lock);
	left |= fs->sweep_left;
	if (fs->in[FILE_FAILED].count > 0)
		rc = fs->error;
	left |= rc < 0;
	pthread_mutex_unlock(&fs->lock);
	if (left && fs->o.changed)
		fs->o.changed(fs->o.arg);
	return rc;
}

static struct file *next_must(struct files *fs)
{
	for (struct list *l = fs->must.next; l != &fs->must; l = l->next) {
		struct file *f = list_item(l, struct file, in_must);

		if (f->sweep_flush > 0 && f->queued)
			return f;
	}
	return NULL;
}

int files_flush_must(struct files *fs)
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	for (struct list *l = fs->must.next; l != &fs->must; l = l->next) {
		struct file *f = list_item(l, struct file, in_must);

		if (f->dirty || f->flushing)
			sweep_file(f, f->frozen + f->dirty);
	}
	while (fs->sweeping > 0) {
		struct file *f = next_must(fs);

		if (f)
			flush_file(fs, f);
		else
			pthread_cond_wait(&fs->swept, &fs->lock);
	}
	for (struct list *l = fs->must.next; rc == 0 && l != &fs->must; l = l->next)
		rc = list_item(l, struct file, in_must)->error;
	pthread_mutex_unlock(&fs->lock);
	return rc;
}

int files_start(struct files *fs)
{
	uint64_t quarter = fs->o.dirty_max / 4;

	fs->flush_bytes = quarter < FLUSH_BYTES_MAX ? quarter : FLUSH_BYTES_MAX;
	fs->room_unit = quarter < ROOM_UNIT_MAX ? quarter : ROOM_UNIT_MAX;
	pthread_mutex_init(&fs->lock, NULL);
	pthread_cond_init(&fs->work, NULL);
	pthread_cond_init(&fs->swept, NULL);
	for (enum file_state s = 0; s < FILE_STATES; s++)
		list_init(&fs->in[s].files);
	list_init(&fs->queue);
	list_init(&fs->publish);
	list_init(&fs->must);
	list_init(&fs->told);
	list_init(&fs->room);
	fs->flusher = calloc(fs->o.flushers, sizeof(*fs->flusher));
	if (!fs->flusher)
		return -ENOMEM;
	for (; fs->flushers < fs->o.flushers; fs->flushers++) {
		int rc = pthread_create(&fs->flusher[fs->flushers], NULL, flusher, fs);

		if (rc != 0) {
			files_stop(fs);
			return -rc;
		}
	}
	return 0;
}

void files_stop(struct files *fs)
{
	pthread_mutex_lock(&fs->lock);
	fs->ending = true;
	pthread_cond_broadcast(&fs->work);
	pthread_mutex_unlock(&fs->lock);
	for (unsigned int i = 0; i < fs->flushers; i++)
		pthread_join(fs->flusher[i], NULL);
	free(fs->collected);
	free(fs->flusher);
	pthread_cond_destroy(&fs->swept);
	pthread_cond_destroy(&fs->work);
	pthread_mutex_destroy(&fs->lock);
}
