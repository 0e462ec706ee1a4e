/*
 * One foreign record, once its owners have been asked: bytes for those that lack it, a proof from all.
 *
 * state    | event                                   | function   | next
 * -        | some owner lacks it                     | next()     | READING
 *          | all say that they have it               | next()     | PROVING: our own answer to a fresh nonce
 *          | all have proved it                      | next()     | SETTLING: EFFECT_STATES
 *          | one is out, and none lacks it           | next()     | over, left
 * READING  | the bytes                               | was_read() | PUTTING, to all that lack it at once
 *          | gone; bad                               | was_read() | over; fetch_heal()
 * PUTTING  | the last answer                         | was_put()  | see next()
 * PROVING  | the hash                                | expected() | AUDITING, all that say that they have it at once
 * AUDITING | the last answer.  False ones lack it,   | audited()  | see next()
 *          | once; the second time they are out      |            |
 * SETTLING | durable                                 | settled()  | over
 *          | ... but the table is another one now    | settled()  | FOREIGN again: over, left
 */
#include "dht/net/foreign_impl.h"

#include <errno.h>
#include <stdlib.h>

#define PUT_TIMEOUT (3 * CALL_TIMEOUT)	/* at the lowest priority, and in line behind others for the same peer */

struct shipment {
	struct move *move;
	struct work work;
	struct address nonce;
	struct leg {
		struct shipment *shipment;
		struct call put;
		struct proof proof;
	} leg[RING_REPLICAS_MAX];
	struct chunk *chunk;
	size_t bytes;			/* of it; while it is read, as many as it may have */
	enum kind kind;
};

static void next(struct node *n, struct move *m);

unsigned int move_has(const struct move *m, enum copy_state state)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < m->owners; i++)
		count += m->copy[i].state == state;
	return count;
}

static void over(struct node *n, struct move *m, bool left)
{
	foreign_over(n, m, left);
	foreign_pump(n);
}

static void count_bytes(struct node *n, struct shipment *s, size_t bytes)
{
	n->foreign->bytes += bytes - s->bytes;
	s->bytes = bytes;
}

static void drop_chunk(struct node *n, struct shipment *s)
{
	count_bytes(n, s, 0);
	if (s->chunk)
		n->foreign->held -= s->chunk->len;
	chunk_drop(s->chunk);
	s->chunk = NULL;
}

/* ---- bytes ---- */

static void was_put(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct leg *leg = list_item(c, struct leg, put);
	struct move *m = leg->shipment->move;
	struct copy *copy = &m->copy[leg - leg->shipment->leg];

	(void)body;
	copy->state = !result && answer->status == WIRE_OK ? COPY_SAYS : COPY_OUT;
	if (result == -EHOSTUNREACH || result == -ETIMEDOUT)
		foreign_blocked(n, &copy->id);
	if (--m->waiting == 0)
		next(n, m);
}

static void was_read(struct node *n, struct work *w, const struct event *e)
{
	static const struct address nobody;
	struct shipment *s = list_item(w, struct shipment, work);
	struct move *m = s->move;

	if (e->result) {
		if (e->result != -ENOENT)
			fetch_heal(n, &m->address);
		over(n, m, true);
		return;
	}
	s->chunk = chunk_hold(e->chunk);
	s->kind = e->chunk_kind;
	n->foreign->held += s->chunk->len;
	count_bytes(n, s, s->chunk->len);
	for (unsigned int i = 0; i < m->owners; i++) {
		struct message put = { .type = WIRE_PUT, .address = m->address, .kind = (uint8_t)s->kind, .volume = e->hash };
		struct peer *p;

		if (m->copy[i].state != COPY_LACKS)
			continue;
		p = peer_find(n, &m->copy[i].id);
		if (!p) {
			m->copy[i].state = COPY_OUT;
			continue;
		}
		m->waiting++;
		if (!address_equal(&e->hash, &nobody))
			put.has |= WIRE_HAS(FIELD_VOLUME);
		s->leg[i].put.done = was_put;
		call_start(n, &s->leg[i].put, p, &put, s->chunk, LINK_REPAIR, PUT_TIMEOUT);
	}
	if (!m->waiting)
		next(n, m);
	foreign_pump(n);	/* it may have fewer bytes than it might have had */
}

/* ---- proofs ---- */

static void audited(struct node *n, struct proof *proof, enum verdict verdict)
{
	struct leg *leg = list_item(proof, struct leg, proof);
	struct move *m = leg->shipment->move;
	struct copy *copy = &m->copy[leg - leg->shipment->leg];
	struct peer *p = peer_find(n, &copy->id);

	if (verdict == PROOF_LACKS && p)
		peer_wrong(n, p, "said that it has a chunk, and does not");
	if (verdict == PROOF_GOOD)
		copy->state = COPY_PROVED;
	else if (verdict == PROOF_NONE || copy->pushed)
		copy->state = COPY_OUT;
	else
		copy->state = COPY_LACKS;
	copy->pushed = copy->pushed || copy->state == COPY_LACKS;
	if (verdict == PROOF_NONE)
		foreign_blocked(n, &copy->id);
	if (--m->waiting == 0)
		next(n, m);
}

static void expected(struct node *n, struct work *w, const struct event *e)
{
	struct shipment *s = list_item(w, struct shipment, work);
	struct move *m = s->move;

	if (e->result) {
		if (e->result != -ENOENT)
			fetch_heal(n, &m->address);
		over(n, m, true);
		return;
	}
	for (unsigned int i = 0; i < m->owners; i++) {
		struct proof *proof = &s->leg[i].proof;
		struct peer *p;

		if (m->copy[i].state != COPY_SAYS)
			continue;
		p = peer_find(n, &m->copy[i].id);
		if (!p) {
			m->copy[i].state = COPY_OUT;
			continue;
		}
		m->waiting++;
		proof->expected = e->hash;
		proof->done = audited;
		proof_start(n, proof, p, &m->address, &s->nonce, LINK_REPAIR);
	}
	if (!m->waiting)
		next(n, m);
}

/* ---- the end ---- */

static void unsettled(struct node *n, struct work *w, const struct event *e)
{
	(void)e;
	over(n, list_item(w, struct shipment, work)->move, true);
}

static void settled(struct node *n, struct work *w, const struct event *e)
{
	struct shipment *s = list_item(w, struct shipment, work);
	struct move *m = s->move;
	struct effect again = { .kind = EFFECT_STATES, .address = m->address, .states = STATE_FOREIGN };

	if (e->result || m->tables == n->foreign->tables) {
		over(n, m, e->result);
		return;
	}
	/* Those who proved it were its owners a moment ago. */
	if (placement_mine(n, ring_slot(&m->address)))
		again.states |= STATE_OWNED;
	s->work.done = unsettled;
	work_start(n, &s->work, &again);
}

static void settle(struct node *n, struct move *m)
{
	bool mine = placement_mine(n, ring_slot(&m->address));
	struct effect e = { .kind = EFFECT_STATES, .address = m->address, .states = mine ? STATE_OWNED : STATE_CACHED };

	/* Where there was no memory for an owner's peer, it was not asked. */
	if (m->tables != n->foreign->tables || m->owners + mine < placement(n)->replicas ||
	    !(chunk_state(n, &m->address) & STATE_FOREIGN)) {
		over(n, m, true);
		return;
	}
	m->shipment->work.done = settled;
	work_start(n, &m->shipment->work, &e);
}

static void next(struct node *n, struct move *m)
{
	struct shipment *s = m->shipment;
	struct effect read = { .kind = EFFECT_READ, .address = m->address };

	drop_chunk(n, s);
	if (move_has(m, COPY_LACKS)) {
		s->work.done = was_read;
		count_bytes(n, s, WIRE_BYTES_MAX);
		work_start(n, &s->work, &read);
	} else if (move_has(m, COPY_OUT)) {
		over(n, m, true);
	} else if (move_has(m, COPY_SAYS)) {
		s->work.done = expected;
		proof_nonce(n, &s->nonce);
		proof_local(n, &s->work, &m->address, &s->nonce);
	} else {
		settle(n, m);
	}
}

void move_start(struct node *n, struct move *m)
{
	struct shipment *s = calloc(1, sizeof *s);

	if (!s) {
		over(n, m, true);
		return;
	}
	s->move = m;
	for (unsigned int i = 0; i < RING_REPLICAS_MAX; i++)
		s->leg[i].shipment = s;
	m->shipment = s;
	n->foreign->held += sizeof *s;
	next(n, m);
}

void move_stop(struct node *n, struct move *m)
{
	struct shipment *s = m->shipment;

	work_stop(n, &s->work);
	for (unsigned int i = 0; i < RING_REPLICAS_MAX; i++) {
		if (call_busy(&s->leg[i].put))
			call_stop(n, &s->leg[i].put);
		if (call_busy(&s->leg[i].proof.call))
			proof_stop(n, &s->leg[i].proof);
	}
	drop_chunk(n, s);
	n->foreign->held -= sizeof *s;
	free(s);
	m->shipment = NULL;
}
