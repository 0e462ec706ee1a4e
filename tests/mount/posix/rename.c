/* rename: rename and renameat2. */
#include "posix.h"

#include <linux/fs.h>
#include <sched.h>
#include <sys/mount.h>

static int rename2(const char *old, const char *new, unsigned int flags)
{
	return renameat2(AT_FDCWD, old, AT_FDCWD, new, flags);
}

static void rename_replaces_what_it_may_and_nothing_else(void)
{
	make("f", "f");
	make("g", "g");
	OK(mkdir("dir", 0755));
	OK(mkdir("empty", 0755));
	OK(mkdir("full", 0755));
	make("full/x", "");
	make("dir/inside", "inside");
	FAILS(EISDIR, rename("f", "dir"));
	FAILS(EISDIR, rename("f", "empty"));
	FAILS(ENOTDIR, rename("dir", "f"));
	FAILS(ENOTEMPTY, rename("dir", "full"));
	FAILS(ENOENT, rename("none", "f"));
	FAILS(ENOENT, rename("f", "none/x"));
	FAILS(ENOTDIR, rename("f", "g/x"));
	FAILS(ENOTDIR, rename("dir", "g/x"));
	OK(rename("dir", "empty"));
	content("empty/inside", "inside");
	YES(!there("dir"));
	OK(rename("f", "g"));
	content("g", "f");
	YES(!there("f"));
}

static void rename_of_a_name_to_itself_does_nothing(void)
{
	make("f", "f");
	OK(mkdir("dir", 0755));
	OK(link("f", "g"));
	age(".");
	MOVES("f", "", OK(rename("f", "f")));
	MOVES(".", "", OK(rename("dir", "dir")));
	MOVES("f", "", OK(rename("f", "g")));
	YES(there("f") && there("g"));
	SAME(look("f").st_nlink, 2);
}

static void every_kind_replaces_every_other_but_a_directory(void)
{
	static const char *const names[] = { "file", "fifo", "sock", "link" };

	for (size_t i = 0; i < COUNT(names); i++)
		for (size_t j = 0; j < COUNT(names); j++) {
			struct stat st;

			make("file", "");
			(void)mkfifo("fifo", 0644), (void)mknod("sock", S_IFSOCK | 0644, 0);
			(void)!symlink("none", "link");
			st = look(names[i]);
			OK(rename(names[i], names[j]));
			SAME(look(names[j]).st_ino, st.st_ino);
			SAME(look(names[j]).st_mode, st.st_mode);
			SAME(look(names[j]).st_nlink, 1);
			if (i != j)
				YES(!there(names[i]));
			else
				YES(there(names[i]));
			OK(unlink(names[j]));
		}
}

static void rename_moves_the_ctime_of_what_moves_and_the_times_of_both_directories(void)
{
	OK(mkdir("one", 0755));
	OK(mkdir("two", 0755));
	make("one/f", "");
	make("two/g", "");
	OK(link("two/g", "two/h"));
	OK(mkdir("one/sub", 0755));
	age("one/f");
	age("one");
	age("two");
	MOVES("one", "mc", OK(rename("one/f", "one/f2")));
	age("one");
	MOVES("one", "mc", MOVES("two", "mc", OK(rename("one/f2", "two/f"))));
	SAME(look("two/f").st_mtim.tv_sec, LONG_AGO);
	YES(look("two/f").st_ctim.tv_sec > LONG_AGO);
	MOVES("two/h", "c", OK(rename("two/f", "two/g")));
	SAME(look("two/h").st_nlink, 1);
	age("one");
	age("one/sub");
	MOVES("one", "mc", OK(rename("one/sub", "two/sub")));
	SAME(look("two/sub").st_mtim.tv_sec, LONG_AGO);
	age("one");
	MOVES("one", "", FAILS(ENOENT, rename("one/none", "one/x")));
	MOVES("two", "", FAILS(ENOTDIR, rename("two/sub", "two/g")));
}

static void a_directory_that_moves_takes_its_dotdot_along(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("c", 0755));
	OK(mkdir("a/b", 0755));
	make("a/b/f", "x");
	SAME(look("a").st_nlink, 3);
	OK(rename("a/b", "c/b"));
	SAME(look("c/b/..").st_ino, look("c").st_ino);
	SAME(look("a").st_nlink, 2);
	SAME(look("c").st_nlink, 3);
	content("c/b/f", "x");
	OK(mkdir("a/b", 0755));
	OK(rename("c/b", "a/b"));
	SAME(look("a").st_nlink, 3);
	SAME(look("c").st_nlink, 2);
	SAME(look("a/b/..").st_ino, look("a").st_ino);
}

static void a_directory_goes_neither_below_itself_nor_over_one_above(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	FAILS(EINVAL, rename("a", "a/x"));
	FAILS(EINVAL, rename("a", "a/b/x"));
	FAILS(EINVAL, rename("a", "a/b/c"));
	FAILS(ENOTEMPTY, rename("a/b/c", "a"));
	FAILS(ENOTEMPTY, rename("a/b/c", "a/b"));
	FAILS(EINVAL, rename2("a", "a/b", RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("a/b/c", "a", RENAME_EXCHANGE));
	FAILS(EEXIST, rename2("a/b/c", "a", RENAME_NOREPLACE));
	YES(there("a/b/c"));
}

static void noreplace_leaves_what_is_there(void)
{
	make("f", "f");
	make("g", "g");
	OK(mkdir("dir", 0755));
	OK(symlink("none", "dangling"));
	FAILS(EEXIST, rename2("f", "g", RENAME_NOREPLACE));
	FAILS(EEXIST, rename2("f", "dir", RENAME_NOREPLACE));
	FAILS(EEXIST, rename2("dir", "g", RENAME_NOREPLACE));
	FAILS(EEXIST, rename2("f", "dangling", RENAME_NOREPLACE));
	FAILS(EEXIST, rename2("f", "f", RENAME_NOREPLACE));
	FAILS(ENOENT, rename2("none", "g", RENAME_NOREPLACE));
	OK(rename2("f", "h", RENAME_NOREPLACE));
	content("g", "g");
	content("h", "f");
}

static void exchange_swaps_any_two(void)
{
	struct stat f, dir;

	make("f", "f");
	OK(mkdir("one", 0755));
	OK(mkdir("two", 0755));
	OK(mkdir("one/dir", 0755));
	make("one/dir/x", "x");
	OK(rename("f", "two/f"));
	f = look("two/f");
	dir = look("one/dir");
	age("one");
	age("two");
	MOVES("one", "mc", MOVES("two", "mc", OK(rename2("two/f", "one/dir", RENAME_EXCHANGE))));
	SAME(look("one/dir").st_ino, f.st_ino);
	SAME(look("two/f").st_ino, dir.st_ino);
	content("one/dir", "f");
	content("two/f/x", "x");
	SAME(look("one").st_nlink, 2);
	SAME(look("two").st_nlink, 3);
	SAME(look("two/f/..").st_ino, look("two").st_ino);
	f = look("one/dir");
	tick();
	OK(rename2("one/dir", "two/f", RENAME_EXCHANGE));
	YES(look("two/f").st_ctim.tv_sec > f.st_ctim.tv_sec || look("two/f").st_ctim.tv_nsec > f.st_ctim.tv_nsec);
	SAME(look("two/f").st_mtim.tv_nsec, f.st_mtim.tv_nsec);
	FAILS(ENOENT, rename2("two/f", "none", RENAME_EXCHANGE));
	FAILS(ENOENT, rename2("none", "two/f", RENAME_EXCHANGE));
	OK(symlink("none", "link"));
	OK(rename2("link", "one", RENAME_EXCHANGE));
	YES(S_ISDIR(look("link").st_mode) && S_ISLNK(look("one").st_mode));
	OK(rename2("two", "two", RENAME_EXCHANGE));
}

static void exchanged_files_keep_what_was_written_to_them(void)
{
	unsigned char *a = noise(300000, 1), *b = noise(500000, 2);
	int fd;

	fill("a", a, 300000);
	fill("b", b, 500000);
	fd = (int)OK(open("a", O_RDWR));
	OK(pwrite(fd, "changed", 7, 100000));
	memcpy(a + 100000, "changed", 7);
	OK(rename2("a", "b", RENAME_EXCHANGE));
	OK(pwrite(fd, "again", 5, 0));
	memcpy(a, "again", 5);
	filled("b", a, 300000);
	filled("a", b, 500000);
	forget(fd);
	filled("b", a, 300000);
}

static void whiteout_leaves_one_behind(void)
{
	make("f", "f");
	make("g", "g");
	OK(mkdir("dir", 0755));
	age(".");
	MOVES(".", "mc", OK(rename2("f", "g", RENAME_WHITEOUT)));
	content("g", "f");
	YES(S_ISCHR(look("f").st_mode));
	SAME(look("f").st_rdev, 0);
	SAME(look("f").st_nlink, 1);
	OK(rename2("dir", "moved", RENAME_WHITEOUT | RENAME_NOREPLACE));
	YES(S_ISCHR(look("dir").st_mode) && S_ISDIR(look("moved").st_mode));
	FAILS(EEXIST, rename2("g", "moved", RENAME_WHITEOUT | RENAME_NOREPLACE));
	OK(unlink("f"));
	OK(unlink("dir"));
	OK(rmdir("moved"));
	SAME(look(".").st_nlink, 2);
}

static void flags_that_do_not_go_together_are_EINVAL(void)
{
	make("f", "f");
	make("g", "g");
	FAILS(EINVAL, rename2("f", "g", RENAME_NOREPLACE | RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("f", "g", RENAME_WHITEOUT | RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("f", "g", 1 << 3));
	FAILS(EINVAL, rename2("f", "g", 1U << 31));
	content("f", "f");
	content("g", "g");
}

static void an_open_file_that_is_replaced_keeps_its_content(void)
{
	unsigned char *old = noise(400000, 1), *got = malloc(400001);
	int fd;

	fill("old", old, 400000);
	make("new", "new");
	fd = (int)OK(open("old", O_RDWR));
	OK(rename("new", "old"));
	SAME(look_fd(fd).st_nlink, 0);
	forget(fd);
	SAME(pread(fd, got, 400001, 0), 400000);
	BYTES(got, old, 400000);
	content("old", "new");
	OK(close(fd));
	content("old", "new");
}

static void a_directory_that_is_replaced_while_open_is_empty_and_dead(void)
{
	int fd;

	OK(mkdir("old", 0755));
	OK(mkdir("new", 0755));
	make("new/x", "");
	fd = (int)OK(open("old", O_RDONLY | O_DIRECTORY));
	OK(rename("new", "old"));
	SAME(look_fd(fd).st_nlink, 0);
	FAILS(ENOENT, openat(fd, "x", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mkdirat(fd, "x", 0755));
	YES(there("old/x"));
}

static void a_name_that_is_replaced_again_and_again_is_always_there(void)
{
	pid_t pid;

	make("f", "0");
	fflush(stdout);
	pid = (pid_t)OK(fork());
	if (pid == 0) {
		for (int i = 0; i < 500; i++) {
			make("new", "1");
			OK(rename("new", "f"));
		}
		_exit(0);
	}
	for (int i = 0; i < 3000; i++)
		OK(close((int)OK(open("f", O_RDONLY))));
	reap(pid);
	content("f", "1");
}

static void a_file_is_not_moved_to_another_filesystem(void)
{
	make("f", "");
	if (look("/proc/self").st_dev == look("f").st_dev || look("/dev/shm").st_dev == look("f").st_dev)
		SKIP("there is no other one");
	FAILS(EXDEV, rename("f", "/dev/shm/dhtfs-posix"));
	FAILS(EXDEV, link("f", "/dev/shm/dhtfs-posix"));
	FAILS(EXDEV, rename("/proc/self/status", "x"));
}

static void what_is_mounted_on_is_EBUSY_and_what_is_mounted_is_EXDEV(void)
{
	OK(mkdir("dir", 0755));
	OK(mkdir("other", 0755));
	make("f", "");
	IN_CHILD {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", "dir", "tmpfs", 0, NULL) < 0)
			SKIP("nothing can be mounted");
		FAILS(EBUSY, rmdir("dir"));
		FAILS(EBUSY, rename("dir", "x"));
		FAILS(EBUSY, rename("other", "dir"));
		FAILS(EXDEV, rename("f", "dir/f"));
		FAILS(EXDEV, link("f", "dir/f"));
		OK(chdir("dir"));
		FAILS(EXDEV, rename("../f", "f"));
		OK(chdir(".."));
		OK(umount2("dir", MNT_DETACH));
		OK(rename("dir", "moved"));
	}
	OK(rmdir("moved"));
}

const struct test rename_tests[] = {
	T(rename_replaces_what_it_may_and_nothing_else),
	T(rename_of_a_name_to_itself_does_nothing),
	T(every_kind_replaces_every_other_but_a_directory),
	T(rename_moves_the_ctime_of_what_moves_and_the_times_of_both_directories),
	T(a_directory_that_moves_takes_its_dotdot_along),
	T(a_directory_goes_neither_below_itself_nor_over_one_above),
	T(noreplace_leaves_what_is_there),
	T(exchange_swaps_any_two),
	T(exchanged_files_keep_what_was_written_to_them),
	T(whiteout_leaves_one_behind),
	T(flags_that_do_not_go_together_are_EINVAL),
	T(an_open_file_that_is_replaced_keeps_its_content),
	T(a_directory_that_is_replaced_while_open_is_empty_and_dead),
	T(a_name_that_is_replaced_again_and_again_is_always_there),
	ROOT(what_is_mounted_on_is_EBUSY_and_what_is_mounted_is_EXDEV),
	T(a_file_is_not_moved_to_another_filesystem),
	{ 0 }
};
