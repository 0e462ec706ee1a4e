#include "fs/roots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void roots_init(struct roots *r)
{
	*r = (struct roots){ .v = NULL };
	atomic_init(&r->open, false);
	pthread_mutex_init(&r->lock, NULL);
}

void roots_destroy(struct roots *r)
{
	free(r->v);
	pthread_mutex_destroy(&r->lock);
}

static bool make_room(struct roots *r)
{
	size_t room = r->room ? 2 * r->room : 64;
	struct ref *more = r->n < r->room ? r->v : realloc(r->v, room * sizeof(*more));

	if (!more)
		return false;
	r->room = r->n < r->room ? r->room : room;
	r->v = more;
	return true;
}

void roots_add(struct roots *r, const struct ref *ref)
{
	if (!r || !atomic_load(&r->open) || ref->hash == 0 ||
	    (ref->kind == KIND_DATA && ref->size == 0))
		return;
	pthread_mutex_lock(&r->lock);
	/* It may have closed meanwhile. */
	if (atomic_load(&r->open)) {
		if (r->n > 0 && ref_equal(&r->v[r->n - 1], ref))
			;	/* the next piece of the same file */
		else if (make_room(r))
			r->v[r->n++] = *ref;
		else
			r->lost = true;
	}
	pthread_mutex_unlock(&r->lock);
}

void roots_open(struct roots *r)
{
	pthread_mutex_lock(&r->lock);
	assert(!atomic_load(&r->open) && r->n == 0);
	r->lost = false;
	atomic_store(&r->open, true);
	pthread_mutex_unlock(&r->lock);
}

bool roots_take(struct roots *r, struct ref *out)
{
	bool some;

	pthread_mutex_lock(&r->lock);
	some = r->n > 0;
	if (some)
		*out = r->v[--r->n];
	pthread_mutex_unlock(&r->lock);
	return some;
}

/* With the lock held. */
static void stop(struct roots *r)
{
	atomic_store(&r->open, false);
	free(r->v);
	r->v = NULL;
	r->n = r->room = 0;
}

int roots_close(struct roots *r, void (*then)(void *arg), void *arg)
{
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = r->lost ? -ENOMEM : r->n > 0 ? -EAGAIN : 0;
	if (rc == 0) {
		then(arg);
		stop(r);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void roots_abandon(struct roots *r)
{
	pthread_mutex_lock(&r->lock);
	stop(r);
	pthread_mutex_unlock(&r->lock);
}
