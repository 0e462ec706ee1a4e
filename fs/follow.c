/*
 * The thread's states:
 *
 *   state   | event                                  | function | next
 *   --------+----------------------------------------+----------+--------------------------
 *   ASKING  | there is a newer head, it can be shown | look     | RESTING for FOLLOW_EVERY_MS
 *   ASKING  | there is none                          | look     | RESTING, likewise
 *   ASKING  | it can't be asked for, or not be read  | look     | RESTING, each time for longer
 *   RESTING | the time is over                       | rest     | ASKING
 *   any     | follow_stop()                          |          | the end
 */
#include "fs/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/deadline.h"
#include "chunker/snapshot.h"
#include "dht/program/log.h"
#include "fs/byhash.h"
#include "fs/fetch.h"
#include "fs/fs.h"

#define FIRST_PAUSE_MS 500u	/* while there is nothing to show yet */

struct follow {
	struct fs *fs;
	uint8_t key[MEMBER_KEY];
	unsigned int timeout_ms;
	pthread_t thread;
	bool running;
	/* The thread's, and before it follow_start()'s: */
	struct fetch fetch;
	struct ref wanted;		/* the snapshot that is being fetched */
	unsigned int pause_ms;
	/* Under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping, fetching;
	int fetched;
	struct follow_status status;
	struct timespec asked;
};

static struct follow *of_fetch(struct fetch *f)
{
	return (struct follow *)((char *)f - offsetof(struct follow, fetch));
}

/* The snapshot, and the first names of its root: so that who looks at it next finds the root here. */
static int run(struct fetch *fetch)
{
	struct follow *f = of_fetch(fetch);
	struct directory_cursor *c;
	struct snapshot s;
	struct chunk *chunk;
	struct entry e;
	int r = fetch_want(fetch, KIND_SNAPSHOT, &f->wanted.address, &chunk);

	if (r == 0)
		r = snapshot_decode(chunk, &s);
	if (r < 0)
		return r;
	c = directory_cursor_new(&fetch->source, &s.root.ref);
	r = c ? directory_cursor_next(c, &e) : -ENOMEM;
	directory_cursor_free(c);
	if (r < 0)
		return r;
	r = byhash_show(f->fs->byhash, &s.root);
	pthread_mutex_lock(&f->lock);
	if (r == 0)
		f->status.time = s.time;
	pthread_mutex_unlock(&f->lock);
	return r;
}

static void fetched(struct fetch *fetch, int result)
{
	struct follow *f = of_fetch(fetch);

	pthread_mutex_lock(&f->lock);
	f->fetching = false;
	f->fetched = result;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

/* Fetch ${snapshot} and show it. */
static int show(struct follow *f, const struct ref *snapshot)
{
	bool stopping;
	int r;

	if (snapshot->kind != KIND_SNAPSHOT)
		return -EBADMSG;
	f->wanted = *snapshot;
	f->fetch = (struct fetch){ .run = run, .done = fetched };
	fetch_init(&f->fetch, f->fs->dht, f->fs->cache);
	pthread_mutex_lock(&f->lock);
	stopping = f->stopping;
	f->fetching = !stopping;
	pthread_mutex_unlock(&f->lock);
	if (!stopping)
		fetch_start(&f->fetch);
	pthread_mutex_lock(&f->lock);
	while (f->fetching)
		pthread_cond_wait(&f->changed, &f->lock);
	r = stopping ? -ECANCELED : f->fetched;
	pthread_mutex_unlock(&f->lock);
	fetch_clear(&f->fetch);
	return r;
}

/* One question, and what follows from the answer. */
static int look(struct follow *f, unsigned int timeout_ms)
{
	struct ref snapshot;
	uint64_t seq = 0, shown = f->status.seq;
	int r = dht_newest(f->fs->dht, f->key, timeout_ms, &seq, &snapshot);

	/* A root that it may not go back from is the ring's business too (dht/net/heads.h, rule 5). */
	if (r == 0 && seq > shown)
		r = show(f, &snapshot);
	if (r == -EBADMSG || (r == -ENOENT && seq > shown))
		r = -ENODATA;
	pthread_mutex_lock(&f->lock);
	if (r == 0 && seq > shown) {
		f->status.seq = seq;
		f->status.snapshot = snapshot;
	}
	if (r == 0)
		clock_gettime(CLOCK_MONOTONIC, &f->asked);
	f->status.error = r;
	pthread_mutex_unlock(&f->lock);
	return r;
}

/* True: it is to stop. */
static bool rest(struct follow *f, unsigned int ms)
{
	struct timespec until = deadline_in(CLOCK_MONOTONIC, ms);
	bool stop;

	pthread_mutex_lock(&f->lock);
	while (!f->stopping && pthread_cond_timedwait(&f->changed, &f->lock, &until) != ETIMEDOUT)
		continue;
	stop = f->stopping;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

static const char *explain(int error)
{
	switch (error) {
	case -ENOENT:
		return "the ring knows no volume with this key, or nothing of it was published yet";
	case -ENODATA:
		return "nobody has all of its newest snapshot";
	case -EHOSTUNREACH:
		return "too few nodes of the ring can be reached";
	case -ETIMEDOUT:
		return "the ring did not answer in time";
	case -EKEYREVOKED:
		return "the volume was retired";
	case -EUCLEAN:
		return "two machines have written the volume at a time; its snapshots can be read by their addresses";
	default:
		return strerror(-error);
	}
}

/* A change for the worse, or the better, is said once. */
static void say(struct follow *f, int before, int now)
{
	if (now < 0 && now != before)
		log_line(LOG_WARNING, "following: %s; what is shown is of head %" PRIu64, explain(now), f->status.seq);
	else if (now == 0 && before < 0)
		log_line(LOG_NOTICE, "following: the ring answers again; what is shown is of head %" PRIu64, f->status.seq);
}

static void *follow_main(void *arg)
{
	struct follow *f = arg;
	int last = 0, r;

	while (!rest(f, f->pause_ms)) {
		r = look(f, f->timeout_ms);
		if (r == -ECANCELED)
			continue;
		say(f, last, r);
		last = r;
		f->pause_ms = r == 0 ? FOLLOW_EVERY_MS : f->pause_ms * 2 < FOLLOW_PAUSE_MS ? f->pause_ms * 2 : FOLLOW_PAUSE_MS;
	}
	return NULL;
}

static uint64_t ms_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - t->tv_sec) * 1000 + (now.tv_nsec - t->tv_nsec) / 1000000);
}

/* The ring is being joined meanwhile, so the first answers count for little. */
static int first(struct follow *f, char *why, size_t why_size)
{
	struct timespec start;
	uint64_t ms = 0;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while ((r = look(f, f->timeout_ms - (unsigned int)ms)) < 0 && r != -EKEYREVOKED && r != -EUCLEAN && r != -ENOMEM) {
		rest(f, FIRST_PAUSE_MS);
		ms = ms_since(&start);
		if (ms >= f->timeout_ms)
			break;
	}
	if (r < 0)
		snprintf(why, why_size, "there is nothing to follow after %" PRIu64 " s: %s", ms_since(&start) / 1000, explain(r));
	return r;
}

int follow_start(struct fs *fs, const uint8_t key[MEMBER_KEY], unsigned int timeout_ms, struct follow **out, char *why, size_t why_size)
{
	struct follow *f = calloc(1, sizeof(*f));
	pthread_condattr_t clock;
	int r;

	*out = NULL;
	if (!f)
		return -ENOMEM;
	f->fs = fs;
	memcpy(f->key, key, sizeof(f->key));
	memcpy(f->status.key, key, sizeof(f->key));
	f->timeout_ms = timeout_ms;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&f->changed, &clock);
	pthread_condattr_destroy(&clock);
	r = first(f, why, why_size);
	if (r == 0) {
		f->pause_ms = FOLLOW_EVERY_MS;
		r = -pthread_create(&f->thread, NULL, follow_main, f);
		f->running = r == 0;
	}
	if (r < 0) {
		follow_stop(f);
		return r;
	}
	*out = f;
	return 0;
}

void follow_stop(struct follow *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	pthread_cond_broadcast(&f->changed);
	if (f->fetching)
		fetch_cancel(&f->fetch);
	pthread_mutex_unlock(&f->lock);
	dht_newest_end(f->fs->dht);
	if (f->running)
		pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void follow_status(struct follow *f, struct follow_status *out)
{
	pthread_mutex_lock(&f->lock);
	*out = f->status;
	out->asked_s = ms_since(&f->asked) / 1000;
	pthread_mutex_unlock(&f->lock);
}
