/*
 * Whom to ask for a chunk, and when to ask a second one.
 *
 * ask    | event                                     | function     | next
 * FREE   | fetch_advance(), fetch_hedge()            | ask()        | ASKED
 * ASKED  | bytes                                     | answered()   | CHECKED: EFFECT_CHECK
 *        | a miss, a refusal, nothing                | answered()   | FREE
 * CHECKED| right, or wrong (peer_wrong())            | checked()    | FREE
 *
 * A request that lost the race is left to run: only so does its peer's cost rise with its age.
 */
#include "dht/net/fetch_impl.h"

#include <assert.h>
#include <errno.h>

unsigned int fetch_running(const struct fetch *f)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < FETCH_ASKS; i++)
		count += f->ask[i].state != FREE;
	return count;
}

struct tried *fetch_tried(struct fetch *f, const struct address *id)
{
	for (unsigned int i = 0; i < f->tried_count; i++)
		if (address_equal(&f->tried[i].id, id))
			return &f->tried[i];
	return NULL;
}

static bool may_ask(struct node *n, struct fetch *f, struct peer *p)
{
	return p && !fetch_tried(f, &p->id) && peer_cost(n, p) != UINT64_MAX;
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
		fetch_settle(n, f);
		return;
	}
	f->failed = true;
	f->missed = f->missed || outcome == MISSED;
	a->tried->outcome = outcome;
	fetch_advance(n, f);
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
		fetch_deliver(n, f, chunk, a->kind);
	}
	chunk_drop(chunk);
}

void fetch_lacked(struct node *n, struct fetch *f, bool found)
{
	for (unsigned int i = 0; i < f->tried_count; i++) {
		struct tried *t = &f->tried[i];

		if (t->lacked)
			peer_lacked(n, &t->id, (found ? n->now : t->lacked) - t->sent);
		t->lacked = 0;
	}
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

	if (!result && answer->status != WIRE_OK && a->fetch->state == OVER) {
		peer_lacked(n, &a->tried->id, n->now - c->sent);
	} else if (!result && answer->status != WIRE_OK) {
		a->tried->sent = c->sent;
		a->tried->lacked = n->now;
	}
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
	if (!p->latency_p95)
		return HEDGE_UNKNOWN;
	return p->latency_p95 > HEDGE_MIN ? p->latency_p95 : HEDGE_MIN;
}

static void ask(struct node *n, struct fetch *f, struct peer *p)
{
	struct message m = { .type = WIRE_GET, .address = f->address };
	struct ask *a = f->ask;

	assert(f->tried_count < FETCH_TRIED);
	while (a->state != FREE)
		a++;
	if (!fetch_running(f))
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

/* Ask the next: one owner at a time, the others all at once, for they are the last hope. */
void fetch_advance(struct node *n, struct fetch *f)
{
	struct peer *p;

	while (fetch_running(f) < FETCH_ASKS && f->tried_count < FETCH_TRIED) {
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
	if (!fetch_running(f))
		fetch_round_over(n, f);
}

void fetch_hedge(struct node *n, struct timer *t)
{
	struct fetch *f = list_item(t, struct fetch, hedge);
	uint64_t share = n->status.reads * HEDGE_SHARE / 100;
	struct peer *p = best_owner(n, f);

	if (!p && f->failed)
		fetch_advance(n, f);		/* all others have answered: this is no second request but the next */
	if (!p || fetch_running(f) != 1 || f->tried_count == FETCH_TRIED)
		return;
	if (n->status.reads_hedged >= (share > HEDGE_FREE ? share : HEDGE_FREE)) {
		/* Others may earn it a second request while it waits. */
		timer_set(n, t, n->now + patience(p));
		return;
	}
	n->status.reads_hedged++;
	ask(n, f, p);
}
