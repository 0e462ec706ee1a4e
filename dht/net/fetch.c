/*
 * A fetch: one chunk for all who want it at the moment.  From our own disk, else from its owners, the one that answers
 * soonest first; then from those who owned its slot before, and from spares.  No byte is handed out unchecked.
 *
 * fetch  | event                                  | function            | next
 * -      | COMMAND_FETCH, fetch_heal()            | round_begin()       | LOCAL where a copy is here, else ASKING
 * LOCAL  | read                                   | local()             | OVER, delivered
 *        | gone, or bad                           | local()             | ASKING; PAUSED before the first table
 * ASKING | an answer's bytes are the address's    | fetch_deliver()     | OVER, delivered
 *        | an answer fails                        | fetch_advance()     | the next is asked
 *        | slower than 95 of a hundred are        | fetch_hedge()       | a second is asked, as far as HEDGE_SHARE goes
 *        | nobody is left: every owner missed it  | fetch_round_over()  | OVER: -ENOENT
 *        | ... and somebody came since it began   | again_for_late()    | LOCAL, ASKING: all of them anew, for him
 *        | ... some may answer yet                | fetch_round_over()  | PAUSED
 *        | ... none will                          | fetch_round_over()  | OVER: -EIO
 * PAUSED | a while later; a new table             | round_begin()       | LOCAL, ASKING: all of them anew
 * any    | the time of the last who waits is up   | expired(), time_up()| OVER
 * OVER   | no request, check or write runs        | fetch_settle()      | freed
 */
#include "dht/net/fetch_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define FETCH_BUCKETS 64u
#define HEAL_TIMEOUT  (60 * S)

struct waiter {
	struct list link;
	struct fetch *fetch;
	struct pending pending;
	bool late;			/* it came when this round had begun: a miss may be older than its question */
};

struct fetches {
	struct list bucket[FETCH_BUCKETS];
	struct list over;		/* oldest first */
	struct list confirms, wheres;
	unsigned int count, lingering, heals, waiters;
};

static struct list *bucket(struct node *n, const struct address *a)
{
	return &n->fetches->bucket[a->b[ADDRESS_LEN - 1] % FETCH_BUCKETS];
}

/* ---- its end ---- */

static void fetch_free(struct node *n, struct fetch *f)
{
	for (unsigned int i = 0; i < FETCH_ASKS; i++) {
		if (f->ask[i].state == ASKED)
			call_stop(n, &f->ask[i].call);
		else if (f->ask[i].state == CHECKED)
			work_stop(n, &f->ask[i].check);
		chunk_drop(f->ask[i].chunk);
	}
	work_stop(n, &f->work);
	timer_stop(n, &f->hedge);
	timer_stop(n, &f->pause);
	timer_stop(n, &f->give_up);
	list_remove(&f->link);
	n->fetches->count--;
	n->fetches->lingering -= f->state == OVER;
	n->fetches->heals -= f->heal;
	free(f);
}

static void waiter_free(struct node *n, struct waiter *w)
{
	list_remove(&w->link);
	n->fetches->waiters--;
	free(w);
}

/* Free what is OVER once nothing of it runs, or when too many such linger. */
void fetch_settle(struct node *n, struct fetch *f)
{
	bool runs = work_busy(&f->work);

	for (unsigned int i = 0; i < FETCH_ASKS; i++)
		runs = runs || f->ask[i].state != FREE;
	if (!runs)
		fetch_free(n, f);
	else if (n->fetches->lingering > FETCH_LINGER)
		fetch_free(n, list_item(n->fetches->over.next, struct fetch, link));
}

static void over(struct node *n, struct fetch *f)
{
	f->state = OVER;
	timer_stop(n, &f->hedge);
	timer_stop(n, &f->pause);
	timer_stop(n, &f->give_up);
	list_remove(&f->link);
	list_append(&n->fetches->over, &f->link);
	n->fetches->lingering++;
}

static void reply_one(struct node *n, struct waiter *w, int result, struct chunk *chunk, enum kind kind)
{
	struct effect e = { .result = result, .chunk_kind = kind, .chunk = chunk ? chunk_hold(chunk) : NULL };

	command_reply(n, w->pending.ticket, &e);
	waiter_free(n, w);
}

static void reply(struct node *n, struct fetch *f, int result, struct chunk *chunk, enum kind kind)
{
	while (!list_empty(&f->waiters))
		reply_one(n, list_item(f->waiters.next, struct waiter, link), result, chunk, kind);
}

static void kept(struct node *n, struct work *w, const struct event *e)
{
	struct fetch *f = list_item(w, struct fetch, work);

	/* Other owners may lack it as we did. */
	if (!e->result && chunk_state(n, &f->address) & STATE_FOREIGN)
		foreign_add(n, &f->address);
	fetch_settle(n, f);
}

/*
 * A copy for ourselves, in the background; a full disk has none.  In a slot of ours, what is leased belongs here; what
 * is not leased is not brought back by being read.  What is leased and was missed by an owner is pushed back to it.
 * A copy that was here and is bad is made good, whatever it is.
 */
static void keep(struct node *n, struct fetch *f, struct chunk *chunk, enum kind kind)
{
	struct catalogue *c = n->options.catalogue;
	struct effect e = { .kind = EFFECT_WRITE, .address = f->address, .chunk_kind = kind };
	bool leased = c->leased(c, &f->address);

	e.states = chunk_state(n, &f->address) & STATE_ANY;
	if (!e.states && placement_mine(n, ring_slot(&f->address)))
		e.states = leased ? STATE_OWNED | STATE_FOREIGN : 0;
	else if (!e.states)
		e.states = leased && f->missed ? STATE_FOREIGN : STATE_CACHED;
	if (!e.states || (e.states == STATE_CACHED && c->space(c) < chunk->len))
		return;
	e.chunk = chunk_hold(chunk);
	f->work.done = kept;
	work_start(n, &f->work, &e);
}

void fetch_deliver(struct node *n, struct fetch *f, struct chunk *chunk, enum kind kind)
{
	over(n, f);
	fetch_lacked(n, f, true);
	reply(n, f, 0, chunk, kind);
	keep(n, f, chunk, kind);
	fetch_settle(n, f);
}

static void give_up(struct node *n, struct fetch *f, int result)
{
	over(n, f);
	reply(n, f, result, NULL, KIND_ANY);
	fetch_settle(n, f);
}

/* ---- rounds ---- */

static void log_bad(struct node *n, const struct address *a, int result)
{
	char text[ADDRESS_TEXT_LEN + 1];

	address_format(a, text);
	node_log(n, LOG_WARNING, "%s: our copy can't be read: %s", text, strerror(-result));
}

static void ask_others(struct node *n, struct fetch *f)
{
	if (!placement(n)) {
		f->state = PAUSED;		/* until the first table: table() */
		return;
	}
	f->state = ASKING;
	f->tried_count = 0;
	f->placement = *placement_hash(n);
	fetch_advance(n, f);
}

static void local(struct node *n, struct work *w, const struct event *e)
{
	struct fetch *f = list_item(w, struct fetch, work);

	if (f->state == OVER) {
		fetch_settle(n, f);
		return;
	}
	if (!e->result) {
		over(n, f);
		reply(n, f, 0, e->chunk, e->chunk_kind);
		fetch_settle(n, f);
		return;
	}
	f->bad = e->result != -ENOENT;
	if (f->bad && e->result != -EBUSY)
		log_bad(n, &f->address, e->result);
	ask_others(n, f);
}

static void round_begin(struct node *n, struct fetch *f)
{
	struct effect e = { .kind = EFFECT_READ, .address = f->address };

	for (struct list *l = f->waiters.next; l != &f->waiters; l = l->next)
		list_item(l, struct waiter, link)->late = false;
	if (!f->bad && chunk_state(n, &f->address) & STATE_ANY) {
		f->state = LOCAL;
		f->work.done = local;
		work_start(n, &f->work, &e);
	} else {
		ask_others(n, f);
	}
}

/* Did every owner, ourselves among them, say what counts as a miss? */
static bool all_missed(struct node *n, struct fetch *f)
{
	unsigned int slot = ring_slot(&f->address), owners, missed = 0;
	struct peer *owner[RING_REPLICAS_MAX];
	bool mine = placement_mine(n, slot);

	owners = placement_owners(n, slot, owner);
	for (unsigned int i = 0; i < owners; i++) {
		const struct tried *t = fetch_tried(f, &owner[i]->id);

		missed += t && t->outcome == MISSED;
	}
	if (mine && (!placement_complete(n, slot) || chunk_state(n, &f->address) & STATE_ANY))
		return false;
	return missed + mine == placement(n)->replicas;
}

/* Can one who did not answer, or an owner that could not be asked, do better in a moment? */
static bool may_find(struct node *n, struct fetch *f)
{
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = placement_owners(n, ring_slot(&f->address), owner);

	for (unsigned int i = 0; i < f->tried_count; i++)
		if (f->tried[i].outcome == LATER && membership_health(n, &f->tried[i].id) != PEER_DOWN)
			return true;
	for (unsigned int i = 0; i < owners; i++)
		if (!fetch_tried(f, &owner[i]->id) && membership_health(n, &owner[i]->id) != PEER_DOWN)
			return true;
	return false;
}

/* All owners missed it: who had asked by then is told so; for those who joined later another round begins.  False: nobody did. */
static bool again_for_late(struct node *n, struct fetch *f)
{
	bool any = false;

	for (struct list *l = f->waiters.next, *next; l != &f->waiters; l = next) {
		struct waiter *w = list_item(l, struct waiter, link);

		next = l->next;
		any = any || w->late;
		if (!w->late)
			reply_one(n, w, -ENOENT, NULL, KIND_ANY);
	}
	if (any)
		round_begin(n, f);
	return any;
}

void fetch_round_over(struct node *n, struct fetch *f)
{
	uint64_t pause = AGAIN_MIN << (f->rounds < 4 ? f->rounds : 4);
	bool moved = !address_equal(&f->placement, placement_hash(n));

	timer_stop(n, &f->hedge);
	fetch_lacked(n, f, false);
	if (all_missed(n, f) && !moved) {
		if (!again_for_late(n, f))
			give_up(n, f, -ENOENT);
		return;
	}
	/* Again, too, where it came here by another way meanwhile, or where the owners are others now. */
	if (!moved && !may_find(n, f) && (f->bad || !(chunk_state(n, &f->address) & STATE_ANY))) {
		give_up(n, f, -EIO);
		return;
	}
	f->rounds++;
	f->state = PAUSED;
	timer_set(n, &f->pause, n->now + node_jitter(n, pause < AGAIN_MAX ? pause : AGAIN_MAX));
}

static void pause_over(struct node *n, struct timer *t)
{
	round_begin(n, list_item(t, struct fetch, pause));
}

/* Healing alone is bounded by this; whoever waits has a time of his own. */
static void time_up(struct node *n, struct timer *t)
{
	struct fetch *f = list_item(t, struct fetch, give_up);

	f->heal = false;
	n->fetches->heals--;
	if (list_empty(&f->waiters))
		give_up(n, f, -ETIMEDOUT);
}

/* ---- who wants it ---- */

static struct fetch *fetch_find(struct node *n, const struct address *a)
{
	struct list *head = bucket(n, a);

	for (struct list *l = head->next; l != head; l = l->next) {
		struct fetch *f = list_item(l, struct fetch, link);

		if (address_equal(&f->address, a))
			return f;
	}
	return NULL;
}

static struct fetch *fetch_new(struct node *n, const struct address *a)
{
	struct fetch *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->address = *a;
	list_init(&f->waiters);
	f->hedge.due = fetch_hedge;
	f->pause.due = pause_over;
	f->give_up.due = time_up;
	list_append(bucket(n, a), &f->link);
	n->fetches->count++;
	return f;
}

static void expired(struct node *n, struct pending *p)
{
	struct waiter *w = list_item(p, struct waiter, pending);
	struct fetch *f = w->fetch;

	waiter_free(n, w);
	if (list_empty(&f->waiters) && !f->heal)
		give_up(n, f, -ETIMEDOUT);
}

void fetch_command(struct node *n, const struct command *c)
{
	struct waiter *w;
	struct fetch *f;
	bool fresh;

	if (c->kind == COMMAND_CONFIRM) {
		confirm_command(n, c);
		return;
	}
	if (c->kind == COMMAND_WHERE) {
		where_command(n, c);
		return;
	}
	f = fetch_find(n, &c->address);
	fresh = !f;
	w = calloc(1, sizeof *w);
	if (w && fresh)
		f = fetch_new(n, &c->address);
	if (!w || !f) {
		free(w);
		command_result(n, c->ticket, -ENOMEM);
		return;
	}
	w->fetch = f;
	w->late = !fresh;
	w->pending.expired = expired;
	list_append(&f->waiters, &w->link);
	n->fetches->waiters++;
	command_start(n, &w->pending, c);
	if (fresh)
		round_begin(n, f);
}

void fetch_heal(struct node *n, const struct address *a)
{
	struct fetch *f = fetch_find(n, a);

	/* One that runs already finds out by itself. */
	if (f || n->fetches->heals >= HEALS_MAX || !(f = fetch_new(n, a)))
		return;
	f->heal = f->bad = true;
	n->fetches->heals++;
	timer_set(n, &f->give_up, n->now + HEAL_TIMEOUT);
	round_begin(n, f);
}

struct list *fetch_confirms(struct node *n)
{
	return &n->fetches->confirms;
}

struct list *fetch_wheres(struct node *n)
{
	return &n->fetches->wheres;
}

/* ---- the machine ---- */

static void table(struct node *n)
{
	for (unsigned int i = 0; i < FETCH_BUCKETS; i++) {
		struct list *head = &n->fetches->bucket[i], *next;

		for (struct list *l = head->next; l != head; l = next) {
			struct fetch *f = list_item(l, struct fetch, link);

			next = l->next;
			if (f->state != PAUSED)
				continue;
			timer_stop(n, &f->pause);
			round_begin(n, f);
		}
	}
}

static void start(struct node *n)
{
	n->fetches = calloc(1, sizeof *n->fetches);
	if (!n->fetches) {
		node_stop(n, "no memory");
		return;
	}
	list_init(&n->fetches->over);
	list_init(&n->fetches->confirms);
	list_init(&n->fetches->wheres);
	for (unsigned int i = 0; i < FETCH_BUCKETS; i++)
		list_init(&n->fetches->bucket[i]);
}

static void end_all(struct node *n, struct list *head)
{
	while (!list_empty(head)) {
		struct fetch *f = list_item(head->next, struct fetch, link);

		while (!list_empty(&f->waiters))
			waiter_free(n, list_item(f->waiters.next, struct waiter, link));
		fetch_free(n, f);
	}
}

static void end(struct node *n)
{
	if (!n->fetches)
		return;
	for (unsigned int i = 0; i < FETCH_BUCKETS; i++)
		end_all(n, &n->fetches->bucket[i]);
	end_all(n, &n->fetches->over);
	confirm_end(n);
	where_end(n);
	free(n->fetches);
	n->fetches = NULL;
}

static size_t memory(struct node *n)
{
	struct fetches *all = n->fetches;

	return all ? sizeof *all + all->count * sizeof(struct fetch) + all->waiters * sizeof(struct waiter) +
	    confirm_memory(n) + where_memory(n) : 0;
}

const struct machine fetch_machine = {
	.name = "fetch",
	.start = start,
	.table = table,
	.end = end,
	.memory = memory,
};
