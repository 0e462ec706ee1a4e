/*
 * Collection, of both kinds.  Alone, what is not marked goes from the store.  With a ring, it goes from the volume's leases: its owners, this node
 * perhaps among them, delete it in their time, and what is only cached here goes when space is wanted.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "dht/dht_impl.h"

struct dht_gc {
	struct dht *d;
	struct store_gc *store;		/* alone */
	struct marks *marks;		/* with a ring; shared with who inserts, until the end */
	bool hangs;			/* some of its leases may still be on their way to the disk here */
};

void dht_gc_insert(struct dht *d, const struct address *a)
{
	pthread_mutex_lock(&d->gc_lock);
	if (d->marks)
		marks_add(d->marks, a);
	pthread_mutex_unlock(&d->gc_lock);
}

static int begin_with_ring(struct dht *d, struct dht_gc *gc)
{
	struct peer_status s;
	int rc = 0;

	if (!d->leasing)
		return -EROFS;
	peer_status(d->peer, &s);
	gc->marks = marks_new(s.shelf.leased + s.shelf.fresh);
	if (!gc->marks)
		return -ENOMEM;
	pthread_mutex_lock(&d->gc_lock);
	if (d->marks)
		rc = -EBUSY;
	else
		d->marks = gc->marks;
	pthread_mutex_unlock(&d->gc_lock);
	if (rc < 0)
		marks_free(gc->marks);
	else
		shelf_collecting(peer_shelf(d->peer), true);
	return rc;
}

int dht_gc_begin(struct dht *d, struct dht_gc **out)
{
	struct dht_gc *gc = calloc(1, sizeof(*gc));
	int rc;

	*out = NULL;
	if (!gc)
		return -ENOMEM;
	gc->d = d;
	rc = d->peer ? begin_with_ring(d, gc) : store_gc_begin(d->store, &gc->store);
	if (rc < 0)
		free(gc);
	else
		*out = gc;
	return rc;
}

void dht_gc_mark(struct dht_gc *gc, const struct address *a)
{
	if (gc->store)
		store_gc_mark(gc->store, a);
	else
		marks_add(gc->marks, a);
}

static bool wanted(void *arg, const struct address *a)
{
	return marks_has(arg, a);
}

int dht_gc_unmarked(struct dht_gc *gc, struct dht_gc_count *out)
{
	if (gc->store)
		return store_gc_unmarked(gc->store, out);
	return leasing_keep(gc->d->leasing, wanted, gc->marks, true, NULL, NULL, out);
}

/* With a ring nothing goes at once: what is inserted from now on is marked as before. */
void dht_gc_condemn(struct dht_gc *gc)
{
	if (gc->store)
		store_gc_condemn(gc->store);
}

int dht_gc_sweep(struct dht_gc *gc, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	int rc;

	if (gc->store)
		return store_gc_sweep(gc->store, tell, arg, out);
	rc = leasing_keep(gc->d->leasing, wanted, gc->marks, false, tell, arg, out);
	gc->hangs = rc < 0;
	return rc;
}

void dht_gc_end(struct dht_gc *gc)
{
	if (!gc)
		return;
	if (gc->store) {
		store_gc_end(gc->store);
	} else {
		/* What the lease of before has is not safe in it until the shorter ones are there: until another collection is through, or the
		 * next start, all that is inserted is told to leases. */
		if (!gc->hangs)
			shelf_collecting(peer_shelf(gc->d->peer), false);
		pthread_mutex_lock(&gc->d->gc_lock);
		gc->d->marks = NULL;
		pthread_mutex_unlock(&gc->d->gc_lock);
		marks_free(gc->marks);
	}
	free(gc);
}
