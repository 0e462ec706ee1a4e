/* The handshake and the hello of a link: who gets in, who does not, what he is told and what he costs. */
#include "dht/net/door.h"
#include "tests/unit/curve_test.h"
#include "tests/unit/link_test.h"

#include <time.h>

/* In the place of libsodium's, too: they remember. */

#define REMEMBERED 1024

static const void *zeroed[REMEMBERED];
static size_t zeroed_len[REMEMBERED];
static unsigned int zeroings;

void sodium_memzero(void *const p, const size_t len)
{
	void (*real)(void *, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "sodium_memzero");
	zeroed[zeroings % REMEMBERED] = p;
	zeroed_len[zeroings++ % REMEMBERED] = len;
	real(p, len);
}

/* The last signature that was made, and what to put in the place of the next. */
static uint8_t signature[MEMBER_SIGNATURE];
static const uint8_t *forged;

int crypto_sign_detached(unsigned char *out, unsigned long long *len, const unsigned char *m, unsigned long long m_len,
    const unsigned char *secret)
{
	int (*real)(unsigned char *, unsigned long long *, const unsigned char *, unsigned long long, const unsigned char *);
	int rc;

	*(void **)&real = dlsym(RTLD_NEXT, "crypto_sign_detached");
	rc = real(out, len, m, m_len, secret);
	if (forged)
		memcpy(out, forged, MEMBER_SIGNATURE);
	else
		memcpy(signature, out, MEMBER_SIGNATURE);
	return rc;
}

static bool was_zeroed(const void *p, size_t len)
{
	for (unsigned int i = 0; i < REMEMBERED; i++)
		if (zeroed[i] == p && zeroed_len[i] == len)
			return true;
	return false;
}

static void two_members_know_each_other(void **state)
{
	(void)state;
	for (int kind = LINK_NOISE; kind <= LINK_PLAIN; kind++) {
		struct pair p;

		pair_init(&p, (enum link_kind)kind);
		end_open(&p, 0);
		assert_null(link_peer(p.end[0].link));
		assert_int_equal(link_deadline(p.end[0].link), 7 + LINK_HANDSHAKE_US);
		link_free(p.end[0].link);
		pair_open(&p);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(p.end[i].rc, 0);
			assert_memory_equal(link_peer(p.end[i].link), p.end[1 - i].key, MEMBER_KEY);
			assert_int_equal(link_deadline(p.end[i].link), UINT64_MAX);
			assert_string_equal(link_why(p.end[i].link), "");
			assert_int_equal(link_features(p.end[i].link), 0);
		}
		pair_close(&p);
	}
}

static void an_idle_link_is_small(void **state)
{
	struct pair p;

	(void)state;
	assert_true(sizeof(struct link) < 1024);
	pair_connect(&p, LINK_NOISE);
	for (int i = 0; i < 2; i++) {
		const struct link *l = p.end[i].link;

		assert_true(!l->handshake && !l->in && !l->out && !l->ready);
	}
	pair_close(&p);
}

/* All that each end says in a good handshake, message by message. */
struct script {
	uint8_t bytes[2][2048];
	size_t len[2];
};

static void record(struct pair *p, struct script *s)
{
	bool more = true;

	*s = (struct script){ 0 };
	end_open(p, 0);
	end_open(p, 1);
	while (more) {
		more = false;
		for (int i = 0; i < 2; i++) {
			struct wire_slice out;

			if (link_output(p->end[i].link, &out)) {
				memcpy(s->bytes[i] + s->len[i], out.data, out.len);
				s->len[i] += out.len;
			}
			more = carry(p, i) || more;
		}
	}
	assert_true(p->end[0].rc == 0 && p->end[1].rc == 0);
	pair_close(p);
}

/* End ${i} of a new pair, made with the same random bytes, and what the other end said when it was recorded. */
static int replay(struct pair *p, int i, const uint8_t *said, size_t len)
{
	struct wire_slice out;
	int rc = 0;

	p->end[i].salt = 0;
	end_open(p, i);
	/* As it would have come: message by message, each after the answer to the one before. */
	while (len > 0 && rc == 0) {
		size_t n = len < 2 || len - 2 < get_le16(said) ? len : 2u + get_le16(said);

		while (link_output(p->end[i].link, &out))
			link_sent(p->end[i].link, out.len);
		rc = link_input(p->end[i].link, said, n);
		said += n;
		len -= n;
	}
	return rc;
}

static void a_handshake_torn_at_any_byte_is_no_link(void **state)
{
	struct chunk *body = chunk_copy("", 0);
	struct pair p;
	struct script s;

	(void)state;
	assert_non_null(body);
	pair_init(&p, LINK_NOISE);
	record(&p, &s);
	for (int i = 0; i < 2; i++) {
		for (size_t len = 0; len < s.len[1 - i]; len++) {
			assert_int_equal(replay(&p, i, s.bytes[1 - i], len), 0);
			assert_null(link_peer(p.end[i].link));
			assert_int_equal(link_send(p.end[i].link, 1, 0, LINK_CONTROL, body, NULL), -ENOTCONN);
			link_free(p.end[i].link);
		}
		assert_int_equal(replay(&p, i, s.bytes[1 - i], s.len[1 - i]), 0);
		assert_non_null(link_peer(p.end[i].link));
		link_free(p.end[i].link);
	}
	chunk_drop(body);
}

static void a_handshake_with_any_bit_changed_is_refused(void **state)
{
	struct pair p;
	struct script s;

	(void)state;
	pair_init(&p, LINK_NOISE);
	record(&p, &s);
	for (int i = 0; i < 2; i++) {
		for (size_t bit = 0; bit < 8 * s.len[1 - i]; bit += 7) {
			int rc;

			s.bytes[1 - i][bit / 8] ^= (uint8_t)(1 << bit % 8);
			rc = replay(&p, i, s.bytes[1 - i], s.len[1 - i]);
			/* A changed length may still wait for more. */
			assert_true(rc == -EBADMSG || rc == -EPROTO || rc == 0);
			assert_null(link_peer(p.end[i].link));
			assert_int_equal(link_input(p.end[i].link, s.bytes[0], rc == 0 ? 0 : 1), rc);
			assert_true(rc == 0 || link_why(p.end[i].link)[0]);
			link_free(p.end[i].link);
			s.bytes[1 - i][bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void a_handshake_that_is_replayed_is_refused(void **state)
{
	struct pair p;
	struct script s;

	(void)state;
	pair_init(&p, LINK_NOISE);
	record(&p, &s);
	for (int i = 0; i < 2; i++) {
		/* Another ephemeral secret is all that differs. */
		p.end[i].salt = 77;
		end_open(&p, i);
		if (i == 1) {
			struct wire_slice out;

			assert_int_equal(link_input(p.end[i].link, s.bytes[0], 2 + LINK_FIRST), 0);
			assert_true(link_output(p.end[i].link, &out));
			link_sent(p.end[i].link, out.len);
			assert_int_equal(link_input(p.end[i].link, s.bytes[0] + 2 + LINK_FIRST, 2 + LINK_THIRD), -EBADMSG);
		} else {
			assert_int_equal(link_input(p.end[i].link, s.bytes[1], 2 + LINK_SECOND), -EBADMSG);
		}
		assert_null(link_peer(p.end[i].link));
		link_free(p.end[i].link);
	}
}

static void a_hello_is_tied_to_its_handshake_and_its_side(void **state)
{
	struct pair p;
	struct script s;

	(void)state;
	pair_init(&p, LINK_NOISE);
	record(&p, &s);
	/* Its frame comes first for another time; or the initiator's third message again in its place. */
	for (int twice = 0; twice < 2; twice++) {
		size_t hello = 2 + LINK_FIRST + 2 + LINK_THIRD;

		assert_int_equal(replay(&p, 1, s.bytes[0], hello), 0);
		if (twice) {
			assert_int_equal(link_input(p.end[1].link, s.bytes[0] + hello, s.len[0] - hello), 0);
			assert_int_equal(link_input(p.end[1].link, s.bytes[0] + hello, s.len[0] - hello), -EBADMSG);
		} else {
			assert_int_equal(link_input(p.end[1].link, s.bytes[0] + 2 + LINK_FIRST, 2 + LINK_THIRD), -EBADMSG);
		}
		link_free(p.end[1].link);
	}
}

static void another_secret_is_refused_before_anything_is_computed(void **state)
{
	struct pair p;
	struct wire_slice out;

	(void)state;
	pair_init(&p, LINK_NOISE);
	p.end[1].file.secret[0] ^= 1;
	end_open(&p, 0);
	end_open(&p, 1);
	multiplications = 0;
	assert_true(carry(&p, 0));
	assert_int_equal(p.end[1].rc, -EBADMSG);
	assert_int_equal(multiplications, 0);
	/* A stranger is told nothing. */
	assert_false(link_output(p.end[1].link, &out));
	pair_close(&p);
}

static void another_ring_file_is_refused_and_both_can_say_why(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		struct pair p;

		pair_init(&p, LINK_NOISE);
		if (i == 0)
			p.end[1].file.replicas++;
		else if (i == 1)
			p.end[1].file.acks++;
		else if (i == 2)
			p.end[1].file.placement_version++;
		else if (i == 3)
			p.end[1].file.admin[31] ^= 1;
		else
			p.end[1].file.id.b[31] ^= 1;
		end_open(&p, 0);
		end_open(&p, 1);
		multiplications = 0;
		carry_all(&p);
		assert_int_equal(p.end[0].rc, -EKEYREJECTED);
		assert_int_equal(p.end[1].rc, -EKEYREJECTED);
		assert_int_equal(multiplications, 0);
		assert_string_equal(link_why(p.end[0].link), "refuses us: it has another ring file or version");
		assert_string_equal(link_why(p.end[1].link), "knows the secret, but has another ring file or version");
		pair_close(&p);
	}
}

static void a_plain_link_knows_another_ring_file_too(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, LINK_PLAIN);
	p.end[1].file.replicas++;
	pair_open(&p);
	assert_int_equal(p.end[0].rc, -EKEYREJECTED);
	assert_int_equal(p.end[1].rc, -EKEYREJECTED);
	pair_close(&p);
}

static void a_refusal_by_who_does_not_know_the_secret_is_not_believed(void **state)
{
	uint8_t refusal[2 + LINK_REFUSAL] = { LINK_REFUSAL, 0, 1, 2, 3 };
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	end_open(&p, 0);
	assert_int_equal(link_input(p.end[0].link, refusal, sizeof(refusal)), -EBADMSG);
	link_free(p.end[0].link);
}

static void either_of_two_secrets_is_accepted(void **state)
{
	(void)state;
	for (int which = 0; which < 3; which++) {
		struct pair p;

		pair_init(&p, LINK_NOISE);
		p.end[1].two_secrets = true;
		p.end[1].older.secret[3] ^= 9;
		if (which > 0)
			p.end[0].file.secret[3] ^= which == 1 ? 9 : 5;
		pair_open(&p);
		assert_int_equal(p.end[1].rc, which == 2 ? -EBADMSG : 0);
		assert_int_equal(link_peer(p.end[1].link) != NULL, which < 2);
		pair_close(&p);
	}
}

static void an_open_ring_has_zeros_for_a_secret(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	memset(p.end[0].file.secret, 0, sizeof(p.end[0].file.secret));
	memset(p.end[1].file.secret, 0, sizeof(p.end[1].file.secret));
	pair_open(&p);
	assert_non_null(link_peer(p.end[0].link));
	assert_non_null(link_peer(p.end[1].link));
	pair_close(&p);
}

static void our_own_key_is_a_clone_or_ourselves(void **state)
{
	(void)state;
	for (int kind = LINK_NOISE; kind <= LINK_PLAIN; kind++) {
		for (int same = 0; same < 2; same++) {
			struct pair p;

			pair_init(&p, (enum link_kind)kind);
			memcpy(p.end[1].key, p.end[0].key, MEMBER_KEY);
			memcpy(p.end[1].secret, p.end[0].secret, MEMBER_SECRET);
			if (same)
				p.end[1].instance = p.end[0].instance;
			pair_open(&p);
			assert_int_equal(p.end[0].rc, same ? -ELOOP : -EEXIST);
			assert_int_equal(p.end[1].rc, same ? -ELOOP : -EEXIST);
			pair_close(&p);
		}
	}
}

static void a_key_that_is_not_its_own_proves_nothing(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	p.end[0].key[0] ^= 1;		/* as if it were another's, whose secret it has not */
	pair_open(&p);
	assert_int_equal(p.end[1].rc, -EBADMSG);
	assert_null(link_peer(p.end[1].link));
	assert_string_equal(link_why(p.end[1].link), "a hello without a valid signature");
	pair_close(&p);
}

/* A member that another one greeted says that it is that one. */
static void a_signature_is_good_for_one_handshake_only(void **state)
{
	uint8_t old[MEMBER_SIGNATURE];
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	end_open(&p, 0);
	end_open(&p, 1);
	/* The initiator's: it is the first to sign. */
	while (carry(&p, 0) && !link_peer(p.end[1].link))
		carry(&p, 1);
	memcpy(old, signature, sizeof(old));
	pair_close(&p);
	forged = old;
	pair_open(&p);
	forged = NULL;
	assert_int_equal(p.end[1].rc, -EBADMSG);
	pair_close(&p);
}

/* Else any member could make any other believe that it met its clone, and stop. */
static void our_own_signature_can_not_be_sent_back_to_us(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	memcpy(p.end[1].key, p.end[0].key, MEMBER_KEY);
	end_open(&p, 0);
	end_open(&p, 1);
	assert_true(carry(&p, 0) && carry(&p, 1) && carry(&p, 0));
	forged = signature;
	assert_true(carry(&p, 1));
	forged = NULL;
	assert_int_equal(p.end[0].rc, -EBADMSG);
	pair_close(&p);
}

/* A hello of a plain link as a stranger would write it, from the fields of the table in link_hello.c. */
struct hello {
	uint8_t bytes[2 + LINK_FRAME_HEAD + LINK_HELLO_MAX + 1];
	size_t len;
};

static void put(struct hello *h, unsigned int field, const void *value, size_t len)
{
	h->bytes[h->len] = (uint8_t)field;
	put_le16(h->bytes + h->len + 1, (uint16_t)len);
	if (len > 0)
		memcpy(h->bytes + h->len + 3, value, len);
	h->len += 3 + len;
}

/* All fields but ${without}, with ${versions} and ${credit}. */
static void make_hello(struct hello *h, const struct pair *p, unsigned int without, uint32_t versions, uint32_t credit)
{
	uint8_t n[8], file[ADDRESS_LEN], in[ADDRESS_LEN + MEMBER_KEY + 3];

	memcpy(in, test_file.id.b, ADDRESS_LEN);
	memcpy(in + ADDRESS_LEN, test_file.admin, MEMBER_KEY);
	memcpy(in + ADDRESS_LEN + MEMBER_KEY, "\3\2\1", 3);
	crypto_generichash_blake2b_salt_personal(file, ADDRESS_LEN, in, sizeof(in), NULL, 0, NULL,
	    (const uint8_t *)"dhtfs ring file\0");
	*h = (struct hello){ .len = 2 + LINK_FRAME_HEAD };
	if (without != 1)
		put(h, 1, p->end[0].key, MEMBER_KEY);
	put_le64(n, 5);
	if (without != 3)
		put(h, 3, n, 8);
	if (without != 4)
		put(h, 4, file, ADDRESS_LEN);
	put_le32(n, versions);
	if (without != 5)
		put(h, 5, n, 4);
	put_le64(n, UINT64_MAX);
	if (without != 6)
		put(h, 6, n, 8);
	put_le32(n, credit);
	if (without != 7)
		put(h, 7, n, 4);
}

static int hear(struct pair *p, struct hello *h)
{
	int rc;

	put_le16(h->bytes, (uint16_t)(h->len - 2));
	end_open(p, 1);
	rc = link_input(p->end[1].link, h->bytes, h->len);
	assert_int_equal(link_peer(p->end[1].link) != NULL, rc == 0);
	link_free(p->end[1].link);
	return rc;
}

static void a_hello_is_read_as_it_is_written_down(void **state)
{
	struct hello h;
	struct pair p;

	(void)state;
	pair_init(&p, LINK_PLAIN);
	for (unsigned int without = 0; without < 8; without++) {
		make_hello(&h, &p, without, 0x00010001, 100);
		assert_int_equal(hear(&p, &h), without == 0 || without == 2 || without == 6 ? 0 : -EPROTO);
	}
	/* Fields of later versions are skipped. */
	make_hello(&h, &p, 0, 0xffff0001, 100);
	put(&h, 8, "from the future", 15);
	put(&h, 255, NULL, 0);
	assert_int_equal(hear(&p, &h), 0);
	/* None of ours; a field twice; one too short or too long; a length that runs over. */
	make_hello(&h, &p, 0, 0xffff0002, 100);
	assert_int_equal(hear(&p, &h), -EPROTO);
	make_hello(&h, &p, 0, 0, 100);
	assert_int_equal(hear(&p, &h), -EPROTO);
	make_hello(&h, &p, 0, 0x00010001, 100);
	put(&h, 6, "12345678", 8);
	assert_int_equal(hear(&p, &h), -EPROTO);
	make_hello(&h, &p, 6, 0x00010001, 100);
	put(&h, 6, "1234567", 7);
	assert_int_equal(hear(&p, &h), -EPROTO);
	make_hello(&h, &p, 6, 0x00010001, 100);
	put(&h, 6, "123456789", 9);
	assert_int_equal(hear(&p, &h), -EPROTO);
	make_hello(&h, &p, 0, 0x00010001, 100);
	put(&h, 9, "12345678", 8);
	h.len--;
	assert_int_equal(hear(&p, &h), -EPROTO);
	/* Credit at its bound and over it. */
	make_hello(&h, &p, 0, 0x00010001, LINK_CREDIT_SANE);
	assert_int_equal(hear(&p, &h), 0);
	make_hello(&h, &p, 0, 0x00010001, LINK_CREDIT_SANE + 1);
	assert_int_equal(hear(&p, &h), -EPROTO);
	/* Any other frame in its place; a second one. */
	make_hello(&h, &p, 0, 0x00010001, 100);
	h.bytes[2] = 1;
	assert_int_equal(hear(&p, &h), -EPROTO);
}

/* Why ${h} is refused; with ${features} where it is not. */
static const char *heard(struct pair *p, struct hello *h, uint64_t *features)
{
	static char why[128];
	struct link *l;

	put_le16(h->bytes, (uint16_t)(h->len - 2));
	end_open(p, 1);
	l = p->end[1].link;
	snprintf(why, sizeof(why), "%s", link_input(l, h->bytes, h->len) < 0 ? link_why(l) : "");
	*features = link_features(l);
	link_free(l);
	return why;
}

/* Nodes are upgraded one after the other: a newer one that still speaks our version is a peer like any other. */
static void a_peer_of_another_version_is_told_which_of_the_two_is_too_old(void **state)
{
	static const uint32_t overlapping[] = { 0x00010001, 0x00020001, 0x00010000, 0xffff0000 };
	uint64_t features;
	struct hello h;
	struct pair p;

	(void)state;
	pair_init(&p, LINK_PLAIN);
	for (size_t i = 0; i < sizeof(overlapping) / sizeof(*overlapping); i++) {
		make_hello(&h, &p, 0, overlapping[i], 100);
		assert_string_equal(heard(&p, &h, &features), "");
		/* It sets all bits of features, and we have none of them. */
		assert_int_equal(features, 0);
	}
	make_hello(&h, &p, 0, 0x00030002, 100);
	assert_string_equal(heard(&p, &h, &features), "speaks newer versions of the protocol only: this program is too old for it");
	make_hello(&h, &p, 0, 0x00000000, 100);
	assert_string_equal(heard(&p, &h, &features), "speaks older versions of the protocol only: it is too old for this program");
	/* What it says cannot be. */
	make_hello(&h, &p, 0, 0x00000002, 100);
	assert_string_equal(heard(&p, &h, &features), "no hello, or a malformed one");
}

static void a_hello_is_bounded_and_comes_once(void **state)
{
	static const uint8_t filler[LINK_HELLO_MAX];
	struct hello h;
	struct pair p;

	(void)state;
	pair_init(&p, LINK_PLAIN);
	make_hello(&h, &p, 0, 0x00010001, 100);
	put(&h, 99, filler, LINK_HELLO_MAX - (h.len - 2) - 3);
	assert_int_equal(hear(&p, &h), 0);
	make_hello(&h, &p, 0, 0x00010001, 100);
	put(&h, 99, filler, LINK_HELLO_MAX - (h.len - 2) - 3 + 1);
	assert_int_equal(hear(&p, &h), -EPROTO);
	make_hello(&h, &p, 0, 0x00010001, 100);
	put_le16(h.bytes, (uint16_t)(h.len - 2));
	end_open(&p, 1);
	assert_int_equal(link_input(p.end[1].link, h.bytes, h.len), 0);
	assert_int_equal(link_input(p.end[1].link, h.bytes, h.len), -EPROTO);
	assert_string_equal(link_why(p.end[1].link), "a second hello");
	link_free(p.end[1].link);
}

static void lengths_of_the_handshake_are_exact(void **state)
{
	(void)state;
	for (unsigned int len = 0; len < 300; len++) {
		struct pair p;
		uint8_t head[2];

		pair_init(&p, LINK_NOISE);
		for (int i = 0; i < 2; i++) {
			bool fits = i == 1 ? len == LINK_FIRST : len == LINK_SECOND || len == LINK_REFUSAL;

			end_open(&p, i);
			put_le16(head, (uint16_t)len);
			assert_int_equal(link_input(p.end[i].link, head, 1), 0);
			/* Known at once, before memory is taken. */
			assert_int_equal(link_input(p.end[i].link, head + 1, 1), fits ? 0 : -EPROTO);
			assert_null(p.end[i].link->in);
			link_free(p.end[i].link);
		}
	}
}

static void keys_are_wiped_when_they_are_no_longer_wanted(void **state)
{
	const struct handshake *h[2];
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	end_open(&p, 0);
	end_open(&p, 1);
	h[0] = p.end[0].link->handshake;
	h[1] = p.end[1].link->handshake;
	zeroings = 0;
	memset(zeroed, 0, sizeof(zeroed));
	carry_all(&p);
	for (int i = 0; i < 2; i++) {
		struct link *l = p.end[i].link;

		assert_null(l->handshake);
		assert_true(was_zeroed(h[i], sizeof(*h[i])));
		assert_true(l->send.keyed && l->receive.keyed);
		link_wipe(l);
		for (size_t j = 0; j < sizeof(*l); j++)
			assert_int_equal(((const uint8_t *)l)[j], 0);
		free(l);
		/* A handshake that never ended, too. */
		end_open(&p, i);
		h[i] = p.end[i].link->handshake;
		link_free(p.end[i].link);
		assert_true(was_zeroed(h[i], sizeof(*h[i])));
	}
}

/* Bytes of memory that a link takes. */
static size_t held(const struct link *l)
{
	return sizeof(*l) + (l->handshake ? sizeof(*l->handshake) : 0) + (l->in ? get_le16(l->in_head) : 0) + l->out_size +
	    l->ready_size * sizeof(*l->ready);
}

static size_t say(struct link *l)
{
	struct wire_slice out;
	size_t n = 0;

	while (link_output(l, &out)) {
		n += out.len;
		link_sent(l, out.len);
	}
	return n;
}

static double us_since(clock_t begin, unsigned int n)
{
	return (double)(clock() - begin) * 1e6 / CLOCKS_PER_SEC / n;
}

/* He connects and says nothing, or all but one byte; then that too. */
static void a_stranger_costs_two_kilobytes_and_no_multiplication(void **state)
{
	enum { STRANGERS = 20000 };
	uint8_t first[2 + LINK_FIRST];
	clock_t begin = clock();
	size_t silent, most;
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	randombytes_buf(first, sizeof(first));
	put_le16(first, LINK_FIRST);
	multiplications = 0;
	for (int i = 0; i < STRANGERS; i++) {
		end_open(&p, 1);
		silent = held(p.end[1].link);
		assert_int_equal(link_input(p.end[1].link, first, sizeof(first) - 1), 0);
		most = held(p.end[1].link);
		assert_int_equal(link_input(p.end[1].link, first + sizeof(first) - 1, 1), -EBADMSG);
		assert_int_equal(say(p.end[1].link), 0);
		link_free(p.end[1].link);
	}
	print_message("# a stranger: %.2f us, %zu bytes of memory while he is silent, %zu before he is refused\n",
	    us_since(begin, STRANGERS), silent, most);
	assert_int_equal(multiplications, 0);
	assert_true(most <= 2048 && DOOR_MAX * most <= 256 * 1024);
}

/* Who recorded a member's first message can have four multiplications for it, and no more. */
static void a_replayed_first_message_costs_an_answer(void **state)
{
	enum { TIMES = 200 };
	uint8_t first[2 + LINK_FIRST];
	clock_t begin;
	struct wire_slice out;
	struct pair p;

	(void)state;
	pair_init(&p, LINK_NOISE);
	end_open(&p, 0);
	assert_true(link_output(p.end[0].link, &out));
	assert_int_equal(out.len, sizeof(first));
	memcpy(first, out.data, sizeof(first));
	link_free(p.end[0].link);
	multiplications = 0;
	begin = clock();
	for (int i = 0; i < TIMES; i++) {
		struct link *l;

		end_open(&p, 1);
		l = p.end[1].link;
		assert_int_equal(link_input(l, first, sizeof(first)), 0);
		assert_int_equal(say(l), 2 + LINK_SECOND);
		assert_true(held(l) <= 2048);
		/* The third can't be replayed: refused as it is in another handshake. */
		put_le16(first, LINK_THIRD);
		assert_int_equal(link_input(l, first, 2 + LINK_THIRD), -EBADMSG);
		assert_int_equal(say(l), 0);
		put_le16(first, LINK_FIRST);
		link_free(l);
	}
	print_message("# a replay: %.0f us\n", us_since(begin, TIMES));
	assert_int_equal(multiplications, TIMES * 4);
}

static void a_member_costs_five_multiplications_on_each_side(void **state)
{
	enum { TIMES = 200 };
	clock_t begin = clock();
	struct pair p;

	(void)state;
	multiplications = 0;
	for (int i = 0; i < TIMES; i++) {
		pair_connect(&p, LINK_NOISE);
		pair_close(&p);
	}
	assert_int_equal(multiplications, TIMES * 10);
	print_message("# a member: %.0f us on each side\n", us_since(begin, 2 * TIMES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_members_know_each_other),
		cmocka_unit_test(an_idle_link_is_small),
		cmocka_unit_test(a_handshake_torn_at_any_byte_is_no_link),
		cmocka_unit_test(a_handshake_with_any_bit_changed_is_refused),
		cmocka_unit_test(a_handshake_that_is_replayed_is_refused),
		cmocka_unit_test(a_hello_is_tied_to_its_handshake_and_its_side),
		cmocka_unit_test(another_secret_is_refused_before_anything_is_computed),
		cmocka_unit_test(another_ring_file_is_refused_and_both_can_say_why),
		cmocka_unit_test(a_plain_link_knows_another_ring_file_too),
		cmocka_unit_test(a_refusal_by_who_does_not_know_the_secret_is_not_believed),
		cmocka_unit_test(either_of_two_secrets_is_accepted),
		cmocka_unit_test(an_open_ring_has_zeros_for_a_secret),
		cmocka_unit_test(our_own_key_is_a_clone_or_ourselves),
		cmocka_unit_test(a_key_that_is_not_its_own_proves_nothing),
		cmocka_unit_test(a_signature_is_good_for_one_handshake_only),
		cmocka_unit_test(our_own_signature_can_not_be_sent_back_to_us),
		cmocka_unit_test(a_hello_is_read_as_it_is_written_down),
		cmocka_unit_test(a_peer_of_another_version_is_told_which_of_the_two_is_too_old),
		cmocka_unit_test(a_hello_is_bounded_and_comes_once),
		cmocka_unit_test(lengths_of_the_handshake_are_exact),
		cmocka_unit_test(keys_are_wiped_when_they_are_no_longer_wanted),
		cmocka_unit_test(a_stranger_costs_two_kilobytes_and_no_multiplication),
		cmocka_unit_test(a_replayed_first_message_costs_an_answer),
		cmocka_unit_test(a_member_costs_five_multiplications_on_each_side),
	};

	if (sodium_init() < 0)
		return 1;
	return suite_run(tests);
}
