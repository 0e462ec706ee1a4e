/* The list of a file's chunks: what is found in it, its shape, and what is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/bytes.h"
#include "chunker/cut.h"
#include "chunker/index.h"
#include "chunker/node.h"
#include "tests/lib/chunkset.h"
#include "tests/lib/suite.h"

static uint64_t seed;

static uint64_t below(uint64_t n)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ? (z ^ z >> 31) % n : 0;
}

/* The chunk of number ${n}: only its address and length matter here. */
static struct extent chunk_of(uint64_t n)
{
	struct extent e = { .len = 1 + n * 7919 % CHUNK_MAX };
	uint8_t bytes[8];

	put_le64(bytes, n);
	address_of(KIND_DATA, bytes, sizeof(bytes), &e.address);
	return e;
}

static void add(struct index_builder *b, const struct extent *e)
{
	if (e->hole)
		assert_int_equal(index_builder_hole(b, e->len), 0);
	else
		assert_int_equal(index_builder_data(b, (uint32_t)e->len, &e->address), 0);
}

static struct ref build(struct chunkset *set, const struct extent *list, size_t count)
{
	struct index_builder *b = index_builder_new(&set->sink);
	struct ref ref;

	for (size_t i = 0; i < count; i++)
		add(b, &list[i]);
	assert_int_equal(index_builder_finish(b, &ref), 0);
	index_builder_free(b);
	return ref;
}

/* ${count} entries with their places, one in ${holes} a hole (0: none). */
static struct extent *make_list(size_t count, uint64_t holes)
{
	struct extent *list = calloc(count, sizeof(*list));
	uint64_t off = 0;

	assert_non_null(list);
	for (size_t i = 0; i < count; i++) {
		list[i] = chunk_of(i);
		if (holes && i > 0 && !list[i - 1].hole && below(holes) == 0)
			list[i] = (struct extent){ .len = CUT_HOLE_MIN + below(1 << 20), .hole = true };
		list[i].off = off;
		off += list[i].len;
	}
	return list;
}

static unsigned int root_level(struct chunkset *set, const struct ref *ref)
{
	return chunkset_get(set, KIND_INDEX, &ref->address)->data[5];
}

static void assert_extent(const struct extent *got, const struct extent *expected)
{
	assert_true(got->off == expected->off);
	assert_true(got->len == expected->len);
	assert_int_equal(got->hole, expected->hole);
	assert_true(address_equal(&got->address, &expected->address));
}

static void the_root_of_a_known_list_has_a_known_address(void **state)
{
	struct chunkset set;
	struct extent *list = make_list(10000, 0);
	struct ref ref;
	char text[ADDRESS_TEXT_LEN + 1];

	(void)state;
	chunkset_init(&set);
	for (size_t i = 3; i < 10000; i += 97)
		list[i] = (struct extent){ .len = CUT_HOLE_MIN + i, .hole = true };
	ref = build(&set, list, 10000);
	address_format(&ref.address, text);
	/* What a program in another language, written from index.h, makes of this list. */
	assert_int_equal(ref.kind, KIND_INDEX);
	assert_int_equal(ref.hash, HASH_BLAKE2B_256);
	assert_true(ref.size == UINT64_C(1300393400));
	assert_string_equal(text, "c349fd75fa65e82480db9edeca692443d4bf011f7f8ac7ddad61abd72bf3ebeb");
	assert_int_equal(root_level(&set, &ref), 1);
	free(list);
	chunkset_free(&set);
}

static void files_of_at_most_one_chunk_have_no_index(void **state)
{
	struct chunkset set;
	struct extent e = chunk_of(5), got, hole = { .len = (uint64_t)1 << 40, .hole = true };
	struct ref ref, empty;
	struct index_cursor *c;

	(void)state;
	chunkset_init(&set);
	ref_empty(&empty);
	ref = build(&set, NULL, 0);
	assert_true(ref_equal(&ref, &empty));
	assert_int_equal(index_find(&set.source, &ref, 0, &got), -ENXIO);
	c = index_cursor_new(&set.source, &ref);
	assert_int_equal(index_cursor_next(c, &got), 0);
	index_cursor_free(c);

	ref = build(&set, &e, 1);
	assert_int_equal(ref.kind, KIND_DATA);
	assert_true(address_equal(&ref.address, &e.address));
	assert_int_equal(index_find(&set.source, &ref, e.len - 1, &got), 0);
	assert_extent(&got, &e);
	assert_int_equal(index_find(&set.source, &ref, e.len, &got), -ENXIO);
	assert_int_equal(set.puts, 0);

	/* But one with a hole always has one. */
	ref = build(&set, &hole, 1);
	assert_int_equal(ref.kind, KIND_INDEX);
	assert_int_equal(index_find(&set.source, &ref, hole.len - 1, &got), 0);
	assert_extent(&got, &hole);
	chunkset_free(&set);
}

static void every_entry_is_found_and_walked_to_in_order(void **state)
{
	static const size_t counts[] = { 2, 255, 256, 257, 2048, 2049, 20000 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct extent *list = make_list(counts[i], 7), e;
		struct chunkset set;
		struct index_cursor *c;
		struct ref ref;

		chunkset_init(&set);
		ref = build(&set, list, counts[i]);
		c = index_cursor_new(&set.source, &ref);
		for (size_t k = 0; k < counts[i]; k++) {
			assert_int_equal(index_cursor_next(c, &e), 1);
			assert_extent(&e, &list[k]);
		}
		assert_int_equal(index_cursor_next(c, &e), 0);
		for (int k = 0; k < 300; k++) {
			size_t at = below(counts[i]);
			uint64_t off = list[at].off + below(list[at].len);

			set.gets = 0;
			assert_int_equal(index_find(&set.source, &ref, off, &e), 0);
			assert_int_equal(set.gets, root_level(&set, &ref) + 1);
			assert_extent(&e, &list[at]);
			assert_int_equal(index_cursor_seek(c, off), 0);
			for (size_t n = 0; n < 3 && at < counts[i]; n++, at++) {
				assert_int_equal(index_cursor_next(c, &e), 1);
				assert_extent(&e, &list[at]);
			}
		}
		assert_int_equal(index_cursor_seek(c, ref.size), 0);
		assert_int_equal(index_cursor_next(c, &e), 0);
		assert_int_equal(index_cursor_seek(c, ref.size + 1), -ENXIO);
		index_cursor_free(c);
		chunkset_free(&set);
		free(list);
	}
}

static void a_call_that_must_wait_can_be_made_again(void **state)
{
	struct extent *list = make_list(20000, 9), e;
	struct chunkset set;
	struct index_cursor *c;
	struct ref ref;
	unsigned int waits = 0;
	size_t k = 0;
	int rc;

	(void)state;
	chunkset_init(&set);
	ref = build(&set, list, 20000);
	set.shy = true;
	assert_int_equal(index_find(&set.source, &ref, 0, &e), -EAGAIN);
	c = index_cursor_new(&set.source, &ref);
	while ((rc = index_cursor_next(c, &e)) != 0) {
		if (rc == 1)
			assert_extent(&e, &list[k++]);
		else
			assert_int_equal(rc, -EAGAIN);
		waits += rc == -EAGAIN;
	}
	assert_int_equal(k, 20000);
	assert_int_equal(waits + 1, set.count);
	index_cursor_free(c);
	chunkset_free(&set);
	free(list);
}

static void holes_that_touch_are_one_and_short_ones_are_refused(void **state)
{
	struct extent data = chunk_of(1);
	struct extent hole = { .off = data.len, .len = 3 * CUT_HOLE_MIN, .hole = true };
	struct chunkset set;
	struct index_builder *b;
	struct extent e;
	struct ref ref;

	(void)state;
	chunkset_init(&set);
	b = index_builder_new(&set.sink);
	add(b, &data);
	for (uint32_t i = 0; i < 3 * CUT_HOLE_MIN; i++)
		assert_int_equal(index_builder_hole(b, 1), 0);
	assert_int_equal(index_builder_finish(b, &ref), 0);
	index_builder_free(b);
	assert_int_equal(index_find(&set.source, &ref, ref.size - 1, &e), 0);
	assert_extent(&e, &hole);

	b = index_builder_new(&set.sink);
	assert_int_equal(index_builder_hole(b, CUT_HOLE_MIN - 1), 0);
	assert_int_equal(index_builder_data(b, 1, &data.address), -EINVAL);
	index_builder_free(b);

	b = index_builder_new(&set.sink);
	assert_int_equal(index_builder_data(b, 0, &data.address), -EINVAL);
	assert_int_equal(index_builder_data(b, CHUNK_MAX + 1, &data.address), -EINVAL);
	assert_int_equal(index_builder_hole(b, INT64_MAX), 0);
	assert_int_equal(index_builder_hole(b, 1), -EFBIG);
	index_builder_free(b);
	index_builder_free(NULL);
	index_cursor_free(NULL);
	chunkset_free(&set);
}

/* Ranges of two old lists and new entries, one after the other, against all entries anew. */
static void keep_some(struct chunkset *set, struct extent **old, const struct ref *refs,
    size_t count)
{
	struct index_builder *by_keep = index_builder_new(&set->sink);
	struct index_builder *by_entry = index_builder_new(&set->sink);
	struct ref got, expected;
	struct extent some = chunk_of(below(1000));

	for (uint64_t i = 1 + below(8); i > 0; i--) {
		uint64_t which = below(2), from = below(count), to, off, len;
		const struct extent *list = old[which];

		to = from + below(3) * below(below(2) ? 4 : count - from);
		to = to < count ? to : count;
		if (below(4) == 0) {
			from = below(2) ? 0 : from;
			to = count;
		}
		off = from < count ? list[from].off : refs[which].size;
		len = (to < count ? list[to].off : refs[which].size) - off;
		/* Inside a hole the ends may be anywhere, but what is left must be one. */
		if (to > from + 1 && list[from].hole && list[from].len > CUT_HOLE_MIN) {
			uint64_t less = below(list[from].len - CUT_HOLE_MIN + 1);

			off += less;
			len -= less;
		}
		assert_int_equal(index_builder_keep(by_keep, &set->source, &refs[which], off, len), 0);
		for (uint64_t k = from; k < to; k++) {
			struct extent e = list[k];

			if (k == from)
				e.len -= off - e.off;
			add(by_entry, &e);
		}
		if (below(2)) {
			if (below(3) == 0)
				some = (struct extent){ .len = CUT_HOLE_MIN, .hole = true };
			else
				some = chunk_of(below(1000));
			add(by_keep, &some);
			add(by_entry, &some);
		}
	}
	assert_int_equal(index_builder_finish(by_keep, &got), 0);
	assert_int_equal(index_builder_finish(by_entry, &expected), 0);
	index_builder_free(by_keep);
	index_builder_free(by_entry);
	if (!ref_equal(&got, &expected))
		fail_msg("replay with SEED=%ju", (uintmax_t)seed);
}

static void keeping_ranges_gives_what_adding_their_entries_gives(void **state)
{
	uint64_t base = suite_seed((uint64_t)time(NULL) << 20);
	uint64_t rounds = getenv("SOAK") ? 3000 : 150;

	(void)state;
	for (uint64_t i = 0; i < rounds; i++) {
		size_t count = 1;
		struct extent *lists[2];
		struct ref refs[2];
		struct chunkset set;

		seed = base + i;
		count += below(below(2) ? 20 : 12000);
		chunkset_init(&set);
		for (int k = 0; k < 2; k++) {
			lists[k] = make_list(count, k == 0 ? 0 : 2 + below(100));
			refs[k] = build(&set, lists[k], count);
		}
		for (int k = 0; k < 8; k++)
			keep_some(&set, lists, refs, count);
		for (int k = 0; k < 2; k++)
			free(lists[k]);
		chunkset_free(&set);
	}
	seed = 1;
}

static void a_hole_joins_the_one_that_a_kept_subtree_begins_with(void **state)
{
	const size_t count = 5000, at = 300;
	struct extent *list = make_list(count, 0);
	struct extent hole = { .len = CUT_HOLE_MIN, .hole = true };
	struct chunkset set;
	struct index_builder *by_keep, *by_entry;
	struct ref ref, got, expected;

	(void)state;
	chunkset_init(&set);
	/* The entry before the hole ends a leaf, so the hole begins one. */
	list[at - 1].address.b[ADDRESS_LEN - 1] = 0;
	list[at] = hole;
	for (size_t i = INDEX_ENTRIES_MIN; i < at - 1; i++)
		list[i].address.b[ADDRESS_LEN - 1] |= 1;
	ref = build(&set, list, count);
	by_keep = index_builder_new(&set.sink);
	by_entry = index_builder_new(&set.sink);
	/* So many that a hole by itself would end the leaf before, too. */
	for (size_t i = 0; i < INDEX_ENTRIES_MIN - 1; i++) {
		add(by_keep, &list[i]);
		add(by_entry, &list[i]);
	}
	add(by_keep, &hole);
	add(by_entry, &hole);
	for (size_t i = 0, off = 0; i < count; off += list[i++].len) {
		if (i == at)
			assert_int_equal(index_builder_keep(by_keep, &set.source, &ref, off,
			    ref.size - off), 0);
		if (i >= at)
			add(by_entry, &list[i]);
	}
	assert_int_equal(index_builder_finish(by_keep, &got), 0);
	assert_int_equal(index_builder_finish(by_entry, &expected), 0);
	assert_true(ref_equal(&got, &expected));
	index_builder_free(by_keep);
	index_builder_free(by_entry);
	chunkset_free(&set);
	free(list);
}

static void a_range_that_is_not_at_boundaries_is_refused(void **state)
{
	struct extent *list = make_list(3000, 0);
	struct chunkset set;
	struct index_builder *b;
	struct ref ref;

	(void)state;
	chunkset_init(&set);
	ref = build(&set, list, 3000);
	b = index_builder_new(&set.sink);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, 0, 0), 0);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, ref.size, 0), 0);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, 0, ref.size + 1), -EINVAL);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, ref.size + 1, 0), -EINVAL);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, list[2].off + 1, 50), -EINVAL);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, 0, list[2000].off + 1), -EINVAL);
	index_builder_free(b);
	chunkset_free(&set);
	free(list);
}

static void an_edit_in_a_million_entries_loads_and_writes_only_paths(void **state)
{
	const size_t count = 1000000, at = 400000;
	struct extent *list = make_list(count, 0), new = chunk_of(count);
	struct chunkset set;
	struct index_builder *b;
	struct ref ref, got, expected;
	unsigned int levels, loads, writes;

	(void)state;
	chunkset_init(&set);
	ref = build(&set, list, count);
	levels = root_level(&set, &ref) + 1;
	set.gets = set.puts = 0;
	b = index_builder_new(&set.sink);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, 0, list[at].off), 0);
	add(b, &new);
	assert_int_equal(index_builder_keep(b, &set.source, &ref, list[at + 1].off,
	    ref.size - list[at + 1].off), 0);
	assert_int_equal(index_builder_finish(b, &got), 0);
	index_builder_free(b);
	loads = set.gets;
	writes = set.puts;
	print_message("# %u levels, %u nodes loaded, %u written\n", levels, loads, writes);
	/* The path to the edit, twice, that to the end, a few nodes until the ends meet again. */
	assert_true(loads <= 3 * levels + 12);
	assert_true(writes <= 2 * levels + 12);
	list[at] = new;
	expected = build(&set, list, count);
	assert_true(ref_equal(&got, &expected));
	chunkset_free(&set);
	free(list);
}

/* A node of any content, with a true address: what a hostile peer may have in the set. */
static struct ref hostile(struct chunkset *set, unsigned int level, const struct extent *list,
    uint32_t count, uint64_t total)
{
	uint8_t *node = calloc(1, NODE_HEADER_LEN + count * INDEX_ENTRY_LEN);
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_INDEX, .size = total };

	memcpy(node, "dhti", 4);
	node[4] = 1;
	node[5] = (uint8_t)level;
	put_le32(node + 8, count);
	put_le32(node + 12, count * INDEX_ENTRY_LEN);
	put_le64(node + 16, total);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *entry = node + NODE_HEADER_LEN + i * INDEX_ENTRY_LEN;

		put_le64(entry, list[i].len);
		put_le64(entry + 8, list[i].hole ? 0 : level > 0 ? list[i].data : list[i].len);
		memcpy(entry + 16, list[i].address.b, ADDRESS_LEN);
	}
	chunkset_add(set, KIND_INDEX, node, NODE_HEADER_LEN + count * INDEX_ENTRY_LEN, &ref.address);
	free(node);
	return ref;
}

static void assert_refused_at(struct chunkset *set, const struct ref *ref, uint64_t off)
{
	struct index_cursor *c = index_cursor_new(&set->source, ref);
	struct index_builder *b = index_builder_new(&set->sink);
	struct extent e;

	assert_int_equal(index_find(&set->source, ref, off, &e), -EBADMSG);
	assert_int_equal(index_cursor_seek(c, off), 0);
	assert_int_equal(index_cursor_next(c, &e), -EBADMSG);
	assert_int_equal(index_builder_keep(b, &set->source, ref, off, ref->size - off), -EBADMSG);
	index_cursor_free(c);
	index_builder_free(b);
}

static void assert_refused(struct chunkset *set, const struct ref *ref)
{
	assert_refused_at(set, ref, 0);
}

static void hostile_leaves_are_refused(void **state)
{
	const struct extent data = { .len = 100, .address = { { 1 } } };
	const struct extent hole = { .len = CUT_HOLE_MIN, .hole = true };
	struct extent e[3] = { data, hole, data };
	struct chunkset set;
	struct ref ref;
	struct extent got;

	(void)state;
	chunkset_init(&set);
	ref = hostile(&set, 0, e, 3, 200 + CUT_HOLE_MIN);
	assert_int_equal(index_find(&set.source, &ref, 150, &got), 0);

	ref.size++;
	assert_refused(&set, &ref);
	ref.size--;
	ref.hash = 2;
	assert_refused(&set, &ref);
	ref.hash = HASH_BLAKE2B_256;
	ref.kind = KIND_DIRECTORY;
	assert_refused(&set, &ref);
	ref = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = CHUNK_MAX + 1 };
	assert_refused(&set, &ref);
	ref = hostile(&set, 0, e, 3, 201 + CUT_HOLE_MIN);
	assert_refused(&set, &ref);
	e[1].address.b[31] = 1;
	ref = hostile(&set, 0, e, 3, 200 + CUT_HOLE_MIN);
	assert_refused(&set, &ref);
	e[1] = hole;
	e[1].len--;
	ref = hostile(&set, 0, e, 3, 199 + CUT_HOLE_MIN);
	assert_refused(&set, &ref);
	e[1] = e[2] = hole;
	ref = hostile(&set, 0, e, 3, 100 + 2 * CUT_HOLE_MIN);
	assert_refused(&set, &ref);
	e[1] = e[2] = data;
	e[1].len = 0;
	ref = hostile(&set, 0, e, 3, 200);
	assert_refused(&set, &ref);
	e[1].len = CHUNK_MAX + 1;
	ref = hostile(&set, 0, e, 3, 201 + CHUNK_MAX);
	assert_refused(&set, &ref);
	e[0] = data;
	ref = hostile(&set, 0, e, 1, 100);
	assert_refused(&set, &ref);
	/* Lengths whose sum wraps to the total. */
	e[0] = (struct extent){ .len = INT64_MAX, .hole = true };
	e[1] = data;
	e[2] = (struct extent){ .len = INT64_MAX, .hole = true };
	ref = hostile(&set, 0, e, 3, 98);
	assert_refused(&set, &ref);
	ref = hostile(&set, 0, e, 2, (uint64_t)INT64_MAX + 100);
	assert_refused(&set, &ref);
	ref = hostile(&set, 0, NULL, 0, 0);
	ref.size = 1;
	assert_refused(&set, &ref);
	chunkset_free(&set);
}

static void hostile_nodes_above_the_leaves_are_refused(void **state)
{
	const struct extent data = { .len = 100, .address = { { 1 } } };
	const struct extent hole = { .len = CUT_HOLE_MIN, .hole = true };
	struct extent leaf[2] = { data, hole }, e[2], got;
	struct chunkset set;
	struct index_cursor *c;
	struct ref below_ref, ref;
	uint64_t n = 100 + CUT_HOLE_MIN;

	(void)state;
	chunkset_init(&set);
	below_ref = hostile(&set, 0, leaf, 2, n);
	for (int i = 0; i < 2; i++)
		e[i] = (struct extent){ .len = n, .data = 100, .address = below_ref.address };
	ref = hostile(&set, 1, e, 2, 2 * n);
	assert_int_equal(index_find(&set.source, &ref, n, &got), 0);
	ref = hostile(&set, 1, e, 1, n);
	assert_refused(&set, &ref);
	/* A level that does not fall by one. */
	ref = hostile(&set, 2, e, 2, 2 * n);
	assert_refused(&set, &ref);
	ref = hostile(&set, NODE_LEVELS, e, 2, 2 * n);
	assert_refused(&set, &ref);
	below_ref = hostile(&set, 1, e, 2, 2 * n);
	e[1] = (struct extent){ .len = 2 * n, .data = 200, .address = below_ref.address };
	ref = hostile(&set, 1, e, 2, 3 * n);
	assert_refused_at(&set, &ref, n);
	/* A length that is not what is below; so for what is not in holes; no bytes. */
	e[1] = e[0];
	e[1].len++;
	ref = hostile(&set, 1, e, 2, 2 * n + 1);
	assert_refused_at(&set, &ref, n);
	e[1] = e[0];
	for (uint64_t wrong = 99; wrong <= 101; wrong += 2) {
		e[1].data = wrong;
		ref = hostile(&set, 1, e, 2, 2 * n);
		assert_refused_at(&set, &ref, n);
	}
	e[1].data = n + 1;
	ref = hostile(&set, 1, e, 2, 2 * n);
	assert_refused(&set, &ref);
	e[1] = e[0];
	e[0].len = 0;
	ref = hostile(&set, 1, e, 2, n);
	assert_refused(&set, &ref);

	/* Two holes that touch across leaves: only who walks there can see it. */
	below_ref = hostile(&set, 0, &hole, 1, CUT_HOLE_MIN);
	e[0] = e[1];
	e[1] = (struct extent){ .len = CUT_HOLE_MIN, .address = below_ref.address };
	ref = hostile(&set, 1, e, 2, n + CUT_HOLE_MIN);
	c = index_cursor_new(&set.source, &ref);
	assert_int_equal(index_cursor_next(c, &got), 1);
	assert_int_equal(index_cursor_next(c, &got), 1);
	assert_int_equal(index_cursor_next(c, &got), -EBADMSG);
	index_cursor_free(c);
	chunkset_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_root_of_a_known_list_has_a_known_address),
		cmocka_unit_test(files_of_at_most_one_chunk_have_no_index),
		cmocka_unit_test(every_entry_is_found_and_walked_to_in_order),
		cmocka_unit_test(a_call_that_must_wait_can_be_made_again),
		cmocka_unit_test(holes_that_touch_are_one_and_short_ones_are_refused),
		cmocka_unit_test(keeping_ranges_gives_what_adding_their_entries_gives),
		cmocka_unit_test(a_hole_joins_the_one_that_a_kept_subtree_begins_with),
		cmocka_unit_test(a_range_that_is_not_at_boundaries_is_refused),
		cmocka_unit_test(an_edit_in_a_million_entries_loads_and_writes_only_paths),
		cmocka_unit_test(hostile_leaves_are_refused),
		cmocka_unit_test(hostile_nodes_above_the_leaves_are_refused),
	};

	return suite_run(tests);
}
