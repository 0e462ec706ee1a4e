/*
 * An insert: here first, then with W others, then with all R owners.  What is left undone when it ends is FOREIGN
 * on our disk, and foreign.c goes on with it.
 *
 * insert  | event                                  | function     | next
 * -       | COMMAND_INSERT                         | start of it  | STORING: EFFECT_WRITE, FOREIGN (and OWNED where ours)
 *         | ... but INSERTS_MAX are there          | start of it  | -, replied: -EBUSY
 * STORING | written                                | stored()     | PLACING
 *         | failed                                 | stored()     | over, replied: -ENOSPC, -EIO, -EBADMSG
 * PLACING | each of the following ends in          | go()         | an owner not asked yet is asked
 *         | W have it                              | go()         | replied: 0
 *         | W can no longer be reached             | go()         | replied: -ENOSPC, -ETIMEDOUT, -EHOSTUNREACH
 *         | its time is up                         | expired()    | replied: -ETIMEDOUT
 *         | a new table                            | table()      | those that failed may be asked again
 *         | it is replied, and nothing is under way, or too many such linger | go() | over: foreign_add()
 *
 * ask     | event                                  | function     | next
 * FREE    | an owner                               | ask_owner()  | TOUCHED
 *         | W is short: the next on the walk       | ask_spare()  | PUT
 * TOUCHED | has it                                 | touched_it() | HAS
 *         | lacks it                               | touched_it() | PUT
 *         | no answer in time                      | touched_it() | PUT, and where W is short, the next on the walk is asked, too
 * PUT     | durable there                          | put_it()     | HAS
 * any     | busy, another placement, a cut link    | failed()     | AGAIN, at most INSERT_TRIES times
 *         | ... busy for the BUSY_TIMESth time     | place()      | the same, and where W is short, the next on the walk is asked, too
 *         | anything else                          | failed()     | FAILED
 * AGAIN   | a while later, or a new table          | ask_again()  | TOUCHED, PUT
 */
#include "dht/net/chunks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INSERT_TRIES 8u		/* pauses doubled from AGAIN_MIN: about as long as a request may take */
#define BUSY_TIMES   2u		/* who says so as often may be so for long: another is asked beside him */
#define WALK_STEP    16u	/* members of the walk looked at in one go: most are reachable */

enum ask_state { FREE, TOUCHED, PUT, AGAIN, HAS, FAILED };

struct ask {
	struct insert *insert;
	struct address id;
	enum ask_state state;
	bool spare;			/* no owner under the present table */
	unsigned int tries, busy;	/* that failed; of these, how often it was too busy; BUSY_TIMES: or silent */
	struct insert_touch touch;
	struct call call;		/* the put */
};

struct insert {
	struct list link;		/* inserts, oldest first */
	struct pending pending;
	bool replied, placing;
	bool full, late;		/* one of those that failed has no space, did not answer in time */
	unsigned int acks;
	unsigned int walked;		/* of the walk under the present table: looked at */
	unsigned int pauses;		/* under the present table */
	struct address address, volume;
	enum kind kind;
	struct chunk *chunk;
	struct work work;
	struct timer again;
	struct ask ask[INSERT_ASKS];
};

struct inserts {
	struct list all;
	unsigned int count, lingering;
	struct insert_touches touches;
};

static void go(struct node *n, struct insert *i);

unsigned int insert_waiting(const struct node *n)
{
	return n->inserts ? n->inserts->count - n->inserts->lingering : 0;
}

static void insert_free(struct node *n, struct insert *i)
{
	for (unsigned int k = 0; k < INSERT_ASKS; k++) {
		insert_touch_stop(n, &i->ask[k].touch);
		if (call_busy(&i->ask[k].call))
			call_stop(n, &i->ask[k].call);
	}
	work_stop(n, &i->work);
	timer_stop(n, &i->again);
	list_remove(&i->link);
	n->inserts->count--;
	n->inserts->lingering -= i->replied;
	chunk_drop(i->chunk);
	free(i);
}

static void replied(struct node *n, struct insert *i)
{
	i->replied = true;
	n->inserts->lingering++;
}

static unsigned int count_state(const struct insert *i, enum ask_state from, enum ask_state to)
{
	unsigned int count = 0;

	for (unsigned int k = 0; k < INSERT_ASKS; k++)
		count += i->ask[k].state >= from && i->ask[k].state <= to;
	return count;
}

/* Who has it, or will soon; of the others nobody knows. */
static unsigned int count_sure(const struct insert *i)
{
	unsigned int count = 0;

	for (unsigned int k = 0; k < INSERT_ASKS; k++) {
		const struct ask *a = &i->ask[k];

		count += a->state == HAS || (a->state >= TOUCHED && a->state <= AGAIN && a->busy < BUSY_TIMES);
	}
	return count;
}

/* That have it, or may yet: fewer than W, so that of the INSERT_ASKS all owners have one. */
static unsigned int count_spares(const struct insert *i)
{
	unsigned int count = 0;

	for (unsigned int k = 0; k < INSERT_ASKS; k++)
		count += i->ask[k].spare && i->ask[k].state >= TOUCHED && i->ask[k].state <= HAS;
	return count;
}

/* ---- one node that is asked ---- */

/* May the same node do better in a moment?  A link that was cut may be there again at once; one that can't be had is
 * in backoff. */
static bool passes(struct node *n, const struct peer *p, int result, const struct message *answer)
{
	if (result)
		return result == -EBUSY || (result == -EHOSTUNREACH && peer_reachable(n, p));
	return answer->status == WIRE_BUSY || answer->status == WIRE_OTHER_PLACEMENT;
}

static void failed(struct node *n, struct ask *a, const struct peer *p, int result, const struct message *answer)
{
	struct insert *i = a->insert;
	uint64_t pause = AGAIN_MIN << (i->pauses < 4 ? i->pauses : 4);

	a->state = FAILED;
	if (!result && answer->status == WIRE_FULL)
		i->full = true;
	i->late |= result == -ETIMEDOUT;
	a->busy += !result && answer->status == WIRE_BUSY;
	/* What is answered is left to foreign.c, which has time. */
	if (!i->replied && passes(n, p, result, answer) && ++a->tries < INSERT_TRIES) {
		a->state = AGAIN;
		if (!timer_busy(&i->again)) {
			i->pauses++;
			timer_set(n, &i->again, n->now + node_jitter(n, pause < AGAIN_MAX ? pause : AGAIN_MAX));
		}
	}
	go(n, i);
}

static void put_it(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct ask *a = list_item(c, struct ask, call);

	(void)body;
	if (result || answer->status != WIRE_OK) {
		failed(n, a, c->peer, result, answer);
		return;
	}
	a->state = HAS;
	go(n, a->insert);
}

static void ask_put(struct node *n, struct ask *a, struct peer *p)
{
	static const struct address nobody;
	struct insert *i = a->insert;
	struct message m = { .type = WIRE_PUT, .address = i->address, .kind = (uint8_t)i->kind, .volume = i->volume,
		.spare = a->spare };

	if (!address_equal(&i->volume, &nobody))
		m.has |= WIRE_HAS(FIELD_VOLUME);
	a->state = PUT;
	a->call.done = put_it;
	call_start(n, &a->call, p, &m, i->chunk, LINK_WRITE, CALL_TIMEOUT);
}

static void touched_it(struct node *n, struct insert_touch *t, struct peer *p, int result, const struct message *answer, bool has)
{
	struct ask *a = list_item(t, struct ask, touch);

	if (result == -ETIMEDOUT && !a->insert->replied && peer_reachable(n, p)) {
		/* It is silent, or the question still stands behind the bytes of others on a slow line. */
		a->busy = BUSY_TIMES;
		ask_put(n, a, p);
		go(n, a->insert);
	} else if (result || answer->status != WIRE_OK) {
		failed(n, a, p, result, answer);
	} else if (has) {
		a->state = HAS;
		go(n, a->insert);
	} else {
		ask_put(n, a, p);
	}
}

static void ask_touch(struct node *n, struct ask *a, struct peer *p)
{
	struct insert *i = a->insert;

	a->state = TOUCHED;
	a->touch.done = touched_it;
	/* Without memory to ask, it is told. */
	if (insert_touch_start(n, &n->inserts->touches, &a->touch, p, &i->address, &i->volume) < 0)
		ask_put(n, a, p);
}

static struct ask *ask_find(struct insert *i, const struct address *id)
{
	for (unsigned int k = 0; k < INSERT_ASKS; k++)
		if (i->ask[k].state != FREE && address_equal(&i->ask[k].id, id))
			return &i->ask[k];
	return NULL;
}

/* A place for one more: an empty one, or that of a spare that failed (the walk is past it).  NULL: as many as R and W can
 * be at most run or have it. */
static struct ask *ask_new(struct insert *i, const struct address *id, bool spare)
{
	for (unsigned int k = 0; k < INSERT_ASKS; k++) {
		struct ask *a = &i->ask[k];

		if (a->state == FREE || (a->state == FAILED && a->spare)) {
			*a = (struct ask){ .insert = i, .id = *id, .spare = spare };
			return a;
		}
	}
	return NULL;
}

static void ask_again(struct node *n, struct insert *i)
{
	for (unsigned int k = 0; k < INSERT_ASKS; k++) {
		struct ask *a = &i->ask[k];
		struct peer *p;

		if (a->state != AGAIN)
			continue;
		p = peer_find(n, &a->id);
		if (!p || i->replied)
			a->state = FAILED;
		else if (a->spare)
			ask_put(n, a, p);
		else
			ask_touch(n, a, p);
	}
}

/* ---- all of them ---- */

static void ask_owners(struct node *n, struct insert *i)
{
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = placement_owners(n, ring_slot(&i->address), owner);

	for (unsigned int k = 0; k < owners; k++) {
		struct ask *a = ask_find(i, &owner[k]->id);

		if (a)
			a->spare = false;
		if (a || !(a = ask_new(i, &owner[k]->id, false)))
			continue;
		if (peer_reachable(n, owner[k]))
			ask_touch(n, a, owner[k]);
		else
			a->state = FAILED;
	}
}

/* The next on the walk that can be reached and was not asked.  The walk has all members, the owners first. */
static bool ask_spare(struct node *n, struct insert *i)
{
	const struct ring *r = placement(n);
	uint16_t walk[RING_MEMBERS_MAX];
	unsigned int want = i->walked, got = 0;

	while (want < r->members) {
		want = 2 * want + WALK_STEP < r->members ? 2 * want + WALK_STEP : r->members;
		got = ring_walk(r, ring_slot(&i->address), walk, want);
		while (i->walked < got) {
			const struct address *id = &r->member[walk[i->walked++]].id;
			struct peer *p = membership_health(n, id) == PEER_DOWN ? NULL : peer_find(n, id);
			struct ask *a;

			if (!p || ask_find(i, id) || !peer_reachable(n, p))
				continue;
			a = ask_new(i, id, true);
			/* Of the INSERT_ASKS, R are owners, and fewer than W others run (place). */
			assert(a);
			ask_put(n, a, p);
			return true;
		}
	}
	return false;
}

/* How many others must have it: W, or all there are. */
static unsigned int acks_needed(struct node *n, const struct insert *i)
{
	const struct ring *r = placement(n);
	unsigned int others = r->members - (ring_find(r, &n->id) >= 0);

	return i->acks < others ? i->acks : others;
}

static void reply(struct node *n, struct insert *i, int result)
{
	struct effect e = { .result = result, .count = count_state(i, HAS, HAS) };

	command_reply(n, i->pending.ticket, &e);
	replied(n, i);
}

/* Ask whoever is to be asked, and answer when there is an answer. */
static void place(struct node *n, struct insert *i)
{
	unsigned int need = acks_needed(n, i);

	ask_owners(n, i);
	while (!i->replied && count_sure(i) < need && count_spares(i) < need && ask_spare(n, i))
		;
	if (!i->replied && count_state(i, HAS, HAS) >= need)
		reply(n, i, 0);
	else if (!i->replied && count_state(i, TOUCHED, HAS) < need)
		reply(n, i, i->full ? -ENOSPC : i->late ? -ETIMEDOUT : -EHOSTUNREACH);
}

/* Too many linger, and it is the last that goes: its bytes are still in line, those of the others on their way. */
static bool crowded(struct node *n, const struct insert *i)
{
	return i->replied && n->inserts->lingering > INSERT_LINGER;
}

static void go(struct node *n, struct insert *i)
{
	if (!i->placing)
		return;
	/* A reply for which no other is needed does not wait for a table. */
	if (!i->acks && !i->replied)
		reply(n, i, 0);
	if (placement(n) && !crowded(n, i))
		place(n, i);
	if (crowded(n, i) || (i->replied && !count_state(i, TOUCHED, PUT))) {
		foreign_add(n, &i->address);
		insert_free(n, i);
	}
}

static void again(struct node *n, struct timer *t)
{
	struct insert *i = list_item(t, struct insert, again);

	ask_again(n, i);
	go(n, i);
}

static void expired(struct node *n, struct pending *p)
{
	struct insert *i = list_item(p, struct insert, pending);

	replied(n, i);
	go(n, i);
}

static void stored(struct node *n, struct work *w, const struct event *e)
{
	struct insert *i = list_item(w, struct insert, work);

	if (e->result) {
		command_result(n, i->pending.ticket, e->result);
		insert_free(n, i);
		return;
	}
	i->placing = true;
	go(n, i);
}

void insert_command(struct node *n, const struct command *c)
{
	struct effect e = { .kind = EFFECT_WRITE, .address = c->address, .chunk_kind = c->chunk_kind, .hash = c->volume,
		.states = STATE_FOREIGN };
	struct insert *i;

	if (!c->chunk || !kind_valid(c->chunk_kind) || c->acks > RING_REPLICAS_MAX) {
		command_result(n, c->ticket, -EINVAL);
		return;
	}
	/* Others than those whose time is up, and that a disk that hangs has not stored, are fewer. */
	i = n->inserts->count < INSERTS_MAX ? calloc(1, sizeof *i) : NULL;
	if (!i) {
		command_result(n, c->ticket, n->inserts->count < INSERTS_MAX ? -ENOMEM : -EBUSY);
		return;
	}
	i->address = c->address;
	i->volume = c->volume;
	i->kind = c->chunk_kind;
	i->acks = c->acks;
	i->chunk = chunk_hold(c->chunk);
	i->again.due = again;
	i->work.done = stored;
	i->pending.expired = expired;
	list_append(&n->inserts->all, &i->link);
	n->inserts->count++;
	command_start(n, &i->pending, c);
	if (placement_mine(n, ring_slot(&i->address)))
		e.states |= STATE_OWNED;
	e.chunk = chunk_hold(i->chunk);
	/* A wish for it like any other's: our own copy stays as long as theirs. */
	touched(n, &c->address);
	work_start(n, &i->work, &e);
}

static void table(struct node *n)
{
	struct list *next;

	for (struct list *l = n->inserts->all.next; l != &n->inserts->all; l = next) {
		struct insert *i = list_item(l, struct insert, link);

		next = l->next;
		if (!i->placing)
			continue;
		i->walked = i->pauses = 0;
		for (unsigned int k = 0; k < INSERT_ASKS; k++) {
			i->ask[k].spare = true;		/* but for those that ask_owners() finds */
			if (i->ask[k].state == FAILED)
				i->ask[k].state = FREE;
		}
		ask_owners(n, i);
		ask_again(n, i);
		go(n, i);
	}
}

static void start(struct node *n)
{
	n->inserts = calloc(1, sizeof *n->inserts);
	if (!n->inserts) {
		node_stop(n, "no memory");
		return;
	}
	list_init(&n->inserts->all);
	insert_touches_init(&n->inserts->touches);
}

static void end(struct node *n)
{
	struct inserts *all = n->inserts;

	while (all && !list_empty(&all->all))
		insert_free(n, list_item(all->all.next, struct insert, link));
	if (all)
		insert_touches_free(n, &all->touches);
	free(all);
	n->inserts = NULL;
}

static size_t memory(struct node *n)
{
	struct inserts *all = n->inserts;
	size_t sum = all ? all->touches.bytes : 0;

	for (struct list *l = all ? all->all.next : NULL; l && l != &all->all; l = l->next)
		sum += sizeof(struct insert) + list_item(l, struct insert, link)->chunk->len;
	return sum;
}

const struct machine insert_machine = {
	.name = "insert",
	.start = start,
	.table = table,
	.end = end,
	.memory = memory,
};
