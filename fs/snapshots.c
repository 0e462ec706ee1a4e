#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "dht/program/log.h"
#include "fs/snapshots_impl.h"

#define REST_S	5	/* without changes, before a snapshot is taken */

static struct timespec plus(struct timespec t, int seconds)
{
	t.tv_sec += seconds;
	return t;
}

static bool before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/*
 * One snapshot serves all that have no note to add to it, or only the one who has.  The note is
 * copied, for its owner may leave.
 */
struct wanted {
	bool asked;	/* somebody waits for it */
	bool last;
	char *note;
	int result;	/* of the copy */
};

static void serve_waiters(struct snapshots *s, struct wanted *wanted)
{
	bool alone = false;

	while (!list_empty(&s->waiting) && !alone) {
		struct snapshot_waiter *w =
		    list_item(s->waiting.next, struct snapshot_waiter, link);

		alone = w->note;
		if (alone && wanted->asked)
			break;
		list_remove(&w->link);
		list_append(&s->served, &w->link);
		wanted->asked = true;
		if (alone && !(wanted->note = strdup(w->note)))
			wanted->result = -ENOMEM;
	}
}

/* Waits until one is wanted; false: the end. */
static bool next_snapshot(struct snapshots *s, struct wanted *wanted)
{
	struct timespec now, due;
	bool more;

	pthread_mutex_lock(&s->lock);
	while (list_empty(&s->waiting) && !s->stop) {
		if (!s->changed) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		due = plus(s->last_change, REST_S);
		if (before(plus(s->first_change, SNAPSHOT_EVERY_S), due))
			due = plus(s->first_change, SNAPSHOT_EVERY_S);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!before(now, due))
			break;
		pthread_cond_timedwait(&s->wake, &s->lock, &due);
	}
	*wanted = (struct wanted){ .last = s->stop };
	serve_waiters(s, wanted);
	more = wanted->asked || !s->stop;
	s->changed = false;
	pthread_mutex_unlock(&s->lock);
	return more;
}

static void answer(struct snapshots *s, int result, const struct ref *ref)
{
	pthread_mutex_lock(&s->lock);
	while (!list_empty(&s->served)) {
		struct snapshot_waiter *w =
		    list_item(s->served.next, struct snapshot_waiter, link);

		list_remove(&w->link);
		w->waiting = false;
		pthread_mutex_unlock(&s->lock);
		w->ref = *ref;
		w->done(w, result);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

static int take_any(struct snapshots *s, const struct wanted *wanted, struct ref *ref,
    int *unflushed)
{
	if (wanted->result < 0)
		return wanted->result;
	return s->o.read_only ? snapshot_take_read_only(s, wanted->note, ref) :
	    snapshot_take(s, wanted->note, wanted->asked || wanted->last, ref, unflushed);
}

static void tell_rest(struct snapshots *s)
{
	/* Under the lock, so that snapshots_on_rest(s, NULL, NULL) ends it for good. */
	pthread_mutex_lock(&s->lock);
	if (s->on_rest)
		s->on_rest(s->on_rest_arg);
	pthread_mutex_unlock(&s->lock);
}

void snapshots_on_rest(struct snapshots *s, void (*f)(void *arg), void *arg)
{
	pthread_mutex_lock(&s->lock);
	s->on_rest = f;
	s->on_rest_arg = arg;
	pthread_mutex_unlock(&s->lock);
}

static void *snapshots_thread(void *arg)
{
	struct snapshots *s = arg;
	struct wanted wanted;
	bool more;
	int r;

	do {
		struct ref ref = { .hash = 0 };
		int unflushed = 0;

		more = next_snapshot(s, &wanted);
		if (!wanted.asked && s->o.read_only)
			continue;
		r = take_any(s, &wanted, &ref, &unflushed);
		free(wanted.note);
		if (r < 0 && !s->o.read_only && r != s->last_result)
			log_line(LOG_ERR, "snapshot failed: %s", strerror(-r));
		s->last_result = r;
		/* It is tried again after a rest. */
		if (r < 0 && !s->o.read_only && !tree_failed(s->o.tree))
			snapshots_changed(s);
		/* Changes have rested: what they needed for a while goes back to the system. */
		if (!wanted.asked)
			malloc_trim(0);
		answer(s, r < 0 ? r : unflushed, &ref);
		tell_rest(s);
	} while (more);
	return NULL;
}

void snapshots_changed(void *arg)
{
	struct snapshots *s = arg;

	pthread_mutex_lock(&s->lock);
	clock_gettime(CLOCK_MONOTONIC, &s->last_change);
	if (!s->changed) {
		s->changed = true;
		s->first_change = s->last_change;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
}

static void destroy(struct snapshots *s)
{
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->taking);
	free(s->kept);
	free(s);
}

int snapshots_start(const struct snapshots_options *o, struct snapshots **out)
{
	struct snapshots *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int r;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->o = *o;
	s->newest_stays = true;
	list_init(&s->waiting);
	list_init(&s->served);
	waiting_source_init(&s->source, o->dht, o->cache);
	dht_sink_init(&s->sink, o->dht);
	pthread_mutex_init(&s->taking, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = snapshots_load(s);
	if (r == 0)
		r = -pthread_create(&s->thread, NULL, snapshots_thread, s);
	if (r < 0) {
		destroy(s);
		return r;
	}
	checkpoint_on_commit(o->checkpoint, snapshots_changed, s);
	*out = s;
	return 0;
}

int snapshots_stop(struct snapshots *s)
{
	int r;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	checkpoint_on_commit(s->o.checkpoint, NULL, NULL);
	r = s->last_result;
	destroy(s);
	return r;
}

void snapshots_wait(struct snapshots *s, struct snapshot_waiter *w)
{
	pthread_mutex_lock(&s->lock);
	list_append(&s->waiting, &w->link);
	w->waiting = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

bool snapshots_leave(struct snapshots *s, struct snapshot_waiter *w)
{
	bool was;

	pthread_mutex_lock(&s->lock);
	was = w->waiting;
	if (was) {
		list_remove(&w->link);
		w->waiting = false;
	}
	pthread_mutex_unlock(&s->lock);
	return was;
}
