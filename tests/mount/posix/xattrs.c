/* xattrs: extended attributes. */
#include "posix.h"

#include <sys/xattr.h>

static bool listed(const char *path, const char *name)
{
	static char list[65536];
	long len = OK(llistxattr(path, list, sizeof list));

	for (const char *at = list; at < list + len; at += strlen(at) + 1)
		if (strcmp(at, name) == 0)
			return true;
	return false;
}

static void is(const char *path, const char *name, const char *value)
{
	char got[100];

	SAME(lgetxattr(path, name, got, sizeof got), strlen(value));
	BYTES(got, value, strlen(value));
}

static void they_are_set_read_listed_replaced_and_removed(void)
{
	char got[10];

	make("f", "");
	OK(mkdir("dir", 0755));
	for (const char *const *p = (const char *const[]){ "f", "dir", NULL }; *p; p++) {
		FAILS(ENODATA, getxattr(*p, "user.none", got, sizeof got));
		FAILS(ENODATA, removexattr(*p, "user.none"));
		OK(setxattr(*p, "user.a", "1", 1, 0));
		OK(setxattr(*p, "user.b", "", 0, 0));
		OK(setxattr(*p, "user.a", "22", 2, 0));
		is(*p, "user.a", "22");
		is(*p, "user.b", "");
		YES(listed(*p, "user.a") && listed(*p, "user.b"));
		OK(removexattr(*p, "user.a"));
		YES(!listed(*p, "user.a") && listed(*p, "user.b"));
		FAILS(ENODATA, getxattr(*p, "user.a", got, sizeof got));
	}
}

static void XATTR_CREATE_and_XATTR_REPLACE_do_that(void)
{
	make("f", "");
	FAILS(ENODATA, setxattr("f", "user.a", "1", 1, XATTR_REPLACE));
	OK(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
	FAILS(EEXIST, setxattr("f", "user.a", "2", 1, XATTR_CREATE));
	OK(setxattr("f", "user.a", "3", 1, XATTR_REPLACE));
	FAILS(EINVAL, setxattr("f", "user.a", "4", 1, 4));
	is("f", "user.a", "3");
}

static void short_buffers_are_ERANGE_and_none_asks_for_the_length(void)
{
	char got[8];

	make("f", "");
	OK(setxattr("f", "user.a", "12345", 5, 0));
	SAME(getxattr("f", "user.a", NULL, 0), 5);
	FAILS(ERANGE, getxattr("f", "user.a", got, 4));
	SAME(getxattr("f", "user.a", got, 5), 5);
	SAME(listxattr("f", NULL, 0), 7);
	FAILS(ERANGE, listxattr("f", got, 6));
	SAME(listxattr("f", got, 7), 7);
	TEXT(got, "user.a");
}

static void names_and_values_have_limits(void)
{
	char name[300] = "user.", value[XATTR_SIZE_MAX + 1];

	make("f", "");
	memset(value, 'v', sizeof value);
	memset(name + 5, 'n', 250);
	name[255] = '\0';
	OK(setxattr("f", name, "x", 1, 0));
	is("f", name, "x");
	name[255] = 'n';
	name[256] = '\0';
	FAILS(ERANGE, setxattr("f", name, "x", 1, 0));
	FAILS(ERANGE, getxattr("f", name, value, 1));
	FAILS(ERANGE, removexattr("f", name));
	FAILS(ERANGE, setxattr("f", "", "x", 1, 0));
	FAILS(E2BIG, setxattr("f", "user.large", value, sizeof value, 0));
	FAILS(EOPNOTSUPP, setxattr("f", "nowhere.x", "x", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("f", "plain", "x", 1, 0));
	FAILS(EOPNOTSUPP, getxattr("f", "nowhere.x", value, 1));
	FAILS(EINVAL, setxattr("f", "user.", "x", 1, 0));
	OK(setxattr("f", "user.k", value, 3000, 0));
	SAME(getxattr("f", "user.k", value, sizeof value), 3000);
	SAME(value[2999], 'v');
	/* What is refused leaves what was there. */
	if (setxattr("f", "user.k", value, 65000, 0) < 0) {
		SAME(errno, ENOSPC);
		SAME(getxattr("f", "user.k", value, sizeof value), 3000);
	}
}

static void many_of_them_fit(void)
{
	char name[32], value[8];

	make("f", "");
	for (int i = 0; i < 80; i++) {
		snprintf(name, sizeof name, "user.%d", i);
		snprintf(value, sizeof value, "%d", i * i);
		OK(setxattr("f", name, value, strlen(value), 0));
	}
	for (int i = 0; i < 80; i += 2) {
		snprintf(name, sizeof name, "user.%d", i);
		OK(removexattr("f", name));
	}
	for (int i = 0; i < 80; i++) {
		snprintf(name, sizeof name, "user.%d", i);
		snprintf(value, sizeof value, "%d", i * i);
		SAME(listed("f", name), i % 2);
		if (i % 2)
			is("f", name, value);
	}
}

static void the_user_namespace_is_for_files_and_directories_alone(void)
{
	char got[8];

	make("f", "");
	OK(symlink("f", "link"));
	OK(mkfifo("fifo", 0666));
	FAILS(EPERM, lsetxattr("link", "user.x", "1", 1, 0));
	FAILS(ENODATA, lgetxattr("link", "user.x", got, sizeof got));
	FAILS(EPERM, setxattr("fifo", "user.x", "1", 1, 0));
	OK(setxattr("link", "user.x", "1", 1, 0));
	is("f", "user.x", "1");
	FAILS(ENODATA, getxattr("fifo", "user.x", got, sizeof got));
}

static void the_trusted_namespace_is_for_root(void)
{
	make("f", "");
	OK(chmod("f", 0666));
	OK(symlink("f", "link"));
	OK(mkfifo("fifo", 0666));
	OK(setxattr("f", "trusted.t", "root", 4, 0));
	OK(lsetxattr("link", "trusted.l", "link", 4, 0));
	OK(setxattr("fifo", "trusted.p", "pipe", 4, 0));
	is("link", "trusted.l", "link");
	is("fifo", "trusted.p", "pipe");
	YES(listed("f", "trusted.t") && !listed("f", "trusted.l"));
	OK(setxattr("f", "security.something", "s", 1, 0));
	AS(ALICE) {
		char got[8];

		is("f", "security.something", "s");
		FAILS(ENODATA, getxattr("f", "trusted.t", got, sizeof got));
		FAILS(EPERM, setxattr("f", "trusted.t", "x", 1, 0));
		FAILS(EPERM, removexattr("f", "trusted.t"));
		FAILS(EPERM, setxattr("f", "security.something", "x", 1, 0));
		OK(setxattr("f", "user.hers", "x", 1, 0));
		YES(!listed("f", "trusted.t"));
	}
	is("f", "user.hers", "x");
}

static void permissions_of_the_file_hold_for_the_user_namespace(void)
{
	make("f", "");
	OK(setxattr("f", "user.x", "1", 1, 0));
	OK(mkdir("tmp", 0777));
	OK(chmod("tmp", 01777));
	AS(ALICE) {
		is("f", "user.x", "1");
		FAILS(EACCES, setxattr("f", "user.x", "2", 1, 0));
		FAILS(EACCES, removexattr("f", "user.x"));
		FAILS(EPERM, setxattr("tmp", "user.x", "2", 1, 0));
	}
	OK(chmod("f", 0));
	AS(ALICE) {
		char got[8];

		FAILS(EACCES, getxattr("f", "user.x", got, sizeof got));
	}
	OK(chmod("f", 0222));
	AS(ALICE) OK(setxattr("f", "user.x", "3", 1, 0));
	is("f", "user.x", "3");
}

static void they_belong_to_the_file_and_not_to_its_names(void)
{
	char got[8];
	int fd;

	make("a", "");
	OK(link("a", "b"));
	OK(setxattr("a", "user.x", "y", 1, 0));
	is("b", "user.x", "y");
	OK(unlink("a"));
	OK(rename("b", "c"));
	is("c", "user.x", "y");
	fd = (int)OK(open("c", O_RDONLY));
	OK(unlink("c"));
	SAME(fgetxattr(fd, "user.x", got, sizeof got), 1);
	OK(fsetxattr(fd, "user.y", "z", 1, 0));
	SAME(flistxattr(fd, NULL, 0), 14);
	OK(fremovexattr(fd, "user.x"));
	FAILS(EBADF, fgetxattr(-1, "user.x", got, sizeof got));
	FAILS(EBADF, fsetxattr((int)OK(open(".", O_PATH)), "user.x", "", 0, 0));
	make("c", "");
	SAME(listxattr("c", NULL, 0), 0);
}

static void they_move_the_ctime_alone(void)
{
	make("f", "");
	OK(mkdir("dir", 0755));
	for (const char *const *p = (const char *const[]){ "f", "dir", NULL }; *p; p++) {
		age(*p);
		MOVES(*p, "c", OK(setxattr(*p, "user.a", "1", 1, 0)));
		MOVES(*p, "c", OK(setxattr(*p, "user.a", "2", 1, 0)));
		MOVES(*p, "c", OK(removexattr(*p, "user.a")));
		MOVES(*p, "", FAILS(ENODATA, removexattr(*p, "user.a")));
		MOVES(*p, "", FAILS(ENODATA, setxattr(*p, "user.a", "1", 1, XATTR_REPLACE)));
	}
}

const struct test xattrs_tests[] = {
	T(they_are_set_read_listed_replaced_and_removed),
	T(XATTR_CREATE_and_XATTR_REPLACE_do_that),
	T(short_buffers_are_ERANGE_and_none_asks_for_the_length),
	T(names_and_values_have_limits),
	T(many_of_them_fit),
	T(the_user_namespace_is_for_files_and_directories_alone),
	ROOT(the_trusted_namespace_is_for_root),
	ROOT(permissions_of_the_file_hold_for_the_user_namespace),
	T(they_belong_to_the_file_and_not_to_its_names),
	T(they_move_the_ctime_alone),
	{ 0 }
};
