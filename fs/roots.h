/*
 * roots: refs that come up or move from one place to another while a collection marks.
 *
 * A collection looks at one place after the other.  A ref that goes from a place that it has not seen
 * yet to one that it has seen would be missed: so whoever moves a ref says so here.  fs/DESIGN.md,
 * "Collection", has the whole argument.
 */
#ifndef FS_ROOTS_H
#define FS_ROOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "chunker/address.h"

struct roots {
	atomic_bool open;	/* written under the lock */
	pthread_mutex_t lock;	/* protects what follows; taken after all others */
	struct ref *v;
	size_t n, room;
	bool lost;		/* there was no memory for one */
};

void roots_init(struct roots *r);
void roots_destroy(struct roots *r);

/** roots_add(r, ref): the collection that is under way, if any, keeps ${ref}.  Cheap where there is none; with
 * ${r} NULL, or for an empty file or no ref at all, nothing happens. */
void roots_add(struct roots *r, const struct ref *ref);

/*
 * The collector's.
 *
 * roots_open(r): from now on they are taken.
 * roots_take(r, out): one of them; false: there is none now.
 * roots_close(r, then, arg): if there is none left, and none was lost, call then(arg) before another can be
 *   added, and take no more: 0.  -EAGAIN: there are some; -ENOMEM: one was lost.
 * roots_abandon(r): take no more, forget those there are.
 */
void roots_open(struct roots *r);
bool roots_take(struct roots *r, struct ref *out);
int roots_close(struct roots *r, void (*then)(void *arg), void *arg);
void roots_abandon(struct roots *r);

#endif
