/* names: what a path may be, and how every call fails on one that is not. */
#include "posix.h"

#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/*
 * Every call that takes a path, as a function of the path alone.  A call that could make or change
 * something does it: the paths that the tests give it are wrong.
 */
struct call {
	const char *name;
	int (*with)(const char *path);
	bool makes;	/* its last component need not be there */
	bool keeps;	/* it does not follow a symlink at the end */
};

static int close_it(int fd)
{
	return fd < 0 ? fd : close(fd);
}

static int with_open(const char *p) { return close_it(open(p, O_RDONLY)); }
static int with_open_write(const char *p) { return close_it(open(p, O_RDWR)); }
static int with_create(const char *p) { return close_it(open(p, O_CREAT | O_WRONLY, 0644)); }
static int with_path(const char *p) { return close_it(open(p, O_PATH)); }
static int with_mkdir(const char *p) { return mkdir(p, 0755); }
static int with_mknod(const char *p) { return mknod(p, S_IFREG | 0644, 0); }
static int with_mkfifo(const char *p) { return mkfifo(p, 0644); }
static int with_symlink(const char *p) { return symlink("target", p); }
static int with_link_from(const char *p) { return linkat(AT_FDCWD, p, AT_FDCWD, "other", AT_SYMLINK_FOLLOW); }
static int with_link_to(const char *p) { return link("file", p); }
static int with_rename_from(const char *p) { return rename(p, "other"); }
static int with_rename_to(const char *p) { return rename("file", p); }
static int with_unlink(const char *p) { return unlink(p); }
static int with_rmdir(const char *p) { return rmdir(p); }
static int with_stat(const char *p) { struct stat st; return stat(p, &st); }
static int with_lstat(const char *p) { struct stat st; return lstat(p, &st); }
static int with_chmod(const char *p) { return chmod(p, 0644); }
static int with_chown(const char *p) { return chown(p, (uid_t)-1, (gid_t)-1); }
static int with_lchown(const char *p) { return lchown(p, (uid_t)-1, (gid_t)-1); }
static int with_utimens(const char *p) { return utimensat(AT_FDCWD, p, NULL, 0); }
static int with_truncate(const char *p) { return truncate(p, 0); }
static int with_access(const char *p) { return access(p, F_OK); }
static int with_readlink(const char *p) { char b[8]; return readlink(p, b, sizeof b) < 0 ? -1 : 0; }
static int with_chdir(const char *p) { return chdir(p); }
static int with_statfs(const char *p) { struct statfs st; return statfs(p, &st); }
static int with_getxattr(const char *p) { char b[8]; return getxattr(p, "user.x", b, sizeof b) < 0 ? -1 : 0; }
static int with_setxattr(const char *p) { return setxattr(p, "user.x", "", 0, 0); }
static int with_listxattr(const char *p) { return listxattr(p, NULL, 0) < 0 ? -1 : 0; }
static int with_removexattr(const char *p) { return removexattr(p, "user.x"); }

static const struct call calls[] = {
	{ "open", with_open, false, false },
	{ "open for writing", with_open_write, false, false },
	{ "open with O_PATH", with_path, false, false },
	{ "open with O_CREAT", with_create, true, false },
	{ "mkdir", with_mkdir, true, true },
	{ "mknod", with_mknod, true, true },
	{ "mkfifo", with_mkfifo, true, true },
	{ "symlink", with_symlink, true, true },
	{ "link from", with_link_from, false, false },
	{ "link to", with_link_to, true, true },
	{ "rename from", with_rename_from, false, true },
	{ "rename to", with_rename_to, true, true },
	{ "unlink", with_unlink, false, true },
	{ "rmdir", with_rmdir, false, true },
	{ "stat", with_stat, false, false },
	{ "lstat", with_lstat, false, true },
	{ "chmod", with_chmod, false, false },
	{ "chown", with_chown, false, false },
	{ "lchown", with_lchown, false, true },
	{ "utimensat", with_utimens, false, false },
	{ "truncate", with_truncate, false, false },
	{ "access", with_access, false, false },
	{ "readlink", with_readlink, false, true },
	{ "chdir", with_chdir, false, false },
	{ "statfs", with_statfs, false, false },
	{ "getxattr", with_getxattr, false, false },
	{ "setxattr", with_setxattr, false, false },
	{ "listxattr", with_listxattr, false, false },
	{ "removexattr", with_removexattr, false, false },
};

enum { ALL, NOT_MAKING, FOLLOWING };

/* Every call fails so with this path. */
static void all_fail(int error, const char *path, int which)
{
	for (size_t i = 0; i < COUNT(calls); i++) {
		const struct call *c = &calls[i];

		if ((which == NOT_MAKING && c->makes) || (which == FOLLOWING && c->keeps))
			continue;
		errno = 0;
		if (c->with(path) != -1 || errno != error) {
			printf("# %s(\"%.40s\"): %s, wanted %s\n", c->name, path, strerrorname_np(errno),
			    strerrorname_np(error));
			YES(!"failed as it should");
		}
	}
}

static char *repeat(char c, size_t n)
{
	char *s = malloc(n + 1);

	memset(s, c, n);
	s[n] = '\0';
	return s;
}

/* "./././name", of that many bytes. */
static char *path_of(size_t len, const char *name)
{
	char *s = malloc(len + 1);
	size_t n = len - strlen(name);

	for (size_t i = 0; i < n; i++)
		s[i] = i % 2 ? '/' : '.';
	if (n % 2)
		s[n - 1] = '/';
	strcpy(s + n, name);
	return s;
}

static void a_path_below_a_file_is_ENOTDIR_to_every_call(void)
{
	make("file", "");
	all_fail(ENOTDIR, "file/x", ALL);
	all_fail(ENOTDIR, "file/x/y", ALL);
	OK(mkfifo("fifo", 0644));
	all_fail(ENOTDIR, "fifo/x", ALL);
	OK(symlink("file", "link"));
	all_fail(ENOTDIR, "link/x", ALL);
	FAILS(ENOTDIR, chdir("file"));
	FAILS(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
}

static void a_path_below_what_is_not_there_is_ENOENT_to_every_call(void)
{
	make("file", "");
	all_fail(ENOENT, "none/x", ALL);
	all_fail(ENOENT, "none", NOT_MAKING);
	all_fail(ENOENT, "", ALL);
	OK(symlink("none", "dangling"));
	all_fail(ENOENT, "dangling/x", ALL);
}

static void a_name_of_255_bytes_works_and_one_of_256_is_ENAMETOOLONG_to_every_call(void)
{
	char *fits = repeat('n', 255), *longer = repeat('n', 256);
	static int (*const makers[])(const char *) = {
		with_create, with_mkdir, with_mknod, with_mkfifo, with_symlink, with_link_to, with_rename_to
	};

	make("file", "");
	all_fail(ENAMETOOLONG, longer, ALL);
	for (size_t i = 0; i < COUNT(makers); i++) {
		make("file", "");
		OK(makers[i](fits));
		YES(there(fits));
		OK(rename(fits, "x"));
		OK(rename("x", fits));
		OK(S_ISDIR(look(fits).st_mode) ? rmdir(fits) : unlink(fits));
	}
}

static void a_path_of_4095_bytes_works_and_one_of_4096_is_ENAMETOOLONG_to_every_call(void)
{
	static int (*const makers[])(const char *) = {
		with_create, with_mkdir, with_mknod, with_mkfifo, with_symlink, with_link_to, with_rename_to
	};

	for (size_t i = 0; i < COUNT(makers); i++) {
		make("file", "");
		OK(makers[i](path_of(PATH_MAX - 1, "name")));
		OK(with_lstat(path_of(PATH_MAX - 1, "name")));
		OK(S_ISDIR(look("name").st_mode) ? rmdir("name") : unlink("name"));
	}
	make("file", "");
	all_fail(ENAMETOOLONG, path_of(PATH_MAX, "name"), ALL);
}

static void a_loop_of_symlinks_is_ELOOP_to_every_call(void)
{
	make("file", "");
	OK(symlink("loop2", "loop1"));
	OK(symlink("loop1", "loop2"));
	all_fail(ELOOP, "loop1/x", ALL);
	all_fail(ELOOP, "loop1", FOLLOWING);
	OK(symlink("self", "self"));
	all_fail(ELOOP, "self", FOLLOWING);
	OK(unlink("self"));
	FAILS(ELOOP, open("loop1", O_RDONLY | O_NOFOLLOW));
}

static void forty_symlinks_are_followed_and_no_more(void)
{
	char name[16], target[16];

	make("link0", "end");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof name, "link%d", i);
		snprintf(target, sizeof target, "link%d", i - 1);
		OK(symlink(target, name));
	}
	content("link40", "end");
	FAILS(ELOOP, open("link41", O_RDONLY));
}

static void a_directory_without_search_permission_is_EACCES_to_every_call(void)
{
	OK(chmod(".", 0777));
	OK(mkdir("shut", 0777));
	make("shut/x", "");
	OK(chmod("shut/x", 0666));
	OK(chmod("shut", 0666));
	make("file", "");
	OK(chown("file", ALICE_ID, ALICE_ID));
	AS(ALICE) {
		all_fail(EACCES, "shut/x", ALL);
		all_fail(EACCES, "shut/none", ALL);
	}
	OK(chmod("shut", 0111));
	AS(ALICE) {
		OK(with_stat("shut/x"));
		OK(with_truncate("shut/x"));
		FAILS(EACCES, with_create("shut/new"));
		FAILS(EACCES, open("shut", O_RDONLY));
	}
}

static void a_bad_address_is_EFAULT(void)
{
	char *volatile bad = (char *)1;

#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer would look there first");
#endif
	make("file", "");
	for (size_t i = 0; i < COUNT(calls); i++)
		FAILS(EFAULT, calls[i].with(bad));
	FAILS(EFAULT, stat("file", (struct stat *)1));
	FAILS(EFAULT, readlink("/proc/self/exe", bad, 10));
	int fd = (int)OK(open("file", O_RDWR));
	FAILS(EFAULT, write(fd, bad, 10));
	OK(write(fd, "x", 1));
	FAILS(EFAULT, pread(fd, bad, 10, 0));
	SAME(look("file").st_size, 1);
}

static void a_slash_at_the_end_wants_a_directory(void)
{
	make("file", "");
	OK(mkdir("dir/", 0755));
	OK(symlink("dir", "link"));
	OK(symlink("file", "flink"));
	FAILS(ENOTDIR, open("file/", O_RDONLY));
	FAILS(EISDIR, open("new/", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOTDIR, with_stat("file/"));
	FAILS(ENOTDIR, with_lstat("flink/"));
	FAILS(ENOTDIR, unlink("file/"));
	FAILS(ENOTDIR, rename("file/", "x"));
	FAILS(ENOTDIR, rename("file", "x/"));
	FAILS(ENOTDIR, rmdir("link/"));
	FAILS(ENOENT, mknod("new/", S_IFREG | 0644, 0));
	FAILS(ENOENT, symlink("x", "new/"));
	FAILS(ENOENT, link("file", "new/"));
	FAILS(ENOTDIR, truncate("file/", 0));
	YES(S_ISDIR(look("link/").st_mode));
	OK(rename("dir/", "dir2/"));
	OK(rmdir("dir2/"));
	FAILS(ENOENT, with_stat("link/"));
	SAME(look("file").st_nlink, 1);
}

static void dots_can_neither_be_made_nor_removed(void)
{
	OK(mkdir("dir", 0755));
	OK(mkdir("dir/sub", 0755));
	FAILS(EEXIST, mkdir("dir/.", 0755));
	FAILS(EEXIST, mkdir("dir/sub/..", 0755));
	FAILS(EINVAL, rmdir("dir/."));
	FAILS(ENOTEMPTY, rmdir("dir/sub/.."));
	FAILS(EISDIR, unlink("dir/."));
	FAILS(EBUSY, rename("dir/sub/.", "x"));
	FAILS(EBUSY, rename("dir", "dir/sub/.."));
	FAILS(EEXIST, symlink("x", "dir/."));
	FAILS(EEXIST, open("dir/.", O_CREAT | O_EXCL | O_WRONLY, 0644));
	FAILS(EISDIR, open("dir/.", O_WRONLY));
	SAME(look("dir").st_nlink, 3);
}

static void a_name_can_have_every_byte_but_the_slash_and_NUL(void)
{
	char name[256] = "", *at = name;

	for (int c = 1; c < 256; c++) {
		const char one[] = { (char)c, '!', '\0' };

		if (c == '/')
			continue;
		*at++ = (char)c;
		make(one, one);
	}
	make(name, "all of them");
	content(name, "all of them");
	for (int c = 1; c < 256; c++) {
		const char one[] = { (char)c, '!', '\0' }, two[] = { (char)c, '?', '\0' };

		if (c == '/')
			continue;
		content(one, one);
		OK(rename(one, two));
		YES(there(two) && !there(one));
	}
	make("...", "dots");
	make("\xff\xfe\x80", "no UTF-8");
	content("...", "dots");
	content("\xff\xfe\x80", "no UTF-8");
}

static void names_differ_by_case_and_by_the_form_of_their_letters(void)
{
	static const char *const names[] = { "a", "A", "\u00e9", "e\u0301", "stra\u00dfe", "strasse" };

	for (size_t i = 0; i < COUNT(names); i++)
		make(names[i], names[i]);
	for (size_t i = 0; i < COUNT(names); i++)
		content(names[i], names[i]);
}

static void a_tree_300_levels_deep_is_made_walked_up_and_removed(void)
{
	const struct stat top = look(".");
	char *path = malloc(2 * 300 + 8), cwd[PATH_MAX];

	for (int i = 0; i < 300; i++) {
		OK(mkdir("d", 0755));
		OK(chdir("d"));
	}
	make("end", "deep");
	YES(getcwd(cwd, sizeof cwd) != NULL && strlen(cwd) > 600);
	for (int i = 0; i < 300; i++)
		OK(chdir(".."));
	SAME(look(".").st_ino, top.st_ino);
	for (int i = 0; i < 300; i++)
		memcpy(path + 2L * i, "d/", 2);
	strcpy(path + 600, "end");
	content(path, "deep");
}

static void the_path_of_the_working_directory_follows_a_rename(void)
{
	char cwd[PATH_MAX];

	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("c", 0755));
	OK(chdir("a/b"));
	OK(rename("../../a/b", "../../c/moved"));
	YES(getcwd(cwd, sizeof cwd) != NULL);
	TEXT(strrchr(cwd, '/'), "/moved");
	YES(there("../../c/moved"));
	OK(rmdir("../moved"));
	FAILS(ENOENT, getcwd(cwd, sizeof cwd) ? 0 : -1);
	FAILS(ENOENT, mkdir("x", 0755));
}

const struct test names_tests[] = {
	T(a_path_below_a_file_is_ENOTDIR_to_every_call),
	T(a_path_below_what_is_not_there_is_ENOENT_to_every_call),
	T(a_name_of_255_bytes_works_and_one_of_256_is_ENAMETOOLONG_to_every_call),
	T(a_path_of_4095_bytes_works_and_one_of_4096_is_ENAMETOOLONG_to_every_call),
	T(a_loop_of_symlinks_is_ELOOP_to_every_call),
	T(forty_symlinks_are_followed_and_no_more),
	ROOT(a_directory_without_search_permission_is_EACCES_to_every_call),
	T(a_bad_address_is_EFAULT),
	T(a_slash_at_the_end_wants_a_directory),
	T(dots_can_neither_be_made_nor_removed),
	T(a_name_can_have_every_byte_but_the_slash_and_NUL),
	T(names_differ_by_case_and_by_the_form_of_their_letters),
	T(a_tree_300_levels_deep_is_made_walked_up_and_removed),
	T(the_path_of_the_working_directory_follows_a_rename),
	{ 0 }
};
