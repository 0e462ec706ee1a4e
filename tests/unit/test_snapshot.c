/* Snapshots and the list of the kept: there and back, golden, and hostile bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/bytes.h"
#include "chunker/snapshot.h"
#include "tests/lib/suite.h"

#define HEADER_LEN (28 + REF_LEN)

static struct snapshot sample(void)
{
	struct snapshot s = {
		.time = { .sec = 1718000000, .nsec = 123456789 },
		.root = {
			.name = "root", .name_len = 4, .mode = S_IFDIR | 0755, .uid = 1000, .gid = 100,
			.mtime = { .sec = -1, .nsec = 999999999 }, .ctime = { .sec = 2 }, .size = 7,
			.ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_DIRECTORY, .size = 7 },
		},
		.note = "before the move", .note_len = 15,
	};

	address_of(KIND_DIRECTORY, "x", 1, &s.root.ref.address);
	ref_empty(&s.kept);
	return s;
}

/* Decode a copy that ends where its memory ends. */
static int decode(const uint8_t *bytes, size_t len)
{
	struct chunk *c = chunk_copy(bytes, len);
	struct snapshot s;
	int rc;

	assert_non_null(c);
	rc = snapshot_decode(c, &s);
	chunk_drop(c);
	return rc;
}

static void a_snapshot_is_read_back_as_it_was_written(void **unused)
{
	struct snapshot s = sample(), back;
	struct chunk *c, *again;

	(void)unused;
	s.kept = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_INDEX, .size = 10000 * KEPT_LEN };
	assert_int_equal(snapshot_encode(&s, &c), 0);
	assert_int_equal(snapshot_decode(c, &back), 0);
	assert_int_equal(back.time.sec, s.time.sec);
	assert_int_equal(back.time.nsec, s.time.nsec);
	assert_int_equal(back.root.mode, s.root.mode);
	assert_int_equal(back.root.mtime.sec, -1);
	assert_true(ref_equal(&back.root.ref, &s.root.ref));
	assert_true(ref_equal(&back.kept, &s.kept));
	assert_int_equal(back.note_len, s.note_len);
	assert_memory_equal(back.note, s.note, s.note_len);
	assert_int_equal(snapshot_encode(&back, &again), 0);
	assert_int_equal(again->len, c->len);
	assert_memory_equal(again->data, c->data, c->len);
	chunk_drop(again);
	chunk_drop(c);
}

static void the_bytes_are_the_golden_ones(void **unused)
{
	static const uint8_t head[24] = { 'd', 'h', 't', 's', 1, 0, 0, 0, 0x80, 0x99, 0x66, 0x66, 0, 0, 0, 0,
		0x15, 0xcd, 0x5b, 0x07, 15, 0, 0, 0 };
	struct snapshot s = sample();
	char text[ADDRESS_TEXT_LEN + 1];
	struct address a;
	struct chunk *c;

	(void)unused;
	assert_int_equal(snapshot_encode(&s, &c), 0);
	assert_memory_equal(c->data, head, sizeof(head));
	assert_int_equal(get_le32(c->data + 24 + REF_LEN), c->len - HEADER_LEN - 15);
	assert_memory_equal(c->data + c->len - 15, "before the move", 15);
	address_of(KIND_SNAPSHOT, c->data, c->len, &a);
	address_format(&a, text);
	assert_string_equal(text, "fb79a64120a8e85de9dad5521e1ed1407878a9d5444311a64a57f0a82fe41ec9");
	chunk_drop(c);
}

static void check_refused(const struct snapshot *s)
{
	struct chunk *c = NULL;

	assert_int_equal(snapshot_encode(s, &c), -EINVAL);
	assert_null(c);
}

static void what_breaks_a_rule_is_not_encoded(void **unused)
{
	char longer[SNAPSHOT_NOTE_MAX + 1];
	struct snapshot s;

	(void)unused;
	memset(longer, 'x', sizeof(longer));
	s = sample(), s.time.nsec = 1000000000, check_refused(&s);
	s = sample(), s.root.name = "roof", check_refused(&s);
	s = sample(), s.root.name_len = 3, check_refused(&s);
	s = sample(), s.root.mode = S_IFREG | 0644, s.root.ref.kind = KIND_INDEX, check_refused(&s);
	s = sample(), s.root.ref.kind = KIND_INDEX, check_refused(&s);
	s = sample(), s.kept.size = 65, check_refused(&s);
	s = sample(), s.kept.kind = KIND_DIRECTORY, check_refused(&s);
	s = sample(), s.note = "a\0b", s.note_len = 3, check_refused(&s);
	s = sample(), s.note = longer, s.note_len = SNAPSHOT_NOTE_MAX + 1, check_refused(&s);
}

static void a_snapshot_without_a_note_and_one_with_the_longest_are_fine(void **unused)
{
	char note[SNAPSHOT_NOTE_MAX];
	struct snapshot s = sample(), back;
	struct chunk *c;

	(void)unused;
	s.note = NULL;
	s.note_len = 0;
	assert_int_equal(snapshot_encode(&s, &c), 0);
	assert_int_equal(snapshot_decode(c, &back), 0);
	assert_int_equal(back.note_len, 0);
	chunk_drop(c);
	memset(note, 0xff, sizeof(note));
	s.note = note;
	s.note_len = sizeof(note);
	assert_int_equal(snapshot_encode(&s, &c), 0);
	assert_int_equal(snapshot_decode(c, &back), 0);
	assert_int_equal(back.note_len, SNAPSHOT_NOTE_MAX);
	chunk_drop(c);
}

/* Change one byte of a good one and put it back. */
static void check_byte(uint8_t *bytes, size_t len, size_t at, uint8_t value)
{
	uint8_t was = bytes[at];

	bytes[at] = value;
	assert_int_equal(decode(bytes, len), -EBADMSG);
	bytes[at] = was;
}

static void hostile_bytes_are_refused(void **unused)
{
	struct snapshot s = sample();
	uint8_t bytes[1024] = { 0 };
	struct chunk *c;
	size_t len;

	(void)unused;
	assert_int_equal(snapshot_encode(&s, &c), 0);
	len = c->len;
	memcpy(bytes, c->data, len);
	chunk_drop(c);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(decode(bytes, n), -EBADMSG);
	assert_int_equal(decode(bytes, len + 1), -EBADMSG);
	assert_int_equal(decode(bytes, len), 0);
	for (size_t at = 0; at < 8; at++)
		check_byte(bytes, len, at, 0x55);
	check_byte(bytes, len, 19, 0xff);		/* nanoseconds */
	check_byte(bytes, len, 20, 14);			/* length of the note */
	check_byte(bytes, len, 20, 16);
	check_byte(bytes, len, 21, 0xff);
	check_byte(bytes, len, 22, 1);
	check_byte(bytes, len, 23, 1);
	check_byte(bytes, len, 25, KIND_SNAPSHOT);	/* kind of the list */
	check_byte(bytes, len, 32, 1);			/* its size: no whole record */
	for (size_t at = 72; at < 76; at++)		/* length of the root's entry */
		check_byte(bytes, len, at, (uint8_t)(bytes[at] + 1));
	check_byte(bytes, len, HEADER_LEN + 40, 'R');	/* its name */
	check_byte(bytes, len, len - 1, 0);		/* a NUL in the note */
}

static void a_record_of_the_list_has_one_form(void **unused)
{
	struct kept k = {
		.time = { .sec = -5, .nsec = 999999999 },
		.ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = 200 },
	}, back;
	uint8_t bytes[KEPT_LEN];

	(void)unused;
	kept_encode(&k, bytes);
	assert_int_equal(get_le64(bytes), (uint64_t)-5);
	assert_int_equal(get_le32(bytes + 8), 999999999);
	assert_int_equal(kept_decode(bytes, &back), 0);
	assert_int_equal(back.time.sec, -5);
	assert_int_equal(back.time.nsec, 999999999);
	assert_true(ref_equal(&back.ref, &k.ref));

	put_le32(bytes + 8, 1000000000);
	assert_int_equal(kept_decode(bytes, &back), -EBADMSG);
	put_le32(bytes + 8, 0);
	bytes[15] = 1;
	assert_int_equal(kept_decode(bytes, &back), -EBADMSG);
	bytes[15] = 0;
	bytes[17] = KIND_DIRECTORY;
	assert_int_equal(kept_decode(bytes, &back), -EBADMSG);
	bytes[17] = KIND_SNAPSHOT;
	bytes[18] = 1;
	assert_int_equal(kept_decode(bytes, &back), -EBADMSG);
	bytes[18] = 0;
	assert_int_equal(kept_decode(bytes, &back), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_is_read_back_as_it_was_written),
		cmocka_unit_test(the_bytes_are_the_golden_ones),
		cmocka_unit_test(what_breaks_a_rule_is_not_encoded),
		cmocka_unit_test(a_snapshot_without_a_note_and_one_with_the_longest_are_fine),
		cmocka_unit_test(hostile_bytes_are_refused),
		cmocka_unit_test(a_record_of_the_list_has_one_form),
	};

	return suite_run(tests);
}
