/* The items of the lists of a message, and a chunk as it travels. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/wire.h"
#include "tests/lib/golden.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_sample.h"

static uint8_t buffer[WIRE_MESSAGE_MAX];

static size_t encode(const struct message *m)
{
	int n = wire_encode(m, false, buffer, sizeof(buffer));

	assert_true(n >= 0);
	return (size_t)n;
}

static int decode(unsigned int type, const uint8_t *bytes, size_t len, struct message *out)
{
	return wire_decode(type, wire_is_request(type), bytes, len, out);
}

/* A message with the standard value of one field. */
static struct message sample(unsigned int type, unsigned int field)
{
	struct message m = { .type = type, .request = wire_is_request(type) };

	wire_sample(&m, field);
	return m;
}

static int with_paths(const char *hex)
{
	uint8_t path[WIRE_PATH_LEN];
	struct message m = sample(WIRE_SLOTS, FIELD_PLACEMENT), back;

	assert_int_equal(golden_bytes(hex, path, sizeof(path)), sizeof(path));
	m.paths_bytes = path;
	m.path_count = 1;
	return decode(WIRE_SLOTS, buffer, encode(&m), &back);
}

static void paths_that_no_address_has_are_refused(void **state)
{
	(void)state;
	assert_int_equal(with_paths("000000000000000000"), 0);
	assert_int_equal(with_paths("043fff000000000000"), 0);
	assert_int_equal(with_paths("103fffffffffffffff"), 0);
	assert_int_equal(with_paths("0530000a0000000000"), -EBADMSG);	/* a sixth step, but the depth is 5 */
	assert_int_equal(with_paths("053000a00000000000"), 0);
	assert_int_equal(with_paths("063000aa0000000001"), -EBADMSG);
	assert_int_equal(with_paths("010100000000000000"), -EBADMSG);
	assert_int_equal(with_paths("0440ff000000000000"), -EBADMSG);	/* slot 16,639 */
	assert_int_equal(with_paths("113fffffffffffffff"), -EBADMSG);	/* 17 steps */
	assert_int_equal(with_paths("ff3fffffffffffffff"), -EBADMSG);
}

static void a_suspicion_is_one_of_two(void **state)
{
	struct message m = sample(WIRE_GOSSIP, FIELD_SUSPICIONS), back;
	size_t len = encode(&m);

	(void)state;
	buffer[len - 1] = 1;
	assert_int_equal(decode(WIRE_GOSSIP, buffer, len, &back), 0);
	buffer[len - 1] = 2;
	assert_int_equal(decode(WIRE_GOSSIP, buffer, len, &back), -EBADMSG);
}

static void the_items_of_lists_come_back_in_order(void **state)
{
	struct wire_suspicion s[3], s_back;
	struct wire_summary m[3], m_back;
	struct wire_path p[3], p_back;
	uint8_t suspicions[3 * WIRE_SUSPICION_LEN], summary[3 * WIRE_SUMMARY_LEN], paths[3 * WIRE_PATH_LEN];
	uint8_t counts[3 * WIRE_COUNT_LEN];
	struct message all = {
		.suspicions_bytes = suspicions, .summary_bytes = summary, .paths_bytes = paths, .counts_bytes = counts,
		.suspicions = 3, .summaries = 3, .path_count = 3, .count_count = 3,
	};

	(void)state;
	memset(s, 0, sizeof(s));
	memset(m, 0, sizeof(m));
	memset(p, 0, sizeof(p));
	for (unsigned int i = 0; i < 3; i++) {
		memset(s[i].id.b, (int)(0x10 + i), ADDRESS_LEN);
		memset(s[i].from.b, (int)(0x20 + i), ADDRESS_LEN);
		s[i].incarnation = UINT64_C(0x0102030405060708) + i;
		s[i].dead = i == 1;
		memset(m[i].id.b, (int)(0x30 + i), ADDRESS_LEN);
		memset(m[i].hash, (int)(0x40 + i), sizeof(m[i].hash));
		m[i].incarnation = UINT64_MAX - i;
		p[i].depth = (uint8_t)(4 + i);
		memset(p[i].nibbles, (int)(0x11 * i), 2);
		wire_suspicion_put(&s[i], suspicions + i * WIRE_SUSPICION_LEN);
		wire_summary_put(&m[i], summary + i * WIRE_SUMMARY_LEN);
		wire_path_put(&p[i], paths + i * WIRE_PATH_LEN);
		wire_count_put(70000 * (i + 1), counts + i * WIRE_COUNT_LEN);
	}
	for (unsigned int i = 0; i < 3; i++) {
		wire_suspicion(&all, i, &s_back);
		assert_true(address_equal(&s_back.id, &s[i].id) && address_equal(&s_back.from, &s[i].from));
		assert_true(s_back.incarnation == s[i].incarnation && s_back.dead == s[i].dead);
		wire_summary(&all, i, &m_back);
		assert_true(address_equal(&m_back.id, &m[i].id) && m_back.incarnation == m[i].incarnation);
		assert_memory_equal(m_back.hash, m[i].hash, sizeof(m_back.hash));
		wire_path(&all, i, &p_back);
		assert_int_equal(p_back.depth, p[i].depth);
		assert_memory_equal(p_back.nibbles, p[i].nibbles, sizeof(p_back.nibbles));
		assert_int_equal(wire_count(&all, i), 70000 * (i + 1));
	}
}

static void blobs_come_back_in_order(void **state)
{
	static const char *const texts[] = { "a", "the second", "xyz" };
	struct wire_slice list, blob;
	uint8_t bytes[20];
	uint32_t at = 0, n = 0;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		int len = wire_blob_put(texts[i], strlen(texts[i]), bytes + n, sizeof(bytes) - n);

		assert_int_equal(len, 2 + strlen(texts[i]));
		n += (uint32_t)len;
	}
	assert_int_equal(n, sizeof(bytes));
	assert_int_equal(wire_blob_put("a", 1, bytes, 2), -EMSGSIZE);
	list = (struct wire_slice){ bytes, n };
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(wire_blob(&list, &at, &blob));
		assert_int_equal(blob.len, strlen(texts[i]));
		assert_memory_equal(blob.data, texts[i], blob.len);
	}
	assert_false(wire_blob(&list, &at, &blob));
	assert_int_equal(at, n);
}

static void lists_of_blobs_end_where_their_blobs_end(void **state)
{
	static uint8_t big[3 + 3 + 2 + WIRE_BLOB_MAX + 1];
	struct message m, back;
	size_t len;

	(void)state;
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x04\x02\x00" "ab", 6, &back), 0);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x04\x01\x00" "ab", 6, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x04\x03\x00" "ab", 6, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x01\x01", 3, &back), -EBADMSG);
	assert_int_equal(decode(WIRE_GOSSIP, (const uint8_t *)"\x03\x02\x00\x00", 4, &back), -EBADMSG);
	memcpy(big, "\x03\x82\x08\x00\x04", 5);		/* 1026 bytes: a blob of 1024 */
	assert_int_equal(decode(WIRE_GOSSIP, big, 3 + 1026, &back), 0);
	memcpy(big, "\x03\x83\x08\x01\x04", 5);
	assert_int_equal(decode(WIRE_GOSSIP, big, 3 + 1027, &back), -EBADMSG);
	/* As long as the field may be, and its last blob longer than what is left. */
	m = sample(WIRE_GOSSIP, FIELD_RECORDS);
	wire_sample_length(&m, FIELD_RECORDS, WIRE_BLOBS_MAX);
	len = encode(&m);
	assert_int_equal(decode(WIRE_GOSSIP, buffer, len, &back), 0);
	buffer[4] ^= 1;
	assert_int_equal(decode(WIRE_GOSSIP, buffer, len, &back), -EBADMSG);
}

static void a_chunk_travels_raw_or_deflated(void **state)
{
	static const struct {
		const char *hex;
		bool good;
	} chunks[] = {
		{ "010000000000", true }, { "010003000000616263", true }, { "010104000000789c03", true },
		{ "01000300000061626364", false }, { "0100030000006162", false },	/* another length than it says */
		{ "010103000000789c03", false }, { "010103000000", false },		/* not fewer; none */
		{ "020003000000616263", false }, { "010203000000616263", false },
		{ "010101000400789c03", false }, { "0101ffffffff789c03", false }, { "010100000400789c03", true },
		{ "0100000000", false }, { "", false },
	};
	static uint8_t longest[WIRE_BYTES_MAX];
	struct wire_chunk c;

	(void)state;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		uint8_t bytes[32], head[WIRE_CHUNK_HEAD];
		size_t len = chunks[i].hex[0] ? golden_bytes(chunks[i].hex, bytes, sizeof(bytes)) : 0;

		assert_int_equal(wire_chunk_read(bytes, len, &c), chunks[i].good ? 0 : -EBADMSG);
		if (!chunks[i].good)
			continue;
		wire_chunk_head(&c, head);
		assert_memory_equal(head, bytes, sizeof(head));
		assert_int_equal(c.stored.len, len - sizeof(head));
	}
	assert_int_equal(wire_chunk_read((const uint8_t *)"\x01\x00\x03\x00\x00\x00" "abc", 9, &c), 0);
	assert_memory_equal(c.stored.data, "abc", 3);
	c = (struct wire_chunk){ .raw_len = CHUNK_MAX };
	wire_chunk_head(&c, longest);
	assert_int_equal(wire_chunk_read(longest, sizeof(longest), &c), 0);
	assert_int_equal(c.raw_len, CHUNK_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_that_no_address_has_are_refused),
		cmocka_unit_test(a_suspicion_is_one_of_two),
		cmocka_unit_test(the_items_of_lists_come_back_in_order),
		cmocka_unit_test(blobs_come_back_in_order),
		cmocka_unit_test(lists_of_blobs_end_where_their_blobs_end),
		cmocka_unit_test(a_chunk_travels_raw_or_deflated),
	};

	return suite_run(tests);
}
