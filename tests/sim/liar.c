/*
 * What a liar makes of his node's messages.
 *
 * His node is an honest one, and so is believed; what it sends is decoded, changed and encoded again on its way to the link, or sent with
 * flipped bits, or several times, or not at all.  What his disk forgets his node still believes to have.  The books are told what he was
 * asked to keep, for only of that can he say falsely that he has it.
 */
#include "tests/sim/liar.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/books.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define SEEN	  8u		/* messages that are kept to be replayed */
#define FLOOD	  8u		/* messages for one */
#define SYBIL_KEYS 64u		/* keys that are tried: of 8,192 tokens one lies within two slots */

struct liar {
	struct chunk *seen[SEEN];
	unsigned int type[SEEN], next;
};

void liar_begin(struct host *h, unsigned int lies)
{
	if (!h->memory)
		h->memory = must(calloc(1, sizeof(*h->memory)));
	h->lies = lies;
	h->liar = true;
	h->disk->forgets = lies & LIE_STORED;
	trace(h->world, h, TRACE_LIE, lies, 0, "lies: %x", lies);
}

void liar_end(struct host *h)
{
	h->lies = 0;
	disk_honest(h->disk);
}

void liar_free(struct host *h)
{
	for (unsigned int i = 0; h->memory && i < SEEN; i++)
		chunk_drop(h->memory->seen[i]);
	free(h->memory);
}

/* From the slot's start clockwise to the nearest of its tokens. */
static uint64_t token_distance(const struct address *id, uint64_t slot_start)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < RING_TOKENS; i++) {
		uint64_t distance = ring_token(id, i) - slot_start;

		if (distance < least)
			least = distance;
	}
	return least;
}

void liar_key(struct host *h, const struct address *a)
{
	uint8_t seed[crypto_sign_SEEDBYTES], key[MEMBER_KEY], secret[MEMBER_SECRET];
	uint64_t start = (uint64_t)ring_slot(a) << (64 - RING_SLOT_BITS), distance, best = UINT64_MAX;
	struct world *w = h->world;
	struct address id;

	sorted_take(&w->by_id, h->id.b);
	for (unsigned int i = 0; i < SYBIL_KEYS; i++) {
		dice_fill(&h->dice, seed, sizeof(seed));
		crypto_sign_seed_keypair(key, secret, seed);
		member_id(key, &id);
		distance = token_distance(&id, start);
		if (distance > best)
			continue;
		best = distance;
		memcpy(h->key, key, sizeof(key));
		memcpy(h->secret, secret, sizeof(secret));
		h->id = id;
	}
	sorted_add(&w->by_id, h);
}

/* The books are told what it may say of itself that is not so. */
static void note_asked(struct host *h, const struct link_message *m)
{
	struct message *asked;

	if (!(h->lies & (LIE_STORED | LIE_GARBAGE)) || (m->type != WIRE_TOUCH && m->type != WIRE_PUT))
		return;
	asked = must(calloc(1, sizeof(*asked)));
	if (wire_decode(m->type, m->request, m->body->data, m->body->len, asked) == 0) {
		for (unsigned int i = 0; i < asked->address_count; i++)
			books_asked(h->world, h, &asked->addresses[i]);
		if (m->type == WIRE_PUT)
			books_asked(h->world, h, &asked->address);
	}
	free(asked);
}

void liar_sees(struct host *h, const struct link_message *m)
{
	struct liar *l = h->memory;

	note_asked(h, m);
	if (m->type == WIRE_ANSWER || m->type == WIRE_PING || m->type == WIRE_ACK || !dice_percent(&h->dice, 20))
		return;
	chunk_drop(l->seen[l->next]);
	/* A copy: the node takes over the body. */
	l->seen[l->next] = must(chunk_copy(m->body->data, m->body->len));
	l->type[l->next] = m->type;
	l->next = (l->next + 1) % SEEN;
}

static struct chunk *whole(const struct effect *e)
{
	size_t head = e->head ? e->head->len : 0, tail = e->tail ? e->tail->len : 0;
	uint8_t *bytes;
	struct chunk *c = must(chunk_new(head + tail, &bytes));

	if (head > 0)
		memcpy(bytes, e->head->data, head);
	if (tail > 0)
		memcpy(bytes + head, e->tail->data, tail);
	return c;
}

static void send_bytes(struct host *h, const struct effect *e, unsigned int type, uint32_t request, struct chunk *body)
{
	struct effect forged = {
		.kind = EFFECT_SEND, .link = e->link, .type = type, .request = request, .priority = e->priority, .head = body,
	};

	host_send(h, &forged);
}

static void send_message(struct host *h, const struct effect *e, const struct message *m)
{
	size_t size = wire_size(m, false) + 64;
	uint8_t *bytes;
	struct chunk *c = must(chunk_new(size, &bytes));
	int len = wire_encode(m, false, bytes, size);

	if (len >= 0) {
		c->len = (uint32_t)len;
		send_bytes(h, e, m->type, m->request, c);
	}
	chunk_drop(c);
}

static struct chunk *flipped(struct host *h, const struct chunk *c)
{
	uint8_t *bytes;
	struct chunk *bad = must(chunk_new(c->len, &bytes));

	memcpy(bytes, c->data, c->len);
	if (c->len > 0)
		bytes[dice_below(&h->dice, c->len)] ^= (uint8_t)(1u << dice_below(&h->dice, 8));
	return bad;
}

/* An answer, as the lie wants it.  False: it is not sent at all. */
static bool change_answer(struct host *h, struct message *m, struct chunk **held)
{
	struct world *w = h->world;

	if ((h->lies & LIE_SILENT) && dice_percent(&h->dice, 50))
		return false;
	if (m->has & WIRE_HAS(FIELD_BYTES)) {
		if ((h->lies & LIE_MISS) && dice_percent(&h->dice, 50)) {
			m->status = WIRE_MISS;
			m->complete = true;
			m->has &= ~(WIRE_HAS(FIELD_BYTES) | WIRE_HAS(FIELD_KIND));
			m->has |= WIRE_HAS(FIELD_COMPLETE);
		} else if ((h->lies & LIE_OTHER) && books_count(w) > 0) {
			struct item *i = books_item(w, (unsigned int)dice_below(&h->dice, books_count(w)));

			m->bytes = (struct wire_slice){ i->chunk->data, i->chunk->len };
		} else if ((h->lies & LIE_BYTES) && m->bytes.len > 0) {
			struct chunk c = { .data = m->bytes.data, .len = m->bytes.len };

			*held = flipped(h, &c);
			m->bytes.data = (*held)->data;
		}
	} else if ((h->lies & LIE_MISS) && m->status == WIRE_MISS) {
		m->complete = true;
		m->has |= WIRE_HAS(FIELD_COMPLETE);
	}
	if ((h->lies & LIE_STORED) && m->have.len > 0) {
		uint8_t *all;

		*held = must(chunk_new(m->have.len, &all));
		memcpy(all, m->have.data, m->have.len);
		all[0] |= 1;
		m->have.data = all;
	}
	return true;
}

/* Half of what it says of others is that they are dead. */
static struct chunk *suspect_all(struct host *h, struct message *m)
{
	struct world *w = h->world;
	uint8_t *bytes;
	struct chunk *c = must(chunk_new(4 * WIRE_SUSPICION_LEN, &bytes));

	for (unsigned int i = 0; i < 4; i++) {
		struct host *victim = w->host[dice_below(&h->dice, w->hosts)];
		struct wire_suspicion s = {
			.id = victim->id, .from = w->host[dice_below(&h->dice, w->hosts)]->id,
			.incarnation = dice_below(&h->dice, victim->boot + 8), .dead = dice_percent(&h->dice, 50),
		};

		wire_suspicion_put(&s, bytes + i * WIRE_SUSPICION_LEN);
	}
	m->suspicions_bytes = bytes;
	m->suspicions = 4;
	m->has |= WIRE_HAS(FIELD_SUSPICIONS);
	return c;
}

static void replay(struct host *h, const struct effect *e)
{
	struct liar *l = h->memory;
	unsigned int i = (unsigned int)dice_below(&h->dice, SEEN);
	struct chunk *bad;

	if (!l->seen[i])
		return;
	bad = dice_percent(&h->dice, 50) ? chunk_hold(l->seen[i]) : flipped(h, l->seen[i]);
	send_bytes(h, e, l->type[i], l->type[i] >= WIRE_TOUCH ? (uint32_t)dice_next(&h->dice) : 0, bad);
	chunk_drop(bad);
}

/*
 * A record of somebody else, or the admin's word that he is evicted, signed by ${h} himself, who is neither: it would win, by its
 * incarnation, if nobody looked at the signature.
 */
static void forge(struct host *h, const struct effect *e)
{
	struct world *w = h->world;
	const struct host *victim = w->host[dice_below(&h->dice, w->hosts)];
	struct member fields = {
		.incarnation = UINT64_C(1) << 40, .instance = victim->boot, .generation = victim->disk->generation,
		.state = dice_percent(&h->dice, 50) ? MEMBER_LEFT : MEMBER_HERE, .weight = 64,
	}, *forged;
	struct message m = { .type = WIRE_RECORDS, .has = WIRE_HAS(FIELD_RECORDS) };
	uint8_t bytes[MEMBER_BLOB_MAX + 2], secret[MEMBER_SECRET];
	bool real = planted(w, PLANT_FORGERY);
	int rc, len;

	/* Half of a secret is its public key: so the record names the victim, and the signature is the forger's. */
	memcpy(secret, h->secret, MEMBER_SECRET);
	memcpy(secret + MEMBER_SECRET - MEMBER_KEY, victim->key, MEMBER_KEY);
	strcpy(fields.address[0], victim->address);
	if (real || dice_percent(&h->dice, 50))
		rc = member_evict(&w->file.id, &victim->id, real ? w->admin_secret : h->secret, &forged);
	else
		rc = member_sign(&fields, &w->file.id, secret, &forged);
	if (rc != 0)
		must(NULL);
	len = wire_blob_put(forged->bytes, forged->len, bytes, sizeof(bytes));
	m.records = (struct wire_slice){ bytes, (size_t)len };
	trace(w, h, TRACE_LIE, forged->state, victim->index, "forges a word on %s", victim->name);
	send_message(h, e, &m);
	member_drop(forged);
}

void liar_send(struct host *h, const struct effect *e)
{
	struct chunk *body = whole(e), *held = NULL, *bad;
	struct message *m = must(calloc(1, sizeof(*m)));
	bool readable = wire_decode(e->type, e->request, body->data, body->len, m) == 0;

	if ((h->lies & LIE_GARBAGE) && dice_percent(&h->dice, 5)) {
		bad = flipped(h, body);
		send_bytes(h, e, e->type, e->request, bad);
		chunk_drop(bad);
	} else if (readable && e->type == WIRE_ANSWER) {
		if (change_answer(h, m, &held))
			send_message(h, e, m);
	} else if (readable && (h->lies & LIE_MEMBERS) && (e->type == WIRE_PING || e->type == WIRE_GOSSIP)) {
		held = suspect_all(h, m);
		send_message(h, e, m);
	} else {
		host_send(h, e);
	}
	if ((h->lies & LIE_MEMBERS) && dice_percent(&h->dice, 10))
		replay(h, e);
	if ((h->lies & LIE_MEMBERS) && dice_percent(&h->dice, 5))
		forge(h, e);
	for (unsigned int i = 0; (h->lies & LIE_FLOOD) && i < FLOOD; i++)
		send_bytes(h, e, e->type, (uint32_t)dice_next(&h->dice), body);
	chunk_drop(held);
	chunk_drop(body);
	free(m);
}
