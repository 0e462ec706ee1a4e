#include "dht/net/trie.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "chunker/bytes.h"

#define STATES (STATE_LEASED | STATE_OWNED | STATE_FOREIGN)

/*
 * One remembered path.  Above the slots only ${child} means something.  Invariants:
 * 1. known: hash and count are those of the catalogue, as far as trie_changed() told;
 * 2. a place that is known has children where its count is over TRIE_READ, and only there;
 * 3. what is above a place that is not known, down from the slot, is not known either.
 */
struct place {
	struct place *child;		/* TRIE_CHILDREN of them, or NULL */
	uint32_t count : 31, known : 1;
	struct wire_hash hash;
};
_Static_assert(sizeof(struct place) == 32, "the memory that the header speaks of");

struct trie {
	struct catalogue *catalogue;
	struct place root;
	size_t allowed, memory;
};

/* The steps of a path from the highest bits of a number down; of an address: its first 62 bits behind two zeros. */
static uint64_t steps_of(const struct address *a)
{
	return get_be64(a->b) >> 2;
}

static uint64_t steps_below(unsigned int depth)		/* the bits behind the first ${depth} steps */
{
	return depth == TRIE_DEPTH ? 0 : UINT64_MAX >> 4 * depth;
}

static unsigned int step(uint64_t steps, unsigned int depth)
{
	return steps >> (60 - 4 * depth) & 15;
}

static uint64_t steps_child(uint64_t steps, unsigned int depth, unsigned int i)
{
	return steps | (uint64_t)i << (60 - 4 * depth);
}

static uint64_t path_steps(const struct wire_path *path)
{
	return get_be64(path->nibbles);
}

static void path_put(uint64_t steps, unsigned int depth, struct wire_path *out)
{
	out->depth = (uint8_t)depth;
	put_be64(out->nibbles, steps & ~steps_below(depth));
}

void trie_path_of(const struct address *a, unsigned int depth, struct wire_path *out)
{
	assert(depth <= TRIE_DEPTH);
	path_put(steps_of(a), depth, out);
}

void trie_path_slot(unsigned int slot, struct wire_path *out)
{
	assert(slot < RING_SLOTS);
	path_put((uint64_t)slot << 48, TRIE_SLOT_DEPTH, out);
}

void trie_path_child(const struct wire_path *path, unsigned int i, struct wire_path *out)
{
	assert(path->depth < TRIE_DEPTH && i < TRIE_CHILDREN);
	path_put(steps_child(path_steps(path), path->depth, i), path->depth + 1u, out);
}

bool trie_path_valid(const struct wire_path *path)
{
	uint64_t steps = path_steps(path);

	return path->depth <= TRIE_DEPTH && !(steps & steps_below(path->depth)) && !(steps >> 62);
}

bool trie_path_has(const struct wire_path *path, const struct address *a)
{
	return (steps_of(a) & ~steps_below(path->depth)) == path_steps(path);
}

unsigned int trie_slot(const struct wire_path *path)
{
	assert(path->depth >= TRIE_SLOT_DEPTH);
	return (unsigned int)(path_steps(path) >> 48);
}

static void hash_personal(const void *bytes, size_t len, const char *personal, struct wire_hash *out)
{
	uint8_t padded[crypto_generichash_blake2b_PERSONALBYTES] = { 0 };
	int r;

	memcpy(padded, personal, strlen(personal));
	r = crypto_generichash_blake2b_salt_personal(out->b, WIRE_HASH, bytes, len, NULL, 0, NULL, padded);
	assert(r == 0);
}

static void hash_parts(const struct trie_part part[TRIE_CHILDREN], struct trie_part *out)
{
	uint8_t all[TRIE_CHILDREN * WIRE_HASH];

	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; i < TRIE_CHILDREN; i++) {
		memcpy(all + i * WIRE_HASH, part[i].hash.b, WIRE_HASH);
		out->count += part[i].count;
	}
	if (out->count)
		hash_personal(all, sizeof(all), "dhtfs trie", &out->hash);
}

static void hash_addresses(const struct address *a, size_t n, unsigned int depth, struct trie_part *out);

static void divide(const struct address *a, size_t n, unsigned int depth, struct trie_part out[TRIE_CHILDREN])
{
	size_t from = 0, to = 0;

	for (unsigned int i = 0; i < TRIE_CHILDREN; i++, from = to) {
		while (to < n && step(steps_of(&a[to]), depth) == i)
			to++;
		hash_addresses(a + from, to - from, depth + 1, &out[i]);
	}
	assert(to == n);
}

static void hash_addresses(const struct address *a, size_t n, unsigned int depth, struct trie_part *out)
{
	struct trie_part part[TRIE_CHILDREN];

	if (n > TRIE_LEAF && depth < TRIE_DEPTH) {
		divide(a, n, depth, part);
		hash_parts(part, out);
		return;
	}
	memset(out, 0, sizeof(*out));
	out->count = (uint32_t)n;
	if (n)
		hash_personal(a, n * sizeof(*a), "dhtfs leaf", &out->hash);
}

bool trie_after(const struct address *a, struct address *out)
{
	unsigned int i = ADDRESS_LEN;

	*out = *a;
	while (i-- > 0)
		if (++out->b[i])
			return true;
	return false;
}

/* Up to ${n} addresses from ${from} on, as long as they lie below the path.  The catalogue does not know where that ends:
 * little is asked at first, so that a small place costs no more than itself. */
static size_t read_below(struct trie *t, uint64_t steps, unsigned int depth, const struct address *from, size_t n,
    struct address *out)
{
	struct address next = *from;
	size_t have = 0, want, got;

	for (size_t ask = 32; have < n; ask *= 2) {
		want = ask < n - have ? ask : n - have;
		got = t->catalogue->list(t->catalogue, &next, STATES, want, out + have);
		t->allowed -= got + 1 < t->allowed ? got + 1 : t->allowed;
		have += got;
		if (got < want || (steps_of(&out[have - 1]) & ~steps_below(depth)) != steps || !trie_after(&out[have - 1], &next))
			break;
	}
	while (have && (steps_of(&out[have - 1]) & ~steps_below(depth)) != steps)
		have--;
	return have;
}

static void first_below(uint64_t steps, struct address *out)
{
	memset(out, 0, sizeof(*out));
	put_be64(out->b, steps << 2);
}

static void drop_children(struct trie *t, struct place *p)
{
	if (!p->child)
		return;
	for (unsigned int i = 0; i < TRIE_CHILDREN; i++)
		drop_children(t, &p->child[i]);
	free(p->child);
	p->child = NULL;
	t->memory -= TRIE_CHILDREN * sizeof(*p);
}

static int add_children(struct trie *t, struct place *p)
{
	p->child = calloc(TRIE_CHILDREN, sizeof(*p));
	if (!p->child)
		return -ENOMEM;
	t->memory += TRIE_CHILDREN * sizeof(*p);
	return 0;
}

static void place_set(struct place *p, const struct trie_part *part)
{
	p->hash = part->hash;
	p->count = part->count & 0x7fffffffu;
	p->known = 1;
}

static void place_get(const struct place *p, struct trie_part *out)
{
	out->hash = p->hash;
	out->count = p->count;
}

/* Behind TRIE_DEPTH steps nothing is divided: all that lies there is hashed in one go. */
static void fill_deepest(struct trie *t, struct place *p, uint64_t steps)
{
	struct address some[64], from;
	struct trie_part part = { .count = 0 };
	crypto_generichash_blake2b_state state;
	uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "dhtfs leaf";
	size_t got;

	crypto_generichash_blake2b_init_salt_personal(&state, NULL, 0, WIRE_HASH, NULL, personal);
	first_below(steps, &from);
	while ((got = read_below(t, steps, TRIE_DEPTH, &from, 64, some))) {
		crypto_generichash_blake2b_update(&state, some[0].b, got * sizeof(some[0]));
		part.count += (uint32_t)got;
		if (!trie_after(&some[got - 1], &from))
			break;
	}
	crypto_generichash_blake2b_final(&state, part.hash.b, WIRE_HASH);
	place_set(p, &part);
}

/* What a place holds, if it is no more than is read at a time; else it gets children, which are all unknown. */
static int fill_small(struct trie *t, struct place *p, uint64_t steps, unsigned int depth)
{
	struct address all[TRIE_READ + 1], from;
	struct trie_part part;
	size_t got;

	first_below(steps, &from);
	got = read_below(t, steps, depth, &from, TRIE_READ + 1, all);
	if (got > TRIE_READ && depth < TRIE_DEPTH)
		return add_children(t, p);
	if (got > TRIE_READ) {
		fill_deepest(t, p, steps);
		return 0;
	}
	hash_addresses(all, got, depth, &part);
	place_set(p, &part);
	return 0;
}

/* Make a place known, and with it all that is remembered below it. */
static int fill(struct trie *t, struct place *p, uint64_t steps, unsigned int depth)
{
	struct trie_part part[TRIE_CHILDREN], all;
	int r;

	if (p->known)
		return 0;
	if (!p->child) {
		if (!t->allowed)
			return -EAGAIN;
		r = fill_small(t, p, steps, depth);
		if (r || p->known)
			return r;
	}
	for (unsigned int i = 0; i < TRIE_CHILDREN; i++) {
		r = fill(t, &p->child[i], steps_child(steps, depth, i), depth + 1);
		if (r)
			return r;
		place_get(&p->child[i], &part[i]);
	}
	hash_parts(part, &all);
	if (all.count <= TRIE_READ) {		/* it has shrunk: it may even be a leaf now */
		drop_children(t, p);
		return fill(t, p, steps, depth);
	}
	place_set(p, &all);
	return 0;
}

/* The place of a slot; made where it is not there. */
static int slot_place(struct trie *t, unsigned int slot, struct place **out)
{
	struct place *p = &t->root;

	for (unsigned int depth = 0; depth < TRIE_SLOT_DEPTH; depth++) {
		if (!p->child && add_children(t, p))
			return -ENOMEM;
		p = &p->child[step((uint64_t)slot << 48, depth)];
	}
	*out = p;
	return 0;
}

/* Does the pair share any slot below a place above them?  Most nodes share a few of all with another. */
static bool any_shared(const struct trie_slots *slots, uint64_t steps, unsigned int depth)
{
	static const struct trie_slots none;
	/* the first step has two bits only */
	size_t bytes = depth ? 4 * sizeof(none) >> 4 * depth : sizeof(none);

	return memcmp(slots->bit + (steps >> 48) / 8, none.bit, bytes) != 0;
}

/* One place above the slots: of what the pair shares. */
static int part_above(struct trie *t, uint64_t steps, unsigned int depth, const struct trie_slots *slots,
    struct trie_part *out);

static int parts_above(struct trie *t, uint64_t steps, unsigned int depth, const struct trie_slots *slots,
    struct trie_part out[TRIE_CHILDREN])
{
	int r = 0;

	for (unsigned int i = 0; i < TRIE_CHILDREN && !r; i++) {
		uint64_t child = steps_child(steps, depth, i);

		memset(&out[i], 0, sizeof(out[i]));
		if (!(child >> 62))		/* the two zero bits */
			r = part_above(t, child, depth + 1, slots, &out[i]);
	}
	return r;
}

static int part_above(struct trie *t, uint64_t steps, unsigned int depth, const struct trie_slots *slots,
    struct trie_part *out)
{
	struct trie_part part[TRIE_CHILDREN];
	struct place *p;
	int r;

	if (depth < TRIE_SLOT_DEPTH && !any_shared(slots, steps, depth)) {
		memset(out, 0, sizeof(*out));
		return 0;
	}
	if (depth < TRIE_SLOT_DEPTH) {
		r = parts_above(t, steps, depth, slots, part);
		if (!r)
			hash_parts(part, out);
		return r;
	}
	memset(out, 0, sizeof(*out));
	if (!trie_slots_have(slots, (unsigned int)(steps >> 48)))
		return 0;
	r = slot_place(t, (unsigned int)(steps >> 48), &p);
	if (!r)
		r = fill(t, p, steps, depth);
	if (!r)
		place_get(p, out);
	return r;
}

/* The deepest remembered place at a path or above it, known.  It is the path's own, or holds at most TRIE_READ. */
static int deepest(struct trie *t, const struct wire_path *path, struct place **out, unsigned int *depth)
{
	uint64_t steps = path_steps(path);
	struct place *p;
	int r = slot_place(t, trie_slot(path), &p);

	*depth = TRIE_SLOT_DEPTH;
	if (!r)
		r = fill(t, p, steps & ~steps_below(*depth), *depth);
	for (; !r && p->child && *depth < path->depth; ++*depth)
		p = &p->child[step(steps, *depth)];	/* what is below a known one is known */
	*out = p;
	return r;
}

int trie_part(struct trie *t, const struct wire_path *path, const struct trie_slots *slots, struct trie_part *out)
{
	struct address all[TRIE_READ], from;
	struct place *p;
	unsigned int depth;
	int r;

	assert(trie_path_valid(path));
	if (path->depth < TRIE_SLOT_DEPTH)
		return part_above(t, path_steps(path), path->depth, slots, out);
	r = deepest(t, path, &p, &depth);
	if (r)
		return r;
	if (depth == path->depth) {
		place_get(p, out);
		return 0;
	}
	if (!t->allowed)
		return -EAGAIN;
	first_below(path_steps(path), &from);
	hash_addresses(all, read_below(t, path_steps(path), path->depth, &from, TRIE_READ, all), path->depth, out);
	return 0;
}

int trie_parts(struct trie *t, const struct wire_path *path, const struct trie_slots *slots,
    struct trie_part out[TRIE_CHILDREN])
{
	struct address all[TRIE_READ], from;
	struct place *p;
	unsigned int depth;
	int r;

	assert(trie_path_valid(path) && path->depth < TRIE_DEPTH);
	if (path->depth < TRIE_SLOT_DEPTH)
		return parts_above(t, path_steps(path), path->depth, slots, out);
	r = deepest(t, path, &p, &depth);
	if (r)
		return r;
	if (depth == path->depth && p->child) {
		for (unsigned int i = 0; i < TRIE_CHILDREN; i++)
			place_get(&p->child[i], &out[i]);
		return 0;
	}
	if (!t->allowed)
		return -EAGAIN;
	first_below(path_steps(path), &from);
	divide(all, read_below(t, path_steps(path), path->depth, &from, TRIE_READ, all), path->depth, out);
	return 0;
}

size_t trie_list(struct trie *t, const struct wire_path *path, const struct address *after, size_t n, struct address *out)
{
	struct address from, next;

	assert(trie_path_valid(path) && path->depth >= TRIE_SLOT_DEPTH);
	first_below(path_steps(path), &from);
	if (after && !trie_after(after, &next))
		return 0;
	if (after && address_compare(&next, &from) > 0)
		from = next;
	return read_below(t, path_steps(path), path->depth, &from, n, out);
}

void trie_changed(struct trie *t, const struct address *a)
{
	uint64_t steps = steps_of(a);
	struct place *p = &t->root;

	for (unsigned int depth = 0; p->child; depth++) {
		p = &p->child[step(steps, depth)];
		p->known = 0;
	}
}

void trie_forget(struct trie *t, unsigned int slot)
{
	struct place *p = &t->root;

	for (unsigned int depth = 0; depth < TRIE_SLOT_DEPTH; depth++) {
		if (!p->child)
			return;
		p = &p->child[step((uint64_t)slot << 48, depth)];
	}
	drop_children(t, p);
	p->known = 0;
}

void trie_allow(struct trie *t, size_t reads)
{
	t->allowed = reads;
}

int trie_new(struct catalogue *c, struct trie **out)
{
	struct trie *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->catalogue = c;
	t->memory = sizeof(*t);
	*out = t;
	return 0;
}

void trie_free(struct trie *t)
{
	if (t)
		drop_children(t, &t->root);
	free(t);
}

size_t trie_memory(const struct trie *t)
{
	return t->memory;
}
