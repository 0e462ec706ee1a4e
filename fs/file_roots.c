/* file_roots: all refs that files in memory have, for the collection. */
#include <errno.h>
#include <stdlib.h>

#include "fs/file_impl.h"
#include "fs/roots.h"

static void add_layer(struct roots *roots, const struct extents *x)
{
	struct piece p;
	uint64_t start;

	for (uint64_t off = 0; extents_at(x, off, &start, &p); off = start + p.len) {
		if (p.type == PIECE_REF)
			roots_add(roots, &p.ref);
	}
}

/* All layers at one moment: a ref that leaves one of them later goes nowhere unseen. */
static void add_file(struct roots *roots, struct file *f)
{
	pthread_mutex_lock(&f->lock);
	roots_add(roots, &f->base);
	add_layer(roots, &f->under);
	add_layer(roots, &f->top);
	pthread_mutex_unlock(&f->lock);
}

/* Hold all files of a shard, for their locks come before its own.  -ENOMEM. */
static int hold_all(struct file_shard *s, struct file ***out, size_t *n)
{
	struct file **v;

	*n = 0;
	pthread_mutex_lock(&s->lock);
	*out = v = calloc(s->count + 1, sizeof(struct file *));
	for (size_t b = 0; v && b <= s->mask; b++) {
		for (struct file *f = s->buckets[b]; f; f = f->chain) {
			/* What it is loading is in its row. */
			if (!f->loading)
				v[(*n)++] = file_hold(f);
		}
	}
	for (struct list *l = s->loose.next; v && l != &s->loose; l = l->next)
		v[(*n)++] = file_hold(list_item(l, struct file, in_loose));
	pthread_mutex_unlock(&s->lock);
	return v ? 0 : -ENOMEM;
}

/* What a commit is about to write into rows, though its file may have a newer base by now. */
static void add_collected(struct files *fs)
{
	pthread_mutex_lock(&fs->lock);
	for (size_t i = 0; i < fs->ncollected; i++)
		roots_add(fs->o.roots, &fs->collected[i].ref);
	pthread_mutex_unlock(&fs->lock);
}

int files_roots(struct files *fs)
{
	struct file **v;
	size_t n;

	for (unsigned int i = 0; i < FILE_SHARDS; i++) {
		int rc = hold_all(&fs->shard[i], &v, &n);

		if (rc < 0)
			return rc;
		for (size_t j = 0; j < n; j++) {
			add_file(fs->o.roots, v[j]);
			file_put(v[j]);
		}
		free(v);
	}
	add_collected(fs);
	return 0;
}
