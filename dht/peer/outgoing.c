/*
 * A chunk's states:
 *
 *   state | event                                       | function      | next
 *   ------+---------------------------------------------+---------------+-----------------------------------
 *   -     | it was inserted                             | outgoing_add  | SENT where the window has room, else LATE
 *   LATE  | the window has room, and it was read        | send_late     | SENT
 *   LATE  | it is not here any more, or can't be read   | send_late     | ASKED: the ring may have it
 *   ASKED | it came                                     | answered      | SENT
 *   ASKED | the core has too many commands              | answered      | LATE, after a pause
 *   ASKED | it did not                                  | answered      | UNSAFE
 *   SENT  | W others have it                            | answered      | over
 *   SENT  | the core has too many commands              | answered      | LATE, after a pause
 *   SENT  | W can't be had, or not in time              | answered      | UNSAFE: the store has it, as FOREIGN
 *   UNSAFE| a ticket is taken                           | take_unsafe   | LATE
 *
 * What was cached here when it was inserted once more is only cached until the ring hears of that, so it may have gone when its turn comes.
 */
#include "dht/peer/outgoing_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "chunker/cut.h"
#include "chunker/deadline.h"
#include "dht/peer/packed.h"

#define WINDOW_STEP   64u	/* what waits goes on when so many have room: not one wake-up each */
#define SOON_MS	      2000u	/* answered by then: the line takes more */
#define LATE_MS	      5000u	/* not answered by then: half of what the core waits for one (CALL_TIMEOUT), in whose line others stand behind it */
#define BUSY_PAUSE_NS 5000000	/* the core has too many commands of ours */
#define PASS_LOOK_S   1u	/* while a pass goes on, those who wait for it are looked at that often */

static struct epoch *open_epoch(struct outgoing *o)
{
	return list_item(o->epochs.prev, struct epoch, link);
}

static struct epoch *epoch_new(void)
{
	struct epoch *e = calloc(1, sizeof(*e));

	if (e)
		list_init(&e->link);
	return e;
}

/* Under the lock: those at the front whose chunks are all decided, but for who was not told yet. */
static void drop_decided(struct outgoing *o)
{
	struct epoch *e = list_item(o->epochs.next, struct epoch, link);

	while (e->told && e->undecided == 0) {
		list_remove(&e->link);
		free(e);
		e = list_item(o->epochs.next, struct epoch, link);
	}
}

/* Under the lock: the next one to be told; false: nobody. */
static bool next_told(struct outgoing *o, uint64_t *ticket, int *result)
{
	struct epoch *e = o->untold;

	drop_decided(o);
	if (e->ticket == 0 || (e->result == 0 && (e->undecided > 0 || o->epochs.next != &e->link)))
		return false;
	*ticket = e->ticket;
	*result = e->result;
	e->told = true;
	o->untold = next_epoch(e);
	return true;
}

/* With the lock, which is given up for the calls: tell those whose tickets are decided, one thread at a time, so in order. */
static void tell(struct outgoing *o)
{
	uint64_t ticket;
	int result;

	if (o->telling)
		return;
	o->telling = true;
	for (;;) {
		if (next_told(o, &ticket, &result)) {
			pthread_mutex_unlock(&o->lock);
			o->o.synced(o->o.arg, ticket, result);
		} else if (o->starved && (o->late.count < OUTGOING_LATE / 2 || o->stopping)) {
			o->starved = false;
			pthread_mutex_unlock(&o->lock);
			o->o.room(o->o.arg);
		} else {
			break;
		}
		pthread_mutex_lock(&o->lock);
	}
	o->telling = false;
	if (o->stopping)
		pthread_cond_broadcast(&o->wanted);
}

void outgoing_fail(struct outgoing *o, struct epoch *e, int result)
{
	if (e->told)
		e = o->untold;
	for (; e->ticket > 0; e = next_epoch(e))
		if (e->result == 0)
			e->result = result;
}

/* Under the lock: ${w} is not LATE or SENT any more. */
static void decide(struct outgoing *o, const struct waiting *w, int result)
{
	struct waiting unsafe = *w;

	w->epoch->undecided--;
	if (result == 0) {
		o->safe++;
		return;
	}
	o->error = result;
	/* Tickets that were taken later cover it, too; the open epoch's will try it anew. */
	outgoing_fail(o, w->epoch, result);
	unsafe.epoch = NULL;
	if (o->unsafe.count >= OUTGOING_LATE || line_push(&o->unsafe, &unsafe) < 0)
		o->forgotten++;
}

static void sent_free(struct sent *s)
{
	chunk_drop(s->ask.command.chunk);
	chunk_drop(s->ask.chunk);
	chunk_drop(s->ask.blob);
	free(s);
}

/* Under the lock: for one more than the ${reading} that are being read, which are among the chunks, but not yet among the bytes. */
static bool has_room(const struct outgoing *o, unsigned int reading)
{
	return o->chunks < OUTGOING_CHUNKS && o->bytes + (size_t)reading * CUT_MEAN < o->window;
}

/* Under the lock: is the thread worth waking?  While it is awake it goes on until there is no room at all. */
static bool late_may_go(const struct outgoing *o)
{
	return o->late.count > 0 && o->chunks + WINDOW_STEP <= OUTGOING_CHUNKS && o->bytes <= o->window / 2;
}

/*
 * Under the lock, before ${s} is out of the window: all that is in it is to be answered long before the core gives up the last of
 * it.  A window that is not used tells nothing of what the line can take.
 */
static void window_learn(struct outgoing *o, const struct sent *s, int result)
{
	uint64_t now = outgoing_now_ms();
	size_t len = s->ask.command.chunk->len;

	if (now - s->at_ms > LATE_MS) {
		if (s->at_ms < o->narrowed_ms)
			return;
		o->narrowed_ms = now;
		o->window = o->window / 2 > OUTGOING_FIRST / 2 ? o->window / 2 : OUTGOING_FIRST / 2;
	} else if (result == 0 && now - s->at_ms <= SOON_MS && o->bytes > o->window / 2) {
		o->window = o->window + len < OUTGOING_BYTES ? o->window + len : OUTGOING_BYTES;
	}
}

static void answered(struct peer_ask *ask);

/* With the lock, and a place of the window taken for it: to the ring, or, where ${packed} is NULL, asked for there.  Takes over ${packed}. */
static int ask(struct outgoing *o, const struct waiting *w, struct chunk *packed)
{
	struct sent *s = calloc(1, sizeof(*s));

	if (!s) {
		o->chunks--;
		chunk_drop(packed);
		return -ENOMEM;
	}
	s->o = o;
	s->what = *w;
	s->at_ms = outgoing_now_ms();
	s->ask.user = s;
	s->ask.done = answered;
	s->ask.command = (struct command){
		.kind = packed ? COMMAND_INSERT : COMMAND_FETCH, .timeout = o->o.timeout_ms * UINT64_C(1000), .address = w->address,
		.volume = o->o.volume, .chunk_kind = (enum kind)w->kind, .chunk = packed, .acks = (uint8_t)o->o.acks,
	};
	list_init(&s->link);
	list_append(&o->sent, &s->link);
	o->bytes += packed ? packed->len : 0;
	/* Never blocks, and calls back from the loop only: under the lock, so that it is not cancelled before. */
	peer_ask(o->o.peer, &s->ask);
	return 0;
}

/* Under the lock: what others had goes to the ring. */
static int send_fetched(struct outgoing *o, const struct sent *s)
{
	if (o->stopping)
		return -ECANCELED;
	if (s->ask.chunk_kind != (enum kind)s->what.kind)
		return -EIO;
	o->chunks++;
	return ask(o, &s->what, chunk_hold(s->ask.chunk));
}

static void answered(struct peer_ask *ask)
{
	bool fetched = ask->command.kind == COMMAND_FETCH && ask->result == 0;
	struct sent *s = ask->user;
	struct outgoing *o = s->o;
	int result;

	pthread_mutex_lock(&o->lock);
	list_remove(&s->link);
	if (ask->command.kind == COMMAND_INSERT)
		window_learn(o, s, ask->result);
	o->chunks--;
	o->bytes -= ask->command.chunk ? ask->command.chunk->len : 0;
	result = fetched ? send_fetched(o, s) : ask->result;
	if (result == -EBUSY && !o->stopping && line_push(&o->late, &s->what) == 0)
		o->busy = true;
	else if (!fetched || result < 0)
		decide(o, &s->what, result == -ENOENT || result == -EBADMSG ? -EIO : result);
	if (late_may_go(o) || o->stopping)
		pthread_cond_broadcast(&o->wanted);
	tell(o);
	pthread_mutex_unlock(&o->lock);
	sent_free(s);
}

int outgoing_add(struct outgoing *o, enum kind kind, const struct address *a, struct chunk *packed)
{
	struct waiting w = { .address = *a, .kind = (uint8_t)kind };
	int rc = 0;

	pthread_mutex_lock(&o->lock);
	w.epoch = open_epoch(o);
	if (o->stopping) {
		/* Only the store knows of it, and the shelf when it is opened again. */
		shelf_behind(peer_shelf(o->o.peer));
	} else if (packed && has_room(o, 0) && o->late.count == 0) {
		o->chunks++;
		w.epoch->undecided++;
		rc = ask(o, &w, chunk_hold(packed));
		if (rc < 0)
			decide(o, &w, rc);
		rc = 0;
	} else if (o->late.count >= OUTGOING_LATE) {
		o->starved = true;
		rc = -EINPROGRESS;
	} else {
		rc = line_push(&o->late, &w);
		if (rc == 0)
			w.epoch->undecided++;
		if (late_may_go(o))
			pthread_cond_broadcast(&o->wanted);
	}
	pthread_mutex_unlock(&o->lock);
	return rc;
}

void outgoing_wait(struct outgoing *o)
{
	pthread_mutex_lock(&o->lock);
	while (!o->stopping && o->late.count >= OUTGOING_LATE)
		pthread_cond_wait(&o->wanted, &o->lock);
	pthread_mutex_unlock(&o->lock);
}

/* Of a chunk that the store has not, or not whole, or searches for, which takes long, others may have a copy. */
static bool is_lost(int rc)
{
	return rc == -ENOENT || rc == -EBADMSG || rc == -EIO || rc == -EINPROGRESS;
}

/* With the lock: ${item} was read for ${w}. */
static void send_read(struct outgoing *o, const struct waiting *w, struct packed_item *item)
{
	struct chunk *packed = item->result == 0 ? item->packed : NULL;
	int rc = o->stopping ? -ECANCELED : item->result;

	if (rc == 0 || is_lost(rc)) {
		rc = ask(o, w, packed);
	} else {
		o->chunks--;
		chunk_drop(packed);
	}
	if (rc < 0)
		decide(o, w, rc);
}

/* With the lock, which is given up for the reading: some, together, so that they are hashed side by side. */
static void send_late(struct outgoing *o)
{
	struct packed_item items[PACKED_SOME];
	struct waiting w[PACKED_SOME];
	bool full = o->late.count >= OUTGOING_LATE;
	unsigned int n = 0;

	while (n < PACKED_SOME && has_room(o, n) && line_pop(&o->late, &w[n])) {
		items[n] = (struct packed_item){ .kind = (enum kind)w[n].kind, .address = w[n].address };
		o->chunks++;
		n++;
	}
	if (full && o->late.count < OUTGOING_LATE)
		pthread_cond_broadcast(&o->wanted);
	pthread_mutex_unlock(&o->lock);
	/* Who is sent it hashes it before he says that he has it. */
	packed_get_some(o->o.store, o->codec, items, n);
	pthread_mutex_lock(&o->lock);
	for (unsigned int i = 0; i < n; i++)
		send_read(o, &w[i], &items[i]);
	tell(o);
}

/* With the lock. */
static void rest(struct outgoing *o)
{
	struct timespec until;

	if (o->pass == PASS_NONE) {
		pthread_cond_wait(&o->wanted, &o->lock);
		return;
	}
	until = deadline_in(CLOCK_MONOTONIC, PASS_LOOK_S * 1000);
	pthread_cond_timedwait(&o->wanted, &o->lock, &until);
}

static void *outgoing_main(void *arg)
{
	struct outgoing *o = arg;
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_NS };

	pthread_mutex_lock(&o->lock);
	while (!o->stopping) {
		if (o->pass != PASS_NONE)
			pass_expire(o);
		tell(o);
		if (o->busy) {
			o->busy = false;
			pthread_mutex_unlock(&o->lock);
			nanosleep(&pause, NULL);
			pthread_mutex_lock(&o->lock);
		} else if (o->late.count > 0 && has_room(o, 0)) {
			send_late(o);
		} else if (o->pass != PASS_NONE && o->late.count == 0) {
			pass_step(o);
		} else if (!o->stopping) {
			/* It may have been set while others were told. */
			rest(o);
		}
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* ---- tickets ---- */

/* Under the lock: what was found not to be safe counts for the ticket that is taken now. */
static void take_unsafe(struct outgoing *o, struct epoch *e)
{
	struct waiting w;

	while (line_pop(&o->unsafe, &w)) {
		w.epoch = e;
		if (line_push(&o->late, &w) < 0) {
			o->forgotten++;
			e->result = -ENOMEM;
			continue;
		}
		e->undecided++;
	}
	if (o->forgotten > 0 && o->pass == PASS_NONE && e->result == 0) {
		o->forgotten = 0;
		pass_start(o, e, false);
	} else if (o->forgotten > 0 && e->result == 0) {
		e->result = -EIO;
	}
}

uint64_t outgoing_ticket(struct outgoing *o)
{
	uint64_t ticket = OUTGOING_ENDED;
	struct epoch *e, *next = epoch_new();

	pthread_mutex_lock(&o->lock);
	if (!o->stopping && next) {
		e = open_epoch(o);
		take_unsafe(o, e);
		ticket = e->ticket = ++o->tickets;
		e->until_ms = outgoing_now_ms() + o->o.timeout_ms;
		list_append(&o->epochs, &next->link);
		next = NULL;
		pthread_cond_broadcast(&o->wanted);
	}
	pthread_mutex_unlock(&o->lock);
	free(next);
	return ticket;
}

int outgoing_open(const struct outgoing_options *options, struct outgoing **out)
{
	struct outgoing *o = calloc(1, sizeof(*o));
	struct epoch *first = epoch_new();
	pthread_condattr_t clock;
	int rc;

	*out = NULL;
	if (!o || !first) {
		free(o);
		free(first);
		return -ENOMEM;
	}
	o->o = *options;
	o->window = OUTGOING_FIRST;
	o->codec = codec_new();
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&o->wanted, &clock);
	pthread_condattr_destroy(&clock);
	list_init(&o->sent);
	list_init(&o->epochs);
	list_append(&o->epochs, &first->link);
	o->untold = first;
	pass_start(o, first, true);
	rc = o->codec ? pthread_create(&o->thread, NULL, outgoing_main, o) : ENOMEM;
	if (rc) {
		outgoing_close(o);
		return -rc;
	}
	*out = o;
	return 0;
}

void outgoing_stop(struct outgoing *o)
{
	struct waiting w;

	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	pthread_cond_broadcast(&o->wanted);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	pthread_mutex_lock(&o->lock);
	for (struct list *l = o->sent.next; l != &o->sent; l = l->next)
		peer_cancel(&list_item(l, struct sent, link)->ask);
	while (line_pop(&o->late, &w))
		decide(o, &w, -ECANCELED);
	if (o->pass != PASS_NONE)
		pass_end(o, -ECANCELED);
	while (!list_empty(&o->sent))
		pthread_cond_wait(&o->wanted, &o->lock);
	o->starved = true;
	tell(o);
	while (o->telling)
		pthread_cond_wait(&o->wanted, &o->lock);
	/* Of some of these the shelf has heard nothing. */
	if (o->unsafe.count > 0 || o->forgotten > 0)
		shelf_behind(peer_shelf(o->o.peer));
	pthread_mutex_unlock(&o->lock);
}

void outgoing_close(struct outgoing *o)
{
	while (!list_empty(&o->epochs)) {
		struct epoch *e = list_item(o->epochs.next, struct epoch, link);

		list_remove(&e->link);
		free(e);
	}
	line_free(&o->late);
	line_free(&o->unsafe);
	codec_free(o->codec);
	pthread_cond_destroy(&o->wanted);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

void outgoing_status(struct outgoing *o, struct outgoing_status *out)
{
	pthread_mutex_lock(&o->lock);
	*out = (struct outgoing_status){
		.waiting = o->late.count, .sent = o->chunks, .unsafe = o->unsafe.count, .forgotten = o->forgotten,
		.safe = o->safe, .error = o->error,
	};
	pthread_mutex_unlock(&o->lock);
}
