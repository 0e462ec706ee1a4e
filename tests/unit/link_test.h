/* link_test: two links, and what lies between them. */
#ifndef TESTS_UNIT_LINK_TEST_H
#define TESTS_UNIT_LINK_TEST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/link_impl.h"
#include "tests/lib/suite.h"

struct end {
	struct link *link;
	struct link_pool pool;
	struct ring_file file, older;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET], noise_secret[NOISE_KEY];
	uint64_t instance;
	bool two_secrets;
	int rc;			/* the last of link_input() */
	unsigned int salt;	/* of its ephemeral secret */
};

struct pair {
	struct end end[2];	/* 0 dials */
	enum link_kind kind;
	size_t piece;		/* bytes handed over at a time; 0: all */
};

/* One for all links of the program. */
static struct aead *test_aead(void)
{
	static struct aead *aead;

	if (!aead)
		assert_int_equal(aead_new(&aead), 0);
	return aead;
}

static const struct ring_file test_file = {
	.id = { { 0x72, 0x69, 0x6e, 0x67 } }, .secret = "a secret of this ring", .admin = "its admin", .replicas = 3,
	.acks = 2, .placement_version = 1,
};

static void pair_init(struct pair *p, enum link_kind kind)
{
	*p = (struct pair){ .kind = kind };
	for (int i = 0; i < 2; i++) {
		struct end *e = &p->end[i];
		uint8_t seed[crypto_sign_SEEDBYTES] = { (uint8_t)(i + 1) };

		crypto_sign_seed_keypair(e->key, e->secret, seed);
		memset(e->noise_secret, 0x40 + i, NOISE_KEY);
		e->file = e->older = test_file;
		e->instance = 1000 + (uint64_t)i;
		e->pool.max = LINK_POOL;
	}
}

static void end_open(struct pair *p, int i)
{
	struct end *e = &p->end[i];
	struct link_options o = {
		.kind = p->kind, .initiator = i == 0, .file = &e->file, .older = e->two_secrets ? &e->older : NULL,
		.key = e->key, .secret = e->secret, .noise_secret = e->noise_secret, .pool = &e->pool, .user = e,
		.aead = p->kind == LINK_NOISE ? test_aead() : NULL, .instance = e->instance, .now = 7,
	};

	memset(o.random, 0x60 + i, sizeof(o.random));
	o.random[1] = (uint8_t)e->salt++;
	assert_int_equal(link_new(&o, &e->link), 0);
	e->rc = 0;
}

/* What end ${i} has to say goes to the other: false: nothing. */
static bool carry(struct pair *p, int i)
{
	struct end *from = &p->end[i], *to = &p->end[1 - i];
	struct wire_slice s;
	size_t n;

	if (!link_output(from->link, &s))
		return false;
	n = p->piece && p->piece < s.len ? p->piece : s.len;
	/* Exactly as long as it is: a sanitizer sees who reads on. */
	if (to->rc == 0) {
		uint8_t *bytes = test_malloc(n);

		memcpy(bytes, s.data, n);
		to->rc = link_input(to->link, bytes, n);
		test_free(bytes);
	}
	link_sent(from->link, n);
	return true;
}

static void carry_all(struct pair *p)
{
	bool more;

	do {
		more = carry(p, 0);
		more = carry(p, 1) || more;
	} while (more);
}

static void pair_open(struct pair *p)
{
	end_open(p, 0);
	end_open(p, 1);
	carry_all(p);
}

static void pair_connect(struct pair *p, enum link_kind kind)
{
	pair_init(p, kind);
	pair_open(p);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(p->end[i].rc, 0);
		assert_non_null(link_peer(p->end[i].link));
	}
}

static void pair_close(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		link_free(p->end[i].link);
		p->end[i].link = NULL;
		assert_int_equal(p->end[i].pool.granted, 0);
	}
}

#endif
