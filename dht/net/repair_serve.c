/*
 * Answering what peers ask about our trie.
 *
 * type  | what is there                         | function        | then
 * TRIE  | one hash: of all that we share        | serve_compare() | OK: it is ours too; MISS
 *       | paths                                 | serve_places()  | counts, and hashes or addresses
 * LIST  | a path                                | serve_list()    | a page of addresses
 * OFFER | addresses that we may lack            | offer()         | pulled, as far as there is room; answered at once
 * SLOTS | slots                                 | slots()         | which are complete, which have leases; at once
 *       | a quarter of all                      | quarter()       | likewise
 *
 * The first three wait, and go on in pieces, while the trie has to be read from the catalogue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/lease.h"
#include "dht/net/rebalance.h"

struct repair_serving {
	struct list link;
	struct served *served;
	struct address id;
	struct message m;		/* the question */
};

/* The answer to the first of those that wait. */
struct repair_page {
	struct trie_slots shared;
	unsigned int at;		/* places, or slots, that are done */
	unsigned int hashes, addresses;
	uint8_t count[WIRE_PATHS_MAX * WIRE_COUNT_LEN];
	struct wire_hash hash[WIRE_HASHES_MAX];
	struct address address[WIRE_ADDRESSES_MAX];
};

_Static_assert(WIRE_PATHS_MAX * TRIE_CHILDREN <= WIRE_HASHES_MAX, "an answer has room for all hashes");
_Static_assert(WIRE_PATHS_MAX * TRIE_LEAF <= WIRE_ADDRESSES_MAX, "and for all addresses");

static int serve_compare(struct node *n, struct repair_serving *v, struct message *out)
{
	struct repair_page *page = n->repair->page;
	static const struct wire_path root;
	struct trie_part part;
	int r = trie_part(n->repair->trie, &root, &page->shared, &part);

	if (r)
		return r;
	out->status = memcmp(&part.hash, v->m.hashes, sizeof(part.hash)) ? WIRE_MISS : WIRE_OK;
	repair_compared(n, &v->id);
	return 0;
}

static int serve_place(struct node *n, struct repair_page *page, const struct wire_path *path)
{
	struct trie *t = n->repair->trie;
	struct trie_part part, parts[TRIE_CHILDREN];
	int r = trie_part(t, path, &page->shared, &part);

	if (r)
		return r;
	if (path->depth >= TRIE_SLOT_DEPTH && part.count <= TRIE_LEAF) {
		part.count = (uint32_t)trie_list(t, path, NULL, part.count, page->address + page->addresses);
		page->addresses += part.count;
	} else if (part.count && path->depth < TRIE_DEPTH) {
		r = trie_parts(t, path, &page->shared, parts);
		for (unsigned int i = 0; i < TRIE_CHILDREN && !r; i++)
			page->hash[page->hashes++] = parts[i].hash;
	}
	if (!r)
		wire_count_put(part.count, page->count + page->at * WIRE_COUNT_LEN);
	return r;
}

static int serve_places(struct node *n, struct repair_serving *v, struct message *out)
{
	struct repair_page *page = n->repair->page;
	struct wire_path path;
	int r;

	for (; page->at < v->m.path_count; page->at++) {
		wire_path(&v->m, page->at, &path);
		r = serve_place(n, page, &path);
		if (r)
			return r;
	}
	out->has = WIRE_HAS(FIELD_COUNTS);
	out->counts_bytes = page->count;
	out->count_count = v->m.path_count;
	if (page->hashes) {
		out->has |= WIRE_HAS(FIELD_HASHES);
		out->hashes = page->hash;
		out->hash_count = page->hashes;
	}
	if (page->addresses) {
		out->has |= WIRE_HAS(FIELD_ADDRESSES);
		out->addresses = page->address;
		out->address_count = page->addresses;
	}
	return 0;
}

/* The page goes from slot to slot above depth 4; page->at counts them, from the first one below the path. */
static int list_slots(struct node *n, struct repair_page *page, const struct wire_path *path, const struct address *after)
{
	struct trie *t = n->repair->trie;
	unsigned int first = (unsigned int)(path->nibbles[0] << 8 | path->nibbles[1]);
	unsigned int slots = path->depth ? 1u << 4 * (TRIE_SLOT_DEPTH - path->depth) : RING_SLOTS;
	struct wire_path slot;
	struct trie_part part;
	int r;

	if (after && ring_slot(after) > first + page->at)
		page->at = ring_slot(after) - first;
	for (; page->at < slots && page->addresses < WIRE_ADDRESSES_MAX; page->at++) {
		unsigned int room = WIRE_ADDRESSES_MAX - page->addresses;

		trie_path_slot(first + page->at, &slot);
		r = trie_slots_have(&page->shared, first + page->at) ? trie_part(t, &slot, &page->shared, &part) : 1;
		if (r < 0)
			return r;
		if (r || !part.count)
			continue;
		page->addresses += (unsigned int)trie_list(t, &slot, after, room, page->address + page->addresses);
	}
	return 0;
}

static int serve_list(struct node *n, struct repair_serving *v, struct message *out)
{
	const struct address *after = v->m.has & WIRE_HAS(FIELD_ADDRESS) ? &v->m.address : NULL;
	struct repair_page *page = n->repair->page;
	struct wire_path path;
	int r = 0;

	wire_path(&v->m, 0, &path);
	if (path.depth < TRIE_SLOT_DEPTH)
		r = list_slots(n, page, &path, after);
	else
		page->addresses = (unsigned int)trie_list(n->repair->trie, &path, after, WIRE_ADDRESSES_MAX, page->address);
	if (r)
		return r;
	out->has = WIRE_HAS(FIELD_ADDRESSES);
	out->addresses = page->address;
	out->address_count = page->addresses;
	out->more = page->addresses == WIRE_ADDRESSES_MAX;
	return 0;
}

/* False: it waits for the trie. */
static bool serve(struct node *n, struct repair_serving *v)
{
	struct message m = { .status = WIRE_OK };
	int r;

	if (v->m.type == WIRE_LIST)
		r = serve_list(n, v, &m);
	else if (v->m.has & WIRE_HAS(FIELD_PATHS))
		r = serve_places(n, v, &m);
	else
		r = serve_compare(n, v, &m);
	if (r == -EAGAIN)
		return false;
	if (r)
		serve_status(n, v->served, WIRE_BUSY);
	else
		serve_answer(n, v->served, &m, NULL);
	return true;
}

static void drop(struct repair *repair, struct repair_serving *v)
{
	list_remove(&v->link);
	repair->serving_count--;
	free(v);
}

/* Only what lies above them depends on which slots are shared. */
static bool above_slots(const struct message *m)
{
	struct wire_path path;
	bool above = !m->path_count;

	for (unsigned int i = 0; i < m->path_count && !above; i++) {
		wire_path(m, i, &path);
		above = path.depth < TRIE_SLOT_DEPTH;
	}
	return above;
}

/* The page for ${v}.  False: no memory. */
static bool page_begin(struct node *n, const struct repair_serving *v)
{
	struct repair *repair = n->repair;

	if (!repair->page)
		repair->page = malloc(sizeof(*repair->page));
	if (!repair->page)
		return false;
	repair->page->at = repair->page->hashes = repair->page->addresses = 0;
	if (above_slots(&v->m))
		repair_shared(n, &v->id, &repair->page->shared);
	return true;
}

static void next_one(struct node *n)
{
	struct repair *repair = n->repair;

	while (!list_empty(&repair->serving)) {
		struct repair_serving *v = list_item(repair->serving.next, struct repair_serving, link);

		if (page_begin(n, v))
			return;
		serve_status(n, v->served, WIRE_BUSY);
		drop(repair, v);
	}
	free(repair->page);
	repair->page = NULL;
}

void repair_serve_due(struct node *n, struct timer *t)
{
	struct repair *repair = n->repair;

	trie_allow(repair->trie, REPAIR_READS);
	while (!list_empty(&repair->serving)) {
		struct repair_serving *v = list_item(repair->serving.next, struct repair_serving, link);

		if (!serve(n, v)) {
			timer_set(n, t, n->now);
			return;
		}
		drop(repair, v);
		next_one(n);
	}
}

static bool paths_valid(const struct message *m)
{
	struct wire_path path;

	for (unsigned int i = 0; i < m->path_count; i++) {
		wire_path(m, i, &path);
		if (!trie_path_valid(&path))
			return false;
		if (m->type == WIRE_SLOTS && path.depth != TRIE_SLOT_DEPTH && (path.depth != 1 || m->path_count != 1))
			return false;
	}
	return m->type == WIRE_LIST ? m->path_count == 1 : true;
}

/* Of two kinds of questions in one message, or none at all, nothing can be made. */
static bool trie_valid(const struct message *m)
{
	bool paths = m->has & WIRE_HAS(FIELD_PATHS), hashes = m->has & WIRE_HAS(FIELD_HASHES);

	return paths != hashes && (!hashes || m->hash_count == 1);
}

/* Is there room for another question of ${id}?  One peer does not keep the others waiting. */
static bool room_for(const struct repair *repair, const struct address *id)
{
	unsigned int its = 0;

	for (struct list *l = repair->serving.next; l != &repair->serving; l = l->next)
		its += address_equal(&list_item(l, struct repair_serving, link)->id, id);
	return repair->serving_count < REPAIR_SERVED && its < REPAIR_SERVED_PEER;
}

static void wait_for_trie(struct node *n, struct served *s, const struct message *m)
{
	struct repair *repair = n->repair;
	struct repair_serving *v = room_for(repair, &s->peer->id) ? calloc(1, sizeof(*v)) : NULL;

	if (!v) {
		serve_status(n, s, WIRE_BUSY);
		return;
	}
	v->served = s;
	v->id = s->peer->id;
	v->m = *m;
	list_append(&repair->serving, &v->link);
	if (repair->serving_count++ == 0)
		next_one(n);
	timer_set(n, &repair->serve_timer, n->now);
}

static void offer(struct node *n, struct served *s, const struct message *m)
{
	struct catalogue *c = n->options.catalogue;
	const struct address id = s->peer->id;
	struct pair *pair = repair_pair(n, &id);
	bool room = true, unknown = m->more;

	for (unsigned int i = 0; i < m->address_count && room; i++) {
		const struct address *a = &m->addresses[i];

		if (!placement_mine(n, ring_slot(a)))
			continue;
		if (!c->leased(c, a))
			unknown = true;		/* their lease is newer, or ours is: comparing will tell */
		else if (!(c->state(c, a) & (STATE_OWNED | STATE_FOREIGN)))
			room = pull_add(n, a, &id, NULL) >= 0;
	}
	if (pair && (unknown || !room))
		repair_due(n, pair, n->now + S);
	serve_status(n, s, room ? WIRE_OK : WIRE_BUSY);
}

/* Is all of it here that should be?  Also of what others own now, while it is theirs to take. */
static bool whole(struct node *n, unsigned int slot)
{
	return placement_complete(n, slot) || (placement_was_complete(n, slot) && rebalance_kept(n, slot));
}

/* A quarter of all slots: a bit each, of leases, then of what is complete. */
static void quarter(struct node *n, struct served *s, const struct wire_path *path)
{
	uint32_t word[2][REPAIR_WORDS] = { { 0 } };
	uint8_t count[2 * REPAIR_WORDS * WIRE_COUNT_LEN];
	struct message answer = { .status = WIRE_OK, .has = WIRE_HAS(FIELD_HAVE) | WIRE_HAS(FIELD_COUNTS),
		.counts_bytes = count, .count_count = 2 * REPAIR_WORDS };
	unsigned int first = (unsigned int)path->nibbles[0] << 8;

	for (unsigned int i = 0; i < REPAIR_QUARTER; i++) {
		word[0][i / 32] |= (uint32_t)lease_any(n, first + i) << i % 32;
		word[1][i / 32] |= (uint32_t)whole(n, first + i) << i % 32;
	}
	for (unsigned int i = 0; i < answer.count_count; i++)
		wire_count_put(word[i / REPAIR_WORDS][i % REPAIR_WORDS], count + i * WIRE_COUNT_LEN);
	serve_answer(n, s, &answer, NULL);
}

static void slots(struct node *n, struct served *s, const struct message *m)
{
	uint8_t have[WIRE_PATHS_MAX / 8] = { 0 }, count[WIRE_PATHS_MAX * WIRE_COUNT_LEN];
	struct message answer = { .status = WIRE_OK, .has = WIRE_HAS(FIELD_HAVE) | WIRE_HAS(FIELD_COUNTS),
		.have = { have, (m->path_count + 7) / 8 }, .counts_bytes = count, .count_count = m->path_count };
	struct wire_path path;

	wire_path(m, 0, &path);
	if (path.depth == 1) {
		quarter(n, s, &path);
		return;
	}
	for (unsigned int i = 0; i < m->path_count; i++) {
		unsigned int slot;

		wire_path(m, i, &path);
		slot = trie_slot(&path);
		if (whole(n, slot))
			have[i / 8] |= (uint8_t)(1u << i % 8);
		slots_held(n, &s->peer->id, slot);
		wire_count_put(lease_any(n, slot), count + i * WIRE_COUNT_LEN);
	}
	serve_answer(n, s, &answer, NULL);
}

bool repair_request(struct node *n, struct served *s, const struct message *m)
{
	if (m->type != WIRE_TRIE && m->type != WIRE_LIST && m->type != WIRE_OFFER && m->type != WIRE_SLOTS)
		return false;
	if (!paths_valid(m) || (m->type == WIRE_TRIE && !trie_valid(m)))
		serve_status(n, s, WIRE_BAD);
	else if (m->type == WIRE_OFFER)
		offer(n, s, m);
	else if (m->type == WIRE_SLOTS)
		slots(n, s, m);
	else
		wait_for_trie(n, s, m);
	return true;
}

void repair_serve_end(struct node *n)
{
	struct repair *repair = n->repair;

	timer_stop(n, &repair->serve_timer);
	while (!list_empty(&repair->serving))
		drop(repair, list_item(repair->serving.next, struct repair_serving, link));
	free(repair->page);
	repair->page = NULL;
}

size_t repair_serve_memory(const struct repair *r)
{
	return r->serving_count * sizeof(struct repair_serving) + (r->page ? sizeof(*r->page) : 0);
}
