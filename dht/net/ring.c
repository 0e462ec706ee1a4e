#include "dht/net/ring.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define CAP_PERCENT 105u	/* of its share a member takes before others are asked */
#define NOBODY UINT16_MAX

/* A token in the bucket of its slot: its place within the slot, then its member, so that numbers compare as tokens do. */
#define TOKEN(at, member) ((at) << RING_SLOT_BITS | (member))
#define TOKEN_MEMBER(key) ((uint16_t)((key) & (RING_SLOTS - 1)))

_Static_assert(RING_MEMBERS_MAX <= RING_SLOTS, "a member's number fits into a token");

/* While a table is made. */
struct building {
	struct ring *ring;
	uint16_t *zone;		/* of each member */
	uint32_t *load;		/* slots it has */
	uint32_t *cap;
	bool *everywhere;	/* its share is all slots: it owns each */
	uint32_t *roomy;	/* of each zone: members below their cap that are not everywhere */
	uint32_t *others;	/* of each zone: members that are not everywhere */
	uint32_t zones, all_roomy;
	uint32_t zones_of_others;	/* zones that have any */

	/* Of the slot: */
	uint16_t chosen[RING_REPLICAS_MAX];
	unsigned int count;
	uint32_t start;		/* the first token of its walk */
};

unsigned int ring_slot(const struct address *a)
{
	return (unsigned int)a->b[0] << (RING_SLOT_BITS - 8) | a->b[1] >> (16 - RING_SLOT_BITS);
}

const uint16_t *ring_owners(const struct ring *r, unsigned int slot)
{
	assert(slot < RING_SLOTS);
	return r->owner + (size_t)slot * r->replicas;
}

bool ring_owns(const struct ring *r, unsigned int slot, unsigned int member)
{
	const uint16_t *owner = ring_owners(r, slot);

	for (unsigned int i = 0; i < r->replicas; i++)
		if (owner[i] == member)
			return true;
	return false;
}

static int by_id(const void *a, const void *b)
{
	const struct ring_member *x = a, *y = b;

	return address_compare(&x->id, &y->id);
}

int ring_find(const struct ring *r, const struct address *id)
{
	struct ring_member key = { .id = *id };
	const struct ring_member *m = bsearch(&key, r->member, r->members, sizeof(key), by_id);

	return m ? (int)(m - r->member) : -1;
}

/* The members in the order of their ids, checked. */
static int sorted(const struct ring_member *members, size_t n, unsigned int replicas,
    struct ring_member **out)
{
	struct ring_member *m;

	if (n == 0 || n > RING_MEMBERS_MAX || replicas == 0 || replicas > RING_REPLICAS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (members[i].weight == 0 || members[i].weight > RING_WEIGHT_MAX ||
		    !memchr(members[i].zone, 0, sizeof(members[i].zone)))
			return -EINVAL;
	m = malloc(n * sizeof(*m));
	if (!m)
		return -ENOMEM;
	memcpy(m, members, n * sizeof(*m));
	qsort(m, n, sizeof(*m), by_id);
	for (size_t i = 1; i < n; i++) {
		if (address_equal(&m[i].id, &m[i - 1].id)) {
			free(m);
			return -EINVAL;
		}
	}
	*out = m;
	return 0;
}

/* R, then of each member id, weight, length of the zone's name and the name. */
static void hash_placement(const struct ring_member *m, size_t n, unsigned int replicas,
    struct address *out)
{
	static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "dhtfs placement";
	static const uint8_t no_salt[crypto_generichash_blake2b_SALTBYTES];
	crypto_generichash_blake2b_state st;
	uint8_t head[2];

	crypto_generichash_blake2b_init_salt_personal(&st, NULL, 0, ADDRESS_LEN, no_salt, personal);
	head[0] = (uint8_t)replicas;
	crypto_generichash_blake2b_update(&st, head, 1);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(m[i].zone);

		head[0] = m[i].weight;
		head[1] = (uint8_t)len;
		crypto_generichash_blake2b_update(&st, m[i].id.b, ADDRESS_LEN);
		crypto_generichash_blake2b_update(&st, head, 2);
		crypto_generichash_blake2b_update(&st, (const uint8_t *)m[i].zone, len);
	}
	crypto_generichash_blake2b_final(&st, out->b, ADDRESS_LEN);
}

int ring_placement(const struct ring_member *members, size_t n, unsigned int replicas,
    struct address *out)
{
	struct ring_member *m;
	int rc = sorted(members, n, replicas, &m);

	if (rc < 0)
		return rc;
	hash_placement(m, n, replicas, out);
	free(m);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* By slots, then within each: half the time of one sort of all. */
static void sort_tokens(struct ring *r, const uint64_t *at, uint64_t *sorted)
{
	uint32_t *first = r->first;

	for (uint32_t i = 0; i < r->tokens; i++)
		first[at[i] >> (64 - RING_SLOT_BITS)]++;
	for (uint32_t slot = 0, sum = 0; slot <= RING_SLOTS; slot++) {
		sum += first[slot];
		first[slot] = sum;
	}
	/* Filled from their ends, so that each is where its slot begins when all are placed. */
	for (unsigned int i = 0; i < r->members; i++)
		for (uint32_t j = 0; j < RING_TOKENS * r->member[i].weight; j++, at++)
			sorted[--first[*at >> (64 - RING_SLOT_BITS)]] = TOKEN(*at, i);
	for (uint32_t slot = 0; slot < RING_SLOTS; slot++)
		qsort(sorted + first[slot], first[slot + 1] - first[slot], sizeof(*sorted), by_number);
}

static int make_walk(struct ring *r)
{
	uint64_t *at, *sorted;
	int rc = -ENOMEM;

	for (unsigned int i = 0; i < r->members; i++)
		r->tokens += RING_TOKENS * r->member[i].weight;
	at = malloc(r->tokens * sizeof(*at));
	sorted = malloc(r->tokens * sizeof(*sorted));
	r->walk = malloc(r->tokens * sizeof(*r->walk));
	r->first = calloc(RING_SLOTS + 1, sizeof(*r->first));
	if (at && sorted && r->walk && r->first) {
		uint64_t *next = at;

		for (unsigned int i = 0; i < r->members; i++)
			for (uint32_t j = 0; j < RING_TOKENS * r->member[i].weight; j++)
				*next++ = ring_token(&r->member[i].id, j);
		sort_tokens(r, at, sorted);
		for (uint32_t i = 0; i < r->tokens; i++)
			r->walk[i] = TOKEN_MEMBER(sorted[i]);
		rc = 0;
	}
	free(at);
	free(sorted);
	return rc;
}

/*
 * Who is everywhere, and the caps of the others.  A share is weight / weights of the others x
 * slots x ranks left; who would exceed all slots is everywhere, which leaves more for the rest.
 */
static void make_caps(struct building *b)
{
	const struct ring *r = b->ring;
	uint64_t weights = 0, ranks = r->replicas;
	bool again = true;

	for (unsigned int i = 0; i < r->members; i++)
		weights += r->member[i].weight;
	while (again) {
		uint64_t all = weights, left = ranks;

		again = false;
		for (unsigned int i = 0; i < r->members; i++) {
			if (b->everywhere[i] || r->member[i].weight * left <= all)
				continue;
			b->everywhere[i] = again = true;
			weights -= r->member[i].weight;
			ranks--;
		}
	}
	for (unsigned int i = 0; i < r->members; i++)
		if (!b->everywhere[i])
			b->cap[i] = (uint32_t)((CAP_PERCENT * r->member[i].weight * RING_SLOTS * ranks +
			    100 * weights - 1) / (100 * weights));
}

static int by_zone(const void *a, const void *b)
{
	const struct ring_member *const *x = a, *const *y = b;

	return strcmp((*x)->zone, (*y)->zone);
}

/* Numbers for names, in any order: nothing follows from it. */
static int make_zones(struct building *b)
{
	const struct ring *r = b->ring;
	const struct ring_member **m = malloc(r->members * sizeof(*m));

	if (!m)
		return -ENOMEM;
	for (unsigned int i = 0; i < r->members; i++)
		m[i] = &r->member[i];
	qsort(m, r->members, sizeof(*m), by_zone);
	for (unsigned int i = 0; i < r->members; i++) {
		unsigned int member = (unsigned int)(m[i] - r->member), zone;

		b->zones += i > 0 && by_zone(&m[i - 1], &m[i]) != 0;
		zone = b->zones;
		b->zone[member] = (uint16_t)zone;
		if (b->everywhere[member])
			continue;
		b->zones_of_others += b->others[zone]++ == 0;
		b->roomy[zone]++;
		b->all_roomy++;
	}
	free(m);
	return 0;
}

static bool is_chosen(const struct building *b, unsigned int member)
{
	for (unsigned int i = 0; i < b->count; i++)
		if (b->chosen[i] == member)
			return true;
	return false;
}

static bool zone_is_used(const struct building *b, unsigned int member)
{
	for (unsigned int i = 0; i < b->count; i++)
		if (b->zone[b->chosen[i]] == b->zone[member])
			return true;
	return false;
}

static bool has_room(const struct building *b, unsigned int member)
{
	return b->load[member] < b->cap[member];
}

/* Is the zone of chosen[i] that of an earlier one? */
static bool zone_is_repeated(const struct building *b, unsigned int i)
{
	for (unsigned int j = 0; j < i; j++)
		if (b->zone[b->chosen[j]] == b->zone[b->chosen[i]])
			return true;
	return false;
}

/* Rules 1 to 3 of a rank, from what is best.  The next rank may only need a worse one. */
enum rule { NEW_ZONE_WITH_ROOM, NEW_ZONE, WITH_ROOM, LEAST_LOADED };

/* The first rule that somebody meets: counted, since a walk in vain is as long as the circle. */
static enum rule rule_of(const struct building *b)
{
	uint32_t new_with_room = b->all_roomy, new = b->zones_of_others, with_room = b->all_roomy;

	for (unsigned int i = 0; i < b->count; i++) {
		unsigned int member = b->chosen[i], zone = b->zone[member];

		with_room -= !b->everywhere[member] && has_room(b, member);
		if (zone_is_repeated(b, i))
			continue;
		new_with_room -= b->roomy[zone];
		new -= b->others[zone] > 0;
	}
	return new_with_room > 0 ? NEW_ZONE_WITH_ROOM : new > 0 ? NEW_ZONE
	    : with_room > 0 ? WITH_ROOM : LEAST_LOADED;
}

/* Is ${a} less loaded for its share than ${c}?  Shares of those not everywhere go by weight. */
static int compare_load(const struct building *b, unsigned int a, unsigned int c)
{
	uint64_t x = (uint64_t)(b->load[a] + 1) * b->ring->member[c].weight;
	uint64_t y = (uint64_t)(b->load[c] + 1) * b->ring->member[a].weight;

	return (x > y) - (x < y);
}

static bool may_take(const struct building *b, enum rule rule, unsigned int member)
{
	if (rule != NEW_ZONE && !has_room(b, member))
		return false;
	return !b->everywhere[member] && !is_chosen(b, member) && (rule == WITH_ROOM || !zone_is_used(b, member));
}

/* The first on the walk that ${rule}, not the last, allows. */
static uint16_t walk_to(const struct building *b, enum rule rule)
{
	const uint16_t *walk = b->ring->walk;
	uint32_t tokens = b->ring->tokens;

	for (uint32_t i = b->start; i < tokens; i++)
		if (may_take(b, rule, walk[i]))
			return walk[i];
	for (uint32_t i = 0; i < b->start; i++)
		if (may_take(b, rule, walk[i]))
			return walk[i];
	assert(!"rule_of() found somebody");
	return NOBODY;
}

/* Ties go to the first on the walk. */
static uint16_t least_loaded(const struct building *b)
{
	const struct ring *r = b->ring;
	uint16_t best = NOBODY;

	for (unsigned int i = 0; i < r->members; i++)
		if (!b->everywhere[i] && !is_chosen(b, i) && (best == NOBODY || compare_load(b, i, best) < 0))
			best = (uint16_t)i;
	assert(best != NOBODY);
	for (uint32_t i = 0; ; i++) {
		unsigned int m = r->walk[(b->start + i) % r->tokens];

		if (!b->everywhere[m] && !is_chosen(b, m) && compare_load(b, m, best) == 0)
			return (uint16_t)m;
	}
}

static void take(struct building *b, uint16_t member)
{
	b->chosen[b->count++] = member;
	if (b->everywhere[member] || ++b->load[member] != b->cap[member])
		return;
	b->roomy[b->zone[member]]--;
	b->all_roomy--;
}

static void make_table(struct building *b)
{
	struct ring *r = b->ring;

	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		b->start = r->first[slot];
		b->count = 0;
		for (unsigned int i = 0; i < r->members; i++)
			if (b->everywhere[i])
				take(b, (uint16_t)i);
		while (b->count < r->replicas) {
			enum rule rule = rule_of(b);

			take(b, rule == LEAST_LOADED ? least_loaded(b) : walk_to(b, rule));
		}
		memcpy(r->owner + (size_t)slot * r->replicas, b->chosen, r->replicas * sizeof(uint16_t));
	}
}

static int make_owners(struct ring *r)
{
	struct building b = { .ring = r };
	size_t n = r->members;
	int rc = -ENOMEM;

	r->owner = malloc(sizeof(*r->owner) * RING_SLOTS * r->replicas);
	b.zone = calloc(n, sizeof(*b.zone));
	b.load = calloc(n, sizeof(*b.load));
	b.cap = calloc(n, sizeof(*b.cap));
	b.everywhere = calloc(n, sizeof(*b.everywhere));
	b.roomy = calloc(n, sizeof(*b.roomy));
	b.others = calloc(n, sizeof(*b.others));
	if (r->owner && b.zone && b.load && b.cap && b.everywhere && b.roomy && b.others) {
		make_caps(&b);
		rc = make_zones(&b);
		if (rc == 0)
			make_table(&b);
	}
	free(b.zone);
	free(b.load);
	free(b.cap);
	free(b.everywhere);
	free(b.roomy);
	free(b.others);
	return rc;
}

int ring_build(const struct ring_member *members, size_t n, unsigned int replicas, struct ring **out)
{
	struct ring *r = calloc(1, sizeof(*r));
	int rc = r ? sorted(members, n, replicas, &r->member) : -ENOMEM;

	if (rc < 0)
		goto err;
	r->members = (unsigned int)n;
	r->replicas = n < replicas ? (unsigned int)n : replicas;
	hash_placement(r->member, n, replicas, &r->placement);
	rc = make_walk(r);
	if (rc == 0)
		rc = make_owners(r);
	if (rc < 0)
		goto err;
	*out = r;
	return 0;
err:
	ring_free(r);
	return rc;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	free(r->member);
	free(r->owner);
	free(r->walk);
	free(r->first);
	free(r);
}

size_t ring_memory(const struct ring *r)
{
	return sizeof(*r) + r->members * sizeof(*r->member) + r->tokens * sizeof(*r->walk) +
	    (RING_SLOTS + 1) * sizeof(*r->first) + (size_t)RING_SLOTS * r->replicas * sizeof(*r->owner);
}

unsigned int ring_walk(const struct ring *r, unsigned int slot, uint16_t *out, unsigned int n)
{
	unsigned int count = n < r->replicas ? n : r->replicas;

	memcpy(out, ring_owners(r, slot), count * sizeof(*out));
	for (uint32_t i = 0; i < r->tokens && count < n && count < r->members; i++) {
		uint16_t m = r->walk[(r->first[slot] + i) % r->tokens];
		unsigned int j = 0;

		while (j < count && out[j] != m)
			j++;
		if (j == count)
			out[count++] = m;
	}
	return count;
}
