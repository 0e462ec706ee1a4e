/*
 * The answering side: what peers ask about chunks.
 *
 * type  | what is there                           | function   | then
 * TOUCH | any                                     | touch()    | answered at once from the catalogue
 * GET   | none here                               | get()      | MISS; ${complete} where it counts
 *       | a record                                | get()      | EFFECT_READ -> got()
 * AUDIT | none that stays                         | audit()    | MISS; ${complete} where it counts, and it is not repair's turn
 *       | OWNED or FOREIGN                        | audit()    | EFFECT_PROVE -> proved()
 * PUT   | leaving; not ours and no spare; no room | put()      | LEAVING, NOT_OWNER, FULL
 *       | welcome                                 | put()      | EFFECT_WRITE -> written()
 *       | written, but the slot moved meanwhile   | written()  | EFFECT_STATES -> kept()
 *
 * CACHED records are read to whoever asks, but nothing is promised of them: touch and audit pass them over.
 */
#include "dht/net/chunks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct serving {
	struct list link;
	struct work work;
	struct served *served;
	struct address address, volume;
	uint32_t bytes;			/* that a PUT will add to the disk; 0: none */
	bool owner;			/* a PUT as one */
};

struct chunkserve {
	struct list all;
	unsigned int count;
	uint64_t writing;		/* sum of their bytes: the catalogue does not count them yet */
	uint64_t refused;		/* until then what was refused for want of room may still be lacking: repair's round */
};

/* The end of our part: what remains is to answer it. */
static struct served *finish(struct node *n, struct serving *v)
{
	struct served *s = v->served;

	n->chunkserve->count--;
	n->chunkserve->writing -= v->bytes;
	list_remove(&v->link);
	free(v);
	return s;
}

static void answer(struct node *n, struct serving *v, enum wire_status status)
{
	serve_status(n, finish(n, v), status);
}

/* A disk that does not keep up may do so later. */
static enum wire_status fault(int result)
{
	return result == -EBUSY || result == -ENOMEM ? WIRE_BUSY : WIRE_FAULT;
}

/* Work on ${s} with ${effect}; its result goes to ${done}. */
static struct serving *serving(struct node *n, struct served *s, struct effect *effect,
    void (*done)(struct node *, struct work *, const struct event *))
{
	struct serving *v = calloc(1, sizeof *v);

	if (!v) {
		chunk_drop(effect->chunk);
		serve_status(n, s, WIRE_BUSY);
		return NULL;
	}
	v->served = s;
	v->address = effect->address;
	v->work.done = done;
	list_append(&n->chunkserve->all, &v->link);
	n->chunkserve->count++;
	work_start(n, &v->work, effect);
	return v;
}

/* Is it here, and not to go soon? */
static bool stays(struct node *n, const struct address *a)
{
	return chunk_state(n, a) & (STATE_OWNED | STATE_FOREIGN) && !deleting(n, a);
}

static void touch(struct node *n, struct served *s, const struct message *m)
{
	uint8_t have[WIRE_ADDRESSES_MAX / 8] = { 0 };
	struct message out = { .status = WIRE_OK, .has = WIRE_HAS(FIELD_HAVE),
		.have = { have, (m->address_count + 7) / 8 } };
	bool ours = false;

	assert(m->address_count <= WIRE_ADDRESSES_MAX);
	for (uint32_t i = 0; i < m->address_count; i++) {
		const struct address *a = &m->addresses[i];

		if (!placement_mine(n, ring_slot(a)))
			continue;
		ours = true;
		if (!stays(n, a))
			continue;
		touched(n, a);
		have[i / 8] |= (uint8_t)(1u << i % 8);
	}
	if (ours)
		serve_answer(n, s, &out, NULL);
	else
		serve_status(n, s, WIRE_NOT_OWNER);
}

/* It counts where we should have it, and have nothing of it. */
static bool counts(struct node *n, const struct address *a)
{
	unsigned int slot = ring_slot(a);

	return !(chunk_state(n, a) & STATE_ANY) && placement_mine(n, slot) && placement_complete(n, slot);
}

static void miss(struct node *n, struct served *s, bool complete)
{
	struct message m = { .status = WIRE_MISS, .complete = complete };

	serve_answer(n, s, &m, NULL);
}

/* Bytes that can still be written, once all that is on its way is. */
static uint64_t room(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	uint64_t space = c->space(c);

	return space > n->chunkserve->writing ? space - n->chunkserve->writing : 0;
}

static void got(struct node *n, struct work *w, const struct event *e)
{
	struct serving *v = list_item(w, struct serving, work);
	struct message m = { .status = WIRE_OK, .kind = (uint8_t)e->chunk_kind,
		.has = WIRE_HAS(FIELD_KIND) | WIRE_HAS(FIELD_BYTES) };

	if (e->result == -EBADMSG || e->result == -EIO)
		fetch_heal(n, &v->address);
	if (!e->result)
		serve_answer(n, finish(n, v), &m, e->chunk);
	else if (e->result == -ENOENT)
		/* It went between the catalogue's word and the disk's: what has just gone is no miss that counts. */
		answer(n, v, WIRE_MISS);
	else
		answer(n, v, fault(e->result));
}

static void get(struct node *n, struct served *s, const struct message *m)
{
	struct effect e = { .kind = EFFECT_READ, .address = m->address };

	if (chunk_state(n, &m->address) & STATE_ANY)
		serving(n, s, &e, got);
	else
		miss(n, s, counts(n, &m->address));
}

static void proved(struct node *n, struct work *w, const struct event *e)
{
	struct serving *v = list_item(w, struct serving, work);
	struct message m = { .status = WIRE_OK, .hash = e->hash, .has = WIRE_HAS(FIELD_HASH) };

	if (e->result == -EBADMSG || e->result == -EIO)
		fetch_heal(n, &v->address);
	if (!e->result)
		serve_answer(n, finish(n, v), &m, NULL);
	else
		answer(n, v, e->result == -ENOENT ? WIRE_MISS : fault(e->result));
}

/* What we know to lack, or may have refused for want of room, is nobody else's to find: we are not blamed for it. */
static bool repairs_turn(struct node *n)
{
	return pulls_busy(n) || n->now < n->chunkserve->refused || room(n) < WIRE_BYTES_MAX;
}

static void audit(struct node *n, struct served *s, const struct message *m)
{
	struct effect e = { .kind = EFFECT_PROVE, .address = m->address, .hash = m->nonce };

	if (stays(n, &m->address))
		serving(n, s, &e, proved);
	else
		miss(n, s, counts(n, &m->address) && !repairs_turn(n));
}

/* Nothing is refused that is here already: it costs no space, and it may come because our copy is bad. */
static bool has_room(struct node *n, const struct message *m)
{
	static const struct address nobody;
	struct catalogue *c = n->options.catalogue;
	const struct address *volume = m->has & WIRE_HAS(FIELD_VOLUME) ? &m->volume : &nobody;
	uint64_t sum;

	if (chunk_state(n, &m->address) & STATE_ANY)
		return true;
	if (room(n) < m->bytes.len)
		return false;
	if (!n->options.volume_max || address_equal(volume, &nobody))
		return true;
	sum = c->volume_bytes(c, volume) + m->bytes.len;
	for (struct list *l = n->chunkserve->all.next; l != &n->chunkserve->all; l = l->next) {
		const struct serving *v = list_item(l, const struct serving, link);

		if (v->bytes && address_equal(&v->volume, volume))
			sum += v->bytes;
	}
	return sum <= n->options.volume_max;
}

static void note_refused(struct node *n)
{
	n->chunkserve->refused = n->now + REPAIR_EVERY;
}

static void kept(struct node *n, struct work *w, const struct event *e)
{
	struct serving *v = list_item(w, struct serving, work);

	if (e->result) {
		answer(n, v, fault(e->result));
		return;
	}
	foreign_add(n, &v->address);
	answer(n, v, WIRE_OK);
}

static void written(struct node *n, struct work *w, const struct event *e)
{
	struct serving *v = list_item(w, struct serving, work);
	struct effect keep = { .kind = EFFECT_STATES, .address = v->address, .states = STATE_FOREIGN };

	switch (e->result) {
	case 0:
		break;
	case -EBADMSG:
		peer_wrong(n, v->served->peer, "put bytes that are not those of the address");
		answer(n, v, WIRE_BAD);
		return;
	case -ENOSPC:
		pulls_full(n);
		note_refused(n);
		answer(n, v, WIRE_FULL);
		return;
	default:
		answer(n, v, fault(e->result));
		return;
	}
	touched(n, &v->address);
	if (v->owner && !placement_mine(n, ring_slot(&v->address))) {
		/* Whoever looked through our records for those that the new table takes away did not see this one. */
		v->work.done = kept;
		work_start(n, &v->work, &keep);
		return;
	}
	if (!v->owner)
		foreign_add(n, &v->address);
	answer(n, v, WIRE_OK);
}

static void put(struct node *n, struct served *s, const struct message *m)
{
	bool owner = placement_mine(n, ring_slot(&m->address));
	struct effect e = { .kind = EFFECT_WRITE, .address = m->address, .chunk_kind = m->kind,
		.states = owner ? STATE_OWNED : STATE_FOREIGN };
	struct serving *v;

	if (n->self && n->self->state != MEMBER_HERE) {
		serve_status(n, s, WIRE_LEAVING);
	} else if (!owner && !m->spare) {
		serve_status(n, s, WIRE_NOT_OWNER);
	} else if (!kind_valid(m->kind)) {
		serve_status(n, s, WIRE_BAD);
	} else if (!has_room(n, m)) {
		note_refused(n);
		serve_status(n, s, WIRE_FULL);
	} else if (!(e.chunk = chunk_slice(s->body, (size_t)(m->bytes.data - s->body->data), m->bytes.len))) {
		serve_status(n, s, WIRE_BUSY);
	} else {
		if (m->has & WIRE_HAS(FIELD_VOLUME))
			e.hash = m->volume;
		touched(n, &m->address);
		v = serving(n, s, &e, written);
		if (!v)
			return;
		v->volume = e.hash;
		v->owner = owner;
		v->bytes = m->bytes.len;
		n->chunkserve->writing += v->bytes;
	}
}

static bool request(struct node *n, struct served *s, const struct message *m)
{
	switch (m->type) {
	case WIRE_TOUCH:
		touch(n, s, m);
		return true;
	case WIRE_PUT:
		put(n, s, m);
		return true;
	case WIRE_GET:
		get(n, s, m);
		return true;
	case WIRE_AUDIT:
		audit(n, s, m);
		return true;
	default:
		return false;
	}
}

static void start(struct node *n)
{
	n->chunkserve = calloc(1, sizeof *n->chunkserve);
	if (n->chunkserve)
		list_init(&n->chunkserve->all);
	else
		node_stop(n, "no memory");
}

static void end(struct node *n)
{
	struct chunkserve *c = n->chunkserve;

	while (c && !list_empty(&c->all)) {
		struct serving *v = list_item(c->all.next, struct serving, link);

		work_stop(n, &v->work);
		finish(n, v);
	}
	free(c);
	n->chunkserve = NULL;
}

static size_t memory(struct node *n)
{
	struct chunkserve *c = n->chunkserve;

	return c ? sizeof *c + c->count * sizeof(struct serving) + c->writing : 0;
}

const struct machine chunkserve_machine = {
	.name = "chunkserve",
	.start = start,
	.request = request,
	.end = end,
	.memory = memory,
};
