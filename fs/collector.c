#include "fs/collector.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/program/log.h"
#include "dht/program/size.h"
#include "fs/now.h"
#include "fs/snapshots.h"

#define FREED_MIN	(UINT64_C(64) << 20)	/* bytes: less is not worth a collection */
#define FREED_PART	16u		/* nor is a smaller part of what is used */
#define NEAR_PART	8u		/* with less left than such a part the limit is near */
#define SPARE_PART	64u		/* of the limit; for directories and snapshots in a full store */
#define SPARE_MAX	(UINT64_C(8) << 20)
#define REST_TIMES	10u		/* a collection's own time, between two that nobody waits for */
#define WAIT_MS		20000u		/* for room */
#define ROUNDS_MAX	3u		/* that one write waits for */
#define HOPELESS_MS	10000u		/* after a round in vain, unless something is freed */
#define ASK_MS		100		/* between two looks whether to go on */

struct collector {
	struct collect_parts parts;
	pthread_t thread;
	uint64_t spare;			/* bytes reserved in the set; the thread's */
	atomic_uint_fast64_t freed;	/* bytes since the start */
	atomic_bool stop;

	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t wake;
	struct list waiting;		/* space_waiter */
	bool rested;
	bool running;			/* a collection, the thread's or somebody's */
	uint64_t freed_before;		/* the last collection */
	uint64_t not_before_ms;		/* the next one that nobody waits for */
	uint64_t vain_freed;		/* freed, when a round was in vain */
	uint64_t vain_ms;		/* until when the next would be; 0: it was not */
	struct collector_status status;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct timespec timespec_of(uint64_t at_ms)
{
	return (struct timespec){ (time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000 };
}

/* Tell those who wait: all of them, or with ${late} those whose time is over. */
static void answer(struct collector *c, bool late, int result)
{
	struct list tell, *l, *next;
	const uint64_t now = now_ms();

	list_init(&tell);
	pthread_mutex_lock(&c->lock);
	for (l = c->waiting.next; l != &c->waiting; l = next) {
		next = l->next;
		if (late && list_item(l, struct space_waiter, link)->until_ms > now)
			continue;
		list_remove(l);
		list_append(&tell, l);
	}
	/* collector_leave() may still take one out of this list. */
	while (!list_empty(&tell)) {
		struct space_waiter *w = list_item(tell.next, struct space_waiter, link);

		list_remove(&w->link);
		w->waiting = false;
		pthread_mutex_unlock(&c->lock);
		w->ready(w, result);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

static bool go_on(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	struct collector *c = arg;

	(void)phase, (void)done, (void)total;
	answer(c, true, -ENOSPC);
	return !atomic_load(&c->stop);
}

/* What nobody waits for gives way to who waits. */
static bool go_on_unless_wanted(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	struct collector *c = arg;
	bool wanted;

	pthread_mutex_lock(&c->lock);
	wanted = !list_empty(&c->waiting);
	pthread_mutex_unlock(&c->lock);
	return go_on(c, phase, done, total) && !(wanted && phase == COLLECT_CLEAN);
}

/* So that the newest one has nothing of what was removed since. */
struct snapshot_wait {
	struct snapshot_waiter w;
	sem_t done;
};

static void snapshot_done(struct snapshot_waiter *w, int result)
{
	(void)result;
	sem_post(&((struct snapshot_wait *)w)->done);
}

static int take_snapshot(struct collector *c, collect_tell *tell, void *arg)
{
	struct snapshot_wait w = { .w = { .done = snapshot_done } };
	int rc = 0;

	sem_init(&w.done, 0, 0);
	snapshots_wait(c->parts.snapshots, &w.w);
	for (;;) {
		const struct timespec until = timespec_of(now_ms() + ASK_MS);

		if (sem_clockwait(&w.done, CLOCK_MONOTONIC, &until) == 0)
			break;
		if (rc == 0 && !tell(arg, COLLECT_WAIT, 0, 0))
			rc = -ECANCELED;
		if (rc < 0 && snapshots_leave(c->parts.snapshots, &w.w))
			break;
	}
	sem_destroy(&w.done);
	/* One that failed, for want of room perhaps, leaves the older one as the newest: so be it. */
	return rc;
}

/* One at a time. */
static int begin(struct collector *c, collect_tell *tell, void *arg)
{
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	while (c->running && rc == 0) {
		const struct timespec until = timespec_of(now_ms() + ASK_MS);

		pthread_cond_timedwait(&c->wake, &c->lock, &until);
		pthread_mutex_unlock(&c->lock);
		if (!tell(arg, COLLECT_WAIT, 0, 0))
			rc = -ECANCELED;
		pthread_mutex_lock(&c->lock);
	}
	if (rc == 0)
		c->running = true;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void end(struct collector *c)
{
	pthread_mutex_lock(&c->lock);
	c->running = false;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

struct cleaning {
	collect_tell *tell;
	void *arg;
};

static bool tell_cleaning(void *arg, const struct dht_progress *p)
{
	struct cleaning *i = arg;

	return i->tell(i->arg, COLLECT_CLEAN, p->done, p->total);
}

static int clean(struct collector *c, bool urgent, collect_tell *tell, void *arg, uint64_t *bytes)
{
	struct cleaning i = { tell, arg };
	struct dht_gc_count given = { .bytes = 0 };
	int rc = dht_clean(c->parts.dht, urgent, tell_cleaning, &i, &given);

	*bytes += given.bytes;
	return rc;
}

/* One collection, and what is to be remembered of it. */
static int collect_once(struct collector *c, bool dry_run, uint64_t need, collect_tell *tell,
    void *arg, struct collect_result *out)
{
	const uint64_t start_ms = now_ms(), freed = atomic_load(&c->freed);
	int rc = collect(&c->parts, dry_run, need, tell, arg, out);

	pthread_mutex_lock(&c->lock);
	c->not_before_ms = now_ms() + REST_TIMES * (now_ms() - start_ms);
	if (rc == 0)
		c->status.old_bytes = out->old.bytes;
	if (rc == 0 && !dry_run) {
		c->freed_before = freed;
		c->status.time = fs_now().sec;
		c->status.removed_bytes = out->garbage.bytes;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void log_round(const struct collect_result *r, uint64_t cleaned)
{
	char removed[SIZE_TEXT_LEN], given[SIZE_TEXT_LEN];

	if (r->garbage.chunks == 0 && cleaned == 0)
		return;
	log_line(r->dropped > 0 ? LOG_NOTICE : LOG_INFO, "collection: %" PRIu64 " chunks, %s, removed; "
	    "%s given back; %u old snapshots dropped to make room", r->garbage.chunks,
	    size_format(r->garbage.bytes, removed), size_format(cleaned, given), r->dropped);
}

static uint64_t missing(struct collector *c)
{
	struct dht_space space;
	uint64_t want;

	dht_space(c->parts.dht, &space);
	want = space.limit / NEAR_PART;
	return space.available < want ? want - space.available : 0;
}

/* What others have, too, first; then what nobody needs; then, for what is still missing, old snapshots. */
static int collect_urgent(struct collector *c, struct collect_result *out, uint64_t *cleaned, bool *room)
{
	struct cleaning i = { go_on, c };
	struct collect_result more;
	uint64_t need;
	int rc = dht_make_room(c->parts.dht, tell_cleaning, &i);

	*room = rc > 0;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = take_snapshot(c, go_on, c);
	if (rc == 0)
		rc = collect_once(c, false, 0, go_on, c, out);
	if (rc == 0)
		rc = clean(c, true, go_on, c, cleaned);
	while (rc == 0 && out->old.bytes > 0 && (need = missing(c)) > 0) {
		need = need < out->old.bytes ? need : out->old.bytes;
		rc = collect_once(c, false, need, go_on, c, &more);
		out->garbage.chunks += more.garbage.chunks;
		out->garbage.bytes += more.garbage.bytes;
		out->old = more.old;
		out->dropped += more.dropped;
		if (rc == 0)
			rc = clean(c, true, go_on, c, cleaned);
	}
	return rc;
}

/* Promised to nobody, so that a full store has room for what leads to its being less full. */
static void take_spare(struct collector *c)
{
	struct dht_space space;
	uint64_t want;

	dht_space(c->parts.dht, &space);
	want = space.limit / SPARE_PART;
	want = want < SPARE_MAX ? want : SPARE_MAX;
	if (want > c->spare && dht_reserve(c->parts.dht, want - c->spare) == 0)
		c->spare = want;
}

static void run_round(struct collector *c, bool urgent)
{
	const uint64_t freed = atomic_load(&c->freed);
	struct collect_result r = { .dropped = 0 };
	uint64_t cleaned = 0;
	bool room = false;
	int rc = begin(c, go_on, c);

	if (rc < 0)
		return;
	if (urgent)
		rc = collect_urgent(c, &r, &cleaned, &room);
	else
		rc = collect_once(c, false, 0, go_on, c, &r);
	if (rc == 0 && !urgent)
		rc = clean(c, false, go_on_unless_wanted, c, &cleaned);
	take_spare(c);
	end(c);
	log_round(&r, cleaned);
	if (rc < 0 && rc != -ECANCELED)
		log_line(LOG_ERR, "collection: %s", strerror(-rc));
	if (!urgent)
		return;
	pthread_mutex_lock(&c->lock);
	c->vain_freed = freed;
	c->vain_ms = room || r.garbage.bytes + cleaned > 0 ? 0 : now_ms() + HOPELESS_MS;
	pthread_mutex_unlock(&c->lock);
	answer(c, false, 0);
}

enum wish { NOTHING, LATER, BACKGROUND, URGENT };

/* What the state of things asks for; under the lock, which is left for a look at the disk. */
static enum wish wish(struct collector *c)
{
	uint64_t freed, enough;
	struct dht_space space;

	if (!list_empty(&c->waiting))
		return URGENT;
	if (!c->rested)
		return NOTHING;
	if (now_ms() < c->not_before_ms)
		return LATER;
	c->rested = false;
	freed = atomic_load(&c->freed) - c->freed_before;
	if (freed == 0 && c->status.old_bytes == 0)
		return NOTHING;
	pthread_mutex_unlock(&c->lock);
	dht_space(c->parts.dht, &space);
	pthread_mutex_lock(&c->lock);
	enough = space.used / FREED_PART;
	if (space.available < space.limit / NEAR_PART)
		return URGENT;
	return freed >= (enough > FREED_MIN ? enough : FREED_MIN) ? BACKGROUND : NOTHING;
}

static void *collector_thread(void *arg)
{
	struct collector *c = arg;
	enum wish what;
	uint64_t cleaned = 0;

	take_spare(c);
	/* What a run before this one has left to do. */
	if (begin(c, go_on, c) == 0) {
		clean(c, false, go_on_unless_wanted, c, &cleaned);
		end(c);
	}
	pthread_mutex_lock(&c->lock);
	while (!atomic_load(&c->stop)) {
		what = wish(c);
		if (what == LATER) {
			const struct timespec until = timespec_of(c->not_before_ms);

			pthread_cond_timedwait(&c->wake, &c->lock, &until);
			continue;
		}
		if (what == NOTHING) {
			/* Unless that has come while the lock was left for a moment. */
			if (!c->rested && list_empty(&c->waiting) && !atomic_load(&c->stop))
				pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		run_round(c, what == URGENT);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int collector_start(const struct collect_parts *p, struct collector **out)
{
	struct collector *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;
	int rc;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->parts = *p;
	/* Nobody knows what was freed in earlier runs: the first rest has a look. */
	atomic_init(&c->freed, UINT64_MAX / 2);
	atomic_init(&c->stop, false);
	list_init(&c->waiting);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	rc = -pthread_create(&c->thread, NULL, collector_thread, c);
	if (rc < 0) {
		collector_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void collector_stop(struct collector *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->stop, true);
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	answer(c, false, -ENOSPC);
	dht_release(c->parts.dht, c->spare);
	c->spare = 0;
}

void collector_free(struct collector *c)
{
	if (!c)
		return;
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void collector_freed(struct collector *c, uint64_t bytes)
{
	if (c)
		atomic_fetch_add(&c->freed, bytes);
}

void collector_rested(void *arg)
{
	struct collector *c = arg;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->rested = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

int collector_wait(struct collector *c, struct space_waiter *w)
{
	int rc = 0;

	if (!c)
		return -ENOSPC;
	pthread_mutex_lock(&c->lock);
	if (w->rounds++ == 0)
		w->until_ms = now_ms() + WAIT_MS;
	if (atomic_load(&c->stop) || w->rounds > ROUNDS_MAX || now_ms() >= w->until_ms ||
	    (now_ms() < c->vain_ms && atomic_load(&c->freed) == c->vain_freed)) {
		rc = -ENOSPC;
	} else {
		list_append(&c->waiting, &w->link);
		w->waiting = true;
		pthread_cond_broadcast(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

bool collector_leave(struct collector *c, struct space_waiter *w)
{
	bool waited;

	if (!c)
		return false;
	pthread_mutex_lock(&c->lock);
	waited = w->waiting;
	if (waited)
		list_remove(&w->link);
	w->waiting = false;
	pthread_mutex_unlock(&c->lock);
	return waited;
}

int collector_run(struct collector *c, bool dry_run, collect_tell *tell, void *arg,
    struct collect_result *out, uint64_t *cleaned)
{
	int rc;

	*out = (struct collect_result){ .dropped = 0 };
	*cleaned = 0;
	if (!c)
		return -EROFS;
	rc = begin(c, tell, arg);
	if (rc < 0)
		return rc;
	rc = take_snapshot(c, tell, arg);
	if (rc == 0)
		rc = collect_once(c, dry_run, 0, tell, arg, out);
	if (rc == 0 && !dry_run)
		rc = clean(c, true, tell, arg, cleaned);
	end(c);
	return rc;
}

void collector_status(struct collector *c, struct collector_status *out)
{
	*out = (struct collector_status){ 0 };
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	*out = c->status;
	pthread_mutex_unlock(&c->lock);
}
