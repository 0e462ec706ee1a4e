/* tree: names, inodes, directories, what survives a reopening, and what is no tree. */
#include "tree_test.h"

#include <fcntl.h>
#include <lmdb.h>

#include "fs/tree_internal.h"

static int create_errno(uint64_t dir, const char *name, uint32_t mode, const char *target)
{
	struct new_inode n = { .mode = mode, .target = target, .now = at(100) };
	struct inode i;

	return tree_create(t, dir, name, &n, 0, &i);
}

static void a_new_tree_has_a_root_of_the_caller(void **state)
{
	struct inode i = get(TREE_ROOT);
	uint64_t count;

	(void)state;
	assert_int_equal(i.mode, S_IFDIR | 0755);
	assert_int_equal(i.uid, geteuid());
	assert_int_equal(i.nlink, 2);
	assert_int_equal(i.size, 0);
	assert_int_equal(i.parent, TREE_ROOT);
	tree_count(t, &count);
	assert_int_equal(count, 1);
	assert_false(tree_dirty(t, NULL));
}

static void every_type_is_made_as_it_was_asked_for(void **state)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	struct ref empty;

	(void)state;
	ref_empty(&empty);
	for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
		char name[] = { (char)('a' + k), '\0' };
		struct inode i = get(make(TREE_ROOT, name, types[k] | 04751));

		assert_int_equal(i.mode, types[k] | 04751);
		assert_int_equal(i.uid, 1);
		assert_int_equal(i.gid, 2);
		assert_int_equal(i.nlink, S_ISDIR(types[k]) ? 2 : 1);
		assert_int_equal(i.rdev, S_ISCHR(types[k]) || S_ISBLK(types[k]) ? 5 : 0);
		assert_int_equal(i.size, S_ISLNK(types[k]) ? 8 : 0);
		assert_int_equal(i.ref.hash, S_ISREG(types[k]) ? HASH_BLAKE2B_256 : 0);
		if (S_ISREG(types[k]))
			assert_true(ref_equal(&i.ref, &empty));
		assert_int_equal(i.parent, TREE_ROOT);
		assert_int_equal(i.atime.sec, 100);
		assert_int_equal(i.ctime.nsec, 7);
	}
	assert_int_equal(get(TREE_ROOT).size, 7);
	assert_int_equal(get(TREE_ROOT).nlink, 3);
	assert_int_equal(get(TREE_ROOT).mtime.sec, 100);
	assert_int_equal(get(TREE_ROOT).ctime.sec, 100);
}

static void what_was_committed_is_there_after_a_crash_and_nothing_else(void **state)
{
	uint64_t dir = make(TREE_ROOT, "dir", DIR_MODE), a = make(dir, "a", FILE_MODE);
	struct inode i;

	(void)state;
	assert_true(tree_dirty(t, NULL));
	tree_test_commit();
	assert_false(tree_dirty(t, NULL));
	make(dir, "b", FILE_MODE);
	assert_int_equal(tree_unlink(t, dir, "a", at(5), &i), 0);
	tree_test_reopen();
	assert_int_equal(find(TREE_ROOT, "dir"), dir);
	assert_int_equal(find(dir, "a"), a);
	assert_int_equal(find(dir, "b"), 0);
	assert_int_equal(get(dir).size, 1);
}

static void numbers_are_not_used_again(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), b;
	struct inode i;

	(void)state;
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(5), &i), 0);
	tree_forget(t, a);
	b = make(TREE_ROOT, "a", FILE_MODE);
	assert_true(b > a);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(5), &i), 0);
	tree_forget(t, b);
	tree_test_commit();
	tree_test_reopen();
	assert_true(make(TREE_ROOT, "a", FILE_MODE) > b);
}

static void names_are_checked(void **state)
{
	char name[NAME_LEN_MAX + 2];
	uint64_t file = make(TREE_ROOT, "file", FILE_MODE), dir = make(TREE_ROOT, "dir", DIR_MODE);
	struct inode i;

	(void)state;
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	assert_int_equal(create_errno(TREE_ROOT, name, FILE_MODE, NULL), -ENAMETOOLONG);
	assert_int_equal(tree_lookup(t, TREE_ROOT, name, &i), -ENAMETOOLONG);
	name[NAME_LEN_MAX] = '\0';
	assert_int_equal(create_errno(TREE_ROOT, name, FILE_MODE, NULL), 0);
	assert_int_not_equal(find(TREE_ROOT, name), 0);
	assert_int_equal(create_errno(TREE_ROOT, "", FILE_MODE, NULL), -EINVAL);
	assert_int_equal(create_errno(TREE_ROOT, ".", FILE_MODE, NULL), -EINVAL);
	assert_int_equal(create_errno(TREE_ROOT, "..", FILE_MODE, NULL), -EINVAL);
	assert_int_equal(create_errno(TREE_ROOT, "a/b", FILE_MODE, NULL), -EINVAL);
	assert_int_equal(create_errno(TREE_ROOT, "file", FILE_MODE, NULL), -EEXIST);
	assert_int_equal(create_errno(file, "a", FILE_MODE, NULL), -ENOTDIR);
	assert_int_equal(create_errno(12345, "a", FILE_MODE, NULL), -ENOENT);
	assert_int_equal(tree_lookup(t, file, "a", &i), -ENOTDIR);
	assert_int_equal(tree_lookup(t, 12345, "a", &i), -ENOENT);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "dir", at(5), &i), 0);
	assert_int_equal(create_errno(dir, "a", FILE_MODE, NULL), -ENOENT);
}

static void a_name_can_hold_any_byte_but_two(void **state)
{
	struct tree_name names[300];
	uint64_t dir = make(TREE_ROOT, "dir", DIR_MODE);
	int n;

	(void)state;
	for (int c = 1; c < 256; c++) {
		char name[] = { 'x', (char)c, '\0' };

		if (c != '/')
			make(dir, name, FILE_MODE);
	}
	n = tree_readdir(t, dir, 0, 300, names, NULL);
	assert_int_equal(n, 254);
	for (int k = 0; k < n; k++)
		assert_int_equal(find(dir, names[k].name), names[k].ino);
}

static void a_symlink_keeps_its_target(void **state)
{
	char target[SYMLINK_LEN_MAX + 2], got[SYMLINK_LEN_MAX + 1];
	uint64_t file = make(TREE_ROOT, "file", FILE_MODE);

	(void)state;
	memset(target, 't', sizeof target);
	target[sizeof target - 1] = '\0';
	assert_int_equal(create_errno(TREE_ROOT, "a", S_IFLNK | 0777, target), -ENAMETOOLONG);
	assert_int_equal(create_errno(TREE_ROOT, "a", S_IFLNK | 0777, ""), -ENOENT);
	target[SYMLINK_LEN_MAX] = '\0';
	assert_int_equal(create_errno(TREE_ROOT, "a", S_IFLNK | 0777, target), 0);
	assert_int_equal(tree_readlink(t, find(TREE_ROOT, "a"), got), 0);
	assert_string_equal(got, target);
	assert_int_equal(get(find(TREE_ROOT, "a")).size, SYMLINK_LEN_MAX);
	assert_int_equal(tree_readlink(t, file, got), -EINVAL);
	assert_int_equal(tree_readlink(t, 12345, got), -ENOENT);
}

static void what_has_lost_its_name_lives_until_it_is_forgotten(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct inode gone;

	(void)state;
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(200), &gone), 0);
	assert_int_equal(gone.ino, a);
	assert_int_equal(gone.nlink, 0);
	assert_int_equal(gone.ctime.sec, 200);
	assert_int_equal(get(TREE_ROOT).mtime.sec, 200);
	assert_true(tree_is_orphan(t, a));
	assert_int_equal(get(a).parent, 0);
	assert_int_equal(tree_link(t, a, TREE_ROOT, "b", at(201), &gone), -ENOENT);
	tree_forget(t, a);
	assert_false(tree_is_orphan(t, a));
	assert_int_equal(tree_get(t, a, &gone), -ENOENT);
	tree_forget(t, TREE_ROOT);
	get(TREE_ROOT);
}

static void orphans_of_the_last_run_are_deleted(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", S_IFLNK | 0777), dir = make(TREE_ROOT, "dir", DIR_MODE);
	struct inode gone;
	uint64_t count;

	(void)state;
	make(dir, "x", FILE_MODE);
	assert_int_equal(tree_set_xattr(t, a, "trusted.x", "y", 1, 0, at(5)), 0);
	assert_int_equal(tree_unlink(t, dir, "x", at(5), &gone), 0);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(5), &gone), 0);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "dir", at(5), &gone), 0);
	tree_test_commit();
	tree_test_reopen();
	assert_int_equal(tree_get(t, a, &gone), -ENOENT);
	assert_int_equal(tree_get(t, dir, &gone), -ENOENT);
	tree_count(t, &count);
	assert_int_equal(count, 1);
	/* Nothing of theirs is left in any table but the records of the root's names. */
	for (int table = 0; table < TABLES; table++) {
		struct key key = key_of(TREE_ROOT + 1);
		MDB_val k, v;

		if (table != META && table != PINS)
			assert_int_equal(view_seek(t->view, (enum table)table, &key, &k, &v), -ENOENT);
	}
}

static void links_are_counted(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), dir = make(TREE_ROOT, "dir", DIR_MODE);
	struct inode i;
	uint64_t id;

	(void)state;
	assert_int_equal(get(a).link_id, 0);
	assert_int_equal(tree_link(t, a, dir, "b", at(300), &i), 0);
	assert_int_equal(i.nlink, 2);
	assert_int_equal(i.ctime.sec, 300);
	assert_int_equal(get(dir).mtime.sec, 300);
	id = i.link_id;
	assert_int_not_equal(id, 0);
	assert_int_equal(tree_link(t, a, dir, "b", at(300), &i), -EEXIST);
	assert_int_equal(tree_link(t, dir, dir, "c", at(300), &i), -EPERM);
	assert_int_equal(tree_link(t, 12345, dir, "c", at(300), &i), -ENOENT);
	/* The row must name a directory in which it still is. */
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(301), &i), 0);
	assert_int_equal(i.nlink, 1);
	assert_int_equal(i.parent, dir);
	assert_int_equal(i.link_id, id);
	assert_int_equal(find(dir, "b"), a);
}

static void no_more_links_than_allowed(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct inode i = get(a);
	char name[16];

	(void)state;
	for (unsigned int k = 2; k <= TREE_LINKS_MAX; k++) {
		snprintf(name, sizeof name, "l%u", k);
		assert_int_equal(tree_link(t, a, TREE_ROOT, name, at(5), &i), 0);
	}
	assert_int_equal(i.nlink, TREE_LINKS_MAX);
	assert_int_equal(tree_link(t, a, TREE_ROOT, "more", at(5), &i), -EMLINK);
	tree_test_commit();
	/* All of them are told of a change. */
	i.ctime = at(77);
	assert_int_equal(tree_set_attr(t, a, &i, SET_CTIME, &i), 0);
	assert_int_equal(get(a).ctime.sec, 77);
}

static void only_empty_directories_go(void **state)
{
	uint64_t dir = make(TREE_ROOT, "dir", DIR_MODE);
	struct inode i;

	(void)state;
	make(TREE_ROOT, "file", FILE_MODE);
	make(dir, "x", DIR_MODE);
	assert_int_equal(get(TREE_ROOT).nlink, 3);
	assert_int_equal(get(dir).nlink, 3);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "dir", at(5), &i), -ENOTEMPTY);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "file", at(5), &i), -ENOTDIR);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "nothing", at(5), &i), -ENOENT);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "dir", at(5), &i), -EISDIR);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "nothing", at(5), &i), -ENOENT);
	assert_int_equal(tree_rmdir(t, dir, "x", at(5), &i), 0);
	assert_int_equal(get(dir).nlink, 2);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "dir", at(5), &i), 0);
	assert_int_equal(get(TREE_ROOT).nlink, 2);
	assert_int_equal(tree_readdir(t, dir, 0, 1, &(struct tree_name){ 0 }, NULL), 0);
}

static void a_listing_goes_on_while_names_come_and_go(void **state)
{
	uint64_t dir = make(TREE_ROOT, "dir", DIR_MODE), after = 0;
	bool met[200] = { false };
	struct tree_name n;
	struct inode i;
	char name[16];

	(void)state;
	for (int k = 0; k < 100; k++) {
		snprintf(name, sizeof name, "%d", k);
		make(dir, name, FILE_MODE);
	}
	while (tree_readdir(t, dir, after, 1, &n, &i) == 1) {
		int k = atoi(n.name);

		assert_true(n.cookie >= 3 && n.cookie > after);
		assert_int_equal(i.ino, n.ino);
		assert_false(met[k]);
		met[k] = true;
		after = n.cookie;
		/* What was listed goes, is renamed, and a new name takes its place. */
		if (k < 50) {
			snprintf(name, sizeof name, "%d", 100 + k);
			assert_int_equal(tree_rename(t, dir, n.name, dir, name, 0, at(5), &i, &i), 0);
		} else if (k < 100) {
			assert_int_equal(tree_unlink(t, dir, n.name, at(5), &i), 0);
		}
	}
	for (int k = 0; k < 100; k++)
		assert_true(met[k]);
	assert_int_equal(tree_readdir(t, dir, UINT64_MAX, 1, &n, NULL), 0);
	assert_int_equal(tree_readdir(t, 12345, 0, 1, &n, NULL), -ENOENT);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void a_commit_that_is_not_ready_does_nothing(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct publication p = { .ino = a, .ref = get(a).ref, .data = 9 };
	struct publications what = { &p, 1 };

	(void)state;
	p.ref.size = 9;
	assert_int_equal(tree_commit(t, &what, never, NULL), -EAGAIN);
	assert_true(tree_dirty(t, NULL));
	assert_int_equal(get(a).size, 0);
	assert_int_equal(tree_commit(t, &what, NULL, NULL), 0);
	assert_int_equal(get(a).size, 9);
	assert_int_equal(get(a).data, 9);
	assert_int_equal(get(a).mtime.sec, 100);
	p.times = true;
	p.mtime = at(500);
	p.ctime = at(501);
	assert_int_equal(tree_commit(t, &what, NULL, NULL), 0);
	assert_int_equal(get(a).mtime.sec, 500);
	assert_int_equal(get(a).ctime.sec, 501);
}

static void a_publication_does_not_set_ctime_back(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct publication p = { .ino = a, .ref = get(a).ref, .times = true };
	struct publications what = { &p, 1 };
	struct inode i;

	(void)state;
	p.mtime = p.ctime = at(200);
	/* The content is of 200, the name of 300. */
	assert_int_equal(tree_rename(t, TREE_ROOT, "a", TREE_ROOT, "b", 0, at(300), &i, &i), 0);
	assert_int_equal(tree_commit(t, &what, NULL, NULL), 0);
	assert_int_equal(get(a).mtime.sec, 200);
	assert_int_equal(get(a).ctime.sec, 300);
}

static void pins_and_the_head_are_kept(void **state)
{
	struct ref pin = { .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = 3 }, got[4], kept;
	uint64_t epoch;

	(void)state;
	assert_int_equal(tree_get_head(t, &got[0], &epoch, &kept), 0);
	assert_int_equal(got[0].hash, 0);
	for (uint8_t k = 0; k < 3; k++) {
		pin.address.b[0] = (uint8_t)(9 - k);
		assert_int_equal(tree_pin(t, &pin, at(5)), 0);
	}
	assert_int_equal(tree_set_head(t, &pin, 77, &(struct ref){ 0 }), 0);
	tree_test_commit();
	tree_test_reopen();
	assert_int_equal(tree_get_head(t, &got[0], &epoch, &kept), 0);
	assert_true(ref_equal(&got[0], &pin));
	assert_int_equal(epoch, 77);
	assert_int_equal(kept.hash, 0);
	assert_int_equal(tree_pins(t, NULL, 4, got), 3);
	assert_int_equal(got[0].address.b[0], 7);
	assert_int_equal(tree_pins(t, &got[0].address, 1, got), 1);
	assert_int_equal(got[0].address.b[0], 8);
	assert_int_equal(tree_unpin(t, &got[0].address), 0);
	assert_int_equal(tree_unpin(t, &got[0].address), -ENOENT);
	assert_int_equal(tree_pins(t, NULL, 4, got), 2);
}

static void change_records_of_a_removed_directory_are_not_shown(void **state)
{
	uint64_t dir = make(TREE_ROOT, "dir", DIR_MODE), next = make(TREE_ROOT, "next", DIR_MODE);
	struct tree_name c = { 0 };
	struct tree_reader *r;
	struct inode i;

	(void)state;
	make(dir, "x", FILE_MODE);
	make(next, "y", FILE_MODE);
	tree_test_commit();
	assert_int_equal(tree_unlink(t, dir, "x", at(5), &i), 0);
	assert_int_equal(tree_rmdir(t, TREE_ROOT, "dir", at(5), &i), 0);
	tree_test_commit();
	assert_int_equal(tree_reader_open(t, &r), 0);
	assert_int_equal(tree_reader_changed(r, 0, "", 0, &c), 0);
	assert_int_equal(c.ino, TREE_ROOT);
	assert_string_equal(c.name, "dir");
	assert_int_equal(tree_reader_changed(r, TREE_ROOT, "next", 4, &c), 0);
	assert_int_equal(c.ino, next);
	assert_int_equal(tree_reader_changed(r, c.ino, c.name, c.name_len, &c), -ENOENT);
	tree_reader_close(r);
}

static void a_mount_that_only_reads_changes_nothing(void **state)
{
	struct tree_name name;
	char why[256];
	struct inode i;

	(void)state;
	make(TREE_ROOT, "a", FILE_MODE);
	tree_test_commit();
	tree_close(t);
	assert_int_equal(tree_open(tree_dir, true, &t, why, sizeof why), 0);
	assert_int_not_equal(find(TREE_ROOT, "a"), 0);
	assert_int_equal(tree_readdir(t, TREE_ROOT, 0, 1, &name, &i), 1);
	assert_int_equal(create_errno(TREE_ROOT, "b", FILE_MODE, NULL), -EROFS);
	assert_int_equal(tree_unlink(t, TREE_ROOT, "a", at(5), &i), -EROFS);
	assert_int_equal(tree_begin(t), -EROFS);
	assert_int_equal(tree_commit(t, NULL, NULL, NULL), -EROFS);
}

static void nothing_is_no_tree_to_read(void **state)
{
	char why[256] = "", dir[] = "/tmp/tree-XXXXXX";
	struct tree *none;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(tree_open(dir, true, &none, why, sizeof why), -ENOENT);
	assert_non_null(strstr(why, "without ro"));
	assert_null(none);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(tree_open("/nowhere/at/all", false, &none, why, sizeof why), -ENOENT);
	assert_null(none);
}

/* Change the tree's file while it is closed. */
static int reopen_damaged(void (*damage)(const char *path), char *why, size_t size)
{
	char path[96];

	tree_close(t);
	t = NULL;
	snprintf(path, sizeof path, "%s/" TREE_FILE, tree_dir);
	damage(path);
	return tree_open(tree_dir, false, &t, why, size);
}

static void cut(const char *path)
{
	assert_int_equal(truncate(path, 5 * 4096), 0);
}

static void overwrite(const char *path)
{
	int fd = open(path, O_WRONLY);
	char junk[8192];

	memset(junk, 'j', sizeof junk);
	assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
	close(fd);
}

static void age(const char *path)
{
	struct key key = key_text("state");
	MDB_val k = { key.len, key.b }, v;
	uint8_t state[STATE_LEN];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 1 << 30), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, TABLES), 0);
	assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
	memcpy(state, v.mv_data, sizeof state);
	state[0]++;
	v.mv_data = state;
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void a_damaged_file_is_refused_with_a_word(void **state)
{
	char why[256] = "";

	(void)state;
	for (int k = 0; k < 500; k++) {
		char name[16];

		snprintf(name, sizeof name, "%d", k);
		make(TREE_ROOT, name, FILE_MODE);
	}
	tree_test_commit();
	assert_int_equal(reopen_damaged(cut, why, sizeof why), -EBADMSG);
	assert_non_null(strstr(why, "cut short"));
	assert_int_equal(reopen_damaged(overwrite, why, sizeof why), -EBADMSG);
	assert_non_null(strstr(why, tree_dir));
}

static void another_format_is_refused(void **state)
{
	char why[256] = "";

	(void)state;
	assert_int_equal(reopen_damaged(age, why, sizeof why), -EPROTO);
	assert_non_null(strstr(why, "format"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_test_setup, tree_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_tree_has_a_root_of_the_caller),
		TEST(every_type_is_made_as_it_was_asked_for),
		TEST(what_was_committed_is_there_after_a_crash_and_nothing_else),
		TEST(numbers_are_not_used_again),
		TEST(names_are_checked),
		TEST(a_name_can_hold_any_byte_but_two),
		TEST(a_symlink_keeps_its_target),
		TEST(what_has_lost_its_name_lives_until_it_is_forgotten),
		TEST(orphans_of_the_last_run_are_deleted),
		TEST(links_are_counted),
		TEST(no_more_links_than_allowed),
		TEST(only_empty_directories_go),
		TEST(a_listing_goes_on_while_names_come_and_go),
		TEST(a_commit_that_is_not_ready_does_nothing),
		TEST(a_publication_does_not_set_ctime_back),
		TEST(pins_and_the_head_are_kept),
		TEST(change_records_of_a_removed_directory_are_not_shown),
		TEST(a_mount_that_only_reads_changes_nothing),
		TEST(nothing_is_no_tree_to_read),
		TEST(a_damaged_file_is_refused_with_a_word),
		TEST(another_format_is_refused),
	};

	return suite_run(tests);
}
