/*
 * A chunk's states:
 *
 *   state | event                                       | function      | next
 *   ------+---------------------------------------------+---------------+-----------------------------------
 *   -     | it was inserted                             | outgoing_add  | SENT where the window has room, else LATE
 *   LATE  | the window has room, and it was read        | send_late     | SENT
 *   LATE  | it can't be read                            | send_late     | UNSAFE
 *   SENT  | W others have it                            | answered      | over
 *   SENT  | the core has too many commands              | answered      | LATE, after a pause
 *   SENT  | W can't be had, or not in time              | answered      | UNSAFE: the store has it, as FOREIGN
 *   UNSAFE| a ticket is taken                           | take_unsafe   | LATE
 *
 * An epoch is what was added between two tickets.  Its ticket is decided when it, and all before it, have nothing LATE or SENT.
 */
#include "dht/peer/outgoing.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dht/peer/packed.h"

#define BUSY_PAUSE_NS 5000000	/* the core has too many commands of ours */

struct epoch {
	struct list link;
	uint64_t ticket;
	uint64_t undecided;		/* LATE or SENT */
	int result;
};

struct waiting {
	struct address address;
	struct epoch *epoch;		/* NULL: UNSAFE */
	uint8_t kind;
};

/* First in, first out; grows by doubling, up to OUTGOING_LATE and what comes back from SENT. */
struct line {
	struct waiting *item;
	size_t first, count, size;
};

struct sent {
	struct list link;
	struct outgoing *o;
	struct peer_ask ask;
	struct waiting what;
};

struct outgoing {
	struct outgoing_options o;
	pthread_t thread;
	pthread_mutex_t lock;		/* covers all that follows */
	pthread_cond_t wanted;
	struct line late, unsafe;
	struct list sent;
	unsigned int chunks;		/* sent, or about to be */
	size_t bytes;
	struct list epochs;		/* oldest first; the last is open */
	struct epoch *spare;		/* the next one */
	uint64_t tickets;
	uint64_t safe, forgotten;
	int error;
	bool starved;			/* room() is owed */
	bool busy;			/* the core refused one just now */
	bool stopping;
};

static int line_push(struct line *l, const struct waiting *w)
{
	if (l->count == l->size) {
		size_t size = l->size ? 2 * l->size : 256;
		struct waiting *item = malloc(size * sizeof(*item));

		if (!item)
			return -ENOMEM;
		for (size_t i = 0; i < l->count; i++)
			item[i] = l->item[(l->first + i) % l->size];
		free(l->item);
		*l = (struct line){ .item = item, .count = l->count, .size = size };
	}
	l->item[(l->first + l->count++) % l->size] = *w;
	return 0;
}

static bool line_pop(struct line *l, struct waiting *out)
{
	if (l->count == 0)
		return false;
	*out = l->item[l->first];
	l->first = (l->first + 1) % l->size;
	if (--l->count == 0) {
		free(l->item);
		*l = (struct line){ .item = NULL };
	}
	return true;
}

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

/* With the lock, which is given up for the calls: tell those whose tickets are decided. */
static void tell(struct outgoing *o)
{
	struct epoch *e = list_item(o->epochs.next, struct epoch, link);

	while (e->ticket > 0 && e->undecided == 0) {
		list_remove(&e->link);
		pthread_mutex_unlock(&o->lock);
		o->o.synced(o->o.arg, e->ticket, e->result);
		pthread_mutex_lock(&o->lock);
		free(e);
		e = list_item(o->epochs.next, struct epoch, link);
	}
	if (o->starved && o->late.count < OUTGOING_LATE / 2) {
		o->starved = false;
		pthread_mutex_unlock(&o->lock);
		o->o.room(o->o.arg);
		pthread_mutex_lock(&o->lock);
	}
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
	for (struct epoch *e = w->epoch; e->ticket > 0; e = list_item(e->link.next, struct epoch, link))
		if (e->result == 0)
			e->result = result;
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

static void answered(struct peer_ask *ask)
{
	struct sent *s = ask->user;
	struct outgoing *o = s->o;

	pthread_mutex_lock(&o->lock);
	list_remove(&s->link);
	o->chunks--;
	o->bytes -= ask->command.chunk->len;
	if (ask->result == -EBUSY && !o->stopping && line_push(&o->late, &s->what) == 0)
		o->busy = true;
	else
		decide(o, &s->what, ask->result);
	pthread_cond_broadcast(&o->wanted);
	tell(o);
	pthread_mutex_unlock(&o->lock);
	sent_free(s);
}

/* Under the lock. */
static bool has_room(const struct outgoing *o)
{
	return o->chunks < OUTGOING_CHUNKS && o->bytes < OUTGOING_BYTES;
}

/* With the lock, and a place of the window taken for it: to the ring.  Takes over ${packed}. */
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
	s->ask.user = s;
	s->ask.done = answered;
	s->ask.command = (struct command){
		.kind = COMMAND_INSERT, .timeout = o->o.timeout_ms * UINT64_C(1000), .address = w->address,
		.volume = o->o.volume, .chunk_kind = (enum kind)w->kind, .chunk = packed, .acks = (uint8_t)o->o.acks,
	};
	list_init(&s->link);
	list_append(&o->sent, &s->link);
	o->bytes += packed->len;
	/* Never blocks, and calls back from the loop only: under the lock, so that it is not cancelled before. */
	peer_ask(o->o.peer, &s->ask);
	return 0;
}

int outgoing_add(struct outgoing *o, enum kind kind, const struct address *a, struct chunk *packed)
{
	struct waiting w = { .address = *a, .kind = (uint8_t)kind };
	int rc = 0;

	pthread_mutex_lock(&o->lock);
	w.epoch = open_epoch(o);
	if (o->stopping) {
		/* As a store that was just opened: the shelf takes it for FOREIGN. */
		rc = 0;
	} else if (packed && has_room(o) && o->late.count == 0) {
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

/* With the lock, which is given up for the reading. */
static void send_late(struct outgoing *o)
{
	struct chunk *packed = NULL;
	struct waiting w;
	enum kind kind;
	int rc;

	if (!line_pop(&o->late, &w))
		return;
	o->chunks++;
	pthread_mutex_unlock(&o->lock);
	kind = (enum kind)w.kind;
	rc = packed_get(o->o.store, &kind, &w.address, &packed);
	pthread_mutex_lock(&o->lock);
	if (rc == 0 && o->stopping) {
		chunk_drop(packed);
		rc = -ECANCELED;
	}
	if (rc < 0)
		o->chunks--;
	else
		rc = ask(o, &w, packed);
	if (rc < 0)
		decide(o, &w, rc == -ENOENT || rc == -EBADMSG ? -EIO : rc);
	pthread_cond_broadcast(&o->wanted);
	tell(o);
}

static void *outgoing_main(void *arg)
{
	struct outgoing *o = arg;
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_NS };

	pthread_mutex_lock(&o->lock);
	while (!o->stopping) {
		tell(o);
		if (o->busy) {
			o->busy = false;
			pthread_mutex_unlock(&o->lock);
			nanosleep(&pause, NULL);
			pthread_mutex_lock(&o->lock);
		} else if (o->late.count > 0 && has_room(o)) {
			send_late(o);
		} else {
			pthread_cond_wait(&o->wanted, &o->lock);
		}
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

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
}

/* What is FOREIGN when nothing of ours is under way is what was forgotten. */
static bool forgotten_are_out(struct outgoing *o)
{
	struct peer_status s;

	peer_status(o->o.peer, &s);
	return s.shelf.foreign == 0;
}

uint64_t outgoing_ticket(struct outgoing *o)
{
	struct epoch *e;
	uint64_t ticket;
	bool out = true;

	pthread_mutex_lock(&o->lock);
	if (o->forgotten > 0) {
		pthread_mutex_unlock(&o->lock);
		out = forgotten_are_out(o);
		pthread_mutex_lock(&o->lock);
	}
	e = open_epoch(o);
	if (out)
		o->forgotten = 0;
	else if (e->result == 0)
		e->result = -EIO;
	take_unsafe(o, e);
	ticket = e->ticket = ++o->tickets;
	list_append(&o->epochs, &o->spare->link);
	o->spare = epoch_new();
	assert(o->spare);
	pthread_cond_broadcast(&o->wanted);
	pthread_mutex_unlock(&o->lock);
	return ticket;
}

int outgoing_open(const struct outgoing_options *options, struct outgoing **out)
{
	struct outgoing *o = calloc(1, sizeof(*o));
	struct epoch *first;
	int rc;

	*out = NULL;
	if (!o)
		return -ENOMEM;
	o->o = *options;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->wanted, NULL);
	list_init(&o->sent);
	list_init(&o->epochs);
	first = epoch_new();
	o->spare = epoch_new();
	if (first)
		list_append(&o->epochs, &first->link);
	rc = first && o->spare ? pthread_create(&o->thread, NULL, outgoing_main, o) : ENOMEM;
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
	while (!list_empty(&o->sent))
		pthread_cond_wait(&o->wanted, &o->lock);
	o->starved = true;
	tell(o);
	pthread_mutex_unlock(&o->lock);
}

void outgoing_close(struct outgoing *o)
{
	while (!list_empty(&o->epochs)) {
		struct epoch *e = list_item(o->epochs.next, struct epoch, link);

		list_remove(&e->link);
		free(e);
	}
	free(o->spare);
	free(o->late.item);
	free(o->unsafe.item);
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
