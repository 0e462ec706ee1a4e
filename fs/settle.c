#include "fs/settle.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "dht/program/log.h"
#include "dht/program/process.h"
#include "dht/program/progress.h"
#include "fs/fs.h"

#define LOOK_MS		200u
#define SAY_EVERY_MS	30000u

uint64_t settle_left(const struct dht_waiting *w)
{
	return w->out + w->unleased + w->head_waits;
}

bool settle_over(int error)
{
	return error == -EUCLEAN || error == -EKEYREVOKED || error == -ESHUTDOWN;
}

const char *settle_explain(int error)
{
	switch (error) {
	case -EUCLEAN:
		return "another machine writes this volume too; what is here is kept, but can be published no more: "
		    "copy it to a volume of another store";
	case -EKEYREVOKED:
		return "the volume was retired";
	case -ESHUTDOWN:
		return "this node takes no part in the ring any more: 'dhtctl status' says why";
	case -EHOSTUNREACH:
		return "too few other nodes can be reached";
	case -ETIMEDOUT:
		return "the ring did not answer in time";
	case -ENOSPC:
		return "the other nodes are full";
	default:
		return strerror(-error);
	}
}

struct last_snapshot {
	struct snapshot_waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
};

static void taken(struct snapshot_waiter *w, int result)
{
	struct last_snapshot *s = (struct last_snapshot *)w;

	(void)result;
	pthread_mutex_lock(&s->lock);
	s->done = true;
	pthread_cond_signal(&s->over);
	pthread_mutex_unlock(&s->lock);
}

/* If it fails, the snapshots' thread has said so. */
static void take_last(struct fs *fs)
{
	struct last_snapshot s = { .waiter.done = taken, .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER };

	snapshots_wait(fs->snapshots, &s.waiter);
	pthread_mutex_lock(&s.lock);
	while (!s.done)
		pthread_cond_wait(&s.over, &s.lock);
	pthread_mutex_unlock(&s.lock);
}

/* A question that nobody waits for makes the publisher try now. */
struct nudge {
	struct dht_op op;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool running;
	int result;		/* of the last one */
};

static void nudged(struct dht_op *op)
{
	struct nudge *n = op->user;

	pthread_mutex_lock(&n->lock);
	n->running = false;
	n->result = op->result;
	pthread_cond_signal(&n->over);
	pthread_mutex_unlock(&n->lock);
}

static void nudge(struct nudge *n, struct dht *d)
{
	pthread_mutex_lock(&n->lock);
	if (n->running) {
		pthread_mutex_unlock(&n->lock);
		return;
	}
	n->running = true;
	pthread_mutex_unlock(&n->lock);
	n->op = (struct dht_op){ .done = nudged, .user = n };
	dht_published(d, &n->op);
}

/* It has just been tried, in vain. */
static bool nudge_failed(struct nudge *n)
{
	int result;

	pthread_mutex_lock(&n->lock);
	result = n->result;
	pthread_mutex_unlock(&n->lock);
	return result < 0;
}

static void nudge_end(struct nudge *n)
{
	pthread_mutex_lock(&n->lock);
	if (n->running)
		dht_cancel(&n->op);
	while (n->running)
		pthread_cond_wait(&n->over, &n->lock);
	pthread_mutex_unlock(&n->lock);
}

static uint64_t ms_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - t->tv_sec) * 1000 + (now.tv_nsec - t->tv_nsec) / 1000000);
}

/* True: a signal came. */
static bool pause_or_signal(void)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	sigset_t set;

	process_block_signals(&set);
	return sigtimedwait(&set, NULL, &pause) > 0;
}

static bool within(void *arg, const struct dht_progress *p)
{
	const struct timespec *start = arg;

	(void)p;
	return ms_since(start) < SETTLE_MS;
}

static int error_of(const struct dht_waiting *w)
{
	return settle_over(w->head_error) || !w->error ? w->head_error : w->error;
}

static void say(const struct dht_waiting *w, bool last)
{
	int error = error_of(w);

	log_line(last ? LOG_WARNING : LOG_NOTICE, "%s%" PRIu64 " chunks are on too few other machines, %" PRIu64 " in no lease, and the newest snapshot is %s%s%s%s",
	    last ? "not all is safe from the loss of this machine: " : "waiting: ", w->out, w->unleased,
	    w->head_waits ? "not published" : "published", error ? ": " : "", error ? settle_explain(error) : "",
	    last && !settle_over(error) ? "; it goes on when the store is mounted again" : "");
}

static void wait_all(struct fs *fs, struct dht_waiting *w)
{
	const bool forever = fs->options->settings.wait;
	struct timespec start, lease, *until = forever ? &lease : &start;
	struct nudge n = { .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER };
	struct progress progress;
	uint64_t most = 0, left, said = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	progress_start(&progress, "safe");
	progress.counts = true;
	for (;;) {
		dht_waiting(fs->dht, w);
		left = settle_left(w);
		most = left > most ? left : most;
		if (left == 0 || settle_over(error_of(w)) || (!forever && (nudge_failed(&n) || ms_since(&start) >= SETTLE_MS)))
			break;
		if (forever)
			progress_update(&progress, most - left, most);
		if (forever && ms_since(&start) >= said) {
			say(w, false);
			said += SAY_EVERY_MS;
		}
		nudge(&n, fs->dht);
		/* Else it is done in half a minute. */
		clock_gettime(CLOCK_MONOTONIC, &lease);
		if (w->out == 0 && w->unleased > 0)
			dht_lease(fs->dht, within, until);
		if (pause_or_signal())
			break;
	}
	progress_end(&progress);
	nudge_end(&n);
}

void settle(struct fs *fs)
{
	struct dht_waiting w;

	if (!dht_peer(fs->dht) || fs->options->read_only)
		return;
	if (!fs->options->settings.wait)
		dht_ending(fs->dht);
	take_last(fs);
	wait_all(fs, &w);
	if (settle_left(&w) > 0)
		say(&w, true);
	else if (w.alone)
		log_line(LOG_WARNING, "what was written is on this machine only: " SETTLE_ALONE);
	else if (fs->options->settings.wait)
		log_line(LOG_NOTICE, "all that was written is safe from the loss of this machine");
}
