/* The codec of messages: golden bytes, there and back, and what hostile bytes get.  SEED=n replays the random part. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/wire.h"
#include "tests/lib/golden.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_sample.h"

#define ROUNDS 3000u

static uint64_t seed;
static uint8_t buffer[WIRE_MESSAGE_MAX];

static const char *const field_names[FIELD_END] = {
	[FIELD_SEQ] = "seq", [FIELD_TARGET] = "target", [FIELD_RECORDS] = "records",
	[FIELD_SUSPICIONS] = "suspicions", [FIELD_HASH] = "hash", [FIELD_SUMMARY] = "summary", [FIELD_MORE] = "more",
	[FIELD_PLACEMENT] = "placement", [FIELD_ADDRESS] = "address", [FIELD_ADDRESSES] = "addresses",
	[FIELD_VOLUME] = "volume", [FIELD_KIND] = "kind", [FIELD_SPARE] = "spare", [FIELD_STATUS] = "status",
	[FIELD_HAVE] = "have", [FIELD_COMPLETE] = "complete", [FIELD_NONCE] = "nonce", [FIELD_PATHS] = "paths",
	[FIELD_HASHES] = "hashes", [FIELD_COUNTS] = "counts", [FIELD_LEASE] = "lease", [FIELD_COUNT] = "count",
	[FIELD_STATEMENT] = "statement", [FIELD_SLOT] = "slot", [FIELD_HEAD] = "head", [FIELD_EVIDENCE] = "evidence",
	[FIELD_BLOBS] = "blobs", [FIELD_SECONDS] = "seconds", [FIELD_ROOTED] = "rooted",
	[FIELD_BYTES] = "bytes",
};

/* What PROTOCOL.md says of each message: an account of its own, not read from the code. */
static const struct shape {
	unsigned int type;
	const char *name, *must, *may;
} shapes[] = {
	{ WIRE_PING, "PING", "seq", "records, suspicions" },
	{ WIRE_ACK, "ACK", "seq", "records, suspicions" },
	{ WIRE_PROBE, "PROBE", "seq, target", "" },
	{ WIRE_NACK, "NACK", "seq", "" },
	{ WIRE_GOSSIP, "GOSSIP", "", "records, suspicions" },
	{ WIRE_COMPARE, "COMPARE", "hash", "hashes, rooted" },
	{ WIRE_SUMMARY, "SUMMARY", "summary", "have, rooted" },
	{ WIRE_RECORDS, "RECORDS", "records", "" },
	{ WIRE_WANT, "WANT", "addresses", "" },
	{ WIRE_MAINTENANCE, "MAINTENANCE", "target, seconds", "" },
	{ WIRE_TOUCH, "TOUCH", "placement, addresses", "volume" },
	{ WIRE_PUT, "PUT", "placement, address, kind, bytes", "volume, spare" },
	{ WIRE_GET, "GET", "placement, address", "" },
	{ WIRE_AUDIT, "AUDIT", "placement, address, nonce", "" },
	{ WIRE_TRIE, "TRIE", "placement", "paths, hashes" },
	{ WIRE_LIST, "LIST", "placement, paths", "address" },
	{ WIRE_OFFER, "OFFER", "placement, addresses", "more" },
	{ WIRE_SLOTS, "SLOTS", "placement, paths", "" },
	{ WIRE_LEASE, "LEASE", "placement, addresses, lease, count", "more" },
	{ WIRE_RETIRE, "RETIRE", "placement, statement", "" },
	{ WIRE_LEASES, "LEASES", "placement, slot", "volume" },
	{ WIRE_LEASED, "LEASED", "placement, volume, slot", "address" },
	{ WIRE_HEAD, "HEAD", "placement, volume", "" },
	{ WIRE_SWAP, "SWAP", "hash, placement, volume, head", "evidence, blobs" },
	{ WIRE_HEADS, "HEADS", "placement, slot", "volume" },
	{ WIRE_ANSWER, "ANSWER", "status",
	    "hash, more, placement, addresses, kind, have, complete, hashes, counts, lease, statement, head, "
	    "evidence, blobs, bytes" },
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static uint64_t set_of(const char *names)
{
	uint64_t set = 0;

	while (*names) {
		size_t n = strcspn(names, ",");
		unsigned int f;

		for (f = 1; f < FIELD_END; f++)
			if (field_names[f] && strlen(field_names[f]) == n && strncmp(field_names[f], names, n) == 0)
				break;
		assert_true(f < FIELD_END);
		set |= WIRE_HAS(f);
		names += n;
		names += strspn(names, ", ");
	}
	return set;
}

static uint32_t number_for(unsigned int type)
{
	return wire_is_request(type) || type == WIRE_ANSWER ? 7 : 0;
}

/* A message with the standard values of these fields. */
static struct message sample(unsigned int type, uint64_t set)
{
	struct message m = { .type = type, .request = number_for(type) };

	for (unsigned int f = 1; f < FIELD_END; f++)
		if (set & WIRE_HAS(f))
			wire_sample(&m, f);
	return m;
}

static size_t encode(const struct message *m)
{
	int n = wire_encode(m, false, buffer, sizeof(buffer));

	assert_true(n >= 0);
	assert_int_equal(n, wire_size(m, false));
	return (size_t)n;
}

static int decode(unsigned int type, const uint8_t *bytes, size_t len, struct message *out)
{
	return wire_decode(type, number_for(type), bytes, len, out);
}

/* Decode from a block that ends where the bytes end, so that a sanitizer sees a read behind them. */
static int decode_alone(unsigned int type, const uint8_t *bytes, size_t len)
{
	uint8_t *alone = malloc(len ? len : 1), *again;
	struct message m;
	int rc;

	assert_non_null(alone);
	memcpy(alone, bytes, len);
	rc = decode(type, alone, len, &m);
	assert_true(rc == 0 || rc == -EBADMSG);
	if (rc == 0) {
		/* What is taken can be said again, in no more bytes. */
		again = malloc(len ? len : 1);
		assert_non_null(again);
		assert_true(wire_encode(&m, false, again, len) >= 0);
		free(again);
	}
	free(alone);
	return rc;
}

/* ---- golden bytes ---- */

static void messages_have_golden_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; wire_goldens[i].hex; i++) {
		const struct wire_golden *g = &wire_goldens[i];
		struct message m = sample(g->type, set_of(g->fields)), back;
		size_t len = encode(&m);
		char line[256];

		golden_is(g->fields, buffer, len, g->hex);
		snprintf(line, sizeof(line), "%s: %s\n%s", wire_type_name(g->type), g->fields, g->hex);
		golden_text(line);
		assert_int_equal(decode(g->type, buffer, len, &back), 0);
		assert_true(wire_equal(&m, &back));
	}
}

static void every_message_has_golden_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		uint64_t set = 0, may = set_of(shapes[i].may);

		for (size_t j = 0; wire_goldens[j].hex; j++)
			if (wire_goldens[j].type == shapes[i].type)
				set |= set_of(wire_goldens[j].fields);
		assert_int_equal(set, set_of(shapes[i].must) | may);
	}
}

static void the_protocol_text_lists_these_messages_and_fields(void **state)
{
	(void)state;
	for (unsigned int f = 1; f < FIELD_END; f++) {
		char line[64];

		if (!field_names[f])
			continue;
		snprintf(line, sizeof(line), "| %u | %s |", f, field_names[f]);
		golden_text(line);
	}
	for (unsigned int type = 0; type < 256; type++) {
		const struct shape *s = shapes;
		char line[512];

		while (s < shapes + SHAPES && s->type != type)
			s++;
		assert_int_equal(wire_known(type), s < shapes + SHAPES);
		if (s == shapes + SHAPES)
			continue;
		assert_string_equal(wire_type_name(type), s->name);
		snprintf(line, sizeof(line), "| %u | %s | %s | %s |", type, s->name, s->must, s->may);
		golden_text(line);
		for (unsigned int f = 1; f < FIELD_END; f++)
			assert_int_equal(wire_takes(type, f), (set_of(s->must) | set_of(s->may)) >> f & 1);
	}
}

static void the_protocol_text_lists_these_statuses(void **state)
{
	(void)state;
	for (unsigned int i = 0; strcmp(wire_status_name(i), "unknown") != 0; i++) {
		char line[64];

		snprintf(line, sizeof(line), "| %u | %s |", i, wire_status_name(i));
		golden_text(line);
		assert_true(i <= WIRE_ENDED);
	}
}

static void one_hash_for_all_is_asked_and_answered_in_64_bytes(void **state)
{
	struct message ask = sample(WIRE_TRIE, WIRE_HAS(FIELD_PLACEMENT) | WIRE_HAS(FIELD_HASHES));
	struct message answer = sample(WIRE_ANSWER, WIRE_HAS(FIELD_STATUS));

	(void)state;
	ask.hash_count = 1;
	assert_in_range(wire_size(&ask, false) + wire_size(&answer, false), 1, 64);
}

/* ---- there and back ---- */

static void what_is_encoded_is_decoded(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		const struct shape *s = &shapes[wire_random(&seed, SHAPES)];
		uint64_t set = set_of(s->must) | (set_of(s->may) & wire_random(&seed, UINT64_MAX));
		struct message m = { .type = s->type, .request = number_for(s->type) }, back;
		size_t len;

		for (unsigned int f = 1; f < FIELD_END; f++)
			if (set & WIRE_HAS(f))
				wire_sample_random(&m, f, &seed);
		len = encode(&m);
		assert_int_equal(decode(s->type, buffer, len, &back), 0);
		assert_int_equal(back.has, set);
		assert_int_equal(back.type, s->type);
		assert_int_equal(back.request, m.request);
		assert_true(wire_equal(&m, &back));
	}
}

static void fields_that_a_message_must_have_go_out_unasked(void **state)
{
	struct message m = { .type = WIRE_GET, .request = 1 }, back;

	(void)state;
	memset(&m.address, 3, sizeof(m.address));
	assert_int_equal(wire_decode(WIRE_GET, 1, buffer, encode(&m), &back), 0);
	assert_int_equal(back.has, WIRE_HAS(FIELD_PLACEMENT) | WIRE_HAS(FIELD_ADDRESS));
	assert_true(address_equal(&back.address, &m.address));
}

static void the_bytes_of_a_chunk_come_last_and_can_be_sent_apart(void **state)
{
	struct message m = sample(WIRE_PUT, set_of("placement, address, volume, kind, spare, bytes"));
	uint8_t head[512];
	size_t len = encode(&m), tail = m.bytes.len;
	const uint8_t *bytes = m.bytes.data;
	int n;

	(void)state;
	m.bytes.data = NULL;
	n = wire_encode(&m, true, head, sizeof(head));
	assert_int_equal(n, len - tail);
	assert_int_equal(n, wire_size(&m, true));
	assert_memory_equal(head, buffer, n);
	assert_memory_equal(bytes, buffer + n, tail);
}

static void a_buffer_that_is_too_small_is_never_overrun(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct message m = sample(shapes[i].type, set_of(shapes[i].must) | set_of(shapes[i].may));
		size_t len = wire_size(&m, false);

		for (size_t size = 0; size < len; size++) {
			uint8_t *small = malloc(size ? size : 1);

			assert_non_null(small);
			assert_int_equal(wire_encode(&m, false, small, size), -EMSGSIZE);
			free(small);
		}
	}
}

/* ---- what is bad ---- */

static void a_message_without_a_field_that_it_must_have_is_refused(void **state)
{
	struct message back;

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		uint64_t must = set_of(shapes[i].must);
		struct message m = sample(shapes[i].type, must);
		size_t len = encode(&m);

		assert_int_equal(decode(shapes[i].type, buffer, len, &back), 0);
		for (unsigned int f = 1; f < FIELD_END; f++) {
			size_t at, n;
			uint8_t without[4096];

			if (!(must & WIRE_HAS(f)))
				continue;
			wire_find(buffer, len, f, &at, &n);
			memcpy(without, buffer, at);
			memcpy(without + at, buffer + at + n, len - at - n);
			assert_int_equal(decode(shapes[i].type, without, len - n, &back), -EBADMSG);
		}
	}
}

static void a_field_that_comes_twice_or_out_of_order_is_refused(void **state)
{
	uint8_t bytes[8192];
	struct message back;

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		uint64_t set = set_of(shapes[i].must) | set_of(shapes[i].may);
		struct message m = sample(shapes[i].type, set);
		size_t len = encode(&m), last_at = 0, last_n = 0;

		for (unsigned int f = 1; f < FIELD_END; f++) {
			size_t at, n;

			if (!(set & WIRE_HAS(f)))
				continue;
			wire_find(buffer, len, f, &at, &n);
			memcpy(bytes, buffer, at + n);
			memcpy(bytes + at + n, buffer + at, len - at);
			assert_int_equal(decode(shapes[i].type, bytes, len + n, &back), -EBADMSG);
			if (last_n > 0) {
				memcpy(bytes, buffer, len);
				memcpy(bytes + last_at, buffer + at, n);
				memcpy(bytes + last_at + n, buffer + last_at, last_n);
				assert_int_equal(decode(shapes[i].type, bytes, len, &back), -EBADMSG);
			}
			last_at = at;
			last_n = n;
		}
	}
}

static void what_is_not_known_or_not_expected_is_skipped(void **state)
{
	struct message m = sample(WIRE_GET, set_of("placement, address")), back;
	size_t len = encode(&m), n;
	uint8_t bytes[512];

	(void)state;
	/* Numbers that no version has, before and behind the others; 200 bytes of it, which takes two to say. */
	memcpy(bytes, buffer, len);
	memcpy(bytes + len, "\x20\x02hi\x40\x00\xff\xc8\x01", 9);
	memset(bytes + len + 9, 'x', 200);
	assert_int_equal(decode(WIRE_GET, bytes, len + 209, &back), 0);
	assert_true(wire_equal(&m, &back));
	/* A field of other messages, even where it makes no sense there. */
	bytes[0] = FIELD_SEQ;
	bytes[1] = 1;
	bytes[2] = 9;
	memcpy(bytes + 3, buffer, len);
	n = len + 3;
	bytes[n++] = FIELD_MORE;
	assert_int_equal(decode(WIRE_GET, bytes, len + 3, &back), 0);
	assert_true(wire_equal(&m, &back));
	assert_int_equal(back.seq, 0);
	/* They are in the order of numbers like all others. */
	bytes[n++] = 0;
	assert_int_equal(decode(WIRE_GET, bytes, n, &back), -EBADMSG);
	bytes[0] = 0;
	assert_int_equal(decode(WIRE_GET, bytes, len + 3, &back), -EBADMSG);
}

static void cut_anywhere_a_message_is_refused_or_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		uint64_t must = set_of(shapes[i].must);
		struct message m = sample(shapes[i].type, must | set_of(shapes[i].may));
		size_t len = encode(&m);
		unsigned int good = 0, expected = 1;

		/* It is whole at the end of each field from the last that must be there. */
		for (unsigned int f = 1; f < FIELD_END; f++) {
			if (must & WIRE_HAS(f))
				expected = 1;
			else if (set_of(shapes[i].may) & WIRE_HAS(f))
				expected++;
		}
		for (size_t n = 0; n <= len; n++)
			good += decode_alone(shapes[i].type, buffer, n) == 0;
		assert_int_equal(good, expected);
	}
}

static void a_length_that_lies_is_refused(void **state)
{
	struct message back;
	uint8_t bytes[8192];

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		uint64_t set = set_of(shapes[i].must) | set_of(shapes[i].may);
		struct message m = sample(shapes[i].type, set);
		size_t len = encode(&m);

		for (unsigned int f = 1; f < FIELD_END; f++) {
			size_t at, n;

			if (!(set & WIRE_HAS(f)))
				continue;
			wire_find(buffer, len, f, &at, &n);
			/* As the message's last field it claims bytes that are not there: few, and very many. */
			memcpy(bytes, buffer, at + n);
			bytes[at + 1]++;
			assert_int_equal(decode(shapes[i].type, bytes, at + n, &back), -EBADMSG);
			memcpy(bytes + at + 1, "\xff\xff\x7f", 3);
			assert_int_equal(decode(shapes[i].type, bytes, at + n, &back), -EBADMSG);
			/* With any length at all it is only ever refused or whole. */
			for (unsigned int lie = 0; lie < 128; lie++) {
				memcpy(bytes, buffer, len);
				bytes[at + 1] = (uint8_t)lie;
				decode_alone(shapes[i].type, bytes, len);
			}
		}
	}
}

static void a_length_has_one_form(void **state)
{
	struct message back;

	(void)state;
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x00", 2, &back), 0);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x80\x00", 3, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x80\x80\x00", 4, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x80\x80\x80\x00", 5, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x83\x00" "\x01\x00" "a", 6, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x03\x01\x00" "a", 5, &back), 0);
}

static void is_bad(unsigned int type, const char *fields, const struct message *change, uint64_t set)
{
	struct message m = sample(type, set_of(fields));
	struct message back;

	if (set & WIRE_HAS(FIELD_KIND))
		m.kind = change->kind;
	if (set & WIRE_HAS(FIELD_SLOT))
		m.slot = change->slot;
	assert_int_equal(wire_encode(&m, false, buffer, sizeof(buffer)), -EMSGSIZE);
	/* The encoder won't: so a good one, with the number changed. */
	m = sample(type, set_of(fields));
	for (unsigned int f = FIELD_KIND, n; f <= FIELD_SLOT; f += FIELD_SLOT - FIELD_KIND) {
		size_t at, all, len = encode(&m);

		if (!(set & WIRE_HAS(f)))
			continue;
		wire_find(buffer, len, f, &at, &all);
		n = f == FIELD_KIND ? change->kind : change->slot;
		buffer[at + 2] = (uint8_t)n;
		if (f == FIELD_SLOT)
			buffer[at + 3] = (uint8_t)(n >> 8);
		assert_int_equal(decode(type, buffer, len, &back), -EBADMSG);
	}
}

static void numbers_out_of_range_are_refused(void **state)
{
	const char *put = "placement, address, kind, bytes";

	(void)state;
	is_bad(WIRE_PUT, put, &(struct message){ .kind = 0 }, WIRE_HAS(FIELD_KIND));
	is_bad(WIRE_PUT, put, &(struct message){ .kind = KIND_SNAPSHOT + 1 }, WIRE_HAS(FIELD_KIND));
	is_bad(WIRE_LEASES, "placement, slot", &(struct message){ .slot = 16384 }, WIRE_HAS(FIELD_SLOT));
	is_bad(WIRE_LEASES, "placement, slot", &(struct message){ .slot = UINT16_MAX }, WIRE_HAS(FIELD_SLOT));
}

static void what_has_a_length_of_its_own_has_no_other(void **state)
{
	static const struct {
		unsigned int field, type;
		size_t len;
	} fixed[] = {
		{ FIELD_SEQ, WIRE_PING, 8 }, { FIELD_TARGET, WIRE_PROBE, 32 }, { FIELD_HASH, WIRE_SWAP, 32 }, { FIELD_MORE, WIRE_LEASE, 0 },
		{ FIELD_PLACEMENT, WIRE_GET, 32 }, { FIELD_ADDRESS, WIRE_GET, 32 }, { FIELD_VOLUME, WIRE_LEASES, 32 },
		{ FIELD_KIND, WIRE_PUT, 1 }, { FIELD_SPARE, WIRE_PUT, 0 }, { FIELD_STATUS, WIRE_ANSWER, 2 },
		{ FIELD_COMPLETE, WIRE_ANSWER, 0 }, { FIELD_NONCE, WIRE_AUDIT, 32 }, { FIELD_COUNT, WIRE_LEASE, 4 },
		{ FIELD_SLOT, WIRE_HEADS, 2 }, { FIELD_SECONDS, WIRE_MAINTENANCE, 4 },
	};
	static uint8_t out[8192];
	struct message back;

	(void)state;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		const struct shape *s = shapes;

		while (s->type != fixed[i].type)
			s++;
		for (size_t len = 0; len < 70; len++) {
			struct message m = sample(s->type, set_of(s->must));
			size_t n = wire_beyond(&m, fixed[i].field, len, out);

			if (len != fixed[i].len)
				assert_int_equal(decode(s->type, out, n, &back), -EBADMSG);
		}
	}
}

static void a_length_takes_no_more_bytes_than_it_needs(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 127, 128, 16383, 16384, 16385, WIRE_BYTES_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct message m = sample(WIRE_PUT, set_of("placement, address, kind")), back;
		size_t before = encode(&m), len;

		wire_sample_length(&m, FIELD_BYTES, lengths[i]);
		len = encode(&m);
		/* "bytes" must be there, and was, with no bytes, in the first one too. */
		assert_int_equal(len - before, lengths[i] + (lengths[i] < 128 ? 0 : lengths[i] < 16384 ? 1 : 2));
		assert_int_equal(decode(WIRE_PUT, buffer, len, &back), 0);
		assert_int_equal(back.bytes.len, lengths[i]);
	}
}

static void a_message_has_a_longest_length(void **state)
{
	static uint8_t long_one[WIRE_MESSAGE_MAX + 1];
	struct message back;

	(void)state;
	/* One field that nobody knows fills it. */
	for (size_t len = WIRE_MESSAGE_MAX; len <= WIRE_MESSAGE_MAX + 1; len++) {
		size_t value = len - 4;

		long_one[0] = 200;
		long_one[1] = (uint8_t)(value | 0x80);
		long_one[2] = (uint8_t)(value >> 7 | 0x80);
		long_one[3] = (uint8_t)(value >> 14);
		assert_int_equal(decode(WIRE_GOSSIP, long_one, len, &back), len > WIRE_MESSAGE_MAX ? -EBADMSG : 0);
	}
}

static void each_list_is_taken_at_its_limit_and_refused_beyond(void **state)
{
	static const struct {
		unsigned int type, field, item, max;
	} lists[] = {
		{ WIRE_GOSSIP, FIELD_SUSPICIONS, WIRE_SUSPICION_LEN, WIRE_GOSSIP_MAX },
		{ WIRE_GOSSIP, FIELD_RECORDS, 1, WIRE_BLOBS_MAX },
		{ WIRE_SUMMARY, FIELD_SUMMARY, WIRE_SUMMARY_LEN, WIRE_SUMMARY_MAX },
		{ WIRE_SUMMARY, FIELD_HAVE, 1, WIRE_ADDRESSES_MAX / 8 },
		{ WIRE_TOUCH, FIELD_ADDRESSES, ADDRESS_LEN, WIRE_ADDRESSES_MAX },
		{ WIRE_PUT, FIELD_BYTES, 1, WIRE_BYTES_MAX },
		{ WIRE_SLOTS, FIELD_PATHS, WIRE_PATH_LEN, WIRE_PATHS_MAX },
		{ WIRE_TRIE, FIELD_HASHES, WIRE_HASH, WIRE_HASHES_MAX },
		{ WIRE_ANSWER, FIELD_COUNTS, WIRE_COUNT_LEN, WIRE_HASHES_MAX },
		{ WIRE_LEASE, FIELD_LEASE, 1, WIRE_BLOB_MAX },
		{ WIRE_RETIRE, FIELD_STATEMENT, 1, WIRE_BLOB_MAX },
		{ WIRE_SWAP, FIELD_HEAD, 1, WIRE_BLOB_MAX },
		{ WIRE_SWAP, FIELD_EVIDENCE, 1, WIRE_BLOB_MAX },
	};
	static uint8_t out[WIRE_MESSAGE_MAX];
	struct message back;

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const struct shape *s = shapes;
		struct message m;
		int len;

		while (s->type != lists[i].type)
			s++;
		m = sample(s->type, set_of(s->must) | WIRE_HAS(lists[i].field));
		wire_sample_length(&m, lists[i].field, lists[i].max);
		len = wire_encode(&m, false, out, sizeof(out));
		assert_true(len > 0);
		assert_int_equal(decode(m.type, out, (size_t)len, &back), 0);
		assert_true(wire_equal(&m, &back));
		wire_sample_length(&m, lists[i].field, lists[i].max + 1);
		assert_int_equal(wire_encode(&m, false, out, sizeof(out)), -EMSGSIZE);
		len = (int)wire_beyond(&m, lists[i].field, (lists[i].max + 1) * lists[i].item, out);
		assert_int_equal(decode(m.type, out, (size_t)len, &back), -EBADMSG);
		if (lists[i].item > 1) {
			len = (int)wire_beyond(&m, lists[i].field, lists[i].item + 1, out);
			assert_int_equal(decode(m.type, out, (size_t)len, &back), -EBADMSG);
		}
	}
}

static void only_requests_and_answers_have_numbers(void **state)
{
	struct message back;

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct message m = sample(shapes[i].type, set_of(shapes[i].must));
		size_t len = encode(&m);
		bool numbered = shapes[i].type >= WIRE_TOUCH;

		assert_int_equal(wire_is_request(shapes[i].type), numbered && shapes[i].type != WIRE_ANSWER);
		assert_int_equal(wire_decode(shapes[i].type, 0, buffer, len, &back), numbered ? -EBADMSG : 0);
		assert_int_equal(wire_decode(shapes[i].type, UINT32_MAX, buffer, len, &back), numbered ? 0 : -EBADMSG);
	}
}

static void a_type_of_another_version_is_told_from_a_bad_message(void **state)
{
	struct message back;

	(void)state;
	for (unsigned int type = 0; type < 1024; type++)
		if (!wire_known(type))
			assert_int_equal(wire_decode(type, 1, (const uint8_t *)"??", 2, &back), -EPROTO);
	assert_false(wire_known(0));
	assert_false(wire_is_request(200));
	assert_false(wire_takes(200, FIELD_SEQ));
	assert_string_equal(wire_type_name(200), "unknown");
	assert_string_equal(wire_status_name(200), "unknown");
}

static void a_status_of_another_version_is_handed_on(void **state)
{
	struct message m = { .type = WIRE_ANSWER, .request = 1, .status = 999 }, back;

	(void)state;
	assert_int_equal(decode(WIRE_ANSWER, buffer, encode(&m), &back), 0);
	assert_int_equal(back.status, 999);
}

static void a_message_with_any_bytes_changed_is_refused_or_whole(void **state)
{
	uint8_t bytes[8192];

	(void)state;
	for (unsigned int i = 0; i < 20 * ROUNDS; i++) {
		const struct shape *s = &shapes[wire_random(&seed, SHAPES)];
		struct message m = sample(s->type, set_of(s->must) | (set_of(s->may) & wire_random(&seed, UINT64_MAX)));
		size_t len = encode(&m);

		memcpy(bytes, buffer, len);
		for (uint64_t n = 1 + wire_random(&seed, 4); n > 0 && len > 0; n--)
			bytes[wire_random(&seed, len)] = (uint8_t)wire_random(&seed, 256);
		decode_alone(s->type, bytes, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_have_golden_bytes),
		cmocka_unit_test(every_message_has_golden_bytes),
		cmocka_unit_test(the_protocol_text_lists_these_messages_and_fields),
		cmocka_unit_test(the_protocol_text_lists_these_statuses),
		cmocka_unit_test(one_hash_for_all_is_asked_and_answered_in_64_bytes),
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(fields_that_a_message_must_have_go_out_unasked),
		cmocka_unit_test(the_bytes_of_a_chunk_come_last_and_can_be_sent_apart),
		cmocka_unit_test(a_buffer_that_is_too_small_is_never_overrun),
		cmocka_unit_test(a_message_without_a_field_that_it_must_have_is_refused),
		cmocka_unit_test(a_field_that_comes_twice_or_out_of_order_is_refused),
		cmocka_unit_test(what_is_not_known_or_not_expected_is_skipped),
		cmocka_unit_test(cut_anywhere_a_message_is_refused_or_whole),
		cmocka_unit_test(a_length_that_lies_is_refused),
		cmocka_unit_test(a_length_has_one_form),
		cmocka_unit_test(numbers_out_of_range_are_refused),
		cmocka_unit_test(what_has_a_length_of_its_own_has_no_other),
		cmocka_unit_test(a_length_takes_no_more_bytes_than_it_needs),
		cmocka_unit_test(a_message_has_a_longest_length),
		cmocka_unit_test(each_list_is_taken_at_its_limit_and_refused_beyond),
		cmocka_unit_test(only_requests_and_answers_have_numbers),
		cmocka_unit_test(a_type_of_another_version_is_told_from_a_bad_message),
		cmocka_unit_test(a_status_of_another_version_is_handed_on),
		cmocka_unit_test(a_message_with_any_bytes_changed_is_refused_or_whole),
	};
	seed = suite_seed(1);
	return suite_run(tests);
}
