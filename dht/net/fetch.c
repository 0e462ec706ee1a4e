/*
 * A fetch: one chunk for all who want it at the moment.  From our own disk, else from its owners, the one that answers soonest
 * first; then from those who owned its slot before, and from spares.  No byte is handed out unchecked.
 *
 * fetch  | event                                     | function     | next
 * -      | COMMAND_FETCH, fetch_heal()               | begin()      | LOCAL where a copy is here, else ASKING
 * LOCAL  | read                                      | local()      | OVER, delivered
 *        | gone, or bad                              | local()      | ASKING
 * ASKING | an answer's bytes are the address's       | checked()    | OVER, delivered
 *        | an answer fails                           | failed()     | the next is asked, see advance()
 *        | slower than 95 of a hundred are           | hedge()      | a second is asked, as far as HEDGE_SHARE goes
 *        | nobody is left: every owner missed it     | round_over() | OVER: -ENOENT
 *        | ... some may answer yet                   | round_over() | PAUSED
 *        | ... none will                             | round_over() | OVER: -EIO
 * PAUSED | a while later; a new table                | round()      | ASKING, all of them anew
 * any    | the time of the last who waits is up      | expired()    | OVER
 * OVER   | no request, check or write runs           | settle()     | freed
 *
 * ask    | event                                     | function     | next
 * FREE   | advance(), hedge()                        | ask()        | ASKED
 * ASKED  | bytes                                     | answered()   | CHECKED: EFFECT_CHECK
 *        | a miss, a refusal, nothing                | answered()   | FREE
 * CHECKED| right, or wrong (peer_wrong())            | checked()    | FREE
 *
 * A request that lost the race is left to run: only so does its peer's cost rise with its age.
 */
#include "dht/net/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_BUCKETS 64u
#define FETCH_TRIED   (3 * RING_REPLICAS_MAX)	/* nodes asked in one round: owners now and before, spares */
#define HEAL_TIMEOUT  (60 * S)

enum fetch_state { LOCAL, ASKING, PAUSED, OVER };
enum ask_state { FREE, ASKED, CHECKED };

/* What one node had to say in this round. */
enum outcome {
	OPEN,			/* not asked, or no answer yet */
	MISSED,			/* it has not, and that counts if it is an owner */
	NOTHING,		/* nothing that would be better in a moment */
	LATER,			/* it may be: busy, another table, a link that was cut */
};

struct tried {
	struct address id;
	enum outcome outcome;
};

struct ask {
	struct fetch *fetch;
	enum ask_state state;
	struct tried *tried;
	struct call call;
	struct work check;
	struct chunk *chunk;
	enum kind kind;
};

struct fetch {
	struct list link;		/* of its bucket; of those that linger once it is OVER */
	struct list waiters;
	enum fetch_state state;
	struct address address, placement;	/* the table of this round */
	bool heal;			/* for our own disk: nobody need wait */
	bool bad;			/* there is a copy here that can't be read */
	bool late;			/* what runs is slower than it should be */
	bool failed;			/* the first one asked did not do */
	bool counted;			/* as a read from the network */
	unsigned int rounds, tried_count;
	struct tried tried[FETCH_TRIED];
	struct ask ask[FETCH_ASKS];
	struct work work;		/* the local copy: reading, writing */
	struct timer hedge, pause, give_up;
};

struct waiter {
	struct list link;
	struct fetch *fetch;
	struct pending pending;
};

struct fetches {
	struct list bucket[FETCH_BUCKETS];
	struct list over;		/* oldest first */
	struct list confirms;
	unsigned int count, lingering, heals, waiters;
};

static void advance(struct node *n, struct fetch *f);
static void round_over(struct node *n, struct fetch *f);

static struct list *bucket(struct node *n, const struct address *a)
{
	return &n->fetches->bucket[a->b[ADDRESS_LEN - 1] % FETCH_BUCKETS];
}

static unsigned int state_of(struct node *n, const struct address *a)
{
	return n->options.catalogue->state(n->options.catalogue, a);
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
static void settle(struct node *n, struct fetch *f)
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

static void reply(struct node *n, struct fetch *f, int result, struct chunk *chunk, enum kind kind)
{
	while (!list_empty(&f->waiters)) {
		struct waiter *w = list_item(f->waiters.next, struct waiter, link);
		struct effect e = { .result = result, .chunk_kind = kind, .chunk = chunk ? chunk_hold(chunk) : NULL };

		command_reply(n, w->pending.ticket, &e);
		waiter_free(n, w);
	}
}

static void kept(struct node *n, struct work *w, const struct event *e)
{
	struct fetch *f = list_item(w, struct fetch, work);

	/* The other owners may lack it as we did: it is pushed back. */
	if (!e->result && state_of(n, &f->address) & STATE_FOREIGN)
		foreign_add(n, &f->address);
	settle(n, f);
}

/*
 * A copy for ourselves, in the background; a full disk has none.  In a slot of ours, what is leased belongs here; what is not
 * leased is not brought back by being read.
 */
static void keep(struct node *n, struct fetch *f, struct chunk *chunk, enum kind kind)
{
	struct catalogue *c = n->options.catalogue;
	struct effect e = { .kind = EFFECT_WRITE, .address = f->address, .chunk_kind = kind };

	e.states = state_of(n, &f->address) & STATE_ANY;
	if (!e.states)
		e.states = placement_mine(n, ring_slot(&f->address)) && c->leased(c, &f->address) ?
		    STATE_OWNED | STATE_FOREIGN : STATE_CACHED;
	if (e.states == STATE_CACHED && c->space(c) < chunk->len)
		return;
	e.chunk = chunk_hold(chunk);
	f->work.done = kept;
	work_start(n, &f->work, &e);
}

static void deliver(struct node *n, struct fetch *f, struct chunk *chunk, enum kind kind)
{
	over(n, f);
	reply(n, f, 0, chunk, kind);
	keep(n, f, chunk, kind);
	settle(n, f);
}

static void give_up(struct node *n, struct fetch *f, int result)
{
	over(n, f);
	reply(n, f, result, NULL, KIND_ANY);
	settle(n, f);
}

/* ---- asking ---- */

static unsigned int running(const struct fetch *f)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < FETCH_ASKS; i++)
		count += f->ask[i].state != FREE;
	return count;
}

static struct tried *tried_find(struct fetch *f, const struct address *id)
{
	for (unsigned int i = 0; i < f->tried_count; i++)
		if (address_equal(&f->tried[i].id, id))
			return &f->tried[i];
	return NULL;
}

static bool may_ask(struct node *n, struct fetch *f, struct peer *p)
{
	return p && !tried_find(f, &p->id) && peer_cost(n, p) != UINT64_MAX;
}

static struct peer *best_owner(struct node *n, struct fetch *f)
{
	struct peer *owner[RING_REPLICAS_MAX], *best = NULL;
	unsigned int owners = placement_owners(n, ring_slot(&f->address), owner);

	for (unsigned int i = 0; i < owners; i++)
		if (may_ask(n, f, owner[i]) && (!best || peer_cost(n, owner[i]) < peer_cost(n, best)))
			best = owner[i];
	return best;
}

static struct peer *earlier_owner(struct node *n, struct fetch *f)
{
	unsigned int slot = ring_slot(&f->address);
	const struct ring *r;

	for (unsigned int i = 0; (r = placement_earlier(n, i)); i++) {
		const uint16_t *owner = ring_owners(r, slot);

		for (unsigned int k = 0; k < r->replicas; k++) {
			struct peer *p = peer_find(n, &r->member[owner[k]].id);

			if (may_ask(n, f, p))
				return p;
		}
	}
	return NULL;
}

static struct peer *spare(struct node *n, struct fetch *f)
{
	struct peer *walk[RING_REPLICAS_MAX + FETCH_SPARES];
	unsigned int slot = ring_slot(&f->address), count;

	count = placement_walk(n, slot, walk, placement(n)->replicas + FETCH_SPARES);
	for (unsigned int i = 0; i < count; i++)
		if (may_ask(n, f, walk[i]))
			return walk[i];
	return NULL;
}

static void failed(struct node *n, struct ask *a, enum outcome outcome)
{
	struct fetch *f = a->fetch;

	a->state = FREE;
	if (f->state == OVER) {
		settle(n, f);
		return;
	}
	f->failed = true;
	a->tried->outcome = outcome;
	advance(n, f);
}

static void checked(struct node *n, struct work *w, const struct event *e)
{
	struct ask *a = list_item(w, struct ask, check);
	struct fetch *f = a->fetch;
	struct chunk *chunk = a->chunk;
	struct peer *p = peer_find(n, &a->tried->id);

	a->chunk = NULL;
	if (e->result == -EBADMSG && p)
		peer_wrong(n, p, "answered with bytes that are not those of the address");
	if (e->result || f->state == OVER) {
		failed(n, a, e->result == -EBADMSG ? NOTHING : LATER);
	} else {
		a->state = FREE;
		n->status.reads_one_trip += !f->failed;
		deliver(n, f, chunk, a->kind);
	}
	chunk_drop(chunk);
}

static enum outcome judge(int result, const struct message *answer)
{
	if (result)
		return result == -EBADMSG ? NOTHING : LATER;
	switch (answer->status) {
	case WIRE_MISS:
		return answer->complete ? MISSED : NOTHING;
	case WIRE_BUSY:
	case WIRE_OTHER_PLACEMENT:
		return LATER;
	default:
		return NOTHING;
	}
}

static void answered(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct ask *a = list_item(c, struct ask, call);
	struct effect e = { .kind = EFFECT_CHECK, .address = a->fetch->address };

	/* Somebody else's answer was good already. */
	if (a->fetch->state == OVER || result || answer->status != WIRE_OK) {
		failed(n, a, judge(result, answer));
		return;
	}
	if (!(answer->has & WIRE_HAS(FIELD_BYTES)) || !kind_valid(answer->kind)) {
		peer_wrong(n, c->peer, "answered a read without bytes");
		failed(n, a, NOTHING);
		return;
	}
	a->kind = answer->kind;
	a->chunk = chunk_slice(body, (size_t)(answer->bytes.data - body->data), answer->bytes.len);
	if (!a->chunk) {
		failed(n, a, LATER);
		return;
	}
	a->state = CHECKED;
	a->check.done = checked;
	e.chunk_kind = a->kind;
	e.chunk = chunk_hold(a->chunk);
	work_start(n, &a->check, &e);
}

/* How long an answer takes at most, 95 times of a hundred. */
static uint64_t patience(const struct peer *p)
{
	return p->latency_p95 > HEDGE_MIN ? p->latency_p95 : HEDGE_MIN;
}

static void ask(struct node *n, struct fetch *f, struct peer *p)
{
	struct message m = { .type = WIRE_GET, .address = f->address };
	struct ask *a = f->ask;

	while (a->state != FREE)
		a++;
	if (!running(f))
		timer_set(n, &f->hedge, n->now + patience(p));
	n->status.reads += !f->counted;
	f->counted = true;
	a->fetch = f;
	a->state = ASKED;
	a->tried = &f->tried[f->tried_count++];
	*a->tried = (struct tried){ .id = p->id };
	a->call.done = answered;
	call_start(n, &a->call, p, &m, NULL, LINK_READ, CALL_TIMEOUT);
}

/*
 * Ask the next: one owner at a time, the others all at once, for they are the last hope.  As long as what runs
 * is on time, nothing else is asked.
 */
static void advance(struct node *n, struct fetch *f)
{
	struct peer *p;

	if (!running(f))
		f->late = false;
	else if (!f->late)
		return;
	while (running(f) < FETCH_ASKS && f->tried_count < FETCH_TRIED) {
		p = best_owner(n, f);
		if (p) {
			ask(n, f, p);
			return;
		}
		p = earlier_owner(n, f);
		if (!p)
			p = spare(n, f);
		if (!p)
			break;
		ask(n, f, p);
	}
	if (!running(f))
		round_over(n, f);
}

static void hedge(struct node *n, struct timer *t)
{
	struct fetch *f = list_item(t, struct fetch, hedge);
	uint64_t share = n->status.reads * HEDGE_SHARE / 100;
	struct peer *p = best_owner(n, f);

	f->late = true;
	if (!p && f->failed)
		advance(n, f);		/* all others have answered: this is no second request but the next */
	if (!p || running(f) != 1)
		return;
	if (n->status.reads_hedged >= (share > HEDGE_FREE ? share : HEDGE_FREE)) {
		/* Others may earn it a second request while it waits. */
		timer_set(n, t, n->now + patience(p));
		return;
	}
	n->status.reads_hedged++;
	ask(n, f, p);
}

/* ---- rounds ---- */

static void local(struct node *n, struct work *w, const struct event *e)
{
	struct fetch *f = list_item(w, struct fetch, work);

	if (f->state == OVER) {
		settle(n, f);
		return;
	}
	if (!e->result) {
		over(n, f);
		reply(n, f, 0, e->chunk, e->chunk_kind);
		settle(n, f);
		return;
	}
	f->bad = e->result != -ENOENT;
	f->state = ASKING;
	if (f->bad)
		node_log(n, 4, "a chunk of our own can't be read: %s", strerror(-e->result));
	advance(n, f);
}

static void round_begin(struct node *n, struct fetch *f)
{
	struct effect e = { .kind = EFFECT_READ, .address = f->address };

	f->tried_count = 0;
	f->placement = *placement_hash(n);
	if (!f->bad && state_of(n, &f->address) & STATE_ANY) {
		f->state = LOCAL;
		f->work.done = local;
		work_start(n, &f->work, &e);
	} else if (placement(n)) {
		f->state = ASKING;
		advance(n, f);
	} else {
		f->state = PAUSED;		/* until the first table: table() */
	}
}

/* Did every owner, ourselves among them, say what counts as a miss?  *${later}: no, but it may yet be answered otherwise. */
static bool all_missed(struct node *n, struct fetch *f, bool *later)
{
	unsigned int slot = ring_slot(&f->address), owners, missed = 0;
	struct peer *owner[RING_REPLICAS_MAX];
	bool mine = placement_mine(n, slot);

	*later = false;
	owners = placement_owners(n, slot, owner);
	for (unsigned int i = 0; i < owners; i++) {
		const struct tried *t = tried_find(f, &owner[i]->id);
		enum outcome outcome = t ? t->outcome : OPEN;

		if (outcome == MISSED)
			missed++;
		else if (outcome != NOTHING && membership_health(n, &owner[i]->id) != PEER_DOWN)
			*later = true;
	}
	if (mine && (!placement_complete(n, slot) || state_of(n, &f->address) & STATE_ANY))
		return false;
	return missed + mine == placement(n)->replicas;
}

static void round_over(struct node *n, struct fetch *f)
{
	uint64_t pause = AGAIN_MIN << (f->rounds < 4 ? f->rounds : 4);
	bool later, moved = !address_equal(&f->placement, placement_hash(n));

	timer_stop(n, &f->hedge);
	if (all_missed(n, f, &later) && !moved) {
		give_up(n, f, -ENOENT);
		return;
	}
	/* Again, too, where it came here by another way meanwhile, or where the owners are others now. */
	if (!moved && !later && (f->bad || !(state_of(n, &f->address) & STATE_ANY))) {
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

static void time_up(struct node *n, struct timer *t)
{
	give_up(n, list_item(t, struct fetch, give_up), -ETIMEDOUT);
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
	f->hedge.due = hedge;
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
	free(n->fetches);
	n->fetches = NULL;
}

static size_t memory(struct node *n)
{
	struct fetches *all = n->fetches;

	return all ? sizeof *all + all->count * sizeof(struct fetch) + all->waiters * sizeof(struct waiter) : 0;
}

const struct machine fetch_machine = {
	.name = "fetch",
	.start = start,
	.table = table,
	.end = end,
	.memory = memory,
};
