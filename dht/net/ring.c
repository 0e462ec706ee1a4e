#include "dht/net/ring.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define CAP_PERCENT 105u	/* of its share a member takes before others are asked */
#define NOBODY UINT16_MAX

struct ring_token {
	uint64_t at;
	uint16_t member;
};

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
	size_t start;		/* the first token of its walk */
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

/* Members are in the order of ids, so equal tokens are ordered by id. */
static int by_place(const void *a, const void *b)
{
	const struct ring_token *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->member > y->member) - (x->member < y->member);
}

static int make_tokens(struct ring *r)
{
	struct ring_token *t;

	for (unsigned int i = 0; i < r->members; i++)
		r->tokens += RING_TOKENS * r->member[i].weight;
	t = r->token = malloc(r->tokens * sizeof(*t));
	if (!t)
		return -ENOMEM;
	for (unsigned int i = 0; i < r->members; i++) {
		uint8_t in[ADDRESS_LEN + 4], out[ADDRESS_LEN];

		memcpy(in, r->member[i].id.b, ADDRESS_LEN);
		for (uint32_t j = 0; j < RING_TOKENS * r->member[i].weight; j++, t++) {
			put_le32(in + ADDRESS_LEN, j);
			crypto_generichash_blake2b(out, sizeof(out), in, sizeof(in), NULL, 0);
			t->at = get_be64(out);
			t->member = (uint16_t)i;
		}
	}
	qsort(r->token, r->tokens, sizeof(*r->token), by_place);
	return 0;
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

static void make_zones(struct building *b)
{
	const struct ring *r = b->ring;

	for (unsigned int i = 0; i < r->members; i++) {
		unsigned int first = 0;

		while (strcmp(r->member[first].zone, r->member[i].zone) != 0)
			first++;
		b->zone[i] = first == i ? (uint16_t)b->zones++ : b->zone[first];
		if (b->everywhere[i])
			continue;
		b->zones_of_others += b->others[b->zone[i]]++ == 0;
		b->roomy[b->zone[i]]++;
		b->all_roomy++;
	}
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

static uint16_t choose(const struct building *b)
{
	enum rule rule = rule_of(b);
	const struct ring *r = b->ring;
	uint16_t best = NOBODY;

	for (size_t i = 0, at = b->start; i < r->tokens; i++, at++) {
		unsigned int m;

		if (at == r->tokens)
			at = 0;
		m = r->token[at].member;
		if (b->everywhere[m] || is_chosen(b, m))
			continue;
		if (rule == LEAST_LOADED) {
			if (best == NOBODY || compare_load(b, m, best) < 0)
				best = (uint16_t)m;
			continue;
		}
		if ((rule == WITH_ROOM || !zone_is_used(b, m)) && (rule == NEW_ZONE || has_room(b, m)))
			return (uint16_t)m;
	}
	assert(best != NOBODY);
	return best;
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
		uint64_t from = (uint64_t)slot << (64 - RING_SLOT_BITS);

		while (b->start < r->tokens && r->token[b->start].at < from)
			b->start++;
		b->count = 0;
		for (unsigned int i = 0; i < r->members; i++)
			if (b->everywhere[i])
				take(b, (uint16_t)i);
		while (b->count < r->replicas)
			take(b, choose(b));
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
		make_zones(&b);
		make_table(&b);
		rc = 0;
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
	rc = make_tokens(r);
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
	free(r->token);
	free(r);
}

unsigned int ring_walk(const struct ring *r, unsigned int slot, uint16_t *out, unsigned int n)
{
	uint64_t from = (uint64_t)slot << (64 - RING_SLOT_BITS);
	unsigned int count = n < r->replicas ? n : r->replicas;
	size_t low = 0, high = r->tokens;

	memcpy(out, ring_owners(r, slot), count * sizeof(*out));
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->token[middle].at < from)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = 0; i < r->tokens && count < n && count < r->members; i++) {
		uint16_t m = r->token[(low + i) % r->tokens].member;
		unsigned int j = 0;

		while (j < count && out[j] != m)
			j++;
		if (j == count)
			out[count++] = m;
	}
	return count;
}
