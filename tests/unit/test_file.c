/*
 * file: random changes of files, flushed, failed, published and loaded again, against arrays
 * of bytes.  SEED=n replays; SOAK=1 makes it longer.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/cut.h"
#include "chunker/index.h"
#include "tests/lib/filekit.h"
#include "tests/lib/suite.h"

#define FILES	4u
#define SIZE_MAX_BYTES (3u * 512 * 1024)
#define BLOCK	4096	/* of a hole */

struct model {
	struct file *file;
	uint8_t *bytes;		/* zeros behind size */
	size_t size;
};

static struct filekit kit;
static struct model model[FILES];
static uint64_t seed, state;
static uint8_t *buffer;

static void files_open(uint64_t dirty_max)
{
	kit_open(&kit, dirty_max, 2);
	buffer = malloc(SIZE_MAX_BYTES);
	for (unsigned int i = 0; i < FILES; i++) {
		model[i].file = kit_get(&kit, i + 1);
		model[i].bytes = calloc(1, SIZE_MAX_BYTES);
		model[i].size = 0;
		assert_non_null(model[i].bytes);
	}
}

static void files_close(void)
{
	for (unsigned int i = 0; i < FILES; i++) {
		file_put(model[i].file);
		free(model[i].bytes);
	}
	free(buffer);
	kit_close(&kit);
}

static void fill(uint8_t *p, size_t len)
{
	uint64_t kind = kit_below(&state, 6);

	if (kind < 2) {
		memset(p, kind == 0 ? 0 : (int)kit_random(&state), len);
		return;
	}
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = kit_random(&state);

		memcpy(p + i, &word, len - i < 8 ? len - i : 8);
	}
}

static void noise(struct model *m)
{
	for (size_t i = 0; i < SIZE_MAX_BYTES; i += 8) {
		uint64_t word = kit_random(&state);

		memcpy(m->bytes + i, &word, 8);
	}
}

static size_t some_len(void)
{
	static const size_t most[] = { 1, 200, 5000, 70000, 300000 };

	return 1 + (size_t)kit_below(&state, most[kit_below(&state, 5)]);
}

/* Often at the end, at the start, or just behind the last. */
static size_t some_off(const struct model *m, size_t len)
{
	static size_t last;
	size_t off = 0;

	switch (kit_below(&state, 4)) {
	case 0:
		off = m->size;
		break;
	case 1:
		off = last;
		break;
	case 2:
		off = (size_t)kit_below(&state, SIZE_MAX_BYTES);
		break;
	}
	if (off > SIZE_MAX_BYTES - len)
		off = (size_t)kit_below(&state, SIZE_MAX_BYTES - len);
	last = off + len;
	return off;
}

static void grow(struct model *m, size_t size)
{
	if (size > m->size)
		m->size = size;
}

static void do_write(struct model *m)
{
	size_t len = some_len(), off = some_off(m, len);

	int rc;

	fill(buffer, len);
	rc = kit_write(&kit, m->file, off, buffer, len);
	if (rc == -ENOSPC) {
		/* At the bound, and all that is dirty had failed. */
		files_flush_all(kit.files, 0);
		rc = kit_write(&kit, m->file, off, buffer, len);
	}
	assert_int_equal(rc, 0);
	memcpy(m->bytes + off, buffer, len);
	grow(m, off + len);
}

static void do_truncate(struct model *m)
{
	size_t size = (size_t)kit_below(&state, kit_below(&state, 4) ? m->size + 2
								     : SIZE_MAX_BYTES);

	assert_int_equal(file_truncate(m->file, size, NULL), 0);
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
}

static void do_zero(struct model *m)
{
	size_t len = some_len(), off = some_off(m, len);
	bool keep = kit_below(&state, 2);

	assert_int_equal(file_zero(m->file, off, len, keep, NULL), 0);
	memset(m->bytes + off, 0, len);
	if (!keep)
		grow(m, off + len);
}

static void do_clone(struct model *from, struct model *to)
{
	size_t len = some_len() * (1 + kit_below(&state, 4)), off, to_off;
	size_t expect;
	uint64_t done;
	int rc;

	off = (size_t)kit_below(&state, from->size + 10);
	if (kit_below(&state, 4) == 0)
		off = 0, len = from->size;
	to_off = kit_below(&state, 3) ? some_off(to, 1) : off;
	if (to_off + len > SIZE_MAX_BYTES)
		len = SIZE_MAX_BYTES - to_off;
	rc = file_clone(from->file, off, to->file, to_off, len, NULL, &done);
	expect = off >= from->size ? 0 : len < from->size - off ? len : from->size - off;
	if (from == to && off < to_off + expect && to_off < off + expect) {
		assert_int_equal(rc, -EINVAL);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(done, expect);
	memmove(to->bytes + to_off, from->bytes + off, expect);
	if (expect > 0)
		grow(to, to_off + expect);
}

static void check_read(struct model *m, size_t off, size_t len)
{
	int64_t got = kit_read(m->file, off, buffer, len);
	size_t expect = off >= m->size ? 0 : len < m->size - off ? len : m->size - off;

	assert_int_equal(got, expect);
	assert_memory_equal(buffer, m->bytes + off, expect);
}

static void check_size(struct model *m)
{
	struct file_attr a;

	file_attr(m->file, &a);
	assert_int_equal(a.size, m->size);
	assert_true(a.data <= a.size);
}

/* What is reported as a hole has only zeros, and begins and ends at blocks, which of them are data or a hole. */
static void check_seek(struct model *m)
{
	size_t off = (size_t)kit_below(&state, m->size + 1);
	int64_t data = kit_seek(m->file, off, false), hole = kit_seek(m->file, off, true);
	int64_t end = data < 0 ? (int64_t)m->size : data;

	if (off >= m->size) {
		assert_int_equal(data, -ENXIO);
		assert_int_equal(hole, -ENXIO);
		return;
	}
	assert_true(data == -ENXIO || (data >= (int64_t)off && data < (int64_t)m->size));
	assert_true(hole >= (int64_t)off && hole <= (int64_t)m->size);
	assert_true(data == (int64_t)off ? hole > data : hole == (int64_t)off);
	assert_true(data <= (int64_t)off || data % BLOCK == 0);
	assert_true(hole == (int64_t)off || hole == (int64_t)m->size || hole % BLOCK == 0);
	assert_int_equal(cut_zeros(m->bytes + off, (size_t)end - off), (size_t)end - off);
}

static void check_ref(struct model *m)
{
	struct ref ref, expect;
	uint64_t data;

	kit_ref(m->bytes, m->size, &expect, &data);
	assert_true(file_ref(m->file, &ref));
	assert_true(ref_equal(&ref, &expect));
}

static void do_flush(struct model *m, bool failing)
{
	struct ref ref;
	int rc;

	if (failing) {
		fakedht_fail(kit.dht, -ENOSPC, 0);
		fakedht_fail_after(kit.dht, (unsigned int)kit_below(&state, 5));
	}
	rc = kit_flush(m->file);
	fakedht_fail(kit.dht, 0, 0);
	/* One that began while inserts failed; the next one does not. */
	if (rc < 0 && !failing)
		rc = kit_flush(m->file);
	assert_true(rc == 0 || failing);
	if (rc == 0)
		check_ref(m);
	else
		assert_false(file_ref(m->file, &ref));
}

/* Out of memory and in again, all clean. */
static void do_reload(struct model *m)
{
	struct inode row;
	struct ref expect;
	uint64_t data;
	uint64_t ino = file_ino(m->file);

	do_flush(m, false);
	assert_true(kit_publish(&kit));
	kit_row(&kit, ino, &row);
	kit_ref(m->bytes, m->size, &expect, &data);
	assert_true(ref_equal(&row.ref, &expect));
	assert_int_equal(row.data, data);
	file_put(m->file);
	/* A flusher that has just told of the end still holds it for a moment. */
	while ((m->file = file_find(kit.files, ino))) {
		file_put(m->file);
		sched_yield();
	}
	m->file = kit_get(&kit, ino);
}

static void step(void)
{
	struct model *m = &model[kit_below(&state, FILES)];
	size_t len;

	switch (kit_below(&state, 20)) {
	default:
		do_write(m);
		break;
	case 8:
		do_truncate(m);
		break;
	case 9:
		do_zero(m);
		break;
	case 10:
	case 11:
		do_clone(&model[kit_below(&state, FILES)], m);
		break;
	case 12:
	case 13:
	case 14:
		len = some_len();
		check_read(m, (size_t)kit_below(&state, SIZE_MAX_BYTES), len);
		check_read(m, (size_t)kit_below(&state, m->size + 1), len);
		check_size(m);
		break;
	case 15:
		check_seek(m);
		break;
	case 16:
		do_flush(m, false);
		break;
	case 17:
		do_flush(m, true);
		break;
	case 18:
		do_reload(m);
		break;
	case 19:
		cache_trim(kit.cache, 0);
		files_flush_all(kit.files, 0);
	}
}

static void random_changes_equal_those_of_the_model(void **unused)
{
	unsigned int rounds = getenv("SOAK") ? 200 : 6;

	(void)unused;
	state = seed;
	for (unsigned int round = 0; round < rounds; round++) {
		files_open(round % 2 ? 256 << 20 : 1 << 20);
		for (unsigned int i = 0; i < 400; i++)
			step();
		for (unsigned int i = 0; i < FILES; i++) {
			check_read(&model[i], 0, SIZE_MAX_BYTES);
			do_flush(&model[i], false);
			check_read(&model[i], 0, SIZE_MAX_BYTES);
			do_reload(&model[i]);
			check_read(&model[i], 0, SIZE_MAX_BYTES);
		}
		files_close();
	}
}

static void reads_and_writes_go_on_while_a_flush_is_under_way(void **unused)
{
	struct model *m = &model[0];
	struct ref ref;

	(void)unused;
	state = seed + 1;
	files_open(256 << 20);
	for (unsigned int round = 0; round < 20; round++) {
		do_write(m);
		do_write(m);
		fakedht_hold(kit.dht);
		for (unsigned int i = 0; i < 10; i++) {
			if (i == 3) {
				struct file_flush w = { .file = m->file, .done = NULL };

				/* It freezes, and stops at its first insert. */
				file_flush(&w);
				assert_true(file_flush_leave(&w));
				fakedht_await(kit.dht, 1);
			}
			do_write(m);
			if (i == 5)
				do_truncate(m);
			if (i > 3)
				fakedht_let(kit.dht, (unsigned int)kit_below(&state, 3));
			assert_false(file_ref(m->file, &ref));
		}
		fakedht_go(kit.dht);
		check_read(m, 0, SIZE_MAX_BYTES);
		do_flush(m, false);
		check_read(m, 0, SIZE_MAX_BYTES);
	}
	files_close();
}

static void a_whole_clone_has_the_same_ref_and_reads_no_data(void **unused)
{
	struct fakedht_counts counts;
	struct ref a, b;
	uint64_t done;

	(void)unused;
	state = seed + 2;
	files_open(256 << 20);
	noise(&model[0]);
	assert_int_equal(kit_write(&kit, model[0].file, 0, model[0].bytes, SIZE_MAX_BYTES), 0);
	assert_int_equal(kit_flush(model[0].file), 0);
	cache_trim(kit.cache, 0);
	fakedht_count(kit.dht, &counts);
	for (uint64_t off = 0; off < SIZE_MAX_BYTES; off += done)
		assert_int_equal(file_clone(model[0].file, off, model[1].file, off, 500000, NULL,
		    &done), 0);
	assert_int_equal(kit_flush(model[1].file), 0);
	fakedht_count(kit.dht, &counts);
	/* One node, for the number of its blocks. */
	assert_int_equal(counts.lookups, 1);
	assert_int_equal(counts.inserts, 0);
	assert_true(file_ref(model[0].file, &a) && file_ref(model[1].file, &b));
	assert_true(ref_equal(&a, &b));
	files_close();
}

static void a_file_of_more_chunks_than_are_inserted_at_once_has_the_ref_of_its_bytes(void **unused)
{
	size_t len = 12u << 20;
	uint8_t *bytes = malloc(len);
	struct ref ref, expect;
	uint64_t data;

	(void)unused;
	assert_non_null(bytes);
	state = seed + 6;
	files_open(256 << 20);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = kit_random(&state);

		memcpy(bytes + i, &word, 8);
	}
	assert_int_equal(kit_write(&kit, model[0].file, 0, bytes, len), 0);
	assert_int_equal(kit_flush(model[0].file), 0);
	kit_ref(bytes, len, &expect, &data);
	assert_true(file_ref(model[0].file, &ref) && ref_equal(&ref, &expect));
	/* And one that fails in the middle loses nothing. */
	bytes[100] ^= 1;
	bytes[len - 100] ^= 1;
	assert_int_equal(kit_write(&kit, model[0].file, 0, bytes, len), 0);
	for (size_t i = 0; i < len; i += 4096)
		bytes[i] ^= 1;
	assert_int_equal(kit_write(&kit, model[0].file, 0, bytes, len), 0);
	fakedht_fail(kit.dht, -EIO, 0);
	fakedht_fail_after(kit.dht, 100);
	assert_int_equal(kit_flush(model[0].file), -EIO);
	fakedht_fail(kit.dht, 0, 0);
	assert_int_equal(kit_flush(model[0].file), 0);
	kit_ref(bytes, len, &expect, &data);
	assert_true(file_ref(model[0].file, &ref) && ref_equal(&ref, &expect));
	free(bytes);
	files_close();
}

static void a_read_of_many_small_extents_is_one_copy(void **unused)
{
	struct model *m = &model[0];

	(void)unused;
	state = seed + 3;
	files_open(256 << 20);
	for (size_t off = 0; off < 600000; off += 200) {
		m->bytes[off] = 1;
		assert_int_equal(kit_write(&kit, m->file, off, m->bytes + off, 1), 0);
		grow(m, off + 1);
	}
	check_read(m, 0, 600000);
	check_read(m, 100, 1000);
	files_close();
}

static void assert_ranges(struct file *f, uint64_t off, int64_t data, int64_t hole)
{
	assert_int_equal(kit_seek(f, off, false), data);
	assert_int_equal(kit_seek(f, off, true), hole);
}

static void a_hole_is_a_whole_block(void **unused)
{
	static const char zeros[3 * BLOCK];
	struct file *f;

	(void)unused;
	files_open(64 << 20);
	f = model[0].file;
	/* 100 blocks of data whose last bytes are zeros, which the splice makes a part of the hole behind ... */
	memset(buffer, 1, 200 * BLOCK);
	memset(buffer + 100 * BLOCK - 10, 0, 10);
	assert_int_equal(kit_write(&kit, f, 0, buffer, 100 * BLOCK), 0);
	assert_int_equal(file_truncate(f, 200 * BLOCK, NULL), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_ranges(f, 0, 0, 100 * BLOCK);
	assert_ranges(f, 100 * BLOCK - 5, 100 * BLOCK - 5, 100 * BLOCK);
	assert_ranges(f, 100 * BLOCK, -ENXIO, 100 * BLOCK);
	/* ... are none when more is written behind them. */
	assert_int_equal(kit_write(&kit, f, 100 * BLOCK, buffer, 50 * BLOCK), 0);
	assert_ranges(f, 0, 0, 150 * BLOCK);
	assert_ranges(f, 100 * BLOCK - 5, 100 * BLOCK - 5, 150 * BLOCK);
	assert_int_equal(kit_flush(f), 0);
	assert_ranges(f, 100 * BLOCK - 5, 100 * BLOCK - 5, 150 * BLOCK);
	/* A hole of many pieces; the first and the last block of it have data too. */
	assert_int_equal(file_zero(f, 20 * BLOCK + 100, 32 * BLOCK, false, NULL), 0);
	assert_ranges(f, 20 * BLOCK, 20 * BLOCK, 21 * BLOCK);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(file_zero(f, 52 * BLOCK + 100, 32 * BLOCK, false, NULL), 0);
	assert_int_equal(file_zero(f, 84 * BLOCK + 50, 32 * BLOCK - 100, false, NULL), 0);
	assert_ranges(f, 0, 0, 21 * BLOCK);
	assert_ranges(f, 20 * BLOCK + 200, 20 * BLOCK + 200, 21 * BLOCK);
	assert_ranges(f, 21 * BLOCK + 7, 115 * BLOCK, 21 * BLOCK + 7);
	assert_ranges(f, 52 * BLOCK + 50, 115 * BLOCK, 52 * BLOCK + 50);
	assert_ranges(f, 115 * BLOCK + 7, 115 * BLOCK + 7, 150 * BLOCK);
	/* The last block ends with the file. */
	assert_int_equal(file_truncate(f, 150 * BLOCK + 5, NULL), 0);
	assert_ranges(f, 149 * BLOCK, 149 * BLOCK, 150 * BLOCK);
	assert_ranges(f, 150 * BLOCK + 4, -ENXIO, 150 * BLOCK + 4);
	assert_ranges(f, 150 * BLOCK + 5, -ENXIO, -ENXIO);
	assert_int_equal(kit_write(&kit, f, 150 * BLOCK + 4, "x", 1), 0);
	assert_ranges(f, 150 * BLOCK + 1, 150 * BLOCK + 1, 150 * BLOCK + 5);
	/* One chunk has no holes. */
	assert_int_equal(file_truncate(f, 0, NULL), 0);
	assert_int_equal(kit_write(&kit, f, 0, zeros, sizeof(zeros)), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_ranges(f, 5, 5, sizeof(zeros));
	files_close();
}

static void a_file_beyond_the_largest_size_is_refused(void **unused)
{
	struct chunk *c = chunk_copy("ab", 2);
	struct file *f;

	(void)unused;
	files_open(1 << 20);
	f = model[0].file;
	assert_int_equal(file_write(f, FILE_SIZE_MAX - 1, c, NULL), -EFBIG);
	assert_int_equal(file_write(f, UINT64_MAX, c, NULL), -EFBIG);
	assert_int_equal(file_truncate(f, FILE_SIZE_MAX + 1, NULL), -EFBIG);
	assert_int_equal(file_zero(f, FILE_SIZE_MAX, 1, false, NULL), -EFBIG);
	assert_int_equal(file_zero(f, 1, UINT64_MAX, false, NULL), -EFBIG);
	assert_int_equal(file_write(f, FILE_SIZE_MAX - 2, c, NULL), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(kit_read(f, FILE_SIZE_MAX - 2, buffer, 10), 2);
	assert_memory_equal(buffer, "ab", 2);
	assert_int_equal(kit_seek(f, 0, false) > 1 << 20, true);
	assert_int_equal(kit_seek(f, 5, true), 5);
	chunk_drop(c);
	files_close();
}

static void a_missing_or_unreadable_chunk_is_the_readers_error_alone(void **unused)
{
	struct ref ref;

	(void)unused;
	state = seed + 4;
	files_open(1 << 20);
	assert_int_equal(kit_write(&kit, model[0].file, 0, "hello", 5), 0);
	assert_int_equal(kit_flush(model[0].file), 0);
	assert_true(file_ref(model[0].file, &ref));
	cache_trim(kit.cache, 0);
	fakedht_fail(kit.dht, 0, -EBADMSG);
	assert_int_equal(kit_read(model[0].file, 0, buffer, 5), -EBADMSG);
	fakedht_fail(kit.dht, 0, 0);
	fakedht_remove(kit.dht, &ref.address);
	assert_int_equal(kit_read(model[0].file, 0, buffer, 5), -ENOENT);
	assert_int_equal(kit_write(&kit, model[0].file, 0, "again", 5), 0);
	assert_int_equal(kit_read(model[0].file, 0, buffer, 5), 5);
	assert_int_equal(kit_flush(model[0].file), 0);
	files_close();
}

static void a_change_beside_a_missing_chunk_can_not_be_flushed_and_that_is_an_io_error(void **unused)
{
	static uint8_t bytes[200 << 10];
	struct file *f;
	struct ref ref;

	(void)unused;
	state = seed + 5;
	files_open(1 << 20);
	f = model[0].file;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(kit_write(&kit, f, 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_true(file_ref(f, &ref));
	cache_trim(kit.cache, 0);
	fakedht_remove(kit.dht, &ref.address);
	assert_int_equal(kit_write(&kit, f, 100, "again", 5), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kit_flush(f), -EIO);
		assert_int_equal(file_error(f), -EIO);
	}
	/* Without the lost bytes it can. */
	assert_int_equal(kit_write(&kit, f, 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(kit_flush(f), 0);
	assert_int_equal(file_error(f), 0);
	files_close();
}

static int put_node(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	struct address b;

	(void)sink;
	fakedht_put(kit.dht, kind, c->data, c->len, &b);
	assert_true(address_equal(a, &b));
	return 0;
}

/* No rule cuts a file so: who reads a little of it would have very many chunks looked up. */
static void a_strangers_file_of_tiny_chunks_is_refused_when_it_is_read(void **unused)
{
	struct sink sink = { put_node };
	struct index_builder *b = index_builder_new(&sink);
	struct fakedht_counts counts;
	struct address a;
	struct file *f;
	struct ref ref;

	(void)unused;
	files_open(1 << 20);
	assert_non_null(b);
	for (unsigned int i = 0; i < 65536; i++) {
		memset(&a, 1, sizeof(a));
		memcpy(a.b, &i, sizeof(i));
		if (i < 8)
			fakedht_put(kit.dht, KIND_DATA, &i, sizeof(i), &a);
		assert_int_equal(index_builder_data(b, sizeof(i), &a), 0);
	}
	assert_int_equal(index_builder_finish(b, &ref), 0);
	index_builder_free(b);
	assert_int_equal(file_of_ref(kit.files, &ref, &f), 0);
	fakedht_count(kit.dht, &counts);
	assert_int_equal(kit_read(f, 100, buffer, 1 << 17), -EBADMSG);
	fakedht_count(kit.dht, &counts);
	assert_in_range(counts.lookups + counts.aheads, 0, 500);
	/* Nor for one who reads little and in order. */
	for (uint64_t off = 0; off < 32; off += 4)
		assert_int_equal(kit_read(f, off, buffer, 4), 4);
	fakedht_count(kit.dht, &counts);
	assert_in_range(counts.lookups + counts.aheads, 0, 500);
	file_put(f);
	files_close();
}

/* Of a mount that is torn away no release comes.  A sanitizer sees what is left. */
static void what_is_read_by_its_ref_to_the_end_is_freed(void **unused)
{
	struct file *f;
	struct ref ref;
	uint64_t data;

	(void)unused;
	files_open(1 << 20);
	kit_ref("", 0, &ref, &data);
	assert_int_equal(file_of_ref(kit.files, &ref, &f), 0);
	files_close();
}

static void sequential_reads_are_read_ahead_for_and_random_ones_are_not(void **unused)
{
	struct model *m = &model[0];
	struct fakedht_counts counts;

	(void)unused;
	state = seed + 5;
	files_open(256 << 20);
	noise(m);
	m->size = SIZE_MAX_BYTES;
	assert_int_equal(kit_write(&kit, m->file, 0, m->bytes, m->size), 0);
	assert_int_equal(kit_flush(m->file), 0);
	do_reload(m);
	cache_trim(kit.cache, 0);
	fakedht_count(kit.dht, &counts);
	for (unsigned int i = 1; i < 10; i++)
		check_read(m, m->size - i * 100000, 4096);
	fakedht_count(kit.dht, &counts);
	assert_int_equal(counts.aheads, 0);
	for (size_t off = 0; off < m->size; off += 65536)
		check_read(m, off, 65536);
	fakedht_count(kit.dht, &counts);
	assert_in_range(counts.aheads, 8, 100);
	/* Short ones too, where each starts where the last ended. */
	cache_trim(kit.cache, 0);
	for (size_t off = 0; off < m->size; off += 4096)
		check_read(m, off, 4096);
	fakedht_count(kit.dht, &counts);
	assert_in_range(counts.aheads, 8, 100);
	files_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_equal_those_of_the_model),
		cmocka_unit_test(reads_and_writes_go_on_while_a_flush_is_under_way),
		cmocka_unit_test(a_whole_clone_has_the_same_ref_and_reads_no_data),
		cmocka_unit_test(
		    a_file_of_more_chunks_than_are_inserted_at_once_has_the_ref_of_its_bytes),
		cmocka_unit_test(a_read_of_many_small_extents_is_one_copy),
		cmocka_unit_test(a_hole_is_a_whole_block),
		cmocka_unit_test(a_file_beyond_the_largest_size_is_refused),
		cmocka_unit_test(a_missing_or_unreadable_chunk_is_the_readers_error_alone),
		cmocka_unit_test(a_change_beside_a_missing_chunk_can_not_be_flushed_and_that_is_an_io_error),
		cmocka_unit_test(a_strangers_file_of_tiny_chunks_is_refused_when_it_is_read),
		cmocka_unit_test(what_is_read_by_its_ref_to_the_end_is_freed),
		cmocka_unit_test(sequential_reads_are_read_ahead_for_and_random_ones_are_not),
	};

	seed = suite_seed(20240611);
	return suite_run(tests);
}
