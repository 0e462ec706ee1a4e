/*
 * One question, one answer.
 *
 * state | event                             | function   | next
 * idle  | proof_start()                     |            | asked
 * asked | the hash that we have             | answered() | idle: PROOF_GOOD
 *       | another hash                      | answered() | idle: PROOF_WRONG, peer_wrong()
 *       | a hash, and we have none to compare it with | answered() | idle: PROOF_SAYS
 *       | MISS, FAULT                       | answered() | idle: PROOF_LACKS
 *       | anything else, or nothing in time | answered() | idle: PROOF_NONE
 */
#include "dht/net/chunks.h"

#include <sodium.h>

#include "chunker/bytes.h"

void proof_nonce(struct node *n, struct address *out)
{
	uint8_t drawn[16];

	/* Our numbers follow from each other: who saw some could work out the next, and answers to come. */
	put_le64(drawn, node_random(n, UINT64_MAX));
	put_le64(drawn + 8, node_random(n, UINT64_MAX));
	crypto_generichash(out->b, sizeof out->b, drawn, sizeof drawn, n->options.secret, sizeof n->options.secret);
}

void proof_local(struct node *n, struct work *w, const struct address *a, const struct address *nonce)
{
	struct effect e = { .kind = EFFECT_PROVE, .address = *a, .hash = *nonce };

	work_start(n, w, &e);
}

static enum verdict judge(const struct proof *p, int result, const struct message *answer)
{
	if (result)
		return PROOF_NONE;
	if (answer->status == WIRE_MISS || answer->status == WIRE_FAULT)
		return PROOF_LACKS;
	if (answer->status != WIRE_OK)
		return PROOF_NONE;
	if (p->unknown)
		return answer->has & WIRE_HAS(FIELD_HASH) ? PROOF_SAYS : PROOF_NONE;
	if (!(answer->has & WIRE_HAS(FIELD_HASH)) || !address_equal(&answer->hash, &p->expected))
		return PROOF_WRONG;
	return PROOF_GOOD;
}

static void answered(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct proof *p = list_item(c, struct proof, call);
	enum verdict verdict = judge(p, result, answer);

	(void)body;
	p->filling = verdict == PROOF_LACKS && answer->status == WIRE_MISS && !answer->complete;
	if (verdict == PROOF_WRONG)
		peer_wrong(n, c->peer, "proved a chunk with a wrong hash");
	p->done(n, p, verdict);
}

void proof_start(struct node *n, struct proof *p, struct peer *peer, const struct address *a,
    const struct address *nonce, enum link_priority priority)
{
	struct message m = {
		.type = WIRE_AUDIT,
		.nonce = *nonce,
		.address = *a,
	};

	p->id = peer->id;
	p->call.done = answered;
	call_start(n, &p->call, peer, &m, NULL, priority, CALL_TIMEOUT);
}

void proof_stop(struct node *n, struct proof *p)
{
	call_stop(n, &p->call);
}
