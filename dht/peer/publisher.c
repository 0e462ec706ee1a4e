/*
 * The thread's states:
 *
 *   state  | event                                         | function   | next
 *   -------+-----------------------------------------------+------------+-------------------------------------------
 *   ASKING | the newest head is ours, or there is none yet | look       | RESTING
 *   ASKING | it is another writer's                        | look       | OVER
 *   ASKING | it can't be had                               | look       | ASKING, after a pause
 *   RESTING| a newer snapshot is set, its chunks are safe  | sign       | SENDING
 *   RESTING| ... they can't be made safe                   | sign       | RESTING, after a pause
 *   SENDING| it counts                                     | swap       | RESTING
 *   SENDING| another head is there                         | swap       | ASKING
 *   SENDING| it can't be told                              | swap       | SENDING the same bytes, after a pause
 *   any    | the volume has ended, or was forked           | look, swap | OVER: every wait says so
 *
 * A head that was signed is never replaced by another one of its seq: what became of it only the owners know (heads.h, rule 6).
 */
#include "dht/peer/publisher.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "chunker/deadline.h"
#include "dht/peer/errand.h"

#define PAUSE_MIN_MS 500u
#define PAUSE_MAX_MS 30000u

enum state { ASKING, RESTING, SENDING, OVER };

struct publisher {
	struct publisher_options o;
	struct volume_key volume;
	struct errand errand;
	pthread_t thread;
	/* The thread's: */
	enum state state;
	struct head base;		/* the newest that counts; seq 0: none */
	struct address base_hash;
	struct chunk *signed_head;	/* SENDING */
	uint64_t signed_set;		/* which set it is */
	uint32_t pause_ms;
	/* Under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct ref next;
	uint64_t set, counted;		/* numbers of publisher_set() calls */
	uint64_t seq;
	int error;
	bool stopping, ended;		/* ended: nobody is told any more */
	bool asked;			/* somebody waits, so there is no pause */
};

static void say(struct publisher *p, int priority, const char *text)
{
	if (p->o.log)
		p->o.log(p->o.arg, priority, text);
}

/* ${counted}: the set that counts now; 0 with an error: whoever waits is told of that. */
static void tell(struct publisher *p, int error, uint64_t counted)
{
	uint64_t ticket;

	pthread_mutex_lock(&p->lock);
	p->error = error;
	p->seq = p->base.seq;
	if (counted > p->counted)
		p->counted = counted;
	ticket = error ? p->set : p->counted;
	pthread_mutex_unlock(&p->lock);
	p->o.told(p->o.set_arg, ticket, error);
}

static void over(struct publisher *p, int error, const char *why)
{
	char text[256];

	p->state = OVER;
	snprintf(text, sizeof(text), "this volume's head is not published any more: %s", why);
	say(p, LOG_CRIT, text);
	tell(p, error, 0);
}

static bool ended(struct publisher *p, int rc)
{
	if (rc == -EKEYREVOKED)
		over(p, rc, "the volume has been retired");
	else if (rc == -EUCLEAN)
		over(p, rc, "two machines have written it at a time; none of their snapshots is lost");
	return p->state == OVER;
}

static void command(struct publisher *p, enum command_kind kind)
{
	p->errand.ask.command = (struct command){
		.kind = kind, .timeout = p->o.timeout_ms * UINT64_C(1000), .address = p->volume.id,
	};
}

/* The head that a new one goes on from.  0, or why it is not known. */
static int look(struct publisher *p)
{
	const struct ring_file *ring = peer_ring(p->o.peer);
	struct head h = { .seq = 0 };
	struct address hash = { .b = { 0 } };
	struct chunk *blob;
	int rc;

	command(p, COMMAND_HEAD);
	rc = errand_run(&p->errand);
	blob = p->errand.ask.blob;
	if (rc == 0)
		rc = head_read(blob->data, blob->len, &ring->id, &h);
	if (rc == 0)
		head_hash(blob->data, blob->len, &hash);
	chunk_drop(blob);
	chunk_drop(p->errand.ask.chunk);
	if (rc == -ENOENT)
		rc = 0;
	if (ended(p, rc) || rc < 0)
		return rc;
	if (h.seq > 0 && h.writer != p->o.writer && h.seq != p->o.taken_over) {
		over(p, -EUCLEAN, "another machine has published a newer one with the same key");
		return -EUCLEAN;
	}
	p->base = h;
	p->base_hash = hash;
	p->state = RESTING;
	return 0;
}

static int sign(struct publisher *p, const struct ref *snapshot, uint64_t set)
{
	struct head h = { .seq = p->base.seq + 1, .previous = p->base_hash, .writer = p->o.writer, .snapshot = *snapshot };
	uint8_t b[SIGNED_MAX];
	size_t len;
	int rc;

	/* The ring has it as the newest already: of an earlier run. */
	if (!p->o.anew && p->base.seq > 0 && p->base.writer == p->o.writer && ref_equal(&p->base.snapshot, snapshot)) {
		tell(p, 0, set);
		return 0;
	}
	rc = p->o.ready(p->o.set_arg);
	if (rc < 0)
		return rc;
	memcpy(h.key, p->volume.key, sizeof(h.key));
	len = head_sign(&h, &peer_ring(p->o.peer)->id, p->volume.secret, b);
	chunk_drop(p->signed_head);
	p->signed_head = chunk_copy(b, len);
	if (!p->signed_head)
		return -ENOMEM;
	p->signed_set = set;
	p->state = SENDING;
	return 0;
}

static int swap(struct publisher *p)
{
	int rc;

	command(p, COMMAND_SWAP);
	p->errand.ask.command.previous = p->base_hash;
	p->errand.ask.command.blob = p->signed_head;
	rc = errand_run(&p->errand);
	chunk_drop(p->errand.ask.blob);
	chunk_drop(p->errand.ask.chunk);
	if (rc == 0) {
		head_read(p->signed_head->data, p->signed_head->len, &peer_ring(p->o.peer)->id, &p->base);
		head_hash(p->signed_head->data, p->signed_head->len, &p->base_hash);
		p->state = RESTING;
		p->o.anew = false;
		if (p->o.counts)
			p->o.counts(p->o.set_arg, p->base.seq);
		tell(p, 0, p->signed_set);
	} else if (rc == -ESTALE) {
		p->state = ASKING;
	} else {
		ended(p, rc);
	}
	return rc;
}

/* With the lock: until ${ms} are over, somebody asks, or it is to stop. */
static void pause_for(struct publisher *p, uint32_t ms)
{
	struct timespec until = deadline_in(CLOCK_MONOTONIC, ms);
	while (!p->stopping && !p->asked && pthread_cond_timedwait(&p->changed, &p->lock, &until) != ETIMEDOUT)
		continue;
}

static int step(struct publisher *p, const struct ref *next, uint64_t set)
{
	switch (p->state) {
	case ASKING:
		return look(p);
	case RESTING:
		return sign(p, next, set);
	case SENDING:
		return swap(p);
	case OVER:
		break;
	}
	return 0;
}

/* With the lock, which is given up meanwhile: one step of what is to be done. */
static void go_on(struct publisher *p)
{
	struct ref next = p->next;
	uint64_t set = p->set;
	int rc;

	pthread_mutex_unlock(&p->lock);
	rc = step(p, &next, set);
	if (rc < 0 && rc != -ESTALE && p->state != OVER)
		tell(p, rc, 0);
	pthread_mutex_lock(&p->lock);
	if (rc == 0 || rc == -ESTALE) {
		p->pause_ms = PAUSE_MIN_MS;
	} else if (p->state != OVER) {
		pause_for(p, p->pause_ms);
		p->pause_ms = p->pause_ms * 2 < PAUSE_MAX_MS ? p->pause_ms * 2 : PAUSE_MAX_MS;
	}
}

/* With the lock, which is given up for the call: who asked hears of what counts already. */
static void tell_asked(struct publisher *p)
{
	bool is_over = p->state == OVER;
	uint64_t ticket = is_over ? p->set : p->counted;
	int error = is_over ? p->error : 0;

	p->asked = false;
	pthread_mutex_unlock(&p->lock);
	p->o.told(p->o.set_arg, ticket, error);
	pthread_mutex_lock(&p->lock);
}

static void *publisher_main(void *arg)
{
	struct publisher *p = arg;
	bool idle;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		idle = p->state == OVER || (p->state != SENDING && p->set == p->counted);
		if (p->asked)
			tell_asked(p);
		else if (!idle)
			go_on(p);
		else
			pthread_cond_wait(&p->changed, &p->lock);
	}
	p->ended = true;
	pthread_mutex_unlock(&p->lock);
	p->o.told(p->o.set_arg, UINT64_MAX, -ECANCELED);
	return NULL;
}

int publisher_open(const struct publisher_options *o, struct publisher **out)
{
	struct publisher *p = calloc(1, sizeof(*p));
	pthread_condattr_t clock;
	int rc;

	*out = NULL;
	if (!p)
		return -ENOMEM;
	p->o = *o;
	p->volume = *o->volume;
	p->o.volume = &p->volume;
	p->pause_ms = PAUSE_MIN_MS;
	sodium_mlock(&p->volume, sizeof(p->volume));
	errand_init(&p->errand, o->peer);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &clock);
	pthread_condattr_destroy(&clock);
	rc = pthread_create(&p->thread, NULL, publisher_main, p);
	if (rc) {
		publisher_close(p);
		return -rc;
	}
	*out = p;
	return 0;
}

void publisher_stop(struct publisher *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	errand_end(&p->errand);
	pthread_join(p->thread, NULL);
}

void publisher_close(struct publisher *p)
{
	chunk_drop(p->signed_head);
	errand_free(&p->errand);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	sodium_munlock(&p->volume, sizeof(p->volume));
	free(p);
}

void publisher_set(struct publisher *p, const struct ref *snapshot)
{
	pthread_mutex_lock(&p->lock);
	p->next = *snapshot;
	p->set++;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

uint64_t publisher_ticket(struct publisher *p)
{
	uint64_t ticket;

	pthread_mutex_lock(&p->lock);
	ticket = p->ended ? UINT64_MAX : p->set;
	p->asked = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return ticket;
}

void publisher_status(struct publisher *p, struct publisher_status *out)
{
	pthread_mutex_lock(&p->lock);
	*out = (struct publisher_status){ .seq = p->seq, .pending = p->counted < p->set, .error = p->error };
	pthread_mutex_unlock(&p->lock);
}

int head_newest(struct errand *e, const struct ring_file *ring, const uint8_t key[MEMBER_KEY], unsigned int timeout_ms, struct head *out)
{
	int rc;

	e->ask.command = (struct command){ .kind = COMMAND_HEAD, .timeout = timeout_ms * UINT64_C(1000) };
	volume_id(key, &e->ask.command.address);
	rc = errand_run(e);
	if (rc == 0)
		rc = head_read(e->ask.blob->data, e->ask.blob->len, &ring->id, out);
	if (rc == -EBADMSG)
		rc = -EIO;
	chunk_drop(e->ask.blob);
	chunk_drop(e->ask.chunk);
	return rc;
}
