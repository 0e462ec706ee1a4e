/* Nodes' headers, and the shape of trees, with a type of entries made for the test. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/node.h"
#include "tests/lib/chunkset.h"
#include "tests/lib/suite.h"

/* An entry is a le64 and an address; it ends a node where the first byte of the latter is < 64. */
#define ENTRY 40

static size_t parent(const struct node_header *node, const uint8_t *entries, size_t first_len,
    const struct address *address, uint8_t *out)
{
	(void)entries;
	assert_int_equal(first_len, ENTRY);
	put_le64(out, node->total);
	memcpy(out + 8, address->b, ADDRESS_LEN);
	return ENTRY;
}

static void child(const uint8_t *entry, size_t len, struct address *out)
{
	assert_int_equal(len, ENTRY);
	memcpy(out->b, entry + 8, ADDRESS_LEN);
}

static bool ends(unsigned int level, const uint8_t *entry, size_t len)
{
	(void)level;
	(void)len;
	return entry[8] < 64;
}

static const struct node_type type = {
	.kind = KIND_INDEX,
	.magic = { 't', 'e', 's', 't' },
	.entries_min = 4,
	.entries_max = 12,
	.bytes_max = 10 * ENTRY,
	.parent = parent,
	.child = child,
	.ends = ends,
};

static void entry_of(uint64_t n, uint8_t out[ENTRY])
{
	struct address a;

	address_of(KIND_DATA, &n, sizeof(n), &a);
	put_le64(out, 1);
	memcpy(out + 8, a.b, ADDRESS_LEN);
}

struct root {
	unsigned int level;
	struct address address;
	uint64_t total;
};

static struct root build(struct chunkset *set, uint64_t from, uint64_t to)
{
	struct builder *b = builder_new(&type, &set->sink);
	uint8_t entry[ENTRY];
	struct root root;

	for (uint64_t n = from; n < to; n++) {
		entry_of(n, entry);
		assert_int_equal(builder_add(b, 0, entry, ENTRY, 1), 0);
	}
	assert_int_equal(builder_finish(b, &root.level, &root.address, &root.total), 0);
	builder_free(b);
	return root;
}

/* What a walk below a node has found. */
struct walk {
	struct chunkset *set;
	uint64_t next;		/* the entry that must come next */
};

static void walk(struct walk *w, const struct address *a, unsigned int level, bool last)
{
	struct chunk *chunk = chunkset_get(w->set, KIND_INDEX, a);
	struct node_header h;
	const uint8_t *entries;
	uint64_t from = w->next;

	assert_non_null(chunk);
	assert_int_equal(node_open(&type, chunk, &h, &entries), 0);
	assert_int_equal(h.level, level);
	assert_true(h.entries > 0 && h.entries <= 10);
	for (uint32_t i = 0; i < h.entries; i++) {
		const uint8_t *e = entries + i * ENTRY;
		struct address below;

		if (level > 0) {
			child(e, ENTRY, &below);
			walk(w, &below, level - 1, last && i + 1 == h.entries);
		} else {
			uint8_t expected[ENTRY];

			entry_of(w->next++, expected);
			assert_memory_equal(e, expected, ENTRY);
		}
		if (i + 1 < h.entries)
			assert_false(i + 1 >= 4 && ends(level, e, ENTRY));
		else if (!last)
			assert_true(builder_ended(&type, level, e, ENTRY, &h));
	}
	assert_int_equal(w->next - from, h.total);
}

static void a_tree_of_any_size_has_all_entries_in_nodes_that_end_by_content(void **state)
{
	struct chunkset set;

	(void)state;
	chunkset_init(&set);
	for (uint64_t n = 1; n < 700; n++) {
		struct root root = build(&set, 0, n);
		struct walk w = { .set = &set };
		struct node_header h;
		const uint8_t *entries;

		assert_int_equal(root.total, n);
		walk(&w, &root.address, root.level, true);
		assert_int_equal(w.next, n);
		assert_int_equal(node_open(&type, chunkset_get(&set, KIND_INDEX, &root.address), &h,
		    &entries), 0);
		if (root.level > 0)
			assert_true(h.entries > 1);
	}
	chunkset_free(&set);
}

static void an_empty_tree_is_an_empty_leaf(void **state)
{
	struct chunkset set;
	struct root root;
	struct node_header h;
	const uint8_t *entries;

	(void)state;
	chunkset_init(&set);
	root = build(&set, 0, 0);
	assert_int_equal(root.level, 0);
	assert_int_equal(root.total, 0);
	assert_int_equal(node_open(&type, chunkset_get(&set, KIND_INDEX, &root.address), &h,
	    &entries), 0);
	assert_int_equal(h.entries, 0);
	chunkset_free(&set);
}

/* Copy the entries of a tree, taking over nodes that have ended of at most level ${most}. */
static void copy(struct builder *b, struct chunkset *set, const struct address *a,
    unsigned int most)
{
	struct node_header h;
	const uint8_t *entries;

	assert_int_equal(node_open(&type, chunkset_get(set, KIND_INDEX, a), &h, &entries), 0);
	for (uint32_t i = 0; i < h.entries; i++) {
		const uint8_t *e = entries + i * ENTRY, *below_entries;
		struct address below;
		struct node_header below_h;

		if (h.level == 0) {
			assert_int_equal(builder_add(b, 0, e, ENTRY, 1), 0);
			continue;
		}
		child(e, ENTRY, &below);
		assert_int_equal(node_open(&type, chunkset_get(set, KIND_INDEX, &below), &below_h,
		    &below_entries), 0);
		if (h.level <= most && builder_fresh(b, h.level) &&
		    builder_ended(&type, h.level - 1u,
			below_entries + (below_h.entries - 1) * ENTRY, ENTRY, &below_h))
			assert_int_equal(builder_add(b, h.level, e, ENTRY, get_le64(e)), 0);
		else
			copy(b, set, &below, most);
	}
}

static void taking_over_subtrees_gives_the_tree_of_all_entries(void **state)
{
	struct chunkset set;

	(void)state;
	chunkset_init(&set);
	for (uint64_t n = 1; n < 400; n += 3) {
		for (uint64_t before = 0; before < 9; before += 2) {
			struct root old = build(&set, 100, 100 + n);
			struct root whole = build(&set, 100 - before, 100 + n), got;
			struct builder *b = builder_new(&type, &set.sink);
			uint8_t entry[ENTRY];

			for (uint64_t i = 100 - before; i < 100; i++) {
				entry_of(i, entry);
				assert_int_equal(builder_add(b, 0, entry, ENTRY, 1), 0);
			}
			copy(b, &set, &old.address, (unsigned int)(n % 5));
			assert_int_equal(builder_finish(b, &got.level, &got.address, &got.total), 0);
			builder_free(b);
			assert_int_equal(got.level, whole.level);
			assert_int_equal(got.total, whole.total);
			assert_true(address_equal(&got.address, &whole.address));
		}
	}
	chunkset_free(&set);
}

static void a_subtree_that_is_all_there_is_becomes_the_root(void **state)
{
	struct chunkset set;
	struct builder *b;
	struct address a;
	uint8_t entry[ENTRY];
	unsigned int level;
	uint64_t total;

	(void)state;
	chunkset_init(&set);
	b = builder_new(&type, &set.sink);
	entry_of(7, entry);
	assert_int_equal(builder_add(b, 5, entry, ENTRY, 12345), 0);
	assert_int_equal(builder_finish(b, &level, &a, &total), 0);
	builder_free(b);
	assert_int_equal(level, 4);
	assert_int_equal(total, 12345);
	assert_memory_equal(a.b, entry + 8, ADDRESS_LEN);
	assert_int_equal(set.puts, 0);
	chunkset_free(&set);
}

static void a_subtree_behind_an_open_node_is_refused(void **state)
{
	struct chunkset set;
	struct builder *b;
	uint8_t entry[ENTRY];

	(void)state;
	chunkset_init(&set);
	b = builder_new(&type, &set.sink);
	entry_of(1, entry);
	assert_true(builder_fresh(b, NODE_LEVELS - 1));
	assert_int_equal(builder_add(b, 0, entry, ENTRY, 1), 0);
	assert_true(builder_fresh(b, 0));
	assert_false(builder_fresh(b, 1));
	assert_int_equal(builder_add(b, 1, entry, ENTRY, 1), -EINVAL);
	builder_free(b);

	b = builder_new(&type, &set.sink);
	assert_int_equal(builder_add(b, NODE_LEVELS, entry, ENTRY, 1), -EINVAL);
	builder_free(b);

	b = builder_new(&type, &set.sink);
	assert_int_equal(builder_add(b, 0, entry, ENTRY, UINT64_MAX), 0);
	assert_int_equal(builder_add(b, 0, entry, ENTRY, 1), -EINVAL);
	builder_free(b);
	builder_free(NULL);
	chunkset_free(&set);
}

static void a_header_is_laid_out_as_documented_and_nothing_else_is_taken(void **state)
{
	static const uint8_t good[] = {
		't', 'e', 's', 't', 1, 3, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,
		9, 8, 7, 6, 5, 4, 3, 2, 'a', 'b', 'c',
	};
	/* Offset and value of each byte that is wrong by itself. */
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {
		{ 0, 'T' }, { 3, 0 }, { 4, 0 }, { 4, 2 }, { 5, NODE_LEVELS }, { 5, 255 }, { 6, 1 },
		{ 7, 1 }, { 8, 0 }, { 8, 4 }, { 8, 13 }, { 11, 1 }, { 12, 2 }, { 12, 4 }, { 15, 1 },
	};
	struct node_header h;
	const uint8_t *entries;
	uint8_t out[NODE_HEADER_LEN];

	(void)state;
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t *data;
		struct chunk *c = chunk_new(sizeof(good), &data);

		memcpy(data, good, sizeof(good));
		if (i > 0) {
			data[bad[i - 1].at] = bad[i - 1].value;
			assert_int_equal(node_open(&type, c, &h, &entries), -EBADMSG);
		} else {
			assert_int_equal(node_open(&type, c, &h, &entries), 0);
			assert_ptr_equal(entries, c->data + NODE_HEADER_LEN);
			assert_int_equal(h.level, 3);
			assert_int_equal(h.entries, 2);
			assert_int_equal(h.entries_len, 3);
			assert_true(h.total == UINT64_C(0x0203040506070809));
			node_header_encode(&type, &h, out);
			assert_memory_equal(out, good, NODE_HEADER_LEN);
		}
		chunk_drop(c);
	}
	for (size_t len = 0; len < sizeof(good); len++) {
		struct chunk *c = chunk_copy(good, len);

		assert_int_equal(node_open(&type, c, &h, &entries), -EBADMSG);
		chunk_drop(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_of_any_size_has_all_entries_in_nodes_that_end_by_content),
		cmocka_unit_test(an_empty_tree_is_an_empty_leaf),
		cmocka_unit_test(taking_over_subtrees_gives_the_tree_of_all_entries),
		cmocka_unit_test(a_subtree_that_is_all_there_is_becomes_the_root),
		cmocka_unit_test(a_subtree_behind_an_open_node_is_refused),
		cmocka_unit_test(a_header_is_laid_out_as_documented_and_nothing_else_is_taken),
	};

	return suite_run(tests);
}
