#include "tests/lib/memory_disk.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/list.h"
#include "dht/peer/disk.h"
#include "dht/peer/shelf.h"

struct shelf {
	struct list link;
	char *dir;
	struct memory_catalogue memory;
	bool open;
};

struct answer {
	struct list link;
	struct event event;
};

struct disk {
	struct shelf *shelf;
	void (*done)(void *arg, struct event *e);
	void *arg;
	pthread_t thread;
	struct list answers;		/* under the lock */
	bool closing;			/* under the lock */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static struct list shelves = { &shelves, &shelves };
static bool held;

static struct shelf *find(const char *dir)
{
	for (struct list *l = shelves.next; l != &shelves; l = l->next)
		if (strcmp(list_item(l, struct shelf, link)->dir, dir) == 0)
			return list_item(l, struct shelf, link);
	return NULL;
}

static struct shelf *find_or_make(const char *dir)
{
	struct shelf *s;

	pthread_mutex_lock(&lock);
	s = find(dir);
	if (!s) {
		s = calloc(1, sizeof(*s));
		assert(s);
		s->dir = strdup(dir);
		memory_catalogue_init(&s->memory, UINT64_C(1) << 40);
		list_append(&shelves, &s->link);
	}
	pthread_mutex_unlock(&lock);
	return s;
}

struct memory_catalogue *memory_disk(const char *dir)
{
	return &find_or_make(dir)->memory;
}

void memory_disk_hold(bool hold)
{
	pthread_mutex_lock(&lock);
	held = hold;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
}

void memory_disk_forget(void)
{
	while (!list_empty(&shelves)) {
		struct shelf *s = list_item(shelves.next, struct shelf, link);

		assert(!s->open);
		list_remove(&s->link);
		memory_catalogue_free(&s->memory);
		free(s->dir);
		free(s);
	}
}

/* ---- shelf.h ---- */

int shelf_open(const char *dir, struct store *store, struct shelf **out, char *why, size_t why_size)
{
	struct shelf *s = find_or_make(dir);

	(void)store;
	(void)why;
	(void)why_size;
	assert(!s->open);
	s->open = true;
	*out = s;
	return 0;
}

int shelf_close(struct shelf *s)
{
	s->open = false;
	return 0;
}

struct catalogue *shelf_catalogue(struct shelf *s)
{
	return &s->memory.catalogue;
}

void shelf_totals(struct shelf *s, struct shelf_totals *out)
{
	(void)s;
	*out = (struct shelf_totals){ .owned = 0 };
}

/* ---- disk.h ---- */

static void *answer(void *arg)
{
	struct disk *d = arg;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct answer *a;

		while ((list_empty(&d->answers) || held) && !d->closing)
			pthread_cond_wait(&moved, &lock);
		if (list_empty(&d->answers))
			break;
		a = list_item(d->answers.next, struct answer, link);
		list_remove(&a->link);
		pthread_mutex_unlock(&lock);
		d->done(d->arg, &a->event);
		free(a);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

int disk_open(const struct disk_options *o, struct disk **out)
{
	struct disk *d = calloc(1, sizeof(*d));

	assert(d);
	d->shelf = o->shelf;
	d->done = o->done;
	d->arg = o->arg;
	list_init(&d->answers);
	*out = d;
	return -pthread_create(&d->thread, NULL, answer, d);
}

void disk_close(struct disk *d)
{
	pthread_mutex_lock(&lock);
	d->closing = true;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
	pthread_join(d->thread, NULL);
	free(d);
}

/* Done at once, in the thread that also reads the catalogue; told later. */
void disk_start(struct disk *d, const struct effect *e)
{
	struct answer *a = calloc(1, sizeof(*a));

	assert(a);
	memory_catalogue_apply(&d->shelf->memory, e, &a->event);
	pthread_mutex_lock(&lock);
	list_append(&d->answers, &a->link);
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
}
