/*
 * Getting the chunks that repair found to be lacking: each once, however many pairs found it, from whoever has it at
 * the least cost.
 *
 * state   | event                                     | function     | next
 * WAITING | a place is free; it is here by now        | begin()      | over: got
 *         | no lease has it any more                  | begin()      | over: got
 *         | the disk was full a moment ago            | begin()      | over: missed
 *         | it is here, but only cached               | begin()      | KEEPING
 *         | else                                      | ask()        | ASKED
 * ASKED   | its bytes                                 | answered()   | WRITING
 *         | anything else; there are others to ask    | answered()   | ASKED
 *         | nobody else                               | answered()   | over: missed
 * WRITING | done                                      | written()    | over: got; foreign_add() where it is not ours
 *         | done, but the slot has moved meanwhile    | written()    | LABELLING
 *         | they were not its bytes                   | written()    | ASKED, or over: missed
 *         | the disk failed, or is full               | written()    | over: missed
 * KEEPING | done                                      | kept()       | as WRITING
 *         | it has been evicted meanwhile             | kept()       | ASKED
 * LABELLING | done                                    | labelled()   | over: got; foreign_add()
 *
 * A spare (spare.c) is wanted though no lease here has it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "dht/net/repair_impl.h"

#define BUCKETS	  1024u
#define TRIES_MAX 8u			/* peers asked for one chunk: R owners, and those of before */
#define FULL_REST (30 * S)		/* a full disk is not tried again for so long: bytes would come for nothing */
#define FULL_TOLD (600 * S)		/* and is told of so often */

struct want {
	struct list link;		/* in line, in the order of coming; alone while under way */
	struct want *next;		/* in its bucket */
	struct address address, from;
	bool spare;
	struct reconcile *asker[REPAIRS_MAX];
};

struct pull {
	struct want *want;		/* NULL: free */
	struct call call;
	struct work work;
	unsigned int states;		/* that its record gets */
	struct address tried[TRIES_MAX];
	unsigned int tries;
};

struct pulls {
	struct want *bucket[BUCKETS];	/* to find, never to walk */
	struct list line;
	unsigned int wants;
	struct pull pull[REPAIR_PULLS];
	struct timer timer;
	struct reconcile *waiting[REPAIRS_MAX];	/* for room */
	uint64_t full_until, told_until;
};

static void ask(struct node *n, struct pull *p);

static struct want **bucket_of(struct pulls *s, const struct address *a)
{
	/* the last bytes: those in front are much the same where one slot is repaired */
	return &s->bucket[(a->b[ADDRESS_LEN - 1] | a->b[ADDRESS_LEN - 2] << 8) % BUCKETS];
}

static struct want *want_find(struct pulls *s, const struct address *a)
{
	struct want *w = *bucket_of(s, a);

	while (w && !address_equal(&w->address, a))
		w = w->next;
	return w;
}

static void want_free(struct pulls *s, struct want *w)
{
	struct want **at = bucket_of(s, &w->address);

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	list_remove(&w->link);
	s->wants--;
	free(w);
}

static void pump_soon(struct node *n)
{
	if (!timer_busy(&n->repair->pulls->timer))
		timer_set(n, &n->repair->pulls->timer, n->now);
}

static void over(struct node *n, struct pull *p, bool got)
{
	struct pulls *s = n->repair->pulls;
	struct want *w = p->want;
	struct reconcile *asker[REPAIRS_MAX];
	struct address a = w->address;

	memcpy(asker, w->asker, sizeof(asker));
	p->want = NULL;
	want_free(s, w);
	for (unsigned int i = 0; i < REPAIRS_MAX; i++)
		if (asker[i])
			reconcile_pulled(n, asker[i], &a, got);
	pump_soon(n);
}

static void labelled(struct node *n, struct work *work, const struct event *e)
{
	struct pull *p = list_item(work, struct pull, work);

	if (!e->result)
		foreign_add(n, &p->want->address);
	over(n, p, !e->result);
}

/* It is here, as p->states.  Rebalance has not seen one that came while its slot moved away. */
static void here(struct node *n, struct pull *p)
{
	const struct address *a = &p->want->address;
	struct effect e = { .kind = EFFECT_STATES, .address = *a, .states = STATE_FOREIGN };

	if (p->states == STATE_OWNED && !placement_mine(n, ring_slot(a))) {
		p->work.done = labelled;
		work_start(n, &p->work, &e);
		return;
	}
	if (p->states == STATE_FOREIGN)
		foreign_add(n, a);
	over(n, p, true);
}

void pulls_full(struct node *n)
{
	struct pulls *s = n->repair ? n->repair->pulls : NULL;

	if (!s)
		return;
	s->full_until = n->now + FULL_REST;
	if (n->now < s->told_until)
		return;
	s->told_until = n->now + FULL_TOLD;
	node_log(n, LOG_WARNING, "this node is FULL: copies that it should have go to others; give it more room (--size-max, the disk), or less --weight");
}

bool pulls_busy(const struct node *n)
{
	return n->repair && n->repair->pulls && n->repair->pulls->wants > 0;
}

static void written(struct node *n, struct work *work, const struct event *e)
{
	struct pull *p = list_item(work, struct pull, work);
	struct peer *from;

	if (!e->result) {
		here(n, p);
		return;
	}
	if (e->result != -EBADMSG) {
		if (e->result == -ENOSPC)
			pulls_full(n);
		else
			node_log(n, LOG_WARNING, "repair: a chunk could not be written: %s", strerror(-e->result));
		over(n, p, false);
		return;
	}
	from = peer_find(n, &p->tried[p->tries - 1]);
	if (from)
		peer_wrong(n, from, "sent other bytes than those of the address");
	ask(n, p);
}

static unsigned int state_to_be(struct node *n, const struct address *a)
{
	return placement_mine(n, ring_slot(a)) ? STATE_OWNED : STATE_FOREIGN;
}

static void answered(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct pull *p = list_item(c, struct pull, call);
	struct effect e = { .kind = EFFECT_WRITE, .address = p->want->address };

	if (result || m->status != WIRE_OK || !(m->has & WIRE_HAS(FIELD_BYTES)) || !(m->has & WIRE_HAS(FIELD_KIND))) {
		ask(n, p);
		return;
	}
	e.chunk_kind = m->kind;
	e.states = p->states = state_to_be(n, &e.address);
	e.chunk = chunk_slice(body, (size_t)(m->bytes.data - body->data), m->bytes.len);
	if (!e.chunk) {
		over(n, p, false);
		return;
	}
	p->work.done = written;
	work_start(n, &p->work, &e);
}

/* Of those that were not asked yet the one of least cost; of equal ones the first that is considered. */
static void consider(struct node *n, const struct pull *p, struct peer *candidate, struct peer **best, uint64_t *cost)
{
	uint64_t its = candidate ? peer_cost(n, candidate) : UINT64_MAX;

	if (its >= *cost)
		return;
	for (unsigned int i = 0; i < p->tries; i++)
		if (address_equal(&p->tried[i], &candidate->id))
			return;
	*cost = its;
	*best = candidate;
}

static struct peer *choose(struct node *n, const struct pull *p)
{
	unsigned int slot = ring_slot(&p->want->address);
	struct peer *owner[RING_REPLICAS_MAX], *best = NULL;
	const struct ring *before;
	uint64_t cost = UINT64_MAX;
	unsigned int owners = placement_owners(n, slot, owner);

	consider(n, p, peer_find(n, &p->want->from), &best, &cost);
	for (unsigned int i = 0; i < owners; i++)
		consider(n, p, owner[i], &best, &cost);
	for (unsigned int i = 0; !best && (before = placement_earlier(n, i)); i++)
		for (unsigned int rank = 0; rank < before->replicas; rank++)
			consider(n, p, peer_find(n, &before->member[ring_owners(before, slot)[rank]].id), &best, &cost);
	return best;
}

static void ask(struct node *n, struct pull *p)
{
	struct message m = { .type = WIRE_GET, .address = p->want->address };
	struct peer *peer = p->tries < TRIES_MAX ? choose(n, p) : NULL;

	if (!peer) {
		over(n, p, false);
		return;
	}
	p->tried[p->tries++] = peer->id;
	p->call.done = answered;
	call_start(n, &p->call, peer, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

static void kept(struct node *n, struct work *work, const struct event *e)
{
	struct pull *p = list_item(work, struct pull, work);

	if (e->result)
		ask(n, p);
	else
		here(n, p);
}

static void begin(struct node *n, struct pull *p)
{
	struct catalogue *c = n->options.catalogue;
	const struct address *a = &p->want->address;
	unsigned int states = c->state(c, a);
	struct effect e = { .kind = EFFECT_STATES, .address = *a };

	p->tries = 0;
	if (states & (STATE_OWNED | STATE_FOREIGN) || (!p->want->spare && !c->leased(c, a))) {
		over(n, p, true);
	} else if (states & STATE_CACHED) {
		e.states = p->states = state_to_be(n, a);
		p->work.done = kept;
		work_start(n, &p->work, &e);
	} else if (n->now < n->repair->pulls->full_until) {
		over(n, p, false);
	} else {
		ask(n, p);
	}
}

static void pump(struct node *n, struct timer *t)
{
	struct pulls *s = list_item(t, struct pulls, timer);
	unsigned int begun = 0;

	for (unsigned int i = 0; i < REPAIR_PULLS && !list_empty(&s->line); i++) {
		struct pull *p = &s->pull[i];

		if (p->want)
			continue;
		p->want = list_item(s->line.next, struct want, link);
		list_remove(&p->want->link);
		begun++;
		begin(n, p);
	}
	/* what was here already has given its place back at once */
	if (begun && !list_empty(&s->line))
		for (unsigned int i = 0; i < REPAIR_PULLS; i++)
			if (!s->pull[i].want)
				pump_soon(n);
	for (unsigned int i = 0; i < REPAIRS_MAX && s->wants <= REPAIR_WANTS / 2; i++) {
		struct reconcile *r = s->waiting[i];

		s->waiting[i] = NULL;
		if (r)
			reconcile_room(n, r);
	}
}

/* Note ${r} in a list of those that wait or ask; there are never more than REPAIRS_MAX.  0: it is there already. */
static int note(struct reconcile *list[REPAIRS_MAX], struct reconcile *r)
{
	unsigned int free_one = REPAIRS_MAX;

	if (!r)
		return 0;
	for (unsigned int i = 0; i < REPAIRS_MAX; i++) {
		if (list[i] == r)
			return 0;
		if (!list[i] && free_one == REPAIRS_MAX)
			free_one = i;
	}
	assert(free_one < REPAIRS_MAX);
	list[free_one] = r;
	return 1;
}

static struct want *want_new(struct pulls *s, const struct address *a, const struct address *from)
{
	struct want *w, **bucket = bucket_of(s, a);

	w = s->wants < REPAIR_WANTS ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return NULL;
	w->address = *a;
	w->from = *from;
	w->next = *bucket;
	*bucket = w;
	list_append(&s->line, &w->link);
	s->wants++;
	return w;
}

int pull_add(struct node *n, const struct address *a, const struct address *from, struct reconcile *r)
{
	struct pulls *s = n->repair->pulls;
	struct want *w = want_find(s, a);

	if (!w)
		w = want_new(s, a, from);
	if (!w) {
		note(s->waiting, r);
		pump_soon(n);		/* where memory ran out, nothing else may wake it */
		return -ENOSPC;
	}
	pump_soon(n);
	return note(w->asker, r);
}

int pull_spare(struct node *n, const struct address *a, const struct address *from)
{
	int result = pull_add(n, a, from, NULL);

	if (result < 0)
		return result;
	want_find(n->repair->pulls, a)->spare = true;
	return 0;
}

void pulls_forget(struct node *n, const struct reconcile *r)
{
	struct pulls *s = n->repair->pulls;
	struct list *l;

	for (unsigned int k = 0; k < REPAIRS_MAX; k++) {
		if (s->waiting[k] == r)
			s->waiting[k] = NULL;
		for (unsigned int i = 0; i < REPAIR_PULLS; i++)
			if (s->pull[i].want && s->pull[i].want->asker[k] == r)
				s->pull[i].want->asker[k] = NULL;
		for (l = s->line.next; l != &s->line; l = l->next) {
			struct want *w = list_item(l, struct want, link);

			if (w->asker[k] == r)
				w->asker[k] = NULL;
		}
	}
}

int pulls_start(struct node *n)
{
	struct pulls *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	list_init(&s->line);
	s->timer.due = pump;
	n->repair->pulls = s;
	return 0;
}

void pulls_end(struct node *n)
{
	struct pulls *s = n->repair->pulls;

	if (!s)
		return;
	timer_stop(n, &s->timer);
	for (unsigned int i = 0; i < REPAIR_PULLS; i++) {
		struct pull *p = &s->pull[i];

		call_stop(n, &p->call);
		work_stop(n, &p->work);
		if (p->want)
			want_free(s, p->want);
	}
	while (!list_empty(&s->line))
		want_free(s, list_item(s->line.next, struct want, link));
	free(s);
	n->repair->pulls = NULL;
}

size_t pulls_memory(const struct node *n)
{
	return sizeof(struct pulls) + n->repair->pulls->wants * sizeof(struct want);
}
