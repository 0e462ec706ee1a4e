/*
 * Spares: while an owner has been down for SPARE_AFTER, the next on the walk keeps a copy of what it should have, so that
 * R can be reached.  They are FOREIGN records like all others: when the owner is back they are shown to it, and once all
 * owners have proved that they have them they are CACHED, and may go (foreign.c).
 *
 * Each node works out for itself for which slots it is such a one: of a slot with k owners that are down that long, the first k
 * members behind its owners on the walk that are not down.
 *
 * state   | event                                        | function    | next
 * RESTING | SPARE_LOOK; some slot is ours to keep, and was not gone through | look() | PEEKING
 * PEEKING | an owner says of a quarter of all slots where it has leases | peeked() | LISTING; those without any are done
 *         | anything else                                | peeked()    | PEEKING, the next slot
 * LISTING | a page of an owner's addresses               | listed()    | TAKING
 *         | anything else                                | listed()    | LISTING, the next slot; that one another time
 * TAKING  | all that we lack is in line (pull.c)         | take()      | LISTING, the next page or slot; RESTING behind the last
 *         | there is no room in the line                 | take()      | TAKING, a moment later
 * any     | a new table                                  | spares_table() | RESTING; all slots are gone through anew
 *
 * What an owner lists is leased: nothing else is in its trie.  Its word is all that we have for that, and so the list has a bound.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/repair_impl.h"

#define WALKED 64u			/* members of one walk that are looked at: most are not down */

_Static_assert(WALKED <= PLACEMENT_WALK_MAX, "as many as a walk has for anyone");

struct spares {
	struct timer timer;
	struct trie_slots kept;		/* ours to keep now */
	struct trie_slots done;		/* of them, gone through */
	struct trie_slots any;		/* of them, where an owner has leases */
	uint64_t again;			/* when that is forgotten */
	unsigned int round;		/* another owner is asked in each */
	struct call call;
	bool busy;			/* with ${slot} */
	unsigned int slot, seen;
	struct address from, after;
	bool more;
	struct message answer;		/* its pointers into ${body}; NULL: none */
	struct chunk *body;
	unsigned int at;
};

static void next_slot(struct node *n);

/* ---- whose turn is it? ---- */

/* The members of the table that have been down so long that spares are due.  False: none. */
static bool find_absent(struct node *n, const struct ring *ring, bool *absent)
{
	bool any = false;

	for (unsigned int i = 0; i < ring->members; i++) {
		const struct address *id = &ring->member[i].id;
		uint64_t since = membership_down_since(n, id);

		absent[i] = since && n->now - since >= SPARE_AFTER && membership_spares(n, id);
		any |= absent[i];
	}
	return any;
}

/* Are we one of the first ${k} behind the owners that can be reached? */
static bool ours_to_keep(struct node *n, const struct ring *ring, unsigned int slot, unsigned int k)
{
	uint16_t walk[WALKED];
	unsigned int got = ring_walk(ring, slot, walk, WALKED);

	for (unsigned int i = ring->replicas; i < got && k; i++) {
		const struct address *id = &ring->member[walk[i]].id;

		if (address_equal(id, &n->id))
			return true;
		k -= membership_health(n, id) != PEER_DOWN;
	}
	return false;
}

static void find_kept(struct node *n, const struct ring *ring, const bool *absent)
{
	struct spares *s = n->repair->spares;

	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		const uint16_t *owner = ring_owners(ring, slot);
		unsigned int k = 0;

		for (unsigned int rank = 0; rank < ring->replicas; rank++)
			k += absent[owner[rank]];
		if (k && k < ring->replicas && !placement_mine(n, slot) && ours_to_keep(n, ring, slot, k))
			trie_slots_add(&s->kept, slot);
	}
}

static void look(struct node *n, struct timer *t)
{
	struct spares *s = n->repair->spares;
	const struct ring *ring = placement(n);
	struct node_status status;
	bool *absent;

	membership_status(n, &status);
	s->kept = repair_no_slots;
	absent = ring && status.down && ring_find(ring, &n->id) >= 0 ? calloc(ring->members, sizeof(*absent)) : NULL;
	if (absent && find_absent(n, ring, absent))
		find_kept(n, ring, absent);
	free(absent);
	if (n->now >= s->again) {
		s->again = n->now + SPARE_AGAIN;
		s->done = s->any = repair_no_slots;
		s->round++;
	}
	for (unsigned int i = 0; i < sizeof(s->done.bit); i++)
		s->done.bit[i] &= s->kept.bit[i];
	s->slot = 0;
	s->busy = !trie_slots_empty(&s->kept);
	if (s->busy)
		next_slot(n);
	if (!s->busy)
		timer_set(n, t, n->now + node_jitter(n, SPARE_LOOK));
}

/* ---- one slot ---- */

static void rest(struct node *n)
{
	struct spares *s = n->repair->spares;

	s->busy = false;
	chunk_drop(s->body);
	s->body = NULL;
	timer_set(n, &s->timer, n->now + node_jitter(n, SPARE_LOOK));
}

static void listed(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct spares *s = n->repair->spares;

	(void)c;
	if (result || m->status != WIRE_OK || (m->more && !m->address_count)) {
		s->slot++;
		next_slot(n);
		return;
	}
	s->answer = *m;
	s->body = chunk_hold(body);
	s->at = 0;
	timer_set(n, &s->timer, n->now);
}

static void list(struct node *n, struct peer *p)
{
	struct spares *s = n->repair->spares;
	uint8_t path[WIRE_PATH_LEN];
	struct message m = { .type = WIRE_LIST, .paths_bytes = path, .path_count = 1, .address = s->after };
	struct wire_path place;

	if (s->more)
		m.has |= WIRE_HAS(FIELD_ADDRESS);
	trie_path_slot(s->slot, &place);
	wire_path_put(&place, path);
	s->call.done = listed;
	call_start(n, &s->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

/* An owner that can be reached; another one in each round, as none may have all. */
static struct peer *choose(struct node *n, unsigned int slot)
{
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = placement_owners(n, slot, owner);

	for (unsigned int i = 0; i < owners; i++) {
		struct peer *p = owner[(i + n->repair->spares->round) % owners];

		if (peer_reachable(n, p))
			return p;
	}
	return NULL;
}

static void peeked(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct spares *s = n->repair->spares;
	const struct ring *ring = placement(n);
	int they = ring_find(ring, &s->from);
	unsigned int end = s->slot - s->slot % REPAIR_QUARTER + REPAIR_QUARTER;

	(void)c;
	(void)body;
	if (result || m->status != WIRE_OK || m->count_count != 2 * REPAIR_WORDS) {
		s->slot++;
		next_slot(n);
		return;
	}
	for (unsigned int slot = s->slot; slot < end; slot++) {
		unsigned int i = slot % REPAIR_QUARTER;

		if (they >= 0 && trie_slots_have(&s->kept, slot) && ring_owns(ring, slot, (unsigned int)they))
			trie_slots_add(wire_count(m, i / 32) >> i % 32 & 1 ? &s->any : &s->done, slot);
	}
	next_slot(n);
}

static void peek(struct node *n, struct peer *p)
{
	struct spares *s = n->repair->spares;
	uint8_t path[WIRE_PATH_LEN];
	struct message m = { .type = WIRE_SLOTS, .paths_bytes = path, .path_count = 1 };
	struct wire_path place = { .depth = 1, .nibbles = { (uint8_t)(s->slot / REPAIR_QUARTER << 4) } };

	wire_path_put(&place, path);
	s->call.done = peeked;
	call_start(n, &s->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
}

/* From s->slot on, the first that is not done. */
static void next_slot(struct node *n)
{
	struct spares *s = n->repair->spares;

	for (; s->slot < RING_SLOTS; s->slot++) {
		struct peer *p;

		if (!trie_slots_have(&s->kept, s->slot) || trie_slots_have(&s->done, s->slot))
			continue;
		p = choose(n, s->slot);
		if (!p)
			continue;
		s->from = p->id;
		s->more = false;
		s->seen = 0;
		if (trie_slots_have(&s->any, s->slot))
			list(n, p);
		else
			peek(n, p);
		return;
	}
	rest(n);
}

static void page_over(struct node *n)
{
	struct spares *s = n->repair->spares;
	struct peer *p = peer_find(n, &s->from);

	s->more = s->answer.more;
	if (s->more)
		s->after = s->answer.addresses[s->answer.address_count - 1];
	s->seen += s->answer.address_count;
	chunk_drop(s->body);
	s->body = NULL;
	if (s->more && p && s->seen < SPARE_SLOT_MAX) {
		list(n, p);
		return;
	}
	if (p)
		trie_slots_add(&s->done, s->slot);
	s->slot++;
	next_slot(n);
}

static void take(struct node *n)
{
	struct spares *s = n->repair->spares;
	struct catalogue *c = n->options.catalogue;

	for (; s->at < s->answer.address_count; s->at++) {
		const struct address *a = &s->answer.addresses[s->at];

		if (ring_slot(a) != s->slot || c->state(c, a) & (STATE_OWNED | STATE_FOREIGN))
			continue;
		if (pull_spare(n, a, &s->from)) {
			timer_set(n, &s->timer, n->now + S);
			return;
		}
	}
	page_over(n);
}

static void due(struct node *n, struct timer *t)
{
	if (n->repair->spares->body)
		take(n);
	else
		look(n, t);
}

/* ---- from beginning to end ---- */

static void stop(struct node *n)
{
	struct spares *s = n->repair->spares;

	timer_stop(n, &s->timer);
	call_stop(n, &s->call);
	chunk_drop(s->body);
	s->body = NULL;
	s->busy = false;
}

void spares_table(struct node *n)
{
	struct spares *s = n->repair->spares;

	stop(n);
	s->done = s->any = repair_no_slots;
	timer_set(n, &s->timer, n->now + node_jitter(n, SPARE_LOOK));
}

int spares_start(struct node *n)
{
	struct spares *s = n->repair->spares = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->timer.due = due;
	return 0;
}

void spares_end(struct node *n)
{
	if (!n->repair->spares)
		return;
	stop(n);
	free(n->repair->spares);
	n->repair->spares = NULL;
}

size_t spares_memory(const struct node *n)
{
	const struct spares *s = n->repair->spares;

	return s ? sizeof(*s) + (s->body ? s->body->len : 0) : 0;
}
