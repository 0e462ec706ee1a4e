/*
 * collect: what is kept and what goes, over a real tree and a set that marks exactly.  The tell() of a
 * collection is where a test gets in between: it is called at every node.
 */
#include "tests/unit/collect_test.h"

#include "chunker/splice.h"
#include "fs/fetch.h"
#include "fs/kept.h"

static void garbage_goes_and_what_the_tree_refers_to_stays(void **state)
{
	uint64_t small, large, sparse, copy, dir;
	struct file *from, *to;
	uint64_t done;
	size_t chunks;

	(void)state;
	dir = make(TREE_ROOT, "dir", DIR_MODE);
	make(dir, "link", S_IFLNK | 0777);
	small = make_file("small", 1000);
	large = make_file("large", LARGE);
	sparse = make_file("sparse", 100000);
	to = hold(sparse);
	assert_int_equal(file_truncate(to, UINT64_C(1) << 40, NULL), 0);
	write_noise(to, UINT64_C(1) << 39, 300000);
	file_put(to);
	copy = make(TREE_ROOT, "copy", FILE_MODE);
	from = hold(large);
	to = hold(copy);
	assert_int_equal(file_clone(from, 0, to, 12345, LARGE, NULL, &done), 0);
	assert_int_equal(done, LARGE);
	file_put(from);
	file_put(to);
	checkpoint();
	assert_int_equal(tree_set_xattr(t, dir, "user.long", tree_dir, 10, 0, at(3)), 0);
	for (char name[] = "user.a"; name[5] < 'd'; name[5]++) {
		uint8_t value[3000];

		noise(value, sizeof(value));
		assert_int_equal(tree_set_xattr(t, dir, name, value, sizeof(value), 0, at(3)), 0);
	}
	snapshot();
	run();
	chunks = fakedht_chunks(set);
	litter(50);
	assert_int_equal(run().garbage.chunks, 50);
	assert_int_equal(fakedht_chunks(set), chunks);
	assert_int_equal(run().garbage.chunks, 0);
	assert_int_equal(read_ino(small), 0);
	assert_int_equal(read_ino(large), 0);
	assert_int_equal(read_ino(copy), 0);
}

static void a_removed_file_goes_when_no_snapshot_has_it(void **state)
{
	struct inode row;
	size_t before;

	(void)state;
	make_file("stays", 5000);
	run();
	before = fakedht_chunks(set);
	row = get(make_file("goes", LARGE));
	remove_file("goes");
	assert_true(run().garbage.bytes >= LARGE);
	assert_true(fakedht_chunks(set) <= before + 2);
	assert_int_equal(read_ref(&row.ref), -ESTALE);
}

static void a_kept_snapshot_keeps_what_it_has(void **state)
{
	struct collect_result r;
	struct inode row;

	(void)state;
	row = get(make_file("a", LARGE));
	snapshot();
	remove_file("a");
	snapshot();
	r = run();
	assert_int_equal(r.garbage.bytes, 0);
	assert_true(r.old.bytes >= LARGE);
	assert_int_equal(read_ref(&row.ref), 0);
}

static void the_oldest_snapshots_go_where_room_is_needed_but_never_the_newest(void **state)
{
	struct collect_result r;
	struct ref refs[9];
	char name[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%d", i);
		refs[i] = get(make_file(name, 400000)).ref;
		snapshot();
		remove_file(name);
	}
	refs[8] = get(make_file("newest", 400000)).ref;
	snapshot();
	assert_int_equal(kept(), 9);
	assert_int_equal(collect(&parts, true, 1000000, go_on, NULL, &r), 0);
	assert_int_equal(kept(), 9);
	/* Half of the eight older ones hold 1.6 MB. */
	assert_int_equal(collect(&parts, false, 1000000, go_on, NULL, &r), 0);
	assert_int_equal(r.dropped, 2);
	assert_int_equal(kept(), 7);
	assert_int_equal(read_ref(&refs[0]), -ESTALE);
	assert_int_equal(read_ref(&refs[2]), 0);
	assert_int_equal(collect(&parts, false, UINT64_MAX, go_on, NULL, &r), 0);
	assert_int_equal(kept(), 1);
	assert_int_equal(read_ref(&refs[7]), -ESTALE);
	assert_int_equal(read_ref(&refs[8]), 0);
	stop();
	assert_int_equal(start(), 0);
	assert_int_equal(kept(), 1);
	assert_int_equal(run().gone, 0);
}

static void a_shorter_list_is_what_the_next_start_reads(void **state)
{
	struct collect_result r;
	char name[8];

	(void)state;
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make_file(name, 100000);
		snapshot();
		remove_file(name);
	}
	snapshot();
	assert_int_equal(kept(), 5);
	assert_int_equal(collect(&parts, false, 150000, go_on, NULL, &r), 0);
	assert_true(r.dropped > 0 && r.dropped < 4);
	stop();
	assert_int_equal(start(), 0);
	assert_int_equal(kept(), 5 - r.dropped);
	assert_int_equal(run().gone, 0);
}

static void a_lost_list_costs_no_snapshot_that_is_known(void **state)
{
	struct collect_result r;
	struct ref head, list;
	struct inode row;
	uint64_t epoch;

	(void)state;
	row = get(make_file("a", LARGE));
	snapshot();
	remove_file("a");
	make_file("b", 100);
	snapshot();
	assert_int_equal(tree_get_head(t, &head, &epoch, &list), 0);
	fakedht_remove(set, &list.address);
	r = run();
	assert_int_equal(r.garbage.bytes, 0);
	assert_int_equal(read_ref(&row.ref), 0);
	make_file("c", 100);
	snapshot();
	stop();
	assert_int_equal(start(), 0);
	assert_int_equal(kept(), 3);
	assert_int_equal(run().garbage.bytes, 0);
	assert_int_equal(read_ref(&row.ref), 0);
}

/* A snapshot every half minute for half a year: where the list can't be read, all in it are collected. */
static void a_long_list_of_snapshots_can_be_read(void **state)
{
	enum { N = 500000 };
	struct kept *list = calloc(N, sizeof(*list)), *again;
	struct waiting_source source;
	struct dht_sink sink;
	struct ref ref;
	size_t n;

	(void)state;
	assert_non_null(list);
	waiting_source_init(&source, set, NULL);
	dht_sink_init(&sink, set);
	for (size_t i = 0; i < N; i++) {
		list[i].time.sec = 1700000000 + 30 * (int64_t)i;
		list[i].ref = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = 200 };
		memcpy(list[i].ref.address.b, &i, sizeof(i));
	}
	assert_int_equal(kept_write(&source.source, &sink.sink, list, N, &ref), 0);
	assert_int_equal(kept_read(&source.source, &ref, &again, &n), 0);
	assert_int_equal(n, N);
	for (size_t i = 0; i < N; i++)
		assert_true(again[i].time.sec == list[i].time.sec && ref_equal(&again[i].ref, &list[i].ref));
	free(again);
	free(list);
}

static void a_pin_keeps_its_file(void **state)
{
	struct inode row;

	(void)state;
	row = get(make_file("a", LARGE));
	assert_int_equal(tree_pin(t, &row.ref, at(5)), 0);
	remove_file("a");
	run();
	assert_int_equal(read_ref(&row.ref), 0);
	assert_int_equal(tree_unpin(t, &row.ref.address), 0);
	assert_true(run().garbage.bytes >= LARGE);
	assert_int_equal(read_ref(&row.ref), -ESTALE);
}

static void an_orphan_that_is_open_stays(void **state)
{
	uint64_t ino = make_file("a", LARGE);
	struct file *f = hold(ino);
	struct inode gone;

	(void)state;
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(200), &gone), 0);
	run();
	assert_int_equal(read_all(f), 0);
	write_noise(f, 100000, LARGE);
	checkpoint();
	run();
	assert_int_equal(read_all(f), 0);
	file_discard(f);
	tree_forget(t, ino);
	file_put(f);
	assert_true(run().garbage.bytes >= LARGE);
}

static void what_is_open_by_its_address_stays(void **state)
{
	struct inode row;
	struct file *f;

	(void)state;
	row = get(make_file("a", LARGE));
	assert_int_equal(file_of_ref(files, &row.ref, &f), 0);
	remove_file("a");
	run();
	assert_int_equal(read_all(f), 0);
	file_put(f);
	run();
	assert_int_equal(read_ref(&row.ref), -ESTALE);
}

/* A flushed file that no commit has, and one that has cloned what else is only in memory. */
static void what_only_memory_refers_to_stays(void **state)
{
	uint64_t a = make_file("a", LARGE), b = make(TREE_ROOT, "b", FILE_MODE);
	struct file *from = hold(a), *to = hold(b);
	uint64_t done;

	(void)state;
	assert_int_equal(file_clone(from, 0, to, 777, LARGE, NULL, &done), 0);
	assert_int_equal(file_truncate(from, 0, NULL), 0);
	write_noise(to, 1000, 10);
	run();
	assert_int_equal(read_all(to), 0);
	checkpoint();
	assert_int_equal(read_all(to), 0);
	run();
	assert_int_equal(read_all(to), 0);
	file_put(from);
	file_put(to);
}

/* What a test does once, in the midst of marking. */
struct interlude {
	enum collect_phase phase;
	unsigned int calls, at;
	void (*play)(struct interlude *i);
	struct ref ref;
	uint64_t ino;
	struct file *file;
};

static bool interrupt(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	struct interlude *i = arg;

	(void)done, (void)total;
	if (phase == i->phase && i->calls++ == i->at)
		i->play(i);
	return true;
}

/* Garbage is opened by its address, and cloned into a file, before it was condemned. */
static void clone_by_address(struct interlude *i)
{
	struct file *from, *to = hold(i->ino);
	uint64_t done;

	assert_int_equal(file_of_ref(files, &i->ref, &from), 0);
	assert_int_equal(file_clone(from, 0, to, 0, LARGE, NULL, &done), 0);
	assert_int_equal(done, LARGE);
	file_put(from);
	file_put(to);
}

static void garbage_that_is_cloned_in_time_is_garbage_no_more(void **state)
{
	struct interlude i = { .phase = COLLECT_MARK, .play = clone_by_address };
	struct collect_result r;

	(void)state;
	make_file("other", LARGE);
	i.ref = get(make_file("a", LARGE)).ref;
	i.ino = make(TREE_ROOT, "b", FILE_MODE);
	remove_file("a");
	assert_int_equal(collect(&parts, false, 0, interrupt, &i, &r), 0);
	assert_true(i.calls > 0);
	assert_int_equal(read_ino(i.ino), 0);
	checkpoint();
	run();
	assert_int_equal(read_ino(i.ino), 0);
}

static void open_by_address(struct interlude *i)
{
	assert_int_equal(file_of_ref(files, &i->ref, &i->file), 0);
}

static void garbage_that_is_opened_in_time_stays_while_it_is_open(void **state)
{
	struct interlude i = { .phase = COLLECT_MARK, .play = open_by_address };
	struct collect_result r;

	(void)state;
	make_file("other", LARGE);
	i.ref = get(make_file("a", LARGE)).ref;
	remove_file("a");
	assert_int_equal(collect(&parts, false, 0, interrupt, &i, &r), 0);
	assert_int_equal(read_all(i.file), 0);
	file_put(i.file);
}

/* A file is written over and flushed, and a snapshot taken, in the midst. */
static void overwrite(struct interlude *i)
{
	struct file *f = hold(i->ino);

	write_noise(f, 100000, 500000);
	file_put(f);
	checkpoint();
	snapshot();
}

static void what_is_written_while_it_marks_stays(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < 6; n++) {
		struct interlude i = {
			.phase = n % 2 ? COLLECT_WAIT : COLLECT_MARK, .at = n / 2, .play = overwrite,
		};
		struct collect_result r;
		char name[8];

		snprintf(name, sizeof(name), "%u", n);
		i.ino = make_file(name, LARGE);
		snapshot();
		assert_int_equal(collect(&parts, false, 0, interrupt, &i, &r), 0);
		assert_int_equal(read_ino(i.ino), 0);
		assert_int_equal(r.gone, 0);
		assert_int_equal(run().gone, 0);
	}
}

struct stopping {
	unsigned int left;
};

static bool stop_after(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	struct stopping *i = arg;

	(void)phase, (void)done, (void)total;
	return i->left-- > 0;
}

static void a_collection_that_is_stopped_loses_nothing(void **state)
{
	uint64_t ino = make_file("a", LARGE);
	size_t chunks;
	int rc = -ECANCELED;

	(void)state;
	make_file("b", LARGE);
	remove_file("b");
	chunks = fakedht_chunks(set);
	for (unsigned int n = 0; rc == -ECANCELED; n++) {
		struct stopping i = { n };
		struct collect_result r;

		assert_int_equal(fakedht_chunks(set), chunks);
		rc = collect(&parts, false, 0, stop_after, &i, &r);
		assert_true(rc == 0 || rc == -ECANCELED);
	}
	assert_true(fakedht_chunks(set) < chunks);
	assert_int_equal(read_ino(ino), 0);
}

static void a_dry_run_changes_nothing(void **state)
{
	struct collect_result dry, wet;
	size_t chunks;

	(void)state;
	make_file("a", LARGE);
	make_file("b", LARGE);
	snapshot();
	remove_file("a");
	snapshot();
	litter(20);
	chunks = fakedht_chunks(set);
	assert_int_equal(collect(&parts, true, 0, go_on, NULL, &dry), 0);
	assert_int_equal(fakedht_chunks(set), chunks);
	assert_int_equal(dry.garbage.chunks, 20);
	wet = run();
	assert_int_equal(wet.garbage.chunks, dry.garbage.chunks);
	assert_int_equal(wet.garbage.bytes, dry.garbage.bytes);
	assert_int_equal(wet.old.bytes, dry.old.bytes);
}

static void a_node_that_is_gone_costs_only_what_it_led_to(void **state)
{
	uint64_t whole = make_file("whole", LARGE);
	struct inode broken = get(make_file("broken", LARGE));
	struct collect_result r;

	(void)state;
	assert_int_equal(broken.ref.kind, KIND_INDEX);
	fakedht_remove(set, &broken.ref.address);
	r = run();
	assert_int_equal(r.gone, 1);
	assert_true(r.garbage.bytes >= LARGE);
	assert_int_equal(read_ino(whole), 0);
	assert_int_equal(read_ino(broken.ino), -ENOENT);
}

static void a_node_that_cannot_be_asked_for_ends_it_before_anything_goes(void **state)
{
	const int errors[] = { -EIO, -ETIMEDOUT, -ENOMEM };
	uint64_t ino = make_file("a", LARGE);
	struct collect_result r;
	size_t chunks;

	(void)state;
	make_file("b", LARGE);
	litter(5);
	chunks = fakedht_chunks(set);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		for (unsigned int after = 0; after < 2; after++) {
			fakedht_fail(set, 0, errors[i]);
			fakedht_fail_after(set, after);
			assert_int_equal(collect(&parts, false, 0, go_on, NULL, &r), errors[i]);
			assert_int_equal(fakedht_chunks(set), chunks);
		}
	}
	fakedht_fail(set, 0, 0);
	assert_int_equal(run().garbage.chunks, 5);
	assert_int_equal(read_ino(ino), 0);
}

/* The bytes of an upload; collections come in between. */
struct slow_pieces {
	struct pieces pieces;
	struct chunk *chunk;
	unsigned int left;
};

static int slow_next(struct pieces *pieces, struct piece *out)
{
	struct slow_pieces *p = (struct slow_pieces *)pieces;
	uint8_t *bytes;

	chunk_drop(p->chunk);
	p->chunk = NULL;
	if (p->left-- == 0)
		return 0;
	if (p->left % 64 == 0)
		run();
	p->chunk = chunk_new(1 << 20, &bytes);
	assert_non_null(p->chunk);
	noise(bytes, 1 << 20);
	*out = (struct piece){ .type = PIECE_BYTES, .len = 1 << 20, .bytes = p->chunk };
	return 1;
}

static void what_is_uploaded_stays_however_long_it_takes(void **state)
{
	/* Some nodes, and those that are not finished. */
	struct slow_pieces pieces = { .pieces.next = slow_next, .left = 150 };
	struct waiting_source source;
	struct dht_sink sink;
	struct upload up;
	struct ref ref;

	(void)state;
	waiting_source_init(&source, set, NULL);
	dht_sink_init(&sink, set);
	upload_begin(&up, &uploads, &sink.sink);
	assert_int_equal(splice_all(&pieces.pieces, &source.source, &up.sink, &ref), 0);
	run();
	assert_int_equal(read_ref(&ref), 0);
	upload_end(&up);
	assert_true(run().garbage.bytes >= 150u << 20);
}

struct collecting {
	pthread_t thread;
	atomic_uint waited;
	atomic_bool ended;
	int rc;
	struct collect_result r;
};

static bool count_waits(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	struct collecting *i = arg;

	(void)done, (void)total;
	if (phase == COLLECT_WAIT)
		atomic_fetch_add(&i->waited, 1);
	return true;
}

static void *collect_beside(void *arg)
{
	struct collecting *i = arg;

	i->rc = collect(&parts, false, 0, count_waits, i, &i->r);
	atomic_store(&i->ended, true);
	return NULL;
}

/* Its chunk is in the set when the collection begins, and nothing refers to it yet. */
static void who_inserts_when_it_begins_is_waited_for(void **state)
{
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = 100 };
	unsigned int parity = grace_enter(&inserting);
	struct collecting i = { .rc = 1 };
	uint8_t bytes[100];

	(void)state;
	noise(bytes, sizeof(bytes));
	fakedht_put(set, KIND_DATA, bytes, sizeof(bytes), &ref.address);
	assert_int_equal(pthread_create(&i.thread, NULL, collect_beside, &i), 0);
	while (atomic_load(&i.waited) == 0 && !atomic_load(&i.ended))
		sched_yield();
	assert_int_equal(tree_pin(t, &ref, at(5)), 0);
	grace_leave(&inserting, parity);
	pthread_join(i.thread, NULL);
	assert_int_equal(i.rc, 0);
	assert_true(dht_has(set, &ref.address, NULL, NULL));
}

/* What it read may have gone from the file before that was looked at. */
static void who_reads_is_waited_for_before_anything_goes(void **state)
{
	unsigned int parity = grace_enter(&reading);
	struct collecting i = { .rc = 1 };

	(void)state;
	litter(1);
	assert_int_equal(pthread_create(&i.thread, NULL, collect_beside, &i), 0);
	while (atomic_load(&i.waited) == 0 && !atomic_load(&i.ended))
		sched_yield();
	assert_int_equal(fakedht_chunks(set), 1);
	grace_leave(&reading, parity);
	pthread_join(i.thread, NULL);
	assert_int_equal(i.rc, 0);
	assert_int_equal(fakedht_chunks(set), 0);
}

static unsigned int inside(struct grace *g)
{
	return atomic_load(&g->inside[0]) + atomic_load(&g->inside[1]);
}

static void flushes_and_reads_are_inside_while_they_are_under_way(void **state)
{
	struct reading r = { .result = 1 };
	struct file *f = hold(make_file("a", LARGE));

	(void)state;
	assert_int_equal(inside(&inserting), 0);
	fakedht_hold(set);
	write_noise(f, 0, 20u << 20);	/* enough for a flush to begin */
	fakedht_await(set, 40);
	assert_int_equal(inside(&inserting), 1);
	fakedht_go(set);
	checkpoint();
	/* It is told of the flush a moment before the flusher has left. */
	while (inside(&inserting) > 0)
		sched_yield();

	cache_trim(cache, 0);
	sem_init(&r.done, 0, 0);
	fakedht_hold(set);
	r.r = (struct file_read){ .file = f, .len = 4096, .done = read_done };
	file_read(&r.r);
	assert_int_equal(inside(&reading), 1);
	fakedht_go(set);
	sem_wait(&r.done);
	assert_int_equal(inside(&reading), 0);
	sem_destroy(&r.done);
	file_read_clear(&r.r);
	file_put(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(garbage_goes_and_what_the_tree_refers_to_stays),
		TEST(a_removed_file_goes_when_no_snapshot_has_it),
		TEST(a_kept_snapshot_keeps_what_it_has),
		TEST(the_oldest_snapshots_go_where_room_is_needed_but_never_the_newest),
		TEST(a_shorter_list_is_what_the_next_start_reads),
		TEST(a_lost_list_costs_no_snapshot_that_is_known),
		TEST(a_long_list_of_snapshots_can_be_read),
		TEST(a_pin_keeps_its_file),
		TEST(an_orphan_that_is_open_stays),
		TEST(what_is_open_by_its_address_stays),
		TEST(what_only_memory_refers_to_stays),
		TEST(garbage_that_is_cloned_in_time_is_garbage_no_more),
		TEST(garbage_that_is_opened_in_time_stays_while_it_is_open),
		TEST(what_is_written_while_it_marks_stays),
		TEST(a_collection_that_is_stopped_loses_nothing),
		TEST(a_dry_run_changes_nothing),
		TEST(a_node_that_is_gone_costs_only_what_it_led_to),
		TEST(a_node_that_cannot_be_asked_for_ends_it_before_anything_goes),
		TEST(what_is_uploaded_stays_however_long_it_takes),
		TEST(who_inserts_when_it_begins_is_waited_for),
		TEST(who_reads_is_waited_for_before_anything_goes),
		TEST(flushes_and_reads_are_inside_while_they_are_under_way),
	};

	return suite_run(tests);
}
