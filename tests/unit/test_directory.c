/* Directories read: lookup, cursor, golden addresses, and what hostile nodes get. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/directory.h"
#include "chunker/node.h"
#include "tests/lib/change_list.h"
#include "tests/lib/chunkset.h"
#include "tests/lib/suite.h"

#define MANY 120000	/* names: three levels */
#define NAME_SIZE 12

static struct chunkset set;
static char (*names)[NAME_SIZE];
static struct ref many;
static unsigned int many_nodes;

static struct ref make(const struct change *v, size_t n)
{
	struct change_list list;
	struct ref out;

	change_list_init(&list, v, n);
	assert_int_equal(directory_update(&set.source, &set.sink, NULL, &list.changes, &out), 0);
	return out;
}

static int begin(void **state)
{
	struct change *v = malloc(MANY * sizeof(*v));

	(void)state;
	names = malloc(MANY * sizeof(*names));
	assert_true(v && names);
	chunkset_init(&set);
	for (size_t i = 0; i < MANY; i++) {
		snprintf(names[i], NAME_SIZE, "f%08zu", i);
		v[i] = change_list_file(names[i], strlen(names[i]), i);
	}
	many = make(v, MANY);
	many_nodes = set.puts;
	free(v);
	return 0;
}

static int end(void **state)
{
	(void)state;
	chunkset_free(&set);
	free(names);
	return 0;
}

static void assert_lookup(const struct ref *ref, const char *name, int expected, uint64_t size)
{
	struct chunk *holder = NULL;
	struct entry e;
	int rc = directory_lookup(&set.source, ref, name, strlen(name), &e, &holder);

	assert_int_equal(rc, expected);
	if (rc != 0)
		return;
	assert_int_equal(e.name_len, strlen(name));
	assert_memory_equal(e.name, name, e.name_len);
	assert_int_equal(e.size, size);
	chunk_drop(holder);
}

static void a_lookup_loads_one_node_a_level(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i += 997) {
		set.gets = 0;
		assert_lookup(&many, names[i], 0, i);
		assert_int_equal(set.gets, 3);
	}
	assert_lookup(&many, names[MANY - 1], 0, MANY - 1);
}

static void what_is_not_there_is_enoent(void **state)
{
	static const char *const absent[] = {
		"e", "f", "f00000000x", "f0000000", "f00119999x", "f99999999", "g", "\1", "\xff",
		"", ".", "..", "f/", "/",
	};
	char too_long[NAME_LEN_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
		assert_lookup(&many, absent[i], -ENOENT, 0);
	memset(too_long, 'f', sizeof too_long);
	too_long[NAME_LEN_MAX + 1] = '\0';
	assert_lookup(&many, too_long, -ENOENT, 0);
}

static void a_cursor_walks_all_names_in_order_and_loads_each_node_once(void **state)
{
	struct directory_cursor *c = directory_cursor_new(&set.source, &many);
	struct entry e;

	(void)state;
	assert_non_null(c);
	set.gets = 0;
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(directory_cursor_next(c, &e), 1);
		assert_memory_equal(e.name, names[i], e.name_len);
		assert_int_equal(e.size, i);
	}
	assert_int_equal(directory_cursor_next(c, &e), 0);
	assert_int_equal(directory_cursor_next(c, &e), 0);
	assert_int_equal(set.gets, many_nodes);
	directory_cursor_free(c);
}

static void a_seek_loads_one_node_a_level(void **state)
{
	struct directory_cursor *c = directory_cursor_new(&set.source, &many);
	struct entry e;
	uint64_t n = 0;

	(void)state;
	assert_non_null(c);
	for (int i = 0; i < 2000; i++) {
		n = i % 3 ? (n * 7919 + 12345) % MANY : i % 2 ? n - n % 2 : (n + 1) % MANY;
		set.gets = 0;
		assert_int_equal(directory_cursor_seek(c, n), 0);
		assert_int_equal(directory_cursor_next(c, &e), 1);
		assert_int_equal(e.size, n);
		assert_true(set.gets <= 3);
	}
	assert_int_equal(directory_cursor_seek(c, MANY), 0);
	assert_int_equal(directory_cursor_next(c, &e), 0);
	assert_int_equal(directory_cursor_seek(c, UINT64_MAX), 0);
	assert_int_equal(directory_cursor_next(c, &e), 0);
	assert_int_equal(directory_cursor_seek(c, 0), 0);
	assert_int_equal(directory_cursor_next(c, &e), 1);
	assert_int_equal(e.size, 0);
	directory_cursor_free(c);
}

/* Every chunk is missing when first asked for. */
static void a_cursor_goes_on_after_eagain(void **state)
{
	struct directory_cursor *c = directory_cursor_new(&set.source, &many);
	unsigned int again = 0;
	struct entry e;
	int rc;

	(void)state;
	assert_non_null(c);
	set.shy = true;
	assert_int_equal(directory_cursor_seek(c, 60000), 0);
	for (size_t i = 60000; i < MANY + 60000; i++) {
		if (i == MANY) {
			assert_int_equal(directory_cursor_next(c, &e), 0);
			assert_int_equal(directory_cursor_seek(c, 0), 0);
		}
		while ((rc = directory_cursor_next(c, &e)) == -EAGAIN)
			again++;
		assert_int_equal(rc, 1);
		assert_int_equal(e.size, i % MANY);
	}
	set.shy = false;
	assert_true(again > MANY / 1000);
	directory_cursor_free(c);
}

static void a_missing_chunk_is_told_as_it_is(void **state)
{
	struct ref gone = many;
	struct directory_cursor *c;
	struct entry e;

	(void)state;
	gone.address.b[0] ^= 1;
	assert_lookup(&gone, "f", -ENOENT, 0);
	c = directory_cursor_new(&set.source, &gone);
	assert_non_null(c);
	assert_int_equal(directory_cursor_next(c, &e), -ENOENT);
	directory_cursor_free(c);
}

static void assert_address(const struct ref *r, const char *text)
{
	char found[ADDRESS_TEXT_LEN + 1];

	address_format(&r->address, found);
	assert_string_equal(found, text);
}

/* Computed by another program, in another language, from the description of the format. */
static void addresses_are_the_documented_ones(void **state)
{
	struct change three[] = {
		change_list_file("a", 1, 0), change_list_file("b", 1, 1), change_list_file("bb", 2, 2),
	};
	struct ref r = make(NULL, 0);

	(void)state;
	assert_int_equal(r.size, 0);
	assert_address(&r, "68a321e4107eb114c1cafbfc94a680ad3c4ab6b65286ce34da46c5b24e49093d");
	r = make(three, 3);
	assert_int_equal(r.size, 3);
	assert_address(&r, "4e8b3ca35967b9223ffa424488781565baced4b4a8e56a09dbdad016e7291077");
	assert_int_equal(many.size, MANY);
	assert_address(&many, "e2dc6cd42e11d30b4d6f6599d127752b87dbb1aa5c38fda523d3e7e358bfdf1b");
}

/* Nodes made by hand. */
static uint8_t node[CHUNK_MAX];
static size_t node_len;
static uint32_t node_entries;

static void node_begin(void)
{
	node_len = NODE_HEADER_LEN;
	node_entries = 0;
}

static void node_leaf_item(const char *name)
{
	struct change c = change_list_file(name, strlen(name), 1);
	int len = entry_encode(&c.entry, node + node_len, sizeof node - node_len);

	assert_true(len > 0);
	node_len += (size_t)len;
	node_entries++;
}

static void node_upper_item(const char *first, const struct ref *child)
{
	size_t n = strlen(first);

	node[node_len] = (uint8_t)n;
	memcpy(node + node_len + 1, first, n);
	put_le64(node + node_len + 1 + n, child->size);
	memcpy(node + node_len + 9 + n, child->address.b, ADDRESS_LEN);
	node_len += 41 + n;
	node_entries++;
}

static struct ref node_end(unsigned int level, uint64_t total)
{
	struct ref r = { .hash = HASH_BLAKE2B_256, .kind = KIND_DIRECTORY, .size = total };

	memcpy(node, "dhtd\1", 5);
	node[5] = (uint8_t)level;
	put_le16(node + 6, 0);
	put_le32(node + 8, node_entries);
	put_le32(node + 12, (uint32_t)(node_len - NODE_HEADER_LEN));
	put_le64(node + 16, total);
	chunkset_add(&set, KIND_DIRECTORY, node, node_len, &r.address);
	return r;
}

static struct ref leaf_of(const char *a, const char *b)
{
	node_begin();
	node_leaf_item(a);
	if (b)
		node_leaf_item(b);
	return node_end(0, node_entries);
}

static struct ref root_of(unsigned int level, const char *a, struct ref left, const char *b,
    struct ref right)
{
	node_begin();
	node_upper_item(a, &left);
	node_upper_item(b, &right);
	return node_end(level, left.size + right.size);
}

/* Reads all of a directory in each way there is; all must come to the same end. */
static void assert_reads(const struct ref *ref, int expected)
{
	struct change touch = change_list_file("p", 1, 7);
	struct directory_cursor *c = directory_cursor_new(&set.source, ref);
	struct change_list list;
	struct chunk *holder;
	struct entry e;
	struct ref out;
	int rc;

	assert_non_null(c);
	while ((rc = directory_cursor_next(c, &e)) > 0)
		;
	directory_cursor_free(c);
	assert_int_equal(rc, expected);
	rc = directory_lookup(&set.source, ref, "p", 1, &e, &holder);
	if (rc == 0)
		chunk_drop(holder);
	assert_int_equal(rc, expected);
	change_list_init(&list, &touch, 1);
	rc = directory_update(&set.source, &set.sink, ref, &list.changes, &out);
	assert_int_equal(rc, expected);
}

static void assert_bad(struct ref ref)
{
	assert_reads(&ref, -EBADMSG);
}

/* All faults below are in the path to "p", so that every reader meets them. */
static void well_formed_nodes_by_hand_are_read(void **state)
{
	struct ref r = leaf_of("a", "p"), low;

	(void)state;
	assert_reads(&r, 0);
	r = root_of(1, "a", leaf_of("a", "b"), "p", leaf_of("p", "q"));
	assert_reads(&r, 0);
	low = root_of(1, "a", leaf_of("a", "b"), "c", leaf_of("c", "d"));
	r = root_of(2, "a", low, "e", root_of(1, "e", leaf_of("e", "f"), "p", leaf_of("p", "q")));
	assert_reads(&r, 0);
}

static void leaves_out_of_order_are_refused(void **state)
{
	(void)state;
	assert_bad(leaf_of("p", "a"));
	assert_bad(leaf_of("p", "p"));
	assert_bad(leaf_of("pp", "p"));
}

static void counts_and_lengths_that_are_off_are_refused(void **state)
{
	struct ref r = leaf_of("a", "p");

	(void)state;
	r.size = 1;
	assert_bad(r);
	r.size = UINT64_MAX;
	assert_bad(r);
	leaf_of("a", "p");
	assert_bad(node_end(0, 3));
	assert_bad(node_end(0, 1));
	node_entries = 1;
	assert_bad(node_end(0, 2));
	node_entries = 3;
	assert_bad(node_end(0, 2));
	node_entries = 2;
	node_len--;
	assert_bad(node_end(0, 2));
	node_len += 2;
	assert_bad(node_end(0, 2));
	leaf_of("a", "p");
	put_le16(node + NODE_HEADER_LEN, UINT16_MAX);
	assert_bad(node_end(0, 2));
	put_le16(node + NODE_HEADER_LEN, 0);
	assert_bad(node_end(0, 2));
}

static void bad_names_and_entries_are_refused(void **state)
{
	struct ref bad_nsec;

	(void)state;
	leaf_of("a", "p");
	node[NODE_HEADER_LEN + 40] = '.';
	assert_bad(node_end(0, 2));
	node[NODE_HEADER_LEN + 40] = '/';
	assert_bad(node_end(0, 2));
	node[NODE_HEADER_LEN + 40] = '\0';
	assert_bad(node_end(0, 2));
	node_begin();
	node_leaf_item("p");
	node[NODE_HEADER_LEN + 32 + 3] = 0xff;
	bad_nsec = node_end(0, 1);
	assert_lookup(&bad_nsec, "p", -EBADMSG, 0);
}

static void an_update_copies_no_malformed_entry(void **state)
{
	struct change touch = change_list_file("p", 1, 7);
	struct change_list list;
	struct ref r, out;

	(void)state;
	leaf_of("a", "p");
	node[NODE_HEADER_LEN + 32 + 3] = 0xff;
	r = node_end(0, 2);
	change_list_init(&list, &touch, 1);
	assert_int_equal(directory_update(&set.source, &set.sink, &r, &list.changes, &out),
	    -EBADMSG);
}

static void levels_that_do_not_fall_by_one_are_refused(void **state)
{
	struct ref a = leaf_of("a", "b"), p = leaf_of("p", "q");

	(void)state;
	assert_bad(root_of(2, "a", a, "p", p));
	assert_bad(root_of(NODE_LEVELS, "a", a, "p", p));
	assert_bad(root_of(1, "a", a, "p", root_of(1, "p", p, "r", leaf_of("r", "s"))));
	assert_bad(root_of(0, "a", a, "p", p));
}

static void children_that_contradict_their_parent_are_refused(void **state)
{
	struct ref a = leaf_of("a", "b"), p = leaf_of("p", "q"), wrong = p;

	(void)state;
	assert_bad(root_of(1, "a", a, "o", p));
	assert_bad(root_of(1, "a", a, "p", leaf_of("pa", "q")));
	assert_bad(root_of(1, "p", p, "q", leaf_of("q", "r")));
	assert_bad(root_of(1, "p", p, "a", a));
	assert_bad(root_of(1, "p", p, "p", p));
	wrong.size = 1;
	assert_bad(root_of(1, "a", a, "p", wrong));
	wrong.size = 3;
	assert_bad(root_of(1, "a", a, "p", wrong));
	wrong.size = 0;
	assert_bad(root_of(1, "a", a, "p", wrong));
}

static void sums_that_wrap_or_are_absurd_are_refused(void **state)
{
	struct ref a = leaf_of("a", "b"), c = a, p = leaf_of("p", "q");

	(void)state;
	a.size = UINT64_MAX;
	c.size = 1;
	node_begin();
	node_upper_item("a", &a);
	node_upper_item("c", &c);
	node_upper_item("p", &p);
	assert_bad(node_end(1, 2));
	a.size = (uint64_t)INT64_MAX - 1;
	assert_bad(root_of(1, "a", a, "p", p));
}

/* The first entry ends before its name, which is then the first byte of the next. */
static void a_name_outside_its_entry_is_refused(void **state)
{
	(void)state;
	leaf_of("a", "p");
	memmove(node + NODE_HEADER_LEN + 40, node + NODE_HEADER_LEN + 89, 89);
	assert_int_equal(node[NODE_HEADER_LEN + 40], 89);
	put_le16(node + NODE_HEADER_LEN, 40);
	node_len -= 49;
	assert_bad(node_end(0, 2));
}

static void a_root_with_one_child_is_refused(void **state)
{
	struct ref p = leaf_of("p", "q");

	(void)state;
	node_begin();
	node_upper_item("p", &p);
	assert_bad(node_end(1, 2));
}

static void a_ref_of_something_else_is_refused(void **state)
{
	struct ref r = leaf_of("a", "p");

	(void)state;
	r.kind = KIND_DATA;
	assert_bad(r);
	r.kind = KIND_DIRECTORY;
	r.hash = 2;
	assert_bad(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lookup_loads_one_node_a_level),
		cmocka_unit_test(what_is_not_there_is_enoent),
		cmocka_unit_test(a_cursor_walks_all_names_in_order_and_loads_each_node_once),
		cmocka_unit_test(a_seek_loads_one_node_a_level),
		cmocka_unit_test(a_cursor_goes_on_after_eagain),
		cmocka_unit_test(a_missing_chunk_is_told_as_it_is),
		cmocka_unit_test(addresses_are_the_documented_ones),
		cmocka_unit_test(well_formed_nodes_by_hand_are_read),
		cmocka_unit_test(leaves_out_of_order_are_refused),
		cmocka_unit_test(counts_and_lengths_that_are_off_are_refused),
		cmocka_unit_test(bad_names_and_entries_are_refused),
		cmocka_unit_test(an_update_copies_no_malformed_entry),
		cmocka_unit_test(levels_that_do_not_fall_by_one_are_refused),
		cmocka_unit_test(children_that_contradict_their_parent_are_refused),
		cmocka_unit_test(sums_that_wrap_or_are_absurd_are_refused),
		cmocka_unit_test(a_name_outside_its_entry_is_refused),
		cmocka_unit_test(a_root_with_one_child_is_refused),
		cmocka_unit_test(a_ref_of_something_else_is_refused),
	};

	return suite_run_with(tests, begin, end);
}
