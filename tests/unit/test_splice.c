/*
 * The property: whatever pieces of old files, new bytes and zeros a file is made of, splice
 * gives the ref that cutting its bytes from scratch gives, and every byte reads back.
 * SEED=n replays; SOAK=1 runs for a minute.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/cut.h"
#include "chunker/index.h"
#include "chunker/splice.h"
#include "tests/lib/chunkset.h"
#include "tests/lib/suite.h"

#define FILES	   3		/* that one sequence edits and clones between */
#define STEPS	   24		/* edits in a sequence */
#define DATA_MAX   (3u << 20)	/* bytes that are not in holes, before a file is cut back */
#define PIECES_MAX 8192

static uint64_t seed;

static uint64_t rnd(void)
{
	/* splitmix64, Steele, Lea & Flood (2014) */
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
	return n ? rnd() % n : 0;
}

/* What a file should hold: maximal runs of zeros that are holes, and the bytes between. */
struct run {
	uint64_t len;
	uint8_t *data;	/* NULL: a hole */
};

struct model {
	struct run *runs;
	size_t count;
	uint64_t size;
	struct ref ref;
};

static void model_free(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->runs[i].data);
	free(m->runs);
	*m = (struct model){ .size = 0 };
}

/* Bytes and zeros come in; zeros are held back until it is known whether they are a hole. */
struct modeller {
	struct model *m;
	uint8_t *data;
	size_t len, cap;
	uint64_t zeros;
};

static void model_push(struct model *m, uint8_t *data, uint64_t len)
{
	if ((m->count & (m->count - 1)) == 0)
		m->runs = realloc(m->runs, (m->count ? 2 * m->count : 1) * sizeof(*m->runs));
	assert_non_null(m->runs);
	m->runs[m->count++] = (struct run){ .len = len, .data = data };
	m->size += len;
}

static void model_bytes(struct modeller *b, const uint8_t *p, size_t n)
{
	if (b->len + n > b->cap) {
		b->cap = 2 * (b->len + n) + 4096;
		b->data = realloc(b->data, b->cap);
		assert_non_null(b->data);
	}
	if (p && n > 0)
		memcpy(b->data + b->len, p, n);
	else if (n > 0)
		memset(b->data + b->len, 0, n);
	b->len += n;
}

static void model_settle(struct modeller *b)
{
	if (b->zeros >= CUT_HOLE_MIN) {
		if (b->len > 0)
			model_push(b->m, b->data, b->len);
		model_push(b->m, NULL, b->zeros);
		if (b->len > 0) {
			b->data = NULL;
			b->len = b->cap = 0;
		}
	} else {
		model_bytes(b, NULL, (size_t)b->zeros);
	}
	b->zeros = 0;
}

static void model_add(struct modeller *b, const uint8_t *p, uint64_t n)
{
	if (!p) {
		b->zeros += n;
		return;
	}
	for (uint64_t i = 0, from; i < n;) {
		for (from = i; i < n && p[i] == 0; i++)
			b->zeros++;
		if (i == n)
			return;
		model_settle(b);
		/* Up to the next zero: memchr is much faster than a loop. */
		from = i;
		i = from + (uint64_t)((const uint8_t *)memchr(p + from, 0, n - from)
			? (const uint8_t *)memchr(p + from, 0, n - from) - (p + from)
			: (ptrdiff_t)(n - from));
		model_bytes(b, p + from, i - from);
	}
}

static void model_range(struct modeller *b, const struct model *m, uint64_t off, uint64_t len)
{
	uint64_t at = 0;

	for (size_t i = 0; i < m->count && len > 0; at += m->runs[i++].len) {
		const struct run *r = &m->runs[i];
		uint64_t skip, n;

		if (off >= at + r->len)
			continue;
		skip = off - at;
		n = r->len - skip < len ? r->len - skip : len;
		model_add(b, r->data ? r->data + skip : NULL, n);
		off += n;
		len -= n;
	}
}

static void model_end(struct modeller *b)
{
	model_settle(b);
	if (b->len > 0)
		model_push(b->m, b->data, b->len);
	else
		free(b->data);
}

/* The ref by the rules alone: holes are known, what lies between them is cut. */
static struct ref from_scratch(struct chunkset *set, const struct model *m)
{
	struct index_builder *b = index_builder_new(&set->sink);
	struct ref ref;

	for (size_t i = 0; i < m->count; i++) {
		const struct run *r = &m->runs[i];
		size_t len;

		if (!r->data)
			assert_int_equal(index_builder_hole(b, r->len), 0);
		for (size_t at = 0; r->data && at < r->len; at += len) {
			struct address a;

			assert_int_equal(cut(r->data + at, r->len - at, true, &len), CUT_DATA);
			address_of(KIND_DATA, r->data + at, len, &a);
			assert_int_equal(index_builder_data(b, (uint32_t)len, &a), 0);
		}
	}
	assert_int_equal(index_builder_finish(b, &ref), 0);
	index_builder_free(b);
	return ref;
}

static bool reads_back(struct chunkset *set, const struct model *m, const struct ref *ref)
{
	struct index_cursor *c = index_cursor_new(&set->source, ref);
	struct extent e;
	size_t i = 0;
	uint64_t at = 0;
	int rc;

	while ((rc = index_cursor_next(c, &e)) > 0) {
		const struct run *r = &m->runs[i];
		struct chunk *chunk;

		if (i >= m->count || e.off - at + e.len > r->len || e.hole != !r->data)
			break;
		if (e.hole) {
			if (e.len != r->len)
				break;
		} else {
			chunk = chunkset_get(set, KIND_DATA, &e.address);
			if (!chunk || chunk->len != e.len ||
			    memcmp(chunk->data, r->data + (e.off - at), e.len) != 0)
				break;
		}
		if (e.off + e.len == at + r->len)
			at += m->runs[i++].len;
	}
	index_cursor_free(c);
	return rc == 0 && i == m->count;
}

/* The pieces of an edit, and whose content they have. */
struct edit {
	struct pieces pieces;
	struct piece list[PIECES_MAX];
	const struct model *of[PIECES_MAX];
	size_t count, at;
};

static int edit_next(struct pieces *p, struct piece *out)
{
	struct edit *e = (struct edit *)((char *)p - offsetof(struct edit, pieces));

	if (e->at == e->count)
		return 0;
	*out = e->list[e->at++];
	return 1;
}

static void edit_push(struct edit *e, struct piece p, const struct model *of)
{
	if (p.len == 0 || e->count == PIECES_MAX)
		return;
	e->of[e->count] = of;
	e->list[e->count++] = p;
}

static void push_ref(struct edit *e, const struct model *of, const struct ref *ref, uint64_t off,
    uint64_t len)
{
	edit_push(e, (struct piece){ .type = PIECE_REF, .ref = *ref, .off = off, .len = len }, of);
}

static void push_chunk(struct edit *e, struct chunk *c, uint64_t off, uint64_t len)
{
	edit_push(e, (struct piece){ .type = PIECE_BYTES, .bytes = c, .off = off, .len = len }, NULL);
}

/* A range of a file, sometimes in several pieces that must behave as one. */
static void push_range(struct edit *e, const struct model *m, uint64_t off, uint64_t len)
{
	while (len > 0) {
		uint64_t n = below(4) ? len : 1 + below(len);

		push_ref(e, m, &m->ref, off, n);
		off += n;
		len -= n;
	}
}

static void push_zeros(struct edit *e, uint64_t len)
{
	edit_push(e, (struct piece){ .type = PIECE_ZEROS, .len = len }, NULL);
}

/* Lengths of every size, and often one at the edge of a rule. */
static uint64_t some_len(uint64_t max)
{
	static const uint64_t edges[] = {
		1, 4096, CUT_HOLE_MIN, CUT_MEAN, CUT_MAX, CUT_WINDOW, 131072,
	};
	uint64_t n;

	if (below(3) == 0)
		n = edges[below(sizeof(edges) / sizeof(edges[0]))] + below(3) - 1;
	else
		n = rnd() >> (44 + below(20));
	return n < max ? n : max;
}

static void fill(uint8_t *p, size_t n)
{
	unsigned int kind = (unsigned int)below(8);
	size_t period = 1 + below(300);

	if (kind < 2) {
		memset(p, kind == 0 ? 0 : (int)(1 + below(255)), n);
		return;
	}
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = rnd();

		memcpy(p + i, &v, n - i < 8 ? n - i : 8);
	}
	for (size_t i = period; kind == 2 && i < n; i++)
		p[i] = p[i - period];
	/* Runs of zeros inside, about as long as the shortest hole. */
	for (unsigned int i = 0; kind > 4 && i < kind - 4 && n > 0; i++) {
		size_t at = below(n), len = CUT_HOLE_MIN - 2 + below(5);

		if (below(2))
			len = some_len(n);
		memset(p + at, 0, len < n - at ? len : n - at);
	}
}

static void push_bytes(struct edit *e, uint64_t len)
{
	size_t before = below(100);
	uint8_t *data;
	struct chunk *c = chunk_new(before + len, &data);
	uint64_t at = 0;

	assert_non_null(c);
	memset(data, 0x55, before);
	fill(data + before, len);
	while (at < len) {
		uint64_t n = below(3) ? len - at : 1 + below(len - at);

		push_chunk(e, chunk_hold(c), before + at, n);
		at += n;
	}
	chunk_drop(c);
}

/* A place in a file: anywhere, at an end, or at or near the boundary of an entry. */
static uint64_t some_place(struct chunkset *set, const struct model *m)
{
	const int64_t hole = CUT_HOLE_MIN;
	const int64_t near[] = { 0, 1, -1, hole, -hole, hole + 1, hole - 1, -hole - 1 };
	uint64_t off = below(m->size + 1), way = below(4);
	struct extent e;

	if (m->size == 0 || way == 0)
		return off;
	if (way == 1)
		return below(2) ? m->size : 0;
	assert_int_equal(index_find(&set->source, &m->ref, off % m->size, &e), 0);
	off = e.off + (uint64_t)near[way == 2 ? 0 : below(8)];
	return off <= m->size ? off : e.off;
}

static void push_something(struct edit *e, struct chunkset *set, const struct model *files,
    bool sparse)
{
	const struct model *m = &files[below(FILES)];
	uint64_t off, n;

	switch (below(8)) {
	case 0:		/* nothing: what was there is left out */
		break;
	case 1:
		push_zeros(e, sparse ? rnd() >> (22 + below(40)) : some_len(1 << 20));
		break;
	case 2:		/* a clone */
		off = some_place(set, m);
		n = m->size - off;
		push_range(e, m, off, below(2) ? some_len(n) : below(n + 1));
		break;
	case 3:
		for (uint64_t i = below(200); i > 0; i--)
			push_bytes(e, 1 + below(20));
		break;
	default:
		push_bytes(e, some_len(512 * 1024));
	}
}

/* Copy a file with some ranges of it replaced. */
static void make_edit(struct edit *e, struct chunkset *set, const struct model *files,
    const struct model *m, bool sparse)
{
	uint64_t at = 0, count = below(4) ? 1 + below(3) : 1 + below(60);
	bool small = count > 3 && below(2);

	e->pieces.next = edit_next;
	e->count = e->at = 0;
	while (count-- > 0 && at < m->size) {
		uint64_t from = small ? at + below(1 << 17) : some_place(set, m);
		uint64_t before = e->count, n = 0;

		if (from < at || from > m->size)
			continue;
		push_range(e, m, at, from - at);
		if (small)
			push_bytes(e, 1 + below(4096));
		else
			push_something(e, set, files, sparse);
		/* An insertion, an overwrite, or a deletion as well. */
		for (size_t i = before; i < e->count; i++)
			n += e->of[i] == m ? 0 : e->list[i].len;
		n = below(4) ? n : below(4) ? some_len(m->size) : 0;
		at = n < m->size - from ? from + n : m->size;
	}
	if (below(16))
		push_range(e, m, at, m->size - at);
	if (m->size == 0 || below(4) == 0)
		push_something(e, set, files, sparse);
}

static void edit_free(struct edit *e)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->list[i].type == PIECE_BYTES)
			chunk_drop(e->list[i].bytes);
}

static uint64_t data_len(const struct model *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->count; i++)
		n += m->runs[i].data ? m->runs[i].len : 0;
	return n;
}

/* Splice an edit into a new file that has to be what its bytes say. */
static bool apply(struct edit *e, struct chunkset *set, struct model *out)
{
	struct modeller b = { .m = out };
	struct ref expected;
	int rc;

	*out = (struct model){ .size = 0 };
	for (size_t i = 0; i < e->count; i++) {
		const struct piece *p = &e->list[i];

		if (p->type == PIECE_REF)
			model_range(&b, e->of[i], p->off, p->len);
		else
			model_add(&b, p->bytes ? p->bytes->data + p->off : NULL, p->len);
	}
	model_end(&b);
	expected = from_scratch(set, out);
	rc = splice_all(&e->pieces, &set->source, &set->sink, &out->ref);
	if (rc < 0 || !ref_equal(&out->ref, &expected) || !reads_back(set, out, &out->ref)) {
		print_error("rc %d, size %ju, expected size %ju\n", rc, (uintmax_t)out->ref.size,
		    (uintmax_t)expected.size);
		return false;
	}
	return true;
}

/* What a file holds at first: nothing, bytes, or so many short runs that its index is deep. */
static void make_file(struct edit *e, bool sparse)
{
	uint64_t bytes = rnd() >> (42 + below(16)), runs = sparse ? below(PIECES_MAX / 4) : 0;

	e->pieces.next = edit_next;
	e->count = e->at = 0;
	while (below(8) > 0 && bytes > 0) {
		uint64_t n = 1 + below(bytes);

		push_bytes(e, n);
		bytes -= n;
	}
	while (runs-- > 0) {
		push_zeros(e, CUT_HOLE_MIN - (below(16) == 0) + (below(4) ? 0 : rnd() >> 24));
		push_bytes(e, 1 + below(below(32) ? 200 : 100000));
	}
}

static bool run_sequence(struct edit *e, bool sparse)
{
	struct model files[FILES] = { { .size = 0 } };
	struct chunkset set;
	bool ok = true;

	chunkset_init(&set);
	for (int i = 0; i < FILES; i++)
		ref_empty(&files[i].ref);
	for (int i = 0; ok && i < STEPS; i++) {
		struct model *m = &files[i < FILES ? (uint64_t)i : below(FILES)], new;

		if (i < FILES) {
			make_file(e, sparse);
		} else if (data_len(m) > DATA_MAX || m->size > (uint64_t)1 << 60) {
			e->pieces.next = edit_next;
			e->count = e->at = 0;
			push_range(e, m, below(m->size / 2), m->size / 4);
		} else {
			make_edit(e, &set, files, m, sparse);
		}
		ok = apply(e, &set, &new);
		edit_free(e);
		model_free(m);
		*m = new;
	}
	for (int i = 0; i < FILES; i++)
		model_free(&files[i]);
	chunkset_free(&set);
	return ok;
}

static struct edit edit;

static void edit_new(void)
{
	edit.pieces.next = edit_next;
	edit.count = edit.at = 0;
}

/* A file of random bytes that is in the set. */
static struct ref make_random(struct chunkset *set, size_t len)
{
	struct ref ref;
	uint8_t *data;
	struct chunk *c = chunk_new(len, &data);

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rnd();

		memcpy(data + i, &v, len - i < 8 ? len - i : 8);
	}
	edit_new();
	push_chunk(&edit, c, 0, len);
	assert_int_equal(splice_all(&edit.pieces, &set->source, &set->sink, &ref), 0);
	edit_free(&edit);
	edit_new();
	return ref;
}

static void pieces_that_continue_each_other_are_kept_as_one(void **state)
{
	struct chunkset set;
	struct splice *s;
	struct item item;
	struct ref ref;

	(void)state;
	chunkset_init(&set);
	ref = make_random(&set, 4 << 20);
	for (uint64_t at = 0; at < ref.size; at += 1024)
		push_ref(&edit, NULL, &ref, at, 1024);
	set.gets = 0;
	s = splice_new(&edit.pieces, &set.source);
	assert_int_equal(splice_next(s, &item), 1);
	assert_int_equal(item.type, ITEM_KEEP);
	assert_true(item.off == 0 && item.len == ref.size && ref_equal(&item.ref, &ref));
	assert_int_equal(splice_next(s, &item), 0);
	assert_int_equal(set.gets, 1);
	splice_free(s);
	splice_free(NULL);
	chunkset_free(&set);
}

static void new_bytes_are_sliced_and_not_copied(void **state)
{
	const size_t len = 1 << 20;
	struct chunkset set;
	struct splice *s;
	struct item item;
	struct chunk *pieces[8];
	unsigned int sliced = 0, copied = 0;

	(void)state;
	chunkset_init(&set);
	edit_new();
	for (int i = 0; i < 8; i++) {
		uint8_t *data;

		pieces[i] = chunk_new(len, &data);
		for (size_t k = 0; k < len; k += 8) {
			uint64_t v = rnd();

			memcpy(data + k, &v, 8);
		}
		push_chunk(&edit, pieces[i], 0, len);
	}
	s = splice_new(&edit.pieces, &set.source);
	while (splice_next(s, &item) > 0) {
		bool within = false;

		assert_int_equal(item.type, ITEM_CHUNK);
		for (int i = 0; i < 8; i++)
			within |= item.chunk->data >= pieces[i]->data &&
				  item.chunk->data < pieces[i]->data + len;
		sliced += within;
		copied += !within;
		chunk_drop(item.chunk);
	}
	/* Only what lies across two pieces. */
	assert_true(copied <= 7 + 3);
	assert_true(sliced > 7 * copied);
	splice_free(s);
	edit_free(&edit);
	chunkset_free(&set);
}

static void a_small_write_loads_and_cuts_a_few_chunks(void **state)
{
	struct chunkset set;
	struct ref ref, got;

	(void)state;
	seed = 11;
	chunkset_init(&set);
	ref = make_random(&set, 64 << 20);
	for (uint64_t off = 1 << 20; off < ref.size; off += 5555555) {
		edit_new();
		push_ref(&edit, NULL, &ref, 0, off);
		push_bytes(&edit, 4096);
		push_ref(&edit, NULL, &ref, off + 4096, ref.size - off - 4096);
		set.gets = set.puts = 0;
		assert_int_equal(splice_all(&edit.pieces, &set.source, &set.sink, &got), 0);
		edit_free(&edit);
		assert_true(set.gets < 30);
		assert_true(set.puts < 20);
	}
	chunkset_free(&set);
}

static void thousands_of_small_pieces_load_each_chunk_once(void **state)
{
	struct chunkset set;
	struct ref ref, got;

	(void)state;
	seed = 12;
	chunkset_init(&set);
	ref = make_random(&set, 200 * 4000);
	for (uint64_t off = 0; off < ref.size; off += 200) {
		push_ref(&edit, NULL, &ref, off, 199);
		push_bytes(&edit, 1);
	}
	set.gets = 0;
	assert_int_equal(splice_all(&edit.pieces, &set.source, &set.sink, &got), 0);
	assert_int_equal(got.size, ref.size);
	assert_true(set.gets < 40);
	edit_free(&edit);
	chunkset_free(&set);
}

static void a_tebibyte_made_of_clones_is_opened_by_its_path_alone(void **state)
{
	struct chunkset set;
	struct extent e;
	struct ref ref;

	(void)state;
	seed = 13;
	chunkset_init(&set);
	ref = make_random(&set, 64 << 20);
	while (ref.size < (uint64_t)1 << 40) {
		edit_new();
		push_ref(&edit, NULL, &ref, 0, ref.size);
		push_ref(&edit, NULL, &ref, 0, ref.size);
		set.gets = set.puts = 0;
		assert_int_equal(splice_all(&edit.pieces, &set.source, &set.sink, &ref), 0);
	}
	print_message("# the last doubling: %u chunks loaded, %u put\n", set.gets, set.puts);
	assert_true(set.gets < 60 && set.puts < 40);
	set.gets = 0;
	assert_int_equal(index_find(&set.source, &ref, ref.size / 3, &e), 0);
	assert_true(set.gets <= 4);
	assert_int_equal(e.off + e.len > ref.size / 3 && e.off <= ref.size / 3, true);
	chunkset_free(&set);
}

static int splice_list(struct chunkset *set, struct ref *out)
{
	int rc = splice_all(&edit.pieces, &set->source, &set->sink, out);

	edit_free(&edit);
	edit_new();
	return rc;
}

static void zeros_of_any_length_cost_nothing(void **state)
{
	const uint64_t huge = (uint64_t)1 << 62;
	struct chunkset set;
	struct extent e;
	struct ref ref, longer;

	(void)state;
	chunkset_init(&set);
	edit_new();
	push_zeros(&edit, huge);
	push_zeros(&edit, huge / 2);
	push_bytes(&edit, 3);
	assert_int_equal(splice_list(&set, &ref), 0);
	assert_true(ref.size == huge + huge / 2 + 3);
	assert_int_equal(index_find(&set.source, &ref, huge, &e), 0);
	assert_true(e.hole && e.off == 0 && e.len >= huge + huge / 2);

	push_ref(&edit, NULL, &ref, 0, ref.size);
	push_zeros(&edit, huge / 2 - 4);
	assert_int_equal(splice_list(&set, &longer), 0);
	assert_true(longer.size == INT64_MAX);
	push_ref(&edit, NULL, &ref, 0, ref.size);
	push_zeros(&edit, huge / 2 - 3);
	assert_int_equal(splice_list(&set, &longer), -EFBIG);
	chunkset_free(&set);
}

static void no_pieces_make_the_empty_file(void **state)
{
	struct chunkset set;
	struct ref ref, empty;

	(void)state;
	chunkset_init(&set);
	edit_new();
	ref_empty(&empty);
	assert_int_equal(splice_list(&set, &ref), 0);
	assert_true(ref_equal(&ref, &empty));
	chunkset_free(&set);
}

static int failing_next(struct pieces *p, struct piece *out)
{
	(void)p;
	(void)out;
	return -EIO;
}

static void what_is_wrong_with_pieces_or_chunks_is_said(void **state)
{
	struct pieces failing = { .next = failing_next };
	struct chunkset set, bare;
	struct chunk *c = chunk_copy("abc", 3);
	struct ref ref, got;
	struct address a;

	(void)state;
	chunkset_init(&set);
	chunkset_init(&bare);
	ref = make_random(&set, 1000);
	assert_int_equal(splice_all(&failing, &set.source, &set.sink, &got), -EIO);
	push_ref(&edit, NULL, &ref, 1, 1000);
	assert_int_equal(splice_list(&set, &got), -EINVAL);
	push_ref(&edit, NULL, &ref, 1001, 1);
	assert_int_equal(splice_list(&set, &got), -EINVAL);
	push_chunk(&edit, chunk_hold(c), 1, 3);
	assert_int_equal(splice_list(&set, &got), -EINVAL);
	edit.count = 1;
	edit.list[0] = (struct piece){ .type = PIECE_ZEROS };
	assert_int_equal(splice_list(&set, &got), -EINVAL);
	push_ref(&edit, NULL, &ref, 1, 999);
	assert_int_equal(splice_list(&bare, &got), -ENOENT);
	/* A ref that says more than its chunk has. */
	chunkset_add(&set, KIND_DATA, "abc", 3, &a);
	ref.address = a;
	push_ref(&edit, NULL, &ref, 1, 999);
	assert_int_equal(splice_list(&set, &got), -EBADMSG);
	chunk_drop(c);
	chunkset_free(&set);
	chunkset_free(&bare);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void any_edits_give_the_ref_that_cutting_from_scratch_gives(void **state)
{
	const char *replay = getenv("SEED");
	uint64_t base = replay ? strtoull(replay, NULL, 0) : (uint64_t)time(NULL) << 20;
	uint64_t sequences = getenv("SOAK") ? 2500 : 150;
	double start = now_s();

	(void)state;
	for (uint64_t i = 0; i < (replay ? 1 : sequences); i++) {
		seed = base + i;
		if (!run_sequence(&edit, (base + i) % 4 == 0))
			fail_msg("replay with SEED=%ju", (uintmax_t)(base + i));
	}
	print_message("# %ju sequences of %d edits from SEED=%ju, %.1f s\n", (uintmax_t)sequences,
	    STEPS, (uintmax_t)base, now_s() - start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_that_continue_each_other_are_kept_as_one),
		cmocka_unit_test(new_bytes_are_sliced_and_not_copied),
		cmocka_unit_test(a_small_write_loads_and_cuts_a_few_chunks),
		cmocka_unit_test(thousands_of_small_pieces_load_each_chunk_once),
		cmocka_unit_test(a_tebibyte_made_of_clones_is_opened_by_its_path_alone),
		cmocka_unit_test(zeros_of_any_length_cost_nothing),
		cmocka_unit_test(no_pieces_make_the_empty_file),
		cmocka_unit_test(what_is_wrong_with_pieces_or_chunks_is_said),
		cmocka_unit_test(any_edits_give_the_ref_that_cutting_from_scratch_gives),
	};

	return suite_run(tests);
}
