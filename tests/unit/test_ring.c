/*
 * ring: golden tables, the rules word for word, and what the rules promise.  SEED=n replays the random part.
 *
 * The golden tables come from another program, in another language, written after the rules alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "tests/lib/golden.h"
#include "tests/lib/ringkit.h"
#include "tests/lib/suite.h"

static uint64_t seed;

/* splitmix64: Steele, Lea & Flood (2014). */
static unsigned int below(uint64_t *state, unsigned int n)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (unsigned int)((z ^ z >> 31) % n);
}

static void set_zone(struct ring_member *m, const char *prefix, unsigned int number)
{
	snprintf(m->zone, sizeof(m->zone), "%s%u", prefix, number);
}

/* Golden tables. */

struct golden {
	const char *name;
	unsigned int members, replicas;
	const char *table, *placement;
	uint16_t rows[5][RING_REPLICAS_MAX];	/* owners of row_slots */
};

static const unsigned int row_slots[5] = { 0, 4095, 8192, 12345, 16383 };

static const struct golden goldens[] = {
	{ "one", 1, 3, "e9334020344bcb418f16c532a4fad5465ef530cff3eaaee6411bddf59e210e50",
	    "2611e0cc1fd3e2f3b9c8842ded4a9604e216ea1e3582401e0b19d502f73bc43f",
	    { { 0 }, { 0 }, { 0 }, { 0 }, { 0 } } },
	{ "two", 2, 3, "985aa2bb1e5ae83f8ca9224d7d1911760b7fd02e8c1261b1a8dd2f1f4fa17f38",
	    "b299bf101ed810a923aee9a095bef49adaaa43601610d53ad7ea63986ba21809",
	    { { 0, 1 }, { 0, 1 }, { 0, 1 }, { 1, 0 }, { 0, 1 } } },
	{ "three", 3, 3, "75ab005cf5f08c392ce3da9bdebad96b55587cd089225b03126c970875ea45d0",
	    "831de3c22532a3cb2546549af48781107056f5fe84e11ad7329af39801e4cdb8",
	    { { 0, 1, 2 }, { 2, 0, 1 }, { 0, 1, 2 }, { 2, 1, 0 }, { 0, 1, 2 } } },
	{ "three, two owners", 3, 2, "5a62c2e87ebb28cca160d417ac3d2e6e04890aa128f1112b692789135288ccb8",
	    "d212d1ee774584e0d75c7f253d1ef4312c8f2532a323b3a7e27e4addef670739",
	    { { 0, 1 }, { 2, 0 }, { 0, 1 }, { 2, 1 }, { 0, 1 } } },
	{ "1, 1, 2", 3, 3, "12382cf08895b7c5451edcc57fe6f9895a4fba359422f941910b4d28c8cedbff",
	    "63acee7185c65455effffea6bcbe2300a82d713d148632159a6484a20121517d",
	    { { 2, 0, 1 }, { 2, 0, 1 }, { 2, 0, 1 }, { 2, 1, 0 }, { 2, 0, 1 } } },
	{ "1, 1, 2 and two owners", 3, 2, "fff244f4d12e2b28369e720c6c6790a0b6fe1b5cd93aeac1ad7312d31a6ff58e",
	    "0f03fd741ceb41f9bdd522a90928fc9ee1477103321d6490373de268428c9841",
	    { { 0, 1 }, { 2, 0 }, { 0, 1 }, { 2, 1 }, { 2, 0 } } },
	{ "1, 1, 2, 9", 4, 3, "14c98515f1e0f4481cfb1fa141c4fe70c233c28173d80538ea0d91e2c2e191e1",
	    "fda46ac08b8107d93e616d99198c94ebe9a14b63ae10874374602e4ee30a7c8b",
	    { { 3, 0, 1 }, { 3, 2, 0 }, { 3, 0, 1 }, { 3, 2, 1 }, { 3, 2, 0 } } },
	{ "zones 4, 1, 1", 6, 3, "5fe05f6faf2599a94b93d2253bd4be3f084faabf0770670ac363d0106be10a30",
	    "3920c5f8b78c4232d694c23d9e39617bed7bf69b3090afd97a32732ce0ff7ab4",
	    { { 0, 5, 1 }, { 1, 3, 5 }, { 0, 5, 1 }, { 4, 1, 5 }, { 0, 5, 1 } } },
	{ "zones 4, 1, 1, mixed", 6, 3, "b4e2909249111aaffd8638654b786fce3e86048f33d6e3cad23fe52efd01f0cd",
	    "eb7ff619e3b4c6e363c6ec4a0135fdb511915bb036c712ec0b04a40f9e567e17",
	    { { 5, 3, 1 }, { 5, 1, 3 }, { 5, 0, 1 }, { 5, 4, 1 }, { 5, 3, 1 } } },
	{ "five", 5, 3, "dffd0110ef112f69891c5c1ba1c7b0a8016b1a9cd05cc301535267464e3889e4",
	    "75040ddac15c2f5eee65c2d73595bb5f76596ebec310d65acd28b1d3ba983b99",
	    { { 0, 1, 4 }, { 2, 3, 0 }, { 0, 1, 3 }, { 3, 2, 1 }, { 0, 1, 4 } } },
	{ "two zones", 7, 3, "2d9af0e375b1c1f5505cf49477e042335285cf3b0218c8ad3972c3dfa0a52940",
	    "30be578dfa6696bd5109d3c5c9619f9f71dfddd67cd20892ddd055a3605cb404",
	    { { 4, 0, 1 }, { 6, 1, 4 }, { 1, 6, 0 }, { 5, 4, 1 }, { 4, 0, 1 } } },
	/* Its cap is a whole number. */
	{ "sixteen, five owners", 16, 5, "8b7b7005320d9eb7a0f3f49e59414e091ce1ee0e4aaed5f5e38cc670a01b1739",
	    "bbe6ba0b0cc9e1f8d189bf2e1ba975c7d543d32532445430de8e01085424f47d",
	    { { 10, 0, 5, 9, 7 }, { 15, 6, 12, 4, 1 }, { 0, 7, 15, 9, 4 }, { 13, 11, 6, 9, 12 }, { 10, 0, 5, 9, 7 } } },
	{ "nine, eight owners", 9, 8, "1eaae7e94651edf13a92a936d16720b022303de06b745dead918c638827beda3",
	    "e39c92839a46fb0dc6dedaf1ed8188ba7699749caa3baefeca59b406fd2e4e56",
	    { { 8, 0, 2, 4, 5, 3, 7, 6 }, { 8, 3, 2, 6, 7, 0, 4, 1 }, { 8, 0, 2, 6, 5, 7, 4, 1 }, { 8, 7, 6, 3, 5, 2, 4, 1 }, { 8, 0, 2, 4, 5, 3, 7, 6 } } },
	{ "twenty", 20, 3, "5d0fdae8a4deafcb5af8406899ecac035e95959e1b80f5b0b0f3cab2e2f65496",
	    "5bf4c9c7d8cc29fa621ecb9e4f5bbc44bce3ab6909362b6def0912faf5efc739",
	    { { 12, 13, 19 }, { 19, 12, 10 }, { 14, 2, 10 }, { 15, 4, 1 }, { 12, 19, 8 } } },
	{ "hundred", 100, 3, "65e6a95043b5d59a5809b4720191d18ef774c2dc351f6b7adafd7a32800e047a",
	    "9698a00eeafa475b8a8dbdd4a0dca1c5cae19f65cae888b08ae7576955b3a9cc",
	    { { 86, 64, 12 }, { 1, 72, 92 }, { 95, 78, 76 }, { 82, 42, 57 }, { 52, 64, 12 } } },
	{ "thousand", 1000, 3, "031d55bc4987c52c40933d331560a6d0414b7c86adabb325c73c02982d277651",
	    "c9f170225317888f902f460ba99a742d76aae53d81b1141882c549d5c586b015",
	    { { 333, 708, 188 }, { 106, 161, 963 }, { 363, 851, 240 }, { 471, 12, 380 }, { 594, 380, 605 } } },
};

static void set_members(const struct golden *g, struct ring_member *m)
{
	static const uint8_t mixed[] = { 1, 2, 3, 1, 5, 1 };

	ringkit_members(m, 0, g->members);
	for (unsigned int i = 0; i < g->members; i++) {
		if (strncmp(g->name, "1, 1, 2", 7) == 0)
			m[i].weight = i == 3 ? 9 : i == 2 ? 2 : 1;
		else if (strncmp(g->name, "zones 4, 1, 1", 13) == 0)
			m[i].zone[0] = (char)(i < 4 ? 'a' : i == 4 ? 'b' : 'c');
		if (strcmp(g->name, "zones 4, 1, 1, mixed") == 0)
			m[i].weight = mixed[i];
		if (strcmp(g->name, "two zones") == 0) {
			m[i].weight = (uint8_t)(1 + i % 3);
			m[i].zone[0] = (char)('a' + i % 2);
		} else if (strcmp(g->name, "nine, eight owners") == 0) {
			m[i].weight = i == 4 ? 8 : 1;
			m[i].zone[0] = (char)('a' + i % 4);
		} else if (strcmp(g->name, "twenty") == 0) {
			m[i].weight = (uint8_t)(1 + i % 4);
			m[i].zone[0] = (char)('a' + i / 5);
		} else if (strcmp(g->name, "thousand") == 0) {
			m[i].weight = (uint8_t)(1 + i % 2);
			set_zone(&m[i], "zone ", i % 10);
		}
	}
}

static void tables_are_golden(void **state)
{
	static struct ring_member m[1000];
	static uint8_t bytes[2 * RING_SLOTS * RING_REPLICAS_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(goldens) / sizeof(*goldens); i++) {
		const struct golden *g = &goldens[i];
		struct address hash, expected;
		struct ring *r;

		set_members(g, m);
		r = ringkit_build(m, g->members, g->replicas);
		assert_int_equal(r->replicas, g->members < g->replicas ? g->members : g->replicas);
		for (int row = 0; row < 5; row++)
			assert_memory_equal(ring_owners(r, row_slots[row]), g->rows[row], 2 * r->replicas);
		for (size_t j = 0; j < RING_SLOTS * r->replicas; j++)
			put_le16(bytes + 2 * j, r->owner[j]);
		crypto_generichash(hash.b, ADDRESS_LEN, bytes, 2 * RING_SLOTS * r->replicas, NULL, 0);
		golden_bytes(g->table, expected.b, ADDRESS_LEN);
		assert_memory_equal(hash.b, expected.b, ADDRESS_LEN);
		golden_bytes(g->placement, expected.b, ADDRESS_LEN);
		assert_memory_equal(r->placement.b, expected.b, ADDRESS_LEN);
		ring_free(r);
	}
}

static void a_token_is_the_first_eight_bytes_of_a_hash(void **state)
{
	uint64_t random = seed;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint8_t in[ADDRESS_LEN + 4], out[ADDRESS_LEN];
		uint32_t number = i < 1000 ? (uint32_t)i : below(&random, UINT32_MAX);
		struct address id;

		for (int j = 0; j < ADDRESS_LEN; j++)
			id.b[j] = (uint8_t)below(&random, 256);
		memcpy(in, id.b, ADDRESS_LEN);
		put_le32(in + ADDRESS_LEN, number);
		crypto_generichash(out, sizeof(out), in, sizeof(in), NULL, 0);
		assert_int_equal(ring_token(&id, number), get_be64(out));
	}
}

/*
 * The rules as they are written down, with no thought of time.
 */

struct literal {
	const struct ring *r;
	struct { uint64_t at; unsigned int member; } token[RING_TOKENS * 300];
	unsigned int tokens;
	unsigned int zone[32];		/* the first member in it */
	bool everywhere[32];
	uint64_t weights, ranks;	/* of those that are not */
	uint32_t load[32];
	uint16_t owner[RING_REPLICAS_MAX];
	unsigned int count, start;
};

static int by_place(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void literal_start(struct literal *l, const struct ring *r)
{
	bool again = true;

	memset(l, 0, sizeof(*l));
	l->r = r;
	for (unsigned int i = 0; i < r->members; i++) {
		while (strcmp(r->member[l->zone[i]].zone, r->member[i].zone) != 0)
			l->zone[i]++;
		for (uint32_t j = 0; j < RING_TOKENS * r->member[i].weight; j++, l->tokens++) {
			l->token[l->tokens].at = ring_token(&r->member[i].id, j);
			l->token[l->tokens].member = i;
		}
	}
	qsort(l->token, l->tokens, sizeof(*l->token), by_place);
	while (again) {
		again = false;
		l->weights = 0;
		l->ranks = r->replicas;
		for (unsigned int i = 0; i < r->members; i++) {
			if (l->everywhere[i])
				l->ranks--;
			else
				l->weights += r->member[i].weight;
		}
		/* One at a time, the heaviest first. */
		for (unsigned int w = RING_WEIGHT_MAX; w > 0 && !again; w--)
			for (unsigned int i = 0; i < r->members && !again; i++)
				if (!l->everywhere[i] && r->member[i].weight == w && w * l->ranks > l->weights)
					again = l->everywhere[i] = true;
	}
}

static bool under_cap(const struct literal *l, unsigned int m)
{
	/* load < ceil(105 x share / 100) is the same as load < 105 x share / 100. */
	return 100 * l->weights * l->load[m] < 105 * l->r->member[m].weight * RING_SLOTS * l->ranks;
}

static bool in_new_zone(const struct literal *l, unsigned int m)
{
	for (unsigned int i = 0; i < l->count; i++)
		if (l->zone[l->owner[i]] == l->zone[m])
			return false;
	return true;
}

static unsigned int literal_choice(const struct literal *l)
{
	unsigned int best = UINT16_MAX;

	for (int rule = 1; rule <= 4; rule++) {
		for (unsigned int i = 0; i < l->tokens; i++) {
			unsigned int m = l->token[(l->start + i) % l->tokens].member;
			bool chosen = l->everywhere[m];

			for (unsigned int j = 0; j < l->count; j++)
				chosen = chosen || l->owner[j] == m;
			if (chosen)
				continue;
			if ((rule == 1 && in_new_zone(l, m) && under_cap(l, m)) || (rule == 2 && in_new_zone(l, m)) ||
			    (rule == 3 && under_cap(l, m)))
				return m;
			if (rule == 4 && (best == UINT16_MAX || (l->load[m] + 1) * l->r->member[best].weight <
			    (l->load[best] + 1) * l->r->member[m].weight))
				best = m;
		}
	}
	return best;
}

static void assert_literal(const struct ring *r)
{
	static struct literal l;

	literal_start(&l, r);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		l.start = 0;
		while (l.start < l.tokens && l.token[l.start].at < (uint64_t)slot << 50)
			l.start++;
		l.count = 0;
		for (unsigned int i = 0; i < r->members; i++)
			if (l.everywhere[i])
				l.owner[l.count++] = (uint16_t)i;
		while (l.count < r->replicas) {
			unsigned int m = literal_choice(&l);

			l.load[m]++;
			l.owner[l.count++] = (uint16_t)m;
		}
		assert_memory_equal(ring_owners(r, slot), l.owner, sizeof(*l.owner) * r->replicas);
	}
}

/* Up to 20 members, of few or many zones, of weights that are equal, small, or far apart. */
static unsigned int random_members(uint64_t *random, struct ring_member *m)
{
	unsigned int n = 1 + below(random, below(random, 2) ? 6 : 20), zones = 1 + below(random, 5), how = below(random, 3);

	ringkit_members(m, below(random, 1000000), n);
	for (unsigned int i = 0; i < n; i++) {
		m[i].weight = how == 0 ? 1 : (uint8_t)(1 + below(random, how == 1 ? 4 : 9));
		/* Not of one size: most are in the first. */
		set_zone(&m[i], "", below(random, 1 + below(random, zones)));
	}
	return n;
}

static void tables_follow_the_rules_word_for_word(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 100 : 16;
	struct ring_member m[20];
	uint64_t random = seed;

	(void)state;
	for (unsigned int i = 0; i < rounds; i++) {
		unsigned int n = random_members(&random, m);
		struct ring *r = ringkit_build(m, n, 1 + below(&random, i % 4 ? 3 : RING_REPLICAS_MAX));

		assert_literal(r);
		ring_free(r);
	}
}

static void every_slot_has_owners_enough_and_apart(void **state)
{
	struct ring_member m[20];
	uint64_t random = seed;

	(void)state;
	for (int round = 0; round < 300; round++) {
		unsigned int n = random_members(&random, m), replicas = 1 + below(&random, RING_REPLICAS_MAX);
		struct ring *r = ringkit_build(m, n, replicas);

		assert_int_equal(r->replicas, n < replicas ? n : replicas);
		for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
			const uint16_t *owner = ring_owners(r, slot);

			for (unsigned int i = 0; i < r->replicas; i++) {
				assert_true(owner[i] < n && ring_owns(r, slot, owner[i]));
				for (unsigned int j = 0; j < i; j++)
					assert_true(owner[i] != owner[j]);
			}
		}
		ring_free(r);
	}
}

static void owners_share_a_zone_only_where_they_must(void **state)
{
	static struct ring_member m[100];

	(void)state;
	for (unsigned int zones = 1; zones <= 7; zones++) {
		for (unsigned int n = zones; n <= 100; n += n < 8 ? 1 : 23) {
			struct ring *r;

			ringkit_members(m, 0, n);
			for (unsigned int i = 0; i < n; i++) {
				/* The last zones have one member each. */
				set_zone(&m[i], "z", i < n - zones ? 0 : i - (n - zones));
				m[i].weight = (uint8_t)(n > 8 ? 1 + i % 3 : 1);
			}
			r = ringkit_build(m, n, 3);
			assert_int_equal(ringkit_crowded(r), 0);
			ring_free(r);
		}
	}
}

static void nobody_has_more_than_his_cap_where_zones_allow_it(void **state)
{
	static struct ring_member m[1000];
	static const unsigned int counts[] = { 4, 5, 6, 9, 20, 100, 1000 };	/* of fewer than 20, all equal */
	static uint32_t load[1000];
	static double share[1000];

	(void)state;
	for (size_t k = 0; k < sizeof(counts) / sizeof(*counts); k++) {
		for (unsigned int how = 0; how < 4; how++) {
			unsigned int n = counts[k];
			struct ring *r;

			ringkit_members(m, 7000, n);
			for (unsigned int i = 0; n >= 20 && i < n; i++) {
				m[i].weight = (uint8_t)(how % 2 ? 1 + i % 4 : 1);
				if (how / 2)
					set_zone(&m[i], "z", i % 10);
			}
			r = ringkit_build(m, n, 3);
			ringkit_loads(r, load);
			ringkit_shares(r, share);
			for (unsigned int i = 0; i < n; i++)
				assert_true(load[i] < 1.05 * share[i] + 1);
			ring_free(r);
		}
	}
}

/* Shares and loads of small rings, worked out by hand. */
static void few_members_and_heavy_ones_get_what_they_are_due(void **state)
{
	static const struct {
		unsigned int n, replicas;
		uint8_t weight[4];
		double share[4];	/* of all slots */
	} cases[] = {
		{ 1, 3, { 64 }, { 1 } },
		{ 2, 3, { 1, 64 }, { 1, 1 } },
		{ 3, 3, { 1, 1, 2 }, { 1, 1, 1 } },
		{ 3, 2, { 1, 1, 2 }, { .5, .5, 1 } },
		{ 3, 2, { 1, 1, 9 }, { .5, .5, 1 } },
		{ 4, 3, { 1, 1, 2, 9 }, { .5, .5, 1, 1 } },
		{ 4, 3, { 1, 1, 1, 64 }, { 2. / 3, 2. / 3, 2. / 3, 1 } },
		{ 4, 3, { 64, 64, 64, 64 }, { .75, .75, .75, .75 } },
		{ 4, 1, { 1, 1, 1, 1 }, { .25, .25, .25, .25 } },
		{ 4, 2, { 1, 2, 3, 64 }, { 1. / 6, 1. / 3, .5, 1 } },
		{ 4, 3, { 1, 2, 3, 64 }, { 1. / 3, 2. / 3, 1, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned int weights = 0;
		struct ring_member m[4];
		uint32_t load[4];
		struct ring *r;

		ringkit_members(m, 0, cases[i].n);
		for (unsigned int j = 0; j < cases[i].n; j++)
			weights += m[j].weight = cases[i].weight[j];
		r = ringkit_build(m, cases[i].n, cases[i].replicas);
		ringkit_loads(r, load);
		for (unsigned int j = 0; j < cases[i].n; j++) {
			int at = ring_find(r, &m[j].id);

			assert_true(at >= 0);
			/* Who is due just all slots is under no cap, nor in each: he misses some while the others are under theirs. */
			assert_in_range(load[at], .8 * cases[i].share[j] * RING_SLOTS, 1.2 * cases[i].share[j] * RING_SLOTS);
			if (cases[i].weight[j] * cases[i].replicas > weights || cases[i].n <= cases[i].replicas)
				assert_int_equal(load[at], RING_SLOTS);
		}
		ring_free(r);
	}
}

/* Two zones of one member: each is in every slot, over its cap; the four others share one place. */
static void a_small_zone_is_in_every_slot(void **state)
{
	struct ring_member m[6];
	uint32_t load[6];
	struct ring *r;

	(void)state;
	ringkit_members(m, 0, 6);
	for (unsigned int i = 0; i < 6; i++)
		set_zone(&m[i], "", i < 4 ? 0 : i);
	r = ringkit_build(m, 6, 3);
	ringkit_loads(r, load);
	for (unsigned int i = 0; i < 6; i++) {
		uint32_t has = load[ring_find(r, &m[i].id)];

		if (i < 4)
			assert_in_range(has, .85 * RING_SLOTS / 4, 1.15 * RING_SLOTS / 4);
		else
			assert_int_equal(has, RING_SLOTS);
	}
	assert_int_equal(ringkit_crowded(r), 0);
	ring_free(r);
}

static void every_weight_gets_its_part(void **state)
{
	struct ring_member m[RING_WEIGHT_MAX];
	uint32_t load[RING_WEIGHT_MAX];
	double share[RING_WEIGHT_MAX];
	struct ring *r;

	(void)state;
	ringkit_members(m, 0, RING_WEIGHT_MAX);
	for (unsigned int i = 0; i < RING_WEIGHT_MAX; i++)
		m[i].weight = (uint8_t)(i + 1);
	r = ringkit_build(m, RING_WEIGHT_MAX, 3);
	ringkit_loads(r, load);
	ringkit_shares(r, share);
	assert_int_equal(r->tokens, RING_TOKENS * RING_WEIGHT_MAX * (RING_WEIGHT_MAX + 1) / 2);
	for (unsigned int i = 0; i < RING_WEIGHT_MAX; i++)
		assert_in_range(load[i], .7 * share[i], 1.05 * share[i] + 1);
	ring_free(r);
}

static void the_order_of_the_members_does_not_matter(void **state)
{
	struct ring_member m[20], mixed[20];
	uint64_t random = seed;

	(void)state;
	for (int round = 0; round < 30; round++) {
		unsigned int n = random_members(&random, m);
		struct ring *a = ringkit_build(m, n, 3), *b;
		struct address hash;

		memcpy(mixed, m, sizeof(m));
		for (unsigned int i = n; i > 1; i--) {
			unsigned int j = below(&random, i);
			struct ring_member swap = mixed[i - 1];

			mixed[i - 1] = mixed[j];
			mixed[j] = swap;
		}
		/* What lies behind a zone's end is none of it. */
		mixed[0].zone[RING_ZONE_LEN - 1] = 'x';
		b = ringkit_build(mixed, n, 3);
		assert_memory_equal(a->owner, b->owner, sizeof(*a->owner) * RING_SLOTS * a->replicas);
		assert_memory_equal(a->placement.b, b->placement.b, ADDRESS_LEN);
		assert_int_equal(ring_placement(mixed, n, 3, &hash), 0);
		assert_memory_equal(hash.b, a->placement.b, ADDRESS_LEN);
		for (unsigned int i = 0; i < n; i++) {
			int at = ring_find(a, &mixed[i].id);

			assert_true(at >= 0 && (at == 0 || address_compare(&a->member[at - 1].id, &mixed[i].id) < 0));
		}
		ring_free(a);
		ring_free(b);
	}
}

static void whatever_decides_the_table_changes_its_hash(void **state)
{
	struct ring_member m[3];
	struct address hash[8];

	(void)state;
	ringkit_members(m, 0, 3);
	set_zone(&m[0], "ab", 1);
	assert_int_equal(ring_placement(m, 3, 3, &hash[0]), 0);
	assert_int_equal(ring_placement(m, 3, 4, &hash[1]), 0);
	assert_int_equal(ring_placement(m, 2, 3, &hash[2]), 0);
	m[1].weight = 2;
	assert_int_equal(ring_placement(m, 3, 3, &hash[3]), 0);
	m[1].weight = 1;
	set_zone(&m[1], "ab", 1);
	assert_int_equal(ring_placement(m, 3, 3, &hash[4]), 0);
	m[0].zone[0] = 0;
	assert_int_equal(ring_placement(m, 3, 3, &hash[5]), 0);
	m[2].id.b[31] ^= 1;
	assert_int_equal(ring_placement(m, 3, 3, &hash[6]), 0);
	m[2].id.b[31] ^= 1;
	m[1].zone[0] = 0;
	assert_int_equal(ring_placement(m, 3, 3, &hash[7]), 0);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < i; j++)
			assert_false(address_equal(&hash[i], &hash[j]));
}

static void what_is_no_set_of_members_is_refused(void **state)
{
	static struct ring_member m[RING_MEMBERS_MAX + 1];
	struct address hash;
	struct ring *r;

	(void)state;
	ringkit_members(m, 0, RING_MEMBERS_MAX + 1);
	assert_int_equal(ring_build(m, 0, 3, &r), -EINVAL);
	assert_int_equal(ring_build(m, RING_MEMBERS_MAX + 1, 3, &r), -EINVAL);
	assert_int_equal(ring_placement(m, RING_MEMBERS_MAX + 1, 3, &hash), -EINVAL);
	assert_int_equal(ring_build(m, 3, 0, &r), -EINVAL);
	assert_int_equal(ring_build(m, 3, RING_REPLICAS_MAX + 1, &r), -EINVAL);
	m[2].weight = 0;
	assert_int_equal(ring_build(m, 3, 3, &r), -EINVAL);
	m[2].weight = RING_WEIGHT_MAX + 1;
	assert_int_equal(ring_build(m, 3, 3, &r), -EINVAL);
	m[2].weight = RING_WEIGHT_MAX;
	memset(m[2].zone, 'z', sizeof(m[2].zone));
	assert_int_equal(ring_build(m, 3, 3, &r), -EINVAL);
	m[2].zone[RING_ZONE_LEN] = 0;
	m[2].id = m[0].id;
	assert_int_equal(ring_build(m, 3, 3, &r), -EINVAL);
	assert_int_equal(ring_placement(m, 3, 3, &hash), -EINVAL);
	ring_free(NULL);

	/* And at the bound it is one. */
	ringkit_members(m, 0, RING_MEMBERS_MAX);
	r = ringkit_build(m, RING_MEMBERS_MAX, RING_REPLICAS_MAX);
	assert_true(ringkit_worst(r) < 1.05 + RING_MEMBERS_MAX / (double)(RING_SLOTS * RING_REPLICAS_MAX));
	ring_free(r);
}

static void a_table_is_small(void **state)
{
	static struct ring_member m[1000];
	struct ring *r;

	(void)state;
	ringkit_members(m, 0, 1000);
	r = ringkit_build(m, 1000, 3);
	assert_true(ring_memory(r) < 500000);
	ring_free(r);
}

static void a_slot_is_the_first_bits_of_an_address(void **state)
{
	struct address a = { { 0xab, 0xcd, 0xff } };

	(void)state;
	assert_int_equal(ring_slot(&a), 0xabcd >> 2);
	a.b[1] ^= 3;
	assert_int_equal(ring_slot(&a), 0xabcd >> 2);
	a.b[1] ^= 4;
	assert_int_equal(ring_slot(&a), (0xabcd >> 2) ^ 1);
	memset(a.b, 0xff, ADDRESS_LEN);
	assert_int_equal(ring_slot(&a), RING_SLOTS - 1);
}

static void a_walk_goes_on_behind_the_owners(void **state)
{
	struct ring_member m[20];
	uint64_t random = seed;

	(void)state;
	for (int round = 0; round < 5; round++) {
		unsigned int n = random_members(&random, m);
		struct ring *r = ringkit_build(m, n, 3);
		static struct literal l;

		literal_start(&l, r);
		for (unsigned int slot = 0; slot < RING_SLOTS; slot += 1 + below(&random, 300)) {
			uint16_t walk[24], expected[24];
			unsigned int count = r->replicas, start = 0;

			memcpy(expected, ring_owners(r, slot), sizeof(*expected) * count);
			while (start < l.tokens && l.token[start].at < (uint64_t)slot << 50)
				start++;
			for (unsigned int i = 0; i < l.tokens; i++) {
				unsigned int j = 0, member = l.token[(start + i) % l.tokens].member;

				while (j < count && expected[j] != member)
					j++;
				if (j == count)
					expected[count++] = (uint16_t)member;
			}
			assert_int_equal(count, n);
			for (unsigned int want = 0; want <= 24; want++) {
				assert_int_equal(ring_walk(r, slot, walk, want), want < n ? want : n);
				assert_memory_equal(walk, expected, sizeof(*walk) * (want < n ? want : n));
			}
		}
		ring_free(r);
	}
}

/* Averages of several rings: one join alone moves up to 1.8 x the ideal at 1,000. */
static void assert_figures(unsigned int n, unsigned int rings, double most_moves)
{
	static struct ring_member m[1001];
	double ideal = (double)RING_SLOTS * 3 / (n + 1), join = 0, leave = 0, worst = 0, took_ms = 0;

	for (unsigned int i = 0; i < rings; i++) {
		clock_t begin = clock();
		struct ring *all, *last_missing, *first_missing;

		ringkit_members(m, i * (n + 1), n + 1);
		last_missing = ringkit_build(m, n, 3);
		took_ms += (double)(clock() - begin) * 1000 / CLOCKS_PER_SEC;
		first_missing = ringkit_build(m + 1, n, 3);
		all = ringkit_build(m, n + 1, 3);
		join += ringkit_moves(last_missing, all) / ideal;
		leave += ringkit_moves(all, first_missing) / ideal;
		if (ringkit_worst(last_missing) > worst)
			worst = ringkit_worst(last_missing);
		ring_free(last_missing);
		ring_free(first_missing);
		ring_free(all);
	}
	print_message("# %u: max/mean %.3f, moves %.2f on join, %.2f on leave, %.1f ms a table\n", n, worst, join / rings,
	    leave / rings, took_ms / rings);
	assert_true(worst <= 1.06);
	assert_true(join / rings <= most_moves && leave / rings <= most_moves);
}

static void at_100_members_loads_and_moves_are_small(void **state)
{
	(void)state;
	assert_figures(100, 10, 1.3);
}

static void at_1000_members_loads_and_moves_are_small(void **state)
{
	(void)state;
	assert_figures(1000, 10, 1.6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_golden),
		cmocka_unit_test(a_token_is_the_first_eight_bytes_of_a_hash),
		cmocka_unit_test(tables_follow_the_rules_word_for_word),
		cmocka_unit_test(every_slot_has_owners_enough_and_apart),
		cmocka_unit_test(owners_share_a_zone_only_where_they_must),
		cmocka_unit_test(nobody_has_more_than_his_cap_where_zones_allow_it),
		cmocka_unit_test(few_members_and_heavy_ones_get_what_they_are_due),
		cmocka_unit_test(a_small_zone_is_in_every_slot),
		cmocka_unit_test(every_weight_gets_its_part),
		cmocka_unit_test(the_order_of_the_members_does_not_matter),
		cmocka_unit_test(whatever_decides_the_table_changes_its_hash),
		cmocka_unit_test(what_is_no_set_of_members_is_refused),
		cmocka_unit_test(a_table_is_small),
		cmocka_unit_test(a_slot_is_the_first_bits_of_an_address),
		cmocka_unit_test(a_walk_goes_on_behind_the_owners),
		cmocka_unit_test(at_100_members_loads_and_moves_are_small),
		cmocka_unit_test(at_1000_members_loads_and_moves_are_small),
	};
	if (sodium_init() < 0)
		return 1;
	seed = suite_seed(20240611);
	return suite_run(tests);
}
