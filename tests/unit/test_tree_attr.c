/* tree: attributes, xattrs, and ACLs as the mount will use them. */
#include "tree_test.h"

#include <sys/xattr.h>

#include "chunker/bytes.h"
#include "chunker/xattrs.h"

#define ACCESS	"system.posix_acl_access"
#define DEFAULT	"system.posix_acl_default"

/* Owner, user 1000, group, mask, others. */
static size_t acl_of(uint8_t *b, unsigned int u, unsigned int named, unsigned int g, unsigned int m,
    unsigned int o)
{
	const uint16_t entries[][3] = { { 1, (uint16_t)u, 0 }, { 2, (uint16_t)named, 1000 },
		{ 4, (uint16_t)g, 0 }, { 16, (uint16_t)m, 0 }, { 32, (uint16_t)o, 0 } };

	put_le32(b, 2);
	for (int i = 0; i < 5; i++) {
		put_le16(b + 4 + 8 * i, entries[i][0]);
		put_le16(b + 6 + 8 * i, entries[i][1]);
		put_le32(b + 8 + 8 * i, i == 1 ? entries[i][2] : UINT32_MAX);
	}
	return 44;
}

/* One that says no more than a mode. */
static size_t plain_acl(uint8_t *b, unsigned int u, unsigned int g, unsigned int o)
{
	const unsigned int entries[][2] = { { 1, u }, { 4, g }, { 32, o } };

	put_le32(b, 2);
	for (int i = 0; i < 3; i++) {
		put_le16(b + 4 + 8 * i, (uint16_t)entries[i][0]);
		put_le16(b + 6 + 8 * i, (uint16_t)entries[i][1]);
		put_le32(b + 8 + 8 * i, UINT32_MAX);
	}
	return 28;
}

static struct inode create(uint64_t dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid,
    uint32_t umask)
{
	struct new_inode n = { .mode = mode, .uid = uid, .gid = gid, .target = "x", .now = at(100) };
	struct inode i, again;

	assert_int_equal(tree_create(t, dir, name, &n, umask, &i), 0);
	again = get(i.ino);
	assert_memory_equal(&i, &again, sizeof i);
	return i;
}

static int set(uint64_t ino, const char *name, const void *value, size_t len)
{
	return tree_set_xattr(t, ino, name, value, len, 0, at(700));
}

static uint32_t chmod_to(uint64_t ino, uint32_t mode)
{
	struct inode i = { .mode = mode };

	assert_int_equal(tree_set_attr(t, ino, &i, SET_MODE, &i), 0);
	return i.mode;
}

static void assert_acl(uint64_t ino, const char *name, const uint8_t *acl, size_t len)
{
	uint8_t got[256];

	assert_int_equal(tree_get_xattr(t, ino, name, got, sizeof got), len);
	assert_memory_equal(got, acl, len);
}

static void the_umask_takes_bits_where_no_acl_is_inherited(void **state)
{
	(void)state;
	assert_int_equal(create(TREE_ROOT, "a", S_IFREG | 0666, 1, 2, 022).mode, S_IFREG | 0644);
	assert_int_equal(create(TREE_ROOT, "b", S_IFDIR | 01777, 1, 2, 077).mode, S_IFDIR | 01700);
	assert_int_equal(create(TREE_ROOT, "c", S_IFLNK | 0777, 1, 2, 077).mode, S_IFLNK | 0777);
}

static void a_setgid_directory_gives_its_group(void **state)
{
	uint64_t dir = create(TREE_ROOT, "dir", S_IFDIR | 02775, 1, 50, 0).ino;
	struct inode sub = create(dir, "sub", S_IFDIR | 0755, 7, 8, 022);

	(void)state;
	assert_int_equal(sub.gid, 50);
	assert_int_equal(sub.mode, S_IFDIR | 02755);
	assert_int_equal(create(dir, "file", S_IFREG | 0644, 7, 8, 0).gid, 50);
	assert_int_equal(create(dir, "link", S_IFLNK | 0777, 7, 8, 0).gid, 50);
	/* Who may make a program of that group is the kernel's to say. */
	assert_int_equal(create(dir, "program", S_IFREG | 02755, 7, 8, 022).mode, S_IFREG | 02755);
}

static void only_what_is_named_is_set(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct inode in = {
		.mode = S_IFDIR | 04711, .uid = 10, .gid = 11,
		.atime = at(1), .mtime = at(2), .ctime = at(3),
	}, out;

	(void)state;
	assert_int_equal(tree_set_attr(t, a, &in, SET_MODE, &out), 0);
	assert_int_equal(out.mode, S_IFREG | 04711);
	assert_int_equal(out.uid, 1);
	assert_int_equal(out.ctime.sec, 100);
	assert_int_equal(tree_set_attr(t, a, &in, SET_UID | SET_GID | SET_ATIME, &out), 0);
	assert_int_equal(out.uid, 10);
	assert_int_equal(out.gid, 11);
	assert_int_equal(out.atime.sec, 1);
	assert_int_equal(out.mtime.sec, 100);
	assert_int_equal(tree_set_attr(t, a, &in, SET_MTIME | SET_CTIME, &out), 0);
	assert_int_equal(get(a).mtime.sec, 2);
	assert_int_equal(get(a).ctime.sec, 3);
	assert_int_equal(tree_set_attr(t, 12345, &in, SET_MODE, &out), -ENOENT);
}

static void setting_what_is_so_changes_nothing(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	struct inode i = get(a);

	(void)state;
	tree_test_commit();
	assert_int_equal(tree_set_attr(t, a, &i, SET_MODE | SET_KILL_PRIV | SET_CTIME, &i), 0);
	assert_false(tree_dirty(t, NULL));
}

static void writing_drops_privileges(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", S_IFREG | 06755), b = make(TREE_ROOT, "b", S_IFREG | 06745);
	uint64_t d = make(TREE_ROOT, "d", S_IFDIR | 06755);
	struct inode i = { 0 };

	(void)state;
	assert_int_equal(set(a, "security.capability", "cap", 3), 0);
	assert_int_equal(set(a, "user.x", "1", 1), 0);
	assert_int_equal(get(a).flags, INODE_XATTRS | INODE_CAPS);
	assert_int_equal(tree_set_attr(t, a, &i, SET_KILL_PRIV, &i), 0);
	assert_int_equal(i.mode, S_IFREG | 0755);
	assert_int_equal(i.flags, INODE_XATTRS);
	assert_int_equal(tree_get_xattr(t, a, "security.capability", NULL, 0), -ENODATA);
	assert_int_equal(tree_get_xattr(t, a, "user.x", NULL, 0), 1);
	assert_int_equal(tree_set_attr(t, b, &i, SET_KILL_PRIV, &i), 0);
	assert_int_equal(i.mode, S_IFREG | 02745);
	assert_int_equal(tree_set_attr(t, d, &i, SET_KILL_PRIV, &i), 0);
	assert_int_equal(i.mode, S_IFDIR | 06755);
}

static void xattrs_are_set_listed_and_removed(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	char got[64];

	(void)state;
	assert_int_equal(tree_list_xattr(t, a, got, sizeof got), 0);
	assert_int_equal(tree_get_xattr(t, a, "user.x", got, sizeof got), -ENODATA);
	assert_int_equal(set(a, "user.x", "value", 5), 0);
	assert_int_equal(set(a, "user.a", "", 0), 0);
	assert_int_equal(get(a).ctime.sec, 700);
	assert_int_equal(get(a).flags, INODE_XATTRS);
	assert_int_equal(tree_get_xattr(t, a, "user.x", NULL, 0), 5);
	assert_int_equal(tree_get_xattr(t, a, "user.x", got, 4), -ERANGE);
	assert_int_equal(tree_get_xattr(t, a, "user.x", got, 5), 5);
	assert_memory_equal(got, "value", 5);
	assert_int_equal(tree_get_xattr(t, a, "user.a", got, 5), 0);
	assert_int_equal(tree_list_xattr(t, a, NULL, 0), 14);
	assert_int_equal(tree_list_xattr(t, a, got, 13), -ERANGE);
	assert_int_equal(tree_list_xattr(t, a, got, 14), 14);
	assert_memory_equal(got, "user.a\0user.x", 14);
	assert_int_equal(tree_set_xattr(t, a, "user.x", "", 0, XATTR_CREATE, at(5)), -EEXIST);
	assert_int_equal(tree_set_xattr(t, a, "user.y", "", 0, XATTR_REPLACE, at(5)), -ENODATA);
	assert_int_equal(tree_set_xattr(t, a, "user.x", "", 0, XATTR_REPLACE, at(5)), 0);
	assert_int_equal(tree_remove_xattr(t, a, "user.y", at(5)), -ENODATA);
	assert_int_equal(tree_remove_xattr(t, a, "user.x", at(5)), 0);
	assert_int_equal(get(a).flags, INODE_XATTRS);
	assert_int_equal(tree_remove_xattr(t, a, "user.a", at(5)), 0);
	assert_int_equal(get(a).flags, 0);
}

static void xattrs_have_bounds(void **state)
{
	static char value[XATTR_VALUE_MAX_LEN + 1];
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	char name[300] = "user.";

	(void)state;
	assert_int_equal(set(a, "", "x", 1), -ERANGE);
	memset(name + 5, 'n', 251);
	assert_int_equal(set(a, name, "x", 1), -ERANGE);
	name[255] = '\0';
	assert_int_equal(set(a, name, "x", 1), 0);
	assert_int_equal(tree_remove_xattr(t, a, name, at(5)), 0);
	assert_int_equal(set(a, "user.x", value, sizeof value), -E2BIG);
	assert_int_equal(set(a, "user.x", value, TREE_XATTRS_MAX - 5), -ENOSPC);
	assert_int_equal(set(a, "user.x", value, TREE_XATTRS_MAX - 6), 0);
	assert_int_equal(set(a, "user.y", "", 0), -ENOSPC);
	/* What is replaced does not count. */
	assert_int_equal(set(a, "user.x", value, TREE_XATTRS_MAX - 12), 0);
	assert_int_equal(set(a, "user.y", "", 0), 0);
	assert_int_equal(set(a, "user.", "x", 1), -EINVAL);
	assert_int_equal(set(a, "other.x", "x", 1), -EOPNOTSUPP);
	assert_int_equal(set(a, "system.x", "x", 1), -EOPNOTSUPP);
	assert_int_equal(set(12345, "user.x", "x", 1), -ENOENT);
	assert_int_equal(tree_set_xattr(t, a, "user.x", "x", 1, 64, at(5)), -EINVAL);
}

static void a_reader_gets_them_encoded(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), b = make(TREE_ROOT, "b", FILE_MODE);
	struct tree_reader *r;
	struct xattr x;
	const uint8_t *p;
	uint8_t *bytes;
	size_t len;

	(void)state;
	assert_int_equal(set(a, "user.y", "why", 3), 0);
	assert_int_equal(set(a, "user.x", "ex", 2), 0);
	tree_test_commit();
	assert_int_equal(tree_reader_open(t, &r), 0);
	assert_int_equal(tree_reader_xattrs(r, a, &bytes, &len), 0);
	p = bytes;
	assert_int_equal(xattr_next(&p, bytes + len, NULL, &x), 1);
	assert_memory_equal(x.name, "user.x", 6);
	assert_memory_equal(x.value, "ex", 2);
	assert_int_equal(xattr_next(&p, bytes + len, &x, &x), 1);
	assert_int_equal(x.value_len, 3);
	assert_int_equal(xattr_next(&p, bytes + len, NULL, &x), 0);
	free(bytes);
	assert_int_equal(tree_reader_xattrs(r, b, &bytes, &len), 0);
	assert_int_equal(len, 0);
	assert_null(bytes);
	tree_reader_close(r);
}

static void an_access_acl_and_the_mode_follow_each_other(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE);
	uint8_t acl[64], expected[64];
	size_t len = acl_of(acl, 7, 7, 5, 3, 1);

	(void)state;
	assert_int_equal(set(a, ACCESS, acl, len), 0);
	assert_int_equal(get(a).mode, S_IFREG | 0731);
	assert_int_equal(get(a).ctime.sec, 700);
	assert_int_equal(chmod_to(a, 0640), S_IFREG | 0640);
	acl_of(expected, 6, 7, 5, 4, 0);
	assert_acl(a, ACCESS, expected, len);
	/* One that the mode can say is not kept. */
	len = plain_acl(acl, 7, 0, 4);
	assert_int_equal(set(a, ACCESS, acl, len), 0);
	assert_int_equal(get(a).mode, S_IFREG | 0704);
	assert_int_equal(tree_get_xattr(t, a, ACCESS, NULL, 0), -ENODATA);
	assert_int_equal(get(a).flags, 0);
}

static void acls_are_checked(void **state)
{
	uint64_t a = make(TREE_ROOT, "a", FILE_MODE), d = make(TREE_ROOT, "d", DIR_MODE);
	uint64_t l = make(TREE_ROOT, "l", S_IFLNK | 0777);
	uint8_t acl[64];
	size_t len = acl_of(acl, 7, 7, 5, 3, 1);

	(void)state;
	assert_int_equal(set(a, ACCESS, acl, len - 1), -EINVAL);
	assert_int_equal(set(a, ACCESS, acl, 0), -EINVAL);
	assert_int_equal(set(a, DEFAULT, acl, len), -EACCES);
	assert_int_equal(set(l, ACCESS, acl, len), -EOPNOTSUPP);
	assert_int_equal(set(d, DEFAULT, acl, len), 0);
	assert_int_equal(get(d).mode, DIR_MODE);
	assert_int_equal(set(d, DEFAULT, acl, 4), 0);
	assert_int_equal(tree_get_xattr(t, d, DEFAULT, NULL, 0), -ENODATA);
	assert_int_equal(tree_remove_xattr(t, d, DEFAULT, at(5)), 0);
	assert_int_equal(tree_remove_xattr(t, a, ACCESS, at(5)), 0);
}

static void a_default_acl_is_inherited(void **state)
{
	uint64_t d = make(TREE_ROOT, "d", DIR_MODE);
	uint8_t acl[64], expected[64];
	size_t len = acl_of(acl, 7, 7, 5, 7, 5);
	struct inode file, sub;

	(void)state;
	assert_int_equal(set(d, DEFAULT, acl, len), 0);
	/* The umask has no say. */
	file = create(d, "file", S_IFREG | 0666, 1, 2, 077);
	assert_int_equal(file.mode, S_IFREG | 0664);
	acl_of(expected, 6, 7, 5, 6, 4);
	assert_acl(file.ino, ACCESS, expected, len);
	assert_int_equal(tree_get_xattr(t, file.ino, DEFAULT, NULL, 0), -ENODATA);
	sub = create(d, "sub", S_IFDIR | 0750, 1, 2, 077);
	assert_int_equal(sub.mode, S_IFDIR | 0750);
	acl_of(expected, 7, 7, 5, 5, 0);
	assert_acl(sub.ino, ACCESS, expected, len);
	assert_acl(sub.ino, DEFAULT, acl, len);
	assert_int_equal(create(d, "link", S_IFLNK | 0777, 1, 2, 077).flags, 0);
	/* A default ACL that says no more than a mode leaves none on files. */
	len = plain_acl(acl, 7, 5, 0);
	assert_int_equal(set(d, DEFAULT, acl, len), 0);
	file = create(d, "plain", S_IFREG | 0666, 1, 2, 0);
	assert_int_equal(file.mode, S_IFREG | 0640);
	assert_int_equal(file.flags, 0);
	sub = create(d, "sub2", S_IFDIR | 0777, 1, 2, 0);
	assert_int_equal(sub.mode, S_IFDIR | 0750);
	assert_int_equal(tree_get_xattr(t, sub.ino, ACCESS, NULL, 0), -ENODATA);
	assert_acl(sub.ino, DEFAULT, acl, len);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_test_setup, tree_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_umask_takes_bits_where_no_acl_is_inherited),
		TEST(a_setgid_directory_gives_its_group),
		TEST(only_what_is_named_is_set),
		TEST(setting_what_is_so_changes_nothing),
		TEST(writing_drops_privileges),
		TEST(xattrs_are_set_listed_and_removed),
		TEST(xattrs_have_bounds),
		TEST(a_reader_gets_them_encoded),
		TEST(an_access_acl_and_the_mode_follow_each_other),
		TEST(acls_are_checked),
		TEST(a_default_acl_is_inherited),
	};

	return suite_run(tests);
}
