#include <errno.h>
#include <stdlib.h>

#include "fs/file_impl.h"

void file_must_publish(struct file *f)
{
	struct files *fs = f->fs;

	pthread_mutex_lock(&fs->lock);
	/* Else all that it has is published. */
	if (f->kept) {
		f->must_flush = f->dirty ? f->frozen + 1 : f->frozen;
		list_remove(&f->in_must);
		list_append(&fs->must, &f->in_must);
		/* So that the checkpoint finds it done. */
		if (f->dirty)
			file_enqueue(f);
	}
	pthread_mutex_unlock(&fs->lock);
}

int files_collect(struct files *fs, struct publication **out, size_t *n)
{
	struct publication *p = NULL;
	size_t count = 0;
	struct list *l;

	*out = NULL;
	*n = 0;
	pthread_mutex_lock(&fs->lock);
	for (l = fs->publish.next; l != &fs->publish; l = l->next)
		count++;
	if (count > 0) {
		p = malloc(count * sizeof(*p));
		if (!p) {
			pthread_mutex_unlock(&fs->lock);
			return -ENOMEM;
		}
	}
	free(fs->collected);
	fs->collected = p;
	fs->ncollected = count;
	for (l = fs->publish.next; l != &fs->publish; l = l->next, p++) {
		struct file *f = list_item(l, struct file, in_publish);

		*p = (struct publication){
			.ino = f->ino,
			.ref = f->base,
			.data = f->base_data,
			.mtime = f->base_mtime,
			.ctime = f->base_ctime,
			.times = f->base_times,
		};
		f->collected = f->flushed;
	}
	*out = fs->collected;
	*n = count;
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

/*
 * What it was changed from can't be read any more, so its present content may never be had.  Its
 * row has the older one, or this commit gives it that: a crash costs the change, not the file;
 * and one file does not keep all others from being made durable.
 */
static bool given_up(const struct file *f)
{
	return (f->error == -EIO || f->error == -EBADMSG) && f->base.size > 0 &&
	    f->flushed <= f->collected;
}

bool files_ready(void *arg)
{
	struct files *fs = arg;
	bool ready = true;

	pthread_mutex_lock(&fs->lock);
	for (struct list *l = fs->must.next; ready && l != &fs->must; l = l->next) {
		struct file *f = list_item(l, struct file, in_must);

		ready = f->must_flush <= f->collected || given_up(f);
	}
	pthread_mutex_unlock(&fs->lock);
	return ready;
}

/* What was collected of ${f} is in the tree now; what was flushed after that is not. */
static void published(struct file *f)
{
	struct files *fs = f->fs;
	bool put;

	pthread_mutex_lock(&f->lock);
	pthread_mutex_lock(&fs->lock);
	if (f->unpublished && f->flushed == f->collected) {
		f->unpublished = false;
		list_remove(&f->in_publish);
	}
	/* Now the row has them. */
	if (!f->dirty && !f->flushing && !f->unpublished)
		f->times = false;
	if (f->must_flush > 0 && f->must_flush <= f->collected) {
		f->must_flush = 0;
		list_remove(&f->in_must);
	}
	put = file_settle(f);
	pthread_mutex_unlock(&fs->lock);
	pthread_mutex_unlock(&f->lock);
	if (put)
		file_put(f);
}

void files_published(struct files *fs, bool ok)
{
	struct list round, *l;

	list_init(&round);
	pthread_mutex_lock(&fs->lock);
	free(fs->collected);
	fs->collected = NULL;
	fs->ncollected = 0;
	while (ok && !list_empty(&fs->publish)) {
		l = fs->publish.next;
		list_remove(l);
		list_append(&round, l);
	}
	/* Its own lock comes before the files': so each is held while that is let go. */
	while (!list_empty(&round)) {
		struct file *f = file_hold(list_item(round.next, struct file, in_publish));

		list_remove(&f->in_publish);
		list_append(&fs->publish, &f->in_publish);
		pthread_mutex_unlock(&fs->lock);
		published(f);
		file_put(f);
		pthread_mutex_lock(&fs->lock);
	}
	pthread_mutex_unlock(&fs->lock);
}
