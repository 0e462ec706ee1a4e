#include "fs/file_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/roots.h"

#define BUCKETS_MIN 16u

static struct file_shard *shard_of(struct files *fs, uint64_t ino)
{
	return &fs->shard[ino % FILE_SHARDS];
}

static struct file **place(struct file_shard *s, uint64_t ino)
{
	struct file **p = &s->buckets[ino / FILE_SHARDS & s->mask];

	while (*p && (*p)->ino != ino)
		p = &(*p)->chain;
	return p;
}

/* Where there is no memory the chains get longer. */
static void shard_grow(struct file_shard *s)
{
	size_t n = s->mask + 1;
	struct file **old = s->buckets, **buckets = calloc(2 * n, sizeof(struct file *));

	if (!buckets)
		return;
	s->buckets = buckets;
	s->mask = 2 * n - 1;
	for (size_t i = 0; i < n; i++) {
		for (struct file *f = old[i], *next; f; f = next) {
			struct file **p = &buckets[f->ino / FILE_SHARDS & s->mask];

			next = f->chain;
			f->chain = *p;
			*p = f;
		}
	}
	free(old);
}

static struct file *new_file(struct files *fs, uint64_t ino)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->ino = ino;
	f->fs = fs;
	f->loading = true;
	atomic_init(&f->holders, 1);
	pthread_mutex_init(&f->lock, NULL);
	extents_init(&f->top);
	extents_init(&f->under);
	list_init(&f->in_state);
	list_init(&f->in_queue);
	list_init(&f->in_publish);
	list_init(&f->in_must);
	list_init(&f->in_loose);
	list_init(&f->waiters);
	return f;
}

static void free_file(struct file *f)
{
	struct file_cost cost = file_cost(f);

	extents_clear(&f->top);
	extents_clear(&f->under);
	file_account(f, cost, 0);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void take_row(struct file *f, const struct inode *row)
{
	f->base = row->ref;
	f->base_data = row->data;
	f->told_mtime = row->mtime;
	f->told_ctime = row->ctime;
	/* A file that nothing has been written to yet. */
	if (f->base.hash == 0) {
		ref_empty(&f->base);
		f->base_data = 0;
	}
	f->size = f->base.size;
	f->base_kept = f->size;
}

int files_new(const struct files_options *o, struct files **out)
{
	struct files *fs = calloc(1, sizeof(*fs));
	int rc = -ENOMEM;

	*out = NULL;
	if (!fs)
		return -ENOMEM;
	fs->o = *o;
	for (unsigned int i = 0; i < FILE_SHARDS; i++) {
		struct file_shard *s = &fs->shard[i];

		pthread_mutex_init(&s->lock, NULL);
		pthread_cond_init(&s->loaded, NULL);
		list_init(&s->loose);
		s->mask = BUCKETS_MIN - 1;
		s->buckets = calloc(BUCKETS_MIN, sizeof(struct file *));
		if (!s->buckets)
			goto err;
	}
	rc = files_start(fs);
	if (rc < 0)
		goto err;
	*out = fs;
	return 0;
err:
	for (unsigned int i = 0; i < FILE_SHARDS; i++)
		free(fs->shard[i].buckets);
	free(fs);
	return rc;
}

void files_free(struct files *fs)
{
	if (!fs)
		return;
	files_stop(fs);
	for (unsigned int i = 0; i < FILE_SHARDS; i++) {
		struct file_shard *s = &fs->shard[i];

		for (size_t b = 0; b <= s->mask; b++) {
			for (struct file *f = s->buckets[b], *next; f; f = next) {
				next = f->chain;
				free_file(f);
			}
		}
		/* Open to the end: of a mount that was torn away no release comes. */
		while (!list_empty(&s->loose)) {
			struct file *f = list_item(s->loose.next, struct file, in_loose);

			list_remove(&f->in_loose);
			free_file(f);
		}
		free(s->buckets);
		pthread_cond_destroy(&s->loaded);
		pthread_mutex_destroy(&s->lock);
	}
	free(fs);
}

/* A file of no tree (file_of_ref()) can't be found: its number is 0. */
static void take_out(struct file_shard *s, struct file *f)
{
	s->count--;
	if (f->ino == 0) {
		list_remove(&f->in_loose);
		return;
	}
	*place(s, f->ino) = f->chain;
	atomic_fetch_sub(&f->fs->in_memory, 1);
}

/*
 * The file is in the table before load() is called: from then on nothing is published but
 * through it, and before that what was published is in the row.
 */
static int load(struct file_shard *s, struct file *f)
{
	struct inode row;
	int rc = f->fs->o.load(f->fs->o.arg, f->ino, &row);

	if (rc == 0)
		take_row(f, &row);
	pthread_mutex_lock(&s->lock);
	f->loading = false;
	if (rc < 0)
		take_out(s, f);
	pthread_cond_broadcast(&s->loaded);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		free_file(f);
	return rc;
}

int file_get(struct files *fs, uint64_t ino, struct file **out)
{
	struct file_shard *s = shard_of(fs, ino);
	struct file **p, *f;
	int rc;

	*out = NULL;
	pthread_mutex_lock(&s->lock);
	while ((f = *(p = place(s, ino))) && f->loading)
		pthread_cond_wait(&s->loaded, &s->lock);
	if (f) {
		atomic_fetch_add(&f->holders, 1);
		pthread_mutex_unlock(&s->lock);
		*out = f;
		return 0;
	}
	f = new_file(fs, ino);
	if (f) {
		*p = f;
		if (++s->count > s->mask)
			shard_grow(s);
		atomic_fetch_add(&fs->in_memory, 1);
	}
	pthread_mutex_unlock(&s->lock);
	rc = f ? load(s, f) : -ENOMEM;
	if (rc == 0)
		*out = f;
	return rc;
}

int file_of_ref(struct files *fs, const struct ref *ref, struct file **out)
{
	const struct inode row = { .ref = *ref, .data = ref->size };
	struct file_shard *s = shard_of(fs, 0);
	struct file *f = new_file(fs, 0);

	*out = NULL;
	if (!f)
		return -ENOMEM;
	take_row(f, &row);
	f->loading = false;
	pthread_mutex_lock(&s->lock);
	list_append(&s->loose, &f->in_loose);
	s->count++;
	pthread_mutex_unlock(&s->lock);
	roots_add(fs->o.roots, ref);
	/* From here on it stays; but it may be too late. */
	if (ref->size > 0 && dht_gone(fs->o.dht, &ref->address)) {
		file_put(f);
		return -ESTALE;
	}
	*out = f;
	return 0;
}

struct file *file_find(struct files *fs, uint64_t ino)
{
	struct file_shard *s = shard_of(fs, ino);
	struct file *f;

	pthread_mutex_lock(&s->lock);
	f = *place(s, ino);
	if (f && f->loading)
		f = NULL;
	if (f)
		atomic_fetch_add(&f->holders, 1);
	pthread_mutex_unlock(&s->lock);
	return f;
}

struct file *file_hold(struct file *f)
{
	unsigned int before = atomic_fetch_add(&f->holders, 1);

	assert(before > 0);
	return f;
}

void file_put(struct file *f)
{
	unsigned int n;
	struct file_shard *s;
	bool gone;

	if (!f)
		return;
	n = atomic_load(&f->holders);
	while (n > 1) {
		if (atomic_compare_exchange_weak(&f->holders, &n, n - 1))
			return;
	}
	/* Perhaps the last: only with the lock nobody can find it in between. */
	s = shard_of(f->fs, f->ino);
	pthread_mutex_lock(&s->lock);
	gone = atomic_fetch_sub(&f->holders, 1) == 1;
	if (gone)
		take_out(s, f);
	pthread_mutex_unlock(&s->lock);
	if (gone)
		free_file(f);
}

uint64_t file_ino(const struct file *f)
{
	return f->ino;
}

void file_lock_both(struct file *a, struct file *b)
{
	pthread_mutex_lock(a->ino <= b->ino ? &a->lock : &b->lock);
	if (a != b)
		pthread_mutex_lock(a->ino <= b->ino ? &b->lock : &a->lock);
}

void file_unlock_both(struct file *a, struct file *b)
{
	pthread_mutex_unlock(&a->lock);
	if (a != b)
		pthread_mutex_unlock(&b->lock);
}

void file_layers(struct file *f, struct layers *out)
{
	*out = (struct layers){ &f->top, &f->under, &f->base, f->size };
}

struct file_cost file_cost(const struct file *f)
{
	return (struct file_cost){ f->top.cost + f->under.cost, f->top.bytes + f->under.bytes };
}

void file_account(struct file *f, struct file_cost before, uint64_t reserved)
{
	struct file_cost now = file_cost(f);
	uint64_t had = before.bytes + reserved;

	atomic_fetch_add(&f->fs->dirty_bytes, now.cost - before.cost);
	assert(now.bytes <= had);
	if (now.bytes < had)
		dht_release(f->fs->o.dht, had - now.bytes);
}

/* About: what is written over something counts twice, up to the size. */
static uint64_t data_bytes(const struct file *f)
{
	uint64_t base = f->base_data < f->base_kept ? f->base_data : f->base_kept;
	uint64_t data = base + f->under.data + f->top.data;

	return data < f->size ? data : f->size;
}

void file_attr(struct file *f, struct file_attr *out)
{
	pthread_mutex_lock(&f->lock);
	*out = (struct file_attr){
		.dirty = f->dirty || f->flushing || f->unpublished,
		.size = f->size,
		.data = data_bytes(f),
		.times = f->times,
		.mtime = f->mtime,
		.ctime = f->ctime,
	};
	pthread_mutex_unlock(&f->lock);
}

bool file_ref(struct file *f, struct ref *out)
{
	bool current;

	pthread_mutex_lock(&f->lock);
	*out = f->base;
	current = !f->dirty && !f->flushing;
	pthread_mutex_unlock(&f->lock);
	return current;
}
