/*
 * Directories changed: whatever the old tree was, the new one must be the tree that writing all
 * names anew gives, and making it must touch the changed paths only.  SEED=n replays the random
 * part; SOAK=1 makes it longer.
 */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "chunker/bytes.h"
#include "chunker/directory.h"
#include "chunker/node.h"
#include "chunker/xattrs.h"
#include "tests/lib/change_list.h"
#include "tests/lib/chunkset.h"
#include "tests/lib/suite.h"

static uint64_t seed;

static uint64_t rnd(void)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return (size_t)(rnd() % n);
}

/*
 * A model: all names that can occur, in order, and which version of each is there (0: none).
 * A version tells everything about the entry.
 */
struct model_name {
	uint16_t len;
	uint8_t bytes[NAME_LEN_MAX];
	unsigned int version;
	unsigned int next;	/* after the change that is being made */
};

struct model {
	struct model_name *v;
	size_t n;
	bool fat;		/* long symlinks and large xattrs: nodes end by their bytes */
	bool noisy;		/* with changes that change nothing */
};

static char target[SYMLINK_LEN_MAX];
static uint8_t xattrs[XATTRS_INLINE_MAX];

static bool ends_node(const uint8_t *name, size_t len)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t hash[crypto_shorthash_BYTES];

	crypto_shorthash(hash, name, len, key);
	return hash[0] == 0;
}

static int model_compare(const void *pa, const void *pb)
{
	const struct model_name *a = pa, *b = pb;
	int c = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

	return c != 0 ? c : a->len - b->len;
}

static void random_name(struct model_name *m, size_t len_min, size_t len_max)
{
	m->len = (uint16_t)(len_min + below(len_max - len_min + 1));
	for (size_t i = 0; i < m->len; i++)
		do
			m->bytes[i] = (uint8_t)(1 + below(255));
		while (m->bytes[i] == '/' || (i == 0 && m->bytes[i] == '.'));
}

/* ${per_cent} of the names end a node. */
static void model_init(struct model *m, size_t n, unsigned int per_cent, size_t len_min,
    size_t len_max, bool fat)
{
	*m = (struct model){ .v = calloc(n, sizeof(*m->v)), .fat = fat };
	assert_non_null(m->v);
	for (size_t i = 0; i < n; i++) {
		bool ends = below(100) < per_cent;

		do
			random_name(&m->v[i], len_min, len_max);
		while (ends_node(m->v[i].bytes, m->v[i].len) != ends);
	}
	qsort(m->v, n, sizeof(*m->v), model_compare);
	for (size_t i = 0; i < n; i++)
		if (m->n == 0 || model_compare(&m->v[m->n - 1], &m->v[i]) != 0)
			m->v[m->n++] = m->v[i];
}

static struct entry entry_of(const struct model *m, const struct model_name *name,
    unsigned int version)
{
	struct entry e = {
		.name = (const char *)name->bytes, .name_len = name->len, .uid = version,
		.mtime.sec = -(int64_t)version, .ctime.nsec = version % 1000000000,
	};
	unsigned int how = version % 4;

	e.mode = S_IFIFO | (version & 07777);
	if (how == 1) {
		e.mode = S_IFREG | 0644;
		e.ref = (struct ref){ HASH_BLAKE2B_256, KIND_INDEX, { { 0 } }, version };
		e.size = version;
	} else if (how == 2) {
		e.mode = S_IFLNK | 0777;
		e.target = target;
		e.size = m->fat ? SYMLINK_LEN_MAX - version % 100 : 1 + version % 50;
	} else if (how == 3 && m->fat) {
		e.xattrs = xattrs;
		e.xattrs_len = sizeof xattrs;
		e.link_id = version;
	}
	return e;
}

/* The changes from version to next, or (all) the names that are there next. */
static struct ref write_out(struct chunkset *set, struct model *m, const struct ref *old, bool all)
{
	struct change *changes = calloc(m->n + 1, sizeof(*changes));
	struct change_list list;
	struct ref out;
	size_t n = 0;

	assert_non_null(changes);
	for (size_t i = 0; i < m->n; i++) {
		struct model_name *name = &m->v[i];
		bool same = name->next == name->version;

		if (all ? name->next == 0 : same && !(m->noisy && below(64) == 0))
			continue;
		changes[n].removed = name->next == 0;
		changes[n++].entry = entry_of(m, name, name->next);
	}
	change_list_init(&list, changes, n);
	assert_int_equal(directory_update(&set->source, &set->sink, old, &list.changes, &out), 0);
	free(changes);
	return out;
}

static void assert_listed(struct chunkset *set, const struct model *m, const struct ref *ref)
{
	struct directory_cursor *c = directory_cursor_new(&set->source, ref);
	uint8_t want[ENTRY_LEN_MAX], have[ENTRY_LEN_MAX];
	struct entry e;

	assert_non_null(c);
	for (size_t i = 0; i < m->n; i++) {
		struct entry expected = entry_of(m, &m->v[i], m->v[i].version);
		int len;

		if (m->v[i].version == 0)
			continue;
		assert_int_equal(directory_cursor_next(c, &e), 1);
		len = entry_encode(&expected, want, sizeof want);
		assert_true(len > 0);
		assert_int_equal(entry_encode(&e, have, sizeof have), len);
		assert_memory_equal(want, have, (size_t)len);
	}
	assert_int_equal(directory_cursor_next(c, &e), 0);
	directory_cursor_free(c);
}

static void set_range(struct model *m, size_t from, size_t to, bool there)
{
	for (size_t i = from; i < to && i < m->n; i++)
		m->v[i].next = there ? (unsigned int)(1 + below(1000000)) : 0;
}

/* Think of the next versions. */
static void random_changes(struct model *m)
{
	size_t from = below(m->n), some = 1 + below(below(2) ? 4 : m->n);

	for (size_t i = 0; i < m->n; i++)
		m->v[i].next = m->v[i].version;
	switch (below(10)) {
	case 0:
		set_range(m, 0, m->n, below(4) > 0);
		break;
	case 1:
		set_range(m, from, from + some, false);
		break;
	case 2:
		set_range(m, from, from + some, true);
		break;
	case 3:		/* only the right edge stays, or only the left */
		set_range(m, below(2) ? 0 : some, below(2) ? m->n - some : m->n, false);
		break;
	case 4:
		set_range(m, m->n - some, m->n, below(2));
		break;
	case 5:		/* boundaries come or go */
		for (size_t i = from; i < from + some && i < m->n; i++)
			if (ends_node(m->v[i].bytes, m->v[i].len))
				set_range(m, i, i + 1, below(2));
		break;
	default:
		for (size_t i = 0; i < some % 50; i++) {
			from = below(m->n);
			set_range(m, from, from + 1 + below(3), below(3) > 0);
		}
	}
}

static unsigned int root_level(struct chunkset *set, const struct ref *ref)
{
	return chunkset_get(set, KIND_DIRECTORY, &ref->address)->data[5];
}

/* Returns the highest level that the tree reached. */
static unsigned int run_sequence(size_t n, unsigned int per_cent, size_t len_min, size_t len_max,
    bool fat, unsigned int steps)
{
	unsigned int top = 0;
	struct chunkset set;
	struct model m;
	struct ref ref, anew;
	bool first = true;

	chunkset_init(&set);
	model_init(&m, n, per_cent, len_min, len_max, fat);
	for (unsigned int i = 0; i < steps; i++) {
		uint64_t at = seed;

		if (first)
			set_range(&m, 0, m.n, true);
		else
			random_changes(&m);
		m.noisy = below(2);
		ref = write_out(&set, &m, first ? NULL : &ref, false);
		first = false;
		anew = write_out(&set, &m, NULL, true);
		if (!ref_equal(&ref, &anew))
			fail_msg("another tree at step %u, where the seed was %" PRIu64, i, at);
		for (size_t k = 0; k < m.n; k++)
			m.v[k].version = m.v[k].next;
		if (i % 8 == 0)
			assert_listed(&set, &m, &ref);
		if (root_level(&set, &ref) > top)
			top = root_level(&set, &ref);
	}
	free(m.v);
	chunkset_free(&set);
	return top;
}

static unsigned int times(unsigned int n)
{
#ifdef __SANITIZE_THREAD__
	/* It has no threads to look at here, and takes ten times as long. */
	return (n + 5) / 6;
#endif
	return getenv("SOAK") ? 20 * n : n;
}

static void small_directories_change_into_what_is_written_anew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < times(600); i++)
		run_sequence(1 + below(40), 10, 1, 20, below(2), 8);
}

static void leaves_that_end_by_hash_change_into_what_is_written_anew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < times(60); i++)
		run_sequence(1 + below(2000), (unsigned int)below(50), 1, 20, false, 20);
}

static void leaves_that_end_by_bytes_change_into_what_is_written_anew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < times(25); i++)
		run_sequence(1 + below(1000), (unsigned int)below(4), 2, 20, true, 20);
	for (unsigned int i = 0; i < times(2); i++)
		run_sequence(9000, 0, 3, 12, false, 20);
}

static void names_of_255_bytes_of_all_values_change_into_what_is_written_anew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < times(10); i++)
		run_sequence(1 + below(1500), (unsigned int)below(50), 255, 255, false, 20);
}

/* Nodes above leaves end too, by hash and by bytes. */
static void deep_directories_change_into_what_is_written_anew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < times(3); i++)
		assert_true(run_sequence(9000, 60, 2, 16, false, 40) >= 2);
	for (unsigned int i = 0; i < times(1); i++)
		assert_true(run_sequence(40000, 10, 240, 255, false, 10) >= 2);
}

/* The first ${n} names of the model, written anew. */
static struct ref write_first(struct chunkset *set, struct model *m, size_t n)
{
	for (size_t i = 0; i < m->n; i++)
		m->v[i].next = i < n ? 1 : 0;
	return write_out(set, m, NULL, true);
}

/*
 * The last node of a level can have a single entry.  With the first name that brings level 2 there
 * is one that lists one leaf of one name: when all other names go, that leaf is the root.
 */
static void a_chain_left_at_the_right_edge_shrinks_to_its_leaf(void **state)
{
	struct chunkset set;
	struct model m;
	struct ref old, ref, anew;
	size_t low = 1, high;

	(void)state;
	chunkset_init(&set);
	model_init(&m, 9000, 60, 2, 16, false);
	for (high = m.n; low < high;) {
		size_t n = low + (high - low) / 2;

		old = write_first(&set, &m, n);
		if (root_level(&set, &old) >= 2)
			high = n;
		else
			low = n + 1;
	}
	assert_true(low < m.n);
	for (size_t left = 1; left < 4; left++) {
		old = write_first(&set, &m, low + left - 1);
		assert_int_equal(root_level(&set, &old), 2);
		for (size_t i = 0; i < m.n; i++) {
			m.v[i].version = m.v[i].next;
			m.v[i].next = i < low - 1 ? 0 : m.v[i].version;
		}
		anew = write_out(&set, &m, NULL, true);
		assert_int_equal(root_level(&set, &anew), 0);
		for (int i = 0; i < 2; i++) {
			m.noisy = i;
			ref = write_out(&set, &m, &old, false);
			assert_true(ref_equal(&ref, &anew));
		}
		m.noisy = false;
	}
	free(m.v);
	chunkset_free(&set);
}

/* A directory of names made of a number, and one change in it. */
#define MILLION 1000000

static struct ref a_million(struct chunkset *set)
{
	struct change *v = calloc(MILLION, sizeof(*v));
	char (*names)[12] = calloc(MILLION, sizeof(*names));
	struct change_list list;
	struct ref out;

	assert_true(v && names);
	for (size_t i = 0; i < MILLION; i++) {
		snprintf(names[i], sizeof names[i], "f%08zu", i);
		v[i] = change_list_file(names[i], 9, i);
	}
	change_list_init(&list, v, MILLION);
	assert_int_equal(directory_update(&set->source, &set->sink, NULL, &list.changes, &out), 0);
	assert_int_equal(out.size, MILLION);
	free(v);
	free(names);
	return out;
}

static struct ref update_one(struct chunkset *set, const struct ref *old, struct change change)
{
	struct change_list list;
	struct ref out;

	change_list_init(&list, &change, 1);
	set->gets = set->puts = 0;
	assert_int_equal(directory_update(&set->source, &set->sink, old, &list.changes, &out), 0);
	return out;
}

static void one_change_in_a_million_names_touches_one_path(void **state)
{
	struct change c;
	struct chunkset set;
	struct ref old, new, back;
	uint64_t before = seed;
	char name[12];

	(void)state;
	chunkset_init(&set);
	seed = 1;	/* in other places a boundary can move two */
	old = a_million(&set);
	for (int i = 0; i < 200; i++) {
		size_t n = i < 1 ? 0 : i < 2 ? MILLION - 1 : below(MILLION);

		snprintf(name, sizeof name, "f%08zu", n);
		c = change_list_file(name, 9, n + 1);
		new = update_one(&set, &old, c);
		assert_int_equal(new.size, MILLION);
		assert_int_equal(set.gets, 3);
		assert_int_equal(set.puts, 3);

		/* Where a boundary comes or goes, up to one neighbour a level has to give way. */
		c.removed = true;
		new = update_one(&set, &old, c);
		assert_int_equal(new.size, MILLION - 1);
		assert_true(set.gets <= 6 && set.puts <= 6);
		c = change_list_file(name, 9, n);
		back = update_one(&set, &new, c);
		assert_true(ref_equal(&back, &old));
		assert_true(set.gets <= 6 && set.puts <= 6);
	}
	chunkset_free(&set);
	seed = before;
}

static void no_change_loads_nothing(void **state)
{
	struct chunkset set;
	struct change_list list;
	struct ref old = { HASH_BLAKE2B_256, KIND_DIRECTORY, { { 1 } }, 1 }, out;

	(void)state;
	chunkset_init(&set);
	change_list_init(&list, NULL, 0);
	assert_int_equal(directory_update(&set.source, &set.sink, &old, &list.changes, &out), 0);
	assert_true(ref_equal(&old, &out));
	assert_int_equal(set.gets + set.puts, 0);
	chunkset_free(&set);
}

static int failing_next(struct changes *c, struct change *out)
{
	static unsigned int calls;

	(void)c;
	*out = change_list_file("a", 1, 1);
	return calls++ == 0 ? 1 : -EIO;
}

static int full_put(struct sink *s, enum kind kind, const struct address *a, struct chunk *c)
{
	(void)s, (void)kind, (void)a, (void)c;
	return -ENOSPC;
}

static void errors_of_others_come_out_as_they_are(void **state)
{
	struct changes failing = { .next = failing_next };
	struct sink full = { .put = full_put };
	struct change a = change_list_file("a", 1, 1);
	struct change_list list;
	struct chunkset set;
	struct ref old, out;

	(void)state;
	chunkset_init(&set);
	assert_int_equal(directory_update(&set.source, &set.sink, NULL, &failing, &out), -EIO);
	change_list_init(&list, &a, 1);
	assert_int_equal(directory_update(&set.source, &full, NULL, &list.changes, &out), -ENOSPC);
	old = update_one(&set, NULL, a);
	set.shy = true;
	change_list_init(&list, &a, 1);
	assert_int_equal(directory_update(&set.source, &set.sink, &old, &list.changes, &out),
	    -EAGAIN);
	old.address.b[0] ^= 1;
	change_list_init(&list, &a, 1);
	assert_int_equal(directory_update(&set.source, &set.sink, &old, &list.changes, &out),
	    -ENOENT);
	chunkset_free(&set);
}

static void assert_invalid(struct change a, struct change b)
{
	struct change two[] = { a, b };
	struct change_list list;
	struct chunkset set;
	struct ref out;

	chunkset_init(&set);
	change_list_init(&list, two, 2);
	assert_int_equal(directory_update(&set.source, &set.sink, NULL, &list.changes, &out),
	    -EINVAL);
	chunkset_free(&set);
}

static void bad_changes_are_refused(void **state)
{
	struct change a = change_list_file("a", 1, 1), b = change_list_file("b", 1, 1), bad = b;

	(void)state;
	assert_invalid(b, a);
	assert_invalid(a, a);
	assert_invalid(change_list_file("aa", 2, 1), a);
	a.removed = true;
	assert_invalid(b, a);
	bad.entry.mode = 0;
	assert_invalid(a, bad);
	assert_invalid(a, change_list_file("b/", 2, 1));
	assert_invalid(a, change_list_file("", 0, 1));
}

static void removing_what_is_not_there_is_no_error(void **state)
{
	struct change c = change_list_file("a", 1, 1), gone = { .removed = true };
	struct chunkset set;
	struct ref empty, one, r;

	(void)state;
	chunkset_init(&set);
	gone.entry.name = "b";
	gone.entry.name_len = 1;
	empty = update_one(&set, NULL, gone);
	assert_int_equal(empty.size, 0);
	one = update_one(&set, &empty, c);
	r = update_one(&set, &one, gone);
	assert_true(ref_equal(&r, &one));
	gone.entry.name = "a";
	r = update_one(&set, &one, gone);
	assert_true(ref_equal(&r, &empty));
	chunkset_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_directories_change_into_what_is_written_anew),
		cmocka_unit_test(leaves_that_end_by_hash_change_into_what_is_written_anew),
		cmocka_unit_test(leaves_that_end_by_bytes_change_into_what_is_written_anew),
		cmocka_unit_test(names_of_255_bytes_of_all_values_change_into_what_is_written_anew),
		cmocka_unit_test(deep_directories_change_into_what_is_written_anew),
		cmocka_unit_test(a_chain_left_at_the_right_edge_shrinks_to_its_leaf),
		cmocka_unit_test(one_change_in_a_million_names_touches_one_path),
		cmocka_unit_test(no_change_loads_nothing),
		cmocka_unit_test(errors_of_others_come_out_as_they_are),
		cmocka_unit_test(bad_changes_are_refused),
		cmocka_unit_test(removing_what_is_not_there_is_no_error),
	};
	struct xattr x = { .name = "user.x", .name_len = 6, .value = (const uint8_t *)target };

	seed = suite_seed((uint64_t)time(NULL));
	memset(target, 't', sizeof target);
	x.value_len = XATTRS_INLINE_MAX - 11;
	xattr_encode(&x, xattrs);
	return suite_run(tests);
}
