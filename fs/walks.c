/*
 * A walk through one directory:
 *
 *   state    | event                                       | function    | next
 *   ---------+---------------------------------------------+-------------+---------------------------------------------
 *   -        | a name is come to                           | walk_get    | found
 *   -        | entered from one that is walked             | walk_enter  | placed, at its beginning; a step
 *   found    | a name behind the last                      | come        | found; a step that finds the place of both
 *   found    | ... they are near each other                | step_done   | placed
 *   placed   | a name behind the mark, half of what was looked ahead | come | placed; a step
 *   placed   | the step came to the last name              | step_done   | ended
 *   any      | a name before the last; a jump; an error    | come, step_done | found, at that name
 *
 * A step is a fetch, one a walk at a time.  What it finds is the walk's only if that is still the one for which it began.
 */
#include "fs/walks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/list.h"
#include "fs/fetch.h"

struct spot {
	char name[NAME_LEN_MAX + 1];	/* "": before all names */
};

struct walk {
	struct list link;
	uint64_t dir;			/* 0: free */
	struct ref ref;
	struct spot first, last;	/* come to in order, and ... */
	unsigned int names;		/* ... so many, 2 at most */
	unsigned int unread;		/* directories entered since a file was read, here or below; WALK_UNREAD at most */
	unsigned int window;		/* names of the next step */
	bool placed, ended;
	uint64_t at;			/* the number of the first name that was not looked ahead */
	struct spot mark;		/* who comes to this, or is behind it, makes the next step */
	struct step *step;		/* under way, or NULL */
};

struct walks {
	struct dht *dht;
	struct cache *cache;
	uint64_t bytes;			/* of one step */
	pthread_mutex_t lock;		/* covers what follows */
	pthread_cond_t none;
	struct walk walk[WALKS];
	struct list used;		/* of longest ago first */
	struct list steps;
	bool ending;
};

/* What a step needs of its walk, and what it finds. */
struct step {
	struct fetch fetch;
	struct list link;
	struct walks *walks;
	struct walk *walk;
	struct ref ref;
	struct spot first, last, mark;
	bool placed, files, marked, ended, far;
	unsigned int window, looked, passed;
	uint64_t at, bytes;
};

static int compare(const struct entry *e, const struct spot *s)
{
	size_t len = strlen(s->name);
	int order = memcmp(e->name, s->name, e->name_len < len ? e->name_len : len);

	return order ? order : (int)e->name_len - (int)len;
}

static void spot_set(struct spot *s, const char *name, size_t len)
{
	memcpy(s->name, name, len);
	s->name[len] = '\0';
}

/* ---- a step ---- */

/* The number of the first name that is not before ${s}. */
static int find(struct directory_cursor *c, uint64_t names, const struct spot *s, uint64_t *out)
{
	uint64_t low = 0, high = names;
	struct entry e;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int rc = directory_cursor_seek(c, middle);

		if (rc == 0)
			rc = directory_cursor_next(c, &e);
		if (rc <= 0)
			return rc < 0 ? rc : -EBADMSG;
		if (compare(&e, s) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*out = low;
	return 0;
}

static int find_place(struct step *s, struct directory_cursor *c)
{
	uint64_t first, last;
	int rc = find(c, s->ref.size, &s->first, &first);

	if (rc == 0)
		rc = find(c, s->ref.size, &s->last, &last);
	if (rc < 0)
		return rc;
	s->far = last - first > WALK_NEAR;
	s->placed = !s->far;
	s->at = last;
	return 0;
}

static void look_up(struct step *s, const struct entry *e)
{
	struct walks *ws = s->walks;

	if (S_ISDIR(e->mode)) {
		fetch_ahead(ws->dht, ws->cache, KIND_DIRECTORY, &e->ref.address);
	} else if (S_ISREG(e->mode) && s->files && e->size > 0) {
		/* Of a long one the first node of its index; its reader is read ahead for. */
		fetch_ahead(ws->dht, ws->cache, (enum kind)e->ref.kind, &e->ref.address);
		s->bytes += e->size < CHUNK_MAX ? e->size : CHUNK_MAX;
	}
}

static int look_ahead(struct step *s, struct directory_cursor *c)
{
	uint64_t most = s->walks->bytes;
	struct entry e;
	int rc = directory_cursor_seek(c, s->at);

	while (rc == 0 && s->looked < s->window && s->bytes < most && !s->far) {
		rc = directory_cursor_next(c, &e);
		if (rc <= 0)
			break;
		rc = 0;
		s->at++;
		/* Its reader has gone by. */
		if (compare(&e, &s->last) <= 0) {
			s->far = ++s->passed > WALK_NAMES_MAX;
			continue;
		}
		look_up(s, &e);
		s->looked++;
		if (!s->marked && (s->looked >= s->window / 2 || s->bytes >= most / 2)) {
			spot_set(&s->mark, e.name, e.name_len);
			s->marked = true;
		}
		s->ended = s->at == s->ref.size;
	}
	return rc;
}

/* Runs again when a node of the directory has come; what was done by then is in the step. */
static int run(struct fetch *f)
{
	struct step *s = (struct step *)f;
	struct directory_cursor *c = directory_cursor_new(&f->source, &s->ref);
	int rc = c ? 0 : -ENOMEM;

	if (rc == 0 && !s->placed)
		rc = find_place(s, c);
	if (rc == 0 && s->placed)
		rc = look_ahead(s, c);
	directory_cursor_free(c);
	return rc;
}

/* Under the lock: it begins at the name that was come to last. */
static void restart(struct walk *w)
{
	w->first = w->last;
	w->names = 1;
	w->placed = w->ended = false;
	w->window = WALK_NAMES_MIN;
	w->step = NULL;
}

static void step_done(struct fetch *f, int result)
{
	struct step *s = (struct step *)f;
	struct walks *ws = s->walks;
	struct walk *w;

	fetch_clear(f);
	pthread_mutex_lock(&ws->lock);
	w = s->walk;
	if (w->step == s && (result < 0 || s->far)) {
		restart(w);
	} else if (w->step == s) {
		w->step = NULL;
		w->placed = true;
		w->ended = s->ended;
		w->at = s->at;
		w->mark = s->mark;
		w->window = 2 * w->window < WALK_NAMES_MAX ? 2 * w->window : WALK_NAMES_MAX;
	}
	list_remove(&s->link);
	if (list_empty(&ws->steps))
		pthread_cond_broadcast(&ws->none);
	pthread_mutex_unlock(&ws->lock);
	free(s);
}

/* Under the lock: the step that is due, to be started without it; NULL: none. */
static struct step *step_due(struct walks *ws, struct walk *w)
{
	struct step *s;

	if (w->step || w->ended || ws->ending || (w->placed ? strcmp(w->last.name, w->mark.name) < 0 : w->names < 2))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->walks = ws;
	s->walk = w;
	s->ref = w->ref;
	s->first = w->first;
	s->last = w->last;
	s->placed = w->placed;
	s->at = w->at;
	s->files = w->unread < WALK_UNREAD;
	s->window = w->window;
	s->fetch.run = run;
	s->fetch.done = step_done;
	fetch_init(&s->fetch, ws->dht, ws->cache);
	w->step = s;
	list_append(&ws->steps, &s->link);
	return s;
}

/* ---- walks ---- */

/* Under the lock. */
static struct walk *walk_find(struct walks *ws, const struct view_node *dir)
{
	/* The newest is the likeliest. */
	for (struct list *l = ws->used.prev; l != &ws->used; l = l->prev) {
		struct walk *w = list_item(l, struct walk, link);

		if (w->dir == dir->ino && ref_equal(&w->ref, &dir->ref))
			return w;
	}
	return NULL;
}

/* Under the lock. */
static struct walk *walk_get(struct walks *ws, const struct view_node *dir)
{
	struct walk *w = walk_find(ws, dir);

	if (!w) {
		w = list_item(ws->used.next, struct walk, link);
		w->dir = dir->ino;
		w->ref = dir->ref;
		w->last.name[0] = '\0';
		w->unread = WALK_UNREAD;
		restart(w);
		w->names = 0;
	}
	list_remove(&w->link);
	list_append(&ws->used, &w->link);
	return w;
}

/* Under the lock: ${n} is the next. */
static void come(struct walk *w, const struct view_node *n)
{
	int order = strcmp(n->name, w->last.name);

	if (order == 0)
		return;
	spot_set(&w->last, n->name, n->name_len);
	if (order < 0 || w->names == 0)
		restart(w);
	else
		w->names = 2;
}

/* Under the lock. */
static bool walked(const struct walk *w)
{
	return w->placed || w->names > 1;
}

/* Under the lock: the walk through ${from} goes on in ${dir}. */
static struct walk *walk_enter(struct walks *ws, const struct walk *from, const struct view_node *dir)
{
	unsigned int unread = from->unread;
	struct walk *w = walk_get(ws, dir);

	w->last.name[0] = w->mark.name[0] = '\0';
	restart(w);
	w->unread = unread;
	w->placed = true;
	w->at = 0;
	return w;
}

static bool in_directory(const struct view_node *n)
{
	return n->type == VIEW_ENTRY && n->parent && n->parent->type == VIEW_ENTRY;
}

void walks_file(struct walks *ws, const struct view_node *n)
{
	struct step *s;
	struct walk *w;

	if (!in_directory(n))
		return;
	pthread_mutex_lock(&ws->lock);
	w = walk_get(ws, n->parent);
	come(w, n);
	w->unread = 0;
	s = step_due(ws, w);
	/* What comes behind this directory will be read, too. */
	if (in_directory(n->parent) && (w = walk_find(ws, n->parent->parent)))
		w->unread = 0;
	pthread_mutex_unlock(&ws->lock);
	if (s)
		fetch_start(&s->fetch);
}

void walks_directory(struct walks *ws, const struct view_node *n)
{
	struct step *outer, *inner = NULL;
	struct walk *w;

	if (!in_directory(n))
		return;
	pthread_mutex_lock(&ws->lock);
	w = walk_get(ws, n->parent);
	come(w, n);
	w->unread += w->unread < WALK_UNREAD;
	outer = step_due(ws, w);
	if (walked(w)) {
		w = walk_enter(ws, w, n);
		inner = step_due(ws, w);
	}
	pthread_mutex_unlock(&ws->lock);
	/* What is needed first. */
	if (inner)
		fetch_start(&inner->fetch);
	if (outer)
		fetch_start(&outer->fetch);
}

struct walks *walks_new(struct dht *dht, struct cache *cache)
{
	struct walks *ws = calloc(1, sizeof(*ws));

	_Static_assert(offsetof(struct step, fetch) == 0, "run() and step_done() rely on it");
	if (!ws)
		return NULL;
	ws->dht = dht;
	ws->cache = cache;
	ws->bytes = cache_bytes_max(cache) / 8 < WALK_BYTES_MAX ? cache_bytes_max(cache) / 8 : WALK_BYTES_MAX;
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->none, NULL);
	list_init(&ws->used);
	list_init(&ws->steps);
	for (unsigned int i = 0; i < WALKS; i++)
		list_append(&ws->used, &ws->walk[i].link);
	return ws;
}

void walks_free(struct walks *ws)
{
	if (!ws)
		return;
	pthread_mutex_lock(&ws->lock);
	ws->ending = true;
	for (struct list *l = ws->steps.next; l != &ws->steps; l = l->next)
		fetch_cancel(&list_item(l, struct step, link)->fetch);
	while (!list_empty(&ws->steps))
		pthread_cond_wait(&ws->none, &ws->lock);
	pthread_mutex_unlock(&ws->lock);
	pthread_cond_destroy(&ws->none);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}
