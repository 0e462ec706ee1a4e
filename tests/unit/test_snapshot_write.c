/*
 * snapshot_write: random trees, written into a set in memory.  What changed is written anew and
 * nothing else, and the result is that of writing all.  SEED=n replays; SOAK=1 makes it longer.
 */
#include "tests/unit/tree_test.h"

#include <sys/xattr.h>

#include "chunker/index.h"
#include "fs/snapshot_write.h"
#include "fs/unpack.h"
#include "tests/lib/chunkset.h"

#define DIRS	40u
#define NAMES	6u	/* in a directory */

static struct chunkset set;
static uint64_t seed;
static uint64_t rng;
static uint64_t dirs[DIRS];	/* some that are there; 0: none */

static uint64_t pick(uint64_t n)
{
	/* splitmix64: Steele, Lea & Flood (2014). */
	uint64_t z = rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % n;
}

static int setup(void **state)
{
	int rc = tree_test_setup(state);

	rng = seed;
	chunkset_init(&set);
	memset(dirs, 0, sizeof(dirs));
	dirs[0] = TREE_ROOT;
	return rc;
}

static int teardown(void **state)
{
	chunkset_free(&set);
	return tree_test_teardown(state);
}

static struct ref some_ref(void)
{
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = 1 + pick(1000) };

	for (size_t i = 0; i < ADDRESS_LEN; i++)
		ref.address.b[i] = (uint8_t)pick(256);
	return ref;
}

static struct tree_reader *reader(void)
{
	struct tree_reader *r;

	tree_test_commit();
	assert_int_equal(tree_reader_open(t, &r), 0);
	return r;
}

static void write_tree(struct tree_reader *r, bool all, struct written *w)
{
	assert_int_equal(snapshot_write(r, all, &set.source, &set.sink, w), 0);
}

static void tell_tree(struct tree_reader *r, const struct written *w)
{
	assert_int_equal(tree_snapshot_done(t, tree_reader_epoch(r), w->dirs, w->refs, w->n), 0);
}

/* The tree as it is now, and let the tree know. */
static struct ref take(void)
{
	struct tree_reader *r = reader();
	struct written w;
	struct ref ref;

	write_tree(r, false, &w);
	tell_tree(r, &w);
	ref = w.root.ref;
	tree_reader_close(r);
	snapshot_written_free(&w);
	return ref;
}

/*
 * Reading back.
 */
static void check_xattrs(struct tree_reader *r, uint64_t ino, const struct entry *e)
{
	struct index_cursor *c;
	struct extent extent;
	uint8_t *bytes;
	size_t len;

	assert_int_equal(tree_reader_xattrs(r, ino, &bytes, &len), 0);
	assert_int_equal(e->xattrs_apart, len > XATTRS_INLINE_MAX);
	if (!e->xattrs_apart) {
		assert_int_equal(e->xattrs_len, len);
		if (len > 0)
			assert_memory_equal(e->xattrs, bytes, len);
		free(bytes);
		return;
	}
	assert_int_equal(e->xattrs_ref.size, len);
	c = index_cursor_new(&set.source, &e->xattrs_ref);
	assert_non_null(c);
	while (index_cursor_next(c, &extent) == 1) {
		struct chunk *chunk = chunkset_get(&set, KIND_DATA, &extent.address);

		assert_non_null(chunk);
		assert_memory_equal(chunk->data, bytes + extent.off, extent.len);
	}
	index_cursor_free(c);
	free(bytes);
}

static void check_entry(struct tree_reader *r, const struct inode *i, const struct entry *e)
{
	char target[SYMLINK_LEN_MAX + 1];

	assert_int_equal(e->mode, i->mode);
	assert_int_equal(e->uid, i->uid);
	assert_int_equal(e->gid, i->gid);
	assert_int_equal(e->mtime.sec, i->mtime.sec);
	assert_int_equal(e->mtime.nsec, i->mtime.nsec);
	assert_int_equal(e->ctime.sec, i->ctime.sec);
	assert_int_equal(e->link_id, !S_ISDIR(i->mode) && i->nlink > 1 ? i->link_id : 0);
	if (S_ISREG(i->mode))
		assert_memory_equal(&e->ref.address, &i->ref.address, sizeof(e->ref.address));
	if (S_ISREG(i->mode) || S_ISDIR(i->mode))
		assert_int_equal(e->size, i->size);
	if (S_ISCHR(i->mode))
		assert_int_equal(e->rdev, i->rdev);
	if (S_ISLNK(i->mode)) {
		assert_int_equal(tree_reader_readlink(r, i->ino, target), 0);
		assert_int_equal(e->size, strlen(target));
		assert_memory_equal(e->target, target, e->size);
	}
	check_xattrs(r, i->ino, e);
}

/* Everything below ${dir} is what ${ref} says.  Returns how many names. */
static unsigned int check_below(struct tree_reader *r, uint64_t dir, const struct ref *ref)
{
	struct directory_cursor *c = directory_cursor_new(&set.source, ref);
	struct tree_name name = { .ino = dir };
	unsigned int count = 0;
	struct inode inode;
	struct entry e;

	assert_non_null(c);
	while (tree_reader_next(r, dir, name.name, name.name_len, &name) == 0 && name.ino == dir) {
		assert_int_equal(directory_cursor_next(c, &e), 1);
		assert_int_equal(e.name_len, name.name_len);
		assert_memory_equal(e.name, name.name, e.name_len);
		assert_int_equal(tree_reader_lookup(r, dir, name.name, name.name_len, &inode), 0);
		check_entry(r, &inode, &e);
		count++;
		if (S_ISDIR(inode.mode))
			count += check_below(r, inode.ino, &e.ref);
	}
	assert_int_equal(directory_cursor_next(c, &e), 0);
	directory_cursor_free(c);
	return count;
}

/*
 * Random changes.
 */
static uint64_t some_dir(void)
{
	uint64_t dir = dirs[pick(DIRS)];
	struct inode i;

	return dir && tree_get(t, dir, &i) == 0 && i.nlink > 0 ? dir : TREE_ROOT;
}

static const char *some_name(void)
{
	static char names[NAMES][300];
	uint64_t n = pick(NAMES);

	/* One of the longest. */
	memset(names[n], 'a' + (int)n, 255);
	names[n][n == 0 ? 255 : n] = 0;
	return names[n];
}

static struct timestamp some_time(void)
{
	return at(100 + (int64_t)pick(1000));
}

static void some_create(void)
{
	static const uint32_t modes[] = {
		DIR_MODE, DIR_MODE, DIR_MODE, FILE_MODE, S_IFLNK | 0777, S_IFCHR | 0600, S_IFIFO | 0600,
	};
	struct new_inode n = {
		.mode = modes[pick(sizeof(modes) / sizeof(*modes))], .uid = 1, .rdev = pick(9) << 32,
		.target = "some where", .now = some_time(),
	};
	struct inode i;

	if (tree_create(t, some_dir(), some_name(), &n, 0, &i) == 0 && S_ISDIR(i.mode))
		dirs[1 + pick(DIRS - 1)] = i.ino;
}

static void some_publication(uint64_t ino)
{
	struct publication p = { .ino = ino, .ref = some_ref(), .mtime = some_time(),
		.ctime = some_time(), .times = pick(2) };
	struct publications all = { &p, 1 };

	assert_int_equal(tree_commit(t, &all, NULL, NULL), 0);
}

static void some_change_of(uint64_t ino)
{
	static uint8_t value[3000];
	struct inode in = { .mode = (uint32_t)pick(07777), .uid = (uint32_t)pick(5),
		.mtime = some_time(), .ctime = some_time() }, out;

	memset(value, (int)pick(256), sizeof(value));
	switch (pick(4)) {
	case 0:
		tree_set_xattr(t, ino, pick(2) ? "user.a" : "user.b", value, pick(sizeof(value)), 0,
		    some_time());
		break;
	case 1:
		tree_remove_xattr(t, ino, "user.a", some_time());
		break;
	default:
		tree_set_attr(t, ino, &in, pick(2) ? SET_MODE | SET_CTIME :
		    SET_UID | SET_MTIME | SET_CTIME, &out);
	}
}

static void some_change(void)
{
	struct inode i, gone;
	uint64_t dir = some_dir();
	const char *name = some_name();

	switch (pick(10)) {
	case 0:
		if (tree_unlink(t, dir, name, some_time(), &gone) == 0 && pick(2))
			tree_forget(t, gone.ino);
		break;
	case 1:
		if (tree_rmdir(t, dir, name, some_time(), &gone) == 0 && pick(2))
			tree_forget(t, gone.ino);
		break;
	case 2:
	case 3:
		tree_rename(t, dir, name, some_dir(), some_name(), pick(3) ? 0 : RENAME_EXCHANGE,
		    some_time(), &i, &gone);
		break;
	case 4:
		if (tree_lookup(t, dir, name, &i) == 0)
			tree_link(t, i.ino, some_dir(), some_name(), some_time(), &i);
		break;
	case 5:
		if (tree_lookup(t, dir, name, &i) == 0 && S_ISREG(i.mode))
			some_publication(i.ino);
		break;
	case 6:
		some_change_of(tree_lookup(t, dir, name, &i) == 0 ? i.ino : TREE_ROOT);
		break;
	default:
		some_create();
	}
}

static void what_changed_written_anew_is_all_written_anew(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 5000 : 400, names = 0;

	(void)state;
	for (unsigned int i = 0; i < rounds; i++) {
		struct written some, all;
		struct tree_reader *r;

		for (uint64_t n = 1 + pick(30); n > 0; n--)
			some_change();
		r = reader();
		write_tree(r, false, &some);
		/* What comes while it is written is for the next. */
		for (uint64_t n = pick(4); n > 0; n--)
			some_change();
		if (pick(2))
			tree_test_commit();
		write_tree(r, true, &all);
		assert_memory_equal(&some.root.ref, &all.root.ref, sizeof(struct ref));
		names += check_below(r, TREE_ROOT, &some.root.ref);
		/* One that fails before the tree hears of it is as if it had not been. */
		if (pick(3))
			tell_tree(r, &some);
		tree_reader_close(r);
		snapshot_written_free(&some);
		snapshot_written_free(&all);
		if (pick(20) == 0)
			tree_test_reopen();
	}
	assert_true(names > 20 * rounds);
}

static void make_forwards(uint64_t dir, unsigned int depth)
{
	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%c%d", i % 5 ? 'f' : 'd', i);
		if (i % 5)
			make(dir, name, FILE_MODE);
		else if (depth > 0)
			make_forwards(make(dir, name, DIR_MODE), depth - 1);
	}
}

/* By way of other names, other places and snapshots in between. */
static void make_backwards(uint64_t dir, unsigned int depth)
{
	struct inode moved, gone;

	for (int i = 19; i >= 0; i--) {
		char name[8];
		uint64_t ino;

		snprintf(name, sizeof(name), "%c%d", i % 5 ? 'f' : 'd', i);
		if (i % 5 == 0 && depth == 0)
			continue;
		ino = make(TREE_ROOT, "elsewhere", i % 5 ? FILE_MODE : DIR_MODE);
		if (i % 7 == 0)
			take();
		assert_int_equal(tree_rename(t, TREE_ROOT, "elsewhere", dir, name, 0, at(100), &moved,
		    &gone), 0);
		if (i % 5 == 0)
			make_backwards(ino, depth - 1);
	}
}

static void the_same_tree_has_the_same_address_however_it_was_made(void **state)
{
	struct ref forwards, backwards;

	make_forwards(TREE_ROOT, 2);
	forwards = take();
	assert_int_equal(tree_test_teardown(state), 0);
	assert_int_equal(tree_test_setup(state), 0);
	make_backwards(TREE_ROOT, 2);
	backwards = take();
	assert_memory_equal(&forwards, &backwards, sizeof(forwards));
}

static void a_new_empty_directory_and_one_that_was_moved_are_there(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", DIR_MODE), b = make(TREE_ROOT, "b", DIR_MODE);
	struct inode moved, gone;
	struct tree_reader *r;
	struct ref ref;

	(void)state;
	make(make(a, "full", DIR_MODE), "file", FILE_MODE);
	make(a, "empty", DIR_MODE);
	take();
	assert_int_equal(tree_rename(t, a, "full", b, "moved", 0, at(7), &moved, &gone), 0);
	ref = take();
	r = reader();
	assert_int_equal(check_below(r, TREE_ROOT, &ref), 5);
	tree_reader_close(r);
}

static void only_the_changed_path_is_written(void **state)
{
	uint64_t dir = TREE_ROOT;

	(void)state;
	for (char c = 'a'; c <= 'j'; c++) {
		char name[2] = { c, 0 };

		make(dir, "file", FILE_MODE);
		for (int i = 0; i < 10; i++)
			make(make(dir, (char[]){ 'x', (char)('0' + i), 0 }, DIR_MODE), "file", FILE_MODE);
		dir = make(dir, name, DIR_MODE);
	}
	take();
	set.puts = set.gets = 0;
	take();
	assert_true(set.puts <= 1);
	make(dir, "new", FILE_MODE);
	set.puts = set.gets = 0;
	take();
	assert_true(set.puts <= 11);
	assert_true(set.gets <= 11);
}

static void count_names(void *arg, uint64_t done, uint64_t total)
{
	assert_true(done <= total);
	*(uint64_t *)arg = done;
}

/* What is written of the tree when nothing is known of older directories; held. */
static void write_anew(struct written *w)
{
	struct tree_reader *r = reader();

	write_tree(r, true, w);
	tree_reader_close(r);
}

static void a_tree_that_was_unpacked_is_the_one_that_was_written(void **state)
{
	const unsigned int rounds = getenv("SOAK") ? 300 : 20;

	for (unsigned int i = 0; i < rounds; i++) {
		struct written before, after;
		struct tree_reader *r;
		uint64_t names = 0;
		const struct unpack_watch watch = { .tell = count_names, .arg = &names };

		for (unsigned int n = 0; n < 300; n++)
			some_change();
		write_anew(&before);
		tree_test_teardown(state);
		memset(dirs, 0, sizeof(dirs));
		dirs[0] = TREE_ROOT;
		assert_int_equal(tree_test_setup(state), 0);

		assert_int_equal(unpack_tree(t, &set.source, &before.root, &watch), 0);
		assert_true(names > 0);
		write_anew(&after);
		assert_memory_equal(&before.root.ref, &after.root.ref, sizeof(struct ref));
		assert_int_equal(before.root.mode, after.root.mode);
		assert_int_equal(before.root.xattrs_len, after.root.xattrs_len);
		/* Nothing of it counts as changed, and it can go on. */
		r = reader();
		assert_int_equal(check_below(r, TREE_ROOT, &before.root.ref), names);
		tree_reader_close(r);
		snapshot_written_free(&before);
		snapshot_written_free(&after);
	}
}

static void what_nobody_has_is_not_unpacked(void **state)
{
	uint64_t names = 0;
	const struct unpack_watch watch = { .tell = count_names, .arg = &names };
	struct written w;

	make(make(TREE_ROOT, "a", DIR_MODE), "file", FILE_MODE);
	write_anew(&w);
	tree_test_teardown(state);
	assert_int_equal(tree_test_setup(state), 0);
	chunkset_free(&set);
	chunkset_init(&set);
	assert_int_equal(unpack_tree(t, &set.source, &w.root, &watch), -ENOENT);
	snapshot_written_free(&w);
}

static void the_root_s_own_attributes_are_in_it(void **state)
{
	struct inode in = { .mode = 0700, .ctime = at(5) }, out;
	struct tree_reader *r;
	struct written w;

	(void)state;
	take();
	assert_int_equal(tree_set_attr(t, TREE_ROOT, &in, SET_MODE | SET_CTIME, &out), 0);
	assert_int_equal(tree_set_xattr(t, TREE_ROOT, "user.a", "value", 5, 0, at(6)), 0);
	r = reader();
	write_tree(r, false, &w);
	assert_int_equal(w.root.mode, S_IFDIR | 0700);
	check_xattrs(r, TREE_ROOT, &w.root);
	tree_reader_close(r);
	snapshot_written_free(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_changed_written_anew_is_all_written_anew),
		TEST(the_same_tree_has_the_same_address_however_it_was_made),
		TEST(a_new_empty_directory_and_one_that_was_moved_are_there),
		TEST(only_the_changed_path_is_written),
		TEST(a_tree_that_was_unpacked_is_the_one_that_was_written),
		TEST(what_nobody_has_is_not_unpacked),
		TEST(the_root_s_own_attributes_are_in_it),
	};

	seed = suite_seed(20240611);
	return suite_run(tests);
}
